//! The service as systemd runs it: what it may do, what it says, and what becomes of it when it fails.

use std::net::TcpStream;

use crate::machine::with_machine;
use crate::parcel::{CONFIG, FRONT, deb, install, install_configured};
use crate::support::until;

#[test]
fn it_runs_with_the_rights_that_are_promised() {
    with_machine(
        "behaviour::it_runs_with_the_rights_that_are_promised",
        |machine| {
            install_configured(machine);
            let pid = machine.main_pid();
            let status = machine.sh(&format!("cat /proc/{pid}/status"));
            let user = machine.sh("id -u evenkeel");
            let field = |name: &str| {
                let line = status.lines().find(|line| line.starts_with(name)).unwrap();
                line.split_once(':')
                    .unwrap()
                    .1
                    .split_whitespace()
                    .next()
                    .unwrap()
                    .to_owned()
            };
            assert_eq!(field("Uid"), user.trim());
            assert_ne!(field("Uid"), "0");
            // CAP_NET_BIND_SERVICE is the tenth bit.
            for set in ["CapEff", "CapPrm", "CapBnd", "CapAmb"] {
                assert_eq!(field(set), "0000000000000400", "{set}");
            }
            // Where the manual has a stats socket, its user may make one.
            machine.sh("evenkeel health -S /run/evenkeel/stats.sock");

            assert_eq!(field("NoNewPrivs"), "1");
            assert_eq!(field("Seccomp"), "2");

            // What its user cannot read stays unread, and what it cannot write unwritten.
            machine.write(
                "/etc/evenkeel/shadow.cfg",
                "defaults\n  timeout client 1m\n  timeout server 1m\n  timeout connect 1s\n\
             frontend f\n  mode tcp\n  bind 127.0.0.1:6443\n  acl secret src -f /etc/shadow\n  \
             tcp-request connection reject if secret\n  default_backend b\n\
             backend b\n  mode tcp\n  server s 127.0.0.11:6443\n",
            );
            machine.write(
                "/etc/default/evenkeel",
                "EVENKEEL_CONFIG=/etc/evenkeel/shadow.cfg\n",
            );
            assert!(
                !machine
                    .try_sh("systemctl restart evenkeel")
                    .status
                    .success()
            );
            let journal = machine.journal();
            assert!(
                journal.contains("/etc/shadow")
                    && journal.to_lowercase().contains("permission denied"),
                "{journal}"
            );
        },
    );
}

#[test]
fn its_unit_is_hardened() {
    with_machine("behaviour::its_unit_is_hardened", |machine| {
        install_configured(machine);
        let report = machine.sh("systemd-analyze security --no-pager evenkeel.service | tail -n 1");
        eprintln!("systemd-analyze security: {}", report.trim());
        let score = report
            .split_once(": ")
            .and_then(|(_, rest)| rest.split_whitespace().next());
        let score: f64 = score.unwrap().parse().unwrap();
        assert!(score <= 2.0, "{report}");
    });
}

#[test]
fn a_reload_with_a_mistake_fails_and_says_why() {
    with_machine(
        "behaviour::a_reload_with_a_mistake_fails_and_says_why",
        |machine| {
            install_configured(machine);
            let before = machine.main_pid();
            machine.sh("systemctl reload evenkeel");
            machine.write(
                "/etc/evenkeel/evenkeel.toml",
                CONFIG.replace("backend = \"masters\"", "backend = \"master\""),
            );
            assert!(!machine.try_sh("systemctl reload evenkeel").status.success());
            let journal = machine.journal();
            assert!(journal.contains("evenkeel.toml:4:"), "{journal}");
            assert_eq!(machine.main_pid(), before);
            assert!(machine.is_active());

            // Nor does a new version of the package end the one that serves for one that would not start.
            machine.copy_in(&deb("0.1.0-2"), "/root/newer.deb");
            let said = machine.sh("dpkg -i --force-confold /root/newer.deb 2>&1");
            assert!(
                said.contains("evenkeel.toml:4:") && said.contains("serves on"),
                "{said}"
            );
            assert_eq!(machine.main_pid(), before);
            assert!(machine.is_active());

            machine.write("/etc/evenkeel/evenkeel.toml", CONFIG);
            machine.sh("systemctl reload evenkeel");
            assert_eq!(machine.main_pid(), before);

            // One that cannot give way (here: nobody can tell it to) is restarted if its file is good.
            machine.write(
                "/etc/default/evenkeel",
                "EVENKEEL_OPTIONS=-dM0 --log-format text\n",
            );
            machine.sh("rm /run/evenkeel/master.sock");
            machine.sh("dpkg -i --force-confold /root/newer.deb");
            assert_ne!(machine.main_pid(), before);
            assert!(machine.is_active());
        },
    );
}

#[test]
fn one_that_is_killed_or_hangs_is_started_again() {
    with_machine(
        "behaviour::one_that_is_killed_or_hangs_is_started_again",
        |machine| {
            install_configured(machine);
            // The same as in the unit, sooner.
            machine.sh(
            "mkdir -p /etc/systemd/system/evenkeel.service.d && \
             printf '[Service]\\nWatchdogSec=2\\nWatchdogSignal=SIGKILL\\n' >/etc/systemd/system/evenkeel.service.d/test.conf && \
             systemctl daemon-reload && systemctl restart evenkeel",
        );
            for (signal, result) in [("KILL", "status=9/KILL"), ("STOP", "watchdog")] {
                let before = machine.main_pid();
                machine.sh(&format!("kill -s {signal} {before}"));
                until("another process", || {
                    let active = machine.is_active();
                    Some(machine.main_pid()).filter(|pid| active && *pid != before && *pid != 0)
                });
                assert!(TcpStream::connect(FRONT).is_ok());
                let journal = machine.journal();
                assert!(journal.contains(result), "{signal}: {journal}");
            }
        },
    );
}

