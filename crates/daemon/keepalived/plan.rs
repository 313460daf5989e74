//! From what is wanted and what is there to what is printed; pure. Every mistake is told at once.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{Facts, Vip, Wanted};
use crate::health::{ADMIN, MASTER_SOCKET};

/// More nodes than these share no address in practice, and priorities would run out.
const MOST_PEERS: usize = 3;
/// The priority of the node with the lowest address; each further one has `STEP` less, so that two
/// that start together do not both take the addresses first.
const HIGHEST: u8 = 200;
const STEP: u8 = 50;
/// How long each script looks: until shortly before the next one, a second later.
const SPAN: [&str; 2] = ["--for", "750ms"];

/// All that the file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) interface: String,
    pub(super) instances: Vec<Instance>,
    pub(super) priority: u8,
    pub(super) router_id: u8,
    /// The whole command.
    pub(super) script: String,
    pub(super) user: String,
    /// Bound by the file and not moved: why.
    pub(super) left_out: Vec<String>,
    /// Moved, and bound by no line of the file.
    pub(super) unbound: Vec<IpAddr>,
    /// How the files of the other nodes are printed.
    pub(super) others: Vec<String>,
    pub(super) warnings: Vec<String>,
}

/// The addresses of one family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Instance {
    pub(super) own: IpAddr,
    pub(super) peers: Vec<IpAddr>,
    pub(super) vips: Vec<Vip>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    V4,
    V6,
}

impl Family {
    fn has(self, ip: IpAddr) -> bool {
        ip.is_ipv4() == (self == Family::V4)
    }

    fn name(self) -> &'static str {
        match self {
            Family::V4 => "IPv4",
            Family::V6 => "IPv6",
        }
    }
}

