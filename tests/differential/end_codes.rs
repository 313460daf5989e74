//! How a session ends, as its log line tells it: one line per session, the two letters, the times,
//! the counts.

use std::time::Duration;

use crate::compare::{Answers, both, same};
use crate::support::balancer::Launch;
use crate::support::tcplog::Session;
use crate::support::{Lab, Origin, Peer, Signal, loopback, until};

/// One session through one server: its log line.
fn session(
    lab: &Lab,
    body: &str,
    server: impl Fn(Peer) + Send + Sync + 'static,
    client: impl FnOnce(Peer),
) -> Session {
    let origin = lab.serving(server);
    through(
        lab,
        body,
        &format!("server s1 {}", origin.address()),
        client,
    )
}

/// One session through the servers that `servers` names: its log line.
fn through(lab: &Lab, body: &str, servers: &str, client: impl FnOnce(Peer)) -> Session {
    let front = lab.address();
    let _lb = lab.start(&format!(
        "{preamble}
frontend fe
    bind {front}
    {body}
    default_backend be
backend be
    {body}
    {servers}
",
        preamble = lab.preamble()
    ));
    client(Peer::connect(front));
    lab.syslog.session()
}

/// Asserts that both give this code.
fn assert_end(seen: Option<Session>, end: &str) {
    if let Some(session) = seen {
        assert_eq!(session.end, end, "{session:?}");
    }
}

#[test]
fn client_closes_first() {
    let seen = same("client closes first", |lab| {
        session(
            lab,
            "",
            |mut peer| {
                peer.send("hello\n");
                peer.receive_to_end();
            },
            |mut peer| {
                peer.receive_line();
                peer.send("thanks");
                peer.close();
            },
        )
    });
    assert_end(seen, "--");
}

#[test]
fn server_closes_first() {
    let seen = same("server closes first", |lab| {
        session(
            lab,
            "",
            |mut peer| peer.send("goodbye\n"),
            |mut peer| drop(peer.receive_to_end()),
        )
    });
    assert_end(seen, "--");
}

#[test]
fn client_half_closes_and_waits_for_the_answer() {
    let seen = same("client half-closes", |lab| {
        session(
            lab,
            "",
            |mut peer| {
                let (question, _) = peer.receive_to_end();
                peer.send(question);
            },
            |mut peer| {
                peer.send("question");
                peer.finish();
                assert_eq!(peer.receive_to_end().0, b"question");
            },
        )
    });
    assert_end(seen, "--");
}

#[test]
fn neither_sends_a_byte() {
    let seen = same("no byte", |lab| {
        session(lab, "", |mut peer| drop(peer.receive_to_end()), Peer::close)
    });
    assert_end(seen, "--");
}

#[test]
fn client_resets_after_data() {
    let seen = same("client resets", |lab| {
        session(
            lab,
            "",
            |mut peer| {
                peer.send("hello\n");
                peer.receive_to_end();
            },
            |mut peer| {
                peer.send("x");
                peer.receive_line();
                peer.reset();
            },
        )
    });
    assert_end(seen, "CD");
}

#[test]
fn client_resets_without_having_sent() {
    same("client resets, nothing sent", |lab| {
        session(
            lab,
            "",
            |mut peer| {
                peer.send("hello\n");
                peer.receive_to_end();
            },
            |mut peer| {
                peer.receive_line();
                peer.reset();
            },
        )
    });
}

#[test]
fn server_resets_after_data() {
    let seen = same("server resets", |lab| {
        session(
            lab,
            "",
            |mut peer| {
                peer.receive_exactly(1);
                peer.send("hello\n");
                peer.receive_exactly(1);
                peer.reset();
            },
            |mut peer| {
                peer.send("x");
                peer.receive_line();
                peer.send("y");
                peer.receive_to_end();
            },
        )
    });
    assert_end(seen, "SD");
}

#[test]
fn server_resets_without_having_sent() {
    same("server resets, nothing sent", |lab| {
        session(
            lab,
            "",
            |mut peer| {
                peer.receive_exactly(1);
                peer.reset();
            },
            |mut peer| {
                peer.send("x");
                peer.receive_to_end();
            },
        )
    });
}

#[test]
fn both_idle_under_equal_timeouts() {
    let seen = same("idle, equal timeouts", |lab| {
        session(
            lab,
            "timeout client 1s\n    timeout server 1s",
            |mut peer| drop(peer.receive_to_end()),
            |mut peer| drop(peer.receive_to_end()),
        )
    });
    assert_end(seen, "cD");
}

