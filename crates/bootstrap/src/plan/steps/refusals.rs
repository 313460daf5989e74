//! States of hosts in which a step would destroy what is somebody else's, or could never end well. There is no
//! plan then, and preflight says so before.

use super::{balancer, hosts, keepalived, kernel, software};
use crate::facts::{Content, Facts, HostFacts};
use crate::inventory::{Inventory, Node, Role};
use crate::plan::Refusal;

/// Everything that stands in the way, in the order of the inventory. Hosts that did not answer are not spoken of.
#[must_use]
pub fn refusals(inventory: &Inventory, facts: &Facts) -> Vec<Refusal> {
    let mut all = Vec::new();
    for node in &inventory.nodes {
        let Some(host) = facts.host(&node.name) else {
            continue;
        };
        all.extend(hosts::refusal(node, host));
        if node.role == Role::Balancer {
            all.extend(balancer::refusals(inventory, node, host));
            all.extend(keepalived::refusal(inventory, node, host));
        } else {
            all.extend(kernel::refusal(inventory, node, host));
            all.extend(software::refusals(inventory, node, host));
        }
    }
    all
}

/// A file of which we change a part, and whose other parts are not known.
pub(super) fn unknown(node: &Node, host: &HostFacts, path: &str) -> Option<Refusal> {
    (host.content(path) == Content::Unknown).then(|| Refusal {
        host: node.name.clone(),
        what: format!("its {path} is not UTF-8, or larger than 1 MiB, so that no part of it can be changed safely"),
        fix: format!(
            "`iconv -f UTF-8 -o /dev/null {path}` there tells where; write those characters in UTF-8 (iconv -f LATIN1 -t UTF-8), \
             or take the lines out"
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::FileFacts;
    use crate::inventory::Vrrp;
    use crate::plan::plan;
    use crate::plan::steps::example::{bare, host, inventory};

    fn with_file(name: &str, path: &str, text: Option<&str>) -> Facts {
        let mut facts = bare(&inventory());
        let file = FileFacts {
            mode: 0o644,
            sha256: "aa".to_owned(),
            text: text.map(str::to_owned),
        };
        host(&mut facts, name).files.insert(path.to_owned(), file);
        facts
    }

    /// What is refused, of which the plan says the same.
    fn check(inventory: &Inventory, facts: &Facts, expected: &[&str]) {
        let found: Vec<_> = refusals(inventory, facts)
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(found.len(), expected.len(), "{found:#?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.contains(expected), "{found}\nhas not: {expected}");
        }
        if !expected.is_empty() {
            assert_eq!(plan(inventory, facts), Err(found));
        }
    }

    #[test]
    fn a_list_of_hosts_that_cannot_be_read_is_not_taken_for_an_empty_one() {
        let inventory = inventory();
        check(&inventory, &bare(&inventory), &[]);
        let facts = with_file("worker1", "/etc/hosts", None);
        check(
            &inventory,
            &facts,
            &["worker1: its /etc/hosts is not UTF-8"],
        );
        let facts = with_file("worker1", "/etc/hosts", Some("127.0.0.1 localhost\n"));
        check(&inventory, &facts, &[]);
    }

    #[test]
    fn an_fstab_and_settings_of_containerd_that_cannot_be_read_are_left_alone() {
        let mut inventory = inventory();
        let facts = with_file("worker1", "/etc/fstab", None);
        check(&inventory, &facts, &["worker1: its /etc/fstab"]);
        let facts = with_file("worker1", "/etc/containerd/config.toml", None);
        check(
            &inventory,
            &facts,
            &["worker1: its /etc/containerd/config.toml"],
        );
        inventory.runtime.managed = false;
        check(&inventory, &facts, &[]);
        let off = serde_json::Value::Bool(false);
        inventory
            .kubeadm
            .kubelet
            .insert("failSwapOn".to_owned(), off);
        check(&inventory, &with_file("worker1", "/etc/fstab", None), &[]);
    }

    #[test]
    fn a_second_source_of_the_same_packages_would_stop_apt() {
        let inventory = inventory();
        let path = "/etc/apt/sources.list.d/k8s.list";
        let source = "deb [signed-by=/etc/apt/keyrings/kubernetes-apt-keyring.gpg] https://pkgs.k8s.io/core:/stable:/v1.36/deb/ /\n";
        let mut facts = with_file("worker1", path, Some(source));
        check(
            &inventory,
            &facts,
            &["worker1: /etc/apt/sources.list.d/k8s.list names the packages"],
        );
        for name in ["kubeadm", "kubelet", "kubectl"] {
            let programs = &mut host(&mut facts, "worker1").programs;
            programs.insert(name.to_owned(), "v1.36.2".to_owned());
        }
        check(&inventory, &facts, &[]);
        let silent = format!("# {source}");
        check(&inventory, &with_file("worker1", path, Some(&silent)), &[]);
    }

    #[test]
    fn a_balancer_that_serves_others_keeps_its_file() {
        let inventory = inventory();
        let own = "[frontend.ingress]\nbind = \":443\"\nbackend = \"ingress\"\n";
        let facts = with_file("lb", balancer::FILE, Some(own));
        check(
            &inventory,
            &facts,
            &["EVENKEEL_OPTIONS=\"-f /etc/evenkeel/own.toml\""],
        );
        let other = "# Written by evenkeel-bootstrap for the cluster other; its next apply writes it again.\n";
        let facts = with_file("lb", balancer::FILE, Some(other));
        check(
            &inventory,
            &facts,
            &["lb: its /etc/evenkeel/evenkeel.toml is that of the cluster other"],
        );
        let ours = other.replace("cluster other", "cluster kube");
        check(
            &inventory,
            &with_file("lb", balancer::FILE, Some(&ours)),
            &[],
        );
        let sample = include_str!("../../../../../packaging/evenkeel.toml");
        check(
            &inventory,
            &with_file("lb", balancer::FILE, Some(sample)),
            &[],
        );
        let defaults = "EVENKEEL_CONFIG=/etc/haproxy/haproxy.cfg\n";
        let facts = with_file("lb", balancer::DEFAULTS, Some(defaults));
        check(
            &inventory,
            &facts,
            &["has evenkeel.service run /etc/haproxy/haproxy.cfg"],
        );
        let defaults = "#EVENKEEL_CONFIG=/etc/haproxy/haproxy.cfg\nEVENKEEL_CONFIG=\"/etc/evenkeel/evenkeel.toml\"\n";
        check(
            &inventory,
            &with_file("lb", balancer::DEFAULTS, Some(defaults)),
            &[],
        );
    }

    #[test]
    fn a_balancer_that_nothing_can_bring_is_said_at_once() {
        let mut inventory = inventory();
        inventory.artefacts.offline = true;
        let mut facts = bare(&inventory);
        check(&inventory, &facts, &["lb: evenkeel is not installed"]);
        let programs = &mut host(&mut facts, "lb").programs;
        programs.insert("evenkeel".to_owned(), "0.1.0".to_owned());
        check(&inventory, &facts, &[]);
    }

    #[test]
    fn a_keepalived_of_others_keeps_its_file() {
        let mut inventory = inventory();
        let mut facts = with_file("lb", keepalived::FILE, Some("vrrp_instance SHOP {\n}\n"));
        check(&inventory, &facts, &[]);
        inventory.vrrp = Some(Vrrp {
            router_id: 10,
            interface: Some("eth0".to_owned()),
            packages: Vec::new(),
        });
        check(
            &inventory,
            &facts,
            &["lb: its /etc/keepalived/keepalived.conf is somebody else's"],
        );
        for ours in [
            "# evenkeel-bootstrap: evenkeel keepalived\n",
            "! Configuration File for keepalived\n acassen@firewall.loc\n 192.168.200.16\n",
        ] {
            let facts = with_file("lb", keepalived::FILE, Some(ours));
            check(&inventory, &facts, &[]);
        }
        inventory.vrrp.as_mut().unwrap().interface = None;
        host(&mut facts, "lb").files.clear();
        check(
            &inventory,
            &facts,
            &["lb: its address 10.0.1.10 is on none of its interfaces"],
        );
    }
}
