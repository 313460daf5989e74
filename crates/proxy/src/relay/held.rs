//! What all connections together hold back: bytes read from one side that the other did not take
//! yet. Past the limit, flows whose receivers lag pause until some were taken.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};
use std::task::{Context, Waker};

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

    /// Whether a flow may read now; if not, `cx` is woken once it may.
    fn may_read(&self, cx: &Context<'_>) -> bool {
        if self.bytes.load(SeqCst) < self.limit {
            return true;
        }
        self.reached.fetch_add(1, Relaxed);
        let mut parked = self
            .parked
            .lock()
            .expect("no panic while the list is locked");
        if !parked.iter().any(|waker| waker.will_wake(cx.waker())) {
            parked.push(cx.waker().clone());
        }
        drop(parked);
        // Bytes may have been taken between the look and the parking.
        self.bytes.load(SeqCst) < self.limit
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

/// One flow's share of the process's sum; gives it back on drop.
#[derive(Debug)]
pub(crate) struct HeldShare<'a> {
    held: &'a Held,
    bytes: usize,
}

impl<'a> HeldShare<'a> {
    pub(crate) fn none(held: &'a Held) -> Self {
        Self { held, bytes: 0 }
    }

    pub(crate) fn set(&mut self, bytes: usize) {
        if bytes > self.bytes {
            self.held.bytes.fetch_add(bytes - self.bytes, SeqCst);
        } else if bytes < self.bytes {
            self.held.sub(self.bytes - bytes);
        }
        self.bytes = bytes;
    }

    /// Whether all connections together hold what they may.
    pub(crate) fn is_tight(&self) -> bool {
        self.held.bytes.load(SeqCst) >= self.held.limit
    }

    /// Whether the flow may read more; if not, `cx` is woken once it may.
    pub(crate) fn may_grow(&self, cx: &Context<'_>) -> bool {
        self.held.may_read(cx)
    }
}

impl Drop for HeldShare<'_> {
    fn drop(&mut self) {
        self.set(0);
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
        let cx = Context::from_waker(&waker);
        let mut share = HeldShare::none(&held);
        share.set(10);
        assert!(!held.may_read(&cx));
        share.set(9);
        assert_eq!(count.0.load(Relaxed), 1);
        assert!(held.may_read(&cx));
        assert_eq!((held.bytes(), held.reached()), (9, 1));
    }
}
