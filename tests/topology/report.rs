//! Runs a scenario with each program in the middle, side by side and on the same clock, prints
//! what the clients saw, and holds evenkeel to HAProxy's figures.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::balancer::{Balancer, Program};
use crate::client::{Request, first_answer};
use crate::lab::{Host, Lab, Master, Vip};
use crate::namespaces::say;
use crate::support::not_run;

/// Requests that may fail with evenkeel beyond those that fail with HAProxy: the two programs run
/// side by side, and a request can be on its way to a master in the moment of its death.
const TOLERATED_FAILURES: usize = 2;

/// How much later evenkeel's first good answer may be: the load's pace, plus a busy machine.
const TOLERATED_DELAY: Duration = Duration::from_secs(1);

/// The seed's machines with a balancer that serves.
pub(crate) struct Stage {
    pub(crate) lab: Arc<Lab>,
    /// master1 and master2.
    pub(crate) masters: [Master; 2],
    pub(crate) balancer: Balancer,
}

impl Stage {
    pub(crate) fn set(program: &Program, configuration: &str) -> Self {
        let (lab, masters) = Stage::without_balancer(program, Vip::Present);
        let balancer = Balancer::start(program, &lab, configuration);
        let stage = Stage {
            lab,
            masters,
            balancer,
        };
        stage.assert_serving();
        stage
    }

    pub(crate) fn without_balancer(program: &Program, vip: Vip) -> (Arc<Lab>, [Master; 2]) {
        let lab = Arc::new(Lab::new(program.tag(), vip));
        let masters = [
            Master::start(&lab, Host::Master1),
            Master::start(&lab, Host::Master2),
        ];
        (lab, masters)
    }

    pub(crate) fn assert_serving(&self) {
        let answer = first_answer(&self.lab, Duration::from_secs(10));
        assert!(
            answer.is_some(),
            "nobody was served; it said: {}",
            self.balancer.said()
        );
    }

    /// Waits for the log line that marks a server DOWN or UP.
    pub(crate) fn marked(&self, server: &str, mark: &str, since: Instant) -> Instant {
        let line = format!("Server kubernetes-backend/{server} is {mark}");
        let at = self.balancer.says(&line, since, Duration::from_secs(25));
        at.unwrap_or_else(|| panic!("no line with {line:?} in:\n{}", self.balancer.said()))
    }
}

/// A fault's moments.
#[derive(Clone, Copy)]
pub(crate) struct Course {
    pub(crate) fault: Instant,
    /// When the (last) server concerned was marked DOWN, if it was.
    pub(crate) down: Option<Instant>,
    pub(crate) repair: Instant,
    /// When the (last) server concerned was marked UP again, if it had been DOWN.
    pub(crate) up: Option<Instant>,
}

/// What the clients of one program saw of one fault.
#[derive(Debug)]
pub(crate) struct Observed {
    pub(crate) program: String,
    pub(crate) requests: usize,
    pub(crate) failed: usize,
    pub(crate) slowest: Duration,
    /// From the fault to the end of the first good request that started after it.
    pub(crate) good_after_fault: Option<Duration>,
    /// The same after the repair.
    pub(crate) good_after_repair: Option<Duration>,
    /// From the fault to the DOWN line.
    pub(crate) down: Option<Duration>,
    /// From the repair to the UP line.
    pub(crate) up: Option<Duration>,
    /// Failures by curl's exit code.
    pub(crate) errors: BTreeMap<i32, usize>,
}

impl Observed {
    pub(crate) fn new(program: &Program, requests: &[Request], course: Course) -> Self {
        let first_good = |since: Instant| {
            let good = requests
                .iter()
                .filter(|one| one.started >= since && one.answer.is_ok());
            good.map(|one| one.ended - since).min()
        };
        let mut errors = BTreeMap::new();
        for code in requests.iter().filter_map(|one| one.answer.as_ref().err()) {
            *errors.entry(*code).or_default() += 1;
        }
        Observed {
            program: program.version(),
            requests: requests.len(),
            failed: errors.values().sum(),
            slowest: requests
                .iter()
                .map(|one| one.took)
                .max()
                .unwrap_or_default(),
            good_after_fault: first_good(course.fault),
            good_after_repair: first_good(course.repair),
            down: course.down.map(|at| at - course.fault),
            up: course.up.map(|at| at - course.repair),
            errors,
        }
    }
}

