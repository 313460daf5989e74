//! Moves bytes through one large buffer per thread. A connection owns memory only for what its
//! receiver did not take.

use std::cell::RefCell;

use super::{Batch, FULL_READ_BYTES, Fault, Stream};

thread_local! {
    /// Mapped when first touched, and only as far as reads reach.
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; FULL_READ_BYTES]);
}

/// What was read and not taken.
#[derive(Debug)]
pub(super) struct Leftover {
    bytes: Box<[u8]>,
    /// How much of it went out since.
    sent: usize,
}

/// Reads at most `limit` bytes and writes what the destination takes.
pub(super) fn carry(
    from: &mut Stream,
    to: &mut Stream,
    limit: usize,
) -> Result<(Batch, Option<Leftover>), Fault> {
    BUFFER.with_borrow_mut(|buffer| {
        let buffer = &mut buffer[..limit];
        let read = match from.read(buffer).map_err(Fault::Source)? {
            None => return Ok((Batch::Dry, None)),
            Some(0) => return Ok((Batch::EndOfStream, None)),
            Some(read) => read,
        };
        let written = to.write(&buffer[..read]).map_err(Fault::Destination)?;
        let leftover = (written < read).then(|| Leftover {
            bytes: buffer[written..read].into(),
            sent: 0,
        });
        Ok((Batch::Moved { read, written }, leftover))
    })
}

impl Leftover {
    /// Writes what the destination takes now; returns how much that was.
    pub(super) fn flush(&mut self, to: &mut Stream) -> Result<usize, Fault> {
        let rest = &self.bytes[self.sent..];
        let written = to.write(rest).map_err(Fault::Destination)?;
        self.sent += written;
        Ok(written)
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.sent
    }
}
