//! `-c`: every mistake at once, with its place and a way out; nothing bound, nothing started.

use crate::support::balancer::temporary_directory;
use crate::support::{Finished, Lab, loopback};

fn check(text: &str, options: &[&str]) -> Finished {
    let lab = Lab::new();
    let directory = temporary_directory();
    let file = directory.join("lb.cfg");
    std::fs::write(&file, text).unwrap();
    let mut arguments = vec!["-c", "-f", file.to_str().unwrap()];
    arguments.extend(options);
    let finished = lab.program().run(arguments);
    std::fs::remove_dir_all(directory).unwrap();
    finished
}

const GOOD: &str = "\
defaults
    timeout connect 1s
    timeout client 1s
    timeout server 1s
listen api
    bind 127.0.0.1:6443
    server s1 127.0.0.1:1
";

#[test]
fn a_good_file_says_nothing_and_exits_0() {
    let finished = check(GOOD, &[]);
    assert_eq!(
        (
            finished.code(),
            finished.stdout.as_str(),
            finished.stderr.as_str()
        ),
        (0, "", "")
    );
    assert_eq!(check(GOOD, &["-V"]).stdout, "Configuration file is valid\n");
}

#[test]
fn every_mistake_is_told_at_once_with_its_place_and_a_way_out() {
    let finished = check(
        "listen api\n    bnid :6443\n    balance rr\n    timeout conect 5s\n    server s1 127.0.0.1:1 chekc\n",
        &[],
    );
    assert_eq!(finished.code(), 1);
    for (place, way_out) in [
        ("lb.cfg:2:5: ", "'bind'"),
        ("lb.cfg:3:", "'roundrobin'"),
        ("lb.cfg:4:", "'connect'"),
        ("lb.cfg:5:", "'check'"),
    ] {
        let line = finished.stderr.lines().find(|line| line.contains(place));
        let line = line.unwrap_or_else(|| panic!("no line names {place}: {}", finished.stderr));
        assert!(line.contains(way_out), "{line}");
    }
}

#[test]
fn warnings_are_errors_with_dw() {
    let warned = GOOD.replace("    timeout client 1s\n", "");
    let finished = check(&warned, &[]);
    assert_eq!(finished.code(), 0);
    assert!(finished.stderr.contains("warning: "), "{}", finished.stderr);
    assert_eq!(check(&warned, &["-dW"]).code(), 1);
    assert_eq!(check(GOOD, &["-dW"]).code(), 0);
}

#[test]
fn an_option_without_effect_is_told_and_no_reason_for_dw() {
    let finished = check(GOOD, &["-dW", "-m", "100", "-dM", "-m", "200"]);
    assert_eq!(finished.code(), 0);
    let told: Vec<_> = finished.stderr.lines().collect();
    let starts = ["-dM", "-m"].map(|o| format!("evenkeel: warning: option '{o}' has no effect: "));
    assert_eq!(told.len(), starts.len(), "{told:?}");
    for start in starts {
        assert!(told.iter().any(|line| line.starts_with(&start)), "{told:?}");
    }
}

#[test]
fn quiet_says_nothing() {
    let finished = check("listen api\n    nonsense\n", &["-q"]);
    assert_eq!(
        (
            finished.code(),
            finished.stdout.as_str(),
            finished.stderr.as_str()
        ),
        (1, "", "")
    );
}

#[test]
fn nothing_is_bound() {
    let lab = Lab::new();
    // A taken port is no reason for a check to fail.
    let taken = lab.origin("taken");
    let finished = check(
        &GOOD.replace("127.0.0.1:6443", &taken.address().to_string()),
        &[],
    );
    assert_eq!(finished.code(), 0);
    assert!(loopback::is_listening(taken.address()));
    assert_eq!(taken.accepted(), 0);
}
