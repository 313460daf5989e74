//! Which backend and server a connection gets by rules, which connections are let in, and what
//! conditions say: the same through both.

use std::time::Duration;

use crate::compare::{Answers, both, same};
use crate::support::balancer::{temporary_directory, until_metrics};
use crate::support::lab::{is_up, visit};
use crate::support::peer::{End, Received};
use crate::support::tcplog::Session;
use crate::support::{Lab, Peer, Program, not_run};

/// What a client of one frontend saw, what was logged and what was counted.
#[derive(Debug, PartialEq)]
struct Seen {
    line: String,
    end: Option<End>,
    log: Option<(String, String, String)>,
    /// Connections, sessions, and those denied as connections, sessions and requests.
    counts: [f64; 5],
}

/// Sends one line through a frontend with `rules` to a server that says its backend and sends
/// back what it got.
fn through(lab: &Lab, rules: &str, sent: &str) -> Seen {
    let servers = ["one", "two"].map(|name| {
        lab.serving(move |mut peer| {
            let got = peer.receive_line();
            peer.send(format!("{name} {got}\n"));
            peer.receive_to_end();
        })
    });
    let (front, last) = (lab.address(), lab.address());
    let rules = rules.replace("PORT", &front.port().to_string());
    let lb = lab.start(&format!(
        "global
    nbthread 1
{preamble}
frontend fe
    bind {front}
    {rules}
    default_backend one
frontend last
    bind {last}
    default_backend one
backend one
    server s1 {}
backend two
    server s1 {}
backend picky
    tcp-request content reject if {{ always_true }}
    server s1 {}
backend limited
    server s1 127.0.0.1:1 maxconn 5 maxqueue 3 weight 7
    server s2 127.0.0.1:1 maxconn 4 maxqueue 2 backup
backend wanting
    use-server s2 if {{ dst_port {} }}
    server s1 {}
    server s2 {}
",
        servers[0].address(),
        servers[1].address(),
        servers[1].address(),
        front.port(),
        servers[0].address(),
        servers[1].address(),
        preamble = lab.preamble()
    ));
    // A rejected connection may be reset before connect(2) returns.
    let (line, end) = match Peer::try_connect(front) {
        Ok(mut peer) => {
            let _ = peer.try_send(format!("{sent}\n"));
            let line = peer.receive_line();
            let end = line.is_empty().then(|| ended(&mut peer));
            (line, end)
        }
        Err(_) => (String::new(), Some(End::Reset)),
    };
    // Rejected before it is read, it is reset; a client that has sent nothing by then may see
    // either end, with both programs.
    let is_reset = rules.starts_with("tcp-request connection reject");
    let end = end.map(|end| if is_reset { End::Reset } else { end });
    // A session that is always logged: what was to be logged before it, was.
    let mut peer = Peer::connect(last);
    peer.send("x\n");
    peer.receive_line();
    drop(peer);
    lab.syslog.containing(" last ");
    let logged = lab.syslog.sessions().into_iter();
    let log = logged
        .filter(|session| session.frontend == "fe")
        .map(
            |Session {
                 backend,
                 server,
                 end,
                 ..
             }| (backend, server, end),
        )
        .next();
    let names = [
        "connections_total",
        "sessions_total",
        "denied_connections_total",
        "denied_sessions_total",
        "requests_denied_total",
    ];
    let metrics = until_metrics(&lb, "the connection is counted", |metrics| {
        metrics.value("haproxy_frontend_connections_total", "proxy=fe") > 0.0
    });
    let counts = names.map(|name| metrics.value(&format!("haproxy_frontend_{name}"), "proxy=fe"));
    Seen {
        line,
        end,
        log,
        counts,
    }
}

/// How a connection ended of which no line came; `receive_line` may have met the RST already.
fn ended(peer: &mut Peer) -> End {
    match peer.receive(Duration::from_secs(5)) {
        Received::End(end) => end,
        other => panic!("the connection goes on: {other:?}"),
    }
}

