//! `kubeadm init`.

use std::thread;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::certs::{self, Master, PKI};
use super::cluster::{self, Plane};
use super::config::{Documents, Reading, Registration, defaulted, timeout};
use super::options::Options;
use super::preflight::{self, Checks};
use super::{Failure, token};
use crate::http::Client;
use crate::{faults, kubeconfig, kubelet, pki, pods, yaml};

pub fn run(options: &Options) -> Result<(), Failure> {
    if options.value("config").is_some() {
        for flag in [
            "certificate-key",
            "token",
            "control-plane-endpoint",
            "pod-network-cidr",
        ] {
            if options.value(flag).is_some() {
                return Err(format!("can not mix '--config' with arguments [{flag}]"));
            }
        }
    }
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
    let release = cluster["kubernetesVersion"]
        .as_str()
        .unwrap_or_default()
        .to_owned();

    println!("[init] Using Kubernetes version: {release}");
    println!("[preflight] Running pre-flight checks");
    let mut checks = Checks::default();
    checks.control_plane(port);
    checks.common(&node);
    checks.forwarding();
    checks.etcd(
        cluster["etcd"]["local"]["dataDir"]
            .as_str()
            .unwrap_or("/var/lib/etcd"),
    );
    checks.finish(&node.ignored)?;
    let repository = cluster["imageRepository"]
        .as_str()
        .unwrap_or("registry.k8s.io");
    preflight::pull(&pods::images(repository, &release))?;
    faults::hang("init-hangs");
    if options.is("dry-run") {
        println!(
            "[dryrun] Finished dry-running successfully. Above are the resources that would be created"
        );
        return Ok(());
    }

    let master = Master {
        name: &node.name,
        address,
        cluster: &cluster,
    };
    let plane = Plane {
        name: &node.name,
        address,
        port,
        cluster: &cluster,
    };
    let local = std::net::SocketAddr::new(address, port).to_string();
    let server = match cluster["controlPlaneEndpoint"].as_str() {
        Some(endpoint) if endpoint.contains(':') => endpoint.to_owned(),
        Some(endpoint) => format!("{endpoint}:{port}"),
        None => local.clone(),
    };
    master.make_all()?;
    master.kubeconfigs(&server, &local, true)?;
    println!(
        "[etcd] Creating static Pod manifest for local etcd in \"{}\"",
        pods::MANIFESTS
    );
    plane.write_manifest("etcd/local", "etcd", &plane.manifest("etcd"))?;
    plane.write_components("control-plane")?;
    let config = cluster::kubelet_config(&documents.of("KubeletConfiguration"), &cluster);
    cluster::write_kubelet_files(&node, &config, true, "kubelet-start")?;
    cluster::start_kubelet();

    println!(
        "[wait-control-plane] Waiting for the kubelet to boot up the control plane as static Pods from directory \"{}\"",
        pods::MANIFESTS
    );
    cluster::wait_kubelet(
        timeout(&init, "kubeletHealthCheck", 240),
        "wait-control-plane",
    )?;
    plane.wait(timeout(&init, "controlPlaneComponentHealthCheck", 240))?;

    // As of 1.36.2: not through the balancer, which need not know of this master yet.
    let mut client =
        kubeconfig::client("/etc/kubernetes/super-admin.conf").ok_or("no super-admin.conf")?;
    client.endpoint = local;
    settle(&client)?;
    println!(
        "[upload-config] Storing the configuration used in ConfigMap \"kubeadm-config\" in the \"kube-system\" Namespace"
    );
    let maps = "/api/v1/namespaces/kube-system/configmaps";
    let map = |name: &str, namespace: &str, data: Value| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}, "data": data});
    let phase = |phase: &str| {
        let phase = phase.to_owned();
        move |why: String| format!("error execution phase {phase}: {why}")
    };
    client
        .put_or_post(
            maps,
            &map(
                "kubeadm-config",
                "kube-system",
                json!({"ClusterConfiguration": yaml::print(&cluster)}),
            ),
        )
        .map_err(phase("upload-config/kubeadm"))?;
    println!(
        "[kubelet] Creating a ConfigMap \"kubelet-config\" in namespace kube-system with the configuration for the kubelets in the cluster"
    );
    client
        .put_or_post(
            maps,
            &map(
                "kubelet-config",
                "kube-system",
                json!({"kubelet": yaml::print(&config)}),
            ),
        )
        .map_err(phase("upload-config/kubelet"))?;
    let key = upload(options, &init, &client)?;
    cluster::mark(
        &client,
        &node.name,
        node.taints.as_ref(),
        "mark-control-plane",
    )?;

    let tokens = token::of_config(&init)?;
    let first = format!("{}.{}", tokens[0].id, tokens[0].secret);
    if !options.is("skip-token-print") {
        println!("[bootstrap-token] Using token: {first}");
    }
    println!("[bootstrap-token] Configuring bootstrap tokens, cluster-info ConfigMap, RBAC Roles");
    for token in &tokens {
        client
            .put_or_post(
                "/api/v1/namespaces/kube-system/secrets",
                &token::secret(token),
            )
            .map_err(phase("bootstrap-token"))?;
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
        .map_err(phase("bootstrap-token"))?;
    println!(
        "[kubelet-finalize] Updating \"/etc/kubernetes/kubelet.conf\" to point to a rotatable kubelet client certificate and key"
    );
    addons(&client, &cluster).map_err(phase("addon/coredns"))?;
    farewell(
        &server,
        &first,
        &pki::hash(&authority),
        key.as_deref(),
        options,
    );
    Ok(())
}

