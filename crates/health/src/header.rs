//! The PROXY protocol header that a connection to a server begins with (proxy-protocol.txt,
//! section 2): bytes from addresses.

use std::net::{IpAddr, SocketAddr};

use evenkeel_config::SendProxy;

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
const LOCAL: u8 = 0x20;
const PROXY: u8 = 0x21;
const UNSPECIFIED: u8 = 0x00;
const TCP_OVER_IPV4: u8 = 0x11;
const TCP_OVER_IPV6: u8 = 0x21;
const TYPE_CRC32C: u8 = 0x03;
const TYPE_SSL: u8 = 0x20;

/// In whose name a connection is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behalf {
    /// Of a client that came from the first of these addresses to the second.
    Client(SocketAddr, SocketAddr),
    /// Of a client that has no IP address.
    Nameless,
    /// Of this process itself, between these ends of the connection; `None`: not over IP.
    Own(Option<(SocketAddr, SocketAddr)>),
}

/// The header, byte for byte as HAProxy writes it.
#[must_use]
pub fn proxy_header(kind: SendProxy, behalf: Behalf) -> Vec<u8> {
    match kind {
        SendProxy::V1 => line(match behalf {
            Behalf::Client(from, to) | Behalf::Own(Some((from, to))) => Some((from, to)),
            Behalf::Nameless | Behalf::Own(None) => None,
        }),
        SendProxy::V2 { tls, crc32c } => binary(
            match behalf {
                Behalf::Client(from, to) => Some((from, to)),
                Behalf::Nameless | Behalf::Own(_) => None,
            },
            tls,
            crc32c,
        ),
    }
}

fn line(addresses: Option<(SocketAddr, SocketAddr)>) -> Vec<u8> {
    let Some((from, to)) = addresses else {
        return b"PROXY UNKNOWN\r\n".to_vec();
    };
    let (from, to) = alike(from, to);
    let family = if from.is_ipv4() { "TCP4" } else { "TCP6" };
    let (from_ip, to_ip) = (from.ip(), to.ip());
    let (from_port, to_port) = (from.port(), to.port());
    format!("PROXY {family} {from_ip} {to_ip} {from_port} {to_port}\r\n").into_bytes()
}

/// Both in one family: as IPv6 where they differ.
fn alike(from: SocketAddr, to: SocketAddr) -> (SocketAddr, SocketAddr) {
    if from.is_ipv4() == to.is_ipv4() {
        return (from, to);
    }
    let mapped = |address: SocketAddr| match address.ip() {
        IpAddr::V4(ip) => SocketAddr::new(ip.to_ipv6_mapped().into(), address.port()),
        IpAddr::V6(_) => address,
    };
    (mapped(from), mapped(to))
}

fn binary(addresses: Option<(SocketAddr, SocketAddr)>, tls: bool, crc32c: bool) -> Vec<u8> {
    let mut header = SIGNATURE.to_vec();
    let mut body = Vec::with_capacity(64);
    match addresses.map(|(from, to)| alike(from, to)) {
        Some((from, to)) => {
            let family = if from.is_ipv4() {
                TCP_OVER_IPV4
            } else {
                TCP_OVER_IPV6
            };
            header.extend([PROXY, family]);
            for end in [from, to] {
                match end.ip() {
                    IpAddr::V4(ip) => body.extend(ip.octets()),
                    IpAddr::V6(ip) => body.extend(ip.octets()),
                }
            }
            body.extend(from.port().to_be_bytes());
            body.extend(to.port().to_be_bytes());
        }
        None => header.extend([LOCAL, UNSPECIFIED]),
    }
    let mut checksum_at = None;
    if crc32c {
        body.extend([TYPE_CRC32C, 0, 4]);
        checksum_at = Some(header.len() + 2 + body.len());
        body.extend([0; 4]);
    }
    if tls {
        // No bit of "client over TLS", and a "verify" of 0.
        body.extend([TYPE_SSL, 0, 5, 0, 0, 0, 0, 0]);
    }
    let length = u16::try_from(body.len()).expect("addresses and fields take some 60 bytes");
    header.extend(length.to_be_bytes());
    header.extend(body);
    if let Some(at) = checksum_at {
        let checksum = crc32c_of(&header);
        header[at..at + 4].copy_from_slice(&checksum.to_be_bytes());
    }
    header
}

