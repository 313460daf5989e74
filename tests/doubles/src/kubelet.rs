//! The node agent: starts static pods, gets its certificate, keeps its node's status, and says of the
//! pods that it was given that they run.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::http::Client;
use crate::{containerd, faults, kubeconfig, pki, pods, version, yaml};

/// How often it looks: the real one is slower, and a test should not wait for it.
const PERIOD: Duration = Duration::from_millis(400);
/// How often an unchanged status is posted.
const HEARTBEAT: Duration = Duration::from_secs(5);

pub fn run(arguments: &[String]) -> ExitCode {
    if arguments.first().is_some_and(|word| word == "--version") {
        println!("Kubernetes {}", version("kubelet"));
        return ExitCode::SUCCESS;
    }
    let config = "/var/lib/kubelet/config.yaml";
    let Some(config) = yaml::read(config) else {
        eprintln!(
            "E{} \"command failed\" err=\"failed to load kubelet config file, path: {config}, error: failed to load \
             Kubelet config file {config}, error failed to read kubelet config file \\\"{config}\\\", error: open \
             {config}: no such file or directory\"",
            faults::now().strftime("%m%d %H:%M:%S.000000")
        );
        return ExitCode::FAILURE;
    };
    let is_unified = Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    if !is_unified && config["failCgroupV1"] != json!(false) {
        eprintln!(
            "\"command failed\" err=\"failed to run Kubelet: kubelet is configured to not run on a host using cgroup v1. \
             cgroup v1 support is deprecated and will be removed in a future release\""
        );
        return ExitCode::FAILURE;
    }
    let node_ip = arguments
        .iter()
        .find_map(|argument| argument.strip_prefix("--node-ip="))
        .map(str::to_owned);
    let name = arguments
        .iter()
        .find_map(|argument| argument.strip_prefix("--hostname-override="))
        .map_or_else(hostname, str::to_owned);
    serve(&name);
    Agent {
        name,
        node_ip: node_ip.unwrap_or_else(address),
        posted: None,
        started: BTreeMap::new(),
        complaint: String::new(),
    }
    .work()
}

pub fn hostname() -> String {
    fs::read_to_string("/proc/sys/kernel/hostname")
        .unwrap_or_default()
        .trim()
        .to_lowercase()
}

/// The address that a packet to elsewhere would have.
pub fn address() -> String {
    std::net::UdpSocket::bind("0.0.0.0:0")
        .and_then(|socket| {
            socket.connect("10.255.255.255:9")?;
            socket.local_addr()
        })
        .map_or_else(
            |_| "127.0.0.1".to_owned(),
            |address| address.ip().to_string(),
        )
}

/// Its ports: health for kubeadm, and the one that the API server would call.
fn serve(name: &str) {
    for address in ["127.0.0.1:10248", "0.0.0.0:10250"] {
        let Ok(listener) = TcpListener::bind(address) else {
            eprintln!("kubelet {name}: {address} is taken");
            continue;
        };
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                thread::spawn(move || {
                    let mut stream = stream;
                    let _ = stream.set_read_timeout(Some(Duration::from_secs(1)));
                    let _ = stream.read(&mut [0; 4096]);
                    let _ = stream.write_all(
                        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
                    );
                });
            }
        });
    }
}

struct Agent {
    name: String,
    node_ip: String,
    /// The status that the API has, and since when.
    posted: Option<(bool, Instant)>,
    /// What was started, by name: the manifest.
    started: BTreeMap<String, Value>,
    /// What was last wrong, so that it is said once.
    complaint: String,
}

impl Agent {
    fn work(mut self) -> ExitCode {
        for name in pods::running() {
            if let Some(manifest) = pods::manifests().remove(&name) {
                self.started.insert(name, manifest);
            }
        }
        loop {
            self.static_pods();
            if faults::on("kubelet-sick").is_none() {
                self.bootstrap();
                match self.report() {
                    Ok(()) => self.complaint.clear(),
                    Err(why) => {
                        if why != self.complaint {
                            eprintln!("kubelet: {why}");
                        }
                        self.complaint = why;
                        self.posted = None;
                    }
                }
            }
            thread::sleep(PERIOD);
        }
    }

