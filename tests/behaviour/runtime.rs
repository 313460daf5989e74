//! Commands on a stats socket: they change what clients meet, show and end sessions, keep to
//! levels, and survive a restart through a state file.

use crate::support::balancer::temporary_directory;
use crate::support::cli::ask;
use crate::support::lab::visit;
use crate::support::{Lab, Peer, Signal, until};

#[test]
fn a_server_in_maintenance_gets_no_clients_until_it_is_ready() {
    let lab = Lab::new();
    let (only, front) = (lab.origin("only"), lab.address());
    let socket = temporary_directory().join("cli");
    let _lb = lab.start(&format!(
        "global\n    stats socket {} level admin\n{}\nlisten be\n    bind {front}\n    server s {}\n",
        socket.display(),
        lab.defaults(),
        only.address()
    ));
    assert_eq!(visit(front), "only");
    assert_eq!(ask(&socket, "set server be/s state maint"), "\n");
    assert_eq!(visit(front), "");
    assert!(ask(&socket, "show stat be 4 -1").contains(",MAINT,"));
    assert_eq!(ask(&socket, "set server be/s state ready"), "\n");
    assert_eq!(visit(front), "only");
}

#[test]
fn a_disabled_frontend_accepts_nobody_until_it_is_enabled() {
    let lab = Lab::new();
    let (only, front) = (lab.origin("only"), lab.address());
    let socket = temporary_directory().join("cli");
    let lb = lab.start(&format!(
        "global\n    stats socket {} level admin\n{}\nlisten be\n    bind {front}\n    server s {}\n",
        socket.display(),
        lab.defaults(),
        only.address()
    ));
    assert_eq!(visit(front), "only");
    assert_eq!(ask(&socket, "disable frontend be"), "\n");
    assert_eq!(
        ask(&socket, "disable frontend be"),
        "All sockets are already disabled.\n\n"
    );
    assert!(ask(&socket, "show stat be 1 -1").contains(",PAUSED,"));
    assert!(std::net::TcpStream::connect(front).is_err());
    assert_eq!(ask(&socket, "enable frontend be"), "\n");
    assert_eq!(visit(front), "only");
    assert!(ask(&socket, "show stat be 1 -1").contains(",OPEN,"));
    // A reload ends it, too.
    assert_eq!(ask(&socket, "disable frontend be"), "\n");
    lb.signal(Signal::USR2);
    until("it listens again", || {
        std::net::TcpStream::connect(front).ok()
    });
    assert_eq!(visit(front), "only");
}

#[test]
fn a_frontend_that_was_shut_down_closes_its_sockets_for_good() {
    let lab = Lab::new();
    let (echo, front) = (lab.echo(), lab.address());
    let socket = temporary_directory().join("cli");
    let _lb = lab.start(&format!(
        "global\n    stats socket {} level admin\n{}\nlisten be\n    bind {front}\n    server s {}\n",
        socket.display(),
        lab.defaults(),
        echo.address()
    ));
    let mut peer = Peer::connect(front);
    peer.send("x");
    peer.receive_exactly(1);
    assert_eq!(ask(&socket, "shutdown frontend be"), "\n");
    assert!(ask(&socket, "show stat be 1 -1").contains(",STOP,"));
    assert_eq!(
        ask(&socket, "enable frontend be"),
        "Frontend was previously shut down, cannot enable.\n\n"
    );
    // Its sessions go on.
    peer.send("y");
    peer.receive_exactly(1);
    while std::net::TcpStream::connect(front).is_ok() {
        std::thread::yield_now();
    }
}

#[test]
fn a_session_is_listed_and_ended_by_its_id() {
    let lab = Lab::new();
    let (echo, front) = (lab.echo(), lab.address());
    let socket = temporary_directory().join("cli");
    let _lb = lab.start(&format!(
        "global\n    {}\n    stats socket {} level admin\n{}\nlisten be\n    bind {front}\n    server s {}\n",
        lab.log(),
        socket.display(),
        lab.defaults(),
        echo.address()
    ));
    let mut peer = Peer::connect(front);
    peer.send("x");
    peer.receive_exactly(1);
    let listed = ask(&socket, "show sess");
    assert!(listed.contains(" fe=be be=be srv=s "), "{listed}");
    let id = listed.split(':').next().unwrap();
    assert_eq!(ask(&socket, &format!("shutdown session {id}")), "\n");
    peer.receive_to_end();
    assert_eq!(lab.syslog.session().end, "KC");
    assert_eq!(
        ask(&socket, &format!("shutdown session {id}")),
        "No such session (use 'show sess').\n\n"
    );
}

#[test]
fn levels_bound_what_a_visitor_may_do() {
    let lab = Lab::new();
    let (front, directory) = (lab.address(), temporary_directory());
    let socket = |name: &str| directory.join(name);
    let _lb = lab.start(&format!(
        "global\n    stats socket {} level user\n    stats socket {}\n{}\nlisten be\n    bind {front}\n    server s 127.0.0.1:1\n",
        socket("user").display(),
        socket("operator").display(),
        lab.defaults(),
    ));
    let denied = "Permission denied\n\n";
    assert_eq!(ask(&socket("user"), "clear counters"), denied);
    assert_eq!(ask(&socket("operator"), "clear counters"), "\n");
    assert_eq!(ask(&socket("user"), "show startup-logs"), denied);
    assert_ne!(ask(&socket("operator"), "show startup-logs"), denied);
    assert_ne!(ask(&socket("user"), "show table"), denied);
    assert_eq!(ask(&socket("operator"), "disable server be/s"), denied);
    assert!(!ask(&socket("user"), "show stat").contains("127.0.0.1:1"));
    assert!(ask(&socket("operator"), "show stat").contains("127.0.0.1:1"));
}

#[test]
fn a_server_in_maintenance_stays_so_over_a_restart() {
    let lab = Lab::new();
    let (front, directory) = (lab.address(), temporary_directory());
    let (socket, state) = (directory.join("cli"), directory.join("state"));
    let config = format!(
        "global\n    stats socket {} level admin\n    server-state-file {}\n{}    load-server-state-from-file global\n\
         listen be\n    bind {front}\n    server s {}\n",
        socket.display(),
        state.display(),
        lab.defaults(),
        lab.origin("only").address(),
    );
    std::fs::write(&state, "of something else\n").unwrap();
    let first = lab.start(&config);
    first.says("this is no state of servers");
    ask(&socket, "disable server be/s");
    std::fs::write(&state, ask(&socket, "show servers state")).unwrap();
    drop(first);
    let _second = lab.start(&config);
    assert!(ask(&socket, "show stat be 4 -1").contains(",MAINT,"));
    assert_eq!(visit(front), "");
}
