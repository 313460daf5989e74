//! Says which server takes the next connection. Pure: no clock, no socket, no lock; the caller
//! tells what became of servers and connections, and gives the seed of what is left to chance.
//!
//! The order is HAProxy's, pick by pick, worked out by watching it and proved by vectors taken
//! from it (`tests/vectors/balance`).

mod hash;
mod heap;
mod key;
mod least_conn;
mod map;
mod ring;
mod round_robin;
#[cfg(test)]
mod tests;

use evenkeel_config::{Balance, Hashing};
use fastrand::Rng;

use heap::Heap;
pub(crate) use key::{Ends, node_key};
use key::{KeyRule, is_on_ring};
use least_conn::LeastConn;
use map::Map;
use ring::Ring;
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
    /// Has no place left. It still counts among those that can be chosen, but all rules that leave
    /// a choice pass it over.
    pub(crate) full: bool,
    /// `first` goes by it.
    pub(crate) id: u32,
    /// See [`node_key`].
    pub(crate) node_key: u32,
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
    /// Open connections of each server, and of all; kept where [`needs_counts`](Self::needs_counts).
    connections: Vec<u32>,
    open: u32,
    /// What of a connection decides its server, if anything.
    key: Option<KeyRule>,
    rng: Rng,
    rule: Rule,
}

/// How many servers of a kind can be chosen, and the sum of their weights.
#[derive(Clone, Copy, Debug, Default)]
struct Group {
    servers: u32,
    weight: u32,
}

/// How a server is found. The two halves are those that are no backups and those that are.
#[derive(Debug)]
enum Rule {
    RoundRobin(Box<[RoundRobin; 2]>),
    LeastConn(Box<[LeastConn; 2]>),
    /// By `id`.
    First([Heap<(u32, usize)>; 2]),
    /// A hash leads to a slot; without a hash, slots take turns.
    Map(Map),
    /// A hash leads to a point; without a hash, points take turns.
    Ring {
        halves: Box<[Ring; 2]>,
        /// How many servers chance names, of which the least loaded is taken; 0: a hash leads.
        draws: u32,
        bound: Option<Bound>,
    },
}

/// `hash-balance-factor`: how much more than its share a server may have.
#[derive(Debug)]
struct Bound {
    percent: u32,
    /// The weights that stood before each server in its group at the start, without those of
    /// servers that were disabled then; HAProxy, too, lets them be when weights change.
    before: Vec<u32>,
}

impl Picker {
    /// A picker that has chosen nothing yet.
    pub(crate) fn new(
        balance: &Balance,
        hashing: Hashing,
        servers: &[Entry],
        all_backups: bool,
        rng: Rng,
    ) -> Self {
        let count = servers.len();
        let shares = |backup| {
            servers.iter().map(move |entry| {
                if entry.backup == backup {
                    entry.share()
                } else {
                    0
                }
            })
        };
        let rule = match balance {
            Balance::RoundRobin => Rule::RoundRobin(Box::new([
                RoundRobin::new(shares(false)),
                RoundRobin::new(shares(true)),
            ])),
            Balance::LeastConn => Rule::LeastConn(Box::new([
                LeastConn::new(shares(false)),
                LeastConn::new(shares(true)),
            ])),
            Balance::First => Rule::First([Heap::new(count), Heap::new(count)]),
            _ if is_on_ring(balance, hashing) => {
                let keys = || servers.iter().map(|entry| entry.node_key);
                Rule::Ring {
                    halves: Box::new([Ring::new(keys()), Ring::new(keys())]),
                    draws: match balance {
                        Balance::Random { draws } => *draws,
                        _ => 0,
                    },
                    bound: hashing
                        .balance_factor
                        .map(|percent| Bound::new(percent, servers)),
                }
            }
            _ => Rule::Map(Map::new(servers.iter().map(|entry| entry.weight))),
        };
        let mut picker = Self {
            servers: servers.to_vec(),
            all_backups,
            active: Group::default(),
            backups: Group::default(),
            backup_order: Heap::new(count),
            connections: vec![0; count],
            open: 0,
            key: KeyRule::of(balance, hashing),
            rng,
            rule,
        };
        for (index, entry) in servers.iter().enumerate() {
            picker.count(index, 0);
            if matches!(picker.rule, Rule::First(_) | Rule::Ring { .. }) || entry.full {
                picker.tell_rule(index);
            }
        }
        picker
    }

