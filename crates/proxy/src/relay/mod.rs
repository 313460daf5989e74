//! Moves bytes between a client and a server until the session ends, with half-closes, resets and
//! backpressure carried through. A state machine: [`Relay::turn`] moves what can be moved now and
//! says what it waits for; the engine calls it whenever that may have come.

mod copy;
mod held;
mod mover;
mod splice;
mod stream;
#[cfg(test)]
mod tests;

use std::io;
use std::task::Waker;
use std::time::{Duration, Instant};

use rustix::event::epoll::EventFlags;

pub(crate) use self::held::{HELD_LIMIT_BYTES, Held};
use self::mover::Mover;
pub(crate) use self::stream::{Gone, Kind, Stream};
use crate::end::End;
use crate::reactor::Side;
use crate::roll::SessionSnapshot;

/// What a flow may read until its last write was taken whole: bounds what a stalled receiver
/// holds back.
const CAUTIOUS_READ_BYTES: usize = 256 << 10;
/// What a flow may read once its receiver keeps up.
const FULL_READ_BYTES: usize = 1 << 20;
/// What a flow may read whose receiver keeps up (or may yet) while the process holds all it may:
/// nobody's stalled receiver stops the others.
const TIGHT_READ_BYTES: usize = 16 << 10;
/// Batches a flow may move before the other connections of its thread have their turn: small
/// messages are not to wait for much of a bulk transfer, which loses nothing by it.
const BATCHES_PER_TURN: u32 = 2;

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

/// How bytes are moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    /// Each flow as suits it: bulk transfers by splice, the rest by copy.
    Auto,
    Copy,
    Splice,
}

/// What holds for all sessions of a kind.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    pub(crate) limits: Limits,
    pub(crate) method: Method,
    /// What a pipe holds that bytes are spliced through.
    pub(crate) pipe_bytes: usize,
}

/// Who follows a session from outside, and takes it over once it has ended.
pub(crate) trait Witness: Send {
    fn terms(&self) -> &Terms;
    fn held(&self) -> &Held;
    /// What the session ends with if it was cut from outside.
    fn cut(&self) -> Option<End>;
    /// These bytes reached the other side.
    fn moved(&self, moved: &Moved);
    /// What can be seen of the session.
    fn describe(&self) -> SessionSnapshot;
    /// The session has ended; dropping the streams closes them as it did.
    fn ended(self: Box<Self>, tally: Tally, client: Stream, server: Stream);
}

/// Bytes that reached the other side in one turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Moved {
    /// From client to server.
    pub(crate) up: u64,
    /// From server to client.
    pub(crate) down: u64,
    /// How many of both were spliced; the others were copied.
    pub(crate) spliced: u64,
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

/// What one batch did.
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

/// What a session waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// An event, or this moment.
    Wait(Option<Instant>),
    /// Nothing: it has only left the others their turn.
    Turn(Option<Instant>),
    /// That others' receivers take something; the waker is called then.
    Room(Option<Instant>),
    /// It has ended.
    End(End),
}

/// One direction of a session.
#[derive(Debug)]
struct Flow {
    mover: Mover,
    stage: Stage,
    pace: Pace,
    /// Whether the destination is what the flow waits for.
    is_blocked: bool,
    /// Bytes that reached the destination.
    bytes: u64,
}

/// How a flow's receiver took the last write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    /// There was none yet.
    Fresh,
    /// Whole.
    KeepsUp,
    /// In part: the rest was held.
    Lags,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Open,
    /// Everything is delivered and the source ended.
    Done,
}

/// Why a flow stopped for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Halt {
    /// It waits for an event, or for nothing any more.
    Still,
    /// It has had its turn.
    Spent,
    /// All connections together hold what they may.
    Full,
}

/// What one turn of a flow did.
#[derive(Clone, Copy, Default)]
struct Turn {
    has_read: bool,
    wrote: u64,
    spliced: u64,
}

