//! The kinds of objects, one row each, and what discovery says of them.

use serde_json::{Value, json};

use super::serve::Answer;

/// A kind of object.
pub struct Kind {
    /// Empty for the core.
    pub group: &'static str,
    pub version: &'static str,
    pub kind: &'static str,
    pub plural: &'static str,
    pub namespaced: bool,
    pub short: &'static [&'static str],
    pub subresources: &'static [(&'static str, &'static str)],
}

macro_rules! kinds {
    ($($group:literal $version:literal $kind:literal $plural:literal $namespaced:literal $short:tt $subresources:tt;)*) => {
        &[$(Kind {
            group: $group, version: $version, kind: $kind, plural: $plural, namespaced: $namespaced,
            short: &$short, subresources: &$subresources,
        }),*]
    };
}

const KINDS: &[Kind] = kinds! {
    "" "v1" "ConfigMap" "configmaps" true ["cm"] [];
    "" "v1" "Endpoints" "endpoints" true ["ep"] [];
    "" "v1" "Event" "events" true ["ev"] [];
    "" "v1" "Namespace" "namespaces" false ["ns"] [("status", "Namespace")];
    "" "v1" "Node" "nodes" false ["no"] [("status", "Node")];
    "" "v1" "Pod" "pods" true ["po"] [("status", "Pod"), ("eviction", "Eviction"), ("log", "Pod")];
    "" "v1" "Secret" "secrets" true [] [];
    "" "v1" "Service" "services" true ["svc"] [("status", "Service")];
    "" "v1" "ServiceAccount" "serviceaccounts" true ["sa"] [];
    "apps" "v1" "DaemonSet" "daemonsets" true ["ds"] [("status", "DaemonSet")];
    "apps" "v1" "Deployment" "deployments" true ["deploy"] [("status", "Deployment")];
    "apps" "v1" "ReplicaSet" "replicasets" true ["rs"] [("status", "ReplicaSet")];
    "apps" "v1" "StatefulSet" "statefulsets" true ["sts"] [("status", "StatefulSet")];
    "batch" "v1" "Job" "jobs" true [] [("status", "Job")];
    "certificates.k8s.io" "v1" "CertificateSigningRequest" "certificatesigningrequests" false ["csr"] [("status", "CertificateSigningRequest")];
    "coordination.k8s.io" "v1" "Lease" "leases" true [] [];
    "networking.k8s.io" "v1" "NetworkPolicy" "networkpolicies" true ["netpol"] [];
    "policy" "v1" "PodDisruptionBudget" "poddisruptionbudgets" true ["pdb"] [];
    "policy" "v1beta1" "PodDisruptionBudget" "poddisruptionbudgets" true ["pdb"] [];
    "rbac.authorization.k8s.io" "v1" "ClusterRole" "clusterroles" false [] [];
    "rbac.authorization.k8s.io" "v1" "ClusterRoleBinding" "clusterrolebindings" false [] [];
    "rbac.authorization.k8s.io" "v1" "Role" "roles" true [] [];
    "rbac.authorization.k8s.io" "v1" "RoleBinding" "rolebindings" true [] [];
    "scheduling.k8s.io" "v1" "PriorityClass" "priorityclasses" false ["pc"] [];
    "apiextensions.k8s.io" "v1" "CustomResourceDefinition" "customresourcedefinitions" false ["crd"] [];
};

impl Kind {
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_owned()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// `nodes`, `deployments.apps`
    pub fn qualified(&self) -> String {
        if self.group.is_empty() {
            self.plural.to_owned()
        } else {
            format!("{}.{}", self.plural, self.group)
        }
    }
}

/// What a path names.
pub struct Target {
    pub kind: &'static Kind,
    pub namespace: Option<String>,
    pub name: Option<String>,
    pub subresource: Option<String>,
}

impl Target {
    /// The key in the store; of all of a namespace or kind if there is no name.
    pub fn key(&self) -> String {
        let namespace = self.namespace.as_deref().unwrap_or_default();
        let name = self.name.as_deref().unwrap_or_default();
        format!(
            "{}/{}/{namespace}/{name}",
            self.kind.group, self.kind.plural
        )
    }

    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or_default()
    }

    /// The same for an object of this name, which is told where it is.
    pub fn named(&self, name: &str, object: &mut Value) -> Self {
        object["apiVersion"] = json!(self.kind.api_version());
        object["kind"] = json!(self.kind.kind);
        object["metadata"]["name"] = json!(name);
        if let Some(namespace) = &self.namespace {
            object["metadata"]["namespace"] = json!(namespace);
        }
        Self {
            kind: self.kind,
            namespace: self.namespace.clone(),
            name: Some(name.to_owned()),
            subresource: None,
        }
    }
}

