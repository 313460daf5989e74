//! Matching methods and what a sample is matched with (HAProxy manual, section 7.1).

use regex::bytes::{Regex, RegexBuilder};

use super::network::Network;
use super::sample::{Kind, Sample};

/// A matching method with its patterns; a sample that matches one of them matches.
#[derive(Clone, Debug, PartialEq)]
pub enum Matcher {
    /// `found`: there is a sample.
    Found,
    /// `bool`: the sample is true, or not 0.
    Bool,
    /// `int`: the sample is in one of these ranges.
    Int(Vec<Range>),
    /// `len`: the sample's length is in one of these ranges.
    Length(Vec<Range>),
    /// `ip`: the sample is in one of these networks.
    Ip(Vec<Network>),
    /// `bin`: the sample is one of these.
    Binary(Vec<Vec<u8>>),
    /// `str`, `beg`, `end`, `sub`, `dir`, `dom`.
    Text(TextMatch, Vec<TextPattern>),
    /// `reg`: one of these is found in the sample.
    Regex(Vec<Expression>),
}

/// How text is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextMatch {
    /// `str`: they are the same.
    Exact,
    /// `beg`: the sample begins so.
    Prefix,
    /// `end`: the sample ends so.
    Suffix,
    /// `sub`: it is somewhere in the sample.
    Substring,
    /// `dir`: it is in the sample between slashes.
    Directory,
    /// `dom`: it is in the sample between dots, colons, slashes and question marks.
    Domain,
}

/// Text, and whether upper and lower case are the same in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextPattern {
    text: Vec<u8>,
    ignore_case: bool,
}

/// Numbers from `low` to `high`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    low: i64,
    high: i64,
}

/// A regular expression that compiled.
#[derive(Clone, Debug)]
pub struct Expression(Regex, bool);

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str() && self.1 == other.1
    }
}

/// What a matching method is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Found,
    Bool,
    Int,
    Length,
    Ip,
    Binary,
    Text(TextMatch),
    Regex,
}

impl Method {
    /// Every method by the name that `-m` gives it.
    pub(crate) const ALL: [(&'static str, Self); 13] = [
        ("found", Self::Found),
        ("bool", Self::Bool),
        ("int", Self::Int),
        ("len", Self::Length),
        ("ip", Self::Ip),
        ("bin", Self::Binary),
        ("str", Self::Text(TextMatch::Exact)),
        ("beg", Self::Text(TextMatch::Prefix)),
        ("end", Self::Text(TextMatch::Suffix)),
        ("sub", Self::Text(TextMatch::Substring)),
        ("dir", Self::Text(TextMatch::Directory)),
        ("dom", Self::Text(TextMatch::Domain)),
        ("reg", Self::Regex),
    ];

    pub(crate) fn named(name: &str) -> Option<Self> {
        let mut all = Self::ALL.iter();
        Some(all.find(|(known, _)| *known == name)?.1)
    }

    /// The method of a kind where the text names none; binary has none.
    pub(crate) fn of(kind: Kind) -> Option<Self> {
        match kind {
            Kind::Bool => Some(Self::Bool),
            Kind::Int => Some(Self::Int),
            Kind::Ip => Some(Self::Ip),
            Kind::Text => Some(Self::Text(TextMatch::Exact)),
            Kind::Binary => None,
        }
    }

    /// Whether samples of a kind can be matched so.
    pub(crate) fn takes(self, kind: Kind) -> bool {
        match self {
            Self::Int | Self::Bool => kind != Kind::Ip,
            Self::Ip => kind != Kind::Bool,
            _ => true,
        }
    }

    pub(crate) fn takes_patterns(self) -> bool {
        !matches!(self, Self::Found | Self::Bool)
    }

    pub(crate) fn takes_numbers(self) -> bool {
        matches!(self, Self::Int | Self::Length)
    }

    /// A matcher without patterns yet.
    pub(crate) fn matcher(self) -> Matcher {
        match self {
            Self::Found => Matcher::Found,
            Self::Bool => Matcher::Bool,
            Self::Int => Matcher::Int(Vec::new()),
            Self::Length => Matcher::Length(Vec::new()),
            Self::Ip => Matcher::Ip(Vec::new()),
            Self::Binary => Matcher::Binary(Vec::new()),
            Self::Text(how) => Matcher::Text(how, Vec::new()),
            Self::Regex => Matcher::Regex(Vec::new()),
        }
    }
}

/// An operator before numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    Eq,
    Ge,
    Gt,
    Le,
    Lt,
}

impl Comparison {
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "eq" => Some(Self::Eq),
            "ge" => Some(Self::Ge),
            "gt" => Some(Self::Gt),
            "le" => Some(Self::Le),
            "lt" => Some(Self::Lt),
            _ => None,
        }
    }
}

