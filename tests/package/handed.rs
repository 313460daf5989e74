//! What systemd hands over and takes: several sockets of one .socket unit, a Unix socket and the admin
//! address among them, and lines to /dev/log, which is the journal's.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;

use crate::load::start_masters;
use crate::machine::{Machine, with_machine};
use crate::parcel::{FRONT, MASTERS, install};
use crate::support::until;

const UNIX: &str = "/run/front.sock";

fn configure(machine: &Machine) {
    start_masters();
    install(machine, "0.1.0-1");
    let [master, _] = MASTERS;
    machine.write(
        "/etc/evenkeel/lb.cfg",
        format!(
            "global\n    log /dev/log local0\ndefaults\n    mode tcp\n    log global\n    option tcplog\n    \
             timeout connect 1s\n    timeout client 10s\n    timeout server 10s\n\
             listen api\n    bind {FRONT}\n    bind unix@{UNIX}\n    server master1 {master} check\n    \
             server dead 127.0.0.13:6443 check\n"
        ),
    );
    machine.write(
        "/etc/default/evenkeel",
        "EVENKEEL_CONFIG=/etc/evenkeel/lb.cfg\nEVENKEEL_OPTIONS=--admin 127.0.0.1:9101\n",
    );
    // Its user may make no socket there: only systemd can.
    machine.write(
        "/etc/systemd/system/evenkeel.socket",
        format!(
            "[Socket]\nListenStream={FRONT}\nListenStream=127.0.0.1:9101\nListenStream={UNIX}\n"
        ),
    );
    machine.sh(
        "systemctl daemon-reload && systemctl stop evenkeel && systemctl reset-failed && \
         systemctl start evenkeel.socket && systemctl start evenkeel",
    );
}

#[test]
fn sockets_of_a_socket_unit_are_served_also_after_a_restart() {
    with_machine(
        "handed::sockets_of_a_socket_unit_are_served_also_after_a_restart",
        |machine| {
            configure(machine);
            for _ in 0..2 {
                let mut stream = TcpStream::connect(FRONT).unwrap();
                assert_eq!(echoed(&mut stream), "ping");
                let path = format!("/proc/{}/root{UNIX}", machine.leader());
                let mut stream = UnixStream::connect(path).unwrap();
                stream.write_all(b"ping").unwrap();
                let mut answer = [0; 4];
                stream.read_exact(&mut answer).unwrap();
                assert_eq!(&answer, b"ping");
                machine.sh("evenkeel health --admin 127.0.0.1:9101");
                let before = machine.main_pid();
                machine.sh("systemctl restart evenkeel");
                assert_ne!(machine.main_pid(), before);
            }
            assert!(!machine.journal().contains("is neither a 'bind'"));
            // The unit is still there: who comes has it started.
            machine.sh("systemctl stop evenkeel");
            let mut stream = TcpStream::connect(FRONT).unwrap();
            assert_eq!(echoed(&mut stream), "ping");
        },
    );
}

fn echoed(stream: &mut TcpStream) -> String {
    stream.write_all(b"ping").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn lines_to_dev_log_are_in_the_journal_once() {
    with_machine(
        "handed::lines_to_dev_log_are_in_the_journal_once",
        |machine| {
            configure(machine);
            let mut stream = TcpStream::connect(FRONT).unwrap();
            let port = stream.local_addr().unwrap().port();
            assert_eq!(echoed(&mut stream), "ping");
            let pid = machine.main_pid();
            let said = until("the lines of a session and of a server", || {
                let said = machine.sh(&format!("journalctl --no-pager -o cat _PID={pid}"));
                let is_there = said.contains(&format!("127.0.0.1:{port} ["))
                    && said.contains("Server api/dead is DOWN");
                is_there.then_some(said)
            });
            // What comes later stands behind it, so that nothing is still on its way.
            machine.sh("systemctl stop evenkeel && journalctl --sync");
            let all = machine.sh("journalctl --no-pager -o cat");
            for line in [
                format!("127.0.0.1:{port} ["),
                "Server api/dead is DOWN".to_owned(),
            ] {
                let times = all.matches(&line).count();
                // Each start has told of the server once.
                assert_eq!(times, said.matches(&line).count(), "{line}: {all}");
                assert_eq!(said.matches(&line).count(), 1, "{line}: {said}");
            }
            let local0 = machine.sh(&format!(
                "journalctl --no-pager -o cat _PID={pid} SYSLOG_FACILITY=16"
            ));
            assert!(local0.contains(&format!("127.0.0.1:{port} [")), "{local0}");
        },
    );
}
