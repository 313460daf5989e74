//! HAProxy and evenkeel: the seed's file, with the addresses of this network. It has no `log`
//! line, so nobody logs.

use std::fmt::Write as _;
use std::fs;

use anyhow::{Context as _, Result};

use super::{Contestant, Program, Running, Variant};
use crate::process::Process;
use crate::stage::{Service, StartedAs, Threads};
use crate::topology::{Host, Topology};

/// What everything is measured with.
const SEED: &str = include_str!("../../../../config/seed.cfg");

pub(super) fn start(
    contestant: &Contestant,
    topology: &Topology,
    threads: Threads,
    service: &Service,
) -> Result<Running> {
    let file = topology
        .folder
        .join(format!("{}.cfg", contestant.variant.name()));
    fs::write(&file, configuration(contestant.variant, threads, service))
        .context("write its configuration")?;
    let mut command =
        topology.unprivileged_on(Host::Lb, threads.balancer_cores(), &contestant.file);
    let how = match service.started_as {
        StartedAs::Worker => "-db",
        StartedAs::Master => "-W",
    };
    command.arg(how).arg("-f").arg(&file);
    let log = topology.folder.join("balancer.log");
    let mut running = Running::process(service.front, Process::start(command, &log)?);
    running.reloaded = match contestant.program {
        Program::Evenkeel => "reloaded",
        _ => "Former worker",
    };
    Ok(running)
}

/// The whole file.
pub(crate) fn configuration(variant: Variant, threads: Threads, service: &Service) -> String {
    let mut text = format!(
        "global\n    nbthread {}\n    maxconn {}\n",
        threads.count(),
        service.maxconn
    );
    match variant {
        Variant::Busy => text += "    busy-polling\n",
        // Without a limit HAProxy wants descriptors for a quarter of maxconn in pipes, past what
        // it may have; eight flows need sixteen.
        Variant::Tuned => {
            text += "    tune.pipesize 1048576\n    maxpipes 64\n\n\
                     defaults\n    mode tcp\n    option splice-request\n    option splice-response\n";
        }
        Variant::Seed | Variant::None => {}
    }
    text.push('\n');
    let mut servers = service.servers.iter().enumerate();
    for line in SEED.lines() {
        match line.split_whitespace().next() {
            Some("bind") => {
                let _ = writeln!(text, "    bind {}", service.front);
            }
            // Every server in the place of the seed's first, none in that of its others.
            Some("server") => {
                for (n, address) in servers.by_ref() {
                    let _ = writeln!(
                        text,
                        "    server master{} {address} {}",
                        n + 1,
                        service.server_options
                    );
                }
            }
            Some("balance") => {
                let _ = writeln!(text, "{line}");
                for line in &service.backend_lines {
                    let _ = writeln!(text, "    {line}");
                }
            }
            _ => {
                let _ = writeln!(text, "{line}");
            }
        }
    }
    text
}

impl Variant {
    fn name(self) -> &'static str {
        match self {
            Variant::Seed | Variant::None => "seed",
            Variant::Tuned => "tuned",
            Variant::Busy => "busy",
        }
    }
}
