//! Finds a server for a client and connects to it: choice, retries, redispatch.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::{Duration, Instant};

use evenkeel_config as config;
use evenkeel_config::{Redispatch, ServerAddress};
use evenkeel_health::{Behalf, proxy_header};
use fastrand::Rng;
use tokio::time::{sleep, timeout};
use tracing::warn;

use crate::Shared;
use crate::balance::{Ends, Entry, Picker, node_key};
use crate::checks::FailOpen;
use crate::cut::Cut;
use crate::dial::{self, dial};
use crate::end::End;
use crate::fitness::Standing;
use crate::log::Sink;
use crate::queue::{NoPlace, Passed, Queue};
use crate::relay::{Gone, Stream};
use crate::server::{Server, ServerState, Signals};
use crate::slowstart;
use crate::stats::ServiceStats;

/// How long a failed server is left alone before it is tried again (HAProxy's turn-around).
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// How long a connect may take where the file sets no `timeout connect` and another server could
/// take the client: three tries of the kernel's SYN.
const CONNECT_PATIENCE: Duration = Duration::from_secs(3);

/// One in so many connects that fail for want of something local is logged: the first, then seldom.
const SHORTAGE_LOG_EVERY: u64 = 1000;

/// What of a backend outlives a reload.
#[derive(Debug)]
pub(crate) struct BackendState {
    pub(crate) stats: ServiceStats,
    /// The backend in each generation that still has connections.
    members: Mutex<Vec<Weak<Backend>>>,
    pub(crate) standing: Mutex<Standing>,
    /// Held while a server of this backend changes, so that what is told of it is in order.
    pub(crate) changing: Mutex<()>,
    pub(crate) queue: Queue,
    pub(crate) fail_open: FailOpen,
}

impl BackendState {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            stats: ServiceStats::default(),
            members: Mutex::default(),
            standing: Mutex::new(Standing::new(true, now)),
            changing: Mutex::default(),
            queue: Queue::default(),
            fail_open: FailOpen::default(),
        }
    }
}

impl BackendState {
    pub(crate) fn standing(&self) -> MutexGuard<'_, Standing> {
        self.standing
            .lock()
            .expect("no panic while standing is locked")
    }

    pub(crate) fn members(&self) -> MutexGuard<'_, Vec<Weak<Backend>>> {
        self.members
            .lock()
            .expect("no panic while members are locked")
    }
}

/// A backend as one generation knows it.
pub(crate) struct Backend {
    pub(crate) config: config::Backend,
    pub(crate) state: Arc<BackendState>,
    pub(crate) servers: Vec<Arc<Server>>,
    picker: Mutex<Picker>,
    pub(crate) log: Sink,
    pub(crate) shared: Arc<Shared>,
    pub(crate) kill: Cut,
    /// See [`Backend::fullconn`]; runs along with the limits of the frontends.
    pub(crate) fullconn: AtomicU32,
    /// Whether it is half of a `listen` section.
    is_listen: AtomicBool,
    /// What weights are multiplied with, so that slowstart has steps to climb.
    pub(crate) scale: AtomicU16,
    connect_seconds: metrics::Histogram,
    pub(crate) session_seconds: metrics::Histogram,
}

/// Who wants a server.
pub(crate) struct Client<'a> {
    /// To notice that it is gone.
    pub(crate) stream: &'a Stream,
    /// Where it comes from and, if the backend [needs](Backend::needs_destination) it, where it
    /// connected to.
    pub(crate) ends: Ends,
    /// The server that a rule chose, tried first.
    pub(crate) wanted: Option<usize>,
}

impl Client<'_> {
    /// The port that it came in on, as far as that matters here.
    fn port(&self) -> u16 {
        self.ends.destination.map_or(0, |to| to.port())
    }
}

/// A connected server.
pub(crate) struct Connection {
    pub(crate) stream: Stream,
    pub(crate) lease: Lease,
    pub(crate) effort: Effort,
    /// How long the try that succeeded took.
    pub(crate) took: Duration,
    /// Where it goes, if that is an IP address: the kernel forgets it before the session's end.
    pub(crate) dialled: Option<SocketAddr>,
}

/// No connection, and why.
pub(crate) struct Failure {
    pub(crate) end: End,
    /// The last server tried; `None`: there was none to try.
    pub(crate) server: Option<Arc<Server>>,
    pub(crate) effort: Effort,
    /// Where the last try went, if one was made and that is an IP address.
    pub(crate) dialled: Option<SocketAddr>,
}

