//! `set server`: what is changed of one server.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use evenkeel_config::ServerAddress;
use evenkeel_proxy::{AdminState, Proxy, SaidHealth, ServerAt};

use super::change::{Changed, answer, server, set_weight_of};
use super::{Reply, Request};

const NO_PORT_FOR_CHECKS: &str = "can't change <port> to port map because it is incompatible with current health check port configuration (use 'port' statement from the 'server' directive).";
const BY: &str = "by 'stats socket command'";

/// `set server <bk>/<srv> ...`.
pub(super) fn set_server(proxy: &mut Proxy, request: &Request<'_>) -> Reply {
    answer(server(proxy, request.arguments.first()).map(|at| {
        let word = |index: usize| request.arguments.get(index).copied().unwrap_or_default();
        match word(1) {
            "state" => set_state(proxy, at, word(2)),
            "health" => set_health(proxy, at, word(2)),
            "weight" => answer(set_weight_of(proxy, at, word(2))),
            "addr" => answer(set_address(proxy, at, &request.arguments[2..])),
            "agent" | "agent-send" if !proxy.asks_agent(at) => {
                Reply::refused("agent checks are not enabled on this server.")
            }
            "agent" => set_agent(proxy, at, word(2)),
            "agent-addr" | "agent-port" if !proxy.asks_agent(at) => {
                Reply::refused("agent checks are not enabled on this server")
            }
            "check-addr" | "check-port" if !proxy.runs_checks(at) => {
                Reply::refused("health checks are not enabled on this server")
            }
            "check-addr" | "agent-addr" => answer(set_probe_address(proxy, at, &request.arguments[1..])),
            "check-port" | "agent-port" => answer(set_probe_port(proxy, at, word(1), word(2))),
            "agent-send" => {
                proxy.set_agent_words(at, word(2).as_bytes());
                Reply::Done
            }
            "fqdn" if word(2).is_empty() => {
                Reply::refused("set server <b>/<s> fqdn requires a FQDN.")
            }
            "fqdn" => match proxy.set_fqdn(at, word(2)) {
                Some(before) => Reply::told(format!(
                    "{} changed its FQDN from {before} to {} {BY}",
                    request.arguments[0],
                    word(2)
                )),
                None => Reply::refused(
                    "set server <b>/<s> fqdn failed because no resolution is configured.",
                ),
            },
            "ssl" => Reply::refused(
                "'set server <srv> ssl' cannot be set.  default-server should define ssl settings",
            ),
            _ => Reply::refused(
                "usage: set server <backend>/<server> addr | agent | agent-addr | agent-port | agent-send | check-addr | check-port | fqdn | health | ssl | state | weight",
            ),
        }
    }))
}

fn set_state(proxy: &mut Proxy, at: ServerAt, word: &str) -> Reply {
    let state = match word {
        "ready" => AdminState::Ready,
        "drain" => AdminState::Drain,
        "maint" => AdminState::Maint,
        _ => {
            let message = "'set server <srv> state' expects 'ready', 'drain' and 'maint'.";
            return Reply::refused(message);
        }
    };
    proxy.set_admin(at, state);
    Reply::Done
}

fn set_health(proxy: &mut Proxy, at: ServerAt, word: &str) -> Reply {
    if proxy.tracks(at) {
        return Reply::refused("cannot change health on a tracking server.");
    }
    let health = match word {
        "up" => SaidHealth::Up,
        "stopping" => SaidHealth::Stopping,
        "down" => SaidHealth::Down,
        _ => {
            let message = "'set server <srv> health' expects 'up', 'stopping', or 'down'.";
            return Reply::refused(message);
        }
    };
    proxy.set_health(at, health);
    Reply::Done
}

fn set_agent(proxy: &mut Proxy, at: ServerAt, word: &str) -> Reply {
    let is_up = match word {
        "up" => true,
        "down" => false,
        _ => return Reply::refused("'set server <srv> agent' expects 'up' or 'down'."),
    };
    proxy.set_agent(at, is_up);
    Reply::Done
}

/// `check-addr A [port P]`, `agent-addr A [port P]`.
fn set_probe_address(proxy: &mut Proxy, at: ServerAt, arguments: &[&str]) -> Changed {
    let (what, rest) = arguments.split_first().unwrap_or((&"", &[]));
    let Some(text) = rest.first() else {
        return Err(Reply::refused(format!(
            "set server <b>/<s> {what} requires an address and optionally a port."
        )));
    };
    let Ok(ip) = text.parse::<IpAddr>() else {
        return Err(Reply::refused(format!("invalid addr '{text}'")));
    };
    let port = match rest {
        [_, "port", port, ..] => Some(probe_port(port)?),
        _ => None,
    };
    if *what == "check-addr" {
        proxy.set_check_place(at, Some(ip), port);
    } else {
        proxy.set_agent_place(at, Some(ip), port);
    }
    Ok(Reply::Done)
}