/// The CRC-32C of `bytes` (RFC 3720, appendix B.4).
#[must_use]
pub fn crc32c_of(bytes: &[u8]) -> u32 {
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    let crc = bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            let carry = if crc & 1 == 1 { POLYNOMIAL } else { 0 };
            (crc >> 1) ^ carry
        })
    });
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(from: &str, to: &str) -> Behalf {
        Behalf::Client(from.parse().unwrap(), to.parse().unwrap())
    }

    const V2: SendProxy = SendProxy::V2 {
        tls: false,
        crc32c: false,
    };
    const FULL: SendProxy = SendProxy::V2 {
        tls: true,
        crc32c: true,
    };

    /// Each one captured from HAProxy 3.0.
    #[test]
    fn headers_are_haproxys() {
        let from = "127.0.0.1:33848".parse().unwrap();
        let to = "127.0.0.1:15001".parse().unwrap();
        let v4 = Behalf::Client(from, to);
        for (kind, behalf, expected) in [
            (SendProxy::V1, v4, &b"PROXY TCP4 127.0.0.1 127.0.0.1 33848 15001\r\n"[..]),
            (SendProxy::V1, client("[::1]:59306", "[::1]:15001"), b"PROXY TCP6 ::1 ::1 59306 15001\r\n"),
            (
                SendProxy::V1,
                client("[::ffff:1.2.3.4]:111", "[::ffff:5.6.7.8]:222"),
                b"PROXY TCP6 ::ffff:1.2.3.4 ::ffff:5.6.7.8 111 222\r\n",
            ),
            (SendProxy::V1, Behalf::Nameless, b"PROXY UNKNOWN\r\n"),
            (SendProxy::V1, Behalf::Own(Some((from, to))), b"PROXY TCP4 127.0.0.1 127.0.0.1 33848 15001\r\n"),
            (
                V2,
                client("127.0.0.1:53770", "127.0.0.1:15002"),
                b"\r\n\r\n\x00\r\nQUIT\n!\x11\x00\x0c\x7f\x00\x00\x01\x7f\x00\x00\x01\xd2\n:\x9a",
            ),
            (V2, Behalf::Nameless, b"\r\n\r\n\x00\r\nQUIT\n \x00\x00\x00"),
            (V2, Behalf::Own(Some((from, to))), b"\r\n\r\n\x00\r\nQUIT\n \x00\x00\x00"),
            (
                V2,
                client("[2001::1]:111", "[2001::2]:222"),
                b"\r\n\r\n\x00\r\nQUIT\n!!\x00$ \x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01 \x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00o\x00\xde",
            ),
            (
                SendProxy::V2 { tls: true, crc32c: false },
                client("127.0.0.1:48578", "127.0.0.1:15003"),
                b"\r\n\r\n\x00\r\nQUIT\n!\x11\x00\x14\x7f\x00\x00\x01\x7f\x00\x00\x01\xbd\xc2:\x9b \x00\x05\x00\x00\x00\x00\x00",
            ),
            (
                FULL,
                Behalf::Own(None),
                b"\r\n\r\n\x00\r\nQUIT\n \x00\x00\x0f\x03\x00\x04\x88\x9d\xa1\xdf \x00\x05\x00\x00\x00\x00\x00",
            ),
        ] {
            let header = proxy_header(kind, behalf);
            assert_eq!(header.escape_ascii().to_string(), expected.escape_ascii().to_string());
        }
    }

    #[test]
    fn ends_of_two_families_become_one() {
        let header = proxy_header(SendProxy::V1, client("1.2.3.4:5", "[::1]:6"));
        assert_eq!(header, b"PROXY TCP6 ::ffff:1.2.3.4 ::1 5 6\r\n");
        assert_eq!(
            proxy_header(V2, client("1.2.3.4:5", "[::1]:6")).len(),
            16 + 36
        );
    }
}
