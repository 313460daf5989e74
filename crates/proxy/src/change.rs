//! Makes every change to a server's state take effect: in the pickers of every generation, on its
//! connections, in counters, in logs, and on the servers that track it.

use std::sync::PoisonError;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use evenkeel_config::{OnMarkedUp, ServerAddress};
use evenkeel_health::CheckOutcome;
use tracing::{error, info, warn};

use crate::backend::Backend;
use crate::balance::node_key;
use crate::end::End;
use crate::fitness::{AdminState, Fitness, Health};
use crate::log::{self, Level, Transition};
use crate::places::Places;
use crate::server::Server;

/// Why a server changes, as its log line tells.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cause<'a> {
    /// A check, or an agent, found this.
    Check(&'a CheckOutcome),
    /// `set server ... health`.
    Command,
    /// A restart took over what an earlier process wrote down.
    Saved,
    /// An upgrade took over how it was.
    Handed,
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

/// The balance algorithm takes no other weight than the file's, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FixedWeight;

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
        let result = {
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
                fitness.standing.turn(is_up, now);
                let serves = fitness.view().is_serving();
                if serves != before.is_serving() {
                    fitness.starting = (serves && fitness.load.slowstart.is_some()).then_some(now);
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
                && !server.config.backup
                && after.weight > 0
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
            result
        };
        self.tell_followers(server);
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
                    .map(|server| backend.weight(&server.state.fitness(), now))
                    .collect()
            } else {
                Vec::new()
            };
            let weight = backend.weight(fitness, now);
            let mut picker = backend.picker();
            if is_rescaled {
                picker.set_scale(scale);
            }
            for (index, weight) in weights.into_iter().enumerate() {
                picker.set_weight(index, weight);
            }
            picker.set_weight(index, weight);
            picker.set_usable(index, fitness.view().is_usable());
            let config = &backend.servers[index].config;
            picker.set_node_key(
                index,
                node_key(config.node_key, config.id, &fitness.address),
            );
        });
    }

    /// Ends the sessions on backups: a server is back.
    fn shutdown_backup_sessions(&self) {
        let backups = self.servers.iter().filter(|server| server.config.backup);
        for server in backups {
            server.state.shutdown_sessions(End::BackupRelieved);
        }
    }

    /// Logs what changed, and the end of the backend with its last server.
    fn announce(&self, server: &Server, transition: &Transition<'_>, requeued: u32, now: Instant) {
        if matches!(transition.cause, Cause::Handed) {
            // Whoever was to know has heard it from the process before.
            self.note_standing(now);
            return;
        }
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
            leader: server.leader.get().map(String::as_str),
            active_servers: active,
            backup_servers: backup,
            sessions: server.state.stats.open.now(),
            requeued,
            queued,
        };
        for (level, message) in transition.messages(&scene) {
            self.log.send(level, &message);
            if self.log.shows_beside_stderr(level) {
                continue;
            }
            if level <= Level::Alert {
                warn!("{message}");
            } else {
                info!("{message}");
            }
        }
        if self.note_standing(now) && !self.is_up() {
            let message = log::no_server_available(self.kind(), &self.config.name);
            self.log.send(Level::Emerg, &message);
            if !self.log.shows_beside_stderr(Level::Emerg) {
                error!("{message}");
            }
        }
    }

    /// Has the servers that track this one do as it does. They look at it rather than hear of a
    /// change, so that the last of several tellers, in whatever order they come, tells the last
    /// state.
    fn tell_followers(&self, server: &Server) {
        let followers = server.followers.get().map_or(&[][..], Vec::as_slice);
        if followers.is_empty() {
            return;
        }
        let name = format!("{}/{}", self.config.name, server.config.name);
        for follower in followers {
            if let Some(backend) = follower.backend.upgrade() {
                backend.change(follower.index, Cause::Tracked(&name), |fitness| {
                    // Nobody tracks in circles, so no two wait for each other.
                    fitness.follow(&server.state.fitness());
                });
            }
        }
    }

    /// Has the servers that track this one do as it does now.
    pub(crate) fn tell_followers_again(&self, index: usize) {
        self.tell_followers(&self.servers[index]);
    }

    /// `set server ... state`, `enable server`, `disable server`, and what an agent says.
    pub(crate) fn set_admin(&self, index: usize, state: AdminState) {
        self.change(index, Cause::Admin, |fitness| fitness.set_admin(state));
    }

    /// `set server ... health`.
    pub(crate) fn set_health(&self, index: usize, health: Health) {
        self.change(index, Cause::Command, |fitness| fitness.set_health(health));
    }

    /// `set server ... agent`.
    pub(crate) fn set_agent(&self, index: usize, is_up: bool) {
        self.change(index, Cause::Command, |fitness| fitness.set_agent(is_up));
    }

    /// `set server ... check-addr`, `agent-port` and so on.
    pub(crate) fn set_places(&self, index: usize, change: impl FnOnce(&mut Places)) {
        self.change(index, Cause::Admin, |fitness| change(&mut fitness.places));
    }

    /// `set weight`, and what an agent or a resolver says (0-256). An algorithm that has its
    /// servers laid out at start takes but the file's weight, and none.
    pub(crate) fn set_weight(&self, index: usize, weight: u16) -> Result<(), FixedWeight> {
        let configured = self.servers[index].state.fitness().configured_weight();
        let is_fixed = self.config.balance.is_static(&self.config.hashing);
        if is_fixed && weight != 0 && weight != configured {
            return Err(FixedWeight);
        }
        self.change(index, Cause::Admin, |fitness| fitness.weight = weight);
        Ok(())
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
        self.servers[index].state.shutdown_sessions(End::Killed);
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Waker};
    use std::time::Duration;

    use evenkeel_health::{AgentReport, CheckOutcome, CheckStatus, parse_agent};

    use super::*;
    use crate::generation::Generation;
    use crate::snapshot::ServerSnapshot;
    use crate::testing;

    const SERVERS: &str = " server a 127.0.0.1:1 check\n server b 127.0.0.1:2 track a\n \
                           server c 127.0.0.1:3 track be/b\n server d 127.0.0.1:4";

    fn outcome(is_pass: bool) -> CheckOutcome {
        CheckOutcome {
            status: if is_pass {
                CheckStatus::L4Ok
            } else {
                CheckStatus::L4Connection
            },
            info: String::new(),
            duration: Duration::ZERO,
            code: None,
            has_connected: is_pass,
            cause: None,
        }
    }

    fn server(generation: &Generation, index: usize) -> ServerSnapshot {
        let backend = &generation.backends[0];
        crate::observe::server(backend, index, Instant::now())
    }

    /// The statuses of all servers, and how many can be chosen.
    fn statuses(generation: &Generation) -> (Vec<String>, u32) {
        let backend = &generation.backends[0];
        let all = (0..backend.servers.len()).map(|index| server(generation, index).status_text());
        let all = all.collect();
        let picker = backend.picker();
        (all, picker.active_servers() + picker.backup_servers())
    }

    #[test]
    fn every_change_shows_in_status_choice_and_followers() {
        use AdminState::{Drain, Maint, Ready};
        let generation = testing::generation(SERVERS);
        let backend = &generation.backends[0];
        let check = |what: &str, change: &dyn Fn(), [a, b, c, d]: [&str; 4], choice| {
            change();
            assert_eq!(
                statuses(&generation),
                ([a, b, c, d].map(str::to_owned).to_vec(), choice),
                "{what}"
            );
        };
        let (passes, fails) = (
            || {
                backend.take(0, &outcome(true));
            },
            || {
                backend.take(0, &outcome(false));
            },
        );
        let down = ["DOWN", "DOWN", "DOWN", "no check"];
        let up = ["UP", "UP", "UP", "no check"];
        check(
            "fresh",
            &|| (),
            ["UP 1/3", "UP 1/3", "UP 1/3", "no check"],
            4,
        );
        check("first pass", &passes, up, 4);
        check(
            "failure",
            &fails,
            ["UP 2/3", "UP 2/3", "UP 2/3", "no check"],
            4,
        );
        check(
            "failure",
            &fails,
            ["UP 1/3", "UP 1/3", "UP 1/3", "no check"],
            4,
        );
        check("last failure", &fails, down, 1);
        check(
            "pass",
            &passes,
            ["DOWN 1/2", "DOWN 1/2", "DOWN 1/2", "no check"],
            1,
        );
        check("second pass", &passes, up, 4);
        let drained = ["DRAIN", "DRAIN", "DRAIN", "no check"];
        check("drain", &|| backend.set_admin(0, Drain), drained, 1);
        let in_maintenance = ["MAINT", "MAINT (via be/a)", "MAINT (via be/b)", "no check"];
        check("maint", &|| backend.set_admin(0, Maint), in_maintenance, 1);
        let fresh = ["UP 1/3", "UP 1/3", "UP 1/3", "no check"];
        check("ready", &|| backend.set_admin(0, Ready), fresh, 4);
        check("health up", &|| backend.set_health(0, Health::Up), up, 4);
        let stopping = ["NOLB", "NOLB", "NOLB", "no check"];
        check(
            "stopping",
            &|| backend.set_health(0, Health::Stopping),
            stopping,
            1,
        );
        check("a pass ends that", &passes, up, 4);
        check(
            "health down",
            &|| backend.set_health(0, Health::Down),
            down,
            1,
        );
        check(
            "drained while down",
            &|| backend.set_admin(0, Drain),
            down,
            1,
        );
        check("ready while down", &|| backend.set_admin(0, Ready), down, 1);
        check("health up", &|| backend.set_health(0, Health::Up), up, 4);
        let own = ["UP", "MAINT", "MAINT (via be/b)", "no check"];
        check("one in the middle", &|| backend.set_admin(1, Maint), own, 2);
        check("and back", &|| backend.set_admin(1, Ready), up, 4);
        let unresolved = [
            "MAINT (resolution)",
            "MAINT (via be/a)",
            "MAINT (via be/b)",
            "no check",
        ];
        check(
            "no address",
            &|| backend.set_resolved(0, false, "no address", "a.example"),
            unresolved,
            1,
        );
        check(
            "an address",
            &|| backend.set_resolved(0, true, "resolves again", "a.example"),
            fresh,
            4,
        );
        check(
            "unchecked and down",
            &|| backend.set_health(3, Health::Down),
            ["UP 1/3", "UP 1/3", "UP 1/3", "DOWN"],
            3,
        );
        check(
            "unchecked and up",
            &|| backend.set_health(3, Health::Up),
            fresh,
            4,
        );
        check("no weight", &|| backend.set_weight(3, 0).unwrap(), fresh, 3);
        check(
            "some weight",
            &|| backend.set_weight(3, 9).unwrap(),
            fresh,
            4,
        );
        let unchecked = ["no check"; 4];
        check(
            "not checked",
            &|| backend.enable_checks(0, false),
            unchecked,
            4,
        );
        check("checked", &|| backend.enable_checks(0, true), fresh, 4);
    }

    #[test]
    fn commands_speak_for_the_check_or_for_the_agent() {
        let generation = testing::generation(
            " server a 127.0.0.1:1 check agent-check agent-port 9\n \
             server b 127.0.0.1:2 agent-check agent-port 9",
        );
        let backend = &generation.backends[0];
        let status = |index| server(&generation, index).status_text();
        backend.take(0, &outcome(true));
        backend.set_agent(0, false);
        assert_eq!(status(0), "DOWN (agent)");
        backend.set_health(0, Health::Up);
        assert_eq!(status(0), "DOWN (agent)");
        backend.set_agent(0, true);
        assert_eq!(status(0), "UP");
        backend.set_health(0, Health::Down);
        backend.set_agent(0, true);
        assert_eq!(status(0), "DOWN");
        backend.set_health(1, Health::Down);
        assert_eq!(status(1), "DOWN");
        backend.set_agent(1, true);
        assert_eq!(status(1), "no check");
    }

    /// What an agent reports that says whether its server is up.
    fn agent_says(is_up: bool) -> AgentReport {
        let line: &[u8] = if is_up { b"up\n" } else { b"down\n" };
        let said = parse_agent(line);
        let (status, info) = said.health.clone().unwrap();
        AgentReport {
            said,
            outcome: Some(CheckOutcome {
                status,
                info,
                ..outcome(true)
            }),
        }
    }

    #[test]
    fn what_an_agent_said_outlasts_maintenance_and_is_forgotten_once_it_is_disabled() {
        let generation = testing::generation(
            " server a 127.0.0.1:1 check agent-check agent-port 9\n \
             server b 127.0.0.1:2 agent-check agent-port 9",
        );
        let backend = &generation.backends[0];
        let status = |index| server(&generation, index).status_text();
        for index in [0, 1] {
            backend.take_agent(index, &agent_says(false));
            backend.set_admin(index, AdminState::Maint);
            backend.set_admin(index, AdminState::Ready);
            assert_eq!(status(index), "DOWN (agent)");
            backend.enable_agent(index, false);
            assert_eq!(status(index), "DOWN");
        }
        backend.take(0, &outcome(true));
        assert_eq!(status(0), "UP");
        backend.set_health(1, Health::Up);
        assert_eq!(status(1), "no check");
    }

    #[test]
    fn the_agent_of_a_server_that_tracks_another_speaks_for_it_alone() {
        let generation = testing::generation(
            " server a 127.0.0.1:1 check agent-check agent-port 9\n \
             server b 127.0.0.1:2 track a agent-check agent-port 9\n \
             server c 127.0.0.1:3 track b",
        );
        let backend = &generation.backends[0];
        let check = |change: &dyn Fn(), expected: [&str; 3]| {
            change();
            assert_eq!(statuses(&generation).0, expected);
        };
        let (by_agent, up) = ("DOWN (agent)", "UP");
        check(
            &|| {
                backend.take(0, &outcome(true));
            },
            [up; 3],
        );
        check(
            &|| backend.take_agent(1, &agent_says(false)),
            [up, by_agent, by_agent],
        );
        check(&|| backend.take_agent(0, &agent_says(false)), [by_agent; 3]);
        check(&|| backend.take_agent(1, &agent_says(true)), [by_agent; 3]);
        check(&|| backend.take_agent(0, &agent_says(true)), [up; 3]);
    }

    #[test]
    fn backups_are_relieved_by_a_server_that_takes_their_clients_alone() {
        let generation = testing::generation(
            " default-server on-marked-up shutdown-backup-sessions\n server a 127.0.0.1:1\n \
             server b 127.0.0.1:2 backup\n server c 127.0.0.1:3 weight 0\n \
             server d 127.0.0.1:4 backup",
        );
        let backend = &generation.backends[0];
        let is_relieved_by = |index| {
            let sessions = backend.servers[1].signals().sessions;
            backend.set_admin(index, AdminState::Maint);
            backend.set_admin(index, AdminState::Ready);
            sessions.is_cut()
        };
        assert!(is_relieved_by(0));
        assert!(!is_relieved_by(2));
        assert!(!is_relieved_by(3));
    }

    #[test]
    fn a_static_algorithm_takes_no_weight_but_the_files_from_an_agent_too() {
        let weight = |algorithm: &str, said: &[u8]| {
            let generation = testing::generation(&format!(
                " balance {algorithm}\n server a 127.0.0.1:1 weight 8 agent-check agent-port 9"
            ));
            let report = AgentReport {
                said: parse_agent(said),
                outcome: None,
            };
            generation.backends[0].take_agent(0, &report);
            server(&generation, 0).weight
        };
        assert_eq!(weight("source", b"50%\n"), 8);
        assert_eq!(weight("source", b"0%\n"), 0);
        assert_eq!(weight("static-rr", b"50%\n"), 8);
        assert_eq!(weight("roundrobin", b"50%\n"), 4);
    }

    #[test]
    fn an_agent_is_asked_in_maintenance_but_not_where_there_is_no_address() {
        let generation =
            testing::generation(" server a 127.0.0.1:1 check agent-check agent-port 9");
        let backend = &generation.backends[0];
        let state = &backend.servers[0].state;
        let is_asked = |wanted| {
            let mut context = Context::from_waker(Waker::noop());
            pin!(state.asks_agent(wanted)).poll(&mut context).is_ready()
        };
        assert!(is_asked(true));
        backend.set_admin(0, AdminState::Maint);
        assert!(is_asked(true));
        backend.set_resolved(0, false, "no address", "a.example");
        assert!(is_asked(false));
        backend.set_resolved(0, true, "resolves again", "a.example");
        assert!(is_asked(true));
        backend.enable_agent(0, false);
        assert!(is_asked(false));
    }

    #[test]
    fn maintenance_ends_a_drain() {
        let generation = testing::generation(SERVERS);
        let backend = &generation.backends[0];
        backend.set_admin(0, AdminState::Drain);
        backend.set_admin(0, AdminState::Maint);
        assert!(!server(&generation, 0).admin.forced_drain);
    }

    #[test]
    fn a_reload_leaves_servers_that_track_others_as_they_were() {
        let shared = testing::shared();
        let start = |text: &str, old: Option<&Generation>| {
            let carried = old.map_or_else(Default::default, Generation::carry);
            Generation::new(testing::config(text), &carried, &shared)
        };
        let lines = " server a 127.0.0.1:1 check\n server b 127.0.0.1:2 track a";
        let first = start(lines, None);
        for _ in 0..3 {
            first.backends[0].take(0, &outcome(false));
        }
        let downs = |generation: &Generation| server(generation, 1).service.down_total;
        assert_eq!(downs(&first), 1);
        let second = start(lines, Some(&first));
        assert_eq!(
            (statuses(&second).0, downs(&second)),
            (vec!["DOWN".to_owned(); 2], 1)
        );
        second.backends[0].set_admin(0, AdminState::Maint);
        let third = start(lines, Some(&second));
        assert_eq!(server(&third, 1).status_text(), "MAINT (via be/a)");
        assert_eq!(downs(&third), 1);
        // On its own feet it is what it is itself.
        let fourth = start(
            " server a 127.0.0.1:1 check\n server b 127.0.0.1:2",
            Some(&third),
        );
        assert_eq!(server(&fourth, 1).status_text(), "no check");
    }

    #[test]
    fn a_server_that_a_command_took_down_comes_up_by_checks_that_a_reload_brings() {
        let shared = testing::shared();
        let first = Generation::new(
            testing::config(" server a 127.0.0.1:1"),
            &Default::default(),
            &shared,
        );
        first.backends[0].set_health(0, Health::Down);
        let second = Generation::new(
            testing::config(" server a 127.0.0.1:1 check"),
            &first.carry(),
            &shared,
        );
        assert_eq!(server(&second, 0).status_text(), "DOWN");
        second.backends[0].take(0, &outcome(true));
        second.backends[0].take(0, &outcome(true));
        assert_eq!(server(&second, 0).status_text(), "UP");
    }

    #[test]
    fn where_a_check_goes_moves_it_and_lasts_until_the_file_says_otherwise() {
        let generation = testing::generation(" server a 127.0.0.1:1 check port 2");
        let backend = &generation.backends[0];
        let state = &backend.servers[0].state;
        let mut moves = state.moves();
        backend.set_places(0, |places| places.check.port = Some(3));
        assert!(moves.has_changed().unwrap());
        moves.mark_unchanged();
        backend.set_weight(0, 7).unwrap();
        assert!(!moves.has_changed().unwrap());
        state.adapt(&backend.servers[0].config, Instant::now());
        assert_eq!(state.fitness().places.check.port, Some(3));
        let mut says = backend.servers[0].config.clone();
        says.check.as_mut().unwrap().own.port = Some(4);
        state.adapt(&says, Instant::now());
        assert_eq!(state.fitness().places.check.port, Some(4));
    }

    #[test]
    fn downtime_and_downs_count_maintenance_too() {
        let generation = testing::generation(SERVERS);
        let backend = &generation.backends[0];
        backend.set_admin(3, AdminState::Maint);
        backend.set_admin(3, AdminState::Drain);
        backend.set_admin(3, AdminState::Ready);
        backend.set_admin(3, AdminState::Drain);
        assert_eq!(server(&generation, 3).service.down_total, 1);
    }

    #[test]
    fn what_a_command_set_stays_until_the_file_says_something_else() {
        let shared = testing::shared();
        let start = |line: &str, old: Option<&Generation>| {
            let carried = old.map_or_else(Default::default, Generation::carry);
            Generation::new(testing::config(line), &carried, &shared)
        };
        let facts = |generation: &Generation| {
            let server = server(generation, 0);
            (server.status_text(), server.weight, server.session_limit)
        };
        let first = start(" server a 127.0.0.1:1 weight 5 maxconn 7", None);
        let backend = &first.backends[0];
        backend.set_admin(0, AdminState::Drain);
        backend.set_weight(0, 20).unwrap();
        backend.set_maxconn(0, Some(3));
        let second = start(" server a 127.0.0.1:1 weight 5 maxconn 7", Some(&first));
        assert_eq!(facts(&second), ("DRAIN".to_owned(), 20, Some(3)));
        // Another address is another server, but its operator means the same one.
        let third = start(" server a 127.0.0.9:1 weight 6 maxconn 7", Some(&second));
        assert_eq!(facts(&third), ("DRAIN".to_owned(), 6, Some(3)));
        let fourth = start(" server a 127.0.0.9:1 weight 6 disabled", Some(&third));
        assert_eq!(facts(&fourth), ("MAINT".to_owned(), 6, None));
        fourth.backends[0].set_admin(0, AdminState::Ready);
        let fifth = start(" server a 127.0.0.9:1 weight 6 disabled", Some(&fourth));
        assert_eq!(facts(&fifth), ("no check".to_owned(), 6, None));
    }

    #[test]
    fn a_moved_server_is_connected_to_where_it_is() {
        let generation = testing::generation(SERVERS);
        let backend = &generation.backends[0];
        let state = &backend.servers[3].state;
        let configured = &backend.servers[3].config.address;
        assert_eq!(state.address(configured), *configured);
        let elsewhere = ServerAddress::Inet(([127, 0, 0, 7], 77).into());
        backend.set_address(3, elsewhere.clone());
        assert_eq!(state.address(configured), elsewhere);
        assert_eq!(server(&generation, 3).address, elsewhere);
    }

    #[test]
    fn slowstart_raises_weight_and_limit_after_an_outage_alone() {
        let generation = testing::generation(
            " server a 127.0.0.1:1 slowstart 1h maxconn 10\n server b 127.0.0.1:2",
        );
        let backend = &generation.backends[0];
        // At start it has its full share.
        assert_eq!(server(&generation, 0).throttle, None);
        let weights = backend.total_weight();
        assert_eq!(weights, 2);
        backend.set_admin(0, AdminState::Drain);
        backend.set_admin(0, AdminState::Ready);
        assert_eq!(server(&generation, 0).throttle, None);
        backend.set_admin(0, AdminState::Maint);
        backend.set_admin(0, AdminState::Ready);
        assert_eq!(server(&generation, 0).throttle, Some(1));
        let picks: Vec<Option<usize>> = {
            let (stream, _there) = testing::stream();
            let client = testing::client(&stream);
            (0..34)
                .map(|_| backend.lease(&client, None).map(|lease| lease.server.index))
                .collect()
        };
        let slow = picks.iter().filter(|pick| **pick == Some(0)).count();
        assert!(
            (1..=3).contains(&slow),
            "{slow} of {}: {picks:?}",
            picks.len()
        );
        backend.change(0, Cause::Admin, |fitness| fitness.starting = None);
        assert_eq!(server(&generation, 0).throttle, None);
    }
}
