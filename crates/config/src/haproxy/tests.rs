//! The reader and `resolve` together: text in, problems or configuration out.

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use proptest::prelude::*;

use super::keywords::{self, BIND_OPTIONS, KEYWORDS, SERVER_OPTIONS};
use crate::*;

fn variable(name: &str) -> Option<String> {
    match name {
        "VIP" => Some("10.0.1.10".to_owned()),
        "HOME" => Some("/root".to_owned()),
        _ => None,
    }
}

/// Knows master1.kube.com, and that both.kube.com has an address of each family.
fn lookup(name: &str) -> io::Result<Vec<IpAddr>> {
    let addresses: &[&str] = match name {
        "master1.kube.com" => &["10.0.1.11"],
        "both.kube.com" => &["2001:db8::11", "10.0.1.11"],
        _ => return Err(io::Error::other("no such name")),
    };
    Ok(addresses.iter().map(|ip| ip.parse().unwrap()).collect())
}

fn load_all(files: &[(&str, &[u8])]) -> Result<Loaded, Vec<Problem>> {
    let sources: Vec<Source> = files
        .iter()
        .map(|(name, text)| Source {
            name: (*name).to_owned(),
            text: text.to_vec(),
        })
        .collect();
    load(
        &sources,
        &Environment {
            variable: &variable,
            lookup: &lookup,
            hostname: "lb",
            allow_unresolved_servers: false,
        },
    )
}

fn load_text(text: &str) -> Result<Loaded, Vec<Problem>> {
    load_all(&[("lb.cfg", text.as_bytes())])
}

#[track_caller]
fn config(text: &str) -> Config {
    match load_text(text) {
        Ok(loaded) => loaded.config,
        Err(problems) => panic!("{}", lines(&problems)),
    }
}

fn lines(problems: &[Problem]) -> String {
    problems
        .iter()
        .map(|problem| format!("{problem}\n"))
        .collect()
}

/// Loads `text` and compares everything that is said about it.
#[track_caller]
fn check(text: &str, expected: &[&str]) {
    let problems = match load_text(text) {
        Ok(loaded) => loaded.warnings,
        Err(problems) => problems,
    };
    let expected: String = expected
        .iter()
        .map(|line| format!("lb.cfg:{line}\n"))
        .collect();
    assert_eq!(lines(&problems), expected, "{text}");
}

/// Every timeout, so that only what a test is about is said.
const TIMEOUTS: &str =
    "defaults\n timeout connect 1s\n timeout client 1s\n timeout server 1s\n mode tcp\n";

/// A line in a `listen` section that begins in line 6, itself in line 8.
#[track_caller]
fn check_line(line: &str, expected: &[&str]) {
    check(
        &format!("{TIMEOUTS}listen f\n bind :6443\n {line}\n"),
        expected,
    );
}

const SEED: &str = include_str!("../../../../config/seed.cfg");

#[test]
fn the_seeds_file() {
    let loaded = load_text(SEED).unwrap();
    assert_eq!(
        lines(&loaded.warnings),
        "lb.cfg:1:10: warning: missing timeouts for frontend 'kubernetes-frontend': set 'timeout \
         client' to a non-zero value, lest idle peers are kept for ever\n\
         lb.cfg:4:5: warning: log format ignored for frontend 'kubernetes-frontend' since it has \
         no log address\n\
         lb.cfg:7:9: warning: missing timeouts for backend 'kubernetes-backend': set 'timeout \
         connect' and 'timeout server' to a non-zero value, lest idle peers are kept for ever\n"
    );
    let config = loaded.config;
    let [frontend] = &config.frontends[..] else {
        panic!("{config:?}")
    };
    assert_eq!(
        (frontend.id, frontend.name.as_str()),
        (2, "kubernetes-frontend")
    );
    assert_eq!(frontend.binds.len(), 1);
    assert_eq!(
        frontend.binds[0].address,
        BindAddress::Inet("10.0.1.10:6443".parse().unwrap())
    );
    assert_eq!(frontend.binds[0].place.to_string(), "lb.cfg:2:10");
    assert_eq!(frontend.log.format, SessionLogFormat::Tcp);
    assert_eq!(frontend.client_timeout, None);
    let backend = config.backend(frontend.default_backend.unwrap());
    assert_eq!(
        (backend.id, backend.name.as_str()),
        (3, "kubernetes-backend")
    );
    assert_eq!(backend.balance, Balance::RoundRobin);
    assert_eq!(
        (backend.retries, backend.redispatch),
        (3, Redispatch::WhenFree)
    );
    let second = &backend.servers[1];
    assert_eq!(
        (second.id, second.name.as_str(), second.weight),
        (2, "master2", 1)
    );
    let address = ServerAddress::Inet("10.0.1.12:6443".parse().unwrap());
    assert_eq!(second.address, address);
    let two = Duration::from_secs(2);
    assert_eq!(
        second.check,
        Some(Check {
            kind: CheckKind::TcpCheck,
            address,
            inter: two,
            fastinter: two,
            downinter: two,
            rise: 2,
            fall: 3,
            connect_timeout: two,
            read_timeout: two,
        })
    );
}

#[test]
fn typos_are_named_with_what_was_meant() {
    check_line(
        "balanse roundrobin",
        &["8:2: unknown keyword 'balanse' in 'listen' section; did you mean 'balance'?"],
    );
    check_line(
        "balance roundrobbin",
        &["8:10: unknown balance 'roundrobbin'; did you mean 'roundrobin'?"],
    );
    check_line(
        "option tcplogg",
        &["8:9: unknown option 'tcplogg'; did you mean 'tcplog'?"],
    );
    check_line(
        "timeout tunel 5s",
        &["8:10: unknown timeout 'tunel'; did you mean 'tunnel'?"],
    );
    check_line(
        "mode tpc",
        &["8:7: unknown proxy mode 'tpc'; did you mean 'tcp'?"],
    );
    check_line(
        "server s 1.1.1.1:1 chekc",
        &["8:21: unknown server option 'chekc'; did you mean 'check'?"],
    );
    check_line(
        "bind :1 interfce eth0",
        &["8:10: unknown bind option 'interfce'; did you mean 'interface'?"],
    );
    check_line(
        "log 127.0.0.1 lokal0",
        &["8:16: unknown log facility 'lokal0'; did you mean 'local0'?"],
    );
    check(
        "frontnd f\n",
        &["1:1: keyword 'frontnd' outside of any section; did you mean 'frontend'?"],
    );
    check(
        "global\n maxcon 5\n",
        &["2:2: unknown keyword 'maxcon' in 'global' section; did you mean 'maxconn'?"],
    );
    check_line(
        "default_backend ff",
        &["8:18: frontend 'f': there is no backend 'ff' for default_backend"],
    );
    check_line("qqq", &["8:2: unknown keyword 'qqq' in 'listen' section"]);
    check_line(
        "option",
        &["8:2: 'option' needs a word after it, such as 'redispatch'"],
    );
}

