//! `kubeadm init` on the first control plane: whether it may be run, and how.

use std::time::Duration;

use super::balancer::API_PORT;
use super::kubeadm_config::{self, init_limit};
use super::shell::{FOLDER, JUDGED, RESET_LIMIT, await_api, await_vip, judge, remembered, reset};
use crate::facts::{Facts, HostFacts};
use crate::inventory::{Inventory, Node, Role};
use crate::plan::{Action, BEGUN, Fact, Refusal, Step, Text};

/// The balancer was started by a step before: it takes connections at once, or never.
const VIP_LIMIT: Duration = Duration::from_secs(30);
/// For the first API server, once kubeadm says that it is healthy.
const API_LIMIT: Duration = Duration::from_secs(180);
/// For the phases that complete an init.
const PHASES_LIMIT: Duration = Duration::from_secs(300);

/// What has to be done for there to be a cluster.
#[derive(Clone, Debug, PartialEq)]
pub enum Start {
    /// There is one.
    Running,
    /// There is none, and nothing of one: init, after what an init of ours left has been cleaned.
    Fresh(Vec<Step>),
    /// An init of ours was cut off when the API already answered: the rest of its phases.
    Cut(Vec<Step>),
    /// There may be one. It is not for a program to say that there is none.
    Doubtful(Vec<Refusal>),
}

/// Tells the cases apart. A host that may hold part of a live cluster is never reset.
#[must_use]
pub fn start(inventory: &Inventory, facts: &Facts) -> Start {
    let first = inventory.first_master();
    if let Some(cluster) = &facts.cluster {
        return match facts.host(&first.name) {
            Some(found) if found.kube.begun == "init" && cluster.told_by == first.name => {
                Start::Cut(vec![complete(inventory, first, Some(found))])
            }
            _ => Start::Running,
        };
    }
    let refusals: Vec<_> = inventory
        .of(Role::ControlPlane)
        .filter_map(|node| doubt(node, first, facts))
        .collect();
    if !refusals.is_empty() {
        return Start::Doubtful(refusals);
    }
    let found = facts.host(&first.name);
    let mut steps = Vec::new();
    if found.is_some_and(|found| !found.kube.begun.is_empty() || !found.kube.is_clean()) {
        steps.push(clean(inventory, first));
    }
    steps.push(init(inventory, first, found));
    Start::Fresh(steps)
}

/// What on a control plane speaks for a cluster that does not answer at the moment.
fn doubt(node: &Node, first: &Node, facts: &Facts) -> Option<Refusal> {
    let refuse = |what, fix| Some(Refusal::of(node, what, fix));
    let found = match found(facts, node) {
        Ok(found) => found,
        Err(refusal) => return Some(refusal),
    };
    let kube = &found.kube;
    if kube.is_clean() || (node.name == first.name && kube.begun == "init") {
        return None;
    }
    let again = begin_anew(node);
    if kube.etcd_data || kube.apiserver_manifest {
        refuse(
            format!(
                "it is a control plane ({}) of a cluster in which no API server answers",
                remains(found)
            ),
            format!(
                "look at `journalctl -u kubelet` and `crictl ps -a` there and bring the API server back; {again}"
            ),
        )
    } else {
        refuse(
            format!(
                "kubeadm has been at work there ({}), and no API server answers",
                remains(found)
            ),
            again,
        )
    }
}

/// What a host is like. One that did not answer may hold anything: whoever plans leaves it out before.
pub(super) fn found<'f>(facts: &'f Facts, node: &Node) -> Result<&'f HostFacts, Refusal> {
    let why = match facts.hosts.get(&node.name) {
        Some(Ok(found)) => return Ok(found),
        Some(Err(why)) => why,
        None => "nobody asked it",
    };
    Err(Refusal::of(
        node,
        format!("it is not known whether it holds part of a cluster: {why}"),
        "bring it up, or take it out of cluster.toml".to_owned(),
    ))
}

/// The way out where what is on a host is not needed.
pub(super) fn begin_anew(node: &Node) -> String {
    format!(
        "if nothing on it is needed, run `evenkeel-bootstrap reset {} --force` and then apply again",
        node.name
    )
}

/// The files that say so.
pub(super) fn remains(found: &HostFacts) -> String {
    let kube = &found.kube;
    [
        (kube.admin_conf, "/etc/kubernetes/admin.conf"),
        (kube.kubelet_conf, "/etc/kubernetes/kubelet.conf"),
        (
            kube.apiserver_manifest,
            "/etc/kubernetes/manifests/kube-apiserver.yaml",
        ),
        (kube.etcd_data, "/var/lib/etcd/member"),
    ]
    .iter()
    .filter(|(there, _)| *there)
    .map(|(_, path)| *path)
    .collect::<Vec<_>>()
    .join(", ")
}

