//! Opens the connections of checks, and says why one could not be opened.

use std::ffi::OsStr;
use std::io;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::pin::Pin;
use std::sync::OnceLock;
use std::task::{Context, Poll};
use std::time::Duration;

use evenkeel_config::{CheckStatus, ConnectFrom, ServerAddress};
use rustix::io::Errno;
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use crate::origin::{PortTurn, connect_from};

/// A connection to a server.
#[derive(Debug)]
pub(crate) enum Wire {
    /// Over TCP.
    Tcp(TcpStream),
    /// Over a Unix socket.
    Unix(UnixStream),
}

/// Where a connect failed; HAProxy words the two differently.
#[derive(Debug)]
pub(crate) enum Failure {
    /// This machine refused to try: no descriptor, no port, no route.
    Start(io::Error),
    /// The network or the server answered with an error.
    Answer(io::Error),
}

impl Failure {
    /// Whether this machine ran out of what every connection needs.
    pub(crate) fn is_shortage(&self) -> bool {
        let Self::Start(error) = self else {
            return false;
        };
        let errno = Errno::from_io_error(error);
        [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM]
            .iter()
            .any(|shortage| errno == Some(*shortage))
    }

    pub(crate) fn status(&self, address: &ServerAddress) -> CheckStatus {
        match address {
            ServerAddress::Inet(_) => CheckStatus::L4Connection,
            _ => CheckStatus::SocketError,
        }
    }

    /// What HAProxy 3.0 writes into `info`.
    pub(crate) fn words(&self, address: &ServerAddress) -> String {
        let (error, is_start) = match self {
            Self::Start(error) => (error, true),
            Self::Answer(error) => (error, false),
        };
        let errno = Errno::from_io_error(error);
        let text = system_text(error);
        match (address, errno) {
            // On loopback the refusal comes back before connect() does: an answer all the same.
            (ServerAddress::Inet(_), Some(Errno::CONNREFUSED)) => text,
            (ServerAddress::Unix(_) | ServerAddress::Abstract(_), Some(Errno::AGAIN)) => {
                start_category(errno).into()
            }
            _ if is_start => format!("{} ({text})", start_category(errno)),
            _ => text,
        }
    }
}

/// The manual's names (`fc_err_str`) for what can go wrong before a connection is under way.
fn start_category(errno: Option<Errno>) -> &'static str {
    match errno {
        Some(Errno::MFILE) => "Too many sockets on the process",
        Some(Errno::NFILE) => "Too many sockets on the system",
        Some(Errno::NOBUFS | Errno::NOMEM) => "Out of system buffers",
        Some(Errno::AFNOSUPPORT | Errno::PROTONOSUPPORT) => {
            "Protocol or address family not supported"
        }
        Some(Errno::AGAIN | Errno::ADDRNOTAVAIL) => "Out of local source ports on the system",
        Some(Errno::ADDRINUSE) => "Local source address already in use",
        _ => "General socket error",
    }
}

/// strerror's text; std adds the number to it.
pub(crate) fn system_text(error: &io::Error) -> String {
    let mut text = error.to_string();
    if let Some(end) = text.find(" (os error ") {
        text.truncate(end);
    }
    text
}

impl Wire {
    /// The addresses of its ends, this one first; `None`: it is not over IP.
    pub(crate) fn ends(&self) -> Option<(SocketAddr, SocketAddr)> {
        match self {
            Self::Tcp(stream) => stream.local_addr().ok().zip(stream.peer_addr().ok()),
            Self::Unix(_) => None,
        }
    }
}

/// Sees whether the server accepts, unseen by its application.
///
/// A TCP server's application never notices: the ACK that would complete the handshake is held
/// back and a reset goes out instead, so that the other kernel has nothing to accept. A
/// kube-apiserver would log each accepted and closed connection as a failed TLS handshake.
pub(crate) async fn knock(
    address: &ServerAddress,
    source: Option<&ConnectFrom>,
) -> Result<(), Failure> {
    match target(address)? {
        Target::Tcp(target) => reach(target, source, Manner::Unseen).await.map(drop),
        // A Unix socket's connect never stays under way: it is done or has failed.
        Target::Unix(target) => connect_unix(&target).map(drop).map_err(Failure::Start),
    }
}

/// Opens a connection to talk over; whether it is closed with FIN rather than with a reset.
pub(crate) async fn open(
    address: &ServerAddress,
    source: Option<&ConnectFrom>,
    linger: bool,
) -> Result<Wire, Failure> {
    match target(address)? {
        Target::Tcp(target) => match reach(target, source, Manner::Open { linger }).await? {
            Reached::Registered(stream) => Ok(Wire::Tcp(stream)),
            Reached::AtOnce(socket) => TcpStream::from_std(socket.into())
                .map(Wire::Tcp)
                .map_err(Failure::Start),
        },
        Target::Unix(target) => connect_unix(&target)
            .and_then(|socket| UnixStream::from_std(socket.into()))
            .map(Wire::Unix)
            .map_err(Failure::Start),
    }
}

/// Where a connect goes.
enum Target {
    Tcp(SocketAddr),
    Unix(SockAddr),
}

/// How a connect is made.
#[derive(Clone, Copy)]
enum Manner {
    /// It ends before the other side's application sees it.
    Unseen,
    /// To talk over.
    Open { linger: bool },
}

enum Reached {
    AtOnce(Socket),
    Registered(TcpStream),
}

