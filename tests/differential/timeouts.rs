//! When a connection that says nothing is given up: each timeout, alone and beside the others.

use std::time::{Duration, Instant};

use crate::compare::same;
use crate::support::peer::Received;
use crate::support::tcplog::{Millis, Session};
use crate::support::{End, Lab, Peer};

/// What the client saw after the moment it began to wait, and the session's log line.
#[derive(Debug, PartialEq)]
struct GivenUp {
    after: Millis,
    client_saw: End,
    line: Session,
}

/// Both connected; then `prepare` does what goes before the silence, and the client waits.
fn silence(
    lab: &Lab,
    timeouts: &str,
    server: impl Fn(Peer) + Send + Sync + 'static,
    prepare: impl FnOnce(&mut Peer),
) -> GivenUp {
    let origin = lab.serving(server);
    let front = lab.address();
    let _lb = lab.start(&format!(
        "
global
    {log}
listen api
    mode tcp
    log global
    option tcplog
    bind {front}
    timeout connect 2s
    {timeouts}
    server s1 {origin}
",
        log = lab.log(),
        origin = origin.address()
    ));
    let mut peer = Peer::connect(front);
    prepare(&mut peer);
    let began = Instant::now();
    let client_saw = peer.end();
    let after = Millis(began.elapsed().as_millis().try_into().unwrap());
    drop(peer);
    GivenUp {
        after,
        client_saw,
        line: lab.syslog.session(),
    }
}

/// Reads for ever.
fn listener(peer: Peer) {
    crate::support::origin::drain(peer.into_stream());
}

fn assert_line(seen: Option<GivenUp>, end: &str, millis: i64) {
    let Some(seen) = seen else { return };
    assert_eq!(
        (seen.line.end.as_str(), seen.after),
        (end, Millis(millis)),
        "{seen:?}"
    );
}

#[test]
fn timeout_client_fin_after_the_client_half_closed() {
    same("client-fin", |lab| {
        silence(
            lab,
            "timeout client 20s\n    timeout server 20s\n    timeout client-fin 1s",
            listener_then_silent,
            |peer| {
                peer.send("x");
                peer.finish();
            },
        )
    });
}

#[test]
fn timeout_server_fin_after_the_client_half_closed() {
    same("server-fin, client half-closed", |lab| {
        silence(
            lab,
            "timeout client 20s\n    timeout server 20s\n    timeout server-fin 1s",
            listener_then_silent,
            |peer| {
                peer.send("x");
                peer.finish();
            },
        )
    });
}

#[test]
fn both_fin_timeouts_after_the_client_half_closed() {
    same("client-fin and server-fin", |lab| {
        silence(
            lab,
            "timeout client 20s\n    timeout server 20s\n    timeout client-fin 1s\n    timeout server-fin 3s",
            listener_then_silent,
            |peer| {
                peer.send("x");
                peer.finish();
            },
        )
    });
}

#[test]
fn timeout_server_after_the_client_half_closed() {
    same("client half-closed, no fin timeouts", |lab| {
        silence(
            lab,
            "timeout client 20s\n    timeout server 1s",
            listener_then_silent,
            |peer| {
                peer.send("x");
                peer.finish();
            },
        )
    });
}

/// Reads the client's end, then says nothing, without closing, for far longer than any timeout.
fn listener_then_silent(mut peer: Peer) {
    peer.receive_to_end();
    // Ends at once when the balancer closes or resets; the half that is still open is the server's.
    until_writes_fail(&mut peer);
}

/// Holds the connection until the balancer has reset it.
fn until_writes_fail(peer: &mut Peer) {
    crate::support::wait::within(Duration::from_secs(25), || peer.has_failed().then_some(()));
}

/// The server half-closes at once and goes on reading: for this the client's line is what counts.
fn half_closed_by_server(lab: &Lab, timeouts: &str) -> Session {
    let origin = lab.serving(|mut peer| {
        peer.send("bye\n");
        peer.finish();
        until_writes_fail(&mut peer);
    });
    let front = lab.address();
    let _lb = lab.start(&format!(
        "
global
    {log}
listen api
    mode tcp
    log global
    option tcplog
    bind {front}
    timeout connect 2s
    {timeouts}
    server s1 {origin}
",
        log = lab.log(),
        origin = origin.address()
    ));
    let mut peer = Peer::connect(front);
    assert_eq!(peer.receive_to_end(), (b"bye\n".to_vec(), End::Closed));
    lab.syslog.session()
}

