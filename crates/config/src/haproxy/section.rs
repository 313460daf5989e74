//! A proxy section while it is read: what it says so far, its `defaults` section's lines included.

use std::time::Duration;

use super::keywords::{Http, OptionSupport};
use super::options::ServerLine;
use crate::check::{CheckDraft, Rules};
use crate::draft::{
    BindDraft, HealthDraft, LogLinesDraft, Maybe, ProxyLog, QueueDraft, SavedDraft, Spanned,
};
use crate::rules::RulesDraft;
use crate::{Balance, ConnectFrom, Hashing, Keepalive, Place};

/// What kind of section it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Defaults,
    Frontend,
    Backend,
    Listen,
}

impl Kind {
    pub(super) fn section(self) -> &'static str {
        match self {
            Self::Defaults => "defaults",
            Self::Frontend => "frontend",
            Self::Backend => "backend",
            Self::Listen => "listen",
        }
    }

    pub(super) fn accepts(self) -> bool {
        matches!(self, Self::Frontend | Self::Listen)
    }

    pub(super) fn connects(self) -> bool {
        matches!(self, Self::Backend | Self::Listen)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Tcp,
    Http,
    /// `mode log`, `mode spop` and the like.
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LineFormat {
    Tcp,
    TcpClf,
    Http,
    /// `option httpslog`.
    Https,
    /// `log-format`.
    Custom,
}

/// One proxy section; a copy of its `defaults` section to begin with.
#[derive(Clone)]
pub(super) struct Proxy {
    pub(super) kind: Kind,
    pub(super) name: Spanned<String>,
    pub(super) place: Place,
    pub(super) position: usize,
    pub(super) id: Maybe<u32>,
    pub(super) mode: Maybe<Mode>,
    pub(super) disabled: Maybe<bool>,
    pub(super) binds: Vec<BindDraft>,
    pub(super) default_backend: Maybe<String>,
    pub(super) maxconn: Maybe<u32>,
    pub(super) backlog: Maybe<u32>,
    pub(super) timeouts: Timeouts,
    pub(super) queueing: QueueDraft,
    pub(super) saved: SavedDraft,
    pub(super) keepalive: KeepaliveOptions,
    pub(super) splice: Splice,
    pub(super) logs: Vec<ProxyLog>,
    pub(super) log_format: Maybe<LineFormat>,
    pub(super) log_lines: LogLinesDraft,
    pub(super) skip_null: Maybe<bool>,
    pub(super) log_tag: Maybe<String>,
    pub(super) balance: Maybe<Balance>,
    pub(super) hash_type: Maybe<Hashing>,
    pub(super) hash_balance_factor: Maybe<Option<u32>>,
    pub(super) retries: Maybe<u32>,
    pub(super) source: Maybe<ConnectFrom>,
    pub(super) redispatch: Maybe<Option<i32>>,
    pub(super) health: HealthDraft,
    pub(super) all_backups: Maybe<bool>,
    pub(super) check: Maybe<CheckDraft>,
    /// Rules of `tcp-check` and of `http-check`.
    pub(super) tcp_checks: CheckRules,
    pub(super) http_checks: CheckRules,
    pub(super) default_server: ServerLine,
    pub(super) servers: Vec<(Spanned<String>, Spanned<String>, Place, ServerLine)>,
    pub(super) rules: RulesDraft,
    /// Keywords that need mode http.
    pub(super) http: Vec<HttpLine>,
    /// Keywords that do nothing, or must not be ignored.
    pub(super) verdicts: Vec<Verdict>,
}

/// Rules of a kind of check.
#[derive(Clone, Default)]
pub(super) struct CheckRules {
    pub(super) rules: Rules,
    /// Where the first of them stands.
    pub(super) place: Option<Place>,
    /// Whether they are a `defaults` section's, which own ones take the place of.
    pub(super) is_inherited: bool,
}

impl CheckRules {
    fn inherited(self) -> Self {
        Self {
            is_inherited: true,
            ..self
        }
    }
}

#[derive(Clone, Default)]
pub(super) struct Timeouts {
    pub(super) connect: Maybe<Duration>,
    pub(super) check: Maybe<Duration>,
    pub(super) server: Maybe<Duration>,
    pub(super) server_fin: Maybe<Duration>,
    pub(super) tunnel: Maybe<Duration>,
    pub(super) client: Maybe<Duration>,
    pub(super) client_fin: Maybe<Duration>,
    pub(super) http_request: Maybe<Duration>,
    pub(super) http_keep_alive: Maybe<Duration>,
}

/// `option tcpka` and its kin, for each leg.
#[derive(Clone, Default)]
pub(super) struct KeepaliveOptions {
    pub(super) client: Leg,
    pub(super) server: Leg,
}

#[derive(Clone)]
pub(super) struct Leg {
    pub(super) on: Maybe<bool>,
    pub(super) settings: Keepalive,
}

impl Default for Leg {
    fn default() -> Self {
        Self {
            on: None,
            settings: Keepalive {
                idle: None,
                interval: None,
                probes: None,
            },
        }
    }
}

impl Leg {
    pub(super) fn resolved(&self) -> Maybe<Keepalive> {
        let on = self.on.clone().filter(|on| on.value)?;
        Some(on.map(|_| self.settings))
    }
}

/// Which `option splice-...` are set.
#[derive(Clone, Default)]
pub(super) struct Splice {
    pub(super) auto: Maybe<bool>,
    pub(super) request: Maybe<bool>,
    pub(super) response: Maybe<bool>,
}

/// A line whose keyword needs mode http.
#[derive(Clone)]
pub(super) struct HttpLine {
    pub(super) name: &'static str,
    pub(super) kind: Http,
    pub(super) place: Place,
    pub(super) arguments: Vec<Spanned<String>>,
    /// The section it stands in: a `defaults` section's are its own.
    pub(super) section: Place,
    pub(super) text: String,
}

/// A line that does nothing here, or must not be ignored.
#[derive(Clone)]
pub(super) struct Verdict {
    pub(super) support: OptionSupport,
    pub(super) subject: String,
    pub(super) key: &'static str,
    pub(super) place: Place,
    pub(super) text: String,
}

impl Proxy {
    /// A new section; what `base` says holds for it unless it says otherwise.
    pub(super) fn begin(
        kind: Kind,
        name: Spanned<String>,
        place: Place,
        position: usize,
        base: Option<Proxy>,
    ) -> Self {
        match base {
            Some(base) => Self {
                kind,
                name,
                place,
                position,
                id: None,
                binds: Vec::new(),
                servers: Vec::new(),
                verdicts: Vec::new(),
                tcp_checks: base.tcp_checks.inherited(),
                http_checks: base.http_checks.inherited(),
                ..base
            },
            None => Self {
                kind,
                name,
                place,
                position,
                id: None,
                mode: None,
                disabled: None,
                binds: Vec::new(),
                default_backend: None,
                maxconn: None,
                backlog: None,
                timeouts: Timeouts::default(),
                queueing: QueueDraft::default(),
                saved: SavedDraft::default(),
                keepalive: KeepaliveOptions::default(),
                splice: Splice::default(),
                logs: Vec::new(),
                log_format: None,
                log_lines: LogLinesDraft::default(),
                skip_null: None,
                log_tag: None,
                balance: None,
                hash_type: None,
                hash_balance_factor: None,
                retries: None,
                source: None,
                redispatch: None,
                health: HealthDraft::default(),
                all_backups: None,
                check: None,
                tcp_checks: CheckRules::default(),
                http_checks: CheckRules::default(),
                default_server: ServerLine::default(),
                servers: Vec::new(),
                rules: RulesDraft::default(),
                http: Vec::new(),
                verdicts: Vec::new(),
            },
        }
    }

    pub(super) fn mode(&self) -> Mode {
        self.mode.as_ref().map_or(Mode::Tcp, |mode| mode.value)
    }

    /// How messages call it, in HAProxy's words.
    pub(super) fn who(&self) -> String {
        let what = match self.kind {
            Kind::Defaults => return "this 'defaults' section".to_owned(),
            Kind::Frontend => "frontend",
            Kind::Backend => "backend",
            Kind::Listen => "proxy",
        };
        format!("{what} '{}'", self.name.value)
    }
}
