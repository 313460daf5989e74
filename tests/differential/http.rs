//! Answers of frontends in mode http: the same status, headers that matter and body, and the same
//! log line.

use crate::compare::same;
use crate::support::Lab;
use crate::support::balancer::temporary_directory;
use crate::support::cli::ask as command;
use crate::support::http::{ask, exchange, status};

/// The first line and what else an automaton may look at, in an order of its own.
fn essence(answer: &str) -> Vec<String> {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let mut lines: Vec<String> = head
        .lines()
        .enumerate()
        .map(|(at, line)| {
            if at == 0 {
                line.to_owned()
            } else {
                line.to_ascii_lowercase()
            }
        })
        .filter(|line| !line.starts_with("connection:"))
        .collect();
    lines[1..].sort_unstable();
    lines.push(body.to_owned());
    lines
}

/// Who logged a request and how it ended, without what differs by nature: bytes, times, and how many
/// are open, among whom a client that just left may still count.
fn line(lab: &Lab, request: &str) -> Vec<String> {
    let text = lab.syslog.containing(request).text;
    let fields: Vec<&str> = text.split(' ').collect();
    let from = fields
        .iter()
        .position(|field| field.starts_with('['))
        .unwrap();
    let keep = [1, 2, 4, 8, 10];
    keep.iter()
        .filter_map(|at| fields.get(from + at).map(|field| (*field).to_owned()))
        .chain([request.to_owned()])
        .collect()
}

#[test]
fn what_frontends_answer_by_themselves() {
    let answers = same("what_frontends_answer_by_themselves", |lab| {
        let mut answers: Vec<(String, Vec<String>)> = Vec::new();
        let (healthy, failing, rules, closed) =
            (lab.address(), lab.address(), lab.address(), lab.address());
        let _lb = lab.start(&format!(
            "
global
    {}
defaults
    mode http
    log global
    option httplog
    timeout connect 2s
    timeout client 5s
    timeout server 5s
    timeout http-request 2s
frontend healthy
    bind {healthy}
    monitor-uri /healthz
frontend failing
    bind {failing}
    monitor-uri /healthz
    monitor fail if {{ nbsrv(none) lt 1 }}
frontend rules
    bind {rules}
    http-request return status 200 content-type text/plain string hello if {{ path /hi }}
    http-request return status 404 if {{ path /gone }}
    http-request return status 204 if {{ path /nothing }}
    http-request deny if {{ path /denied }}
    http-request deny deny_status 429 if {{ path /many }}
    http-request deny deny_status 405 if METH_POST
    http-request redirect location /hi code 301 if {{ path /old }}
    http-request redirect prefix http://other if {{ path_beg /pre }}
    http-request redirect scheme https if {{ path /secure }}
    http-request auth realm Secret if {{ path /secret }}
listen closed
    bind {closed}
    stats enable
    stats uri /stats
    stats realm Stat\\ page
    stats auth admin:secret
backend none
    mode tcp
",
            lab.log()
        ));
        for (address, method, target) in [
            (healthy, "GET", "/healthz"),
            (healthy, "HEAD", "/healthz"),
            (healthy, "GET", "/healthz?x=1"),
            (healthy, "GET", "http://lb/healthz"),
            (healthy, "GET", "/elsewhere"),
            (failing, "GET", "/healthz"),
            (rules, "GET", "/hi"),
            (rules, "GET", "/gone"),
            (rules, "GET", "/nothing"),
            (rules, "GET", "/denied"),
            (rules, "GET", "/many"),
            (rules, "POST", "/x"),
            (rules, "GET", "/old"),
            (rules, "GET", "/pre/a?b=c"),
            (rules, "GET", "/secure?b=c"),
            (rules, "GET", "/secret"),
            (rules, "GET", "/none"),
            (closed, "GET", "/stats"),
            (closed, "GET", "/"),
        ] {
            let answer = ask(address, method, target, "");
            answers.push((format!("{method} {target}"), essence(&answer)));
        }
        for bad in [
            "BAD\r\n\r\n",
            "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost:",
        ] {
            answers.push((bad.to_owned(), essence(&exchange(healthy, bad))));
        }
        let csv = ask(
            closed,
            "GET",
            "/stats;csv",
            "Authorization: Basic YWRtaW46c2VjcmV0\r\n",
        );
        answers.push(("csv".to_owned(), vec![status(&csv).to_string()]));
        let fields = csv
            .lines()
            .find(|line| line.starts_with("# pxname"))
            .unwrap();
        // HAProxy goes on with counters of its own protocols.
        let common = fields.split(",-,").next().unwrap().trim_end_matches(",-,");
        answers.push((
            "fields".to_owned(),
            vec![common.trim_end_matches(',').to_owned()],
        ));
        for request in [
            "GET /elsewhere HTTP/1.1",
            "GET /hi HTTP/1.1",
            "GET /denied HTTP/1.1",
            "GET /old HTTP/1.1",
            "GET /stats;csv HTTP/1.1",
        ] {
            answers.push((format!("line of {request}"), line(lab, request)));
        }
        answers
    });
    if let Some(answers) = answers {
        assert_eq!(answers[0].1[0], "HTTP/1.1 200 OK");
    }
}

#[test]
fn forms_of_the_statistics_page_change_servers_alike() {
    same("forms_of_the_statistics_page_change_servers_alike", |lab| {
        let socket = temporary_directory().join("cli");
        let (admin, plain) = (lab.address(), lab.address());
        let _lb = lab.start(&format!(
            "
global
    maxconn 1000
    stats socket {socket} level admin
{defaults}
frontend admin
    mode http
    bind {admin}
    stats enable
    stats uri /stats
    stats admin if TRUE
frontend plain
    mode http
    bind {plain}
    stats enable
    stats uri /stats
backend be
    server a 192.0.2.1:1
    server b 192.0.2.1:1 disabled
",
            socket = socket.display(),
            defaults = lab.defaults(),
        ));
        let send = |to, target: &str, form: &str| {
            let length = form.len();
            let answer = exchange(
                to,
                &format!(
                    "POST {target} HTTP/1.1\r\nHost: lb\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{form}"
                ),
            );
            let state = command(&socket, "show servers state be");
            let admin = |line: &str| line.split(' ').nth(6).map(str::to_owned);
            (
                essence(&answer),
                state.lines().map(admin).collect::<Vec<_>>(),
            )
        };
        let mut seen = vec![
            send(plain, "/stats", "s=a&action=drain&b=be"),
            send(admin, "/stats;up?scope=be", "s=a&action=drain&b=be"),
        ];
        for form in [
            "",
            "s=a&b=be",
            "action=ready&b=be",
            "s=a&action=ready&b=%234",
            "b=be&action=maint&s=a&s=b",
            "s=a&s=nobody&action=drain&b=be",
            "s=nobody&action=drain&b=be",
            "s=a&action=dance&b=be",
            "s=a&action=ready&b=nowhere",
            "s=a&action=ready&b=%2399",
            "s=a&action=start&b=be",
            "s=a&action=stop&b=be",
            "s=a&action=stop&b=be",
            "s=b&action=enable&b=be",
            "s=b&action=enable&b=be",
            "s=b&action=disable&b=be",
            "s=a&action=ehlth&b=be",
            "s=a&action=adown&b=be",
            "s=a&action=shutdown&b=be",
        ] {
            seen.push(send(admin, "/stats", form));
        }
        seen
    });
}
