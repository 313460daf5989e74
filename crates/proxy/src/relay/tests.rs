//! The relay between real sockets: whatever the two ends do in whatever order, every byte arrives
//! or the same end does, by either method.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use proptest::prelude::*;
use rustix::event::epoll::EventFlags;
use socket2::SockRef;
use tokio::sync::oneshot;

use super::*;
use crate::cut::{Alarm, Cut};
use crate::engine::{self, Driver};
use crate::reactor;
use crate::spin::Spinning;
use crate::stats::Bytes;

/// Longer than any step here takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);
const METHODS: [Method; 3] = [Method::Auto, Method::Copy, Method::Splice];

/// A relay in a thread of its own, and the two ends to play with.
struct Rig {
    ends: [TcpStream; 2],
    cut: Cut,
    held: Arc<Held>,
    allocations: Arc<AtomicU64>,
    tally: mpsc::Receiver<Tally>,
}

/// Counts the allocations of each thread.
struct CountingAllocator;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

#[allow(unsafe_code, reason = "an allocator is unsafe to implement")]
// SAFETY: everything is left to the system's allocator, as it came.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // A thread that ends may allocate still.
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// Counts as the product does.
struct Seen {
    terms: Terms,
    cut: Cut,
    held: Arc<Held>,
    bytes: Bytes,
    /// What the relay's thread had allocated when bytes were moved last.
    allocations: Arc<AtomicU64>,
    tally: mpsc::Sender<Tally>,
    ended: Option<oneshot::Sender<()>>,
}

impl Witness for Seen {
    fn terms(&self) -> &Terms {
        &self.terms
    }

    fn held(&self) -> &Held {
        &self.held
    }

    fn cut(&self) -> Option<End> {
        self.cut.is_cut().then_some(End::Killed)
    }

    fn moved(&self, moved: &Moved) {
        assert!(moved.spliced <= moved.up + moved.down);
        self.bytes.add(moved.up, moved.down);
        self.allocations.store(ALLOCATIONS.get(), SeqCst);
    }

    fn describe(&self) -> SessionSnapshot {
        unreachable!("nobody asks")
    }

    fn ended(mut self: Box<Self>, tally: Tally, client: Stream, server: Stream) {
        let Bytes { inward, outward } = &self.bytes;
        assert_eq!(inward.load(Relaxed), tally.up, "counted once");
        assert_eq!(outward.load(Relaxed), tally.down);
        drop((client, server));
        let _ = self.tally.send(tally);
        let _ = self.ended.take().expect("it ends once").send(());
    }
}

const CLIENT: usize = 0;
const SERVER: usize = 1;

fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let outer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (inner, _) = listener.accept().unwrap();
    inner.set_nonblocking(true).unwrap();
    for stream in [&outer, &inner] {
        stream.set_nodelay(true).unwrap();
    }
    outer.set_read_timeout(Some(PATIENCE)).unwrap();
    outer.set_write_timeout(Some(PATIENCE)).unwrap();
    (outer, inner)
}

impl Rig {
    fn new(method: Method, limits: Limits, held_limit: usize) -> Self {
        let ((client, client_in), (server, server_in)) = (pair(), pair());
        let alarm = Alarm::new();
        let cut = Cut::new(&alarm);
        let held = Arc::new(Held::new(held_limit));
        let (send, tally) = mpsc::channel();
        let (end, ended) = oneshot::channel();
        let allocations = Arc::new(AtomicU64::new(0));
        let seen = Seen {
            terms: Terms {
                limits,
                method,
                pipe_bytes: 1 << 20,
            },
            cut: cut.clone(),
            held: held.clone(),
            bytes: Bytes::default(),
            allocations: allocations.clone(),
            tally: send,
            ended: Some(end),
        };
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let spinning = Arc::new(Spinning::off());
                let driver = Driver::new(reactor::new_epoll().unwrap(), spinning).unwrap();
                let client = Stream::accepted(client_in.into(), Kind::Tcp);
                let server = Stream::dialled(server_in.into(), Kind::Tcp);
                client.watch(EventFlags::OUT).unwrap();
                server.watch(EventFlags::OUT).unwrap();
                let now = Instant::now();
                engine::adopt(Relay::new(client, server, Box::new(seen), now), now);
                tokio::select! {
                    failed = driver.run(&alarm) => panic!("{failed:?}"),
                    _ = ended => {}
                }
            });
        });
        Self {
            ends: [client, server],
            cut,
            held,
            allocations,
            tally,
        }
    }

    fn without_limits(method: Method) -> Self {
        Self::new(method, Limits::default(), HELD_LIMIT_BYTES)
    }

    fn tally(&self) -> Tally {
        self.tally.recv_timeout(PATIENCE).expect("the session ends")
    }

    fn reset(&mut self, end: usize) {
        let (fresh, _) = pair();
        let gone = std::mem::replace(&mut self.ends[end], fresh);
        SockRef::from(&gone)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
    }
}

