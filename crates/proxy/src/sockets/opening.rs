//! How one listening socket comes about: bound, set up, made to listen.

use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::time::Duration;

use evenkeel_config::{Bind, BindAddress, IpVersions, Keepalive};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::{Key, Ownership, Wanted};
use crate::dial::{self, Options};
use crate::handed::Handed;
use crate::unix_socket::{self, Aside};
use crate::{kernel, socket_options};

/// The accept queue asked for where the file sets no `backlog`; the kernel caps it at
/// net.core.somaxconn. Not `maxconn`, as HAProxy has it: a client that finds the queue full waits
/// for the next of its SYNs, a second and more after a place came free.
const DEFAULT_BACKLOG: u32 = 65_535;

/// A socket that is not in force yet.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) socket: Socket,
    /// Of a Unix socket.
    pub(crate) aside: Option<Aside>,
    /// The process that it comes from refuses who comes there, and this one may yet turn out not to
    /// follow it.
    pub(super) is_paused: bool,
}

impl From<Socket> for Opened {
    fn from(socket: Socket) -> Self {
        Self {
            socket,
            aside: None,
            is_paused: false,
        }
    }
}

impl From<Handed> for Opened {
    fn from(handed: Handed) -> Self {
        Self {
            is_paused: handed.is_paused,
            ..handed.socket.into()
        }
    }
}

impl Opened {
    /// Puts the socket in force.
    pub(super) fn settle(self) -> Socket {
        if let Some(aside) = self.aside {
            aside.settle();
        }
        self.socket
    }

    /// Leaves nothing behind of a socket that does not come into force.
    pub(super) fn abandon(self) {
        if let Some(aside) = self.aside {
            aside.abandon();
        }
    }
}

/// Whether it takes more than to have inherited it.
pub(crate) fn is_opened_here(bind: &Bind) -> bool {
    !matches!(bind.address, BindAddress::Fd(_))
}

/// Opens what `bind` lacks of its sockets: from the one that it lacks first up to one a thread.
pub(crate) fn open_missing<'a>(
    bind: &Bind,
    missing: Range<usize>,
    ownership: Ownership,
    mut ours: impl Iterator<Item = &'a Key>,
) -> io::Result<Vec<Opened>> {
    match &bind.address {
        BindAddress::Inet(address) => {
            let is_ours = ours.any(|key| key.overlaps(*address));
            missing
                .map(|n| match ownership {
                    Ownership::Exclusive if n == 0 => open_exclusive(*address, bind, is_ours),
                    _ => open_inet(*address, bind, Ownership::Shared),
                })
                .map(|socket| socket.map(Opened::from))
                .collect()
        }
        _ if missing.start > 0 => Ok(Vec::new()),
        BindAddress::Unix(path) => {
            let (socket, aside) = unix_socket::open(path, &bind.access, ownership)?;
            Ok(vec![Opened {
                aside: Some(aside),
                ..socket.into()
            }])
        }
        BindAddress::Abstract(name) => Ok(vec![open_abstract(name)?.into()]),
        BindAddress::Fd(_) => Ok(Vec::new()),
    }
}

/// A bound TCP socket that is alone on its port, unless the other one is ours: it is bound before
/// it may be shared, so that an owner of the port is found out rather than silently shared with.
fn open_exclusive(address: SocketAddr, bind: &Bind, is_ours: bool) -> io::Result<Socket> {
    match open_inet(address, bind, Ownership::Exclusive) {
        Err(error) if is_ours && error.kind() == io::ErrorKind::AddrInUse => {
            open_inet(address, bind, Ownership::Shared)
        }
        opened => opened,
    }
}

/// A bound TCP socket, not listening yet.
fn open_inet(address: SocketAddr, bind: &Bind, ownership: Ownership) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM.nonblocking(),
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(ownership == Ownership::Shared)?;
    match address {
        SocketAddr::V4(_) => socket.set_freebind_v4(true)?,
        SocketAddr::V6(_) => {
            match bind.ip_versions {
                IpVersions::System => {}
                IpVersions::V4V6 => socket.set_only_v6(false)?,
                IpVersions::V6Only => socket.set_only_v6(true)?,
            }
            socket.set_freebind_v6(true)?;
        }
    }
    if bind.transparent {
        socket.set_ip_transparent_v4(true)?;
    }
    if let Some(interface) = &bind.interface {
        socket.bind_device(Some(interface.as_bytes()))?;
    }
    socket.bind(&address.into())?;
    socket.set_reuse_port(true)?;
    Ok(socket)
}

fn open_abstract(name: &[u8]) -> io::Result<Socket> {
    use std::os::linux::net::SocketAddrExt;
    let address = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
    let listener = std::os::unix::net::UnixListener::bind_addr(&address)?;
    listener.set_nonblocking(true)?;
    Ok(Socket::from(OwnedFd::from(listener)))
}

/// Makes the socket listen, with the options of its frontend, which accepted ones inherit; may be
/// repeated.
pub(super) fn listen(socket: &Socket, wanted: &Wanted<'_>) -> io::Result<()> {
    let bind = wanted.bind;
    if socket.local_addr()?.as_socket().is_some() {
        let keepalive = wanted.keepalive.map(with_kernel_defaults);
        socket.set_tcp_nodelay(true)?;
        socket.set_keepalive(keepalive.is_some())?;
        socket.set_tcp_user_timeout(bind.tcp_user_timeout)?;
        socket_options::listening(socket, bind)?;
        let options = Options {
            keepalive,
            tcp_user_timeout: None,
        };
        dial::apply(SockRef::from(socket), options)?;
    }
    if matches!(bind.address, BindAddress::Fd(_)) {
        return Ok(());
    }
    let backlog = bind.backlog.or(wanted.backlog);
    let backlog = backlog.unwrap_or(DEFAULT_BACKLOG);
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))
}

/// What a kept socket has from an earlier configuration goes back to the kernel's own (tcp(7)).
fn with_kernel_defaults(keepalive: Keepalive) -> Keepalive {
    use kernel::Keepalive::{Interval, Probes, Time};
    let seconds = |which| kernel::keepalive(which).map(|n| Duration::from_secs(n.into()));
    Keepalive {
        idle: keepalive.idle.or_else(|| seconds(Time)),
        interval: keepalive.interval.or_else(|| seconds(Interval)),
        probes: keepalive.probes.or_else(|| kernel::keepalive(Probes)),
    }
}
