//! What one data-plane thread's descriptors are ready for: an epoll instance of its own, which the
//! runtime watches as a single descriptor. Every descriptor is registered once, edge-triggered, and
//! forgotten by the kernel when it is closed: no call is spent on taking it out.
//!
//! Must not know what the descriptors are for.

use std::cell::RefCell;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::task::{Context, Poll, Waker};

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use slab::Slab;

/// Events taken from the kernel in one go: enough that a busy thread pays little for asking, few
/// enough that those waiting for a task have their turn.
const EVENTS_PER_WAIT: usize = 256;

/// What is watched of every descriptor.
const WATCHED: EventFlags = EventFlags::IN
    .union(EventFlags::OUT)
    .union(EventFlags::RDHUP)
    .union(EventFlags::ET);

/// Both directions are gone.
pub(crate) const BROKEN: EventFlags = EventFlags::HUP.union(EventFlags::ERR);
/// The peer sent its FIN: a short read does not mean that nothing more is to be read.
pub(crate) const ENDED: EventFlags = EventFlags::RDHUP.union(BROKEN);
/// A read returns at once, be it with an error.
pub(crate) const READABLE: EventFlags = EventFlags::IN.union(ENDED);
/// A write returns at once, be it with an error.
pub(crate) const WRITABLE: EventFlags = EventFlags::OUT.union(BROKEN);

thread_local! {
    static REACTOR: RefCell<Option<Reactor>> = const { RefCell::new(None) };
}

/// The descriptors of this thread.
struct Reactor {
    epoll: OwnedFd,
    slots: Slab<Slot>,
    events: Vec<Event>,
}

struct Slot {
    ready: EventFlags,
    owner: Owner,
}

/// Who is told of an event.
enum Owner {
    Nobody,
    /// A task that waits.
    Task(Waker),
    /// An established session, by its number, which keeps what is known itself.
    Session(u32, Side),
}

/// Which of a session's two descriptors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Client,
    Server,
}

/// What one look at the kernel's list brought.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Collected {
    pub(crate) events: usize,
    /// Whether there may be more than were taken.
    pub(crate) is_full: bool,
    /// Whether a task has something to do now.
    pub(crate) has_woken_tasks: bool,
}

/// Makes this thread one that has a reactor. Returns another name of the descriptor that is
/// readable whenever there are events.
pub(crate) fn install(epoll: OwnedFd) -> io::Result<OwnedFd> {
    let watched = epoll.try_clone()?;
    REACTOR.set(Some(Reactor {
        epoll,
        slots: Slab::new(),
        events: Vec::with_capacity(EVENTS_PER_WAIT),
    }));
    Ok(watched)
}

/// What [`install`] takes: apart, since the system may refuse it.
pub(crate) fn new_epoll() -> io::Result<OwnedFd> {
    Ok(epoll::create(CreateFlags::CLOEXEC)?)
}

/// Takes the events that there are, without waiting: wakes tasks, and calls `tell` with what
/// concerns a session.
pub(crate) fn collect(mut tell: impl FnMut(u32, Side, EventFlags)) -> io::Result<Collected> {
    with(|reactor| {
        let space = spare_capacity(&mut reactor.events);
        let events = epoll::wait(&reactor.epoll, space, Some(&Timespec::default()))?;
        let mut has_woken_tasks = false;
        // All of them before anybody acts on one: a slot cannot change hands in between.
        for Event { flags, data } in reactor.events.drain(..) {
            let key = usize::try_from(data.u64()).expect("only keys of slots are registered");
            let slot = &mut reactor.slots[key];
            slot.ready.insert(flags);
            match &slot.owner {
                Owner::Nobody => {}
                Owner::Task(waker) => {
                    waker.wake_by_ref();
                    has_woken_tasks = true;
                }
                Owner::Session(session, side) => tell(*session, *side, flags),
            }
        }
        Ok(Collected {
            events,
            is_full: events == EVENTS_PER_WAIT,
            has_woken_tasks,
        })
    })
}

fn with<T>(look: impl FnOnce(&mut Reactor) -> T) -> T {
    REACTOR.with_borrow_mut(|reactor| {
        look(
            reactor
                .as_mut()
                .expect("only data-plane threads have sources"),
        )
    })
}

/// One descriptor's registration on this thread; ends on drop. The descriptor is to be closed
/// right after, or taken out with [`forget`](Self::forget) where others keep it open.
#[derive(Debug)]
pub(crate) struct Source {
    key: u32,
}

