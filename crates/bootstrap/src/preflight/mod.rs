//! Whether hosts are fit for what is wanted: findings, each with a way out. Changes nothing; what has to be
//! tried from host to host is tried in `reach`, everything else is judged from facts alone.

mod print;
mod reach;
mod rules;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::facts::Facts;
use crate::inventory::Inventory;
use crate::transport::Machine;

pub use reach::{Advert, Outcome, Reach, Try};
pub(crate) use rules::ENDS_SOON_DAYS;
pub use rules::preflight_markdown;

/// One thing that an operator should know before anything is changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The host; empty where it is the cluster's.
    pub host: String,
    /// How much it matters.
    pub severity: Severity,
    /// The rule that found it, as the reference calls it.
    pub rule: &'static str,
    /// What is so.
    pub what: String,
    /// What to do.
    pub fix: String,
}

/// How much a [`Finding`] matters, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The cluster would not come up, or would not stay up.
    Error,
    /// It comes up, and something will hurt later.
    Warning,
    /// Nothing to be done, or apply does it.
    Note,
}

/// All findings, the worst first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// How many hosts were judged.
    pub hosts: usize,
    /// How many there are beside them that did not answer.
    pub silent: usize,
    /// What was found.
    pub findings: Vec<Finding>,
}

/// Judges all hosts: from `facts`, and by connecting from each connected host to those that it needs.
pub async fn preflight(
    inventory: &Inventory,
    machines: &BTreeMap<String, Machine>,
    facts: &Facts,
) -> Report {
    let reach = reach::reach(inventory, machines, facts).await;
    judge(inventory, facts, &reach)
}

/// Judges what was found out. Pure.
#[must_use]
pub fn judge(inventory: &Inventory, facts: &Facts, reach: &Reach) -> Report {
    let hosts = facts.hosts.values().filter(|host| host.is_ok()).count();
    Report {
        hosts,
        silent: facts.hosts.len() - hosts,
        findings: rules::all(inventory, facts, reach),
    }
}

impl Report {
    /// Whether something stands in the way: exit status 1.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.count(Severity::Error) > 0
    }

    fn count(&self, severity: Severity) -> usize {
        let of_that = |finding: &&Finding| finding.severity == severity;
        self.findings.iter().filter(of_that).count()
    }

    /// For programs: `{"hosts": 5, "silent": 0, "findings": [{"host", "severity", "rule", "what", "fix"}]}`.
    #[must_use]
    pub fn json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("plain data has a JSON text");
        text.push('\n');
        text
    }
}
