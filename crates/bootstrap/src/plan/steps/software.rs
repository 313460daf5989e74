//! Packages on nodes: the container runtime, kubeadm, kubelet and kubectl, from repositories or from files
//! that are brought along.

use std::path::{Path, PathBuf};

use super::PACKAGES;
use super::{APT, APT_GET, containerd, step};
use crate::facts::{Facts, HostFacts, PackageManager};
use crate::inventory::{Inventory, Node, Version};
use crate::plan::{Action, Fact, Refusal, Step, hash, quote, seconds, unmet};

const SOURCE: &str = "/etc/apt/sources.list.d/kubernetes.list";
const REPOSITORY: &str = "pkgs.k8s.io";
const PROGRAMS: [&str; 3] = ["kubeadm", "kubelet", "kubectl"];
/// Where files are copied to before they are installed.
const FOLDER: &str = super::shell::FILES;
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
        if !host.has("containerd") && inventory.artefacts.packages.is_empty() {
            steps.push(runtime_package(inventory, node, host));
        }
        steps.extend(containerd::settings(inventory, facts, node, host));
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
    let mut all = containerd::refusals(inventory, node, host);
    let is_there = |fact: &Fact| match fact {
        Fact::Program { name, version } => {
            let said = host.programs.get(name);
            host.has(name) && said.is_some_and(|said| said.starts_with(version.as_str()))
        }
        _ => false,
    };
    let from_repository = inventory.artefacts.packages.is_empty() && !inventory.artefacts.offline;
    if from_repository
        && !programs(inventory.kubernetes, &PROGRAMS)
            .iter()
            .all(is_there)
    {
        all.extend(other_source(node, host));
    }
    all
}

