//! Two balancers that share the VIP by a real keepalived, as `apply` sets them up: whatever becomes of the
//! one that has it, clients are answered by the other; what changes nothing moves nothing.

use std::time::{Duration, Instant};

use crate::caller::{Caller, MOVE_BOUND, shown};
use crate::lab::{DIRECTORY, Lab, PAIR, PAIR_AND_THREE, append, is_full, with_lab};
use crate::node::Node;
use crate::notice::not_run;
use crate::operator::{bootstrap, edit_inventory, fail, said, succeed, write_inventory};
use crate::parcels;
use crate::wait::{throughout, until};

const BALANCERS: [&str; 2] = ["lb1", "lb2"];

/// Several adverts and track scripts.
const QUIET: Duration = Duration::from_millis(3500);

/// The API server of a master, through the VIP: what a server of TLS says to somebody who speaks none, an
/// alert. The balancer itself says nothing.
const CLIENT: Caller = Caller {
    address: std::net::SocketAddr::new(
        std::net::IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 1, 10)),
        6443,
    ),
    say: b"no TLS\r\n\r\n",
    answer: &[0x15, 0x03],
};

/// What becomes of the balancer that has the VIP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// SIGKILL, and the service manager starts it anew at once.
    Killed,
    /// SIGKILL, and it is not started again.
    Gone,
    /// SIGSTOP.
    Hangs,
    /// The whole machine, in a moment.
    PowerCut,
}

impl Fault {
    const ALL: [Self; 4] = [Self::Killed, Self::Gone, Self::Hangs, Self::PowerCut];

    fn name(self) -> &'static str {
        match self {
            Self::Killed => "killed, started anew",
            Self::Gone => "killed for good",
            Self::Hangs => "hangs",
            Self::PowerCut => "power cut",
        }
    }

    /// What is not over in a moment moves the VIP.
    fn moves(self) -> bool {
        self != Self::Killed
    }

    fn strike(self, node: &mut Node) {
        const NOBODY_STARTS_IT: &str = "mkdir -p /run/systemd/system/evenkeel.service.d
            printf '[Service]\\nRestart=no\\n' >/run/systemd/system/evenkeel.service.d/test.conf
            systemctl daemon-reload";
        let signal = |node: &Node, name: &str| {
            node.sh(&format!(
                "systemctl kill -s {name} --kill-who=main evenkeel"
            ));
        };
        match self {
            Self::Killed => signal(node, "KILL"),
            Self::Gone => {
                node.sh(NOBODY_STARTS_IT);
                signal(node, "KILL");
            }
            Self::Hangs => signal(node, "STOP"),
            Self::PowerCut => node.cut_power(),
        }
    }

    /// The node is as it was.
    fn heal(self, node: &mut Node) {
        match self {
            Self::Killed => {}
            Self::Gone => drop(node.sh(
                "rm -r /run/systemd/system/evenkeel.service.d && systemctl daemon-reload
                 systemctl start evenkeel",
            )),
            Self::Hangs => drop(node.sh("systemctl kill -s CONT --kill-who=main evenkeel")),
            Self::PowerCut => node.start(),
        }
    }
}

/// Runs `body` in a lab whose inventory has its balancers bring keepalived along.
fn with_pair(name: &str, machines: &[(&str, &str)], body: impl FnOnce(&mut Lab)) {
    if !crate::space::is_inside() && parcels::keepalived().is_none() {
        let why = format!(
            "no package of keepalived in the cache of {}: tests/run makes it",
            crate::lab::tree().display()
        );
        return not_run(&format!("bootstrap {name}"), &why);
    }
    with_lab(name, machines, |lab| {
        write_inventory(lab, "admin");
        let package = format!("{DIRECTORY}/repository/keepalived.deb");
        edit_inventory(
            "[artefacts]",
            &format!("[vrrp]\npackages = [\"{package}\"]\n\n[artefacts]"),
        );
        body(lab);
    });
}

