//! Who listens on a port: from /proc/net/tcp and tcp6 to a process (proc(5)).

use std::fmt;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::port_unit;

/// A process that listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) pid: u32,
    pub(crate) command: String,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (pid {})", self.command, self.pid)
    }
}

/// The process that keeps `wanted` from being bound; `None` when it cannot be seen (another
/// user's, another namespace's, or gone meanwhile).
pub(crate) fn owner_of(wanted: SocketAddr) -> Option<Owner> {
    let inodes: Vec<u64> = inodes(wanted).collect();
    processes()
        .find(|pid| holds(*pid, &inodes))
        .map(|pid| Owner {
            pid,
            command: command(pid),
        })
}

/// The unit of systemd whose process that is, which anybody may see.
pub(crate) fn unit_of(wanted: SocketAddr) -> Option<String> {
    let inodes: Vec<u64> = inodes(wanted).collect();
    port_unit::of_listeners(&inodes)
}

/// How many sockets listen on `address` or on a wildcard that covers it.
pub(crate) fn listeners(address: SocketAddr) -> usize {
    inodes(address).count()
}

/// The sockets that collide with `wanted`.
fn inodes(wanted: SocketAddr) -> impl Iterator<Item = u64> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].into_iter();
    let tables = tables.map(|table| fs::read_to_string(table).unwrap_or_default());
    tables.flat_map(move |table| {
        let listening = table
            .lines()
            .filter_map(listening)
            .filter(|(at, _)| collide(*at, wanted));
        listening.map(|(_, inode)| inode).collect::<Vec<_>>()
    })
}

/// The address and inode of a line that describes a listening socket.
fn listening(line: &str) -> Option<(SocketAddr, u64)> {
    const TCP_LISTEN: &str = "0A";
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let (local, state, inode) = (*fields.get(1)?, *fields.get(3)?, *fields.get(9)?);
    (state == TCP_LISTEN).then_some(())?;
    Some((address(local)?, inode.parse().ok()?))
}

/// `0100007F:1F90`: 32-bit words in the machine's byte order, a port as a plain number.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let words: Vec<u32> = (0..ip.len() / 8)
        .map(|word| u32::from_str_radix(ip.get(word * 8..word * 8 + 8)?, 16).ok())
        .collect::<Option<_>>()?;
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    let ip = match <[u8; 4]>::try_from(bytes.as_slice()) {
        Ok(four) => IpAddr::V4(Ipv4Addr::from(four)),
        Err(_) => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(bytes.as_slice()).ok()?)),
    };
    Some(SocketAddr::new(
        ip.to_canonical(),
        u16::from_str_radix(port, 16).ok()?,
    ))
}

/// Whether the kernel refuses to bind one while the other listens: the same port, and the same
/// address or a wildcard (one of IPv6 takes IPv4 too, unless it says otherwise).
fn collide(one: SocketAddr, other: SocketAddr) -> bool {
    let wide = |a: SocketAddr, b: SocketAddr| {
        a.ip().is_unspecified() && (a.is_ipv6() || b.is_ipv4() || b.ip().is_unspecified())
    };
    one.port() == other.port() && (one.ip() == other.ip() || wide(one, other) || wide(other, one))
}

fn processes() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(Result::ok);
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn holds(pid: u32, inodes: &[u64]) -> bool {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd"))
        .into_iter()
        .flatten()
        .filter_map(Result::ok);
    descriptors
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .any(|link| {
            let inode = link.to_str().and_then(|link| {
                link.strip_prefix("socket:[")?
                    .strip_suffix(']')?
                    .parse()
                    .ok()
            });
            inode.is_some_and(|inode| inodes.contains(&inode))
        })
}

fn command(pid: u32) -> String {
    fs::read_to_string(format!("/proc/{pid}/comm"))
        .map_or_else(|_| "?".to_owned(), |name| name.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn reads_the_kernels_table() {
        let line = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 30716 1 0000 100 0 0 10 0";
        assert_eq!(
            listening(line),
            Some(("127.0.0.1:8080".parse().unwrap(), 30716))
        );
        let established = line.replace(" 0A ", " 01 ");
        assert_eq!(listening(&established), None);
        let header = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode";
        assert_eq!(listening(header), None);
        for (text, expected) in [
            ("00000000:192B", "0.0.0.0:6443"),
            ("00000000000000000000000000000000:192B", "[::]:6443"),
            ("00000000000000000000000001000000:192B", "[::1]:6443"),
            ("0000000000000000FFFF00000100007F:192B", "127.0.0.1:6443"),
        ] {
            assert_eq!(address(text), Some(expected.parse().unwrap()), "{text}");
        }
        for broken in [
            "",
            "0100007F",
            "0100007F:",
            "01:1F90",
            "0100007F0100007F:1F90",
        ] {
            assert_eq!(address(broken), None, "{broken}");
        }
    }

    #[test]
    fn wildcards_collide_with_all_of_their_family() {
        for (one, other, expected) in [
            ("127.0.0.1:80", "127.0.0.1:80", true),
            ("127.0.0.1:80", "127.0.0.1:81", false),
            ("127.0.0.1:80", "127.0.0.2:80", false),
            ("0.0.0.0:80", "127.0.0.1:80", true),
            ("[::]:80", "127.0.0.1:80", true),
            ("[::]:80", "[::1]:80", true),
            ("0.0.0.0:80", "[::1]:80", false),
            ("0.0.0.0:80", "[::]:80", true),
        ] {
            let (one, other) = (one.parse().unwrap(), other.parse().unwrap());
            assert_eq!(collide(one, other), expected, "{one} {other}");
            assert_eq!(collide(other, one), expected, "{other} {one}");
        }
    }

    #[test]
    fn finds_this_very_process() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let owner =
            owner_of(listener.local_addr().unwrap()).expect("our own descriptors are visible");
        assert_eq!(owner.pid, std::process::id());
        assert!(!owner.command.is_empty());
    }
}
