//! The running proxy: its threads, its listening sockets, the generation in force and those that
//! drain.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use evenkeel_config::Config;

use crate::change::Cause;
use crate::cut::Alarm;
use crate::generation::{Carried, Generation};
use crate::relay::{HELD_LIMIT_BYTES, Held};
use crate::saved::SavedServer;
use crate::sockets::{AbsentAddress, BindError, Ownership, Sockets};
use crate::spin::Spinning;
use crate::stats::ProcessStats;
use crate::supply::Supply;
use crate::tallies::Tallies;
use crate::workers::Workers;
use crate::{Logs, Service, Shared};

/// What the machine and the command line decide rather than the configuration.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where log lines go through.
    pub logs: Logs,
    /// The process's limit on client connections.
    pub maxconn: u32,
    /// Data-plane threads, at least one.
    pub threads: usize,
    /// What serves frontends that answer by themselves.
    pub service: Service,
    /// What an earlier process wrote down of servers, by the places of backend and server.
    pub saved: Vec<(usize, usize, SavedServer)>,
    /// What the process that this one follows had counted.
    pub tallies: Option<Tallies>,
}

/// Why a reload was refused; everything is as it was.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// Addresses that cannot be listened on.
    #[error("{} of the addresses cannot be listened on", .0.len())]
    Bind(Vec<BindError>),
    /// The system refuses a thread or a descriptor.
    #[error("the system refuses what the new configuration needs")]
    System(#[from] io::Error),
}

/// A running proxy. Lives on the control runtime, where checks run; connections live on threads
/// of its own.
pub struct Proxy {
    pub(crate) shared: Arc<Shared>,
    pub(crate) sockets: Sockets,
    pub(crate) current: Arc<Generation>,
    /// Replaced generations that still have sessions.
    draining: Vec<Arc<Generation>>,
    pub(crate) threads: usize,
    /// The limit that the configuration and the descriptors set.
    pub(crate) hard_maxconn: u32,
    pub(crate) is_stopping: bool,
    spinning: Arc<Spinning>,
    // Last: tasks are told to end before their threads are.
    workers: Workers,
}

impl Proxy {
    /// Starts `config` on `sockets`, which [`Sockets::bind`] has opened for it. Must be called on
    /// the control runtime.
    ///
    /// # Errors
    ///
    /// The system refuses a thread or a descriptor.
    pub fn start(config: Config, mut sockets: Sockets, settings: Settings) -> io::Result<Self> {
        let age = settings.tallies.as_ref().map(|tallies| tallies.age);
        let shared = Arc::new(Shared {
            stats: ProcessStats::new(settings.maxconn, age.unwrap_or_default()),
            held: Held::new(HELD_LIMIT_BYTES),
            alarm: Alarm::new(),
            logs: settings.logs,
            service: settings.service,
        });
        let threads = settings.threads.max(1);
        let spinning = Arc::new(Spinning::new(&config.global));
        let mut workers = Workers::new(spinning.clone(), shared.alarm.clone(), shared.logs.clone());
        workers.grow(threads)?;
        let mut current = Generation::new(config, &Carried::default(), &shared);
        let cause = match settings.tallies {
            Some(_) => Cause::Handed,
            None => Cause::Saved,
        };
        current.restore(&settings.saved, cause);
        if let Some(tallies) = &settings.tallies {
            tallies.restore(&shared.stats, &current, settings.maxconn);
            current.settle(&mut sockets);
        }
        let listening = sockets.duplicates(&current.config, threads)?;
        current.start(listening, &workers, threads);
        Ok(Self {
            shared,
            sockets,
            current: Arc::new(current),
            draining: Vec::new(),
            threads,
            hard_maxconn: settings.maxconn,
            is_stopping: false,
            spinning,
            workers,
        })
    }

    /// Puts `config` in force: what it needs is opened first, and only then does the running
    /// generation stop to accept and drain. Sockets that are kept stay open throughout. Returns
    /// the addresses that no interface has.
    ///
    /// # Errors
    ///
    /// Nothing has changed then.
    pub fn reload(
        &mut self,
        config: Config,
        maxconn: u32,
        threads: usize,
    ) -> Result<Vec<AbsentAddress>, ReloadError> {
        let threads = threads.max(1);
        self.workers.grow(threads)?;
        let absent = self
            .sockets
            .bind(&config, threads, Ownership::Exclusive)
            .map_err(ReloadError::Bind)?;
        let listening = match self.sockets.duplicates(&config, threads) {
            Ok(listening) => listening,
            Err(error) => {
                self.sockets.retain(&self.current.config);
                return Err(error.into());
            }
        };
        self.shared.stats.gate.set_limit(maxconn);
        self.hard_maxconn = maxconn;
        self.spinning.set(&config.global);
        self.threads = threads;
        let mut next = Generation::new(config, &self.current.carry(), &self.shared);
        next.number = self.current.number + 1;
        self.current.stop_checks();
        next.start(listening, &self.workers, threads);
        let old = std::mem::replace(&mut self.current, Arc::new(next));
        self.sockets.retain(&self.current.config);
        old.stop_accepting(|bind| !self.sockets.has(bind));
        let limit = self.current.config.global.hard_stop_after;
        let drain = old.clone();
        drop(tokio::spawn(async move { drain.drained(limit).await }));
        self.draining.retain(|generation| !generation.is_drained());
        self.draining.push(old);
        self.shared.stats.reloads.fetch_add(1, Relaxed);
        Ok(absent)
    }

