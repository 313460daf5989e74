//! Checks that ask more of a server than to accept, agents, and what else decides about health.

use std::io::Write;

use crate::support::balancer::until_metrics;
use crate::support::lab::is_up;
use crate::support::tls::{ApiServer, Tls};
use crate::support::{Lab, Peer, until};

/// The `defaults` and backends of files that people put in front of a control plane.
const KUBERNETES: [(&str, &str, &str); 3] = [
    (
        "kubeadm",
        "option httpchk
    http-check connect ssl
    http-check send meth GET uri /healthz
    http-check expect status 200",
        "check verify none",
    ),
    (
        "kubespray",
        "option httpchk GET /healthz",
        "check check-ssl verify none",
    ),
    (
        "kind",
        "option httpchk GET /readyz
    http-check expect status 200",
        "check check-ssl verify none",
    ),
];

#[test]
fn files_of_control_planes_really_ask_over_tls() {
    for (name, rules, options) in KUBERNETES {
        let lab = Lab::new();
        let tls = Tls::new();
        let [a, b] = [(); 2].map(|()| ApiServer::start(&lab, &tls));
        let lb = lab.start(&format!(
            "{preamble}
frontend fe
    bind {front}
    default_backend {name}
backend {name}
    {rules}
    default-server inter 100ms fall 2 rise 2
    server a {a} {options}
    server b {b} {options}
",
            preamble = lab.preamble(),
            front = lab.address(),
            a = a.origin.address(),
            b = b.origin.address(),
        ));
        let path = if name == "kind" {
            "/readyz"
        } else {
            "/healthz"
        };
        let request = format!("GET {path} HTTP/1.0\r\n\r\n");
        until("both are asked", || {
            let is_asked = |server: &ApiServer| server.asked.lock().unwrap().contains(&request);
            (is_asked(&a) && is_asked(&b)).then_some(())
        });
        a.answer(500);
        let down = lab.syslog.containing(&format!("Server {name}/a is DOWN"));
        assert!(
            down.text
                .contains("reason: Layer7 wrong status, code: 500, info: \"X\", check duration: "),
            "{down:?}"
        );
        a.answer(200);
        until_metrics(&lb, "it is up again", |metrics| is_up(metrics, name, "a"));
        let up = lab.syslog.containing(&format!("Server {name}/a is UP"));
        assert!(up.text.contains("Layer7 check passed, code: 200"), "{up:?}");
    }
}

#[test]
fn a_certificate_is_verified_where_a_ca_is_named() {
    let lab = Lab::new();
    let (tls, other) = (Tls::new(), Tls::new());
    let [right, wrong] = [&tls, &other].map(|tls| ApiServer::start(&lab, tls));
    let ca = std::env::temp_dir().join(format!("evenkeel-ca-{}-{}", std::process::id(), lab.ip()));
    std::fs::write(&ca, &tls.pem).unwrap();
    let verified = format!("check inter 100ms check-ssl ca-file {}", ca.display());
    let _lb = lab.start(&format!(
        "{preamble}
listen api
    bind {front}
    option httpchk
    option log-health-checks
    server right {right} {verified} check-sni localhost
    server name {right} {verified} verifyhost elsewhere
    server wrong {wrong} {verified}
",
        preamble = lab.preamble(),
        front = lab.address(),
        right = right.origin.address(),
        wrong = wrong.origin.address(),
    ));
    lab.syslog
        .containing("Health check for server api/right succeeded, reason: Layer7 check passed");
    lab.syslog.containing(
        "Health check for server api/name failed, reason: Layer6 invalid response, info: \"Server \
         presented an SSL certificate different from the configured one\"",
    );
    lab.syslog.containing(
        "Health check for server api/wrong failed, reason: Layer6 invalid response, info: \"SSL \
         handshake failure\"",
    );
    std::fs::remove_file(ca).unwrap();
}

