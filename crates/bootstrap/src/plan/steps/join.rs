//! Joining: control planes one after the other, workers beside each other, and what has to be taken away
//! first where a machine was rebuilt or a join was cut off.

use std::time::Duration;

use super::init::{begin_anew, found, remains};
use super::kubeadm_config::{self, join_limit};
use super::shell::{
    FOLDER, JUDGED, RESET_LIMIT, await_own_api, await_vip, judge, kubectl_at, remembered,
    remove_member, reset,
};
use super::{credentials, step};
use crate::facts::{Facts, HostFacts};
use crate::inventory::{Inventory, Node, Role};
use crate::plan::{Action, BEGUN, Fact, Refusal, Step, quote};

/// The balancer carries the API by then.
const VIP_LIMIT: Duration = Duration::from_secs(30);
/// For an API server and an etcd member that have just been started.
const OWN_API_LIMIT: Duration = Duration::from_secs(240);
/// For a few calls of the API.
const CALLS_LIMIT: Duration = Duration::from_secs(60);

/// Where a host stands on its way into the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// It is a node, in its role, and has proved itself.
    Joined,
    /// kubeadm ended its work, or all of it but to wait for the API server, and then the run was cut off. A
    /// control plane is a voter by then, and may have come into use.
    Cut,
    /// It is none, or will not be when what is left of it has been taken away.
    Outside {
        /// The host carries a join or init of ours that did not end.
        unclean: bool,
        /// The cluster knows a node or member of its name.
        known: bool,
    },
}

/// The control plane through which others join: the one that answered; before there is any, the one that
/// will be the first.
#[must_use]
pub fn live_master<'a>(inventory: &'a Inventory, facts: &Facts) -> &'a Node {
    facts
        .cluster
        .as_ref()
        .and_then(|cluster| inventory.node(&cluster.told_by))
        .unwrap_or_else(|| inventory.first_master())
}

/// Brings a control plane in, by steps that follow each other.
///
/// # Errors
///
/// Why it must not be done as things are.
pub fn control_plane(
    inventory: &Inventory,
    facts: &Facts,
    node: &Node,
) -> Result<Vec<Step>, Refusal> {
    let live = live_master(inventory, facts);
    Ok(match standing(facts, node)? {
        Standing::Joined => Vec::new(),
        Standing::Cut => vec![complete(node)],
        Standing::Outside { unclean, known } => {
            let mut steps = Vec::new();
            if unclean {
                steps.push(doubt(node));
            }
            // The member goes before the machine that it runs on: the other way round, etcd would count a
            // voter that never comes back, and of two that is one too many.
            if known || unclean {
                steps.push(forget_member(live, node));
            }
            if unclean {
                steps.push(clean(inventory, node));
            }
            if known || unclean {
                steps.push(forget_node(live, node));
            }
            steps.push(announce(inventory, live, node));
            steps.push(join(inventory, node, facts.host(&node.name)));
            steps
        }
    })
}

/// Brings a worker in: what has to be done before, one after the other, and the join itself, which may run
/// beside those of others.
///
/// # Errors
///
/// Why it must not be done as things are.
pub fn worker(
    inventory: &Inventory,
    facts: &Facts,
    node: &Node,
) -> Result<(Vec<Step>, Option<Step>), Refusal> {
    let live = live_master(inventory, facts);
    Ok(match standing(facts, node)? {
        Standing::Joined => (Vec::new(), None),
        Standing::Cut => (Vec::new(), Some(complete(node))),
        Standing::Outside { unclean, known } => {
            let mut before = Vec::new();
            if unclean {
                before.push(clean(inventory, node));
            }
            if known || unclean {
                before.push(forget_node(live, node));
            }
            let step = join(inventory, node, facts.host(&node.name));
            (before, Some(step))
        }
    })
}

/// Whether a host that answers would be joined, after what is left of it has been taken away.
#[must_use]
pub fn is_outside(facts: &Facts, node: &Node) -> bool {
    matches!(standing(facts, node), Ok(Standing::Outside { .. }))
}

/// Has a token and key that are good for the next join.
#[must_use]
pub fn announce(inventory: &Inventory, live: &Node, node: &Node) -> Step {
    Step {
        id: format!("{}/credentials-{}", live.name, node.name),
        host: live.name.clone(),
        title: format!("make a token and a certificate key known for {}", node.name),
        brings: Vec::new(),
        actions: vec![Action::Credentials {
            actions: credentials::announce(inventory, live),
        }],
        advice: format!(
            "this runs on {} and speaks to the API through {}: if that does not answer, look at the \
             balancer's log and at the API server there",
            live.name, inventory.endpoint
        ),
    }
}

