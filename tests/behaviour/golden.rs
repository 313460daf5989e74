//! What scripts and collectors read by name and position, and what operators grep for, against facts
//! written down from real HAProxies: tests/vectors/golden says of which.

use std::path::PathBuf;

use crate::support::balancer::temporary_directory;
use crate::support::checked;
use crate::support::cli::ask;
use crate::support::{Balancer, Lab, Origin};

/// The lines of a file of facts.
fn facts(name: &str) -> Vec<String> {
    let path = format!("{}/tests/vectors/golden/{name}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    // Its first line says what it is; some answers begin with '#', too.
    let lines: Vec<String> = text.lines().skip(1).map(str::to_owned).collect();
    assert!(lines.len() > 2, "{name} has {} lines", lines.len());
    lines
}

/// A control plane's balancer with three servers that are up, and its stats socket.
fn start(lab: &Lab) -> (Balancer, Origin, PathBuf) {
    let socket = temporary_directory().join("cli");
    let server = lab.origin("cp");
    let origin = server.address();
    let lb = lab.start(&format!(
        "
global
    {log}
    maxconn 2000
    stats socket {socket} level admin
{defaults}
frontend kube-apiserver
    bind {front}
    default_backend kube-be
backend kube-be
    default-server check
    server cp1 {origin}
    server cp2 {origin}
    server cp3 {origin}
",
        log = lab.log(),
        socket = socket.display(),
        defaults = lab.defaults(),
        front = lab.address(),
    ));
    (lb, server, socket)
}

#[test]
fn the_columns_of_show_stat_have_haproxys_names_and_places() {
    let lab = Lab::new();
    let (_lb, _server, socket) = start(&lab);
    let answer = ask(&socket, "show stat");
    let head = answer.lines().next().unwrap().strip_prefix("# ").unwrap();
    let columns: Vec<&str> = head.split(',').take_while(|name| *name != "-").collect();
    let columns: Vec<&str> = columns
        .into_iter()
        .filter(|name| !name.is_empty())
        .collect();
    assert_eq!(columns, facts("stat.txt"));
}

/// `POSITION.NAME ORIGIN TYPE` of a line of `show info typed`.
fn typed_info(line: &str) -> Option<String> {
    let (head, rest) = line.split_once(".1:")?;
    let mut parts = rest.split(':');
    Some(format!("{head} {} {}", parts.next()?, parts.next()?))
}

#[test]
fn the_lines_of_show_info_have_haproxys_names_places_and_types() {
    let lab = Lab::new();
    let (_lb, _server, socket) = start(&lab);
    let typed = ask(&socket, "show info typed");
    let lines: Vec<String> = typed.lines().filter_map(typed_info).collect();
    assert_eq!(lines, facts("info.txt"));
    let plain = ask(&socket, "show info");
    let names: Vec<&str> = plain
        .lines()
        .filter_map(|line| Some(line.split_once(": ")?.0))
        .collect();
    let of_typed: Vec<&str> = lines
        .iter()
        .filter_map(|line| line.split_once('.')?.1.rsplitn(3, ' ').last())
        .collect();
    assert_eq!(names, of_typed);
}

/// `OBJECT POSITION.NAME ORIGIN TYPE` of a line of `show stat typed`.
fn typed_stat(line: &str) -> Option<String> {
    let (head, rest) = line.split_once(".1:")?;
    let head: Vec<&str> = head.split('.').collect();
    let [object, _proxy, _server, position, name] = head[..] else {
        return None;
    };
    let mut parts = rest.split(':');
    let (tags, form) = (parts.next()?, parts.next()?);
    Some(format!("{object} {position}.{name} {tags} {form}"))
}

#[test]
fn typed_statistics_have_haproxys_places_tags_and_types() {
    let lab = Lab::new();
    let (_lb, _server, socket) = start(&lab);
    let known = facts("stat-typed.txt");
    let answer = ask(&socket, "show stat typed");
    let ours: Vec<String> = answer.lines().filter_map(typed_stat).collect();
    assert!(ours.len() > 100, "{answer}");
    let shown = |line: &&String| !ours.contains(line);
    let missing: Vec<&String> = known.iter().filter(shown).collect();
    assert_eq!(missing, Vec::<&String>::new());
}

#[test]
fn servers_states_and_connections_have_haproxys_headings() {
    let lab = Lab::new();
    let (_lb, _server, socket) = start(&lab);
    let state = ask(&socket, "show servers state");
    let conn = ask(&socket, "show servers conn");
    let mut heads: Vec<&str> = state.lines().take(2).collect();
    heads.extend(conn.lines().next());
    // One number a thread ends the second heading.
    let without_threads = |line: &str| line.split('[').next().map(str::to_owned);
    let heads: Vec<_> = heads.into_iter().filter_map(without_threads).collect();
    let known = facts("servers.txt");
    let known: Vec<_> = known
        .iter()
        .filter_map(|line| without_threads(line))
        .collect();
    assert_eq!(heads, known);
}

#[test]
fn commands_are_answered_and_logged_in_haproxys_words() {
    let lab = Lab::new();
    let (_lb, _server, socket) = start(&lab);
    let mut answer = String::new();
    let mut asked = 0;
    for line in facts("commands.txt").iter().skip(1) {
        let (kind, rest) = line.split_once(' ').unwrap();
        match kind {
            ">" => {
                assert_eq!(answer.trim(), "", "before {rest}");
                answer = ask(&socket, rest);
                asked += 1;
            }
            "<" => {
                assert_eq!(answer.trim(), rest);
                answer.clear();
            }
            severity => {
                let event = match rest.starts_with("Server ") {
                    true => lab.syslog.event(),
                    // In their order servers' changes alone are kept.
                    false => lab.syslog.containing(rest),
                };
                let level = ["emerg", "alert", "crit", "err", "warning", "notice"];
                assert_eq!(event.text, rest);
                assert_eq!(
                    level.get(usize::from(event.level)),
                    Some(&severity),
                    "{rest}"
                );
            }
        }
    }
    assert!(asked > 20, "only {asked} commands");
    let more = lab.syslog.all();
    let told = facts("commands.txt");
    let events = more
        .iter()
        .filter(|message| message.text.starts_with("Server "));
    for event in events {
        assert!(
            told.iter().any(|line| line.ends_with(&event.text)),
            "{event:?}"
        );
    }
}

/// What a first check of each kind of server is logged as.
#[test]
fn checks_are_logged_in_haproxys_words() {
    let lab = Lab::new();
    let servers = checked::servers(&lab);
    let _lb = lab.start(&checked::config(&lab, &servers, "rise 1 fall 2"));
    let known = facts("checks.txt");
    for line in &known {
        let about = line
            .split(' ')
            .take(6)
            .skip(1)
            .collect::<Vec<_>>()
            .join(" ");
        let message = lab.syslog.containing(&format!("{about} "));
        assert_eq!(message.level, 5, "notice: {message:?}");
        let (head, tail) = message.text.split_once("check duration: ").unwrap();
        let (_, tail) = tail.split_once("ms").unwrap();
        let text = format!("{head}check duration: Nms{tail}");
        assert_eq!(format!("notice {text}"), *line);
    }
    assert!(known.len() > 30, "only {} checks", known.len());
}
