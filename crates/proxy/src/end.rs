//! How a session ended: one value for each session, and HAProxy's two letters for it.

/// How a session ended. Not an error: every session has exactly one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Both sides closed their half, every byte delivered.
    Closed,
    /// The client broke the connection off while data flowed.
    ClientReset,
    /// The server broke the connection off while data flowed.
    ServerReset,
    /// The client was idle for too long (or both, at once).
    ClientTimeout,
    /// The server was idle for too long.
    ServerTimeout,
    /// No server is usable.
    NoServer,
    /// The server refused, and so did the retries.
    ConnectError,
    /// The server did not answer the connect, nor the retries.
    ConnectTimeout,
    /// This machine lacked a port, a descriptor or memory for the connect.
    ConnectResource,
    /// No server had room for too long.
    QueueTimeout,
    /// The one server that the client belongs to had no room, nor the line before it.
    QueueFull,
    /// The client left while it waited for room.
    ClientGoneQueued,
    /// The client left before there was a connection to a server.
    ClientGoneConnecting,
    /// The server was marked DOWN and its sessions are to be shut down.
    ServerDown,
    /// The client broke the connection off while rules waited for what it sends.
    ClientGoneSending,
    /// The client was silent for too long while rules waited for what it sends.
    ClientSilentSending,
    /// A rule on what the client sends, or on its connection, refused it.
    Rejected,
    /// It was on a backup, and a server came up that wants such sessions ended.
    BackupRelieved,
    /// An operator or a hard stop ended it.
    Killed,
}

impl End {
    /// Who ended the session and in which state (HAProxy manual 8.5).
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::Closed => "--",
            Self::ClientReset => "CD",
            Self::ServerReset => "SD",
            Self::ClientTimeout => "cD",
            Self::ServerTimeout => "sD",
            Self::NoServer | Self::ConnectError => "SC",
            Self::ConnectTimeout => "sC",
            Self::ConnectResource => "RC",
            Self::QueueTimeout => "sQ",
            Self::QueueFull => "SQ",
            Self::ClientGoneQueued => "CQ",
            Self::ClientGoneConnecting => "CC",
            Self::ServerDown => "DC",
            Self::ClientGoneSending => "CR",
            Self::ClientSilentSending => "cR",
            Self::Rejected => "PR",
            Self::BackupRelieved => "UC",
            Self::Killed => "KC",
        }
    }
}
