//! What a run needs before it changes anything: that nobody else does, and that the operator wants it.

use std::collections::BTreeSet;
use std::io::{self, IsTerminal};

use tokio::sync::oneshot;

use super::Stop;
use super::apply::{print, with_causes};
use super::open::tell;
use crate::apply::{Lock, voters};
use crate::plan::Plan;
use crate::session::{Interrupt, Session};

/// One operator at a time, whichever hosts are down, and nothing that an earlier one left running.
pub(super) async fn lock(session: &Session) -> Result<Lock, Stop> {
    let user = std::env::var("USER").unwrap_or_else(|_| "somebody".to_owned());
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let time = jiff::Zoned::now().strftime("%Y-%m-%d %H:%M:%S %Z");
    let who = format!(
        "{user} on {} since {time}, process {}",
        host.trim(),
        std::process::id()
    );
    let voters = voters(&session.inventory);
    let connected = |name: &str| {
        session
            .machines
            .get(name)
            .or_else(|| session.aside.get(name))
    };
    let machines: Vec<_> = voters
        .iter()
        .filter_map(|node| connected(&node.name))
        .collect();
    // The operator answers for those that are left out; one of them that answers is locked all the same.
    let counted = || {
        voters
            .iter()
            .filter(|node| !session.without.contains(&node.name))
    };
    let silent = counted().filter_map(|node| {
        let why = session.silent.get(&node.name)?;
        Some(format!("{}: {why}", node.name))
    });
    let lock = Lock::take(&machines, counted().count(), silent.collect(), &who)
        .await
        .map_err(|error| Stop::Failed(with_causes(&error)))?;
    session
        .settle(&tell)
        .await
        .map_err(|busy| Stop::Failed(busy.join("\n")))?;
    Ok(lock)
}

/// What `work` comes to, unless the operator wants no more before.
pub(super) async fn unless_stopped<T>(
    interrupt: &Interrupt,
    work: impl Future<Output = T>,
) -> Result<T, Stop> {
    let mut interrupt = interrupt.clone();
    tokio::select! {
        value = work => Ok(value),
        () = interrupt.asked() => Err(Stop::Interrupted("stopped as you asked".to_owned())),
    }
}

/// What an operator is told who does not agree.
pub(super) fn refused(interrupt: &Interrupt) -> Stop {
    let told = "nothing was changed".to_owned();
    match interrupt.is_asked() {
        true => Stop::Interrupted(told),
        false => Stop::Failed(told),
    }
}

/// Whether the operator says yes to a plan that was shown; Ctrl-C is a no. The lock is kept meanwhile.
pub(super) async fn agreed(plan: &Plan, interrupt: &Interrupt) -> Result<bool, Stop> {
    if !io::stdin().is_terminal() {
        return Err(Stop::Mistake(
            "nobody is here to be asked; pass --yes to go on without".to_owned(),
        ));
    }
    let hosts: BTreeSet<_> = plan.steps().map(|step| step.host.as_str()).collect();
    let hosts = match hosts.len() {
        1 => "1 host".to_owned(),
        number => format!("{number} hosts"),
    };
    print(&format!("Do this on {hosts}? [y/N] "))?;
    let (told, answer) = oneshot::channel();
    // A thread that nobody waits for: it may sit in its read until the program ends.
    std::thread::spawn(move || {
        let mut line = String::new();
        let _ = io::stdin().read_line(&mut line);
        let _ = told.send(line);
    });
    let mut interrupt = interrupt.clone();
    tokio::select! {
        line = answer => Ok(matches!(line.as_deref().map(str::trim), Ok("y" | "Y" | "yes"))),
        () = interrupt.asked() => Ok(false),
    }
}
