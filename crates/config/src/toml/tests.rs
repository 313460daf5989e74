//! Over 600 lines because it goes through all tables of the language.
//!
//! What the TOML reader makes of whole files.

use std::io;
use std::time::Duration;

use proptest::collection;
use proptest::prelude::{prop_assert, proptest};
use proptest::sample::select;

use crate::{
    Account, Balance, BindAddress, BusyPolling, Config, Environment, IpVersions, Keepalive, Loaded,
    LogAddress, LogFormat, OnMarkedDown, Place, Prefer, Redispatch, RelayMethod, ServerAddress,
    SessionLogFormat, Source, load,
};

pub(crate) const MINIMAL: &str = r#"
[frontend.kubernetes]
bind = "10.0.1.10:6443"
backend = "masters"

[backend.masters.servers]
master1 = "10.0.1.11:6443"
master2 = "10.0.1.12:6443"
"#;

pub(crate) const EVERY_KEY: &str = r#"
[admin]
listen = "127.0.0.1:8405"
socket = ["/run/lb.sock", { address = "127.0.0.1:9999", level = "admin" },
          { address = "/run/lb-user.sock", level = "user", mode = "660", user = "root", group = 99 }]
socket-timeout = "1m"
socket-maxconn = 20
[global]
maxconn = 9_000
threads = 2
relay = "splice"
pipe-bytes = 262144
busy-polling = "auto"
busy-polling-share = 40
hard-stop-after = "10m"
spread-checks = 5
log = ["stderr", { to = "10.0.0.5", format = "rfc5424", facility = "daemon",
                   max-level = "info", min-level = "alert", max-length = 2048 }]
log-tag = "lb"
pidfile = "/run/lb.pid"
daemon = true
user = "haproxy"
group = 99
chroot = "/var/lib/haproxy"
capabilities = ["cap_net_raw", "cap_net_admin"]
dumpable = true
insecure-setuid = true
ulimit = 30000
fd-hard-limit = 40000
node = "lb1"
description = "the first"

[resolvers.dns]
nameservers = { "ns 1" = "10.0.0.53:5353", ns2 = "tcp@10.0.0.54" }
system-nameservers = true
retries = 2
timeout = { resolve = "3s", retry = "500ms" }
hold = { nx = "1s", refused = "2s", timeout = "3s", other = "none", obsolete = "5s" }
payload-bytes = 4096

[backend.one]
id = 9
balance = "leastconn"
retries = 1
server-state = "/var/lib/lb/state"
redispatch = 2
allbackups = true
timeout = { connect = "2s", server = "1h", server-fin = "none", tunnel = "2h" }
keepalive = true
weight = 7
tcp-user-timeout = "none"
on-marked-down = "keep"
init-addr = ["last", "none"]
send-proxy = ["v2", "ssl", "crc32c"]
source = { address = "10.0.9.9:1000-2000", instead = "clientip", interface = "eth1" }
tcp-fast-open = true
resolvers = "dns"
resolve-prefer = "ipv4"
resolve-nets = ["10.0.0.0/8", "fd00::1/128"]
resolve-duplicates = true
resolve-ignore-weight = true
check = { kind = "tcp-check", timeout = "3s", inter = "5s", fastinter = "2s", downinter = "9s",
          rise = 4, fall = 5, port = 9443, address = "10.9.9.9", send-proxy = true }
log = "global"
log-tag = "one"
disabled = true
acl.port = "dst_port 6443"
inspect-delay = "none"
content = [{ do = "reject", if = "WAIT_END !port" }]
use-server = [{ server = "c:c", if = "port" }, { server = "b", unless = "{ be_conn gt 5 }" }]
[backend.one.servers.a]
address = "10.0.0.1"
id = 3
weight = 0
backup = true
disabled = true
tcp-user-timeout = "4s"
on-marked-down = "shutdown-sessions"
init-addr = ["10.0.0.1"]
send-proxy = "v1"
source = "::1"
tcp-fast-open = false
resolvers = "dns"
resolve-prefer = "ipv6"
resolve-nets = []
resolve-duplicates = false
resolve-ignore-weight = false
check = { inter = "6s", fastinter = "1s", downinter = "8s", rise = 1, fall = 1, port = 1,
          address = "10.8.8.8", send-proxy = false }
