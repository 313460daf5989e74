//! The operator of the picture, at 10.0.1.1: has a cluster.toml for the machines of a lab and runs the
//! program from there, to its end or until something is seen.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use crate::by_hand::CNI;
use crate::lab::{DIRECTORY, Lab};
use crate::node::Node;
use crate::parcels::RELEASE;
use crate::wait::within;

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
pub(crate) fn write_inventory(lab: &Lab, user: &str) {
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

/// Changes a part of cluster.toml, which must be there.
#[track_caller]
pub(crate) fn edit_inventory(from: &str, to: &str) {
    let path = format!("{DIRECTORY}/cluster.toml");
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "no {from:?} in:\n{text}");
    fs::write(path, text.replace(from, to)).unwrap();
}

/// The program, at the machine of the operator.
pub(crate) fn bootstrap(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_evenkeel-bootstrap"));
    let home = format!("{DIRECTORY}/home");
    fs::create_dir_all(&home).unwrap();
    command
        .args(arguments)
        .args(["--file", &format!("{DIRECTORY}/cluster.toml")])
        .env("HOME", &home)
        .env("XDG_RUNTIME_DIR", &home)
        .env("XDG_STATE_HOME", format!("{home}/state"))
        .stdin(Stdio::null())
        .current_dir(DIRECTORY);
    command
}

pub(crate) fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Runs the program to its end, which must be a good one. What it said.
#[track_caller]
pub(crate) fn succeed(arguments: &[&str]) -> String {
    let output = bootstrap(arguments).output().unwrap();
    let said = said(&output);
    assert!(
        output.status.success(),
        "{arguments:?}: {}\n{said}",
        output.status
    );
    said
}

/// Runs the program to its end, which must be exit status 1: something failed. What it said.
#[track_caller]
pub(crate) fn fail(arguments: &[&str]) -> String {
    let output = bootstrap(arguments).output().unwrap();
    let said = said(&output);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}:\n{said}");
    said
}

/// The program while it runs; what it prints of its progress comes line by line.
pub(crate) struct Running {
    child: Child,
    lines: BufReader<std::process::ChildStderr>,
    said: String,
}

impl Running {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let out = File::create(format!("{DIRECTORY}/stdout")).unwrap();
        let mut child = bootstrap(arguments)
            .stdout(out)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap());
        Self {
            child,
            lines,
            said: String::new(),
        }
    }

    /// Reads on until a line is what is looked for; `None` if the program ended before.
    pub(crate) fn line(&mut self, mut is_it: impl FnMut(&str) -> bool) -> Option<String> {
        loop {
            let mut line = String::new();
            if self.lines.read_line(&mut line).unwrap() == 0 {
                return None;
            }
            self.said += &line;
            if is_it(line.trim_end()) {
                return Some(line.trim_end().to_owned());
            }
        }
    }

    /// Waits until a machine runs a command, given as it begins.
    #[track_caller]
    pub(crate) fn until_runs(&mut self, node: &Node, command: &str) {
        let runs = within(Duration::from_secs(120), || {
            if let Some(status) = self.child.try_wait().unwrap() {
                while self.line(|_| false).is_some() {}
                panic!("it ended ({status}) before {command:?} ran:\n{}", self.said);
            }
            let output = node.try_sh(&format!("pgrep -f '^{command}'"));
            output.status.success().then_some(())
        });
        assert!(
            runs.is_some(),
            "{command:?} does not run on {}",
            node.name()
        );
    }

    /// `SIGKILL`, to it alone: what it started goes on, as it does when an operator's machine kills it.
    pub(crate) fn kill(mut self) -> String {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.said
    }

    /// Waits for its end. What it said, the standard output first.
    pub(crate) fn end(mut self) -> (ExitStatus, String) {
        while self.line(|_| false).is_some() {}
        let status = self.child.wait().unwrap();
        let out = fs::read_to_string(format!("{DIRECTORY}/stdout")).unwrap();
        (status, out + &self.said)
    }
}
