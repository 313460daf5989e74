//! From a line to its keyword, and to the verdict on it.

use super::keywords::{self, Lookup, OptionSupport, Support};
use super::section::{HttpLine, Kind, Verdict};
use super::{Line, Reader, Section, local};
use crate::Place;
use crate::draft::Spanned;
use crate::resolve::{did_you_mean, or_slip};

impl Reader<'_> {
    /// A keyword of `global` or of a proxy.
    pub(super) fn keyword(&mut self, mut line: Line<'_>, global: bool, text: &str) {
        if line.words[0].text == "no" && line.words.len() > 1 {
            line.negated = true;
            line.words = &line.words[1..];
        }
        if line.words[0].text == "default" && line.words.len() > 1 {
            let message = "'default' before an option is not supported; leave the line out";
            return self.error(line.here(), message);
        }
        let texts: Vec<&str> = line.words.iter().map(|word| word.text.as_str()).collect();
        let Some(Lookup { row, name, words }) = keywords::find(global, &texts) else {
            return self.unknown_keyword(&line, global, &texts);
        };
        line.name = name;
        line.depth = words;
        let here = line.here();
        if line.negated && !can_be_negated(name, global) {
            return self.error(here, format!("'no' cannot stand before '{name}'"));
        }
        if !global && !self.may_stand_here(&line, row) {
            // What it says does not count, but is to be right, as in HAProxy.
            if let Support::Works(run, _) = &row.support
                && !matches!(name, "log-format" | "log-format-sd")
            {
                let before = self.proxy().clone();
                run(self, &line);
                *self.proxy() = before;
            }
            return;
        }
        if !self.has_fitting_arguments(&line, row, global) || !line.negated && !self.is_right(&line)
        {
            return;
        }
        match &row.support {
            Support::Works(run, _) => run(self, &line),
            Support::Http(http) => {
                if line.negated {
                    return;
                }
                let arguments = line.args().iter();
                let arguments = arguments.map(|word| line.spanned(word, word.text.clone()));
                let arguments = arguments.collect();
                let proxy = self.proxy();
                let section = proxy.place.clone();
                // A line of the section's own says the same again: the later one is named.
                let adds = *http == keywords::Http::Rules || local::ADDS.contains(&name);
                proxy
                    .http
                    .retain(|line| adds || line.name != name || line.kind != *http);
                proxy.http.push(HttpLine {
                    name,
                    kind: *http,
                    place: here,
                    arguments,
                    section,
                    text: text.trim().to_owned(),
                });
            }
            // What is denied is not done anyway.
            _ if line.negated => {}
            Support::Silent(reason) => {
                self.verdict(OptionSupport::Silent(reason), "", name, &here, text);
            }
            Support::NoEffect(reason) => {
                self.verdict(
                    OptionSupport::NoEffect(reason),
                    &quoted(name),
                    name,
                    &here,
                    text,
                );
            }
            Support::Refused(reason) => {
                self.verdict(
                    OptionSupport::Refused(reason),
                    &quoted(name),
                    name,
                    &here,
                    text,
                );
            }
        }
    }

    /// Whether a keyword that no function reads has arguments where it needs some, and none where
    /// it is a switch; says so when not.
    fn has_fitting_arguments(
        &mut self,
        line: &Line<'_>,
        row: &keywords::Row,
        global: bool,
    ) -> bool {
        if global || matches!(row.support, Support::Works(..) | Support::Refused(_)) {
            return true;
        }
        let is_switch = line.name.starts_with("option ") && can_be_negated(line.name, global);
        match line.args().first() {
            Some(_) if is_switch => {
                self.no_more(line, 0);
                false
            }
            None if !line.name.contains(' ') => {
                let message = format!("'{}' needs an argument after it", line.name);
                self.error(line.here(), message);
                false
            }
            _ => true,
        }
    }

    fn unknown_keyword(&mut self, line: &Line<'_>, global: bool, texts: &[&str]) {
        // `timeout tunel`: the first word is known, the second is not.
        for known in (1..texts.len().min(3)).rev() {
            let prefix = texts[..known].join(" ");
            let candidates = keywords::continuations(global, &prefix);
            if candidates.is_empty() {
                continue;
            }
            let word = &line.words[known];
            let mut hint = did_you_mean(&word.text, candidates.iter().copied());
            if hint.is_empty() {
                // More names than this are read by no one.
                hint = match candidates.len() {
                    ..=12 => format!("; write one of '{}'", candidates.join("', '")),
                    _ => LISTED.to_owned(),
                };
            }
            let message = format!("unknown {prefix} '{}'{hint}", word.text);
            return self.error(line.place(word), message);
        }
        let candidates = keywords::continuations(global, texts[0]);
        if !candidates.is_empty() {
            let message = format!(
                "'{}' needs a word after it, such as '{}'",
                texts[0], candidates[0]
            );
            return self.error(line.here(), message);
        }
        let section = match &self.section {
            Section::Proxy(proxy) => proxy.kind.section(),
            _ => "global",
        };
        let known = keywords::first_words(global)
            .chain(keywords::SECTIONS)
            .chain(keywords::OTHER_SECTIONS.iter().map(|(name, _)| *name));
        let belongs = keywords::find(!global, texts)
            .map(|found| found.row.scope.text())
            .or_else(|| {
                let others = keywords::continuations(!global, texts[0]);
                (!others.is_empty()).then_some(match global {
                    true => keywords::Scope::Any.text(),
                    false => keywords::Scope::Global.text(),
                })
            });
        let hint = match belongs {
            Some(sections) => format!("; it belongs to {sections}"),
            None => or_slip(did_you_mean(texts[0], known), texts[0], LISTED),
        };
        self.error(
            line.here(),
            format!(
                "unknown keyword '{}' in '{section}' section{hint}",
                texts[0]
            ),
        );
    }

    /// Whether a keyword may stand in the proxy section at hand; says so when it may not.
    fn may_stand_here(&mut self, line: &Line<'_>, row: &keywords::Row) -> bool {
        let (kind, who, is_named) = {
            let proxy = self.proxy();
            (proxy.kind, proxy.who(), !proxy.name.value.is_empty())
        };
        let name = line.name;
        // Options and checks are named by their second word, as HAProxy does.
        let short = name.strip_prefix("option ").unwrap_or(name);
        let first = short.split(' ').next().unwrap_or(short);
        let short = if short.starts_with("timeout ") {
            short
        } else {
            first
        };
        // HAProxy takes rules in defaults sections that have a name, and in no others.
        let is_rule = matches!(
            first,
            "acl"
                | "http-request"
                | "http-response"
                | "http-after-response"
                | "tcp-request"
                | "tcp-response"
        );
        match kind {
            Kind::Defaults if is_rule && !is_named => {
                self.error(
                    line.here(),
                    format!("'{first}' is not allowed in a 'defaults' section without a name"),
                );
                false
            }
            Kind::Defaults if !row.scope.admits_defaults() => {
                self.error(
                    line.here(),
                    format!("'{short}' is not allowed in 'defaults' sections"),
                );
                false
            }
            Kind::Frontend if !row.scope.admits_frontends() => {
                if matches!(
                    name,
                    "server" | "default-server" | "server-template" | "retry-on" | "use-server"
                ) {
                    self.error(
                        line.here(),
                        format!(
                            "'{name}' is not allowed because {who} has no backend capability; \
                                 put it into a 'backend' or 'listen' section"
                        ),
                    );
                } else {
                    self.warning(
                        line.here(),
                        format!("'{short}' ignored because {who} has no backend capability"),
                    );
                }
                false
            }
            Kind::Backend if !row.scope.admits_backends() => {
                let itself = line.args().first().filter(|word| {
                    matches!(name, "default_backend" | "use_backend")
                        && word.text == self.proxy().name.value
                });
                if let Some(word) = itself {
                    let message = format!(
                        "'{name}' leads back to '{}' itself; remove the line",
                        word.text
                    );
                    self.error(line.place(word), message);
                    return false;
                }
                self.warning(
                    line.here(),
                    format!("'{short}' ignored because {who} has no frontend capability"),
                );
                false
            }
            _ => true,
        }
    }

    /// Applies the verdict on a keyword that does nothing here. `subject` is how a message calls
    /// it, `key` what counts as the same again.
    pub(super) fn verdict(
        &mut self,
        support: OptionSupport,
        subject: &str,
        key: &'static str,
        place: &Place,
        text: &str,
    ) {
        let verdict = Verdict {
            support,
            subject: subject.to_owned(),
            key,
            place: place.clone(),
            text: text.trim().to_owned(),
        };
        match &mut self.section {
            // Whether the section's mode is http, where all this does not matter, shows later.
            Section::Proxy(proxy) => proxy.verdicts.push(verdict),
            _ => self.report(verdict),
        }
    }

    /// Says what a verdict says, once for all lines of a kind.
    pub(super) fn report(&mut self, verdict: Verdict) {
        let Verdict {
            support,
            subject,
            key,
            place,
            text,
        } = verdict;
        match support {
            OptionSupport::Works => return,
            OptionSupport::Refused(reason) => {
                return self.error(place, format!("{subject} is not supported: {reason}"));
            }
            OptionSupport::NoEffect(reason) => match self.notices.get_mut(key) {
                Some((_, again)) => *again += 1,
                None => {
                    self.notices.insert(key, (self.draft.problems.len(), 0));
                    self.warning(place.clone(), format!("{subject} has no effect: {reason}"));
                }
            },
            OptionSupport::Silent(_) => {}
        }
        self.draft.without_effect.push(Spanned::new(text, place));
    }
}

const LISTED: &str = "; 'evenkeel keywords' lists those that are known";

fn quoted(name: &str) -> String {
    format!("'{name}'")
}

fn can_be_negated(name: &str, global: bool) -> bool {
    const NEVER: [&str; 18] = [
        "tcpka",
        "forwardfor",
        "originalto",
        "httpchk",
        "httplog",
        "httpslog",
        "tcplog",
        "tcp-check",
        "ssl-hello-chk",
        "ldap-check",
        "smtpchk",
        "mysql-check",
        "pgsql-check",
        "redis-check",
        "spop-check",
        "external-check",
        "http-restrict-req-hdr-names",
        "http_proxy",
    ];
    if global {
        return matches!(
            name,
            "log"
                | "busy-polling"
                | "set-dumpable"
                | "strict-limits"
                | "insecure-fork-wanted"
                | "insecure-setuid-wanted"
                | "numa-cpu-mapping"
                | "quiet"
        );
    }
    matches!(name, "log" | "fail-open")
        || name
            .strip_prefix("option ")
            .is_some_and(|option| !NEVER.contains(&option))
}
