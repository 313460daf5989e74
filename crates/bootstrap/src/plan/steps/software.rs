//! Packages on nodes: the container runtime, kubeadm, kubelet and kubectl, from repositories or from files
//! that are brought along.

use std::path::{Path, PathBuf};

use super::PACKAGES;
use super::{keep, refusals, step};
use crate::facts::{Facts, HostFacts, PackageManager};
use crate::inventory::{Inventory, Node, Version};
use crate::plan::{Action, Fact, Refusal, Step, hash, quote, seconds, unmet};

const CONTAINERD: &str = "/etc/containerd/config.toml";
const PROGRAMS: [&str; 3] = ["kubeadm", "kubelet", "kubectl"];
/// Where files are copied to before they are installed.
const FOLDER: &str = super::shell::FILES;
/// A settings file that is there stays as it is. dpkg asks when its package brings another, even of a shell
/// that nobody types into, and fails without an answer.
const KEEP: &str = "-o DPkg::Options::=--force-confold";
/// A package manager may wait for another one, and for slow mirrors.
const INSTALL_LIMIT: u64 = 900;

/// What a node still lacks, in order: files that are brought along, runtime, Kubernetes, images.
#[must_use]
pub fn steps(inventory: &Inventory, facts: &Facts, node: &Node) -> Vec<Step> {
    let Some(host) = facts.host(&node.name) else {
        return Vec::new();
    };
    let mut steps = Vec::new();
    if !inventory.artefacts.packages.is_empty() {
        let files: Vec<_> = inventory.artefacts.packages.iter().collect();
        steps.push(brought(inventory, node, host, &files, &PROGRAMS));
    }
    if inventory.runtime.managed {
        if !host.programs.contains_key("containerd") && inventory.artefacts.packages.is_empty() {
            steps.push(runtime_package(inventory, node, host));
        }
        steps.extend(runtime_settings(inventory, node, host));
        steps.push(runtime_unit(node));
    }
    if inventory.artefacts.packages.is_empty() && !inventory.artefacts.offline {
        steps.push(kubernetes(inventory.kubernetes, node, host, &PROGRAMS));
    } else {
        steps.push(kubernetes_is_there(inventory.kubernetes, node, &PROGRAMS));
    }
    steps.extend(hold(node, host));
    steps.push(kubelet(node));
    steps.extend(images(inventory, facts, node));
    unmet(facts, steps)
}

/// Some of the programs of Kubernetes at the inventory's version, on a node that has older ones.
#[must_use]
pub fn programs_of(
    inventory: &Inventory,
    node: &Node,
    host: &HostFacts,
    names: &[&str],
) -> Vec<Step> {
    if !inventory.artefacts.packages.is_empty() {
        let runs_pods = names.contains(&"kubelet");
        let of_this_part = |file: &&PathBuf| is_of_running_node(file) == runs_pods;
        let files: Vec<_> = inventory
            .artefacts
            .packages
            .iter()
            .filter(of_this_part)
            .collect();
        vec![brought(inventory, node, host, &files, names)]
    } else if inventory.artefacts.offline {
        vec![kubernetes_is_there(inventory.kubernetes, node, names)]
    } else {
        vec![kubernetes(inventory.kubernetes, node, host, names)]
    }
}

/// What of its own makes a node's software nobody's to change.
pub(super) fn refusals(inventory: &Inventory, node: &Node, host: &HostFacts) -> Vec<Refusal> {
    let settings = refusals::unknown(node, host, CONTAINERD);
    settings
        .filter(|_| inventory.runtime.managed)
        .into_iter()
        .collect()
}

/// Settings of ours for containerd as the inventory's release wants them: the image of the sandbox is another
/// with some. While pods are away is the time for it.
#[must_use]
pub fn runtime_of(inventory: &Inventory, facts: &Facts, node: &Node) -> Vec<Step> {
    let ours = facts.host(&node.name).filter(|host| {
        host.text(CONTAINERD)
            .is_some_and(|text| text.starts_with(OURS))
    });
    let step = ours
        .filter(|_| inventory.runtime.managed)
        .and_then(|host| runtime_settings(inventory, node, host));
    unmet(facts, step)
}

