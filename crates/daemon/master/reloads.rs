//! The reloads of this process: how many there were, what each said, who waits for it, and which
//! generations it left. Pure; the control loop feeds it.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use evenkeel_config::{Problem, Severity};
use tokio::sync::oneshot;

use super::{How, Outcome, State};

/// Earlier generations that are remembered: more would have to drain at once for one to be missed.
const MOST_GENERATIONS: usize = 256;
/// Linux has no process id from here on (proc(5), pid_max), so that a script that signals what it
/// took for an old worker hits nobody.
const NO_PROCESS: u64 = 1 << 22;

const INFALLIBLE: &str = "writing to a String does not fail";

/// What is remembered of reloads.
pub(crate) struct Reloads {
    pid: u32,
    started: Instant,
    attempts: u64,
    /// Since the last one that worked.
    failures: u64,
    current: Generation,
    /// Those before it, the newest last.
    earlier: VecDeque<Generation>,
    /// What the load under way, or else the last one, said.
    log: String,
    /// Who is told what comes of the load under way.
    served: Vec<oneshot::Sender<Outcome>>,
    /// Who is told of the next one.
    waiting: Vec<(How, oneshot::Sender<Outcome>)>,
}

/// When one began.
struct Generation {
    number: u64,
    began: Instant,
    /// Reloads before it.
    attempts: u64,
}

impl Reloads {
    /// Of a process that started with `warnings`.
    pub(crate) fn new(pid: u32, started: Instant, warnings: &[Problem]) -> Self {
        let mut reloads = Self {
            pid,
            started,
            attempts: 0,
            failures: 0,
            current: Generation {
                number: 0,
                began: started,
                attempts: 0,
            },
            earlier: VecDeque::new(),
            log: String::new(),
            served: Vec::new(),
            waiting: Vec::new(),
        };
        reloads.open_log();
        reloads.note(warnings);
        reloads.say("NOTICE", "Loading success.");
        reloads
    }

    /// Someone wants to know what comes of the load that begins next.
    pub(crate) fn ask(&mut self, how: How, answer: oneshot::Sender<Outcome>) {
        self.waiting.push((how, answer));
    }

    /// A load begins; whether somebody wants open sessions to be cut.
    pub(crate) fn begin(&mut self) -> How {
        self.attempts += 1;
        self.open_log();
        let waiting = std::mem::take(&mut self.waiting);
        let is_hard = waiting.iter().any(|(how, _)| *how == How::Hard);
        self.served = waiting.into_iter().map(|(_, answer)| answer).collect();
        if is_hard { How::Hard } else { How::Soft }
    }

    /// The load says these.
    pub(crate) fn note(&mut self, problems: &[Problem]) {
        for problem in problems {
            let word = match problem.severity {
                Severity::Error => "ALERT",
                Severity::Warning => "WARNING",
            };
            self.say(word, &format!("config : {problem}"));
        }
    }

    /// The load is in force as the generation `number`.
    pub(crate) fn succeed(&mut self, number: u64, now: Instant) {
        self.failures = 0;
        let next = Generation {
            number,
            began: now,
            attempts: self.attempts,
        };
        if self.earlier.len() == MOST_GENERATIONS {
            self.earlier.pop_front();
        }
        self.earlier
            .push_back(std::mem::replace(&mut self.current, next));
        self.say("NOTICE", "Loading success.");
        self.answer(true);
    }

    /// Everything stays as it was.
    pub(crate) fn fail(&mut self) {
        self.failures += 1;
        self.say("WARNING", "Loading failure!");
        self.answer(false);
    }

    /// What is asked for is not done, for this reason.
    pub(crate) fn give_up(&mut self, why: &str) {
        let waiting = std::mem::take(&mut self.waiting);
        self.served
            .extend(waiting.into_iter().map(|(_, answer)| answer));
        self.open_log();
        self.say("WARNING", &format!("not reloading: {why}"));
        self.answer(false);
    }

    /// What comes of an upgrade, for whoever asked for it.
    pub(crate) fn of_upgrade(&self, outcome: Result<u32, &str>) -> Outcome {
        let mut log = String::new();
        let mut say = |word: &str, text: &str| {
            let word = format!("[{word}]");
            writeln!(log, "{word:<10} ({}) : {text}", self.pid).expect(INFALLIBLE);
        };
        match outcome {
            Ok(pid) => {
                let version = env!("CARGO_PKG_VERSION");
                say(
                    "NOTICE",
                    &format!("process {pid} serves; this one ({version}) drains"),
                );
            }
            Err(why) => {
                why.lines().for_each(|line| say("ALERT", line));
                say("WARNING", "Upgrade failure! Everything stays as it was.");
            }
        }
        Outcome {
            is_success: outcome.is_ok(),
            log,
        }
    }

