//! `maxconn` on a server: clients wait for room, and each place that is given back serves the next.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::support::balancer::until_metrics;
use crate::support::{Balancer, Lab, Peer};

fn queued(lb: &Balancer, count: f64) {
    until_metrics(lb, "clients wait", |metrics| {
        metrics.value("haproxy_backend_current_queue", "proxy=api") == count
    });
}

#[test]
fn no_server_ever_has_more_than_its_maxconn_and_everybody_is_served() {
    let lab = Lab::new();
    let front = lab.address();
    let (open, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let origin = lab.serving({
        let (open, most) = (Arc::clone(&open), Arc::clone(&most));
        move |mut peer| {
            let now = open.fetch_add(1, Ordering::SeqCst) + 1;
            most.fetch_max(now, Ordering::SeqCst);
            let _ = peer.try_send("hello\n");
            let _ = peer.end();
            open.fetch_sub(1, Ordering::SeqCst);
        }
    });
    let lb = lab.start(&format!(
        "{preamble}
listen api
    bind {front}
    timeout queue 30s
    server a {origin} maxconn 3
",
        preamble = lab.preamble(),
        origin = origin.address(),
    ));
    let visitors: Vec<_> = (0..60)
        .map(|_| {
            std::thread::spawn(move || {
                let mut peer = Peer::connect(front);
                peer.receive_line()
            })
        })
        .collect();
    for visitor in visitors {
        assert_eq!(visitor.join().unwrap(), "hello");
    }
    assert!(most.load(Ordering::SeqCst) <= 3, "{most:?}");
    let metrics = until_metrics(&lb, "all are gone", |metrics| {
        metrics.value("haproxy_backend_current_sessions", "proxy=api") == 0.0
    });
    assert_eq!(
        metrics.value("haproxy_server_max_sessions", "proxy=api,server=a"),
        3.0
    );
    assert!(metrics.value("haproxy_backend_max_queue", "proxy=api") > 3.0);
}

#[test]
fn minconn_lets_a_server_have_more_as_its_backend_fills() {
    let lab = Lab::new();
    let only = lab.origin("only");
    let front = lab.address();
    let lb = lab.start(&format!(
        "{preamble}
listen api
    bind {front}
    fullconn 8
    timeout queue 30s
    server only {only} minconn 1 maxconn 4
",
        preamble = lab.preamble(),
        only = only.address(),
    ));
    let mut peers = Vec::new();
    let mut on_server = Vec::new();
    for sessions in 1..=8 {
        peers.push(Peer::connect(front));
        let metrics = until_metrics(&lb, "the client has arrived", |metrics| {
            let (all, waiting, served) = (
                metrics.value("haproxy_backend_current_sessions", "proxy=api"),
                metrics.value("haproxy_backend_current_queue", "proxy=api"),
                metrics.value("haproxy_server_current_sessions", "proxy=api,server=only"),
            );
            all == f64::from(sessions) && waiting + served == all
        });
        on_server.push(metrics.value("haproxy_server_current_sessions", "proxy=api,server=only"));
    }
    assert_eq!(on_server, [1.0, 1.0, 1.0, 2.0, 2.0, 3.0, 3.0, 4.0]);
    // First come, first served.
    for peer in &mut peers[..4] {
        assert_eq!(peer.receive_line(), "only");
    }
}

#[test]
fn a_server_without_limit_that_comes_up_takes_all_who_wait() {
    let lab = Lab::new();
    let busy = lab.origin("busy");
    let mut back = lab.dead_origin("back");
    let front = lab.address();
    let lb = lab.start(&format!(
        "{preamble}
listen api
    bind {front}
    timeout queue 30s
    server busy {busy} maxconn 1
    server back {back} check inter 100ms rise 1 fall 1
",
        preamble = lab.preamble(),
        busy = busy.address(),
        back = back.address(),
    ));
    lab.syslog.containing("Server api/back is DOWN");
    let mut first = Peer::connect(front);
    assert_eq!(first.receive_line(), "busy");
    let mut waiting: Vec<Peer> = (0..5).map(|_| Peer::connect(front)).collect();
    queued(&lb, 5.0);

    back.revive();

    for peer in &mut waiting {
        assert_eq!(peer.receive_line(), "back");
    }
    let up = lab.syslog.containing("Server api/back is UP");
    assert!(
        up.text.ends_with("5 sessions requeued, 0 total in queue."),
        "{up:?}"
    );
}

#[test]
fn a_reload_keeps_the_line_and_its_limit() {
    let lab = Lab::new();
    let only = lab.origin("only");
    let front = lab.address();
    let config = |maxconn: &str| {
        format!(
            "{preamble}
listen api
    bind {front}
    timeout queue 30s
    server only {only} {maxconn}
",
            preamble = lab.preamble(),
            only = only.address(),
        )
    };
    let lb = lab.start(&config("maxconn 1"));
    let mut first = Peer::connect(front);
    assert_eq!(first.receive_line(), "only");
    let mut second = Peer::connect(front);
    queued(&lb, 1.0);

    lb.reload(&config("maxconn 1"));

    // One that comes to the new configuration waits behind the one of the old.
    let mut third = Peer::connect(front);
    queued(&lb, 2.0);
    drop(first);
    assert_eq!(second.receive_line(), "only");
    assert!(third.is_quiet_for(Duration::from_millis(200)));
    let mut fourth = Peer::connect(front);
    queued(&lb, 2.0);

    // Without a limit there is nothing to wait for.
    lb.reload(&config(""));
    assert_eq!(third.receive_line(), "only");
    assert_eq!(fourth.receive_line(), "only");
}
