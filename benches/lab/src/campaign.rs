//! A run of everything, or of what was chosen: who decides a bar has many rounds, the others few,
//! and all is kept for the report.

use std::env;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::bars::{BARS, OURS};
use crate::cli;
use crate::contestant::{self, Contestant};
use crate::record::{Keep, Record, Series};
use crate::rounds::{self, Entry};
use crate::stage::{Pace, Threads};
use crate::topology::{self, Topology};
use crate::workload::{WORKLOADS, Workload};

/// How long a bench may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// Everything once, to see that it runs: nothing is proved and nothing is kept.
    Short,
    /// As many rounds as it takes to prove something; the rounds are kept for the report.
    Full,
}

/// Measures what the environment asks for: `EVENKEEL_BENCH_WORKLOADS` and `_CONTESTANTS` (names
/// with commas between them), `_THREADS` (1, 2 or both), `_ROUNDS` (of whom a bar compares; the
/// others have at most five), `_SECONDS` (a window). Returns the rounds as times. Any failed
/// request, and any figure that is nothing, is an error.
///
/// In namespaces, if they can be made: this process starts itself again there and ends with it.
pub fn measure(length: Length) -> Result<Vec<Series>> {
    cli::raise_descriptor_limit()?;
    let campaign = Campaign::from_environment(length)?;
    let topology = topology::enter()?;
    let records = run(&campaign, &topology)?;
    cli::ensure_complete(&records)?;
    for record in &records {
        ensure_something(record)?;
        cli::print_bars(record);
    }
    Ok(records.iter().flat_map(Record::series).collect())
}

/// Every figure says something, and none of evenkeel's is missing.
fn ensure_something(record: &Record) -> Result<()> {
    let workload = Workload::named(&record.workload)?;
    ensure!(
        !record.samples.is_empty(),
        "{}: nothing was measured",
        workload.name
    );
    let may_be_nothing = |name: &str| {
        let metric = workload.metric(name);
        metric.is_some_and(|metric| metric.may_be_nothing)
    };
    for sample in &record.samples {
        ensure!(
            !sample.figures.is_empty(),
            "{}, {}: no figures",
            workload.name,
            sample.contestant
        );
        for (name, value) in &sample.figures {
            ensure!(
                value.is_finite() && (*value > 0.0 || may_be_nothing(name)),
                "{}, {}: {name} is {value}",
                workload.name,
                sample.contestant
            );
        }
    }
    for metric in workload.metrics {
        let ours = record
            .contestants
            .iter()
            .any(|entrant| entrant.name == OURS);
        ensure!(
            !ours || !record.values(OURS, metric.name).is_empty(),
            "{}: {} was not measured",
            workload.name,
            metric.name
        );
    }
    Ok(())
}

/// What is to be measured.
#[derive(Clone, Debug)]
pub(crate) struct Campaign {
    /// Names; all workloads when there are none.
    pub(crate) workloads: Vec<String>,
    /// Names; when there are none, all that mean something for a workload and are there.
    pub(crate) contestants: Vec<String>,
    pub(crate) threads: Vec<Threads>,
    /// Rounds of evenkeel, and of those that a bar compares it with.
    pub(crate) pairs: usize,
    /// Rounds of the others.
    pub(crate) rounds: usize,
    pub(crate) pace: Pace,
    pub(crate) keep: Keep,
}

impl Campaign {
    fn from_environment(length: Length) -> Result<Self> {
        let value = |name: &str| env::var(format!("EVENKEEL_BENCH_{name}")).ok();
        let names = |name: &str| -> Vec<String> {
            value(name).map_or_else(Vec::new, |list| {
                list.split(',').map(str::to_owned).collect()
            })
        };
        let (pairs, warm_up, window) = match length {
            Length::Short => (1, 0.1, 0.3),
            Length::Full => (15, 0.3, 1.0),
        };
        let pairs = value("ROUNDS")
            .map_or(Ok(pairs), |text| text.parse())
            .context("EVENKEEL_BENCH_ROUNDS")?;
        let window = value("SECONDS")
            .map_or(Ok(window), |text| text.parse())
            .context("EVENKEEL_BENCH_SECONDS")?;
        Ok(Campaign {
            workloads: names("WORKLOADS"),
            contestants: names("CONTESTANTS"),
            threads: cli::threads(value("THREADS").as_deref().unwrap_or("both"))?,
            pairs,
            rounds: pairs.min(FEW_ROUNDS),
            pace: Pace {
                warm_up: Duration::from_secs_f64(warm_up),
                window: Duration::try_from_secs_f64(window).context("EVENKEEL_BENCH_SECONDS")?,
            },
            keep: if length == Length::Full {
                Keep::Instead
            } else {
                Keep::Nothing
            },
        })
    }
}

