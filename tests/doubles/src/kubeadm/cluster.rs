//! What init, join and upgrade have in common: manifests, kubelet's files, waiting for health.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{IpAddr, TcpStream};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::certs::{PKI, disk};
use super::config::{Registration, arguments, spell};
use super::{Failure, warn};
use crate::http::Client;
use crate::pods::{Component, MANIFESTS};
use crate::{pki, yaml};

/// A master that is set up.
pub struct Plane<'a> {
    pub name: &'a str,
    pub address: IpAddr,
    pub port: u16,
    pub cluster: &'a Value,
}

impl Plane<'_> {
    fn component(
        &self,
        name: &'static str,
        image: &str,
        flags: &[(&str, String)],
        extra: &Value,
    ) -> Component {
        let repository = self.cluster["imageRepository"]
            .as_str()
            .unwrap_or("registry.k8s.io");
        let mut flags: BTreeMap<String, String> = flags
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect();
        flags.extend(arguments(&extra["extraArgs"]));
        Component {
            name,
            image: format!("{repository}/{image}"),
            flags,
            annotations: match name {
                "etcd" => {
                    json!({"kubeadm.kubernetes.io/etcd.advertise-client-urls": format!("https://{}:2379", self.address)})
                }
                "kube-apiserver" => {
                    json!({"kubeadm.kubernetes.io/kube-apiserver.advertise-address.endpoint": format!("{}:{}", self.address, self.port)})
                }
                _ => Value::Null,
            },
        }
    }

    pub fn manifest(&self, name: &str) -> Value {
        let release = self.cluster["kubernetesVersion"]
            .as_str()
            .unwrap_or("v1.36.2");
        let services = self.cluster["networking"]["serviceSubnet"]
            .as_str()
            .unwrap_or("10.96.0.0/12");
        let pods = self.cluster["networking"]["podSubnet"]
            .as_str()
            .unwrap_or_default();
        let pki = |file: &str| format!("{PKI}/{file}");
        let conf = |file: &str| format!("/etc/kubernetes/{file}.conf");
        let component = match name {
            "etcd" => self.etcd_component(false),
            "kube-apiserver" => self.component(
                "kube-apiserver",
                &format!("kube-apiserver:{release}"),
                &[
                    ("advertise-address", self.address.to_string()),
                    ("allow-privileged", "true".to_owned()),
                    ("authorization-mode", "Node,RBAC".to_owned()),
                    ("client-ca-file", pki("ca.crt")),
                    ("enable-admission-plugins", "NodeRestriction".to_owned()),
                    ("enable-bootstrap-token-auth", "true".to_owned()),
                    ("etcd-cafile", pki("etcd/ca.crt")),
                    ("etcd-certfile", pki("apiserver-etcd-client.crt")),
                    ("etcd-keyfile", pki("apiserver-etcd-client.key")),
                    ("etcd-servers", "https://127.0.0.1:2379".to_owned()),
                    (
                        "kubelet-client-certificate",
                        pki("apiserver-kubelet-client.crt"),
                    ),
                    ("kubelet-client-key", pki("apiserver-kubelet-client.key")),
                    ("secure-port", self.port.to_string()),
                    (
                        "service-account-issuer",
                        "https://kubernetes.default.svc.cluster.local".to_owned(),
                    ),
                    ("service-account-key-file", pki("sa.pub")),
                    ("service-account-signing-key-file", pki("sa.key")),
                    ("service-cluster-ip-range", services.to_owned()),
                    ("tls-cert-file", pki("apiserver.crt")),
                    ("tls-private-key-file", pki("apiserver.key")),
                ],
                &self.cluster["apiServer"],
            ),
            "kube-controller-manager" => self.component(
                "kube-controller-manager",
                &format!("kube-controller-manager:{release}"),
                &[
                    ("allocate-node-cidrs", "true".to_owned()),
                    ("bind-address", "127.0.0.1".to_owned()),
                    ("client-ca-file", pki("ca.crt")),
                    ("cluster-cidr", pods.to_owned()),
                    ("cluster-name", "kubernetes".to_owned()),
                    ("cluster-signing-cert-file", pki("ca.crt")),
                    ("cluster-signing-key-file", pki("ca.key")),
                    ("controllers", "*,bootstrapsigner,tokencleaner".to_owned()),
                    ("kubeconfig", conf("controller-manager")),
                    ("leader-elect", "true".to_owned()),
                    ("root-ca-file", pki("ca.crt")),
                    ("service-account-private-key-file", pki("sa.key")),
                    ("service-cluster-ip-range", services.to_owned()),
                    ("use-service-account-credentials", "true".to_owned()),
                ],
                &self.cluster["controllerManager"],
            ),
            _ => self.component(
                "kube-scheduler",
                &format!("kube-scheduler:{release}"),
                &[
                    ("bind-address", "127.0.0.1".to_owned()),
                    ("kubeconfig", conf("scheduler")),
                    ("leader-elect", "true".to_owned()),
                ],
                &self.cluster["scheduler"],
            ),
        };
        component.manifest()
    }

    fn etcd_component(&self, joins: bool) -> Component {
        let client = format!("https://{}:2379", self.address);
        let peer = format!("https://{}:2380", self.address);
        let data = self.cluster["etcd"]["local"]["dataDir"]
            .as_str()
            .unwrap_or("/var/lib/etcd");
        let mut flags = vec![
            ("advertise-client-urls", client.clone()),
            ("cert-file", format!("{PKI}/etcd/server.crt")),
            ("client-cert-auth", "true".to_owned()),
            ("data-dir", data.to_owned()),
            ("initial-advertise-peer-urls", peer.clone()),
            ("initial-cluster", format!("{}={peer}", self.name)),
            ("key-file", format!("{PKI}/etcd/server.key")),
            (
                "listen-client-urls",
                format!("https://127.0.0.1:2379,{client}"),
            ),
            ("listen-metrics-urls", "http://127.0.0.1:2381".to_owned()),
            ("listen-peer-urls", peer),
            ("name", self.name.to_owned()),
            ("peer-trusted-ca-file", format!("{PKI}/etcd/ca.crt")),
            ("snapshot-count", "10000".to_owned()),
            ("trusted-ca-file", format!("{PKI}/etcd/ca.crt")),
        ];
        if joins {
            flags.push(("initial-cluster-state", "existing".to_owned()));
        }
        self.component(
            "etcd",
            "etcd:3.6.8-0",
            &flags,
            &self.cluster["etcd"]["local"],
        )
    }

    /// etcd of a master that joins others.
    pub fn joining_etcd(&self) -> Value {
        self.etcd_component(true).manifest()
    }

    pub fn write_manifest(&self, phase: &str, name: &str, manifest: &Value) -> Result<(), Failure> {
        let path = format!("{MANIFESTS}/{name}.yaml");
        pki::write_private(&path, &yaml::print(manifest)).map_err(|error| {
            disk(phase, &path, &error).replace(
                "failed to write or validate certificate",
                "failed to create static pod manifest file",
            )
        })
    }

    /// The three components that are not etcd.
    pub fn write_components(&self, phase: &str) -> Result<(), Failure> {
        println!("[control-plane] Using manifest folder \"{MANIFESTS}\"");
        for name in [
            "kube-apiserver",
            "kube-controller-manager",
            "kube-scheduler",
        ] {
            println!("[control-plane] Creating static Pod manifest for \"{name}\"");
            self.write_manifest(phase, name, &self.manifest(name))?;
        }
        Ok(())
    }

    /// Waits until what was started answers.
    pub fn wait(&self, limit: Duration) -> Result<(), Failure> {
        println!(
            "[control-plane-check] Waiting for healthy control plane components. This can take up to {}",
            spell(limit)
        );
        println!(
            "[control-plane-check] Checking kube-apiserver at https://{}:{}/livez",
            self.address, self.port
        );
        println!(
            "[control-plane-check] Checking kube-controller-manager at https://127.0.0.1:10257/healthz"
        );
        println!("[control-plane-check] Checking kube-scheduler at https://127.0.0.1:10259/livez");
        let began = Instant::now();
        let mut left = vec![
            ("kube-controller-manager", 10257),
            ("kube-scheduler", 10259),
            ("kube-apiserver", 0),
        ];
        let client = Client {
            endpoint: std::net::SocketAddr::new(self.address, self.port).to_string(),
            authority: None,
            identity: None,
            token: None,
        };
        while !left.is_empty() {
            left.retain(|(name, port)| {
                let is_well = if *port == 0 {
                    client
                        .get("/livez")
                        .is_ok_and(|answer| answer.status == 200)
                } else {
                    TcpStream::connect(("127.0.0.1", *port)).is_ok()
                };
                if is_well {
                    println!(
                        "[control-plane-check] {name} is healthy after {:?}",
                        began.elapsed()
                    );
                }
                !is_well
            });
            if began.elapsed() > limit {
                for (name, _) in &left {
                    println!(
                        "[control-plane-check] {name} is not healthy after {}",
                        spell(limit)
                    );
                }
                return Err(format!(
                    "error execution phase wait-control-plane: failed while waiting for the control plane to start: \
                     {} check failed: context deadline exceeded",
                    left[0].0
                ));
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}

/// kubelet's configuration, and the flags that systemd gives it.
pub fn write_kubelet_files(
    node: &Registration,
    config: &Value,
    flags_first: bool,
    phase: &str,
) -> Result<(), Failure> {
    let env = || {
        let path = "/var/lib/kubelet/kubeadm-flags.env";
        println!("[kubelet-start] Writing kubelet environment file with flags to file \"{path}\"");
        let flags: Vec<String> = node
            .arguments
            .iter()
            .map(|(name, value)| format!("--{name}={value}"))
            .collect();
        pki::write(
            path,
            &format!("KUBELET_KUBEADM_ARGS=\"{}\"\n", flags.join(" ")),
            0o644,
        )
        .map_err(|error| disk(phase, path, &error))
    };
    if flags_first {
        env()?;
    }
    let instance = "/var/lib/kubelet/instance-config.yaml";
    println!("[kubelet-start] Writing kubelet configuration to file \"{instance}\"");
    let text = format!(
        "apiVersion: kubelet.config.k8s.io/v1beta1\ncontainerRuntimeEndpoint: {0}\nkind: KubeletConfiguration\n",
        node.socket
    );
    pki::write(instance, &text, 0o644).map_err(|error| disk(phase, instance, &error))?;
    println!(
        "[patches] Applied patch of type \"application/strategic-merge-patch+json\" to target \"kubeletconfiguration\""
    );
    let path = "/var/lib/kubelet/config.yaml";
    println!("[kubelet-start] Writing kubelet configuration to file \"{path}\"");
    let mut config = config.clone();
    config["containerRuntimeEndpoint"] = json!(node.socket);
    pki::write(path, &yaml::print(&config), 0o644).map_err(|error| disk(phase, path, &error))?;
    if !flags_first {
        env()?;
    }
    Ok(())
}

/// kubelet's configuration with kubeadm's defaults.
pub fn kubelet_config(given: &Value, cluster: &Value) -> Value {
    let mut config = json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "authentication": {
            "anonymous": {"enabled": false},
            "webhook": {"cacheTTL": "0s", "enabled": true},
            "x509": {"clientCAFile": format!("{PKI}/ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "cgroupDriver": "systemd",
        "clusterDNS": ["10.96.0.10"],
        "clusterDomain": cluster["networking"]["dnsDomain"],
        "healthzBindAddress": "127.0.0.1",
        "healthzPort": 10248,
        "kind": "KubeletConfiguration",
        "rotateCertificates": true,
        "staticPodPath": MANIFESTS,
    });
    for (name, value) in given.as_object().into_iter().flatten() {
        config[name] = value.clone();
    }
    config
}

pub fn start_kubelet() {
    println!("[kubelet-start] Starting the kubelet");
    let _ = Command::new("systemctl").arg("daemon-reload").status();
    let _ = Command::new("systemctl")
        .args(["restart", "kubelet"])
        .status();
}

pub fn stop_kubelet() {
    let _ = Command::new("systemctl").args(["stop", "kubelet"]).status();
}

/// Waits until kubelet says that it is well.
pub fn wait_kubelet(limit: Duration, phase: &str) -> Result<(), Failure> {
    println!(
        "[kubelet-check] Waiting for a healthy kubelet at http://127.0.0.1:10248/healthz. This can take up to {}",
        spell(limit)
    );
    let began = Instant::now();
    loop {
        let is_well = TcpStream::connect("127.0.0.1:10248").is_ok_and(|mut stream| {
            let _ = stream.set_read_timeout(Some(Duration::from_secs(1)));
            let _ = stream.write_all(b"GET /healthz HTTP/1.0\r\n\r\n");
            let mut answer = String::new();
            let _ = stream.read_to_string(&mut answer);
            answer.starts_with("HTTP/1.1 200")
        });
        if is_well {
            println!(
                "[kubelet-check] The kubelet is healthy after {:?}",
                began.elapsed()
            );
            return Ok(());
        }
        if began.elapsed() > limit {
            println!(
                "[kubelet-check] The kubelet is not healthy after {}",
                spell(limit)
            );
            return Err(format!(
                "error execution phase {phase}: failed while waiting for the kubelet to start: The HTTP call equal to 'curl \
                 -sSL http://127.0.0.1:10248/healthz' returned error: Get \"http://127.0.0.1:10248/healthz\": context deadline \
                 exceeded"
            ));
        }
        thread::sleep(Duration::from_millis(50));
    }
}

/// Gives a node the label and taint of control planes.
pub fn mark(
    client: &Client,
    name: &str,
    taints: Option<&Value>,
    phase: &str,
) -> Result<(), Failure> {
    const ROLE: &str = "node-role.kubernetes.io/control-plane";
    println!(
        "[mark-control-plane] Marking the node {name} as control-plane by adding the labels: [{ROLE} node.kubernetes.io/exclude-from-external-load-balancers]"
    );
    let default = json!([{"key": ROLE, "effect": "NoSchedule"}]);
    let taints = taints.unwrap_or(&default);
    if taints.as_array().is_some_and(|taints| !taints.is_empty()) {
        println!(
            "[mark-control-plane] Marking the node {name} as control-plane by adding the taints [{ROLE}:NoSchedule]"
        );
    }
    let patch = json!({
        "metadata": {
            "labels": {ROLE: "", "node.kubernetes.io/exclude-from-external-load-balancers": ""},
            "annotations": {"kubeadm.alpha.kubernetes.io/cri-socket": "unix:///var/run/containerd/containerd.sock"},
        },
        "spec": {"taints": taints},
    });
    let began = Instant::now();
    loop {
        match client.patch(&format!("/api/v1/nodes/{name}"), &patch) {
            Ok(answer) if answer.status == 200 => return Ok(()),
            _ if began.elapsed() < Duration::from_secs(30) => {
                thread::sleep(Duration::from_millis(100))
            }
            Ok(answer) => {
                let why = answer.object().err().unwrap_or_default();
                return Err(format!(
                    "error execution phase {phase}: error applying control-plane label and taints: {why}"
                ));
            }
            Err(why) => {
                return Err(format!(
                    "error execution phase {phase}: error applying control-plane label and taints: {why}"
                ));
            }
        }
    }
}

/// The cluster's configuration, with the words of the phase that reads it.
pub fn read_config(client: &Client, phase: &str) -> Result<Value, Failure> {
    println!(
        "[{phase}] Reading configuration from the \"kubeadm-config\" ConfigMap in namespace \"kube-system\"..."
    );
    println!(
        "[{phase}] Use 'kubeadm init phase upload-config kubeadm --config your-config-file' to re-upload it."
    );
    fetch_config(client)
}

pub fn fetch_config(client: &Client) -> Result<Value, Failure> {
    let map = client
        .get("/api/v1/namespaces/kube-system/configmaps/kubeadm-config")
        .and_then(crate::http::Response::object)
        .map_err(|why| format!("failed to get config map: {why}"))?;
    let text = map["data"]["ClusterConfiguration"]
        .as_str()
        .unwrap_or_default();
    let documents = yaml::documents(text)?;
    documents
        .into_iter()
        .next()
        .ok_or_else(|| "the kubeadm-config ConfigMap is empty".to_owned())
}

pub fn fetch_kubelet_config(client: &Client) -> Result<Value, Failure> {
    let map = client
        .get("/api/v1/namespaces/kube-system/configmaps/kubelet-config")
        .and_then(crate::http::Response::object)
        .map_err(|why| format!("failed to get config map: {why}"))?;
    let text = map["data"]["kubelet"].as_str().unwrap_or_default();
    Ok(yaml::documents(text)?
        .into_iter()
        .next()
        .unwrap_or(Value::Null))
}

/// kubeadm always says so of a cluster of IPv4.
pub fn warn_of_proxy() {
    warn(
        "utils.go:69",
        "The recommended value for \"bindAddress\" in \"KubeProxyConfiguration\" is: ::; the provided value is: 0.0.0.0",
    );
}

/// The cluster's configuration, and which of its masters this machine is.
pub fn this_master(client: &Client) -> Result<(Value, String, IpAddr), Failure> {
    let cluster = fetch_config(client)?;
    let pod = yaml::read(&format!("{MANIFESTS}/kube-apiserver.yaml")).ok_or(
        "this is no control-plane node: /etc/kubernetes/manifests/kube-apiserver.yaml is missing",
    )?;
    let etcd = yaml::read(&format!("{MANIFESTS}/etcd.yaml")).unwrap_or(Value::Null);
    let flag = |pod: &Value, name: &str| {
        pod["spec"]["containers"][0]["command"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .find_map(|argument| argument.strip_prefix(&format!("--{name}=")))
            .map(str::to_owned)
    };
    let address = flag(&pod, "advertise-address").and_then(|text| text.parse().ok());
    Ok((
        cluster,
        flag(&etcd, "name").unwrap_or_else(crate::kubelet::hostname),
        address.unwrap_or([127, 0, 0, 1].into()),
    ))
}
