//! From [`Draft`] to [`Config`]: defaults applied, addresses and names resolved, backends linked,
//! every problem collected.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::address::{self, Address, Family, Host, Port};
use crate::draft::{
    BackendDraft, BindDraft, DefaultBackend, Draft, FrontendDraft, GlobalDraft, InitAddr, LogDraft,
    Maybe, ProxyLog, ServerDraft, Spanned,
};
use crate::{
    Backend, BackendId, Balance, Bind, BindAddress, Check, CheckKind, Config, Environment,
    Frontend, Global, IpVersions, Loaded, LogAddress, LogFormat, LogTarget, OnMarkedDown, Place,
    Problem, Redispatch, RelayMethod, Server, ServerAddress, SessionLog, SessionLogFormat,
    Severity,
};

const DEFAULT_LOG_TAG: &str = "evenkeel";
const DEFAULT_LOG_LENGTH: usize = 1024;
const SYSLOG_PORT: u16 = 514;
const DEFAULT_INTER: Duration = Duration::from_secs(2);
const DEFAULT_RISE: u32 = 2;
const DEFAULT_FALL: u32 = 3;
const DEFAULT_RETRIES: u32 = 3;
/// Identifier of the first proxy of a file, as in HAProxy.
const FIRST_PROXY_ID: u32 = 2;

/// Makes every value of `draft` final.
pub(crate) fn resolve(draft: Draft, environment: &Environment<'_>) -> Result<Loaded, Vec<Problem>> {
    let Draft {
        global,
        frontends,
        backends,
        problems,
        without_effect,
        notices,
    } = draft;
    let mut resolver = Resolver {
        environment,
        names: HashMap::new(),
        problems,
    };
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

    let mut resolved_frontends = Vec::with_capacity(frontends.len());
    for frontend in frontends {
        let default_backend = match &frontend.default_backend {
            DefaultBackend::Unset => None,
            DefaultBackend::Own => by_position.get(&frontend.position).copied(),
            DefaultBackend::Named(name) => {
                resolver.linked_backend(&frontend.name.value, name, &by_name)
            }
        };
        let id = proxy_ids[&frontend.position];
        resolved_frontends.push(resolver.frontend(frontend, id, default_backend, &global));
    }
    let backends = backends
        .into_iter()
        .map(|backend| {
            let id = proxy_ids[&backend.position];
            resolver.backend(backend, id, &global)
        })
        .collect();

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
            backends,
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
    environment: &'a Environment<'a>,
    /// Every host name asked so far: a file names the same master many times.
    names: HashMap<String, Result<Vec<IpAddr>, String>>,
    problems: Vec<Problem>,
}

