//! What an operator does to a service that is in use. Clients connect and stay connected all the while;
//! the longest that one of them waited is printed.

use crate::load::{Load, Seen, start_masters};
use crate::machine::{Machine, with_machine};
use crate::parcel::{install, install_configured};
use crate::support::until;
use std::time::Duration;

/// A new client waits at most 1 s for its answer while the service is restarted: a quarter for those
/// that are served, some tenths for systemd's work (docs/operations.md has the sum).
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// How often each thing is done: a few times, or as `EVENKEEL_SERVICE_ROUNDS` says.
fn rounds(few: usize, share: usize) -> usize {
    let asked = std::env::var("EVENKEEL_SERVICE_ROUNDS").ok();
    asked.map_or(few, |count| {
        let count: usize = count.parse().expect("EVENKEEL_SERVICE_ROUNDS is a number");
        (count / share).max(1)
    })
}

/// Does something to the service again and again, each time under load.
fn repeat(machine: &Machine, what: &str, count: usize, act: impl Fn(usize)) -> Seen {
    start_masters();
    install_configured(machine);
    let load = Load::start();
    for round in 0..count {
        act(round);
        load.go_on();
    }
    let seen = load.stop();
    eprintln!(
        "{count} {what}: {} new connections, {} failed, longest wait {} ms; \
         {} exchanges on connections that stay, {} cut",
        seen.answered,
        seen.failed.len(),
        seen.longest.as_millis(),
        seen.exchanged,
        seen.cut
    );
    seen
}

#[track_caller]
fn nobody_is_refused(seen: &Seen) {
    assert!(seen.answered > 100 && seen.exchanged > 100);
    assert_eq!(seen.failed.first(), None);
}

/// Holds a restart to its bound where it is measured: other tests that run beside it have no bound.
#[track_caller]
fn nobody_waits_longer(seen: &Seen) {
    let is_measured = std::env::var_os("EVENKEEL_SERVICE_ROUNDS").is_some();
    assert!(
        !is_measured || seen.longest <= LONGEST_WAIT,
        "{:?}",
        seen.longest
    );
}

#[test]
fn a_reload_fails_nobody_and_cuts_nothing() {
    with_machine(
        "under_load::a_reload_fails_nobody_and_cuts_nothing",
        |machine| {
            let seen = repeat(machine, "reloads", rounds(5, 1), |round| {
                // Something to do: a server's weight.
                let weight = 10 + round % 50;
                machine.sh(&format!(
                "sed -i '/^master2/d; /^master1/a master2 = {{ address = \"127.0.0.12:6443\", weight = {weight} }}' \
                 /etc/evenkeel/evenkeel.toml && systemctl reload evenkeel"
            ));
            });
            nobody_is_refused(&seen);
            assert_eq!(seen.cut, 0);
        },
    );
}

#[test]
fn a_restart_refuses_nobody() {
    with_machine("under_load::a_restart_refuses_nobody", |machine| {
        let seen = repeat(machine, "restarts", rounds(3, 5), |_| {
            let before = machine.main_pid();
            machine.sh("systemctl restart evenkeel");
            assert_ne!(machine.main_pid(), before);
        });
        nobody_is_refused(&seen);
        nobody_waits_longer(&seen);
    });
}

/// Two programs that want every processor, as a node may have them for a while.
#[test]
fn a_restart_refuses_nobody_on_a_machine_that_is_busy() {
    with_machine(
        "under_load::a_restart_refuses_nobody_on_a_machine_that_is_busy",
        |machine| {
            let _hogs = [Hog::start(), Hog::start()];
            let seen = repeat(machine, "restarts on a busy machine", rounds(3, 5), |_| {
                machine.sh("systemctl restart evenkeel");
            });
            nobody_is_refused(&seen);
            nobody_waits_longer(&seen);
        },
    );
}

struct Hog(std::process::Child);

impl Hog {
    fn start() -> Self {
        let mut busy = std::process::Command::new("sh");
        Self(busy.args(["-c", "while :; do :; done"]).spawn().unwrap())
    }
}

impl Drop for Hog {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn an_upgrade_fails_nobody_and_cuts_nothing() {
    with_machine(
        "under_load::an_upgrade_fails_nobody_and_cuts_nothing",
        |machine| {
            let seen = repeat(machine, "upgrades", rounds(2, 5), |round| {
                let before = machine.main_pid();
                install(machine, ["0.1.0-2", "0.1.0-3"][round % 2]);
                let now = until("the new program as the service's process", || {
                    Some(machine.main_pid()).filter(|pid| *pid != before)
                });
                assert!(machine.is_active(), "{now}");
            });
            nobody_is_refused(&seen);
            assert_eq!(seen.cut, 0);
        },
    );
}
