//! One configuration while it runs. A generation is started from a configuration and what is
//! carried over, replaced as a whole, and drained.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use evenkeel_config as config;
use evenkeel_config::rules::{BackendChoice, Fetch};
use evenkeel_config::{BackendId, Bind, Config, RelayMethod, ServerAddress, Tracked};
use evenkeel_health::{Beat, Machine, NameTally, Spread, first_checks, watch, watch_agent};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::Shared;
use crate::backend::{Backend, BackendState};
use crate::cut::Cut;
use crate::essential;
use crate::gate::Gate;
use crate::kernel;
use crate::listener::Listener;
use crate::log::{self, Level, Sink};
use crate::names::{self, Tallies};
use crate::places::{asked_at, checked_at};
use crate::relay::{Method, Terms};
use crate::rules::World;
use crate::server::{Follower, Server, ServerState};
use crate::session::{Frontend, Route, limits};
use crate::sockets::{Listening, Sockets};
use crate::stats::FrontendStats;
use crate::workers::Workers;

/// The kernel's own bound where it does not tell (proc_sys_fs(5)).
const LARGEST_PIPE: usize = 1 << 20;

/// What outlives a reload, found by name (and a server by its address too).
#[derive(Default)]
pub(crate) struct Carried {
    frontends: HashMap<String, Arc<FrontendStats>>,
    backends: HashMap<String, Arc<BackendState>>,
    servers: HashMap<Identity, Arc<ServerState>>,
    /// The same by backend and name alone: what commands asked of a server outlives its address.
    names: HashMap<(String, String), Arc<ServerState>>,
    /// The counters of name servers, by section and name.
    name_tallies: HashMap<(String, String), Arc<NameTally>>,
}

/// What makes a server the same one over a reload.
#[derive(PartialEq, Eq, Hash)]
struct Identity {
    backend: String,
    server: String,
    address: ServerAddress,
    /// The name that a resolver follows: the address that it had at start does not matter then.
    host: Option<String>,
}

impl Identity {
    fn of(backend: &str, server: &config::Server) -> Self {
        let host = server.resolution.as_ref().map(|own| own.name.clone());
        let anywhere = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let address = match &server.address {
            ServerAddress::Inet(address) if host.is_some() => {
                ServerAddress::Inet((anywhere, address.port()).into())
            }
            ServerAddress::Mapped { offset, .. } if host.is_some() => ServerAddress::Mapped {
                ip: anywhere,
                offset: *offset,
            },
            address => address.clone(),
        };
        Self {
            backend: backend.to_owned(),
            server: server.name.clone(),
            address,
            host,
        }
    }
}

/// One section of the configuration, for what is said of it.
struct Section<'a> {
    name: &'a str,
    log: &'a Sink,
    accepted: u64,
    served: u64,
    open: u32,
    /// It was shut down before.
    is_over: bool,
}

fn announce(proxy: &Section<'_>) {
    proxy.log.send(
        Level::Warning,
        &log::proxy_stopped(proxy.name, proxy.accepted, proxy.served),
    );
}

/// One configuration while it runs.
pub(crate) struct Generation {
    pub(crate) config: Config,
    /// How many there were before it.
    pub(crate) number: u64,
    pub(crate) frontends: Vec<Arc<Frontend>>,
    pub(crate) backends: Vec<Arc<Backend>>,
    /// The counters of each `resolvers` section's name servers, in their order.
    pub(crate) name_tallies: Vec<Tallies>,
    sessions: TaskTracker,
    stop: CancellationToken,
    /// For each listening socket, what tells its accept loop to serve those who wait.
    sweeps: Vec<(Bind, CancellationToken)>,
    kill: Cut,
    /// The checks; ended when dropped.
    checks: Mutex<JoinSet<()>>,
    /// Those who follow names; ended when dropped.
    lookups: Mutex<JoinSet<()>>,
    shared: Arc<Shared>,
}