#[test]
fn values_that_are_none() {
    check_line(
        "server s 1.1.1.1:1 check inter 0",
        &["8:33: 'inter' must be more than 0"],
    );
    check_line(
        "server s 1.1.1.1:1 check inter 5x",
        &["8:33: 'inter': unknown unit 'x' in time '5x'; the units are us, ms, s, m, h and d"],
    );
    check_line(
        "server s 1.1.1.1:1 check inter 100d",
        &["8:33: 'inter': time '100d' is too long; the longest is 2147483647 ms (24.8 days)"],
    );
    check_line(
        "server s 1.1.1.1:1 inter",
        &["8:21: 'inter' needs a value after it"],
    );
    check_line(
        "server s 1.1.1.1:1 weight 300",
        &["8:28: 'weight' must be between 0 and 256, not 300"],
    );
    check_line(
        "server s 1.1.1.1:1 rise 0",
        &["8:26: 'rise' must be between 1 and 1073741823, not 0"],
    );
    check_line(
        "server s/t 1.1.1.1:1",
        &[
            "8:9: character '/' is not permitted in server name 's/t'; use letters, digits and - _ . :",
        ],
    );
    check_line(
        "server s",
        &["8:2: 'server' needs a name and an address, such as: server cp1 10.0.1.11:6443 check"],
    );
    check_line(
        "server s 1.1.1.1:1-2",
        &["8:11: server 's': a port range means nothing here, in '1.1.1.1:1-2'"],
    );
    check_line(
        "server s 1.1.1.1 check",
        &["8:19: server 's' has neither a port nor a check port; add 'port N' to it"],
    );
    check_line(
        "server s :6443",
        &[
            "8:11: server 's': missing address in ':6443'; connecting to the client's own destination is not supported",
        ],
    );
    check_line(
        "server s fd@3",
        &["8:11: server 's': a file descriptor is no server, in 'fd@3'"],
    );
    check_line(
        "bind 127.0.0.1",
        &["8:7: 'bind': missing port in '127.0.0.1'; write it after a colon, as in 127.0.0.1:6443"],
    );
    check_line(
        "bind :1,:0",
        &["8:10: 'bind': port 0 cannot be listened on, in ':0'"],
    );
    check_line(
        "bind :90-80",
        &["8:7: 'bind': '90-80' is not a port range in ':90-80'"],
    );
    check_line(
        "bind",
        &["8:2: 'bind' needs an address and a port, such as: bind 10.0.1.10:6443"],
    );
    check_line(
        "maxconn 5 6",
        &["8:12: unexpected argument '6' after 'maxconn'"],
    );
    check_line(
        "maxconn x",
        &["8:10: 'maxconn' needs a whole number, not 'x'"],
    );
    check_line("retries", &["8:2: 'retries' needs a value after it"]);
    check_line(
        "timeout client",
        &["8:2: 'timeout client' needs a value after it"],
    );
    check_line("no retries 3", &["8:5: 'no' cannot stand before 'retries'"]);
    check_line(
        "no option tcplog",
        &["8:5: 'no' cannot stand before 'option tcplog'"],
    );
    check_line(
        "bind ':1",
        &["8:7: unmatched quote; close it before the end of the line"],
    );
    check(
        "listen f :80\n",
        &[
            "1:8: warning: missing timeouts for proxy 'f': set 'timeout client' to a non-zero value, lest idle peers are kept for ever",
            "1:8: warning: proxy 'f' has no 'bind' directive; please declare it as a backend if this was intended",
            "1:10: please use the 'bind' keyword for listening addresses",
        ],
    );
    check(
        "global\n maxconn 5\n maxconn 6\n",
        &["3:2: warning: 'maxconn' is already specified; the first one counts"],
    );
    check(
        "defaults\n bind :1\n",
        &["2:2: 'bind' is not allowed in 'defaults' sections"],
    );
    check(
        "defaults\n acl x src 1.1.1.1\n",
        &["2:2: 'acl' is not allowed in a 'defaults' section without a name"],
    );
    check(
        "frontend f from d\n",
        &[
            "1:10: warning: missing timeouts for frontend 'f': set 'timeout client' to a non-zero value, lest idle peers are kept for ever",
            "1:10: warning: frontend 'f' has no 'bind' directive; please declare it as a backend if this was intended",
            "1:17: there is no 'defaults' section 'd'",
        ],
    );
}

#[test]
fn all_problems_of_all_files_at_once_in_their_order() {
    let problems = load_all(&[
        (
            "b.cfg",
            b"global\n maxconn x\n spread-checks 60\n foo\n chroot /x\n",
        ),
        (
            "a.cfg",
            b"frontend f\n bind 10.0.0.300:1\n default_backend g\n",
        ),
    ])
    .unwrap_err();
    assert_eq!(
        lines(&problems),
        "b.cfg:2:10: 'maxconn' needs a whole number, not 'x'\n\
         b.cfg:3:16: 'spread-checks' must be between 0 and 50, not 60\n\
         b.cfg:4:2: unknown keyword 'foo' in 'global' section\n\
         b.cfg:5:2: warning: 'chroot' has no effect: the process keeps the root directory it was \
         started with; use RootDirectory= of the service\n\
         a.cfg:1:10: warning: missing timeouts for frontend 'f': set 'timeout client' to a \
         non-zero value, lest idle peers are kept for ever\n\
         a.cfg:2:7: 'bind': could not resolve address '10.0.0.300' (no such name); write an IP \
         address or add the name to /etc/hosts\n\
         a.cfg:3:18: frontend 'f': there is no backend 'g' for default_backend\n"
    );
}

