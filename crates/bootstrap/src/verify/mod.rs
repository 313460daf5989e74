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

use tokio::time::{sleep, timeout};

use crate::inventory::Inventory;
use crate::transport::Machine;

/// For a look at hosts that answer, however little time there is.
const SHORTEST_LOOK: Duration = Duration::from_secs(20);

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

/// Looks until everything is met, nothing can be met any more, or the limit has passed; `watch` sees each
/// look. Hosts that are not among `machines` are `silent`, each with the reason.
pub async fn verify(
    inventory: &Inventory,
    machines: &BTreeMap<String, Machine>,
    silent: &BTreeMap<String, String>,
    options: &Options,
    watch: &dyn Fn(&Report),
) -> Report {
    let began = Instant::now();
    loop {
        let left = options.limit.saturating_sub(began.elapsed());
        // A look at hosts that hang has limits of its own, which are longer than the operator may wait.
        let seen = timeout(
            left.max(SHORTEST_LOOK),
            look::look(inventory, machines, silent),
        )
        .await;
        let seen = seen.unwrap_or_default();
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
        let is_lost = report.conditions.iter().any(|condition| {
            let lacks = condition.lacks.as_ref();
            lacks.is_some_and(|lacks| silent.values().any(|why| why == lacks))
        });
        // Nobody connects again.
        if is_lost || report.is_met() || began.elapsed() + options.every >= options.limit {
            return report;
        }
        sleep(options.every).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever waits for what cannot come waits for nothing.
    #[tokio::test]
    async fn a_host_that_did_not_answer_is_told_with_its_reason_at_once() {
        let inventory = crate::plan::steps::example::inventory();
        let why = "cannot be reached: Connection refused";
        let silent: BTreeMap<_, _> = inventory
            .nodes
            .iter()
            .map(|node| (node.name.clone(), why.to_owned()))
            .collect();
        let options = Options {
            limit: Duration::from_secs(3600),
            every: Duration::from_secs(3600),
            ..Options::default()
        };
        let looks = std::cell::Cell::new(0);
        let count = |_: &Report| looks.set(looks.get() + 1);
        let report = verify(&inventory, &BTreeMap::new(), &silent, &options, &count).await;
        assert_eq!(looks.get(), 1);
        let text = report.to_string();
        assert!(
            text.contains(&format!(
                "NOT   the API server of master1 is ready: {why}\n"
            )),
            "{text}"
        );
        assert!(!text.contains("ok    "), "{text}");
    }
}
