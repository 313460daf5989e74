//! One test's surroundings: an address of its own, a syslog receiver, and the program it runs.

use std::net::{IpAddr, SocketAddr};

use super::balancer::{Balancer, Launch, Program};
use super::loopback;
use super::metrics::Metrics;
use super::origin::{Origin, Silent};
use super::peer::Peer;
use super::syslog::Syslog;

/// One test's surroundings.
pub(crate) struct Lab {
    program: Program,
    ip: IpAddr,
    /// What the balancer logs, when its configuration names [`Lab::log`].
    pub(crate) syslog: Syslog,
}

impl Lab {
    /// Surroundings for the program under test.
    pub(crate) fn new() -> Self {
        Self::of(Program::under_test())
    }

    /// Surroundings for `program`.
    pub(crate) fn of(program: Program) -> Self {
        let ip = loopback::unique_ip();
        Self {
            program,
            ip,
            syslog: Syslog::start(ip),
        }
    }

    /// The program.
    pub(crate) fn program(&self) -> &Program {
        &self.program
    }

    /// The address that all of this test shares.
    pub(crate) fn ip(&self) -> IpAddr {
        self.ip
    }

    /// A free address to bind.
    pub(crate) fn address(&self) -> SocketAddr {
        loopback::free_tcp(self.ip)
    }

    /// `log ...` toward [`Lab::syslog`], for the `global` section.
    pub(crate) fn log(&self) -> String {
        format!("log {} local0", self.syslog.address())
    }

    /// A `global` and a `defaults` section such as operators have, logging to [`Lab::syslog`].
    pub(crate) fn preamble(&self) -> String {
        format!("\nglobal\n    {}\n{}", self.log(), self.defaults())
    }

    /// The `defaults` section alone.
    pub(crate) fn defaults(&self) -> String {
        "
defaults
    mode tcp
    log global
    option tcplog
    timeout connect 2s
    timeout client 30s
    timeout server 30s
"
        .to_owned()
    }

    /// Starts the program with this configuration and waits until it listens.
    pub(crate) fn start(&self, config: &str) -> Balancer {
        self.launch(config, &Launch::default())
    }

    /// Like [`start`](Self::start), with more than a configuration.
    pub(crate) fn launch(&self, config: &str, launch: &Launch) -> Balancer {
        Balancer::start(&self.program, config, self.address(), launch)
    }

    /// A server that says `name` and stays.
    pub(crate) fn origin(&self, name: &str) -> Origin {
        Origin::named(self.ip, name)
    }

    /// Several of them.
    pub(crate) fn origins<const N: usize>(&self, names: [&str; N]) -> [Origin; N] {
        names.map(|name| self.origin(name))
    }

    /// A server that does not listen yet.
    pub(crate) fn dead_origin(&self, name: &str) -> Origin {
        Origin::named_dead(self.ip, name)
    }

    /// A server that serves each connection with `serve`.
    pub(crate) fn serving(&self, serve: impl Fn(Peer) + Send + Sync + 'static) -> Origin {
        Origin::start(self.ip, serve)
    }

    /// A server that sends everything back.
    pub(crate) fn echo(&self) -> Origin {
        Origin::echo(self.ip)
    }

    /// A server whose machine does not answer.
    pub(crate) fn silent(&self) -> Silent {
        Silent::start(self.ip)
    }
}

/// Connects, reads which server it is, and closes; empty when the connection was closed instead.
pub(crate) fn visit(front: SocketAddr) -> String {
    Peer::connect(front).receive_line()
}

/// Whether the balancer sees a server up.
pub(crate) fn is_up(metrics: &Metrics, backend: &str, server: &str) -> bool {
    metrics.get(
        "haproxy_server_status",
        &format!("proxy={backend},server={server},state=UP"),
    ) == Some(1.0)
}