#[test]
fn both_idle_under_the_shorter_client_timeout() {
    let seen = same("idle, timeout client", |lab| {
        session(
            lab,
            "timeout client 1s\n    timeout server 10s",
            |mut peer| drop(peer.receive_to_end()),
            |mut peer| drop(peer.receive_to_end()),
        )
    });
    assert_end(seen, "cD");
}

#[test]
fn both_idle_under_the_shorter_server_timeout() {
    let seen = same("idle, timeout server", |lab| {
        session(
            lab,
            "timeout client 10s\n    timeout server 1s",
            |mut peer| drop(peer.receive_to_end()),
            |mut peer| drop(peer.receive_to_end()),
        )
    });
    assert_end(seen, "sD");
}

#[test]
fn idle_after_some_data() {
    same("idle after data", |lab| {
        session(
            lab,
            "timeout client 1s\n    timeout server 1s",
            |mut peer| {
                peer.receive_exactly(4);
                peer.send("pong\n");
                peer.receive_to_end();
            },
            |mut peer| {
                peer.send("ping");
                peer.receive_to_end();
            },
        )
    });
}

#[test]
fn connect_refused_until_retries_are_spent() {
    for (options, code) in [
        ("retries 0", "SC"),
        ("retries 1", "SC"),
        ("retries 3", "SC"),
        ("retries 1\n    option redispatch", "SC"),
        ("retries 3\n    option redispatch", "SC"),
        ("retries 3\n    option redispatch 1", "SC"),
        ("retries 3\n    option redispatch -2", "SC"),
        ("retries 1\n    no option redispatch", "SC"),
    ] {
        let seen = same(&format!("refused, {options}"), |lab| {
            let dead = lab.dead_origin("dead");
            through(
                lab,
                options,
                &format!("server s1 {}", dead.address()),
                |mut peer| {
                    drop(peer.receive_to_end());
                },
            )
        });
        assert_end(seen, code);
    }
}

#[test]
fn connect_refused_by_one_server_with_redispatch() {
    let seen = same("refused, redispatched", |lab| {
        let dead = lab.dead_origin("dead");
        let alive = lab.origin("alive");
        let servers = format!(
            "server dead {}\n    server alive {}",
            dead.address(),
            alive.address()
        );
        through(lab, "option redispatch", &servers, |mut peer| {
            assert_eq!(peer.receive_line(), "alive");
        })
    });
    if let Some(session) = seen {
        assert_eq!(
            (session.server.as_str(), session.retries.as_str()),
            ("alive", "+1")
        );
    }
}

#[test]
fn connect_refused_by_one_server_without_redispatch() {
    let seen = same("refused, not redispatched", |lab| {
        let dead = lab.dead_origin("dead");
        let alive = lab.origin("alive");
        let servers = format!(
            "server dead {}\n    server alive {}",
            dead.address(),
            alive.address()
        );
        through(
            lab,
            "no option redispatch\n    retries 2",
            &servers,
            |mut peer| {
                drop(peer.receive_to_end());
            },
        )
    });
    if let Some(session) = seen {
        assert_eq!(
            (session.server.as_str(), session.retries.as_str()),
            ("dead", "2")
        );
    }
}

#[test]
fn connect_refused_by_all_servers_with_redispatch() {
    for retries in 1..=3 {
        same("refused by all, redispatched", |lab| {
            let dead = [lab.dead_origin("one"), lab.dead_origin("two")];
            let [one, two] = dead.each_ref().map(Origin::address);
            let options = format!("option redispatch\n    retries {retries}");
            through(
                lab,
                &options,
                &format!("server one {one}\n    server two {two}"),
                |mut peer| {
                    drop(peer.receive_to_end());
                },
            )
        });
    }
}

#[test]
fn connect_refused_to_a_pinned_server_with_redispatch() {
    same("refused, balance source, redispatch", |lab| {
        let dead = lab.dead_origin("dead");
        let also_dead = lab.dead_origin("also-dead");
        let servers = format!(
            "server one {}\n    server two {}",
            dead.address(),
            also_dead.address()
        );
        through(
            lab,
            "balance source\n    option redispatch\n    retries 2",
            &servers,
            |mut peer| {
                drop(peer.receive_to_end());
            },
        )
    });
}

#[test]
fn connect_times_out() {
    for (options, retries) in [
        ("retries 0", "0"),
        ("retries 1", "1"),
        ("retries 1\n    option redispatch", "1"),
    ] {
        let seen = same(&format!("silent server, {options}"), |lab| {
            let silent = lab.silent();
            let body = format!("timeout connect 1s\n    {options}");
            through(
                lab,
                &body,
                &format!("server s1 {}", silent.address()),
                |mut peer| {
                    drop(peer.receive_to_end());
                },
            )
        });
        let Some(session) = seen else { return };
        assert_eq!(
            (session.end.as_str(), session.retries.as_str()),
            ("sC", retries)
        );
    }
}

