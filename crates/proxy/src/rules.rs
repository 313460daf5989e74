//! Judges rules for one connection: whether it is let in, which backend and which server it gets.
//! What conditions mean is the configuration's; here is what they ask of a running proxy.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use evenkeel_config::BackendId;
use evenkeel_config::rules::{
    BackendChoice, BackendFact, Converter, End, Facts, Fetch, Found, FrontendFact, NamePart,
    NamePattern, Outcome, Sample, ServerFact, ServerId, Side, TcpAction, TcpRule, Unit, UseServer,
};

use crate::backend::{Backend, client_ip};
use crate::inspect::Sent;
use crate::relay::Stream;
use crate::server::Server;
use crate::session::Frontend;
use crate::sockets::LocalAddresses;
use crate::stats::FrontendStats;

/// What conditions may name: every frontend and backend of a generation.
pub(crate) struct World {
    /// By their place in the configuration.
    pub(crate) frontends: Vec<Arc<FrontendStats>>,
    /// By their place in the configuration.
    pub(crate) backends: Vec<Arc<Backend>>,
}

/// One connection as rules see it.
pub(crate) struct Scene<'a> {
    pub(crate) frontend: &'a Frontend,
    /// Which `bind` of the frontend it came in by.
    pub(crate) bind: usize,
    pub(crate) arrival: Arrival<'a>,
    /// The client, as a PROXY protocol header names it, if there was one.
    pub(crate) peer: Option<SocketAddr>,
    /// Where it went, as that header says.
    pub(crate) told: Option<SocketAddr>,
    /// Where its connection comes from.
    pub(crate) source: Option<SocketAddr>,
    pub(crate) accepted: SystemTime,
    /// What it has sent, as far as rules look into it.
    pub(crate) sent: &'a Sent,
    /// Once it is chosen.
    pub(crate) backend: Option<&'a Backend>,
    /// Once it is chosen.
    pub(crate) reached: Option<Reached<'a>>,
}

/// The server of a session, and the ends of the connection to it as far as they are known.
#[derive(Clone, Copy)]
pub(crate) struct Reached<'a> {
    pub(crate) server: &'a Server,
    pub(crate) to: Option<SocketAddr>,
    pub(crate) from: Option<SocketAddr>,
}

/// Where a connection came to.
#[derive(Clone, Copy)]
pub(crate) enum Arrival<'a> {
    /// To where this one is bound, which is asked for once a rule wants to know.
    At(&'a Stream),
    /// There; `None`: it is no place of the network.
    Known(Option<SocketAddr>),
}

impl Arrival<'_> {
    pub(crate) fn address(self) -> Option<SocketAddr> {
        match self {
            Self::At(stream) => stream.local_address(),
            Self::Known(address) => address,
        }
    }
}

/// What the first rule that applies does, and whether one before it wants a PROXY protocol header;
/// `None`: that takes more of what the client sends.
pub(crate) fn verdict(rules: &[TcpRule], scene: &Scene<'_>) -> Option<(TcpAction, bool)> {
    let mut expects_proxy = false;
    for rule in rules {
        let condition = rule.condition.as_ref();
        match condition.map_or(Outcome::Pass, |condition| condition.judge(scene)) {
            Outcome::Fail => continue,
            Outcome::Miss => return None,
            Outcome::Pass => {}
        }
        match rule.action {
            TcpAction::ExpectProxy => expects_proxy = true,
            action => return Some((action, expects_proxy)),
        }
    }
    Some((TcpAction::Accept, expects_proxy))
}

/// The backend that `use_backend` chooses, by its place among the frontend's routes; `None`: its
/// default one.
pub(crate) fn route(scene: &Scene<'_>) -> Option<usize> {
    let frontend = scene.frontend;
    let rules = &frontend.config.rules.backends;
    let rule = rules.iter().find(|rule| {
        let condition = rule.condition.as_ref();
        condition.is_none_or(|condition| condition.judge(scene) == Outcome::Pass)
    });
    let id = match &rule?.backend {
        BackendChoice::Fixed(id) => *id,
        BackendChoice::Named(pattern) => {
            let name = name(pattern, scene);
            let mut all = frontend.world.backends.iter();
            BackendId(all.position(|backend| backend.config.name.as_bytes() == name)?)
        }
    };
    frontend.routes.iter().position(|route| route.id == id)
}

