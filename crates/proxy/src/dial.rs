//! One try to connect to a server.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use evenkeel_config::{ConnectFrom, Keepalive, ServerAddress};
use evenkeel_health::{PortTurn, connect_from};
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::TcpFastOpenConnect;
use rustix::event::epoll::EventFlags;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with, sockopt,
};
use socket2::{SockRef, TcpKeepalive};

use crate::reactor::WRITABLE;
use crate::relay::{Kind, Stream};

/// What a new connection to a server is given.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    pub(crate) keepalive: Option<Keepalive>,
    pub(crate) tcp_user_timeout: Option<std::time::Duration>,
}

/// In whose name a connection is made, and how it begins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Passage<'a> {
    /// Where it comes from; `None`: wherever the system has it.
    pub(crate) source: Option<(&'a ConnectFrom, &'a PortTurn)>,
    /// Whose address it may bear.
    pub(crate) client: Option<SocketAddr>,
    /// What it begins with; empty: with what the client says.
    pub(crate) header: &'a [u8],
    /// Whether the header goes out with the SYN.
    pub(crate) fast_open: bool,
}

/// Connects to `address`; `port` is the one that the client came in on, which mapped addresses
/// are worked out from.
pub(crate) async fn dial(
    address: &ServerAddress,
    port: u16,
    options: Options,
    passage: Passage<'_>,
) -> io::Result<Stream> {
    let mut stream = connect_to(address, port, options, passage).await?;
    if !passage.header.is_empty() {
        send_header(&mut stream, passage.header).await?;
        if passage.fast_open {
            // Only now is there an answer to wait for.
            established(&stream).await?;
        }
    }
    Ok(stream)
}

/// Where a connect to `address` goes, if that is an IP address; `port` as for [`dial`].
pub(crate) fn target(address: &ServerAddress, port: u16) -> Option<SocketAddr> {
    match address {
        ServerAddress::Inet(address) => Some(*address),
        ServerAddress::Mapped { ip, offset } => {
            Some(SocketAddr::new(*ip, mapped(port, *offset).ok()?))
        }
        ServerAddress::Unix(_) | ServerAddress::Abstract(_) => None,
    }
}

/// The port that a client's is mapped to.
fn mapped(port: u16, offset: i32) -> io::Result<u16> {
    let mapped = i32::from(port) + offset;
    u16::try_from(mapped).map_err(|_| {
        io::Error::new(
            io::ErrorKind::AddrNotAvailable,
            format!("mapped port {mapped} is out of range"),
        )
    })
}

async fn connect_to(
    address: &ServerAddress,
    port: u16,
    options: Options,
    passage: Passage<'_>,
) -> io::Result<Stream> {
    match address {
        ServerAddress::Inet(address) => dial_tcp(*address, options, passage).await,
        ServerAddress::Mapped { ip, offset } => {
            let port = mapped(port, *offset)?;
            dial_tcp(SocketAddr::new(*ip, port), options, passage).await
        }
        ServerAddress::Unix(path) => dial_unix(&SocketAddrUnix::new(path)?),
        ServerAddress::Abstract(name) => dial_unix(&SocketAddrUnix::new_abstract_name(name)?),
    }
}

async fn dial_tcp(
    address: SocketAddr,
    options: Options,
    passage: Passage<'_>,
) -> io::Result<Stream> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let open = || {
        let fd = socket(family)?;
        apply(SockRef::from(&fd), options)?;
        if passage.fast_open && !passage.header.is_empty() {
            setsockopt(&fd, TcpFastOpenConnect, &true)?;
        }
        Ok(fd)
    };
    let (fd, is_done) = match passage.source {
        None => begin(open()?, address)?,
        Some((from, turn)) => {
            let (target, client) = (address.ip(), passage.client);
            connect_from(from, turn, target, client, open, |fd| begin(fd, address))?
        }
    };
    let stream = Stream::dialled(fd, Kind::Tcp);
    if !is_done {
        established(&stream).await?;
    }
    Ok(stream)
}

/// Begins to connect; whether it is connected already.
fn begin(fd: OwnedFd, address: SocketAddr) -> io::Result<(OwnedFd, bool)> {
    match connect(&fd, &address) {
        Ok(()) => Ok((fd, true)),
        Err(Errno::INPROGRESS) => Ok((fd, false)),
        Err(error) => Err(error.into()),
    }
}

/// Waits until a connect that was begun has come to its end.
async fn established(stream: &Stream) -> io::Result<()> {
    // A server on this machine, or very near, has answered already.
    let mut fds = [PollFd::new(stream, PollFlags::OUT)];
    poll(&mut fds, Some(&Timespec::default()))?;
    let seen = fds[0].revents();
    if seen.is_empty() {
        stream.watch(EventFlags::empty())?.wait(WRITABLE).await;
    }
    if seen != PollFlags::OUT {
        sockopt::socket_error(stream)??;
    }
    Ok(())
}

/// Sends what comes before the client's first byte. A new connection has room for all of it.
async fn send_header(stream: &mut Stream, header: &[u8]) -> io::Result<()> {
    let mut rest = header;
    loop {
        let written = stream.write(rest)?;
        rest = &rest[written..];
        if rest.is_empty() {
            return Ok(());
        }
        let source = stream.watch(EventFlags::empty())?;
        source.clear(EventFlags::OUT);
        source.wait(WRITABLE).await;
    }
}

/// A connect that does not wait: the system refuses it where the server's queue is full.
fn dial_unix(address: &SocketAddrUnix) -> io::Result<Stream> {
    let fd = socket(AddressFamily::UNIX)?;
    connect(&fd, address)?;
    Ok(Stream::dialled(fd, Kind::Unix))
}

fn socket(family: AddressFamily) -> io::Result<OwnedFd> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    Ok(socket_with(family, SocketType::STREAM, flags, None)?)
}

/// Sets what is set only where it was asked for.
pub(crate) fn apply(socket: SockRef<'_>, options: Options) -> io::Result<()> {
    if let Some(keepalive) = options.keepalive {
        socket.set_keepalive(true)?;
        let mut tcp = TcpKeepalive::new();
        if let Some(idle) = keepalive.idle {
            tcp = tcp.with_time(idle);
        }
        if let Some(interval) = keepalive.interval {
            tcp = tcp.with_interval(interval);
        }
        if let Some(probes) = keepalive.probes {
            tcp = tcp.with_retries(probes);
        }
        socket.set_tcp_keepalive(&tcp)?;
    }
    if options.tcp_user_timeout.is_some() {
        socket.set_tcp_user_timeout(options.tcp_user_timeout)?;
    }
    Ok(())
}

/// Whether a failed try says something of this machine rather than of the server.
pub(crate) fn is_local_shortage(error: &io::Error) -> bool {
    let local = [
        Errno::MFILE,
        Errno::NFILE,
        Errno::NOBUFS,
        Errno::NOMEM,
        Errno::ADDRNOTAVAIL,
        Errno::ADDRINUSE,
    ];
    error
        .raw_os_error()
        .is_some_and(|code| local.iter().any(|errno| errno.raw_os_error() == code))
}
