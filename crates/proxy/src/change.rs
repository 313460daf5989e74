//! Makes every change to a server's state take effect: in the pickers of every generation, on its
//! connections, in counters, in logs, and on the servers that track it.

use std::sync::PoisonError;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use evenkeel_config::{OnMarkedUp, ServerAddress};
use evenkeel_health::{CheckOutcome, CheckStatus, Machine};
use tracing::{error, info, warn};

use crate::backend::Backend;
use crate::fitness::{AdminState, Fitness, Health};
use crate::log::{self, Level, Transition};
use crate::server::Server;
use crate::slowstart;

/// Why a server changes, as its log line tells.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cause<'a> {
    /// A check, or an agent, found this.
    Check(&'a CheckOutcome),
    /// `set server ... health`.
    Command,
    /// The server that it tracks changed: this one, as `backend/server`.
    Tracked(&'a str),
    /// Nothing that a line would tell: administrative changes say themselves what they are.
    Admin,
    /// Its name has an address, or no longer.
    Resolution {
        /// Why, in words.
        why: &'a str,
        /// The name that was looked up.
        host: &'a str,
    },
}

impl Backend {
    /// Changes the state of the server at `index`; everything else follows from what `change`
    /// does to its [`Fitness`].
    pub(crate) fn change<T>(
        &self,
        index: usize,
        cause: Cause<'_>,
        change: impl FnOnce(&mut Fitness) -> T,
    ) -> T {
        let now = Instant::now();
        let server = &self.servers[index];
        let (result, leader) = {
            let _in_order = self
                .state
                .changing
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            let (before, result, after) = server.state.change(|fitness| {
                let before = fitness.view();
                let result = change(fitness);
                if before.admin.is_maint() && !fitness.admin.is_maint() {
                    fitness.start_over();
                }
                let is_up = fitness.is_up();
                if fitness.standing.turn(is_up, now) {
                    fitness.starting = (is_up && fitness.load.slowstart.is_some()).then_some(now);
                }
                (before, result, fitness.clone())
            });
            let view = after.view();
            self.tell_pickers(server, &after, now);
            if after.starting.is_some() {
                server.state.starts.notify_one();
            }
            let requeued = self.requeue(&server.state);
            if before.is_up() && !view.is_up() {
                server.state.went_down();
            }
            if !before.is_usable()
                && view.is_usable()
                && server.config.on_marked_up == OnMarkedUp::ShutdownBackupSessions
            {
                self.shutdown_backup_sessions();
            }
            if before != view {
                let transition = Transition {
                    before,
                    after: view,
                    cause,
                };
                self.announce(server, &transition, requeued, now);
            }
            (result, after)
        };
        self.tell_followers(server, &leader);
        result
    }

    /// Tells the pickers of every generation what the server can take now.
    fn tell_pickers(&self, server: &Server, fitness: &Fitness, now: Instant) {
        self.for_each_generation(&server.state, |backend, index| {
            let is_rescaled = backend.rescale();
            let scale = backend.scale.load(Relaxed);
            let weights: Vec<u16> = if is_rescaled {
                let servers = backend.servers.iter();
                servers
                    .map(|server| slowstart::weight(&server.state.fitness(), scale, now))
                    .collect()
            } else {
                Vec::new()
            };
            let mut picker = backend.picker();
            for (index, weight) in weights.into_iter().enumerate() {
                picker.set_weight(index, weight);
            }
            picker.set_weight(index, slowstart::weight(fitness, scale, now));
            picker.set_usable(index, fitness.view().is_usable());
        });
    }

    /// Ends the sessions on backups: a server is back.
    fn shutdown_backup_sessions(&self) {
        let backups = self.servers.iter().filter(|server| server.config.backup);
        for server in backups {
            server.state.shutdown_sessions();
        }
    }

    /// Logs what changed, and the end of the backend with its last server.
    fn announce(&self, server: &Server, transition: &Transition<'_>, requeued: u32, now: Instant) {
        let is_lost = !transition.after.is_up();
        let (queued, _) = self.state.queue.level(is_lost.then_some(&*server.state));
        let (active, backup) = {
            let picker = self.picker();
            (picker.active_servers(), picker.backup_servers())
        };
        let scene = log::Scene {
            backend: &self.config.name,
            server: &server.config.name,
            is_backup: server.config.backup,
            active_servers: active,
            backup_servers: backup,
            sessions: server.state.stats.open.now(),
            requeued,
            queued,
        };
        for (level, message) in transition.messages(&scene) {
            self.log.send(level, &message);
            if level <= Level::Alert {
                warn!("{message}");
            } else {
                info!("{message}");
            }
        }
        if self.note_standing(now) && !self.is_up() {
            let message = log::no_server_available(&self.config.name);
            self.log.send(Level::Emerg, &message);
            error!("{message}");
        }
    }

    /// Has the servers that track this one do as it does.
    fn tell_followers(&self, server: &Server, leader: &Fitness) {
        let followers = server.followers.get().map_or(&[][..], Vec::as_slice);
        if followers.is_empty() {
            return;
        }
        let name = format!("{}/{}", self.config.name, server.config.name);
        for follower in followers {
            if let Some(backend) = follower.backend.upgrade() {
                backend.change(follower.index, Cause::Tracked(&name), |fitness| {
                    fitness.follow(leader);
                });
            }
        }
    }

    /// Has the servers that track this one do as it does now.
    pub(crate) fn tell_followers_again(&self, index: usize) {
        let server = &self.servers[index];
        let fitness = server.state.fitness().clone();
        self.tell_followers(server, &fitness);
    }

    /// Takes in what a check of the server at `index` found; returns what it makes of the server.
    pub(crate) fn take(&self, index: usize, outcome: &CheckOutcome) -> Option<Machine> {
        self.change(index, Cause::Check(outcome), |fitness| {
            let machine = fitness.machine.as_mut()?;
            machine.on(outcome.is_pass());
            if outcome.is_pass() {
                fitness.is_stopping = outcome.status == CheckStatus::L7OkConditional;
            } else {
                fitness.check_failures += 1;
            }
            fitness.last_check = Some(outcome.clone());
            fitness.machine
        })
    }

    /// Takes in what the agent of the server at `index` said of its health.
    pub(crate) fn take_agent(&self, index: usize, outcome: &CheckOutcome) -> Option<Machine> {
        self.change(index, Cause::Check(outcome), |fitness| {
            let agent = fitness.agent.as_mut()?;
            agent.on(outcome.is_pass());
            fitness.last_agent = Some(outcome.clone());
            fitness.agent
        })
    }

    /// `set server ... state`, `enable server`, `disable server`, and what an agent says.
    pub(crate) fn set_admin(&self, index: usize, state: AdminState) {
        self.change(index, Cause::Admin, |fitness| fitness.set_admin(state));
    }

    /// `set server ... health`.
    pub(crate) fn set_health(&self, index: usize, health: Health) {
        self.change(index, Cause::Command, |fitness| fitness.set_health(health));
    }

    /// `set weight`, and what an agent says (0-256).
    pub(crate) fn set_weight(&self, index: usize, weight: u16) {
        self.change(index, Cause::Admin, |fitness| fitness.weight = weight);
    }

    /// `set maxconn server`, and what an agent says; `None`: no limit.
    pub(crate) fn set_maxconn(&self, index: usize, maxconn: Option<u32>) {
        self.change(index, Cause::Admin, |fitness| fitness.maxconn = maxconn);
    }

    /// `set server ... addr`, and what a resolver found. Connections that exist stay.
    pub(crate) fn set_address(&self, index: usize, address: ServerAddress) {
        self.change(index, Cause::Admin, |fitness| fitness.address = address);
    }

    /// A resolver found the server's name, `host`, to have an address, or to have none any longer.
    pub(crate) fn set_resolved(&self, index: usize, is_resolved: bool, why: &str, host: &str) {
        self.change(index, Cause::Resolution { why, host }, |fitness| {
            fitness.admin.unresolved = !is_resolved;
        });
    }

    /// `enable health`, `disable health`.
    pub(crate) fn enable_checks(&self, index: usize, enabled: bool) {
        self.change(index, Cause::Admin, |fitness| {
            fitness.checks_enabled = enabled;
        });
    }

    /// `enable agent`, `disable agent`.
    pub(crate) fn enable_agent(&self, index: usize, enabled: bool) {
        self.change(index, Cause::Admin, |fitness| {
            fitness.agent_enabled = enabled;
        });
    }

    /// `shutdown sessions server`.
    pub(crate) fn shutdown_sessions(&self, index: usize) {
        self.servers[index].state.shutdown_sessions();
    }
}
