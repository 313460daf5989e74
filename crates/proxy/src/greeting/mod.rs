//! The PROXY protocol header that comes before a client's own bytes: waits for it, takes exactly
//! its bytes and no more, and says who the client is.

mod parse;

use std::net::SocketAddr;
use std::time::Duration;

use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use tokio::time::timeout;

#[cfg(feature = "bench")]
pub(crate) use self::parse::hold;
use self::parse::{Fault, Header, Parsed, parse};
use crate::reactor::{ENDED, READABLE};
use crate::relay::Stream;

/// What is looked at before more is known to come: any line of version 1, most headers of version 2.
const FIRST_LOOK: usize = 256;

/// Where a client says that it came from and went to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ends {
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
}

/// Why a connection did not begin as it should have; HAProxy's words for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("{0}")]
    Wrong(#[from] Fault),
    #[error("Truncated PROXY protocol header received")]
    Truncated,
    #[error("Connection closed while waiting for PROXY protocol header")]
    Closed,
    #[error("Connection error while waiting for PROXY protocol header")]
    Broken,
    #[error("Timeout while waiting for PROXY protocol header")]
    Late,
}

impl Refusal {
    /// Whether the client said nothing at all (`option dontlognull`).
    pub(crate) fn is_null(self) -> bool {
        matches!(self, Self::Closed | Self::Broken | Self::Late)
    }
}

/// Waits at most for `limit` until `stream` has begun with a PROXY protocol header, and takes it
/// off. `None`: the header leaves the connection's own ends as they are.
pub(crate) async fn receive(
    stream: &Stream,
    limit: Option<Duration>,
) -> Result<Option<Ends>, Refusal> {
    let received = receive_ever(stream);
    match limit {
        Some(limit) => timeout(limit, received).await.unwrap_or(Err(Refusal::Late)),
        None => received.await,
    }
}

async fn receive_ever(stream: &Stream) -> Result<Option<Ends>, Refusal> {
    let source = stream
        .watch(EventFlags::empty())
        .map_err(|_| Refusal::Broken)?;
    let mut buffer = vec![0; FIRST_LOOK];
    loop {
        // Before the look: what comes after it is told anew.
        let has_ended = source.ready().intersects(ENDED);
        source.clear(EventFlags::IN);
        let seen = match recv(stream, &mut buffer[..], RecvFlags::PEEK) {
            Ok((_, seen)) => seen,
            Err(Errno::INTR) => continue,
            Err(Errno::WOULDBLOCK) => {
                source.wait(READABLE).await;
                continue;
            }
            Err(_) => return Err(Refusal::Broken),
        };
        if seen == 0 {
            return Err(Refusal::Closed);
        }
        match parse(&buffer[..seen]) {
            Parsed::Header(Header { bytes, ends }) => {
                take(stream, &mut buffer[..bytes])?;
                // What came after it was told of already.
                source.assume(EventFlags::IN);
                return Ok(ends.map(|(from, to)| Ends { from, to }));
            }
            Parsed::Wrong(fault) => return Err(fault.into()),
            Parsed::Partial(_) if has_ended => return Err(Refusal::Truncated),
            Parsed::Partial(whole) if whole > buffer.len() => buffer.resize(whole, 0),
            Parsed::Partial(_) => source.wait(READABLE).await,
        }
    }
}

/// Takes off the bytes that were seen to be there.
fn take(stream: &Stream, header: &mut [u8]) -> Result<(), Refusal> {
    let mut taken = 0;
    while taken < header.len() {
        match recv(stream, &mut header[taken..], RecvFlags::empty()) {
            Ok((_, bytes)) if bytes > 0 => taken += bytes,
            Err(Errno::INTR) => {}
            // Nobody else reads from it: what was there still is, unless a reset took it away.
            _ => return Err(Refusal::Broken),
        }
    }
    Ok(())
}
