//! `check`: servers that go down and come back.

use std::time::{Duration, Instant};

use crate::support::balancer::until_metrics;
use crate::support::lab::{is_up, visit};
use crate::support::wait::throughout;
use crate::support::{Lab, Peer};

#[test]
fn a_dead_server_gets_no_connection_until_it_is_back() {
    let lab = Lab::new();
    let stays = lab.origin("stays");
    let mut dies = lab.origin("dies");
    let front = lab.address();
    let lb = lab.start(&format!(
        "{preamble}
listen api
    bind {front}
    server stays {stays} check inter 100ms
    server dies {dies} check inter 100ms fall 2 rise 2
",
        preamble = lab.preamble(),
        stays = stays.address(),
        dies = dies.address(),
    ));

    dies.die();
    until_metrics(&lb, "the server is down", |metrics| {
        !is_up(metrics, "api", "dies")
    });
    for _ in 0..6 {
        assert_eq!(visit(front), "stays");
    }

    dies.revive();
    until_metrics(&lb, "the server is up", |metrics| {
        is_up(metrics, "api", "dies")
    });
    let servers: Vec<_> = (0..4).map(|_| visit(front)).collect();
    assert_eq!(
        servers.iter().filter(|name| *name == "dies").count(),
        2,
        "{servers:?}"
    );
}

#[test]
fn checks_are_unseen_by_the_application() {
    let lab = Lab::new();
    let origin = lab.origin("quiet");
    let front = lab.address();
    let lb = lab.start(&format!(
        "{preamble}
listen api
    bind {front}
    option tcp-check
    server quiet {origin} check inter 10ms
",
        preamble = lab.preamble(),
        origin = origin.address(),
    ));
    until_metrics(&lb, "a check has passed", |metrics| {
        metrics.get(
            "haproxy_server_check_status",
            "proxy=api,server=quiet,state=L4OK",
        ) == Some(1.0)
    });

    // Some hundred checks, and the application accepts none of them.
    throughout("no accept", Duration::from_secs(1), || {
        origin.accepted() == 0
    });

    assert_eq!(visit(front), "quiet");
    assert_eq!(origin.accepted(), 1);
}

#[test]
fn one_failure_between_successes_takes_nobody_out() {
    let lab = Lab::new();
    let mut flaps = lab.origin("flaps");
    let front = lab.address();
    let lb = lab.start(&format!(
        "{preamble}
listen api
    bind {front}
    server flaps {flaps} check inter 1s fall 10 rise 2
",
        preamble = lab.preamble(),
        flaps = flaps.address(),
    ));
    until_metrics(&lb, "a check has passed", |metrics| {
        metrics.get(
            "haproxy_server_check_status",
            "proxy=api,server=flaps,state=L4OK",
        ) == Some(1.0)
    });

    flaps.die();
    until_metrics(&lb, "a check has failed", |metrics| {
        metrics.value(
            "haproxy_server_check_failures_total",
            "proxy=api,server=flaps",
        ) >= 1.0
    });
    flaps.revive();
    let metrics = until_metrics(&lb, "a check has passed again", |metrics| {
        metrics.get(
            "haproxy_server_check_status",
            "proxy=api,server=flaps,state=L4OK",
        ) == Some(1.0)
    });

    assert_eq!(
        metrics.value(
            "haproxy_server_check_up_down_total",
            "proxy=api,server=flaps"
        ),
        0.0
    );
    assert!(
        !lab.syslog
            .all()
            .iter()
            .any(|message| message.text.contains("is DOWN"))
    );
    assert_eq!(visit(front), "flaps");
}

#[test]
fn a_server_that_hangs_is_marked_down() {
    let lab = Lab::new();
    let silent = lab.silent();
    let front = lab.address();
    let _lb = lab.start(&format!(
        "{preamble}
listen api
    bind {front}
    server silent {silent} check inter 500ms
",
        preamble = lab.preamble(),
        silent = silent.address(),
    ));

    let message = lab.syslog.containing("is DOWN, reason: Layer4 timeout");
    assert!(message.text.starts_with("Server api/silent"), "{message:?}");
}

#[test]
fn no_server_left_is_an_emergency_and_clients_are_closed_at_once() {
    let lab = Lab::new();
    let mut only = lab.origin("only");
    let front = lab.address();
    let _lb = lab.start(&format!(
        "{preamble}
listen api
    bind {front}
    server only {only} check inter 100ms fall 1
",
        preamble = lab.preamble(),
        only = only.address(),
    ));
    only.die();
    assert_eq!(
        lab.syslog
            .containing("proxy api has no server available!")
            .level,
        0
    );

    let began = Instant::now();
    assert_eq!(visit(front), "");
    assert!(began.elapsed() < Duration::from_secs(1));
    assert_eq!(lab.syslog.session().server, "<NOSRV>");
}

#[test]
fn on_marked_down_closes_the_connections_of_a_dead_server() {
    let lab = Lab::new();
    let stays = lab.origin("stays");
    let mut dies = lab.origin("dies");
    let front = lab.address();
    let _lb = lab.start(&format!(
        "{preamble}
listen api
    bind {front}
    server stays {stays} check inter 100ms on-marked-down shutdown-sessions
    server dies {dies} check inter 100ms fall 1 on-marked-down shutdown-sessions
",
        preamble = lab.preamble(),
        stays = stays.address(),
        dies = dies.address(),
    ));
    let mut held: Vec<(String, Peer)> = (0..4)
        .map(|_| {
            let mut peer = Peer::connect(front);
            (peer.receive_line(), peer)
        })
        .collect();

    dies.die();

    for (name, peer) in &mut held {
        match name.as_str() {
            "dies" => drop(peer.end()),
            _ => assert!(
                peer.is_quiet_for(Duration::from_millis(200)),
                "a healthy server's client was cut"
            ),
        }
    }
    assert_eq!(lab.syslog.session().end, "DC");
    assert_eq!(lab.syslog.session().end, "DC");
}
