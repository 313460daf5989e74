//! A node of a pair as an operator sets it up: the package under systemd, a real keepalived beside it
//! that runs what `evenkeel keepalived` prints. A restart keeps the address here, a stop gives it away.

use std::fs::{self, File};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::machine::{Machine, with_machine};
use crate::parcel::install_configured;
use crate::support::caller::shown;
use crate::support::wait::{throughout, within};
use crate::support::{not_run, until};

const FOLDER: &str = "/run/keepalived-test";
const KEEPALIVED: &str = "/usr/sbin/keepalived";
/// Longer than keepalived's script may be at odds with what is.
const QUIET: Duration = Duration::from_millis(2500);
/// A stop drains for a quarter of a second; the script looks every quarter; the machine may be busy.
const SOON: Duration = Duration::from_secs(3);

/// How often nothing may move.
const ROUNDS: usize = 3;
/// A question that waits for a restart is given up after 1.2 s. One that takes longer, on a machine that has
/// too much to do, may move the address, and cuts nobody by it who was not cut by the restart.
const KEPT_FOR: Duration = Duration::from_millis(1100);

struct Keepalived(Child);

impl Keepalived {
    /// Starts it where the machine's network is, and waits until this node has the address.
    fn start() -> Self {
        fs::create_dir_all(FOLDER).unwrap();
        run(
            "ip link add lb0 type veth peer name wire0 && ip link set wire0 up && ip link set lb0 up && ip addr add 10.9.0.8/24 dev lb0",
        );
        // Nobody but root may change what keepalived runs.
        let program = format!("{FOLDER}/evenkeel");
        fs::copy(env!("CARGO_BIN_EXE_evenkeel"), &program).unwrap();
        run(&format!(
            "{program} keepalived --interface lb0 --peer 10.9.0.9 --vip 10.9.0.10 --admin 127.0.0.1:9101 \
             --user nobody >{FOLDER}/keepalived.conf"
        ));
        let said = File::create(format!("{FOLDER}/log")).unwrap();
        let mut keepalived = Command::new(KEEPALIVED);
        keepalived.args(["-n", "-l", "-P", "-f"]);
        keepalived.arg(format!("{FOLDER}/keepalived.conf"));
        for (option, name) in [("-p", "k.pid"), ("-r", "vrrp.pid")] {
            keepalived.arg(option).arg(format!("{FOLDER}/{name}"));
        }
        let keepalived = keepalived
            .stdin(Stdio::null())
            .stdout(said.try_clone().unwrap())
            .stderr(said)
            .spawn()
            .unwrap();
        let keepalived = Self(keepalived);
        until("this node has the address", || {
            (entered("MASTER") == 1).then_some(())
        });
        keepalived
    }
}

impl Drop for Keepalived {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", log());
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Has the service start anew, which moves nothing if it is soon there again. How long that took.
fn starts_anew(machine: &Machine, line: &str) -> Duration {
    let (faults, masters) = (entered("FAULT"), entered("MASTER"));
    let before = machine.main_pid();
    let begin = Instant::now();
    machine.sh(line);
    until("the service has started anew", || {
        (machine.main_pid() != before && machine.is_active()).then_some(())
    });
    let took = begin.elapsed();
    let moved = within(QUIET, || (entered("FAULT") > faults).then_some(())).is_some();
    assert!(!moved || took > KEPT_FOR, "{line}: {took:?}");
    if moved {
        until("this node has the address again", || {
            (entered("MASTER") > masters).then_some(())
        });
    }
    took
}

fn run(line: &str) {
    let status = Command::new("sh").args(["-c", line]).status().unwrap();
    assert!(status.success(), "{line}");
}

fn log() -> String {
    fs::read_to_string(format!("{FOLDER}/log")).unwrap()
}

fn entered(state: &str) -> usize {
    log().matches(&format!("Entering {state} STATE")).count()
}

#[test]
fn a_restart_keeps_the_address_and_a_stop_gives_it_away() {
    if !std::path::Path::new(KEEPALIVED).exists() {
        return not_run(
            "package keepalived",
            "keepalived is missing (Debian's package keepalived has it)",
        );
    }
    with_machine(
        "shared_address::a_restart_keeps_the_address_and_a_stop_gives_it_away",
        body,
    );
}

fn body(machine: &Machine) {
    install_configured(machine);
    let _keepalived = Keepalived::start();
    for _ in 0..ROUNDS {
        for line in ["systemctl reload evenkeel", "evenkeel upgrade"] {
            let faults = entered("FAULT");
            machine.sh(line);
            throughout(line, QUIET, || entered("FAULT") == faults);
        }
    }
    for line in [
        "systemctl restart evenkeel",
        // Started again by systemd in a moment.
        "systemctl kill -s KILL --kill-who=main evenkeel",
    ] {
        let rounds: Vec<Duration> = (0..ROUNDS).map(|_| starts_anew(machine, line)).collect();
        eprintln!("{line}: serves again after {}", shown(&rounds));
        if rounds.iter().all(|took| *took > KEPT_FOR) {
            not_run(
                &format!("package keepalived: {line}"),
                "the machine is too busy to start a service within a second",
            );
        }
    }
    for line in ["systemctl stop", "systemctl kill -s STOP --kill-who=main"] {
        let (faults, masters) = (entered("FAULT"), entered("MASTER"));
        let start = Instant::now();
        machine.sh(&format!("{line} evenkeel"));
        until("keepalived gives the address away", || {
            (entered("FAULT") == faults + 1).then_some(())
        });
        let took = start.elapsed();
        eprintln!(
            "{line}: the address is given away after {} ms",
            took.as_millis()
        );
        assert!(took < SOON, "{line}: {took:?}");
        machine.sh("systemctl kill -s CONT --kill-who=main evenkeel; systemctl start evenkeel");
        until("this node has the address again", || {
            (entered("MASTER") == masters + 1).then_some(())
        });
    }
}
