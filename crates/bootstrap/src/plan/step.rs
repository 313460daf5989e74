//! The parts of a plan.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use super::{Fact, Text};
use crate::inventory::Node;

/// All that is to be done. Empty if everything is as the inventory wants it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Plan {
    /// One after the other.
    pub stages: Vec<Stage>,
    /// What the operator should know before saying yes.
    pub notes: Vec<String>,
}

/// A state of a host in which going on might destroy something: there is no plan then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The host that it was found on.
    pub host: String,
    /// What was found.
    pub what: String,
    /// What the operator can do.
    pub fix: String,
}

impl Plan {
    /// Every step, in order.
    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        self.stages.iter().flat_map(|stage| &stage.steps)
    }

    /// Whether nothing is to be done.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.stages.iter().all(|stage| stage.steps.is_empty())
    }
}

impl Refusal {
    /// One of a host.
    pub(super) fn of(node: &Node, what: String, fix: String) -> Self {
        Self {
            host: node.name.clone(),
            what,
            fix,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}; {}", self.host, self.what, self.fix)
    }
}

/// Steps that belong together. The next stage begins when all of them are done.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Stage {
    /// What it is about: `host names`, `join control planes`.
    pub title: String,
    /// How its steps follow each other.
    pub order: Order,
    /// The steps; those of one host always run in this order.
    pub steps: Vec<Step>,
}

/// How the steps of a stage follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// One after the other.
    InTurn,
    /// Hosts beside each other, at most so many at once.
    AtOnce(usize),
}

/// One thing that is done on one host.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Step {
    /// Unique in the plan and the same in each plan: `master2/join`.
    pub id: String,
    /// The host, by its name in the inventory.
    pub host: String,
    /// What it does, as a sentence without a full stop: `join master2 as a control plane`.
    pub title: String,
    /// What is so afterwards. If all of it already is, the step is left out, or passed over.
    pub brings: Vec<Fact>,
    /// How it is done.
    pub actions: Vec<Action>,
    /// What the operator can do if it fails.
    pub advice: String,
}

/// A part of a step. Scripts are POSIX shell, run as root by `sh -eu`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "action", rename_all = "kebab-case")]
pub enum Action {
    /// Puts a file in place, whole or not at all.
    Write {
        /// Absolute.
        path: String,
        /// All of it.
        content: Text,
        /// Permission bits.
        mode: u32,
        /// What is there now, for the printed difference; `None` if there is nothing, or it is unknown.
        before: Option<String>,
        /// Whether the file is removed when the step has ended, well or badly.
        temporary: bool,
    },
    /// Copies a file from this machine.
    Upload {
        /// Here.
        from: PathBuf,
        /// There; absolute.
        to: String,
        /// Permission bits.
        mode: u32,
        /// Whether the file is removed when the step has ended.
        temporary: bool,
    },
    /// Runs a script.
    Run {
        /// The script.
        script: Text,
        /// After which it is ended, and the step has failed.
        #[serde(serialize_with = "seconds")]
        limit: Duration,
    },
    /// Runs a script again and again until it succeeds.
    Await {
        /// What is waited for, as the end of `waiting for ...`.
        what: String,
        /// The script.
        script: Text,
        /// How often in a row it has to succeed.
        times: u32,
        /// Between two tries.
        #[serde(serialize_with = "seconds")]
        every: Duration,
        /// After which the step has failed.
        #[serde(serialize_with = "seconds")]
        limit: Duration,
    },
    /// Runs a script again and again until it succeeds or the time is over, and goes on in either case. The
    /// first line that it prints is shown whenever it changes.
    Linger {
        /// What is waited for, as the end of `waiting for ...`.
        what: String,
        /// The script.
        script: Text,
        /// Between two tries.
        #[serde(serialize_with = "seconds")]
        every: Duration,
        /// After which it goes on.
        #[serde(serialize_with = "seconds")]
        limit: Duration,
    },
    /// Has a token and certificate key that are good for `<token>` and `<certificate-key>`: makes them
    /// known to the cluster through this host, unless those of this run are young enough.
    Credentials {
        /// How.
        actions: Vec<Action>,
    },
}

fn seconds<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}
