//! A master dies, freezes, loses its cable, and comes back; both die. The load's figures decide.

use std::ops::Range;
use std::time::{Duration, Instant};

use crate::balancer::Program;
use crate::client::{Load, Request, Watch, kubectl, shares};
use crate::lab::{Host, MASTERS, Master};
use crate::namespaces::inside;
use crate::report::{Course, Observed, Stage, with_both};
use crate::{SEED, TUNED};

/// New connections a second of the steady load: each is a process with a TLS handshake, and on a
/// busy machine four such loads must still leave time to the programs that they measure.
const PACE: u32 = 5;

/// Requests before a fault: long enough for the first check of each server, which HAProxy spreads
/// over one interval, so that the servers are fully up.
const WARM_UP: usize = 15;

/// Requests after a mark, to see where they go.
const AFTERMATH: usize = 12;

/// A busy machine may be late, never early.
const LATE: Duration = Duration::from_secs(2);

const SEED_INTERVAL: Duration = Duration::from_secs(2);
const TUNED_INTERVAL: Duration = Duration::from_secs(1);

#[test]
fn master_killed() {
    inside("faults::master_killed", || {
        // Three checks two seconds apart, the first within two seconds.
        compare(
            "master1 killed (SIGKILL), the seed's file",
            SEED,
            SEED_INTERVAL,
            4.0..6.0,
            kill,
        );
    });
}

#[test]
fn master_killed_behind_a_tuned_balancer() {
    inside("faults::master_killed_behind_a_tuned_balancer", || {
        // The first check within a second, the second half a second later.
        compare(
            "master1 killed (SIGKILL), tuned",
            TUNED,
            TUNED_INTERVAL,
            0.5..1.5,
            kill,
        );
    });
}

#[test]
fn master_cut_off() {
    inside("faults::master_cut_off", || {
        // Each of the three checks takes its two seconds, too; the last one may fail at once,
        // because the kernel then knows that no one has the address.
        compare(
            "master1 cut off (link down), the seed's file",
            SEED,
            SEED_INTERVAL,
            8.0..12.0,
            cut,
        );
    });
}

#[test]
fn master_cut_off_behind_a_tuned_balancer() {
    inside("faults::master_cut_off_behind_a_tuned_balancer", || {
        compare(
            "master1 cut off (link down), tuned",
            TUNED,
            TUNED_INTERVAL,
            1.5..3.5,
            cut,
        );
    });
}

/// What becomes of master1.
struct Fault {
    strike: fn(&mut Stage),
    repair: fn(&mut Stage),
    /// Whether the clients of its open connections are told without any mark.
    tells: bool,
}

fn kill(program: &Program, configuration: &str) -> (Observed, Vec<Request>, Course) {
    let fault = Fault {
        strike: |stage| stage.masters[0].kill(),
        repair: |stage| stage.masters[0] = Master::start(&stage.lab, Host::Master1),
        tells: true,
    };
    play(program, configuration, &fault)
}

fn cut(program: &Program, configuration: &str) -> (Observed, Vec<Request>, Course) {
    let fault = Fault {
        strike: |stage| stage.lab.cut_off(Host::Master1),
        repair: |stage| stage.lab.reconnect(Host::Master1),
        tells: false,
    };
    play(program, configuration, &fault)
}

/// master1 falls out, is marked DOWN, returns, is marked UP and gets its share again.
fn play(program: &Program, configuration: &str, fault: &Fault) -> (Observed, Vec<Request>, Course) {
    let mut stage = Stage::set(program, configuration);
    let [mut watch_one, watch_two] = Watch::on_both(&stage.lab);
    let load = Load::start(&stage.lab, PACE);
    load.wait_for(WARM_UP, Instant::now());

    let struck = Instant::now();
    (fault.strike)(&mut stage);
    if fault.tells {
        assert!(
            watch_one.ends(Duration::from_secs(2)),
            "the watch on a killed master ends"
        );
    }
    let down = stage.marked("master1", "DOWN", struck);
    let told = watch_one.ends(Duration::from_secs(2));
    let shuts = configuration.contains("on-marked-down shutdown-sessions");
    assert_eq!(
        told,
        fault.tells || shuts,
        "whether a DOWN mark closes what is open"
    );
    load.wait_for(AFTERMATH, down);

    let repair = Instant::now();
    (fault.repair)(&mut stage);
    let up = stage.marked("master1", "UP", repair);
    load.wait_for(AFTERMATH, up);
    let requests = load.stop();
    assert!(
        watch_two.flows(Duration::from_secs(5)),
        "the watch on the other master goes on"
    );
    let course = Course {
        fault: struck,
        down: Some(down),
        repair,
        up: Some(up),
    };
    (Observed::new(program, &requests, course), requests, course)
}

