//! What the `global` section says (HAProxy manual, section 3).

use std::path::PathBuf;

use super::{Line, Reader, options};
use crate::draft::{LogDraft, Maybe};
use crate::resolve::did_you_mean;
use crate::units::{PIPE_BYTES, parse_bytes};
use crate::words::{FACILITIES, LEVELS, Word};
use crate::{BusyPolling, LogFormat, LogHost, RelayMethod};

/// More threads than any machine has; HAProxy's own bound is lower.
const MOST_THREADS: i64 = 4096;

pub(super) fn maxconn(reader: &mut Reader<'_>, line: &Line<'_>) {
    if let Some(word) = reader.one(line)
        && let Some(number) = reader.number(line, line.name, word, 0..=i64::from(i32::MAX))
        && is_first(reader, line, reader.draft.global.maxconn.is_some())
    {
        reader.draft.global.maxconn = Some(line.spanned(word, number as u32));
    }
}

/// Warns of a second line of a keyword of which the first counts.
fn is_first(reader: &mut Reader<'_>, line: &Line<'_>, already: bool) -> bool {
    if already {
        let message = format!("'{}' is already specified; the first one counts", line.name);
        reader.warning(line.here(), message);
    }
    !already
}

pub(super) fn nbthread(reader: &mut Reader<'_>, line: &Line<'_>) {
    if let Some(word) = reader.one(line)
        && let Some(number) = reader.number(line, line.name, word, 1..=MOST_THREADS)
    {
        reader.draft.global.threads = Some(line.spanned(word, number as u16));
    }
}

pub(super) fn spread_checks(reader: &mut Reader<'_>, line: &Line<'_>) {
    if let Some(word) = reader.one(line)
        && let Some(number) = reader.number(line, line.name, word, 0..=50)
    {
        reader.draft.global.spread_checks = Some(line.spanned(word, number as u8));
    }
}

pub(super) fn pidfile(reader: &mut Reader<'_>, line: &Line<'_>) {
    if let Some(word) = reader.one(line)
        && is_first(reader, line, reader.draft.global.pidfile.is_some())
    {
        reader.draft.global.pidfile = Some(line.spanned(word, PathBuf::from(&word.text)));
    }
}

pub(super) fn daemon(reader: &mut Reader<'_>, line: &Line<'_>) {
    reader.no_more(line, 0);
    reader.draft.global.daemon = Some(line.spanned(&line.words[0], true));
}

pub(super) fn nosplice(reader: &mut Reader<'_>, line: &Line<'_>) {
    reader.no_more(line, 0);
    reader.draft.global.relay = Some(line.spanned(&line.words[0], RelayMethod::Copy));
}

pub(super) fn pipesize(reader: &mut Reader<'_>, line: &Line<'_>) {
    let Some(word) = reader.one(line) else {
        return;
    };
    match parse_bytes(&word.text) {
        // HAProxy's way of asking for the default.
        Some(0) => reader.draft.global.pipe_bytes = None,
        Some(bytes) if bytes <= *PIPE_BYTES.end() => {
            let bytes = bytes.max(*PIPE_BYTES.start()) as usize;
            reader.draft.global.pipe_bytes = Some(line.spanned(word, bytes));
        }
        // HAProxy reads anything, so that a file loads whatever stands here.
        _ => {
            let message = format!(
                "'{}' has no effect: '{}' is no size of up to 1g; write bytes, as in 1048576 or 1m",
                line.name, word.text
            );
            reader.warning(line.place(word), message);
        }
    }
}

pub(super) fn busy_polling(reader: &mut Reader<'_>, line: &Line<'_>) {
    reader.no_more(line, 0);
    let polling = if line.negated {
        BusyPolling::Off
    } else {
        BusyPolling::On
    };
    reader.draft.global.busy_polling = Some(line.spanned(&line.words[0], polling));
}

pub(super) fn hard_stop_after(reader: &mut Reader<'_>, line: &Line<'_>) {
    if let Some(word) = reader.one(line)
        && let Some(time) = reader.time(line, line.name, word)
    {
        reader.draft.global.hard_stop_after = Some(time);
    }
}

