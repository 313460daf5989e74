//! Short connections: connect, ask, read the whole answer, close.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::Result;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};

use super::{Kept, Sample, Scene, Workload, higher, lower};
use crate::contestant::Variant;
use crate::part::exchange::{ANSWER_BYTES, REQUEST_BYTES, answers, request};
use crate::part::load::Load;
use crate::stage::Stage;

/// Connections at once: enough to keep a balancer busy, few enough to be served from the cache.
const AT_ONCE: usize = 32;

pub(super) const CHURN: Workload = Workload {
    name: "churn",
    title: "short connections: connect, 200 B, 1 KB, close; 32 at once",
    metrics: &[
        lower("cpu", "proxy CPU per connection", "µs"),
        higher("rate", "connections", "1/s"),
        lower("system", "whole system's CPU per connection", "µs"),
        lower("p50", "connect to last byte, p50", "µs"),
        lower("p99", "connect to last byte, p99", "µs"),
    ],
    variants: &[Variant::Seed, Variant::None],
    scene: Scene::SEED,
    load,
    measure,
};

fn measure(stage: &Stage<'_>) -> Result<Sample> {
    let (window, _) = stage.steady()?;
    let mut sample = window.per_request();
    window.latencies(&mut sample, &["p50", "p99"]);
    Ok(sample)
}

/// One short connection.
pub(super) struct Visit {
    socket: OwnedFd,
    pub(super) number: u64,
    pub(super) began: Instant,
    sent: bool,
    received: usize,
    pub(super) answer: [u8; ANSWER_BYTES],
}

fn load(load: &mut Load) -> Result<Kept> {
    let mut visits: Vec<Option<Visit>> = (0..AT_ONCE).map(|_| None).collect();
    let mut number = 0;
    let mut tokens = Vec::with_capacity(AT_ONCE);
    while load.turn(&mut tokens, Duration::from_millis(50))? {
        for token in tokens.drain(..) {
            if let Some(visit) = &mut visits[token] {
                match visit.go_on() {
                    Ok(false) => continue,
                    Ok(true) if answers(&visit.answer, visit.number) => {
                        load.answered(visit.began.elapsed(), ANSWER_BYTES);
                    }
                    Ok(true) => load.failed("another request's answer"),
                    Err(error) => load.failed(error),
                }
            }
            // The client closes first, before it comes again.
            visits[token] = None;
        }
        for (token, visit) in visits
            .iter_mut()
            .enumerate()
            .filter(|(_, visit)| visit.is_none())
        {
            number += 1;
            match Visit::begin(load, number, token) {
                Ok(begun) => *visit = Some(begun),
                Err(error) => load.failed(error),
            }
        }
    }
    for visit in visits.iter().flatten() {
        load.check_patience(visit.began);
    }
    Ok(Box::new(()))
}

impl Visit {
    pub(super) fn begin(load: &Load, number: u64, token: usize) -> rustix::io::Result<Self> {
        let began = Instant::now();
        let socket = load.connect()?;
        let mut visit = Visit {
            socket,
            number,
            began,
            sent: false,
            received: 0,
            answer: [0; ANSWER_BYTES],
        };
        // On one machine the handshake is often over already.
        visit.ask()?;
        load.watch(&visit.socket, token)?;
        Ok(visit)
    }

    fn ask(&mut self) -> rustix::io::Result<()> {
        let request = request(self.number, ANSWER_BYTES as u64);
        match rustix::net::send(&self.socket, &request, SendFlags::NOSIGNAL) {
            Ok(REQUEST_BYTES) => self.sent = true,
            Ok(_) => return Err(Errno::MSGSIZE),
            Err(Errno::AGAIN) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// True once the whole answer is here.
    pub(super) fn go_on(&mut self) -> rustix::io::Result<bool> {
        if !self.sent {
            self.ask()?;
            return Ok(false);
        }
        match rustix::net::recv(
            &self.socket,
            &mut self.answer[self.received..],
            RecvFlags::empty(),
        ) {
            Ok((0, _)) => return Err(Errno::CONNRESET),
            Ok((bytes, _)) => self.received += bytes,
            Err(Errno::AGAIN) => {}
            Err(error) => return Err(error),
        }
        Ok(self.received == ANSWER_BYTES)
    }
}
