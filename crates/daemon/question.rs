//! Asks a running process over a socket and reads the whole answer, in bounded time.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use socket2::Socket;

/// What becomes of our half of the connection once the question is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    /// It ends: there is no second question to wait for.
    Leave,
    /// It stays: an HTTP server would take its end for a client that has left.
    Stay,
}

/// Sends `question` and reads to the end, to `most_bytes`, or for as long as there is time: an answer in
/// drops must not take longer than silence.
///
/// # Errors
/// The connection breaks, or the time is over ([`is_silence`]).
pub(crate) fn ask(
    mut socket: &Socket,
    question: &str,
    after: After,
    deadline: Instant,
    most_bytes: usize,
) -> io::Result<String> {
    socket.set_write_timeout(Some(left(deadline)?))?;
    socket.write_all(question.as_bytes())?;
    if after == After::Leave {
        let _ = socket.shutdown(Shutdown::Write);
    }
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    while answer.len() < most_bytes {
        socket.set_read_timeout(Some(left(deadline)?))?;
        match socket.read(&mut piece) {
            Ok(0) => break,
            Ok(read) => answer.extend_from_slice(&piece[..read]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // Some end with a reset when what they were sent was more than they read.
            Err(error) if error.kind() == ErrorKind::ConnectionReset && !answer.is_empty() => break,
            Err(error) => return Err(error),
        }
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// The time until `deadline`.
///
/// # Errors
/// There is none.
pub(crate) fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    match left.is_zero() {
        true => Err(ErrorKind::TimedOut.into()),
        false => Ok(left),
    }
}

/// Whether nobody said anything in time.
pub(crate) fn is_silence(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}
