//! Two balancers that share the VIP: keepalived, whose configuration evenkeel itself prints.

use crate::facts::{Facts, HostFacts, PackageManager};
use crate::inventory::{Inventory, Node, Role};
use crate::plan::{Action, Fact, Step, quote, seconds, unmet};

const FILE: &str = "/etc/keepalived/keepalived.conf";

/// What a balancer still lacks to take part; nothing where the VIP does not move.
#[must_use]
pub fn steps(inventory: &Inventory, facts: &Facts, node: &Node) -> Vec<Step> {
    let Some(host) = facts.host(&node.name) else {
        return Vec::new();
    };
    let Some(command) = command(inventory, node, host) else {
        return Vec::new();
    };
    let mut steps = Vec::new();
    if !host.programs.contains_key("keepalived") && !inventory.artefacts.offline {
        steps.push(program(node, host));
    }
    let stamp = format!("# evenkeel-bootstrap: {command}");
    let script = format!(
        "umask 022\n\
         mkdir -p /etc/keepalived\n\
         {{ echo {stamp}; {command}; }} >{FILE}.new\n\
         keepalived -t -f {FILE}.new\n\
         mv {FILE}.new {FILE}\n\
         systemctl enable keepalived.service\n\
         systemctl reload-or-restart keepalived.service\n",
        stamp = quote(&stamp),
    );
    steps.push(Step {
        id: format!("{}/keepalived", node.name),
        host: node.name.clone(),
        title: format!("have keepalived give {} to the balancer that serves", inventory.endpoint.vip),
        brings: vec![
            Fact::Stamp { path: FILE.to_owned(), line: stamp },
            Fact::Unit { name: "keepalived.service".to_owned() },
        ],
        actions: vec![Action::Run { script: script.into(), limit: seconds(120) }],
        advice: "see journalctl -u keepalived on the host; a firewall must let IP protocol 112 through between the balancers"
            .to_owned(),
    });
    unmet(facts, steps)
}

fn command(inventory: &Inventory, node: &Node, host: &HostFacts) -> Option<String> {
    let vrrp = inventory.vrrp.as_ref()?;
    let interface = match &vrrp.interface {
        Some(name) => name.clone(),
        None => host.interface_of(node.address)?.name.clone(),
    };
    // Of two that start together the first of the inventory is first.
    let place = inventory
        .of(Role::Balancer)
        .position(|other| other.name == node.name)?;
    let mut words = vec![
        "evenkeel keepalived".to_owned(),
        format!("--interface {}", quote(&interface)),
        format!("--address {}", node.address),
        format!("--vip {}", inventory.endpoint.vip),
        format!("--router-id {}", vrrp.router_id),
        format!("--priority {}", 200 - place * 50),
        format!("--admin {}", inventory.balancer.admin),
    ];
    for peer in inventory
        .of(Role::Balancer)
        .filter(|other| other.name != node.name)
    {
        words.push(format!("--peer {}", peer.address));
    }
    Some(words.join(" "))
}

fn program(node: &Node, host: &HostFacts) -> Step {
    let script = match host.package_manager {
        Some(PackageManager::Dnf) => "dnf -q -y install keepalived",
        _ => {
            "export DEBIAN_FRONTEND=noninteractive\napt-get -qq -o DPkg::Lock::Timeout=300 update\napt-get -qq -o DPkg::Lock::Timeout=300 install --no-install-recommends -y keepalived"
        }
    };
    Step {
        id: format!("{}/keepalived-package", node.name),
        host: node.name.clone(),
        title: "install keepalived".to_owned(),
        brings: vec![Fact::Program {
            name: "keepalived".to_owned(),
            version: String::new(),
        }],
        actions: vec![Action::Run {
            script: script.into(),
            limit: seconds(600),
        }],
        advice: "the host's repositories must have it".to_owned(),
    }
}
