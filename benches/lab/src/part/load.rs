//! The clients: one thread, one epoll instance. The frame that every workload's client runs in:
//! warm-up, a window in which things are counted, the lines on standard output that tell the
//! bench where the window begins and ends, and what was counted.

use std::collections::BTreeMap;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use hdrhistogram::Histogram;
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, Event, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::time::Timespec;
use serde::{Deserialize, Serialize};

use super::exchange::{ANSWER_BYTES, answers, request};
use crate::workload::{Sample, Workload};

/// The line that says that the window has begun.
pub(crate) const BEGIN: &str = "begin";

/// The line that says that it is over; what was counted follows as one line of JSON. Connections
/// that the workload keeps stay open until standard input is closed.
pub(crate) const END: &str = "end";

/// Events taken at once.
const EVENTS: usize = 256;

/// How long a balancer may take until its first whole answer.
const START_PATIENCE: Duration = Duration::from_secs(10);

/// A request without an answer for so long has failed.
const ANSWER_PATIENCE: Duration = Duration::from_secs(3);

/// Latencies are told apart up to here; what takes longer counts as this.
const LONGEST: Duration = Duration::from_secs(60);

/// What the clients counted in the window. Latencies in microseconds.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Counted {
    pub(crate) seconds: f64,
    pub(crate) requests: u64,
    pub(crate) bytes: u64,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    /// Requests that failed in warm-up or window, by what the kernel said.
    pub(crate) failures: BTreeMap<String, u64>,
    /// What the workload's own clients worked out.
    pub(crate) figures: Sample,
}

impl Counted {
    pub(crate) fn failed(&self) -> u64 {
        self.failures.values().sum()
    }
}

/// Runs the clients of `workload` against `target`, as a process of its own.
pub(crate) fn run(
    workload: &Workload,
    target: SocketAddr,
    warm_up: Duration,
    window: Duration,
) -> Result<()> {
    wait_until_serving(target)?;
    let mut load = Load {
        target,
        ready: epoll::create(epoll::CreateFlags::CLOEXEC).context("epoll")?,
        events: Vec::with_capacity(EVENTS),
        warm_up,
        window,
        starts: Instant::now(),
        began: None,
        counting: Counting::WarmUp,
        latency: Histogram::new_with_max(LONGEST.as_nanos() as u64, 3).context("histogram")?,
        counted: Counted::default(),
    };
    let kept = (workload.load)(&mut load)?;
    let text = serde_json::to_string(&load.result()).context("what was counted")?;
    announce(&text)?;
    io::stdin()
        .read_to_end(&mut Vec::new())
        .context("standard input")?;
    drop(kept);
    Ok(())
}

/// A workload's clients at work.
pub(crate) struct Load {
    pub(crate) target: SocketAddr,
    ready: OwnedFd,
    events: Vec<Event>,
    warm_up: Duration,
    window: Duration,
    starts: Instant,
    began: Option<Instant>,
    counting: Counting,
    latency: Histogram<u64>,
    counted: Counted,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Counting {
    WarmUp,
    Since(Instant),
    Over,
}

/// What a client's sockets are watched for, edge by edge.
const INTEREST: EventFlags = EventFlags::IN
    .union(EventFlags::OUT)
    .union(EventFlags::RDHUP)
    .union(EventFlags::ET);

impl Load {
    /// Starts to connect.
    pub(crate) fn connect(&self) -> rustix::io::Result<OwnedFd> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let family = match self.target {
            SocketAddr::V4(_) => AddressFamily::INET,
            SocketAddr::V6(_) => AddressFamily::INET6,
        };
        let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
        match rustix::net::connect(&socket, &self.target) {
            Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
            Err(error) => Err(error),
        }
    }

    /// Reports what happens to `socket` as events of `token`.
    pub(crate) fn watch(&self, socket: &OwnedFd, token: usize) -> rustix::io::Result<()> {
        epoll::add(
            &self.ready,
            socket,
            EventData::new_u64(token as u64),
            INTEREST,
        )
    }

    /// Waits for events and appends their tokens; false once the window is over. The window's
    /// edges are announced here, between two batches.
    pub(crate) fn turn(&mut self, tokens: &mut Vec<usize>, patience: Duration) -> Result<bool> {
        let now = Instant::now();
        match self.counting {
            Counting::WarmUp if now >= self.starts + self.warm_up => self.begin()?,
            Counting::Since(begun) if now >= begun + self.window => {
                self.end(now)?;
                return Ok(false);
            }
            _ => {}
        }
        self.wait(tokens, patience)?;
        Ok(true)
    }