impl Campaign {
    /// Ratios need pairs; a figure of its own is seen in few rounds, and who decides nothing has
    /// the fewest where a turn takes long.
    fn rounds_of(&self, name: &str, workload: &Workload) -> usize {
        let bars = || BARS.iter().filter(|bar| bar.workload == workload.name);
        let ours = name == OURS;
        if bars().any(|bar| bar.opponent() == Some(name) || ours && bar.is_ratio()) {
            self.pairs
        } else if workload.scene.windows > 1 && !(ours && bars().next().is_some()) {
            self.rounds.min(FEWEST_ROUNDS)
        } else {
            self.rounds
        }
    }
}

/// Rounds of those that no bar compares.
const FEW_ROUNDS: usize = 5;

/// Rounds of those that no bar asks for at all, where a turn takes several windows.
const FEWEST_ROUNDS: usize = 2;

/// What a sample takes besides warm-up and window: start, first answer, end.
const AROUND_A_SAMPLE: Duration = Duration::from_millis(350);

/// One workload with one way to use the machine, and everyone who takes part.
struct Leg {
    workload: &'static Workload,
    threads: Threads,
    entries: Vec<Entry>,
}

impl Leg {
    /// About how long it takes.
    fn time(&self, pace: Pace) -> Duration {
        let window = pace.window * self.workload.scene.windows;
        let samples: usize = self.entries.iter().map(|entry| entry.rounds).sum();
        (pace.warm_up + window + AROUND_A_SAMPLE) * u32::try_from(samples).unwrap_or(u32::MAX)
    }
}

/// Measures all of it; returns what was kept.
pub(crate) fn run(campaign: &Campaign, topology: &Topology) -> Result<Vec<Record>> {
    let began = Instant::now();
    let legs = plan(campaign, topology)?;
    let samples: usize = legs
        .iter()
        .flat_map(|leg| &leg.entries)
        .map(|entry| entry.rounds)
        .sum();
    let time: Duration = legs.iter().map(|leg| leg.time(campaign.pace)).sum();
    println!(
        "{}\n{samples} samples, about {:.0} minutes",
        topology.describe(),
        time.as_secs_f64() / 60.0
    );
    let mut records = Vec::new();
    for leg in &legs {
        let record = rounds::run(
            leg.workload,
            &leg.entries,
            leg.threads,
            campaign.pace,
            topology,
        )?;
        records.push(record.keep(campaign.keep)?);
    }
    println!("took {:.1} minutes", began.elapsed().as_secs_f64() / 60.0);
    Ok(records)
}

fn plan(campaign: &Campaign, topology: &Topology) -> Result<Vec<Leg>> {
    let mut workloads: Vec<&'static Workload> = Vec::new();
    for name in &campaign.workloads {
        workloads.push(Workload::named(name)?);
    }
    if workloads.is_empty() {
        workloads.extend(WORKLOADS);
    }
    let mut there: Vec<Contestant> = Vec::new();
    if campaign.contestants.is_empty() {
        for name in contestant::names() {
            match Contestant::find(name, topology) {
                Ok(contestant) => there.push(contestant),
                Err(why) if name == OURS => return Err(why),
                Err(why) => eprintln!("{name} does not take part: {why:#}"),
            }
        }
    }
    for name in &campaign.contestants {
        there.push(Contestant::find(name, topology)?);
    }
    let mut legs = Vec::new();
    for threads in &campaign.threads {
        for workload in &workloads {
            let mut taking_part = there.clone();
            if campaign.contestants.is_empty() {
                taking_part.retain(|one| {
                    workload.variants.contains(&one.variant)
                        && (workload.scene.suits)(one.program, topology)
                });
            }
            let entries: Vec<Entry> = taking_part
                .into_iter()
                .map(|contestant| Entry {
                    rounds: campaign.rounds_of(&contestant.name, workload),
                    contestant,
                })
                .filter(|entry| entry.rounds > 0)
                .collect();
            if entries.is_empty() && campaign.workloads.is_empty() {
                eprintln!("nobody can do {} here", workload.name);
                continue;
            }
            ensure!(
                !entries.is_empty(),
                "nobody takes part in {}",
                workload.name
            );
            legs.push(Leg {
                workload,
                threads: *threads,
                entries,
            });
        }
    }
    Ok(legs)
}
