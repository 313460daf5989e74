//! The same configuration and the same traffic through HAProxy 3.0 and through evenkeel: both must
//! give the same answers. HAProxy decides what is right; nothing here says what it ought to do.
//!
//! `EVENKEEL_UNDER_TEST=haproxy` runs HAProxy in both roles, which shows whether a scenario itself
//! gives the same answer twice.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

#[path = "../support/mod.rs"]
mod support;

mod compare;

mod balance;
mod check_mode;
mod checked_servers;
mod checks;
mod end_codes;
mod health;
mod http;
mod log_format;
mod master;
mod metrics;
mod privileges;
mod proxy_protocol;
mod queue;
mod resolvers;
mod retries;
mod rules;
mod runtime;
mod saved_states;
mod server_states;
mod timeouts;
