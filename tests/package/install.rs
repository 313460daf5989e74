//! What installing puts on a machine, and what removing leaves.

use std::net::TcpStream;
use std::process::Command;
use std::time::Instant;

use crate::behaviour::debians_haproxy_cfg;
use crate::machine::{Machine, with_machine};
use crate::parcel::{FRONT, deb, install, install_configured, missing};
use crate::support::{not_run, until};

#[test]
fn lintian_finds_no_error() {
    if !std::path::Path::new("/usr/bin/lintian").exists() {
        return not_run(
            "package lintian",
            "no lintian (Debian's package lintian has it)",
        );
    }
    if let Some(why) = missing() {
        return not_run("package lintian", &why);
    }
    let output = Command::new("lintian")
        .args(["--fail-on", "error", "--allow-root"])
        .arg(deb("0.1.0-1"))
        .output()
        .unwrap();
    let found = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{found}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn it_starts_when_it_is_installed_and_brings_what_belongs_to_it() {
    with_machine(
        "install::it_starts_when_it_is_installed_and_brings_what_belongs_to_it",
        |machine| {
            install(machine, "0.1.0-1");
            machine.sh("systemctl is-active evenkeel && systemctl is-enabled evenkeel");
            let files = machine.sh("dpkg -L evenkeel");
            for file in [
                "/usr/sbin/evenkeel",
                "/usr/lib/systemd/system/evenkeel.service",
                "/usr/share/man/man8/evenkeel.8.gz",
                "/usr/share/man/man5/evenkeel.toml.5.gz",
                "/usr/share/man/man5/evenkeel-haproxy.cfg.5.gz",
                "/usr/share/bash-completion/completions/evenkeel",
                "/usr/share/zsh/vendor-completions/_evenkeel",
                "/usr/share/fish/vendor_completions.d/evenkeel.fish",
                "/usr/lib/sysusers.d/evenkeel.conf",
                "/usr/lib/sysctl.d/50-evenkeel.conf",
                "/usr/share/doc/evenkeel/copyright",
                "/usr/share/doc/evenkeel/README.md",
                "/usr/share/evenkeel/monitoring/alerts.yaml",
                "/usr/share/evenkeel/monitoring/dashboard.json",
            ] {
                assert!(
                    files.lines().any(|line| line.starts_with(file)),
                    "{file} is not in\n{files}"
                );
            }
            let conffiles = machine.sh("dpkg-query -W -f '${Conffiles}' evenkeel");
            for file in ["/etc/evenkeel/evenkeel.toml", "/etc/default/evenkeel"] {
                assert!(conffiles.contains(file), "{conffiles}");
            }
        },
    );
}

/// What it said that is an error.
fn errors_of(machine: &Machine) -> String {
    machine.sh("journalctl -u evenkeel _COMM=evenkeel -p err -o cat --no-pager")
}

/// The machine of somebody who migrates: Debian's HAProxy serves, from Debian's file.
#[test]
fn a_port_that_haproxy_has_does_not_break_the_installation() {
    with_machine(
        "install::a_port_that_haproxy_has_does_not_break_the_installation",
        |machine| {
            machine.write("/etc/haproxy/haproxy.cfg", debians_haproxy_cfg());
            machine.sh("systemctl enable --now haproxy && systemctl is-active haproxy");
            install(machine, "0.1.0-1");
            assert!(!machine.is_active());
            assert!(TcpStream::connect(FRONT).is_ok());
            // The service may not see other users' processes, but whose service that is.
            let errors = errors_of(machine);
            let said = format!(
                "cannot listen on {FRONT}: the port is taken by a process of haproxy.service; stop it first"
            );
            assert!(errors.contains(&said), "{errors}");
            let state = machine.sh("dpkg-query -W -f '${Status}' evenkeel");
            assert_eq!(state, "install ok installed");
            // It is tried again for as long as it takes, and not so often that it fills the journal.
            let limit = machine.sh("systemctl show -P StartLimitIntervalUSec evenkeel");
            assert_eq!(limit.trim(), "0");
            let tried = || errors_of(machine).matches(FRONT).count();
            let (begin, first) = (Instant::now(), tried());
            until("a second try", || (tried() > first).then_some(()));
            let tries = tried() - first;
            let most = begin.elapsed().as_secs() + 1;
            assert!(tries as u64 <= most, "{tries} in {:?}", begin.elapsed());
            machine.sh("systemctl disable --now haproxy");
            until("it to start", || machine.is_active().then_some(()));
            // And back again, as docs/install.md says.
            machine.sh("systemctl disable --now evenkeel && systemctl enable --now haproxy && systemctl is-active haproxy");
            assert!(TcpStream::connect(FRONT).is_ok());
        },
    );
}

#[test]
fn remove_keeps_the_configuration_and_purge_leaves_nothing() {
    with_machine(
        "install::remove_keeps_the_configuration_and_purge_leaves_nothing",
        |machine| {
            let everything = "find / -xdev \\( -path /proc -o -path /sys -o -path /run/user -o -path /var/log \
                          -o -path /var/lib/dpkg -o -path /tmp -o -path /root -o -path /var/cache \\) -prune -o -print | sort";
            let before = machine.sh(everything);
            install_configured(machine);
            machine.sh("touch /var/lib/evenkeel/state");

            machine.sh("dpkg -r evenkeel");
            assert!(!machine.is_active());
            machine.sh("test -e /etc/evenkeel/evenkeel.toml && test -e /var/lib/evenkeel/state");
            machine.sh("! test -e /usr/sbin/evenkeel");

            machine.sh("dpkg -P evenkeel");
            let after = machine.sh(everything);
            let left: Vec<&str> = after
                .lines()
                .filter(|line| {
                    line.contains("evenkeel") && !before.lines().any(|known| known == *line)
                })
                .collect();
            assert_eq!(left, [""; 0]);
            machine.sh("! getent passwd evenkeel && ! getent group evenkeel");
            // systemd forgets a unit without a file at its leisure, and shows it as not found until then.
            let units = machine
                .sh("systemctl daemon-reload; systemctl list-units --all --no-legend 'evenkeel*'");
            let known = units
                .lines()
                .filter(|unit| !unit.contains("not-found inactive"));
            assert_eq!(known.collect::<Vec<_>>(), [""; 0]);
        },
    );
}
