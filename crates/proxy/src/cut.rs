//! What ends sessions from outside: a flag that they look at whenever they are awake, a token that
//! wakes those who wait in a task, and an alarm that has every thread look at its established
//! sessions.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

/// Tells every data-plane thread that something was cut.
#[derive(Clone, Debug)]
pub(crate) struct Alarm(Arc<watch::Sender<()>>);

impl Alarm {
    pub(crate) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(())))
    }

    /// Changes with each cut.
    pub(crate) fn listen(&self) -> watch::Receiver<()> {
        self.0.subscribe()
    }
}

/// Ends what looks at it or waits for it, once and for all.
#[derive(Clone, Debug)]
pub(crate) struct Cut {
    is_cut: Arc<AtomicBool>,
    token: CancellationToken,
    /// What ends this one too.
    parent: Option<Arc<AtomicBool>>,
    alarm: Alarm,
}

impl Cut {
    pub(crate) fn new(alarm: &Alarm) -> Self {
        Self {
            is_cut: Arc::default(),
            token: CancellationToken::new(),
            parent: None,
            alarm: alarm.clone(),
        }
    }

    /// One that ends with this one, or alone.
    pub(crate) fn child(&self) -> Self {
        Self {
            is_cut: Arc::default(),
            token: self.token.child_token(),
            parent: Some(self.is_cut.clone()),
            alarm: self.alarm.clone(),
        }
    }

    pub(crate) fn cut(&self) {
        // Before anybody is woken to look.
        self.is_cut.store(true, SeqCst);
        self.token.cancel();
        self.alarm.0.send_replace(());
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
        let alarm = Alarm::new();
        let mut ears = alarm.listen();
        let parent = Cut::new(&alarm);
        let (first, second) = (parent.child(), parent.child());
        first.cut();
        first.wait().await;
        assert!(first.is_cut() && !parent.is_cut() && !second.is_cut());
        assert!(ears.has_changed().is_ok_and(|has| has));
        ears.mark_unchanged();
        parent.cut();
        second.wait().await;
        assert!(second.is_cut());
        assert!(ears.has_changed().is_ok_and(|has| has));
    }
}
