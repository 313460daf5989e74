//! What all connections together hold back: bytes read from one side that the other did not take
//! yet. Past the limit, flows whose receivers lag pause until some were taken.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};
use std::task::Waker;

/// Bytes that all connections together may hold back before reading pauses. Enough for some
/// hundred stalled bulk flows, small beside any machine that runs a control plane.
pub(crate) const HELD_LIMIT_BYTES: usize = 128 << 20;

/// The process's sum of held bytes.
#[derive(Debug)]
pub(crate) struct Held {
    bytes: AtomicUsize,
    limit: usize,
    reached: AtomicU64,
    parked: Mutex<Vec<Waker>>,
}

impl Held {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            bytes: AtomicUsize::new(0),
            limit,
            reached: AtomicU64::new(0),
            parked: Mutex::default(),
        }
    }

    /// Whether all connections together hold what they may.
    pub(crate) fn is_tight(&self) -> bool {
        self.bytes.load(SeqCst) >= self.limit
    }

    /// Whether a flow may hold more now; if not, `room` is woken once it may.
    pub(crate) fn may_read(&self, room: &Waker) -> bool {
        if !self.is_tight() {
            return true;
        }
        self.reached.fetch_add(1, Relaxed);
        let mut parked = self
            .parked
            .lock()
            .expect("no panic while the list is locked");
        if !parked.iter().any(|waker| waker.will_wake(room)) {
            parked.push(room.clone());
        }
        drop(parked);
        // Bytes may have been taken between the look and the parking.
        !self.is_tight()
    }

    /// One flow that held `before` bytes holds `after` now.
    pub(crate) fn change(&self, before: usize, after: usize) {
        if after > before {
            self.bytes.fetch_add(after - before, SeqCst);
        } else if after < before {
            self.sub(before - after);
        }
    }

    fn sub(&self, bytes: usize) {
        let before = self.bytes.fetch_sub(bytes, SeqCst);
        if before >= self.limit && before - bytes < self.limit {
            let parked = std::mem::take(
                &mut *self
                    .parked
                    .lock()
                    .expect("no panic while the list is locked"),
            );
            parked.into_iter().for_each(Waker::wake);
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Relaxed)
    }

    pub(crate) fn reached(&self) -> u64 {
        self.reached.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::task::Wake;

    #[derive(Default)]
    struct Count(AtomicU64);
    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    #[test]
    fn a_parked_flow_is_woken_once_bytes_are_taken() {
        let (held, count) = (Held::new(10), Arc::new(Count::default()));
        let waker = Waker::from(count.clone());
        held.change(0, 10);
        assert!(held.is_tight() && !held.may_read(&waker));
        held.change(10, 9);
        assert_eq!(count.0.load(Relaxed), 1);
        assert!(held.may_read(&waker));
        assert_eq!((held.bytes(), held.reached()), (9, 1));
    }
}
