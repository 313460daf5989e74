//! Much at once and for long: mixed load while servers come and go and the configuration is
//! reloaded, and thousands of connections that do nothing.
//!
//! `EVENKEEL_SOAK_SECONDS` sets how long the mixed load lasts (30 unless told).

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

#[path = "../support/mod.rs"]
mod support;

mod exchange;
mod idle;
mod mixed;
mod process;
