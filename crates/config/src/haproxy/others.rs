//! What is read over, and still has to be right: sections whose lines do nothing here, and values of
//! keywords that do nothing. HAProxy refuses a file for such mistakes, and an operator wants to know.

use std::collections::HashSet;

use super::{Line, Reader};
use crate::Place;
use crate::draft::Spanned;
use crate::resolve::did_you_mean;
use crate::words::LEVELS;

/// A section that is read over, the words with which its lines begin, and what `no` may stand before.
/// The lines of sections that are not named here are not judged.
const LINES: [(&str, &[&str]); 8] = [
    (
        "peers",
        &[
            "bind",
            "default-bind",
            "default-server",
            "disabled",
            "enabled",
            "log",
            "peer",
            "server",
            "shards",
            "table",
        ],
    ),
    ("mailers", &["mailer", "timeout"]),
    (
        "ring",
        &[
            "backing-file",
            "default-server",
            "description",
            "format",
            "log",
            "maxlen",
            "server",
            "size",
            "timeout",
        ],
    ),
    ("program", &["command", "group", "no", "option", "user"]),
    (
        "cache",
        &[
            "max-age",
            "max-object-size",
            "max-secondary-entries",
            "process-vary",
            "total-max-size",
        ],
    ),
    ("http-errors", &["errorfile"]),
    (
        "fcgi-app",
        &[
            "acl",
            "docroot",
            "index",
            "log-stderr",
            "no",
            "option",
            "pass-header",
            "path-info",
            "set-param",
        ],
    ),
    ("crt-store", &["crt-base", "key-base", "load"]),
];

/// The statuses that have a page of their own in HAProxy.
const ERROR_STATUSES: [&str; 19] = [
    "200", "400", "401", "403", "404", "405", "407", "408", "410", "413", "421", "422", "425",
    "429", "500", "501", "502", "503", "504",
];

const TLS_FLAGS: [&str; 20] = [
    "allow-0rtt",
    "ca-file",
    "force-sslv3",
    "force-tlsv10",
    "force-tlsv11",
    "force-tlsv12",
    "force-tlsv13",
    "no-alpn",
    "no-sslv3",
    "no-strict-sni",
    "no-tls-tickets",
    "no-tlsv10",
    "no-tlsv11",
    "no-tlsv12",
    "no-tlsv13",
    "prefer-client-ciphers",
    "ssl-max-ver",
    "ssl-min-ver",
    "strict-sni",
    "tls-tickets",
];

/// What the sections that are read over are called, and who asks for one.
#[derive(Default)]
pub(super) struct Others {
    /// The one that is read.
    section: &'static str,
    /// `http-errors` sections, and those that an `errorfiles` names.
    pages: HashSet<String>,
    wanted_pages: Vec<Spanned<String>>,
    /// Groups that the last userlist has, and those that its users are said to be in.
    groups: HashSet<String>,
    wanted_groups: Vec<Spanned<String>>,
}

