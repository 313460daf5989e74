//! One session from accept to log line: four values that only move forward.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant, SystemTime};

use evenkeel_config as config;
use evenkeel_config::SessionLogFormat;

use crate::Shared;
use crate::backend::{Backend, Client, Connection, Effort, Failure, Lease, client_ip};
use crate::cut::Cut;
use crate::end::End;
use crate::gate::Gate;
use crate::log::{self, Counts, Level, Peer, SessionRecord, Sink};
use crate::relay::{Job, Limits, Method, Stream, Tally, Witness, relay};
use crate::server::Server;
use crate::stats::FrontendStats;

/// A frontend as one generation knows it.
pub(crate) struct Frontend {
    pub(crate) config: config::Frontend,
    pub(crate) stats: Arc<FrontendStats>,
    pub(crate) backend: Option<Arc<Backend>>,
    pub(crate) method: Method,
    pub(crate) log: Sink,
    pub(crate) shared: Arc<Shared>,
    /// The limits of the `bind` lines that have one of their own, by their place in the section.
    pub(crate) bind_gates: Vec<Option<Gate>>,
    pub(crate) limits: Limits,
    /// Cancelled when the whole generation is to end.
    pub(crate) kill: Cut,
    pub(crate) relayed: metrics::Counter,
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

/// Serves one connection to its end. The future is what an open session costs in memory, so it
/// holds nothing twice.
#[allow(
    clippy::manual_async_fn,
    reason = "an async fn would hold its argument twice"
)]
pub(crate) fn serve(mut accepted: Accepted) -> impl Future<Output = ()> + Send {
    async move {
        let started = (SystemTime::now(), Instant::now());
        let frontend = &accepted.place.frontend;
        begin(&accepted.place, &accepted.stream, accepted.peer);
        let outcome = match &frontend.backend {
            Some(backend) => {
                let _open = backend.state.stats.open.raise();
                backend.state.stats.begin(frontend.shared.stats.epoch);
                // Boxed: an established session, which may last for days, does not carry the size
                // of its connect.
                let mut connected =
                    Box::pin(connect(backend, &accepted.stream, accepted.peer)).await;
                match connected {
                    // By reference: moved out, the connection would be held twice.
                    Ok(ref mut connection) => run(frontend, &mut accepted.stream, connection).await,
                    Err(failure) => Outcome {
                        unsent: accepted.stream.discard_pending(),
                        ..failure.into()
                    },
                }
            }
            None => Failure {
                end: End::NoServer,
                server: None,
                effort: Effort::default(),
            }
            .into(),
        };
        let Accepted {
            stream,
            peer,
            place,
        } = accepted;
        drop(stream);
        finish(&place, peer, started, &outcome);
    }
}

fn begin(place: &Place, stream: &Stream, peer: Option<SocketAddr>) {
    let frontend = &place.frontend;
    let gates = frontend.gates(place.bind);
    gates.iter().flatten().for_each(|gate| gate.note_peak());
    let epoch = frontend.shared.stats.epoch;
    frontend.stats.sessions.fetch_add(1, Relaxed);
    frontend.stats.session_rate.hit(epoch);
    frontend.shared.stats.connections.fetch_add(1, Relaxed);
    frontend.shared.stats.connection_rate.hit(epoch);
    if frontend.config.log.format == SessionLogFormat::Connect && !frontend.log.is_empty() {
        let (local, name) = (stream.local_address(), &frontend.config.name);
        let line = log::connect_line(peer, local, place.bind, name);
        frontend.log.send(Level::Info, &line);
    }
}

async fn connect(
    backend: &Arc<Backend>,
    stream: &Stream,
    peer: Option<SocketAddr>,
) -> Result<Connection, Failure> {
    let port = if backend.maps_ports() {
        stream.local_address().map_or(0, |local| local.port())
    } else {
        0
    };
    backend
        .connect(Client {
            stream,
            address: client_ip(peer),
            port,
        })
        .await
}

/// Relays between the client and its server.
#[allow(
    clippy::manual_async_fn,
    reason = "an async fn would hold its arguments twice"
)]
fn run<'a>(
    frontend: &'a Frontend,
    client: &'a mut Stream,
    connection: &'a mut Connection,
) -> impl Future<Output = Outcome> + Send + 'a {
    async move {
        let Lease {
            backend,
            server,
            signals,
        } = &connection.lease;
        backend.count(server, |stats| {
            stats.queue_time.add(connection.effort.waited);
            stats.connect_time.add(connection.took);
        });
        let link = Link {
            frontend,
            backend,
            server,
        };
        let job = Job {
            limits: &frontend.limits,
            cut: &signals.sessions,
            held: &frontend.shared.held,
            witness: &link,
        };
        let Tally { up, down, end } =
            relay(frontend.method, client, &mut connection.stream, &job).await;
        Outcome {
            end,
            server: Some(connection.lease.server.clone()),
            effort: connection.effort,
            connect: Some(connection.took),
            bytes: (up, down),
            unsent: 0,
        }
    }
}

/// What follows an established session.
struct Link<'a> {
    frontend: &'a Frontend,
    backend: &'a Backend,
    server: &'a Server,
}

impl Witness for Link<'_> {
    fn moved(&self, up: u64, down: u64) {
        self.frontend.stats.bytes.add(up, down);
        self.backend
            .count(self.server, |stats| stats.bytes.add(up, down));
        self.frontend
            .shared
            .stats
            .bytes_out
            .fetch_add(up + down, Relaxed);
        self.frontend.relayed.increment(up + down);
    }

    fn cause(&self) -> End {
        if self.frontend.kill.is_cut() {
            End::Killed
        } else {
            End::ServerDown
        }
    }
}

/// Counts the session's end once and logs it once.
fn finish(
    place: &Place,
    peer: Option<SocketAddr>,
    (at, began): (SystemTime, Instant),
    outcome: &Outcome,
) {
    let frontend = &place.frontend;
    let took = began.elapsed();
    if let (Some(backend), Some(server)) = (&frontend.backend, &outcome.server) {
        match outcome.end {
            End::ClientReset | End::ClientGoneConnecting | End::ClientTimeout => {
                backend.count(server, |stats| stats.client_aborts.fetch_add(1, Relaxed));
            }
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
    let log = &frontend.config.log;
    let is_null = log.skip_null && outcome.bytes.0 == 0 && outcome.unsent == 0;
    if frontend.log.is_empty() || is_null || log.format == SessionLogFormat::Connect {
        return;
    }
    let backend = frontend.backend.as_ref();
    let record = SessionRecord {
        client: Peer::new(peer, place.bind),
        accepted: at,
        frontend: &frontend.config.name,
        backend: backend.map_or(&frontend.config.name, |backend| &backend.config.name),
        server: outcome
            .server
            .as_ref()
            .map(|server| server.config.name.as_str()),
        waited: outcome.effort.waited,
        connect: outcome.connect,
        total: took,
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
    };
    frontend.log.session(log.format, &record);
}
