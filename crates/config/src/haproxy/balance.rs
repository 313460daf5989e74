//! `balance` and `hash-type` lines (HAProxy manual, section 4.2).

use super::keywords::{Http, OptionSupport};
use super::lexer::Word;
use super::section::HttpLine;
use super::{Line, Reader};
use crate::{Balance, Hashing};

/// An algorithm that decides here. What follows it, and belongs to none, HAProxy reads over.
pub(super) fn balance(reader: &mut Reader<'_>, line: &Line<'_>) {
    // A bare `balance` is what no line is.
    let Some(algorithm) = line.words.get(1) else {
        return set(reader, line, Balance::RoundRobin);
    };
    let mut rest = line.words[2..].iter();
    let mut texts = rest.by_ref().map(|word| word.text.as_str());
    match Balance::parse(&algorithm.text, &mut texts) {
        Ok(balance) => {
            if let Some(extra) = rest.next() {
                if matches!(balance, Balance::Hash(_)) {
                    let message = format!(
                        "'balance hash' takes one expression; '{}' is too much",
                        extra.text
                    );
                    return reader.error(line.place(extra), message);
                }
                let message = format!("'{}' after '{}' is ignored", extra.text, line.name);
                reader.warning(line.place(extra), message);
            }
            if balance == Balance::RdpCookie {
                let support = OptionSupport::NoEffect(
                    "the cookie is not looked for: servers get their shares in turn, as they do \
                     for clients that send none",
                );
                reader.verdict(
                    support,
                    &format!("'{}'", line.name),
                    line.name,
                    &line.here(),
                    line.name,
                );
            }
            set(reader, line, balance);
        }
        Err(message) => {
            let expression = line.words.get(2).filter(|_| algorithm.text == "hash");
            reader.error(line.place(expression.unwrap_or(algorithm)), message);
        }
    }
}

/// `uri`, `url_param` and `hdr`, which need mode http, and `log-hash`, which needs mode log.
pub(super) fn of_other_mode(reader: &mut Reader<'_>, line: &Line<'_>) {
    if let Some((word, message)) = mistake(line) {
        return reader.error(line.place(word), message);
    }
    set(reader, line, Balance::RoundRobin);
    let kind = match line.name {
        "balance log-hash" => Http::LogBalance,
        _ => Http::Balance,
    };
    let http = HttpLine {
        name: line.name,
        kind,
        place: line.here(),
        arguments: Vec::new(),
        section: reader.proxy().place.clone(),
        text: line.name.to_owned(),
    };
    reader.proxy().http.push(http);
}

/// What HAProxy refuses of the arguments of algorithms of other modes.
fn mistake<'l>(line: &Line<'l>) -> Option<(&'l Word, String)> {
    let algorithm = &line.words[1];
    match line.name {
        "balance url_param" if line.args().is_empty() => {
            let message = "'balance url_param' needs the parameter's name after it".to_owned();
            Some((algorithm, message))
        }
        "balance hdr" => {
            let name = algorithm.text.strip_prefix("hdr(")?.split(')').next();
            let is_missing = name.is_none_or(str::is_empty);
            is_missing.then(|| {
                let message = "'balance hdr' needs the header's name, as in hdr(host)".to_owned();
                (algorithm, message)
            })
        }
        "balance uri" => {
            let mut rest = line.args().iter();
            while let Some(word) = rest.next() {
                match word.text.as_str() {
                    "path-only" | "whole" => {}
                    option @ ("len" | "depth") => {
                        let number = rest.next();
                        let is_count = |word: &&Word| word.text.parse::<u32>().is_ok_and(|n| n > 0);
                        if number.filter(is_count).is_none() {
                            let message = format!("'balance uri {option}' needs a number above 0");
                            return Some((number.unwrap_or(word), message));
                        }
                    }
                    other => {
                        let message = format!(
                            "unexpected '{other}' after 'balance uri', which takes len, depth, \
                             path-only and whole"
                        );
                        return Some((word, message));
                    }
                }
            }
            None
        }
        _ => None,
    }
}

fn set(reader: &mut Reader<'_>, line: &Line<'_>, balance: Balance) {
    let proxy = reader.proxy();
    // The last line counts.
    proxy
        .http
        .retain(|http| !matches!(http.kind, Http::Balance | Http::LogBalance));
    proxy
        .verdicts
        .retain(|verdict| !verdict.key.starts_with("balance ") || verdict.key == line.name);
    proxy.balance = Some(line.spanned(&line.words[0], balance));
}

pub(super) fn hash_type(reader: &mut Reader<'_>, line: &Line<'_>) {
    let words: Vec<&str> = line.args().iter().map(|word| word.text.as_str()).collect();
    match Hashing::parse(&words) {
        Ok(hashing) => {
            if let Some(extra) = line.args().get(3) {
                let message = format!("'{}' after 'hash-type' is ignored", extra.text);
                reader.warning(line.place(extra), message);
            }
            reader.proxy().hash_type = Some(line.spanned(&line.words[0], hashing));
        }
        Err(message) => {
            // The mistake is the first word that makes one.
            let wrong = (1..=words.len()).find(|&count| Hashing::parse(&words[..count]).is_err());
            let word = wrong.map_or(&line.words[0], |count| &line.args()[count - 1]);
            reader.error(line.place(word), message);
        }
    }
}

pub(super) fn hash_balance_factor(reader: &mut Reader<'_>, line: &Line<'_>) {
    let Some(word) = reader.one(line) else {
        return;
    };
    let Some(number) = reader.number(line, line.name, word, 0..=i64::from(i32::MAX)) else {
        return;
    };
    match Hashing::factor(number) {
        Ok(factor) => reader.proxy().hash_balance_factor = Some(line.spanned(word, factor)),
        Err(message) => reader.error(line.place(word), message),
    }
}
