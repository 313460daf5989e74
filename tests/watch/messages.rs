//! `--log-format json`: whatever the process says on its standard error is one object a line.

use std::process::Command;

use serde_json::Value;

use crate::files::text;
use crate::support::balancer::{Launch, temporary_directory};
use crate::support::lab::visit;
use crate::support::{Lab, Program, until};

fn objects(lines: &[String]) -> Vec<Value> {
    let objects = lines.iter().map(|line| {
        let object: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"));
        for name in ["timestamp", "level", "message"] {
            assert!(object[name].is_string(), "no {name}: {line}");
        }
        object
    });
    objects.collect()
}

fn arguments() -> Vec<String> {
    ["--log-format", "json"].map(str::to_owned).to_vec()
}

#[test]
fn start_changes_and_a_failed_reload_are_told_as_objects() {
    let lab = Lab::of(Program::Evenkeel);
    let mut only = lab.origin("only");
    let front = lab.address();
    let text = format!(
        "{}\nlisten api\n    bind {front}\n    server only {} check inter 50ms fall 1 rise 1\n",
        lab.preamble(),
        only.address()
    );
    let launch = Launch {
        arguments: arguments(),
        ..Launch::default()
    };
    let lb = lab.launch(&text, &launch);
    lb.says("\"message\":\"ready\"");
    only.die();
    lb.says("api/only is DOWN");
    lb.reload("listen api\n    nonsense\n");
    lb.says("reload failed");
    let objects = objects(&lb.output());
    let level_of = |part: &str| {
        let told = objects
            .iter()
            .find(|object| object["message"].as_str().unwrap().contains(part));
        told.unwrap_or_else(|| panic!("{part}: {objects:?}"))["level"].clone()
    };
    assert_eq!(level_of("ready"), "info");
    assert_eq!(level_of("reload failed"), "error");
    assert_eq!(level_of("unknown keyword 'nonsense'"), "error");
    assert!(
        objects
            .iter()
            .all(|object| object["pid"] == u64::from(lb.pid()))
    );
}

/// Both streams of a container are one.
#[test]
fn a_toml_file_that_says_nothing_of_logs_makes_objects_alone() {
    let lab = Lab::of(Program::Evenkeel);
    let (dead, front) = (lab.dead_origin("dead"), lab.address());
    let directory = temporary_directory();
    let (file, said) = (directory.join("lb.toml"), directory.join("said"));
    let text = format!(
        "[frontend.f]\nbind = '{front}'\nbackend = 'm'\n[backend.m.servers]\nm1 = '{}'\n",
        dead.address()
    );
    std::fs::write(&file, text).unwrap();
    let stream = std::fs::File::create(&said).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_evenkeel"))
        .args(["-W", "--log-format", "json", "-f"])
        .arg(&file)
        .stdout(stream.try_clone().unwrap())
        .stderr(stream)
        .spawn()
        .unwrap();
    let lines = until("a server that is down", || {
        let lines = std::fs::read_to_string(&said).unwrap();
        lines.contains("m/m1 is DOWN").then_some(lines)
    });
    child.kill().unwrap();
    child.wait().unwrap();
    let (whole, _) = lines.rsplit_once('\n').unwrap();
    let lines: Vec<_> = whole.lines().map(str::to_owned).collect();
    let objects = objects(&lines);
    let is_down = |object: &&Value| object["message"].as_str().unwrap().contains("m/m1 is DOWN");
    let down = objects.iter().find(is_down).unwrap();
    assert_eq!(down["level"], "error");
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn mistakes_of_a_file_have_their_place_in_fields() {
    let directory = temporary_directory();
    let file = directory.join("lb.cfg");
    std::fs::write(&file, "listen api\n    nonsense\n    bond 127.0.0.1:1\n").unwrap();
    let name = file.to_str().unwrap();
    let finished = Program::Evenkeel.run(["-c", "-f", name, "--log-format", "json"]);
    assert_eq!(finished.code(), 1);
    let lines: Vec<_> = finished.stderr.lines().map(str::to_owned).collect();
    let told = objects(&lines);
    let of_line = |line: u64| told.iter().find(|object| object["line"] == line).unwrap();
    assert_eq!(of_line(2)["file"], name);
    assert_eq!(of_line(2)["column"], 5);
    assert_eq!(of_line(2)["level"], "error");
    let message = of_line(3)["message"].as_str().unwrap();
    assert!(message.contains("did you mean 'bind'?"), "{message}");
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn session_lines_are_objects_by_the_manuals_log_format() {
    let manual = text("docs/watch.md");
    let format = manual
        .lines()
        .find(|line| line.starts_with("log-format "))
        .unwrap();
    let lab = Lab::of(Program::Evenkeel);
    let only = lab.origin("only");
    let front = lab.address();
    let lb = lab.start(&format!(
        "global\n    log stdout format raw local0\n{}\nlisten api\n    bind {front}\n    {format}\n    server only {}\n",
        lab.defaults(),
        only.address()
    ));
    assert_eq!(visit(front), "only");
    let line = until("the session is logged", || {
        let lines = lb.output();
        lines.into_iter().find(|line| line.contains("\"client\""))
    });
    let object: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line}"));
    assert_eq!(object["frontend"], "api");
    assert_eq!(object["server"], "only");
    assert_eq!(object["retries"], 0);
    assert_eq!(object["bytes"], "only\n".len());
    assert!(object["total"].is_u64(), "{line}");
}
