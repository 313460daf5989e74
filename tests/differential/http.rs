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

/// Tests that hold in a frontend of mode http, one for each thing that can be asked of a connection,
/// a proxy and the process.
const HOLDING: &[&str] = &[
    "src 127.0.0.0/8",
    "dst 127.0.0.0/8",
    "src_port gt 0",
    "dst_port gt 0",
    "src_is_local",
    "dst_is_local",
    "fc_src 127.0.0.0/8",
    "fc_dst 127.0.0.0/8",
    "fc_src_port gt 0",
    "fc_dst_port gt 0",
    "fc_src_is_local",
    "fc_dst_is_local",
    "fc_rcvd_proxy,not",
    "dst_conn gt 0",
    "so_id eq 7",
    "so_name -m str door",
    "fe_conn gt 0",
    "fe_conn(idle) lt 1",
    "fe_sess_rate ge 0",
    "fe_sess_rate(idle) lt 1",
    "fe_id eq 11",
    "fe_name -m str all",
    "fe_defbe -m str own",
    "fe_client_timeout eq 5000",
    "be_conn(b) lt 1",
    "be_conn_free(b) eq 5",
    "be_sess_rate(b) lt 1",
    "nbsrv(b) eq 1",
    "nbsrv(backups) eq 2",
    "connslots(b) gt 0",
    "queue(b) lt 1",
    "avg_queue(b) lt 1",
    "srv_conn(b/s1) lt 1",
    "srv_conn_free(b/s1) eq 5",
    "srv_is_up(b/s1)",
    "srv_queue(b/s1) lt 1",
    "srv_sess_rate(b/s1) lt 1",
    "srv_weight(b/s1) eq 3",
    "srv_iweight(b/s1) eq 3",
    "srv_uweight(b/s1) eq 3",
    "act_conn gt 0",
    "stopping,not",
    "thread ge 0",
    "rand(10) ge 0",
    "date gt 0",
    "date_us gt 0",
    "accept_date gt 0",
    "uuid -m found",
    "pid gt 0",
    "hostname -m found",
    "wait_end",
    "method GET",
    "req.proto_http",
    "acl(local)",
];

/// And in a backend that such a frontend sends its requests to.
const HOLDING_BEHIND: &[&str] = &[
    "be_id eq 12",
    "be_name -m str own",
    "be_server_timeout eq 5000",
    "be_tunnel_timeout eq 7000",
    "nbsrv lt 1",
    "be_conn(b) lt 1",
];

#[test]
fn conditions_of_http_see_what_those_of_tcp_do() {
    let denied = same("conditions_of_http_see_what_those_of_tcp_do", |lab| {
        let (all, listen, idle) = (lab.address(), lab.address(), lab.address());
        let failing: Vec<_> = HOLDING.iter().map(|_| lab.address()).collect();
        let rules = |tests: &[&str], path: &str| -> String {
            let rules = tests.iter().enumerate().map(|(at, test)| {
                format!("    http-request deny if {{ path /{path}{at} }} {{ {test} }}\n")
            });
            rules.collect()
        };
        let monitors: String = (HOLDING.iter().zip(&failing).enumerate())
            .filter(|(_, (test, _))| !test.starts_with("fe_") || test.contains('('))
            .map(|(at, (test, address))| {
                format!(
                    "frontend m{at}\n    bind {address} id 7 name door\n    acl local src 127.0.0.0/8\n    \
                     monitor-uri /healthz\n    monitor fail if {{ {test} }}\n"
                )
            })
            .collect();
        let _lb = lab.start(&format!(
            "
defaults
    mode http
    timeout connect 2s
    timeout client 5s
    timeout server 5s
    timeout tunnel 7s
frontend all
    id 11
    bind {all} id 7 name door
    acl local src 127.0.0.0/8
{}
    http-request return status 200 if {{ path_beg /f }}
    default_backend own
backend own
    id 12
    acl dead nbsrv lt 1
{}
    http-request deny if {{ path /dead }} dead
    http-request return status 200
listen two
    id 13
    bind {listen}
    http-request deny if {{ be_name -m str two }} {{ fe_name -m str two }} {{ be_id eq 13 }}
    http-request return status 200
{monitors}
frontend idle
    mode tcp
    bind {idle}
    default_backend b
backend b
    mode tcp
    server s1 127.0.0.1:9 maxconn 5 maxqueue 5 weight 3
backend backups
    mode tcp
    option allbackups
    server s1 127.0.0.1:9 backup
    server s2 127.0.0.1:9 backup
",
            rules(HOLDING, "f"),
            rules(HOLDING_BEHIND, "b"),
        ));
        let mut denied = Vec::new();
        let mut seek = |what: String, address, target: &str| {
            let code = status(&ask(address, "GET", target, "Connection: close\r\n"));
            denied.push((what, code));
        };
        for (at, test) in HOLDING.iter().enumerate() {
            seek(format!("deny if {test}"), all, &format!("/f{at}"));
            if !test.starts_with("fe_") || test.contains('(') {
                seek(format!("fail if {test}"), failing[at], "/healthz");
            }
        }
        for (at, test) in HOLDING_BEHIND.iter().enumerate() {
            seek(format!("deny if {test}"), all, &format!("/b{at}"));
        }
        seek("deny if dead".to_owned(), all, "/dead");
        seek("deny in a listen".to_owned(), listen, "/");
        denied
    });
    for (what, code) in denied.into_iter().flatten() {
        let expected = if what.starts_with("deny") { 403 } else { 503 };
        assert_eq!(code, expected, "{what}");
    }
}