[backend.one.servers]
b = { address = "nowhere:6443", check = false }
"c:c" = "ipv6@master1:6443"

[frontend.two]
bind = [":6001-6002", { address = "[::]:6443", name = "six", maxconn = 5, backlog = 6,
        interface = "eth0", ip-versions = "v6only", transparent = true,
        tcp-user-timeout = "1s", accept-proxy = true, defer-accept = true, tcp-fast-open = true,
        mss = 1400, id = 12 },
        { address = "/run/x.sock", mode = "660", user = "www", group = 5 }]
backend = "one"
id = 9
maxconn = 100
backlog = 200
timeout = { client = "1h", client-fin = "30s" }
keepalive = { idle = "1m", interval = "10s", probes = 9 }
tcp-user-timeout = "none"
log = ["global", "/dev/log"]
log-format = "connect"
dontlognull = false
log-tag = "two"
disabled = true
acl = { internal = ["src 10.0.0.0/8 fd00::/8", "src -n 192.168.0.0/16"], tls = "req.ssl_hello_type 1" }
inspect-delay = "5s"
connection = [{ do = "expect-proxy" }, { do = "silent-drop", if = "{ src 192.0.2.1 }" }]
session = { do = "reject", unless = "internal" }
content = [{ do = "accept", if = "tls" }]
use = [{ backend = "one", if = "{ nbsrv(one) ge 1 } !internal" }, { backend = "%[fe_name]" }]
"#;

pub(crate) const EVERYTHING_OFF: &str = r#"
[global]
log = []
[frontend.f]
bind = []
backend = false
keepalive = false
timeout.client-fin = "none"
[backend.b]
check = false
redispatch = false
keepalive = false
timeout.connect = "none"
[backend.b.servers]
plain = "master1:6443"
checked = { address = "ipv6@master1:6443", check = true }
quick = { address = "master1:6443", check.inter = "100ms" }
[backend.c]
redispatch = "when-free"
check.timeout = "none"
check.inter = "3s"
servers = { s = "master1:6443" }
"#;

/// A world in which there is one master.
pub(crate) fn environment() -> Environment<'static> {
    Environment {
        variable: &|_| None,
        lookup: &|name| match name {
            "master1" => Ok(vec![
                "10.0.1.11".parse().unwrap(),
                "fd00::11".parse().unwrap(),
            ]),
            _ => Err(io::Error::other("no such name")),
        },
        hostname: "lb",
        read: &|path| match path.to_str() {
            Some("/etc/resolv.conf") => Ok(b"nameserver 10.0.0.99\n".to_vec()),
            _ => Err(std::io::ErrorKind::NotFound.into()),
        },
        allow_unresolved_servers: false,
    }
}

fn load_files(files: &[(&str, &str)]) -> Result<Config, Vec<String>> {
    let source = |(name, text): &(&str, &str)| Source {
        name: (*name).to_owned(),
        text: text.as_bytes().to_vec(),
    };
    let sources: Vec<Source> = files.iter().map(source).collect();
    let shown = |problems: Vec<crate::Problem>| problems.iter().map(ToString::to_string).collect();
    load(&sources, &environment())
        .map(|loaded| loaded.config)
        .map_err(shown)
}

fn load_one(text: &str) -> Loaded {
    let source = Source {
        name: "lb.toml".into(),
        text: text.into(),
    };
    load(&[source], &environment()).unwrap()
}

fn load_places(text: &str) -> Result<(), Vec<Place>> {
    let source = Source {
        name: "lb.toml".into(),
        text: text.into(),
    };
    let places = |problems: Vec<crate::Problem>| problems.into_iter().map(|p| p.place).collect();
    load(&[source], &environment()).map(drop).map_err(places)
}

pub(crate) fn config(text: &str) -> Config {
    load_files(&[("lb.toml", text)]).unwrap()
}

