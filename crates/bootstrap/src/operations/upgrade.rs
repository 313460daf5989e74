//! Another release: one control plane after the other, each out of the balancer while it restarts, then the
//! workers. A run that was cut off is gone on with: nodes whose kubelet is new are done.

use super::{Care, Pods, drain, in_turn, script, uncordon};
use crate::facts::Facts;
use crate::inventory::{Inventory, Node, Role, Version};
use crate::plan::steps::shell::await_own_api;
use crate::plan::steps::{balancer, containerd, join, software};
use crate::plan::{Action, Order, Plan, Stage, Step, seconds, unmet};

/// Nodes that are sent images beside each other.
const MOST_AT_ONCE: usize = 16;
/// kubeadm restarts four static pods and waits for each, five minutes at most, and pulls their images.
const UPGRADE_SECONDS: u64 = 2400;
/// For an API server that has been restarted.
const OWN_API_SECONDS: u64 = 300;
/// For a node to say that it is ready with its new kubelet.
const READY_SECONDS: u64 = 300;

/// From what the cluster runs to what the inventory wants.
///
/// # Errors
///
/// Why it must not be done, all at once.
pub fn plan(inventory: &Inventory, facts: &Facts, care: Care) -> Result<Plan, Vec<String>> {
    let to = inventory.kubernetes;
    let Some(cluster) = &facts.cluster else {
        return Err(vec![
            "no API server answers: there is nothing to upgrade".to_owned(),
        ]);
    };
    let nodes: Vec<_> = inventory
        .nodes
        .iter()
        .filter(|node| node.role != Role::Balancer && !facts.without.contains(&node.name))
        .collect();
    let mut problems = Vec::new();
    for node in &nodes {
        match (facts.hosts.get(&node.name), facts.member(&node.name)) {
            (Some(Ok(_)), Some(member)) if !member.ready => {
                problems.push(format!(
                    "{} is not ready: mend it before the upgrade",
                    node.name
                ));
            }
            (Some(Ok(_)), Some(_)) => {}
            (Some(Ok(_)), None) => problems.push(format!(
                "{} has not joined: apply it, at the old version, or take it out of cluster.toml",
                node.name
            )),
            (Some(Err(why)), _) => problems.push(format!("{}: {why}", node.name)),
            (None, _) => problems.push(format!("{}: was not asked", node.name)),
        }
    }
    let here = |node: &&Node| !facts.without.contains(&node.name);
    for master in inventory.of(Role::ControlPlane).filter(here) {
        if !cluster.answering.contains(&master.name) {
            problems.push(format!(
                "the API server of {} is not ready: mend it before the upgrade",
                master.name
            ));
        }
    }
    let kubelets = cluster
        .nodes
        .iter()
        .filter_map(|node| Some((node.name.as_str(), node.kubelet?)));
    match cluster.server {
        Some(from) => problems.extend(skew(from, to, kubelets)),
        None => problems.push("the API server does not say its version".to_owned()),
    }
    if !problems.is_empty() {
        return Err(problems);
    }

    let is_done = |node: &Node| {
        facts
            .member(&node.name)
            .is_some_and(|member| member.kubelet == Some(to))
    };
    let masters: Vec<_> = inventory.of(Role::ControlPlane).filter(here).collect();
    // One that we go on without may serve all the same: the balancer's checks judge it.
    let names: Vec<_> = inventory
        .of(Role::ControlPlane)
        .map(|master| master.name.as_str())
        .collect();
    let mut first = !masters.iter().any(|master| is_done(master));
    let mut plan = Plan::default();
    let mut steps = Vec::new();
    let live = join::live_master(inventory, facts);
    // A run that was cut off may have left a node that is done without its pods, or out of the balancer.
    let left = nodes.iter().filter(|node| {
        is_done(node)
            && facts
                .member(&node.name)
                .is_some_and(|member| member.drained)
    });
    plan.stages.push(in_turn(
        "what an earlier run left",
        unmet(facts, balancer::enable(inventory, facts, &names, "enable"))
            .into_iter()
            .chain(left.map(|node| uncordon(live, node)))
            .collect(),
    ));
    // Those of the new release: a site without a network has no others, and nobody is kept waiting by a copy.
    let images = nodes.iter().filter(|node| !is_done(node));
    plan.stages.push(Stage {
        title: "images".to_owned(),
        order: Order::AtOnce(MOST_AT_ONCE),
        steps: images
            .filter_map(|node| software::images(inventory, facts, node))
            .collect(),
    });
    for master in masters.iter().filter(|master| !is_done(master)) {
        steps.extend(control_plane(inventory, facts, master, &names, first, care));
        first = false;
    }
    plan.stages.push(in_turn("control planes", steps));
    let workers = inventory.of(Role::Worker).filter(here);
    let workers = workers.filter(|node| !is_done(node));
    plan.stages.push(in_turn(
        "workers",
        workers
            .flat_map(|node| worker(inventory, facts, live, node, care))
            .collect(),
    ));
    plan.stages.retain(|stage| !stage.steps.is_empty());
    plan.notes.extend(balancer::silent(inventory, facts));
    if let Some(stage) = plan.stages.first()
        && stage.title == "control planes"
        && names.len() == 1
    {
        plan.notes
            .push("there is one control plane: the API is away while it restarts".to_owned());
    }
    Ok(plan)
}

