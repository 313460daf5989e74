//! All of a cluster is taken away, or what is on one machine alone.

use super::{LEFT, in_turn, reset_host};
use crate::facts::Facts;
use crate::inventory::{Inventory, Node, Role};
use crate::plan::steps::balancer;
use crate::plan::{Order, Plan, Stage};

/// Workers that are reset beside each other.
const MOST_AT_ONCE: usize = 16;

/// Takes the whole cluster away: the balancer sends nobody anywhere, then workers, then control planes, the
/// first one last. Packages, names, kernel settings and the balancer itself stay.
#[must_use]
pub fn all(inventory: &Inventory, facts: &Facts) -> Plan {
    let mut plan = Plan::default();
    let mut reset = |role: Role| {
        let mut steps = Vec::new();
        for node in inventory.of(role) {
            match facts.hosts.get(&node.name) {
                Some(Ok(found)) if found.kube.is_clean() && found.kube.begun.is_empty() => {}
                Some(Ok(_)) => steps.push(reset_host(inventory, node)),
                _ => plan.notes.push(format!(
                    "{0} does not answer and keeps what it has: `reset {0} --force` when it is back",
                    node.name
                )),
            }
        }
        steps
    };
    let workers = reset(Role::Worker);
    let mut masters = reset(Role::ControlPlane);
    masters.reverse();
    if !(workers.is_empty() && masters.is_empty()) {
        plan.notes.push(LEFT.to_owned());
    }
    let answers = |host: &str| facts.host(host).is_some();
    let mut empty = balancer::enable(inventory, facts, &[], "empty");
    empty.retain(|step| answers(&step.host) && !(workers.is_empty() && masters.is_empty()));
    plan.stages = vec![
        in_turn("balancer", empty),
        Stage {
            title: "workers".to_owned(),
            order: Order::AtOnce(MOST_AT_ONCE),
            steps: workers,
        },
        in_turn("control planes", masters),
    ];
    plan.stages.retain(|stage| !stage.steps.is_empty());
    plan
}

/// Takes away what kubeadm made on one machine and asks nobody: for one that the cluster does not know, or
/// whose cluster is gone.
///
/// # Errors
///
/// Why it must not be done: it is part of a cluster that runs, or it does not answer.
pub fn machine(inventory: &Inventory, facts: &Facts, node: &Node) -> Result<Plan, String> {
    if let Some(Err(why)) = facts.hosts.get(&node.name) {
        return Err(format!("{}: {why}", node.name));
    }
    let is_voter = facts
        .cluster
        .as_ref()
        .is_some_and(|cluster| cluster.etcd_members.contains(&node.name));
    if facts.member(&node.name).is_some() || is_voter {
        return Err(format!(
            "{0} is part of a cluster that runs: `reset {0}` without --force has it leave in good order",
            node.name
        ));
    }
    Ok(Plan {
        stages: vec![in_turn("machine", vec![reset_host(inventory, node)])],
        notes: vec![LEFT.to_owned()],
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::steps::example::{bare, host, inventory, joined};

    fn ids(plan: &Plan) -> Vec<&str> {
        plan.steps().map(|step| step.id.as_str()).collect()
    }

    #[test]
    fn the_balancer_comes_first_and_the_first_control_plane_last() {
        let inventory = inventory();
        let facts = joined(&inventory, &["master1", "master2", "worker1"]);
        let plan = all(&inventory, &facts);
        assert_eq!(
            ids(&plan),
            [
                "lb/empty",
                "worker1/reset",
                "master2/reset",
                "master1/reset"
            ]
        );
        assert!(all(&inventory, &bare(&inventory)).is_empty());
    }

    #[test]
    fn one_machine_is_only_reset_by_force_if_no_cluster_needs_it() {
        let inventory = inventory();
        let node = inventory.node("master2").unwrap();
        let mut facts = bare(&inventory);
        host(&mut facts, "master2").kube.etcd_data = true;
        assert_eq!(
            ids(&machine(&inventory, &facts, node).unwrap()),
            ["master2/reset"]
        );
        let facts = joined(&inventory, &["master1", "master2"]);
        assert!(machine(&inventory, &facts, node).is_err());
    }
}
