//! Control planes, VIP and port out of a file that a balancer runs by now.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::Path;

use evenkeel_config::{
    Backend, BindAddress, Config, Environment, Frontend, ServerAddress, Severity, Source,
};

use super::InitError;
use super::sketch::{API_PORT, Host, Sketch};
use crate::inventory::{Endpoint, Role};

/// What names of the API's sections have in them.
const WORDS: [&str; 3] = ["kube", "k8s", "api"];
/// Likewise, and those of databases too.
const WEAK_WORDS: [&str; 2] = ["master", "control"];
/// A name that is weak alone says too little.
const LEAST_SCORE: i32 = 2;
/// Ports that other things of a cluster have, whose sections look much like the API's: ingress, rke2's
/// supervisor, OpenShift's machine configuration, etcd, statistics.
const OTHER_PORTS: [u16; 7] = [80, 443, 9345, 22623, 2379, 2380, 9000];

/// Adds what `file` says to `sketch`; `wanted` names the frontend.
pub(super) fn take(
    file: &Path,
    wanted: Option<&str>,
    sketch: &mut Sketch,
) -> Result<(), InitError> {
    let text = std::fs::read(file).map_err(InitError::io(format!("read {}", file.display())))?;
    let name = file.to_string_lossy();
    let (config, left_out) = load(&name, text)?;
    if !left_out.is_empty() {
        sketch.notes.push(format!(
            "left out of {name}, since evenkeel does not run it: {} (evenkeel -c -f {name} says why)",
            left_out.join(", ")
        ));
    }
    read(&config, &name, wanted, sketch).map_err(|mistakes| InitError::Mistakes { mistakes })
}

/// The configuration without the sections that cannot be run, and their headings: a file often carries
/// ingress or statistics beside the API.
fn load(name: &str, text: Vec<u8>) -> Result<(Config, Vec<String>), InitError> {
    let hostname = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let environment = Environment {
        variable: &|name| std::env::var(name).ok(),
        lookup: &|name| -> io::Result<Vec<IpAddr>> {
            Ok((name, 0)
                .to_socket_addrs()?
                .map(|address| address.ip())
                .collect())
        },
        read: &|path| std::fs::read(path),
        hostname: hostname.trim(),
        // A server whose name is nowhere known is told below, with what to do.
        allow_unresolved_servers: true,
    };
    let mut text = text;
    if !text.ends_with(b"\n") {
        text.push(b'\n');
    }
    let mut left_out = Vec::new();
    let mut first_problems = None;
    loop {
        let source = Source {
            name: name.to_owned(),
            text: text.clone(),
        };
        let problems = match evenkeel_config::load(&[source], &environment) {
            Ok(loaded) if pairs(&loaded.config).next().is_some() => {
                return Ok((loaded.config, left_out));
            }
            Ok(loaded) if first_problems.is_none() => return Ok((loaded.config, left_out)),
            // What matters was left out.
            Ok(_) => Vec::new(),
            Err(problems) => problems,
        };
        let lines: BTreeSet<u32> = problems
            .iter()
            .filter(|problem| problem.severity == Severity::Error)
            .map(|problem| problem.place.line)
            .collect();
        let problems = first_problems.get_or_insert(problems);
        let removed = match std::str::from_utf8(&text) {
            Ok(plain) if !name.ends_with(".toml") => without(plain, &lines),
            _ => None,
        };
        // Each round leaves out a line at least, so that there is an end.
        let Some((rest, headings)) = removed else {
            return Err(InitError::Mistakes {
                mistakes: problems
                    .iter()
                    .filter(|problem| problem.severity == Severity::Error)
                    .map(ToString::to_string)
                    .collect(),
            });
        };
        text = rest.into_bytes();
        left_out.extend(headings);
    }
}

