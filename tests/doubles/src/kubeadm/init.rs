//! `kubeadm init`.

use std::thread;
use std::time::{Duration, Instant};

use super::Failure;
use super::certs::{self, Master, PKI};
use super::cluster::{self, Plane};
use super::config::timeout;
use super::options::Options;
use super::phases::{self, Setup};
use super::preflight::{self, Checks};
use crate::http::Client;
use crate::{faults, kubeconfig, pki, pods};

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
    let setup = Setup::read(options)?;
    let Setup {
        init,
        cluster,
        kubelet: config,
        node,
        address,
        port,
        server,
    } = &setup;
    let (address, port) = (*address, *port);
    let release = cluster["kubernetesVersion"]
        .as_str()
        .unwrap_or_default()
        .to_owned();

    println!("[init] Using Kubernetes version: {release}");
    println!("[preflight] Running pre-flight checks");
    let mut checks = Checks::default();
    checks.control_plane(port);
    checks.common(node);
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
        cluster,
    };
    let plane = Plane {
        name: &node.name,
        address,
        port,
        cluster,
    };
    let local = std::net::SocketAddr::new(address, port).to_string();
    master.make_all()?;
    let mut files = certs::OF_EVERY_MASTER.to_vec();
    files.extend(["super-admin.conf", "kubelet.conf"]);
    master.kubeconfigs(server, &local, &files)?;
    println!(
        "[etcd] Creating static Pod manifest for local etcd in \"{}\"",
        pods::MANIFESTS
    );
    plane.write_manifest("etcd/local", "etcd", &plane.manifest("etcd"))?;
    plane.write_components("control-plane")?;
    cluster::write_kubelet_files(node, config, true, "kubelet-start")?;
    cluster::start_kubelet();

    println!(
        "[wait-control-plane] Waiting for the kubelet to boot up the control plane as static Pods from directory \"{}\"",
        pods::MANIFESTS
    );
    cluster::wait_kubelet(
        timeout(init, "kubeletHealthCheck", 240),
        "wait-control-plane",
    )?;
    plane.wait(timeout(init, "controlPlaneComponentHealthCheck", 240))?;

    // As of 1.36.2: not through the balancer, which need not know of this master yet.
    let mut client =
        kubeconfig::client("/etc/kubernetes/super-admin.conf").ok_or("no super-admin.conf")?;
    client.endpoint = local;
    settle(&client)?;
    setup.upload_config(&client, &["kubeadm", "kubelet"])?;
    let key = setup.upload_certs(options, &client)?;
    cluster::mark(
        &client,
        &node.name,
        node.taints.as_ref(),
        "mark-control-plane",
    )?;
    let first = setup.bootstrap_token(options, &client)?;
    phases::finalize();
    phases::addons(&client, cluster, &["coredns", "kube-proxy"])?;
    let authority =
        std::fs::read_to_string(format!("{PKI}/ca.crt")).map_err(|error| error.to_string())?;
    farewell(
        server,
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
