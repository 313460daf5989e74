//! From words to tests: `src,ipmask(24) -i -f FILE eq 1 2`.

use std::path::Path;
use std::sync::Arc;

use super::call::{Call, calls};
use super::converter::{self, Converter};
use super::fetch::{self, Fetch};
use super::network::Network;
use super::pattern::{Comparison, Matcher, Method, Reading};
use super::{Acl, Content, Context, Test};
use crate::Place;
use crate::draft::Spanned;
use crate::resolve::did_you_mean;

/// What HAProxy has ready under a name, and what it is short for.
const PREDEFINED: [(&str, &str); 23] = [
    ("FALSE", "always_false"),
    ("HTTP", "req.proto_http"),
    ("HTTP_1.0", "req.ver 1.0"),
    ("HTTP_1.1", "req.ver 1.1"),
    ("HTTP_2.0", "req.ver 2.0"),
    ("HTTP_3.0", "req.ver 3.0"),
    ("HTTP_CONTENT", "req.hdr_val(content-length) gt 0"),
    ("HTTP_URL_ABS", "url_reg ^[^/:]*://"),
    ("HTTP_URL_SLASH", "url_beg /"),
    ("HTTP_URL_STAR", "url *"),
    ("LOCALHOST", "src 127.0.0.1/8 ::1"),
    ("METH_CONNECT", "method CONNECT"),
    ("METH_DELETE", "method DELETE"),
    ("METH_GET", "method GET HEAD"),
    ("METH_HEAD", "method HEAD"),
    ("METH_OPTIONS", "method OPTIONS"),
    ("METH_POST", "method POST"),
    ("METH_PUT", "method PUT"),
    ("METH_TRACE", "method TRACE"),
    ("RDP_COOKIE", "req.rdp_cookie_cnt gt 0"),
    ("REQ_CONTENT", "req.len gt 0"),
    ("TRUE", "always_true"),
    ("WAIT_END", "wait_end"),
];

/// What every predefined acl is called.
pub(crate) fn predefined_names() -> impl Iterator<Item = &'static str> {
    PREDEFINED.iter().map(|(name, _)| *name)
}

/// Whether an acl is what HAProxy has ready under its name.
pub(crate) fn is_predefined(acl: &Acl) -> bool {
    let (Some(name), [test]) = (&acl.name, &acl.tests[..]) else {
        return false;
    };
    PREDEFINED.contains(&(name.as_str(), test.text.as_str()))
}

/// The acl that HAProxy has ready under `name`.
pub(crate) fn predefined(name: &str, context: &Context<'_>) -> Option<Arc<Acl>> {
    let (_, text) = PREDEFINED.iter().find(|(known, _)| *known == name)?;
    let words: Vec<Spanned<String>> = text
        .split(' ')
        .map(|word| Spanned::new(word.to_owned(), Place::whole_file("")))
        .collect();
    let test = test(&words, context).ok()?.test;
    Some(Arc::new(Acl {
        name: Some(name.to_owned()),
        tests: vec![test],
    }))
}

/// What was read, and what is odd about it.
pub(crate) struct Parsed {
    pub(crate) test: Test,
    pub(crate) warning: Option<Spanned<String>>,
}

/// Reads a sample that is not matched with anything.
pub(crate) fn sample(text: &str, context: &Context<'_>) -> Result<(Fetch, Vec<Converter>), String> {
    let parsed = expression(text, context)?;
    match parsed.fetch {
        Fetch::Unsupported(what, reason) => Err(format!("'{what}' is not supported: {reason}")),
        Fetch::Http(_) => Err(format!(
            "'{text}' is not supported here: it needs HTTP, which is not read in mode tcp"
        )),
        fetch => Ok((fetch, parsed.converters)),
    }
}

/// A fetch and what converts it.
struct Expression {
    call: Call,
    fetch: Fetch,
    converters: Vec<Converter>,
    kind: super::Kind,
    when: super::When,
    method: Option<Method>,
}

