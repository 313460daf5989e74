//! One try to connect to a server.

use std::ffi::OsStr;
use std::io;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;

use evenkeel_config::{Keepalive, ServerAddress};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpSocket, UnixStream};

use crate::relay::Stream;

/// What a new connection to a server is given.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    pub(crate) keepalive: Option<Keepalive>,
    pub(crate) tcp_user_timeout: Option<std::time::Duration>,
}

/// Connects to `address`; `port` is the one that the client came in on, which mapped addresses
/// are worked out from.
pub(crate) async fn dial(
    address: &ServerAddress,
    port: u16,
    options: Options,
) -> io::Result<Stream> {
    match address {
        ServerAddress::Inet(address) => dial_tcp(*address, options).await,
        ServerAddress::Mapped { ip, offset } => {
            let mapped = i32::from(port) + offset;
            let port = u16::try_from(mapped).map_err(|_| {
                io::Error::new(
                    io::ErrorKind::AddrNotAvailable,
                    format!("mapped port {mapped} is out of range"),
                )
            })?;
            dial_tcp(SocketAddr::new(*ip, port), options).await
        }
        ServerAddress::Unix(path) => Ok(UnixStream::connect(path).await?.into()),
        ServerAddress::Abstract(name) => {
            let marked = [b"\0", name.as_slice()].concat();
            Ok(UnixStream::connect(OsStr::from_bytes(&marked))
                .await?
                .into())
        }
    }
}

async fn dial_tcp(address: SocketAddr, options: Options) -> io::Result<Stream> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    socket.set_nodelay(true)?;
    apply(SockRef::from(&socket), options)?;
    Ok(socket.connect(address).await?.into())
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
    use rustix::io::Errno;
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
