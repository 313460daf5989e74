//! Frontends in mode http answer by themselves: health questions, statistics, metrics, fixed
//! answers; within bounds, and to whom the file says.

use std::time::Duration;

use crate::support::http::{ask, exchange, status};
use crate::support::metrics::{Metrics, get};
use crate::support::{Lab, PATIENCE, Peer, Signal, until};

/// `defaults` in mode http that logs.
fn defaults(lab: &Lab) -> String {
    format!(
        "
global
    {}
defaults
    mode http
    log global
    option httplog
    timeout connect 2s
    timeout client 30s
    timeout server 30s
",
        lab.log()
    )
}

#[test]
fn a_health_question_is_answered_for_the_balancer_and_its_backend() {
    let lab = Lab::new();
    let (plain, fails) = (lab.address(), lab.address());
    let server = lab.dead_origin("s1");
    let lb = lab.start(&format!(
        "{}frontend plain\n    bind {plain}\n    monitor-uri /healthz\n\
         frontend fails\n    bind {fails}\n    monitor-uri /healthz\n    \
         monitor fail if {{ nbsrv(be) lt 1 }}\n\
         backend be\n    mode tcp\n    server s1 {} check inter 100ms fall 1\n",
        defaults(&lab),
        server.address()
    ));
    let answer = ask(plain, "GET", "/healthz", "");
    assert_eq!(
        answer,
        "HTTP/1.1 200 OK\r\ncontent-length: 58\r\ncache-control: no-cache\r\n\
         content-type: text/html\r\nconnection: close\r\n\r\n\
         <html><body><h1>200 OK</h1>\nService ready.\n</body></html>\n"
    );
    assert_eq!(status(&ask(plain, "GET", "/healthz?x", "")), 503);
    until("the server is seen to be down", || {
        (status(&ask(fails, "GET", "/healthz", "")) == 503).then_some(())
    });
    let head = ask(plain, "HEAD", "/healthz", "");
    assert!(
        head.contains("content-length: 58") && head.ends_with("\r\n\r\n"),
        "{head}"
    );
    // Not one of the questions is logged, and each counts.
    let metrics = lb.metrics();
    assert_eq!(
        metrics.value("haproxy_frontend_sessions_total", "proxy=plain"),
        3.0
    );
    let logged = lab.syslog.all();
    assert!(
        logged
            .iter()
            .all(|line| !line.text.contains("/healthz HTTP")),
        "{logged:?}"
    );
}

