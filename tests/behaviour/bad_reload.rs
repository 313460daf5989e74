//! A reload of a file that cannot be loaded or bound leaves everything as it was, and says so.

use std::net::{SocketAddr, TcpListener};

use crate::support::balancer::Launch;
use crate::support::lab::visit;
use crate::support::{Lab, Peer};

fn config(lab: &Lab, front: SocketAddr, server: SocketAddr) -> String {
    format!(
        "{}\nlisten api\n    bind {front}\n    server s1 {server}\n",
        lab.preamble()
    )
}

/// Reloads a bad configuration; the old one must go on as if nothing had been.
fn assert_refused(bad: impl Fn(&Lab, SocketAddr, SocketAddr) -> String, says: &str) {
    let lab = Lab::new();
    let origin = lab.origin("server");
    let front = lab.address();
    let mut lb = lab.start(&config(&lab, front, origin.address()));
    let mut held = Peer::connect(front);
    assert_eq!(held.receive_line(), "server");

    lb.reload(&bad(&lab, front, origin.address()));

    lb.says(says);
    assert!(lb.is_running());
    assert_eq!(visit(front), "server");
    assert!(!held.has_failed());
    let metrics = lb.metrics();
    assert_eq!(metrics.value("evenkeel_failed_reloads_total", ""), 1.0);
    assert_eq!(metrics.value("evenkeel_reloads_total", ""), 0.0);

    // And a good one is still taken.
    lb.reload(&config(&lab, front, origin.address()));
    assert_eq!(visit(front), "server");
    assert_eq!(lb.metrics().value("evenkeel_reloads_total", ""), 1.0);
}

#[test]
fn a_file_with_a_mistake() {
    assert_refused(
        |lab, front, server| config(lab, front, server).replace("bind ", "bnid "),
        "unknown keyword 'bnid'",
    );
}

#[test]
fn an_empty_value() {
    assert_refused(
        |lab, front, server| {
            config(lab, front, server).replace("timeout connect 2s", "timeout connect")
        },
        "lb.cfg:",
    );
}

#[test]
fn nothing_to_serve() {
    let empty = |_: &Lab, _, _| String::new();
    assert_refused(empty, "no enabled listener found");
    let disabled = |lab: &Lab, front, server| config(lab, front, server) + "    disabled\n";
    assert_refused(disabled, "no enabled listener found");
}

#[test]
fn a_warning_with_dw() {
    let lab = Lab::new();
    let origin = lab.origin("server");
    let front = lab.address();
    let good = config(&lab, front, origin.address());
    let strict = Launch {
        arguments: vec!["-dW".to_owned()],
        ..Launch::default()
    };
    let lb = lab.launch(&good, &strict);

    lb.reload(&good.replace("timeout connect 2s", ""));

    lb.says("-dW makes them errors");
    let failed = lb.metrics().value("evenkeel_failed_reloads_total", "");
    assert_eq!(failed, 1.0);
    assert_eq!(visit(front), "server");
    lb.reload(&good);
    assert_eq!(lb.metrics().value("evenkeel_reloads_total", ""), 1.0);
}

#[test]
fn an_address_that_is_taken() {
    let taken = TcpListener::bind((crate::support::loopback::unique_ip(), 0)).unwrap();
    let address = taken.local_addr().unwrap();
    assert_refused(
        move |lab, front, server| {
            let more = format!("    bind {address}\n    server");
            config(lab, front, server).replace("    server", &more)
        },
        "the port is taken by",
    );
}

#[test]
fn a_descriptor_that_the_start_did_not_name() {
    assert_refused(
        |lab, front, server| {
            config(lab, front, server).replace("    server", "    bind fd@9\n    server")
        },
        "fd@9 was not named when the process started; restart it",
    );
}
