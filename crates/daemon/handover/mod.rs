//! An upgrade: the process that serves starts the program that is installed by now, gives it the
//! listening sockets and what it knows, and gives way once that one serves. If it comes to nothing,
//! nothing has changed. What they say to each other is here, and both sides of it.
//!
//! Must not know what a configuration says: the successor reads the files itself.

mod giver;
mod heir;
mod program;
mod reports;

use std::time::Duration;

use evenkeel_proxy::Tallies;
use serde::{Deserialize, Serialize};

pub(crate) use giver::{Giver, Launch, Offer, Step};
pub(crate) use heir::Heir;
pub(crate) use program::{Program, program, remember};
pub(crate) use reports::{Earlier, PERIOD, Reports};

/// How long either side waits for the other's next word: files may name hosts to look up.
const PATIENCE: Duration = Duration::from_secs(30);
/// What a document of this kind is known by; names that either side does not know are left out.
const VERSION: u32 = 1;

/// What the successor goes on from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Document {
    version: u32,
    /// When the first of these processes started, since 1970.
    pub(crate) started: Duration,
    /// The answer to `show servers state`.
    pub(crate) servers: String,
    pub(crate) tallies: Tallies,
}

impl Document {
    pub(crate) fn new(started: Duration, servers: String, tallies: Tallies) -> Self {
        Self {
            version: VERSION,
            started,
            servers,
            tallies,
        }
    }
}

/// A packet: what it is, and a text.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Word {
    /// Sockets of this name are beside it.
    Sockets(String),
    /// The socket of this admin address is beside it.
    Admin(String),
    /// A command shut this frontend down.
    Shut(String),
    /// There are no more.
    Complete,
    /// The successor has loaded and bound everything.
    Prepared,
    /// What to go on from is beside it.
    Document,
    /// The successor serves the sockets of this name.
    Taken(String),
    /// It serves.
    Serving,
    /// It does not, for this reason.
    Failed(String),
    /// It is the one that counts from now on; the lines of processes that drain yet are beside it.
    Go,
    /// What was counted since the last report is beside it.
    Counts,
}

impl Word {
    fn encode(&self) -> Vec<u8> {
        let (kind, text) = match self {
            Self::Sockets(name) => (b'S', name.as_str()),
            Self::Admin(address) => (b'A', address.as_str()),
            Self::Shut(name) => (b'X', name.as_str()),
            Self::Complete => (b'C', ""),
            Self::Prepared => (b'P', ""),
            Self::Document => (b'D', ""),
            Self::Taken(name) => (b'T', name.as_str()),
            Self::Serving => (b'V', ""),
            Self::Failed(why) => (b'F', why.as_str()),
            Self::Go => (b'G', ""),
            Self::Counts => (b'N', ""),
        };
        let text = text.bytes().take(crate::packets::LONGEST_TEXT);
        [kind].into_iter().chain(text).collect()
    }

    /// `None`: it is none.
    fn decode(bytes: &[u8]) -> Option<Self> {
        let (kind, text) = bytes.split_first()?;
        let text = String::from_utf8_lossy(text).into_owned();
        Some(match kind {
            b'S' => Self::Sockets(text),
            b'A' => Self::Admin(text),
            b'X' => Self::Shut(text),
            b'C' => Self::Complete,
            b'P' => Self::Prepared,
            b'D' => Self::Document,
            b'T' => Self::Taken(text),
            b'V' => Self::Serving,
            b'F' => Self::Failed(text),
            b'G' => Self::Go,
            b'N' => Self::Counts,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_what_is_heard() {
        for word in [
            Word::Sockets("a".to_owned()),
            Word::Admin("b".to_owned()),
            Word::Shut("e".to_owned()),
            Word::Complete,
            Word::Prepared,
            Word::Document,
            Word::Taken("c".to_owned()),
            Word::Serving,
            Word::Failed("d\ne".to_owned()),
            Word::Go,
            Word::Counts,
        ] {
            assert_eq!(Word::decode(&word.encode()), Some(word));
        }
        assert_eq!(Word::decode(b""), None);
        assert_eq!(Word::decode(b"?"), None);
    }

    #[test]
    fn a_document_of_another_version_is_read_as_far_as_it_is_understood() {
        let text = r#"{"version":2,"servers":"1\n","news":[1],"tallies":{"process":{"connections":7,"new":1}}}"#;
        let document: Document = serde_json::from_str(text).unwrap();
        assert_eq!(document.servers, "1\n");
        assert_eq!(document.tallies.process["connections"], 7);
    }
}