impl Resolver<'_> {
    fn error(&mut self, place: &Place, message: impl Into<String>) {
        self.problems
            .push(Problem::error(place.clone(), message.into()));
    }

    fn warning(&mut self, place: &Place, message: impl Into<String>) {
        self.problems
            .push(Problem::warning(place.clone(), message.into()));
    }

    fn global(&mut self, draft: GlobalDraft) -> Global {
        Global {
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
            node: value(draft.node).unwrap_or_default(),
            description: value(draft.description).unwrap_or_default(),
            relay: value(draft.relay).unwrap_or(RelayMethod::Auto),
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
        let binds: Vec<Bind> = draft
            .binds
            .into_iter()
            .flat_map(|bind| self.binds(bind))
            .collect();
        Frontend {
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
                skip_null: value(draft.skip_null).unwrap_or(false),
                tag: value(draft.log_tag).unwrap_or_else(|| global.log_tag.clone()),
            },
        }
    }

    fn binds(&mut self, draft: BindDraft) -> Vec<Bind> {
        let mut addresses = Vec::new();
        let mut place = draft.address.place.clone();
        for text in draft.address.value.split(',') {
            // A comma at the end is no address more.
            if !text.is_empty() || addresses.is_empty() {
                match self.bind_addresses(text) {
                    Ok(found) => {
                        addresses.extend(found.into_iter().map(|address| (place.clone(), address)));
                    }
                    Err(message) => self.error(&place, format!("'bind': {message}")),
                }
            }
            place.column += u32::try_from(text.chars().count() + 1).unwrap_or(0);
        }
        addresses
            .into_iter()
            .map(|(place, address)| Bind {
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
                return Err(format!(
                    "missing port in '{text}'; write it after a colon, as in {text}:6443"
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
        let natural_format = match address {
            LogAddress::Udp(_) | LogAddress::Unix(_) => LogFormat::Rfc3164,
            LogAddress::Stdout | LogAddress::Stderr | LogAddress::Fd(_) => LogFormat::Raw,
        };
        Some(LogTarget {
            address,
            max_length: value(draft.max_length).unwrap_or(DEFAULT_LOG_LENGTH),
            format: value(draft.format).unwrap_or(natural_format),
            facility: value(draft.facility).unwrap_or(16),
            max_level: value(draft.max_level).unwrap_or(7),
            min_level: value(draft.min_level).unwrap_or(0),
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

    fn backend(&mut self, draft: BackendDraft, id: u32, global: &Global) -> Backend {
        let connect_timeout = limit(draft.connect_timeout);
        let check = CheckSettings {
            kind: value(draft.check_kind).unwrap_or(CheckKind::Connect),
            connect_timeout,
            check_timeout: limit(draft.check_timeout),
        };
        let servers = self.servers(draft.servers, &check);
        Backend {
            id,
            name: draft.name.value,
            place: draft.place,
            disabled: value(draft.disabled).unwrap_or(false),
            balance: value(draft.balance).unwrap_or(Balance::RoundRobin),
            servers,
            retries: value(draft.retries).unwrap_or(DEFAULT_RETRIES),
            redispatch: match value(draft.redispatch) {
                None => Redispatch::WhenFree,
                // An interval of 0 switches redispatching off, as in HAProxy.
                Some(None | Some(0)) => Redispatch::Never,
                Some(Some(interval)) => Redispatch::Always { interval },
            },
            all_backups: value(draft.all_backups).unwrap_or(false),
            connect_timeout,
            server_timeout: limit(draft.server_timeout),
            server_fin_timeout: limit(draft.server_fin_timeout),
            tunnel_timeout: limit(draft.tunnel_timeout),
            server_keepalive: value(draft.server_keepalive),
            log: self.proxy_logs(draft.logs, global),
            log_tag: value(draft.log_tag).unwrap_or_else(|| global.log_tag.clone()),
        }
    }

    fn servers(&mut self, drafts: Vec<ServerDraft>, check: &CheckSettings) -> Vec<Server> {
        let mut names: HashMap<String, Place> = HashMap::with_capacity(drafts.len());
        let mut ids: BTreeSet<u32> = BTreeSet::new();
        for draft in &drafts {
            if let Some(first) = names.get(&draft.name.value) {
                let message = format!(
                    "there is already a server '{}' at {}:{}; rename one",
                    draft.name.value, first.file, first.line
                );
                self.error(&draft.name.place, message);
            } else {
                names.insert(draft.name.value.clone(), draft.place.clone());
            }
            if let Some(id) = &draft.options.id
                && !ids.insert(id.value)
            {
                self.error(
                    &id.place,
                    format!("id {} belongs to another server", id.value),
                );
            }
        }
        let mut next = 1;
        let mut servers = Vec::with_capacity(drafts.len());
        for draft in drafts {
            let id = value(draft.options.id.clone()).unwrap_or_else(|| {
                while ids.contains(&next) {
                    next += 1;
                }
                ids.insert(next);
                next
            });
            servers.extend(self.server(draft, id, check));
        }
        servers
    }

    fn server(&mut self, draft: ServerDraft, id: u32, check: &CheckSettings) -> Option<Server> {
        let mut methods =
            value(draft.options.init_addr.clone()).unwrap_or_else(|| vec![InitAddr::Libc]);
        if self.environment.allow_unresolved_servers {
            methods.push(InitAddr::None);
        }
        let found = match self.server_address(&draft.address.value, &methods) {
            Ok(found) => found,
            Err(message) => {
                let message = format!("server '{}': {message}", draft.name.value);
                self.error(&draft.address.place, message);
                return None;
            }
        };
        if found.unresolved {
            let message = format!(
                "server '{}': could not resolve address '{}'; it starts in maintenance \
                 and stays there until a reload finds it",
                draft.name.value, found.host
            );
            self.warning(&draft.address.place, message);
        }
        let wants_check = value(draft.options.check.clone()).unwrap_or(false);
        let check = wants_check.then(|| self.check(&draft, &found.address, check));
        let options = draft.options;
        Some(Server {
            id,
            name: draft.name.value,
            place: draft.place,
            address: found.address,
            host: found.host,
            weight: value(options.weight).unwrap_or(1),
            backup: value(options.backup).unwrap_or(false),
            disabled: value(options.disabled).unwrap_or(false) || found.unresolved,
            check: check.flatten(),
            tcp_user_timeout: limit(options.tcp_user_timeout),
            on_marked_down: value(options.on_marked_down).unwrap_or(OnMarkedDown::Keep),
        })
    }

    fn server_address(&mut self, text: &str, methods: &[InitAddr]) -> Result<Found, String> {
        let (family, host, port) = match address::parse(text)? {
            Address::Unix(path) => return Ok(Found::fixed(ServerAddress::Unix(path))),
            Address::Abstract(name) => return Ok(Found::fixed(ServerAddress::Abstract(name))),
            Address::Fd(_) => return Err(format!("a file descriptor is no server, in '{text}'")),
            Address::Inet { family, host, port } => (family, host, port),
        };
        let (ip, host, unresolved) = match host {
            Host::Ip(ip) => (ip, String::new(), false),
            Host::Wildcard => {
                return Err(format!(
                    "missing address in '{text}'; connecting to the client's own destination is \
                     not supported"
                ));
            }
            Host::Name(name) => {
                let (ip, unresolved) = self.initial_address(&name, family, methods)?;
                (ip, name, unresolved)
            }
        };
        let address = match port {
            Port::Missing | Port::One(0) => ServerAddress::Mapped { ip, offset: 0 },
            Port::One(port) => ServerAddress::Inet(SocketAddr::new(ip, port)),
            Port::Offset(offset) => ServerAddress::Mapped { ip, offset },
            Port::Range(..) => return Err(format!("a port range means nothing here, in '{text}'")),
        };
        Ok(Found {
            address,
            host,
            unresolved,
        })
    }

    /// The address to start with, and whether it is none (`init-addr none`).
    fn initial_address(
        &mut self,
        name: &str,
        family: Family,
        methods: &[InitAddr],
    ) -> Result<(IpAddr, bool), String> {
        let mut failure = None;
        for method in methods {
            match method {
                InitAddr::Last => {}
                InitAddr::Libc => match self.lookup(name, family) {
                    Ok(ip) => return Ok((ip, false)),
                    Err(message) => failure = Some(message),
                },
                InitAddr::None => return Ok((family.wildcard(), true)),
                InitAddr::Ip(ip) => return Ok((*ip, false)),
            }
        }
        let failure = failure.unwrap_or_else(|| {
            format!("no method of 'init-addr' found an address for '{name}'; add 'libc' to it")
        });
        Err(format!(
            "{failure}, or let it start without ('init-addr last,libc,none')"
        ))
    }

    fn check(
        &mut self,
        draft: &ServerDraft,
        server: &ServerAddress,
        settings: &CheckSettings,
    ) -> Option<Check> {
        let options = &draft.options;
        let mut ip_and_port = match server {
            ServerAddress::Inet(address) => (Some(address.ip()), Some(address.port())),
            ServerAddress::Mapped { ip, .. } => (Some(*ip), None),
            ServerAddress::Unix(_) | ServerAddress::Abstract(_) => (None, None),
        };
        if let Some(text) = &options.check_address {
            match self.check_host(&text.value) {
                Ok((ip, port)) => ip_and_port = (Some(ip), port.or(ip_and_port.1)),
                Err(message) => {
                    self.error(&text.place, format!("'addr': {message}"));
                    return None;
                }
            }
        }
        if let Some(port) = &options.check_port {
            ip_and_port.1 = Some(port.value);
        }
        let address = match ip_and_port {
            (Some(ip), Some(port)) => ServerAddress::Inet(SocketAddr::new(ip, port)),
            (None, _) => server.clone(),
            (Some(_), None) => {
                let place = options
                    .check
                    .as_ref()
                    .map_or(&draft.place, |check| &check.place);
                let message = format!(
                    "server '{}' has neither a port nor a check port; add 'port N' to it",
                    draft.name.value
                );
                self.error(place, message);
                return None;
            }
        };
        let inter = value(options.inter.clone()).unwrap_or(DEFAULT_INTER);
        let connect_timeout = match (settings.check_timeout, settings.connect_timeout) {
            (Some(_), Some(connect)) => connect.min(inter),
            _ => inter,
        };
        Some(Check {
            kind: settings.kind,
            address,
            inter,
            fastinter: value(options.fastinter.clone()).unwrap_or(inter),
            downinter: value(options.downinter.clone()).unwrap_or(inter),
            rise: value(options.rise.clone()).unwrap_or(DEFAULT_RISE),
            fall: value(options.fall.clone()).unwrap_or(DEFAULT_FALL),
            connect_timeout,
            read_timeout: settings.check_timeout.unwrap_or(inter),
        })
    }

    /// The host of `addr`, and a port if it names one.
    fn check_host(&mut self, text: &str) -> Result<(IpAddr, Option<u16>), String> {
        // Without a port, the last colon of a bare IPv6 address is not the port's.
        if let Ok(ip) = text.parse() {
            return Ok((ip, None));
        }
        let Address::Inet { family, host, port } = address::parse(text)? else {
            return Err(format!("'{text}' is not the address of a host"));
        };
        let ip = match host {
            Host::Ip(ip) => ip,
            Host::Name(name) => self.lookup(&name, family)?,
            Host::Wildcard => return Err(format!("missing address in '{text}'")),
        };
        match port {
            Port::Missing | Port::One(0) => Ok((ip, None)),
            Port::One(port) => Ok((ip, Some(port))),
            Port::Range(..) | Port::Offset(_) => Err(format!("one port is needed in '{text}'")),
        }
    }
}

/// What a backend says about the checks of its servers.
struct CheckSettings {
    kind: CheckKind,
    connect_timeout: Option<Duration>,
    check_timeout: Option<Duration>,
}

/// A server's address and how it was found.
struct Found {
    address: ServerAddress,
    host: String,
    unresolved: bool,
}

impl Found {
    fn fixed(address: ServerAddress) -> Self {
        Self {
            address,
            host: String::new(),
            unresolved: false,
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
pub(crate) fn did_you_mean<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> String {
    // Beyond a slip in every four characters, a guess only confuses.
    let slips = 1 + word.chars().count() / 4;
    candidates
        .map(|candidate| (strsim::osa_distance(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= slips && *distance < candidate.chars().count())
        .min()
        .map_or_else(String::new, |(_, candidate)| {
            format!("; did you mean '{candidate}'?")
        })
}