/// Kubernetes' rules on versions beside each other: control planes go up by one minor release at a time and
/// never down; a kubelet is never newer than its API server, and at most three minor releases older.
#[must_use]
pub fn skew<'a>(
    from: Version,
    to: Version,
    kubelets: impl IntoIterator<Item = (&'a str, Version)>,
) -> Vec<String> {
    let mut problems = Vec::new();
    if to < from {
        problems.push(format!(
            "the cluster runs {from}, and {to} is older: kubeadm has no way back"
        ));
    } else if to.major != from.major || to.minor > from.minor + 1 {
        problems.push(format!(
            "the cluster runs {from}: the next step is v{}.{}, and only then {to}",
            from.major,
            from.minor + 1
        ));
    }
    for (name, kubelet) in kubelets {
        if kubelet > to.max(from) {
            problems.push(format!(
                "the kubelet of {name} is {kubelet}, newer than {to}"
            ));
        } else if kubelet.minor + 3 < to.minor {
            problems.push(format!(
                "the kubelet of {name} is {kubelet}, more than three minor releases older than {to}: upgrade it first"
            ));
        }
    }
    problems
}

fn control_plane(
    inventory: &Inventory,
    facts: &Facts,
    node: &Node,
    masters: &[&str],
    first: bool,
    care: Care,
) -> Vec<Step> {
    let others: Vec<_> = masters
        .iter()
        .copied()
        .filter(|name| *name != node.name)
        .collect();
    let mut steps = install(inventory, facts, node, &["kubeadm"]);
    if !others.is_empty() {
        steps.extend(balancer::enable(
            inventory,
            facts,
            &others,
            &format!("disable-{}", node.name),
        ));
        steps.extend(balancer::settle(inventory, facts, node, care.sessions));
    }
    let to = inventory.kubernetes;
    let command = if first {
        format!("kubeadm upgrade apply {to} --yes{}", ignored(inventory))
    } else {
        format!("kubeadm upgrade node{}", ignored(inventory))
    };
    let mut upgrade = script(
        node,
        "upgrade",
        format!("upgrade the control plane of {} to {to}", node.name),
        format!("{command}\n"),
        UPGRADE_SECONDS,
        "kubeadm's own words are above; it puts the old manifests back if a new pod does not come up, so that upgrade can be run again",
    );
    upgrade
        .actions
        .push(await_own_api(node, seconds(OWN_API_SECONDS)));
    steps.push(upgrade);
    if care.pods == Pods::Leave {
        steps.push(drain(node, node));
    }
    steps.extend(kubelet(inventory, facts, node, node));
    steps.extend(balancer::enable(
        inventory,
        facts,
        masters,
        &format!("enable-{}", node.name),
    ));
    steps
}

fn worker(inventory: &Inventory, facts: &Facts, live: &Node, node: &Node, care: Care) -> Vec<Step> {
    let mut steps = install(inventory, facts, node, &["kubeadm"]);
    steps.push(script(
        node,
        "upgrade",
        format!(
            "upgrade the settings of {} to {}",
            node.name, inventory.kubernetes
        ),
        format!("kubeadm upgrade node{}\n", ignored(inventory)),
        UPGRADE_SECONDS,
        "kubeadm's own words are above",
    ));
    if care.pods == Pods::Leave {
        steps.push(drain(live, node));
    }
    steps.extend(kubelet(inventory, facts, live, node));
    steps
}

