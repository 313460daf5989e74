//! Connections of frontends that answer by themselves: they are accepted, let in and counted like
//! all others, and then handed to a service of the daemon's. Must not know HTTP; what it counts
//! and logs of a request, the service tells.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime};

use evenkeel_config as config;
use evenkeel_config::rules::{Facts, Fetch, Found, Sample};
use tokio::net::{TcpStream, UnixStream};
use tokio_util::either::Either;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::inspect::Sent;
use crate::log::{Counts, HttpRecord, Level, Peer};
use crate::relay::Stream;
use crate::rules::{Arrival, Scene};
use crate::session::{Guest, Place};
use crate::stats::Rate;

/// What serves the visits of frontends that answer by themselves. Runs on the data thread that
/// accepted the connection, so that it must not block.
#[derive(Clone)]
pub struct Service(Arc<Serve>);

type Serve = dyn Fn(Visit) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync;

impl Service {
    /// Has `serve` serve each visit.
    pub fn new<F, S>(serve: F) -> Self
    where
        F: Fn(Visit) -> S + Send + Sync + 'static,
        S: Future<Output = ()> + Send + 'static,
    {
        Self(Arc::new(move |visit| Box::pin(serve(visit))))
    }

    /// Serves `visit` on this thread.
    pub(crate) fn begin(&self, visit: Visit) {
        drop(tokio::spawn((self.0)(visit)));
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Service")
    }
}

/// A client's connection, as the runtime reads and writes it.
pub type Line = Either<TcpStream, UnixStream>;

/// A client at a frontend that answers by itself. Its places within every `maxconn` are given back
/// when it is dropped, and its generation waits for that.
pub struct Visit {
    stream: Option<Stream>,
    peer: Option<SocketAddr>,
    /// Where it said it went to.
    told: Option<SocketAddr>,
    /// Where its connection comes from, and to where; `None`: over a Unix socket.
    source: Option<SocketAddr>,
    local: Option<SocketAddr>,
    accepted: SystemTime,
    began: Instant,
    place: Place,
    _tracked: TaskTrackerToken,
}

/// What is told of a request that was answered.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// The section that answered.
    pub backend: &'a str,
    /// `<STATS>`, `<PROMEX>` or `<NOSRV>`.
    pub server: &'static str,
    /// The answer's status.
    pub status: u16,
    /// Of the answer, its head included.
    pub bytes: u64,
    /// Who ended it and when (HAProxy manual 8.5), such as `LR`.
    pub end: &'static str,
    /// The request's first line; `None`: it was none.
    pub request: Option<&'a str>,
    /// When its first byte came.
    pub began: SystemTime,
    /// How long its head took; `None`: it is not counted.
    pub head: Option<Duration>,
    /// Whether something that is in a server's place answered.
    pub is_served: bool,
    /// How long that took until the answer's head was there; `None`: there was none.
    pub answered: Option<Duration>,
    /// From the first byte to the last.
    pub total: Duration,
}

/// What requests of a frontend count as.
#[derive(Debug, Default)]
pub(crate) struct HttpStats {
    pub(crate) requests: AtomicU64,
    pub(crate) request_rate: Rate,
    /// By the first digit of the status, from 1; the last: any other.
    pub(crate) responses: [AtomicU64; 6],
    pub(crate) denied: AtomicU64,
    pub(crate) errors: AtomicU64,
    pub(crate) intercepted: AtomicU64,
}

/// Why an answer is what it is, as far as it counts apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nobody answers such a request.
    Unserved,
    /// The frontend answered it itself.
    Intercepted,
    /// A rule denied it.
    Denied,
    /// It was no request, or none that came in time.
    Bad,
}

impl Visit {
    pub(crate) fn new(
        stream: Stream,
        guest: &Guest,
        place: Place,
        tracked: TaskTrackerToken,
    ) -> Self {
        Self {
            local: stream.local_address(),
            stream: Some(stream),
            peer: guest.peer,
            told: guest.told,
            source: guest.source,
            accepted: guest.accepted,
            began: Instant::now(),
            place,
            _tracked: tracked,
        }
    }

