//! The one model that both languages are read into. Every value is final: defaults are applied,
//! names are linked, times are [`Duration`]s. `None` always means something of its own ("no
//! limit", "not checked"), never "not set".

mod health;
mod http;
mod load;
pub(crate) mod log_line;
mod net;
mod privileges;
mod resolvers;
mod runtime;
pub use health::*;
pub use http::*;
mod balance;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::Place;
use crate::check::Script;
use crate::rules::{BackendRules, FrontendRules};

pub use balance::{
    Balance, HashConverter, HashFetch, HashFunction, HashKey, HashMethod, Hashing, NodeKey,
};
pub use load::*;
pub use log_line::*;
pub use net::*;
pub use privileges::*;
pub use resolvers::*;
pub use runtime::*;

/// A whole configuration, ready to run.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// What concerns the process.
    pub global: Global,
    /// In file order; a `listen` section gives one here and one in `backends`, of the same `id`.
    pub frontends: Vec<Frontend>,
    /// In file order; [`BackendId`] is the index.
    pub backends: Vec<Backend>,
    /// Who is asked for names that may change, in file order.
    pub resolvers: Vec<Resolvers>,
}

impl Config {
    /// The backend behind `id`.
    #[must_use]
    pub fn backend(&self, id: BackendId) -> &Backend {
        &self.backends[id.0]
    }

    /// The same configuration as if it came from nowhere: two files mean the same if these are
    /// equal.
    #[must_use]
    pub fn without_places(mut self) -> Self {
        let nowhere = Place::whole_file("");
        self.global.privileges.forget_places(&nowhere);
        self.global.runtime.forget_places(&nowhere);
        for frontend in &mut self.frontends {
            frontend.place = nowhere.clone();
            frontend.position = 0;
            for bind in &mut frontend.binds {
                bind.place = nowhere.clone();
            }
        }
        for resolvers in &mut self.resolvers {
            resolvers.place = nowhere.clone();
        }
        for backend in &mut self.backends {
            backend.place = nowhere.clone();
            backend.position = 0;
            for server in &mut backend.servers {
                server.place = nowhere.clone();
            }
        }
        self
    }
}

/// Index of a backend in [`Config::backends`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BackendId(pub usize);

/// What concerns the process as a whole (HAProxy manual, section 3).
#[derive(Clone, Debug, PartialEq)]
pub struct Global {
    /// Concurrent client connections of the process; `None`: as many as the descriptor limit
    /// carries, worked out at start.
    pub maxconn: Option<u32>,
    /// `nbthread`; `None`: one per available CPU.
    pub threads: Option<u16>,
    /// Where to write the process id.
    pub pidfile: Option<PathBuf>,
    /// `daemon`: fork into the background after binding.
    pub daemon: bool,
    /// How long a draining generation may live; `None`: for ever.
    pub hard_stop_after: Option<Duration>,
    /// Where messages of the process itself go (server up/down, stop).
    pub log: Vec<LogTarget>,
    /// The tag of a syslog line, `haproxy` in HAProxy's own and here the program's name.
    pub log_tag: String,
    /// `spread-checks`: random share, in percent (0-50), added to or taken from check intervals.
    pub spread_checks: u8,
    /// `max-spread-checks`: how far apart the first checks may be; `None`: as far as the shortest
    /// interval has it.
    pub max_spread_checks: Option<Duration>,
    /// `node`, shown in metrics; empty when not set.
    pub node: String,
    /// `description`, shown in metrics; empty when not set.
    pub description: String,
    /// How bytes are moved.
    pub relay: RelayMethod,
    /// `tune.pipesize`: what the kernel is asked to let a pipe hold that bytes are spliced through.
    pub pipe_bytes: usize,
    /// Whether a thread that has nothing to do asks the kernel again rather than sleep.
    pub busy_polling: BusyPolling,
    /// Most of one core, in percent (1-100), that polling may cost under [`BusyPolling::Auto`];
    /// the other two have no use for it.
    pub busy_polling_share: u8,
    /// Where /metrics, /healthz and /readyz are served; `None`: nowhere.
    pub admin: Option<SocketAddr>,
    /// With which rights the process serves.
    pub privileges: Privileges,
    /// How many descriptors it may open.
    pub descriptors: Descriptors,
    /// Where commands are taken.
    pub runtime: Runtime,
}

