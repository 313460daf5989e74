//! Names looked up all at once and within one deadline: a resolver that does not answer takes ten
//! seconds and more for each, and a file has a name for each server.
//!
//! Starts threads, so that it is not for a start, before rights are given up.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use evenkeel_config::Source;

use crate::cli::Options;
use crate::files::{self, Machine};

/// As many as a large file has servers, nearly; the others take turns.
const MOST_AT_ONCE: usize = 32;
/// Twice what a resolver's two tries take by default; whoever waits for the keeper waits longer.
const PATIENCE: Duration = Duration::from_secs(30);

/// What names were found to be.
#[derive(Debug, Default)]
pub(crate) struct Lookups(BTreeMap<String, Result<Vec<IpAddr>, (io::ErrorKind, String)>>);

impl Lookups {
    /// Looks up every name that `sources` have looked up while they are loaded.
    pub(crate) fn of(options: &Options, sources: &[Source]) -> Self {
        let names: RefCell<BTreeSet<String>> = RefCell::default();
        let lookup = |name: &str| {
            names.borrow_mut().insert(name.to_owned());
            Err(io::ErrorKind::NotFound.into())
        };
        let machine = Machine {
            read: &|path: &Path| files::content_of(path),
            lookup: &lookup,
        };
        // Only what is asked for matters: that it cannot be found is a mistake of no file.
        let _ = files::load_with(options, sources, &machine);
        Self::find(names.into_inner(), PATIENCE, files::addresses_of)
    }

    /// The addresses of a name.
    pub(crate) fn addresses_of(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        match self.0.get(name) {
            Some(found) => found
                .clone()
                .map_err(|(kind, why)| io::Error::new(kind, why)),
            None => files::addresses_of(name),
        }
    }

    fn find(
        names: BTreeSet<String>,
        patience: Duration,
        find: impl Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync + 'static,
    ) -> Self {
        let deadline = Instant::now() + patience;
        let (tell, hear) = channel();
        let waiting = Arc::new(Mutex::new(names.clone()));
        let find = Arc::new(find);
        for _ in 0..names.len().min(MOST_AT_ONCE) {
            let (waiting, find, tell) = (waiting.clone(), find.clone(), tell.clone());
            let next = move || {
                let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
                waiting.pop_first()
            };
            // Without a thread the others do it, or whoever asks for the name.
            let _ = std::thread::Builder::new()
                .name("lookup".into())
                .spawn(move || {
                    while let Some(name) = next() {
                        let found = find(&name).map_err(|error| (error.kind(), error.to_string()));
                        if tell.send((name, found)).is_err() {
                            return;
                        }
                    }
                });
        }
        drop(tell);
        let mut lookups = Self::default();
        while lookups.0.len() < names.len() {
            let left = deadline.saturating_duration_since(Instant::now());
            match hear.recv_timeout(left) {
                Ok((name, found)) => drop(lookups.0.insert(name, found)),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    waiting
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .clear();
                    let late = (
                        io::ErrorKind::TimedOut,
                        format!("no answer within {} s", patience.as_secs()),
                    );
                    for name in names {
                        let found = lookups.0.entry(name);
                        found.or_insert_with(|| Err(late.clone()));
                    }
                    break;
                }
            }
        }
        lookups
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    #[test]
    fn names_are_looked_up_at_once_and_nobody_waits_past_the_deadline() {
        let names: BTreeSet<String> = (0..8).map(|n| format!("cp{n}")).collect();
        // None has an answer before all are asked.
        let all = Barrier::new(names.len());
        let found = Lookups::find(names.clone(), Duration::from_secs(10), move |name| {
            all.wait();
            match name {
                "cp3" => Err(io::ErrorKind::NotFound.into()),
                _ => Ok(vec!["10.0.0.1".parse().unwrap()]),
            }
        });
        for name in &names {
            let found = found.addresses_of(name);
            assert_eq!(found.is_ok(), name != "cp3", "{name}: {found:?}");
        }

        let (_never, hear) = channel::<()>();
        let hear = Mutex::new(hear);
        let found = Lookups::find(names, Duration::from_millis(50), move |name| {
            if name != "cp0" {
                let _ = hear.lock().unwrap().recv();
            }
            Ok(Vec::new())
        });
        assert!(found.addresses_of("cp0").is_ok());
        let late = found.addresses_of("cp7").unwrap_err();
        assert_eq!(late.kind(), io::ErrorKind::TimedOut);
    }
}
