//! One node leaves: out of the balancer first, then its pods, its etcd member, what is on the machine, and
//! the node itself. Never so that etcd would be left without a majority.

use std::collections::BTreeSet;

use super::{Care, LEFT, Pods, drain, in_turn, other_live, reset_host, script};
use crate::facts::Facts;
use crate::inventory::{Inventory, Node, Role};
use crate::plan::Plan;
use crate::plan::steps::balancer;
use crate::plan::steps::shell::{kubectl_at, remove_member};

/// What happens to the node's entry in the inventory afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// It goes, and so does the balancer's server.
    Goes,
    /// It stays: the next apply has the node join again.
    Stays,
}

/// How `node` leaves the cluster.
///
/// # Errors
///
/// Why it must not, or cannot.
pub fn plan(
    inventory: &Inventory,
    facts: &Facts,
    node: &Node,
    entry: Entry,
    care: Care,
) -> Result<Plan, String> {
    if node.role == Role::Balancer {
        return Err(format!(
            "{0} is a balancer and no node of the cluster: take it out of cluster.toml, apply, and stop evenkeel on {0}",
            node.name
        ));
    }
    let Some(cluster) = &facts.cluster else {
        return Err(format!(
            "no API server answers, so that {0} cannot leave in good order; `reset {0} --force` takes away what is on the machine alone",
            node.name
        ));
    };
    let control_plane = node.role == Role::ControlPlane;
    let Some(live) = other_live(inventory, facts, node) else {
        return Err(format!(
            "no other control plane answers: the cluster would end with {}; `reset` takes away all of it",
            node.name
        ));
    };
    if control_plane {
        may_leave(&cluster.etcd_members, &cluster.answering, &node.name)
            .map_err(|why| format!("{}: {why}", node.name))?;
    }
    let mut plan = Plan::default();
    let stays: Vec<_> = balancer::masters_in(inventory, facts)
        .into_iter()
        .filter(|master| *master != node.name)
        .collect();
    if control_plane {
        let mut steps =
            balancer::enable(inventory, facts, &stays, &format!("disable-{}", node.name));
        if cluster.answering.contains(&node.name) {
            steps.extend(balancer::settle(inventory, facts, node, care.sessions));
        }
        plan.stages.push(in_turn("balancer", steps));
    }
    let mut steps = Vec::new();
    let member = facts.member(&node.name);
    let is_ready = member.is_some_and(|member| member.ready);
    if is_ready && care.pods == Pods::Leave {
        steps.push(drain(live, node));
    } else if member.is_some() && !is_ready {
        plan.notes.push(format!(
            "{} is not ready: its pods are not asked to leave",
            node.name
        ));
    }
    if control_plane {
        steps.push(script(
            live,
            &format!("forget-member-{}", node.name),
            format!("take the etcd member of {} out", node.name),
            remove_member(live, node),
            60,
            "etcd refuses when too few of its members would be left alive",
        ));
    }
    match facts.hosts.get(&node.name) {
        Some(Ok(_)) => {
            steps.push(reset_host(inventory, node));
            plan.notes.push(LEFT.to_owned());
        }
        _ => plan.notes.push(format!(
            "{0} does not answer: nothing is taken away there. It must not come back as it is: `reset {0} --force` before it joins anything again",
            node.name
        )),
    }
    steps.push(script(
        live,
        &format!("forget-node-{}", node.name),
        format!("delete the node {}", node.name),
        format!(
            "{} delete node {} --ignore-not-found --timeout=30s\n",
            kubectl_at(live.address),
            node.name
        ),
        60,
        "",
    ));
    plan.stages.push(in_turn("node", steps));
    if control_plane {
        plan.notes.extend(balancer::silent(inventory, facts));
    }
    if control_plane && entry == Entry::Goes {
        let without = without(inventory, &node.name);
        plan.stages.push(in_turn(
            "balancer without it",
            balancer::enable(&without, facts, &stays, &format!("without-{}", node.name)),
        ));
    }
    Ok(plan)
}

/// The inventory as it is when a node has gone.
fn without(inventory: &Inventory, name: &str) -> Inventory {
    let mut inventory = inventory.clone();
    inventory.nodes.retain(|node| node.name != name);
    inventory
}