    /// What is known now that `draining` generations still have sessions.
    pub(crate) fn state(&self, draining: impl Iterator<Item = u64>, now: Instant) -> State {
        let draining: Vec<u64> = draining.collect();
        let old: Vec<&Generation> = self
            .earlier
            .iter()
            .filter(|generation| draining.contains(&generation.number))
            .collect();
        let mut text = row("#<PID>", "<type>", "<reloads>", "<uptime>", "<version>");
        let reloads = format!("{} [failed: {}]", self.attempts, self.failures);
        let pid = self.pid.to_string();
        text.push_str(&self.process(&pid, "master", &reloads, now - self.started));
        text.push_str("# workers\n");
        text.push_str(&self.generation(&self.current, &pid, now));
        if !old.is_empty() {
            text.push_str("# old workers\n");
        }
        for generation in &old {
            text.push_str(&self.generation(generation, &name(generation).to_string(), now));
        }
        text.push_str("# programs\n");
        State {
            processes: text,
            log: self.log.clone(),
            has_failed: self.failures > 0,
            current: self.current.began,
            old: old.into_iter().map(|old| (name(old), old.began)).collect(),
        }
    }

    fn generation(&self, generation: &Generation, name: &str, now: Instant) -> String {
        let reloads = (self.attempts - generation.attempts).to_string();
        self.process(name, "worker", &reloads, now - generation.began)
    }

    fn process(&self, name: &str, kind: &str, reloads: &str, uptime: Duration) -> String {
        row(name, kind, reloads, &ago(uptime), env!("CARGO_PKG_VERSION"))
    }

    fn open_log(&mut self) {
        self.log.clear();
        let version = concat!("evenkeel version is ", env!("CARGO_PKG_VERSION"));
        self.say("NOTICE", version);
    }

    fn say(&mut self, word: &str, text: &str) {
        let word = format!("[{word}]");
        writeln!(self.log, "{word:<10} ({}) : {text}", self.pid).expect(INFALLIBLE);
    }

    /// Who left meanwhile needs no answer.
    fn answer(&mut self, is_success: bool) {
        for answer in self.served.drain(..) {
            let log = self.log.clone();
            drop(answer.send(Outcome { is_success, log }));
        }
    }
}

/// What a generation is called once another one serves.
fn name(generation: &Generation) -> u64 {
    NO_PROCESS + generation.number
}

fn row(pid: &str, kind: &str, reloads: &str, uptime: &str, version: &str) -> String {
    format!("{pid:<15} {kind:<15} {reloads:<15} {uptime:<15} {version:<15}\n")
}

/// `0d00h02m07s`.
fn ago(time: Duration) -> String {
    let seconds = time.as_secs();
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    format!(
        "{}d{:02}h{:02}m{:02}s",
        hours / 24,
        hours % 24,
        minutes % 60,
        seconds % 60
    )
}

#[cfg(test)]
mod tests {
    use evenkeel_config::Place;

    use super::*;

    fn after(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    fn asked(reloads: &mut Reloads, how: How) -> oneshot::Receiver<Outcome> {
        let (answer, outcome) = oneshot::channel();
        reloads.ask(how, answer);
        outcome
    }

    #[test]
    fn processes_are_shown_in_haproxys_columns() {
        let start = Instant::now();
        let mut reloads = Reloads::new(77, start, &[]);
        for number in 1..=2 {
            reloads.begin();
            reloads.succeed(number, after(start, 60 * number));
        }
        reloads.begin();
        reloads.fail();
        let state = reloads.state([0, 1].into_iter(), after(start, 90_061));
        let version = env!("CARGO_PKG_VERSION");
        let expected = format!(
            "#<PID>          <type>          <reloads>       <uptime>        <version>      \n\
             77              master          3 [failed: 1]   1d01h01m01s     {version:<15}\n\
             # workers\n\
             77              worker          1               1d00h59m01s     {version:<15}\n\
             # old workers\n\
             4194304         worker          3               1d01h01m01s     {version:<15}\n\
             4194305         worker          2               1d01h00m01s     {version:<15}\n\
             # programs\n"
        );
        assert_eq!(state.processes, expected);
        assert!(state.has_failed);
        assert_eq!(
            state.old,
            [(4_194_304, start), (4_194_305, after(start, 60))]
        );
    }

    #[test]
    fn who_asks_during_a_load_is_told_of_the_next_one() {
        let start = Instant::now();
        let mut reloads = Reloads::new(77, start, &[]);
        let mut first = asked(&mut reloads, How::Soft);
        assert_eq!(reloads.begin(), How::Soft);
        let mut second = asked(&mut reloads, How::Hard);
        let place = Place::whole_file("lb.cfg");
        reloads.note(&[Problem::error(place, "it is wrong".to_owned())]);
        reloads.fail();
        let told = first.try_recv().unwrap();
        assert!(!told.is_success);
        let lines: Vec<&str> = told.log.lines().skip(1).collect();
        assert_eq!(
            lines,
            [
                "[ALERT]    (77) : config : lb.cfg: it is wrong",
                "[WARNING]  (77) : Loading failure!",
            ]
        );
        assert!(second.try_recv().is_err());
        assert_eq!(reloads.begin(), How::Hard);
        reloads.succeed(1, start);
        let told = second.try_recv().unwrap();
        assert!(told.is_success && !told.log.contains("it is wrong"));
    }

    #[test]
    fn nobody_waits_for_a_load_that_will_not_come() {
        let mut reloads = Reloads::new(77, Instant::now(), &[]);
        let mut first = asked(&mut reloads, How::Soft);
        reloads.begin();
        let mut second = asked(&mut reloads, How::Soft);
        reloads.give_up("the process drains toward its end");
        for told in [first.try_recv().unwrap(), second.try_recv().unwrap()] {
            assert!(!told.is_success);
            assert!(told.log.contains("drains toward its end"));
        }
    }
}
