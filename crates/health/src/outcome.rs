//! What one check found.

use std::time::Duration;

/// What one check found, in HAProxy's terms (manual 9.1, `check_status`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckOutcome {
    /// The verdict.
    pub status: CheckStatus,
    /// What the system or the server said, empty when there is nothing to say; goes into
    /// `info: "..."` of the log line.
    pub info: String,
    /// From the check's start to its verdict.
    pub duration: Duration,
}

impl CheckOutcome {
    /// Whether the server passed.
    #[must_use]
    pub fn is_pass(&self) -> bool {
        matches!(self.status, CheckStatus::L4Ok)
    }
}

/// A check's verdict; [`code`](Self::code) is HAProxy's short form, [`text`](Self::text) the long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CheckStatus {
    /// The port accepted.
    L4Ok,
    /// Nothing answered in time.
    L4Timeout,
    /// The connect was refused or unreachable, or this machine could not even try it.
    L4Connection,
    /// The same for a Unix socket, or there was no port to try.
    SocketError,
}

impl CheckStatus {
    /// Every status, in HAProxy's order.
    pub const ALL: [Self; 4] = [
        Self::SocketError,
        Self::L4Ok,
        Self::L4Timeout,
        Self::L4Connection,
    ];

    /// HAProxy's code, as in `show stat` and the `state` label of `haproxy_server_check_status`.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::L4Ok => "L4OK",
            Self::L4Timeout => "L4TOUT",
            Self::L4Connection => "L4CON",
            Self::SocketError => "SOCKERR",
        }
    }

    /// HAProxy's words, as in `reason: Layer4 check passed`.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::L4Ok => "Layer4 check passed",
            Self::L4Timeout => "Layer4 timeout",
            Self::L4Connection => "Layer4 connection problem",
            Self::SocketError => "Socket error",
        }
    }
}
