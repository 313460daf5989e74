//! Every rule, one row each: what it is called, what it says in the reference, and the function that judges.
//! What `apply` mends by itself is a note, not an error.

mod hosts;
mod identity;
mod kernel;
mod kubernetes;
mod network;
mod software;

pub(crate) use kubernetes::ENDS_SOON_DAYS;

use crate::facts::{Facts, HostFacts};
use crate::inventory::{Inventory, Node, Role};

use super::{Finding, Reach, Severity};

/// A rule.
struct Rule {
    name: &'static str,
    /// For the reference: what it looks at, and why.
    about: &'static str,
    find: fn(&Scene<'_>, &mut Findings),
}

const fn rule(
    name: &'static str,
    find: fn(&Scene<'_>, &mut Findings),
    about: &'static str,
) -> Rule {
    Rule { name, about, find }
}

static RULES: [Rule; 33] = [
    rule(
        "answers",
        hosts::answers,
        "Each host lets evenkeel-bootstrap in by ssh, and lets it become root. One that `--without` leaves out is a warning.",
    ),
    rule(
        "system",
        hosts::system,
        "A distribution with systemd, apt or dnf, and iproute2; a kernel of 4.19 or later on a 64-bit machine.",
    ),
    rule(
        "size",
        hosts::size,
        "kubeadm wants 2 processors and 1700 MB of a control plane (its checks NumCPU and Mem), and a worker needs about half of it to run anything.",
    ),
    rule(
        "room",
        hosts::room,
        "Room for etcd, images and pods; etcd stops when its disk is full, and kubelet throws pods out.",
    ),
    rule(
        "clock",
        hosts::clock,
        "Clocks agree within a second: certificates are valid from now on, and etcd complains beyond one second. A time service keeps them so.",
    ),
    rule(
        "firewall",
        hosts::firewall,
        "A firewall that is managed on the host (firewalld, ufw), whose rules have to let the cluster through.",
    ),
    rule(
        "identity",
        identity::identity,
        "machine-id, product_uuid, MAC and host name differ from host to host, which clones of a machine often forget.",
    ),
    rule(
        "hostname",
        identity::hostname,
        "Hosts are called what cluster.toml calls them; apply sees to it.",
    ),
    rule(
        "address",
        identity::address,
        "Each host has the address that cluster.toml gives it.",
    ),
    rule(
        "names",
        identity::names,
        "/etc/hosts has no line that gives a host of the cluster another address.",
    ),
    rule(
        "files",
        hosts::files,
        "Nothing that apply writes is somebody else's: a balancer or keepalived that serves others too, an /etc/hosts or fstab whose lines cannot be read.",
    ),
    rule(
        "swap",
        kernel::swap,
        "kubelet does not start with swap; apply turns it off, unless `failSwapOn = false` stands in `[kubeadm.kubelet]`. A host that is a container sees the swap of the machine that runs it, and cannot turn it off.",
    ),
    rule(
        "modules",
        kernel::modules,
        "br_netfilter and overlay can be loaded. kubeadm no longer looks for br_netfilter, and flannel crashes without it.",
    ),
    rule(
        "sysctls",
        kernel::sysctls,
        "The kernel forwards packets and lets iptables see those of bridges; apply sees to it, and no file that the boot reads later takes it back.",
    ),
    rule(
        "cgroups",
        kernel::cgroups,
        "cgroup v2; kubelet refuses v1 from 1.35 on, unless `failCgroupV1 = false` stands in `[kubeadm.kubelet]`.",
    ),
    rule(
        "selinux",
        software::selinux,
        "SELinux on nodes: enforcing works with container-selinux, and kubeadm's own guide has it permissive.",
    ),
    rule(
        "runtime",
        software::runtime,
        "containerd 1.6 or later that speaks to kubelet, leaves cgroups to the same manager as kubelet and finds the network's plugins; that its package can be had.",
    ),
    rule(
        "programs",
        software::programs,
        "kubeadm, kubelet and kubectl can be brought to the release of cluster.toml: none is newer, and a site without repositories brings its packages.",
    ),
    rule(
        "keepalived",
        software::keepalived,
        "Where balancers share the VIP, keepalived is there or can be had: a site without repositories brings its packages.",
    ),
    rule(
        "ports",
        network::ports,
        "What the cluster will listen on is free: 6443, 2379, 2380, 10257, 10259 on control planes, 10250 and 10256 on nodes, the VIP's port on balancers.",
    ),
    rule(
        "reach",
        network::reach,
        "Hosts that answer reach each other where they need to, by real connections: nodes to the VIP; everybody to 6443 of control planes; control planes to 2379 and 2380 of each other and to 10250 of all nodes; with calico, nodes to 179 of each other. Refused counts as reached. UDP (flannel's 8472, calico's 4789) cannot be tried without somebody who listens.",
    ),
    rule("route", network::route, "Each host has a route to the VIP."),
    rule(
        "vip",
        network::vip,
        "The VIP is on the only balancer, or on none but the balancers that share it; nobody else answers there.",
    ),
    rule(
        "vrrp",
        network::vrrp,
        "With balancers that share the VIP, nobody else in their network sends adverts with their router id. Listened for with tcpdump or Python.",
    ),
    rule(
        "networks",
        network::networks,
        "The networks of pods and services are not networks that a host is in.",
    ),
    rule(
        "interface",
        network::interface,
        "With flannel, the default route leaves by the interface that has the node's address, which is the one that flannel takes.",
    ),
    rule(
        "proxy",
        network::proxy,
        "A proxy for HTTPS would not catch the VIP, the nodes, or the networks of the cluster.",
    ),
    rule(
        "leftovers",
        kubernetes::leftovers,
        "Nothing of an earlier cluster is on a host that is no member of this one.",
    ),
    rule(
        "begun",
        kubernetes::begun,
        "No init or join was begun and not completed; apply takes it up again.",
    ),
    rule(
        "patches",
        kubernetes::patches,
        "The folder of `patches.directory` in `[kubeadm.init]` and `[kubeadm.join]` is there on each host that reads it.",
    ),
    rule(
        "versions",
        kubernetes::versions,
        "A cluster that is there runs the release of cluster.toml, and kubelets are neither newer than API servers nor more than three minor releases older.",
    ),
    rule(
        "certificates",
        kubernetes::certificates,
        "The certificates that kubeadm made for control planes do not end within a month; each upgrade renews them, and so does `certs --renew`.",
    ),
    rule(
        "voters",
        kubernetes::voters,
        "An odd number of control planes. Two are allowed: two etcd voters of which neither may be lost.",
    ),
];

/// What rules look at.
struct Scene<'a> {
    inventory: &'a Inventory,
    facts: &'a Facts,
    reach: &'a Reach,
}

impl<'a> Scene<'a> {
    /// Hosts that answered, in the order of the inventory.
    fn hosts(&self) -> impl Iterator<Item = (&'a Node, &'a HostFacts)> {
        let facts = self.facts;
        let nodes = self.inventory.nodes.iter();
        nodes.filter_map(move |node| Some((node, facts.host(&node.name)?)))
    }

