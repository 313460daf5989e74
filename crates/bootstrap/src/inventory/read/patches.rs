//! `[kubeadm]`: what is merged into kubeadm's documents. kubeadm refuses fields that it does not know
//! in the middle of a run; the fields of v1beta4 are known here, so that they are refused before.

use evenkeel_config::tables::{Fields, File, did_you_mean, must_be, text, time};
use serde_json::{Map, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{parts, said, section};
use crate::inventory::{KubeadmPatches, keys};

/// A document of kubeadm: its key, its kind, its fields, and those that other keys say.
struct Document {
    key: &'static str,
    kind: &'static str,
    /// Top-level fields of v1beta4; none: not checked.
    fields: &'static [&'static str],
    /// Paths that are set from elsewhere, and from where.
    owned: &'static [(&'static str, &'static str)],
}

const SET_BY_US: &str = "evenkeel-bootstrap, which keeps it secret and fresh";
const NODE_NAME: &str = "'name' of the [[node]]";
const NODE_ADDRESS: &str = "'address' of the [[node]]";

static DOCUMENTS: [Document; 5] = [
    Document {
        key: "init",
        kind: "InitConfiguration",
        fields: &[
            "apiVersion",
            "bootstrapTokens",
            "certificateKey",
            "dryRun",
            "kind",
            "localAPIEndpoint",
            "nodeRegistration",
            "patches",
            "skipPhases",
            "timeouts",
        ],
        owned: &[
            ("bootstrapTokens", SET_BY_US),
            ("certificateKey", SET_BY_US),
            ("localAPIEndpoint.advertiseAddress", NODE_ADDRESS),
            ("nodeRegistration.name", NODE_NAME),
            ("nodeRegistration.criSocket", "'socket' of [runtime]"),
        ],
    },
    Document {
        key: "cluster",
        kind: "ClusterConfiguration",
        fields: &[
            "apiServer",
            "apiVersion",
            "caCertificateValidityPeriod",
            "certificateValidityPeriod",
            "certificatesDir",
            "clusterName",
            "controlPlaneEndpoint",
            "controllerManager",
            "dns",
            "encryptionAlgorithm",
            "etcd",
            "featureGates",
            "imageRepository",
            "kind",
            "kubernetesVersion",
            "networking",
            "proxy",
            "scheduler",
        ],
        owned: &[
            ("clusterName", "'name' of [cluster]"),
            ("controlPlaneEndpoint", "'vip' of [cluster]"),
            ("kubernetesVersion", "'kubernetes' of [cluster]"),
            ("networking.podSubnet", "'pod-cidr' of [cluster]"),
            ("networking.serviceSubnet", "'service-cidr' of [cluster]"),
            ("networking.dnsDomain", "'dns-domain' of [cluster]"),
        ],
    },
    Document {
        key: "join",
        kind: "JoinConfiguration",
        fields: &[
            "apiVersion",
            "caCertPath",
            "controlPlane",
            "discovery",
            "dryRun",
            "kind",
            "nodeRegistration",
            "patches",
            "skipPhases",
            "timeouts",
        ],
        owned: &[
            ("discovery", SET_BY_US),
            ("controlPlane.certificateKey", SET_BY_US),
            (
                "controlPlane.localAPIEndpoint.advertiseAddress",
                NODE_ADDRESS,
            ),
            ("nodeRegistration.name", NODE_NAME),
            ("nodeRegistration.criSocket", "'socket' of [runtime]"),
        ],
    },
    Document {
        key: "kubelet",
        kind: "KubeletConfiguration",
        fields: &[],
        owned: &[("clusterDomain", "'dns-domain' of [cluster]")],
    },
    Document {
        key: "kube-proxy",
        kind: "KubeProxyConfiguration",
        fields: &[],
        owned: &[("clusterCIDR", "'pod-cidr' of [cluster]")],
    },
];

/// `[kubeadm]`.
pub(super) fn kubeadm(file: &File<'_>, fields: &mut Fields<'_, '_>) -> KubeadmPatches {
    let Some((_, table)) = section(file, fields, "kubeadm") else {
        return KubeadmPatches::default();
    };
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
                check_name,
            ),
            pull_timeout: said(fields.take("pull-timeout", time))
                .unwrap_or(KubeadmPatches::default().pull_timeout),
        }
    })
}

fn check_name(value: &DeValue<'_>) -> Result<String, String> {
    let name = text(value)?;
    match name
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "-/._".contains(c))
    {
        true => Ok(name),
        false => Err(must_be(
            "the name of a check of kubeadm, as in \"NumCPU\"",
            value,
        )),
    }
}

fn patch(file: &File<'_>, fields: &mut Fields<'_, '_>, document: &Document) -> Map<String, Value> {
    let Some(table) = fields.table(document.key) else {
        return Map::new();
    };
    for (key, _) in table {
        let name = key.get_ref().as_ref();
        let place = file.place(key.span().start);
        if matches!(name, "apiVersion" | "kind") {
            file.error(
                place,
                format!("'{name}' is set by evenkeel-bootstrap; remove it here"),
            );
        } else if !document.fields.is_empty() && !document.fields.contains(&name) {
            let hint = did_you_mean(name, document.fields.iter().copied());
            file.error(
                place,
                format!("'{name}' is no field of {}{hint}", document.kind),
            );
        }
    }
    for (path, owner) in document.owned {
        if let Some(offset) = position(table, path) {
            let message = format!("'{path}' is set by {owner}; remove it here");
            file.error(file.place(offset), message);
        }
    }
    object(file, table)
}

/// Where the key at the end of `path` stands, if it is said.
fn position(table: &DeTable<'_>, path: &str) -> Option<usize> {
    let (first, rest) = match path.split_once('.') {
        Some((first, rest)) => (first, Some(rest)),
        None => (path, None),
    };
    let (key, value) = table.get_key_value(first)?;
    match rest {
        None => Some(key.span().start),
        Some(rest) => position(value.get_ref().as_table()?, rest),
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