#[test]
fn duplicates() {
    check_line(
        "server s 1.1.1.1:1\n server s 1.1.1.1:2",
        &["9:9: there is already a server 's' at lb.cfg:8; rename one"],
    );
    check_line(
        "server s 1.1.1.1:1 id 3\n server t 1.1.1.1:2 id 3",
        &["9:24: id 3 belongs to another server"],
    );
    check(
        &format!("{TIMEOUTS}frontend x\n bind :1\nfrontend x\n bind :2\nlisten x\n bind :3\n"),
        &[
            "8:10: frontend 'x' has the same name as frontend 'x' declared at lb.cfg:6; rename one",
            "10:8: frontend 'x' has the same name as frontend 'x' declared at lb.cfg:6; rename one",
        ],
    );
    // A frontend and a backend may share a name.
    let config = config(&format!(
        "{TIMEOUTS}frontend x\n bind :1\n default_backend x\nbackend x\n"
    ));
    assert_eq!(config.frontends[0].default_backend, Some(BackendId(0)));
}

#[test]
fn the_end_of_a_file() {
    check(
        "global\n daemon",
        &[
            "2:7: missing LF on last line, file might have been truncated; end the line with a line feed",
        ],
    );
    check("", &[]);
    check("global\r\n daemon\r\n", &[]);
}

#[test]
fn http_keywords_in_mode_tcp_load_as_in_haproxy() {
    let logged = "global\n log 127.0.0.1 local0\ndefaults\n log global\n timeout connect 1s\n \
                  timeout client 1s\n timeout server 1s\n mode http\n option httplog\n option \
                  http-server-close\n option forwardfor\n errorfile 400 /nowhere\n";
    let proxies = "frontend f\n mode tcp\n bind :1\n default_backend b\nbackend b\n mode tcp\n \
                   server s 1.1.1.1:1 cookie x\n";
    check(
        &format!("{logged}{proxies}"),
        &[
            "9:2: warning: 'option httplog' not usable with frontend 'f' (needs 'mode http'). Falling back to 'option tcplog'",
            "11:2: warning: 'option forwardfor' ignored for frontend 'f' as it requires HTTP mode",
            "11:2: warning: 'option forwardfor' ignored for backend 'b' as it requires HTTP mode",
            "19:21: warning: backend 'b': ignoring cookie for server 's' as HTTP mode is disabled",
        ],
    );
    check_line(
        "http-request deny",
        &["8:2: warning: 'http-request' rules ignored for proxy 'f' as they require HTTP mode"],
    );
    check_line(
        "stats enable\n stats uri /s",
        &["8:2: warning: 'stats' statement ignored for proxy 'f' as it requires HTTP mode"],
    );
    check_line(
        "balance uri",
        &[
            "8:2: warning: Layer 7 hash not possible for proxy 'f' (needs 'mode http'). Falling back to round robin",
        ],
    );
    check_line(
        "cookie X insert",
        &["8:2: warning: cookie will be ignored for proxy 'f' (needs 'mode http')"],
    );
    check_line(
        "http-check expect status 200",
        &[
            "8:2: warning: proxy 'f' uses http-check rules without 'option httpchk', so the rules are ignored",
        ],
    );
    check_line("balance uri\n balance leastconn", &[]);
}

#[test]
fn a_keyword_of_the_other_side_is_ignored_as_in_haproxy() {
    check(
        &format!(
            "{TIMEOUTS}frontend f\n bind :1\n balance source\n retries 3\n timeout server 5s\n option redispatch\n"
        ),
        &[
            "8:2: warning: 'balance' ignored because frontend 'f' has no backend capability",
            "9:2: warning: 'retries' ignored because frontend 'f' has no backend capability",
            "10:2: warning: 'timeout server' ignored because frontend 'f' has no backend capability",
            "11:2: warning: 'redispatch' ignored because frontend 'f' has no backend capability",
        ],
    );
    check(
        &format!("{TIMEOUTS}backend b\n bind :1\n option tcplog\n"),
        &[
            "7:2: warning: 'bind' ignored because backend 'b' has no frontend capability",
            "8:2: warning: backend 'b': 'option tcplog' is ignored in backends",
        ],
    );
    check(
        &format!("{TIMEOUTS}frontend f\n bind :1\n server s 1.1.1.1:1\n"),
        &[
            "8:2: 'server' is not allowed because frontend 'f' has no backend capability; put it into a 'backend' or 'listen' section",
        ],
    );
}

#[test]
fn mode_http_is_refused_only_where_it_carries_traffic() {
    let pages = "listen stats\n mode http\n bind :8404\n stats enable\nfrontend healthz\n mode \
                 http\n bind :8081\n monitor-uri /healthz\n";
    let text = format!("{TIMEOUTS}{pages}frontend f\n bind :1\n");
    check(
        &text,
        &[
            "6:8: warning: proxy 'stats' is in mode http (set at lb.cfg:7:7) and carries no traffic: it is not bound; metrics and health are served at --admin",
            "10:10: warning: frontend 'healthz' is in mode http (set at lb.cfg:11:7) and carries no traffic: it is not bound; metrics and health are served at --admin",
        ],
    );
    let loaded = load_text(&text).unwrap();
    // A page that is left out keeps its number, so that the others have theirs.
    assert_eq!(loaded.config.frontends[0].id, 4);
    assert!(
        loaded
            .without_effect
            .iter()
            .any(|(place, line)| place.line == 9 && line == "stats enable")
    );

    let web = "frontend web\n mode http\n bind :80\n default_backend app\nbackend app\n mode \
               http\n server s 1.1.1.1:80\n";
    check(
        &format!("{TIMEOUTS}{web}"),
        &[
            "6:10: frontend 'web' carries traffic ('default_backend' in line 9) in a mode other than tcp (set at lb.cfg:7:7), which is not supported; write 'mode tcp' in it if plain TCP will do",
        ],
    );
    check(
        &format!(
            "{TIMEOUTS}frontend f\n bind :1\n default_backend app\nbackend app\n mode http\n server s 1.1.1.1:80\n"
        ),
        &[
            "9:9: backend 'app' carries traffic ('server' in line 11) in a mode other than tcp (set at lb.cfg:10:7), which is not supported; write 'mode tcp' in it if plain TCP will do",
        ],
    );
    check(
        &format!(
            "{TIMEOUTS}frontend r\n mode http\n bind :80\n http-request redirect scheme https\n"
        ),
        &[
            "6:10: frontend 'r' carries traffic ('http-request' in line 9) in a mode other than tcp (set at lb.cfg:7:7), which is not supported; write 'mode tcp' in it if plain TCP will do",
        ],
    );
    check(
        &format!("{TIMEOUTS}backend unused\n mode http\n server s 1.1.1.1:80 ssl\n"),
        &[
            "6:9: warning: backend 'unused' is in mode http (set at lb.cfg:7:7) and carries no traffic: it is left out",
        ],
    );
}

