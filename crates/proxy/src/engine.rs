//! The established sessions of one data-plane thread. They live here as plain records rather than
//! as tasks of the runtime, which keeps them small and what happens between two events short: the
//! kernel's list is read, each session named in it has its turn, and that is all.
//!
//! Accepting, connecting and waiting stay with tasks; a session comes here once it has both its
//! sides.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use rustix::event::epoll::EventFlags;
use slab::Slab;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio_util::time::DelayQueue;
use tokio_util::time::delay_queue::Key;

use crate::cut::Alarm;
use crate::end::End;
use crate::reactor::{self, Collected, Side};
use crate::relay::{Next, Relay};
use crate::roll::SessionSnapshot;
use crate::spin::{Habit, Idle, SPIN, Spinning};

/// Looks at the kernel's list in a row before other tasks of the thread have their turn.
const LOOKS_PER_POLL: u32 = 16;
/// From so many events at one look on, more have come by the time that they are through.
const BUSY_FROM_EVENTS: usize = 4;
/// Further away than this no session is looked at for its limits; farther moments are seen then.
const FARTHEST_LOOK: Duration = Duration::from_secs(24 * 3600);

thread_local! {
    static ENGINE: RefCell<Engine> = RefCell::new(Engine::new());
}

struct Engine {
    sessions: Slab<Session>,
    /// Those to have a turn.
    due: VecDeque<u32>,
    /// Those that wait until all connections together hold less.
    parked: Vec<u32>,
    timers: DelayQueue<u32>,
    /// Wakes the driver.
    waker: Waker,
}

struct Session {
    relay: Relay,
    /// When its limits are looked at next; moments that moved further away are seen then.
    timer: Option<(Key, Instant)>,
    is_due: bool,
}

/// A session that has ended, to be finished once the engine is free again.
type Ended = (Relay, End);

impl Engine {
    fn new() -> Self {
        Self {
            sessions: Slab::new(),
            due: VecDeque::new(),
            parked: Vec::new(),
            timers: DelayQueue::new(),
            waker: Waker::noop().clone(),
        }
    }

    fn insert(&mut self, relay: Relay) -> u32 {
        let number = self.sessions.insert(Session {
            relay,
            timer: None,
            is_due: false,
        });
        let number = u32::try_from(number).expect("each session has a descriptor, an i32");
        self.sessions[number as usize].relay.give_to(number);
        number
    }

    fn note(&mut self, number: u32, side: Side, flags: EventFlags) {
        if let Some(session) = self.sessions.get_mut(number as usize) {
            session.relay.note(side, flags);
            self.make_due(number);
        }
    }

    fn make_due(&mut self, number: u32) {
        // One that has ended since it was noted is not there any more.
        if let Some(session) = self.sessions.get_mut(number as usize)
            && !std::mem::replace(&mut session.is_due, true)
        {
            self.due.push_back(number);
        }
    }

    /// Gives one session its turn.
    fn turn(&mut self, number: u32, now: Instant) -> Option<Ended> {
        let session = self.sessions.get_mut(number as usize)?;
        session.is_due = false;
        let due = match session.relay.turn(now, &self.waker) {
            Next::Wait(due) => due,
            Next::Turn(due) => {
                self.make_due(number);
                due
            }
            Next::Room(due) => {
                self.parked.push(number);
                due
            }
            Next::End(end) => {
                return Some(self.end(number as usize, end));
            }
        };
        if let Some(due) = due {
            self.look_at(number, due.min(now + FARTHEST_LOOK));
        }
        None
    }

    /// Takes a session out that is to end.
    fn end(&mut self, number: usize, end: End) -> Ended {
        let session = self.sessions.remove(number);
        if let Some((key, _)) = session.timer {
            self.timers.remove(&key);
        }
        (session.relay, end)
    }

    /// Makes sure that the session has a turn at `due`. An earlier one is harmless; a later one is
    /// not.
    fn look_at(&mut self, number: u32, due: Instant) {
        let timer = &mut self.sessions[number as usize].timer;
        match timer {
            Some((_, at)) if *at <= due => {}
            Some((key, at)) => {
                self.timers.reset_at(key, due.into());
                *at = due;
            }
            None => *timer = Some((self.timers.insert_at(number, due.into()), due)),
        }
    }

