//! The real kubectl, of another release: what it says of its own version is the doubles', and so is `exec`,
//! for no container runs here.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use serde_json::json;

use crate::version;

pub fn run(arguments: &[String]) -> ExitCode {
    let is = |word: &str| arguments.iter().any(|argument| argument == word);
    let client_only = is("--client") || is("--client=true");
    if arguments.first().is_some_and(|first| first == "version") && client_only {
        let release = version("kubectl");
        if arguments.iter().any(|argument| argument.contains("json")) {
            let version = json!({"clientVersion": {
                "major": "1", "minor": release.split('.').nth(1), "gitVersion": release,
            }});
            println!("{}", serde_json::to_string_pretty(&version).unwrap());
        } else {
            println!("Client Version: {release}");
        }
        return ExitCode::SUCCESS;
    }
    if let Some(place) = arguments.iter().position(|word| word == "exec") {
        return exec(&arguments[..place], &arguments[place + 1..]);
    }
    let error = Command::new("/usr/lib/doubles/kubectl")
        .args(arguments)
        .exec();
    eprintln!("kubectl: {error}");
    ExitCode::from(127)
}

/// Runs a program of a pod of this very machine, once the API has shown that there is such a pod to whoever
/// asks.
fn exec(flags: &[String], rest: &[String]) -> ExitCode {
    let Some((pod, command)) = rest.split_first() else {
        eprintln!("error: you must specify at least one command for the container");
        return ExitCode::FAILURE;
    };
    let found = Command::new("/usr/lib/doubles/kubectl")
        .args(flags)
        .args([
            "get",
            "pod",
            pod,
            "-o",
            "jsonpath={.spec.nodeName} {.status.containerStatuses[0].ready}",
        ])
        .output();
    let found = match found {
        Ok(found) if found.status.success() => found,
        Ok(found) => {
            eprint!("{}", String::from_utf8_lossy(&found.stderr));
            return ExitCode::FAILURE;
        }
        Err(error) => {
            eprintln!("kubectl: {error}");
            return ExitCode::from(127);
        }
    };
    let here = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let found = String::from_utf8_lossy(&found.stdout).into_owned();
    if found != format!("{} true", here.trim()) {
        eprintln!("error: unable to upgrade connection: container not found (\"{pod}\": {found})");
        return ExitCode::FAILURE;
    }
    let command: Vec<String> = command
        .iter()
        .skip_while(|word| *word == "--")
        .cloned()
        .collect();
    match command.split_first() {
        Some((program, arguments)) => crate::run(program, arguments.to_vec()),
        None => {
            eprintln!("error: you must specify at least one command for the container");
            ExitCode::FAILURE
        }
    }
}
