//! `maxconn` and the descriptor limit: past them clients wait, and none is lost.

use std::net::SocketAddr;
use std::time::Duration;

use crate::support::balancer::{Launch, until_metrics};
use crate::support::peer::Received;
use crate::support::{Balancer, Lab, Peer, until};

/// Connects `count` clients and says how many were served within half a second of the last.
fn crowd(front: SocketAddr, count: usize) -> (Vec<Peer>, Vec<Peer>) {
    let clients: Vec<Peer> = (0..count).map(|_| Peer::connect(front)).collect();
    let (mut served, mut waiting) = (Vec::new(), Vec::new());
    for mut client in clients {
        match client.receive(Duration::from_millis(500)) {
            Received::Data(_) => served.push(client),
            Received::Nothing => waiting.push(client),
            Received::End(end) => panic!("a client was turned away: {end:?}"),
        }
    }
    (served, waiting)
}

/// Each served client that leaves lets one that waits in, until all were served. Which one is the
/// system's affair: each thread has an accept queue of its own.
fn all_get_their_turn(mut served: Vec<Peer>, mut waiting: Vec<Peer>) {
    while !waiting.is_empty() {
        served.remove(0).close();
        let next = until("one that waits is let in", || {
            let step = Duration::from_millis(20);
            waiting
                .iter_mut()
                .position(|client| match client.receive(step) {
                    Received::Data(data) => {
                        assert!(data.starts_with(b"server"));
                        true
                    }
                    Received::Nothing => false,
                    Received::End(end) => panic!("a client was turned away: {end:?}"),
                })
        });
        served.push(waiting.remove(next));
    }
}

fn start(
    lab: &Lab,
    front: SocketAddr,
    server: SocketAddr,
    [global, frontend, bind]: [&str; 3],
) -> Balancer {
    lab.start(&format!(
        "
global
    {log}
    {global}
{defaults}
frontend fe
    bind {front} {bind}
    {frontend}
    default_backend be
backend be
    server s1 {server}
",
        log = lab.log(),
        defaults = lab.defaults(),
    ))
}

#[test]
fn clients_past_each_maxconn_wait_for_their_turn() {
    for limits in [
        ["maxconn 3", "", ""],
        ["", "maxconn 3", ""],
        ["", "", "maxconn 3"],
    ] {
        let lab = Lab::new();
        let origin = lab.origin("server");
        let front = lab.address();
        let _lb = start(&lab, front, origin.address(), limits);

        let (served, waiting) = crowd(front, 8);
        assert_eq!((served.len(), waiting.len()), (3, 5), "{limits:?}");
        assert_eq!(origin.accepted(), 3, "{limits:?}");
        all_get_their_turn(served, waiting);
        assert_eq!(origin.accepted(), 8, "{limits:?}");
    }
}

#[test]
fn a_full_frontend_leaves_the_other_alone_and_is_counted() {
    let lab = Lab::new();
    let origin = lab.origin("server");
    let (full, free) = (lab.address(), lab.address());
    let lb = lab.start(&format!(
        "{preamble}
frontend full
    bind {full}
    maxconn 1
    default_backend be
frontend free
    bind {free}
    default_backend be
backend be
    server s1 {origin}
",
        preamble = lab.preamble(),
        origin = origin.address(),
    ));

    let (served, waiting) = crowd(full, 2);
    assert_eq!((served.len(), waiting.len()), (1, 1));
    assert_eq!(crate::support::lab::visit(free), "server");
    until_metrics(&lb, "the full frontend is counted", |metrics| {
        metrics.get("evenkeel_frontend_maxconn_reached_total", "proxy=full") >= Some(1.0)
    });
    assert_eq!(
        lb.metrics()
            .value("evenkeel_frontend_maxconn_reached_total", "proxy=free"),
        0.0
    );
    all_get_their_turn(served, waiting);
}

#[test]
fn few_descriptors_mean_fewer_connections_at_once_and_no_loss() {
    let lab = Lab::new();
    let origin = lab.origin("server");
    let front = lab.address();
    let lb = lab.launch(
        &format!(
            "{}\nlisten api\n    bind {front}\n    server s1 {}\n",
            lab.preamble(),
            origin.address()
        ),
        &Launch {
            descriptors: Some(256),
            ..Launch::default()
        },
    );
    let limit = lb.metrics().value("haproxy_process_max_connections", "");
    assert!(
        (10.0..128.0).contains(&limit),
        "{limit} connections with 256 descriptors"
    );

    let limit = limit as usize;
    let (served, waiting) = crowd(front, limit + 4);
    assert_eq!((served.len(), waiting.len()), (limit, 4));
    all_get_their_turn(served, waiting);
}

#[test]
fn a_maxconn_that_the_descriptors_cannot_carry_is_refused_with_what_to_do() {
    let lab = Lab::new();
    let front = lab.address();
    let directory = crate::support::balancer::temporary_directory();
    let file = directory.join("lb.cfg");
    std::fs::write(
        &file,
        format!("global\n    maxconn 2000000000\nlisten api\n    bind {front}\n    server s1 127.0.0.1:1\n"),
    )
    .unwrap();
    let finished = lab.program().run(["-f".as_ref(), file.as_os_str()]);
    assert_eq!(finished.code(), 1);
    assert!(
        finished.stderr.contains("LimitNOFILE="),
        "{}",
        finished.stderr
    );
    std::fs::remove_dir_all(directory).unwrap();
}
