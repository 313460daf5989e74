//! What evenkeel is to reach, one row each, and whether the rounds prove it.

use crate::record::Record;
use crate::stats::{Paired, paired, summary};
use crate::workload::Workload;

/// One bar.
pub(crate) struct Bar {
    pub(crate) workload: &'static str,
    pub(crate) metric: &'static str,
    pub(crate) limit: Limit,
}

/// Where the bar lies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Limit {
    /// Our figure over the opponent's.
    NotAbove(f64, &'static str),
    NotBelow(f64, &'static str),
    /// Our figure alone, in the metric's unit.
    Own(f64),
    /// Our figure over another one of ours.
    NotAboveOwn(f64, &'static str),
}

use Limit::{NotAbove, NotAboveOwn, NotBelow, Own};

const fn bar(workload: &'static str, metric: &'static str, limit: Limit) -> Bar {
    Bar {
        workload,
        metric,
        limit,
    }
}

/// Every bar.
pub(crate) const BARS: &[Bar] = &[
    bar("churn", "cpu", NotAbove(0.88, "haproxy")),
    bar("churn", "rate", NotBelow(1.08, "haproxy")),
    bar("kept64", "cpu", NotAbove(0.95, "haproxy")),
    bar("kept64", "p99", NotAbove(0.95, "haproxy")),
    bar("kept1", "p50", NotAbove(0.40, "haproxy")),
    bar("kept1", "p50", NotAbove(1.10, "haproxy-busy")),
    // A check of two servers every two seconds is all that may be left.
    bar("kept1", "rest", Own(1.0)),
    bar("bulk1", "gbits", NotBelow(1.6, "haproxy")),
    bar("bulk8", "gbits", NotBelow(1.6, "haproxy")),
    bar("bulk1", "gbits", NotBelow(1.05, "haproxy-tuned")),
    bar("bulk8", "gbits", NotBelow(1.05, "haproxy-tuned")),
    bar("bulk1", "cpu", NotAbove(0.40, "haproxy")),
    bar("bulk8", "cpu", NotAbove(0.40, "haproxy")),
    bar("bulk1", "cpu", NotAbove(1.05, "haproxy-tuned")),
    bar("bulk8", "cpu", NotAbove(1.05, "haproxy-tuned")),
    bar("idle", "memory", NotAbove(0.30, "haproxy")),
    bar("failover-reset", "failed", Own(0.0)),
    bar("reload", "lost", Own(0.0)),
    bar("reload", "around", NotAboveOwn(2.0, "usual")),
    bar("checks", "cpu", NotAbove(0.80, "haproxy")),
];

/// Who has to clear the bars.
pub(crate) const OURS: &str = "evenkeel";

/// What the rounds say of a bar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The whole interval lies on the right side.
    Met,
    /// The whole interval lies on the wrong side.
    NotMet,
    NotProven,
    /// One of the two did not run.
    NotMeasured,
}

impl Verdict {
    pub(crate) fn words(self) -> &'static str {
        match self {
            Verdict::Met => "met",
            Verdict::NotMet => "not met",
            Verdict::NotProven => "not proven",
            Verdict::NotMeasured => "not measured",
        }
    }
}

/// A bar after the rounds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outcome {
    pub(crate) verdict: Verdict,
    /// The ratio; of a bar without opponent the figure itself, from its least to its greatest.
    pub(crate) reached: Option<Paired>,
}

impl Bar {
    /// Whether pairs prove it, rather than a figure alone.
    pub(crate) fn is_ratio(&self) -> bool {
        !matches!(self.limit, Own(_))
    }

