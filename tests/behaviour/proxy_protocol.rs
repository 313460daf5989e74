//! Clients that come with a PROXY protocol header, and servers that are sent one.

use crate::support::{End, Lab, Peer};

#[test]
fn the_client_in_the_header_counts_however_its_bytes_come() {
    let lab = Lab::new();
    let echo = lab.echo();
    let front = lab.address();
    let _lb = lab.start(&format!(
        "{preamble}
listen api
    bind {front} accept-proxy
    server s {echo} send-proxy
",
        preamble = lab.preamble(),
        echo = echo.address(),
    ));
    let four = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x01\x02\x03\x04\x05\x06\x07\x08\0\x6f\0\xde";
    let line = b"PROXY TCP4 1.2.3.4 5.6.7.8 111 222\r\n";
    for header in [&four[..], &line[..]] {
        for step in [1, 7, header.len()] {
            let mut peer = Peer::connect(front);
            let bytes = [header, b"first"].concat();
            for part in bytes.chunks(step) {
                peer.send(part);
            }
            // What came along with the header, and what comes later.
            assert_eq!(peer.receive_line(), "PROXY TCP4 1.2.3.4 5.6.7.8 111 222\r");
            assert_eq!(peer.receive_exactly(5), b"first");
            peer.send("second");
            assert_eq!(peer.receive_exactly(6), b"second");
            peer.close();
            lab.syslog.session();
        }
    }
    let all = lab.syslog.all();
    let named = all.iter().filter(|m| m.text.starts_with("1.2.3.4:111 ["));
    assert_eq!(named.count(), 6, "{all:#?}");
}

#[test]
fn balance_goes_by_the_address_in_the_header() {
    let lab = Lab::new();
    let origins = lab.origins(["a", "b", "c"]);
    let front = lab.address();
    let _lb = lab.start(&format!(
        "{preamble}
listen api
    bind {front} accept-proxy
    balance source
    server a {}
    server b {}
    server c {}
",
        origins[0].address(),
        origins[1].address(),
        origins[2].address(),
        preamble = lab.preamble(),
    ));
    let ask = |client: u8| {
        let mut peer = Peer::connect(front);
        peer.send(format!("PROXY TCP4 10.0.0.{client} 10.0.1.1 1 2\r\n"));
        peer.receive_line()
    };
    let seen: Vec<String> = (1..=6).map(ask).collect();
    assert!(seen.iter().any(|server| *server != seen[0]), "{seen:?}");
    assert_eq!((1..=6).map(ask).collect::<Vec<_>>(), seen);
}

#[test]
fn a_header_that_keeps_the_connections_own_ends() {
    let lab = Lab::new();
    let echo = lab.echo();
    let front = lab.address();
    let _lb = lab.start(&format!(
        "{preamble}
listen api
    bind {front} accept-proxy
    server s {echo} send-proxy
",
        preamble = lab.preamble(),
        echo = echo.address(),
    ));
    let local = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
    for header in [
        &local[..],
        b"PROXY UNKNOWN with whatever else a sender says\r\n",
    ] {
        let mut peer = Peer::connect(front);
        peer.send(header);
        let (client, port) = (peer.address(), front.port());
        let expected = format!(
            "PROXY TCP4 {} {} {} {port}\r",
            client.ip(),
            front.ip(),
            client.port()
        );
        assert_eq!(peer.receive_line(), expected);
    }
}

#[test]
fn who_does_not_finish_the_header_is_let_go() {
    let lab = Lab::new();
    let origin = lab.origin("a");
    let front = lab.address();
    let _lb = lab.start(&format!(
        "{preamble}
listen api
    bind {front} accept-proxy
    timeout client 300ms
    server s {origin}
",
        preamble = lab.preamble(),
        origin = origin.address(),
    ));
    let mut slow = Peer::connect(front);
    slow.send("PROXY TCP4 1.2.3.4");
    assert_eq!(slow.end(), End::Reset);
    lab.syslog
        .containing("api/1: Timeout while waiting for PROXY protocol header");
    let mut leaves = Peer::connect(front);
    leaves.send("PROXY TCP4 1.2.3.4");
    leaves.finish();
    assert_eq!(leaves.end(), End::Reset);
    lab.syslog
        .containing("api/1: Truncated PROXY protocol header received");
    assert_eq!(origin.accepted(), 0);
}

#[test]
fn each_connection_to_a_server_begins_with_the_header() {
    let lab = Lab::new();
    let dead = lab.dead_origin("dead");
    let echo = lab.echo();
    let front = lab.address();
    let _lb = lab.start(&format!(
        "{preamble}
listen api
    bind {front}
    option redispatch
    server dead {dead} send-proxy
    server s {echo} send-proxy
",
        preamble = lab.preamble(),
        dead = dead.address(),
        echo = echo.address(),
    ));
    for _ in 0..4 {
        let mut peer = Peer::connect(front);
        let port = peer.address().port();
        peer.send("hello");
        let line = peer.receive_line();
        assert!(
            line.ends_with(&format!(" {port} {}\r", front.port())),
            "{line}"
        );
        assert_eq!(peer.receive_exactly(5), b"hello");
    }
}

#[test]
fn a_header_goes_out_with_fast_open_as_without() {
    let lab = Lab::new();
    let echo = lab.echo();
    let front = lab.address();
    let _lb = lab.start(&format!(
        "{preamble}
listen api
    bind {front} tfo defer-accept mss 1200
    server s {echo} send-proxy tfo
",
        preamble = lab.preamble(),
        echo = echo.address(),
    ));
    for _ in 0..3 {
        let mut peer = Peer::connect(front);
        peer.send("hello");
        assert!(peer.receive_line().starts_with("PROXY TCP4 "));
        assert_eq!(peer.receive_exactly(5), b"hello");
    }
}

#[test]
fn a_balancer_behind_a_balancer_sees_the_first_ones_client() {
    let lab = Lab::new();
    let origin = lab.origin("a");
    let (front, inner) = (lab.address(), lab.address());
    let _lb = lab.start(&format!(
        "{preamble}
listen outer
    bind {front}
    server inner {inner} send-proxy-v2 check inter 100ms
listen inner
    bind {inner} accept-proxy
    server s {origin}
",
        preamble = lab.preamble(),
        origin = origin.address(),
    ));
    let mut peer = Peer::connect(front);
    let client = peer.address();
    assert_eq!(peer.receive_line(), "a");
    peer.close();
    let own = format!("{client} [");
    lab.syslog.containing("outer outer/inner");
    let all = crate::support::until("both have told", || {
        let all = lab.syslog.all();
        let told = all
            .iter()
            .filter(|message| message.text.starts_with(&own))
            .count();
        (told == 2).then_some(all)
    });
    assert!(
        all.iter()
            .all(|m| !m.text.contains("PROXY protocol header")),
        "{all:#?}"
    );
}
