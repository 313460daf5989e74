//! How one action of a step is done on its host, and written down.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::runner::PROBE_LIMIT;
use super::{Reason, Run};
use crate::plan::{Action, hash};
use crate::transport::{Failure, Machine, Outcome};

impl Run<'_> {
    pub(super) async fn act_all(
        &self,
        machine: &Machine,
        actions: &[Action],
    ) -> Result<(), Reason> {
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

    /// Removes what was only for the step. What cannot be removed now is removed by the next run.
    pub(super) async fn tidy(&self, machine: &Machine, actions: &[Action]) {
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
    pub(super) async fn ask(
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
}