pub(super) fn plan(wanted: &Wanted, facts: &Facts) -> Result<Plan, Vec<String>> {
    let mut mistakes = Vec::new();
    let mut warnings = Vec::new();
    if wanted.interface.is_empty() {
        mistakes.push("which interface? e.g. --interface eth0".to_owned());
    }
    if wanted.peers.is_empty() {
        mistakes.push("who is the other node? e.g. --peer 10.0.1.9".to_owned());
    }
    if !mistakes.is_empty() {
        return Err(mistakes);
    }
    let is_here = facts.interfaces.iter().any(|i| i.name == wanted.interface);
    if !is_here && wanted.addresses.is_empty() {
        return Err(vec![format!(
            "there is no interface '{}' on this machine, only {}; for the file of another node say \
             which address it has: --address",
            wanted.interface,
            interfaces(facts)
        )]);
    }
    if !is_here {
        warnings.push(format!(
            "there is no interface '{}' on this machine; the file is for another one",
            wanted.interface
        ));
    }

    let mut own = Vec::new();
    for family in [Family::V4, Family::V6] {
        let peers = of(family, &wanted.peers);
        let given = of(family, &wanted.addresses);
        if given.len() > 1 {
            mistakes.push(format!(
                "a node has one own {} address here, and --address gives {}",
                family.name(),
                list(&given)
            ));
        }
        if peers.len() > MOST_PEERS {
            mistakes.push(format!(
                "at most {MOST_PEERS} other nodes, and --peer gives {}",
                list(&peers)
            ));
        }
        for (index, peer) in peers.iter().enumerate() {
            if peers[..index].contains(peer) {
                mistakes.push(format!("peer {peer} is given twice"));
            }
        }
        if peers.is_empty() {
            if let Some(address) = given.first() {
                mistakes.push(format!(
                    "--address {address} is {name}, and no --peer is: nodes talk within one family",
                    name = family.name()
                ));
            }
            continue;
        }
        match given.first().map_or_else(|| own_address(wanted, facts, &peers), |a| Ok(*a)) {
            Ok(address) if peers.contains(&address) => mistakes.push(format!(
                "{address} is this node's own address, and cannot be its peer; give the other node's \
                 (to print the other node's file, swap --address and --peer)"
            )),
            Ok(address) => own.push(address),
            Err(mistake) => mistakes.push(mistake),
        }
    }
    let (vips, left_out) = match vips(wanted, facts, &own) {
        Ok(found) => found,
        Err(mistake) => {
            mistakes.push(mistake);
            return Err(mistakes);
        }
    };
    let mut instances = Vec::new();
    for family in [Family::V4, Family::V6] {
        let vips: Vec<Vip> = vips
            .iter()
            .copied()
            .filter(|vip| family.has(vip.ip))
            .collect();
        let peers = of(family, &wanted.peers);
        match (vips.first(), peers.first()) {
            (None, None) => continue,
            (Some(vip), None) => mistakes.push(format!(
                "{} is an {name} address, and no --peer is: give the peer's {name} address, too",
                vip.ip,
                name = family.name()
            )),
            (None, Some(peer)) => mistakes.push(format!(
                "peer {peer} is an {name} address, and no VIP is: give one with --vip, or leave the peer out",
                name = family.name()
            )),
            (Some(_), Some(_)) => {}
        }
        for vip in &vips {
            if own.contains(&vip.ip) || peers.contains(&vip.ip) {
                mistakes.push(format!(
                    "{} is a node's own address and must stay there; a VIP is one more address",
                    vip.ip
                ));
            }
        }
        if let Some(&own) = own.iter().find(|own| family.has(**own)) {
            instances.push(Instance { own, peers, vips });
        }
    }
    if !mistakes.is_empty() {
        return Err(mistakes);
    }
    let Some(first) = instances.first() else {
        return Err(vec![
            "there is no address to move; give one with --vip".to_owned(),
        ]);
    };
    if !is_word(&facts.program) {
        return Err(vec![format!(
            "keepalived starts no script whose path has blanks or quotes, as '{}' has; install evenkeel \
             elsewhere, as in /usr/sbin",
            facts.program
        )]);
    }
    let health = if wanted.health.is_empty() {
        &facts.health
    } else {
        &wanted.health
    };
    let user = wanted.user.clone().unwrap_or_else(|| facts.user.clone());
    if health.is_empty() {
        warnings.push(format!(
            "no admin address is known, so that the script asks {MASTER_SOCKET} or {ADMIN} as user \
             '{user}', as the package has them, its drop-in for a haproxy.cfg included; where evenkeel \
             answers that user at neither, no node ever takes the addresses (name it with --admin or -S)"
        ));
    }
    let unbound = unbound(facts, instances.iter().flat_map(|instance| &instance.vips));
    if !unbound.is_empty() {
        let files: Vec<String> = wanted
            .files
            .iter()
            .map(|f| f.display().to_string())
            .collect();
        warnings.push(format!(
            "no 'bind' of {} has {}: clients are refused there wherever the address is; bind it, or all \
             addresses, in the file of each node",
            files.join(", "),
            list(&unbound)
        ));
    }
    let mut words = vec![facts.program.clone(), "health".to_owned()];
    words.extend(SPAN.map(str::to_owned));
    words.extend(health.iter().cloned());
    Ok(Plan {
        interface: wanted.interface.clone(),
        priority: wanted.priority.unwrap_or_else(|| priority(first)),
        router_id: wanted.router_id.unwrap_or_else(|| router_id(first)),
        script: words.join(" "),
        user,
        left_out,
        unbound,
        others: others(wanted, &instances),
        warnings,
        instances,
    })
}

fn of(family: Family, addresses: &[IpAddr]) -> Vec<IpAddr> {
    addresses
        .iter()
        .copied()
        .filter(|ip| family.has(*ip))
        .collect()
}

