//! `evenkeel-bootstrap` itself: from machines that nobody has touched to the table, and again, and
//! through everything that goes wrong on the way.

use std::fs;
use std::process::{Command, Output};
use std::time::Instant;

use crate::by_hand::{CNI, TABLE, table};
use crate::lab::{DIRECTORY, FIVE, Lab, with_lab};
use crate::parcels::RELEASE;

/// Packages as a site without a network carries them.
const PACKAGES: [&str; 7] = [
    "kubernetes-doubles_1.0-1",
    "containerd_2.1.9-1",
    "cri-tools_1.36.0-1.1",
    "kubernetes-cni_1.7.1-1.1",
    "kubeadm_1.36.2-1.1",
    "kubelet_1.36.2-1.1",
    "kubectl_1.36.2-1.1",
];

/// Writes cluster.toml for the machines of a lab; `user` is who logs in.
fn write_inventory(lab: &Lab, user: &str) {
    let packages: Vec<String> = PACKAGES
        .iter()
        .map(|name| format!("\"{DIRECTORY}/repository/{name}_amd64.deb\""))
        .collect();
    let mut text = format!(
        r#"[cluster]
name = "lab"
domain = "kube.com"
kubernetes = "{RELEASE}"
vip = "10.0.1.10:6443"

[cni]
plugin = "flannel"
manifest = "{DIRECTORY}/cni.yaml"

[ssh]
user = "{user}"
key = "{}"
config = "{DIRECTORY}/ssh_config"

[balancer]
package = "{DIRECTORY}/repository/evenkeel.deb"

[artefacts]
offline = true
packages = [{}]

[kubeadm]
ignore-preflight-errors = ["SystemVerification"]

[kubeadm.kubelet]
failCgroupV1 = false
"#,
        lab.key().display(),
        packages.join(", ")
    );
    for node in lab.nodes() {
        let role = match node.name() {
            name if name.starts_with("lb") => "lb",
            name if name.starts_with("master") => "control-plane",
            _ => "worker",
        };
        text += &format!(
            "\n[[node]]\nname = \"{}\"\nrole = \"{role}\"\naddress = \"{}\"\n",
            node.name(),
            node.address()
        );
    }
    fs::write(format!("{DIRECTORY}/cluster.toml"), text).unwrap();
    fs::write(format!("{DIRECTORY}/cni.yaml"), CNI).unwrap();
    let known = lab.known_hosts().display();
    let config = format!("UserKnownHostsFile {known}\nStrictHostKeyChecking yes\n");
    fs::write(format!("{DIRECTORY}/ssh_config"), config).unwrap();
}

/// The program, at the machine of the operator.
fn bootstrap(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_evenkeel-bootstrap"));
    let home = format!("{DIRECTORY}/home");
    fs::create_dir_all(&home).unwrap();
    command
        .args(arguments)
        .args(["--file", &format!("{DIRECTORY}/cluster.toml")])
        .env("HOME", &home)
        .env("XDG_RUNTIME_DIR", &home)
        .env("XDG_STATE_HOME", format!("{home}/state"))
        .current_dir(DIRECTORY);
    command
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[track_caller]
fn succeed(arguments: &[&str]) -> String {
    let output = bootstrap(arguments).output().unwrap();
    let said = said(&output);
    assert!(
        output.status.success(),
        "{arguments:?}: {}\n{said}",
        output.status
    );
    said
}

#[test]
fn nothing_becomes_the_table_and_a_second_apply_changes_nothing() {
    let name = "from_nothing::nothing_becomes_the_table_and_a_second_apply_changes_nothing";
    with_lab(name, FIVE, |lab| {
        write_inventory(lab, "admin");
        let began = Instant::now();
        succeed(&["apply", "--yes"]);
        eprintln!("from nothing: {:.1?}", began.elapsed());
        assert_eq!(table(lab.node("master1")), TABLE);
        let began = Instant::now();
        let again = succeed(&["apply", "--yes"]);
        eprintln!("again: {:.1?}", began.elapsed());
        assert!(again.contains("0 steps done"), "{again}");
    });
}
