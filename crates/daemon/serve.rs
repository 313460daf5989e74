//! The control loop: it owns the proxy, and every signal, scrape, reload and tick comes to it as
//! one event after the other.

mod upgrade;

use std::collections::BTreeSet;
use std::future::pending;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use evenkeel_config::{Loaded, Problem, Severity};
use evenkeel_proxy::{
    Doors, Level, Logs, Messages, Ownership, Proxy, ReloadError, Settings, Tallies,
};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinError, JoinHandle};
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::admin::{Admin, Bound};
use crate::background::Parent;
use crate::bind_report::Moment;
use crate::cli::{LogFormat, Options};
use crate::columns::View;
use crate::desk::{self, Desk, Question};
use crate::fd_store::FdStore;
use crate::handover::{Document, Earlier, Giver, Heir, Reports};
use crate::keeper::{Fetched, Keeper};
use crate::master::{self, How, Outcome, Reloads};
use crate::prepare::Prepared;
use crate::recorder::Recorder;
use crate::rights::{self, Rights};
use crate::runtime::{Ask, Facts, Reply, Request};
use crate::signals::{Signals, Wish};
use crate::vitals::Vitals;
use crate::{
    Exit, bind_report, diagnostics, files, foreign, http, inherit, limits, notify, port_owner,
    prepare, runtime,
};

/// How often recorded metrics are sorted into their buckets.
const UPKEEP: Duration = Duration::from_secs(5);
/// Why nothing new begins.
const DRAINS: &str = "the process drains toward its end";
/// How long the end waits for the threads to have cut and counted everything, and as long again for
/// the lines about it to be read; at most half of `--stop-limit` each, for whoever gave that limit has
/// somebody wait for the end.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// Commands that may wait for the control loop; whoever asks waits for its answer anyway.
const MOST_COMMANDS: usize = 16;

/// Serves until a signal ends it; a parent that waits is let go once this process serves.
pub(crate) async fn serve(
    prepared: Prepared,
    kept: Option<(Keeper, Doors)>,
    parent: &mut Option<Parent>,
    heir: &mut Option<Heir>,
) -> Result<Exit, String> {
    let mut signals =
        Signals::catch().map_err(|error| format!("cannot handle signals: {error}"))?;
    let recorder =
        Recorder::install().map_err(|error| format!("cannot record metrics: {error}"))?;
    let (ask, mut questions) = mpsc::channel(desk::MOST_QUESTIONS);
    let desk = Desk {
        recorder: recorder.clone(),
        questions: ask,
    };
    let (command, mut commands) = mpsc::channel(MOST_COMMANDS);
    let document = heir.as_ref().map(Heir::document).transpose()?;
    let mut control = Control::start(prepared, kept, document, recorder, desk, command)?;
    if let Some(heir) = heir.take() {
        control.follow(heir).await;
    }
    control.keep_sockets();
    notify::ready();
    tracing::info!("ready");
    if let Some(parent) = parent.take() {
        parent.serving();
    }
    let mut upkeep = every(UPKEEP);
    let mut watchdog = notify::watchdog_interval().map(every);
    loop {
        tokio::select! {
            wish = signals.next() => match wish {
                Wish::Stop(signal) => return Ok(control.stop(signal).await),
                Wish::Drain => control.drain_to_end(),
                Wish::Reload => control.begin_reload(),
                Wish::Bury => control.bury(),
            },
            Some(question) = questions.recv() => {
                control.answer(question);
            }
            Some(ask) = commands.recv() => control.obey(ask),
            loaded = loaded(&mut control.loading) => control.finish_reload(loaded),
            in_time = drained(&mut control.draining) => {
                if in_time {
                    tracing::info!("the last connection has ended");
                } else {
                    tracing::warn!("the time to drain has passed: the connections that were left are cut");
                }
                let patience = control.last_words();
                control.end(patience).await;
                return Ok(Exit::Code(0));
            }
            step = upgrade::next_step(&mut control.upgrade) => control.go_on(step),
            more = control.earlier.next() => control.proxy.add(&more),
            () = tick(&mut control.reporting) => control.report(),
            listeners = answered(&mut control.heirs) => control.leave_metrics_to(listeners),
            () = knocked(&control.doors) => control.reconnect_logs(),
            () = tick(&mut watchdog) => if control.proxy.heartbeat() { notify::alive() },
            _ = upkeep.tick() => control.recorder.upkeep(),
        }
    }
}

