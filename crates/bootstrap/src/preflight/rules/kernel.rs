//! The kernel: swap, modules, settings, cgroups.

use super::{Findings, Scene};
use crate::facts::HostFacts;
use crate::plan::steps::kernel::{SYSCTL_FILE, swap_services};
use crate::plan::steps::{MODULES, SYSCTLS};

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
        for (file, key) in later_off(host, has_v6) {
            findings.warning(
                node,
                format!("{file} sets {key} to 0, and is read after {SYSCTL_FILE}: it is off again after the next boot"),
                format!("take that line out of {file}"),
            );
        }
        const FORWARDING: &str = "net.ipv6.conf.all.forwarding";
        let will_forward = has_v6
            && host
                .sysctls
                .get(FORWARDING)
                .is_some_and(|value| value == "0");
        if will_forward && host.default_by_advert {
            findings.warning(
                node,
                "its IPv6 default route comes from a router's adverts, which a kernel that forwards passes over: \
                 it is gone when apply lets the kernel forward"
                    .to_owned(),
                "set net.ipv6.conf.IFACE.accept_ra = 2 for its interface, or give it a default route that stays",
            );
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

/// What files that the boot reads after ours switch off. /etc/sysctl.conf is the last of all where a link in
/// /etc/sysctl.d says so, as Debian's 99-sysctl.conf, or where the whole is read by sysctl(8).
fn later_off(host: &HostFacts, has_v6: bool) -> Vec<(&str, &str)> {
    let is_later = |path: &str| {
        path == "/etc/sysctl.conf" || (path.starts_with("/etc/sysctl.d/") && path > SYSCTL_FILE)
    };
    let files = host.files.iter().filter(|(path, _)| is_later(path));
    let lines = files.flat_map(|(path, file)| {
        let lines = file.text.as_deref().unwrap_or_default().lines();
        lines.map(move |line| (path.as_str(), line))
    });
    lines
        .filter_map(|(path, line)| {
            let (key, value) = line.split_once('=')?;
            let key = key.trim().trim_start_matches('-').replace('/', ".");
            let known = SYSCTLS.into_iter().find(|known| *known == key)?;
            (value.trim() == "0" && (has_v6 || !known.starts_with("net.ipv6")))
                .then_some((path, known))
        })
        .collect()
}
