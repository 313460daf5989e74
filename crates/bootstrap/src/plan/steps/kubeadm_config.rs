//! The documents that kubeadm is given (`kubeadm.k8s.io/v1beta4`, which 1.31 to 1.37 all take), as YAML
//! with gaps for secrets. What the operator adds in `cluster.toml` is merged into them.

use std::net::IpAddr;
use std::time::Duration;

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Map, Value, json};
use serde_saphyr::DoubleQuoted;

use super::balancer::API_PORT;
use crate::facts::HostFacts;
use crate::inventory::{Inventory, Node, Role, go_duration};
use crate::plan::{Later, Text};

const KUBEADM: &str = "kubeadm.k8s.io/v1beta4";

/// kubeadm's own limits, written out so that they can be seen and changed.
const TIMEOUTS: [(&str, &str); 6] = [
    ("controlPlaneComponentHealthCheck", "4m0s"),
    ("discovery", "5m0s"),
    ("etcdAPICall", "2m0s"),
    ("kubeletHealthCheck", "4m0s"),
    ("kubernetesAPICall", "1m0s"),
    ("tlsBootstrap", "5m0s"),
];

/// What `kubeadm init --config` reads.
#[must_use]
pub fn init(inventory: &Inventory, node: &Node, found: Option<&HostFacts>) -> Text {
    let mut documents = vec![init_document(inventory, node, found), cluster(inventory)];
    documents.extend(components(inventory));
    render(&documents)
}

/// What `kubeadm token create --config` and `kubeadm init phase upload-certs --config` read. It names a
/// version and an address, so that kubeadm looks neither up.
#[must_use]
pub fn credentials(inventory: &Inventory, node: &Node) -> Text {
    render(&[init_document(inventory, node, None), cluster(inventory)])
}

/// What `kubeadm join --config` reads.
#[must_use]
pub fn join(inventory: &Inventory, node: &Node, found: Option<&HostFacts>) -> Text {
    render(&[join_document(inventory, node, found)])
}

/// A document like that of a join, to be judged before there is a cluster, when the hash of its CA is not
/// known.
#[must_use]
pub fn join_to_judge(inventory: &Inventory, node: &Node, found: Option<&HostFacts>) -> Text {
    let mut document = join_document(inventory, node, found);
    let hash = format!("sha256:{}", "0".repeat(64));
    document["discovery"]["bootstrapToken"]["caCertHashes"] = json!([hash]);
    render(&[document])
}

/// How long `kubeadm init` may take, by the limits that it is given.
#[must_use]
pub fn init_limit(inventory: &Inventory) -> Duration {
    limit(&merged_timeouts(&inventory.kubeadm.init)) + inventory.kubeadm.pull_timeout
}

/// How long `kubeadm join` may take, by the limits that it is given.
#[must_use]
pub fn join_limit(inventory: &Inventory) -> Duration {
    limit(&merged_timeouts(&inventory.kubeadm.join)) + inventory.kubeadm.pull_timeout
}

fn init_document(inventory: &Inventory, node: &Node, found: Option<&HostFacts>) -> Value {
    let mut document = json!({
        "apiVersion": KUBEADM,
        "kind": "InitConfiguration",
        "bootstrapTokens": [{
            "token": Later::Token.name(),
            "description": "made by evenkeel-bootstrap for joining nodes",
            "ttl": "24h0m0s",
            "usages": ["signing", "authentication"],
            "groups": ["system:bootstrappers:kubeadm:default-node-token"],
        }],
        "certificateKey": Later::CertificateKey.name(),
        "localAPIEndpoint": local_endpoint(node),
        "nodeRegistration": registration(inventory, node, found),
        "timeouts": default_timeouts(),
    });
    merge_map(&mut document, &inventory.kubeadm.init);
    document
}

fn join_document(inventory: &Inventory, node: &Node, found: Option<&HostFacts>) -> Value {
    let mut document = json!({
        "apiVersion": KUBEADM,
        "kind": "JoinConfiguration",
        "discovery": {"bootstrapToken": {
            "apiServerEndpoint": inventory.endpoint.to_string(),
            "token": Later::Token.name(),
            "caCertHashes": [Later::CaHash.name()],
        }},
        "nodeRegistration": registration(inventory, node, found),
        "timeouts": default_timeouts(),
    });
    let mut patch = inventory.kubeadm.join.clone();
    if node.role == Role::ControlPlane {
        document["controlPlane"] = json!({
            "localAPIEndpoint": local_endpoint(node),
            "certificateKey": Later::CertificateKey.name(),
        });
    } else {
        // With it the worker would become a control plane.
        patch.remove("controlPlane");
    }
    merge_map(&mut document, &patch);
    document
}

