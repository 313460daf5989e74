//! `weight`: how much of the traffic a server gets.

use std::collections::BTreeMap;

use crate::support::lab::visit;
use crate::support::{Lab, Origin};

/// How often each server of these weights is chosen in `visits` connections.
fn shares(lab: &Lab, weights: &[(&str, u32)], visits: usize) -> BTreeMap<String, usize> {
    let origins: Vec<Origin> = weights.iter().map(|(name, _)| lab.origin(name)).collect();
    let servers: String = weights
        .iter()
        .zip(&origins)
        .map(|((name, weight), origin)| {
            format!("    server {name} {} weight {weight}\n", origin.address())
        })
        .collect();
    let front = lab.address();
    let _lb = lab.start(&format!(
        "{}\nlisten api\n    bind {front}\n    balance roundrobin\n{servers}",
        lab.preamble()
    ));
    let mut shares = BTreeMap::new();
    for _ in 0..visits {
        *shares.entry(visit(front)).or_default() += 1;
    }
    shares
}

#[test]
fn weights_are_shares() {
    let shares = shares(&Lab::new(), &[("one", 1), ("three", 3), ("six", 6)], 50);
    assert_eq!(shares["one"], 5);
    assert_eq!(shares["three"], 15);
    assert_eq!(shares["six"], 30);
}

#[test]
fn weight_zero_gets_nothing() {
    let shares = shares(&Lab::new(), &[("none", 0), ("all", 5)], 10);
    assert_eq!(shares.get("none"), None);
    assert_eq!(shares["all"], 10);
}

#[test]
fn a_client_whose_servers_all_weigh_nothing_is_closed() {
    let shares = shares(&Lab::new(), &[("none", 0)], 2);
    assert_eq!(shares[""], 2);
}
