//! Processes that the bench starts, and what the kernel knows of them.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

/// A process that ends with this value.
pub(crate) struct Process {
    child: Child,
    /// Where it writes what it has to say.
    log: Option<PathBuf>,
}

impl Process {
    /// Starts it with standard output and error going to `log`.
    pub(crate) fn start(mut command: Command, log: &Path) -> Result<Self> {
        let file = File::create(log).with_context(|| format!("create {}", log.display()))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone().context("a second handle of the log")?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("start {command:?}"))?;
        Ok(Process {
            child,
            log: Some(log.to_owned()),
        })
    }

    /// Starts it with pipes to and from it.
    pub(crate) fn start_piped(mut command: Command) -> Result<Self> {
        let child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("start {command:?}"))?;
        Ok(Process { child, log: None })
    }

    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Fails with the last words of a process that has ended.
    pub(crate) fn assert_running(&mut self) -> Result<()> {
        match self.child.try_wait().context("wait")? {
            None => Ok(()),
            Some(status) => bail!("it ended: {status}: {}", self.last_words()),
        }
    }

    /// What it wrote.
    pub(crate) fn said(&self) -> String {
        let mut text = String::new();
        if let Some(mut file) = self.log.as_ref().and_then(|log| File::open(log).ok()) {
            let _ = file.read_to_string(&mut text);
        }
        text
    }

    /// The end of what it wrote.
    pub(crate) fn last_words(&self) -> String {
        let text = self.said();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(4)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Workers outlive a master that is killed; the master first, or it starts others.
        let family = family(self.pid());
        // Only a process that has ended already refuses.
        let _ = self.child.kill();
        let _ = self.child.wait();
        for worker in &family[1..] {
            if let Some(worker) = i32::try_from(*worker).ok().and_then(Pid::from_raw) {
                let _ = kill_process(worker, Signal::KILL);
            }
        }
    }
}

/// A process and all that it has started since.
fn family(pid: u32) -> Vec<u32> {
    let mut found = vec![pid];
    let mut next = 0;
    while let Some(parent) = found.get(next) {
        let tasks = fs::read_dir(format!("/proc/{parent}/task"));
        for task in tasks.into_iter().flatten().flatten() {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            found.extend(
                children
                    .split_whitespace()
                    .filter_map(|word| word.parse::<u32>().ok()),
            );
        }
        next += 1;
    }
    found
}

/// CPU seconds of a process, its threads and its children: the scheduler's own nanoseconds, since
/// the ticks of /proc/PID/stat are ten million of them.
pub(crate) fn cpu_seconds(pid: u32) -> Result<f64> {
    let mut nanoseconds = 0;
    for pid in family(pid) {
        let tasks = fs::read_dir(format!("/proc/{pid}/task"))
            .with_context(|| format!("threads of process {pid}"))?;
        for task in tasks {
            let path = task.context("a thread")?.path().join("schedstat");
            // A thread may end in between.
            let text = fs::read_to_string(path).unwrap_or_default();
            let ran = text
                .split_whitespace()
                .next()
                .and_then(|word| word.parse::<u64>().ok());
            nanoseconds += ran.unwrap_or(0);
        }
    }
    Ok(nanoseconds as f64 / 1e9)
}

/// Memory that is the own of a process and its children, in bytes. Clean pages are left out: those
/// are the program's file.
pub(crate) fn private_bytes(pid: u32) -> Result<u64> {
    let mut kibibytes = 0;
    for pid in family(pid) {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))
            .with_context(|| format!("memory of process {pid}"))?;
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("Private_Dirty:"));
        let number = line
            .and_then(|rest| rest.split_whitespace().next())
            .context("Private_Dirty")?;
        kibibytes += number.parse::<u64>().context("Private_Dirty")?;
    }
    Ok(kibibytes * 1024)
}

/// CPU seconds that the whole machine has spent on anything but waiting.
pub(crate) fn system_seconds() -> Result<f64> {
    let text = fs::read_to_string("/proc/stat").context("read /proc/stat")?;
    let line = text.lines().next().context("/proc/stat has a first line")?;
    let ticks: Vec<f64> = line
        .split_whitespace()
        .skip(1)
        .filter_map(|word| word.parse().ok())
        .collect();
    // user nice system idle iowait irq softirq; what a hypervisor stole is not our work.
    let [user, nice, system, _, _, irq, softirq, ..] = ticks[..] else {
        bail!("/proc/stat begins with {line:?}");
    };
    let per_second = rustix::param::clock_ticks_per_second() as f64;
    Ok((user + nice + system + irq + softirq) / per_second)
}

/// CPU used by a process and by the machine, and since when.
pub(crate) struct Meter {
    pid: Option<u32>,
    began: Instant,
    process: f64,
    system: f64,
}

impl Meter {
    /// Begins to measure; without a process only the machine.
    pub(crate) fn start(pid: Option<u32>) -> Result<Self> {
        let process = pid.map(cpu_seconds).transpose()?.unwrap_or(0.0);
        Ok(Meter {
            pid,
            process,
            system: system_seconds()?,
            began: Instant::now(),
        })
    }

    /// What was used since, in CPU seconds per second: of the process, of the machine.
    pub(crate) fn stop(self) -> Result<(Option<f64>, f64)> {
        let process = self.pid.map(cpu_seconds).transpose()?;
        let elapsed = self.began.elapsed().as_secs_f64();
        let system = (system_seconds()? - self.system) / elapsed;
        Ok((
            process.map(|seconds| (seconds - self.process) / elapsed),
            system,
        ))
    }
}

/// Where a program lies, as a shell of root would find it.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    folders.extend(["/usr/sbin", "/sbin", "/usr/local/sbin"].map(PathBuf::from));
    folders
        .into_iter()
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

/// What a command prints on standard output and error; fails when it does.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command
        .output()
        .with_context(|| format!("start {command:?}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!("{command:?}: {}: {}", output.status, text.trim());
    }
    Ok(text)
}

/// A command of a program with arguments.
pub(crate) fn command<S: AsRef<OsStr>>(program: impl AsRef<OsStr>, args: &[S]) -> Command {
    let mut command = Command::new(program);
    command.args(args);
    command
}