/// The server that `use-server` chooses: the first that a rule names and that is up.
pub(crate) fn wanted_server(scene: &Scene<'_>, backend: &Backend) -> Option<usize> {
    let rule = |rule: &&UseServer| {
        backend.servers[rule.server].state.fitness().view().is_up()
            && rule.condition.judge(scene) == Outcome::Pass
    };
    let mut rules = backend.config.rules.servers.iter();
    rules.find(rule).map(|rule| rule.server)
}

fn name(pattern: &NamePattern, scene: &Scene<'_>) -> Vec<u8> {
    let mut name = Vec::new();
    for part in &pattern.parts {
        match part {
            NamePart::Text(text) => name.extend_from_slice(text.as_bytes()),
            NamePart::Sample(fetch, converters) => {
                let sample = scene.evaluate(fetch, converters);
                if let Some(sample) = sample {
                    name.extend_from_slice(&sample.as_text());
                }
            }
        }
    }
    name
}

impl Facts for Scene<'_> {
    fn find<'f>(&'f self, fetch: &'f Fetch) -> Found<'f> {
        match fetch {
            Fetch::Content(content) => self.sent.find(content),
            fetch => Found::final_value(self.sample(fetch)),
        }
    }
}

impl Scene<'_> {
    /// What a fetch finds, as converters leave it.
    pub(crate) fn evaluate(
        &self,
        fetch: &Fetch,
        converters: &[Converter],
    ) -> Option<Sample<'static>> {
        let found = match fetch {
            Fetch::Constant(sample) => Some(sample.clone()),
            fetch => self.find(fetch).sample,
        };
        let sample = converters
            .iter()
            .fold(found, |sample, converter| converter.apply(sample?));
        sample.map(Sample::into_owned)
    }

    fn sample<'f>(&'f self, fetch: &'f Fetch) -> Option<Sample<'f>> {
        let stats = &self.frontend.shared.stats;
        Some(match fetch {
            Fetch::Constant(sample) => sample.clone(),
            Fetch::Address(end, side) => Sample::Ip(client_ip(self.address(*end, *side))?),
            Fetch::Port(end, side) => Sample::Int(self.address(*end, *side)?.port().into()),
            Fetch::IsLocal(end, side) => {
                Sample::Bool(is_local(client_ip(self.address(*end, *side))?))
            }
            Fetch::CameByProxyProtocol => Sample::Bool(self.told.is_some()),
            Fetch::SocketConnections => {
                let own = self.frontend.bind_gates.get(self.bind)?.as_ref();
                Sample::Int(own.unwrap_or(&self.frontend.stats.gate).inside().into())
            }
            Fetch::SocketId => Sample::Int(self.frontend.config.binds.get(self.bind)?.id.into()),
            Fetch::SocketName => {
                let name = &self.frontend.config.binds.get(self.bind)?.name;
                Sample::text(Some(name.as_str()).filter(|name| !name.is_empty())?)
            }
            Fetch::Frontend(fact, id) => return self.frontend_fact(*fact, id.map(|id| id.0)),
            Fetch::Backend(fact, id) => {
                let backend = match id {
                    Some(BackendId(index)) => self.frontend.world.backends.get(*index)?,
                    None => self.backend?,
                };
                return backend_fact(*fact, backend);
            }
            Fetch::Server(fact, id) => return self.server_fact(*fact, *id),
            Fetch::ServerName => Sample::text(&self.reached?.server.config.name),
            Fetch::ServerNumber => Sample::Int(self.reached?.server.config.id.into()),
            Fetch::ServerAddress(end) => Sample::Ip(client_ip(self.reached?.address(*end))?),
            Fetch::ServerPort(end) => Sample::Int(self.reached?.address(*end)?.port().into()),
            Fetch::Connections => Sample::Int(stats.gate.inside().into()),
            Fetch::IsStopping => Sample::Bool(stats.is_stopping.load(Relaxed)),
            Fetch::Thread => Sample::Int(thread()),
            Fetch::Random(range) => Sample::Int(match range {
                Some(range) => fastrand::u32(..range).into(),
                None => fastrand::u32(..).into(),
            }),
            Fetch::Date(unit, offset) => {
                let now = unit.count(since_1970(SystemTime::now()));
                Sample::Int(now.saturating_add(*offset))
            }
            Fetch::AcceptDate(unit) => Sample::Int(unit.count(since_1970(self.accepted))),
            Fetch::Uuid => Sample::Text(Cow::Owned(uuid().into_bytes())),
            Fetch::Acls(acls) => Sample::Bool(acls.iter().all(|(is_negated, acl)| {
                let wanted = if *is_negated {
                    Outcome::Fail
                } else {
                    Outcome::Pass
                };
                acl.judge(self) == wanted
            })),
            // Whoever has bytes or a request to look into finds these himself; elsewhere conditions
            // that ask for them are refused.
            Fetch::Content(_) | Fetch::Http(_) => return None,
            Fetch::Absent | Fetch::Unsupported(..) => return None,
        })
    }

    fn address(&self, end: End, side: Side) -> Option<SocketAddr> {
        match (end, side) {
            (End::Source, Side::Announced) => self.peer,
            (End::Source, Side::Connection) => self.source,
            (End::Destination, Side::Announced) => self.told.or_else(|| self.arrival.address()),
            (End::Destination, Side::Connection) => self.arrival.address(),
        }
    }

    fn frontend_fact(&self, fact: FrontendFact, id: Option<usize>) -> Option<Sample<'_>> {
        let stats = match id {
            Some(index) => self.frontend.world.frontends.get(index)?,
            None => &self.frontend.stats,
        };
        let config = &self.frontend.config;
        Some(match fact {
            FrontendFact::Connections => Sample::Int(stats.gate.inside().into()),
            FrontendFact::SessionRate => {
                let epoch = self.frontend.shared.stats.epoch;
                Sample::Int(stats.session_rate.per_second(epoch).into())
            }
            FrontendFact::Id => Sample::Int(config.id.into()),
            FrontendFact::Name => Sample::text(&config.name),
            FrontendFact::DefaultBackend => {
                Sample::text(&self.frontend.default_backend()?.config.name)
            }
            FrontendFact::ClientTimeout => milliseconds(config.client_timeout),
        })
    }

    fn server_fact(&self, fact: ServerFact, id: ServerId) -> Option<Sample<'_>> {
        let backend = self.frontend.world.backends.get(id.backend.0)?;
        let server = backend.servers.get(id.index)?;
        let stats = &server.state.stats;
        Some(match fact {
            ServerFact::Connections => Sample::Int(stats.open.now().into()),
            ServerFact::FreeConnections => {
                number_or_none(server.state.room.free(backend, &server.state))
            }
            ServerFact::Queue => {
                Sample::Int(backend.state.queue.level(Some(&server.state)).0.into())
            }
            ServerFact::IsUp => Sample::Bool(server.state.fitness().view().is_up()),
            ServerFact::SessionRate => {
                let epoch = self.frontend.shared.stats.epoch;
                Sample::Int(stats.session_rate.per_second(epoch).into())
            }
            ServerFact::Weight => {
                let fitness = server.state.fitness();
                let percent = u32::from(fitness.percent(Instant::now()));
                Sample::Int((u32::from(fitness.weight) * percent).div_ceil(100).into())
            }
            ServerFact::UserWeight => Sample::Int(server.state.fitness().weight.into()),
            ServerFact::InitialWeight => Sample::Int(server.config.weight.into()),
        })
    }
}

