//! Requests and answers on connections that stay.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, sockopt};

use super::{Kept, Metric, Sample, Scene, Workload, higher, lower, none};
use crate::contestant::Variant;
use crate::part::exchange::{ANSWER_BYTES, REQUEST_BYTES, answers, request};
use crate::part::load::Load;
use crate::stage::Stage;

const P50: Metric = lower("p50", "request to last byte, p50", "µs");
const P99: Metric = lower("p99", "request to last byte, p99", "µs");
const P999: Metric = lower("p999", "request to last byte, p99.9", "µs");
const CPU: Metric = lower("cpu", "proxy CPU per request", "µs");
const RATE: Metric = higher("rate", "requests", "1/s");
const SYSTEM: Metric = lower("system", "whole system's CPU per request", "µs");
const REST: Metric = none("rest", "proxy CPU per second once nothing is asked", "ms");

pub(super) const KEPT_1: Workload = Workload {
    name: "kept1",
    title: "200 B and 1 KB to and fro on one connection",
    metrics: &[P50, P99, P999, CPU, RATE, SYSTEM, REST],
    variants: &[Variant::Seed, Variant::Busy, Variant::None],
    scene: Scene::SEED,
    load: |load| converse(load, 1),
    measure,
};

pub(super) const KEPT_64: Workload = Workload {
    name: "kept64",
    title: "200 B and 1 KB to and fro on 64 connections",
    metrics: &[CPU, P99, P50, P999, RATE, SYSTEM, REST],
    variants: &[Variant::Seed, Variant::Busy, Variant::None],
    scene: Scene::SEED,
    load: |load| converse(load, 64),
    measure,
};

fn measure(stage: &Stage<'_>) -> Result<Sample> {
    let (window, _clients) = stage.steady()?;
    let mut sample = window.per_request();
    window.latencies(&mut sample, &["p50", "p99", "p999"]);
    stage.at_rest(&mut sample)?;
    Ok(sample)
}

struct Talk {
    socket: OwnedFd,
    number: u64,
    asked: Instant,
    received: usize,
    answer: [u8; ANSWER_BYTES],
}

fn converse(load: &mut Load, connections: usize) -> Result<Kept> {
    let mut talks: Vec<Option<Talk>> = Vec::with_capacity(connections);
    for token in 0..connections {
        let socket = load.connect().context("connect")?;
        sockopt::set_tcp_nodelay(&socket, true).context("TCP_NODELAY")?;
        load.watch(&socket, token).context("epoll")?;
        // The first event says that it is connected; the number 0 was never asked.
        talks.push(Some(Talk {
            socket,
            number: 0,
            asked: Instant::now(),
            received: ANSWER_BYTES,
            answer: [0; ANSWER_BYTES],
        }));
    }
    let mut tokens = Vec::with_capacity(connections);
    while load.turn(&mut tokens, Duration::from_millis(50))? {
        for token in tokens.drain(..) {
            let Some(talk) = &mut talks[token] else {
                continue;
            };
            if let Err(error) = talk.go_on(load) {
                load.failed(error);
                talks[token] = None;
            }
        }
    }
    for talk in talks.iter().flatten() {
        load.check_patience(talk.asked);
    }
    Ok(Box::new(talks))
}

impl Talk {
    fn go_on(&mut self, load: &mut Load) -> rustix::io::Result<()> {
        if self.received < ANSWER_BYTES {
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
            if self.received < ANSWER_BYTES {
                return Ok(());
            }
        }
        let now = Instant::now();
        if self.number > 0 {
            if !answers(&self.answer, self.number) {
                return Err(Errno::BADMSG);
            }
            load.answered(now - self.asked, ANSWER_BYTES);
        }
        let request = request(self.number + 1, ANSWER_BYTES as u64);
        match rustix::net::send(&self.socket, &request, SendFlags::NOSIGNAL) {
            Ok(REQUEST_BYTES) => {}
            // Still connecting: the event that says so is to come.
            Err(Errno::AGAIN) if self.number == 0 => return Ok(()),
            Ok(_) | Err(Errno::AGAIN) => return Err(Errno::MSGSIZE),
            Err(error) => return Err(error),
        }
        self.number += 1;
        self.asked = now;
        self.received = 0;
        Ok(())
    }
}