#[test]
fn what_must_not_be_ignored_is_refused_and_says_why() {
    for (line, keyword) in [
        ("use_backend x if TRUE", "'use_backend'"),
        ("tcp-request content reject", "'tcp-request content reject'"),
        (
            "tcp-request connection reject if { src 1.1.1.1 }",
            "'tcp-request connection reject'",
        ),
        ("tcp-check expect string master", "'tcp-check expect'"),
        ("balance hash src", "'balance hash'"),
        ("balance first", "'balance first'"),
        ("stick on src", "'stick on'"),
        ("source 1.2.3.4", "'source'"),
        ("server s 1.1.1.1:1 send-proxy", "'send-proxy' on a server"),
        ("server s 1.1.1.1:1 ssl verify none", "'ssl' on a server"),
        (
            "server s 1.1.1.1:1 source 1.2.3.4 usesrc client check",
            "'source' on a server",
        ),
        ("bind :1 ssl crt x", "'ssl' on a bind"),
        ("bind :1 accept-proxy", "'accept-proxy' on a bind"),
        ("bind /run/x mode 600", "'mode' on a bind"),
    ] {
        let problems = load_text(&format!("{TIMEOUTS}listen f\n bind :1\n {line}\n")).unwrap_err();
        assert_eq!(problems.len(), 1, "{}", lines(&problems));
        let start = format!("{keyword} is not supported: ");
        assert!(problems[0].message.starts_with(&start), "{}", problems[0]);
        assert_eq!(problems[0].place.line, 8);
    }
}

#[test]
fn what_has_no_effect_is_said_once() {
    check_line(
        "server s 1.1.1.1:1 slowstart 5s\n server t 1.1.1.1:2 slowstart 5s\n server u 1.1.1.1:3 slowstart 5s",
        &[
            "8:21: warning: 'slowstart' on a server has no effect: a server that comes up gets its full share at once (and 2 more times)",
        ],
    );
    check_line("acl x src 1.1.1.1\n timeout queue 5s", &[]);
    let loaded = load_text(&format!(
        "{TIMEOUTS}listen f\n bind :1\n  timeout queue  5s\n"
    ))
    .unwrap();
    let found: Vec<String> = loaded
        .without_effect
        .iter()
        .map(|(place, line)| format!("{place} {line}"))
        .collect();
    assert_eq!(found, ["lb.cfg:8:3 timeout queue  5s"]);
}

#[test]
fn checks_over_tls_need_a_ca_or_the_word_that_none_is_needed() {
    let no_ca = "the check's TLS is verified by default, but there is no CA file; add 'ca-file', \
                 or 'verify none' where the network is trusted";
    check_line(
        "server s 1.1.1.1:1 check check-ssl",
        &[&format!("8:27: server 's': {no_ca}")],
    );
    check_line(
        "option httpchk\n http-check connect ssl\n server s 1.1.1.1:1 check",
        &[
            "8:2: warning: 'option httpchk' has no effect: servers are checked by a plain connect to their port for now: one whose port answers is UP, whatever this check would have found",
            &format!("10:2: server 's': {no_ca}"),
        ],
    );
    let warning = "warning: 'check-ssl' on a server has no effect: checks are plain connects for \
                   now: one whose port answers is UP";
    check_line(
        "server s 1.1.1.1:1 check check-ssl verify none",
        &[&format!("8:27: {warning}")],
    );
    check(
        &format!(
            "global\n ssl-server-verify none\n{TIMEOUTS}listen f\n bind :1\n server s 1.1.1.1:1 check check-ssl\n"
        ),
        &[&format!("10:27: {warning}")],
    );
}

#[test]
fn sections_inherit_from_the_right_defaults() {
    let config = config(
        "defaults slow\n timeout client 9s\n timeout connect 9s\n timeout server 9s\n retries 7\n\
         defaults quick from slow\n timeout client 2s\n\
         listen a\n bind :1\nlisten b from slow\n bind :2\n timeout client 5s\n\
         defaults\n timeout client 1s\nlisten c\n bind :3\n",
    );
    let client: Vec<_> = config
        .frontends
        .iter()
        .map(|f| f.client_timeout.unwrap().as_secs())
        .collect();
    assert_eq!(client, [2, 5, 1]);
    let retries: Vec<_> = config
        .backends
        .iter()
        .map(|backend| backend.retries)
        .collect();
    assert_eq!(retries, [7, 7, 3]);
    assert_eq!(config.backends[2].connect_timeout, None);
}

#[test]
fn default_server_holds_for_the_servers_after_it() {
    let config = config(&format!(
        "{TIMEOUTS}listen f\n bind :1\n server a 1.1.1.1:1\n default-server check inter 5s weight 9 \
         backup on-marked-down shutdown-sessions\n server b 1.1.1.1:2\n server c 1.1.1.1:3 no-check \
         no-backup inter 1s weight 1\n default-server fall 7\n server d 1.1.1.1:4 disabled\n"
    ));
    let [a, b, c, d] = &config.backends[0].servers[..] else {
        panic!("{config:?}")
    };
    assert_eq!((a.check.is_some(), a.weight, a.backup), (false, 1, false));
    assert_eq!((b.check.is_some(), b.weight, b.backup), (true, 9, true));
    assert_eq!(b.on_marked_down, OnMarkedDown::ShutdownSessions);
    assert_eq!((c.check.is_some(), c.weight, c.backup), (false, 1, false));
    let check = d.check.as_ref().unwrap();
    assert_eq!(
        (check.inter.as_secs(), check.fall, d.disabled),
        (5, 7, true)
    );
}

