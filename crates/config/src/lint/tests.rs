//! Every rule: the bad line fires it, and the file that has each fix is silent.

use super::*;
use crate::{Environment, load};

/// What no rule has anything to say about.
const GOOD: &str = "\
global
    log 127.0.0.1:514 local0
    hard-stop-after 30m
defaults
    mode tcp
    log global
    option dontlognull
    option tcplog
    option tcpka
    option redispatch 1
    timeout connect 1s
    timeout check 1s
    timeout client 10m
    timeout server 10m
frontend api
    bind 10.0.1.10:6443
    default_backend masters
frontend page
    mode http
    bind 127.0.0.1:8404
    stats enable
    timeout http-request 5s
backend masters
    balance leastconn
    option httpchk GET /readyz?exclude=etcd&exclude=etcd-readiness
    default-server check check-ssl verify none inter 1s fastinter 500ms fall 2 on-marked-down shutdown-sessions
    server m1 10.0.1.11:6443
    server m2 10.0.1.12:6443
    server m3 10.0.1.13:6443
";

fn findings(name: &str, text: &str) -> Vec<Finding> {
    let source = Source {
        name: name.to_owned(),
        text: text.as_bytes().to_vec(),
    };
    let loaded = load(
        std::slice::from_ref(&source),
        &Environment {
            variable: &|_| None,
            lookup: &|_| Ok(vec!["192.0.2.1".parse().unwrap()]),
            read: &|_| Err(std::io::ErrorKind::NotFound.into()),
            hostname: "lb",
            allow_unresolved_servers: false,
        },
    );
    let loaded = loaded.unwrap_or_else(|problems| panic!("{text}\n{problems:?}"));
    let is_local = |ip: std::net::IpAddr| ip.to_string() == "10.0.1.10" || ip.is_loopback();
    lint(&[source], &loaded.config, &is_local)
}

#[test]
fn the_file_with_all_fixes_is_silent() {
    assert_eq!(findings("lb.cfg", GOOD), []);
}

/// Rule, what is replaced, by what, and the line and column that are then named.
const BAD: &[(&str, &str, &str, (u32, u32))] = &[
    (
        "watch-timeout",
        "timeout server 10m",
        "timeout server 30s",
        (14, 5),
    ),
    (
        "session-timeout",
        "timeout client 10m",
        "timeout client 50s",
        (13, 5),
    ),
    ("no-redispatch", "    option redispatch 1\n", "\n", (23, 1)),
    (
        "blind-check",
        "    option httpchk GET /readyz?exclude=etcd&exclude=etcd-readiness\n",
        "    option tcp-check\n",
        (27, 5),
    ),
    (
        "http-to-tls",
        "check check-ssl verify none",
        "check",
        (27, 5),
    ),
    (
        "ssl-hello",
        "option httpchk GET /readyz?exclude=etcd&exclude=etcd-readiness",
        "option ssl-hello-chk",
        (25, 12),
    ),
    (
        "healthz",
        "/readyz?exclude=etcd&exclude=etcd-readiness",
        "/healthz",
        (25, 24),
    ),
    (
        "etcd-check",
        "?exclude=etcd&exclude=etcd-readiness",
        "",
        (25, 5),
    ),
    (
        "no-check",
        "server m2 10.0.1.12:6443",
        "server m2 10.0.1.12:6443 no-check",
        (28, 5),
    ),
    (
        "keeps-sessions",
        " on-marked-down shutdown-sessions",
        "",
        (27, 5),
    ),
    (
        "slow-detection",
        "inter 1s fastinter 500ms fall 2",
        "inter 2s",
        (27, 5),
    ),
    (
        "slow-connect",
        "timeout connect 1s",
        "timeout connect 10s",
        (11, 5),
    ),
    ("server-maxconn", "fall 2", "fall 2 maxconn 1000", (27, 5)),
    (
        "few-clients",
        "    bind 10.0.1.10:6443\n",
        "    bind 10.0.1.10:6443\n    maxconn 100\n",
        (17, 5),
    ),
    (
        "roundrobin",
        "balance leastconn",
        "balance roundrobin",
        (24, 5),
    ),
    ("no-keepalive", "    option tcpka\n", "\n", (23, 1)),
    (
        "even-masters",
        "    server m3 10.0.1.13:6443\n",
        "",
        (23, 1),
    ),
    ("no-log", "    log global\n", "\n", (23, 1)),
    ("probes-logged", "    option dontlognull\n", "\n", (15, 1)),
    (
        "reasons-lost",
        "balance leastconn",
        "balance leastconn\n    option log-health-checks",
        (25, 5),
    ),
    (
        "chroot-log",
        "    log 127.0.0.1:514 local0\n",
        "    log /dev/log local0\n    chroot /var/lib/haproxy\n",
        (2, 5),
    ),
    (
        "wildcard-bind",
        "bind 10.0.1.10:6443",
        "bind *:6443",
        (16, 10),
    ),
    (
        "vip-not-here",
        "bind 10.0.1.10:6443",
        "bind 10.0.1.99:6443",
        (16, 10),
    ),
    ("open-stats", "bind 127.0.0.1:8404", "bind *:8404", (21, 5)),
    ("names-at-start", "10.0.1.11:6443", "master1:6443", (27, 5)),
    (
        "no-hard-stop",
        "    hard-stop-after 30m\ndefaults\n",
        "defaults\n    timeout tunnel 24h\n",
        (1, 1),
    ),
    (
        "slow-return",
        "fastinter 500ms",
        "downinter 20s fastinter 500ms",
        (27, 5),
    ),
    (
        "no-retries",
        "    option redispatch 1\n",
        "    retries 0\n",
        (10, 5),
    ),
    (
        "proxy-header",
        "10.0.1.11:6443",
        "10.0.1.11:6443 send-proxy",
        (27, 5),
    ),
    ("own-address", "10.0.1.11:6443", "10.0.1.10:6443", (27, 5)),
    (
        "balance-source",
        "balance leastconn",
        "balance source",
        (24, 5),
    ),
];

