//! Reads one rule of `tcp-check` or `http-check` from its words.

use super::draft::{ConnectDraft, RequestDraft, Rule, RuleDraft};
use super::template::{Expression, Template, variable};
use super::{Bytes, CheckKind, CheckStatus, Expect, Matcher, Pattern, TextMatch};
use crate::resolve::did_you_mean;

/// What is wrong with a rule, and with which of its words.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mistake {
    pub(crate) word: usize,
    pub(crate) message: String,
}

/// Words being read, one after the other.
struct Words<'w> {
    words: &'w [&'w str],
    next: usize,
}

impl<'w> Words<'w> {
    fn next(&mut self) -> Option<&'w str> {
        let word = self.words.get(self.next).copied();
        self.next += usize::from(word.is_some());
        word
    }

    /// The word that has to follow the one just read.
    fn argument(&mut self) -> Result<&'w str, Mistake> {
        let name = self.words[self.next - 1];
        self.next()
            .ok_or_else(|| self.wrong(format!("'{name}' needs a value after it")))
    }

    /// Something is wrong with the word just read.
    fn wrong(&self, message: impl Into<String>) -> Mistake {
        Mistake {
            word: self.next.saturating_sub(1),
            message: message.into(),
        }
    }

    fn text(&mut self) -> Result<Template, Mistake> {
        let word = self.argument()?;
        Template::parse(word).map_err(|message| self.wrong(message))
    }

    fn hex(&mut self) -> Result<Vec<u8>, Mistake> {
        let word = self.argument()?;
        hex(word).ok_or_else(|| {
            self.wrong(format!(
                "'{word}' is not binary; write an even number of hexadecimal digits"
            ))
        })
    }

    fn pattern(&mut self) -> Result<Pattern, Mistake> {
        let word = self.argument()?;
        Pattern::new(word).map_err(|message| self.wrong(message))
    }
}

/// The bytes of an even number of hexadecimal digits.
pub(crate) fn hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text
        .chars()
        .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0)?;
    Some(digits.chunks(2).map(|two| two[0] << 4 | two[1]).collect())
}

/// Reads a rule: its words from the action on (`connect`, `send`, ...).
pub(crate) fn rule(kind: CheckKind, words: &[&str]) -> Result<Rule, Mistake> {
    let written = words.iter().map(|word| (*word).to_owned()).collect();
    let mut words = Words { words, next: 0 };
    let is_http = kind == CheckKind::Http;
    let Some(action) = words.next() else {
        return Err(words.wrong("a step is needed, such as 'connect'"));
    };
    let mut comment = None;
    let draft = match action {
        "connect" => RuleDraft::Connect(connect(&mut words, &mut comment)?),
        "comment" => RuleDraft::Comment(words.argument()?.to_owned()),
        "send" if is_http => RuleDraft::Request(request(&mut words, &mut comment)?),
        "send" | "send-lf" | "send-binary" | "send-binary-lf" if !is_http => {
            RuleDraft::Send(send(action, &mut words)?)
        }
        "expect" => RuleDraft::Expect(Box::new(expect(is_http, &mut words, &mut comment)?)),
        "disable-on-404" if is_http => RuleDraft::DisableOn404,
        "send-state" if is_http => RuleDraft::SendState,
        _ => match variable_rule(&mut words, action)? {
            Some(draft) => draft,
            None => {
                let tcp = [
                    "connect",
                    "send",
                    "send-lf",
                    "send-binary",
                    "send-binary-lf",
                    "expect",
                    "comment",
                ];
                let http = [
                    "connect",
                    "send",
                    "expect",
                    "comment",
                    "disable-on-404",
                    "send-state",
                ];
                let known = if is_http { &http[..] } else { &tcp[..] };
                let hint = did_you_mean(action, known.iter().copied());
                return Err(words.wrong(format!("unknown step '{action}'{hint}")));
            }
        },
    };
    while let Some(word) = words.next() {
        if word == "comment" && takes_comment(&draft) {
            comment = Some(words.argument()?.to_owned());
        } else {
            return Err(words.wrong(format!("unexpected argument '{word}' after '{action}'")));
        }
    }
    Ok(Rule {
        words: written,
        draft,
        comment,
    })
}

fn takes_comment(draft: &RuleDraft) -> bool {
    matches!(
        draft,
        RuleDraft::Connect(_) | RuleDraft::Send(_) | RuleDraft::Request(_) | RuleDraft::Expect(_)
    )
}

