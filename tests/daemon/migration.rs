//! docs/migrate.md: HAProxy hands over to evenkeel under load, and evenkeel back to HAProxy.

use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;

use crate::launch;
use crate::support::{Balancer, Lab, Peer, Program};

/// What became of visits that went on all the time.
#[derive(Debug, Default)]
struct Visits {
    served: u32,
    refused: u32,
    /// Connected, then reset: the kernel does that to who is not yet accepted where a socket is closed.
    reset: u32,
}

fn visit_until(over: &AtomicBool, front: SocketAddr) -> Visits {
    use std::io::Read as _;
    let mut visits = Visits::default();
    while !over.load(Relaxed) {
        let Ok(mut stream) = TcpStream::connect(front) else {
            visits.refused += 1;
            continue;
        };
        let mut said = String::new();
        match stream.read_to_string(&mut said) {
            Ok(_) if said == "master\n" => visits.served += 1,
            _ => visits.reset += 1,
        }
    }
    visits
}

#[test]
fn haproxy_hands_over_and_takes_back_and_no_client_is_refused() {
    let Some(haproxy) = Program::oracle_for("migration from HAProxy and back") else {
        return;
    };
    let lab = Lab::of(Program::Evenkeel);
    // Says its name and ends; the one beside it stays open.
    let quick = lab.serving(|mut peer| peer.send(b"master\n"));
    let echo = lab.echo();
    let (front, long) = (lab.address(), lab.address());
    let config = format!(
        "{}\nlisten api\n    bind {front}\n    server master {}\nlisten watches\n    bind {long}\n    server master {}\n",
        lab.preamble(),
        quick.address(),
        echo.address()
    );
    let start = |program: &Program, arguments: &[&str]| {
        Balancer::start(program, &config, lab.address(), &launch(arguments))
    };
    let says_back = |peer: &mut Peer, text: &str| {
        peer.send(text);
        assert_eq!(peer.receive_exactly(text.len()), text.as_bytes());
    };

    let mut before = start(&haproxy, &[]);
    let over = AtomicBool::new(false);
    let visits = thread::scope(|scope| {
        let visitors: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| visit_until(&over, front)))
            .collect();
        let mut with_haproxy = Peer::connect(long);
        says_back(&mut with_haproxy, "one");

        let mut evenkeel = start(&Program::Evenkeel, &["-sf", &before.pid().to_string()]);
        says_back(&mut with_haproxy, "two");
        drop(with_haproxy);
        before.exit();
        let mut with_evenkeel = Peer::connect(long);
        says_back(&mut with_evenkeel, "three");

        let after = start(&haproxy, &["-sf", &evenkeel.pid().to_string()]);
        evenkeel.says("draining");
        says_back(&mut with_evenkeel, "four");
        drop(with_evenkeel);
        assert!(evenkeel.exit().success());
        let mut with_haproxy = Peer::connect(long);
        says_back(&mut with_haproxy, "five");
        over.store(true, Relaxed);
        let visits = visitors.into_iter().map(|visitor| visitor.join().unwrap());
        let visits = visits.collect::<Vec<_>>();
        drop(after);
        visits
    });
    let sum = |of: fn(&Visits) -> u32| visits.iter().map(of).sum::<u32>();
    let (served, refused, reset) = (sum(|v| v.served), sum(|v| v.refused), sum(|v| v.reset));
    assert!(served > 100, "{visits:?}");
    assert_eq!(refused, 0, "{visits:?}");
    // Four visitors, two hand-overs.
    assert!(reset <= 8, "{visits:?}");
}
