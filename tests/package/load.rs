//! Clients that never stop: some connect anew for each request, some keep their connection. What they
//! saw is counted and returned at the end.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::parcel::{FRONT, MASTERS};
use crate::support::until;

/// Longer than any wait that a test would let pass.
const PATIENCE: Duration = Duration::from_secs(10);
const SHORT_CLIENTS: usize = 4;
const LONG_CLIENTS: usize = 8;
/// Between two requests of a client: a machine under test is not to be measured at its limit.
const PAUSE: Duration = Duration::from_millis(2);

/// Servers that send back what they get, as long as the test's process lives.
pub(crate) fn start_masters() {
    for master in MASTERS {
        let listener = TcpListener::bind(master).unwrap();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                thread::spawn(move || echo(stream));
            }
        });
    }
}

fn echo(mut stream: TcpStream) {
    let mut piece = [0; 64];
    while let Ok(read @ 1..) = stream.read(&mut piece) {
        if stream.write_all(&piece[..read]).is_err() {
            return;
        }
    }
}

/// What the clients saw.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Requests on connections of their own that were answered, and those that were not.
    pub(crate) answered: usize,
    pub(crate) failed: Vec<String>,
    /// From connect to answer, the longest.
    pub(crate) longest: Duration,
    /// Answers on connections that stay, and how many of these ended.
    pub(crate) exchanged: usize,
    pub(crate) cut: usize,
}

/// Clients at work.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    /// Requests answered so far, of both kinds.
    progress: Arc<AtomicUsize>,
    short: Vec<JoinHandle<Seen>>,
    long: Vec<JoinHandle<Seen>>,
}

impl Load {
    /// Starts them, and waits until they are served.
    pub(crate) fn start() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let progress = Arc::new(AtomicUsize::new(0));
        let client = |body: fn(&AtomicBool, &AtomicUsize) -> Seen| {
            let (stop, progress) = (Arc::clone(&stop), Arc::clone(&progress));
            thread::spawn(move || body(&stop, &progress))
        };
        let load = Self {
            short: (0..SHORT_CLIENTS).map(|_| client(connect_anew)).collect(),
            long: (0..LONG_CLIENTS).map(|_| client(stay)).collect(),
            stop: Arc::clone(&stop),
            progress: Arc::clone(&progress),
        };
        load.go_on();
        load
    }

    /// Waits until a number of requests were answered from now on.
    pub(crate) fn go_on(&self) {
        let before = self.progress.load(Relaxed);
        until("answers to the clients", || {
            (self.progress.load(Relaxed) > before + 200).then_some(())
        });
    }

    pub(crate) fn stop(self) -> Seen {
        self.stop.store(true, Relaxed);
        let mut all = Seen::default();
        for client in self.short.into_iter().chain(self.long) {
            let seen = client.join().unwrap();
            all.answered += seen.answered;
            all.failed.extend(seen.failed);
            all.longest = all.longest.max(seen.longest);
            all.exchanged += seen.exchanged;
            all.cut += seen.cut;
        }
        all
    }
}

fn connect() -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&FRONT.parse().unwrap(), PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn exchange(stream: &mut TcpStream) -> io::Result<()> {
    stream.write_all(b"ping")?;
    let mut answer = [0; 4];
    stream.read_exact(&mut answer)?;
    if &answer == b"ping" {
        Ok(())
    } else {
        Err(io::Error::other(format!("answered {answer:?}")))
    }
}

fn connect_anew(stop: &AtomicBool, progress: &AtomicUsize) -> Seen {
    let mut seen = Seen::default();
    while !stop.load(Relaxed) {
        let began = Instant::now();
        match connect().and_then(|mut stream| exchange(&mut stream)) {
            Ok(()) => seen.answered += 1,
            Err(error) => seen.failed.push(error.to_string()),
        }
        seen.longest = seen.longest.max(began.elapsed());
        progress.fetch_add(1, Relaxed);
        thread::park_timeout(PAUSE);
    }
    seen
}

/// Keeps one connection; when it is cut, which is counted, another one.
fn stay(stop: &AtomicBool, progress: &AtomicUsize) -> Seen {
    let mut seen = Seen::default();
    while !stop.load(Relaxed) {
        let Ok(mut stream) = connect() else {
            seen.failed
                .push("a connection that stays was refused".to_owned());
            thread::park_timeout(PAUSE);
            continue;
        };
        while !stop.load(Relaxed) {
            if exchange(&mut stream).is_err() {
                seen.cut += 1;
                break;
            }
            seen.exchanged += 1;
            progress.fetch_add(1, Relaxed);
            thread::park_timeout(PAUSE * 4);
        }
    }
    seen
}