/// Takes a path apart.
pub fn target(path: &str) -> Option<Target> {
    let mut words = path.trim_matches('/').split('/');
    let (group, version) = match words.next()? {
        "api" => ("", words.next()?),
        "apis" => (words.next()?, words.next()?),
        _ => return None,
    };
    let rest: Vec<&str> = words.collect();
    let (namespace, rest) = match rest.as_slice() {
        ["namespaces", namespace, plural, rest @ ..]
            if *plural != "status" && *plural != "finalize" =>
        {
            (Some((*namespace).to_owned()), [&[*plural], rest].concat())
        }
        other => (None, other.to_vec()),
    };
    let (plural, rest) = rest.split_first()?;
    let kind = KINDS
        .iter()
        .find(|kind| kind.group == group && kind.version == version && kind.plural == *plural)?;
    Some(Target {
        kind,
        namespace: namespace.filter(|_| kind.namespaced),
        name: rest.first().map(|&name| name.to_owned()),
        subresource: rest.get(1).map(|&name| name.to_owned()),
    })
}

/// Groups and versions, in order and each once.
fn groups() -> Vec<(&'static str, Vec<&'static str>)> {
    let mut groups: Vec<(&str, Vec<&str>)> = Vec::new();
    for kind in KINDS.iter().filter(|kind| !kind.group.is_empty()) {
        match groups.iter_mut().find(|(group, _)| *group == kind.group) {
            Some((_, versions)) if versions.contains(&kind.version) => {}
            Some((_, versions)) => versions.push(kind.version),
            None => groups.push((kind.group, vec![kind.version])),
        }
    }
    groups
}

/// Answers what clients ask before they ask for objects.
pub fn discovery(path: &str) -> Option<Answer> {
    let words: Vec<&str> = path.trim_matches('/').split('/').collect();
    let value = match words.as_slice() {
        ["api"] => {
            json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []})
        }
        ["apis"] => {
            let groups: Vec<Value> = groups()
                .into_iter()
                .map(|(group, versions)| {
                    let versions: Vec<Value> = versions
                        .into_iter()
                        .map(|version| json!({"groupVersion": format!("{group}/{version}"), "version": version}))
                        .collect();
                    json!({"name": group, "preferredVersion": versions[0], "versions": versions})
                })
                .collect();
            json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
        }
        ["api", version] => list("", version)?,
        ["apis", group, version] => list(group, version)?,
        // Nothing is said of fields, so that nothing is checked: that is the real server's work.
        ["openapi", "v2"] => {
            return Some(Answer {
                status: 200,
                kind: "application/com.github.proto-openapi.spec.v2.v1.0+protobuf",
                body: empty_openapi(),
            });
        }
        ["openapi", "v3"] => json!({"paths": {}}),
        _ => return None,
    };
    Some(Answer::json(200, &value))
}

fn list(group: &str, version: &str) -> Option<Value> {
    let mut resources = Vec::new();
    for kind in KINDS
        .iter()
        .filter(|kind| kind.group == group && kind.version == version)
    {
        resources.push(json!({
            "name": kind.plural, "singularName": kind.kind.to_lowercase(), "namespaced": kind.namespaced,
            "kind": kind.kind, "shortNames": kind.short,
            "verbs": ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
        }));
        for (name, subkind) in kind.subresources {
            let mut row = json!({
                "name": format!("{}/{name}", kind.plural), "singularName": "",
                "namespaced": kind.namespaced, "kind": subkind, "verbs": ["create", "get", "patch", "update"],
            });
            if *subkind == "Eviction" {
                row["group"] = json!("policy");
                row["version"] = json!("v1");
            }
            resources.push(row);
        }
    }
    let group_version = if group.is_empty() {
        version.to_owned()
    } else {
        format!("{group}/{version}")
    };
    (!resources.is_empty()).then(|| {
        json!({
            "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version,
            "resources": resources,
        })
    })
}

/// An OpenAPI document with a title and no definitions, as protocol buffers: fields 1 (swagger),
/// 2 (info: 1 title, 2 version), 8 (paths) and 9 (definitions).
fn empty_openapi() -> Vec<u8> {
    let mut bytes = vec![0x0a, 3];
    bytes.extend(b"2.0");
    let (title, version) = (b"Kubernetes", b"v1.36.2");
    let length = 4 + title.len() + version.len();
    bytes.extend([0x12, u8::try_from(length).unwrap()]);
    bytes.extend([0x0a, u8::try_from(title.len()).unwrap()]);
    bytes.extend(title);
    bytes.extend([0x12, u8::try_from(version.len()).unwrap()]);
    bytes.extend(version);
    bytes.extend([0x42, 0, 0x4a, 0]);
    bytes
}
