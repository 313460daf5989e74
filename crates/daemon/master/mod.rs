//! HAProxy's master CLI (`-S`): reloads with an answer, tells which generations there are, and passes
//! commands on to the one that serves. One process is master and worker here: what HAProxy's worker
//! is, a generation of the configuration is. Knows the proxy only through the control thread.

mod reloads;
mod socket;
mod table;
mod target;
mod visit;

use tokio::sync::oneshot;

pub(crate) use reloads::Reloads;
pub(crate) use socket::serve;

/// What the master's commands ask of the control thread.
pub(crate) enum Ask {
    /// The state of the moment.
    State(oneshot::Sender<State>),
    /// Load the files again; answered with what came of it.
    Reload(How, oneshot::Sender<Outcome>),
    /// Give way to the program that is installed now; answered with what came of it.
    Upgrade(oneshot::Sender<Outcome>),
}

/// What becomes of the sessions that are open at a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// They go on.
    Soft,
    /// They are cut.
    Hard,
}

/// What came of a reload or an upgrade.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) is_success: bool,
    /// What was said meanwhile, lines ended.
    pub(crate) log: String,
}

/// What the master knows.
#[derive(Clone, Debug)]
pub(crate) struct State {
    /// The answer to `show proc`.
    pub(crate) processes: String,
    /// What the last start or reload said.
    pub(crate) log: String,
    /// The last reload came to nothing.
    pub(crate) has_failed: bool,
    /// When the generation in force began.
    pub(crate) current: std::time::Instant,
    /// Those before it that still have sessions: what they are called, and when they began.
    pub(crate) old: Vec<(u64, std::time::Instant)>,
}
