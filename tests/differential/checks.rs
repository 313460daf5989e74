//! Each kind of check against each kind of server: status, code and words.

use std::io::Write;

use crate::compare::same;
use crate::support::tls::{Tls, request};
use crate::support::{Lab, Origin, Peer};

/// Each kind of check: its name, the backend's lines, the server's options.
const CHECKS: [(&str, &str, &str); 9] = [
    (
        "kubespray",
        "option httpchk GET /healthz",
        "check check-ssl verify none",
    ),
    (
        "kubeadm",
        "option httpchk\n    http-check connect ssl\n    http-check send meth GET uri /healthz\n    \
         http-check expect status 200",
        "check verify none",
    ),
    (
        "httpchk_noarg",
        "option httpchk",
        "check check-ssl verify none",
    ),
    ("plain_http", "option httpchk GET /healthz", "check"),
    (
        "tcpcheck_ssl",
        "option tcp-check",
        "check check-ssl verify none",
    ),
    ("tcpcheck_plain", "option tcp-check", "check"),
    (
        "tcpexp",
        "option tcp-check\n    tcp-check send PING\\r\\n comment ask\n    tcp-check expect string +PONG comment hope",
        "check",
    ),
    ("redis", "option redis-check", "check"),
    (
        "content",
        "option httpchk GET /\n    http-check expect string ok",
        "check",
    ),
];

/// Each kind of server.
fn servers(lab: &Lab) -> Vec<(&'static str, Origin)> {
    let tls = Tls::new();
    let over_tls = |answer: Option<&'static str>, ends: bool| {
        let tls = tls.clone();
        lab.serving(move |peer| {
            let Ok(mut stream) = tls.accept(peer.into_stream()) else {
                return;
            };
            request(&mut stream);
            if let Some(answer) = answer {
                let _ = stream.write_all(answer.as_bytes());
            }
            if ends {
                stream.conn.send_close_notify();
                let _ = stream.flush();
            } else {
                request(&mut stream);
            }
        })
    };
    let plainly = |answer: &'static str, ends: bool| {
        lab.serving(move |peer| {
            let mut stream = peer.into_stream();
            // What is sent first, whatever it is.
            let _ = std::io::Read::read(&mut stream, &mut [0; 4096]);
            let _ = stream.write_all(answer.as_bytes());
            if !ends {
                request(&mut stream);
            }
        })
    };
    vec![
        ("tls-200", over_tls(Some("HTTP/1.0 200 OK\r\n\r\nok"), true)),
        ("tls-401", over_tls(Some("HTTP/1.0 401 X\r\n\r\n"), true)),
        ("tls-500", over_tls(Some("HTTP/1.0 500 X\r\n\r\n"), true)),
        ("tls-silent", over_tls(None, false)),
        ("tls-close", over_tls(None, true)),
        ("plain-200", plainly("HTTP/1.0 200 OK\r\n\r\nok", true)),
        (
            "plain-500",
            plainly("HTTP/1.1 500 Not Good\r\nContent-Length: 2\r\n\r\nko", true),
        ),
        ("plain-pong", plainly("+PONG\r\n", false)),
        ("plain-close", plainly("", true)),
        ("plain-silent", plainly("", false)),
        ("refused", lab.dead_origin("refused")),
    ]
}

/// The first line about each check, with its duration cut out.
fn verdicts(lab: &Lab) -> Vec<String> {
    let servers = servers(lab);
    let mut config = format!(
        "{}\nfrontend fe\n    bind {}\n",
        lab.preamble(),
        lab.address()
    );
    for (name, lines, options) in CHECKS {
        config.push_str(&format!(
            "backend {name}\n    timeout check 1s\n    option log-health-checks\n    {lines}\n"
        ));
        for (server, origin) in &servers {
            let address = origin.address();
            config.push_str(&format!(
                "    server {server} {address} {options} inter 20s\n"
            ));
        }
    }
    // Spread over twenty seconds, they would take as long.
    let config = config.replacen("global\n", "global\n    max-spread-checks 1s\n", 1);
    let _lb = lab.start(&config);
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
