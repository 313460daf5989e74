//! Sections of name servers, and which of them keeps a server's name resolved.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use super::{Resolver, value};
use crate::address::{self, Address, Host, Port};
use crate::draft::{ResolutionDraft, ResolversDraft, Spanned};
use crate::{Hold, Nameserver, Place, Prefer, Resolution, Resolvers};

const DNS_PORT: u16 = 53;
const RETRIES: u32 = 3;
const RESOLVE: Duration = Duration::from_secs(1);
const RETRY: Duration = Duration::from_secs(1);
const HOLD: Duration = Duration::from_secs(30);
/// What every name server must be able to send (RFC 6891).
const PAYLOAD_BYTES: u16 = 512;
/// The section that is there without being written, of the system's name servers.
const SYSTEM: &str = "default";
const RESOLV_CONF: &str = "/etc/resolv.conf";

impl Resolver<'_> {
    pub(super) fn read_resolvers(&mut self, drafts: Vec<ResolversDraft>) {
        let mut seen: HashMap<String, Place> = HashMap::new();
        for draft in &drafts {
            if let Some(first) = seen.insert(draft.name.value.clone(), draft.place.clone()) {
                let message = format!(
                    "resolvers '{}' are declared at {}:{} already; rename one",
                    draft.name.value, first.file, first.line
                );
                self.error(&draft.name.place, message);
            }
        }
        for draft in drafts {
            let section = self.resolvers_section(draft);
            self.resolvers.push(section);
        }
    }

    fn resolvers_section(&mut self, draft: ResolversDraft) -> Resolvers {
        let mut nameservers: Vec<Nameserver> = Vec::with_capacity(draft.nameservers.len());
        for (name, address) in &draft.nameservers {
            if nameservers.iter().any(|known| known.name == name.value) {
                let message = format!("there is already a nameserver '{}'; rename one", name.value);
                self.error(&name.place, message);
            }
            match nameserver(&name.value, &address.value) {
                Ok(nameserver) => nameservers.push(nameserver),
                Err(message) => self.error(&address.place, format!("'nameserver': {message}")),
            }
        }
        if let Some(system) = draft.system.filter(|said| said.value) {
            match self.system_nameservers() {
                Ok(found) => nameservers.extend(found),
                Err(error) => {
                    let message = format!("cannot read {RESOLV_CONF}: {error}; write 'nameserver'");
                    self.error(&system.place, message);
                }
            }
        }
        let section = Resolvers {
            name: draft.name.value,
            place: draft.place,
            nameservers,
            retries: value(draft.retries).unwrap_or(RETRIES),
            resolve: value(draft.resolve).unwrap_or(RESOLVE),
            retry: value(draft.retry).unwrap_or(RETRY),
            hold: Hold {
                nx: value(draft.hold.nx).unwrap_or(HOLD),
                refused: value(draft.hold.refused).unwrap_or(HOLD),
                timeout: value(draft.hold.timeout).unwrap_or(HOLD),
                other: value(draft.hold.other).unwrap_or(HOLD),
                obsolete: value(draft.hold.obsolete).unwrap_or(Duration::ZERO),
            },
            payload_bytes: value(draft.payload_bytes).unwrap_or(PAYLOAD_BYTES),
        };
        if section.nameservers.is_empty() {
            let message = format!(
                "resolvers '{}' have no nameserver: names are never found",
                section.name
            );
            self.warning(&section.place, message);
        }
        section
    }

    fn system_nameservers(&self) -> std::io::Result<Vec<Nameserver>> {
        let text = (self.environment.read)(Path::new(RESOLV_CONF))?;
        Ok(resolv_conf(&String::from_utf8_lossy(&text)))
    }

    /// How the name of a server is kept resolved; `None`: it is not, or it is no name.
    pub(super) fn resolution(&mut self, draft: &ResolutionDraft, host: &str) -> Option<Resolution> {
        let wanted = draft.resolvers.as_ref()?;
        let mut known = self.resolvers.iter();
        let resolvers = match known.position(|one| one.name == wanted.value) {
            Some(index) => index,
            None if wanted.value == SYSTEM => {
                let mut section = ResolversDraft::new(wanted.clone(), wanted.place.clone());
                section.system = Some(Spanned::new(true, wanted.place.clone()));
                let section = self.resolvers_section(section);
                self.resolvers.push(section);
                self.resolvers.len() - 1
            }
            None => {
                let names = self.resolvers.iter().map(|one| one.name.as_str());
                let hint = super::did_you_mean(&wanted.value, names);
                let message = format!("there are no resolvers '{}'{hint}", wanted.value);
                self.error(&wanted.place, message);
                return None;
            }
        };
        if host.is_empty() {
            return None;
        }
        Some(Resolution {
            resolvers,
            name: host.to_owned(),
            prefer: value(draft.prefer.clone()).unwrap_or(Prefer::V6),
            nets: value(draft.nets.clone()).unwrap_or_default(),
            allows_duplicates: value(draft.allows_duplicates.clone()).unwrap_or(false),
            ignores_weight: value(draft.ignores_weight.clone()).unwrap_or(false),
        })
    }
}