#[test]
fn each_rule_names_the_line_that_hurts() {
    for &(rule, from, to, (line, column)) in BAD {
        assert!(GOOD.contains(from), "{rule}: {from}");
        let found = findings("lb.cfg", &GOOD.replacen(from, to, 1));
        let place = found.iter().find(|finding| finding.rule == rule);
        let place = place.map(|finding| (finding.place.line, finding.place.column));
        assert_eq!(place, Some((line, column)), "{rule}: {found:?}");
    }
    let tested: Vec<&str> = BAD.iter().map(|&(rule, ..)| rule).collect();
    let all: Vec<&str> = rules::RULES.iter().map(|rule| rule.name).collect();
    assert_eq!(all.len(), tested.len(), "every rule has its bad line");
    assert!(all.iter().all(|rule| tested.contains(rule)));
}

#[test]
fn what_holds_for_several_lines_is_said_once() {
    let found = findings(
        "lb.cfg",
        &GOOD.replace(" on-marked-down shutdown-sessions", ""),
    );
    assert_eq!(found.len(), 3);
    assert_eq!(
        lines_of(&found),
        [
            "lb.cfg:27:5: connections to server 'm1' stay open when it is DOWN; add \
             'on-marked-down shutdown-sessions' to the server [keeps-sessions] (and lines 28, 29)"
        ]
    );
    // What differs in more than a name stays apart.
    let found = findings("lb.cfg", &GOOD.replace(" 10m", " 30s"));
    assert_eq!(lines_of(&found).len(), 2, "{found:?}");
}

/// Where the servers that all fail stay in use, a pause of etcd cuts nobody off.
#[test]
fn fail_open_bears_a_pause_of_etcd() {
    let asks = GOOD.replace("?exclude=etcd&exclude=etcd-readiness", "");
    let rules = |text: &str| -> Vec<&str> {
        let found = findings("lb.cfg", text);
        found.iter().map(|finding| finding.rule).collect()
    };
    assert_eq!(rules(&asks), ["etcd-check"]);
    assert_eq!(
        rules(&asks.replace("balance leastconn", "balance leastconn\n    fail-open")),
        [""; 0]
    );
    assert_eq!(rules(&asks.replace("/readyz", "/livez")), ["etcd-check"]);
}

/// Ten minutes of idleness are no pile of processes.
#[test]
fn reloads_leave_processes_behind_where_sessions_are_idle_for_long() {
    let rules = |tunnel: &str| -> Vec<&str> {
        let found = findings(
            "lb.cfg",
            &GOOD.replace("    hard-stop-after 30m\ndefaults\n", tunnel),
        );
        found.iter().map(|finding| finding.rule).collect()
    };
    assert_eq!(rules("defaults\n"), [""; 0]);
    assert_eq!(rules("defaults\n    timeout tunnel 1h\n"), [""; 0]);
}

#[test]
fn a_toml_file_is_looked_at_too() {
    let found = findings(
        "lb.toml",
        "[frontend.api]\nbind = \"10.0.1.10:6443\"\nbackend = \"masters\"\n\
         [backend.masters]\nbalance = \"roundrobin\"\n\
         servers = { m1 = \"10.0.1.11:6443\", m2 = \"10.0.1.12:6443\" }\n",
    );
    let rules: Vec<&str> = found.iter().map(|finding| finding.rule).collect();
    for expected in ["blind-check", "even-masters", "roundrobin"] {
        assert!(rules.contains(&expected), "{expected}: {rules:?}");
    }
    assert!(!rules.contains(&"keeps-sessions"), "{found:?}");
}

#[test]
fn docs_lint_md_is_printed_from_this_table() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/lint.md");
    if std::env::var_os("EVENKEEL_BLESS").is_some() {
        std::fs::write(path, lint_markdown()).unwrap();
    }
    let text = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        text == lint_markdown(),
        "docs/lint.md differs; write it anew with EVENKEEL_BLESS=1"
    );
}