/// How bytes are moved between client and server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelayMethod {
    /// Let the relay choose.
    Auto,
    /// Read and write through one large buffer per thread.
    Copy,
    /// splice(2) through a kernel pipe.
    Splice,
}

/// What a thread does that has nothing to do. Waking a thread that sleeps costs a message more time
/// than all else in a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BusyPolling {
    /// It polls for a moment before it sleeps, while that pays: within
    /// [`Global::busy_polling_share`], and not at all while no connection says anything.
    Auto,
    /// It never sleeps: a whole core a thread, as HAProxy's `busy-polling`.
    On,
    /// It sleeps.
    Off,
}

/// A set of listening addresses and what happens to connections accepted there.
#[derive(Clone, Debug, PartialEq)]
pub struct Frontend {
    /// Which section of the configuration it is, from 0; the two halves of a `listen` share it.
    pub position: usize,
    /// HAProxy's proxy id (`iid`): 2 for the first proxy of the file, a `listen`'s two halves
    /// share it.
    pub id: u32,
    /// Unique among frontends.
    pub name: String,
    /// Where the section begins.
    pub place: Place,
    /// Whether the section says `disabled`: bound by nobody, serving nobody.
    pub disabled: bool,
    /// In file order, port ranges expanded.
    pub binds: Vec<Bind>,
    /// Where connections go; `None`: accepted and closed, as HAProxy does (`<NOSRV>`).
    pub default_backend: Option<BackendId>,
    /// Concurrent connections of this frontend; `None`: only the process's limit.
    pub maxconn: Option<u32>,
    /// `backlog`; `None`: as long as the kernel allows.
    pub backlog: Option<u32>,
    /// `timeout client`; `None`: no limit.
    pub client_timeout: Option<Duration>,
    /// `timeout client-fin`; `None`: as `client_timeout`.
    pub client_fin_timeout: Option<Duration>,
    /// `option clitcpka` (or `tcpka` in its own section): TCP keepalive toward clients.
    pub client_keepalive: Option<Keepalive>,
    /// Session logs.
    pub log: SessionLog,
    /// What it answers by itself, in mode http; `None`: it carries TCP to its backend.
    pub http: Option<Box<LocalHttp>>,
    /// What decides about connections one by one.
    pub rules: FrontendRules,
}

/// One listening socket (HAProxy manual, section 5.1).
#[derive(Clone, Debug, PartialEq)]
pub struct Bind {
    /// Where the address stands in the file.
    pub place: Place,
    /// Where to listen.
    pub address: BindAddress,
    /// HAProxy's number of the socket, unique in its frontend, from 1 in file order unless `id`.
    pub id: u32,
    /// `name`, HAProxy's in statistics; empty when not set.
    pub name: String,
    /// Concurrent connections of this socket; `None`: only the frontend's limit.
    pub maxconn: Option<u32>,
    /// `backlog` of this socket; `None`: the frontend's.
    pub backlog: Option<u32>,
    /// `interface`: SO_BINDTODEVICE.
    pub interface: Option<String>,
    /// What an IPv6 wildcard accepts.
    pub ip_versions: IpVersions,
    /// `transparent`: IP_TRANSPARENT.
    pub transparent: bool,
    /// `tcp-ut`: TCP_USER_TIMEOUT toward clients.
    pub tcp_user_timeout: Option<Duration>,
    /// Whose a Unix socket is and who may connect to it.
    /// `accept-proxy`: connections begin with a PROXY protocol header, whose addresses count.
    pub accept_proxy: bool,
    /// `mss`: the largest segment announced to clients.
    pub mss: Option<u16>,
    /// `tfo`: TCP Fast Open.
    pub fast_open: bool,
    /// `defer-accept`: a connection is accepted once its client has said something.
    pub defer_accept: bool,
    /// Whose a Unix socket is and who may connect to it.
    pub access: UnixAccess,
}

