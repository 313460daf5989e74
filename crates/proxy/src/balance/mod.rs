//! Says which server takes the next connection. Pure: no clock, no socket, no lock; the caller
//! tells what became of servers and connections.
//!
//! The order is HAProxy's, pick by pick, worked out by watching it and proved by vectors taken
//! from it (`tests/vectors/balance`).

mod heap;
mod least_conn;
mod round_robin;
mod source;
#[cfg(test)]
mod tests;

use std::net::IpAddr;

use evenkeel_config::Balance;

use heap::Heap;
use least_conn::LeastConn;
use round_robin::RoundRobin;
use source::Source;

/// What the picker knows of one server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// 0-256; at 0 the server is not chosen.
    pub(crate) weight: u16,
    /// Chosen only when no other server can be.
    pub(crate) backup: bool,
    /// Up and in service.
    pub(crate) usable: bool,
    /// Has no place left.
    pub(crate) full: bool,
}

impl Entry {
    /// The share of the load that it can take: 0 when it cannot be chosen.
    fn share(&self) -> u16 {
        if self.usable { self.weight } else { 0 }
    }

    /// As [`share`](Self::share), and 0 when it is full.
    fn room(&self) -> u16 {
        if self.full { 0 } else { self.share() }
    }
}

/// Chooses among the servers of one backend; an index is a server's place in the slice given to
/// [`new`](Self::new).
#[derive(Debug)]
pub(crate) struct Picker {
    servers: Vec<Entry>,
    all_backups: bool,
    active: Group,
    backups: Group,
    /// Backups that can be chosen, in file order.
    backup_order: Heap<usize>,
    rule: Rule,
}

/// How many servers of a kind can be chosen, and the sum of their weights.
#[derive(Clone, Copy, Debug, Default)]
struct Group {
    servers: u32,
    weight: u32,
}

#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "one per backend, and it stays where it is"
)]
enum Rule {
    RoundRobin {
        active: RoundRobin,
        backups: RoundRobin,
    },
    LeastConn {
        active: LeastConn,
        backups: LeastConn,
        connections: Vec<u32>,
    },
    Source(Source),
}

impl Picker {
    /// A picker that has chosen nothing yet.
    pub(crate) fn new(balance: Balance, servers: &[Entry], all_backups: bool) -> Self {
        let shares = |backup| {
            let share = move |entry: &Entry| {
                if entry.backup == backup {
                    entry.share()
                } else {
                    0
                }
            };
            servers.iter().map(share)
        };
        let rule = match balance {
            Balance::RoundRobin => Rule::RoundRobin {
                active: RoundRobin::new(shares(false)),
                backups: RoundRobin::new(shares(true)),
            },
            Balance::LeastConn => Rule::LeastConn {
                active: LeastConn::new(shares(false)),
                backups: LeastConn::new(shares(true)),
                connections: vec![0; servers.len()],
            },
            Balance::Source => Rule::Source(Source::new()),
        };
        let mut picker = Self {
            servers: servers.to_vec(),
            all_backups,
            active: Group::default(),
            backups: Group::default(),
            backup_order: Heap::new(servers.len()),
            rule,
        };
        for index in 0..servers.len() {
            picker.count(index, 0);
        }
        picker
    }

    /// Whether a client belongs to a server, so that a failed connect does not move on freely.
    pub(crate) fn pins(&self) -> bool {
        matches!(self.rule, Rule::Source(_))
    }

    /// Whether [`opened`](Self::opened) and [`closed`](Self::closed) must be told.
    pub(crate) fn needs_counts(&self) -> bool {
        matches!(self.rule, Rule::LeastConn { .. })
    }

    /// Tells that a server came up or went down.
    pub(crate) fn set_usable(&mut self, index: usize, usable: bool) {
        let entry = Entry {
            usable,
            ..self.servers[index]
        };
        self.change(index, entry);
    }

    /// Gives a server another weight (0-256).
    pub(crate) fn set_weight(&mut self, index: usize, weight: u16) {
        let entry = Entry {
            weight,
            ..self.servers[index]
        };
        self.change(index, entry);
    }

    /// Tells that a server has no place left, or has one again. It still counts among those that
    /// can be chosen, but rules that leave a choice pass it over.
    pub(crate) fn set_full(&mut self, index: usize, full: bool) {
        let entry = Entry {
            full,
            ..self.servers[index]
        };
        self.change(index, entry);
    }

    /// Whether new clients go to this server, backups only where no other server can be chosen.
    pub(crate) fn serves(&self, index: usize) -> bool {
        let own = self.servers[index];
        if own.share() == 0 {
            false
        } else if own.backup && self.active.servers > 0 {
            false
        } else {
            !own.backup || self.all_backups || self.backup_order.first() == Some(index)
        }
    }

