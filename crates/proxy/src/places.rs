//! Where a server is checked and where its agent is asked: what its line says, or a command since
//! (`set server ... check-addr`, `agent-port`), and where the server itself is now.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use evenkeel_config as config;
use evenkeel_config::{OwnPlace, ServerAddress};

/// What check and agent have of their own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Places {
    pub(crate) check: OwnPlace,
    pub(crate) agent: AgentPlace,
}

/// Where an agent is, and what it is sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct AgentPlace {
    /// `None`: where the server is.
    pub(crate) ip: Option<IpAddr>,
    pub(crate) port: u16,
    pub(crate) send: Arc<[u8]>,
}

impl Places {
    pub(crate) fn of(server: &config::Server) -> Self {
        let check = server.check.as_ref();
        let own = check.map(|check| check.own).unwrap_or_default();
        let agent = server.agent.as_ref();
        Self {
            check: own,
            agent: match agent {
                Some(agent) => AgentPlace {
                    ip: agent.own_ip,
                    port: agent.address.port(),
                    send: agent.send.as_slice().into(),
                },
                // HAProxy tells where an agent would be.
                None => AgentPlace {
                    ip: own.ip,
                    port: own.port.unwrap_or_default(),
                    send: Arc::default(),
                },
            },
        }
    }
}

/// Where a server is checked that is now at `now`.
pub(crate) fn checked_at(own: OwnPlace, now: &ServerAddress) -> ServerAddress {
    let (now_ip, now_port) = ends(now);
    match (own.ip.or(now_ip), own.port.or(now_port)) {
        (Some(ip), Some(port)) => ServerAddress::Inet(SocketAddr::new(ip, port)),
        // The first step of the check names a port of its own.
        (Some(ip), None) => ServerAddress::Mapped { ip, offset: 0 },
        (None, _) => now.clone(),
    }
}

/// `agent` as it is to be asked of a server that is now at `now`.
pub(crate) fn asked_at(
    agent: &config::Agent,
    place: &AgentPlace,
    now: &ServerAddress,
) -> config::Agent {
    let ip = place.ip.or(ends(now).0);
    config::Agent {
        address: SocketAddr::new(ip.unwrap_or_else(|| agent.address.ip()), place.port),
        send: place.send.to_vec(),
        ..agent.clone()
    }
}

fn ends(address: &ServerAddress) -> (Option<IpAddr>, Option<u16>) {
    match address {
        ServerAddress::Inet(address) => (Some(address.ip()), Some(address.port())),
        ServerAddress::Mapped { ip, .. } => (Some(*ip), None),
        ServerAddress::Unix(_) | ServerAddress::Abstract(_) => (None, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inet(text: &str) -> ServerAddress {
        ServerAddress::Inet(text.parse().unwrap())
    }

    #[test]
    fn checks_follow_their_server_but_for_what_they_have_of_their_own() {
        let check = |ip: Option<&str>, port, now: &ServerAddress| {
            let ip = ip.map(|ip| ip.parse().unwrap());
            checked_at(OwnPlace { ip, port }, now)
        };
        let now = inet("10.0.0.7:7443");
        assert_eq!(check(None, None, &now), now);
        assert_eq!(check(None, Some(9000), &now), inet("10.0.0.7:9000"));
        assert_eq!(check(Some("10.9.9.9"), None, &now), inet("10.9.9.9:7443"));
        let mapped = ServerAddress::Mapped {
            ip: "10.0.0.7".parse().unwrap(),
            offset: 3,
        };
        assert_eq!(check(None, Some(9000), &mapped), inet("10.0.0.7:9000"));
        let unix = ServerAddress::Unix("/run/s".into());
        assert_eq!(check(None, Some(9000), &unix), unix);
        let own = check(Some("::1"), Some(9000), &unix);
        assert_eq!(own, inet("[::1]:9000"));
    }
}
