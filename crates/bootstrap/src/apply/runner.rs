//! The loop over a plan.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use futures_util::stream::{FuturesUnordered, StreamExt};
use thiserror::Error;
use tokio::sync::Semaphore;
use tokio::time::sleep;

use super::progress::Ended;
use super::{Credentials, Log, Progress};
use crate::plan::steps::shell::KUBECTL;
use crate::plan::{Action, Fact, Later, Order, Plan, Stage, Step, Text, hash};
use crate::secret::Secret;
use crate::transport::{Failure, Machine, Outcome};

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

/// What has come to be known during a run.
#[derive(Debug, Default)]
pub struct Known {
    credentials: Option<Credentials>,
    announced: bool,
    /// The part of each token that is no secret.
    tokens: Vec<String>,
    ca_hash: Option<String>,
}

/// What a run did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Steps that acted.
    pub done: usize,
    /// Steps that found everything as it should be.
    pub already: usize,
}

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

/// For the question whether a step is done.
const PROBE_LIMIT: Duration = Duration::from_secs(60);
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

    async fn act_all(&self, machine: &Machine, actions: &[Action]) -> Result<(), Reason> {
        for action in actions {
            Box::pin(self.act(machine, action)).await?;
        }
        Ok(())
    }

    async fn act(&self, machine: &Machine, action: &Action) -> Result<(), Reason> {
        match action {
            Action::Write {
                path,
                content,
                mode,
                before,
                temporary,
            } => {
                // Somebody's own lines may have come in since the plan was made.
                let expected = before.as_ref().filter(|_| !temporary).map(hash);
                self.log.write(
                    &machine.name,
                    &format!("writes {path} (mode {mode:o}):\n{content}"),
                );
                let content = self.fill(content).await?;
                machine
                    .write(
                        path,
                        content.reveal().as_bytes(),
                        *mode,
                        expected.as_deref(),
                    )
                    .await
                    .map_err(Reason::Host)
            }
            Action::Upload { from, to, mode, .. } => {
                self.log
                    .write(&machine.name, &format!("copies {} to {to}", from.display()));
                let Ok(_place) = self.uploads.acquire().await else {
                    unreachable!("nobody closes it")
                };
                machine.upload(from, to, *mode).await.map_err(Reason::Host)
            }
            Action::Run { script, limit } => {
                let text = self.fill(script).await?;
                let outcome = self.order(machine, text.reveal(), *limit).await?;
                match outcome.status {
                    0 => Ok(()),
                    status => Err(Reason::Command {
                        command: script.to_string(),
                        status,
                        said: self.log.masked(&outcome.words()),
                    }),
                }
            }
            Action::Await {
                what,
                script,
                times,
                every,
                limit,
            } => {
                let script = self.fill(script).await?;
                self.wait_for(machine, what, script.reveal(), *times, *every, *limit)
                    .await
            }
            Action::Linger {
                script,
                every,
                limit,
                ..
            } => {
                let script = self.fill(script).await?;
                self.linger(machine, script.reveal(), *every, *limit).await
            }
            Action::Credentials { actions } => self.announce(machine, actions).await,
        }
    }

    async fn wait_for(
        &self,
        machine: &Machine,
        what: &str,
        script: &str,
        times: u32,
        every: Duration,
        limit: Duration,
    ) -> Result<(), Reason> {
        let began = Instant::now();
        let mut in_a_row = 0;
        loop {
            let left = limit
                .saturating_sub(began.elapsed())
                .max(Duration::from_secs(1));
            let said = match self.ask(machine, script, left.min(PROBE_LIMIT)).await {
                Ok(outcome) if outcome.status == 0 => {
                    in_a_row += 1;
                    outcome.words()
                }
                Ok(outcome) => {
                    in_a_row = 0;
                    outcome.words()
                }
                Err(Reason::Host(Failure::TimedOut { said, .. })) => {
                    in_a_row = 0;
                    said
                }
                Err(reason) => return Err(reason),
            };
            if in_a_row >= times {
                return Ok(());
            }
            if began.elapsed() + every >= limit {
                return Err(Reason::Late {
                    what: what.to_owned(),
                    limit,
                    said: self.log.masked(&said),
                });
            }
            if (self.stop)() {
                return Err(Reason::Stopped);
            }
            sleep(every).await;
        }
    }

    /// Tells what is waited for as it changes.
    async fn linger(
        &self,
        machine: &Machine,
        script: &str,
        every: Duration,
        limit: Duration,
    ) -> Result<(), Reason> {
        let began = Instant::now();
        let mut told = String::new();
        loop {
            let outcome = self.ask(machine, script, PROBE_LIMIT).await?;
            if outcome.status == 0 {
                return Ok(());
            }
            let words = self.log.masked(&outcome.words());
            let line = words.lines().next().unwrap_or_default().trim();
            if line != told {
                line.clone_into(&mut told);
                let (waited, limit) = (began.elapsed().as_secs(), limit.as_secs());
                self.progress
                    .line(&format!("{}: {told} ({waited} s of {limit})", machine.name));
            }
            if began.elapsed() + every >= limit {
                return Ok(());
            }
            if (self.stop)() {
                return Err(Reason::Stopped);
            }
            sleep(every).await;
        }
    }

    /// Has credentials that are known to the cluster and young.
    async fn announce(&self, machine: &Machine, actions: &[Action]) -> Result<(), Reason> {
        let announced = {
            let known = self.known();
            known.announced
                && known
                    .credentials
                    .as_ref()
                    .is_some_and(Credentials::are_young)
        };
        if announced {
            return Ok(());
        }
        let fresh = self.mint()?;
        self.known().credentials = Some(fresh);
        let outcome = self.act_all(machine, actions).await;
        self.tidy(machine, actions).await;
        self.known().announced = outcome.is_ok();
        outcome
    }

    /// Removes what was only for the step. What cannot be removed now is removed by the next run.
    async fn tidy(&self, machine: &Machine, actions: &[Action]) {
        let paths: Vec<_> = actions
            .iter()
            .filter_map(|action| match action {
                Action::Write {
                    path,
                    temporary: true,
                    ..
                }
                | Action::Upload {
                    to: path,
                    temporary: true,
                    ..
                } => Some(crate::plan::quote(path)),
                _ => None,
            })
            .collect();
        if !paths.is_empty() {
            let _ = self
                .ask(machine, &format!("rm -f {}", paths.join(" ")), PROBE_LIMIT)
                .await;
        }
    }

    /// Runs a script that only asks.
    async fn ask(
        &self,
        machine: &Machine,
        script: &str,
        limit: Duration,
    ) -> Result<Outcome, Reason> {
        let began = Instant::now();
        self.record(machine, script, began, machine.run(script, limit).await)
    }

    /// Runs a script that changes the host, once nothing of an earlier run does.
    async fn order(
        &self,
        machine: &Machine,
        script: &str,
        limit: Duration,
    ) -> Result<Outcome, Reason> {
        let began = Instant::now();
        self.record(
            machine,
            script,
            began,
            machine.run_alone(script, limit).await,
        )
    }

    /// Writes down what was run and what it said.
    fn record(
        &self,
        machine: &Machine,
        script: &str,
        began: Instant,
        outcome: Result<Outcome, Failure>,
    ) -> Result<Outcome, Reason> {
        let told = match &outcome {
            Ok(outcome) => format!("status {}", outcome.status),
            Err(failure) => failure.to_string(),
        };
        let words = outcome.as_ref().map(Outcome::words).unwrap_or_default();
        let took = began.elapsed().as_secs_f64();
        self.log.write(
            &machine.name,
            &format!("ran ({took:.1} s, {told}):\n{script}\n{words}"),
        );
        outcome.map_err(|failure| {
            Reason::Host(match failure {
                Failure::TimedOut { limit, said } => Failure::TimedOut {
                    limit,
                    said: self.log.masked(&said),
                },
                other => other,
            })
        })
    }

    /// Text with what is known by now in its gaps.
    ///
    /// # Errors
    ///
    /// What cannot be known.
    pub async fn fill(&self, text: &Text) -> Result<Secret, Reason> {
        for gap in text.gaps() {
            match gap {
                Later::CaHash if self.known().ca_hash.is_none() => {
                    let hash = self.ask_ca().await?;
                    self.known().ca_hash = Some(hash);
                }
                Later::Token | Later::CertificateKey if self.known().credentials.is_none() => {
                    let fresh = self.mint()?;
                    // `kubeadm init` makes them known by itself.
                    let mut known = self.known();
                    known.credentials = Some(fresh);
                    known.announced = true;
                }
                _ => {}
            }
        }
        let known = self.known();
        text.fill(|gap| match gap {
            Later::Token => known.credentials.as_ref().map(|made| made.token.clone()),
            Later::CertificateKey => known
                .credentials
                .as_ref()
                .map(|made| made.certificate_key.clone()),
            Later::CaHash => known.ca_hash.clone().map(Secret::new),
        })
        .map_err(|gap| Reason::Here {
            doing: format!("fill in {}", gap.name()),
            why: "it is not known".to_owned(),
        })
    }

    fn mint(&self) -> Result<Credentials, Reason> {
        let fresh = Credentials::mint().map_err(|cause| Reason::Here {
            doing: "make a token".to_owned(),
            why: cause.to_string(),
        })?;
        self.log.hide(&fresh.token);
        self.log.hide(&fresh.certificate_key);
        let id = fresh.token.reveal().split('.').next().unwrap_or_default();
        self.known().tokens.push(id.to_owned());
        Ok(fresh)
    }

    /// Takes the tokens and the uploaded certificates of this run back, so that nobody joins by them any more.
    ///
    /// # Errors
    ///
    /// If the cluster could not be asked: they end by themselves.
    pub async fn retire(&self) -> Result<(), String> {
        let tokens = std::mem::take(&mut self.known().tokens);
        if tokens.is_empty() {
            return Ok(());
        }
        let secrets: String = tokens
            .iter()
            .map(|id| format!(" bootstrap-token-{id}"))
            .collect();
        let said = |why: String| {
            format!(
                "the tokens of this run could not be taken back and end within a day ({why}): kubeadm token delete {}",
                tokens.join(" ")
            )
        };
        let host = self.ca_host;
        let machine = self
            .machines
            .get(host)
            .ok_or_else(|| said(format!("{host} is not connected")))?;
        let script = format!(
            "{KUBECTL} -n kube-system delete secret --ignore-not-found --timeout=30s kubeadm-certs{secrets}\n"
        );
        match self.ask(machine, &script, PROBE_LIMIT).await {
            Ok(outcome) if outcome.status == 0 => Ok(()),
            Ok(outcome) => Err(said(format!("{host}: {}", outcome.words().trim()))),
            Err(reason) => Err(said(format!("{host}: {reason}"))),
        }
    }

    async fn ask_ca(&self) -> Result<String, Reason> {
        let here = |why: String| Reason::Here {
            doing: "compute the hash of the cluster's CA".to_owned(),
            why,
        };
        let machine = self
            .machines
            .get(self.ca_host)
            .ok_or_else(|| here(format!("{} is not connected", self.ca_host)))?;
        let outcome = self
            .ask(machine, "cat /etc/kubernetes/pki/ca.crt", PROBE_LIMIT)
            .await?;
        match outcome.status {
            0 => (self.hash_ca)(&outcome.stdout).map_err(here),
            _ => Err(here(outcome.words())),
        }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().expect("nobody panics while it is held")
    }
}

#[cfg(test)]
mod tests;
