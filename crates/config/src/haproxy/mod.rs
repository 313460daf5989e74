//! The haproxy.cfg reader: lines, conditional blocks and sections of the text, into a [`Draft`].
//!
//! What a keyword means stands in the table of [`keywords`]; what a section says is gathered by
//! [`global`] and [`proxy`]; what only shows when all is read (mode http, missing timeouts) is
//! judged by [`judge`].

mod condition;
mod global;
mod judge;
mod keywords;
mod lexer;
mod options;
mod proxy;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use crate::draft::{Draft, Spanned};
use crate::resolve::did_you_mean;
use crate::{Environment, Place, Problem, Source};

pub use condition::evaluate_condition;
pub use keywords::keywords_markdown;
use keywords::{Lookup, OptionSupport, Support};
use lexer::Word;
use proxy::{Kind, Proxy};

/// Reads every file as one configuration.
pub(crate) fn read(sources: &[&Source], environment: &Environment<'_>) -> Draft {
    let names: Vec<&str> = sources.iter().map(|source| source.name.as_str()).collect();
    let mut reader = Reader {
        environment,
        variables: HashMap::from([("HAPROXY_CFGFILES".to_owned(), Some(names.join(";")))]),
        draft: Draft::default(),
        section: Section::None,
        defaults: Vec::new(),
        proxies: Vec::new(),
        sections: 0,
        servers_unverified: false,
        environment_hidden: false,
        notices: HashMap::new(),
    };
    for source in sources {
        reader.file(source);
    }
    reader.end_section();
    judge::judge(reader)
}

/// One line of the text, split.
pub(crate) struct Line<'l> {
    file: &'l Arc<str>,
    number: u32,
    words: &'l [Word],
    /// The keyword as the table has it.
    name: &'static str,
    /// How many of `words` the keyword is.
    depth: usize,
    /// Whether `no` stood before it.
    negated: bool,
}

impl<'l> Line<'l> {
    fn place(&self, word: &Word) -> Place {
        Place {
            file: Arc::clone(self.file),
            line: self.number,
            column: word.column,
        }
    }

    /// Where the keyword stands.
    fn here(&self) -> Place {
        self.place(&self.words[0])
    }

    fn args(&self) -> &'l [Word] {
        &self.words[self.depth.min(self.words.len())..]
    }

    fn spanned<T>(&self, word: &Word, value: T) -> Spanned<T> {
        Spanned::new(value, self.place(word))
    }
}

/// The section that is being read.
enum Section {
    None,
    Global,
    Proxy(Box<Proxy>),
    /// One that is read over.
    Other,
}

/// What is known while reading.
pub(crate) struct Reader<'a> {
    environment: &'a Environment<'a>,
    /// What the configuration itself set (`setenv`) or removed.
    variables: HashMap<String, Option<String>>,
    draft: Draft,
    section: Section,
    /// Every `defaults` section so far.
    defaults: Vec<Proxy>,
    /// Every other proxy section so far.
    proxies: Vec<Proxy>,
    /// How many of those began.
    sections: usize,
    /// `ssl-server-verify none`.
    servers_unverified: bool,
    /// `resetenv`: only `variables` count.
    environment_hidden: bool,
    /// Which warning says for the first time that a keyword has no effect, and how often since.
    notices: HashMap<&'static str, (usize, usize)>,
}

/// One open `.if`.
struct Block {
    place: Place,
    /// Whether its lines count now.
    active: bool,
    /// Whether one of its branches was taken, or none may be.
    settled: bool,
    after_else: bool,
}

