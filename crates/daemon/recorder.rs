//! The metrics that are recorded as they happen (durations, bytes by relay) rather than read
//! from a snapshot: their names, their buckets and their text.

use std::collections::BTreeSet;

use evenkeel_proxy::Snapshot;
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

use crate::columns::Kind;

/// What a recorded metric is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Recorded {
    Counter,
    /// With the upper bounds of its buckets.
    Histogram(&'static [f64]),
}

/// One metric that the proxy records.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) labels: &'static str,
    pub(crate) what: Recorded,
    pub(crate) help: &'static str,
}

/// From a connect in the same rack to one that is nearly given up, in seconds.
const CONNECT_BUCKETS: &[f64] = &[
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 3.0, 10.0,
];
/// From a probe to a watch that lives for a day, in seconds.
const SESSION_BUCKETS: &[f64] = &[
    0.01, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0, 86_400.0,
];

/// Every metric that is recorded.
pub(crate) const RECORDED: &[Row] = &[
    Row {
        name: "evenkeel_connect_duration_seconds",
        labels: "proxy",
        what: Recorded::Histogram(CONNECT_BUCKETS),
        help: "How long connects to servers took, those that succeeded",
    },
    Row {
        name: "evenkeel_session_duration_seconds",
        labels: "proxy",
        what: Recorded::Histogram(SESSION_BUCKETS),
        help: "How long sessions lasted, from accept to end",
    },
    Row {
        name: "evenkeel_relayed_bytes_total",
        labels: "method",
        what: Recorded::Counter,
        help: "Bytes moved, by the way they were moved (copy, splice)",
    },
];

/// The text of recorded metrics.
#[derive(Clone)]
pub(crate) struct Recorder(PrometheusHandle);

impl Recorder {
    /// Becomes the process's recorder; nothing recorded before is kept.
    pub(crate) fn install() -> Result<Self, BuildError> {
        let mut builder = PrometheusBuilder::new();
        for row in RECORDED {
            if let Recorded::Histogram(buckets) = row.what {
                builder =
                    builder.set_buckets_for_metric(Matcher::Full(row.name.to_owned()), buckets)?;
            }
        }
        let handle = builder.install_recorder()?;
        for row in RECORDED {
            match row.what {
                Recorded::Counter => metrics::describe_counter!(row.name, row.help),
                Recorded::Histogram(_) => metrics::describe_histogram!(row.name, row.help),
            }
        }
        Ok(Self(handle))
    }

    /// Sorts what was recorded into its buckets; to be called every few seconds, for until then
    /// each recorded number is kept by itself.
    pub(crate) fn upkeep(&self) {
        self.0.run_upkeep();
    }

    /// The text, without series of proxies and servers that a reload took away.
    pub(crate) fn print(&self, snapshot: &Snapshot) -> String {
        without_the_gone(&self.0.render(), snapshot)
    }
}

impl Recorded {
    /// As the documentation names it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Counter => Kind::Counter.name(),
            Self::Histogram(_) => "histogram",
        }
    }
}

fn without_the_gone(text: &str, snapshot: &Snapshot) -> String {
    let frontends = snapshot
        .frontends
        .iter()
        .map(|frontend| frontend.name.as_str());
    let proxies: BTreeSet<&str> = frontends
        .chain(snapshot.backends.iter().map(|b| b.name.as_str()))
        .collect();
    let servers: BTreeSet<(&str, &str)> = snapshot
        .backends
        .iter()
        .flat_map(|b| b.servers.iter().map(|s| (b.name.as_str(), s.name.as_str())))
        .collect();
    let lives = |line: &&str| match (label(line, "proxy"), label(line, "server")) {
        _ if line.starts_with('#') => true,
        (Some(proxy), Some(server)) => servers.contains(&(proxy, server)),
        (Some(proxy), None) => proxies.contains(proxy),
        (None, _) => true,
    };
    // A comment whose series are all gone stays: it describes, it counts nothing.
    text.lines()
        .filter(lives)
        .flat_map(|line| [line, "\n"])
        .collect()
}

/// A label's value in a line of text; names of proxies and servers need no escapes.
fn label<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let labels = line.split_once('{')?.1;
    let at = labels.split_once(&format!("{name}=\""))?.1;
    at.split_once('"').map(|(value, _)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_found() {
        let line = "evenkeel_x_bucket{proxy=\"be\",server=\"s1\",le=\"0.1\"} 3";
        assert_eq!(label(line, "proxy"), Some("be"));
        assert_eq!(label(line, "server"), Some("s1"));
        assert_eq!(
            label("evenkeel_relayed_bytes_total{method=\"copy\"} 3", "proxy"),
            None
        );
        assert_eq!(label("evenkeel_x 3", "proxy"), None);
    }

    #[test]
    fn series_of_what_a_reload_took_away_are_left_out() {
        let process = || crate::exposition::tests::view(Vec::new()).proxy;
        let text = "# TYPE evenkeel_x counter\nevenkeel_x{proxy=\"fe\"} 1\nevenkeel_x{proxy=\"gone\"} 2\n\
                    evenkeel_x{proxy=\"fe\",server=\"gone\"} 3\nevenkeel_y{method=\"copy\"} 4\n";
        assert_eq!(
            without_the_gone(text, &process()),
            "# TYPE evenkeel_x counter\nevenkeel_x{proxy=\"fe\"} 1\nevenkeel_y{method=\"copy\"} 4\n"
        );
    }
}
