//! What the cluster says of itself, asked of one of its API servers from the host that it runs on.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde_json::Value;

use super::answer::Garbled;
use super::model::{ClusterFacts, ClusterNode, DRAINED};
use crate::inventory::Node;

/// The first line of an answer.
const FIRST: &str = "evenkeel-cluster-1";
/// The last one.
const LAST: &str = "evenkeel-cluster-end";

/// Columns of a node, apart by `|`, which none of their values may hold.
const COLUMNS: &str = "{range .items[*]}node{\"\\t\"}{.metadata.name}|{.status.conditions[?(@.type==\"Ready\")].status}|\
{.status.nodeInfo.kubeletVersion}|{.spec.unschedulable}|{.status.addresses[?(@.type==\"InternalIP\")].address}|\
{.spec.podCIDRs[*]}|{.metadata.labels}{\"\\n\"}{end}";

/// Succeeds if the API server of this very host is ready.
pub(super) fn is_ready(node: &Node, port: u16) -> String {
    let address = std::net::SocketAddr::new(node.address, port);
    format!(
        "[ -s /etc/kubernetes/admin.conf ] || exit 9\n\
         kubectl --kubeconfig /etc/kubernetes/admin.conf --server https://{address} --request-timeout=10s get --raw /readyz\n"
    )
}

/// Asks the API server of this very host for everything.
pub(super) fn script(node: &Node, port: u16) -> String {
    let address = std::net::SocketAddr::new(node.address, port);
    SCRIPT
        .replace("@SERVER@", &format!("https://{address}"))
        .replace("@NAME@", &node.name)
        .replace("@COLUMNS@", COLUMNS)
}

const SCRIPT: &str = r#"set +e
export LC_ALL=C PATH="$PATH:/usr/local/bin:/usr/bin"
config=/etc/kubernetes/admin.conf
k() { timeout 20 kubectl --kubeconfig $config --server @SERVER@ --request-timeout=10s "$@" </dev/null; }
say() { printf '%s\t%s\n' "$1" "$2"; }
echo evenkeel-cluster-1
# kubeadm gives admin.conf its rights once the API server answers: where that came too late for an init, it has none.
k get nodes -o 'jsonpath=@COLUMNS@' || { config=/etc/kubernetes/super-admin.conf; k get nodes -o 'jsonpath=@COLUMNS@'; } || exit 1
version=$(k get --raw /version | tr -d '\n') || exit 1
say version "$version"
for space in kube-system kube-public; do
  maps=$(k -n "$space" get configmaps -o name) || exit 1
  for map in $maps; do say map "${map#configmap/}"; done
