//! Listening sockets, as `ss` prints them and as the kernel lists them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::model::Listener;

/// `LISTEN 0 4096 10.0.1.11:6443 0.0.0.0:* users:(("kube-apiserver",pid=1,fd=3))`
pub(super) fn of_ss(line: &str) -> Option<Listener> {
    let mut words = line.split_whitespace();
    let (address, port) = words.nth(3)?.rsplit_once(':')?;
    let port = port.parse().ok()?;
    // A link-local one carries its interface: `[fe80::1]%eth0`, or inside of the brackets.
    let address = address.split('%').next()?;
    let address = address.trim_start_matches('[').trim_end_matches(']');
    let address = match address {
        // Both families.
        "*" => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        other => other.parse().ok()?,
    };
    let program = line
        .split_once("users:((\"")
        .and_then(|(_, rest)| rest.split('"').next())
        .unwrap_or_default()
        .to_owned();
    Some(Listener {
        address,
        port,
        program,
    })
}

/// `0100007F:1F90`, an address in 32-bit words of the host's byte order, all of which are little-endian
/// that Kubernetes runs on but s390x, where `ss` is always there.
pub(super) fn of_proc(word: &str) -> Option<Listener> {
    let (address, port) = word.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let mut octets = Vec::new();
    for index in 0..address.len() / 8 {
        let word = address.get(index * 8..index * 8 + 8)?;
        octets.extend(u32::from_str_radix(word, 16).ok()?.to_le_bytes());
    }
    let address = match octets.len() {
        4 => IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(octets).ok()?)),
        16 => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(octets).ok()?)),
        _ => return None,
    };
    Some(Listener {
        address,
        port,
        program: String::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(found: Option<Listener>, address: &str, port: u16, program: &str) {
        let expected = Listener {
            address: address.parse().unwrap(),
            port,
            program: program.to_owned(),
        };
        assert_eq!(found, Some(expected));
    }

    #[test]
    fn lines_of_ss() {
        let line = "LISTEN 0 4096 10.0.1.11:6443 0.0.0.0:* users:((\"kube-apiserver\",pid=9,fd=3))";
        check(of_ss(line), "10.0.1.11", 6443, "kube-apiserver");
        check(of_ss("LISTEN 0 4096 *:10250 *:*"), "::", 10250, "");
        check(of_ss("LISTEN 0 128 [::1]:22 [::]:*"), "::1", 22, "");
        check(
            of_ss("LISTEN 0 128 127.0.0.53%lo:53 0.0.0.0:*"),
            "127.0.0.53",
            53,
            "",
        );
        for line in [
            "LISTEN 0 10 [fe80::1]%eth0:53 [::]:* users:((\"named\",pid=1,fd=2))",
            "LISTEN 0 10 [fe80::1%eth0]:53 [::]:* users:((\"named\",pid=1,fd=2))",
        ] {
            check(of_ss(line), "fe80::1", 53, "named");
        }
        assert_eq!(of_ss("LISTEN 0"), None);
    }

    #[test]
    fn words_of_the_kernel() {
        check(of_proc("0100007F:1F90"), "127.0.0.1", 8080, "");
        check(
            of_proc("00000000000000000000000001000000:0016"),
            "::1",
            22,
            "",
        );
        assert_eq!(of_proc("0100:1F90"), None);
        assert_eq!(of_proc("zz00007F:1F90"), None);
    }
}
