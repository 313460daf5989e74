//! The host itself: whether it answers, its system, its size, its clock.

use super::{Findings, Scene};
use crate::inventory::Role;
use crate::plan::steps::refusals::refusals;
use crate::plan::way_out;
use crate::preflight::{Outcome, Severity};

/// What kubeadm's check Mem wants of a control plane, in its MB.
const MASTER_MB: u64 = 1700;
/// What kubelet, the network plugin and a few pods take.
const WORKER_MB: u64 = 900;
/// What kubeadm's check NumCPU wants of a control plane.
const MASTER_CPUS: u32 = 2;
/// The oldest kernel that Kubernetes is tried on.
const OLDEST_KERNEL: (u32, u32) = (4, 19);

pub(super) fn answers(scene: &Scene<'_>, findings: &mut Findings) {
    for node in &scene.inventory.nodes {
        match scene.facts.hosts.get(&node.name) {
            Some(Ok(_)) => {}
            found => {
                // A failure says what to do after a semicolon.
                let (what, fix) = match found {
                    Some(Err(why)) => why.split_once("; ").unwrap_or((why, "")),
                    _ => ("was not asked", ""),
                };
                let way_out = way_out(scene.inventory, scene.facts, node);
                let fix = match fix {
                    "" => way_out,
                    fix => format!("{fix}\n{way_out}"),
                };
                let severity = match scene.facts.without.contains(&node.name) {
                    true => Severity::Warning,
                    false => Severity::Error,
                };
                findings.add(severity, &node.name, what.to_owned(), fix);
            }
        }
    }
}

/// What makes the plan refuse, said before there is one.
pub(super) fn files(scene: &Scene<'_>, findings: &mut Findings) {
    for refusal in refusals(scene.inventory, scene.facts) {
        findings.add(Severity::Error, &refusal.host, refusal.what, refusal.fix);
    }
}

pub(super) fn system(scene: &Scene<'_>, findings: &mut Findings) {
    for (node, host) in scene.hosts() {
        for line in &host.not_understood {
            findings.note(
                node,
                format!("a line of ss or ip is not understood: {line}"),
                "see for yourself whether it is a port or an address that the cluster needs",
            );
        }
    }
    const FAMILIES: [&str; 11] = [
        "debian",
        "ubuntu",
        "rhel",
        "rocky",
        "almalinux",
        "centos",
        "fedora",
        "ol",
        "raspbian",
        "linuxmint",
        "amzn",
    ];
    for (node, host) in scene.hosts() {
        if !host.systemd {
            findings.error(
                node,
                "systemd is not its process 1".to_owned(),
                "take a distribution that boots with systemd; kubelet and evenkeel are units of it",
            );
        }
        if host.package_manager.is_none() {
            findings.error(
                node,
                format!("{} has neither apt nor dnf", named(&host.os.pretty)),
                "take Debian, Ubuntu, or a distribution of the RHEL family",
            );
        } else if !FAMILIES.contains(&host.os.id.as_str()) {
            findings.note(
                node,
                format!(
                    "{} is none of the distributions that this was made for",
                    named(&host.os.pretty)
                ),
                "it may well work: it has apt or dnf",
            );
        }
        if host.interfaces.is_empty() {
            findings.error(
                node,
                "its addresses cannot be seen: the program 'ip' is missing".to_owned(),
                "install iproute2 (iproute on the RHEL family), which kubeadm needs too",
            );
        }
        if !matches!(
            host.arch.as_str(),
            "x86_64" | "aarch64" | "ppc64le" | "s390x"
        ) {
            findings.error(
                node,
                format!("Kubernetes is not built for {}", host.arch),
                "take a 64-bit machine and a 64-bit system",
            );
        }
        if kernel(&host.kernel).is_some_and(|version| version < OLDEST_KERNEL) {
            let (major, minor) = OLDEST_KERNEL;
            findings.warning(
                node,
                format!("kernel {} is older than {major}.{minor}", host.kernel),
                "upgrade the distribution",
            );
        }
    }
}

fn named(pretty: &str) -> &str {
    match pretty {
        "" => "its system",
        pretty => pretty,
    }
}