done
applied=$(k -n kube-system get configmap evenkeel-bootstrap --ignore-not-found -o 'jsonpath={.data}') || exit 1
if [ -n "$applied" ]; then say applied "$applied"; fi
pki=/etc/kubernetes/pki/etcd
members=$(k -n kube-system exec etcd-@NAME@ -- etcdctl --endpoints=https://127.0.0.1:2379 --cacert=$pki/ca.crt --cert=$pki/server.crt --key=$pki/server.key member list -w simple 2>/dev/null)
if [ -n "$members" ]; then
  echo "$members" | while read -r line; do say member "$line"; done
else
  for name in $(k -n kube-system get pods -l component=etcd,tier=control-plane -o 'jsonpath={.items[*].spec.nodeName}'); do say etcd-pod "$name"; done
fi
echo evenkeel-cluster-end
"#;

/// Reads the answer that `told_by` gave.
pub(super) fn read(answer: &str, told_by: &str) -> Result<ClusterFacts, Garbled> {
    let mut facts = ClusterFacts {
        told_by: told_by.to_owned(),
        ..ClusterFacts::default()
    };
    let mut lines = answer.lines().skip_while(|line| *line != FIRST).skip(1);
    loop {
        let Some(line) = lines.next() else {
            let last = answer.lines().last().unwrap_or_default().to_owned();
            return Err(Garbled::Cut { last });
        };
        if line == LAST {
            return Ok(facts);
        }
        line.split_once('\t')
            .and_then(|(word, value)| fact(&mut facts, word, value))
            .ok_or_else(|| Garbled::Line {
                line: line.to_owned(),
            })?;
    }
}

fn fact(facts: &mut ClusterFacts, word: &str, value: &str) -> Option<()> {
    match word {
        "node" => facts.nodes.push(node(value)?),
        "version" => {
            let version: Value = serde_json::from_str(value).ok()?;
            facts.server = version["gitVersion"].as_str()?.parse().ok();
        }
        "map" => {
            facts.config_maps.insert(value.to_owned());
        }
        "applied" => facts.applied = texts(value)?,
        // ID, state, name, peer addresses, client addresses, whether it is a learner
        "member" => {
            let name = value.split(", ").nth(2)?;
            facts.etcd_members.insert(name.to_owned());
        }
        "etcd-pod" => {
            facts.etcd_members.insert(value.to_owned());
        }
        _ => return None,
    }
    Some(())
}

fn texts(json: &str) -> Option<BTreeMap<String, String>> {
    serde_json::from_str(json).ok()
}

/// See [`COLUMNS`].
fn node(value: &str) -> Option<ClusterNode> {
    let mut columns = value.splitn(7, '|');
    let mut column = || columns.next().map(str::trim);
    let name = column()?.to_owned();
    let ready = column()? == "True";
    let kubelet = column()?.parse().ok();
    let cordoned = column()? == "true";
    let addresses: Vec<IpAddr> = column()?
        .split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect();
    let pod_cidrs = column()?
        .split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect();
    let labels: BTreeSet<String> = match column()? {
        "" => BTreeSet::new(),
        labels => texts(labels)?.into_keys().collect(),
    };
    Some(ClusterNode {
        name,
        ready,
        control_plane: labels.contains("node-role.kubernetes.io/control-plane"),
        kubelet,
        addresses,
        cordoned,
        drained: labels.contains(DRAINED),
        pod_cidrs,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::steps::example::{Stubs, inventory};

    const ANSWER: &str = "welcome to master1\n\
        evenkeel-cluster-1\n\
        node\tmaster1|True|v1.36.2||10.0.1.11|10.244.0.0/24|{\"kubernetes.io/os\":\"linux\",\"node-role.kubernetes.io/control-plane\":\"\"}\n\
        node\tworker1|Unknown|v1.36.1|true|10.0.1.13 fd01::13|10.244.1.0/24 fd00::/64|{\"a\":\"x|y\",\"evenkeel-bootstrap/drained\":\"\"}\n\
        node\tworker2||v1.36.2||||\n\
        version\t{  \"gitVersion\": \"v1.36.2\",  \"goVersion\": \"go1.25\"}\n\
        map\tkubeadm-config\n\
        map\tcluster-info\n\
        applied\t{\"cni\":\"abc\"}\n\
        member\t8e9e05c52164694d, started, master1, https://10.0.1.11:2380, https://10.0.1.11:2379, false\n\
        evenkeel-cluster-end\n";

    #[test]
    fn an_answer_is_read() {
        let facts = read(ANSWER, "master1").unwrap();
        assert_eq!(facts.told_by, "master1");
        assert_eq!(facts.server, "1.36.2".parse().ok());
        assert_eq!(facts.etcd_members, ["master1".to_owned()].into());
        assert!(facts.config_maps.contains("cluster-info"));
        assert_eq!(facts.applied["cni"], "abc");
        let [master, worker, fresh] = &facts.nodes[..] else {
            panic!("{facts:?}")
        };
        assert!(master.ready && master.control_plane && !master.cordoned);
        assert!(!worker.ready && !worker.control_plane && worker.cordoned && worker.drained);
        assert!(!master.drained);
        assert_eq!(worker.addresses.len(), 2);
        assert_eq!(worker.pod_cidrs.len(), 2);
        assert_eq!(worker.kubelet, "1.36.1".parse().ok());
        assert!(fresh.addresses.is_empty() && !fresh.ready);
    }

    /// An init whose API server came up after kubeadm had given up: `admin.conf` is forbidden everything yet.
    #[test]
    fn a_cluster_whose_administrator_has_no_rights_yet_is_seen() {
        let stubs = Stubs::new("rights").with(
            "kubectl",
            "case \"$*\" in\n\
             *super-admin.conf*) ;;\n\
             *) echo 'Error from server (Forbidden): nodes is forbidden' >&2; exit 1 ;;\n\
             esac\n\
             case \"$*\" in\n\
             *'get nodes'*) printf 'node\\tmaster1|True|v1.36.2||10.0.1.11||\\n' ;;\n\
             */version*) echo '{\"gitVersion\": \"v1.36.2\"}' ;;\n\
             *configmaps*) echo configmap/kube-root-ca.crt ;;\n\
             esac\n",
        );
        let output = stubs.run(&script(inventory().first_master(), 6443));
        let facts = read(&String::from_utf8_lossy(&output.stdout), "master1").unwrap();
        assert_eq!(facts.nodes[0].name, "master1");
        assert!(!facts.config_maps.contains("kubeadm-config"));
    }

    #[test]
    fn an_answer_that_was_cut_or_is_another_is_none() {
        let cut = ANSWER.split_once("version").unwrap().0;
        assert!(matches!(read(cut, "m"), Err(Garbled::Cut { last }) if last.contains("worker2")));
        assert!(matches!(read("", "m"), Err(Garbled::Cut { .. })));
        let odd = ANSWER.replace("map\tcluster-info", "map cluster-info");
        assert!(
            matches!(read(&odd, "m"), Err(Garbled::Line { line }) if line == "map cluster-info")
        );
    }
}
