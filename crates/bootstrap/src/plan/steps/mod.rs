//! One file for each kind of step: pure functions of what is wanted and what is.

pub mod balancer;
pub mod ca_hash;
pub mod credentials;
#[cfg(test)]
pub(crate) mod example;
mod files;
pub mod hosts;
pub mod init;
pub mod join;
pub mod keepalived;
pub mod kernel;
pub mod kubeadm_config;
pub mod manifest;
pub mod refusals;
pub(crate) mod shell;
pub mod software;

use super::{Action, Fact, Step};
use crate::inventory::Node;

/// Files that steps write or judge by, whose text facts must have; the last is a pattern of the shell.
pub const FILES: [&str; 13] = [
    "/etc/hosts",
    "/etc/fstab",
    "/etc/modules-load.d/90-evenkeel-bootstrap.conf",
    "/etc/sysctl.d/90-evenkeel-bootstrap.conf",
    "/etc/containerd/config.toml",
    "/etc/apt/sources.list.d/kubernetes.list",
    "/etc/yum.repos.d/kubernetes.repo",
    "/etc/evenkeel/evenkeel.toml",
    "/etc/default/evenkeel",
    "/etc/systemd/system/evenkeel.service",
    "/etc/sysusers.d/evenkeel.conf",
    "/etc/keepalived/keepalived.conf",
    "/var/lib/evenkeel-bootstrap/files/*.imported",
];

/// Units that steps start or enable.
pub const UNITS: [&str; 4] = [
    "containerd.service",
    "kubelet.service",
    "evenkeel.service",
    "keepalived.service",
];

/// Packages that steps install or hold.
pub const PACKAGES: [&str; 7] = [
    "containerd",
    "containerd.io",
    "kubeadm",
    "kubelet",
    "kubectl",
    "evenkeel",
    "keepalived",
];

/// Programs whose version facts must have: as `v1.36.2` for those of Kubernetes, as each says it for others.
pub const PROGRAMS: [&str; 6] = [
    "containerd",
    "kubeadm",
    "kubelet",
    "kubectl",
    "evenkeel",
    "keepalived",
];

/// Kernel modules and settings, as [`Fact::Module`](crate::plan::Fact) asks for them.
pub const MODULES: [&str; 2] = ["overlay", "br_netfilter"];
/// See [`MODULES`].
pub const SYSCTLS: [&str; 4] = [
    "net.bridge.bridge-nf-call-iptables",
    "net.bridge.bridge-nf-call-ip6tables",
    "net.ipv4.ip_forward",
    "net.ipv6.conf.all.forwarding",
];

/// What is added to the name of a file that was there before we changed it for the first time.
const KEPT: &str = ".before-evenkeel";

/// Keeps a copy of a file that we are about to change for the first time.
fn keep(path: &str) -> String {
    format!("if [ -e {path} ] && [ ! -e {path}{KEPT} ]; then cp -p {path} {path}{KEPT}; fi\n")
}

/// A step of `node`, which is known by its host and `what`.
fn step(
    node: &Node,
    what: &str,
    title: String,
    brings: Vec<Fact>,
    actions: Vec<Action>,
    advice: &str,
) -> Step {
    Step {
        id: format!("{}/{what}", node.name),
        host: node.name.clone(),
        title,
        brings,
        actions,
        advice: advice.to_owned(),
    }
}
