//! Programs of the machine that tests run on.

use std::env;
use std::process::{Command, Stdio};

/// Which of the tools, each with the Debian package that has it, is not to be found, as a reason not to run.
pub(crate) fn missing(tools: &[(&str, &str)]) -> Option<String> {
    let path = env::var_os("PATH").unwrap_or_default();
    let is_there = |tool: &str| env::split_paths(&path).any(|folder| folder.join(tool).is_file());
    tools
        .iter()
        .find(|(tool, _)| !is_there(tool))
        .map(|(tool, package)| format!("{tool} is missing (Debian's package {package} has it)"))
}

/// Runs a command to its end; it must succeed. What it printed.
#[track_caller]
pub(crate) fn run(command: &mut Command) -> String {
    let output = command
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{command:?}: {}\n{stdout}{stderr}",
        output.status
    );
    stdout
}
