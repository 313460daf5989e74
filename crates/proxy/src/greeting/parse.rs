//! Understands the PROXY protocol header at the beginning of what a client sent (proxy-protocol.txt,
//! section 2). Pure: bytes in, addresses and a length out.
//!
//! The crate `ppp` understands a header that is there as a whole; where one ends is found out here,
//! since `ppp` waits for more of one that is wrong already (`PROXY\rTCP4`, an UNKNOWN of many words).

use std::net::SocketAddr;

use evenkeel_health::crc32c_of;
use ppp::{v1, v2};

/// The longest line of version 1, line end included.
const LONGEST_LINE: usize = 107;
const LINE_START: &[u8] = b"PROXY ";
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// A header of version 2 as far as its length.
const FIXED_BYTES: usize = 16;
/// The longest header of version 2 that is waited for: as much as HAProxy's buffer holds, far more
/// than any sender has to say.
pub(crate) const LONGEST_HEADER: usize = 16 << 10;

/// What the first bytes of a connection are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Parsed {
    /// The beginning of a header, which takes this many bytes in all, as far as is known.
    Partial(usize),
    /// A whole header.
    Header(Header),
    Wrong(Fault),
}

/// A header that was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// What it takes of the connection's bytes.
    pub(crate) bytes: usize,
    /// Where the client came from and where it went to; `None`: the ends of this very connection
    /// (LOCAL, UNKNOWN).
    pub(crate) ends: Option<(SocketAddr, SocketAddr)>,
}

/// What is wrong with a header, in HAProxy's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    #[error("Received something which does not look like a PROXY protocol header")]
    NoHeader,
    #[error("Received an unhandled protocol in the PROXY protocol header")]
    UnknownProtocol,
    #[error("Received an invalid PROXY protocol header")]
    Invalid,
}

/// Understands the header that `bytes` begin with. More bytes after a whole one change nothing, and
/// of a whole one every beginning is [`Parsed::Partial`].
pub(crate) fn parse(bytes: &[u8]) -> Parsed {
    if starts_alike(bytes, LINE_START) {
        line(bytes)
    } else if starts_alike(bytes, SIGNATURE) {
        binary(bytes)
    } else {
        Parsed::Wrong(Fault::NoHeader)
    }
}

fn starts_alike(bytes: &[u8], start: &[u8]) -> bool {
    let known = bytes.len().min(start.len());
    bytes[..known] == start[..known]
}

fn line(bytes: &[u8]) -> Parsed {
    let shown = &bytes[..bytes.len().min(LONGEST_LINE)];
    let Some(end) = shown.iter().position(|byte| *byte == b'\n') else {
        return if bytes.len() < LONGEST_LINE {
            Parsed::Partial(LONGEST_LINE)
        } else {
            Parsed::Wrong(Fault::Invalid)
        };
    };
    let line = &bytes[..=end];
    let Some(words) = line.strip_suffix(b"\r\n") else {
        return Parsed::Wrong(Fault::Invalid);
    };
    let ends = match words.split(|byte| *byte == b' ').nth(1) {
        // Whatever follows is to be ignored.
        Some(b"UNKNOWN") => None,
        Some(b"TCP4" | b"TCP6") => {
            match v1::Header::try_from(line).map(|header| header.addresses) {
                Ok(v1::Addresses::Tcp4(ends)) => Some((
                    (ends.source_address, ends.source_port).into(),
                    (ends.destination_address, ends.destination_port).into(),
                )),
                Ok(v1::Addresses::Tcp6(ends)) => Some((
                    (ends.source_address, ends.source_port).into(),
                    (ends.destination_address, ends.destination_port).into(),
                )),
                _ => return Parsed::Wrong(Fault::Invalid),
            }
        }
        _ => return Parsed::Wrong(Fault::UnknownProtocol),
    };
    let bytes = line.len();
    Parsed::Header(Header { bytes, ends })
}

fn binary(bytes: &[u8]) -> Parsed {
    let Some(fixed) = bytes.get(..FIXED_BYTES) else {
        return Parsed::Partial(FIXED_BYTES);
    };
    let whole = FIXED_BYTES + usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    let is_version_2 = fixed[12] >> 4 == 2;
    if !is_version_2 {
        return Parsed::Wrong(Fault::NoHeader);
    }
    if whole > LONGEST_HEADER {
        return Parsed::Wrong(Fault::Invalid);
    }
    let Some(header) = bytes.get(..whole) else {
        return Parsed::Partial(whole);
    };
    match v2::Header::try_from(header) {
        Ok(header) if are_fields_sound(&header) => Parsed::Header(Header {
            bytes: whole,
            ends: ends(&header),
        }),
        _ => Parsed::Wrong(Fault::Invalid),
    }
}

