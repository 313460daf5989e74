//! The side that takes over: what the process before it hands over, and what it is told.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;

use evenkeel_proxy::Handed;
use rustix::net::sockopt::{Timeout, set_socket_timeout};

use super::{Document, PATIENCE, VERSION, Word};
use crate::diagnostics::{caution, say};
use crate::inherit;
use crate::packets::{receive, send};

/// A document of every server of a large file; more is none.
const MOST_BYTES: u64 = 1 << 30;

/// The line to the process that gives way, and what came over it.
#[derive(Debug)]
pub(crate) struct Heir {
    line: OwnedFd,
    sockets: Vec<Handed>,
    offered: BTreeSet<String>,
    shut: BTreeSet<String>,
    admin: Option<(SocketAddr, TcpListener)>,
}

impl Heir {
    /// Hears what is handed over; `None`: this process follows nobody. To be called once, at start.
    pub(crate) fn receive() -> Option<Self> {
        let mut heir = Self {
            line: inherit::handover()?,
            sockets: Vec::new(),
            offered: BTreeSet::new(),
            shut: BTreeSet::new(),
            admin: None,
        };
        match heir.hear_offer() {
            Ok(()) => Some(heir),
            Err(error) => {
                say(format!(
                    "cannot hear what the process before hands over: {error}"
                ));
                None
            }
        }
    }

    fn hear_offer(&mut self) -> io::Result<()> {
        set_socket_timeout(&self.line, Timeout::Recv, Some(PATIENCE))?;
        loop {
            let (bytes, descriptors) = receive(&self.line)?.ok_or(io::ErrorKind::UnexpectedEof)?;
            // A later version may offer what this one does not know.
            let Some(word) = Word::decode(&bytes) else {
                continue;
            };
            match word {
                Word::Shut(name) => drop(self.shut.insert(name)),
                Word::Sockets(name) => {
                    for descriptor in descriptors {
                        match Handed::new(name.clone(), descriptor) {
                            Ok(handed) => self.sockets.push(handed.from_process()),
                            Err(why) => caution(format!("{name} is not taken over: {why}")),
                        }
                    }
                    self.offered.insert(name);
                }
                Word::Admin(address) => {
                    let address = address.parse().map_err(io::Error::other)?;
                    let listener = descriptors.into_iter().next().map(TcpListener::from);
                    let is_there = |listener: &TcpListener| {
                        Handed::new(String::new(), listener.try_clone()?.into())
                            .map_err(io::Error::other)
                    };
                    if let Some(listener) = listener {
                        is_there(&listener)?;
                        self.admin = Some((address, listener));
                    }
                }
                Word::Complete => return Ok(()),
                _ => return Err(io::ErrorKind::InvalidData.into()),
            }
        }
    }

    /// The listening sockets.
    pub(crate) fn take_sockets(&mut self) -> Vec<Handed> {
        std::mem::take(&mut self.sockets)
    }

    /// Those among them that the process before was itself started with (`fd@N`), by number.
    pub(crate) fn take_numbered(&mut self) -> BTreeMap<i32, OwnedFd> {
        let numbered = self.sockets.extract_if(.., |one| one.number().is_some());
        let numbered = numbered.filter_map(|one| Some((one.number()?, one.into_descriptor())));
        numbered.collect()
    }

    /// The frontends that commands shut down.
    pub(crate) fn take_shut(&mut self) -> BTreeSet<String> {
        std::mem::take(&mut self.shut)
    }

    /// The socket of the admin address, if that is `wanted`.
    pub(crate) fn take_admin(&mut self, wanted: SocketAddr) -> Option<TcpListener> {
        let taken = self.admin.take_if(|(address, _)| *address == wanted);
        taken.map(|(_, listener)| listener)
    }

    /// Whether that socket was offered and not taken.
    pub(crate) fn has_admin(&self) -> bool {
        self.admin.is_some()
    }

    /// Says that everything is loaded and bound, and hears what to go on from.
    ///
    /// # Errors
    /// The other side is gone.
    pub(crate) fn document(&self) -> Result<Document, String> {
        let document = self.hear_document();
        let document = document
            .map_err(|error| format!("the process before does not say what it knows: {error}"))?;
        if document.version != VERSION {
            tracing::warn!(
                "the process before is of another version: what this one does not understand of \
                 servers and counters begins anew"
            );
        }
        Ok(document)
    }

    fn hear_document(&self) -> io::Result<Document> {
        send(&self.line, &Word::Prepared.encode(), &[])?;
        let (bytes, descriptors) = receive(&self.line)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let file = descriptors.into_iter().next();
        let (Some(Word::Document), Some(file)) = (Word::decode(&bytes), file) else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        let mut file = File::from(file);
        file.rewind()?;
        let mut bytes = Vec::new();
        file.take(MOST_BYTES).read_to_end(&mut bytes)?;
        // A document of another time costs what it says, not the upgrade.
        Ok(serde_json::from_slice(&bytes).unwrap_or_default())
    }

    /// Says that this process serves, `names` among others, and waits until it is the one that
    /// counts. Blocks. Returns the lines to those that count on.
    pub(crate) fn serving(self, names: impl Iterator<Item = String>) -> Vec<OwnedFd> {
        let names: BTreeSet<String> = names.collect();
        let said = names
            .intersection(&self.offered)
            .try_for_each(|name| send(&self.line, &Word::Taken(name.clone()).encode(), &[]));
        let said = said.and_then(|()| send(&self.line, &Word::Serving.encode(), &[]));
        // One that has ended meanwhile is followed all the same.
        let heard = said.and_then(|()| receive(&self.line));
        let heard = heard.unwrap_or_else(|error| {
            tracing::warn!("the process before does not say that it goes: {error}");
            None
        });
        let mut lines = heard.map_or_else(Vec::new, |(_, before)| before);
        // First: the most that has yet to be counted comes from there.
        lines.insert(0, self.line);
        lines
    }

    /// Says why this process does not serve.
    pub(crate) fn failed(&self, why: &str) {
        // It hears of the end in any case.
        let _ = send(&self.line, &Word::Failed(why.to_owned()).encode(), &[]);
    }
}