#[test]
fn check_timeouts() {
    fn check(backend: &str, options: &str, expected: (u64, u64, u64, u64, u64)) {
        let config = config(&format!(
            "{TIMEOUTS}listen f\n bind :1\n {backend}\n server s 1.1.1.1:1 check {options}\n"
        ));
        let check = config.backends[0].servers[0].check.clone().unwrap();
        let ms = |time: Duration| time.as_millis() as u64;
        let found = (
            ms(check.inter),
            ms(check.fastinter),
            ms(check.downinter),
            ms(check.connect_timeout),
            ms(check.read_timeout),
        );
        assert_eq!(found, expected, "{backend} {options}");
    }
    check("", "", (2000, 2000, 2000, 2000, 2000));
    check("", "inter 5s", (5000, 5000, 5000, 5000, 5000));
    check(
        "",
        "inter 5s fastinter 1s downinter 9s",
        (5000, 1000, 9000, 5000, 5000),
    );
    check("timeout check 3s", "", (2000, 2000, 2000, 1000, 3000));
    check("timeout check 3s", "inter 500", (500, 500, 500, 500, 3000));
    check("timeout check 0", "inter 500", (500, 500, 500, 500, 500));
}

#[test]
fn addresses_of_binds() {
    fn check(bind: &str, expected: &[&str]) {
        let config = config(&format!("{TIMEOUTS}frontend f\n bind {bind}\n"));
        let found: Vec<String> = config.frontends[0]
            .binds
            .iter()
            .map(|bind| match &bind.address {
                BindAddress::Inet(address) => format!("{address} @{}", bind.place.column),
                other => format!("{other:?}"),
            })
            .collect();
        assert_eq!(found, expected, "{bind}");
    }
    check("10.0.1.10:6443", &["10.0.1.10:6443 @7"]);
    check(
        "*:1,:::2,:3-5,",
        &[
            "0.0.0.0:1 @7",
            "[::]:2 @11",
            "0.0.0.0:3 @16",
            "0.0.0.0:4 @16",
            "0.0.0.0:5 @16",
        ],
    );
    check("[2001:db8::1]:1", &["[2001:db8::1]:1 @7"]);
    check("ipv6@:1", &["[::]:1 @7"]);
    check("ipv4@both.kube.com:1", &["10.0.1.11:1 @7"]);
    check("both.kube.com:1", &["[2001:db8::11]:1 @7"]);
    check("$VIP:1", &["10.0.1.10:1 @7"]);
    check("\"${VIP}:${PORT-2}\"", &["10.0.1.10:2 @7"]);
    check("fd@3", &["Fd(3)"]);
    check(
        "unix@/run/x,/run/y",
        &["Unix(\"/run/x\")", "Unix(\"/run/y\")"],
    );
    check("abns@x", &["Abstract([120])"]);
}

#[test]
fn options_of_binds() {
    let config = config(&format!(
        "{TIMEOUTS}frontend f\n bind :1 name a interface eth0 maxconn 5 backlog 6 tcp-ut 30s v4v6 \
         transparent\n bind :::2 v6only mode 600\n"
    ));
    let [a, b] = &config.frontends[0].binds[..] else {
        panic!("{config:?}")
    };
    assert_eq!(
        (a.name.as_str(), a.interface.as_deref()),
        ("a", Some("eth0"))
    );
    assert_eq!((a.maxconn, a.backlog), (Some(5), Some(6)));
    assert_eq!(a.tcp_user_timeout, Some(Duration::from_secs(30)));
    assert_eq!((a.ip_versions, a.transparent), (IpVersions::V4V6, true));
    assert_eq!((b.ip_versions, b.transparent), (IpVersions::V6Only, false));
}

#[test]
fn addresses_of_servers() {
    fn check(server: &str, expected: ServerAddress, host: &str) {
        let config = config(&format!(
            "{TIMEOUTS}listen f\n bind :1\n server s {server}\n"
        ));
        let found = &config.backends[0].servers[0];
        assert_eq!(
            (&found.address, found.host.as_str()),
            (&expected, host),
            "{server}"
        );
    }
    let inet = |text: &str| ServerAddress::Inet(text.parse().unwrap());
    let mapped = |offset| ServerAddress::Mapped {
        ip: "10.0.1.11".parse().unwrap(),
        offset,
    };
    check("10.0.1.11:6443", inet("10.0.1.11:6443"), "");
    check("10.0.1.11", mapped(0), "");
    check("10.0.1.11:0", mapped(0), "");
    check("10.0.1.11:+1000", mapped(1000), "");
    check("10.0.1.11:-10", mapped(-10), "");
    check(
        "master1.kube.com:6443",
        inet("10.0.1.11:6443"),
        "master1.kube.com",
    );
    check(
        "ipv6@both.kube.com:6443",
        inet("[2001:db8::11]:6443"),
        "both.kube.com",
    );
    check("/run/x", ServerAddress::Unix(PathBuf::from("/run/x")), "");
    check("$VIP:1", inet("10.0.1.10:1"), "");

    let of_check = |options: &str| {
        let config = config(&format!(
            "{TIMEOUTS}listen f\n bind :1\n server s 10.0.1.11:1 check {options}\n"
        ));
        config.backends[0].servers[0].check.clone().unwrap().address
    };
    assert_eq!(of_check(""), inet("10.0.1.11:1"));
    assert_eq!(of_check("port 2"), inet("10.0.1.11:2"));
    assert_eq!(of_check("addr 10.0.1.12"), inet("10.0.1.12:1"));
    assert_eq!(of_check("addr 10.0.1.12:3"), inet("10.0.1.12:3"));
    assert_eq!(of_check("addr 10.0.1.12:3 port 4"), inet("10.0.1.12:4"));
    assert_eq!(of_check("addr 2001:db8::1 port 4"), inet("[2001:db8::1]:4"));
}

