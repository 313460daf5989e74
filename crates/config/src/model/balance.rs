//! Over 600 lines because it holds all words of `balance` and `hash-*`, both ways.
//!
//! How a server is chosen (HAProxy manual, `balance`, `hash-type`), and how that is written: the
//! same words in haproxy.cfg and TOML.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use crate::resolve::did_you_mean;
use crate::words::Word;

/// How a server is chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Balance {
    /// Smooth weighted round robin.
    RoundRobin,
    /// Weighted round robin over a fixed table: weights do not change at run time.
    StaticRoundRobin,
    /// Fewest open connections per weight.
    LeastConn,
    /// The lowest `id` that has a place left.
    First,
    /// The least loaded of so many servers drawn by chance.
    Random {
        /// At least 1.
        draws: u32,
    },
    /// Hash of the client's address.
    Source,
    /// Hash of something of the connection.
    Hash(HashKey),
    /// As [`StaticRoundRobin`](Self::StaticRoundRobin): the cookie is not looked for.
    RdpCookie,
}

impl Balance {
    /// HAProxy's word for the algorithm, without what follows it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::RoundRobin => "roundrobin",
            Self::StaticRoundRobin => "static-rr",
            Self::LeastConn => "leastconn",
            Self::First => "first",
            Self::Random { .. } => "random",
            Self::Source => "source",
            Self::Hash(_) => "hash",
            Self::RdpCookie => "rdp-cookie",
        }
    }

    /// Whether a client belongs to a server.
    #[must_use]
    pub fn is_hash(&self) -> bool {
        matches!(self, Self::Source | Self::Hash(_) | Self::RdpCookie)
    }

    /// Whether it depends on where the client connected to.
    #[must_use]
    pub fn needs_destination(&self) -> bool {
        matches!(
            self,
            Self::Hash(HashKey {
                fetch: HashFetch::Destination | HashFetch::DestinationPort,
                ..
            })
        )
    }

    /// Whether weights stay what they were at start, but for 0 and back (HAProxy manual,
    /// `set weight`).
    #[must_use]
    pub fn is_static(&self, hashing: &Hashing) -> bool {
        *self == Self::StaticRoundRobin || self.is_hash() && hashing.method == HashMethod::MapBased
    }
}

/// How a hash becomes a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hashing {
    /// Table or ring.
    pub method: HashMethod,
    /// What makes a number of what is hashed; `balance source` has its own.
    pub function: HashFunction,
    /// Whether that number is mixed once more.
    pub avalanche: bool,
    /// `hash-balance-factor`: most connections of a server on a ring, in percent of what it would
    /// have if all had their share; `None`: any number.
    pub balance_factor: Option<u32>,
}

impl Default for Hashing {
    /// HAProxy's.
    fn default() -> Self {
        Self {
            method: HashMethod::MapBased,
            function: HashFunction::Sdbm,
            avalanche: false,
            balance_factor: None,
        }
    }
}

/// Where a hash leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashMethod {
    /// To a place in a table of all servers, made anew when one comes or goes.
    MapBased,
    /// To the nearest point of a ring on which each server has many.
    Consistent,
}

/// What makes a number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashFunction {
    /// That of the sdbm database library.
    Sdbm,
    /// Bernstein's.
    Djb2,
    /// HAProxy's own, of rotations.
    Wt6,
    /// That of Ethernet and gzip.
    Crc32,
    /// The digits that the bytes begin with, as a number.
    None,
}

/// What of a server its points on the ring follow from (HAProxy manual, `hash-key`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeKey {
    /// Its `id`.
    Id,
    /// Its IP address.
    Address,
    /// Its IP address and port.
    AddressPort,
}

/// What is hashed: something of the connection, changed step by step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HashKey {
    /// Where it begins.
    pub fetch: HashFetch,
    /// Applied from left to right.
    pub converters: Vec<HashConverter>,
}