#[track_caller]
fn check(name: &str, rules: &str, line: &str) {
    let seen = same(name, |lab| through(lab, rules, "hello"));
    if let Some(seen) = seen {
        assert_eq!(seen.line, line, "{seen:?}");
    }
}

#[test]
fn use_backend_by_a_condition() {
    check(
        "use_backend that holds",
        "use_backend two if { dst_port PORT }",
        "two hello",
    );
    check(
        "use_backend that does not hold",
        "use_backend two unless { dst_port PORT }",
        "one hello",
    );
    check(
        "use_backend without a condition",
        "use_backend two",
        "two hello",
    );
    check(
        "use_backend by name",
        "use_backend %[str(TWO),lower]",
        "two hello",
    );
    check(
        "use_backend by a name that is none",
        "use_backend %[fe_name]",
        "one hello",
    );
}

#[test]
fn use_backend_by_acls_in_a_row() {
    let acls = "acl here src 127.0.0.0/8\n acl there src 10.0.0.0/8\n acl port dst_port PORT\n acl port dst_port 1\n";
    check(
        "both needed",
        &format!("{acls} use_backend two if here port"),
        "two hello",
    );
    check(
        "one of both fails",
        &format!("{acls} use_backend two if here there"),
        "one hello",
    );
    check(
        "one of both enough",
        &format!("{acls} use_backend two if there or port"),
        "two hello",
    );
    check(
        "negated",
        &format!("{acls} use_backend two if !there port"),
        "two hello",
    );
}

#[test]
fn use_backend_by_the_state_of_another() {
    check(
        "nbsrv",
        "use_backend two if { nbsrv(one) ge 1 } { srv_is_up(two/s1) }",
        "two hello",
    );
    check(
        "nbsrv lt",
        "use_backend two if { nbsrv(one) lt 1 }",
        "one hello",
    );
    check(
        "connections",
        "use_backend two if { fe_conn eq 1 } { be_conn(two) 0 }",
        "two hello",
    );
}

#[test]
fn use_backend_by_the_room_of_another() {
    check(
        "room",
        "use_backend two if { connslots(limited) 14 } { be_conn_free(limited) 5 } { srv_conn_free(limited/s1) 5 }",
        "two hello",
    );
    check(
        "no limit",
        "use_backend two if { connslots(one) lt 0 } { be_conn_free(one) lt 0 } { srv_conn_free(one/s1) lt 0 }",
        "two hello",
    );
    check(
        "nobody waits",
        "use_backend two if { queue(limited) 0 } { avg_queue(limited) 0 } { srv_queue(limited/s1) 0 } { srv_weight(limited/s1) 7 }",
        "two hello",
    );
}

#[test]
fn use_server_by_a_condition() {
    check("use-server", "use_backend wanting", "two hello");
}

#[test]
fn connections_are_rejected() {
    check("connection reject", "tcp-request connection reject", "");
    check(
        "connection accepted first",
        "tcp-request connection accept if { src 127.0.0.0/8 }\n tcp-request connection reject",
        "one hello",
    );
    check(
        "session reject",
        "tcp-request session reject if { src 127.0.0.0/8 }",
        "",
    );
    check("content reject", "tcp-request content reject if TRUE", "");
    check("content reject in a backend", "use_backend picky", "");
    check(
        "too late",
        "tcp-request connection reject if { dst_port 1 }",
        "one hello",
    );
}

