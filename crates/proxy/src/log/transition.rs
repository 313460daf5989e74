//! What is said of a server whose state changes, in HAProxy's words.

use std::fmt::Write;

use evenkeel_health::CheckStatus;

use super::Level;
use crate::change::Cause;
use crate::fitness::{Health, View};

/// A server that changed.
#[derive(Debug)]
pub(crate) struct Transition<'a> {
    pub(crate) before: View,
    pub(crate) after: View,
    pub(crate) cause: Cause<'a>,
}

/// Of which server a message speaks, and what is left around it.
#[derive(Debug)]
pub(crate) struct Scene<'a> {
    pub(crate) backend: &'a str,
    pub(crate) server: &'a str,
    pub(crate) is_backup: bool,
    /// The server that it tracks, as `backend/server`.
    pub(crate) leader: Option<&'a str>,
    /// Servers that can be chosen after the change.
    pub(crate) active_servers: u32,
    /// Backups that can be chosen after the change.
    pub(crate) backup_servers: u32,
    /// Open on the server.
    pub(crate) sessions: u32,
    /// Clients that waited for this server and no longer do.
    pub(crate) requeued: u32,
    /// Clients that still wait: for this server when it is lost, else in the whole backend.
    pub(crate) queued: u32,
}

impl Transition<'_> {
    /// The messages of this change, most often one.
    pub(crate) fn messages(&self, scene: &Scene<'_>) -> Vec<(Level, String)> {
        let name = scene.name();
        let (was, is) = (self.before.admin, self.after.admin);
        match (was.is_maint(), is.is_maint()) {
            (false, true) => vec![self.enters_maintenance(&name, scene)],
            (true, false) => self.leaves_maintenance(&name, scene),
            (true, true) => self.stays_in_maintenance(&name, scene),
            (false, false) if self.before.health != self.after.health => {
                vec![self.changes_health(&name, scene)]
            }
            (false, false) => self.changes_drain(&name, scene),
        }
    }

    fn enters_maintenance(&self, name: &str, scene: &Scene<'_>) -> (Level, String) {
        let why = match self.cause {
            Cause::Resolution { why, .. } => format!(" ({why})"),
            _ => self.via(),
        };
        if self.before.health == Health::Down {
            let message = format!("{name} was DOWN and now enters maintenance{why}.");
            return (Level::Notice, message);
        }
        let level = if self.before.is_usable() {
            Level::Alert
        } else {
            Level::Notice
        };
        let left = scene.left();
        (
            level,
            format!("{name} is going DOWN for maintenance{why}. {left}"),
        )
    }

    fn leaves_maintenance(&self, name: &str, scene: &Scene<'_>) -> Vec<(Level, String)> {
        let (was, is) = (self.before.admin, self.after.admin);
        let readiness = if is.is_drain() { "DRAIN" } else { "READY" };
        let why = match self.cause {
            Cause::Resolution { why, .. } => why,
            _ if was.forced_maint => "leaving forced maintenance",
            _ => "leaving maintenance",
        };
        let state = state(self.after.health);
        let mut messages = match self.cause {
            Cause::Resolution { host, .. } => vec![
                format!("{name} ('{host}') is {state}/{readiness} ({why})."),
                format!("{name} administratively READY thanks to valid DNS answer."),
            ],
            _ => vec![format!("{name} is {state}/{readiness} ({why}).")],
        };
        if is.forced_drain {
            messages.push(format!("{name} remains in forced drain mode."));
        } else if is.inherited_drain {
            messages.push(format!(
                "{name} remains in drain mode{}.",
                scene.by_leader()
            ));
        }
        messages
            .into_iter()
            .map(|message| (Level::Notice, message))
            .collect()
    }

    fn stays_in_maintenance(&self, name: &str, scene: &Scene<'_>) -> Vec<(Level, String)> {
        let (was, is) = (self.before.admin, self.after.admin);
        let message = if was.forced_maint && !is.forced_maint {
            format!(
                "{name} is leaving forced maintenance but remains in maintenance{}.",
                if is.inherited_maint {
                    scene.by_leader()
                } else {
                    String::new()
                }
            )
        } else if was.inherited_maint && !is.inherited_maint && is.forced_maint {
            format!("{name} remains in forced maintenance.")
        } else {
            return Vec::new();
        };
        vec![(Level::Notice, message)]
    }

    fn changes_health(&self, name: &str, scene: &Scene<'_>) -> (Level, String) {
        let cause = match self.cause {
            Cause::Check(outcome) => {
                let mut cause = format!(", reason: {}", outcome.status.text());
                if let Some(code) = outcome.code {
                    let _ = write!(cause, ", code: {code}");
                }
                if !outcome.info.is_empty() {
                    // Writing to a string does not fail.
                    let _ = write!(cause, ", info: \"{}\"", outcome.info);
                }
                if outcome.status != CheckStatus::HealthAnalyze {
                    let _ = write!(
                        cause,
                        ", check duration: {}ms",
                        outcome.duration.as_millis()
                    );
                }
                cause
            }
            Cause::Command => ", changed from CLI".to_owned(),
            Cause::Saved => ", changed from server-state after a reload".to_owned(),
            Cause::Tracked(_) => self.via(),
            Cause::Admin | Cause::Handed | Cause::Resolution { .. } => String::new(),
        };
        let is_down = self.after.health == Health::Down;
        let state = state(self.after.health);
        let rest = if is_down {
            scene.left()
        } else {
            scene.online()
        };
        let level = if is_down && !self.after.admin.is_drain() {
            Level::Alert
        } else {
            Level::Notice
        };
        (level, format!("{name} is {state}{cause}. {rest}"))
    }

    fn changes_drain(&self, name: &str, scene: &Scene<'_>) -> Vec<(Level, String)> {
        let (was, is) = (self.before.admin, self.after.admin);
        let via = self.via();
        let message = match (was.is_drain(), is.is_drain()) {
            (false, true) => {
                let rest = if self.after.health == Health::Down {
                    scene.left()
                } else {
                    scene.online()
                };
                format!("{name} enters drain state{via}. {rest}")
            }
            (true, false) => {
                let forced = if was.forced_drain { "forced " } else { "" };
                let state = state(self.after.health);
                format!("{name} is {state} (leaving {forced}drain){via}.")
            }
            (true, true) if was == is => return Vec::new(),
            (true, true) if is.forced_drain => format!("{name} remains in forced drain mode."),
            (true, true) => format!("{name} remains in drain mode{}.", scene.by_leader()),
            (false, false) => return Vec::new(),
        };
        vec![(Level::Notice, message)]
    }

    /// ` via backend/server` of a change that comes from the server that is tracked.
    fn via(&self) -> String {
        match self.cause {
            Cause::Tracked(leader) => format!(" via {leader}"),
            _ => String::new(),
        }
    }
}

