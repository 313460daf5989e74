//! What each command of the command line does, from its arguments to its exit status.

mod apply;
mod open;
mod pages;
mod verify;

use std::process::ExitCode;

use crate::cli::{Cli, Command};

/// Why a command ended without doing what it was for; printed once, in `main`.
#[derive(Debug, thiserror::Error)]
pub enum Stop {
    /// A mistake in the command line or in the inventory: exit status 2.
    #[error("{0}")]
    Mistake(String),
    /// Something failed: exit status 1.
    #[error("{0}")]
    Failed(String),
}

/// Runs the command.
///
/// # Errors
///
/// What the operator has to read.
pub async fn run(cli: Cli) -> Result<ExitCode, Stop> {
    let Cli {
        command,
        file,
        connect,
    } = cli;
    match command {
        Command::Plan { json } => apply::plan(&file, &connect, json).await,
        Command::Apply { yes } => apply::apply(&file, &connect, yes).await,
        Command::Verify {
            timeout,
            skip,
            format,
        } => {
            let limit = std::time::Duration::from_secs(timeout);
            verify::verify(&file, &connect, limit, skip, format).await
        }
        Command::Man => pages::man(),
        Command::Completions { shell } => pages::completions(shell),
    }
}