impl Source {
    /// Registers a descriptor that is `ready` already, as far as is known.
    pub(crate) fn register(fd: impl AsFd, ready: EventFlags) -> io::Result<Self> {
        with(|reactor| {
            let entry = reactor.slots.vacant_entry();
            let key = u32::try_from(entry.key()).map_err(|_| io::ErrorKind::OutOfMemory)?;
            epoll::add(&reactor.epoll, fd, EventData::new_u64(key.into()), WATCHED)?;
            entry.insert(Slot {
                ready,
                owner: Owner::Nobody,
            });
            Ok(Self { key })
        })
    }

    /// What the descriptor is ready for, as far as is known.
    pub(crate) fn ready(&self) -> EventFlags {
        self.slot(|slot| slot.ready)
    }

    /// Takes note that the descriptor is not ready any more.
    pub(crate) fn clear(&self, flags: EventFlags) {
        self.slot(|slot| slot.ready.remove(flags));
    }

    /// Takes note that the descriptor may be ready, although no event will say so.
    pub(crate) fn assume(&self, flags: EventFlags) {
        self.slot(|slot| slot.ready.insert(flags));
    }

    /// Waits until one of `flags` is known of the descriptor.
    pub(crate) async fn wait(&self, flags: EventFlags) {
        std::future::poll_fn(|cx| self.poll(cx, flags)).await;
    }

    fn poll(&self, cx: &Context<'_>, flags: EventFlags) -> Poll<()> {
        self.slot(|slot| {
            if slot.ready.intersects(flags) {
                return Poll::Ready(());
            }
            match &mut slot.owner {
                Owner::Task(waker) => waker.clone_from(cx.waker()),
                owner => *owner = Owner::Task(cx.waker().clone()),
            }
            Poll::Pending
        })
    }

    /// From now on events go to session number `session`. Returns what is known until now.
    pub(crate) fn give_to(&self, session: u32, side: Side) -> EventFlags {
        self.slot(|slot| {
            slot.owner = Owner::Session(session, side);
            slot.ready
        })
    }

    /// Takes out a descriptor that others keep open.
    pub(crate) fn forget(self, fd: impl AsFd) {
        // Fails only on a descriptor that is not registered.
        let _ = with(|reactor| epoll::delete(&reactor.epoll, fd));
    }

    fn slot<T>(&self, look: impl FnOnce(&mut Slot) -> T) -> T {
        with(|reactor| look(&mut reactor.slots[self.key as usize]))
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        let key = self.key as usize;
        // A thread that ends takes its registrations along.
        let slot = REACTOR.try_with(|reactor| {
            let mut reactor = reactor.borrow_mut();
            reactor.as_mut().map(|reactor| reactor.slots.remove(key))
        });
        // With the reactor free again, whatever a waker takes along.
        drop(slot);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::pipe::pipe;

    fn collected() -> Vec<(u32, Side)> {
        let mut told = Vec::new();
        collect(|session, side, _| told.push((session, side))).unwrap();
        told
    }

    #[test]
    fn what_was_known_of_a_descriptor_goes_with_it() {
        let _watched = install(new_epoll().unwrap()).unwrap();
        let (reader, writer) = pipe().unwrap();
        let old = Source::register(&reader, EventFlags::empty()).unwrap();
        old.give_to(1, Side::Client);
        rustix::io::write(&writer, b"x").unwrap();
        drop((old, reader));
        let (other, _writer) = pipe().unwrap();
        let new = Source::register(&other, EventFlags::empty()).unwrap();
        new.give_to(2, Side::Client);
        assert_eq!(collected(), []);
        assert!(new.ready().is_empty());
    }

    #[test]
    fn readiness_is_told_once_and_kept() {
        let _watched = install(new_epoll().unwrap()).unwrap();
        let (reader, writer) = pipe().unwrap();
        let source = Source::register(&reader, EventFlags::empty()).unwrap();
        rustix::io::write(&writer, b"x").unwrap();
        assert_eq!(collected(), []);
        assert!(source.ready().intersects(READABLE));
        source.clear(EventFlags::IN);
        assert!(!source.ready().intersects(READABLE));
        rustix::io::write(&writer, b"y").unwrap();
        assert!(source.give_to(7, Side::Server).is_empty());
        assert_eq!(collected(), [(7, Side::Server)]);
        assert_eq!(collected(), []);
    }
}
