//! A plan that is cut off anywhere: what is planned next is exactly what was left.

use super::*;
use crate::facts::{ClusterNode, FileFacts, HostFacts, Interface, Package, PackageManager, Unit};
use crate::inventory::Vrrp;
use crate::plan::steps::example::{bare, host, inventory, joined};
use crate::plan::{Action, Fact, Step, hash};

/// Facts as they are once a step is done, by what it says that it brings.
fn after(facts: &mut Facts, inventory: &Inventory, step: &Step) {
    let texts: Vec<_> = step
        .actions
        .iter()
        .filter_map(|action| match action {
            Action::Write { content, .. } => Some(content.to_string()),
            _ => None,
        })
        .collect();
    for fact in &step.brings {
        make_so(facts, inventory, &step.host, fact, &texts);
        assert!(fact.holds(facts, &step.host), "{}: {fact:?}", step.id);
    }
}

fn make_so(facts: &mut Facts, inventory: &Inventory, name: &str, fact: &Fact, texts: &[String]) {
    match fact.clone() {
        Fact::Initialised => *facts = with(facts, inventory, name, true),
        Fact::Joined {
            name,
            control_plane,
        } => *facts = with(facts, inventory, &name, control_plane),
        Fact::Applied { name, sha256 } => {
            let cluster = facts.cluster.as_mut().expect("it runs by then");
            cluster.applied.insert(name, sha256);
        }
        fact => make_so_here(host(facts, name), fact, texts),
    }
}

fn make_so_here(found: &mut HostFacts, fact: Fact, texts: &[String]) {
    match fact {
        Fact::File { path, sha256, mode } => {
            let text = texts.iter().find(|text| hash(text) == sha256).cloned();
            found.files.insert(path, FileFacts { mode, sha256, text });
        }
        Fact::NoFile { path } => {
            found.files.remove(&path);
        }
        Fact::Stamp { path, line } => {
            found.files.insert(
                path,
                FileFacts {
                    text: Some(line),
                    ..FileFacts::default()
                },
            );
        }
        Fact::Hostname { name } => found.hostname = name,
        Fact::Module { name } => {
            found.modules.insert(name);
        }
        Fact::Sysctl { key, value } => {
            found.sysctls.insert(key, value);
        }
        Fact::SwapOff => found.swaps.clear(),
        Fact::Package {
            name,
            version,
            held,
        } => {
            found.packages.insert(name, Package { version, held });
        }
        Fact::Program { name, version } => {
            // Who installs kubeadm installs its package.
            found.packages.entry(name.clone()).or_default();
            found.programs.insert(name, version);
        }
        Fact::UnitOff { name } => {
            found.units.remove(&name);
        }
        Fact::Unit { name } => {
            found.units.insert(
                name,
                Unit {
                    enabled: true,
                    active: true,
                },
            );
        }
        Fact::Enabled { name } => {
            found.units.insert(
                name,
                Unit {
                    enabled: true,
                    active: false,
                },
            );
        }
        Fact::Clean => found.kube = crate::facts::Kube::default(),
        other => panic!("{other:?} is of the cluster"),
    }
}

/// Facts in which one more node has joined.
fn with(facts: &Facts, inventory: &Inventory, name: &str, control_plane: bool) -> Facts {
    let members = facts.cluster.iter().flat_map(|cluster| &cluster.nodes);
    let names: Vec<_> = members
        .map(|node: &ClusterNode| node.name.as_str())
        .chain([name])
        .collect();
    let mut next = joined(inventory, &names);
    let cluster = next.cluster.as_mut().expect("it was just made");
    cluster.config_maps.insert("coredns".to_owned());
    assert_eq!(
        cluster.nodes.last().map(|node| node.control_plane),
        Some(control_plane)
    );
    if let Some(before) = &facts.cluster {
        cluster.applied.clone_from(&before.applied);
    }
    for (name, found) in &facts.hosts {
        let kube = host(&mut next, name).kube.clone();
        let found = found.as_ref().expect("every host answers");
        *host(&mut next, name) = HostFacts {
            kube,
            ..found.clone()
        };
    }
    next
}

pub(super) fn fresh(inventory: &Inventory) -> Facts {
    let mut facts = bare(inventory);
    for node in &inventory.nodes {
        let found = host(&mut facts, &node.name);
        found.package_manager = Some(PackageManager::Apt);
        found.swaps = vec!["/swap.img".to_owned()];
        let address = ipnet::IpNet::new(node.address, 24).expect("a network");
        found.interfaces = vec![Interface {
            name: "eth0".to_owned(),
            mac: String::new(),
            addresses: vec![address],
            ..Interface::default()
        }];
    }
    facts
}

/// What a plan brings, in order: a balancer's file that lets a master in is the same step wherever it stands.
/// Credentials bring nothing that lasts: each run that joins makes its own.
fn brought(plan: &Plan) -> Vec<(String, Vec<Fact>)> {
    let steps = plan.steps().filter(|step| !step.brings.is_empty());
    steps
        .map(|step| (step.host.clone(), step.brings.clone()))
        .collect()
}

