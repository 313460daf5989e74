//! Fetches of what the client sends: bytes of a TCP stream, or an HTTP request.

use std::sync::Arc;

use super::Context;
use super::call::Call;
use super::fetch::{Fetch, Found, When};
use super::known;
use super::pattern::{Method, TextMatch};
use super::sample::Kind;
use crate::UserList;
use crate::resolve::did_you_mean;

/// Something about the first bytes of the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// `wait_end`: true once no more bytes are waited for.
    WaitEnd,
    /// `req.len`: how many there are.
    Length,
    /// `req.payload`: some of them; a length of 0 means all there are.
    Payload {
        /// From where.
        offset: usize,
        /// How many.
        length: usize,
    },
    /// `req.ssl_hello_type`: 1 for a TLS ClientHello.
    HelloType,
    /// `req.ssl_sni`: the name that a ClientHello asks for.
    ServerName,
    /// `req.ssl_ver`: the TLS version, major in the upper 16 bits.
    TlsVersion,
    /// `req.ssl_alpn`: the protocols that a ClientHello offers, one by one.
    Alpn,
}

/// Something about an HTTP request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Http {
    /// `method`.
    Method,
    /// `path`: without the query.
    Path,
    /// `pathq`: with the query.
    PathAndQuery,
    /// `query`.
    Query,
    /// `url`: the request target as it was sent.
    Url,
    /// `req.ver`: `1.1`.
    Version,
    /// `base`: the host and the path.
    Base,
    /// `req.hdr(name)`: a value of a header, split at commas; which one, if it says.
    Header(String, Option<i32>),
    /// `req.fhdr(name)`: a header as a whole.
    FullHeader(String, Option<i32>),
    /// `req.hdr_cnt(name)`: how many values there are.
    HeaderCount(String),
    /// `req.cook(name)`: a cookie.
    Cookie(String),
    /// `url_param(name)`: a parameter of the query.
    Parameter(String),
    /// `req.proto_http`: whether it is HTTP.
    IsHttp,
    /// `http_auth(userlist)`: whether the request knows a password of it.
    Auth(Arc<UserList>),
    /// `http_auth_group(userlist)`: the groups of whoever does, separated by `/`.
    AuthGroups(Arc<UserList>),
}

/// What an HTTP fetch is called, and what it finds.
#[rustfmt::skip]
const HTTP: &[(&[&str], Kind)] = &[
    (&["method"], Kind::Text), (&["path"], Kind::Text), (&["pathq"], Kind::Text),
    (&["query"], Kind::Text), (&["url"], Kind::Text), (&["req.ver", "req_ver"], Kind::Text),
    (&["base"], Kind::Text), (&["req.hdr", "hdr"], Kind::Text), (&["req.fhdr"], Kind::Text),
    (&["req.hdr_cnt", "hdr_cnt"], Kind::Int), (&["req.hdr_val", "hdr_val"], Kind::Int),
    (&["req.hdr_ip", "hdr_ip"], Kind::Ip), (&["req.cook", "cook", "cookie"], Kind::Text),
    (&["url_param", "urlp"], Kind::Text), (&["req.proto_http", "req_proto_http"], Kind::Bool),
];

/// HTTP fetches that nothing here evaluates.
const OTHER_HTTP: &[&str] = &[
    "base32",
    "baseq",
    "capture.",
    "req.body",
    "req.cook_",
    "cook_",
    "request_date",
    "req.fhdr_cnt",
    "req.hdrs",
    "req.hdr_names",
    "req.timer.",
    "http_first_req",
    "unique-id",
    "url_ip",
    "url_port",
    "url32",
    "urlp_val",
];

/// Fetches of bytes that nothing here evaluates.
const OTHER_CONTENT: &[&str] = &[
    "distcc_",
    "payload",
    "req.payload_lv",
    "req.rdp_cookie",
    "rdp_cookie",
    "req.ssl_ec_ext",
    "req.ssl_st_ext",
    "req.ssl_",
    "mqtt_",
];

/// Matching methods that names of HTTP fetches end with.
const SUFFIXES: [(&str, Method); 7] = [
    ("_beg", Method::Text(TextMatch::Prefix)),
    ("_dir", Method::Text(TextMatch::Directory)),
    ("_dom", Method::Text(TextMatch::Domain)),
    ("_end", Method::Text(TextMatch::Suffix)),
    ("_len", Method::Length),
    ("_reg", Method::Regex),
    ("_sub", Method::Text(TextMatch::Substring)),
];

pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    let bytes = [
        "wait_end",
        "req.len",
        "req.payload",
        "req.ssl_hello_type",
        "req.ssl_sni",
        "req.ssl_ver",
        "req.ssl_alpn",
    ];
    let http = HTTP.iter().flat_map(|(names, _)| names.iter().copied());
    bytes.into_iter().chain(http)
}

pub(crate) fn find(call: &Call, context: &Context<'_>) -> Option<Result<Found, String>> {
    bytes(call)
        .or_else(|| http(call))
        .or_else(|| auth(call, context))
        .or_else(|| other(call))
}

