//! What was found, for eyes and for programs.

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};

use serde::Serialize;

use super::Condition;

/// The last look.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Report {
    /// Each with its outcome.
    pub conditions: Vec<Condition>,
    /// Hosts of which nothing was asked.
    pub without: BTreeSet<String>,
    /// What `kubectl get nodes` prints; empty if no API server answered.
    pub table: String,
}

impl Report {
    /// Whether everything is as it should be.
    #[must_use]
    pub fn is_met(&self) -> bool {
        self.conditions
            .iter()
            .all(|condition| condition.lacks.is_none())
    }

    /// What is not, each on a line; for a word while waiting.
    pub fn lacking(&self) -> impl Iterator<Item = String> {
        self.conditions.iter().filter_map(|condition| {
            let lacks = condition.lacks.as_ref()?;
            Some(format!("{}: {lacks}", condition.what))
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for condition in &self.conditions {
            match &condition.lacks {
                None => writeln!(out, "ok    {}", condition.what)?,
                Some(lacks) => writeln!(out, "NOT   {}: {lacks}", condition.what)?,
            }
        }
        for name in &self.without {
            writeln!(out, "left  {name}: nothing was asked of it, as you wanted")?;
        }
        if !self.table.is_empty() {
            out.write_char('\n')?;
            out.write_str(&self.table)?;
        }
        Ok(())
    }
}
