//! docs/benchmarks.md and its charts, drawn from the rounds that were kept. What a person has to
//! say about them stands in docs/benchmarks/notes.md, which is put in as it is.

mod charts;
mod tables;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;

use anyhow::{Context as _, Result, ensure};

use crate::bars::BARS;
use crate::contestant::{Variant, seed_configuration};
use crate::record::{Record, folder, workspace};
use crate::stage::Threads;
use crate::workload::{WORKLOADS, Workload};

/// The records of one workload, by the way in which the machine was used.
struct Chapter {
    workload: &'static Workload,
    records: Vec<(Threads, Record)>,
}

/// Draws all of it.
pub(crate) fn write() -> Result<()> {
    let chapters = chapters()?;
    ensure!(
        !chapters.is_empty(),
        "no rounds are kept in {}; evenkeel-bench run measures",
        folder().display()
    );
    let docs = workspace().join("docs");
    let charts = docs.join("benchmarks");
    fs::create_dir_all(&charts).with_context(|| format!("create {}", charts.display()))?;
    for chapter in &chapters {
        let file = charts.join(format!("{}.svg", chapter.workload.name));
        charts::draw(&file, chapter.workload, &chapter.records)?;
    }
    let notes = fs::read_to_string(charts.join("notes.md")).unwrap_or_default();
    let page = docs.join("benchmarks.md");
    fs::write(&page, text(&chapters, notes.trim())?)
        .with_context(|| format!("write {}", page.display()))?;
    println!("{}", page.canonicalize().unwrap_or(page).display());
    Ok(())
}

fn chapters() -> Result<Vec<Chapter>> {
    let mut chapters = Vec::new();
    for workload in WORKLOADS {
        let mut records = Vec::new();
        for threads in Threads::ALL {
            if let Some(record) = Record::load(workload.name, threads.count())? {
                records.push((threads, record));
            }
        }
        if !records.is_empty() {
            chapters.push(Chapter { workload, records });
        }
    }
    Ok(chapters)
}

fn text(chapters: &[Chapter], notes: &str) -> Result<String> {
    let records = || {
        chapters
            .iter()
            .flat_map(|chapter| chapter.records.iter().map(|(_, record)| record))
    };
    let mut text = INTRODUCTION.to_owned();

    text += "\n## Bars\n\nWhat evenkeel is to reach, over HAProxy in the same rounds: the paired ratio, in \
             brackets the interval in which it lies with 95% certainty. *Met* and *not met* are said \
             where the whole interval lies on one side of the bar.\n\n";
    tables::bars(
        &mut text,
        BARS,
        chapters.iter().flat_map(|chapter| &chapter.records),
    );

    if !notes.is_empty() {
        let _ = write!(text, "\n{notes}\n");
    }

    text += "\n## Machine and method\n\n";
    let machines: BTreeSet<String> = records()
        .map(|record| {
            let machine = &record.machine;
            format!(
                "- {}: {} cores of {}, {}; {}.\n",
                machine.day, machine.cores, machine.processor, machine.kernel, machine.network
            )
        })
        .collect();
    text.extend(machines);
    text += METHOD;

    for chapter in chapters {
        let (name, title) = (chapter.workload.name, chapter.workload.title);
        let _ = write!(
            text,
            "\n## {name}\n\n{}.\n\n![{name}](benchmarks/{name}.svg)\n",
            capital(title)
        );
        for (threads, record) in &chapter.records {
            let _ = write!(
                text,
                "\n{}, windows of {} s:\n\n",
                capital(threads.describe()),
                record.window
            );
            tables::figures(&mut text, chapter.workload, record);
            for failure in &record.failures {
                let _ = write!(
                    text,
                    "\nCame to nothing: {}\n",
                    failure.lines().next().unwrap_or_default()
                );
            }
        }
    }

    text += "\n## Who took part\n\n";
    tables::entrants(&mut text, records());
    text += "\nThe file of `haproxy` and `evenkeel`, with `nbthread 1`:\n\n";
    for (variant, heading) in [
        (Variant::Seed, ""),
        (Variant::Tuned, "\nOf those that are tuned:\n\n"),
        (Variant::Busy, "\nOf those that poll:\n\n"),
    ] {
        let _ = write!(
            text,
            "{heading}```haproxy\n{}```\n",
            seed_configuration(variant)
        );
    }
    Ok(text)
}

fn capital(sentence: &str) -> String {
    let mut letters = sentence.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters).collect()
    })
}

const INTRODUCTION: &str = "\
# Benchmarks

evenkeel, HAProxy, nginx and the kernel's own forwarding, measured side by side on one machine. This
page is drawn from the rounds themselves; on any Linux with haproxy installed two commands repeat it,
the first of which measures for half an hour (with everyone as root, after apt install haproxy
nginx-light libnginx-mod-stream nftables):

```sh
cargo bench --bench side_by_side
cargo run --release -p evenkeel-bench -- report
```

`EVENKEEL_BENCH_HAPROXY3=/path/to/haproxy` adds a HAProxy 3.x; `EVENKEEL_BENCH_ROUNDS=6` is the least
that can prove anything, in half the time. One question alone is answered in a
minute, `target/release/evenkeel-bench` says how:

```sh
target/release/evenkeel-bench compare churn evenkeel haproxy --rounds 15
```
";

const METHOD: &str = "
Each round gives every contestant one turn: it is started, serves for a warm-up and a window, and is
ended. The first turn goes to another one in every round, so that what the machine does in between
meets all alike. Tables show medians and, in brackets, quartiles of the rounds. Ratios are those of
the pairs of one round: Hodges and Lehmann's estimate and the interval of Wilcoxon's signed-rank test,
which one spoilt round cannot move. Only ratios carry over to another machine.

CPU of a proxy is what the scheduler counted for all of its threads (`/proc/PID/task/*/schedstat`),
the kernel's work on its behalf included; the whole system's is `/proc/stat` without idle and stolen
time. Memory is `Private_Dirty` of `smaps_rollup`. A failed request makes the turn void and is named
below. Clients and servers are one thread each; bulk data is dropped by the client's kernel
(`MSG_TRUNC`), so that the proxy is what limits it. The seed's file has no `log` line: nobody logs.
Balancers run without rights, with the pipes that such a user may have.

In each namespace: ports from 10000, `tcp_max_tw_buckets` 2000, `somaxconn` 16384,
`tcp_no_metrics_save` 1, the kernel's usual `tcp_rmem` and `tcp_wmem`.
";
