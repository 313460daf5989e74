//! The program in the middle: real HAProxy or evenkeel, started on the lb node with the same file
//! and the same arguments, its log lines stamped as they come.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::lab::{Host, Lab, signal};
use crate::support::tools::run;
use crate::support::wait::within;

/// A program that runs haproxy.cfg.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    Evenkeel,
    /// HAProxy, in the Debian tree that has it, or the one of this machine.
    HaProxy {
        tree: Option<PathBuf>,
    },
}

impl Program {
    /// The HAProxy to compare with: Debian 13's 3.0 where `tests/run` (or the environment) put it,
    /// else the machine's own.
    pub(crate) fn oracle() -> Result<Self, String> {
        let folder = env::var_os("EVENKEEL_ORACLE").map_or_else(
            || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/oracle"),
            PathBuf::from,
        );
        let tree = folder.join("trixie");
        if tree.join("usr/sbin/haproxy").exists() {
            return Ok(Program::HaProxy { tree: Some(tree) });
        }
        let path = env::var_os("PATH").unwrap_or_default();
        if env::split_paths(&path).any(|folder| folder.join("haproxy").is_file()) {
            return Ok(Program::HaProxy { tree: None });
        }
        Err(format!("no HAProxy in {} and none in PATH", tree.display()))
    }

    pub(crate) fn tag(&self) -> &'static str {
        match self {
            Program::Evenkeel => "evenkeel",
            Program::HaProxy { .. } => "haproxy",
        }
    }

    /// Its name and version, for the report.
    pub(crate) fn version(&self) -> String {
        match self {
            Program::Evenkeel => format!("evenkeel {}", env!("CARGO_PKG_VERSION")),
            Program::HaProxy { tree } => {
                let mut command = match tree {
                    Some(tree) => in_tree(Command::new("chroot"), tree),
                    None => Command::new("haproxy"),
                };
                let text = run(command.arg("-v"));
                let version = text
                    .split_whitespace()
                    .nth(2)
                    .unwrap_or("of an unknown version");
                format!("HAProxy {version}")
            }
        }
    }

    /// The command that runs it on the lb node. A tree is entered by chroot rather than through its
    /// own loader, because HAProxy's master starts itself again on a reload.
    fn command(&self, lab: &Lab) -> Command {
        match self {
            Program::Evenkeel => lab.on(Host::Lb, env!("CARGO_BIN_EXE_evenkeel")),
            Program::HaProxy { tree: None } => lab.on(Host::Lb, "haproxy"),
            Program::HaProxy { tree: Some(tree) } => in_tree(lab.on(Host::Lb, "chroot"), tree),
        }
    }
}

/// HAProxy inside `tree`, which sees the lab's files at the same path.
fn in_tree(mut chroot: Command, tree: &Path) -> Command {
    let run_folder = tree.join("run");
    if !run_folder.join("lab").exists() {
        run(Command::new("mount")
            .args(["--rbind", "/run"])
            .arg(&run_folder));
    }
    chroot.arg(tree).arg("/usr/sbin/haproxy");
    chroot
}

/// A line of the program's standard error and when it came.
#[derive(Clone, Debug)]
struct Line {
    at: Instant,
    text: String,
}

#[derive(Default)]
struct Lines {
    all: Mutex<Vec<Line>>,
    more: Condvar,
}

/// A running balancer. It is killed when dropped.
pub(crate) struct Balancer {
    child: Child,
    lines: Arc<Lines>,
    reader: Option<JoinHandle<()>>,
}

impl Balancer {
    /// Starts the program with `-f` and the configuration.
    pub(crate) fn start(program: &Program, lab: &Lab, configuration: &str) -> Self {
        Balancer::start_with(program, lab, configuration, |command, file| {
            command.arg("-f").arg(file);
        })
    }

    /// Starts the program with the arguments that `arguments` adds, given the configuration's path.
    pub(crate) fn start_with(
        program: &Program,
        lab: &Lab,
        configuration: &str,
        arguments: impl FnOnce(&mut Command, &Path),
    ) -> Self {
        let file = lab.directory().join("haproxy.cfg");
        fs::write(&file, configuration).expect("the lab's file system takes files");
        let mut command = program.command(lab);
        arguments(&mut command, &file);
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let stderr = child.stderr.take().expect("standard error is a pipe");
        let lines = Arc::new(Lines::default());
        let shared = Arc::clone(&lines);
        let reader = thread::spawn(move || {
            for text in BufReader::new(stderr).lines().map_while(Result::ok) {
                let line = Line {
                    at: Instant::now(),
                    text,
                };
                shared
                    .all
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(line);
                shared.more.notify_all();
            }
        });
        Balancer {
            child,
            lines,
            reader: Some(reader),
        }
    }

    /// The process that was started (the master of HAProxy's master-worker mode).
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    /// Waits until the program says something with `text` in it, from `since` on.
    pub(crate) fn says(&self, text: &str, since: Instant, limit: Duration) -> Option<Instant> {
        let deadline = Instant::now() + limit;
        let mut all = self
            .lines
            .all
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(line) = all
                .iter()
                .find(|line| line.at >= since && line.text.contains(text))
            {
                return Some(line.at);
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            let waited = self.lines.more.wait_timeout(all, left);
            all = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Everything said so far.
    pub(crate) fn said(&self) -> String {
        let all = self
            .lines
            .all
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        all.iter().map(|line| format!("{}\n", line.text)).collect()
    }

    /// Waits for the program to end by itself.
    pub(crate) fn ends(&mut self, limit: Duration) -> Option<ExitStatus> {
        let status = within(limit, || {
            self.child
                .try_wait()
                .expect("our own child can be waited for")
        })?;
        // The last lines may still be in the pipe; no one else holds its other end.
        if let Some(reader) = self.reader.take() {
            reader
                .join()
                .expect("the reader of standard error does not panic");
        }
        Some(status)
    }
}

impl Drop for Balancer {
    /// HAProxy's worker outlives a killed master for a moment; the namespace ends it at the latest.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
