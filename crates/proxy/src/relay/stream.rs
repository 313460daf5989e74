//! One side of a session: a TCP or Unix socket, tried without waiting.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};
use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send};
use socket2::SockRef;

use crate::reactor::{ENDED, READABLE, Side, Source, WRITABLE};

/// One side of a session.
#[derive(Debug)]
pub(crate) struct Stream {
    /// `None`: nobody waited for it yet. Before the descriptor, which is closed right after.
    source: OnceLock<Source>,
    fd: OwnedFd,
    /// What an established session's stream is ready for, as far as is known.
    ready: EventFlags,
    kind: Kind,
    nodelay: NoDelay,
    is_shut: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Tcp,
    Unix,
}

/// Whether the kernel sends small segments at once (tcp(7), `TCP_NODELAY`). It always does so with
/// the first write of a connection, so that one which makes no other is spared the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NoDelay {
    /// To be set, nothing was written yet.
    Due,
    /// To be set before the next write.
    Next,
    /// Set, or of no use.
    Done,
}

/// How a peer left that nothing was read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gone {
    /// With FIN, without having sent anything.
    Ended,
    /// With RST.
    Reset,
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Stream {
    /// A socket that was accepted; it has `TCP_NODELAY` from the one that listens.
    pub(crate) fn accepted(fd: OwnedFd, kind: Kind) -> Self {
        Self {
            source: OnceLock::new(),
            fd,
            ready: EventFlags::empty(),
            kind,
            nodelay: NoDelay::Done,
            is_shut: false,
        }
    }

    /// A socket that connects, or has connected.
    pub(crate) fn dialled(fd: OwnedFd, kind: Kind) -> Self {
        let nodelay = match kind {
            Kind::Tcp => NoDelay::Due,
            Kind::Unix => NoDelay::Done,
        };
        Self {
            nodelay,
            ..Self::accepted(fd, kind)
        }
    }

    /// The socket alone, watched no more.
    pub(crate) fn into_fd(mut self) -> OwnedFd {
        if let Some(source) = self.source.take() {
            source.forget(&self.fd);
        }
        self.fd
    }

    /// Watches the socket from now on, `ready` being known of it.
    pub(crate) fn watch(&self, ready: EventFlags) -> io::Result<&Source> {
        match self.source.get() {
            Some(source) => Ok(source),
            None => {
                let source = Source::register(&self.fd, ready)?;
                Ok(self.source.get_or_init(|| source))
            }
        }
    }

    /// From now on events go to session number `session`.
    pub(crate) fn give_to(&mut self, session: u32, side: Side) {
        let source = self.source.get();
        let source = source.expect("a stream is watched before it is established");
        self.ready = source.give_to(session, side);
    }

    /// Takes note of an event.
    pub(crate) fn note(&mut self, flags: EventFlags) {
        self.ready.insert(flags);
    }

    pub(crate) fn is_readable(&self) -> bool {
        self.ready.intersects(READABLE)
    }

    pub(crate) fn is_writable(&self) -> bool {
        self.ready.intersects(WRITABLE)
    }

    /// Reads into `buffer`; `None` when there is nothing to read.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        let room = buffer.len();
        let read = self.try_read(|fd| Ok(recv(fd, buffer, RecvFlags::empty())?.0))?;
        if read.is_some_and(|read| read < room) {
            // Spares the read that would say so; but for an end that came along.
            self.ready.remove(EventFlags::IN);
        }
        Ok(read)
    }

    /// Writes of `bytes` what there is room for.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.before_write();
        let written = self.try_write(|fd| send(fd, bytes, SendFlags::NOSIGNAL))?;
        let written = written.unwrap_or(0);
        if written < bytes.len() {
            self.ready.remove(EventFlags::OUT);
        }
        Ok(written)
    }

    /// To be called before each write.
    pub(crate) fn before_write(&mut self) {
        self.nodelay = match self.nodelay {
            NoDelay::Due => NoDelay::Next,
            NoDelay::Next => {
                // Fails only on a socket that is gone, which the write tells.
                let _ = rustix::net::sockopt::set_tcp_nodelay(&self.fd, true);
                NoDelay::Done
            }
            NoDelay::Done => return,
        };
    }

    /// Runs `operation`, which reads without waiting; `None` when there is nothing to read.
    pub(crate) fn try_read<T>(
        &mut self,
        operation: impl FnOnce(BorrowedFd<'_>) -> Result<T, Errno>,
    ) -> io::Result<Option<T>> {
        self.attempt(EventFlags::IN, operation)
    }

    /// Runs `operation`, which writes without waiting; `None` when there is no room.
    pub(crate) fn try_write<T>(
        &mut self,
        operation: impl FnOnce(BorrowedFd<'_>) -> Result<T, Errno>,
    ) -> io::Result<Option<T>> {
        self.attempt(EventFlags::OUT, operation)
    }

    fn attempt<T>(
        &mut self,
        what: EventFlags,
        operation: impl FnOnce(BorrowedFd<'_>) -> Result<T, Errno>,
    ) -> io::Result<Option<T>> {
        match operation(self.as_fd()) {
            Ok(value) => Ok(Some(value)),
            Err(Errno::WOULDBLOCK) => {
                self.ready.remove(what);
                Ok(None)
            }
            // Nothing now: readiness is kept, the caller comes again.
            Err(Errno::INTR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// This machine's end, when it has an IP address.
    pub(crate) fn local_address(&self) -> Option<SocketAddr> {
        match self.kind {
            Kind::Tcp => {
                let address = rustix::net::getsockname(&self.fd).ok()?;
                SocketAddr::try_from(address).ok()
            }
            Kind::Unix => None,
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
            match recv(&self.fd, &mut buffer, RecvFlags::empty()) {
                Ok((_, read)) if read > 0 => discarded += read as u64,
                _ => break,
            }
        }
        discarded
    }

    /// Waits until the peer is gone: it broke the connection off, or closed it without having
    /// sent anything. One that sent something may have closed its half and wait for the answer;
    /// with `abort_on_close` (the option of that name) it is gone, too.
    pub(crate) async fn gone(&self, abort_on_close: bool) -> Gone {
        let Ok(source) = self.watch(EventFlags::empty()) else {
            // Whoever goes on with this stream will be told, too.
            return std::future::pending().await;
        };
        loop {
            source.wait(READABLE).await;
            if source.ready().intersects(EventFlags::ERR) {
                return Gone::Reset;
            }
            match recv(&self.fd, &mut [0; 1], RecvFlags::PEEK) {
                Ok((_, 0)) => return Gone::Ended,
                Ok(_) if abort_on_close => {
                    source.wait(ENDED).await;
                    if source.ready().intersects(EventFlags::ERR) {
                        return Gone::Reset;
                    }
                    return Gone::Ended;
                }
                Ok(_) => {
                    source.wait(EventFlags::ERR).await;
                    return Gone::Reset;
                }
                Err(Errno::WOULDBLOCK | Errno::INTR) => source.clear(EventFlags::IN),
                Err(_) => return Gone::Reset,
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
        let _ = rustix::net::shutdown(&self.fd, Shutdown::Write);
    }

    /// Makes the coming close send a RST.
    pub(crate) fn reset_on_close(&self) {
        if self.kind == Kind::Tcp {
            // Fails only on a socket that is gone, where there is nobody to tell.
            let _ = SockRef::from(&self.fd).set_linger(Some(Duration::ZERO));
        }
    }

    /// Makes the coming close send nothing, as far as the system lets us: the peer is to believe
    /// that nobody is there.
    pub(crate) fn forget_on_close(&self) {
        // A socket in repair mode sends nothing when it is closed, but that needs CAP_NET_ADMIN.
        if setsockopt(&self.fd, sockopt::TcpRepair, &1).is_ok() {
            return;
        }
        // Else a RST that no router passes on; on loopback, and to neighbours, it arrives.
        let _ = rustix::net::sockopt::set_ip_ttl(&self.fd, 1);
        let _ = rustix::net::sockopt::set_ipv6_unicast_hops(&self.fd, Some(1));
        self.reset_on_close();
    }
}
