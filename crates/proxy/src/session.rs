//! One session from accept to log line: four values that only move forward.

mod account;
mod admission;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime};

use evenkeel_config as config;
use evenkeel_config::BackendId;
use evenkeel_config::rules::TcpAction;
use rustix::event::epoll::EventFlags;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::task_tracker::TaskTrackerToken;

use self::account::{Moment, Outcome, Record, count_end, details};
pub(crate) use self::admission::Guest;
use self::admission::{
    Halt, admit, admit_session, choose_route, choose_server, deny, greet, refuse, scene,
};
use crate::Shared;
use crate::backend::{Backend, Client, Connection, Effort, Failure, Lease};
use crate::balance;
use crate::cut::Cut;
use crate::end::End;
use crate::engine;
use crate::gate::Gate;
use crate::inspect::Sent;
use crate::local::Visit;
use crate::log::{self, Details, Level, Sink};
use crate::relay::{Held, Limits, Moved, Relay, Stream, Tally, Terms, Witness};
use crate::roll::SessionSnapshot;
use crate::rules::{Reached, World};
use crate::stats::FrontendStats;

/// A frontend as one generation knows it.
pub(crate) struct Frontend {
    pub(crate) config: config::Frontend,
    pub(crate) stats: Arc<FrontendStats>,
    /// Where its connections can go.
    pub(crate) routes: Vec<Route>,
    /// Which of them those take that no rule sends elsewhere; `None`: they are closed.
    pub(crate) default_route: Option<usize>,
    /// What its rules may ask about others.
    pub(crate) world: Arc<World>,
    pub(crate) log: Sink,
    pub(crate) shared: Arc<Shared>,
    /// The limits of the `bind` lines that have one of their own, by their place in the section.
    pub(crate) bind_gates: Vec<Option<Gate>>,
    /// Cut when the whole generation is to end.
    pub(crate) kill: Cut,
    /// Cancelled when it accepts no more.
    pub(crate) stop: CancellationToken,
    /// Whether it accepts for now; who comes meanwhile waits in the kernel's queue.
    pub(crate) accepts: watch::Sender<bool>,
    /// By a command, for good.
    pub(crate) shut_down: AtomicBool,
    /// Bytes that were copied, and those that were spliced.
    pub(crate) copied: metrics::Counter,
    pub(crate) spliced: metrics::Counter,
}

/// A backend that a frontend's connections can go to, and on what terms.
pub(crate) struct Route {
    pub(crate) id: BackendId,
    pub(crate) backend: Arc<Backend>,
    pub(crate) terms: Terms,
}

/// An accepted connection that has its place within every `maxconn`.
pub(crate) struct Accepted {
    pub(crate) stream: Stream,
    /// `None`: over a Unix socket.
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) place: Place,
}

/// A place within the limits of process, frontend and bind; given back on drop.
pub(crate) struct Place {
    frontend: Arc<Frontend>,
    pub(crate) bind: usize,
}

impl Place {
    /// A place, or the gate that is full.
    pub(crate) fn take(frontend: &Arc<Frontend>, bind: usize) -> Result<Self, &Gate> {
        let gates = frontend.gates(bind);
        for (taken, gate) in gates.iter().flatten().enumerate() {
            if !gate.try_enter() {
                gates
                    .iter()
                    .flatten()
                    .take(taken)
                    .for_each(|gate| gate.leave());
                return Err(gate);
            }
        }
        Ok(Self {
            frontend: frontend.clone(),
            bind,
        })
    }

    pub(crate) fn frontend(&self) -> &Frontend {
        &self.frontend
    }
}

impl Place {
    /// What the `bind` line says.
    pub(crate) fn bind(&self) -> &config::Bind {
        &self.frontend.config.binds[self.bind]
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.frontend
            .gates(self.bind)
            .iter()
            .flatten()
            .for_each(|gate| gate.leave());
    }
}

impl Frontend {
    /// Whether its clients may come to this backend.
    pub(crate) fn reaches(&self, backend: &Backend) -> bool {
        let mut routes = self.routes.iter();
        routes.any(|route| route.backend.config.name == backend.config.name)
    }

    /// Where connections go that no rule sends elsewhere.
    pub(crate) fn default_backend(&self) -> Option<&Arc<Backend>> {
        Some(&self.routes[self.default_route?].backend)
    }

    /// The backend of this name, whoever sends it clients.
    pub(crate) fn backend_named(&self, name: &str) -> Option<&Backend> {
        let mut all = self.world.backends.iter();
        all.find(|backend| backend.config.name == name)
            .map(|backend| &**backend)
    }

    fn gates(&self, bind: usize) -> [Option<&Gate>; 3] {
        let own = self.bind_gates.get(bind).and_then(Option::as_ref);
        [own, Some(&self.stats.gate), Some(&self.shared.stats.gate)]
    }
}

