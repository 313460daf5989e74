//! The listening sockets that the service manager keeps, so that whoever connects during a restart
//! waits for the next process. What is kept and served by nobody would swallow clients: each socket
//! goes from there when it goes from here.

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;
use std::os::fd::AsFd as _;

use evenkeel_proxy::Sockets;
use socket2::SockRef;

use crate::notify;

/// What the socket of the admin address is called there.
pub(crate) const ADMIN: &str = "evenkeel admin";

/// What the service manager keeps.
#[derive(Debug)]
pub(crate) struct FdStore {
    is_there: bool,
    /// By name, with what tells sockets apart.
    kept: BTreeMap<String, BTreeSet<u64>>,
    /// The same of the admin address: whoever asks there during a restart waits, too, for
    /// `evenkeel health` must tell a restart from an end.
    admin: Option<u64>,
}

impl FdStore {
    /// As the service manager has it: nothing that is known of yet.
    pub(crate) fn new() -> Self {
        Self {
            is_there: notify::keeps_descriptors(),
            kept: BTreeMap::new(),
            admin: None,
        }
    }

    /// Has exactly `admin` and the TCP sockets of `sockets` kept.
    pub(crate) fn keep(&mut self, sockets: &Sockets, admin: Option<&TcpListener>) {
        if !self.is_there {
            return;
        }
        self.keep_admin(admin);
        let mut wanted: BTreeMap<String, Vec<_>> = BTreeMap::new();
        for (name, socket) in sockets.own() {
            // Unix sockets are bound anew, over those of before.
            if socket
                .local_addr()
                .is_ok_and(|address| address.as_socket().is_some())
            {
                wanted.entry(name).or_default().push(socket);
            }
        }
        self.kept.retain(|name, _| {
            let stays = wanted.contains_key(name);
            if !stays {
                notify::unstore(name);
            }
            stays
        });
        for (name, sockets) in wanted {
            let kept = self.kept.entry(name.clone()).or_default();
            let is_new = |socket: &&&socket2::Socket| {
                socket.cookie().map_or(true, |cookie| kept.insert(cookie))
            };
            let fresh: Vec<_> = sockets
                .iter()
                .filter(is_new)
                .map(|socket| socket.as_fd())
                .collect();
            if !fresh.is_empty() {
                notify::store(&name, &fresh);
            }
        }
    }

    fn keep_admin(&mut self, admin: Option<&TcpListener>) {
        let cookie = admin.and_then(|admin| SockRef::from(admin).cookie().ok());
        if self.admin == cookie {
            return;
        }
        if self.admin.is_some() {
            notify::unstore(ADMIN);
        }
        self.admin = cookie;
        if let (Some(admin), Some(_)) = (admin, cookie) {
            notify::store(ADMIN, &[admin.as_fd()]);
        }
    }

    /// Whether whoever asks at the admin address waits for the next process once this one has ended.
    pub(crate) fn has_admin(&self) -> bool {
        self.admin.is_some()
    }

    /// Whether the sockets of this name are kept.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.kept.contains_key(name)
    }
}