/// `log-send-hostname [NAME]`: without a name, this machine's.
pub(super) fn log_send_hostname(reader: &mut Reader<'_>, line: &Line<'_>) {
    reader.no_more(line, 1);
    let word = line.args().first();
    let host = word.map_or(LogHost::Own, |word| LogHost::Named(word.text.clone()));
    let place = word.unwrap_or(&line.words[0]);
    reader.draft.global.log_host = Some(line.spanned(place, host));
}

pub(super) fn log_tag(reader: &mut Reader<'_>, line: &Line<'_>) {
    if let Some(word) = reader.one(line) {
        reader.draft.global.log_tag = Some(line.spanned(word, word.text.clone()));
    }
}

pub(super) fn node(reader: &mut Reader<'_>, line: &Line<'_>) {
    if let Some(word) = reader.one(line) {
        let is_fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if word.text.is_empty() || !word.text.chars().all(is_fine) {
            let message = format!(
                "'node' needs a name of letters, digits and . - _, not '{}'",
                word.text
            );
            return reader.error(line.place(word), message);
        }
        reader.draft.global.node = Some(line.spanned(word, word.text.clone()));
    }
}

pub(super) fn description(reader: &mut Reader<'_>, line: &Line<'_>) {
    let Some(first) = line.args().first() else {
        return reader.error(line.here(), "'description' needs a text after it");
    };
    let texts: Vec<&str> = line.args().iter().map(|word| word.text.as_str()).collect();
    reader.draft.global.description = Some(line.spanned(first, texts.join(" ")));
}

pub(super) fn log(reader: &mut Reader<'_>, line: &Line<'_>) {
    if line.negated {
        reader.draft.global.logs.clear();
    } else if let Some(log) = log_line(reader, line) {
        reader.draft.global.logs.push(log);
    }
}

/// `setenv NAME VALUE`, and `presetenv`, which keeps a value that is there.
pub(super) fn setenv(reader: &mut Reader<'_>, line: &Line<'_>) {
    let [name, value, ..] = line.args() else {
        return reader.error(
            line.here(),
            format!("'{}' needs a name and a value", line.name),
        );
    };
    reader.no_more(line, 2);
    if line.name == "setenv" || reader.variable(&name.text).is_none() {
        reader
            .variables
            .insert(name.text.clone(), Some(value.text.clone()));
    }
}

/// `unsetenv NAME...` removes them, `resetenv [NAME...]` all but them.
pub(super) fn unsetenv(reader: &mut Reader<'_>, line: &Line<'_>) {
    let names: Vec<String> = line.args().iter().map(|word| word.text.clone()).collect();
    if line.name == "unsetenv" {
        if names.is_empty() {
            reader.error(
                line.here(),
                "'unsetenv' needs the names of variables after it",
            );
        }
        reader
            .variables
            .extend(names.into_iter().map(|name| (name, None)));
        return;
    }
    let kept: Vec<(String, Option<String>)> = names
        .into_iter()
        .map(|name| (name.clone(), reader.variable(&name)))
        .collect();
    reader.variables = kept.into_iter().collect();
    reader.environment_hidden = true;
}

pub(super) fn ssl_server_verify(reader: &mut Reader<'_>, line: &Line<'_>) {
    let Some(word) = reader.one(line) else {
        return;
    };
    match word.text.as_str() {
        "none" => reader.tls.is_unverified = true,
        "required" => reader.tls.is_unverified = false,
        other => {
            let message = format!("'ssl-server-verify' is none or required, not '{other}'");
            reader.error(line.place(word), message);
        }
    }
}

pub(super) fn max_spread_checks(reader: &mut Reader<'_>, line: &Line<'_>) {
    if let Some(word) = reader.one(line) {
        reader.draft.global.max_spread_checks = reader.time(line, line.name, word);
    }
}

/// `ca-base` and `crt-base`: where relative names of files start.
pub(super) fn tls_base(reader: &mut Reader<'_>, line: &Line<'_>) {
    if let Some(word) = reader.one(line) {
        let base = if line.name == "ca-base" {
            &mut reader.tls.ca_base
        } else {
            &mut reader.tls.crt_base
        };
        *base = Some(word.text.clone().into());
    }
}

