//! Runs a test inside namespaces of its own: this binary starts itself again as the first process of
//! them. When that process ends, however it ends, the kernel ends everything it started and removes
//! every interface and mount.

use std::env;
use std::ffi::OsStr;
use std::io::{self, Read};
use std::process::{self, Command, Stdio};
use std::thread;

/// Set for the process that is inside.
const INSIDE: &str = "EVENKEEL_TEST_INSIDE";

/// The options of `unshare` that make what a test needs, as root.
pub(crate) const SPACES: [&str; 6] = [
    "--net",
    "--mount",
    "--pid",
    "--fork",
    "--kill-child",
    "--mount-proc",
];

/// Whether this process is the one inside; if so, it ends with the one that started it.
pub(crate) fn is_inside() -> bool {
    if env::var_os(INSIDE).is_none() {
        return false;
    }
    // A test run that is killed takes this process with it: our standard input ends with it.
    thread::spawn(|| {
        let _ = io::stdin().read_to_end(&mut Vec::new());
        process::exit(1);
    });
    true
}

/// Runs the test called `name` again, inside; `way_in` are options of `unshare`.
pub(crate) fn enter(name: &str, way_in: impl IntoIterator<Item = impl AsRef<OsStr>>) {
    enter_by(Command::new("unshare"), name, way_in);
}

/// The same by a command that becomes `unshare`.
pub(crate) fn enter_by(
    mut unshare: Command,
    name: &str,
    way_in: impl IntoIterator<Item = impl AsRef<OsStr>>,
) {
    let mut child = unshare
        .args(way_in)
        .arg(env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture", "--test-threads=1"])
        .env(INSIDE, "1")
        // Held open for as long as this process lives: see is_inside.
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let held = child.stdin.take();
    let output = child.wait_with_output().unwrap();
    drop(held);
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{name}: {}\n{stdout}",
        output.status
    );
    assert!(
        stdout.contains("1 passed"),
        "no test is called {name}:\n{stdout}"
    );
}
