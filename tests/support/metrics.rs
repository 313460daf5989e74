//! Prometheus' text format, as a scraper reads it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::wait::PATIENCE;

/// One scrape.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics {
    /// Each name's TYPE.
    pub(crate) kinds: BTreeMap<String, String>,
    /// Names that have a HELP line.
    pub(crate) helped: BTreeSet<String>,
    /// Each series' value.
    pub(crate) series: BTreeMap<Series, f64>,
}

/// A name with its labels.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
}

impl Metrics {
    /// Fetches /metrics.
    pub(crate) fn scrape(address: SocketAddr) -> Self {
        let (head, body) = get(address, "/metrics");
        assert!(
            head.starts_with("HTTP/1.1 200"),
            "/metrics answered: {head}"
        );
        Self::parse(&body)
    }

    /// Reads the text; fails the test at a line that no scraper would take.
    pub(crate) fn parse(text: &str) -> Self {
        let mut metrics = Self::default();
        for line in text.lines().filter(|line| !line.is_empty()) {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                let before = metrics.kinds.insert(name.to_owned(), kind.to_owned());
                assert_eq!(before, None, "a second TYPE line of {name}");
            } else if let Some(rest) = line.strip_prefix("# HELP ") {
                metrics
                    .helped
                    .insert(rest.split(' ').next().unwrap().to_owned());
            } else if !line.starts_with('#') {
                let (series, value) = parse_sample(line);
                let before = metrics.series.insert(series, value);
                assert_eq!(before, None, "the series of {line:?} stands twice");
            }
        }
        metrics
    }

    /// The value of the series with exactly these labels, given as `proxy=be,server=s1`.
    pub(crate) fn get(&self, name: &str, labels: &str) -> Option<f64> {
        let labels = labels
            .split(',')
            .filter(|label| !label.is_empty())
            .map(|label| {
                let (key, value) = label.split_once('=').unwrap();
                (key.to_owned(), value.to_owned())
            })
            .collect();
        self.series
            .get(&Series {
                name: name.to_owned(),
                labels,
            })
            .copied()
    }

    /// Like [`get`](Self::get) of a series that must exist.
    pub(crate) fn value(&self, name: &str, labels: &str) -> f64 {
        self.get(name, labels).unwrap_or_else(|| {
            let near: Vec<_> = self
                .series
                .iter()
                .filter(|(series, _)| series.name == name)
                .collect();
            panic!("no series {name}{{{labels}}}; of that name: {near:?}")
        })
    }

    /// Names of all series.
    pub(crate) fn names(&self) -> BTreeSet<&str> {
        self.series
            .keys()
            .map(|series| series.name.as_str())
            .collect()
    }
}

/// `name{key="value",...} number`.
fn parse_sample(line: &str) -> (Series, f64) {
    let (series, value) = line
        .rsplit_once(' ')
        .unwrap_or_else(|| panic!("no sample: {line:?}"));
    let value = value
        .parse()
        .unwrap_or_else(|_| panic!("no number: {line:?}"));
    let (name, mut rest) = series.split_once('{').unwrap_or((series, "}"));
    let mut labels = BTreeMap::new();
    while let Some((key, after)) = rest.split_once("=\"") {
        let (text, after) = unquote(after);
        labels.insert(key.to_owned(), text);
        rest = after.strip_prefix(',').unwrap_or(after);
    }
    assert_eq!(rest, "}", "labels do not end: {line:?}");
    (
        Series {
            name: name.to_owned(),
            labels,
        },
        value,
    )
}

/// Text up to the closing quote, unescaped, and what follows it.
fn unquote(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return (value, &text[at + 1..]),
            '\\' => match letters.next() {
                Some((_, 'n')) => value.push('\n'),
                Some((_, other)) => value.push(other),
                None => break,
            },
            other => value.push(other),
        }
    }
    panic!("a label's value does not end: {text:?}")
}

/// A plain GET: head and body.
pub(crate) fn get(address: SocketAddr, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .unwrap_or_else(|| panic!("no HTTP answer: {answer:?}"));
    let body = if head
        .to_ascii_lowercase()
        .contains("\r\ntransfer-encoding: chunked")
    {
        unchunk(body)
    } else {
        body.to_owned()
    };
    (head.to_owned(), body)
}

fn unchunk(mut rest: &str) -> String {
    let mut body = String::new();
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size.split(';').next().unwrap().trim(), 16).unwrap();
        if size == 0 {
            break;
        }
        body.push_str(&after[..size]);
        rest = after[size..].strip_prefix("\r\n").unwrap();
    }
    body
}
