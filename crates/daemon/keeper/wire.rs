//! What the two processes say to each other: a packet each, a kind, a number and perhaps a text,
//! with descriptors beside it.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

/// Descriptors of one packet; the kernel takes 253.
pub(super) const MOST_DESCRIPTORS: usize = 64;
/// A reason is a line or two; more of it is cut.
const LONGEST_TEXT: usize = 4096;
const HEAD: usize = 5;

/// What the serving process may ask for. There is no path among it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

const REQUESTS: [Request; 7] = [
    Request::Read,
    Request::Open(0),
    Request::Settle,
    Request::Abandon,
    Request::Connect,
    Request::Farewell,
    Request::Heirs,
];

impl Request {
    pub(super) fn encode(self) -> Vec<u8> {
        let (kind, number) = match self {
            Self::Read => (0, 0),
            Self::Open(threads) => (1, threads),
            Self::Settle => (2, 0),
            Self::Abandon => (3, 0),
            Self::Connect => (4, 0),
            Self::Farewell => (5, 0),
            Self::Heirs => (6, 0),
        };
        packet(kind, number, "")
    }

    /// `None`: this is none.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (kind, number, text) = parts(bytes)?;
        let request = *REQUESTS.get(usize::from(kind))?;
        match request {
            _ if !text.is_empty() => None,
            Self::Open(_) => Some(Self::Open(number)),
            _ if number != 0 => None,
            request => Some(request),
        }
    }
}

impl Reply {
    pub(super) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Files => packet(0, 0, ""),
            Self::Sockets(bind) => packet(1, *bind, ""),
            Self::Refused(bind, why) => packet(2, *bind, why),
            Self::Log(path) => packet(3, *path, ""),
            Self::Admin => packet(4, 0, ""),
            Self::AdminRefused(why) => packet(5, 0, why),
            Self::Count(count) => packet(6, *count, ""),
            Self::Done => packet(7, 0, ""),
            Self::Failed(why) => packet(8, 0, why),
        }
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (kind, number, text) = parts(bytes)?;
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

fn packet(kind: u8, number: u32, text: &str) -> Vec<u8> {
    let mut bytes = vec![kind];
    bytes.extend(number.to_le_bytes());
    bytes.extend(text.bytes().take(LONGEST_TEXT));
    bytes
}

fn parts(bytes: &[u8]) -> Option<(u8, u32, String)> {
    let (kind, rest) = bytes.split_first()?;
    let (number, text) = rest.split_first_chunk::<4>()?;
    let text = String::from_utf8_lossy(text).into_owned();
    Some((*kind, u32::from_le_bytes(*number), text))
}

/// Sends one packet, waiting for room.
pub(super) fn send(
    socket: impl AsFd,
    bytes: &[u8],
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
    let mut beside = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !beside.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::Error::other("too many descriptors for one packet"));
    }
    loop {
        let sent = sendmsg(
            &socket,
            &[IoSlice::new(bytes)],
            &mut beside,
            SendFlags::NOSIGNAL,
        );
        match sent {
            Err(rustix::io::Errno::INTR) => {}
            sent => return Ok(sent.map(drop)?),
        }
    }
}

/// Receives one packet, with its descriptors; `None`: the other side has closed.
pub(super) fn receive(socket: impl AsFd) -> io::Result<Option<(Vec<u8>, Vec<OwnedFd>)>> {
    let mut bytes = vec![0; HEAD + LONGEST_TEXT];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
    let mut beside = RecvAncillaryBuffer::new(&mut space);
    let received = loop {
        let mut slices = [IoSliceMut::new(&mut bytes)];
        match recvmsg(&socket, &mut slices, &mut beside, RecvFlags::CMSG_CLOEXEC) {
            Err(rustix::io::Errno::INTR) => {}
            received => break received?,
        }
    };
    let mut descriptors = Vec::new();
    for message in beside.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            descriptors.extend(rights);
        }
    }
    if received.bytes == 0 {
        return Ok(None);
    }
    if received.flags.contains(ReturnFlags::TRUNC) {
        // Longer than anything that is said here: not understood, that is.
        bytes.clear();
    }
    bytes.truncate(received.bytes);
    Ok(Some((bytes, descriptors)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_what_is_heard() {
        for request in REQUESTS.into_iter().chain([Request::Open(7)]) {
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
