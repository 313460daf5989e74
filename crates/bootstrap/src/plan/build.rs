//! The whole plan, in the order in which a cluster comes to be.

use super::steps::{balancer, hosts, keepalived, kernel, software};
use super::{Order, Plan, Stage};
use crate::facts::Facts;
use crate::inventory::{Inventory, Role};

/// How many hosts are changed beside each other.
const MOST_AT_ONCE: usize = 16;

/// What is left to be done.
///
/// # Errors
///
/// Why no plan can be made: each host that did not answer.
pub fn plan(inventory: &Inventory, facts: &Facts) -> Result<Plan, Vec<String>> {
    let silent: Vec<_> = inventory
        .nodes
        .iter()
        .filter_map(|node| match facts.hosts.get(&node.name) {
            Some(Ok(_)) => None,
            Some(Err(why)) => Some(format!("{}: {why}", node.name)),
            None => Some(format!("{}: was not asked", node.name)),
        })
        .collect();
    if !silent.is_empty() {
        return Err(silent);
    }
    let everybody = || inventory.nodes.iter();
    let nodes = || everybody().filter(|node| node.role != Role::Balancer);
    let masters = balancer::masters_in(inventory, facts);
    let stages = [
        stage(
            "names",
            everybody()
                .flat_map(|node| hosts::steps(inventory, facts, node))
                .collect(),
        ),
        stage(
            "kernel",
            nodes()
                .flat_map(|node| kernel::steps(inventory, facts, node))
                .collect(),
        ),
        stage(
            "software",
            nodes()
                .flat_map(|node| software::steps(inventory, facts, node))
                .collect(),
        ),
        stage(
            "balancer",
            inventory
                .of(Role::Balancer)
                .flat_map(|node| {
                    let mut steps = balancer::steps(inventory, facts, node, &masters);
                    steps.extend(keepalived::steps(inventory, facts, node));
                    steps
                })
                .collect(),
        ),
    ];
    Ok(Plan {
        stages: stages
            .into_iter()
            .filter(|stage| !stage.steps.is_empty())
            .collect(),
        notes: Vec::new(),
    })
}

fn stage(title: &str, steps: Vec<super::Step>) -> Stage {
    Stage {
        title: title.to_owned(),
        order: Order::AtOnce(MOST_AT_ONCE),
        steps,
    }
}