/// The new kubelet, seen to be ready, and pods let onto the node again.
fn kubelet(inventory: &Inventory, facts: &Facts, live: &Node, node: &Node) -> Vec<Step> {
    let to = inventory.kubernetes;
    let mut steps = install(inventory, facts, node, &["kubelet", "kubectl"]);
    steps.extend(software::hold_of(facts, node));
    steps.extend(containerd::of_release(inventory, facts, node));
    let mut restart = script(
        node,
        "restart-kubelet",
        format!("restart the kubelet of {} as {to}", node.name),
        "systemctl daemon-reload\nsystemctl restart kubelet.service\n".to_owned(),
        120,
        "`journalctl -u kubelet` there says why it does not come up",
    );
    if node.role == Role::ControlPlane {
        restart
            .actions
            .push(await_own_api(node, seconds(OWN_API_SECONDS)));
    }
    restart.actions.push(Action::Await {
        what: format!("{} to be ready as {to}", node.name),
        script: format!(
            "kubectl --kubeconfig /etc/kubernetes/kubelet.conf --request-timeout=10s get node {} \
             -o 'jsonpath={{.status.nodeInfo.kubeletVersion}} {{.status.conditions[?(@.type==\"Ready\")].status}}{{\"\\n\"}}' | grep -Fx '{to} True'\n",
            node.name
        )
        .into(),
        times: 3,
        every: seconds(2),
        limit: seconds(READY_SECONDS),
    });
    steps.push(restart);
    steps.push(uncordon(live, node));
    steps
}

fn install(inventory: &Inventory, facts: &Facts, node: &Node, names: &[&str]) -> Vec<Step> {
    let found = facts.host(&node.name);
    found.map_or_else(Vec::new, |found| {
        software::programs_of(inventory, node, found, names)
    })
}

