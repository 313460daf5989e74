//! What an upgrade does to counters: nothing that either process counts is missing in the end.

use super::*;
use crate::support::PATIENCE;
use crate::support::wait::within;

fn start(lab: &Lab, arguments: &[&str]) -> (Line, SocketAddr, [crate::support::Origin; 2]) {
    let servers = [lab.origin("a"), lab.echo()];
    let streams = lab.address();
    let [a, echo] = [servers[0].address(), servers[1].address()];
    let text = config(lab, lab.address(), streams, [a, a, echo]);
    let launch = Launch {
        arguments: arguments.iter().map(ToString::to_string).collect(),
        ..Launch::default()
    };
    (Line::launch(lab, &text, launch), streams, servers)
}

fn exchange(stream: &mut Peer, bytes: usize) {
    stream.send(vec![b'x'; bytes]);
    stream.receive_exactly(bytes);
}

#[track_caller]
fn until_counted(line: &Line, expected: &[(&str, &str)]) {
    let seen = |what: &str| {
        let columns = expected.iter();
        let columns = columns.map(|(column, _)| (*column, line.stat("streams", what, column)));
        columns.collect::<Vec<_>>()
    };
    for what in ["FRONTEND", "BACKEND", "echo"] {
        let expected: Vec<_> = expected
            .iter()
            .map(|(column, value)| (*column, (*value).to_owned()))
            .collect();
        let is_so = within(PATIENCE, || (seen(what) == expected).then_some(()));
        assert!(
            is_so.is_some(),
            "{what}: {:?}, not {expected:?}",
            seen(what)
        );
    }
}

#[test]
fn the_successor_counts_what_the_one_before_still_serves() {
    let lab = Lab::of(Program::Evenkeel);
    let (mut line, streams, _servers) = start(&lab, &[]);
    let [mut one, mut two] = [(); 2].map(|()| Peer::connect(streams));
    exchange(&mut one, 100);
    exchange(&mut two, 10);
    line.follow(&lab);
    let mut three = Peer::connect(streams);
    exchange(&mut three, 7);
    exchange(&mut one, 1000);

    // While the one before still lives, too.
    until_counted(
        &line,
        &[
            ("stot", "3"),
            ("bin", "1117"),
            ("bout", "1117"),
            ("smax", "2"),
        ],
    );
    assert!(line.first.is_running());
    exchange(&mut two, 5000);
    two.close();
    one.reset();
    line.first.exit();
    until_counted(
        &line,
        &[
            ("stot", "3"),
            ("bin", "6117"),
            ("bout", "6117"),
            ("smax", "2"),
        ],
    );
    let aborts = || line.stat("streams", "BACKEND", "cli_abrt");
    until("how it ended is counted", || {
        (aborts() == "1").then_some(())
    });
    assert!(line.ask("show info").contains("CumConns: 3\n"));
}

/// Three processes, of which the one in the middle ends first.
#[test]
fn several_upgrades_while_old_ones_drain_lose_no_count() {
    let lab = Lab::of(Program::Evenkeel);
    let (mut line, streams, _servers) = start(&lab, &[]);
    let mut first = Peer::connect(streams);
    exchange(&mut first, 1);
    let middle = line.follow(&lab);
    let mut second = Peer::connect(streams);
    exchange(&mut second, 10);
    let last = line.follow(&lab);
    exchange(&mut second, 100);
    exchange(&mut first, 1000);
    assert!(line.first.is_running() && lives(middle) && lives(last));
    second.close();
    until("the one in the middle ends", || {
        (!lives(middle)).then_some(())
    });
    exchange(&mut first, 10_000);
    until_counted(&line, &[("stot", "2"), ("bin", "11111"), ("bout", "11111")]);
    exchange(&mut first, 100_000);
    first.close();
    line.first.exit();
    until_counted(
        &line,
        &[("stot", "2"), ("bin", "111111"), ("bout", "111111")],
    );
}

#[test]
fn a_process_that_drains_goes_on_when_its_successor_dies() {
    let lab = Lab::of(Program::Evenkeel);
    let (mut line, streams, _servers) = start(&lab, &[]);
    let mut stream = Peer::connect(streams);
    exchange(&mut stream, 1);
    let heir = line.follow(&lab);
    kill_process(Pid::from_raw(heir.cast_signed()).unwrap(), Signal::KILL).unwrap();
    until("nothing is left of it", || (!lives(heir)).then_some(()));
    exchange(&mut stream, 10);
    line.first
        .says("the process that follows hears no more of what this one counts");
    exchange(&mut stream, 100);
    stream.close();
    assert_eq!(line.first.exit().code(), Some(0));
}

#[test]
fn an_old_process_ends_at_the_drain_limit() {
    let lab = Lab::of(Program::Evenkeel);
    let (mut line, streams, _servers) = start(&lab, &["--drain-limit", "300ms"]);
    let mut stream = Peer::connect(streams);
    exchange(&mut stream, 10);
    line.follow(&lab);
    stream.end();
    assert_eq!(line.first.exit().code(), Some(0));
    line.first.says("the time to drain has passed");
    // What was cut is counted.
    until_counted(&line, &[("stot", "1"), ("bin", "10"), ("bout", "10")]);
    let ended = lab.syslog.session();
    assert_eq!(ended.server, "echo", "{ended:?}");
}
