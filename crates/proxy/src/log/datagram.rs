//! Syslog over datagram sockets: one system call per message, on the calling thread.

use std::fmt::Display;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::unix::net::{SocketAddr as UnixAddr, UnixDatagram};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use tracing::warn;

use super::doors::{Door, Doors};

/// The sockets that messages are sent from. None is connected: each message names its receiver, so
/// that one which was gone and came back (/dev/log, when its daemon restarts) is found again.
#[derive(Debug)]
pub(super) struct Datagrams {
    v4: UdpSocket,
    /// `None` where the machine has no IPv6.
    v6: Option<UdpSocket>,
    unix: UnixDatagram,
}

impl Datagrams {
    pub(super) fn open() -> io::Result<Self> {
        let v4 = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        let v6 = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).ok();
        let unix = UnixDatagram::unbound()?;
        v4.set_nonblocking(true)?;
        if let Some(v6) = &v6 {
            v6.set_nonblocking(true)?;
        }
        unix.set_nonblocking(true)?;
        Ok(Self { v4, v6, unix })
    }

    /// Whether the kernel took the message.
    pub(super) fn send_udp(&self, line: &[u8], to: &UdpTarget) -> bool {
        let socket = if to.address.is_ipv4() {
            Some(&self.v4)
        } else {
            self.v6.as_ref()
        };
        let sent = match socket {
            Some(socket) => socket.send_to(line, to.address).map(drop),
            None => Err(io::Error::other("this machine has no IPv6")),
        };
        to.news.note(&sent, &to.address);
        sent.is_ok()
    }

    /// Whether the receiver's buffer took the message.
    pub(super) fn send_unix(&self, line: &[u8], to: &UnixTarget) -> bool {
        let by_path = || match &to.address {
            Ok(address) => self.unix.send_to_addr(line, address).map(drop),
            Err(kind) => Err(io::Error::from(*kind)),
        };
        let sent = match &to.door {
            Some(door) => door.send(line, by_path),
            None => by_path(),
        };
        to.news.note(&sent, &to.path.display());
        sent.is_ok()
    }
}

/// A socket path such as /dev/log.
#[derive(Debug)]
pub(super) struct UnixTarget {
    path: PathBuf,
    /// What is wrong with the path, if it cannot be an address at all.
    address: Result<UnixAddr, io::ErrorKind>,
    /// Where another root directory may hide the path.
    door: Option<Arc<Door>>,
    news: News,
}

impl UnixTarget {
    pub(super) fn new(path: &Path, doors: Option<&Doors>) -> Self {
        Self {
            door: doors.map(|doors| doors.door(path)),
            path: path.to_owned(),
            address: UnixAddr::from_pathname(path).map_err(|error| error.kind()),
            news: News::default(),
        }
    }
}

/// An address that takes syslog over UDP.
#[derive(Debug)]
pub(super) struct UdpTarget {
    address: SocketAddr,
    news: News,
}

impl UdpTarget {
    pub(super) fn new(address: SocketAddr) -> Self {
        let news = News::default();
        Self { address, news }
    }
}

/// Whether it was told that a receiver is out of reach.
#[derive(Debug, Default)]
struct News(AtomicBool);

impl News {
    /// Tells once that messages are lost, and again if that happens after the receiver was back.
    /// A full buffer is no news: it is counted.
    fn note(&self, sent: &io::Result<()>, receiver: &dyn Display) {
        match sent {
            Ok(()) => {
                if self.0.load(Relaxed) {
                    self.0.store(false, Relaxed);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => {
                if !self.0.swap(true, Relaxed) {
                    warn!("log messages are lost: cannot send to {receiver}: {error}");
                }
            }
        }
    }
}