#[test]
fn server_half_closed_and_the_client_says_nothing() {
    for timeouts in [
        "timeout client 1s\n    timeout server 5s",
        "timeout client 5s\n    timeout server 1s",
        "timeout client 5s\n    timeout server 5s\n    timeout server-fin 1s",
        "timeout client 5s\n    timeout server 5s\n    timeout client-fin 1s",
        "timeout client 5s\n    timeout server 5s\n    timeout client-fin 3s\n    timeout server-fin 1s",
        "timeout client 5s\n    timeout server 5s\n    timeout tunnel 1s",
        "timeout client 5s\n    timeout server 5s\n    timeout tunnel 10s\n    timeout client-fin 1s",
    ] {
        same(&format!("server half-closed; {timeouts}"), |lab| {
            half_closed_by_server(lab, timeouts)
        });
    }
}

#[test]
fn timeout_tunnel_replaces_both_others() {
    let seen = same("shorter tunnel", |lab| {
        silence(
            lab,
            "timeout client 20s\n    timeout server 20s\n    timeout tunnel 1s",
            listener,
            |peer| {
                peer.send("x");
            },
        )
    });
    assert_line(seen, "cD", 1000);
    let seen = same("longer tunnel", |lab| {
        silence(
            lab,
            "timeout client 1s\n    timeout server 1s\n    timeout tunnel 3s",
            listener,
            |peer| {
                peer.send("x");
            },
        )
    });
    assert_line(seen, "cD", 3000);
}

#[test]
fn timeout_tunnel_and_a_half_close() {
    for timeouts in [
        "timeout client 1s\n    timeout server 1s\n    timeout tunnel 3s",
        "timeout client 20s\n    timeout server 20s\n    timeout tunnel 1s",
        "timeout client 20s\n    timeout server 20s\n    timeout tunnel 10s\n    timeout client-fin 1s",
        "timeout client 20s\n    timeout server 20s\n    timeout tunnel 10s\n    timeout server-fin 1s",
    ] {
        same(&format!("half-closed; {timeouts}"), |lab| {
            silence(lab, timeouts, listener_then_silent, |peer| {
                peer.send("x");
                peer.finish();
            })
        });
    }
}

#[test]
fn activity_of_either_side_keeps_both_alive() {
    // The server sends every 400 ms for 4 s, the client not a byte: no timeout of 1 s may end it.
    let seen = same("one side talks", |lab| {
        let origin = lab.serving(|mut peer| {
            for _ in 0..10 {
                if peer.receive(Duration::from_millis(400)) != Received::Nothing {
                    return;
                }
                peer.send("tick\n");
            }
        });
        let front = lab.address();
        let _lb = lab.start(&format!(
            "
global
    {log}
listen api
    mode tcp
    log global
    option tcplog
    bind {front}
    timeout connect 2s
    timeout client 1500ms
    timeout server 1500ms
    server s1 {origin}
",
            log = lab.log(),
            origin = origin.address()
        ));
        let mut peer = Peer::connect(front);
        let (bytes, end) = peer.receive_to_end();
        drop(peer);
        (bytes.len(), end, lab.syslog.session())
    });
    if let Some((bytes, _, session)) = seen {
        assert_eq!((bytes, session.end.as_str()), (50, "--"));
    }
}

#[test]
fn a_client_that_does_not_read_is_given_up() {
    let seen = same("stuck client", |lab| {
        let origin = lab.serving(|mut peer| {
            peer.send_until_stuck(Duration::from_secs(10), 100_000_000);
        });
        let front = lab.address();
        let _lb = lab.start(&format!(
            "
global
    {log}
listen api
    mode tcp
    log global
    option tcplog
    bind {front}
    timeout connect 2s
    timeout client 1s
    timeout server 20s
    server s1 {origin}
",
            log = lab.log(),
            origin = origin.address()
        ));
        let _peer = Peer::connect_with_small_buffer(front);
        let line = lab.syslog.session();
        (line.end, line.total)
    });
    drop(seen);
}

#[test]
fn a_server_that_does_not_read_is_given_up() {
    same("stuck server", |lab| {
        let origin = lab.serving(|mut peer| until_writes_fail(&mut peer));
        let front = lab.address();
        let _lb = lab.start(&format!(
            "
global
    {log}
listen api
    mode tcp
    log global
    option tcplog
    bind {front}
    timeout connect 2s
    timeout client 20s
    timeout server 1s
    server s1 {origin}
",
            log = lab.log(),
            origin = origin.address()
        ));
        let mut peer = Peer::connect(front);
        let sender = std::thread::spawn(move || {
            // Ends with an error once the balancer gives up.
            while peer.try_send([b'x'; 65536]).is_ok() {}
        });
        let line = lab.syslog.session();
        sender.join().unwrap();
        (line.end, line.bytes)
    });
}
