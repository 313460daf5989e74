//! The Debian of a test of the package, freshly booted; the tree that it boots is only read.

use std::env;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::thread;

use crate::parcel;
use crate::support::booted::{self, Booted};
use crate::support::{not_run, space};

/// Runs `body` with a freshly booted machine; `name` is the full name of the test that calls.
pub(crate) fn with_machine(name: &str, body: fn(&Machine)) {
    if space::is_inside() {
        return body(&Machine::boot());
    }
    let missing = booted::missing(&tree(), "usr/lib/systemd/systemd").or_else(parcel::missing);
    if let Some(why) = missing {
        return not_run(&format!("package {name}"), &why);
    }
    booted::enter(name);
}

/// Where tests/run keeps the Debian that is booted: 12, or the release that `EVENKEEL_DEBIAN` names.
fn tree() -> PathBuf {
    let release = env::var("EVENKEEL_DEBIAN").unwrap_or_else(|_| "bookworm".to_owned());
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("target");
    booted::tree(&target, &format!("{release}-systemd"))
}

/// A machine that runs, in the test's own network.
pub(crate) struct Machine(Booted);

impl Machine {
    fn boot() -> Self {
        booted::prepare();
        let tree = format!("--directory={}", tree().display());
        let options = ["--volatile=overlay", &tree];
        // Units of Debian's own that fail in a container are not ours to mend.
        let is_up =
            "case $(systemctl is-system-running) in running | degraded) ;; *) false ;; esac";
        Self(Booted::boot(
            "lb",
            options,
            Path::new("/run/boot.log"),
            is_up,
        ))
    }

    /// What the service said, but for the lines of sessions.
    pub(crate) fn journal(&self) -> String {
        let output = self.try_sh("journalctl --no-pager -o short-precise -u evenkeel | grep -v '/[0-9]* 0/0$' | tail -n 60");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The process id of the service, as the machine sees it.
    pub(crate) fn main_pid(&self) -> u32 {
        let shown = self.sh("systemctl show -P MainPID evenkeel");
        shown.trim().parse().unwrap()
    }

    pub(crate) fn is_active(&self) -> bool {
        self.try_sh("systemctl is-active -q evenkeel")
            .status
            .success()
    }
}

impl Deref for Machine {
    type Target = Booted;

    fn deref(&self) -> &Booted {
        &self.0
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("{}", self.journal());
        }
    }
}
