//! One server while it runs: what outlives a reload (health, counters), and what belongs to one
//! generation (its configuration, the signals that end its connections).

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Instant;

use evenkeel_config as config;
use evenkeel_config::ServerAddress;
use evenkeel_health::PortTurn;
use tokio::sync::{Notify, watch};

use crate::backend::Backend;
use crate::checks::Observer;
use crate::cut::Cut;
use crate::end::End;
use crate::fitness::Fitness;
use crate::queue::Room;
use crate::stats::ServiceStats;

static NEXT_ID: AtomicUsize = AtomicUsize::new(1);

/// What of a server outlives a reload: found again by backend, name and address.
#[derive(Debug)]
pub(crate) struct ServerState {
    pub(crate) stats: ServiceStats,
    fitness: Mutex<Fitness>,
    /// Tells it apart from every other one that ever was.
    pub(crate) id: usize,
    /// What it may have.
    pub(crate) room: Room,
    /// Wakes the task that brings it up slowly.
    pub(crate) starts: Notify,
    /// Whether the address in use is another than the configured one: looked at by each connect,
    /// so that only then the lock is taken.
    is_moved: AtomicBool,
    /// What clients' connects say of it.
    pub(crate) observer: Observer,
    /// Whether checks run now.
    checks_run: watch::Sender<bool>,
    /// Whether its agent is asked now.
    asks_agent: watch::Sender<bool>,
    /// How often it moved to another address, or what checks it did.
    moves: watch::Sender<u64>,
    /// The server in each generation that still has connections.
    members: Mutex<Vec<Weak<Server>>>,
}

impl ServerState {
    pub(crate) fn new(server: &config::Server, now: Instant) -> Self {
        let fitness = Fitness::new(server, now);
        let room = Room::default();
        room.set(&fitness, now);
        Self {
            id: NEXT_ID.fetch_add(1, Relaxed),
            room,
            starts: Notify::new(),
            observer: Observer::default(),
            stats: ServiceStats::default(),
            is_moved: AtomicBool::new(false),
            checks_run: watch::Sender::new(fitness.wants_checks()),
            asks_agent: watch::Sender::new(fitness.wants_agent()),
            moves: watch::Sender::new(0),
            fitness: Mutex::new(fitness),
            members: Mutex::default(),
        }
    }

    /// Fits what is carried over to a configuration that may have changed.
    pub(crate) fn adapt(&self, server: &config::Server, now: Instant) {
        self.change(|fitness| fitness.adapt(server, now));
    }

    /// Takes over what commands asked of a server of this name that was at another address.
    pub(crate) fn inherit(&self, old: &Self, server: &config::Server, now: Instant) {
        let old = old.fitness().clone();
        self.change(|fitness| fitness.inherit(&old, server, now));
    }

    pub(crate) fn fitness(&self) -> MutexGuard<'_, Fitness> {
        self.fitness
            .lock()
            .expect("no panic while health is locked")
    }

    /// Changes the fitness and what follows from it for this server alone. Whoever is to know of
    /// it is told by `Backend::change`.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Fitness) -> T) -> T {
        let mut fitness = self.fitness();
        let before = (fitness.address.clone(), fitness.places.clone());
        let result = change(&mut fitness);
        if fitness.address != before.0 || fitness.places != before.1 {
            self.moves.send_modify(|moves| *moves += 1);
        }
        let wants_checks = fitness.wants_checks();
        self.checks_run
            .send_if_modified(|run| std::mem::replace(run, wants_checks) != wants_checks);
        let wants_agent = fitness.wants_agent();
        self.asks_agent
            .send_if_modified(|ask| std::mem::replace(ask, wants_agent) != wants_agent);
        self.is_moved.store(fitness.is_moved(), Relaxed);
        self.room.set(&fitness, Instant::now());
        result
    }

    /// Where it is now.
    pub(crate) fn address(&self, configured: &ServerAddress) -> ServerAddress {
        if self.is_moved.load(Relaxed) {
            self.fitness().address.clone()
        } else {
            configured.clone()
        }
    }

    /// What changes when it moves to another address, or its check or agent does.
    pub(crate) fn moves(&self) -> watch::Receiver<u64> {
        self.moves.subscribe()
    }

    /// Waits until checks are to run (or, with `false`, until they are not).
    pub(crate) async fn checks_run(&self, wanted: bool) {
        let mut checks_run = self.checks_run.subscribe();
        // The sender lives as long as `self`.
        let _ = checks_run.wait_for(|&run| run == wanted).await;
    }

    /// Waits until its agent is to be asked (or, with `false`, until it is not).
    pub(crate) async fn asks_agent(&self, wanted: bool) {
        let mut asks_agent = self.asks_agent.subscribe();
        // The sender lives as long as `self`.
        let _ = asks_agent.wait_for(|&asks| asks == wanted).await;
    }

    /// Abandons connects in flight, and, where the configuration says so, sessions, in every
    /// generation.
    pub(crate) fn went_down(&self) {
        for server in self.members() {
            server.went_down();
        }
    }

    /// Ends every session on it, in every generation; what their lines tell.
    pub(crate) fn shutdown_sessions(&self, end: End) {
        for server in self.members() {
            server.cut_sessions(end);
        }
    }

    fn members(&self) -> Vec<Arc<Server>> {
        let mut members = self
            .members
            .lock()
            .expect("no panic while members are locked");
        members.retain(|member| member.strong_count() > 0);
        members.iter().filter_map(Weak::upgrade).collect()
    }
}

