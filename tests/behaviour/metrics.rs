//! `--admin`: /metrics, /healthz, /readyz.

use crate::relays::RELAYS;
use crate::support::balancer::until_metrics;
use crate::support::metrics::get;
use crate::support::{Lab, Peer, until};

#[test]
fn traffic_is_counted_once_and_where_it_was() {
    let lab = Lab::new();
    let echo = lab.echo();
    let front = lab.address();
    let lb = lab.start(&format!(
        "{}\nfrontend fe\n    bind {front}\n    default_backend be\nbackend be\n    server s1 {}\n    server s2 {} backup\n",
        lab.preamble(),
        echo.address(),
        echo.address()
    ));
    for _ in 0..3 {
        let mut peer = Peer::connect(front);
        peer.send([b'x'; 1000]);
        peer.receive_exactly(1000);
        peer.close();
        lab.syslog.session();
    }
    let held = Peer::connect(front);
    let metrics = until_metrics(&lb, "the held session is counted", |metrics| {
        metrics.value("haproxy_backend_current_sessions", "proxy=be") == 1.0
            && metrics.value("haproxy_server_sessions_total", "proxy=be,server=s1") == 4.0
    });

    for (name, labels) in [
        ("haproxy_frontend", "proxy=fe"),
        ("haproxy_backend", "proxy=be"),
        ("haproxy_server", "proxy=be,server=s1"),
    ] {
        assert_eq!(
            metrics.value(&format!("{name}_sessions_total"), labels),
            4.0,
            "{name}"
        );
        assert_eq!(
            metrics.value(&format!("{name}_bytes_in_total"), labels),
            3000.0,
            "{name}"
        );
        assert_eq!(
            metrics.value(&format!("{name}_bytes_out_total"), labels),
            3000.0,
            "{name}"
        );
    }
    assert_eq!(
        metrics.value("haproxy_server_sessions_total", "proxy=be,server=s2"),
        0.0
    );
    assert_eq!(
        metrics.value("haproxy_process_current_connections", ""),
        1.0
    );
    // Every metric says what it is.
    for name in metrics.names() {
        let family = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|end| name.strip_suffix(end));
        let known = |name: &str| metrics.kinds.contains_key(name) && metrics.helped.contains(name);
        assert!(
            known(name) || family.is_some_and(known),
            "{name} has no HELP or TYPE"
        );
    }
    drop(held);
}

#[test]
fn bytes_are_counted_by_the_relay_that_moved_them() {
    for ((global, proxy), method) in RELAYS.into_iter().zip(["copy", "splice"]) {
        let lab = Lab::new();
        let echo = lab.echo();
        let front = lab.address();
        let lb = lab.start(&format!(
            "
global
    {log}
    {global}
{defaults}
listen api
    bind {front}
    {proxy}
    server s1 {echo}
",
            log = lab.log(),
            defaults = lab.defaults(),
            echo = echo.address()
        ));
        let mut peer = Peer::connect(front);
        for _ in 0..20 {
            peer.send([b'x'; 50_000]);
            peer.receive_exactly(50_000);
        }
        peer.close();
        lab.syslog.session();
        let moved = |method: &str| {
            let series = &lb.metrics().series;
            series
                .iter()
                .filter(|(series, _)| series.name == "evenkeel_relayed_bytes_total")
                .filter(|(series, _)| series.labels.values().any(|value| value == method))
                .map(|(_, value)| *value)
                .sum::<f64>()
        };
        assert_eq!(moved(method), 2_000_000.0, "{method}");
    }
}

#[test]
fn health_and_readiness() {
    let lab = Lab::new();
    let mut only = lab.origin("only");
    let front = lab.address();
    let lb = lab.start(&format!(
        "{}\nlisten api\n    bind {front}\n    server only {} check inter 100ms fall 1 rise 1\n",
        lab.preamble(),
        only.address()
    ));
    let status = |path: &str| {
        let (head, body) = get(lb.admin(), path);
        (head.split(' ').nth(1).unwrap().to_owned(), body)
    };
    assert_eq!(status("/healthz").0, "200");
    assert_eq!(status("/readyz").0, "200");

    only.die();
    until("not ready", || (status("/readyz").0 == "503").then_some(()));
    assert!(status("/readyz").1.contains("api"));
    assert_eq!(status("/healthz").0, "200");

    only.revive();
    until("ready again", || {
        (status("/readyz").0 == "200").then_some(())
    });
    assert_eq!(status("/nothing").0, "404");
}
