//! Says whether a server is fit for traffic.
//!
//! A pure state machine (no clock, no socket), a probe that asks a server once, and a driver
//! that waits, asks, feeds the machine and publishes. Must not know listeners or clients.

mod header;
mod machine;
mod origin;
mod outcome;
mod probe;
mod schedule;
#[cfg(test)]
mod testing;
mod watch;

pub use header::{Behalf, crc32c_of, proxy_header};
pub use machine::{Change, Machine, Phase, interval};
pub use origin::{PortTurn, connect_from, may_connect_from_anywhere};
pub use outcome::{CheckOutcome, CheckStatus};
pub use probe::probe;
pub use schedule::{Beat, FirstCheck, Spread, first_checks};
pub use watch::{Report, watch};
