//! How much a server is given, and what becomes of clients that find no room.

use std::time::Duration;

use super::BackendId;

/// What a server may be given at once (HAProxy manual 5.2, `maxconn`, `minconn`, `maxqueue`,
/// `slowstart`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServerLoad {
    /// `maxconn`: sessions at once; further clients wait. `None`: no limit.
    pub maxconn: Option<u32>,
    /// `minconn`: the limit while the backend is idle; it rises to `maxconn` as the backend's
    /// sessions come near [`Queueing::fullconn`]. `None`: always `maxconn`.
    pub minconn: Option<u32>,
    /// `maxqueue`: clients that may wait for this server and no other. `None`: no limit.
    pub maxqueue: Option<u32>,
    /// `slowstart`: how long a server that comes back takes until it has its full share. `None`:
    /// it has it at once.
    pub slowstart: Option<Duration>,
}

/// How clients of a backend wait for room on its servers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Queueing {
    /// `timeout queue`, else `timeout connect`; `None`: no limit.
    pub timeout: Option<Duration>,
    /// `fullconn`: sessions of the backend at which servers with `minconn` have their `maxconn`.
    /// `None`: a tenth of the `maxconn` of the frontends that lead there.
    pub fullconn: Option<u32>,
    /// `option abortonclose`: a client that finished sending gives its place up, even if it sent
    /// something.
    pub abort_on_close: bool,
}

/// What becomes of sessions on backups when a server comes up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnMarkedUp {
    /// They stay (HAProxy's default).
    Keep,
    /// `on-marked-up shutdown-backup-sessions`: they are closed.
    ShutdownBackupSessions,
}

/// What a server is taken for before its first check, at start and after maintenance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InitState {
    /// Up, and down at the first failure (HAProxy's default).
    Up,
    /// Up, and down after `fall` failures.
    FullyUp,
    /// Down, and up at the first success.
    Down,
    /// Down, and up after `rise` successes.
    FullyDown,
}

/// A server whose state another one follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tracked {
    /// Its backend.
    pub backend: BackendId,
    /// Its place there.
    pub server: usize,
}
