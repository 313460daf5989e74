//! Keeps the servers of names where their names are: what a resolver finds moves them, what it no
//! longer finds takes them out.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use evenkeel_config::{Prefer, Resolution, Resolvers, ServerAddress};
use evenkeel_health::{Found, Known, NameTally, Target, follow, seat};
use tokio::task::JoinSet;
use tracing::info;

use crate::backend::Backend;
use crate::log::Level;

/// The servers of one backend that share a name.
struct Group {
    backend: Arc<Backend>,
    /// Their places in it.
    servers: Vec<usize>,
}

/// The counters of a section's name servers, in their order.
pub(crate) type Tallies = Vec<Arc<NameTally>>;

/// Starts to follow every name of `backends`, each once; `tallies` are those of each section.
pub(crate) fn start(
    sections: &[Resolvers],
    tallies: &[Tallies],
    backends: &[Arc<Backend>],
    tasks: &mut JoinSet<()>,
) {
    let mut groups: BTreeMap<(usize, String, bool), Vec<Group>> = BTreeMap::new();
    for backend in backends {
        for server in &backend.servers {
            let Some(resolution) = &server.config.resolution else {
                continue;
            };
            let prefers_v6 = resolution.prefer == Prefer::V6;
            let name = server.state.fitness().fqdn.clone();
            let name = name.unwrap_or_else(|| resolution.name.clone());
            let key = (resolution.resolvers, name, prefers_v6);
            let groups = groups.entry(key).or_default();
            match groups.last_mut() {
                Some(group) if Arc::ptr_eq(&group.backend, backend) => {
                    group.servers.push(server.index);
                }
                _ => groups.push(Group {
                    backend: backend.clone(),
                    servers: vec![server.index],
                }),
            }
        }
    }
    for ((section, name, prefers_v6), groups) in groups {
        let tallies = tallies[section].clone();
        let section = sections[section].clone();
        let prefer = if prefers_v6 { Prefer::V6 } else { Prefer::V4 };
        let is_known = groups.iter().any(Group::is_known);
        tasks.spawn(async move {
            let by = section.clone();
            match follow(section, tallies.clone(), name, prefer, is_known, |known| {
                for group in &groups {
                    let moves = group.take(&known, &by.name);
                    if let (true, Known::Found(found)) = (moves, &known) {
                        let mut servers = by.nameservers.iter().zip(&tallies);
                        let server = servers.find(|(server, _)| *server.name == *found.by);
                        server.inspect(|(_, tally)| tally.note_update());
                    }
                }
            })
            .await {}
        });
    }
}

impl Group {
    /// Whether a server has an address that an earlier generation's resolver found.
    fn is_known(&self) -> bool {
        self.servers.iter().any(|&index| {
            let fitness = self.backend.servers[index].state.fitness();
            !fitness.admin.unresolved && fitness.is_moved()
        })
    }

    /// Whether that moved a server.
    fn take(&self, known: &Known, section: &str) -> bool {
        match known {
            Known::Found(found) => self.found(found, section),
            Known::Lost(missing) => {
                for &index in &self.servers {
                    let why = match self.resolution(index) {
                        Some(resolution) if resolution.is_service() => SERVICE_GONE.to_owned(),
                        _ => missing.to_string(),
                    };
                    self.lose(index, &why);
                }
                false
            }
        }
    }

    fn found(&self, found: &Found, section: &str) -> bool {
        let current: Vec<Option<SocketAddr>> = self
            .servers
            .iter()
            .map(|&index| self.place(index))
            .collect();
        let Some(resolution) = self
            .servers
            .first()
            .and_then(|&index| self.resolution(index))
        else {
            return false;
        };
        let targets = &found.targets;
        let may_share = resolution.allows_duplicates;
        let seats = seat(&current, targets, &resolution.nets, may_share);
        let mut is_first = true;
        for ((&index, seat), place) in self.servers.iter().zip(seats).zip(current) {
            match seat {
                Some(seat) => {
                    // HAProxy tells the name server once; others of the same answer come from
                    // what it remembers.
                    let by = if is_first {
                        format!("{section}/{}", found.by)
                    } else {
                        "DNS cache".to_owned()
                    };
                    is_first &= !self.settle(index, &targets[seat], place, &by);
                }
                None if resolution.is_service() => self.lose(index, SERVICE_GONE),
                // The space is HAProxy's.
                None => self.lose(index, "No IP for server "),
            }
        }
        !is_first
    }

