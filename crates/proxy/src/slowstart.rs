//! `slowstart`: a server that comes back gets its weight and its limit little by little.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::backend::Backend;
use crate::change::Cause;
use crate::fitness::Fitness;
use crate::server::Server;

/// Steps in which a server comes up, and the most and the least time that one takes.
const STEPS: u32 = 20;
const LONGEST_STEP: Duration = Duration::from_secs(1);
const SHORTEST_STEP: Duration = Duration::from_millis(10);

/// Steps that a server of weight 1 has to climb, as in HAProxy.
const FINEST: u16 = 16;

/// The largest weight that a picker takes.
const HEAVIEST: u16 = 256;

/// What weights are multiplied with where servers come up slowly.
pub(crate) fn scale(servers: &[Arc<Server>]) -> u16 {
    let mut slow = servers.iter();
    if !slow.any(|server| server.config.load.slowstart.is_some()) {
        return 1;
    }
    let weights = servers.iter().map(|server| server.state.fitness().weight);
    let heaviest = weights.max().unwrap_or(1).max(1);
    (HEAVIEST / heaviest).clamp(1, FINEST)
}

/// What a picker is told of a server's weight now.
///
/// Where weights are `fixed` ([`is_static`](evenkeel_config::Balance::is_static)), a server has its weight at once.
pub(crate) fn weight(fitness: &Fitness, scale: u16, fixed: bool, now: Instant) -> u16 {
    let full = u32::from(fitness.weight.min(HEAVIEST)) * u32::from(scale);
    let percent = if fixed { 100 } else { fitness.percent(now) };
    let share = (full * u32::from(percent)).div_ceil(100);
    u16::try_from(share.min(u32::from(HEAVIEST))).unwrap_or(HEAVIEST)
}

impl Backend {
    /// Brings up the server at `index` whenever it comes back; runs as long as the generation is
    /// in force.
    pub(crate) async fn bring_up(self: Arc<Self>, index: usize) {
        let server = self.servers[index].clone();
        loop {
            let started = server.state.starts.notified();
            if let Some(step) = self.step(&server) {
                sleep(step).await;
                self.change(index, Cause::Admin, |fitness| {
                    if fitness.percent(Instant::now()) == 100 {
                        fitness.starting = None;
                    }
                });
            } else {
                started.await;
            }
        }
    }

    /// How long the next step takes; `None`: the server is not on its way up.
    fn step(&self, server: &Server) -> Option<Duration> {
        let fitness = server.state.fitness();
        fitness.starting?;
        let takes = fitness.load.slowstart?;
        Some((takes / STEPS).clamp(SHORTEST_STEP, LONGEST_STEP))
    }

    /// Sees to it that weights have room for the steps of slowstart; tells whether that changed
    /// what every server's weight is to its picker.
    pub(crate) fn rescale(&self) -> bool {
        let scale = scale(&self.servers);
        self.scale.swap(scale, Relaxed) != scale
    }

    /// What a picker of this generation is told of a server's weight now.
    pub(crate) fn weight(&self, fitness: &Fitness, now: Instant) -> u16 {
        let fixed = self.config.balance.is_static(&self.config.hashing);
        weight(fitness, self.scale.load(Relaxed), fixed, now)
    }

    /// The weights of all servers that share the load, as the operator knows them.
    pub(crate) fn total_weight(&self) -> u32 {
        let scale = u32::from(self.scale.load(Relaxed));
        self.picker().total_weight().div_ceil(scale)
    }
}
