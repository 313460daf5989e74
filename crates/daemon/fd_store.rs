//! The listening sockets that the service manager keeps, so that whoever connects during a restart
//! waits for the next process. What is kept and served by nobody would swallow clients: each socket
//! goes from there when it goes from here.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::AsFd as _;

use evenkeel_proxy::Sockets;

use crate::notify;

/// What the service manager keeps.
#[derive(Debug)]
pub(crate) struct FdStore {
    is_there: bool,
    /// By name, with what tells sockets apart.
    kept: BTreeMap<String, BTreeSet<u64>>,
}

impl FdStore {
    /// As the service manager has it: nothing that is known of yet.
    pub(crate) fn new() -> Self {
        Self {
            is_there: notify::keeps_descriptors(),
            kept: BTreeMap::new(),
        }
    }

    /// Has exactly the TCP sockets of `sockets` kept.
    pub(crate) fn keep(&mut self, sockets: &Sockets) {
        if !self.is_there {
            return;
        }
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

    /// Whether the sockets of this name are kept.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.kept.contains_key(name)
    }
}
