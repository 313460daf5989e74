//! SIGHUP and SIGUSR2: another configuration in the same process; nobody notices who needs not.

use std::net::SocketAddr;

use crate::support::balancer::until_metrics;
use crate::support::lab::{Visitors, is_up, visit};
use crate::support::{Lab, Peer, Signal, loopback, until};

fn config(lab: &Lab, front: SocketAddr, servers: &[(&str, SocketAddr)]) -> String {
    let servers: String = servers
        .iter()
        .map(|(name, address)| format!("    server {name} {address} check inter 200ms\n"))
        .collect();
    format!(
        "{}\nlisten api\n    bind {front}\n    balance roundrobin\n{servers}",
        lab.preamble()
    )
}

#[test]
fn no_connect_fails_and_no_stream_breaks_under_load() {
    let lab = Lab::new();
    let [a, b] = lab.origins(["a", "b"]);
    let echo = lab.echo();
    let front = lab.address();
    let streams = lab.address();
    let with = |servers: &[(&str, SocketAddr)]| {
        format!(
            "{}\nlisten streams\n    bind {streams}\n    server echo {}\n",
            config(&lab, front, servers),
            echo.address()
        )
    };
    let one = with(&[("a", a.address())]);
    let two = with(&[("a", a.address()), ("b", b.address())]);
    let lb = lab.start(&one);
    let mut stream = Peer::connect(streams);
    stream.send("first");
    stream.receive_exactly(5);

    let visitors = Visitors::start(front, 4, &["a", "b"]);
    for round in 0..10 {
        lb.reload(if round % 2 == 0 { &two } else { &one });
        visitors.go_on(20);
        stream.send("still");
        assert_eq!(stream.receive_exactly(5), b"still");
    }
    visitors.end();
    assert!(
        b.accepted() > 0,
        "the second configuration was never in force"
    );
    stream.close();
    assert_eq!(lb.metrics().value("evenkeel_reloads_total", ""), 10.0);
}

#[test]
fn new_servers_serve_and_old_ones_do_not() {
    let lab = Lab::new();
    let [a, b] = lab.origins(["a", "b"]);
    let front = lab.address();
    let lb = lab.start(&config(&lab, front, &[("a", a.address())]));
    assert_eq!(visit(front), "a");
    lb.reload(&config(&lab, front, &[("b", b.address())]));
    assert_eq!([visit(front), visit(front)], ["b", "b"]);
    // Its series are gone with the server.
    let metrics = lb.metrics();
    assert_eq!(
        metrics.get("haproxy_server_sessions_total", "proxy=api,server=a"),
        None
    );
    assert_eq!(
        metrics.value("haproxy_server_sessions_total", "proxy=api,server=b"),
        2.0
    );
}

#[test]
fn health_is_carried_over() {
    let lab = Lab::new();
    let alive = lab.origin("alive");
    let dead = lab.dead_origin("dead");
    let front = lab.address();
    let servers = [("alive", alive.address()), ("dead", dead.address())];
    let lb = lab.start(&config(&lab, front, &servers));
    until_metrics(&lb, "the dead server is down", |metrics| {
        !is_up(metrics, "api", "dead")
    });
    let downs = || {
        let texts = lab.syslog.all();
        texts
            .iter()
            .filter(|message| message.text.contains("is DOWN"))
            .count()
    };
    until("the mark is logged", || (downs() == 1).then_some(()));

    lb.reload(&config(&lab, front, &servers));

    assert!(!is_up(&lb.metrics(), "api", "dead"));
    for _ in 0..4 {
        assert_eq!(visit(front), "alive");
    }
    assert_eq!(downs(), 1, "the server went down a second time");
}

#[test]
fn counters_go_on() {
    let lab = Lab::new();
    let a = lab.origin("a");
    let front = lab.address();
    let text = config(&lab, front, &[("a", a.address())]);
    let lb = lab.start(&text);
    visit(front);
    lab.syslog.session();
    lb.reload(&text);
    visit(front);
    lab.syslog.session();
    let metrics = lb.metrics();
    assert_eq!(
        metrics.value("haproxy_frontend_sessions_total", "proxy=api"),
        2.0
    );
    assert_eq!(
        metrics.value("haproxy_server_sessions_total", "proxy=api,server=a"),
        2.0
    );
}

#[test]
fn addresses_come_and_go() {
    let lab = Lab::new();
    let a = lab.origin("a");
    let (first, second) = (lab.address(), lab.address());
    let servers = [("a", a.address())];
    let lb = lab.start(&config(&lab, first, &servers));
    lb.reload(&config(&lab, second, &servers));
    assert_eq!(visit(second), "a");
    until("the old address is free", || {
        (!loopback::is_listening(first)).then_some(())
    });
}

#[test]
fn usr2_is_the_same() {
    let lab = Lab::new();
    let [a, b] = lab.origins(["a", "b"]);
    let front = lab.address();
    let lb = lab.start(&config(&lab, front, &[("a", a.address())]));
    std::fs::write(
        lb.file("lb.cfg"),
        config(&lab, front, &[("b", b.address())]),
    )
    .unwrap();
    lb.signal(Signal::USR2);
    until("the new server serves", || {
        (visit(front) == "b").then_some(())
    });
}

#[test]
fn a_wildcard_is_narrowed_to_an_address_and_widened_again() {
    let lab = Lab::new();
    let [a] = lab.origins(["a"]);
    let front = lab.address();
    let with = |host: &str| {
        let (port, server) = (front.port(), a.address());
        let preamble = lab.preamble();
        format!("{preamble}\nlisten api\n    bind {host}:{port}\n    server a {server}\n")
    };
    let lb = lab.start(&with("*"));
    for (reload, host) in [front.ip().to_string(), "*".to_owned()].iter().enumerate() {
        lb.reload(&with(host));
        assert_eq!(visit(front), "a");
        let done = lb.metrics().value("evenkeel_reloads_total", "");
        assert_eq!(done, (reload + 1) as f64, "bound to {host}");
    }
}