/// `check-port P`, `agent-port P`.
fn set_probe_port(proxy: &mut Proxy, at: ServerAt, what: &str, word: &str) -> Changed {
    if word.is_empty() {
        return Err(Reply::refused(format!(
            "set server <b>/<s> {what} requires a port."
        )));
    }
    let port = Some(probe_port(word)?);
    if what == "check-port" {
        proxy.set_check_place(at, None, port);
    } else {
        proxy.set_agent_place(at, None, port);
    }
    Ok(Reply::Done)
}

fn probe_port(text: &str) -> Result<u16, Reply> {
    let number = text.parse::<i64>();
    let number = number.map_err(|_| Reply::refused("provided port is not an integer"))?;
    u16::try_from(number).map_err(|_| Reply::refused("provided port is invalid"))
}

/// `set server ... addr A [port P]`.
fn set_address(proxy: &mut Proxy, at: ServerAt, arguments: &[&str]) -> Changed {
    let Some(text) = arguments.first() else {
        return Err(Reply::refused(
            "set server <b>/<s> addr requires an address and optionally a port.",
        ));
    };
    let Ok(ip) = text.parse::<IpAddr>() else {
        return Err(Reply::refused(format!("Invalid addr '{text}'")));
    };
    let old = proxy.address(at);
    let (old_ip, old_port) = match &old {
        ServerAddress::Inet(address) => (address.ip(), Port::Fixed(address.port())),
        ServerAddress::Mapped { ip, offset } => (*ip, Port::moved(*offset)),
        ServerAddress::Unix(_) | ServerAddress::Abstract(_) => {
            return Err(Reply::refused("a server on a Unix socket has no address"));
        }
    };
    let mut is_refused = false;
    let port = match arguments {
        [_, "port", rest @ ..] => {
            let text = rest.first().copied().unwrap_or_default();
            let port = Port::parse(text).ok_or_else(|| {
                Reply::refused(format!("problem converting port '{text}' to an int"))
            })?;
            // A check that has no port of its own would have none.
            is_refused = matches!(port, Port::Moved(_)) && proxy.is_checked_at_its_port(at);
            if is_refused { old_port } else { port }
        }
        _ => old_port,
    };
    let new = match port {
        Port::Fixed(port) => ServerAddress::Inet(SocketAddr::new(ip, port)),
        Port::Moved(offset) => ServerAddress::Mapped {
            ip,
            offset: (offset as i16).into(),
        },
    };
    let mut changes = Vec::new();
    if ip != old_ip {
        changes.push(format!("IP changed from '{old_ip}' to '{ip}'"));
    }
    if port != old_port {
        changes.push(format!("port changed from '{old_port}' to '{port}'"));
    }
    if !changes.is_empty() && is_refused {
        changes.push(NO_PORT_FOR_CHECKS.to_owned());
    }
    if changes.is_empty() {
        return Ok(Reply::told("nothing changed"));
    }
    proxy.set_address(at, new);
    Ok(Reply::told(format!("{} {BY}", changes.join(", "))))
}

/// A port as a server's address has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Port {
    Fixed(u16),
    /// The client's, moved by so much; HAProxy counts in 16 bits.
    Moved(u16),
}

impl Port {
    fn moved(offset: i32) -> Self {
        // Within 16 bits by taking what is left.
        Self::Moved(offset.rem_euclid(1 << 16) as u16)
    }

    /// `8080`, `+1`, `-1`. What is no port is refused, of which HAProxy takes what it can.
    fn parse(text: &str) -> Option<Self> {
        match text.strip_prefix('+') {
            Some(digits) if digits.starts_with(|c: char| c.is_ascii_digit()) => {
                digits.parse().ok().map(Self::Moved)
            }
            Some(_) => None,
            None if text.starts_with('-') => {
                text.parse::<i16>().ok().map(|o| Self::moved(o.into()))
            }
            None => text.parse().ok().filter(|&port| port > 0).map(Self::Fixed),
        }
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(port) => write!(f, "{port}"),
            Self::Moved(offset) => write!(f, "+{offset}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_fixed_or_moved() {
        let shown = |text: &str| Port::parse(text).map(|port| port.to_string());
        assert_eq!(shown("8080").as_deref(), Some("8080"));
        assert_eq!(shown("+1").as_deref(), Some("+1"));
        assert_eq!(shown("-1").as_deref(), Some("+65535"));
        for wrong in ["", "+", "-", "++1", "+x", "0", "70000", "80x"] {
            assert_eq!(shown(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_is_no_port_of_a_check_is_told_so() {
        let wrong = |text: &str| probe_port(text).err();
        assert_eq!(probe_port("0"), Ok(0));
        assert_eq!(
            wrong("x"),
            Some(Reply::refused("provided port is not an integer"))
        );
        assert_eq!(
            wrong("-1"),
            Some(Reply::refused("provided port is invalid"))
        );
        assert_eq!(
            wrong("65536"),
            Some(Reply::refused("provided port is invalid"))
        );
    }
}
