//! Moves bytes through one large buffer per thread. A connection owns memory only for what its
//! receiver did not take.

use std::cell::RefCell;
use std::io;

use super::{Batch, FULL_READ_BYTES, Fault, Mover, Stream};

thread_local! {
    /// Mapped when first touched, and only as far as reads reach.
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; FULL_READ_BYTES]);
}

/// Copies; holds what was not taken.
#[derive(Debug, Default)]
pub(super) struct Copy {
    held: Vec<u8>,
    /// How much of `held` went out.
    sent: usize,
}

impl Mover for Copy {
    fn carry(&mut self, from: &Stream, to: &Stream, limit: usize) -> Result<Batch, Fault> {
        BUFFER.with_borrow_mut(|buffer| {
            let buffer = &mut buffer[..limit];
            let read = from
                .try_read(|fd| Ok(rustix::io::read(fd, &mut *buffer)?))
                .map_err(Fault::Source)?;
            let read = match read {
                None => return Ok(Batch::Dry),
                Some(0) => return Ok(Batch::EndOfStream),
                Some(read) => read,
            };
            if read < limit {
                from.was_read_dry();
            }
            let written = write(to, &buffer[..read])?;
            if written < read {
                self.held.extend_from_slice(&buffer[written..read]);
            }
            Ok(Batch::Moved { read, written })
        })
    }

    fn flush(&mut self, to: &Stream) -> Result<usize, Fault> {
        let written = write(to, &self.held[self.sent..])?;
        self.sent += written;
        if self.sent == self.held.len() {
            *self = Self::default();
        }
        Ok(written)
    }

    fn held(&self) -> usize {
        self.held.len() - self.sent
    }
}

/// Writes as much as the destination takes now.
fn write(to: &Stream, bytes: &[u8]) -> Result<usize, Fault> {
    let written =
        to.try_write(
            |fd| match rustix::net::send(fd, bytes, rustix::net::SendFlags::NOSIGNAL) {
                Ok(written) => Ok(written),
                Err(error) => Err(io::Error::from(error)),
            },
        );
    Ok(written.map_err(Fault::Destination)?.unwrap_or(0))
}
