//! Who takes part: one row each. A contestant is a program and how it is configured; `evenkeel`
//! is given the very file that `haproxy` is given.

mod haproxy;
mod kernel;
mod nginx;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::process::{self, Process, output};
use crate::stage::{Service, Threads};
use crate::topology::{LB_6443, SERVERS_6443, Topology};

/// How a balancer is configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Variant {
    /// As the seed has it.
    Seed,
    /// With HAProxy's options for large transfers.
    Tuned,
    /// With HAProxy's `busy-polling`.
    Busy,
    /// Not at all: no balancer, or the kernel.
    None,
}

/// A program that can stand between clients and servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    Haproxy,
    /// The one that EVENKEEL_BENCH_HAPROXY3 names.
    Haproxy3,
    Evenkeel,
    Nginx,
    Direct,
    Nftables,
}

/// One row: the name by which it is asked for, and a sentence for the report.
struct Row {
    name: &'static str,
    program: Program,
    variant: Variant,
    about: &'static str,
}

const fn row(name: &'static str, program: Program, variant: Variant, about: &'static str) -> Row {
    Row {
        name,
        program,
        variant,
        about,
    }
}

#[rustfmt::skip]
const ROWS: &[Row] = &[
    row("evenkeel", Program::Evenkeel, Variant::Seed, "the seed's haproxy.cfg"),
    row("evenkeel-tuned", Program::Evenkeel, Variant::Tuned, "the file of haproxy-tuned"),
    row("evenkeel-busy", Program::Evenkeel, Variant::Busy, "the file of haproxy-busy"),
    row("haproxy", Program::Haproxy, Variant::Seed, "the seed's haproxy.cfg"),
    row("haproxy-tuned", Program::Haproxy, Variant::Tuned,
        "with option splice-request, option splice-response, tune.pipesize 1048576"),
    row("haproxy-busy", Program::Haproxy, Variant::Busy, "with busy-polling"),
    row("haproxy3", Program::Haproxy3, Variant::Seed, "the seed's haproxy.cfg"),
    row("haproxy3-tuned", Program::Haproxy3, Variant::Tuned, "the file of haproxy-tuned"),
    row("haproxy3-busy", Program::Haproxy3, Variant::Busy, "the file of haproxy-busy"),
    row("nginx", Program::Nginx, Variant::Seed,
        "stream module with its defaults, one worker for each thread of the others"),
    row("nftables", Program::Nftables, Variant::None,
        "no process: the kernel forwards, DNAT to each server in turn"),
    row("direct", Program::Direct, Variant::None, "no balancer: the clients ask a server"),
];

/// The evenkeel to measure, when it is not the one beside the bench.
const EVENKEEL: &str = "EVENKEEL_BIN";

/// A HAProxy 3.x to measure.
const HAPROXY3: &str = "EVENKEEL_BENCH_HAPROXY3";

/// A contestant that can be started here.
#[derive(Clone, Debug)]
pub(crate) struct Contestant {
    /// As it was asked for.
    pub(crate) name: String,
    pub(crate) program: Program,
    pub(crate) variant: Variant,
    pub(crate) about: &'static str,
    /// What it says of its own version.
    pub(crate) version: String,
    file: PathBuf,
}

/// The names of all rows.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    ROWS.iter().map(|row| row.name)
}

/// The whole haproxy.cfg of a variant, as it is on the seed's network with one thread.
pub(crate) fn seed_configuration(variant: Variant) -> String {
    haproxy::configuration(
        variant,
        Threads::OnePinned,
        &Service::of(LB_6443, SERVERS_6443.to_vec()),
    )
}

impl Contestant {
    /// Finds the contestant of a row's name, or of `name=FILE`: that row's program in another file.
    pub(crate) fn find(asked: &str, topology: &Topology) -> Result<Self> {
        let (name, file) = match asked.split_once('=') {
            Some((name, file)) => (name, Some(PathBuf::from(file))),
            None => (asked, None),
        };
        let Some(row) = ROWS.iter().find(|row| row.name == name) else {
            bail!(
                "no contestant is called {name:?}; there are {}",
                names().collect::<Vec<_>>().join(", ")
            );
        };
        let file = match file {
            Some(file) => file,
            None => row.program.file()?,
        };
        let file = row.program.take_in(file, asked, topology)?;
        Ok(Contestant {
            name: asked.to_owned(),
            program: row.program,
            variant: row.variant,
            about: row.about,
            version: row.program.version(&file)?,
            file,
        })
    }

