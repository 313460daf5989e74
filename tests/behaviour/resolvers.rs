//! Names that are followed while the process runs.

use std::net::IpAddr;

use crate::support::balancer::{temporary_directory, until_metrics};
use crate::support::cli::ask;
use crate::support::dns::{Answer, Dns};
use crate::support::lab::{is_up, visit};
use crate::support::loopback::unique_ip;
use crate::support::{Lab, Origin, Peer, until};

fn config(lab: &Lab, dns: &Dns, front: std::net::SocketAddr, port: u16, more: &str) -> String {
    format!(
        "{preamble}
resolvers res
    nameserver ns1 {dns}
    resolve_retries 1
    timeout resolve 50ms
    timeout retry 100ms
    hold nx 200ms
    hold timeout 60s
listen api
    bind {front}
    server s api.test:{port} check inter 50ms resolvers res init-addr none {more}
",
        preamble = lab.preamble(),
        dns = dns.address(),
    )
}

/// Two servers at one port of different addresses.
fn pair() -> (Origin, Origin, [IpAddr; 2], u16) {
    loop {
        let ips = [unique_ip(), unique_ip()];
        let first = Origin::named(ips[0], "first");
        let port = first.address().port();
        if let Some(second) = Origin::named_at((ips[1], port).into(), "second") {
            return (first, second, ips, port);
        }
    }
}

#[test]
fn an_answer_that_changes_moves_the_server_and_nobody_else() {
    let lab = Lab::new();
    let dns = Dns::start(lab.ip());
    let (_first, _second, ips, port) = pair();
    let front = lab.address();
    let lb = lab.start(&config(&lab, &dns, front, port, ""));
    // Started without an address, and says so.
    until_metrics(&lb, "it is in maintenance", |metrics| {
        let labels = "proxy=api,server=s,state=MAINT";
        metrics.value("haproxy_server_status", labels) == 1.0
    });
    assert_eq!(visit(front), "");
    dns.set_addresses("api.test", &ips[..1]);
    until_metrics(&lb, "it is there", |metrics| is_up(metrics, "api", "s"));
    let mut stays = Peer::connect(front);
    assert_eq!(stays.receive_line(), "first");

    dns.set_addresses("api.test", &ips[1..]);
    let moved = format!(
        "api/s: IP changed from '{}' to '{}' by 'res/ns1'.",
        ips[0], ips[1]
    );
    lab.syslog.containing(&moved);
    until("newcomers go there", || {
        (visit(front) == "second").then_some(())
    });
    // Who is there stays there, and checks go along.
    assert!(stays.is_quiet_for(std::time::Duration::from_millis(200)));
    until_metrics(&lb, "it is checked", |metrics| is_up(metrics, "api", "s"));
    stays.send("x");
}

#[test]
fn a_name_that_is_gone_takes_its_server_out_until_it_is_back() {
    let lab = Lab::new();
    let dns = Dns::start(lab.ip());
    let origin = lab.origin("a");
    let (ip, port) = (origin.address().ip(), origin.address().port());
    let front = lab.address();
    dns.set_addresses("api.test", &[ip]);
    let _lb = lab.start(&config(&lab, &dns, front, port, ""));
    lab.syslog
        .containing("Server api/s administratively READY thanks to valid DNS answer.");
    assert_eq!(visit(front), "a");
    // No answer at all is held against nobody for a minute here.
    dns.set("api.test", Answer::Silence);
    dns.forget("api.test");
    lab.syslog
        .containing("Server api/s is going DOWN for maintenance (DNS NX status).");
    assert_eq!(visit(front), "");
    let before = lab.syslog.all().len();
    dns.set_addresses("api.test", &[ip]);
    crate::support::until("it is back", || {
        let all = lab.syslog.all();
        let back = |text: &str| text.starts_with("Server api/s ('api.test') is UP/READY");
        all[before..]
            .iter()
            .any(|message| back(&message.text))
            .then_some(())
    });
    assert_eq!(visit(front), "a");
}

#[test]
fn a_reload_keeps_the_address_although_nobody_answers_meanwhile() {
    let lab = Lab::new();
    let dns = Dns::start(lab.ip());
    let origin = lab.origin("a");
    let (ip, port) = (origin.address().ip(), origin.address().port());
    let front = lab.address();
    dns.set_addresses("api.test", &[ip]);
    let lb = lab.start(&config(&lab, &dns, front, port, ""));
    lab.syslog.containing("thanks to valid DNS answer");
    dns.set("api.test", Answer::Silence);
    lb.reload(&config(&lab, &dns, front, port, "weight 7"));
    assert_eq!(visit(front), "a");
    let metrics = lb.metrics();
    assert_eq!(
        metrics.value("haproxy_server_weight", "proxy=api,server=s"),
        7.0
    );
    assert!(is_up(&metrics, "api", "s"));
    let all = lab.syslog.all();
    assert!(
        all.iter()
            .all(|message| !message.text.contains("for maintenance")),
        "{all:#?}"
    );
}

#[test]
fn a_command_has_another_name_followed() {
    let lab = Lab::new();
    let dns = Dns::start(lab.ip());
    let (_first, _second, ips, port) = pair();
    let front = lab.address();
    let socket = temporary_directory().join("cli");
    let config = config(&lab, &dns, front, port, "").replacen(
        "global\n",
        &format!(
            "global\n    stats socket {} level admin\n",
            socket.display()
        ),
        1,
    );
    dns.set_addresses("api.test", &ips[..1]);
    dns.set_addresses("other.test", &ips[1..]);
    let lb = lab.start(&config);
    until_metrics(&lb, "it is there", |metrics| is_up(metrics, "api", "s"));
    assert_eq!(visit(front), "first");
    assert_eq!(
        ask(&socket, "set server api/s fqdn other.test"),
        "api/s changed its FQDN from api.test to other.test by 'stats socket command'\n\n"
    );
    until("it is where that name is", || {
        (visit(front) == "second").then_some(())
    });
}
