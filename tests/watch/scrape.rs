//! A real Prometheus scrapes a running balancer.

use crate::dashboard::questions;
use crate::files::{have, promtool};
use crate::prometheus::Prometheus;
use crate::support::lab::visit;
use crate::support::metrics::get;
use crate::support::{Lab, Program, until};

/// A balancer of two checked masters with a name server, all that is measured included.
fn config(lab: &Lab, servers: [std::net::SocketAddr; 2]) -> (String, std::net::SocketAddr) {
    let front = lab.address();
    let text = format!(
        "{}
resolvers cluster
    nameserver dns {}
frontend kubernetes
    bind {front}
    maxconn 100
    default_backend masters
backend masters
    balance roundrobin
    default-server check inter 100ms fall 2 rise 1 maxconn 50
    server master1 {}
    server master2 {}
",
        lab.preamble(),
        crate::support::loopback::free_udp(lab.ip()),
        servers[0],
        servers[1]
    );
    (text, front)
}

/// Grafana's variables at their widest.
fn filled_in(expr: &str) -> String {
    expr.replace("$__rate_interval", "10s")
        .replace("$job", ".+")
        .replace("$instance", ".+")
        .replace("$proxy", ".+")
}

/// Each question of the dashboard can be asked, and those that `must` be are answered by data.
fn assert_dashboard_shows(prometheus: &Prometheus, must: impl Fn(&str) -> bool) {
    until("there is a rate of everything", || {
        let rate = "rate(haproxy_frontend_sessions_total[10s])";
        (!prometheus.query(rate).is_empty()).then_some(())
    });
    for question in questions() {
        let samples = prometheus.query(&filled_in(&question.expr));
        assert!(
            !must(&question.expr) || !samples.is_empty(),
            "'{}' shows nothing: {}",
            question.panel,
            question.expr
        );
    }
}

#[test]
fn the_dashboard_and_the_alerts_watch_haproxy_as_well() {
    let test = "a real Prometheus scrapes HAProxy";
    let Some(haproxy) = Program::oracle_for(test).filter(|_| have("prometheus", test)) else {
        return;
    };
    let lab = Lab::of(haproxy);
    let [mut first, second] = lab.origins(["master1", "master2"]);
    let (text, front) = config(&lab, [first.address(), second.address()]);
    let lb = lab.start(&text);
    let prometheus = Prometheus::start(lab.address(), lb.admin());
    assert!(!visit(front).is_empty());
    until("the servers are seen", || {
        let up = "sum(haproxy_server_status{proxy=\"masters\",state=\"UP\"})";
        (prometheus.value(up) == Some(2.0)).then_some(())
    });
    // Name servers it shows on demand alone.
    let elsewhere = ["backup_servers", "evenkeel_", "haproxy_resolver_"];
    assert_dashboard_shows(&prometheus, |expr| {
        !elsewhere.iter().any(|part| expr.contains(part))
    });
    first.die();
    until("the alarm", || {
        let alarms =
            prometheus.query("ALERTS{alertname=\"EvenkeelServerDown\",server=\"master1\"}");
        (!alarms.is_empty()).then_some(())
    });
}

