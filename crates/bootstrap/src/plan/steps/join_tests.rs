use super::*;
use crate::plan::steps::balancer::masters_in;
use crate::plan::steps::example::{Stubs, bare, host, inventory, joined as found_joined};

fn ids(steps: &[Step]) -> Vec<&str> {
    steps.iter().map(|step| step.id.as_str()).collect()
}

fn master2(facts: &Facts) -> Result<Vec<Step>, Refusal> {
    let inventory = inventory();
    control_plane(&inventory, facts, inventory.node("master2").expect("there"))
}

#[test]
fn a_bare_control_plane_gets_credentials_and_joins() {
    let steps = master2(&found_joined(&inventory(), &["master1"])).expect("nothing is against it");
    assert_eq!(ids(&steps), ["master1/credentials-master2", "master2/join"]);
    let awaits: Vec<_> = steps[1]
        .actions
        .iter()
        .filter_map(|action| match action {
            Action::Await { script, times, .. } => Some((script.to_string(), *times)),
            _ => None,
        })
        .collect();
    assert_eq!(awaits.len(), 2);
    assert_eq!(
        awaits[1],
        (
            "kubectl --kubeconfig /etc/kubernetes/admin.conf --request-timeout=10s --server https://10.0.1.12:6443 get --raw /readyz".to_owned(),
            3
        )
    );
    // Before anything is begun kubeadm says whether it takes what it is given.
    let scripts: Vec<_> = steps[1]
        .actions
        .iter()
        .filter_map(|action| match action {
            Action::Run { script, .. } => Some(script.to_string()),
            _ => None,
        })
        .collect();
    assert!(
        scripts[0].starts_with("kubeadm config validate --config")
            && scripts[1].contains("kubeadm join --config"),
        "{scripts:?}"
    );
    // That it had begun is forgotten last of all.
    let Some(Action::Run { script, .. }) = steps[1].actions.last() else {
        panic!("{:?}", steps[1].actions);
    };
    assert_eq!(
        script.to_string(),
        "rm -f /var/lib/evenkeel-bootstrap/begun\n"
    );
}

#[test]
fn who_has_joined_is_left_alone() {
    let facts = found_joined(&inventory(), &["master1", "master2"]);
    assert_eq!(master2(&facts), Ok(Vec::new()));
}

#[test]
fn a_join_that_was_cut_off_is_taken_away_member_first() {
    let mut facts = found_joined(&inventory(), &["master1", "master2"]);
    host(&mut facts, "master2").kube.begun = "join".to_owned();
    let cluster = facts.cluster.as_mut().expect("it runs");
    cluster.answering.remove("master2");
    // kubeadm's last phase but waiting.
    cluster.nodes[1].control_plane = false;
    assert_eq!(
        ids(&master2(&facts).expect("it is ours")),
        [
            "master2/doubt",
            "master1/forget-member-master2",
            "master2/clean",
            "master1/forget-node-master2",
            "master1/credentials-master2",
            "master2/join",
        ]
    );
}

#[test]
fn a_join_that_ended_only_has_to_prove_itself() {
    let mut facts = found_joined(&inventory(), &["master1", "master2"]);
    host(&mut facts, "master2").kube.begun = "join".to_owned();
    let steps = master2(&facts).expect("it is ours");
    assert_eq!(ids(&steps), ["master2/join"]);
    assert!(!format!("{:?}", steps[0].actions).contains("kubeadm"));
    assert_eq!(
        masters_in(&inventory(), &facts),
        ["master1"],
        "what has not proved itself is not in the balancer"
    );
}

#[test]
fn a_voter_whose_api_server_is_slow_is_waited_for_and_never_taken_away() {
    let mut facts = found_joined(&inventory(), &["master1", "master2"]);
    host(&mut facts, "master2").kube.begun = "join".to_owned();
    let cluster = facts.cluster.as_mut().expect("it runs");
    cluster.answering.remove("master2");
    let steps = master2(&facts).expect("it is ours");
    assert_eq!(ids(&steps), ["master2/join"]);
    assert!(!format!("{:?}", steps[0].actions).contains("kubeadm"));
}

