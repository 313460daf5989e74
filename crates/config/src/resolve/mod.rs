//! From [`Draft`] to [`Config`]: defaults applied, addresses and names resolved, backends linked,
//! every problem collected. Backends and their servers are in [`servers`].

mod checks;
mod health;
mod http;
mod last;
mod load;
mod log_lines;
mod net;
mod privileges;
mod resolvers;
mod rules;
mod runtime;
mod servers;

pub(crate) use servers::is_name_char;
use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::address::{self, Address, Family, Host, Port};
use crate::draft::{
    BackendDraft, BindDraft, DefaultBackend, Draft, FrontendDraft, GlobalDraft, LogDraft,
    LogLinesDraft, Maybe, ProxyLog, Spanned,
};
use crate::rules::{FrontendId, FrontendRules};
use crate::words::Word;
use crate::{
    BackendId, Bind, BindAddress, BusyPolling, Config, Environment, Frontend, Global, IpVersions,
    Loaded, LogAddress, LogFormat, LogHost, LogTarget, Place, Problem, RelayMethod, SessionLog,
    SessionLogFormat, Severity,
};

const DEFAULT_LOG_TAG: &str = "evenkeel";
const DEFAULT_LOG_LENGTH: usize = 1024;
const SYSLOG_PORT: u16 = 514;
/// As much as a relay reads in one go.
const DEFAULT_PIPE_BYTES: usize = 1 << 20;
/// Percent of a core: three quarters stay for the work itself.
const DEFAULT_POLLING_SHARE: u8 = 25;
/// Identifier of the first proxy of a file, as in HAProxy.
const FIRST_PROXY_ID: u32 = 2;

/// Makes every value of `draft` final.
pub(crate) fn resolve(draft: Draft, environment: &Environment<'_>) -> Result<Loaded, Vec<Problem>> {
    let Draft {
        global,
        frontends,
        backends,
        resolvers,
        userlists,
        problems,
        without_effect,
        notices,
    } = draft;
    let mut resolver = Resolver {
        log_host: LogHost::Nobody,
        environment,
        names: HashMap::new(),
        last: last::LastAddresses::default(),
        problems,
        resolvers: Vec::new(),
    };
    resolver.read_resolvers(resolvers);
    let global = resolver.global(global);
    let proxy_ids = resolver.proxy_ids(&frontends, &backends);

    resolver.unique_names("frontend", frontends.iter().map(|f| (&f.name, &f.place)));
    resolver.unique_names("backend", backends.iter().map(|b| (&b.name, &b.place)));
    let by_name: HashMap<&str, BackendId> = backends
        .iter()
        .enumerate()
        .map(|(index, backend)| (backend.name.value.as_str(), BackendId(index)))
        .collect();
    let by_position: HashMap<usize, BackendId> = backends
        .iter()
        .enumerate()
        .map(|(index, backend)| (backend.position, BackendId(index)))
        .collect();

    let mut sections = Vec::with_capacity(frontends.len() + backends.len());
    let lines: Vec<LogLinesDraft> = frontends.iter().map(|f| f.log_lines.clone()).collect();
    let mut resolved_frontends = Vec::with_capacity(frontends.len());
    let mut answering = Vec::new();
    for mut frontend in frontends {
        let default_backend = match &frontend.default_backend {
            DefaultBackend::Unset => None,
            DefaultBackend::Own => by_position.get(&frontend.position).copied(),
            DefaultBackend::Named(name) => {
                resolver.linked_backend(&frontend.name.value, name, &by_name)
            }
        };
        let id = proxy_ids[&frontend.position];
        sections.push(rules::Section {
            rules: std::mem::take(&mut frontend.rules),
            frontend: Some(FrontendId(resolved_frontends.len())),
            backend: by_position.get(&frontend.position).copied(),
        });
        answering.extend(frontend.http.take().map(|draft| http::Answering {
            frontend: FrontendId(resolved_frontends.len()),
            backend: by_position.get(&frontend.position).copied(),
            draft: *draft,
        }));
        resolved_frontends.push(resolver.frontend(frontend, id, default_backend, &global));
    }
    let follows = load::follows(&backends);
    let mut resolved_backends = Vec::with_capacity(backends.len());
    for mut backend in backends {
        let id = proxy_ids[&backend.position];
        sections.extend(backend.rules.take().map(|rules| rules::Section {
            rules,
            frontend: None,
            backend: Some(BackendId(resolved_backends.len())),
        }));
        resolved_backends.push(resolver.backend(backend, id, &global));
    }
    resolver.link_tracking(&follows, &mut resolved_backends);
    resolver.log_lines(
        &lines,
        &mut resolved_frontends,
        &resolved_backends,
        &sections,
    );
    rules::link(
        sections,
        &mut resolved_frontends,
        &mut resolved_backends,
        &userlists,
        environment,
        &mut resolver.problems,
    );
    http::link(
        answering,
        &mut resolved_frontends,
        &resolved_backends,
        &userlists,
        environment,
        &mut resolver.problems,
    );

    let problems = resolver.problems;
    if problems
        .iter()
        .any(|problem| problem.severity == Severity::Error)
    {
        return Err(problems);
    }
    Ok(Loaded {
        config: Config {
            global,
            frontends: resolved_frontends,
            backends: resolved_backends,
            resolvers: resolver.resolvers,
        },
        warnings: problems,
        without_effect: without_effect
            .into_iter()
            .map(|line| (line.place, line.value))
            .collect(),
        notices: notices
            .into_iter()
            .map(|notice| (notice.place, notice.value))
            .collect(),
    })
}

