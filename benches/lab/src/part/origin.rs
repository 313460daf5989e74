//! The servers: one thread, one epoll instance, every address given. Answers each request of each
//! connection and closes when the client has; allocates nothing per request.

use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};

use anyhow::{Context as _, Result};
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, Event, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, sockopt};
use rustix::time::Timespec;

use super::exchange::{ANSWER_BYTES, ENDLESS, REQUEST_BYTES, asked};

/// What is said once every address is listened at.
pub(crate) const LISTENING: &str = "listening";

/// Connections that wait in the kernel.
const BACKLOG: i32 = 16_384;

/// Events taken at once.
const EVENTS: usize = 256;

/// What one endless answer sends in a turn before the others have theirs.
const WRITES_PER_TURN: usize = 4;

/// One write of an endless answer: it stays within the core's own cache.
const CHUNK_BYTES: usize = 128 * 1024;

/// Serves until the process is ended.
pub(crate) fn serve(addresses: &[SocketAddr]) -> Result<()> {
    let mut origin = Origin {
        ready: epoll::create(epoll::CreateFlags::CLOEXEC).context("epoll")?,
        listeners: Vec::new(),
        clients: Vec::new(),
        free: Vec::new(),
        again: Vec::new(),
        chunk: vec![b'x'; CHUNK_BYTES],
    };
    for address in addresses {
        origin
            .listen(address)
            .with_context(|| format!("listen at {address}"))?;
    }
    println!("{LISTENING}");
    origin.run()
}

struct Origin {
    ready: OwnedFd,
    /// Their tokens are the first.
    listeners: Vec<OwnedFd>,
    clients: Vec<Option<Client>>,
    /// Places of `clients` that nobody has.
    free: Vec<usize>,
    /// Whose endless answer had its turn and could go on.
    again: Vec<usize>,
    chunk: Vec<u8>,
}

struct Client {
    socket: OwnedFd,
    request: [u8; REQUEST_BYTES],
    received: usize,
    state: State,
    /// Room to send is an event for it from the first time that it was wanting.
    watches_room: bool,
}

enum State {
    Asked,
    /// The rest of a finite answer; longer ones wait for room, too.
    Answering(usize),
    Endless,
}

impl Origin {
    fn listen(&mut self, address: &SocketAddr) -> rustix::io::Result<()> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let family = match address {
            SocketAddr::V4(_) => AddressFamily::INET,
            SocketAddr::V6(_) => AddressFamily::INET6,
        };
        let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
        sockopt::set_socket_reuseaddr(&socket, true)?;
        rustix::net::bind(&socket, address)?;
        rustix::net::listen(&socket, BACKLOG)?;
        let token = EventData::new_u64(self.listeners.len() as u64);
        epoll::add(&self.ready, &socket, token, EventFlags::IN)?;
        self.listeners.push(socket);
        Ok(())
    }

    fn run(&mut self) -> Result<()> {
        let mut events: Vec<Event> = Vec::with_capacity(EVENTS);
        loop {
            events.clear();
            let wait = if self.again.is_empty() {
                None
            } else {
                Some(&Timespec {
                    tv_sec: 0,
                    tv_nsec: 0,
                })
            };
            match epoll::wait(&self.ready, spare_capacity(&mut events), wait) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error).context("epoll_wait"),
            }
            // Those who had their turn come after those who wait for their first.
            let again = std::mem::take(&mut self.again);
            for event in &events {
                let token = event.data.u64() as usize;
                match token.checked_sub(self.listeners.len()) {
                    None => self.accept(token),
                    Some(client) => self.serve(client),
                }
            }
            for client in again {
                self.serve(client);
            }
        }
    }

    fn accept(&mut self, listener: usize) {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        // Any error ends the batch: what it says of a connection is that it has gone already.
        while let Ok(socket) = rustix::net::accept_with(&self.listeners[listener], flags) {
            let place = self.free.pop().unwrap_or_else(|| {
                self.clients.push(None);
                self.clients.len() - 1
            });
            let token = EventData::new_u64((place + self.listeners.len()) as u64);
            let interest = EventFlags::IN | EventFlags::RDHUP | EventFlags::ET;
            if epoll::add(&self.ready, &socket, token, interest).is_err() {
                self.free.push(place);
                continue;
            }
            self.clients[place] = Some(Client {
                socket,
                request: [0; REQUEST_BYTES],
                received: 0,
                state: State::Asked,
                watches_room: false,
            });
        }
    }

    fn serve(&mut self, place: usize) {
        let Some(client) = self.clients.get_mut(place).and_then(Option::as_mut) else {
            return;
        };
        match client.go_on(&self.chunk) {
            Ok(Turn::Waits) => {}
            Ok(Turn::WaitsForRoom) if client.watches_room => {}
            Ok(Turn::WaitsForRoom) => {
                client.watches_room = true;
                let token = EventData::new_u64((place + self.listeners.len()) as u64);
                let interest =
                    EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
                if epoll::modify(&self.ready, &client.socket, token, interest).is_err() {
                    self.close(place);
                }
            }
            Ok(Turn::CouldGoOn) if self.again.contains(&place) => {}
            Ok(Turn::CouldGoOn) => self.again.push(place),
            Ok(Turn::Done) | Err(_) => self.close(place),
        }
    }

    fn close(&mut self, place: usize) {
        // Closing takes it out of the epoll instance, too. Nothing in the running batch can still
        // mean this place: a descriptor has one event a batch, and this was it.
        self.clients[place] = None;
        self.again.retain(|other| *other != place);
        self.free.push(place);
    }
}

