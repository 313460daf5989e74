//! What has to be so, judged from what was seen.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::Serialize;

use super::dns;
use super::look::{Lines, Seen};
use crate::facts::Certificate;
use crate::inventory::{Cni, Inventory, Node, Role};
use crate::preflight::ENDS_SOON_DAYS;

/// What a condition is about; a site may leave some of it out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Topic {
    /// Nodes: there, ready, in their role, of the version.
    Nodes,
    /// API servers, each by itself and through the VIP.
    Api,
    /// The balancer's view of its servers.
    Balancer,
    /// Members of etcd.
    Etcd,
    /// Pods of the network plugin and of the cluster's other daemons.
    Network,
    /// A look-up by the cluster's DNS.
    Dns,
    /// Certificates of kubelets and control planes.
    Certificates,
}

/// Something that has to be so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Condition {
    /// What it is about.
    pub topic: Topic,
    /// As a statement: `master1 is ready`.
    pub what: String,
    /// Why it is not met; `None` if it is.
    pub lacks: Option<String>,
}

/// Every condition, met or not, but those of hosts `without` which it is to be well.
pub(super) fn conditions(
    inventory: &Inventory,
    without: &BTreeSet<String>,
    seen: &Seen,
) -> Vec<Condition> {
    let is_asked = |node: &&Node| !without.contains(&node.name);
    let of = |role| inventory.of(role).filter(is_asked);
    let members: Vec<_> = inventory
        .nodes
        .iter()
        .filter(|node| node.role != Role::Balancer)
        .filter(is_asked)
        .collect();
    let mut all = Vec::new();
    for node in &members {
        all.push(is_node(inventory, seen, node));
    }
    for node in of(Role::ControlPlane) {
        all.push(condition(
            Topic::Api,
            format!("the API server of {} is ready", node.name),
            says_ok(seen, node, "own"),
        ));
    }
    for node in &members {
        all.push(condition(
            Topic::Api,
            format!(
                "{} reaches the API through {}",
                node.name, inventory.endpoint
            ),
            says_ok(seen, node, "vip"),
        ));
    }
    if inventory.vrrp.is_some() {
        all.push(holder(inventory, without, seen));
    }
    for balancer in of(Role::Balancer) {
        for master in of(Role::ControlPlane) {
            all.push(in_balancer(seen, balancer, master));
        }
    }
    all.push(etcd(inventory, without, seen));
    all.push(daemons(inventory, without, seen));
    if inventory.cni != Cni::None {
        all.extend(names(inventory, &members, seen));
    }
    for node in &members {
        all.push(condition(
            Topic::Certificates,
            format!("the kubelet of {} has its certificate", node.name),
            says_ok(seen, node, "certificate"),
        ));
    }
    for node in of(Role::ControlPlane) {
        all.push(certificates(seen, node, Timestamp::now()));
    }
    all.push(requests(seen));
    all
}

/// What kubeadm made for a control plane, and when the first of it ends.
fn certificates(seen: &Seen, node: &Node, now: Timestamp) -> Condition {
    let mut what = format!("the certificates of {} last", node.name);
    let lacks = match seen.hosts.get(&node.name) {
        Some(Ok(lines)) => {
            let leaves = lines.iter().filter(|(word, _)| word == "leaf");
            let leaves = leaves.filter_map(|(_, line)| Certificate::of_line(line, now));
            match leaves.min_by_key(|each| each.ends) {
                None => Some("`kubeadm certs check-expiration` does not tell there".to_owned()),
                Some(first) => {
                    what = format!("{what}, the first until {} ({})", first.day(), first.name);
                    // Waiting mends nothing that ends soon, so that only what has ended is lacking.
                    if (0..ENDS_SOON_DAYS).contains(&first.days_left) {
                        what += ", which is soon: evenkeel-bootstrap certs --renew";
                    }
                    (first.days_left < 0)
                        .then(|| "it has ended: evenkeel-bootstrap certs --renew".to_owned())
                }
            }
        }
        Some(Err(why)) => Some(why.clone()),
        None => Some("it was not asked".to_owned()),
    };
    condition(Topic::Certificates, what, lacks)
}

fn condition(topic: Topic, what: String, lacks: Option<String>) -> Condition {
    Condition { topic, what, lacks }
}

fn said<'a>(lines: &'a Lines, word: &str) -> Option<&'a str> {
    let mut found = lines.iter().filter(|(said, _)| said == word);
    found.next().map(|(_, value)| value.as_str())
}