impl Generation {
    /// Puts `config` together with what is `carried` over; nothing runs yet.
    pub(crate) fn new(config: Config, carried: &Carried, shared: &Arc<Shared>) -> Self {
        let kill = Cut::new(&shared.alarm);
        let stop = CancellationToken::new();
        let now = Instant::now();
        let backends: Vec<Arc<Backend>> = config
            .backends
            .iter()
            .map(|backend| new_backend(backend, carried, shared, &kill, now))
            .collect();
        for backend in &backends {
            let mut frontends = config.frontends.iter();
            if frontends.any(|frontend| frontend.id == backend.config.id) {
                backend.note_listen();
            }
        }
        link_followers(&config, &backends);
        for backend in &backends {
            backend.begin(now);
        }
        let stats = config.frontends.iter().map(|frontend| {
            let limit = frontend.maxconn.unwrap_or(shared.stats.gate.limit());
            match carried.frontends.get(&frontend.name) {
                Some(stats) => {
                    stats.gate.set_limit(limit);
                    stats.clone()
                }
                None => Arc::new(FrontendStats::new(limit)),
            }
        });
        let world = Arc::new(World {
            frontends: stats.collect(),
            backends: backends.clone(),
        });
        let frontends: Vec<Arc<Frontend>> = (0..config.frontends.len())
            .map(|index| new_frontend(index, &config, &world, shared, &kill, &stop))
            .collect();
        set_fullconn(&frontends, &backends);
        let tallies = |section: &config::Resolvers| {
            let known = |server: &config::Nameserver| {
                let key = (section.name.clone(), server.name.clone());
                carried.name_tallies.get(&key).cloned().unwrap_or_default()
            };
            section.nameservers.iter().map(known).collect()
        };
        Self {
            name_tallies: config.resolvers.iter().map(tallies).collect(),
            config,
            number: 0,
            frontends,
            backends,
            sessions: TaskTracker::new(),
            stop,
            sweeps: Vec::new(),
            kill,
            checks: Mutex::default(),
            lookups: Mutex::default(),
            shared: shared.clone(),
        }
    }

    /// Has the sockets listen, refuse or be closed as commands had those of the process before.
    pub(crate) fn settle(&self, sockets: &mut Sockets) {
        for frontend in &self.frontends {
            for bind in &frontend.config.binds {
                if frontend.shut_down.load(Relaxed) {
                    sockets.release(bind);
                } else if !*frontend.accepts.borrow() {
                    sockets.pause(bind);
                } else if sockets.is_paused(bind) {
                    sockets.resume(&self.config, bind);
                }
            }
        }
    }

    /// Begins to accept, on `threads` threads, and to check servers, on this one.
    pub(crate) fn start(&mut self, listening: Vec<Listening>, workers: &Workers, threads: usize) {
        for Listening {
            socket,
            frontend,
            bind,
            thread,
            is_unix,
        } in listening
        {
            let frontend = self.frontends[frontend].clone();
            if frontend.config.disabled {
                continue;
            }
            let sweep = CancellationToken::new();
            self.sweeps
                .push((frontend.config.binds[bind].clone(), sweep.clone()));
            let (stop, sessions) = (frontend.stop.clone(), self.sessions.clone());
            let listener = Listener {
                socket,
                frontend,
                bind,
                is_unix,
                stop,
                sweep,
                sessions,
            };
            let what = format!("accepting for '{}'", listener.frontend.config.name);
            let listener = self.sessions.track_future(listener.run());
            let worker = workers.handle(thread % threads);
            let accepting = worker.spawn(listener);
            let logs = self.shared.logs.clone();
            let end = move || essential::end(&logs);
            drop(worker.spawn(essential::watch(accepting, what, end)));
        }
        self.start_checks();
        self.follow_names();
        self.start_slowly();
        self.start_watching();
    }

    /// Begins to bring servers up slowly that come back.
    fn start_slowly(&self) {
        for backend in &self.backends {
            for server in &backend.servers {
                if server.config.load.slowstart.is_some() {
                    let backend = backend.clone();
                    self.checks().spawn(backend.bring_up(server.index));
                }
            }
        }
    }

    fn checks(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.checks
            .lock()
            .expect("no panic while checks are locked")
    }

    fn start_checks(&self) {
        let beat = Beat::from(tokio::time::Instant::now());
        for (seed, first) in (0..).zip(first_checks(
            &self.config.backends,
            self.config.global.max_spread_checks,
        )) {
            let backend = self.backends[first.backend.0].clone();
            let server = &backend.servers[first.server];
            let Some(check) = server.config.check.clone() else {
                continue;
            };
            let spread = Spread::new(self.config.global.spread_checks, seed);
            let index = first.server;
            self.checks().spawn(async move {
                let state = backend.servers[index].state.clone();
                let mut delay = first.delay;
                let soon = check.fastinter;
                let mut hurried = None;
                loop {
                    state.checks_run(true).await;
                    let machine = state.fitness().machine();
                    let machine = machine.unwrap_or_else(|| Machine::new(check.rise, check.fall));
                    let mut moves = state.moves();
                    let server = &backend.servers[index];
                    let address = state.address(&server.config.address);
                    let spread = spread.clone();
                    let own = state.fitness().places.check;
                    let check = config::Check {
                        address: checked_at(own, &address),
                        ..check.clone()
                    };
                    let situation = || backend.state_header(index);
                    let watched = watch(check, machine, delay, spread, beat, situation, |report| {
                        let machine = backend.take(index, &report.outcome);
                        machine.unwrap_or(report.machine)
                    });
                    tokio::select! {
                        never = watched => match never {},
                        // Who comes back is asked at once.
                        () = state.checks_run(false) => delay = Duration::ZERO,
                        _ = moves.changed() => delay = Duration::ZERO,
                        () = state.observer.hurry.notified() => {
                            // A check that is to come soon already does.
                            let now = tokio::time::Instant::now();
                            let due = hurried.filter(|due| *due > now);
                            let due = due.unwrap_or(now + soon);
                            hurried = Some(due);
                            delay = due - now;
                        }
                    }
                }
            });
        }
    }