/// The inactivity limits of sessions between `frontend` and `backend`.
pub(crate) fn limits(frontend: &config::Frontend, backend: &config::Backend) -> Limits {
    Limits {
        client: backend.tunnel_timeout.or(frontend.client_timeout),
        server: backend.tunnel_timeout.or(backend.server_timeout),
        client_fin: frontend.client_fin_timeout,
        server_fin: backend.server_fin_timeout,
    }
}

impl From<End> for Failure {
    /// The end of a session for which no server was tried.
    fn from(end: End) -> Self {
        Self {
            end,
            server: None,
            effort: Effort::default(),
            dialled: None,
        }
    }
}

/// Takes one connection as far as a server, where the engine takes it over, or to its end.
/// `tracked` is the session's mark in the generation that waits for it.
pub(crate) async fn serve(accepted: Accepted, tracked: TaskTrackerToken) {
    let started = (SystemTime::now(), Instant::now());
    let Accepted {
        stream,
        peer,
        place,
    } = accepted;
    let mut guest = Guest {
        peer,
        told: None,
        source: peer,
        accepted: started.0,
        sent: Sent::default(),
        session: 0,
    };
    let expects_proxy = match admit(&place, &stream, &guest) {
        Ok(expects_proxy) => expects_proxy,
        Err(denial) => return deny(denial, &place, &stream),
    };
    if expects_proxy || place.bind().accept_proxy {
        // In a box: plain connections are not to carry the room for it.
        match Box::pin(greet(&place, &stream)).await {
            Ok(None) => {}
            Ok(Some(ends)) => (guest.peer, guest.told) = (Some(ends.from), Some(ends.to)),
            Err(refusal) => return refuse(&place, peer, started.0, refusal),
        }
    }
    if let Err(denial) = admit_session(&place, &stream, &guest) {
        return deny(denial, &place, &stream);
    }
    guest.session = begin(&place, &stream, guest.peer, guest.told);
    let entered = Instant::now();
    let route = match choose_route(&place, &stream, &mut guest).await {
        Ok(route) => route,
        Err(halt) => {
            // As HAProxy names it: who ended before a rule decided would have gone there.
            let is_undecided = matches!(halt, Halt::End(_));
            let route = place.frontend.default_route.filter(|_| is_undecided);
            let backend = route.map(|route| place.frontend.routes[route].backend.clone());
            return end(halt, &place, stream, &guest, started, backend.as_ref());
        }
    };
    if place.frontend.config.http.is_some() {
        let service = place.frontend.shared.service.clone();
        return service.begin(Visit::new(stream, &guest, place, tracked));
    }
    let Some(route) = route else {
        return fail(&place, stream, &guest, started, None, End::NoServer.into());
    };
    let backend = place.frontend.routes[route].backend.clone();
    let open = Open::new(&backend);
    let wanted = match choose_server(&place, &stream, &mut guest, &backend).await {
        Ok(wanted) => wanted,
        Err(halt) => {
            drop(open);
            return end(halt, &place, stream, &guest, started, Some(&backend));
        }
    };
    let inspected = match backend.config.rules.reads_content {
        false if !place.frontend.config.rules.reads_content => Duration::ZERO,
        _ => entered.elapsed(),
    };
    match establish(&backend, &stream, &guest, wanted).await {
        Ok(connection) => {
            let Connection {
                stream: server,
                lease,
                mut effort,
                took,
                dialled,
            } = connection;
            effort.waited += inspected;
            let memory = place.frontend.has_own_lines().then(|| {
                Box::new(Memory {
                    told: guest.told,
                    source: guest.source,
                    dialled,
                })
            });
            let established = Established {
                started,
                peer: guest.peer,
                session: guest.session,
                effort,
                connect: took,
                memory,
                open,
                lease,
                route,
                place,
                tracked,
            };
            established.count_connect();
            if established.place.frontend.logs_at_connect() {
                established.log_connect(&stream, &server);
            }
            let now = Instant::now();
            let relay = Relay::new(stream, server, Box::new(established), now);
            engine::adopt(relay, now);
        }
        Err(mut failure) => {
            drop(open);
            failure.effort.waited += inspected;
            fail(&place, stream, &guest, started, Some(&backend), failure);
        }
    }
}

/// Ends a session that does not go on.
fn end(
    halt: Halt,
    place: &Place,
    stream: Stream,
    guest: &Guest,
    started: (SystemTime, Instant),
    backend: Option<&Arc<Backend>>,
) {
    match halt {
        Halt::Rule(action) => reject(action, place, stream, guest, started, backend),
        Halt::End(end) => fail(place, stream, guest, started, backend, end.into()),
    }
}

