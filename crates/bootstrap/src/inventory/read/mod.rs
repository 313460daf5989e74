//! The reader of `cluster.toml`: text becomes an [`Inventory`], or every mistake at once. What one
//! value alone may be is said here and in `parts`, what values mean together in [`agreement`].

mod agreement;
mod components;
mod conform;
mod files;
mod hints;
mod nodes;
mod parts;
mod patches;
mod schema;
mod values;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use evenkeel_config::tables::{Fields, File, Maybe, Section, Spanned, read_tables};
use evenkeel_config::{Place, Problem, Severity, Source as Text};
use ipnet::IpNet;
use toml::de::{DeTable, DeValue};

use self::nodes::NodeDraft;
pub(super) use self::values::usable;
use super::keys;
use super::{Endpoint, Inventory, Version};

/// The port of the API where `vip` does not say.
const API_PORT: u16 = 6443;

/// kubeadm's own.
const DNS_DOMAIN: &str = "cluster.local";

/// What reading may ask of this machine.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// Where relative file names start from: the folder of `cluster.toml`.
    pub folder: &'a Path,
    /// What `~/` stands for; `None` refuses such names.
    pub home: Option<&'a Path>,
    /// Whether a file is there.
    pub is_file: &'a dyn Fn(&Path) -> bool,
    /// The permissions of a file; `None` if they do not matter.
    pub mode: &'a dyn Fn(&Path) -> Option<u32>,
    /// What stands in a file; `None` if it cannot be looked into.
    pub content: &'a dyn Fn(&Path) -> Option<Vec<u8>>,
}

/// A `cluster.toml` that says what it must.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// What it says.
    pub inventory: Inventory,
    /// What the operator should know, in the order of the file.
    pub warnings: Vec<Problem>,
}

/// Reads the file `path`; whether the files it names are there is asked of this machine.
///
/// # Errors
/// Every mistake, in the order of the file; among them that it cannot be read.
pub fn load(path: &Path) -> Result<Loaded, Vec<Problem>> {
    let name = path.to_string_lossy().into_owned();
    let text = std::fs::read(path).map_err(|error| {
        let message = match error.kind() {
            std::io::ErrorKind::NotFound => {
                "no such file; 'evenkeel-bootstrap init' writes one".to_owned()
            }
            _ => format!("cannot read: {error}"),
        };
        vec![Problem::error(Place::whole_file(&name), message)]
    })?;
    load_text(path, text)
}

/// Reads `text` as what `path` is to have; nothing needs to be there yet.
///
/// # Errors
/// Every mistake, in the order of the text.
pub fn load_text(path: &Path, text: Vec<u8>) -> Result<Loaded, Vec<Problem>> {
    let name = path.to_string_lossy().into_owned();
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let around = Surroundings {
        folder: path.parent().unwrap_or(Path::new("")),
        home: home.as_deref(),
        is_file: &|path| path.is_file(),
        mode: &|path| Some(path.metadata().ok()?.permissions().mode()),
        content: &|path| std::fs::read(path).ok(),
    };
    read(&Text { name, text }, &around)
}

/// Reads `source`.
///
/// # Errors
/// Every mistake, in the order of the file.
pub fn read(source: &Text, around: &Surroundings<'_>) -> Result<Loaded, Vec<Problem>> {
    let mut inventory = None;
    let mut is_toml = false;
    let mut problems = read_tables(source, |file, table| {
        is_toml = true;
        inventory = root(file, table, around);
    });
    if !is_toml {
        hints::quotes(&String::from_utf8_lossy(&source.text), &mut problems);
    }
    for problem in &mut problems {
        hints::foreign_key(&mut problem.message);
        problem.message = printable(&problem.message);
    }
    problems.sort_by_key(|problem| (problem.place.line, problem.place.column));
    problems.dedup();
    let is_sound = problems
        .iter()
        .all(|problem| problem.severity != Severity::Error);
    match inventory {
        Some(inventory) if is_sound => Ok(Loaded {
            inventory,
            warnings: problems,
        }),
        _ => Err(problems),
    }
}

/// `text` on one line: whatever moves a terminal's cursor is written out.
pub(super) fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            _ if c.is_control() => shown.extend(c.escape_default()),
            _ => shown.push(c),
        }
    }
    shown
}

/// `[cluster]` as it was read. What is missing or wrong has been reported.
struct ClusterDraft {
    name: String,
    domain: Maybe<String>,
    kubernetes: Maybe<Version>,
    vip: Maybe<Endpoint>,
    pod_cidrs: Vec<Spanned<IpNet>>,
    service_cidrs: Vec<Spanned<IpNet>>,
    dns_domain: Maybe<String>,
}

