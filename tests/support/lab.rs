//! One test's surroundings: an address of its own, a syslog receiver, and the program it runs.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use super::balancer::{Balancer, Launch, Program};
use super::loopback;
use super::metrics::Metrics;
use super::origin::{Origin, Silent};
use super::peer::Peer;
use super::syslog::Syslog;
use super::wait::until;

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

/// Clients that visit again and again, each of whom must reach a server.
pub(crate) struct Visitors {
    is_over: Arc<AtomicBool>,
    visits: Arc<AtomicUsize>,
    threads: Vec<JoinHandle<()>>,
}

impl Visitors {
    /// So many at once, who are served by `names` alone.
    pub(crate) fn start(front: SocketAddr, count: usize, names: &'static [&'static str]) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let visits = Arc::new(AtomicUsize::new(0));
        let threads = (0..count)
            .map(|_| {
                let (is_over, visits) = (Arc::clone(&is_over), Arc::clone(&visits));
                std::thread::spawn(move || {
                    while !is_over.load(Ordering::Relaxed) {
                        let name = visit(front);
                        assert!(names.contains(&&*name), "a visit failed: {name:?}");
                        visits.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        Self {
            is_over,
            visits,
            threads,
        }
    }

    /// Waits until there were more than `count` visits from now on.
    #[track_caller]
    pub(crate) fn go_on(&self, count: usize) {
        let before = self.visits.load(Ordering::Relaxed);
        until("visits go on", || {
            (self.visits.load(Ordering::Relaxed) > before + count).then_some(())
        });
    }

    /// Ends them; a visit that failed fails the test. How many there were.
    pub(crate) fn end(self) -> usize {
        self.is_over.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().unwrap();
        }
        self.visits.load(Ordering::Relaxed)
    }
}

/// Whether the balancer sees a server up.
pub(crate) fn is_up(metrics: &Metrics, backend: &str, server: &str) -> bool {
    metrics.get(
        "haproxy_server_status",
        &format!("proxy={backend},server={server},state=UP"),
    ) == Some(1.0)
}
