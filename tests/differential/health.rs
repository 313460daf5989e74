//! What is logged about servers that go down and come back: every line, its level, and the time
//! between lines.

use std::time::{Duration, Instant};

use crate::compare::same;
use crate::support::tcplog::Millis;
use crate::support::{Lab, Origin, Peer};

/// One line about a server or a backend.
#[derive(Debug, PartialEq)]
struct Event {
    level: u8,
    /// With the check's duration cut out.
    text: String,
    duration: Option<Millis>,
}

/// The next line that is logged.
fn event(lab: &Lab) -> Event {
    const BEFORE: &str = "check duration: ";
    let message = lab.syslog.event();
    let Some((head, tail)) = message.text.split_once(BEFORE) else {
        return Event {
            level: message.level,
            text: message.text,
            duration: None,
        };
    };
    let (millis, tail) = tail.split_once("ms").unwrap();
    Event {
        level: message.level,
        text: format!("{head}{BEFORE}_ms{tail}"),
        duration: Some(Millis(millis.parse().unwrap())),
    }
}

/// The next `count` lines.
fn events(lab: &Lab, count: usize) -> Vec<Event> {
    (0..count).map(|_| event(lab)).collect()
}

/// A backend `be` with these lines, behind a frontend that nobody visits.
fn backend(lab: &Lab, lines: &str) -> String {
    format!(
        "{preamble}
frontend fe
    bind {front}
    default_backend be
backend be
    {lines}
",
        preamble = lab.preamble(),
        front = lab.address()
    )
}

#[test]
fn a_server_goes_down_and_comes_back() {
    for option in ["", "option tcp-check"] {
        let seen = same(&format!("down and up, {option:?}"), |lab| {
            let [a, mut b] = lab.origins(["a", "b"]);
            let check = "check inter 100ms fall 2 rise 2";
            let _lb = lab.start(&backend(
                lab,
                &format!(
                    "{option}\n    server a {} {check}\n    server b {} {check}",
                    a.address(),
                    b.address()
                ),
            ));
            // Down only after the first check has passed would be counted; down before is at once.
            b.die();
            let mut lines = events(lab, 1);
            b.revive();
            lines.extend(events(lab, 1));
            lines
        });
        if let Some(lines) = seen {
            assert_eq!((lines[0].level, lines[1].level), (1, 5), "{lines:?}");
        }
    }
}

#[test]
fn the_last_server_goes_down_and_comes_back() {
    let seen = same("last server", |lab| {
        let mut a = lab.origin("a");
        let _lb = lab.start(&backend(
            lab,
            &format!("server a {} check inter 100ms fall 1 rise 1", a.address()),
        ));
        a.die();
        let mut lines = events(lab, 2);
        a.revive();
        lines.extend(events(lab, 1));
        lines
    });
    if let Some(lines) = seen {
        assert_eq!(lines[1].level, 0, "{lines:?}");
    }
}

#[test]
fn only_backups_are_left() {
    same("running on backup", |lab| {
        let mut main = lab.origin("main");
        let mut spare = lab.origin("spare");
        let check = "check inter 100ms fall 1 rise 1";
        let _lb = lab.start(&backend(
            lab,
            &format!(
                "server main {} {check}\n    server spare {} {check} backup",
                main.address(),
                spare.address()
            ),
        ));
        let mut lines = Vec::new();
        let steps: [&dyn Fn(&mut Origin); 2] = [&Origin::die, &Origin::revive];
        for step in steps {
            step(&mut main);
            lines.extend(events(lab, 1));
        }
        // Both die, one after the other, and come back the other way round.
        main.die();
        lines.extend(events(lab, 1));
        spare.die();
        lines.extend(events(lab, 2));
        spare.revive();
        lines.extend(events(lab, 1));
        main.revive();
        lines.extend(events(lab, 1));
        lines
    });
}