/// haproxy.cfg with empty lines in place of each section that has one of `lines` (in global and defaults, of
/// the line alone), and what was left out; `None` if that is nothing.
fn without(text: &str, lines: &BTreeSet<u32>) -> Option<(String, Vec<String>)> {
    const HEADINGS: [&str; 4] = ["frontend", "backend", "listen", "userlist"];
    const OTHERS: [&str; 6] = [
        "global",
        "defaults",
        "resolvers",
        "peers",
        "program",
        "cache",
    ];
    let first_word = |line: &str| {
        line.split_whitespace()
            .next()
            .unwrap_or_default()
            .to_owned()
    };
    let all: Vec<&str> = text.split_inclusive('\n').collect();
    let mut keep = vec![true; all.len()];
    let mut headings = Vec::new();
    for line in lines {
        let Some(index) = usize::try_from(*line)
            .ok()
            .and_then(|line| line.checked_sub(1))
        else {
            continue;
        };
        if index >= all.len() || !keep[index] || all[index].trim().is_empty() {
            continue;
        }
        let is_heading = |index: &usize| {
            let word = first_word(all[*index]);
            HEADINGS.contains(&word.as_str()) || OTHERS.contains(&word.as_str())
        };
        let start = (0..=index).rev().find(is_heading);
        let section = start.filter(|start| HEADINGS.contains(&first_word(all[*start]).as_str()));
        let Some(start) = section else {
            keep[index] = false;
            headings.push(format!("'{}'", all[index].trim()));
            continue;
        };
        let end = (start + 1..all.len()).find(is_heading).unwrap_or(all.len());
        keep[start..end].fill(false);
        headings.push(format!("'{}'", all[start].trim()));
    }
    if headings.is_empty() {
        return None;
    }
    let kept = all
        .iter()
        .zip(keep)
        .map(|(line, keep)| if keep { *line } else { "\n" })
        .collect();
    Some((kept, headings))
}

fn read(
    config: &Config,
    file: &str,
    wanted: Option<&str>,
    sketch: &mut Sketch,
) -> Result<(), Vec<String>> {
    let pair = match wanted {
        Some(name) => named(config, name, file),
        None => likely(config, file),
    };
    let (frontend, backend) = pair.map_err(|mistake| vec![mistake])?;
    let (vip, port) = listening(frontend);
    sketch.port = port;
    match vip {
        Some(vip) => sketch.vip = Some(Endpoint { vip, port }),
        None => sketch.untold = untold(frontend),
    }
    let mut known = BTreeSet::new();
    let mut mistakes = Vec::new();
    for server in &backend.servers {
        let label = label(&server.name);
        // Named on the command line, which knows better.
        if sketch.nodes.iter().any(|node| node.name == label) {
            continue;
        }
        let address = match (&server.address, server.unresolved) {
            (ServerAddress::Inet(address), false) => *address,
            (ServerAddress::Mapped { ip, offset }, false) => {
                let port = i32::from(port) + offset;
                SocketAddr::new(*ip, u16::try_from(port).unwrap_or(API_PORT))
            }
            (_, true) => {
                mistakes.push(format!(
                    "{}: the name '{}' of server '{}' is not known here; put its address into /etc/hosts, or \
                     name the control plane yourself: --control-plane {label}=ADDRESS",
                    server.place, server.host, server.name
                ));
                continue;
            }
            _ => {
                mistakes.push(format!(
                    "{}: server '{}' is no host of a network, and can be no control plane",
                    server.place, server.name
                ));
                continue;
            }
        };
        if let Err(why) = crate::inventory::usable(address.ip()) {
            mistakes.push(format!(
                "{}: the address of server '{}' {why}; name the control plane yourself: --control-plane \
                 {label}=ADDRESS",
                server.place, server.name
            ));
            continue;
        }
        let is_node = sketch.nodes.iter().any(|node| node.address == address.ip());
        if !known.insert(address.ip()) || is_node {
            continue;
        }
        if address.port() != API_PORT {
            sketch.notes.push(format!(
                "server '{}' has port {}; API servers that are made here listen on {API_PORT}",
                server.name,
                address.port()
            ));
        }
        let name = free_name(&label, sketch);
        sketch.nodes.push(Host {
            name,
            role: Role::ControlPlane,
            address: address.ip(),
        });
    }
    match mistakes.is_empty() {
        true => Ok(()),
        false => Err(mistakes),
    }
}

/// Why a frontend does not tell the VIP, with its place.
fn untold(frontend: &Frontend) -> Option<String> {
    let bind = frontend.binds.first()?;
    let what = match &bind.address {
        BindAddress::Inet(address) if address.ip().is_unspecified() => {
            "every address of its host".to_owned()
        }
        BindAddress::Inet(address) => format!("{}, which other hosts do not reach", address.ip()),
        _ => "no address of a network".to_owned(),
    };
    Some(format!(
        "{}: '{}' binds {what}, so that this file does not tell the VIP",
        bind.place, frontend.name
    ))
}

fn named<'c>(
    config: &'c Config,
    name: &str,
    file: &str,
) -> Result<(&'c Frontend, &'c Backend), String> {
    let found = pairs(config).find(|(frontend, _)| frontend.name == name);
    found.ok_or_else(|| {
        format!(
            "{file} has no frontend '{name}' with a backend of its own; it has {}",
            names(pairs(config).map(|(frontend, _)| frontend))
        )
    })
}

