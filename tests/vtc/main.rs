//! Scenarios for `varnishtest`, which starts a balancer, clients, servers and a syslog receiver and
//! says what each of them must see. Every `.vtc` file beside this one must pass on HAProxy 3.0 and
//! on evenkeel; what HAProxy does is thereby written down.
//!
//! One of them by hand: `HAPROXY_PROGRAM=target/debug/evenkeel varnishtest -v tests/vtc/relay.vtc`.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

#[path = "../support/mod.rs"]
mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

use support::{Program, not_run};

/// Fewer would mean that the folder was not found.
const FEWEST_SCENARIOS: usize = 95;
/// How many run at once: they mostly wait.
const AT_ONCE: usize = 4;
/// What varnishtest gives one scenario, in seconds.
const LONGEST: &str = "40";

#[test]
fn every_scenario_passes_on_haproxy() {
    let test = "vtc scenarios on HAProxy 3.0";
    if let Some(oracle) = Program::oracle_for(test) {
        check_all(test, &oracle);
    }
}

#[test]
fn every_scenario_passes_on_evenkeel() {
    check_all("vtc scenarios on evenkeel", &Program::Evenkeel);
}

fn check_all(test: &str, program: &Program) {
    let scenarios = scenarios();
    assert!(scenarios.len() >= FEWEST_SCENARIOS, "{scenarios:?}");
    if Command::new("varnishtest")
        .stderr(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .is_err()
    {
        return not_run(test, "no varnishtest (Debian's package varnish brings it)");
    }
    let folder = temporary(test);
    let start = program.starter(&folder);
    let rest = Mutex::new(scenarios.into_iter());
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let Some(scenario) = rest.lock().unwrap().next() else {
                        return;
                    };
                    // They have clocks in them, and the machine may be busy: a second try counts.
                    if let Err(said) = run(&start, &scenario).or_else(|_| run(&start, &scenario)) {
                        failed.lock().unwrap().push((scenario, said));
                    }
                }
            });
        }
    });
    std::fs::remove_dir_all(folder).unwrap();
    let failed = failed.into_inner().unwrap();
    let said: String = failed.iter().map(|(_, said)| said.as_str()).collect();
    let names: Vec<_> = failed
        .iter()
        .map(|(path, _)| path.file_name().unwrap())
        .collect();
    assert!(
        failed.is_empty(),
        "{said}\n{} failed: {names:?}",
        failed.len()
    );
}

/// The `.vtc` files, in order.
fn scenarios() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vtc");
    let mut found: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "vtc"))
        .collect();
    found.sort();
    found
}

/// Runs one scenario; what it said if it failed.
fn run(program: &Path, scenario: &Path) -> Result<(), String> {
    let output = Command::new("varnishtest")
        .args(["-t", LONGEST])
        .arg(scenario)
        .env("HAPROXY_PROGRAM", program)
        .env_remove("HAPROXY_ARGS")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stdout);
    // The whole is long: what was expected stands near the end.
    let lines: Vec<&str> = said.lines().collect();
    let from = lines.len().saturating_sub(60);
    Err(format!("{}\n", lines[from..].join("\n")))
}

fn temporary(test: &str) -> PathBuf {
    let name = format!("evenkeel-vtc-{}-{}", std::process::id(), test.len());
    let folder = std::env::temp_dir().join(name);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}