    /// Begins to follow the names of servers, or, as one has another now, does so anew.
    pub(crate) fn follow_names(&self) {
        let mut tasks = JoinSet::new();
        let sections = &self.config.resolvers;
        names::start(sections, &self.name_tallies, &self.backends, &mut tasks);
        *self.lookups() = tasks;
    }

    fn lookups(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.lookups.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to ask agents, and to judge clients' connects.
    fn start_watching(&self) {
        let beat = Beat::from(tokio::time::Instant::now());
        let servers = self
            .backends
            .iter()
            .filter(|backend| !backend.config.disabled)
            .flat_map(|backend| backend.servers.iter().map(move |server| (backend, server)));
        for (seed, (backend, server)) in (0..).zip(servers) {
            let index = server.index;
            if let Some(agent) = server.config.agent.clone() {
                let backend = backend.clone();
                let spread = Spread::new(self.config.global.spread_checks, seed);
                self.checks().spawn(async move {
                    let server = &backend.servers[index];
                    let state = &server.state;
                    loop {
                        state.asks_agent(true).await;
                        let mut moves = state.moves();
                        let address = state.address(&server.config.address);
                        let agent = asked_at(&agent, &state.fitness().places.agent, &address);
                        let publish = |report| {
                            if state.fitness().agent_enabled {
                                backend.take_agent(index, &report);
                            }
                        };
                        let spread = spread.clone();
                        tokio::select! {
                            never = watch_agent(agent, Duration::ZERO, spread, beat, publish) => {
                                match never {}
                            }
                            // One that moved is asked at once.
                            _ = moves.changed() => {}
                            () = state.asks_agent(false) => {}
                        }
                    }
                });
            }
            if let Some(observation) = server.config.observation {
                let backend = backend.clone();
                self.checks().spawn(async move {
                    let state = backend.servers[index].state.clone();
                    loop {
                        let errors = state.observer.too_many(observation.error_limit).await;
                        backend.take_errors(index, observation, errors);
                    }
                });
            }
        }
    }

    /// What the next generation takes over.
    pub(crate) fn carry(&self) -> Carried {
        let mut carried = Carried::default();
        for (section, tallies) in self.config.resolvers.iter().zip(&self.name_tallies) {
            for (server, tally) in section.nameservers.iter().zip(tallies) {
                let key = (section.name.clone(), server.name.clone());
                carried.name_tallies.insert(key, tally.clone());
            }
        }
        for frontend in &self.frontends {
            carried
                .frontends
                .insert(frontend.config.name.clone(), frontend.stats.clone());
        }
        for backend in &self.backends {
            let name = &backend.config.name;
            carried.backends.insert(name.clone(), backend.state.clone());
            for server in &backend.servers {
                let key = Identity::of(name, &server.config);
                carried.servers.insert(key, server.state.clone());
                let key = (name.clone(), server.config.name.clone());
                carried.names.insert(key, server.state.clone());
            }
        }
        carried
    }

    /// Stops checking: another generation does.
    pub(crate) fn stop_checks(&self) {
        self.checks().abort_all();
        self.lookups().abort_all();
    }

    /// Stops accepting. Those who wait in the queue of a socket that `closes` are still served:
    /// nobody else will.
    pub(crate) fn stop_accepting(&self, closes: impl Fn(&Bind) -> bool) {
        for (_, sweep) in self.sweeps.iter().filter(|(bind, _)| closes(bind)) {
            sweep.cancel();
        }
        self.stop.cancel();
        self.sessions.close();
    }

    /// Ends accepting for one frontend, whose sockets close: who waits there is still served.
    pub(crate) fn shut_down(&self, frontend: &Frontend, closes: impl Fn(&Bind) -> bool) {
        for (bind, sweep) in &self.sweeps {
            if frontend.config.binds.contains(bind) && closes(bind) {
                sweep.cancel();
            }
        }
        frontend.shut_down.store(true, Relaxed);
        frontend.stop.cancel();
    }

    /// Says of each proxy that it stopped, as HAProxy does.
    pub(crate) fn announce_stop(&self) {
        for proxy in self.proxies().iter().filter(|proxy| !proxy.is_over) {
            announce(proxy);
        }
    }

    /// The same of one whose frontend was shut down.
    pub(crate) fn announce_stop_of(&self, name: &str) {
        let proxies = self.proxies();
        let proxy = proxies.iter().find(|proxy| proxy.name == name);
        proxy.into_iter().for_each(announce);
    }

    /// The configuration's sections as HAProxy counts them: a `listen` is one proxy.
    fn proxies(&self) -> Vec<Section<'_>> {
        let served = |backend: &Backend| backend.state.stats.sessions.load(Relaxed);
        let own = |frontend: &config::Frontend| {
            let mut backends = self.backends.iter();
            backends.find(|backend| backend.config.id == frontend.id)
        };
        let frontends = self.frontends.iter().map(|frontend| Section {
            name: &frontend.config.name,
            log: &frontend.log,
            accepted: frontend.stats.sessions.load(Relaxed),
            served: own(&frontend.config).map_or(0, |backend| served(backend)),
            open: frontend.stats.gate.inside(),
            is_over: frontend.shut_down.load(Relaxed),
        });
        let is_alone = |backend: &&Arc<Backend>| {
            let mut frontends = self.config.frontends.iter();
            frontends.all(|frontend| frontend.id != backend.config.id)
        };
        let backends = self.backends.iter().filter(is_alone);
        frontends
            .chain(backends.map(|backend| Section {
                name: &backend.config.name,
                log: &backend.log,
                accepted: 0,
                served: served(backend),
                open: 0,
                is_over: false,
            }))
            .collect()
    }