#[test]
fn the_first_failure_marks_a_new_server_down_whatever_fall_says() {
    let seen = same("first failure", |lab| {
        let a = lab.origin("a");
        let dead = lab.dead_origin("dead");
        let _lb = lab.start(&backend(
            lab,
            &format!(
                "server a {} check inter 10s\n    server dead {} check inter 10s fall 3",
                a.address(),
                dead.address()
            ),
        ));
        // With an interval of ten seconds, three failures would take twenty.
        lab.syslog
            .event_within(Duration::from_secs(15))
            .map(|message| message.level)
    });
    assert!(seen.is_none_or(|level| level == Some(1)));
}

#[test]
fn a_silent_server_fails_by_timeout() {
    for timeouts in ["", "timeout check 300ms", "timeout check 3s"] {
        same(&format!("check timeout, {timeouts:?}"), |lab| {
            let a = lab.origin("a");
            let silent = lab.silent();
            let _lb = lab.start(&backend(
                lab,
                &format!(
                    "{timeouts}\n    server a {} check\n    server silent {} check inter 1s",
                    a.address(),
                    silent.address()
                ),
            ));
            events(lab, 1)
        });
    }
}

#[test]
fn checks_go_to_the_port_and_address_that_the_line_names() {
    same("check port and addr", |lab| {
        let serving = lab.origin("serving");
        let mut checked = lab.origin("checked");
        let elsewhere = lab.origin("elsewhere");
        let _lb = lab.start(&backend(
            lab,
            &format!(
                "server a {} check inter 100ms fall 1 rise 1 port {}\n    server b {} check inter 100ms",
                serving.address(),
                checked.address().port(),
                elsewhere.address(),
            ),
        ));
        checked.die();
        let mut lines = events(lab, 1);
        checked.revive();
        lines.extend(events(lab, 1));
        lines
    });
}

#[test]
fn sessions_of_a_server_that_goes_down_are_counted() {
    let seen = same("sessions active", |lab| {
        let mut a = lab.origin("a");
        let b = lab.origin("b");
        let front = lab.address();
        let check = "check inter 200ms fall 1 rise 1";
        let _lb = lab.start(&format!(
            "{preamble}
listen api
    bind {front}
    server a {a} {check}
    server b {b} {check}
",
            preamble = lab.preamble(),
            a = a.address(),
            b = b.address()
        ));
        let held: Vec<Peer> = (0..5)
            .map(|_| {
                let mut peer = Peer::connect(front);
                peer.receive_line();
                peer
            })
            .collect();
        a.die();
        let lines = events(lab, 1);
        drop(held);
        lines
    });
    if let Some(lines) = seen {
        assert!(lines[0].text.contains("3 sessions active"), "{lines:?}");
    }
}

#[test]
fn a_path_that_is_not_there() {
    same("unix server", |lab| {
        let a = lab.origin("a");
        let _lb = lab.start(&backend(
            lab,
            &format!(
                "server a {} check\n    server gone /nonexistent/evenkeel.sock check inter 200ms",
                a.address()
            ),
        ));
        events(lab, 1)
    });
}

/// How long a server under these intervals takes from its DOWN line to its UP line, and back: each
/// change of the server follows the line before at once, so that whole intervals are measured.
fn gaps(lab: &Lab, intervals: &str) -> Vec<Millis> {
    let a = lab.origin("a");
    let mut b = lab.origin("b");
    let _lb = lab.start(&backend(
        lab,
        &format!(
            "server a {}\n    server b {} check {intervals}",
            a.address(),
            b.address()
        ),
    ));
    let mut at = Vec::new();
    let steps: [&dyn Fn(&mut Origin); 3] = [&Origin::die, &Origin::revive, &Origin::die];
    for step in steps {
        step(&mut b);
        event(lab);
        at.push(Instant::now());
    }
    at.windows(2)
        .map(|pair| Millis((pair[1] - pair[0]).as_millis().try_into().unwrap()))
        .collect()
}

#[test]
fn intervals_while_the_state_is_changing() {
    for intervals in [
        "inter 2s fall 2 rise 2",
        "inter 2s fastinter 200ms fall 2 rise 2",
        "inter 300ms downinter 2s fall 2 rise 2",
        "inter 300ms fastinter 2s downinter 4s fall 2 rise 2",
    ] {
        same(&format!("intervals, {intervals}"), |lab| {
            gaps(lab, intervals)
        });
    }
}