/// Holds the programs again: a package that is replaced is no longer held.
#[must_use]
pub fn hold_of(facts: &Facts, node: &Node) -> Option<Step> {
    hold(node, facts.host(&node.name)?)
}

fn programs(version: Version, names: &[&str]) -> Vec<Fact> {
    names
        .iter()
        .map(|name| Fact::Program {
            name: (*name).to_owned(),
            version: version.to_string(),
        })
        .collect()
}

/// Whether a package file replaces what pods of a node run on, which is only done once they have left: all the
/// rest, kubeadm and what it depends on, comes before the control plane's upgrade.
fn is_of_running_node(file: &Path) -> bool {
    const RUNS: [&str; 8] = [
        "kubelet",
        "kubectl",
        "kubernetes-cni",
        "containerd",
        "containerd.io",
        "runc",
        "cri-o",
        "crun",
    ];
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    // NAME_VERSION_ARCH.deb, NAME-VERSION-RELEASE.ARCH.rpm
    RUNS.iter().any(|package| {
        name.strip_prefix(package)
            .is_some_and(|rest| rest.starts_with('_') || is_version(rest))
    })
}

fn is_version(rest: &str) -> bool {
    let digits = rest.strip_prefix('-').unwrap_or_default();
    digits.starts_with(|letter: char| letter.is_ascii_digit())
}

/// Package files of the inventory. They are installed together, so that they may depend on each other.
fn brought(
    inventory: &Inventory,
    node: &Node,
    host: &HostFacts,
    files: &[&PathBuf],
    programs_in: &[&str],
) -> Step {
    let mut actions = Vec::new();
    let mut names = Vec::new();
    for from in files.iter().copied() {
        let name = from
            .file_name()
            .unwrap_or(from.as_os_str())
            .to_string_lossy();
        let to = format!("{FOLDER}/{name}");
        names.push(quote(&to));
        actions.push(Action::Upload {
            from: from.clone(),
            to,
            mode: 0o644,
            temporary: true,
        });
    }
    let listed = names.join(" ");
    let script = match host.package_manager {
        Some(PackageManager::Dnf) if inventory.artefacts.offline => {
            format!("rpm -U --replacepkgs {listed}")
        }
        Some(PackageManager::Dnf) => format!("dnf -q -y install {listed}"),
        _ if inventory.artefacts.offline => {
            format!("export DEBIAN_FRONTEND=noninteractive\ndpkg --force-confold -i {listed}")
        }
        _ => format!(
            "export DEBIAN_FRONTEND=noninteractive\napt-get -qq -o DPkg::Lock::Timeout=300 {KEEP} install --no-install-recommends -y --allow-change-held-packages {listed}"
        ),
    };
    actions.push(Action::Run {
        script: script.into(),
        limit: seconds(INSTALL_LIMIT),
    });
    let mut brings = programs(inventory.kubernetes, programs_in);
    if inventory.runtime.managed && programs_in.contains(&"kubelet") {
        brings.push(Fact::Program {
            name: "containerd".to_owned(),
            version: String::new(),
        });
    }
    brings.extend(packages_of(files));
    let what = if programs_in.len() == PROGRAMS.len() {
        "packages".to_owned()
    } else {
        format!("packages-{}", programs_in.join("-"))
    };
    step(
        node,
        &what,
        format!(
            "install {} packages that are brought along, for {} {}",
            files.len(),
            programs_in.join(", "),
            inventory.kubernetes
        ),
        brings,
        actions,
        "artefacts.packages must hold kubeadm, kubelet and kubectl of the wanted version, containerd, and all that they depend on",
    )
}

