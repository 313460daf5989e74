//! What the operator sees while a plan runs: a bar with what each host does, or a line for each step when
//! nobody looks at a terminal.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::console::{takes_bars, tell};

/// Shows steps as they begin and end.
#[derive(Debug)]
pub struct Progress {
    display: Display,
    total: usize,
    ended: Mutex<usize>,
}

#[derive(Debug)]
enum Display {
    Lines,
    Bars {
        all: MultiProgress,
        whole: ProgressBar,
        hosts: Mutex<BTreeMap<String, ProgressBar>>,
    },
}

/// How a step ended, for its line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    Done,
    Already,
    Stopped,
    Failed,
}

impl Progress {
    /// For `total` steps; bars if the standard error is a terminal that can draw them.
    #[must_use]
    pub fn new(total: usize) -> Self {
        let display = if takes_bars(&std::io::stderr()) {
            let all = MultiProgress::new();
            let style = ProgressStyle::with_template("[{pos}/{len}] {wide_bar} {elapsed}")
                .unwrap_or_else(|_| ProgressStyle::default_bar());
            let whole = all.add(ProgressBar::new(total as u64).with_style(style));
            Display::Bars {
                all,
                whole,
                hosts: Mutex::default(),
            }
        } else {
            Display::Lines
        };
        Self {
            display,
            total,
            ended: Mutex::new(0),
        }
    }

    /// A heading for what follows.
    pub(super) fn stage(&self, title: &str) {
        self.line(&format!("-- {title}"));
    }

    /// A host begins something.
    pub(super) fn begin(&self, host: &str, title: &str) {
        if let Display::Bars { all, whole, hosts } = &self.display {
            let mut hosts = hosts.lock().expect("nobody panics while it is held");
            let bar = hosts.entry(host.to_owned()).or_insert_with(|| {
                let style = ProgressStyle::with_template("  {spinner} {prefix}: {msg} ({elapsed})")
                    .unwrap_or_else(|_| ProgressStyle::default_spinner());
                let bar = all.insert_before(whole, ProgressBar::new_spinner().with_style(style));
                bar.set_prefix(host.to_owned());
                bar.enable_steady_tick(Duration::from_millis(120));
                bar
            });
            bar.reset_elapsed();
            bar.set_message(title.to_owned());
        }
    }

    /// A host has ended what it began.
    pub(super) fn end(&self, host: &str, title: &str, began: Instant, ended: Ended) {
        let number = {
            let mut number = self.ended.lock().expect("nobody panics while it is held");
            *number += 1;
            *number
        };
        let outcome = match ended {
            Ended::Done => format!("ok ({:.1} s)", began.elapsed().as_secs_f64()),
            Ended::Already => "already so".to_owned(),
            Ended::Stopped => "stopped as you asked".to_owned(),
            Ended::Failed => format!("FAILED after {:.1} s", began.elapsed().as_secs_f64()),
        };
        if let Display::Bars { whole, hosts, .. } = &self.display {
            whole.set_position(number as u64);
            if let Some(bar) = hosts
                .lock()
                .expect("nobody panics while it is held")
                .remove(host)
            {
                bar.finish_and_clear();
            }
        }
        self.line(&format!(
            "[{number}/{}] {host}: {title}: {outcome}",
            self.total
        ));
    }

    /// Something else to be read.
    pub(super) fn line(&self, text: &str) {
        match &self.display {
            Display::Lines => tell(text),
            Display::Bars { all, .. } => {
                // A terminal that is gone reads nothing.
                let _ = all.println(text);
            }
        }
    }

    /// Takes the bars away.
    pub(super) fn close(&self) {
        if let Display::Bars { all, .. } = &self.display {
            let _ = all.clear();
        }
    }
}
