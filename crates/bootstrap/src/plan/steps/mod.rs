//! One file for each kind of step: pure functions of what is wanted and what is.

pub mod balancer;
pub mod ca_hash;
pub(crate) mod containerd;
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

/// Files that steps write or judge by, whose text facts must have; the last ones are patterns of the shell.
pub const FILES: [&str; 16] = [
    "/etc/hosts",
    "/etc/fstab",
    "/etc/modules-load.d/90-evenkeel-bootstrap.conf",
    "/etc/containerd/config.toml",
    "/etc/sysctl.d/*.conf",
    "/etc/sysctl.conf",
    "/etc/apt/sources.list.d/*",
    "/etc/yum.repos.d/kubernetes.repo",
    "/etc/evenkeel/evenkeel.toml",
    "/etc/default/evenkeel",
    "/etc/systemd/system/evenkeel.service",
    "/etc/sysusers.d/evenkeel.conf",
    "/etc/keepalived/keepalived.conf",
    "/usr/sbin/evenkeel",
    "/var/lib/evenkeel-bootstrap/files/*.imported",
    "/var/lib/evenkeel-bootstrap/files/*.installed",
];

/// Units that steps start, enable or switch off.
pub const UNITS: [&str; 8] = [
    "zramswap.service",
    "zram-config.service",
    "dphys-swapfile.service",
    "swapspace.service",
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

/// The beginning of scripts that install with apt. What a run that was cut off left half set up makes every later
/// one fail; what this cannot set up, `--fix-broken` says or mends.
const APT: &str =
    "export DEBIAN_FRONTEND=noninteractive\ndpkg --force-confold --configure -a || :\n";

/// apt-get for a shell that nobody types into: a settings file that is there stays as it is, of which dpkg would
/// ask; another package manager is waited for.
const APT_GET: &str = "apt-get -qq -o DPkg::Lock::Timeout=300 -o DPkg::Options::=--force-confold";

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
