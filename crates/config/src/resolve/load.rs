//! How much servers are given, and which server follows which.

use std::collections::HashMap;
use std::time::Duration;

use super::{Resolver, limit, value};
use crate::draft::{BackendDraft, LoadOptions, QueueDraft, Spanned};
use crate::{Backend, BackendId, Queueing, ServerLoad, Tracked};

/// Zeroes are no limits. A `minconn` without a `maxconn` above it is the limit itself.
pub(super) fn server_load(options: &LoadOptions) -> ServerLoad {
    let number = |said: &Option<Spanned<u32>>| value(said.clone()).filter(|&number| number > 0);
    let (maxconn, minconn) = (number(&options.maxconn), number(&options.minconn));
    let (maxconn, minconn) = match (maxconn, minconn) {
        (Some(most), Some(least)) if least < most => (Some(most), Some(least)),
        (most, least) => (least.max(most), None),
    };
    ServerLoad {
        maxconn,
        minconn,
        maxqueue: number(&options.maxqueue),
        slowstart: limit(options.slowstart.clone()),
    }
}

pub(super) fn queueing(draft: QueueDraft, connect_timeout: Option<Duration>) -> Queueing {
    Queueing {
        timeout: match draft.timeout {
            Some(timeout) => limit(Some(timeout)),
            None => connect_timeout,
        },
        fullconn: value(draft.fullconn).filter(|&sessions| sessions > 0),
        abort_on_close: value(draft.abort_on_close).unwrap_or(false),
    }
}

/// Which server names another one to follow: its place, and the words.
pub(super) struct Follows {
    pub(super) follower: Tracked,
    pub(super) leader: Spanned<String>,
}

/// Every `track` of these backends.
pub(super) fn follows(backends: &[BackendDraft]) -> Vec<Follows> {
    let mut follows = Vec::new();
    for (backend, draft) in backends.iter().enumerate() {
        for (server, draft) in draft.servers.iter().enumerate() {
            let backend = BackendId(backend);
            follows.extend(draft.options.load.track.clone().map(|leader| Follows {
                follower: Tracked { backend, server },
                leader,
            }));
        }
    }
    follows
}

impl Resolver<'_> {
    /// Links servers with those that they track, and says which links cannot be.
    pub(super) fn link_tracking(&mut self, follows: &[Follows], backends: &mut [Backend]) {
        // A server that was left out for a mistake moves the others up.
        if self.has_errors() {
            return;
        }
        let by_name: HashMap<String, usize> = backends
            .iter()
            .enumerate()
            .map(|(index, backend)| (backend.name.clone(), index))
            .collect();
        let mut linked = Vec::new();
        for Follows { follower, leader } in follows {
            match find(follower.backend, &leader.value, &by_name, backends) {
                Ok(tracked) => {
                    let own = &mut backends[follower.backend.0].servers[follower.server];
                    own.track = Some(tracked);
                    linked.push((*follower, leader));
                }
                Err(message) => self.error(&leader.place, format!("'track': {message}")),
            }
        }
        let has_errors = linked.len() < follows.len();
        for (follower, leader) in linked {
            let own = &backends[follower.backend.0].servers[follower.server];
            if own.check.is_some() {
                let message = format!(
                    "server '{}' both is checked and tracks another server; drop 'check' or 'track'",
                    own.name
                );
                self.error(&leader.place, message);
            }
            match end_of_chain(follower, backends) {
                None => {
                    let message = format!(
                        "server '{}' follows itself, by way of '{}'; let one of them be checked instead",
                        own.name, leader.value
                    );
                    self.error(&leader.place, message);
                }
                // What could not be linked would be reported twice.
                Some(_) if has_errors => {}
                Some(end) => {
                    let end = &backends[end.backend.0].servers[end.server];
                    if end.check.is_none() {
                        let message = format!(
                            "server '{}' is not checked, so that there is nothing to follow; give it 'check'",
                            end.name
                        );
                        self.error(&leader.place, message);
                    }
                }
            }
        }
    }
}

fn find(
    own: BackendId,
    text: &str,
    by_name: &HashMap<String, usize>,
    backends: &[Backend],
) -> Result<Tracked, String> {
    let (backend, name) = match text.split_once('/') {
        Some((backend, name)) => match by_name.get(backend) {
            Some(&index) => (index, name),
            None => {
                let names = by_name.keys().map(String::as_str);
                let hint = super::did_you_mean(backend, names);
                return Err(format!("there is no backend '{backend}'{hint}"));
            }
        },
        None => (own.0, text),
    };
    let servers = &backends[backend].servers;
    match servers.iter().position(|server| server.name == name) {
        Some(server) => Ok(Tracked {
            backend: BackendId(backend),
            server,
        }),
        None => {
            let names = servers.iter().map(|server| server.name.as_str());
            let hint = super::did_you_mean(name, names);
            let backend = &backends[backend].name;
            Err(format!("there is no server '{name}' in '{backend}'{hint}"))
        }
    }
}

/// The server that is not led by another one; `None`: there is none, it goes round.
fn end_of_chain(follower: Tracked, backends: &[Backend]) -> Option<Tracked> {
    let mut at = follower;
    let longest: usize = backends.iter().map(|backend| backend.servers.len()).sum();
    for _ in 0..=longest {
        match backends[at.backend.0].servers[at.server].track {
            Some(next) => at = next,
            None => return Some(at),
        }
    }
    None
}
