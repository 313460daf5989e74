//! What evenkeel does, one file per behaviour, with the real binary and real sockets.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

#[path = "../support/mod.rs"]
mod support;

mod relays;

mod bad_reload;
mod balance;
mod busy_polling;
mod check_mode;
mod checks;
mod drain;
mod golden;
mod half_close;
mod health;
mod http;
mod logs;
mod master;
mod maxconn;
mod metrics;
mod own_files;
mod privileges;
mod proxy_protocol;
mod queue;
mod reload;
mod reset;
mod resolvers;
mod restart;
mod retries;
mod runtime;
mod server_states;
mod slow_reader;
mod source;
mod standard_error;
mod start;
mod timeouts;
mod upgrade;
mod vitals;
mod weights;
mod zero_bytes;
