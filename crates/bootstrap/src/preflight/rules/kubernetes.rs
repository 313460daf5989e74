//! What kubeadm has left on hosts, and the cluster that may be there already.

use super::{Findings, Scene};
use crate::inventory::Role;
use crate::preflight::Severity;

/// How many minor releases a kubelet may be behind its API server (the policy since 1.28).
const KUBELET_BEHIND: u16 = 3;

pub(super) fn leftovers(scene: &Scene<'_>, findings: &mut Findings) {
    for (node, host) in scene.hosts() {
        let kube = &host.kube;
        if kube.is_clean() || !kube.begun.is_empty() || scene.facts.member(&node.name).is_some() {
            continue;
        }
        let reset = format!(
            "evenkeel-bootstrap reset {}, if nothing on it is needed any more",
            node.name
        );
        if node.role == Role::Balancer {
            let what = "is a node of some cluster (there is /etc/kubernetes)".to_owned();
            findings.warning(
                node,
                what,
                "a balancer should stand outside of every cluster",
            );
        } else if scene.facts.cluster.is_some() {
            findings.error(
                node,
                "carries a node of another cluster, or one that was removed from this one"
                    .to_owned(),
                reset,
            );
        } else if kube.admin_conf {
            findings.error(
                node,
                "was a control plane, and its API server does not answer".to_owned(),
                format!("find out why: crictl ps -a, journalctl -u kubelet; or {reset}"),
            );
        } else {
            findings.error(
                node,
                "has joined a cluster, and no control plane of this one answers".to_owned(),
                format!("bring a control plane back; or {reset}"),
            );
        }
    }
}

pub(super) fn begun(scene: &Scene<'_>, findings: &mut Findings) {
    for (node, host) in scene.hosts() {
        if !host.kube.begun.is_empty() {
            let what = format!(
                "'kubeadm {}' was begun and has not been completed",
                host.kube.begun
            );
            findings.note(node, what, "apply cleans up after it and does it again");
        }
    }
}

pub(super) fn patches(scene: &Scene<'_>, findings: &mut Findings) {
    for (node, _) in scene.members() {
        if let Some(folder) = scene.reach.without_patches.get(&node.name) {
            findings.error(
                node,
                format!("there is no folder {folder}, which kubeadm is to read patches from"),
                "put it there, or take 'patches' out of [kubeadm.init] and [kubeadm.join]",
            );
        }
    }
}

/// Days before its end from which on a certificate is spoken of: a third of a quarterly upgrade's distance.
pub(crate) const ENDS_SOON_DAYS: i64 = 30;

pub(super) fn certificates(scene: &Scene<'_>, findings: &mut Findings) {
    for (node, host) in scene.of(Role::ControlPlane) {
        let Some(first) = host.certificates.iter().min_by_key(|each| each.ends) else {
            continue;
        };
        let soon = host.certificates.iter();
        let soon: Vec<_> = soon
            .filter(|each| each.days_left < ENDS_SOON_DAYS)
            .map(|each| each.name.as_str())
            .collect();
        let renew = "evenkeel-bootstrap certs --renew";
        let listed = soon.join(", ");
        if first.days_left < 0 {
            let what = format!(
                "certificates ended on {}, the first of: {listed}",
                first.day()
            );
            findings.warning(node, what, renew);
        } else if !soon.is_empty() {
            let what = format!("certificates end from {} on: {listed}", first.day());
            findings.warning(node, what, renew);
        }
    }
}

pub(super) fn versions(scene: &Scene<'_>, findings: &mut Findings) {
    let Some(cluster) = &scene.facts.cluster else {
        return;
    };
    let wanted = scene.inventory.kubernetes;
    let Some(server) = cluster.server else {
        return;
    };
    if server != wanted {
        let severity = match (server.major, server.minor) == (wanted.major, wanted.minor) {
            true => Severity::Warning,
            false => Severity::Error,
        };
        let fix = match server < wanted {
            true => {
                "evenkeel-bootstrap upgrade brings it there, one control plane at a time".to_owned()
            }
            false => format!(
                "write 'kubernetes = \"{}\"' in cluster.toml; no release goes back",
                server.to_string().trim_start_matches('v')
            ),
        };
        let what = format!("the cluster runs {server}, and cluster.toml says {wanted}");
        findings.add(severity, "", what, fix);
    }
    for node in &cluster.nodes {
        let Some(kubelet) = node.kubelet else {
            continue;
        };
        if (kubelet.major, kubelet.minor) > (server.major, server.minor) {
            let what = format!("its kubelet {kubelet} is newer than the API server {server}");
            findings.add(
                Severity::Error,
                &node.name,
                what,
                "install the kubelet of the cluster's release",
            );
        } else if kubelet.major == server.major && kubelet.minor + KUBELET_BEHIND < server.minor {
            let what = format!(
                "its kubelet {kubelet} is more than {KUBELET_BEHIND} minor releases older than the API \
                 server {server}"
            );
            findings.add(Severity::Error, &node.name, what, "upgrade the node");
        }
    }
}

pub(super) fn voters(scene: &Scene<'_>, findings: &mut Findings) {
    if let Some(what) = scene.inventory.even_voters() {
        let fix = "add a control plane, and one more may be lost";
        findings.add(Severity::Warning, "", what, fix);
    }
}
