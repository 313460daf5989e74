//! Connects that fail: no request is lost that another server could have served.

use std::time::{Duration, Instant};

use crate::support::lab::visit;
use crate::support::{Lab, Peer, loopback, until};

/// Two servers under these lines; where clients connect.
fn two(
    lab: &Lab,
    options: &str,
    servers: [(&str, std::net::SocketAddr, &str); 2],
) -> (std::net::SocketAddr, crate::support::Balancer) {
    let front = lab.address();
    let servers: String = servers
        .iter()
        .map(|(name, address, options)| format!("    server {name} {address} {options}\n"))
        .collect();
    let lb = lab.start(&format!(
        "
global
    {log}
listen api
    bind {front}
    mode tcp
    log global
    option tcplog
    {options}
{servers}",
        log = lab.log()
    ));
    (front, lb)
}

#[test]
fn a_refused_connect_goes_to_another_server_at_once() {
    let lab = Lab::new();
    let dead = lab.dead_origin("dead");
    let alive = lab.origin("alive");
    // No line about redispatch: the deliberate difference from HAProxy.
    let (front, _lb) = two(
        &lab,
        "",
        [("dead", dead.address(), ""), ("alive", alive.address(), "")],
    );

    let began = Instant::now();
    for _ in 0..20 {
        assert_eq!(visit(front), "alive");
    }
    // Ten of them were refused once; had they waited for a second try, it would have been ten seconds.
    assert!(
        began.elapsed() < Duration::from_secs(9),
        "requests waited: {:?}",
        began.elapsed()
    );
    assert!(
        lab.syslog
            .sessions()
            .iter()
            .all(|session| session.end == "--")
    );
}

#[test]
fn no_option_redispatch_stays_on_the_server() {
    let lab = Lab::new();
    let dead = lab.dead_origin("dead");
    let alive = lab.origin("alive");
    let (front, _lb) = two(
        &lab,
        "no option redispatch\n    retries 1",
        [("dead", dead.address(), ""), ("alive", alive.address(), "")],
    );

    let mut names = [visit(front), visit(front)];
    names.sort();
    assert_eq!(names, ["", "alive"]);
}

#[test]
fn without_a_connect_timeout_a_silent_server_is_given_up_after_three_seconds() {
    let lab = Lab::new();
    let silent = lab.silent();
    let alive = lab.origin("alive");
    let (front, _lb) = two(
        &lab,
        "",
        [
            ("silent", silent.address(), ""),
            ("alive", alive.address(), ""),
        ],
    );

    let began = Instant::now();
    assert_eq!(visit(front), "alive");
    let took = began.elapsed();
    assert!(
        took >= Duration::from_millis(2900) && took < Duration::from_secs(6),
        "{took:?}"
    );
    assert_eq!(visit(front), "alive");
}

#[test]
fn a_connect_under_way_to_a_server_that_goes_down_moves_on() {
    let lab = Lab::new();
    let silent = lab.silent();
    let alive = lab.origin("alive");
    let (front, _lb) = two(
        &lab,
        "timeout connect 30s",
        [
            ("silent", silent.address(), "check inter 1s"),
            ("alive", alive.address(), ""),
        ],
    );

    // Long before the connect timeout: the check's verdict is what sets the client free.
    let began = Instant::now();
    assert_eq!(visit(front), "alive");
    lab.syslog.containing("Server api/silent is DOWN");
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "{:?}",
        began.elapsed()
    );
}

#[test]
fn connect_timeout_is_per_attempt() {
    let lab = Lab::new();
    let silent = lab.silent();
    let front = lab.address();
    let _lb = lab.start(&format!(
        "
global
    {log}
listen api
    bind {front}
    mode tcp
    log global
    option tcplog
    timeout connect 500ms
    retries 2
    server silent {silent}
",
        log = lab.log(),
        silent = silent.address()
    ));

    let began = Instant::now();
    assert_eq!(visit(front), "");
    let took = began.elapsed();
    assert!(
        took >= Duration::from_millis(1500) && took < Duration::from_secs(4),
        "{took:?}"
    );
    let session = lab.syslog.session();
    assert_eq!(
        (session.end.as_str(), session.retries.as_str()),
        ("sC", "2")
    );
}

#[test]
fn what_the_client_sent_before_the_connect_is_not_lost() {
    let lab = Lab::new();
    let mut late = crate::support::Origin::dead(lab.ip(), |mut peer| {
        let (question, _) = peer.receive_to_end();
        peer.send(question);
    });
    let front = lab.address();
    let _lb = lab.start(&format!(
        "{preamble}
listen api
    bind {front}
    retries 3
    server late {late}
",
        preamble = lab.preamble(),
        late = late.address()
    ));

    let mut peer = Peer::connect(front);
    peer.send("question");
    peer.finish();
    // The first try has been refused; one of the next finds the server.
    until("the balancer has the client", || {
        loopback::is_listening(front).then_some(())
    });
    late.revive();
    assert_eq!(peer.receive_to_end().0, b"question");
}
