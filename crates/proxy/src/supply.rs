//! Listening sockets that one process opens for another: the one that serves has given up the
//! right to open every port and path, and the one that has it serves nobody.
//!
//! Both read the same configuration, so that a bind is known by its number among those in service.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;

use evenkeel_config::{BindAddress, Config};
use socket2::Socket;

use crate::sockets::{
    Aside, BindError, Key, Opened, Ownership, Wanted, binds, give, is_opened_here, open_missing,
};

/// What was opened for the next configuration, by number of the bind.
#[derive(Debug, Default)]
pub struct Supply(BTreeMap<usize, io::Result<Vec<Socket>>>);

impl Supply {
    /// Adds sockets of a bind.
    pub fn add(&mut self, bind: usize, sockets: Vec<OwnedFd>) {
        let have = self.0.entry(bind).or_insert_with(|| Ok(Vec::new()));
        if let Ok(have) = have {
            have.extend(sockets.into_iter().map(Socket::from));
        }
    }

    /// Notes why a bind's sockets could not be opened, in words for the operator.
    pub fn refuse(&mut self, bind: usize, why: String) {
        self.0.insert(bind, Err(io::Error::other(why)));
    }

    /// What was opened of a bind; none where there are all already.
    pub(crate) fn take(&mut self, bind: usize) -> io::Result<Vec<Opened>> {
        let sockets = self.0.remove(&bind).unwrap_or_else(|| Ok(Vec::new()))?;
        Ok(sockets.into_iter().map(Opened::from).collect())
    }
}

/// What the process that serves listens on, kept by the one that opens its sockets: it holds none
/// of them itself, for a socket that nobody accepts from takes connections all the same.
#[derive(Debug, Default)]
pub struct Ledger {
    /// How many sockets there are.
    open: BTreeMap<Key, usize>,
    /// Paths that are not in force yet.
    pending: Vec<Aside>,
}

impl Ledger {
    /// What is listened on while `config` is in force.
    #[must_use]
    pub fn of(config: &Config, threads: usize) -> Self {
        let mut ledger = Self::default();
        ledger.note(config, threads);
        ledger
    }

    /// Opens what `config` needs and is not there yet, as [`Sockets::bind`](crate::Sockets::bind)
    /// would. Descriptors that are inherited are none of its business.
    pub fn open(
        &mut self,
        config: &Config,
        threads: usize,
    ) -> BTreeMap<usize, Result<Vec<OwnedFd>, BindError>> {
        self.abandon();
        let mut added: BTreeMap<Key, usize> = BTreeMap::new();
        let mut all = BTreeMap::new();
        for (index, wanted) in binds(config).enumerate() {
            let (bind, key) = (wanted.bind, Key::from(wanted.bind));
            let threads = wanted.threads(threads);
            if added.contains_key(&key) || !is_opened_here(bind) {
                continue;
            }
            let have = self.open.get(&key).copied().unwrap_or(0);
            let ours = self.open.keys().chain(added.keys());
            let opened =
                open_missing(bind, have..threads, Ownership::Exclusive, ours).map_err(|source| {
                    BindError {
                        place: bind.place.clone(),
                        frontend: wanted.section.to_owned(),
                        address: bind.address.clone(),
                        source,
                    }
                });
            added.insert(key, threads);
            let given = opened.map(|opened| {
                let give = |one: Opened| {
                    self.pending.extend(one.aside);
                    OwnedFd::from(one.socket)
                };
                opened.into_iter().map(give).collect::<Vec<_>>()
            });
            if !matches!(&given, Ok(sockets) if sockets.is_empty()) {
                all.insert(index, given);
            }
        }
        all
    }

    /// `config` is in force: what was opened for it is to be found, the rest is forgotten.
    pub fn settle(&mut self, config: &Config, threads: usize) {
        self.pending.drain(..).for_each(Aside::settle);
        for Wanted { bind, .. } in binds(config) {
            if let BindAddress::Unix(path) = &bind.address {
                // Of one that stays, only its mode may be another.
                let _ = give(path, &bind.access);
            }
        }
        self.note(config, threads);
    }

    /// Nothing came of what was opened.
    pub fn abandon(&mut self) {
        self.pending.drain(..).for_each(Aside::abandon);
    }

    fn note(&mut self, config: &Config, threads: usize) {
        let before = std::mem::take(&mut self.open);
        for wanted in binds(config) {
            let (key, threads) = (Key::from(wanted.bind), wanted.threads(threads));
            let had = before.get(&key).copied().unwrap_or(0);
            self.open.insert(key, had.max(threads));
        }
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        self.abandon();
    }
}
