//! `-c`: which files load, which do not and where the trouble is, with which exit code.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::support::balancer::{Finished, temporary_directory};
use crate::support::{Program, not_run};

/// Files that operators write and files with one mistake each.
const FILES: &[(&str, &str)] = &[
    (
        "the smallest file that listens",
        "listen api\n    bind 127.0.0.1:6443\n    server s1 127.0.0.1:1\n",
    ),
    (
        "a control plane's file",
        "
frontend kubernetes-frontend
    bind 10.0.1.10:6443
    mode tcp
    option tcplog
    default_backend kubernetes-backend

backend kubernetes-backend
    mode tcp
    balance roundrobin
    option tcp-check
    server master1 10.0.1.11:6443 check fall 3 rise 2
    server master2 10.0.1.12:6443 check fall 3 rise 2
",
    ),
    ("an empty file", "\n"),
    (
        "polling without a rest, and not",
        "global\n    busy-polling\n    no busy-polling\n",
    ),
    (
        "polling with a word too many",
        "global\n    busy-polling on\n",
    ),
    (
        "a pipe size that is none",
        "global\n    tune.pipesize large\n",
    ),
    (
        "a user twice, and zero",
        "global\n    uid 99\n    user nobody\n    gid 0\nlisten api\n    bind :6443\n",
    ),
    (
        "a user's name as a number",
        "global\n    uid haproxy\nlisten api\n    bind :6443\n",
    ),
    ("a chroot without directory", "global\n    chroot\n"),
    (
        "a chroot that is not there",
        "global\n    chroot /no/such/directory\nlisten api\n    bind :6443\n",
    ),
    (
        "a capability that is none",
        "global\n    setcap cap_net_rw\n",
    ),
    ("no capability", "global\n    setcap\n"),
    (
        "every keyword of rights",
        "global\n    uid 99\n    gid 98\n    chroot /tmp\n    setcap cap_net_raw,cap_net_admin\n    \
         set-dumpable\n    no set-dumpable\n    insecure-setuid-wanted\n    ulimit-n 500\n    \
         fd-hard-limit 5000\n    unix-bind prefix /tmp mode 600 user root group root\nlisten api\n    \
         bind /x mode 777 uid 1 gid 1\n    bind :6443 mode 777\n",
    ),
    (
        "a default of Unix sockets that is none",
        "global\n    unix-bind owner root\n",
    ),
    ("a pipe size that is missing", "global\n    tune.pipesize\n"),
    ("comments alone", "# nothing\n   # here\n"),
    ("a global section alone", "global\n    maxconn 100\n"),
    (
        "a last line without its end",
        "listen api\n    bind :6443\n    server s1 127.0.0.1:1",
    ),
    (
        "Windows line ends",
        "listen api\r\n    bind :6443\r\n    server s1 127.0.0.1:1\r\n",
    ),
    (
        "tabs",
        "listen\tapi\n\tbind\t:6443\n\tserver\ts1\t127.0.0.1:1\tcheck\n",
    ),
    ("a keyword before any section", "    bind :6443\n"),
    ("an unknown section", "frontent api\n    bind :6443\n"),
    ("a section without a name", "frontend\n    bind :6443\n"),
    (
        "a section with two names",
        "frontend one two\n    bind :6443\n",
    ),
    (
        "a name with a letter that is not allowed",
        "frontend on/e\n    bind :6443\n",
    ),
    (
        "an unknown keyword",
        "listen api\n    bind :6443\n    balanced roundrobin\n    server s1 127.0.0.1:1\n",
    ),
    (
        "an unknown option",
        "listen api\n    bind :6443\n    option tcplogg\n",
    ),
    (
        "an unknown timeout",
        "listen api\n    bind :6443\n    timeout conect 5s\n",
    ),
    (
        "a timeout without a value",
        "listen api\n    bind :6443\n    timeout connect\n",
    ),
    (
        "a timeout that is no time",
        "listen api\n    bind :6443\n    timeout connect soon\n",
    ),
    (
        "a timeout of a unit that there is not",
        "listen api\n    bind :6443\n    timeout connect 5x\n",
    ),
    (
        "a timeout too long",
        "listen api\n    bind :6443\n    timeout connect 100d\n",
    ),
    (
        "a negative timeout",
        "listen api\n    bind :6443\n    timeout connect -5s\n",
    ),
    (
        "a fraction of a second",
        "listen api\n    bind :6443\n    timeout connect 1.5s\n",
    ),
    (
        "an unknown balance algorithm",
        "listen api\n    bind :6443\n    balance rr\n    server s1 127.0.0.1:1\n",
    ),
    (
        "an unknown mode",
        "listen api\n    mode udp\n    bind :6443\n",
    ),
    (
        "a missing backend",
        "frontend api\n    bind :6443\n    default_backend nowhere\n",
    ),
    (
        "a backend named twice",
        "backend b\n    server s 127.0.0.1:1\nbackend b\n    server s 127.0.0.1:1\n",
    ),
    (
        "a frontend named twice",
        "frontend f\n    bind :6443\nfrontend f\n    bind :6444\n",
    ),
    (
        "a frontend and a backend of one name",
        "frontend x\n    bind :6443\n    default_backend x\nbackend x\n    server s 127.0.0.1:1\n",
    ),
    (
        "a listen and a backend of one name",
        "listen x\n    bind :6443\n    server s 127.0.0.1:1\nbackend x\n    server s 127.0.0.1:1\n",
    ),
    (
        "a server named twice",
        "listen api\n    bind :6443\n    server s 127.0.0.1:1\n    server s 127.0.0.1:2\n",
    ),
    (
        "a server without an address",
        "listen api\n    bind :6443\n    server s1\n",
    ),
    (
        "a server whose port is no number",
        "listen api\n    bind :6443\n    server s1 127.0.0.1:https\n",
    ),
    (
        "a server whose port is too high",
        "listen api\n    bind :6443\n    server s1 127.0.0.1:65536\n",
    ),
    (
        "a server that is checked without a port",
        "listen api\n    bind :6443\n    server s1 127.0.0.1 check\n",
    ),
    (
        "a server at the client's port",
        "listen api\n    bind :6443\n    server s1 127.0.0.1\n",
    ),
    (
        "a server at the client's port, moved",
        "listen api\n    bind :6443\n    server s1 127.0.0.1:+1000\n",
    ),
    (
        "a server at a port range",
        "listen api\n    bind :6443\n    server s1 127.0.0.1:80-90\n",
    ),
    (
        "a server on IPv6",
        "listen api\n    bind :6443\n    server s1 [::1]:6443\n    server s2 ::1:6443\n",
    ),
    (
        "a server at a path",
        "listen api\n    bind :6443\n    server s1 /run/api.sock\n    server s2 unix@/run/b.sock\n",
    ),
    (
        "a server at an abstract name",
        "listen api\n    bind :6443\n    server s1 abns@api\n",
    ),
    (
        "a server in a frontend",
        "frontend api\n    bind :6443\n    server s1 127.0.0.1:1\n",
    ),
    (
        "a bind in a backend",
        "listen api\n    bind :6443\n    server s1 127.0.0.1:1\nbackend other\n    bind :6444\n",
    ),
    ("a bind without an address", "listen api\n    bind\n"),
    ("a bind without a port", "listen api\n    bind 127.0.0.1\n"),
    ("a bind to port 0", "listen api\n    bind 127.0.0.1:0\n"),
    (
        "a bind with an unknown option",
        "listen api\n    bind :6443 transparant\n",
    ),
    (
        "a bind to a range",
        "listen api\n    bind 127.0.0.1:6443-6445\n    server s1 127.0.0.1:1\n",
    ),
    (
        "a bind to a range that ends before it begins",
        "listen api\n    bind 127.0.0.1:6445-6443\n",
    ),
    (
        "binds of every form",
        "listen api\n    bind :6443,*:6444,127.0.0.1:6445\n    bind [::1]:6443\n    bind :::6446\n    bind ipv4@:6447\n    bind ipv6@:6448\n    bind /run/api.sock\n    bind abns@api\n    server s1 127.0.0.1:1\n",
    ),
    (
        "bind options",
        "listen api\n    bind :6443 name x maxconn 5 backlog 10 interface lo v4v6 tcp-ut 30s\n    bind :::6443 v6only transparent\n    server s1 127.0.0.1:1\n",
    ),
    (
        "inter 0",
        "listen api\n    bind :6443\n    server s1 127.0.0.1:1 check inter 0\n",
    ),
    (
        "inter without a value",
        "listen api\n    bind :6443\n    server s1 127.0.0.1:1 check inter\n",
    ),
    (
        "rise 0",
        "listen api\n    bind :6443\n    server s1 127.0.0.1:1 check rise 0\n",
    ),
    (
        "fall 0",
        "listen api\n    bind :6443\n    server s1 127.0.0.1:1 check fall 0\n",
    ),
    (
        "rise that is no number",
        "listen api\n    bind :6443\n    server s1 127.0.0.1:1 check rise two\n",
    ),
    (
        "a weight too high",
        "listen api\n    bind :6443\n    server s1 127.0.0.1:1 weight 257\n",
    ),
    (
        "a weight of 256",
        "listen api\n    bind :6443\n    server s1 127.0.0.1:1 weight 256\n",
    ),
    (
        "a negative weight",
        "listen api\n    bind :6443\n    server s1 127.0.0.1:1 weight -1\n",
    ),
    (
        "an unknown server option",
        "listen api\n    bind :6443\n    server s1 127.0.0.1:1 chekc\n",
    ),
    (
        "check port and addr",
        "listen api\n    bind :6443\n    server s1 127.0.0.1:1 check port 2 addr 127.0.0.2\n",
    ),
    (
        "a check port of 0",
        "listen api\n    bind :6443\n    server s1 127.0.0.1:1 check port 0\n",
    ),
    (
        "on-marked-down",
        "listen api\n    bind :6443\n    server s1 127.0.0.1:1 check on-marked-down shutdown-sessions\n",
    ),
    (
        "an unknown on-marked-down",
        "listen api\n    bind :6443\n    server s1 127.0.0.1:1 check on-marked-down close\n",
    ),
    (
        "default-server",
        "listen api\n    bind :6443\n    default-server inter 1s fall 2 check weight 5\n    server s1 127.0.0.1:1\n    server s2 127.0.0.1:2 no-check\n",
    ),
    (
        "default-server with an address",
        "listen api\n    bind :6443\n    default-server 127.0.0.1:1\n",
    ),
    (
        "backup and disabled",
        "listen api\n    bind :6443\n    option allbackups\n    server s1 127.0.0.1:1 backup\n    server s2 127.0.0.1:2 disabled\n",
    ),
    (
        "retries",
        "listen api\n    bind :6443\n    retries 0\n    option redispatch 2\n    server s1 127.0.0.1:1\n",
    ),
    (
        "retries without a value",
        "listen api\n    bind :6443\n    retries\n",
    ),
    (
        "no option",
        "listen api\n    bind :6443\n    no option redispatch\n    no option tcplog\n    server s1 127.0.0.1:1\n",
    ),
    (
        "no before a keyword that has none",
        "listen api\n    no bind :6443\n",
    ),
    (
        "an argument too many",
        "listen api\n    bind :6443\n    mode tcp tcp\n",
    ),
    (
        "an argument too many for an option",
        "listen api\n    bind :6443\n    option tcpka yes\n",
    ),
    (
        "an argument too many for a timeout",
        "listen api\n    bind :6443\n    timeout connect 5s 6s\n",
    ),
    (
        "maxconn",
        "global\n    maxconn 2000\nlisten api\n    bind :6443\n    maxconn 100\n    backlog 50\n    server s1 127.0.0.1:1\n",
    ),
    (
        "maxconn that is no number",
        "global\n    maxconn many\nlisten api\n    bind :6443\n    server s1 127.0.0.1:1\n",
    ),
    (
        "maxconn twice",
        "global\n    maxconn 10\n    maxconn 20\nlisten api\n    bind :6443\n    server s1 127.0.0.1:1\n",
    ),
    (
        "an unknown global keyword",
        "global\n    nosuch 1\nlisten api\n    bind :6443\n    server s1 127.0.0.1:1\n",
    ),
    (
        "nbthread",
        "global\n    nbthread 2\nlisten api\n    bind :6443\n    server s1 127.0.0.1:1\n",
    ),
    (
        "nbthread 0",
        "global\n    nbthread 0\nlisten api\n    bind :6443\n    server s1 127.0.0.1:1\n",
    ),
    (
        "nbthread too many",
        "global\n    nbthread 100000\nlisten api\n    bind :6443\n    server s1 127.0.0.1:1\n",
    ),
    (
        "spread-checks",
        "global\n    spread-checks 50\nlisten api\n    bind :6443\n    server s1 127.0.0.1:1\n",
    ),
    (
        "spread-checks too wide",
        "global\n    spread-checks 51\nlisten api\n    bind :6443\n    server s1 127.0.0.1:1\n",
    ),
    (
        "hard-stop-after",
        "global\n    hard-stop-after 30s\nlisten api\n    bind :6443\n    server s1 127.0.0.1:1\n",
    ),
    (
        "hard-stop-after that is no time",
        "global\n    hard-stop-after later\n",
    ),
    (
        "logs",
        "global\n    log 127.0.0.1:514 local0\n    log /dev/log local1 notice\n    log stdout format raw local0 debug info\n    log 127.0.0.1 len 2048 format rfc5424 daemon\ndefaults\n    log global\nlisten api\n    bind :6443\n    option tcplog\n    log 127.0.0.1 local2 err\n    server s1 127.0.0.1:1\n",
    ),
    (
        "a log without a facility",
        "global\n    log 127.0.0.1:514\n",
    ),
    (
        "a log with an unknown facility",
        "global\n    log 127.0.0.1:514 local9\n",
    ),
    (
        "a log with an unknown level",
        "global\n    log 127.0.0.1:514 local0 loud\n",
    ),
    (
        "a log with an unknown format",
        "global\n    log 127.0.0.1:514 format fancy local0\n",
    ),
    (
        "log global in the global section",
        "global\n    log global\n",
    ),
    ("log-tag without a value", "global\n    log-tag\n"),
    (
        "quotes and escapes",
        "listen \"api\"\n    bind ':6443'\n    server s\\ 1 \"127.0.0.1:1\" # a comment\n    server s2 127.0.0.1:2 \\# no comment\n",
    ),
    (
        "quotes and escapes that are right",
        "listen \"api\"\n    bind ':64'43\n    server s\\x31 \"127.0.0.1:1\" # a comment\n",
    ),
    (
        "a quote that does not end",
        "listen api\n    bind \":6443\n    server s1 127.0.0.1:1\n",
    ),
    (
        "a single quote that does not end",
        "listen api\n    bind ':6443\n    server s1 127.0.0.1:1\n",
    ),
    (
        "a variable with a default",
        "listen api\n    bind \":${EVENKEEL_NO_SUCH_PORT-6443}\"\n    server s1 127.0.0.1:1\n",
    ),
    (
        "a variable that is not set",
        "listen api\n    bind \":${EVENKEEL_NO_SUCH_PORT}\"\n    server s1 127.0.0.1:1\n",
    ),
    (
        "a variable whose brace does not end",
        "listen api\n    bind \":${EVENKEEL_NO_SUCH_PORT\"\n",
    ),
    (
        "named defaults",
        "defaults base\n    timeout connect 1s\n    timeout client 1s\n    timeout server 1s\ndefaults more from base\n    retries 1\nlisten api from more\n    bind :6443\n    server s1 127.0.0.1:1\n",
    ),
    (
        "defaults that there are not",
        "listen api from nowhere\n    bind :6443\n",
    ),
    (
        "defaults named twice",
        "defaults a\n    retries 1\ndefaults a\n    retries 2\nlisten api from a\n    bind :6443\n    server s1 127.0.0.1:1\n",
    ),
    (
        "mode http above, tcp below",
        "defaults\n    mode http\n    option httplog\n    option dontlognull\n    option http-server-close\n    option forwardfor except 127.0.0.0/8\n    timeout http-request 10s\n    timeout http-keep-alive 10s\n    timeout connect 5s\n    timeout client 5s\n    timeout server 5s\nfrontend api\n    bind :6443\n    mode tcp\n    option tcplog\n    default_backend b\nbackend b\n    mode tcp\n    server s1 127.0.0.1:1 check\n",
    ),
    (
        "a TCP frontend without servers",
        "frontend api\n    bind :6443\n",
    ),
    (
        "a backend without servers",
        "frontend api\n    bind :6443\n    default_backend b\nbackend b\n",
    ),
    (
        "keepalive",
        "listen api\n    bind :6443\n    option tcpka\n    option clitcpka\n    option srvtcpka\n    clitcpka-idle 10s\n    clitcpka-intvl 5s\n    clitcpka-cnt 3\n    srvtcpka-idle 10s\n    server s1 127.0.0.1:1 tcp-ut 30s\n",
    ),
    (
        "keepalive that is no number",
        "listen api\n    bind :6443\n    clitcpka-cnt three\n",
    ),
    (
        "Debian's own defaults",
        "global\n    log /dev/log local0\n    log /dev/log local1 notice\n    stats timeout 30s\n    daemon\n    ca-base /etc/ssl/certs\n    crt-base /etc/ssl/private\n    ssl-default-bind-options ssl-min-ver TLSv1.2 no-tls-tickets\ndefaults\n    log global\n    mode http\n    option httplog\n    option dontlognull\n    timeout connect 5000\n    timeout client 50000\n    timeout server 50000\n",
    ),
    (
        "two mistakes",
        "listen api\n    bind :6443\n    balanced roundrobin\n    timeout conect 5s\n    server s1 127.0.0.1:1\n",
    ),
];

