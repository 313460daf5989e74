//! The balancer reloads its configuration while clients come.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::stream::{self, Seen};
use super::{Kept, Sample, Scene, Servers, Workload, lower, none};
use crate::contestant::{Program, Variant};
use crate::part::load::Load;
use crate::stage::{Service, Stage, StartedAs, wait};
use crate::topology::Topology;

/// Between two clients: far from what keeps a core busy, so that what is seen is the reload and not
/// a queue.
const GAP: Duration = Duration::from_millis(1);

/// How long a client waits for its answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// How long a balancer may take until it says that it has reloaded.
const RELOAD_PATIENCE: Duration = Duration::from_secs(5);

/// The usual one, and the one in the middle of which the balancer reloads.
const WINDOWS: u32 = 2;

pub(super) const RELOAD: Workload = Workload {
    name: "reload",
    title: "1,000 clients a second while the balancer reloads (SIGUSR2; HAProxy as master and worker)",
    metrics: &[
        none("lost", "failed requests", "requests"),
        lower(
            "around",
            "connect to last byte, p99 of the window around the reload",
            "µs",
        ),
        lower(
            "usual",
            "connect to last byte, p99 of the window before",
            "µs",
        ),
        lower(
            "worst",
            "connect to last byte, longest around the reload",
            "µs",
        ),
    ],
    variants: &[Variant::Seed],
    scene: Scene {
        service,
        servers: Servers::OneProcess,
        // HAProxy's master starts itself again, which a HAProxy out of another tree cannot.
        suits: |program, _| matches!(program, Program::Haproxy | Program::Evenkeel),
        windows: WINDOWS,
    },
    load,
    measure,
};

fn service(topology: &Topology) -> Result<Service> {
    let mut service = Service::seed(topology)?;
    service.started_as = StartedAs::Master;
    Ok(service)
}

fn measure(stage: &Stage<'_>) -> Result<Sample> {
    let mut clients = stage.clients()?;
    clients.begun()?;
    wait(stage.span() * 3 / 4);
    stage.proxy.reload().context("reload")?;
    clients.ended()?;
    let figures = clients.counted()?.figures;
    let deadline = Instant::now() + RELOAD_PATIENCE;
    while !stage.proxy.has_reloaded() {
        ensure!(Instant::now() < deadline, "it has not reloaded");
        wait(Duration::from_millis(5));
    }
    Ok(figures)
}

fn load(load: &mut Load) -> Result<Kept> {
    let half = (load.window() / WINDOWS).as_secs_f64();
    let seen = stream::visit(load, GAP, PATIENCE)?;
    let usual = times(&seen, 0.0, half);
    let around = times(&seen, half, 2.0 * half);
    ensure!(
        !usual.is_empty() && !around.is_empty(),
        "nobody was served in one of the windows"
    );
    let lost = seen.iter().filter(|seen| seen.failed).count();
    load.figure("lost", lost as f64);
    load.figure("usual", usual[(usual.len() - 1) * 99 / 100]);
    load.figure("around", around[(around.len() - 1) * 99 / 100]);
    load.figure("worst", around[around.len() - 1]);
    Ok(Box::new(()))
}

/// How long those took that began in a span and were served, in microseconds, the quickest first.
fn times(seen: &[Seen], from: f64, to: f64) -> Vec<f64> {
    let those = seen
        .iter()
        .filter(|seen| !seen.failed && seen.began >= from && seen.began < to);
    let mut times: Vec<f64> = those.map(|seen| seen.took.as_secs_f64() * 1e6).collect();
    times.sort_by(f64::total_cmp);
    times
}