/// The addresses of a proxied TCP connection; those of anything else do not count.
fn ends(header: &v2::Header<'_>) -> Option<(SocketAddr, SocketAddr)> {
    if header.command == v2::Command::Local || header.protocol == v2::Protocol::Datagram {
        return None;
    }
    match header.addresses {
        v2::Addresses::IPv4(ends) => Some((
            (ends.source_address, ends.source_port).into(),
            (ends.destination_address, ends.destination_port).into(),
        )),
        v2::Addresses::IPv6(ends) => Some((
            (ends.source_address, ends.source_port).into(),
            (ends.destination_address, ends.destination_port).into(),
        )),
        v2::Addresses::Unix(_) | v2::Addresses::Unspecified => None,
    }
}

/// Whether the fields after the addresses fill what is left, and the checksum, if there is one, is
/// that of the header. What else they say is passed over.
fn are_fields_sound(header: &v2::Header<'_>) -> bool {
    const TYPE_CRC32C: u8 = 0x03;
    let is_discarded = header.command == v2::Command::Local
        || matches!(header.addresses, v2::Addresses::Unspecified);
    if is_discarded {
        return true;
    }
    let bytes = header.as_bytes();
    let mut at = FIXED_BYTES + header.address_bytes().len();
    while let Some(field) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
        let [kind, high, low, rest @ ..] = field else {
            return false;
        };
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let Some(value) = rest.get(..length) else {
            return false;
        };
        if *kind == TYPE_CRC32C {
            let mut zeroed = bytes.to_vec();
            zeroed[at + 3..at + 3 + length].fill(0);
            if value != crc32c_of(&zeroed).to_be_bytes() {
                return false;
            }
        }
        at += 3 + length;
    }
    true
}

/// Holds [`parse`] to what it promises of any bytes: however they come in, the outcome is the same,
/// and no header takes more of them than there are.
#[cfg(any(test, feature = "bench"))]
pub(crate) fn hold(bytes: &[u8]) {
    let mut outcome = None;
    for end in 0..=bytes.len() {
        match (parse(&bytes[..end]), &outcome) {
            (Parsed::Partial(whole), None) => assert!(whole > end && whole <= LONGEST_HEADER),
            (now, None) => {
                if let Parsed::Header(header) = &now {
                    assert_eq!(header.bytes, end, "it was whole before");
                }
                outcome = Some(now);
            }
            (now, Some(before)) => assert_eq!(now, *before, "after {end} bytes"),
        }
    }
}

#[cfg(test)]
mod tests {
    use evenkeel_config::SendProxy;
    use evenkeel_health::{Behalf, proxy_header};
    use proptest::prelude::*;

    use super::*;

    fn binary(version_and_command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let mut header = SIGNATURE.to_vec();
        header.extend([version_and_command, family]);
        header.extend(u16::try_from(body.len()).unwrap().to_be_bytes());
        header.extend(body);
        header
    }

    const FOUR: [u8; 12] = [1, 2, 3, 4, 5, 6, 7, 8, 0, 111, 0, 222];

    fn ends_of(bytes: &[u8]) -> Option<(String, String)> {
        match parse(bytes) {
            Parsed::Header(Header { ends, .. }) => {
                ends.map(|(from, to)| (from.to_string(), to.to_string()))
            }
            other => panic!("{other:?} of {}", bytes.escape_ascii()),
        }
    }

    fn fault_of(bytes: &[u8]) -> Fault {
        match parse(bytes) {
            Parsed::Wrong(fault) => fault,
            other => panic!("{other:?} of {}", bytes.escape_ascii()),
        }
    }

    #[test]
    fn headers_that_name_the_client() {
        let four = Some(("1.2.3.4:111".to_owned(), "5.6.7.8:222".to_owned()));
        let six = Some(("[2001::1]:111".to_owned(), "[2001::2]:222".to_owned()));
        assert_eq!(
            ends_of(b"PROXY TCP4 1.2.3.4 5.6.7.8 111 222\r\nrest\r\n"),
            four
        );
        assert_eq!(ends_of(b"PROXY TCP6 2001::1 2001::2 111 222\r\n"), six);
        assert_eq!(ends_of(&binary(0x21, 0x11, &FOUR)), four);
        let from: SocketAddr = "[2001::1]:111".parse().unwrap();
        let to = "[2001::2]:222".parse().unwrap();
        let full = SendProxy::V2 {
            tls: true,
            crc32c: true,
        };
        assert_eq!(ends_of(&proxy_header(full, Behalf::Client(from, to))), six);
        // A field that nobody here knows.
        let with_field = [&FOUR[..], b"\x05\0\x02ab"].concat();
        assert_eq!(ends_of(&binary(0x21, 0x11, &with_field)), four);
    }

