//! A FIN in one direction leaves the other open, both ways round.

use std::time::Duration;

use crate::relays::through_every_relay;
use crate::support::End;

#[test]
fn the_client_ends_and_still_gets_the_answer() {
    through_every_relay(
        |mut server| {
            let (question, end) = server.receive_to_end();
            assert_eq!(end, End::Closed);
            server.send(vec![b'a'; 200_000]);
            server.send(question);
        },
        |mut client| {
            client.send("question");
            client.finish();
            let (answer, end) = client.receive_to_end();
            assert_eq!(end, End::Closed);
            assert_eq!(answer.len(), 200_008);
            assert!(answer.ends_with(b"question"));
        },
    );
}

#[test]
fn the_server_ends_and_still_gets_what_the_client_has_to_say() {
    through_every_relay(
        |mut server| {
            server.send("over to you");
            server.finish();
            let (answer, end) = server.receive_to_end();
            assert_eq!((answer.len(), end), (300_000, End::Closed));
        },
        |mut client| {
            assert_eq!(
                client.receive_to_end(),
                (b"over to you".to_vec(), End::Closed)
            );
            client.send(vec![b'c'; 300_000]);
            client.finish();
            // Nothing more comes, and nothing is reset.
            assert!(!client.has_failed());
        },
    );
}

#[test]
fn a_half_closed_connection_stays_open_while_the_other_side_talks() {
    through_every_relay(
        |mut server| {
            server.receive_to_end();
            for _ in 0..5 {
                assert!(!server.has_failed());
                // The pause of a server that takes its time.
                crate::support::wait::within(Duration::from_millis(100), || None::<()>);
                server.send("tick\n");
            }
        },
        |mut client| {
            client.finish();
            assert_eq!(client.receive_to_end().0.len(), 25);
        },
    );
}

#[test]
fn both_ends_at_once() {
    through_every_relay(
        |server| {
            server.finish();
            crate::support::origin::drain(server.into_stream());
        },
        |mut client| {
            client.finish();
            assert_eq!(client.end(), End::Closed);
        },
    );
}
