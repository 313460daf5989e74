//! `apply` is killed again and again on its way: the same command goes on, and the end is the table.

use std::collections::BTreeSet;
use std::env;
use std::time::Instant;

use crate::by_hand::{TABLE, table};
use crate::lab::{FIVE, Lab, with_lab};
use crate::node::Node;
use crate::operator::{Running, succeed, write_inventory};

const APPLY: &[&str] = &["apply", "--yes"];

/// Ends of steps after which it is killed, one after the other; each of its own kind and stage.
const BEFORE_INIT: [&str; 4] = [
    "list the cluster's hosts in /etc/hosts: ok",
    "now and at boot: ok",
    "packages that are brought along",
    "lb: have evenkeel bind",
];
const AFTER_JOIN: [&str; 3] = [
    "see the join of master2 to its end, which was cut off: ok",
    "send clients to master1, master2: ok",
    "apply the network plugin",
];

#[test]
fn apply_is_killed_after_each_kind_of_step_and_in_the_middle_of_some_and_goes_on() {
    let name =
        "killed::apply_is_killed_after_each_kind_of_step_and_in_the_middle_of_some_and_goes_on";
    with_lab(name, FIVE, |lab| {
        write_inventory(lab, "admin");
        let story = Story(Instant::now());
        for mark in BEFORE_INIT {
            story.kill_after(mark);
        }
        let first = lab.node("master1");
        first.fault("init-hangs", "");
        story.kill_while(first, "kubeadm init");
        // kubeadm is still there, and whoever comes now waits for it.
        let mut run = Running::start(APPLY);
        let waits = "master1: waiting for a command of an earlier run to end there";
        assert!(run.line(|line| line == waits).is_some(), "{}", run.end().1);
        first.mend("init-hangs");
        let mark = "make a token and a certificate key known for master2: ok";
        assert!(
            run.line(|line| line.contains(mark)).is_some(),
            "{}",
            run.end().1
        );
        run.kill();
        story.tell(mark);
        // This one ends while nobody looks.
        let second = lab.node("master2");
        second.fault("join-hangs", "");
        story.kill_while(second, "kubeadm join");
        second.mend("join-hangs");
        for mark in AFTER_JOIN {
            story.kill_after(mark);
        }
        // Both ends are killed: half of a join is there, with the files that it reads.
        let worker = lab.node("worker1");
        worker.fault("join-hangs", "");
        story.kill_while(worker, "kubeadm join");
        worker.sh("pkill -KILL -f '^kubeadm join'");
        worker.mend("join-hangs");
        assert!(worker.exists("/root/.evenkeel-bootstrap/join.yaml"));
        story.kill_after("take away what a join that did not end left on worker1: ok");
        ends_well(lab);
        story.tell("the table");
    });
}

/// Runs that are killed, and when.
struct Story(Instant);

impl Story {
    /// Runs it until a line of its progress says this.
    #[track_caller]
    fn kill_after(&self, mark: &str) {
        let mut run = Running::start(APPLY);
        match run.line(|line| line.contains(mark)) {
            Some(line) => self.tell(&format!("killed after {line}")),
            None => {
                let (status, said) = run.end();
                panic!("it ended ({status}) before {mark:?}:\n{said}");
            }
        }
        run.kill();
    }

    /// Runs it until a machine runs a command that hangs there.
    #[track_caller]
    fn kill_while(&self, node: &Node, command: &str) {
        let mut run = Running::start(APPLY);
        run.until_runs(node, command);
        run.kill();
        self.tell(&format!("killed while {} runs {command}", node.name()));
    }

    fn tell(&self, what: &str) {
        eprintln!("{:5.1} s: {what}", self.0.elapsed().as_secs_f64());
    }
}

#[test]
fn apply_is_killed_after_every_single_step_and_goes_on() {
    if env::var_os("EVENKEEL_BOOTSTRAP_FULL").is_none() {
        return;
    }
    let name = "killed::apply_is_killed_after_every_single_step_and_goes_on";
    with_lab(name, FIVE, |lab| {
        write_inventory(lab, "admin");
        let began = Instant::now();
        // Not twice after one that is done in each run, such as to make a new token known.
        let mut seen = BTreeSet::new();
        loop {
            let mut run = Running::start(APPLY);
            let is_new = |line: &str| ended(line).is_some_and(|step| !seen.contains(step));
            let Some(line) = run.line(is_new) else {
                let (status, said) = run.end();
                assert!(status.success(), "{status}\n{said}");
                break;
            };
            assert!(!line.contains("FAILED"), "{line}\n{}", run.end().1);
            run.kill();
            seen.extend(ended(&line).map(str::to_owned));
            eprintln!(
                "{:5.1} s, kill {} after {line}",
                began.elapsed().as_secs_f64(),
                seen.len()
            );
        }
        ends_well(lab);
        eprintln!("killed {} times: {:.1?}", seen.len(), began.elapsed());
    });
}

/// The step of a line of progress: `[3/52] master1: name the host master1: ok (0.4 s)`.
fn ended(line: &str) -> Option<&str> {
    let (_, step) = line.strip_prefix('[')?.split_once("] ")?;
    Some(step.rsplit_once(": ")?.0)
}

/// One more run ends with the table, and has nothing left to do when it is run again; nothing that was for a
/// step alone is left.
fn ends_well(lab: &Lab) {
    succeed(APPLY);
    assert_eq!(table(lab.node("master1")), TABLE);
    let again = succeed(APPLY);
    assert!(again.contains("0 steps done"), "{again}");
    for node in lab.nodes() {
        let left = node.sh(
            "find /root/.evenkeel-bootstrap /var/lib/evenkeel-bootstrap /run/evenkeel-bootstrap-words.* \
             /etc -name '*.evenkeel-new' -o -name begun -o -path '/r*' -type f -o -name '*.deb' 2>/dev/null || :",
        );
        assert_eq!(left, "", "{}", node.name());
    }
}