    /// Starts it in front of `service`.
    pub(crate) fn start(
        &self,
        topology: &Topology,
        threads: Threads,
        service: &Service,
    ) -> Result<Running> {
        match self.program {
            Program::Haproxy | Program::Haproxy3 | Program::Evenkeel => {
                haproxy::start(self, topology, threads, service)
            }
            Program::Nginx => nginx::start(self, topology, threads, service),
            Program::Direct => kernel::direct(service),
            Program::Nftables => kernel::forward(topology, service),
        }
        .with_context(|| format!("start {}", self.name))
    }
}

impl Program {
    fn file(self) -> Result<PathBuf> {
        let from_environment = |name: &str| std::env::var_os(name).map(PathBuf::from);
        let installed = |name: &str, package: &str| {
            process::find(name)
                .with_context(|| format!("no {name} (Debian's package {package} has it)"))
        };
        match self {
            Program::Haproxy => installed("haproxy", "haproxy"),
            Program::Haproxy3 => {
                from_environment(HAPROXY3).with_context(|| format!("{HAPROXY3} is not set"))
            }
            Program::Evenkeel => from_environment(EVENKEEL).map_or_else(beside_the_bench, Ok),
            Program::Nginx => {
                nginx::check_module().and_then(|()| installed("nginx", "nginx-light"))
            }
            Program::Nftables => installed("nft", "nftables"),
            Program::Direct => Ok(PathBuf::new()),
        }
    }

    /// A program that was built here is copied: the balancers' user can reach it then, and a
    /// build that ends while rounds run changes nothing.
    fn take_in(self, file: PathBuf, name: &str, topology: &Topology) -> Result<PathBuf> {
        if self != Program::Evenkeel {
            return Ok(file);
        }
        let copy = topology.folder.join(name.replace(['/', '='], "_"));
        fs::copy(&file, &copy).with_context(|| format!("copy {}", file.display()))?;
        Ok(copy)
    }

    fn version(self, file: &Path) -> Result<String> {
        let text = match self {
            Program::Haproxy | Program::Haproxy3 | Program::Evenkeel | Program::Nginx => {
                output(process::command(file, &["-v"]).env_clear())?
            }
            Program::Nftables => output(&mut process::command(file, &["--version"]))?,
            Program::Direct => return Ok("no balancer".to_owned()),
        };
        let line = text.lines().next().unwrap_or_default().trim();
        Ok(line.to_owned())
    }
}

fn beside_the_bench() -> Result<PathBuf> {
    let this = std::env::current_exe().context("this program's file")?;
    // A bench of cargo lies one folder deeper, in deps.
    let found = this
        .ancestors()
        .skip(1)
        .take(2)
        .map(|folder| folder.join("evenkeel"))
        .find(|file| file.is_file());
    found.with_context(|| {
        format!(
            "no evenkeel beside {}; cargo build --release makes it",
            this.display()
        )
    })
}

/// A contestant at work; it ends with this value.
pub(crate) struct Running {
    /// Where the clients go.
    pub(crate) target: SocketAddr,
    process: Option<Process>,
    /// What it says when it has reloaded; empty: it cannot.
    reloaded: &'static str,
    /// What the kernel was told, to be taken back.
    _told: Option<kernel::Rules>,
}

impl Running {
    fn process(target: SocketAddr, process: Process) -> Self {
        Running {
            target,
            process: Some(process),
            reloaded: "",
            _told: None,
        }
    }

    /// The process between client and servers, if one is there.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::pid)
    }

    /// Tells it to read its configuration again.
    pub(crate) fn reload(&self) -> Result<()> {
        let pid = self.pid().and_then(|pid| i32::try_from(pid).ok());
        let pid = pid.and_then(Pid::from_raw).context("no process to tell")?;
        kill_process(pid, Signal::USR2).context("SIGUSR2")
    }

    /// Whether it says that it did.
    pub(crate) fn has_reloaded(&self) -> bool {
        let said = self.process.as_ref().map(Process::said);
        said.is_some_and(|said| !self.reloaded.is_empty() && said.contains(self.reloaded))
    }

    /// Memory that is the process's own.
    pub(crate) fn private_bytes(&self) -> Result<Option<u64>> {
        self.pid().map(process::private_bytes).transpose()
    }

    /// What it wrote last, for who wants to know why it failed.
    pub(crate) fn last_words(&self) -> String {
        self.process
            .as_ref()
            .map(Process::last_words)
            .unwrap_or_default()
    }
}
