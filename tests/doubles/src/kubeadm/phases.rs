//! The parts of `kubeadm init` that speak to the API, each of which may be run by itself: `kubeadm init phase`.

use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::certs::{self, PKI};
use super::cluster;
use super::config::{Documents, Reading, Registration, defaulted};
use super::options::Options;
use super::{Failure, token};
use crate::http::Client;
use crate::{kubeconfig, kubelet, yaml};

/// What `kubeadm init` was told.
pub struct Setup {
    pub init: Value,
    pub cluster: Value,
    pub kubelet: Value,
    pub node: Registration,
    pub address: IpAddr,
    pub port: u16,
    /// Where clients find the API.
    pub server: String,
}

/// `kubeadm init phase PHASE`.
pub fn run(words: &[&str], options: &Options) -> Result<(), Failure> {
    let setup = Setup::read(options)?;
    let client = || {
        kubeconfig::client("/etc/kubernetes/admin.conf").ok_or_else(|| {
            "failed to load admin kubeconfig: open /etc/kubernetes/admin.conf: no such file or directory".to_owned()
        })
    };
    match words {
        ["upload-config", "all"] => setup.upload_config(&client()?, &["kubeadm", "kubelet"]),
        ["upload-config", which @ ("kubeadm" | "kubelet")] => {
            setup.upload_config(&client()?, &[which])
        }
        ["mark-control-plane"] => cluster::mark(
            &client()?,
            &setup.node.name,
            setup.node.taints.as_ref(),
            "mark-control-plane",
        ),
        ["bootstrap-token"] => setup.bootstrap_token(options, &client()?).map(drop),
        ["kubelet-finalize", ..] => {
            finalize();
            Ok(())
        }
        ["addon", "all"] => addons(&client()?, &setup.cluster, &["coredns", "kube-proxy"]),
        ["addon", which @ ("coredns" | "kube-proxy")] => {
            addons(&client()?, &setup.cluster, &[which])
        }
        [other, ..] => Err(format!(
            "unknown command \"{other}\" for \"kubeadm init phase\""
        )),
        [] => Err("a phase is needed".to_owned()),
    }
}

impl Setup {
    pub fn read(options: &Options) -> Result<Self, Failure> {
        let documents = match options.value("config") {
            Some(path) => Documents::read(path, Reading::Lenient)?,
            None => Documents::default(),
        };
        let init = documents.of("InitConfiguration");
        let mut cluster = defaulted(&documents.of("ClusterConfiguration"));
        for (flag, pointer) in [
            ("control-plane-endpoint", "controlPlaneEndpoint"),
            ("kubernetes-version", "kubernetesVersion"),
            ("image-repository", "imageRepository"),
        ] {
            if let Some(value) = options.value(flag) {
                cluster[pointer] = json!(value);
            }
        }
        if let Some(value) = options.value("pod-network-cidr") {
            cluster["networking"]["podSubnet"] = json!(value);
        }
        let node = Registration::new(&init, options);
        let endpoint = &init["localAPIEndpoint"];
        let address = endpoint["advertiseAddress"]
            .as_str()
            .or_else(|| options.value("apiserver-advertise-address"))
            .map_or_else(kubelet::address, str::to_owned);
        let Ok(address) = address.parse() else {
            return Err(format!(
                "localAPIEndpoint.advertiseAddress: Invalid value: \"{address}\": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
            ));
        };
        let port = endpoint["bindPort"]
            .as_u64()
            .and_then(|port| u16::try_from(port).ok())
            .unwrap_or(6443);
        let local = std::net::SocketAddr::new(address, port).to_string();
        let server = match cluster["controlPlaneEndpoint"].as_str() {
            Some(endpoint) if endpoint.contains(':') => endpoint.to_owned(),
            Some(endpoint) => format!("{endpoint}:{port}"),
            None => local,
        };
        let kubelet = cluster::kubelet_config(&documents.of("KubeletConfiguration"), &cluster);
        Ok(Self {
            init,
            cluster,
            kubelet,
            node,
            address,
            port,
            server,
        })
    }

    pub fn upload_config(&self, client: &Client, which: &[&str]) -> Result<(), Failure> {
        let maps = "/api/v1/namespaces/kube-system/configmaps";
        let (cluster, config) = (&self.cluster, &self.kubelet);
        if which.contains(&"kubeadm") {
            println!(
                "[upload-config] Storing the configuration used in ConfigMap \"kubeadm-config\" in the \"kube-system\" Namespace"
            );
            let data = json!({"ClusterConfiguration": yaml::print(cluster)});
            client
                .put_or_post(maps, &map("kubeadm-config", "kube-system", data))
                .map_err(|why| failed("upload-config/kubeadm", &why))?;
        }
        if which.contains(&"kubelet") {
            println!(
                "[kubelet] Creating a ConfigMap \"kubelet-config\" in namespace kube-system with the configuration for the kubelets in the cluster"
            );
            let data = json!({"kubelet": yaml::print(config)});
            client
                .put_or_post(maps, &map("kubelet-config", "kube-system", data))
                .map_err(|why| failed("upload-config/kubelet", &why))?;
        }
        Ok(())
    }

