//! One operator at a time: a lock on several hosts, so that none of them has to be up.
//!
//! Every balancer and control plane that answers is locked, in the order of their names, and more than half
//! of them all have to be held. Two operators each hold more than half, so that they meet on one host at
//! least, whatever either of them can reach; this is also so while their files differ by one node, since a
//! majority of n and one of n + 1 share a host. Fewer than three such hosts are filled up with workers: two
//! would have to be held both, and the loss of either would be the loss of the lock.
//!
//! A host gives its part back when our command there ends, which it does with this program or the
//! connection. A connection can also fall silent without an end: then the host gives its part back once it
//! has heard nothing of us for [`LEASE`], and we count it as lost some time before, by a clock that goes on
//! while this machine sleeps. No step begins unless the lock is held ([`Lock::is_held`]).

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use thiserror::Error;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::clock::now_ms;
use crate::inventory::{Inventory, Node, Role};
use crate::plan::quote;
use crate::transport::{BEGINS, Failure, Machine};

/// On each host; its text is who holds it.
const FILE: &str = "/run/evenkeel-bootstrap.lock";
/// What flock(1) shall end with if somebody else holds it.
const TAKEN: i32 = 75;
/// For a host's answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// For a program that has just ended: its host may see that a moment later.
const LAST_MOMENT: Duration = Duration::from_secs(3);
/// How long a host waits for a word of ours: a network may be away for some seconds.
const LEASE: Duration = Duration::from_secs(60);
/// How often it gets one.
const BEAT: Duration = Duration::from_secs(10);
/// How much earlier than the host we count its part as lost: for a step that has just been let begin.
const MARGIN: Duration = Duration::from_secs(15);
/// Of this many hosts any one may be lost.
const FEWEST: usize = 3;

/// The hosts that are locked, in the order in which they are: balancers and control planes, and workers if
/// those are fewer than three.
#[must_use]
pub fn voters(inventory: &Inventory) -> Vec<&Node> {
    let by_name = |want: fn(Role) -> bool| {
        let mut nodes: Vec<_> = inventory
            .nodes
            .iter()
            .filter(|node| want(node.role))
            .collect();
        nodes.sort_by(|one, other| one.name.cmp(&other.name));
        nodes
    };
    let mut voters = by_name(|role| role != Role::Worker);
    let missing = FEWEST.saturating_sub(voters.len());
    voters.extend(
        by_name(|role| role == Role::Worker)
            .into_iter()
            .take(missing),
    );
    voters
}

/// Held while it lives.
#[derive(Debug)]
pub struct Lock {
    holds: Vec<Hold>,
    votes: usize,
}

/// Why there is no lock.
#[derive(Debug, Error)]
pub enum LockError {
    /// Somebody else is at work.
    #[error(
        "somebody else is changing this cluster: {who}; wait until they have finished (the lock on {host} falls with their program)"
    )]
    Taken {
        /// What they left.
        who: String,
        /// Where the lock is.
        host: String,
    },
    /// Too few hosts could be locked.
    #[error(
        "{held} of the {votes} hosts that hold the cluster's lock could be locked, and {} are needed, so that nobody else is changing it from elsewhere: {}; bring one back, or leave those out that are off for certain (--without NAME)",
        majority(*votes), why.join("; ")
    )]
    TooFew {
        /// How many were.
        held: usize,
        /// Of how many.
        votes: usize,
        /// Each that was not, and why.
        why: Vec<String>,
    },
}

/// What has to be held of so many.
fn majority(votes: usize) -> usize {
    votes / 2 + 1
}

/// How a host is locked; tests have less patience.
#[derive(Clone, Debug)]
struct Terms {
    file: String,
    wait: Duration,
    lease: Duration,
    beat: Duration,
    margin: Duration,
}

impl Lock {
    /// Takes the lock on `hosts`, in that order, for `who`; or says who has it. Of `votes` hosts in all some
    /// do not answer: `silent` says which and why.
    ///
    /// # Errors
    ///
    /// If it is taken on one of them, or too few can be locked.
    pub async fn take(
        hosts: &[&Machine],
        votes: usize,
        silent: Vec<String>,
        who: &str,
    ) -> Result<Self, LockError> {
        let terms = Terms {
            file: FILE.to_owned(),
            wait: LAST_MOMENT,
            lease: LEASE,
            beat: BEAT,
            margin: MARGIN,
        };
        let hosts: Vec<_> = hosts.iter().map(|host| (*host, terms.clone())).collect();
        Self::take_by(&hosts, votes, silent, who).await
    }