fn says_ok(seen: &Seen, node: &Node, word: &str) -> Option<String> {
    match seen.hosts.get(&node.name) {
        Some(Ok(lines)) => match said(lines, word) {
            Some("ok") => None,
            Some(why) => Some(why.to_owned()),
            None => Some("it was not told".to_owned()),
        },
        Some(Err(why)) => Some(why.clone()),
        None => Some("it was not asked".to_owned()),
    }
}

/// Where VRRP does not get through from balancer to balancer, each takes the VIP.
fn holder(inventory: &Inventory, without: &BTreeSet<String>, seen: &Seen) -> Condition {
    let has = |node: &&Node| {
        let lines = seen
            .hosts
            .get(&node.name)
            .and_then(|said| said.as_ref().ok());
        lines.is_some_and(|lines| said(lines, "has-vip").is_some())
    };
    let holders: Vec<_> = inventory
        .of(Role::Balancer)
        .filter(has)
        .map(|node| node.name.as_str())
        .collect();
    let vip = inventory.endpoint.vip;
    let lacks = match holders.as_slice() {
        [_] => None,
        // It may be on one that we do not ask.
        [] if inventory
            .of(Role::Balancer)
            .any(|node| without.contains(&node.name)) =>
        {
            None
        }
        [] => Some("none has it: see journalctl -u keepalived there".to_owned()),
        several => Some(format!(
            "{} have it: a firewall must let IP protocol 112 through between them",
            several.join(", ")
        )),
    };
    condition(
        Topic::Balancer,
        format!("one balancer has the VIP {vip}"),
        lacks,
    )
}

fn is_node(inventory: &Inventory, seen: &Seen, node: &Node) -> Condition {
    let control_plane = node.role == Role::ControlPlane;
    let role = if control_plane {
        "a control plane"
    } else {
        "a worker"
    };
    let without_network = inventory.cni == Cni::None;
    let ready = if without_network { "" } else { ", ready" };
    let what = format!("{} is {role} of {}{ready}", node.name, inventory.kubernetes);
    let lacks = match &seen.cluster {
        None => Some("no API server answers".to_owned()),
        Some(cluster) => match cluster.nodes.iter().find(|found| found.name == node.name) {
            None => Some("the cluster has no such node".to_owned()),
            Some(found) if found.control_plane != control_plane => Some(format!(
                "it is {}",
                if found.control_plane {
                    "a control plane"
                } else {
                    "a worker"
                }
            )),
            Some(found) if found.kubelet != Some(inventory.kubernetes) => {
                let version = found
                    .kubelet
                    .map_or("of no version".to_owned(), |version| version.to_string());
                Some(format!("its kubelet is {version}"))
            }
            Some(found) if !found.ready && !without_network => Some("it is not ready".to_owned()),
            // What an operator cordoned is as it should be.
            Some(found) if found.drained => Some(
                "it was cordoned by a run that did not come to its end: run it again, or kubectl uncordon".to_owned(),
            ),
            Some(_) => None,
        },
    };
    condition(Topic::Nodes, what, lacks)
}

fn in_balancer(seen: &Seen, balancer: &Node, master: &Node) -> Condition {
    let lacks = match seen.hosts.get(&balancer.name) {
        Some(Ok(lines)) => {
            let mut states = lines.iter().filter_map(|(_, value)| value.split_once(' '));
            match states.find(|(server, _)| *server == master.name) {
                Some((_, "UP")) => None,
                Some((_, state)) => Some(format!("it is {state} there")),
                None => Some("it has no such server, or its metrics do not answer".to_owned()),
            }
        }
        Some(Err(why)) => Some(why.clone()),
        None => Some("it was not asked".to_owned()),
    };
    let what = format!("{} sends clients to {}", balancer.name, master.name);
    condition(Topic::Balancer, what, lacks)
}

fn etcd(inventory: &Inventory, without: &BTreeSet<String>, seen: &Seen) -> Condition {
    let wanted: Vec<_> = inventory
        .of(Role::ControlPlane)
        .map(|node| node.name.as_str())
        .collect();
    let what = format!("etcd's members are {}", wanted.join(", "));
    let lacks = match &seen.cluster {
        None => Some("no API server answers".to_owned()),
        Some(cluster) => {
            let missing = wanted
                .iter()
                .filter(|name| !cluster.etcd_members.contains(**name) && !without.contains(**name));
            let missing: Vec<_> = missing.map(|name| format!("{name} is missing")).collect();
            let foreign = cluster
                .etcd_members
                .iter()
                .filter(|name| !wanted.contains(&name.as_str()));
            let foreign = foreign.map(|name| match name.as_str() {
                "" => "one has never started".to_owned(),
                name => format!("{name} is not of the inventory"),
            });
            let all: Vec<_> = missing.into_iter().chain(foreign).collect();
            (!all.is_empty()).then(|| all.join(", "))
        }
    };
    condition(Topic::Etcd, what, lacks)
}