/// Where a [`Bind`] listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum BindAddress {
    /// An IP address and port.
    Inet(SocketAddr),
    /// A path of the file system.
    Unix(PathBuf),
    /// A name of Linux's abstract socket namespace (`abns@`).
    Abstract(Vec<u8>),
    /// An inherited descriptor that already listens (`fd@N`).
    Fd(i32),
}

/// What an IPv6 wildcard socket accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IpVersions {
    /// The system's default (net.ipv6.bindv6only).
    System,
    /// `v4v6`: both.
    V4V6,
    /// `v6only`: IPv6 alone.
    V6Only,
}

/// TCP keepalive (`option tcpka` and its kin); `None` leaves the kernel's default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive {
    /// TCP_KEEPIDLE.
    pub idle: Option<Duration>,
    /// TCP_KEEPINTVL.
    pub interval: Option<Duration>,
    /// TCP_KEEPCNT.
    pub probes: Option<u32>,
}

/// Which sessions are logged, how and where (HAProxy manual, section 8).
#[derive(Clone, Debug, PartialEq)]
pub struct SessionLog {
    /// Where lines go; empty: nothing is logged.
    pub targets: Vec<LogTarget>,
    /// What a line looks like.
    pub format: SessionLogFormat,
    /// `log-format`: what a line looks like instead.
    pub line: Option<Arc<LogLine>>,
    /// `log-format-sd`: the structured data of RFC 5424.
    pub structured: Option<Arc<LogLine>>,
    /// `option dontlog-normal`: no line for a session that went well.
    pub skip_normal: bool,
    /// `option logasap`: the line is written when the server is reached.
    pub as_soon_as_possible: bool,
    /// `option log-separate-errors`: a session that did not go well is logged as an error.
    pub errors_apart: bool,
    /// `option dontlognull`: no line for a session in which the client sent nothing.
    pub skip_null: bool,
    /// The tag of a syslog line.
    pub tag: String,
}

impl SessionLog {
    /// Whether a session's line is written before anything is known but who connected.
    #[must_use]
    pub fn is_written_at_accept(&self) -> bool {
        self.format == SessionLogFormat::Connect && self.line.is_none()
    }
}

/// What a session's line looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionLogFormat {
    /// `Connect from 10.0.0.1:1 to 10.0.0.2:6443 (fe/TCP)`, written at accept.
    Connect,
    /// `option tcplog`.
    Tcp,
    /// `option tcplog clf` (3.x).
    TcpClf,
    /// `option httplog`, in mode http alone.
    Http,
}

/// One `log` line: where to send, as what, and how severe a message must be.
#[derive(Clone, Debug, PartialEq)]
pub struct LogTarget {
    /// Where to.
    pub address: LogAddress,
    /// Longest line in bytes, 1024 unless `len` says otherwise.
    pub max_length: usize,
    /// `format`.
    pub format: LogFormat,
    /// Syslog facility, 0 (kern) to 23 (local7).
    pub facility: u8,
    /// The least severe level that is sent: 0 (emerg) to 7 (debug); 7 when not set.
    pub max_level: u8,
    /// The most severe level shown: worse ones are sent as this one; 0 when not set.
    pub min_level: u8,
    /// Whose name a line bears.
    pub host: LogHost,
}

/// Whose name a syslog line bears (`log-send-hostname`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogHost {
    /// Nobody's.
    Nobody,
    /// This machine's.
    Own,
    /// This one.
    Named(String),
}