#[test]
fn names_that_do_not_resolve() {
    check_line(
        "server s nosuch:1",
        &[
            "8:11: server 's': could not resolve address 'nosuch' (no such name); write an IP address or add the name to /etc/hosts, or let it start without ('init-addr last,libc,none')",
        ],
    );
    check_line(
        "server s nosuch:1 init-addr last,libc,none",
        &[
            "8:11: warning: server 's': could not resolve address 'nosuch'; it starts in maintenance and stays there until a reload finds it",
        ],
    );
    check_line("server s nosuch:1 init-addr libc,10.0.1.12", &[]);
    check_line(
        "server s nosuch:1 init-addr last",
        &[
            "8:11: server 's': no method of 'init-addr' found an address for 'nosuch'; add 'libc' to it, or let it start without ('init-addr last,libc,none')",
        ],
    );
    let config = config(&format!(
        "{TIMEOUTS}listen f\n bind :1\n server s nosuch:1 init-addr none\n"
    ));
    assert!(config.backends[0].servers[0].disabled);
}

#[test]
fn redispatch_and_retries() {
    fn check(lines: &str, expected: Redispatch) {
        let config = config(&format!(
            "{TIMEOUTS} option redispatch 3\nbackend b\n {lines}\n"
        ));
        assert_eq!(config.backends[0].redispatch, expected, "{lines}");
    }
    check("", Redispatch::Always { interval: 3 });
    check("option redispatch", Redispatch::Always { interval: -1 });
    check("option redispatch -2", Redispatch::Always { interval: -2 });
    check("option redispatch 0", Redispatch::Never);
    check("no option redispatch", Redispatch::Never);
    let unset = config(&format!("{TIMEOUTS}backend b\n"));
    assert_eq!(unset.backends[0].redispatch, Redispatch::WhenFree);
}

#[test]
fn logs() {
    let config = config(&format!(
        "global\n log /dev/log local0\n log 10.0.0.1 len 2048 format rfc5424 local7 notice err\n \
         log stdout format raw daemon\n log-tag lb\n{TIMEOUTS} log global\n option dontlognull\n\
         frontend a\n bind :1\n log global\n option tcplog\n\
         frontend b\n bind :2\n no log\n log udp@10.0.0.2:5514 user\n log-tag other\n no option dontlognull\n"
    ));
    let [unix, udp, stdout] = &config.global.log[..] else {
        panic!("{config:?}")
    };
    assert_eq!(unix.address, LogAddress::Unix("/dev/log".into()));
    assert_eq!((unix.facility, unix.max_level, unix.min_level), (16, 7, 0));
    assert_eq!((unix.max_length, unix.format), (1024, LogFormat::Rfc3164));
    assert_eq!(
        udp.address,
        LogAddress::Udp("10.0.0.1:514".parse().unwrap())
    );
    assert_eq!((udp.max_length, udp.format), (2048, LogFormat::Rfc5424));
    assert_eq!((udp.facility, udp.max_level, udp.min_level), (23, 5, 3));
    assert_eq!(
        (&stdout.address, stdout.format, stdout.facility),
        (&LogAddress::Stdout, LogFormat::Raw, 3)
    );
    let [a, b] = &config.frontends[..] else {
        panic!("{config:?}")
    };
    // `log global` twice is one line each.
    assert_eq!(
        (a.log.targets.len(), a.log.tag.as_str(), a.log.skip_null),
        (3, "lb", true)
    );
    assert_eq!(
        (b.log.targets.len(), b.log.tag.as_str(), b.log.skip_null),
        (1, "other", false)
    );
    assert_eq!(
        (a.log.format, b.log.format),
        (SessionLogFormat::Tcp, SessionLogFormat::Connect)
    );
}

#[test]
fn keepalive_and_splice() {
    let config = config(&format!(
        "{TIMEOUTS}listen a\n bind :1\n option tcpka\n clitcpka-idle 10\n clitcpka-intvl 5s\n \
         clitcpka-cnt 3\n option splice-auto\nlisten b\n bind :2\n option srvtcpka\nlisten c\n bind \
         :3\n clitcpka-idle 10\n"
    ));
    let second = Duration::from_secs;
    let plain = Keepalive {
        idle: None,
        interval: None,
        probes: None,
    };
    let set = Keepalive {
        idle: Some(second(10)),
        interval: Some(second(5)),
        probes: Some(3),
    };
    let client: Vec<_> = config
        .frontends
        .iter()
        .map(|f| f.client_keepalive)
        .collect();
    let server: Vec<_> = config.backends.iter().map(|b| b.server_keepalive).collect();
    assert_eq!(client, [Some(set), None, None]);
    assert_eq!(server, [Some(plain), Some(plain), None]);
    assert_eq!(config.global.relay, RelayMethod::Splice);
}

#[test]
fn the_process() {
    let config = config(
        "global\n maxconn 100\n nbthread 4\n pidfile /run/x.pid\n daemon\n hard-stop-after 30s\n\
         global\n spread-checks 5\n node lb1\n description the \"load balancer\"\n nosplice\n",
    );
    let global = config.global;
    assert_eq!(
        (global.maxconn, global.threads, global.daemon),
        (Some(100), Some(4), true)
    );
    assert_eq!(global.pidfile, Some("/run/x.pid".into()));
    assert_eq!(global.hard_stop_after, Some(Duration::from_secs(30)));
    assert_eq!((global.spread_checks, global.node.as_str()), (5, "lb1"));
    assert_eq!(global.description, "the load balancer");
    assert_eq!(global.relay, RelayMethod::Copy);
}

#[test]
fn ids_and_several_files() {
    let loaded = load_all(&[
        (
            "a.cfg",
            b"defaults\n timeout client 1s\nfrontend a\n bind :1\n id 3\n default_backend c\n",
        ),
        (
            "b.cfg",
            b"frontend b\n bind :2\nbackend c\n server s 1.1.1.1:1 id 2\n server t 1.1.1.1:1\n",
        ),
    ])
    .unwrap();
    let config = loaded.config;
    let ids: Vec<u32> = config
        .frontends
        .iter()
        .map(|frontend| frontend.id)
        .collect();
    assert_eq!((ids, config.backends[0].id), (vec![3, 2], 4));
    let ids: Vec<u32> = config.backends[0]
        .servers
        .iter()
        .map(|server| server.id)
        .collect();
    assert_eq!(ids, [2, 1]);
    assert_eq!(
        config.frontends[1].client_timeout,
        Some(Duration::from_secs(1))
    );
    assert_eq!(&*config.frontends[1].place.file, "b.cfg");
}

