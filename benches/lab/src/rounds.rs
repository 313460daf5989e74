//! Rounds: in each, every contestant has one turn, and another one has the first.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::contestant::Contestant;
use crate::process::output;
use crate::record::{Entrant, Machine, Record};
use crate::stage::{Pace, Service, Stage, Threads, start_origin};
use crate::topology::{Cores, Host, Topology};
use crate::workload::{Sample, Servers, Workload};

/// A contestant, and in how many of the first rounds it takes part.
pub(crate) struct Entry {
    pub(crate) contestant: Contestant,
    pub(crate) rounds: usize,
}

/// Measures one workload.
pub(crate) fn run(
    workload: &'static Workload,
    entries: &[Entry],
    threads: Threads,
    pace: Pace,
    topology: &Topology,
) -> Result<Record> {
    let service = (workload.scene.service)(topology)?;
    let _origin = match workload.scene.servers {
        Servers::OneProcess => Some(start_origin(topology, threads, &service.servers)?),
        Servers::ProcessEach => None,
    };
    let (entries, others): (Vec<&Entry>, Vec<&Entry>) = entries
        .iter()
        .partition(|entry| (workload.scene.suits)(entry.contestant.program, topology));
    for entry in others {
        eprintln!(
            "{} does not take part in {}",
            entry.contestant.name, workload.name
        );
    }
    ensure!(!entries.is_empty(), "nobody can do {} here", workload.name);
    let mut record = Record {
        workload: workload.name.to_owned(),
        threads: threads.count(),
        window: pace.window.as_secs_f64(),
        machine: Machine::this(topology),
        contestants: entries
            .iter()
            .map(|entry| entrant(&entry.contestant))
            .collect(),
        ..Record::default()
    };
    let rounds = entries.iter().map(|entry| entry.rounds).max().unwrap_or(0);
    let began = Instant::now();
    for round in 0..rounds {
        let mut order: Vec<&Contestant> = entries
            .iter()
            .filter(|entry| round < entry.rounds)
            .map(|entry| &entry.contestant)
            .collect();
        let first = round % order.len();
        order.rotate_left(first);
        for contestant in order {
            match sample(
                workload, contestant, round, threads, pace, &service, topology,
            ) {
                Ok(figures) => record.add(round, &contestant.name, figures),
                Err(error) => {
                    eprintln!(
                        "{}, {}, round {round}: {error:#}",
                        workload.name, contestant.name
                    );
                    record
                        .failures
                        .push(format!("{}, round {round}: {error:#}", contestant.name));
                }
            }
        }
        eprint!(
            "\r{}, {}: round {} of {rounds}, {:.0} s ",
            workload.name,
            threads.describe(),
            round + 1,
            began.elapsed().as_secs_f64()
        );
    }
    eprintln!();
    Ok(record)
}

fn sample(
    workload: &'static Workload,
    contestant: &Contestant,
    round: usize,
    threads: Threads,
    pace: Pace,
    service: &Service,
    topology: &Topology,
) -> Result<Sample> {
    wait_until_free(topology, service.front)?;
    let own = match workload.scene.servers {
        Servers::OneProcess => &[][..],
        Servers::ProcessEach => &service.servers,
    };
    let servers = own
        .iter()
        .map(|server| start_origin(topology, threads, &[*server]))
        .collect::<Result<_>>()?;
    let proxy = contestant.start(topology, threads, service)?;
    let stage = Stage {
        topology,
        workload,
        threads,
        pace,
        round,
        service,
        servers: RefCell::new(servers),
        proxy,
    };
    (workload.measure)(&stage).with_context(|| {
        let words = stage.proxy.last_words();
        if words.is_empty() {
            "measure".to_owned()
        } else {
            format!("measure; the balancer said: {words}")
        }
    })
}

fn entrant(contestant: &Contestant) -> Entrant {
    Entrant {
        name: contestant.name.clone(),
        version: contestant.version.clone(),
        about: contestant.about.to_owned(),
    }
}

/// How long the kernel may take to bury an ended balancer's connections.
const BURIAL: Duration = Duration::from_secs(10);

/// Waits until nothing is left at the balancers' port of the one that was ended: the next one
/// could not listen there or, worse, would share its connections with the last one.
fn wait_until_free(topology: &Topology, front: SocketAddr) -> Result<()> {
    let deadline = Instant::now() + BURIAL;
    let port = format!(":{:04X}", front.port());
    loop {
        let table = output(
            topology
                .on(Host::Lb, Cores::Any, "cat")
                .arg("/proc/net/tcp"),
        )?;
        let rows = table
            .lines()
            .skip(1)
            .map(|row| row.split_whitespace().collect::<Vec<_>>());
        let mut left = rows.filter(|row| {
            let [_, near, _, state, ..] = row[..] else {
                return false;
            };
            near.ends_with(&port) && state != TIME_WAIT
        });
        let Some(row) = left.next() else {
            return Ok(());
        };
        ensure!(
            Instant::now() < deadline,
            "{front} is still in use: {}",
            row.join(" ")
        );
        thread::park_timeout(Duration::from_millis(10));
    }
}

/// The state's number in /proc/net/tcp; nobody is kept from listening by it.
const TIME_WAIT: &str = "06";
