//! What is measured: one row here and one file each, in which stand the clients' side, how the
//! figures are taken, and which balancers are worth the time.

mod bulk;
mod checks;
mod churn;
mod failover;
mod idle;
mod kept;
mod reload;
mod stream;

use std::any::Any;
use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::contestant::{Program, Variant};
use crate::part::load::Load;
use crate::stage::{Service, Stage};
use crate::topology::Topology;

/// Figures of one contestant in one round, by the name of their metric.
pub(crate) type Sample = BTreeMap<String, f64>;

/// What a client keeps open until the bench has seen all it wants to see.
pub(crate) type Kept = Box<dyn Any>;

/// One way to use a balancer.
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    /// A sentence for the report.
    pub(crate) title: &'static str,
    /// The figures, the most telling first.
    pub(crate) metrics: &'static [Metric],
    /// Which configurations mean something here, for a run of everything.
    pub(crate) variants: &'static [Variant],
    pub(crate) scene: Scene,
    /// The clients' side.
    pub(crate) load: fn(&mut Load) -> Result<Kept>,
    /// Takes one sample of the contestant on the stage.
    pub(crate) measure: fn(&Stage<'_>) -> Result<Sample>,
}

/// What is around the balancer.
pub(crate) struct Scene {
    /// What it balances.
    pub(crate) service: fn(&Topology) -> Result<Service>,
    pub(crate) servers: Servers,
    /// Who can do what is asked, on this network.
    pub(crate) suits: fn(Program, &Topology) -> bool,
    /// How many windows of the pace make one of this workload.
    pub(crate) windows: u32,
}

/// Who the servers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Servers {
    /// One process for all of them and all rounds.
    OneProcess,
    /// A process each, for one sample: they may end before it does.
    ProcessEach,
}

impl Scene {
    /// What the seed's file says.
    const SEED: Scene = Scene {
        service: Service::seed,
        servers: Servers::OneProcess,
        suits: |_, _| true,
        windows: 1,
    };
}

/// A figure that a workload takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Metric {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) better: Better,
    /// Whether 0 is a figure, rather than a sign that nothing was measured.
    pub(crate) may_be_nothing: bool,
}

/// In which direction a metric improves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Better {
    Lower,
    Higher,
}

/// Every workload.
pub(crate) const WORKLOADS: &[Workload] = &[
    churn::CHURN,
    kept::KEPT_1,
    kept::KEPT_64,
    bulk::BULK_1,
    bulk::BULK_8,
    idle::IDLE,
    failover::RESET,
    failover::SEED,
    failover::SILENT,
    reload::RELOAD,
    checks::CHECKS,
];

impl Workload {
    pub(crate) fn named(name: &str) -> Result<&'static Workload> {
        match WORKLOADS.iter().find(|workload| workload.name == name) {
            Some(workload) => Ok(workload),
            None => {
                let names: Vec<&str> = WORKLOADS.iter().map(|workload| workload.name).collect();
                bail!(
                    "no workload is called {name:?}; there are {}",
                    names.join(", ")
                )
            }
        }
    }

    pub(crate) fn metric(&self, name: &str) -> Option<&'static Metric> {
        self.metrics.iter().find(|metric| metric.name == name)
    }
}

impl Metric {
    /// The figure as a time; None when it is none.
    pub(crate) fn time(&self, value: f64) -> Option<Duration> {
        let seconds = match self.unit {
            "s" => value,
            "ms" => value / 1e3,
            "µs" => value / 1e6,
            "1/s" => 1.0 / value,
            // Of a gigabyte.
            "Gbit/s" => 8.0 / value,
            _ => return None,
        };
        Duration::try_from_secs_f64(seconds).ok()
    }
}

const fn lower(name: &'static str, title: &'static str, unit: &'static str) -> Metric {
    Metric {
        name,
        title,
        unit,
        better: Better::Lower,
        may_be_nothing: false,
    }
}

const fn higher(name: &'static str, title: &'static str, unit: &'static str) -> Metric {
    Metric {
        name,
        title,
        unit,
        better: Better::Higher,
        may_be_nothing: false,
    }
}

/// As `lower`, and 0 is the best.
const fn none(name: &'static str, title: &'static str, unit: &'static str) -> Metric {
    Metric {
        may_be_nothing: true,
        ..lower(name, title, unit)
    }
}
