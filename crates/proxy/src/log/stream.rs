//! Lines for stdout, stderr and inherited descriptors: a writer thread takes them from a bounded
//! buffer, so that a pipe that nobody reads holds up this thread alone.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use tracing::warn;

/// What one descriptor may have waiting: some thousands of lines, as many as a burst of
/// connections makes while the reader of a pipe is busy; lines past it are dropped and counted.
const WAITING_BYTES: usize = 1 << 20;

/// The writer thread, once a target needs it.
#[derive(Debug, Default)]
pub(super) struct Streams(OnceLock<Arc<Shared>>);

#[derive(Debug, Default)]
struct Shared {
    queues: Mutex<Queues>,
    /// Lines wait, or the thread is to end.
    filled: Condvar,
    /// Everything was written.
    emptied: Condvar,
}

#[derive(Debug, Default)]
struct Queues {
    queues: Vec<Queue>,
    dropped: u64,
    is_writing: bool,
    is_over: bool,
}

#[derive(Debug)]
struct Queue {
    number: i32,
    file: Arc<File>,
    waiting: Vec<u8>,
    lines: u64,
}

/// Where one target's lines go.
#[derive(Debug)]
pub(super) struct Writer(Option<(Arc<Shared>, usize)>);

impl Streams {
    /// The writer for a descriptor of this process; one that cannot be opened is told about, and
    /// its lines are dropped.
    pub(super) fn writer(&self, number: i32) -> Writer {
        let shared = self.0.get_or_init(spawn);
        let mut queues = shared.lock();
        if let Some(known) = queues
            .queues
            .iter()
            .position(|queue| queue.number == number)
        {
            return Writer(Some((shared.clone(), known)));
        }
        match open(number) {
            Ok(file) => {
                let file = Arc::new(file);
                queues.queues.push(Queue {
                    number,
                    file,
                    waiting: Vec::new(),
                    lines: 0,
                });
                Writer(Some((shared.clone(), queues.queues.len() - 1)))
            }
            Err(error) => {
                warn!("log messages are lost: cannot write to descriptor {number}: {error}");
                Writer(None)
            }
        }
    }

    pub(super) fn dropped(&self) -> u64 {
        self.0.get().map_or(0, |shared| shared.lock().dropped)
    }

    pub(super) fn flush(&self, patience: Duration) -> bool {
        let Some(shared) = self.0.get() else {
            return true;
        };
        let deadline = Instant::now() + patience;
        let mut queues = shared.lock();
        while !queues.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let waited = shared.emptied.wait_timeout(queues, left);
            queues = waited.expect("no panic while the queues are locked").0;
        }
        true
    }
}

impl Drop for Streams {
    /// The thread writes what waits and ends. Nobody waits for it here: a pipe that is not read
    /// would hold up the end of the process (see [`flush`](Self::flush)).
    fn drop(&mut self) {
        if let Some(shared) = self.0.get() {
            shared.lock().is_over = true;
            shared.filled.notify_one();
        }
    }
}

impl Writer {
    /// Whether the line may wait for its turn.
    pub(super) fn send(&self, line: &[u8]) -> bool {
        let Some((shared, index)) = &self.0 else {
            return false;
        };
        let mut queues = shared.lock();
        let queue = &mut queues.queues[*index];
        if queue.waiting.len() + line.len() > WAITING_BYTES {
            return false;
        }
        queue.waiting.extend_from_slice(line);
        queue.lines += 1;
        drop(queues);
        shared.filled.notify_one();
        true
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queues> {
        self.queues
            .lock()
            .expect("no panic while the queues are locked")
    }
}

impl Queues {
    fn is_empty(&self) -> bool {
        !self.is_writing && self.queues.iter().all(|queue| queue.waiting.is_empty())
    }

    /// The lines of a queue that has some, how many, and where they go.
    fn take(&mut self, spare: Vec<u8>) -> Result<(Vec<u8>, u64, Arc<File>), Vec<u8>> {
        let Some(queue) = self
            .queues
            .iter_mut()
            .find(|queue| !queue.waiting.is_empty())
        else {
            return Err(spare);
        };
        let lines = std::mem::take(&mut queue.lines);
        Ok((
            std::mem::replace(&mut queue.waiting, spare),
            lines,
            queue.file.clone(),
        ))
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

fn spawn() -> Arc<Shared> {
    let shared = Arc::new(Shared::default());
    let own = shared.clone();
    let spawned = std::thread::Builder::new()
        .name("log-writer".into())
        .spawn(move || write(&own));
    if let Err(error) = spawned {
        warn!("log messages to streams will be lost: cannot start their writer: {error}");
    }
    shared
}

fn write(shared: &Shared) {
    let mut spare = Vec::new();
    let mut queues = shared.lock();
    loop {
        match queues.take(spare) {
            Ok((mut bytes, lines, file)) => {
                queues.is_writing = true;
                drop(queues);
                let written = write_all(&file, &bytes);
                bytes.clear();
                spare = bytes;
                queues = shared.lock();
                queues.is_writing = false;
                if written.is_err() {
                    queues.dropped += lines;
                }
            }
            Err(unused) => {
                spare = unused;
                shared.emptied.notify_all();
                if queues.is_over {
                    return;
                }
                queues = shared
                    .filled
                    .wait(queues)
                    .expect("no panic while the queues are locked");
            }
        }
    }
}
