//! One side of a session: a TCP or Unix stream of the runtime, tried without waiting.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::task::{Context, Poll};

use rustix::net::{RecvFlags, Shutdown, recv};
use socket2::SockRef;
use std::time::Duration;
use tokio::io::Interest;
use tokio::net::{TcpStream, UnixStream};

/// One side of a session.
#[derive(Debug)]
pub(crate) struct Stream {
    io: Io,
    is_shut: bool,
}

/// How a peer left that nothing was read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gone {
    /// With FIN, without having sent anything.
    Ended,
    /// With RST.
    Reset,
}

#[derive(Debug)]
enum Io {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl From<TcpStream> for Stream {
    fn from(stream: TcpStream) -> Self {
        Self {
            io: Io::Tcp(stream),
            is_shut: false,
        }
    }
}

impl From<UnixStream> for Stream {
    fn from(stream: UnixStream) -> Self {
        Self {
            io: Io::Unix(stream),
            is_shut: false,
        }
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.io {
            Io::Tcp(stream) => stream.as_fd(),
            Io::Unix(stream) => stream.as_fd(),
        }
    }
}

impl Stream {
    pub(crate) fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &self.io {
            Io::Tcp(stream) => stream.poll_read_ready(cx),
            Io::Unix(stream) => stream.poll_read_ready(cx),
        }
    }

    pub(crate) fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &self.io {
            Io::Tcp(stream) => stream.poll_write_ready(cx),
            Io::Unix(stream) => stream.poll_write_ready(cx),
        }
    }

    /// Runs `operation`, which reads without waiting; `None` when there is nothing to read.
    pub(crate) fn try_read<T>(
        &self,
        operation: impl FnOnce(BorrowedFd<'_>) -> io::Result<T>,
    ) -> io::Result<Option<T>> {
        self.try_io(Interest::READABLE, operation)
    }

    /// Runs `operation`, which writes without waiting; `None` when there is no room.
    pub(crate) fn try_write<T>(
        &self,
        operation: impl FnOnce(BorrowedFd<'_>) -> io::Result<T>,
    ) -> io::Result<Option<T>> {
        self.try_io(Interest::WRITABLE, operation)
    }

    /// Notes that everything readable was read, which spares the read that would say so. A FIN or
    /// RST that came along stays noted.
    pub(crate) fn was_read_dry(&self) {
        // The closure's only purpose is its WouldBlock.
        let _ = self.try_read(|_| Err::<(), _>(io::ErrorKind::WouldBlock.into()));
    }

    fn try_io<T>(
        &self,
        interest: Interest,
        operation: impl FnOnce(BorrowedFd<'_>) -> io::Result<T>,
    ) -> io::Result<Option<T>> {
        let fd = self.as_fd();
        let result = match &self.io {
            Io::Tcp(stream) => stream.try_io(interest, || operation(fd)),
            Io::Unix(stream) => stream.try_io(interest, || operation(fd)),
        };
        match result {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            // Interrupted counts as "nothing now": readiness is kept, the caller comes again.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// This machine's end, when it has an IP address.
    pub(crate) fn local_address(&self) -> Option<SocketAddr> {
        match &self.io {
            Io::Tcp(stream) => stream.local_addr().ok(),
            Io::Unix(_) => None,
        }
    }

    /// Reads and drops what the peer sent so far, within a bound: a close with unread bytes would
    /// reset the connection instead of ending it. Returns how many bytes there were.
    pub(crate) fn discard_pending(&self) -> u64 {
        // As much as a TLS hello and then some; who sends more is past being polite to.
        const MOST_READS: usize = 16;
        let mut buffer = [0; 4096];
        let mut discarded = 0;
        for _ in 0..MOST_READS {
            match self.try_read(|fd| Ok(rustix::io::read(fd, &mut buffer)?)) {
                Ok(Some(read)) if read > 0 => discarded += read as u64,
                _ => break,
            }
        }
        discarded
    }

    /// Waits until the peer is gone: it broke the connection off, or closed it without having
    /// sent anything. One that sent something may have closed its half and wait for the answer.
    pub(crate) async fn gone(&self) -> Gone {
        let mut interest = Interest::READABLE | Interest::ERROR;
        loop {
            let ready = match &self.io {
                Io::Tcp(stream) => stream.ready(interest).await,
                Io::Unix(stream) => stream.ready(interest).await,
            };
            // An error of the wait itself means that the runtime is going away: the session too.
            let Ok(ready) = ready else {
                return Gone::Reset;
            };
            if ready.is_error() {
                return Gone::Reset;
            }
            let peek = |fd: BorrowedFd<'_>| Ok(recv(fd, &mut [0; 1], RecvFlags::PEEK)?.0);
            match self.try_read(peek) {
                Ok(None) => {}
                Ok(Some(0)) => return Gone::Ended,
                Err(_) => return Gone::Reset,
                Ok(Some(_)) => interest = Interest::ERROR,
            }
        }
    }

    pub(crate) fn is_shut(&self) -> bool {
        self.is_shut
    }

    /// Sends a FIN: nothing more will be written.
    pub(crate) fn shut_write(&mut self) {
        self.is_shut = true;
        // ENOTCONN: the peer reset meanwhile, which the next read or write tells.
        let _ = rustix::net::shutdown(&*self, Shutdown::Write);
    }

    /// Makes the coming close send a RST.
    pub(crate) fn reset_on_close(&self) {
        if let Io::Tcp(stream) = &self.io {
            // Fails only on a socket that is gone, where there is nobody to tell.
            let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
        }
    }
}
