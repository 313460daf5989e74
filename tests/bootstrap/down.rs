//! A machine is out of reach: it is named, all else is done without it, and it is never taken for one that
//! has not joined.

use crate::by_hand::{TABLE, table};
use crate::lab::{Lab, sh};
use crate::operator::{edit_inventory, fail, succeed};

/// Takes a machine off the network, or puts it back.
fn link(name: &str, state: &str) {
    sh(&format!("ip link set p-{name} {state}"));
}

/// Brings the cluster up while worker2 is away, and has it join when it is back. What that said.
pub(crate) fn worker_from_the_beginning(lab: &Lab) -> String {
    edit_inventory("[ssh]\n", "[ssh]\nconnect-timeout = \"3s\"\n");
    link("worker2", "down");
    let said = fail(&["apply", "--yes"]);
    assert!(
        said.contains("cannot be reached") && said.contains("worker2"),
        "{said}"
    );
    assert!(
        said.contains(
            "--without worker2 goes on with all that needs nothing of it: it joins by a later apply"
        ),
        "{said}"
    );
    succeed(&["apply", "--yes", "--without", "worker2"]);
    let without: String = TABLE
        .lines()
        .filter(|line| !line.starts_with("worker2"))
        .map(|line| format!("{line}\n"))
        .collect();
    assert_eq!(table(lab.node("master1")), without);
    link("worker2", "up");
    let said = succeed(&["apply", "--yes"]);
    assert!(said.contains("join worker2 as a worker: ok"), "{said}");
    said
}
