//! One session from accept to log line: four values that only move forward.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime};

use evenkeel_config as config;
use evenkeel_config::rules::TcpAction;
use evenkeel_config::{BackendId, LogLine, LogMoment, SessionLogFormat};
use rustix::event::epoll::EventFlags;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::Shared;
use crate::backend::{Backend, Client, Connection, Effort, Failure, Lease};
use crate::balance;
use crate::cut::Cut;
use crate::end::End;
use crate::engine;
use crate::gate::Gate;
use crate::greeting::{self, Ends, Refusal};
use crate::inspect::{Look, Sent};
use crate::local::Visit;
use crate::log::{self, Counts, Details, Level, Peer, SessionRecord, Sink};
use crate::reactor::{ENDED, READABLE};
use crate::relay::{Held, Limits, Moved, Relay, Stream, Tally, Terms, Witness};
use crate::roll::SessionSnapshot;
use crate::rules::{self, Scene, World};
use crate::server::Server;
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
    bind: usize,
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

/// What a session became; what its log line and its counters are made from.
struct Outcome {
    end: End,
    server: Option<Arc<Server>>,
    effort: Effort,
    connect: Option<Duration>,
    bytes: (u64, u64),
    /// What the client sent and no server got.
    unsent: u64,
}

impl Outcome {
    /// How long it waited until the last try, or for room in vain; `None`: it came to neither.
    fn waited(&self) -> Option<Duration> {
        let is_tried = self.server.is_some() && self.end != End::QueueFull;
        (is_tried || self.effort.passed.is_some()).then_some(self.effort.waited)
    }
}

impl From<End> for Failure {
    /// The end of a session for which no server was tried.
    fn from(end: End) -> Self {
        Self {
            end,
            server: None,
            effort: Effort::default(),
        }
    }
}

