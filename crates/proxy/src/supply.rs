//! Listening sockets that one process opens for another: the one that serves has given up the
//! right to open every port and path, and the one that has it serves nobody.
//!
//! Both read the same configuration, so that a bind is known by its number among those in service.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::OwnedFd;

use evenkeel_config::{BindAddress, Config};
use socket2::Socket;

use crate::sockets::{
    BindError, Key, Opened, Ownership, Wanted, binds, is_opened_here, open_missing,
};
use crate::unix_socket::{Aside, give};

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

/// For how many threads the process that serves has sockets of each address.
#[derive(Clone, Debug, Default)]
pub struct Holdings(pub(crate) BTreeMap<Key, usize>);

impl Holdings {
    /// How many of each bind of `config`, by its number.
    #[must_use]
    pub fn of(&self, config: &Config) -> Vec<usize> {
        let count = |wanted: Wanted<'_>| self.0.get(&Key::from(wanted.bind)).copied();
        binds(config)
            .map(|wanted| count(wanted).unwrap_or(0))
            .collect()
    }
}

/// Where the process that serves listens, kept by the one that opens its sockets: it holds none
/// of them itself, for a socket that nobody accepts from takes connections all the same. How many
/// there are is the other's to say: it may have closed some.
#[derive(Debug, Default)]
pub struct Ledger {
    open: BTreeSet<Key>,
    /// Paths that are not in force yet.
    pending: Vec<Aside>,
}

impl Ledger {
    /// What is listened on while `config` is in force.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        let mut ledger = Self::default();
        ledger.note(config);
        ledger
    }

    /// Opens what `config` needs and is not there yet, as [`Sockets::bind`](crate::Sockets::bind)
    /// would, where `held` sockets of each bind are there. Descriptors that are inherited are none
    /// of its business.
    pub fn open(
        &mut self,
        config: &Config,
        threads: usize,
        held: &[usize],
    ) -> BTreeMap<usize, Result<Vec<OwnedFd>, BindError>> {
        self.abandon();
        let mut added: BTreeSet<Key> = BTreeSet::new();
        let mut all = BTreeMap::new();
        for (index, wanted) in binds(config).enumerate() {
            let (bind, key) = (wanted.bind, Key::from(wanted.bind));
            let threads = wanted.threads(threads);
            if added.contains(&key) || !is_opened_here(bind) {
                continue;
            }
            let have = held.get(index).copied().unwrap_or(0);
            // One that was closed meanwhile may be somebody else's by now.
            let ours = self.open.iter().filter(|ours| have > 0 || **ours != key);
            let ours = ours.chain(&added);
            let opened =
                open_missing(bind, have..threads, Ownership::Exclusive, ours).map_err(|source| {
                    BindError {
                        place: bind.place.clone(),
                        frontend: wanted.section.to_owned(),
                        address: bind.address.clone(),
                        source,
                    }
                });
            added.insert(key);
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
    pub fn settle(&mut self, config: &Config) {
        self.pending.drain(..).for_each(Aside::settle);
        for Wanted { bind, .. } in binds(config) {
            if let BindAddress::Unix(path) = &bind.address {
                // Of one that stays, only its mode may be another.
                let _ = give(path, &bind.access);
            }
        }
        self.note(config);
    }

    /// Nothing came of what was opened.
    pub fn abandon(&mut self) {
        self.pending.drain(..).for_each(Aside::abandon);
    }

    fn note(&mut self, config: &Config) {
        self.open = binds(config).map(|wanted| Key::from(wanted.bind)).collect();
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        self.abandon();
    }
}
