//! The controllers without which nothing would happen after an object is written: certificates for
//! kubelets, pods of daemon sets and deployments, nodes that have fallen silent, expired tokens, and
//! the signatures of the cluster's address.

use std::net::TcpListener;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::pki::Authority;
use crate::store::{State, Store};
use crate::{faults, pki};

/// How often they look.
const PERIOD: Duration = Duration::from_millis(150);
/// How long a node may be silent, in seconds.
const SILENCE: i64 = 15;

/// `kube-controller-manager`.
pub fn run(arguments: &[String], port: u16) -> ExitCode {
    let authority = arguments
        .iter()
        .find_map(|argument| argument.strip_prefix("--cluster-signing-cert-file="))
        .unwrap_or("/etc/kubernetes/pki/ca.crt")
        .trim_end_matches(".crt")
        .to_owned();
    let Ok(authority) = Authority::load(&authority) else {
        eprintln!("kube-controller-manager: no {authority}.crt and .key");
        return ExitCode::FAILURE;
    };
    let Ok(store) = Store::of_authority("/etc/kubernetes/pki/etcd/ca.crt") else {
        return ExitCode::FAILURE;
    };
    let _listener = TcpListener::bind(("127.0.0.1", port));
    loop {
        let now = faults::now();
        let due = store.read().is_ok_and(|state| needs_work(&state, now));
        if due {
            let _ = store.write(|state| work(state, &authority, now));
        }
        thread::sleep(PERIOD);
    }
}

/// `kube-scheduler`: only its port; pods are placed as they are made.
pub fn run_scheduler(_: &[String], port: u16) -> ExitCode {
    let _listener = TcpListener::bind(("127.0.0.1", port));
    loop {
        thread::sleep(Duration::from_secs(3600));
    }
}

/// Whether the pass below would change anything: looked at without the lock that writers take.
fn needs_work(state: &State, now: Timestamp) -> bool {
    let mut trial = State {
        revision: state.revision,
        objects: state.objects.clone(),
        ..State::default()
    };
    certificates(&mut trial, None);
    pass(&mut trial, now);
    trial.revision != state.revision
}

fn work(state: &mut State, authority: &Authority, now: Timestamp) {
    certificates(state, Some(authority));
    pass(state, now);
}

fn pass(state: &mut State, now: Timestamp) {
    expire(state, now);
    sign(state);
    silence(state, now);
    taints(state);
    daemon_sets(state);
    deployments(state);
    orphans(state);
    jobs(state);
}

/// Objects whose keys begin so, cloned.
fn all(state: &State, prefix: &str) -> Vec<(String, Value)> {
    state
        .of(prefix)
        .map(|(key, object)| (key.clone(), object.clone()))
        .collect()
}

fn certificates(state: &mut State, authority: Option<&Authority>) {
    for (key, mut request) in all(state, "certificates.k8s.io/certificatesigningrequests/") {
        if request["status"]["certificate"].is_string() {
            continue;
        }
        let text = request["spec"]["request"].as_str().unwrap_or_default();
        let text = String::from_utf8(STANDARD.decode(text).unwrap_or_default());
        let signed = match authority {
            Some(authority) => match authority.sign(&text.unwrap_or_default()) {
                Ok(certificate) => certificate,
                Err(_) => continue,
            },
            None => String::new(),
        };
        request["status"] = json!({
            "certificate": STANDARD.encode(signed),
            "conditions": [{"type": "Approved", "status": "True", "reason": "AutoApproved"}],
        });
        state.put(&key, request);
    }
}

fn secret_field(secret: &Value, name: &str) -> String {
    let text = secret["data"][name].as_str().unwrap_or_default();
    String::from_utf8(STANDARD.decode(text).unwrap_or_default()).unwrap_or_default()
}

const TOKENS: &str = "/secrets/kube-system/bootstrap-token-";

/// Tokens whose time has come go, and what they own with them.
fn expire(state: &mut State, now: Timestamp) {
    for (key, token) in all(state, TOKENS) {
        let when = secret_field(&token, "expiration").parse::<Timestamp>();
        if when.is_ok_and(|when| when <= now) {
            state.remove(&key);
            for (key, object) in all(state, "/secrets/") {
                let owner = &object["metadata"]["ownerReferences"][0]["name"];
                if *owner == token["metadata"]["name"] {
                    state.remove(&key);
                }
            }
        }
    }
}

