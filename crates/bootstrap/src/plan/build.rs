//! The whole plan, in the order in which a cluster comes to be.

use super::steps::{
    balancer, containerd, hosts, init, join, keepalived, kernel, manifest, refusals, software,
};
use super::{Fact, Order, Plan, Refusal, Stage, absent, unmet};
use crate::facts::Facts;
use crate::inventory::{Inventory, Node, Role};

/// How many hosts are changed beside each other.
const MOST_AT_ONCE: usize = 16;

/// What is left to be done.
///
/// # Errors
///
/// Why no plan can be made: each host that did not answer and that the operator does not go on without, or
/// whose state is not for a program to judge.
pub fn plan(inventory: &Inventory, facts: &Facts) -> Result<Plan, Vec<String>> {
    let silent = absent::problems(inventory, facts);
    if !silent.is_empty() {
        return Err(silent);
    }
    let old = other_versions(inventory, facts);
    if !old.is_empty() {
        return Err(old);
    }
    let refused = refusals::refusals(inventory, facts);
    if !refused.is_empty() {
        return Err(refused.iter().map(ToString::to_string).collect());
    }
    let answers = |node: &&Node| facts.host(&node.name).is_some();
    let everybody = || inventory.nodes.iter().filter(answers);
    let nodes = || everybody().filter(|node| node.role != Role::Balancer);
    let masters = balancer::masters_in(inventory, facts);
    // No two nodes that work are without their runtime at one time.
    let (restarts, software) = nodes()
        .flat_map(|node| software::steps(inventory, facts, node))
        .partition(|step| {
            facts.member(&step.host).is_some() && step.id.ends_with(containerd::STEP)
        });
    let mut stages = vec![
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
        stage("software", software),
        Stage {
            title: "container runtimes of nodes that work".to_owned(),
            order: Order::InTurn,
            steps: restarts,
        },
        balancers(inventory, facts, &masters),
    ];
    let mut notes = absent::notes(inventory, facts);
    let cluster = cluster(inventory, facts, masters, &mut notes);
    stages.extend(cluster.map_err(|refusals| {
        let refusals = refusals.iter();
        refusals.map(ToString::to_string).collect::<Vec<_>>()
    })?);
    Ok(Plan {
        stages: stages
            .into_iter()
            .filter(|stage| !stage.steps.is_empty())
            .collect(),
        notes,
    })
}

/// Beside each other while none of them serves; then one after the other, so that what goes wrong on one
/// leaves another as it was.
fn balancers(inventory: &Inventory, facts: &Facts, masters: &[&str]) -> Stage {
    let steps = inventory.of(Role::Balancer).flat_map(|node| {
        let mut steps = balancer::steps(inventory, facts, node, masters);
        steps.extend(keepalived::steps(inventory, facts, node));
        steps
    });
    let mut stage = stage("balancer", steps.collect());
    let serves = Fact::Unit {
        name: "evenkeel.service".to_owned(),
    };
    let mut all = inventory.of(Role::Balancer);
    if all.any(|node| serves.holds(facts, &node.name)) {
        stage.order = Order::InTurn;
    }
    stage
}

/// Nodes of the cluster that run another version than is wanted. Their packages are not to be replaced under
/// them: an upgrade has an order of its own.
fn other_versions(inventory: &Inventory, facts: &Facts) -> Vec<String> {
    let wanted = inventory.kubernetes;
    let nodes = inventory.nodes.iter();
    nodes
        .filter_map(|node| {
            let runs = facts.member(&node.name)?.kubelet?;
            (runs != wanted).then(|| {
                format!(
                    "{}: it runs {runs}, and cluster.toml wants {wanted}; `evenkeel-bootstrap upgrade` brings the cluster there",
                    node.name
                )
            })
        })
        .collect()
}

/// The cluster itself: its first control plane, the others one after the other, each let into the balancer
/// when it has proved itself, then the workers.
fn cluster<'a>(
    inventory: &'a Inventory,
    facts: &Facts,
    mut masters: Vec<&'a str>,
    notes: &mut Vec<String>,
) -> Result<Vec<Stage>, Vec<Refusal>> {
    let first = inventory.first_master();
    let (first_steps, first_is_new) = match init::start(inventory, facts) {
        init::Start::Running => (Vec::new(), false),
        init::Start::Fresh(steps) | init::Start::Cut(steps) => (steps, true),
        init::Start::Doubtful(refusals) => return Err(refusals),
    };
    let mut refusals = Vec::new();
    let mut others = Vec::new();
    let answers = |node: &&Node| facts.host(&node.name).is_some();
    let lost_voter = absent::lost_voter(inventory, facts);
    for node in inventory.of(Role::ControlPlane).filter(answers) {
        if first_is_new && node.name == first.name {
            continue;
        }
        if let Some(lost) = lost_voter.filter(|_| join::is_outside(facts, node)) {
            notes.push(format!(
                "{} does not join: {} does not answer, and its etcd member counts. Bring it back, or remove it \
                 first (`evenkeel-bootstrap remove {1}`)",
                node.name, lost.name
            ));
            continue;
        }
        match join::control_plane(inventory, facts, node) {
            Ok(steps) if steps.is_empty() => {}
            Ok(steps) => {
                others.extend(steps);
                masters.push(&node.name);
                others.extend(balancer::enable(
                    inventory,
                    facts,
                    &masters,
                    &format!("enable-{}", node.name),
                ));
            }
            Err(refusal) => refusals.push(refusal),
        }
    }
    let (mut before, mut workers) = (Vec::new(), Vec::new());
    for node in inventory.of(Role::Worker).filter(answers) {
        match join::worker(inventory, facts, node) {
            Ok((steps, join)) => {
                before.extend(steps);
                workers.extend(join);
            }
            Err(refusal) => refusals.push(refusal),
        }
    }
    let live = join::live_master(inventory, facts);
    if let Some(first) = workers.first() {
        let node = inventory.node(&first.host);
        before.extend(node.map(|node| join::announce(inventory, live, node)));
    }
    if !refusals.is_empty() {
        return Err(refusals);
    }
    let in_turn = |title: &str, steps| Stage {
        title: title.to_owned(),
        order: Order::InTurn,
        steps,
    };
    Ok(vec![
        in_turn("first control plane", first_steps),
        in_turn("control planes", others),
        in_turn("network", unmet(facts, manifest::cni(facts, live))),
        in_turn("before the workers", before),
        stage("workers", workers),
        in_turn("manifests", unmet(facts, manifest::others(facts, live))),
    ])
}

fn stage(title: &str, steps: Vec<super::Step>) -> Stage {
    Stage {
        title: title.to_owned(),
        order: Order::AtOnce(MOST_AT_ONCE),
        steps,
    }
}

#[cfg(test)]
mod snapshots;
#[cfg(test)]
mod tests;