#[test]
fn content_is_waited_for() {
    let delay = "tcp-request inspect-delay 5s\n";
    check(
        "a length",
        &format!(
            "{delay} tcp-request content accept if {{ req.len gt 5 }}\n use_backend two if {{ req.payload(0,5) -m str hello }}"
        ),
        "two hello",
    );
    check(
        "a payload that is another",
        &format!("{delay} tcp-request content reject if {{ req.payload(0,5) -m str HELLO }}"),
        "one hello",
    );
    check(
        "a payload in any case",
        &format!("{delay} tcp-request content reject if {{ req.payload(0,5) -m str -i HELLO }}"),
        "",
    );
    check(
        "no TLS",
        &format!("{delay} tcp-request content reject if !{{ req.ssl_hello_type 1 }}"),
        "",
    );
    check(
        "the end of the wait",
        "tcp-request inspect-delay 300ms\n tcp-request content accept if { req.len gt 99 }\n tcp-request content reject if WAIT_END",
        "",
    );
    check(
        "a client that falls silent",
        "timeout client 500ms\n tcp-request inspect-delay 5s\n tcp-request content accept if { req.len gt 99 }",
        "",
    );
}

/// A ClientHello of TLS 1.2 for `name` that offers `protocols`, as OpenSSL would begin it.
fn client_hello(name: &str, protocols: &[&str]) -> Vec<u8> {
    let with_length = |bytes: &[u8], length_bytes: usize| {
        let length = bytes.len().to_be_bytes();
        [&length[length.len() - length_bytes..], bytes].concat()
    };
    let host = [&[0][..], &with_length(name.as_bytes(), 2)].concat();
    let mut extensions = [&[0, 0][..], &with_length(&with_length(&host, 2), 2)].concat();
    if !protocols.is_empty() {
        let protocols = protocols.iter().map(|name| with_length(name.as_bytes(), 1));
        let list = with_length(&protocols.collect::<Vec<_>>().concat(), 2);
        extensions.extend([&[0, 16][..], &with_length(&list, 2)].concat());
    }
    let body = [
        &[3, 3][..],
        &[7; 32],
        &with_length(&[], 1),
        &with_length(&[0xc0, 0x2f], 2),
        &with_length(&[0], 1),
        &with_length(&extensions, 2),
    ]
    .concat();
    let message = [&[1][..], &with_length(&body, 3)].concat();
    [&[22, 3, 1][..], &with_length(&message, 2)].concat()
}

#[test]
fn a_client_hello_chooses_the_backend_and_reaches_it_whole() {
    let seen = same("SNI", |lab| {
        let hello = client_hello("api.example.com", &[]);
        let length = hello.len();
        let servers = ["one", "two"].map(|name| {
            lab.serving(move |mut peer| {
                let got = peer.receive_exactly(length);
                peer.send(format!(
                    "{name} {}\n",
                    got == client_hello("api.example.com", &[])
                ));
            })
        });
        let front = lab.address();
        let _lb = lab.start(&format!(
            "{preamble}
frontend fe
    bind {front}
    tcp-request inspect-delay 5s
    tcp-request content accept if {{ req.ssl_hello_type 1 }}
    use_backend two if {{ req.ssl_sni -i API.example.com }} {{ req.ssl_ver 3.3 }}
    default_backend one
backend one
    server s1 {}
backend two
    server s1 {}
",
            servers[0].address(),
            servers[1].address(),
            preamble = lab.preamble()
        ));
        let mut peer = Peer::connect(front);
        // In two parts: what is there at first does not decide.
        let (first, second) = hello.split_at(40);
        peer.send(first);
        assert!(peer.is_quiet_for(Duration::from_millis(200)));
        peer.send(second);
        let line = peer.receive_line();
        drop(peer);
        let session = lab.syslog.session();
        (line, session.backend, session.server, session.end)
    });
    if let Some((line, ..)) = seen {
        assert_eq!(line, "two true");
    }
}