#[test]
fn conditional_blocks_and_variables() {
    let text = "global\n setenv NODE n1\n presetenv NODE n2\n.if streq(\"$NODE\",n1) && defined(VIP)\n \
                node \"$NODE\"\n .if 0\n garbage\n .elif 1\n .notice \"hello $NODE\"\n .else\n \
                .alert no\n .endif\n.else\n node other\n.endif\n unsetenv VIP\n.if defined(VIP)\n \
                node wrong\n.endif\n.warning \"careful\"\n";
    let loaded = load_text(text).unwrap();
    assert_eq!(loaded.config.global.node, "n1");
    assert_eq!(loaded.notices[0].1, "hello n1");
    assert_eq!(lines(&loaded.warnings), "lb.cfg:20:1: warning: careful\n");
    check(".alert \"stop\"\n", &["1:1: stop"]);
    check(".if 1\n", &["1:1: this '.if' has no '.endif'"]);
    check(
        ".endif\n.else\n",
        &["1:1: '.endif' without '.if'", "2:1: '.else' without '.if'"],
    );
    check(
        ".if 1\n.else\n.else\n.endif\n",
        &["3:1: '.else' after '.else'"],
    );
    check(
        ".if 1 1\n.endif\n",
        &["1:5: unexpected character '1' at the end of condition '1 1'"],
    );
    check(
        ".fi\n",
        &["1:1: unknown directive '.fi'; did you mean '.if'?"],
    );
    check(
        "global\n resetenv HOME\n.if defined(VIP)\n.alert wrong\n.endif\n.if !defined(HOME)\n.alert wrong\n.endif\n",
        &[],
    );
}

#[test]
fn other_sections_are_read_over() {
    check(
        "peers p\n peer a 1.1.1.1:1\nuserlist u\n user a password b\nresolvers r\n nameserver n 1.1.1.1:53\n",
        &[
            "1:1: warning: section 'peers' has no effect: stick tables are not kept, so there is nothing to share",
            "5:1: warning: section 'resolvers' has no effect: names are looked up by the system, at start and at each reload",
        ],
    );
    check(
        "log-forward l\n bind :514\n",
        &[
            "1:1: section 'log-forward' is not supported: forwarding logs of others is not supported",
        ],
    );
}

/// The table itself: no keyword twice, every option that works has its arm.
#[test]
fn every_keyword_has_one_verdict() {
    let mut seen = std::collections::HashSet::new();
    for row in KEYWORDS {
        for name in row.names {
            let global = row.scope == keywords::Scope::Global;
            assert!(
                seen.insert((global, *name)),
                "{name} stands in the table twice"
            );
        }
    }
    for (kind, table) in [
        ("bind :2", BIND_OPTIONS),
        ("server s 1.1.1.1:1", SERVER_OPTIONS),
    ] {
        let mut seen = std::collections::HashSet::new();
        for name in table.iter().flat_map(|row| row.names) {
            assert!(seen.insert(*name), "{name} stands in the table twice");
            let _ = load_text(&format!("{TIMEOUTS}listen f\n bind :1\n {kind} {name} 1\n"));
        }
    }
}

#[test]
fn docs_keywords_md_is_what_the_table_prints() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/keywords.md");
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        written == keywords_markdown(),
        "docs/keywords.md is not what the table prints; print it anew with: evenkeel keywords"
    );
}

#[test]
fn the_sample_files_load() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../../config");
    let mut found = 0;
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "cfg") {
            found += 1;
            let text = std::fs::read(&path).unwrap();
            if let Err(problems) = load_anywhere(path.to_str().unwrap(), &text) {
                panic!("{}", lines(&problems));
            }
        }
    }
    assert!(found >= 3, "{found} sample files in {directory}");
}

/// A directory of files to compare with, beside the project; `None` where it is not.
fn shared(name: &str) -> Option<PathBuf> {
    let manifest = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let found = manifest
        .ancestors()
        .map(|up| up.join("shared").join(name))
        .find(|d| d.is_dir());
    if found.is_none() {
        println!("skipped: no shared/{name} beside the project");
    }
    found
}

/// Files of the field that HAProxy loads and that are refused here, and why.
const REFUSED: [(&str, &str); 17] = [
    (
        "009",
        "a frontend in mode tcp leads to a backend in mode http",
    ),
    ("028", "an ingress in mode http"),
    (
        "090",
        "HAProxy 3.0 refuses the ';' behind a port, too; the table was made with an older one",
    ),
    ("104", "the API itself in mode http"),
    ("105", "etcd and rancher in mode http"),
    ("136", "tcp-check rules find the redis master"),
    ("137", "balance first"),
    ("144", "balance first"),
    ("146", "use_backend"),
    ("151", "tcp-request content reject"),
    ("152", "tcp-check rules"),
    ("154", "tcp-request content reject"),
    (
        "155",
        "a frontend in mode tcp leads to a backend in mode http",
    ),
    ("164", "balance first, tcp-request content reject"),
    (
        "165",
        "balance first, tcp-request content reject, tcp-check rules",
    ),
    ("166", "tcp-request content reject, tcp-check rules"),
    (
        "f_modemix.cfg",
        "a frontend in mode tcp leads to a backend in mode http",
    ),
];

fn refused(file: &str) -> bool {
    REFUSED.iter().any(|(start, _)| file.starts_with(start))
}

fn load_anywhere(name: &str, text: &[u8]) -> Result<Loaded, Vec<Problem>> {
    let somewhere = |_: &str| Ok(vec!["192.0.2.1".parse().unwrap()]);
    let source = Source {
        name: name.to_owned(),
        text: text.to_vec(),
    };
    load(
        &[source],
        &Environment {
            variable: &|_| Some("192.0.2.2".to_owned()),
            lookup: &somewhere,
            hostname: "lb",
            allow_unresolved_servers: false,
        },
    )
}

