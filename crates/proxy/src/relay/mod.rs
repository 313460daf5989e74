//! Moves bytes between a client and a server until the session ends, with half-closes, resets and
//! backpressure carried through. How one batch of bytes moves is a [`Mover`]'s affair: `copy` or
//! `splice`; everything else is here and the same for both.

mod copy;
mod held;
mod splice;
mod stream;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::sync::WaitForCancellationFuture;

use self::copy::Copy;
use self::held::HeldShare;
pub(crate) use self::held::{HELD_LIMIT_BYTES, Held};
use self::splice::Splice;
pub(crate) use self::stream::{Gone, Stream};
use crate::cut::Cut;
use crate::end::End;

/// What a flow may read until its last write was taken whole: bounds what a stalled receiver
/// holds back.
const CAUTIOUS_READ_BYTES: usize = 256 << 10;
/// What a flow may read once its receiver keeps up.
const FULL_READ_BYTES: usize = 1 << 20;
/// What a flow may read whose receiver keeps up (or may yet) while the process holds all it may:
/// nobody's stalled receiver stops the others.
const TIGHT_READ_BYTES: usize = 16 << 10;
/// Batches a flow may move before the other connections of its thread have their turn.
const BATCHES_PER_TURN: u32 = 8;

/// Inactivity limits of one session; `None`: no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Limits {
    /// `timeout client`, or `timeout tunnel` where there is one.
    pub(crate) client: Option<Duration>,
    /// `timeout server`, or `timeout tunnel`.
    pub(crate) server: Option<Duration>,
    /// `timeout client-fin`: replaces `client` once nothing more will be sent to the client.
    pub(crate) client_fin: Option<Duration>,
    /// `timeout server-fin`, likewise.
    pub(crate) server_fin: Option<Duration>,
}

/// What a relay needs to know beside its two streams.
pub(crate) struct Job<'a> {
    pub(crate) limits: &'a Limits,
    /// Ends the session from outside; the witness then knows why.
    pub(crate) cut: &'a Cut,
    pub(crate) held: &'a Held,
    pub(crate) witness: &'a (dyn Witness + Send + Sync),
}

/// Who follows a session from outside.
pub(crate) trait Witness {
    /// `up` more bytes reached the server, `down` more the client.
    fn moved(&self, up: u64, down: u64);
    /// Why the session was cut.
    fn cause(&self) -> End;
}

/// What a session moved and how it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Bytes from client to server.
    pub(crate) up: u64,
    /// Bytes from server to client.
    pub(crate) down: u64,
    pub(crate) end: End,
}

/// How bytes are moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Copy,
    Splice,
}

impl Method {
    /// The name in metrics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Copy => "copy",
            Self::Splice => "splice",
        }
    }
}

/// Relays until the session ends. The streams are to be dropped then, which closes them as the
/// session ended.
pub(crate) async fn relay(
    method: Method,
    client: &mut Stream,
    server: &mut Stream,
    job: &Job<'_>,
) -> Tally {
    match method {
        Method::Copy => Relay::<Copy>::new(client, server, job).await,
        Method::Splice => Relay::<Splice>::new(client, server, job).await,
    }
}

/// Moves one batch at a time from a source to a destination and holds what was not taken.
trait Mover: Default {
    /// With nothing held: reads at most `limit` bytes and writes what the destination takes.
    fn carry(&mut self, from: &Stream, to: &Stream, limit: usize) -> Result<Batch, Fault>;
    /// Writes what is held; returns the bytes taken.
    fn flush(&mut self, to: &Stream) -> Result<usize, Fault>;
    /// Bytes read and not yet written.
    fn held(&self) -> usize;
}

/// What [`Mover::carry`] did.
enum Batch {
    /// The source has nothing to read now.
    Dry,
    /// The source will send nothing more.
    EndOfStream,
    /// Bytes moved; what is missing between the two is held.
    Moved { read: usize, written: usize },
}

/// Which side failed.
#[derive(Debug)]
enum Fault {
    Source(#[allow(dead_code, reason = "for debugging")] io::Error),
    Destination(#[allow(dead_code, reason = "for debugging")] io::Error),
}

/// One direction of a session.
struct Flow<'a, M> {
    mover: M,
    share: HeldShare<'a>,
    stage: Stage,
    pace: Pace,
    /// Whether the destination is what the flow waits for.
    is_blocked: bool,
    /// Bytes that reached the destination.
    bytes: u64,
}

/// How a flow's receiver took the last write.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pace {
    /// There was none yet.
    Fresh,
    /// Whole.
    KeepsUp,
    /// In part: the rest was held.
    Lags,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Open,
    /// The source ended; what is held still has to go out.
    Ending,
    /// Everything is delivered, the destination was told.
    Done,
}