impl Turn {
    fn note(&mut self, written: usize, method: Method) {
        self.wrote += written as u64;
        if method == Method::Splice {
            self.spliced += written as u64;
        }
    }
}

impl Flow {
    const NEW: Self = Self {
        mover: Mover::NEW,
        stage: Stage::Open,
        pace: Pace::Fresh,
        is_blocked: false,
        bytes: 0,
    };

    /// Moves what can be moved now.
    fn turn(
        &mut self,
        from: &mut Stream,
        to: &mut Stream,
        witness: &dyn Witness,
        room: &Waker,
    ) -> (Turn, Result<Halt, Fault>) {
        let mut turn = Turn::default();
        let held_before = self.mover.held();
        let halt = self.advance(from, to, witness, room, &mut turn);
        witness.held().change(held_before, self.mover.held());
        self.bytes += turn.wrote;
        (turn, halt)
    }

    fn advance(
        &mut self,
        from: &mut Stream,
        to: &mut Stream,
        witness: &dyn Witness,
        room: &Waker,
        turn: &mut Turn,
    ) -> Result<Halt, Fault> {
        let mut batches = 0;
        loop {
            if self.mover.held() > 0 {
                self.is_blocked = true;
                if !to.is_writable() {
                    return Ok(Halt::Still);
                }
                let (written, method) = self.mover.flush(to)?;
                turn.note(written, method);
                continue;
            }
            self.is_blocked = false;
            if self.stage == Stage::Done || !from.is_readable() {
                return Ok(Halt::Still);
            }
            if batches == BATCHES_PER_TURN {
                return Ok(Halt::Spent);
            }
            let held = witness.held();
            let limit = match (self.pace, held.is_tight()) {
                (Pace::Lags, true) if !held.may_read(room) => return Ok(Halt::Full),
                (_, true) => TIGHT_READ_BYTES,
                (Pace::KeepsUp, false) => FULL_READ_BYTES,
                (Pace::Fresh | Pace::Lags, false) => CAUTIOUS_READ_BYTES,
            };
            let (batch, method) = self.mover.carry(from, to, limit, witness.terms())?;
            match batch {
                Batch::Dry => {}
                Batch::EndOfStream => self.stage = Stage::Done,
                Batch::Moved { read, written } => {
                    batches += 1;
                    turn.has_read = true;
                    turn.note(written, method);
                    self.pace = if read == written {
                        Pace::KeepsUp
                    } else {
                        Pace::Lags
                    };
                }
            }
        }
    }
}

/// A session's two sides and directions, and its clock. There is one for each open session: it is
/// kept small.
pub(crate) struct Relay {
    client: Stream,
    server: Stream,
    up: Flow,
    down: Flow,
    /// When each side was last active.
    client_active: Instant,
    server_active: Instant,
    witness: Box<dyn Witness>,
}

impl Relay {
    pub(crate) fn new(
        client: Stream,
        server: Stream,
        witness: Box<dyn Witness>,
        now: Instant,
    ) -> Self {
        Self {
            client,
            server,
            up: Flow::NEW,
            down: Flow::NEW,
            client_active: now,
            server_active: now,
            witness,
        }
    }

    /// From now on events of both sides go to session number `session`.
    pub(crate) fn give_to(&mut self, session: u32) {
        self.client.give_to(session, Side::Client);
        self.server.give_to(session, Side::Server);
    }

    /// Takes note of an event; its turn is to follow.
    pub(crate) fn note(&mut self, side: Side, flags: EventFlags) {
        match side {
            Side::Client => self.client.note(flags),
            Side::Server => self.server.note(flags),
        }
    }

    /// Whether it is to end, from outside.
    /// What can be seen of the session, which has its place in memory for a name.
    pub(crate) fn describe(&self) -> SessionSnapshot {
        SessionSnapshot {
            id: self.id(),
            local: self.client.local_address(),
            bytes: (self.up.bytes, self.down.bytes),
            ..self.witness.describe()
        }
    }

    /// Its own as long as it is open.
    pub(crate) fn id(&self) -> u64 {
        std::ptr::from_ref(&*self.witness).addr() as u64
    }

