use super::*;
use crate::plan::steps::example::{bare, host, inventory, joined};

fn ids(steps: &[Step]) -> Vec<&str> {
    steps.iter().map(|step| step.id.as_str()).collect()
}

fn refused(facts: &Facts) -> Vec<Refusal> {
    match start(&inventory(), facts) {
        Start::Doubtful(refusals) => refusals,
        other => panic!("{other:?}"),
    }
}

#[test]
fn bare_hosts_are_initialised() {
    let Start::Fresh(steps) = start(&inventory(), &bare(&inventory())) else {
        panic!("nothing speaks against it");
    };
    assert_eq!(ids(&steps), ["master1/init"]);
    let [
        vip,
        written @ ..,
        Action::Run { script: judged, .. },
        Action::Run { script, .. },
        api,
    ] = &steps[0].actions[..]
    else {
        panic!("{:?}", steps[0].actions);
    };
    assert!(matches!(vip, Action::Await { times: 1, .. }));
    assert!(
        written.len() == 3
            && written.iter().all(|action| matches!(
                action,
                Action::Write {
                    mode: 0o600,
                    temporary: true,
                    ..
                }
            )),
        "{written:?}"
    );
    let folder = "/root/.evenkeel-bootstrap";
    let expected: String = ["init", "join-control-plane", "join-worker"]
        .iter()
        .map(|name| format!("kubeadm config validate --config {folder}/{name}.yaml >/dev/null\n"))
        .collect();
    assert_eq!(judged.to_string(), expected);
    assert!(matches!(api, Action::Await { times: 3, .. }));
    assert_eq!(
        script.to_string(),
        "mkdir -p /var/lib/evenkeel-bootstrap\n\
         echo init >/var/lib/evenkeel-bootstrap/begun\n\
         sync /var/lib/evenkeel-bootstrap/begun\n\
         kubeadm init --config /root/.evenkeel-bootstrap/init.yaml --upload-certs --skip-token-print --skip-certificate-key-print\n\
         rm -f /var/lib/evenkeel-bootstrap/begun\n"
    );
}

#[test]
fn an_init_of_ours_that_was_cut_off_is_cleaned_first() {
    let mut facts = bare(&inventory());
    let kube = &mut host(&mut facts, "master1").kube;
    kube.begun = "init".to_owned();
    kube.etcd_data = true;
    kube.admin_conf = true;
    let Start::Fresh(steps) = start(&inventory(), &facts) else {
        panic!("it is ours");
    };
    assert_eq!(ids(&steps), ["master1/clean", "master1/init"]);
    assert_eq!(steps[0].brings, [Fact::Clean]);
    // Even if it had not written a file that counts: its others are in the way.
    let kube = &mut host(&mut facts, "master1").kube;
    kube.etcd_data = false;
    kube.admin_conf = false;
    assert!(!Fact::Clean.holds(&facts, "master1"));
}

#[test]
fn an_init_whose_api_answers_is_completed_and_not_reset() {
    let mut facts = joined(&inventory(), &["master1"]);
    host(&mut facts, "master1").kube.begun = "init".to_owned();
    let Start::Cut(steps) = start(&inventory(), &facts) else {
        panic!("it is half done");
    };
    assert_eq!(ids(&steps), ["master1/complete"]);
    assert!(!format!("{:?}", steps[0].actions).contains("kubeadm reset"));
}

#[test]
fn what_may_be_a_cluster_is_never_touched() {
    // The first one was initialised, and does not answer.
    let mut facts = bare(&inventory());
    let kube = &mut host(&mut facts, "master1").kube;
    kube.admin_conf = true;
    kube.apiserver_manifest = true;
    kube.etcd_data = true;
    let [refusal] = &refused(&facts)[..] else {
        panic!("one refusal");
    };
    assert_eq!(refusal.host, "master1");
    assert!(
        refusal.fix.contains("evenkeel-bootstrap reset master1"),
        "{refusal:?}"
    );

    // Another one holds etcd's data, whatever we began on the first.
    let mut facts = bare(&inventory());
    host(&mut facts, "master1").kube.begun = "init".to_owned();
    host(&mut facts, "master2").kube.etcd_data = true;
    assert_eq!(refused(&facts)[0].host, "master2");

    // A control plane that is down may hold one.
    let mut facts = bare(&inventory());
    facts
        .hosts
        .insert("master2".to_owned(), Err("no route to host".to_owned()));
    assert!(refused(&facts)[0].what.contains("no route to host"));
}

#[test]
fn a_cluster_that_runs_is_not_initialised_again() {
    assert_eq!(
        start(&inventory(), &joined(&inventory(), &["master1"])),
        Start::Running
    );
    // Nor if its first machine was lost or built again.
    assert_eq!(
        start(&inventory(), &joined(&inventory(), &["master2"])),
        Start::Running
    );
}