/// The word of a begun join may be old, and facts may have missed an API server that answers.
#[test]
fn what_a_join_left_is_asked_once_more_whether_it_is_in_use() {
    let inventory = inventory();
    let Action::Run { script, .. } = &doubt(inventory.node("master2").expect("there")).actions[0]
    else {
        panic!("a script");
    };
    let stubs = Stubs::new("doubt").with("kubectl", "printf '%s\\n' $NODES\n");
    std::fs::write(stubs.path("admin.conf"), "x").expect("it is ours");
    let script = script
        .to_string()
        .replace(BEGUN, &stubs.path("begun"))
        .replace("/etc/kubernetes/admin.conf", &stubs.path("admin.conf"));
    let passes = |age_minutes: u64, nodes: &str| {
        let begun = std::fs::File::create(stubs.path("begun")).expect("it is ours");
        let age = Duration::from_secs(age_minutes * 60);
        let then = std::time::SystemTime::now() - age;
        begun.set_modified(then).expect("it is ours");
        let script = format!("export NODES='{nodes}'\n{script}");
        stubs.run(&script).status.success()
    };
    assert!(passes(5, "node/master1"));
    assert!(!passes(5, "node/master2"));
    assert!(!passes(1500, "node/master1"));
}

#[test]
fn a_machine_that_was_built_again_is_forgotten_first() {
    let mut facts = found_joined(&inventory(), &["master1", "master2"]);
    host(&mut facts, "master2").kube = crate::facts::Kube::default();
    assert_eq!(
        ids(&master2(&facts).expect("its address is the same")),
        [
            "master1/forget-member-master2",
            "master1/forget-node-master2",
            "master1/credentials-master2",
            "master2/join",
        ]
    );
    // The member alone is enough.
    facts.cluster.as_mut().expect("it runs").nodes.pop();
    assert_eq!(
        ids(&master2(&facts).expect("its address is the same"))[0],
        "master1/forget-member-master2"
    );
}

#[test]
fn in_doubt_nothing_is_done() {
    let refused = |facts: &Facts| master2(facts).expect_err("it is refused").what;

    let mut facts = found_joined(&inventory(), &["master1"]);
    host(&mut facts, "master2").kube.kubelet_conf = true;
    assert!(refused(&facts).contains("the cluster does not know it"));

    let mut facts = found_joined(&inventory(), &["master1", "master2"]);
    host(&mut facts, "master2").kube = crate::facts::Kube::default();
    facts.cluster.as_mut().expect("it runs").nodes[1].addresses = vec![[10, 0, 1, 99].into()];
    assert!(refused(&facts).contains("at 10.0.1.99, not at 10.0.1.12"));

    let mut facts = found_joined(&inventory(), &["master1", "master2"]);
    host(&mut facts, "master2").kube.ca = Some("another".to_owned());
    assert!(refused(&facts).contains("another cluster"));

    let mut facts = found_joined(&inventory(), &["master1", "master2"]);
    facts.cluster.as_mut().expect("it runs").nodes[1].control_plane = false;
    assert!(refused(&facts).contains("as a worker"));

    let mut facts = found_joined(&inventory(), &["master1"]);
    facts
        .hosts
        .insert("master2".to_owned(), Err("timed out".to_owned()));
    assert!(refused(&facts).contains("timed out"));
}

#[test]
fn workers_join_without_etcd() {
    let inventory = inventory();
    let node = inventory.node("worker1").expect("there");
    let facts = found_joined(&inventory, &["master1"]);
    let (before, step) = worker(&inventory, &facts, node).expect("it may");
    assert!(before.is_empty());
    let step = step.expect("it joins");
    assert_eq!(step.id, "worker1/join");
    assert!(!format!("{step:?}").contains("/readyz"));

    let mut facts = found_joined(&inventory, &["master1", "worker1"]);
    host(&mut facts, "worker1").kube = crate::facts::Kube {
        begun: "join".to_owned(),
        ..crate::facts::Kube::default()
    };
    let (before, _) = worker(&inventory, &facts, node).expect("it may");
    assert_eq!(
        ids(&before),
        ["worker1/clean", "master1/forget-node-worker1"]
    );
}

#[test]
fn the_balancer_begins_with_the_first_and_keeps_who_has_joined() {
    let inventory = inventory();
    assert_eq!(masters_in(&inventory, &bare(&inventory)), ["master1"]);
    assert_eq!(
        masters_in(
            &inventory,
            &found_joined(&inventory, &["master1", "master2"])
        ),
        ["master1", "master2"]
    );
    // The first machine was lost: it is not sent clients again until it has joined anew.
    assert_eq!(
        masters_in(&inventory, &found_joined(&inventory, &["master2"])),
        ["master2"]
    );
}