/// Files that HAProxy takes although a value means nothing: here they are refused, line named.
const STRICTER: &[(&str, &str)] = &[
    (
        "a check port too high",
        "listen api\n    bind :6443\n    server s1 127.0.0.1:1 check port 70000\n",
    ),
    (
        "retries that are no number",
        "listen api\n    bind :6443\n    retries many\n",
    ),
    (
        "redispatch that is no number",
        "listen api\n    bind :6443\n    option redispatch often\n",
    ),
];

/// The lines that messages point at: `[lb.cfg:7]` or `lb.cfg:7:9`.
fn lines_named(output: &str) -> BTreeSet<u32> {
    output
        .split("lb.cfg:")
        .skip(1)
        .filter_map(|rest| {
            let digits = rest.split(|letter: char| !letter.is_ascii_digit()).next()?;
            digits.parse().ok()
        })
        .collect()
}

/// Lines of messages that stop the file from loading.
fn fatal_lines(finished: &Finished) -> BTreeSet<u32> {
    let fatal = finished.stderr.lines().filter(|line| {
        !line.starts_with("[WARNING]")
            && !line.starts_with("[NOTICE]")
            && !line.contains("warning:")
    });
    lines_named(&fatal.collect::<Vec<_>>().join("\n"))
}

fn check(program: &Program, file: &Path, options: &[&str]) -> Finished {
    let mut arguments = vec!["-c"];
    arguments.extend(options);
    arguments.extend(["-f", file.to_str().unwrap()]);
    program.run(arguments)
}