fn problems(text: &str) -> Vec<String> {
    load_files(&[("lb.toml", text)]).unwrap_err()
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn a_minimal_file_has_the_defaults_of_a_control_plane() {
    let config = config(MINIMAL);
    let [frontend] = config.frontends.as_slice() else {
        panic!("{config:?}")
    };
    let [backend] = config.backends.as_slice() else {
        panic!("{config:?}")
    };
    let keepalive = Some(Keepalive {
        idle: Some(secs(15)),
        interval: Some(secs(5)),
        probes: Some(3),
    });

    assert_eq!((frontend.name.as_str(), frontend.id), ("kubernetes", 2));
    assert_eq!(
        frontend.default_backend.map(|id| config.backend(id)),
        Some(backend)
    );
    assert_eq!(
        frontend.binds[0].address,
        BindAddress::Inet("10.0.1.10:6443".parse().unwrap())
    );
    assert_eq!(frontend.binds[0].tcp_user_timeout, Some(secs(30)));
    assert_eq!(frontend.client_timeout, None);
    assert_eq!(frontend.client_fin_timeout, Some(secs(60)));
    assert_eq!(frontend.client_keepalive, keepalive);
    assert_eq!(
        (frontend.log.format, frontend.log.skip_null),
        (SessionLogFormat::Tcp, true)
    );
    let [log] = frontend.log.targets.as_slice() else {
        panic!("{frontend:?}")
    };
    assert_eq!(
        (&log.address, log.format),
        (&LogAddress::Stdout, LogFormat::Auto)
    );
    assert_eq!(config.global.log, frontend.log.targets);

    assert_eq!(backend.id, 3);
    assert_eq!(backend.balance, Balance::RoundRobin);
    assert_eq!(backend.redispatch, Redispatch::Always { interval: -1 });
    assert_eq!(backend.connect_timeout, Some(secs(1)));
    assert_eq!(
        (backend.server_timeout, backend.tunnel_timeout),
        (None, None)
    );
    assert_eq!(backend.server_keepalive, keepalive);
    let names: Vec<&str> = backend
        .servers
        .iter()
        .map(|server| server.name.as_str())
        .collect();
    assert_eq!(names, ["master1", "master2"]);
    let server = &backend.servers[1];
    assert_eq!(
        server.address,
        ServerAddress::Inet("10.0.1.12:6443".parse().unwrap())
    );
    assert_eq!(server.on_marked_down, OnMarkedDown::ShutdownSessions);
    assert_eq!(server.tcp_user_timeout, Some(secs(30)));
    let check = server.check.as_ref().unwrap();
    assert_eq!((check.inter, check.downinter), (secs(1), secs(1)));
    assert_eq!(check.fastinter, Duration::from_millis(500));
    assert_eq!((check.rise, check.fall), (2, 2));
    assert_eq!(
        (check.connect_timeout, check.read_timeout),
        (secs(1), secs(1))
    );
}

#[test]
fn the_file_in_the_reference_loads() {
    let page = crate::toml_markdown();
    let sample = page
        .split("```")
        .find_map(|block| block.strip_prefix("toml\n"))
        .unwrap();
    assert_eq!(
        config(sample).without_places(),
        config(MINIMAL).without_places()
    );
}

#[test]
fn polling_that_is_not_auto_keeps_to_no_share() {
    for (word, polling) in [("on", BusyPolling::On), ("off", BusyPolling::Off)] {
        let global = format!("[global]\nbusy-polling = '{word}'\n");
        let loaded = load_one(&format!("{global}{MINIMAL}"));
        assert_eq!(loaded.config.global.busy_polling, polling);
        assert_eq!(loaded.warnings, []);
        let loaded = load_one(&format!("{global}busy-polling-share = 50\n{MINIMAL}"));
        let [warning] = loaded.warnings.as_slice() else {
            panic!("{:?}", loaded.warnings)
        };
        assert_eq!(
            warning.to_string(),
            format!(
                "lb.toml:3:22: warning: 'busy-polling-share' has no effect: only 'busy-polling' \
                 \"auto\" keeps to a share, and it is \"{word}\""
            )
        );
    }
}

#[test]
fn every_key_has_its_effect() {
    let config = config(EVERY_KEY);
    let global = &config.global;
    assert_eq!(
        (global.maxconn, global.threads, global.daemon),
        (Some(9000), Some(2), true)
    );
    assert_eq!(global.relay, RelayMethod::Splice);
    assert_eq!(global.pipe_bytes, 262_144);
    assert_eq!(
        (global.busy_polling, global.busy_polling_share),
        (BusyPolling::Auto, 40)
    );
    assert_eq!(
        (global.hard_stop_after, global.spread_checks),
        (Some(secs(600)), 5)
    );
    assert_eq!(global.admin, Some("127.0.0.1:8405".parse().unwrap()));
    assert_eq!(
        global.pidfile.as_deref(),
        Some(std::path::Path::new("/run/lb.pid"))
    );
    assert_eq!(
        (global.node.as_str(), global.description.as_str()),
        ("lb1", "the first")
    );
    let [stderr, udp] = global.log.as_slice() else {
        panic!("{global:?}")
    };
    assert_eq!(
        (&stderr.address, stderr.format),
        (&LogAddress::Stderr, LogFormat::Auto)
    );
    assert_eq!(
        (stderr.facility, stderr.max_level, stderr.min_level),
        (16, 7, 0)
    );
    assert_eq!(
        udp.address,
        LogAddress::Udp("10.0.0.5:514".parse().unwrap())
    );
    assert_eq!((udp.format, udp.max_length), (LogFormat::Rfc5424, 2048));
    assert_eq!((udp.facility, udp.max_level, udp.min_level), (3, 6, 1));

    let frontend = &config.frontends[0];
    assert_eq!((frontend.id, frontend.disabled), (9, true));
    assert_eq!((frontend.maxconn, frontend.backlog), (Some(100), Some(200)));
    assert_eq!(frontend.client_timeout, Some(secs(3600)));
    assert_eq!(frontend.client_fin_timeout, Some(secs(30)));
    assert_eq!(frontend.client_keepalive.unwrap().probes, Some(9));
    assert_eq!(frontend.log.targets.len(), 3);
    assert_eq!(frontend.log.targets[2].format, LogFormat::Local);
    assert_eq!(
        (frontend.log.format, frontend.log.skip_null),
        (SessionLogFormat::Connect, false)
    );
    assert_eq!(frontend.log.tag, "two");
    let [first, second, six, unix] = frontend.binds.as_slice() else {
        panic!("{frontend:?}")
    };
    assert_eq!(
        first.address,
        BindAddress::Inet("0.0.0.0:6001".parse().unwrap())
    );
    assert_eq!(second.tcp_user_timeout, None);
    assert_eq!(
        (six.name.as_str(), six.maxconn, six.backlog),
        ("six", Some(5), Some(6))
    );
    assert_eq!(
        (six.interface.as_deref(), six.transparent),
        (Some("eth0"), true)
    );
    assert_eq!((first.id, second.id, six.id), (1, 2, 12));
    assert!(six.accept_proxy && six.defer_accept && six.fast_open && !first.accept_proxy);
    assert_eq!(six.mss, Some(1400));
    assert_eq!(
        (six.ip_versions, six.tcp_user_timeout),
        (IpVersions::V6Only, Some(secs(1)))
    );

    assert_eq!(unix.access.mode, Some(0o660));
    assert_eq!(unix.access.user, Some(Account::Named("www".into())));
    assert_eq!(unix.access.group, Some(Account::Id(5)));
    let rights = &config.global.privileges;
    let user = rights.user.as_ref().unwrap();
    assert_eq!(user.account, Account::Named("haproxy".into()));
    assert_eq!(rights.group.as_ref().unwrap().account, Account::Id(99));
    let jail = rights.chroot.as_ref().unwrap();
    assert_eq!(jail.path, std::path::Path::new("/var/lib/haproxy"));
    assert_eq!(rights.capabilities.len(), 2);
    assert!(rights.dumpable && rights.setuid_programs);
    assert_eq!(config.global.descriptors.at_least, Some(30_000));
    assert_eq!(config.global.descriptors.at_most, 40_000);

    let backend = &config.backends[0];
    assert_eq!(
        (backend.id, backend.disabled, backend.all_backups),
        (9, true, true)
    );
    assert_eq!(backend.balance, Balance::LeastConn);
    assert_eq!(backend.retries, 1);
    assert_eq!(backend.redispatch, Redispatch::Always { interval: 2 });
    assert_eq!(
        (backend.connect_timeout, backend.server_fin_timeout),
        (Some(secs(2)), None)
    );
    assert_eq!(
        (backend.server_timeout, backend.tunnel_timeout),
        (Some(secs(3600)), Some(secs(7200)))
    );
    let system = Keepalive {
        idle: None,
        interval: None,
        probes: None,
    };
    assert_eq!(backend.server_keepalive, Some(system));
    assert_eq!((backend.log.len(), backend.log_tag.as_str()), (2, "one"));

    let [a, b, c] = backend.servers.as_slice() else {
        panic!("{backend:?}")
    };
    assert_eq!((a.id, a.weight, a.backup, a.disabled), (3, 0, true, true));
    assert_eq!(a.tcp_user_timeout, Some(secs(4)));
    assert_eq!(a.on_marked_down, OnMarkedDown::ShutdownSessions);
    let check = a.check.as_ref().unwrap();
    assert_eq!(
        check.address,
        ServerAddress::Inet("10.8.8.8:1".parse().unwrap())
    );
    assert_eq!(
        (check.inter, check.fastinter, check.downinter),
        (secs(6), secs(1), secs(8))
    );
    assert_eq!((check.rise, check.fall), (1, 1));
    assert_eq!(
        (check.connect_timeout, check.read_timeout),
        (secs(2), secs(3))
    );
    assert_eq!(
        (b.id, b.weight, &b.check, b.unresolved),
        (1, 7, &None, true)
    );
    assert_eq!(b.host, "nowhere");
    let resolution = b.resolution.as_ref().unwrap();
    assert_eq!((resolution.resolvers, resolution.prefer), (0, Prefer::V4));
    assert!(resolution.allows_duplicates && resolution.ignores_weight);
    assert_eq!(resolution.nets.len(), 2);
    assert_eq!(config.resolvers[0].nameservers.len(), 3);
    assert_eq!(config.resolvers[0].hold.other, Duration::ZERO);
    assert_eq!(
        (c.name.as_str(), c.on_marked_down),
        ("c:c", OnMarkedDown::Keep)
    );
    assert!(
        c.unresolved,
        "init-addr of the backend never looks its name up"
    );
    let check = c.check.as_ref().unwrap();
    assert_eq!(
        (check.inter, check.fastinter, check.downinter),
        (secs(5), secs(2), secs(9))
    );
}

#[test]
fn off_is_said_as_false_none_or_an_empty_list() {
    let config = config(EVERYTHING_OFF);
    assert_eq!(config.global.log, []);
    let frontend = &config.frontends[0];
    assert_eq!((frontend.binds.len(), frontend.default_backend), (0, None));
    assert_eq!(
        (frontend.client_keepalive, frontend.client_fin_timeout),
        (None, None)
    );
    let [b, c] = config.backends.as_slice() else {
        panic!("{config:?}")
    };
    assert_eq!(
        (b.redispatch, c.redispatch),
        (Redispatch::Never, Redispatch::WhenFree)
    );
    assert_eq!((b.server_keepalive, b.connect_timeout), (None, None));
    let [plain, checked, quick] = b.servers.as_slice() else {
        panic!("{b:?}")
    };
    assert_eq!(plain.check, None);
    assert_eq!(
        checked.check.as_ref().unwrap().address,
        ServerAddress::Inet("[fd00::11]:6443".parse().unwrap())
    );
    let quick = quick.check.as_ref().unwrap();
    assert_eq!(
        quick.fastinter, quick.inter,
        "fastinter is never longer than inter by itself"
    );
    let check = c.servers[0].check.as_ref().unwrap();
    assert_eq!(
        (check.connect_timeout, check.read_timeout),
        (secs(3), secs(3))
    );
}

#[test]
fn sections_and_servers_keep_the_order_of_the_file() {
    let config = config(
        r#"
        [backend.z]
        servers = { z = "10.0.0.1:1", a = "10.0.0.2:1" }
        [frontend.y]
        bind = ":1"
        backend = "z"
        [backend.a.servers]
        m = "10.0.0.1:1"
        [frontend.b]
        bind = ":2"
        backend = "a"
        "#,
    );
    let frontends: Vec<_> = config
        .frontends
        .iter()
        .map(|f| (f.name.as_str(), f.id))
        .collect();
    let backends: Vec<_> = config
        .backends
        .iter()
        .map(|b| (b.name.as_str(), b.id))
        .collect();
    assert_eq!(frontends, [("y", 3), ("b", 5)]);
    assert_eq!(backends, [("z", 2), ("a", 4)]);
    assert_eq!(config.backends[0].servers[0].name, "z");
}

#[test]
fn several_files_are_one_configuration() {
    let second = "[global]\nthreads = 3\nlog = 'stderr'\n[backend.more.servers]\nm = '10.0.0.9:1'";
    let first = format!("[global]\nthreads = 2\nmaxconn = 10\n{MINIMAL}");
    let config = load_files(&[("a.toml", &first), ("b.toml", second)]).unwrap();
    assert_eq!(
        (config.global.threads, config.global.maxconn),
        (Some(3), Some(10))
    );
    assert_eq!(config.global.log[0].address, LogAddress::Stderr);
    assert_eq!(config.backends.len(), 2);
    assert_eq!(&*config.backends[1].place.file, "b.toml");
}

#[test]
fn every_mistake_is_reported_at_once_with_its_place() {
    let found = problems(
        r#"
[frontend.kubernetes]
bnd = "10.0.1.10:6443"
backend = "mastres"
maxconn = 0
[backend.masters]
balance = "roundrobbin"
timeout = { conect = "1s", server = "30" }
weight = "high"
[backend.masters.servers]
ok = "10.0.1.11:6443"
bad = "10.0.1.12:99999"
none = { weight = 257 }
number = 5
[fronted.x]
"#,
    );
    let expected = [
        "lb.toml:2:11: frontend 'kubernetes' has no bind; add bind = \"ADDRESS:PORT\", or bind = [] to listen nowhere",
        "lb.toml:3:1: unknown key 'bnd' in [frontend.NAME]; did you mean 'bind'?",
        "lb.toml:4:11: frontend 'kubernetes': there is no backend 'mastres' for default_backend; did you mean 'masters'?",
        "lb.toml:5:11: 'maxconn' must be a whole number from 1 to 4294967295, not 0",
        "lb.toml:7:11: 'balance' is wrong: unknown balance algorithm 'roundrobbin'; did you mean 'roundrobin'?",
        "lb.toml:8:13: unknown key 'conect' in [backend.NAME.timeout]; did you mean 'connect'?",
        "lb.toml:8:37: 'server' needs a unit: us, ms, s, m, h or d, as in \"30ms\"; \"none\" for no limit",
        "lb.toml:9:10: 'weight' must be a whole number from 0 to 256, not \"high\"",
        "lb.toml:12:7: server 'bad': port 99999 is above 65535 in '10.0.1.12:99999'",
        "lb.toml:13:1: this server has no 'address'",
        "lb.toml:13:19: 'weight' must be a whole number from 0 to 256, not 257",
        "lb.toml:14:10: 'number' must be an address or a table, not 5",
        "lb.toml:15:2: unknown key 'fronted' in the top of the file; did you mean 'frontend'?",
    ];
    assert_eq!(found, expected);
}

#[test]
fn values_of_the_wrong_kind_are_told_what_is_right() {
    let check = |text: &str, expected: &str| {
        let found = problems(text);
        assert!(
            found.iter().any(|problem| problem.contains(expected)),
            "{found:#?}"
        );
    };
    check("global = 1", "lb.toml:1:10: 'global' must be a table");
    check(
        "frontend.x = 1",
        "lb.toml:1:10: 'x' must be a table: [frontend.x]",
    );
    check(
        "[admin]\nlisten = 8405",
        "lb.toml:2:10: 'listen' must be an IP address and a port",
    );
    check(
        "[global]\nlog = 'global'",
        "lb.toml:2:7: 'log' in [global] cannot refer to itself",
    );
    check(
        "[global]\nlog = 3",
        "'log' must be a target, a table or a list of them, not 3",
    );
    check(
        "[global]\nlog = [{ format = 'raw' }]",
        "lb.toml:2:8: this log target has no 'to'",
    );
    check(
        "[global]\nspread-checks = 51",
        "'spread-checks' must be a whole number from 0 to 50",
    );
    check("[global]\nnode = ''", "'node' must not be empty");
    check(
        "[frontend.x]\nbind = 80",
        "'bind' must be an address, a table or a list of them",
    );
    check(
        "[frontend.x]\nbind = [{}]",
        "lb.toml:2:9: this bind has no 'address'",
    );
    check(
        "[frontend.x]\nbind = [':1', ':x']",
        "lb.toml:2:15: 'bind': 'x' is not a port number",
    );
    check(
        "[frontend.x]\nbackend = true",
        "'backend' must be a name or false, not true",
    );
    check(
        "[frontend.x]\nkeepalive = 5",
        "'keepalive' must be a table, true or false, not 5",
    );
    check(
        "[frontend.x]\ndontlognull = 1",
        "'dontlognull' must be true or false, not 1",
    );
    check(
        "[backend.x]\ncheck = 'no'",
        "'check' must be a table, true or false, not \"no\"",
    );
    check(
        "[backend.x]\nredispatch = 'no'",
        "'redispatch' must be true, false, a whole number",
    );
    check(
        "[backend.x]\ninit-addr = 'libc'",
        "'init-addr' must be a list of",
    );
    check(
        "[backend.x]\ninit-addr = ['lib']",
        "'init-addr' must be a list of",
    );
}

#[test]
fn broken_toml_is_told_with_its_place() {
    let found = problems("[global]\nmaxconn = \n[frontend.x\nbind = ':1'");
    assert!(found.len() >= 2, "{found:?}");
    assert!(found[0].starts_with("lb.toml:2:"), "{found:?}");
    assert!(found[1].starts_with("lb.toml:3:"), "{found:?}");
    let twice = problems("[global]\nmaxconn = 1\nmaxconn = 2");
    assert_eq!(twice, ["lb.toml:3:1: duplicate key"]);
}

#[test]
fn bytes_that_are_no_utf8_are_told_with_their_place() {
    let source = Source {
        name: "lb.toml".into(),
        text: b"[global]\n# \xc3\xbc\xff".to_vec(),
    };
    let problems = load(&[source], &environment()).unwrap_err();
    assert_eq!(
        problems[0].to_string(),
        "lb.toml:2:4: not UTF-8 from here on"
    );
}

#[test]
fn ids_asked_for_twice_are_refused() {
    let found = problems(
        "[frontend.a]\nid = 5\nbind = ':1'\nbackend = false\n\
         [frontend.b]\nid = 5\nbind = ':2'\nbackend = false\n\
         [backend.c]\nid = 5\nservers = {}\n",
    );
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].contains("id 5 belongs to another proxy"),
        "{found:?}"
    );
}

