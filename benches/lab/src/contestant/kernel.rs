//! The two contestants without a process: no balancer at all, and the kernel's own forwarding.

use std::fmt::Write as _;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::Running;
use crate::process::output;
use crate::stage::Service;
use crate::topology::{Cores, Host, Topology};

/// The clients go to the first server.
pub(super) fn direct(service: &Service) -> Result<Running> {
    let target = *service.servers.first().context("a service has servers")?;
    Ok(Running {
        target,
        process: None,
        reloaded: "",
        _told: None,
    })
}

/// nftables rewrites the destination, each server in turn.
pub(super) fn forward(topology: &Topology, service: &Service) -> Result<Running> {
    ensure!(
        topology.can_forward(),
        "the kernel forwards between namespaces only"
    );
    let mut choices = String::new();
    for (n, server) in service.servers.iter().enumerate() {
        let _ = write!(
            choices,
            "{}{n} : {}",
            if n == 0 { "" } else { ", " },
            server.ip()
        );
    }
    let rules = format!(
        "add table ip bench\n\
         add chain ip bench arrivals {{ type nat hook prerouting priority dstnat; }}\n\
         add rule ip bench arrivals ip daddr {} tcp dport {} dnat to numgen inc mod {} map {{ {choices} }}\n",
        service.front.ip(),
        service.front.port(),
        service.servers.len(),
    );
    let rules = Rules::add(topology, &rules)?;
    // Closed connections are forgotten after a second, or the table of connections fills up.
    let shorter = "echo 1 >/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_time_wait";
    output(
        topology
            .on(Host::Lb, Cores::Any, "sh")
            .args(["-c", shorter]),
    )?;
    Ok(Running {
        target: service.front,
        process: None,
        reloaded: "",
        _told: Some(rules),
    })
}

/// Rules of the lb host that go with this value.
pub(crate) struct Rules {
    remove: Command,
}

impl Rules {
    fn add(topology: &Topology, rules: &str) -> Result<Self> {
        let nft = |script: &str| {
            let mut command = topology.on(Host::Lb, Cores::Any, "nft");
            command.arg(script);
            command
        };
        output(&mut nft(rules))?;
        Ok(Rules {
            remove: nft("delete table ip bench"),
        })
    }
}

impl Drop for Rules {
    fn drop(&mut self) {
        // The namespace, too, takes them with it.
        let _ = output(&mut self.remove);
    }
}