/// The address of the interface from which the peers are reached. One without a network is a VIP that
/// is here at the moment.
fn own_address(wanted: &Wanted, facts: &Facts, peers: &[IpAddr]) -> Result<IpAddr, String> {
    let here = facts
        .interfaces
        .iter()
        .filter(|i| i.name == wanted.interface);
    let is_vip = |address: &Vip| {
        address.prefix == Vip::bits(address.ip)
            || wanted.vips.iter().any(|vip| vip.ip == address.ip)
    };
    let all: Vec<Vip> = here
        .flat_map(|interface| interface.addresses.iter().copied())
        .filter(|address| address.ip.is_ipv4() == peers[0].is_ipv4() && !is_vip(address))
        .collect();
    let near: Vec<IpAddr> = all
        .iter()
        .filter(|address| peers.iter().any(|peer| reaches(address, *peer)))
        .map(|address| address.ip)
        .collect();
    let bound = facts.binds.as_deref().unwrap_or_default();
    let unbound: Vec<IpAddr> = near
        .iter()
        .copied()
        .filter(|ip| !bound.contains(ip))
        .collect();
    match (near.as_slice(), unbound.as_slice()) {
        ([one], _) | (_, [one]) => Ok(*one),
        ([], _) => Err(format!(
            "'{}' has no address in the network of {}, only {}; say which one the other node knows: \
             --address",
            wanted.interface,
            list(peers),
            list(&all.iter().map(|address| address.ip).collect::<Vec<_>>())
        )),
        (several, _) => Err(format!(
            "'{}' has several addresses in the network of {}: {}; say which is this node's own: --address",
            wanted.interface,
            list(peers),
            list(several)
        )),
    }
}

fn reaches(address: &Vip, peer: IpAddr) -> bool {
    IpNet::new(address.ip, address.prefix).is_ok_and(|net| net.contains(&peer))
}

/// What is to move, and what the file binds besides.
fn vips(wanted: &Wanted, facts: &Facts, own: &[IpAddr]) -> Result<(Vec<Vip>, Vec<String>), String> {
    if !wanted.vips.is_empty() {
        for (index, vip) in wanted.vips.iter().enumerate() {
            if wanted.vips[..index].iter().any(|other| other.ip == vip.ip) {
                return Err(format!("--vip {} is given twice", vip.ip));
            }
        }
        return Ok((wanted.vips.clone(), Vec::new()));
    }
    let Some(binds) = &facts.binds else {
        return Err(
            "which address is to move? --vip 10.0.1.10, or -f with the balancer's file".to_owned(),
        );
    };
    let elsewhere = |ip: IpAddr| {
        let others = facts
            .interfaces
            .iter()
            .filter(|i| i.name != wanted.interface);
        others
            .flat_map(|interface| &interface.addresses)
            .any(|address| address.ip == ip)
    };
    let mut vips = Vec::new();
    let mut left_out = Vec::new();
    for &ip in binds {
        let why = if ip.is_unspecified() {
            "every address"
        } else if ip.is_loopback() {
            "loopback"
        } else if own.contains(&ip) || wanted.peers.contains(&ip) {
            "a node's own"
        } else if elsewhere(ip) {
            "of another interface"
        } else {
            vips.push(Vip::alone(ip));
            continue;
        };
        left_out.push(format!("{ip} ({why})"));
    }
    match (vips.is_empty(), left_out.is_empty()) {
        (false, _) => Ok((vips, left_out)),
        (true, true) => Err("the file binds no IP address; give the VIP with --vip".to_owned()),
        (true, false) => Err(format!(
            "the file binds no address that could move, only {}; say which is to move, \
             e.g. --vip 10.0.1.10 (it need not be bound by name where every address is)",
            left_out.join(", ")
        )),
    }
}

/// Which of `vips` nobody would answer at, as far as a file tells.
fn unbound<'a>(facts: &Facts, vips: impl Iterator<Item = &'a Vip>) -> Vec<IpAddr> {
    let Some(binds) = &facts.binds else {
        return Vec::new();
    };
    let is_bound = |vip: IpAddr| {
        let covers = |bind: &IpAddr| {
            *bind == vip || (bind.is_unspecified() && bind.is_ipv4() == vip.is_ipv4())
        };
        binds.iter().any(covers) || (vip.is_ipv4() && facts.has_dual_bind)
    };
    vips.map(|vip| vip.ip)
        .filter(|vip| !is_bound(*vip))
        .collect()
}