/// Plays `scenario` with HAProxy and with evenkeel at the same time.
pub(crate) fn with_both<T: Send>(scenario: impl Fn(&Program) -> T + Sync) -> Both<T> {
    let oracle = Program::oracle();
    if let Err(why) = &oracle {
        not_run("topology: comparison with HAProxy", why);
    }
    thread::scope(|scope| {
        let theirs = oracle
            .as_ref()
            .ok()
            .map(|program| scope.spawn(|| scenario(program)));
        let ours = scope.spawn(|| scenario(&Program::Evenkeel));
        // Both are waited for before either panic is passed on: each prints what it found.
        let (theirs, ours) = (theirs.map(|thread| thread.join()), ours.join());
        Both {
            haproxy: theirs.map(|result| result.expect("the scenario holds with HAProxy")),
            evenkeel: ours.expect("the scenario holds with evenkeel"),
        }
    })
}

/// One result for each program; HAProxy's only where there is one.
pub(crate) struct Both<T> {
    pub(crate) haproxy: Option<T>,
    pub(crate) evenkeel: T,
}

/// A program and what there is to say against it.
pub(crate) type Verdict = (&'static str, Result<(), String>);

impl<T> Both<(T, Result<(), String>)> {
    /// The results, and apart from them what there is to say against each program.
    pub(crate) fn unzip(self) -> (Both<T>, Vec<Verdict>) {
        let mut verdicts = Vec::new();
        let haproxy = self.haproxy.map(|(result, verdict)| {
            verdicts.push(("HAProxy", verdict));
            result
        });
        let (evenkeel, verdict) = self.evenkeel;
        verdicts.push(("evenkeel", verdict));
        (Both { haproxy, evenkeel }, verdicts)
    }
}

impl Both<Observed> {
    /// Prints the table of this scenario.
    pub(crate) fn print(&self, title: &str) {
        let mut table = format!(
            "\n{title}\n  {:<24} {:>8} {:>6} {:>8} {:>10} {:>7} {:>10} {:>7}  {}\n",
            "", "requests", "failed", "slowest", "first good", "DOWN", "first good", "UP", "curl's",
        );
        let _ = writeln!(
            table,
            "  {:<24} {:>8} {:>6} {:>8} {:>10} {:>7} {:>10} {:>7}  errors",
            "", "", "", "", "after it", "after", "repaired", "after"
        );
        for row in self.haproxy.iter().chain([&self.evenkeel]) {
            let _ = writeln!(
                table,
                "  {:<24} {:>8} {:>6} {:>8} {:>10} {:>7} {:>10} {:>7}  {}",
                row.program,
                row.requests,
                row.failed,
                seconds(Some(row.slowest)),
                seconds(row.good_after_fault),
                seconds(row.down),
                seconds(row.good_after_repair),
                seconds(row.up),
                row.errors
                    .iter()
                    .map(|(code, n)| format!("{n} x {code}"))
                    .collect::<Vec<_>>()
                    .join(", "),
            );
        }
        say(&table);
    }

    /// Evenkeel's clients see what HAProxy's clients see, or better; its marks come as soon, up to
    /// `phase`: how far apart the checks of the two programs can lie in the moment of the fault.
    pub(crate) fn assert_as_good(&self, phase: Duration) {
        let Some(haproxy) = &self.haproxy else { return };
        let ours = &self.evenkeel;
        // Where nobody can serve, a moment more of it is a request more that fails.
        let tolerated = TOLERATED_FAILURES + haproxy.failed / 10;
        assert!(
            ours.failed <= haproxy.failed + tolerated,
            "{} requests failed with evenkeel, {} with HAProxy",
            ours.failed,
            haproxy.failed
        );
        let pairs = [
            (
                "first good answer",
                ours.good_after_fault,
                haproxy.good_after_fault,
                TOLERATED_DELAY,
            ),
            (
                "DOWN mark",
                ours.down,
                haproxy.down,
                phase + TOLERATED_DELAY,
            ),
            ("UP mark", ours.up, haproxy.up, phase + TOLERATED_DELAY),
            (
                "first good answer after the repair",
                ours.good_after_repair,
                haproxy.good_after_repair,
                phase + TOLERATED_DELAY,
            ),
        ];
        for (what, ours, theirs, tolerance) in pairs {
            match (ours, theirs) {
                (Some(ours), Some(theirs)) => assert!(
                    ours <= theirs + tolerance,
                    "{what} after {ours:?} with evenkeel, after {theirs:?} with HAProxy"
                ),
                (ours, theirs) => assert_eq!(
                    ours.is_some(),
                    theirs.is_some(),
                    "{what}: evenkeel {ours:?}, HAProxy {theirs:?}"
                ),
            }
        }
    }
}

fn seconds(time: Option<Duration>) -> String {
    time.map_or_else(
        || "-".to_owned(),
        |time| format!("{:.2} s", time.as_secs_f64()),
    )
}
