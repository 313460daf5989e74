//! The verdicts of a check, in HAProxy's terms (manual 9.1, `check_status`).

/// A check's verdict; [`code`](Self::code) is HAProxy's short form, [`text`](Self::text) the long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CheckStatus {
    /// Connects of clients were judged, not a check (`observe`).
    HealthAnalyze,
    /// A Unix socket that cannot be connected to, a connection that broke, or no port to try.
    SocketError,
    /// The port accepted.
    L4Ok,
    /// Nothing answered in time.
    L4Timeout,
    /// The connect was refused or unreachable, or this machine could not even try it.
    L4Connection,
    /// The TLS handshake succeeded.
    L6Ok,
    /// The TLS handshake took too long.
    L6Timeout,
    /// The server does not speak TLS, or not as is wanted.
    L6Response,
    /// Nothing that suits came in time.
    L7Timeout,
    /// The answer is not what is wanted, or none.
    L7Response,
    /// The answer is what is wanted.
    L7Ok,
    /// The server wants no new clients (`disable-on-404`).
    L7OkConditional,
    /// The answer says that something is wrong, such as HTTP's 500.
    L7Status,
}

impl CheckStatus {
    /// Every status, in HAProxy's order.
    pub const ALL: [Self; 13] = [
        Self::HealthAnalyze,
        Self::SocketError,
        Self::L4Ok,
        Self::L4Timeout,
        Self::L4Connection,
        Self::L6Ok,
        Self::L6Timeout,
        Self::L6Response,
        Self::L7Timeout,
        Self::L7Response,
        Self::L7Ok,
        Self::L7OkConditional,
        Self::L7Status,
    ];

    /// HAProxy's code, as in `show stat` and the `state` label of `haproxy_server_check_status`.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::HealthAnalyze => "HANA",
            Self::SocketError => "SOCKERR",
            Self::L4Ok => "L4OK",
            Self::L4Timeout => "L4TOUT",
            Self::L4Connection => "L4CON",
            Self::L6Ok => "L6OK",
            Self::L6Timeout => "L6TOUT",
            Self::L6Response => "L6RSP",
            Self::L7Timeout => "L7TOUT",
            Self::L7Response => "L7RSP",
            Self::L7Ok => "L7OK",
            Self::L7OkConditional => "L7OKC",
            Self::L7Status => "L7STS",
        }
    }

    /// HAProxy's words, as in `reason: Layer4 check passed`.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::HealthAnalyze => "Health analyze",
            Self::SocketError => "Socket error",
            Self::L4Ok => "Layer4 check passed",
            Self::L4Timeout => "Layer4 timeout",
            Self::L4Connection => "Layer4 connection problem",
            Self::L6Ok => "Layer6 check passed",
            Self::L6Timeout => "Layer6 timeout",
            Self::L6Response => "Layer6 invalid response",
            Self::L7Timeout => "Layer7 timeout",
            Self::L7Response => "Layer7 invalid response",
            Self::L7Ok => "Layer7 check passed",
            Self::L7OkConditional => "Layer7 check conditionally passed",
            Self::L7Status => "Layer7 wrong status",
        }
    }

    /// Whether the server passed.
    #[must_use]
    pub fn is_pass(self) -> bool {
        matches!(
            self,
            Self::L4Ok | Self::L6Ok | Self::L7Ok | Self::L7OkConditional
        )
    }

    /// Whether messages of this status carry a code.
    #[must_use]
    pub fn has_code(self) -> bool {
        matches!(self, Self::L7Ok | Self::L7OkConditional | Self::L7Status)
    }

    /// The status of this code, if `allowed` has it.
    pub(super) fn among(word: &str, allowed: &[Self]) -> Option<Self> {
        allowed.iter().copied().find(|status| status.code() == word)
    }
}
