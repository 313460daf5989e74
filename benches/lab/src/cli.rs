//! The command line.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::bars::BARS;
use crate::contestant::{self, Contestant};
use crate::record::Record;
use crate::rounds::{self, Entry};
use crate::stage::{Pace, Threads};
use crate::stats::{paired, summary};
use crate::topology;
use crate::workload::{Better, WORKLOADS, Workload};

const HELP: &str = "\
evenkeel-bench compare WORKLOAD[,WORKLOAD...] OURS OPPONENT...   medians, and OURS over each OPPONENT
evenkeel-bench list                                   workloads and contestants

  --rounds N      rounds, each contestant once in each (5)
  --seconds S     length of a window (1)
  --warm-up S     seconds before it (0.3)
  --threads 1|2   nbthread 1 pinned to core 0, or nbthread 2 unpinned (1)
  --save          keep the rounds for the report; --add: behind those that are kept already

NAME=FILE is the contestant NAME with its program in FILE: evenkeel=target/other/evenkeel
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
        ["list"] => {
            list();
            Ok(())
        }
        _ => bail!("this is how it is used:\n\n{HELP}"),
    }
}

struct Options {
    rounds: usize,
    pace: Pace,
    threads: Threads,
    keep: Keep,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Keep {
    Nothing,
    Instead,
    Behind,
}

fn options(args: &[String]) -> Result<(Vec<String>, Options)> {
    let mut words = Vec::new();
    let mut options = Options {
        rounds: 5,
        pace: Pace {
            warm_up: Duration::from_millis(300),
            window: Duration::from_secs(1),
        },
        threads: Threads::OnePinned,
        keep: Keep::Nothing,
    };
    let mut args = args.iter();
    while let Some(word) = args.next() {
        let mut value = || args.next().with_context(|| format!("{word} wants a value"));
        match word.as_str() {
            "--rounds" => options.rounds = value()?.parse().context("--rounds wants a number")?,
            "--seconds" => options.pace.window = seconds(value()?)?,
            "--warm-up" => options.pace.warm_up = seconds(value()?)?,
            "--threads" => {
                let count = value()?;
                let found = Threads::ALL
                    .into_iter()
                    .find(|threads| threads.count().to_string() == *count);
                options.threads = found.context("--threads wants 1 or 2")?;
            }
            "--save" => options.keep = Keep::Instead,
            "--add" => options.keep = Keep::Behind,
            flag if flag.starts_with('-') => bail!("no option is called {flag}\n\n{HELP}"),
            _ => words.push(word.clone()),
        }
    }
    ensure!(options.rounds > 0, "--rounds wants at least 1");
    Ok((words, options))
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
    println!("{}; {}", topology.describe(), options.threads.describe());
    let entries: Vec<Entry> = names
        .iter()
        .map(|name| {
            Ok(Entry {
                contestant: Contestant::find(name, &topology)?,
                rounds: options.rounds,
            })
        })
        .collect::<Result<_>>()?;
    let mut failed = 0;
    for workload in workloads {
        let record = rounds::run(workload, &entries, options.threads, options.pace, &topology)?;
        print(&record, workload, names);
        print_bars(&record);
        failed += record.failures.len();
        keep(record, options.keep)?;
    }
    ensure!(failed == 0, "{failed} rounds came to nothing");
    Ok(())
}

fn keep(record: Record, keep: Keep) -> Result<()> {
    match keep {
        Keep::Nothing => Ok(()),
        Keep::Instead => record.save(),
        Keep::Behind => match Record::load(&record.workload, record.threads)? {
            None => record.save(),
            Some(mut earlier) => {
                earlier.append(record);
                earlier.save()
            }
        },
    }
}

fn print(record: &Record, workload: &Workload, names: &[&str]) {
    println!("\n{}: {}", workload.name, workload.title);
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
fn print_bars(record: &Record) {
    for bar in BARS.iter().filter(|bar| bar.workload == record.workload) {
        let outcome = bar.judge(record);
        if let Some(reached) = outcome.reached {
            println!(
                "  bar: {} {}: {} ({:.3} [{:.3}, {:.3}])",
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
fn raise_descriptor_limit() -> Result<()> {
    let limits = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limits.maximum,
        maximum: limits.maximum,
    };
    setrlimit(Resource::Nofile, raised).context("raise the limit of open descriptors")
}
