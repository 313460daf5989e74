//! What becomes of the verdicts of checks, of agents and of clients' connects: they change a
//! server's health, are logged, and are held back where `fail-open` has it so.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use evenkeel_config::{Observation, OnError, ServerAddress};
use evenkeel_health::{
    AgentAdmin, AgentReport, CheckOutcome, CheckStatus, Machine, Record, is_excused, take_verdict,
};
use tokio::sync::Notify;
use tracing::{debug, info, warn};

use crate::backend::Backend;
use crate::change::{Cause, FixedWeight};
use crate::fitness::{AdminState, Fitness, Health};
use crate::log::{CheckChange, Level};

/// The most that a weight can be.
const MOST_WEIGHT: u32 = 256;

/// Failed connects of clients to a server, counted where they happen and judged elsewhere.
#[derive(Debug, Default)]
pub(crate) struct Observer {
    /// In a row.
    errors: AtomicU32,
    /// The limit is reached.
    reached: Notify,
    /// The next check is to come soon.
    pub(crate) hurry: Notify,
}

impl Observer {
    /// Takes note of a connect.
    pub(crate) fn note(&self, observation: Option<Observation>, has_connected: bool) {
        let Some(observation) = observation else {
            return;
        };
        if has_connected {
            if self.errors.load(Relaxed) > 0 {
                self.errors.store(0, Relaxed);
            }
        } else if self.errors.fetch_add(1, Relaxed) + 1 >= observation.error_limit {
            self.reached.notify_one();
        }
    }

    /// Waits until there were too many failures; returns how many, and begins to count anew.
    pub(crate) async fn too_many(&self, limit: u32) -> u32 {
        loop {
            self.reached.notified().await;
            let errors = self.errors.swap(0, Relaxed);
            if errors >= limit {
                return errors;
            }
        }
    }
}

/// Whether servers stay in use although no check passes.
#[derive(Debug, Default)]
pub(crate) struct FailOpen {
    is_open: AtomicBool,
    times: AtomicU64,
}

impl FailOpen {
    pub(crate) fn is_open(&self) -> bool {
        self.is_open.load(Relaxed)
    }

    /// How often it began.
    pub(crate) fn times(&self) -> u64 {
        self.times.load(Relaxed)
    }
}

impl Backend {
    /// Takes in what a check of the server at `index` found; returns what it makes of the server.
    pub(crate) fn take(&self, index: usize, outcome: &CheckOutcome) -> Option<Machine> {
        let now = Instant::now();
        let passed = outcome.is_pass();
        let is_excused = self.config.health.fail_open && {
            let mut record = self.servers[index].state.fitness().record;
            record.note(passed, now);
            is_excused(outcome, &record, self.usable_records(index).iter())
        };
        self.tell_cause(index, outcome);
        self.tell_check(index, CheckSource::Check, outcome, |machine| {
            take_verdict(machine, passed, is_excused);
        });
        let machine = self.change(index, self.cause(outcome), |fitness| {
            if !passed && fitness.machine()?.health() > 0 {
                fitness.check_failures += 1;
            }
            fitness.record.note(passed, now);
            let machine = fitness.machine_mut()?;
            let is_held = take_verdict(machine, passed, is_excused);
            let machine = *machine;
            fitness.is_held = is_held;
            if passed {
                fitness.forget_disabled_agent();
            }
            fitness.is_stopping = fitness.is_stopping && !passed
                || outcome.status == CheckStatus::L7OkConditional && machine.is_up();
            fitness.last_check = Some(outcome.clone());
            Some(machine)
        });
        if self.config.health.fail_open {
            self.note_fail_open();
        }
        machine
    }

    /// The records of the usable servers beside the one at `index`.
    fn usable_records(&self, index: usize) -> Vec<Record> {
        let others = self.servers.iter().filter(|server| server.index != index);
        others
            .map(|server| server.state.fitness())
            .filter(|fitness| is_in_use(fitness))
            .map(|fitness| fitness.record)
            .collect()
    }

    /// Says when servers begin to be used, or no longer are, that pass no check.
    fn note_fail_open(&self) {
        let mut is_held = false;
        let mut passes = false;
        for server in &self.servers {
            let fitness = server.state.fitness();
            if is_in_use(&fitness) {
                is_held |= fitness.is_held;
                passes |= fitness.record.passes();
            }
        }
        let is_open = is_held && !passes;
        let state = &self.state.fail_open;
        if state.is_open.swap(is_open, Relaxed) == is_open {
            return;
        }
        let name = &self.config.name;
        if is_open {
            state.times.fetch_add(1, Relaxed);
            let message = format!(
                "backend {name} fails open: no server passes its check, but they accept \
                 connections and stay in use."
            );
            self.log.send(Level::Alert, &message);
            warn!("{message}");
        } else {
            let message = format!("backend {name} no longer fails open.");
            self.log.send(Level::Notice, &message);
            info!("{message}");
        }
    }