fn cluster(inventory: &Inventory) -> Value {
    let mut names = vec![inventory.endpoint.vip.to_string()];
    for balancer in inventory.of(Role::Balancer) {
        names.extend([
            balancer.name.clone(),
            inventory.full_name(balancer),
            balancer.address.to_string(),
        ]);
    }
    let mut unique = Vec::new();
    for name in names {
        if !unique.contains(&name) {
            unique.push(name);
        }
    }
    let mut document = json!({
        "apiVersion": KUBEADM,
        "kind": "ClusterConfiguration",
        "clusterName": inventory.name,
        "kubernetesVersion": inventory.kubernetes.to_string(),
        "controlPlaneEndpoint": inventory.endpoint.to_string(),
        "networking": {
            "podSubnet": joined(&inventory.pod_cidrs),
            "serviceSubnet": joined(&inventory.service_cidrs),
            "dnsDomain": inventory.dns_domain,
        },
        "apiServer": {
            "certSANs": unique,
            "extraArgs": [
                // Nothing else ever moves a connection to a control plane that came back.
                {"name": "goaway-chance", "value": "0.001"},
                // Longer than a health check takes to see that the server is going: draining is then free.
                {"name": "shutdown-delay-duration", "value": "15s"},
            ],
        },
    });
    let masks = node_masks(&inventory.pod_cidrs);
    if !masks.is_empty() {
        document["controllerManager"] = json!({ "extraArgs": masks });
    }
    merge_map(&mut document, &inventory.kubeadm.cluster);
    document
}

/// Documents for kubelets and kube-proxy, which are only written if something is to differ from kubeadm's
/// own.
fn components(inventory: &Inventory) -> Vec<Value> {
    [
        (
            "kubelet.config.k8s.io/v1beta1",
            "KubeletConfiguration",
            &inventory.kubeadm.kubelet,
        ),
        (
            "kubeproxy.config.k8s.io/v1alpha1",
            "KubeProxyConfiguration",
            &inventory.kubeadm.kube_proxy,
        ),
    ]
    .into_iter()
    .filter(|(_, _, patch)| !patch.is_empty())
    .map(|(version, kind, patch)| {
        let mut document = json!({"apiVersion": version, "kind": kind});
        merge_map(&mut document, patch);
        document
    })
    .collect()
}

fn local_endpoint(node: &Node) -> Value {
    json!({"advertiseAddress": node.address.to_string(), "bindPort": API_PORT})
}

fn registration(inventory: &Inventory, node: &Node, found: Option<&HostFacts>) -> Value {
    let mut addresses = node.address.to_string();
    if let Some(other) = other_family(inventory, node, found) {
        addresses = format!("{addresses},{other}");
    }
    let mut registration = json!({
        "name": node.name,
        "criSocket": inventory.runtime.socket,
        "kubeletExtraArgs": [{"name": "node-ip", "value": addresses}],
    });
    if !inventory.kubeadm.ignore_preflight_errors.is_empty() {
        registration["ignorePreflightErrors"] = json!(inventory.kubeadm.ignore_preflight_errors);
    }
    registration
}

/// In a cluster of two families a kubelet has to be told an address of each, or its node has only one.
fn other_family(inventory: &Inventory, node: &Node, found: Option<&HostFacts>) -> Option<IpAddr> {
    let both = inventory
        .pod_cidrs
        .iter()
        .any(|network| network.addr().is_ipv4() != node.address.is_ipv4());
    let is_link_local = |address: &IpAddr| match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    let interface = found?.interface_of(node.address).filter(|_| both)?;
    interface
        .addresses
        .iter()
        .map(ipnet::IpNet::addr)
        .find(|address| {
            address.is_ipv4() != node.address.is_ipv4()
                && !is_link_local(address)
                && !interface.fleeting.contains(address)
        })
}

