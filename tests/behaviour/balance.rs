//! `balance`: which server a connection goes to.

use crate::support::lab::visit;
use crate::support::{Lab, Peer};

#[test]
fn round_robin_serves_the_servers_in_turn() {
    let lab = Lab::new();
    let [a, b, c] = lab.origins(["a", "b", "c"]);
    let front = lab.address();
    let _lb = lab.start(&format!(
        "{preamble}
listen api
    bind {front}
    balance roundrobin
    server a {a}
    server b {b}
    server c {c}
",
        preamble = lab.preamble(),
        a = a.address(),
        b = b.address(),
        c = c.address(),
    ));

    let servers: Vec<_> = (0..7).map(|_| visit(front)).collect();

    assert_eq!(servers, ["a", "b", "c", "a", "b", "c", "a"]);
}

#[test]
fn least_connections_prefers_the_server_that_is_least_busy() {
    let lab = Lab::new();
    let [a, b] = lab.origins(["a", "b"]);
    let front = lab.address();
    let _lb = lab.start(&format!(
        "{preamble}
listen api
    bind {front}
    balance leastconn
    server a {a}
    server b {b}
",
        preamble = lab.preamble(),
        a = a.address(),
        b = b.address(),
    ));

    let mut held: Vec<(String, Peer)> = (0..6)
        .map(|_| {
            let mut peer = Peer::connect(front);
            (peer.receive_line(), peer)
        })
        .collect();
    assert_eq!(held.iter().filter(|(name, _)| name == "a").count(), 3);

    // b gets free: the next three are b's.
    held.retain(|(name, _)| name == "a");
    for _ in 0..3 {
        lab.syslog.session();
    }
    for _ in 0..3 {
        let mut peer = Peer::connect(front);
        assert_eq!(peer.receive_line(), "b");
        held.push(("b".to_owned(), peer));
    }
}

#[test]
fn source_keeps_a_client_address_on_its_server() {
    let lab = Lab::new();
    let [a, b] = lab.origins(["a", "b"]);
    let front = lab.address();
    let _lb = lab.start(&format!(
        "{preamble}
listen api
    bind {front}
    balance source
    server a {a}
    server b {b}
",
        preamble = lab.preamble(),
        a = a.address(),
        b = b.address(),
    ));

    let served = |client: u8| Peer::connect_from([127, 0, 0, client].into(), front).receive_line();

    let first: Vec<_> = (1..=20).map(served).collect();
    let second: Vec<_> = (1..=20).map(served).collect();
    assert_eq!(first, second);
    assert!(
        first.contains(&"a".to_owned()) && first.contains(&"b".to_owned()),
        "{first:?}"
    );
}

#[test]
fn backups_serve_only_when_nothing_else_does() {
    let lab = Lab::new();
    let mut main = lab.origin("main");
    let spare = lab.origin("spare");
    let front = lab.address();
    let _lb = lab.start(&format!(
        "{preamble}
listen api
    bind {front}
    server main {main} check inter 100ms fall 1 rise 1
    server spare {spare} backup
",
        preamble = lab.preamble(),
        main = main.address(),
        spare = spare.address(),
    ));
    assert_eq!([visit(front), visit(front)], ["main", "main"]);

    main.die();
    lab.syslog.containing("Server api/main is DOWN");
    assert_eq!([visit(front), visit(front)], ["spare", "spare"]);

    main.revive();
    lab.syslog.containing("Server api/main is UP");
    assert_eq!([visit(front), visit(front)], ["main", "main"]);
}

#[test]
fn a_server_behind_the_port_the_client_came_in_on() {
    let lab = Lab::new();
    let origin = lab.origin("mapped");
    let front = lab.address();
    let offset = i32::from(origin.address().port()) - i32::from(front.port());
    let _lb = lab.start(&format!(
        "{preamble}
listen api
    bind {front}
    server s1 {ip}:{offset:+}
",
        preamble = lab.preamble(),
        ip = origin.address().ip(),
    ));

    assert_eq!(visit(front), "mapped");
}