/// How the words behind a fetch are to be read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    pub(crate) ignore_case: bool,
    pub(crate) comparison: Comparison,
    /// Numbers may be versions: `3.1` is 3 * 65536 + 1.
    pub(crate) is_dotted: bool,
}

impl Matcher {
    /// Adds one pattern. Addresses that are names are the caller's.
    pub(crate) fn add(&mut self, text: &str, reading: Reading) -> Result<(), String> {
        match self {
            Self::Found | Self::Bool => {}
            Self::Int(ranges) | Self::Length(ranges) => ranges.push(Range::parse(text, reading)?),
            Self::Ip(networks) => networks.push(
                Network::parse(text)
                    .ok_or_else(|| format!("'{text}' is not a valid IPv4 or IPv6 address"))?,
            ),
            Self::Binary(blocks) => blocks.push(hexadecimal(text)?),
            Self::Text(_, patterns) => patterns.push(TextPattern {
                text: text.as_bytes().to_vec(),
                ignore_case: reading.ignore_case,
            }),
            Self::Regex(expressions) => {
                let regex = RegexBuilder::new(text)
                    .unicode(false)
                    .case_insensitive(reading.ignore_case)
                    .build()
                    .map_err(|error| format!("regex '{text}' is invalid: {}", brief(&error)))?;
                expressions.push(Expression(regex, reading.ignore_case));
            }
        }
        Ok(())
    }

    /// Whether there is nothing to match with, so that nothing ever matches.
    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::Found | Self::Bool => false,
            Self::Int(ranges) | Self::Length(ranges) => ranges.is_empty(),
            Self::Ip(networks) => networks.is_empty(),
            Self::Binary(blocks) => blocks.is_empty(),
            Self::Text(_, patterns) => patterns.is_empty(),
            Self::Regex(expressions) => expressions.is_empty(),
        }
    }

    /// Whether `sample` matches one of the patterns.
    #[must_use]
    pub fn matches(&self, sample: &Sample<'_>) -> bool {
        match self {
            Self::Found => true,
            Self::Bool => sample.as_int().is_some_and(|value| value != 0),
            Self::Int(ranges) => sample
                .as_int()
                .is_some_and(|value| ranges.iter().any(|range| range.contains(value))),
            Self::Length(ranges) => i64::try_from(sample.as_text().len())
                .is_ok_and(|length| ranges.iter().any(|range| range.contains(length))),
            Self::Ip(networks) => sample
                .as_ip()
                .is_some_and(|ip| networks.iter().any(|network| network.contains(ip))),
            Self::Binary(blocks) => blocks.iter().any(|block| *block == *sample.as_text()),
            Self::Text(how, patterns) => {
                let text = sample.as_text();
                patterns.iter().any(|pattern| pattern.matches(*how, &text))
            }
            Self::Regex(expressions) => {
                let text = sample.as_text();
                expressions
                    .iter()
                    .any(|expression| expression.0.is_match(&text))
            }
        }
    }
}

impl Range {
    fn parse(text: &str, reading: Reading) -> Result<Self, String> {
        let number = |text: &str| {
            number(text, reading.is_dotted).ok_or_else(|| format!("'{text}' is not a number"))
        };
        let any = Self {
            low: i64::MIN,
            high: i64::MAX,
        };
        // Before a range HAProxy does not heed an operator; its manual discourages both together.
        if reading.comparison != Comparison::Eq && !text.contains(':') {
            let value = number(text)?;
            return Ok(match reading.comparison {
                Comparison::Ge => Self { low: value, ..any },
                Comparison::Gt => Self {
                    low: value.saturating_add(1),
                    ..any
                },
                Comparison::Le => Self { high: value, ..any },
                Comparison::Lt | Comparison::Eq => Self {
                    high: value - 1,
                    ..any
                },
            });
        }
        let Some((low, high)) = text.split_once([':', '-']) else {
            let value = number(text)?;
            return Ok(Self {
                low: value,
                high: value,
            });
        };
        let range = Self {
            low: if low.is_empty() {
                any.low
            } else {
                number(low)?
            },
            high: if high.is_empty() {
                any.high
            } else {
                number(high)?
            },
        };
        if range.low > range.high {
            return Err(format!(
                "'{text}' is not a valid number range: its end is before its begin"
            ));
        }
        Ok(range)
    }

    fn contains(&self, value: i64) -> bool {
        (self.low..=self.high).contains(&value)
    }
}