    /// Notes the sessions whose moment has come.
    fn expire(&mut self, cx: &mut Context<'_>) {
        while let Poll::Ready(Some(expired)) = self.timers.poll_expired(cx) {
            let number = expired.into_inner();
            self.sessions[number as usize].timer = None;
            self.make_due(number);
        }
    }
}

/// Takes over an established session, whose sides are watched already.
pub(crate) fn adopt(relay: Relay, now: Instant) {
    let ended = ENGINE.with_borrow_mut(|engine| {
        let number = engine.insert(relay);
        let ended = engine.turn(number, now);
        if !engine.due.is_empty() || !engine.parked.is_empty() {
            engine.waker.wake_by_ref();
        }
        ended
    });
    finish(ended);
}

/// Every session of this thread.
pub(crate) fn list() -> Vec<SessionSnapshot> {
    ENGINE.with_borrow(|engine| {
        let sessions = engine.sessions.iter();
        sessions
            .map(|(_, session)| session.relay.describe())
            .collect()
    })
}

/// Ends the session of this id, if this thread has it; whether it has.
pub(crate) fn shutdown(id: u64) -> bool {
    let found = ENGINE.with_borrow_mut(|engine| {
        let mut sessions = engine.sessions.iter();
        let (number, _) = sessions.find(|(_, session)| session.relay.id() == id)?;
        Some(engine.end(number, End::Killed))
    });
    let is_found = found.is_some();
    finish(found);
    is_found
}

fn finish(ended: impl IntoIterator<Item = Ended>) {
    for (relay, end) in ended {
        relay.finish(end);
    }
}

/// Ends the sessions that were cut.
fn sweep() {
    ENGINE.with_borrow_mut(|engine| {
        let cut: Vec<u32> = engine
            .sessions
            .iter()
            .filter(|(_, session)| session.relay.is_cut())
            .map(|(number, _)| number as u32)
            .collect();
        cut.into_iter().for_each(|number| engine.make_due(number));
        engine.waker.wake_by_ref();
    });
}

/// What drives the sessions of one thread.
#[derive(Debug)]
pub(crate) struct Driver {
    epoll: AsyncFd<OwnedFd>,
    spinning: Arc<Spinning>,
    habit: Habit,
    /// The session that was active last since the thread slept, if it is one that waiting for may
    /// pay off with: it exchanges messages, rather than moves as much as there is room for.
    last: Option<u32>,
}

