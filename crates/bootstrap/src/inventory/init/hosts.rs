//! Hosts as words of the command line: `master1=10.0.1.11`, or an address where a flag says the role.

use std::net::IpAddr;

use super::sketch::{Host, Sketch};
use crate::inventory::Role;

/// What the command line says of hosts.
pub(super) struct Said<'a> {
    pub(super) plain: &'a [String],
    pub(super) by_role: [(Role, &'a Vec<String>); 3],
}

/// What names begin with, by role. Longer words first, since the first that fits decides.
const BEGINNINGS: [(&str, Role); 20] = [
    ("loadbalancer", Role::Balancer),
    ("load-balancer", Role::Balancer),
    ("balancer", Role::Balancer),
    ("haproxy", Role::Balancer),
    ("proxy", Role::Balancer),
    ("vip", Role::Balancer),
    ("lb", Role::Balancer),
    ("control-plane", Role::ControlPlane),
    ("controlplane", Role::ControlPlane),
    ("controller", Role::ControlPlane),
    ("control", Role::ControlPlane),
    ("master", Role::ControlPlane),
    ("cp", Role::ControlPlane),
    ("m", Role::ControlPlane),
    ("worker", Role::Worker),
    ("compute", Role::Worker),
    ("minion", Role::Worker),
    ("agent", Role::Worker),
    ("node", Role::Worker),
    ("w", Role::Worker),
];

/// Adds all hosts; returns what is wrong with some.
pub(super) fn take(said: &Said<'_>, sketch: &mut Sketch) -> Vec<String> {
    let mut mistakes = Vec::new();
    for word in said.plain {
        let role = word.split_once('=').and_then(|(name, _)| role_of(name));
        match (word.contains('='), role) {
            (true, Some(role)) => mistakes.extend(add(word, role, sketch).err()),
            (true, None) => mistakes.push(format!(
                "'{word}' does not tell its role by its name; say it: --lb {word}, --control-plane {word} \
                 or --worker {word}"
            )),
            (false, _) => mistakes.push(format!(
                "'{word}' has no name; write NAME={word}, or say the role: --control-plane {word}"
            )),
        }
    }
    for (role, words) in said.by_role {
        for word in words {
            mistakes.extend(add(word, role, sketch).err());
        }
    }
    mistakes
}

/// Adds `NAME=ADDRESS`, `NAME.DOMAIN=ADDRESS` or `ADDRESS`.
pub(super) fn add(word: &str, role: Role, sketch: &mut Sketch) -> Result<(), String> {
    let (name, address) = match word.split_once('=') {
        Some((name, address)) => (Some(name), address),
        None => (None, word),
    };
    let address: IpAddr = address.parse().map_err(|_| {
        format!("'{word}' ends in no IP address; write NAME=ADDRESS, as in master1=10.0.1.11")
    })?;
    let name = match name.map(|name| name.split_once('.').unwrap_or((name, ""))) {
        None => sketch.next_name(role),
        Some((name, "")) => name.to_owned(),
        Some((name, domain)) => {
            if sketch.domain.is_empty() {
                domain.clone_into(&mut sketch.domain);
            } else if sketch.domain != domain {
                return Err(format!(
                    "'{word}' is in another domain than {}; all hosts of a cluster share one",
                    sketch.domain
                ));
            }
            name.to_owned()
        }
    };
    sketch.nodes.push(Host {
        name,
        role,
        address,
    });
    Ok(())
}

/// The role that a name tells: `lb`, `master1`, `kube-worker-3`. A single letter needs a number behind it.
pub(super) fn role_of(name: &str) -> Option<Role> {
    let label = name.split('.').next().unwrap_or(name).to_ascii_lowercase();
    let starts = |part: &str| {
        BEGINNINGS.iter().find_map(|(word, role)| {
            let rest = part.strip_prefix(word)?;
            let is_whole = rest.is_empty() && word.len() > 1;
            let is_numbered =
                rest.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '_');
            (is_whole || is_numbered).then_some(*role)
        })
    };
    // The whole first: `control-plane-1` begins with a word that has a hyphen itself.
    starts(&label).or_else(|| label.split(['-', '_']).find_map(starts))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_roles() {
        for (name, role) in [
            ("lb", Some(Role::Balancer)),
            ("lb1.kube.com", Some(Role::Balancer)),
            ("haproxy-2", Some(Role::Balancer)),
            ("master1", Some(Role::ControlPlane)),
            ("Master-1", Some(Role::ControlPlane)),
            ("control-plane-1", Some(Role::ControlPlane)),
            ("cp3", Some(Role::ControlPlane)),
            ("k8s-master-1", Some(Role::ControlPlane)),
            ("m1", Some(Role::ControlPlane)),
            ("worker2", Some(Role::Worker)),
            ("prod-node-7", Some(Role::Worker)),
            ("w10", Some(Role::Worker)),
            ("mars", None),
            ("m", None),
            ("db1", None),
        ] {
            assert_eq!(role_of(name), role, "{name}");
        }
    }
}
