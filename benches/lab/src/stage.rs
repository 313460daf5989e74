//! One contestant at work: the balancer between standing servers and the clients of one workload,
//! and the figures of one window.

use std::cell::RefCell;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::process::ChildStdout;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::contestant::Running;
use crate::part::{self, load, origin};
use crate::process::{Meter, Process};
use crate::topology::{Cores, Host, Silence, Topology};
use crate::workload::{Sample, Workload};

/// How the balancer is given the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Threads {
    /// `nbthread 1` on core 0, all else on core 1.
    OnePinned,
    /// `nbthread 2`, and everything wherever the kernel puts it.
    TwoFree,
}

impl Threads {
    pub(crate) const ALL: [Threads; 2] = [Threads::OnePinned, Threads::TwoFree];

    pub(crate) fn count(self) -> u32 {
        match self {
            Threads::OnePinned => 1,
            Threads::TwoFree => 2,
        }
    }

    pub(crate) fn describe(self) -> &'static str {
        match self {
            Threads::OnePinned => "nbthread 1 on core 0, clients and servers on core 1",
            Threads::TwoFree => "nbthread 2, nothing pinned",
        }
    }

    pub(crate) fn balancer_cores(self) -> Cores {
        match self {
            Threads::OnePinned => Cores::Only(0),
            Threads::TwoFree => Cores::Any,
        }
    }

    pub(crate) fn other_cores(self) -> Cores {
        match self {
            Threads::OnePinned => Cores::Only(1),
            Threads::TwoFree => Cores::Any,
        }
    }
}

/// How long clients warm up and are counted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub(crate) warm_up: Duration,
    pub(crate) window: Duration,
}

/// What a balancer balances, from which its configuration is written.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    pub(crate) front: SocketAddr,
    pub(crate) servers: Vec<SocketAddr>,
    /// Lines of the backend beside the seed's.
    pub(crate) backend_lines: Vec<String>,
    /// What stands behind the address of each `server` line.
    pub(crate) server_options: String,
    pub(crate) maxconn: u32,
    pub(crate) started_as: StartedAs,
}

/// Room for the workload with most connections, within 20,000 descriptors.
const MAXCONN: u32 = 9_500;

/// How HAProxy, and evenkeel in its place, is told to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StartedAs {
    /// One process, `-db`.
    Worker,
    /// With a master that can reload, as Debian's unit has it: `-W`. (Its `-Ws` is that and a word
    /// to systemd.)
    Master,
}

impl Service {
    /// What the seed's file says, on this network.
    pub(crate) fn seed(topology: &Topology) -> Result<Self> {
        let (front, servers) = topology.seed_addresses()?;
        Ok(Service::of(front, servers))
    }

    /// The seed's checks and balance, with other addresses.
    pub(crate) fn of(front: SocketAddr, servers: Vec<SocketAddr>) -> Self {
        Service {
            front,
            servers,
            backend_lines: Vec::new(),
            server_options: "check fall 3 rise 2".to_owned(),
            maxconn: MAXCONN,
            started_as: StartedAs::Worker,
        }
    }
}

/// Starts a process that answers at every one of `addresses`, and waits until it does.
pub(crate) fn start_origin(
    topology: &Topology,
    threads: Threads,
    addresses: &[SocketAddr],
) -> Result<Process> {
    let this = std::env::current_exe().context("this program's file")?;
    let mut command = topology.on(Host::Servers, threads.other_cores(), this);
    command
        .args([part::WORD, "origin"])
        .args(addresses.iter().map(SocketAddr::to_string));
    let name = addresses.first().context("servers have addresses")?.ip();
    let log = topology.folder.join(format!("origin-{name}.log"));
    let mut origin = Process::start(command, &log)?;
    let deadline = Instant::now() + LISTENING_PATIENCE;
    while !origin.last_words().contains(origin::LISTENING) {
        // A wrong address shows here.
        origin.assert_running().context("the servers")?;
        ensure!(Instant::now() < deadline, "the servers do not listen");
        thread::park_timeout(Duration::from_millis(1));
    }
    Ok(origin)
}

/// How long servers may take until they listen.
const LISTENING_PATIENCE: Duration = Duration::from_secs(10);

/// A contestant that serves, and how it is to be used.
pub(crate) struct Stage<'a> {
    pub(crate) topology: &'a Topology,
    pub(crate) workload: &'static Workload,
    pub(crate) threads: Threads,
    pub(crate) pace: Pace,
    /// Counted from 0.
    pub(crate) round: usize,
    pub(crate) service: &'a Service,
    /// The processes of servers that this sample has for itself.
    pub(crate) servers: RefCell<Vec<Process>>,
    pub(crate) proxy: Running,
}

