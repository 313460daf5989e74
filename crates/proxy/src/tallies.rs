//! What a process has counted, for the one that follows it: values by name, so that either may know
//! counters that the other does not.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use evenkeel_config as config;
use evenkeel_config::ServerAddress;
use serde::{Deserialize, Serialize};

use crate::change::Cause;
use crate::fitness::{Fitness, Standing};
use crate::generation::Generation;
use crate::stats::{Counter, Highest, ProcessStats, ServiceStats};

/// Values by the names of their counters.
pub type Counts = BTreeMap<String, u64>;

/// All that was counted, by the names of sections and servers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tallies {
    /// Since when.
    pub age: Duration,
    /// By the process as a whole.
    pub process: Counts,
    /// By each frontend.
    pub frontends: BTreeMap<String, Counts>,
    /// By each backend.
    pub backends: BTreeMap<String, Counts>,
    /// By each server of each backend.
    pub servers: BTreeMap<String, BTreeMap<String, Counts>>,
    /// What commands asked of servers that `show servers state` does not tell.
    pub orders: BTreeMap<String, BTreeMap<String, Orders>>,
}

/// Each with what the file said then: a file that says something else by now wins.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Orders {
    /// Where it was moved.
    pub address: Option<(SocketAddr, SocketAddr)>,
    /// How many connections it may have; `None`: no limit.
    pub maxconn: Option<(Option<u32>, Option<u32>)>,
}

impl Orders {
    fn of(config: &config::Server, fitness: &Fitness) -> Self {
        let address = match (&config.address, &fitness.address) {
            (ServerAddress::Inet(said), ServerAddress::Inet(now)) if said != now => {
                Some((*said, *now))
            }
            _ => None,
        };
        let said = config.load.maxconn;
        Self {
            address,
            maxconn: (said != fitness.maxconn).then_some((said, fitness.maxconn)),
        }
    }

    fn restore(&self, config: &config::Server, fitness: &mut Fitness) {
        if let Some((said, now)) = self.address
            && config.address == ServerAddress::Inet(said)
        {
            fitness.address = ServerAddress::Inet(now);
        }
        if let Some((said, now)) = self.maxconn
            && config.load.maxconn == said
        {
            fitness.maxconn = now;
        }
    }
}

const DOWNS: &str = "downs";
const DOWN_MS: &str = "down_ms";
const CHECK_FAILURES: &str = "check_failures";
const OBSERVED_FAILURES: &str = "observed_failures";

impl Tallies {
    pub(crate) fn of(process: &ProcessStats, generation: &Generation) -> Self {
        let mut tallies = Self {
            age: process.epoch.elapsed(),
            process: read(&process.counters(), &process.lasting(), &process.highest()),
            ..Self::default()
        };
        for frontend in &generation.frontends {
            let stats = &frontend.stats;
            let counts = read(&stats.counters(), &stats.lasting(), &stats.highest());
            let name = frontend.config.name.clone();
            tallies.frontends.insert(name, counts);
        }
        for backend in &generation.backends {
            let name = &backend.config.name;
            let mut counts = of_service(&backend.state.stats);
            note_standing(&mut counts, &backend.state.standing());
            tallies.backends.insert(name.clone(), counts);
            let servers = tallies.servers.entry(name.clone()).or_default();
            for server in &backend.servers {
                let mut counts = of_service(&server.state.stats);
                let fitness = server.state.fitness();
                note_standing(&mut counts, &fitness.standing);
                counts.insert(CHECK_FAILURES.to_owned(), fitness.check_failures);
                counts.insert(OBSERVED_FAILURES.to_owned(), fitness.observed_failures);
                let orders = Orders::of(&server.config, &fitness);
                servers.insert(server.config.name.clone(), counts);
                if orders != Orders::default() {
                    let backend = tallies.orders.entry(name.clone()).or_default();
                    backend.insert(server.config.name.clone(), orders);
                }
            }
        }
        tallies
    }

    /// Goes on from these; before the generation starts.
    pub(crate) fn restore(&self, process: &ProcessStats, generation: &Generation) {
        write(&self.process, &process.counters(), &process.highest());
        write(&self.process, &process.lasting(), &[]);
        for frontend in &generation.frontends {
            if let Some(counts) = self.frontends.get(&frontend.config.name) {
                let stats = &frontend.stats;
                write(counts, &stats.counters(), &stats.highest());
                write(counts, &stats.lasting(), &[]);
            }
        }
        for backend in &generation.backends {
            let name = &backend.config.name;
            if let Some(counts) = self.backends.get(name) {
                to_service(counts, &backend.state.stats);
                stand(counts, &mut backend.state.standing());
            }
            let orders = self.orders.get(name);
            for server in &backend.servers {
                if let Some(orders) = orders.and_then(|all| all.get(&server.config.name)) {
                    backend.change(server.index, Cause::Handed, |fitness| {
                        orders.restore(&server.config, fitness);
                    });
                }
            }
            let Some(servers) = self.servers.get(name) else {
                continue;
            };
            for server in &backend.servers {
                let Some(counts) = servers.get(&server.config.name) else {
                    continue;
                };
                to_service(counts, &server.state.stats);
                let mut fitness = server.state.fitness();
                stand(counts, &mut fitness.standing);
                let count = |name: &str| counts.get(name).copied().unwrap_or_default();
                fitness.check_failures = count(CHECK_FAILURES);
                fitness.observed_failures = count(OBSERVED_FAILURES);
            }
        }
    }
}

fn of_service(stats: &ServiceStats) -> Counts {
    read(&stats.counters(), &stats.lasting(), &stats.highest())
}

fn to_service(counts: &Counts, stats: &ServiceStats) {
    write(counts, &stats.counters(), &stats.highest());
    write(counts, &stats.lasting(), &[]);
}

fn note_standing(counts: &mut Counts, standing: &Standing) {
    let down = standing.past_downtime().as_millis();
    counts.insert(DOWNS.to_owned(), standing.downs());
    counts.insert(DOWN_MS.to_owned(), u64::try_from(down).unwrap_or(u64::MAX));
}

fn stand(counts: &Counts, standing: &mut Standing) {
    let count = |name: &str| counts.get(name).copied().unwrap_or_default();
    standing.was_down(Duration::from_millis(count(DOWN_MS)), count(DOWNS));
}

fn read(counters: &[Counter<'_>], lasting: &[Counter<'_>], highest: &[Highest<'_>]) -> Counts {
    let counters = counters.iter().chain(lasting);
    let counters = counters.map(|(name, counter)| (*name, counter.load(Relaxed)));
    let highest = highest
        .iter()
        .map(|(name, highest)| (*name, u64::from(highest.load(Relaxed))));
    let all = counters.chain(highest);
    all.map(|(name, value)| (name.to_owned(), value)).collect()
}

/// A name that the other process did not know stays as it is.
fn write(counts: &Counts, counters: &[Counter<'_>], highest: &[Highest<'_>]) {
    for (name, counter) in counters {
        if let Some(value) = counts.get(*name) {
            counter.store(*value, Relaxed);
        }
    }
    for (name, highest) in highest {
        if let Some(value) = counts.get(*name) {
            highest.store(u32::try_from(*value).unwrap_or(u32::MAX), Relaxed);
        }
    }
}
