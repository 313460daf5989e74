//! Fewest open connections per weight.

use super::heap::Heap;

/// How finely load is told apart, in steps per connection and unit of weight. Coarse enough to
/// show: two heavy servers that differ by less are equal, and the one that changed longer ago is
/// chosen.
const STEPS: u64 = 256;

/// The servers of one group and how many connections each has.
#[derive(Debug)]
pub(super) struct LeastConn {
    weights: Vec<u16>,
    by_load: Heap<(u64, u64)>,
    arrivals: u64,
}

impl LeastConn {
    pub(super) fn new(weights: impl ExactSizeIterator<Item = u16>) -> Self {
        let servers = weights.len();
        let mut group = Self {
            weights: vec![0; servers],
            by_load: Heap::new(servers),
            arrivals: 0,
        };
        for (index, weight) in weights.enumerate() {
            group.set_weight(index, weight, 0);
        }
        group
    }

    /// Gives a server with so many open connections another weight; 0 takes it out.
    pub(super) fn set_weight(&mut self, index: usize, weight: u16, connections: u32) {
        if std::mem::replace(&mut self.weights[index], weight) == weight {
            return;
        }
        if weight == 0 {
            self.by_load.remove(index);
        } else {
            self.put(index, connections);
        }
    }

    /// Tells how many connections a server has now.
    pub(super) fn set_connections(&mut self, index: usize, connections: u32) {
        if self.weights[index] > 0 {
            self.put(index, connections);
        }
    }

    /// The server with the least load that is not `avoid`, unless that one is alone.
    pub(super) fn pick(&self, avoid: Option<usize>) -> Option<usize> {
        let first = self.by_load.first()?;
        if avoid == Some(first) {
            self.by_load.second().or(Some(first))
        } else {
            Some(first)
        }
    }

    /// An idle server is idle whatever its weight; a busy one is judged by the load that it would
    /// have with one more connection.
    fn put(&mut self, index: usize, connections: u32) {
        let load = match connections {
            0 => 0,
            busy => (u64::from(busy) + 1) * STEPS / u64::from(self.weights[index]),
        };
        self.arrivals += 1;
        self.by_load.set(index, (load, self.arrivals));
    }
}
