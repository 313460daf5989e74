//! What becomes of a server that starts, goes, comes back or follows another one.

use std::time::Duration;

use crate::support::balancer::until_metrics;
use crate::support::lab::{is_up, visit};
use crate::support::{Lab, Peer};

#[test]
fn a_server_that_tracks_another_follows_its_health() {
    let lab = Lab::new();
    let mut leader = lab.origin("leader");
    let follower = lab.origin("follower");
    let front = lab.address();
    let lb = lab.start(&format!(
        "{preamble}
listen api
    bind {front}
    server follower {follower} track health/leader
    server spare {follower} backup
backend health
    server leader {leader} check inter 100ms fall 1 rise 1
",
        preamble = lab.preamble(),
        follower = follower.address(),
        leader = leader.address(),
    ));
    assert_eq!(visit(front), "follower");
    leader.die();
    let message = lab.syslog.containing("Server api/follower is DOWN");
    assert_eq!(
        message.text,
        "Server api/follower is DOWN via health/leader. 0 active and 1 backup servers left. \
         Running on backup. 0 sessions active, 0 requeued, 0 remaining in queue."
    );
    assert_eq!(message.level, 1);
    until_metrics(&lb, "both are down", |metrics| {
        !is_up(metrics, "health", "leader") && !is_up(metrics, "api", "follower")
    });
    leader.revive();
    lab.syslog
        .containing("Server api/follower is UP via health/leader.");
    until_metrics(&lb, "both are up", |metrics| {
        is_up(metrics, "health", "leader") && is_up(metrics, "api", "follower")
    });
}

#[test]
fn a_tracked_server_that_is_disabled_takes_its_follower_along() {
    let lab = Lab::new();
    let origin = lab.origin("origin");
    let front = lab.address();
    let lb = lab.start(&format!(
        "{preamble}
listen api
    bind {front}
    server leader {origin} check disabled
    server follower {origin} track leader
    server other {origin}
",
        preamble = lab.preamble(),
        origin = origin.address(),
    ));
    let metrics = lb.metrics();
    for server in ["leader", "follower"] {
        let labels = format!("proxy=api,server={server},state=MAINT");
        assert_eq!(
            metrics.value("haproxy_server_status", &labels),
            1.0,
            "{server}"
        );
    }
    assert_eq!(
        metrics.value("haproxy_backend_active_servers", "proxy=api"),
        1.0
    );
}

#[test]
fn a_server_that_comes_up_ends_the_sessions_on_backups() {
    let lab = Lab::new();
    let mut main = lab.dead_origin("main");
    let spare = lab.origin("spare");
    let front = lab.address();
    let _lb = lab.start(&format!(
        "{preamble}
listen api
    bind {front}
    server main {main} check inter 100ms rise 1 fall 1 on-marked-up shutdown-backup-sessions
    server spare {spare} backup
",
        preamble = lab.preamble(),
        main = main.address(),
        spare = spare.address(),
    ));
    lab.syslog.containing("Server api/main is DOWN");
    let mut held = Peer::connect(front);
    assert_eq!(held.receive_line(), "spare");

    main.revive();

    held.end();
    let line = lab.syslog.session();
    assert_eq!((&*line.server, &*line.end), ("spare", "UC"));
    assert_eq!(visit(front), "main");
}

#[test]
fn a_server_may_have_to_prove_itself_before_it_serves() {
    for (state, rise) in [("down", 1), ("fully-down", 3)] {
        let lab = Lab::new();
        let mut proven = lab.dead_origin("proven");
        let other = lab.origin("other");
        let front = lab.address();
        let lb = lab.start(&format!(
            "{preamble}
listen api
    bind {front}
    server proven {proven} check inter 50ms rise {rise} init-state {state}
    server other {other}
",
            preamble = lab.preamble(),
            proven = proven.address(),
            other = other.address(),
        ));
        assert!(!is_up(&lb.metrics(), "api", "proven"), "{state}");
        for _ in 0..3 {
            assert_eq!(visit(front), "other", "{state}");
        }
        proven.revive();
        until_metrics(&lb, "proven", |metrics| is_up(metrics, "api", "proven"));
    }
}

#[test]
fn a_server_that_comes_back_starts_slowly() {
    let lab = Lab::new();
    let mut slow = lab.origin("slow");
    let steady = lab.origin("steady");
    let front = lab.address();
    let lb = lab.start(&format!(
        "{preamble}
listen api
    bind {front}
    server slow {slow} check inter 100ms rise 1 fall 1 slowstart 1h
    server steady {steady}
",
        preamble = lab.preamble(),
        slow = slow.address(),
        steady = steady.address(),
    ));
    let throttle = |metrics: &crate::support::metrics::Metrics| {
        metrics.value("haproxy_server_current_throttle", "proxy=api,server=slow")
    };
    let share = || (0..20).filter(|_| visit(front) == "slow").count();
    assert!(throttle(&lb.metrics()).is_nan());
    assert_eq!(share(), 10);
    slow.die();
    until_metrics(&lb, "down", |metrics| !is_up(metrics, "api", "slow"));
    slow.revive();
    let metrics = until_metrics(&lb, "up", |metrics| is_up(metrics, "api", "slow"));
    assert_eq!(throttle(&metrics), 1.0);
    assert!(share() <= 2);
}

#[test]
fn slowstart_comes_to_its_end() {
    let lab = Lab::new();
    let mut slow = lab.dead_origin("slow");
    let front = lab.address();
    let lb = lab.start(&format!(
        "{preamble}
listen api
    bind {front}
    server slow {slow} check inter 50ms rise 1 fall 1 slowstart 500ms maxconn 20
",
        preamble = lab.preamble(),
        slow = slow.address(),
    ));
    lab.syslog.containing("Server api/slow is DOWN");
    slow.revive();
    lab.syslog.containing("Server api/slow is UP");
    // Its limit grows with it: all are served without one of them leaving.
    let mut peers: Vec<Peer> = (0..20).map(|_| Peer::connect(front)).collect();
    for peer in &mut peers {
        assert_eq!(peer.receive_line(), "slow");
    }
    until_metrics(&lb, "it has its full share", |metrics| {
        metrics
            .value("haproxy_server_current_throttle", "proxy=api,server=slow")
            .is_nan()
    });
    assert!(peers[0].is_quiet_for(Duration::from_millis(50)));
}
