//! Clients that wait for room on a server: in which order they are served, when they are given up,
//! what is logged and counted.

use crate::compare::same;
use crate::support::balancer::until_metrics;
use crate::support::tcplog::Session;
use crate::support::{Balancer, Lab, Peer};

/// Waits until so many clients are in the backend's line and so many in those of its servers.
fn until_queued(lb: &Balancer, common: f64, servers: &[(&str, f64)]) {
    until_metrics(lb, "clients wait", |metrics| {
        metrics.value("haproxy_backend_current_queue", "proxy=be") == common
            && servers.iter().all(|(server, count)| {
                let labels = format!("proxy=be,server={server}");
                metrics.value("haproxy_server_current_queue", &labels) == *count
            })
    });
}

/// What is counted of waiting, and of clients and servers that gave up.
fn counts(lb: &Balancer, servers: &[&str]) -> Vec<(String, f64)> {
    const NAMES: [&str; 7] = [
        "current_queue",
        "max_queue",
        "limit_sessions",
        "sessions_total",
        "loadbalanced_total",
        "connection_errors_total",
        "client_aborts_total",
    ];
    let metrics = lb.metrics();
    let mut counts = Vec::new();
    for name in NAMES {
        let metric = format!("haproxy_backend_{name}");
        if name != "limit_sessions" {
            counts.push((metric.clone(), metrics.value(&metric, "proxy=be")));
        }
        for server in servers {
            let metric = format!("haproxy_server_{name}");
            let labels = format!("proxy=be,server={server}");
            // No limit is no number, which does not equal itself.
            let value = metrics.value(&metric, &labels);
            counts.push((
                format!("{server} {name}"),
                if value.is_nan() { -1.0 } else { value },
            ));
        }
    }
    counts
}

fn start(lab: &Lab, lines: &str) -> (std::net::SocketAddr, Balancer) {
    let front = lab.address();
    let lb = lab.start(&format!(
        "{preamble}
frontend fe
    bind {front}
    default_backend be
backend be
    {lines}
",
        preamble = lab.preamble()
    ));
    (front, lb)
}

fn lines(lab: &Lab, count: usize) -> Vec<Session> {
    (0..count)
        .map(|_| lab.syslog.session().without_counts())
        .collect()
}

#[test]
fn clients_are_served_in_the_order_in_which_they_came() {
    let seen = same("order of service", |lab| {
        let only = lab.origin("only");
        let (front, lb) = start(
            lab,
            &format!(
                "timeout queue 20s\n    server only {} maxconn 1",
                only.address()
            ),
        );
        let mut first = Peer::connect(front);
        first.receive_line();
        let mut waiting: Vec<Peer> = Vec::new();
        for count in 1..=4 {
            waiting.push(Peer::connect(front));
            until_queued(&lb, f64::from(count), &[("only", 0.0)]);
        }
        let mut served = vec![(0, lines_after(lab, first))];
        for (number, mut peer) in (1..).zip(waiting) {
            peer.receive_line();
            served.push((number, lines_after(lab, peer)));
        }
        (served, counts(&lb, &["only"]))
    });
    if let Some((served, _)) = seen {
        let positions: Vec<&str> = served.iter().map(|(_, line)| &*line.queues).collect();
        assert_eq!(positions, ["0/0", "0/1", "0/2", "0/3", "0/4"]);
    }
}

/// The line of a client that leaves now.
fn lines_after(lab: &Lab, peer: Peer) -> Session {
    drop(peer);
    // Whether the next one is on its server already when the line is written, it does not say.
    lab.syslog.session().without_counts()
}

#[test]
fn who_waits_too_long_is_given_up() {
    for timeout in ["timeout queue 500ms", "timeout connect 500ms"] {
        let seen = same(&format!("queue timeout, {timeout}"), |lab| {
            let only = lab.origin("only");
            let (front, lb) = start(
                lab,
                &format!("{timeout}\n    server only {} maxconn 1", only.address()),
            );
            let mut first = Peer::connect(front);
            first.receive_line();
            let mut late = Peer::connect(front);
            let end = late.end();
            let line = lab.syslog.session();
            (end, line, counts(&lb, &["only"]))
        });
        if let Some((_, line, _)) = seen {
            assert_eq!((&*line.end, &*line.server), ("sQ", "<NOSRV>"));
        }
    }
}

#[test]
fn who_leaves_the_line_is_told_by_how() {
    type Leave = fn(Peer);
    // With a reset after data HAProxy goes either way: it notices at once, or when the wait is over.
    let ways: [(&str, &str, Leave); 2] = [
        ("FIN", "", |peer| peer.close()),
        ("FIN after data", "option abortonclose\n    ", |mut peer| {
            peer.send("data");
            peer.close();
        }),
    ];
    for (how, option, leave) in ways {
        same(&format!("leaves by {how}"), |lab| {
            let only = lab.origin("only");
            let (front, lb) = start(
                lab,
                &format!("{option}server only {} maxconn 1", only.address()),
            );
            let mut first = Peer::connect(front);
            first.receive_line();
            let waiting = Peer::connect(front);
            until_queued(&lb, 1.0, &[("only", 0.0)]);
            leave(waiting);
            let line = lab.syslog.session();
            until_queued(&lb, 0.0, &[("only", 0.0)]);
            (line, counts(&lb, &["only"]))
        });
    }
}