fn number(text: &str, is_dotted: bool) -> Option<i64> {
    let digits = |text: &str| {
        let all = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        all.then(|| text.parse::<i64>().ok()).flatten()
    };
    if !is_dotted {
        return digits(text);
    }
    let (major, minor) = text.split_once('.').unwrap_or((text, "0"));
    let part = |text| digits(text).filter(|part| *part <= 0xffff);
    Some(part(major)? << 16 | part(minor)?)
}

fn hexadecimal(text: &str) -> Result<Vec<u8>, String> {
    if let Some(wrong) = text.chars().find(|c| !c.is_ascii_hexdigit()) {
        return Err(format!(
            "a hex digit is expected in '{text}', not '{wrong}'"
        ));
    }
    if !text.len().is_multiple_of(2) {
        return Err(format!(
            "an even number of hex digits is expected, not '{text}'"
        ));
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).unwrap_or(0) as u8;
    let pairs = text.as_bytes().chunks_exact(2);
    Ok(pairs
        .map(|pair| digit(pair[0]) << 4 | digit(pair[1]))
        .collect())
}

/// What is wrong with an expression, in one line.
fn brief(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().rfind(|line| !line.trim().is_empty());
    let reason = last.unwrap_or_default().trim();
    let reason = reason.strip_prefix("error: ").unwrap_or(reason);
    if reason.contains("look-around") || reason.contains("backreferences") {
        return format!("{reason}; write it without");
    }
    reason.to_owned()
}

impl TextPattern {
    fn same(&self, left: &[u8], right: &[u8]) -> bool {
        if self.ignore_case {
            left.eq_ignore_ascii_case(right)
        } else {
            left == right
        }
    }

    fn matches(&self, how: TextMatch, sample: &[u8]) -> bool {
        let (text, length) = (&self.text[..], self.text.len());
        match how {
            TextMatch::Exact => self.same(sample, text),
            TextMatch::Prefix => sample
                .get(..length)
                .is_some_and(|begin| self.same(begin, text)),
            TextMatch::Suffix => sample
                .len()
                .checked_sub(length)
                .is_some_and(|from| self.same(&sample[from..], text)),
            TextMatch::Substring => {
                length == 0 || sample.windows(length).any(|part| self.same(part, text))
            }
            TextMatch::Directory => self.matches_between(sample, b"/?"),
            TextMatch::Domain => self.matches_between(sample, b"/?.:"),
        }
    }