/// Of files named NAME_VERSION_ARCH.deb those whose packages facts know: a package that is unpacked and not
/// set up has its programs in place, and yet nothing that it needs.
fn packages_of(files: &[&PathBuf]) -> Vec<Fact> {
    files
        .iter()
        .filter_map(|file| {
            let (name, _) = file
                .file_name()?
                .to_str()?
                .strip_suffix(".deb")?
                .split_once('_')?;
            PACKAGES.contains(&name).then(|| Fact::Package {
                name: name.to_owned(),
                version: String::new(),
                held: false,
            })
        })
        .collect()
}

fn runtime_package(inventory: &Inventory, node: &Node, host: &HostFacts) -> Step {
    let package = &inventory.runtime.package;
    step(
        node,
        "runtime",
        format!("install {package}"),
        vec![Fact::Program {
            name: "containerd".to_owned(),
            version: String::new(),
        }],
        vec![install(host, std::slice::from_ref(package))],
        "the host's repositories must have it, or runtime.package names another (containerd.io of Docker's repository)",
    )
}

fn install(host: &HostFacts, packages: &[String]) -> Action {
    let packages = packages
        .iter()
        .map(|name| quote(name))
        .collect::<Vec<_>>()
        .join(" ");
    let script = match host.package_manager {
        Some(PackageManager::Dnf) => {
            format!("dnf -q -y install --disableexcludes=kubernetes {packages}")
        }
        _ => format!(
            "export DEBIAN_FRONTEND=noninteractive\n\
             apt-get -qq -o DPkg::Lock::Timeout=300 update\n\
             apt-get -qq -o DPkg::Lock::Timeout=300 {KEEP} install --no-install-recommends -y --allow-change-held-packages {packages}"
        ),
    };
    Action::Run {
        script: script.into(),
        limit: seconds(INSTALL_LIMIT),
    }
}

/// containerd's settings, unless those that are there already suit: kubelet and containerd must agree that
/// systemd owns the cgroups, and packages of some distributions switch the part off that kubelet speaks to.
fn runtime_settings(inventory: &Inventory, node: &Node, host: &HostFacts) -> Option<Step> {
    let before = host.text(CONTAINERD);
    if before.is_some_and(|text| suits(text) && !text.starts_with(OURS)) {
        return None;
    }
    let content = containerd_settings(&sandbox_image(inventory));
    let script = "systemctl daemon-reload\nsystemctl restart containerd.service\n";
    Some(step(
        node,
        "runtime-settings",
        "have containerd leave cgroups to systemd, as kubelet does".to_owned(),
        vec![Fact::File {
            path: CONTAINERD.to_owned(),
            sha256: hash(&content),
            mode: 0o644,
        }],
        vec![
            Action::Run {
                script: keep(CONTAINERD).into(),
                limit: seconds(30),
            },
            Action::Write {
                path: CONTAINERD.to_owned(),
                content: content.into(),
                mode: 0o644,
                before: before.map(str::to_owned),
                temporary: false,
            },
            Action::Run {
                script: script.into(),
                limit: seconds(120),
            },
        ],
        "see journalctl -u containerd on the host; what was there before is kept as config.toml.before-evenkeel",
    ))
}

fn suits(text: &str) -> bool {
    let lines = || {
        text.lines()
            .map(str::trim)
            .filter(|line| !line.starts_with('#'))
    };
    let squeezed = |line: &str| line.replace([' ', '"', '\''], "");
    lines().any(|line| squeezed(line) == "SystemdCgroup=true")
        && !lines().any(|line| line.starts_with("disabled_plugins") && line.contains("cri"))
}

/// The first line of settings that are written here.
const OURS: &str = "# Written by evenkeel-bootstrap.\n";

/// The image that holds each pod's namespaces: that of kubeadm's list, so that one is pulled and not two.
/// A site without a network has no other, and containerd's own choice would leave every pod waiting.
fn sandbox_image(inventory: &Inventory) -> String {
    let tag = match inventory.kubernetes.minor {
        ..=33 => "3.10",
        34 | 35 => "3.10.1",
        _ => "3.10.2",
    };
    let repository = inventory
        .kubeadm
        .cluster
        .get("imageRepository")
        .and_then(serde_json::Value::as_str)
        .unwrap_or("registry.k8s.io");
    format!("{repository}/pause:{tag}")
}