    /// The frontend.
    #[must_use]
    pub fn frontend(&self) -> &config::Frontend {
        &self.place.frontend().config
    }

    /// What is known of the connection and the process: what rules on connections find. `backend`
    /// is the section whose rule asks, if it is a backend's. What is within a request whoever
    /// reads it knows himself.
    #[must_use]
    pub fn find(&self, fetch: &Fetch, backend: Option<&str>) -> Found<'static> {
        let frontend = self.place.frontend();
        let asks_for_own = matches!(fetch, Fetch::Backend(_, None));
        let backend = backend.filter(|_| asks_for_own);
        // Requests are read as they come: nobody waits for more of what is looked at.
        let sent = Sent::default();
        let scene = Scene {
            frontend,
            bind: self.place.bind,
            arrival: Arrival::Known(self.local),
            peer: self.peer,
            told: self.told,
            source: self.source,
            accepted: self.accepted,
            sent: &sent,
            backend: backend.and_then(|name| frontend.backend_named(name)),
            reached: None,
        };
        let found = scene.find(fetch);
        Found {
            sample: found.sample.map(Sample::into_owned),
            may_change: found.may_change,
            others: found.others.into_iter().map(Sample::into_owned).collect(),
        }
    }

    /// When it was accepted.
    #[must_use]
    pub fn began(&self) -> Instant {
        self.began
    }

    /// The connection itself, once.
    ///
    /// # Errors
    ///
    /// The system does not let it be watched, or it was taken before.
    pub fn open(&mut self) -> io::Result<Line> {
        let stream = self.stream.take().ok_or(io::ErrorKind::NotConnected)?;
        let fd: OwnedFd = stream.into_fd();
        Ok(if self.local.is_some() {
            Either::Left(TcpStream::from_std(fd.into())?)
        } else {
            Either::Right(UnixStream::from_std(fd.into())?)
        })
    }

    /// Waits until it is to be ended at once.
    pub async fn cut(&self) {
        self.place.frontend().kill.wait().await;
    }

    /// Waits until its generation accepts no more: the request under way is the last one.
    pub async fn drains(&self) {
        self.place.frontend().stop.cancelled().await;
    }

    /// Counts bytes that came and went.
    pub fn moved(&self, inward: u64, outward: u64) {
        let frontend = self.place.frontend();
        frontend.stats.bytes.add(inward, outward);
        frontend.shared.stats.bytes_out.fetch_add(outward, Relaxed);
    }

    /// Counts a request, and the answer that it gets.
    pub fn count(&self, status: u16, verdict: Verdict) {
        let frontend = self.place.frontend();
        let http = &frontend.stats.http;
        http.requests.fetch_add(1, Relaxed);
        http.request_rate.hit(frontend.shared.stats.epoch);
        let class = usize::from(status / 100).wrapping_sub(1).min(5);
        http.responses[class].fetch_add(1, Relaxed);
        let counter = match verdict {
            Verdict::Unserved => return,
            Verdict::Intercepted => &http.intercepted,
            Verdict::Denied => &http.denied,
            Verdict::Bad => &http.errors,
        };
        counter.fetch_add(1, Relaxed);
    }

    /// Logs a request that was answered, if the frontend logs requests.
    pub fn log(&self, answer: &Answer<'_>) {
        let frontend = self.place.frontend();
        let config = &frontend.config;
        if frontend.log.is_empty() || config.log.is_written_at_accept() {
            return;
        }
        let record = HttpRecord {
            client: Peer::new(self.peer, self.place.bind().id),
            frontend: &config.name,
            answer,
            counts: Counts {
                process: frontend.shared.stats.gate.inside(),
                frontend: frontend.stats.gate.inside(),
                backend: 0,
                server: 0,
            },
        };
        frontend
            .log
            .send(Level::Info, &record.line(config.log.format));
    }
}

impl fmt::Debug for Visit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Visit")
            .field("frontend", &self.frontend().name)
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}
