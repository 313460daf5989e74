//! A TLS ClientHello as far as it is sent in the clear (RFC 8446, section 4.1.2). What is wrong
//! with one is the server's to say: here it is then none.

const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const SERVER_NAME: u16 = 0;
const APPLICATION_PROTOCOLS: u16 = 16;

/// What the first bytes of a client are.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Hello {
    /// The beginning of a ClientHello, as far as can be told.
    Partial,
    /// No ClientHello.
    Other,
    /// A whole one.
    Client(ClientHello),
}

/// What is asked of a ClientHello.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ClientHello {
    /// Major version in the upper 16 bits, as HAProxy has it: TLS 1.2 and later are 3.3.
    pub(super) version: i64,
    pub(super) server_name: Option<Vec<u8>>,
    /// The protocols that it offers, in its order.
    pub(super) protocols: Vec<Vec<u8>>,
}

pub(super) fn parse(bytes: &[u8]) -> Hello {
    let message = match handshake(bytes) {
        Ok(message) => message,
        Err(hello) => return hello,
    };
    client_hello(&message).map_or(Hello::Other, Hello::Client)
}

/// The handshake message in the first records, without its header.
fn handshake(bytes: &[u8]) -> Result<Vec<u8>, Hello> {
    let mut message = Vec::new();
    let mut rest = bytes;
    loop {
        if let [CLIENT_HELLO, a, b, c, body @ ..] = &message[..] {
            let length = usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c);
            if let Some(body) = body.get(..length) {
                return Ok(body.to_vec());
            }
        } else if message.first().is_some_and(|kind| *kind != CLIENT_HELLO) {
            return Err(Hello::Other);
        }
        match rest {
            [HANDSHAKE, 3, _, a, b, after @ ..] => {
                let length = usize::from(*a) << 8 | usize::from(*b);
                if length == 0 {
                    return Err(Hello::Other);
                }
                let fragment = &after[..length.min(after.len())];
                message.extend_from_slice(fragment);
                rest = &after[fragment.len()..];
                if fragment.len() < length {
                    let is_other = message.first().is_some_and(|kind| *kind != CLIENT_HELLO);
                    return Err(if is_other {
                        Hello::Other
                    } else {
                        Hello::Partial
                    });
                }
            }
            [] | [HANDSHAKE] | [HANDSHAKE, 3] | [HANDSHAKE, 3, _] | [HANDSHAKE, 3, _, _] => {
                return Err(Hello::Partial);
            }
            _ => return Err(Hello::Other),
        }
    }
}

fn client_hello(message: &[u8]) -> Option<ClientHello> {
    let mut message = Reader(message);
    let (major, minor) = (message.byte()?, message.byte()?);
    message.take(32)?;
    // Session id, cipher suites, compression methods.
    message.vector(1)?;
    message.vector(2)?;
    message.vector(1)?;
    let mut hello = ClientHello {
        version: i64::from(major) << 16 | i64::from(minor),
        ..ClientHello::default()
    };
    if message.0.is_empty() {
        return Some(hello);
    }
    let mut extensions = Reader(message.vector(2)?);
    while !extensions.0.is_empty() {
        let kind = extensions.number(2)?;
        let mut body = Reader(extensions.vector(2)?);
        match u16::try_from(kind).ok()? {
            SERVER_NAME => {
                let mut names = Reader(body.vector(2)?);
                // A host name is type 0; there are no others.
                if names.byte()? == 0 {
                    hello.server_name = Some(names.vector(2)?.to_vec());
                }
            }
            APPLICATION_PROTOCOLS => {
                let mut list = Reader(body.vector(2)?);
                hello.protocols.clear();
                while !list.0.is_empty() {
                    hello.protocols.push(list.vector(1)?.to_vec());
                }
            }
            _ => {}
        }
    }
    Some(hello)
}

/// What is left to read.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        Some(self.take(1)?[0])
    }

    fn number(&mut self, bytes: usize) -> Option<usize> {
        let bytes = self.take(bytes)?;
        Some(
            bytes
                .iter()
                .fold(0, |all, byte| all << 8 | usize::from(*byte)),
        )
    }

    /// Bytes with their length before them, in so many bytes.
    fn vector(&mut self, length_bytes: usize) -> Option<&'a [u8]> {
        let length = self.number(length_bytes)?;
        self.take(length)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    fn vector(length_bytes: usize, bytes: &[u8]) -> Vec<u8> {
        let length = bytes.len().to_be_bytes();
        [&length[8 - length_bytes..], bytes].concat()
    }

    /// A ClientHello for `name` that offers h2 and http/1.1, in records of at most `record` bytes.
    pub(in crate::inspect) fn hello(name: &str, record: usize) -> Vec<u8> {
        let host = [&[0][..], &vector(2, name.as_bytes())].concat();
        let protocols = [vector(1, b"h2"), vector(1, b"http/1.1")].concat();
        let extension = |kind: u16, body: &[u8]| {
            [&kind.to_be_bytes()[..], &vector(2, &vector(2, body))].concat()
        };
        let extensions = [extension(0, &host), extension(16, &protocols)].concat();
        let body = [
            &[3, 3][..],
            &[7; 32],
            &vector(1, &[9; 32]),
            &vector(2, &[0x13, 1]),
            &vector(1, &[0]),
            &vector(2, &extensions),
        ]
        .concat();
        let message = [&[1][..], &vector(3, &body)].concat();
        let records = message.chunks(record);
        records
            .flat_map(|part| [&[22, 3, 1][..], &vector(2, part)].concat())
            .collect()
    }

    #[test]
    fn a_client_hello_tells_its_name_and_protocols() {
        for record in [16_000, 20, 1] {
            let bytes = hello("api.example.com", record);
            let expected = ClientHello {
                version: 0x3_0003,
                server_name: Some(b"api.example.com".to_vec()),
                protocols: vec![b"h2".to_vec(), b"http/1.1".to_vec()],
            };
            assert_eq!(parse(&bytes), Hello::Client(expected));
            for end in 0..bytes.len() {
                assert_eq!(parse(&bytes[..end]), Hello::Partial, "{end} bytes");
            }
        }
    }

    #[test]
    fn what_is_no_client_hello() {
        for bytes in [
            &b"GET / HTTP/1.1\r\n"[..],
            &[22, 2],
            &[22, 3, 1, 0, 0],
            &[22, 3, 1, 0, 1, 2],
        ] {
            assert_eq!(parse(bytes), Hello::Other, "{bytes:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

        #[test]
        fn any_bytes_are_judged(at in 0..150_usize, byte: u8, cut in 0..200_usize) {
            let mut bytes = hello("api.example.com", 16_000);
            let at = at.min(bytes.len() - 1);
            bytes[at] = byte;
            bytes.truncate(cut);
            let _ = parse(&bytes);
        }

        #[test]
        fn any_bytes_at_all_are_judged(bytes: Vec<u8>) {
            let _ = parse(&bytes);
        }
    }
}
