//! What the tests with real programs share: a balancer under test (evenkeel, or the HAProxy that it
//! is compared with), servers that misbehave on purpose, clients, a syslog receiver, metrics.
//!
//! Threads and blocking sockets only, so that a test reads from top to bottom. Everything waits for
//! the event itself with a deadline; each test has a loopback address of its own, so that no port
//! is ever taken by another one.

#![allow(
    dead_code,
    unused_imports,
    reason = "each test binary uses its own part of this module"
)]

pub(crate) mod balancer;
pub(crate) mod checked;
pub(crate) mod cli;
pub(crate) mod dns;
pub(crate) mod http;
pub(crate) mod lab;
pub(crate) mod loopback;
pub(crate) mod metrics;
pub(crate) mod origin;
pub(crate) mod peer;
pub(crate) mod static_program;
pub(crate) mod syslog;
pub(crate) mod tcplog;
pub(crate) mod tls;
pub(crate) mod wait;

pub(crate) use balancer::{Balancer, Finished, Program};
pub(crate) use lab::Lab;
pub(crate) use origin::Origin;
pub(crate) use peer::{End, Peer};
pub(crate) use rustix::process::Signal;
pub(crate) use wait::{PATIENCE, until};

use std::io::Write;

/// Says that a test did not run and why: on stderr, and in the file that `EVENKEEL_NOT_RUN` names,
/// from which `tests/run` prints its summary.
pub(crate) fn not_run(test: &str, reason: &str) {
    // Past the test harness, which hides what a passing test prints.
    std::io::stderr()
        .write_all(format!("NOT RUN: {test}: {reason}\n").as_bytes())
        .unwrap();
    if let Some(file) = std::env::var_os("EVENKEEL_NOT_RUN") {
        let mut file = std::fs::File::options()
            .create(true)
            .append(true)
            .open(file)
            .unwrap();
        // One write, so that lines of parallel tests stay whole.
        file.write_all(format!("{test}: {reason}\n").as_bytes())
            .unwrap();
    }
}