struct Resolver<'a> {
    /// Whose name syslog lines bear.
    log_host: LogHost,
    environment: &'a Environment<'a>,
    /// Every host name asked so far: a file names the same master many times.
    names: HashMap<String, Result<Vec<IpAddr>, String>>,
    /// Where servers were when an earlier process ended.
    last: last::LastAddresses,
    problems: Vec<Problem>,
    /// The sections of name servers.
    resolvers: Vec<crate::Resolvers>,
}

impl Resolver<'_> {
    fn has_errors(&self) -> bool {
        let mut problems = self.problems.iter();
        problems.any(|problem| problem.severity == Severity::Error)
    }

    fn error(&mut self, place: &Place, message: impl Into<String>) {
        self.problems
            .push(Problem::error(place.clone(), message.into()));
    }

    fn warning(&mut self, place: &Place, message: impl Into<String>) {
        self.problems
            .push(Problem::warning(place.clone(), message.into()));
    }

    fn global(&mut self, draft: GlobalDraft) -> Global {
        self.log_host = value(draft.log_host).unwrap_or(LogHost::Nobody);
        let busy_polling = value(draft.busy_polling).unwrap_or(BusyPolling::Auto);
        if let Some(share) = &draft.busy_polling_share
            && busy_polling != BusyPolling::Auto
        {
            let message = format!(
                "'busy-polling-share' has no effect: only 'busy-polling' \"auto\" keeps to a share, and it is \"{}\"",
                busy_polling.word()
            );
            self.warning(&share.place, message);
        }
        Global {
            privileges: privileges::privileges(&draft.privileges),
            descriptors: privileges::descriptors(&draft.privileges),
            runtime: self.runtime(draft.runtime),
            maxconn: value(draft.maxconn).filter(|&maxconn| maxconn > 0),
            threads: value(draft.threads),
            pidfile: value(draft.pidfile),
            daemon: value(draft.daemon).unwrap_or(false),
            hard_stop_after: limit(draft.hard_stop_after),
            log: draft
                .logs
                .into_iter()
                .filter_map(|log| self.log_target(log))
                .collect(),
            log_tag: value(draft.log_tag).unwrap_or_else(|| DEFAULT_LOG_TAG.to_owned()),
            spread_checks: value(draft.spread_checks).unwrap_or(0),
            max_spread_checks: limit(draft.max_spread_checks),
            node: value(draft.node).unwrap_or_default(),
            description: value(draft.description).unwrap_or_default(),
            relay: value(draft.relay).unwrap_or(RelayMethod::Auto),
            pipe_bytes: value(draft.pipe_bytes).unwrap_or(DEFAULT_PIPE_BYTES),
            busy_polling,
            busy_polling_share: value(draft.busy_polling_share).unwrap_or(DEFAULT_POLLING_SHARE),
            admin: value(draft.admin),
        }
    }

    /// The id of each section by its position: the one it asks for, else the next free one.
    fn proxy_ids(
        &mut self,
        frontends: &[FrontendDraft],
        backends: &[BackendDraft],
    ) -> HashMap<usize, u32> {
        let wanted: HashMap<usize, &Spanned<u32>> = frontends
            .iter()
            .map(|frontend| (frontend.position, &frontend.id))
            .chain(
                backends
                    .iter()
                    .map(|backend| (backend.position, &backend.id)),
            )
            .filter_map(|(position, id)| Some((position, id.as_ref()?)))
            .collect();
        let positions: BTreeSet<usize> = frontends
            .iter()
            .map(|frontend| frontend.position)
            .chain(backends.iter().map(|backend| backend.position))
            .collect();
        let mut taken = BTreeSet::new();
        let mut ids = HashMap::new();
        for &position in &positions {
            if let Some(id) = wanted.get(&position) {
                if !taken.insert(id.value) {
                    self.error(
                        &id.place,
                        format!("id {} belongs to another proxy", id.value),
                    );
                }
                ids.insert(position, id.value);
            }
        }
        let mut next = FIRST_PROXY_ID;
        // A section that was left out (a stats page) keeps its number, as in HAProxy.
        for position in 0..=positions.last().copied().unwrap_or(0) {
            if ids.contains_key(&position) {
                continue;
            }
            while taken.contains(&next) {
                next += 1;
            }
            ids.insert(position, next);
            next += 1;
        }
        ids
    }

    fn unique_names<'d>(
        &mut self,
        what: &str,
        sections: impl Iterator<Item = (&'d Spanned<String>, &'d Place)>,
    ) {
        let mut seen: HashMap<&str, &Place> = HashMap::new();
        for (name, place) in sections {
            if let Some(first) = seen.get(name.value.as_str()) {
                let message = format!(
                    "{what} '{0}' has the same name as {what} '{0}' declared at {1}:{2}; rename one",
                    name.value, first.file, first.line
                );
                self.error(&name.place, message);
            } else {
                seen.insert(&name.value, place);
            }
        }
    }

    fn linked_backend(
        &mut self,
        frontend: &str,
        name: &Spanned<String>,
        by_name: &HashMap<&str, BackendId>,
    ) -> Option<BackendId> {
        let found = by_name.get(name.value.as_str()).copied();
        if found.is_none() {
            let hint = did_you_mean(&name.value, by_name.keys().copied());
            let message = format!(
                "frontend '{frontend}': there is no backend '{}' for default_backend{hint}",
                name.value
            );
            self.error(&name.place, message);
        }
        found
    }

    fn frontend(
        &mut self,
        draft: FrontendDraft,
        id: u32,
        default_backend: Option<BackendId>,
        global: &Global,
    ) -> Frontend {
        let mut binds: Vec<Bind> = draft
            .binds
            .iter()
            .flat_map(|bind| self.binds(bind.clone()))
            .collect();
        self.number_binds(&draft.binds, &mut binds);
        Frontend {
            position: draft.position,
            id,
            name: draft.name.value,
            place: draft.place,
            disabled: value(draft.disabled).unwrap_or(false),
            binds,
            default_backend,
            maxconn: value(draft.maxconn).filter(|&maxconn| maxconn > 0),
            backlog: value(draft.backlog).filter(|&backlog| backlog > 0),
            client_timeout: limit(draft.client_timeout),
            client_fin_timeout: limit(draft.client_fin_timeout),
            client_keepalive: value(draft.client_keepalive),
            log: SessionLog {
                targets: self.proxy_logs(draft.logs, global),
                format: value(draft.log_format).unwrap_or(SessionLogFormat::Connect),
                line: None,
                structured: None,
                skip_normal: value(draft.log_lines.skip_normal).unwrap_or(false),
                as_soon_as_possible: value(draft.log_lines.as_soon_as_possible).unwrap_or(false),
                errors_apart: value(draft.log_lines.errors_apart).unwrap_or(false),
                skip_null: value(draft.skip_null).unwrap_or(false),
                tag: value(draft.log_tag).unwrap_or_else(|| global.log_tag.clone()),
            },
            http: None,
            rules: FrontendRules::default(),
        }
    }

    fn binds(&mut self, draft: BindDraft) -> Vec<Bind> {
        let mut addresses = Vec::new();
        let mut place = draft.address.place.clone();
        // A comma at the end is no address more.
        let list = draft
            .address
            .value
            .strip_suffix(',')
            .unwrap_or(&draft.address.value);
        for text in list.split(',') {
            match self.bind_addresses(text) {
                Ok(found) => {
                    addresses.extend(found.into_iter().map(|address| (place.clone(), address)));
                }
                Err(message) => self.error(&place, format!("'bind': {message}")),
            }
            place.column += u32::try_from(text.chars().count() + 1).unwrap_or(0);
        }
        addresses
            .into_iter()
            .map(|(place, address)| Bind {
                access: privileges::access(&address, &draft.access),
                place,
                address,
                name: draft
                    .name
                    .clone()
                    .map_or_else(String::new, |name| name.value),
                maxconn: value(draft.maxconn.clone()).filter(|&maxconn| maxconn > 0),
                backlog: value(draft.backlog.clone()).filter(|&backlog| backlog > 0),
                interface: value(draft.interface.clone()),
                ip_versions: value(draft.ip_versions.clone()).unwrap_or(IpVersions::System),
                transparent: value(draft.transparent.clone()).unwrap_or(false),
                tcp_user_timeout: limit(draft.tcp_user_timeout.clone()),
                // Given once all are known.
                id: value(draft.net.id.clone()).unwrap_or(0),
                accept_proxy: value(draft.net.accept_proxy.clone()).unwrap_or(false),
                mss: value(draft.net.mss.clone()),
                fast_open: value(draft.net.fast_open.clone()).unwrap_or(false),
                defer_accept: value(draft.net.defer_accept.clone()).unwrap_or(false),
            })
            .collect()
    }

    fn bind_addresses(&mut self, text: &str) -> Result<Vec<BindAddress>, String> {
        let (family, host, port) = match address::parse(text)? {
            Address::Unix(path) => return Ok(vec![BindAddress::Unix(path)]),
            Address::Abstract(name) => return Ok(vec![BindAddress::Abstract(name)]),
            Address::Fd(fd) => return Ok(vec![BindAddress::Fd(fd)]),
            Address::Inet { family, host, port } => (family, host, port),
        };
        let ip = match host {
            Host::Wildcard => family.wildcard(),
            Host::Ip(ip) => ip,
            Host::Name(name) => self.lookup(&name, family)?,
        };
        let (first, last) = match port {
            Port::Missing => {
                let as_in = match !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
                    true => format!(":{text}"),
                    false => format!("{text}:6443"),
                };
                return Err(format!(
                    "missing port in '{text}'; write it after a colon, as in {as_in}"
                ));
            }
            Port::Offset(_) => {
                return Err(format!("a port offset means nothing here, in '{text}'"));
            }
            Port::One(0) => return Err(format!("port 0 cannot be listened on, in '{text}'")),
            Port::One(port) => (port, port),
            Port::Range(first, last) => (first, last),
        };
        Ok((first..=last)
            .map(|port| BindAddress::Inet(SocketAddr::new(ip, port)))
            .collect())
    }

    /// The first address of `name` that the family admits.
    fn lookup(&mut self, name: &str, family: Family) -> Result<IpAddr, String> {
        let environment = self.environment;
        let found = self
            .names
            .entry(name.to_owned())
            .or_insert_with(|| (environment.lookup)(name).map_err(|error| error.to_string()));
        let reason = match found {
            Ok(addresses) => match addresses.iter().find(|ip| family.admits(**ip)) {
                Some(&ip) => return Ok(ip),
                None if addresses.is_empty() => "it has no address".to_owned(),
                None => "it has no address of that family".to_owned(),
            },
            Err(error) => error.clone(),
        };
        Err(format!(
            "could not resolve address '{name}' ({reason}); write an IP address or add the name to \
             /etc/hosts"
        ))
    }

    fn proxy_logs(&mut self, logs: Vec<ProxyLog>, global: &Global) -> Vec<LogTarget> {
        let mut targets = Vec::new();
        for log in logs {
            match log {
                ProxyLog::Global => targets.extend(global.log.iter().cloned()),
                ProxyLog::Own(log) => targets.extend(self.log_target(log)),
            }
        }
        targets
    }

    fn log_target(&mut self, draft: LogDraft) -> Option<LogTarget> {
        let address = match self.log_address(&draft.address.value) {
            Ok(address) => address,
            Err(message) => {
                self.error(&draft.address.place, format!("'log': {message}"));
                return None;
            }
        };
        Some(LogTarget {
            address,
            max_length: value(draft.max_length).unwrap_or(DEFAULT_LOG_LENGTH),
            format: value(draft.format).unwrap_or(LogFormat::Local),
            facility: value(draft.facility).unwrap_or(16),
            max_level: value(draft.max_level).unwrap_or(7),
            min_level: value(draft.min_level).unwrap_or(0),
            host: self.log_host.clone(),
        })
    }

    fn log_address(&mut self, text: &str) -> Result<LogAddress, String> {
        match text {
            "stdout" => return Ok(LogAddress::Stdout),
            "stderr" => return Ok(LogAddress::Stderr),
            _ => {}
        }
        match address::parse_datagram(text)? {
            Address::Unix(path) => Ok(LogAddress::Unix(path)),
            Address::Fd(fd) => Ok(LogAddress::Fd(fd)),
            Address::Abstract(_) => Err(format!("abstract sockets take no logs, in '{text}'")),
            Address::Inet { family, host, port } => {
                let ip = match host {
                    Host::Ip(ip) => ip,
                    Host::Name(name) => self.lookup(&name, family)?,
                    Host::Wildcard => return Err(format!("missing address in '{text}'")),
                };
                let port = match port {
                    Port::Missing => SYSLOG_PORT,
                    Port::One(port) => port,
                    Port::Range(..) | Port::Offset(_) => {
                        return Err(format!("one port is needed in '{text}'"));
                    }
                };
                Ok(LogAddress::Udp(SocketAddr::new(ip, port)))
            }
        }
    }
}

