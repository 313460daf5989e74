//! Every listening socket of the process. They outlive generations: a reload adds what is new and
//! closes what is gone, and never binds anew what is there.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use evenkeel_config::{Bind, BindAddress, Config, Frontend, IpVersions, Place};
use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};

use crate::dial::{self, Options};

/// The accept queue asked for where the file sets no `backlog`; the kernel caps it at
/// net.core.somaxconn. Not `maxconn`, as HAProxy has it: a client that finds the queue full waits
/// for the next of its SYNs, a second and more after a place came free.
const DEFAULT_BACKLOG: u32 = 65_535;

/// Whether addresses may be shared with another process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// Somebody else listening there is an error.
    Exclusive,
    /// An older process is about to hand over (`-sf`, `-st`).
    Shared,
}

/// An address that could not be listened on.
#[derive(Debug, thiserror::Error)]
#[error("{place}: cannot bind {} for '{frontend}'", describe(.address))]
pub struct BindError {
    /// Where the address stands.
    pub place: Place,
    /// The section it belongs to.
    pub frontend: String,
    /// The address.
    pub address: BindAddress,
    /// What the system said.
    pub source: io::Error,
}

/// An address that is listened on although no interface has it yet (IP_FREEBIND).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AbsentAddress {
    /// Where the address stands.
    pub place: Place,
    /// The address.
    pub address: SocketAddr,
}

/// How an address is written in messages.
#[must_use]
pub fn describe(address: &BindAddress) -> String {
    match address {
        BindAddress::Inet(address) => address.to_string(),
        BindAddress::Unix(path) => path.display().to_string(),
        BindAddress::Abstract(name) => format!("abns@{}", String::from_utf8_lossy(name)),
        BindAddress::Fd(fd) => format!("fd@{fd}"),
    }
}

/// What makes two binds the same socket.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    address: BindAddress,
    interface: Option<String>,
    ip_versions: u8,
    transparent: bool,
}

impl Key {
    fn port(&self) -> Option<u16> {
        match self.address {
            BindAddress::Inet(address) => Some(address.port()),
            _ => None,
        }
    }
}

impl From<&Bind> for Key {
    fn from(bind: &Bind) -> Self {
        Self {
            address: bind.address.clone(),
            interface: bind.interface.clone(),
            ip_versions: match bind.ip_versions {
                IpVersions::System => 0,
                IpVersions::V4V6 => 1,
                IpVersions::V6Only => 2,
            },
            transparent: bind.transparent,
        }
    }
}

/// A socket to accept from: `thread` counts those of one address.
#[derive(Debug)]
pub(crate) struct Listening {
    pub(crate) socket: Socket,
    /// Index of the frontend, and of the `bind` in it.
    pub(crate) frontend: usize,
    pub(crate) bind: usize,
    pub(crate) thread: usize,
    pub(crate) is_unix: bool,
}

/// Every listening socket of the process.
#[derive(Debug, Default)]
pub struct Sockets {
    open: BTreeMap<Key, Vec<Socket>>,
    /// Descriptors that the process was started with (`fd@N`).
    inherited: BTreeMap<i32, OwnedFd>,
}

impl Sockets {
    /// None yet but those inherited.
    #[must_use]
    pub fn new(inherited: BTreeMap<i32, OwnedFd>) -> Self {
        Self {
            open: BTreeMap::new(),
            inherited,
        }
    }

