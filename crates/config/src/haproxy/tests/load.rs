//! How much servers are given, who waits, and who follows whom.

use std::time::Duration;

use super::{TIMEOUTS, config, lines, load_text};
use crate::{BackendId, InitState, OnMarkedUp, Tracked};

#[test]
fn every_keyword_of_load_is_read() {
    let config = config(&format!(
        "{TIMEOUTS}listen f\n bind :1\n timeout queue 3s\n fullconn 200\n option abortonclose\n\
         default-server maxconn 10\n\
         server a 1.1.1.1:1 check minconn 2 maxqueue 5 slowstart 60s init-state fully-down\n\
         server b 1.1.1.1:2 track a on-marked-up shutdown-backup-sessions\n\
         server c 1.1.1.1:3 track g/d maxconn 0 minconn 7\n\
         backend g\n server d 1.1.1.1:4 track f/b\n"
    ));
    let [f, g] = &config.backends[..] else {
        panic!("two backends")
    };
    let queueing = f.queueing;
    assert_eq!(
        (queueing.timeout, queueing.fullconn, queueing.abort_on_close),
        (Some(Duration::from_secs(3)), Some(200), true)
    );
    let [a, b, c] = &f.servers[..] else {
        panic!("three servers")
    };
    assert_eq!(
        (a.load.maxconn, a.load.minconn, a.load.maxqueue),
        (Some(10), Some(2), Some(5))
    );
    assert_eq!(a.load.slowstart, Some(Duration::from_secs(60)));
    assert_eq!(a.init_state, InitState::FullyDown);
    assert_eq!(b.on_marked_up, OnMarkedUp::ShutdownBackupSessions);
    let tracked = |backend, server| {
        Some(Tracked {
            backend: BackendId(backend),
            server,
        })
    };
    assert_eq!((a.track, b.track), (None, tracked(0, 0)));
    assert_eq!(
        (c.track, g.servers[0].track),
        (tracked(1, 0), tracked(0, 1))
    );
    // A minconn alone is the limit.
    assert_eq!((c.load.maxconn, c.load.minconn), (Some(7), None));
    // Without a timeout of its own, the queue has that of the connect.
    assert_eq!(g.queueing.timeout, g.connect_timeout);
}

#[test]
fn links_that_lead_nowhere_are_told() {
    let check = |servers: &str, expected: &[&str]| {
        let text = format!("{TIMEOUTS}listen f\n bind :1\n{servers}");
        let problems = load_text(&text).expect_err(servers);
        assert_eq!(
            lines(&problems).trim_end(),
            expected.join("\n"),
            "{servers}"
        );
    };
    check(
        " server a 1.1.1.1:1 track bb\n server b 1.1.1.1:2 check\n",
        &["lb.cfg:8:27: 'track': there is no server 'bb' in 'f'"],
    );
    check(
        " server a 1.1.1.1:1 track g/b\n",
        &["lb.cfg:8:27: 'track': there is no backend 'g'"],
    );
    check(
        " server a 1.1.1.1:1 track b\n server b 1.1.1.1:2\n",
        &[
            "lb.cfg:8:27: server 'b' is not checked, so that there is nothing to follow; give it 'check'",
        ],
    );
    check(
        " server a 1.1.1.1:1 track b\n server b 1.1.1.1:2 track f/a\n",
        &[
            "lb.cfg:8:27: server 'a' follows itself, by way of 'b'; let one of them be checked instead",
            "lb.cfg:9:27: server 'b' follows itself, by way of 'f/a'; let one of them be checked instead",
        ],
    );
    check(
        " server a 1.1.1.1:1 check track b\n server b 1.1.1.1:2 check\n",
        &[
            "lb.cfg:8:33: server 'a' both is checked and tracks another server; drop 'check' or 'track'",
        ],
    );
    check(
        " server a 1.1.1.1:1 init-state never maxconn -1 on-marked-up x\n",
        &[
            "lb.cfg:8:32: 'init-state' is up, fully-up, down or fully-down, not 'never'",
            "lb.cfg:8:46: 'maxconn' must be between 0 and 2147483647, not -1",
            "lb.cfg:8:62: 'on-marked-up' is shutdown-backup-sessions, not 'x'",
        ],
    );
}
