//! Says whether a server is fit for traffic.
//!
//! A pure state machine (no clock, no socket), a probe that asks a server once, and a driver
//! that waits, asks, feeds the machine and publishes. Must not know listeners or clients.

mod agent;
mod answer;
mod connect;
mod fail_open;
mod header;
mod judge;
mod machine;
mod name_tally;
mod names;
mod origin;
mod outcome;
mod probe;
mod request;
mod run;
mod schedule;
mod services;
#[cfg(test)]
mod testing;
mod values;
mod watch;

pub use agent::{AgentAdmin, AgentReport, AgentSaid, parse_agent, watch_agent};
pub use answer::{Answer, End, Parsed, parse_answer};
pub use evenkeel_config::CheckStatus;
pub use fail_open::{Record, is_excused, take_verdict};
pub use header::{Behalf, crc32c_of, proxy_header};
pub use machine::{Change, Machine, Phase, interval};
pub use name_tally::NameTally;
pub use names::{Found, Known, Missing, Service, Target, follow, seat};
pub use origin::{PortTurn, connect_from, may_connect_from_anywhere};
pub use outcome::CheckOutcome;
pub use probe::{Situation, probe};
pub use schedule::{Beat, FirstCheck, Spread, first_checks};
pub use watch::{Report, watch};
