//! Answers that do not end, as fast as they come.

use std::os::fd::OwnedFd;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};

use super::{Kept, Metric, Sample, Scene, Workload, higher, lower};
use crate::contestant::Variant;
use crate::part::exchange::{ENDLESS, REQUEST_BYTES, request};
use crate::part::load::Load;
use crate::stage::Stage;

/// One read. The bytes are dropped where they lie (MSG_TRUNC), so that the clients, who share a
/// core with the servers, are not what limits the flow.
const READ_BYTES: usize = 1 << 20;

/// What one flow reads in a turn before the others have theirs.
const READS_PER_TURN: usize = 4;

const METRICS: &[Metric] = &[
    higher("gbits", "throughput", "Gbit/s"),
    lower("cpu", "proxy CPU per GB", "s"),
    lower("system", "whole system's CPU per GB", "s"),
];

pub(super) const BULK_1: Workload = Workload {
    name: "bulk1",
    title: "one endless answer",
    metrics: METRICS,
    variants: &[Variant::Seed, Variant::Tuned, Variant::None],
    scene: Scene::SEED,
    load: |load| flow(load, 1),
    measure,
};

pub(super) const BULK_8: Workload = Workload {
    name: "bulk8",
    title: "eight endless answers",
    metrics: METRICS,
    variants: &[Variant::Seed, Variant::Tuned, Variant::None],
    scene: Scene::SEED,
    load: |load| flow(load, 8),
    measure,
};

fn measure(stage: &Stage<'_>) -> Result<Sample> {
    let (window, _) = stage.steady()?;
    let counted = &window.counted;
    let gigabytes_per_second = counted.bytes as f64 / counted.seconds / 1e9;
    let mut sample = Sample::from([("gbits".to_owned(), gigabytes_per_second * 8.0)]);
    if let Some(cpu) = window.proxy_share {
        sample.insert("cpu".to_owned(), cpu / gigabytes_per_second);
    }
    sample.insert(
        "system".to_owned(),
        window.system_share / gigabytes_per_second,
    );
    Ok(sample)
}

struct Flow {
    socket: OwnedFd,
    asked: bool,
}

fn flow(load: &mut Load, flows: usize) -> Result<Kept> {
    let mut buffer = vec![0; READ_BYTES];
    let mut open: Vec<Option<Flow>> = Vec::with_capacity(flows);
    for token in 0..flows {
        let socket = load.connect().context("connect")?;
        load.watch(&socket, token).context("epoll")?;
        open.push(Some(Flow {
            socket,
            asked: false,
        }));
    }
    let mut tokens = Vec::with_capacity(2 * flows);
    let mut again: Vec<usize> = Vec::with_capacity(flows);
    loop {
        let patience = if again.is_empty() {
            Duration::from_millis(50)
        } else {
            Duration::ZERO
        };
        if !load.turn(&mut tokens, patience)? {
            return Ok(Box::new(open));
        }
        // Those who had their turn come after those who wait for their first.
        for token in again.drain(..) {
            if !tokens.contains(&token) {
                tokens.push(token);
            }
        }
        for token in tokens.drain(..) {
            let Some(flow) = &mut open[token] else {
                continue;
            };
            match flow.go_on(load, &mut buffer) {
                Ok(true) => again.push(token),
                Ok(false) => {}
                Err(error) => {
                    load.failed(error);
                    open[token] = None;
                }
            }
        }
    }
}

impl Flow {
    /// True when there may be more to read.
    fn go_on(&mut self, load: &mut Load, buffer: &mut [u8]) -> rustix::io::Result<bool> {
        if !self.asked {
            match rustix::net::send(&self.socket, &request(1, ENDLESS), SendFlags::NOSIGNAL) {
                Ok(REQUEST_BYTES) => self.asked = true,
                Ok(_) => return Err(Errno::MSGSIZE),
                Err(Errno::AGAIN) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        for _ in 0..READS_PER_TURN {
            match rustix::net::recv(&self.socket, &mut *buffer, RecvFlags::TRUNC) {
                Ok((_, 0)) => return Err(Errno::CONNRESET),
                Ok((_, bytes)) => {
                    load.received(bytes);
                    if bytes < READ_BYTES {
                        return Ok(false);
                    }
                }
                Err(Errno::AGAIN) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}