#[test]
fn the_journal_has_its_messages_with_priorities_and_one_time() {
    with_machine(
        "behaviour::the_journal_has_its_messages_with_priorities_and_one_time",
        |machine| {
            install(machine, "0.1.0-1");
            machine.sh("systemctl is-active evenkeel");
            // Nobody answers at the sample's addresses.
            let said = until("a message about a server that is down", || {
                let said = machine.sh("journalctl -u evenkeel _COMM=evenkeel -o json --output-fields=PRIORITY,MESSAGE --no-pager");
                said.contains("is DOWN").then_some(said)
            });
            let mut priorities = Vec::new();
            for line in said.lines() {
                let field = |name: &str| {
                    let (_, rest) = line.split_once(&format!("\"{name}\":\""))?;
                    Some(rest.split('"').next().unwrap().to_owned())
                };
                let (Some(priority), Some(message)) = (field("PRIORITY"), field("MESSAGE")) else {
                    panic!("no priority or no text: {line}");
                };
                assert!(
                    !message.starts_with('<'),
                    "a priority is left in the text: {message}"
                );
                let has_time = message
                    .split_whitespace()
                    .next()
                    .unwrap_or("")
                    .contains(':')
                    && message.starts_with(|c: char| c.is_ascii_digit());
                assert!(!has_time, "a second time: {message}");
                priorities.push(priority);
            }
            assert!(
                priorities.iter().any(|level| level == "6" || level == "5"),
                "{said}"
            );
            assert!(
                priorities.iter().any(|level| level <= &"4".to_owned()),
                "{said}"
            );
        },
    );
}

/// `EVENKEEL_CONFIG=/etc/haproxy/haproxy.cfg` with the file that Debian's haproxy brings.
#[test]
fn debians_own_haproxy_cfg_is_served() {
    with_machine("behaviour::debians_own_haproxy_cfg_is_served", |machine| {
        install(machine, "0.1.0-1");
        machine.sh("test -e /etc/haproxy/haproxy.cfg");
        machine.write("/etc/haproxy/haproxy.cfg", debians_haproxy_cfg());
        machine.write(
            "/etc/default/evenkeel",
            "EVENKEEL_CONFIG=/etc/haproxy/haproxy.cfg\n",
        );

        // All that an ordinary user cannot do is said at once, with what to do about it.
        let restarted = machine.try_sh("systemctl restart evenkeel");
        assert!(!restarted.status.success());
        let journal = machine.journal();
        for said in [
            "haproxy.cfg:7:9: cannot chroot to /var/lib/haproxy: ",
            "haproxy.cfg:10:7: cannot become user 'haproxy' ",
            "haproxy.cfg:11:8: cannot become group 'haproxy' ",
            "copy /usr/share/doc/evenkeel/examples/haproxy-drop-in.conf to /etc/systemd/system/evenkeel.service.d/haproxy.conf",
        ] {
            assert!(journal.contains(said), "no '{said}' in {journal}");
        }

        // The first half of that advice, and then what is left of it.
        machine.sh("sed -i '/chroot/d; /^\tuser/d; /^\tgroup/d' /etc/haproxy/haproxy.cfg");
        let restarted = machine.try_sh("systemctl restart evenkeel");
        assert!(!restarted.status.success());
        let journal = machine.journal();
        assert!(
            journal.contains("its directory /run/haproxy must be there")
                && journal.contains("name a place in /run/evenkeel"),
            "{journal}"
        );

        // The other half.
        machine.write("/etc/haproxy/haproxy.cfg", debians_haproxy_cfg());
        machine.sh(
            "mkdir -p /etc/systemd/system/evenkeel.service.d && \
             cp /usr/share/doc/evenkeel/examples/haproxy-drop-in.conf /etc/systemd/system/evenkeel.service.d/haproxy.conf && \
             systemctl daemon-reload && systemctl reset-failed evenkeel; systemctl restart evenkeel",
        );
        let pid = machine.main_pid();
        let user = machine.sh("id -u haproxy");
        let status = machine.sh(&format!("grep Uid /proc/{pid}/status"));
        assert_eq!(
            status.split_whitespace().nth(1),
            Some(user.trim()),
            "{status}"
        );
        let ours = machine.sh(&format!("readlink /proc/{pid}/root"));
        assert_eq!(ours.trim(), "/var/lib/haproxy");
        machine.sh("test -S /run/haproxy/admin.sock");
        assert!(TcpStream::connect(FRONT).is_ok());
        // As keepalived's script asks, whose user is no more than that.
        let user = "setpriv --reuid evenkeel --regid evenkeel --clear-groups";
        machine.sh(&format!("{user} /usr/sbin/evenkeel health"));
        machine.sh(
            "! setpriv --reuid nobody --regid nogroup --clear-groups /usr/sbin/evenkeel health",
        );
        machine.sh("systemctl reload evenkeel");
        assert_eq!(machine.main_pid(), pid);
    });
}

/// Debian's file with a control plane, at the addresses of the tests.
pub(crate) fn debians_haproxy_cfg() -> String {
    include_str!("../../config/debian-default.cfg")
        .replace("10.0.1.10:6443", FRONT)
        .replace("10.0.1.11", "127.0.0.11")
        .replace("10.0.1.12", "127.0.0.12")
}