fn expression(text: &str, context: &Context<'_>) -> Result<Expression, String> {
    let mut calls = calls(text)?;
    let call = calls.remove(0);
    let found = fetch::find(&call, context)?;
    let mut kind = found.kind;
    let mut converters = Vec::new();
    let mut refused = None;
    for call in &calls {
        match Converter::parse(call) {
            Some(converter) => {
                let converter = converter?;
                let (takes, makes) = converter.kinds();
                if !converts(kind, takes) {
                    return Err(format!("'{}' cannot be applied in '{text}'", call.name));
                }
                kind = makes;
                converters.push(converter);
            }
            None => {
                refused = Some(unknown_converter(call)?);
                kind = super::Kind::Text;
            }
        }
    }
    let fetch = match refused {
        Some(reason) => Fetch::Unsupported(text.to_owned(), reason),
        None => found.fetch,
    };
    let method = found.method.filter(|_| calls.is_empty());
    Ok(Expression {
        method: method.or(Method::of(kind)),
        call,
        fetch,
        converters,
        kind,
        when: found.when,
    })
}

/// Reads one test.
pub(crate) fn test(
    words: &[Spanned<String>],
    context: &Context<'_>,
) -> Result<Parsed, Spanned<String>> {
    let Some((first, rest)) = words.split_first() else {
        let nowhere = Place::whole_file("");
        return Err(Spanned::new("missing fetch method".to_owned(), nowhere));
    };
    let wrong = |message: String| Spanned::new(message, first.place.clone());
    let Expression {
        call,
        fetch,
        converters,
        kind,
        when,
        method,
    } = expression(&first.value, context).map_err(wrong)?;
    let is_dotted = fetch == Fetch::Content(Content::TlsVersion);
    let mut patterns = Patterns {
        call: &call,
        kind,
        method,
        is_dotted,
        context,
        matcher: None,
        is_closed: false,
    };
    patterns.read(rest)?;
    let is_closed = patterns.is_closed;
    let matcher = patterns.finish(first)?;
    let warning = (matcher.is_empty() && !is_closed && !matches!(fetch, Fetch::Unsupported(..)))
        .then(|| {
            wrong(format!(
                "'{}' has nothing to be matched with, so it never matches; write values after it, \
             '-m found' for whether there is one, or '--' if it is meant so",
                first.value
            ))
        });
    let text = words
        .iter()
        .map(|word| quoted(&word.value))
        .collect::<Vec<_>>()
        .join(" ");
    Ok(Parsed {
        test: Test {
            text,
            fetch,
            converters,
            matcher,
            when,
        },
        warning,
    })
}

/// Whether a sample of one kind reads as another.
fn converts(from: super::Kind, to: super::Kind) -> bool {
    use super::Kind::{Bool, Int, Ip};
    !matches!((from, to), (Ip, Int | Bool) | (Bool, Ip))
}

/// Why a converter that HAProxy knows does not work here.
fn unknown_converter(call: &Call) -> Result<&'static str, String> {
    const LISTS: &[(&[&str], &str)] = &[
        (
            &["in_table", "table_"],
            "it reads a stick table, and none are kept",
        ),
        (
            &["map"],
            "maps are not supported; write one rule for each value",
        ),
        (
            &[
                "set-var",
                "unset-var",
                "strcmp",
                "secure_memcmp",
                "concat",
                "add_item",
            ],
            "variables are not kept",
        ),
    ];
    const OTHERS: &[&str] = &[
        "51d.single",
        "aes_gcm_dec",
        "aes_gcm_enc",
        "b64dec",
        "base64",
        "be2dec",
        "be2hex",
        "bytes",
        "capture-req",
        "capture-res",
        "crc32",
        "crc32c",
        "cut_crlf",
        "da-csv-conv",
        "debug",
        "digest",
        "djb2",
        "fix_is_valid",
        "fix_tag_value",
        "hex",
        "hex2i",
        "hmac",
        "host_only",
        "htonl",
        "http_date",
        "iif",
        "json",
        "json_query",
        "jwt_header_query",
        "jwt_payload_query",
        "jwt_verify",
        "language",
        "ltime",
        "ltrim",
        "mqtt_field_value",
        "mqtt_is_valid",
        "ms_ltime",
        "ms_utime",
        "nbsrv",
        "param",
        "port_only",
        "protobuf",
        "regsub",
        "rfc7239_field",
        "rfc7239_is_valid",
        "rfc7239_n2nn",
        "rfc7239_n2np",
        "rtrim",
        "sdbm",
        "sha1",
        "sha2",
        "srv_queue",
        "ub64dec",
        "ub64enc",
        "ungrpc",
        "url_dec",
        "url_enc",
        "us_ltime",
        "us_utime",
        "utime",
        "when",
        "word",
        "wt6",
        "x509_v_err_str",
        "xxh3",
        "xxh32",
        "xxh64",
    ];
    for (names, reason) in LISTS {
        if names.iter().any(|known| call.name.starts_with(known)) {
            return Ok(reason);
        }
    }
    if OTHERS.contains(&call.name.as_str()) {
        return Ok("its converter is not supported");
    }
    let known = converter::NAMES.into_iter().chain(OTHERS.iter().copied());
    let hint = did_you_mean(&call.name, known);
    Err(format!("unknown converter '{}'{hint}", call.name))
}

