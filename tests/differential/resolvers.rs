//! Names that are followed while the process runs: where servers are, and what is logged.

use std::net::IpAddr;

use crate::compare::same;
use crate::support::balancer::temporary_directory;
use crate::support::cli::ask;
use crate::support::dns::{Answer, Dns, Record};
use crate::support::{Balancer, Lab, until};

/// A `resolvers` section that asks often and holds nothing for long.
fn section(dns: &Dns) -> String {
    format!(
        "resolvers res
    nameserver ns1 {}
    resolve_retries 1
    timeout resolve 100ms
    timeout retry 200ms
    hold nx 300ms
    hold refused 300ms
    hold timeout 300ms
    hold other 300ms
",
        dns.address()
    )
}

fn start(lab: &Lab, dns: &Dns, servers: &str) -> Balancer {
    lab.start(&format!(
        "{preamble}{section}
listen api
    default-server init-addr none resolvers res resolve-prefer ipv4
    bind {front}
{servers}
",
        preamble = lab.preamble(),
        section = section(dns),
        front = lab.address(),
    ))
}

/// Messages about servers of `api`, as they come, until one contains `last`.
fn told(lab: &Lab, skip: &mut usize, last: &str) -> Vec<(u8, String)> {
    let is_ours = |text: &str| text.contains("api");
    let told = until(last, || {
        let all = lab.syslog.all();
        let ours: Vec<(u8, String)> = all
            .iter()
            .filter(|message| is_ours(&message.text))
            .map(|message| (message.level, message.text.clone()))
            .skip(*skip)
            .collect();
        let at = ours.iter().position(|(_, text)| text.contains(last))?;
        Some(ours[..=at].to_vec())
    });
    *skip += told.len();
    told
}

const ONE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 21));
const TWO: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 22));

#[test]
fn a_server_follows_its_name() {
    let seen = same("one name", |lab| {
        let dns = Dns::start(lab.ip());
        let _lb = start(lab, &dns, "    server s a.test:6443");
        let mut skip = 0;
        dns.set_addresses("a.test", &[ONE]);
        let mut seen = told(lab, &mut skip, "thanks to valid DNS answer");
        dns.set_addresses("a.test", &[TWO]);
        seen.extend(told(lab, &mut skip, "IP changed"));
        dns.forget("a.test");
        seen.extend(told(lab, &mut skip, "no server available"));
        dns.set_addresses("a.test", &[ONE]);
        seen.extend(told(lab, &mut skip, "thanks to valid DNS answer"));
        dns.set("a.test", Answer::Refused);
        seen.extend(told(lab, &mut skip, "no server available"));
        dns.set_addresses("a.test", &[TWO]);
        seen.extend(told(lab, &mut skip, "thanks to valid DNS answer"));
        dns.set("a.test", Answer::Silence);
        seen.extend(told(lab, &mut skip, "no server available"));
        dns.set_addresses("a.test", &[TWO]);
        seen.extend(told(lab, &mut skip, "thanks to valid DNS answer"));
        dns.set("a.test", Answer::Records(Vec::new()));
        seen.extend(told(lab, &mut skip, "no server available"));
        // What HAProxy calls a proxy and evenkeel a backend is compared elsewhere.
        seen.retain(|(_, text)| !text.contains("no server available"));
        seen
    });
    if let Some(seen) = seen {
        assert_eq!(
            seen[0].1,
            "api/s: IP changed from '(none)' to '127.0.0.21' by 'res/ns1'."
        );
        let reasons = [
            "DNS NX status",
            "DNS refused status",
            "DNS timeout status",
            "unspecified DNS error",
        ];
        let told = |reason: &&&str| seen.iter().any(|(_, text)| text.contains(**reason));
        assert_eq!(reasons.iter().filter(told).count(), 4, "{seen:#?}");
    }
}