/// Byte `at` of what `end` sends: any lost, doubled or swapped byte shows.
fn pattern(end: usize, at: u64) -> u8 {
    (at.wrapping_mul(31) ^ (at >> 11) ^ (end as u64 * 85)) as u8
}

fn send(mut stream: &TcpStream, end: usize, from: u64, count: usize) -> std::io::Result<()> {
    let bytes: Vec<u8> = (from..from + count as u64)
        .map(|at| pattern(end, at))
        .collect();
    stream.write_all(&bytes)
}

/// Reads at most `count` bytes of what `end` sent; `None` at the end of the stream.
fn receive(
    mut stream: &TcpStream,
    end: usize,
    from: u64,
    count: usize,
) -> std::io::Result<Option<u64>> {
    let mut bytes = vec![0; count];
    let n = stream.read(&mut bytes)?;
    let expected: Vec<u8> = (from..from + n as u64).map(|at| pattern(end, at)).collect();
    assert!(
        bytes[..n] == expected[..],
        "bytes from {from} on are not what was sent"
    );
    Ok((n > 0).then_some(n as u64))
}

#[derive(Clone, Debug)]
enum Step {
    Send(usize, usize),
    Receive(usize, usize),
    HalfClose(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..2_usize, 1..40_000_usize).prop_map(|(end, n)| Step::Send(end, n)),
        1 => (0..2_usize, 100_000..1_200_000_usize).prop_map(|(end, n)| Step::Send(end, n)),
        3 => (0..2_usize, 1..200_000_usize).prop_map(|(end, n)| Step::Receive(end, n)),
        1 => (0..2_usize).prop_map(Step::HalfClose),
    ]
}

/// Plays `steps`; returns what each end sent and received, and whether it closed its half.
fn play(rig: &Rig, steps: &[Step]) -> [(u64, u64, bool); 2] {
    let mut state = [(0_u64, 0_u64, false); 2];
    for step in steps {
        match *step {
            Step::Send(end, count) => {
                let in_flight = state[end].0 - state[1 - end].1;
                // What nobody reads must fit into the buffers on the way.
                if !state[end].2 && in_flight + (count as u64) < 1_500_000 {
                    send(&rig.ends[end], end, state[end].0, count).unwrap();
                    state[end].0 += count as u64;
                }
            }
            Step::Receive(end, count) => {
                if state[1 - end].0 > state[end].1 {
                    let got = receive(&rig.ends[end], 1 - end, state[end].1, count).unwrap();
                    state[end].1 += got.expect("more was sent");
                }
            }
            Step::HalfClose(end) => {
                if !state[end].2 {
                    rig.ends[end].shutdown(Shutdown::Write).unwrap();
                    state[end].2 = true;
                }
            }
        }
    }
    state
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn every_byte_arrives_in_any_interleaving(
        steps in prop::collection::vec(step(), 0..40),
        method in prop::sample::select(&METHODS[..]),
    ) {
        let rig = Rig::without_limits(method);
        let mut state = play(&rig, &steps);
        for end in [CLIENT, SERVER] {
            if !state[end].2 {
                rig.ends[end].shutdown(Shutdown::Write).unwrap();
            }
        }
        for end in [CLIENT, SERVER] {
            while let Some(n) = receive(&rig.ends[end], 1 - end, state[end].1, 1 << 20).unwrap() {
                state[end].1 += n;
            }
            prop_assert_eq!(state[end].1, state[1 - end].0, "all that was sent arrived");
        }
        let tally = rig.tally();
        prop_assert_eq!(tally, Tally { up: state[CLIENT].0, down: state[SERVER].0, end: End::Closed });
        prop_assert_eq!(rig.held.bytes(), 0);
    }

    #[test]
    fn a_reset_arrives_as_a_reset(
        steps in prop::collection::vec(step(), 0..20),
        method in prop::sample::select(&METHODS[..]),
        who in 0..2_usize,
    ) {
        let mut rig = Rig::without_limits(method);
        let steps: Vec<Step> = steps.into_iter().filter(|step| !matches!(step, Step::HalfClose(_))).collect();
        let mut state = play(&rig, &steps);
        rig.reset(who);
        let other = 1 - who;
        let seen = loop {
            match receive(&rig.ends[other], who, state[other].1, 1 << 20) {
                Ok(Some(n)) => state[other].1 += n,
                Ok(None) => break None,
                Err(error) => break Some(error.kind()),
            }
        };
        prop_assert_eq!(seen, Some(ErrorKind::ConnectionReset));
        prop_assert!(state[other].1 <= state[who].0);
        let expected = if who == CLIENT { End::ClientReset } else { End::ServerReset };
        prop_assert_eq!(rig.tally().end, expected);
        prop_assert_eq!(rig.held.bytes(), 0);
    }
}

