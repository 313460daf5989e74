//! Runs a scenario in two laboratories and compares what it saw.

use std::fmt::Debug;
use std::thread;

use crate::support::{Lab, Program};

/// The answers of HAProxy and of evenkeel to the same scenario.
pub(crate) struct Answers<T> {
    pub(crate) haproxy: T,
    pub(crate) evenkeel: T,
}

/// Runs `scenario` with HAProxy and with evenkeel, at the same time; `None` when there is no
/// HAProxy to compare with.
pub(crate) fn both<T: Debug + Send>(
    test: &str,
    scenario: impl Fn(&Lab) -> T + Sync,
) -> Option<Answers<T>> {
    let oracle = Program::oracle_for(test)?;
    let (haproxy, evenkeel) = thread::scope(|scope| {
        let haproxy = scope.spawn(|| scenario(&Lab::of(oracle)));
        let evenkeel = scope.spawn(|| scenario(&Lab::of(Program::under_test())));
        (haproxy.join(), evenkeel.join())
    });
    let haproxy = haproxy.unwrap_or_else(|_| panic!("{test}: the scenario failed with HAProxy"));
    let evenkeel = evenkeel.unwrap_or_else(|_| {
        panic!("{test}: the scenario failed with evenkeel; HAProxy gave {haproxy:#?}")
    });
    Some(Answers { haproxy, evenkeel })
}

/// How often answers may differ: on a busy machine a time or an order may, once; what is wrong
/// differs every time.
const ATTEMPTS: usize = 3;

/// Like [`both`], and asserts that the answers are equal. Returns HAProxy's, so that a test can
/// also assert that the scenario shows something.
pub(crate) fn same<T: Debug + PartialEq + Send>(
    test: &str,
    scenario: impl Fn(&Lab) -> T + Sync,
) -> Option<T> {
    let mut differences = Vec::new();
    while differences.len() < ATTEMPTS {
        let Answers { haproxy, evenkeel } = both(test, &scenario)?;
        if haproxy == evenkeel {
            return Some(haproxy);
        }
        differences.push(format!("HAProxy: {haproxy:#?}\nevenkeel: {evenkeel:#?}"));
    }
    panic!(
        "{test}: the answers differ\n{}",
        differences.join("\nand again\n")
    );
}
