//! What an operator reads when something fails has a row in the documentation.

use std::time::Duration;

use super::{LockError, Reason};
use crate::facts::Facts;
use crate::inventory::Version;
use crate::plan::plan;
use crate::plan::steps::example::{bare, host, inventory, joined};
use crate::transport::Failure;

const PAGE: &str = include_str!("../../../../docs/bootstrap.md");

/// Rows `| \`words\` ... | ... |` of the part on failures; a word in capitals stands for anything.
fn rows() -> Vec<Vec<String>> {
    let part = PAGE
        .split_once("## When it fails")
        .expect("a part of its own")
        .1;
    let rows = part
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let is_blank = |word: &str| word.len() > 1 && word.chars().all(|c| c.is_ascii_uppercase());
    rows.map(|(words, _)| {
        let mut pieces = vec![String::new()];
        for word in words.split(' ') {
            match is_blank(word) && !matches!(word, "API" | "SHA-256") {
                true => pieces.push(String::new()),
                false => {
                    let piece = pieces.last_mut().expect("never empty");
                    if !piece.is_empty() {
                        piece.push(' ');
                    }
                    piece.push_str(word);
                }
            }
        }
        pieces
    })
    .collect()
}

fn has_a_row(message: &str) {
    let is_said = |pieces: &Vec<String>| {
        let mut rest = message;
        pieces
            .iter()
            .all(|piece| match rest.split_once(piece.as_str()) {
                Some((_, after)) => {
                    rest = after;
                    true
                }
                None => false,
            })
    };
    assert!(
        rows().iter().any(is_said),
        "docs/bootstrap.md has no row for: {message}"
    );
}

#[test]
fn hosts_and_the_lock() {
    let said = || "words".to_owned();
    let second = Duration::from_secs(1);
    let failures = [
        Failure::Unreachable { said: said() },
        Failure::HostKey { said: said() },
        Failure::OtherHostKey { said: said() },
        Failure::Denied { said: said() },
        Failure::Refused { said: said() },
        Failure::NotRoot,
        Failure::SudoWantsPassword,
        Failure::SudoRefuses { said: said() },
        Failure::TimedOut {
            limit: second,
            said: said(),
        },
        Failure::Busy { waited: second },
        Failure::Write {
            path: said(),
            said: said(),
        },
        Failure::Changed { path: said() },
        Failure::NoProgram {
            program: "ssh".to_owned(),
        },
        Failure::Local {
            doing: "read image.tar".to_owned(),
            cause: std::io::ErrorKind::NotFound.into(),
        },
    ];
    for failure in &failures {
        has_a_row(&failure.to_string());
    }
    has_a_row(
        &LockError::Taken {
            who: said(),
            host: said(),
        }
        .to_string(),
    );
    has_a_row(
        &LockError::TooFew {
            held: 1,
            votes: 3,
            why: Vec::new(),
        }
        .to_string(),
    );
}

#[test]
fn steps() {
    let said = || "words".to_owned();
    let reasons = [
        Reason::Command {
            command: said(),
            status: 1,
            said: said(),
        },
        Reason::Late {
            what: said(),
            limit: Duration::from_secs(1),
            said: said(),
        },
        Reason::NotSo {
            missing: Vec::new(),
        },
        Reason::Stopped,
        Reason::LockLost,
    ];
    for reason in &reasons {
        has_a_row(&reason.to_string());
    }
}

#[test]
fn plans() {
    let inventory = inventory();
    let all = || joined(&inventory, &["master1", "master2", "worker1", "worker2"]);
    let check = |mut facts: Facts, spoil: &dyn Fn(&mut Facts)| {
        spoil(&mut facts);
        let problems = plan(&inventory, &facts).expect_err("it is refused");
        for problem in &problems {
            has_a_row(problem);
        }
    };
    let silence = |name: &str, facts: &mut Facts| {
        facts
            .hosts
            .insert(name.to_owned(), Err("is off".to_owned()));
    };
    check(all(), &|facts| silence("worker1", facts));
    check(bare(&inventory), &|facts| silence("master1", facts));
    check(bare(&inventory), &|facts| silence("lb", facts));
    check(bare(&inventory), &|facts| {
        host(facts, "master2").kube.etcd_data = true
    });
    check(bare(&inventory), &|facts| {
        host(facts, "master2").kube.kubelet_conf = true
    });
    check(joined(&inventory, &["master1"]), &|facts| {
        host(facts, "worker1").kube.kubelet_conf = true
    });
    check(all(), &|facts| {
        host(facts, "master2").kube.ca = Some("another".to_owned())
    });
    let member =
        |facts: &mut Facts, name: &str, change: &dyn Fn(&mut crate::facts::ClusterNode)| {
            let nodes = &mut facts.cluster.as_mut().expect("it runs").nodes;
            change(
                nodes
                    .iter_mut()
                    .find(|node| node.name == name)
                    .expect("it is one"),
            );
        };
    check(all(), &|facts| {
        member(facts, "worker1", &|node| {
            node.addresses = vec![[10, 0, 1, 99].into()]
        })
    });
    check(all(), &|facts| {
        member(facts, "worker1", &|node| node.control_plane = true)
    });
    check(all(), &|facts| {
        host(facts, "worker1").kube = crate::facts::Kube {
            admin_conf: true,
            ..Default::default()
        }
    });
    let old: Version = "1.36.1".parse().expect("a version");
    check(all(), &|facts| {
        member(facts, "worker1", &|node| node.kubelet = Some(old))
    });
}
