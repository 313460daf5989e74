//! The haproxy.cfg reader: lines, conditional blocks and sections of the text, into a [`Draft`].
//!
//! What a keyword means stands in the table of [`keywords`], by which [`dispatch`] goes; what a
//! section says is gathered by [`global`] and [`proxy`]; what only shows when all is read (mode http, missing timeouts) is
//! judged by [`judge`].

mod balance;
mod blocks;
mod checks;
mod condition;
mod dispatch;
mod global;
mod health;
mod http_rules;
mod judge;
mod keywords;
mod lexer;
mod load;
mod local;
mod net;
mod options;
mod others;
mod privileges;
mod proxy;
mod resolvers;
mod rules;
mod runtime;
mod section;
#[cfg(test)]
mod tests;
mod userlist;

use std::collections::HashMap;
use std::sync::Arc;

use crate::draft::{Draft, ResolversDraft, Spanned};
use crate::resolve::{did_you_mean, is_name_char, or_slip};
use crate::slips::slip;
use crate::{Environment, Place, Problem, Source};

pub use condition::evaluate_condition;
pub use keywords::keywords_markdown;
use lexer::Word;
pub(crate) use net::{parse_instead, parse_source};
pub(crate) use resolvers::parse_net;
pub use runtime::master_sockets;
use section::{Kind, Proxy};

/// The words of one line and their columns, as in a haproxy.cfg without variables: what a rule in
/// another language's string is made of.
pub(crate) fn words(line: &str) -> Result<Vec<(String, u32)>, (u32, String)> {
    lexer::words(line, &|_| None)
        .map(|words| {
            words
                .into_iter()
                .map(|word| (word.text, word.column))
                .collect()
        })
        .map_err(|error| (error.column, error.message))
}

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
        tls: options::TlsDefaults::default(),
        others: others::Others::default(),
        is_outside: false,
        in_userlist: false,
        environment_hidden: false,
        notices: HashMap::new(),
    };
    for source in sources {
        reader.file(source);
    }
    reader.end_section();
    reader.end_userlist();
    reader.judge_error_pages();
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
    Resolvers(Box<ResolversDraft>),
    /// One that is read over.
    Other,
}

/// HAProxy's bound: a file with a longer line does not load there either.
const MOST_WORDS: usize = 64;

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
    /// What holds for the TLS of every server.
    tls: options::TlsDefaults,
    /// Whether it was said that lines stand outside of any section.
    is_outside: bool,
    /// What is known of sections that are read over.
    others: others::Others,
    /// Whether the section that is read over is a `userlist`, of which only the lines count.
    in_userlist: bool,
    /// `resetenv`: only `variables` count.
    environment_hidden: bool,
    /// Which warning says for the first time that a keyword has no effect, and how often since.
    notices: HashMap<&'static str, (usize, usize)>,
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
        let mut blocks: Vec<blocks::Block> = Vec::new();
        let mut number = 0;
        let begin = Place {
            file: Arc::clone(&file),
            line: 1,
            column: 1,
        };
        if text.contains('\r') && !text.contains('\n') {
            let message = "every line ends with a carriage return alone, so that the file is one line; \
                           end lines with a line feed";
            return self.error(begin, message);
        }
        let unmarked = text.strip_prefix('\u{feff}');
        if unmarked.is_some() {
            let message = "the file begins with a byte order mark, which HAProxy refuses, too; save it as \
                           UTF-8 without one";
            self.error(begin, message);
        }
        for line in unmarked.unwrap_or(&text).split_inclusive('\n') {
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
        if let Some(word) = words.get(MOST_WORDS) {
            let place = Place {
                file: Arc::clone(file),
                line: number,
                column: word.column,
            };
            let message = format!(
                "a line has at most {MOST_WORDS} words, and '{}' is one more; say it in several lines",
                word.text
            );
            return self.error(place, message);
        }
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
            "resolvers" => {
                self.end_section();
                resolvers::begin(self, &line);
            }
            _ if other.is_some() => {
                self.end_section();
                self.section = Section::Other;
                self.in_userlist = first.text == "userlist";
                if let Some((name, _)) = other {
                    self.begin_other(&line, name);
                }
                if self.in_userlist {
                    self.begin_userlist(&line);
                }
                if let Some((name, support)) = other {
                    self.verdict(*support, &format!("section '{name}'"), name, &place, text);
                }
            }
            name => match &self.section {
                Section::Other if self.in_userlist => self.userlist_line(&line),
                Section::Other => {
                    if self.other_line(&line) {
                        let text = text.trim().to_owned();
                        self.draft.without_effect.push(Spanned::new(text, place));
                    }
                }
                // The lines that follow are of the same section, whatever it was to be.
                Section::None if self.is_outside => {}
                Section::None => {
                    self.is_outside = true;
                    let hint = did_you_mean(name, keywords::SECTIONS.into_iter());
                    let hint = or_slip(hint, name, "; begin one with 'global' or 'listen NAME'");
                    self.error(
                        place,
                        format!("keyword '{name}' outside of any section{hint}"),
                    );
                }
                Section::Resolvers(_) => resolvers::line(self, &line),
                Section::Global => self.keyword(line, true, text),
                Section::Proxy(_) => self.keyword(line, false, text),
            },
        }
    }

    fn proxy(&mut self) -> &mut Proxy {
        match &mut self.section {
            Section::Proxy(proxy) => proxy,
            _ => unreachable!("proxy keywords are looked up in proxy sections alone"),
        }
    }

    fn resolvers(&mut self) -> &mut ResolversDraft {
        match &mut self.section {
            Section::Resolvers(section) => section,
            _ => unreachable!("keywords of resolvers are read in their sections alone"),
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
        let mut named = self.defaults.iter().filter(|d| d.name.value == word.text);
        let found = named.next().cloned();
        if let (Some(first), Some(second)) = (&found, named.next()) {
            let message = format!(
                "'{}' is the name of two 'defaults' sections, at {} and {}; give each a name of its own",
                word.text, first.name.place, second.name.place
            );
            self.error(line.place(word), message);
        }
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
        match std::mem::replace(&mut self.section, Section::None) {
            Section::Proxy(mut proxy) if proxy.kind == Kind::Defaults => {
                for verdict in std::mem::take(&mut proxy.verdicts) {
                    self.report(verdict);
                }
                self.defaults.push(*proxy);
            }
            Section::Proxy(proxy) => self.proxies.push(*proxy),
            Section::Resolvers(section) => self.draft.resolvers.push(*section),
            Section::None | Section::Global | Section::Other => {}
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
                let slip = slip(&word.text);
                let message = format!("'{name}' needs a whole number, not '{}'{slip}", word.text);
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
                let Some((taken, time)) = crate::units::parse_beginning(&word.text) else {
                    let slip = slip(&word.text);
                    self.error(line.place(word), format!("'{name}': {message}{slip}"));
                    return None;
                };
                // As HAProxy does until its next release.
                self.warning(
                    line.place(word),
                    format!("'{name}': {message}; '{taken}' is taken, write that"),
                );
                Some(line.spanned(word, time))
            }
        }
    }
}
