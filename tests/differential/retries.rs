//! How connects that fail are tried again: what the client gets, after how long, and the counts.

use std::time::{Duration, Instant};

use crate::compare::same;
use crate::support::tcplog::Millis;
use crate::support::wait::throughout;
use crate::support::{Balancer, Lab, Peer};

/// What one client saw: the server's name (empty: closed without one), and after how long.
type Visit = (String, Millis);

fn timed_visit(front: std::net::SocketAddr) -> Visit {
    let began = Instant::now();
    let name = Peer::connect(front).receive_line();
    (
        name,
        Millis(began.elapsed().as_millis().try_into().unwrap()),
    )
}

/// Connects tried again, moved, and failed for good: of the backend, then of each server.
fn counts(lb: &Balancer, servers: &[&str]) -> Vec<f64> {
    const NAMES: [&str; 4] = [
        "sessions_total",
        "retry_warnings_total",
        "redispatch_warnings_total",
        "connection_errors_total",
    ];
    let metrics = lb.metrics();
    let mut counts: Vec<f64> = NAMES
        .map(|name| metrics.value(&format!("haproxy_backend_{name}"), "proxy=api"))
        .to_vec();
    for server in servers {
        let labels = format!("proxy=api,server={server}");
        counts.extend(NAMES.map(|name| metrics.value(&format!("haproxy_server_{name}"), &labels)));
    }
    counts
}

/// Four visits to a dead and a living server under these options.
fn dead_and_alive(lab: &Lab, options: &str) -> (Vec<Visit>, Vec<f64>) {
    let dead = lab.dead_origin("dead");
    let alive = lab.origin("alive");
    let front = lab.address();
    let lb = lab.start(&format!(
        "{preamble}
listen api
    bind {front}
    {options}
    server dead {dead}
    server alive {alive}
",
        preamble = lab.preamble(),
        dead = dead.address(),
        alive = alive.address()
    ));
    let visits = (0..4).map(|_| timed_visit(front)).collect();
    for _ in 0..4 {
        lab.syslog.session();
    }
    (visits, counts(&lb, &["dead", "alive"]))
}

#[test]
fn redispatch_goes_to_another_server_at_once() {
    for options in [
        "option redispatch",
        "option redispatch\n    retries 1",
        "option redispatch\n    balance leastconn",
        "option redispatch 1",
        "option redispatch 2",
        "option redispatch -2",
    ] {
        let seen = same(&format!("dead and alive, {options}"), |lab| {
            dead_and_alive(lab, options)
        });
        let Some((visits, _)) = seen else { return };
        assert!(
            visits.iter().all(|(name, _)| name == "alive"),
            "{options}: {visits:?}"
        );
    }
}

#[test]
fn without_redispatch_the_server_is_tried_again_each_second() {
    for options in [
        "no option redispatch",
        "no option redispatch\n    retries 1",
        "no option redispatch\n    retries 0",
    ] {
        let seen = same(&format!("dead and alive, {options}"), |lab| {
            dead_and_alive(lab, options)
        });
        let Some((visits, _)) = seen else { return };
        assert!(
            visits.iter().any(|(name, _)| name.is_empty()),
            "{options}: {visits:?}"
        );
    }
}

#[test]
fn no_retries_with_redispatch() {
    same("retries 0, redispatch", |lab| {
        dead_and_alive(lab, "option redispatch\n    retries 0")
    });
}

#[test]
fn the_pause_between_tries_is_the_connect_timeout_when_shorter() {
    same("short connect timeout", |lab| {
        dead_and_alive(
            lab,
            "no option redispatch\n    timeout connect 200ms\n    retries 3",
        )
    });
}

#[test]
fn all_servers_refuse() {
    for options in [
        "option redispatch",
        "option redispatch\n    retries 1",
        "option redispatch 1\n    retries 5",
        "no option redispatch\n    retries 2",
        "option redispatch\n    balance leastconn\n    retries 2",
    ] {
        same(&format!("all refuse, {options}"), |lab| {
            let dead = [
                lab.dead_origin("a"),
                lab.dead_origin("b"),
                lab.dead_origin("c"),
            ];
            let [a, b, c] = dead.each_ref().map(crate::support::Origin::address);
            let front = lab.address();
            let lb = lab.start(&format!(
                "{preamble}
listen api
    bind {front}
    {options}
    server a {a}
    server b {b}
    server c {c}
",
                preamble = lab.preamble()
            ));
            let visit = timed_visit(front);
            let line = lab.syslog.session();
            (visit, line, counts(&lb, &["a", "b", "c"]))
        });
    }
}

#[test]
fn a_server_that_comes_back_between_two_tries_serves() {
    let seen = same("comes back between tries", |lab| {
        let mut late = lab.dead_origin("late");
        let front = lab.address();
        let _lb = lab.start(&format!(
            "{preamble}
listen api
    bind {front}
    server late {late}
",
            preamble = lab.preamble(),
            late = late.address()
        ));
        let visitor = std::thread::spawn(move || timed_visit(front));
        // Half-way between the first try and the second, a second later.
        throughout(
            "the visitor waits for the second try",
            Duration::from_millis(500),
            || !visitor.is_finished(),
        );
        late.revive();
        (visitor.join().unwrap(), lab.syslog.session())
    });
    if let Some(((name, _), _)) = seen {
        assert_eq!(name, "late");
    }
}

#[test]
fn a_pinned_client_waits_for_its_server() {
    for options in [
        "balance source",
        "balance source\n    option redispatch\n    retries 2",
    ] {
        same(&format!("pinned, {options}"), |lab| {
            let dead = lab.dead_origin("dead");
            let alive = lab.origin("alive");
            let front = lab.address();
            let lb = lab.start(&format!(
                "{preamble}
listen api
    bind {front}
    {options}
    server dead {dead}
    server alive {alive}
",
                preamble = lab.preamble(),
                dead = dead.address(),
                alive = alive.address()
            ));
            let mut seen = Vec::new();
            for client in 1..=3 {
                let began = Instant::now();
                let from = std::net::IpAddr::from([127, 0, 0, client]);
                let name = Peer::connect_from(from, front).receive_line();
                seen.push((
                    name,
                    Millis(began.elapsed().as_millis().try_into().unwrap()),
                    lab.syslog.session().without_counts(),
                ));
            }
            (seen, counts(&lb, &["dead", "alive"]))
        });
    }
}
