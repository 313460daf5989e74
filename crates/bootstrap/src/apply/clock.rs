//! Time for what others count, too, while this machine sleeps: a lock's lease, the age of a token.

use rustix::time::{ClockId, clock_gettime};

/// Milliseconds since this machine was started, sleep included.
pub(super) fn now_ms() -> i64 {
    let now = clock_gettime(ClockId::Boottime);
    now.tv_sec * 1000 + now.tv_nsec / 1_000_000
}