impl Stage<'_> {
    /// How long the workload's window is.
    pub(crate) fn span(&self) -> Duration {
        self.pace.window * self.workload.scene.windows
    }

    /// Ends the process of a server: who connects to it from now on is refused.
    pub(crate) fn kill_server(&self, index: usize) -> Result<()> {
        let mut servers = self.servers.borrow_mut();
        ensure!(
            index < servers.len(),
            "this sample has {} servers of its own",
            servers.len()
        );
        drop(servers.remove(index));
        Ok(())
    }

    /// Lets all packets to a server be lost, until the value returned is dropped.
    pub(crate) fn silence_server(&self, index: usize) -> Result<Silence> {
        let server = self.service.servers.get(index).context("such a server")?;
        self.topology.silence(server.ip())
    }

    /// Starts the workload's clients.
    pub(crate) fn clients(&self) -> Result<Clients> {
        let this = std::env::current_exe().context("this program's file")?;
        let mut command = self
            .topology
            .on(Host::Client, self.threads.other_cores(), this);
        command
            .args([part::WORD, "load", self.workload.name])
            .arg(self.proxy.target.to_string())
            .arg(self.pace.warm_up.as_millis().to_string())
            .arg(self.span().as_millis().to_string());
        let mut process = Process::start_piped(command)?;
        let stdout = process
            .child()
            .stdout
            .take()
            .context("clients write to a pipe")?;
        Ok(Clients {
            process,
            lines: BufReader::new(stdout),
        })
    }

    /// Lets the clients work for one window; they are returned since some keep connections.
    pub(crate) fn steady(&self) -> Result<(Window, Clients)> {
        let mut clients = self.clients()?;
        clients.begun()?;
        let meter = Meter::start(self.proxy.pid())?;
        clients.ended()?;
        let (proxy_share, system_share) = meter.stop()?;
        let counted = clients.counted()?;
        Ok((
            Window {
                counted,
                proxy_share,
                system_share,
            },
            clients,
        ))
    }

    /// Adds what the proxy uses while nobody asks it for anything: CPU milliseconds per second.
    /// It varies little and takes long, so only the first rounds do it.
    pub(crate) fn at_rest(&self, sample: &mut Sample) -> Result<()> {
        let Some(pid) = self.proxy.pid().filter(|_| self.round < RESTED_ROUNDS) else {
            return Ok(());
        };
        // What is left to do of the window may last a moment longer.
        wait(SETTLING);
        let meter = Meter::start(Some(pid))?;
        // Every server is checked once in two seconds.
        wait(2 * self.pace.window);
        let (share, _) = meter.stop()?;
        if let Some(share) = share {
            sample.insert("rest".to_owned(), share * 1e3);
        }
        Ok(())
    }
}

/// From the last answer until a balancer is taken to be at rest.
const SETTLING: Duration = Duration::from_millis(100);

/// How many of the first rounds look at the balancer at rest.
const RESTED_ROUNDS: usize = 3;

/// Lets time pass: a measured span, not a wait for something.
pub(crate) fn wait(span: Duration) {
    let until = Instant::now() + span;
    while let Some(left) = until
        .checked_duration_since(Instant::now())
        .filter(|left| !left.is_zero())
    {
        thread::park_timeout(left);
    }
}

/// The clients' process.
pub(crate) struct Clients {
    process: Process,
    lines: BufReader<ChildStdout>,
}

impl Clients {
    /// Waits for the beginning of the window.
    pub(crate) fn begun(&mut self) -> Result<()> {
        self.expect(load::BEGIN)
    }

    /// Tells clients that wait for it to go on.
    pub(crate) fn go_on(&mut self) -> Result<()> {
        self.tell("")
    }

    /// Tells the clients something.
    pub(crate) fn tell(&mut self, line: &str) -> Result<()> {
        let stdin = self
            .process
            .child()
            .stdin
            .as_mut()
            .context("clients read from a pipe")?;
        writeln!(stdin, "{line}").context("tell the clients")
    }

    /// Waits for the end of the window.
    pub(crate) fn ended(&mut self) -> Result<()> {
        self.expect(load::END)
    }

    /// What they counted; a failed request is an error.
    pub(crate) fn counted(&mut self) -> Result<load::Counted> {
        let counted: load::Counted =
            serde_json::from_str(&self.line()?).context("what was counted")?;
        ensure!(
            counted.failed() == 0,
            "{} requests failed: {:?}",
            counted.failed(),
            counted.failures
        );
        ensure!(
            counted.bytes > 0 && counted.seconds > 0.0,
            "nothing was counted"
        );
        Ok(counted)
    }

    fn expect(&mut self, expected: &str) -> Result<()> {
        let line = self.line()?;
        ensure!(
            line.trim() == expected,
            "expected {expected:?} of the clients, not {line:?}"
        );
        Ok(())
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.lines
            .read_line(&mut line)
            .context("read from the clients")?;
        if line.is_empty() {
            let status = self
                .process
                .child()
                .wait()
                .context("wait for the clients")?;
            bail!("the clients ended: {status}");
        }
        Ok(line)
    }
}

/// One window's figures. Shares are CPU seconds per second.
pub(crate) struct Window {
    pub(crate) counted: load::Counted,
    /// None when no process stands between client and servers.
    pub(crate) proxy_share: Option<f64>,
    pub(crate) system_share: f64,
}

impl Window {
    /// Rate, and CPU microseconds per request of proxy and system.
    pub(crate) fn per_request(&self) -> Sample {
        let rate = self.counted.requests as f64 / self.counted.seconds;
        let mut sample = Sample::from([
            ("rate".to_owned(), rate),
            ("system".to_owned(), self.system_share / rate * 1e6),
        ]);
        if let Some(share) = self.proxy_share {
            sample.insert("cpu".to_owned(), share / rate * 1e6);
        }
        sample
    }

    /// Adds those of the percentiles that are `named`, in microseconds.
    pub(crate) fn latencies(&self, sample: &mut Sample, named: &[&str]) {
        let all = [
            ("p50", self.counted.p50),
            ("p99", self.counted.p99),
            ("p999", self.counted.p999),
        ];
        for (name, value) in all.into_iter().filter(|(name, _)| named.contains(name)) {
            sample.insert(name.to_owned(), value);
        }
    }
}
