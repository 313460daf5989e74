//! The lines that `log-format` describes (HAProxy manual, section 8.2.6).

use std::borrow::Cow;
use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime};

use evenkeel_config::rules::Sample;
use evenkeel_config::{LogEncoding, LogField, LogItem, LogLine, LogStyle};

use super::clock::{self, Kind};
use super::session::{Peer, SessionRecord, millis};

/// What only lines of an operator's own ask about a session.
#[derive(Debug, Default)]
pub(crate) struct Details {
    /// Where the client came to.
    pub(crate) frontend: Option<SocketAddr>,
    /// Where the server is reached from.
    pub(crate) own: Option<SocketAddr>,
    /// Where the server is.
    pub(crate) server: Option<SocketAddr>,
    /// Which of the process's sessions it is, from 0.
    pub(crate) session: u64,
    /// Which of the frontend's lines it is, from 0.
    pub(crate) line: u64,
    /// What the samples of the line found, in their order, and then those of its structured data.
    pub(crate) samples: Vec<Option<Sample<'static>>>,
}

/// What a field comes to.
enum Value<'a> {
    /// A number, which goes on growing where the flag says so.
    Number(i64, bool),
    /// A text; an empty one stands for nothing.
    Text(Cow<'a, str>),
    Address(Option<IpAddr>),
    /// A date or another text of fixed form, never quoted.
    Fixed(Cow<'a, str>),
    /// A number that hexadecimal makes shorter: at least so many digits.
    Hexable(i64, usize),
}

/// Writes a session's line, or its structured data. `samples` are those that the line itself has.
pub(crate) fn write(
    out: &mut String,
    line: &LogLine,
    record: &SessionRecord<'_>,
    details: &Details,
    samples: &mut dyn Iterator<Item = &Option<Sample<'static>>>,
) {
    let is_json = line.encoding == LogEncoding::Json;
    if is_json {
        out.push('{');
    }
    let mut is_first = true;
    for item in &line.items {
        match item {
            LogItem::Text(text) if !is_json => {
                let text = if out.ends_with(' ') {
                    text.trim_start_matches(' ')
                } else {
                    text
                };
                out.push_str(text);
            }
            LogItem::Text(_) => {}
            LogItem::Field { field, style, name } => {
                let value = value(field, record, details, samples);
                if !is_json {
                    plain(out, &value, *style);
                } else if let Some(name) = name {
                    let comma = if is_first { "" } else { ", " };
                    is_first = false;
                    out.push_str(comma);
                    json_text(out, name);
                    out.push_str(": ");
                    json(out, &value, *style);
                }
            }
        }
    }
    if is_json {
        out.push('}');
    }
}

fn value<'a>(
    field: &'a LogField,
    record: &'a SessionRecord<'_>,
    details: &Details,
    samples: &mut dyn Iterator<Item = &Option<Sample<'static>>>,
) -> Value<'a> {
    let address = |address: Option<SocketAddr>| Value::Address(address.map(|a| a.ip()));
    let port = |address: Option<SocketAddr>| match address {
        Some(address) => Value::Hexable(address.port().into(), 4),
        None => Value::Text("".into()),
    };
    let count = |number: u32| Value::Number(number.into(), false);
    let client = match record.client {
        Peer::Inet(address) => Some(address),
        Peer::Unix { .. } => None,
    };
    match field {
        LogField::ClientIp | LogField::FrontendIp if client.is_none() => {
            Value::Fixed("unix".into())
        }
        LogField::ClientPort | LogField::FrontendPort if client.is_none() => match record.client {
            Peer::Unix { listener } => count(listener),
            Peer::Inet(_) => port(client),
        },
        LogField::ClientIp => address(client),
        LogField::ClientPort => port(client),
        LogField::FrontendIp => address(details.frontend),
        LogField::FrontendPort => port(details.frontend),
        LogField::Frontend => Value::Text(record.frontend.into()),
        LogField::Backend => Value::Text(record.backend.into()),
        LogField::BackendIp => address(details.own),
        LogField::BackendPort => port(details.own),
        LogField::Server => Value::Text(record.server_name().into()),
        LogField::ServerIp => address(details.server),
        LogField::ServerPort => port(details.server),
        LogField::Date => date(record.accepted, |second, rest| {
            format!("{}.{:03}", second.session, rest.as_millis())
        }),
        LogField::DateUtc => date(record.accepted, |second, _| second.clf.clone()),
        LogField::DateLocal => date(record.accepted, |second, _| second.zoned.clone()),
        LogField::Timestamp => Value::Hexable(since_epoch(record.accepted).as_secs() as i64, 4),
        LogField::Millis => {
            let millis = since_epoch(record.accepted).subsec_millis();
            Value::Fixed(format!("{millis:03}").into())
        }
        LogField::Pid => Value::Hexable(std::process::id().into(), 4),
        LogField::Hostname => Value::Text(hostname().into()),
        LogField::LogCounter => Value::Hexable(details.line as i64, 4),
        LogField::SessionCounter => Value::Hexable(details.session as i64, 4),
        LogField::WaitTime => Value::Number(record.waited(), false),
        LogField::ConnectTime => Value::Number(record.connected(), false),
        LogField::DataTime => {
            let before = record.waited.unwrap_or_default() + record.connect.unwrap_or_default();
            Value::Number(millis(record.total.saturating_sub(before)), false)
        }
        LogField::TotalTime => Value::Number(millis(record.total), record.goes_on),
        LogField::HandshakeTime => Value::Number(0, false),
        LogField::BytesToClient => Value::Number(record.bytes as i64, record.goes_on),
        LogField::BytesFromClient => Value::Number(record.uploaded as i64, false),
        LogField::End => Value::Fixed(record.end.into()),
        LogField::EndAndCookies => Value::Fixed(format!("{}--", record.end).into()),
        LogField::ProcessConnections => count(record.counts.process),
        LogField::FrontendConnections => count(record.counts.frontend),
        LogField::BackendConnections => count(record.counts.backend),
        LogField::ServerConnections => count(record.counts.server),
        LogField::Retries if record.is_redispatched => {
            Value::Fixed(format!("+{}", record.retries).into())
        }
        LogField::Retries => count(record.retries),
        LogField::ServerQueue => count(record.passed.server),
        LogField::BackendQueue => count(record.passed.backend),
        LogField::Nothing("-") => Value::Text("".into()),
        LogField::Nothing("<BADREQ>") => Value::Text("<BADREQ>".into()),
        LogField::Nothing(fixed) => Value::Fixed((*fixed).into()),
        LogField::Sample(..) => match samples.next().and_then(Option::as_ref) {
            None => Value::Text("".into()),
            Some(Sample::Int(number)) => Value::Number(*number, false),
            Some(sample) => {
                let text = String::from_utf8_lossy(&sample.as_text()).into_owned();
                Value::Text(text.into())
            }
        },
    }
}