    /// Whether the pattern stands in `sample` between two of `delimiters`; its own at both ends do
    /// not count.
    fn matches_between(&self, sample: &[u8], delimiters: &[u8]) -> bool {
        let is_delimiter = |byte: &u8| delimiters.contains(byte);
        let begin = self
            .text
            .iter()
            .take_while(|byte| is_delimiter(byte))
            .count();
        let end = self
            .text
            .iter()
            .rev()
            .take_while(|byte| is_delimiter(byte))
            .count();
        let Some(inner) = self.text.get(begin..self.text.len() - end) else {
            return false;
        };
        if inner.is_empty() {
            return false;
        }
        let starts = 0..=sample.len().saturating_sub(inner.len());
        starts.into_iter().any(|at| {
            let after = at + inner.len();
            let fits = sample
                .get(at..after)
                .is_some_and(|part| self.same(part, inner));
            fits && (at == 0 || is_delimiter(&sample[at - 1]))
                && sample.get(after).is_none_or(is_delimiter)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Reading = Reading {
        ignore_case: false,
        comparison: Comparison::Eq,
        is_dotted: false,
    };

    fn matcher(method: &str, patterns: &[&str], reading: Reading) -> Matcher {
        let mut matcher = Method::named(method).unwrap().matcher();
        for pattern in patterns {
            matcher.add(pattern, reading).unwrap();
        }
        matcher
    }

    #[track_caller]
    fn check(method: &str, pattern: &str, yes: &[&str], no: &[&str]) {
        let matcher = matcher(method, &[pattern], PLAIN);
        for (texts, expected) in [(yes, true), (no, false)] {
            for text in texts {
                let found = matcher.matches(&Sample::text(text));
                assert_eq!(found, expected, "{text} -m {method} {pattern}");
            }
        }
    }

    #[test]
    fn text_matches() {
        check("str", "ab", &["ab"], &["Ab", "abc", ""]);
        check("beg", "ab", &["ab", "abc"], &["cab", "a"]);
        check("end", "ab", &["ab", "cab"], &["abc", "b"]);
        check("sub", "ab", &["ab", "cabc"], &["ba", ""]);
        check("sub", "", &["", "x"], &[]);
        check("reg", "^a.c$", &["abc"], &["abcd"]);
        check("len", "2:3", &["ab", "abc"], &["a", "abcd"]);
        check("bin", "4142", &["AB"], &["A"]);
        check("found", "", &["", "x"], &[]);
        let path = "/images/png/logo/32x32.png";
        for inside in [
            "/images",
            "/images/png",
            "images/png",
            "/png/logo",
            "logo/32x32.png",
            "32x32.png",
        ] {
            check("dir", inside, &[path], &[]);
        }
        for outside in ["png/logo/32x32", "32x32", "mages", "/", ""] {
            check("dir", outside, &[], &[path]);
        }
        let url = "http://www1.dc-eu.example.com:80/blah";
        for inside in [
            "http",
            "www1",
            ".www1",
            "dc-eu",
            "com",
            "80",
            "dc-eu.example",
            "blah",
            ":www1:",
            "example.com:80",
        ] {
            check("dom", inside, &[url], &[]);
        }
        for outside in ["eu", "dc", "exampl", ""] {
            check("dom", outside, &[], &[url]);
        }
    }

    #[test]
    fn case_can_be_ignored() {
        let reading = Reading {
            ignore_case: true,
            ..PLAIN
        };
        for (method, pattern) in [
            ("str", "API.local"),
            ("beg", "api"),
            ("end", "LOCAL"),
            ("sub", "I.L"),
            ("dom", "LOCAL"),
            ("reg", "^a.*L$"),
        ] {
            let matcher = matcher(method, &[pattern], reading);
            assert!(matcher.matches(&Sample::text("api.Local")), "{method}");
        }
    }

    #[track_caller]
    fn check_int(comparison: &str, pattern: &str, yes: &[i64], no: &[i64]) {
        let reading = Reading {
            comparison: Comparison::named(comparison).unwrap(),
            ..PLAIN
        };
        let matcher = matcher("int", &[pattern], reading);
        for (values, expected) in [(yes, true), (no, false)] {
            for value in values {
                assert_eq!(
                    matcher.matches(&Sample::Int(*value)),
                    expected,
                    "{value} {comparison} {pattern}"
                );
            }
        }
    }

    #[test]
    fn numbers_match() {
        check_int("eq", "5", &[5], &[4, 6]);
        check_int("ge", "5", &[5, 6], &[4]);
        check_int("gt", "5", &[6], &[5]);
        check_int("le", "5", &[5, -1], &[6]);
        check_int("lt", "5", &[4], &[5]);
        check_int("eq", "5:7", &[5, 7], &[4, 8]);
        check_int("eq", "5-7", &[6], &[8]);
        check_int("eq", ":7", &[0, 7], &[8]);
        check_int("eq", "5:", &[5, i64::MAX], &[4]);
        let dotted = Reading {
            is_dotted: true,
            ..PLAIN
        };
        let versions = matcher("int", &["3.0-3.1"], dotted);
        assert!(versions.matches(&Sample::Int(0x3_0001)));
        assert!(!versions.matches(&Sample::Int(0x3_0002)));
    }

    #[test]
    fn kinds_match() {
        assert!(Matcher::Bool.matches(&Sample::Bool(true)));
        assert!(Matcher::Bool.matches(&Sample::Int(2)));
        assert!(!Matcher::Bool.matches(&Sample::Int(0)));
        let ip = matcher("ip", &["10.0.0.0/8", "::1"], PLAIN);
        assert!(ip.matches(&Sample::text("10.1.1.1")));
        assert!(ip.matches(&Sample::Ip("::1".parse().unwrap())));
        assert!(!ip.matches(&Sample::text("x")));
    }

    #[test]
    fn patterns_that_are_none() {
        for (method, pattern, expected) in [
            ("int", "abc", "'abc' is not a number"),
            ("int", "3.1", "'3.1' is not a number"),
            ("int", "+5", "'+5' is not a number"),
            (
                "int",
                "90:80",
                "'90:80' is not a valid number range: its end is before its begin",
            ),
            (
                "int",
                "99999999999999999999",
                "'99999999999999999999' is not a number",
            ),
            (
                "ip",
                "1.2.3.0/33",
                "'1.2.3.0/33' is not a valid IPv4 or IPv6 address",
            ),
            (
                "bin",
                "0",
                "an even number of hex digits is expected, not '0'",
            ),
            ("bin", "zz", "a hex digit is expected in 'zz', not 'z'"),
            ("reg", "(", "regex '(' is invalid: unclosed group"),
            (
                "reg",
                "(?=a)",
                "regex '(?=a)' is invalid: look-around, including look-ahead and look-behind, is not supported; write it without",
            ),
        ] {
            let mut matcher = Method::named(method).unwrap().matcher();
            assert_eq!(matcher.add(pattern, PLAIN), Err(expected.to_owned()));
        }
    }
}