    /// Waits for events and appends their tokens, whatever the window.
    pub(crate) fn wait(&mut self, tokens: &mut Vec<usize>, patience: Duration) -> Result<()> {
        let patience = Timespec {
            tv_sec: patience.as_secs() as i64,
            tv_nsec: i64::from(patience.subsec_nanos()),
        };
        self.events.clear();
        match epoll::wait(
            &self.ready,
            spare_capacity(&mut self.events),
            Some(&patience),
        ) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error).context("epoll_wait"),
        }
        tokens.extend(self.events.iter().map(|event| event.data.u64() as usize));
        Ok(())
    }

    /// From here on things are counted.
    fn begin(&mut self) -> Result<()> {
        announce(BEGIN)?;
        let now = Instant::now();
        self.began = Some(now);
        self.counting = Counting::Since(now);
        Ok(())
    }

    /// When the window began, once it has.
    pub(crate) fn window_began(&self) -> Option<Instant> {
        self.began
    }

    /// How long the window is.
    pub(crate) fn window(&self) -> Duration {
        self.window
    }

    /// Tells the bench a figure of the workload's own.
    pub(crate) fn figure(&mut self, name: &str, value: f64) {
        self.counted.figures.insert(name.to_owned(), value);
    }

    /// As `begin`, once the bench has seen what was before.
    pub(crate) fn begin_when_told(&mut self) -> Result<()> {
        announce(BEGIN)?;
        self.told()?;
        self.counting = Counting::Since(Instant::now());
        Ok(())
    }

    /// Waits for a line of the bench.
    pub(crate) fn told(&self) -> Result<String> {
        let mut line = String::new();
        io::stdin().read_line(&mut line).context("standard input")?;
        Ok(line)
    }

    /// From here on nothing is counted any more.
    pub(crate) fn end(&mut self, now: Instant) -> Result<()> {
        if let Counting::Since(begun) = self.counting {
            self.counted.seconds = (now - begun).as_secs_f64();
        }
        self.counting = Counting::Over;
        announce(END)
    }

    /// Counts an answer that took so long.
    pub(crate) fn answered(&mut self, latency: Duration, bytes: usize) {
        if let Counting::Since(_) = self.counting {
            self.counted.requests += 1;
            self.counted.bytes += bytes as u64;
            self.latency.saturating_record(latency.as_nanos() as u64);
        }
    }

    /// Counts bytes of an answer that does not end.
    pub(crate) fn received(&mut self, bytes: usize) {
        if let Counting::Since(_) = self.counting {
            self.counted.bytes += bytes as u64;
        }
    }

    /// Counts a failed request, in the warm-up too: nothing may fail.
    pub(crate) fn failed(&mut self, why: impl ToString) {
        *self.counted.failures.entry(why.to_string()).or_default() += 1;
    }

    /// Counts a request as failed if it has been waiting for too long.
    pub(crate) fn check_patience(&mut self, asked: Instant) {
        if asked.elapsed() >= ANSWER_PATIENCE {
            self.failed("no answer");
        }
    }

    fn result(&mut self) -> Counted {
        let microseconds = |quantile: f64| self.latency.value_at_quantile(quantile) as f64 / 1e3;
        self.counted.p50 = microseconds(0.5);
        self.counted.p99 = microseconds(0.99);
        self.counted.p999 = microseconds(0.999);
        std::mem::take(&mut self.counted)
    }
}

fn announce(line: &str) -> Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{line}")
        .and_then(|()| stdout.flush())
        .context("tell the bench")
}

/// Asks until there is a whole answer.
fn wait_until_serving(target: SocketAddr) -> Result<()> {
    let deadline = Instant::now() + START_PATIENCE;
    loop {
        match ask_once(target) {
            Ok(()) => return Ok(()),
            Err(error) if Instant::now() >= deadline => bail!("{target} does not serve: {error}"),
            Err(_) => thread::park_timeout(Duration::from_millis(5)),
        }
    }
}

fn ask_once(target: SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&target, Duration::from_secs(1))?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    stream.write_all(&request(1, ANSWER_BYTES as u64))?;
    let mut answer = [0; ANSWER_BYTES];
    stream.read_exact(&mut answer)?;
    if answers(&answer, 1) {
        Ok(())
    } else {
        Err(io::Error::other("another request's answer"))
    }
}
