//! The checks of well-known services: fixed steps, told from outside as HAProxy's are.

use super::draft::{ConnectDraft, Rule, RuleDraft};
use super::rule::{Mistake, hex};
use super::{
    Bytes, CheckKind, CheckStatus, Converter, Expect, Expression, Matcher, Pattern, Sample,
    Template,
};

/// The numbered steps of the check `kind`.
pub(super) fn steps(kind: CheckKind, arguments: &[&str]) -> Result<Vec<(u32, Rule)>, Mistake> {
    match kind {
        CheckKind::SslHello => none(arguments).map(|()| ssl_hello()),
        CheckKind::Redis => none(arguments).map(|()| redis()),
        CheckKind::Ldap => none(arguments).map(|()| ldap()),
        CheckKind::Smtp => smtp(arguments),
        CheckKind::Mysql => mysql(arguments),
        CheckKind::Pgsql => pgsql(arguments),
        CheckKind::Connect | CheckKind::TcpCheck | CheckKind::Http => Ok(Vec::new()),
    }
}

fn none(arguments: &[&str]) -> Result<(), Mistake> {
    match arguments {
        [] => Ok(()),
        [extra, ..] => Err(unexpected(0, extra)),
    }
}

fn unexpected(word: usize, extra: &str) -> Mistake {
    Mistake {
        word,
        message: format!("unexpected argument '{extra}'"),
    }
}

fn connect(linger: bool) -> (u32, Rule) {
    let draft = ConnectDraft {
        is_default: true,
        linger,
        ..ConnectDraft::default()
    };
    step(0, RuleDraft::Connect(draft))
}

fn step(number: u32, draft: RuleDraft) -> (u32, Rule) {
    (number, Rule::implied(draft))
}

fn send(number: u32, bytes: impl Into<Vec<u8>>) -> (u32, Rule) {
    let bytes = Bytes {
        template: Template::literal(bytes),
        is_hex: false,
    };
    step(number, RuleDraft::Send(bytes))
}

fn expect(number: u32, expect: Expect) -> (u32, Rule) {
    step(number, RuleDraft::Expect(Box::new(expect)))
}

fn pattern(text: &str) -> Matcher {
    Matcher::Regex(Pattern::new(text).expect("the patterns of this file are right"))
}

/// What the server said from `offset` on, to the end of its line.
fn line_from(offset: usize) -> Template {
    let said = Sample::Payload { offset, length: 0 };
    Template::value(said, &[Converter::CutCrlf])
}

/// A hello of SSL 3.0, as old as the check: what a server makes of it, an alert at least, shows
/// that it speaks TLS.
fn ssl_hello() -> Vec<(u32, Rule)> {
    let ciphers: Vec<u8> = (1..=0x1b).chain(0x2f..=0x3a).collect();
    let mut body = vec![3, 0];
    // The time, which no server looks at, and 28 bytes that need not be random.
    body.extend([0x6b, 0x08, 0xfc, 0xc4]);
    body.extend(b"EVENKEELCHK\nEVENKEELCHK\n....");
    body.push(0);
    body.extend([0, 2 * ciphers.len() as u8]);
    body.extend(ciphers.iter().flat_map(|cipher| [0, *cipher]));
    body.extend([1, 0]);
    let mut hello = vec![
        0x16,
        3,
        0,
        0,
        body.len() as u8 + 4,
        1,
        0,
        0,
        body.len() as u8,
    ];
    hello.extend(body);
    vec![
        connect(false),
        send(1, hello),
        expect(
            2,
            Expect {
                min_recv: Some(5),
                ok_status: CheckStatus::L6Ok,
                error_status: Some(CheckStatus::L6Response),
                timeout_status: CheckStatus::L6Timeout,
                on_success: Some(Template::default()),
                on_error: Some(Template::default()),
                tells_empty: true,
                ..Expect::new(pattern(r"^[\x15\x16]"))
            },
        ),
    ]
}