#[test]
fn servers_that_all_fail_their_checks_stay_in_use_and_nothing_is_cut() {
    let lab = Lab::new();
    let tls = Tls::new();
    let [mut a, b] = [(); 2].map(|()| ApiServer::start(&lab, &tls));
    let front = lab.address();
    let lb = lab.start(&format!(
        "{preamble}
listen api
    bind {front}
    fail-open
    option httpchk GET /readyz
    default-server inter 100ms fall 2 rise 2 on-marked-down shutdown-sessions
    server a {a} check check-ssl verify none
    server b {b} check check-ssl verify none
",
        preamble = lab.preamble(),
        a = a.origin.address(),
        b = b.origin.address(),
    ));
    until_metrics(&lb, "both have passed", |metrics| {
        ["a", "b"].iter().all(|server| {
            let labels = format!("proxy=api,server={server},state=L7OK");
            metrics.get("haproxy_server_check_status", &labels) == Some(1.0)
        })
    });
    let says = |peer: &mut Peer, text: &str| {
        peer.send(text);
        peer.receive_line() == text.trim_end()
    };
    let mut held: Vec<Peer> = (0..4).map(|_| Peer::connect(front)).collect();
    assert!(held.iter_mut().all(|peer| says(peer, "hold\n")));

    a.answer(500);
    b.answer(500);
    lab.syslog.containing("backend api fails open");
    let open = until_metrics(&lb, "it fails open", |metrics| {
        metrics.get("evenkeel_backend_fail_open", "proxy=api") == Some(1.0)
    });
    assert_eq!(
        open.value("evenkeel_backend_fail_opens_total", "proxy=api"),
        1.0
    );
    for _ in 0..6 {
        assert!(says(&mut Peer::connect(front), "new\n"), "a client failed");
    }
    assert!(held.iter_mut().all(|peer| says(peer, "still\n")), "cut");

    // One refuses connections: it alone goes down.
    a.origin.die();
    let down = lab.syslog.containing("Server api/a is DOWN");
    assert!(down.text.contains("Layer4 connection problem"), "{down:?}");
    for _ in 0..4 {
        assert!(says(&mut Peer::connect(front), "new\n"), "a client failed");
    }
    b.answer(200);
    lab.syslog.containing("backend api no longer fails open");
    assert!(
        !lab.syslog
            .all()
            .iter()
            .any(|message| message.text.contains("Server api/b is DOWN"))
    );
}

#[test]
fn an_agent_drains_and_marks_down() {
    let lab = Lab::new();
    let words = std::sync::Arc::new(std::sync::Mutex::new("up\n"));
    let spoken = words.clone();
    let agent = lab.serving(move |peer| {
        let _ = peer
            .into_stream()
            .write_all(spoken.lock().unwrap().as_bytes());
    });
    let [a, b] = lab.origins(["a", "b"]);
    let _lb = lab.start(&format!(
        "{preamble}
listen api
    bind {front}
    server a {a} agent-check agent-inter 50ms agent-port {port}
    server b {b}
",
        preamble = lab.preamble(),
        front = lab.address(),
        a = a.address(),
        b = b.address(),
        port = agent.address().port(),
    ));
    for (said, expected) in [
        ("drain\n", "Server api/a enters drain state."),
        ("ready\n", "Server api/a is UP (leaving forced drain)."),
        (
            "down # so it is\n",
            "Server api/a is DOWN, reason: Layer7 wrong status, code: 0, info: \"via agent : down \
             (so it is)\"",
        ),
        (
            "up\n",
            "Server api/a is UP, reason: Layer7 check passed, code: 0, info: \"via agent : up\"",
        ),
        ("maint\n", "Server api/a is going DOWN for maintenance."),
    ] {
        *words.lock().unwrap() = said;
        lab.syslog.containing(expected);
    }
}

#[test]
fn failed_connects_of_clients_mark_a_server_down() {
    let lab = Lab::new();
    let (dead, checked) = (lab.dead_origin("dead"), lab.origin("checked"));
    let front = lab.address();
    let _lb = lab.start(&format!(
        "{preamble}
listen api
    bind {front}
    retries 0
    server s {dead} check inter 30s port {port} observe layer4 error-limit 3 on-error mark-down
",
        preamble = lab.preamble(),
        dead = dead.address(),
        port = checked.address().port(),
    ));
    for _ in 0..3 {
        Peer::connect(front).end();
    }
    let down = lab.syslog.containing("Server api/s is DOWN");
    assert!(
        down.text.contains(
            "reason: Health analyze, info: \"Detected 3 consecutive errors, last one was: L4 \
             unsuccessful connection\". 0 active"
        ),
        "{down:?}"
    );
    assert!(!down.text.contains("check duration"), "{down:?}");
}

#[test]
fn complete_handshakes_are_all_that_a_check_over_tls_shows() {
    let lab = Lab::new();
    let tls = Tls::new();
    let broken = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let whole = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counts = (broken.clone(), whole.clone());
    let origin = lab.serving(move |peer| {
        let count = match tls.accept(peer.into_stream()) {
            Ok(_) => &counts.1,
            Err(_) => &counts.0,
        };
        count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    });
    let _lb = lab.start(&format!(
        "{preamble}
listen api
    bind {front}
    option tcp-check
    server s {address} check inter 50ms check-ssl verify none
",
        preamble = lab.preamble(),
        front = lab.address(),
        address = origin.address(),
    ));
    until("twenty checks", || {
        (whole.load(std::sync::atomic::Ordering::SeqCst) >= 20).then_some(())
    });
    assert_eq!(broken.load(std::sync::atomic::Ordering::SeqCst), 0);
}