/// In the second version of its format, which containerd 1 and 2 both read: which of them will be there is
/// not known before it is installed.
fn containerd_settings(sandbox: &str) -> String {
    const PLUGIN: &str = "io.containerd.grpc.v1.cri";
    format!(
        "{OURS}\
         version = 2\n\
         \n\
         [plugins.\"{PLUGIN}\"]\n\
         sandbox_image = \"{sandbox}\"\n\
         \n\
         [plugins.\"{PLUGIN}\".containerd.runtimes.runc]\n\
         runtime_type = \"io.containerd.runc.v2\"\n\
         \n\
         [plugins.\"{PLUGIN}\".containerd.runtimes.runc.options]\n\
         SystemdCgroup = true\n"
    )
}

fn runtime_unit(node: &Node) -> Step {
    step(
        node,
        "runtime-unit",
        "start containerd, now and at boot".to_owned(),
        vec![Fact::Unit {
            name: "containerd.service".to_owned(),
        }],
        vec![Action::Run {
            script: "systemctl enable --now containerd.service".into(),
            limit: seconds(120),
        }],
        "see journalctl -u containerd on the host",
    )
}

/// Programs from the repository of their minor release.
fn kubernetes(version: Version, node: &Node, host: &HostFacts, names: &[&str]) -> Step {
    let minor = format!("v{}.{}", version.major, version.minor);
    let plain = version.to_string().trim_start_matches('v').to_owned();
    let mut actions = Vec::new();
    if host.package_manager == Some(PackageManager::Dnf) {
        let content = format!(
            "[kubernetes]\nname=Kubernetes\nbaseurl=https://pkgs.k8s.io/core:/stable:/{minor}/rpm/\nenabled=1\ngpgcheck=1\ngpgkey=https://pkgs.k8s.io/core:/stable:/{minor}/rpm/repodata/repomd.xml.key\nexclude=kubelet kubeadm kubectl cri-tools kubernetes-cni\n"
        );
        actions.push(write(host, "/etc/yum.repos.d/kubernetes.repo", content));
        actions.push(install(
            host,
            &names
                .iter()
                .map(|name| format!("{name}-{plain}"))
                .collect::<Vec<_>>(),
        ));
    } else {
        // apt takes the key as it is served, so that nothing needs gpg.
        let key = "/etc/apt/keyrings/kubernetes.asc";
        let content =
            format!("deb [signed-by={key}] https://pkgs.k8s.io/core:/stable:/{minor}/deb/ /\n");
        let fetch = format!(
            "export DEBIAN_FRONTEND=noninteractive\n\
             if ! command -v curl >/dev/null || [ ! -e /etc/ssl/certs/ca-certificates.crt ]; then\n\
             \x20 apt-get -qq -o DPkg::Lock::Timeout=300 update\n\
             \x20 apt-get -qq -o DPkg::Lock::Timeout=300 install --no-install-recommends -y curl ca-certificates\n\
             fi\n\
             mkdir -p -m 755 /etc/apt/keyrings\n\
             curl -fsSL --retry 3 --max-time 60 https://pkgs.k8s.io/core:/stable:/{minor}/deb/Release.key -o {key}.new\n\
             chmod 644 {key}.new\n\
             mv -f {key}.new {key}\n"
        );
        actions.push(Action::Run {
            script: fetch.into(),
            limit: seconds(INSTALL_LIMIT),
        });
        actions.push(write(
            host,
            "/etc/apt/sources.list.d/kubernetes.list",
            content,
        ));
        actions.push(install(
            host,
            &names
                .iter()
                .map(|name| format!("{name}={plain}-*"))
                .collect::<Vec<_>>(),
        ));
    }
    step(
        node,
        &of_kubernetes(names),
        format!("install {} {version}", names.join(", ")),
        programs(version, names),
        actions,
        "the host must reach pkgs.k8s.io; for a site without a network give the package files as artefacts.packages",
    )
}

