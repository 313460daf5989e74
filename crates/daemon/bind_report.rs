//! Says why an address could not be bound, by whom it is taken, and what to do about it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use evenkeel_config::{BindAddress, Problem};
use evenkeel_proxy::{AbsentAddress, BindError, describe};
use nix::ifaddrs::getifaddrs;

use crate::port_owner::{Owner, owner_of, unit_of};
use crate::service;

/// Ports below this one need a privilege (unless net.ipv4.ip_unprivileged_port_start says less).
const FIRST_UNPRIVILEGED_PORT: u16 = 1024;

/// Whether the process could still be started so that it takes over a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// A start that replaces nobody.
    Start,
    /// A start with `-sf` or `-st`, which did not help.
    TakeOver,
    /// A reload.
    Reload,
    /// The same, opened for the process with this id by its keeper.
    ReloadOf(u32),
}

/// Why an address cannot be listened on.
pub(crate) fn reason(error: &BindError, moment: Moment) -> String {
    explained(&error.address, &error.source, moment)
}

/// A bind that failed, as a problem of the line that asks for it.
pub(crate) fn refused(error: &BindError, moment: Moment) -> Problem {
    // What takes commands is no frontend.
    let who = match error.frontend.as_str() {
        "stats socket" => "the stats socket".to_owned(),
        "-S" => "the master".to_owned(),
        name => format!("frontend '{name}'"),
    };
    let message = format!(
        "{who} cannot listen on {}: {}",
        describe(&error.address),
        reason(error, moment)
    );
    Problem::error(error.place.clone(), message)
}

/// Why metrics cannot be served at `address`.
pub(crate) fn refused_admin(address: SocketAddr, error: &io::Error, moment: Moment) -> String {
    let why = explained(&BindAddress::Inet(address), error, moment);
    format!("cannot serve metrics at {address}: {why}")
}

/// An address that no interface has, as a warning of the line that asks for it.
pub(crate) fn absent(address: &AbsentAddress) -> Problem {
    let message = format!(
        "no interface of this machine has {}; it is listened on and serves once it arrives (interfaces: {})",
        address.address.ip(),
        interfaces()
    );
    Problem::warning(address.place.clone(), message)
}

fn explained(address: &BindAddress, error: &io::Error, moment: Moment) -> String {
    match (address, error.kind()) {
        (BindAddress::Inet(address), io::ErrorKind::AddrInUse) => match owner_of(*address) {
            Some(owner) => taken(&owner, moment),
            None => match unit_of(*address) {
                Some(unit) => format!("the port is taken by a process of {unit}; stop it first (systemctl stop {unit})"),
                None => "the port is taken by a process that cannot be seen from here; 'ss -ltnp' run as root names it"
                    .to_owned(),
            },
        },
        (BindAddress::Inet(address), io::ErrorKind::PermissionDenied) if address.port() < FIRST_UNPRIVILEGED_PORT => {
            format!(
                "permission denied: port {} needs root or CAP_NET_BIND_SERVICE \
                 (AmbientCapabilities=CAP_NET_BIND_SERVICE in the systemd unit)",
                address.port()
            )
        }
        (BindAddress::Inet(_), io::ErrorKind::PermissionDenied) => {
            "permission denied; 'interface' and 'transparent' need root or CAP_NET_ADMIN".to_owned()
        }
        (BindAddress::Inet(_), io::ErrorKind::AddrNotAvailable) => {
            format!("address not available (interfaces: {})", interfaces())
        }
        (BindAddress::Unix(path), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) => {
            let directory = path.parent().unwrap_or(Path::new("/")).display();
            let advice = service::as_root().map_or_else(String::new, |how| {
                format!("; name a place in /run/evenkeel, which the service has, or {how}")
            });
            format!("{error}: its directory {directory} must be there and this process's to write{advice}")
        }
        _ => error.to_string(),
    }
}

/// By whom, and what to do: only a balancer gives way to `-sf`.
fn taken(owner: &Owner, moment: Moment) -> String {
    let own = match moment {
        Moment::ReloadOf(server) => server,
        _ => std::process::id(),
    };
    if owner.pid == own {
        return "this process listens there already, for another line".to_owned();
    }
    let gives_way = matches!(owner.command.as_str(), "haproxy" | "evenkeel");
    let advice = match moment {
        Moment::Start if gives_way => {
            format!(
                "stop it first, or start with -sf {} to take over from it",
                owner.pid
            )
        }
        Moment::TakeOver if gives_way => {
            "stop it first: it does not share the port (has it another user?)".to_owned()
        }
        _ => "stop it first".to_owned(),
    };
    format!("the port is taken by {owner}; {advice}")
}

/// `lo 127.0.0.1 ::1, eth0 10.0.1.9`.
fn interfaces() -> String {
    let mut found: BTreeMap<String, Vec<IpAddr>> = BTreeMap::new();
    for interface in getifaddrs().into_iter().flatten() {
        let addresses = found.entry(interface.interface_name).or_default();
        let Some(address) = interface.address else {
            continue;
        };
        if let Some(ip) = address.as_sockaddr_in() {
            addresses.push(ip.ip().into());
        } else if let Some(ip) = address.as_sockaddr_in6() {
            addresses.push(ip.ip().into());
        }
    }
    let mut text = String::new();
    for (name, addresses) in found {
        let separator = if text.is_empty() { "" } else { ", " };
        let _ = write!(text, "{separator}{name}");
        for address in addresses {
            let _ = write!(text, " {address}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn inet(address: &str) -> BindAddress {
        BindAddress::Inet(address.parse().unwrap())
    }

    #[test]
    fn only_a_balancer_is_taken_over_from() {
        for (command, moment, expected) in [
            (
                "haproxy",
                Moment::Start,
                "haproxy (pid 1); stop it first, or start with -sf 1 to take over from it",
            ),
            (
                "evenkeel",
                Moment::Start,
                "evenkeel (pid 1); stop it first, or start with -sf 1 to take over from it",
            ),
            (
                "kube-apiserver",
                Moment::Start,
                "kube-apiserver (pid 1); stop it first",
            ),
            (
                "evenkeel",
                Moment::Reload,
                "evenkeel (pid 1); stop it first",
            ),
            (
                "haproxy",
                Moment::TakeOver,
                "haproxy (pid 1); stop it first: it does not share the port (has it another user?)",
            ),
        ] {
            let owner = Owner {
                pid: 1,
                command: command.to_owned(),
            };
            assert_eq!(
                taken(&owner, moment),
                format!("the port is taken by {expected}")
            );
        }
    }

    #[test]
    fn a_port_of_our_own_is_told_as_such() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        assert_eq!(
            refused_admin(address, &io::ErrorKind::AddrInUse.into(), Moment::Start),
            format!(
                "cannot serve metrics at {address}: this process listens there already, for another line"
            )
        );
    }

    #[test]
    fn a_low_port_names_the_capability() {
        let denied = || io::Error::from(io::ErrorKind::PermissionDenied);
        assert!(
            explained(&inet("127.0.0.1:443"), &denied(), Moment::Start)
                .contains("port 443 needs root or CAP_NET_BIND_SERVICE")
        );
        assert!(
            !explained(&inet("127.0.0.1:6443"), &denied(), Moment::Start)
                .contains("CAP_NET_BIND_SERVICE")
        );
    }

    #[test]
    fn interfaces_are_named_with_their_addresses() {
        assert!(interfaces().contains("lo 127.0.0.1"), "{}", interfaces());
    }
}
