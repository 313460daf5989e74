//! Which server each connection goes to.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::compare::same;
use crate::support::balancer::until_metrics;
use crate::support::lab::{is_up, visit};
use crate::support::{Lab, Origin, Peer};

/// `listen api` on `front`, with a server line for each (name, options).
fn listen(lab: &Lab, front: SocketAddr, body: &str, servers: &[(&str, &Origin, &str)]) -> String {
    let mut text = format!(
        "{}\nlisten api\n    bind {front}\n    {body}\n",
        lab.preamble()
    );
    for (name, origin, options) in servers {
        writeln!(text, "    server {name} {} {options}", origin.address()).unwrap();
    }
    text
}

/// Which servers `count` connections reach, one after the other.
fn visits(front: SocketAddr, count: usize) -> Vec<String> {
    (0..count).map(|_| visit(front)).collect()
}

/// Connects and keeps the connection.
fn hold(front: SocketAddr) -> (String, Peer) {
    let mut peer = Peer::connect(front);
    (peer.receive_line(), peer)
}

/// The order of round robin under `weights`, over three full rounds.
fn weighted_order(lab: &Lab, algorithm: &str, weights: &[u32]) -> Vec<String> {
    let names: Vec<String> = (1..=weights.len())
        .map(|number| format!("s{number}"))
        .collect();
    let origins: Vec<Origin> = names.iter().map(|name| lab.origin(name)).collect();
    let options: Vec<String> = weights
        .iter()
        .map(|weight| format!("weight {weight}"))
        .collect();
    let servers: Vec<_> = (0..weights.len())
        .map(|at| (names[at].as_str(), &origins[at], options[at].as_str()))
        .collect();
    let front = lab.address();
    let _lb = lab.start(&listen(lab, front, algorithm, &servers));
    visits(front, 3 * weights.iter().sum::<u32>() as usize + 2)
}

#[test]
fn round_robin_order_under_every_mix_of_weights() {
    for weights in [
        &[1, 1][..],
        &[1, 1, 1],
        &[1, 2],
        &[5, 1, 1],
        &[3, 2, 1],
        &[1, 2, 3, 4],
        &[2, 2, 7],
        &[10, 20, 5],
        &[3, 0, 1],
    ] {
        let order = same("round robin by weight", |lab| {
            weighted_order(lab, "balance roundrobin", weights)
        });
        let Some(order) = order else { return };
        for (at, weight) in weights.iter().enumerate() {
            let name = format!("s{}", at + 1);
            let times = order.iter().filter(|server| **server == name).count();
            assert!(
                times >= 3 * *weight as usize,
                "{weights:?}: {name} served {times} times"
            );
        }
    }
}

#[test]
fn without_a_balance_line_round_robin_decides() {
    same("no balance line", |lab| weighted_order(lab, "", &[1, 2]));
}

#[test]
fn least_connections_with_connections_held_open() {
    let seen = same("leastconn", |lab| {
        let [a, b, c] = lab.origins(["a", "b", "c"]);
        let front = lab.address();
        let servers = [("a", &a, ""), ("b", &b, "weight 2"), ("c", &c, "")];
        let lb = lab.start(&listen(lab, front, "balance leastconn", &servers));

        let mut held: Vec<(String, Peer)> = (0..8).map(|_| hold(front)).collect();
        let mut order: Vec<String> = held.iter().map(|(name, _)| name.clone()).collect();
        // All of one server's connections end: the next ones must go there.
        held.retain(|(name, _)| name != "c");
        let held_now = held.len();
        until_metrics(&lb, "c's connections are gone", |metrics| {
            metrics.value("haproxy_backend_current_sessions", "proxy=api") as usize == held_now
        });
        for _ in 0..4 {
            let (name, peer) = hold(front);
            order.push(name.clone());
            held.push((name, peer));
        }
        order
    });
    if let Some(order) = seen {
        assert!(order[8..10].iter().all(|name| name == "c"), "{order:?}");
    }
}

#[test]
fn least_connections_takes_turns_among_equals() {
    same("leastconn among equals", |lab| {
        let [a, b, c] = lab.origins(["a", "b", "c"]);
        let front = lab.address();
        let servers = [("a", &a, ""), ("b", &b, ""), ("c", &c, "")];
        let _lb = lab.start(&listen(lab, front, "balance leastconn", &servers));
        (0..7)
            .map(|_| {
                let name = visit(front);
                // Its end is known once it is logged; only then is the server as idle as before.
                lab.syslog.session();
                name
            })
            .collect::<Vec<_>>()
    });
}