    /// Those of one role.
    fn of(&self, role: Role) -> impl Iterator<Item = (&'a Node, &'a HostFacts)> {
        self.hosts().filter(move |(node, _)| node.role == role)
    }

    /// Control planes and workers.
    fn members(&self) -> impl Iterator<Item = (&'a Node, &'a HostFacts)> {
        self.hosts().filter(|(node, _)| node.role != Role::Balancer)
    }

    /// Whether a check of kubeadm is passed over.
    fn ignores(&self, check: &str) -> bool {
        let mut ignored = self.inventory.kubeadm.ignore_preflight_errors.iter();
        ignored.any(|name| name.eq_ignore_ascii_case(check) || name.eq_ignore_ascii_case("all"))
    }

    /// A flag of `[kubeadm.kubelet]`.
    fn kubelet_says(&self, key: &str, value: bool) -> bool {
        self.inventory.kubeadm.kubelet.get(key) == Some(&serde_json::Value::Bool(value))
    }
}

/// Where a rule puts what it finds.
struct Findings {
    rule: &'static str,
    found: Vec<Finding>,
}

impl Findings {
    fn add(&mut self, severity: Severity, host: &str, what: String, fix: impl Into<String>) {
        self.found.push(Finding {
            host: host.to_owned(),
            severity,
            rule: self.rule,
            what,
            fix: fix.into(),
        });
    }

    fn error(&mut self, node: &Node, what: String, fix: impl Into<String>) {
        self.add(Severity::Error, &node.name, what, fix);
    }

    fn warning(&mut self, node: &Node, what: String, fix: impl Into<String>) {
        self.add(Severity::Warning, &node.name, what, fix);
    }

    fn note(&mut self, node: &Node, what: String, fix: impl Into<String>) {
        self.add(Severity::Note, &node.name, what, fix);
    }
}

/// What all rules find: the worst first, then in the order of the inventory, then in that of the rules.
pub(super) fn all(inventory: &Inventory, facts: &Facts, reach: &Reach) -> Vec<Finding> {
    let scene = Scene {
        inventory,
        facts,
        reach,
    };
    let mut found = Vec::new();
    for rule in &RULES {
        let mut findings = Findings {
            rule: rule.name,
            found: Vec::new(),
        };
        (rule.find)(&scene, &mut findings);
        found.extend(findings.found);
    }
    let place = |name: &str| inventory.nodes.iter().position(|node| node.name == name);
    found.sort_by_key(|finding| (finding.severity, place(&finding.host)));
    found
}

/// docs/preflight.md.
#[must_use]
pub fn preflight_markdown() -> String {
    let mut page = String::from(INTRODUCTION);
    for rule in &RULES {
        page.push_str(&format!("| `{}` | {} |\n", rule.name, rule.about));
    }
    page
}

const INTRODUCTION: &str = "\
<!-- Printed by evenkeel-bootstrap from its table of rules; a test keeps it in step. -->

# Preflight

`evenkeel-bootstrap preflight` asks every host of cluster.toml what it is like, has hosts connect to
each other where the cluster will need it, and lists what it finds, each with a way out. It changes
nothing on any host. `apply` does the same first and stops at errors.

| severity | meaning |
|---|---|
| error | The cluster would not come up, or would not stay up. |
| warning | It comes up, and something will hurt later. |
| note | Nothing has to be done, or apply does it. |

The exit status is 0 where there is no error, 1 where there is one, 2 where cluster.toml or the
command line has a mistake. `--json` prints an object with `hosts`, how many were judged, and
`findings`, a list of `host` (empty: the cluster's), `severity`, `rule`, `what` and `fix`.

| rule | what it looks at |
|---|---|
";

#[cfg(test)]
mod tests;
