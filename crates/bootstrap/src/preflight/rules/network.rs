//! The network: ports, ways from host to host, the VIP, what would catch or shadow it.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{Findings, Scene};
use crate::facts::HostFacts;
use crate::inventory::{Cni, Node, Role};
use crate::plan::steps::balancer::API_PORT;
use crate::preflight::Outcome;

pub(super) fn ports(scene: &Scene<'_>, findings: &mut Findings) {
    const MASTER: [u16; 5] = [API_PORT, 2379, 2380, 10257, 10259];
    const NODE: [u16; 2] = [10250, 10256];
    for (node, host) in scene.hosts() {
        if node.role == Role::Balancer {
            balancer_ports(scene, node, host, findings);
            continue;
        }
        // What Kubernetes itself listens on is taken rightly.
        let is_begun = !host.kube.begun.is_empty();
        let mut wanted = Vec::new();
        if node.role == Role::ControlPlane && !host.kube.apiserver_manifest && !is_begun {
            wanted.extend(MASTER);
        }
        if !host.kube.kubelet_conf && !is_begun {
            wanted.extend(NODE);
        }
        for port in wanted {
            if let Some(listener) = host.listeners.iter().find(|listener| listener.port == port) {
                taken(node, port, &listener.program, findings);
            }
        }
    }
}

fn balancer_ports(scene: &Scene<'_>, node: &Node, host: &HostFacts, findings: &mut Findings) {
    let endpoint = &scene.inventory.endpoint;
    let admin: Option<std::net::SocketAddr> = scene.inventory.balancer.admin.parse().ok();
    let wanted = [
        Some((endpoint.vip, endpoint.port)),
        admin.map(|admin| (admin.ip(), admin.port())),
    ];
    for (address, port) in wanted.into_iter().flatten() {
        let meets =
            |bound: IpAddr| bound == address || bound.is_unspecified() || address.is_unspecified();
        let listener = host
            .listeners
            .iter()
            .find(|listener| listener.port == port && meets(listener.address));
        // A listener whose owner cannot be told may be evenkeel's, if that runs.
        let runs = host
            .units
            .get("evenkeel.service")
            .is_some_and(|unit| unit.active);
        if let Some(listener) = listener
            && !listener.program.starts_with("evenkeel")
            && !(listener.program.is_empty() && runs)
        {
            taken(node, port, &listener.program, findings);
        }
    }
}

fn taken(node: &Node, port: u16, program: &str, findings: &mut Findings) {
    let (what, fix) = match program {
        "" => (
            format!("port {port} is taken"),
            format!("see by whom: ss -ltnp 'sport = {port}'; stop it"),
        ),
        "haproxy" if node.role == Role::Balancer => (
            format!("port {port} is taken by haproxy"),
            "evenkeel takes its place: systemctl disable --now haproxy, right before apply"
                .to_owned(),
        ),
        program => (
            format!("port {port} is taken by {program}"),
            format!("stop {program}, or give it another port"),
        ),
    };
    findings.error(node, what, fix);
}

pub(super) fn reach(scene: &Scene<'_>, findings: &mut Findings) {
    for node in &scene.inventory.nodes {
        // One finding for all ports of a host that are equally out of reach.
        let mut groups: Vec<(&str, IpAddr, &Outcome, Vec<u16>)> = Vec::new();
        for tried in scene
            .reach
            .tries
            .iter()
            .filter(|tried| tried.from == node.name)
        {
            if matches!(tried.outcome, Outcome::Open | Outcome::Refused)
                || (tried.to == scene.inventory.endpoint.vip && is_vip_to_come(scene))
            {
                continue;
            }
            let same = groups
                .iter_mut()
                .find(|(_, to, outcome, _)| *to == tried.to && *outcome == &tried.outcome);
            match same {
                Some((.., ports)) => ports.push(tried.port),
                None => groups.push((&tried.whose, tried.to, &tried.outcome, vec![tried.port])),
            }
        }
        for (whose, to, outcome, ports) in groups {
            let ports: Vec<_> = ports.iter().map(u16::to_string).collect();
            let ports = match ports.as_slice() {
                [one] => format!("port {one}"),
                many => format!("ports {}", many.join(", ")),
            };
            let fix = format!(
                "let {} through to {ports} of {to}, in firewalls on both and between",
                node.address
            );
            match outcome {
                Outcome::Silent => {
                    let what = format!(
                        "gets no answer from {whose} ({to}) at {ports}: packets are dropped"
                    );
                    findings.error(node, what, fix);
                }
                Outcome::Rejected(said) => {
                    let what = format!("cannot connect to {whose} ({to}) at {ports}: {said}");
                    let fix = format!(
                        "{fix}; \"No route to host\" is also what a firewall that rejects says"
                    );
                    findings.error(node, what, fix);
                }
                Outcome::Untried(why) => {
                    let what =
                        format!("could not try to connect to {whose} ({to}) at {ports}: {why}");
                    findings.note(node, what, "install bash on it to have this tried");
                }
                Outcome::Open | Outcome::Refused => {}
            }
        }
    }
}

