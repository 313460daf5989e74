//! Runs a plan: the very value that was shown. Each step asks first whether it is done, acts, and asks
//! again; the first failure ends the run, and the next run goes on from there, since its plan has only
//! what is left.

mod acts;
mod clock;
mod credentials;
mod failed;
mod known;
mod lock;
mod log;
mod progress;
mod runner;

pub use credentials::Credentials;
pub use failed::{Failed, Reason};
pub use known::Known;
pub use lock::{Lock, LockError, voters};
pub use log::{Log, LogError};
pub use progress::Progress;
pub use runner::{Run, Summary, UPLOADS_AT_ONCE};

#[cfg(test)]
mod told;
