//! The kernel: swap, modules, settings, cgroups.

use super::{Findings, Scene};
use crate::plan::steps::MODULES;
use crate::plan::steps::kernel::swap_services;

pub(super) fn swap(scene: &Scene<'_>, findings: &mut Findings) {
    if scene.kubelet_says("failSwapOn", false) {
        return;
    }
    for (node, host) in scene.members() {
        if !host.swaps.is_empty() {
            let what = format!("swap is on: {}", host.swaps.join(", "));
            if host.container.is_empty() {
                findings.note(node, what, "apply turns it off, now and at boot");
                continue;
            }
            findings.error(
                node,
                format!(
                    "{what}, which is that of the machine that runs this container ({})",
                    host.container
                ),
                "turn it off there (swapoff -a, /etc/fstab), or set 'failSwapOn = false' in [kubeadm.kubelet]",
            );
        }
        let services = swap_services(host);
        if !services.is_empty() {
            let what = format!("{} brings swap at boot", services.join(", "));
            findings.note(node, what, "apply switches it off");
        }
    }
}

pub(super) fn modules(scene: &Scene<'_>, findings: &mut Findings) {
    for (node, host) in scene.members() {
        for name in MODULES {
            if host.modules.contains(name) {
                continue;
            }
            if host.absent_modules.contains(name) {
                findings.error(
                    node,
                    format!("its kernel {} has no module {name}", host.kernel),
                    "install linux-modules-extra-$(uname -r) (Ubuntu) or kernel-modules (RHEL family); \
                     reboot if the kernel was upgraded since",
                );
            } else {
                let what = format!("the kernel module {name} is not loaded");
                findings.note(node, what, "apply loads it, now and at boot");
            }
        }
    }
}

pub(super) fn sysctls(scene: &Scene<'_>, findings: &mut Findings) {
    let has_v6 = scene
        .inventory
        .pod_cidrs
        .iter()
        .any(|network| network.addr().is_ipv6());
    for (node, host) in scene.members() {
        let off: Vec<_> = host
            .sysctls
            .iter()
            .filter(|(key, value)| *value == "0" && (has_v6 || !key.starts_with("net.ipv6")))
            .map(|(key, _)| key.as_str())
            .collect();
        if !off.is_empty() {
            let what = format!("off in its kernel: {}", off.join(", "));
            findings.note(node, what, "apply sets them, now and at boot");
        }
    }
}

pub(super) fn cgroups(scene: &Scene<'_>, findings: &mut Findings) {
    /// The first release whose kubelet refuses v1.
    const REFUSED_FROM: u16 = 35;
    let refuses = scene.inventory.kubernetes.minor >= REFUSED_FROM
        && !scene.kubelet_says("failCgroupV1", false);
    for (node, host) in scene.members() {
        if host.cgroup_v2 {
            continue;
        }
        let what = "it has cgroup v1".to_owned();
        let fix = "boot with systemd.unified_cgroup_hierarchy=1, or upgrade the distribution";
        if refuses {
            let fix =
                format!("{fix}; or set 'failCgroupV1 = false' in [kubeadm.kubelet] for a while");
            let what = format!("{what}, which kubelet refuses from 1.{REFUSED_FROM} on");
            findings.error(node, what, fix);
        } else {
            findings.warning(node, format!("{what}, which Kubernetes is giving up"), fix);
        }
    }
}
