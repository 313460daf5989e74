//! SIGUSR1: no new connections, the old ones go on to their end; SIGTERM and SIGINT: everything
//! ends now.

use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use crate::support::balancer::Launch;
use crate::support::{Lab, Peer, Program, Signal, loopback, until};

#[test]
fn draining_refuses_new_connections_and_ends_with_the_last_old_one() {
    let lab = Lab::new();
    let echo = lab.echo();
    let front = lab.address();
    let mut lb = lab.start(&format!(
        "{}\nlisten api\n    bind {front}\n    server s1 {}\n",
        lab.preamble(),
        echo.address()
    ));
    let mut peer = Peer::connect(front);
    peer.send("before");
    peer.receive_exactly(6);

    lb.signal(Signal::USR1);
    until("nobody listens", || {
        (!loopback::is_listening(front)).then_some(())
    });
    assert!(Peer::try_connect(front).is_err());
    peer.send("during");
    assert_eq!(peer.receive_exactly(6), b"during");
    assert!(lb.is_running());

    peer.close();
    assert_eq!(lb.exit().code(), Some(0));
    assert!(
        lb.notices()
            .iter()
            .any(|notice| notice.contains("STOPPING=1"))
    );
    assert_eq!(lab.syslog.session().end, "--");
}

/// Whatever the file says: it is the service manager that does not wait longer.
#[test]
fn a_drain_ends_at_the_stop_limit() {
    let lab = Lab::of(Program::Evenkeel);
    let echo = lab.echo();
    let front = lab.address();
    let launch = Launch {
        arguments: ["--stop-limit", "300ms"].map(str::to_owned).to_vec(),
        ..Launch::default()
    };
    let preamble = lab.preamble();
    let preamble = preamble.replacen("global\n", "global\n    hard-stop-after 1h\n", 1);
    let text = format!(
        "{preamble}\nlisten api\n    bind {front}\n    server s1 {}\n",
        echo.address()
    );
    let mut lb = lab.launch(&text, &launch);
    let mut peer = Peer::connect(front);
    peer.send("before");
    peer.receive_exactly(6);
    lb.signal(Signal::USR1);
    assert_eq!(lb.exit().code(), Some(0));
    lb.says("the connections that were left are cut");
    assert_eq!(lab.syslog.session().end, "KC");
}

#[test]
fn a_reload_under_way_does_not_undo_a_drain() {
    let lab = Lab::new();
    let echo = lab.echo();
    let front = lab.address();
    let text = format!(
        "{}\nlisten api\n    bind {front}\n    server s1 {}\n",
        lab.preamble(),
        echo.address()
    );
    let mut lb = lab.start(&text);
    let mut peer = Peer::connect(front);
    peer.send("before");
    peer.receive_exactly(6);
    // A file that takes as long to read as the test wants.
    let file = lb.file("lb.cfg");
    std::fs::remove_file(&file).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, &file, rustix::fs::Mode::RUSR).unwrap();
    lb.signal(Signal::HUP);
    until("the reload has begun", || {
        let notices = lb.notices();
        notices
            .iter()
            .any(|notice| notice.contains("RELOADING=1"))
            .then_some(())
    });
    // Another one, to be done after the first.
    lb.signal(Signal::HUP);

    lb.signal(Signal::USR1);
    lb.says("the reload under way is given up");
    std::fs::write(&file, &text).unwrap();

    until("nobody listens", || {
        (!loopback::is_listening(front)).then_some(())
    });
    // Answers that come after the file was read.
    for _ in 0..3 {
        assert_eq!(lb.metrics().value("evenkeel_reloads_total", ""), 0.0);
    }
    peer.send("during");
    assert_eq!(peer.receive_exactly(6), b"during");
    assert!(!loopback::is_listening(front));
    peer.close();
    assert_eq!(lb.exit().code(), Some(0));
}

#[test]
fn draining_without_connections_ends_at_once() {
    let lab = Lab::new();
    let front = lab.address();
    let mut lb = lab.start(&format!(
        "{}\nlisten api\n    bind {front}\n",
        lab.preamble()
    ));
    lb.signal(Signal::USR1);
    assert_eq!(lb.exit().code(), Some(0));
}

#[test]
fn hard_stop_after_bounds_the_drain() {
    let lab = Lab::new();
    let echo = lab.echo();
    let front = lab.address();
    let mut lb = lab.start(&format!(
        "
global
    {log}
    hard-stop-after 1s
{defaults}
listen api
    bind {front}
    server s1 {echo}
",
        log = lab.log(),
        defaults = lab.defaults(),
        echo = echo.address()
    ));
    let mut peer = Peer::connect(front);
    peer.send("x");
    peer.receive_exactly(1);

    let began = Instant::now();
    lb.signal(Signal::USR1);
    peer.end();
    assert!(
        began.elapsed() >= Duration::from_millis(900),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(lb.exit().code(), Some(0));
    assert_eq!(lab.syslog.session().end, "KC");
}

#[test]
fn terminate_and_interrupt_end_everything_now() {
    for signal in [Signal::TERM, Signal::INT] {
        let lab = Lab::new();
        let echo = lab.echo();
        let front = lab.address();
        let mut lb = lab.start(&format!(
            "{}\nlisten api\n    bind {front}\n    server s1 {}\n",
            lab.preamble(),
            echo.address()
        ));
        let mut peer = Peer::connect(front);
        peer.send("x");
        peer.receive_exactly(1);

        let began = Instant::now();
        lb.signal(signal);
        peer.end();
        // A plain process is seen to die of the signal, as HAProxy does.
        assert_eq!(lb.exit().signal(), Some(signal.as_raw()));
        assert!(
            began.elapsed() < Duration::from_secs(5),
            "{:?}",
            began.elapsed()
        );
    }
}