    #[test]
    fn headers_that_leave_the_connections_own_ends() {
        for header in [
            &b"PROXY UNKNOWN\r\n"[..],
            b"PROXY UNKNOWN a b c d e f g h i j\r\n",
            &binary(0x20, 0x00, b""),
            &binary(0x20, 0x11, &FOUR),
            &binary(0x21, 0x00, b""),
            &binary(0x21, 0x12, &FOUR),
            &binary(0x21, 0x31, &[0; 216]),
        ] {
            assert_eq!(ends_of(header), None, "{}", header.escape_ascii());
        }
    }

    #[test]
    fn what_is_no_header() {
        for bytes in [
            &b"GET / HTTP/1.0\r\n"[..],
            b"J",
            b"PROXX",
            b"PROXY\rTCP4",
            b"\r\n\r\nx",
            &binary(0x31, 0x11, &FOUR),
        ] {
            assert_eq!(fault_of(bytes), Fault::NoHeader, "{}", bytes.escape_ascii());
        }
        for bytes in [
            &b"PROXY UDP4 1.2.3.4 5.6.7.8 1 2\r\n"[..],
            b"PROXY \r\n",
            b"PROXY unknown\r\n",
        ] {
            assert_eq!(
                fault_of(bytes),
                Fault::UnknownProtocol,
                "{}",
                bytes.escape_ascii()
            );
        }
        let overrun = [&FOUR[..], b"\x05\0\x22ab"].concat();
        let miscounted = [&FOUR[..], b"\x03\0\x04abcd"].concat();
        let too_long = [&SIGNATURE[..], b"\x21\x11\xff\xff"].concat();
        for bytes in [
            &b"PROXY TCP4 1.2.3.4\r\n"[..],
            b"PROXY TCP4 1.2.3.4 5.6.7.8 111 222\n",
            b"PROXY TCP4 1.2.3.4 5.6.7.8 111 222 \r\n",
            b"PROXY TCP4 1.2.3.4 5.6.7.8 70000 222\r\n",
            b"PROXY TCP6 1.2.3.4 5.6.7.8 111 222\r\n",
            b"PROXY TCP4 1.2.3.4\r5.6.7.8 111 222\r\n",
            &[&b"PROXY TCP4 "[..], &[b' '; 100]].concat(),
            &binary(0x21, 0x11, &FOUR[..8]),
            &binary(0x22, 0x11, &FOUR),
            &binary(0x21, 0x41, &FOUR),
            &binary(0x21, 0x11, &overrun),
            &binary(0x21, 0x11, &miscounted),
            &too_long,
        ] {
            assert_eq!(fault_of(bytes), Fault::Invalid, "{}", bytes.escape_ascii());
        }
    }

    fn any_header() -> impl Strategy<Value = Vec<u8>> {
        let field = (any::<u8>(), prop::collection::vec(any::<u8>(), 0..40)).prop_filter_map(
            "a checksum of chance is wrong",
            |(kind, value)| {
                let length = u16::try_from(value.len()).ok()?.to_be_bytes();
                (kind != 3).then(|| [&[kind, length[0], length[1]][..], &value].concat())
            },
        );
        let fields = prop::collection::vec(field, 0..6).prop_map(|fields| fields.concat());
        prop_oneof![
            (
                any::<[u8; 4]>(),
                any::<[u8; 4]>(),
                any::<u16>(),
                any::<u16>()
            )
                .prop_map(|(from, to, from_port, to_port)| {
                    let behalf = Behalf::Client((from, from_port).into(), (to, to_port).into());
                    proxy_header(SendProxy::V1, behalf)
                }),
            (
                any::<[u8; 16]>(),
                any::<[u8; 16]>(),
                any::<u16>(),
                any::<u16>()
            )
                .prop_map(|(from, to, from_port, to_port)| {
                    let behalf = Behalf::Client((from, from_port).into(), (to, to_port).into());
                    proxy_header(SendProxy::V1, behalf)
                }),
            fields.prop_map(|fields| binary(0x21, 0x11, &[&FOUR[..], &fields].concat())),
        ]
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_pieces_come_to_one_outcome(bytes: Vec<u8>, start in 0..4_usize) {
            let start: &[u8] = [&b""[..], b"PROXY ", b"PROXY TCP4 ", SIGNATURE][start];
            let bytes = [start, &bytes[..]].concat();
            hold(&bytes);
        }

        #[test]
        fn any_split_comes_to_the_same(header in any_header(), rest: Vec<u8>) {
            let Parsed::Header(whole) = parse(&[&header[..], &rest].concat()) else {
                panic!("not understood: {}", header.escape_ascii());
            };
            prop_assert_eq!(whole.bytes, header.len());
            for end in 0..header.len() {
                let parsed = parse(&header[..end]);
                prop_assert!(matches!(parsed, Parsed::Partial(_)), "{parsed:?} at {end}");
            }
            prop_assert_eq!(parse(&header), Parsed::Header(whole));
        }
    }
}