/// What of a connection can be hashed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HashFetch {
    /// `src`: the client's address.
    Source,
    /// `src_port`.
    SourcePort,
    /// `dst`: the address that the client connected to.
    Destination,
    /// `dst_port`.
    DestinationPort,
    /// `rand(N)`: a random number below N, or any of 32 bits.
    Random(Option<u32>),
    /// `int(N)`.
    Number(i64),
    /// `str(TEXT)`.
    Text(String),
}

/// A step from a value to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HashConverter {
    /// `ipmask(V4[,V6])`: the network of an address.
    Mask {
        /// Prefix length for IPv4.
        v4: Ipv4Addr,
        /// For IPv6; `None`: such an address is no value.
        v6: Option<Ipv6Addr>,
    },
    /// `sdbm`, `djb2`, `wt6`, `crc32`, each with an optional 1 for one more mixing.
    Function(HashFunction, bool),
    /// `mod(N)` of a number; N is not 0.
    Modulo(i64),
}

const ALGORITHMS: [&str; 12] = [
    "roundrobin",
    "static-rr",
    "leastconn",
    "first",
    "random",
    "source",
    "hash",
    "rdp-cookie",
    "uri",
    "url_param",
    "hdr",
    "log-hash",
];

impl FromStr for Balance {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
        let mut rest = Some(rest.trim())
            .filter(|rest| !rest.is_empty())
            .into_iter();
        let balance = Self::parse(word, &mut rest)?;
        match rest.next() {
            Some(extra) => Err(format!("unexpected '{extra}' after '{word}'")),
            None => Ok(balance),
        }
    }
}

impl Balance {
    /// Reads an algorithm; of what follows it, only what belongs to it is taken.
    pub(crate) fn parse<'a>(
        word: &str,
        rest: &mut impl Iterator<Item = &'a str>,
    ) -> Result<Self, String> {
        match word {
            "roundrobin" => Ok(Self::RoundRobin),
            "static-rr" => Ok(Self::StaticRoundRobin),
            "leastconn" => Ok(Self::LeastConn),
            "first" => Ok(Self::First),
            "random" => Ok(Self::Random { draws: 2 }),
            "source" => Ok(Self::Source),
            "rdp-cookie" => Ok(Self::RdpCookie),
            "hash" => match rest.next() {
                Some(expression) => HashKey::from_str(expression).map(Self::Hash),
                None => Err("'balance hash' needs what is to be hashed, such as src".to_owned()),
            },
            _ => match word.split_once('(') {
                Some(("random", draws)) => random(draws),
                Some(("rdp-cookie", name)) => match name.strip_suffix(')') {
                    Some("") | None => {
                        Err("'balance rdp-cookie' needs a name between brackets".to_owned())
                    }
                    Some(_) => Ok(Self::RdpCookie),
                },
                _ => {
                    let mut hint = did_you_mean(word, ALGORITHMS.into_iter());
                    if hint.is_empty() {
                        hint = format!("; write one of '{}'", ALGORITHMS.join("', '"));
                    }
                    Err(format!("unknown balance algorithm '{word}'{hint}"))
                }
            },
        }
    }
}

/// What stands behind `random(`.
fn random(draws: &str) -> Result<Balance, String> {
    let Some(draws) = draws.strip_suffix(')') else {
        return Err("'balance random(': a closing bracket is missing".to_owned());
    };
    // As in HAProxy, empty brackets are none.
    if draws.is_empty() {
        return Ok(Balance::Random { draws: 2 });
    }
    match draws.parse() {
        Ok(draws @ 1..=0x7fff_ffff) => Ok(Balance::Random { draws }),
        _ => Err(format!(
            "'balance random' draws at least 1 server, a whole number, not '{draws}'"
        )),
    }
}

impl fmt::Display for Balance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Random { draws } if *draws != 2 => write!(f, "random({draws})"),
            Self::Hash(key) => write!(f, "hash {key}"),
            _ => f.write_str(self.name()),
        }
    }
}

impl FromStr for Hashing {
    type Err = String;

    /// Reads what stands after `hash-type`.
    fn from_str(text: &str) -> Result<Self, String> {
        Self::parse(&text.split_ascii_whitespace().collect::<Vec<_>>())
    }
}

