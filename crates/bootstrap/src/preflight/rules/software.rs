//! Software: the container runtime, and whether Kubernetes can be brought to its release.

use super::{Findings, Scene};
use crate::facts::PackageManager;
use crate::inventory::{Role, Version};
use crate::plan::steps::containerd::{Fault, Wanted, faults};

/// `ID` of /etc/os-release where the distribution itself has no containerd; Fedora does.
const RHEL_FAMILY: [&str; 5] = ["almalinux", "centos", "ol", "rhel", "rocky"];

pub(super) fn selinux(scene: &Scene<'_>, findings: &mut Findings) {
    for (node, host) in scene.members() {
        if host.selinux == "enforcing" {
            findings.warning(
                node,
                "SELinux is enforcing, which keeps pods from files that they are given where its policy for containers \
                 is missing or older than they are"
                    .to_owned(),
                "install container-selinux; if pods are denied (ausearch -m avc), set it to permissive as kubeadm's \
                 guide does: setenforce 0, and SELINUX=permissive in /etc/selinux/config",
            );
        }
    }
}

pub(super) fn runtime(scene: &Scene<'_>, findings: &mut Findings) {
    /// The first containerd with the CRI v1 that kubelet speaks since 1.26.
    const OLDEST: (u32, u32) = (1, 6);
    let wanted = &scene.inventory.runtime;
    let how = Wanted::by(scene.inventory);
    for (node, host) in scene.members() {
        let found = &host.runtime;
        if !wanted.managed && !found.socket {
            findings.error(
                node,
                format!("no container runtime answers at {}", wanted.socket),
                "install and start it, or let evenkeel-bootstrap do it: 'managed = true' in [runtime]",
            );
        }
        let brings_packages = !scene.inventory.artefacts.packages.is_empty();
        if wanted.managed
            && wanted.package == "containerd"
            && !brings_packages
            && !host.has("containerd")
            && RHEL_FAMILY.contains(&host.os.id.as_str())
        {
            findings.error(
                node,
                format!("{} has no package containerd in its repositories", host.os.pretty),
                "add Docker's repository (dnf config-manager --add-repo \
                 https://download.docker.com/linux/rhel/docker-ce.repo) and set 'package = \"containerd.io\"' in \
                 [runtime]",
            );
        }
        let Some(version) = host.programs.get("containerd") else {
            continue;
        };
        if let Some(found) = numbers(version).filter(|found| *found < OLDEST) {
            let (major, minor) = OLDEST;
            findings.error(
                node,
                format!("containerd {}.{} is older than {major}.{minor}, which kubelet needs", found.0, found.1),
                "upgrade containerd; 'package = \"containerd.io\"' in [runtime] names Docker's package",
            );
        }
        if numbers(version).is_some_and(|(major, _)| major < 2)
            && scene.inventory.kubernetes.minor >= 37
        {
            findings.warning(
                node,
                format!("containerd {version} cannot tell kubelet its cgroup driver, which 1.38 will insist on"),
                "upgrade to containerd 2 before the next minor release of Kubernetes",
            );
        }
        if wanted.managed || found.settings.is_empty() {
            continue;
        }
        // Settings that cannot be read are containerd's to complain about.
        for fault in faults(&found.settings, how).unwrap_or_default() {
            let (what, fix) = said(&fault, how);
            findings.error(
                node,
                what,
                format!(
                    "{fix} in /etc/containerd/config.toml and restart containerd, or set 'managed = true' in [runtime]"
                ),
            );
        }
    }
}

fn said(fault: &Fault, how: Wanted) -> (String, String) {
    match fault {
        Fault::Disabled => (
            "containerd's part for Kubernetes is switched off (disabled_plugins has \"cri\")"
                .to_owned(),
            "take it out".to_owned(),
        ),
        Fault::Cgroups { runtime } => {
            let (has, kubelet) = match how.systemd {
                true => ("cgroupfs", "systemd"),
                false => ("systemd", "cgroupfs"),
            };
            (
                format!(
                    "the cgroup driver of containerd's runtime {runtime} is {has}, and kubelet's {kubelet}"
                ),
                format!("set 'SystemdCgroup = {}' for it", how.systemd),
            )
        }
        Fault::CniFolder(folder) => (
            format!(
                "containerd looks for plugins of the network in {folder}, and they will be in /opt/cni/bin"
            ),
            "set 'bin_dir'".to_owned(),
        ),
    }
}

/// `1.6.20~ds1`, `v2.0.1`
fn numbers(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.trim_start_matches('v').split('.').map(str::parse);
    Some((parts.next()?.ok()?, parts.next()?.ok()?))
}

pub(super) fn programs(scene: &Scene<'_>, findings: &mut Findings) {
    let wanted = scene.inventory.kubernetes;
    let artefacts = &scene.inventory.artefacts;
    let brings_nothing = artefacts.offline && artefacts.packages.is_empty();
    for (node, host) in scene.members() {
        for name in ["kubeadm", "kubelet", "kubectl"] {
            let found = host.kubernetes(name);
            match found {
                Some(found) if found == wanted => {}
                Some(found) if found > wanted && name != "kubectl" => {
                    findings.error(
                        node,
                        format!("{name} {found} is installed, which is newer than {wanted}"),
                        removal(host.package_manager, name, found),
                    );
                }
                Some(found) if host.kube.kubelet_conf => {
                    // Not to be replaced in passing: versions says so.
                    let _ = found;
                }
                _ if brings_nothing => {
                    let what = match found {
                        Some(found) => format!("{name} is {found}, not {wanted}"),
                        None => format!("{name} {wanted} is not installed"),
                    };
                    findings.error(
                        node,
                        format!("{what}, and the site is offline"),
                        "list its package in 'packages' of [artefacts], or install it by hand",
                    );
                }
                Some(found) => {
                    let what = format!("{name} {found} is installed");
                    findings.note(node, what, format!("apply brings {wanted}"));
                }
                None => {}
            }
        }
        if brings_nothing
            && scene.inventory.runtime.managed
            && !host.programs.contains_key("containerd")
        {
            findings.error(
                node,
                "containerd is not installed, and the site is offline".to_owned(),
                "list its package in 'packages' of [artefacts], or install it by hand",
            );
        }
    }
}

/// keepalived, where balancers share the VIP.
pub(super) fn keepalived(scene: &Scene<'_>, findings: &mut Findings) {
    let Some(vrrp) = &scene.inventory.vrrp else {
        return;
    };
    let comes = !scene.inventory.artefacts.offline || !vrrp.packages.is_empty();
    for (node, host) in scene.of(Role::Balancer) {
        if !comes && !host.programs.contains_key("keepalived") {
            findings.error(
                node,
                "keepalived is not installed, and the site is offline".to_owned(),
                "list its package files in 'packages' of [vrrp], or install it by hand",
            );
        }
    }
}

fn removal(manager: Option<PackageManager>, name: &str, found: Version) -> String {
    let command = match manager {
        Some(PackageManager::Dnf) => format!("dnf remove {name}"),
        _ => format!("apt-get remove --allow-change-held-packages {name}"),
    };
    format!("take {found} as 'kubernetes' in cluster.toml, or remove it: {command}")
}
