//! Watches the bytes of one connection: which of them belong to which request, since when nothing
//! moved, and when an answer was sent to its end and can be logged.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime};

use evenkeel_proxy::{Answer, Line, Visit};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;

/// What the connection is about to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// A request's first byte is awaited.
    Idle,
    /// A request's head is coming in.
    Head,
    /// The answer is being found.
    Answering,
    /// The answer is being sent.
    Sending,
}

/// An answer under way, as it will be logged.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) backend: String,
    pub(super) server: &'static str,
    pub(super) status: u16,
    pub(super) end: &'static str,
    pub(super) request: String,
    pub(super) is_served: bool,
    /// Whether the head's time is told.
    pub(super) tells_head: bool,
    /// Whether there is an answer to tell the time of.
    pub(super) tells_answer: bool,
    /// Whether it is logged at all.
    pub(super) is_logged: bool,
    /// What is sent at least: the body.
    pub(super) least: u64,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    /// When the phase began, or bytes moved in it.
    since: Instant,
    began: (SystemTime, Instant),
    head: Duration,
    answered: Duration,
    sent: u64,
    requests: u32,
    /// Whether the client sent anything.
    is_null: bool,
    under_way: Option<Sent>,
}

/// A connection's meter; the connection, its service and its watch share it.
pub(super) struct Meter {
    pub(super) visit: Visit,
    state: Mutex<State>,
    /// Rings when another limit than before may hold.
    moved_on: Notify,
}

impl Meter {
    pub(super) fn new(visit: Visit) -> Self {
        let began = visit.began();
        let state = State {
            phase: Phase::Idle,
            since: began,
            began: (SystemTime::now(), began),
            head: Duration::ZERO,
            answered: Duration::ZERO,
            sent: 0,
            requests: 0,
            is_null: true,
            under_way: None,
        };
        Self {
            visit,
            state: Mutex::new(state),
            moved_on: Notify::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic while a meter is locked")
    }

    /// The phase, since when, and how many requests came before.
    pub(super) fn phase(&self) -> (Phase, Instant, u32) {
        let state = self.state();
        (state.phase, state.since, state.requests)
    }

    /// Waits until the phase is another one.
    pub(super) async fn moved_on(&self) {
        self.moved_on.notified().await;
    }

    /// Whether the client never sent a byte.
    pub(super) fn is_null(&self) -> bool {
        self.state().is_null
    }

    /// A request's head is there.
    pub(super) fn requested(&self) {
        let mut state = self.state();
        let now = Instant::now();
        if state.phase != Phase::Head {
            // It came along with the one before.
            state.began = (SystemTime::now(), now);
        }
        state.head = now - state.began.1;
        state.phase = Phase::Answering;
        state.since = now;
        state.sent = 0;
        state.requests += 1;
    }

    /// The answer is there.
    pub(super) fn answers(&self, sent: Sent) {
        let mut state = self.state();
        let now = Instant::now();
        state.answered = (now - state.began.1).saturating_sub(state.head);
        state.phase = Phase::Sending;
        state.since = now;
        self.moved_on.notify_one();
        state.under_way = Some(sent);
    }

    /// Logs what is under way as ended by `end`, if anything is.
    pub(super) fn give_up(&self, end: &'static str) {
        let mut state = self.state();
        if let Some(sent) = state.under_way.take() {
            let sent = Sent { end, ..sent };
            self.log(&state, &sent);
        }
    }

    /// Logs what was no request.
    pub(super) fn log_bad(&self, status: u16, end: &'static str) {
        let state = self.state();
        self.visit.log(&Answer {
            backend: &self.visit.frontend().name,
            server: "<NOSRV>",
            status,
            bytes: 0,
            end,
            request: None,
            began: state.began.0,
            head: None,
            is_served: false,
            answered: None,
            total: state.began.1.elapsed(),
        });
    }

    fn log(&self, state: &State, sent: &Sent) {
        if !sent.is_logged {
            return;
        }
        self.visit.log(&Answer {
            backend: &sent.backend,
            server: sent.server,
            status: sent.status,
            bytes: state.sent,
            end: sent.end,
            request: Some(&sent.request),
            began: state.began.0,
            head: sent.tells_head.then_some(state.head),
            is_served: sent.is_served,
            answered: sent.tells_answer.then_some(state.answered),
            total: state.began.1.elapsed(),
        });
    }

    fn came(&self, bytes: usize) {
        self.visit.moved(bytes as u64, 0);
        let mut state = self.state();
        state.is_null = false;
        if state.phase == Phase::Idle {
            let now = Instant::now();
            state.phase = Phase::Head;
            state.since = now;
            self.moved_on.notify_one();
            // Of the first one, the wait since the accept is a part.
            if state.requests > 0 {
                state.began = (SystemTime::now(), now);
            }
        }
    }

    fn went(&self, bytes: usize) {
        self.visit.moved(0, bytes as u64);
        let mut state = self.state();
        state.sent += bytes as u64;
        state.since = Instant::now();
    }

    fn flushed(&self) {
        let mut state = self.state();
        if state.phase != Phase::Sending {
            return;
        }
        let (least, now) = (
            state.under_way.as_ref().map_or(0, |sent| sent.least),
            Instant::now(),
        );
        if state.sent <= least {
            return;
        }
        if let Some(sent) = state.under_way.take() {
            self.log(&state, &sent);
        }
        state.phase = Phase::Idle;
        state.since = now;
        state.began = (SystemTime::now(), now);
        self.moved_on.notify_one();
    }

    /// Whether what is written belongs to no answer of ours: the parser answers what is no request
    /// in its own words, and ours are sent instead.
    fn holds_back(&self) -> bool {
        matches!(self.state().phase, Phase::Idle | Phase::Head)
    }
}

/// The connection as its meter sees it pass.
pub(super) struct Metered {
    pub(super) line: Line,
    pub(super) meter: Arc<Meter>,
}

impl AsyncRead for Metered {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.line).poll_read(context, buffer);
        let came = buffer.filled().len() - before;
        if came > 0 {
            self.meter.came(came);
        }
        polled
    }
}

impl AsyncWrite for Metered {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.meter.holds_back() {
            return Poll::Ready(Ok(bytes.len()));
        }
        let polled = Pin::new(&mut self.line).poll_write(context, bytes);
        if let Poll::Ready(Ok(went)) = polled {
            self.meter.went(went);
        }
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.line).poll_flush(context);
        if let Poll::Ready(Ok(())) = polled {
            self.meter.flushed();
        }
        polled
    }

    /// Whoever opened the connection ends it: there may be something to say first.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
