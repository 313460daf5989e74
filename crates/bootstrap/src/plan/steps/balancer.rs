//! The balancer: its program, its configuration, and who of the masters it sends clients to.

use std::fmt::Write;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use super::join;
use super::{APT, APT_GET, step};
use crate::facts::{Content, Facts, HostFacts, PackageManager};
use crate::inventory::{Balancer, Inventory, Node, Role};
use crate::plan::{Action, Fact, Refusal, Step, hash, quote, seconds, unmet};

/// What the service runs.
pub const FILE: &str = "/etc/evenkeel/evenkeel.toml";
/// Where the service's file and options may be said otherwise.
pub(super) const DEFAULTS: &str = "/etc/default/evenkeel";
const PROGRAM: &str = "/usr/sbin/evenkeel";
/// Which package was installed last by us.
const INSTALLED: &str = "/var/lib/evenkeel-bootstrap/files/evenkeel.installed";
const CANDIDATE: &str = "/etc/evenkeel/candidate.toml";
const UNIT: &str = include_str!("../../../../../packaging/evenkeel.service");
const SYSUSERS: &str = include_str!("../../../../../packaging/evenkeel.sysusers");

/// `evenkeel reload` waits 150 s for the names of servers. Cut before its end, the file would be new and the
/// balancer old.
const SWAP_SECONDS: u64 = 180;

/// What a balancer still lacks, with `masters` let in.
#[must_use]
pub fn steps(inventory: &Inventory, facts: &Facts, node: &Node, masters: &[&str]) -> Vec<Step> {
    let Some(host) = facts.host(&node.name) else {
        return Vec::new();
    };
    let program = match (&inventory.balancer.binary, &inventory.balancer.package) {
        (Some(_), _) => binary(inventory, facts, node),
        (None, Some(_)) => package(inventory, facts, node, host),
        (None, None) => repository(inventory, node, host),
    };
    unmet(
        facts,
        program
            .into_iter()
            .chain([settings(inventory, facts, node, masters)]),
    )
}

/// A balancer that is not ours alone, or that nothing brings.
pub(super) fn refusals(inventory: &Inventory, node: &Node, host: &HostFacts) -> Vec<Refusal> {
    let mut all = Vec::new();
    let mut refuse = |what: String, fix: String| {
        all.push(Refusal {
            host: node.name.clone(),
            what,
            fix,
        });
    };
    let text = match host.content(FILE) {
        Content::Missing => None,
        Content::Text(text) => Some(text),
        Content::Unknown => Some(""),
    };
    match text.map(owner) {
        None | Some(Owner::Nobody) => {}
        Some(Owner::Cluster(name)) if name == inventory.name => {}
        Some(Owner::Cluster(name)) => refuse(
            format!("its {FILE} is that of the cluster {name}, which would lose its balancer"),
            format!(
                "give this cluster a balancer of its own; if {name} is gone, or this very cluster under its \
                 old name, remove the file"
            ),
        ),
        Some(Owner::Operator) => refuse(
            format!("its {FILE} is somebody else's, and would be replaced"),
            format!(
                "what else this balancer serves goes into a file of its own: \
                 `mv {FILE} /etc/evenkeel/own.toml`, leave in it what is yours, say \
                 EVENKEEL_OPTIONS=\"-f /etc/evenkeel/own.toml\" in {DEFAULTS}, and apply again. If nothing of \
                 it is needed, remove it"
            ),
        ),
    }
    if let Some(file) = setting(host, "EVENKEEL_CONFIG").filter(|file| *file != FILE) {
        refuse(
            format!("{DEFAULTS} has evenkeel.service run {file} in place of {FILE}"),
            format!(
                "take EVENKEEL_CONFIG out of {DEFAULTS}; what else this balancer serves stays with \
                 EVENKEEL_OPTIONS=\"-f {file}\" there"
            ),
        );
    }
    let Balancer {
        package, binary, ..
    } = &inventory.balancer;
    if inventory.artefacts.offline
        && package.is_none()
        && binary.is_none()
        && !host.programs.contains_key("evenkeel")
    {
        refuse(
            "evenkeel is not installed, and the site is offline".to_owned(),
            "name its package as 'package' in [balancer], or a static program as 'binary'"
                .to_owned(),
        );
    }
    all
}

