//! What a reader found in the text, before defaults are applied and names are linked.
//!
//! Every field is optional and every value knows its [`Place`], so that `resolve` can point at the
//! word that is wrong. A reader applies the inheritance of its own language (`defaults` sections,
//! `default-server`) and leaves everything else to `resolve`. What it could not read goes into
//! [`Draft::problems`]; reading goes on, so that all problems are reported at once.

mod health;
mod http;
mod load;
mod net;
mod privileges;
mod resolvers;
mod runtime;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::check::{CheckDraft, Rules, TlsDraft};
use crate::rules::RulesDraft;
use crate::{
    Balance, BusyPolling, ConnectFrom, Hashing, IpVersions, Keepalive, LogFormat, LogHost, NodeKey,
    OnMarkedDown, Place, Problem, RelayMethod, SessionLogFormat, UserList,
};

pub(crate) use health::{HealthDraft, ServerHealthDraft};
pub(crate) use http::{LocalHttpDraft, Slot};
pub(crate) use load::{LoadOptions, QueueDraft};
pub(crate) use net::{BindNet, SendProxyDraft, ServerNet};
pub(crate) use privileges::{AccessDraft, PrivilegesDraft, UnixBindDraft};
pub(crate) use resolvers::{HoldDraft, ResolutionDraft, ResolversDraft};
pub(crate) use runtime::{RuntimeDraft, SavedDraft, SavedFrom, StatsSocketDraft};

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spanned<T> {
    /// What was said.
    pub value: T,
    /// Where.
    pub place: Place,
}

impl<T> Spanned<T> {
    /// `value`, said at `place`.
    pub fn new(value: T, place: Place) -> Self {
        Self { value, place }
    }

    /// The same place with a changed value.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Spanned<U> {
        Spanned {
            value: change(self.value),
            place: self.place,
        }
    }
}

/// A value that the text may leave out.
pub type Maybe<T> = Option<Spanned<T>>;

/// A whole configuration as read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Draft {
    pub(crate) global: GlobalDraft,
    pub(crate) frontends: Vec<FrontendDraft>,
    pub(crate) backends: Vec<BackendDraft>,
    pub(crate) resolvers: Vec<ResolversDraft>,
    /// Who may see pages.
    pub(crate) userlists: Vec<UserList>,
    /// Errors and warnings of the reader.
    pub(crate) problems: Vec<Problem>,
    /// Lines that were accepted and change nothing.
    pub(crate) without_effect: Vec<Spanned<String>>,
    /// What the text itself wants to be told (`.notice`).
    pub(crate) notices: Vec<Spanned<String>>,
}

/// See [`crate::Global`].
#[derive(Clone, Debug, Default)]
pub(crate) struct GlobalDraft {
    pub(crate) maxconn: Maybe<u32>,
    pub(crate) threads: Maybe<u16>,
    pub(crate) pidfile: Maybe<PathBuf>,
    pub(crate) daemon: Maybe<bool>,
    pub(crate) hard_stop_after: Maybe<Duration>,
    pub(crate) logs: Vec<LogDraft>,
    pub(crate) log_tag: Maybe<String>,
    pub(crate) log_host: Maybe<LogHost>,
    pub(crate) spread_checks: Maybe<u8>,
    pub(crate) max_spread_checks: Maybe<Duration>,
    pub(crate) node: Maybe<String>,
    pub(crate) description: Maybe<String>,
    pub(crate) relay: Maybe<RelayMethod>,
    pub(crate) pipe_bytes: Maybe<usize>,
    pub(crate) busy_polling: Maybe<BusyPolling>,
    pub(crate) busy_polling_share: Maybe<u8>,
    pub(crate) admin: Maybe<SocketAddr>,
    pub(crate) privileges: PrivilegesDraft,
    pub(crate) runtime: RuntimeDraft,
}

/// See [`crate::Frontend`].
#[derive(Clone, Debug)]
pub(crate) struct FrontendDraft {
    /// Which section of the configuration it is, from 0; the two halves of a `listen` share it.
    pub(crate) position: usize,
    pub(crate) id: Maybe<u32>,
    pub(crate) name: Spanned<String>,
    pub(crate) place: Place,
    pub(crate) disabled: Maybe<bool>,
    pub(crate) binds: Vec<BindDraft>,
    pub(crate) default_backend: DefaultBackend,
    pub(crate) maxconn: Maybe<u32>,
    pub(crate) backlog: Maybe<u32>,
    /// Zero, here and in the other timeouts: no limit.
    pub(crate) client_timeout: Maybe<Duration>,
    pub(crate) client_fin_timeout: Maybe<Duration>,
    pub(crate) client_keepalive: Maybe<Keepalive>,
    pub(crate) logs: Vec<ProxyLog>,
    pub(crate) log_format: Maybe<SessionLogFormat>,
    pub(crate) log_lines: LogLinesDraft,
    pub(crate) skip_null: Maybe<bool>,
    pub(crate) log_tag: Maybe<String>,
    /// What it answers by itself, in mode http.
    pub(crate) http: Option<Box<LocalHttpDraft>>,
    /// A `listen` section's rules are all here.
    pub(crate) rules: RulesDraft,
}

/// What a frontend's lines look like and which are written, beside their format.
#[derive(Clone, Debug, Default)]
pub(crate) struct LogLinesDraft {
    pub(crate) custom: Maybe<String>,
    pub(crate) structured: Maybe<String>,
    pub(crate) skip_normal: Maybe<bool>,
    pub(crate) as_soon_as_possible: Maybe<bool>,
    pub(crate) errors_apart: Maybe<bool>,
}

