//! What ends sessions from outside: a token that wakes them, and a flag beside it that they look
//! at whenever they are awake, since asking the token takes a lock that all of them share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

/// Ends what waits for it, once and for all.
#[derive(Clone, Debug)]
pub(crate) struct Cut {
    is_cut: Arc<AtomicBool>,
    token: CancellationToken,
    /// What ends this one too.
    parent: Option<Arc<AtomicBool>>,
}

impl Cut {
    pub(crate) fn new() -> Self {
        Self {
            is_cut: Arc::default(),
            token: CancellationToken::new(),
            parent: None,
        }
    }

    /// One that ends with this one, or alone.
    pub(crate) fn child(&self) -> Self {
        Self {
            is_cut: Arc::default(),
            token: self.token.child_token(),
            parent: Some(self.is_cut.clone()),
        }
    }

    pub(crate) fn cut(&self) {
        // Before anybody is woken to look.
        self.is_cut.store(true, SeqCst);
        self.token.cancel();
    }

    /// Takes no lock.
    pub(crate) fn is_cut(&self) -> bool {
        self.is_cut.load(SeqCst) || self.parent.as_ref().is_some_and(|flag| flag.load(SeqCst))
    }

    /// Waits for the end.
    pub(crate) fn wait(&self) -> WaitForCancellationFuture<'_> {
        self.token.cancelled()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_child_ends_alone_or_with_its_parent() {
        let parent = Cut::new();
        let (first, second) = (parent.child(), parent.child());
        first.cut();
        first.wait().await;
        assert!(first.is_cut() && !parent.is_cut() && !second.is_cut());
        parent.cut();
        second.wait().await;
        assert!(second.is_cut());
    }
}
