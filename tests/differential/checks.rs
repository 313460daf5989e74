//! Each kind of check against each kind of server: status, code and words.

use std::io::Write;

use crate::compare::same;
use crate::support::checked::{CHECKS, config, servers};
use crate::support::{Lab, Peer};

/// The first line about each check, with its duration cut out.
fn verdicts(lab: &Lab) -> Vec<String> {
    let servers = servers(lab);
    let _lb = lab.start(&config(lab, &servers, ""));
    let mut seen = Vec::new();
    for (name, _, _) in CHECKS {
        for (server, _) in &servers {
            let begins = format!("Health check for server {name}/{server} ");
            let text = lab.syslog.containing(&begins).text;
            let (head, tail) = text.split_once(", check duration: ").unwrap();
            let (_, tail) = tail.split_once("ms").unwrap();
            seen.push(format!("{head}{tail}"));
        }
    }
    seen
}

#[test]
fn every_check_of_every_server() {
    let seen = same("check matrix", verdicts);
    if let Some(seen) = seen {
        assert_eq!(seen.len(), 99);
        for wanted in [
            "kubeadm/tls-200 succeeded, reason: Layer7 check passed, code: 200",
            "kubespray/tls-500 failed, reason: Layer7 wrong status, code: 500, info: \"X\"",
            "tcpcheck_ssl/tls-silent succeeded, reason: Layer6 check passed",
            "kubeadm/plain-silent failed, reason: Layer6 timeout",
            "tcpcheck_plain/plain-silent succeeded, reason: Layer4 check passed",
        ] {
            assert!(
                seen.iter().any(|line| line.contains(wanted)),
                "{wanted}: {seen:#?}"
            );
        }
    }
}

#[test]
fn agents() {
    for said in [
        "up\n",
        "down # why\n",
        "drain\n",
        "maint\n",
        "stopped\n",
        "hello down\n",
    ] {
        same(&format!("agent says {said:?}"), |lab| {
            let agent = lab.serving(move |peer: Peer| {
                let _ = peer.into_stream().write_all(said.as_bytes());
            });
            let [a, b] = lab.origins(["a", "b"]);
            let _lb = lab.start(&format!(
                "{preamble}
listen api
    bind {front}
    option log-health-checks
    server a {a} agent-check agent-inter 100ms agent-port {port}
    server b {b}
",
                preamble = lab.preamble(),
                front = lab.address(),
                a = a.address(),
                b = b.address(),
                port = agent.address().port(),
            ));
            let text = lab.syslog.containing("api/a").text;
            let (head, tail) = text.split_once("check duration: ").unwrap_or((&text, ""));
            let tail = tail.split_once("ms").map_or("", |(_, tail)| tail);
            format!("{head}{tail}")
        });
    }
}