/// Daemons of the cluster itself, those of the network plugin among them.
fn daemons(inventory: &Inventory, without: &BTreeSet<String>, seen: &Seen) -> Condition {
    let sets = seen.live.iter().filter(|(word, _)| word == "set");
    let sets: Vec<_> = sets
        .filter_map(|(_, value)| {
            let mut words = value.split(' ');
            Some((words.next()?, words.next()?, words.next()?))
        })
        .collect();
    let plugin = match inventory.cni {
        Cni::Flannel { .. } => Some("kube-flannel-ds"),
        Cni::Calico { .. } => Some("calico-node"),
        Cni::Manifest(_) | Cni::None => None,
    };
    let absent = plugin.filter(|plugin| !sets.iter().any(|(name, ..)| name == plugin));
    // Those of a node that is down are wanted and not ready.
    let down = seen.cluster.iter().flat_map(|cluster| &cluster.nodes);
    let down = down.filter(|node| !node.ready && without.contains(&node.name));
    let down = down.count();
    let late = sets.iter().filter(|(_, ready, wanted)| {
        match (ready.parse::<usize>(), wanted.parse::<usize>()) {
            (Ok(ready), Ok(wanted)) => ready + down < wanted,
            _ => true,
        }
    });
    let late =
        late.map(|(name, ready, wanted)| format!("{name} runs on {ready} of {wanted} nodes"));
    // Others may be for nodes that there are none of.
    let idle = sets
        .iter()
        .filter(|(name, _, wanted)| {
            (Some(*name) == plugin || *name == "kube-proxy") && *wanted == "0"
        })
        .map(|(name, ..)| format!("{name} is wanted on no node"));
    let all: Vec<_> = absent
        .map(|name| format!("there is no {name}"))
        .into_iter()
        .chain(late)
        .chain(idle)
        .collect();
    let lacks = unanswered(seen, "sets").or_else(|| (!all.is_empty()).then(|| all.join(", ")));
    let what = "the network plugin and the cluster's other daemons run on every node".to_owned();
    condition(Topic::Network, what, lacks)
}

fn names(inventory: &Inventory, nodes: &[&Node], seen: &Seen) -> Vec<Condition> {
    let Some(network) = inventory.service_cidrs.first() else {
        return Vec::new();
    };
    let expected = dns::service(network);
    nodes
        .iter()
        .map(|node| {
            let lacks = match seen.hosts.get(&node.name) {
                Some(Ok(lines)) => dns::lacks(said(lines, "dns").unwrap_or_default(), expected),
                Some(Err(why)) => Some(why.clone()),
                None => Some("it was not asked".to_owned()),
            };
            let what = format!(
                "the cluster's DNS tells {} where kubernetes.default is",
                node.name
            );
            condition(Topic::Dns, what, lacks)
        })
        .collect()
}

/// Why nothing is known of what `word` asks for. Nothing that was not asked is well.
fn unanswered(seen: &Seen, word: &str) -> Option<String> {
    if seen.cluster.is_none() {
        return Some("no API server answers".to_owned());
    }
    let is_answered = seen
        .live
        .iter()
        .any(|(said, about)| said == "asked" && about == word);
    (!is_answered).then(|| "the API server did not answer this".to_owned())
}

