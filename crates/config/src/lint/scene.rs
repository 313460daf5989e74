//! What rules look at: the configuration, and the lines that it came from.

use std::net::IpAddr;
use std::sync::Arc;

use crate::{Backend, BindAddress, Config, Frontend, Place, ServerAddress, Source};

/// Ports on which Kubernetes API servers, or balancers before them, listen.
const API_PORTS: [u16; 3] = [6443, 6444, 8443];
const API_NAMES: [&str; 6] = ["api", "kube", "k8s", "master", "control", "k3s"];
const SECTIONS: [&str; 6] = [
    "global",
    "defaults",
    "frontend",
    "listen",
    "backend",
    "resolvers",
];

pub(super) struct Scene<'s> {
    pub(super) config: &'s Config,
    pub(super) is_local: &'s dyn Fn(IpAddr) -> bool,
    lines: Vec<(Arc<str>, u32, String)>,
}

impl<'s> Scene<'s> {
    pub(super) fn new(
        sources: &[Source],
        config: &'s Config,
        is_local: &'s dyn Fn(IpAddr) -> bool,
    ) -> Self {
        let mut lines = Vec::new();
        for source in sources {
            let file: Arc<str> = Arc::from(source.name.as_str());
            let text = String::from_utf8_lossy(&source.text).into_owned();
            for (number, line) in (1..).zip(text.lines()) {
                // What stands behind a # is no setting.
                let said = line.split(" #").next().unwrap_or(line);
                let said = if said.trim_start().starts_with('#') {
                    ""
                } else {
                    said
                };
                lines.push((Arc::clone(&file), number, said.to_owned()));
            }
        }
        Self {
            config,
            is_local,
            lines,
        }
    }

    /// Every place where `text` stands in a line that also holds one of `words`.
    pub(super) fn all(&self, words: &[&str], text: &str) -> Vec<Place> {
        let has_word = |line: &str| words.iter().any(|word| line.contains(word));
        let lines = self.lines.iter().filter(|(_, _, line)| has_word(line));
        lines
            .filter_map(|(file, number, line)| {
                let column = line[..line.find(text)?].chars().count() + 1;
                Some(Place {
                    file: Arc::clone(file),
                    line: *number,
                    column: u32::try_from(column).unwrap_or(0),
                })
            })
            .collect()
    }

    /// The line that begins with `words` in the section that begins at `place`, else the last one
    /// of a `defaults` section before it, else the section itself.
    pub(super) fn line(&self, place: &Place, words: &str) -> Place {
        let mut in_defaults = false;
        let mut best = None;
        let mut is_own = false;
        for (file, number, line) in self.lines.iter().filter(|(file, ..)| *file == place.file) {
            let text = line.trim_start();
            let first = text.split([' ', '\t']).next().unwrap_or("");
            if SECTIONS.contains(&first) {
                if is_own {
                    break;
                }
                in_defaults = first == "defaults";
                is_own = *number == place.line;
            }
            if (in_defaults || is_own) && text.starts_with(words) {
                let column = line.len() - text.len() + 1;
                best = Some(Place {
                    file: Arc::clone(file),
                    line: *number,
                    column: u32::try_from(column).unwrap_or(0),
                });
            }
        }
        best.unwrap_or_else(|| place.clone())
    }

    /// Backends that carry a Kubernetes API.
    pub(super) fn apis(&self) -> impl Iterator<Item = &'s Backend> + '_ {
        let config = self.config;
        config.backends.iter().filter(|backend| {
            let ports = backend.servers.iter().map(|server| match server.address {
                ServerAddress::Inet(address) => address.port(),
                _ => 0,
            });
            let fronts = self.fronts(backend).any(|frontend| {
                let ports = frontend.binds.iter().map(|bind| match bind.address {
                    BindAddress::Inet(address) => address.port(),
                    _ => 0,
                });
                ports.into_iter().any(|port| API_PORTS.contains(&port))
            });
            let name = backend.name.to_lowercase();
            let is_named = API_NAMES.iter().any(|word| name.contains(word));
            !backend.servers.is_empty()
                && (is_named || fronts || ports.into_iter().any(|port| API_PORTS.contains(&port)))
        })
    }

    /// The frontends that lead to a backend.
    pub(super) fn fronts(&self, backend: &Backend) -> impl Iterator<Item = &'s Frontend> + use<'s> {
        let config = self.config;
        let position = config
            .backends
            .iter()
            .position(|other| other.id == backend.id);
        config.frontends.iter().filter(move |frontend| {
            frontend
                .default_backend
                .is_some_and(|id| Some(id.0) == position)
        })
    }
}
