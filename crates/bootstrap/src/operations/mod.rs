//! What is done to a cluster that is there: nodes taken out, all of it taken away, another release, a copy
//! of what must not be lost. Each is a plan of the same steps as the first one, shown and run the same way.

pub mod backup;
pub mod kubeconfig;
pub mod nodes;
pub mod remove;
pub mod reset;
pub mod upgrade;

use crate::facts::Facts;
use crate::inventory::{Inventory, Node, Role};
use crate::plan::steps::shell::{RESET_LIMIT, kubectl_at, reset as reset_script};
use crate::plan::{Action, Fact, Order, Stage, Step, seconds};

/// For pods to leave a node by themselves.
const DRAIN_SECONDS: u64 = 300;

fn in_turn(title: &str, steps: Vec<Step>) -> Stage {
    Stage {
        title: title.to_owned(),
        order: Order::InTurn,
        steps,
    }
}

/// A step that is one script.
fn script(
    host: &Node,
    what: &str,
    title: String,
    script: String,
    limit: u64,
    advice: &str,
) -> Step {
    Step {
        id: format!("{}/{what}", host.name),
        host: host.name.clone(),
        title,
        brings: Vec::new(),
        actions: vec![Action::Run {
            script: script.into(),
            limit: seconds(limit),
        }],
        advice: advice.to_owned(),
    }
}

/// Has the pods of a node leave it, asked on `live`.
fn drain(live: &Node, node: &Node) -> Step {
    let kubectl = kubectl_at(live.address);
    script(
        live,
        &format!("drain-{}", node.name),
        format!("drain {}", node.name),
        format!(
            "{kubectl} cordon {name}\n\
             {kubectl} drain {name} --ignore-daemonsets --delete-emptydir-data --timeout={DRAIN_SECONDS}s\n",
            name = node.name
        ),
        DRAIN_SECONDS + 30,
        "a PodDisruptionBudget may hold a pod where it is: `kubectl get pdb -A`; pods without a controller \
         have to be deleted by hand; --no-drain goes on without",
    )
}

/// Takes away all that kubeadm made on a host.
fn reset_host(inventory: &Inventory, node: &Node) -> Step {
    Step {
        id: format!("{}/reset", node.name),
        host: node.name.clone(),
        title: format!("take away all that kubeadm made on {}", node.name),
        brings: vec![Fact::Clean],
        actions: vec![Action::Run {
            script: reset_script(inventory).into(),
            limit: RESET_LIMIT,
        }],
        advice: "kubeadm's own words are above; a mount or container that cannot be taken away goes with a restart of the machine".to_owned(),
    }
}

/// A control plane whose API server is ready, other than `node`.
fn other_live<'a>(inventory: &'a Inventory, facts: &Facts, node: &Node) -> Option<&'a Node> {
    let cluster = facts.cluster.as_ref()?;
    let others = inventory
        .of(Role::ControlPlane)
        .filter(|other| other.name != node.name);
    others
        .filter(|other| cluster.answering.contains(&other.name))
        .find(|other| facts.host(&other.name).is_some())
}
