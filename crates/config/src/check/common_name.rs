//! The name in a certificate's subject: where certificates of old have the name of their host.
//!
//! Reads DER only as far as it has to; what it cannot read has no name.

/// `2.5.4.3`.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OBJECT: u8 = 0x06;
const VERSION: u8 = 0xa0;

/// Whether a certificate's common name is `host`, which `*.` at its beginning may stand for one
/// label of.
pub(super) fn is_named(certificate: &[u8], host: &str) -> bool {
    common_names(certificate).is_some_and(|names| names.iter().any(|name| stands_for(name, host)))
}

fn stands_for(name: &[u8], host: &str) -> bool {
    let host = host.as_bytes();
    match name.strip_prefix(b"*.") {
        None => name.eq_ignore_ascii_case(host),
        Some(domain) => {
            let dot = host.iter().position(|byte| *byte == b'.');
            dot.is_some_and(|dot| dot > 0 && host[dot + 1..].eq_ignore_ascii_case(domain))
        }
    }
}

fn common_names(certificate: &[u8]) -> Option<Vec<&[u8]>> {
    let (certificate, _) = expect(SEQUENCE, certificate)?;
    let (mut rest, _) = expect(SEQUENCE, certificate)?;
    if rest.first() == Some(&VERSION) {
        rest = element(rest)?.2;
    }
    // Serial number, signature algorithm, issuer, validity.
    for _ in 0..4 {
        rest = element(rest)?.2;
    }
    let (mut subject, _) = expect(SEQUENCE, rest)?;
    let mut names = Vec::new();
    while !subject.is_empty() {
        let (mut set, after) = expect(SET, subject)?;
        subject = after;
        while !set.is_empty() {
            let (attribute, after) = expect(SEQUENCE, set)?;
            set = after;
            let (kind, value) = expect(OBJECT, attribute)?;
            if kind == COMMON_NAME {
                names.push(element(value)?.1);
            }
        }
    }
    Some(names)
}

/// What an element of this tag holds, and what follows it.
fn expect(tag: u8, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (own, content, rest) = element(bytes)?;
    (own == tag).then_some((content, rest))
}

/// The first element's tag, what it holds, and what follows it.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, first], rest) = bytes.split_first_chunk()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        // No certificate is longer than three bytes can say.
        0x81..=0x83 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x0f))?;
            let length = digits
                .iter()
                .fold(0, |length, byte| length << 8 | usize::from(*byte));
            (length, rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_star_stands_for_one_label() {
        let check = |name: &str, host, expected| {
            assert_eq!(
                stands_for(name.as_bytes(), host),
                expected,
                "{name}, {host}"
            );
        };
        check("a.example", "A.example", true);
        check("*.example", "a.example", true);
        check("*.example", "b.a.example", false);
        check("*.example", ".example", false);
        check("*.example", "example", false);
        check("*", "example", false);
        check("a.example", "b.example", false);
    }

    proptest! {
        #[test]
        fn no_bytes_confuse_it(bytes: Vec<u8>) {
            let _ = is_named(&bytes, "a.example");
            let _ = is_named(&[&[SEQUENCE, 20, SEQUENCE, 18], &bytes[..]].concat(), "a.example");
        }
    }
}
