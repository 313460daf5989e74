//! The language of the mixed load. Every byte of either direction is known to both ends in advance
//! (a function of a seed and its place), so that one lost, doubled or changed byte is found where
//! it happens. The server speaks first, one byte, which tells the client that it is served.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;

/// The server's first byte.
const GREETING: u8 = b'!';

/// How a connection goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The client sends, the server answers; any number of times.
    Ask,
    /// The server returns the bytes as they come, both directions full at once.
    Echo,
    /// The client sends and ends its direction; then the server answers and ends its own.
    ClientEndsFirst,
    /// The server sends and ends its direction; then the client sends and ends its own.
    ServerEndsFirst,
    /// The client resets the connection after some of its bytes.
    ClientResets,
    /// The server resets the connection after some of its bytes.
    ServerResets,
}

impl Kind {
    pub(crate) const ALL: [Kind; 6] = [
        Kind::Ask,
        Kind::Echo,
        Kind::ClientEndsFirst,
        Kind::ServerEndsFirst,
        Kind::ClientResets,
        Kind::ServerResets,
    ];
}

/// One exchange, as the client announces it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exchange {
    pub(crate) kind: Kind,
    pub(crate) seed: u64,
    /// Bytes from the client.
    pub(crate) up: u64,
    /// Bytes from the server.
    pub(crate) down: u64,
}

/// What was wrong with a connection.
#[derive(Debug)]
pub(crate) enum Fault {
    /// It ended before the server's first byte.
    Unserved,
    /// The other side's reset arrived as a FIN, which says that all was sent.
    ResetAsFin,
    /// Bytes were lost or changed, or a FIN did not come.
    Wrong(String),
}

impl Exchange {
    const BYTES: usize = 25;

    fn announcement(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[0] = Kind::ALL
            .iter()
            .position(|kind| *kind == self.kind)
            .unwrap() as u8;
        bytes[1..9].copy_from_slice(&self.seed.to_le_bytes());
        bytes[9..17].copy_from_slice(&self.up.to_le_bytes());
        bytes[17..].copy_from_slice(&self.down.to_le_bytes());
        bytes
    }

    /// The next announcement of a client, or `None` where it has ended instead.
    fn receive(stream: &mut TcpStream) -> Result<Option<Self>, Fault> {
        let mut bytes = [0; Self::BYTES];
        match stream.read(&mut bytes) {
            Ok(0) => return Ok(None),
            Ok(count) => stream
                .read_exact(&mut bytes[count..])
                .map_err(wrong("announcement"))?,
            Err(error) => return Err(wrong("announcement")(error)),
        }
        let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
        let kind = *Kind::ALL
            .get(usize::from(bytes[0]))
            .ok_or_else(|| Fault::Wrong(format!("announcement of kind {}", bytes[0])))?;
        Ok(Some(Exchange {
            kind,
            seed: number(1),
            up: number(9),
            down: number(17),
        }))
    }

    /// Waits for the server's first byte.
    pub(crate) fn greeted(stream: &mut TcpStream) -> Result<(), Fault> {
        let mut byte = [0];
        match stream.read(&mut byte) {
            Ok(1) if byte[0] == GREETING => Ok(()),
            Ok(1) => Err(Fault::Wrong(format!("greeted with {byte:?}"))),
            Ok(_) => Err(Fault::Unserved),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Err(Fault::Unserved),
            Err(error) => Err(wrong("greeting")(error)),
        }
    }

    /// The client's part. Afterwards the connection can be used again only for Ask and Echo.
    pub(crate) fn ask(&self, stream: &mut TcpStream) -> Result<(), Fault> {
        stream
            .write_all(&self.announcement())
            .map_err(wrong("client's announcement"))?;
        match self.kind {
            Kind::Ask => {
                send(stream, self.seed, self.up).map_err(wrong("client's bytes"))?;
                verify(stream, !self.seed, self.down)
            }
            Kind::Echo => thread::scope(|scope| {
                let mut writing = stream.try_clone().unwrap();
                let sender = scope.spawn(move || send(&mut writing, self.seed, self.up));
                verify(stream, self.seed, self.up)?;
                sender.join().unwrap().map_err(wrong("client's bytes"))
            }),
            Kind::ClientEndsFirst => {
                send(stream, self.seed, self.up).map_err(wrong("client's bytes"))?;
                end(stream)?;
                verify(stream, !self.seed, self.down)?;
                verify_end(stream)
            }
            Kind::ServerEndsFirst => {
                verify(stream, !self.seed, self.down)?;
                verify_end(stream)?;
                send(stream, self.seed, self.up).map_err(wrong("client's bytes"))?;
                end(stream)
            }
            Kind::ClientResets => {
                // The server takes what there is: a reset may overtake bytes, by its nature.
                send(stream, self.seed, self.up / 2).map_err(wrong("client's bytes"))?;
                reset_on_close(stream)
            }
            Kind::ServerResets => verify_reset(stream, !self.seed),
        }
    }
}

