//! Listening sockets that somebody hands over: the service manager, which kept them over a restart or
//! opened them itself, or the process that this one follows. Whoever waits in their queues is served.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use socket2::{Protocol, SockAddr, Socket, Type};

/// A socket, and what it was called by whoever kept it.
#[derive(Debug)]
pub struct Handed {
    name: String,
    pub(crate) socket: Socket,
    pub(crate) is_paused: bool,
}

impl Handed {
    /// Takes a bound stream socket that is nobody's connection.
    ///
    /// # Errors
    /// What else it is.
    pub fn new(name: String, descriptor: OwnedFd) -> Result<Self, &'static str> {
        let not = |what: &'static str| move |_: io::Error| what;
        let socket = Socket::from(descriptor);
        let local = socket.local_addr().map_err(not("it is no socket"))?;
        if socket.r#type().ok() != Some(Type::STREAM) {
            return Err("it is no stream socket");
        }
        let is_listener = socket.is_listener().unwrap_or(false);
        let is_bound = match local.as_socket() {
            // One that was paused listens again.
            Some(address) => {
                socket.protocol().ok().flatten() == Some(Protocol::TCP)
                    && address.port() > 0
                    && (is_listener || socket.peer_addr().is_err())
            }
            None => local.is_unix() && is_listener,
        };
        match is_bound {
            true => Ok(Self {
                name,
                socket,
                is_paused: false,
            }),
            false => Err("it does not listen"),
        }
    }

    /// Comes from a process that still serves: one that is paused there stays so.
    #[must_use]
    pub fn from_process(self) -> Self {
        Self {
            is_paused: matches!(self.socket.is_listener(), Ok(false)),
            ..self
        }
    }

    /// The number that the file knows it by, of one that a process was started with (`fd@N`).
    #[must_use]
    pub fn number(&self) -> Option<i32> {
        self.name.strip_prefix("evenkeel fd@")?.parse().ok()
    }

    /// It alone.
    #[must_use]
    pub fn into_descriptor(self) -> OwnedFd {
        self.socket.into()
    }

    /// What it was called.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it listens; `None`: at a path.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.socket.local_addr().ok()?.as_socket()
    }

    /// The same socket, as far as the kernel knows.
    pub(crate) fn cookie(&self) -> Option<u64> {
        self.socket.cookie().ok()
    }
}

impl From<Handed> for TcpListener {
    fn from(handed: Handed) -> Self {
        handed.socket.into()
    }
}

impl AsFd for Handed {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl fmt::Display for Handed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let local = self.socket.local_addr().ok();
        let local = local.as_ref();
        if let Some(address) = local.and_then(SockAddr::as_socket) {
            write!(f, "{address}")
        } else if let Some(path) = local.and_then(SockAddr::as_pathname) {
            write!(f, "{}", path.display())
        } else {
            write!(f, "{}", self.name)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn what_does_not_listen_is_refused() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (served, _) = listener.accept().unwrap();
        for stranger in [
            OwnedFd::from(client),
            served.into(),
            std::fs::File::open("/dev/null").unwrap().into(),
            std::net::UdpSocket::bind("127.0.0.1:0").unwrap().into(),
            std::os::unix::net::UnixStream::pair().unwrap().0.into(),
        ] {
            assert!(Handed::new("any".to_owned(), stranger).is_err());
        }
        let address = listener.local_addr().unwrap();
        let handed = Handed::new("any".to_owned(), listener.into()).unwrap();
        assert_eq!(handed.to_string(), address.to_string());
    }
}