impl Reached<'_> {
    fn address(&self, end: End) -> Option<SocketAddr> {
        match end {
            End::Source => self.from,
            End::Destination => self.to,
        }
    }
}

fn backend_fact(fact: BackendFact, backend: &Backend) -> Option<Sample<'_>> {
    let stats = &backend.state.stats;
    let config = &backend.config;
    Some(match fact {
        BackendFact::Connections => Sample::Int(stats.open.now().into()),
        BackendFact::SessionRate => {
            let epoch = backend.shared.stats.epoch;
            Sample::Int(stats.session_rate.per_second(epoch).into())
        }
        BackendFact::Id => Sample::Int(config.id.into()),
        BackendFact::Name => Sample::text(&config.name),
        BackendFact::ServerTimeout => milliseconds(config.server_timeout),
        BackendFact::TunnelTimeout => milliseconds(config.tunnel_timeout),
        BackendFact::UsableServers => Sample::Int(usable_servers(backend).into()),
        BackendFact::FreeConnections => number_or_none(free_connections(backend)),
        BackendFact::Slots => number_or_none(slots(backend)),
        BackendFact::Queue => Sample::Int(queued(backend).into()),
        BackendFact::AverageQueue => Sample::Int(match backend.picker().active_servers() {
            // Without a server twice as much, as in HAProxy.
            0 => i64::from(queued(backend)) * 2,
            active => i64::from(queued(backend).div_ceil(active)),
        }),
    })
}