#[test]
fn statistics_are_shown_to_whom_the_file_says() {
    let lab = Lab::new();
    let (open, closed, grouped) = (lab.address(), lab.address(), lab.address());
    let lb = lab.start(&format!(
        "{}userlist people\n    group admin users root\n    user root insecure-password pw\n    \
         user other insecure-password pw\n\
         listen open\n    bind {open}\n    stats enable\n    stats uri /stats\n    stats refresh 5s\n    \
         stats hide-version\n    stats show-node lb<1>\n\
         listen closed\n    bind {closed}\n    stats uri /\n    stats auth admin:secret\n    \
         stats auth bob:a:b\n    stats realm Stat\\ page\n\
         listen grouped\n    bind {grouped}\n    stats uri /\n    \
         acl ADMIN http_auth_group(people) admin\n    stats http-request auth unless ADMIN\n",
        defaults(&lab)
    ));
    let page = ask(open, "GET", "/stats", "");
    assert_eq!(status(&page), 200);
    assert!(
        page.contains("refresh: 5\r\n") && page.contains("lb&lt;1&gt;"),
        "{page}"
    );
    assert!(!page.contains(env!("CARGO_PKG_VERSION")), "{page}");
    assert!(!ask(open, "GET", "/stats;norefresh", "").contains("refresh: 5"));
    let csv = ask(open, "GET", "/stats;csv;norefresh", "");
    let body = csv.split_once("\r\n\r\n").unwrap().1;
    assert!(
        body.starts_with("# pxname,svname,qcur,qmax,scur,smax,slim,stot,"),
        "{body}"
    );
    assert!(body.contains("\nclosed,FRONTEND,,,"), "{body}");
    assert!(ask(open, "GET", "/stats;json", "").contains("[[{\"objType\":\"Frontend\","));
    assert_eq!(status(&ask(open, "GET", "/elsewhere", "")), 503);
    assert_eq!(status(&ask(open, "DELETE", "/stats", "")), 503);

    let refused = ask(closed, "GET", "/", "");
    assert_eq!(status(&refused), 401);
    assert!(
        refused.contains("www-authenticate: Basic realm=\"Stat page\"\r\n"),
        "{refused}"
    );
    let with = |credentials: &str| format!("Authorization: Basic {credentials}\r\n");
    // admin:secret, bob:a:b, admin:secre, bob:secret.
    for (credentials, expected) in [
        ("YWRtaW46c2VjcmV0", 200),
        ("Ym9iOmE6Yg==", 200),
        ("YWRtaW46c2VjcmU=", 401),
        ("Ym9iOnNlY3JldA==", 401),
    ] {
        let answer = ask(closed, "GET", "/", &with(credentials));
        assert_eq!(status(&answer), expected, "{credentials}");
    }
    // root:pw is in the group, other:pw is not.
    assert_eq!(
        status(&ask(grouped, "GET", "/", &with("cm9vdDpwdw=="))),
        200
    );
    assert_eq!(
        status(&ask(grouped, "GET", "/", &with("b3RoZXI6cHc="))),
        401
    );
    let (head, page) = get(lb.admin(), "/stats");
    assert!(
        head.starts_with("HTTP/1.1 200") && page.contains("id=\"grouped\""),
        "{page}"
    );
    assert!(get(lb.admin(), "/stats;csv").1.starts_with("# pxname,"));
}

#[test]
fn metrics_and_fixed_answers_come_by_rules() {
    let lab = Lab::new();
    let front = lab.address();
    let lb = lab.start(&format!(
        "{}frontend fe\n    bind {front}\n    \
         http-request use-service prometheus-exporter if {{ path /metrics }}\n    \
         http-request return status 200 content-type text/plain string hello hdr X-By us if {{ path_beg /hi }}\n    \
         http-request deny deny_status 429 if {{ hdr(x-many) -m found }}\n    \
         redirect scheme https code 301 if {{ path /secure }} METH_GET\n    \
         http-request deny if {{ src 127.0.0.0/8 }} {{ path /denied }}\n    \
         stats uri /stats\n",
        defaults(&lab)
    ));
    assert_eq!(
        Metrics::scrape(front).value("haproxy_frontend_status", "proxy=fe,state=UP"),
        1.0
    );
    let some = get(front, "/metrics?scope=frontend").1;
    assert!(some.contains("haproxy_frontend_status") && !some.contains("haproxy_process_"));
    assert_eq!(status(&ask(front, "GET", "/metrics?scope=none", "")), 400);
    let hello = ask(front, "POST", "/hi", "Content-Length: 3\r\n\r\nabc");
    assert!(
        hello.contains("x-by: us\r\n") && hello.ends_with("\r\n\r\nhello"),
        "{hello}"
    );
    assert_eq!(status(&ask(front, "GET", "/x", "X-Many: 1\r\n")), 429);
    assert_eq!(status(&ask(front, "GET", "/denied", "")), 403);
    let away = ask(front, "GET", "/secure?a=1", "");
    assert!(
        away.contains("location: https://lb/secure?a=1\r\n"),
        "{away}"
    );
    let lines = lab.syslog.containing("GET /denied HTTP/1.1");
    assert!(
        lines.text.contains(" fe fe/<NOSRV> ") && lines.text.contains("/-1/-1/-1/"),
        "{lines:?}"
    );
    assert!(
        lines.text.contains(" 403 ") && lines.text.contains(" PR-- "),
        "{lines:?}"
    );
    let lines = lab.syslog.containing("GET /metrics HTTP/1.1");
    assert!(lines.text.contains(" fe fe/<PROMEX> "), "{lines:?}");
    drop(lb);
}