/// Takes away what an init of ours left that never came to an answering API server. Its own last question
/// is asked on the host: whether that init is of today, and whether an API server answers after all.
fn clean(inventory: &Inventory, node: &Node) -> Step {
    Step {
        id: format!("{}/clean", node.name),
        host: node.name.clone(),
        title: format!("take away what an init that did not end left on {}", node.name),
        brings: vec![Fact::Clean],
        actions: vec![Action::Run {
            script: format!(
                "if [ -n \"$(find {BEGUN} -mmin +1440)\" ]; then\n\
                 \x20 echo 'the init was begun more than a day ago: what is here may have come into use' >&2\n\
                 \x20 exit 1\nfi\n\
                 for config in admin super-admin; do\n\
                 \x20 config=/etc/kubernetes/$config.conf\n\
                 \x20 if [ -s $config ] && kubectl --kubeconfig $config --request-timeout=5s --server https://{server} get nodes 2>/dev/null; then\n\
                 \x20   echo 'its API server answers after all: nothing was touched; run apply again' >&2\n\
                 \x20   exit 1\n\
                 \x20 fi\ndone\n\
                 {reset}",
                reset = reset(inventory),
                server = std::net::SocketAddr::new(node.address, API_PORT)
            )
            .into(),
            limit: RESET_LIMIT,
        }],
        advice: format!(
            "if you are sure that nothing on {0} is needed: evenkeel-bootstrap reset {0} --force",
            node.name
        ),
    }
}

fn init(inventory: &Inventory, node: &Node, found: Option<&HostFacts>) -> Step {
    let path = format!("{FOLDER}/init.yaml");
    let command = format!(
        "kubeadm init --config {path} --upload-certs --skip-token-print --skip-certificate-key-print"
    );
    let mut actions = vec![
        await_vip(&inventory.endpoint, VIP_LIMIT),
        write(path.clone(), kubeadm_config::init(inventory, node, found)),
    ];
    // Those of the joins too: a mistake that is found after an init leaves half a cluster.
    let mut documents = vec![path];
    for other in joining(inventory, node) {
        let path = format!("{FOLDER}/join-{}.yaml", other.role.word());
        let content = kubeadm_config::join_to_judge(inventory, other, None);
        actions.push(write(path.clone(), content));
        documents.push(path);
    }
    actions.push(judge(&documents));
    actions.push(Action::Run {
        script: format!("{}rm -f {BEGUN}\n", remembered("init", &command)).into(),
        limit: init_limit(inventory),
    });
    actions.push(await_api(&inventory.endpoint, API_LIMIT));
    Step {
        id: format!("{}/init", node.name),
        host: node.name.clone(),
        title: format!("make {} the first control plane", node.name),
        brings: vec![Fact::Initialised],
        actions,
        advice: format!(
            "kubeadm's own words are above. {JUDGED}. If the API server or etcd did not come up, `crictl ps -a` and \
             `journalctl -u kubelet` on {} say why. If only the API through {} did not answer, look at the \
             balancer: `evenkeel check`, its log, and its path to {}. Then run apply again: it takes away \
             what is half done, or goes on",
            node.name, inventory.endpoint, node.address
        ),
    }
}

fn write(path: String, content: Text) -> Action {
    Action::Write {
        path,
        content,
        mode: 0o600,
        before: None,
        temporary: true,
    }
}

/// One node of each role that will join.
fn joining<'a>(inventory: &'a Inventory, first: &Node) -> impl Iterator<Item = &'a Node> {
    let first = first.name.clone();
    [Role::ControlPlane, Role::Worker]
        .into_iter()
        .filter_map(move |role| inventory.of(role).find(|node| node.name != first))
}

/// The phases that come after the API server answers. All of them may be run again.
fn complete(inventory: &Inventory, node: &Node, found: Option<&HostFacts>) -> Step {
    let path = format!("{FOLDER}/init.yaml");
    let phases: String = [
        "upload-config all",
        "upload-certs --upload-certs --skip-certificate-key-print",
        "mark-control-plane",
        "bootstrap-token",
        "kubelet-finalize all",
        "addon all",
    ]
    .iter()
    .map(|phase| format!("kubeadm init phase {phase} --config {path} >/dev/null\n"))
    .collect();
    Step {
        id: format!("{}/complete", node.name),
        host: node.name.clone(),
        title: format!("complete the init of {} that was cut off", node.name),
        brings: vec![Fact::Initialised],
        actions: vec![
            write(path.clone(), kubeadm_config::init(inventory, node, found)),
            Action::Run {
                script: format!("{phases}rm -f {BEGUN}\n").into(),
                limit: PHASES_LIMIT,
            },
            await_api(&inventory.endpoint, API_LIMIT),
        ],
        advice: "kubeadm's own words are above; each phase may be run by hand with the same file"
            .to_owned(),
    }
}

#[cfg(test)]
#[path = "init_tests.rs"]
mod tests;
