//! Whoever reads slowly slows the sender down; nothing is lost and nothing piles up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::relays::through_every_relay;
use crate::support::{End, Lab, Peer, until};

/// More than all socket buffers on the way hold.
const MUCH: usize = 64 << 20;

#[test]
fn a_client_that_pauses_gets_everything() {
    const SIZE: usize = 20_000_000;
    through_every_relay(
        |mut server| {
            server.receive_exactly(1);
            let bytes: Vec<u8> = (0..SIZE).map(|at| (at % 251) as u8).collect();
            server.send(bytes);
        },
        |mut client| {
            client.send("x");
            let mut got = Vec::new();
            for _ in 0..5 {
                // The pause is the point: the sender must wait meanwhile.
                crate::support::wait::within(Duration::from_millis(100), || None::<()>);
                got.extend(client.receive_exactly(10_000));
            }
            let (rest, end) = client.receive_to_end();
            got.extend(rest);
            assert_eq!((got.len(), end), (SIZE, End::Closed));
            assert!(
                got.iter()
                    .enumerate()
                    .all(|(at, byte)| *byte == (at % 251) as u8)
            );
        },
    );
}

#[test]
fn a_client_that_does_not_read_stops_the_server() {
    let is_stuck = Arc::new(AtomicBool::new(false));
    let stuck = Arc::clone(&is_stuck);
    through_every_relay(
        move |mut server| {
            let sent = server.send_until_stuck(Duration::from_secs(1), MUCH);
            assert!(sent < MUCH, "the balancer took everything");
            stuck.store(true, Ordering::SeqCst);
            server.finish();
        },
        |mut client| {
            until("the server is stuck", || {
                is_stuck.swap(false, Ordering::SeqCst).then_some(())
            });
            assert_eq!(client.end(), End::Closed);
        },
    );
}

#[test]
fn a_stuck_flow_does_not_hold_up_the_others() {
    let lab = Lab::new();
    let origin = lab.serving(|mut peer| {
        if peer.receive_exactly(1) == b"m" {
            peer.send_until_stuck(Duration::from_secs(5), MUCH);
        } else {
            peer.send("quick\n");
        }
    });
    let front = lab.address();
    let _lb = lab.start(&format!(
        "{}\nlisten api\n    bind {front}\n    server s1 {}\n",
        lab.preamble(),
        origin.address()
    ));
    let stuck: Vec<Peer> = (0..8)
        .map(|_| {
            let mut peer = Peer::connect_with_small_buffer(front);
            peer.send("m");
            peer
        })
        .collect();

    for _ in 0..20 {
        let mut peer = Peer::connect(front);
        peer.send("q");
        assert_eq!(peer.receive_line(), "quick");
    }
    drop(stuck);
}