fn redis() -> Vec<(u32, Rule)> {
    vec![
        connect(false),
        send(1, "*1\r\n$4\r\nPING\r\n"),
        expect(
            2,
            Expect {
                error_status: Some(CheckStatus::L7Status),
                on_success: Some(Template::literal("Redis server is ok")),
                on_error: Some(line_from(0)),
                ..Expect::new(Matcher::Bytes {
                    wanted: b"+PONG\r\n".to_vec(),
                    is_hex: false,
                })
            },
        ),
    ]
}

/// An anonymous bind of LDAPv3.
fn ldap() -> Vec<(u32, Rule)> {
    let bind = hex("300c020101600702010304008000").expect("these are digits");
    let not_ldap = Template::literal("Not LDAPv3 protocol");
    vec![
        connect(false),
        send(1, bind),
        expect(
            2,
            Expect {
                min_recv: Some(14),
                error_status: Some(CheckStatus::L7Response),
                on_error: Some(not_ldap),
                ..Expect::new(pattern("^0"))
            },
        ),
        expect(3, Expect::new(Matcher::LdapBind)),
    ]
}

fn smtp(arguments: &[&str]) -> Result<Vec<(u32, Rule)>, Mistake> {
    let hello = match arguments {
        [command @ ("HELO" | "EHLO"), domain] => format!("{command} {domain}\r\n"),
        [_, _, extra, ..] => return Err(unexpected(2, extra)),
        _ => "HELO localhost\r\n".to_owned(),
    };
    let code = || {
        Some(Expression {
            sample: Sample::Payload {
                offset: 0,
                length: 3,
            },
            converters: Vec::new(),
        })
    };
    let positive = |text| Expect {
        min_recv: Some(4),
        error_status: Some(CheckStatus::L7Status),
        on_error: Some(line_from(4)),
        on_success: Some(line_from(4)),
        status_code: code(),
        ..Expect::new(pattern(text))
    };
    let greeting = Expect {
        min_recv: Some(4),
        error_status: Some(CheckStatus::L7Response),
        on_error: Some(line_from(0)),
        ..Expect::new(pattern("^[0-9]{3}[ \\r]"))
    };
    Ok(vec![
        connect(true),
        expect(2, greeting),
        expect(3, positive("^2[0-9]{2}[ \\r]")),
        send(4, hello),
        // HAProxy has patience with a server that does not like the greeting.
        expect(
            5,
            Expect {
                min_recv: None,
                ..positive("^2[0-9]{2}[- \\r]")
            },
        ),
        send(6, "QUIT\r\n"),
        expect(7, positive("^2[0-9]{2}[- \\r]")),
    ])
}

fn pgsql(arguments: &[&str]) -> Result<Vec<(u32, Rule)>, Mistake> {
    let ["user", user] = arguments else {
        return Err(match arguments {
            ["user", _, extra, ..] => unexpected(2, extra),
            _ => Mistake {
                word: 0,
                message: "it needs the name of a user after it: user NAME".to_owned(),
            },
        });
    };
    let mut body = b"\0\x03\0\0user\0".to_vec();
    body.extend(user.as_bytes());
    body.extend(b"\0\0");
    let mut startup = (body.len() as u32 + 4).to_be_bytes().to_vec();
    startup.extend(body);
    let said = Sample::Payload {
        offset: 6,
        length: 0,
    };
    let refusal = Expect {
        min_recv: Some(5),
        is_negated: true,
        error_status: Some(CheckStatus::L7Response),
        on_error: Some(Template::value(said, &[])),
        ..Expect::new(pattern("^E"))
    };
    let request = Expect {
        min_recv: Some(9),
        error_status: Some(CheckStatus::L7Status),
        on_success: Some(Template::literal("PostgreSQL server is ok")),
        on_error: Some(Template::literal("PostgreSQL unknown error")),
        ..Expect::new(pattern(
            r"(?s)^R\x00\x00\x00.\x00\x00\x00[\x00\x02-\x07\x09\x0a]",
        ))
    };
    Ok(vec![
        connect(true),
        send(2, startup),
        expect(3, refusal),
        expect(4, request),
    ])
}