/// `set-var(name) expression`, `set-var-fmt(name) text`, `unset-var(name)`.
fn variable_rule(words: &mut Words<'_>, action: &str) -> Result<Option<RuleDraft>, Mistake> {
    let Some((verb, rest)) = action.split_once('(') else {
        return Ok(None);
    };
    if !matches!(verb, "set-var" | "set-var-fmt" | "unset-var") {
        return Ok(None);
    }
    let name = rest.strip_suffix(')').unwrap_or(rest);
    let name = variable(name).map_err(|message| words.wrong(message))?;
    Ok(Some(match verb {
        "unset-var" => RuleDraft::UnsetVariable(name),
        "set-var-fmt" => RuleDraft::SetVariable {
            name,
            value: words.text()?,
        },
        _ => {
            let word = words.argument()?;
            let value = Expression::parse(word).map_err(|message| words.wrong(message))?;
            RuleDraft::SetVariable {
                name,
                value: Template {
                    pieces: vec![super::Piece::Value(value)],
                },
            }
        }
    }))
}

fn connect(words: &mut Words<'_>, comment: &mut Option<String>) -> Result<ConnectDraft, Mistake> {
    let mut connect = ConnectDraft::default();
    while let Some(word) = words.next() {
        match word {
            "default" => connect.is_default = true,
            "port" => {
                let port = words.argument()?;
                let number: Option<u16> = port.parse().ok().filter(|port| *port > 0);
                connect.port = Some(number.ok_or_else(|| {
                    words.wrong(format!("'port' is a number from 1 to 65535, not '{port}'"))
                })?);
            }
            "addr" => {
                let address = words.argument()?;
                connect.address = Some(address.parse().map_err(|_| {
                    words.wrong(format!("'addr' is an IP address, not '{address}'"))
                })?);
            }
            "ssl" => connect.tls = true,
            "sni" => connect.sni = Some(words.argument()?.to_owned()),
            "alpn" => connect.alpn = Some(words.argument()?.to_owned()),
            "send-proxy" => connect.send_proxy = true,
            "linger" => connect.linger = true,
            "comment" => *comment = Some(words.argument()?.to_owned()),
            "via-socks4" => {
                return Err(
                    words.wrong("SOCKS is not supported; the connection would take another way")
                );
            }
            "proto" => {
                return Err(
                    words.wrong("'proto' is not supported: checks speak HTTP/1; leave it out")
                );
            }
            other => {
                let known = [
                    "default",
                    "port",
                    "addr",
                    "ssl",
                    "sni",
                    "alpn",
                    "send-proxy",
                    "linger",
                    "comment",
                ];
                let hint = did_you_mean(other, known.into_iter());
                return Err(words.wrong(format!("unknown option '{other}' of 'connect'{hint}")));
            }
        }
    }
    Ok(connect)
}

fn send(action: &str, words: &mut Words<'_>) -> Result<Bytes, Mistake> {
    let template = match action {
        "send" => Template::literal(words.argument()?),
        "send-binary" => Template::literal(words.hex()?),
        _ => words.text()?,
    };
    Ok(Bytes {
        template,
        is_hex: action == "send-binary-lf",
    })
}

fn request(words: &mut Words<'_>, comment: &mut Option<String>) -> Result<RequestDraft, Mistake> {
    let mut request = RequestDraft::default();
    while let Some(word) = words.next() {
        match word {
            "meth" => request.method = Some(words.argument()?.to_owned()),
            "uri" => request.uri = Some(Template::literal(words.argument()?)),
            "uri-lf" => request.uri = Some(words.text()?),
            "ver" => request.version = Some(version(words)?),
            "hdr" => {
                let name = words.argument()?.to_ascii_lowercase();
                if name == "host" && request.headers.iter().any(|(known, _)| *known == name) {
                    return Err(words.wrong("'Host' header already defined; leave one out"));
                }
                if name.is_empty() || !name.bytes().all(is_token) {
                    return Err(words.wrong(format!("'{name}' is not the name of a header")));
                }
                let value = words.text()?;
                // The body's length and coding are the request's own.
                if !matches!(&*name, "content-length" | "transfer-encoding") {
                    request.headers.push((name, value));
                }
            }
            "body" => request.body = Some(Template::literal(words.argument()?)),
            "body-lf" => request.body = Some(words.text()?),
            "comment" => *comment = Some(words.argument()?.to_owned()),
            other => {
                let known = [
                    "meth", "uri", "uri-lf", "ver", "hdr", "body", "body-lf", "comment",
                ];
                let hint = did_you_mean(other, known.into_iter());
                return Err(words.wrong(format!("unknown option '{other}' of 'send'{hint}")));
            }
        }
    }
    Ok(request)
}

