//! What is wrong with a configuration, where, and what would be right.

use std::fmt;
use std::sync::Arc;

/// Where a piece of configuration stands: file, line and column, both counted from 1.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// The file's name as the operator gave it.
    pub file: Arc<str>,
    /// Line, from 1; 0 when the whole file is meant.
    pub line: u32,
    /// Column in characters, from 1; 0 when the whole line is meant.
    pub column: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.line, self.column) {
            (0, _) => write!(f, "{}", self.file),
            (line, 0) => write!(f, "{}:{line}", self.file),
            (line, column) => write!(f, "{}:{line}:{column}", self.file),
        }
    }
}

/// How much a [`Problem`] matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// The configuration loads; the line has no or another effect than it may seem.
    Warning,
    /// The configuration does not load.
    Error,
}

/// One thing wrong with a configuration: `lb.cfg:12:9: unknown keyword 'x'; did you mean 'y'?`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Whether it stops the configuration from loading.
    pub severity: Severity,
    /// Where it stands.
    pub place: Place,
    /// What is wrong and what would be right; lower case, no full stop.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.severity {
            Severity::Error => write!(f, "{}: {}", self.place, self.message),
            Severity::Warning => write!(f, "{}: warning: {}", self.place, self.message),
        }
    }
}
