//! Two lb nodes that share the address, each with a real keepalived that runs what `evenkeel
//! keepalived` prints. The address moves when evenkeel is killed, hangs, or its node dies; it stays
//! when nodes come back and when every master is down. Beside them, at the same time, two nodes with
//! HAProxy and the same keepalived parameters: how long clients wait is printed for both.
//!
//! As root alone: keepalived becomes another user for its script.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

#[allow(dead_code, reason = "shared with another test, which uses more of it")]
#[path = "../topology/namespaces.rs"]
mod namespaces;
mod pair;
#[path = "../support/mod.rs"]
mod support;

use std::time::Duration;

use namespaces::{inside, say};
use pair::{Fault, Pair};
use support::caller::{MOVE_BOUND, shown};
use support::wait::throughout;
use support::{Program, not_run, tools};

/// How often each fault is made.
const ROUNDS: usize = 3;
/// Several adverts and track scripts.
const QUIET: Duration = Duration::from_millis(3500);

#[test]
fn the_address_moves_with_the_balancer_and_never_with_the_masters() {
    let name = "the_address_moves_with_the_balancer_and_never_with_the_masters";
    if is_missing() {
        return;
    }
    inside(name, || {
        let compared = std::thread::spawn(|| {
            let haproxy = Program::oracle()?;
            let mut pair = Pair::start(haproxy, 2);
            let figures: Vec<_> = [Fault::Kill, Fault::Death]
                .map(|fault| (fault, rounds(&mut pair, fault)))
                .into();
            Some(figures)
        });
        let mut pair = Pair::start(Program::Evenkeel, 1);
        let mut figures = Vec::new();
        for fault in [Fault::Kill, Fault::Death, Fault::Hang] {
            figures.push((fault, rounds(&mut pair, fault)));
        }
        pair.masters_die();
        let (holder, moves) = (pair.holder(), pair.moves());
        throughout("the address stays with its masters down", QUIET, || {
            pair.moves() == moves
        });
        assert_eq!(pair.holder(), holder);
        pair.masters_come_back();
        pair.answers_again(MOVE_BOUND);
        let faults = figures.len() * ROUNDS;
        // Each fault moved it once, and no node took it back: in both families.
        assert_eq!(pair.moves(), 2 * (1 + faults), "{}", pair.logs());

        let Some(compared) = compared.join().unwrap() else {
            not_run(
                "keepalived beside HAProxy",
                "no HAProxy 3.0 tree; tests/run makes one",
            );
            return print(&figures, &[]);
        };
        print(&figures, &compared);
    });
}

#[test]
fn the_address_stays_and_no_request_fails_over_reloads_and_upgrades() {
    if is_missing() {
        return;
    }
    let name = "the_address_stays_and_no_request_fails_over_reloads_and_upgrades";
    inside(name, || {
        let pair = Pair::start(Program::Evenkeel, 1);
        let (holder, moves) = (pair.holder(), pair.moves());
        let client = pair.client();
        for order in ["reload", "upgrade"] {
            for _ in 0..ROUNDS {
                pair.order(order);
                throughout(order, QUIET / 3, || pair.moves() == moves);
            }
        }
        throughout("the address stays", QUIET, || pair.moves() == moves);
        assert_eq!(pair.holder(), holder);
        let (served, failed) = client.stop();
        assert!(served > 100, "{served}");
        assert_eq!(failed, 0, "of {served}: {}", pair.logs());
    });
}

fn is_missing() -> bool {
    let why = if !rustix::process::geteuid().is_root() {
        Some("root is needed: keepalived starts its script as another user".to_owned())
    } else {
        tools::missing(&[("keepalived", "keepalived")])
    };
    if let Some(why) = &why {
        not_run("keepalived", why);
    }
    why.is_some()
}

/// What the clients waited for the first good answer, each time.
fn rounds(pair: &mut Pair, fault: Fault) -> Vec<Duration> {
    (0..ROUNDS)
        .map(|_| {
            let before = pair.holder();
            let waited = pair.strike(fault, MOVE_BOUND);
            assert_ne!(pair.holder(), before, "{fault:?}: {}", pair.logs());
            pair.heal();
            waited
        })
        .collect()
}

fn print(evenkeel: &[(Fault, Vec<Duration>)], haproxy: &[(Fault, Vec<Duration>)]) {
    let mut table = format!(
        "\nfirst good answer after the fault, {ROUNDS} rounds each: median (longest)\n  {:<20}{:>24}{:>24}\n",
        "", "evenkeel", "HAProxy 3.0"
    );
    for (fault, waits) in evenkeel {
        let other = haproxy.iter().find(|(other, _)| other == fault);
        let other = other.map_or("not seen by its script".to_owned(), |(_, waits)| {
            shown(waits)
        });
        table += &format!("  {:<20}{:>24}{other:>24}\n", fault.name(), shown(waits));
    }
    say(&table);
}