impl From<Failure> for Outcome {
    fn from(failure: Failure) -> Self {
        Self {
            end: failure.end,
            server: failure.server,
            effort: failure.effort,
            connect: None,
            bytes: (0, 0),
            unsent: 0,
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
        Err(halt) => return end(halt, &place, stream, &guest, started, None),
    };
    if place.frontend.config.http.is_some() {
        let service = place.frontend.shared.service.clone();
        return service.begin(Visit::new(stream, (guest.peer, guest.told), place, tracked));
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
            } = connection;
            effort.waited += inspected;
            let established = Established {
                started,
                peer: guest.peer,
                session: guest.session,
                effort,
                connect: took,
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

/// A client, by its addresses.
struct Guest {
    /// Where it came from, as far as it has said so or is known.
    peer: Option<SocketAddr>,
    /// Where it said it went to.
    told: Option<SocketAddr>,
    /// Where its connection comes from, whatever it says.
    source: Option<SocketAddr>,
    accepted: SystemTime,
    /// What it has sent, as far as rules looked into it.
    sent: Sent,
    /// Which of the process's sessions it is, from 0.
    session: u64,
}

fn scene<'a>(place: &'a Place, stream: &'a Stream, guest: &'a Guest) -> Scene<'a> {
    Scene {
        frontend: &place.frontend,
        bind: place.bind,
        stream,
        peer: guest.peer,
        told: guest.told,
        source: guest.source,
        accepted: guest.accepted,
        sent: &guest.sent,
        backend: None,
    }
}

/// A connection that does not become a session.
enum Denial {
    /// By `tcp-request connection reject`.
    Connection,
    /// By `tcp-request session reject`.
    Session,
    /// By either's `silent-drop`.
    Silently,
}

/// Asks the rules that come first of all; whether they want a PROXY protocol header.
fn admit(place: &Place, stream: &Stream, guest: &Guest) -> Result<bool, Denial> {
    let rules = &place.frontend.config.rules.connection;
    if rules.is_empty() {
        return Ok(false);
    }
    let scene = scene(place, stream, guest);
    match rules::verdict(rules, &scene) {
        Some((TcpAction::Reject, _)) => Err(Denial::Connection),
        Some((TcpAction::SilentDrop, _)) => Err(Denial::Silently),
        Some((TcpAction::Accept | TcpAction::ExpectProxy, expects_proxy)) => Ok(expects_proxy),
        // Nothing is waited for here.
        None => Ok(false),
    }
}

/// Asks the rules that come before a connection counts as a session.
fn admit_session(place: &Place, stream: &Stream, guest: &Guest) -> Result<(), Denial> {
    let rules = &place.frontend.config.rules.session;
    if rules.is_empty() {
        return Ok(());
    }
    let scene = scene(place, stream, guest);
    match rules::verdict(rules, &scene) {
        Some((TcpAction::Reject, _)) => Err(Denial::Session),
        Some((TcpAction::SilentDrop, _)) => Err(Denial::Silently),
        Some((TcpAction::Accept | TcpAction::ExpectProxy, _)) | None => Ok(()),
    }
}

/// Closes a connection that is no session, and counts it.
fn deny(denial: Denial, place: &Place, stream: &Stream) {
    let frontend = &place.frontend;
    let (stats, epoch) = (&frontend.stats, frontend.shared.stats.epoch);
    frontend.shared.stats.connections.fetch_add(1, Relaxed);
    frontend.shared.stats.connection_rate.hit(epoch);
    stats.denied.refuse(&stats.session_rate, epoch);
    match denial {
        Denial::Connection => {
            stats.denied.connections.fetch_add(1, Relaxed);
            stream.reset_on_close();
        }
        Denial::Session => {
            stats.denied.sessions.fetch_add(1, Relaxed);
            stream.discard_pending();
        }
        Denial::Silently => {
            stats.denied.requests.fetch_add(1, Relaxed);
            stream.forget_on_close();
        }
    }
}

/// Why a session does not go on.
enum Halt {
    /// A rule says so.
    Rule(TcpAction),
    /// It ended while rules waited for what the client sends.
    End(End),
}

/// Where a session goes; `Ok(None)`: nowhere.
async fn choose_route(
    place: &Place,
    stream: &Stream,
    guest: &mut Guest,
) -> Result<Option<usize>, Halt> {
    let frontend = &place.frontend;
    let rules = &frontend.config.rules;
    if rules.content.is_empty() && rules.backends.is_empty() {
        return Ok(frontend.default_route);
    }
    if rules.reads_content {
        // In a box: other connections are not to carry the room for it.
        Box::pin(inspect(place, stream, guest, None)).await?;
    } else {
        let scene = scene(place, stream, guest);
        decide(rules::verdict(&rules.content, &scene))?;
    }
    let scene = scene(place, stream, guest);
    Ok(rules::route(&scene).or(frontend.default_route))
}

/// Which server a rule of the backend wants, if any.
async fn choose_server(
    place: &Place,
    stream: &Stream,
    guest: &mut Guest,
    backend: &Backend,
) -> Result<Option<usize>, Halt> {
    let rules = &backend.config.rules;
    if rules.is_empty() {
        return Ok(None);
    }
    // The rules of a `listen` section were asked already.
    let is_own = backend.config.id == place.frontend.config.id;
    if rules.reads_content && !is_own {
        Box::pin(inspect(place, stream, guest, Some(backend))).await?;
    }
    let scene = Scene {
        backend: Some(backend),
        ..scene(place, stream, guest)
    };
    if !rules.reads_content && !is_own {
        decide(rules::verdict(&rules.content, &scene))?;
    }
    Ok(rules::wanted_server(&scene, backend))
}

/// What a decision on a session's content comes to.
fn decide(verdict: Option<(TcpAction, bool)>) -> Result<(), Halt> {
    match verdict {
        None | Some((TcpAction::Accept | TcpAction::ExpectProxy, _)) => Ok(()),
        Some((action, _)) => Err(Halt::Rule(action)),
    }
}

/// Asks rules on content of the frontend, or of `backend`, as often as the client sends more, until
/// they are decided or `inspect-delay` is over.
async fn inspect(
    place: &Place,
    stream: &Stream,
    guest: &mut Guest,
    backend: Option<&Backend>,
) -> Result<(), Halt> {
    let frontend = &place.frontend;
    let (rules, delay) = match backend {
        Some(backend) => {
            let rules = &backend.config.rules;
            (&rules.content, rules.inspect_delay)
        }
        None => {
            let rules = &frontend.config.rules;
            (&rules.content, rules.inspect_delay)
        }
    };
    let Ok(source) = stream.watch(EventFlags::empty()) else {
        return Err(Halt::End(End::ConnectResource));
    };
    let deadline = delay
        .filter(|_| !rules.is_empty())
        .map(|delay| Instant::now() + delay);
    loop {
        source.clear(EventFlags::IN);
        let look = guest.sent.look(stream);
        let is_ended = source.ready().intersects(ENDED);
        let has_time = deadline.is_some_and(|deadline| Instant::now() < deadline);
        if look == Look::More && has_time && !is_ended {
            guest.sent.begin_to_wait();
        } else {
            guest.sent.stop_waiting();
        }
        // The bytes that were looked at are still to be read, of which no event tells again.
        if look == Look::Reset {
            return Err(Halt::End(End::ClientGoneSending));
        }
        let scene = Scene {
            backend,
            ..scene(place, stream, guest)
        };
        if let Some(verdict) = rules::verdict(rules, &scene) {
            guest.sent.stop_waiting();
            source.assume(EventFlags::IN | EventFlags::OUT);
            return decide(Some(verdict));
        }
        let wait = deadline
            .unwrap_or_else(Instant::now)
            .saturating_duration_since(Instant::now());
        tokio::select! {
            biased;
            () = frontend.kill.wait() => return Err(Halt::End(End::Killed)),
            () = source.wait(READABLE) => {}
            () = tokio::time::sleep(wait) => {}
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
    let outcome = Outcome {
        unsent: stream.discard_pending(),
        ..failure.into()
    };
    let details = place.frontend.has_own_lines().then(|| {
        let mut scene = scene(place, &stream, guest);
        scene.backend = backend.map(|backend| &**backend);
        details(&scene, guest.session, None)
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

/// Waits for the header that comes before the client's own bytes.
async fn greet(place: &Place, stream: &Stream) -> Result<Option<Ends>, Refusal> {
    let frontend = &place.frontend;
    tokio::select! {
        biased;
        () = frontend.kill.wait() => Err(Refusal::Closed),
        greeted = greeting::receive(stream, frontend.config.client_timeout) => greeted,
    }
}

/// Logs a connection that did not come to a session, as HAProxy does.
fn refuse(place: &Place, peer: Option<SocketAddr>, at: SystemTime, refusal: Refusal) {
    let frontend = &place.frontend;
    let connections = &frontend.shared.stats.connections;
    connections.fetch_add(1, Relaxed);
    let is_silent = frontend.config.log.skip_null && refusal.is_null();
    if frontend.log.is_empty() || is_silent {
        return;
    }
    let bind = place.bind();
    let record = log::RefusalRecord {
        client: Peer::new(peer, bind.id),
        accepted: at,
        frontend: &frontend.config.name,
        bind: &bind.name,
        bind_id: bind.id,
        why: &refusal,
    };
    frontend.log.send(Level::Info, &record.to_string());
}

/// `told`: where the client said it went to.
/// Counts a session and logs it where lines are written at accept. Which of the process's it is.
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
    let is_logged = log.format == SessionLogFormat::Connect && log.line.is_none();
    if is_logged && !frontend.log.is_empty() {
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
    open: Open,
    lease: Lease,
    /// Which of the frontend's routes it took.
    route: usize,
    place: Place,
    tracked: TaskTrackerToken,
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
        let guest = Guest {
            peer: self.peer,
            told: None,
            source: self.peer,
            accepted: self.started.0,
            sent: Sent::default(),
            session: self.session,
        };
        let mut scene = scene(&self.place, client, &guest);
        scene.backend = Some(&self.lease.backend);
        details(&scene, self.session, Some(server))
    }
}

/// Counts how a session ended, once.
fn count_end(backend: Option<&Arc<Backend>>, took: Duration, outcome: &Outcome) {
    let is_clients = matches!(
        outcome.end,
        End::ClientReset | End::ClientGoneConnecting | End::ClientTimeout
    );
    if let Some(backend) = backend
        && is_clients
    {
        // Who waited for room had no server yet.
        let stats = outcome.server.as_ref().map(|server| &server.state.stats);
        for stats in stats.into_iter().chain([&backend.state.stats]) {
            stats.client_aborts.fetch_add(1, Relaxed);
        }
    }
    if let (Some(backend), Some(server)) = (backend, &outcome.server) {
        match outcome.end {
            End::ServerReset => {
                backend.count(server, |stats| stats.server_aborts.fetch_add(1, Relaxed));
                backend.count(server, |stats| stats.response_errors.fetch_add(1, Relaxed));
            }
            End::ServerTimeout => {
                backend.count(server, |stats| stats.server_aborts.fetch_add(1, Relaxed));
            }
            _ => {}
        }
        backend.count(server, |stats| stats.session_time.add(took));
        backend.session_seconds.record(took.as_secs_f64());
    }
}

/// When a session is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    /// Its server is reached.
    Connected,
    /// It has ended.
    End,
}

/// What a session's line is made from.
struct Record<'a> {
    place: &'a Place,
    backend: Option<&'a Arc<Backend>>,
    peer: Option<SocketAddr>,
    started: (SystemTime, Instant),
    outcome: &'a Outcome,
    moment: Moment,
}

impl Record<'_> {
    /// Logs the session, if it is one that is logged.
    fn log(&self, details: Details) {
        let Self {
            place,
            backend,
            outcome,
            ..
        } = *self;
        let frontend = &place.frontend;
        let log = &frontend.config.log;
        let is_null = log.skip_null
            && self.moment == Moment::End
            && outcome.bytes.0 == 0
            && outcome.unsent == 0;
        let is_logged_at_accept = log.format == SessionLogFormat::Connect && log.line.is_none();
        let went_well = outcome.end == End::Closed
            && outcome.effort.retries == 0
            && !outcome.effort.is_redispatched;
        let is_dull = log.skip_normal && went_well;
        if frontend.log.is_empty() || is_null || is_logged_at_accept || is_dull {
            return;
        }
        let level = match log.errors_apart && !went_well {
            true => Level::Err,
            false => Level::Info,
        };
        let record = SessionRecord {
            client: Peer::new(self.peer, place.bind().id),
            accepted: self.started.0,
            frontend: &frontend.config.name,
            backend: backend.map_or(&frontend.config.name, |backend| &backend.config.name),
            server: outcome
                .server
                .as_ref()
                .map(|server| server.config.name.as_str()),
            waited: outcome.waited(),
            passed: outcome.effort.passed,
            connect: outcome.connect,
            total: self.started.1.elapsed(),
            uploaded: outcome.bytes.0,
            bytes: outcome.bytes.1,
            end: outcome.end.code(),
            counts: Counts {
                process: frontend.shared.stats.gate.inside(),
                frontend: frontend.stats.gate.inside(),
                backend: backend.map_or(0, |backend| backend.state.stats.open.now()),
                server: outcome
                    .server
                    .as_ref()
                    .map_or(0, |server| server.state.stats.open.now()),
            },
            retries: outcome.effort.retries,
            is_redispatched: outcome.effort.is_redispatched,
            goes_on: self.moment == Moment::Connected && log.as_soon_as_possible,
        };
        frontend.log.session(log, level, &record, &details);
    }
}

impl Frontend {
    /// Whether lines are of the operator's own making.
    fn has_own_lines(&self) -> bool {
        let log = &self.config.log;
        (log.line.is_some() || log.structured.is_some()) && !self.log.is_empty()
    }

    /// Whether a session is logged when its server is reached rather than at its end.
    fn logs_at_connect(&self) -> bool {
        let log = &self.config.log;
        let is_known = |line: &Arc<LogLine>| line.moment() == LogMoment::Connected;
        log.as_soon_as_possible || log.line.as_ref().is_some_and(is_known)
    }
}

/// What lines of the operator's own ask of a session.
fn details(scene: &Scene<'_>, session: u64, server: Option<&Stream>) -> Details {
    let log = &scene.frontend.config.log;
    let lines = log.line.iter().chain(&log.structured);
    Details {
        frontend: scene.told.or_else(|| scene.stream.local_address()),
        own: server.and_then(Stream::local_address),
        server: server.and_then(Stream::peer_address),
        session,
        line: scene.frontend.stats.lines.fetch_add(1, Relaxed),
        samples: lines
            .flat_map(|line| line.samples())
            .map(|(fetch, converters)| scene.evaluate(fetch, converters))
            .collect(),
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