    fn announce_hard_stop(&self) {
        let global = &self.config.global;
        let log = self.shared.logs.sink(&global.log, &global.log_tag);
        log.send(Level::Warning, log::HARD_STOP);
        for proxy in self.proxies() {
            if proxy.open > 0 {
                let message = log::proxy_hard_stopped(proxy.name, proxy.open);
                proxy.log.send(Level::Warning, &message);
            }
        }
    }

    /// Ends every session.
    pub(crate) fn kill(&self) {
        self.stop_accepting(|_| false);
        self.kill.cut();
    }

    /// Waits until the last session is gone.
    pub(crate) async fn ended(&self) {
        self.sessions.wait().await;
    }

    /// The same; after `hard_stop_after` the others are cut. Whether all ended by themselves.
    pub(crate) async fn drained(&self, hard_stop_after: Option<Duration>) -> bool {
        let Some(limit) = hard_stop_after else {
            self.ended().await;
            return true;
        };
        let in_time = tokio::time::timeout(limit, self.ended()).await.is_ok();
        if !in_time {
            self.announce_hard_stop();
            self.kill.cut();
        }
        in_time
    }

    /// Sessions (and accept loops) that still run.
    pub(crate) fn is_drained(&self) -> bool {
        self.sessions.is_empty()
    }
}

fn new_backend(
    backend: &config::Backend,
    carried: &Carried,
    shared: &Arc<Shared>,
    kill: &Cut,
    now: Instant,
) -> Arc<Backend> {
    let state = carried.backends.get(&backend.name).cloned();
    let state = state.unwrap_or_else(|| Arc::new(BackendState::new(now)));
    let servers = backend.servers.iter().enumerate().map(|(index, server)| {
        let key = Identity::of(&backend.name, server);
        let state = match carried.servers.get(&key) {
            Some(state) => {
                state.adapt(server, now);
                state.clone()
            }
            None => {
                let state = ServerState::new(server, now);
                let key = (backend.name.clone(), server.name.clone());
                if let Some(old) = carried.names.get(&key) {
                    state.inherit(old, server, now);
                }
                Arc::new(state)
            }
        };
        Server::new(server.clone(), index, state, kill)
    });
    let servers = servers.collect();
    Backend::new(
        backend.clone(),
        state,
        servers,
        shared.clone(),
        kill.clone(),
    )
}