/// The same on every node, whoever prints it.
fn priority(instance: &Instance) -> u8 {
    let lower = instance.peers.iter().filter(|peer| **peer < instance.own);
    let rank = u8::try_from(lower.count()).unwrap_or(u8::MAX);
    HIGHEST.saturating_sub(STEP.saturating_mul(rank)).max(1)
}

fn router_id(instance: &Instance) -> u8 {
    let last = instance.vips.first().map_or(1, |vip| match vip.ip {
        IpAddr::V4(ip) => ip.octets()[3],
        IpAddr::V6(ip) => ip.octets()[15],
    });
    last.max(1)
}

/// Whether it is one word to keepalived and to a shell, as it stands.
fn is_word(text: &str) -> bool {
    let plain = |c: char| c.is_alphanumeric() || "/._-+:,@%=[]".contains(c);
    !text.is_empty() && text.chars().all(plain)
}

/// As a shell takes it for one word.
fn shell_word(text: &str) -> String {
    match is_word(text) && !text.contains(['[', ']']) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', "'\\''")),
    }
}

/// The command for each of the other nodes. Nodes of several families are told apart by their order.
fn others(wanted: &Wanted, instances: &[Instance]) -> Vec<String> {
    let count = instances.iter().map(|i| i.peers.len()).max().unwrap_or(0);
    (0..count)
        .map(|index| {
            let mut words = vec![format!(
                "evenkeel keepalived --interface {}",
                wanted.interface
            )];
            for instance in instances {
                let Some(address) = instance.peers.get(index) else {
                    continue;
                };
                words.push(format!("--address {address} --peer {}", instance.own));
                for (other, peer) in instance.peers.iter().enumerate() {
                    if other != index {
                        words.push(format!("--peer {peer}"));
                    }
                }
            }
            for vip in instances.iter().flat_map(|instance| &instance.vips) {
                words.push(format!("--vip {vip}"));
            }
            if let Some(id) = wanted.router_id {
                words.push(format!("--router-id {id}"));
            }
            words.extend(
                wanted
                    .files
                    .iter()
                    .map(|file| format!("-f {}", shell_word(&file.display().to_string()))),
            );
            words.extend(wanted.health.iter().map(|word| shell_word(word)));
            if let Some(user) = &wanted.user {
                words.push(format!("--user {user}"));
            }
            words.join(" ")
        })
        .collect()
}

fn list(addresses: &[IpAddr]) -> String {
    if addresses.is_empty() {
        return "none".to_owned();
    }
    let texts: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    texts.join(", ")
}

