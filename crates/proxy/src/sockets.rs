//! Every listening socket of the process. They outlive generations: a reload adds what is new and
//! closes what is gone, and never binds anew what is there.

mod opening;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::os::fd::OwnedFd;

use evenkeel_config::{Bind, BindAddress, Config, IpVersions, Keepalive, Place};
use socket2::Socket;

use crate::handed::Handed;
use crate::supply::{Holdings, Supply};
use crate::unix_socket;

use opening::listen;
pub(crate) use opening::{Opened, is_opened_here, open_missing};

/// systemd takes no longer one.
const LONGEST_NAME: usize = 255;

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
pub(crate) struct Key {
    address: BindAddress,
    interface: Option<String>,
    ip_versions: u8,
    transparent: bool,
}

impl Key {
    /// Whether a socket here takes connections to `address`, or one there those to here.
    fn overlaps(&self, address: SocketAddr) -> bool {
        let BindAddress::Inet(own) = self.address else {
            return false;
        };
        let is_either_wild = own.ip().is_unspecified() || address.ip().is_unspecified();
        own.port() == address.port() && (own.ip() == address.ip() || is_either_wild)
    }
}

impl Key {
    /// Whether `handed` is such a socket.
    fn fits(&self, handed: &Handed) -> bool {
        let socket = &handed.socket;
        match self.address {
            BindAddress::Inet(address) => {
                let local = socket.local_addr().ok().and_then(|local| local.as_socket());
                let device = socket.device().ok().flatten();
                let has_versions = match self.ip_versions {
                    1 => matches!(socket.only_v6(), Ok(false)),
                    2 => matches!(socket.only_v6(), Ok(true)),
                    _ => true,
                };
                local == Some(address)
                    && device.as_deref() == self.interface.as_ref().map(|name| name.as_bytes())
                    && (address.is_ipv4() || has_versions)
                    && (address.is_ipv6()
                        || socket.ip_transparent_v4().unwrap_or(false) == self.transparent)
            }
            BindAddress::Unix(ref path) => socket.local_addr().is_ok_and(|local| {
                // One of ours was bound aside, under another path than it has.
                let is_there = local.as_pathname() == Some(path);
                is_there || (local.is_unix() && handed.name() == self.name())
            }),
            BindAddress::Abstract(ref name) => socket
                .local_addr()
                .is_ok_and(|local| local.as_abstract_namespace() == Some(name)),
            BindAddress::Fd(_) => false,
        }
    }

    /// What its sockets are called where they are kept (FDNAME of systemd: printable, no colon).
    fn name(&self) -> String {
        let mut name = format!("evenkeel {}", describe(&self.address));
        if let Some(interface) = &self.interface {
            name.push('%');
            name.push_str(interface);
        }
        match self.ip_versions {
            1 => name.push_str(" v4v6"),
            2 => name.push_str(" v6only"),
            _ => {}
        }
        if self.transparent {
            name.push_str(" transparent");
        }
        let printable = |letter: char| match letter {
            ':' => '_',
            ' '..='~' => letter,
            _ => '?',
        };
        name.chars().map(printable).take(LONGEST_NAME).collect()
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

/// How many threads the sockets of one address serve: one each, but all where one of them lets no
/// other join it. That of a .socket unit (without `ReusePort=`) is such a one.
fn count<'a>(sockets: impl IntoIterator<Item = &'a Socket>) -> usize {
    let takes_others = |socket: &Socket| {
        let is_unix = || socket.local_addr().is_ok_and(|local| local.is_unix());
        socket.reuse_port().unwrap_or(false) || is_unix()
    };
    let each = sockets
        .into_iter()
        .map(|socket| match takes_others(socket) {
            true => 1,
            false => usize::MAX,
        });
    each.fold(0, usize::saturating_add)
}

/// Every listening socket of the process.
#[derive(Debug, Default)]
pub struct Sockets {
    open: BTreeMap<Key, Vec<Socket>>,
    /// What another process opened for the next configuration; `None`: this one opens itself.
    pub(crate) supply: Option<Supply>,
    /// Descriptors that the process was started with (`fd@N`).
    inherited: BTreeMap<i32, OwnedFd>,
    /// What others handed over and nothing is bound to yet.
    handed: Vec<Handed>,
    /// Frontends whose sockets the next configuration does not open.
    shut: BTreeSet<String>,
}

impl Sockets {
    /// None yet but those inherited.
    #[must_use]
    pub fn new(inherited: BTreeMap<i32, OwnedFd>) -> Self {
        Self {
            open: BTreeMap::new(),
            supply: None,
            inherited,
            handed: Vec::new(),
            shut: BTreeSet::new(),
        }
    }