/// A server as one generation knows it.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) config: config::Server,
    /// Its place in the backend.
    pub(crate) index: usize,
    pub(crate) state: Arc<ServerState>,
    /// The server that it tracks, as `backend/server`.
    pub(crate) leader: OnceLock<String>,
    /// The servers that track this one.
    pub(crate) followers: OnceLock<Vec<Follower>>,
    /// Whose turn it is among the ports that it is connected to from.
    pub(crate) ports: PortTurn,
    signals: Mutex<Signals>,
    /// How those sessions ended that were cut last.
    cut_as: Mutex<End>,
    /// Cancelled when the whole generation is to end.
    kill: Cut,
}

/// A server that tracks another one: its backend and its place there.
#[derive(Clone)]
pub(crate) struct Follower {
    pub(crate) backend: Weak<Backend>,
    pub(crate) index: usize,
}

impl fmt::Debug for Follower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Follower({})", self.index)
    }
}

/// What ends connections of a server; renewed after each DOWN.
#[derive(Clone, Debug)]
pub(crate) struct Signals {
    /// Ends connects in flight.
    pub(crate) dialing: Cut,
    /// Ends established sessions.
    pub(crate) sessions: Cut,
}

impl Signals {
    fn new(kill: &Cut) -> Self {
        Self {
            dialing: kill.child(),
            sessions: kill.child(),
        }
    }
}

impl Server {
    pub(crate) fn new(
        config: config::Server,
        index: usize,
        state: Arc<ServerState>,
        kill: &Cut,
    ) -> Arc<Self> {
        let server = Arc::new(Self {
            config,
            index,
            state,
            leader: OnceLock::new(),
            followers: OnceLock::new(),
            ports: PortTurn::default(),
            signals: Mutex::new(Signals::new(kill)),
            cut_as: Mutex::new(End::ServerDown),
            kill: kill.clone(),
        });
        let mut members = server
            .state
            .members
            .lock()
            .expect("no panic while members are locked");
        members.retain(|member| member.strong_count() > 0);
        members.push(Arc::downgrade(&server));
        drop(members);
        server
    }

    pub(crate) fn signals(&self) -> Signals {
        self.signals
            .lock()
            .expect("no panic while signals are locked")
            .clone()
    }

    /// Abandons connects in flight, and sessions where the configuration says so.
    fn went_down(&self) {
        self.cut(Cuts::Dialing);
        if self.config.on_marked_down == config::OnMarkedDown::ShutdownSessions {
            self.cut_sessions(End::ServerDown);
        }
    }

    fn cut_sessions(&self, end: End) {
        *self.cut_as.lock().unwrap_or_else(PoisonError::into_inner) = end;
        self.cut(Cuts::Sessions);
    }

    /// How sessions end that were cut.
    pub(crate) fn cut_as(&self) -> End {
        *self.cut_as.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cut(&self, what: Cuts) {
        let mut signals = self
            .signals
            .lock()
            .expect("no panic while signals are locked");
        let cut = match what {
            Cuts::Dialing => &mut signals.dialing,
            Cuts::Sessions => &mut signals.sessions,
        };
        let old = std::mem::replace(cut, self.kill.child());
        old.cut();
    }
}

/// Which of a server's connections are ended.
#[derive(Clone, Copy, Debug)]
enum Cuts {
    /// Those that are being made.
    Dialing,
    /// Those that are established.
    Sessions,
}
