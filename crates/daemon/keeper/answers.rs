//! What the machine answered while the keeper read the files, for the serving process to read them
//! in the same way without asking the machine itself.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::path::Path;

use evenkeel_config::{Loaded, Place, Problem, Source};

use crate::cli::Options;
use crate::files;
use crate::lookups::Lookups;
use crate::rights::Rights;

type Asked<T> = BTreeMap<String, Result<T, String>>;

/// Files and names, and what was found.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Answers {
    /// The configuration's files, or what is wrong with them by name.
    sources: Vec<(String, Result<Vec<u8>, String>)>,
    files: Asked<Vec<u8>>,
    names: Asked<Vec<IpAddr>>,
    /// Accounts that are not there.
    strangers: Vec<(Place, String)>,
}

impl Answers {
    /// Loads what the options name and notes all that was asked on the way.
    pub(super) fn gather(options: &Options) -> (Self, Result<Loaded, Vec<Problem>>) {
        let sources = files::read(&options.files);
        let mut answers = Self {
            sources: match &sources {
                Ok(sources) => sources
                    .iter()
                    .map(|source| (source.name.clone(), Ok(source.text.clone())))
                    .collect(),
                Err(problems) => problems
                    .iter()
                    .map(|problem| (problem.place.file.to_string(), Err(problem.message.clone())))
                    .collect(),
            },
            ..Self::default()
        };
        let (asked_files, asked_names) = (RefCell::default(), RefCell::default());
        let read = |path: &Path| note(&asked_files, path_key(path), files::content_of(path));
        let lookups = sources
            .as_ref()
            .map_or_else(|_| Lookups::default(), |it| Lookups::of(options, it));
        let lookup = |name: &str| note(&asked_names, name.to_owned(), lookups.addresses_of(name));
        let loaded = sources.and_then(|sources| {
            let machine = files::Machine {
                read: &read,
                lookup: &lookup,
            };
            files::load_with(options, &sources, &machine)
        });
        let loaded = loaded.and_then(|loaded| match Rights::of(&loaded.config) {
            Ok(_) => Ok(loaded),
            Err(problems) => {
                let told = |problem: &Problem| (problem.place.clone(), problem.message.clone());
                answers.strangers = problems.iter().map(told).collect();
                Err(problems)
            }
        });
        answers.files = asked_files.into_inner();
        answers.names = asked_names.into_inner();
        (answers, loaded)
    }

