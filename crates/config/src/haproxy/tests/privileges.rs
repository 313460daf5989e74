//! Rights of the process and of Unix sockets.

use std::path::PathBuf;

use super::{TIMEOUTS, check, config};
use crate::*;

fn global(lines: &str) -> Config {
    config(&format!("global\n{lines}{TIMEOUTS}listen f\n bind :1\n"))
}

#[track_caller]
fn check_global(line: &str, expected: &[&str]) {
    check(
        &format!("global\n {line}\n{TIMEOUTS}listen f\n bind :1\n server s 1.1.1.1:1\n"),
        expected,
    );
}

#[test]
fn debians_file_changes_user_group_and_root() {
    let config = config(include_str!("../../../../../config/debian-default.cfg"));
    let rights = config.global.privileges;
    let named = |name: &str| Some(Account::Named(name.to_owned()));
    assert_eq!(rights.user.map(|user| user.account), named("haproxy"));
    assert_eq!(rights.group.map(|group| group.account), named("haproxy"));
    let jail = rights.chroot.unwrap();
    assert_eq!(jail.path, PathBuf::from("/var/lib/haproxy"));
    assert_eq!(jail.place.line, 7);
    assert!(!rights.dumpable && !rights.setuid_programs && rights.capabilities.is_empty());
}

#[test]
fn every_keyword_of_rights_is_read() {
    let global = global(
        " uid 99\n gid 98\n setcap cap_net_raw,cap_net_bind_service\n set-dumpable\n \
         insecure-setuid-wanted\n ulimit-n 5000\n fd-hard-limit 9000\n",
    )
    .global;
    let rights = &global.privileges;
    assert_eq!(rights.user.as_ref().unwrap().account, Account::Id(99));
    assert_eq!(rights.group.as_ref().unwrap().account, Account::Id(98));
    let kept = [Capability::NetBindService, Capability::NetRaw];
    assert_eq!(rights.capabilities, kept.into());
    assert!(rights.dumpable && rights.setuid_programs);
    assert_eq!(global.descriptors.at_least, Some(5000));
    assert_eq!(global.descriptors.at_most, 9000);
}

#[test]
fn no_takes_back_and_zero_changes_nothing() {
    let global = global(" set-dumpable\n no set-dumpable\n uid 0\n gid 0\n ulimit-n 0\n").global;
    assert_eq!(global.privileges, Privileges::default());
    assert_eq!(global.descriptors, Descriptors::default());
}

#[test]
fn mistakes_of_rights_are_told_as_haproxy_weighs_them() {
    for (line, expected) in [
        ("user", "2:2: 'user' needs a value after it"),
        ("gid 99 5", "2:9: unexpected argument '5' after 'gid'"),
        (
            "uid haproxy",
            "2:6: warning: 'uid' has no effect: 'haproxy' is not a number; use 'user' for a name",
        ),
        (
            "uid -1",
            "2:6: 'uid' must be between 0 and 4294967294, not -1",
        ),
        ("chroot", "2:2: 'chroot' needs a directory after it"),
        (
            "user a\n uid 3",
            "3:2: warning: 'user/uid' is already specified; the first one counts",
        ),
        (
            "chroot /a\n chroot /b",
            "3:2: warning: 'chroot' is already specified; the first one counts",
        ),
        (
            "setcap",
            "2:2: 'setcap' needs capabilities after it, of cap_net_raw, cap_net_admin, \
             cap_net_bind_service, cap_sys_admin",
        ),
        (
            "setcap cap_net_rw",
            "2:9: 'setcap': unsupported capability 'cap_net_rw'; did you mean 'cap_net_raw'?",
        ),
        (
            "unix-bind owner x",
            "2:12: 'unix-bind' has no option 'owner'; it is one of prefix, mode, user, uid, \
             group, gid",
        ),
        (
            "unix-bind mode",
            "2:12: 'unix-bind mode' needs a value after it",
        ),
        (
            "unix-bind mode 9",
            "2:17: 'mode' needs permission bits in octal, as in 660, not '9'",
        ),
        (
            "ulimit-n many",
            "2:11: warning: 'ulimit-n' has no effect: 'many' is no number of descriptors",
        ),
        (
            "set-dumpable x",
            "2:15: unexpected argument 'x' after 'set-dumpable'",
        ),
    ] {
        check_global(line, &[expected]);
    }
}

#[test]
fn unix_bind_holds_for_every_unix_socket_that_says_nothing_else() {
    let config = config(&format!(
        "global\n unix-bind prefix /srv mode 660 user www gid 5\n{TIMEOUTS}listen f\n \
         bind /a,unix@/b mode 600 group wheel\n bind unix@/c\n bind :1 mode 644\n bind abns@x\n"
    ));
    let seen: Vec<_> = config.frontends[0]
        .binds
        .iter()
        .map(|bind| (bind.address.clone(), bind.access.clone()))
        .collect();
    let unix = |path: &str| BindAddress::Unix(path.into());
    let user = Some(Account::Named("www".into()));
    let own = UnixAccess {
        mode: Some(0o600),
        user: user.clone(),
        group: Some(Account::Named("wheel".into())),
    };
    let usual = UnixAccess {
        mode: Some(0o660),
        user,
        group: Some(Account::Id(5)),
    };
    assert_eq!(seen[0], (unix("/srv/a"), own.clone()));
    assert_eq!(seen[1], (unix("/srv/b"), own));
    assert_eq!(seen[2], (unix("/srv/c"), usual));
    assert!(seen[3].1.is_empty() && seen[4].1.is_empty());
}