/// Where log lines go.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum LogAddress {
    /// Syslog over UDP.
    Udp(SocketAddr),
    /// A datagram Unix socket such as /dev/log.
    Unix(PathBuf),
    /// The standard output.
    Stdout,
    /// The standard error.
    Stderr,
    /// An inherited descriptor (`fd@N`).
    Fd(i32),
}

/// How a line is framed before it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// `<PRI>Mon dd hh:mm:ss host tag[pid]: text`.
    Rfc3164,
    /// RFC 5424.
    Rfc5424,
    /// The text alone.
    Raw,
    /// `<level>text`: what systemd takes from a service's output.
    Short,
    /// An ISO date, a space, the text (`iso`).
    Iso,
    /// `<PRI>Mon dd hh:mm:ss tag[pid]: text`, without host name: HAProxy's default everywhere,
    /// stdout included (`local`).
    Local,
    /// `<PRI>text` without date (`priority`).
    Priority,
    /// `short` with the date (`timed`).
    Timed,
    /// As the process's own messages: what `short` is where the journal reads, elsewhere a line with time
    /// and level, or an object where they are objects. In TOML alone (`auto`).
    Auto,
}

/// A set of servers and how one is chosen.
#[derive(Clone, Debug, PartialEq)]
pub struct Backend {
    /// Which section of the configuration it is, from 0; the two halves of a `listen` share it.
    pub position: usize,
    /// HAProxy's proxy id (`iid`).
    pub id: u32,
    /// Unique among backends.
    pub name: String,
    /// Where the section begins.
    pub place: Place,
    /// Whether the section says `disabled`.
    pub disabled: bool,
    /// How a server is chosen.
    pub balance: Balance,
    /// `hash-type`, `hash-balance-factor`: what [`Balance`] makes of a hash.
    pub hashing: Hashing,
    /// In file order, names unique.
    pub servers: Vec<Server>,
    /// `retries`: how often a failed connect is tried again, 3 unless set.
    pub retries: u32,
    /// When a retry may go to another server.
    pub redispatch: Redispatch,
    /// What verdicts on its servers do.
    pub health: HealthPolicy,
    /// `option allbackups`: all backups share the load once no other server is usable.
    pub all_backups: bool,
    /// `timeout connect`, per attempt; `None`: no limit of the file's.
    pub connect_timeout: Option<Duration>,
    /// `timeout server`; `None`: no limit.
    pub server_timeout: Option<Duration>,
    /// `timeout server-fin`; `None`: as `server_timeout`.
    pub server_fin_timeout: Option<Duration>,
    /// `timeout tunnel`: replaces both inactivity timeouts once connected.
    pub tunnel_timeout: Option<Duration>,
    /// How clients wait for room.
    pub queueing: Queueing,
    /// The file from which a start takes over what was known of its servers
    /// (`load-server-state-from-file`); `None`: they begin anew.
    pub saved_state: Option<PathBuf>,
    /// `option srvtcpka` (or `tcpka` in its own section).
    pub server_keepalive: Option<Keepalive>,
    /// Session log of a backend matters only for its server state messages.
    pub log: Vec<LogTarget>,
    /// The tag of a syslog line.
    pub log_tag: String,
    /// What decides about connections one by one.
    pub rules: BackendRules,
}

/// When a failed connect may go to another server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Redispatch {
    /// `no option redispatch`: never.
    Never,
    /// The file does not say: at once wherever nothing pins the client to a server.
    WhenFree,
    /// `option redispatch [interval]`: as HAProxy does; the interval in retries, negative counts
    /// back from the last (-1: the last retry).
    Always {
        /// Every so many retries.
        interval: i32,
    },
}