    /// Loads as [`gather`](Self::gather) did.
    pub(super) fn load(self, options: &Options) -> Result<Loaded, Vec<Problem>> {
        let mut sources = Vec::new();
        let mut problems = Vec::new();
        for (name, text) in self.sources {
            match text {
                Ok(text) => sources.push(Source { name, text }),
                Err(message) => {
                    problems.push(Problem::error(Place::whole_file(&name), message));
                }
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let read = |path: &Path| answer(&self.files, &path_key(path));
        let lookup = |name: &str| answer(&self.names, name);
        let machine = files::Machine {
            read: &read,
            lookup: &lookup,
        };
        let loaded = files::load_with(options, &sources, &machine)?;
        let strangers = self.strangers.into_iter();
        let problems: Vec<_> = strangers
            .map(|(place, message)| Problem::error(place, message))
            .collect();
        match problems.is_empty() {
            true => Ok(loaded),
            false => Err(problems),
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        put_number(&mut bytes, self.sources.len());
        for (name, text) in &self.sources {
            put(&mut bytes, name.as_bytes());
            put_result(&mut bytes, text.as_deref());
        }
        put_number(&mut bytes, self.files.len());
        for (path, text) in &self.files {
            put(&mut bytes, path.as_bytes());
            put_result(&mut bytes, text.as_deref());
        }
        put_number(&mut bytes, self.names.len());
        for (name, found) in &self.names {
            put(&mut bytes, name.as_bytes());
            let text = found.as_ref().map(|addresses| {
                let shown: Vec<String> = addresses.iter().map(IpAddr::to_string).collect();
                shown.join(" ").into_bytes()
            });
            put_result(&mut bytes, text.as_deref().map_err(|why| *why));
        }
        put_number(&mut bytes, self.strangers.len());
        for (place, why) in &self.strangers {
            put(&mut bytes, place.file.as_bytes());
            put_number(&mut bytes, place.line as usize);
            put_number(&mut bytes, place.column as usize);
            put(&mut bytes, why.as_bytes());
        }
        bytes
    }

    /// `None`: this is no such record.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut rest = Rest(bytes);
        let mut answers = Self::default();
        for _ in 0..rest.number()? {
            answers.sources.push((rest.text()?, rest.result()?));
        }
        for _ in 0..rest.number()? {
            answers.files.insert(rest.text()?, rest.result()?);
        }
        for _ in 0..rest.number()? {
            let (name, found) = (rest.text()?, rest.result()?);
            let found = match found {
                Ok(text) => Ok(addresses(&text)?),
                Err(why) => Err(why),
            };
            answers.names.insert(name, found);
        }
        for _ in 0..rest.number()? {
            let file = rest.text()?;
            let line = u32::try_from(rest.number()?).ok()?;
            let column = u32::try_from(rest.number()?).ok()?;
            let place = Place {
                line,
                column,
                ..Place::whole_file(&file)
            };
            answers.strangers.push((place, rest.text()?));
        }
        rest.0.is_empty().then_some(answers)
    }
}

fn note<T: Clone>(asked: &RefCell<Asked<T>>, key: String, found: io::Result<T>) -> io::Result<T> {
    let known = found.as_ref().map(T::clone).map_err(ToString::to_string);
    asked.borrow_mut().insert(key, known);
    found
}

fn answer<T: Clone>(asked: &Asked<T>, key: &str) -> io::Result<T> {
    match asked.get(key) {
        Some(found) => found.clone().map_err(io::Error::other),
        None => Err(io::Error::other("the keeper did not need it")),
    }
}

fn path_key(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn addresses(text: &[u8]) -> Option<Vec<IpAddr>> {
    let words = std::str::from_utf8(text).ok()?.split_ascii_whitespace();
    words.map(|word| word.parse().ok()).collect()
}

fn put_number(bytes: &mut Vec<u8>, number: usize) {
    bytes.extend((number as u64).to_le_bytes());
}

fn put(bytes: &mut Vec<u8>, part: &[u8]) {
    put_number(bytes, part.len());
    bytes.extend(part);
}

fn put_result(bytes: &mut Vec<u8>, result: Result<&[u8], &String>) {
    bytes.push(u8::from(result.is_ok()));
    put(bytes, result.unwrap_or_else(|why| why.as_bytes()));
}

/// What is left of a record.
struct Rest<'b>(&'b [u8]);

impl Rest<'_> {
    fn number(&mut self) -> Option<u64> {
        let (number, rest) = self.0.split_first_chunk::<8>()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*number))
    }

    fn part(&mut self) -> Option<Vec<u8>> {
        let length = usize::try_from(self.number()?).ok()?;
        let (part, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(part.to_vec())
    }

    fn text(&mut self) -> Option<String> {
        String::from_utf8(self.part()?).ok()
    }

    fn result(&mut self) -> Option<Result<Vec<u8>, String>> {
        let (is_ok, rest) = self.0.split_first()?;
        self.0 = rest;
        match is_ok {
            1 => Some(Ok(self.part()?)),
            0 => Some(Err(self.text()?)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers() -> Answers {
        Answers {
            sources: vec![
                ("lb.cfg".to_owned(), Ok(b"global\n\xff".to_vec())),
                ("gone.cfg".to_owned(), Err("cannot read it".to_owned())),
            ],
            files: BTreeMap::from([("/etc/list".to_owned(), Ok(b"10.0.0.0/8\n".to_vec()))]),
            names: BTreeMap::from([
                (
                    "cp1".to_owned(),
                    Ok(vec!["10.0.0.1".parse().unwrap(), "::1".parse().unwrap()]),
                ),
                ("cp2".to_owned(), Err("no such name".to_owned())),
            ]),
            strangers: vec![(
                Place::whole_file("lb.cfg"),
                "there is no user 'x'".to_owned(),
            )],
        }
    }

    #[test]
    fn a_record_reads_back() {
        assert_eq!(Answers::decode(&answers().encode()), Some(answers()));
        let empty = Answers::default();
        assert_eq!(Answers::decode(&empty.encode()), Some(empty));
    }

    #[test]
    fn a_part_of_a_record_is_none() {
        let whole = answers().encode();
        for length in 0..whole.len() {
            assert_eq!(Answers::decode(&whole[..length]), None, "{length} bytes");
        }
        let mut longer = whole;
        longer.push(0);
        assert_eq!(Answers::decode(&longer), None);
        assert_eq!(Answers::decode(&[0xff; 64]), None);
    }
}
