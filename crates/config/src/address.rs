//! Addresses as HAProxy writes them (manual, section 11): `10.0.0.1:6443`, `*:80-90`, `[::1]:443`,
//! `ipv6@host:443`, `/run/x.sock`, `unix@x`, `abns@x`, `fd@3`, `10.0.0.1:+1000`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use crate::slips::slip;

/// An address whose host may still be a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    Inet {
        family: Family,
        host: Host,
        port: Port,
    },
    Unix(PathBuf),
    Abstract(Vec<u8>),
    Fd(i32),
}

/// What a prefix such as `ipv6@` demands of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    Any,
    V4,
    V6,
}

impl Family {
    pub(crate) fn admits(self, ip: IpAddr) -> bool {
        match self {
            Self::Any => true,
            Self::V4 => ip.is_ipv4(),
            Self::V6 => ip.is_ipv6(),
        }
    }

    /// The address that stands for every one of the family.
    pub(crate) fn wildcard(self) -> IpAddr {
        match self {
            Self::Any | Self::V4 => Ipv4Addr::UNSPECIFIED.into(),
            Self::V6 => Ipv6Addr::UNSPECIFIED.into(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    /// `*` or nothing.
    Wildcard,
    Ip(IpAddr),
    Name(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Port {
    Missing,
    One(u16),
    /// First and last.
    Range(u16, u16),
    /// `+N` or `-N`.
    Offset(i32),
}

/// Understands one address; a message without place when it is none.
pub(crate) fn parse(text: &str) -> Result<Address, String> {
    if text.starts_with('/') {
        return Ok(Address::Unix(PathBuf::from(text)));
    }
    let Some((prefix, rest)) = text.split_once('@') else {
        return inet(Family::Any, text, text);
    };
    match prefix {
        "ipv4" | "tcp4" | "stream+ipv4" => inet(Family::V4, rest, text),
        "ipv6" | "tcp6" | "stream+ipv6" => inet(Family::V6, rest, text),
        "tcp" => inet(Family::Any, rest, text),
        "unix" | "uxst" | "stream+unix" => {
            if rest.is_empty() {
                return Err(format!("missing path in '{text}'"));
            }
            Ok(Address::Unix(PathBuf::from(rest)))
        }
        "abns" | "stream+abns" => {
            if rest.is_empty() {
                return Err(format!("missing name in '{text}'"));
            }
            Ok(Address::Abstract(rest.as_bytes().to_vec()))
        }
        "fd" => match rest.parse::<i32>() {
            Ok(fd) if fd >= 0 => Ok(Address::Fd(fd)),
            _ => Err(format!("'{rest}' is not a file descriptor in '{text}'")),
        },
        _ => Err(format!(
            "addresses of kind '{prefix}@' are not supported in '{text}'; the kinds are ipv4@, \
             ipv6@, tcp@, tcp4@, tcp6@, unix@, abns@ and fd@"
        )),
    }
}

/// The same for a place where only UDP makes sense, such as `log`.
pub(crate) fn parse_datagram(text: &str) -> Result<Address, String> {
    match text.split_once('@') {
        Some(("udp" | "dgram+ipv4" | "dgram+ipv6", rest)) => inet(Family::Any, rest, text),
        Some(("udp4", rest)) => inet(Family::V4, rest, text),
        Some(("udp6", rest)) => inet(Family::V6, rest, text),
        Some(("dgram+unix" | "uxdg", rest)) if !rest.is_empty() => {
            Ok(Address::Unix(PathBuf::from(rest)))
        }
        Some((kind @ ("tcp" | "tcp4" | "tcp6" | "ring"), _)) => Err(format!(
            "log targets of kind '{kind}@' are not supported; send to a UDP address, \
                         a datagram socket such as /dev/log, stdout or stderr"
        )),
        _ => parse(text),
    }
}

fn inet(family: Family, text: &str, whole: &str) -> Result<Address, String> {
    let (host, port) = match text.strip_prefix('[') {
        Some(inner) => {
            let (host, after) = inner
                .split_once(']')
                .ok_or_else(|| format!("missing ']' in '{whole}'"))?;
            match after.strip_prefix(':') {
                Some(port) => (host, port),
                None if after.is_empty() => (host, ""),
                None => {
                    return Err(format!(
                        "'{after}' after ']' in '{whole}'; write [address]:port"
                    ));
                }
            }
        }
        // An IPv6 address may come without brackets: the last colon begins the port.
        None => text.rsplit_once(':').unwrap_or((text, "")),
    };
    let host = match host {
        "" | "*" => Host::Wildcard,
        _ => match host.parse::<IpAddr>() {
            Ok(ip) if family.admits(ip) => Host::Ip(ip),
            Ok(ip) => {
                let kind = if ip.is_ipv4() { "IPv4" } else { "IPv6" };
                return Err(format!(
                    "'{ip}' is an {kind} address, which '{whole}' excludes"
                ));
            }
            Err(_) if host.contains(':') => {
                let slip = slip(whole);
                return Err(format!(
                    "'{host}' is not an IPv6 address in '{whole}'{slip}"
                ));
            }
            Err(_) if is_out_of_range(host) => {
                return Err(format!(
                    "'{host}' is not an IPv4 address in '{whole}': each of its numbers is 0 to 255"
                ));
            }
            Err(_) if looks_like_a_name(host) => Host::Name(host.to_owned()),
            Err(_) => {
                let slip = slip(host);
                return Err(format!(
                    "'{host}' is neither an address nor a host name in '{whole}'{slip}"
                ));
            }
        },
    };
    Ok(Address::Inet {
        family,
        host,
        port: parse_port(port, whole)?,
    })
}

/// Four numbers that look like an address, and are none.
fn is_out_of_range(host: &str) -> bool {
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let too_big = |part: &str| part.parse::<u8>().is_err();
    let parts: Vec<&str> = host.split('.').collect();
    parts.len() == 4 && parts.iter().all(|part| is_number(part)) && parts.into_iter().any(too_big)
}

fn looks_like_a_name(host: &str) -> bool {
    host.chars()
        .all(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '_'))
}

fn parse_port(text: &str, whole: &str) -> Result<Port, String> {
    if text.is_empty() {
        return Ok(Port::Missing);
    }
    let number = |digits: &str| {
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(format!("'{digits}' is not a port number in '{whole}'"));
        }
        digits
            .parse::<u16>()
            .map_err(|_| format!("port {digits} is above 65535 in '{whole}'"))
    };
    if let Some(offset) = text.strip_prefix('+') {
        return Ok(Port::Offset(number(offset)?.into()));
    }
    if let Some(offset) = text.strip_prefix('-') {
        return Ok(Port::Offset(-i32::from(number(offset)?)));
    }
    match text.split_once('-') {
        None => Ok(Port::One(number(text)?)),
        Some((first, last)) => {
            let (first, last) = (number(first)?, number(last)?);
            if first == 0 || last < first {
                return Err(format!("'{text}' is not a port range in '{whole}'"));
            }
            Ok(Port::Range(first, last))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v4(host: &str, port: Port) -> Address {
        Address::Inet {
            family: Family::Any,
            host: Host::Ip(host.parse().unwrap()),
            port,
        }
    }

    fn check(text: &str, expected: Option<Address>) {
        assert_eq!(parse(text).ok(), expected, "{text}");
    }

    #[test]
    fn every_form() {
        let any = |port| Address::Inet {
            family: Family::Any,
            host: Host::Wildcard,
            port,
        };
        let name = |family, name: &str, port| Address::Inet {
            family,
            host: Host::Name(name.to_owned()),
            port,
        };
        check("10.0.1.10:6443", Some(v4("10.0.1.10", Port::One(6443))));
        check("10.0.1.10", Some(v4("10.0.1.10", Port::Missing)));
        check("10.0.1.10:", Some(v4("10.0.1.10", Port::Missing)));
        check("10.0.1.10:+1000", Some(v4("10.0.1.10", Port::Offset(1000))));
        check("10.0.1.10:-10", Some(v4("10.0.1.10", Port::Offset(-10))));
        check("*:80", Some(any(Port::One(80))));
        check(":80-90", Some(any(Port::Range(80, 90))));
        check(":::80", Some(v4("::", Port::One(80))));
        check("::1:80", Some(v4("::1", Port::One(80))));
        check("[::1]:80", Some(v4("::1", Port::One(80))));
        check("[::1]", Some(v4("::1", Port::Missing)));
        check(
            "ipv4@master1:80",
            Some(name(Family::V4, "master1", Port::One(80))),
        );
        check(
            "ipv6@master1:80",
            Some(name(Family::V6, "master1", Port::One(80))),
        );
        check(
            "tcp@master1:80",
            Some(name(Family::Any, "master1", Port::One(80))),
        );
        check(
            "master1.kube.com:80",
            Some(name(Family::Any, "master1.kube.com", Port::One(80))),
        );
        check("/run/x", Some(Address::Unix("/run/x".into())));
        check("unix@/run/x", Some(Address::Unix("/run/x".into())));
        check("abns@x", Some(Address::Abstract(b"x".to_vec())));
        check("fd@3", Some(Address::Fd(3)));
    }

    #[test]
    fn what_is_no_address() {
        for text in [
            "10.0.0.1:70000",
            "10.0.0.1:x",
            "10.0.0.1:90-80",
            "10.0.0.1:1-2-3",
            "[::1",
            "[::1]x",
            "ipv4@::1:80",
            "ipv6@10.0.0.1:80",
            "unix@",
            "abns@",
            "fd@x",
            "fd@-1",
            "quic4@:443",
            "sockpair@3",
            "a b:80",
            "<ip>:80",
            "1:2:3",
            "x:+",
            "x:-",
        ] {
            check(text, None);
        }
    }

    #[test]
    fn log_targets() {
        let udp = v4("10.0.0.1", Port::One(514));
        assert_eq!(parse_datagram("udp@10.0.0.1:514"), Ok(udp.clone()));
        assert_eq!(parse_datagram("10.0.0.1:514"), Ok(udp));
        assert_eq!(
            parse_datagram("/dev/log"),
            Ok(Address::Unix("/dev/log".into()))
        );
        assert!(parse_datagram("ring@x").is_err());
        assert!(parse_datagram("tcp@10.0.0.1:514").is_err());
    }
}