fn target(address: &ServerAddress) -> Result<Target, Failure> {
    let unix = |path: &Path| {
        SockAddr::unix(path)
            .map(Target::Unix)
            .map_err(Failure::Start)
    };
    match address {
        ServerAddress::Inet(address) => Ok(Target::Tcp(*address)),
        ServerAddress::Unix(path) => unix(path),
        ServerAddress::Abstract(name) => {
            let marked = [b"\0", name.as_slice()].concat();
            unix(OsStr::from_bytes(&marked).as_ref())
        }
        // The reader demands a port for such a check; without one there is nothing to ask.
        ServerAddress::Mapped { .. } => {
            let error = io::Error::new(io::ErrorKind::InvalidInput, "no port to check");
            Err(Failure::Start(error))
        }
    }
}

async fn reach(
    target: SocketAddr,
    source: Option<&ConnectFrom>,
    manner: Manner,
) -> Result<Reached, Failure> {
    let address = SockAddr::from(target);
    let socket = match source {
        None => new_socket(&address, manner).and_then(|socket| start(socket, &address)),
        Some(source) => connect_from(
            source,
            PORT_TURN.get_or_init(PortTurn::default),
            target.ip(),
            None,
            || new_socket(&address, manner),
            |socket| start(socket, &address),
        ),
    };
    let socket = socket.map_err(Failure::Start)?;
    // The second call tells what became of the first. A server on this machine or behind a virtual
    // link has answered by now, and needs no waiting for; asking the rest costs them a microsecond.
    match socket.connect(&address) {
        Ok(()) => return Ok(Reached::AtOnce(socket)),
        Err(error) => match Errno::from_io_error(&error) {
            Some(Errno::ALREADY) => {}
            Some(Errno::ISCONN) => return Ok(Reached::AtOnce(socket)),
            _ => return Err(Failure::Answer(error)),
        },
    }
    // Registered with epoll only now: it reports a socket that is not connecting yet as hung up.
    let stream = TcpStream::from_std(socket.into()).map_err(Failure::Start)?;
    // Nothing between the server's SYN/ACK and the close may make the kernel send the ACK of a
    // connect that is to stay unseen; its own patience ends after some 40 to 200 ms.
    let wanted = Interest::WRITABLE | Interest::ERROR;
    let ready = stream.ready(wanted).await.map_err(Failure::Answer)?;
    if !ready.is_error() {
        return Ok(Reached::Registered(stream));
    }
    match stream.take_error() {
        Ok(None) => Ok(Reached::Registered(stream)),
        Ok(Some(error)) | Err(error) => Err(Failure::Answer(error)),
    }
}

/// Whose turn it is among the ports that checks may come from.
static PORT_TURN: OnceLock<PortTurn> = OnceLock::new();

fn new_socket(target: &SockAddr, manner: Manner) -> io::Result<Socket> {
    let socket = Socket::new(target.domain(), Type::STREAM.nonblocking().cloexec(), None)?;
    match manner {
        Manner::Unseen => {
            socket.set_tcp_quickack(false)?;
            socket.set_linger(Some(Duration::ZERO))?;
        }
        Manner::Open { linger: false } => socket.set_linger(Some(Duration::ZERO))?,
        Manner::Open { linger: true } => {}
    }
    Ok(socket)
}

/// A TCP connect begun, or done.
fn start(socket: Socket, target: &SockAddr) -> io::Result<Socket> {
    match socket.connect(target) {
        Err(error) if Errno::from_io_error(&error) != Some(Errno::INPROGRESS) => Err(error),
        _ => Ok(socket),
    }
}

fn connect_unix(target: &SockAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking().cloexec(), None)?;
    socket.connect(target)?;
    Ok(socket)
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Unix(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Unix(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(context),
            Self::Unix(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each line measured with HAProxy 3.0.
    #[test]
    fn failures_are_worded_as_haproxy_words_them() {
        let inet = ServerAddress::Inet(([10, 0, 0, 1], 80).into());
        let unix = ServerAddress::Unix("/s".into());
        let start = |errno: Errno| Failure::Start(errno.into());
        let answer = |errno: Errno| Failure::Answer(errno.into());
        let table = [
            (&inet, start(Errno::CONNREFUSED), "Connection refused"),
            (&inet, answer(Errno::CONNREFUSED), "Connection refused"),
            (&inet, answer(Errno::HOSTUNREACH), "No route to host"),
            (
                &inet,
                start(Errno::HOSTUNREACH),
                "General socket error (No route to host)",
            ),
            (
                &inet,
                start(Errno::NETUNREACH),
                "General socket error (Network is unreachable)",
            ),
            (
                &inet,
                start(Errno::ACCESS),
                "General socket error (Permission denied)",
            ),
            (
                &inet,
                start(Errno::INVAL),
                "General socket error (Invalid argument)",
            ),
            (
                &inet,
                start(Errno::ADDRNOTAVAIL),
                "Out of local source ports on the system (Cannot assign requested address)",
            ),
            (
                &inet,
                start(Errno::MFILE),
                "Too many sockets on the process (Too many open files)",
            ),
            (
                &unix,
                start(Errno::CONNREFUSED),
                "General socket error (Connection refused)",
            ),
            (
                &unix,
                start(Errno::NOENT),
                "General socket error (No such file or directory)",
            ),
            (
                &unix,
                start(Errno::AGAIN),
                "Out of local source ports on the system",
            ),
        ];
        for (address, failure, words) in table {
            assert_eq!(failure.words(address), words);
        }
        assert_eq!(start(Errno::MFILE).status(&inet), CheckStatus::L4Connection);
        assert!(start(Errno::MFILE).is_shortage());
        assert!(!start(Errno::CONNREFUSED).is_shortage());
        assert_eq!(start(Errno::MFILE).status(&unix), CheckStatus::SocketError);
    }
}
