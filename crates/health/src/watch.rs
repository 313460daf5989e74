//! The driver: waits, asks, feeds the machine, publishes, over and over.

use std::convert::Infallible;
use std::future::Future;
use std::time::Duration;

use evenkeel_config::Check;
use tokio::time::{Instant, sleep, sleep_until};

use crate::machine::{Change, Machine, interval};
use crate::schedule::{Beat, Spread};
use crate::{CheckOutcome, Situation, probe};

/// What one check found and what it made of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// What the check found.
    pub outcome: CheckOutcome,
    /// The server's health after it.
    pub machine: Machine,
    /// What it changed, if anything.
    pub change: Option<Change>,
}

/// Checks one server for ever, the first time after `first_delay`, then counting from the end of
/// the previous check, each time at the moment of `beat` that is nearest. `publish` is called after
/// every check and says what the server's health is then: others may have changed it meanwhile.
/// `state` is what `http-check send-state` tells the server.
///
/// Dropping the future stops it at any point; the last published machine is then the whole state
/// and a later call goes on from it.
pub async fn watch(
    check: Check,
    machine: Machine,
    first_delay: Duration,
    spread: Spread,
    beat: Beat,
    state: impl Fn() -> String + Sync,
    publish: impl FnMut(Report) -> Machine,
) -> Infallible {
    let state = &state;
    watch_with(
        &check,
        machine,
        first_delay,
        spread,
        beat,
        |is_up| probe(&check, Situation { is_up, state }),
        publish,
    )
    .await
}

async fn watch_with<F: Future<Output = Option<CheckOutcome>>>(
    check: &Check,
    mut machine: Machine,
    first_delay: Duration,
    mut spread: Spread,
    beat: Beat,
    mut ask: impl FnMut(bool) -> F,
    mut publish: impl FnMut(Report) -> Machine,
) -> Infallible {
    sleep(first_delay).await;
    let mut is_short = false;
    loop {
        let Some(outcome) = ask(machine.is_up()).await else {
            if !is_short {
                tracing::warn!(
                    "servers cannot be checked: this machine is out of descriptors or memory; \
                     their health stays as it was"
                );
            }
            is_short = true;
            sleep_until(beat.nearest(Instant::now(), check.fastinter)).await;
            continue;
        };
        is_short = false;
        let change = machine.on(outcome.is_pass());
        machine = publish(Report {
            outcome,
            machine,
            change,
        });
        let wait = spread.apply(interval(check, machine.phase()));
        sleep_until(beat.nearest(Instant::now(), wait)).await;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use tokio::time::timeout;

    use super::*;
    use crate::CheckStatus;
    use crate::testing;

    /// inter 2 s, fastinter 500 ms, downinter 5 s, rise 2, fall 3.
    fn check() -> Check {
        let mut check = testing::check(2000);
        check.fastinter = Duration::from_millis(500);
        check.downinter = Duration::from_secs(5);
        check
    }

    /// Runs the driver for `run_ms` of simulated time over `verdicts` (true: pass; the last one
    /// repeats), each check taking `takes_ms`; returns when reports came, with health and change.
    async fn run(
        verdicts: &[bool],
        first_ms: u64,
        takes_ms: u64,
        run_ms: u64,
    ) -> Vec<(u128, u32, Option<Change>)> {
        let start = Instant::now();
        let reports = RefCell::new(Vec::new());
        let asked = Cell::new(0);
        let check = check();
        let ask = |_| {
            let passed = verdicts[asked.get().min(verdicts.len() - 1)];
            asked.set(asked.get() + 1);
            async move {
                let duration = Duration::from_millis(takes_ms);
                sleep(duration).await;
                let status = if passed {
                    CheckStatus::L4Ok
                } else {
                    CheckStatus::L4Connection
                };
                Some(CheckOutcome {
                    status,
                    info: String::new(),
                    code: None,
                    has_connected: passed,
                    cause: None,
                    duration,
                })
            }
        };
        let driver = watch_with(
            &check,
            Machine::new(check.rise, check.fall),
            Duration::from_millis(first_ms),
            Spread::new(0, 0),
            Beat::from(start),
            ask,
            |report: Report| {
                let at = start.elapsed().as_millis();
                reports
                    .borrow_mut()
                    .push((at, report.machine.health(), report.change));
                report.machine
            },
        );
        assert!(
            timeout(Duration::from_millis(run_ms), driver)
                .await
                .is_err()
        );
        reports.into_inner()
    }

    #[tokio::test(start_paused = true)]
    async fn a_healthy_server_is_asked_every_inter_from_the_end_of_the_last_check() {
        assert_eq!(
            run(&[true], 300, 100, 5000).await,
            [(400, 4, None), (2500, 4, None), (4600, 4, None)]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_dead_at_start_is_down_at_once_and_asked_every_downinter() {
        assert_eq!(
            run(&[false], 0, 0, 11_000).await,
            [
                (0, 0, Some(Change::WentDown)),
                (5000, 0, None),
                (10_000, 0, None)
            ]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn fastinter_hurries_both_ways() {
        let verdicts = [true, false, false, false, true, true, true];
        assert_eq!(
            run(&verdicts, 0, 0, 11_000).await,
            [
                (0, 4, None),
                (2000, 3, None),
                (2500, 2, None),
                (3000, 0, Some(Change::WentDown)),
                (8000, 1, None),
                (8500, 4, Some(Change::WentUp)),
                (10_500, 4, None),
            ]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn spread_moves_every_interval() {
        let check = check();
        let start = Instant::now();
        let mut times = Vec::new();
        let outcome = || CheckOutcome {
            status: CheckStatus::L4Ok,
            info: String::new(),
            code: None,
            has_connected: true,
            cause: None,
            duration: Duration::ZERO,
        };
        let driver = watch_with(
            &check,
            Machine::new(2, 3),
            Duration::ZERO,
            Spread::new(50, 1),
            Beat::from(start),
            |_| std::future::ready(Some(outcome())),
            |report| {
                times.push(start.elapsed().as_millis());
                report.machine
            },
        );
        assert!(timeout(Duration::from_secs(60), driver).await.is_err());
        let gaps: Vec<u128> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(gaps.len() > 15);
        assert!(
            gaps.iter().all(|gap| (1000..=3001).contains(gap)),
            "{gaps:?}"
        );
        assert!(gaps.iter().any(|gap| *gap < 1900) && gaps.iter().any(|gap| *gap > 2100));
    }

    #[test]
    fn a_watch_can_be_spawned() {
        fn is_send(_: &impl Send) {}
        let watch = watch(
            check(),
            Machine::new(1, 1),
            Duration::ZERO,
            Spread::new(0, 0),
            Beat::from(Instant::now()),
            String::new,
            |report| report.machine,
        );
        is_send(&watch);
        assert!(
            size_of_val(&watch) < 2048,
            "one task per server must stay small"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_question_that_could_not_be_asked_says_nothing_of_the_server() {
        let check = check();
        let asked = Cell::new(0);
        let published = Cell::new(0);
        let ask = |_| {
            asked.set(asked.get() + 1);
            std::future::ready(None)
        };
        let publish = |report: Report| {
            published.set(published.get() + 1);
            report.machine
        };
        let machine = Machine::new(check.rise, check.fall);
        let driver = watch_with(
            &check,
            machine,
            Duration::ZERO,
            Spread::new(0, 0),
            Beat::from(Instant::now()),
            ask,
            publish,
        );
        assert!(timeout(Duration::from_secs(10), driver).await.is_err());
        assert!(asked.get() > 10, "it goes on asking");
        assert_eq!(published.get(), 0);
    }
}