/// What it took.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Effort {
    /// From the beginning to the last try.
    pub(crate) waited: Duration,
    pub(crate) retries: u32,
    pub(crate) is_redispatched: bool,
    /// Those who were served before, while it waited for room.
    pub(crate) passed: Passed,
}

/// A session's claim on a server: counted while it lives.
pub(crate) struct Lease {
    pub(crate) backend: Arc<Backend>,
    pub(crate) server: Arc<Server>,
    /// What ends the connect and the session from outside.
    pub(crate) signals: Signals,
}

impl Lease {
    /// A claim that is counted already.
    pub(crate) fn new(backend: Arc<Backend>, server: Arc<Server>, signals: Signals) -> Self {
        Self {
            backend,
            server,
            signals,
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.backend.release(&self.server);
    }
}

impl From<Gone> for End {
    /// HAProxy's codes of a client that leaves while it waits for a server.
    fn from(gone: Gone) -> Self {
        match gone {
            Gone::Ended => Self::ClientGoneConnecting,
            Gone::Reset => Self::ClientReset,
        }
    }
}

/// What became of one try.
enum Try {
    Connected(Stream),
    Failed(End),
    /// The server was marked DOWN while we waited for it.
    ServerDown,
    /// No use in trying further.
    Over(End),
}

impl Backend {
    pub(crate) fn new(
        config: config::Backend,
        state: Arc<BackendState>,
        servers: Vec<Arc<Server>>,
        shared: Arc<Shared>,
        kill: Cut,
    ) -> Arc<Self> {
        let now = Instant::now();
        let scale = slowstart::scale(&servers);
        let fixed = config.balance.is_static(&config.hashing);
        let entries: Vec<Entry> = servers
            .iter()
            .map(|server| {
                let fitness = server.state.fitness();
                Entry {
                    weight: slowstart::weight(&fitness, scale, fixed, now),
                    backup: server.config.backup,
                    usable: fitness.view().is_usable(),
                    full: false,
                    id: server.config.id,
                    node_key: node_key(server.config.node_key, server.config.id, &fitness.address),
                }
            })
            .collect();
        let mut picker = Picker::new(
            &config.balance,
            config.hashing,
            &entries,
            config.all_backups,
            Rng::new(),
        );
        picker.set_scale(scale);
        let log = shared.logs.sink(&config.log, &config.log_tag);
        let backend = Self {
            connect_seconds: metrics::histogram!("evenkeel_connect_duration_seconds", "proxy" => config.name.clone()),
            session_seconds: metrics::histogram!("evenkeel_session_duration_seconds", "proxy" => config.name.clone()),
            config,
            state,
            servers,
            picker: Mutex::new(picker),
            log,
            shared,
            kill,
            fullconn: AtomicU32::new(u32::MAX),
            is_listen: AtomicBool::new(false),
            scale: AtomicU16::new(scale),
        };
        let backend = Arc::new(backend);
        let mut members = backend.state.members();
        members.retain(|member| member.strong_count() > 0);
        members.push(Arc::downgrade(&backend));
        drop(members);
        backend
    }

    /// Begins to serve those who wait for a server, now that all of its servers are as they are.
    pub(crate) fn begin(self: &Arc<Self>, now: Instant) {
        self.note_standing(now);
        self.adopt_queue();
    }

    pub(crate) fn picker(&self) -> MutexGuard<'_, Picker> {
        self.picker
            .lock()
            .expect("no panic while the picker is locked")
    }

