//! What a process has counted, for the one that follows it: values by name, so that either may know
//! counters that the other does not.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use evenkeel_config as config;
use evenkeel_config::ServerAddress;
use serde::{Deserialize, Serialize};

use crate::change::Cause;
use crate::fitness::{Fitness, Standing};
use crate::generation::Generation;
use crate::session::Frontend;
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
    /// What commands asked of frontends.
    pub frontend_orders: BTreeMap<String, FrontendOrders>,
    /// The process's limit on connections without a command, and as one has it.
    pub maxconn: Option<(u32, u32)>,
}

/// Each with what the file said then: a file that says something else by now wins.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Orders {
    /// Where it was moved.
    pub moved: Option<(Spot, Spot)>,
    /// How many connections it may have; `None`: no limit.
    pub maxconn: Option<(Option<u32>, Option<u32>)>,
    /// What its agent is sent.
    pub agent_send: Option<(Vec<u8>, Vec<u8>)>,
}

/// An address that a command can give a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Spot {
    /// An address and its port.
    Inet(SocketAddr),
    /// The client's port, moved by so much.
    Mapped(IpAddr, i32),
}

impl Spot {
    fn of(address: &ServerAddress) -> Option<Self> {
        match address {
            ServerAddress::Inet(address) => Some(Self::Inet(*address)),
            ServerAddress::Mapped { ip, offset } => Some(Self::Mapped(*ip, *offset)),
            _ => None,
        }
    }
}

impl From<Spot> for ServerAddress {
    fn from(spot: Spot) -> Self {
        match spot {
            Spot::Inet(address) => Self::Inet(address),
            Spot::Mapped(ip, offset) => Self::Mapped { ip, offset },
        }
    }
}

/// What commands asked of a frontend; a reload ends all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FrontendOrders {
    /// `disable frontend`.
    pub is_paused: bool,
    /// `shutdown frontend`.
    pub is_shut: bool,
    /// What the file said of its sessions then, and the limit in force.
    pub maxconn: Option<(Option<u32>, u32)>,
}

impl FrontendOrders {
    /// `usual`: the limit of one whose file names none.
    fn of(frontend: &Frontend, usual: u32) -> Self {
        let (said, now) = (frontend.config.maxconn, frontend.stats.gate.limit());
        Self {
            is_paused: !*frontend.accepts.borrow(),
            is_shut: frontend.shut_down.load(Relaxed),
            maxconn: (now != said.unwrap_or(usual)).then_some((said, now)),
        }
    }

    fn restore(&self, frontend: &Frontend) {
        if self.is_paused {
            frontend.accepts.send_replace(false);
        }
        if self.is_shut {
            frontend.shut_down.store(true, Relaxed);
            frontend.stop.cancel();
        }
        if let Some((said, now)) = self.maxconn
            && frontend.config.maxconn == said
        {
            frontend.stats.gate.set_limit(now);
        }
    }
}

impl Orders {
    fn of(config: &config::Server, fitness: &Fitness) -> Self {
        let places = Spot::of(&config.address).zip(Spot::of(&fitness.address));
        let said = config.load.maxconn;
        let words = config.agent.as_ref().map(|agent| agent.send.to_vec());
        let words = words.map(|said| (said, fitness.places.agent.send.to_vec()));
        Self {
            moved: places.filter(|(said, now)| said != now),
            maxconn: (said != fitness.maxconn).then_some((said, fitness.maxconn)),
            agent_send: words.filter(|(said, now)| said != now),
        }
    }

