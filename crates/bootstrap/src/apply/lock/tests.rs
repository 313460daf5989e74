//! Three hosts are three files of this machine.

use std::path::PathBuf;
use std::time::Instant;

use super::*;
use crate::plan::steps::example;

const NAMES: [&str; 3] = ["lb", "master1", "master2"];

struct Hosts {
    folder: PathBuf,
    machines: Vec<Machine>,
}

impl Hosts {
    fn new(name: &str) -> Self {
        let folder =
            std::env::temp_dir().join(format!("evenkeel-lock-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("made");
        let machines = NAMES.map(Machine::here).into();
        Self { folder, machines }
    }

    /// Takes the lock on those of these names.
    async fn take(&self, names: &[&str], terms: &Terms, who: &str) -> Result<Lock, LockError> {
        let hosts: Vec<_> = self
            .machines
            .iter()
            .filter(|machine| names.contains(&machine.name.as_str()))
            .map(|machine| {
                let file = self.folder.join(&machine.name).display().to_string();
                (
                    machine,
                    Terms {
                        file,
                        ..terms.clone()
                    },
                )
            })
            .collect();
        let silent = NAMES.iter().filter(|name| !names.contains(name));
        let silent = silent.map(|name| format!("{name}: is off")).collect();
        Lock::take_by(&hosts, NAMES.len(), silent, who).await
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn terms() -> Terms {
    Terms {
        file: String::new(),
        wait: Duration::ZERO,
        lease: Duration::from_secs(60),
        beat: Duration::from_millis(20),
        margin: Duration::from_secs(15),
    }
}

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !is_so().await {
        assert!(began.elapsed() < Duration::from_secs(30), "{what}");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn the_second_operator_is_told_who_is_first_and_has_the_lock_when_they_end() {
    let hosts = Hosts::new("second");
    let first = hosts
        .take(&NAMES, &terms(), "anna's shell")
        .await
        .expect("free");
    match hosts.take(&NAMES, &terms(), "ben").await {
        Err(LockError::Taken { who, host }) => {
            assert_eq!((who.as_str(), host.as_str()), ("anna's shell", "lb"));
        }
        other => panic!("{other:?}"),
    }
    assert!(first.is_held());
    drop(first);
    until("the lock falls", async || {
        hosts.take(&NAMES, &terms(), "ben").await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn any_one_host_may_be_lost_and_two_operators_always_meet() {
    for lost in NAMES {
        let hosts = Hosts::new(lost);
        let rest: Vec<_> = NAMES.into_iter().filter(|name| *name != lost).collect();
        let _first = hosts
            .take(&rest, &terms(), "anna")
            .await
            .expect("two of three");
        for other in NAMES {
            let reached: Vec<_> = NAMES.into_iter().filter(|name| *name != other).collect();
            let second = hosts.take(&reached, &terms(), "ben").await;
            assert!(matches!(second, Err(LockError::Taken { .. })), "{second:?}");
        }
    }
}

#[tokio::test]
async fn one_host_of_three_is_no_lock() {
    let hosts = Hosts::new("one");
    let error = hosts
        .take(&["lb"], &terms(), "anna")
        .await
        .expect_err("too few");
    let text = error.to_string();
    assert!(
        text.starts_with(
            "1 of the 3 hosts that hold the cluster's lock could be locked, and 2 are needed"
        ) && text.contains("master1: is off; master2: is off"),
        "{text}"
    );
    // What was held is given back.
    until("the lock on lb falls", async || {
        hosts.take(&NAMES, &terms(), "ben").await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn a_host_that_cannot_be_locked_is_counted_as_lost() {
    let hosts = Hosts::new("refused");
    std::fs::create_dir(hosts.folder.join("master1")).expect("made");
    let lock = hosts
        .take(&NAMES, &terms(), "anna")
        .await
        .expect("two of three");
    assert!(lock.is_held());
    let hosts = Hosts::new("refused-twice");
    for name in ["master1", "master2"] {
        std::fs::create_dir(hosts.folder.join(name)).expect("made");
    }
    let refused = hosts.take(&NAMES, &terms(), "anna").await;
    let error = refused.expect_err("too few");
    assert!(error.to_string().contains("master1: sh: "), "{error}");
}

#[tokio::test]
async fn an_operator_who_is_heard_no_more_loses_the_lock_and_knows_it_before() {
    let hosts = Hosts::new("silent");
    let silent = Terms {
        lease: Duration::from_secs(2),
        beat: Duration::from_secs(3600),
        margin: Duration::from_secs(1),
        ..terms()
    };
    let first = hosts.take(&NAMES, &silent, "anna").await.expect("free");
    assert!(first.is_held());
    until("the lock falls by itself", async || {
        match hosts.take(&NAMES, &terms(), "ben").await {
            Ok(_) => true,
            Err(LockError::Taken { .. }) => false,
            Err(other) => panic!("{other}"),
        }
    })
    .await;
    assert!(!first.is_held());
}

#[tokio::test]
async fn an_operator_who_is_heard_keeps_the_lock_beyond_its_lease() {
    let hosts = Hosts::new("heard");
    let short = Terms {
        lease: Duration::from_secs(3),
        margin: Duration::from_secs(1),
        ..terms()
    };
    let lock = hosts.take(&NAMES, &short, "anna").await.expect("free");
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(5) {
        assert!(lock.is_held(), "after {:?}", began.elapsed());
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_run_right_after_another_waits_for_the_hosts_to_see_its_end() {
    let hosts = Hosts::new("after");
    let patient = Terms {
        wait: Duration::from_secs(20),
        ..terms()
    };
    for who in ["anna", "ben", "carla"] {
        hosts
            .take(&NAMES, &patient, who)
            .await
            .expect("it falls soon");
    }
}

#[test]
fn voters_are_balancers_and_control_planes_by_name() {
    let mut inventory = example::inventory();
    let names = |inventory: &Inventory| -> Vec<String> {
        voters(inventory)
            .iter()
            .map(|node| node.name.clone())
            .collect()
    };
    assert_eq!(names(&inventory), NAMES);
    inventory.nodes.reverse();
    assert_eq!(
        names(&inventory),
        NAMES,
        "whatever the order of the file is"
    );
    inventory.nodes.retain(|node| node.name != "master2");
    assert_eq!(names(&inventory), ["lb", "master1", "worker1"]);
}

/// A majority of some hosts and one of those with another beside them cannot be apart.
#[test]
fn files_that_differ_by_a_node_still_meet() {
    for votes in 1..20 {
        assert!(majority(votes) * 2 > votes);
        assert!(majority(votes) + majority(votes + 1) > votes + 1, "{votes}");
    }
}