/// The verdict on every file is HAProxy's, or its difference stands in the table above.
#[test]
fn files_of_the_field_load_as_in_haproxy() {
    let Some(corpus) = shared("corpus") else {
        return;
    };
    let verdicts = std::fs::read_to_string(corpus.join("ORACLE.tsv")).unwrap();
    let mut files = 0;
    for line in verdicts.lines().skip(1) {
        let fields: Vec<&str> = line.split('\t').collect();
        let (file, with_names) = (fields[0], fields[2]);
        let text = std::fs::read(corpus.join(file)).unwrap();
        let found = load_anywhere(file, &text);
        let ours = if found.is_ok() { "0" } else { "1" };
        let said = lines(&found.map_or_else(|problems| problems, |loaded| loaded.warnings));
        if refused(file) {
            assert_eq!(
                (ours, with_names),
                ("1", "0"),
                "{file} is no difference any more\n{said}"
            );
        } else {
            assert_eq!(ours, with_names, "{file}\n{said}");
        }
        files += 1;
    }
    assert!(files > 80, "{files} files");
}

#[test]
fn mistakes_are_judged_as_in_haproxy() {
    let Some(golden) = shared("haproxy/golden") else {
        return;
    };
    let expected = std::fs::read_to_string(golden.join("config_mistakes.txt")).unwrap();
    let mut files = 0;
    // Where the releases differ, 3.0 does as 2.6 did; 2.6 alone minds that nothing listens.
    for line in expected.lines().filter(|line| line.contains(" deb26: ")) {
        let file = line.split_whitespace().nth(1).unwrap();
        let verdict = if line.ends_with("rc=1") { "1" } else { "0" };
        let text = std::fs::read(golden.join("mistakes").join(file)).unwrap();
        let found = load_anywhere(file, &text);
        let ours = if found.is_ok() { "0" } else { "1" };
        let said = lines(&found.map_or_else(|problems| problems, |loaded| loaded.warnings));
        assert_eq!(ours == verdict, !refused(file), "{file}\n{said}");
        // HAProxy's own warnings are told in its words.
        let warnings = line.split("[WARNING]").skip(1);
        for warning in warnings {
            let text = warning.split(" : ").last().unwrap();
            let text = text.split('~').next().unwrap().trim_end_matches('.');
            assert!(said.contains(text), "{file}: {text}\n{said}");
        }
        files += 1;
    }
    assert!(files > 10, "{files} files");
}

/// Every keyword that HAProxy knows has a verdict.
#[test]
fn no_keyword_of_haproxy_is_unknown() {
    let Some(golden) = shared("haproxy/golden") else {
        return;
    };
    let mut missing = Vec::new();
    let mut found = 0;
    for release in ["2.6", "3.5"] {
        let list = std::fs::read_to_string(golden.join(release).join("keywords_cfg.txt")).unwrap();
        let mut section = "";
        for line in list.lines().filter(|line| !line.starts_with('#')) {
            let Some(line) = line.strip_prefix('\t') else {
                section = line;
                continue;
            };
            let words: Vec<&str> = line.split_whitespace().collect();
            let known = match (section, &words[..]) {
                ("global", [word, ..]) => is_known(true, &[word]),
                ("listen", ["bind", "<addr>", "ssl", word, ..] | ["bind", "<addr>", word, ..]) => {
                    keywords::find_option(BIND_OPTIONS, word).is_some()
                }
                ("listen", ["server", "<name>", "<addr>", word, ..]) => {
                    keywords::find_option(SERVER_OPTIONS, word).is_some()
                }
                ("listen", ["option", word, ..]) => is_known(false, &["option", word]),
                ("listen", ["tcp-request" | "tcp-response", ..]) if words.len() > 2 => {
                    is_known(false, &[words[0], words[1], words[2].trim_end_matches('*')])
                }
                ("listen", ["tcp-response", word]) => is_known(false, &[words[0], "content", word]),
                ("listen", [word, ..]) => is_known(false, &[word]),
                ("crt-list" | "crt-store" | "traces" | "acme" | "userlist" | "peers", _) => true,
                (other, _) => panic!("section {other}"),
            };
            found += 1;
            if !known {
                missing.push(format!("{release} {section}: {line}"));
            }
        }
    }
    assert!(found > 1000, "{found} keywords");
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

/// Whether words are a keyword, or begin one.
fn is_known(global: bool, words: &[&str]) -> bool {
    keywords::find(global, words).is_some()
        || !keywords::continuations(global, &words.join(" ")).is_empty()
}

fn any_word() -> impl Strategy<Value = String> {
    let names: Vec<String> = KEYWORDS
        .iter()
        .flat_map(|row| row.names.iter().map(|name| (*name).to_owned()))
        .chain(
            BIND_OPTIONS
                .iter()
                .chain(SERVER_OPTIONS)
                .flat_map(|row| row.names.iter().map(|name| (*name).to_owned())),
        )
        .chain(["no", "global", "from", "x", ".if", ".else", ".endif", "1"].map(str::to_owned))
        .collect();
    prop_oneof![
        4 => proptest::sample::select(names),
        1 => "[ -~]{0,8}",
        1 => "[0-9]{1,22}[a-z]{0,2}",
        1 => Just("1.1.1.1:1".to_owned()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    /// Whatever the lines say: no panic, and every problem points into the text.
    #[test]
    fn any_text_is_judged(
        sections in proptest::collection::vec(
            (
                proptest::sample::select(vec!["global", "defaults", "frontend a", "backend b", "listen c"]),
                proptest::collection::vec(proptest::collection::vec(any_word(), 1..6), 0..8),
            ),
            1..4,
        )
    ) {
        let mut text = String::new();
        for (section, rows) in sections {
            text.push_str(section);
            for words in rows {
                text.push_str("\n ");
                text.push_str(&words.join(" "));
            }
            text.push('\n');
        }
        let problems = load_text(&text).map_or_else(|problems| problems, |loaded| loaded.warnings);
        let lengths: Vec<usize> = text.lines().map(|line| line.chars().count()).collect();
        for problem in problems {
            let line = problem.place.line as usize;
            prop_assert!(line >= 1 && line <= lengths.len(), "{problem}");
            prop_assert!(problem.place.column as usize <= lengths[line - 1].max(1), "{problem}");
        }
    }

    /// Bytes that are no text either.
    #[test]
    fn any_bytes_are_judged(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = load_all(&[("lb.cfg", &bytes)]);
    }
}
