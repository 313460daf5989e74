//! Backends, their servers and how those are checked.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};

use super::checks::CheckSettings;
use super::last::OfBackend;
use super::load::{queueing, server_load};
use super::runtime::saved_state;
use super::{Resolver, limit, value};
use crate::address::{self, Address, Family, Host, Port};
use crate::draft::{BackendDraft, InitAddr, ServerDraft};
use crate::rules::BackendRules;
use crate::{
    Backend, Balance, Global, Hashing, InitState, NodeKey, OnMarkedDown, OnMarkedUp, Place,
    Redispatch, Server, ServerAddress,
};

const DEFAULT_RETRIES: u32 = 3;

/// Whether a name may have this character: commands, tables and state files are read by what
/// others mean.
pub(crate) fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':')
}

/// A character as a message can show it.
fn shown(c: char) -> String {
    format!("'{}'", c.escape_debug())
}

impl Resolver<'_> {
    pub(super) fn backend(&mut self, draft: BackendDraft, id: u32, global: &Global) -> Backend {
        let mut check = self.check_settings(&draft);
        let connect_timeout = limit(draft.connect_timeout);
        let saved_state = saved_state(draft.saved, &draft.name.value, &global.runtime);
        let (name, environment) = (&draft.name.value, self.environment);
        let last = self.last.of(name, saved_state.as_deref(), environment);
        let servers = self.servers(draft.servers, &last, &mut check);
        Backend {
            position: draft.position,
            id,
            name: draft.name.value,
            place: draft.place,
            disabled: value(draft.disabled).unwrap_or(false),
            balance: value(draft.balance).unwrap_or(Balance::RoundRobin),
            hashing: Hashing {
                balance_factor: value(draft.hash_balance_factor).flatten(),
                ..value(draft.hash_type).unwrap_or_default()
            },
            servers,
            retries: value(draft.retries).unwrap_or(DEFAULT_RETRIES),
            redispatch: match value(draft.redispatch) {
                None => Redispatch::WhenFree,
                // An interval of 0 switches redispatching off, as in HAProxy.
                Some(None | Some(0)) => Redispatch::Never,
                Some(Some(interval)) => Redispatch::Always { interval },
            },
            health: super::health::policy(&draft.health),
            all_backups: value(draft.all_backups).unwrap_or(false),
            connect_timeout,
            server_timeout: limit(draft.server_timeout),
            server_fin_timeout: limit(draft.server_fin_timeout),
            tunnel_timeout: limit(draft.tunnel_timeout),
            queueing: queueing(draft.queueing, connect_timeout),
            saved_state,
            server_keepalive: value(draft.server_keepalive),
            log: self.proxy_logs(draft.logs, global),
            log_tag: value(draft.log_tag).unwrap_or_else(|| global.log_tag.clone()),
            rules: BackendRules::default(),
        }
    }

    fn servers(
        &mut self,
        drafts: Vec<ServerDraft>,
        last: &OfBackend,
        check: &mut CheckSettings,
    ) -> Vec<Server> {
        let mut names: HashMap<String, Place> = HashMap::with_capacity(drafts.len());
        let mut ids: BTreeSet<u32> = BTreeSet::new();
        let mut told: Option<&Place> = None;
        for draft in &drafts {
            // All servers of a template stand at one place.
            if told != Some(&draft.name.place)
                && let Some(wrong) = draft.name.value.chars().find(|c| !is_name_char(*c))
            {
                told = Some(&draft.name.place);
                let message = format!(
                    "character {} is not permitted in server name '{}'; use letters, digits and - _ . :",
                    shown(wrong),
                    draft.name.value.escape_debug()
                );
                self.error(&draft.name.place, message);
            }
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
            servers.extend(self.server(draft, id, last, check));
        }
        servers
    }

    fn server(
        &mut self,
        draft: ServerDraft,
        id: u32,
        last: &OfBackend,
        check: &mut CheckSettings,
    ) -> Option<Server> {
        let source = value(draft.options.net.source.clone()).or_else(|| check.source.clone());
        let has_resolvers = draft.options.net.resolution.resolvers.is_some();
        let mut methods =
            value(draft.options.init_addr.clone()).unwrap_or_else(|| match has_resolvers {
                // Who has resolvers need not be found at start.
                true => vec![InitAddr::Last, InitAddr::Libc, InitAddr::None],
                false => vec![InitAddr::Last, InitAddr::Libc],
            });
        if has_resolvers && draft.address.value.starts_with('_') {
            // A service, which only they find.
            methods = vec![InitAddr::None];
        }
        if self.environment.allow_unresolved_servers {
            methods.push(InitAddr::None);
        }
        let last = |name: &str| last.address(&draft.name.value, name);
        let found = match self.server_address(&draft.address.value, &methods, &last) {
            Ok(found) => found,
            Err(message) => {
                let message = format!("server '{}': {message}", draft.name.value);
                self.error(&draft.address.place, message);
                return None;
            }
        };
        if found.unresolved && !has_resolvers {
            let message = format!(
                "server '{}': could not resolve address '{}'; it starts in maintenance \
                 and stays there until a reload finds it",
                draft.name.value, found.host
            );
            self.warning(&draft.address.place, message);
        }
        let wants_check = value(draft.options.check.clone()).unwrap_or(false);
        let (connect, read) = (check.connect_timeout, check.check_timeout);
        let agent = self.agent(&draft, &found.address, connect, read);
        let observation = super::health::observation(&draft);
        let check = wants_check.then(|| self.check(&draft, &found.address, check));
        let resolution = &draft.options.net.resolution;
        let resolution = self.resolution(resolution, &found.host);
        let options = draft.options;
        Some(Server {
            id,
            name: draft.name.value,
            place: draft.place,
            address: found.address,
            host: found.host,
            unresolved: found.unresolved,
            resolution,
            weight: value(options.weight).unwrap_or(1),
            backup: value(options.backup).unwrap_or(false),
            disabled: value(options.disabled).unwrap_or(false),
            check: check.flatten(),
            tcp_user_timeout: limit(options.tcp_user_timeout),
            agent,
            observation,
            on_marked_down: value(options.on_marked_down).unwrap_or(OnMarkedDown::Keep),
            on_marked_up: value(options.load.on_marked_up.clone()).unwrap_or(OnMarkedUp::Keep),
            load: server_load(&options.load),
            init_state: value(options.load.init_state).unwrap_or(InitState::Up),
            // Linked once every server is known.
            track: None,
            send_proxy: options.net.send_proxy.resolved(),
            source,
            fast_open: value(options.net.fast_open).unwrap_or(false),
            node_key: value(options.node_key).unwrap_or(NodeKey::Id),
        })
    }

    /// `last` knows where the server was under a name.
    fn server_address(
        &mut self,
        text: &str,
        methods: &[InitAddr],
        last: &dyn Fn(&str) -> Option<IpAddr>,
    ) -> Result<Found, String> {
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
                    "missing address in '{text}'; if a variable stands for it, it has no value here \
                     (connecting to the client's own destination is not supported)"
                ));
            }
            Host::Name(name) => {
                let (ip, unresolved) = self.initial_address(&name, family, methods, last(&name))?;
                (ip, name, unresolved)
            }
        };
        let address = match port {
            // The records of a service say the port.
            Port::Missing if host.starts_with('_') => ServerAddress::Inet(SocketAddr::new(ip, 0)),
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
        last: Option<IpAddr>,
    ) -> Result<(IpAddr, bool), String> {
        let mut failure = None;
        for method in methods {
            match method {
                InitAddr::Last => {
                    if let Some(ip) = last.filter(|ip| family.admits(*ip)) {
                        return Ok((ip, false));
                    }
                }
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