/// That a host is a node of the cluster in this role, and has proved itself.
#[must_use]
pub fn joined(name: &str, role: Role) -> Fact {
    Fact::Joined {
        name: name.to_owned(),
        control_plane: role == Role::ControlPlane,
    }
}

fn standing(facts: &Facts, node: &Node) -> Result<Standing, Refusal> {
    let refuse = |what, fix| Err(Refusal::of(node, what, fix));
    let found = found(facts, node)?;
    let kube = &found.kube;
    let control_plane = node.role == Role::ControlPlane;
    let reset = begin_anew(node);
    let cluster = facts.cluster.as_ref();
    let is_voter = cluster.is_some_and(|cluster| cluster.etcd_members.contains(&node.name));
    let Some(member) = facts.member(&node.name) else {
        if !kube.begun.is_empty() || kube.is_clean() {
            return Ok(Standing::Outside {
                unclean: !kube.begun.is_empty(),
                known: is_voter && control_plane,
            });
        }
        return refuse(
            format!(
                "kubeadm has been at work there ({}), and the cluster does not know it",
                remains(found)
            ),
            reset,
        );
    };
    if !member.addresses.is_empty() && !member.addresses.contains(&node.address) {
        return refuse(
            format!(
                "the cluster has a node {} at {}, not at {}",
                node.name, member.addresses[0], node.address
            ),
            format!(
                "correct the address in cluster.toml, or run `evenkeel-bootstrap remove {}` if that machine is gone",
                node.name
            ),
        );
    }
    if let (Some(here), Some(there)) = (
        &kube.ca,
        cluster.and_then(|cluster| ca(facts, &cluster.told_by)),
    ) && here.trim() != there.trim()
    {
        return refuse(
            format!(
                "its /etc/kubernetes/pki/ca.crt is that of another cluster, though this one has a node {}",
                node.name
            ),
            reset,
        );
    }
    if member.control_plane && !control_plane {
        return refuse(
            "the cluster has it as a control plane, cluster.toml as a worker".to_owned(),
            format!(
                "run `evenkeel-bootstrap remove {}` first, then apply again",
                node.name
            ),
        );
    }
    if kube.kubelet_conf && kube.begun.is_empty() {
        if !member.control_plane && control_plane {
            return refuse(
                "the cluster has it as a worker, cluster.toml as a control plane".to_owned(),
                format!(
                    "run `evenkeel-bootstrap remove {}` first, then apply again",
                    node.name
                ),
            );
        }
        return Ok(Standing::Joined);
    }
    // Whether its API server answers just now is not asked: a voter is never taken away for being slow.
    let ended = kube.begun == "join"
        && kube.kubelet_conf
        && (!control_plane || (member.control_plane && kube.admin_conf && is_voter));
    if ended {
        return Ok(Standing::Cut);
    }
    if kube.begun.is_empty() && !kube.is_clean() {
        return refuse(
            format!(
                "it is half a node: the cluster knows it, and of kubeadm's files there are only {}",
                remains(found)
            ),
            reset,
        );
    }
    Ok(Standing::Outside {
        unclean: !kube.begun.is_empty(),
        known: true,
    })
}

fn ca<'a>(facts: &'a Facts, name: &str) -> Option<&'a str> {
    facts.host(name)?.kube.ca.as_deref()
}

fn join(inventory: &Inventory, node: &Node, found: Option<&HostFacts>) -> Step {
    let path = format!("{FOLDER}/join.yaml");
    let command = format!("kubeadm join --config {path}");
    let control_plane = node.role == Role::ControlPlane;
    let mut actions = vec![
        await_vip(&inventory.endpoint, VIP_LIMIT),
        Action::Write {
            path: path.clone(),
            content: kubeadm_config::join(inventory, node, found),
            mode: 0o600,
            before: None,
            temporary: true,
        },
        judge(&[path]),
        Action::Run {
            script: remembered("join", &command).into(),
            limit: join_limit(inventory),
        },
    ];
    actions.extend(proof(node));
    Step {
        id: format!("{}/join", node.name),
        host: node.name.clone(),
        title: if control_plane {
            format!("join {} as a control plane", node.name)
        } else {
            format!("join {} as a worker", node.name)
        },
        brings: vec![joined(&node.name, node.role)],
        actions,
        advice: format!(
            "kubeadm's own words are above. {JUDGED}. A connection that is refused or times out: the way from {} to {}. \
             A JWS signature that is not found, or Unauthorized: the token has expired, or a clock is off by \
             hours (`timedatectl`); the next apply makes a new one. A kubelet that does not come up: \
             `journalctl -u kubelet` there. Then run apply again: what is half done is taken away first",
            node.name, inventory.endpoint
        ),
    }
}