    async fn take_by(
        hosts: &[(&Machine, Terms)],
        votes: usize,
        silent: Vec<String>,
        who: &str,
    ) -> Result<Self, LockError> {
        let mut why = silent;
        let mut holds = Vec::new();
        // One after the other and all in the same order: of two who begin together, the first host that both
        // reach decides.
        for (machine, terms) in hosts {
            match hold(machine, terms, who).await {
                Ok(Ok(hold)) => holds.push(hold),
                Ok(Err(who)) => {
                    let host = machine.name.clone();
                    return Err(LockError::Taken { who, host });
                }
                Err(said) => why.push(format!("{}: {said}", machine.name)),
            }
        }
        if holds.len() < majority(votes) {
            let held = holds.len();
            return Err(LockError::TooFew { held, votes, why });
        }
        Ok(Self { holds, votes })
    }

    /// Whether more than half of the hosts are still held.
    #[must_use]
    pub fn is_held(&self) -> bool {
        let held = self.holds.iter().filter(|hold| hold.is_held()).count();
        held >= majority(self.votes)
    }
}

/// One host's part, kept by a task that speaks to it.
#[derive(Debug)]
struct Hold {
    /// Until when by [`now_ms`].
    until_ms: Arc<AtomicI64>,
    keeper: JoinHandle<()>,
}

impl Hold {
    fn is_held(&self) -> bool {
        now_ms() < self.until_ms.load(Ordering::Relaxed)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        // The command on the host goes with the task.
        self.keeper.abort();
    }
}

/// Locks one host; or says who has it; or why it cannot be.
async fn hold(machine: &Machine, terms: &Terms, who: &str) -> Result<Result<Hold, String>, String> {
    let mut child = machine
        .hold(&script(terms, who))
        .map_err(|failure: Failure| failure.to_string())?;
    let (Some(mut stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
        unreachable!("the child was started with pipes")
    };
    if let Some(password) = machine.opening() {
        // Whoever does not read it has its words to say why.
        let _ = stdin
            .write_all(format!("{}\n", password.reveal()).as_bytes())
            .await;
    }
    let mut lines = BufReader::new(stdout).lines();
    let asked_ms = now_ms();
    // What comes before is a greeting.
    while next(&mut lines).await.is_some_and(|line| line != BEGINS) {}
    match next(&mut lines).await.as_deref() {
        Some("held") => {
            let until_ms = Arc::new(AtomicI64::new(terms.until_ms(asked_ms)));
            let keeper = keep(child, stdin, lines, until_ms.clone(), terms.clone());
            Ok(Ok(Hold {
                until_ms,
                keeper: tokio::spawn(keeper),
            }))
        }
        Some("taken") => Ok(Err(next(&mut lines)
            .await
            .unwrap_or_else(|| "it does not say who".to_owned()))),
        _ => {
            drop(stdin);
            Err(match timeout(PATIENCE, child.wait_with_output()).await {
                Ok(Ok(output)) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
                _ => format!("no answer within {} s", PATIENCE.as_secs()),
            })
        }
    }
}

/// What is run on the host. The holder's name stands in the file itself, written under the lock; what waits
/// for our words has the lock's descriptor, too, and ends with us.
fn script(terms: &Terms, who: &str) -> String {
    format!(
        "umask 077; exec 9>>{file} || exit 1; flock -w {wait} -E {TAKEN} 9; status=$?; \
         if [ $status -eq {TAKEN} ]; then echo taken; cat {file}; exit; fi; \
         [ $status -eq 0 ] || exit 1; printf '%s\\n' {who} >{file}; echo held; \
         while word=$(timeout {lease} sh -c 'read -r word && echo \"$word\"'); do echo \"$word\"; done",
        file = quote(&terms.file),
        who = quote(who),
        wait = terms.wait.as_secs_f64(),
        lease = terms.lease.as_secs_f64(),
    )
}

impl Terms {
    /// Until when a host that heard us at `heard_ms` at the earliest is counted as held.
    fn until_ms(&self, heard_ms: i64) -> i64 {
        let lease = self.lease.saturating_sub(self.margin).as_millis();
        heard_ms.saturating_add(i64::try_from(lease).unwrap_or(i64::MAX))
    }
}

/// Says a word every [`Terms::beat`], which the host says again.
async fn keep(
    _child: Child,
    mut stdin: ChildStdin,
    mut lines: Lines<BufReader<ChildStdout>>,
    until_ms: Arc<AtomicI64>,
    terms: Terms,
) {
    for number in 0_u64.. {
        sleep(terms.beat).await;
        let said_ms = now_ms();
        let word = number.to_string();
        if stdin
            .write_all(format!("{word}\n").as_bytes())
            .await
            .is_err()
        {
            break;
        }
        // A late answer is one all the same: what counts is when we spoke.
        match lines.next_line().await {
            Ok(Some(line)) if line == word => {
                until_ms.store(terms.until_ms(said_ms), Ordering::Relaxed);
            }
            _ => break,
        }
    }
    // The host's command has ended, or speaks of something else.
    until_ms.store(i64::MIN, Ordering::Relaxed);
}

async fn next(lines: &mut Lines<BufReader<ChildStdout>>) -> Option<String> {
    timeout(PATIENCE, lines.next_line()).await.ok()?.ok()?
}

#[cfg(test)]
mod tests;
