//! What besides checks decides about a server's health, and what is told of it.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// What a backend does with the verdicts on its servers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HealthPolicy {
    /// `option log-health-checks`: every change of a check's verdict is logged.
    pub log_changes: bool,
    /// `fail-open`: when no server passes its check but they still accept connections, the last
    /// usable ones stay in use.
    pub fail_open: bool,
}

/// What a check's address has of its own (`addr`, `port`); what it has not is the server's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OwnPlace {
    /// The host.
    pub ip: Option<IpAddr>,
    /// The port.
    pub port: Option<u16>,
}

/// A program beside a server that says how fit it is (HAProxy manual, `agent-check`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    /// Where it is.
    pub address: SocketAddr,
    /// `agent-addr`, else `addr`; `None`: it is where the server is, wherever that comes to be.
    pub own_ip: Option<IpAddr>,
    /// Between questions.
    pub inter: Duration,
    /// How long the connect may take.
    pub connect_timeout: Duration,
    /// How long the answer may take after that.
    pub read_timeout: Duration,
    /// What it is sent first.
    pub send: Vec<u8>,
}

/// `observe layer4`: connects of clients count like checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observation {
    /// Failed connects in a row that call for action.
    pub error_limit: u32,
    /// The action.
    pub on_error: OnError,
}

/// What too many failed connects do to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnError {
    /// The next check comes soon.
    FastInter,
    /// They count as a failed check, and the next one comes soon.
    FailCheck,
    /// The next failure marks it down, and the next check comes soon.
    SuddenDeath,
    /// It is marked down.
    MarkDown,
}