/// A second source of the same packages with another key: apt then refuses to do anything at all.
fn other_source(node: &Node, host: &HostFacts) -> Option<Refusal> {
    let mut sources = host
        .files
        .iter()
        .filter(|(path, _)| path.starts_with("/etc/apt/sources.list.d/") && *path != SOURCE);
    let names_it = |line: &str| !line.trim_start().starts_with('#') && line.contains(REPOSITORY);
    let (path, _) = sources.find(|(_, file)| {
        file.text
            .as_deref()
            .is_some_and(|text| text.lines().any(names_it))
    })?;
    Some(Refusal {
        host: node.name.clone(),
        what: format!(
            "{path} names the packages of Kubernetes with a key of its own, and apt takes one key for each source"
        ),
        fix: format!("remove it: apply writes {SOURCE} in its place"),
    })
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
    for from in files {
        let name = from
            .file_name()
            .unwrap_or(from.as_os_str())
            .to_string_lossy();
        let to = format!("{FOLDER}/{name}");
        names.push(quote(&to));
        actions.push(Action::Upload {
            from: from.to_path_buf(),
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
            format!("{APT}dpkg --force-confold -i {listed}")
        }
        _ => format!(
            "{APT}{APT_GET} install --fix-broken --no-install-recommends -y --allow-change-held-packages {listed}"
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
            format!("dnf -q -y install --setopt=disable_excludes=kubernetes {packages}")
        }
        _ => format!(
            "{APT}{APT_GET} update\n\
             {APT_GET} install --fix-broken --no-install-recommends -y --allow-change-held-packages {packages}"
        ),
    };
    Action::Run {
        script: script.into(),
        limit: seconds(INSTALL_LIMIT),
    }
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
            "{APT}if ! command -v curl >/dev/null || [ ! -e /etc/ssl/certs/ca-certificates.crt ]; then\n\
             \x20 {APT_GET} update\n\
             \x20 {APT_GET} install --fix-broken --no-install-recommends -y curl ca-certificates\n\
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
        actions.push(write(host, SOURCE, content));
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
    let is_package = |name: &&str| host.packages.contains_key(*name) || !host.has(name);
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
        // kubelet may have thrown its images out since, or containerd be another. What shows that they were
        // imported again is then another line.
        let again = Fact::Stamp {
            path: stamp.clone(),
            line: format!("imported {mark} again"),
        };
        let was_again = again.holds(facts, &node.name);
        let is_imported = was_again || is_there.holds(facts, &node.name);
        if is_imported && has_images(facts, node, &image.archive) {
            continue;
        }
        let (line, fact) = match is_imported && !was_again {
            true => (format!("imported {mark} again"), again),
            false => (format!("imported {mark}"), is_there),
        };
        brings.push(fact);
        let import = format!(
            "ctr -n k8s.io images import {}\necho '{line}' >{}\n",
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

/// Whether containerd has all images that an archive says it holds.
fn has_images(facts: &Facts, node: &Node, archive: &Path) -> bool {
    let names = facts.brought.get(archive).map(|brought| &brought.images);
    let has = |name: &String| {
        let host = facts.host(&node.name);
        host.is_some_and(|host| host.images.contains(name))
    };
    names.is_none_or(|names| names.iter().all(has))
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
    use crate::facts::{Brought, FileFacts, Unit};
    use crate::plan::steps::example::{bare, host, inventory};

    fn ids(inventory: &Inventory, facts: &Facts) -> Vec<String> {
        let node = inventory.node("worker1").expect("there");
        let steps = steps(inventory, facts, node).into_iter();
        steps.map(|step| step.id.replace("worker1/", "")).collect()
    }

    /// A node with all of its programs, on which only what a test takes away is missing.
    fn done(inventory: &mut Inventory) -> Facts {
        inventory.runtime.managed = false;
        let mut facts = bare(inventory);
        let found = host(&mut facts, "worker1");
        found.package_manager = Some(PackageManager::Apt);
        for name in PROGRAMS {
            found.programs.insert(name.to_owned(), "v1.36.2".to_owned());
            let package = crate::facts::Package {
                version: "1.36.2-1.1".to_owned(),
                held: true,
            };
            found.packages.insert(name.to_owned(), package);
        }
        let unit = Unit {
            enabled: true,
            active: false,
        };
        found.units.insert("kubelet.service".to_owned(), unit);
        facts
    }

    #[test]
    fn an_archive_that_changed_is_imported_again_and_only_that() {
        let mut inventory = inventory();
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
        // Each image of an archive that is gone brings that archive again, as often as it goes.
        let pause = "registry.k8s.io/pause:3.10".to_owned();
        let brought = Brought {
            images: vec![pause.clone()],
            ..Brought::default()
        };
        facts.brought.insert("/a/api.tar".into(), brought);
        for line in ["imported 5-1 again", "imported 5-1", "imported 5-1 again"] {
            let again = images(&inventory, &facts, &node).unwrap();
            let [Fact::Stamp { path, line: found }] = &again.brings[..] else {
                panic!("{again:?}")
            };
            assert_eq!(found, line);
            let file = FileFacts {
                text: Some(format!("{line}\n")),
                ..FileFacts::default()
            };
            host(&mut facts, "worker1").files.insert(path.clone(), file);
        }
        host(&mut facts, "worker1").images.insert(pause);
        assert_eq!(images(&inventory, &facts, &node), None);
        facts.archives.insert("/b/api.tar".into(), "5-2".to_owned());
        let again = images(&inventory, &facts, &node).unwrap();
        assert_eq!(again.brings.len(), 1);
        assert!(
            format!("{:?}", again.actions).contains("/b/api.tar"),
            "{again:?}"
        );
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
    fn a_package_that_was_left_half_set_up_is_installed_again_and_held() {
        let mut inventory = inventory();
        let mut facts = done(&mut inventory);
        assert_eq!(ids(&inventory, &facts), Vec::<String>::new());
        let found = host(&mut facts, "worker1");
        found.packages.remove("kubelet");
        found.unconfigured.insert("kubelet".to_owned());
        assert_eq!(ids(&inventory, &facts), ["kubernetes", "hold"]);
        let node = inventory.node("worker1").unwrap();
        for step in &steps(&inventory, &facts, node)[..1] {
            let text = step.to_string();
            let (mends, installs) = (
                text.find("dpkg --force-confold --configure -a"),
                text.find("apt-get"),
            );
            assert!(mends.is_some() && mends < installs, "{text}");
        }
    }

    /// dnf 5 no longer has the option that dnf 4 had a word of its own for.
    #[test]
    fn excluded_packages_are_installed_with_either_dnf() {
        let found = HostFacts {
            package_manager: Some(PackageManager::Dnf),
            ..HostFacts::default()
        };
        let Action::Run { script, .. } = install(&found, &["kubelet-1.36.2".to_owned()]) else {
            panic!("a script");
        };
        assert_eq!(
            script.to_string(),
            "dnf -q -y install --setopt=disable_excludes=kubernetes 'kubelet-1.36.2'"
        );
    }
}
