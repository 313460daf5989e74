//! The loop over a plan.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::Semaphore;

use super::progress::Ended;
use super::{Failed, Known, Log, Progress, Reason};
use crate::plan::{Fact, Order, Plan, Stage, Step};
use crate::transport::Machine;

/// What a run needs besides its plan.
pub struct Run<'a> {
    /// Every host of the plan, connected.
    pub machines: &'a BTreeMap<String, Machine>,
    /// The record.
    pub log: &'a Log,
    /// For the operator's eyes.
    pub progress: &'a Progress,
    /// What stands for `<ca-hash>`, from the text of `/etc/kubernetes/pki/ca.crt`.
    pub hash_ca: &'a dyn Fn(&str) -> Result<String, String>,
    /// Set when the operator wants no further step.
    pub stop: &'a dyn Fn() -> bool,
    /// Whether nobody else may change the cluster meanwhile.
    pub held: &'a dyn Fn() -> bool,
    /// The host whose CA is asked for.
    pub ca_host: &'a str,
    /// Places for files that are copied.
    pub uploads: Semaphore,
    /// What is known by now.
    pub known: Mutex<Known>,
}

/// What a run did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Steps that acted.
    pub done: usize,
    /// Steps that found everything as it should be.
    pub already: usize,
}

/// For the question whether a step is done.
pub(super) const PROBE_LIMIT: Duration = Duration::from_secs(60);
/// Files that are copied beside each other: a line carries no more for being shared by many.
pub const UPLOADS_AT_ONCE: usize = 4;

impl Run<'_> {
    /// Runs all of `plan`.
    ///
    /// # Errors
    ///
    /// The first step that failed; steps on other hosts that had begun by then were let end.
    pub async fn all(&self, plan: &Plan) -> Result<Summary, Failed> {
        let mut summary = Summary::default();
        let mut outcome = Ok(());
        for stage in plan.stages.iter().filter(|stage| !stage.steps.is_empty()) {
            self.progress.stage(&stage.title);
            outcome = self.stage(stage, &mut summary).await;
            if outcome.is_err() {
                break;
            }
        }
        self.progress.close();
        outcome.map(|()| summary)
    }

    async fn stage(&self, stage: &Stage, summary: &mut Summary) -> Result<(), Failed> {
        let most = match stage.order {
            Order::InTurn => 1,
            Order::AtOnce(most) => most.max(1),
        };
        // Lanes that run beside each other: one for all, or one for each host.
        let mut lanes: Vec<Vec<&Step>> = Vec::new();
        for step in &stage.steps {
            let lane = match stage.order {
                Order::InTurn => lanes.first_mut(),
                Order::AtOnce(_) => lanes.iter_mut().find(|lane| lane[0].host == step.host),
            };
            match lane {
                Some(lane) => lane.push(step),
                None => lanes.push(vec![step]),
            }
        }
        let failed = std::cell::Cell::new(false);
        let run_lane = async |lane: Vec<&Step>| {
            let mut ended = Vec::new();
            for step in lane {
                // Nothing begins after a failure anywhere.
                if failed.get() {
                    break;
                }
                let outcome = self.step(step).await;
                failed.set(failed.get() || outcome.is_err());
                ended.push(outcome);
            }
            ended
        };
        let mut waiting = lanes.into_iter();
        let mut running = FuturesUnordered::new();
        let mut first = Ok(());
        loop {
            // A lane is taken only where there is room for it.
            while running.len() < most && !failed.get() {
                let Some(lane) = waiting.next() else { break };
                running.push(run_lane(lane));
            }
            let Some(ended) = running.next().await else {
                break;
            };
            for outcome in ended {
                match outcome {
                    Ok(true) => summary.done += 1,
                    Ok(false) => summary.already += 1,
                    Err(failure) => first = first.and(Err(failure)),
                }
            }
        }
        first
    }

    /// Whether it had to act.
    async fn step(&self, step: &Step) -> Result<bool, Failed> {
        let failed = |reason: Reason| Failed {
            step: step.id.clone(),
            host: step.host.clone(),
            title: step.title.clone(),
            advice: match reason {
                Reason::Stopped | Reason::LockLost => String::new(),
                _ => step.advice.clone(),
            },
            reason,
        };
        if (self.stop)() {
            return Err(failed(Reason::Stopped));
        }
        if !(self.held)() {
            return Err(failed(Reason::LockLost));
        }
        let began = Instant::now();
        self.progress.begin(&step.host, &step.title);
        self.log
            .write(&step.host, &format!("begins {}: {}", step.id, step.title));
        let outcome = self.bring(step).await;
        let ended = match &outcome {
            Ok(true) => Ended::Done,
            Ok(false) => Ended::Already,
            Err(reason) => {
                self.log
                    .write(&step.host, &format!("failed {}: {reason}", step.id));
                match reason {
                    Reason::Stopped => Ended::Stopped,
                    _ => Ended::Failed,
                }
            }
        };
        self.progress.end(&step.host, &step.title, began, ended);
        outcome.map_err(failed)
    }

    async fn bring(&self, step: &Step) -> Result<bool, Reason> {
        let machine = self.machines.get(&step.host).ok_or_else(|| Reason::Here {
            doing: format!("find the host {}", step.host),
            why: "it is not connected".to_owned(),
        })?;
        if !step.brings.is_empty() && self.missing(machine, &step.brings).await?.is_empty() {
            return Ok(false);
        }
        let outcome = self.act_all(machine, &step.actions).await;
        self.tidy(machine, &step.actions).await;
        outcome?;
        let missing = self.missing(machine, &step.brings).await?;
        if missing.is_empty() {
            Ok(true)
        } else {
            Err(Reason::NotSo { missing })
        }
    }

    /// Which of these are not so.
    async fn missing(&self, machine: &Machine, facts: &[Fact]) -> Result<Vec<Fact>, Reason> {
        if facts.is_empty() {
            return Ok(Vec::new());
        }
        // The line begins a line of its own, whatever a probe may have said before.
        let script: String = facts
            .iter()
            .enumerate()
            .map(|(number, fact)| {
                format!(
                    "if ( {} ) >/dev/null; then echo so {number}; fi\n",
                    fact.probe()
                )
            })
            .collect();
        let answer = self.ask(machine, &script, PROBE_LIMIT).await?;
        let is_so = |number: usize| {
            answer
                .stdout
                .lines()
                .any(|line| line == format!("so {number}"))
        };
        Ok(facts
            .iter()
            .enumerate()
            .filter(|(number, _)| !is_so(*number))
            .map(|(_, fact)| fact.clone())
            .collect())
    }
}

#[cfg(test)]
mod tests;