/// Sizes of the nodes' shares of the pod networks, where the controller manager's own (24 and 64) would not
/// fit: kubeadm lets a share be smaller than its network by 16 bits at most. One that is as large as the network
/// is for a single node; networks without room for all nodes are refused with the inventory.
fn node_masks(networks: &[ipnet::IpNet]) -> Vec<Value> {
    networks
        .iter()
        .filter_map(|network| {
            let (usual, family) = match network {
                ipnet::IpNet::V4(_) => (24, "ipv4"),
                ipnet::IpNet::V6(_) => (64, "ipv6"),
            };
            let share = network.prefix_len() + 16;
            if share >= usual {
                return None;
            }
            let name = match networks {
                [_] => "node-cidr-mask-size".to_owned(),
                _ => format!("node-cidr-mask-size-{family}"),
            };
            Some(json!({"name": name, "value": share.to_string()}))
        })
        .collect()
}

fn joined(networks: &[ipnet::IpNet]) -> String {
    let networks: Vec<_> = networks.iter().map(ToString::to_string).collect();
    networks.join(",")
}

fn default_timeouts() -> Value {
    TIMEOUTS
        .iter()
        .map(|(name, value)| ((*name).to_owned(), Value::from(*value)))
        .collect::<Map<_, _>>()
        .into()
}

fn merged_timeouts(patch: &Map<String, Value>) -> Value {
    let mut timeouts = default_timeouts();
    if let Some(patch) = patch.get("timeouts") {
        merge(&mut timeouts, patch);
    }
    timeouts
}

/// All that kubeadm may wait for, one after the other.
fn limit(timeouts: &Value) -> Duration {
    let waits = timeouts.as_object().into_iter().flatten();
    waits
        .filter_map(|(_, value)| go_duration(value.as_str()?))
        .sum()
}

fn merge_map(into: &mut Value, patch: &Map<String, Value>) {
    for (key, value) in patch {
        match into.get_mut(key) {
            Some(there) => merge(there, value),
            None => into[key] = value.clone(),
        }
    }
}

/// Objects are merged key by key, lists of things that have names by their names; all else is replaced.
fn merge(into: &mut Value, patch: &Value) {
    match (into, patch) {
        (into @ Value::Object(_), Value::Object(patch)) => merge_map(into, patch),
        (Value::Array(into), Value::Array(patch)) if are_named(into) && are_named(patch) => {
            // A name may repeat (two service-account-issuers while one takes the other's place), so that only
            // what was there before gives way, once.
            let before = into.len();
            let mut replaced = vec![false; before];
            for item in patch {
                let same = (0..before)
                    .find(|place| !replaced[*place] && into[*place]["name"] == item["name"]);
                match same {
                    Some(place) => {
                        replaced[place] = true;
                        merge(&mut into[place], item);
                    }
                    None => into.push(item.clone()),
                }
            }
        }
        (into, patch) => *into = patch.clone(),
    }
}

fn are_named(list: &[Value]) -> bool {
    list.iter().all(|item| item["name"].is_string())
}

fn render(documents: &[Value]) -> Text {
    let texts: Vec<_> = documents
        .iter()
        .map(|document| {
            serde_saphyr::to_string(&Yaml(document))
                .expect("plain values can be written as YAML into memory")
        })
        .collect();
    Text::with_gaps(&texts.join("---\n"))
}

/// A value as YAML: what it is first, and gaps in quotes, since a key may be of digits alone.
struct Yaml<'a>(&'a Value);

impl Serialize for Yaml<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::String(text) if Text::with_gaps(text).gaps().next().is_some() => {
                DoubleQuoted(text.as_str()).serialize(serializer)
            }
            Value::Array(list) => serializer.collect_seq(list.iter().map(Yaml)),
            Value::Object(map) => {
                const FIRST: [&str; 3] = ["apiVersion", "kind", "name"];
                let mut written = serializer.serialize_map(Some(map.len()))?;
                let first = FIRST.iter().filter_map(|key| map.get_key_value(*key));
                let rest = map.iter().filter(|(key, _)| !FIRST.contains(&key.as_str()));
                for (key, value) in first.chain(rest) {
                    written.serialize_entry(key, &Yaml(value))?;
                }
                written.end()
            }
            plain => plain.serialize(serializer),
        }
    }
}

#[cfg(test)]
#[path = "kubeadm_config_tests.rs"]
mod tests;
