//! Every timeout ends what it is for, and nothing else.

use std::time::{Duration, Instant};

use crate::support::peer::Received;
use crate::support::tcplog::Session;
use crate::support::{End, Lab, PATIENCE, Peer};

/// One connection through a server, under these timeouts; how long the client was left alone, and
/// the session's line.
fn silence(
    timeouts: &str,
    server: impl Fn(Peer) + Send + Sync + 'static,
    client: impl FnOnce(&mut Peer),
) -> (Duration, Session) {
    let lab = Lab::new();
    let origin = lab.serving(server);
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
    timeout connect 2s
    {timeouts}
    server s1 {origin}
",
        log = lab.log(),
        origin = origin.address()
    ));
    let mut peer = Peer::connect(front);
    let began = Instant::now();
    client(&mut peer);
    peer.end();
    let took = began.elapsed();
    drop(peer);
    (took, lab.syslog.session())
}

/// Says nothing and stays.
fn silent(peer: Peer) {
    crate::support::origin::drain(peer.into_stream());
}

/// Reads the client's end and keeps its own side open.
fn stays(mut peer: Peer) {
    peer.receive_to_end();
    crate::support::wait::within(Duration::from_secs(25), || peer.has_failed().then_some(()));
}

fn assert_about_a_second(took: Duration) {
    assert!(
        took >= Duration::from_millis(950) && took < Duration::from_secs(5),
        "{took:?}"
    );
}

#[test]
fn client() {
    let (took, session) = silence("timeout client 1s\n    timeout server 20s", silent, |_| {});
    assert_about_a_second(took);
    assert_eq!(session.end, "cD");
}

#[test]
fn server() {
    let (took, session) = silence("timeout client 20s\n    timeout server 1s", silent, |_| {});
    assert_about_a_second(took);
    assert_eq!(session.end, "sD");
}

#[test]
fn tunnel_replaces_client_and_server() {
    let (took, _) = silence(
        "timeout client 100ms\n    timeout server 100ms\n    timeout tunnel 1s",
        silent,
        |_| {},
    );
    assert_about_a_second(took);
}

#[test]
fn client_fin_after_the_server_half_closed() {
    let lab = Lab::new();
    let origin = lab.serving(|mut peer| {
        peer.finish();
        crate::support::wait::within(PATIENCE, || peer.has_failed().then_some(()));
    });
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
    timeout connect 2s
    timeout client 20s
    timeout server 20s
    timeout client-fin 1s
    server s1 {origin}
",
        log = lab.log(),
        origin = origin.address()
    ));
    let mut peer = Peer::connect(front);
    assert_eq!(peer.end(), End::Closed);
    // The client has the server's end and stays silent with its own half open.
    assert!(lab.syslog.session().total.0 < 5000);
}

#[test]
fn server_fin_after_the_client_half_closed() {
    let (took, _) = silence(
        "timeout client 20s\n    timeout server 20s\n    timeout server-fin 1s",
        stays,
        |peer| peer.finish(),
    );
    assert_about_a_second(took);
}

#[test]
fn activity_in_one_direction_is_enough() {
    let (took, session) = silence(
        "timeout client 700ms\n    timeout server 700ms",
        |mut peer| {
            for _ in 0..10 {
                if peer.receive(Duration::from_millis(200)) != Received::Nothing {
                    return;
                }
                peer.send("tick\n");
            }
        },
        |_| {},
    );
    assert!(took >= Duration::from_secs(2), "{took:?}");
    assert_eq!((session.end.as_str(), session.bytes), ("--", 50));
}

#[test]
fn none_means_for_ever() {
    let lab = Lab::new();
    let echo = lab.echo();
    let front = lab.address();
    let _lb = lab.start(&format!(
        "listen api\n    bind {front}\n    server s1 {}\n",
        echo.address()
    ));
    let mut peer = Peer::connect(front);
    assert!(peer.is_quiet_for(Duration::from_secs(3)));
    peer.send("still there");
    assert_eq!(peer.receive_exactly(11), b"still there");
}
