//! Nobody starves, no limit is passed, no wake-up is lost: the lines alone against a plain list,
//! and the whole with threads that come, go and change the servers.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use crate::fitness::AdminState;
use crate::testing;

/// What can happen to the lines of a backend with three servers.
#[derive(Clone, Copy, Debug)]
enum Event {
    Comes(Option<Key>),
    /// Whoever waits at this place, counted from the first, leaves.
    Leaves(usize),
    /// A server has room for one.
    Room(Key),
    /// A server is lost: who waits for it alone goes to the common line.
    Lost(Key),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => proptest::option::of(0usize..3).prop_map(Event::Comes),
        2 => (0usize..20).prop_map(Event::Leaves),
        4 => (0usize..3).prop_map(Event::Room),
        1 => (0usize..3).prop_map(Event::Lost),
    ]
}

proptest! {
    #[test]
    fn whoever_came_first_is_served_first(events in proptest::collection::vec(event(), 0..200)) {
        let mut lines: Lines<u64> = Lines::default();
        // Who waits, in the order of arrival, and for which server alone.
        let mut model: Vec<(Ticket, Option<Key>)> = Vec::new();
        for event in events {
            match event {
                Event::Comes(own) => {
                    let ticket = lines.ticket();
                    lines.join(ticket, own.map_or(Which::Common, Which::Own), ticket);
                    model.push((ticket, own));
                }
                Event::Leaves(place) => {
                    if place < model.len() {
                        let (ticket, _) = model.remove(place);
                        prop_assert_eq!(lines.leave(ticket).map(|left| left.value), Some(ticket));
                        prop_assert!(lines.leave(ticket).is_none());
                    }
                }
                Event::Room(server) => {
                    // Every fifth one is refused by whoever asks, as if of another generation.
                    let accepts = |ticket: &Ticket| !ticket.is_multiple_of(5);
                    let first = model.iter().position(|(ticket, own)| {
                        *own == Some(server) || own.is_none() && accepts(ticket)
                    });
                    let expected = first.map(|place| model.remove(place).0);
                    let served = lines.serve(server, accepts).map(|left| left.ticket);
                    prop_assert_eq!(served, expected);
                }
                Event::Lost(server) => {
                    for left in lines.disperse(server) {
                        lines.join(left.ticket, Which::Common, left.value);
                    }
                    for (_, own) in &mut model {
                        *own = own.filter(|own| *own != server);
                    }
                }
            }
            let waiting = |which| model.iter().filter(|(_, own)| *own == which).count() as u32;
            prop_assert_eq!(lines.waiting(Which::Common), waiting(None));
            for server in 0..3 {
                prop_assert_eq!(lines.waiting(Which::Own(server)), waiting(Some(server)));
            }
            prop_assert_eq!(lines.is_empty(), model.is_empty());
        }
    }
}

#[test]
fn positions_count_those_served_before_and_oneself() {
    let mut lines: Lines<()> = Lines::default();
    let [first, second, third] = [(); 3].map(|()| {
        let ticket = lines.ticket();
        lines.join(ticket, Which::Common, ());
        ticket
    });
    let position = |left: Option<Left<()>>| left.map(|left| (left.ticket, left.position));
    assert_eq!(position(lines.serve(7, |()| true)), Some((first, 1)));
    assert_eq!(position(lines.leave(third)), Some((third, 2)));
    assert_eq!(position(lines.serve(7, |()| true)), Some((second, 2)));
    assert_eq!(lines.peak(Which::Common), 3);
}

#[test]
fn a_backend_without_limits_has_no_lines() {
    let generation = testing::generation(" server a 127.0.0.1:1\n server b 127.0.0.1:2");
    let backend = &generation.backends[0];
    assert!(!backend.state.queue.is_limited());
    backend.set_maxconn(0, Some(1));
    assert!(backend.state.queue.is_limited());
    backend.set_maxconn(0, None);
    assert!(!backend.state.queue.is_limited());
}

/// Waits for a turn, as long as it takes a lost one to be noticed.
fn turn_of(waiting: &mut Waiting) -> Turn {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        match waiting.turn.try_recv() {
            Ok(turn) => {
                waiting.is_over = true;
                return turn;
            }
            Err(oneshot::error::TryRecvError::Closed) => panic!("dropped without a turn"),
            Err(oneshot::error::TryRecvError::Empty) => {}
        }
        assert!(Instant::now() < deadline, "a wake-up was lost");
        thread::yield_now();
    }
}