/// Which backend a client gets that offers these protocols, by conditions and by a name made of them.
fn by_protocols(lab: &Lab, offered: &[&str]) -> [String; 3] {
    let hello = client_hello("api.example.com", offered);
    let length = hello.len();
    let servers = ["default", "acme", "h2", "both", "long", "other"].map(|name| {
        let server = lab.serving(move |mut peer| {
            peer.receive_exactly(length);
            peer.send(format!("{name}\n"));
        });
        (name, server)
    });
    let backends: String = servers
        .iter()
        .map(|(name, server)| format!("backend {name}\n    server s1 {}\n", server.address()))
        .collect();
    let fronts = [lab.address(), lab.address(), lab.address()];
    let rules = [
        "use_backend acme if { req.ssl_alpn acme }
    use_backend both if { req.ssl_alpn h2,http/1.1 }
    use_backend h2 if { req.ssl_alpn h2 }",
        "use_backend long if { req.ssl_alpn,length gt 4 }
    use_backend other if !{ req.ssl_alpn h2 }",
        "use_backend %[req.ssl_alpn]",
    ];
    let frontends: String = std::iter::zip(fronts, rules)
        .enumerate()
        .map(|(index, (front, rules))| {
            format!(
                "frontend f{index}
    bind {front}
    tcp-request inspect-delay 5s
    tcp-request content accept if {{ req.ssl_hello_type 1 }}
    {rules}
    default_backend default
"
            )
        })
        .collect();
    let _lb = lab.start(&format!("{}\n{frontends}{backends}", lab.preamble()));
    fronts.map(|front| {
        let mut peer = Peer::connect(front);
        peer.send(&hello);
        peer.receive_line()
    })
}

#[test]
fn any_one_of_the_protocols_that_a_client_offers_chooses_the_backend() {
    for (offered, expected) in [
        (&["h2", "http/1.1"][..], ["h2", "long", "h2"]),
        (&["http/1.1", "h2"], ["h2", "long", "default"]),
        (&["acme", "h2"], ["acme", "default", "acme"]),
        (&["http"], ["default", "other", "default"]),
        (&[], ["default", "other", "default"]),
    ] {
        let seen = same(&format!("{offered:?}"), |lab| by_protocols(lab, offered));
        if let Some(seen) = seen {
            assert_eq!(seen, expected, "{offered:?}");
        }
    }
}

