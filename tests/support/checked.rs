//! Each kind of check, and each kind of server that it may find.

use std::io::Write;

use super::tls::{Tls, request};
use super::{Lab, Origin};

/// Each kind of check: its name, the backend's lines, the server's options.
pub(crate) const CHECKS: [(&str, &str, &str); 9] = [
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

/// Each kind of server that a check may find, and its name.
pub(crate) fn servers(lab: &Lab) -> Vec<(&'static str, Origin)> {
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

/// Every check of each of `servers`, with further options of theirs.
pub(crate) fn config(lab: &Lab, servers: &[(&str, Origin)], further: &str) -> String {
    let mut config = format!(
        "{}\nfrontend fe\n    bind {}\n",
        lab.preamble(),
        lab.address()
    );
    for (name, lines, options) in CHECKS {
        config.push_str(&format!(
            "backend {name}\n    timeout check 1s\n    option log-health-checks\n    {lines}\n"
        ));
        for (server, origin) in servers {
            let address = origin.address();
            config.push_str(&format!(
                "    server {server} {address} {options} inter 20s {further}\n"
            ));
        }
    }
    // Spread over twenty seconds, they would take as long.
    config.replacen("global\n", "global\n    max-spread-checks 1s\n", 1)
}
