//! Signals become values, one at a time.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What an operator asks by signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// SIGTERM, SIGINT: stop at once. Holds the signal's number.
    Stop(i32),
    /// SIGUSR1: accept nothing more, end with the last connection.
    Drain,
    /// SIGUSR2, SIGHUP: load the files again.
    Reload,
    /// A child has ended.
    Bury,
}

/// The streams of all signals that mean something, and of those that must do no harm.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    user1: Signal,
    user2: Signal,
    hangup: Signal,
    child: Signal,
    /// HAProxy pauses, resumes and dumps on these; listening is never paused here, and a
    /// terminal's job control or Ctrl-\ must not stop or kill a balancer. Kept, for a dropped
    /// stream would leave them unhandled.
    _harmless: [Signal; 3],
}

impl Signals {
    /// From here on no signal of these ends the process by itself.
    pub(crate) fn catch() -> io::Result<Self> {
        const SIGTTIN: i32 = 21;
        const SIGTTOU: i32 = 22;
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            user1: signal(SignalKind::user_defined1())?,
            user2: signal(SignalKind::user_defined2())?,
            hangup: signal(SignalKind::hangup())?,
            child: signal(SignalKind::child())?,
            _harmless: [
                signal(SignalKind::from_raw(SIGTTIN))?,
                signal(SignalKind::from_raw(SIGTTOU))?,
                signal(SignalKind::quit())?,
            ],
        })
    }

    /// The next wish. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Wish {
        tokio::select! {
            _ = self.terminate.recv() => Wish::Stop(SignalKind::terminate().as_raw_value()),
            _ = self.interrupt.recv() => Wish::Stop(SignalKind::interrupt().as_raw_value()),
            _ = self.user1.recv() => Wish::Drain,
            _ = self.user2.recv() => Wish::Reload,
            _ = self.hangup.recv() => Wish::Reload,
            _ = self.child.recv() => Wish::Bury,
        }
    }
}