    pub(crate) fn is_cut(&self) -> bool {
        self.witness.cut().is_some()
    }

    /// Whether one of its directions carries a bulk transfer.
    pub(crate) fn is_bulk(&self) -> bool {
        self.up.mover.is_bulk() || self.down.mover.is_bulk()
    }

    /// Moves what can be moved now. `room` is woken once a flow that could not hold any more may
    /// go on.
    pub(crate) fn turn(&mut self, now: Instant, room: &Waker) -> Next {
        if let Some(end) = self.witness.cut() {
            return Next::End(end);
        }
        let witness = &*self.witness;
        let (up, up_halt) = self
            .up
            .turn(&mut self.client, &mut self.server, witness, room);
        let (down, down_halt) = self
            .down
            .turn(&mut self.server, &mut self.client, witness, room);
        if up.wrote + down.wrote > 0 {
            witness.moved(&Moved {
                up: up.wrote,
                down: down.wrote,
                spliced: up.spliced + down.spliced,
            });
        }
        let (up_halt, down_halt) = match (up_halt, down_halt) {
            (Err(Fault::Source(_)), _) | (_, Err(Fault::Destination(_))) => {
                return Next::End(End::ClientReset);
            }
            (Err(Fault::Destination(_)), _) | (_, Err(Fault::Source(_))) => {
                return Next::End(End::ServerReset);
            }
            (Ok(up), Ok(down)) => (up, down),
        };
        if (self.up.stage, self.down.stage) == (Stage::Done, Stage::Done) {
            return Next::End(End::Closed);
        }
        self.tell_half_close();
        if up.has_read || down.wrote > 0 {
            self.client_active = now;
        }
        if down.has_read || up.wrote > 0 {
            self.server_active = now;
        }
        let due = match self.due(now) {
            Ok(due) => due,
            Err(end) => return Next::End(end),
        };
        match (up_halt, down_halt) {
            (Halt::Spent, _) | (_, Halt::Spent) => Next::Turn(due),
            (Halt::Full, _) | (_, Halt::Full) => Next::Room(due),
            (Halt::Still, Halt::Still) => Next::Wait(due),
        }
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

    /// When a side will have been idle for too long, or the end if one has (HAProxy manual,
    /// `timeout client`): bytes from it or to it count as activity; only a side that is waited for
    /// can be late.
    fn due(&self, now: Instant) -> Result<Option<Instant>, End> {
        let limits = &self.witness.terms().limits;
        let limit = |is_shut: bool, fin: Option<Duration>, usual: Option<Duration>| {
            if is_shut { fin.or(usual) } else { usual }
        };
        let client_is_awaited = self.up.stage == Stage::Open || self.down.is_blocked;
        let server_is_awaited = self.down.stage == Stage::Open || self.up.is_blocked;
        let client_due = limit(self.client.is_shut(), limits.client_fin, limits.client)
            .filter(|_| client_is_awaited)
            .map(|limit| self.client_active + limit);
        let server_due = limit(self.server.is_shut(), limits.server_fin, limits.server)
            .filter(|_| server_is_awaited)
            .map(|limit| self.server_active + limit);
        if client_due.is_some_and(|due| due <= now) {
            return Err(End::ClientTimeout);
        }
        if server_due.is_some_and(|due| due <= now) {
            return Err(End::ServerTimeout);
        }
        Ok([client_due, server_due].into_iter().flatten().min())
    }

    /// Hands everything back as the session ended: a reset travels on as a reset.
    pub(crate) fn finish(self, end: End) {
        match end {
            End::ClientReset => self.server.reset_on_close(),
            End::ServerReset => self.client.reset_on_close(),
            _ => {}
        }
        for flow in [&self.up, &self.down] {
            self.witness.held().change(flow.mover.held(), 0);
        }
        let tally = Tally {
            up: self.up.bytes,
            down: self.down.bytes,
            end,
        };
        self.witness.ended(tally, self.client, self.server);
    }
}
