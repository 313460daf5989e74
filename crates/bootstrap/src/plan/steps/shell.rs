//! Scripts that several kinds of steps need.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::balancer::API_PORT;
use crate::inventory::{Endpoint, Inventory, Node};
use crate::plan::{Action, BEGUN, quote};

/// Our files on nodes that are only there while a step runs.
pub(crate) const FOLDER: &str = "/root/.evenkeel-bootstrap";

/// Where packages and images are copied to before they are installed.
pub(crate) const FILES: &str = "/var/lib/evenkeel-bootstrap/files";

/// Removes what is there only while a step runs, of a run that was cut off: nobody else knows of it.
pub(crate) fn leftovers() -> String {
    format!(
        "rm -rf {FOLDER}\n\
         [ ! -d {FILES} ] || find {FILES} -type f ! -name '*.imported' -delete\n"
    )
}

/// Between two questions to something that is coming up.
const EVERY: Duration = Duration::from_secs(1);

/// kubectl as the administrator, at the API server that `admin.conf` names: the VIP.
pub(crate) const KUBECTL: &str =
    "kubectl --kubeconfig /etc/kubernetes/admin.conf --request-timeout=10s";

/// kubectl as the administrator, at one control plane's own API server.
pub(crate) fn kubectl_at(address: IpAddr) -> String {
    format!(
        "{KUBECTL} --server https://{}",
        SocketAddr::new(address, API_PORT)
    )
}

/// A call of etcd's JSON gateway on the host of one of its members.
pub(crate) fn etcd_call(call: &str, body: &str) -> String {
    const PKI: &str = "/etc/kubernetes/pki/etcd";
    format!(
        "curl -fsS --max-time 20 --cacert {PKI}/ca.crt --cert {PKI}/healthcheck-client.crt \
         --key {PKI}/healthcheck-client.key -d {body} https://127.0.0.1:2379/v3/{call}"
    )
}

/// etcdctl in the etcd pod of a control plane, with the certificates that are there.
pub(crate) fn etcdctl_at(node: &Node) -> String {
    const PKI: &str = "/etc/kubernetes/pki/etcd";
    format!(
        "{} -n kube-system exec etcd-{} -- etcdctl --endpoints https://127.0.0.1:2379 --cacert {PKI}/ca.crt \
         --cert {PKI}/healthcheck-client.crt --key {PKI}/healthcheck-client.key",
        kubectl_at(node.address),
        node.name
    )
}

/// Removes the etcd member of `node`, known by its name or, if it has never started, by its address,
/// through the one of `live`. Not every host has curl, and not every image of etcd has etcdctl.
pub(crate) fn remove_member(live: &Node, node: &Node) -> String {
    let peer = format!("https://{}", SocketAddr::new(node.address, 2380));
    let name = &node.name;
    let etcdctl = etcdctl_at(live);
    format!(
        "if command -v curl >/dev/null; then\n\
         \x20 members=$({list})\n\
         \x20 printf '%s' \"$members\" | tr '{{' '\\n' | grep -e '\"name\":\"{name}\"' -e '\"{peer}\"' |\n\
         \x20   sed -n 's/.*\"ID\":\"\\([0-9]*\\)\".*/\\1/p' |\n\
         \x20   while read -r id; do {remove}; done\n\
         else\n\
         \x20 members=$({etcdctl} member list)\n\
         \x20 printf '%s\\n' \"$members\" | awk -F ', ' '$3 == \"{name}\" || $4 == \"{peer}\" {{ print $1 }}' |\n\
         \x20   while read -r id; do {etcdctl} member remove \"$id\" </dev/null; done\n\
         fi\n",
        list = etcd_call("cluster/member/list", "'{}'"),
        remove = etcd_call("cluster/member/remove", "\"{\\\"ID\\\":\\\"$id\\\"}\""),
    )
}

/// Waits until the balancer takes connections from this host. Which server answers, and whether any, is not
/// asked: before `kubeadm init` there is none.
pub(crate) fn await_vip(endpoint: &Endpoint, limit: Duration) -> Action {
    Action::Await {
        what: format!("the balancer to take a connection at {endpoint}"),
        script: format!(
            "timeout 5 bash -c {}",
            quote(&format!(
                "exec 3<>/dev/tcp/{}/{}",
                endpoint.vip, endpoint.port
            ))
        )
        .into(),
        times: 1,
        every: EVERY,
        limit,
    }
}

/// Waits until the API answers through the VIP that it is ready, asked with this host's `admin.conf`.
pub(crate) fn await_api(endpoint: &Endpoint, limit: Duration) -> Action {
    await_readyz(
        &format!("the API through {endpoint}"),
        &format!("https://{endpoint}"),
        limit,
    )
}

/// Waits until a control plane's own API server says that it is ready, asked on that control plane.
pub(crate) fn await_own_api(node: &Node, limit: Duration) -> Action {
    let server = SocketAddr::new(node.address, API_PORT);
    await_readyz(
        &format!("the API server of {}", node.name),
        &format!("https://{server}"),
        limit,
    )
}

fn await_readyz(what: &str, server: &str, limit: Duration) -> Action {
    Action::Await {
        what: format!("{what} to say that it is ready, three times in a row"),
        script: format!("{KUBECTL} --server {server} get --raw /readyz").into(),
        times: 3,
        every: EVERY,
        limit,
    }
}

/// Has kubeadm judge what it will be given, before anything is begun: of what `cluster.toml` merges into its
/// documents only the outermost keys are known here.
pub(crate) fn judge(paths: &[String]) -> Action {
    let script: String = paths
        .iter()
        .map(|path| format!("kubeadm config validate --config {path} >/dev/null\n"))
        .collect();
    Action::Run {
        script: script.into(),
        limit: JUDGE_LIMIT,
    }
}

/// For a few files.
const JUDGE_LIMIT: Duration = Duration::from_secs(60);

/// What to do when a document of kubeadm is refused.
pub(crate) const JUDGED: &str =
    "If kubeadm refuses a field, it stands under [kubeadm] in cluster.toml";

/// Runs `command` after the host has been told that it has begun. A run that is cut off leaves that word;
/// whoever has seen that all went well removes it.
pub(crate) fn remembered(what: &str, command: &str) -> String {
    let folder = BEGUN.rsplit_once('/').map_or("/", |(folder, _)| folder);
    format!("mkdir -p {folder}\necho {what} >{BEGUN}\nsync {BEGUN}\n{command}\n")
}

/// For `kubeadm reset`, which stops every container.
pub(crate) const RESET_LIMIT: Duration = Duration::from_secs(300);

/// `kubeadm reset`, and what it leaves: networks of plugins, which would keep the old cluster's addresses.
pub(crate) fn reset(inventory: &Inventory) -> String {
    format!(
        "kubeadm reset -f --cri-socket {}\n\
         rm -rf /etc/cni/net.d/10-flannel.conflist /etc/cni/net.d/10-calico.conflist \
         /etc/cni/net.d/calico-kubeconfig /var/lib/cni/networks /run/flannel {FOLDER}\n\
         for link in cni0 flannel.1 flannel-v6.1 vxlan.calico; do ip link delete $link 2>/dev/null || :; done\n\
         rm -f {BEGUN}\n",
        quote(&inventory.runtime.socket)
    )
}
