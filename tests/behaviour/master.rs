//! The master's socket (`-S`): HAProxy's master CLI, whose master and workers are one process here.
//! What it says is compared with HAProxy in tests/differential/master.rs.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::PathBuf;

use crate::support::balancer::{Launch, temporary_directory};
use crate::support::cli::ask;
use crate::support::lab::visit;
use crate::support::{Balancer, Lab, PATIENCE, Peer, Program, Signal, until};

fn socket() -> PathBuf {
    temporary_directory().join("master")
}

fn launch(arguments: &[&str]) -> Launch {
    Launch {
        arguments: arguments.iter().map(|&one| one.to_owned()).collect(),
        ..Launch::default()
    }
}

fn config(lab: &Lab, front: SocketAddr, server: SocketAddr) -> String {
    format!(
        "{}\nlisten api\n    bind {front}\n    server s1 {server}\n",
        lab.preamble()
    )
}

fn start(lab: &Lab, master: &str, text: &str) -> Balancer {
    lab.launch(text, &launch(&["-Ws", "-S", master]))
}

#[test]
fn a_reload_says_what_is_wrong_and_where() {
    let lab = Lab::of(Program::Evenkeel);
    let (front, origin, master) = (lab.address(), lab.origin("server"), socket());
    let good = config(&lab, front, origin.address());
    let lb = start(&lab, master.to_str().unwrap(), &good);
    let file = lb.file("lb.cfg");

    let bad = good.replace("server s1", "servre s1");
    std::fs::write(&file, bad.replace("bind", "bnid")).unwrap();
    let answer = ask(&master, "reload");

    let mut lines = answer.lines();
    assert_eq!(lines.next(), Some("Success=0"), "{answer}");
    assert_eq!(lines.next(), Some("--"), "{answer}");
    // All mistakes at once, each with its place.
    let mistakes = lines.filter(|line| line.starts_with("[ALERT] "));
    assert_eq!(mistakes.count(), 2, "{answer}");
    assert!(
        answer.contains("lb.cfg:15:5: unknown keyword 'servre'"),
        "{answer}"
    );
    assert_eq!(
        ask(&master, "show startup-logs"),
        answer["Success=0\n--\n".len()..]
    );
    assert_eq!(visit(front), "server");
    assert_eq!(lb.metrics().value("evenkeel_failed_reloads_total", ""), 1.0);

    // A warning is told, and no obstacle.
    std::fs::write(&file, good.replace("timeout connect 2s", "")).unwrap();
    let answer = ask(&master, "reload");
    assert!(answer.starts_with("Success=1\n--\n"), "{answer}");
    assert!(answer.contains("\n[WARNING]  ("), "{answer}");
    assert_eq!(lb.metrics().value("evenkeel_reloads_total", ""), 1.0);
}

/// `ExecReload=evenkeel reload`: `systemctl reload` fails where the file is bad, and says why.
#[test]
fn the_reload_command_says_what_came_of_it() {
    let lab = Lab::of(Program::Evenkeel);
    let (front, origin, master) = (lab.address(), lab.origin("server"), socket());
    let path = master.to_str().unwrap();
    let text = config(&lab, front, origin.address());
    let reload = || lab.program().run(["reload", "-S", path]);
    let nobody = reload();
    assert_eq!(nobody.code(), 1);
    assert!(nobody.stderr.contains("is evenkeel running"), "{nobody:?}");

    let lb = start(&lab, &format!("{path},level,operator"), &text);
    let good = reload();
    assert_eq!(good.code(), 0, "{good:?}");
    assert!(good.stdout.contains("Loading success."), "{good:?}");
    std::fs::write(lb.file("lb.cfg"), text.replace("server s1", "servre s1")).unwrap();
    let bad = reload();
    assert_eq!(bad.code(), 1);
    assert!(
        bad.stderr.contains("lb.cfg:15:5: unknown keyword 'servre'"),
        "{bad:?}"
    );
    assert_eq!(lb.metrics().value("evenkeel_reloads_total", ""), 1.0);
    drop(lb);

    let _lb = start(&lab, &format!("{path},level,user"), &text);
    let denied = reload();
    assert_eq!(denied.code(), 1);
    assert!(denied.stderr.contains("Permission denied"), "{denied:?}");
}