fn nameserver(name: &str, text: &str) -> Result<Nameserver, String> {
    let is_tcp = text.starts_with("tcp@") || text.starts_with("tcp4@") || text.starts_with("tcp6@");
    // Without a port, the last colon of a bare IPv6 address is not the port's.
    let address = match text.parse::<IpAddr>() {
        Ok(ip) => SocketAddr::new(ip, DNS_PORT),
        Err(_) => {
            let parsed = if is_tcp {
                address::parse(text)?
            } else {
                address::parse_datagram(text)?
            };
            let Address::Inet {
                host: Host::Ip(ip),
                port,
                ..
            } = parsed
            else {
                return Err(format!("'{text}' is no IP address of a name server"));
            };
            let port = match port {
                Port::Missing => DNS_PORT,
                Port::One(port) if port > 0 => port,
                _ => return Err(format!("one port is needed in '{text}'")),
            };
            SocketAddr::new(ip, port)
        }
    };
    Ok(Nameserver {
        name: name.to_owned(),
        address,
        is_tcp,
    })
}

/// The name servers that resolv.conf(5) names, each called by its address.
fn resolv_conf(text: &str) -> Vec<Nameserver> {
    let address = |line: &str| {
        let mut words = line.split_whitespace();
        (words.next() == Some("nameserver")).then_some(())?;
        words.next()?.parse::<IpAddr>().ok()
    };
    text.lines()
        .filter_map(address)
        .map(|ip| Nameserver {
            name: ip.to_string(),
            address: SocketAddr::new(ip, DNS_PORT),
            is_tcp: false,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nameservers_by_address() {
        let check = |text: &str, expected: Option<(&str, bool)>| {
            let found = nameserver("n", text).ok();
            let found = found.map(|one| (one.address.to_string(), one.is_tcp));
            let expected = expected.map(|(address, is_tcp)| (address.to_owned(), is_tcp));
            assert_eq!(found, expected, "{text}");
        };
        check("10.0.0.1", Some(("10.0.0.1:53", false)));
        check("10.0.0.1:5353", Some(("10.0.0.1:5353", false)));
        check("udp@10.0.0.1", Some(("10.0.0.1:53", false)));
        check("tcp@10.0.0.1:54", Some(("10.0.0.1:54", true)));
        check("fd00::1", Some(("[fd00::1]:53", false)));
        check("[fd00::1]:54", Some(("[fd00::1]:54", false)));
        check("dns.example", None);
        check("10.0.0.1:0", None);
        check("10.0.0.1:1-2", None);
        check("/run/dns", None);
    }

    #[test]
    fn nameservers_of_the_system() {
        let found = resolv_conf("# x\nsearch a b\nnameserver 10.0.0.1\n nameserver\tfd00::1 # y\n");
        let found: Vec<_> = found.iter().map(|one| one.address.to_string()).collect();
        assert_eq!(found, ["10.0.0.1:53", "[fd00::1]:53"]);
    }
}