#[test]
fn servers_of_one_name_part_its_addresses() {
    let seen = same("several servers of one name", |lab| {
        let dns = Dns::start(lab.ip());
        dns.set_addresses("m.test", &[ONE, TWO]);
        let servers =
            "    server a m.test:6443\n    server b m.test:6443\n    server c m.test:6443";
        let lb = start(lab, &dns, servers);
        let mut skip = 0;
        told(lab, &mut skip, "api/b administratively READY");
        let ready = until("two are there", || {
            let count = lb_up(&lb);
            (count == 2.0).then_some(count)
        });
        dns.set_addresses("m.test", &[TWO]);
        let gone = told(lab, &mut skip, "going DOWN for maintenance");
        // Which one had the address that is gone is up to either.
        let gone = gone
            .last()
            .unwrap()
            .1
            .replace("api/a", "api/x")
            .replace("api/b", "api/x");
        (ready, gone)
    });
    if let Some((_, gone)) = seen {
        assert!(gone.contains("(No IP for server )"), "{gone}");
    }
}

fn lb_up(lb: &Balancer) -> f64 {
    lb.metrics()
        .value("haproxy_backend_active_servers", "proxy=api")
}

#[test]
fn a_service_says_hosts_ports_and_weights() {
    let seen = same("a service", |lab| {
        let dns = Dns::start(lab.ip());
        dns.set_addresses("t1.test", &[ONE]);
        dns.set_addresses("t2.test", &[TWO]);
        let both = vec![
            Record::Service(600, 6443, "t1.test"),
            Record::Service(65535, 7443, "t2.test"),
        ];
        dns.set("_api._tcp.test", Answer::Records(both.clone()));
        let servers = "    server a _api._tcp.test\n    server b _api._tcp.test";
        let lb = start(lab, &dns, servers);
        let mut skip = 0;
        until("both are there", || (lb_up(&lb) == 2.0).then_some(()));
        let weight = |server: &str| {
            let labels = format!("proxy=api,server={server}");
            lb.metrics().value("haproxy_server_weight", &labels)
        };
        let mut weights = [weight("a"), weight("b")];
        weights.sort_by(f64::total_cmp);
        dns.set("_api._tcp.test", Answer::Records(both[1..].to_vec()));
        let gone = told(lab, &mut skip, "going DOWN for maintenance");
        let gone = gone
            .last()
            .unwrap()
            .1
            .replace("api/a", "api/x")
            .replace("api/b", "api/x");
        (weights, gone)
    });
    if let Some((weights, gone)) = seen {
        assert_eq!(weights, [3.0, 256.0]);
        assert!(gone.contains("(entry removed from SRV record)"), "{gone}");
    }
}

#[test]
fn commands_tell_of_name_servers_and_take_another_name() {
    same("commands about names", |lab| {
        let socket = temporary_directory().join("cli");
        let dns = Dns::start(lab.ip());
        dns.set_addresses("one.test", &[ONE]);
        dns.set("no.test", Answer::Refused);
        let _lb = lab.start(&format!(
            "
global
    maxconn 1000
    stats socket {socket} level admin
{defaults}{section}
listen api
    default-server init-addr none resolvers res resolve-prefer ipv4
    bind {front}
    server a one.test:6443
    server b gone.test:6443
    server c no.test:6443
",
            socket = socket.display(),
            defaults = lab.defaults(),
            section = section(&dns),
            front = lab.address(),
        ));
        // Counters go on: which ones do is the same.
        let moved = |text: String| {
            let line = |line: &str| match line.rsplit_once(char::is_whitespace) {
                Some((name, count)) if name.ends_with(' ') => format!("{name}{}", count != "0"),
                _ => line.to_owned(),
            };
            text.lines().map(line).collect::<Vec<_>>()
        };
        let counted = until("each answer is counted", || {
            let shown = moved(ask(&socket, "show resolvers res"));
            let is_true = |name: &str| {
                shown
                    .iter()
                    .any(|line| line.trim().starts_with(name) && line.ends_with("true"))
            };
            ["valid:", "nx:", "refused:"]
                .iter()
                .all(|name| is_true(name))
                .then_some(shown)
        });
        // Empty answers for the other family count in one way or another.
        let counted = counted
            .into_iter()
            .filter(|line| !line.contains("other:") && !line.contains("outdated:"));
        let mut answers = vec![counted.collect::<Vec<_>>().join("\n")];
        for command in [
            "show resolvers nobody",
            "set server api/a fqdn",
            "set server api/a fqdn two.test",
        ] {
            answers.push(ask(&socket, command));
        }
        answers
    });
}