/// Whose a file of the balancer is.
enum Owner<'a> {
    /// Ours, for a cluster of this name.
    Cluster(&'a str),
    /// The package's sample, as it came: it serves nobody.
    Nobody,
    Operator,
}

fn owner(text: &str) -> Owner<'_> {
    let cluster = text
        .strip_prefix(WRITTEN_FOR)
        .and_then(|rest| rest.split_once(';'));
    match cluster {
        Some((name, _)) => Owner::Cluster(name),
        // Addresses that belong to no machine in the world (RFC 5737).
        None if text.contains("192.0.2.11:6443") => Owner::Nobody,
        None => Owner::Operator,
    }
}

/// A variable of [`DEFAULTS`].
fn setting<'a>(host: &'a HostFacts, name: &str) -> Option<&'a str> {
    let mut lines = host.text(DEFAULTS)?.lines().rev();
    let value = lines.find_map(|line| line.trim_start().strip_prefix(name)?.strip_prefix('='))?;
    Some(value.trim().trim_matches(['"', '\'']))
}

/// The masters that may be sent clients by now: the first, whose `kubeadm init` may already want the
/// balancer, and those that have joined.
#[must_use]
pub fn masters_in<'a>(inventory: &'a Inventory, facts: &Facts) -> Vec<&'a str> {
    let first = &inventory.first_master().name;
    // Not one whose join is not seen to its end: it has not proved itself. One that does not answer us may
    // answer everybody else: what the cluster has as a control plane stays in, and the balancer's checks
    // judge it.
    let is_in = |name: &str| match facts.host(name) {
        Some(_) => join::joined(name, Role::ControlPlane).holds(facts, name),
        None => facts
            .member(name)
            .is_some_and(|member| member.control_plane),
    };
    // A first master that was lost is no way into a cluster that others carry.
    let cluster_without_first = !is_in(first)
        && facts
            .cluster
            .as_ref()
            .is_some_and(|cluster| cluster.told_by != *first);
    inventory
        .of(Role::ControlPlane)
        .map(|node| node.name.as_str())
        .filter(|name| is_in(name) || (*name == first && !cluster_without_first))
        .collect()
}

/// Has every balancer that answers send clients to `masters` and no others.
#[must_use]
pub fn enable(inventory: &Inventory, facts: &Facts, masters: &[&str], what: &str) -> Vec<Step> {
    // What the file says at the moment does not count: an earlier step may write another one.
    let balancers = inventory.of(Role::Balancer);
    let here = balancers.filter(|node| facts.host(&node.name).is_some());
    let steps = here.map(|node| {
        let mut step = settings(inventory, facts, node, masters);
        step.id = format!("{}/{what}", node.name);
        step.title = format!("have {} send clients to {}", node.name, listed(masters));
        step
    });
    steps.collect()
}

/// A word on each balancer that does not answer, and so keeps the file that it has.
#[must_use]
pub fn silent(inventory: &Inventory, facts: &Facts) -> Vec<String> {
    let balancers = inventory.of(Role::Balancer);
    let silent = balancers.filter(|node| facts.host(&node.name).is_none());
    silent
        .map(|node| {
            format!(
                "{} does not answer: it keeps its file until an apply that reaches it; its checks see who is away",
                node.name
            )
        })
        .collect()
}

/// Waits on every balancer until no session is open on `master`, which it sends nobody to any more: what still
/// runs there, a `kubectl exec` or a watch, would be cut by a restart. Who holds a connection for ever is not
/// waited for longer than `limit`.
#[must_use]
pub fn settle(inventory: &Inventory, facts: &Facts, master: &Node, limit: Duration) -> Vec<Step> {
    if limit.is_zero() {
        return Vec::new();
    }
    let balancers = inventory.of(Role::Balancer);
    let steps = balancers.filter(|node| facts.host(&node.name).is_some()).map(|node| {
        let script = format!(
            "open=$({metrics} |\n\
             \x20 sed -n 's/^haproxy_server_current_sessions{{proxy=\"masters\",server=\"{name}\"}} \\([0-9]*\\).*/\\1/p')\n\
             case \"$open\" in\n\
             0) ;;\n\
             '') echo 'the balancer does not say how many sessions are open on {name}'; exit 1 ;;\n\
             *) echo \"$open sessions are still open on {name}\"; exit 1 ;;\n\
             esac\n",
            metrics = metrics(inventory),
            name = master.name,
        );
        step(
            node,
            &format!("settle-{}", master.name),
            format!(
                "let sessions on {} end, for at most {} s",
                master.name,
                limit.as_secs()
            ),
            Vec::new(),
            vec![Action::Linger {
                what: format!("sessions on {} to end", master.name),
                script: script.into(),
                every: seconds(1),
                limit,
            }],
            "",
        )
    });
    steps.collect()
}

