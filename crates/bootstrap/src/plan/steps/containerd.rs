//! containerd's settings. kubelet and containerd must agree who owns cgroups, the part that kubelet speaks to must
//! not be switched off, and plugins of the network must be found. What does not suit is changed in the text that
//! is there; the rest of it, registries and other runtimes, is the operator's.

use toml_edit::{DocumentMut, Item, Table, TableLike, value};

use super::shell::{await_own_api, await_ready};
use super::{KEPT, keep, refusals, step};
use crate::facts::{Content, Facts, HostFacts};
use crate::inventory::{Cni, Inventory, Node, Role};
use crate::plan::{Action, Fact, Refusal, Step, hash, seconds};

const FILE: &str = "/etc/containerd/config.toml";
const CANDIDATE: &str = "/etc/containerd/candidate.toml";
/// The first line of settings that are wholly written here.
const OURS: &str = "# Written by evenkeel-bootstrap.\n";
/// Where packages of Kubernetes, flannel and calico put plugins of the network.
const CNI_FOLDER: &str = "/opt/cni/bin";
/// What [`settings`] is called: of nodes that have joined, one restarts its containerd after the other.
pub(crate) const STEP: &str = "runtime-settings";

/// What does not suit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The part that kubelet speaks to is switched off.
    Disabled,
    /// A runtime leaves cgroups to another than kubelet does.
    Cgroups {
        /// `runc`.
        runtime: String,
    },
    /// Plugins of the network are looked for elsewhere.
    CniFolder(String),
}

/// How it has to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    /// Whether cgroups are systemd's, as kubelet has it unless it is told otherwise.
    pub(crate) systemd: bool,
    /// Whether plugins are where Kubernetes' packages put them; who brings a manifest may bring others.
    usual_folder: bool,
}

impl Wanted {
    /// As kubelet will have it.
    pub(crate) fn by(inventory: &Inventory) -> Self {
        let driver = inventory.kubeadm.kubelet.get("cgroupDriver");
        Self {
            systemd: driver.and_then(|said| said.as_str()) != Some("cgroupfs"),
            usual_folder: matches!(inventory.cni, Cni::Flannel { .. } | Cni::Calico { .. }),
        }
    }
}

/// What of these settings does not suit: those of a file, or all that they come to (`containerd config dump`).
///
/// # Errors
///
/// If they are no TOML.
pub(crate) fn faults(text: &str, wanted: Wanted) -> Result<Vec<Fault>, String> {
    let settings: DocumentMut = text
        .parse()
        .map_err(|error: toml_edit::TomlError| error.to_string())?;
    let mut faults = Vec::new();
    let disabled = settings.get("disabled_plugins").and_then(Item::as_array);
    if disabled.is_some_and(|list| list.iter().any(|name| name.as_str().is_some_and(is_cri))) {
        faults.push(Fault::Disabled);
    }
    let plugin = settings
        .get("plugins")
        .and_then(|plugins| plugins.get(plugin(&settings)));
    let part = plugin.and_then(|plugin| plugin.get("containerd"));
    let default = part
        .and_then(|part| part.get("default_runtime_name")?.as_str())
        .unwrap_or("runc");
    let runtimes = part.and_then(|part| part.get("runtimes")?.as_table_like());
    let mut is_default_there = false;
    for (name, runtime) in runtimes.into_iter().flat_map(TableLike::iter) {
        is_default_there |= name == default;
        let kind = runtime.get("runtime_type").and_then(Item::as_str);
        if !matches!(kind, None | Some("" | "io.containerd.runc.v2")) {
            continue;
        }
        let said = runtime
            .get("options")
            .and_then(|options| options.get("SystemdCgroup")?.as_bool());
        if said.unwrap_or(false) != wanted.systemd && (said.is_some() || name == default) {
            faults.push(Fault::Cgroups {
                runtime: name.to_owned(),
            });
        }
    }
    if !is_default_there && default == "runc" && wanted.systemd {
        faults.push(Fault::Cgroups {
            runtime: default.to_owned(),
        });
    }
    let cni = plugin.and_then(|plugin| plugin.get("cni"));
    let folder = cni
        .and_then(|cni| cni.get("bin_dir")?.as_str())
        .unwrap_or("");
    let folders = cni.and_then(|cni| cni.get("bin_dirs")?.as_array());
    let is_usual =
        folders.is_some_and(|list| list.iter().any(|one| one.as_str() == Some(CNI_FOLDER)));
    if wanted.usual_folder && !matches!(folder, "" | CNI_FOLDER) && !is_usual {
        faults.push(Fault::CniFolder(folder.to_owned()));
    }
    Ok(faults)
}

fn is_cri(name: &str) -> bool {
    name == "cri"
        || name.starts_with("io.containerd.grpc.v1.cri")
        || name.starts_with("io.containerd.cri.v1.")
}

