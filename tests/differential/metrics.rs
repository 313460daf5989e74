//! Metrics under the names, types and labels of HAProxy's own exporter, with the same values after
//! the same traffic.

use std::collections::BTreeSet;

use crate::compare::{Answers, both};
use crate::support::balancer::until_metrics;
use crate::support::metrics::{Metrics, Series};
use crate::support::{Lab, Peer};

/// What a dashboard of HAProxy's TCP balancing shows; all of it must exist here.
const EXPECTED: &[&str] = &[
    "haproxy_process_nbthread",
    "haproxy_process_uptime_seconds",
    "haproxy_process_max_fds",
    "haproxy_process_max_connections",
    "haproxy_process_current_connections",
    "haproxy_process_connections_total",
    "haproxy_process_dropped_logs_total",
    "haproxy_process_build_info",
    "haproxy_frontend_status",
    "haproxy_frontend_current_sessions",
    "haproxy_frontend_max_sessions",
    "haproxy_frontend_limit_sessions",
    "haproxy_frontend_sessions_total",
    "haproxy_frontend_connections_total",
    "haproxy_frontend_bytes_in_total",
    "haproxy_frontend_bytes_out_total",
    "haproxy_backend_status",
    "haproxy_backend_current_sessions",
    "haproxy_backend_max_sessions",
    "haproxy_backend_limit_sessions",
    "haproxy_backend_sessions_total",
    "haproxy_backend_bytes_in_total",
    "haproxy_backend_bytes_out_total",
    "haproxy_backend_connection_attempts_total",
    "haproxy_backend_connection_errors_total",
    "haproxy_backend_retry_warnings_total",
    "haproxy_backend_redispatch_warnings_total",
    "haproxy_backend_client_aborts_total",
    "haproxy_backend_server_aborts_total",
    "haproxy_backend_loadbalanced_total",
    "haproxy_backend_weight",
    "haproxy_backend_active_servers",
    "haproxy_backend_backup_servers",
    "haproxy_backend_check_up_down_total",
    "haproxy_backend_check_last_change_seconds",
    "haproxy_backend_downtime_seconds_total",
    "haproxy_backend_last_session_seconds",
    "haproxy_backend_queue_time_average_seconds",
    "haproxy_backend_connect_time_average_seconds",
    "haproxy_backend_total_time_average_seconds",
    "haproxy_backend_agg_server_status",
    "haproxy_server_status",
    "haproxy_server_current_sessions",
    "haproxy_server_max_sessions",
    "haproxy_server_sessions_total",
    "haproxy_server_bytes_in_total",
    "haproxy_server_bytes_out_total",
    "haproxy_server_connection_attempts_total",
    "haproxy_server_connection_errors_total",
    "haproxy_server_retry_warnings_total",
    "haproxy_server_redispatch_warnings_total",
    "haproxy_server_client_aborts_total",
    "haproxy_server_server_aborts_total",
    "haproxy_server_loadbalanced_total",
    "haproxy_server_weight",
    "haproxy_server_active",
    "haproxy_server_backup",
    "haproxy_server_check_status",
    "haproxy_server_check_duration_seconds",
    "haproxy_server_check_failures_total",
    "haproxy_server_check_up_down_total",
    "haproxy_server_check_last_change_seconds",
    "haproxy_server_downtime_seconds_total",
    "haproxy_server_last_session_seconds",
    "haproxy_server_queue_time_average_seconds",
    "haproxy_server_connect_time_average_seconds",
    "haproxy_server_total_time_average_seconds",
];

/// Whether a value depends on the moment or the machine rather than on the traffic.
fn is_volatile(name: &str) -> bool {
    name.starts_with("haproxy_process_")
        || name.ends_with("_seconds")
        || name.ends_with("_seconds_total")
        || name.contains("_rate")
        // Checks go on while the traffic is compared.
        || name == "haproxy_server_check_failures_total"
        // A moment in which two short sessions overlap or not.
        || name.contains("_max_sessions")
}

