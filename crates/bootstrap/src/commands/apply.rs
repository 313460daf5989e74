//! `plan` and `apply`: the same plan, shown or run.

use std::io::{self, BufRead, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Mutex;

use super::Stop;
use super::open::{session, tell};
use crate::apply::{Known, Lock, Progress, Run};
use crate::cli::Connect;
use crate::facts::Facts;
use crate::manifests;
use crate::plan::{self, Plan, steps};
use crate::session::{Interrupt, Session};
use crate::verify;

/// Prints what would be done.
pub(super) async fn plan(file: &Path, connect: &Connect, json: bool) -> Result<ExitCode, Stop> {
    let session = session(file, connect, "plan").await?;
    let plan = make(&session, &facts(&session).await?)?;
    let text = if json {
        serde_json::to_string_pretty(&plan).map_err(|cause| Stop::Failed(cause.to_string()))? + "\n"
    } else {
        plan.to_string()
    };
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// Shows the plan, asks, and runs it.
pub(super) async fn apply(
    file: &Path,
    connect: &Connect,
    yes: bool,
    skip: bool,
) -> Result<ExitCode, Stop> {
    let interrupt = Interrupt::listen();
    let session = session(file, connect, "apply").await?;
    // Before the facts: nobody shall change what the plan is made of.
    let lock = lock(&session).await?;
    let facts = facts(&session).await?;
    if !skip {
        super::preflight::stop_at_errors(&session, &facts).await?;
    }
    let plan = make(&session, &facts)?;
    print(&plan.to_string())?;
    if !plan.is_empty() && !yes && !agreed(&session)? {
        return Err(Stop::Failed("nothing was changed".to_owned()));
    }
    run(&session, &facts, &plan, &interrupt).await?;
    drop(lock);
    let report = super::verify::wait(&session, &verify::Options::default()).await;
    print(&report.to_string())?;
    Ok(if report.is_met() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// One operator at a time, on the first control plane.
pub(super) async fn lock(session: &Session) -> Result<Lock, Stop> {
    let first = &session.inventory.first_master().name;
    let machine = session.machines.get(first).ok_or_else(|| {
        let why = session.silent.get(first).map_or("", String::as_str);
        Stop::Failed(format!("{first}: {why}"))
    })?;
    let user = std::env::var("USER").unwrap_or_else(|_| "somebody".to_owned());
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let time = jiff::Zoned::now().strftime("%Y-%m-%d %H:%M:%S %Z");
    let who = format!(
        "{user} on {} since {time}, process {}",
        host.trim(),
        std::process::id()
    );
    Lock::take(machine, &who)
        .await
        .map_err(|error| Stop::Failed(with_causes(&error)))
}

/// Runs a plan on the session's hosts and says how it went.
pub(super) async fn run(
    session: &Session,
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
        announce: &|| steps::join::announcement(inventory, facts),
        hash_ca: &|pem| steps::ca_hash::of_pem(pem).map_err(|error| error.to_string()),
        stop: &|| interrupt.is_asked(),
        ca_host: &steps::join::live_master(inventory, facts).name,
        known: Mutex::new(Known::default()),
    };
    let record = session.log.path().display();
    match run.all(plan).await {
        Ok(summary) => {
            tell(&format!(
                "{} steps done, {} were already; the record is {record}",
                summary.done, summary.already
            ));
            Ok(())
        }
        Err(failed) => Err(Stop::Failed(format!(
            "{failed}\nall that was run is in {record}; the same command goes on from here"
        ))),
    }
}

/// What the hosts, the cluster and this machine's manifests are like.
pub(super) async fn facts(session: &Session) -> Result<Facts, Stop> {
    let manifests = manifests::load(&session.inventory)
        .await
        .map_err(|errors| {
            let errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
            Stop::Failed(errors.join("\n"))
        })?;
    let mut facts = session.facts().await;
    facts.manifests = manifests;
    Ok(facts)
}

fn make(session: &Session, facts: &Facts) -> Result<Plan, Stop> {
    plan::plan(&session.inventory, facts)
        .map_err(|problems| Stop::Failed(format!("no plan can be made:\n{}", problems.join("\n"))))
}

pub(super) fn agreed(session: &Session) -> Result<bool, Stop> {
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        return Err(Stop::Mistake(
            "nobody is here to be asked; pass --yes to go on without".to_owned(),
        ));
    }
    let hosts = session.inventory.nodes.len();
    print(&format!("Do this on {hosts} hosts? [y/N] "))?;
    let mut answer = String::new();
    let _ = stdin.lock().read_line(&mut answer);
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
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