    pub fn upload_certs(
        &self,
        options: &Options,
        client: &Client,
    ) -> Result<Option<String>, Failure> {
        if !options.is("upload-certs") {
            println!("[upload-certs] Skipping phase. Please see --upload-certs");
            return Ok(None);
        }
        let key = self.init["certificateKey"]
            .as_str()
            .map_or_else(certs::certificate_key, str::to_owned);
        certs::upload(client, &key)?;
        if !options.is("skip-certificate-key-print") {
            println!("{key}");
        }
        Ok(Some(key))
    }

    /// Makes tokens known, and where the cluster is. The first token.
    pub fn bootstrap_token(&self, options: &Options, client: &Client) -> Result<String, Failure> {
        let (init, server) = (&self.init, &self.server);
        let tokens = token::of_config(init)?;
        let first = format!("{}.{}", tokens[0].id, tokens[0].secret);
        if !options.is("skip-token-print") {
            println!("[bootstrap-token] Using token: {first}");
        }
        println!(
            "[bootstrap-token] Configuring bootstrap tokens, cluster-info ConfigMap, RBAC Roles"
        );
        for token in &tokens {
            client
                .put_or_post(
                    "/api/v1/namespaces/kube-system/secrets",
                    &token::secret(token),
                )
                .map_err(|why| failed("bootstrap-token", &why))?;
        }
        for line in [
            "Configured RBAC rules to allow Node Bootstrap tokens to get nodes",
            "Configured RBAC rules to allow Node Bootstrap tokens to post CSRs in order for nodes to get long term certificate credentials",
            "Configured RBAC rules to allow the csrapprover controller automatically approve CSRs from a Node Bootstrap Token",
            "Configured RBAC rules to allow certificate rotation for all node client certificates in the cluster",
            "Configured RBAC rules to allow the API server kubelet client certificate to access the kubelet API",
            "Creating the \"cluster-info\" ConfigMap in the \"kube-public\" namespace",
        ] {
            println!("[bootstrap-token] {line}");
        }
        let authority =
            std::fs::read_to_string(format!("{PKI}/ca.crt")).map_err(|error| error.to_string())?;
        let info = json!({
            "apiVersion": "v1",
            "clusters": [{"cluster": {"certificate-authority-data": STANDARD.encode(&authority), "server": format!("https://{server}")}, "name": ""}],
            "contexts": null, "current-context": "", "kind": "Config", "users": null,
        });
        client
            .put_or_post(
                "/api/v1/namespaces/kube-public/configmaps",
                &map(
                    "cluster-info",
                    "kube-public",
                    json!({"kubeconfig": yaml::print(&info)}),
                ),
            )
            .map_err(|why| failed("bootstrap-token", &why))?;
        Ok(first)
    }
}

fn map(name: &str, namespace: &str, data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}, "data": data})
}

fn failed(phase: &str, why: &str) -> Failure {
    format!("error execution phase {phase}: {why}")
}

pub fn finalize() {
    println!(
        "[kubelet-finalize] Updating \"/etc/kubernetes/kubelet.conf\" to point to a rotatable kubelet client certificate and key"
    );
}

/// CoreDNS and kube-proxy.
pub fn addons(client: &Client, cluster: &Value, which: &[&str]) -> Result<(), Failure> {
    for addon in which {
        let outcome = match *addon {
            "coredns" => coredns(client, cluster),
            _ => kube_proxy(client, cluster),
        };
        outcome.map_err(|why| failed(&format!("addon/{addon}"), &why))?;
    }
    Ok(())
}

fn coredns(client: &Client, cluster: &Value) -> Result<(), Failure> {
    let repository = cluster["imageRepository"]
        .as_str()
        .unwrap_or("registry.k8s.io");
    let labels = json!({"k8s-app": "kube-dns"});
    client.put_or_post(
        "/apis/apps/v1/namespaces/kube-system/deployments",
        &json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "coredns", "namespace": "kube-system", "labels": labels},
            "spec": {
                "replicas": 2, "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {
                        "containers": [{"name": "coredns", "image": format!("{repository}/coredns/coredns:v1.14.2")}],
                        "tolerations": [
                            {"key": "CriticalAddonsOnly", "operator": "Exists"},
                            {"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"},
                        ],
                    },
                },
            },
        }),
    )?;
    client.put_or_post(
        "/api/v1/namespaces/kube-system/services",
        &json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "kube-dns", "namespace": "kube-system", "labels": labels},
            "spec": {"selector": labels, "clusterIP": "10.96.0.10", "ports": [{"port": 53, "protocol": "UDP"}]},
        }),
    )?;
    println!("[addons] Applied essential addon: CoreDNS");
    Ok(())
}

fn kube_proxy(client: &Client, cluster: &Value) -> Result<(), Failure> {
    let repository = cluster["imageRepository"]
        .as_str()
        .unwrap_or("registry.k8s.io");
    let release = cluster["kubernetesVersion"].as_str().unwrap_or_default();
    let labels = json!({"k8s-app": "kube-proxy"});
    client.put_or_post(
        "/apis/apps/v1/namespaces/kube-system/daemonsets",
        &json!({
            "apiVersion": "apps/v1", "kind": "DaemonSet",
            "metadata": {"name": "kube-proxy", "namespace": "kube-system", "labels": labels},
            "spec": {
                "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {
                        "hostNetwork": true,
                        "containers": [{"name": "kube-proxy", "image": format!("{repository}/kube-proxy:{release}")}],
                        "tolerations": [{"operator": "Exists"}],
                    },
                },
            },
        }),
    )?;
    println!("[addons] Applied essential addon: kube-proxy");
    Ok(())
}