    /// Has the next [`bind`](Self::bind) open nothing for these frontends: commands shut them down.
    pub fn leave_shut(&mut self, frontends: BTreeSet<String>) {
        self.shut = frontends;
    }

    /// Has the next [`bind`](Self::bind) take those of `handed` that `config` wants before it opens
    /// any. Returns the others, which are to be closed first: they may be in the way.
    pub fn adopt(&mut self, handed: Vec<Handed>, config: &Config) -> Vec<Handed> {
        let wanted: Vec<Key> = binds(config).map(|wanted| Key::from(wanted.bind)).collect();
        let mut known = BTreeSet::new();
        let (wanted, surplus) = handed
            .into_iter()
            // The manager may have one twice: from a unit of its own, and kept for this process.
            .filter(|handed| handed.cookie().is_none_or(|cookie| known.insert(cookie)))
            .partition(|handed| wanted.iter().any(|key| key.fits(handed)));
        self.handed = wanted;
        surplus
    }

    fn take_handed(&mut self, key: &Key) -> Vec<Opened> {
        let handed = self.handed.extract_if(.., |handed| key.fits(handed));
        handed.map(Opened::from).collect()
    }

    /// Every open socket, with what it is called where it is handed over.
    pub fn named(&self) -> impl Iterator<Item = (String, &Socket)> {
        let open = self.open.iter();
        open.flat_map(|(key, sockets)| sockets.iter().map(|socket| (key.name(), socket)))
    }

    /// Those of them that are this process's own: not those that it was started with (`fd@N`).
    pub fn own(&self) -> impl Iterator<Item = (String, &Socket)> {
        let open = self.open.iter();
        let open = open.filter(|(key, _)| !matches!(key.address, BindAddress::Fd(_)));
        open.flat_map(|(key, sockets)| sockets.iter().map(|socket| (key.name(), socket)))
    }

    /// What the sockets of `bind` are called.
    pub(crate) fn name_of(bind: &Bind) -> String {
        Key::from(bind).name()
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
        let mut added: BTreeMap<Key, Vec<Opened>> = BTreeMap::new();
        let mut errors = Vec::new();
        let mut supply = self.supply.take();
        let shut = std::mem::take(&mut self.shut);
        let mut paused = BTreeSet::new();
        for (index, wanted) in binds(config).enumerate() {
            let (bind, key) = (wanted.bind, Key::from(wanted.bind));
            if added.contains_key(&key) || (wanted.is_shared && shut.contains(wanted.section)) {
                continue;
            }
            let handed = self.take_handed(&key);
            let opened = match supply.as_mut().filter(|_| is_opened_here(bind)) {
                Some(supply) => supply.take(index),
                None => {
                    let threads = wanted.threads(threads);
                    self.open_missing(bind, &handed, threads, ownership, added.keys())
                }
            };
            let opened = opened.map(|opened| {
                let handed = handed.into_iter();
                handed.chain(opened).collect::<Vec<_>>()
            });
            let opened = opened.and_then(|opened| {
                // It was told what was held when the reload began.
                if opened.is_empty() && !self.has(bind) {
                    let why =
                        "its sockets were closed while the reload was under way; reload again";
                    return Err(io::Error::other(why));
                }
                if opened.iter().any(|one| one.is_paused) {
                    paused.insert(key.clone());
                }
                for one in opened.iter().filter(|_| !paused.contains(&key)) {
                    listen(&one.socket, &wanted)?;
                }
                Ok(opened)
            });
            match opened {
                Ok(opened) => drop(added.insert(key, opened)),
                Err(source) => errors.push(BindError {
                    place: bind.place.clone(),
                    frontend: wanted.section.to_owned(),
                    address: bind.address.clone(),
                    source,
                }),
            }
        }
        if !errors.is_empty() {
            added.into_values().flatten().for_each(Opened::abandon);
            return Err(errors);
        }
        for (key, opened) in added {
            if opened.is_empty() {
                continue;
            }
            let sockets = opened.into_iter().map(Opened::settle);
            self.open.entry(key).or_default().extend(sockets);
        }
        for wanted in binds(config) {
            let (bind, key) = (wanted.bind, Key::from(wanted.bind));
            let open = self.open.get(&key).filter(|_| !paused.contains(&key));
            for socket in open.into_iter().flatten() {
                // What a kept socket accepts next has the new options; a refusal leaves those
                // that are there.
                let _ = listen(socket, &wanted);
            }
            if let BindAddress::Unix(path) = &bind.address {
                // Likewise: it may be that only its mode is another now.
                let _ = unix_socket::give(path, &bind.access);
            }
        }
        Ok(absent_addresses(config))
    }