/// `ssl-default-server-options`: the versions of TLS; the rest concerns none that checks speak.
pub(super) fn ssl_default_server_options(reader: &mut Reader<'_>, line: &Line<'_>) {
    let mut words = line.args().iter();
    while let Some(word) = words.next() {
        let argument = match word.text.as_str() {
            "ssl-min-ver" | "ssl-max-ver" => words.next().unwrap_or(word),
            _ => word,
        };
        let mut versions = std::mem::take(&mut reader.tls.versions);
        options::tls_version(reader, line, &word.text, argument, &mut versions);
        reader.tls.versions = versions;
    }
}

/// HAProxy's bounds of `len`.
const LINE_LENGTHS: std::ops::RangeInclusive<i64> = 80..=65535;

/// `log <address> [len N] [format F] [sample ...] <facility> [max level [min level]]`.
pub(super) fn log_line(reader: &mut Reader<'_>, line: &Line<'_>) -> Option<LogDraft> {
    let mut args = line.args().iter().peekable();
    let Some(address) = args.next() else {
        reader.error(
            line.here(),
            "'log' needs an address and a facility, such as: log /dev/log local0",
        );
        return None;
    };
    let text = super::lexer::expand_address(&address.text, &|name| reader.variable(name));
    let mut log = LogDraft {
        address: line.spanned(address, text),
        max_length: None,
        format: None,
        facility: None,
        max_level: None,
        min_level: None,
    };
    while let Some(option) =
        args.next_if(|w| matches!(&*w.text, "len" | "format" | "sample" | "profile"))
    {
        let Some(word) = args.next() else {
            reader.error(
                line.place(option),
                format!("'{}' needs a value after it", option.text),
            );
            return None;
        };
        match option.text.as_str() {
            "len" => {
                let length = reader.number(line, "len", word, LINE_LENGTHS)?;
                log.max_length = Some(line.spanned(word, length as usize));
            }
            "format" => {
                let known = LogFormat::ALL.iter();
                let mut known = known.filter(|(_, format)| *format != LogFormat::Auto);
                let Some((_, format)) = known.clone().find(|(name, _)| *name == word.text) else {
                    let hint = did_you_mean(&word.text, known.by_ref().map(|(name, _)| *name));
                    let message = format!("unknown log format '{}'{hint}", word.text);
                    reader.error(line.place(word), message);
                    return None;
                };
                log.format = Some(line.spanned(word, *format));
            }
            name => {
                let message = format!("'{name}' has no effect: every line is sent, as it is");
                reader.warning(line.place(option), message);
            }
        }
    }
    let Some(facility) = args.next() else {
        let message = "'log' needs a facility after the address, such as local0";
        reader.error(line.here(), message);
        return None;
    };
    log.facility = one_of(reader, line, "log facility", facility, &FACILITIES);
    log.facility.as_ref()?;
    if let Some(word) = args.next() {
        log.max_level = one_of(reader, line, "log level", word, &LEVELS);
    }
    if let Some(word) = args.next() {
        log.min_level = one_of(reader, line, "log level", word, &LEVELS);
    }
    if let Some(extra) = args.next() {
        reader.error(
            line.place(extra),
            format!("unexpected argument '{}' after 'log'", extra.text),
        );
    }
    Some(log)
}

/// The index of a word in a list.
fn one_of(
    reader: &mut Reader<'_>,
    line: &Line<'_>,
    what: &str,
    word: &super::Word,
    list: &[&str],
) -> Maybe<u8> {
    let Some(index) = list.iter().position(|known| *known == word.text) else {
        let hint = did_you_mean(&word.text, list.iter().copied());
        let hint = if hint.is_empty() {
            format!("; it is one of {}", list.join(", "))
        } else {
            hint
        };
        reader.error(
            line.place(word),
            format!("unknown {what} '{}'{hint}", word.text),
        );
        return None;
    };
    Some(line.spanned(word, index as u8))
}
