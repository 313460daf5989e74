//! `verify`: whether the cluster is what the inventory says.

use std::cell::RefCell;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use super::Stop;
use super::apply::print;
use super::open::{look, tell};
use crate::cli::Connect;
use crate::session::Session;
use crate::verify::{self, Options, Report, Topic};

/// Waits until everything is as it should be, and reports.
pub(super) async fn verify(
    file: &Path,
    connect: &Connect,
    limit: Duration,
    skip: Vec<Topic>,
    json: bool,
) -> Result<ExitCode, Stop> {
    let session = look(file, connect, "verify").await?;
    let options = Options {
        limit,
        skip,
        without: session.without.clone(),
        ..Options::default()
    };
    let report = wait(&session, &options).await;
    let text = if json {
        serde_json::to_string_pretty(&report).map_err(|cause| Stop::Failed(cause.to_string()))?
            + "\n"
    } else {
        report.to_string()
    };
    print(&text)?;
    Ok(if report.is_met() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// What ends a run that has changed the cluster.
pub(super) async fn at_end(session: &Session) -> Result<ExitCode, Stop> {
    let report = wait(session, &Options::default()).await;
    print(&report.to_string())?;
    Ok(if report.is_met() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Looks until all is well, and says what is still missing whenever that changes.
pub(super) async fn wait(session: &Session, options: &Options) -> Report {
    let before = RefCell::new(Vec::new());
    let watch = |report: &Report| {
        let lacking: Vec<_> = report.lacking().collect();
        if *before.borrow() != lacking {
            for line in &lacking {
                session.log.write("cluster", &format!("not yet: {line}"));
            }
            if let Some(first) = lacking.first() {
                let more = lacking.len() - 1;
                let more = if more > 0 {
                    format!(" (and {more} more)")
                } else {
                    String::new()
                };
                tell(&format!("waiting: {first}{more}"));
            }
            *before.borrow_mut() = lacking;
        }
    };
    verify::verify(
        &session.inventory,
        &session.machines,
        &session.silent,
        options,
        &watch,
    )
    .await
}
