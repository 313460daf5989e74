//! Why a run ended before its plan did, as an operator reads it.

use std::fmt;
use std::time::Duration;

use thiserror::Error;

use crate::plan::Fact;
use crate::transport::Failure;

/// The step that ended a run.
#[derive(Debug)]
pub struct Failed {
    /// `master2/join`.
    pub step: String,
    /// The host.
    pub host: String,
    /// What it was to do.
    pub title: String,
    /// Why it did not.
    pub reason: Reason,
    /// What the operator can do.
    pub advice: String,
}

impl fmt::Display for Failed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Reason::Stopped | Reason::LockLost = self.reason {
            return self.reason.fmt(formatter);
        }
        write!(
            formatter,
            "{}: could not {}: {}",
            self.host, self.title, self.reason
        )?;
        if !self.advice.is_empty() {
            write!(formatter, "\nwhat to do: {}", self.advice)?;
        }
        Ok(())
    }
}

/// Why a step failed.
#[derive(Debug, Error)]
pub enum Reason {
    /// The host.
    #[error("the host {0}")]
    Host(#[source] Failure),
    /// A script.
    #[error("this ended with status {status}:\n{command}\nit said:\n{said}")]
    Command {
        /// The script.
        command: String,
        /// Its exit status.
        status: i32,
        /// Its output.
        said: String,
    },
    /// A condition that did not come.
    #[error("{what} did not come within {} s; the last answer was:\n{said}", limit.as_secs())]
    Late {
        /// What was waited for.
        what: String,
        /// For how long.
        limit: Duration,
        /// The last answer.
        said: String,
    },
    /// All went well, and yet.
    #[error("everything went well, and yet it is not so: {}", missing.iter().map(|fact| format!("{fact:?}")).collect::<Vec<_>>().join("; "))]
    NotSo {
        /// What is missing.
        missing: Vec<Fact>,
    },
    /// This machine.
    #[error("{doing}: {why}")]
    Here {
        /// What was tried here.
        doing: String,
        /// Why not.
        why: String,
    },
    /// The operator stopped it.
    #[error("stopped as you asked; run the same command again to go on")]
    Stopped,
    /// Somebody else may be at work by now.
    #[error(
        "the lock on the cluster was lost: too many of the hosts that hold it were out of reach for too long, or restarted; run the same command again to go on"
    )]
    LockLost,
}
