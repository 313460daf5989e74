//! `plan` and `apply`: the same plan, shown or run.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Mutex;

use tokio::sync::Semaphore;

use super::Stop;
use super::consent::{agreed, lock, refused, unless_stopped};
use super::open::{look, session, tell};
use crate::apply::{Known, Lock, Progress, Reason, Run, UPLOADS_AT_ONCE};
use crate::cli::Connect;
use crate::facts::{Facts, Manifest};
use crate::manifests;
use crate::operations::kubeconfig::Current;
use crate::plan::{self, Plan, steps};
use crate::session::{Interrupt, Session};
use crate::verify::{self, Topic};

/// Prints what would be done.
pub(super) async fn plan(file: &Path, connect: &Connect, json: bool) -> Result<ExitCode, Stop> {
    let session = look(file, connect, "plan").await?;
    let mut facts = session.facts().await;
    facts.manifests = manifests(&session).await?;
    let plan = make(&session, &facts)?;
    let text = if json {
        serde_json::to_string_pretty(&plan).map_err(|cause| Stop::Failed(cause.to_string()))? + "\n"
    } else {
        plan.to_string()
    };
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// How an apply is wanted.
pub(super) struct Wanted {
    pub(super) yes: bool,
    pub(super) skip_preflight: bool,
    pub(super) skip_verify: Vec<Topic>,
    /// Merged at the end.
    pub(super) kubeconfig: bool,
}

/// Shows the plan, asks, and runs it.
pub(super) async fn apply(
    file: &Path,
    connect: &Connect,
    wanted: Wanted,
) -> Result<ExitCode, Stop> {
    let session = session(file, connect, "apply").await?;
    let interrupt = Interrupt::listen();
    // Before the facts: nobody shall change what the plan is made of.
    let lock = lock(&session).await?;
    let mut facts = unless_stopped(&interrupt, session.facts()).await?;
    if !wanted.skip_preflight {
        let look = super::preflight::stop_at_errors(&session, &facts);
        unless_stopped(&interrupt, look).await??;
    }
    facts.manifests = unless_stopped(&interrupt, manifests(&session)).await??;
    let plan = make(&session, &facts)?;
    print(&plan.to_string())?;
    if !plan.is_empty() && !wanted.yes && !agreed(&plan, &interrupt).await? {
        return Err(refused(&interrupt));
    }
    run(&session, &lock, &facts, &plan, &interrupt).await?;
    drop(lock);
    let options = verify::Options {
        skip: wanted.skip_verify,
        without: session.without.clone(),
        ..verify::Options::default()
    };
    let look = super::verify::wait(&session, &options);
    let report = unless_stopped(&interrupt, look).await?;
    print(&report.to_string())?;
    if wanted.kubeconfig {
        super::operate::merge_kubeconfig(&session, None, Current::Kept).await?;
    }
    Ok(if report.is_met() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Runs a plan on the session's hosts and says how it went.
pub(super) async fn run(
    session: &Session,
    lock: &Lock,
    facts: &Facts,
    plan: &Plan,
    interrupt: &Interrupt,
) -> Result<(), Stop> {
    let progress = Progress::new(plan.steps().count());
    let inventory = &session.inventory;
    let run = Run {
        machines: &session.machines,
        log: &session.log,
        progress: &progress,
        hash_ca: &|pem| steps::ca_hash::of_pem(pem).map_err(|error| error.to_string()),
        stop: &|| interrupt.is_asked(),
        held: &|| lock.is_held(),
        ca_host: &steps::join::live_master(inventory, facts).name,
        uploads: Semaphore::new(UPLOADS_AT_ONCE),
        known: Mutex::new(Known::default()),
    };
    let record = session.log.path().display();
    let outcome = run.all(plan).await;
    if let Err(why) = run.retire().await {
        tell(&why);
    }
    match outcome {
        Ok(summary) => {
            tell(&format!(
                "{} steps done, {} were already; the record is {record}",
                summary.done, summary.already
            ));
            Ok(())
        }
        Err(failed) => {
            let told = format!(
                "{failed}\nall that was run is in {record}; the same command goes on from here"
            );
            Err(match failed.reason {
                Reason::Stopped => Stop::Interrupted(told),
                _ => Stop::Failed(told),
            })
        }
    }
}

/// What is to be applied to the cluster. After the hosts were looked at, since it may come from the network.
async fn manifests(session: &Session) -> Result<Vec<Manifest>, Stop> {
    manifests::load(&session.inventory).await.map_err(|errors| {
        let errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
        Stop::Failed(errors.join("\n"))
    })
}

fn make(session: &Session, facts: &Facts) -> Result<Plan, Stop> {
    plan::plan(&session.inventory, facts)
        .map_err(|problems| Stop::Failed(format!("no plan can be made:\n{}", problems.join("\n"))))
}

pub(super) fn print(text: &str) -> Result<(), Stop> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(cause) if cause.kind() != io::ErrorKind::BrokenPipe => {
            Err(Stop::Failed(format!("cannot print: {cause}")))
        }
        _ => Ok(()),
    }
}

/// An error and all that caused it, on a line.
pub(super) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}
