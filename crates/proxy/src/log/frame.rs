//! Puts what a target's `format` asks for around a message.

use std::io::Write;
use std::time::SystemTime;

use evenkeel_config::{LogFormat, LogTarget};

use super::Messages;
use super::clock::{self, Kind};
use super::custom::json_text;

/// Appends the whole line, with its line feed, cut at the target's length.
pub(super) fn write(
    line: &mut Vec<u8>,
    target: &LogTarget,
    severity: u8,
    tag: &str,
    pid: u32,
    (host, structured): (&str, &str),
    text: &str,
) {
    let priority = u32::from(target.facility) * 8 + u32::from(severity);
    let now = SystemTime::now();
    let written = clock::with(Kind::Sent, now, |second, rest| {
        let (syslog, iso, offset) = (&second.syslog, &second.iso, &second.offset);
        let micros = rest.subsec_micros();
        match target.format {
            // Auto has a frame of its own.
            LogFormat::Raw | LogFormat::Auto => Ok(()),
            LogFormat::Short => write!(line, "<{severity}>"),
            LogFormat::Priority => write!(line, "<{priority}>"),
            LogFormat::Iso => write!(line, "{iso}.{micros:06}{offset} "),
            LogFormat::Timed => write!(line, "<{severity}>{iso}.{micros:06}{offset} "),
            LogFormat::Local if host.is_empty() => {
                write!(line, "<{priority}>{syslog} {tag}[{pid}]: ")
            }
            // HAProxy names this machine so as long as log-send-hostname does not.
            LogFormat::Rfc3164 if host.is_empty() => {
                write!(line, "<{priority}>{syslog} localhost {tag}[{pid}]: ")
            }
            LogFormat::Local | LogFormat::Rfc3164 => {
                write!(line, "<{priority}>{syslog} {host} {tag}[{pid}]: ")
            }
            LogFormat::Rfc5424 => {
                let host = if host.is_empty() { "-" } else { host };
                let structured = if structured.is_empty() {
                    "-"
                } else {
                    structured
                };
                write!(
                    line,
                    "<{priority}>1 {iso}.{micros:06}{offset} {host} {tag} {pid} - {structured} "
                )
            }
        }
    });
    written.expect("writing to memory does not fail");
    line.extend_from_slice(text.as_bytes());
    line.truncate(target.max_length.saturating_sub(1));
    line.push(b'\n');
}

/// Appends the whole line as the process writes its own messages; with its priority toward the journal,
/// which knows the time. The text is cut at the target's length.
pub(super) fn own(
    line: &mut Vec<u8>,
    target: &LogTarget,
    severity: u8,
    pid: u32,
    (messages, is_journal): (Messages, bool),
    text: &str,
) {
    let (short, long) = match severity {
        0..=3 => ("ERROR", "error"),
        4 => ("WARN", "warning"),
        5 | 6 => ("INFO", "info"),
        _ => ("DEBUG", "debug"),
    };
    let mut end = text.len().min(target.max_length.saturating_sub(1));
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let text = &text[..end];
    let now = SystemTime::now();
    let written = clock::with(Kind::Sent, now, |second, rest| {
        let (iso, offset, millis) = (&second.iso, &second.offset, rest.subsec_millis());
        if is_journal {
            write!(line, "<{severity}>")?;
        }
        match messages {
            Messages::Lines if is_journal => write!(line, "{text}"),
            Messages::Lines => write!(line, "{iso}.{millis:03}{offset} {short:<5} {text}"),
            // The operator's own, by `log-line`.
            Messages::Objects if text.starts_with('{') => write!(line, "{text}"),
            Messages::Objects => {
                let mut message = String::new();
                json_text(&mut message, text);
                write!(
                    line,
                    r#"{{"level":"{long}","message":{message},"pid":{pid},"timestamp":"{iso}.{millis:03}{offset}"}}"#
                )
            }
        }
    });
    written.expect("writing to memory does not fail");
    line.push(b'\n');
}
