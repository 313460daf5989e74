//! The answers of services whose checks look deeper than a text: LDAP and MySQL.

use evenkeel_config::CheckStatus;

use crate::judge::{Finding, Judgement};
use crate::outcome::readable;

fn found(status: CheckStatus, code: u32, info: &[u8]) -> Finding {
    Finding {
        status,
        code,
        info: readable(info),
    }
}

fn pass(info: &[u8]) -> Judgement {
    Judgement::Pass(found(CheckStatus::L7Ok, 0, info))
}

fn invalid(info: &[u8]) -> Judgement {
    Judgement::Fail(found(CheckStatus::L7Response, 0, info))
}

/// What is said of an answer that is too short: it may grow, unless nothing more comes.
fn too_short(is_closed: bool) -> Judgement {
    if is_closed {
        invalid(b"")
    } else {
        Judgement::Wait
    }
}

/// A bind response of RFC 4511, 4.2.2: a message with the id of our request and the tag of a bind
/// response, whose first part is the result.
pub(crate) fn ldap_bind(bytes: &[u8], is_closed: bool) -> Judgement {
    let not_ldap = || invalid(b"Not LDAPv3 protocol");
    let Some(message) = skip_header(bytes, 0x30) else {
        return too_short(is_closed);
    };
    let Some(response) = message.get(3..) else {
        return too_short(is_closed);
    };
    if message[..3] != [0x02, 0x01, 0x01] {
        return not_ldap();
    }
    match response.first() {
        Some(0x61) => {}
        Some(_) => return not_ldap(),
        None => return too_short(is_closed),
    }
    let Some(result) = skip_header(response, 0x61) else {
        return too_short(is_closed);
    };
    match result {
        [0x0a, 0x01, 0, ..] => pass(b"Success"),
        [0x0a, 0x01, code, ..] => Judgement::Fail(found(
            CheckStatus::L7Status,
            u32::from(*code),
            b"See RFC: http://tools.ietf.org/html/rfc4511#section-4.1.9",
        )),
        [_, _, _, ..] => not_ldap(),
        _ => too_short(is_closed),
    }
}

/// What follows a tag and its length, as far as it is there.
fn skip_header(bytes: &[u8], tag: u8) -> Option<&[u8]> {
    match bytes {
        [first, length, rest @ ..] if *first == tag => {
            if length & 0x80 == 0 {
                Some(rest)
            } else {
                rest.get(usize::from(length & 0x7f)..)
            }
        }
        _ => None,
    }
}

/// A packet of MySQL: its body, and what follows it. `None`: not whole yet.
fn mysql_packet(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let [a, b, c, _number, rest @ ..] = bytes else {
        return None;
    };
    let length = u32::from_le_bytes([*a, *b, *c, 0]) as usize;
    rest.split_at_checked(length)
}

fn mysql_error(body: &[u8]) -> Judgement {
    match body {
        [0xff, low, high, text @ ..] => {
            let code = u32::from(u16::from_le_bytes([*low, *high]));
            Judgement::Fail(found(CheckStatus::L7Status, code, text))
        }
        _ => invalid(b""),
    }
}

/// The packet with which a server greets: its version, or why it will not talk.
pub(crate) fn mysql_handshake(bytes: &[u8], is_closed: bool) -> Judgement {
    match mysql_packet(bytes) {
        None => too_short(is_closed),
        Some((body @ [0xff, ..], _)) => mysql_error(body),
        Some(([_protocol, version @ ..], _)) => pass(version),
        Some(([], _)) => invalid(b""),
    }
}

/// The packet after that: whether the user may log in.
pub(crate) fn mysql_ok(bytes: &[u8], is_closed: bool) -> Judgement {
    let greeting = mysql_packet(bytes);
    let answer = greeting.and_then(|(_, rest)| mysql_packet(rest));
    match (greeting, answer) {
        (Some(([_protocol, version @ ..], _)), Some(([0x00 | 0xfe, ..], _))) => pass(version),
        (_, Some((body, _))) => mysql_error(body),
        (_, None) => too_short(is_closed),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn answers_of_directories() {
        let said = |hex: &str| {
            let bytes: Vec<u8> = (0..hex.len() / 2)
                .map(|index| u8::from_str_radix(&hex[2 * index..2 * index + 2], 16).unwrap())
                .collect();
            match ldap_bind(&bytes, true) {
                Judgement::Pass(finding) | Judgement::Fail(finding) => {
                    (finding.status.code(), finding.code, finding.info)
                }
                Judgement::Wait => unreachable!("it is closed"),
            }
        };
        let ok = ("L7OK", 0, "Success".to_owned());
        let other = ("L7RSP", 0, "Not LDAPv3 protocol".to_owned());
        assert_eq!(said("300c02010161070a010004000400"), ok);
        assert_eq!(said("3084000000100201016184000000070a010004000400"), ok);
        assert_eq!(said("300c02010161070a013104000400").0, "L7STS");
        assert_eq!(said("300c02010161070a013104000400").1, 49);
        assert_eq!(said("300c02010163070a010004000400"), other);
        assert_eq!(said("300c02010261070a010004000400"), other);
        assert_eq!(said("300c02010161"), ("L7RSP", 0, String::new()));
    }

    proptest! {
        #[test]
        fn no_bytes_confuse_them(bytes: Vec<u8>, is_closed: bool) {
            for judge in [ldap_bind, mysql_handshake, mysql_ok] {
                let judgement = judge(&bytes, is_closed);
                prop_assert!(!is_closed || judgement != Judgement::Wait);
            }
        }
    }
}
