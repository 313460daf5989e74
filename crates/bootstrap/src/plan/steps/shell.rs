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
         [ ! -d {FILES} ] || find {FILES} -type f ! -name '*.imported' ! -name '*.installed' -delete\n"
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

/// Waits until the cluster says that a node is ready, asked with the node's own rights.
pub(crate) fn await_ready(node: &Node, limit: Duration) -> Action {
    Action::Await {
        what: format!("{} to be ready, three times in a row", node.name),
        script: format!(
            "kubectl --kubeconfig /etc/kubernetes/kubelet.conf --request-timeout=10s get node {} \
             -o 'jsonpath={{.status.conditions[?(@.type==\"Ready\")].status}}{{\"\\n\"}}' | grep -Fx True\n",
            node.name
        )
        .into(),
        times: 3,
        every: EVERY,
        limit,
    }
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

/// Rules that kube-proxy and flannel left, which would go on to send 10.96.0.1 to the old cluster; those of
/// others stay. What cannot be put back as a whole stays as it was.
const RULES: &str = "for table in iptables ip6tables; do\n\
    \x20 rules=$($table-save 2>/dev/null) || continue\n\
    \x20 case $rules in *KUBE-*|*FLANNEL-*) ;; *) continue ;; esac\n\
    \x20 printf '%s\\n' \"$rules\" | grep -v -e KUBE- -e FLANNEL- | $table-restore || echo \"rules of $table stay\" >&2\n\
    done\n\
    for family in ip ip6; do nft delete table $family kube-proxy 2>/dev/null || :; done\n";

/// `kubeadm reset`, and what it leaves: networks of plugins, which would keep the old cluster's addresses.
pub(crate) fn reset(inventory: &Inventory) -> String {
    // A member that was taken out of its cluster restarts until kubelet is stopped, and begins its folder anew
    // behind kubeadm, which has emptied it by then.
    format!(
        "etcd=no\n\
         [ ! -e /etc/kubernetes/manifests/etcd.yaml ] || etcd=yes\n\
         kubeadm reset -f --cri-socket {}\n\
         [ $etcd = no ] || rm -rf /var/lib/etcd/member\n\
         rm -rf /etc/cni/net.d/10-flannel.conflist /etc/cni/net.d/10-calico.conflist \
         /etc/cni/net.d/calico-kubeconfig /var/lib/cni/networks /run/flannel {FOLDER}\n\
         for link in cni0 flannel.1 flannel-v6.1 vxlan.calico kube-ipvs0; do ip link delete $link 2>/dev/null || :; done\n\
         {RULES}\
         rm -f {BEGUN}\n",
        quote(&inventory.runtime.socket)
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::process::Command;

    use super::*;

    /// What two families of rules look like after the script, with programs that keep them in files.
    #[test]
    fn rules_of_the_old_cluster_go_and_those_of_others_stay() {
        let folder = std::env::temp_dir().join(format!("evenkeel-rules-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let program = |name: &str, text: &str| {
            let path = folder.join(name);
            std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        };
        for family in ["iptables", "ip6tables"] {
            let kept = folder.join(family).display().to_string();
            program(&format!("{family}-save"), &format!("cat {kept}"));
            program(
                &format!("{family}-restore"),
                &format!("cat >{kept}.new; mv {kept}.new {kept}; echo x >>{kept}.times"),
            );
        }
        program("nft", "exit 1");
        let ours =
            "*nat\n:PREROUTING ACCEPT [0:0]\n:DOCKER - [0:0]\n-A PREROUTING -j DOCKER\nCOMMIT\n";
        let kube = ":KUBE-SERVICES - [0:0]\n-A PREROUTING -j KUBE-SERVICES\n-A KUBE-SEP-X -j DNAT --to-destination 10.0.1.11:6443\n:FLANNEL-FWD - [0:0]\n";
        std::fs::write(
            folder.join("iptables"),
            ours.replace("COMMIT", &format!("{kube}COMMIT")),
        )
        .unwrap();
        std::fs::write(folder.join("ip6tables"), ours).unwrap();
        let output = Command::new("/bin/sh")
            .env("PATH", format!("{}:/usr/bin:/bin", folder.display()))
            .args(["-euc", RULES])
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
        assert_eq!(read("iptables"), ours);
        assert_eq!(read("ip6tables"), ours);
        assert!(
            !folder.join("ip6tables.times").exists(),
            "nothing of ours was there"
        );
        std::fs::remove_dir_all(folder).unwrap();
    }
}
