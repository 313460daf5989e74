//! The administrator's kubeconfig, merged into the operator's own: entries of this cluster are replaced,
//! everything else stays.

use serde_json::{Map, Value, json};
use serde_saphyr::SerializerOptions;
use thiserror::Error;

/// Why it cannot be merged.
#[derive(Debug, Error)]
pub enum KubeconfigError {
    /// The operator's own.
    #[error("the kubeconfig that is there cannot be read: {0}")]
    Own(String),
    /// Entries of another cluster have the names that this one's would get.
    #[error(
        "it has another cluster by the name '{name}' ({server}), which would be lost; write to a file of its own \
         (--output FILE), or take '{name}' away there first (kubectl config delete-cluster {name}, delete-user \
         {name}-admin, delete-context {name})"
    )]
    Foreign {
        /// The cluster's name.
        name: String,
        /// Where the other one is.
        server: String,
    },
    /// The cluster's.
    #[error("the cluster's admin.conf is not as expected: {0}")]
    Admin(String),
}

/// Whether the operator's kubectl speaks to this cluster from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Current {
    /// It does.
    This,
    /// Only if it spoke to none before.
    Kept,
}

/// The operator's kubeconfig with the cluster `name`: a cluster, a user `NAME-admin` and a context, all
/// known by the cluster's name. `own` is what is there now.
///
/// # Errors
///
/// [`KubeconfigError`]
pub fn merge(
    own: Option<&str>,
    admin: &str,
    name: &str,
    current: Current,
) -> Result<String, KubeconfigError> {
    let mut own: Value = match own {
        Some(text) if !text.trim().is_empty() => {
            serde_saphyr::from_str(text).map_err(|cause| KubeconfigError::Own(cause.to_string()))?
        }
        _ => json!({}),
    };
    let admin: Value =
        serde_saphyr::from_str(admin).map_err(|cause| KubeconfigError::Admin(cause.to_string()))?;
    let whole = own
        .as_object_mut()
        .ok_or_else(|| KubeconfigError::Own("it is no mapping".to_owned()))?;
    whole.entry("apiVersion").or_insert_with(|| "v1".into());
    whole.entry("kind").or_insert_with(|| "Config".into());
    let user = format!("{name}-admin");
    let cluster = only(&admin, "clusters", "cluster")?;
    keep_others(whole, name, &user, &cluster)?;
    put(whole, "clusters", "cluster", name, cluster)?;
    put(
        whole,
        "users",
        "user",
        &user,
        only(&admin, "users", "user")?,
    )?;
    put(
        whole,
        "contexts",
        "context",
        name,
        json!({"cluster": name, "user": user}),
    )?;
    let has_current = whole
        .get("current-context")
        .and_then(Value::as_str)
        .is_some_and(|context| !context.is_empty());
    if current == Current::This || !has_current {
        whole.insert("current-context".to_owned(), name.into());
    }
    let mut options = SerializerOptions::default();
    options.prefer_block_scalars = false;
    serde_saphyr::to_string_with_options(&own, options)
        .map_err(|cause| KubeconfigError::Own(cause.to_string()))
}

/// Every cluster that kubeadm makes is called `kubernetes` unless it is told otherwise: an entry of our name
/// is ours if it has this cluster's authority, or if it came with the context that only we write.
fn keep_others(
    whole: &Map<String, Value>,
    name: &str,
    user: &str,
    cluster: &Value,
) -> Result<(), KubeconfigError> {
    let entry = |list: &str, name: &str| {
        let entries = whole.get(list)?.as_array()?;
        entries.iter().find(|entry| entry["name"] == name)
    };
    let there = entry("clusters", name);
    let context = entry("contexts", name).map(|entry| &entry["context"]);
    let is_same = there.is_some_and(|there| {
        let authority = &there["cluster"]["certificate-authority-data"];
        authority.is_string() && *authority == cluster["certificate-authority-data"]
    });
    let is_pair =
        context.is_some_and(|context| context["cluster"] == name && context["user"] == user);
    let is_anything = there.is_some() || entry("users", user).is_some() || context.is_some();
    if !is_anything || is_pair || is_same && context.is_none() {
        return Ok(());
    }
    let server = there
        .and_then(|there| there["cluster"]["server"].as_str())
        .unwrap_or("its server is not said");
    Err(KubeconfigError::Foreign {
        name: name.to_owned(),
        server: server.to_owned(),
    })
}

/// What the one entry of a list holds.
fn only(admin: &Value, list: &str, key: &str) -> Result<Value, KubeconfigError> {
    match admin[list].as_array().map(Vec::as_slice) {
        Some([entry]) if entry[key].is_object() => Ok(entry[key].clone()),
        _ => Err(KubeconfigError::Admin(format!(
            "{list} has to hold one {key}"
        ))),
    }
}

