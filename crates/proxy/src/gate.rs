//! A limit on how many may be inside at once, where those outside wait: `maxconn`.

use std::pin::pin;
use std::sync::atomic::{
    AtomicU32, AtomicU64,
    Ordering::{Relaxed, SeqCst},
};

use tokio::sync::Notify;

/// Counts those inside against a limit that a reload may move.
#[derive(Debug)]
pub(crate) struct Gate {
    inside: AtomicU32,
    peak: AtomicU32,
    limit: AtomicU32,
    waiting: AtomicU32,
    reached: AtomicU64,
    room: Notify,
}

impl Gate {
    pub(crate) fn new(limit: u32) -> Self {
        Self {
            inside: AtomicU32::new(0),
            peak: AtomicU32::new(0),
            limit: AtomicU32::new(limit),
            waiting: AtomicU32::new(0),
            reached: AtomicU64::new(0),
            room: Notify::new(),
        }
    }

    /// Takes a place if there is one; [`leave`](Self::leave) gives it back.
    pub(crate) fn try_enter(&self) -> bool {
        let limit = self.limit.load(Relaxed);
        self.inside
            .fetch_update(SeqCst, SeqCst, |n| (n < limit).then_some(n + 1))
            .is_ok()
    }

    /// Notes how many are inside, once it is sure that the place taken is used.
    pub(crate) fn note_peak(&self) {
        self.peak.fetch_max(self.inside(), Relaxed);
    }

    /// Gives a place back and lets one of those waiting look again.
    pub(crate) fn leave(&self) {
        self.inside.fetch_sub(1, SeqCst);
        if self.waiting.load(SeqCst) > 0 {
            self.room.notify_one();
        }
    }

    /// Waits until there may be room. Cancel-safe; whoever is woken and leaves without entering
    /// passes the news on.
    pub(crate) async fn wait_for_room(&self) {
        let mut room = pin!(self.room.notified());
        room.as_mut().enable();
        self.waiting.fetch_add(1, SeqCst);
        let _guard = Waiting(self);
        if self.is_full() {
            room.await;
        }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.inside.load(SeqCst) >= self.limit.load(Relaxed)
    }

    /// Counts one more time that the limit held somebody back.
    pub(crate) fn count_reached(&self) -> u64 {
        self.reached.fetch_add(1, Relaxed)
    }

    pub(crate) fn set_limit(&self, limit: u32) {
        self.limit.store(limit, Relaxed);
        self.room.notify_waiters();
    }

    pub(crate) fn inside(&self) -> u32 {
        self.inside.load(Relaxed)
    }

    pub(crate) fn peak(&self) -> u32 {
        self.peak.load(Relaxed)
    }

    pub(crate) fn peak_cell(&self) -> &AtomicU32 {
        &self.peak
    }

    /// Forgets how many there ever were.
    pub(crate) fn clear_peak(&self) {
        self.peak.store(self.inside(), Relaxed);
    }

    pub(crate) fn limit(&self) -> u32 {
        self.limit.load(Relaxed)
    }

    pub(crate) fn reached_cell(&self) -> &AtomicU64 {
        &self.reached
    }

    pub(crate) fn reached(&self) -> u64 {
        self.reached.load(Relaxed)
    }
}

struct Waiting<'a>(&'a Gate);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        // A wake-up that this waiter took and does not use must reach another one.
        if self.0.waiting.fetch_sub(1, SeqCst) > 1 && !self.0.is_full() {
            self.0.room.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[tokio::test]
    async fn who_waits_enters_once_another_leaves() {
        let gate = Arc::new(Gate::new(1));
        assert!(gate.try_enter());
        assert!(!gate.try_enter());
        let waiter = tokio::spawn({
            let gate = gate.clone();
            async move {
                while !gate.try_enter() {
                    gate.wait_for_room().await;
                }
            }
        });
        tokio::task::yield_now().await;
        gate.leave();
        waiter.await.expect("the waiter enters");
        gate.note_peak();
        assert_eq!((gate.inside(), gate.peak()), (1, 1));
    }

    #[tokio::test]
    async fn a_raised_limit_lets_waiters_in() {
        let gate = Arc::new(Gate::new(0));
        let waiter = tokio::spawn({
            let gate = gate.clone();
            async move {
                while !gate.try_enter() {
                    gate.wait_for_room().await;
                }
            }
        });
        tokio::task::yield_now().await;
        gate.set_limit(1);
        waiter.await.expect("the waiter enters");
    }
}
