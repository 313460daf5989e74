//! Where servers were when an earlier process wrote their state down: `init-addr last`.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use crate::Environment;

/// Where its fields stand in a line of the file.
const BACKEND: usize = 1;
const SERVER: usize = 3;
const ADDRESS: usize = 4;
const NAME: usize = 17;
/// How many a line has.
const FIELDS: usize = 25;

/// Addresses by backend and server, of each file that was read.
#[derive(Default)]
pub(super) struct LastAddresses(HashMap<PathBuf, HashMap<String, OfBackend>>);

/// Addresses of a backend's servers, by the servers' names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct OfBackend(HashMap<String, (String, IpAddr)>);

impl LastAddresses {
    /// Those of a backend. A file that cannot be read, or is damaged, has none: who takes the rest
    /// of it over tells.
    pub(super) fn of(
        &mut self,
        backend: &str,
        path: Option<&Path>,
        environment: &Environment<'_>,
    ) -> OfBackend {
        let Some(path) = path else {
            return OfBackend::default();
        };
        if !self.0.contains_key(path) {
            let bytes = (environment.read)(path).unwrap_or_default();
            let read = parse(&String::from_utf8_lossy(&bytes));
            self.0.insert(path.to_owned(), read);
        }
        let found = self.0.get(path).and_then(|file| file.get(backend));
        found.cloned().unwrap_or_default()
    }
}

impl OfBackend {
    /// Where a server was that was called `name` in the network then as it is now.
    pub(super) fn address(&self, server: &str, name: &str) -> Option<IpAddr> {
        let (known, ip) = self.0.get(server)?;
        known.eq_ignore_ascii_case(name).then_some(*ip)
    }
}

fn parse(text: &str) -> HashMap<String, OfBackend> {
    let mut found: HashMap<String, OfBackend> = HashMap::new();
    let mut lines = text.lines();
    if lines.next().is_none_or(|version| version.trim() != "1") {
        return found;
    }
    for line in lines.filter(|line| !line.starts_with('#')) {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        if fields.len() < FIELDS {
            continue;
        }
        let ip = fields[ADDRESS].parse().ok();
        let Some(ip) = ip.filter(|ip: &IpAddr| !ip.is_unspecified()) else {
            continue;
        };
        let backend = found.entry(fields[BACKEND].to_owned()).or_default();
        let name = fields[NAME].to_owned();
        backend.0.insert(fields[SERVER].to_owned(), (name, ip));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ServerAddress, Source, load};

    const HEAD: &str = "global\n server-state-file /state\ndefaults\n mode tcp\n timeout connect 1s\n \
                        timeout client 1s\n timeout server 1s\n load-server-state-from-file global\n\
                        listen l\n bind :1\n";

    /// Where a server starts whose line is `line` if the file has it at `ip`, by the name `name`.
    #[track_caller]
    fn check(line: &str, (ip, name): (&str, &str), expected: Result<&str, &str>) {
        let state = format!(
            "1\n# be_id be_name\n2 l 1 a {ip} 2 0 1 1 39 6 3 4 6 0 0 0 {name} 6443 - 0 0 - - 0\n"
        );
        let config = format!("{HEAD} server a {line}\n");
        let environment = Environment {
            variable: &|_| None,
            lookup: &|_| Err(std::io::Error::other("no such name")),
            hostname: "lb",
            read: &|path| match path.to_str() {
                Some("/state") => Ok(state.clone().into_bytes()),
                _ => Err(std::io::ErrorKind::NotFound.into()),
            },
            allow_unresolved_servers: false,
        };
        let source = Source {
            name: "lb.cfg".to_owned(),
            text: config.into_bytes(),
        };
        let started = match load(&[source], &environment) {
            Ok(loaded) => {
                let server = &loaded.config.backends[0].servers[0];
                match &server.address {
                    ServerAddress::Inet(address) => Ok(format!("{address} {}", server.unresolved)),
                    other => Err(format!("{other:?}")),
                }
            }
            Err(problems) => Err(problems[0].to_string()),
        };
        match expected {
            Ok(address) => assert_eq!(started.as_deref(), Ok(address), "{line}, {ip} {name}"),
            Err(part) => assert!(started.unwrap_err().contains(part), "{line}, {ip} {name}"),
        }
    }

    #[test]
    fn a_server_starts_where_it_was_last() {
        let was = ("127.0.0.9", "gone.invalid");
        check("gone.invalid:6443", was, Ok("127.0.0.9:6443 false"));
        check("Gone.Invalid:6443", was, Ok("127.0.0.9:6443 false"));
        check(
            "gone.invalid:6443 init-addr libc,last",
            was,
            Ok("127.0.0.9:6443 false"),
        );
        check(
            "gone.invalid:6443",
            ("::1", "gone.invalid"),
            Ok("[::1]:6443 false"),
        );
        // What the file says is no name of its own.
        check("127.0.0.2:6443", was, Ok("127.0.0.2:6443 false"));
    }

    #[test]
    fn what_was_last_is_nothing_for_another_name_or_method() {
        let none = Err("could not resolve address");
        check("gone.invalid:6443", ("127.0.0.9", "other.invalid"), none);
        check("gone.invalid:6443", ("127.0.0.9", "-"), none);
        check("gone.invalid:6443", ("-", "gone.invalid"), none);
        check("gone.invalid:6443", ("0.0.0.0", "gone.invalid"), none);
        let was = ("127.0.0.9", "gone.invalid");
        check("gone.invalid:6443 init-addr libc", was, none);
        check("ipv6@gone.invalid:6443", was, none);
        check(
            "gone.invalid:6443 init-addr none",
            was,
            Ok("0.0.0.0:6443 true"),
        );
    }
}
