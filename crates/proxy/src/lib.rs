//! Accepts, chooses, connects, relays, drains.
//!
//! Must not know text formats of the configuration, nor signals.

mod accounts;
mod admin;
mod backend;
mod balance;
#[cfg(feature = "bench")]
#[doc(hidden)]
pub mod bench;
mod change;
mod checks;
mod cut;
mod dial;
mod end;
mod engine;
mod essential;
mod fitness;
mod gate;
mod generation;
mod greeting;
mod handed;
mod inspect;
mod kernel;
mod listener;
mod local;
mod log;
mod names;
mod observe;
mod places;
mod proxy;
mod queue;
mod reactor;
mod relay;
mod roll;
mod rules;
mod saved;
mod server;
mod session;
mod slowstart;
mod snapshot;
mod socket_options;
mod sockets;
mod spin;
mod stats;
mod supply;
mod tallies;
#[cfg(test)]
mod testing;
mod unix_socket;
mod workers;

pub use accounts::{group_id, user_id};
pub use admin::{Counters, SaidHealth, ServerAt};
pub use change::FixedWeight;
pub use fitness::{Admin, AdminState};
pub use handed::Handed;
pub use kernel::remember;
pub use local::{Answer, Line, Service, Verdict, Visit};
pub use log::{Doors, Level, Logs, Messages, Sink, Stream, stderr_is_the_journal};
pub use proxy::{Proxy, ReloadError, Settings};
pub use roll::{Roll, SessionSnapshot};
pub use saved::{SavedHealth, SavedServer};
pub use snapshot::*;
pub use sockets::{AbsentAddress, BindError, Ownership, Sockets, describe};
pub use supply::{Holdings, Ledger, Supply};
pub use tallies::{Counts, FrontendOrders, Orders, Spot, Tallies};

/// What all generations of the process share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) stats: stats::ProcessStats,
    pub(crate) held: relay::Held,
    /// Rings when sessions are cut.
    pub(crate) alarm: cut::Alarm,
    pub(crate) logs: Logs,
    /// Serves frontends that answer by themselves.
    pub(crate) service: Service,
}