/// Takes a place, or leaves the line after a while when `patience` has run out; whether it got one.
fn visit(backend: &Arc<Backend>, most: &[u32], mut patience: Option<u32>) -> bool {
    let (stream, _there) = testing::stream();
    let client = testing::client(&stream);
    let mut ticket = None;
    loop {
        let lease = match backend.assign(&client, None, ticket) {
            Assigned::Leased(lease) => lease,
            Assigned::Nobody => return false,
            Assigned::Full(_) => panic!("nobody belongs to a server here"),
            Assigned::Waits(mut waiting) => {
                if let Some(spins) = &mut patience {
                    for _ in 0..*spins {
                        thread::yield_now();
                    }
                    drop(waiting);
                    return false;
                }
                match turn_of(&mut waiting) {
                    Turn::Go(lease, _) => lease,
                    Turn::ChooseAgain(own, _) => {
                        ticket = Some(own);
                        continue;
                    }
                }
            }
        };
        let open = lease.server.state.stats.open.now();
        assert!(open <= most[lease.server.index], "{open} at once");
        thread::yield_now();
        drop(lease);
        return true;
    }
}

/// Threads visit, some without patience, while another one takes servers out and moves limits.
fn storm(balance: &str, seed: u64) {
    const VISITORS: u64 = 6;
    const VISITS: u32 = 300;
    let lines = format!(
        " balance {balance}\n option redispatch\n server a 127.0.0.1:1 maxconn 2 maxqueue 2\n \
         server b 127.0.0.1:2 maxconn 1 weight 3\n server c 127.0.0.1:3 maxconn 3 minconn 1 backup"
    );
    let generation = testing::generation(&lines);
    let backend = generation.backends[0].clone();
    let most = [4, 1, 3];
    let (is_over, served) = (AtomicBool::new(false), AtomicU32::new(0));
    thread::scope(|scope| {
        let visitors: Vec<_> = (0..VISITORS)
            .map(|visitor| {
                let (backend, served) = (&backend, &served);
                scope.spawn(move || {
                    let mut rng = fastrand::Rng::with_seed(seed * VISITORS + visitor);
                    for _ in 0..VISITS {
                        let patience = rng.bool().then(|| rng.u32(0..20));
                        if visit(backend, &most, patience) {
                            served.fetch_add(1, SeqCst);
                        }
                    }
                })
            })
            .collect();
        scope.spawn(|| {
            let mut rng = fastrand::Rng::with_seed(seed);
            while !is_over.load(SeqCst) {
                let index = rng.usize(0..3);
                match rng.u32(0..4) {
                    0 => backend.set_admin(index, AdminState::Maint),
                    1 => backend.set_admin(index, AdminState::Drain),
                    2 => backend.set_maxconn(0, Some(rng.u32(1..5))),
                    _ => {}
                }
                thread::yield_now();
                // Whoever waits for room waits at most until all servers are ready.
                (0..3).for_each(|index| backend.set_admin(index, AdminState::Ready));
            }
        });
        for visitor in visitors {
            visitor.join().expect("a visitor is served");
        }
        is_over.store(true, SeqCst);
    });
    assert!(served.load(SeqCst) > 0);
    assert_eq!(backend.state.queue.level(None).0, 0);
    for server in &backend.servers {
        assert_eq!(server.state.stats.open.now(), 0, "{}", server.config.name);
        assert_eq!(backend.state.queue.level(Some(&server.state)).0, 0);
    }
}

#[test]
fn nobody_starves_in_a_storm_of_arrivals_departures_and_flaps() {
    for seed in 0..4 {
        storm("roundrobin", seed);
        storm("leastconn", seed);
    }
}

#[test]
fn nobody_is_left_out_when_servers_are_lost_one_by_one() {
    let generation = testing::generation(
        " balance leastconn\n option redispatch\n server a 127.0.0.1:1 maxconn 1 maxqueue 9\n \
         server b 127.0.0.1:2 maxconn 1 maxqueue 9",
    );
    let backend = &generation.backends[0];
    let (stream, _there) = testing::stream();
    let client = testing::client(&stream);
    let assign = |ticket| backend.assign(&client, None, ticket);
    let leases: Vec<Lease> = (0..2)
        .map(|_| match assign(None) {
            Assigned::Leased(lease) => lease,
            _ => panic!("there is room for two"),
        })
        .collect();
    let waits = |assigned| match assigned {
        Assigned::Waits(waiting) => waiting,
        _ => panic!("there is no room"),
    };
    let mut waiting: Vec<Waiting> = (0..4).map(|_| waits(assign(None))).collect();
    backend.set_admin(0, AdminState::Maint);
    let mut tickets = HashSet::new();
    waiting = waiting
        .into_iter()
        .map(|mut own| match own.turn.try_recv() {
            Ok(Turn::ChooseAgain(ticket, passed)) => {
                own.is_over = true;
                assert_eq!((passed.server, passed.backend), (1, 0));
                tickets.insert(ticket);
                waits(assign(Some(ticket)))
            }
            _ => own,
        })
        .collect();
    assert_eq!(tickets.len(), 2, "half of them waited for the lost one");
    // All wait for the other server now and are served one after the other as they came.
    drop(leases);
    for mut own in waiting {
        match turn_of(&mut own) {
            Turn::Go(lease, _) => assert_eq!(lease.server.config.name, "b"),
            Turn::ChooseAgain(..) => panic!("the other one stays"),
        }
    }
}
