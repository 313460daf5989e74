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
pub(crate) mod booted;
pub(crate) mod caller;
pub(crate) mod checked;
pub(crate) mod cli;
pub(crate) mod dns;
pub(crate) mod http;
pub(crate) mod lab;
pub(crate) mod loopback;
pub(crate) mod metrics;
pub(crate) mod notice;
pub(crate) mod origin;
pub(crate) mod peer;
pub(crate) mod space;
pub(crate) mod static_program;
pub(crate) mod syslog;
pub(crate) mod tcplog;
pub(crate) mod tls;
pub(crate) mod tools;
pub(crate) mod wait;

pub(crate) use balancer::{Balancer, Finished, Program};
pub(crate) use lab::Lab;
pub(crate) use notice::not_run;
pub(crate) use origin::Origin;
pub(crate) use peer::{End, Peer};
pub(crate) use rustix::process::Signal;
pub(crate) use wait::{PATIENCE, until};
