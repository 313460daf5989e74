//! What kubelet and pods need of the kernel: modules, settings, no swap. Persisted, since a node that comes
//! back after a reboot without them has pods that reach nobody, and kubeadm no longer looks.

use super::refusals;
use crate::facts::{Facts, HostFacts};
use crate::inventory::{Inventory, Node};
use crate::plan::{Action, Fact, Refusal, Step, hash, seconds, unmet};

use super::MODULES;
const MODULES_FILE: &str = "/etc/modules-load.d/90-evenkeel-bootstrap.conf";
pub(crate) const SYSCTL_FILE: &str = "/etc/sysctl.d/90-evenkeel-bootstrap.conf";
const FSTAB: &str = "/etc/fstab";

/// What a node's kernel still lacks.
#[must_use]
pub fn steps(inventory: &Inventory, facts: &Facts, node: &Node) -> Vec<Step> {
    let mut steps = vec![modules(facts, node), settings(inventory, facts, node)];
    if !is_swap_allowed(inventory) {
        steps.push(swap(facts, node));
    }
    unmet(facts, steps)
}

/// Lines of fstab that are not known may bring swap back at boot.
pub(super) fn refusal(inventory: &Inventory, node: &Node, host: &HostFacts) -> Option<Refusal> {
    refusals::unknown(node, host, FSTAB).filter(|_| !is_swap_allowed(inventory))
}

fn is_swap_allowed(inventory: &Inventory) -> bool {
    inventory.kubeadm.kubelet.get("failSwapOn") == Some(&serde_json::Value::Bool(false))
}

fn modules(facts: &Facts, node: &Node) -> Step {
    let content = format!("{}\n", MODULES.join("\n"));
    let mut brings: Vec<_> = MODULES
        .iter()
        .map(|name| Fact::Module {
            name: (*name).to_owned(),
        })
        .collect();
    brings.push(file(MODULES_FILE, &content));
    Step {
        id: format!("{}/modules", node.name),
        host: node.name.clone(),
        title: format!("load the kernel modules {} now and at boot", MODULES.join(", ")),
        brings,
        actions: vec![
            write(facts, node, MODULES_FILE, content),
            // One that is built in needs no loading, and modprobe may not know it.
            Action::Run {
                script: MODULES
                    .iter()
                    .map(|name| format!("{} || modprobe {name}\n", Fact::Module { name: (*name).to_owned() }.probe()))
                    .collect::<String>()
                    .into(),
                limit: seconds(60),
            },
        ],
        advice: "the kernel has no such module: install the kernel's package for extra modules, or another kernel"
            .to_owned(),
    }
}

/// Names and values; forwarding for each family that pods have.
fn wanted(inventory: &Inventory) -> Vec<(&'static str, &'static str)> {
    let mut settings = vec![
        ("net.bridge.bridge-nf-call-iptables", "1"),
        ("net.bridge.bridge-nf-call-ip6tables", "1"),
    ];
    if inventory
        .pod_cidrs
        .iter()
        .any(|network| network.addr().is_ipv4())
    {
        settings.push(("net.ipv4.ip_forward", "1"));
    }
    if inventory
        .pod_cidrs
        .iter()
        .any(|network| network.addr().is_ipv6())
    {
        settings.push(("net.ipv6.conf.all.forwarding", "1"));
    }
    settings
}

fn settings(inventory: &Inventory, facts: &Facts, node: &Node) -> Step {
    let settings = wanted(inventory);
    let content: String = settings
        .iter()
        .map(|(key, value)| format!("{key} = {value}\n"))
        .collect();
    let mut brings: Vec<_> = settings
        .iter()
        .map(|(key, value)| Fact::Sysctl {
            key: (*key).to_owned(),
            value: (*value).to_owned(),
        })
        .collect();
    brings.push(file(SYSCTL_FILE, &content));
    let set: String = settings
        .iter()
        .map(|(key, value)| format!("echo {value} >/proc/sys/{}\n", key.replace('.', "/")))
        .collect();
    Step {
        id: format!("{}/sysctls", node.name),
        host: node.name.clone(),
        title: "let the kernel forward and filter packets of pods, now and at boot".to_owned(),
        brings,
        actions: vec![
            write(facts, node, SYSCTL_FILE, content),
            Action::Run { script: set.into(), limit: seconds(30) },
        ],
        advice: "another file of /etc/sysctl.d may set it otherwise, or the host is a container that may not".to_owned(),
    }
}

