//! The same conversation over each way of moving bytes.

use std::sync::{Arc, Mutex, mpsc};

use crate::support::{Lab, PATIENCE, Peer};

/// The lines of a `global` section and of a proxy that choose each relay.
pub(crate) const RELAYS: [(&str, &str); 2] = [
    ("nosplice", ""),
    ("", "option splice-request\n    option splice-response"),
];

/// Lets `client` talk to `server` through a balancer that copies and through one that splices.
/// Fails when either side's assertions fail.
pub(crate) fn through_every_relay(
    server: impl Fn(Peer) + Send + Sync + 'static,
    client: impl Fn(Peer),
) {
    let server = Arc::new(server);
    for (global, proxy) in RELAYS {
        let lab = Lab::new();
        let (done, verdicts) = mpsc::channel();
        let done = Mutex::new(done);
        let server = Arc::clone(&server);
        let origin = lab.serving(move |peer| {
            let verdict = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| server(peer)));
            // Nobody listens any more once the client's assertions have failed.
            let _ = done.lock().unwrap().send(verdict.is_ok());
        });
        let front = lab.address();
        let _lb = lab.start(&format!(
            "
global
    {global}
listen api
    bind {front}
    mode tcp
    {proxy}
    timeout connect 2s
    timeout client 30s
    timeout server 30s
    server s1 {origin}
",
            origin = origin.address()
        ));
        client(Peer::connect(front));
        let verdict = verdicts.recv_timeout(PATIENCE);
        assert_eq!(verdict, Ok(true), "the server's side, {global}{proxy}");
    }
}
