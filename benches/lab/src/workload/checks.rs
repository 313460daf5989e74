//! A thousand servers that are checked, and nothing else.

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use super::{Sample, Scene, Servers, Workload, lower};
use crate::contestant::{Program, Variant};
use crate::process::Meter;
use crate::stage::{Service, Stage, wait};
use crate::topology::Topology;

const SERVERS: u16 = 1_000;

/// Between the checks of one server.
const INTERVAL: Duration = Duration::from_secs(2);

/// Until each server was checked once: balancers spread the first checks over an interval.
const SETTLING: Duration = Duration::from_millis(2500);

/// Ports on which nobody listens otherwise, below those of clients.
const FIRST_PORT: u16 = 7_000;

pub(super) const CHECKS: Workload = Workload {
    name: "checks",
    title: "1,000 servers checked every 2 s by a connect, no clients",
    metrics: &[
        lower("cpu", "proxy CPU per second", "ms"),
        lower("each", "proxy CPU per check", "µs"),
    ],
    variants: &[Variant::Seed],
    scene: Scene {
        service,
        servers: Servers::OneProcess,
        suits: |program, _| program.checks(),
        // Of a second each: every server is checked twice.
        windows: 4,
    },
    load: |_| bail!("nobody asks for anything"),
    measure,
};

/// As many ports of each of the seed's servers as make a thousand.
fn service(topology: &Topology) -> Result<Service> {
    let mut service = Service::seed(topology)?;
    let hosts = service.servers.clone();
    let ports = FIRST_PORT..FIRST_PORT + SERVERS / u16::try_from(hosts.len())?;
    service.servers = ports
        .flat_map(|port| {
            hosts
                .iter()
                .map(move |host| SocketAddr::new(host.ip(), port))
        })
        .collect();
    // Each server that is checked wants a descriptor, too.
    service.maxconn = u32::from(SERVERS);
    service.server_options = format!("check inter {}s", INTERVAL.as_secs());
    Ok(service)
}

fn measure(stage: &Stage<'_>) -> Result<Sample> {
    let pid = stage.proxy.pid().context("no process that could check")?;
    wait(SETTLING);
    let opened = connects(pid)?;
    let meter = Meter::start(Some(pid))?;
    let span = stage.span();
    wait(span);
    // The machine's own figure counts ticks, in which work that takes microseconds does not show.
    let (proxy, _) = meter.stop()?;
    let rate = (connects(pid)? - opened) as f64 / span.as_secs_f64();
    let wanted = f64::from(SERVERS) / INTERVAL.as_secs_f64();
    ensure!(
        (0.9..1.1).contains(&(rate / wanted)),
        "{rate:.0} checks a second, not {wanted:.0}"
    );
    let proxy = proxy.context("a process uses CPU")?;
    Ok(Sample::from([
        ("cpu".to_owned(), proxy * 1e3),
        ("each".to_owned(), proxy / rate * 1e6),
    ]))
}

/// How many connects the host of a process has begun.
fn connects(pid: u32) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/net/snmp")).context("counters of TCP")?;
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("Tcp:"));
    let (names, values) = (lines.next(), lines.next());
    let names = names.unwrap_or_default().split_whitespace();
    let found = names
        .zip(values.unwrap_or_default().split_whitespace())
        .find(|(name, _)| *name == "ActiveOpens");
    let (_, value) = found.context("no ActiveOpens among the counters of TCP")?;
    value.parse().context("ActiveOpens")
}

impl Program {
    /// Whether it asks servers for their health by itself, as the configuration says.
    fn checks(self) -> bool {
        match self {
            Program::Haproxy | Program::Haproxy3 | Program::Evenkeel => true,
            Program::Nginx | Program::Direct | Program::Nftables => false,
        }
    }
}