#[test]
fn connect_times_out_and_is_redispatched() {
    let seen = same("silent server, redispatched", |lab| {
        let silent = lab.silent();
        let alive = lab.origin("alive");
        let servers = format!(
            "server silent {}\n    server alive {}",
            silent.address(),
            alive.address()
        );
        through(
            lab,
            "timeout connect 1s\n    option redispatch",
            &servers,
            |mut peer| {
                assert_eq!(peer.receive_line(), "alive");
            },
        )
    });
    if let Some(session) = seen {
        assert_eq!(
            (session.server.as_str(), session.retries.as_str()),
            ("alive", "+1")
        );
    }
}

/// The client leaves while the connect to a silent server is under way; the session's line.
fn leaves_during_the_connect(lab: &Lab, options: &str, leave: impl FnOnce(Peer)) -> Session {
    let silent = lab.silent();
    let body = format!("timeout connect 2s\n    retries 0\n    {options}");
    through(
        lab,
        &body,
        &format!("server s1 {}", silent.address()),
        |peer| {
            until("the connect is under way", || {
                loopback::is_being_connected(silent.address()).then_some(())
            });
            leave(peer);
        },
    )
}

#[test]
fn client_leaves_while_the_connect_is_under_way() {
    for (manner, leave) in [("FIN", Peer::close as fn(Peer)), ("RST", Peer::reset)] {
        same(
            &format!("client leaves with {manner} during the connect"),
            |lab| leaves_during_the_connect(lab, "", leave),
        );
    }
}

#[test]
fn client_sends_and_ends_while_the_connect_is_under_way() {
    let seen = same("client sends and ends during the connect", |lab| {
        leaves_during_the_connect(lab, "", |mut peer| {
            peer.send("question");
            peer.close();
        })
    });
    assert_end(seen, "sC");
}

#[test]
fn client_sends_and_resets_while_the_connect_is_under_way() {
    // HAProxy goes on connecting for a client that is gone; here it is noticed.
    let answers = both("client sends and resets during the connect", |lab| {
        leaves_during_the_connect(lab, "", |mut peer| {
            peer.send("question");
            peer.reset();
        })
    });
    let Some(Answers { haproxy, evenkeel }) = answers else {
        return;
    };
    assert_eq!((haproxy.end.as_str(), evenkeel.end.as_str()), ("sC", "CD"));
}

#[test]
fn no_server_is_usable() {
    let seen = same("no usable server", |lab| {
        let alive = lab.origin("alive");
        let servers = format!("server s1 {} disabled", alive.address());
        through(lab, "", &servers, |mut peer| drop(peer.receive_to_end()))
    });
    if let Some(session) = seen {
        assert_eq!(
            (session.server.as_str(), session.end.as_str()),
            ("<NOSRV>", "SC")
        );
    }
}

#[test]
fn backend_without_servers() {
    same("backend without servers", |lab| {
        through(lab, "", "", |mut peer| drop(peer.receive_to_end()))
    });
}

#[test]
fn frontend_without_backend() {
    same("frontend without backend", |lab| {
        let front = lab.address();
        let _lb = lab.start(&format!(
            "{}\nfrontend fe\n    bind {front}\n",
            lab.preamble()
        ));
        let mut peer = Peer::connect(front);
        let end = peer.receive_to_end();
        (end, lab.syslog.session())
    });
}

#[test]
fn server_marked_down_closes_its_sessions() {
    let seen = same("on-marked-down shutdown-sessions", |lab| {
        let mut dying = lab.origin("dying");
        let front = lab.address();
        let _lb = lab.start(&format!(
            "{preamble}
listen api
    bind {front}
    server s1 {dying} check inter 200ms fall 1 on-marked-down shutdown-sessions
",
            preamble = lab.preamble(),
            dying = dying.address()
        ));
        let mut peer = Peer::connect(front);
        assert_eq!(peer.receive_line(), "dying");
        dying.die();
        lab.syslog.containing("Server api/s1 is DOWN");
        let end = peer.receive_to_end();
        (end, lab.syslog.session())
    });
    assert_end(seen.map(|(_, session)| session), "DC");
}