/// Nobody has the VIP before keepalived runs.
fn is_vip_to_come(scene: &Scene<'_>) -> bool {
    let has = |host: &HostFacts| host.interface_of(scene.inventory.endpoint.vip).is_some();
    !scene.of(Role::Balancer).any(|(_, host)| has(host))
}

pub(super) fn route(scene: &Scene<'_>, findings: &mut Findings) {
    let vip = scene.inventory.endpoint.vip;
    for (node, host) in scene.hosts() {
        if host.route_to_vip.is_none() && !host.interfaces.is_empty() {
            findings.error(
                node,
                format!("has no route to the VIP {vip}"),
                "give it a default route, or one to the VIP's network",
            );
        }
    }
}

pub(super) fn vip(scene: &Scene<'_>, findings: &mut Findings) {
    let vip = scene.inventory.endpoint.vip;
    let has = |host: &HostFacts| host.interface_of(vip).is_some();
    for (node, host) in scene.members() {
        if has(host) {
            findings.error(
                node,
                format!("has the VIP {vip}, which is the balancer's"),
                "take the address away from it (stop a kube-vip or keepalived there)",
            );
        }
    }
    if scene.inventory.vrrp.is_none() {
        for (node, host) in scene.of(Role::Balancer) {
            if !host.interfaces.is_empty() && !has(host) {
                findings.error(
                    node,
                    format!("is the only balancer and does not have the VIP {vip}"),
                    "add the address to its interface for good (netplan, interfaces, nmcli), or add a second \
                     balancer, so that keepalived carries the VIP",
                );
            }
        }
    }
    if is_vip_to_come(scene) && !scene.members().any(|(_, host)| has(host)) {
        let answered = scene.reach.tries.iter().find(|tried| {
            tried.to == vip && matches!(tried.outcome, Outcome::Open | Outcome::Refused)
        });
        if let Some(tried) = answered
            && let Some(node) = scene.inventory.node(&tried.from)
        {
            findings.error(
                node,
                format!("somebody answers at the VIP {vip} who is none of these hosts"),
                format!("find them (ip neigh show {vip}), or take another address as 'vip'"),
            );
        }
    }
}

pub(super) fn vrrp(scene: &Scene<'_>, findings: &mut Findings) {
    let Some(vrrp) = &scene.inventory.vrrp else {
        return;
    };
    for (node, _) in scene.of(Role::Balancer) {
        match scene.reach.adverts.get(&node.name) {
            None => {}
            Some(Err(why)) => findings.note(
                node,
                format!(
                    "could not listen for adverts of other routers with id {}: {why}",
                    vrrp.router_id
                ),
                "look whether keepalived elsewhere in this network has that virtual_router_id",
            ),
            Some(Ok(adverts)) => {
                let is_ours = |from: IpAddr| {
                    let mut balancers = scene.inventory.of(Role::Balancer);
                    balancers.any(|balancer| balancer.address == from)
                };
                let strangers = adverts
                    .iter()
                    .filter(|advert| advert.router_id == vrrp.router_id && !is_ours(advert.from));
                for advert in strangers {
                    findings.error(
                        node,
                        format!(
                            "{} sends adverts with the virtual router id {}",
                            advert.from, vrrp.router_id
                        ),
                        "set another 'router-id' in [vrrp]",
                    );
                }
            }
        }
    }
}

