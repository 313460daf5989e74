//! `evenkeel health`: whether the process itself serves. It says yes with every server down, and no
//! when the process drains, hangs or is gone.

use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use crate::support::balancer::{Launch, temporary_directory};
use crate::support::{Balancer, Lab, Peer, Program, Signal, until};

/// Asks at both doors; they must agree. The line without the door, and the code.
fn health(lb: &Balancer, sockets: &[&str]) -> (String, i32) {
    let admin = lb.admin().to_string();
    let mut doors = vec![["--admin", &admin]];
    doors.extend(sockets.iter().map(|socket| ["-S", socket]));
    let mut answers: Vec<(String, i32)> = doors
        .into_iter()
        .map(|door| {
            let asked = Program::Evenkeel.run(["health"].iter().chain(&door));
            assert_eq!(asked.stdout.lines().count(), 1, "{asked:?}");
            let line = asked.stdout.split(" (").next().unwrap_or_default();
            (line.trim_end().to_owned(), asked.code())
        })
        .collect();
    let first = answers.remove(0);
    for other in answers {
        assert_eq!(other.1, first.1, "{other:?} {first:?}");
    }
    first
}

#[test]
fn health_is_about_the_process_and_never_about_its_servers() {
    let lab = Lab::of(Program::Evenkeel);
    let (echo, dead, front) = (lab.echo(), lab.dead_origin("dead"), lab.address());
    let folder = temporary_directory();
    let (stats, master) = (folder.join("stats"), folder.join("master"));
    let sockets = [stats.to_str().unwrap(), master.to_str().unwrap()];
    let text = format!(
        "global\n    stats socket {} level user\n{}\n\
         listen none\n    bind {}\n    server s {} check inter 50ms\n\
         listen api\n    bind {front}\n    server s {}\n",
        sockets[0],
        lab.defaults(),
        lab.address(),
        dead.address(),
        echo.address()
    );
    let launch = Launch {
        arguments: ["-W", "-S", sockets[1]].map(str::to_owned).to_vec(),
        ..Launch::default()
    };
    let mut lb = lab.launch(&text, &launch);
    lb.says("none/s is DOWN");
    assert_eq!(health(&lb, &sockets), ("serving".to_owned(), 0));

    // Some who say nothing keep nobody out: less than the 5 s that an HTTP client may take for its head.
    let idle = (0..20).map(|_| TcpStream::connect(lb.admin()).unwrap());
    let _idle: Vec<_> = idle.collect();
    let idle_at = |socket: &str| -> Vec<_> {
        let visits = (0..20).map(|_| UnixStream::connect(socket).unwrap());
        visits.collect()
    };
    let _idle_visitors = sockets.map(idle_at);
    let admin = lb.admin().to_string();
    for door in [["--admin", &admin], ["-S", sockets[0]], ["-S", sockets[1]]] {
        let asked = ["health", "--timeout", "3s"].into_iter().chain(door);
        let asked = Program::Evenkeel.run(asked);
        assert_eq!(asked.code(), 0, "{asked:?}");
    }

    lb.signal(Signal::STOP);
    let start = Instant::now();
    let (line, code) = health(&lb, &sockets);
    assert!(line.starts_with("not serving: it hangs"), "{line}");
    assert_eq!(code, 1);
    // 800 ms each, and what a busy machine adds.
    assert!(start.elapsed() < Duration::from_secs(10));
    lb.signal(Signal::CONT);
    until("it serves again", || {
        (health(&lb, &[]).1 == 0).then_some(())
    });

    let mut peer = Peer::connect(front);
    peer.send("x");
    peer.receive_exactly(1);
    lb.signal(Signal::USR1);
    until("it says that it drains", || {
        let drains = "not serving: it drains toward its end".to_owned();
        (health(&lb, &sockets) == (drains, 1)).then_some(())
    });

    peer.close();
    assert_eq!(lb.exit().code(), Some(0));
    let (line, code) = health(&lb, &sockets);
    assert!(line.contains("connection refused"), "{line}");
    assert_eq!(code, 1);
}
