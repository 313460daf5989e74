//! Says which server takes the next connection. Pure: no clock, no socket, no lock; the caller
//! tells what became of servers and connections.
//!
//! The order is HAProxy's, pick by pick, worked out by watching it and proved by vectors taken
//! from it (`tests/vectors/balance`).

mod round_robin;

use std::net::IpAddr;

use evenkeel_config::Balance;

use round_robin::RoundRobin;

/// What the picker knows of one server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// 0-256; at 0 the server is not chosen.
    pub(crate) weight: u16,
    /// Chosen only when no other server can be.
    pub(crate) backup: bool,
    /// Up and in service.
    pub(crate) usable: bool,
}

impl Entry {
    fn is_candidate(&self) -> bool {
        self.usable && self.weight > 0
    }
}

/// Chooses among the servers of one backend; an index is a server's place in the slice given to
/// [`new`](Self::new).
#[derive(Debug)]
pub(crate) struct Picker {
    servers: Vec<Entry>,
    all_backups: bool,
    active: RoundRobin,
    backups: RoundRobin,
    pins: bool,
    needs_counts: bool,
}

impl Picker {
    pub(crate) fn new(balance: Balance, servers: &[Entry], all_backups: bool) -> Self {
        let mut picker = Self {
            servers: servers
                .iter()
                .map(|entry| Entry {
                    usable: false,
                    ..*entry
                })
                .collect(),
            all_backups,
            active: RoundRobin::default(),
            backups: RoundRobin::default(),
            pins: balance == Balance::Source,
            needs_counts: balance == Balance::LeastConn,
        };
        for (index, entry) in servers.iter().enumerate() {
            picker.set_usable(index, entry.usable);
        }
        picker
    }

    /// Whether a client belongs to a server, so that a failed connect does not move on freely.
    pub(crate) fn pins(&self) -> bool {
        self.pins
    }

    /// Whether [`opened`](Self::opened) and [`closed`](Self::closed) must be told.
    pub(crate) fn needs_counts(&self) -> bool {
        self.needs_counts
    }

    /// Tells that a server came up or went down.
    pub(crate) fn set_usable(&mut self, index: usize, usable: bool) {
        let entry = Entry {
            usable,
            ..self.servers[index]
        };
        self.update(index, entry);
    }

    /// Gives a server another weight (0-256).
    pub(crate) fn set_weight(&mut self, index: usize, weight: u16) {
        let entry = Entry {
            weight,
            ..self.servers[index]
        };
        self.update(index, entry);
    }

    fn update(&mut self, index: usize, entry: Entry) {
        let before = std::mem::replace(&mut self.servers[index], entry);
        let group = if entry.backup {
            &mut self.backups
        } else {
            &mut self.active
        };
        let weight_of = |entry: &Entry| {
            if entry.is_candidate() {
                entry.weight
            } else {
                0
            }
        };
        group.change(index, weight_of(&before), weight_of(&entry));
    }

    /// The server for a connection of `client` (`None`: it has no IP address), `None` when there
    /// is none. `avoid` is the server that just failed this connection: chosen only if there is
    /// no other.
    pub(crate) fn pick(&mut self, _client: Option<IpAddr>, avoid: Option<usize>) -> Option<usize> {
        if !self.active.is_empty() {
            return self.active.pick(avoid);
        }
        if self.all_backups {
            return self.backups.pick(avoid);
        }
        self.servers
            .iter()
            .position(|entry| entry.backup && entry.is_candidate())
    }

    /// Tells that a connection to the server began.
    pub(crate) fn opened(&mut self, _index: usize) {}

    /// Tells that a connection to the server ended.
    pub(crate) fn closed(&mut self, _index: usize) {}

    /// How many servers that are no backups can be chosen.
    pub(crate) fn active_servers(&self) -> u32 {
        self.count(|entry| !entry.backup)
    }

    /// How many backups can be chosen.
    pub(crate) fn backup_servers(&self) -> u32 {
        self.count(|entry| entry.backup)
    }

    /// Whether the server can be chosen.
    pub(crate) fn is_candidate(&self, index: usize) -> bool {
        self.servers[index].is_candidate()
    }

    /// Whether a server other than `index` could be chosen.
    pub(crate) fn has_other(&self, index: usize) -> bool {
        let others = |backup: bool| {
            let mut entries = self.servers.iter().enumerate();
            entries.any(|(other, entry)| {
                other != index && entry.backup == backup && entry.is_candidate()
            })
        };
        let is_last_active = self.is_candidate(index) && !self.servers[index].backup;
        others(false) || (!is_last_active && others(true))
    }

    fn count(&self, which: impl Fn(&Entry) -> bool) -> u32 {
        let found = self
            .servers
            .iter()
            .filter(|entry| entry.is_candidate() && which(entry));
        u32::try_from(found.count()).unwrap_or(u32::MAX)
    }

    /// The weight of the servers that share the load now.
    pub(crate) fn total_weight(&self) -> u32 {
        let backup = self.active_servers() == 0;
        let sharing = self
            .servers
            .iter()
            .filter(|e| e.is_candidate() && e.backup == backup);
        sharing.map(|entry| u32::from(entry.weight)).sum()
    }
}