fn interfaces(facts: &Facts) -> String {
    let names: Vec<&str> = facts.interfaces.iter().map(|i| i.name.as_str()).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keepalived::Interface;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn address(text: &str) -> Vip {
        let (ip, prefix) = text.split_once('/').unwrap();
        Vip {
            ip: ip.parse().unwrap(),
            prefix: prefix.parse().unwrap(),
        }
    }

    /// A node whose eth0 has `addresses` and whose file binds `binds`.
    fn facts(addresses: &[&str], binds: &[&str]) -> Facts {
        let interface = |name: &str, addresses: &[&str]| Interface {
            name: name.to_owned(),
            addresses: addresses.iter().map(|text| address(text)).collect(),
        };
        Facts {
            interfaces: vec![
                interface("lo", &["127.0.0.1/8", "::1/128"]),
                interface("eth0", addresses),
                interface("eth1", &["192.168.7.1/24"]),
            ],
            binds: Some(binds.iter().map(|text| ip(text)).collect()),
            has_dual_bind: false,
            health: Vec::new(),
            program: "/usr/sbin/evenkeel".to_owned(),
            user: "evenkeel".to_owned(),
        }
    }

    fn wanted(peers: &[&str]) -> Wanted {
        Wanted {
            interface: "eth0".to_owned(),
            peers: peers.iter().map(|text| ip(text)).collect(),
            ..Wanted::default()
        }
    }

    #[test]
    fn the_file_names_the_vip_and_the_interface_this_node() {
        let facts = facts(
            &["10.0.1.8/24", "10.0.1.10/32"],
            &["10.0.1.10", "127.0.0.1", "10.0.1.8", "192.168.7.1"],
        );
        let plan = plan(&wanted(&["10.0.1.9"]), &facts).unwrap();
        assert_eq!(
            plan.instances,
            [Instance {
                own: ip("10.0.1.8"),
                peers: vec![ip("10.0.1.9")],
                vips: vec![address("10.0.1.10/32")],
            }]
        );
        assert_eq!((plan.priority, plan.router_id), (200, 10));
        assert_eq!(
            plan.left_out,
            [
                "127.0.0.1 (loopback)",
                "10.0.1.8 (a node's own)",
                "192.168.7.1 (of another interface)"
            ]
        );
        assert_eq!(
            plan.others,
            [
                "evenkeel keepalived --interface eth0 --address 10.0.1.9 --peer 10.0.1.8 --vip 10.0.1.10/32"
            ]
        );
        assert_eq!(plan.warnings.len(), 1, "no admin address: {plan:?}");
    }

    #[test]
    fn names_with_blanks_stay_words() {
        let mut facts = facts(&["10.0.1.8/24"], &["10.0.1.10"]);
        let mut wanted = wanted(&["10.0.1.9"]);
        wanted.files = vec!["/etc/my lb/it's.cfg".into(), "/etc/b.toml".into()];
        let plan = super::plan(&wanted, &facts).unwrap();
        let printed = &plan.others[0];
        assert!(
            printed.ends_with(r"-f '/etc/my lb/it'\''s.cfg' -f /etc/b.toml"),
            "{printed}"
        );
        facts.program = "/opt/my lb/evenkeel".to_owned();
        let mistakes = super::plan(&wanted, &facts).unwrap_err();
        assert!(
            mistakes[0].contains("'/opt/my lb/evenkeel'"),
            "{mistakes:?}"
        );
    }

    #[test]
    fn nodes_agree_whoever_prints_their_files() {
        let facts = facts(&["10.0.1.8/24"], &["10.0.1.10"]);
        let here = plan(&wanted(&["10.0.1.9", "10.0.1.7"]), &facts).unwrap();
        assert_eq!(here.priority, 150);
        let mut other = wanted(&["10.0.1.8", "10.0.1.7"]);
        other.addresses = vec![ip("10.0.1.9")];
        let there = plan(&other, &facts).unwrap();
        assert_eq!((there.priority, there.router_id), (100, here.router_id));
        assert_eq!(there.instances[0].own, ip("10.0.1.9"));
    }

    #[test]
    fn each_family_has_an_instance_of_its_own() {
        let facts = facts(
            &["10.0.1.8/24", "fe80::1/64", "fd00::8/64", "fd00::10/128"],
            &["10.0.1.10", "fd00::10"],
        );
        let plan = plan(&wanted(&["10.0.1.9", "fd00::9"]), &facts).unwrap();
        assert_eq!(plan.instances.len(), 2);
        assert_eq!(plan.instances[1].own, ip("fd00::8"));
        assert_eq!(plan.instances[1].vips, [address("fd00::10/128")]);
    }

    #[test]
    fn an_address_that_nobody_binds_is_warned_of() {
        let own = ["10.0.1.8/24", "fd00::8/64"];
        let mut both = wanted(&["10.0.1.9", "fd00::9"]);
        both.vips = vec![address("10.0.1.10/32"), address("fd00::10/128")];
        both.files = vec!["lb.toml".into()];
        for (binds, is_dual, unbound) in [
            (vec!["10.0.1.10", "fd00::10"], false, vec![]),
            (vec!["0.0.0.0", "::"], false, vec![]),
            (vec!["::"], true, vec![]),
            (vec!["::"], false, vec!["10.0.1.10"]),
            (vec!["10.0.1.11", "fd00::10"], false, vec!["10.0.1.10"]),
            (vec!["0.0.0.0"], false, vec!["fd00::10"]),
            (vec!["127.0.0.1"], false, vec!["10.0.1.10", "fd00::10"]),
        ] {
            let mut facts = facts(&own, &binds);
            facts.has_dual_bind = is_dual;
            let plan = plan(&both, &facts).unwrap();
            let expected: Vec<IpAddr> = unbound.iter().map(|text| ip(text)).collect();
            assert_eq!(plan.unbound, expected, "{binds:?}");
            let said = plan.warnings.join("\n");
            assert_eq!(
                said.contains("no 'bind' of lb.toml has"),
                !expected.is_empty(),
                "{said}"
            );
            let text = super::super::print::print(&plan);
            assert_eq!(
                text.contains("# No 'bind' has"),
                !expected.is_empty(),
                "{text}"
            );
        }
        let mut unknown = facts(&own, &[]);
        unknown.binds = None;
        assert_eq!(plan(&both, &unknown).unwrap().unbound, [] as [IpAddr; 0]);
    }

    #[test]
    fn what_cannot_be_printed_is_said_in_the_operators_words() {
        let one = ["10.0.1.8/24"];
        let vip = ["10.0.1.10"];
        let with = |change: fn(&mut Wanted)| {
            let mut wanted = wanted(&["10.0.1.9"]);
            change(&mut wanted);
            wanted
        };
        for (wanted, facts, expected) in [
            (
                with(|w| w.interface.clear()),
                facts(&one, &vip),
                "which interface?",
            ),
            (
                with(|w| w.peers.clear()),
                facts(&one, &vip),
                "who is the other node?",
            ),
            (
                with(|w| w.interface = "eth9".into()),
                facts(&one, &vip),
                "no interface 'eth9' on this machine, only lo, eth0, eth1",
            ),
            (
                with(|w| w.peers = vec![ip("10.0.1.8")]),
                facts(&one, &vip),
                "10.0.1.8 is this node's own address",
            ),
            (
                with(|w| w.peers = vec![ip("10.9.9.9")]),
                facts(&one, &vip),
                "no address in the network of 10.9.9.9, only 10.0.1.8",
            ),
            (
                with(|_| ()),
                facts(&["10.0.1.8/24", "10.0.1.7/24"], &vip),
                "several addresses in the network of 10.0.1.9: 10.0.1.8, 10.0.1.7",
            ),
            (
                with(|_| ()),
                facts(&one, &["0.0.0.0"]),
                "only 0.0.0.0 (every address); say which is to move",
            ),
            (with(|_| ()), facts(&one, &[]), "binds no IP address"),
            (
                with(|w| w.vips = vec![address("10.0.1.8/32")]),
                facts(&["10.0.1.8/24", "10.0.1.7/24"], &[]),
                "10.0.1.7",
            ),
            (
                with(|w| w.vips = vec![address("10.0.1.9/32")]),
                facts(&one, &[]),
                "10.0.1.9 is a node's own address and must stay",
            ),
            (
                with(|w| w.vips = vec![address("fd00::10/128")]),
                facts(&one, &[]),
                "fd00::10 is an IPv6 address, and no --peer is",
            ),
            (
                with(|w| w.peers.push(ip("fd00::9"))),
                facts(&["10.0.1.8/24", "fd00::8/64"], &vip),
                "peer fd00::9 is an IPv6 address, and no VIP is",
            ),
            (
                with(|w| w.addresses = vec![ip("fd00::8")]),
                facts(&one, &vip),
                "--address fd00::8 is IPv6, and no --peer is",
            ),
            (
                with(|w| w.peers.push(ip("10.0.1.9"))),
                facts(&one, &vip),
                "peer 10.0.1.9 is given twice",
            ),
        ] {
            match plan(&wanted, &facts) {
                Err(mistakes) => {
                    let said = mistakes.join("\n");
                    assert!(said.contains(expected), "{expected}: {said}");
                }
                // A VIP that is here may leave one own address.
                Ok(plan) => assert_eq!(plan.instances[0].own.to_string(), expected),
            }
        }
        let mut nothing = facts(&one, &[]);
        nothing.binds = None;
        let mistakes = plan(&wanted(&["10.0.1.9"]), &nothing).unwrap_err();
        assert!(mistakes[0].contains("which address is to move?"));
    }
}