#[test]
fn who_belongs_to_a_server_waits_for_it_alone() {
    let seen = same("line of a server", |lab| {
        let only = lab.origin("only");
        let (front, lb) = start(
            lab,
            &format!(
                "balance source\n    timeout queue 20s\n    server only {} maxconn 1 maxqueue 1",
                only.address()
            ),
        );
        let mut first = Peer::connect(front);
        first.receive_line();
        let mut second = Peer::connect(front);
        until_queued(&lb, 0.0, &[("only", 1.0)]);
        // The line is full.
        let refused = Peer::connect(front).receive_line();
        let mut seen = vec![lab.syslog.session()];
        drop(first);
        second.receive_line();
        seen.extend(lines(lab, 1));
        drop(second);
        seen.extend(lines(lab, 1));
        (refused, seen, counts(&lb, &["only"]))
    });
    if let Some((refused, lines, _)) = seen {
        assert_eq!((&*refused, &*lines[0].end), ("", "SQ"));
        assert_eq!(lines[2].queues, "1/0");
    }
}

#[test]
fn leastconn_counts_those_who_wait() {
    same("leastconn with maxqueue", |lab| {
        let [a, b] = lab.origins(["a", "b"]);
        let (front, lb) = start(
            lab,
            &format!(
                "balance leastconn\n    timeout queue 20s\n    \
                 server a {} maxconn 1 maxqueue 1\n    server b {} maxconn 1 maxqueue 1",
                a.address(),
                b.address()
            ),
        );
        let mut peers = Vec::new();
        for (common, a, b) in [
            (0.0, 0.0, 0.0),
            (0.0, 0.0, 0.0),
            (0.0, 1.0, 0.0),
            (0.0, 1.0, 1.0),
            (1.0, 1.0, 1.0),
        ] {
            peers.push(Peer::connect(front));
            if peers.len() <= 2 {
                peers.last_mut().unwrap().receive_line();
            }
            until_queued(&lb, common, &[("a", a), ("b", b)]);
        }
        let mut seen = Vec::new();
        for mut peer in peers {
            seen.push(peer.receive_line());
            drop(peer);
            seen.push(format!("{:?}", lab.syslog.session().queues));
        }
        (seen, counts(&lb, &["a", "b"]))
    });
}

#[test]
fn full_servers_are_passed_over_while_another_has_room() {
    same("one full, one not", |lab| {
        let [a, b] = lab.origins(["a", "b"]);
        let (front, lb) = start(
            lab,
            &format!(
                "timeout queue 20s\n    server a {} maxconn 1\n    server b {}",
                a.address(),
                b.address()
            ),
        );
        let names: Vec<(String, Peer)> = (0..4)
            .map(|_| {
                let mut peer = Peer::connect(front);
                (peer.receive_line(), peer)
            })
            .collect();
        let names: Vec<String> = names.into_iter().map(|(name, _)| name).collect();
        (names, counts(&lb, &["a", "b"]))
    });
}

#[test]
fn a_server_that_goes_down_sends_those_who_wait_for_it_elsewhere() {
    same("requeued", |lab| {
        let mut a = lab.origin("a");
        let b = lab.origin("b");
        let (front, lb) = start(
            lab,
            &format!(
                "balance leastconn\n    option redispatch\n    timeout queue 20s\n    \
                 server a {} maxconn 1 maxqueue 2 check inter 100ms fall 1 weight 200\n    \
                 server b {} maxconn 1",
                a.address(),
                b.address()
            ),
        );
        let mut held: Vec<Peer> = Vec::new();
        for _ in 0..2 {
            let mut peer = Peer::connect(front);
            peer.receive_line();
            held.push(peer);
        }
        let mut waiting = Peer::connect(front);
        until_queued(&lb, 0.0, &[("a", 1.0), ("b", 0.0)]);
        a.die();
        let event = lab.syslog.event();
        until_queued(&lb, 1.0, &[("a", 0.0), ("b", 0.0)]);
        drop(held);
        let name = waiting.receive_line();
        let after = event
            .text
            .split_once("ms. ")
            .map(|(_, rest)| rest.to_owned());
        (after, name)
    });
}

#[test]
fn a_server_that_comes_up_takes_those_who_wait() {
    same("up again", |lab| {
        let mut a = lab.dead_origin("a");
        let b = lab.origin("b");
        let (front, lb) = start(
            lab,
            &format!(
                "timeout queue 20s\n    server a {} maxconn 5 check inter 100ms rise 1 fall 1\n    \
                 server b {} maxconn 1",
                a.address(),
                b.address()
            ),
        );
        let down = lab.syslog.event();
        let mut held = Peer::connect(front);
        held.receive_line();
        let mut waiting = [Peer::connect(front), Peer::connect(front)];
        until_queued(&lb, 2.0, &[("a", 0.0), ("b", 0.0)]);
        a.revive();
        let up = lab.syslog.event();
        let names = waiting.each_mut().map(Peer::receive_line);
        let after = |text: &str| text.split_once("ms. ").map(|(_, rest)| rest.to_owned());
        (after(&down.text), after(&up.text), names)
    });
}

#[test]
fn a_waiting_client_outlives_a_short_patience_of_others() {
    same("one leaves, one stays", |lab| {
        let only = lab.origin("only");
        let (front, lb) = start(
            lab,
            &format!(
                "timeout queue 20s\n    server only {} maxconn 1",
                only.address()
            ),
        );
        let mut first = Peer::connect(front);
        first.receive_line();
        let leaves = Peer::connect(front);
        until_queued(&lb, 1.0, &[]);
        let mut stays = Peer::connect(front);
        until_queued(&lb, 2.0, &[]);
        leaves.close();
        // Nobody asks for metrics while the line is written: HAProxy counts who does among its sessions.
        let left = lab.syslog.session();
        until_queued(&lb, 1.0, &[]);
        drop(first);
        let name = stays.receive_line();
        let _ = lab.syslog.session();
        drop(stays);
        (left, name, lab.syslog.session())
    });
}