fn mysql(arguments: &[&str]) -> Result<Vec<(u32, Rule)>, Mistake> {
    let (user, is_old) = match arguments {
        [] => (None, false),
        ["user", user] | ["user", user, "post-41"] => (Some(*user), false),
        ["user", user, "pre-41"] => (Some(*user), true),
        ["user", _, other] => {
            return Err(Mistake {
                word: 2,
                message: format!("'{other}' must be post-41 or pre-41"),
            });
        }
        ["user", _, _, extra, ..] => return Err(unexpected(3, extra)),
        ["user"] => {
            return Err(Mistake {
                word: 0,
                message: "'user' needs a name after it".to_owned(),
            });
        }
        [other, ..] => return Err(unexpected(0, other)),
    };
    let handshake = Expect {
        tells_empty: true,
        ..Expect::new(Matcher::MysqlHandshake)
    };
    let Some(user) = user else {
        return Ok(vec![connect(true), expect(2, handshake)]);
    };
    // Capabilities, the longest packet, and for 4.1 a character set and 23 zeroes.
    let mut login: Vec<u8> = if is_old {
        vec![0x00, 0x80, 0, 0, 1]
    } else {
        [&[0x00, 0x82, 0, 0, 0x00, 0x80, 0, 1, 0x21][..], &[0; 23]].concat()
    };
    login.extend(user.as_bytes());
    login.extend([0, 0]);
    let mut packet = packet(&login, 1);
    packet.extend([1, 0, 0, 0, 1]);
    Ok(vec![
        connect(true),
        send(2, packet),
        expect(3, handshake),
        expect(4, Expect::new(Matcher::MysqlOk)),
    ])
}

/// A packet of MySQL: three bytes of length, a number, the rest.
fn packet(body: &[u8], number: u8) -> Vec<u8> {
    let length = (body.len() as u32).to_le_bytes();
    [&length[..3], &[number], body].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(kind: CheckKind, arguments: &[&str]) -> Vec<Vec<u8>> {
        let steps = steps(kind, arguments).unwrap();
        steps
            .into_iter()
            .filter_map(|(_, rule)| match rule.draft {
                RuleDraft::Send(bytes) => match bytes.template.pieces.as_slice() {
                    [super::super::Piece::Text(text)] => Some(text.clone()),
                    other => panic!("{other:?}"),
                },
                _ => None,
            })
            .collect()
    }

    /// Each captured from HAProxy 3.0.
    #[test]
    fn requests_are_what_haproxy_sends() {
        assert_eq!(
            sent(CheckKind::Pgsql, &["user", "postgres"]),
            [b"\0\0\0\x17\0\x03\0\0user\0postgres\0\0".to_vec()]
        );
        assert_eq!(
            sent(CheckKind::Mysql, &["user", "root", "pre-41"]),
            [b"\x0b\0\0\x01\0\x80\0\0\x01root\0\0\x01\0\0\0\x01".to_vec()]
        );
        let mut login = b"&\0\0\x01\0\x82\0\0\0\x80\0\x01!".to_vec();
        login.extend([0; 23]);
        login.extend(b"root\0\0\x01\0\0\0\x01");
        assert_eq!(sent(CheckKind::Mysql, &["user", "root"]), [login]);
        assert_eq!(
            sent(CheckKind::Smtp, &["EHLO", "my.dom"]),
            [b"EHLO my.dom\r\n".to_vec(), b"QUIT\r\n".to_vec()]
        );
        assert_eq!(
            sent(CheckKind::Smtp, &["FOO", "x"])[0],
            b"HELO localhost\r\n"
        );
        assert_eq!(
            sent(CheckKind::Ldap, &[]),
            [b"0\x0c\x02\x01\x01`\x07\x02\x01\x03\x04\0\x80\0".to_vec()]
        );
        let hello = &sent(CheckKind::SslHello, &[])[0];
        assert_eq!(hello.len(), 126);
        assert_eq!(hello[..9], *b"\x16\x03\0\0y\x01\0\0u");
    }
}