#[test]
fn the_same_files_load() {
    let Some(oracle) = Program::oracle_for("-c verdicts") else {
        return;
    };
    let under_test = Program::under_test();
    let directory = temporary_directory();
    let file = directory.join("lb.cfg");
    let mut wrong = Vec::new();
    let (mut loaded, mut refused) = (0, 0);
    for (what, text) in FILES {
        std::fs::write(&file, text).unwrap();
        let theirs = check(&oracle, &file, &[]);
        let ours = check(&under_test, &file, &[]);
        if theirs.code() == 0 {
            loaded += 1
        } else {
            refused += 1
        }
        if theirs.code() != ours.code() {
            wrong.push(format!(
                "{what}: exit {}, HAProxy {}\n  HAProxy said: {}\n  evenkeel said: {}",
                ours.code(),
                theirs.code(),
                theirs.stderr.trim(),
                ours.stderr.trim()
            ));
        } else if ours.code() != 0
            && !fatal_lines(&theirs)
                .first()
                .is_none_or(|line| fatal_lines(&ours).contains(line))
        {
            wrong.push(format!(
                "{what}: names lines {:?}, HAProxy {:?}\n  HAProxy said: {}\n  evenkeel said: {}",
                fatal_lines(&ours),
                fatal_lines(&theirs),
                theirs.stderr.trim(),
                ours.stderr.trim()
            ));
        }
    }
    std::fs::remove_dir_all(directory).unwrap();
    assert!(
        loaded > 20 && refused > 20,
        "HAProxy loads {loaded} and refuses {refused}"
    );
    assert!(
        wrong.is_empty(),
        "{} of {} differ:\n{}",
        wrong.len(),
        FILES.len(),
        wrong.join("\n")
    );
}

