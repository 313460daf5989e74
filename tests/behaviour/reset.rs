//! A reset on one side is a reset on the other, not a clean end that hides a loss.

use crate::relays::through_every_relay;
use crate::support::{End, until};

#[test]
fn the_client_resets() {
    through_every_relay(
        |mut server| {
            assert_eq!(server.receive_exactly(5), b"hello");
            server.send("x");
            assert_eq!(server.end(), End::Reset);
        },
        |mut client| {
            client.send("hello");
            client.receive_exactly(1);
            client.reset();
        },
    );
}

#[test]
fn the_server_resets() {
    through_every_relay(
        |mut server| {
            assert_eq!(server.receive_exactly(5), b"hello");
            server.send("x");
            server.receive_exactly(1);
            server.reset();
        },
        |mut client| {
            client.send("hello");
            client.receive_exactly(1);
            client.send("y");
            assert_eq!(client.end(), End::Reset);
        },
    );
}

#[test]
fn the_client_resets_while_the_server_sends() {
    through_every_relay(
        |mut server| {
            let block = [b'x'; 65536];
            // A closed connection would take bytes for a while; a reset one fails at once and for good.
            let error = std::iter::from_fn(|| Some(server.try_send(block)))
                .find_map(Result::err)
                .unwrap();
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        },
        |mut client| {
            client.receive_exactly(500_000);
            client.reset();
        },
    );
}

#[test]
fn the_server_resets_while_the_client_sends() {
    through_every_relay(
        |mut server| {
            server.receive_exactly(500_000);
            server.reset();
        },
        |mut client| {
            let block = [b'x'; 65536];
            while client.try_send(block).is_ok() {}
        },
    );
}

#[test]
fn the_client_resets_after_it_half_closed_which_the_server_learns_when_it_sends() {
    through_every_relay(
        |mut server| {
            assert_eq!(server.receive_to_end(), (b"bye".to_vec(), End::Closed));
            until("sending fails", || {
                server.try_send("x").is_err().then_some(())
            });
        },
        |mut client| {
            client.send("bye");
            client.finish();
            client.receive_exactly(1);
            client.reset();
        },
    );
}
