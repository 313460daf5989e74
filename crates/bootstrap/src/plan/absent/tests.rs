use super::*;
use crate::plan::steps::example::{bare, host, inventory, joined};
use crate::plan::{Plan, plan};

fn lose(facts: &mut Facts, name: &str) {
    facts
        .hosts
        .insert(name.to_owned(), Err("cannot be reached".to_owned()));
}

/// The plan without a host that is down.
fn without(inventory: &Inventory, facts: &Facts, name: &str) -> Result<Plan, Vec<String>> {
    let mut facts = facts.clone();
    lose(&mut facts, name);
    facts.without.insert(name.to_owned());
    plan(inventory, &facts)
}

fn ids(plan: &Plan) -> Vec<&str> {
    plan.steps().map(|step| step.id.as_str()).collect()
}

/// A host that is not spoken of in any step.
fn spares(plan: &Plan, name: &str) {
    assert!(plan.steps().all(|step| step.host != name), "{plan}");
    let own = |id: &str| id.contains(&format!("-{name}")) || id.starts_with(&format!("{name}/"));
    assert!(!ids(plan).into_iter().any(own), "{plan}");
}

const ALL: [&str; 4] = ["master1", "master2", "worker1", "worker2"];

#[test]
fn all_else_is_done_without_a_worker_whether_it_has_joined_or_not() {
    let inventory = inventory();
    let fresh = without(&inventory, &bare(&inventory), "worker1").expect("it may be left out");
    spares(&fresh, "worker1");
    assert!(ids(&fresh).contains(&"worker2/join"), "{fresh}");
    assert!(
        fresh
            .to_string()
            .contains("note: without worker1: it joins by a later apply"),
        "{fresh}"
    );
    assert!(
        fresh
            .to_string()
            .contains("+10.0.1.13 worker1.kube.com worker1"),
        "others know its name all the same: {fresh}"
    );

    let facts = joined(&inventory, &ALL);
    let whole = plan(&inventory, &facts).expect("nothing is against it");
    let rest = without(&inventory, &facts, "worker1").expect("it may be left out");
    spares(&rest, "worker1");
    let mut expected = ids(&whole);
    expected.retain(|id| !id.starts_with("worker1/"));
    assert_eq!(ids(&rest), expected);
}

#[test]
fn a_master_that_is_down_is_neither_joined_again_nor_taken_out_of_the_balancer() {
    let inventory = inventory();
    for lost in ["master1", "master2"] {
        let live = if lost == "master1" {
            "master2"
        } else {
            "master1"
        };
        let mut facts = joined(&inventory, &["master1", "master2", "worker1"]);
        let cluster = facts.cluster.as_mut().expect("it runs");
        cluster.told_by = live.to_owned();
        cluster.answering.remove(lost);
        let plan = without(&inventory, &facts, lost).expect("it may be left out");
        spares(&plan, lost);
        assert!(ids(&plan).contains(&"worker2/join"), "{plan}");
        let balancer = plan
            .steps()
            .find(|step| step.id == "lb/balancer")
            .expect("it is new");
        assert!(
            balancer
                .to_string()
                .contains("+master1 = \"10.0.1.11:6443\""),
            "{plan}"
        );
        assert!(
            balancer
                .to_string()
                .contains("+master2 = \"10.0.1.12:6443\""),
            "{plan}"
        );
    }
}

#[test]
fn no_control_plane_joins_beside_an_etcd_member_that_is_down() {
    let mut inventory = inventory();
    let mut third = inventory.nodes[2].clone();
    third.name = "master3".to_owned();
    third.address = [10, 0, 1, 15].into();
    inventory.nodes.push(third);
    let mut facts = joined(&inventory, &["master1", "master2"]);
    facts
        .cluster
        .as_mut()
        .expect("it runs")
        .answering
        .remove("master2");
    let rest = without(&inventory, &facts, "master2").expect("it may be left out");
    assert!(
        !ids(&rest)
            .iter()
            .any(|id| id.contains("master3/join") || id.contains("enable-master3"))
    );
    assert!(
        rest.notes
            .iter()
            .any(|note| note.starts_with("master3 does not join: master2")),
        "{rest}"
    );
    // One whose join only lacks its last look is no new member.
    let mut facts = joined(&inventory, &["master1", "master2", "master3"]);
    host(&mut facts, "master3").kube.begun = "join".to_owned();
    let rest = without(&inventory, &facts, "master2").expect("it may be left out");
    assert!(ids(&rest).contains(&"master3/join"), "{rest}");
}

#[test]
fn a_silent_control_plane_may_hold_the_cluster() {
    let inventory = inventory();
    for name in ["master1", "master2"] {
        let problems = without(&inventory, &bare(&inventory), name).expect_err("a second cluster");
        assert!(problems[0].contains("may hold the cluster"), "{problems:?}");
    }
}

#[test]
fn nothing_joins_without_a_balancer_and_all_else_goes_on() {
    let mut inventory = inventory();
    let problems = without(&inventory, &bare(&inventory), "lb").expect_err("kubeadm needs the VIP");
    assert!(problems[0].contains("no balancer answers"), "{problems:?}");
    let rest = without(&inventory, &joined(&inventory, &ALL), "lb").expect("nothing has to join");
    spares(&rest, "lb");

    let mut other = inventory.nodes[0].clone();
    other.name = "lb2".to_owned();
    other.address = [10, 0, 1, 9].into();
    inventory.nodes.insert(1, other);
    let rest = without(&inventory, &bare(&inventory), "lb").expect("the other one is there");
    spares(&rest, "lb");
    assert!(ids(&rest).contains(&"lb2/enable-master2"), "{rest}");
}

#[test]
fn every_silent_host_is_named_at_once() {
    let inventory = inventory();
    let mut facts = joined(&inventory, &ALL);
    lose(&mut facts, "worker1");
    lose(&mut facts, "master2");
    facts.hosts.remove("worker2");
    let problems = plan(&inventory, &facts).expect_err("nobody said to go on without them");
    let starts: Vec<_> = problems
        .iter()
        .filter_map(|problem| problem.lines().next())
        .collect();
    assert_eq!(
        starts,
        [
            "master2: cannot be reached",
            "worker1: cannot be reached",
            "worker2: was not asked"
        ]
    );
}