/// One that a script takes for an old worker's process and signals is nobody's.
#[test]
fn what_drains_has_a_number_that_is_no_process() {
    let lab = Lab::of(Program::Evenkeel);
    let (front, origin, master) = (lab.address(), lab.origin("server"), socket());
    let text = config(&lab, front, origin.address());
    let lb = start(&lab, master.to_str().unwrap(), &text);
    let mut held = Peer::connect(front);
    assert_eq!(held.receive_line(), "server");
    assert!(ask(&master, "reload").starts_with("Success=1\n"));

    let shown = ask(&master, "show proc");
    let old = shown.split_once("# old workers\n").unwrap().1;
    let number: u64 = old.split_whitespace().next().unwrap().parse().unwrap();
    assert!(number >= 1 << 22, "{shown}");
    // It knows the sessions that it is kept for.
    let sessions = ask(&master, &format!("@!{number} show sess"));
    assert!(sessions.contains(&held.address().to_string()), "{sessions}");
    assert!(ask(&master, &format!("@!{} show info", lb.pid())).contains("Name: evenkeel"));

    drop(held);
    until("nothing drains", || {
        (!ask(&master, "show proc").contains("# old")).then_some(())
    });
    assert_eq!(
        ask(&master, &format!("@!{number} show info")),
        format!("Can't find the target PID matching the prefix '@!{number}'\n")
    );
}

/// A visitor that is there during a reload stays, and whoever asks by signal is counted, too.
#[test]
fn the_socket_and_its_visitors_outlive_reloads() {
    let lab = Lab::of(Program::Evenkeel);
    let (front, origin) = (lab.address(), lab.origin("server"));
    let master = lab.address();
    let text = config(&lab, front, origin.address());
    let lb = start(&lab, &format!("{master},level,operator"), &text);
    let mut visitor = TcpStream::connect(master).unwrap();
    visitor.set_read_timeout(Some(PATIENCE)).unwrap();
    visitor.write_all(b"show cli level\n").unwrap();
    let mut answer = [0; 10];
    visitor.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"operator\n\n");

    lb.reload(&text);

    visitor
        .write_all(b"show proc\n@1 set maxconn global 5\n")
        .unwrap();
    visitor.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    visitor.read_to_string(&mut answer).unwrap();
    assert!(
        answer.contains(" master          1 [failed: 0] "),
        "{answer}"
    );
    assert!(answer.ends_with("\n\nPermission denied\n\n"), "{answer}");
}

#[test]
fn a_process_that_drains_does_not_reload() {
    let lab = Lab::of(Program::Evenkeel);
    let (front, origin, master) = (lab.address(), lab.origin("server"), socket());
    let mut lb = start(
        &lab,
        master.to_str().unwrap(),
        &config(&lab, front, origin.address()),
    );
    let mut held = Peer::connect(front);
    assert_eq!(held.receive_line(), "server");
    lb.signal(Signal::USR1);
    lb.says("draining");

    let answer = ask(&master, "reload");

    assert!(answer.starts_with("Success=0\n--\n"), "{answer}");
    assert!(answer.contains("drains toward its end"), "{answer}");
    drop(held);
    assert_eq!(lb.exit().code(), Some(0));
}

#[track_caller]
fn check_refused(arguments: &[&str], says: &str) {
    let lab = Lab::of(Program::Evenkeel);
    let directory = temporary_directory();
    let file = directory.join("lb.cfg");
    let front = lab.address();
    std::fs::write(&file, config(&lab, front, front)).unwrap();
    let front = front.to_string();
    let arguments = arguments
        .iter()
        .map(|argument| argument.replace("FRONT", &front))
        .chain(["-f".to_owned(), file.display().to_string()]);
    let finished = Program::Evenkeel.run(arguments.collect::<Vec<_>>());
    assert_eq!(finished.code(), 1, "{finished:?}");
    let stderr = finished.stderr.replace(&front, "FRONT");
    assert!(stderr.contains(says), "{finished:?}");
}

#[test]
fn mistakes_in_the_argument_are_told() {
    check_refused(
        &["-S", "/x"],
        "-S /x: there is a master with -W or -Ws alone",
    );
    check_refused(
        &["-W", "-S", "/x,level,foo"],
        "'level' is user, operator or admin, not 'foo'",
    );
    check_refused(
        &["-W", "-S", "/x,mode,999"],
        "'mode' needs permission bits in octal",
    );
    check_refused(&["-W", "-S", "/x,foo"], "-S /x,foo: unknown option 'foo'");
    check_refused(&["-W", "-S", "127.0.0.1"], "missing port in '127.0.0.1'");
    check_refused(
        &["-W", "-S", ""],
        "an address is missing, such as /run/haproxy-master.sock",
    );
    check_refused(
        &["-W", "-S", "/x,user,nobody-1"],
        "there is no user 'nobody-1'",
    );
    check_refused(
        &["-W", "-S", "/nowhere/x"],
        "the master cannot listen on /nowhere/x",
    );
    check_refused(&["-W", "-S", "FRONT"], "listens on the same address");
    check_refused(
        &["-W", "-S", "/x", "-S", "/x"],
        "-S /x listens on the same address",
    );
    check_refused(&["-W", "-S", "fd@99"], "no such descriptor was inherited");
}