fn value<T>(field: Maybe<T>) -> Option<T> {
    field.map(|spanned| spanned.value)
}

/// A time in which zero means that there is no limit.
fn limit(field: Maybe<Duration>) -> Option<Duration> {
    value(field).filter(|time| !time.is_zero())
}

/// `; did you mean 'x'?` for the candidate that is surely meant, or nothing.
#[must_use]
pub fn did_you_mean<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> String {
    // More names than this are read by no one, and comparing them all would take long where every
    // one of them is mistaken.
    const MOST_CANDIDATES: usize = 1000;
    // Beyond a slip in every four characters, a guess only confuses.
    let slips = 1 + word.chars().count() / 4;
    // Most keywords are written small.
    let small = word.to_ascii_lowercase();
    let distance = |candidate: &str| {
        strsim::osa_distance(word, candidate).min(strsim::osa_distance(&small, candidate))
    };
    candidates
        .take(MOST_CANDIDATES)
        .map(|candidate| (distance(candidate), candidate))
        .filter(|(distance, candidate)| *distance <= slips && *distance < candidate.chars().count())
        .min()
        .map_or_else(String::new, |(_, candidate)| {
            format!("; did you mean '{candidate}'?")
        })
}

/// `hint`, or what is odd about `word`, or what to do otherwise.
pub(crate) fn or_slip(hint: String, word: &str, otherwise: &str) -> String {
    let slip = match hint.is_empty() {
        true => crate::slips::slip(word),
        false => hint,
    };
    match slip.is_empty() {
        true => otherwise.to_owned(),
        false => slip,
    }
}