fn swap(facts: &Facts, node: &Node) -> Step {
    let fstab = facts.host(&node.name).and_then(|host| host.text(FSTAB));
    let quiet = fstab
        .map(without_swap)
        .filter(|quiet| Some(quiet.as_str()) != fstab);
    let mut brings = vec![Fact::SwapOff];
    let mut actions = Vec::new();
    // Those that call swapon themselves have no unit of swap that could be masked.
    let services: Vec<_> = facts
        .host(&node.name)
        .map(swap_services)
        .unwrap_or_default();
    brings.extend(services.iter().map(|name| Fact::UnitOff {
        name: (*name).to_owned(),
    }));
    if let Some(quiet) = quiet {
        let mode = facts
            .host(&node.name)
            .and_then(|host| host.files.get(FSTAB))
            .map_or(0o644, |file| file.mode);
        brings.push(Fact::File {
            path: FSTAB.to_owned(),
            sha256: hash(&quiet),
            mode,
        });
        actions.push(Action::Write {
            path: FSTAB.to_owned(),
            content: quiet.into(),
            mode,
            before: fstab.map(str::to_owned),
            temporary: false,
        });
    }
    // Swap of units (zram, partitions that systemd finds) comes back at boot unless they are masked.
    let mut script: String = services
        .iter()
        .map(|name| format!("systemctl disable --now {name}\n"))
        .collect();
    script += "swapoff -a\n\
                  if command -v systemctl >/dev/null; then\n\
                  \x20 systemctl list-units --type=swap --all --plain --no-legend | while read -r unit rest; do\n\
                  \x20   [ -n \"$unit\" ] && systemctl mask --now \"$unit\"\n\
                  \x20 done || true\n\
                  fi\n";
    actions.push(Action::Run {
        script: script.into(),
        limit: seconds(300),
    });
    Step {
        id: format!("{}/swap", node.name),
        host: node.name.clone(),
        title: "turn swap off, now and at boot".to_owned(),
        brings,
        actions,
        advice: "kubelet does not start with swap unless kubeadm.kubelet says failSwapOn = false"
            .to_owned(),
    }
}

/// Services that bring swap at boot: Debian's zram-tools, Ubuntu's zram-config, Raspberry Pi OS's dphys-swapfile,
/// and swapspace.
pub(crate) const SWAP_SERVICES: [&str; 4] = [
    "zramswap.service",
    "zram-config.service",
    "dphys-swapfile.service",
    "swapspace.service",
];

/// Those of them that a host has on.
pub(crate) fn swap_services(host: &HostFacts) -> Vec<&'static str> {
    let is_on = |name: &&str| {
        let unit = host.units.get(*name);
        unit.is_some_and(|unit| unit.enabled || unit.active)
    };
    SWAP_SERVICES.into_iter().filter(is_on).collect()
}

/// An fstab whose swap lines are comments.
fn without_swap(text: &str) -> String {
    text.split_inclusive('\n')
        .map(|line| {
            let is_swap = !line.trim_start().starts_with('#')
                && line.split_whitespace().nth(2) == Some("swap");
            if is_swap {
                format!("# evenkeel-bootstrap: {line}")
            } else {
                line.to_owned()
            }
        })
        .collect()
}

fn file(path: &str, content: &str) -> Fact {
    Fact::File {
        path: path.to_owned(),
        sha256: hash(content),
        mode: 0o644,
    }
}

fn write(facts: &Facts, node: &Node, path: &str, content: String) -> Action {
    Action::Write {
        path: path.to_owned(),
        content: content.into(),
        mode: 0o644,
        before: facts
            .host(&node.name)
            .and_then(|host| host.text(path))
            .map(str::to_owned),
        temporary: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::Unit;
    use crate::plan::steps::UNITS;
    use crate::plan::steps::example::{bare, host, inventory};

    #[test]
    fn services_that_bring_swap_at_boot_are_switched_off() {
        let inventory = inventory();
        let mut facts = bare(&inventory);
        let node = inventory.node("worker1").expect("there");
        let step = |facts: &Facts| {
            let mut steps = steps(&inventory, facts, node).into_iter();
            steps.find(|step| step.id == "worker1/swap")
        };
        assert_eq!(step(&facts), None);
        let unit = Unit {
            enabled: true,
            active: false,
        };
        let units = &mut host(&mut facts, "worker1").units;
        units.insert("dphys-swapfile.service".to_owned(), unit);
        let text = step(&facts).expect("it comes back at boot").to_string();
        assert!(
            text.contains("systemctl disable --now dphys-swapfile.service"),
            "{text}"
        );
        assert!(SWAP_SERVICES.iter().all(|name| UNITS.contains(name)));
    }

    #[test]
    fn only_swap_lines_become_comments_and_only_once() {
        let text = "UUID=1 / ext4 defaults 0 1\n/swap.img none swap sw 0 0\n# /old none swap sw 0 0\n/dev/sdb /swap ext4 defaults 0 0";
        let quiet = without_swap(text);
        assert_eq!(
            quiet,
            "UUID=1 / ext4 defaults 0 1\n# evenkeel-bootstrap: /swap.img none swap sw 0 0\n# /old none swap sw 0 0\n/dev/sdb /swap ext4 defaults 0 0"
        );
        assert_eq!(without_swap(&quiet), quiet);
    }
}
