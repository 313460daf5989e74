//! The tables, in Markdown.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::bars::{Bar, Verdict};
use crate::cli::figure;
use crate::record::Record;
use crate::stage::Threads;
use crate::stats::summary;
use crate::workload::{Better, Workload};

/// Every bar with what was reached in each way to use the machine.
pub(super) fn bars<'a>(
    text: &mut String,
    bars: &[Bar],
    records: impl Iterator<Item = &'a (Threads, Record)>,
) {
    let records: BTreeMap<(&str, Threads), &Record> = records
        .map(|(threads, record)| ((record.workload.as_str(), *threads), record))
        .collect();
    *text += "| workload | figure | bar |";
    for threads in Threads::ALL {
        let _ = write!(text, " nbthread {} |", threads.count());
    }
    *text += "\n|---|---|---|---|---|\n";
    for bar in bars {
        let metric = Workload::named(bar.workload)
            .ok()
            .and_then(|workload| workload.metric(bar.metric));
        let title = metric.map_or(bar.metric, |metric| metric.title);
        let _ = write!(text, "| {} | {title} | {} |", bar.workload, bar.words());
        for threads in Threads::ALL {
            let outcome = records
                .get(&(bar.workload, threads))
                .map(|record| bar.judge(record));
            let (verdict, reached) = outcome.map_or((Verdict::NotMeasured, None), |outcome| {
                (outcome.verdict, outcome.reached)
            });
            let emphasis = if verdict == Verdict::Met { "**" } else { "" };
            let _ = write!(text, " {emphasis}{}{emphasis}", verdict.words());
            if let Some(reached) = reached {
                let _ = write!(
                    text,
                    " {:.2} [{:.2}, {:.2}], n={}",
                    reached.ratio, reached.low, reached.high, reached.pairs
                );
            }
            *text += " |";
        }
        *text += "\n";
    }
}

/// Every contestant's figures in one workload.
pub(super) fn figures(text: &mut String, workload: &Workload, record: &Record) {
    *text += "| |";
    for metric in workload.metrics {
        let arrow = match metric.better {
            Better::Lower => "↓",
            Better::Higher => "↑",
        };
        let _ = write!(text, " {}, {} {arrow} |", metric.title, metric.unit);
    }
    *text += " rounds |\n|---|";
    *text += &"---:|".repeat(workload.metrics.len() + 1);
    *text += "\n";
    for entrant in &record.contestants {
        let _ = write!(text, "| {} |", entrant.name);
        for metric in workload.metrics {
            match summary(&record.values(&entrant.name, metric.name)) {
                Some(summary) => {
                    let _ = write!(
                        text,
                        " {} [{}, {}] |",
                        figure(summary.median),
                        figure(summary.lower_quartile),
                        figure(summary.upper_quartile)
                    );
                }
                None => *text += " - |",
            }
        }
        let rounds = record
            .samples
            .iter()
            .filter(|sample| sample.contestant == entrant.name)
            .count();
        let _ = writeln!(text, " {rounds} |");
    }
}

/// Names, versions, configurations.
pub(super) fn entrants<'a>(text: &mut String, records: impl Iterator<Item = &'a Record>) {
    *text += "| | version | configuration |\n|---|---|---|\n";
    let mut told: Vec<(&str, &str)> = Vec::new();
    for entrant in records.flat_map(|record| &record.contestants) {
        let one = (entrant.name.as_str(), entrant.version.as_str());
        if !told.contains(&one) {
            told.push(one);
            let _ = writeln!(
                text,
                "| {} | {} | {} |",
                entrant.name, entrant.version, entrant.about
            );
        }
    }
}