#[test]
fn a_reset_after_a_half_close_reaches_who_goes_on_writing() {
    for method in METHODS {
        let mut rig = Rig::without_limits(method);
        rig.ends[CLIENT].shutdown(Shutdown::Write).unwrap();
        assert_eq!(receive(&rig.ends[SERVER], CLIENT, 0, 1).unwrap(), None);
        rig.reset(CLIENT);
        let failed = (0..)
            .map(|n| send(&rig.ends[SERVER], SERVER, n * 1000, 1000))
            .take(100_000)
            .find_map(Result::err);
        assert!(
            failed.is_some(),
            "{method:?}: writing to a client that is gone fails"
        );
        assert_eq!(rig.tally().end, End::ClientReset);
    }
}

#[test]
fn an_established_session_allocates_nothing_while_it_moves_bytes() {
    for method in METHODS {
        let rig = Rig::without_limits(method);
        let mut sent = 0;
        let mut exchange = |rounds: u64, bytes: usize| {
            for _ in 0..rounds {
                for (from, to) in [(CLIENT, SERVER), (SERVER, CLIENT)] {
                    send(&rig.ends[from], from, sent, bytes).unwrap();
                    let mut got = 0;
                    while got < bytes as u64 {
                        let rest = bytes - got as usize;
                        got += receive(&rig.ends[to], from, sent + got, rest)
                            .unwrap()
                            .unwrap();
                    }
                }
                sent += bytes as u64;
            }
            rig.allocations.load(SeqCst)
        };
        // The thread's buffer, lists and pipes come with the first bytes.
        exchange(20, 100_000);
        let before = exchange(20, 1_000);
        assert_eq!(exchange(1_000, 1_000), before, "{method:?}, small messages");
        assert_eq!(exchange(100, 100_000), before, "{method:?}, large ones");
    }
}

#[test]
fn a_stalled_receiver_holds_back_no_more_than_one_read() {
    for method in METHODS {
        let rig = Rig::without_limits(method);
        let writer = rig.ends[SERVER].try_clone().unwrap();
        writer.set_nonblocking(true).unwrap();
        // Nobody reads at the client: write until all buffers on the way are full and stay so.
        let mut sent = 0;
        let mut idle = 0;
        while idle < 50 {
            match (&writer).write(&[7; 65_536]) {
                Ok(n) => (sent, idle) = (sent + n as u64, 0),
                Err(_) => {
                    idle += 1;
                    thread::park_timeout(Duration::from_millis(2));
                }
            }
        }
        writer.set_nonblocking(false).unwrap();
        assert!(
            rig.held.bytes() <= FULL_READ_BYTES,
            "{method:?} holds {}",
            rig.held.bytes()
        );
        // The other direction is not held up by it.
        send(&rig.ends[CLIENT], CLIENT, 0, 1000).unwrap();
        let mut got = 0;
        while got < 1000 {
            got += receive(&rig.ends[SERVER], CLIENT, got, 1000)
                .unwrap()
                .unwrap();
        }
        writer.shutdown(Shutdown::Write).unwrap();
        rig.ends[CLIENT].shutdown(Shutdown::Write).unwrap();
        let received = std::io::copy(&mut &rig.ends[CLIENT], &mut std::io::sink()).unwrap();
        assert_eq!(received, sent);
        assert_eq!(
            rig.tally(),
            Tally {
                up: 1000,
                down: sent,
                end: End::Closed
            }
        );
    }
}