type Draining = Pin<Box<dyn Future<Output = bool>>>;
type Loading = JoinHandle<Result<Next, Vec<Problem>>>;

/// What a reload is to put in force.
enum Next {
    /// By a process that can open everything itself.
    Loaded(Box<Loaded>),
    /// With what its keeper opened.
    Fetched(Box<Fetched>),
}

/// The running proxy and what the daemon knows of it.
struct Control {
    options: Options,
    proxy: Proxy,
    /// The descriptors `fd@N` that the start took over.
    claimed: BTreeSet<i32>,
    logs: Logs,
    /// Who reads files and opens sockets when this process no longer may.
    keeper: Option<Keeper>,
    doors: Option<Doors>,
    /// What this process was left with.
    rights: Rights,
    /// The keeper's answer to who else serves metrics there.
    heirs: Option<oneshot::Receiver<u32>>,
    admin: Option<Admin>,
    desk: Desk,
    /// The stats sockets, while they are served.
    runtime: Option<runtime::Sockets>,
    command: mpsc::Sender<Ask>,
    facts: Arc<Facts>,
    /// The master's sockets.
    master: Option<runtime::Sockets>,
    reloads: Reloads,
    /// What becomes of open sessions when the load under way is in force.
    how: How,
    recorder: Recorder,
    started: SystemTime,
    /// The same moment on the clock that only goes forward.
    began: Instant,
    /// The files are being read again, on a thread that may block.
    loading: Option<Loading>,
    /// Another reload was asked for meanwhile.
    reload_again: bool,
    /// Ends with the last connection; says whether it ended by itself.
    draining: Option<Draining>,
    /// What the service manager keeps over a restart.
    store: FdStore,
    /// What the process before listened on and this one does not.
    surplus: BTreeSet<String>,
    /// Another process is about to follow this one, which somebody wants to hear of.
    upgrade: Option<(Giver, oneshot::Sender<Outcome>)>,
    /// What the process that is to follow, or does, knows of what was counted.
    told: Option<Tallies>,
    /// It does follow.
    is_followed: bool,
    /// It hears of what this one counts while it drains, so often.
    reports: Option<Reports>,
    reporting: Option<Interval>,
    /// Those before this one that still drain.
    earlier: Earlier,
}

impl Control {
    fn start(
        prepared: Prepared,
        kept: Option<(Keeper, Doors)>,
        document: Option<Document>,
        recorder: Recorder,
        desk: Desk,
        command: mpsc::Sender<Ask>,
    ) -> Result<Self, String> {
        let Prepared {
            options,
            loaded,
            limits,
            rights,
            sockets,
            claimed,
            admin,
            pidfile,
            mut saved,
            surplus,
        } = prepared;
        let mut started = SystemTime::now();
        if let Some(document) = &document {
            saved = runtime::saved::of_text(&loaded.config, &document.servers);
            if !document.started.is_zero() {
                started = UNIX_EPOCH + document.started;
            }
        }
        let (mut keeper, doors) = kept.unzip();
        let messages = match options.log_format {
            LogFormat::Text => Messages::Lines,
            LogFormat::Json => Messages::Objects,
        };
        let logs = Logs::through(doors.clone(), messages)
            .map_err(|error| format!("cannot deliver logs: {error}"))?;
        diagnostics::hand_over(logs.standard_error());
        if let Some(keeper) = &mut keeper {
            keeper
                .listen()
                .map_err(|error| format!("cannot talk to the keeper: {error}"))?;
        }
        let facts = Arc::new(Facts::new(&loaded));
        let began = Instant::now();
        let reloads = Reloads::new(std::process::id(), began, &loaded.warnings);
        let settings = Settings {
            logs: logs.clone(),
            maxconn: limits.maxconn,
            threads: limits.threads,
            service: http::service(desk.clone()),
            saved,
            tallies: document.map(|document| document.tallies),
        };
        let proxy = Proxy::start(loaded.config, sockets, settings)
            .map_err(|error| format!("cannot start the proxy: {error}"))?;
        let mut control = Self {
            options,
            proxy,
            claimed,
            logs,
            keeper,
            doors,
            rights,
            heirs: None,
            admin: None,
            desk,
            runtime: None,
            command,
            facts,
            master: None,
            reloads,
            how: How::Soft,
            recorder,
            started,
            began,
            loading: None,
            reload_again: false,
            draining: None,
            store: FdStore::new(),
            surplus,
            upgrade: None,
            told: None,
            is_followed: false,
            reports: None,
            reporting: None,
            earlier: Earlier::default(),
        };
        if let Some(bound) = admin {
            control.admin = Some(
                control
                    .serve_admin(bound)
                    .map_err(|error| error.to_string())?,
            );
        }
        control
            .serve_runtime()
            .map_err(|error| format!("cannot serve the stats sockets: {error}"))?;
        control
            .serve_master()
            .map_err(|error| format!("cannot serve the master's sockets: {error}"))?;
        // Not earlier: an id in there is one of a process that serves.
        if let Some(pidfile) = pidfile {
            pidfile.write();
        }
        control.take_over();
        Ok(control)
    }

