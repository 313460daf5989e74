//! The real kubectl, of another release: only what it says of its own version is the doubles'.

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
    let error = Command::new("/usr/lib/doubles/kubectl")
        .args(arguments)
        .exec();
    eprintln!("kubectl: {error}");
    ExitCode::from(127)
}