/// Has servers follow those that they track, from now on and as they are now.
fn link_followers(config: &Config, backends: &[Arc<Backend>]) {
    let mut followers: HashMap<(usize, usize), Vec<Follower>> = HashMap::new();
    for (backend, section) in backends.iter().zip(&config.backends) {
        for (index, server) in section.servers.iter().enumerate() {
            if let Some(Tracked {
                backend: BackendId(leader),
                server,
            }) = server.track
            {
                let name = format!(
                    "{}/{}",
                    config.backends[leader].name, config.backends[leader].servers[server].name
                );
                // Nobody has set it, nor what follows: the generation is new.
                let _ = backend.servers[index].leader.set(name);
                let follower = Follower {
                    backend: Arc::downgrade(backend),
                    index,
                };
                followers
                    .entry((leader, server))
                    .or_default()
                    .push(follower);
            }
        }
    }
    for (&(backend, server), own) in &followers {
        let _ = backends[backend].servers[server].followers.set(own.clone());
    }
    for &(backend, server) in followers.keys() {
        if config.backends[backend].servers[server].track.is_none() {
            backends[backend].tell_followers_again(server);
        }
    }
}

/// Says at how many sessions the limits of servers that follow them are highest: a tenth of what
/// the frontends that lead there may have, unless the file says.
pub(crate) fn set_fullconn(frontends: &[Arc<Frontend>], backends: &[Arc<Backend>]) {
    for backend in backends {
        let fullconn = backend.config.queueing.fullconn.unwrap_or_else(|| {
            let reaching = frontends
                .iter()
                .filter(|frontend| frontend.reaches(backend));
            let clients = reaching.map(|frontend| frontend.stats.gate.limit());
            clients.fold(0, u32::saturating_add).div_ceil(10).max(1)
        });
        backend.fullconn.store(fullconn, Relaxed);
    }
}

fn new_frontend(
    index: usize,
    config: &Config,
    world: &Arc<World>,
    shared: &Arc<Shared>,
    kill: &Cut,
    stop: &CancellationToken,
) -> Arc<Frontend> {
    let frontend = &config.frontends[index];
    let routes: Vec<Route> = reachable(frontend, config)
        .into_iter()
        .map(|id| Route {
            id,
            backend: world.backends[id.0].clone(),
            terms: Terms {
                limits: limits(frontend, config.backend(id)),
                method: match config.global.relay {
                    RelayMethod::Auto => Method::Auto,
                    RelayMethod::Copy => Method::Copy,
                    RelayMethod::Splice => Method::Splice,
                },
                pipe_bytes: config
                    .global
                    .pipe_bytes
                    .min(kernel::largest_pipe().unwrap_or(LARGEST_PIPE)),
            },
        })
        .collect();
    let default = frontend.default_backend;
    let counts_sockets = counts_sockets(config);
    Arc::new(Frontend {
        stats: world.frontends[index].clone(),
        default_route: default.and_then(|id| routes.iter().position(|route| route.id == id)),
        routes,
        world: world.clone(),
        log: shared.logs.sink(&frontend.log.targets, &frontend.log.tag),
        shared: shared.clone(),
        bind_gates: frontend
            .binds
            .iter()
            .map(|bind| {
                let limit = bind.maxconn.or(counts_sockets.then_some(u32::MAX));
                limit.map(Gate::new)
            })
            .collect(),
        kill: kill.clone(),
        stop: stop.child_token(),
        accepts: watch::Sender::new(true),
        shut_down: AtomicBool::new(false),
        copied: metrics::counter!("evenkeel_relayed_bytes_total", "method" => "copy"),
        spliced: metrics::counter!("evenkeel_relayed_bytes_total", "method" => "splice"),
        config: frontend.clone(),
    })
}

/// The backends that connections of a frontend can go to, each once.
fn reachable(frontend: &config::Frontend, config: &Config) -> Vec<BackendId> {
    let mut ids: Vec<BackendId> = frontend.default_backend.into_iter().collect();
    for rule in &frontend.rules.backends {
        match rule.backend {
            BackendChoice::Fixed(id) => ids.push(id),
            BackendChoice::Named(_) => ids.extend((0..config.backends.len()).map(BackendId)),
        }
    }
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// Whether a rule asks how many connections a listening socket has.
fn counts_sockets(config: &Config) -> bool {
    let frontends = config.frontends.iter();
    let backends = config.backends.iter();
    let mut conditions = frontends
        .flat_map(|frontend| frontend.rules.conditions())
        .chain(backends.flat_map(|backend| backend.rules.conditions()));
    conditions.any(|condition| {
        let mut tests = condition.tests();
        tests.any(|test| test.fetch == Fetch::SocketConnections)
    })
}
