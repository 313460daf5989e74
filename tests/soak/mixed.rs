//! Short requests, kept connections, bulk, half-closes and resets through one balancer whose
//! servers die and return and which is reloaded over and over: no byte is lost, nothing leaks.

use std::collections::BTreeMap;
use std::env;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::exchange::{Exchange, Fault, Kind, scramble, serve};
use crate::process::{descriptors, private_bytes};
use crate::support::balancer::until_metrics;
use crate::support::wait::within;
use crate::support::{Balancer, Lab, Origin, Peer, Program, until};

/// Clients at once: enough that every kind overlaps every other one.
const CLIENTS: u64 = 24;

/// How often something happens to the servers or to the configuration.
const CHAOS: Duration = Duration::from_millis(700);

/// What a data thread may keep of the pipes that bulk transfers went through: 16, two each.
const SPARE_DESCRIPTORS: usize = 32;

/// Connections that a dying server may take along: those in its accept queue in that moment.
const TAKEN_ALONG: u64 = 3;

/// Growth of the process's own memory from the first fifth of the run to its end. Buffers and the
/// allocator's caches settle early; a leak of a hundred bytes per connection exceeds this within
/// the ten-minute run.
const GROWTH: u64 = 8 * 1024 * 1024;

/// What the clients and the servers found.
#[derive(Default)]
struct Findings {
    wrong: Mutex<Vec<String>>,
    unserved: AtomicU64,
    resets_as_fin: AtomicU64,
    connections: AtomicU64,
    bytes: AtomicU64,
    kinds: Mutex<BTreeMap<String, u64>>,
}

impl Findings {
    fn note(&self, side: &str, fault: Fault) {
        match fault {
            Fault::Unserved => {
                self.unserved.fetch_add(1, Ordering::Relaxed);
            }
            Fault::ResetAsFin => {
                self.resets_as_fin.fetch_add(1, Ordering::Relaxed);
            }
            Fault::Wrong(what) => self.wrong.lock().unwrap().push(format!("{side}: {what}")),
        }
    }
}

#[test]
fn mixed_load_with_servers_coming_and_going_loses_nothing() {
    let seconds = env::var("EVENKEEL_SOAK_SECONDS").map_or(30, |text| text.parse().unwrap());
    let length = Duration::from_secs(seconds);
    // Outlives the servers' threads, which end with their connections.
    let findings: &'static Findings = Box::leak(Box::default());
    let lab = Lab::new();
    let servers = [(), (), ()].map(|()| {
        lab.serving(|peer| {
            if let Err(fault) = serve(&mut peer.into_stream()) {
                findings.note("server", fault);
            }
        })
    });
    let front = lab.address();
    let config = configuration(&lab, front, &servers);
    let balancer = lab.start(&config);
    let pid = balancer.pid();
    let idle_descriptors = settled_descriptors(&balancer);

    let over = AtomicBool::new(false);
    let begin = Instant::now();
    let mut warm = 0;
    let mut chaos = Chaos::new(servers, config);
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            let over = &over;
            scope.spawn(move || {
                for number in 0.. {
                    if over.load(Ordering::Relaxed) {
                        break;
                    }
                    let seed = scramble(client << 32 | number);
                    if let Err(fault) = visit(front, seed, findings) {
                        findings.note("client", fault);
                    }
                }
            });
        }
        let mut round = 0;
        while begin.elapsed() < length && findings.wrong.lock().unwrap().len() < 20 {
            let pause = CHAOS.min(length.saturating_sub(begin.elapsed()));
            thread::park_timeout(pause);
            chaos.strike(&balancer, round);
            round += 1;
            if warm == 0 && begin.elapsed() >= length / 5 {
                warm = private_bytes(pid);
            }
        }
        over.store(true, Ordering::Relaxed);
    });

    let end = private_bytes(pid);
    let kinds = findings.kinds.lock().unwrap().clone();
    let connections = findings.connections.load(Ordering::Relaxed);
    let resets_as_fin = findings.resets_as_fin.load(Ordering::Relaxed);
    let unserved = findings.unserved.load(Ordering::Relaxed);
    let report = format!(
        "{seconds} s: {connections} connections, {} MB, {} deaths, {} reloads, {unserved} unserved, \
         {resets_as_fin} resets turned into FIN, \
         own memory {} KiB early and {} KiB at the end, of kinds {kinds:?}",
        findings.bytes.load(Ordering::Relaxed) / 1_000_000,
        chaos.deaths,
        chaos.reloads,
        warm / 1024,
        end / 1024,
    );
    eprintln!("{report}");
    assert_eq!(*findings.wrong.lock().unwrap(), [""; 0], "{report}");
    assert_eq!(
        kinds.len(),
        Kind::ALL.len(),
        "every kind had its turn: {report}"
    );
    assert!(unserved <= chaos.deaths * TAKEN_ALONG, "{report}");
    assert!(end <= warm + GROWTH, "{report}");

    let metrics = until_metrics(&balancer, "all sessions have ended", |metrics| {
        metrics.value("haproxy_frontend_current_sessions", "proxy=soak") == 0.0
    });
    let counted = metrics.value("haproxy_frontend_sessions_total", "proxy=soak");
    if *balancer.program() == Program::Evenkeel {
        assert_eq!(
            counted, connections as f64,
            "each connection is counted once"
        );
    }
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let allowed = idle_descriptors + threads * SPARE_DESCRIPTORS;
    let left = within(Duration::from_secs(10), || {
        (descriptors(pid) <= allowed).then_some(())
    });
    assert!(
        left.is_some(),
        "{} descriptors, {idle_descriptors} before, {allowed} allowed",
        descriptors(pid)
    );
    let output = balancer.output().join("\n");
    assert!(!output.contains("panicked"), "{output}");
}

