//! Commands on the stats socket: the same lines get the same answers.

use std::path::PathBuf;

use crate::compare::same;
use crate::support::cli::ask;
use crate::support::{Balancer, Lab};

/// Each one after the other, on the same process.
const COMMANDS: &[&str] = &[
    "",
    "show cli level",
    "show cli level;show cli level",
    "show backend",
    "disable server",
    "disable server nope/s1",
    "disable server be/nope",
    "disable server be/s1",
    "enable server be/s1",
    "enable health be/s2",
    "enable agent be/s1",
    "disable agent be/s1",
    "set server be/s1",
    "set server be/s1 state foo",
    "set server be/s1 state drain",
    "set server be/s1 state maint",
    "set server be/s1 state ready",
    "set server be/s1 health foo",
    "set server be/s2 health down",
    "set server be/s2 health up",
    "set server be/s1 agent up",
    "set server be/s1 weight",
    "set server be/s1 weight foo",
    "set server be/s1 weight 300",
    "set server be/s1 weight 20",
    "get weight be/s1",
    "set server be/s2 weight 50%",
    "get weight be/s2",
    "get weight be",
    "set weight be/s1 1x",
    "set server be/s1 addr",
    "set server be/s1 addr foo",
    "set server be/s1 addr 127.0.0.1",
    "set server be/s1 addr 127.0.0.2 port 99",
    "set server be/s1 addr 127.0.0.2 port foo",
    "set server be/s2 check-port 1",
    "set server be/s1 fqdn",
    "set maxconn server be/s1",
    "set maxconn server be/s1 foo",
    "set maxconn server be/s1 5",
    "set maxconn frontend nope 5",
    "set maxconn frontend fe 50",
    "set maxconn global 100000",
    "set maxconn global 50",
    "shutdown session",
    "shutdown session 0x1",
    "shutdown sessions server be/s1",
    "clear counters",
    "clear counters all",
    "set timeout cli x",
    "set severity-output number;get weight be/nope",
    "operator;show cli level;set maxconn global 5",
    "user;show env",
    "show env NO_SUCH_VARIABLE",
    "show servers state nope",
    "show stat nope 4 1",
    "show table x",
    "quit",
];

fn start(lab: &Lab) -> (Balancer, PathBuf) {
    let socket = crate::support::balancer::temporary_directory().join("cli");
    let lb = lab.start(&format!(
        "
global
    maxconn 1000
    stats socket {socket} level admin
{defaults}
frontend fe
    bind {front}
    default_backend be
backend be
    server s1 127.0.0.1:1
    server s2 127.0.0.1:2 weight 10
",
        socket = socket.display(),
        defaults = lab.defaults(),
        front = lab.address(),
    ));
    (lb, socket)
}

#[test]
fn commands_are_answered_to_the_byte() {
    same("commands_are_answered_to_the_byte", |lab| {
        let (_lb, socket) = start(lab);
        let answers = COMMANDS.iter().map(|line| (*line, ask(&socket, line)));
        answers.collect::<Vec<_>>()
    });
}

/// Statistics and states after some changes, without what belongs to the moment or the program.
#[test]
fn what_servers_are_is_shown_alike() {
    let shown = same("what_servers_are_is_shown_alike", |lab| {
        let (_lb, socket) = start(lab);
        ask(&socket, "set server be/s1 state drain");
        ask(&socket, "set server be/s2 weight 50%");
        let state = ask(&socket, "show servers state be");
        let stat = ask(&socket, "show stat be 6 -1");
        // Whatever follows '-' is of HAProxy's modules.
        let columns = stat.lines().map(|line| {
            let fields: Vec<&str> = line.split(',').take(112).collect();
            let timeless = |(at, field): (usize, &&str)| match at {
                23 | 24 => String::new(),
                _ => (*field).to_owned(),
            };
            fields.iter().enumerate().map(timeless).collect::<Vec<_>>()
        });
        let states = state.lines().map(|line| {
            let words = line.split(' ').enumerate();
            // The time since the last change.
            words
                .filter(|(at, _)| *at != 9)
                .map(|(_, word)| word.to_owned())
                .collect::<Vec<_>>()
        });
        (columns.collect::<Vec<_>>(), states.collect::<Vec<_>>())
    });
    if let Some((columns, _)) = shown {
        assert!(columns.len() >= 4, "{columns:?}");
    }
}

#[test]
fn a_disabled_frontend_refuses_until_it_is_enabled() {
    let seen = same("a_disabled_frontend_refuses", |lab| {
        let socket = crate::support::balancer::temporary_directory().join("cli");
        let [origin] = lab.origins(["a"]);
        let front = lab.address();
        let _lb = lab.start(&format!(
            "
global
    maxconn 1000
    stats socket {socket} level admin
{defaults}
frontend fe
    bind {front}
    default_backend be
backend be
    server s1 {origin}
",
            socket = socket.display(),
            defaults = lab.defaults(),
            origin = origin.address(),
        ));
        let visit = || {
            std::net::TcpStream::connect(front)
                .map_err(|error| error.kind())
                .is_ok()
        };
        let status = || {
            let stat = ask(&socket, "show stat fe 1 -1");
            stat.lines()
                .nth(1)
                .map(|line| line.split(',').nth(17).map(str::to_owned))
        };
        let mut seen = vec![(String::new(), visit(), status())];
        for command in [
            "disable frontend fe",
            "enable frontend fe",
            "disable frontend fe",
            "enable frontend fe",
        ] {
            let answer = ask(&socket, command);
            seen.push((answer, visit(), status()));
        }
        seen
    });
    if let Some(seen) = seen {
        let let_in: Vec<bool> = seen.iter().map(|(_, is_let_in, _)| *is_let_in).collect();
        assert_eq!(let_in, [true, false, true, false, true]);
    }
}