/// Whether etcd has a majority when a member leaves, and to let it leave.
///
/// # Errors
///
/// Why not.
pub fn may_leave(
    members: &BTreeSet<String>,
    alive: &BTreeSet<String>,
    leaving: &str,
) -> Result<(), String> {
    if !members.contains(leaving) {
        return Ok(());
    }
    let left = members.len() - 1;
    if left == 0 {
        return Err(
            "it holds the only etcd member: the cluster ends with it; `reset` takes away all of it"
                .to_owned(),
        );
    }
    let answer = |name: &&String| alive.contains(*name);
    let now = members.iter().filter(answer).count();
    let then = members
        .iter()
        .filter(answer)
        .filter(|name| *name != leaving)
        .count();
    let (need_now, need_then) = (members.len() / 2 + 1, left / 2 + 1);
    if now < need_now {
        return Err(format!(
            "of etcd's {} members {now} answer, and {need_now} are needed to change anything: bring a control plane back first",
            members.len()
        ));
    }
    if then < need_then {
        return Err(format!(
            "of the {left} etcd members that would be left {then} answer, and {need_then} are needed: remove the one that does not answer first, or bring it back"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::steps::example::{inventory, joined};

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn etcd_is_never_left_without_a_majority() {
        let check = |members: &[&str], alive: &[&str], leaving: &str, expected: Option<&str>| {
            let said = may_leave(&set(members), &set(alive), leaving).err();
            match (said, expected) {
                (None, None) => {}
                (Some(said), Some(part)) if said.contains(part) => {}
                (said, _) => panic!("{members:?} {alive:?} {leaving}: {said:?}"),
            }
        };
        check(&["a", "b", "c"], &["a", "b", "c"], "c", None);
        check(&["a", "b", "c"], &["a", "b"], "c", None);
        check(
            &["a", "b", "c"],
            &["a", "b"],
            "a",
            Some("of the 2 etcd members"),
        );
        check(&["a", "b"], &["a", "b"], "b", None);
        check(
            &["a", "b"],
            &["a"],
            "b",
            Some("2 are needed to change anything"),
        );
        check(&["a", "b", "c", "d"], &["a", "b", "c"], "d", None);
        check(&["a", "b", "c", "d"], &["a", "b", "c"], "a", None);
        check(
            &["a", "b", "c", "d", "e"],
            &["a", "b", "c"],
            "a",
            Some("of the 4 etcd members"),
        );
        check(&["a"], &["a"], "a", Some("only etcd member"));
        check(&["a"], &["a"], "gone", None);
    }

    const CARE: Care = Care {
        pods: Pods::Leave,
        sessions: std::time::Duration::from_secs(30),
    };

    fn ids(plan: &Plan) -> Vec<&str> {
        plan.steps().map(|step| step.id.as_str()).collect()
    }

    #[test]
    fn a_control_plane_leaves_balancer_first_and_node_last() {
        let inventory = inventory();
        let facts = joined(&inventory, &["master1", "master2", "worker1"]);
        let node = inventory.node("master1").unwrap();
        let plan = plan(&inventory, &facts, node, Entry::Goes, CARE).unwrap();
        assert_eq!(
            ids(&plan),
            [
                "lb/disable-master1",
                "lb/settle-master1",
                "master2/drain-master1",
                "master2/forget-member-master1",
                "master1/reset",
                "master2/forget-node-master1",
                "lb/without-master1",
            ]
        );
        let last = format!("{}", plan.steps().last().unwrap());
        assert!(!last.contains("10.0.1.11:6443"), "{last}");
    }

    #[test]
    fn a_machine_that_is_gone_leaves_too() {
        let inventory = inventory();
        let mut facts = joined(&inventory, &["master1", "worker1"]);
        facts
            .hosts
            .insert("worker1".to_owned(), Err("no route".to_owned()));
        facts.cluster.as_mut().unwrap().nodes[1].ready = false;
        let node = inventory.node("worker1").unwrap();
        let plan = plan(&inventory, &facts, node, Entry::Goes, CARE).unwrap();
        assert_eq!(ids(&plan), ["master1/forget-node-worker1"]);
        assert_eq!(plan.notes.len(), 2);
    }

    #[test]
    fn the_last_control_plane_and_a_balancer_stay() {
        let inventory = inventory();
        let facts = joined(&inventory, &["master1", "worker1"]);
        let refused = |name: &str| {
            let node = inventory.node(name).unwrap();
            plan(&inventory, &facts, node, Entry::Goes, CARE).unwrap_err()
        };
        assert!(refused("master1").contains("the cluster would end"));
        assert!(refused("lb").contains("is a balancer"));
    }
}