    fn open_missing<'a>(
        &'a self,
        bind: &Bind,
        handed: &[Opened],
        threads: usize,
        ownership: Ownership,
        added: impl Iterator<Item = &'a Key>,
    ) -> io::Result<Vec<Opened>> {
        let open = self.open.get(&Key::from(bind)).map_or(&[][..], |open| open);
        let have = count(open.iter().chain(handed.iter().map(|one| &one.socket)));
        if let BindAddress::Fd(fd) = bind.address {
            return match have {
                0 => Ok(vec![self.inherited(fd)?.into()]),
                _ => Ok(Vec::new()),
            };
        }
        open_missing(
            bind,
            have..threads,
            ownership,
            self.open.keys().chain(added),
        )
    }

    fn inherited(&self, fd: i32) -> io::Result<Socket> {
        let inherited = self.inherited.get(&fd).ok_or_else(|| {
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
        Ok(socket)
    }

    /// The open sockets that `config` names, duplicated: one or more for each of `threads` accept
    /// loops.
    pub(crate) fn duplicates(&self, config: &Config, threads: usize) -> io::Result<Vec<Listening>> {
        let mut listening = Vec::new();
        for (frontend, section) in config.frontends.iter().enumerate() {
            for (bind, line) in section.binds.iter().enumerate() {
                let Some(sockets) = self.open.get(&Key::from(line)) else {
                    continue;
                };
                // What there is one of (a .socket unit's, an inherited, a Unix socket) serves all.
                for thread in 0..threads.max(sockets.len()) {
                    let socket = sockets[thread % sockets.len()].try_clone()?;
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

    /// A duplicate of the one socket of `bind`; `None` when it is not open.
    ///
    /// # Errors
    ///
    /// The system has no descriptor left.
    pub fn duplicate(&self, bind: &Bind) -> io::Result<Option<Socket>> {
        let first = self
            .open
            .get(&Key::from(bind))
            .and_then(|open| open.first());
        let socket = first.map(Socket::try_clone).transpose()?;
        if let Some(socket) = &socket {
            socket.set_nonblocking(true)?;
        }
        Ok(socket)
    }

    /// How many threads are served at each address.
    #[must_use]
    pub fn holdings(&self) -> Holdings {
        let counts = self.open.iter();
        Holdings(
            counts
                .map(|(key, open)| (key.clone(), count(open)))
                .collect(),
        )
    }

    /// Whether `bind`'s sockets are open.
    pub(crate) fn has(&self, bind: &Bind) -> bool {
        self.open.contains_key(&Key::from(bind))
    }

    /// Closes the sockets that `config` has no use for.
    pub(crate) fn retain(&mut self, config: &Config) {
        let wanted: Vec<Key> = binds(config).map(|wanted| Key::from(wanted.bind)).collect();
        self.open.retain(|key, _| wanted.contains(key));
    }

    /// Has the sockets of `bind` refuse who comes, until [`resume`](Self::resume) or the next
    /// configuration: bound, but not listened on. Who waits in their queue is refused as well.
    pub(crate) fn pause(&self, bind: &Bind) {
        // A port that the system chose would be lost, and a Unix socket cannot listen again: who
        // comes there waits.
        let keeps_its_port = matches!(bind.address, BindAddress::Inet(at) if at.port() > 0);
        let sockets = self.open.get(&Key::from(bind));
        let sockets = sockets.into_iter().flatten().filter(|_| keeps_its_port);
        // One that does not listen would take a second end for good: whoever it accepts once it
        // listens again would find the connection ended.
        for socket in sockets.filter(|socket| matches!(socket.is_listener(), Ok(true))) {
            // One that refuses keeps who comes waiting.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    /// Whether one of the sockets of `bind` does not listen.
    pub(crate) fn is_paused(&self, bind: &Bind) -> bool {
        let mut sockets = self.open.get(&Key::from(bind)).into_iter().flatten();
        sockets.any(|socket| matches!(socket.is_listener(), Ok(false)))
    }

    /// Has them listen again.
    pub(crate) fn resume(&self, config: &Config, bind: &Bind) {
        for wanted in binds(config).filter(|wanted| wanted.bind == bind) {
            for socket in self.open.get(&Key::from(bind)).into_iter().flatten() {
                if let Err(error) = listen(socket, &wanted) {
                    tracing::error!(
                        "cannot listen on {} again: {error}",
                        describe(&bind.address)
                    );
                }
            }
        }
    }

    /// Closes the sockets of `bind`.
    pub(crate) fn release(&mut self, bind: &Bind) {
        self.open.remove(&Key::from(bind));
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

/// An address to listen on, and what its accepted sockets inherit.
pub(crate) struct Wanted<'a> {
    /// Whose it is, for messages.
    pub(crate) section: &'a str,
    pub(crate) bind: &'a Bind,
    backlog: Option<u32>,
    keepalive: Option<Keepalive>,
    /// Whether each data thread accepts from a socket of its own.
    is_shared: bool,
}

impl Wanted<'_> {
    /// How many sockets there are to be where there are `threads`.
    pub(crate) fn threads(&self, threads: usize) -> usize {
        if self.is_shared { threads } else { 1 }
    }
}

/// Every bind of every frontend in service, and every stats socket.
pub(crate) fn binds(config: &Config) -> impl Iterator<Item = Wanted<'_>> {
    let frontends = config
        .frontends
        .iter()
        .filter(|frontend| !frontend.disabled);
    let binds = frontends.flat_map(|frontend| {
        frontend.binds.iter().map(|bind| Wanted {
            section: &frontend.name,
            bind,
            backlog: frontend.backlog,
            keepalive: frontend.client_keepalive,
            is_shared: true,
        })
    });
    let runtime = &config.global.runtime;
    let stats = runtime
        .sockets
        .iter()
        .map(|socket| ("stats socket", socket));
    let master = runtime.master_sockets.iter().map(|socket| ("-S", socket));
    binds.chain(stats.chain(master).map(|(section, socket)| Wanted {
        section,
        bind: &socket.bind,
        // Those who do not get one of its few places at once wait.
        backlog: Some(runtime.maxconn),
        keepalive: None,
        is_shared: false,
    }))
}

/// The addresses of `config` that no interface has.
fn absent_addresses(config: &Config) -> Vec<AbsentAddress> {
    let local = LocalAddresses::read();
    let absent = |bind: &Bind| match bind.address {
        BindAddress::Inet(address) if !local.has(address.ip()) => Some(AbsentAddress {
            place: bind.place.clone(),
            address,
        }),
        _ => None,
    };
    binds(config)
        .filter_map(|wanted| absent(wanted.bind))
        .collect()
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
