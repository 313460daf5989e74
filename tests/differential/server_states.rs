//! What commands, checks and tracking do to servers: every line, its level, and the metrics after.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::compare::same;
use crate::support::balancer::until_metrics;
use crate::support::{Balancer, Lab};

/// Asks the stats socket; the answer without its last line ends.
fn command(socket: SocketAddr, words: &str) -> String {
    let mut stream = TcpStream::connect(socket).unwrap();
    stream.write_all(format!("{words}\n").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.trim_end().to_owned()
}

/// A backend with these servers, and where commands are taken.
fn start(lab: &Lab, servers: &str) -> (Balancer, SocketAddr) {
    let socket = lab.address();
    let lb = lab.start(&format!(
        "
global
    {log}
    stats socket ipv4@{socket} level admin
{defaults}
frontend fe
    bind {front}
    default_backend be
backend be
    {servers}
",
        log = lab.log(),
        defaults = lab.defaults(),
        front = lab.address()
    ));
    (lb, socket)
}

/// What metrics tell of each server: its state, weight, times down, and the backend's servers.
fn facts(lb: &Balancer, servers: &[&str]) -> Vec<(String, f64)> {
    let metrics = lb.metrics();
    let mut facts = vec![(
        "active".to_owned(),
        metrics.value("haproxy_backend_active_servers", "proxy=be"),
    )];
    for server in servers {
        for state in ["UP", "DOWN", "MAINT", "DRAIN", "NOLB"] {
            let labels = format!("proxy=be,server={server},state={state}");
            let value = metrics.value("haproxy_server_status", &labels);
            facts.push((format!("{server} {state}"), value));
        }
        let labels = format!("proxy=be,server={server}");
        let weight = metrics.value("haproxy_server_weight", &labels);
        facts.push((format!("{server} weight"), weight));
    }
    facts
}

#[test]
fn commands_change_servers_and_those_that_track_them() {
    let seen = same("commands", |lab| {
        let [a, b] = lab.origins(["a", "b"]);
        let (a, b) = (a.address(), b.address());
        // Checks far apart: commands alone change anything.
        let (lb, socket) = start(
            lab,
            &format!(
                "server a {a} check inter 1h\n    server t {b} track a\n    server b {b} weight 10\n    \
                 server spare {b} backup"
            ),
        );
        until_metrics(&lb, "checked", |metrics| {
            let labels = "proxy=be,server=a,state=L4OK";
            metrics.get("haproxy_server_check_status", labels) == Some(1.0)
        });
        // A command, and how many lines it brings.
        let steps: [(&str, usize); 24] = [
            ("set server be/a state drain", 2),
            ("set server be/a state maint", 2),
            ("set server be/a state ready", 2),
            ("set server be/a state maint", 2),
            ("set server be/t state maint", 0),
            ("set server be/t state ready", 1),
            ("set server be/a state drain", 4),
            ("set server be/t state drain", 1),
            ("set server be/a state ready", 2),
            ("set server be/t state ready", 1),
            ("set server be/a health down", 2),
            ("set server be/a state drain", 2),
            ("set server be/a state maint", 2),
            ("set server be/a state ready", 2),
            ("set server be/a health stopping", 2),
            ("set server be/a health up", 2),
            ("set server be/b health down", 1),
            ("set server be/b health up", 1),
            ("disable server be/spare", 1),
            ("disable server be/b", 1),
            ("set server be/a state drain", 3),
            ("enable server be/spare", 1),
            ("set weight be/a 0", 0),
            ("set weight be/b 50%", 0),
        ];
        let mut seen = Vec::new();
        for (words, count) in steps {
            let answer = command(socket, words);
            let lines: Vec<(u8, String)> = (0..count)
                .map(|_| {
                    let message = lab.syslog.event();
                    (message.level, message.text)
                })
                .collect();
            seen.push((words, answer, lines, facts(&lb, &["a", "t", "b", "spare"])));
        }
        seen
    });
    if let Some(seen) = seen {
        assert!(seen[0].2[1].1.contains("via be/a"), "{:?}", seen[0]);
    }
}
