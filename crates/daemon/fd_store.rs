//! The listening sockets that the service manager keeps, so that whoever connects during a restart
//! waits for the next process. What is kept and served by nobody would swallow clients: each socket
//! goes from there when it goes from here.

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;
use std::os::fd::{AsFd as _, BorrowedFd};

use evenkeel_proxy::Sockets;
use socket2::{SockRef, Socket};

use crate::notify;
use crate::packets::MOST_DESCRIPTORS;

/// What the socket of the admin address is called there.
pub(crate) const ADMIN: &str = "evenkeel admin";

/// What the service manager keeps.
#[derive(Debug)]
pub(crate) struct FdStore {
    is_there: bool,
    /// By name, with what tells sockets apart.
    kept: BTreeMap<String, BTreeSet<Option<u64>>>,
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
            self.send(&name, &sockets, notify::store);
        }
    }

    /// Has those of `name` kept that are not yet; what is not taken is sent again the next time.
    fn send(
        &mut self,
        name: &str,
        sockets: &[&Socket],
        mut store: impl FnMut(&str, &[BorrowedFd<'_>]) -> bool,
    ) {
        let is_kept = |cookie: Option<u64>| {
            let kept = self.kept.get(name);
            // One that cannot be told from others is sent each time: the service manager knows it.
            cookie.is_some() && kept.is_some_and(|kept| kept.contains(&cookie))
        };
        let fresh: Vec<_> = sockets
            .iter()
            .map(|socket| (socket.cookie().ok(), socket.as_fd()))
            .filter(|(cookie, _)| !is_kept(*cookie))
            .collect();
        for some in fresh.chunks(MOST_DESCRIPTORS) {
            let descriptors: Vec<_> = some.iter().map(|(_, descriptor)| *descriptor).collect();
            if store(name, &descriptors) {
                let kept = self.kept.entry(name.to_owned()).or_default();
                kept.extend(some.iter().map(|(cookie, _)| *cookie));
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
        let is_kept = admin.is_some_and(|admin| notify::store(ADMIN, &[admin.as_fd()]));
        self.admin = cookie.filter(|_| is_kept);
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

#[cfg(test)]
mod tests {
    use socket2::{Domain, Type};

    use super::*;

    #[test]
    fn what_was_not_taken_is_sent_again() {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let mut store = FdStore {
            is_there: true,
            kept: BTreeMap::new(),
            admin: None,
        };
        let mut sent = Vec::new();
        for is_taken in [false, true, true] {
            let mut count = 0;
            store.send("front", &[&socket], |_, sockets| {
                count += sockets.len();
                is_taken
            });
            sent.push((count, store.has("front")));
        }
        assert_eq!(sent, [(1, false), (1, true), (0, true)]);
    }
}