/// Which balancer has the VIP; `None` while none has it, or both have.
fn holder() -> Option<&'static str> {
    let has = |name: &&str| {
        let mut ip = std::process::Command::new("ip");
        ip.args(["-n", name, "-o", "addr", "show", "to", "10.0.1.10", "up"]);
        // A machine without power has no network.
        ip.output().is_ok_and(|output| !output.stdout.is_empty())
    };
    let mut holders = BALANCERS.into_iter().filter(has);
    holders.next().filter(|_| holders.next().is_none())
}

/// The states that keepalived has been in on a machine since it booted.
fn states(node: &Node) -> Vec<String> {
    let said = node.sh("journalctl --no-pager -o cat -u keepalived");
    let states = said.lines().filter_map(|line| {
        let (_, rest) = line.split_once("Entering ")?;
        rest.strip_suffix(" STATE")
    });
    states.map(str::to_owned).collect()
}

fn stands_by(node: &Node) {
    until("the balancer stands by", || {
        (states(node).last()? == "BACKUP").then_some(())
    });
}

/// One has the VIP, the other one stands by.
fn settled(lab: &Lab) -> &'static str {
    let holder = until("a balancer has the VIP", holder);
    for name in BALANCERS.into_iter().filter(|name| *name != holder) {
        stands_by(lab.node(name));
    }
    holder
}

/// Neither gives the VIP away or takes it while this happens, and every client is answered.
#[track_caller]
fn moves_nothing<R>(lab: &Lab, what: &str, act: impl FnOnce() -> R) -> R {
    let before = BALANCERS.map(|name| states(lab.node(name)));
    let calls = CLIENT.start();
    let result = act();
    let (answered, failed) = calls.stop();
    assert!(
        answered > 0 && failed == 0,
        "{what}: {failed} of {answered}"
    );
    let after = BALANCERS.map(|name| states(lab.node(name)));
    assert_eq!(before, after, "{what}");
    result
}

/// How long clients wait for an answer; the VIP has moved if it is to move, and stays when all is well.
fn suffer(lab: &mut Lab, fault: Fault) -> Duration {
    let before = settled(lab);
    let other = BALANCERS.into_iter().find(|name| *name != before).unwrap();
    let taken = states(lab.node(other)).len();
    let began = Instant::now();
    fault.strike(lab.node_mut(before));
    let waited = CLIENT.first_answer(MOVE_BOUND).map(|_| began.elapsed());
    let Some(waited) = waited else {
        panic!("{fault:?} on {before}: nobody answers within {MOVE_BOUND:?}");
    };
    let expected = if fault.moves() { other } else { before };
    assert_eq!(
        until("a balancer has the VIP", holder),
        expected,
        "{fault:?}"
    );
    fault.heal(lab.node_mut(before));
    assert_eq!(settled(lab), expected, "{fault:?}");
    // nopreempt: who comes back takes nothing away.
    throughout("the VIP stays", QUIET, || holder() == Some(expected));
    let states = states(lab.node(other));
    let expected: &[&str] = if fault.moves() { &["MASTER"] } else { &[] };
    assert_eq!(states[taken..], *expected, "{fault:?}");
    waited
}

/// keepalived.conf is what evenkeel prints on that host for this command, and nothing else.
fn is_printed_by_evenkeel(node: &Node) {
    let file = node.read("/etc/keepalived/keepalived.conf");
    let (stamp, rest) = file.split_once('\n').unwrap();
    let command = stamp.strip_prefix("# evenkeel-bootstrap: ").unwrap();
    assert_eq!(node.sh(command), rest);
    for part in [
        "virtual_router_id 10\n",
        "unicast_peer {",
        "nopreempt",
        "script_user evenkeel",
        "/usr/sbin/evenkeel health --for 750ms --admin 127.0.0.1:8404",
    ] {
        assert!(file.contains(part), "no {part:?} in\n{file}");
    }
}