    /// The opponent, if it is a ratio.
    pub(crate) fn opponent(&self) -> Option<&'static str> {
        match self.limit {
            NotAbove(_, opponent) | NotBelow(_, opponent) => Some(opponent),
            Own(_) | NotAboveOwn(..) => None,
        }
    }

    /// The limit in words: `at most 0.88 x haproxy`.
    pub(crate) fn words(&self) -> String {
        match self.limit {
            NotAbove(limit, opponent) => format!("at most {limit:.2} x {opponent}"),
            NotBelow(limit, opponent) => format!("at least {limit:.2} x {opponent}"),
            NotAboveOwn(limit, other) => format!("at most {limit:.2} x its own {other}"),
            Own(limit) => {
                let metric = Workload::named(self.workload)
                    .ok()
                    .and_then(|workload| workload.metric(self.metric));
                format!(
                    "at most {limit:.1} {}",
                    metric.map_or("", |metric| metric.unit)
                )
            }
        }
    }

    /// Judges it by the rounds of its workload.
    pub(crate) fn judge(&self, record: &Record) -> Outcome {
        let (reached, below, limit) = match self.limit {
            NotAbove(limit, opponent) => (
                paired(&record.pairs(OURS, opponent, self.metric)),
                true,
                limit,
            ),
            NotBelow(limit, opponent) => (
                paired(&record.pairs(OURS, opponent, self.metric)),
                false,
                limit,
            ),
            Own(limit) => (record.range(OURS, self.metric), true, limit),
            NotAboveOwn(limit, other) => {
                let ours = record.values(OURS, self.metric);
                let pairs: Vec<_> = ours.into_iter().zip(record.values(OURS, other)).collect();
                (paired(&pairs), true, limit)
            }
        };
        let verdict = match reached {
            None => Verdict::NotMeasured,
            Some(reached) if below => side(reached.high <= limit, reached.low > limit, &reached),
            Some(reached) => side(reached.low >= limit, reached.high < limit, &reached),
        };
        Outcome { verdict, reached }
    }
}

fn side(right: bool, wrong: bool, reached: &Paired) -> Verdict {
    match (right, wrong) {
        // Few rounds prove nothing, wherever they lie.
        (true, _) if reached.confidence >= 0.95 => Verdict::Met,
        (_, true) if reached.confidence >= 0.95 => Verdict::NotMet,
        _ => Verdict::NotProven,
    }
}

impl Record {
    /// A contestant's own figure as a bar without opponent sees it: every round counts.
    fn range(&self, contestant: &str, metric: &str) -> Option<Paired> {
        let values = self.values(contestant, metric);
        let summary = summary(&values)?;
        Some(Paired {
            pairs: values.len(),
            ratio: summary.median,
            low: values.iter().copied().fold(f64::INFINITY, f64::min),
            high: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            confidence: 1.0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::{Sample, WORKLOADS};

    #[test]
    fn every_bar_names_a_workload_a_metric_and_a_contestant() {
        for bar in BARS {
            let workload = Workload::named(bar.workload).unwrap();
            assert!(
                workload.metric(bar.metric).is_some(),
                "{} has no {}",
                bar.workload,
                bar.metric
            );
            if let NotAboveOwn(_, other) = bar.limit {
                assert!(workload.metric(other).is_some(), "{other}");
            }
            for name in bar.opponent().into_iter().chain([OURS]) {
                assert!(crate::contestant::names().any(|row| row == name), "{name}");
            }
        }
        assert!(
            WORKLOADS
                .iter()
                .all(|workload| !workload.metrics.is_empty())
        );
    }

    fn record(ours: impl Fn(usize) -> f64) -> Record {
        let mut record = Record::default();
        for round in 0..15 {
            for (contestant, value) in [(OURS, ours(round)), ("haproxy", 10.0)] {
                let figures = Sample::from([("cpu".to_owned(), value)]);
                record.add(round, contestant, figures);
            }
        }
        record
    }

    #[test]
    fn a_bar_is_met_when_the_interval_lies_on_its_right_side() {
        let bar = bar("churn", "cpu", NotAbove(0.9, "haproxy"));
        assert_eq!(
            bar.judge(&record(|n| 8.0 + n as f64 / 100.0)).verdict,
            Verdict::Met
        );
        assert_eq!(
            bar.judge(&record(|n| 9.5 + n as f64 / 100.0)).verdict,
            Verdict::NotMet
        );
        assert_eq!(
            bar.judge(&record(|n| 8.3 + n as f64 / 10.0)).verdict,
            Verdict::NotProven
        );
        assert_eq!(bar.judge(&Record::default()).verdict, Verdict::NotMeasured);
    }

    #[test]
    fn five_pairs_prove_nothing() {
        let bar = bar("churn", "cpu", NotAbove(0.9, "haproxy"));
        let mut few = record(|_| 1.0);
        few.samples.retain(|sample| sample.round < 5);
        assert_eq!(bar.judge(&few).verdict, Verdict::NotProven);
    }
}