#[test]
fn values_that_mean_nothing_are_refused_though_haproxy_takes_them() {
    let Some(oracle) = Program::oracle_for("-c, where it is stricter") else {
        return;
    };
    let directory = temporary_directory();
    let file = directory.join("lb.cfg");
    for (what, text) in STRICTER {
        std::fs::write(&file, text).unwrap();
        assert_eq!(
            check(&oracle, &file, &[]).code(),
            0,
            "{what}: no longer a difference"
        );
        let ours = check(&Program::Evenkeel, &file, &[]);
        assert_eq!(ours.code(), 1, "{what}");
        assert_eq!(
            fatal_lines(&ours),
            BTreeSet::from([3]),
            "{what}: {}",
            ours.stderr
        );
    }
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn options_and_files_of_the_command_line() {
    let Some(oracle) = Program::oracle_for("-c command lines") else {
        return;
    };
    let under_test = Program::under_test();
    let directory = temporary_directory();
    let write = |name: &str, text: &str| -> String {
        let path = directory.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let timeouts =
        "defaults\n    timeout connect 1s\n    timeout client 1s\n    timeout server 1s\n";
    let good = write(
        "good.cfg",
        &format!("{timeouts}listen api\n    bind :6443\n    server s1 127.0.0.1:1\n"),
    );
    let warned = write(
        "warned.cfg",
        "listen api\n    bind :6443\n    server s1 127.0.0.1:1\n",
    );
    let bad = write("bad.cfg", "listen api\n    nosuch\n");
    let half = write(
        "half.cfg",
        &format!("{timeouts}frontend f\n    bind :6443\n    default_backend b\n"),
    );
    let other = write("other.cfg", "backend b\n    server s1 127.0.0.1:1\n");
    write(
        "parts/10-first.cfg",
        &format!("{timeouts}frontend f\n    bind :6443\n    default_backend b\n"),
    );
    write(
        "parts/20-second.cfg",
        "backend b\n    server s1 127.0.0.1:1\n",
    );
    write("parts/ignored.txt", "nonsense\n");
    write("empty/ignored.txt", "nonsense\n");
    let path = |name: &str| directory.join(name).to_str().unwrap().to_owned();
    let (parts, empty, missing) = (path("parts"), path("empty"), path("missing.cfg"));

    let command_lines: Vec<Vec<&str>> = vec![
        vec!["-c", "-f", &good],
        vec!["-c", "-q", "-f", &good],
        vec!["-c", "-V", "-f", &good],
        vec!["-f", &good, "-c"],
        vec!["-c", "-dW", "-f", &good],
        vec!["-c", "-f", &warned],
        vec!["-c", "-dW", "-f", &warned],
        vec!["-c", "-q", "-dW", "-f", &warned],
        vec!["-c", "-f", &bad],
        vec!["-c", "-q", "-f", &bad],
        vec!["-c", "-V", "-f", &bad],
        vec!["-c", "-f", &half],
        vec!["-c", "-f", &half, "-f", &other],
        vec!["-c", "-f", &half, &other],
        vec!["-c", "--", &half, &other],
        vec!["-c", "-f", &parts],
        vec!["-c", "-f", &empty],
        vec!["-c", "-f", &missing],
        vec!["-c"],
        vec!["-c", "-f"],
        vec!["-c", "-Ws", "-q", "-f", &good],
        vec!["-c", "-W", "-D", "-f", &good],
        vec![
            "-c",
            "-n",
            "100",
            "-m",
            "512",
            "-L",
            "peer",
            "-p",
            "/nonexistent/pid",
            "-f",
            &good,
        ],
        vec!["-c", "-C", directory.to_str().unwrap(), "-f", "good.cfg"],
        vec!["-v"],
        vec!["-vv"],
        vec!["-Z"],
        vec![],
    ];
    let mut wrong = Vec::new();
    for arguments in &command_lines {
        let theirs = oracle.run(arguments);
        let ours = under_test.run(arguments);
        if theirs.code() != ours.code() {
            wrong.push(format!(
                "{arguments:?}: exit {}, HAProxy {}; evenkeel said: {}{}",
                ours.code(),
                theirs.code(),
                ours.stdout,
                ours.stderr
            ));
        }
        if theirs.stdout.contains("Configuration file is valid")
            != ours.stdout.contains("Configuration file is valid")
        {
            wrong.push(format!(
                "{arguments:?}: stdout {:?}, HAProxy {:?}",
                ours.stdout, theirs.stdout
            ));
        }
        if arguments.contains(&"-q")
            && (!ours.stdout.is_empty() || ours.stderr.is_empty() != theirs.stderr.is_empty())
        {
            wrong.push(format!(
                "{arguments:?}: quiet, but said {:?} {:?}; HAProxy {:?} {:?}",
                ours.stdout, ours.stderr, theirs.stdout, theirs.stderr
            ));
        }
    }
    std::fs::remove_dir_all(&directory).unwrap();
    assert!(
        wrong.is_empty(),
        "{} of {} differ:\n{}",
        wrong.len(),
        command_lines.len(),
        wrong.join("\n")
    );
}

/// Files from the field, beside this repository where they are at hand.
fn corpus() -> Option<Vec<PathBuf>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus");
    let mut files: Vec<PathBuf> = std::fs::read_dir(directory)
        .ok()?
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "cfg"))
        .collect();
    files.sort();
    Some(files)
}