fn date<'a>(at: SystemTime, form: impl FnOnce(&clock::Second, Duration) -> String) -> Value<'a> {
    Value::Fixed(clock::with(Kind::Began, at, form).into())
}

fn since_epoch(at: SystemTime) -> Duration {
    at.duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
}

/// This machine's name as the kernel has it.
pub(super) fn hostname() -> String {
    rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned()
}

fn plain(out: &mut String, value: &Value<'_>, style: LogStyle) {
    match value {
        Value::Number(number, goes_on) => {
            let mark = if *goes_on { "+" } else { "" };
            put(out, format_args!("{mark}{number}"));
        }
        Value::Hexable(number, digits) if style.hex => put(out, format_args!("{number:0digits$X}")),
        Value::Hexable(number, _) => put(out, format_args!("{number}")),
        Value::Fixed(text) => out.push_str(text),
        Value::Address(Some(ip)) if style.hex => {
            let octets = match ip {
                IpAddr::V4(ip) => ip.octets().to_vec(),
                IpAddr::V6(ip) => ip.octets().to_vec(),
            };
            for octet in octets {
                put(out, format_args!("{octet:02X}"));
            }
        }
        Value::Address(Some(ip)) => text(out, &ip.to_string(), style),
        Value::Address(None) => text(out, "", style),
        Value::Text(words) => text(out, words, style),
    }
}

/// A text as it may stand in a log: quoted and escaped as asked for, and never with characters
/// that a terminal would take for something else (HAProxy manual, section 8.6).
fn text(out: &mut String, words: &str, style: LogStyle) {
    if words.is_empty() && !style.quote {
        out.push('-');
        return;
    }
    let quote = if style.quote { "\"" } else { "" };
    out.push_str(quote);
    for c in words.chars() {
        match c {
            '"' | '\\' | ']' if style.escape => {
                out.push('\\');
                out.push(c);
            }
            '"' if style.quote => out.push_str("#22"),
            ' '..='~' => out.push(c),
            _ => {
                let mut bytes = [0; 4];
                for byte in c.encode_utf8(&mut bytes).bytes() {
                    put(out, format_args!("#{byte:02X}"));
                }
            }
        }
    }
    out.push_str(quote);
}

fn json(out: &mut String, value: &Value<'_>, style: LogStyle) {
    match value {
        Value::Number(number, _) => put(out, format_args!("{number}")),
        Value::Hexable(number, _) if !style.hex => put(out, format_args!("{number}")),
        Value::Fixed(text) if text.parse::<i64>().is_ok() => out.push_str(text),
        Value::Fixed(text) | Value::Text(text) => json_text(out, text),
        Value::Address(None) => json_text(out, ""),
        value => {
            let mut written = String::new();
            plain(
                &mut written,
                value,
                LogStyle {
                    quote: false,
                    ..style
                },
            );
            json_text(out, &written);
        }
    }
}

/// A string of RFC 8259.
pub(super) fn json_text(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            '\0'..=' ' if c != ' ' => put(out, format_args!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}

fn put(out: &mut String, arguments: std::fmt::Arguments<'_>) {
    out.write_fmt(arguments)
        .expect("writing to memory does not fail");
}
