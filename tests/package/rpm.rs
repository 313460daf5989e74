//! The .rpm, in a Debian that is a Fedora as far as that matters: a preset enables no service. What an
//! rpm needs of a distribution's other packages is held by itself, for there are none of these here.

use std::collections::BTreeSet;
use std::process::Command;

use crate::load::{Load, start_masters};
use crate::machine::{Machine, with_machine};
use crate::parcel::{CONFIG, deb, missing, rpm};
use crate::support::{not_run, until};

/// The oldest glibc that it is meant for, of RHEL 9.
const GLIBC: (u32, u32) = (2, 34);

/// Whether Debian's `rpm` is here.
fn have_rpm(test: &str) -> bool {
    let why = match std::path::Path::new("/usr/bin/rpm").exists() {
        true => missing(),
        false => Some("no rpm (Debian's package rpm has it)".to_owned()),
    };
    if let Some(why) = &why {
        not_run(&format!("package {test}"), why);
    }
    why.is_none()
}

/// What `rpm -qp` tells of the package.
fn asked(question: &str) -> String {
    let output = Command::new("rpm")
        .args(["-qp", question])
        .arg(rpm("0.1.0-1"))
        .output()
        .unwrap();
    assert!(output.status.success(), "rpm -qp {question}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn it_holds_what_the_deb_holds_where_fedora_has_it() {
    if !have_rpm("rpm: its files") {
        return;
    }
    let rpm: BTreeSet<_> = asked("--list").lines().map(str::to_owned).collect();
    let output = Command::new("dpkg-deb")
        .arg("--contents")
        .arg(deb("0.1.0-1"))
        .output()
        .unwrap();
    let contents = String::from_utf8(output.stdout).unwrap();
    let deb: BTreeSet<_> = contents
        .lines()
        .filter(|line| line.starts_with('-'))
        .map(|line| line.split_whitespace().nth(5).unwrap())
        // Debian packs manuals and its changelog, and has places and files of its own.
        .map(|file| file.trim_start_matches('.').trim_end_matches(".gz"))
        .filter(|file| !file.contains("/lintian/") && !file.ends_with("/copyright"))
        .filter(|file| !file.ends_with("/changelog.Debian") && !file.ends_with("/changelog"))
        .map(|file| file.replace("/zsh/vendor-completions/", "/zsh/site-functions/"))
        .collect();
    assert!(deb.len() > 25, "{deb:?}");
    let only_deb: Vec<_> = deb.difference(&rpm).collect();
    assert_eq!(only_deb, [""; 0]);
    let only_rpm: Vec<_> = rpm.difference(&deb).collect();
    let licences = ["LICENSE-APACHE", "LICENSE-MIT"]
        .map(|file| format!("/usr/share/licenses/evenkeel/{file}"));
    assert_eq!(only_rpm, licences.iter().collect::<Vec<_>>());
    assert_eq!(
        asked("--configfiles"),
        "/etc/default/evenkeel\n/etc/evenkeel/evenkeel.toml\n"
    );
}

#[test]
fn it_takes_no_more_than_systemd_a_shell_and_the_glibc_of_rhel_9() {
    if !have_rpm("rpm: what it needs") {
        return;
    }
    let requires = asked("--requires");
    let requires: BTreeSet<_> = requires.lines().collect();
    for needed in ["systemd", "/bin/sh", "config(evenkeel) = 0.1.0-1"] {
        assert!(requires.contains(needed), "{requires:?}");
    }
    let mut newest = (0, 0);
    for one in requires {
        let libraries = ["libc.so.6", "libm.so.6", "libgcc_s.so.1", "ld-linux-"];
        let known = ["systemd", "/bin/sh", "config(evenkeel)", "rpmlib(", "rtld("];
        assert!(
            libraries
                .iter()
                .chain(&known)
                .any(|start| one.starts_with(start)),
            "it needs {one}"
        );
        if let Some((_, version)) = one.split_once("(GLIBC_") {
            let mut numbers = version
                .split([')', '.'])
                .map_while(|part| part.parse().ok());
            newest = newest.max((numbers.next().unwrap(), numbers.next().unwrap_or(0)));
        }
    }
    assert!(
        newest > (2, 0) && newest <= GLIBC,
        "it needs glibc {newest:?}"
    );
}

/// Gives the machine this one's `rpm`, with the libraries and the configuration that it takes. (From outside,
/// `--root /proc/PID/root` would be resolved to `/`.)
fn lend_rpm(machine: &Machine) {
    let folder = format!("{}/root/rpm", machine.root());
    let lend = "mkdir -p $0/lib && cp /usr/bin/rpm $0/ && cp -r /usr/lib/rpm $0/config && \
                cp $(ldd /usr/bin/rpm | grep -o '/[^ ]*') $0/lib/ && mv $0/lib/ld-linux* $0/loader";
    let lent = Command::new("sh").args(["-c", lend, &folder]).status();
    assert!(lent.unwrap().success());
}

/// rpm at work in the machine.
fn rpm_in(machine: &Machine, arguments: &str) {
    let output = machine.try_sh(&format!(
        "RPM_CONFIGDIR=/root/rpm/config /root/rpm/loader --library-path /root/rpm/lib /root/rpm/rpm \
         --force-debian --nodeps {arguments}"
    ));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "rpm {arguments}: {said}");
    // A scriptlet that fails is a warning.
    assert!(!said.contains("scriptlet"), "rpm {arguments}: {said}");
}

#[test]
fn it_is_installed_upgraded_under_load_and_removed() {
    if !have_rpm("rpm: its life") {
        return;
    }
    with_machine(
        "rpm::it_is_installed_upgraded_under_load_and_removed",
        |machine| {
            machine.sh("mkdir -p /etc/systemd/system-preset");
            machine.write(
                "/etc/systemd/system-preset/99-default-disable.preset",
                "disable *\n",
            );
            lend_rpm(machine);
            machine.copy_in(&rpm("0.1.0-1"), "/root/1.rpm");
            machine.copy_in(&rpm("0.1.0-2"), "/root/2.rpm");
            rpm_in(machine, "--install /root/1.rpm");
            machine.sh("getent passwd evenkeel && ! systemctl is-enabled evenkeel");
            assert!(!machine.is_active());

            machine.write("/etc/evenkeel/evenkeel.toml", CONFIG);
            start_masters();
            machine.sh("systemctl enable --now evenkeel");
            let before = machine.main_pid();
            let user = machine.sh(&format!("stat -c %U /proc/{before}"));
            assert_eq!(user, "evenkeel\n");
            let load = Load::start();
            rpm_in(machine, "--upgrade /root/2.rpm");
            until("the new program as the service's process", || {
                (machine.main_pid() != before).then_some(())
            });
            load.go_on();
            let seen = load.stop();
            assert!(seen.answered > 10 && seen.exchanged > 10);
            assert_eq!((seen.failed.first(), seen.cut), (None, 0));
            assert_eq!(
                machine.sh("cat /etc/evenkeel/evenkeel.toml"),
                CONFIG,
                "a changed configuration is replaced"
            );
            machine.sh("systemctl is-enabled evenkeel");

            rpm_in(machine, "--erase evenkeel");
            assert!(!machine.is_active());
            let left = machine.sh(
                "find / -xdev \\( -path /proc -o -path /sys -o -path /run -o -path /var/log \\) -prune \
                 -o -name '*evenkeel*' -print | sort",
            );
            // What was changed stays, and what the service wrote.
            assert_eq!(
                left,
                "/etc/evenkeel\n/etc/evenkeel/evenkeel.toml.rpmsave\n/var/lib/evenkeel\n"
            );
        },
    );
}
