//! Static pods: each manifest in the folder of a kubelet is a unit of the machine's systemd, so that,
//! as containers do, it lives on while its kubelet is restarted.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::{version, yaml};

/// Where kubeadm puts manifests.
pub const MANIFESTS: &str = "/etc/kubernetes/manifests";

/// The manifests that are there, by name.
pub fn manifests() -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    for file in fs::read_dir(MANIFESTS).into_iter().flatten().flatten() {
        let path = file.path();
        if path.extension().is_none_or(|end| end != "yaml") {
            continue;
        }
        let Some(pod) = yaml::read(&path.to_string_lossy()) else {
            continue;
        };
        if let Some(name) = pod["metadata"]["name"].as_str() {
            found.insert(name.to_owned(), pod.clone());
        }
    }
    found
}

fn systemctl(arguments: &[&str]) -> bool {
    Command::new("systemctl")
        .args(arguments)
        .output()
        .is_ok_and(|output| output.status.success())
}

fn unit(name: &str) -> String {
    format!("pod-{name}.service")
}

pub fn is_running(name: &str) -> bool {
    systemctl(&["is-active", "-q", &unit(name)])
}

/// Another one each time that it is started, as a container has; empty if it does not run.
pub fn id(name: &str) -> String {
    let output = Command::new("systemctl")
        .args(["show", "--property=InvocationID", "--value", &unit(name)])
        .output();
    let text = output.map_or_else(|_| Vec::new(), |output| output.stdout);
    if is_running(name) {
        String::from_utf8_lossy(&text).trim().to_owned()
    } else {
        String::new()
    }
}

/// Ends the process of a pod; what looks after it starts it again.
pub fn end(name: &str) -> bool {
    systemctl(&["kill", "--kill-who=main", "--signal=TERM", &unit(name)])
}

/// Starts what a manifest says; the first word of its command names a double.
pub fn start(name: &str, manifest: &Value) -> bool {
    let _ = systemctl(&["reset-failed", &unit(name)]);
    let command: Vec<&str> = manifest["spec"]["containers"][0]["command"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    Command::new("systemd-run")
        .args(["--quiet", "--collect", "--unit", &unit(name)])
        .args(["--property=Restart=always", "--property=RestartSec=500ms"])
        .args(["--property=StartLimitIntervalSec=0"])
        .arg("/usr/lib/doubles/doubles")
        .args(command)
        .output()
        .is_ok_and(|output| output.status.success())
}

pub fn stop(name: &str) {
    systemctl(&["stop", &unit(name)]);
}

/// Names of the static pods that run.
pub fn running() -> Vec<String> {
    let output = Command::new("systemctl")
        .args([
            "list-units",
            "--plain",
            "--no-legend",
            "--state=active",
            "pod-*.service",
        ])
        .output();
    let text = output.map_or_else(|_| Vec::new(), |output| output.stdout);
    String::from_utf8_lossy(&text)
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .filter_map(|unit| unit.strip_prefix("pod-")?.strip_suffix(".service"))
        .map(str::to_owned)
        .collect()
}

/// What a component of the control plane is started with.
pub struct Component {
    pub name: &'static str,
    pub image: String,
    /// Flags by name, without their dashes.
    pub flags: BTreeMap<String, String>,
    pub annotations: Value,
}

impl Component {
    /// The manifest, as kubeadm writes it but for its probes and volumes.
    pub fn manifest(&self) -> Value {
        let mut command = vec![json!(self.name)];
        let flags = self.flags.iter();
        command.extend(flags.map(|(name, value)| json!(format!("--{name}={value}"))));
        let mut metadata = json!({
            "labels": {"component": self.name, "tier": "control-plane"},
            "name": self.name,
            "namespace": "kube-system",
        });
        if self.annotations.is_object() {
            metadata["annotations"] = self.annotations.clone();
        }
        json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": metadata,
            "spec": {
                "containers": [{
                    "command": command,
                    "image": self.image,
                    "imagePullPolicy": "IfNotPresent",
                    "name": self.name,
                }],
                "hostNetwork": true,
                "priority": 2_000_001_000,
                "priorityClassName": "system-node-critical",
                "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
            },
            "status": {},
        })
    }
}

/// The images of a release, as `kubeadm config images list` prints them.
pub fn images(repository: &str, release: &str) -> Vec<String> {
    let mut images: Vec<String> = [
        "kube-apiserver",
        "kube-controller-manager",
        "kube-scheduler",
        "kube-proxy",
    ]
    .iter()
    .map(|name| format!("{repository}/{name}:{release}"))
    .collect();
    images.push(format!("{repository}/coredns/coredns:v1.14.2"));
    images.push(format!("{repository}/pause:3.10.2"));
    images.push(format!("{repository}/etcd:3.6.8-0"));
    images
}

/// The release that this machine's kubeadm brings.
pub fn release() -> String {
    version("kubeadm")
}