/// Prints the metrics of the balancer on its own host: bash speaks TCP, and not every host has curl.
pub(crate) fn metrics(inventory: &Inventory) -> String {
    let address = admin(&inventory.balancer.admin);
    format!(
        "timeout 10 bash -c 'exec 3<>/dev/tcp/{}/{}; printf \"GET /metrics HTTP/1.0\\r\\n\\r\\n\" >&3; cat <&3'",
        address.ip(),
        address.port()
    )
}

/// Where the admin address answers on the host itself.
fn admin(listen: &str) -> SocketAddr {
    let fallback = SocketAddr::from(([127, 0, 0, 1], 8404));
    let mut address: SocketAddr = listen.parse().unwrap_or(fallback);
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

fn any_evenkeel() -> Fact {
    Fact::Program {
        name: "evenkeel".to_owned(),
        version: String::new(),
    }
}

/// A static program with the unit that the package would bring.
fn binary(inventory: &Inventory, facts: &Facts, node: &Node) -> Option<Step> {
    let from = inventory.balancer.binary.clone()?;
    let write = |path: &str, content: &str| Action::Write {
        path: path.to_owned(),
        content: content.into(),
        mode: 0o644,
        before: None,
        temporary: false,
    };
    let of = |path: &str, content: &str| Fact::File {
        path: path.to_owned(),
        sha256: hash(content),
        mode: 0o644,
    };
    let (unit, users) = (
        "/etc/systemd/system/evenkeel.service",
        "/etc/sysusers.d/evenkeel.conf",
    );
    let program = facts.brought.get(&from).map(|brought| Fact::File {
        path: PROGRAM.to_owned(),
        sha256: brought.sha256.clone(),
        mode: 0o755,
    });
    let mut brings = vec![any_evenkeel(), of(unit, UNIT), of(users, SYSUSERS)];
    brings.extend(program);
    Some(step(
        node,
        "evenkeel",
        "install evenkeel, its user and its unit".to_owned(),
        brings,
        vec![
            Action::Upload { from, to: PROGRAM.to_owned(), mode: 0o755, temporary: false },
            write(users, SYSUSERS),
            write(unit, UNIT),
            Action::Run {
                // One that runs gives way to the new one, as with a package.
                script: "systemd-sysusers /etc/sysusers.d/evenkeel.conf\nmkdir -p -m 755 /etc/evenkeel\nsystemctl daemon-reload\n\
                         if systemctl -q is-active evenkeel.service; then evenkeel upgrade || systemctl restart evenkeel.service; fi\n".into(),
                limit: seconds(SWAP_SECONDS),
            },
        ],
        "balancer.binary must be a static program of the host's architecture",
    ))
}

/// A package is known by its content: what it is called says little of its version, and an operator who installs
/// a newer one by hand keeps it.
fn package(inventory: &Inventory, facts: &Facts, node: &Node, host: &HostFacts) -> Option<Step> {
    let from = inventory.balancer.package.clone()?;
    let name = from.file_name()?.to_string_lossy().into_owned();
    let mut brings = vec![any_evenkeel()];
    let mut remember = String::new();
    if let Some(brought) = facts.brought.get(&from) {
        let line = format!("installed {}", brought.sha256);
        remember = format!("\necho {line} >{INSTALLED}\n");
        brings.push(Fact::Stamp {
            path: INSTALLED.to_owned(),
            line,
        });
    }
    let to = format!("/var/lib/evenkeel-bootstrap/files/{name}");
    let script = match (host.package_manager, inventory.artefacts.offline) {
        (Some(PackageManager::Dnf), false) => format!(
            "rpm -U --replacepkgs --oldpackage {file} || dnf -q -y install {file}",
            file = quote(&to)
        ),
        (Some(PackageManager::Dnf), true) => {
            format!("rpm -U --replacepkgs --oldpackage {}", quote(&to))
        }
        (_, false) => format!(
            "{APT}dpkg --force-confold -i {} || {APT_GET} install --fix-broken -y",
            quote(&to)
        ),
        (_, true) => format!("{APT}dpkg --force-confold -i {}", quote(&to)),
    };
    Some(step(
        node,
        "evenkeel",
        format!("install {name}"),
        brings,
        vec![
            Action::Upload {
                from,
                to,
                mode: 0o644,
                temporary: true,
            },
            Action::Run {
                script: (script + &remember).into(),
                limit: seconds(600),
            },
        ],
        "the package must be of the host's architecture",
    ))
}

fn repository(inventory: &Inventory, node: &Node, host: &HostFacts) -> Option<Step> {
    if host.has("evenkeel") || inventory.artefacts.offline {
        return None;
    }
    let script = match host.package_manager {
        Some(PackageManager::Dnf) => "dnf -q -y install evenkeel".to_owned(),
        _ => format!("{APT}{APT_GET} update\n{APT_GET} install --fix-broken -y evenkeel\n"),
    };
    Some(step(
        node,
        "evenkeel",
        "install evenkeel from the host's repositories".to_owned(),
        vec![any_evenkeel()],
        vec![Action::Run {
            script: script.into(),
            limit: seconds(600),
        }],
        "name its package in balancer.package, or a static program in balancer.binary",
    ))
}

fn listed(masters: &[&str]) -> String {
    match masters {
        [] => "nobody".to_owned(),
        masters => masters.join(", "),
    }
}

/// The configuration, put in place by a reload that the running balancer agrees to: a file that it refuses
/// leaves everything as it was.
fn settings(inventory: &Inventory, facts: &Facts, node: &Node, masters: &[&str]) -> Step {
    let content = configuration(inventory, masters);
    // One script, which goes on at the host if this program dies: there is no moment in which the file is
    // new and the balancer does not know it. A host that dies in it starts with the new file.
    // Files that the operator adds are read with it, by a process that was started with them.
    let swap = format!(
        "options=$(sed -n 's/^EVENKEEL_OPTIONS=//p' {DEFAULTS} 2>/dev/null | tail -n 1 | tr -d \"\\\"'\")\n\
         evenkeel -c -q -f {CANDIDATE} $options\n\
         [ ! -e {FILE} ] || cp -p {FILE} {FILE}.before\n\
         mv {CANDIDATE} {FILE}\n\
         pid=$(systemctl show -p MainPID evenkeel.service | cut -d= -f2)\n\
         knows=yes\n\
         for word in $options; do\n\
         \x20 tr '\\0' '\\n' <\"/proc/$pid/cmdline\" 2>/dev/null | grep -qxF -e \"$word\" || knows=no\n\
         done\n\
         if [ $knows = yes ] && systemctl -q is-active evenkeel.service; then\n\
         \x20 evenkeel reload -S /run/evenkeel/master.sock || {{ cp -p {FILE}.before {FILE}; exit 1; }}\n\
         else\n\
         \x20 systemctl enable evenkeel.service\n\
         \x20 systemctl restart evenkeel.service\n\
         fi\n\
         systemctl -q is-enabled evenkeel.service || systemctl enable evenkeel.service\n\
         rm -f {FILE}.before\n"
    );
    step(
        node,
        "balancer",
        format!(
            "have evenkeel bind {} and send clients to {}",
            inventory.endpoint,
            listed(masters)
        ),
        vec![
            Fact::File {
                path: FILE.to_owned(),
                sha256: hash(&content),
                mode: 0o644,
            },
            Fact::Unit {
                name: "evenkeel.service".to_owned(),
            },
        ],
        vec![
            Action::Write {
                path: CANDIDATE.to_owned(),
                content: content.into(),
                mode: 0o644,
                before: facts
                    .host(&node.name)
                    .and_then(|host| host.text(FILE))
                    .map(str::to_owned),
                temporary: true,
            },
            Action::Run {
                script: swap.into(),
                limit: seconds(SWAP_SECONDS),
            },
        ],
        "see journalctl -u evenkeel on the host; the port may be taken there by something else",
    )
}

/// By which we know a file of ours.
const WRITTEN_FOR: &str = "# Written by evenkeel-bootstrap for the cluster ";

/// The whole of `evenkeel.toml`. Checks ask each API server itself, over TLS: one that hangs still
/// accepts connections.
fn configuration(inventory: &Inventory, masters: &[&str]) -> String {
    let mut text = format!(
        "{WRITTEN_FOR}{name}; its next apply writes it again.\n\
         \n\
         [frontend.kubernetes]\n\
         bind = \"{endpoint}\"\n\
         backend = \"masters\"\n\
         \n\
         [backend.masters]\n\
         check = {{ kind = \"http\", request = \"GET /readyz\", tls = true, verify = false, steps = [\"expect status 200\"] }}\n\
         \n\
         [backend.masters.servers]\n",
        name = inventory.name,
        endpoint = inventory.endpoint,
    );
    for node in inventory.of(Role::ControlPlane) {
        let address = SocketAddr::new(node.address, API_PORT);
        let name = &node.name;
        // Writing to a string cannot fail.
        let _ = if masters.contains(&name.as_str()) {
            writeln!(text, "{name} = \"{address}\"")
        } else {
            writeln!(
                text,
                "{name} = {{ address = \"{address}\", disabled = true }}"
            )
        };
    }
    let _ = write!(
        text,
        "\n[admin]\n# /metrics for Prometheus, /healthz, /readyz, /serving.\nlisten = \"{}\"\n\
         socket = [{{ address = \"/run/evenkeel/stats.sock\", level = \"admin\", mode = \"660\" }}]\n",
        inventory.balancer.admin
    );
    text
}

/// Where API servers listen on the masters, whatever the VIP's port is.
pub const API_PORT: u16 = 6443;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::{Brought, FileFacts};
    use crate::plan::steps::example::{bare, host, inventory};

    /// Whether something is to be installed.
    fn installs(inventory: &Inventory, facts: &Facts) -> bool {
        let node = inventory.node("lb").expect("there");
        let steps = steps(inventory, facts, node, &["master1"]);
        steps.iter().any(|step| step.id == "lb/evenkeel")
    }

    fn brought(facts: &mut Facts, path: &str, sha256: &str) {
        let brought = Brought {
            sha256: sha256.to_owned(),
            images: Vec::new(),
        };
        facts.brought.insert(path.into(), brought);
    }

    fn file(facts: &mut Facts, path: &str, file: FileFacts) {
        let found = host(facts, "lb");
        found
            .programs
            .insert("evenkeel".to_owned(), "0.1.0".to_owned());
        found.files.insert(path.to_owned(), file);
    }

    /// `evenkeel_amd64.deb`, as releases call it, says no version.
    #[test]
    fn a_package_is_installed_once_and_again_when_it_is_another() {
        for path in ["/site/evenkeel_amd64.deb", "/site/evenkeel.rpm"] {
            let mut inventory = inventory();
            inventory.balancer.package = Some(path.into());
            let mut facts = bare(&inventory);
            brought(&mut facts, path, "aa");
            assert!(installs(&inventory, &facts));
            let stamp = FileFacts {
                text: Some("installed aa\n".to_owned()),
                ..FileFacts::default()
            };
            file(&mut facts, INSTALLED, stamp);
            assert!(!installs(&inventory, &facts));
            brought(&mut facts, path, "bb");
            assert!(installs(&inventory, &facts));
        }
    }

    #[test]
    fn a_program_is_installed_again_when_it_is_another() {
        let mut inventory = inventory();
        inventory.balancer.binary = Some("/site/evenkeel".into());
        let mut facts = bare(&inventory);
        brought(&mut facts, "/site/evenkeel", "aa");
        let of = |text: &str, mode: u32| FileFacts {
            mode,
            sha256: hash(text),
            text: None,
        };
        file(
            &mut facts,
            "/etc/systemd/system/evenkeel.service",
            of(UNIT, 0o644),
        );
        file(
            &mut facts,
            "/etc/sysusers.d/evenkeel.conf",
            of(SYSUSERS, 0o644),
        );
        let old = FileFacts {
            mode: 0o755,
            sha256: "old".to_owned(),
            text: None,
        };
        file(&mut facts, PROGRAM, old.clone());
        assert!(installs(&inventory, &facts));
        let sha256 = "aa".to_owned();
        file(&mut facts, PROGRAM, FileFacts { sha256, ..old });
        assert!(!installs(&inventory, &facts));
    }
}
