//! `balance`: which server a connection goes to.

use crate::support::Lab;
use crate::support::lab::visit;

#[test]
fn round_robin_serves_the_servers_in_turn() {
    let lab = Lab::new();
    let [a, b, c] = lab.origins(["a", "b", "c"]);
    let front = lab.address();
    let _lb = lab.start(&format!(
        "{preamble}
listen api
    bind {front}
    balance roundrobin
    server a {a}
    server b {b}
    server c {c}
",
        preamble = lab.preamble(),
        a = a.address(),
        b = b.address(),
        c = c.address(),
    ));

    let servers: Vec<_> = (0..7).map(|_| visit(front)).collect();

    assert_eq!(servers, ["a", "b", "c", "a", "b", "c", "a"]);
}
