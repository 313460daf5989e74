//! `kubeadm upgrade`: the control plane's components and the recorded version; kubelet is the
//! package's affair.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::cluster::{self, Plane};
use super::options::Options;
use super::{Failure, preflight};
use crate::http::Client;
use crate::{kubeconfig, pods, yaml};

fn client() -> Result<Client, Failure> {
    kubeconfig::client("/etc/kubernetes/admin.conf")
        .ok_or_else(|| "couldn't create a Kubernetes client from file \"/etc/kubernetes/admin.conf\": failed to load admin kubeconfig: open /etc/kubernetes/admin.conf: no such file or directory".to_owned())
}

fn minor(release: &str) -> u32 {
    release
        .split('.')
        .nth(1)
        .and_then(|text| text.parse().ok())
        .unwrap_or(0)
}

pub fn plan(words: &[&str], _: &Options) -> Result<(), Failure> {
    let ours = pods::release();
    let target = words
        .first()
        .map_or_else(|| ours.clone(), |word| with_v(word));
    println!("[preflight] Running pre-flight checks.");
    let config = cluster::read_config(&client()?, "upgrade/config")?;
    let current = config["kubernetesVersion"].as_str().unwrap_or_default();
    println!("[upgrade] Running cluster health checks");
    println!("[upgrade] Fetching available versions to upgrade to");
    println!(
        "[upgrade/versions] Cluster version: {}",
        current.trim_start_matches('v')
    );
    println!("[upgrade/versions] kubeadm version: {ours}");
    println!("[upgrade/versions] Target version: {target}");
    println!(
        "[upgrade/versions] Latest version in the v1.{} series: {target}",
        minor(current)
    );
    println!();
    Ok(())
}

fn with_v(word: &str) -> String {
    format!("v{}", word.trim_start_matches('v'))
}

pub fn apply(words: &[&str], _: &Options) -> Result<(), Failure> {
    let Some(target) = words.first().map(|word| with_v(word)) else {
        return Err(
            "missing one or more required arguments. Required arguments: [version]".to_owned(),
        );
    };
    let client = client()?;
    let mut config = cluster::read_config(&client, "upgrade/config")?;
    println!("[upgrade/preflight] Running preflight checks");
    println!("[upgrade] Running cluster health checks");
    let current = config["kubernetesVersion"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let ours = pods::release();
    println!("[upgrade/preflight] You have chosen to upgrade the cluster version to \"{target}\"");
    println!("[upgrade/versions] Cluster version: {current}");
    println!("[upgrade/versions] kubeadm version: {ours}");
    if minor(&target) > minor(&ours) || (minor(&target) == minor(&ours) && target > ours) {
        return Err(format!(
            "error execution phase preflight: the --version argument is invalid due to these errors:\n\n\t- Specified version to \
             upgrade to \"{target}\" is higher than the kubeadm version \"{ours}\". Upgrade kubeadm first using the tool you used to \
             install kubeadm\n\nCan be bypassed if you pass the --force flag"
        ));
    }
    if minor(&target) > minor(&current) + 1 {
        return Err(format!(
            "error execution phase preflight: the --version argument is invalid due to these fatal errors:\n\n\t- Specified version \
             to upgrade to \"{target}\" is too high; kubeadm can upgrade only 1 minor version at a time\n\nPlease fix the \
             misalignments highlighted above and try upgrading again"
        ));
    }
    let repository = config["imageRepository"]
        .as_str()
        .unwrap_or("registry.k8s.io")
        .to_owned();
    preflight::pull(&pods::images(&repository, &target))?;
    println!(
        "[upgrade/control-plane] Upgrading your static Pod-hosted control plane to version \"{target}\" (timeout: 5m0s)..."
    );
    config["kubernetesVersion"] = json!(target);
    components(&client, &config)?;
    println!(
        "[upgrade/control-plane] The control plane instance for this node was successfully upgraded!"
    );
    println!(
        "[upload-config] Storing the configuration used in ConfigMap \"kubeadm-config\" in the \"kube-system\" Namespace"
    );
    let map = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "kubeadm-config", "namespace": "kube-system"},
        "data": {"ClusterConfiguration": yaml::print(&config)},
    });
    again(|| client.put_or_post("/api/v1/namespaces/kube-system/configmaps", &map))?;
    println!("[upgrade/kubeconfig] The kubeconfig files for this node were successfully upgraded!");
    println!(
        "[upgrade/kubelet-config] The kubelet configuration for this node was successfully upgraded!"
    );
    println!("[upgrade/bootstrap-token] Configuring bootstrap token and cluster-info RBAC rules");
    println!("[addons] Applied essential addon: CoreDNS");
    println!("[addons] Applied essential addon: kube-proxy");
    println!(
        "\n[upgrade] SUCCESS! A control plane node of your cluster was upgraded to \"{target}\".\n"
    );
    println!(
        "[upgrade] Now please proceed with upgrading the rest of the nodes by following the right order."
    );
    Ok(())
}

