//! What the two processes say to each other: a packet each, a kind, a number and perhaps a text,
//! with descriptors beside it.

use crate::packets::LONGEST_TEXT;

#[cfg(test)]
const HEAD: usize = 5;

/// Numbers of one packet, two bytes each.
pub(super) const MOST_COUNTS: usize = LONGEST_TEXT / 2;

/// What the serving process may ask for. There is no path among it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Request {
    /// Read the files.
    Read,
    /// Open what they name, for so many threads.
    Open(u32),
    /// What was read is in force.
    Settle,
    /// It is not.
    Abandon,
    /// Connect to the log sockets of what is in force.
    Connect,
    /// Tell the processes that the command line named to go.
    Farewell,
    /// How many sockets listen on the admin address.
    Heirs,
    /// How many sockets the serving process has of binds of what was read, from that with this
    /// number on.
    Holds(u32, Vec<u16>),
    /// Start the program anew, for an upgrade; it talks through the descriptor beside this.
    Spawn,
    /// End what was started so.
    Recall,
}

/// What the keeper says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// What the files say, in the descriptor beside it.
    Files,
    /// Sockets of the bind with this number.
    Sockets(u32),
    /// Why there are none.
    Refused(u32, String),
    /// The connected socket of the log path with this number.
    Log(u32),
    /// The admin address's socket.
    Admin,
    /// Why there is none.
    AdminRefused(String),
    Count(u32),
    Done,
    Failed(String),
}

impl Request {
    pub(super) fn encode(&self) -> Vec<u8> {
        let (kind, number) = match self {
            Self::Read => (0, 0),
            Self::Open(threads) => (1, *threads),
            Self::Settle => (2, 0),
            Self::Abandon => (3, 0),
            Self::Connect => (4, 0),
            Self::Farewell => (5, 0),
            Self::Heirs => (6, 0),
            Self::Spawn => (8, 0),
            Self::Recall => (9, 0),
            Self::Holds(first, counts) => {
                let counts: Vec<u8> = counts.iter().flat_map(|n| n.to_le_bytes()).collect();
                return packet(7, *first, &counts);
            }
        };
        packet(kind, number, b"")
    }

    /// `None`: this is none.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        Some(match parts(bytes)? {
            (0, 0, b"") => Self::Read,
            (1, threads, b"") => Self::Open(threads),
            (2, 0, b"") => Self::Settle,
            (3, 0, b"") => Self::Abandon,
            (4, 0, b"") => Self::Connect,
            (5, 0, b"") => Self::Farewell,
            (6, 0, b"") => Self::Heirs,
            (7, first, counts) => {
                let (counts, rest) = counts.as_chunks::<2>();
                if counts.is_empty() || !rest.is_empty() {
                    return None;
                }
                let counts = counts.iter().map(|n| u16::from_le_bytes(*n));
                Self::Holds(first, counts.collect())
            }
            (8, 0, b"") => Self::Spawn,
            (9, 0, b"") => Self::Recall,
            _ => return None,
        })
    }
}

impl Reply {
    pub(super) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Files => packet(0, 0, b""),
            Self::Sockets(bind) => packet(1, *bind, b""),
            Self::Refused(bind, why) => packet(2, *bind, why.as_bytes()),
            Self::Log(path) => packet(3, *path, b""),
            Self::Admin => packet(4, 0, b""),
            Self::AdminRefused(why) => packet(5, 0, why.as_bytes()),
            Self::Count(count) => packet(6, *count, b""),
            Self::Done => packet(7, 0, b""),
            Self::Failed(why) => packet(8, 0, why.as_bytes()),
        }
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (kind, number, text) = parts(bytes)?;
        let text = String::from_utf8_lossy(text).into_owned();
        Some(match kind {
            0 => Self::Files,
            1 => Self::Sockets(number),
            2 => Self::Refused(number, text),
            3 => Self::Log(number),
            4 => Self::Admin,
            5 => Self::AdminRefused(text),
            6 => Self::Count(number),
            7 => Self::Done,
            8 => Self::Failed(text),
            _ => return None,
        })
    }
}

fn packet(kind: u8, number: u32, text: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind];
    bytes.extend(number.to_le_bytes());
    bytes.extend(&text[..text.len().min(LONGEST_TEXT)]);
    bytes
}

fn parts(bytes: &[u8]) -> Option<(u8, u32, &[u8])> {
    let (kind, rest) = bytes.split_first()?;
    let (number, text) = rest.split_first_chunk::<4>()?;
    Some((*kind, u32::from_le_bytes(*number), text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_what_is_heard() {
        for request in [
            Request::Read,
            Request::Open(7),
            Request::Settle,
            Request::Abandon,
            Request::Connect,
            Request::Farewell,
            Request::Heirs,
            Request::Holds(3, vec![0, 1, 65_535]),
            Request::Holds(0, vec![2; MOST_COUNTS]),
            Request::Spawn,
            Request::Recall,
        ] {
            assert_eq!(Request::decode(&request.encode()), Some(request));
        }
        for reply in [
            Reply::Files,
            Reply::Sockets(3),
            Reply::Refused(4, "port taken".to_owned()),
            Reply::Log(1),
            Reply::Admin,
            Reply::AdminRefused("no".to_owned()),
            Reply::Count(2),
            Reply::Done,
            Reply::Failed("why".to_owned()),
        ] {
            assert_eq!(Reply::decode(&reply.encode()), Some(reply));
        }
    }

    #[test]
    fn anything_else_is_not_understood() {
        let long = [0; HEAD + 1];
        for bytes in [
            &b""[..],
            b"\0",
            b"\0\0\0\0",
            b"\x07\0\0\0\0",
            b"\x07\0\0\0\0\x01",
            b"\x0a\0\0\0\0",
            b"\xff\0\0\0\0",
            b"\0\x01\0\0\0",
            b"\0\0\0\0\0/etc/shadow",
            &long,
        ] {
            assert_eq!(Request::decode(bytes), None, "{bytes:?}");
        }
        assert_eq!(Reply::decode(b"\x63\0\0\0\0"), None);
    }
}