/// What the part that kubelet speaks to is called in the format of these settings.
fn plugin(settings: &DocumentMut) -> &'static str {
    match settings.get("version").and_then(Item::as_integer) {
        Some(3..) => "io.containerd.cri.v1.runtime",
        _ => "io.containerd.grpc.v1.cri",
    }
}

/// These settings without what does not suit.
fn mended(text: &str, wanted: Wanted, sandbox: Option<&str>) -> Result<String, String> {
    let mut settings: DocumentMut = text
        .parse()
        .map_err(|error: toml_edit::TomlError| error.to_string())?;
    let faults = faults(text, wanted)?;
    if settings.get("version").is_none() && !faults.is_empty() {
        if settings.contains_key("plugins") {
            return Err("they are of version 1, in which plugins have other names".to_owned());
        }
        settings.insert("version", value(2));
    }
    let plugin = plugin(&settings);
    for fault in &faults {
        match fault {
            Fault::Disabled => {
                let list = settings
                    .get_mut("disabled_plugins")
                    .and_then(Item::as_array_mut);
                if let Some(list) = list {
                    list.retain(|name| !name.as_str().is_some_and(is_cri));
                }
            }
            Fault::Cgroups { runtime } => {
                let path = ["plugins", plugin, "containerd", "runtimes", runtime];
                let runtime = table(&mut settings, &path)?;
                if !runtime.contains_key("runtime_type") {
                    runtime.insert("runtime_type", value("io.containerd.runc.v2"));
                }
                let options = table(&mut settings, &[&path[..], &["options"]].concat())?;
                set(options, "SystemdCgroup", wanted.systemd.into());
            }
            Fault::CniFolder(_) => {
                let cni = table(&mut settings, &["plugins", plugin, "cni"])?;
                set(cni, "bin_dir", CNI_FOLDER.into());
            }
        }
    }
    if let Some(sandbox) = sandbox {
        let plugin = table(&mut settings, &["plugins", plugin])?;
        if plugin.get("sandbox_image").and_then(Item::as_str) != Some(sandbox) {
            set(plugin, "sandbox_image", sandbox.into());
        }
    }
    Ok(settings.to_string())
}

/// Another value in the place of one, the comment behind it kept.
fn set(table: &mut dyn TableLike, key: &str, mut new: toml_edit::Value) {
    match table.get_mut(key).and_then(Item::as_value_mut) {
        Some(old) => {
            *new.decor_mut() = old.decor().clone();
            *old = new;
        }
        None => {
            table.insert(key, Item::Value(new));
        }
    }
}

/// The table at the end of a path, which is made where it is missing.
fn table<'t>(
    settings: &'t mut DocumentMut,
    path: &[&str],
) -> Result<&'t mut dyn TableLike, String> {
    let mut at: &mut dyn TableLike = settings.as_table_mut();
    for key in path {
        if !at.contains_key(key) {
            let mut new = Table::new();
            new.set_implicit(true);
            at.insert(key, Item::Table(new));
        }
        at = at
            .get_mut(key)
            .and_then(Item::as_table_like_mut)
            .ok_or_else(|| format!("'{}' is no table", path.join(".")))?;
    }
    Ok(at)
}

/// What is to be done about the settings of a host.
#[derive(Debug, PartialEq)]
enum State {
    Suits,
    /// The whole file, as it shall be.
    Change(String),
    /// Why no change of the file helps.
    Stuck(String),
}

/// Whether pods of a node run while something is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pods {
    Run,
    Away,
}

fn state(inventory: &Inventory, host: &HostFacts, pods: Pods) -> State {
    let wanted = Wanted::by(inventory);
    let before = match host.content(FILE) {
        Content::Missing => "",
        Content::Text(text) => text,
        Content::Unknown => return State::Suits,
    };
    // A pause image alone is no reason to touch a node that works. Before it works, or while its pods are away, it
    // gets the right one, which is all that a site without a network has.
    let is_ours = before.is_empty() || before.starts_with(OURS);
    let sandbox = sandbox_image(inventory);
    let may_change = pods == Pods::Away || !host.kube.kubelet_conf;
    let sandbox = (is_ours && may_change).then_some(sandbox.as_str());
    let come_to = match host.runtime.settings.as_str() {
        "" => before,
        all => all,
    };
    let is_suited = |text: &str| faults(text, wanted).is_ok_and(|faults| faults.is_empty());
    if is_suited(come_to) && (sandbox.is_none() || before.is_empty()) && !come_to.is_empty() {
        return State::Suits;
    }
    if before.is_empty() {
        return State::Change(fresh(wanted, &sandbox_image(inventory)));
    }
    match mended(before, wanted, sandbox) {
        Err(why) => State::Stuck(why),
        Ok(after) if !is_suited(&after) => {
            State::Stuck("they are written in a way that is not understood".to_owned())
        }
        Ok(after) if after != before => State::Change(after),
        Ok(_) if is_suited(come_to) => State::Suits,
        Ok(_) => State::Stuck("something that it imports says otherwise".to_owned()),
    }
}