#[test]
fn two_balancers_take_over_from_each_other() {
    let name = "pair::two_balancers_take_over_from_each_other";
    with_pair(name, PAIR, |lab| {
        let began = Instant::now();
        succeed(&["apply", "--yes"]);
        eprintln!("from nothing: {:.1?}", began.elapsed());
        settled(lab);
        for name in BALANCERS {
            is_printed_by_evenkeel(lab.node(name));
        }
        let again = moves_nothing(lab, "a second apply", || succeed(&["apply", "--yes"]));
        assert!(again.contains("0 steps done"), "{again}");
        moves_nothing(lab, "a reload", || {
            for name in BALANCERS {
                lab.node(name)
                    .sh("systemctl reload evenkeel && systemctl reload keepalived");
            }
            std::thread::park_timeout(QUIET);
        });
        let rounds = if is_full() { 3 } else { 1 };
        let mut table =
            format!("\nfirst good answer after the fault, {rounds} rounds: median (longest)\n");
        for fault in Fault::ALL {
            let waits: Vec<_> = (0..rounds).map(|_| suffer(lab, fault)).collect();
            table += &format!("  {:<24}{:>20}\n", fault.name(), shown(&waits));
        }
        eprint!("{table}");
    });
}

#[test]
fn more_masters_reach_both_balancers_in_turn_and_one_that_was_down_catches_up() {
    let name = "pair::more_masters_reach_both_balancers_in_turn_and_one_that_was_down_catches_up";
    if !crate::space::is_inside() && !is_full() {
        let why = "it takes minutes: EVENKEEL_BOOTSTRAP_FULL=1 has it run";
        return not_run(&format!("bootstrap {name}"), why);
    }
    with_pair(name, PAIR_AND_THREE, |lab| {
        let later = ["master2", "master3"].map(|name| section(lab.node(name)));
        later.iter().for_each(|section| edit_inventory(section, ""));
        succeed(&["apply", "--yes"]);
        settled(lab);

        append("cluster.toml", &later[0]);
        assert_eq!(order_of_balancers(), "in-turn");
        moves_nothing(lab, "a second master", || succeed(&["apply", "--yes"]));
        for name in BALANCERS {
            assert_eq!(
                server(lab.node(name), "master2"),
                Some("\"10.0.1.12:6443\"".to_owned())
            );
        }

        // Without the balancer that had the VIP.
        let down = settled(lab);
        let left = BALANCERS.into_iter().find(|name| *name != down).unwrap();
        lab.node_mut(down).cut_power();
        let answered = CLIENT.first_answer(MOVE_BOUND);
        assert!(answered.is_some(), "nobody answers without {down}");
        append("cluster.toml", &later[1]);
        let said = fail(&["apply", "--yes"]);
        assert!(said.contains(&format!("--without {down}")), "{said}");
        assert_eq!(server(lab.node(left), "master3"), None);
        succeed(&["apply", "--yes", "--without", down]);
        let there = Some("\"10.0.1.15:6443\"".to_owned());
        assert_eq!(server(lab.node(left), "master3"), there);

        lab.node_mut(down).start();
        settled(lab);
        let said = moves_nothing(lab, "catching up", || succeed(&["apply", "--yes"]));
        assert_eq!(server(lab.node(down), "master3"), there, "{said}");
        // Its list of hosts, and the balancer's file.
        assert!(said.contains("2 steps done"), "{said}");
    });
}

/// What cluster.toml has of a machine.
fn section(node: &Node) -> String {
    format!(
        "\n[[node]]\nname = \"{}\"\nrole = \"control-plane\"\naddress = \"{}\"\n",
        node.name(),
        node.address()
    )
}

/// How the steps of balancers follow each other in a plan.
fn order_of_balancers() -> String {
    let output = bootstrap(&["plan", "--json"]).output().unwrap();
    let plan: serde_json::Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", said(&output)));
    let stages = plan["stages"].as_array().unwrap();
    let stage = stages.iter().find(|stage| stage["title"] == "balancer");
    stage.unwrap()["order"].as_str().unwrap().to_owned()
}

/// What a balancer's file says of a master, if it has it.
fn server(node: &Node, master: &str) -> Option<String> {
    let file = node.read("/etc/evenkeel/evenkeel.toml");
    let mut lines = file.lines();
    let line = lines.find_map(|line| line.strip_prefix(&format!("{master} = ")));
    line.map(str::to_owned)
}