/// One server of a backend (HAProxy manual, section 5.2).
#[derive(Clone, Debug, PartialEq)]
pub struct Server {
    /// HAProxy's server id (`sid`), unique in its backend, from 1 in file order unless `id`.
    pub id: u32,
    /// Unique in its backend.
    pub name: String,
    /// Where the line begins.
    pub place: Place,
    /// Where to connect.
    pub address: ServerAddress,
    /// The host as written when it was a name that was looked up; empty otherwise.
    pub host: String,
    /// Whether no address was found for it: it starts in maintenance.
    pub unresolved: bool,
    /// How its name is kept resolved while the process runs.
    pub resolution: Option<Resolution>,
    /// 0-256; 0: gets no new connections.
    pub weight: u16,
    /// Used only when no other server is usable.
    pub backup: bool,
    /// `disabled`: starts in maintenance.
    pub disabled: bool,
    /// How it is checked; `None`: never, always up.
    pub check: Option<Check>,
    /// `tcp-ut`: TCP_USER_TIMEOUT toward the server.
    pub tcp_user_timeout: Option<Duration>,
    /// The agent that is asked about it.
    pub agent: Option<Agent>,
    /// Whether connects of clients count like checks.
    pub observation: Option<Observation>,
    /// What a DOWN mark does to its open connections.
    pub on_marked_down: OnMarkedDown,
    /// What coming up does to sessions on backups.
    pub on_marked_up: OnMarkedUp,
    /// What it may be given.
    pub load: ServerLoad,
    /// What it is taken for before its first check.
    pub init_state: InitState,
    /// The server whose state it follows; `None`: it has a state of its own.
    pub track: Option<Tracked>,
    /// The PROXY protocol header that its connections begin with.
    pub send_proxy: Option<SendProxy>,
    /// Where connections to it come from; `None`: wherever the system has it.
    pub source: Option<ConnectFrom>,
    /// `tfo`: what is to be sent at once goes out with the SYN.
    pub fast_open: bool,
    /// `hash-key`: where it has its points on the ring of `hash-type consistent`.
    pub node_key: NodeKey,
}

/// Where to connect to a server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ServerAddress {
    /// An IP address and a fixed port.
    Inet(SocketAddr),
    /// An IP address; the port is the one the client came in on, moved by `offset` (`+N`, `-N`,
    /// or no port at all: 0).
    Mapped {
        /// The server's address.
        ip: std::net::IpAddr,
        /// Added to the client's destination port.
        offset: i32,
    },
    /// A path of the file system.
    Unix(PathBuf),
    /// A name of Linux's abstract socket namespace.
    Abstract(Vec<u8>),
}

/// What a DOWN mark does to a server's open connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnMarkedDown {
    /// They stay (HAProxy's default).
    Keep,
    /// `on-marked-down shutdown-sessions`: they are closed.
    ShutdownSessions,
}

/// Since when an answer may take as long as it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerSince {
    /// The connect began: one `inter` bounds it all.
    Start,
    /// The connection, with its TLS, was established: `timeout check`.
    Established,
}

/// How a server's health is checked (HAProxy manual, section 5.2, `check`).
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    /// What is asked, step by step.
    pub script: Arc<Script>,
    /// The backend's name and the server's, for steps that name them.
    pub names: Arc<(String, String)>,
    /// Where: the server's address unless `addr`/`port` say otherwise.
    pub address: ServerAddress,
    /// What of that is its own rather than the server's.
    pub own: OwnPlace,
    /// Between checks of a server that is surely up.
    pub inter: Duration,
    /// Between checks while the state is changing; `inter` unless set.
    pub fastinter: Duration,
    /// Between checks of a server that is surely down; `inter` unless set.
    pub downinter: Duration,
    /// Successes in a row until UP.
    pub rise: u32,
    /// Failures in a row until DOWN.
    pub fall: u32,
    /// How long the connect may take: min(timeout connect, inter) with `timeout check`, else
    /// `inter`.
    pub connect_timeout: Duration,
    /// How long an answer may take: `timeout check`, else `inter`.
    pub read_timeout: Duration,
    /// Since when that is counted.
    pub answer_since: AnswerSince,
    /// The PROXY protocol header that a check's connection begins with.
    pub send_proxy: Option<SendProxy>,
    /// Where checks come from.
    pub source: Option<ConnectFrom>,
}