/// Settings that cannot be made to suit by a change of the file.
pub(super) fn refusals(inventory: &Inventory, node: &Node, host: &HostFacts) -> Vec<Refusal> {
    if !inventory.runtime.managed {
        return Vec::new();
    }
    let stuck = match state(inventory, host, Pods::Run) {
        State::Stuck(why) => Some(Refusal {
            host: node.name.clone(),
            what: format!(
                "containerd's settings do not suit kubelet, and {FILE} cannot be changed so that they do: {why}"
            ),
            fix: format!(
                "`containerd config dump` there shows what they come to: SystemdCgroup has to be {} for runtimes of \
                 runc, and \"cri\" not in disabled_plugins; mend it by hand, or move {FILE} away",
                Wanted::by(inventory).systemd
            ),
        }),
        _ => None,
    };
    refusals::unknown(node, host, FILE)
        .into_iter()
        .chain(stuck)
        .collect()
}

/// Has the settings suit, unless they do.
pub(super) fn settings(
    inventory: &Inventory,
    facts: &Facts,
    node: &Node,
    host: &HostFacts,
) -> Option<Step> {
    match state(inventory, host, Pods::Run) {
        State::Change(content) => Some(change(inventory, facts, node, host, &content)),
        _ => None,
    }
}

/// Settings of ours as the inventory's release wants them: the image of the sandbox is another with some. While
/// pods are away is the time for it.
pub(crate) fn of_release(inventory: &Inventory, facts: &Facts, node: &Node) -> Option<Step> {
    let host = facts
        .host(&node.name)
        .filter(|_| inventory.runtime.managed)?;
    let is_ours = host.text(FILE).is_some_and(|text| text.starts_with(OURS));
    match state(inventory, host, Pods::Away) {
        State::Change(content) if is_ours => Some(change(inventory, facts, node, host, &content)),
        _ => None,
    }
}

fn change(
    inventory: &Inventory,
    facts: &Facts,
    node: &Node,
    host: &HostFacts,
    content: &str,
) -> Step {
    let before = host.text(FILE);
    let unchanged = before.map_or_else(String::new, |before| {
        format!(
            "[ \"$(sha256sum {FILE} | cut -d' ' -f1)\" = {} ] || {{ echo '{FILE} was changed since the plan was made' >&2; exit 1; }}\n",
            hash(before)
        )
    });
    // Registries' passwords may stand in it.
    let mode = host.files.get(FILE).map_or(0o644, |file| file.mode);
    // One script, which goes on at the host if this program dies: there is no moment in which the file is new and
    // containerd does not know it.
    let script = format!(
        "{unchanged}{keep}\
         [ ! -e {FILE} ] || cp -p {FILE} {FILE}.before\n\
         mv {CANDIDATE} {FILE}\n\
         systemctl daemon-reload\n\
         if ! systemctl restart containerd.service; then\n\
         \x20 [ ! -e {FILE}.before ] || {{ mv {FILE}.before {FILE}; systemctl restart containerd.service; }} || :\n\
         \x20 exit 1\n\
         fi\n\
         rm -f {FILE}.before\n",
        keep = keep(FILE)
    );
    let owner = match Wanted::by(inventory).systemd {
        true => "systemd",
        false => "containerd itself",
    };
    let mut actions = vec![
        Action::Write {
            path: CANDIDATE.to_owned(),
            content: content.into(),
            mode,
            before: before.map(str::to_owned),
            temporary: true,
        },
        Action::Run {
            script: script.into(),
            limit: seconds(180),
        },
    ];
    if facts.member(&node.name).is_some() {
        if node.role == Role::ControlPlane {
            actions.push(await_own_api(node, seconds(120)));
        }
        actions.push(await_ready(node, seconds(120)));
    }
    step(
        node,
        STEP,
        format!("have containerd leave cgroups to {owner}, as kubelet does"),
        vec![Fact::File {
            path: FILE.to_owned(),
            sha256: hash(content),
            mode,
        }],
        actions,
        &format!(
            "see journalctl -u containerd on the host; what was there before the first change is kept as {FILE}{KEPT}"
        ),
    )
}

/// The image that holds each pod's namespaces: that of kubeadm's list, so that one is pulled and not two.
/// A site without a network has no other, and containerd's own choice would leave every pod waiting.
pub(crate) fn sandbox_image(inventory: &Inventory) -> String {
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
fn fresh(wanted: Wanted, sandbox: &str) -> String {
    const PLUGIN: &str = "io.containerd.grpc.v1.cri";
    let systemd = wanted.systemd;
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
         SystemdCgroup = {systemd}\n"
    )
}

#[cfg(test)]
#[path = "containerd_tests.rs"]
mod tests;
