//! Accepts, chooses, connects, relays, drains.
//!
//! Must not know text formats of the configuration, nor signals.

#[allow(dead_code, reason = "the backend that picks with it is not built yet")]
mod balance;
mod snapshot;

pub use snapshot::*;
