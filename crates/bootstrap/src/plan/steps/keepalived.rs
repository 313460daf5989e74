//! Two balancers that share the VIP: keepalived, whose configuration evenkeel itself prints.

use super::{files, keep, step};
use crate::facts::{Content, Facts, HostFacts, PackageManager};
use crate::inventory::{Inventory, Node, Role};
use crate::plan::{Action, Fact, Refusal, Step, quote, seconds, unmet};

pub(super) const FILE: &str = "/etc/keepalived/keepalived.conf";

/// How keepalived 2.2.7 (Debian 12) ends when a file with a script passes its test: by SIGTERM to itself.
/// One that does not pass has another status there, too.
const TERMINATED: u8 = 143;

/// By which we know a file of ours; the command that printed it follows.
const STAMP: &str = "# evenkeel-bootstrap: ";

/// What a balancer still lacks to take part; nothing where the VIP does not move.
#[must_use]
pub fn steps(inventory: &Inventory, facts: &Facts, node: &Node) -> Vec<Step> {
    let Some(host) = facts.host(&node.name) else {
        return Vec::new();
    };
    let Some(command) = command(inventory, node, host) else {
        return Vec::new();
    };
    let mut steps = vec![program(inventory, node, host)];
    let stamp = format!("{STAMP}{command}");
    let script = format!(
        "umask 022\n\
         mkdir -p /etc/keepalived\n\
         {{\n\
         \x20 echo {stamp}\n\
         \x20 {command}\n\
         \x20 for file in {OTHERS}; do\n\
         \x20   [ ! -e \"$file\" ] || {{ echo 'include {OTHERS}'; break; }}\n\
         \x20 done\n\
         }} >{FILE}.new\n\
         status=0\n\
         keepalived -t -f {FILE}.new || status=$?\n\
         case $status in 0|{TERMINATED}) ;; *) exit 1 ;; esac\n\
         {keep}\
         mv {FILE}.new {FILE}\n\
         systemctl enable keepalived.service\n\
         systemctl reload-or-restart keepalived.service\n",
        stamp = quote(&stamp),
        keep = keep(FILE),
    );
    let vip = inventory.endpoint.vip;
    steps.push(step(
        node,
        "keepalived",
        format!("have keepalived give {vip} to the balancer that serves"),
        vec![
            Fact::Stamp {
                path: FILE.to_owned(),
                line: stamp,
            },
            Fact::Unit {
                name: "keepalived.service".to_owned(),
            },
        ],
        vec![run(&script, 120)],
        "see journalctl -u keepalived on the host; a firewall must let IP protocol 112 through between the balancers",
    ));
    unmet(facts, steps)
}

/// Where instances that are not ours have their files, which ours reads too.
const OTHERS: &str = "/etc/keepalived/conf.d/*.conf";

/// Addresses that keepalived carries for others go down with a file that does not name them.
pub(super) fn refusal(inventory: &Inventory, node: &Node, host: &HostFacts) -> Option<Refusal> {
    inventory.vrrp.as_ref()?;
    let refuse = |what: String, fix: String| {
        Some(Refusal {
            host: node.name.clone(),
            what,
            fix,
        })
    };
    if command(inventory, node, host).is_none() {
        return refuse(
            format!(
                "its address {} is on none of its interfaces, so that keepalived cannot be told one",
                node.address
            ),
            "set 'interface' in [vrrp], or correct the address".to_owned(),
        );
    }
    let is_replaceable = match host.content(FILE) {
        Content::Missing => true,
        // The sample of the package, which carries addresses of nobody's.
        Content::Text(text) => {
            text.starts_with(STAMP)
                || (text.contains("acassen@firewall.loc") && text.contains("192.168.200.16"))
        }
        Content::Unknown => false,
    };
    if is_replaceable {
        return None;
    }
    refuse(
        format!("its {FILE} is somebody else's, and addresses that it carries would go down"),
        format!(
            "move its vrrp_instance sections to a file in /etc/keepalived/conf.d, which the file of apply \
             includes ({OTHERS}), and the rest of it away; apply then reloads keepalived once"
        ),
    )
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
        format!("--priority {}", priority(place)),
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

/// 200 for the first and less for each further one, within the 1 to 254 of VRRP: 50 less for the first few, as
/// `evenkeel keepalived` itself does, then by one, so that the first fifty differ.
fn priority(place: usize) -> u8 {
    const STEPS: [u8; 4] = [200, 150, 100, 50];
    let further = || u8::try_from(place).map_or(1, |place| 53_u8.saturating_sub(place).max(1));
    STEPS.get(place).copied().unwrap_or_else(further)
}

fn program(inventory: &Inventory, node: &Node, host: &HostFacts) -> Step {
    let files = inventory
        .vrrp
        .as_ref()
        .map_or(&[][..], |vrrp| &vrrp.packages);
    let mut brings = vec![Fact::Program {
        name: "keepalived".to_owned(),
        version: String::new(),
    }];
    let (actions, advice) = if !files.is_empty() {
        // One that is unpacked and not set up has its program in place, and yet nothing that it needs.
        brings.push(Fact::Package {
            name: "keepalived".to_owned(),
            version: String::new(),
            held: false,
        });
        let actions = files::install(inventory, host, files);
        (
            actions,
            "vrrp.packages must hold keepalived and all that it depends on and the host does not have",
        )
    } else if inventory.artefacts.offline {
        let script = "echo 'keepalived is not installed' >&2\nexit 1\n";
        let advice = "artefacts.offline is set: install it yourself, or list its package files in vrrp.packages";
        (vec![run(script, 10)], advice)
    } else {
        let script = match host.package_manager {
            Some(PackageManager::Dnf) => "dnf -q -y install keepalived",
            _ => {
                "export DEBIAN_FRONTEND=noninteractive\napt-get -qq -o DPkg::Lock::Timeout=300 update\napt-get -qq -o DPkg::Lock::Timeout=300 install --no-install-recommends -y keepalived"
            }
        };
        let advice =
            "the host's repositories must have it, or list its package files in vrrp.packages";
        (vec![run(script, 600)], advice)
    };
    let title = "install keepalived".to_owned();
    step(node, "keepalived-package", title, brings, actions, advice)
}

fn run(script: &str, limit: u64) -> Action {
    Action::Run {
        script: script.to_owned().into(),
        limit: seconds(limit),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn priorities_fall_and_stay_within_what_vrrp_has() {
        let all: Vec<_> = (0..50).map(priority).collect();
        assert_eq!(all[..5], [200, 150, 100, 50, 49]);
        assert!(all.windows(2).all(|pair| pair[0] > pair[1]), "{all:?}");
        assert_eq!((priority(52), priority(1000)), (1, 1));
    }
}
