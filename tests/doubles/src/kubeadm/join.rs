//! `kubeadm join`.

use std::net::IpAddr;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::Failure;
use super::certs::{self, Master, PKI};
use super::cluster::{self, Plane};
use super::config::{
    Documents, Reading, Registration, check_key, check_token, defaulted, spell, timeout,
};
use super::discovery::Discovery;
use super::options::Options;
use super::preflight::{self, Checks};
use crate::http::Client;
use crate::store::Store;
use crate::{faults, kubeconfig, kubelet, pki, pods};

pub fn run(options: &Options) -> Result<(), Failure> {
    let join = match options.value("config") {
        Some(path) => Documents::read(path, Reading::Lenient)?.of("JoinConfiguration"),
        None => of_flags(options)?,
    };
    if join.is_null() {
        return Err("no kubeadm JoinConfiguration in the configuration file".to_owned());
    }
    let node = Registration::new(&join, options);
    let control_plane = join.get("controlPlane").filter(|value| !value.is_null());
    println!("[preflight] Running pre-flight checks");
    let mut checks = Checks::default();
    checks.file_is_free("/etc/kubernetes/kubelet.conf");
    checks.file_is_free("/etc/kubernetes/bootstrap-kubelet.conf");
    checks.common(&node);
    if control_plane.is_none() {
        checks.file_is_free(&format!("{PKI}/ca.crt"));
    }
    checks.forwarding();
    checks.finish(&node.ignored)?;
    faults::hang("join-hangs");

    let token = &join["discovery"]["bootstrapToken"];
    let discovery = Discovery {
        endpoint: token["apiServerEndpoint"]
            .as_str()
            .unwrap_or_default()
            .to_owned(),
        token: token["token"].as_str().unwrap_or_default().to_owned(),
        hashes: token["caCertHashes"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect(),
        limit: timeout(&join, "discovery", 300),
    };
    if discovery.hashes.is_empty() && token["unsafeSkipCAVerification"] != json!(true) {
        return Err(
            "discovery.bootstrapToken.caCertHashes: Invalid value: \"\": using token-based discovery without caCertHashes can \
             be unsafe. Set unsafeSkipCAVerification as true in your kubeadm config file or pass \
             --discovery-token-unsafe-skip-ca-verification flag to continue"
                .to_owned(),
        );
    }
    let client = discovery.run()?;
    let wrap = |phase: &str, why: &str| format!("error execution phase {phase}: {why}");
    let config = cluster::read_config(&client, "preflight").map_err(|why| {
        wrap(
            "preflight",
            &format!("unable to fetch the kubeadm-config ConfigMap: {why}"),
        )
    })?;
    let config = defaulted(&config);
    cluster::warn_of_proxy();
    let kubelet_config =
        cluster::fetch_kubelet_config(&client).map_err(|why| wrap("kubelet-start", &why))?;

    let joining = match control_plane {
        Some(asked) => Some(prepare(&client, &join, asked, &node, &config)?),
        None => None,
    };
    refuse_twin(&client, &node.name)?;
    let authority = client.authority.clone().unwrap_or_default();
    let port = control_plane
        .and_then(|asked| asked["localAPIEndpoint"]["bindPort"].as_u64())
        .and_then(|port| u16::try_from(port).ok())
        .unwrap_or(6443);
    // A master's own kubelet talks to its own API server, past the balancer.
    let server = joining.map_or_else(
        || client.endpoint.clone(),
        |address| std::net::SocketAddr::new(address, port).to_string(),
    );
    let bootstrap = kubeconfig::kubeconfig(
        &format!("https://{server}"),
        &authority,
        "tls-bootstrap-token-user",
        &json!({"token": client.token}),
    );
    kubeconfig::save("/etc/kubernetes/bootstrap-kubelet.conf", &bootstrap)
        .and_then(|()| {
            let path = format!("{PKI}/ca.crt");
            if Path::new(&path).exists() {
                Ok(())
            } else {
                pki::write(&path, &authority, 0o644)
            }
        })
        .map_err(|error| {
            certs::disk(
                "kubelet-start",
                "/etc/kubernetes/bootstrap-kubelet.conf",
                &error,
            )
        })?;
    cluster::stop_kubelet();
    cluster::write_kubelet_files(&node, &kubelet_config, false, "kubelet-start")?;
    cluster::start_kubelet();
    if let Some(address) = joining {
        let plane = Plane {
            name: &node.name,
            address,
            port,
            cluster: &config,
        };
        join_etcd(&plane)?;
        wait_bootstrap(&join)?;
        let admin = kubeconfig::client("/etc/kubernetes/admin.conf").ok_or("no admin.conf")?;
        cluster::mark(
            &admin,
            &node.name,
            node.taints.as_ref(),
            "control-plane-join/mark-control-plane",
        )?;
        plane.wait(timeout(&join, "controlPlaneComponentHealthCheck", 240))?;
        println!(
            "
This node has joined the cluster and a new control plane instance was created:

* Certificate signing request was sent to apiserver and approval was received.
* The Kubelet was informed of the new secure connection details.
* Control plane label and taint were applied to the new node.
* The Kubernetes control plane instances scaled up.
* A new etcd member was added to the local/stacked etcd cluster.

To start administering your cluster from this node, you need to run the following as a regular user:

\tmkdir -p $HOME/.kube
\tsudo cp -i /etc/kubernetes/admin.conf $HOME/.kube/config
\tsudo chown $(id -u):$(id -g) $HOME/.kube/config

Run 'kubectl get nodes' to see this node join the cluster.
"
        );
        return Ok(());
    }
    wait_bootstrap(&join)?;
    println!(
        "
This node has joined the cluster:
* Certificate signing request was sent to apiserver and a response was received.
* The Kubelet was informed of the new secure connection details.

Run 'kubectl get nodes' on the control-plane to see this node join the cluster.
"
    );
    Ok(())
}

/// A configuration as flags say it.
fn of_flags(options: &Options) -> Result<Value, Failure> {
    let Some(endpoint) = options.words.get(1) else {
        return Err(
            "discovery: Invalid value: \"\": bootstrapToken or file must be set".to_owned(),
        );
    };
    let token = options.value("token").unwrap_or_default();
    check_token(token)?;
    let mut join = json!({
        "discovery": {"bootstrapToken": {
            "apiServerEndpoint": endpoint, "token": token,
            "caCertHashes": options.values("discovery-token-ca-cert-hash"),
            "unsafeSkipCAVerification": options.is("discovery-token-unsafe-skip-ca-verification"),
        }},
    });
    if options.is("control-plane") {
        join["controlPlane"] = json!({});
        if let Some(key) = options.value("certificate-key") {
            check_key(key)?;
            join["controlPlane"]["certificateKey"] = json!(key);
        }
        if let Some(address) = options.value("apiserver-advertise-address") {
            join["controlPlane"]["localAPIEndpoint"] = json!({"advertiseAddress": address});
        }
    }
    Ok(join)
}

/// Certificates, kubeconfig files and manifests of a master that joins; its address.
fn prepare(
    client: &Client,
    join: &Value,
    asked: &Value,
    node: &Registration,
    config: &Value,
) -> Result<IpAddr, Failure> {
    let endpoint = &asked["localAPIEndpoint"];
    let address = endpoint["advertiseAddress"]
        .as_str()
        .map_or_else(kubelet::address, str::to_owned);
    let address: IpAddr = address
        .parse()
        .map_err(|_| format!("controlPlane.localAPIEndpoint.advertiseAddress: Invalid value: \"{address}\": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"))?;
    let port = endpoint["bindPort"]
        .as_u64()
        .and_then(|port| u16::try_from(port).ok())
        .unwrap_or(6443);
    println!(
        "[preflight] Running pre-flight checks before initializing the new control plane instance"
    );
    let mut checks = Checks::default();
    checks.control_plane(port);
    checks.etcd(
        config["etcd"]["local"]["dataDir"]
            .as_str()
            .unwrap_or("/var/lib/etcd"),
    );
    checks.finish(&node.ignored)?;
    let repository = config["imageRepository"]
        .as_str()
        .unwrap_or("registry.k8s.io");
    let release = config["kubernetesVersion"].as_str().unwrap_or_default();
    preflight::pull(&pods::images(repository, release))?;
    match asked["certificateKey"].as_str() {
        Some(key) => certs::download(client, key)?,
        None if Path::new(&format!("{PKI}/ca.key")).exists() => {}
        None => {
            return Err(format!(
                "error execution phase preflight: \nOne or more conditions for hosting a new control plane instance is not \
                 satisfied.\n\n[failure loading certificate for CA: couldn't load the certificate file {PKI}/ca.crt: open \
                 {PKI}/ca.crt: no such file or directory]\n\nPlease ensure that:\n* The cluster has a stable \
                 controlPlaneEndpoint address.\n* The certificates that must be shared among control plane instances are \
                 provided.\n\n"
            ));
        }
    }
    let master = Master {
        name: &node.name,
        address,
        cluster: config,
    };
    let plane = Plane {
        name: &node.name,
        address,
        port,
        cluster: config,
    };
    master.make_own()?;
    let server = config["controlPlaneEndpoint"]
        .as_str()
        .unwrap_or(&client.endpoint);
    master.kubeconfigs(server, server, &certs::OF_EVERY_MASTER)?;
    plane.write_components("control-plane-prepare/control-plane")?;
    println!("[check-etcd] Checking that the etcd cluster is healthy");
    let store =
        Store::of_authority(&format!("{PKI}/etcd/ca.crt")).map_err(|error| error.to_string())?;
    let began = Instant::now();
    let limit = timeout(join, "etcdAPICall", 120);
    while store.read().is_err() {
        if began.elapsed() > limit {
            return Err("error execution phase check-etcd: etcd cluster is not healthy: failed to dial endpoint https://127.0.0.1:2379 with maintenance client: context deadline exceeded".to_owned());
        }
        thread::sleep(Duration::from_millis(100));
    }
    Ok(address)
}

/// A node of this name that is well must not be taken over.
fn refuse_twin(client: &Client, name: &str) -> Result<(), Failure> {
    let found = client
        .get(&format!("/api/v1/nodes/{name}"))
        .map_err(|why| {
            format!("error execution phase kubelet-start: cannot get Node \"{name}\": {why}")
        })?;
    if found.status == 404 {
        return Ok(());
    }
    let found = found.object().map_err(|why| {
        format!("error execution phase kubelet-start: cannot get Node \"{name}\": {why}")
    })?;
    let is_ready = found["status"]["conditions"]
        .as_array()
        .into_iter()
        .flatten()
        .any(|condition| condition["type"] == "Ready" && condition["status"] == "True");
    if is_ready {
        return Err(format!(
            "error execution phase kubelet-start: a Node with name \"{name}\" and status \"Ready\" already exists in the \
             cluster. You must delete the existing Node or change the name of this new joining Node"
        ));
    }
    Ok(())
}

fn join_etcd(plane: &Plane<'_>) -> Result<(), Failure> {
    println!("[etcd] Announced new etcd member joining to the existing etcd cluster");
    let phase = |why: String| {
        format!(
            "error execution phase etcd-join: error creating local etcd static pod manifest file: {why}"
        )
    };
    let store = Store::of_authority(&format!("{PKI}/etcd/ca.crt"))
        .map_err(|error| phase(error.to_string()))?;
    store
        .announce(plane.name)
        .map_err(|error| phase(error.to_string()))?;
    println!("[etcd] Creating static Pod manifest for \"etcd\"");
    plane.write_manifest("etcd-join", "etcd", &plane.joining_etcd())?;
    let limit = Duration::from_secs(40);
    println!(
        "[etcd] Waiting for the new etcd member to join the cluster. This can take up to {}",
        spell(limit)
    );
    let began = Instant::now();
    loop {
        let joined = store
            .read()
            .is_ok_and(|state| state.members.contains_key(plane.name));
        if joined {
            return Ok(());
        }
        if began.elapsed() > limit {
            return Err(phase(
                "timeout waiting for etcd cluster to be available".to_owned(),
            ));
        }
        thread::sleep(Duration::from_millis(50));
    }
}

fn wait_bootstrap(join: &Value) -> Result<(), Failure> {
    cluster::wait_kubelet(
        timeout(join, "kubeletHealthCheck", 240),
        "kubelet-wait-bootstrap",
    )?;
    println!("[kubelet-start] Waiting for the kubelet to perform the TLS Bootstrap");
    let limit = timeout(join, "tlsBootstrap", 300);
    let began = Instant::now();
    while !Path::new("/etc/kubernetes/kubelet.conf").exists() {
        if began.elapsed() > limit {
            return Err("error execution phase kubelet-wait-bootstrap: failed while waiting for TLS bootstrap: context deadline exceeded".to_owned());
        }
        thread::sleep(Duration::from_millis(50));
    }
    let _ = std::fs::remove_file("/etc/kubernetes/bootstrap-kubelet.conf");
    Ok(())
}
