//! The command line.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::bars::BARS;
use crate::campaign::{self, Campaign};
use crate::contestant::{self, Contestant};
use crate::record::{Keep, Record};
use crate::report;
use crate::rounds::{self, Entry};
use crate::stage::{Pace, Threads};
use crate::stats::{paired, summary};
use crate::topology;
use crate::workload::{Better, WORKLOADS, Workload};

const HELP: &str = "\
evenkeel-bench compare WORKLOAD[,...] OURS OPPONENT...   medians, and OURS over each OPPONENT
evenkeel-bench run [WORKLOAD[,...]|all [CONTESTANT[,...]|all [ROUNDS]]]
                              measures all of it and keeps the rounds in target/bench;
                              ROUNDS are those of whom a bar compares, as --pairs
evenkeel-bench report         draws docs/benchmarks.md from the rounds that are kept
evenkeel-bench list           workloads and contestants

  --seconds S         length of a window (1)
  --warm-up S         seconds before it (0.3)
  --threads 1|2|both  nbthread 1 pinned to core 0, or nbthread 2 unpinned (compare: 1, run: both)
  --rounds N          rounds of each contestant (5)
  --pairs N           with run: rounds of evenkeel and of whom a bar compares it with (15)
  --save              with compare: keep the rounds for the report
  --add               keep them behind those that are kept already

NAME=FILE is the contestant NAME with its program in FILE: evenkeel=target/other/evenkeel.
EVENKEEL_BIN=FILE             the evenkeel to measure, if not the one beside the bench
EVENKEEL_BENCH_HAPROXY3=FILE  a HAProxy 3.x to measure, too
EVENKEEL_BENCH_NETWORK=loopback  no namespaces for client, balancer and servers
";

/// Runs one command.
pub(crate) fn run(args: &[String]) -> Result<()> {
    let (words, options) = options(args)?;
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["compare", workloads, ref contestants @ ..] if contestants.len() >= 2 => {
            let workloads: Vec<&Workload> = workloads
                .split(',')
                .map(Workload::named)
                .collect::<Result<_>>()?;
            compare(&workloads, contestants, &options)
        }
        ["run", ref rest @ ..] if rest.len() <= 3 => {
            let campaign = options.campaign(rest)?;
            raise_descriptor_limit()?;
            let topology = topology::enter()?;
            let records = campaign::run(&campaign, &topology)?;
            for record in &records {
                print_bars(record);
            }
            ensure_complete(&records)
        }
        ["report"] => report::write(),
        ["list"] => {
            list();
            Ok(())
        }
        _ => bail!("this is how it is used:\n\n{HELP}"),
    }
}

struct Options {
    rounds: usize,
    pairs: usize,
    pace: Pace,
    /// None when nothing was said.
    threads: Option<Vec<Threads>>,
    keep: Keep,
}

impl Options {
    /// What `run` is to measure: its words are workloads, contestants and pairs.
    fn campaign(&self, words: &[&str]) -> Result<Campaign> {
        let names = |place: usize| match words.get(place).copied() {
            None | Some("all") => Vec::new(),
            Some(list) => list.split(',').map(str::to_owned).collect(),
        };
        let pairs = match words.get(2) {
            Some(text) => text.parse().context("ROUNDS are a number")?,
            None => self.pairs,
        };
        Ok(Campaign {
            workloads: names(0),
            contestants: names(1),
            threads: self.threads.clone().unwrap_or(Threads::ALL.to_vec()),
            pairs,
            rounds: self.rounds.min(pairs),
            pace: self.pace,
            keep: if self.keep == Keep::Behind {
                Keep::Behind
            } else {
                Keep::Instead
            },
        })
    }
}

fn options(args: &[String]) -> Result<(Vec<String>, Options)> {
    let mut words = Vec::new();
    let mut options = Options {
        rounds: 5,
        pairs: 15,
        pace: Pace {
            warm_up: Duration::from_millis(300),
            window: Duration::from_secs(1),
        },
        threads: None,
        keep: Keep::Nothing,
    };
    let mut args = args.iter();
    while let Some(word) = args.next() {
        let mut value = || args.next().with_context(|| format!("{word} wants a value"));
        match word.as_str() {
            "--rounds" => options.rounds = value()?.parse().context("--rounds wants a number")?,
            "--seconds" => options.pace.window = seconds(value()?)?,
            "--warm-up" => options.pace.warm_up = seconds(value()?)?,
            "--pairs" => options.pairs = value()?.parse().context("--pairs wants a number")?,
            "--threads" => options.threads = Some(threads(value()?)?),
            "--save" => options.keep = Keep::Instead,
            "--add" => options.keep = Keep::Behind,
            flag if flag.starts_with('-') => bail!("no option is called {flag}\n\n{HELP}"),
            _ => words.push(word.clone()),
        }
    }
    ensure!(options.rounds > 0, "--rounds wants at least 1");
    Ok((words, options))
}

