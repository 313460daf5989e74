//! Sections of name servers, and what servers say of them.

use std::time::Duration;

use super::*;
use crate::{Hold, Prefer, Resolvers};

fn section(lines: &str) -> Resolvers {
    let loaded = load_text(&format!("resolvers r\n{lines}\n")).unwrap();
    assert_eq!(lines_of(&loaded.warnings), "", "{lines}");
    loaded.config.resolvers.into_iter().next().unwrap()
}

fn lines_of(problems: &[crate::Problem]) -> String {
    lines(problems)
}

#[test]
fn a_section_and_its_defaults() {
    let plain = section(" nameserver a 10.0.0.1");
    let second = Duration::from_secs(1);
    let half_a_minute = Duration::from_secs(30);
    assert_eq!(
        (
            plain.retries,
            plain.resolve,
            plain.retry,
            plain.payload_bytes
        ),
        (3, second, second, 512)
    );
    assert_eq!(
        plain.hold,
        Hold {
            nx: half_a_minute,
            refused: half_a_minute,
            timeout: half_a_minute,
            other: half_a_minute,
            obsolete: Duration::ZERO,
        }
    );
    let full = section(
        " nameserver a 10.0.0.1:5353\n nameserver b tcp@[fd00::1]:54\n parse-resolv-conf\n \
         resolve_retries 2\n timeout resolve 3s\n timeout retry 500\n hold nx 1s\n \
         hold refused 2s\n hold timeout 3s\n hold other 4s\n hold obsolete 5s\n hold valid 9s\n \
         accepted_payload_size 4096",
    );
    let servers: Vec<String> = full
        .nameservers
        .iter()
        .map(|one| format!("{} {} {}", one.name, one.address, one.is_tcp))
        .collect();
    assert_eq!(
        servers,
        [
            "a 10.0.0.1:5353 false",
            "b [fd00::1]:54 true",
            "10.0.0.99 10.0.0.99:53 false"
        ]
    );
    let ms = [
        full.hold.nx,
        full.hold.refused,
        full.hold.timeout,
        full.hold.other,
    ];
    assert_eq!(ms.map(|time| time.as_secs()), [1, 2, 3, 4]);
    assert_eq!((full.retries, full.payload_bytes), (2, 4096));
    assert_eq!(full.retry, Duration::from_millis(500));
}

#[test]
fn mistakes_in_a_section() {
    check(
        "resolvers\n nameserver a\n nameserver b dns.example\n hold never 1s\n timeout resolve x\n \
         resolve_retrys 3\n accepted_payload_size 1\nresolvers r\n nameserver n 10.0.0.1\n \
         nameserver n 10.0.0.2\nresolvers r\n",
        &[
            "1:1: 'resolvers' needs a name after it",
            "1:1: warning: resolvers '' have no nameserver: names are never found",
            "2:2: 'nameserver' needs a name and an address, such as: nameserver dns1 10.0.0.53:53",
            "3:15: 'nameserver': 'dns.example' is no IP address of a name server",
            "4:7: unknown hold 'never'; it is one of nx, obsolete, other, refused, timeout, valid",
            "5:18: 'timeout resolve': 'x' is not a time; write a number and one of us, ms, s, m, h, d",
            "6:2: unknown keyword 'resolve_retrys' in 'resolvers' section; did you mean 'resolve_retries'?",
            "7:24: 'accepted_payload_size' must be between 512 and 65535, not 1",
            "10:13: there is already a nameserver 'n'; rename one",
            "11:1: warning: resolvers 'r' have no nameserver: names are never found",
            "11:11: resolvers 'r' are declared at lb.cfg:8 already; rename one",
        ],
    );
}

#[test]
fn servers_that_have_resolvers() {
    let load = |line: &str| {
        let text =
            format!("{TIMEOUTS}resolvers r\n nameserver a 10.0.0.1\nlisten f\n bind :1\n {line}\n");
        let loaded = load_text(&text).unwrap();
        assert_eq!(lines_of(&loaded.warnings), "", "{line}");
        let mut config = loaded.config;
        (config.backends[0].servers.remove(0), config.resolvers)
    };
    let (server, _) = load(
        "server s nosuch:80 check resolvers r resolve-prefer ipv4 resolve-net 10.0.0.0/8,10.9.9.9 \
         resolve-opts allow-dup-ip,ignore-weight",
    );
    let resolution = server.resolution.unwrap();
    assert!(server.unresolved && !server.disabled);
    assert_eq!(
        server.address,
        ServerAddress::Inet("0.0.0.0:80".parse().unwrap())
    );
    assert_eq!((resolution.resolvers, &*resolution.name), (0, "nosuch"));
    assert_eq!(resolution.prefer, Prefer::V4);
    assert!(resolution.allows_duplicates && resolution.ignores_weight);
    assert_eq!(resolution.nets.len(), 2);
    // An address needs no resolvers, a service has no address to begin with.
    assert_eq!(load("server s 10.0.0.1:1 resolvers r").0.resolution, None);
    let (server, _) = load("server s _api._tcp.test check resolvers r");
    assert!(server.unresolved && server.resolution.unwrap().is_service());
    // The system's name servers need no section.
    let (server, resolvers) = load("server s nosuch:80 resolvers default");
    assert_eq!(server.resolution.unwrap().resolvers, 1);
    assert_eq!(resolvers[1].nameservers[0].name, "10.0.0.99");
    check(
        &format!(
            "{TIMEOUTS}resolvers r1\n nameserver a 10.0.0.1\nlisten f\n bind :1\n server s nosuch:80 resolvers r2 resolve-prefer ip6 resolve-net x resolve-opts y\n"
        ),
        &[
            "10:31: there are no resolvers 'r2'; did you mean 'r1'?",
            "10:49: 'resolve-prefer' is ipv4 or ipv6, not 'ip6'",
            "10:65: 'resolve-net': 'x' is no network such as 10.0.0.0/8",
            "10:80: unknown option 'y' of resolve-opts",
        ],
    );
}