/// Lines of a frontend (`f`), or of a backend (`b`), and whether they load here as in HAProxy.
const LINES: &[(&str, &str)] = &[
    ("f", "use_backend x"),
    ("f", "use_backend"),
    ("f", "use_backend x if"),
    ("f", "use_backend x if a1 or !a1"),
    ("f", "use_backend x if nope"),
    ("f", "use_backend x when a1"),
    ("f", "use_backend x a1"),
    ("f", "use_backend zz if a1"),
    ("f", "use_backend bk_%[dst_port]"),
    ("f", "use_backend x if { src 1.2.3.4"),
    ("f", "use_backend x if { }"),
    ("f", "use_backend x if {src 1.2.3.4}"),
    ("f", "use_backend x if { src }"),
    ("f", "use_backend x if !!a1"),
    ("f", "use_backend x if ! a1"),
    ("f", "use_backend x if a1 and a1"),
    ("f", "use_backend x if a1 or or a1"),
    ("f", "use_backend x if { src 1.2.3.0/33 }"),
    ("f", "use_backend x if { src 10.12/8 }"),
    ("f", "use_backend x if { src 10.12/255.0.0.0 }"),
    ("f", "use_backend x if { src ::1/129 }"),
    ("f", "use_backend x if { src ::1/64 }"),
    ("f", "use_backend x if { src gt 1.2.3.4 }"),
    ("f", "use_backend x if { src 1.2.3.4,1.2.3.5 }"),
    ("f", "use_backend x if { src -n localhost }"),
    ("f", "use_backend x if { dst_port gt 80 }"),
    ("f", "use_backend x if { dst_port 80:90 100 }"),
    ("f", "use_backend x if { dst_port 90:80 }"),
    ("f", "use_backend x if { dst_port 80-90 }"),
    ("f", "use_backend x if { dst_port 3.1 }"),
    ("f", "use_backend x if { dst_port abc }"),
    ("f", "use_backend x if { dst_port -5 }"),
    ("f", "use_backend x if { dst_port -m str 80 }"),
    ("f", "use_backend x if { dst_port -m reg ^8 }"),
    ("f", "use_backend x if { dst_port -m reg ( }"),
    ("f", "use_backend x if { dst_port -m nope 38 }"),
    ("f", "use_backend x if { dst_port -m }"),
    ("f", "use_backend x if { dst_port -- 38 }"),
    ("f", "use_backend x if { src -m int 1 }"),
    ("f", "use_backend x if { src -m bool }"),
    ("f", "use_backend x if { always_true -m ip 1.1.1.1 }"),
    ("f", "use_backend x if { src -f /nonexistent/list }"),
    ("f", "use_backend x if { nbsrv lt 1 }"),
    ("f", "use_backend x if { nbsrv(x) lt 1 }"),
    ("f", "use_backend x if { nbsrv(nope) lt 1 }"),
    ("f", "use_backend x if { nbsrv(x,y) lt 1 }"),
    ("f", "use_backend x if { nbsrv(x lt 1 }"),
    ("f", "use_backend x if { srv_is_up(x/s) }"),
    ("f", "use_backend x if { srv_is_up(x/nope) }"),
    ("f", "use_backend x if { srv_is_up(s) }"),
    ("f", "use_backend x if { fe_conn(x) gt 1 }"),
    ("f", "use_backend x if { be_conn gt 1 }"),
    ("f", "use_backend x if { be_name x }"),
    ("f", "use_backend x if { nope 1 }"),
    ("f", "use_backend x if { ssl_fc_sni -m found }"),
    ("f", "use_backend x if { ssl_fc_snii -m found }"),
    ("f", "use_backend x if { bc_nope 1 }"),
    ("f", "use_backend x if { bc_src 1.1.1.1 }"),
    ("f", "use_backend x if { sc0_nope 1 }"),
    ("f", "use_backend x if { int(x) 5 }"),
    ("f", "use_backend x if { bool(x) }"),
    ("f", "use_backend x if { date(5,zz) gt 5 }"),
    ("f", "use_backend x if { uuid(9) -m found }"),
    ("f", "use_backend x if { src,ipmask(24) 1.2.3.0 }"),
    ("f", "use_backend x if { src,ipmask(33) 1.2.3.0 }"),
    ("f", "use_backend x if { src,nope 1.2.3.0 }"),
    ("f", "use_backend x if { src,add(1) 2 }"),
    ("f", "use_backend x if { dst_port,add(x) 81 }"),
    ("f", "use_backend x if { req.payload(0,2) 1603 }"),
    ("f", "use_backend x if { req.payload(0,2) -m bin 1603 }"),
    ("f", "use_backend x if { req.ssl_sni -i a }"),
    ("f", "use_backend x if { acl(nope) }"),
    ("f", "use_backend x if TRUE LOCALHOST WAIT_END REQ_CONTENT"),
    ("f", "acl b"),
    ("f", "acl b src"),
    ("f", "acl b! src 1.1.1.1"),
    ("f", "acl or src 1.1.1.1"),
    ("f", "acl b nope 1"),
    ("f", "acl b path /a"),
    ("f", "tcp-request"),
    ("f", "tcp-request foo"),
    ("f", "tcp-request connection"),
    ("f", "tcp-request connection foo"),
    ("f", "tcp-request connection reject a1"),
    ("f", "tcp-request connection reject if nope"),
    ("f", "tcp-request connection reject if { path /a }"),
    ("f", "tcp-request connection reject if METH_GET"),
    ("f", "tcp-request connection reject if { be_name y }"),
    ("f", "tcp-request connection expect-proxy"),
    ("f", "tcp-request session reject if { path /a }"),
    ("f", "tcp-request session expect-proxy layer4"),
    ("f", "tcp-request content reject if { be_id 3 }"),
    ("f", "tcp-request inspect-delay"),
    ("f", "tcp-request inspect-delay xx"),
    ("f", "tcp-response content accept"),
    ("b", "tcp-response content accept if { req.len gt 1 }"),
    ("b", "tcp-request connection reject"),
    ("b", "tcp-request content reject if { nbsrv lt 1 }"),
    ("b", "use_backend x"),
    ("b", "use-server s"),
    ("b", "use-server nope if { src 1.1.1.1 }"),
    ("b", "use-server s unless { nbsrv gt 1 }"),
    ("b", "use-server s if { fe_conn gt 1 }"),
    ("b", "use-server s if { srv_is_up(s) }"),
    ("f", "use-server s if a1"),
];

