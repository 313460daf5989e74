//! Accepts, chooses, connects, relays, drains.
//!
//! Must not know text formats of the configuration, nor signals.

mod snapshot;

pub use snapshot::*;