fn of_kubernetes(names: &[&str]) -> String {
    if names.len() == PROGRAMS.len() {
        "kubernetes".to_owned()
    } else {
        format!("kubernetes-{}", names.join("-"))
    }
}

/// Nothing is installed, so that the programs have to be there.
fn kubernetes_is_there(version: Version, node: &Node, names: &[&str]) -> Step {
    let script = programs(version, names)
        .iter()
        .map(|fact| match fact {
            Fact::Program { name, .. } => format!(
                "{} || {{ echo \"{name} {version} is not installed\" >&2; exit 1; }}\n",
                fact.probe()
            ),
            _ => String::new(),
        })
        .collect::<String>();
    step(
        node,
        &of_kubernetes(names),
        format!("find {} {version} installed", names.join(", ")),
        programs(version, names),
        vec![Action::Run {
            script: script.into(),
            limit: seconds(60),
        }],
        "artefacts.offline is set: install them yourself, or list their package files in artefacts.packages",
    )
}

/// So that a routine upgrade of the host does not upgrade the cluster. With dnf the repository's file leaves
/// them out of every other command; programs that came without a package are nobody's to upgrade.
fn hold(node: &Node, host: &HostFacts) -> Option<Step> {
    let is_package =
        |name: &&str| host.packages.contains_key(*name) || !host.programs.contains_key(*name);
    let held: Vec<_> = PROGRAMS.into_iter().filter(is_package).collect();
    if host.package_manager != Some(PackageManager::Apt) || held.is_empty() {
        return None;
    }
    let brings = held
        .iter()
        .map(|name| Fact::Package {
            name: (*name).to_owned(),
            version: String::new(),
            held: true,
        })
        .collect();
    Some(step(
        node,
        "hold",
        format!("hold {} at their version", held.join(", ")),
        brings,
        vec![Action::Run {
            script: format!("apt-mark -qq hold {}", held.join(" ")).into(),
            limit: seconds(60),
        }],
        "",
    ))
}

fn kubelet(node: &Node) -> Step {
    step(
        node,
        "kubelet",
        "have kubelet start at boot".to_owned(),
        vec![Fact::Enabled {
            name: "kubelet.service".to_owned(),
        }],
        vec![Action::Run {
            script: "systemctl daemon-reload\nsystemctl enable kubelet.service".into(),
            limit: seconds(60),
        }],
        "kubelet's package brings its unit; if only the program is there, the unit is missing",
    )
}

/// Those archives of images that the node has not imported as they are now.
#[must_use]
pub fn images(inventory: &Inventory, facts: &Facts, node: &Node) -> Option<Step> {
    let mut actions = Vec::new();
    let mut brings = Vec::new();
    for image in &inventory.artefacts.images {
        let name = image
            .archive
            .file_name()
            .unwrap_or(image.archive.as_os_str())
            .to_string_lossy();
        // Archives of several folders may have one name.
        let folder = hash(image.archive.as_os_str().as_encoded_bytes());
        let to = format!("{FOLDER}/{}-{name}", &folder[..8]);
        let stamp = format!("{to}.imported");
        let mark = facts
            .archives
            .get(&image.archive)
            .map_or("", String::as_str);
        let is_there = Fact::Stamp {
            path: stamp.clone(),
            line: format!("imported {mark}"),
        };
        if is_there.holds(facts, &node.name) {
            continue;
        }
        brings.push(is_there);
        let import = format!(
            "ctr -n k8s.io images import {}\necho 'imported {mark}' >{}\n",
            quote(&to),
            quote(&stamp)
        );
        actions.push(Action::Upload {
            from: image.archive.clone(),
            to,
            mode: 0o644,
            temporary: true,
        });
        actions.push(Action::Run {
            script: import.into(),
            limit: seconds(INSTALL_LIMIT),
        });
    }
    if brings.is_empty() {
        return None;
    }
    Some(step(
        node,
        "images",
        format!("import {} image archives", brings.len()),
        brings,
        actions,
        "an archive is what 'docker save' or 'ctr images export' writes, of the host's architecture",
    ))
}

