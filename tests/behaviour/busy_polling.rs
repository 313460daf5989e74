//! `busy-polling`: what a thread does that has nothing to do.

use std::time::Duration;

use crate::support::{Balancer, Lab, Peer, until};

/// CPU time of the whole process so far (proc(5), schedstat).
fn cpu(balancer: &Balancer) -> Duration {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", balancer.pid())).unwrap();
    let nanoseconds = tasks.map(|task| {
        let schedstat = std::fs::read_to_string(task.unwrap().path().join("schedstat")).unwrap();
        let first = schedstat.split(' ').next().unwrap();
        first.parse::<u64>().unwrap()
    });
    Duration::from_nanos(nanoseconds.sum())
}

fn exchange(peer: &mut Peer, times: usize) {
    for _ in 0..times {
        peer.send("ping");
        assert_eq!(peer.receive_exactly(4), b"ping");
    }
}

/// That a second with an open and silent connection costs next to nothing.
fn assert_rests(balancer: &Balancer, peer: &mut Peer) {
    exchange(peer, 500);
    let before = cpu(balancer);
    assert!(peer.is_quiet_for(Duration::from_secs(1)));
    let spent = cpu(balancer) - before;
    assert!(spent < Duration::from_millis(50), "{spent:?} for nothing");
}

#[test]
fn at_rest_nothing_is_spent_unless_busy_polling_says_so() {
    let lab = Lab::new();
    let echo = lab.echo();
    let front = lab.address();
    let config = |global: &str| {
        format!(
            "global\n    {}\n    nbthread 1\n    {global}\n{}\nlisten api\n    bind {front}\n    server s {echo}\n",
            lab.log(),
            lab.defaults(),
            echo = echo.address(),
        )
    };
    let lb = lab.start(&config(""));
    let mut peer = Peer::connect(front);
    assert_rests(&lb, &mut peer);
    let enabled = "haproxy_process_busy_polling_enabled";
    assert_eq!(lb.metrics().value(enabled, ""), 0.0);

    lb.reload(&config("busy-polling"));
    exchange(&mut peer, 500);
    let before = cpu(&lb);
    until("the thread polls all the time", || {
        (cpu(&lb) - before > Duration::from_millis(300)).then_some(())
    });
    exchange(&mut peer, 500);
    assert_eq!(lb.metrics().value(enabled, ""), 1.0);

    lb.reload(&config("no busy-polling"));
    assert_rests(&lb, &mut peer);
}