/// `http_auth` and `http_auth_group`: who asks, by his password.
fn auth(call: &Call, context: &Context<'_>) -> Option<Result<Found, String>> {
    let kind = match call.name.as_str() {
        "http_auth" => Kind::Bool,
        "http_auth_group" => Kind::Text,
        _ => return None,
    };
    let named = || {
        let name = call.required(0, "the name of a userlist")?;
        let list = context.userlists.iter().find(|list| list.name == name);
        let list = list.ok_or_else(|| {
            let names = context.userlists.iter().map(|list| list.name.as_str());
            format!("there is no userlist '{name}'{}", did_you_mean(name, names))
        })?;
        let list = Arc::new(list.clone());
        Ok(match kind {
            Kind::Bool => (Http::Auth(list), None),
            // One of the groups, whole.
            _ => (
                Http::AuthGroups(list),
                Some(Method::Text(TextMatch::Directory)),
            ),
        })
    };
    Some(named().map(|(http, method)| Found {
        fetch: Fetch::Http(http),
        kind,
        when: When::Request,
        method,
    }))
}

fn bytes(call: &Call) -> Option<Result<Found, String>> {
    let (content, kind) = match call.name.as_str() {
        "wait_end" => (Content::WaitEnd, Kind::Bool),
        "req.len" | "req_len" => (Content::Length, Kind::Int),
        "req.payload" => return Some(payload(call)),
        "req.ssl_hello_type" | "req_ssl_hello_type" => (Content::HelloType, Kind::Int),
        "req.ssl_sni" | "req_ssl_sni" => (Content::ServerName, Kind::Text),
        "req.ssl_ver" | "req_ssl_ver" => (Content::TlsVersion, Kind::Int),
        "req.ssl_alpn" => (Content::Alpn, Kind::Text),
        _ => return None,
    };
    let when = match content {
        Content::WaitEnd => When::Always,
        _ => When::Request,
    };
    let fetch = Fetch::Content(content);
    Some(call.at_most(0).map(|()| Found {
        fetch,
        kind,
        when,
        method: None,
    }))
}

fn payload(call: &Call) -> Result<Found, String> {
    call.at_most(2)?;
    let number = |index, what| {
        let text = call.required(index, what)?;
        text.parse::<usize>()
            .map_err(|_| format!("'{}' needs whole numbers, not '{text}'", call.name))
    };
    let content = Content::Payload {
        offset: number(0, "an offset and a length")?,
        length: number(1, "a length")?,
    };
    Ok(Found {
        fetch: Fetch::Content(content),
        kind: Kind::Binary,
        when: When::Request,
        method: None,
    })
}

fn http(call: &Call) -> Option<Result<Found, String>> {
    let row = |name: &str| HTTP.iter().find(|(names, _)| names.contains(&name));
    let name = call.name.as_str();
    let (found, method) = match row(name) {
        Some(found) => (found, None),
        None => SUFFIXES
            .iter()
            .find_map(|(suffix, method)| Some((row(name.strip_suffix(suffix)?)?, Some(*method))))?,
    };
    let (names, kind) = found;
    let name = || Ok::<_, String>(call.argument(0).unwrap_or_default().to_owned());
    let occurrence = || {
        let text = call.argument(1);
        text.map(str::parse)
            .transpose()
            .map_err(|_| format!("'{}' counts occurrences with whole numbers", call.name))
    };
    let header = || {
        Ok::<_, String>((
            call.required(0, "the name of a header")?.to_owned(),
            occurrence()?,
        ))
    };
    let (most, http) = match names[0] {
        "method" => (0, Ok(Http::Method)),
        "path" => (0, Ok(Http::Path)),
        "pathq" => (0, Ok(Http::PathAndQuery)),
        "query" => (0, Ok(Http::Query)),
        "url" => (0, Ok(Http::Url)),
        "req.ver" => (0, Ok(Http::Version)),
        "base" => (0, Ok(Http::Base)),
        "req.hdr" | "req.hdr_val" | "req.hdr_ip" => {
            (2, header().map(|(name, which)| Http::Header(name, which)))
        }
        "req.fhdr" => (
            2,
            header().map(|(name, which)| Http::FullHeader(name, which)),
        ),
        "req.hdr_cnt" => (1, name().map(Http::HeaderCount)),
        "req.cook" => (1, name().map(Http::Cookie)),
        "url_param" => (3, name().map(Http::Parameter)),
        _ => (0, Ok(Http::IsHttp)),
    };
    let found = http.and_then(|http| {
        call.at_most(most)?;
        Ok(Found {
            fetch: Fetch::Http(http),
            kind: *kind,
            when: When::Request,
            method,
        })
    });
    Some(found)
}

fn other(call: &Call) -> Option<Result<Found, String>> {
    let name = call.name.as_str();
    let begins = |with: &&str| name.starts_with(*with) && known::is_known(name);
    let reason = if OTHER_CONTENT.iter().any(begins) {
        "nothing here reads that of what clients send"
    } else if OTHER_HTTP.iter().any(begins) {
        "nothing here reads that of an HTTP request"
    } else {
        return None;
    };
    let kind = if name.contains("payload") {
        Kind::Binary
    } else {
        Kind::Text
    };
    let fetch = Fetch::Unsupported(name.to_owned(), reason);
    Some(Ok(Found {
        fetch,
        kind,
        when: When::Request,
        method: None,
    }))
}
