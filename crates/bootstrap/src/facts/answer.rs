//! The answer of [`script`](super::script) as a value. Pure.

use std::net::IpAddr;

use evenkeel_config::tables::show_text;
use ipnet::IpNet;
use jiff::Timestamp;
use thiserror::Error;

use super::listeners;
use super::model::{
    Certificate, FileFacts, HostFacts, Interface, Mount, Package, PackageManager, Unit,
};
use super::script::{FIRST, LAST};

/// When a question was asked and its answer was there, in milliseconds since 1970 by our clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) from_ms: i64,
    pub(super) to_ms: i64,
}

/// Why an answer is none.
#[derive(Debug, Error, PartialEq)]
pub(super) enum Garbled {
    #[error("its answer is not whole; it ends with: {}", show_text(last))]
    Cut { last: String },
    #[error("its answer has a line that is not understood: {}", show_text(line))]
    Line { line: String },
}

/// Reads the whole answer of one host.
pub(super) fn read(answer: &str, asked: Asked) -> Result<HostFacts, Garbled> {
    let mut facts = HostFacts::default();
    let mut clocks = Vec::new();
    let mut held = Vec::new();
    let mut lines = answer.lines().skip_while(|line| *line != FIRST).skip(1);
    loop {
        let Some(line) = lines.next() else {
            let last = answer.lines().last().unwrap_or_default().to_owned();
            return Err(Garbled::Cut { last });
        };
        if line == LAST {
            break;
        }
        let garbled = || Garbled::Line {
            line: line.to_owned(),
        };
        let (word, value) = line.split_once('\t').ok_or_else(garbled)?;
        let value = value.trim();
        match word {
            "clock" => clocks.push(milliseconds(value).ok_or_else(garbled)?),
            "held" => held.push(value.to_owned()),
            "certificate" => {
                let now = Timestamp::from_millisecond(asked.to_ms).map_err(|_| garbled())?;
                let found = Certificate::of_line(value, now).ok_or_else(garbled)?;
                facts.certificates.push(found);
            }
            _ => fact(&mut facts, word, value).ok_or_else(garbled)?,
        }
    }
    for name in held {
        if let Some(package) = facts.packages.get_mut(&name) {
            package.held = true;
        }
    }
    // The first was read after we asked, the last before we had the answer.
    if let (Some(first), Some(last)) = (clocks.first(), clocks.last()) {
        let (least, most) = (last - asked.to_ms, first - asked.from_ms);
        facts.clock_ahead_ms = (least + most) / 2;
    }
    // An address that routers send here may stand on the loopback; its own say nothing.
    for interface in facts
        .interfaces
        .iter_mut()
        .filter(|interface| interface.name == "lo")
    {
        interface
            .addresses
            .retain(|network| !network.addr().is_loopback());
    }
    facts
        .interfaces
        .retain(|interface| interface.name != "lo" || !interface.addresses.is_empty());
    Ok(facts)
}

