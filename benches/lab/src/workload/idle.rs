//! Thousands of connections that have been served once and stay.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};

use super::{Kept, Sample, Scene, Workload, lower, none};
use crate::contestant::Variant;
use crate::part::exchange::{ANSWER_BYTES, REQUEST_BYTES, answers, request};
use crate::part::load::Load;
use crate::stage::Stage;

/// Connections in all.
const MANY: usize = 9_000;

/// What the first connections cost is not theirs alone: buffers, the allocator's arenas.
const FIRST: usize = 100;

/// Connections that are being made at once.
const AT_ONCE: usize = 64;

/// How long all of them may take.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) const IDLE: Workload = Workload {
    name: "idle",
    title: "9,000 connections after one request each",
    metrics: &[
        lower("memory", "the proxy's private memory per connection", "KiB"),
        lower("accept", "until all have been served once", "ms"),
        none("rest", "proxy CPU per second once nothing is asked", "ms"),
    ],
    variants: &[Variant::Seed],
    scene: Scene::SEED,
    load,
    measure,
};

fn measure(stage: &Stage<'_>) -> Result<Sample> {
    let mut clients = stage.clients()?;
    clients.begun()?;
    let before = stage.proxy.private_bytes()?;
    clients.go_on()?;
    clients.ended()?;
    let counted = clients.counted()?;
    let after = stage.proxy.private_bytes()?;
    let mut sample = Sample::from([("accept".to_owned(), counted.seconds * 1e3)]);
    if let (Some(before), Some(after)) = (before, after) {
        let each = after.saturating_sub(before) as f64 / (MANY - FIRST) as f64;
        sample.insert("memory".to_owned(), each / 1024.0);
    }
    stage.at_rest(&mut sample)?;
    Ok(sample)
}

struct Guest {
    socket: OwnedFd,
    came: Instant,
    sent: bool,
    received: usize,
}

fn load(load: &mut Load) -> Result<Kept> {
    let mut guests: Vec<Option<Guest>> = Vec::with_capacity(MANY);
    fill(load, &mut guests, FIRST)?;
    load.begin_when_told()?;
    fill(load, &mut guests, MANY)?;
    load.end(Instant::now())?;
    Ok(Box::new(guests))
}

/// Lets guests come until `many` are served.
fn fill(load: &mut Load, guests: &mut Vec<Option<Guest>>, many: usize) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    let mut waiting = 0;
    let mut tokens = Vec::with_capacity(AT_ONCE);
    let mut answer = [0; ANSWER_BYTES];
    loop {
        while waiting < AT_ONCE && guests.len() < many {
            let socket = load.connect().context("connect")?;
            let mut guest = Guest {
                socket,
                came: Instant::now(),
                sent: false,
                received: 0,
            };
            let token = guests.len();
            guest.ask(token).context("ask")?;
            load.watch(&guest.socket, token).context("epoll")?;
            guests.push(Some(guest));
            waiting += 1;
        }
        if waiting == 0 {
            return Ok(());
        }
        anyhow::ensure!(
            Instant::now() < deadline,
            "{waiting} of {many} connections are not served"
        );
        load.wait(&mut tokens, Duration::from_millis(50))?;
        for token in tokens.drain(..) {
            let Some(guest) = &mut guests[token] else {
                continue;
            };
            let served = guest.received == ANSWER_BYTES;
            match guest.go_on(token, &mut answer) {
                Ok(true) if !served => {
                    load.answered(guest.came.elapsed(), ANSWER_BYTES);
                    waiting -= 1;
                }
                Ok(_) => {}
                Err(error) => {
                    load.failed(error);
                    guests[token] = None;
                    waiting -= usize::from(!served);
                }
            }
        }
    }
}

impl Guest {
    fn ask(&mut self, token: usize) -> rustix::io::Result<()> {
        let request = request(token as u64, ANSWER_BYTES as u64);
        match rustix::net::send(&self.socket, &request, SendFlags::NOSIGNAL) {
            Ok(REQUEST_BYTES) => self.sent = true,
            Ok(_) => return Err(Errno::MSGSIZE),
            Err(Errno::AGAIN) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// True once the whole answer has come.
    fn go_on(&mut self, token: usize, answer: &mut [u8; ANSWER_BYTES]) -> rustix::io::Result<bool> {
        if !self.sent {
            self.ask(token)?;
            return Ok(false);
        }
        match rustix::net::recv(&self.socket, &mut answer[..], RecvFlags::empty()) {
            Ok((0, _)) => return Err(Errno::CONNRESET),
            Ok((bytes, _)) => {
                if self.received == 0 && !answers(&answer[..bytes], token as u64) {
                    return Err(Errno::BADMSG);
                }
                self.received += bytes;
            }
            Err(Errno::AGAIN) => {}
            Err(error) => return Err(error),
        }
        Ok(self.received == ANSWER_BYTES)
    }
}
