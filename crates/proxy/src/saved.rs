//! What a restart takes over of a server.

use std::time::{Duration, Instant};

use evenkeel_config::ServerAddress;

use crate::change::Cause;
use crate::fitness::Fitness;
use crate::generation::Generation;

/// What was known of a server when an earlier process wrote it down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedServer {
    /// What its checks and commands made of it.
    pub health: SavedHealth,
    /// Whether a command put it in maintenance.
    pub is_maint: bool,
    /// Whether a command has it drain.
    pub is_drain: bool,
    /// The weight in force, and the file's of then: another one now wins.
    pub weight: (u16, u16),
    /// Since it last went up or down.
    pub last_change: Duration,
    /// Its port; `None`: the file's.
    pub port: Option<u16>,
}

/// What a server was fit for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SavedHealth {
    /// It took clients.
    Up,
    /// It took no new ones.
    Stopping,
    /// It took none.
    Down,
}

impl Generation {
    /// Takes over what is saved, each by the places of backend and server; before it starts.
    pub(crate) fn restore(&self, saved: &[(usize, usize, SavedServer)]) {
        let now = Instant::now();
        for (backend, server, saved) in saved {
            let Some(backend) = self.backends.get(*backend) else {
                continue;
            };
            if *server < backend.servers.len() {
                backend.change(*server, Cause::Admin, |fitness| {
                    restore(fitness, saved, now)
                });
                let state = &backend.servers[*server].state;
                let since = now.checked_sub(saved.last_change);
                state.fitness().standing.began(since.unwrap_or(now));
            }
        }
    }
}

fn restore(fitness: &mut Fitness, saved: &SavedServer, _: Instant) {
    fitness.admin.forced_maint = saved.is_maint;
    fitness.admin.forced_drain = saved.is_drain;
    let (weight, configured) = saved.weight;
    if configured == fitness.configured_weight() {
        fitness.weight = weight;
    }
    if let (Some(port), ServerAddress::Inet(address)) = (saved.port, &mut fitness.address) {
        address.set_port(port);
    }
    fitness.is_stopping = saved.health == SavedHealth::Stopping;
    // In maintenance it is down whatever its checks found.
    if !saved.is_maint && saved.health == SavedHealth::Down {
        fitness.machine = fitness.machine.map(|machine| machine.surely(false));
    }
}