pub(crate) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn version(words: &mut Words<'_>) -> Result<String, Mistake> {
    let version = words.argument()?;
    check_version(version).map_err(|message| words.wrong(message))?;
    Ok(version.to_owned())
}

fn check_version(version: &str) -> Result<(), String> {
    let is_version = version.strip_prefix("HTTP/").is_some_and(|number| {
        let bytes = number.as_bytes();
        matches!(bytes, [major, b'.', minor] if major.is_ascii_digit() && minor.is_ascii_digit())
    });
    if is_version {
        return Ok(());
    }
    if version.contains(['\r', '\n']) {
        return Err(
            "headers after the version are not supported; write 'http-check send ver HTTP/1.1 \
             hdr Host NAME'"
                .to_owned(),
        );
    }
    Err(format!(
        "'{version}' is not a version of HTTP; write HTTP/1.0 or HTTP/1.1"
    ))
}

/// `[method] [uri] [version]` as after `option httpchk`.
pub(crate) fn base_request(arguments: &[&str]) -> Result<RequestDraft, Mistake> {
    let mut request = RequestDraft::default();
    let (method, uri, version) = match arguments {
        [] => (None, None, None),
        [uri] => (None, Some(uri), None),
        [method, uri] => (Some(method), Some(uri), None),
        [method, uri, version] => (Some(method), Some(uri), Some(version)),
        [_, _, _, extra, ..] => {
            return Err(Mistake {
                word: 3,
                message: format!(
                    "unexpected argument '{extra}' after 'option httpchk'; write 'http-check send \
                     hdr Host NAME' for the host"
                ),
            });
        }
    };
    if let Some(version) = version {
        check_version(version).map_err(|message| Mistake { word: 2, message })?;
    }
    request.method = method.map(|word| (*word).to_owned());
    request.uri = uri.map(|word| Template::literal(*word));
    request.version = version.map(|word| (*word).to_owned());
    Ok(request)
}

const OK_STATUSES: [CheckStatus; 4] = [
    CheckStatus::L7Ok,
    CheckStatus::L7OkConditional,
    CheckStatus::L6Ok,
    CheckStatus::L4Ok,
];
const ERROR_STATUSES: [CheckStatus; 5] = [
    CheckStatus::L7OkConditional,
    CheckStatus::L7Response,
    CheckStatus::L7Status,
    CheckStatus::L6Response,
    CheckStatus::L4Connection,
];
const TIMEOUT_STATUSES: [CheckStatus; 3] = [
    CheckStatus::L7Timeout,
    CheckStatus::L6Timeout,
    CheckStatus::L4Timeout,
];

fn status(words: &mut Words<'_>, allowed: &[CheckStatus]) -> Result<CheckStatus, Mistake> {
    let word = words.argument()?;
    CheckStatus::among(word, allowed).ok_or_else(|| {
        let known: Vec<&str> = allowed.iter().map(|status| status.code()).collect();
        words.wrong(format!("'{word}' must be one of {}", known.join(", ")))
    })
}

impl Expect {
    pub(super) fn new(matcher: Matcher) -> Self {
        Self {
            min_recv: None,
            matcher,
            is_negated: false,
            ok_status: CheckStatus::L7Ok,
            error_status: None,
            timeout_status: CheckStatus::L7Timeout,
            on_success: None,
            on_error: None,
            status_code: None,
            tells_empty: false,
        }
    }
}

fn expect(
    is_http: bool,
    words: &mut Words<'_>,
    comment: &mut Option<String>,
) -> Result<Expect, Mistake> {
    let mut expect = Expect::new(Matcher::Status(Vec::new()));
    let mut found: Option<Matcher> = None;
    while let Some(word) = words.next() {
        match word {
            "min-recv" => {
                let number = words.argument()?;
                let number: i64 = number.parse().map_err(|_| {
                    words.wrong(format!(
                        "'min-recv' is a whole number from -1, not '{number}'"
                    ))
                })?;
                expect.min_recv = usize::try_from(number).ok();
            }
            "comment" => *comment = Some(words.argument()?.to_owned()),
            "ok-status" => expect.ok_status = status(words, &OK_STATUSES)?,
            "error-status" => expect.error_status = Some(status(words, &ERROR_STATUSES)?),
            "tout-status" => expect.timeout_status = status(words, &TIMEOUT_STATUSES)?,
            "on-success" => expect.on_success = Some(words.text()?),
            "on-error" => expect.on_error = Some(words.text()?),
            "status-code" => {
                let word = words.argument()?;
                let value = Expression::parse(word).map_err(|message| words.wrong(message))?;
                expect.status_code = Some(value);
            }
            _ if found.is_some() => {
                return Err(words.wrong(format!(
                    "unexpected argument '{word}': one pattern is enough for an 'expect'"
                )));
            }
            _ => {
                let name = match word.strip_prefix('!') {
                    None => word,
                    Some("") => {
                        expect.is_negated = true;
                        words.argument()?
                    }
                    Some(name) => {
                        expect.is_negated = true;
                        name
                    }
                };
                found = Some(matcher(is_http, name, words)?);
            }
        }
    }
    expect.matcher = found.ok_or_else(|| {
        words.wrong("'expect' needs a pattern, such as: string +OK, or status 200")
    })?;
    Ok(expect)
}

