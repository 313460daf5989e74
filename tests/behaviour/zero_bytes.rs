//! Connections that carry nothing, or nothing one way, are connections all the same.

use crate::relays::through_every_relay;
use crate::support::{End, Lab, Peer};

#[test]
fn nothing_either_way() {
    through_every_relay(
        |mut server| assert_eq!(server.receive_to_end(), (Vec::new(), End::Closed)),
        |mut client| {
            client.finish();
            assert_eq!(client.receive_to_end(), (Vec::new(), End::Closed));
        },
    );
}

#[test]
fn the_server_speaks_first_and_the_client_never() {
    through_every_relay(
        |mut server| {
            server.send("banner");
            assert_eq!(server.receive_to_end(), (Vec::new(), End::Closed));
        },
        |mut client| {
            assert_eq!(client.receive_exactly(6), b"banner");
            client.close();
        },
    );
}

#[test]
fn the_server_closes_without_a_word() {
    through_every_relay(drop, |mut client| {
        assert_eq!(client.receive_to_end(), (Vec::new(), End::Closed));
    });
}

#[test]
fn a_session_without_bytes_is_logged_unless_dontlognull() {
    for (option, expected) in [("", 2), ("option dontlognull", 1)] {
        let lab = Lab::new();
        let echo = lab.echo();
        let front = lab.address();
        let _lb = lab.start(&format!(
            "{}\nlisten api\n    bind {front}\n    {option}\n    server s1 {}\n",
            lab.preamble(),
            echo.address()
        ));
        let mut nothing = Peer::connect(front);
        nothing.finish();
        nothing.end();
        if option.is_empty() {
            lab.syslog.session();
        }
        let mut something = Peer::connect(front);
        something.send("x");
        something.receive_exactly(1);
        something.close();

        assert_eq!(lab.syslog.session().bytes, 1);
        assert_eq!(lab.syslog.sessions().len(), expected, "{option}");
    }
}
