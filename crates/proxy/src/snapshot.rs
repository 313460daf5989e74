//! What a running proxy looks like at one moment: plain data, from which metrics, statistics and
//! pages are printed. Numbers are since the start of the process or the object, whichever is later.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use evenkeel_config::{Balance, OwnPlace, ServerAddress};
use evenkeel_health::CheckOutcome;

use crate::fitness::Admin;

/// Everything that can be said about a proxy at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The process.
    pub process: ProcessSnapshot,
    /// In file order.
    pub frontends: Vec<FrontendSnapshot>,
    /// In file order.
    pub backends: Vec<BackendSnapshot>,
    /// In file order.
    pub resolvers: Vec<ResolversSnapshot>,
}

/// A section of name servers.
#[derive(Clone, Debug)]
pub struct ResolversSnapshot {
    /// Its name.
    pub name: String,
    /// Its name servers, each with HAProxy's counters of it.
    pub nameservers: Vec<(String, [(&'static str, u64); 15])>,
}

/// The process as a whole.
#[derive(Clone, Debug)]
pub struct ProcessSnapshot {
    /// Since the process started.
    pub uptime: Duration,
    /// Data-plane threads.
    pub threads: usize,
    /// The limit on concurrent client connections in force.
    pub maxconn: u32,
    /// RLIMIT_NOFILE in force.
    pub max_fds: u64,
    /// Open client connections, of draining generations too.
    pub current_connections: u32,
    /// Client connections accepted.
    pub connections_total: u64,
    /// Client connections accepted during the last second.
    pub connection_rate: u32,
    /// Highest of those rates.
    pub max_connection_rate: u32,
    /// Log lines given up because the receiver did not keep pace.
    pub dropped_logs_total: u64,
    /// Bytes sent, to clients and servers.
    pub bytes_out_total: u64,
    /// Whether the process is draining to its end.
    pub stopping: bool,
    /// Whether threads never sleep.
    pub busy_polling: bool,
    /// Times that accepting paused because descriptors ran out.
    pub descriptor_exhausted_total: u64,
    /// Times that accepting paused because the process's `maxconn` was reached.
    pub maxconn_reached_total: u64,
    /// Reloads done and refused.
    pub reloads_total: u64,
    /// Reloads that failed and left everything as it was.
    pub failed_reloads_total: u64,
    /// Bytes read and not yet written, of all connections.
    pub held_bytes: u64,
    /// Times that reading paused because `held_bytes` reached its limit.
    pub held_limit_reached_total: u64,
}

/// Whether a frontend accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrontendStatus {
    /// Accepts.
    Open,
    /// Accepts nobody for now.
    Paused,
    /// No longer accepts.
    Stop,
}

/// A bound address and whether this machine has it.
#[derive(Clone, Debug)]
pub struct BoundAddress {
    /// As it is listened on.
    pub address: SocketAddr,
    /// Whether an interface of this machine carries it (a wildcard always is).
    pub present: bool,
}

/// One frontend.
#[derive(Clone, Debug)]
pub struct FrontendSnapshot {
    /// Its place in the configuration; the two halves of a `listen` share it.
    pub position: usize,
    /// HAProxy's `iid`.
    pub id: u32,
    /// The section's name.
    pub name: String,
    /// Whether it accepts.
    pub status: FrontendStatus,
    /// Where it listens.
    pub addresses: Vec<BoundAddress>,
    /// Open sessions.
    pub current_sessions: u32,
    /// Most sessions ever open at once.
    pub max_sessions: u32,
    /// The limit in force.
    pub session_limit: u32,
    /// Sessions ever.
    pub sessions_total: u64,
    /// Connections ever (sessions and those refused before).
    pub connections_total: u64,
    /// Sessions during the last second.
    pub session_rate: u32,
    /// Highest of those rates.
    pub max_session_rate: u32,
    /// Connections during the last second.
    pub connection_rate: u32,
    /// Highest of those rates.
    pub max_connection_rate: u32,
    /// Connections that `tcp-request connection` refused.
    pub denied_connections_total: u64,
    /// Connections that `tcp-request session` refused.
    pub denied_sessions_total: u64,
    /// Sessions that `tcp-request content` refused, and connections dropped silently.
    pub denied_requests_total: u64,
    /// Bytes from clients.
    pub bytes_in_total: u64,
    /// Bytes to clients.
    pub bytes_out_total: u64,
    /// Times that accepting paused because the frontend's `maxconn` was reached.
    pub maxconn_reached_total: u64,
    /// Requests, where the frontend answers HTTP.
    pub http: Option<HttpSnapshot>,
}

/// Requests of a frontend that answers HTTP.
#[derive(Clone, Copy, Debug, Default)]
pub struct HttpSnapshot {
    /// Requests ever.
    pub requests_total: u64,
    /// Requests during the last second.
    pub request_rate: u32,
    /// Highest of those rates.
    pub max_request_rate: u32,
    /// Answers by the first digit of their status, from 1; the last: any other.
    pub responses_total: [u64; 6],
    /// Requests that a rule denied.
    pub denied_total: u64,
    /// Requests that were none, or did not come in time.
    pub errors_total: u64,
    /// Requests that the frontend answered itself.
    pub intercepted_total: u64,
}

/// What a server's state is, as HAProxy's status column has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerStatus {
    /// Up; `health` of `rise + fall - 1` tells how surely.
    Up,
    /// Up, but failing: `UP h/n`.
    GoingDown,
    /// Down.
    Down,
    /// Down, but succeeding: `DOWN h/n`.
    GoingUp,
    /// Down, because its agent says so.
    DownByAgent,
    /// Takes no new sessions, because a check or a command said so: `NOLB`.
    Stopping,
    /// Not checked.
    NoCheck,
    /// In maintenance.
    Maint,
    /// In maintenance, because the server that it tracks is.
    MaintVia,
    /// In maintenance, because its name has no address.
    MaintUnresolved,
    /// Takes no new sessions, because an administrator says so.
    Drain,
    /// The same of a server that has an agent.
    DrainByAgent,
}

impl ServerStatus {
    /// Whether it is in maintenance, for whatever reason.
    #[must_use]
    pub fn is_maint(self) -> bool {
        matches!(self, Self::Maint | Self::MaintVia | Self::MaintUnresolved)
    }

