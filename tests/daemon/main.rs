//! What the process does toward those who start, stop and watch it, with the real binary.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

#[path = "../support/mod.rs"]
mod support;

mod migration;

use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, kill_process, test_kill_process};

use crate::support::balancer::{Launch, temporary_directory};
use crate::support::lab::visit;
use crate::support::metrics::get;
use crate::support::{Balancer, Lab, Peer, Program, Signal, until};

fn launch(arguments: &[&str]) -> Launch {
    Launch {
        arguments: arguments.iter().map(ToString::to_string).collect(),
        ..Launch::default()
    }
}

/// One listener, one server that may not be there.
fn config(lab: &Lab, front: std::net::SocketAddr) -> String {
    let dead = lab.dead_origin("a");
    format!(
        "{}\nlisten api\n    bind {front}\n    server a {}\n",
        lab.preamble(),
        dead.address()
    )
}

/// A process started without waiting for it; killed when dropped.
struct Started(Child);

impl Drop for Started {
    fn drop(&mut self) {
        // Fails only when it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn no_arguments_print_the_usage_and_fail() {
    let none: [&str; 0] = [];
    let finished = Program::Evenkeel.run(none);
    assert_eq!(finished.code(), 1);
    assert!(finished.stderr.contains("Usage: evenkeel"), "{finished:?}");
    assert_eq!(finished.stdout, "");
}

#[test]
fn a_file_without_listener_has_its_own_exit_code_and_does_not_start() {
    let file = temporary_directory().join("lb.cfg");
    std::fs::write(&file, "global\n    maxconn 10\n").unwrap();
    let file = file.to_str().unwrap();
    assert_eq!(Program::Evenkeel.run(["-c", "-f", file]).code(), 2);
    let started = Program::Evenkeel.run(["-f", file]);
    assert_eq!(started.code(), 1);
    assert!(
        started.stderr.contains("no enabled listener found"),
        "{started:?}"
    );
}

#[test]
fn a_taken_port_is_named_with_its_owner() {
    let lab = Lab::of(Program::Evenkeel);
    let front = lab.address();
    let text = config(&lab, front);
    let first = lab.start(&text);
    let file = first.file("second.cfg");
    std::fs::write(&file, &text).unwrap();

    let second = Program::Evenkeel.run(["-f", file.to_str().unwrap()]);

    assert_eq!(second.code(), 1);
    let expected = format!(
        "frontend 'api' cannot listen on {front}: the port is taken by evenkeel (pid {0}); stop it first, or start \
         with -sf {0} to take over from it",
        first.pid()
    );
    assert!(
        second.stderr.contains(&expected),
        "{expected}\nis not in\n{}",
        second.stderr
    );
}

#[test]
fn debians_unit_starts_reloads_and_stops_it() {
    let lab = Lab::of(Program::Evenkeel);
    let text = config(&lab, lab.address());
    let directory = temporary_directory();
    let pidfile = directory.join("haproxy.pid");
    let socket = directory.join("haproxy-master.sock");
    let (pidfile, socket) = (pidfile.to_str().unwrap(), socket.to_str().unwrap());
    let mut lb = lab.launch(&text, &launch(&["-Ws", "-p", pidfile, "-S", socket]));

    assert!(
        lb.notices()[0].starts_with("READY=1\n"),
        "{:?}",
        lb.notices()
    );
    assert_eq!(
        std::fs::read_to_string(pidfile).unwrap(),
        format!("{}\n", lb.pid())
    );
    let file = lb.file("lb.cfg");
    let checked = Program::Evenkeel.run([
        "-Ws",
        "-f",
        file.to_str().unwrap(),
        "-c",
        "-q",
        "-S",
        socket,
    ]);
    assert_eq!(
        (
            checked.code(),
            checked.stdout.as_str(),
            checked.stderr.as_str()
        ),
        (0, "", "")
    );

    lb.reload(&text);
    lb.reload("nonsense\n");

    let notices = lb.notices();
    let failed = notices
        .iter()
        .filter(|notice| notice.contains("STATUS=Reload failed!"))
        .count();
    assert_eq!(failed, 1, "{notices:?}");
    lb.says("reload failed, everything stays as it was");
    let metrics = lb.metrics();
    assert_eq!(metrics.value("evenkeel_reloads_total", ""), 1.0);
    assert_eq!(metrics.value("evenkeel_failed_reloads_total", ""), 1.0);
    lb.signal(Signal::TERM);
    assert_eq!(lb.exit().code(), Some(0));
}

#[test]
fn signals_end_it_as_they_end_haproxy() {
    for (arguments, signal, code, by_signal) in [
        (&["-Ws"][..], Signal::TERM, Some(0), None),
        (&["-W"], Signal::INT, Some(130), None),
        (&["-db"], Signal::TERM, None, Some(15)),
        (&[], Signal::INT, None, Some(2)),
        (&[], Signal::USR1, Some(0), None),
    ] {
        let lab = Lab::of(Program::Evenkeel);
        let mut lb = lab.launch(&config(&lab, lab.address()), &launch(arguments));
        lb.signal(signal);
        let status = lb.exit();
        assert_eq!(
            (status.code(), status.signal()),
            (code, by_signal),
            "{arguments:?} {signal:?}"
        );
    }
}

#[test]
fn other_signals_do_no_harm() {
    let lab = Lab::of(Program::Evenkeel);
    let origin = lab.origin("a");
    let front = lab.address();
    let text = format!(
        "{}\nlisten api\n    bind {front}\n    server a {}\n",
        lab.preamble(),
        origin.address()
    );
    let mut lb = lab.start(&text);
    for signal in [Signal::TTIN, Signal::TTOU, Signal::QUIT, Signal::PIPE] {
        lb.signal(signal);
        assert_eq!(visit(front), "a");
    }
    assert!(lb.is_running());
}

#[test]
fn a_daemon_is_bound_before_its_parent_ends_and_gives_way_to_a_successor() {
    let lab = Lab::of(Program::Evenkeel);
    let front = lab.address();
    let directory = temporary_directory();
    let (file, pidfile) = (directory.join("lb.cfg"), directory.join("pid"));
    std::fs::write(&file, config(&lab, front)).unwrap();
    let (file, pidfile) = (file.to_str().unwrap(), pidfile.to_str().unwrap());

    // With pipes for its output, which the daemon must not keep open.
    let parent = Program::Evenkeel.run(["-D", "-f", file, "-p", pidfile]);

    assert_eq!(parent.code(), 0, "{parent:?}");
    TcpStream::connect(front).unwrap();
    let pid = pid_in(Path::new(pidfile)).expect("the parent ends after the pid file is written");

    let mut successor = Program::Evenkeel.command();
    successor
        .args(["-f", file, "-q", "-sf", &pid.as_raw_nonzero().to_string()])
        .stdin(Stdio::null());
    let _successor = Started(successor.spawn().unwrap());

    until("the daemon has gone", || {
        test_kill_process(pid).is_err().then_some(())
    });
    TcpStream::connect(front).unwrap();
}

#[test]
fn a_daemon_that_cannot_start_is_told_by_its_parent() {
    let lab = Lab::of(Program::Evenkeel);
    let directory = temporary_directory();
    let (file, pidfile) = (directory.join("lb.cfg"), directory.join("pid"));
    let first = lab.address().port().min(60_000);
    std::fs::write(
        &file,
        format!(
            "global\n    maxconn 1\n    nbthread 1\n    nosplice\nlisten api\n    bind {}:{first}-{}\n    server a 127.0.0.1:1\n",
            lab.ip(),
            first + 99
        ),
    )
    .unwrap();
    // As many as are needed, were there not those that the starter left open: they leave room for
    // the sockets, and none for what comes after the fork.
    let script =
        "ulimit -n 410 && for i in {10..250}; do eval \"exec $i</dev/null\"; done && exec \"$@\"";
    let mut command = Command::new("bash");
    command
        .args(["-c", script, "bash"])
        .arg(Program::Evenkeel.command().get_program())
        .args([
            "-D",
            "-f",
            file.to_str().unwrap(),
            "-p",
            pidfile.to_str().unwrap(),
        ]);

    let parent = command.output().unwrap();

    let said = String::from_utf8_lossy(&parent.stderr);
    assert_eq!(parent.status.code(), Some(1), "{said}");
    assert!(said.contains("cannot start the proxy: "), "{said}");
    assert_eq!(std::fs::read_to_string(pidfile).unwrap(), "");
}

fn pid_in(file: &Path) -> Option<Pid> {
    Pid::from_raw(std::fs::read_to_string(file).ok()?.trim().parse().ok()?)
}

#[test]
fn the_admin_address_answers_three_pages() {
    let lab = Lab::of(Program::Evenkeel);
    let origin = lab.origin("a");
    let front = lab.address();
    let text = format!(
        "{}\nlisten api\n    bind {front}\n    server a {}\nbackend spare\n    server b 127.0.0.1:1 disabled\n",
        lab.preamble(),
        origin.address()
    );
    let lb = lab.start(&text);
    assert_eq!(visit(front), "a");

    let page = |path: &str| get(lb.admin(), path);

    let (head, body) = page("/metrics");
    assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
    assert!(
        head.to_lowercase()
            .contains("content-type: text/plain; version=0.0.4"),
        "{head}"
    );
    assert!(
        body.contains("\nhaproxy_frontend_sessions_total{proxy=\"api\"} 1\n"),
        "{body}"
    );
    assert!(
        body.contains("\nevenkeel_bind_address_present{proxy=\"api\""),
        "{body}"
    );
    assert!(page("/healthz").0.starts_with("HTTP/1.1 200 OK"));
    let (head, body) = page("/readyz");
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
    assert_eq!(body, "no usable server: spare\n");
    assert!(page("/nothing").0.starts_with("HTTP/1.1 404 "));
}

#[test]
fn series_go_with_their_proxy() {
    let lab = Lab::of(Program::Evenkeel);
    let origin = lab.origin("a");
    let front = lab.address();
    let section = |name: &str| {
        format!(
            "{}\nlisten {name}\n    bind {front}\n    server a {}\n",
            lab.preamble(),
            origin.address()
        )
    };
    let lb = lab.start(&section("before"));
    assert_eq!(visit(front), "a");
    let count = "evenkeel_session_duration_seconds_count{proxy=\"before\"} 1";
    until("the session is counted", || {
        get(lb.admin(), "/metrics").1.contains(count).then_some(())
    });

    lb.reload(&section("after"));

    let body = get(lb.admin(), "/metrics").1;
    assert!(!body.contains("=\"before\""), "{body}");
    assert!(body.contains("proxy=\"after\""), "{body}");
}

#[test]
fn a_draining_process_keeps_its_sessions_and_says_that_it_is_not_ready() {
    let lab = Lab::of(Program::Evenkeel);
    let echo = lab.echo();
    let front = lab.address();
    let text = format!(
        "{}\nlisten api\n    bind {front}\n    server a {}\n",
        lab.preamble(),
        echo.address()
    );
    let mut lb: Balancer = lab.start(&text);
    let mut client = Peer::connect(front);
    client.send("one");
    assert_eq!(client.receive_exactly(3), b"one");

    lb.signal(Signal::USR1);

    until("newcomers are refused", || {
        TcpStream::connect(front).is_err().then_some(())
    });
    assert_eq!(get(lb.admin(), "/readyz").1, "draining\n");
    client.send("two");
    assert_eq!(client.receive_exactly(3), b"two");
    assert!(lb.is_running());
    client.close();
    assert_eq!(lb.exit().code(), Some(0));
}

#[test]
fn the_demo_starts_shows_who_answers_and_ends() {
    let mut command = Program::Evenkeel.command();
    command
        .arg("demo")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut demo = Started(command.spawn().unwrap());
    {
        use std::io::Write as _;
        demo.0.stdin.take().unwrap().write_all(b"k1\nq\n").unwrap();
    }
    let mut said = String::new();
    std::io::Read::read_to_string(&mut demo.0.stdout.take().unwrap(), &mut said).unwrap();
    assert_eq!(demo.0.wait().unwrap().code(), Some(0));
    let answers: Vec<&str> = said
        .lines()
        .filter_map(|line| line.strip_prefix("4 requests, answered by: "))
        .collect();
    let [before, after] = answers[..] else {
        panic!("{said}")
    };
    assert_eq!(
        (
            before.matches("master1").count(),
            before.matches("master2").count()
        ),
        (2, 2),
        "{said}"
    );
    assert_eq!(after, "master2, master2, master2, master2", "{said}");
}

#[test]
fn the_demo_ends_by_sigint_without_a_terminal() {
    let mut command = Program::Evenkeel.command();
    command
        .arg("demo")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut demo = Started(command.spawn().unwrap());
    let mut said = std::io::BufReader::new(demo.0.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains("answered by") {
        line.clear();
        assert!(
            std::io::BufRead::read_line(&mut said, &mut line).unwrap() > 0,
            "the demo ended early"
        );
    }
    kill_process(Pid::from_child(&demo.0), Signal::INT).unwrap();
    assert_eq!(demo.0.wait().unwrap().code(), Some(0));
}
