//! `user`, `group`, `chroot`, `setcap`: what the process that serves is left with.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use crate::support::balancer::temporary_directory;
use crate::support::{Lab, Program, not_run};

/// What /proc tells of a process's rights. The bounding set is left out: HAProxy keeps it full.
fn rights(pid: u32) -> Vec<String> {
    const FIELDS: [&str; 8] = [
        "Uid:",
        "Gid:",
        "Groups:",
        "CapInh:",
        "CapPrm:",
        "CapEff:",
        "CapAmb:",
        "NoNewPrivs:",
    ];
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let lines = status.lines().filter(|line| {
        let mut fields = FIELDS.iter();
        fields.any(|field| line.starts_with(field))
    });
    let mut rights: Vec<String> = lines.map(|line| line.trim_end().to_owned()).collect();
    let root = fs::read_link(format!("/proc/{pid}/root")).unwrap();
    rights.push(format!("root {}", root.display()));
    let owner = fs::metadata(format!("/proc/{pid}/status")).unwrap().uid();
    rights.push(format!("files in /proc of {owner}"));
    rights
}

fn left_with(program: Program, global: &str, socket: &PathBuf) -> Vec<String> {
    let lab = Lab::of(program);
    let origin = lab.origin("a");
    let config = format!(
        "global\n    {global}\n{}listen api\n    bind {}\n    bind {}\n    server s1 {}\n",
        lab.defaults(),
        lab.address(),
        socket.display(),
        origin.address()
    );
    let lb = lab.start(&config);
    let mut left = rights(lb.pid());
    let file = fs::metadata(socket).unwrap();
    left.push(format!(
        "socket {:o} {} {}",
        file.mode(),
        file.uid(),
        file.gid()
    ));
    drop(lb);
    let _ = fs::remove_file(socket);
    left
}

#[test]
fn both_are_left_with_the_same_rights() {
    let test = "both_are_left_with_the_same_rights";
    if !rustix::process::geteuid().is_root() {
        return not_run(test, "only root can become another user");
    }
    let Some(oracle) = Program::oracle_for(test) else {
        return;
    };
    let directory = temporary_directory();
    let jail = directory.display();
    for global in [
        "maxconn 100".to_owned(),
        "user nobody".to_owned(),
        "uid 65534\n    gid 65534".to_owned(),
        "gid 65534".to_owned(),
        "uid 0\n    gid 0".to_owned(),
        format!("user nobody\n    gid 65534\n    chroot {jail}"),
        format!("chroot {jail}"),
        "uid 65534\n    setcap cap_net_raw,cap_net_admin".to_owned(),
        "uid 65534\n    set-dumpable\n    insecure-setuid-wanted".to_owned(),
        "unix-bind mode 640 user nobody gid 65534".to_owned(),
    ] {
        let socket = directory.join("socket");
        let theirs = left_with(oracle.clone(), &global, &socket);
        let ours = left_with(Program::under_test(), &global, &socket);
        assert_eq!(ours, theirs, "{global}");
    }
    fs::remove_dir_all(&directory).unwrap();
}
