//! The namespaces of a test, as root or as root of a user namespace, and what is run in them.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use crate::support::tools::{self, run};
use crate::support::{not_run, space};

/// What the tests start, with the Debian package that has it.
const TOOLS: [(&str, &str); 8] = [
    ("curl", "curl"),
    ("ip", "iproute2"),
    ("kubectl", "kubernetes-client"),
    ("mount", "mount"),
    ("nginx", "nginx"),
    ("nsenter", "util-linux"),
    ("openssl", "openssl"),
    ("unshare", "util-linux"),
];

/// Where a test keeps its files: on a file system that only its own mount namespace sees.
pub(crate) const DIRECTORY: &str = "/run/lab";

/// Runs `body` in namespaces of its own; `name` is the full name of the test that calls.
pub(crate) fn inside(name: &str, body: fn()) {
    if space::is_inside() {
        prepare();
        return body();
    }
    match way_in() {
        Ok(way_in) => space::enter(name, way_in),
        Err(why) => not_run(&format!("topology {name}"), why),
    }
}

/// Writes to the real standard error: the test harness hides what a passing test prints, and these
/// tables are to be seen.
pub(crate) fn say(text: &str) {
    io::stderr()
        .write_all(text.as_bytes())
        .expect("standard error is open");
}

/// The options of `unshare` that work here: as root, or else as root of a user namespace.
fn way_in() -> Result<&'static [OsString], &'static str> {
    static FOUND: OnceLock<Result<Vec<OsString>, String>> = OnceLock::new();
    FOUND
        .get_or_init(find_way_in)
        .as_deref()
        .map_err(String::as_str)
}

fn find_way_in() -> Result<Vec<OsString>, String> {
    if let Some(why) = tools::missing(&TOOLS) {
        return Err(why);
    }
    let mut reasons = Vec::new();
    for user in [&[][..], &["--user", "--map-root-user"][..]] {
        let options: Vec<OsString> = user
            .iter()
            .chain(&space::SPACES)
            .map(OsString::from)
            .collect();
        let trial = "mount -t tmpfs tmpfs /run && mkdir /run/netns && ip netns add trial";
        match Command::new("unshare")
            .args(&options)
            .args(["sh", "-c", trial])
            .output()
        {
            Ok(output) if output.status.success() => return Ok(options),
            Ok(output) => reasons.push(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
            Err(error) => reasons.push(error.to_string()),
        }
    }
    Err(format!(
        "no namespaces here: as the user that we are: {}; in a user namespace: {}",
        reasons[0], reasons[1]
    ))
}

fn prepare() {
    run(Command::new("mount").args(["-t", "tmpfs", "tmpfs", "/run"]));
    for folder in ["/run/netns", DIRECTORY] {
        fs::create_dir_all(folder).expect("a fresh tmpfs takes folders");
    }
    assert!(Path::new(DIRECTORY).is_dir());
}
