//! Over 600 lines because it goes through all that is said of a text.
//!
//! The reader and `resolve` together: text in, problems or configuration out. Here what is said
//! about a text; what values come out, and whether HAProxy agrees, beside it.

mod agreement;
mod load;
mod net;
mod others;
mod privileges;
mod resolvers;
mod values;

use std::io;
use std::net::IpAddr;
use std::time::Duration;

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
            read: &|path| match path.to_str() {
                Some("/etc/resolv.conf") => Ok(b"nameserver 10.0.0.99\n".to_vec()),
                _ => Err(std::io::ErrorKind::NotFound.into()),
            },
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

/// What HAProxy 3.0 refuses although nothing would go otherwise without it.
#[test]
fn what_haproxy_dropped_is_refused() {
    check(
        "global\n stats bind-process 1\n tune.chksize 16384\n",
        &[
            "2:2: 'stats bind-process' is not supported: HAProxy dropped it in 2.5; remove the line",
            "3:2: 'tune.chksize' is not supported: HAProxy dropped it; remove the line, checks have \
             the room they need",
        ],
    );
    check_line(
        "server s 1.1.1.1:1 redir http://x",
        &[
            "8:21: 'redir' on a server is not supported: it needs mode http, and HAProxy refuses it \
           in mode tcp, too; remove it",
        ],
    );
}

#[test]
fn answers_over_http_have_one_kind_of_line() {
    check(
        "defaults\n timeout client 1s\n log 127.0.0.1 local0\nfrontend f\n bind :1\n mode http\n \
         monitor-uri /healthz\n log-format \"%ci\"\n",
        &[
            "8:2: warning: 'log-format' has no effect in frontend 'f': what is answered here is logged \
             as 'option httplog' has it",
        ],
    );
}

#[test]
fn options_that_a_variable_leaves_out_are_none() {
    check_line("server s 1.1.1.1:1 check \"${UNSET}\"", &[]);
    check_line("default-server \"\"", &[]);
    check_line("bind :7443 \"${UNSET}\"", &[]);
}

#[test]
fn a_key_for_cookies_changes_nothing_in_mode_tcp() {
    check_line("dynamic-cookie-key secret", &[]);
}

const SEED: &str = include_str!("../../../../../config/seed.cfg");

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
    let check = second.check.as_ref().unwrap();
    assert!(check.script.is_plain_connect());
    assert_eq!(check.script.kind, CheckKind::TcpCheck);
    assert_eq!(check.address, address);
    assert_eq!([check.inter, check.fastinter, check.downinter], [two; 3]);
    assert_eq!((check.rise, check.fall), (2, 3));
    assert_eq!([check.connect_timeout, check.read_timeout], [two; 2]);
}