/// Kubelets that wait for somebody to approve their certificate.
fn requests(seen: &Seen) -> Condition {
    let waiting: Vec<_> = seen
        .live
        .iter()
        .filter(|(word, _)| word == "request")
        .filter_map(|(_, value)| {
            let mut words = value.split_whitespace();
            let (name, signer) = (words.next()?, words.next()?);
            let is_open = words.next().is_none() && signer.contains("kubelet");
            is_open.then(|| format!("{name} waits: kubectl certificate approve {name}"))
        })
        .collect();
    let what = "no kubelet waits for a certificate".to_owned();
    let lacks =
        unanswered(seen, "requests").or_else(|| (!waiting.is_empty()).then(|| waiting.join(", ")));
    condition(Topic::Certificates, what, lacks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::steps::example::{inventory, joined};

    const NAMES: [&str; 4] = ["master1", "master2", "worker1", "worker2"];

    fn well() -> Seen {
        let line = |word: &str, value: &str| (word.to_owned(), value.to_owned());
        // An answer whose last bytes are 10.96.0.1.
        let dns = line("dns", "454b818000010001000000000a600001");
        let mut hosts: std::collections::BTreeMap<_, _> = NAMES
            .iter()
            .map(|name| {
                let said = vec![
                    line("own", "ok"),
                    line("vip", "ok"),
                    dns.clone(),
                    line("certificate", "ok"),
                    line("leaf", "apiserver   Nov 22, 2126 12:00 UTC   99y   ca   no"),
                ];
                ((*name).to_owned(), Ok(said))
            })
            .collect();
        let servers = vec![line("server", "master1 UP"), line("server", "master2 UP")];
        hosts.insert("lb".to_owned(), Ok(servers));
        Seen {
            hosts,
            cluster: joined(&inventory(), &NAMES).cluster,
            live: vec![
                line("set", "kube-flannel-ds 4 4"),
                line("set", "kube-proxy 4 4"),
                line(
                    "request",
                    "csr-1 kubernetes.io/kube-apiserver-client-kubelet Approved",
                ),
                line("asked", "sets"),
                line("asked", "requests"),
            ],
            table: String::new(),
        }
    }

    fn lacking(seen: &Seen) -> Vec<String> {
        lacking_without(seen, &[])
    }

    fn lacking_without(seen: &Seen, without: &[&str]) -> Vec<String> {
        let without = without.iter().map(|name| (*name).to_owned()).collect();
        conditions(&inventory(), &without, seen)
            .into_iter()
            .filter_map(|condition| Some(format!("{}: {}", condition.what, condition.lacks?)))
            .collect()
    }

    #[test]
    fn a_cluster_that_is_well_lacks_nothing() {
        assert_eq!(lacking(&well()), Vec::<String>::new());
        assert_eq!(
            conditions(&inventory(), &BTreeSet::new(), &well()).len(),
            25
        );
    }

    #[test]
    fn each_thing_that_is_wrong_is_told() {
        let check = |spoil: &dyn Fn(&mut Seen), expected: &str| {
            let mut seen = well();
            spoil(&mut seen);
            assert_eq!(lacking(&seen), [expected]);
        };
        fn cluster(seen: &mut Seen) -> &mut crate::facts::ClusterFacts {
            seen.cluster.as_mut().unwrap()
        }
        fn lines<'a>(seen: &'a mut Seen, host: &str) -> &'a mut Lines {
            seen.hosts.get_mut(host).unwrap().as_mut().unwrap()
        }
        check(
            &|seen| {
                lines(seen, "master2")[4].1 =
                    "apiserver   Nov 22, 2020 12:00 UTC   <invalid>   ca   no".to_owned();
            },
            "the certificates of master2 last, the first until 2020-11-22 (apiserver): it has ended: evenkeel-bootstrap certs --renew",
        );
        check(
            &|seen| drop(lines(seen, "master1").pop()),
            "the certificates of master1 last: `kubeadm certs check-expiration` does not tell there",
        );
        check(
            &|seen| cluster(seen).nodes[3].ready = false,
            "worker2 is a worker of v1.36.2, ready: it is not ready",
        );
        check(
            &|seen| cluster(seen).nodes[1].kubelet = "1.36.1".parse().ok(),
            "master2 is a control plane of v1.36.2, ready: its kubelet is v1.36.1",
        );
        check(
            &|seen| drop(cluster(seen).nodes.remove(2)),
            "worker1 is a worker of v1.36.2, ready: the cluster has no such node",
        );
        check(
            &|seen| cluster(seen).nodes[2].control_plane = true,
            "worker1 is a worker of v1.36.2, ready: it is a control plane",
        );
        check(
            &|seen| {
                cluster(seen).etcd_members.remove("master2");
                cluster(seen).etcd_members.insert("old".to_owned());
            },
            "etcd's members are master1, master2: master2 is missing, old is not of the inventory",
        );
        check(
            &|seen| lines(seen, "lb")[1].1 = "master2 MAINT".to_owned(),
            "lb sends clients to master2: it is MAINT there",
        );
        check(
            &|seen| lines(seen, "worker1")[1].1 = "connection refused".to_owned(),
            "worker1 reaches the API through 10.0.1.10:6443: connection refused",
        );
        check(
            &|seen| lines(seen, "worker2")[2].1.clear(),
            "the cluster's DNS tells worker2 where kubernetes.default is: no answer",
        );
        check(
            &|seen| seen.live[0].1 = "kube-flannel-ds 3 4".to_owned(),
            "the network plugin and the cluster's other daemons run on every node: kube-flannel-ds runs on 3 of 4 nodes",
        );
        check(
            &|seen| drop(seen.live.remove(0)),
            "the network plugin and the cluster's other daemons run on every node: there is no kube-flannel-ds",
        );
        check(
            &|seen| seen.live[2].1 = "csr-1 kubernetes.io/kubelet-serving".to_owned(),
            "no kubelet waits for a certificate: csr-1 waits: kubectl certificate approve csr-1",
        );
        check(
            &|seen| drop(seen.live.pop()),
            "no kubelet waits for a certificate: the API server did not answer this",
        );
        check(
            &|seen| {
                seen.live
                    .retain(|(word, about)| word != "asked" || about != "sets")
            },
            "the network plugin and the cluster's other daemons run on every node: the API server did not answer this",
        );
        check(
            &|seen| seen.live[1].1 = "kube-proxy 0 0".to_owned(),
            "the network plugin and the cluster's other daemons run on every node: kube-proxy is wanted on no node",
        );
    }

    #[test]
    fn nothing_is_asked_of_a_host_that_is_left_out() {
        for name in ["worker2", "master2", "lb"] {
            let mut seen = well();
            seen.hosts.insert(name.to_owned(), Err("is off".to_owned()));
            let cluster = seen.cluster.as_mut().unwrap();
            if let Some(node) = cluster.nodes.iter_mut().find(|node| node.name == name) {
                node.ready = false;
                seen.live[0].1 = "kube-flannel-ds 3 4".to_owned();
                seen.live[1].1 = "kube-proxy 3 4".to_owned();
            }
            assert_ne!(lacking(&seen), Vec::<String>::new(), "{name}");
            assert_eq!(lacking_without(&seen, &[name]), Vec::<String>::new());
            seen.live[0].1 = "kube-flannel-ds 1 4".to_owned();
            assert_eq!(
                lacking_without(&seen, &[name]).len(),
                1,
                "others' pods count"
            );
        }
    }

    /// Nothing that was not asked is well.
    #[test]
    fn nothing_is_well_where_nobody_answers() {
        let inventory = inventory();
        let without = BTreeSet::new();
        let mut cni = inventory.clone();
        cni.cni = Cni::None;
        for inventory in [inventory, cni] {
            for condition in conditions(&inventory, &without, &Seen::default()) {
                assert!(condition.lacks.is_some(), "{}", condition.what);
            }
        }
    }

    #[test]
    fn the_vip_is_on_one_of_the_balancers_that_share_it() {
        let mut inventory = inventory();
        let mut other = inventory.nodes[0].clone();
        other.name = "lb2".to_owned();
        inventory.nodes.push(other);
        inventory.vrrp = Some(crate::inventory::Vrrp {
            router_id: 10,
            interface: None,
            packages: Vec::new(),
        });
        let check = |holders: &[&str], expected: Option<&str>| {
            let mut seen = well();
            seen.hosts.insert("lb2".to_owned(), Ok(Vec::new()));
            for name in holders {
                let lines = seen.hosts.get_mut(*name).unwrap().as_mut().unwrap();
                lines.push(("has-vip".to_owned(), "yes".to_owned()));
            }
            let all = conditions(&inventory, &BTreeSet::new(), &seen);
            let what = "one balancer has the VIP 10.0.1.10";
            let found = all.iter().find(|condition| condition.what == what);
            assert_eq!(found.unwrap().lacks.as_deref(), expected);
        };
        check(&["lb2"], None);
        check(&[], Some("none has it: see journalctl -u keepalived there"));
        check(
            &["lb", "lb2"],
            Some("lb, lb2 have it: a firewall must let IP protocol 112 through between them"),
        );
    }

    #[test]
    fn without_a_network_plugin_nodes_need_not_be_ready() {
        let mut inventory = inventory();
        inventory.cni = Cni::None;
        let mut seen = well();
        seen.cluster.as_mut().unwrap().nodes[0].ready = false;
        seen.live.remove(0);
        assert!(
            conditions(&inventory, &BTreeSet::new(), &seen)
                .iter()
                .all(|condition| condition.lacks.is_none())
        );
    }
}