    fn static_pods(&mut self) {
        let manifests = pods::manifests();
        let gone: Vec<String> = self
            .started
            .iter()
            .filter(|(name, manifest)| manifests.get(*name) != Some(manifest))
            .map(|(name, _)| name.clone())
            .collect();
        for name in gone {
            pods::stop(&name);
            self.started.remove(&name);
        }
        for (name, manifest) in manifests {
            if !self.started.contains_key(&name) && pods::start(&name, &manifest) {
                self.started.insert(name, manifest);
            }
        }
    }

    /// Gets a certificate with the token of `bootstrap-kubelet.conf`.
    fn bootstrap(&self) {
        const KUBECONFIG: &str = "/etc/kubernetes/kubelet.conf";
        const BOOTSTRAP: &str = "/etc/kubernetes/bootstrap-kubelet.conf";
        if Path::new(KUBECONFIG).exists() {
            return;
        }
        let Some(client) = kubeconfig::client(BOOTSTRAP) else {
            return;
        };
        let (request, key) = pki::request(&format!("system:node:{}", self.name), "system:nodes");
        let name = format!("csr-{:05x}", fastrand::u32(..0x000f_ffff));
        let folder = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
        let asked = client.post(
            folder,
            &json!({
                "apiVersion": "certificates.k8s.io/v1",
                "kind": "CertificateSigningRequest",
                "metadata": {"name": name},
                "spec": {
                    "request": STANDARD.encode(request),
                    "signerName": "kubernetes.io/kube-apiserver-client-kubelet",
                    "usages": ["digital signature", "client auth"],
                },
            }),
        );
        let signed = asked.and_then(crate::http::Response::object).and_then(|_| {
            let deadline = Instant::now() + Duration::from_secs(5);
            while Instant::now() < deadline {
                let object = client.get(&format!("{folder}/{name}"))?.object()?;
                if let Some(text) = object["status"]["certificate"].as_str() {
                    return Ok(text.to_owned());
                }
                thread::sleep(Duration::from_millis(100));
            }
            Err("the certificate was not issued in time".to_owned())
        });
        let certificate = match signed {
            Ok(text) => {
                String::from_utf8(STANDARD.decode(text).unwrap_or_default()).unwrap_or_default()
            }
            Err(why) => {
                eprintln!("kubelet: bootstrap: {why}");
                return;
            }
        };
        let current = "/var/lib/kubelet/pki/kubelet-client-current.pem";
        let saved = pki::write_private(current, &format!("{certificate}{key}")).and_then(|()| {
            kubeconfig::save(
                KUBECONFIG,
                &kubeconfig::kubeconfig(
                    &format!("https://{}", client.endpoint),
                    client.authority.as_deref().unwrap_or_default(),
                    &format!("system:node:{}", self.name),
                    &json!({"client-certificate": current, "client-key": current}),
                ),
            )
        });
        if let Err(error) = saved {
            eprintln!("kubelet: {error}");
        }
    }

    /// Posts the node and the pods on it.
    fn report(&mut self) -> Result<(), String> {
        let Some(client) = kubeconfig::client("/etc/kubernetes/kubelet.conf") else {
            return Ok(());
        };
        let is_ready = containerd::has_cni()
            && containerd::unreachable("unix:///run/containerd/containerd.sock").is_none();
        let is_due = self
            .posted
            .is_none_or(|(was_ready, when)| was_ready != is_ready || when.elapsed() > HEARTBEAT);
        if is_due {
            self.post_node(&client, is_ready)?;
            self.mirror_pods(&client)?;
            self.posted = Some((is_ready, Instant::now()));
        }
        self.run_pods(&client)
    }