#[test]
fn a_server_may_stay_unresolved_when_the_command_line_allows_it() {
    let text = "[backend.b.servers]\nknown = 'master1:6443'\nunknown = 'nobody:6443'\n";
    let source = Source {
        name: "lb.toml".to_owned(),
        text: text.as_bytes().to_vec(),
    };
    let load_with = |allow_unresolved_servers| {
        let environment = Environment {
            read: &|_| Err(std::io::ErrorKind::NotFound.into()),
            allow_unresolved_servers,
            ..environment()
        };
        load(std::slice::from_ref(&source), &environment)
    };
    let refused = load_with(false).unwrap_err();
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert_eq!(refused[0].place.line, 3);
    let loaded = load_with(true).unwrap();
    let unresolved: Vec<bool> = loaded.config.backends[0]
        .servers
        .iter()
        .map(|server| server.unresolved)
        .collect();
    assert_eq!(unresolved, [false, true]);
    assert_eq!(loaded.warnings.len(), 1, "{:?}", loaded.warnings);
}

proptest! {
    /// Whatever a file holds, it loads or each problem points into it.
    #[test]
    fn no_text_is_a_surprise(pieces in collection::vec(select(PIECES), 0..40)) {
        let text = pieces.concat();
        if let Err(problems) = load_places(&text) {
            prop_assert!(!problems.is_empty());
            for place in problems {
                let line = text.split('\n').nth(place.line as usize - 1);
                let length = line.map(|line| line.chars().count() as u32);
                prop_assert!(length.is_some_and(|length| place.column <= length + 1), "{place}");
            }
        }
    }
}