/// `6.1.0-18-amd64`
fn kernel(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(['.', '-']).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

pub(super) fn size(scene: &Scene<'_>, findings: &mut Findings) {
    for (node, host) in scene.members() {
        let is_master = node.role == Role::ControlPlane;
        if is_master && host.cpus < MASTER_CPUS && !scene.ignores("NumCPU") {
            findings.error(
                node,
                format!(
                    "has {} processor, and kubeadm wants {MASTER_CPUS}",
                    host.cpus
                ),
                "give it another, or add \"NumCPU\" to ignore-preflight-errors in [kubeadm]",
            );
        }
        let mb = host.memory_bytes >> 20;
        if is_master && mb < MASTER_MB && !scene.ignores("Mem") {
            findings.error(
                node,
                format!("has {mb} MB of memory, and kubeadm wants {MASTER_MB}"),
                "give it more, or add \"Mem\" to ignore-preflight-errors in [kubeadm]",
            );
        } else if !is_master && mb < WORKER_MB {
            findings.warning(
                node,
                format!("has {mb} MB of memory, which leaves little for pods"),
                format!("give it {WORKER_MB} MB or more"),
            );
        }
    }
}

pub(super) fn room(scene: &Scene<'_>, findings: &mut Findings) {
    const MIB: u64 = 1 << 20;
    for (node, host) in scene.hosts() {
        // Where, what would stop it, what is comfortable.
        let wanted: &[(&str, u64, u64)] = match node.role {
            Role::Balancer => &[("/", 100 * MIB, 500 * MIB)],
            Role::ControlPlane => &[
                ("/var/lib/etcd", 1024 * MIB, 8192 * MIB),
                ("/var/lib/containerd", 2048 * MIB, 8192 * MIB),
            ],
            Role::Worker => &[
                ("/var/lib/containerd", 2048 * MIB, 8192 * MIB),
                ("/var/lib/kubelet", 512 * MIB, 2048 * MIB),
            ],
        };
        for (path, least, comfortable) in wanted {
            let Some(mount) = host.mounts.iter().find(|mount| mount.path == *path) else {
                continue;
            };
            let free = mount.free_bytes / MIB;
            let fix = format!("make room, or give {path} a disk of its own");
            if mount.free_bytes < *least {
                let what = format!(
                    "{free} MiB are free for {path}; {} are the least",
                    least / MIB
                );
                findings.error(node, what, fix);
            } else if mount.free_bytes < *comfortable {
                let what = format!("{free} MiB are free for {path}, which will not last long");
                findings.warning(node, what, fix);
            }
        }
    }
}

pub(super) fn clock(scene: &Scene<'_>, findings: &mut Findings) {
    /// etcd complains from here on; the question itself may take a part of it.
    const SKEW_MS: i64 = 1000;
    /// kubeadm makes certificates valid from some minutes before now; beyond that they are of the future.
    const FATAL_MS: i64 = 60_000;
    let mut ahead: Vec<i64> = scene.hosts().map(|(_, host)| host.clock_ahead_ms).collect();
    ahead.sort_unstable();
    let Some(median) = ahead.get(ahead.len() / 2).copied() else {
        return;
    };
    for (node, host) in scene.hosts() {
        let skew = host.clock_ahead_ms - median;
        if skew.abs() >= SKEW_MS {
            let word = if skew > 0 { "ahead of" } else { "behind" };
            #[expect(clippy::cast_precision_loss, reason = "tenths of a second are shown")]
            let what = format!(
                "its clock is {:.1} s {word} that of the other hosts",
                skew.abs() as f64 / 1000.0
            );
            let severity = match skew.abs() >= FATAL_MS {
                true => Severity::Error,
                false => Severity::Warning,
            };
            let fix = "install chrony and let it set the clock: chronyc makestep";
            findings.add(severity, &node.name, what, fix);
        }
        let services = [
            "chrony",
            "chronyd",
            "ntp",
            "ntpd",
            "ntpsec",
            "systemd-timesyncd",
        ];
        let runs = |name: &str| {
            let unit = host.units.get(&format!("{name}.service"));
            unit.is_some_and(|unit| unit.active)
        };
        if !services.iter().any(|name| runs(name)) {
            findings.warning(
                node,
                "no time service keeps its clock".to_owned(),
                "install chrony, or let the hypervisor keep it",
            );
        }
    }
    if median.abs() >= SKEW_MS && ahead.len() > 1 {
        #[expect(clippy::cast_precision_loss, reason = "tenths of a second are shown")]
        let seconds = median.abs() as f64 / 1000.0;
        findings.add(
            Severity::Note,
            "",
            format!("this machine's own clock is {seconds:.1} s off from that of the hosts"),
            "tokens and certificates are made by the hosts' clocks, so nothing has to be done",
        );
    }
}

pub(super) fn firewall(scene: &Scene<'_>, findings: &mut Findings) {
    for (node, host) in scene.hosts() {
        let active = ["firewalld", "ufw"].into_iter().find(|name| {
            let unit = host.units.get(&format!("{name}.service"));
            unit.is_some_and(|unit| unit.active)
        });
        let Some(name) = active else {
            continue;
        };
        let ports = match node.role {
            Role::Balancer => format!("{}/tcp", scene.inventory.endpoint.port),
            Role::ControlPlane => "6443/tcp, 2379-2380/tcp, 10250/tcp".to_owned(),
            Role::Worker => "10250/tcp, 30000-32767/tcp and udp".to_owned(),
        };
        let also = match node.role {
            Role::Balancer if scene.inventory.vrrp.is_some() => ", and protocol 112 (VRRP)",
            Role::Balancer => "",
            _ => ", and what the network plugin needs (flannel: 8472/udp)",
        };
        let mut tries = scene.reach.tries.iter();
        let is_blocked = tries.any(|tried| {
            tried.to == node.address
                && matches!(tried.outcome, Outcome::Silent | Outcome::Rejected(_))
        });
        let severity = if is_blocked {
            Severity::Warning
        } else {
            Severity::Note
        };
        findings.add(
            severity,
            &node.name,
            format!("{name} filters what comes in"),
            format!("let the hosts of the cluster reach {ports}{also}"),
        );
    }
}