    /// Whether it is down.
    #[must_use]
    pub fn is_down(self) -> bool {
        matches!(self, Self::Down | Self::GoingUp | Self::DownByAgent)
    }
}

impl ServerSnapshot {
    /// HAProxy's text of the status: `UP`, `UP 1/3`, `DOWN 1/2`, `MAINT (via be/s1)` and so on.
    #[must_use]
    pub fn status_text(&self) -> String {
        let (health, top) = self.health;
        let (rise, fall) = self.rise_fall;
        // What of `fall` failures is left to it, as far as it is not surely up.
        let unsure = |word: &str| {
            if health < top && health >= rise {
                format!("{word} {}/{fall}", health - rise + 1)
            } else {
                word.to_owned()
            }
        };
        match self.status {
            ServerStatus::Up => "UP".to_owned(),
            ServerStatus::GoingDown => unsure("UP"),
            ServerStatus::Down => "DOWN".to_owned(),
            ServerStatus::GoingUp => format!("DOWN {health}/{rise}"),
            ServerStatus::DownByAgent => "DOWN (agent)".to_owned(),
            ServerStatus::Stopping => unsure("NOLB"),
            ServerStatus::NoCheck => "no check".to_owned(),
            ServerStatus::Maint => "MAINT".to_owned(),
            ServerStatus::MaintVia => match &self.tracked {
                Some(tracked) => format!("MAINT (via {tracked})"),
                None => "MAINT".to_owned(),
            },
            ServerStatus::MaintUnresolved => "MAINT (resolution)".to_owned(),
            ServerStatus::Drain => unsure("DRAIN"),
            ServerStatus::DrainByAgent => "DRAIN (agent)".to_owned(),
        }
    }
}

/// What a backend and a server count alike.
#[derive(Clone, Debug, Default)]
pub struct ServiceSnapshot {
    /// Clients that wait: for this server, or for whichever of the backend has room first.
    pub current_queue: u32,
    /// Most ever at once.
    pub max_queue: u32,
    /// Open sessions.
    pub current_sessions: u32,
    /// Most ever at once.
    pub max_sessions: u32,
    /// Sessions ever.
    pub sessions_total: u64,
    /// Sessions during the last second.
    pub session_rate: u32,
    /// Highest of those rates.
    pub max_session_rate: u32,
    /// Times a server was chosen (`lbtot`).
    pub loadbalanced_total: u64,
    /// Bytes from clients.
    pub bytes_in_total: u64,
    /// Bytes to clients.
    pub bytes_out_total: u64,
    /// Connects that failed for good (`econ`).
    pub connection_errors_total: u64,
    /// Sessions that the server broke off with an error (`eresp`).
    pub response_errors_total: u64,
    /// Connects tried again (`wretr`).
    pub retry_warnings_total: u64,
    /// Connects moved to another server (`wredis`).
    pub redispatch_warnings_total: u64,
    /// Sessions that the client aborted (`cli_abrt`).
    pub client_aborts_total: u64,
    /// Sessions that the server aborted (`srv_abrt`).
    pub server_aborts_total: u64,
    /// Connects, tries included (`connect`).
    pub connection_attempts_total: u64,
    /// Times that it went from up to down (`chkdown`).
    pub down_total: u64,
    /// Since the last change between up and down.
    pub last_change: Duration,
    /// Time spent down.
    pub downtime: Duration,
    /// Since the last session was assigned; `None`: never.
    pub last_session: Option<Duration>,
    /// Average of the last 1024 queue times.
    pub average_queue_time: Duration,
    /// Average of the last 1024 connect times.
    pub average_connect_time: Duration,
    /// Average of the last 1024 session times.
    pub average_session_time: Duration,
    /// Highest queue time.
    pub max_queue_time: Duration,
    /// Highest connect time.
    pub max_connect_time: Duration,
    /// Highest session time.
    pub max_session_time: Duration,
}

/// One backend.
#[derive(Clone, Debug)]
pub struct BackendSnapshot {
    /// Its place in the configuration; the two halves of a `listen` share it.
    pub position: usize,
    /// HAProxy's `iid`.
    pub id: u32,
    /// The section's name.
    pub name: String,
    /// Whether a server is usable.
    pub is_up: bool,
    /// What it counts.
    pub service: ServiceSnapshot,
    /// HAProxy's `slim` of a backend: its fullconn (a tenth of its frontends' maxconn).
    pub session_limit: u32,
    /// Total weight of the usable servers.
    pub weight: u32,
    /// Whether servers are in use that pass no check (`fail-open`).
    pub fails_open: bool,
    /// How often that began.
    pub fail_opens_total: u64,
    /// Usable servers that are no backups.
    pub active_servers: u32,
    /// Usable backups.
    pub backup_servers: u32,
    /// How a server is chosen.
    pub balance: Balance,
    /// In file order.
    pub servers: Vec<ServerSnapshot>,
}

/// One server of a backend.
#[derive(Clone, Debug)]
pub struct ServerSnapshot {
    /// HAProxy's `sid`.
    pub id: u32,
    /// Its name.
    pub name: String,
    /// Where it is.
    pub address: ServerAddress,
    /// The name that was looked up for the address; empty when there was none.
    pub host: String,
    /// Whether that name comes from a command.
    pub is_host_set: bool,
    /// What it is fit for.
    pub status: ServerStatus,
    /// The server that it tracks, as `backend/server`.
    pub tracked: Option<String>,
    /// What it counts.
    pub service: ServiceSnapshot,
    /// HAProxy's health counter and its top (`rise + fall - 1`).
    pub health: (u32, u32),
    /// `rise` and `fall`; zeroes when not checked.
    pub rise_fall: (u32, u32),
    /// Effective weight: less while it starts slowly.
    pub weight: u32,
    /// The weight that it has once it is fully started.
    pub full_weight: u32,
    /// The weight that the configuration gives it.
    pub configured_weight: u32,
    /// Whether it is a backup.
    pub backup: bool,
    /// Share of its weight that slowstart leaves it, in percent; `None`: it is not starting.
    pub throttle: Option<u8>,
    /// `maxqueue`; `None`: no limit of its own.
    pub queue_limit: Option<u32>,
    /// `maxconn`; `None`: no limit.
    pub session_limit: Option<u32>,
    /// What the operator wants of it, by source.
    pub admin: Admin,
    /// Whether the file says `disabled`.
    pub is_disabled_by_file: bool,
    /// Whether it is checked at all.
    pub is_checked: bool,
    /// Whether its checks run, as far as commands decide.
    pub checks_enabled: bool,
    /// The last check's outcome; `None` before the first or when not checked.
    pub last_check: Option<CheckOutcome>,
    /// Checks that failed (`chkfail`).
    pub check_failures_total: u64,
    /// Where checks go that do not go where the server is.
    pub check_place: OwnPlace,
    /// The same of its agent, or of one that it might have; a port of 0: it has none.
    pub agent_place: (Option<IpAddr>, u16),
    /// How often clients' connects called for action (`hanafail`); `None`: they are not observed.
    pub observed_failures_total: Option<u64>,
    /// Its agent; `None`: it has none.
    pub agent: Option<AgentSnapshot>,
}

/// The agent of a server.
#[derive(Clone, Debug)]
pub struct AgentSnapshot {
    /// Whether it is asked, as far as commands decide.
    pub is_enabled: bool,
    /// HAProxy's health counter, of a top of 1.
    pub health: u32,
    /// What it said last.
    pub said: AgentWord,
}

/// What an agent said last.
#[derive(Clone, Debug)]
pub enum AgentWord {
    /// It has not been asked yet.
    None,
    /// Nothing about being up or down.
    NoVerdict,
    /// This, or why it could not be asked.
    Verdict(CheckOutcome),
}
