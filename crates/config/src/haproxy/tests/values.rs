//! What values come out of a text.

use std::path::PathBuf;
use std::time::Duration;

use super::{TIMEOUTS, check, check_line, config, lines, load_all, load_text};
use crate::*;

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
    assert!(config.backends[0].servers[0].unresolved);
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
    assert_eq!((unix.max_length, unix.format), (1024, LogFormat::Local));
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
fn pipes_and_polling() {
    let global = |lines: &str| config(&format!("global\n{lines}\n")).global;
    let unset = global("");
    assert_eq!(unset.pipe_bytes, 1 << 20);
    assert_eq!(unset.busy_polling, BusyPolling::Auto);
    assert_eq!(unset.busy_polling_share, 25);
    for (said, bytes) in [
        ("262144", 262_144),
        ("256k", 262_144),
        ("2m", 2 << 20),
        ("1g", 1 << 30),
        ("1", 4096),
        ("0", 1 << 20),
    ] {
        let global = global(&format!(" tune.pipesize {said}"));
        assert_eq!(global.pipe_bytes, bytes, "{said}");
    }
    let polling = |lines| global(lines).busy_polling;
    assert_eq!(polling(" busy-polling"), BusyPolling::On);
    assert_eq!(polling(" no busy-polling"), BusyPolling::Off);
    assert_eq!(polling(" busy-polling\n no busy-polling"), BusyPolling::Off);
    check(
        "global\n busy-polling on\n tune.pipesize\n tune.pipesize 1 2\n no tune.pipesize 1\n",
        &[
            "2:15: unexpected argument 'on' after 'busy-polling'",
            "3:2: 'tune.pipesize' needs a value after it",
            "4:18: unexpected argument '2' after 'tune.pipesize'",
            "5:5: 'no' cannot stand before 'tune.pipesize'",
        ],
    );
}

/// HAProxy takes any word as a size, so a file with one must load.
#[test]
fn a_pipe_size_that_is_none_leaves_the_default() {
    for word in ["large", "-1", "2g", "1048576x"] {
        let loaded = load_text(&format!("global\n tune.pipesize {word}\n")).unwrap();
        assert_eq!(loaded.config.global.pipe_bytes, 1 << 20, "{word}");
        let warning = format!(
            "lb.cfg:2:16: warning: 'tune.pipesize' has no effect: '{word}' is no size of up to 1g; \
             write bytes, as in 1048576 or 1m"
        );
        assert!(lines(&loaded.warnings).contains(&warning), "{word}");
    }
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
        "peers p\n peer a 1.1.1.1:1\nuserlist u\n user a insecure-password b\n",
        &[
            "1:1: warning: section 'peers' has no effect: stick tables are not kept, so there is nothing to share",
        ],
    );
    check(
        "log-forward l\n bind :514\n",
        &[
            "1:1: section 'log-forward' is not supported: forwarding logs of others is not supported",
        ],
    );
}

#[test]
fn a_hashed_password_is_said_to_let_nobody_in() {
    check(
        "userlist u\n group g users a\n user a groups g password $5$salt$hash\n \
         user b insecure-password password\n user c\n",
        &[
            "3:18: warning: the password of user 'a' is hashed, and hashes are not read: it lets \
             nobody in; write 'insecure-password' and the password itself",
        ],
    );
}

#[test]
fn the_last_log_format_counts_and_says_so() {
    let logged = "global\n log 127.0.0.1 local0\n";
    let text = format!(
        "{logged}{TIMEOUTS} log global\n option httplog\n option tcplog\nfrontend f\n bind :1\n"
    );
    check(
        &text,
        &[
            "10:2: warning: 'option tcplog' overrides previous 'option httplog' in 'defaults' section",
        ],
    );
    let text = format!(
        "{logged}{TIMEOUTS} log global\n option tcplog\nfrontend f\n bind :1\n option tcplog\n"
    );
    check(&text, &[]);
}