    fn post_node(&self, client: &Client, is_ready: bool) -> Result<(), String> {
        let path = format!("/api/v1/nodes/{}", self.name);
        let now = faults::now().to_string();
        let condition = |kind: &str, holds: bool, reason: &str, message: &str| {
            json!({
                "type": kind,
                "status": if holds { "True" } else { "False" },
                "reason": reason,
                "message": message,
                "lastHeartbeatTime": now,
                "lastTransitionTime": now,
            })
        };
        let ready = if is_ready {
            condition(
                "Ready",
                true,
                "KubeletReady",
                "kubelet is posting ready status",
            )
        } else {
            condition(
                "Ready",
                false,
                "KubeletNotReady",
                "container runtime network not ready: NetworkReady=false \
                 reason:NetworkPluginNotReady message:Network plugin returns error: cni plugin not initialized",
            )
        };
        let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
        let system = release
            .lines()
            .find_map(|line| line.strip_prefix("PRETTY_NAME="))
            .unwrap_or("Linux")
            .trim_matches('"')
            .to_owned();
        let read = |path: &str| {
            fs::read_to_string(path)
                .unwrap_or_default()
                .trim()
                .to_owned()
        };
        let status = json!({
            "addresses": [
                {"type": "InternalIP", "address": self.node_ip},
                {"type": "Hostname", "address": self.name},
            ],
            "capacity": {"cpu": "2", "memory": "2048000Ki", "pods": "110"},
            "allocatable": {"cpu": "2", "memory": "1945600Ki", "pods": "110"},
            "conditions": [
                condition("MemoryPressure", false, "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
                condition("DiskPressure", false, "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
                condition("PIDPressure", false, "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
                ready,
            ],
            "nodeInfo": {
                "architecture": "amd64",
                "bootID": read("/proc/sys/kernel/random/boot_id"),
                "containerRuntimeVersion": format!("containerd://{}", version("containerd").trim_start_matches('v')),
                "kernelVersion": read("/proc/sys/kernel/osrelease"),
                "kubeProxyVersion": "",
                "kubeletVersion": version("kubelet"),
                "machineID": read("/etc/machine-id"),
                "operatingSystem": "linux",
                "osImage": system,
                "systemUUID": read("/etc/machine-id"),
            },
        });
        let found = client.get(&path)?;
        if found.status == 404 {
            let node = json!({
                "apiVersion": "v1",
                "kind": "Node",
                "metadata": {
                    "name": self.name,
                    "labels": {
                        "beta.kubernetes.io/arch": "amd64",
                        "beta.kubernetes.io/os": "linux",
                        "kubernetes.io/arch": "amd64",
                        "kubernetes.io/hostname": self.name,
                        "kubernetes.io/os": "linux",
                    },
                    "annotations": {"volumes.kubernetes.io/controller-managed-attach-detach": "true"},
                },
                "spec": {"taints": [{"effect": "NoSchedule", "key": "node.kubernetes.io/not-ready"}]},
                "status": status,
            });
            client.post("/api/v1/nodes", &node)?.object()?;
            return Ok(());
        }
        let mut node = found.object()?;
        let kept = node["status"]["conditions"].take();
        node["status"] = status;
        // A condition that has not changed keeps the time of its last change.
        for condition in node["status"]["conditions"]
            .as_array_mut()
            .into_iter()
            .flatten()
        {
            let before = kept.as_array().into_iter().flatten().find(|old| {
                old["type"] == condition["type"] && old["status"] == condition["status"]
            });
            if let Some(before) = before {
                condition["lastTransitionTime"] = before["lastTransitionTime"].clone();
            }
        }
        client.put(&format!("{path}/status"), &node)?.object()?;
        Ok(())
    }

    /// Shows static pods to the API.
    fn mirror_pods(&self, client: &Client) -> Result<(), String> {
        let folder = "/api/v1/namespaces/kube-system/pods";
        for (name, manifest) in &self.started {
            let mut pod = manifest.clone();
            let mirror = format!("{name}-{}", self.name);
            pod["metadata"]["name"] = json!(mirror);
            pod["metadata"]["annotations"]["kubernetes.io/config.source"] = json!("file");
            pod["metadata"]["annotations"]["kubernetes.io/config.mirror"] = json!("double");
            pod["metadata"]["ownerReferences"] = json!([{"apiVersion": "v1", "kind": "Node", "name": self.name, "controller": true}]);
            pod["spec"]["nodeName"] = json!(self.name);
            pod["status"] = self.pod_status(&pod, pods::is_running(name));
            client.put_or_post(folder, &pod)?;
        }
        // Mirrors of what has gone.
        let selector = format!("fieldSelector=spec.nodeName%3D{}", self.name);
        let list = client.get(&format!("{folder}?{selector}"))?.object()?;
        for pod in list["items"].as_array().into_iter().flatten() {
            let name = pod["metadata"]["name"].as_str().unwrap_or_default();
            let source = &pod["metadata"]["annotations"]["kubernetes.io/config.source"];
            let plain = name
                .strip_suffix(&format!("-{}", self.name))
                .unwrap_or(name);
            if source == "file" && !self.started.contains_key(plain) {
                client.delete(&format!("{folder}/{name}"))?;
            }
        }
        Ok(())
    }

    /// Says of pods that it was given that they run; a network plugin's pod sets the network up.
    fn run_pods(&self, client: &Client) -> Result<(), String> {
        let selector = format!("fieldSelector=spec.nodeName%3D{}", self.name);
        let list = client.get(&format!("/api/v1/pods?{selector}"))?.object()?;
        for pod in list["items"].as_array().into_iter().flatten() {
            // What a pod does for its node, this process does: also one that was restarted since the pod began.
            if pod["metadata"]["labels"]["k8s-app"] == "kube-proxy" {
                crate::dns::serve();
            }
            if pod["status"]["phase"] != "Pending" && pod["status"]["phase"] != Value::Null {
                continue;
            }
            let (name, namespace) = (
                pod["metadata"]["name"].as_str().unwrap_or_default(),
                pod["metadata"]["namespace"].as_str().unwrap_or_default(),
            );
            let mounts_cni =
                pod["spec"]["volumes"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .any(|volume| {
                        volume["hostPath"]["path"]
                            .as_str()
                            .is_some_and(|path| path.starts_with("/etc/cni/net.d"))
                    });
            if mounts_cni {
                let config = "{\"cniVersion\":\"0.3.1\",\"name\":\"cbr0\",\"plugins\":[{\"type\":\"loopback\"}]}\n";
                pki::write("/etc/cni/net.d/10-double.conflist", config, 0o644)
                    .map_err(|error| error.to_string())?;
            }
            let mut pod = pod.clone();
            pod["status"] = self.pod_status(&pod, true);
            let path = format!("/api/v1/namespaces/{namespace}/pods/{name}/status");
            client.put(&path, &pod)?.object()?;
        }
        Ok(())
    }

    fn pod_status(&self, pod: &Value, is_running: bool) -> Value {
        let now = faults::now().to_string();
        let containers: Vec<Value> = pod["spec"]["containers"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|container| {
                json!({
                    "name": container["name"],
                    "image": container["image"],
                    "ready": is_running,
                    "started": is_running,
                    "restartCount": 0,
                    "state": if is_running { json!({"running": {"startedAt": now}}) }
                        else { json!({"waiting": {"reason": "CrashLoopBackOff"}}) },
                })
            })
            .collect();
        let status = if is_running { "True" } else { "False" };
        json!({
            "phase": "Running",
            "hostIP": self.node_ip,
            "podIP": self.node_ip,
            "startTime": now,
            "conditions": [
                {"type": "Initialized", "status": "True"},
                {"type": "Ready", "status": status},
                {"type": "ContainersReady", "status": status},
                {"type": "PodScheduled", "status": "True"},
            ],
            "containerStatuses": containers,
        })
    }
}