pub(super) fn networks(scene: &Scene<'_>, findings: &mut Findings) {
    /// Links that network plugins and kube-proxy make, which are in these networks rightly.
    const OF_PLUGINS: [&str; 8] = [
        "cni",
        "flannel",
        "cali",
        "vxlan.calico",
        "tunl",
        "wireguard.cali",
        "kube-",
        "nodelocaldns",
    ];
    for (node, host) in scene.hosts() {
        // What stands on the loopback is a single address that is answered here, such as that of a DNS cache:
        // it leads no packet elsewhere.
        let links = host.interfaces.iter().filter(|link| {
            link.name != "lo"
                && !OF_PLUGINS
                    .iter()
                    .any(|prefix| link.name.starts_with(prefix))
        });
        for (link, network) in
            links.flat_map(|link| link.addresses.iter().map(move |net| (link, net)))
        {
            for (what, key, cidrs) in [
                ("pod", "pod-cidr", &scene.inventory.pod_cidrs),
                ("service", "service-cidr", &scene.inventory.service_cidrs),
            ] {
                for cidr in cidrs.iter().filter(|cidr| overlap(cidr, network)) {
                    findings.error(
                        node,
                        format!(
                            "its {} is in {}, which overlaps the {what} network {cidr}",
                            link.name,
                            network.trunc()
                        ),
                        format!("set '{key}' in [cluster] to a network that no host is in"),
                    );
                }
            }
        }
    }
}

fn overlap(one: &IpNet, other: &IpNet) -> bool {
    one.contains(&other.network()) || other.contains(&one.network())
}

pub(super) fn interface(scene: &Scene<'_>, findings: &mut Findings) {
    if !matches!(scene.inventory.cni, Cni::Flannel { .. }) {
        return;
    }
    for (node, host) in scene.members() {
        let Some(link) = host.interface_of(node.address) else {
            continue;
        };
        let default = host.default_interface.as_str();
        if default == link.name {
            continue;
        }
        let what = match default {
            "" => "has no default route, without which flannel finds no interface".to_owned(),
            default => format!(
                "its default route leaves by {default}, which flannel takes, and {} is on {}",
                node.address, link.name
            ),
        };
        findings.warning(
            node,
            what,
            format!(
                "bring a manifest of flannel with the argument --iface={} as 'manifest' in [cni]",
                link.name
            ),
        );
    }
}

pub(super) fn proxy(scene: &Scene<'_>, findings: &mut Findings) {
    let inventory = scene.inventory;
    for (node, host) in scene.members() {
        let Some(proxy) = host.proxies.get("HTTPS_PROXY") else {
            continue;
        };
        let exceptions = host.proxies.get("NO_PROXY").map_or("", String::as_str);
        let mut caught: Vec<String> = Vec::new();
        let addresses = std::iter::once(inventory.endpoint.vip).chain(
            inventory
                .of(Role::ControlPlane)
                .map(|master| master.address),
        );
        for address in addresses {
            if !excepted(exceptions, address) && !caught.contains(&address.to_string()) {
                caught.push(address.to_string());
            }
        }
        let networks = inventory.pod_cidrs.iter().chain(&inventory.service_cidrs);
        let open: Vec<_> = networks
            .filter(|network| !excepted(exceptions, network.network()))
            .map(ToString::to_string)
            .collect();
        let fix = |missing: &[String]| {
            format!("add {} to NO_PROXY in /etc/environment", missing.join(","))
        };
        if !caught.is_empty() {
            let what = format!("HTTPS_PROXY ({proxy}) would catch {}", caught.join(", "));
            caught.extend(open);
            findings.error(node, what, fix(&caught));
        } else if !open.is_empty() {
            let what = format!(
                "HTTPS_PROXY ({proxy}) would catch pods and services in {}",
                open.join(", ")
            );
            findings.warning(node, what, fix(&open));
        }
    }
}

/// As Go reads NO_PROXY: `*`, addresses, networks; names say nothing of addresses.
fn excepted(exceptions: &str, address: IpAddr) -> bool {
    exceptions.split(',').map(str::trim).any(|word| {
        word == "*"
            || word.parse() == Ok(address)
            || word
                .parse::<IpNet>()
                .is_ok_and(|network| network.contains(&address))
    })
}