    /// Has the server be at `target`; whether it was elsewhere.
    fn settle(&self, index: usize, target: &Target, place: Option<SocketAddr>, by: &str) -> bool {
        let backend = &self.backend;
        let server = &backend.servers[index];
        let address = at(&server.config.address, target);
        let is_moved = place.map(|place| place.ip()) != Some(target.ip);
        if is_moved {
            if let Some(service) = &target.service {
                self.say(&format!(
                    "{}/{} changed its FQDN from (null) to {} by 'SRV record'",
                    backend.config.name, server.config.name, service.host
                ));
            }
            let before = place.map_or_else(|| "(none)".to_owned(), |place| place.ip().to_string());
            self.say(&format!(
                "{}/{}: IP changed from '{before}' to '{}' by '{by}'.",
                backend.config.name, server.config.name, target.ip
            ));
        }
        let (weight, is_elsewhere, is_unresolved) = {
            let fitness = server.state.fitness();
            let is_elsewhere = fitness.address != address;
            (fitness.weight, is_elsewhere, fitness.admin.unresolved)
        };
        if is_elsewhere {
            backend.set_address(index, address);
        }
        let service = target.service.as_ref();
        let counts = |_: &_| {
            self.resolution(index)
                .is_some_and(|own| !own.ignores_weight)
        };
        if let Some(service) = service.filter(counts).filter(|one| one.weight != weight) {
            // A static algorithm keeps to the file's.
            let _ = backend.set_weight(index, service.weight);
        }
        if is_unresolved {
            let own = server.state.fitness().fqdn.clone();
            let own = own.unwrap_or_else(|| server.config.host.clone());
            let host = service.map_or(&*own, |service| &service.host);
            backend.set_resolved(index, true, "resolves again", host);
        }
        is_moved
    }

    fn lose(&self, index: usize, why: &str) {
        let is_unresolved = self.backend.servers[index].state.fitness().admin.unresolved;
        if !is_unresolved {
            self.backend.set_resolved(index, false, why, "");
        }
    }

    fn resolution(&self, index: usize) -> Option<&Resolution> {
        self.backend.servers[index].config.resolution.as_ref()
    }

    /// Where the server is now; `None`: nowhere.
    fn place(&self, index: usize) -> Option<SocketAddr> {
        let fitness = self.backend.servers[index].state.fitness();
        match fitness.address {
            _ if fitness.admin.unresolved => None,
            ServerAddress::Inet(address) => Some(address),
            ServerAddress::Mapped { ip, .. } => Some(SocketAddr::new(ip, 0)),
            ServerAddress::Unix(_) | ServerAddress::Abstract(_) => None,
        }
    }

    fn say(&self, message: &str) {
        self.backend.log.send(Level::Notice, message);
        info!("{message}");
    }
}

const SERVICE_GONE: &str = "entry removed from SRV record";

/// The configured address with what was found for its host.
fn at(configured: &ServerAddress, target: &Target) -> ServerAddress {
    match (configured, &target.service) {
        (ServerAddress::Inet(_), Some(service)) => {
            ServerAddress::Inet(SocketAddr::new(target.ip, service.port))
        }
        (ServerAddress::Inet(address), None) => {
            ServerAddress::Inet(SocketAddr::new(target.ip, address.port()))
        }
        (ServerAddress::Mapped { offset, .. }, _) => ServerAddress::Mapped {
            ip: target.ip,
            offset: *offset,
        },
        (fixed, _) => fixed.clone(),
    }
}
