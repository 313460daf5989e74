//! Who a host is: what must differ from host to host, and what must be as cluster.toml says.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::{Findings, Scene};
use crate::facts::HostFacts;
use crate::preflight::Severity;

/// What hosts are told apart by.
struct Mark {
    name: &'static str,
    severity: Severity,
    fix: &'static str,
    of: fn(&HostFacts) -> Vec<String>,
}

static MARKS: [Mark; 3] = [
    Mark {
        name: "machine-id",
        severity: Severity::Error,
        fix: "on all of them but one: rm -f /etc/machine-id /var/lib/dbus/machine-id; \
              systemd-machine-id-setup; reboot",
        of: |host| vec![host.machine_id.clone()],
    },
    Mark {
        name: "MAC address",
        severity: Severity::Error,
        fix: "give the clone a MAC address of its own in the hypervisor",
        of: |host| {
            host.interfaces
                .iter()
                .filter(|link| !link.addresses.is_empty())
                .map(|link| link.mac.clone())
                .collect()
        },
    },
    // Containers share it by nature, and nothing of Kubernetes reads it but for show.
    Mark {
        name: "product_uuid",
        severity: Severity::Warning,
        fix: "give the clone a UUID of its own in the hypervisor; kubeadm's manual asks for it",
        of: |host| vec![host.product_uuid.clone()],
    },
];

pub(super) fn identity(scene: &Scene<'_>, findings: &mut Findings) {
    for mark in &MARKS {
        let mut owners: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for (node, host) in scene.hosts() {
            let mut values = (mark.of)(host);
            values.sort();
            values.dedup();
            for value in values.into_iter().filter(|value| !value.is_empty()) {
                owners.entry(value).or_default().push(&node.name);
            }
        }
        for (value, names) in owners {
            if let [first, others @ .., last] = names.as_slice() {
                let both = match others {
                    [] => format!("{first} and {last}"),
                    _ => format!("{first}, {} and {last}", others.join(", ")),
                };
                let what = format!("{both} have the same {}, {value}", mark.name);
                findings.add(mark.severity, last, what, mark.fix);
            }
        }
    }
}

pub(super) fn hostname(scene: &Scene<'_>, findings: &mut Findings) {
    for (node, host) in scene.hosts() {
        if host.hostname == node.name {
            continue;
        }
        // A node that has joined is known by its name to the cluster; another name makes it another node.
        if host.kube.kubelet_conf && host.hostname != scene.inventory.full_name(node) {
            findings.warning(
                node,
                format!("is called '{}' and has joined a cluster", host.hostname),
                format!(
                    "if the cluster knows it as '{}', call it so in cluster.toml",
                    host.hostname
                ),
            );
        } else {
            let what = format!("is called '{}'", host.hostname);
            findings.note(node, what, format!("apply names it '{}'", node.name));
        }
    }
}

pub(super) fn address(scene: &Scene<'_>, findings: &mut Findings) {
    for (node, host) in scene.hosts() {
        if host.interfaces.is_empty() || host.interface_of(node.address).is_some() {
            continue;
        }
        let has: Vec<_> = host
            .interfaces
            .iter()
            .flat_map(|link| {
                link.addresses
                    .iter()
                    .map(|address| address.addr().to_string())
            })
            .collect();
        let has = match has.as_slice() {
            [] => "it has none".to_owned(),
            has => format!("it has {}", has.join(", ")),
        };
        findings.error(
            node,
            format!("does not have the address {}; {has}", node.address),
            "correct 'address' in cluster.toml; a host behind NAT has its inner address there, and the \
             outer one in 'ssh'",
        );
    }
}

pub(super) fn names(scene: &Scene<'_>, findings: &mut Findings) {
    for (node, host) in scene.hosts() {
        for (name, address) in strays(scene, host.text("/etc/hosts").unwrap_or_default()) {
            findings.warning(
                node,
                format!("/etc/hosts gives {name} the address {address}"),
                "remove that line; apply lists every host of the cluster in a block of its own",
            );
        }
    }
}

/// Lines outside our block that speak of hosts of the cluster, and of other addresses. A host's own name at
/// 127.0.1.1 is what Debian's installer writes, and harmless: node-ip is set.
fn strays(scene: &Scene<'_>, text: &str) -> Vec<(String, IpAddr)> {
    let mut strays = Vec::new();
    let mut is_ours = false;
    for line in text.lines() {
        match line.trim() {
            "# BEGIN evenkeel-bootstrap" => is_ours = true,
            "# END evenkeel-bootstrap" => is_ours = false,
            _ => {}
        }
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_whitespace();
        let Some(address) = words.next().and_then(|word| word.parse::<IpAddr>().ok()) else {
            continue;
        };
        if is_ours || address.is_loopback() {
            continue;
        }
        for word in words {
            let known = scene
                .inventory
                .nodes
                .iter()
                .find(|node| node.name == word || scene.inventory.full_name(node) == word);
            if known.is_some_and(|node| node.address != address) {
                strays.push((word.to_owned(), address));
            }
        }
    }
    strays
}