/// Where a frontend's connections go.
#[derive(Clone, Debug)]
pub(crate) enum DefaultBackend {
    /// Nowhere: the text names none.
    Unset,
    /// To the backend of this name.
    Named(Spanned<String>),
    /// To the backend of the same `position`: the other half of a `listen`.
    Own,
}

/// See [`crate::Bind`]; a list of addresses or a range of ports makes several of one draft.
#[derive(Clone, Debug)]
pub(crate) struct BindDraft {
    /// As written: `10.0.1.10:6443,*:80-90`, `unix@/run/x`, `fd@3`.
    pub(crate) address: Spanned<String>,
    pub(crate) name: Maybe<String>,
    pub(crate) maxconn: Maybe<u32>,
    pub(crate) backlog: Maybe<u32>,
    pub(crate) interface: Maybe<String>,
    pub(crate) ip_versions: Maybe<IpVersions>,
    pub(crate) transparent: Maybe<bool>,
    pub(crate) tcp_user_timeout: Maybe<Duration>,
    /// Of a Unix socket.
    pub(crate) access: AccessDraft,
    pub(crate) net: BindNet,
}

/// One log target of a frontend or backend.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "a file has a handful of them")]
pub(crate) enum ProxyLog {
    /// Every target of the global section.
    Global,
    /// One of its own.
    Own(LogDraft),
}

/// See [`crate::LogTarget`].
#[derive(Clone, Debug)]
pub(crate) struct LogDraft {
    /// As written: `/dev/log`, `10.0.0.1:514`, `stdout`, `fd@2`.
    pub(crate) address: Spanned<String>,
    pub(crate) max_length: Maybe<usize>,
    pub(crate) format: Maybe<LogFormat>,
    pub(crate) facility: Maybe<u8>,
    pub(crate) max_level: Maybe<u8>,
    pub(crate) min_level: Maybe<u8>,
}

/// See [`crate::Backend`].
#[derive(Clone, Debug)]
pub(crate) struct BackendDraft {
    /// Which section of the configuration it is, from 0; the two halves of a `listen` share it.
    pub(crate) position: usize,
    pub(crate) id: Maybe<u32>,
    pub(crate) name: Spanned<String>,
    pub(crate) place: Place,
    pub(crate) disabled: Maybe<bool>,
    pub(crate) balance: Maybe<Balance>,
    /// `hash-type` alone; the factor is below.
    pub(crate) hash_type: Maybe<Hashing>,
    pub(crate) hash_balance_factor: Maybe<Option<u32>>,
    pub(crate) servers: Vec<ServerDraft>,
    pub(crate) retries: Maybe<u32>,
    /// `None` inside: never; otherwise the interval.
    pub(crate) redispatch: Maybe<Option<i32>>,
    pub(crate) health: HealthDraft,
    pub(crate) all_backups: Maybe<bool>,
    pub(crate) connect_timeout: Maybe<Duration>,
    pub(crate) check_timeout: Maybe<Duration>,
    pub(crate) server_timeout: Maybe<Duration>,
    pub(crate) server_fin_timeout: Maybe<Duration>,
    pub(crate) tunnel_timeout: Maybe<Duration>,
    pub(crate) queueing: QueueDraft,
    pub(crate) saved: SavedDraft,
    pub(crate) server_keepalive: Maybe<Keepalive>,
    pub(crate) check: Maybe<CheckDraft>,
    pub(crate) check_rules: Rules,
    /// For the servers that say nothing of it.
    pub(crate) source: Maybe<ConnectFrom>,
    pub(crate) logs: Vec<ProxyLog>,
    pub(crate) log_tag: Maybe<String>,
    /// `None`: the frontend half of the section has them.
    pub(crate) rules: Option<RulesDraft>,
}

/// See [`crate::Server`] and [`crate::Check`].
#[derive(Clone, Debug)]
pub(crate) struct ServerDraft {
    pub(crate) place: Place,
    pub(crate) name: Spanned<String>,
    /// As written: `10.0.1.11:6443`, `master1:6443`, `unix@/run/x`, `10.0.1.11:+1000`.
    pub(crate) address: Spanned<String>,
    pub(crate) options: ServerOptions,
}

/// What a `default-server` line can say as well.
#[derive(Clone, Debug, Default)]
pub(crate) struct ServerOptions {
    pub(crate) id: Maybe<u32>,
    pub(crate) weight: Maybe<u16>,
    pub(crate) backup: Maybe<bool>,
    pub(crate) disabled: Maybe<bool>,
    pub(crate) check: Maybe<bool>,
    /// Where checks go instead, as written.
    pub(crate) check_address: Maybe<String>,
    pub(crate) check_port: Maybe<u16>,
    pub(crate) check_tls: TlsDraft,
    pub(crate) inter: Maybe<Duration>,
    pub(crate) fastinter: Maybe<Duration>,
    pub(crate) downinter: Maybe<Duration>,
    pub(crate) rise: Maybe<u32>,
    pub(crate) fall: Maybe<u32>,
    pub(crate) tcp_user_timeout: Maybe<Duration>,
    pub(crate) health: ServerHealthDraft,
    pub(crate) on_marked_down: Maybe<OnMarkedDown>,
    pub(crate) load: LoadOptions,
    pub(crate) node_key: Maybe<NodeKey>,
    /// How the address is found at start, tried in this order; unset: by name look-up.
    pub(crate) init_addr: Maybe<Vec<InitAddr>>,
    pub(crate) net: ServerNet,
}

/// One method of `init-addr`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InitAddr {
    /// From the state file; there is none here, so it never finds anything.
    Last,
    /// By name look-up.
    Libc,
    /// Start without an address, in maintenance.
    None,
    /// This one.
    Ip(std::net::IpAddr),
}