/// The words behind a fetch while they are read.
struct Patterns<'a> {
    call: &'a Call,
    kind: super::Kind,
    method: Option<Method>,
    is_dotted: bool,
    context: &'a Context<'a>,
    /// Once the method is sure.
    matcher: Option<Matcher>,
    /// Whether `--` stood there.
    is_closed: bool,
}

impl Patterns<'_> {
    fn read(&mut self, words: &[Spanned<String>]) -> Result<(), Spanned<String>> {
        let mut reading = Reading {
            ignore_case: false,
            comparison: Comparison::Eq,
            is_dotted: self.is_dotted,
        };
        let mut looks_up = true;
        let mut are_flags = true;
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let wrong = |message: String| Spanned::new(message, word.place.clone());
            let mut value = || {
                words
                    .next()
                    .ok_or_else(|| wrong(format!("'{}' needs a value after it", word.value)))
            };
            if !are_flags || !word.value.starts_with('-') {
                are_flags = false;
                self.pattern(word, &mut reading, looks_up)?;
                continue;
            }
            match word.value.as_str() {
                "--" => {
                    are_flags = false;
                    self.is_closed = true;
                }
                "-i" => reading.ignore_case = true,
                "-n" => looks_up = false,
                "-m" => {
                    let name = value()?;
                    self.choose(name)?;
                }
                "-f" => {
                    let file = value()?;
                    self.file(file, reading, looks_up)?;
                }
                "-u" => {
                    value()?;
                }
                "-M" => {
                    let message = "'-M' is not supported: maps are not; list the keys alone, and leave '-M' out";
                    return Err(wrong(message.to_owned()));
                }
                other => {
                    let message = format!(
                        "'{other}' is not a valid acl option; write '--' before a pattern that begins with '-'"
                    );
                    return Err(wrong(message));
                }
            }
        }
        Ok(())
    }

    fn choose(&mut self, name: &Spanned<String>) -> Result<(), Spanned<String>> {
        let wrong = |message| Err(Spanned::new(message, name.place.clone()));
        let Some(method) = Method::named(&name.value) else {
            let known = Method::ALL.iter().map(|(known, _)| *known);
            let hint = did_you_mean(&name.value, known);
            return wrong(format!("unknown matching method '{}'{hint}", name.value));
        };
        if !method.takes(self.kind) {
            let message = format!(
                "matching method '{}' cannot be used with '{}'",
                name.value, self.call.name
            );
            return wrong(message);
        }
        if self.matcher.is_some() {
            return wrong("'-m' must stand before '-f' and the first pattern".to_owned());
        }
        self.method = Some(method);
        Ok(())
    }

    fn matcher(&mut self, place: &Place) -> Result<&mut Matcher, Spanned<String>> {
        let method = self.method.ok_or_else(|| self.untyped(place))?;
        Ok(self.matcher.get_or_insert_with(|| method.matcher()))
    }

    fn untyped(&self, place: &Place) -> Spanned<String> {
        let message = format!(
            "'{}' needs a matching method, such as '-m bin', '-m str' or '-m found'",
            self.call.name
        );
        Spanned::new(message, place.clone())
    }

    fn finish(mut self, first: &Spanned<String>) -> Result<Matcher, Spanned<String>> {
        self.matcher(&first.place)?;
        self.matcher
            .ok_or_else(|| self.call.name.clone())
            .map_err(|name| Spanned::new(name, first.place.clone()))
    }

    fn pattern(
        &mut self,
        word: &Spanned<String>,
        reading: &mut Reading,
        looks_up: bool,
    ) -> Result<(), Spanned<String>> {
        if self.method.is_some_and(|method| method.takes_numbers())
            && let Some(comparison) = Comparison::named(&word.value)
        {
            reading.comparison = comparison;
            return Ok(());
        }
        self.add(&word.value, &word.place, *reading, looks_up)
    }

    fn add(
        &mut self,
        text: &str,
        place: &Place,
        reading: Reading,
        looks_up: bool,
    ) -> Result<(), Spanned<String>> {
        let context = self.context;
        let matcher = self.matcher(place)?;
        let added = match matcher {
            Matcher::Ip(networks) if Network::parse(text).is_none() && looks_up => {
                named(text, context).map(|found| networks.extend(found))
            }
            matcher => matcher.add(text, reading),
        };
        added.map_err(|message| Spanned::new(message, place.clone()))
    }

    /// Adds the lines of a file.
    fn file(
        &mut self,
        name: &Spanned<String>,
        reading: Reading,
        looks_up: bool,
    ) -> Result<(), Spanned<String>> {
        let text = read_file(&name.value, self.context)
            .map_err(|message| Spanned::new(message, name.place.clone()))?;
        if self.method.is_some_and(|method| !method.takes_patterns()) {
            return Ok(());
        }
        for (index, line) in text.lines().enumerate() {
            let pattern = line.trim_start_matches([' ', '\t']);
            if line.starts_with('#') || pattern.is_empty() {
                continue;
            }
            let pattern = pattern.trim_end_matches('\r');
            self.add(pattern, &name.place, reading, looks_up)
                .map_err(|error| {
                    let line = index + 1;
                    error.map(|message| format!("{}:{line}: {message}", name.value))
                })?;
        }
        self.matcher(&name.place)?;
        Ok(())
    }
}

