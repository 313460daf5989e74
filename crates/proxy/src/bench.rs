//! What the project's own benches and fuzz targets reach of this crate; no part of what it offers.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};

use evenkeel_config::{Balance, Hashing, NodeKey, ServerAddress};

use crate::balance::{Ends, Entry, Picker, node_key};

/// A picker under load: as many open connections as there are servers.
pub struct Traffic {
    picker: Picker,
    open: VecDeque<usize>,
    client: u32,
}

impl Traffic {
    /// Servers of sixteen different weights, none of the same as its neighbour.
    #[must_use]
    pub fn new(balance: &Balance, hashing: Hashing, servers: usize) -> Self {
        let address = ServerAddress::Unix("/".into());
        let entries: Vec<Entry> = (0..servers as u32)
            .map(|n| Entry {
                weight: 10 + (n * 7 % 16) as u16,
                backup: false,
                usable: true,
                full: false,
                id: n + 1,
                node_key: node_key(NodeKey::Id, n + 1, &address),
            })
            .collect();
        let rng = fastrand::Rng::with_seed(1);
        let mut traffic = Self {
            picker: Picker::new(balance, hashing, &entries, false, rng),
            open: VecDeque::with_capacity(servers + 1),
            client: 0,
        };
        for _ in 0..servers {
            traffic.come();
        }
        traffic
    }

    /// The oldest connection ends and a new one, of another client, is given a server.
    pub fn turn(&mut self) -> usize {
        let oldest = self.open.pop_front();
        self.picker
            .closed(oldest.expect("as many are open as there are servers"));
        self.come()
    }

    /// A server goes down or comes back.
    pub fn set_usable(&mut self, server: usize, usable: bool) {
        self.picker.set_usable(server, usable);
    }

    fn come(&mut self) -> usize {
        // Addresses that differ in all their bits.
        self.client = self.client.wrapping_add(0x9e37_79b9);
        let ends = Ends {
            source: Some(SocketAddr::new(Ipv4Addr::from_bits(self.client).into(), 1)),
            destination: None,
        };
        let server = self.picker.pick(&ends, None);
        let server = server.expect("at most one server of several is down");
        self.picker.opened(server);
        self.open.push_back(server);
        server
    }
}

/// Takes `bytes` for the beginning of a connection that is to begin with a PROXY protocol header.
///
/// # Panics
/// It depends on the pieces in which they come, or more is claimed than there is.
pub fn hold_header(bytes: &[u8]) {
    crate::greeting::hold(bytes);
}