impl Hashing {
    /// Reads the words of `hash-type`.
    pub(crate) fn parse(words: &[&str]) -> Result<Self, String> {
        let methods = || HashMethod::ALL.iter().map(|(word, _)| *word);
        let Some((&method, rest)) = words.split_first() else {
            return Err("'hash-type' needs map-based or consistent after it".to_owned());
        };
        let Some(method) = HashMethod::of(method) else {
            let hint = did_you_mean(method, methods());
            let hint = if hint.is_empty() {
                "; write map-based or consistent".to_owned()
            } else {
                hint
            };
            return Err(format!("unknown hash type '{method}'{hint}"));
        };
        let mut hashing = Self {
            method,
            // A ring needs numbers that lie far apart.
            avalanche: method == HashMethod::Consistent && rest.is_empty(),
            ..Self::default()
        };
        let Some((&function, rest)) = rest.split_first() else {
            return Ok(hashing);
        };
        hashing.function = HashFunction::of(function).ok_or_else(|| {
            let known = HashFunction::ALL.iter().map(|(word, _)| *word);
            let hint = did_you_mean(function, known);
            let hint = if hint.is_empty() {
                "; write sdbm, djb2, wt6, crc32 or none".to_owned()
            } else {
                hint
            };
            format!("unknown hash function '{function}'{hint}")
        })?;
        match rest {
            [] => Ok(hashing),
            ["avalanche", ..] => {
                hashing.avalanche = true;
                Ok(hashing)
            }
            [other, ..] => Err(format!(
                "unknown modifier '{other}' of a hash; the only one is avalanche"
            )),
        }
    }

    /// The words of `hash-type`, as many as are needed.
    #[must_use]
    pub fn type_words(&self) -> String {
        let mut words = self.method.word().to_owned();
        let plain = Self::parse(&[self.method.word()]).unwrap_or_default();
        if (self.function, self.avalanche) != (plain.function, plain.avalanche) {
            words = format!("{words} {}", self.function.word());
            if self.avalanche {
                words.push_str(" avalanche");
            }
        }
        words
    }

    /// Whether HAProxy takes it: 0 for none, or more than 100.
    pub(crate) fn factor(number: i64) -> Result<Option<u32>, String> {
        match number {
            0 => Ok(None),
            101..=0x7fff_ffff => Ok(Some(number as u32)),
            _ => Err(format!(
                "'hash-balance-factor' must be 0, for none, or more than 100, not {number}"
            )),
        }
    }
}

/// The fetches that there are, for a hint.
const FETCHES: [&str; 9] = [
    "src",
    "src_port",
    "dst",
    "dst_port",
    "rand",
    "int",
    "str",
    "bool",
    "always_true",
];
const CONVERTERS: [&str; 6] = ["ipmask", "sdbm", "djb2", "wt6", "crc32", "mod"];

impl FromStr for HashKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut terms = terms(text)?.into_iter();
        let (name, arguments) = terms.next().unwrap_or_default();
        let fetch = fetch(&name, arguments.as_deref())?;
        let converters = terms
            .map(|(name, arguments)| converter(&name, arguments.as_deref()))
            .collect::<Result<_, _>>()?;
        Ok(Self { fetch, converters })
    }
}

/// A name, and what stands in brackets behind it.
type Term = (String, Option<String>);

/// Takes `a(b,c),d` apart at the commas outside of brackets.
fn terms(text: &str) -> Result<Vec<Term>, String> {
    let mut terms = Vec::new();
    let mut rest = text;
    loop {
        let end = rest.find([',', '(']).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        let Some(arguments) = after.strip_prefix('(') else {
            terms.push((name.to_owned(), None));
            match after.strip_prefix(',') {
                Some(next) => rest = next,
                None => return Ok(terms),
            }
            continue;
        };
        let Some((arguments, after)) = arguments.split_once(')') else {
            return Err(format!("a closing bracket is missing in '{text}'"));
        };
        terms.push((name.to_owned(), Some(arguments.to_owned())));
        match after.strip_prefix(',') {
            Some(next) => rest = next,
            None if after.is_empty() => return Ok(terms),
            None => {
                return Err(format!(
                    "'{after}' after a bracket means nothing in '{text}'"
                ));
            }
        }
    }
}

