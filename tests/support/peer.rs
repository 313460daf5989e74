//! One end of a TCP connection in a test's hands: a client's, or a server's after accept.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use socket2::{Domain, SockRef, Socket, Type};

use super::wait::PATIENCE;

/// One end of a connection. Dropping it closes it (a FIN, unless bytes wait unread).
#[derive(Debug)]
pub(crate) struct Peer {
    stream: TcpStream,
}

/// How the other end's direction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// With FIN.
    Closed,
    /// With RST.
    Reset,
}

/// What one read brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// Some bytes.
    Data(Vec<u8>),
    /// The end.
    End(End),
    /// Nothing within the time.
    Nothing,
}

impl Peer {
    /// Takes over a connected stream.
    pub(crate) fn new(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream }
    }

    /// Connects, and fails the test when that is not possible.
    pub(crate) fn connect(to: SocketAddr) -> Self {
        Self::try_connect(to).unwrap_or_else(|error| panic!("connecting to {to}: {error}"))
    }

    /// Connects.
    pub(crate) fn try_connect(to: SocketAddr) -> std::io::Result<Self> {
        TcpStream::connect_timeout(&to, PATIENCE).map(Self::new)
    }

    /// Connects from a given address of this machine.
    pub(crate) fn connect_from(from: IpAddr, to: SocketAddr) -> Self {
        let socket = Socket::new(Domain::for_address(to), Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::new(from, 0).into()).unwrap();
        socket
            .connect(&to.into())
            .unwrap_or_else(|error| panic!("connecting from {from} to {to}: {error}"));
        Self::new(socket.into())
    }

    /// Connects with a receive buffer so small that the other side soon has to wait.
    pub(crate) fn connect_with_small_buffer(to: SocketAddr) -> Self {
        let socket = Socket::new(Domain::for_address(to), Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        socket.connect(&to.into()).unwrap();
        Self::new(socket.into())
    }

    /// This end's address.
    pub(crate) fn address(&self) -> SocketAddr {
        self.stream.local_addr().unwrap()
    }

    /// The other end's address.
    pub(crate) fn other(&self) -> SocketAddr {
        self.stream.peer_addr().unwrap()
    }

    /// Sends all of it.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    /// Sends; an error is the caller's to judge (the other end may be gone).
    pub(crate) fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        self.stream.write_all(bytes.as_ref())
    }

    /// Sends for as long as the other side takes anything within `patience`; how much it took.
    pub(crate) fn send_until_stuck(&mut self, patience: Duration, most: usize) -> usize {
        self.stream.set_write_timeout(Some(patience)).unwrap();
        let block = [b'x'; 65536];
        let mut sent = 0;
        while sent < most {
            match self.stream.write(&block) {
                Ok(bytes) => sent += bytes,
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    break;
                }
                Err(error) => panic!("sending: {error}"),
            }
        }
        self.stream.set_write_timeout(Some(PATIENCE)).unwrap();
        sent
    }

    /// Sends FIN; reading goes on.
    pub(crate) fn finish(&self) {
        self.stream.shutdown(std::net::Shutdown::Write).unwrap();
    }

    /// Ends the connection with RST.
    pub(crate) fn reset(self) {
        SockRef::from(&self.stream)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
    }

    /// Ends the connection with FIN (no byte may wait unread, else the kernel sends RST).
    pub(crate) fn close(self) {}

    /// What comes next within `patience`.
    pub(crate) fn receive(&mut self, patience: Duration) -> Received {
        self.stream
            .set_read_timeout(Some(patience.max(Duration::from_millis(1))))
            .unwrap();
        let mut buffer = vec![0; 65536];
        match self.stream.read(&mut buffer) {
            Ok(0) => Received::End(End::Closed),
            Ok(bytes) => {
                buffer.truncate(bytes);
                Received::Data(buffer)
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                Received::Nothing
            }
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Received::End(End::Reset),
            Err(error) => panic!("receiving: {error}"),
        }
    }

    /// Exactly `count` bytes.
    pub(crate) fn receive_exactly(&mut self, count: usize) -> Vec<u8> {
        self.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut bytes = vec![0; count];
        self.stream.read_exact(&mut bytes).unwrap();
        bytes
    }

    /// A line without its end; what came before the connection ended otherwise.
    pub(crate) fn receive_line(&mut self) -> String {
        self.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut line = Vec::new();
        let mut byte = [0];
        while let Ok(1) = self.stream.read(&mut byte) {
            if byte[0] == b'\n' {
                break;
            }
            line.push(byte[0]);
        }
        String::from_utf8(line).unwrap()
    }

    /// Everything up to the end, and which end it was; fails the test when none comes.
    pub(crate) fn receive_to_end(&mut self) -> (Vec<u8>, End) {
        let deadline = Instant::now() + PATIENCE;
        let mut all = Vec::new();
        loop {
            match self.receive(deadline.saturating_duration_since(Instant::now())) {
                Received::Data(bytes) => all.extend(bytes),
                Received::End(end) => return (all, end),
                Received::Nothing => {
                    panic!("the connection did not end; it brought {} bytes", all.len())
                }
            }
        }
    }

    /// The end, whatever comes before it.
    pub(crate) fn end(&mut self) -> End {
        self.receive_to_end().1
    }

    /// Whether the connection stays open and silent for `span`.
    pub(crate) fn is_quiet_for(&mut self, span: Duration) -> bool {
        self.receive(span) == Received::Nothing
    }

    /// Whether the kernel knows of an error on the connection, a RST above all; reads nothing.
    pub(crate) fn has_failed(&mut self) -> bool {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let mut polled = [PollFd::new(&self.stream, PollFlags::empty())];
        poll(
            &mut polled,
            Some(&Timespec {
                tv_sec: 0,
                tv_nsec: 0,
            }),
        )
        .unwrap();
        polled[0].revents().intersects(PollFlags::ERR)
    }

    /// Gives the stream away.
    pub(crate) fn into_stream(self) -> TcpStream {
        self.stream
    }
}