    fn change(&mut self, index: usize, entry: Entry) {
        let before = std::mem::replace(&mut self.servers[index], entry);
        let (was, share) = (before.room(), entry.room());
        let is_changed = entry.share() != before.share();
        if is_changed {
            self.count(index, before.share());
        }
        if share == was && !is_changed {
            return;
        }
        match &mut self.rule {
            Rule::RoundRobin { active, backups } => {
                let group = if entry.backup { backups } else { active };
                group.set_weight(index, share);
            }
            Rule::LeastConn {
                active,
                backups,
                connections,
            } => {
                let group = if entry.backup { backups } else { active };
                group.set_weight(index, share, connections[index]);
            }
            Rule::Source(source) if is_changed => source.changed(),
            Rule::Source(_) => {}
        }
    }

    /// Brings the sums up to date after a server's share was `before`.
    fn count(&mut self, index: usize, before: u16) {
        let entry = self.servers[index];
        let share = entry.share();
        let group = if entry.backup {
            &mut self.backups
        } else {
            &mut self.active
        };
        group.weight = group.weight - u32::from(before) + u32::from(share);
        group.servers = group.servers - u32::from(before > 0) + u32::from(share > 0);
        if entry.backup && share > 0 {
            self.backup_order.set(index, index);
        } else if entry.backup {
            self.backup_order.remove(index);
        }
    }

    /// The server for a connection of `client` (`None`: it has no IP address), `None` when there
    /// is none. `avoid` is the server that just failed this connection: chosen only if there is
    /// no other, or if the client belongs to it (see [`pins`](Self::pins)), or if it is the one
    /// backup that serves.
    pub(crate) fn pick(&mut self, client: Option<IpAddr>, avoid: Option<usize>) -> Option<usize> {
        let on_backup = self.active.servers == 0;
        if on_backup && !self.all_backups {
            let first = self.backup_order.first();
            return first.filter(|&index| !self.servers[index].full);
        }
        match &mut self.rule {
            Rule::RoundRobin { active, backups } => {
                if on_backup {
                    backups.pick(avoid)
                } else {
                    active.pick(avoid)
                }
            }
            Rule::LeastConn {
                active, backups, ..
            } => {
                if on_backup {
                    backups.pick(avoid)
                } else {
                    active.pick(avoid)
                }
            }
            Rule::Source(source) => {
                let share = |entry: &Entry| {
                    if entry.backup == on_backup {
                        entry.share()
                    } else {
                        0
                    }
                };
                source.pick(client, avoid, self.servers.iter().map(share))
            }
        }
    }

    /// Tells that a connection to the server began: to be told with the pick, before the connect.
    pub(crate) fn opened(&mut self, index: usize) {
        self.recount(index, |connections| connections + 1);
    }

    /// Tells that a connection to the server ended or was not made.
    pub(crate) fn closed(&mut self, index: usize) {
        self.recount(index, |connections| connections - 1);
    }

    fn recount(&mut self, index: usize, step: impl Fn(u32) -> u32) {
        if let Rule::LeastConn {
            active,
            backups,
            connections,
        } = &mut self.rule
        {
            connections[index] = step(connections[index]);
            let group = if self.servers[index].backup {
                backups
            } else {
                active
            };
            group.set_connections(index, connections[index]);
        }
    }

    /// How many servers that are no backups can be chosen.
    pub(crate) fn active_servers(&self) -> u32 {
        self.active.servers
    }

    /// How many backups can be chosen.
    pub(crate) fn backup_servers(&self) -> u32 {
        self.backups.servers
    }

    /// Whether the server can be chosen.
    pub(crate) fn is_candidate(&self, index: usize) -> bool {
        self.servers[index].share() > 0
    }

    /// Whether [`pick`](Self::pick) could choose a server other than `index`.
    pub(crate) fn has_other(&self, index: usize) -> bool {
        let own = self.servers[index];
        let is_own = |backup| u32::from(own.share() > 0 && own.backup == backup);
        if self.active.servers > 0 {
            return self.active.servers > is_own(false);
        }
        if self.all_backups {
            return self.backups.servers > is_own(true);
        }
        self.backup_order
            .first()
            .is_some_and(|first| first != index)
    }

    /// The weight of the servers that share the load now.
    pub(crate) fn total_weight(&self) -> u32 {
        if self.active.servers > 0 {
            return self.active.weight;
        }
        if self.all_backups {
            return self.backups.weight;
        }
        self.backup_order
            .first()
            .map_or(0, |index| u32::from(self.servers[index].weight))
    }
}