fn put(
    whole: &mut Map<String, Value>,
    list: &str,
    key: &str,
    name: &str,
    value: Value,
) -> Result<(), KubeconfigError> {
    let entries = whole.entry(list).or_insert_with(|| json!([]));
    if entries.is_null() {
        *entries = json!([]);
    }
    let entries = entries
        .as_array_mut()
        .ok_or_else(|| KubeconfigError::Own(format!("{list} is no list")))?;
    match entries.iter_mut().find(|entry| entry["name"] == name) {
        // Beside our key there may be extensions, and a context may have a namespace.
        Some(entry) => {
            let kept = entry[key]["namespace"].take();
            entry[key] = value;
            if !kept.is_null() {
                entry[key]["namespace"] = kept;
            }
        }
        None => entries.push(json!({"name": name, key: value})),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADMIN: &str = "apiVersion: v1\nclusters:\n- cluster:\n    certificate-authority-data: QUFB\n    server: https://10.0.1.10:6443\n  name: kubernetes\ncontexts:\n- context:\n    cluster: kubernetes\n    user: kubernetes-admin\n  name: kubernetes-admin@kubernetes\ncurrent-context: kubernetes-admin@kubernetes\nkind: Config\npreferences: {}\nusers:\n- name: kubernetes-admin\n  user:\n    client-certificate-data: QkJC\n    client-key-data: Q0ND\n";

    fn read(text: &str) -> Value {
        serde_saphyr::from_str(text).unwrap()
    }

    #[test]
    fn a_first_kubeconfig_has_the_cluster_by_its_name() {
        let text = merge(None, ADMIN, "kube", Current::Kept).unwrap();
        let read = read(&text);
        assert_eq!(read["current-context"], "kube");
        assert_eq!(read["clusters"][0]["name"], "kube");
        assert_eq!(
            read["clusters"][0]["cluster"]["server"],
            "https://10.0.1.10:6443"
        );
        assert_eq!(
            read["contexts"][0]["context"],
            json!({"cluster": "kube", "user": "kube-admin"})
        );
        assert_eq!(read["users"][0]["user"]["client-key-data"], "Q0ND");
        assert_eq!(
            merge(Some(&text), ADMIN, "kube", Current::Kept).unwrap(),
            text,
            "again, nothing changes"
        );
    }

    #[test]
    fn nothing_else_is_lost() {
        let own = "apiVersion: v1\nkind: Config\ncurrent-context: work\npreferences: {colors: true}\nextensions:\n- name: x\n  extension: {a: 1}\nclusters:\n- name: work\n  cluster: {server: 'https://work', insecure-skip-tls-verify: true}\n- name: kube\n  cluster: {server: 'https://old'}\ncontexts:\n- name: work\n  context: {cluster: work, user: me, namespace: dev}\n- name: kube\n  context: {cluster: kube, user: kube-admin, namespace: apps}\nusers:\n- name: me\n  user:\n    exec: {apiVersion: client.authentication.k8s.io/v1, command: login, args: ['-f', 'yes', '0123']}\n";
        let before = read(own);
        let after = read(&merge(Some(own), ADMIN, "kube", Current::Kept).unwrap());
        assert_eq!(after["current-context"], "work");
        for key in ["preferences", "extensions"] {
            assert_eq!(after[key], before[key]);
        }
        assert_eq!(after["clusters"][0], before["clusters"][0]);
        assert_eq!(after["users"][0], before["users"][0]);
        assert_eq!(after["contexts"][0], before["contexts"][0]);
        assert_eq!(
            after["clusters"][1]["cluster"]["server"],
            "https://10.0.1.10:6443"
        );
        assert_eq!(after["contexts"][1]["context"]["namespace"], "apps");
        assert_eq!(after["users"][1]["name"], "kube-admin");
        let current = merge(Some(own), ADMIN, "kube", Current::This).unwrap();
        assert_eq!(read(&current)["current-context"], "kube");
    }

    /// kubeadm calls each cluster `kubernetes`, and so do we unless we are told otherwise.
    #[test]
    fn another_cluster_of_the_same_name_stays() {
        let other = ADMIN
            .replace("10.0.1.10", "192.168.7.1")
            .replace("QUFB", "REREREQ=");
        let error = merge(Some(&other), ADMIN, "kubernetes", Current::This).unwrap_err();
        assert!(
            error.to_string().starts_with("it has another cluster by the name 'kubernetes' (https://192.168.7.1:6443), which would be lost; write to a file of its own (--output FILE)"),
            "{error}"
        );
        // The admin.conf of this very cluster, copied by hand: nothing of another is lost.
        let merged = merge(Some(ADMIN), ADMIN, "kubernetes", Current::This).unwrap();
        assert_eq!(read(&merged)["contexts"].as_array().unwrap().len(), 2);
        // Made anew, with another authority, after a reset.
        let ours = merge(None, &other, "kube", Current::This).unwrap();
        let anew = merge(Some(&ours), ADMIN, "kube", Current::This).unwrap();
        assert_eq!(
            read(&anew)["clusters"][0]["cluster"]["certificate-authority-data"],
            "QUFB"
        );
        // A context or a user of that name is somebody's, too.
        for own in [
            "contexts:\n- name: kube\n  context: {cluster: work, user: me}\n",
            "users:\n- name: kube-admin\n  user: {token: abc}\n",
        ] {
            let error = merge(Some(own), ADMIN, "kube", Current::Kept).unwrap_err();
            assert!(matches!(error, KubeconfigError::Foreign { .. }), "{error}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_not_written_over() {
        let merged = |own: &str, admin: &str| merge(Some(own), admin, "kube", Current::Kept);
        assert!(matches!(
            merged("- a\n", ADMIN),
            Err(KubeconfigError::Own(_))
        ));
        assert!(matches!(
            merged("a: [\n", ADMIN),
            Err(KubeconfigError::Own(_))
        ));
        assert!(matches!(
            merged("clusters: 5\n", ADMIN),
            Err(KubeconfigError::Own(_))
        ));
        assert!(matches!(
            merged("", "clusters: []\n"),
            Err(KubeconfigError::Admin(_))
        ));
    }
}
