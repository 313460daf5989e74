//! How long it takes to choose a server: 10, 1,000 and 10,000 servers, each balance algorithm. The
//! picker is locked meanwhile, for all threads.
//!
//! `pick` is what one connection costs: chosen, counted, and one that came before counted off.
//! `change` is a server that goes down and comes back, with a connection after each.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use evenkeel_config::{Balance, Hashing};
use evenkeel_proxy::bench::Traffic;

const ALGORITHMS: [(&str, &str, &str); 8] = [
    ("roundrobin", "roundrobin", "map-based"),
    ("static-rr", "static-rr", "map-based"),
    ("leastconn", "leastconn", "map-based"),
    ("first", "first", "map-based"),
    ("random", "random", "map-based"),
    ("source", "source", "map-based"),
    ("source-ring", "source", "consistent"),
    (
        "hash-src",
        "hash src,ipmask(24)",
        "map-based sdbm avalanche",
    ),
];

fn bench(criterion: &mut Criterion) {
    for (name, balance, hash_type) in ALGORITHMS {
        let balance: Balance = balance.parse().expect("an algorithm");
        let hashing: Hashing = hash_type.parse().expect("a hash type");
        for servers in [10, 1_000, 10_000] {
            let mut traffic = Traffic::new(&balance, hashing, servers);
            let id = format!("pick/{name}/{servers}");
            criterion.bench_function(&id, |bencher| bencher.iter(|| black_box(traffic.turn())));
            let mut server = 0;
            let id = format!("change/{name}/{servers}");
            criterion.bench_function(&id, |bencher| {
                bencher.iter(|| {
                    server = (server + 1) % servers;
                    for usable in [false, true] {
                        traffic.set_usable(server, usable);
                        black_box(traffic.turn());
                    }
                });
            });
        }
    }
}

criterion_group!(benches, bench);
criterion_main!(benches);
