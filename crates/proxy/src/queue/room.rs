//! How much one server may have at once, now.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::time::Instant;

use crate::backend::Backend;
use crate::fitness::Fitness;
use crate::server::ServerState;

/// The limits of a server, as they are in force. Written with its state, read for each connection;
/// who decides by them holds the lines of its backend.
#[derive(Debug)]
pub(crate) struct Room {
    /// 0, here and below: no limit.
    maxconn: AtomicU32,
    minconn: AtomicU32,
    maxqueue: AtomicU32,
    /// The share of it all that slowstart leaves, in percent.
    percent: AtomicU32,
    is_usable: AtomicBool,
    is_up: AtomicBool,
    /// Whether a picker was told that the server is full.
    was_full: AtomicBool,
}

impl Default for Room {
    fn default() -> Self {
        Self {
            maxconn: AtomicU32::new(0),
            minconn: AtomicU32::new(0),
            maxqueue: AtomicU32::new(0),
            percent: AtomicU32::new(100),
            is_usable: AtomicBool::new(true),
            is_up: AtomicBool::new(true),
            was_full: AtomicBool::new(false),
        }
    }
}

impl Room {
    /// Puts in force what the server's state says.
    pub(crate) fn set(&self, fitness: &Fitness, now: Instant) {
        let load = &fitness.load;
        self.maxconn.store(fitness.maxconn.unwrap_or(0), Relaxed);
        self.minconn.store(load.minconn.unwrap_or(0), Relaxed);
        self.maxqueue.store(load.maxqueue.unwrap_or(0), Relaxed);
        let percent = u32::from(fitness.percent(now));
        self.percent.store(percent, Relaxed);
        let view = fitness.view();
        self.is_usable.store(view.is_usable(), Relaxed);
        self.is_up.store(view.is_up(), Relaxed);
    }

    /// Whether it has a limit at all.
    pub(crate) fn is_limited(&self) -> bool {
        self.maxconn.load(Relaxed) > 0
    }

    /// Whether its limit follows the number of sessions.
    pub(super) fn is_dynamic(&self) -> bool {
        self.minconn.load(Relaxed) > 0
    }

    /// `maxqueue`.
    pub(super) fn maxqueue(&self) -> Option<u32> {
        Some(self.maxqueue.load(Relaxed)).filter(|&most| most > 0)
    }

    /// Whether clients may be sent there, were there room.
    pub(super) fn is_usable(&self) -> bool {
        self.is_usable.load(Relaxed)
    }

    /// Whether those that belong there may be sent there, were there room.
    pub(super) fn is_up(&self) -> bool {
        self.is_up.load(Relaxed)
    }

    pub(super) fn has_room(&self, backend: &Backend, state: &Arc<ServerState>) -> bool {
        let sessions = backend.state.stats.open.now();
        self.limit(sessions, backend.fullconn())
            .is_none_or(|limit| state.stats.open.now() < limit)
    }

    /// How many more clients it takes now; `None`: no limit.
    pub(crate) fn free(&self, backend: &Backend, state: &ServerState) -> Option<u32> {
        let sessions = backend.state.stats.open.now();
        let limit = self.limit(sessions, backend.fullconn())?;
        Some(limit.saturating_sub(state.stats.open.now()))
    }

    /// Sessions that it may have while its backend has so many.
    fn limit(&self, sessions: u32, fullconn: u32) -> Option<u32> {
        let maxconn = self.maxconn.load(Relaxed);
        let percent = self.percent.load(Relaxed);
        (maxconn > 0).then(|| {
            limit(
                maxconn,
                self.minconn.load(Relaxed),
                sessions,
                fullconn,
                percent,
            )
        })
    }

    pub(super) fn note_full(&self) {
        self.was_full.store(true, Relaxed);
    }

    pub(super) fn was_full(&self) -> bool {
        self.was_full.load(Relaxed)
    }

    pub(super) fn note_room(&self) {
        self.was_full.store(false, Relaxed);
    }
}

/// The limit of a server: between `minconn` and `maxconn` as the backend's sessions are between
/// none and `fullconn`, and of that what slowstart leaves.
fn limit(maxconn: u32, minconn: u32, sessions: u32, fullconn: u32, percent: u32) -> u32 {
    let wide = u64::from;
    let dynamic = if minconn == 0 || minconn >= maxconn || sessions >= fullconn {
        maxconn
    } else {
        let share = wide(sessions) * wide(maxconn) / wide(fullconn);
        minconn.max(u32::try_from(share).unwrap_or(maxconn))
    };
    if percent >= 100 {
        return dynamic;
    }
    let ramped = wide(dynamic) * wide(percent) / 100;
    u32::try_from(ramped).unwrap_or(dynamic).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_follow_load_and_slowstart() {
        let check = |(maxconn, minconn), (sessions, fullconn), percent, expected| {
            assert_eq!(
                limit(maxconn, minconn, sessions, fullconn, percent),
                expected,
                "maxconn {maxconn} minconn {minconn}, {sessions} of {fullconn}, {percent}%"
            );
        };
        check((100, 0), (0, 1000), 100, 100);
        check((100, 10), (0, 1000), 100, 10);
        check((100, 10), (100, 1000), 100, 10);
        check((100, 10), (500, 1000), 100, 50);
        check((100, 10), (999, 1000), 100, 99);
        check((100, 10), (1000, 1000), 100, 100);
        check((100, 10), (7, 0), 100, 100);
        check((100, 0), (0, 1000), 25, 25);
        check((100, 10), (500, 1000), 50, 25);
        check((3, 0), (0, 1000), 1, 1);
        check((u32::MAX, 1), (u32::MAX - 1, u32::MAX), 99, 4_252_017_621);
    }
}