    /// Says for the operator of this machine what broke a check, the first time that it does.
    fn tell_cause(&self, index: usize, outcome: &CheckOutcome) {
        let Some(cause) = &outcome.cause else {
            return;
        };
        let server = &self.servers[index];
        let is_known = {
            let fitness = server.state.fitness();
            let last = fitness.last_check.as_ref();
            last.is_some_and(|last| last.cause.as_ref() == Some(cause))
        };
        if !is_known {
            let (backend, server) = (&self.config.name, &server.config.name);
            warn!("the check of server {backend}/{server} is broken off: {cause}");
        }
    }

    /// Why a server changes, as its line tells: with `option log-health-checks` the check has told.
    fn cause<'c>(&self, outcome: &'c CheckOutcome) -> Cause<'c> {
        if self.config.health.log_changes {
            Cause::Admin
        } else {
            Cause::Check(outcome)
        }
    }

    /// `option log-health-checks`: tells of a check whose verdict is another than the last one, or
    /// which changes what is thought of the server.
    fn tell_check(
        &self,
        index: usize,
        source: CheckSource,
        outcome: &CheckOutcome,
        apply: impl FnOnce(&mut Machine),
    ) {
        if !self.config.health.log_changes {
            return;
        }
        let server = &self.servers[index];
        let (machine, last) = {
            let fitness = server.state.fitness();
            match source {
                CheckSource::Check => (fitness.machine(), fitness.last_check.clone()),
                CheckSource::Agent => (fitness.agent, fitness.last_agent.clone()),
            }
        };
        let Some(before) = machine else {
            return;
        };
        let mut after = before;
        apply(&mut after);
        let is_news = last.is_none_or(|last| last.status != outcome.status);
        if !is_news && before.health() == after.health() {
            return;
        }
        let message = CheckChange {
            source: match source {
                CheckSource::Check => "Health",
                CheckSource::Agent => "Agent",
            },
            is_backup: server.config.backup,
            backend: &self.config.name,
            server: &server.config.name,
            outcome,
            machine: after,
        }
        .to_string();
        self.log.send(Level::Notice, &message);
        if outcome.is_pass() {
            info!("{message}");
        } else {
            warn!("{message}");
        }
    }

    /// Takes in what the agent of the server at `index` said.
    pub(crate) fn take_agent(&self, index: usize, report: &AgentReport) {
        let said = &report.said;
        if let Some(admin) = said.admin {
            self.set_admin(
                index,
                match admin {
                    AgentAdmin::Ready => AdminState::Ready,
                    AgentAdmin::Drain => AdminState::Drain,
                    AgentAdmin::Maint => AdminState::Maint,
                },
            );
        }
        if let Some(percent) = said.weight_percent {
            let configured = self.servers[index].state.fitness().configured_weight();
            let weight = u32::from(configured).saturating_mul(percent) / 100;
            let weight = weight.min(MOST_WEIGHT) as u16;
            if let Err(FixedWeight) = self.set_weight(index, weight) {
                let server = &self.servers[index].config.name;
                debug!(
                    "backend {}: the agent of server {server} asks for {percent}% of its weight, \
                     which its balance algorithm cannot give",
                    self.config.name
                );
            }
        }
        if let Some(maxconn) = said.maxconn {
            self.set_maxconn(index, Some(maxconn).filter(|maxconn| *maxconn > 0));
        }
        let Some(outcome) = &report.outcome else {
            self.servers[index].state.fitness().agent_has_no_verdict = true;
            return;
        };
        // An agent that cannot be asked says nothing of its server.
        let verdict = said.health.is_some();
        self.tell_check(index, CheckSource::Agent, outcome, |agent| {
            if verdict {
                agent.on(outcome.is_pass());
            }
        });
        self.change(index, self.cause(outcome), |fitness| {
            if let Some(agent) = fitness.agent.as_mut()
                && verdict
            {
                agent.on(outcome.is_pass());
                fitness.take_agent_word(outcome.is_pass());
            }
            fitness.last_agent = Some(outcome.clone());
            fitness.agent_has_no_verdict = false;
        });
    }

    /// Takes in that `errors` connects of clients in a row failed.
    pub(crate) fn take_errors(&self, index: usize, observation: Observation, errors: u32) {
        let server = &self.servers[index];
        let machine = server.state.fitness().machine();
        let Some(machine) = machine.filter(Machine::is_up) else {
            return;
        };
        server.state.fitness().observed_failures += 1;
        let after = match observation.on_error {
            OnError::FastInter => None,
            OnError::FailCheck => Some(failed(machine)),
            OnError::SuddenDeath => Some(failed(machine.near_its_end())),
            OnError::MarkDown => Some(machine.surely(false)),
        };
        if let Some(after) = after {
            let outcome = CheckOutcome {
                status: CheckStatus::HealthAnalyze,
                info: format!(
                    "Detected {errors} consecutive errors, last one was: L4 unsuccessful connection"
                ),
                code: None,
                has_connected: false,
                cause: None,
                duration: Duration::ZERO,
            };
            self.tell_check(index, CheckSource::Check, &outcome, |machine| {
                *machine = after
            });
            self.change(index, self.cause(&outcome), |fitness| {
                if let Some(machine) = fitness.machine_mut() {
                    *machine = after;
                }
                fitness.check_failures += 1;
                fitness.is_held = false;
                fitness.last_check = Some(outcome.clone());
            });
        }
        if observation.on_error != OnError::MarkDown {
            server.state.observer.hurry.notify_one();
        }
    }

    /// `X-Haproxy-Server-State` of the server at `index`, as `http-check send-state` sends it.
    pub(crate) fn state_header(&self, index: usize) -> String {
        let server = &self.servers[index];
        let fitness = server.state.fitness().clone();
        let state = match fitness.machine() {
            None => "no check".to_owned(),
            Some(machine) => progress(machine, fitness.health()),
        };
        let address = server.state.address(&server.config.address);
        let (host, port) = match &address {
            ServerAddress::Inet(address) => (address.ip().to_string(), address.port().to_string()),
            ServerAddress::Mapped { ip, .. } => (ip.to_string(), "0".to_owned()),
            ServerAddress::Unix(_) | ServerAddress::Abstract(_) => {
                ("unix".to_owned(), "unix".to_owned())
            }
        };
        let weights: u32 = self
            .servers
            .iter()
            .map(|server| server.state.fitness())
            .filter(|fitness| is_in_use(fitness))
            .map(|fitness| u32::from(fitness.weight))
            .sum();
        let (queued, _) = self.state.queue.level(Some(&*server.state));
        format!(
            "{state}; address={host}; port={port}; name={}/{}; node={}; weight={}/{weights}; \
             scur={}/{}; qcur={queued}",
            self.config.name,
            server.config.name,
            server
                .config
                .check
                .as_ref()
                .map_or("", |check| check.script.node.as_str()),
            fitness.weight,
            server.state.stats.open.now(),
            self.state.stats.open.now(),
        )
    }
}