/// What files are made of, and a few things that they are not.
const PIECES: &[&str] = &[
    "[frontend.f]",
    "[backend.b]",
    "[backend.b.servers]",
    "[global]",
    "[admin]",
    "[[backend]]",
    "\n",
    "\n",
    "\n",
    "\n",
    " ",
    "bind",
    "backend",
    "servers",
    "check",
    "log",
    "timeout",
    "keepalive",
    "listen",
    "maxconn",
    "a",
    "ü",
    " = ",
    " = ",
    " = ",
    "=",
    ".",
    ",",
    "'",
    "\"",
    "\":1\"",
    "'b'",
    "'10.0.0.1:1'",
    "'5s'",
    "5",
    "-1",
    "true",
    "false",
    "[",
    "]",
    "{ ",
    " }",
    "{ address = '10.0.0.1:1' }",
    "# c",
    "\\u",
    "\u{0}",
    "1979-05-27",
    "1e9",
    "99999999999999999999",
];

#[test]
fn mistakes_in_rules_are_pointed_at() {
    let text = "[frontend.f]\nbind = ':1'\nbackend = 'b'\n\
                acl.a = ['src 10.0.0.0/99', 5]\n\
                connection = [{ if = 'nope' }, { do = 'deny' }, 7]\n\
                session = { do = 'expect-proxy' }\n\
                content = { do = 'reject', if = 'TRUE', unless = 'FALSE' }\n\
                use = [{ backend = 'c', if = '{ src 1.1.1.1' }, { when = 'TRUE' }]\n\
                [backend.b]\nuse-server = [{ server = 's' }, { server = 's', if = 'TRUE' }]\n";
    let expected = [
        "lb.toml:4:15: acl 'a': '10.0.0.0/99' is not a valid IPv4 or IPv6 address, and no name that resolves to one",
        "lb.toml:4:29: acl 'a' must be what is tested, as in \"src 10.0.0.0/8\", not 5",
        "lb.toml:5:15: this rule has no 'do'; write do = \"reject\" or another action",
        "lb.toml:5:39: 'do' is accept, reject, silent-drop or expect-proxy, not 'deny'",
        "lb.toml:5:49: 'connection' must be a table or a list of them, not 7",
        "lb.toml:6:18: 'do' is \"expect-proxy\", which only 'connection' rules can do",
        "lb.toml:7:50: a rule has 'if' or 'unless', not both; '!' turns a part of a condition over",
        "lb.toml:8:20: frontend 'f': there is no backend 'c' for use_backend",
        "lb.toml:8:31: missing closing '}' in condition",
        "lb.toml:8:49: this rule has no 'backend'",
        "lb.toml:8:51: unknown key 'when' in a rule for a backend",
        "lb.toml:10:15: a rule that chooses a server needs 'if' or 'unless'",
        "lb.toml:10:44: backend 'b': there is no server 's' for use-server",
    ];
    assert_eq!(problems(text), expected);
}

#[test]
fn names_have_no_characters_that_commands_and_tables_cut_at() {
    let servers = r#"servers = { "a b" = "1.1.1.1:1", "c/d" = "1.1.1.1:2", "e\nf" = "1.1.1.1:3" }"#;
    let found = problems(&format!(
        "[frontend.\"x,y\"]\nbind = ':1'\nbackend = 'x'\n[backend.x]\n{servers}"
    ));
    for wrong in [
        "character ',' is not permitted in the name 'x,y'",
        "character ' ' is not permitted in server name 'a b'",
        "character '/' is not permitted in server name 'c/d'",
        "character '\\n' is not permitted in server name 'e\\nf'",
    ] {
        assert!(found.iter().any(|said| said.contains(wrong)), "{found:?}");
    }
}
