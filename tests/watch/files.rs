//! The files that are looked at, and the tools that judge them.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::not_run;

/// A file of the checkout.
pub(crate) fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// Its text.
pub(crate) fn text(name: &str) -> String {
    std::fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Names of metrics that docs/metrics.md lists, which a test holds to the tables of the code.
fn is_documented(metric: &str) -> bool {
    let page = text("docs/metrics.md");
    let (present, _) = page
        .split_once("## What HAProxy has and this has not")
        .unwrap();
    let listed = |name: &str| present.contains(&format!("| `{name}` |"));
    // A histogram is listed by its name alone.
    let family = ["_bucket", "_sum", "_count"]
        .iter()
        .find_map(|end| metric.strip_suffix(end));
    listed(metric) || family.is_some_and(listed)
}

/// Whether HAProxy exports a metric of that name, too.
fn is_haproxys(metric: &str) -> bool {
    text("crates/daemon/haproxy_metrics.txt")
        .lines()
        .any(|line| line.split(' ').next() == Some(metric))
}

/// Every metric in `asked` is one of evenkeel's; and one of HAProxy's, unless its name says otherwise.
pub(crate) fn are_measured(asked: BTreeSet<String>) {
    for metric in asked {
        let is_own = metric.starts_with("evenkeel_");
        assert_eq!(
            !is_own,
            is_haproxys(&metric),
            "{metric} is none of HAProxy's"
        );
        assert!(
            is_documented(&metric),
            "{metric} is no metric of evenkeel's"
        );
    }
}

/// Names of metrics in a text that is PromQL, or holds some.
pub(crate) fn metrics_in(text: &str) -> Vec<String> {
    let metric = regex::Regex::new(r"(?-u:\b)(haproxy|evenkeel)_[a-z_]*[a-z]").unwrap();
    metric
        .find_iter(text)
        .map(|found| found.as_str().to_owned())
        .collect()
}

/// Whether a program of the package `prometheus` is there; notes that `test` did not run otherwise.
pub(crate) fn have(program: &str, test: &str) -> bool {
    let is_there = Command::new(program)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !is_there {
        not_run(test, &format!("no {program} (Debian's package prometheus)"));
    }
    is_there
}

/// Runs promtool, which must be content and have nothing to remark.
pub(crate) fn promtool(arguments: &[&str], input: &str) -> String {
    let mut child = Command::new("promtool")
        .args(arguments)
        .current_dir(path("monitoring"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // In memory as a whole: promtool reads before it writes.
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let (stdout, stderr) = (
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    );
    assert!(
        output.status.success() && stderr.is_empty(),
        "promtool {arguments:?}: {}\n{stdout}{stderr}",
        output.status
    );
    stdout
}
