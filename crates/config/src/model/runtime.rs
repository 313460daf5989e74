//! The sockets on which commands are taken (HAProxy manual, `stats socket`).

use std::path::PathBuf;
use std::time::Duration;

use crate::{Bind, Place};

/// Where commands are taken, and what is kept of their effects over a restart.
#[derive(Clone, Debug, PartialEq)]
pub struct Runtime {
    /// `stats socket`, in file order.
    pub sockets: Vec<StatsSocket>,
    /// Where the master's commands are taken: of the command line alone (`-S`).
    pub master_sockets: Vec<StatsSocket>,
    /// `stats timeout`: how long a visitor may be silent.
    pub timeout: Duration,
    /// `stats maxconn`: visitors at once.
    pub maxconn: u32,
    /// `server-state-file`, below `server-state-base`.
    pub state_file: Option<PathBuf>,
    /// `server-state-base`; empty when not set.
    pub state_base: PathBuf,
}

/// One `stats socket`.
#[derive(Clone, Debug, PartialEq)]
pub struct StatsSocket {
    /// Where it listens.
    pub bind: Bind,
    /// What its visitors may do.
    pub level: AccessLevel,
}

/// What a visitor may do; each level may do what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AccessLevel {
    /// Look at what is no secret.
    User,
    /// Look at everything, clear counters.
    Operator,
    /// Change what is served.
    Admin,
}

impl AccessLevel {
    /// HAProxy's word.
    #[must_use]
    pub fn name(self) -> &'static str {
        crate::words::Word::word(self)
    }
}

impl Runtime {
    /// The same as if it came from nowhere.
    pub(super) fn forget_places(&mut self, nowhere: &Place) {
        for socket in &mut self.sockets {
            socket.bind.place = nowhere.clone();
        }
    }
}