/// `None` only where a problem was noted.
fn root(file: &File<'_>, table: &DeTable<'_>, around: &Surroundings<'_>) -> Option<Inventory> {
    file.fields(&keys::ROOT, table, |fields| {
        let cluster = cluster(file, fields);
        let ssh = nodes::common_ssh(file, fields, around);
        let nodes = nodes::nodes(file, fields, &ssh, around);
        let cni = parts::cni(file, fields, around);
        let runtime = parts::runtime(file, fields);
        let (balancer, admin) = parts::balancer(file, fields, around);
        let vip = cluster.as_ref().and_then(|cluster| cluster.vip.as_ref());
        let vrrp = parts::vrrp(file, fields, around, vip.map(|vip| vip.value.vip), &nodes);
        let kubeadm = patches::kubeadm(file, fields, runtime.managed);
        let artefacts = parts::artefacts(file, fields, around);

        let cluster = cluster?;
        agreement::check(file, &cluster, &nodes, admin.as_ref());
        Some(Inventory {
            name: cluster.name,
            domain: said(cluster.domain).unwrap_or_default(),
            kubernetes: cluster.kubernetes?.value,
            endpoint: cluster.vip?.value,
            pod_cidrs: plain(cluster.pod_cidrs),
            service_cidrs: plain(cluster.service_cidrs),
            dns_domain: said(cluster.dns_domain).unwrap_or_else(|| DNS_DOMAIN.to_owned()),
            cni: cni?,
            runtime,
            balancer,
            vrrp,
            kubeadm,
            artefacts,
            nodes: nodes
                .into_iter()
                .map(NodeDraft::finish)
                .collect::<Option<_>>()?,
        })
    })
}

fn cluster(file: &File<'_>, fields: &mut Fields<'_, '_>) -> Option<ClusterDraft> {
    let Some((place, table)) = section(file, fields, "cluster") else {
        if fields.value("cluster").is_none() {
            let message = "there is no [cluster]; it needs 'kubernetes' and 'vip' at least";
            file.error(file.place(0), message.to_owned());
        }
        return None;
    };
    Some(file.fields(&keys::CLUSTER, table, |fields| {
        let owner = Owner {
            what: "[cluster]",
            place: &place,
            section: &keys::CLUSTER,
            table,
        };
        let kubernetes = required(file, fields, "kubernetes", &owner, values::release);
        let vip = required(file, fields, "vip", &owner, values::endpoint);
        let is_v6 = vip.as_ref().is_some_and(|vip| vip.value.vip.is_ipv6());
        // Without a VIP nothing says which family is meant.
        let default = |v4, v6| {
            let network = if is_v6 { v6 } else { v4 };
            vip.is_some().then(|| Spanned::new(network, place.clone()))
        };
        let pods = default("10.244.0.0/16", "fd00:10:244::/56");
        let services = default("10.96.0.0/12", "fd00:10:96::/112");
        ClusterDraft {
            name: said(fields.take("name", values::label)).unwrap_or_else(|| "kubernetes".into()),
            domain: fields.take("domain", values::domain),
            kubernetes,
            vip,
            pod_cidrs: networks(file, fields, "pod-cidr", pods),
            service_cidrs: networks(file, fields, "service-cidr", services),
            dns_domain: fields.take("dns-domain", values::domain),
        }
    }))
}

/// One network, or a list of them; a value that is wrong leaves none.
fn networks(
    file: &File<'_>,
    fields: &mut Fields<'_, '_>,
    key: &'static str,
    default: Maybe<&str>,
) -> Vec<Spanned<IpNet>> {
    let Some(value) = fields.value(key) else {
        let network = |text: &str| text.parse().expect("a default is a network");
        return default
            .into_iter()
            .map(|default| default.map(network))
            .collect();
    };
    let mut networks = Vec::new();
    let mut are_right = true;
    for value in values::one_or_many(value) {
        let place = file.place(value.span().start);
        match values::network(value.get_ref()) {
            Ok(network) => networks.push(Spanned::new(network, place)),
            Err(message) => {
                are_right = false;
                file.error(place, format!("'{key}' {message}"));
            }
        }
    }
    // What is missing among them may be what was meant.
    if are_right { networks } else { Vec::new() }
}

/// The table `key`, and where it begins; anything else is noted.
fn section<'t>(
    file: &File<'_>,
    fields: &mut Fields<'_, 't>,
    key: &'static str,
) -> Option<(Place, &'t DeTable<'t>)> {
    let table = fields.table(key)?;
    let place = fields
        .value(key)
        .map(|value| file.place(value.span().start))?;
    Some((place, table))
}

/// A table that must say something: what it is called, where it begins, and what it is.
struct Owner<'o> {
    what: &'o str,
    place: &'o Place,
    section: &'static Section,
    table: &'o DeTable<'o>,
}

/// The value of `key`; that `owner` does not say it is a mistake, unless it says so under a wrong name,
/// which is told by itself.
fn required<T>(
    file: &File<'_>,
    fields: &mut Fields<'_, '_>,
    key: &'static str,
    owner: &Owner<'_>,
    read: fn(&DeValue<'_>) -> Result<T, String>,
) -> Maybe<T> {
    let known = || owner.section.keys.iter().map(|key| key.name);
    let is_mistyped = || {
        owner
            .table
            .iter()
            .map(|(name, _)| name.get_ref().as_ref())
            .filter(|name| known().all(|known| known != *name))
            .any(|name| hints::means(name, &owner.section.title(), known(), key))
    };
    if fields.value(key).is_none() && !is_mistyped() {
        file.error(
            owner.place.clone(),
            format!("{} has no '{key}'", owner.what),
        );
    }
    fields.take(key, read)
}

fn said<T>(value: Maybe<T>) -> Option<T> {
    value.map(|said| said.value)
}

fn plain(networks: Vec<Spanned<IpNet>>) -> Vec<IpNet> {
    networks.into_iter().map(|said| said.value).collect()
}

#[cfg(test)]
mod collision_tests;
#[cfg(test)]
mod kubeadm_tests;
#[cfg(test)]
mod tests;
