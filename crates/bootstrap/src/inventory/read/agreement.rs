//! What values mean together: names and addresses that are used once, networks that lie apart, a VIP
//! that nobody else has, families that fit.

use std::net::IpAddr;

use evenkeel_config::Place;
use evenkeel_config::tables::{File, Spanned};
use ipnet::IpNet;

use super::ClusterDraft;
use super::nodes::NodeDraft;
use crate::inventory::Role;

/// Notes every contradiction. Values that were wrong by themselves are not there any more, and are
/// not spoken of again.
pub(super) fn check(
    file: &File<'_>,
    cluster: &ClusterDraft,
    nodes: &[NodeDraft],
    admin: Option<&Spanned<String>>,
) {
    roles(file, nodes);
    unique(file, nodes);
    local(file, nodes);
    domains(file, cluster);
    vip(file, cluster, nodes);
    ports(file, cluster, nodes, admin);
    for (what, networks, limits) in [
        ("pod", &cluster.pod_cidrs, &POD_LIMITS),
        ("service", &cluster.service_cidrs, &SERVICE_LIMITS),
    ] {
        families(file, what, networks);
        sizes(file, what, networks, limits);
        apart_from_hosts(file, what, networks, cluster, nodes);
    }
    apart(file, cluster);
    same_families(file, cluster, nodes);
    room_for_pods(file, cluster, nodes);
}

/// Which prefix lengths kubeadm takes, IPv4 and IPv6.
struct Limits {
    v4: (u8, u8),
    v6: (u8, u8),
}

/// From one /24 (/64) for a single node; 16 bits of nodes are the most that are handed out.
const POD_LIMITS: Limits = Limits {
    v4: (8, 24),
    v6: (48, 64),
};
/// At most 20 bits, at least 10 addresses (kubeadm's validation).
const SERVICE_LIMITS: Limits = Limits {
    v4: (12, 28),
    v6: (108, 124),
};

fn is(node: &NodeDraft, role: Role) -> bool {
    node.role.as_ref().is_some_and(|said| said.value == role)
}

fn roles(file: &File<'_>, nodes: &[NodeDraft]) {
    // A node whose role is wrong may have been meant to be any of them.
    if nodes.is_empty() || nodes.iter().any(|node| node.role.is_none()) {
        return;
    }
    let of = |role| nodes.iter().filter(move |node| is(node, role));
    let start = nodes[0].place.clone();
    if of(Role::Balancer).next().is_none() {
        let message = "no node has the role \"lb\"; evenkeel, which serves the VIP, needs a host of \
                       its own";
        file.error(start.clone(), message.to_owned());
    }
    if of(Role::ControlPlane).next().is_none() {
        let message = "no node has the role \"control-plane\"; 'kubeadm init' needs one";
        file.error(start, message.to_owned());
        return;
    }
    if of(Role::Worker).next().is_none() {
        let message = "no node has the role \"worker\"; pods of yours run on workers, since control planes \
                       keep them off";
        file.warning(start, message.to_owned());
    }
}

fn unique(file: &File<'_>, nodes: &[NodeDraft]) {
    for (index, node) in nodes.iter().enumerate() {
        let before = &nodes[..index];
        if let Some(name) = &node.name
            && let Some(known) = before
                .iter()
                .filter_map(|node| node.name.as_ref())
                .find(|known| known.value == name.value)
        {
            let message = format!(
                "'{}' is the name of another node already, in line {}",
                name.value, known.place.line
            );
            file.error(name.place.clone(), message);
        }
        if let Some(address) = &node.address
            && let Some(known) = before
                .iter()
                .filter_map(|node| node.address.as_ref())
                .find(|known| known.value == address.value)
        {
            let message = format!(
                "{} is the address of another node already, in line {}",
                address.value, known.place.line
            );
            file.error(address.place.clone(), message);
        }
    }
}

/// There is one machine that this runs on.
fn local(file: &File<'_>, nodes: &[NodeDraft]) {
    let mut local = nodes.iter().filter(|node| node.is_local());
    let Some(first) = local.next() else {
        return;
    };
    for node in local {
        let name = first.name.as_ref().map_or("one", |name| &name.value);
        let message = format!(
            "'local' is the host that evenkeel-bootstrap runs on, which {name} in line {} is already",
            first.place.line
        );
        file.error(node.place.clone(), message);
    }
}