/// Plans, does the first steps, plans again; for every number of steps.
fn check_every_cut(inventory: &Inventory) {
    let start = fresh(inventory);
    let whole = plan(inventory, &start).expect("nothing is against it");
    let all = brought(&whole);
    assert!(all.len() > 10, "{all:?}");
    let steps: Vec<_> = whole
        .steps()
        .filter(|step| !step.brings.is_empty())
        .collect();
    let mut facts = start;
    for (number, step) in steps.iter().enumerate() {
        let rest = plan(inventory, &facts).expect("nothing is against it");
        assert_eq!(brought(&rest), all[number..], "after {number} steps");
        after(&mut facts, inventory, step);
    }
    let rest = plan(inventory, &facts).expect("nothing is against it");
    assert!(rest.is_empty(), "{rest}");
}

#[test]
fn a_run_that_was_cut_off_after_any_step_goes_on_with_exactly_the_rest() {
    check_every_cut(&inventory());
}

#[test]
fn and_so_with_two_balancers_and_a_third_control_plane() {
    let mut inventory = inventory();
    let mut other = inventory.nodes[0].clone();
    other.name = "lb2".to_owned();
    other.address = [10, 0, 1, 9].into();
    inventory.nodes.insert(1, other);
    let mut third = inventory.nodes[2].clone();
    third.name = "master3".to_owned();
    third.address = [10, 0, 1, 15].into();
    inventory.nodes.push(third);
    inventory.vrrp = Some(Vrrp {
        router_id: 10,
        interface: None,
        packages: Vec::new(),
    });
    inventory.endpoint.vip = [10, 0, 1, 100].into();
    check_every_cut(&inventory);
}

#[test]
fn balancers_that_serve_are_changed_one_after_the_other() {
    let inventory = inventory();
    let order = |facts: &Facts| {
        let plan = plan(&inventory, facts).expect("nothing is against it");
        let mut stages = plan.stages.into_iter();
        let stage = stages.find(|stage| stage.title == "balancer");
        stage.expect("the balancer's file is to be written").order
    };
    let mut facts = fresh(&inventory);
    assert_eq!(order(&facts), Order::AtOnce(MOST_AT_ONCE));
    let unit = Fact::Unit {
        name: "evenkeel.service".to_owned(),
    };
    make_so(&mut facts, &inventory, "lb", &unit, &[]);
    assert_eq!(order(&facts), Order::InTurn);
}

#[test]
fn a_silent_host_leaves_no_plan() {
    let inventory = inventory();
    let mut facts = fresh(&inventory);
    facts
        .hosts
        .insert("worker1".to_owned(), Err("cannot be reached".to_owned()));
    let problems = plan(&inventory, &facts).expect_err("nobody said to go on without it");
    let [problem] = &problems[..] else {
        panic!("{problems:?}")
    };
    assert!(
        problem.starts_with("worker1: cannot be reached\n  --without worker1 goes on"),
        "{problem}"
    );
}

#[test]
fn a_plan_shows_how_a_token_is_made_known_and_not_the_token() {
    let inventory = inventory();
    let whole = plan(&inventory, &fresh(&inventory)).expect("nothing is against it");
    for text in [
        whole.to_string(),
        serde_json::to_string(&whole).expect("plain data"),
    ] {
        assert!(text.contains("kubeadm token create --config"), "{text}");
        assert!(
            text.contains("<token>") && text.contains("/credentials.yaml"),
            "{text}"
        );
    }
}

#[test]
fn a_master_is_sent_clients_only_after_it_has_joined() {
    let inventory = inventory();
    let whole = plan(&inventory, &fresh(&inventory)).expect("nothing is against it");
    let ids: Vec<_> = whole.steps().map(|step| step.id.as_str()).collect();
    let place = |id: &str| ids.iter().position(|other| *other == id).expect(id);
    assert!(place("lb/balancer") < place("master1/init"));
    assert!(place("master2/join") < place("lb/enable-master2"));
    assert!(place("lb/enable-master2") < place("worker1/join"));
}

/// Pods that run go on without their runtime, but nothing starts or answers kubelet meanwhile.
#[test]
fn runtimes_of_nodes_that_work_are_restarted_one_after_the_other() {
    let inventory = inventory();
    let mut facts = fresh(&inventory);
    let cluster = joined(&inventory, &["master1", "worker1", "worker2"]).cluster;
    facts.cluster = cluster;
    for name in ["master1", "worker1", "worker2"] {
        let kube = &mut host(&mut facts, name).kube;
        kube.kubelet_conf = true;
        kube.admin_conf = name == "master1";
    }
    let plan = plan(&inventory, &facts).expect("nothing is against it");
    let ids = |title: &str| {
        let stage = plan.stages.iter().find(|stage| stage.title == title);
        let stage = stage.expect("containerd has no settings yet");
        let steps = stage.steps.iter().map(|step| step.id.as_str());
        (stage.order, steps.collect::<Vec<_>>())
    };
    let (order, restarts) = ids("container runtimes of nodes that work");
    assert_eq!(order, Order::InTurn);
    assert_eq!(
        restarts,
        [
            "master1/runtime-settings",
            "worker1/runtime-settings",
            "worker2/runtime-settings"
        ]
    );
    let (_, others) = ids("software");
    assert!(others.contains(&"master2/runtime-settings"));
}
