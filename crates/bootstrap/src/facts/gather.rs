//! Asks all hosts at the same time, and the cluster, if there is one.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::future::join_all;

use super::answer::{self, Asked};
use super::model::{ClusterFacts, Facts, HostFacts};
use super::{brought, cluster, script};
use crate::inventory::{Inventory, Node, Role};
use crate::plan::steps::balancer::API_PORT;
use crate::transport::Machine;

/// For the answer of a host: it has a few dozen commands to start, and a package manager to ask.
const HOST_LIMIT: Duration = Duration::from_secs(90);
/// For an API server to say whether it is ready.
const READY_LIMIT: Duration = Duration::from_secs(20);
/// For all that is asked of the cluster.
const CLUSTER_LIMIT: Duration = Duration::from_secs(150);

/// What every connected host is like, and the cluster. Hosts of the inventory that are not connected are
/// not spoken of.
pub async fn gather(inventory: &Inventory, machines: &BTreeMap<String, Machine>) -> Facts {
    let script = script::script(inventory);
    let connected = inventory
        .nodes
        .iter()
        .filter_map(|node| Some((node, machines.get(&node.name)?)));
    let hosts = join_all(
        connected.map(async |(node, machine)| (node.name.clone(), host(machine, &script).await)),
    );
    let mut facts = Facts::default();
    let wanted = inventory.clone();
    let brought = tokio::task::spawn_blocking(move || brought::read(&wanted));
    facts.hosts.extend(hosts.await);
    facts.brought = brought.await.unwrap_or_default();
    facts.cluster = ask_cluster(inventory, machines).await;
    facts
}

async fn host(machine: &Machine, script: &str) -> Result<HostFacts, String> {
    let from_ms = now_ms();
    let outcome = machine
        .run(script, HOST_LIMIT)
        .await
        .map_err(|failure| failure.to_string())?;
    let asked = Asked {
        from_ms,
        to_ms: now_ms(),
    };
    answer::read(&outcome.stdout, asked).map_err(|garbled| match outcome.stderr.trim() {
        "" => garbled.to_string(),
        said => format!("{garbled}; it also said: {said}"),
    })
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    })
}

/// What the first control plane says whose API server is ready, and which others are.
pub async fn ask_cluster(
    inventory: &Inventory,
    machines: &BTreeMap<String, Machine>,
) -> Option<ClusterFacts> {
    let masters: Vec<(&Node, &Machine)> = inventory
        .of(Role::ControlPlane)
        .filter_map(|node| Some((node, machines.get(&node.name)?)))
        .collect();
    let asked = join_all(masters.iter().map(async |(node, machine)| {
        let script = cluster::is_ready(node, API_PORT);
        let outcome = machine.run(&script, READY_LIMIT).await;
        outcome.is_ok_and(|outcome| outcome.status == 0)
    }));
    let is_ready = asked.await;
    let ready: Vec<_> = masters
        .into_iter()
        .zip(is_ready)
        .filter_map(|(master, is_ready)| is_ready.then_some(master))
        .collect();
    for (node, machine) in &ready {
        let script = cluster::script(node, API_PORT);
        if let Ok(outcome) = machine.run(&script, CLUSTER_LIMIT).await
            && let Ok(mut cluster) = cluster::read(&outcome.stdout, &node.name)
        {
            cluster.answering = ready.iter().map(|(node, _)| node.name.clone()).collect();
            return Some(cluster);
        }
    }
    None
}

#[cfg(test)]
#[path = "../../../../tests/support/notice.rs"]
mod notice;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::{Surroundings, read};
    use crate::transport::Options;

    const TEXT: &str = "\
        [cluster]\nkubernetes = '1.36.2'\nvip = '10.0.1.10'\n\
        [[node]]\nname = 'lb'\nrole = 'lb'\naddress = '10.0.1.10'\n\
        [[node]]\nname = 'here'\nrole = 'control-plane'\naddress = '10.0.1.11'\n\
        local = { sudo = false }\n";

    /// The script and its reader understand each other, on whatever machine tests run.
    #[tokio::test]
    async fn this_machine_answers() {
        let around = Surroundings {
            folder: std::path::Path::new("/"),
            home: None,
            is_file: &|_| false,
            mode: &|_| None,
            content: &|_| None,
        };
        let source = evenkeel_config::Source {
            name: "cluster.toml".to_owned(),
            text: TEXT.as_bytes().to_vec(),
        };
        let inventory = read(&source, &around).unwrap().inventory;
        let here = inventory.node("here").unwrap();
        // Whoever is not root learns as much, less the owners of sockets.
        let machine = Machine::connect(here, &Options::default()).await;
        let machine = match machine {
            Ok(machine) => machine,
            Err(why) => return notice::not_run("facts of this machine", &why.to_string()),
        };
        let machines = [("here".to_owned(), machine)].into();
        let facts = gather(&inventory, &machines).await;
        assert_eq!(facts.hosts.len(), 1, "lb is not connected");
        let host = facts.hosts["here"].as_ref().unwrap();
        assert!(host.cpus > 0 && host.memory_bytes > 1 << 20, "{host:?}");
        assert!(!host.hostname.is_empty() && !host.kernel.is_empty());
        assert!(host.clock_ahead_ms.abs() < 5000, "{}", host.clock_ahead_ms);
        let etcd = host
            .mounts
            .iter()
            .find(|mount| mount.path == "/var/lib/etcd");
        // Tests have been compiled here, so that there is room for more than a percentage.
        assert!(
            etcd.is_some_and(|mount| mount.free_bytes > 1 << 20),
            "{:?}",
            host.mounts
        );
        let hosts = std::fs::read_to_string("/etc/hosts").ok();
        assert_eq!(host.text("/etc/hosts").map(str::to_owned), hosts);
    }
}
