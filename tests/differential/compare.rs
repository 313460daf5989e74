//! Runs a scenario in two laboratories and compares what it saw.

use std::fmt::Debug;
use std::thread;

use crate::support::{Lab, Program};

/// Runs `scenario` with HAProxy and with evenkeel, at the same time, and asserts that its answers
/// are equal. Returns HAProxy's, so that a test can also assert that the scenario shows something;
/// `None` when there is no HAProxy to compare with.
pub(crate) fn same<T: Debug + PartialEq + Send>(
    test: &str,
    scenario: impl Fn(&Lab) -> T + Sync,
) -> Option<T> {
    let oracle = Program::oracle_for(test)?;
    let (theirs, ours) = thread::scope(|scope| {
        let theirs = scope.spawn(|| scenario(&Lab::of(oracle)));
        let ours = scope.spawn(|| scenario(&Lab::of(Program::under_test())));
        (theirs.join(), ours.join())
    });
    let theirs = theirs.unwrap_or_else(|_| panic!("{test}: the scenario failed with HAProxy"));
    let ours = ours.unwrap_or_else(|_| {
        panic!("{test}: the scenario failed with evenkeel; HAProxy gave {theirs:#?}")
    });
    assert!(
        theirs == ours,
        "{test}: the answers differ\nHAProxy: {theirs:#?}\nevenkeel: {ours:#?}"
    );
    Some(theirs)
}