#[test]
fn prometheus_sees_the_balancer_and_raises_the_alarm_when_a_master_dies() {
    if !have("prometheus", "a real Prometheus scrapes a balancer") {
        return;
    }
    let lab = Lab::of(Program::Evenkeel);
    let [mut first, second] = lab.origins(["master1", "master2"]);
    let (text, front) = config(&lab, [first.address(), second.address()]);
    let lb = lab.start(&text);
    let admin = lb.admin();
    let prometheus = Prometheus::start(lab.address(), admin);

    until("the target is up", || {
        (prometheus.value("up{job=\"evenkeel\"}") == Some(1.0)).then_some(())
    });
    let targets = prometheus.ask("/api/v1/targets?state=active");
    let target = &targets["activeTargets"][0];
    assert_eq!(target["health"], "up");
    assert_eq!(target["lastError"], "");
    assert_eq!(target["labels"]["instance"], admin.to_string());

    for _ in 0..10 {
        assert!(!visit(front).is_empty());
    }
    until("ten sessions are seen", || {
        let sessions = "haproxy_frontend_sessions_total{proxy=\"kubernetes\"}";
        (prometheus.value(sessions) == Some(10.0)).then_some(())
    });
    for (series, value) in [
        (
            "sum(haproxy_server_sessions_total{proxy=\"masters\"})",
            10.0,
        ),
        (
            "haproxy_server_status{proxy=\"masters\",server=\"master1\",state=\"UP\"}",
            1.0,
        ),
        ("haproxy_backend_active_servers{proxy=\"masters\"}", 2.0),
        (
            "haproxy_frontend_limit_sessions{proxy=\"kubernetes\"}",
            100.0,
        ),
        (
            "count(haproxy_resolver_sent{resolver=\"cluster\",nameserver=\"dns\"})",
            1.0,
        ),
        (
            "evenkeel_connect_duration_seconds_count{proxy=\"masters\"}",
            10.0,
        ),
    ] {
        assert_eq!(prometheus.value(series), Some(value), "{series}");
    }

    // Nothing to show is right where there are no backups.
    assert_dashboard_shows(&prometheus, |expr| !expr.contains("backup_servers"));

    let rules = prometheus.ask("/api/v1/rules");
    let groups = rules["groups"].as_array().unwrap();
    let loaded = groups
        .iter()
        .flat_map(|group| group["rules"].as_array().unwrap());
    let names: Vec<_> = loaded
        .map(|rule| {
            assert!(
                rule["lastError"].as_str().unwrap_or("").is_empty(),
                "{rule}"
            );
            rule["name"].as_str().unwrap().to_owned()
        })
        .collect();
    assert!(names.len() > 20, "{names:?}");
    until("the rules were looked at", || {
        let health = prometheus.ask("/api/v1/rules").to_string();
        (!health.contains("\"health\":\"unknown\"")).then_some(())
    });
    assert_eq!(prometheus.query("ALERTS"), [], "an alarm without a reason");

    first.die();
    let alarm = until("the alarm", || {
        let alerts = prometheus.ask("/api/v1/alerts");
        let mut firing = alerts["alerts"].as_array().unwrap().iter();
        firing
            .find(|alert| {
                alert["labels"]["alertname"] == "EvenkeelServerDown" && alert["state"] == "firing"
            })
            .cloned()
    });
    let labels = &alarm["labels"];
    assert_eq!(labels["proxy"], "masters");
    assert_eq!(labels["server"], "master1");
    assert_eq!(labels["severity"], "warning");
    assert_eq!(labels["instance"], admin.to_string());
    assert_eq!(
        alarm["annotations"]["summary"],
        "server masters/master1 is down"
    );
    until("the alarm that another must not die", || {
        let left = "ALERTS{alertname=\"EvenkeelSingleServerLeft\",alertstate=\"firing\"}";
        let alarms = prometheus.query(left);
        let (labels, _) = alarms.first()?;
        assert_eq!(labels["severity"], "critical");
        Some(())
    });
    first.revive();
    until("the alarm is over", || {
        let alarms = prometheus.query("ALERTS{alertname=\"EvenkeelServerDown\"}");
        alarms.is_empty().then_some(())
    });
}

#[test]
fn metrics_are_as_promtool_wants_them() {
    if !have("promtool", "promtool check metrics") {
        return;
    }
    let lab = Lab::of(Program::Evenkeel);
    let [first, second] = lab.origins(["master1", "master2"]);
    let (text, front) = config(&lab, [first.address(), second.address()]);
    let lb = lab.start(&text);
    visit(front);
    lab.syslog.session();
    let (_, metrics) = get(lb.admin(), "/metrics");
    assert!(metrics.lines().count() > 500);
    assert_eq!(promtool(&["check", "metrics"], &metrics), "");
}
