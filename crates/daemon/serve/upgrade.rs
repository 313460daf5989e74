//! The control loop's part in an upgrade: as the process that gives way, and as the one that follows.

use std::future::pending;
use std::os::fd::AsFd as _;
use std::time::{Duration, UNIX_EPOCH};

use tokio::sync::oneshot;

use super::{Control, DRAINS, every};
use crate::handover::{
    self, Document, Earlier, Giver, Heir, Launch, Offer, Reports, Step, program,
};
use crate::master::Outcome;
use crate::{notify, packets, runtime};

/// Why a command changes nothing: what another process knows already is not changed here.
pub(super) const HANDS_OVER: &str = "another process takes over at this moment; ask again";
/// How long a process drains that another one follows, unless it was told (`--drain-limit`): a day's
/// `kubectl exec` ends by itself, and daily updates leave no more than one or two processes behind.
const DRAIN_LIMIT: Duration = Duration::from_secs(24 * 3600);

impl Control {
    /// Has the program that is installed now follow this process.
    pub(super) fn begin_upgrade(&mut self, answer: oneshot::Sender<Outcome>) {
        let refusal = match () {
            () if self.draining.is_some() => Some(DRAINS),
            () if self.loading.is_some() => Some("a reload is under way; ask again after it"),
            () if self.upgrade.is_some() => Some("an upgrade is under way"),
            () => None,
        };
        let begun = match refusal {
            Some(why) => Err(why.to_owned()),
            None => self.launch_heir().map_err(|error| error.to_string()),
        };
        match begun {
            Ok(giver) => {
                tracing::info!("upgrading: starting the program that is installed now");
                self.upgrade = Some((giver, answer));
            }
            Err(why) => {
                tracing::error!("not upgrading: {why}");
                drop(answer.send(self.reloads.of_upgrade(Err(&why))));
            }
        }
    }

    fn launch_heir(&self) -> std::io::Result<Giver> {
        let unknown = || std::io::Error::other("it is not known how this process was started");
        let program = program().ok_or_else(unknown)?;
        let mut sockets = Vec::new();
        for (name, socket) in self.proxy.sockets().named() {
            sockets.push((name, socket.as_fd().try_clone_to_owned()?));
        }
        let admin = self.admin.as_ref();
        let admin =
            admin.map(|admin| Ok::<_, std::io::Error>((admin.address(), admin.listener()?.into())));
        let offer = Offer {
            sockets,
            admin: admin.transpose()?,
            shut: self.proxy.shut_frontends().map(str::to_owned).collect(),
        };
        let (ours, theirs) = packets::pair()?;
        match &self.keeper {
            Some(keeper) => Giver::begin(Launch::Kept(keeper.spawn(theirs)), ours, None, offer),
            None => Giver::begin(Launch::Own(program.clone()), ours, Some(theirs), offer),
        }
    }

    /// The process that is to follow is so far.
    pub(super) fn go_on(&mut self, step: Step) {
        match step {
            Step::Prepared(give) => {
                let view = self.view();
                let backends: Vec<_> = view.proxy.backends.iter().collect();
                let servers = runtime::servers::state(&backends);
                let started = self.started.duration_since(UNIX_EPOCH).unwrap_or_default();
                let tallies = self.proxy.tallies();
                self.told = Some(tallies.clone());
                // Who does not wait for it any more has said why.
                let _ = give.try_send(Document::new(started, servers, tallies));
            }
            Step::Serving { pid, taken, line } => {
                tracing::info!("upgraded: process {pid} serves, this one drains");
                notify::main_process(pid);
                notify::leave();
                self.is_followed = true;
                self.proxy.rest();
                let limit = self.options.drain_limit.unwrap_or(DRAIN_LIMIT);
                self.drain(|name| taken.contains(name), Some(limit));
                self.runtime = None;
                self.master = None;
                if let Some((_, answer)) = self.upgrade.take() {
                    drop(answer.send(self.reloads.of_upgrade(Ok(pid))));
                }
                let earlier = std::mem::take(&mut self.earlier);
                let told = self.told.take().unwrap_or_default();
                self.reports = Some(Reports::begin(line, told, earlier));
                self.reporting = Some(every(handover::PERIOD));
                self.report();
            }
            Step::Failed(why) => {
                self.told = None;
                self.proxy.pause_again();
                if let Some(keeper) = &self.keeper {
                    keeper.recall();
                }
                tracing::error!("upgrade failed, everything stays as it was: {why}");
                if let Some((_, answer)) = self.upgrade.take() {
                    drop(answer.send(self.reloads.of_upgrade(Err(&why))));
                }
            }
        }
    }

    /// Nobody is to follow: this process ends, and with it what it has started.
    pub(super) fn give_up_upgrade(&mut self) {
        let Some((giver, answer)) = self.upgrade.take() else {
            return;
        };
        // The keeper first: what it started, the thread that talks to it cannot end.
        if let Some(keeper) = &self.keeper {
            keeper.recall();
        }
        drop(giver);
        drop(answer.send(self.reloads.of_upgrade(Err(DRAINS))));
        self.told = None;
    }

    /// Whether another process knows already how everything is here, or takes over.
    pub(super) fn hands_over(&self) -> bool {
        self.told.is_some() || self.is_followed
    }

    /// Tells the process that follows what was counted since it was last told.
    pub(super) fn report(&mut self) {
        if let Some(reports) = &mut self.reports {
            reports.tell(self.proxy.tallies());
        }
    }

    /// Becomes the process that counts, in place of the one before.
    pub(super) async fn follow(&mut self, heir: Heir) {
        let names = self.proxy.sockets().named().map(|(name, _)| name);
        let names: Vec<String> = names.collect();
        let followed = tokio::task::spawn_blocking(move || heir.serving(names.into_iter())).await;
        match followed {
            Ok(lines) => self.earlier = Earlier::listen(lines),
            Err(error) => tracing::error!("cannot hear from the process before: {error}"),
        }
        if notify::keeps_descriptors() {
            self.surplus.iter().for_each(|name| notify::unstore(name));
        }
    }
}

pub(super) async fn next_step(upgrade: &mut Option<(Giver, oneshot::Sender<Outcome>)>) -> Step {
    match upgrade {
        Some((giver, _)) => giver.next().await,
        None => pending().await,
    }
}
