//! How one direction of a session moves its bytes: through this process, through a pipe, or, by
//! itself, through whichever suits what flows.

use super::copy;
use super::splice;
use super::{Batch, Fault, Method, Stream, Terms};

/// A batch of at least this many bytes is a sign of a bulk transfer...
const LARGE_BATCH_BYTES: usize = 32 << 10;
/// ...and one below this many a sign of none: two calls through a pipe cost more than the copy.
const SMALL_BATCH_BYTES: usize = 16 << 10;
/// From so many more of the former than of the latter on, a flow is spliced.
const BULK_FROM: u8 = 4;
/// No matter how long a transfer was, so many small batches end it.
const MOST_BULK: u8 = 8;

/// Moves one batch at a time from a source to a destination and holds what was not taken.
#[derive(Debug)]
pub(super) struct Mover {
    leftover: Option<Leftover>,
    /// How much the last batches looked like a bulk transfer.
    bulk: u8,
}

#[derive(Debug)]
enum Leftover {
    Copied(copy::Leftover),
    Spliced(splice::Leftover),
}

impl Mover {
    pub(super) const NEW: Self = Self {
        leftover: None,
        bulk: 0,
    };

    /// With nothing held: reads at most `limit` bytes and writes what the destination takes.
    /// Returns too by which method.
    pub(super) fn carry(
        &mut self,
        from: &mut Stream,
        to: &mut Stream,
        limit: usize,
        terms: &Terms,
    ) -> Result<(Batch, Method), Fault> {
        let is_spliced = match terms.method {
            Method::Copy => false,
            Method::Splice => true,
            Method::Auto => self.is_bulk(),
        };
        let spliced = if is_spliced {
            splice::carry(from, to, limit, terms.pipe_bytes)
        } else {
            None
        };
        let (batch, method) = if let Some(spliced) = spliced {
            let (batch, leftover) = spliced?;
            self.leftover = leftover.map(Leftover::Spliced);
            (batch, Method::Splice)
        } else {
            let (batch, leftover) = copy::carry(from, to, limit)?;
            self.leftover = leftover.map(Leftover::Copied);
            (batch, Method::Copy)
        };
        if let Batch::Moved { read, .. } = batch {
            if read >= LARGE_BATCH_BYTES {
                self.bulk = (self.bulk + 1).min(MOST_BULK);
            } else if read < SMALL_BATCH_BYTES {
                self.bulk = self.bulk.saturating_sub(1);
            }
        }
        Ok((batch, method))
    }

    /// Writes what is held; returns the bytes taken, and by which method.
    pub(super) fn flush(&mut self, to: &mut Stream) -> Result<(usize, Method), Fault> {
        match self.leftover.take() {
            None => Ok((0, Method::Copy)),
            Some(Leftover::Copied(mut leftover)) => {
                let written = leftover.flush(to)?;
                if leftover.len() > 0 {
                    self.leftover = Some(Leftover::Copied(leftover));
                }
                Ok((written, Method::Copy))
            }
            Some(Leftover::Spliced(mut leftover)) => {
                let written = leftover.flush(to)?;
                self.leftover = leftover.or_give_back().map(Leftover::Spliced);
                Ok((written, Method::Splice))
            }
        }
    }

    /// Whether a bulk transfer flows.
    pub(super) fn is_bulk(&self) -> bool {
        self.bulk >= BULK_FROM
    }

    /// Bytes read and not yet written.
    pub(super) fn held(&self) -> usize {
        match &self.leftover {
            None => 0,
            Some(Leftover::Copied(leftover)) => leftover.len(),
            Some(Leftover::Spliced(leftover)) => leftover.len(),
        }
    }
}
