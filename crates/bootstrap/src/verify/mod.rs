//! Whether the cluster is what the inventory says: described conditions, asked of the hosts again and again
//! until all of them are met, or a deadline has passed.

mod conditions;
mod dns;
mod look;
mod report;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

pub use conditions::{Condition, Topic};
pub use report::Report;

use crate::inventory::Inventory;
use crate::transport::Machine;

/// How long, and for what.
#[derive(Clone, Debug)]
pub struct Options {
    /// After which what is not met is reported.
    pub limit: Duration,
    /// Between two looks.
    pub every: Duration,
    /// What is not asked for.
    pub skip: Vec<Topic>,
    /// Hosts of which nothing is asked, since they are down.
    pub without: BTreeSet<String>,
}

impl Default for Options {
    /// Five minutes, which is what a slow pull of the network plugin's images takes.
    fn default() -> Self {
        Self {
            limit: Duration::from_secs(300),
            every: Duration::from_secs(3),
            skip: Vec::new(),
            without: BTreeSet::new(),
        }
    }
}

/// Looks until everything is met or the limit has passed; `watch` sees each look.
pub async fn verify(
    inventory: &Inventory,
    machines: &BTreeMap<String, Machine>,
    options: &Options,
    watch: &dyn Fn(&Report),
) -> Report {
    let began = Instant::now();
    loop {
        let seen = look::look(inventory, machines).await;
        let conditions = conditions::conditions(inventory, &options.without, &seen)
            .into_iter()
            .filter(|condition| !options.skip.contains(&condition.topic))
            .collect();
        let report = Report {
            conditions,
            without: options.without.clone(),
            table: seen.table,
        };
        watch(&report);
        if report.is_met() || began.elapsed() + options.every >= options.limit {
            return report;
        }
        tokio::time::sleep(options.every).await;
    }
}