fn ignored(inventory: &Inventory) -> String {
    match &inventory.kubeadm.ignore_preflight_errors[..] {
        [] => String::new(),
        errors => format!(" --ignore-preflight-errors={}", errors.join(",")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::{FileFacts, PackageManager, Unit};
    use crate::plan::Fact;
    use crate::plan::steps::example::{host, inventory, joined};

    const CARE: Care = Care {
        pods: Pods::Leave,
        sessions: std::time::Duration::from_secs(30),
    };

    const NAMES: [&str; 4] = ["master1", "master2", "worker1", "worker2"];

    fn version(text: &str) -> Version {
        text.parse().unwrap()
    }

    #[test]
    fn releases_go_up_one_at_a_time() {
        let check = |from: &str, to: &str, kubelet: &str, expected: &[&str]| {
            let problems = skew(version(from), version(to), [("n", version(kubelet))]);
            assert_eq!(problems.len(), expected.len(), "{problems:?}");
            for (problem, part) in problems.iter().zip(expected) {
                assert!(problem.contains(part), "{problem}");
            }
        };
        check("1.36.2", "1.36.3", "1.36.2", &[]);
        check("1.36.2", "1.37.0", "1.36.2", &[]);
        check("1.36.2", "1.36.2", "1.35.0", &[]);
        check("1.35.9", "1.37.0", "1.35.9", &["the next step is v1.36"]);
        check("1.36.2", "1.36.1", "1.36.1", &["no way back"]);
        check(
            "1.36.2",
            "1.37.0",
            "1.33.0",
            &["more than three minor releases older"],
        );
        check("1.36.2", "1.37.0", "1.34.0", &[]);
        check("1.36.2", "1.36.3", "1.37.0", &["newer than v1.36.3"]);
    }

    fn old() -> (Inventory, Facts) {
        let mut inventory = inventory();
        let mut facts = joined(&inventory, &NAMES);
        for name in NAMES {
            host(&mut facts, name).package_manager = Some(PackageManager::Apt);
        }
        inventory.kubernetes = version("1.37.1");
        lets_in(&inventory, &mut facts, &["master1", "master2"]);
        (inventory, facts)
    }

    /// The balancer's file is the one that sends clients to these.
    fn lets_in(inventory: &Inventory, facts: &mut Facts, masters: &[&str]) {
        for step in balancer::enable(inventory, facts, masters, "x") {
            for fact in step.brings {
                let host = host(facts, &step.host);
                match fact {
                    Fact::File { path, sha256, mode } => {
                        let file = FileFacts {
                            mode,
                            sha256,
                            ..FileFacts::default()
                        };
                        host.files.insert(path, file);
                    }
                    Fact::Unit { name } => {
                        let runs = Unit {
                            enabled: true,
                            active: true,
                        };
                        host.units.insert(name, runs);
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
    }

    fn ids(plan: &Plan) -> Vec<&str> {
        plan.steps().map(|step| step.id.as_str()).collect()
    }

    #[test]
    fn control_planes_go_one_after_the_other_out_of_the_balancer() {
        let (inventory, facts) = old();
        let plan = plan(&inventory, &facts, CARE).unwrap();
        let ids = ids(&plan);
        assert_eq!(
            ids[..10],
            [
                "master1/kubernetes-kubeadm",
                "lb/disable-master1",
                "lb/settle-master1",
                "master1/upgrade",
                "master1/drain-master1",
                "master1/kubernetes-kubelet-kubectl",
                "master1/hold",
                "master1/restart-kubelet",
                "master1/uncordon-master1",
                "lb/enable-master1",
            ]
        );
        assert_eq!(ids[10], "master2/kubernetes-kubeadm");
        let text = plan.to_string();
        assert_eq!(
            text.matches("kubeadm upgrade apply v1.37.1 --yes").count(),
            1
        );
        assert_eq!(text.matches("kubeadm upgrade node").count(), 3);
        assert_eq!(ids.last(), Some(&"master1/uncordon-worker2"));
    }

    #[test]
    fn images_and_settings_of_the_release_come_before_it() {
        let (mut inventory, mut facts) = old();
        inventory.kubernetes = version("1.36.3");
        inventory.artefacts.images = vec![crate::inventory::Image {
            archive: "/a/kube-apiserver.tar".into(),
        }];
        let ours = |facts: &mut Facts, tag: &str| {
            let text = format!(
                "# Written by evenkeel-bootstrap.\nsandbox_image = \"registry.k8s.io/pause:{tag}\"\n"
            );
            let file = FileFacts {
                text: Some(text),
                ..FileFacts::default()
            };
            let files = &mut host(facts, "worker1").files;
            files.insert("/etc/containerd/config.toml".to_owned(), file);
        };
        ours(&mut facts, "3.10.1");
        let plan = plan(&inventory, &facts, CARE).unwrap();
        let ids = ids(&plan);
        assert_eq!(ids[0], "master1/images");
        assert_eq!(ids.iter().filter(|id| id.ends_with("/images")).count(), 4);
        let place = |id: &str| ids.iter().position(|other| *other == id).unwrap();
        assert!(place("master1/drain-worker1") < place("worker1/runtime-settings"));
        assert!(place("worker1/runtime-settings") < place("worker1/restart-kubelet"));
        // Where containerd's settings are the operator's, they stay.
        assert!(!ids.contains(&"worker2/runtime-settings"), "{ids:?}");
    }

    #[test]
    fn what_is_done_is_passed_over() {
        let (inventory, mut facts) = old();
        let cluster = facts.cluster.as_mut().unwrap();
        cluster.nodes[0].kubelet = Some(inventory.kubernetes);
        cluster.server = Some(inventory.kubernetes);
        let half = plan(&inventory, &facts, CARE).unwrap();
        assert_eq!(ids(&half)[0], "master2/kubernetes-kubeadm");
        assert!(!half.to_string().contains("upgrade apply"));
        for node in &mut facts.cluster.as_mut().unwrap().nodes {
            node.kubelet = Some(inventory.kubernetes);
        }
        assert!(plan(&inventory, &facts, CARE).unwrap().is_empty());

        // Cut off between the new kubelet and the end of it.
        let cluster = facts.cluster.as_mut().unwrap();
        cluster.nodes[0].cordoned = true;
        cluster.nodes[0].drained = true;
        lets_in(&inventory, &mut facts, &["master2"]);
        let rest = plan(&inventory, &facts, CARE).unwrap();
        assert_eq!(ids(&rest), ["lb/enable", "master1/uncordon-master1"]);
        // What the operator cordoned stays so.
        facts.cluster.as_mut().unwrap().nodes[0].drained = false;
        lets_in(&inventory, &mut facts, &["master1", "master2"]);
        assert!(plan(&inventory, &facts, CARE).unwrap().is_empty());
    }

    #[test]
    fn a_cluster_that_is_not_well_is_not_upgraded() {
        let (inventory, mut facts) = old();
        let cluster = facts.cluster.as_mut().unwrap();
        cluster.nodes[2].ready = false;
        cluster.answering.remove("master2");
        let problems = plan(&inventory, &facts, CARE).unwrap_err();
        assert_eq!(problems.len(), 2, "{problems:?}");
    }
}
