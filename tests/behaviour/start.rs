//! Starting: what stands in the way is named, with what to do about it.

use std::os::unix::fs::MetadataExt;

use crate::support::balancer::temporary_directory;
use crate::support::lab::visit;
use crate::support::{Finished, Lab, loopback, until};

/// Runs with this configuration, which must not start.
fn refused(lab: &Lab, text: &str) -> Finished {
    let directory = temporary_directory();
    let file = directory.join("lb.cfg");
    std::fs::write(&file, text).unwrap();
    let finished = lab.program().run(["-f".as_ref(), file.as_os_str()]);
    std::fs::remove_dir_all(directory).unwrap();
    assert_eq!(finished.code(), 1);
    finished
}

#[test]
fn a_taken_port_names_its_owner() {
    let lab = Lab::new();
    let owner = lab.origin("owner");
    let free = lab.address();
    let finished = refused(
        &lab,
        &format!(
            "listen api\n    bind {free}\n    bind {}\n    server s1 127.0.0.1:1\n",
            owner.address()
        ),
    );
    let line = finished
        .stderr
        .lines()
        .find(|line| line.contains("lb.cfg:3:"))
        .unwrap();
    assert!(
        line.contains(&format!("(pid {})", std::process::id())),
        "{line}"
    );
    assert!(!loopback::is_listening(free));
}

#[test]
fn a_taken_admin_address_names_its_owner() {
    let lab = Lab::new();
    let origin = lab.origin("owner");
    let owner = origin.address();
    let directory = temporary_directory();
    let file = directory.join("lb.cfg");
    let text = format!(
        "listen api\n    bind {}\n    server s1 127.0.0.1:1\n",
        lab.address()
    );
    std::fs::write(&file, text).unwrap();
    let admin = owner.to_string();
    let finished = lab
        .program()
        .run(["-f", file.to_str().unwrap(), "--admin", &admin]);
    assert_eq!(finished.code(), 1);
    let said = &finished.stderr;
    assert!(
        said.contains(&format!(
            "cannot serve metrics at {owner}: the port is taken by "
        )),
        "{said}"
    );
    assert!(
        said.contains(&format!("(pid {}); stop it first\n", std::process::id())),
        "{said}"
    );
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn a_port_of_another_balancer_is_not_shared_by_accident() {
    let lab = Lab::new();
    let origin = lab.origin("a");
    let front = lab.address();
    let text = format!(
        "{}\nlisten api\n    bind {front}\n    server s1 {}\n",
        lab.preamble(),
        origin.address()
    );
    let first = lab.start(&text);
    let finished = refused(&lab, &text);
    assert!(
        finished.stderr.contains(&format!("(pid {})", first.pid())),
        "{}",
        finished.stderr
    );
    assert_eq!(visit(front), "a");
}

#[test]
fn a_vip_that_is_elsewhere_is_a_warning_and_a_metric() {
    let lab = Lab::new();
    let origin = lab.origin("a");
    let front = lab.address();
    // An address of the documentation's network: no machine has it.
    let lb = lab.start(&format!(
        "{}\nlisten api\n    bind {front}\n    bind 192.0.2.10:6443\n    server s1 {}\n",
        lab.preamble(),
        origin.address()
    ));
    let warning = lb.says("192.0.2.10");
    assert!(warning.contains("lo 127.0.0.1"), "{warning}");
    assert_eq!(visit(front), "a");
    let presence: Vec<f64> = lb
        .metrics()
        .series
        .iter()
        .filter(|(series, _)| series.name == "evenkeel_bind_address_present")
        .map(|(series, value)| {
            let is_vip = series
                .labels
                .values()
                .any(|label| label.starts_with("192.0.2.10"));
            assert_eq!(*value, f64::from(u8::from(!is_vip)), "{series:?}");
            *value
        })
        .collect();
    assert_eq!(presence.len(), 2);
}

#[test]
fn a_name_that_does_not_resolve_is_named() {
    let lab = Lab::new();
    let finished = refused(
        &lab,
        &format!(
            "listen api\n    bind {}\n    server s1 nowhere.invalid:6443\n",
            lab.address()
        ),
    );
    let line = finished
        .stderr
        .lines()
        .find(|line| line.contains("lb.cfg:3:"));
    assert!(
        line.is_some_and(|line| line.contains("nowhere.invalid")),
        "{}",
        finished.stderr
    );
}

#[test]
fn a_port_range_that_the_descriptors_cannot_carry_is_refused_with_what_to_do() {
    let lab = Lab::new();
    let directory = temporary_directory();
    let file = directory.join("lb.cfg");
    let text = format!(
        "global\n    nbthread 1\nlisten api\n    bind {}:20000-20199\n    server s1 127.0.0.1:1\n",
        lab.ip()
    );
    std::fs::write(&file, text).unwrap();
    let mut limited = std::process::Command::new("sh");
    // Enough for the sockets, not for their duplicates.
    limited
        .args(["-c", "ulimit -n 400 && exec \"$@\"", "sh"])
        .arg(lab.program().command().get_program())
        .arg("-f")
        .arg(&file);
    let finished = limited.output().unwrap();
    let said = String::from_utf8_lossy(&finished.stderr);
    assert_eq!(finished.status.code(), Some(1), "{said}");
    assert!(said.contains("LimitNOFILE="), "{said}");
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn the_pid_file_holds_the_process_id() {
    let lab = Lab::new();
    let directory = temporary_directory();
    let pidfile = directory.join("pid");
    let front = lab.address();
    let lb = lab.start(&format!(
        "global\n    pidfile {}\nlisten api\n    bind {front}\n    server s1 127.0.0.1:1\n",
        pidfile.display()
    ));
    let pid = until("the pid file is written", || {
        std::fs::read_to_string(&pidfile).ok()
    });
    assert_eq!(pid.trim().parse(), Ok(lb.pid()));
    assert!(std::fs::metadata(&pidfile).unwrap().size() > 0);
    std::fs::remove_dir_all(directory).unwrap();
}