/// The pair that looks most like the API's.
fn likely<'c>(config: &'c Config, file: &str) -> Result<(&'c Frontend, &'c Backend), String> {
    let scored: Vec<_> = pairs(config)
        .map(|pair| (score(pair), pair))
        .filter(|(score, _)| *score >= LEAST_SCORE)
        .collect();
    let best = scored.iter().map(|(score, _)| *score).max();
    let best: Vec<_> = scored
        .into_iter()
        .filter(|(score, _)| Some(*score) == best)
        .map(|(_, pair)| pair)
        .collect();
    match best.as_slice() {
        [only] => Ok(*only),
        [] => Err(format!(
            "{file} has no frontend that looks like the API's; say which one it is: --frontend NAME (it has {})",
            names(pairs(config).map(|(frontend, _)| frontend))
        )),
        several => Err(format!(
            "several frontends of {file} look like the API's: {}; say which one it is: --frontend NAME",
            names(several.iter().map(|(frontend, _)| *frontend))
        )),
    }
}

fn names<'c>(frontends: impl Iterator<Item = &'c Frontend>) -> String {
    let names: Vec<_> = frontends
        .map(|frontend| format!("'{}'", frontend.name))
        .collect();
    match names.is_empty() {
        true => "none".to_owned(),
        false => names.join(", "),
    }
}

/// Frontends that send clients to servers.
fn pairs(config: &Config) -> impl Iterator<Item = (&Frontend, &Backend)> {
    config.frontends.iter().filter_map(|frontend| {
        let backend = config.backends.get(frontend.default_backend?.0)?;
        (!frontend.disabled && !backend.servers.is_empty()).then_some((frontend, backend))
    })
}

/// How much a pair looks like the API's; the port of the servers says most.
fn score((frontend, backend): (&Frontend, &Backend)) -> i32 {
    let ports = |wanted: &[u16]| {
        backend.servers.iter().any(|server| match &server.address {
            ServerAddress::Inet(address) => wanted.contains(&address.port()),
            _ => false,
        })
    };
    let (_, bound) = listening(frontend);
    let has = |words: &[&str]| {
        [&frontend.name, &backend.name].into_iter().any(|name| {
            let name = name.to_ascii_lowercase();
            words.iter().any(|word| name.contains(word))
        })
    };
    let mut score = 0;
    if ports(&[API_PORT]) {
        score += 8;
    }
    if bound == API_PORT {
        score += 4;
    }
    if has(&WORDS) {
        score += 2;
    }
    if has(&WEAK_WORDS) {
        score += 1;
    }
    if ports(&OTHER_PORTS) || OTHER_PORTS.contains(&bound) {
        score -= 8;
    }
    score
}

/// The address that a frontend binds, if it is one that others reach, and the port.
fn listening(frontend: &Frontend) -> (Option<IpAddr>, u16) {
    let addresses = || {
        frontend
            .binds
            .iter()
            .filter_map(|bind| match &bind.address {
                BindAddress::Inet(address) => Some(*address),
                _ => None,
            })
    };
    let one = addresses().find(|address| crate::inventory::usable(address.ip()).is_ok());
    let port = one.or_else(|| addresses().next());
    (
        one.map(|address| address.ip()),
        port.map_or(API_PORT, |address| address.port()),
    )
}

/// A name that a host may have: small letters, digits and hyphens, without a domain.
fn label(name: &str) -> String {
    let first = match name.parse::<IpAddr>() {
        Ok(_) => name,
        Err(_) => name.split('.').next().unwrap_or(name),
    };
    let small: String = first
        .to_ascii_lowercase()
        .chars()
        .map(|c| {
            if c.is_ascii_lowercase() || c.is_ascii_digit() {
                c
            } else {
                '-'
            }
        })
        .collect();
    small.trim_matches('-').chars().take(63).collect()
}

/// `name`, or a made one where it is empty, a number of four parts, or somebody's already.
fn free_name(name: &str, sketch: &Sketch) -> String {
    let is_taken = sketch.nodes.iter().any(|node| node.name == name);
    let is_address = name.replace('-', ".").parse::<IpAddr>().is_ok();
    match name.is_empty() || is_taken || is_address || name == "localhost" {
        true => sketch.next_name(Role::ControlPlane),
        false => name.to_owned(),
    }
}
