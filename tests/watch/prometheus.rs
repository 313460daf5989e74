//! The real Prometheus as a process, scraping one balancer.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::files::text;
use crate::support::balancer::temporary_directory;
use crate::support::metrics::get;
use crate::support::{loopback, until};

/// Killed when dropped, with its data.
pub(crate) struct Prometheus {
    child: Child,
    address: SocketAddr,
    directory: PathBuf,
}

impl Prometheus {
    /// Scrapes `target` every half second as job `evenkeel`, with monitoring/alerts.yaml in force; what an
    /// alarm waits for (`for: 1m`) is a second of it.
    pub(crate) fn start(address: SocketAddr, target: SocketAddr) -> Self {
        let directory = temporary_directory();
        let config = directory.join("prometheus.yaml");
        let rules = directory.join("alerts.yaml");
        let wait = regex::Regex::new(r"(?m)^( *for:) [0-9]+[smhd]$").unwrap();
        let text = text("monitoring/alerts.yaml");
        assert!(wait.find_iter(&text).count() > 10);
        std::fs::write(&rules, &*wait.replace_all(&text, "$1 1s")).unwrap();
        std::fs::write(
            &config,
            format!(
                "global: {{ scrape_interval: 500ms, evaluation_interval: 500ms }}\n\
                 rule_files: ['{}']\n\
                 scrape_configs:\n  - job_name: evenkeel\n    static_configs: [{{ targets: ['{target}'] }}]\n",
                rules.display()
            ),
        )
        .unwrap();
        let log = std::fs::File::create(directory.join("log")).unwrap();
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                directory.join("data").display()
            ))
            .arg(format!("--web.listen-address={address}"))
            .arg("--log.level=warn")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut prometheus = Self {
            child,
            address,
            directory,
        };
        until("Prometheus is ready", || {
            if let Some(status) = prometheus.child.try_wait().unwrap() {
                panic!("Prometheus ended ({status}):\n{}", prometheus.log());
            }
            (loopback::is_listening(address) && get(address, "/-/ready").0.contains(" 200 "))
                .then_some(())
        });
        prometheus
    }

    /// What it complained of.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }

    /// `data` of an answer of its API; fails the test when it is none of success.
    pub(crate) fn ask(&self, target: &str) -> Value {
        let (head, body) = get(self.address, target);
        assert!(head.contains(" 200 "), "{target}: {head}\n{body}");
        let mut answer: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(answer["status"], "success", "{target}: {answer}");
        answer["data"].take()
    }

    /// The samples that a query gives now: labels and value.
    pub(crate) fn query(&self, promql: &str) -> Vec<(Value, f64)> {
        let data = self.ask(&format!("/api/v1/query?query={}", encoded(promql)));
        assert_eq!(data["resultType"], "vector", "{promql}");
        let samples = data["result"].as_array().unwrap().iter();
        samples
            .map(|sample| {
                let value = sample["value"][1].as_str().unwrap();
                (sample["metric"].clone(), value.parse().unwrap())
            })
            .collect()
    }

    /// The value of the one series that a query gives; `None` while it gives none.
    pub(crate) fn value(&self, promql: &str) -> Option<f64> {
        match self.query(promql).as_slice() {
            [] => None,
            [(_, value)] => Some(*value),
            several => panic!("{promql} gives several: {several:?}"),
        }
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("Prometheus said:\n{}", self.log());
        }
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// A query for an address's query part.
fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}