/// The networks of a host name that stands where an address should: its IPv4 ones.
fn named(text: &str, context: &Context<'_>) -> Result<Vec<Network>, String> {
    let (name, mask) = match text.split_once('/') {
        Some((name, mask)) => (name, Some(mask)),
        None => (text, None),
    };
    let is_name = name.contains(|c: char| c.is_ascii_alphabetic())
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'));
    let found = if is_name {
        (context.environment.lookup)(name).unwrap_or_default()
    } else {
        Vec::new()
    };
    let networks: Vec<Network> = found
        .into_iter()
        .filter_map(|ip| match ip {
            std::net::IpAddr::V4(ip) => Network::of_name(ip, mask),
            std::net::IpAddr::V6(_) => None,
        })
        .collect();
    if networks.is_empty() {
        return Err(format!(
            "'{text}' is not a valid IPv4 or IPv6 address, and no name that resolves to one"
        ));
    }
    Ok(networks)
}

fn read_file(name: &str, context: &Context<'_>) -> Result<String, String> {
    for prefix in ["virt@", "opt@"] {
        if name.starts_with(prefix) {
            return Err(format!(
                "'-f {name}': patterns come from plain files alone, not from '{prefix}'"
            ));
        }
    }
    let name = name.strip_prefix("file@").unwrap_or(name);
    let bytes = (context.environment.read)(Path::new(name)).map_err(|error| {
        let reason = error.to_string();
        let reason = reason.split(" (os error").next().unwrap_or_default();
        let reason = reason.to_lowercase();
        format!("failed to open pattern file '{name}': {reason}")
    })?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A word as it is written, so that it is read again as the same.
fn quoted(word: &str) -> String {
    let is_plain = !word.is_empty()
        && !word
            .contains(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '\\' | '#' | '$'));
    if is_plain {
        return word.to_owned();
    }
    if !word.contains('\'') {
        return format!("'{word}'");
    }
    let escaped: String = word
        .chars()
        .flat_map(|c| {
            let needs = c.is_whitespace() || matches!(c, '"' | '\'' | '\\' | '#' | '$');
            needs.then_some('\\').into_iter().chain([c])
        })
        .collect();
    escaped
}