/// What a TCP balancer may say of a file that HAProxy loads: it names what it does not do. Anything
/// else is a file that it misreads.
fn is_refusal_by_name(line: &str) -> bool {
    // The port that a refused 'tcp-check connect port' would have named is then missing.
    let of_tcp_check = "has neither a port nor a check port";
    ["not supported", "mode http", "does not", of_tcp_check]
        .iter()
        .any(|words| line.contains(words))
}

#[test]
fn files_from_the_field_load_or_name_what_is_not_done() {
    const TEST: &str = "-c on files from the field";
    let Some(oracle) = Program::oracle_for(TEST) else {
        return;
    };
    let Some(files) = corpus() else {
        return not_run(TEST, "no ../shared/corpus");
    };
    assert!(files.len() > 10, "found {files:?}");
    let under_test = Program::under_test();
    let mut wrong = Vec::new();
    let mut loaded = 0;
    for file in files {
        let theirs = check(&oracle, &file, &[]);
        let ours = check(&under_test, &file, &[]);
        let unexplained: Vec<&str> = ours
            .stderr
            .lines()
            .filter(|line| !line.contains("warning:") && !is_refusal_by_name(line))
            .collect();
        match (theirs.code(), ours.code()) {
            (0, 0) => loaded += 1,
            (0, _) if unexplained.is_empty() => {}
            (0, code) => wrong.push(format!("{}: exit {code}: {unexplained:#?}", file.display())),
            // HAProxy cannot read certificates or names that this machine does not have.
            (_, _) => {}
        }
    }
    assert!(
        loaded > 0 && wrong.is_empty(),
        "{loaded} loaded; {} misread:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

/// docs/compatibility.md is what the command prints of the files of the field, where they are here.
#[test]
fn docs_compatibility_md_is_printed_by_the_command() {
    let Some(oracle) = Program::oracle_for("docs_compatibility_md_is_printed_by_the_command")
    else {
        return;
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut above = root.ancestors().map(|up| up.join("shared/corpus"));
    let Some(corpus) = above.find(|corpus| corpus.is_dir()) else {
        return not_run(
            "docs/compatibility.md",
            "the files of the field are not here",
        );
    };
    let directory = temporary_directory();
    let haproxy = directory.join("haproxy");
    let command = oracle.command();
    let mut words = vec![command.get_program()];
    words.extend(command.get_args());
    let words: Vec<String> = words
        .iter()
        .map(|word| format!("'{}'", word.to_str().unwrap()))
        .collect();
    std::fs::write(
        &haproxy,
        format!("#!/bin/sh\nexec {} \"$@\"\n", words.join(" ")),
    )
    .unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&haproxy, mode).unwrap();
    let arguments = ["compatibility", "--markdown", "--haproxy"].map(PathBuf::from);
    let arguments = arguments.into_iter().chain([haproxy, corpus]);
    // HAProxy waits long for names that nobody knows.
    let mut command = Program::Evenkeel.command();
    let printed = command.args(arguments).output().unwrap();
    let printed = String::from_utf8(printed.stdout).unwrap();
    std::fs::remove_dir_all(directory).unwrap();
    let path = root.join("docs/compatibility.md");
    if std::env::var_os("EVENKEEL_BLESS").is_some() {
        std::fs::write(&path, &printed).unwrap();
    }
    assert_eq!(
        std::fs::read_to_string(&path).unwrap_or_default(),
        printed,
        "write docs/compatibility.md anew with EVENKEEL_BLESS=1"
    );
}

/// What tests/vectors/operators says of HAProxy's verdict on each file is what HAProxy says.
#[test]
fn the_vectors_of_operators_files_are_haproxys_verdicts() {
    let Some(oracle) = Program::oracle_for("tests/vectors/operators") else {
        return;
    };
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/operators");
    let directory = temporary_directory();
    let mut files = Vec::new();
    for (verdict, loads) in [("loads", true), ("refused", false)] {
        for entry in std::fs::read_dir(vectors.join(verdict)).unwrap() {
            files.push((entry.unwrap().path(), loads));
        }
    }
    let base = std::fs::read_to_string(vectors.join("base.txt")).unwrap();
    let variations = std::fs::read_to_string(vectors.join("variations.txt")).unwrap();
    for variation in variations.split("=== ").skip(1) {
        let (head, lines) = variation.split_once('\n').unwrap();
        let words: Vec<&str> = head.split(' ').collect();
        let text = base.replace(&format!("@{}\n", words[2]), lines);
        let text = text.split_inclusive('\n');
        let text: String = text.filter(|line| !line.starts_with('@')).collect();
        let file = directory.join(format!("{}.cfg", words[0]));
        std::fs::write(&file, text).unwrap();
        files.push((file, words[1] == "loads"));
    }
    let mut wrong = Vec::new();
    for (file, loads) in &files {
        let code = check(&oracle, file, &[]).code();
        if matches!(code, 0 | 2) != *loads {
            wrong.push(format!("{}: exit {code}", file.display()));
        }
    }
    std::fs::remove_dir_all(directory).unwrap();
    assert!(files.len() > 250, "{}", files.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