/// The server's part of a connection, to its end.
pub(crate) fn serve(stream: &mut TcpStream) -> Result<(), Fault> {
    // The client may have gone already; then it minds no answer.
    if stream.write_all(&[GREETING]).is_err() {
        return Ok(());
    }
    while let Some(exchange) = Exchange::receive(stream)? {
        let Exchange {
            kind,
            seed,
            up,
            down,
        } = exchange;
        match kind {
            Kind::Ask => {
                verify(stream, seed, up)?;
                send(stream, !seed, down).map_err(wrong("server's bytes"))?;
            }
            Kind::Echo => echo(stream, seed, up)?,
            Kind::ClientEndsFirst => {
                verify(stream, seed, up)?;
                verify_end(stream)?;
                return send(stream, !seed, down).map_err(wrong("server's bytes"));
            }
            Kind::ServerEndsFirst => {
                send(stream, !seed, down).map_err(wrong("server's bytes"))?;
                end(stream)?;
                verify(stream, seed, up)?;
                return verify_end(stream);
            }
            Kind::ClientResets => return verify_reset(stream, seed),
            Kind::ServerResets => {
                send(stream, !seed, down / 2).map_err(wrong("server's bytes"))?;
                return reset_on_close(stream);
            }
        }
    }
    Ok(())
}

/// Bytes at a time.
const PIECE: usize = 32 * 1024;

/// The bytes of `seed` from `place` on, `place` and the length being multiples of 8.
fn fill(seed: u64, place: u64, piece: &mut [u8]) {
    for (number, word) in (place / 8..).zip(piece.chunks_mut(8)) {
        let bytes = scramble(seed.wrapping_add(number)).to_le_bytes();
        word.copy_from_slice(&bytes[..word.len()]);
    }
}

/// A well-mixed function of a number, one to one.
pub(crate) fn scramble(number: u64) -> u64 {
    let mut mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn send(stream: &mut impl Write, seed: u64, count: u64) -> io::Result<()> {
    let mut piece = [0; PIECE];
    let mut sent = 0;
    while sent < count {
        let length = (count - sent).min(PIECE as u64) as usize;
        fill(seed, sent, &mut piece[..length]);
        stream.write_all(&piece[..length])?;
        sent += length as u64;
    }
    Ok(())
}

fn verify(stream: &mut TcpStream, seed: u64, count: u64) -> Result<(), Fault> {
    each_piece(stream, seed, count, |_, _| Ok(()))
}

fn echo(stream: &mut TcpStream, seed: u64, count: u64) -> Result<(), Fault> {
    each_piece(stream, seed, count, |stream, piece| {
        stream.write_all(piece).map_err(wrong("echo"))
    })
}

fn each_piece(
    stream: &mut TcpStream,
    seed: u64,
    count: u64,
    mut use_piece: impl FnMut(&mut TcpStream, &[u8]) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let (mut piece, mut expected) = ([0; PIECE], [0; PIECE]);
    let mut place = 0;
    while place < count {
        let length = (count - place).min(PIECE as u64) as usize;
        stream.read_exact(&mut piece[..length]).map_err(|error| {
            Fault::Wrong(format!(
                "{count} bytes, of which those from {place} on: {error}"
            ))
        })?;
        fill(seed, place, &mut expected[..length]);
        if piece[..length] != expected[..length] {
            return Err(Fault::Wrong(format!(
                "bytes changed between {place} and +{length}"
            )));
        }
        use_piece(stream, &piece[..length])?;
        place += length as u64;
    }
    Ok(())
}

fn end(stream: &TcpStream) -> Result<(), Fault> {
    stream
        .shutdown(Shutdown::Write)
        .map_err(wrong("end of a direction"))
}

fn verify_end(stream: &mut TcpStream) -> Result<(), Fault> {
    match stream.read(&mut [0]) {
        Ok(0) => Ok(()),
        Ok(_) => Err(Fault::Wrong("a byte too many".to_owned())),
        Err(error) => Err(wrong("end instead of a FIN")(error)),
    }
}

fn reset_on_close(stream: &TcpStream) -> Result<(), Fault> {
    socket2::SockRef::from(stream)
        .set_linger(Some(std::time::Duration::ZERO))
        .map_err(wrong("linger"))
}

/// Whatever comes is right as far as it goes, and then comes a reset.
fn verify_reset(stream: &mut TcpStream, seed: u64) -> Result<(), Fault> {
    let (mut piece, mut expected) = ([0; PIECE], [0; PIECE + 8]);
    let mut place = 0;
    loop {
        match stream.read(&mut piece) {
            Ok(0) => return Err(Fault::ResetAsFin),
            Ok(length) => {
                let skip = (place % 8) as usize;
                fill(seed, place - skip as u64, &mut expected);
                if piece[..length] != expected[skip..skip + length] {
                    return Err(Fault::Wrong(format!(
                        "bytes changed after {place}, before a reset"
                    )));
                }
                place += length as u64;
            }
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(()),
            Err(error) => return Err(wrong("waiting for a reset")(error)),
        }
    }
}

fn wrong(what: &str) -> impl FnOnce(io::Error) -> Fault {
    let what = what.to_owned();
    move |error| Fault::Wrong(format!("{what}: {error}"))
}
