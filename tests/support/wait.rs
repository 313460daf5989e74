//! Waiting for something to become true, with a deadline.

use std::time::{Duration, Instant};

/// Longest that a test waits for what must come: far more than any of it takes, so that a busy
/// machine fails no test.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Asks again and again until there is an answer; fails the test after [`PATIENCE`].
pub(crate) fn until<T>(what: &str, question: impl FnMut() -> Option<T>) -> T {
    match within(PATIENCE, question) {
        Some(answer) => answer,
        None => panic!("{what}: not so within {PATIENCE:?}"),
    }
}

/// Asks until there is an answer or `limit` has passed.
pub(crate) fn within<T>(limit: Duration, mut question: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(answer) = question() {
            return Some(answer);
        }
        if Instant::now() >= deadline {
            return None;
        }
        #[expect(
            clippy::disallowed_methods,
            reason = "the pause of a probe that has a deadline"
        )]
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Watches for `span` that `holds` stays true: for what must *not* happen.
pub(crate) fn throughout(what: &str, span: Duration, mut holds: impl FnMut() -> bool) {
    let broken = within(span, || (!holds()).then_some(()));
    assert!(broken.is_none(), "{what}: not so throughout {span:?}");
}
