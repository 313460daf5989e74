//! What each command of the command line does, from its arguments to its exit status.

mod apply;
mod certs;
mod consent;
mod files;
mod open;
mod operate;
mod pages;
mod preflight;
mod token;
mod verify;

use std::path::Path;
use std::process::ExitCode;

use crate::cli::{Cli, Command};
use crate::inventory::init::{InitArgs, InitError, run_init};
use crate::operations::kubeconfig::Current;

/// Why a command ended without doing what it was for; printed once, in `main`.
#[derive(Debug, thiserror::Error)]
pub enum Stop {
    /// A mistake in the command line or in the inventory: exit status 2.
    #[error("{0}")]
    Mistake(String),
    /// Something failed: exit status 1.
    #[error("{0}")]
    Failed(String),
    /// The operator wanted no more: exit status 130.
    #[error("{0}")]
    Interrupted(String),
}

/// Runs the command.
///
/// # Errors
///
/// What the operator has to read.
pub async fn run(cli: Cli) -> Result<ExitCode, Stop> {
    let Cli { command, file } = cli;
    match command {
        Command::Plan { shown, connect } => {
            let done = apply::plan(&file, &connect, shown.for_programs()).await;
            pages::failure(done, shown)
        }
        Command::Verify {
            timeout,
            skip,
            shown,
            connect,
        } => {
            let limit = std::time::Duration::from_secs(timeout);
            let done = verify::verify(&file, &connect, limit, skip, shown.for_programs()).await;
            pages::failure(done, shown)
        }
        Command::Init(args) => init(&args, &file),
        Command::Preflight { shown, connect } => {
            let done = preflight::preflight(&file, &connect, shown.for_programs()).await;
            pages::failure(done, shown)
        }
        Command::Apply { dry_run: true, .. } => Err(Stop::Mistake(
            "`evenkeel-bootstrap plan` shows what apply would do, and apply shows it before it asks"
                .to_owned(),
        )),
        Command::Apply {
            yes,
            skip_preflight,
            skip,
            kubeconfig,
            connect,
            dry_run: false,
        } => {
            let wanted = apply::Wanted {
                yes,
                skip_preflight,
                skip_verify: skip,
                kubeconfig,
            };
            apply::apply(&file, &connect, wanted).await
        }
        Command::Kubeconfig {
            output,
            current,
            connect,
        } => {
            let current = if current {
                Current::This
            } else {
                Current::Kept
            };
            operate::kubeconfig(&file, &connect, output, current).await
        }
        Command::Token {
            control_plane,
            connect,
        } => token::token(&file, &connect, control_plane).await,
        Command::Add(new) => files::add(&file, &new),
        Command::Remove {
            node,
            gently,
            yes,
            connect,
        } => operate::remove(&file, &connect, &node, gently.into(), yes).await,
        Command::Reset {
            node,
            force,
            gently,
            yes,
            connect,
        } => operate::reset(&file, &connect, node.as_deref(), force, gently.into(), yes).await,
        Command::Upgrade {
            gently,
            yes,
            connect,
        } => operate::upgrade(&file, &connect, gently.into(), yes).await,
        Command::Certs {
            renew,
            session_wait,
            yes,
            connect,
        } => {
            let sessions = std::time::Duration::from_secs(session_wait);
            certs::certs(&file, &connect, renew.then_some(sessions), yes).await
        }
        Command::Backup { output, connect } => operate::backup(&file, &connect, output).await,
        Command::Man => pages::man(),
        Command::Completions { shell } => pages::completions(shell),
    }
}

fn init(args: &InitArgs, file: &Path) -> Result<ExitCode, Stop> {
    match run_init(args, file) {
        Ok(said) => apply::print(&said).map(|()| ExitCode::SUCCESS),
        Err(error @ InitError::Io { .. }) => Err(Stop::Failed(apply::with_causes(&error))),
        Err(error) => Err(Stop::Mistake(error.to_string())),
    }
}
