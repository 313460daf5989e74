//! Moves bytes through a kernel pipe with splice(2): they never enter this process. Pipes are
//! lent while bytes are in them and kept per thread for the next flow.
//!
//! A pipe is only ever filled when empty: splicing into one that is not can return EAGAIN because
//! the *pipe* is full, which would be taken for a dry socket and stall the session for ever.

use std::cell::RefCell;
use std::io;
use std::os::fd::OwnedFd;

use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};

use super::{Batch, Fault, Stream};

/// Pipes of a thread, lent and spare: a thread moves one batch at a time, so that only receivers
/// which do not keep up hold one for longer, and for those copying does as well.
const MOST_PIPES: usize = 16;
/// Batches that are copied after the kernel refused a pipe, before it is asked again.
const BATCHES_AFTER_REFUSAL: u32 = 256;

thread_local! {
    static PIPES: RefCell<Pipes> = const { RefCell::new(Pipes { spare: Vec::new(), open: 0, wait: 0 }) };
}

/// The pipes of this thread that are not in use.
struct Pipes {
    spare: Vec<Pipe>,
    /// Spare and lent.
    open: usize,
    /// Batches to go before the kernel is asked for a pipe again.
    wait: u32,
}

#[derive(Debug)]
struct Pipe {
    out: OwnedFd,
    into: OwnedFd,
    bytes: usize,
}

impl Pipe {
    /// A spare pipe of about `bytes`, or a new one; `None` past the budget that an unprivileged
    /// process has (fs.pipe-user-pages-soft, pipe(7)): a smaller pipe moves fewer bytes for each
    /// call than copying does.
    fn borrow(bytes: usize) -> Option<Self> {
        // A reload may have changed the size.
        while let Some(pipe) = PIPES.with_borrow_mut(|pipes| pipes.spare.pop()) {
            if pipe.bytes == bytes {
                return Some(pipe);
            }
        }
        PIPES.with_borrow_mut(|pipes| {
            if pipes.open == MOST_PIPES {
                return None;
            }
            if pipes.wait > 0 {
                pipes.wait -= 1;
                return None;
            }
            match open(bytes) {
                Ok((out, into)) => {
                    pipes.open += 1;
                    Some(Self { out, into, bytes })
                }
                Err(_) => {
                    pipes.wait = BATCHES_AFTER_REFUSAL;
                    None
                }
            }
        })
    }

    /// Takes an empty pipe back.
    fn give_back(self) {
        PIPES.with_borrow_mut(|pipes| pipes.spare.push(self));
    }
}

fn open(bytes: usize) -> io::Result<(OwnedFd, OwnedFd)> {
    let (out, into) = pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC)?;
    fcntl_setpipe_size(&into, bytes)?;
    Ok((out, into))
}

impl Drop for Pipe {
    fn drop(&mut self) {
        // With its thread, the whole account ends.
        let _ = PIPES.try_with(|pipes| {
            if let Ok(mut pipes) = pipes.try_borrow_mut() {
                pipes.open -= 1;
            }
        });
    }
}

/// What was read and not taken, in its pipe.
#[derive(Debug)]
pub(super) struct Leftover {
    pipe: Pipe,
    bytes: usize,
}

/// Reads at most `limit` bytes and writes what the destination takes. `None` where no pipe can be
/// had.
pub(super) fn carry(
    from: &mut Stream,
    to: &mut Stream,
    limit: usize,
    pipe_bytes: usize,
) -> Option<Result<(Batch, Option<Leftover>), Fault>> {
    let pipe = Pipe::borrow(pipe_bytes)?;
    let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
    let read = from.try_read(|fd| splice(fd, None, &pipe.into, None, limit, flags));
    let read = match read {
        Ok(Some(read)) if read > 0 => read,
        other => {
            pipe.give_back();
            return Some(match other {
                Err(error) => Err(Fault::Source(error)),
                Ok(None) => Ok((Batch::Dry, None)),
                Ok(Some(_)) => Ok((Batch::EndOfStream, None)),
            });
        }
    };
    let mut leftover = Leftover { pipe, bytes: read };
    Some(leftover.flush(to).map(|written| {
        let batch = Batch::Moved { read, written };
        (batch, leftover.or_give_back())
    }))
}

impl Leftover {
    /// Writes what the destination takes now; returns how much that was.
    pub(super) fn flush(&mut self, to: &mut Stream) -> Result<usize, Fault> {
        let mut written = 0;
        // One splice moves at most what the socket takes in one go; the pipe may hold more.
        while self.bytes > 0 {
            to.before_write();
            let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
            let moved =
                to.try_write(|fd| splice(&self.pipe.out, None, fd, None, self.bytes, flags));
            match moved.map_err(Fault::Destination)? {
                Some(moved) if moved > 0 => {
                    written += moved;
                    self.bytes -= moved;
                }
                _ => break,
            }
        }
        Ok(written)
    }

    /// Itself while there is something left; else its pipe is free for others.
    pub(super) fn or_give_back(self) -> Option<Self> {
        if self.bytes > 0 {
            return Some(self);
        }
        self.pipe.give_back();
        None
    }

    pub(super) fn len(&self) -> usize {
        self.bytes
    }
}
