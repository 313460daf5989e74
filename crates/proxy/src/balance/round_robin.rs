//! Smooth weighted round robin.
//!
//! Turns are dealt in rounds. A round has one position for each sixteenth of a weight, and a
//! server's turns lie `total / weight` positions apart, the remainder carried along. Servers that
//! had no turn in this round yet fill the positions at which no other one is due, the heaviest
//! first. A server whose next turn lies past the round's end waits for the next round.

use super::heap::Heap;

/// Positions of a round per unit of weight. Only a change of weights within a round shows it.
const POSITIONS_PER_WEIGHT: i64 = 16;

/// A turn that a change of weight moves must lie this far ahead, or it is dealt anew: one position
/// is being served.
const NEAREST_MOVED_TURN: i64 = 2;

/// The servers of one group (all that are no backups, or all backups) and whose turn it is.
#[derive(Debug)]
pub(super) struct RoundRobin {
    turns: Vec<Turn>,
    /// No turn in this round yet; the heaviest first.
    fresh: Heap<(i64, u64)>,
    /// Have a next turn in this round; the earliest first, then the one with most weight left.
    due: Heap<(i64, i64, u64)>,
    /// Had all their turns in this round; the heaviest first.
    spent: Heap<(i64, u64)>,
    position: i64,
    /// Positions of the round, as the weights were when it began.
    round: i64,
    /// Sum of the weights, in positions.
    total: i64,
    /// Counts what was put into a heap, so that the earlier one wins a tie.
    arrivals: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Turn {
    /// In positions; 0: in none of the heaps.
    weight: i64,
    next: i64,
    last: i64,
    /// What the division left over, below `weight`.
    carry: i64,
}

impl RoundRobin {
    /// Servers that share the load from the start have a weight above 0.
    pub(super) fn new(weights: impl ExactSizeIterator<Item = u16>) -> Self {
        let servers = weights.len();
        let mut group = Self {
            turns: vec![Turn::default(); servers],
            fresh: Heap::new(servers),
            due: Heap::new(servers),
            spent: Heap::new(servers),
            position: 0,
            round: 0,
            total: 0,
            arrivals: 0,
        };
        for (index, weight) in weights.enumerate() {
            let weight = i64::from(weight) * POSITIONS_PER_WEIGHT;
            group.turns[index].weight = weight;
            group.total += weight;
            if weight > 0 {
                group.put_fresh(index);
            }
        }
        group.round = group.total;
        group
    }

    /// Gives a server another weight; 0 takes it out.
    pub(super) fn set_weight(&mut self, index: usize, weight: u16) {
        let after = i64::from(weight) * POSITIONS_PER_WEIGHT;
        let before = std::mem::replace(&mut self.turns[index].weight, after);
        if before == after {
            return;
        }
        self.total += after - before;
        if after == 0 {
            self.take_out(index);
        } else if before == 0 {
            // It joins where its first turn would fall if it had been there for the whole round,
            // so that a server which comes back is not flooded.
            self.turns[index].next = self.position + (self.total - self.position) / after;
            self.put_by_turn(index);
        } else if self.fresh.contains(index) {
            self.put_fresh(index);
        } else {
            self.move_turn(index);
        }
    }

    /// The server whose turn it is. Those that are `full` lose their turn, and `avoid` unless it
    /// is alone.
    pub(super) fn pick(
        &mut self,
        avoid: Option<usize>,
        full: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        // The servers that lost their turn, each with the position that it gave up.
        let mut held: Vec<(usize, i64)> = Vec::new();
        let mut avoided = None;
        let chosen = loop {
            let Some(index) = self.head() else {
                let is_last = self.spent.is_empty();
                self.deal_all(&mut held);
                if is_last {
                    break avoided;
                }
                if self.due.is_empty() {
                    self.begin_round();
                }
                continue;
            };
            let base = self.take_turn(index);
            let is_full = full(index);
            if !is_full && avoid != Some(index) {
                self.deal_next(index, base);
                break Some(index);
            }
            if !is_full {
                avoided = Some(index);
            }
            held.push((index, base));
        };
        self.deal_all(&mut held);
        chosen
    }

    fn deal_all(&mut self, held: &mut Vec<(usize, i64)>) {
        for (index, base) in held.drain(..) {
            self.deal_next(index, base);
        }
    }

    fn head(&self) -> Option<usize> {
        let due = self.due.first();
        due.filter(|&index| self.turns[index].next <= self.position)
            .or_else(|| self.fresh.first())
            .or(due)
    }

    /// Takes a server out of the heaps and a position out of the round; returns from where its
    /// next turn counts.
    fn take_turn(&mut self, index: usize) -> i64 {
        let turn = &mut self.turns[index];
        if self.due.remove(index) {
            turn.last = turn.next;
        } else {
            self.fresh.remove(index);
            turn.carry = 0;
            turn.last = self.position;
        }
        self.position += 1;
        turn.last
    }

    fn deal_next(&mut self, index: usize, base: i64) {
        let turn = &mut self.turns[index];
        turn.next = base + self.total / turn.weight;
        turn.carry += self.total % turn.weight;
        if turn.carry >= turn.weight {
            turn.carry -= turn.weight;
            turn.next += 1;
        }
        self.put_by_turn(index);
    }

    fn begin_round(&mut self) {
        std::mem::swap(&mut self.fresh, &mut self.spent);
        self.position = 0;
        self.round = self.total;
    }

    /// After a change of weight: the next turn comes no later than it was to come, and not at once
    /// either.
    fn move_turn(&mut self, index: usize) {
        self.take_out(index);
        let turn = &mut self.turns[index];
        let apart = self.total / turn.weight;
        turn.carry = 0;
        turn.next = turn.next.min(turn.last + apart);
        if turn.next < self.position + NEAREST_MOVED_TURN {
            turn.next = self.position + apart;
        }
        self.put_by_turn(index);
    }

    fn put_fresh(&mut self, index: usize) {
        let key = (-self.turns[index].weight, self.arrival());
        self.fresh.set(index, key);
    }

    fn put_by_turn(&mut self, index: usize) {
        let arrival = self.arrival();
        let Turn {
            weight,
            next,
            carry,
            ..
        } = self.turns[index];
        if next >= self.total.min(self.round) {
            self.spent.set(index, (-weight, arrival));
        } else {
            self.due.set(index, (next, carry - weight, arrival));
        }
    }

    fn take_out(&mut self, index: usize) {
        let _ = self.fresh.remove(index) || self.due.remove(index) || self.spent.remove(index);
    }

    fn arrival(&mut self) -> u64 {
        self.arrivals += 1;
        self.arrivals
    }
}