    fn restore(&self, config: &config::Server, fitness: &mut Fitness) {
        if let Some((said, now)) = self.moved
            && Spot::of(&config.address) == Some(said)
        {
            fitness.address = now.into();
        }
        if let Some((said, now)) = &self.agent_send
            && config
                .agent
                .as_ref()
                .is_some_and(|agent| agent.send[..] == said[..])
        {
            fitness.places.agent.send = now.as_slice().into();
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
    /// `maxconn`: the process's limit where no command set another.
    pub(crate) fn of(process: &ProcessStats, generation: &Generation, maxconn: u32) -> Self {
        let limit = process.gate.limit();
        let mut tallies = Self {
            age: process.epoch.elapsed(),
            process: read(&process.counters(), &process.lasting(), &process.highest()),
            maxconn: (limit != maxconn).then_some((maxconn, limit)),
            ..Self::default()
        };
        for frontend in &generation.frontends {
            let stats = &frontend.stats;
            let counts = read(&stats.counters(), &stats.lasting(), &stats.highest());
            let name = frontend.config.name.clone();
            let orders = FrontendOrders::of(frontend, maxconn);
            if orders != FrontendOrders::default() {
                tallies.frontend_orders.insert(name.clone(), orders);
            }
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
    pub(crate) fn restore(&self, process: &ProcessStats, generation: &Generation, maxconn: u32) {
        write(&self.process, &process.counters(), &process.highest());
        write(&self.process, &process.lasting(), &[]);
        if let Some((said, now)) = self.maxconn
            && said == maxconn
        {
            process.gate.set_limit(now);
        }
        for frontend in &generation.frontends {
            if let Some(orders) = self.frontend_orders.get(&frontend.config.name) {
                orders.restore(frontend);
            }
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

impl Tallies {
    /// What was counted since `told`. What checks found is not among it: the other checks itself.
    #[must_use]
    pub fn since(&self, told: &Self) -> Self {
        let all = |now: &BTreeMap<String, Counts>, told: &BTreeMap<String, Counts>| {
            let grown = now.iter().map(|(name, now)| {
                let told = told.get(name).unwrap_or(&NOTHING);
                (name.clone(), grown(now, told))
            });
            grown.filter(|(_, counts)| !counts.is_empty()).collect()
        };
        let none = BTreeMap::new();
        let servers = self.servers.iter().map(|(name, now)| {
            let told = told.servers.get(name).unwrap_or(&none);
            (name.clone(), all(now, told))
        });
        Self {
            process: grown(&self.process, &told.process),
            frontends: all(&self.frontends, &told.frontends),
            backends: all(&self.backends, &told.backends),
            servers: servers
                .filter(|(_, servers): &(_, BTreeMap<_, _>)| !servers.is_empty())
                .collect(),
            ..Self::default()
        }
    }

    /// Counts what [`since`](Self::since) tells on top of what is there.
    pub(crate) fn add(&self, process: &ProcessStats, generation: &Generation) {
        add(&self.process, &process.counters(), &process.highest());
        add(&self.process, &process.lasting(), &[]);
        for frontend in &generation.frontends {
            if let Some(counts) = self.frontends.get(&frontend.config.name) {
                let stats = &frontend.stats;
                add(counts, &stats.counters(), &stats.highest());
                add(counts, &stats.lasting(), &[]);
            }
        }
        for backend in &generation.backends {
            let name = &backend.config.name;
            if let Some(counts) = self.backends.get(name) {
                add_service(counts, &backend.state.stats);
            }
            let servers = self.servers.get(name);
            for server in &backend.servers {
                if let Some(counts) = servers.and_then(|all| all.get(&server.config.name)) {
                    add_service(counts, &server.state.stats);
                }
            }
        }
    }
}

static NOTHING: Counts = Counts::new();

/// Whether the later value counts rather than the sum of both.
fn is_mark(name: &str) -> bool {
    name.ends_with("_highest") || name == "last_session"
}

/// Whether each process has its own: averages slide, and checks are the other's by then.
fn is_its_own(name: &str) -> bool {
    name.ends_with("_sum") || [DOWNS, DOWN_MS, CHECK_FAILURES, OBSERVED_FAILURES].contains(&name)
}

fn grown(now: &Counts, told: &Counts) -> Counts {
    let theirs = now.iter().filter(|(name, _)| !is_its_own(name));
    let grown = theirs.map(|(name, now)| {
        let told = told.get(name).copied().unwrap_or_default();
        let more = if is_mark(name) && *now > told {
            *now
        } else if is_mark(name) {
            0
        } else {
            now.saturating_sub(told)
        };
        (name.clone(), more)
    });
    grown.filter(|(_, more)| *more > 0).collect()
}

fn add_service(counts: &Counts, stats: &ServiceStats) {
    add(counts, &stats.counters(), &stats.highest());
    add(counts, &stats.lasting(), &[]);
}

fn add(counts: &Counts, counters: &[Counter<'_>], highest: &[Highest<'_>]) {
    for (name, counter) in counters {
        match counts.get(*name) {
            Some(value) if is_mark(name) => drop(counter.fetch_max(*value, Relaxed)),
            Some(value) => drop(counter.fetch_add(*value, Relaxed)),
            None => {}
        }
    }
    for (name, highest) in highest {
        if let Some(value) = counts.get(*name) {
            highest.fetch_max(u32::try_from(*value).unwrap_or(u32::MAX), Relaxed);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    const SERVERS: &str = " server a 127.0.0.1:1\n server b 127.0.0.1:2";

    fn counted(generation: &Generation, process: &ProcessStats) -> Tallies {
        Tallies::of(process, generation, 100)
    }

    #[test]
    fn what_one_process_counts_later_is_added_to_what_another_counts_meanwhile() {
        let (old, new) = (testing::generation(SERVERS), testing::generation(SERVERS));
        let [ours, theirs] = [(), ()].map(|()| ProcessStats::new(100, Duration::ZERO));
        let server = |generation: &Generation| generation.backends[0].servers[0].state.clone();
        server(&old).stats.sessions.store(3, Relaxed);
        let told = counted(&old, &ours);
        told.restore(&theirs, &new, 100);
        server(&old).stats.sessions.store(5, Relaxed);
        server(&old).stats.bytes.add(10, 20);
        server(&old)
            .stats
            .connect_time
            .add(Duration::from_millis(9));
        ours.connections.store(2, Relaxed);
        server(&new).stats.sessions.store(4, Relaxed);

        let more = counted(&old, &ours).since(&told);
        more.add(&theirs, &new);

        let seen = counted(&new, &theirs);
        let of_a = &seen.servers["be"]["a"];
        assert_eq!(
            (of_a["sessions"], of_a["bytes_in"], of_a["bytes_out"]),
            (6, 10, 20)
        );
        assert_eq!(of_a["connect_time_highest"], 9);
        assert_eq!(of_a["connect_time_sum"], 0, "an average is its process's");
        assert_eq!(seen.process["connections"], 2);
        assert!(!more.servers["be"].contains_key("b"), "{more:?}");
        assert_eq!(
            counted(&old, &ours).since(&counted(&old, &ours)),
            Tallies::default()
        );
    }

    #[test]
    fn a_mark_is_known_by_its_name() {
        let process = ProcessStats::new(1, Duration::ZERO);
        let service = ServiceStats::default();
        let frontend = crate::stats::FrontendStats::new(1);
        let marks = [
            &process.highest()[..],
            &service.highest(),
            &frontend.highest(),
        ];
        assert!(marks.concat().iter().all(|(name, _)| is_mark(name)));
        let counters = [
            &process.counters()[..],
            &service.counters(),
            &frontend.counters(),
        ];
        assert!(!counters.concat().iter().any(|(name, _)| is_mark(name)));
    }
}
