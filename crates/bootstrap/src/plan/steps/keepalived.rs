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
         if [ \"$(getsebool keepalived_connect_any 2>/dev/null)\" = 'keepalived_connect_any --> off' ]; then\n\
         \x20 setsebool -P keepalived_connect_any on\n\
         fi\n\
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
    use crate::facts::{FileFacts, Unit};
    use crate::inventory::Vrrp;
    use crate::plan::steps::example::{bare, host, inventory};

    /// Two balancers, on hosts where nothing is installed.
    fn pair() -> (Inventory, Facts) {
        let mut inventory = inventory();
        let mut other = inventory.nodes[0].clone();
        other.name = "lb2".to_owned();
        other.address = [10, 0, 1, 9].into();
        inventory.nodes.insert(1, other);
        inventory.endpoint.vip = [10, 0, 1, 100].into();
        inventory.vrrp = Some(Vrrp {
            router_id: 7,
            interface: Some("eth1".to_owned()),
            packages: Vec::new(),
        });
        let facts = bare(&inventory);
        (inventory, facts)
    }

    fn of(inventory: &Inventory, facts: &Facts, name: &str) -> Vec<Step> {
        steps(inventory, facts, inventory.node(name).expect("it is there"))
    }

    /// What a step runs at the end.
    fn script(step: &Step) -> String {
        match step.actions.last() {
            Some(Action::Run { script, .. }) => script.to_string(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_balancer_has_evenkeel_print_its_own_file_and_tests_it_before_it_counts() {
        let (inventory, facts) = pair();
        let commands = ["lb", "lb2"].map(|name| {
            let steps = of(&inventory, &facts, name);
            let ids: Vec<_> = steps.iter().map(|step| step.id.clone()).collect();
            assert_eq!(
                ids,
                [
                    format!("{name}/keepalived-package"),
                    format!("{name}/keepalived")
                ]
            );
            let script = script(&steps[1]);
            let place = |part: &str| {
                script
                    .find(part)
                    .unwrap_or_else(|| panic!("{part}: {script}"))
            };
            assert!(place("keepalived -t -f") < place("mv "), "{script}");
            assert!(place("mv ") < place("reload-or-restart"), "{script}");
            match &steps[1].brings[0] {
                Fact::Stamp { line, .. } => line.strip_prefix(STAMP).expect("ours").to_owned(),
                other => panic!("{other:?}"),
            }
        });
        let common = "--vip 10.0.1.100 --router-id 7";
        assert_eq!(
            commands,
            [
                format!(
                    "evenkeel keepalived --interface 'eth1' --address 10.0.1.10 {common} --priority 200 --admin 127.0.0.1:8404 --peer 10.0.1.9"
                ),
                format!(
                    "evenkeel keepalived --interface 'eth1' --address 10.0.1.9 {common} --priority 150 --admin 127.0.0.1:8404 --peer 10.0.1.10"
                ),
            ]
        );
    }

    #[test]
    fn keepalived_comes_from_files_where_there_are_some_and_from_nowhere_when_it_is_there() {
        let (mut inventory, mut facts) = pair();
        let package = |inventory: &Inventory, facts: &Facts| of(inventory, facts, "lb").remove(0);
        assert!(script(&package(&inventory, &facts)).contains("apt-get"));
        inventory.artefacts.offline = true;
        assert!(script(&package(&inventory, &facts)).contains("exit 1"));
        let vrrp = inventory.vrrp.as_mut().expect("it was just set");
        vrrp.packages = vec!["site/keepalived.deb".into(), "site/libnl.deb".into()];
        let step = package(&inventory, &facts);
        assert_eq!(step.actions.len(), 3);
        let folder = "/var/lib/evenkeel-bootstrap/files";
        assert!(script(&step).contains(&format!(
            "dpkg --force-confold -i '{folder}/keepalived.deb' '{folder}/libnl.deb'"
        )));
        // Unpacked and not set up is not there.
        let found = host(&mut facts, "lb");
        found
            .programs
            .insert("keepalived".to_owned(), "v2.2.7".to_owned());
        assert_eq!(package(&inventory, &facts).id, "lb/keepalived-package");
        let found = host(&mut facts, "lb");
        found
            .packages
            .insert("keepalived".to_owned(), Default::default());
        assert_eq!(package(&inventory, &facts).id, "lb/keepalived");
    }

    #[test]
    fn nothing_is_left_to_do_where_the_file_is_ours_and_keepalived_runs() {
        let (inventory, mut facts) = pair();
        for step in of(&inventory, &facts.clone(), "lb") {
            for fact in step.brings {
                let found = host(&mut facts, "lb");
                match fact {
                    Fact::Program { name, version } => drop(found.programs.insert(name, version)),
                    Fact::Stamp { path, line } => {
                        let text = Some(line + "\nglobal_defs {\n");
                        let file = FileFacts {
                            text,
                            ..FileFacts::default()
                        };
                        found.files.insert(path, file);
                    }
                    Fact::Unit { name } => {
                        let unit = Unit {
                            enabled: true,
                            active: true,
                        };
                        found.units.insert(name, unit);
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
        assert_eq!(of(&inventory, &facts, "lb"), []);
        let mut single = inventory;
        single.vrrp = None;
        assert_eq!(of(&single, &facts, "lb2"), []);
    }

    #[test]
    fn priorities_fall_and_stay_within_what_vrrp_has() {
        let all: Vec<_> = (0..50).map(priority).collect();
        assert_eq!(all[..5], [200, 150, 100, 50, 49]);
        assert!(all.windows(2).all(|pair| pair[0] > pair[1]), "{all:?}");
        assert_eq!((priority(52), priority(1000)), (1, 1));
    }
}
