//! Moves bytes through a kernel pipe with splice(2): they never enter this process. Pipes are
//! lent while bytes are in them and kept per thread for the next flow.
//!
//! A pipe is only ever filled when empty: splicing into one that is not can return EAGAIN because
//! the *pipe* is full, which would be taken for a dry socket and stall the session for ever.

use std::cell::RefCell;
use std::io;
use std::os::fd::OwnedFd;

use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};

use super::copy::Copy;
use super::{Batch, FULL_READ_BYTES, Fault, Mover, Stream};

/// Empty pipes kept per thread; more are closed. Each may pin its size in kernel memory.
const SPARE_PIPES: usize = 64;
/// What a pipe is asked to hold; the kernel may grant less to an unprivileged process
/// (fs.pipe-user-pages-soft, pipe(7)).
const PIPE_BYTES: usize = FULL_READ_BYTES;

thread_local! {
    static SPARE: RefCell<Vec<Pipe>> = const { RefCell::new(Vec::new()) };
}

#[derive(Debug)]
struct Pipe {
    out: OwnedFd,
    into: OwnedFd,
}

impl Pipe {
    /// A spare pipe or a new one.
    fn borrow() -> io::Result<Self> {
        if let Some(pipe) = SPARE.with_borrow_mut(Vec::pop) {
            return Ok(pipe);
        }
        let (out, into) = pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC)?;
        // Past the user's budget the kernel refuses and the pipe keeps its default size.
        let _ = fcntl_setpipe_size(&into, PIPE_BYTES);
        Ok(Self { out, into })
    }

    /// Takes an empty pipe back.
    fn give_back(self) {
        SPARE.with_borrow_mut(|spare| {
            if spare.len() < SPARE_PIPES {
                spare.push(self);
            }
        });
    }
}

/// Splices; what was not taken stays in the pipe. Where no pipe can be had, copies.
#[derive(Debug, Default)]
pub(super) struct Splice {
    /// There only while bytes are in it.
    pipe: Option<Pipe>,
    held: usize,
    copy: Copy,
}

impl Mover for Splice {
    fn carry(&mut self, from: &Stream, to: &Stream, limit: usize) -> Result<Batch, Fault> {
        let Ok(pipe) = Pipe::borrow() else {
            return self.copy.carry(from, to, limit);
        };
        let read = from
            .try_read(|fd| {
                Ok(splice(
                    fd,
                    None,
                    &pipe.into,
                    None,
                    limit,
                    SpliceFlags::MOVE | SpliceFlags::NONBLOCK,
                )?)
            })
            .map_err(Fault::Source);
        let read = match read {
            Ok(Some(read)) if read > 0 => read,
            other => {
                pipe.give_back();
                return match other? {
                    None => Ok(Batch::Dry),
                    Some(_) => Ok(Batch::EndOfStream),
                };
            }
        };
        self.pipe = Some(pipe);
        self.held = read;
        let written = self.flush(to)?;
        Ok(Batch::Moved { read, written })
    }

    fn flush(&mut self, to: &Stream) -> Result<usize, Fault> {
        let Some(pipe) = &self.pipe else {
            return self.copy.flush(to);
        };
        let mut written = 0;
        // One splice moves at most what the socket takes in one go; the pipe may hold more.
        while self.held > 0 {
            let moved = to
                .try_write(|fd| {
                    Ok(splice(
                        &pipe.out,
                        None,
                        fd,
                        None,
                        self.held,
                        SpliceFlags::MOVE | SpliceFlags::NONBLOCK,
                    )?)
                })
                .map_err(Fault::Destination)?;
            match moved {
                Some(moved) if moved > 0 => {
                    written += moved;
                    self.held -= moved;
                }
                _ => return Ok(written),
            }
        }
        if let Some(pipe) = self.pipe.take() {
            pipe.give_back();
        }
        Ok(written)
    }

    fn held(&self) -> usize {
        self.held + self.copy.held()
    }
}