/// The ways to use the machine that a word means.
pub(crate) fn threads(word: &str) -> Result<Vec<Threads>> {
    let all = Threads::ALL.into_iter();
    let found: Vec<Threads> = all
        .filter(|threads| word == "both" || threads.count().to_string() == word)
        .collect();
    ensure!(!found.is_empty(), "threads are 1, 2 or both, not {word:?}");
    Ok(found)
}

fn seconds(text: &str) -> Result<Duration> {
    let seconds: f64 = text.parse().context("seconds are a number")?;
    Duration::try_from_secs_f64(seconds).context("seconds are a positive number")
}

fn list() {
    println!("workloads:");
    for workload in WORKLOADS {
        println!("  {:<8} {}", workload.name, workload.title);
        for metric in workload.metrics {
            println!(
                "           {:<8} {}, {}",
                metric.name, metric.title, metric.unit
            );
        }
    }
    println!(
        "contestants: {}",
        contestant::names().collect::<Vec<_>>().join(", ")
    );
}

fn compare(workloads: &[&'static Workload], names: &[&str], options: &Options) -> Result<()> {
    raise_descriptor_limit()?;
    let topology = topology::enter()?;
    println!("{}", topology.describe());
    let entries: Vec<Entry> = names
        .iter()
        .map(|name| {
            Ok(Entry {
                contestant: Contestant::find(name, &topology)?,
                rounds: options.rounds,
            })
        })
        .collect::<Result<_>>()?;
    let mut records = Vec::new();
    for threads in options.threads.as_deref().unwrap_or(&[Threads::OnePinned]) {
        for workload in workloads {
            let record = rounds::run(workload, &entries, *threads, options.pace, &topology)?;
            println!(
                "\n{}: {}; {}",
                workload.name,
                workload.title,
                threads.describe()
            );
            print(&record, workload, names);
            print_bars(&record);
            records.push(record);
        }
    }
    for record in &records {
        record.clone().keep(options.keep)?;
    }
    ensure_complete(&records)
}

/// A round that came to nothing is a failure of the whole.
pub(crate) fn ensure_complete(records: &[Record]) -> Result<()> {
    let failures: Vec<&str> = records
        .iter()
        .flat_map(|record| &record.failures)
        .map(String::as_str)
        .collect();
    ensure!(
        failures.is_empty(),
        "{} rounds came to nothing:\n{}",
        failures.len(),
        failures.join("\n")
    );
    Ok(())
}

fn print(record: &Record, workload: &Workload, names: &[&str]) {
    for metric in workload.metrics {
        let better = match metric.better {
            Better::Lower => "less is better",
            Better::Higher => "more is better",
        };
        println!("  {}, {} ({better})", metric.title, metric.unit);
        for name in names {
            let Some(summary) = summary(&record.values(name, metric.name)) else {
                continue;
            };
            print!(
                "    {name:<24} {:>9}  {:>9} .. {:<9}",
                figure(summary.median),
                figure(summary.lower_quartile),
                figure(summary.upper_quartile)
            );
            match paired(&record.pairs(names[0], name, metric.name)) {
                Some(paired) if *name != names[0] => println!(
                    "  {} over it: {:.3} [{:.3}, {:.3}] at {:.0}%, {} pairs",
                    names[0],
                    paired.ratio,
                    paired.low,
                    paired.high,
                    paired.confidence * 100.0,
                    paired.pairs
                ),
                _ => println!(),
            }
        }
    }
}

/// The bars of one workload that the contestants decide.
pub(crate) fn print_bars(record: &Record) {
    for bar in BARS.iter().filter(|bar| bar.workload == record.workload) {
        let outcome = bar.judge(record);
        if let Some(reached) = outcome.reached {
            println!(
                "  bar, {} nbthread {}, {} {}: {} ({:.3} [{:.3}, {:.3}])",
                record.workload,
                record.threads,
                bar.metric,
                bar.words(),
                outcome.verdict.words(),
                reached.ratio,
                reached.low,
                reached.high
            );
        }
    }
}

/// A number with four digits that count.
pub(crate) fn figure(value: f64) -> String {
    let digits = if value == 0.0 {
        0
    } else {
        value.abs().log10().floor() as i32
    };
    format!(
        "{value:.*}",
        usize::try_from(3 - digits).unwrap_or(0).min(4)
    )
}

/// As many descriptors as are allowed: a thousand connections have two thousand ends.
pub(crate) fn raise_descriptor_limit() -> Result<()> {
    let limits = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limits.maximum,
        maximum: limits.maximum,
    };
    setrlimit(Resource::Nofile, raised).context("raise the limit of open descriptors")
}