enum Turn {
    /// For the next request.
    Waits,
    WaitsForRoom,
    CouldGoOn,
    Done,
}

impl Client {
    fn go_on(&mut self, chunk: &[u8]) -> rustix::io::Result<Turn> {
        loop {
            match self.state {
                State::Asked => {
                    let room = &mut self.request[self.received..];
                    match rustix::net::recv(self.socket.as_fd(), room, RecvFlags::empty()) {
                        Ok((0, _)) => return Ok(Turn::Done),
                        Ok((bytes, _)) => self.received += bytes,
                        Err(Errno::AGAIN) => return Ok(Turn::Waits),
                        Err(error) => return Err(error),
                    }
                    if self.received < REQUEST_BYTES {
                        continue;
                    }
                    self.received = 0;
                    let (number, length) = asked(&self.request);
                    if length == ENDLESS {
                        self.state = State::Endless;
                        continue;
                    }
                    let mut answer = [b'a'; ANSWER_BYTES];
                    answer[..8].copy_from_slice(&number.to_le_bytes());
                    let length = (length as usize).min(ANSWER_BYTES);
                    let sent = self.send(&answer[..length])?;
                    if sent < length {
                        self.state = State::Answering(length - sent);
                        return Ok(Turn::WaitsForRoom);
                    }
                    // A client sends its next request after this answer: that is a new edge.
                    return Ok(Turn::Waits);
                }
                State::Answering(left) => {
                    let sent = self.send(&[b'a'; ANSWER_BYTES][..left])?;
                    if sent < left {
                        self.state = State::Answering(left - sent);
                        return Ok(Turn::WaitsForRoom);
                    }
                    self.state = State::Asked;
                }
                State::Endless => {
                    for _ in 0..WRITES_PER_TURN {
                        if self.send(chunk)? < chunk.len() {
                            return Ok(Turn::WaitsForRoom);
                        }
                    }
                    return Ok(Turn::CouldGoOn);
                }
            }
        }
    }

    /// How much the kernel took.
    fn send(&self, bytes: &[u8]) -> rustix::io::Result<usize> {
        match rustix::net::send(self.socket.as_fd(), bytes, SendFlags::NOSIGNAL) {
            Err(Errno::AGAIN) => Ok(0),
            other => other,
        }
    }
}
