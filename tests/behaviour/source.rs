//! `source`: where connections and checks come from.

use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use crate::support::loopback::{free_tcp, unique_ip};
use crate::support::{Lab, Origin, Peer, until};

/// A server that says where its client comes from, and keeps note of all of them.
fn mirror(lab: &Lab) -> (Origin, Arc<Mutex<Vec<IpAddr>>>) {
    let seen = Arc::<Mutex<Vec<IpAddr>>>::default();
    let noted = Arc::clone(&seen);
    let origin = lab.serving(move |mut peer| {
        noted.lock().unwrap().push(peer.other().ip());
        let _ = peer.try_send(format!("{}\n", peer.other()));
        let _ = peer.end();
    });
    (origin, seen)
}

#[test]
fn connections_and_checks_come_from_the_address_that_the_file_names() {
    let lab = Lab::new();
    let (origin, seen) = mirror(&lab);
    let (ours, theirs) = (unique_ip(), unique_ip());
    let front = lab.address();
    let _lb = lab.start(&format!(
        "{preamble}
listen api
    bind {front}
    source {ours}
    option httpchk
    server a {origin} check inter 50ms
    server b {origin} source {theirs}
",
        preamble = lab.preamble(),
        origin = origin.address(),
    ));
    // A check that asks something is accepted.
    until("a check came", || {
        seen.lock().unwrap().contains(&ours).then_some(())
    });
    let mut seen: Vec<IpAddr> = (0..2)
        .map(|_| {
            let line = Peer::connect(front).receive_line();
            line.parse::<std::net::SocketAddr>().unwrap().ip()
        })
        .collect();
    seen.sort();
    let mut expected = vec![ours, theirs];
    expected.sort();
    // The first may be marked DOWN by then: it does not speak HTTP.
    assert!(seen == expected || seen == [theirs, theirs], "{seen:?}");
}

#[test]
fn each_connection_has_a_port_of_the_range() {
    let lab = Lab::new();
    let (origin, _) = mirror(&lab);
    let ours = unique_ip();
    let first = free_tcp(ours).port().min(65000);
    let front = lab.address();
    let _lb = lab.start(&format!(
        "{preamble}
listen api
    bind {front}
    retries 0
    server a {origin} source {ours}:{first}-{last}
",
        last = first + 2,
        preamble = lab.preamble(),
        origin = origin.address(),
    ));
    let mut peers: Vec<Peer> = (0..3).map(|_| Peer::connect(front)).collect();
    let mut ports: Vec<String> = peers.iter_mut().map(Peer::receive_line).collect();
    ports.sort();
    let expected: Vec<String> = (first..first + 3)
        .map(|port| format!("{ours}:{port}"))
        .collect();
    assert_eq!(ports, expected);
    // All are taken: the next client is told that it cannot be served.
    assert_eq!(Peer::connect(front).receive_line(), "");
    let session = until("it is logged", || {
        let sessions = lab.syslog.sessions();
        sessions.into_iter().find(|session| session.end == "SC")
    });
    assert_eq!(session.server, "a");
    // One that leaves makes room.
    let leaves = peers.remove(0);
    leaves.reset();
    until("its port serves again", || {
        let line = Peer::connect(front).receive_line();
        (!line.is_empty()).then_some(())
    });
}

#[test]
fn servers_see_the_client_itself_where_that_is_asked_for() {
    if !may_be_anybody() {
        return crate::support::not_run("usesrc", "this user may not connect from any address");
    }
    let lab = Lab::new();
    let (origin, _) = mirror(&lab);
    let (front, client) = (lab.address(), unique_ip());
    let _lb = lab.start(&format!(
        "{preamble}
listen api
    bind {front}
    server a {origin} source 0.0.0.0 usesrc clientip
",
        preamble = lab.preamble(),
        origin = origin.address(),
    ));
    let line = Peer::connect_from(client, front).receive_line();
    assert!(line.starts_with(&format!("{client}:")), "{line}");
}

fn may_be_anybody() -> bool {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
    socket.is_ok_and(|socket| socket.set_ip_transparent_v4(true).is_ok())
}
