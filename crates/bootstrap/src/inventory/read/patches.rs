//! `[kubeadm]`: what is merged into kubeadm's documents. Their fields are known here, at every level, and
//! so is what other keys say or what the run relies on; both are refused before a host is touched.

use evenkeel_config::tables::{Fields, File, time};
use serde_json::{Map, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::components::{KUBE_PROXY, KUBELET};
use super::conform::{self, Rules};
use super::schema::{CLUSTER, INIT, JOIN};
use super::{parts, said, section};
use crate::inventory::{KubeadmPatches, keys};

const SECRET: &str =
    "is set by evenkeel-bootstrap, which keeps it secret and fresh; remove it here";
const NODE_NAME: &str = "is set by 'name' of the [[node]]; remove it here";
const NODE_ADDRESS: &str = "is set by 'address' of the [[node]]; remove it here";
const SOCKET: &str = "is set by 'socket' of [runtime]; remove it here";
const CHECKS: &str = "is set by 'ignore-preflight-errors' of [kubeadm]; remove it here";
const PORT: &str = "has to stay 6443, where the balancer and all checks look for an API server; the port \
                    of 'vip' in [cluster] may be another";
const DRY_RUN: &str = "would have kubeadm change nothing, and the run fail; 'evenkeel-bootstrap plan' shows \
                       what would be done";

/// A document of kubeadm: its key, and what may be said of it.
struct Document {
    key: &'static str,
    rules: Rules,
}

const ELSEWHERE: [(&str, &[super::schema::Field]); 5] = [
    ("init", INIT),
    ("cluster", CLUSTER),
    ("join", JOIN),
    ("kubelet", KUBELET),
    ("kube-proxy", KUBE_PROXY),
];

static DOCUMENTS: [Document; 5] = [
    Document {
        key: "init",
        rules: Rules {
            kind: "InitConfiguration",
            fields: INIT,
            others: &ELSEWHERE,
            refused: &[
                ("bootstrapTokens", SECRET),
                ("certificateKey", SECRET),
                ("dryRun", DRY_RUN),
                ("localAPIEndpoint.advertiseAddress", NODE_ADDRESS),
                ("localAPIEndpoint.bindPort", PORT),
                ("nodeRegistration.name", NODE_NAME),
                ("nodeRegistration.criSocket", SOCKET),
                ("nodeRegistration.ignorePreflightErrors", CHECKS),
            ],
        },
    },
    Document {
        key: "cluster",
        rules: Rules {
            kind: "ClusterConfiguration",
            fields: CLUSTER,
            others: &ELSEWHERE,
            refused: &[
                (
                    "certificatesDir",
                    "has to stay /etc/kubernetes/pki, where certificates are read and kept; remove it here",
                ),
                (
                    "clusterName",
                    "is set by 'name' of [cluster]; remove it here",
                ),
                (
                    "controlPlaneEndpoint",
                    "is set by 'vip' of [cluster]; remove it here",
                ),
                (
                    "etcd.external",
                    "is not supported: joining, removing and backing up work on the etcd members that \
                     stand beside each API server",
                ),
                (
                    "etcd.local.dataDir",
                    "has to stay /var/lib/etcd, where reset and backup look; mount a disk there instead",
                ),
                (
                    "kubernetesVersion",
                    "is set by 'kubernetes' of [cluster]; remove it here",
                ),
                (
                    "networking.podSubnet",
                    "is set by 'pod-cidr' of [cluster]; remove it here",
                ),
                (
                    "networking.serviceSubnet",
                    "is set by 'service-cidr' of [cluster]; remove it here",
                ),
                (
                    "networking.dnsDomain",
                    "is set by 'dns-domain' of [cluster]; remove it here",
                ),
            ],
        },
    },
    Document {
        key: "join",
        rules: Rules {
            kind: "JoinConfiguration",
            fields: JOIN,
            others: &ELSEWHERE,
            refused: &[
                ("discovery", SECRET),
                ("dryRun", DRY_RUN),
                ("controlPlane.certificateKey", SECRET),
                (
                    "controlPlane.localAPIEndpoint.advertiseAddress",
                    NODE_ADDRESS,
                ),
                ("controlPlane.localAPIEndpoint.bindPort", PORT),
                ("nodeRegistration.name", NODE_NAME),
                ("nodeRegistration.criSocket", SOCKET),
                ("nodeRegistration.ignorePreflightErrors", CHECKS),
            ],
        },
    },
    Document {
        key: "kubelet",
        rules: Rules {
            kind: "KubeletConfiguration",
            fields: KUBELET,
            others: &ELSEWHERE,
            refused: &[(
                "clusterDomain",
                "is set by 'dns-domain' of [cluster]; remove it here",
            )],
        },
    },
    Document {
        key: "kube-proxy",
        rules: Rules {
            kind: "KubeProxyConfiguration",
            fields: KUBE_PROXY,
            others: &ELSEWHERE,
            refused: &[(
                "clusterCIDR",
                "is set by 'pod-cidr' of [cluster]; remove it here",
            )],
        },
    },
];

/// `[kubeadm]`.
pub(super) fn kubeadm(
    file: &File<'_>,
    fields: &mut Fields<'_, '_>,
    is_runtime_managed: bool,
) -> KubeadmPatches {
    let Some((_, table)) = section(file, fields, "kubeadm") else {
        return KubeadmPatches::default();
    };
    if is_runtime_managed {
        cgroup_driver(file, table);
    }
    file.fields(&keys::KUBEADM, table, |fields| {
        let [init, cluster, join, kubelet, kube_proxy] = DOCUMENTS
            .each_ref()
            .map(|document| patch(file, fields, document));
        KubeadmPatches {
            init,
            cluster,
            join,
            kubelet,
            kube_proxy,
            ignore_preflight_errors: parts::list(
                file,
                fields,
                "ignore-preflight-errors",
                conform::check_name,
            ),
            pull_timeout: said(fields.take("pull-timeout", time))
                .unwrap_or(KubeadmPatches::default().pull_timeout),
        }
    })
}

fn patch(file: &File<'_>, fields: &mut Fields<'_, '_>, document: &Document) -> Map<String, Value> {
    let Some(table) = fields.table(document.key) else {
        return Map::new();
    };
    conform::check(file, &document.rules, table);
    if document
        .rules
        .fields
        .iter()
        .any(|(name, _)| *name == "patches")
    {
        patches_folder(file, table);
    }
    object(file, table)
}

/// containerd is set up for systemd's cgroups where it is set up here.
fn cgroup_driver(file: &File<'_>, table: &DeTable<'_>) {
    let said = table
        .get("kubelet")
        .and_then(|kubelet| kubelet.get_ref().as_table()?.get("cgroupDriver"));
    if let Some(said) = said
        && said.get_ref().as_str() == Some("cgroupfs")
    {
        let message = "'cgroupDriver' cannot be \"cgroupfs\" where containerd is set up for \"systemd\"; \
                       remove it, or set up the runtime yourself: 'managed = false' in [runtime]";
        file.error(file.place(said.span().start), message.to_owned());
    }
}

/// kubeadm reads patches on the host that it runs on.
fn patches_folder(file: &File<'_>, table: &DeTable<'_>) {
    let said = table
        .get("patches")
        .and_then(|patches| patches.get_ref().as_table()?.get("directory"));
    if let Some(said) = said
        && let Some(folder) = said.get_ref().as_str()
        && !folder.starts_with('/')
    {
        let message = format!(
            "'patches.directory' must be a folder on the hosts, from the root: \"/etc/kubernetes/patches\", not \"{folder}\""
        );
        file.error(file.place(said.span().start), message);
    }
}

fn object(file: &File<'_>, table: &DeTable<'_>) -> Map<String, Value> {
    table
        .iter()
        .map(|(key, value)| (key.get_ref().clone().into_owned(), json(file, value)))
        .collect()
}

/// The value as kubeadm's YAML has it. Times of TOML have no counterpart there.
fn json(file: &File<'_>, value: &Spanned<DeValue<'_>>) -> Value {
    let wrong = |what: &str| {
        file.error(file.place(value.span().start), what.to_owned());
        Value::Null
    };
    match value.get_ref() {
        DeValue::String(text) => Value::String(text.clone().into_owned()),
        DeValue::Boolean(flag) => Value::Bool(*flag),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or_else(|_| wrong("a number of more than 64 bits"), Value::from),
        DeValue::Float(number) => number
            .as_str()
            .parse()
            .ok()
            .and_then(serde_json::Number::from_f64)
            .map_or_else(|| wrong("a number that kubeadm cannot read"), Value::Number),
        DeValue::Array(list) => list.iter().map(|value| json(file, value)).collect(),
        DeValue::Table(table) => Value::Object(object(file, table)),
        DeValue::Datetime(_) => wrong("a time without quotes; kubeadm takes a string, \"...\""),
    }
}