#[test]
fn typos_are_named_with_what_was_meant() {
    check_line(
        "balanse roundrobin",
        &["8:2: unknown keyword 'balanse' in 'listen' section; did you mean 'balance'?"],
    );
    check_line(
        "balance roundrobbin",
        &["8:10: unknown balance algorithm 'roundrobbin'; did you mean 'roundrobin'?"],
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
    check_line(
        "qqq",
        &[
            "8:2: unknown keyword 'qqq' in 'listen' section; 'evenkeel keywords' lists those that are known",
        ],
    );
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
            "8:11: server 's': missing address in ':6443'; if a variable stands for it, it has no value here (connecting to the client's own destination is not supported)",
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
            b"global\n maxconn x\n spread-checks 60\n foo\n noepoll\n",
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
         b.cfg:4:2: unknown keyword 'foo' in 'global' section; 'evenkeel keywords' lists those \
         that are known\n\
         b.cfg:5:2: warning: 'noepoll' has no effect: it concerns HAProxy's own event loop and \
         diagnostics\n\
         a.cfg:1:10: warning: missing timeouts for frontend 'f': set 'timeout client' to a \
         non-zero value, lest idle peers are kept for ever\n\
         a.cfg:2:7: 'bind': '10.0.0.300' is not an IPv4 address in '10.0.0.300:1': each of its \
         numbers is 0 to 255\n\
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
    check(&text, &[]);
    let loaded = load_text(&text).unwrap();
    let ids: Vec<u32> = loaded
        .config
        .frontends
        .iter()
        .map(|frontend| frontend.id)
        .collect();
    assert_eq!(ids, [2, 3, 4]);
    let answers = |at: usize| loaded.config.frontends[at].http.as_deref();
    assert_eq!(
        answers(0).unwrap().stages[0].stats.as_ref().unwrap().uri,
        "/haproxy?stats"
    );
    assert_eq!(
        answers(1).unwrap().monitor.as_ref().unwrap().uri,
        "/healthz"
    );
    assert_eq!(answers(2), None);

    let web = "frontend web\n mode http\n bind :80\n default_backend app\nbackend app\n mode \
               http\n server s 1.1.1.1:80\n";
    check(
        &format!("{TIMEOUTS}{web}"),
        &[
            "6:10: frontend 'web' carries traffic ('default_backend' in line 9) in a mode other than tcp (set in line 7), which is not supported; write 'mode tcp' in it if plain TCP will do",
        ],
    );
    check(
        &format!(
            "{TIMEOUTS}frontend f\n bind :1\n default_backend app\nbackend app\n mode http\n server s 1.1.1.1:80\n"
        ),
        &[
            "9:9: backend 'app' carries traffic ('server' in line 11) in a mode other than tcp (set in line 10), which is not supported; write 'mode tcp' in it if plain TCP will do",
        ],
    );
    check(
        &format!("{TIMEOUTS}backend unused\n mode http\n server s 1.1.1.1:80 ssl\n"),
        &[
            "6:9: warning: backend 'unused' is in mode http (set in line 7) and carries no traffic: it is left out",
        ],
    );
}

#[test]
fn what_must_not_be_ignored_is_refused_and_says_why() {
    for (line, keyword) in [
        (
            "tcp-request connection set-mark 5",
            "'tcp-request connection set-mark'",
        ),
        (
            "tcp-response content reject",
            "'tcp-response content reject'",
        ),
        ("balance sticky", "'balance sticky'"),
        ("stick on src", "'stick on'"),
        ("server s 1.1.1.1:1 ssl verify none", "'ssl' on a server"),
        (
            "server s 1.1.1.1:1 socks4 1.2.3.4:1 check",
            "'socks4' on a server",
        ),
        ("bind :1 ssl crt x", "'ssl' on a bind"),
        (
            "bind :1 accept-netscaler-cip 5",
            "'accept-netscaler-cip' on a bind",
        ),
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
        "server s 1.1.1.1:1 guid a\n server t 1.1.1.1:2 guid b\n server u 1.1.1.1:3 guid c",
        &[
            "8:21: warning: 'guid' on a server has no effect: servers are known by name and id (and 2 more times)",
        ],
    );
    check_line("acl x src 1.1.1.1\n option independent-streams", &[]);
    check_line(
        "option persist",
        &[
            "8:2: warning: 'option persist' has no effect: 'use-server' takes no server that is down: the client goes to another",
        ],
    );
    let loaded = load_text(&format!(
        "{TIMEOUTS}listen f\n bind :1\n  option  independent-streams\n"
    ))
    .unwrap();
    let found: Vec<String> = loaded
        .without_effect
        .iter()
        .map(|(place, line)| format!("{place} {line}"))
        .collect();
    assert_eq!(found, ["lb.cfg:8:3 option  independent-streams"]);
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
        &[&format!("10:2: server 's': {no_ca}")],
    );
    check_line("server s 1.1.1.1:1 check check-ssl verify none", &[]);
    check(
        &format!(
            "global\n ssl-server-verify none\n{TIMEOUTS}listen f\n bind :1\n server s 1.1.1.1:1 check check-ssl\n"
        ),
        &[],
    );
}

#[test]
fn arguments_that_are_too_many_or_missing() {
    check_line(
        "option nolinger x",
        &["8:18: unexpected argument 'x' after 'option nolinger'"],
    );
    check_line(
        "acl",
        &["8:2: 'acl' needs a name and what it tests, as in: acl internal src 10.0.0.0/8"],
    );
    check_line("cookie", &["8:2: 'cookie' needs an argument after it"]);
    check_line(
        "errorfile",
        &["8:2: 'errorfile' needs an argument after it"],
    );
    check_line(
        "no option tcpka",
        &["8:5: 'no' cannot stand before 'option tcpka'"],
    );
    check_line("no option nolinger", &[]);
    check_line(
        "bind :2,,:4",
        &["8:10: 'bind': missing port in ''; write it after a colon, as in :6443"],
    );
    check_line(
        "bind \":2,,:4\"",
        &["8:7: 'bind': missing port in ''; write it after a colon, as in :6443"],
    );
    check(
        &format!("{TIMEOUTS}backend b\n timeout client 25d\n"),
        &[
            "7:2: warning: 'timeout client' ignored because backend 'b' has no frontend capability",
            "7:17: 'timeout client': time '25d' is too long; the longest is 2147483647 ms (24.8 days)",
        ],
    );
}

#[test]
fn lines_name_acls_and_nothing_that_has_gone_by() {
    let said = |sample: &str| {
        let text = format!(
            "{TIMEOUTS}listen f\n bind :1\n log stdout local0\n server s 1.1.1.1:1\n acl here src 10.0.0.0/8\n log-format \"{sample}\"\n"
        );
        load_text(&text)
            .err()
            .map(|problems| format!("{problems:?}"))
    };
    for sample in ["%[acl(here)]", "%[be_conn]", "%[wait_end]", "%[srv_name]"] {
        assert_eq!(said(sample), None, "{sample}");
    }
    for sample in ["%[acl(gone)]", "%[req.len]", "%[req.ssl_sni]"] {
        assert!(said(sample).is_some(), "{sample}");
    }
}
