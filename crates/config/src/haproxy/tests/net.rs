//! How connections are made and marked, in haproxy.cfg.

use super::*;
use crate::{ConnectFrom, Instead, SendProxy, Server};

fn load_lines(lines: &str) -> crate::Config {
    let text = format!("{TIMEOUTS}listen f\n bind :6443\n {lines}\n");
    match load_text(&text) {
        Ok(loaded) if loaded.warnings.is_empty() => loaded.config,
        other => panic!("{text}\n{other:?}"),
    }
}

fn server(options: &str) -> Server {
    let mut config = load_lines(&format!("server s 10.0.0.1:1 {options}"));
    config.backends[0].servers.remove(0)
}

#[test]
fn headers_to_servers() {
    let v2 = |tls, crc32c| Some(SendProxy::V2 { tls, crc32c });
    for (options, expected) in [
        ("", None),
        ("send-proxy", Some(SendProxy::V1)),
        ("send-proxy no-send-proxy", None),
        ("send-proxy-v2", v2(false, false)),
        ("send-proxy send-proxy-v2", v2(false, false)),
        ("send-proxy-v2-ssl", v2(true, false)),
        ("send-proxy-v2-ssl-cn", v2(true, false)),
        ("send-proxy-v2-ssl no-send-proxy-v2-ssl", None),
        ("send-proxy proxy-v2-options crc32c", Some(SendProxy::V1)),
        ("send-proxy-v2 proxy-v2-options crc32c", v2(false, true)),
        (
            "send-proxy-v2 proxy-v2-options authority,ssl,cert-cn,crc32c",
            v2(true, true),
        ),
    ] {
        assert_eq!(server(options).send_proxy, expected, "{options}");
    }
    check_line(
        "server s 10.0.0.1:1 send-proxy-v2 proxy-v2-options crc32",
        &["8:53: unknown option 'crc32' of proxy-v2-options; did you mean 'crc32c'?"],
    );
    check_line(
        "server s 10.0.0.1:1 send-proxy-v2 proxy-v2-options unique-id",
        &[
            "8:53: 'proxy-v2-options unique-id' is not supported: there is no 'unique-id-format' \
             to make one of; leave unique-id out",
        ],
    );
}

#[test]
fn headers_of_checks() {
    let v2 = Some(SendProxy::V2 {
        tls: false,
        crc32c: false,
    });
    for (options, expected) in [
        ("check", None),
        ("check send-proxy", Some(SendProxy::V1)),
        ("check send-proxy-v2", v2),
        ("check send-proxy-v2 port 2", None),
        ("check send-proxy-v2 addr 10.0.0.2", None),
        ("check send-proxy-v2 port 2 check-send-proxy", v2),
        ("check check-send-proxy", Some(SendProxy::V1)),
        ("check check-send-proxy no-check-send-proxy", None),
    ] {
        let check = server(options).check.unwrap();
        assert_eq!(check.send_proxy, expected, "{options}");
    }
}

#[test]
fn where_connections_come_from() {
    let from = |address: &str| ConnectFrom {
        address: address.parse().unwrap(),
        ports: None,
        instead: None,
        interface: None,
    };
    for (options, expected) in [
        ("source 10.0.9.9", from("10.0.9.9")),
        ("source *", from("0.0.0.0")),
        ("source ::1", from("::1")),
        ("source ipv6@[::1]:0", from("::1")),
        (
            "source 10.0.9.9:5",
            ConnectFrom {
                ports: Some(5..=5),
                ..from("10.0.9.9")
            },
        ),
        (
            "source [::1]:1000-2000 interface eth7 weight 3",
            ConnectFrom {
                ports: Some(1000..=2000),
                interface: Some("eth7".into()),
                ..from("::1")
            },
        ),
        (
            "source 0.0.0.0 usesrc clientip",
            ConnectFrom {
                instead: Some(Instead::ClientIp),
                ..from("0.0.0.0")
            },
        ),
        (
            "source 10.0.9.9 usesrc 10.1.1.1:7 interface eth7",
            ConnectFrom {
                instead: Some(Instead::Address("10.1.1.1:7".parse().unwrap())),
                interface: Some("eth7".into()),
                ..from("10.0.9.9")
            },
        ),
    ] {
        let server = server(&format!("check {options}"));
        assert_eq!(server.source, Some(expected.clone()), "{options}");
        assert_eq!(server.check.unwrap().source, Some(expected), "{options}");
    }
    let config = load_lines(
        "source 10.0.9.9 usesrc client\n server a 10.0.0.1:1 check\n server b 10.0.0.2:1 source ::1",
    );
    let sources = config.backends[0].servers.iter();
    let sources: Vec<_> = sources.map(|server| server.source.clone()).collect();
    let backend = ConnectFrom {
        instead: Some(Instead::Client),
        ..from("10.0.9.9")
    };
    assert_eq!(sources, [Some(backend), Some(from("::1"))]);
}

#[test]
fn sources_that_are_none() {
    check_line(
        "source 10.0.9.9:1-5",
        &["8:9: 'source': port ranges belong on 'server' lines, not here, in '10.0.9.9:1-5'"],
    );
    check_line(
        "source master1",
        &[
            "8:9: 'source': 'master1' is a name; connections come from an IP address of this \
             machine",
        ],
    );
    check_line(
        "source 10.0.9.9 usesrc hdr_ip(x)",
        &[
            "8:25: 'usesrc' is client, clientip or an address; 'hdr_ip(x)' needs HTTP, which no \
             accepted proxy speaks",
        ],
    );
    check_line(
        "source 10.0.9.9 usesource client",
        &["8:18: unexpected 'usesource' after 'source 10.0.9.9'; did you mean 'usesrc'?"],
    );
    check_line(
        "server s 10.0.0.1:1 source 10.0.9.9 interface",
        &["8:38: 'interface' needs a value after it"],
    );
}

#[test]
fn sockets() {
    let config = load_lines(
        "bind :1-2 accept-proxy defer-accept tfo mss 1400 nice 5 shards by-thread\n \
         bind /run/x.sock id 2 mode 660\n bind :3 mss 1",
    );
    let binds = &config.frontends[0].binds;
    let ids: Vec<u32> = binds.iter().map(|bind| bind.id).collect();
    assert_eq!(ids, [1, 3, 4, 2, 5]);
    assert!(binds[1].accept_proxy && binds[2].defer_accept && binds[2].fast_open);
    assert!(!binds[3].accept_proxy);
    assert_eq!((binds[1].mss, binds[4].mss), (Some(1400), Some(1)));
    check_line(
        "bind :1 mss -40",
        &[
            "8:14: warning: 'mss' less than 0 has no effect: the kernel takes no smaller segments \
             from a connection that is made already",
        ],
    );
    check_line(
        "bind :1 id 5\n bind :2 id 5",
        &["9:13: 'bind': id 5 belongs to another socket"],
    );
    check_line(
        "bind :1-2 id 5",
        &[
            "8:7: 'bind': id 5 would belong to several sockets; give each address a line of its \
             own",
        ],
    );
    check_line(
        "bind :1 mss 0 nice 2000 shards x",
        &[
            "8:14: 'mss' must be a number of bytes from 1 to 65535, or less than 0",
            "8:21: 'nice' must be between -1024 and 1024, not 2000",
            "8:33: 'shards' needs a whole number, not 'x'",
        ],
    );
}