/// Signs the cluster's address with each token that is for signing.
fn sign(state: &mut State) {
    let key = "/configmaps/kube-public/cluster-info";
    let Some(mut map) = state.objects.get(key).cloned() else {
        return;
    };
    let content = map["data"]["kubeconfig"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let mut data = json!({"kubeconfig": content});
    for (_, token) in all(state, TOKENS) {
        if secret_field(&token, "usage-bootstrap-signing") == "true" {
            let id = secret_field(&token, "token-id");
            let secret = secret_field(&token, "token-secret");
            data[format!("jws-kubeconfig-{id}")] = json!(pki::signature(&content, &id, &secret));
        }
    }
    if map["data"] != data {
        map["data"] = data;
        state.put(key, map);
    }
}

fn nodes(state: &State) -> Vec<(String, Value)> {
    all(state, "/nodes//")
}

/// The Ready condition of a node.
fn ready(node: &Value) -> Option<&Value> {
    node["status"]["conditions"]
        .as_array()?
        .iter()
        .find(|condition| condition["type"] == "Ready")
}

/// Nodes that have not been heard of are of unknown state.
fn silence(state: &mut State, now: Timestamp) {
    for (key, mut node) in nodes(state) {
        let Some(condition) = ready(&node) else {
            continue;
        };
        let heard = condition["lastHeartbeatTime"].as_str().unwrap_or_default();
        let is_silent = heard
            .parse::<Timestamp>()
            .is_ok_and(|heard| now.as_second() - heard.as_second() > SILENCE);
        if !is_silent || condition["status"] == "Unknown" {
            continue;
        }
        for condition in node["status"]["conditions"]
            .as_array_mut()
            .into_iter()
            .flatten()
        {
            condition["status"] = json!("Unknown");
            condition["reason"] = json!("NodeStatusUnknown");
            condition["message"] = json!("Kubelet stopped posting node status.");
            condition["lastTransitionTime"] = json!(now.to_string());
        }
        state.put(&key, node);
    }
}

/// `not-ready` is a taint for as long as it is true.
fn taints(state: &mut State) {
    const KEY: &str = "node.kubernetes.io/not-ready";
    for (key, mut node) in nodes(state) {
        let is_ready = ready(&node).is_some_and(|condition| condition["status"] == "True");
        let taints = node["spec"]["taints"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let is_tainted = taints.iter().any(|taint| taint["key"] == KEY);
        if is_ready != is_tainted {
            continue;
        }
        let mut taints: Vec<Value> = taints
            .into_iter()
            .filter(|taint| taint["key"] != KEY)
            .collect();
        if !is_ready {
            taints.push(json!({"key": KEY, "effect": "NoSchedule"}));
        }
        node["spec"]["taints"] = json!(taints);
        state.put(&key, node);
    }
}

/// A pod as its owner's template says.
fn pod(owner: &Value, kind: &str, name: &str, node: &str) -> Value {
    let template = &owner["spec"]["template"];
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": name, "namespace": owner["metadata"]["namespace"],
            "labels": template["metadata"]["labels"],
            "ownerReferences": [{
                "apiVersion": "apps/v1", "kind": kind, "controller": true,
                "name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"],
            }],
        },
        "spec": template["spec"],
        "status": {"phase": "Pending"},
    });
    pod["spec"]["nodeName"] = json!(node);
    pod
}

fn pods_of(state: &State, owner: &Value, kind: &str) -> Vec<(String, Value)> {
    let namespace = owner["metadata"]["namespace"].as_str().unwrap_or_default();
    all(state, &format!("/pods/{namespace}/"))
        .into_iter()
        .filter(|(_, pod)| {
            let reference = &pod["metadata"]["ownerReferences"][0];
            reference["kind"] == kind && reference["name"] == owner["metadata"]["name"]
        })
        .collect()
}