    /// Connects `client` to a server. The server is chosen by the balance algorithm; a failed try
    /// is repeated `retries` times, on another server where that is allowed (HAProxy manual,
    /// `retries`, `option redispatch`; [`Redispatch::WhenFree`] is ours).
    pub(crate) async fn connect(
        self: &Arc<Self>,
        client: Client<'_>,
    ) -> Result<Connection, Failure> {
        let began = Instant::now();
        let mut effort = Effort::default();
        let mut lease = match self.place(&client, None, &mut effort).await {
            Ok(lease) => lease,
            Err(no_place) => {
                effort.waited = began.elapsed();
                return Err(self.without_place(no_place, effort));
            }
        };
        if effort.passed.is_some() {
            effort.waited = began.elapsed();
        }
        // Each DOWN mark may move a connect on without counting as a retry; more often than there
        // are servers it is no longer news.
        let mut free_moves = self.servers.len();
        loop {
            let server = lease.server.clone();
            let address = server.state.address(&server.config.address);
            let dialled = dial::target(&address, client.port());
            let tried = self.attempt(&lease, &address, effort.retries, &client);
            let (end, is_free) = match tried.await {
                Try::Connected(stream) => {
                    let took = began.elapsed() - effort.waited;
                    self.connect_seconds.record(took.as_secs_f64());
                    return Ok(Connection {
                        stream,
                        lease,
                        effort,
                        took,
                        dialled,
                    });
                }
                Try::Over(end) => {
                    return Err(Failure {
                        end,
                        server: Some(server),
                        effort,
                        dialled,
                    });
                }
                Try::ServerDown => (
                    End::ConnectError,
                    free_moves > 0 && self.may_move(&server, effort.retries),
                ),
                Try::Failed(end) => (end, false),
            };
            if is_free {
                free_moves -= 1;
            } else if effort.retries == self.config.retries {
                self.count(&server, |stats| {
                    stats.connection_errors.fetch_add(1, Relaxed)
                });
                return Err(Failure {
                    end,
                    server: Some(server),
                    effort,
                    dialled,
                });
            } else {
                effort.retries += 1;
            }
            if end != End::ConnectTimeout
                && !self.may_move(&server, effort.retries)
                && let Some(end) = self.wait_to_retry(&lease, effort.retries, &client).await
            {
                return Err(Failure {
                    end,
                    server: Some(server),
                    effort,
                    dialled,
                });
            }
            if self.may_move(&server, effort.retries) {
                drop(lease);
                let next = self.place(&client, Some(server.index), &mut effort).await;
                effort.waited = began.elapsed();
                lease = match next {
                    Ok(lease) => lease,
                    Err(no_place) if no_place.end == End::NoServer => {
                        return Err(Failure {
                            end: End::NoServer,
                            server: Some(server),
                            effort,
                            dialled,
                        });
                    }
                    Err(no_place) => return Err(self.without_place(no_place, effort)),
                };
                // A hash may well choose the same server again.
                let is_moved = lease.server.index != server.index;
                effort.is_redispatched |= is_moved;
                self.count(&server, |stats| {
                    let counter = if is_moved {
                        &stats.redispatches
                    } else {
                        &stats.retries
                    };
                    counter.fetch_add(1, Relaxed)
                });
                continue;
            }
            self.count(&server, |stats| stats.retries.fetch_add(1, Relaxed));
            // A DOWN mark from before this try does not end it.
            lease.signals = server.signals();
            if self.is_redispatch_turn(effort.retries) {
                // Assigned anew, if only to the same server.
                effort.waited = began.elapsed();
            }
        }
    }

    /// Tries one server once.
    async fn attempt(
        &self,
        lease: &Lease,
        address: &ServerAddress,
        retries: u32,
        client: &Client<'_>,
    ) -> Try {
        let server = &lease.server;
        self.count(server, |stats| stats.attempts.fetch_add(1, Relaxed));
        // A server's sessions are those that tried it, as HAProxy counts.
        server.state.stats.begin(self.shared.stats.epoch);
        let options = dial::Options {
            keepalive: self.config.server_keepalive,
            tcp_user_timeout: server.config.tcp_user_timeout,
        };
        let Ends {
            source,
            destination,
        } = client.ends;
        let ends = source.zip(destination);
        let header = server.config.send_proxy.map_or_else(Vec::new, |kind| {
            let named = |(from, to)| Behalf::Client(from, to);
            proxy_header(kind, ends.map_or(Behalf::Nameless, named))
        });
        let source = server.config.source.as_ref();
        let passage = dial::Passage {
            source: source.map(|source| (source, &server.ports)),
            client: ends.map(|(from, _)| from),
            header: &header,
            fast_open: server.config.fast_open,
        };
        let dialled = dial(address, client.port(), options, passage);
        let dialled = async {
            match self.patience(server) {
                Some(limit) => timeout(limit, dialled).await.ok(),
                None => Some(dialled.await),
            }
        };
        tokio::select! {
            biased;
            dialled = dialled => match dialled {
                Some(Ok(stream)) => {
                    server.state.observer.note(server.config.observation, true);
                    Try::Connected(stream)
                }
                Some(Err(error)) if dial::is_local_shortage(&error) => {
                    self.note_shortage(server, &error);
                    Try::Failed(End::ConnectResource)
                }
                failed => {
                    server.state.observer.note(server.config.observation, false);
                    Try::Failed(match failed {
                        Some(_) => End::ConnectError,
                        None => End::ConnectTimeout,
                    })
                }
            },
            () = self.kill.wait() => Try::Over(End::Killed),
            () = self.down_and_free(lease, retries) => Try::ServerDown,
            gone = client.stream.gone(self.config.queueing.abort_on_close) => Try::Over(gone.into()),
        }
    }