/// Waits until everything of the API server has begun.
fn settle(client: &Client) -> Result<(), Failure> {
    let began = Instant::now();
    while !client
        .get("/readyz")
        .is_ok_and(|answer| answer.status == 200)
    {
        if began.elapsed() > Duration::from_secs(60) {
            return Err(
                "error execution phase upload-config/kubeadm: timed out waiting for the condition"
                    .to_owned(),
            );
        }
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

fn upload(options: &Options, init: &Value, client: &Client) -> Result<Option<String>, Failure> {
    if !options.is("upload-certs") {
        println!("[upload-certs] Skipping phase. Please see --upload-certs");
        return Ok(None);
    }
    let key = init["certificateKey"]
        .as_str()
        .map_or_else(certs::certificate_key, str::to_owned);
    certs::upload(client, &key)?;
    if !options.is("skip-certificate-key-print") {
        println!("{key}");
    }
    Ok(Some(key))
}

/// CoreDNS and kube-proxy.
fn addons(client: &Client, cluster: &Value) -> Result<(), Failure> {
    let repository = cluster["imageRepository"]
        .as_str()
        .unwrap_or("registry.k8s.io");
    let release = cluster["kubernetesVersion"].as_str().unwrap_or_default();
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

fn farewell(server: &str, token: &str, hash: &str, key: Option<&str>, options: &Options) {
    let token = if options.is("skip-token-print") {
        "<value withheld>"
    } else {
        token
    };
    println!(
        "
Your Kubernetes control-plane has initialized successfully!

To start using your cluster, you need to run the following as a regular user:

  mkdir -p $HOME/.kube
  sudo cp -i /etc/kubernetes/admin.conf $HOME/.kube/config
  sudo chown $(id -u):$(id -g) $HOME/.kube/config

Alternatively, if you are the root user, you can run:

  export KUBECONFIG=/etc/kubernetes/admin.conf

You should now deploy a pod network to the cluster.
Run \"kubectl apply -f [podnetwork].yaml\" with one of the options listed at:
  https://kubernetes.io/docs/concepts/cluster-administration/addons/
"
    );
    match key {
        Some(key) => {
            let key = if options.is("skip-certificate-key-print") {
                "<value withheld>"
            } else {
                key
            };
            println!(
                "You can now join any number of control-plane nodes running the following command on each as root:

  kubeadm join {server} --token {token} \\
\t--discovery-token-ca-cert-hash {hash} \\
\t--control-plane --certificate-key {key}

Please note that the certificate-key gives access to cluster sensitive data, keep it secret!
As a safeguard, uploaded-certs will be deleted in two hours; If necessary, you can use
\"kubeadm init phase upload-certs --upload-certs\" to reload certs afterward.
"
            );
        }
        None => println!(
            "You can now join any number of control-plane nodes by copying certificate authorities
and service account keys on each node and then running the following as root:

  kubeadm join {server} --token {token} \\
\t--discovery-token-ca-cert-hash {hash} \\
\t--control-plane 
"
        ),
    }
    println!(
        "Then you can join any number of worker nodes by running the following on each as root:

kubeadm join {server} --token {token} \\
\t--discovery-token-ca-cert-hash {hash} "
    );
}
