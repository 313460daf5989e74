//! `preflight`: what is in the way, and how to get it out.

use std::io;
use std::path::Path;
use std::process::ExitCode;

use super::Stop;
use super::apply::print;
use super::open::{look, tell};
use crate::cli::Connect;
use crate::console::takes_color;
use crate::facts::Facts;
use crate::preflight;
use crate::session::Session;

/// Prints every finding; fails if one of them is an error.
pub(super) async fn preflight(
    file: &Path,
    connect: &Connect,
    json: bool,
) -> Result<ExitCode, Stop> {
    let session = look(file, connect, "preflight").await?;
    let facts = session.facts().await;
    let report = preflight::preflight(&session.inventory, &session.machines, &facts).await;
    print(&if json {
        report.json()
    } else {
        report.text(takes_color(&io::stdout()))
    })?;
    Ok(if report.has_errors() {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// For a run that would change hosts: says what was found, and goes no further if it is an error.
pub(super) async fn stop_at_errors(session: &Session, facts: &Facts) -> Result<(), Stop> {
    let report = preflight::preflight(&session.inventory, &session.machines, facts).await;
    tell(&report.text(takes_color(&io::stderr())));
    if report.has_errors() {
        return Err(Stop::Failed(
            "nothing was changed: mend the errors above, or pass --skip-preflight to go on all the same".to_owned(),
        ));
    }
    Ok(())
}
