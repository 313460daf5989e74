//! Where a connection to a server comes from (HAProxy manual, `source`): the socket is bound
//! before it connects, to one port of a range after the other.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};

use evenkeel_config::{ConnectFrom, Instead};
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::IpBindAddressNoPort;
use rustix::io::Errno;
use socket2::{SockAddr, SockRef};

/// Ports of a range that one connect tries before it gives up: enough to pass by those in use,
/// few enough that a range which is used up does not hold the thread up.
const MOST_PORTS: usize = 1024;

/// Whose turn it is among the ports of a server's range: the one that was used longest ago is the
/// one most likely free.
#[derive(Debug, Default)]
pub struct PortTurn(AtomicU16);

/// Opens a socket with `open`, binds it as `from` says and hands it to `connect`; where its port
/// is in use, tries the next one of the range. `client` is in whose name the connection is made;
/// `None`: this process's own.
///
/// # Errors
/// What `open` or `connect` says, or why the address cannot be connected from: `AddrInUse` where
/// every port of the range is in use.
pub fn connect_from<S: std::os::fd::AsFd, T>(
    from: &ConnectFrom,
    turn: &PortTurn,
    target: IpAddr,
    client: Option<SocketAddr>,
    open: impl Fn() -> io::Result<S>,
    connect: impl Fn(S) -> io::Result<T>,
) -> io::Result<T> {
    let (address, is_foreign) = address(from, target, client);
    let ports = from.ports.clone().filter(|_| !is_foreign);
    let tries = ports.as_ref().map_or(1, ExactSizeIterator::len);
    for _ in 0..tries.min(MOST_PORTS) {
        let port = match &ports {
            Some(ports) => next_port(ports.clone(), turn),
            None => address.port(),
        };
        let socket = open()?;
        let has_range = tries > 1;
        match bind(
            &socket,
            from,
            SocketAddr::new(address.ip(), port),
            is_foreign,
        ) {
            Err(error) if has_range && error.kind() == io::ErrorKind::AddrInUse => continue,
            bound => bound?,
        }
        match connect(socket) {
            // The same two ends are connected already.
            Err(error) if has_range && is_taken(&error) => {}
            connected => return connected,
        }
    }
    Err(io::ErrorKind::AddrInUse.into())
}

fn is_taken(error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    errno == Some(Errno::ADDRNOTAVAIL) || errno == Some(Errno::ADDRINUSE)
}

fn next_port(ports: std::ops::RangeInclusive<u16>, turn: &PortTurn) -> u16 {
    let count = u32::from(*ports.end() - *ports.start()) + 1;
    let turn = u32::from(turn.0.fetch_add(1, Relaxed)) % count;
    *ports.start() + u16::try_from(turn).unwrap_or(0)
}

/// The address to bind, and whether it is not this machine's.
fn address(from: &ConnectFrom, target: IpAddr, client: Option<SocketAddr>) -> (SocketAddr, bool) {
    let own = SocketAddr::new(from.address, 0);
    let foreign = match (from.instead, client) {
        (Some(Instead::Client), Some(client)) => Some(client),
        (Some(Instead::ClientIp), Some(client)) => Some(SocketAddr::new(client.ip(), 0)),
        (Some(Instead::Address(address)), Some(_)) => Some(address),
        _ => None,
    };
    let address = foreign.unwrap_or(own);
    let ip = match (address.ip().to_canonical(), target.to_canonical()) {
        (ip, IpAddr::V4(_)) if ip.is_unspecified() => Ipv4Addr::UNSPECIFIED.into(),
        (ip, IpAddr::V6(_)) if ip.is_unspecified() => Ipv6Addr::UNSPECIFIED.into(),
        (ip, _) => ip,
    };
    (SocketAddr::new(ip, address.port()), foreign.is_some())
}

fn bind(
    socket: impl std::os::fd::AsFd,
    from: &ConnectFrom,
    address: SocketAddr,
    is_foreign: bool,
) -> io::Result<()> {
    let raw = &socket;
    let socket = SockRef::from(raw);
    if let Some(interface) = &from.interface {
        socket.bind_device(Some(interface.as_bytes()))?;
    }
    if is_foreign {
        socket.set_ip_transparent_v4(true)?;
    }
    if address.port() == 0 {
        if address.ip().is_unspecified() {
            return Ok(());
        }
        // Chosen when it connects: a port may then serve one connection to each server.
        setsockopt(raw, IpBindAddressNoPort, &true)?;
    } else {
        // Not kept from a port by a connection that has ended.
        socket.set_reuse_address(true)?;
    }
    socket.bind(&SockAddr::from(address))
}

