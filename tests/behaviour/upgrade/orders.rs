//! What an upgrade does to what commands asked for: it stays, also where a reload would end it.

use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use super::*;
use crate::support::PATIENCE;
use crate::support::peer::Received;

fn start(lab: &Lab, front: SocketAddr, streams: SocketAddr) -> (Line, [crate::support::Origin; 2]) {
    let servers = [lab.origin("a"), lab.echo()];
    let [a, echo] = [servers[0].address(), servers[1].address()];
    (
        Line::start(lab, &config(lab, front, streams, [a, a, echo])),
        servers,
    )
}

fn is_refused(address: SocketAddr) -> bool {
    Peer::try_connect(address).is_err()
}

#[test]
fn a_disabled_frontend_stays_disabled_until_a_command_or_a_reload() {
    let lab = Lab::of(Program::Evenkeel);
    let (front, streams) = (lab.address(), lab.address());
    let (line, _servers) = start(&lab, front, streams);
    line.ask("disable frontend api");
    assert!(is_refused(front));
    for _ in 0..2 {
        line.follow(&lab);
        assert!(is_refused(front));
        assert_eq!(line.stat("api", "FRONTEND", "status"), "PAUSED");
    }
    line.ask("enable frontend api");
    assert_eq!(visit(front), "a");
    line.follow(&lab);
    assert_eq!(visit(front), "a");

    line.ask("disable frontend api");
    line.follow(&lab);
    assert!(is_refused(front));
    assert!(ask(&line.master, "reload").starts_with("Success=1"));
    assert_eq!(visit(front), "a");
}

/// Its port is free for others.
#[test]
fn a_frontend_that_was_shut_down_stays_so_until_a_reload() {
    let lab = Lab::of(Program::Evenkeel);
    let (front, streams) = (lab.address(), lab.address());
    let (line, _servers) = start(&lab, front, streams);
    line.ask("shutdown frontend streams");
    let another = until("the port is free", || TcpListener::bind(streams).ok());
    for _ in 0..2 {
        line.follow(&lab);
        assert_eq!(line.stat("streams", "FRONTEND", "status"), "STOP");
        assert_eq!(visit(front), "a");
    }
    drop(another);
    assert!(is_refused(streams));
    assert!(ask(&line.master, "reload").starts_with("Success=1"));
    let mut stream = Peer::connect(streams);
    stream.send("x");
    assert_eq!(stream.receive_exactly(1), b"x");
}

#[test]
fn limits_that_commands_set_stay_until_a_reload() {
    let lab = Lab::of(Program::Evenkeel);
    let (front, streams) = (lab.address(), lab.address());
    let (line, _servers) = start(&lab, front, streams);
    let limits = || {
        let info = line.ask("show info");
        let maxconn = info.lines().find(|line| line.starts_with("Maxconn: "));
        let frontends = ["api", "streams"].map(|proxy| line.stat(proxy, "FRONTEND", "slim"));
        (maxconn.unwrap().to_owned(), frontends)
    };
    let usual = limits();
    line.ask("set maxconn frontend api 17");
    line.ask("set maxconn global 99");
    let set = limits();
    assert_eq!(
        set,
        (
            "Maxconn: 99".to_owned(),
            ["17".to_owned(), usual.1[1].clone()]
        )
    );
    for _ in 0..2 {
        line.follow(&lab);
        assert_eq!(limits(), set);
    }
    assert!(ask(&line.master, "reload").starts_with("Success=1"));
    assert_eq!(limits(), usual);
}

#[test]
fn all_that_commands_set_of_servers_stays() {
    let lab = Lab::of(Program::Evenkeel);
    let heard = Arc::new(Mutex::new(Vec::new()));
    let agent = lab.serving({
        let heard = heard.clone();
        move |mut peer| {
            if let Received::Data(bytes) = peer.receive(PATIENCE) {
                heard
                    .lock()
                    .unwrap()
                    .push(String::from_utf8(bytes).unwrap());
            }
            peer.send("up\n");
        }
    });
    let [a, b] = lab.origins(["a", "b"]);
    let text = format!(
        "{}\nlisten api\n    bind {}\n    balance roundrobin\n    server a {a} check inter 1h agent-check \
         agent-inter 50ms agent-port 1 agent-addr {ip} agent-send file\n    server b {b}\n    \
         server c {b}\n    server d {b} check inter 1h\n",
        lab.preamble(),
        lab.address(),
        a = a.address(),
        b = b.address(),
        ip = lab.ip(),
    );
    let line = Line::start(&lab, &text);
    let port = agent.address().port();
    for command in [
        &*format!("set server api/a agent-port {port}"),
        "set server api/a agent-send said",
        "set server api/a check-addr 127.0.0.9",
        "set server api/a check-port 77",
        "set server api/b state drain",
        "set server api/b addr 127.0.0.8 port 1234",
        "set server api/c addr 127.0.0.8 port +1",
        "set server api/c weight 50",
        "disable health api/d",
        "set server api/d state maint",
    ] {
        line.ask(command);
    }
    // All but what time and checks change.
    let state = || {
        let state = line.ask("show servers state");
        let kept = |line: &str| {
            let fields = line.split(' ').enumerate();
            let kept = fields.filter(|(at, _)| ![5, 9, 10, 11, 12, 13].contains(at));
            kept.map(|(_, field)| field.to_owned()).collect::<Vec<_>>()
        };
        state.lines().map(kept).collect::<Vec<_>>()
    };
    let said = |words: &str| {
        heard.lock().unwrap().clear();
        until("the agent is asked", || {
            let heard = heard.lock().unwrap();
            heard.last().filter(|last| *last == words).map(drop)
        });
    };
    said("said");
    let before = state();
    assert!(
        before.concat().contains(&"127.0.0.9".to_owned()),
        "{before:?}"
    );
    line.follow(&lab);
    assert_eq!(state(), before);
    heard.lock().unwrap().clear();
    said("said");
    assert!(!heard.lock().unwrap().contains(&"file".to_owned()));
}