    /// Has the next reload listen on what another process opened for it, and open nothing itself.
    pub fn supply(&mut self, supply: Supply) {
        self.sockets.supply = Some(supply);
    }

    /// Counts a reload that came to nothing.
    pub fn note_failed_reload(&self) {
        self.shared.stats.failed_reloads.fetch_add(1, Relaxed);
    }

    /// What was counted so far, for the process that follows this one.
    #[must_use]
    pub fn tallies(&self) -> Tallies {
        Tallies::of(&self.shared.stats, &self.current, self.hard_maxconn)
    }

    /// Counts what the process before this one, which still drains, has counted since it last told.
    pub fn add(&self, more: &Tallies) {
        more.add(&self.shared.stats, &self.current);
    }

    /// The frontends that commands shut down: their sockets are closed.
    pub fn shut_frontends(&self) -> impl Iterator<Item = &str> {
        let frontends = self.current.frontends.iter();
        let shut = frontends.filter(|frontend| frontend.shut_down.load(Relaxed));
        shut.map(|frontend| frontend.config.name.as_str())
    }

    /// Has sockets of frontends that commands paused refuse again: another process that has the same
    /// ones may have listened on them.
    pub fn pause_again(&self) {
        let frontends = self.current.frontends.iter();
        let paused = frontends.filter(|frontend| !*frontend.accepts.borrow());
        for bind in paused.flat_map(|frontend| &frontend.config.binds) {
            self.sockets.pause(bind);
        }
    }

    /// The configuration in force.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.current.config
    }

    /// How many generations there were before the one in force.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.current.number
    }

    /// The numbers of replaced generations that still have sessions, oldest first.
    pub fn draining_generations(&self) -> impl Iterator<Item = u64> {
        let draining = self.draining.iter();
        draining
            .filter(|generation| !generation.is_drained())
            .map(|generation| generation.number)
    }

    /// Ends the sessions of every replaced generation.
    pub fn cut_draining(&self) {
        self.draining
            .iter()
            .for_each(|generation| generation.kill());
    }

    pub(crate) fn workers(&self) -> &Workers {
        &self.workers
    }

    /// Every listening socket.
    #[must_use]
    pub fn sockets(&self) -> &Sockets {
        &self.sockets
    }

    /// Stops accepting; sessions go on, and so do checks. Whoever waits in an accept queue is
    /// still served, newcomers are refused; but at the sockets called what `is_kept` says somebody
    /// else serves both.
    pub fn drain(&mut self, is_kept: impl Fn(&str) -> bool) {
        self.is_stopping = true;
        self.shared.stats.is_stopping.store(true, Relaxed);
        self.sockets.close();
        self.current
            .stop_accepting(|bind| !is_kept(&Sockets::name_of(bind)));
        self.current.announce_stop();
    }

    /// Checks nothing any more: another process does.
    pub fn rest(&self) {
        self.current.stop_checks();
    }

    /// Waits until no session is left; what lives past `hard-stop-after`, or past `limit` if that
    /// comes first, both counted from this call, is cut, which nobody waits for (see
    /// [`ended`](Self::ended)). Whether all ended by themselves. Comes after [`drain`](Self::drain).
    pub fn drained(&self, limit: Option<Duration>) -> impl Future<Output = bool> + use<> {
        let configured = self.current.config.global.hard_stop_after;
        let limit = configured.into_iter().chain(limit).min();
        let waits: Vec<_> = self
            .generations()
            .map(|generation| {
                let generation = generation.clone();
                tokio::spawn(async move { generation.drained(limit).await })
            })
            .collect();
        async move {
            let mut all = true;
            for wait in waits {
                all &= wait.await.unwrap_or(false);
            }
            all
        }
    }

    /// Waits until no session is left, for as long as that takes: a thread that hangs ends none.
    pub fn ended(&self) -> impl Future<Output = ()> + use<> {
        let generations: Vec<_> = self.generations().cloned().collect();
        async move {
            for generation in generations {
                generation.ended().await;
            }
        }
    }

    /// Ends everything now.
    pub fn kill(&mut self) {
        self.is_stopping = true;
        self.shared.stats.is_stopping.store(true, Relaxed);
        self.sockets.close();
        self.generations().for_each(|generation| generation.kill());
    }

    /// Whether every data-plane thread answered since the last call; asks each one anew. Meant to
    /// be called every few seconds.
    #[must_use]
    pub fn heartbeat(&self) -> bool {
        self.workers.heartbeat()
    }

    /// Asks every data-plane thread for a sign of life; the future is done when all have given it.
    /// `false`: one of them has ended.
    pub fn pulse(&self) -> impl Future<Output = bool> + Send + use<> {
        let asked: Vec<_> = self
            .workers
            .handles()
            .map(|thread| thread.spawn(async {}))
            .collect();
        async move {
            for answer in asked {
                if answer.await.is_err() {
                    return false;
                }
            }
            true
        }
    }

    /// Whether it has been told to end, and takes no new connections.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.is_stopping
    }

    fn generations(&self) -> impl Iterator<Item = &Arc<Generation>> {
        self.draining.iter().chain([&self.current])
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.kill();
    }
}