#[test]
fn reading_pauses_at_the_process_limit_and_goes_on() {
    for method in METHODS {
        // One byte held by anybody is the limit: a flow that holds something stops the others.
        let rig = Rig::new(method, Limits::default(), 1);
        let steps = [Step::Send(SERVER, 700_000), Step::Send(CLIENT, 700_000)];
        let mut state = play(&rig, &steps);
        for end in [SERVER, CLIENT] {
            while state[end].1 < 700_000 {
                state[end].1 += receive(&rig.ends[end], 1 - end, state[end].1, 65_536)
                    .unwrap()
                    .unwrap();
            }
        }
        rig.cut.cut();
        let tally = rig.tally();
        assert_eq!(
            (tally.up, tally.down, tally.end),
            (700_000, 700_000, End::Killed)
        );
    }
}

/// Which end a silent session has under `limits`, after the half-closes.
fn check_idle(limits: Limits, half_closes: &[usize], expected: End) {
    for method in METHODS {
        let rig = Rig::new(method, limits, HELD_LIMIT_BYTES);
        for &end in half_closes {
            rig.ends[end].shutdown(Shutdown::Write).unwrap();
        }
        assert_eq!(
            rig.tally().end,
            expected,
            "{method:?} {limits:?} {half_closes:?}"
        );
    }
}

#[test]
fn idle_sessions_end_as_their_limits_say() {
    let (short, long) = (
        Some(Duration::from_millis(80)),
        Some(Duration::from_secs(60)),
    );
    let limits = Limits {
        client: short,
        server: long,
        ..Limits::default()
    };
    check_idle(limits, &[], End::ClientTimeout);
    // Equal limits: the client is named.
    check_idle(
        Limits {
            server: short,
            ..limits
        },
        &[],
        End::ClientTimeout,
    );
    check_idle(
        Limits {
            client: long,
            server: short,
            ..limits
        },
        &[],
        End::ServerTimeout,
    );
    check_idle(
        Limits {
            server: short,
            ..Limits::default()
        },
        &[],
        End::ServerTimeout,
    );
    // A client that has said all is not waited for; the server is.
    check_idle(
        Limits {
            client: short,
            server: short,
            ..limits
        },
        &[CLIENT],
        End::ServerTimeout,
    );
    check_idle(
        Limits {
            client: long,
            server: long,
            server_fin: short,
            ..limits
        },
        &[CLIENT],
        End::ServerTimeout,
    );
    check_idle(
        Limits {
            client: long,
            server: long,
            client_fin: short,
            ..limits
        },
        &[SERVER],
        End::ClientTimeout,
    );
}

#[test]
fn activity_of_either_side_postpones_the_end() {
    let limit = Duration::from_millis(400);
    let rig = Rig::new(
        Method::Copy,
        Limits {
            client: Some(limit),
            server: Some(limit),
            ..Limits::default()
        },
        1 << 20,
    );
    let began = std::time::Instant::now();
    let mut at = 0;
    while began.elapsed() < limit * 3 {
        send(&rig.ends[SERVER], SERVER, at, 10).unwrap();
        receive(&rig.ends[CLIENT], SERVER, at, 10).unwrap();
        at += 10;
        thread::park_timeout(Duration::from_millis(20));
    }
    assert_eq!(rig.tally().end, End::ClientTimeout);
    assert!(began.elapsed() >= limit * 7 / 2);
}
