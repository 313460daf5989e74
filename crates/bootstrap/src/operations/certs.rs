//! Certificates of control planes renewed before they end: one control plane after the other, each out of the
//! balancer while its static pods restart, for most of them read their certificates only when they start.

use std::time::Duration;

use super::{in_turn, script};
use crate::facts::Facts;
use crate::inventory::{Inventory, Node, Role};
use crate::plan::steps::balancer;
use crate::plan::steps::shell::await_own_api;
use crate::plan::{Plan, Step, quote, seconds};

/// kubeadm makes eleven keys.
const RENEW_SECONDS: u64 = 120;
/// For a container to end by itself: an API server that drains takes as long as `shutdown-delay-duration` says,
/// and a request may take a minute.
const STOP_SECONDS: u64 = 90;
/// For a container to be there again: kubelet waits ten seconds before it starts one that ended twice.
const BACK_SECONDS: u64 = 120;
/// For an API server that has been restarted.
const OWN_API_SECONDS: u64 = 300;
/// In the order in which each finds what it needs.
const PODS: [&str; 4] = [
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
];

/// Renews every certificate of every control plane.
///
/// # Errors
///
/// Why it must not be done, all at once.
pub fn plan(inventory: &Inventory, facts: &Facts, sessions: Duration) -> Result<Plan, Vec<String>> {
    let Some(cluster) = &facts.cluster else {
        return Err(vec![
            "no API server answers. If that is because certificates have ended: run `kubeadm certs renew all` on each \
             control plane and restart its static pods, then merge the new admin.conf (`evenkeel-bootstrap kubeconfig`)"
                .to_owned(),
        ]);
    };
    let masters: Vec<_> = inventory
        .of(Role::ControlPlane)
        .filter(|master| !facts.without.contains(&master.name))
        .collect();
    let problems: Vec<_> = masters
        .iter()
        .filter_map(|master| match facts.hosts.get(&master.name) {
            Some(Err(why)) => Some(format!("{}: {why}", master.name)),
            None => Some(format!("{}: was not asked", master.name)),
            Some(Ok(_)) if !cluster.answering.contains(&master.name) => Some(format!(
                "the API server of {} is not ready: mend it before others restart",
                master.name
            )),
            Some(Ok(_)) => None,
        })
        .collect();
    if !problems.is_empty() {
        return Err(problems);
    }
    // One that we go on without may serve all the same: the balancer's checks judge it.
    let names: Vec<_> = inventory
        .of(Role::ControlPlane)
        .map(|master| master.name.as_str())
        .collect();
    let mut plan = Plan::default();
    for master in &masters {
        plan.stages.push(in_turn(
            &master.name,
            control_plane(inventory, facts, master, &names, sessions),
        ));
    }
    plan.notes.extend(balancer::silent(inventory, facts));
    if names.len() < 3 {
        plan.notes.push(format!(
            "with {} etcd members the API is away for some seconds while one of them restarts",
            names.len()
        ));
    }
    Ok(plan)
}

fn control_plane(
    inventory: &Inventory,
    facts: &Facts,
    node: &Node,
    masters: &[&str],
    sessions: Duration,
) -> Vec<Step> {
    let name = &node.name;
    let others: Vec<_> = masters
        .iter()
        .copied()
        .filter(|other| other != name)
        .collect();
    let mut steps = vec![script(
        node,
        "renew",
        format!("renew the certificates of {name}"),
        "kubeadm certs renew all\n".to_owned(),
        RENEW_SECONDS,
        "kubeadm's own words are above; what was renewed is used from the next start of its pod on",
    )];
    if !others.is_empty() {
        steps.extend(balancer::enable(
            inventory,
            facts,
            &others,
            &format!("disable-{name}"),
        ));
        steps.extend(balancer::settle(inventory, facts, node, sessions));
    }
    let mut restart = script(
        node,
        "restart-pods",
        format!("restart the static pods of {name}"),
        restart(inventory),
        PODS.len() as u64 * (STOP_SECONDS + BACK_SECONDS),
        "`crictl ps -a` and `journalctl -u kubelet` there say what does not come up; crictl is in the package cri-tools",
    );
    restart
        .actions
        .push(await_own_api(node, seconds(OWN_API_SECONDS)));
    steps.push(restart);
    if !others.is_empty() {
        steps.extend(balancer::enable(
            inventory,
            facts,
            masters,
            &format!("enable-{name}"),
        ));
    }
    steps
}

/// Ends each container and waits until kubelet has started it again. The manifests stay where they are: there
/// is no moment in which a host that dies would come back without its control plane.
fn restart(inventory: &Inventory) -> String {
    format!(
        "cri() {{ crictl --runtime-endpoint {socket} \"$@\"; }}\n\
         running() {{ cri ps --quiet --state Running --name \"^$1\\$\"; }}\n\
         for pod in {pods}; do\n\
         \x20 before=$(running \"$pod\")\n\
         \x20 [ -n \"$before\" ] || {{ echo \"no container $pod runs\" >&2; exit 1; }}\n\
         \x20 for id in $before; do cri stop --timeout {STOP_SECONDS} \"$id\" >/dev/null; done\n\
         \x20 seconds=0\n\
         \x20 while now=$(running \"$pod\") && {{ [ -z \"$now\" ] || [ \"$now\" = \"$before\" ]; }}; do\n\
         \x20   seconds=$((seconds + 1))\n\
         \x20   [ $seconds -lt {BACK_SECONDS} ] || {{ echo \"$pod did not come back within {BACK_SECONDS} s\" >&2; exit 1; }}\n\
         \x20   sleep 1\n\
         \x20 done\n\
         done\n",
        socket = quote(&inventory.runtime.socket),
        pods = PODS.join(" "),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::steps::example::{inventory, joined};

    #[test]
    fn control_planes_restart_one_after_the_other_out_of_the_balancer() {
        let inventory = inventory();
        let facts = joined(&inventory, &["master1", "master2", "worker1"]);
        let plan = plan(&inventory, &facts, seconds(30)).unwrap();
        let ids: Vec<_> = plan.steps().map(|step| step.id.as_str()).collect();
        assert_eq!(
            ids,
            [
                "master1/renew",
                "lb/disable-master1",
                "lb/settle-master1",
                "master1/restart-pods",
                "lb/enable-master1",
                "master2/renew",
                "lb/disable-master2",
                "lb/settle-master2",
                "master2/restart-pods",
                "lb/enable-master2",
            ]
        );
        assert_eq!(plan.notes.len(), 1);
    }

    #[test]
    fn nobody_restarts_while_another_is_away() {
        let inventory = inventory();
        let mut facts = joined(&inventory, &["master1", "master2"]);
        let cluster = facts.cluster.as_mut().unwrap();
        cluster.answering.remove("master2");
        let problems = plan(&inventory, &facts, seconds(30)).unwrap_err();
        assert!(problems[0].contains("master2 is not ready"), "{problems:?}");
        facts.cluster = None;
        assert!(plan(&inventory, &facts, seconds(30)).is_err());
    }
}