#[test]
fn slow_and_broken_clients_are_sent_away_and_others_served() {
    let lab = Lab::new();
    let front = lab.address();
    let lb = lab.start(&format!(
        "{}    timeout http-request 300ms\n    timeout http-keep-alive 200ms\n\
         frontend fe\n    bind {front}\n    monitor-uri /healthz\n",
        defaults(&lab)
    ));
    // A hundred who say half a request.
    let slow: Vec<Peer> = (0..100)
        .map(|_| {
            let mut peer = Peer::connect(front);
            peer.send("GET /healthz HTTP/1.1\r\nHost:");
            peer
        })
        .collect();
    assert_eq!(status(&ask(front, "GET", "/healthz", "")), 200);
    for mut peer in slow {
        let (told, _) = peer.receive_to_end();
        assert_eq!(status(&String::from_utf8(told).unwrap()), 408);
    }
    for bad in [
        "BAD\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nHost: a\r\nHost : b\r\n\r\n".to_owned(),
        format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "a".repeat(20_000)),
    ] {
        let answer = exchange(front, &bad);
        assert_eq!(status(&answer), 400, "{answer}");
        assert!(answer.contains("Content-length: 90\r\n"), "{answer}");
    }
    // One that has nothing more to ask is let go without a word.
    let mut idle = Peer::connect(front);
    idle.send("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\nGET /healthz HTTP/1.1\r\nHost: a\r\n\r\n");
    let (told, _) = idle.receive_to_end();
    let told = String::from_utf8(told).unwrap();
    assert_eq!(told.matches("HTTP/1.1 200 OK").count(), 2, "{told}");
    assert!(told.ends_with("</html>\n"), "{told}");
    until("every place is given back", || {
        (lb.metrics()
            .value("haproxy_frontend_current_sessions", "proxy=fe")
            == 0.0)
            .then_some(())
    });
}

#[test]
fn a_drain_ends_idle_visits_and_serves_those_under_way() {
    let lab = Lab::new();
    let front = lab.address();
    let mut lb = lab.start(&format!(
        "{}frontend fe\n    bind {front}\n    monitor-uri /healthz\n",
        defaults(&lab)
    ));
    let mut idle = Peer::connect(front);
    idle.send("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(idle.receive_line(), "HTTP/1.1 200 OK\r");
    let mut asking = Peer::connect(front);
    asking.send("GET /healthz HTTP/1.1\r\n");
    until("both are counted", || {
        (lb.metrics()
            .value("haproxy_frontend_current_sessions", "proxy=fe")
            == 2.0)
            .then_some(())
    });
    lb.signal(Signal::USR1);
    idle.receive_to_end();
    asking.send("Host: a\r\n\r\n");
    let (told, _) = asking.receive_to_end();
    assert_eq!(status(&String::from_utf8(told).unwrap()), 200);
    assert!(lb.exit().success());
}

#[test]
fn a_reload_serves_the_new_page_while_an_old_visit_ends() {
    let lab = Lab::new();
    let front = lab.address();
    let config = |uri: &str| {
        format!(
            "{}frontend fe\n    bind {front}\n    monitor-uri {uri}\n",
            defaults(&lab)
        )
    };
    let lb = lab.start(&config("/old"));
    let mut old = Peer::connect(front);
    old.send("GET /old HTTP/1.1\r\n");
    until("the old visit is counted", || {
        (lb.metrics()
            .value("haproxy_frontend_current_sessions", "proxy=fe")
            == 1.0)
            .then_some(())
    });
    lb.reload(&config("/new"));
    until("the new page is there", || {
        (status(&ask(front, "GET", "/new", "")) == 200).then_some(())
    });
    old.send("Host: a\r\n\r\n");
    let (told, _) = old.receive_to_end();
    assert_eq!(status(&String::from_utf8(told).unwrap()), 200);
    assert!(PATIENCE > Duration::from_secs(1));
}
