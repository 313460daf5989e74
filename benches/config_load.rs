//! How long a configuration takes to load: 10, 1,000 and 10,000 servers, in both languages.

use std::fmt::Write;
use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use evenkeel_config::{Environment, Source, convert, load};

/// A control plane's file with `servers` checked servers of different weights.
fn haproxy_cfg(servers: usize) -> Source {
    let mut text = String::from(
        "defaults\n    mode tcp\n    timeout connect 1s\n    timeout client 1h\n    timeout server 1h\n\
         frontend api\n    bind 127.0.0.1:6443\n    default_backend masters\n\
         backend masters\n    balance roundrobin\n    option tcp-check\n",
    );
    for n in 0..servers {
        let (b, c, weight) = (n / 256, n % 256, n % 256 + 1);
        writeln!(
            text,
            "    server s{n} 10.0.{b}.{c}:6443 check fall 3 rise 2 weight {weight}"
        )
        .expect("a string takes all that is written to it");
    }
    Source {
        name: "bench.cfg".to_owned(),
        text: text.into_bytes(),
    }
}

fn environment() -> Environment<'static> {
    Environment {
        variable: &|_| None,
        lookup: &|_| Err(std::io::Error::other("the bench names no hosts")),
        hostname: "bench",
        read: &|_| Err(std::io::ErrorKind::NotFound.into()),
        allow_unresolved_servers: false,
    }
}

fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("load");
    group.sample_size(20);
    for servers in [10, 1_000, 10_000] {
        let cfg = haproxy_cfg(servers);
        let toml = convert(std::slice::from_ref(&cfg), &environment());
        let toml =
            toml.unwrap_or_else(|problems| panic!("the bench's own file converts: {problems:?}"));
        let toml = Source {
            name: "bench.toml".to_owned(),
            text: toml.into_bytes(),
        };
        group.throughput(Throughput::Elements(servers as u64));
        for source in [cfg, toml] {
            let id = BenchmarkId::new(&source.name, servers);
            group.bench_with_input(id, &source, |bencher, source| {
                bencher.iter(|| {
                    let loaded = load(black_box(std::slice::from_ref(source)), &environment());
                    let loaded = loaded.unwrap_or_else(|problems| panic!("it loads: {problems:?}"));
                    assert_eq!(loaded.config.backends[0].servers.len(), servers);
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
