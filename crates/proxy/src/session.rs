//! One session from accept to log line: four values that only move forward.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant, SystemTime};

use evenkeel_config as config;
use evenkeel_config::SessionLogFormat;

use crate::Shared;
use crate::backend::{Backend, Client, Connection, Effort, Failure, client_ip};
use crate::end::End;
use crate::gate::Gate;
use crate::log::{self, Counts, Level, SessionRecord, Sink};
use crate::relay::{Job, Limits, Method, Stream, Tally, relay};
use crate::server::Server;
use crate::stats::{Bytes, FrontendStats};

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
    pub(crate) is_killed: Box<dyn Fn() -> bool + Send + Sync>,
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

    /// The inactivity limits of a session with `backend`.
    fn limits(&self, backend: &config::Backend) -> Limits {
        Limits {
            client: backend.tunnel_timeout.or(self.config.client_timeout),
            server: backend.tunnel_timeout.or(backend.server_timeout),
            client_fin: self.config.client_fin_timeout,
            server_fin: backend.server_fin_timeout,
        }
    }
}

/// What a session became; what its log line and its counters are made from.
struct Outcome {
    end: End,
    server: Option<Arc<Server>>,
    effort: Effort,
    connect: Option<Duration>,
    bytes: (u64, u64),
}

impl From<Failure> for Outcome {
    fn from(failure: Failure) -> Self {
        Self {
            end: failure.end,
            server: failure.server,
            effort: failure.effort,
            connect: None,
            bytes: (0, 0),
        }
    }
}

/// Serves one connection to its end.
pub(crate) async fn serve(accepted: Accepted) {
    let Accepted {
        stream,
        peer,
        place,
    } = accepted;
    let frontend = &place.frontend;
    let started = (SystemTime::now(), Instant::now());
    begin(frontend, &stream, peer);
    let outcome = match &frontend.backend {
        Some(backend) => {
            backend.state.stats.open.rise();
            backend.state.stats.begin(frontend.shared.stats.epoch);
            let outcome = run(frontend, backend, stream, peer).await;
            backend.state.stats.open.fall();
            outcome
        }
        None => Failure {
            end: End::NoServer,
            server: None,
            effort: Effort::default(),
        }
        .into(),
    };
    finish(frontend, peer, started, &outcome);
    drop(place);
}

fn begin(frontend: &Frontend, stream: &Stream, peer: Option<SocketAddr>) {
    let epoch = frontend.shared.stats.epoch;
    frontend.stats.sessions.fetch_add(1, Relaxed);
    frontend.stats.session_rate.hit(epoch);
    frontend.shared.stats.connections.fetch_add(1, Relaxed);
    frontend.shared.stats.connection_rate.hit(epoch);
    if frontend.config.log.format == SessionLogFormat::Connect && !frontend.log.is_empty() {
        let line = log::connect_line(peer, stream.local_address(), &frontend.config.name);
        frontend.log.send(Level::Info, &line);
    }
}

/// Connects and relays.
async fn run(
    frontend: &Frontend,
    backend: &Arc<Backend>,
    stream: Stream,
    peer: Option<SocketAddr>,
) -> Outcome {
    let client = Client {
        address: client_ip(peer),
        port: if backend.maps_ports() {
            stream.local_address().map_or(0, |local| local.port())
        } else {
            0
        },
        stream: &stream,
    };
    // Boxed: an established session, which may last for days, does not carry the size of its
    // connect.
    let connection = match Box::pin(backend.connect(client)).await {
        Ok(connection) => connection,
        Err(failure) => return failure.into(),
    };
    let Connection {
        stream: server_stream,
        lease,
        effort,
        took,
    } = connection;
    let server = lease.server.clone();
    let cut = server.signals().sessions;
    let cause = || {
        if (frontend.is_killed)() {
            End::Killed
        } else {
            End::ServerDown
        }
    };
    let stats = &server.state.stats;
    stats.begin(frontend.shared.stats.epoch);
    backend.count(&server, |stats| stats.connect_time.add(took));
    let job = Job {
        limits: frontend.limits(&backend.config),
        cut: &cut,
        cause: &cause,
        held: &frontend.shared.held,
        counters: Counters {
            frontend: &frontend.stats.bytes,
            backend: &backend.state.stats.bytes,
            server: &stats.bytes,
            process_out: &frontend.shared.stats.bytes_out,
            relayed: &frontend.relayed,
        },
    };
    let Tally { up, down, end } = relay(frontend.method, stream, server_stream, job).await;
    drop(lease);
    Outcome {
        end,
        server: Some(server),
        effort,
        connect: Some(took),
        bytes: (up, down),
    }
}

/// Where a relay counts bytes while they flow.
pub(crate) struct Counters<'a> {
    frontend: &'a Bytes,
    backend: &'a Bytes,
    server: &'a Bytes,
    process_out: &'a std::sync::atomic::AtomicU64,
    relayed: &'a metrics::Counter,
}

impl Counters<'_> {
    /// `up` bytes reached the server, `down` bytes the client.
    pub(crate) fn add(&self, up: u64, down: u64) {
        self.frontend.add(up, down);
        self.backend.add(up, down);
        self.server.add(up, down);
        self.process_out.fetch_add(up + down, Relaxed);
        self.relayed.increment(up + down);
    }
}

/// Counts the session's end once and logs it once.
fn finish(
    frontend: &Frontend,
    peer: Option<SocketAddr>,
    (at, began): (SystemTime, Instant),
    outcome: &Outcome,
) {
    let took = began.elapsed();
    if let (Some(backend), Some(server)) = (&frontend.backend, &outcome.server) {
        match outcome.end {
            End::ClientReset | End::ClientGoneConnecting => {
                backend.count(server, |stats| stats.client_aborts.fetch_add(1, Relaxed));
            }
            End::ServerReset => {
                backend.count(server, |stats| stats.server_aborts.fetch_add(1, Relaxed));
            }
            _ => {}
        }
        backend.count(server, |stats| stats.session_time.add(took));
        backend.session_seconds.record(took.as_secs_f64());
    }
    let log = &frontend.config.log;
    let is_null = log.skip_null && outcome.bytes.0 == 0;
    if frontend.log.is_empty() || is_null || log.format == SessionLogFormat::Connect {
        return;
    }
    let backend = frontend.backend.as_ref();
    let record = SessionRecord {
        client: peer,
        accepted: at,
        frontend: &frontend.config.name,
        backend: backend.map_or(&frontend.config.name, |backend| &backend.config.name),
        server: outcome
            .server
            .as_ref()
            .map(|server| server.config.name.as_str()),
        connect: outcome.connect,
        total: took,
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
