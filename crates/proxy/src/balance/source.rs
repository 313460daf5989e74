//! Hash of the client's address, map-based: a table with one slot for each unit of weight, made
//! anew when a server comes or goes.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::IpAddr;

/// The table and the turn of clients without an address.
#[derive(Debug, Default)]
pub(super) struct Source {
    slots: Vec<u32>,
    is_stale: bool,
    turn: usize,
}

impl Source {
    /// A table that is made at the first pick.
    pub(super) fn new() -> Self {
        Self {
            is_stale: true,
            ..Self::default()
        }
    }

    /// Tells that weights changed.
    pub(super) fn changed(&mut self) {
        self.is_stale = true;
    }

    /// The server that the client belongs to; a client without an address takes turns, in which
    /// `avoid` is passed over unless it is alone. `weights` are those of the servers that share
    /// the load, 0 for others.
    pub(super) fn pick(
        &mut self,
        client: Option<IpAddr>,
        avoid: Option<usize>,
        weights: impl Iterator<Item = u16>,
    ) -> Option<usize> {
        if std::mem::take(&mut self.is_stale) {
            self.slots = table(&weights.collect::<Vec<_>>());
        }
        if self.slots.is_empty() {
            return None;
        }
        if let Some(client) = client {
            let slot = hash(client) as usize % self.slots.len();
            return Some(self.slots[slot] as usize);
        }
        for _ in 0..self.slots.len() {
            let server = self.next_in_turn();
            if avoid != Some(server) {
                return Some(server);
            }
        }
        avoid
    }

    fn next_in_turn(&mut self) -> usize {
        if self.turn >= self.slots.len() {
            self.turn = 0;
        }
        self.turn += 1;
        self.slots[self.turn - 1] as usize
    }
}

fn hash(client: IpAddr) -> u32 {
    match client {
        IpAddr::V4(address) => address.to_bits(),
        IpAddr::V6(address) => {
            let bits = address.to_bits();
            (0..4).fold(0, |hash, word| hash ^ (bits >> (32 * word)) as u32)
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_its_bits_and_a_long_one_its_words_xored() {
        assert_eq!(hash("10.0.1.10".parse().unwrap()), 0x0a00_010a);
        assert_eq!(
            hash("1:2:3:4:5:6:7:8".parse().unwrap()),
            0x0001_0002 ^ 0x0003_0004 ^ 0x0005_0006 ^ 0x0007_0008
        );
    }

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