/// Who gives a verdict.
#[derive(Clone, Copy)]
enum CheckSource {
    Check,
    Agent,
}

fn is_in_use(fitness: &Fitness) -> bool {
    fitness.view().is_usable() && fitness.weight > 0
}

fn failed(mut machine: Machine) -> Machine {
    machine.on(false);
    machine
}

/// `UP`, `UP 1/3`, `DOWN 1/2`, ...: how far it is from another state.
fn progress(machine: Machine, health: Health) -> String {
    let name = match health {
        Health::Up => "UP",
        Health::Stopping => "NOLB",
        Health::Down => "DOWN",
    };
    if !machine.is_up() {
        return match machine.health() {
            0 => "DOWN".to_owned(),
            health => format!("DOWN {health}/{}", machine.rise()),
        };
    }
    if machine.health() == machine.top() {
        return name.to_owned();
    }
    let steps = machine.health() - machine.rise() + 1;
    format!("{name} {steps}/{}", machine.fall())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Captured from HAProxy 3.0, `rise 2 fall 3`.
    #[test]
    fn progress_is_told_as_haproxy_tells_it() {
        let mut machine = Machine::new(2, 3);
        let mut said = vec![progress(machine, Health::Up)];
        for passed in [true, false, false, false, true] {
            machine.on(passed);
            let health = if machine.is_up() {
                Health::Up
            } else {
                Health::Down
            };
            said.push(progress(machine, health));
        }
        assert_eq!(
            said,
            ["UP 1/3", "UP", "UP 2/3", "UP 1/3", "DOWN", "DOWN 1/2"]
        );
    }

    #[test]
    fn errors_in_a_row_are_counted_and_a_success_ends_the_row() {
        let observation = Some(Observation {
            error_limit: 3,
            on_error: OnError::MarkDown,
        });
        let observer = Observer::default();
        for has_connected in [false, false, true, false, false] {
            observer.note(observation, has_connected);
        }
        assert_eq!(observer.errors.load(Relaxed), 2);
        observer.note(None, false);
        assert_eq!(observer.errors.load(Relaxed), 2);
    }
}