fn fetch(name: &str, arguments: Option<&str>) -> Result<HashFetch, String> {
    let argument = arguments.unwrap_or("");
    let number = || {
        argument
            .parse::<i64>()
            .map_err(|_| format!("'{name}' needs a whole number, not '{argument}'"))
    };
    Ok(match name {
        "src" => HashFetch::Source,
        "src_port" => HashFetch::SourcePort,
        "dst" => HashFetch::Destination,
        "dst_port" => HashFetch::DestinationPort,
        "rand" if argument.is_empty() => HashFetch::Random(None),
        "rand" => HashFetch::Random(u32::try_from(number()?).ok().filter(|&bound| bound > 0)),
        "int" => HashFetch::Number(number()?),
        "str" => HashFetch::Text(argument.to_owned()),
        "bool" => HashFetch::Number(i64::from(matches!(argument, "1" | "true" | "yes" | "on"))),
        "always_true" => HashFetch::Number(1),
        "always_false" => HashFetch::Number(0),
        _ => {
            let hint = did_you_mean(name, FETCHES.into_iter());
            return Err(format!(
                "'balance hash' cannot take '{name}'{hint}; what a TCP connection has is src, \
                 src_port, dst, dst_port, rand(N), int(N) and str(TEXT)"
            ));
        }
    })
}

fn converter(name: &str, arguments: Option<&str>) -> Result<HashConverter, String> {
    let arguments: Vec<&str> = arguments.unwrap_or("").split(',').collect();
    if let Some(function) = HashFunction::of(name).filter(|f| *f != HashFunction::None) {
        return match arguments.as_slice() {
            [""] | ["0"] => Ok(HashConverter::Function(function, false)),
            ["1"] => Ok(HashConverter::Function(function, true)),
            _ => Err(format!("'{name}' takes 0 or 1, for one more mixing")),
        };
    }
    match name {
        "ipmask" => {
            let (v4, v6) = match arguments.as_slice() {
                [v4] => (v4, None),
                [v4, v6] => (v4, Some(mask(v6, 128)?)),
                _ => return Err("'ipmask' takes a mask for IPv4 and one for IPv6".to_owned()),
            };
            let IpAddr::V4(v4) = mask(v4, 32)? else {
                return Err(format!("'ipmask' needs a mask for IPv4 first, not '{v4}'"));
            };
            let v6 = match v6 {
                Some(IpAddr::V4(_)) => return Err("'ipmask' needs an IPv6 mask second".to_owned()),
                Some(IpAddr::V6(v6)) => Some(v6),
                None => None,
            };
            Ok(HashConverter::Mask { v4, v6 })
        }
        "mod" => match arguments.as_slice() {
            [number] => match number.parse() {
                Ok(number) if number != 0 => Ok(HashConverter::Modulo(number)),
                _ => Err(format!("'mod' needs a whole number but 0, not '{number}'")),
            },
            _ => Err("'mod' takes one number".to_owned()),
        },
        _ => {
            let hint = did_you_mean(name, CONVERTERS.into_iter());
            Err(format!(
                "'balance hash' cannot use the converter '{name}'{hint}; there are {}",
                CONVERTERS.join(", ")
            ))
        }
    }
}

/// A prefix length of at most `longest` bits, or the mask written out.
fn mask(text: &str, longest: u32) -> Result<IpAddr, String> {
    if let Ok(bits) = text.parse::<u32>()
        && bits <= longest
    {
        return Ok(if longest == 32 {
            IpAddr::V4(Ipv4Addr::from_bits(
                u32::MAX.checked_shl(32 - bits).unwrap_or(0),
            ))
        } else {
            IpAddr::V6(Ipv6Addr::from_bits(
                u128::MAX.checked_shl(128 - bits).unwrap_or(0),
            ))
        });
    }
    match text.parse() {
        Ok(ip) => Ok(ip),
        Err(_) => Err(format!(
            "'ipmask' needs a prefix length of 0 to {longest}, or a mask, not '{text}'"
        )),
    }
}