/// Puts one line in; `None` if it cannot be understood.
fn fact(facts: &mut HostFacts, word: &str, value: &str) -> Option<()> {
    match word {
        "hostname" => value.clone_into(&mut facts.hostname),
        "machine-id" => value.clone_into(&mut facts.machine_id),
        "product-uuid" => facts.product_uuid = value.to_ascii_lowercase(),
        "kernel" => value.clone_into(&mut facts.kernel),
        "arch" => value.clone_into(&mut facts.arch),
        "cpus" => facts.cpus = value.parse().ok()?,
        "memory" => facts.memory_bytes = value.parse::<u64>().ok()? * 1024,
        "container" if value != "none" => value.clone_into(&mut facts.container),
        "container" => {}
        "swap" => facts.swaps.push(value.to_owned()),
        "os" => os(facts, value)?,
        "module" => {
            facts.modules.insert(value.to_owned());
        }
        "module-absent" => {
            facts.absent_modules.insert(value.to_owned());
        }
        "sysctl" => {
            let (key, value) = value.split_once('=')?;
            facts.sysctls.insert(key.to_owned(), value.to_owned());
        }
        "cgroup" => facts.cgroup_v2 = value == "2",
        "systemd" => facts.systemd = true,
        "selinux" => {
            let mode = if value == "1" {
                "enforcing"
            } else {
                "permissive"
            };
            mode.clone_into(&mut facts.selinux);
        }
        "link" | "address" | "listener" | "bound" => {
            let read = match word {
                "link" => link(facts, value),
                "address" => address(facts, value),
                "listener" => listeners::of_ss(value).map(|found| facts.listeners.push(found)),
                _ => listeners::of_proc(value).map(|found| facts.listeners.push(found)),
            };
            // What other programs print may change: one such line is not worth the whole host.
            if read.is_none() {
                facts.not_understood.push(value.to_owned());
            }
        }
        "route" => facts.route_to_vip = after(value, "src").and_then(|word| word.parse().ok()),
        "default-route" => {
            facts.default_interface = after(value, "dev").unwrap_or_default().to_owned();
        }
        "default-by-advert" => facts.default_by_advert = true,
        "package-manager" => {
            facts.package_manager = match value {
                "apt" => Some(PackageManager::Apt),
                "dnf" => Some(PackageManager::Dnf),
                _ => return None,
            };
        }
        "package" => {
            let (name, version) = value.split_once(' ')?;
            let package = Package {
                version: version.to_owned(),
                held: false,
            };
            facts.packages.insert(name.to_owned(), package);
        }
        "unconfigured" => {
            facts.unconfigured.insert(value.to_owned());
        }
        "image" => {
            facts.images.insert(value.to_owned());
        }
        "program" => {
            let (name, said) = value.split_once(' ').unwrap_or((value, ""));
            facts.programs.insert(
                name.to_owned(),
                version(said).unwrap_or_default().to_owned(),
            );
        }
        "runtime" => runtime(facts, value)?,
        "unit" => unit(facts, value)?,
        "proxy" => {
            let (name, value) = value.trim_start_matches("export ").split_once('=')?;
            let name = name.trim().to_ascii_uppercase();
            let value = value.trim().trim_matches(['"', '\'']);
            if !value.is_empty() {
                facts.proxies.insert(name, value.to_owned());
            }
        }
        "room" => {
            // A file system that is not there has no number.
            if let Some((kilobytes, path)) = value.split_once(' ') {
                facts.mounts.push(Mount {
                    path: path.to_owned(),
                    free_bytes: kilobytes.parse::<u64>().ok()? * 1024,
                });
            }
        }
        "file" => file(facts, value)?,
        "kube" => match value {
            "/etc/kubernetes/admin.conf" => facts.kube.admin_conf = true,
            "/etc/kubernetes/kubelet.conf" => facts.kube.kubelet_conf = true,
            "/etc/kubernetes/manifests/kube-apiserver.yaml" => facts.kube.apiserver_manifest = true,
            "/var/lib/etcd/member" => facts.kube.etcd_data = true,
            _ => return None,
        },
        "begun" => value.clone_into(&mut facts.kube.begun),
        "ca" => facts.kube.ca = Some(decoded(value)?),
        _ => return None,
    }
    Some(())
}

/// `1795778863.123456789`, or without a fraction where `date` knows none.
fn milliseconds(value: &str) -> Option<i64> {
    let (seconds, fraction) = value.split_once('.').unwrap_or((value, ""));
    let thousandths: i64 = fraction
        .get(..3)
        .and_then(|digits| digits.parse().ok())
        .unwrap_or(0);
    Some(seconds.parse::<i64>().ok()? * 1000 + thousandths)
}

/// The first file that says a name says it for good, so does the first line.
fn os(facts: &mut HostFacts, value: &str) -> Option<()> {
    let (name, value) = value.split_once('=')?;
    let field = match name {
        "ID" => &mut facts.os.id,
        "VERSION_ID" => &mut facts.os.version,
        "PRETTY_NAME" => &mut facts.os.pretty,
        _ => return None,
    };
    if field.is_empty() {
        value.trim_matches(['"', '\'']).clone_into(field);
    }
    Some(())
}

/// `2: eth0@if5: <BROADCAST,UP> mtu 1500 ... link/ether 02:fc:00:00:00:01 brd ...`
fn link(facts: &mut HostFacts, line: &str) -> Option<()> {
    let name = line.split_whitespace().nth(1)?.trim_end_matches(':');
    let mac = after(line, "link/ether").unwrap_or_default();
    interface(facts, name).mac = mac.to_ascii_lowercase();
    Some(())
}