impl Driver {
    /// Makes this thread one that has an engine; within its runtime.
    #[allow(
        unsafe_code,
        reason = "the runtime has no safe way to watch a descriptor that it did not open"
    )]
    pub(crate) fn new(epoll: OwnedFd, spinning: Arc<Spinning>) -> io::Result<Self> {
        let watched = reactor::install(epoll)?;
        // SAFETY: the descriptor is owned by the value that is registered, so that it is open, and
        // the same, for as long as the registration lives.
        let epoll = unsafe { AsyncFd::register_with_interest(watched, Interest::READABLE) }?;
        Ok(Self {
            epoll,
            spinning,
            habit: Habit::default(),
            last: None,
        })
    }

    /// Drives the sessions; ends only with an error of the system.
    pub(crate) async fn run(mut self, alarm: &Alarm) -> io::Result<Infallible> {
        let mut cuts = alarm.listen();
        drop(tokio::spawn(async move {
            while cuts.changed().await.is_ok() {
                sweep();
            }
        }));
        Err(std::future::poll_fn(|cx| self.poll(cx)).await)
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        // Before the list is read: what comes later wakes us again.
        loop {
            match self.epoll.poll_read_ready(cx) {
                Poll::Ready(Ok(mut guard)) => guard.clear_ready(),
                Poll::Ready(Err(error)) => return Poll::Ready(error),
                Poll::Pending => break,
            }
        }
        ENGINE.with_borrow_mut(|engine| {
            engine.waker.clone_from(cx.waker());
            engine.expire(cx);
            for number in std::mem::take(&mut engine.parked) {
                engine.make_due(number);
            }
        });
        for _ in 0..LOOKS_PER_POLL {
            let mut looked = match self.look() {
                Ok(looked) => looked,
                Err(error) => return Poll::Ready(error),
            };
            if !looked.is_busy() {
                looked = match self.look_longer() {
                    Ok(Some(looked)) => looked,
                    Ok(None) => {
                        self.last = None;
                        return Poll::Pending;
                    }
                    Err(error) => return Poll::Ready(error),
                };
            }
            if looked.collected.has_woken_tasks {
                // They come next, and then we: what they began may have gone on by then.
                break;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn look(&mut self) -> io::Result<Looked> {
        let looked = look()?;
        if let Some((_, last)) = looked.named {
            self.last = is_exchanging(last).then_some(last);
        }
        Ok(looked)
    }

    /// Looks on where that is likely to pay off: when the session that was active last goes on.
    /// `None`: nothing came.
    fn look_longer(&mut self) -> io::Result<Option<Looked>> {
        match self.spinning.idle(&mut self.habit, self.last.is_some()) {
            Idle::Sleep => return Ok(None),
            Idle::Poll => return self.look().map(Some),
            Idle::Spin => {}
        }
        let last = self.last;
        let began = Instant::now();
        let until = began + SPIN;
        loop {
            let looked = self.look()?;
            let now = Instant::now();
            let has_events = looked.collected.events > 0;
            if has_events || now >= until {
                // Among many sessions somebody always comes; no one of them gains by it.
                let has_paid = looked.named.map(|(first, _)| first) == last;
                self.spinning.note(&mut self.habit, began, now, has_paid);
                return Ok(has_events.then_some(looked));
            }
            std::hint::spin_loop();
        }
    }
}

/// What one look at the kernel's list came to.
#[derive(Clone, Copy, Debug)]
struct Looked {
    collected: Collected,
    /// The session named first, and the one named last.
    named: Option<(u32, u32)>,
    /// Sessions that have only left the others their turn.
    due: usize,
}

impl Looked {
    /// Whether there is more to do that no event will tell of.
    fn has_more(&self) -> bool {
        self.due > 0 || self.collected.is_full
    }

    /// Whether to look again at once, or to see to tasks.
    fn is_busy(&self) -> bool {
        self.has_more()
            || self.collected.has_woken_tasks
            || self.collected.events >= BUSY_FROM_EVENTS
    }
}

fn is_exchanging(number: u32) -> bool {
    ENGINE.with_borrow(|engine| {
        let session = engine.sessions.get(number as usize);
        session.is_some_and(|session| !session.relay.is_bulk())
    })
}

/// Gives each session that the kernel names, or that is due anyway, its turn.
fn look() -> io::Result<Looked> {
    let mut named = None;
    let (collected, due) = ENGINE.with_borrow_mut(|engine| {
        let collected = reactor::collect(|number, side, flags| {
            engine.note(number, side, flags);
            named = Some((named.map_or(number, |(first, _)| first), number));
        })?;
        Ok::<_, io::Error>((collected, engine.due.len()))
    })?;
    if due == 0 {
        return Ok(Looked {
            collected,
            named,
            due,
        });
    }
    let now = Instant::now();
    for _ in 0..due {
        let ended = ENGINE.with_borrow_mut(|engine| {
            let number = engine.due.pop_front()?;
            engine.turn(number, now)
        });
        // With the engine free: what a session's end sets off is not ours to know.
        finish(ended);
    }
    let due = ENGINE.with_borrow(|engine| engine.due.len());
    Ok(Looked {
        collected,
        named,
        due,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes of a session's record, beside what stands behind its witness.
    const LARGEST_RECORD: usize = 320;

    #[test]
    fn an_open_session_is_small() {
        let bytes = size_of::<Session>();
        println!("an open session's record takes {bytes} bytes");
        assert!(bytes <= LARGEST_RECORD, "{bytes} bytes");
    }
}