impl fmt::Display for HashKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.fetch {
            HashFetch::Source => f.write_str("src"),
            HashFetch::SourcePort => f.write_str("src_port"),
            HashFetch::Destination => f.write_str("dst"),
            HashFetch::DestinationPort => f.write_str("dst_port"),
            HashFetch::Random(None) => f.write_str("rand"),
            HashFetch::Random(Some(bound)) => write!(f, "rand({bound})"),
            HashFetch::Number(number) => write!(f, "int({number})"),
            HashFetch::Text(text) => write!(f, "str({text})"),
        }?;
        for converter in &self.converters {
            match converter {
                HashConverter::Mask { v4, v6: None } => write!(f, ",ipmask({v4})"),
                HashConverter::Mask { v4, v6: Some(v6) } => write!(f, ",ipmask({v4},{v6})"),
                HashConverter::Function(function, false) => write!(f, ",{}", function.word()),
                HashConverter::Function(function, true) => write!(f, ",{}(1)", function.word()),
                HashConverter::Modulo(number) => write!(f, ",mod({number})"),
            }?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        for text in [
            "roundrobin",
            "static-rr",
            "leastconn",
            "first",
            "random",
            "random(1)",
            "random(7)",
            "source",
            "rdp-cookie",
            "hash src",
            "hash src,ipmask(255.255.255.0)",
            "hash src,ipmask(255.255.0.0,ffff:ffff::)",
            "hash dst_port,mod(7)",
            "hash str(a b)",
            "hash rand(12),crc32(1)",
            "hash int(-3),wt6",
        ] {
            assert_eq!(text.parse::<Balance>().unwrap().to_string(), text);
        }
        assert_eq!(
            "hash src,ipmask(24)".parse::<Balance>(),
            "hash src,ipmask(255.255.255.0)".parse()
        );
        for words in [
            "map-based",
            "consistent",
            "map-based sdbm avalanche",
            "consistent sdbm",
            "consistent djb2 avalanche",
            "map-based none",
        ] {
            let parts: Vec<&str> = words.split(' ').collect();
            assert_eq!(Hashing::parse(&parts).unwrap().type_words(), words);
        }
        assert!(Hashing::parse(&["consistent"]).unwrap().avalanche);
    }

    #[test]
    fn mistakes_say_what_would_be_right() {
        fn check(text: &str, expected: &str) {
            let error = text.parse::<Balance>().unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
        check("roundrobbin", "did you mean 'roundrobin'?");
        check(
            "static",
            "unknown balance algorithm 'static'; write one of 'roundrobin', ",
        );
        check("random(0)", "at least 1");
        check("random(x)", "not 'x'");
        check("random(3", "closing bracket");
        check("hash", "needs what is to be hashed");
        check("hash srcc", "did you mean 'src'?");
        check("hash path", "what a TCP connection has is src");
        check("hash src,ipmsk(24)", "did you mean 'ipmask'?");
        check("hash src,ipmask", "prefix length of 0 to 32");
        check("hash src,ipmask(33)", "not '33'");
        check("hash src,ipmask(24,129)", "not '129'");
        check("hash src,mod(0)", "but 0");
        check("hash src,sdbm(2)", "0 or 1");
        check("hash int(x)", "whole number");
        check("source dst", "unexpected 'dst' after 'source'");
        check("rdp-cookie()", "needs a name");
        for (words, expected) in [
            (&["consistant"][..], "did you mean 'consistent'?"),
            (&["ring"], "write map-based or consistent"),
            (
                &["consistent", "crc"],
                "write sdbm, djb2, wt6, crc32 or none",
            ),
            (&["consistent", "sbdm"], "did you mean 'sdbm'?"),
            (&["consistent", "sdbm", "x"], "the only one is avalanche"),
            (&[], "needs map-based or consistent"),
        ] {
            let error = Hashing::parse(words).unwrap_err();
            assert!(error.contains(expected), "{words:?}: {error}");
        }
        assert!(Hashing::factor(100).is_err());
        assert_eq!(Hashing::factor(0), Ok(None));
        assert_eq!(Hashing::factor(125), Ok(Some(125)));
    }
}
