//! What evenkeel does, one file per behaviour, with the real binary and real sockets.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

#[path = "../support/mod.rs"]
mod support;

mod balance;