impl Scene<'_> {
    fn name(&self) -> String {
        let kind = if self.is_backup {
            "Backup Server"
        } else {
            "Server"
        };
        format!("{kind} {}/{}", self.backend, self.server)
    }

    /// ` via backend/server` of what holds because of the server that is tracked.
    fn by_leader(&self) -> String {
        self.leader
            .map_or_else(String::new, |leader| format!(" via {leader}"))
    }

    /// What is told of what remains.
    fn left(&self) -> String {
        format!(
            "{}{} sessions active, {} requeued, {} remaining in queue.",
            self.servers("left"),
            self.sessions,
            self.requeued,
            self.queued
        )
    }

    /// What is told of what there is.
    fn online(&self) -> String {
        format!(
            "{}{} sessions requeued, {} total in queue.",
            self.servers("online"),
            self.requeued,
            self.queued
        )
    }

    fn servers(&self, state: &str) -> String {
        let (active, backup) = (self.active_servers, self.backup_servers);
        let on_backup = if active == 0 && backup > 0 {
            "Running on backup. "
        } else {
            ""
        };
        format!("{active} active and {backup} backup servers {state}. {on_backup}")
    }
}

fn state(health: Health) -> &'static str {
    match health {
        Health::Up => "UP",
        Health::Stopping => "stopping",
        Health::Down => "DOWN",
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use evenkeel_health::CheckOutcome;

    use super::*;
    use crate::fitness::Admin;

    const SCENE: Scene<'_> = Scene {
        backend: "be",
        server: "s1",
        is_backup: false,
        leader: Some("be/s9"),
        active_servers: 3,
        backup_servers: 1,
        sessions: 2,
        requeued: 4,
        queued: 5,
    };

    fn view(health: Health, words: &str) -> View {
        let has = |word| words.split_whitespace().any(|said| said == word);
        View {
            health,
            admin: Admin {
                forced_maint: has("maint"),
                inherited_maint: has("via-maint"),
                unresolved: has("unresolved"),
                forced_drain: has("drain"),
                inherited_drain: has("via-drain"),
            },
        }
    }

    /// From one health and set of administrative states to another, as HAProxy 3.0 tells it: what
    /// follows the server's name, by severity.
    #[test]
    fn every_transition_in_haproxys_words() {
        use Health::{Down, Stopping, Up};
        let refused = CheckOutcome {
            status: CheckStatus::L4Connection,
            info: "Connection refused".to_owned(),
            code: None,
            has_connected: false,
            cause: None,
            duration: Duration::ZERO,
        };
        let passed = CheckOutcome {
            status: CheckStatus::L4Ok,
            info: String::new(),
            code: None,
            has_connected: false,
            cause: None,
            duration: Duration::from_micros(900),
        };
        let refused = Cause::Check(&refused);
        let passed = Cause::Check(&passed);
        let tracked = Cause::Tracked("be/s9");
        let admin = Cause::Admin;
        let left = "3 active and 1 backup servers left. 2 sessions active, 4 requeued, \
                    5 remaining in queue.";
        let online = "3 active and 1 backup servers online. 4 sessions requeued, 5 total in queue.";
        let check = |(was, before): (Health, &str),
                     (is, after): (Health, &str),
                     cause,
                     expected: &[&str]| {
            let transition = Transition {
                before: view(was, before),
                after: view(is, after),
                cause,
            };
            let messages: Vec<String> = transition
                .messages(&SCENE)
                .into_iter()
                .map(|(level, message)| {
                    let level = if level == Level::Alert {
                        "alert"
                    } else {
                        "notice"
                    };
                    let said = message
                        .strip_prefix("Server be/s1 ")
                        .expect("the server's name");
                    format!(
                        "{level}: {}",
                        said.replace(left, "LEFT").replace(online, "ONLINE")
                    )
                })
                .collect();
            assert_eq!(messages, expected, "{transition:?}");
        };
        let refusal = "alert: is DOWN, reason: Layer4 connection problem, info: \"Connection \
                       refused\", check duration: 0ms. LEFT";
        let refusal_while_drained = refusal.replace("alert", "notice");
        let pass = "notice: is UP, reason: Layer4 check passed, check duration: 0ms. ONLINE";

        check((Up, ""), (Down, ""), refused, &[refusal]);
        check(
            (Up, "drain"),
            (Down, "drain"),
            refused,
            &[&refusal_while_drained],
        );
        check((Down, ""), (Up, ""), passed, &[pass]);
        check((Stopping, ""), (Up, ""), passed, &[pass]);
        check(
            (Up, ""),
            (Down, ""),
            Cause::Command,
            &["alert: is DOWN, changed from CLI. LEFT"],
        );
        check(
            (Down, ""),
            (Up, ""),
            Cause::Command,
            &["notice: is UP, changed from CLI. ONLINE"],
        );
        check(
            (Up, ""),
            (Stopping, ""),
            Cause::Command,
            &["notice: is stopping, changed from CLI. ONLINE"],
        );
        check(
            (Up, ""),
            (Down, ""),
            tracked,
            &["alert: is DOWN via be/s9. LEFT"],
        );
        check(
            (Down, ""),
            (Up, ""),
            tracked,
            &["notice: is UP via be/s9. ONLINE"],
        );
        check(
            (Up, ""),
            (Stopping, ""),
            tracked,
            &["notice: is stopping via be/s9. ONLINE"],
        );

        check(
            (Up, ""),
            (Up, "maint"),
            admin,
            &["alert: is going DOWN for maintenance. LEFT"],
        );
        check(
            (Up, "drain"),
            (Up, "drain maint"),
            admin,
            &["notice: is going DOWN for maintenance. LEFT"],
        );
        check(
            (Up, ""),
            (Up, "via-maint"),
            tracked,
            &["alert: is going DOWN for maintenance via be/s9. LEFT"],
        );
        check(
            (Down, ""),
            (Down, "maint"),
            admin,
            &["notice: was DOWN and now enters maintenance."],
        );
        check(
            (Down, ""),
            (Down, "via-maint"),
            tracked,
            &["notice: was DOWN and now enters maintenance via be/s9."],
        );
        check(
            (Up, "maint"),
            (Up, ""),
            admin,
            &["notice: is UP/READY (leaving forced maintenance)."],
        );
        check(
            (Up, "drain maint"),
            (Up, "drain"),
            admin,
            &[
                "notice: is UP/DRAIN (leaving forced maintenance).",
                "notice: remains in forced drain mode.",
            ],
        );
        check(
            (Up, "via-maint"),
            (Up, "via-drain"),
            tracked,
            &[
                "notice: is UP/DRAIN (leaving maintenance).",
                "notice: remains in drain mode via be/s9.",
            ],
        );
        check(
            (Up, "via-maint"),
            (Down, ""),
            tracked,
            &["notice: is DOWN/READY (leaving maintenance)."],
        );
        check(
            (Up, "maint via-maint"),
            (Up, "via-maint"),
            admin,
            &["notice: is leaving forced maintenance but remains in maintenance via be/s9."],
        );
        check(
            (Up, "maint via-maint"),
            (Up, "maint"),
            tracked,
            &["notice: remains in forced maintenance."],
        );
        check((Up, "via-maint"), (Up, "maint via-maint"), admin, &[]);
        check((Up, "maint"), (Up, "maint via-maint"), tracked, &[]);

        check(
            (Up, ""),
            (Up, "drain"),
            admin,
            &["notice: enters drain state. ONLINE"],
        );
        check(
            (Down, ""),
            (Down, "drain"),
            admin,
            &["notice: enters drain state. LEFT"],
        );
        check(
            (Up, ""),
            (Up, "via-drain"),
            tracked,
            &["notice: enters drain state via be/s9. ONLINE"],
        );
        check(
            (Up, "drain"),
            (Up, "drain via-drain"),
            tracked,
            &["notice: remains in forced drain mode."],
        );
        check(
            (Up, "drain via-drain"),
            (Up, "via-drain"),
            admin,
            &["notice: remains in drain mode via be/s9."],
        );
        check(
            (Up, "via-drain"),
            (Up, "drain via-drain"),
            admin,
            &["notice: remains in forced drain mode."],
        );
        check(
            (Up, "drain via-drain"),
            (Up, "drain"),
            tracked,
            &["notice: remains in forced drain mode."],
        );
        check(
            (Up, "drain"),
            (Up, ""),
            admin,
            &["notice: is UP (leaving forced drain)."],
        );
        check(
            (Down, "drain"),
            (Down, ""),
            admin,
            &["notice: is DOWN (leaving forced drain)."],
        );
        check(
            (Up, "via-drain"),
            (Up, ""),
            tracked,
            &["notice: is UP (leaving drain) via be/s9."],
        );
    }

    #[test]
    fn backups_are_told_apart_and_so_is_a_backend_that_runs_on_them() {
        let scene = Scene {
            is_backup: true,
            active_servers: 0,
            ..SCENE
        };
        let transition = Transition {
            before: view(Health::Up, ""),
            after: view(Health::Up, "maint"),
            cause: Cause::Admin,
        };
        assert_eq!(
            transition.messages(&scene)[0].1,
            "Backup Server be/s1 is going DOWN for maintenance. 0 active and 1 backup servers left. \
             Running on backup. 2 sessions active, 4 requeued, 5 remaining in queue."
        );
    }
}
