//! A Debian with systemd, booted by systemd-nspawn inside namespaces of the test's own: when the test
//! ends, however it ends, the kernel ends every process of it. The tree that it boots is only read.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{self, Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::parcel;
use crate::support::{not_run, space, until};

/// The hierarchies of control groups in which systemd keeps what it runs, where each may be mounted: the
/// only one of today's kernels, or the two of a kernel that has the old ones as well.
const HIERARCHIES: [&str; 3] = [
    "/sys/fs/cgroup",
    "/sys/fs/cgroup/systemd",
    "/sys/fs/cgroup/unified",
];

/// Puts the shell into the groups of a name, and becomes what is left of its arguments.
const ENTER: &str = r#"for group in /sys/fs/cgroup"$0" /sys/fs/cgroup/*"$0"; do
    [ ! -d "$group" ] || echo $$ >"$group/cgroup.procs" || exit
done
exec "$@""#;

/// What the tests start, with the Debian package that has it.
const TOOLS: [(&str, &str); 4] = [
    ("systemd-nspawn", "systemd-container"),
    ("unshare", "util-linux"),
    ("nsenter", "util-linux"),
    ("ip", "iproute2"),
];

/// Runs `body` with a freshly booted machine; `name` is the full name of the test that calls.
pub(crate) fn with_machine(name: &str, body: fn(&Machine)) {
    if space::is_inside() {
        return body(&Machine::boot());
    }
    if let Some(why) = missing() {
        return not_run(&format!("package {name}"), &why);
    }
    let groups = Groups::make();
    // A machine has the groups of who starts it.
    let mut unshare = Command::new("sh");
    unshare.args(["-c", ENTER, &groups.name(), "unshare"]);
    space::enter_by(unshare, name, space::SPACES);
}

fn missing() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("it boots a machine, for which it must be root".to_owned());
    }
    let path = env::var_os("PATH").unwrap_or_default();
    for (tool, package) in TOOLS {
        if !env::split_paths(&path).any(|folder| folder.join(tool).is_file()) {
            return Some(format!(
                "{tool} is missing (Debian's package {package} has it)"
            ));
        }
    }
    if let Some(why) = parcel::missing() {
        return Some(why);
    }
    let tree = tree();
    if !tree.join("usr/lib/systemd/systemd").exists() {
        return Some(format!(
            "no Debian in {}: tests/run makes it",
            tree.display()
        ));
    }
    // Booting takes mounts and groups of processes that a container may not have.
    let output = Command::new("unshare")
        .args(space::SPACES)
        .args(["sh", "-c", "mount -t tmpfs tmpfs /run && exec systemd-nspawn -q --keep-unit --register=no --volatile=overlay -D \"$0\" true"])
        .arg(tree)
        .output()
        .unwrap();
    (!output.status.success()).then(|| {
        let why = String::from_utf8_lossy(&output.stderr);
        format!("systemd-nspawn does not work here: {}", why.trim())
    })
}

/// Where tests/run keeps the Debian that is booted: 12, or the release that `EVENKEEL_DEBIAN` names.
fn tree() -> PathBuf {
    let trees = env::var_os("EVENKEEL_ORACLE").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/oracle"),
        PathBuf::from,
    );
    let release = env::var("EVENKEEL_DEBIAN").unwrap_or_else(|_| "bookworm".to_owned());
    trees.join(format!("{release}-systemd"))
}

/// Control groups for one machine. Two that run at once would otherwise have the same, and each would
/// take away the other's groups of services.
struct Groups(Vec<PathBuf>);

impl Groups {
    fn make() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("evenkeel-package-{}-{count}", process::id());
        let groups = HIERARCHIES
            .iter()
            .map(Path::new)
            .filter(|place| place.join("cgroup.procs").exists())
            .map(|place| {
                let group = place.join(&name);
                fs::create_dir(&group).unwrap();
                group
            });
        Self(groups.collect())
    }

    /// With the slash before it.
    fn name(&self) -> String {
        let name = self.0.first().and_then(|group| group.file_name());
        format!("/{}", name.unwrap().to_str().unwrap())
    }
}

impl Drop for Groups {
    fn drop(&mut self) {
        for group in &self.0 {
            remove(group);
        }
    }
}

/// Removes a group and those in it, which nobody is in any more.
fn remove(group: &Path) {
    let inner = fs::read_dir(group).into_iter().flatten().flatten();
    for folder in inner.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        remove(&folder.path());
    }
    if let Err(why) = fs::remove_dir(group) {
        eprintln!("{}: {why}", group.display());
    }
}

/// A machine that runs.
pub(crate) struct Machine {
    nspawn: Child,
    /// The process id of its init, as we see it.
    leader: u32,
}

impl Machine {
    fn boot() -> Self {
        let run = |command: &str| {
            let status = Command::new("sh").args(["-c", command]).status().unwrap();
            assert!(status.success(), "{command}");
        };
        run("mount -t tmpfs tmpfs /run && ip link set lo up");
        let log = fs::File::create("/run/boot.log").unwrap();
        let mut nspawn = Command::new("systemd-nspawn")
            .args([
                "--quiet",
                "--keep-unit",
                "--register=no",
                "--resolv-conf=off",
            ])
            .args([
                "--machine=lb",
                "--volatile=overlay",
                "--boot",
                "--directory",
            ])
            .arg(tree())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let children = format!("/proc/{0}/task/{0}/children", nspawn.id());
        let leader = until("a machine that has booted", || {
            if nspawn.try_wait().unwrap().is_some() {
                let log = fs::read_to_string("/run/boot.log").unwrap_or_default();
                panic!("the machine did not boot: {log}");
            }
            // The first child is one of nspawn's own, which makes the init and goes.
            let children = fs::read_to_string(&children).ok()?;
            let leader = children.split_whitespace().next()?.parse().ok()?;
            let output = inside(leader, "systemctl is-system-running").output();
            let state = String::from_utf8(output.unwrap().stdout).unwrap();
            matches!(state.trim(), "running" | "degraded").then_some(leader)
        });
        Self { nspawn, leader }
    }

    /// The process id of its init, as we see it.
    pub(crate) fn leader(&self) -> u32 {
        self.leader
    }

    /// Runs a line of shell as root of the machine.
    pub(crate) fn try_sh(&self, line: &str) -> Output {
        inside(self.leader, line).output().unwrap()
    }

    /// The same; it must succeed. What it printed.
    #[track_caller]
    pub(crate) fn sh(&self, line: &str) -> String {
        let output = self.try_sh(line);
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "{line}: {}\n{stdout}{stderr}",
            output.status
        );
        stdout
    }

    /// Its root directory, as we see it.
    pub(crate) fn root(&self) -> String {
        format!("/proc/{}/root", self.leader)
    }

    /// Puts a file into the machine.
    pub(crate) fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        fs::write(self.root() + path, content).unwrap();
    }

    pub(crate) fn copy_in(&self, from: &Path, to: &str) {
        self.write(to, fs::read(from).unwrap());
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

fn inside(leader: u32, line: &str) -> Command {
    let mut command = Command::new("nsenter");
    command
        .args(["--target", &leader.to_string(), "--all", "env", "-i"])
        .arg("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .args([
            "LC_ALL=C",
            "DEBIAN_FRONTEND=noninteractive",
            "sh",
            "-c",
            line,
        ])
        .stdin(Stdio::null());
    command
}

impl Drop for Machine {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("{}", self.journal());
        }
        let _ = self.nspawn.kill();
        let _ = self.nspawn.wait();
    }
}
