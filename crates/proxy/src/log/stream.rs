//! Lines for stdout, stderr and inherited descriptors: each has a writer thread of its own that
//! takes them from a bounded buffer, so that a pipe that nobody reads holds up this thread alone.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use tracing::warn;

/// What one descriptor may have waiting: some thousands of lines, as many as a burst of
/// connections makes while the reader of a pipe is busy; lines past it are dropped and counted.
const WAITING_BYTES: usize = 1 << 20;

/// The descriptors that are written to.
#[derive(Debug, Default)]
pub(super) struct Streams(Mutex<BTreeMap<i32, Arc<Shared>>>);

/// What a writer thread and those who have lines for it share.
#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    /// Lines wait, or the thread is to end.
    filled: Condvar,
    /// Everything was written.
    emptied: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: Vec<u8>,
    /// How many lines wait, and how many are being written.
    lines: u64,
    in_hand: u64,
    dropped: u64,
    is_over: bool,
}

/// Where one target's lines go.
#[derive(Debug)]
pub(super) struct Writer(Option<Arc<Shared>>);

impl Streams {
    /// The writer for a descriptor of this process; one that cannot be opened is told about, and
    /// its lines are dropped.
    pub(super) fn writer(&self, number: i32) -> Writer {
        let found = {
            let mut streams = self.lock();
            match streams.get(&number) {
                Some(known) => Ok(known.clone()),
                None => open(number)
                    .and_then(|file| start(number, file))
                    .inspect(|new| {
                        streams.insert(number, Arc::clone(new));
                    }),
            }
        };
        // Told without the lock: what is told may be such a line itself.
        if let Err(error) = &found {
            warn!("log messages are lost: cannot write to descriptor {number}: {error}");
        }
        Writer(found.ok())
    }

    pub(super) fn dropped(&self) -> u64 {
        let all = self.all();
        all.iter().map(|shared| shared.lock().dropped).sum()
    }

    /// Waits until everything is written, at most so long in all; what is not is given up and
    /// counted. How many lines that were.
    pub(super) fn flush(&self, patience: Duration) -> u64 {
        let deadline = Instant::now() + patience;
        let all = self.all();
        all.iter().map(|shared| shared.flush(deadline)).sum()
    }

    fn all(&self) -> Vec<Arc<Shared>> {
        self.lock().values().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<i32, Arc<Shared>>> {
        self.0.lock().expect("no panic while the list is locked")
    }
}

impl Drop for Streams {
    /// The threads write what waits and end. Nobody waits for them here: a pipe that is not read
    /// would hold up the end of the process (see [`flush`](Self::flush)).
    fn drop(&mut self) {
        for shared in self.all() {
            shared.lock().is_over = true;
            shared.filled.notify_one();
        }
    }
}

impl Writer {
    /// Whether the line may wait for its turn.
    pub(super) fn send(&self, line: &[u8]) -> bool {
        let Some(shared) = &self.0 else {
            return false;
        };
        let mut queue = shared.lock();
        if queue.waiting.len() + line.len() > WAITING_BYTES {
            return false;
        }
        queue.waiting.extend_from_slice(line);
        queue.lines += 1;
        drop(queue);
        shared.filled.notify_one();
        true
    }

    /// As [`Streams::flush`], of this descriptor alone.
    pub(super) fn flush(&self, patience: Duration) -> u64 {
        let deadline = Instant::now() + patience;
        self.0.as_ref().map_or(0, |shared| shared.flush(deadline))
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().expect("no panic while a queue is locked")
    }

    fn flush(&self, deadline: Instant) -> u64 {
        let mut queue = self.lock();
        while !queue.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return queue.give_up();
            }
            let waited = self.emptied.wait_timeout(queue, left);
            queue = waited.expect("no panic while a queue is locked").0;
        }
        0
    }
}

impl Queue {
    fn is_empty(&self) -> bool {
        self.lines == 0 && self.in_hand == 0
    }

    /// Drops what waits, and counts what is being written as dropped, too: how much of it arrives
    /// cannot be told.
    fn give_up(&mut self) -> u64 {
        let lost = std::mem::take(&mut self.lines) + std::mem::take(&mut self.in_hand);
        self.waiting.clear();
        self.dropped += lost;
        lost
    }
}

/// A descriptor of this thread's own. The standard ones are duplicated: whatever they are (a file,
/// a pipe, journald's socket), lines and messages then go on where the last one ended. Others can
/// only be opened anew, which a socket cannot.
fn open(number: i32) -> io::Result<File> {
    match number {
        1 => Ok(io::stdout().as_fd().try_clone_to_owned()?.into()),
        2 => Ok(io::stderr().as_fd().try_clone_to_owned()?.into()),
        _ => OpenOptions::new()
            .append(true)
            .open(format!("/proc/self/fd/{number}")),
    }
}

fn start(number: i32, file: File) -> io::Result<Arc<Shared>> {
    let shared = Arc::new(Shared::default());
    let own = shared.clone();
    std::thread::Builder::new()
        .name(format!("log-writer-{number}"))
        .spawn(move || write(&own, &file))?;
    Ok(shared)
}

fn write(shared: &Shared, file: &File) {
    let mut bytes = Vec::new();
    let mut queue = shared.lock();
    loop {
        if queue.lines == 0 {
            shared.emptied.notify_all();
            if queue.is_over {
                return;
            }
            queue = shared
                .filled
                .wait(queue)
                .expect("no panic while a queue is locked");
            continue;
        }
        std::mem::swap(&mut queue.waiting, &mut bytes);
        queue.in_hand = std::mem::take(&mut queue.lines);
        drop(queue);
        let written = write_all(file, &bytes);
        bytes.clear();
        queue = shared.lock();
        // None where they were given up meanwhile.
        let lines = std::mem::take(&mut queue.in_hand);
        if written.is_err() {
            queue.dropped += lines;
        }
    }
}

/// Writes all of `bytes`, waiting where another user of the same pipe or terminal has made it
/// non-blocking.
fn write_all(mut file: &File, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                poll(&mut [PollFd::new(file, PollFlags::OUT)], None)?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