/// One client's connection, of a kind that the seed decides.
fn visit(front: SocketAddr, seed: u64, findings: &Findings) -> Result<(), Fault> {
    let pick = |salt: u64, below: u64| scramble(seed ^ salt) % below;
    // Mostly short, a tenth of it bulk.
    let most = if pick(1, 10) == 0 { 4_000_000 } else { 8_000 };
    let kind = Kind::ALL[pick(2, Kind::ALL.len() as u64) as usize];
    let exchange = Exchange {
        kind,
        seed,
        up: pick(3, most),
        down: pick(4, most),
    };
    // A slow reader now and then: a small window holds the other side back.
    let peer = if pick(5, 20) == 0 {
        Peer::connect_with_small_buffer(front)
    } else {
        Peer::connect(front)
    };
    findings.connections.fetch_add(1, Ordering::Relaxed);
    let mut stream = peer.into_stream();
    Exchange::greeted(&mut stream)?;
    let times = match kind {
        Kind::Ask | Kind::Echo if most < 10_000 => 1 + pick(6, 20),
        _ => 1,
    };
    for time in 0..times {
        let exchange = Exchange {
            seed: exchange.seed.wrapping_add(time),
            ..exchange
        };
        exchange.ask(&mut stream).map_err(|fault| match fault {
            Fault::Wrong(what) => Fault::Wrong(format!("{exchange:?}: {what}")),
            other => other,
        })?;
        findings
            .bytes
            .fetch_add(exchange.up + exchange.down, Ordering::Relaxed);
    }
    *findings
        .kinds
        .lock()
        .unwrap()
        .entry(format!("{kind:?}"))
        .or_default() += 1;
    Ok(())
}

/// What happens to the servers and to the configuration, in turn.
struct Chaos {
    servers: [Origin; 3],
    config: String,
    deaths: u64,
    reloads: u64,
}

impl Chaos {
    fn new(servers: [Origin; 3], config: String) -> Self {
        Chaos {
            servers,
            config,
            deaths: 0,
            reloads: 0,
        }
    }

    fn strike(&mut self, balancer: &Balancer, round: usize) {
        let which = round / 6 % self.servers.len();
        let next = (which + 1) % self.servers.len();
        match round % 6 {
            0 => self.kill(which),
            1 => self.reload(balancer, &self.config.clone()),
            2 => self.kill(next),
            3 => self.servers[which].revive(),
            // A file that cannot be loaded changes nothing.
            4 => self.reload(balancer, "listen soak\n    bnid :1\n"),
            _ => {
                self.servers[next].revive();
                let config = self
                    .config
                    .replace("weight 1", &format!("weight {}", 1 + round % 9));
                self.reload(balancer, &config);
            }
        }
    }

    fn kill(&mut self, which: usize) {
        self.servers[which].die();
        self.deaths += 1;
    }

    fn reload(&mut self, balancer: &Balancer, config: &str) {
        // HAProxy as a single process cannot reload.
        if *balancer.program() == Program::Evenkeel {
            balancer.reload(config);
            self.reloads += 1;
        }
    }
}

fn configuration(lab: &Lab, front: SocketAddr, servers: &[Origin; 3]) -> String {
    let mut text = format!(
        "{preamble}
listen soak
    bind {front}
    balance roundrobin
    option redispatch
    default-server check inter 300ms fall 2 rise 1 weight 1
",
        preamble = lab.preamble()
    );
    for (number, server) in servers.iter().enumerate() {
        text += &format!("    server s{number} {}\n", server.address());
    }
    text
}

/// The descriptors of a balancer that has nothing to do: the fewest of a while, because a check or
/// a scrape has one for a moment.
fn settled_descriptors(balancer: &Balancer) -> usize {
    until("the servers are checked", || {
        let metrics = balancer.metrics();
        let up = (0..3).all(|number| {
            let labels = format!("proxy=soak,server=s{number},state=UP");
            metrics.get("haproxy_server_status", &labels) == Some(1.0)
        });
        up.then_some(())
    });
    let pid = balancer.pid();
    (0..100)
        .map(|_| {
            thread::park_timeout(Duration::from_millis(10));
            descriptors(pid)
        })
        .min()
        .unwrap()
}
