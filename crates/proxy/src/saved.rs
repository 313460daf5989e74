//! What a restart takes over of a server.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use evenkeel_config::{CheckStatus, OwnPlace, ServerAddress};
use evenkeel_health::CheckOutcome;

use crate::change::Cause;
use crate::fitness::{Fitness, Health};
use crate::generation::Generation;

/// What was known of a server when an earlier process wrote it down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedServer {
    /// What its checks and commands made of it.
    pub health: SavedHealth,
    /// Whether it was in maintenance, by a command or the file.
    pub is_maint: bool,
    /// Whether the file said `disabled` then: one that says otherwise now wins.
    pub was_disabled: bool,
    /// Whether a command has it drain.
    pub is_drain: bool,
    /// The weight in force, and the file's of then: another one now wins.
    pub weight: (u16, u16),
    /// Since it last went up or down.
    pub last_change: Duration,
    /// Its port; `None`: the file's.
    pub port: Option<u16>,
    /// What its last check found; `None`: there was none.
    pub last_check: Option<CheckStatus>,
    /// Whether a command had its checks, or its agent, rest.
    pub rests: (bool, bool),
    /// Where it was checked, and its agent asked, that was not where it was itself.
    pub check_place: OwnPlace,
    /// Likewise of its agent; a port of 0: the file's.
    pub agent_place: (Option<IpAddr>, u16),
    /// The name that a command had it follow.
    pub fqdn: Option<String>,
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
    pub(crate) fn restore(&self, saved: &[(usize, usize, SavedServer)], cause: Cause<'_>) {
        let now = Instant::now();
        for (backend, server, saved) in saved {
            let Some(backend) = self.backends.get(*backend) else {
                continue;
            };
            if *server < backend.servers.len() {
                let state = &backend.servers[*server].state;
                let has_agent = backend.servers[*server].config.agent.is_some();
                backend.change(*server, cause, |fitness| restore(fitness, saved, has_agent));
                let since = now.checked_sub(saved.last_change);
                let mut fitness = state.fitness();
                if !fitness.admin.unresolved {
                    fitness.standing.began(since.unwrap_or(now));
                }
            }
        }
    }
}