/// Ends a session by a rule on its content.
fn reject(
    action: TcpAction,
    place: &Place,
    stream: Stream,
    guest: &Guest,
    started: (SystemTime, Instant),
    backend: Option<&Arc<Backend>>,
) {
    place.frontend.stats.denied.requests.fetch_add(1, Relaxed);
    if action == TcpAction::SilentDrop {
        stream.forget_on_close();
    }
    fail(place, stream, guest, started, backend, End::Rejected.into());
}

/// Ends a session that reached no server.
fn fail(
    place: &Place,
    stream: Stream,
    guest: &Guest,
    started: (SystemTime, Instant),
    backend: Option<&Arc<Backend>>,
    failure: Failure,
) {
    let dialled = failure.dialled;
    let outcome = Outcome {
        unsent: stream.discard_pending(),
        ..failure.into()
    };
    let details = place.frontend.has_own_lines().then(|| {
        let mut scene = scene(place, &stream, guest);
        scene.backend = backend.map(|backend| &**backend);
        scene.reached = outcome.server.as_ref().map(|server| Reached {
            server,
            to: dialled,
            from: None,
        });
        details(&scene, guest.session)
    });
    drop(stream);
    count_end(backend, started.1.elapsed(), &outcome);
    let record = Record {
        place,
        backend,
        peer: guest.peer,
        started,
        outcome: &outcome,
        moment: Moment::End,
    };
    record.log(details.unwrap_or_default());
}

/// Counts a session and logs it where lines are written at accept; `told` is where the client said
/// it went to. Which of the process's sessions it is.
fn begin(
    place: &Place,
    stream: &Stream,
    peer: Option<SocketAddr>,
    told: Option<SocketAddr>,
) -> u64 {
    let frontend = &place.frontend;
    let gates = frontend.gates(place.bind);
    gates.iter().flatten().for_each(|gate| gate.note_peak());
    let epoch = frontend.shared.stats.epoch;
    frontend.stats.sessions.fetch_add(1, Relaxed);
    frontend.stats.session_rate.hit(epoch);
    let session = frontend.shared.stats.connections.fetch_add(1, Relaxed);
    frontend.shared.stats.connection_rate.hit(epoch);
    let log = &frontend.config.log;
    if log.is_written_at_accept() && !frontend.log.is_empty() {
        let name = &frontend.config.name;
        let local = told.or_else(|| stream.local_address());
        let mode = match frontend.config.http {
            Some(_) => "HTTP",
            None => "TCP",
        };
        let line = log::connect_line(peer, local, place.bind().id, name, mode);
        frontend.log.send(Level::Info, &line);
    }
    session
}

/// Connects the client to a server and has both sides watched.
async fn establish(
    backend: &Arc<Backend>,
    stream: &Stream,
    guest: &Guest,
    wanted: Option<usize>,
) -> Result<Connection, Failure> {
    let &Guest { peer, told, .. } = guest;
    let destination = if backend.needs_destination() {
        told.or_else(|| stream.local_address())
    } else {
        None
    };
    let client = Client {
        stream,
        ends: balance::Ends {
            source: peer,
            destination,
        },
        wanted,
    };
    let connection = backend.connect(client).await?;
    // Both have room to write: nothing was written yet.
    let watched = connection
        .stream
        .watch(EventFlags::OUT)
        .and_then(|_| stream.watch(EventFlags::OUT));
    match watched {
        Ok(_) => Ok(connection),
        Err(error) => Err(backend.out_of_resources(connection, &error)),
    }
}

/// A session counted as open in its backend; until dropped.
struct Open(Arc<Backend>);

impl Open {
    fn new(backend: &Arc<Backend>) -> Self {
        let stats = &backend.state.stats;
        stats.open.rise();
        stats.begin(backend.shared.stats.epoch);
        Self(backend.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.state.stats.open.fall();
    }
}

/// What an established session is beside its two streams. There is one for each open session, for
/// days perhaps: it holds nothing twice.
struct Established {
    started: (SystemTime, Instant),
    peer: Option<SocketAddr>,
    /// Which of the process's sessions it is.
    session: u64,
    effort: Effort,
    connect: Duration,
    /// `None`: nothing asks for it.
    memory: Option<Box<Memory>>,
    open: Open,
    lease: Lease,
    /// Which of the frontend's routes it took.
    route: usize,
    place: Place,
    tracked: TaskTrackerToken,
}

/// What only lines of the operator's own tell at a session's end.
struct Memory {
    /// Where the client said it went to.
    told: Option<SocketAddr>,
    /// Where its connection comes from, whatever it said.
    source: Option<SocketAddr>,
    /// Where the server is.
    dialled: Option<SocketAddr>,
}

impl Established {
    fn count_connect(&self) {
        let Lease {
            backend, server, ..
        } = &self.lease;
        backend.count(server, |stats| {
            stats.queue_time.add(self.effort.waited);
            stats.connect_time.add(self.connect);
        });
    }
}

impl Witness for Established {
    fn terms(&self) -> &Terms {
        &self.place.frontend.routes[self.route].terms
    }