/// Lines that both load and that are warned of here alone: a condition lacks a part.
const SAID_HERE_ALONE: &[&str] = &["use_backend x if", "use_backend x if a1 or or a1"];

#[test]
fn rules_load_or_not_as_in_haproxy() {
    let Some(oracle) = Program::oracle() else {
        return not_run(
            "rules that load or not",
            "there is no HAProxy to compare with",
        );
    };
    let directory = temporary_directory();
    let mut differences = Vec::new();
    for (index, (section, line)) in LINES.iter().enumerate() {
        let (front, back) = match *section {
            "f" => (*line, ""),
            _ => ("", *line),
        };
        let text = format!(
            "defaults\n timeout connect 1s\n timeout client 1s\n timeout server 1s\n mode tcp\n\
             frontend f\n bind 127.0.0.1:16443\n acl a1 src 10.0.0.0/8\n {front}\n \
             default_backend y\nbackend x\n server s 127.0.0.1:1\nbackend y\n server s \
             127.0.0.1:1\n {back}\n"
        );
        let file = directory.join(format!("{index}.cfg"));
        std::fs::write(&file, text).unwrap();
        let arguments = [std::ffi::OsStr::new("-c"), "-f".as_ref(), file.as_os_str()];
        let verdict = |program: &Program| {
            let finished = program.run(arguments);
            let warns = finished.stderr.contains("WARNING") || finished.stderr.contains("warning");
            (
                finished.code(),
                warns && finished.code() == 0,
                finished.stderr,
            )
        };
        let (theirs, mut ours) = (verdict(&oracle), verdict(&Program::under_test()));
        if SAID_HERE_ALONE.contains(line) {
            assert!(ours.1, "{line}: nothing is said of it");
            ours.1 = false;
        }
        if (theirs.0, theirs.1) != (ours.0, ours.1) {
            differences.push(format!("{line}\nHAProxy: {theirs:?}\nevenkeel: {ours:?}"));
        }
    }
    let _ = std::fs::remove_dir_all(directory);
    assert!(differences.is_empty(), "{}", differences.join("\n\n"));
}

#[test]
fn a_backend_takes_over_when_another_has_no_server_left() {
    let seen = both("nbsrv failover", |lab| {
        let mut first = lab.origin("first");
        let second = lab.origin("second");
        let front = lab.address();
        let lb = lab.start(&format!(
            "{preamble}
frontend fe
    bind {front}
    use_backend rest if {{ nbsrv(main) lt 1 }}
    default_backend main
backend main
    server s1 {} check inter 200ms rise 1 fall 1
backend rest
    server s2 {}
",
            first.address(),
            second.address(),
            preamble = lab.preamble()
        ));
        let before = visit(front);
        first.die();
        until_metrics(&lb, "s1 is DOWN", |metrics| !is_up(metrics, "main", "s1"));
        let after = visit(front);
        first.revive();
        until_metrics(&lb, "s1 is UP", |metrics| is_up(metrics, "main", "s1"));
        (before, after, visit(front))
    });
    if let Some(Answers { haproxy, evenkeel }) = seen {
        assert_eq!(haproxy, evenkeel);
        assert_eq!(haproxy.1, "second");
    }
}
