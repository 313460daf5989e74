//! One server while it runs: what outlives a reload (health, counters), and what belongs to one
//! generation (its configuration, the signals that end its connections).

use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::{Duration, Instant};

use evenkeel_config as config;
use evenkeel_health::{CheckOutcome, Machine, Report};

use crate::cut::Cut;
use crate::stats::ServiceStats;

/// Since when something is up or down, and for how long it was down before.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing {
    is_up: bool,
    since: Instant,
    downtime: Duration,
    downs: u64,
}

impl Standing {
    pub(crate) fn new(is_up: bool, now: Instant) -> Self {
        Self {
            is_up,
            since: now,
            downtime: Duration::ZERO,
            downs: 0,
        }
    }

    /// Takes note of a change; returns whether it was one.
    pub(crate) fn turn(&mut self, is_up: bool, now: Instant) -> bool {
        if self.is_up == is_up {
            return false;
        }
        if is_up {
            self.downtime += now - self.since;
        } else {
            self.downs += 1;
        }
        (self.is_up, self.since) = (is_up, now);
        true
    }

    pub(crate) fn is_up(&self) -> bool {
        self.is_up
    }

    pub(crate) fn last_change(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.since)
    }

    pub(crate) fn downtime(&self, now: Instant) -> Duration {
        let current = if self.is_up {
            Duration::ZERO
        } else {
            self.last_change(now)
        };
        self.downtime + current
    }

    pub(crate) fn downs(&self) -> u64 {
        self.downs
    }
}

/// What the checks said of a server so far.
#[derive(Clone, Debug)]
pub(crate) struct Fitness {
    /// `None`: not checked.
    pub(crate) machine: Option<Machine>,
    pub(crate) last_check: Option<CheckOutcome>,
    pub(crate) check_failures: u64,
    pub(crate) standing: Standing,
}

impl Fitness {
    pub(crate) fn is_up(&self) -> bool {
        self.standing.is_up()
    }
}

/// What of a server outlives a reload: found again by backend, name and address.
#[derive(Debug)]
pub(crate) struct ServerState {
    pub(crate) stats: ServiceStats,
    fitness: Mutex<Fitness>,
    /// The server in each generation that still has connections.
    members: Mutex<Vec<Weak<Server>>>,
}

impl ServerState {
    pub(crate) fn new(server: &config::Server, now: Instant) -> Self {
        let machine = server
            .check
            .as_ref()
            .map(|check| Machine::new(check.rise, check.fall));
        Self {
            stats: ServiceStats::default(),
            fitness: Mutex::new(Fitness {
                machine,
                last_check: None,
                check_failures: 0,
                standing: Standing::new(!server.disabled, now),
            }),
            members: Mutex::default(),
        }
    }

    /// Fits carried health to a configuration that may have changed.
    pub(crate) fn adapt(&self, server: &config::Server, now: Instant) {
        let mut fitness = self.fitness();
        fitness.machine = server.check.as_ref().map(|check| match fitness.machine {
            Some(machine) => machine.with_thresholds(check.rise, check.fall),
            None => Machine::new(check.rise, check.fall),
        });
        let is_up = !server.disabled && fitness.machine.as_ref().is_none_or(Machine::is_up);
        fitness.standing.turn(is_up, now);
    }

    pub(crate) fn fitness(&self) -> MutexGuard<'_, Fitness> {
        self.fitness
            .lock()
            .expect("no panic while health is locked")
    }

    /// Takes in a check's report; returns whether the server went up or down.
    pub(crate) fn take(&self, report: &Report, now: Instant) -> bool {
        let mut fitness = self.fitness();
        fitness.machine = Some(report.machine);
        if !report.outcome.is_pass() {
            fitness.check_failures += 1;
        }
        fitness.last_check = Some(report.outcome.clone());
        fitness.standing.turn(report.machine.is_up(), now)
    }

    /// Ends what a DOWN mark ends, in every generation.
    pub(crate) fn went_down(&self) {
        for server in self.members() {
            server.went_down();
        }
    }

    fn members(&self) -> Vec<Arc<Server>> {
        let mut members = self
            .members
            .lock()
            .expect("no panic while members are locked");
        members.retain(|member| member.strong_count() > 0);
        members.iter().filter_map(Weak::upgrade).collect()
    }
}

/// A server as one generation knows it.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) config: config::Server,
    /// Its place in the backend.
    pub(crate) index: usize,
    pub(crate) state: Arc<ServerState>,
    signals: Mutex<Signals>,
    /// Cancelled when the whole generation is to end.
    kill: Cut,
}

/// What ends connections of a server; renewed after each DOWN.
#[derive(Clone, Debug)]
pub(crate) struct Signals {
    /// Ends connects in flight.
    pub(crate) dialing: Cut,
    /// Ends established sessions.
    pub(crate) sessions: Cut,
}

impl Signals {
    fn new(kill: &Cut) -> Self {
        Self {
            dialing: kill.child(),
            sessions: kill.child(),
        }
    }
}

impl Server {
    pub(crate) fn new(
        config: config::Server,
        index: usize,
        state: Arc<ServerState>,
        kill: &Cut,
    ) -> Arc<Self> {
        let server = Arc::new(Self {
            config,
            index,
            state,
            signals: Mutex::new(Signals::new(kill)),
            kill: kill.clone(),
        });
        let mut members = server
            .state
            .members
            .lock()
            .expect("no panic while members are locked");
        members.retain(|member| member.strong_count() > 0);
        members.push(Arc::downgrade(&server));
        drop(members);
        server
    }

    pub(crate) fn signals(&self) -> Signals {
        self.signals
            .lock()
            .expect("no panic while signals are locked")
            .clone()
    }

    /// Abandons connects in flight, and sessions where the configuration says so.
    fn went_down(&self) {
        let mut signals = self
            .signals
            .lock()
            .expect("no panic while signals are locked");
        let fresh = Signals::new(&self.kill);
        let old = std::mem::replace(&mut signals.dialing, fresh.dialing);
        old.cut();
        if self.config.on_marked_down == config::OnMarkedDown::ShutdownSessions {
            let old = std::mem::replace(&mut signals.sessions, fresh.sessions);
            old.cut();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn downtime_adds_up_over_outages() {
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        let mut standing = Standing::new(true, start);
        assert!(!standing.turn(true, at(1)));
        assert!(standing.turn(false, at(2)));
        assert_eq!(standing.downtime(at(5)), Duration::from_secs(3));
        assert!(standing.turn(true, at(6)));
        assert!(standing.turn(false, at(10)));
        assert_eq!(standing.downtime(at(11)), Duration::from_secs(5));
        assert_eq!(standing.last_change(at(11)), Duration::from_secs(1));
        assert_eq!(standing.downs(), 2);
    }
}
