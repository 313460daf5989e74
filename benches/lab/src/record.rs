//! What was measured, as it is kept between a run and its report: one JSON file for each workload
//! and way to use the machine, in target/bench.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::topology::Topology;
use crate::workload::{Sample, Workload};

/// All rounds of one workload.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) workload: String,
    /// nbthread; 1 is pinned, 2 is not.
    pub(crate) threads: u32,
    /// Seconds of a window.
    pub(crate) window: f64,
    pub(crate) machine: Machine,
    pub(crate) contestants: Vec<Entrant>,
    pub(crate) samples: Vec<Taken>,
    /// Rounds of a contestant that came to nothing, and why.
    pub(crate) failures: Vec<String>,
}

/// The rounds of one contestant in one workload, by one figure, as times: of a rate, the time that
/// one takes.
#[derive(Clone, Debug)]
pub struct Series {
    /// The workload, nbthread and the figure.
    pub group: String,
    /// The contestant.
    pub name: String,
    /// Round by round.
    pub times: Vec<Duration>,
}

impl Record {
    /// The first figures of everyone, where they are times longer than none.
    pub(crate) fn series(&self) -> Vec<Series> {
        let Ok(workload) = Workload::named(&self.workload) else {
            return Vec::new();
        };
        let metrics = workload.metrics.iter().take(HEADLINES);
        let all = metrics.flat_map(|metric| {
            self.contestants
                .iter()
                .map(move |entrant| (metric, entrant))
        });
        all.filter_map(|(metric, entrant)| {
            let values = self.values(&entrant.name, metric.name);
            let times = values
                .iter()
                .map(|value| metric.time(*value).filter(|time| !time.is_zero()))
                .collect::<Option<Vec<Duration>>>()?;
            let group = format!(
                "{}, nbthread {}, {}",
                workload.name, self.threads, metric.name
            );
            (!times.is_empty()).then(|| Series {
                group,
                name: entrant.name.clone(),
                times,
            })
        })
        .collect()
    }
}

/// How many of a workload's figures are its headlines.
pub(crate) const HEADLINES: usize = 2;

/// What becomes of a run's rounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    Nothing,
    /// In place of earlier ones.
    Instead,
    /// Behind earlier ones.
    Behind,
}

/// Where and when it was measured.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Machine {
    /// As the kernel calls it.
    pub(crate) processor: String,
    pub(crate) cores: usize,
    pub(crate) kernel: String,
    /// The network and the balancers' user.
    pub(crate) network: String,
    /// Year, month and day, UTC.
    pub(crate) day: String,
}

impl Machine {
    /// The one that we are on.
    pub(crate) fn this(topology: &Topology) -> Self {
        let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = text
            .lines()
            .find_map(|line| line.strip_prefix("model name"));
        let kernel = rustix::system::uname();
        Machine {
            processor: model
                .unwrap_or("unknown")
                .trim_start_matches([' ', '\t', ':'])
                .to_owned(),
            cores: thread::available_parallelism().map_or(1, usize::from),
            kernel: format!(
                "{} {} {}",
                kernel.sysname().to_string_lossy(),
                kernel.release().to_string_lossy(),
                kernel.machine().to_string_lossy()
            ),
            network: topology.describe(),
            day: jiff::Timestamp::now().strftime("%Y-%m-%d").to_string(),
        }
    }
}

/// Who took part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entrant {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) about: String,
}

/// The figures of one contestant in one round.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Taken {
    pub(crate) round: usize,
    pub(crate) contestant: String,
    pub(crate) figures: Sample,
}

impl Record {
    pub(crate) fn add(&mut self, round: usize, contestant: &str, figures: Sample) {
        self.samples.push(Taken {
            round,
            contestant: contestant.to_owned(),
            figures,
        });
    }

    /// A figure of one contestant, round by round.
    pub(crate) fn values(&self, contestant: &str, metric: &str) -> Vec<f64> {
        let own = self
            .samples
            .iter()
            .filter(|sample| sample.contestant == contestant);
        own.filter_map(|sample| sample.figures.get(metric).copied())
            .collect()
    }

    /// A figure of two contestants in the rounds that both have.
    pub(crate) fn pairs(&self, ours: &str, theirs: &str, metric: &str) -> Vec<(f64, f64)> {
        let figure = |contestant: &str, round: usize| {
            let found = self
                .samples
                .iter()
                .find(|one| one.round == round && one.contestant == contestant);
            found.and_then(|sample| sample.figures.get(metric).copied())
        };
        (0..self.rounds())
            .filter_map(|round| Some((figure(ours, round)?, figure(theirs, round)?)))
            .collect()
    }

    /// One more than the last round's number.
    pub(crate) fn rounds(&self) -> usize {
        self.samples
            .iter()
            .map(|sample| sample.round + 1)
            .max()
            .unwrap_or(0)
    }

    /// Adds the rounds of another run of the same workload behind our own.
    pub(crate) fn append(&mut self, later: Record) {
        let before = self.rounds();
        for entrant in later.contestants {
            if !self.contestants.contains(&entrant) {
                self.contestants.push(entrant);
            }
        }
        let samples = later.samples.into_iter();
        self.samples.extend(samples.map(|sample| Taken {
            round: sample.round + before,
            ..sample
        }));
        self.failures.extend(later.failures);
    }

    /// Reads what an earlier run left, if one did.
    pub(crate) fn load(workload: &str, threads: u32) -> Result<Option<Self>> {
        let file = path(workload, threads);
        if !file.exists() {
            return Ok(None);
        }
        let text = fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
        serde_json::from_str(&text)
            .map(Some)
            .with_context(|| format!("read {}", file.display()))
    }

    /// Keeps it for the report, or does not; returns what then is kept.
    pub(crate) fn keep(self, keep: Keep) -> Result<Self> {
        let all = match keep {
            Keep::Nothing => return Ok(self),
            Keep::Instead => self,
            Keep::Behind => match Record::load(&self.workload, self.threads)? {
                None => self,
                Some(mut earlier) => {
                    earlier.append(self);
                    earlier
                }
            },
        };
        all.save()?;
        Ok(all)
    }

    fn save(&self) -> Result<()> {
        let file = path(&self.workload, self.threads);
        fs::create_dir_all(folder()).with_context(|| format!("create {}", folder().display()))?;
        let text = serde_json::to_string_pretty(self).context("what was measured")?;
        fs::write(&file, text + "\n").with_context(|| format!("write {}", file.display()))
    }
}

/// Where records lie.
pub(crate) fn folder() -> PathBuf {
    workspace().join("target/bench")
}

/// The checkout that this bench was built from.
pub(crate) fn workspace() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn path(workload: &str, threads: u32) -> PathBuf {
    folder().join(format!("{workload}-{threads}.json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_of_one_round() {
        let mut record = Record::default();
        for (round, contestant, value) in
            [(0, "a", 1.0), (0, "b", 2.0), (1, "a", 3.0), (2, "b", 4.0)]
        {
            record.add(round, contestant, Sample::from([("cpu".to_owned(), value)]));
        }
        assert_eq!(record.pairs("a", "b", "cpu"), [(1.0, 2.0)]);
        let mut more = record.clone();
        more.append(record);
        assert_eq!(more.pairs("a", "b", "cpu"), [(1.0, 2.0), (1.0, 2.0)]);
    }
}
