use super::*;
use crate::inventory::{Surroundings, read};
use crate::transport::Options;

const TEXT: &str = "\
[cluster]\nkubernetes = '1.36.2'\nvip = '10.0.1.10'\n\
[[node]]\nname = 'lb'\nrole = 'lb'\naddress = '10.0.1.10'\n\
[[node]]\nname = 'm1'\nrole = 'control-plane'\naddress = '10.0.1.11'\nlocal = { sudo = false }\n\
[[node]]\nname = 'm2'\nrole = 'control-plane'\naddress = '10.0.1.12'\n\
[[node]]\nname = 'w1'\nrole = 'worker'\naddress = '10.0.1.13'\n";

fn inventory(text: &str) -> Inventory {
    let source = evenkeel_config::Source {
        name: "cluster.toml".to_owned(),
        text: text.as_bytes().to_vec(),
    };
    let around = Surroundings {
        folder: std::path::Path::new("/"),
        home: None,
        is_file: &|_| false,
        mode: &|_| None,
        content: &|_| None,
    };
    read(&source, &around).unwrap().inventory
}

fn shown(inventory: &Inventory, name: &str) -> Vec<String> {
    shown_beside(inventory, &everybody(inventory), name)
}

fn everybody(inventory: &Inventory) -> Facts {
    let mut facts = Facts::default();
    for node in &inventory.nodes {
        let host = crate::facts::HostFacts::default();
        facts.hosts.insert(node.name.clone(), Ok(host));
    }
    facts
}

fn shown_beside(inventory: &Inventory, facts: &Facts, name: &str) -> Vec<String> {
    wanted(inventory, facts, inventory.node(name).unwrap())
        .iter()
        .map(|(address, port, _)| format!("{address}:{port}"))
        .collect()
}

#[test]
fn nobody_tries_to_reach_a_host_that_is_down() {
    let inventory = inventory(TEXT);
    let mut facts = everybody(&inventory);
    for name in ["lb", "m2"] {
        facts
            .hosts
            .insert(name.to_owned(), Err("is off".to_owned()));
    }
    assert_eq!(shown_beside(&inventory, &facts, "m1"), ["10.0.1.13:10250"]);
    assert_eq!(shown_beside(&inventory, &facts, "w1"), ["10.0.1.11:6443"]);
}

#[test]
fn hosts_try_what_they_will_need() {
    let mut inventory = inventory(TEXT);
    assert_eq!(
        shown(&inventory, "lb"),
        ["10.0.1.11:6443", "10.0.1.12:6443"]
    );
    assert_eq!(
        shown(&inventory, "m1"),
        [
            "10.0.1.10:6443",
            "10.0.1.12:6443",
            "10.0.1.12:2379",
            "10.0.1.12:2380",
            "10.0.1.12:10250",
            "10.0.1.13:10250"
        ]
    );
    assert_eq!(
        shown(&inventory, "w1"),
        ["10.0.1.10:6443", "10.0.1.11:6443", "10.0.1.12:6443"]
    );
    inventory.cni = Cni::Calico {
        manifest: crate::inventory::Source::File("x".into()),
    };
    assert!(shown(&inventory, "w1").contains(&"10.0.1.11:179".to_owned()));
}

#[test]
fn words_of_bash_and_python() {
    let check = |status, said, expected| assert_eq!(outcome(status, said), expected, "{said}");
    check(0, "", Outcome::Open);
    check(124, "", Outcome::Silent);
    check(
        1,
        "bash: line 1: /dev/tcp/10.0.1.1/1: Connection refused",
        Outcome::Refused,
    );
    check(1, "Connection refused", Outcome::Refused);
    check(
        1,
        "bash: line 1: /dev/tcp/10.0.1.1/1: Connection timed out",
        Outcome::Silent,
    );
    let rejected = Outcome::Rejected("No route to host".to_owned());
    check(
        1,
        "bash: line 1: /dev/tcp/10.0.1.1/1: No route to host",
        rejected,
    );
    let untried = Outcome::Untried("neither bash nor python3 is there to connect".to_owned());
    check(127, "neither bash nor python3 is there to connect", untried);
}

#[test]
fn answers_are_whole_or_none() {
    let known = outcomes("try 10.0.1.1 6443 0 \ntry fd01::1 22 124 \n").unwrap();
    assert_eq!(known.len(), 2);
    assert!(outcomes("bash: fork: no memory\n").is_err());
    let heard = adverts("advert 10.0.1.77 51\n").unwrap();
    assert_eq!(heard[0].router_id, 51);
    assert!(adverts("advert 10.0.1.77 300\n").is_err());
}

/// The script itself, with bash and without: a port with a listener, one that was given back.
#[tokio::test]
async fn an_open_and_a_refused_port_are_told_apart() {
    let inventory = inventory(TEXT);
    let here = inventory.node("m1").unwrap();
    let Ok(machine) = Machine::connect(here, &Options::default()).await else {
        // Only root runs scripts here.
        return;
    };
    let open = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let shut = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = |socket: &std::net::TcpListener| socket.local_addr().unwrap();
    let wanted: Vec<_> = [address(&open), address(&shut)]
        .map(|socket| (socket.ip(), socket.port(), "here".to_owned()))
        .into();
    drop(shut);
    let tries = connect(&machine, &wanted).await;
    let outcomes: Vec<_> = tries.iter().map(|tried| tried.outcome.clone()).collect();
    assert_eq!(outcomes, [Outcome::Open, Outcome::Refused]);
    let python = connect_script(&wanted).replace("command -v bash", "false");
    let answer = machine.run(&python, LIMIT).await.unwrap();
    if !answer.stdout.contains("neither") {
        let known = super::outcomes(&answer.stdout).unwrap();
        let outcomes = wanted
            .iter()
            .map(|(ip, port, _)| known[&(*ip, *port)].clone());
        assert_eq!(
            outcomes.collect::<Vec<_>>(),
            [Outcome::Open, Outcome::Refused]
        );
    }
}

#[tokio::test]
async fn patches_are_looked_for_on_the_hosts_that_read_them() {
    let folder = std::env::temp_dir().join(format!("evenkeel-patches-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let inventory = inventory(&format!(
        "{TEXT}[kubeadm]\ninit.patches.directory = '{}'\njoin.patches.directory = '/no where'\n",
        folder.display()
    ));
    let machines: BTreeMap<_, _> = inventory
        .nodes
        .iter()
        .map(|node| (node.name.clone(), Machine::here(&node.name)))
        .collect();
    // No host answered: nothing is connected to.
    let reach = reach(&inventory, &machines, &Facts::default()).await;
    let without: Vec<_> = reach.without_patches.keys().map(String::as_str).collect();
    assert_eq!(without, ["m2", "w1"]);
    std::fs::remove_dir(folder).unwrap();
}
