//! Hosts that do not answer. None is ever taken for one that has not joined: either the operator goes on
//! without it, where that can harm nothing, or there is no plan.

use crate::facts::Facts;
use crate::inventory::{Inventory, Node, Role};

/// Hosts that do not answer, in the order of the inventory.
fn absent<'a>(inventory: &'a Inventory, facts: &'a Facts) -> impl Iterator<Item = &'a Node> {
    inventory
        .nodes
        .iter()
        .filter(|node| facts.host(&node.name).is_none())
}

/// What stands against a plan: for each host that does not answer why that is, and what can be done all the
/// same. Nothing if the operator goes on without all of them, and may.
pub(super) fn problems(inventory: &Inventory, facts: &Facts) -> Vec<String> {
    absent(inventory, facts)
        .filter_map(|node| {
            let name = &node.name;
            let why = match facts.hosts.get(name) {
                Some(Err(why)) => why.as_str(),
                _ => "was not asked",
            };
            let may = facts.without.contains(name) && obstacle(inventory, facts, node).is_none();
            (!may).then(|| format!("{name}: {why}\n  {}", way_out(inventory, facts, node)))
        })
        .collect()
}

/// What can be done while a host does not answer, and what cannot.
pub(crate) fn way_out(inventory: &Inventory, facts: &Facts, node: &Node) -> String {
    match obstacle(inventory, facts, node) {
        Some(obstacle) => format!("it cannot be left out: {obstacle}"),
        None => format!(
            "--without {} goes on with all that needs nothing of it: {}",
            node.name,
            stays(facts, node)
        ),
    }
}

/// Why nothing may be done while this host is silent.
fn obstacle(inventory: &Inventory, facts: &Facts, node: &Node) -> Option<String> {
    match node.role {
        Role::ControlPlane if facts.cluster.is_none() => Some(format!(
            "no API server answers, and {0} may hold the cluster; beside it a second one would come to be. \
             Bring it back, or take it out of cluster.toml if it never was part of one",
            node.name
        )),
        Role::Balancer => {
            let mut balancers = inventory.of(Role::Balancer);
            let none_is_left = balancers.all(|balancer| facts.host(&balancer.name).is_none());
            let joins = inventory.nodes.iter().find(|node| {
                let found = facts.host(&node.name);
                node.role != Role::Balancer
                    && found.is_some_and(|found| {
                        facts.member(&node.name).is_none() || !found.kube.begun.is_empty()
                    })
            });
            let joins = joins.filter(|_| none_is_left)?;
            Some(format!(
                "nodes join through the balancer, {} has to join, and no balancer answers",
                joins.name
            ))
        }
        Role::ControlPlane | Role::Worker => None,
    }
}

/// What an operator should know of hosts that are left out.
pub(super) fn notes(inventory: &Inventory, facts: &Facts) -> Vec<String> {
    absent(inventory, facts)
        .map(|node| format!("without {}: {}", node.name, stays(facts, node)))
        .collect()
}

/// What becomes of a host that is left out.
fn stays(facts: &Facts, node: &Node) -> String {
    let is_member = facts.member(&node.name).is_some();
    match node.role {
        Role::Balancer => {
            "it keeps the settings it has, and sends clients to the masters in them that pass its checks; run \
             apply again when it is back"
        }
        Role::ControlPlane if is_member => {
            "it stays a control plane and an etcd voter, is sent clients when it passes the balancer's checks, and \
             no other control plane joins meanwhile; if it is gone for good, `remove` it"
        }
        Role::Worker if is_member => {
            "it stays a node as it is; if it is gone for good, `remove` it"
        }
        Role::ControlPlane | Role::Worker => "it joins by a later apply, when it is back",
    }
    .to_owned()
}

/// A silent control plane whose etcd member counts: with one more member beside it, or one fewer of those
/// that live, the loss of the next would stop etcd.
pub(super) fn lost_voter<'a>(inventory: &'a Inventory, facts: &Facts) -> Option<&'a Node> {
    let cluster = facts.cluster.as_ref()?;
    inventory
        .of(Role::ControlPlane)
        .filter(|node| facts.host(&node.name).is_none())
        .find(|node| cluster.etcd_members.contains(&node.name))
}

#[cfg(test)]
mod tests;