#[test]
fn server_marked_down_keeps_its_sessions_by_default() {
    let seen = same("down without on-marked-down", |lab| {
        let mut dying = lab.echo();
        let front = lab.address();
        let _lb = lab.start(&format!(
            "{preamble}
listen api
    bind {front}
    server s1 {dying} check inter 200ms fall 1
",
            preamble = lab.preamble(),
            dying = dying.address()
        ));
        let mut peer = Peer::connect(front);
        peer.send("before");
        peer.receive_exactly(6);
        dying.die();
        lab.syslog.containing("Server api/s1 is DOWN");
        peer.send("after");
        peer.receive_exactly(5);
        peer.close();
        lab.syslog.session()
    });
    assert_end(seen, "--");
}

#[test]
fn hard_stop_cuts_what_is_left() {
    let seen = same("hard-stop-after", |lab| {
        let stays = lab.origin("stays");
        let front = lab.address();
        let mut lb = lab.launch(
            &format!(
                "
global
    {log}
    hard-stop-after 1s
defaults
    mode tcp
    log global
    option tcplog
    timeout connect 2s
    timeout client 30s
    timeout server 30s
listen api
    bind {front}
    server s1 {stays}
",
                log = lab.log(),
                stays = stays.address()
            ),
            &Launch::default(),
        );
        let mut peer = Peer::connect(front);
        assert_eq!(peer.receive_line(), "stays");
        lb.signal(Signal::USR1);
        let end = peer.receive_to_end();
        let session = lab.syslog.session();
        (end, session, lb.exit().code())
    });
    assert_end(seen.map(|(_, session, _)| session), "KC");
}

#[test]
fn dontlognull_skips_sessions_in_which_the_client_sent_nothing() {
    let seen = same("dontlognull", |lab| {
        let echo = lab.echo();
        let front = lab.address();
        let _lb = lab.start(&format!(
            "{preamble}
listen api
    bind {front}
    option dontlognull
    server s1 {echo}
",
            preamble = lab.preamble(),
            echo = echo.address()
        ));
        let silent = Peer::connect(front);
        silent.finish();
        let mut peer = silent;
        peer.receive_to_end();
        let mut talker = Peer::connect(front);
        talker.send("hello");
        talker.receive_exactly(5);
        talker.close();
        lab.syslog.session();
        lab.syslog.sessions()
    });
    if let Some(sessions) = seen {
        assert_eq!(sessions.len(), 1, "{sessions:?}");
    }
}

#[test]
fn without_tcplog_the_accept_is_logged() {
    same("no option tcplog", |lab| {
        let echo = lab.echo();
        let front = lab.address();
        let _lb = lab.start(&format!(
            "
global
    {log}
defaults
    mode tcp
    log global
    timeout connect 2s
    timeout client 30s
    timeout server 30s
listen api
    bind {front}
    server s1 {echo}
",
            log = lab.log(),
            echo = echo.address()
        ));
        let peer = Peer::connect(front);
        let from = peer.address();
        peer.close();
        let message = lab.syslog.containing("Connect from");
        let text = message
            .text
            .replace(&from.to_string(), "CLIENT")
            .replace(&front.to_string(), "FRONT");
        (message.facility, message.level, text)
    });
}

#[test]
fn counts_include_the_sessions_that_are_open() {
    same("counts", |lab| {
        let [a, b] = lab.origins(["a", "b"]);
        let front = lab.address();
        let _lb = lab.start(&format!(
            "{preamble}
listen api
    bind {front}
    server a {a}
    server b {b}
",
            preamble = lab.preamble(),
            a = a.address(),
            b = b.address()
        ));
        let mut held: Vec<Peer> = (0..4)
            .map(|_| {
                let mut peer = Peer::connect(front);
                peer.receive_line();
                peer
            })
            .collect();
        let mut lines = Vec::new();
        while let Some(peer) = held.pop() {
            peer.close();
            lines.push(lab.syslog.session());
        }
        lines
    });
}

#[test]
fn bytes_are_those_sent_to_the_client() {
    const SIZE: usize = 300_000;
    let seen = same("bytes", |lab| {
        session(
            lab,
            "",
            |mut peer| {
                peer.receive_exactly(1000);
                peer.send(vec![b'x'; SIZE]);
            },
            |mut peer| {
                peer.send([b'y'; 1000]);
                peer.receive_to_end();
            },
        )
    });
    if let Some(session) = seen {
        assert_eq!(session.bytes, SIZE as u64);
    }
}

#[test]
fn a_slow_session_is_timed_whole() {
    let seen = same("total time", |lab| {
        session(
            lab,
            "",
            |mut peer| {
                // Silent for a second and a half, unless the client leaves before.
                peer.receive(Duration::from_millis(1500));
                peer.send("late\n");
            },
            |mut peer| drop(peer.receive_to_end()),
        )
    });
    if let Some(session) = seen {
        assert!(session.total.0 >= 1400, "{session:?}");
    }
}