/// Whether this process may connect from addresses that are not this machine's (`usesrc`).
#[must_use]
pub fn may_connect_from_anywhere() -> bool {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
    socket.is_ok_and(|socket| socket.set_ip_transparent_v4(true).is_ok())
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use socket2::{Domain, Socket, Type};

    use super::*;

    fn from(address: &str, ports: Option<std::ops::RangeInclusive<u16>>) -> ConnectFrom {
        ConnectFrom {
            address: address.parse().unwrap(),
            ports,
            instead: None,
            interface: None,
        }
    }

    fn connect(from: &ConnectFrom, turn: &PortTurn, target: SocketAddr) -> io::Result<TcpStream> {
        connect_from(
            from,
            turn,
            target.ip(),
            None,
            || Socket::new(Domain::for_address(target), Type::STREAM, None),
            |socket| socket.connect(&target.into()).map(|()| socket.into()),
        )
    }

    fn listener(address: &str) -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind((address, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    /// Two ports next to each other that nobody has.
    fn free_pair(address: &str) -> std::ops::RangeInclusive<u16> {
        for _ in 0..100 {
            let first = listener(address).1.port();
            if first < u16::MAX && TcpListener::bind((address, first + 1)).is_ok() {
                return first..=first + 1;
            }
        }
        panic!("no two ports next to each other are free");
    }

    #[test]
    fn connections_come_from_the_address() {
        let (_listening, target) = listener("127.0.0.1");
        let stream = connect(&from("127.0.0.77", None), &PortTurn::default(), target).unwrap();
        assert_eq!(stream.local_addr().unwrap().ip().to_string(), "127.0.0.77");
        let anywhere = connect(&from("0.0.0.0", None), &PortTurn::default(), target).unwrap();
        assert_eq!(anywhere.local_addr().unwrap().ip().to_string(), "127.0.0.1");
    }

    #[test]
    fn each_connection_has_a_port_of_the_range_and_one_that_comes_free_serves_again() {
        let (_listening, target) = listener("127.0.0.1");
        let ports = free_pair("127.0.0.78");
        let (from, turn) = (from("127.0.0.78", Some(ports.clone())), PortTurn::default());
        let first = connect(&from, &turn, target).unwrap();
        let second = connect(&from, &turn, target).unwrap();
        let port = |stream: &TcpStream| stream.local_addr().unwrap().port();
        assert_eq!(
            [port(&first), port(&second)],
            [*ports.start(), *ports.end()]
        );
        let error = connect(&from, &turn, target).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        let free = port(&second);
        SockRef::from(&second)
            .set_linger(Some(std::time::Duration::ZERO))
            .unwrap();
        drop(second);
        assert_eq!(port(&connect(&from, &turn, target).unwrap()), free);
    }

    #[test]
    fn an_address_of_another_machine_is_refused() {
        let (_listening, target) = listener("127.0.0.1");
        let error = connect(
            &from("203.0.113.9", Some(1000..=60000)),
            &PortTurn::default(),
            target,
        );
        assert_eq!(error.unwrap_err().kind(), io::ErrorKind::AddrNotAvailable);
    }

    #[test]
    fn a_clients_address_counts_where_it_is_asked_for() {
        let target = "10.0.0.1".parse().unwrap();
        let client = Some("[::ffff:10.1.1.1]:77".parse().unwrap());
        let case = |instead, client| {
            let from = ConnectFrom {
                instead,
                ..from("10.0.9.9", None)
            };
            let (address, is_foreign) = address(&from, target, client);
            (address.to_string(), is_foreign)
        };
        assert_eq!(case(None, client), ("10.0.9.9:0".into(), false));
        assert_eq!(
            case(Some(Instead::Client), client),
            ("10.1.1.1:77".into(), true)
        );
        assert_eq!(
            case(Some(Instead::ClientIp), client),
            ("10.1.1.1:0".into(), true)
        );
        assert_eq!(
            case(Some(Instead::Client), None),
            ("10.0.9.9:0".into(), false)
        );
        let other = Instead::Address("10.2.2.2:5".parse().unwrap());
        assert_eq!(case(Some(other), client), ("10.2.2.2:5".into(), true));
        assert_eq!(case(Some(other), None), ("10.0.9.9:0".into(), false));
    }
}