    /// How long one connect may take.
    fn patience(&self, server: &Server) -> Option<Duration> {
        match self.config.connect_timeout {
            Some(limit) => Some(limit),
            None if self.config.redispatch != Redispatch::Never && self.has_other(server) => {
                Some(CONNECT_PATIENCE)
            }
            None => None,
        }
    }

    /// Waits before the same server is tried again; returns early when another one can be used,
    /// or with the end of a session that there is no use in continuing.
    async fn wait_to_retry(&self, lease: &Lease, retries: u32, client: &Client<'_>) -> Option<End> {
        let delay = self
            .config
            .connect_timeout
            .map_or(RETRY_DELAY, |limit| limit.min(RETRY_DELAY));
        tokio::select! {
            biased;
            () = self.kill.wait() => Some(End::Killed),
            gone = client.stream.gone(self.config.queueing.abort_on_close) => Some(gone.into()),
            () = self.down_and_free(lease, retries) => None,
            () = sleep(delay) => None,
        }
    }

    /// Waits until the server is marked DOWN, if another one could then take its client: a connect
    /// that has nowhere else to go is better seen through.
    async fn down_and_free(&self, lease: &Lease, retries: u32) {
        lease.signals.dialing.wait().await;
        if !self.may_move(&lease.server, retries) {
            std::future::pending::<()>().await;
        }
    }

    /// What becomes of a connection that the system then refuses what it needs.
    pub(crate) fn out_of_resources(
        &self,
        connection: Connection,
        error: &std::io::Error,
    ) -> Failure {
        let Connection {
            lease,
            effort,
            dialled,
            ..
        } = connection;
        self.note_shortage(&lease.server, error);
        Failure {
            end: End::ConnectResource,
            server: Some(lease.server.clone()),
            effort,
            dialled,
        }
    }

    /// Says, now and then, that this machine lacks what a connect needs.
    fn note_shortage(&self, server: &Server, error: &std::io::Error) {
        let seen = self.shared.stats.shortages.fetch_add(1, Relaxed);
        if seen.is_multiple_of(SHORTAGE_LOG_EVERY) {
            warn!(
                backend = self.config.name,
                server = server.config.name,
                %error,
                "cannot connect: this machine is out of ports, descriptors or memory",
            );
        }
    }

    /// Whether retry number `retries` goes to another server.
    fn may_move(&self, server: &Server, retries: u32) -> bool {
        let is_free = {
            let picker = self.picker();
            !picker.pins() || !picker.is_candidate(server.index)
        };
        let wants = match self.config.redispatch {
            Redispatch::Never => false,
            Redispatch::WhenFree => is_free,
            Redispatch::Always { .. } => is_free || self.is_redispatch_turn(retries),
        };
        wants && self.has_other(server)
    }

    /// Whether `option redispatch` assigns a server anew at retry number `retries`.
    fn is_redispatch_turn(&self, retries: u32) -> bool {
        match self.config.redispatch {
            Redispatch::Never | Redispatch::WhenFree => false,
            Redispatch::Always { interval } => {
                is_redispatch_turn(interval, retries, self.config.retries)
            }
        }
    }

    /// Whether a server other than this one could take a client now.
    fn has_other(&self, server: &Server) -> bool {
        self.picker().has_other(server.index)
    }

    /// What becomes of a client that got no server to try.
    fn without_place(&self, no_place: NoPlace, effort: Effort) -> Failure {
        let NoPlace { end, server } = no_place;
        if matches!(end, End::NoServer | End::QueueTimeout | End::QueueFull) {
            self.state.stats.connection_errors.fetch_add(1, Relaxed);
            if let Some(server) = &server {
                let stats = &server.state.stats;
                stats.connection_errors.fetch_add(1, Relaxed);
            }
        }
        Failure {
            end,
            server,
            effort,
            dialled: None,
        }
    }