    /// Opens what `config` needs and is not open yet, `threads` sockets for each address; all or
    /// nothing. Returns the addresses that no interface has.
    ///
    /// # Errors
    ///
    /// Every address that cannot be listened on; the sockets are as they were then.
    pub fn bind(
        &mut self,
        config: &Config,
        threads: usize,
        ownership: Ownership,
    ) -> Result<Vec<AbsentAddress>, Vec<BindError>> {
        let mut added: BTreeMap<Key, Vec<Socket>> = BTreeMap::new();
        let mut errors = Vec::new();
        let mut absent = Vec::new();
        let local = LocalAddresses::read();
        // Where a socket of ours holds the port, its sharing with another one of ours is no news.
        let mut ours: BTreeSet<u16> = self.open.keys().filter_map(Key::port).collect();
        for (frontend, bind) in binds(config) {
            let key = Key::from(bind);
            if let BindAddress::Inet(address) = bind.address
                && !local.has(address.ip())
            {
                absent.push(AbsentAddress {
                    place: bind.place.clone(),
                    address,
                });
            }
            let have = self.open.get(&key).map_or(0, Vec::len);
            if added.contains_key(&key) {
                continue;
            }
            match self.open_missing(bind, have, threads, ownership, &ours) {
                Ok(sockets) => {
                    ours.extend(key.port());
                    added.insert(key, sockets);
                }
                Err(source) => errors.push(BindError {
                    place: bind.place.clone(),
                    frontend: frontend.name.clone(),
                    address: bind.address.clone(),
                    source,
                }),
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        for (key, sockets) in added {
            self.open.entry(key).or_default().extend(sockets);
        }
        for (frontend, bind) in binds(config) {
            if let Some(sockets) = self.open.get(&Key::from(bind)) {
                for socket in sockets {
                    // Options of a socket that listens already take effect on what it accepts
                    // next; a refusal leaves those that are there.
                    let _ = configure(socket, frontend, bind);
                }
            }
        }
        Ok(absent)
    }

    fn open_missing(
        &self,
        bind: &Bind,
        have: usize,
        threads: usize,
        ownership: Ownership,
        ours: &BTreeSet<u16>,
    ) -> io::Result<Vec<Socket>> {
        match &bind.address {
            BindAddress::Inet(address) => (have..threads.max(have))
                .map(|n| {
                    let exclusive = n == 0
                        && ownership == Ownership::Exclusive
                        && !ours.contains(&address.port());
                    open_inet(*address, bind, exclusive)
                })
                .collect(),
            _ if have > 0 => Ok(Vec::new()),
            BindAddress::Unix(path) => Ok(vec![open_unix(path, ownership)?]),
            BindAddress::Abstract(name) => Ok(vec![open_abstract(name)?]),
            BindAddress::Fd(fd) => {
                let inherited = self.inherited.get(fd).ok_or_else(|| {
                    io::Error::other(format!(
                        "descriptor {fd} was not handed over by the starting process"
                    ))
                })?;
                let socket = Socket::from(inherited.try_clone()?);
                if !socket.is_listener()? {
                    return Err(io::Error::other(format!(
                        "descriptor {fd} is no listening socket"
                    )));
                }
                Ok(vec![socket])
            }
        }
    }

    /// The open sockets that `config` names, duplicated: each for one accept loop.
    pub(crate) fn duplicates(&self, config: &Config) -> io::Result<Vec<Listening>> {
        let mut listening = Vec::new();
        for (frontend, binds) in config
            .frontends
            .iter()
            .map(|frontend| &frontend.binds)
            .enumerate()
        {
            for (bind, sockets) in binds
                .iter()
                .map(|bind| self.open.get(&Key::from(bind)))
                .enumerate()
            {
                for (thread, socket) in sockets.into_iter().flatten().enumerate() {
                    let socket = socket.try_clone()?;
                    socket.set_nonblocking(true)?;
                    let is_unix = socket.local_addr()?.is_unix();
                    listening.push(Listening {
                        socket,
                        frontend,
                        bind,
                        thread,
                        is_unix,
                    });
                }
            }
        }
        Ok(listening)
    }

    /// Whether `bind`'s sockets are open.
    pub(crate) fn has(&self, bind: &Bind) -> bool {
        self.open.contains_key(&Key::from(bind))
    }

    /// Closes the sockets that `config` has no use for.
    pub(crate) fn retain(&mut self, config: &Config) {
        let wanted: Vec<Key> = binds(config).map(|(_, bind)| Key::from(bind)).collect();
        self.open.retain(|key, _| wanted.contains(key));
    }

    /// Closes all of them.
    pub(crate) fn close(&mut self) {
        self.open.clear();
    }

    /// Where the sockets of `bind` really listen: the port that the system chose for port 0.
    pub(crate) fn address(&self, bind: &Bind) -> Option<SocketAddr> {
        let sockets = self.open.get(&Key::from(bind))?;
        sockets.first()?.local_addr().ok()?.as_socket()
    }
}

/// Every bind of every frontend in service.
fn binds(config: &Config) -> impl Iterator<Item = (&Frontend, &Bind)> {
    config
        .frontends
        .iter()
        .filter(|frontend| !frontend.disabled)
        .flat_map(|frontend| frontend.binds.iter().map(move |bind| (frontend, bind)))
}

/// A bound TCP socket, not listening yet. An exclusive one is bound before it may be shared, so
/// that an owner of the port is found out rather than silently shared with.
fn open_inet(address: SocketAddr, bind: &Bind, exclusive: bool) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM.nonblocking(),
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    if !exclusive {
        socket.set_reuse_port(true)?;
    }
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
    if exclusive {
        socket.set_reuse_port(true)?;
    }
    // Accepted sockets inherit it.
    socket.set_tcp_nodelay(true)?;
    Ok(socket)
}

/// A bound Unix socket. It takes the place of the one that an earlier process left behind, or of
/// the one whose owner hands over.
fn open_unix(path: &Path, ownership: Ownership) -> io::Result<Socket> {
    let address = SockAddr::unix(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|meta| meta.file_type().is_socket());
    if !is_socket {
        socket.bind(&address)?;
        return Ok(socket);
    }
    let probe = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    if ownership == Ownership::Exclusive && probe.connect(&address).is_ok() {
        return Err(io::ErrorKind::AddrInUse.into());
    }
    // Bound aside and moved over: nobody who connects finds no socket there.
    let mut aside = path.as_os_str().to_owned();
    aside.push(format!(".{}.tmp", std::process::id()));
    let aside = Path::new(&aside);
    socket.bind(&SockAddr::unix(aside)?)?;
    std::fs::rename(aside, path)?;
    Ok(socket)
}

fn open_abstract(name: &[u8]) -> io::Result<Socket> {
    use std::os::linux::net::SocketAddrExt;
    let address = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
    let listener = std::os::unix::net::UnixListener::bind_addr(&address)?;
    listener.set_nonblocking(true)?;
    Ok(Socket::from(OwnedFd::from(listener)))
}

/// Makes the socket listen, with the options of its frontend; may be repeated.
fn configure(socket: &Socket, frontend: &Frontend, bind: &Bind) -> io::Result<()> {
    let backlog = bind.backlog.or(frontend.backlog);
    let backlog = backlog.unwrap_or(DEFAULT_BACKLOG);
    if !matches!(bind.address, BindAddress::Fd(_)) {
        socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    }
    if matches!(bind.address, BindAddress::Inet(_)) {
        socket.set_keepalive(frontend.client_keepalive.is_some())?;
        socket.set_tcp_user_timeout(bind.tcp_user_timeout)?;
        let keepalive = frontend.client_keepalive;
        dial::apply(
            SockRef::from(socket),
            Options {
                keepalive,
                tcp_user_timeout: None,
            },
        )?;
    }
    Ok(())
}

/// The addresses of this machine's interfaces.
#[derive(Debug)]
pub(crate) struct LocalAddresses(Option<Vec<IpAddr>>);

impl LocalAddresses {
    pub(crate) fn read() -> Self {
        let addresses = nix::ifaddrs::getifaddrs().ok().map(|interfaces| {
            interfaces
                .filter_map(|interface| {
                    let address = interface.address?;
                    let v4 = address.as_sockaddr_in().map(|a| IpAddr::V4(a.ip()));
                    v4.or_else(|| address.as_sockaddr_in6().map(|a| IpAddr::V6(a.ip())))
                })
                .collect()
        });
        Self(addresses)
    }

    /// Whether this machine has `ip`; yes where that cannot be told.
    pub(crate) fn has(&self, ip: IpAddr) -> bool {
        let is_ours = |addresses: &Vec<IpAddr>| addresses.contains(&ip);
        // The whole of 127.0.0.0/8 belongs to the loopback interface.
        ip.is_unspecified() || ip.is_loopback() || self.0.as_ref().is_none_or(is_ours)
    }
}