/// The cluster's DNS answers for everything in its domain: hosts in it could not be found from pods.
fn domains(file: &File<'_>, cluster: &ClusterDraft) {
    let services = cluster
        .dns_domain
        .as_ref()
        .map_or(super::DNS_DOMAIN, |said| &said.value);
    let Some(hosts) = &cluster.domain else {
        return;
    };
    if hosts.value == services || hosts.value.ends_with(&format!(".{services}")) {
        let message = format!(
            "the hosts' domain {} lies in '{services}', which the cluster's DNS answers for, so that pods \
             could not find a host; give one of them another name ('domain', 'dns-domain')",
            hosts.value
        );
        file.error(hosts.place.clone(), message);
    }
}

/// Who else listens where a balancer binds the VIP.
fn ports(
    file: &File<'_>,
    cluster: &ClusterDraft,
    nodes: &[NodeDraft],
    admin: Option<&Spanned<String>>,
) {
    let Some(vip) = &cluster.vip else {
        return;
    };
    let (address, port) = (vip.value.vip, vip.value.port);
    let balancers = || nodes.iter().filter(|node| is(node, Role::Balancer));
    if let Some(balancer) = balancers().find(|node| node.ssh_port() == port) {
        let name = balancer
            .name
            .as_ref()
            .map_or("a balancer", |name| &name.value);
        let message = format!(
            "port {port} of the VIP is where sshd of {name} listens; take another, 6443 as a rule"
        );
        file.error(vip.place.clone(), message);
    }
    let Some(said) = admin else {
        return;
    };
    let Ok(listens) = said.value.parse::<std::net::SocketAddr>() else {
        return;
    };
    let is_same = listens.ip() == address
        || listens.ip().is_unspecified()
            && (listens.is_ipv4() == address.is_ipv4() || listens.is_ipv6());
    if listens.port() == port && is_same {
        let message = format!(
            "'admin' {listens} takes the port of the VIP {}, which the balancer serves clients at; take \
             another port",
            vip.value
        );
        file.error(said.place.clone(), message);
    }
}

fn vip(file: &File<'_>, cluster: &ClusterDraft, nodes: &[NodeDraft]) {
    let Some(vip) = &cluster.vip else {
        return;
    };
    let balancers = nodes.iter().filter(|node| is(node, Role::Balancer)).count();
    for node in nodes {
        let (Some(address), Some(role)) = (&node.address, &node.role) else {
            continue;
        };
        if address.value != vip.value.vip {
            continue;
        }
        let why = match role.value {
            Role::ControlPlane => {
                "the address of a control plane, whose API server has that port itself; the VIP is \
                 the balancer's"
            }
            Role::Worker => "the address of a worker; the VIP is the balancer's",
            Role::Balancer if balancers > 1 => {
                "the address of one balancer, which cannot move to another; give the VIP an address \
                 of its own"
            }
            Role::Balancer => continue,
        };
        let message = format!("the VIP {} is {why}", address.value);
        file.error(address.place.clone(), message);
    }
    for (what, networks) in [
        ("pod", &cluster.pod_cidrs),
        ("service", &cluster.service_cidrs),
    ] {
        for network in networks {
            if network.value.contains(&vip.value.vip) {
                let message = format!(
                    "the VIP {} lies in the {what} network {}, so pods could not reach it",
                    vip.value.vip, network.value
                );
                file.error(vip.place.clone(), message);
            }
        }
    }
}

fn is_v4(network: &IpNet) -> bool {
    matches!(network, IpNet::V4(_))
}

fn families(file: &File<'_>, what: &str, networks: &[Spanned<IpNet>]) {
    for (index, network) in networks.iter().enumerate() {
        let of_same = |known: &&Spanned<IpNet>| is_v4(&known.value) == is_v4(&network.value);
        if let Some(known) = networks[..index].iter().find(of_same) {
            let message = format!(
                "a second {what} network of the same family as {}; there may be one IPv4 and one \
                 IPv6 network",
                known.value
            );
            file.error(network.place.clone(), message);
        }
    }
}

