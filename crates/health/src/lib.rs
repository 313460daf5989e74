//! Says whether a server is fit for traffic.
//!
//! A pure state machine (no clock, no socket), a probe that asks a server once, and a driver
//! that waits, asks, feeds the machine and publishes. Must not know listeners or clients.

mod outcome;

pub use outcome::{CheckOutcome, CheckStatus};