/// What shows that a node may be counted on, and then forgets that its join had begun.
fn proof(node: &Node) -> Vec<Action> {
    let mut actions = Vec::new();
    if node.role == Role::ControlPlane {
        // It asks etcd too, which answers to voters alone: a member that is still learning is not ready.
        actions.push(await_own_api(node, OWN_API_LIMIT));
    }
    actions.push(Action::Run {
        script: format!("rm -f {BEGUN}\n").into(),
        limit: CALLS_LIMIT,
    });
    actions
}

fn complete(node: &Node) -> Step {
    Step {
        id: format!("{}/join", node.name),
        host: node.name.clone(),
        title: format!(
            "see the join of {} to its end, which was cut off",
            node.name
        ),
        brings: vec![joined(&node.name, node.role)],
        actions: proof(node),
        advice: format!(
            "`journalctl -u kubelet` and `crictl ps -a` on {0} say why; mend that and run apply again. If {0} is to \
             join anew: `evenkeel-bootstrap remove {0}`, then apply",
            node.name
        ),
    }
}

/// Before anything of a control plane whose join did not end is taken away: the last question, asked there and
/// now. What facts did not see, since its API server was slow to answer, may be in use.
fn doubt(node: &Node) -> Step {
    let script = format!(
        "if [ -n \"$(find {BEGUN} -mmin +1440)\" ]; then\n\
         \x20 echo 'the join was begun more than a day ago: what is here may have come into use' >&2\n\
         \x20 exit 1\nfi\n\
         if [ -s /etc/kubernetes/admin.conf ] && {kubectl} get nodes -l node-role.kubernetes.io/control-plane -o name 2>/dev/null | grep -qx node/{name}; then\n\
         \x20 echo 'it is a control plane, and its API server answers: nothing was touched; run apply again' >&2\n\
         \x20 exit 1\nfi\n",
        kubectl = kubectl_at(node.address),
        name = node.name
    );
    step(
        node,
        "doubt",
        format!("see that what a join left on {} is not in use", node.name),
        Vec::new(),
        vec![Action::Run {
            script: script.into(),
            limit: CALLS_LIMIT,
        }],
        &format!(
            "if you are sure that nothing on {0} is needed: `evenkeel-bootstrap remove {0}`, or evenkeel-bootstrap \
             reset {0} --force, then apply",
            node.name
        ),
    )
}

fn clean(inventory: &Inventory, node: &Node) -> Step {
    Step {
        id: format!("{}/clean", node.name),
        host: node.name.clone(),
        title: format!("take away what a join that did not end left on {}", node.name),
        brings: vec![Fact::Clean],
        actions: vec![Action::Run {
            script: reset(inventory).into(),
            limit: RESET_LIMIT,
        }],
        advice: "kubeadm's own words are above; a mount or container that cannot be taken away goes with a restart of the machine".to_owned(),
    }
}

fn forget_member(live: &Node, node: &Node) -> Step {
    Step {
        id: format!("{}/forget-member-{}", live.name, node.name),
        host: live.name.clone(),
        title: format!("take the etcd member of {} out, if there is one", node.name),
        brings: Vec::new(),
        actions: vec![Action::Run {
            script: remove_member(live, node).into(),
            limit: CALLS_LIMIT,
        }],
        advice: format!(
            "etcd refuses when too few of its members would be left alive. `etcdctl member list` in the pod \
             etcd-{} shows them",
            live.name
        ),
    }
}

fn forget_node(live: &Node, node: &Node) -> Step {
    Step {
        id: format!("{}/forget-node-{}", live.name, node.name),
        host: live.name.clone(),
        title: format!(
            "delete the node {}, of which the machine knows nothing any more",
            node.name
        ),
        brings: Vec::new(),
        actions: vec![Action::Run {
            script: format!(
                "{} delete node {} --ignore-not-found --timeout=30s\n",
                kubectl_at(live.address),
                quote(&node.name)
            )
            .into(),
            limit: CALLS_LIMIT,
        }],
        advice: format!(
            "`kubectl get node {}` on {} shows what is left",
            node.name, live.name
        ),
    }
}

#[cfg(test)]
#[path = "join_tests.rs"]
mod tests;