fn sizes(file: &File<'_>, what: &str, networks: &[Spanned<IpNet>], limits: &Limits) {
    for network in networks {
        let (shortest, longest) = match is_v4(&network.value) {
            true => limits.v4,
            false => limits.v6,
        };
        let length = network.value.prefix_len();
        if !(shortest..=longest).contains(&length) {
            let message = format!(
                "the {what} network {} must have a prefix length from /{shortest} to /{longest}",
                network.value
            );
            file.error(network.place.clone(), message);
        }
    }
}

fn apart_from_hosts(
    file: &File<'_>,
    what: &str,
    networks: &[Spanned<IpNet>],
    cluster: &ClusterDraft,
    nodes: &[NodeDraft],
) {
    for address in nodes.iter().filter_map(|node| node.address.as_ref()) {
        for network in networks {
            let is_vip = cluster
                .vip
                .as_ref()
                .is_some_and(|vip| vip.value.vip == address.value);
            if network.value.contains(&address.value) && !is_vip {
                let message = format!(
                    "{} lies in the {what} network {}; set '{what}-cidr' in [cluster] to one that \
                     no host is in",
                    address.value, network.value
                );
                file.error(address.place.clone(), message);
            }
        }
    }
}

/// Pods and services.
fn apart(file: &File<'_>, cluster: &ClusterDraft) {
    for pods in &cluster.pod_cidrs {
        for services in &cluster.service_cidrs {
            let (one, other) = (&pods.value, &services.value);
            if one.contains(other) || other.contains(one) {
                let message =
                    format!("the pod network {one} and the service network {other} overlap");
                file.error(later(&pods.place, &services.place), message);
            }
        }
    }
}

fn later(one: &Place, other: &Place) -> Place {
    let order = |place: &Place| (place.line, place.column);
    match order(one) > order(other) {
        true => one.clone(),
        false => other.clone(),
    }
}

/// An address of a family that pods do not have can be no node's address.
fn same_families(file: &File<'_>, cluster: &ClusterDraft, nodes: &[NodeDraft]) {
    let has = |networks: &[Spanned<IpNet>], v4: bool| {
        networks.is_empty() || networks.iter().any(|network| is_v4(&network.value) == v4)
    };
    for (v4, family) in [(true, "IPv4"), (false, "IPv6")] {
        let pods = has(&cluster.pod_cidrs, v4);
        if pods != has(&cluster.service_cidrs, v4) {
            let (networks, one, other) = match pods {
                true => (&cluster.pod_cidrs, "pod", "service"),
                false => (&cluster.service_cidrs, "service", "pod"),
            };
            let message = format!(
                "there is an {family} {one} network and no {family} {other} network; a family needs \
                 both"
            );
            let network = networks.iter().find(|network| is_v4(&network.value) == v4);
            if let Some(network) = network {
                file.error(network.place.clone(), message);
            }
        }
        let of_family = |address: &IpAddr| address.is_ipv4() == v4;
        if pods {
            continue;
        }
        let members = nodes.iter().filter(|node| !is(node, Role::Balancer));
        for address in members.filter_map(|node| node.address.as_ref()) {
            if of_family(&address.value) {
                let message = format!(
                    "{} is {family}, and 'pod-cidr' in [cluster] has no {family} network",
                    address.value
                );
                file.error(address.place.clone(), message);
            }
        }
        if let Some(vip) = &cluster.vip
            && of_family(&vip.value.vip)
        {
            let message = format!(
                "the VIP {} is {family}, and 'pod-cidr' has no {family} network",
                vip.value.vip
            );
            file.error(vip.place.clone(), message);
        }
    }
}

/// Each node of the cluster takes a /24, or a /64.
fn room_for_pods(file: &File<'_>, cluster: &ClusterDraft, nodes: &[NodeDraft]) {
    let members = nodes
        .iter()
        .filter(|node| !is(node, Role::Balancer))
        .count();
    for network in &cluster.pod_cidrs {
        let share = match is_v4(&network.value) {
            true => POD_LIMITS.v4.1,
            false => POD_LIMITS.v6.1,
        };
        let Some(bits) = share.checked_sub(network.value.prefix_len()) else {
            continue;
        };
        let room = 1_usize.checked_shl(bits.into()).unwrap_or(usize::MAX);
        if room < members {
            let message = format!(
                "the pod network {} has room for {room} nodes, a /{share} each, and there are \
                 {members}",
                network.value
            );
            file.error(network.place.clone(), message);
        }
    }
}