fn write(host: &HostFacts, path: &str, content: String) -> Action {
    Action::Write {
        path: path.to_owned(),
        content: content.into(),
        mode: 0o644,
        before: host.text(path).map(str::to_owned),
        temporary: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_suit_are_left_alone() {
        assert!(suits(&containerd_settings("example/pause:1")));
        assert!(suits("            SystemdCgroup = true\n"));
        assert!(
            !suits("  SystemdCgroup = false\n") && !suits("# SystemdCgroup = true\n") && !suits("")
        );
        assert!(!suits(
            "disabled_plugins = [\"cri\"]\nSystemdCgroup = true\n"
        ));
    }

    #[test]
    fn an_archive_that_changed_is_imported_again_and_only_that() {
        use crate::plan::steps::example::{bare, host};
        let mut inventory = crate::plan::steps::example::inventory();
        inventory.artefacts.images = ["/a/api.tar", "/b/api.tar", "/b/proxy.tar"]
            .map(|archive| crate::inventory::Image {
                archive: archive.into(),
            })
            .to_vec();
        let node = inventory.node("worker1").unwrap().clone();
        let mut facts = bare(&inventory);
        for image in &inventory.artefacts.images {
            facts
                .archives
                .insert(image.archive.clone(), "5-1".to_owned());
        }
        let all = images(&inventory, &facts, &node).unwrap();
        assert_eq!(all.brings.len(), 3);
        for fact in &all.brings {
            let Fact::Stamp { path, line } = fact else {
                panic!("{fact:?}")
            };
            let file = crate::facts::FileFacts {
                text: Some(format!("{line}\n")),
                ..crate::facts::FileFacts::default()
            };
            host(&mut facts, "worker1").files.insert(path.clone(), file);
        }
        assert_eq!(images(&inventory, &facts, &node), None);
        facts.archives.insert("/b/api.tar".into(), "5-2".to_owned());
        let again = images(&inventory, &facts, &node).unwrap();
        assert_eq!(again.brings.len(), 1);
        assert!(
            format!("{:?}", again.actions).contains("/b/api.tar"),
            "{again:?}"
        );
    }

    /// As `kubeadm config images list` of each release says.
    #[test]
    fn the_sandbox_image_is_that_of_the_release() {
        let mut inventory = crate::plan::steps::example::inventory();
        for (version, tag) in [
            ("1.31.14", "3.10"),
            ("1.33.13", "3.10"),
            ("1.34.9", "3.10.1"),
            ("1.35.6", "3.10.1"),
            ("1.36.3", "3.10.2"),
        ] {
            inventory.kubernetes = version.parse().unwrap();
            assert_eq!(
                sandbox_image(&inventory),
                format!("registry.k8s.io/pause:{tag}"),
                "{version}"
            );
        }
    }

    #[test]
    fn what_pods_run_on_is_told_from_the_rest_by_its_file() {
        let runs = |name: &str| is_of_running_node(Path::new(name));
        for name in [
            "/a/kubelet_1.36.2-1.1_amd64.deb",
            "kubelet-1.36.2-150500.1.1.x86_64.rpm",
            "containerd.io_2.1.9-1_amd64.deb",
            "kubernetes-cni-1.7.1-1.1.x86_64.rpm",
        ] {
            assert!(runs(name), "{name}");
        }
        for name in [
            "/kubelet_/kubeadm_1.36.2-1.1_amd64.deb",
            "cri-tools_1.36.0-1.1_amd64.deb",
            "kubernetes-doubles_1.0-1_amd64.deb",
            "kubelet-debug-1.2.rpm",
        ] {
            assert!(!runs(name), "{name}");
        }
    }

    #[test]
    fn containerd_takes_the_sandbox_image_of_kubeadm() {
        let text = containerd_settings("example/pause:1");
        assert!(
            text.contains("\nsandbox_image = \"example/pause:1\"\n"),
            "{text}"
        );
        assert!(toml::de::DeTable::parse(&text).is_ok(), "{text}");
    }
}
