//! Whole plans as they are shown, from cluster.toml to the last script, for machines on which nothing is yet.
//! A change of what is done on a host is seen here; `EVENKEEL_BLESS=1` writes the texts anew.

use std::path::{Path, PathBuf};

use super::plan;
use super::tests::fresh;
use crate::facts::{Facts, PackageManager};
use crate::inventory::{Inventory, load};
use crate::plan::steps::example::host;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/plans")
}

/// Compares the plan for `NAME.toml` with `NAME.txt`.
fn check(name: &str, change: impl FnOnce(&Inventory, &mut Facts)) {
    let loaded = load(&folder().join(format!("{name}.toml")));
    let inventory = loaded.expect("it has no mistakes").inventory;
    let mut facts = fresh(&inventory);
    change(&inventory, &mut facts);
    let shown = plan(&inventory, &facts)
        .expect("nothing is against it")
        .to_string();
    let path = folder().join(format!("{name}.txt"));
    if std::env::var_os("EVENKEEL_BLESS").is_some() {
        std::fs::write(&path, &shown).expect("it can be written");
    }
    let kept = std::fs::read_to_string(&path).expect("it is kept beside the inventory");
    let differences: String = similar::TextDiff::from_lines(&kept, &shown)
        .unified_diff()
        .header(&format!("{name}.txt"), "the plan")
        .to_string();
    assert!(
        differences.is_empty(),
        "if this is as it should be, write it with EVENKEEL_BLESS=1:\n{differences}"
    );
}

#[test]
fn one_balancer_two_control_planes_two_workers() {
    check("seed", |_, _| {});
}

#[test]
fn two_balancers_that_share_an_address_and_settings_of_the_sites_own() {
    check("two-balancers", |_, _| {});
}

#[test]
fn relatives_of_fedora_in_two_families_of_addresses() {
    check("small", |inventory, facts| {
        for (number, node) in (1..).zip(&inventory.nodes) {
            let found = host(facts, &node.name);
            found.package_manager = Some(PackageManager::Dnf);
            let address = format!("fd00:1::{number}/64");
            let address = address.parse().expect("an address");
            found.interfaces[0].addresses.push(address);
        }
    });
}