    fn serve_admin(&self, bound: Bound) -> std::io::Result<Admin> {
        tracing::info!("metrics at http://{}/metrics", bound.local_address()?);
        Admin::serve(bound, self.desk.clone())
    }

    /// Takes commands on the stats sockets of the configuration in force.
    fn serve_runtime(&mut self) -> std::io::Result<()> {
        let runtime = &self.proxy.config().global.runtime;
        let mut listeners = Vec::new();
        for socket in &runtime.sockets {
            if let Some(listener) = self.proxy.sockets().duplicate(&socket.bind)? {
                listeners.push((listener, socket.level));
            }
        }
        let sockets = runtime::Sockets::serve(listeners, runtime, &self.command, self.began)?;
        self.runtime = Some(sockets);
        Ok(())
    }

    /// Takes the master's commands, from now on to the end.
    fn serve_master(&mut self) -> std::io::Result<()> {
        let mut listeners = Vec::new();
        for socket in &self.proxy.config().global.runtime.master_sockets {
            if let Some(listener) = self.proxy.sockets().duplicate(&socket.bind)? {
                listeners.push((listener, socket.level));
            }
        }
        self.master = Some(master::serve(listeners, &self.command, self.began)?);
        Ok(())
    }

    /// Has the service manager keep what a next process would serve.
    fn keep_sockets(&mut self) {
        let admin = self.admin.as_ref().map(Admin::socket);
        self.store.keep(self.proxy.sockets(), admin);
    }

    /// Whether it drains toward an end after which whoever asks finds out by itself whether another
    /// process follows.
    fn leaves(&self) -> bool {
        self.draining.is_some() && !self.is_followed && self.store.has_admin()
    }

    /// A visitor that left meanwhile needs no answer.
    fn answer(&mut self, question: Question) {
        match question {
            Question::View(answer) => drop(answer.send(self.view())),
            Question::Vitals(answer) => drop(answer.send(Vitals::of(&self.proxy, self.leaves()))),
            Question::Change(_, answer) if self.hands_over() => {
                let _ = answer.send(http::stats_admin::Outcome::None);
            }
            Question::Change(form, answer) => drop(answer.send(form.apply(&mut self.proxy))),
        }
    }

    /// Does what a command asks.
    fn obey(&mut self, ask: Ask) {
        match ask {
            // A visitor that left meanwhile needs no answer.
            Ask::Look(answer) => drop(answer.send((self.view(), self.facts.clone()))),
            Ask::Master(master::Ask::State(answer)) => {
                let draining = self.proxy.draining_generations();
                drop(answer.send(self.reloads.state(draining, Instant::now())));
            }
            Ask::Master(master::Ask::Reload(how, answer)) => {
                self.reloads.ask(how, answer);
                self.begin_reload();
            }
            Ask::Vitals(answer) => drop(answer.send(Vitals::of(&self.proxy, self.leaves()))),
            Ask::Master(master::Ask::Upgrade(answer)) => self.begin_upgrade(answer),
            Ask::Sessions(answer) => drop(answer.send(self.proxy.roll())),
            Ask::Change {
                change,
                arguments,
                level,
                answer,
            } => {
                if self.hands_over() {
                    return drop(answer.send(Reply::refused(upgrade::HANDS_OVER)));
                }
                let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
                let request = Request {
                    arguments: &arguments,
                    level,
                };
                drop(answer.send(change(&mut self.proxy, &request)));
                // One that shuts a frontend closes its sockets.
                if !self.is_followed && self.draining.is_none() {
                    self.keep_sockets();
                }
            }
        }
    }