    /// A server chosen without regard to limits.
    pub(crate) fn lease(
        self: &Arc<Self>,
        client: &Client<'_>,
        avoid: Option<usize>,
    ) -> Option<Lease> {
        // Under the picker's lock: a server that is taken out after this choice ends it.
        let (server, signals) = {
            let mut picker = self.picker();
            let index = match self.wanted(client, avoid) {
                Some(index) => index,
                None => picker.pick(&client.ends, avoid)?,
            };
            if picker.needs_counts() {
                picker.opened(index);
            }
            (self.servers[index].clone(), self.servers[index].signals())
        };
        server.state.stats.open.rise();
        self.note_choice(&server);
        Some(Lease::new(self.clone(), server, signals))
    }

    /// The server that a rule chose, while it is up and was not tried in vain.
    pub(crate) fn wanted(&self, client: &Client<'_>, avoid: Option<usize>) -> Option<usize> {
        let wanted = client.wanted.filter(|_| avoid.is_none())?;
        let is_up = self.servers[wanted].state.fitness().view().is_up();
        is_up.then_some(wanted)
    }

    /// Counts that the balance algorithm chose a server.
    pub(crate) fn note_choice(&self, server: &Server) {
        let epoch = self.shared.stats.epoch;
        self.count(server, |stats| stats.choose(epoch));
    }

    /// Says that it is half of a `listen` section.
    pub(crate) fn note_listen(&self) {
        self.is_listen.store(true, Relaxed);
    }

    /// What HAProxy calls it in messages: a `listen` is neither frontend nor backend.
    pub(crate) fn kind(&self) -> &'static str {
        if self.is_listen.load(Relaxed) {
            "proxy"
        } else {
            "backend"
        }
    }

    /// Sessions at which limits that follow them are at their highest.
    pub(crate) fn fullconn(&self) -> u32 {
        self.fullconn.load(Relaxed)
    }

    /// Does `what` in every generation that has this server, with its place there.
    pub(crate) fn for_each_generation(
        &self,
        state: &Arc<ServerState>,
        mut what: impl FnMut(&Self, usize),
    ) {
        let members: Vec<_> = self
            .state
            .members()
            .iter()
            .filter_map(Weak::upgrade)
            .collect();
        for backend in members {
            let is_it = |own: &Arc<Server>| Arc::ptr_eq(&own.state, state);
            if let Some(index) = backend.servers.iter().position(is_it) {
                what(&backend, index);
            }
        }
    }

    /// Whether it matters where the client connected to: to the choice of a server, to its port, or
    /// because a server is told or shown where its clients come from.
    pub(crate) fn needs_destination(&self) -> bool {
        let is_needed = |server: &Arc<Server>| {
            let config = &server.config;
            let is_shown = |source: &config::ConnectFrom| source.instead.is_some();
            matches!(config.address, ServerAddress::Mapped { .. })
                || config.send_proxy.is_some()
                || config.source.as_ref().is_some_and(is_shown)
        };
        self.config.balance.needs_destination() || self.servers.iter().any(is_needed)
    }

    /// Counts for the server and for the backend.
    pub(crate) fn count<T>(&self, server: &Server, count: impl Fn(&ServiceStats) -> T) {
        count(&server.state.stats);
        count(&self.state.stats);
    }

    /// Whether a server is usable.
    pub(crate) fn is_up(&self) -> bool {
        let picker = self.picker();
        picker.active_servers() + picker.backup_servers() > 0
    }

    pub(crate) fn note_standing(&self, now: Instant) -> bool {
        let is_up = self.is_up() || self.servers.is_empty();
        self.state.standing().turn(is_up, now)
    }
}

/// Whether retry number `retry` of `retries` is one that `option redispatch interval` sends
/// elsewhere: every so many, or, when negative, counted back from the last.
fn is_redispatch_turn(interval: i32, retry: u32, retries: u32) -> bool {
    match interval {
        0 => false,
        1.. => retry.is_multiple_of(interval.unsigned_abs()),
        _ => i64::from(retry) == i64::from(retries) + 1 + i64::from(interval),
    }
}

/// The IP address of a peer, an IPv4 one mapped into IPv6 as what it is.
pub(crate) fn client_ip(peer: Option<SocketAddr>) -> Option<IpAddr> {
    peer.map(|peer| peer.ip().to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redispatch_turns() {
        let turns = |interval| {
            (1..=6)
                .filter(|&retry| is_redispatch_turn(interval, retry, 6))
                .collect::<Vec<_>>()
        };
        assert_eq!(turns(-1), [6]);
        assert_eq!(turns(-3), [4]);
        assert_eq!(turns(2), [2, 4, 6]);
        assert_eq!(turns(0), []);
    }
}
