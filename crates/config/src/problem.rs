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

impl Place {
    /// The file as a whole.
    #[must_use]
    pub fn whole_file(name: &str) -> Self {
        Self {
            file: Arc::from(name),
            line: 0,
            column: 0,
        }
    }
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

impl Problem {
    /// Something that stops the configuration from loading.
    #[must_use]
    pub fn error(place: Place, message: String) -> Self {
        Self {
            severity: Severity::Error,
            place,
            message,
        }
    }

    /// Something that the operator should know.
    #[must_use]
    pub fn warning(place: Place, message: String) -> Self {
        Self {
            severity: Severity::Warning,
            place,
            message,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.severity {
            Severity::Error => write!(f, "{}: {}", self.place, self.message),
            Severity::Warning => write!(f, "{}: warning: {}", self.place, self.message),
        }
    }
}