    /// Tells the processes that this one replaces to go: from now on connections come here.
    fn take_over(&self) {
        let Some(replaces) = &self.options.replaces else {
            return;
        };
        // The keeper may signal processes of any user.
        match &self.keeper {
            Some(keeper) => keeper.farewell(),
            None => prepare::dismiss(replaces),
        }
    }

    fn view(&self) -> View {
        let global = &self.proxy.config().global;
        View {
            proxy: self.proxy.snapshot(),
            started: self.started,
            node: global.node.clone(),
            description: global.description.clone(),
            warnings: self.facts.warnings.len() as u64,
        }
    }

    async fn stop(mut self, signal: i32) -> Exit {
        notify::stopping("Stopping.");
        tracing::info!("stopping");
        self.give_up_upgrade();
        self.proxy.kill();
        self.end(LAST_WORDS).await;
        Exit::Signal(signal)
    }

    /// What a drain leaves for the end.
    fn last_words(&self) -> Duration {
        let limit = self.options.stop_limit;
        limit.map_or(LAST_WORDS, |limit| (limit / 2).min(LAST_WORDS))
    }

    /// Waits until everything is counted, told and the threads have ended, and until it is logged, each for
    /// `patience` at most. What hangs longer is cut by the process's end.
    async fn end(mut self, patience: Duration) {
        let limit = tokio::time::Instant::now() + patience;
        // Whatever is not over by then is seen below.
        let _ = tokio::time::timeout_at(limit, self.proxy.ended()).await;
        self.report();
        let (proxy, logs) = (self.proxy, self.logs);
        let end = tokio::task::spawn_blocking(move || drop(proxy));
        if tokio::time::timeout_at(limit, end).await.is_err() {
            tracing::warn!("a thread does not end; the process does");
        }
        let flush = tokio::task::spawn_blocking(move || logs.flush(patience));
        let lost = flush.await.unwrap_or(0);
        if lost > 0 {
            tracing::warn!("nobody reads the last log lines: {lost} are lost");
        }
    }

    /// Toward the end of the service: nobody follows, or the service manager starts it.
    fn drain_to_end(&mut self) {
        let limit = self.options.stop_limit;
        if self.is_followed {
            // It drains already; from now on with less time.
            self.draining = Some(Box::pin(self.proxy.drained(limit)));
            return;
        }
        if self.draining.is_some() {
            return;
        }
        notify::stopping("Draining.");
        self.give_up_upgrade();
        let store = std::mem::replace(&mut self.store, FdStore::new());
        self.drain(|name| store.has(name), limit);
        self.store = store;
    }

    /// Where `is_kept` says so somebody else serves who waits.
    fn drain(&mut self, is_kept: impl Fn(&str) -> bool, limit: Option<Duration>) {
        self.reload_again = false;
        // What it would put in force would listen again.
        if self.loading.take().is_some() {
            tracing::warn!("the reload under way is given up: the process drains toward its end");
        }
        self.reloads.give_up(DRAINS);
        tracing::info!("draining: accepting nothing more, waiting for the last connection to end");
        self.proxy.drain(is_kept);
        // A successor that took the address over answers alone: two processes' counters mixed
        // would look like restarts. Without one, /readyz goes on telling that this one drains.
        match &self.keeper {
            _ if self.is_followed => self.admin = None,
            Some(keeper) => self.heirs = Some(keeper.heirs()),
            None => {
                let admin = self.admin.as_ref();
                let count = admin.map_or(0, |admin| port_owner::listeners(admin.address()));
                self.leave_metrics_to(count);
            }
        }
        // Made once: the limits count from here.
        self.draining = Some(Box::pin(self.proxy.drained(limit)));
    }

