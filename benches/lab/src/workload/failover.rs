//! One of two masters dies while clients come: at once (its process is killed, so that connects
//! are refused), or silently (its packets are lost).

use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::time::{ClockId, clock_gettime};

use super::stream::{self, Seen};
use super::{Kept, Metric, Sample, Scene, Servers, Workload, lower, none};
use crate::contestant::{Program, Variant};
use crate::part::load::Load;
use crate::stage::{Service, Stage, wait};
use crate::topology::Topology;

/// Between two clients.
const GAP: Duration = Duration::from_millis(5);

/// How long a client waits for its answer: longer than a balancer takes that tries one server
/// three times, a second each, before it turns to the other.
const PATIENCE: Duration = Duration::from_secs(6);

/// What the seed's backend has besides.
const LINES: [&str; 2] = ["option redispatch", "timeout connect 1s"];

const METRICS: &[Metric] = &[
    none(
        "failed",
        "failed requests of those that began after the death",
        "requests",
    ),
    none(
        "along",
        "requests that were at the master when it died, and failed with it",
        "requests",
    ),
    none(
        "last",
        "from the death to the beginning of the last request that failed",
        "ms",
    ),
    lower(
        "first",
        "from the death to the first answer of a later request",
        "ms",
    ),
    lower("worst", "longest that a later client waited", "ms"),
];

/// Long enough for three checks two seconds apart, and for the mark to show.
const WINDOWS: u32 = 10;

pub(super) const RESET: Workload = Workload {
    name: "failover-reset",
    title: "200 clients a second, one of two masters is killed; option redispatch, timeout connect 1s",
    metrics: METRICS,
    variants: &[Variant::Seed],
    scene: Scene {
        service,
        servers: Servers::ProcessEach,
        suits: |program, _| program.balances(),
        windows: WINDOWS,
    },
    load,
    measure: |stage| measure(stage, |stage| stage.kill_server(1)),
};

pub(super) const SEED: Workload = Workload {
    name: "failover-seed",
    title: "200 clients a second, one of two masters is killed; nothing but the seed's file",
    metrics: METRICS,
    variants: &[Variant::Seed],
    scene: Scene {
        service: Service::seed,
        servers: Servers::ProcessEach,
        suits: |program, _| program.balances(),
        windows: WINDOWS,
    },
    load,
    measure: |stage| measure(stage, |stage| stage.kill_server(1)),
};

pub(super) const SILENT: Workload = Workload {
    name: "failover-silent",
    title: "200 clients a second, one of two masters falls silent; option redispatch, timeout connect 1s",
    metrics: METRICS,
    variants: &[Variant::Seed],
    scene: Scene {
        service,
        servers: Servers::ProcessEach,
        suits: |program, topology| program.balances() && topology.can_silence(),
        windows: WINDOWS,
    },
    load,
    measure: |stage| {
        let mut silence = None;
        let sample = measure(stage, |stage| {
            silence = Some(stage.silence_server(1)?);
            Ok(())
        });
        drop(silence);
        sample
    },
};

fn service(topology: &Topology) -> Result<Service> {
    let mut service = Service::seed(topology)?;
    service.backend_lines = LINES.map(str::to_owned).to_vec();
    Ok(service)
}

fn measure(stage: &Stage<'_>, strike: impl FnOnce(&Stage<'_>) -> Result<()>) -> Result<Sample> {
    let mut clients = stage.clients()?;
    clients.begun()?;
    // The window begins with a client; this is between two.
    wait(GAP / 2);
    strike(stage).context("end a server")?;
    clients.tell(&monotonic_nanoseconds().to_string())?;
    clients.ended()?;
    Ok(clients.counted()?.figures)
}

fn load(load: &mut Load) -> Result<Kept> {
    let seen = stream::visit(load, GAP, PATIENCE)?;
    let died = load
        .told()?
        .trim()
        .parse()
        .context("when the server died")?;
    let window_began = load.window_began().context("a window that is over began")?;
    let ago = Duration::from_nanos(monotonic_nanoseconds().saturating_sub(died));
    // In seconds from the beginning of the window, as the requests' own beginnings.
    let died = window_began.elapsed().as_secs_f64() - ago.as_secs_f64();
    let milliseconds = |seconds: f64| seconds * 1e3;
    let (later, earlier): (Vec<&Seen>, Vec<&Seen>) =
        seen.iter().partition(|seen| seen.began >= died);
    let failed = later.iter().filter(|seen| seen.failed);
    let good = later.iter().filter(|seen| !seen.failed);
    let along = earlier.iter().filter(|seen| seen.failed);
    let last = failed.clone().map(|seen| seen.began - died);
    let first = good.map(|seen| seen.began - died + seen.took.as_secs_f64());
    let worst = later.iter().map(|seen| seen.took.as_secs_f64());
    load.figure("failed", failed.count() as f64);
    load.figure("along", along.count() as f64);
    load.figure("last", milliseconds(last.fold(0.0, f64::max)));
    load.figure("first", milliseconds(first.fold(f64::INFINITY, f64::min)));
    load.figure("worst", milliseconds(worst.fold(0.0, f64::max)));
    Ok(Box::new(()))
}

/// A clock that bench and clients share.
fn monotonic_nanoseconds() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

impl Program {
    /// Whether it spreads clients over several servers and knows when to leave one out.
    fn balances(self) -> bool {
        match self {
            Program::Haproxy | Program::Haproxy3 | Program::Evenkeel => true,
            // Its file says nothing of failures, the kernel knows nothing of them.
            Program::Nginx | Program::Direct | Program::Nftables => false,
        }
    }
}
