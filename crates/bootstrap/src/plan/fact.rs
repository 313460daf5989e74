//! What a step brings about: one thing that is so or not, read from facts when a plan is made and asked
//! of the host when it is run.

use serde::Serialize;

use crate::facts::{Facts, packages_of};

/// Something that is so on a host, or in the cluster, or is not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "fact", rename_all = "kebab-case")]
pub enum Fact {
    /// A file has this content and mode.
    File {
        /// Absolute.
        path: String,
        /// SHA-256 of its content, hexadecimal.
        sha256: String,
        /// Permission bits.
        mode: u32,
    },
    /// No file has this path.
    NoFile {
        /// Absolute.
        path: String,
    },
    /// The host has this name.
    Hostname {
        /// As `hostnamectl` sets it.
        name: String,
    },
    /// A kernel module is loaded or built in.
    Module {
        /// `br_netfilter`.
        name: String,
    },
    /// A kernel setting has this value.
    Sysctl {
        /// `net.ipv4.ip_forward`.
        key: String,
        /// `1`.
        value: String,
    },
    /// No swap is in use.
    SwapOff,
    /// A package is installed; in this version, if one is named (a prefix: `1.36.2` is met by `1.36.2-1.1`).
    Package {
        /// Its name.
        name: String,
        /// The beginning of its version; empty takes any.
        version: String,
        /// Whether it has to be held.
        held: bool,
    },
    /// A program says that it has this version (a prefix).
    Program {
        /// `kubeadm`.
        name: String,
        /// `v1.36.2`.
        version: String,
    },
    /// A unit neither runs nor starts with the host.
    UnitOff {
        /// `zramswap.service`.
        name: String,
    },
    /// A unit is enabled and active.
    Unit {
        /// `evenkeel.service`.
        name: String,
    },
    /// A unit starts with the host; whether it runs is not asked.
    Enabled {
        /// `kubelet.service`, which restarts in vain until kubeadm has configured it.
        name: String,
    },
    /// A file begins with this line, by which we know who wrote it and for what.
    Stamp {
        /// Absolute.
        path: String,
        /// Without its end.
        line: String,
    },
    /// `kubeadm init` has run to its end on this host.
    Initialised,
    /// The host is a node of the cluster, in its role, and nothing of the join is left to be done.
    Joined {
        /// The node.
        name: String,
        /// Whether it is a control plane.
        control_plane: bool,
    },
    /// Nothing of an init or join that failed is left on the host.
    Clean,
    /// A manifest was applied.
    Applied {
        /// What we call it: `cni`.
        name: String,
        /// SHA-256 of its text, hexadecimal.
        sha256: String,
    },
}

impl Fact {
    /// Whether it is so, by what was found out; `false` if the host did not answer.
    #[must_use]
    pub fn holds(&self, facts: &Facts, host: &str) -> bool {
        let Some(found) = facts.host(host) else {
            return false;
        };
        match self {
            Self::File { path, sha256, mode } => found
                .files
                .get(path)
                .is_some_and(|file| file.sha256 == *sha256 && file.mode == *mode),
            Self::NoFile { path } => !found.files.contains_key(path),
            Self::Hostname { name } => found.hostname == *name,
            Self::Module { name } => found.modules.contains(name),
            Self::Sysctl { key, value } => found.sysctls.get(key) == Some(value),
            Self::SwapOff => found.swaps.is_empty(),
            Self::Package {
                name,
                version,
                held,
            } => found.packages.get(name).is_some_and(|package| {
                begins(&package.version, version) && (package.held || !held)
            }),
            Self::Program { name, version } => {
                let said = found.programs.get(name);
                found.has(name) && said.is_some_and(|said| begins(said, version))
            }
            Self::UnitOff { name } => found
                .units
                .get(name)
                .is_none_or(|unit| !unit.enabled && !unit.active),
            Self::Unit { name } => found
                .units
                .get(name)
                .is_some_and(|unit| unit.enabled && unit.active),
            Self::Enabled { name } => found.units.get(name).is_some_and(|unit| unit.enabled),
            Self::Stamp { path, line } => {
                found.text(path).and_then(|text| text.lines().next()) == Some(line.as_str())
            }
            Self::Initialised => {
                found.kube.admin_conf
                    && found.kube.begun.is_empty()
                    && facts.cluster.as_ref().is_some_and(|cluster| {
                        ["kubeadm-config", "cluster-info"]
                            .iter()
                            .all(|name| cluster.config_maps.contains(*name))
                    })
            }
            Self::Joined {
                name,
                control_plane,
            } => {
                found.kube.kubelet_conf
                    && found.kube.begun.is_empty()
                    && facts
                        .member(name)
                        .is_some_and(|node| node.control_plane == *control_plane)
            }
            Self::Clean => found.kube.is_clean() && found.kube.begun.is_empty(),
            Self::Applied { name, sha256 } => facts
                .cluster
                .as_ref()
                .is_some_and(|cluster| cluster.applied.get(name) == Some(sha256)),
        }
    }