fn matcher(is_http: bool, name: &str, words: &mut Words<'_>) -> Result<Matcher, Mistake> {
    Ok(match name {
        "string" => {
            let wanted = words.argument()?.as_bytes().to_vec();
            if wanted.is_empty() {
                return Err(words.wrong("'string' needs some text to look for"));
            }
            Matcher::Bytes {
                wanted,
                is_hex: false,
            }
        }
        "rstring" => Matcher::Regex(words.pattern()?),
        "string-lf" => Matcher::Template(Bytes {
            template: words.text()?,
            is_hex: false,
        }),
        "binary" if !is_http => Matcher::Bytes {
            wanted: words.hex()?,
            is_hex: true,
        },
        "rbinary" if !is_http => Matcher::HexRegex(words.pattern()?),
        "binary-lf" if !is_http => Matcher::Template(Bytes {
            template: words.text()?,
            is_hex: true,
        }),
        "status" if is_http => {
            let word = words.argument()?;
            Matcher::Status(status_ranges(word).map_err(|message| words.wrong(message))?)
        }
        "rstatus" if is_http => Matcher::StatusRegex(words.pattern()?),
        "hdr" | "fhdr" if is_http => header(name == "fhdr", words)?,
        other => {
            let tcp = [
                "string",
                "rstring",
                "string-lf",
                "binary",
                "rbinary",
                "binary-lf",
            ];
            let http = [
                "status",
                "rstatus",
                "string",
                "rstring",
                "string-lf",
                "hdr",
                "fhdr",
            ];
            let known = if is_http { &http[..] } else { &tcp[..] };
            let hint = did_you_mean(other, known.iter().copied());
            return Err(words.wrong(format!(
                "unknown option or pattern '{other}' of 'expect'{hint}"
            )));
        }
    })
}

/// `200,201,300-310`.
pub(super) fn status_ranges(text: &str) -> Result<Vec<(u32, u32)>, String> {
    let wrong = || format!("'{text}' is no list of status codes, such as 200,300-399");
    text.split(',')
        .map(|part| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let number = |text: &str| text.parse::<u32>().map_err(|_| wrong());
            let (first, last) = (number(first)?, number(last)?);
            if first > last {
                return Err(wrong());
            }
            Ok((first, last))
        })
        .collect()
}

fn header(is_whole: bool, words: &mut Words<'_>) -> Result<Matcher, Mistake> {
    let name = match words.argument()? {
        "name" => text_match(words, false)?,
        "name-lf" => text_match(words, true)?,
        other => {
            return Err(words.wrong(format!(
                "a header is named by 'name' or 'name-lf', not '{other}'"
            )));
        }
    };
    let value = match words.words.get(words.next).copied() {
        Some(word @ ("value" | "value-lf")) => {
            words.next();
            Some(text_match(words, word == "value-lf")?)
        }
        _ => None,
    };
    Ok(Matcher::Header {
        name,
        value,
        is_whole,
    })
}

fn text_match(words: &mut Words<'_>, is_format: bool) -> Result<TextMatch, Mistake> {
    let mut method = "str";
    if words.words.get(words.next).copied() == Some("-m") {
        words.next();
        method = words.argument()?;
        if !matches!(method, "str" | "beg" | "end" | "sub" | "reg") {
            return Err(words.wrong(format!("'-m' is str, beg, end, sub or reg, not '{method}'")));
        }
    }
    if method == "reg" {
        if is_format {
            return Err(words.wrong("'-m reg' needs a fixed text; write 'name' or 'value'"));
        }
        return Ok(TextMatch::Regex(words.pattern()?));
    }
    let text = if is_format {
        words.text()?
    } else {
        Template::literal(words.argument()?)
    };
    Ok(match method {
        "beg" => TextMatch::Begin(text),
        "end" => TextMatch::End(text),
        "sub" => TextMatch::Contains(text),
        _ => TextMatch::Exact(text),
    })
}
