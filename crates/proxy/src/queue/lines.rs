//! Who waits for room, in the order of their arrival: in one line for whichever server of the
//! backend has room first, and in one line for each server that its clients cannot leave. Pure: no
//! clock, no lock; the caller says when a server has room.

use std::collections::{BTreeMap, HashMap};

/// A client's turn: those that came earlier have a smaller one. Kept when it changes lines.
pub(crate) type Ticket = u64;

/// Tells servers apart.
pub(crate) type Key = usize;

/// In which line somebody waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    /// For whichever server has room first.
    Common,
    /// For this server.
    Own(Key),
}

/// All lines of a backend.
#[derive(Debug)]
pub(crate) struct Lines<T> {
    common: Line<T>,
    own: HashMap<Key, Line<T>>,
    /// In which line each one waits.
    places: HashMap<Ticket, Which>,
    next: Ticket,
}

#[derive(Debug)]
struct Line<T> {
    waiting: BTreeMap<Ticket, Entry<T>>,
    /// How many were served from here, ever.
    served: u64,
    peak: u32,
}

#[derive(Debug)]
struct Entry<T> {
    value: T,
    /// How many had been served from this line when this one joined it.
    served_before: u64,
}

/// Somebody who no longer waits.
#[derive(Debug)]
pub(crate) struct Left<T> {
    pub(crate) ticket: Ticket,
    pub(crate) value: T,
    pub(crate) which: Which,
    /// Its place in the line as HAProxy counts it: those served before it while it waited, and
    /// itself.
    pub(crate) position: u32,
}

impl<T> Default for Line<T> {
    fn default() -> Self {
        Self {
            waiting: BTreeMap::new(),
            served: 0,
            peak: 0,
        }
    }
}

impl<T> Default for Lines<T> {
    fn default() -> Self {
        Self {
            common: Line::default(),
            own: HashMap::new(),
            places: HashMap::new(),
            next: 0,
        }
    }
}

impl<T> Line<T> {
    fn len(&self) -> u32 {
        u32::try_from(self.waiting.len()).unwrap_or(u32::MAX)
    }

    fn take(&mut self, ticket: Ticket) -> Option<(T, u32)> {
        let entry = self.waiting.remove(&ticket)?;
        let position = self.served - entry.served_before + 1;
        Some((entry.value, u32::try_from(position).unwrap_or(u32::MAX)))
    }
}

impl<T> Lines<T> {
    /// A ticket for somebody who is about to wait.
    pub(crate) fn ticket(&mut self) -> Ticket {
        self.next += 1;
        self.next
    }

    /// Puts somebody into a line, before those who came later.
    pub(crate) fn join(&mut self, ticket: Ticket, which: Which, value: T) {
        let line = self.line_mut(which);
        let entry = Entry {
            value,
            served_before: line.served,
        };
        line.waiting.insert(ticket, entry);
        line.peak = line.peak.max(line.len());
        self.places.insert(ticket, which);
    }

    /// Takes somebody out who no longer wants to wait; `None`: it does not wait.
    pub(crate) fn leave(&mut self, ticket: Ticket) -> Option<Left<T>> {
        let which = self.places.remove(&ticket)?;
        let (value, position) = self.line_mut(which).take(ticket)?;
        Some(Left {
            ticket,
            value,
            which,
            position,
        })
    }

    /// Takes out whoever came first of those that `server` may serve: its own, and of the others
    /// those that `accepts` says.
    pub(crate) fn serve(&mut self, server: Key, accepts: impl Fn(&T) -> bool) -> Option<Left<T>> {
        let own = self.own.get(&server);
        let own = own.and_then(|line| line.waiting.first_key_value());
        let own = own.map(|(&ticket, _)| ticket);
        let mut common = self.common.waiting.iter();
        // An own one that came before all others needs no look at them.
        let common = common
            .find(|&(&ticket, entry)| own.is_some_and(|own| own < ticket) || accepts(&entry.value))
            .map(|(&ticket, _)| ticket);
        let ticket = match (own, common) {
            (Some(own), Some(common)) => own.min(common),
            (one, other) => one.or(other)?,
        };
        let which = self.places.remove(&ticket)?;
        let line = self.line_mut(which);
        let (value, position) = line.take(ticket)?;
        line.served += 1;
        Some(Left {
            ticket,
            value,
            which,
            position,
        })
    }

    /// Takes everybody out of a server's own line: there is nothing to wait for there.
    pub(crate) fn disperse(&mut self, server: Key) -> Vec<Left<T>> {
        let tickets: Vec<Ticket> = match self.own.get(&server) {
            Some(line) => line.waiting.keys().copied().collect(),
            None => return Vec::new(),
        };
        tickets
            .into_iter()
            .filter_map(|ticket| self.leave(ticket))
            .collect()
    }

    /// How many wait in a line.
    pub(crate) fn waiting(&self, which: Which) -> u32 {
        self.line(which).map_or(0, Line::len)
    }

    /// How many ever waited there at once.
    pub(crate) fn peak(&self, which: Which) -> u32 {
        self.line(which).map_or(0, |line| line.peak)
    }

    /// Forgets the empty lines of servers that are not known.
    pub(crate) fn keep(&mut self, is_known: impl Fn(Key) -> bool) {
        self.own
            .retain(|&server, line| is_known(server) || !line.waiting.is_empty());
    }

    /// Whether nobody waits anywhere.
    pub(crate) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    fn line(&self, which: Which) -> Option<&Line<T>> {
        match which {
            Which::Common => Some(&self.common),
            Which::Own(server) => self.own.get(&server),
        }
    }

    fn line_mut(&mut self, which: Which) -> &mut Line<T> {
        match which {
            Which::Common => &mut self.common,
            Which::Own(server) => self.own.entry(server).or_default(),
        }
    }
}