/// Plays a fault of master1 with both programs and holds each to `marked_down`, in seconds after
/// the fault, and evenkeel to HAProxy.
fn compare(
    title: &str,
    configuration: &str,
    interval: Duration,
    marked_down: Range<f64>,
    play: fn(&Program, &str) -> (Observed, Vec<Request>, Course),
) {
    let both = with_both(|program| {
        let (observed, requests, course) = play(program, configuration);
        (observed, assess(&requests, course, &marked_down))
    });
    let (both, assessments) = both.unzip();
    both.print(title);
    for (program, assessment) in assessments {
        assert_eq!(assessment, Ok(()), "{program}");
    }
    both.assert_as_good(interval);
    let failed = both.evenkeel.failed;
    assert!(
        failed <= 2,
        "one master is enough to serve all, {failed} requests were not served"
    );
}

/// What holds for either program: a good start, failures only until the mark, and the returned
/// master's share.
fn assess(requests: &[Request], course: Course, marked_down: &Range<f64>) -> Result<(), String> {
    let (down, up) = (
        course.down.expect("marked DOWN"),
        course.up.expect("marked UP"),
    );
    let after = (down - course.fault).as_secs_f64();
    if after < marked_down.start - 0.1 || after > marked_down.end + LATE.as_secs_f64() {
        return Err(format!(
            "DOWN {after:.2} s after the fault, not within {marked_down:?} s"
        ));
    }
    let before: Vec<&Request> = requests
        .iter()
        .filter(|request| request.ended < course.fault)
        .collect();
    let first = shares(before.iter().copied());
    if before.iter().any(|request| request.answer.is_err())
        || first.len() != 2
        || first["master1"].abs_diff(first["master2"]) > 1
    {
        return Err(format!("before the fault: {first:?} of {}", before.len()));
    }
    let between = |from: Instant, to: Instant| {
        requests
            .iter()
            .filter(move |request| request.started >= from && request.started < to)
    };
    // The mark takes effect in the moment of its line, but the line has to travel.
    let marked = down + Duration::from_millis(50);
    if let Some(request) = between(marked, course.repair).find(|request| request.answer.is_err()) {
        let late = request.started - down;
        return Err(format!(
            "failed although started {late:?} after the mark: {request:?}"
        ));
    }
    if shares(between(marked, course.repair)).contains_key("master1") {
        return Err("a server that is DOWN got traffic".to_owned());
    }
    let returned: Vec<&Request> = requests
        .iter()
        .filter(|request| request.started >= up)
        .collect();
    let last = shares(returned.iter().copied());
    if last.values().sum::<usize>() != returned.len()
        || last
            .get("master1")
            .is_none_or(|share| *share < returned.len() / 2 - 2)
    {
        return Err(format!("after the return: {last:?} of {}", returned.len()));
    }
    Ok(())
}