fn restore(fitness: &mut Fitness, saved: &SavedServer, has_agent: bool) {
    let is_disabled = fitness.is_disabled_by_file();
    let is_maint = if saved.was_disabled == is_disabled {
        saved.is_maint
    } else {
        is_disabled
    };
    fitness.admin.forced_maint = is_maint;
    fitness.admin.forced_drain = saved.is_drain && !is_maint;
    let (weight, configured) = saved.weight;
    if configured == fitness.configured_weight() {
        fitness.weight = weight;
    }
    if let (Some(port), ServerAddress::Inet(address)) = (saved.port, &mut fitness.address) {
        address.set_port(port);
    }
    fitness.fqdn.clone_from(&saved.fqdn);
    if has_agent {
        fitness.agent_enabled = !saved.rests.1;
        fitness.places.agent.ip = saved.agent_place.0;
        if saved.agent_place.1 > 0 {
            fitness.places.agent.port = saved.agent_place.1;
        }
    }
    let is_checked = fitness.machine().is_some();
    if is_checked {
        fitness.checks_enabled = !saved.rests.0;
        fitness.places.check = saved.check_place;
        fitness.last_check = saved.last_check.map(|status| CheckOutcome {
            status,
            info: String::new(),
            code: None,
            has_connected: false,
            cause: None,
            duration: Duration::ZERO,
        });
    }
    fitness.is_stopping = saved.health == SavedHealth::Stopping;
    // In maintenance it is down whatever its checks found.
    if is_maint {
        return;
    }
    // Nothing but that maintenance had it down.
    if saved.is_maint && !is_checked {
        return;
    }
    match saved.health {
        // A check has to fail as often as before any of them did.
        SavedHealth::Up if saved.last_check.is_some() => fitness.set_health(Health::Up),
        SavedHealth::Up | SavedHealth::Stopping => {}
        SavedHealth::Down => fitness.set_health(Health::Down),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fitness::AdminState;
    use crate::testing;

    fn saved() -> SavedServer {
        SavedServer {
            health: SavedHealth::Up,
            is_maint: false,
            was_disabled: false,
            is_drain: false,
            weight: (1, 1),
            last_change: Duration::from_secs(9),
            port: None,
            last_check: Some(CheckStatus::L4Ok),
            rests: (false, false),
            check_place: OwnPlace::default(),
            agent_place: (None, 0),
            fqdn: None,
        }
    }

    #[test]
    fn what_was_known_of_a_server_is_known_again() {
        let generation = testing::generation(
            " server a 127.0.0.1:1 check port 2\n server b 127.0.0.1:2\n \
             server c 127.0.0.1:3 check agent-check agent-port 9\n server d 127.0.0.1:4 check",
        );
        let down = SavedServer {
            health: SavedHealth::Down,
            ..saved()
        };
        let moved = SavedServer {
            check_place: OwnPlace {
                ip: None,
                port: Some(77),
            },
            agent_place: (None, 78),
            rests: (true, true),
            ..saved()
        };
        generation.restore(
            &[
                (0, 0, saved()),
                (0, 1, down.clone()),
                (0, 2, moved),
                (0, 3, down),
            ],
            Cause::Saved,
        );
        let backend = &generation.backends[0];
        let shown = |index| {
            let now = Instant::now();
            let server = crate::observe::server(backend, index, now);
            (server.status_text(), server.service.last_change.as_secs())
        };
        assert_eq!(shown(0), ("UP".to_owned(), 9));
        assert_eq!(shown(1).0, "DOWN");
        assert_eq!(shown(2).0, "no check");
        assert_eq!(shown(3).0, "DOWN");
        let places = backend.servers[2].state.fitness().places.clone();
        assert_eq!((places.check.port, places.agent.port), (Some(77), 78));
        assert!(backend.servers[0].state.fitness().last_check.is_some());
    }

    /// What becomes of each saved state where the file says `disabled` and where it does not, as
    /// HAProxy has it.
    #[test]
    fn maintenance_is_the_files_where_it_says_something_else() {
        let generation = testing::generation(
            " server checked 127.0.0.1:1 check\n server off 127.0.0.1:2 check disabled\n \
             server plain 127.0.0.1:3",
        );
        let check = |(was_disabled, is_maint, is_drain), health, expected: [&str; 3]| {
            // As they are after a start without a file of states.
            for (index, is_disabled) in [false, true, false].into_iter().enumerate() {
                generation.backends[0].change(index, Cause::Admin, |fitness| {
                    fitness.set_admin(AdminState::Maint);
                    fitness.admin.forced_drain = false;
                });
                if !is_disabled {
                    generation.backends[0].set_admin(index, AdminState::Ready);
                }
            }
            let saved = SavedServer {
                was_disabled,
                is_maint,
                is_drain,
                health,
                ..saved()
            };
            generation.restore(
                &[
                    (0, 0, saved.clone()),
                    (0, 1, saved.clone()),
                    (0, 2, saved.clone()),
                ],
                Cause::Saved,
            );
            let status = |index| {
                let now = Instant::now();
                crate::observe::server(&generation.backends[0], index, now).status_text()
            };
            assert_eq!(
                [0, 1, 2].map(status),
                expected.map(str::to_owned),
                "{saved:?}"
            );
        };
        let (up, down) = (SavedHealth::Up, SavedHealth::Down);
        // Neither, or a command put it in maintenance.
        check((false, false, false), up, ["UP", "MAINT", "no check"]);
        check((false, true, false), up, ["MAINT", "MAINT", "MAINT"]);
        // Disabled by the file, and a command made it ready.
        check((true, false, false), up, ["UP", "UP 1/3", "no check"]);
        check((true, false, false), down, ["DOWN", "UP 1/3", "DOWN"]);
        // Disabled by the file: it is back as its checks say, and without one at once.
        check((true, true, false), up, ["UP", "MAINT", "no check"]);
        check((true, true, false), down, ["DOWN", "MAINT", "no check"]);
        // Draining, without and with `disabled`.
        check((false, false, true), up, ["DRAIN", "MAINT", "DRAIN"]);
        check((true, false, true), up, ["DRAIN", "DRAIN 1/3", "DRAIN"]);
    }
}
