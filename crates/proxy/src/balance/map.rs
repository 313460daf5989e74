//! A table with one slot for each unit of weight, made anew when a server comes or goes: for turns
//! (`static-rr`) and for hashes of `hash-type map-based`.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// The table, and the slot whose turn it is.
#[derive(Debug)]
pub(super) struct Map {
    slots: Vec<u32>,
    is_stale: bool,
    turn: usize,
    /// What all weights are multiples of: a slot is worth so much.
    unit: u16,
}

impl Map {
    /// A table that is made when it is first asked for. `weights` are those of all servers, usable
    /// or not.
    pub(super) fn new(weights: impl Iterator<Item = u16>) -> Self {
        Self {
            slots: Vec::new(),
            is_stale: true,
            turn: 0,
            unit: weights.fold(0, common_divisor).max(1),
        }
    }

    /// Tells that weights changed.
    pub(super) fn changed(&mut self) {
        self.is_stale = true;
    }

    /// Brings the table up to date. `weights` are those of the servers that share the load, 0 for
    /// others; `slots` is the weight of all, or of those that are to have room.
    pub(super) fn refresh(&mut self, weights: impl Iterator<Item = u16>, slots: u32) {
        if std::mem::take(&mut self.is_stale) {
            let shares: Vec<_> = weights.map(|weight| weight.div_ceil(self.unit)).collect();
            let total = shares.iter().map(|&share| u32::from(share)).sum();
            let slots = slots.div_ceil(self.unit.into());
            self.slots = if slots == total {
                table(&shares)
            } else {
                narrow_table(&shares, slots)
            };
        }
    }

    /// The server that a hash leads to.
    pub(super) fn of_hash(&self, hash: u32) -> Option<usize> {
        let slot = (hash as usize).checked_rem(self.slots.len())?;
        Some(self.slots[slot] as usize)
    }

    /// The server of the next slot. Servers that are `full` are passed over, and `avoid` unless it
    /// is alone.
    pub(super) fn next_in_turn(
        &mut self,
        avoid: Option<usize>,
        full: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        let slots = self.slots.len();
        if self.turn >= slots {
            self.turn = 0;
        }
        let mut avoided = None;
        for at in (self.turn..slots).chain(0..self.turn) {
            let server = self.slots[at] as usize;
            if full(server) {
                continue;
            }
            if avoid != Some(server) {
                self.turn = at + 1;
                return Some(server);
            }
            avoided = Some((at, server));
        }
        let (at, server) = avoided?;
        self.turn = at + 1;
        Some(server)
    }
}

fn common_divisor(a: u16, b: u16) -> u16 {
    if b == 0 { a } else { common_divisor(b, a % b) }
}

/// Spreads the servers over as many slots as their weights sum to.
///
/// With `t` slots filled, a server of weight `w` that has `n` of them is entitled to another once
/// `t * w >= n * total`, and overdue once `t * w >= (n + 1) * total`. Each slot goes to the first
/// server in file order that is overdue, or else to the first that is entitled; one always is.
/// Found by the moments at which these become true, so that it takes `total * log(servers)` steps.
fn table(weights: &[u16]) -> Vec<u32> {
    let total: u64 = weights.iter().map(|&weight| u64::from(weight)).sum();
    let moment =
        |server: u32, share: u64| (share * total).div_ceil(u64::from(weights[server as usize]));
    let mut taken = vec![0_u64; weights.len()];
    // (moment, server, slots taken by then); stale once the server took another slot.
    let mut entitled_at = BinaryHeap::new();
    let mut overdue_at = BinaryHeap::new();
    let mut entitled = BinaryHeap::new();
    let mut overdue = BinaryHeap::new();
    for (server, _) in (0_u32..).zip(weights).filter(|&(_, &weight)| weight > 0) {
        entitled_at.push(Reverse((0, server)));
    }
    let mut slots = Vec::with_capacity(usize::try_from(total).unwrap_or(0));
    for now in 1..=total {
        while let Some(&Reverse((at, server))) = entitled_at.peek()
            && at <= now
        {
            entitled_at.pop();
            let had = taken[server as usize];
            entitled.push(Reverse((server, had)));
            overdue_at.push(Reverse((moment(server, had + 1), server, had)));
        }
        while let Some(&Reverse((at, server, had))) = overdue_at.peek()
            && at <= now
        {
            overdue_at.pop();
            if taken[server as usize] == had {
                overdue.push(Reverse((server, had)));
            }
        }
        let server = loop {
            let Reverse((server, had)) = overdue
                .pop()
                .or_else(|| entitled.pop())
                .expect("the shares sum to the slots, so somebody is entitled to the next one");
            if taken[server as usize] == had {
                break server;
            }
        };
        taken[server as usize] += 1;
        let next = moment(server, taken[server as usize]);
        entitled_at.push(Reverse((next, server)));
        slots.push(server);
    }
    slots
}

/// As [`table`], with fewer slots than the weights sum to. HAProxy makes one as long as the first
/// backup is heavy where only that one is to serve, and lets all backups into it.
fn narrow_table(weights: &[u16], slots: u32) -> Vec<u32> {
    // One slot is the first one's, whatever the others weigh.
    if slots == 1 {
        let first = (0_u32..).zip(weights).find(|(_, weight)| **weight > 0);
        return first.map(|(server, _)| server).into_iter().collect();
    }
    let mut credits = vec![0_i64; weights.len()];
    let mut table = Vec::new();
    for _ in 0..slots {
        let mut best: Option<(i64, usize)> = None;
        for (server, &weight) in weights
            .iter()
            .enumerate()
            .filter(|(_, weight)| **weight > 0)
        {
            credits[server] += i64::from(weight);
            let turns = credits[server] / i64::from(slots);
            if best.is_none_or(|(most, _)| turns > most) {
                best = Some((turns, server));
            }
        }
        if let Some((_, server)) = best {
            credits[server] -= i64::from(slots);
            table.push(u32::try_from(server).expect("a backend has fewer than 2^32 servers"));
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_of_ten_thousand_heavy_servers_gives_each_its_share() {
        let slots = table(&[20; 10_000]);
        assert_eq!(slots.len(), 200_000);
        let mut counts = vec![0; 10_000];
        slots
            .iter()
            .for_each(|&server| counts[server as usize] += 1);
        assert!(counts.iter().all(|&count| count == 20));
    }
}
