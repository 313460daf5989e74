//! What every command that goes to the hosts does first: read the inventory, connect to all of them at the
//! same time, ask them what they are like.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::apply::Log;
use crate::console;
use crate::facts::{Facts, archives, gather};
use crate::inventory::{Inventory, Node, Transport};
use crate::plan::steps;
use crate::transport::{Machine, Options};

/// Hosts that are connected to beside each other: each is a process here.
const CONNECTS: usize = 64;
/// The same where they are reached through one host.
const CONNECTS_THROUGH_A_BASTION: usize = 8;

/// Hosts that were connected to.
#[derive(Debug)]
pub struct Session {
    /// What is wanted.
    pub inventory: Inventory,
    /// Those that answered, by name.
    pub machines: BTreeMap<String, Machine>,
    /// Those that answered and that the operator goes on without: nothing but the lock is theirs.
    pub aside: BTreeMap<String, Machine>,
    /// Those that did not, and why.
    pub silent: BTreeMap<String, String>,
    /// Those that the operator goes on without.
    pub without: BTreeSet<String>,
    /// The record of this run.
    pub log: Log,
}

/// For the removal of a few files.
const SETTLE_LIMIT: Duration = Duration::from_secs(60);

impl Session {
    /// Connects to every host of the inventory. Those of `without` are treated as if they did not answer,
    /// whether they do or not.
    /// Hosts that do not answer are in [`Session::silent`].
    pub async fn open(
        inventory: Inventory,
        options: &Options,
        without: BTreeSet<String>,
        log: Log,
    ) -> Self {
        if let Some(password) = &options.sudo_password {
            log.hide(password);
        }
        let mut session = Self {
            machines: BTreeMap::new(),
            aside: BTreeMap::new(),
            silent: BTreeMap::new(),
            without,
            log,
            inventory,
        };
        session.connect(options).await;
        session
    }

    async fn connect(&mut self, options: &Options) {
        let connect =
            async |node: &Node| (node.name.clone(), Machine::connect(node, options).await);
        // Who goes through a bastion meets its sshd's MaxStartups, which is 10 by default.
        let through =
            |node: &Node| matches!(&node.transport, Transport::Ssh(ssh) if ssh.bastion.is_some());
        let most = match self.inventory.nodes.iter().any(through) {
            true => CONNECTS_THROUGH_A_BASTION,
            false => CONNECTS,
        };
        let outcomes: Vec<_> = stream::iter(self.inventory.nodes.iter().map(connect))
            .buffer_unordered(most)
            .collect()
            .await;
        for (name, outcome) in outcomes {
            match outcome {
                Ok(machine) if self.without.contains(&name) => {
                    self.aside.insert(name, machine);
                }
                Ok(machine) => {
                    self.machines.insert(name, machine);
                }
                Err(failure) => {
                    self.log.write(&name, &failure.to_string());
                    self.silent.insert(name, failure.to_string());
                }
            }
        }
    }

    /// Waits until no host runs a script of an earlier run any more, whose program died, and removes what
    /// such a run left for one step alone: secrets and copies of packages. What is found out afterwards is
    /// not of the middle of a step. `tell` hears of whom we wait for.
    ///
    /// # Errors
    ///
    /// Each host that is still busy, or failed, and why.
    pub async fn settle(&self, tell: &dyn Fn(&str)) -> Result<(), Vec<String>> {
        /// Then it is no longer a matter of the way there.
        const SILENCE: Duration = Duration::from_secs(5);
        let asked = self.machines.iter().map(async |(name, machine)| {
            let script = steps::shell::leftovers();
            let settled = machine.run_alone(&script, SETTLE_LIMIT);
            tokio::pin!(settled);
            let outcome = match timeout(SILENCE, &mut settled).await {
                Ok(outcome) => outcome,
                Err(_) => {
                    tell(&format!(
                        "{name}: waiting for a command of an earlier run to end there"
                    ));
                    settled.await
                }
            };
            let why = match outcome {
                Ok(outcome) if outcome.status == 0 => return None,
                Ok(outcome) => outcome.words(),
                Err(failure) => failure.to_string(),
            };
            self.log.write(name, &why);
            Some(format!("{name}: {why}"))
        });
        let failed: Vec<_> = join_all(asked).await.into_iter().flatten().collect();
        if failed.is_empty() {
            Ok(())
        } else {
            Err(failed)
        }
    }

    /// Asks every host what it is like now, and the cluster, if there is one.
    pub async fn facts(&self) -> Facts {
        let mut facts = gather(&self.inventory, &self.machines).await;
        for (name, why) in &self.silent {
            facts.hosts.insert(name.clone(), Err(why.clone()));
        }
        for name in self.aside.keys() {
            let why = "is left out as you asked, though it answers".to_owned();
            facts.hosts.insert(name.clone(), Err(why));
        }
        facts.without.clone_from(&self.without);
        facts.archives = archives(&self.inventory);
        facts
    }
}

/// How often the operator asked to stop: once lets what has begun end, twice ends at once.
#[derive(Clone, Debug)]
pub struct Interrupt(watch::Receiver<bool>);

impl Interrupt {
    /// Listens from now on.
    #[must_use]
    pub fn listen() -> Self {
        let (told, interrupt) = watch::channel(false);
        tokio::spawn(async move {
            while tokio::signal::ctrl_c().await.is_ok() {
                if told.send_replace(true) {
                    std::process::exit(130);
                }
                console::tell("stopping after the steps that have begun; once more to leave them");
            }
        });
        Self(interrupt)
    }

    /// Whether nothing new shall begin.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        *self.0.borrow()
    }

    /// Comes back when that is so; never, if nobody listens for it any more.
    pub async fn asked(&mut self) {
        if self.0.wait_for(|asked| *asked).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