/// What one turn of a flow moved.
#[derive(Clone, Copy, Default)]
struct Turn {
    read: bool,
    wrote: u64,
}

impl<'a, M: Mover> Flow<'a, M> {
    fn new(held: &'a Held) -> Self {
        Self {
            mover: M::default(),
            share: HeldShare::none(held),
            stage: Stage::Open,
            pace: Pace::Fresh,
            is_blocked: false,
            bytes: 0,
        }
    }

    /// Moves what can be moved now; wakes `cx` when more can be.
    fn turn(
        &mut self,
        from: &Stream,
        to: &Stream,
        cx: &mut Context<'_>,
    ) -> (Turn, Result<(), Fault>) {
        let mut turn = Turn::default();
        let result = match self.advance(from, to, cx, &mut turn) {
            Poll::Ready(Err(fault)) => Err(fault),
            Poll::Ready(Ok(())) | Poll::Pending => Ok(()),
        };
        self.bytes += turn.wrote;
        (turn, result)
    }

    fn advance(
        &mut self,
        from: &Stream,
        to: &Stream,
        cx: &mut Context<'_>,
        turn: &mut Turn,
    ) -> Poll<Result<(), Fault>> {
        let mut batches = 0;
        loop {
            if self.mover.held() > 0 {
                self.is_blocked = true;
                ready!(to.poll_write_ready(cx)).map_err(Fault::Destination)?;
                turn.wrote += self.mover.flush(to)? as u64;
                self.share.set(self.mover.held());
                continue;
            }
            self.is_blocked = false;
            match self.stage {
                Stage::Done => return Poll::Ready(Ok(())),
                Stage::Ending => {
                    self.stage = Stage::Done;
                    return Poll::Ready(Ok(()));
                }
                Stage::Open => {}
            }
            if batches == BATCHES_PER_TURN {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let limit = match (self.pace, self.share.is_tight()) {
                // Woken once the others' receivers took something.
                (Pace::Lags, true) if !self.share.may_grow(cx) => return Poll::Pending,
                (_, true) => TIGHT_READ_BYTES,
                (Pace::KeepsUp, false) => FULL_READ_BYTES,
                (Pace::Fresh | Pace::Lags, false) => CAUTIOUS_READ_BYTES,
            };
            ready!(from.poll_read_ready(cx)).map_err(Fault::Source)?;
            match self.mover.carry(from, to, limit)? {
                Batch::Dry => {}
                Batch::EndOfStream => self.stage = Stage::Ending,
                Batch::Moved { read, written } => {
                    batches += 1;
                    turn.read = true;
                    turn.wrote += written as u64;
                    self.pace = if read == written {
                        Pace::KeepsUp
                    } else {
                        Pace::Lags
                    };
                    self.share.set(self.mover.held());
                }
            }
        }
    }
}

pin_project! {
    /// A session's two directions, its clock, and what ends it from outside. A future of its own
    /// rather than an async function: there is one for each open session, and it is kept small.
    struct Relay<'a, M> {
        #[pin]
        ended: WaitForCancellationFuture<'a>,
        cut: &'a Cut,
        // A task is woken by the same waker all its life: telling the token once is enough.
        is_registered: bool,
        sides: Sides<'a, M>,
    }
}

impl<'a, M: Mover> Relay<'a, M> {
    fn new(client: &'a mut Stream, server: &'a mut Stream, job: &Job<'a>) -> Self {
        Self {
            ended: job.cut.wait(),
            cut: job.cut,
            is_registered: false,
            sides: Sides {
                client,
                server,
                up: Flow::new(job.held),
                down: Flow::new(job.held),
                idle: None,
                limits: job.limits,
                witness: job.witness,
            },
        }
    }
}

impl<M: Mover> Future for Relay<'_, M> {
    type Output = Tally;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Tally> {
        let this = self.project();
        let is_first = !std::mem::replace(this.is_registered, true);
        let end = if is_first && this.ended.poll(cx).is_ready() || this.cut.is_cut() {
            this.sides.witness.cause()
        } else {
            ready!(this.sides.poll(cx))
        };
        Poll::Ready(this.sides.finish(end))
    }
}