impl Reader<'_> {
    fn error(&mut self, place: Place, message: impl Into<String>) {
        self.draft
            .problems
            .push(Problem::error(place, message.into()));
    }

    fn warning(&mut self, place: Place, message: impl Into<String>) {
        self.draft
            .problems
            .push(Problem::warning(place, message.into()));
    }

    fn variable(&self, name: &str) -> Option<String> {
        if let Some(value) = self.variables.get(name) {
            return value.clone();
        }
        if self.environment_hidden {
            return None;
        }
        match name {
            "HAPROXY_BRANCH" => Some(condition::BRANCH.to_owned()),
            "HAPROXY_LOCALPEER" => (self.environment.variable)(name)
                .or_else(|| Some(self.environment.hostname.to_owned())),
            _ => (self.environment.variable)(name),
        }
    }

    fn file(&mut self, source: &Source) {
        let file: Arc<str> = Arc::from(source.name.as_str());
        let text = String::from_utf8_lossy(&source.text);
        let mut blocks: Vec<Block> = Vec::new();
        let mut number = 0;
        for line in text.split_inclusive('\n') {
            number += 1;
            if !line.ends_with('\n') {
                let column = u32::try_from(line.chars().count()).unwrap_or(u32::MAX);
                self.error(
                    Place {
                        file: Arc::clone(&file),
                        line: number,
                        column,
                    },
                    "missing LF on last line, file might have been truncated; end the line with a \
                     line feed",
                );
            }
            let line = line.trim_end_matches('\n');
            if line.trim_start().starts_with('.') {
                self.directive(&file, number, line, &mut blocks);
            } else if blocks.iter().all(|block| block.active) {
                self.line(&file, number, line);
            }
        }
        for block in blocks {
            self.error(block.place, "this '.if' has no '.endif'");
        }
    }

    /// `.if` and its kin (manual, section 2.4).
    fn directive(&mut self, file: &Arc<str>, number: u32, line: &str, blocks: &mut Vec<Block>) {
        let start = line.len() - line.trim_start().len();
        let rest = &line[start..];
        let end = rest.find([' ', '\t', '#', '\r']).unwrap_or(rest.len());
        let (name, rest) = rest.split_at(end);
        let column = |bytes: usize| u32::try_from(line[..bytes].chars().count() + 1).unwrap_or(0);
        let place = Place {
            file: Arc::clone(file),
            line: number,
            column: column(start),
        };
        let argument_column = column(start + end + (rest.len() - rest.trim_start().len()));
        let enclosing = |blocks: &[Block]| blocks.iter().all(|block| block.active);
        match name {
            ".if" => {
                let reached = enclosing(blocks);
                let active = reached && self.condition(&place, line, argument_column);
                blocks.push(Block {
                    place,
                    active,
                    settled: active || !reached,
                    after_else: false,
                });
            }
            ".elif" | ".else" => {
                let Some((block, outer)) = blocks.split_last_mut() else {
                    return self.error(place, format!("'{name}' without '.if'"));
                };
                if block.after_else {
                    return self.error(place, format!("'{name}' after '.else'"));
                }
                let reached = enclosing(outer) && !block.settled;
                block.after_else = name == ".else";
                let truth =
                    reached && (name == ".else" || self.condition(&place, line, argument_column));
                block.active = truth;
                block.settled |= truth;
            }
            ".endif" => {
                if blocks.pop().is_none() {
                    self.error(place, "'.endif' without '.if'");
                }
            }
            ".notice" | ".warning" | ".alert" | ".diag" => {
                if enclosing(blocks) {
                    self.message(&place, name, file, number, line);
                }
            }
            _ => {
                let known = [
                    ".if", ".elif", ".else", ".endif", ".notice", ".warning", ".alert", ".diag",
                ];
                let hint = did_you_mean(name, known.into_iter());
                self.error(place, format!("unknown directive '{name}'{hint}"));
            }
        }
    }

    fn condition(&mut self, place: &Place, line: &str, column: u32) -> bool {
        let text = lexer::single_word(line, column, &|name| self.variable(name))
            .map_err(|error| (error.column, error.message));
        let truth = text.and_then(|text| {
            condition::evaluate(&text, &|name| self.variable(name))
                .map_err(|message| (column, message))
        });
        truth.unwrap_or_else(|(column, message)| {
            self.error(
                Place {
                    column,
                    ..place.clone()
                },
                message,
            );
            false
        })
    }

    fn message(&mut self, place: &Place, name: &str, file: &Arc<str>, number: u32, line: &str) {
        let words = match lexer::words(line, &|name| self.variable(name)) {
            Ok(words) => words,
            Err(error) => {
                return self.error(
                    Place {
                        column: error.column,
                        ..place.clone()
                    },
                    error.message,
                );
            }
        };
        if let Some(extra) = words.get(2) {
            let place = Place {
                file: Arc::clone(file),
                line: number,
                column: extra.column,
            };
            return self.error(
                place,
                format!(
                    "unexpected argument '{}' for '{name}'; quote the message",
                    extra.text
                ),
            );
        }
        let text = words.get(1).map_or(String::new(), |word| word.text.clone());
        match name {
            ".alert" => self.error(place.clone(), text),
            ".warning" => self.warning(place.clone(), text),
            ".notice" => self.draft.notices.push(Spanned::new(text, place.clone())),
            // Shown with -dD only, a mode that this program does not have.
            _ => {}
        }
    }

    fn line(&mut self, file: &Arc<str>, number: u32, text: &str) {
        let words = match lexer::words(text, &|name| self.variable(name)) {
            Ok(words) => words,
            Err(error) => {
                let place = Place {
                    file: Arc::clone(file),
                    line: number,
                    column: error.column,
                };
                return self.error(place, error.message);
            }
        };
        let Some(first) = words.first() else {
            return;
        };
        let line = Line {
            file,
            number,
            words: &words,
            name: "",
            depth: 1,
            negated: false,
        };
        let place = line.here();
        let other = keywords::OTHER_SECTIONS
            .iter()
            .find(|(name, _)| *name == first.text);
        match first.text.as_str() {
            "global" => {
                self.end_section();
                self.section = Section::Global;
            }
            "defaults" => self.begin_proxy(&line, Kind::Defaults),
            "frontend" => self.begin_proxy(&line, Kind::Frontend),
            "backend" => self.begin_proxy(&line, Kind::Backend),
            "listen" => self.begin_proxy(&line, Kind::Listen),
            _ if other.is_some() => {
                self.end_section();
                self.section = Section::Other;
                if let Some((name, support)) = other {
                    self.verdict(*support, &format!("section '{name}'"), name, &place, text);
                }
            }
            name => match &self.section {
                Section::Other => {
                    self.draft
                        .without_effect
                        .push(Spanned::new(text.trim().to_owned(), place));
                }
                Section::None => {
                    let hint = did_you_mean(name, keywords::SECTIONS.into_iter());
                    self.error(
                        place,
                        format!("keyword '{name}' outside of any section{hint}"),
                    );
                }
                Section::Global => self.keyword(line, true, text),
                Section::Proxy(_) => self.keyword(line, false, text),
            },
        }
    }

    /// A keyword of `global` or of a proxy.
    fn keyword(&mut self, mut line: Line<'_>, global: bool, text: &str) {
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
            return;
        }
        match &row.support {
            Support::Works(run, _) => run(self, &line),
            Support::Http(http) => {
                if line.negated {
                    return;
                }
                let arguments = line.args().iter().map(|word| word.text.clone()).collect();
                let proxy = self.proxy();
                // A line of the section's own says the same again: the later one is named.
                proxy.http.retain(|line| {
                    line.name != name || line.kind != *http || *http == keywords::Http::Rules
                });
                proxy.http.push(proxy::HttpLine {
                    name,
                    kind: *http,
                    place: here,
                    arguments,
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

    fn unknown_keyword(&mut self, line: &Line<'_>, global: bool, texts: &[&str]) {
        // `timeout tunel`: the first word is known, the second is not.
        for known in (1..texts.len().min(3)).rev() {
            let prefix = texts[..known].join(" ");
            let candidates = keywords::continuations(global, &prefix);
            if candidates.is_empty() {
                continue;
            }
            let word = &line.words[known];
            let hint = did_you_mean(&word.text, candidates.into_iter());
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
        let hint = did_you_mean(texts[0], known);
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
                if matches!(name, "server" | "default-server" | "server-template") {
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
    fn verdict(
        &mut self,
        support: OptionSupport,
        subject: &str,
        key: &'static str,
        place: &Place,
        text: &str,
    ) {
        let verdict = proxy::Verdict {
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
    fn report(&mut self, verdict: proxy::Verdict) {
        let proxy::Verdict {
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

    fn proxy(&mut self) -> &mut Proxy {
        match &mut self.section {
            Section::Proxy(proxy) => proxy,
            _ => unreachable!("proxy keywords are looked up in proxy sections alone"),
        }
    }

    fn begin_proxy(&mut self, line: &Line<'_>, kind: Kind) {
        self.end_section();
        let mut args = line.words[1..].iter().peekable();
        let mut name = line.spanned(&line.words[0], String::new());
        match args.peek().copied() {
            Some(word) if word.text != "from" => {
                name = line.spanned(word, word.text.clone());
                args.next();
                if let Some(wrong) = word.text.chars().find(|c| !is_name_char(*c)) {
                    self.error(
                        name.place.clone(),
                        format!(
                            "character '{wrong}' is not permitted in the name '{}'; use letters, \
                                 digits and - _ . :",
                            name.value
                        ),
                    );
                }
            }
            _ if kind == Kind::Defaults => {}
            _ => self.error(
                line.here(),
                format!("'{}' needs a name after it", kind.section()),
            ),
        }
        let mut base = self.defaults.last().cloned();
        if kind == Kind::Defaults {
            base = None;
        }
        if args.peek().is_some_and(|word| word.text == "from") {
            let from = args.next();
            match args.next() {
                Some(word) => {
                    base = self.named_defaults(line, word);
                }
                None => {
                    if let Some(from) = from {
                        let place = line.place(from);
                        self.error(
                            place,
                            "'from' needs the name of a 'defaults' section after it",
                        );
                    }
                }
            }
        }
        if let Some(extra) = args.next() {
            let place = line.place(extra);
            if kind.accepts() {
                self.error(
                    place,
                    "please use the 'bind' keyword for listening addresses",
                );
            } else {
                self.warning(
                    place,
                    format!("'{}' after the section's name is ignored", extra.text),
                );
            }
        }
        let position = self.sections;
        if kind != Kind::Defaults {
            self.sections += 1;
        }
        let proxy = Proxy::begin(kind, name, line.here(), position, base);
        self.section = Section::Proxy(Box::new(proxy));
    }

    fn named_defaults(&mut self, line: &Line<'_>, word: &Word) -> Option<Proxy> {
        let found = self
            .defaults
            .iter()
            .rev()
            .find(|d| d.name.value == word.text)
            .cloned();
        if found.is_none() {
            let names: Vec<String> = self
                .defaults
                .iter()
                .map(|defaults| defaults.name.value.clone())
                .collect();
            let hint = did_you_mean(&word.text, names.iter().map(String::as_str));
            let message = format!("there is no 'defaults' section '{}'{hint}", word.text);
            self.error(line.place(word), message);
        }
        found
    }

    fn end_section(&mut self) {
        if let Section::Proxy(mut proxy) = std::mem::replace(&mut self.section, Section::None) {
            if proxy.kind == Kind::Defaults {
                for verdict in std::mem::take(&mut proxy.verdicts) {
                    self.report(verdict);
                }
                self.defaults.push(*proxy);
            } else {
                self.proxies.push(*proxy);
            }
        }
    }

    // What handlers of keywords have in common.

    /// The one argument of a keyword.
    fn one<'l>(&mut self, line: &Line<'l>) -> Option<&'l Word> {
        let word = line.args().first();
        if word.is_none() {
            self.error(
                line.here(),
                format!("'{}' needs a value after it", line.name),
            );
        }
        self.no_more(line, 1);
        word
    }

    /// Reports arguments beyond `count`.
    fn no_more(&mut self, line: &Line<'_>, count: usize) {
        if let Some(extra) = line.args().get(count) {
            let message = format!("unexpected argument '{}' after '{}'", extra.text, line.name);
            self.error(line.place(extra), message);
        }
    }

    /// A whole number between two bounds.
    fn number(
        &mut self,
        line: &Line<'_>,
        name: &str,
        word: &Word,
        bounds: std::ops::RangeInclusive<i64>,
    ) -> Option<i64> {
        match word.text.parse::<i64>() {
            Ok(number) if bounds.contains(&number) => Some(number),
            Ok(_) => {
                let message = format!(
                    "'{name}' must be between {} and {}, not {}",
                    bounds.start(),
                    bounds.end(),
                    word.text
                );
                self.error(line.place(word), message);
                None
            }
            Err(_) => {
                let message = format!("'{name}' needs a whole number, not '{}'", word.text);
                self.error(line.place(word), message);
                None
            }
        }
    }

    /// A time such as `5s`.
    fn time(
        &mut self,
        line: &Line<'_>,
        name: &str,
        word: &Word,
    ) -> Option<Spanned<std::time::Duration>> {
        match crate::units::parse_time(&word.text) {
            Ok(time) => Some(line.spanned(word, time)),
            Err(message) => {
                self.error(line.place(word), format!("'{name}': {message}"));
                None
            }
        }
    }
}

fn quoted(name: &str) -> String {
    format!("'{name}'")
}

fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':')
}

fn can_be_negated(name: &str, global: bool) -> bool {
    const NEVER: [&str; 17] = [
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
    name == "log"
        || name
            .strip_prefix("option ")
            .is_some_and(|option| !NEVER.contains(&option))
}
