//! What goes wrong on the way from nothing to the table: each time `apply` says what failed, where, and what
//! to do; and once the cause is gone, the same command goes on.

use std::env;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::time::Instant;

use crate::by_hand::table;
use crate::lab::{DIRECTORY, Lab, sh, with_lab};
use crate::node::Node;
use crate::operator::{Running, edit_inventory, fail, succeed, write_inventory};
use crate::wait::until;

const THREE: &[(&str, &str)] = &[
    ("lb", "10.0.1.10"),
    ("master1", "10.0.1.11"),
    ("worker1", "10.0.1.13"),
];

const FOUR: &[(&str, &str)] = &[
    ("lb", "10.0.1.10"),
    ("master1", "10.0.1.11"),
    ("master2", "10.0.1.12"),
    ("worker1", "10.0.1.13"),
];

/// Of the user clerk, whom sudo asks.
const PASSWORD: &str = "correct horse";
const PASSWORD_FILE: &str = "/run/lab/password";

/// The command of an operator whom sudo asks for a password.
const ASKED: &[&str] = &["apply", "--yes", "--sudo-password-file", PASSWORD_FILE];
const APPLY: &[&str] = &["apply", "--yes"];

#[test]
fn each_cause_is_named_and_the_same_command_goes_on_once_it_is_gone() {
    let name = "trouble::each_cause_is_named_and_the_same_command_goes_on_once_it_is_gone";
    with_lab(name, THREE, |lab| {
        write_inventory(lab, "clerk");
        let story = Story(Instant::now());
        no_password_and_a_wrong_one();
        story.tell("passwords");
        a_host_is_off(lab.node_mut("worker1"));
        story.tell("a host that is off");
        a_disk_is_nearly_full(lab.node("worker1"));
        a_disk_fills_up(lab.node("master1"));
        story.tell("full disks");
        a_join_hangs(lab.node("worker1"));
        story.tell("a join that hangs");
        let token = a_token_expires(lab.node("master1"), lab.node("worker1"));
        story.tell("a token that expires");
        succeed(ASKED);
        story.tell("the table");
        let expected = "\
NAME STATUS ROLES VERSION
master1 Ready control-plane v1.36.2
worker1 Ready <none> v1.36.2
";
        assert_eq!(table(lab.node("master1")), expected);
        no_secret_is_left(lab, &[PASSWORD, &token]);
    });
}

/// Of all words each must have been said.
#[track_caller]
fn says(said: &str, words: &[&str]) {
    for word in words {
        assert!(said.contains(word), "no {word:?} in:\n{said}");
    }
}

fn no_password_and_a_wrong_one() {
    let said = fail(APPLY);
    says(
        &said,
        &[
            "lb: sudo asks for a password",
            "master1: sudo asks for a password",
            "--ask-sudo-password",
        ],
    );
    fs::write(PASSWORD_FILE, "wrong horse\n").unwrap();
    fs::set_permissions(PASSWORD_FILE, Permissions::from_mode(0o600)).unwrap();
    says(&fail(ASKED), &["lb: sudo refuses the password"]);
    fs::write(PASSWORD_FILE, format!("{PASSWORD}\n")).unwrap();
}

fn a_host_is_off(worker: &mut Node) {
    worker.cut_power();
    says(
        &fail(ASKED),
        &["worker1", "cannot be reached", "--without worker1"],
    );
    worker.start();
}

/// Before anything is done.
fn a_disk_is_nearly_full(worker: &Node) {
    worker
        .sh("mkdir -p /var/lib/containerd && mount -t tmpfs -o size=1m tmpfs /var/lib/containerd");
    let said = fail(ASKED);
    says(
        &said,
        &[
            "1 MiB are free for /var/lib/containerd; 2048 are the least",
            "make room",
            "nothing was changed",
        ],
    );
    worker.sh("umount /var/lib/containerd");
}

/// In the middle of `kubeadm init`, which nothing could foresee.
fn a_disk_fills_up(master: &Node) {
    master.sh("mkdir -p /etc/kubernetes && mount -t tmpfs -o size=64k tmpfs /etc/kubernetes");
    let said = fail(ASKED);
    says(
        &said,
        &[
            "master1: could not make master1 the first control plane",
            "kubeadm init --config",
            "no space left on device",
            "what to do: ",
            "run apply again",
            "the same command goes on from here",
        ],
    );
    master.sh("umount /etc/kubernetes");
}

/// For ever, if nobody ended it. The times are those that the operator gives it.
fn a_join_hangs(worker: &Node) {
    let patient = fs::read_to_string(format!("{DIRECTORY}/cluster.toml")).unwrap();
    edit_inventory("[kubeadm]\n", "[kubeadm]\npull-timeout = \"2s\"\n");
    edit_inventory(
        "[kubeadm.kubelet]\n",
        "[kubeadm.join.timeouts]
controlPlaneComponentHealthCheck = \"1s\"
discovery = \"1s\"
etcdAPICall = \"1s\"
kubeletHealthCheck = \"1s\"
kubernetesAPICall = \"1s\"
tlsBootstrap = \"1s\"

[kubeadm.kubelet]
",
    );
    worker.fault("join-hangs", "");
    let said = fail(ASKED);
    says(
        &said,
        &[
            "worker1: could not join worker1 as a worker: the host did not end within 8 s; until then it said:",
            "[preflight] Running pre-flight checks",
            "what to do: ",
        ],
    );
    let gone = worker.try_sh("pgrep -f '^kubeadm join'");
    assert!(!gone.status.success(), "kubeadm still runs");
    fs::write(format!("{DIRECTORY}/cluster.toml"), patient).unwrap();
}