/// Every kind of end that a session can have, on servers in every state.
fn traffic(lab: &Lab) -> Metrics {
    let echo = lab.echo();
    let mut dying = lab.origin("dying");
    let spare = lab.origin("spare");
    let resetting = lab.serving(|mut peer| {
        peer.send("hello\n");
        peer.receive_exactly(1);
        peer.reset();
    });
    let refusing = lab.dead_origin("refusing");
    let [web, resets, refuses, nowhere, checked] = [(); 5].map(|()| lab.address());
    let lb = lab.start(&format!(
        "
global
    {log}
    # What each process works out for itself would differ.
    maxconn 1000
{defaults}
frontend web
    bind {web}
    maxconn 100
    default_backend echoes
backend echoes
    server echo {echo} weight 3
    server unused {spare} backup
    server off {spare} disabled

listen resets
    bind {resets}
    server resetting {resetting}

listen refuses
    bind {refuses}
    retries 1
    option redispatch
    server refusing {refusing}
    server echo {echo}

listen checked
    bind {checked}
    server dying {dying} check inter 100ms fall 1 rise 1
    server echo {echo} check inter 100ms
    server unchecked {echo}
    server spare {spare} check inter 100ms backup weight 7
    server drained {echo} check inter 100ms weight 0

frontend nowhere
    bind {nowhere}
",
        log = lab.log(),
        defaults = lab.defaults(),
        echo = echo.address(),
        dying = dying.address(),
        spare = spare.address(),
        resetting = resetting.address(),
        refusing = refusing.address(),
    ));

    for bytes in [10, 1000, 100_000] {
        let mut peer = Peer::connect(web);
        peer.send(vec![b'x'; bytes]);
        peer.receive_exactly(bytes);
        peer.close();
        lab.syslog.session();
    }
    let mut abort = Peer::connect(web);
    abort.send("x");
    abort.receive_exactly(1);
    abort.reset();
    lab.syslog.session();

    let mut reset = Peer::connect(resets);
    reset.receive_line();
    reset.send("x");
    reset.receive_to_end();
    lab.syslog.session();

    for _ in 0..4 {
        let mut peer = Peer::connect(refuses);
        peer.send("x");
        peer.receive_exactly(1);
        peer.close();
        lab.syslog.session();
    }
    Peer::connect(nowhere).receive_to_end();
    lab.syslog.session();

    dying.die();
    until_metrics(
        &lb,
        "one server is down and the others are checked",
        |metrics| {
            let status = |server, state| {
                metrics.get(
                    "haproxy_server_check_status",
                    &format!("proxy=checked,server={server},state={state}"),
                )
            };
            status("dying", "L4CON") == Some(1.0)
                && ["echo", "spare", "drained"]
                    .into_iter()
                    .all(|server| status(server, "L4OK") == Some(1.0))
        },
    );
    for _ in 0..2 {
        let mut peer = Peer::connect(checked);
        peer.send("x");
        peer.receive_exactly(1);
        peer.close();
        lab.syslog.session();
    }
    let held = Peer::connect(web);
    until_metrics(&lb, "all but the held session are gone", |metrics| {
        let current = |kind: &str, proxy: &str| {
            metrics.value(
                &format!("haproxy_{kind}_current_sessions"),
                &format!("proxy={proxy}"),
            )
        };
        current("frontend", "web") == 1.0
            && current("backend", "echoes") == 1.0
            && ["resets", "refuses", "checked"]
                .into_iter()
                .all(|proxy| current("backend", proxy) == 0.0)
    });
    let metrics = lb.metrics();
    drop(held);
    metrics
}

/// NaN is HAProxy's word for "none", so here it equals itself.
fn is_equal(one: f64, other: f64) -> bool {
    one == other || (one.is_nan() && other.is_nan())
}

/// The series of HAProxy's own names, without those of the section that exports them.
fn comparable(metrics: &Metrics) -> impl Iterator<Item = (&Series, &f64)> {
    metrics.series.iter().filter(|(series, _)| {
        series.name.starts_with("haproxy_")
            && series
                .labels
                .get("proxy")
                .is_none_or(|proxy| proxy != "exporter")
    })
}

#[test]
fn names_types_labels_and_values_are_haproxys() {
    let Some(Answers { haproxy, evenkeel }) = both("metrics", traffic) else {
        return;
    };

    let missing: Vec<_> = EXPECTED
        .iter()
        .filter(|name| !evenkeel.names().contains(**name))
        .collect();
    assert!(missing.is_empty(), "missing: {missing:#?}");

    let mut wrong = Vec::new();
    for name in evenkeel
        .names()
        .into_iter()
        .filter(|name| name.starts_with("haproxy_"))
    {
        if !haproxy.names().contains(name) {
            wrong.push(format!("{name}: HAProxy has no such metric"));
        }
        if evenkeel.kinds.get(name) != haproxy.kinds.get(name) {
            wrong.push(format!(
                "{name}: TYPE {:?}, not {:?}",
                evenkeel.kinds.get(name),
                haproxy.kinds.get(name)
            ));
        }
        if !evenkeel.helped.contains(name) {
            wrong.push(format!("{name}: no HELP"));
        }
    }
    let shared: BTreeSet<&str> = evenkeel
        .names()
        .intersection(&haproxy.names())
        .copied()
        .collect();
    for (series, value) in comparable(&evenkeel) {
        match haproxy.series.get(series) {
            // The versions differ, and so do their labels.
            _ if series.name == "haproxy_process_build_info" => {}
            None => wrong.push(format!("{series:?}: HAProxy has no such series")),
            Some(theirs) if !is_volatile(&series.name) && !is_equal(*theirs, *value) => {
                wrong.push(format!("{series:?}: {value}, HAProxy {theirs}"));
            }
            Some(_) => {}
        }
    }
    for (series, value) in comparable(&haproxy) {
        // HAProxy lists every state it knows; only those that hold must be here too.
        let is_state = series.labels.contains_key("state") && *value == 0.0;
        if shared.contains(series.name.as_str())
            && series.name != "haproxy_process_build_info"
            && !is_state
            && !evenkeel.series.contains_key(series)
        {
            wrong.push(format!("{series:?}: missing; HAProxy has {value}"));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} differences:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}
