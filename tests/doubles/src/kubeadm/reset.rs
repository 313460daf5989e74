//! `kubeadm reset`.

use std::fs;
use std::io::{BufRead, stdin};
use std::path::Path;
use std::process::Command;

use super::options::Options;
use super::{Failure, cluster, warn};
use crate::store::Store;
use crate::{kubeconfig, pods};

const FOLDERS: [&str; 3] = [
    "/etc/kubernetes/manifests",
    "/var/lib/kubelet",
    "/etc/kubernetes/pki",
];
const FILES: [&str; 6] = [
    "/etc/kubernetes/admin.conf",
    "/etc/kubernetes/super-admin.conf",
    "/etc/kubernetes/kubelet.conf",
    "/etc/kubernetes/bootstrap-kubelet.conf",
    "/etc/kubernetes/controller-manager.conf",
    "/etc/kubernetes/scheduler.conf",
];

pub fn run(options: &Options) -> Result<(), Failure> {
    let mut has_config = false;
    if let Some(client) = kubeconfig::client("/etc/kubernetes/admin.conf") {
        match cluster::read_config(&client, "reset") {
            Ok(_) => has_config = true,
            Err(why) => warn(
                "reset.go:141",
                &format!(
                    "[reset] Unable to fetch the kubeadm-config ConfigMap from cluster: {why}"
                ),
            ),
        }
    }
    if !options.is("force") && !options.is("f") {
        eprintln!(
            "W [reset] WARNING: Changes made to this host by 'kubeadm init' or 'kubeadm join' will be reverted."
        );
        print!("[reset] Are you sure you want to proceed? [y/N]: ");
        let mut answer = String::new();
        let _ = stdin().lock().read_line(&mut answer);
        if !["y", "Y", "yes"].contains(&answer.trim()) {
            return Err("error execution phase preflight: won't proceed; the user didn't answer (Y|y) in order to continue".to_owned());
        }
    }
    println!("[preflight] Running pre-flight checks");
    let etcd = pods::manifests().remove("etcd");
    if !has_config {
        warn(
            "removeetcdmember.go:105",
            "[reset] No kubeadm config, using etcd pod spec to get data directory",
        );
    }
    if let Some(etcd) = etcd {
        let arguments = etcd["spec"]["containers"][0]["command"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let name = arguments
            .iter()
            .filter_map(|argument| argument.as_str()?.strip_prefix("--name="))
            .next()
            .unwrap_or_default()
            .to_owned();
        if has_config && let Ok(store) = Store::of_authority("/etc/kubernetes/pki/etcd/ca.crt") {
            // The last member stays: there would be nobody to remove it from.
            let _ = store.write(|state| {
                if state.members.len() > 1 {
                    state.members.remove(&name);
                }
            });
        }
        empty("/var/lib/etcd");
        println!("[reset] Deleted contents of the etcd data directory: /var/lib/etcd");
    }
    println!("[reset] Stopping the kubelet service");
    cluster::stop_kubelet();
    for name in pods::running() {
        pods::stop(&name);
    }
    println!("[reset] Unmounting mounted directories in \"/var/lib/kubelet\"");
    println!(
        "[reset] Deleting contents of directories: [{}]",
        FOLDERS.join(" ")
    );
    for folder in FOLDERS {
        empty(folder);
    }
    println!("[reset] Deleting files: [{}]", FILES.join(" "));
    for file in FILES {
        let _ = fs::remove_file(file);
    }
    let _ = Command::new("systemctl")
        .args(["reset-failed", "kubelet"])
        .status();
    println!(
        "
The reset process does not perform cleanup of CNI plugin configuration,
network filtering rules and kubeconfig files.

For information on how to perform this cleanup manually, please see:
    https://k8s.io/docs/reference/setup-tools/kubeadm/kubeadm-reset/
"
    );
    Ok(())
}

/// Removes what is in a folder, not the folder.
fn empty(folder: &str) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let _ = if Path::is_dir(&path) {
            fs::remove_dir_all(&path)
        } else {
            fs::remove_file(&path)
        };
    }
}