struct Sides<'a, M> {
    client: &'a mut Stream,
    server: &'a mut Stream,
    up: Flow<'a, M>,
    down: Flow<'a, M>,
    idle: Option<Idle>,
    limits: &'a Limits,
    witness: &'a (dyn Witness + Send + Sync),
}

/// When each side was last active, and the timer that looks.
struct Idle {
    client: Instant,
    server: Instant,
    /// The moment the timer looks next; limits that moved further away are seen then.
    timer: Pin<Box<Sleep>>,
}

impl<M: Mover> Sides<'_, M> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        let (up, up_result) = self.up.turn(self.client, self.server, cx);
        let (down, down_result) = self.down.turn(self.server, self.client, cx);
        if up.wrote + down.wrote > 0 {
            self.witness.moved(up.wrote, down.wrote);
        }
        match (up_result, down_result) {
            (Err(Fault::Source(_)), _) | (_, Err(Fault::Destination(_))) => {
                return Poll::Ready(End::ClientReset);
            }
            (Err(Fault::Destination(_)), _) | (_, Err(Fault::Source(_))) => {
                return Poll::Ready(End::ServerReset);
            }
            (Ok(()), Ok(())) => {}
        }
        let was_open = (self.up.stage, self.down.stage);
        if was_open == (Stage::Done, Stage::Done) {
            return Poll::Ready(End::Closed);
        }
        self.tell_half_close();
        if *self.limits == Limits::default() {
            return Poll::Pending;
        }
        self.poll_idle(cx, up, down)
    }

    /// Passes a finished direction's end on to its destination, once.
    fn tell_half_close(&mut self) {
        if self.up.stage == Stage::Done && !self.server.is_shut() {
            self.server.shut_write();
        }
        if self.down.stage == Stage::Done && !self.client.is_shut() {
            self.client.shut_write();
        }
    }

    /// Whether a side has been idle for too long (HAProxy manual, `timeout client`): bytes from it
    /// or to it count as activity; only a side that is waited for can be late.
    fn poll_idle(&mut self, cx: &mut Context<'_>, up: Turn, down: Turn) -> Poll<End> {
        let now = Instant::now();
        let is_first = self.idle.is_none();
        let idle = self.idle.get_or_insert_with(|| Idle {
            client: now,
            server: now,
            timer: Box::pin(sleep_until(now)),
        });
        if up.read || down.wrote > 0 {
            idle.client = now;
        }
        if down.read || up.wrote > 0 {
            idle.server = now;
        }
        let limit = |is_shut: bool, fin: Option<Duration>, usual: Option<Duration>| {
            if is_shut { fin.or(usual) } else { usual }
        };
        let client_is_awaited = self.up.stage == Stage::Open || self.down.is_blocked;
        let server_is_awaited = self.down.stage == Stage::Open || self.up.is_blocked;
        let client_due = limit(
            self.client.is_shut(),
            self.limits.client_fin,
            self.limits.client,
        )
        .filter(|_| client_is_awaited)
        .map(|limit| idle.client + limit);
        let server_due = limit(
            self.server.is_shut(),
            self.limits.server_fin,
            self.limits.server,
        )
        .filter(|_| server_is_awaited)
        .map(|limit| idle.server + limit);
        let Some(due) = [client_due, server_due].into_iter().flatten().min() else {
            return Poll::Pending;
        };
        loop {
            // An earlier look is harmless; a later one is not.
            if is_first || due < idle.timer.deadline() {
                idle.timer.as_mut().reset(due);
            }
            ready!(idle.timer.as_mut().poll(cx));
            let now = Instant::now();
            if client_due.is_some_and(|due| due <= now) {
                return Poll::Ready(End::ClientTimeout);
            }
            if server_due.is_some_and(|due| due <= now) {
                return Poll::Ready(End::ServerTimeout);
            }
            idle.timer.as_mut().reset(due);
        }
    }

    /// Closes both sides as the session ended: a reset travels on as a reset.
    fn finish(&mut self, end: End) -> Tally {
        match end {
            End::ClientReset => self.server.reset_on_close(),
            End::ServerReset => self.client.reset_on_close(),
            _ => {}
        }
        Tally {
            up: self.up.bytes,
            down: self.down.bytes,
            end,
        }
    }
}