    fn held(&self) -> &Held {
        &self.place.frontend.shared.held
    }

    fn cut(&self) -> Option<End> {
        if !self.lease.signals.sessions.is_cut() {
            None
        } else if self.place.frontend.kill.is_cut() {
            Some(End::Killed)
        } else {
            Some(self.lease.server.cut_as())
        }
    }

    fn moved(&self, moved: &Moved) {
        let &Moved { up, down, spliced } = moved;
        let frontend = &self.place.frontend;
        let Lease {
            backend, server, ..
        } = &self.lease;
        frontend.stats.bytes.add(up, down);
        backend.count(server, |stats| stats.bytes.add(up, down));
        let all = up + down;
        frontend.shared.stats.bytes_out.fetch_add(all, Relaxed);
        if spliced < all {
            frontend.copied.increment(all - spliced);
        }
        if spliced > 0 {
            frontend.spliced.increment(spliced);
        }
    }

    fn describe(&self) -> SessionSnapshot {
        let (accepted, began) = self.started;
        let frontend = &self.place.frontend.config;
        let Lease {
            backend, server, ..
        } = &self.lease;
        SessionSnapshot {
            id: 0,
            accepted,
            age: began.elapsed(),
            source: self.peer,
            local: None,
            frontend: (frontend.name.clone(), frontend.id),
            backend: (backend.config.name.clone(), backend.config.id),
            server: (server.config.name.clone(), server.config.id),
            retries: self.effort.retries,
            bytes: (0, 0),
            thread: 0,
        }
    }

    fn ended(self: Box<Self>, tally: Tally, client: Stream, server: Stream) {
        let frontend = &self.place.frontend;
        let details = (frontend.has_own_lines() && !frontend.logs_at_connect())
            .then(|| self.details(&client, &server));
        let Self {
            started,
            peer,
            session: _,
            effort,
            connect,
            memory: _,
            open,
            lease,
            route: _,
            place,
            tracked,
        } = *self;
        let backend = lease.backend.clone();
        let outcome = Outcome {
            end: tally.end,
            server: Some(lease.server.clone()),
            effort,
            connect: Some(connect),
            bytes: (tally.up, tally.down),
            unsent: 0,
        };
        // Closed and given back before the line is written: its counts are of the others.
        drop(server);
        drop(lease);
        drop(open);
        drop(client);
        count_end(Some(&backend), started.1.elapsed(), &outcome);
        if !place.frontend.logs_at_connect() {
            let record = Record {
                place: &place,
                backend: Some(&backend),
                peer,
                started,
                outcome: &outcome,
                moment: Moment::End,
            };
            record.log(details.unwrap_or_default());
        }
        drop(place);
        drop(tracked);
    }
}

impl Established {
    /// Logs the session while it goes on.
    fn log_connect(&self, client: &Stream, server: &Stream) {
        let outcome = Outcome {
            end: End::Closed,
            server: Some(self.lease.server.clone()),
            effort: self.effort,
            connect: Some(self.connect),
            bytes: (0, 0),
            unsent: 0,
        };
        let record = Record {
            place: &self.place,
            backend: Some(&self.lease.backend),
            peer: self.peer,
            started: self.started,
            outcome: &outcome,
            moment: Moment::Connected,
        };
        let details = match self.place.frontend.has_own_lines() {
            true => self.details(client, server),
            false => Details::default(),
        };
        record.log(details);
    }

    fn details(&self, client: &Stream, server: &Stream) -> Details {
        let memory = self.memory.as_deref();
        let guest = Guest {
            peer: self.peer,
            told: memory.and_then(|memory| memory.told),
            source: memory.and_then(|memory| memory.source),
            accepted: self.started.0,
            sent: Sent::default(),
            session: self.session,
        };
        let mut scene = scene(&self.place, client, &guest);
        scene.backend = Some(&self.lease.backend);
        scene.reached = Some(Reached {
            server: &self.lease.server,
            to: memory.and_then(|memory| memory.dialled),
            from: server.local_address(),
        });
        details(&scene, self.session)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What an established session is beside its record in the engine, in bytes.
    const LARGEST: usize = 256;

    #[test]
    fn what_outlives_a_connect_is_small() {
        let bytes = size_of::<Established>();
        println!("an established session takes {bytes} bytes beside its record");
        assert!(bytes <= LARGEST, "{bytes} bytes");
    }
}