/// The clock of the master leaps by a day while the worker is about to show its token. Meanwhile nobody else
/// gets in. The token.
fn a_token_expires(master: &Node, worker: &Node) -> String {
    edit_inventory(
        "[kubeadm.kubelet]\n",
        "[kubeadm.join.timeouts]\ndiscovery = \"3s\"\n\n[kubeadm.kubelet]\n",
    );
    let mut run = Running::start(ASKED);
    run.until_runs(worker, "kubeadm join");
    let path = "/root/.evenkeel-bootstrap/join.yaml";
    assert_eq!(worker.sh(&format!("stat -c %a {path}")), "600\n");
    let join = worker.read(path);
    let token = join.split_once("token: \"").unwrap().1.split('"').next();
    let token = token.unwrap().to_owned();
    says(&fail(ASKED), &["somebody else is changing this cluster"]);
    master.fault("clock", "90000");
    // A moment later nothing is signed with it any more; until then kubeadm finds it, and the API refuses it.
    let id = token.split('.').next().unwrap();
    until("the cluster signs nothing with an expired token", || {
        let info = master.sh(
            "kubectl --kubeconfig /etc/kubernetes/admin.conf -n kube-public get configmap cluster-info -o yaml",
        );
        (!info.contains(&format!("jws-kubeconfig-{id}"))).then_some(())
    });
    worker.mend("join-hangs");
    let (status, said) = run.end();
    assert_eq!(status.code(), Some(1), "{said}");
    says(
        &said,
        &[
            "worker1: could not join worker1 as a worker: this ended with status 1:",
            "could not find a JWS signature in the cluster-info ConfigMap for token ID",
            "the token has expired",
        ],
    );
    master.mend("clock");
    token
}

/// Neither in what is recorded here nor on the machines.
fn no_secret_is_left(lab: &Lab, secrets: &[&str]) {
    for secret in secrets {
        let found = sh(&format!("grep -rl '{secret}' {DIRECTORY}/home || :"));
        assert_eq!(found, "", "{secret} stands here");
        for node in lab.nodes() {
            let found = node.sh(&format!(
                "grep -rlI '{secret}' /etc /root /run /tmp /var/lib/evenkeel-bootstrap /var/log 2>/dev/null; \
                 journalctl --no-pager | grep '{secret}' || :"
            ));
            assert_eq!(found, "", "{secret} stands on {}", node.name());
        }
    }
}

#[test]
fn machines_and_the_network_fail_in_the_middle_of_steps() {
    if env::var_os("EVENKEEL_BOOTSTRAP_FULL").is_none() {
        return;
    }
    let name = "trouble::machines_and_the_network_fail_in_the_middle_of_steps";
    with_lab(name, FOUR, |lab| {
        write_inventory(lab, "admin");
        let story = Story(Instant::now());
        power_goes(lab, "master1", "kubeadm init", "init-hangs");
        story.tell("master1 lost its power in init");
        power_goes(lab, "master2", "kubeadm join", "join-hangs");
        story.tell("master2 lost its power in its join");
        a_cable_is_cut();
        story.tell("worker1 was cut off from lb");
        succeed(APPLY);
        story.tell("the table");
        let expected = "\
NAME STATUS ROLES VERSION
master1 Ready control-plane v1.36.2
master2 Ready control-plane v1.36.2
worker1 Ready <none> v1.36.2
";
        assert_eq!(table(lab.node("master1")), expected);
    });
}

/// A machine goes out in a step, and stays so for a while.
fn power_goes(lab: &mut Lab, name: &str, command: &str, fault: &str) {
    lab.node(name).fault(fault, "");
    let mut run = Running::start(APPLY);
    run.until_runs(lab.node(name), command);
    lab.node_mut(name).cut_power();
    let (status, said) = run.end();
    assert_eq!(status.code(), Some(1), "{said}");
    says(
        &said,
        &[
            &format!("{name}: could not "),
            "the host cannot be reached",
            "what to do: ",
        ],
    );
    says(&fail(APPLY), &[name, "cannot be reached"]);
    // What its doubles were asked for is gone with its memory.
    lab.node_mut(name).start();
}

/// Two machines that reach everybody else do not reach each other: first in the middle, then from the start.
fn a_cable_is_cut() {
    let isolate = |word: &str| {
        for port in ["p-lb", "p-worker1"] {
            sh(&format!("bridge link set dev {port} isolated {word}"));
        }
    };
    let mut run = Running::start(APPLY);
    let found = run.line(|line| line == "-- before the workers");
    isolate("on");
    assert!(found.is_some(), "{}", run.end().1);
    let (status, said) = run.end();
    assert_eq!(status.code(), Some(1), "{said}");
    says(
        &said,
        &[
            "worker1: could not join worker1 as a worker",
            "the balancer to take a connection at 10.0.1.10:6443 did not come within 30 s",
            "the way from worker1 to 10.0.1.10:6443",
        ],
    );
    let said = fail(APPLY);
    says(
        &said,
        &["worker1", "(10.0.1.10) at port 6443", "nothing was changed"],
    );
    isolate("off");
}

struct Story(Instant);

impl Story {
    fn tell(&self, what: &str) {
        eprintln!("{:5.1} s: {what}", self.0.elapsed().as_secs_f64());
    }
}