    /// A script for the host that succeeds if it is so.
    #[must_use]
    pub fn probe(&self) -> String {
        const KUBECTL: &str =
            "kubectl --kubeconfig /etc/kubernetes/admin.conf --request-timeout=10s";
        match self {
            Self::File { path, sha256, mode } => format!(
                "[ \"$(sha256sum {p} | cut -d' ' -f1)\" = {sha256} ] && [ \"$(stat -c %a {p})\" = {mode:o} ]",
                p = quote(path)
            ),
            Self::NoFile { path } => format!("[ ! -e {} ]", quote(path)),
            Self::Hostname { name } => {
                format!("[ \"$(cat /proc/sys/kernel/hostname)\" = {} ]", quote(name))
            }
            Self::Module { name } => {
                let trace = match name.as_str() {
                    // What a kernel that has it built in shows, even where its list of modules is not installed.
                    "br_netfilter" => "[ -d /proc/sys/net/bridge ]",
                    "overlay" => "grep -qw overlay /proc/filesystems",
                    _ => "false",
                };
                format!("{{ [ -d /sys/module/{name} ] || {trace}; }}")
            }
            Self::Sysctl { key, value } => {
                format!(
                    "[ \"$(cat /proc/sys/{})\" = {} ]",
                    key.replace('.', "/"),
                    quote(value)
                )
            }
            Self::SwapOff => "[ \"$(wc -l </proc/swaps)\" -le 1 ]".to_owned(),
            Self::Package {
                name,
                version,
                held,
            } => {
                let version = patterns("", version);
                let held = if *held {
                    format!(
                        "{{ apt-mark showhold 2>/dev/null | grep -qx {name} || dnf -q versionlock list 2>/dev/null | grep -q '^{name}-'; }}"
                    )
                } else {
                    ":".to_owned()
                };
                format!(
                    "v=$(if command -v dpkg-query >/dev/null; then dpkg-query -W -f '${{db:Status-Abbrev}}${{Version}}' {name} 2>/dev/null | sed -n 's/^.i //p'; else rpm -q --qf '%{{VERSION}}-%{{RELEASE}}' {name}; fi); [ -n \"$v\" ] && case \"$v\" in {version}) ;; *) false ;; esac && {held}"
                )
            }
            Self::Program { name, version } => format!(
                // Of no particular version is still not nothing.
                // Nor is one whose package was not set up.
                "command -v {name} >/dev/null && case \"$({name} {}\" in {}) ;; *) false ;; esac && ! dpkg-query -W -f '${{db:Status-Abbrev}}\\n' {} 2>/dev/null | grep -q '^.[HUF]'",
                match name.as_str() {
                    "kubeadm" => "version -o short)",
                    "kubectl" => "version --client)",
                    _ => "--version)",
                },
                patterns("*", version),
                packages_of(name).join(" ")
            ),
            Self::UnitOff { name } => {
                format!(
                    "! systemctl -q is-enabled {name} 2>/dev/null && ! systemctl -q is-active {name}"
                )
            }
            Self::Unit { name } => {
                format!("systemctl -q is-enabled {name} && systemctl -q is-active {name}")
            }
            Self::Enabled { name } => format!("systemctl -q is-enabled {name}"),
            Self::Stamp { path, line } => {
                format!("[ \"$(head -n 1 {})\" = {} ]", quote(path), quote(line))
            }
            Self::Initialised => format!(
                "[ -s /etc/kubernetes/admin.conf ] && [ ! -e {BEGUN} ] && {KUBECTL} -n kube-public get configmap cluster-info >/dev/null && {KUBECTL} -n kube-system get configmap kubeadm-config >/dev/null"
            ),
            Self::Joined {
                name,
                control_plane: true,
            } => format!(
                "[ -s /etc/kubernetes/kubelet.conf ] && [ ! -e {BEGUN} ] && {KUBECTL} get nodes -l node-role.kubernetes.io/control-plane -o name | grep -qx node/{name}"
            ),
            Self::Joined {
                name,
                control_plane: false,
            } => format!(
                "[ -s /etc/kubernetes/kubelet.conf ] && [ ! -e {BEGUN} ] && kubectl --kubeconfig /etc/kubernetes/kubelet.conf --request-timeout=10s get node {name} -o name >/dev/null"
            ),
            Self::Clean => format!(
                "[ ! -e /etc/kubernetes/admin.conf ] && [ ! -e /etc/kubernetes/kubelet.conf ] && [ ! -e /etc/kubernetes/manifests/kube-apiserver.yaml ] && [ ! -e /var/lib/etcd/member ] && [ ! -e {BEGUN} ]"
            ),
            Self::Applied { name, sha256 } => format!(
                "[ \"$({KUBECTL} -n kube-system get configmap evenkeel-bootstrap -o 'jsonpath={{.data.{name}}}')\" = {sha256} ]"
            ),
        }
    }
}