/// `2: eth0    inet 10.0.1.11/24 brd 10.0.1.255 scope global eth0 ...`; link-local ones of IPv6 are passed
/// over, since each interface has one.
fn address(facts: &mut HostFacts, line: &str) -> Option<()> {
    let name = line.split_whitespace().nth(1)?;
    let text = after(line, "inet").or_else(|| after(line, "inet6"))?;
    // Point-to-point: the host's own address has no prefix.
    let network: IpNet = match text.parse::<IpNet>() {
        Ok(network) => network,
        Err(_) => IpNet::from(text.parse::<IpAddr>().ok()?),
    };
    let is_link_local = matches!(network.addr(), IpAddr::V6(v6) if v6.is_unicast_link_local());
    if !is_link_local {
        let is_fleeting = line
            .split_whitespace()
            .any(|word| matches!(word, "temporary" | "deprecated" | "tentative" | "dadfailed"));
        let interface = interface(facts, name);
        interface.addresses.push(network);
        if is_fleeting {
            interface.fleeting.push(network.addr());
        }
    }
    Some(())
}

/// The interface of a name, which may be followed by what it is a part of (`eth0@if5`).
fn interface<'f>(facts: &'f mut HostFacts, name: &str) -> &'f mut Interface {
    let name = name.split('@').next().unwrap_or(name);
    let known = facts
        .interfaces
        .iter()
        .position(|interface| interface.name == name);
    let index = known.unwrap_or_else(|| {
        facts.interfaces.push(Interface {
            name: name.to_owned(),
            ..Interface::default()
        });
        facts.interfaces.len() - 1
    });
    &mut facts.interfaces[index]
}

/// The word that follows `key`.
fn after<'l>(line: &'l str, key: &str) -> Option<&'l str> {
    line.split_whitespace()
        .skip_while(|word| *word != key)
        .nth(1)
}

/// The first word of what a program says that looks like a version: `v1.36.2`, `1.6.20~ds1`, `2.2.7`.
fn version(said: &str) -> Option<&str> {
    said.split_whitespace().find(|word| {
        let plain = word.strip_prefix('v').unwrap_or(word);
        plain.starts_with(|c: char| c.is_ascii_digit()) && plain.contains('.')
    })
}

fn runtime(facts: &mut HostFacts, value: &str) -> Option<()> {
    let (name, value) = value.split_once(' ').unwrap_or((value, ""));
    let value = value.trim().trim_matches(['"', '\'']);
    match name {
        "settings" => facts.runtime.settings = decoded(value)?,
        "sandbox-image" => value.clone_into(&mut facts.runtime.sandbox_image),
        "socket" => facts.runtime.socket = true,
        _ => return None,
    }
    Some(())
}

/// `kubelet.service LoadState=loaded ActiveState=active UnitFileState=enabled`
fn unit(facts: &mut HostFacts, value: &str) -> Option<()> {
    let (name, states) = value.split_once(' ').unwrap_or((value, ""));
    let state = |key: &str| {
        states
            .split_whitespace()
            .find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
            .unwrap_or_default()
    };
    if !matches!(state("LoadState"), "" | "not-found") {
        let unit = Unit {
            // What `systemctl is-enabled` says yes to.
            enabled: matches!(
                state("UnitFileState"),
                "enabled" | "enabled-runtime" | "static" | "alias" | "indirect" | "generated"
            ),
            active: matches!(state("ActiveState"), "active" | "reloading" | "refreshing"),
        };
        facts.units.insert(name.to_owned(), unit);
    }
    Some(())
}

/// `644 SHA256 BASE64 /path`; `-` for a text that was left out, `=` for an empty one.
fn file(facts: &mut HostFacts, value: &str) -> Option<()> {
    let mut words = value.splitn(4, ' ');
    let mode = u32::from_str_radix(words.next()?, 8).ok()?;
    let sha256 = words.next()?.to_owned();
    let text = match words.next()? {
        "-" => None,
        "=" => Some(String::new()),
        text => String::from_utf8(bytes(text)?).ok(),
    };
    let path = words.next()?.to_owned();
    facts.files.insert(path, FileFacts { mode, sha256, text });
    Some(())
}

fn decoded(text: &str) -> Option<String> {
    String::from_utf8(bytes(text)?).ok()
}

fn bytes(text: &str) -> Option<Vec<u8>> {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.decode(text).ok()
}

#[cfg(test)]
mod tests;