pub fn node(_: &Options) -> Result<(), Failure> {
    let is_master = pods::manifests().contains_key("kube-apiserver");
    let client = if is_master {
        client()?
    } else {
        kubeconfig::client("/etc/kubernetes/kubelet.conf").ok_or(
            "couldn't create a Kubernetes client from file \"/etc/kubernetes/kubelet.conf\"",
        )?
    };
    let config = cluster::read_config(&client, "upgrade/config")?;
    println!("[upgrade/preflight] Running pre-flight checks");
    if is_master {
        let release = config["kubernetesVersion"].as_str().unwrap_or_default();
        println!(
            "[upgrade/control-plane] Upgrading your Static Pod-hosted control plane instance to version \"{release}\"..."
        );
        components(&client, &config)?;
        println!(
            "[upgrade/control-plane] The control plane instance for this node was successfully upgraded!"
        );
        println!(
            "[upgrade/kubeconfig] The kubeconfig files for this node were successfully upgraded!"
        );
    } else {
        println!("[upgrade/preflight] Skipping prepull. Not a control plane node.");
        println!("[upgrade/control-plane] Skipping phase. Not a control plane node.");
        println!("[upgrade/kubeconfig] Skipping phase. Not a control plane node.");
    }
    println!(
        "[upgrade/kubelet-config] The kubelet configuration for this node was successfully upgraded!"
    );
    Ok(())
}

/// Writes new manifests, and waits until this master serves again.
fn components(client: &Client, config: &Value) -> Result<(), Failure> {
    let (_, name, address) = cluster::this_master(client)?;
    let plane = Plane {
        name: &name,
        address,
        port: 6443,
        cluster: config,
    };
    println!(
        "[upgrade/staticpods] Writing new Static Pod manifests to \"/etc/kubernetes/tmp/kubeadm-upgraded-manifests\""
    );
    for component in [
        "kube-apiserver",
        "kube-controller-manager",
        "kube-scheduler",
    ] {
        println!("[upgrade/staticpods] Preparing for \"{component}\" upgrade");
        let manifest = plane.manifest(component);
        if pods::manifests().get(component) == Some(&manifest) {
            println!(
                "[upgrade/staticpods] Current and new manifests of {component} are equal, skipping upgrade"
            );
            continue;
        }
        let before = pods::id(component);
        plane.write_manifest("upgrade", component, &manifest)?;
        println!("[upgrade/staticpods] Waiting for the kubelet to restart the component");
        println!("[upgrade/staticpods] This can take up to 5m0s");
        again(|| {
            let now = pods::id(component);
            if now.is_empty() || now == before {
                return Err(format!("{component} was not restarted"));
            }
            Ok(json!({}))
        })?;
        println!("[upgrade/staticpods] Component \"{component}\" upgraded successfully!");
    }
    let local = Client {
        endpoint: std::net::SocketAddr::new(address, 6443).to_string(),
        ..client.clone()
    };
    again(|| match local.get("/readyz")? {
        answer if answer.status == 200 => Ok(json!({})),
        answer => Err(answer.body),
    })
    .map(|_| ())
}

fn again(mut work: impl FnMut() -> Result<Value, Failure>) -> Result<Value, Failure> {
    let began = Instant::now();
    loop {
        match work() {
            Err(_) if began.elapsed() < Duration::from_secs(60) => {
                thread::sleep(Duration::from_millis(200))
            }
            result => return result,
        }
    }
}