#[test]
fn master_frozen() {
    inside("faults::master_frozen", || {
        let both = with_both(|program| {
            let stage = Stage::set(program, SEED);
            let [watch_one, watch_two] = Watch::on_both(&stage.lab);
            let load = Load::start(&stage.lab, PACE);
            load.wait_for(WARM_UP, Instant::now());
            let fault = Instant::now();
            stage.masters[0].freeze();
            // Four checks find the port open: nobody but an application-level check would notice.
            let down = stage
                .balancer
                .says("is DOWN", fault, Duration::from_secs(8));
            assert!(down.is_none(), "a TCP check passes on a frozen master");
            assert!(
                watch_two.flows(Duration::from_secs(5)),
                "the other master's watch goes on"
            );
            let repair = Instant::now();
            stage.masters[0].thaw();
            load.wait_for(AFTERMATH, repair);
            let requests = load.stop();
            // Thawed, nginx makes up for the pause at once and then owes nothing for as long.
            assert!(
                watch_one.flows(Duration::from_secs(20)),
                "the thawed master's watch goes on"
            );
            let thawed = requests.iter().filter(|request| request.started >= repair);
            assert!(
                thawed.clone().all(|request| request.answer.is_ok()),
                "all is well again"
            );
            assert_eq!(shares(thawed).len(), 2, "both masters serve again");
            let course = Course {
                fault,
                down: None,
                repair,
                up: None,
            };
            Observed::new(program, &requests, course)
        });
        both.print("master1 frozen (SIGSTOP) for 8 s, the seed's file");
        for observed in both.haproxy.iter().chain([&both.evenkeel]) {
            // Half of two seconds' requests run out of patience, the younger ones are answered late.
            assert!((3..=10).contains(&observed.failed), "{observed:?}");
            assert_eq!(
                observed.errors.keys().collect::<Vec<_>>(),
                [&28],
                "time-outs only"
            );
        }
        both.assert_as_good(SEED_INTERVAL);
    });
}

#[test]
fn both_masters_dead() {
    inside("faults::both_masters_dead", || {
        let both = with_both(|program| {
            let mut stage = Stage::set(program, SEED);
            let load = Load::start(&stage.lab, PACE);
            load.wait_for(WARM_UP, Instant::now());
            let fault = Instant::now();
            stage.masters.iter_mut().for_each(Master::kill);
            let down = MASTERS.map(|host| stage.marked(host.name(), "DOWN", fault));
            let down = down[0].max(down[1]);
            // HAProxy quotes the backend's name on its standard error, but not in its log.
            let alarm = "has no server available!";
            let alarm = stage.balancer.says(alarm, fault, Duration::from_secs(2));
            assert!(alarm.is_some(), "no alarm in:\n{}", stage.balancer.said());
            load.wait_for(AFTERMATH, down);
            let complaint = kubectl(&stage.lab, Host::Client, &["get", "--raw", "/readyz"]);
            let complaint = complaint.expect_err("nobody can serve");
            // What kubectl sends after the FIN meets a closed socket: a reset may overtake the end.
            assert!(
                complaint.contains("EOF") || complaint.contains("connection reset"),
                "kubectl complained otherwise: {complaint}"
            );

            let repair = Instant::now();
            stage.masters = MASTERS.map(|host| Master::start(&stage.lab, host));
            let up = MASTERS.map(|host| stage.marked(host.name(), "UP", repair));
            let up = up[0].max(up[1]);
            load.wait_for(AFTERMATH, up);
            let requests = load.stop();
            let dead: Vec<&Request> = requests
                .iter()
                .filter(|request| request.started > down && request.ended < repair)
                .collect();
            assert!(dead.len() >= AFTERMATH / 2, "the load went on");
            assert!(
                dead.iter().all(|request| request.answer.is_err()),
                "nobody can serve"
            );
            assert!(
                dead.iter()
                    .all(|request| request.took < Duration::from_secs(1)),
                "with every server marked DOWN a client is turned away at once"
            );
            let returned = requests.iter().filter(|request| request.started >= up);
            assert!(
                returned.clone().all(|request| request.answer.is_ok()),
                "all is well again"
            );
            assert_eq!(shares(returned).len(), 2, "both masters serve again");
            let course = Course {
                fault,
                down: Some(down),
                repair,
                up: Some(up),
            };
            Observed::new(program, &requests, course)
        });
        both.print("both masters killed, then back, the seed's file");
        if let Some(haproxy) = &both.haproxy {
            let kinds = |observed: &Observed| observed.errors.keys().copied().collect::<Vec<_>>();
            assert_eq!(
                kinds(&both.evenkeel),
                kinds(haproxy),
                "clients see the same errors"
            );
        }
        both.assert_as_good(SEED_INTERVAL);
    });
}