/// Servers that share the load now (HAProxy's `nbsrv`): without an active one, one backup, or all
/// of them with `option allbackups`.
fn usable_servers(backend: &Backend) -> u32 {
    if backend.config.disabled {
        return 0;
    }
    let picker = backend.picker();
    match picker.active_servers() {
        0 if backend.config.all_backups => picker.backup_servers(),
        0 => picker.backup_servers().min(1),
        active => active,
    }
}

/// What is unlimited counts as -1.
fn number_or_none(number: Option<u32>) -> Sample<'static> {
    Sample::Int(number.map_or(-1, i64::from))
}

/// Those who wait for any server of the backend, or for one.
fn queued(backend: &Backend) -> u32 {
    let queue = &backend.state.queue;
    let own = backend.servers.iter();
    let own = own.map(|server| queue.level(Some(&server.state)).0);
    own.fold(queue.level(None).0, u32::saturating_add)
}

/// How many more clients the servers take that share the load now; `None`: one has no limit.
fn free_connections(backend: &Backend) -> Option<u32> {
    let (has_active, all_backups) = {
        let picker = backend.picker();
        (picker.active_servers() > 0, backend.config.all_backups)
    };
    let usable = backend.servers.iter().filter(|server| {
        server.config.backup != has_active && server.state.fitness().view().is_usable()
    });
    let most = if has_active || all_backups {
        usize::MAX
    } else {
        1
    };
    usable.take(most).try_fold(0_u32, |all, server| {
        Some(all.saturating_add(server.state.room.free(backend, &server.state)?))
    })
}

/// How many more clients the servers that are not down take or let wait; `None`: one has no limit.
fn slots(backend: &Backend) -> Option<u32> {
    let mut all = 0_u32;
    for server in &backend.servers {
        let fitness = server.state.fitness().clone();
        if !fitness.view().is_up() {
            continue;
        }
        let (maxconn, maxqueue) = (fitness.maxconn?, fitness.load.maxqueue?);
        let queued = backend.state.queue.level(Some(&server.state)).0;
        all = all
            .saturating_add(maxconn.saturating_sub(server.state.stats.open.now()))
            .saturating_add(maxqueue.saturating_sub(queued));
    }
    Some(all)
}

fn milliseconds(time: Option<Duration>) -> Sample<'static> {
    Sample::Int(Unit::Milliseconds.count(time.unwrap_or_default()))
}

fn since_1970(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn is_local(ip: IpAddr) -> bool {
    ip.is_loopback() || LocalAddresses::read().has(ip)
}

/// Which data thread this is, from 0; they are named from 1 on.
fn thread() -> i64 {
    let thread = std::thread::current();
    let number = thread
        .name()
        .and_then(|name| name.rsplit('-').next()?.parse::<i64>().ok());
    number.map_or(0, |number| number - 1)
}

/// A random UUID (RFC 9562, version 4).
fn uuid() -> String {
    let bits = fastrand::u128(..) & !(0xf << 76) & !(0b11 << 62) | 4 << 76 | 0b10 << 62;
    let hex = format!("{bits:032x}");
    let parts = [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ];
    parts.join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuids_are_random_ones() {
        let (one, other) = (uuid(), uuid());
        assert_ne!(one, other);
        assert_eq!(one.len(), 36);
        assert_eq!(&one[14..15], "4");
        assert!(matches!(&one[19..20], "8" | "9" | "a" | "b"), "{one}");
    }
}
