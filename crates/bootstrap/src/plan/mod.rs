//! What is to be done, as a value: [`Plan`]. Made from an inventory and facts alone, shown as it is
//! run and run as it is shown.

mod absent;
mod build;
mod fact;
mod print;
mod step;
pub mod steps;
mod text;

pub(crate) use absent::way_out;
pub use build::plan;
pub use fact::{BEGUN, Fact, quote};
pub use step::{Action, Order, Plan, Refusal, Stage, Step};
pub use text::{Later, Text};

use std::time::Duration;

use crate::facts::Facts;

/// SHA-256 of a text, or of bytes, in hexadecimal digits.
#[must_use]
pub fn hash(bytes: impl AsRef<[u8]>) -> String {
    ring::digest::digest(&ring::digest::SHA256, bytes.as_ref())
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// The steps that bring something that is not so yet. One that brings nothing it could be known by is always done.
pub(crate) fn unmet(facts: &Facts, steps: impl IntoIterator<Item = Step>) -> Vec<Step> {
    steps
        .into_iter()
        .filter(|step| {
            step.brings.is_empty() || !step.brings.iter().all(|fact| fact.holds(facts, &step.host))
        })
        .collect()
}

pub(crate) fn seconds(number: u64) -> Duration {
    Duration::from_secs(number)
}
