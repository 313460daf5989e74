//! `lint` and `compatibility`: what an operator is told of files before anything serves.

use std::path::PathBuf;

use crate::support::balancer::temporary_directory;
use crate::support::{Finished, Lab};

const GOOD: &str = "\
defaults
    timeout connect 1s
    timeout client 1s
    timeout server 1s
listen api
    bind 127.0.0.1:6443
    server s1 127.0.0.1:1 check
    server s2 127.0.0.1:2 check
";

/// A directory with a good file, one with a warning in a directory below, and one with two mistakes.
fn directory() -> PathBuf {
    let directory = temporary_directory();
    std::fs::create_dir(directory.join("more")).unwrap();
    for (name, text) in [
        ("good.cfg", GOOD.to_owned()),
        (
            "more/warned.cfg",
            format!("global\n    cpu-map 1 0\n{GOOD}"),
        ),
        (
            "wrong.cfg",
            GOOD.replace("bind ", "bnid ").replace(" check", " chekc"),
        ),
        ("notes.txt", "not looked at".to_owned()),
    ] {
        std::fs::write(directory.join(name), text).unwrap();
    }
    directory
}

fn run(arguments: &[&str]) -> Finished {
    Lab::new().program().run(arguments.to_vec())
}

#[test]
fn compatibility_says_of_each_file_whether_it_loads() {
    let directory = directory();
    let name = directory.to_str().unwrap();
    let finished = run(&["compatibility", name]);
    assert_eq!(finished.code(), 1, "{}", finished.stderr);
    let text = finished.stdout.replace(&format!("{name}/"), "");
    assert_eq!(
        text,
        "good.cfg: loads\n\
         more/warned.cfg: loads with warnings (1)\n\
         wrong.cfg: refused: 6:5: unknown keyword 'bnid' in 'listen' section; did you mean 'bind'? \
         (and 2 more)\n\
         3 files: 1 load, 1 load with warnings, 1 are refused\n"
    );
    let finished = run(&["compatibility", "--json", name]);
    let last = finished.stdout.lines().last().unwrap();
    assert_eq!(
        last,
        "{\"files\":3,\"haproxy_accepts\":null,\"load\":1,\"load_with_warnings\":1,\"refused\":1,\
         \"same_verdict\":null}"
    );
    assert!(
        finished.stdout.contains("\"errors\":3,") && finished.stdout.contains("\"line\":6,"),
        "{}",
        finished.stdout
    );
    let good = directory.join("good.cfg");
    assert_eq!(run(&["compatibility", good.to_str().unwrap()]).code(), 0);
    std::fs::remove_dir_all(directory).unwrap();
    assert_eq!(run(&["compatibility", "/no/such/file.cfg"]).code(), 2);
}

/// `true` is a HAProxy that accepts all, `false` one that refuses all.
#[test]
fn compatibility_compares_with_another_programs_verdict() {
    let directory = directory();
    let name = directory.to_str().unwrap();
    let finished = run(&["compatibility", "--haproxy", "true", name]);
    assert!(
        finished
            .stdout
            .contains("(and 2 more); HAProxy accepts it\n")
            && finished
                .stdout
                .ends_with("HAProxy accepts 3, the same verdict on 2\n"),
        "{}",
        finished.stdout
    );
    let finished = run(&["compatibility", "--markdown", "--haproxy", "false", name]);
    assert!(
        finished.stdout.contains("| 3 | 1 | 1 | 1 | 0 | 1 |\n")
            && finished.stdout.contains("- good.cfg: HAProxy refuses it\n"),
        "{}",
        finished.stdout
    );
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn lint_speaks_to_people_and_to_programs() {
    let directory = directory();
    let file = directory.join("good.cfg");
    let name = file.to_str().unwrap();
    let finished = run(&["lint", name]);
    assert_eq!(finished.code(), 1, "{}", finished.stderr);
    assert!(
        finished.stdout.contains("good.cfg:7:5: ") && finished.stdout.contains("(and line 8)"),
        "{}",
        finished.stdout
    );
    let finished = run(&["lint", "--json", name]);
    let blind = finished.stdout.lines().filter(|line| {
        line.starts_with("{\"column\":5,\"file\":")
            && line.contains("\"rule\":\"blind-check\",\"severity\":\"warning\"")
    });
    assert_eq!(blind.count(), 2, "{}", finished.stdout);
    let wrong = directory.join("wrong.cfg");
    assert_eq!(run(&["lint", wrong.to_str().unwrap()]).code(), 2);
    std::fs::remove_dir_all(directory).unwrap();
}