    /// `listeners` on the admin address, this process's own among them.
    fn leave_metrics_to(&mut self, listeners: usize) {
        self.heirs = None;
        if listeners > 1 {
            self.admin = None;
        }
    }

    fn begin_reload(&mut self) {
        if self.draining.is_some() {
            tracing::warn!("not reloading: {DRAINS}");
            self.reloads.give_up(DRAINS);
        } else if self.upgrade.is_some() {
            let why = "an upgrade is under way";
            tracing::warn!("not reloading: {why}");
            self.reloads.give_up(why);
        } else if self.loading.is_some() {
            self.reload_again = true;
        } else {
            notify::reloading();
            self.how = self.reloads.begin();
            tracing::info!("reloading");
            self.loading = Some(match &self.keeper {
                Some(keeper) => {
                    let fetching = keeper.load(&self.options, self.proxy.sockets().holdings());
                    tokio::spawn(async { Ok(Next::Fetched(Box::new(fetching.await?))) })
                }
                None => {
                    let options = self.options.clone();
                    tokio::task::spawn_blocking(move || {
                        let loaded = files::load_at_once(&options)?;
                        Rights::of(&loaded.config)?;
                        Ok(Next::Loaded(Box::new(loaded)))
                    })
                }
            });
        }
    }

    fn finish_reload(&mut self, loaded: Result<Result<Next, Vec<Problem>>, JoinError>) {
        self.loading = None;
        // A defect of the loader must not take the traffic along.
        let loaded = loaded.unwrap_or_else(|error| Err(prepare::whole(&self.options, error)));
        let outcome = loaded.and_then(|next| {
            // Nor must a defect on the way: what serves goes on.
            let put = AssertUnwindSafe(|| self.put_in_force(next));
            catch_unwind(put).unwrap_or_else(|_| {
                let why = "a defect kept it from coming into force, perhaps not from all of it; \
                           restart when that suits";
                Err(prepare::whole(&self.options, why))
            })
        });
        if let Some(keeper) = &self.keeper {
            match outcome {
                Ok(()) => keeper.settle(),
                Err(_) => keeper.abandon(),
            }
        }
        match outcome {
            Ok(()) => {
                if self.how == How::Hard {
                    self.proxy.cut_draining();
                }
                tracing::info!("reloaded");
                self.reloads
                    .succeed(self.proxy.generation(), Instant::now());
                self.keep_sockets();
                notify::ready();
            }
            Err(problems) => {
                self.tell(&problems);
                self.reloads.fail();
                tracing::error!("reload failed, everything stays as it was");
                self.log_failure(&problems);
                self.proxy.note_failed_reload();
                notify::reload_failed();
            }
        }
        if std::mem::take(&mut self.reload_again) {
            self.begin_reload();
        }
    }