impl Reader<'_> {
    /// A section begins that is read over.
    pub(super) fn begin_other(&mut self, line: &Line<'_>, name: &'static str) {
        self.end_userlist();
        self.others.section = name;
        let called = line.words.get(1).map(|word| word.text.clone());
        match called {
            Some(called) if name == "http-errors" => drop(self.others.pages.insert(called)),
            None if name != "crt-store" && LINES.iter().any(|(section, _)| *section == name) => {
                self.error(line.here(), format!("'{name}' needs a name after it"));
            }
            _ => {}
        }
    }

    /// A line of it; says whether it is right.
    pub(super) fn other_line(&mut self, line: &Line<'_>) -> bool {
        let section = self.others.section;
        let first = &line.words[0];
        let Some((_, known)) = LINES.iter().find(|(name, _)| *name == section) else {
            return true;
        };
        if !known.contains(&first.text.as_str()) {
            let mut hint = did_you_mean(&first.text, known.iter().copied());
            if hint.is_empty() {
                hint = format!("; it is one of {}", known.join(", "));
            }
            let message = format!(
                "unknown keyword '{}' in '{section}' section{hint}",
                first.text
            );
            self.error(line.here(), message);
            return false;
        }
        let wanted = match (section, first.text.as_str()) {
            ("mailers", "mailer") => "a name and an address, such as: mailer smtp1 192.0.2.1:25",
            ("peers", "peer") => "a name and an address, such as: peer lb1 192.0.2.1:1024",
            _ => return true,
        };
        let enough = line.words.len() > 2;
        if !enough {
            self.error(line.here(), format!("'{}' needs {wanted}", first.text));
        }
        enough
    }

    /// The group that a user of a userlist is said to be in.
    pub(super) fn wants_group(&mut self, name: &str, place: Place) {
        self.others
            .wanted_groups
            .push(Spanned::new(name.to_owned(), place));
    }

    pub(super) fn has_group(&mut self, name: &str) {
        self.others.groups.insert(name.to_owned());
    }

    /// Groups of users that the userlist does not have.
    pub(super) fn end_userlist(&mut self) {
        let groups = std::mem::take(&mut self.others.groups);
        for group in std::mem::take(&mut self.others.wanted_groups) {
            if !groups.contains(&group.value) {
                let message = format!(
                    "there is no group '{name}' in this userlist; add 'group {name}'",
                    name = group.value
                );
                self.error(group.place, message);
            }
        }
    }

    /// Sections of error pages that are named and are not there.
    pub(super) fn judge_error_pages(&mut self) {
        for name in std::mem::take(&mut self.others.wanted_pages) {
            if !self.others.pages.contains(&name.value) {
                let known = self.others.pages.iter().map(String::as_str);
                let hint = did_you_mean(&name.value, known);
                let message = format!("there is no 'http-errors' section '{}'{hint}", name.value);
                self.error(name.place, message);
            }
        }
    }

    /// What a keyword that does nothing here has to say nevertheless; says whether it is right.
    pub(super) fn is_right(&mut self, line: &Line<'_>) -> bool {
        let Some(word) = line.args().first() else {
            return true;
        };
        let text = word.text.as_str();
        let (place, name) = (line.place(word), line.name);
        let message = match name {
            "errorfile" | "errorloc" | "errorloc302" | "errorloc303" => {
                if !ERROR_STATUSES.contains(&text) {
                    format!(
                        "'{name}': status '{text}' has no page of its own; those that have are {}",
                        ERROR_STATUSES.join(", ")
                    )
                } else if line.args().len() < 2 {
                    format!("'{name} {text}' needs a file or an address after it")
                } else {
                    return true;
                }
            }
            "email-alert level" if !LEVELS.contains(&text) => {
                format!(
                    "unknown log level '{text}'; it is one of {}",
                    LEVELS.join(", ")
                )
            }
            "errorfiles" => {
                let name = Spanned::new(text.to_owned(), place);
                self.others.wanted_pages.push(name);
                return true;
            }
            "default-path" => {
                let modes = ["current", "config", "parent", "origin"];
                if modes.contains(&text) {
                    return true;
                }
                format!(
                    "unknown default-path '{text}'; it is one of {}",
                    modes.join(", ")
                )
            }
            "ssl-default-bind-options" => return self.are_tls_flags(line),
            "tune.ssl.default-dh-param" if text.parse::<u32>().is_ok_and(|bits| bits < 1024) => {
                format!("'{name}' must be at least 1024, not {text}")
            }
            "tune.bufsize"
            | "tune.maxrewrite"
            | "tune.ssl.default-dh-param"
            | "tune.maxaccept"
            | "tune.maxpollevents"
            | "tune.http.maxhdr"
            | "tune.ssl.cachesize"
                if !is_size(text) =>
            {
                format!("'{name}' needs a number, not '{text}'")
            }
            "stick-table" => return self.is_stick_table(line),
            _ => return true,
        };
        self.error(place, message);
        false
    }

    fn are_tls_flags(&mut self, line: &Line<'_>) -> bool {
        let mut words = line.args().iter();
        while let Some(word) = words.next() {
            let text = word.text.as_str();
            if !TLS_FLAGS.contains(&text) {
                let hint = did_you_mean(text, TLS_FLAGS.into_iter());
                let message = format!("'{}' has no option '{text}'{hint}", line.name);
                self.error(line.place(word), message);
                return false;
            }
            if matches!(text, "ssl-min-ver" | "ssl-max-ver" | "ca-file") {
                words.next();
            }
        }
        true
    }

    fn is_stick_table(&mut self, line: &Line<'_>) -> bool {
        const TYPES: [&str; 6] = ["ip", "ipv4", "ipv6", "integer", "string", "binary"];
        let mut words = line.args().iter();
        let Some(word) = words
            .find(|word| word.text == "type")
            .and_then(|_| words.next())
        else {
            return true;
        };
        if TYPES.contains(&word.text.as_str()) {
            return true;
        }
        let mut hint = did_you_mean(&word.text, TYPES.into_iter());
        if hint.is_empty() {
            hint = format!("; it is one of {}", TYPES.join(", "));
        }
        let message = format!("unknown type '{}' of a stick-table{hint}", word.text);
        self.error(line.place(word), message);
        false
    }
}

/// A number, with a unit of sizes after it or without.
fn is_size(text: &str) -> bool {
    let digits = text.trim_start_matches('-');
    digits.starts_with(|c: char| c.is_ascii_digit())
}