    /// Whether a client belongs to a server, so that a failed connect does not move on freely.
    pub(crate) fn pins(&self) -> bool {
        self.key.is_some()
    }

    /// Whether [`opened`](Self::opened) and [`closed`](Self::closed) must be told.
    pub(crate) fn needs_counts(&self) -> bool {
        match &self.rule {
            Rule::LeastConn(_) => true,
            Rule::Ring { draws, bound, .. } => *draws > 1 || bound.is_some(),
            _ => false,
        }
    }

    /// Whether those who wait for a server count as its load.
    pub(crate) fn counts_waiting(&self) -> bool {
        matches!(self.rule, Rule::LeastConn(_))
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

    /// Tells that a server has no place left, or has one again.
    pub(crate) fn set_full(&mut self, index: usize, full: bool) {
        if std::mem::replace(&mut self.servers[index].full, full) != full
            && matches!(self.rule, Rule::LeastConn(_) | Rule::First(_))
        {
            self.tell_rule(index);
        }
    }

    /// Tells that a server is known by another [`node_key`].
    pub(crate) fn set_node_key(&mut self, index: usize, key: u32) {
        let entry = &mut self.servers[index];
        let is_same = std::mem::replace(&mut entry.node_key, key) == key;
        if let Rule::Ring { halves, .. } = &mut self.rule
            && !is_same
        {
            let half = usize::from(entry.backup);
            halves[half].set_key(index, key, entry.share());
            halves[1 - half].set_key(index, key, 0);
        }
    }

    /// Tells that weights are told multiplied by `scale` from now on, so that there are steps
    /// between one and none. Every weight is to be told again.
    pub(crate) fn set_scale(&mut self, scale: u16) {
        if let Rule::Ring { halves, .. } = &mut self.rule {
            halves.iter_mut().for_each(|half| half.set_scale(scale));
            for (index, entry) in self.servers.iter().enumerate() {
                let half = usize::from(entry.backup);
                halves[half].set_weight(index, entry.share());
            }
        }
    }

    /// Whether new clients go to this server, backups only where no other server can be chosen.
    pub(crate) fn serves(&self, index: usize) -> bool {
        let own = self.servers[index];
        if own.share() == 0 || own.backup && self.active.servers > 0 {
            return false;
        }
        !own.backup || self.all_backups || self.backup_order.first() == Some(index)
    }

    fn change(&mut self, index: usize, entry: Entry) {
        let before = std::mem::replace(&mut self.servers[index], entry).share();
        if entry.share() != before {
            self.count(index, before);
            self.tell_rule(index);
        }
    }

    /// Tells the rule what a server's share is.
    fn tell_rule(&mut self, index: usize) {
        let entry = self.servers[index];
        let half = usize::from(entry.backup);
        match &mut self.rule {
            Rule::RoundRobin(halves) => halves[half].set_weight(index, entry.share()),
            Rule::LeastConn(halves) => {
                halves[half].set_weight(index, entry.room(), self.connections[index]);
            }
            Rule::First(halves) => {
                if entry.room() > 0 {
                    halves[half].set(index, (entry.id, index));
                } else {
                    halves[half].remove(index);
                }
            }
            Rule::Map(map) => map.changed(),
            Rule::Ring { halves, .. } => halves[half].set_weight(index, entry.share()),
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

    /// The server for a connection between `ends`, `None` when there is none, or none with a place
    /// left. `avoid` is the server that just failed this connection: chosen only if there is no
    /// other, or if the client belongs to it (see [`pins`](Self::pins)), or if it is the one backup
    /// that serves. A server that a hash leads to may be full.
    pub(crate) fn pick(&mut self, ends: &Ends, avoid: Option<usize>) -> Option<usize> {
        let on_backup = self.active.servers == 0;
        if on_backup && self.backups.servers == 0 {
            return None;
        }
        let one_backup = on_backup && !self.all_backups;
        if one_backup && !matches!(self.rule, Rule::Map(_)) {
            let first = self.backup_order.first();
            return first.filter(|&index| !self.servers[index].full);
        }
        let half = usize::from(on_backup);
        let key = self.key.as_ref();
        let hash = key.and_then(|key| key.hash(ends, &mut self.rng));
        let servers = &self.servers;
        let full = |index: usize| servers[index].full;
        match &mut self.rule {
            Rule::RoundRobin(halves) => halves[half].pick(avoid, full),
            Rule::LeastConn(halves) => halves[half].pick(avoid),
            Rule::First(halves) => {
                let first = halves[half].first();
                match first {
                    Some(index) if avoid == first => halves[half].second().or(Some(index)),
                    _ => first,
                }
            }
            Rule::Map(map) => {
                let share = |entry: &Entry| {
                    if entry.backup == on_backup {
                        entry.share()
                    } else {
                        0
                    }
                };
                let slots = match self.backup_order.first() {
                    Some(first) if one_backup => servers[first].weight.into(),
                    _ if on_backup => self.backups.weight,
                    _ => self.active.weight,
                };
                map.refresh(servers.iter().map(share), slots);
                match hash {
                    Some(hash) => map.of_hash(hash),
                    None => map.next_in_turn(avoid, full),
                }
            }
            Rule::Ring {
                halves,
                draws,
                bound,
            } => {
                let load = Load {
                    servers,
                    connections: &self.connections,
                    open: self.open,
                    weight: if on_backup { self.backups } else { self.active }.weight,
                    bound: bound.as_ref(),
                };
                let passed = |index| avoid == Some(index) || load.is_over_bound(index);
                match hash {
                    Some(hash) => halves[half].nearest(hash, passed),
                    None if *draws == 0 => halves[half].next_in_turn(avoid, full),
                    None => {
                        let draw = |_| halves[half].nearest(self.rng.u32(..), passed);
                        let drawn = (0..*draws).map_while(draw);
                        // Of two with the same load, the one drawn later.
                        let least = drawn.reduce(|best, next| load.lesser(best, next));
                        least.filter(|&index| !full(index))
                    }
                }
            }
        }
    }

    /// Tells that a connection to the server began: to be told with the pick, before the connect.
    pub(crate) fn opened(&mut self, index: usize) {
        self.connections[index] += 1;
        self.open += 1;
        self.recount(index);
    }

    /// Tells that a connection to the server ended or was not made.
    pub(crate) fn closed(&mut self, index: usize) {
        self.connections[index] -= 1;
        self.open -= 1;
        self.recount(index);
    }

    fn recount(&mut self, index: usize) {
        if let Rule::LeastConn(halves) = &mut self.rule {
            let half = usize::from(self.servers[index].backup);
            halves[half].set_connections(index, self.connections[index]);
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

impl Bound {
    fn new(percent: u32, servers: &[Entry]) -> Self {
        let mut sums = [0, 0];
        let mut before = |entry: &Entry| {
            let sum = &mut sums[usize::from(entry.backup)];
            *sum += u32::from(entry.share());
            *sum - u32::from(entry.share())
        };
        Self {
            percent,
            before: servers.iter().map(&mut before).collect(),
        }
    }
}

/// How busy the servers of a group are.
struct Load<'p> {
    servers: &'p [Entry],
    connections: &'p [u32],
    open: u32,
    weight: u32,
    bound: Option<&'p Bound>,
}

impl Load<'_> {
    /// Whether a server has as many connections as [`Bound`] lets it have.
    ///
    /// The places that there are, this connection included, are laid out in a row and dealt by
    /// weight, each server's beginning where those of the servers before it end. A server has at
    /// least one.
    fn is_over_bound(&self, index: usize) -> bool {
        let Some(bound) = self.bound else {
            return false;
        };
        let places = (u64::from(self.open) + 1) * u64::from(bound.percent);
        let places = places.div_ceil(100);
        let until = |weight: u32| u64::from(weight) * places / u64::from(self.weight.max(1));
        let before = bound.before[index];
        let share = until(before + u32::from(self.servers[index].share())) - until(before);
        u64::from(self.connections[index]) >= share.max(1)
    }

    /// Of two servers, the one with fewer connections for its weight; `next` if they are equal.
    fn lesser(&self, best: usize, next: usize) -> usize {
        let load = |index: usize, other: usize| {
            u64::from(self.connections[index]) * u64::from(self.servers[other].share())
        };
        if load(best, next) < load(next, best) {
            best
        } else {
            next
        }
    }
}