    /// All or nothing: what can fail comes first.
    fn put_in_force(&mut self, next: Next) -> Result<(), Vec<Problem>> {
        let (loaded, fetched_admin) = match next {
            Next::Loaded(loaded) => (*loaded, None),
            Next::Fetched(fetched) => {
                let Fetched {
                    loaded,
                    sockets,
                    admin,
                    logs,
                } = *fetched;
                self.proxy.supply(sockets);
                if let Some(doors) = &self.doors {
                    for (path, socket) in logs {
                        doors.open(&path, socket);
                    }
                }
                (loaded, admin)
            }
        };
        self.tell(&loaded.warnings);
        if self.keeper.is_some() {
            self.rights.suffice(&loaded.config)?;
        }
        self.tell(&rights::unchangeable(self.proxy.config(), &loaded.config));
        foreign::allowed(&loaded.config)?;
        prepare::accept_warnings(&self.options, &loaded)?;
        prepare::keeps_serving(&loaded.config, self.proxy.config())
            .map_err(|error| prepare::whole(&self.options, error))?;
        inherit::knows(&loaded.config, &self.claimed)?;
        let limits =
            limits::settle(&loaded.config).map_err(|error| prepare::whole(&self.options, error))?;
        let wanted = loaded.config.global.admin;
        let keeps_admin = wanted == self.admin.as_ref().map(Admin::address);
        let bound = match wanted {
            Some(address) if !keeps_admin && fetched_admin.is_some() => {
                let listener = fetched_admin.unwrap_or_else(|| Err(String::new()));
                let listener = listener.map_err(|why| prepare::whole(&self.options, why))?;
                Some(Bound::from_listener(address, listener))
            }
            Some(address) if !keeps_admin => {
                Some(Bound::bind(address, Ownership::Exclusive).map_err(|error| {
                    let why = bind_report::refused_admin(address, &error, Moment::Reload);
                    prepare::whole(&self.options, why)
                })?)
            }
            _ => None,
        };
        let facts = Facts::new(&loaded);
        let absent = self
            .proxy
            .reload(loaded.config, limits.maxconn, limits.threads)
            .map_err(|error| self.refused(&error))?;
        self.tell(&absent.iter().map(bind_report::absent).collect::<Vec<_>>());
        self.facts = Arc::new(facts);
        if let Err(error) = self.serve_runtime() {
            tracing::error!("no commands are taken: {error}");
        }
        if !keeps_admin {
            self.admin = bound.and_then(|bound| {
                self.serve_admin(bound)
                    .inspect_err(|error| tracing::error!("no metrics: {error}"))
                    .ok()
            });
        }
        Ok(())
    }

    /// Problems of a running process go where its other messages go, and to who asked for the
    /// reload.
    fn tell(&mut self, problems: &[Problem]) {
        for problem in problems {
            match problem.severity {
                Severity::Error => tracing::error!("{problem}"),
                Severity::Warning => tracing::warn!("{problem}"),
            }
        }
        self.reloads.note(problems);
    }

    /// A child has ended: the keeper, for there is no other.
    fn bury(&mut self) {
        let Some(keeper) = self.keeper.as_ref().filter(|keeper| keeper.has_ended()) else {
            return;
        };
        tracing::error!(
            "the keeper (pid {}) has ended: connections are served as before, but a reload needs \
             a restart",
            keeper.pid()
        );
    }

    fn reconnect_logs(&self) {
        if let (Some(keeper), Some(doors)) = (&self.keeper, &self.doors) {
            keeper.reconnect(doors);
        }
    }

    fn refused(&self, error: &ReloadError) -> Vec<Problem> {
        match error {
            ReloadError::Bind(errors) => {
                let refused = |error| bind_report::refused(error, Moment::Reload);
                errors.iter().map(refused).collect()
            }
            ReloadError::System(source) => {
                prepare::whole(&self.options, format!("{error}: {source}"))
            }
        }
    }

    /// Tells those who read the log files, too.
    fn log_failure(&self, problems: &[Problem]) {
        let global = &self.proxy.config().global;
        let first = problems
            .first()
            .map_or_else(String::new, |problem| format!(": {problem}"));
        self.logs.sink(&global.log, &global.log_tag).send(
            Level::Alert,
            &format!("Reload failed, everything stays as it was{first}"),
        );
    }
}

async fn loaded(loading: &mut Option<Loading>) -> Result<Result<Next, Vec<Problem>>, JoinError> {
    match loading {
        Some(loading) => loading.await,
        None => pending().await,
    }
}

async fn answered(question: &mut Option<oneshot::Receiver<u32>>) -> usize {
    match question {
        // Without an answer, nobody else is known of.
        Some(answer) => answer.await.map_or(0, |count| count as usize),
        None => pending().await,
    }
}

async fn knocked(doors: &Option<Doors>) {
    match doors {
        Some(doors) => doors.knocked().await,
        None => pending().await,
    }
}

async fn drained(draining: &mut Option<Draining>) -> bool {
    match draining {
        Some(draining) => draining.await,
        None => pending().await,
    }
}

async fn tick(interval: &mut Option<Interval>) {
    match interval {
        Some(interval) => {
            interval.tick().await;
        }
        None => pending().await,
    }
}

fn every(period: Duration) -> Interval {
    let mut interval = interval(period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}
