//! What is written where: syslog over UDP, a Unix socket, the standard streams; levels and tags.

use std::os::unix::net::UnixDatagram;

use crate::support::balancer::{temporary_directory, until_metrics};
use crate::support::lab::visit;
use crate::support::{Lab, Peer, Program, Signal};

#[test]
fn a_session_is_one_line_of_tcplog() {
    let lab = Lab::new();
    let echo = lab.echo();
    let front = lab.address();
    let lb = lab.start(&format!(
        "{}\nfrontend fe\n    bind {front}\n    default_backend be\nbackend be\n    server s1 {}\n",
        lab.preamble(),
        echo.address()
    ));
    let mut peer = Peer::connect(front);
    let client = peer.address();
    peer.send("hello");
    peer.receive_exactly(5);
    peer.close();

    let session = lab.syslog.session();
    assert_eq!(
        (
            session.frontend.as_str(),
            session.backend.as_str(),
            session.server.as_str()
        ),
        ("fe", "be", "s1")
    );
    assert_eq!((session.bytes, session.end.as_str()), (5, "--"));
    assert_eq!(
        (session.connections.as_str(), session.retries.as_str()),
        ("1/1/0/0", "0")
    );
    let message = lab.syslog.containing("fe be/s1");
    assert_eq!((message.facility, message.level), (16, 6));
    assert_eq!((message.tag.as_str(), message.pid), ("evenkeel", lb.pid()));
    assert!(
        message.text.starts_with(&format!("{client} [")),
        "{}",
        message.text
    );
    assert_eq!(lab.syslog.sessions().len(), 1);
}

#[test]
fn log_tag_names_the_program() {
    let lab = Lab::new();
    let origin = lab.origin("a");
    let front = lab.address();
    let _lb = lab.start(&format!(
        "
global
    {log}
    log-tag haproxy
{defaults}
listen api
    bind {front}
    server s1 {origin}
",
        log = lab.log(),
        defaults = lab.defaults(),
        origin = origin.address()
    ));
    visit(front);
    assert_eq!(lab.syslog.containing("api/s1").tag, "haproxy");
}

#[test]
fn a_target_gets_what_is_at_least_as_severe_as_its_level() {
    let lab = Lab::new();
    let severe = crate::support::syslog::Syslog::start(lab.ip());
    let mut dies = lab.origin("dies");
    let front = lab.address();
    let _lb = lab.start(&format!(
        "
global
    {log}
    log {severe} local1 alert
{defaults}
listen api
    bind {front}
    server dies {dies} check inter 100ms fall 1 rise 1
",
        log = lab.log(),
        severe = severe.address(),
        defaults = lab.defaults(),
        dies = dies.address()
    ));
    visit(front);
    lab.syslog.session();
    dies.die();
    assert_eq!(severe.containing("is DOWN").facility, 17);
    dies.revive();
    lab.syslog.containing("is UP");
    // What a less severe level says has gone to the other target alone.
    assert!(
        severe.all().iter().all(|message| message.level <= 1),
        "{:#?}",
        severe.all()
    );
}

#[test]
fn stdout_gets_the_text_alone() {
    let lab = Lab::new();
    let origin = lab.origin("a");
    let front = lab.address();
    let lb = lab.start(&format!(
        "
global
    log stdout format raw local0
{defaults}
listen api
    bind {front}
    server s1 {origin}
",
        defaults = lab.defaults(),
        origin = origin.address()
    ));
    visit(front);
    let line = lb.says("api/s1");
    assert!(line.starts_with("127."), "{line}");
    assert!(
        crate::support::tcplog::Session::parse(&line).is_some(),
        "{line}"
    );
}

#[test]
fn a_unix_socket_as_dev_log() {
    let lab = Lab::new();
    let origin = lab.origin("a");
    let front = lab.address();
    let directory = temporary_directory();
    let path = directory.join("log");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket
        .set_read_timeout(Some(crate::support::PATIENCE))
        .unwrap();
    let _lb = lab.start(&format!(
        "
global
    log {path} daemon
{defaults}
listen api
    bind {front}
    server s1 {origin}
",
        path = path.display(),
        defaults = lab.defaults(),
        origin = origin.address()
    ));
    visit(front);
    let mut buffer = [0; 4096];
    let length = socket.recv(&mut buffer).unwrap();
    let text = String::from_utf8_lossy(&buffer[..length]);
    // daemon (3) * 8 + info (6).
    assert!(
        text.starts_with("<30>") && text.contains("api/s1"),
        "{text}"
    );
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn a_receiver_that_is_gone_costs_nobody_a_connection() {
    let lab = Lab::new();
    let origin = lab.origin("a");
    let front = lab.address();
    let nobody = crate::support::loopback::free_udp(lab.ip());
    let _lb = lab.start(&format!(
        "
global
    log {nobody} local0
{defaults}
listen api
    bind {front}
    server s1 {origin}
",
        defaults = lab.defaults(),
        origin = origin.address()
    ));
    for _ in 0..50 {
        assert_eq!(visit(front), "a");
    }
}

#[test]
fn a_udp_receiver_out_of_reach_is_named_once() {
    let lab = Lab::of(Program::Evenkeel);
    let origin = lab.origin("a");
    let front = lab.address();
    let mut lb = lab.start(&format!(
        "
global
    log 255.255.255.255:514 local0
{defaults}
listen l
    bind {front}
    server s1 {}
",
        origin.address(),
        defaults = lab.defaults()
    ));
    for _ in 0..3 {
        assert_eq!(visit(front), "a");
    }
    until_metrics(&lb, "lines are lost", |metrics| {
        metrics.value("haproxy_process_dropped_logs_total", "") >= 3.0
    });
    let named = lb.says("log messages are lost: cannot send to 255.255.255.255:514: ");
    lb.signal(Signal::TERM);
    lb.exit();
    let lines = lb.output();
    let times = lines.iter().filter(|line| line.contains("are lost"));
    assert_eq!(times.collect::<Vec<_>>(), [&named]);
}