/// Where a host remembers an `init` or `join` that has begun: holds that word, and is removed at its end.
pub const BEGUN: &str = "/var/lib/evenkeel-bootstrap/begun";

/// Whether a version is the wanted one or begins with it: `1.36.2` is met by `1.36.2-1.1`, not by `1.36.20`.
fn begins(found: &str, wanted: &str) -> bool {
    found.strip_prefix(wanted).is_some_and(|rest| {
        wanted.is_empty() || !rest.starts_with(|next: char| next.is_ascii_digit())
    })
}

/// The same as the patterns of a shell's `case`.
fn patterns(before: &str, wanted: &str) -> String {
    match wanted {
        "" => "*".to_owned(),
        _ => format!(
            "{before}{wanted}|{before}{wanted}[!0-9]*",
            wanted = quote(wanted)
        ),
    }
}

/// A word of a shell script that stands for exactly this text.
#[must_use]
pub fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::steps::example::{Stubs, bare, host, inventory};

    #[test]
    fn a_program_that_is_missing_is_not_one_of_any_version() {
        let met = |name: &str| {
            let (name, version) = (name.to_owned(), String::new());
            let probe = Fact::Program { name, version }.probe();
            let status = std::process::Command::new("sh")
                .args(["-c", &probe])
                .status();
            status.expect("sh runs").success()
        };
        assert!(met("sed"));
        assert!(!met("no-such-program-anywhere"));
    }

    /// dpkg unpacks a program before it has what the program needs.
    #[test]
    fn a_program_whose_package_was_not_set_up_is_not_there() {
        let fact = Fact::Program {
            name: "kubelet".to_owned(),
            version: "v1.36.2".to_owned(),
        };
        let met = |state: &str| {
            let stubs = Stubs::new(&format!("program-{}", state.trim()))
                .with("kubelet", "echo Kubernetes v1.36.2\n")
                .with("dpkg-query", &format!("echo '{state}'\n"));
            stubs.run(&fact.probe()).status.success()
        };
        assert!(met("ii ") && met("hi "));
        assert!(!met("iU ") && !met("iF "));
        let mut facts = bare(&inventory());
        let found = host(&mut facts, "master1");
        found
            .programs
            .insert("kubelet".to_owned(), "v1.36.2".to_owned());
        assert!(fact.holds(&facts, "master1"));
        let unconfigured = &mut host(&mut facts, "master1").unconfigured;
        unconfigured.insert("kubelet".to_owned());
        assert!(!fact.holds(&facts, "master1"));
    }

    /// A host of another family has no dpkg, and rpm is asked.
    #[test]
    fn packages_are_asked_for_with_what_the_host_has() {
        let fact = Fact::Package {
            name: "evenkeel".to_owned(),
            version: "1.2.0".to_owned(),
            held: false,
        };
        let asked = |stubs: Stubs| stubs.run(&fact.probe()).status.success();
        let dpkg = |said: &str| Stubs::new(said).with("dpkg-query", &format!("printf '{said}'\n"));
        assert!(asked(dpkg("ii 1.2.0-1")));
        assert!(!asked(dpkg("iU 1.2.0-1")));
        let script = fact.probe().replace("dpkg-query", "no-such-dpkg-query");
        let rpm = Stubs::new("rpm").with("rpm", "printf 1.2.0-1\n");
        assert!(rpm.run(&script).status.success());
    }

    #[test]
    fn a_version_is_not_met_by_one_that_goes_on_in_digits() {
        let asked = |found: &str, wanted: &str| {
            let script = format!(
                "case {} in {}) ;; *) exit 1 ;; esac",
                quote(found),
                patterns("", wanted)
            );
            let status = std::process::Command::new("sh")
                .args(["-c", &script])
                .status();
            status.expect("sh runs").success()
        };
        for (found, wanted, met) in [
            ("1.36.2-1.1", "1.36.2", true),
            ("1.36.2", "1.36.2", true),
            ("1.36.20-1.1", "1.36.2", false),
            ("1.36.1-1.1", "1.36.2", false),
            ("2.1.9+ds1-5", "", true),
        ] {
            assert_eq!(begins(found, wanted), met, "{found} for {wanted}");
            assert_eq!(
                asked(found, wanted),
                met,
                "{found} for {wanted} in a script"
            );
        }
    }

    /// kubectl refuses both at once: "name cannot be provided when a selector is specified".
    #[test]
    fn nodes_are_asked_for_by_name_or_by_label() {
        for control_plane in [true, false] {
            let name = "master2".to_owned();
            let probe = Fact::Joined {
                name,
                control_plane,
            }
            .probe();
            assert!(!probe.contains("get node master2 -l"), "{probe}");
            assert!(
                probe.contains("node/master2") || probe.contains("get node master2"),
                "{probe}"
            );
        }
    }

    #[test]
    fn a_quoted_word_is_one_word() {
        assert_eq!(quote("it's $HOME"), r"'it'\''s $HOME'");
    }
}