fn is_pod_ready(pod: &Value) -> bool {
    pod["status"]["conditions"]
        .as_array()
        .into_iter()
        .flatten()
        .any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

/// A pod name with an end of its own.
fn fresh(owner: &str, key: &str) -> String {
    // The same for the same node, so that a pass can be tried before it is made.
    let sum = key.bytes().fold(2_166_136_261_u32, |sum, byte| {
        (sum ^ u32::from(byte)).wrapping_mul(16_777_619)
    });
    format!("{owner}-{:05x}", sum & 0xf_ffff)
}

fn daemon_sets(state: &mut State) {
    for (key, mut set) in all(state, "apps/daemonsets/") {
        let name = set["metadata"]["name"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let namespace = set["metadata"]["namespace"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let mut pods = pods_of(state, &set, "DaemonSet");
        for (_, node) in nodes(state) {
            let node = node["metadata"]["name"].as_str().unwrap_or_default();
            if pods.iter().any(|(_, pod)| pod["spec"]["nodeName"] == node) {
                continue;
            }
            let pod_name = fresh(&name, &format!("{name}/{node}"));
            let key = format!("/pods/{namespace}/{pod_name}");
            let made = state.put(&key, pod(&set, "DaemonSet", &pod_name, node));
            pods.push((key, made));
        }
        let ready = pods.iter().filter(|(_, pod)| is_pod_ready(pod)).count();
        let status = json!({
            "currentNumberScheduled": pods.len(), "desiredNumberScheduled": pods.len(),
            "numberAvailable": ready, "numberReady": ready, "numberMisscheduled": 0,
            "numberUnavailable": pods.len() - ready,
            "updatedNumberScheduled": pods.len(), "observedGeneration": set["metadata"]["generation"],
        });
        if set["status"] != status {
            set["status"] = status;
            state.put(&key, set);
        }
    }
}

fn tolerates(owner: &Value, node: &Value) -> bool {
    let tolerations = owner["spec"]["template"]["spec"]["tolerations"].as_array();
    node["spec"]["taints"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|taint| taint["effect"] != "PreferNoSchedule")
        .all(|taint| {
            tolerations.into_iter().flatten().any(|toleration| {
                toleration["key"] == taint["key"]
                    || (toleration["key"].is_null() && toleration["operator"] == "Exists")
            })
        })
}

fn deployments(state: &mut State) {
    for (key, mut deployment) in all(state, "apps/deployments/") {
        let name = deployment["metadata"]["name"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let namespace = deployment["metadata"]["namespace"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let wanted = deployment["spec"]["replicas"].as_u64().unwrap_or(1);
        let mut pods = pods_of(state, &deployment, "Deployment");
        let fit: Vec<String> = nodes(state)
            .into_iter()
            .filter(|(_, node)| {
                node["spec"]["unschedulable"] != true && tolerates(&deployment, node)
            })
            .filter_map(|(_, node)| node["metadata"]["name"].as_str().map(str::to_owned))
            .collect();
        for index in 0..wanted {
            if pods.len() as u64 >= wanted {
                break;
            }
            let node = fit.get(index as usize % fit.len().max(1));
            let pod_name = fresh(
                &name,
                &format!("{name}/{index}/{}", node.map_or("", String::as_str)),
            );
            let pod_key = format!("/pods/{namespace}/{pod_name}");
            if state.objects.contains_key(&pod_key) {
                continue;
            }
            let mut made = pod(
                &deployment,
                "Deployment",
                &pod_name,
                node.map_or("", String::as_str),
            );
            if node.is_none() {
                made["spec"].as_object_mut().unwrap().remove("nodeName");
            }
            let made = state.put(&pod_key, made);
            pods.push((pod_key, made));
        }
        // Those that had no node get one.
        for (index, (pod_key, pod)) in pods.iter_mut().enumerate() {
            if pod["spec"]["nodeName"].is_null()
                && let Some(node) = fit.get(index % fit.len().max(1))
            {
                pod["spec"]["nodeName"] = json!(node);
                *pod = state.put(pod_key, pod.clone());
            }
        }
        let ready = pods.iter().filter(|(_, pod)| is_pod_ready(pod)).count();
        let is_available = ready as u64 >= wanted;
        let status = json!({
            "replicas": pods.len(), "updatedReplicas": pods.len(), "readyReplicas": ready,
            "availableReplicas": ready, "unavailableReplicas": pods.len() - ready,
            "observedGeneration": deployment["metadata"]["generation"],
            "conditions": [{
                "type": "Available", "status": if is_available { "True" } else { "False" },
                "reason": if is_available { "MinimumReplicasAvailable" } else { "MinimumReplicasUnavailable" },
            }],
        });
        if deployment["status"] != status {
            deployment["status"] = status;
            state.put(&key, deployment);
        }
    }
}

/// Pods of nodes that are no more.
fn orphans(state: &mut State) {
    let known: Vec<Value> = nodes(state)
        .into_iter()
        .map(|(_, node)| node["metadata"]["name"].clone())
        .collect();
    for (key, pod) in all(state, "/pods/") {
        let node = &pod["spec"]["nodeName"];
        if node.is_string() && !known.contains(node) {
            state.remove(&key);
        }
    }
}

/// Jobs are done at once.
fn jobs(state: &mut State) {
    for (key, mut job) in all(state, "batch/jobs/") {
        if job["status"]["succeeded"] != 1 {
            job["status"] = json!({
                "succeeded": 1, "conditions": [{"type": "Complete", "status": "True"}],
            });
            state.put(&key, job);
        }
    }
}