#[test]
fn source_sends_a_client_address_always_to_the_same_server() {
    let seen = same("source", |lab| {
        let [a, b, c] = lab.origins(["a", "b", "c"]);
        let front = lab.address();
        let servers = [("a", &a, ""), ("b", &b, "weight 3"), ("c", &c, "")];
        let _lb = lab.start(&listen(lab, front, "balance source", &servers));
        (1..=60)
            .map(|client| {
                let from = IpAddr::V4(Ipv4Addr::new(127, 0, client % 7, client));
                Peer::connect_from(from, front).receive_line()
            })
            .collect::<Vec<_>>()
    });
    if let Some(servers) = seen {
        for name in ["a", "b", "c"] {
            assert!(
                servers.iter().any(|server| server == name),
                "{name} serves nobody: {servers:?}"
            );
        }
    }
}

#[test]
fn source_when_a_server_dies_and_comes_back() {
    same("source with a dead server", |lab| {
        let [a, mut b, c] = lab.origins(["a", "b", "c"]);
        let front = lab.address();
        let check = "check inter 100ms fall 1 rise 1";
        let servers = [("a", &a, check), ("b", &b, check), ("c", &c, check)];
        let lb = lab.start(&listen(lab, front, "balance source", &servers));
        let clients = || {
            (1..=20)
                .map(|client| {
                    let from = IpAddr::V4(Ipv4Addr::new(127, 0, 0, client));
                    Peer::connect_from(from, front).receive_line()
                })
                .collect::<Vec<_>>()
        };
        let before = clients();
        b.die();
        until_metrics(&lb, "b is down", |metrics| !is_up(metrics, "api", "b"));
        let without = clients();
        b.revive();
        until_metrics(&lb, "b is up", |metrics| is_up(metrics, "api", "b"));
        (before, without, clients())
    });
}

#[test]
fn round_robin_when_a_server_dies_and_comes_back() {
    let seen = same("round robin with a dead server", |lab| {
        let [a, mut b, c] = lab.origins(["a", "b", "c"]);
        let front = lab.address();
        let check = "check inter 100ms fall 1 rise 1";
        let servers = [("a", &a, check), ("b", &b, check), ("c", &c, check)];
        let lb = lab.start(&listen(lab, front, "balance roundrobin", &servers));
        let before = visits(front, 4);
        b.die();
        until_metrics(&lb, "b is down", |metrics| !is_up(metrics, "api", "b"));
        let without = visits(front, 5);
        b.revive();
        until_metrics(&lb, "b is up", |metrics| is_up(metrics, "api", "b"));
        (before, without, visits(front, 7))
    });
    if let Some((_, without, after)) = seen {
        assert!(!without.contains(&"b".to_owned()) && after.contains(&"b".to_owned()));
    }
}

#[test]
fn backups_serve_when_no_other_server_is_left() {
    for all in ["", "option allbackups"] {
        let seen = same("backups", |lab| {
            let mut main = lab.origin("main");
            let [first, second] = lab.origins(["first", "second"]);
            let front = lab.address();
            let check = "check inter 100ms fall 1 rise 1";
            let backup = "check inter 100ms backup";
            let servers = [
                ("main", &main, check),
                ("first", &first, backup),
                ("second", &second, backup),
            ];
            let body = format!("balance roundrobin\n    {all}");
            let lb = lab.start(&listen(lab, front, &body, &servers));
            let before = visits(front, 2);
            main.die();
            until_metrics(&lb, "main is down", |metrics| {
                !is_up(metrics, "api", "main")
            });
            let without = visits(front, 4);
            main.revive();
            until_metrics(&lb, "main is up", |metrics| is_up(metrics, "api", "main"));
            (before, without, visits(front, 2))
        });
        let Some((_, without, _)) = seen else { return };
        assert_eq!(
            without.contains(&"second".to_owned()),
            !all.is_empty(),
            "{all}: {without:?}"
        );
    }
}

#[test]
fn servers_that_get_nothing() {
    let seen = same("disabled and weight 0", |lab| {
        let [a, b, c, d] = lab.origins(["a", "b", "c", "d"]);
        let front = lab.address();
        let servers = [
            ("a", &a, "disabled"),
            ("b", &b, "weight 0"),
            ("c", &c, ""),
            ("d", &d, ""),
        ];
        let _lb = lab.start(&listen(lab, front, "balance roundrobin", &servers));
        visits(front, 4)
    });
    if let Some(seen) = seen {
        assert!(
            seen.iter().all(|name| name == "c" || name == "d"),
            "{seen:?}"
        );
    }
}

#[test]
fn one_order_for_all_frontends_of_a_backend() {
    same("two frontends, one backend", |lab| {
        let [a, b, c] = lab.origins(["a", "b", "c"]);
        let (one, two) = (lab.address(), lab.address());
        let _lb = lab.start(&format!(
            "{preamble}
frontend one
    bind {one}
    default_backend api
frontend two
    bind {two}
    default_backend api
backend api
    balance roundrobin
    server a {a}
    server b {b}
    server c {c}
",
            preamble = lab.preamble(),
            a = a.address(),
            b = b.address(),
            c = c.address()
        ));
        [one, two, two, one, one, two, one].map(visit)
    });
}
