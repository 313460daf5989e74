//! A Debian with systemd, booted by systemd-nspawn inside namespaces of the test's own: when the test
//! ends, however it ends, the kernel ends every process of it. What the machine has and who waits for it
//! is for the test to say.

use std::env;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{self, Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::process::{Pid, Signal, kill_process};

use super::space;
use super::tools::{self, run};
use super::wait::until;

/// What it takes, with the Debian package that has it.
const TOOLS: [(&str, &str); 5] = [
    ("ip", "iproute2"),
    ("mount", "mount"),
    ("nsenter", "util-linux"),
    ("systemd-nspawn", "systemd-container"),
    ("unshare", "util-linux"),
];

/// The hierarchies of control groups in which systemd keeps what it runs, where each may be mounted: the
/// only one of today's kernels, or the two of a kernel that has the old ones as well.
const HIERARCHIES: [&str; 3] = [
    "/sys/fs/cgroup",
    "/sys/fs/cgroup/systemd",
    "/sys/fs/cgroup/unified",
];

/// Names the groups of a test, to the process that is inside of its namespaces.
const GROUPS: &str = "EVENKEEL_TEST_GROUPS";

/// Puts the shell into a group of its own among those of the test, and becomes a machine. Two systemds in
/// one group would take away each other's groups of services.
const ENTER: &str = r#"for groups in /sys/fs/cgroup/"$EVENKEEL_TEST_GROUPS" /sys/fs/cgroup/*/"$EVENKEEL_TEST_GROUPS"; do
    [ ! -d "$groups" ] || { mkdir "$groups/$0-$$" && echo $$ >"$groups/$0-$$/cgroup.procs"; } || exit
done
exec systemd-nspawn "$@""#;

/// Where tests/run keeps the trees that are booted, of which `target` is the folder beside which cargo builds.
pub(crate) fn tree(target: &Path, name: &str) -> PathBuf {
    let trees = env::var_os("EVENKEEL_ORACLE").map_or_else(|| target.join("oracle"), PathBuf::from);
    trees.join(name)
}

/// Why no machine of this tree can be booted here, if so; the tree must have a file.
pub(crate) fn missing(tree: &Path, file: &str) -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("it boots a machine, for which it must be root".to_owned());
    }
    if let Some(why) = tools::missing(&TOOLS) {
        return Some(why);
    }
    if !tree.join(file).exists() {
        let tree = tree.display();
        return Some(format!(
            "no Debian with {file} in {tree}: tests/run makes it"
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

/// Runs the test called `name` again, inside of namespaces in which it may boot machines.
pub(crate) fn enter(name: &str) {
    let groups = Groups::make();
    let mut unshare = Command::new("unshare");
    unshare.env(GROUPS, &groups.name);
    space::enter_by(unshare, name, space::SPACES);
}

/// To be called inside first: what a machine finds there.
pub(crate) fn prepare() {
    run(Command::new("sh").args(["-ec", "mount -t tmpfs tmpfs /run && ip link set lo up"]));
}

/// Control groups for the machines of one test, removed when all of these have gone.
struct Groups {
    name: String,
    folders: Vec<PathBuf>,
}

impl Groups {
    fn make() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("evenkeel-test-{}-{count}", process::id());
        let folders = HIERARCHIES
            .iter()
            .map(Path::new)
            .filter(|place| place.join("cgroup.procs").exists())
            .map(|place| {
                let folder = place.join(&name);
                fs::create_dir(&folder).unwrap();
                folder
            })
            .collect();
        Self { name, folders }
    }
}

impl Drop for Groups {
    fn drop(&mut self) {
        for folder in &self.folders {
            remove(folder);
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

/// A machine that runs. When this goes, its power is cut: nothing is written back, nobody is told.
pub(crate) struct Booted {
    nspawn: Child,
    /// The process id of its init, as we see it.
    leader: u32,
}

impl Booted {
    /// Boots it with these options of systemd-nspawn, and waits until `is_up`, a line of shell in it,
    /// succeeds. What it says until then is in `log`.
    pub(crate) fn boot(
        name: &str,
        options: impl IntoIterator<Item = impl AsRef<OsStr>>,
        log: &Path,
        is_up: &str,
    ) -> Self {
        let said = File::create(log).unwrap();
        let mut nspawn = Command::new("sh")
            .args(["-c", ENTER, name])
            .args(["--quiet", "--boot", "--keep-unit", "--register=no"])
            .arg("--resolv-conf=off")
            .arg(format!("--machine={name}"))
            .args(options)
            // The settings of its own network, and of nothing else, may be changed.
            .env("SYSTEMD_NSPAWN_API_VFS_WRITABLE", "network")
            .stdin(Stdio::null())
            .stdout(said.try_clone().unwrap())
            .stderr(said)
            .spawn()
            .unwrap();
        let children = format!("/proc/{0}/task/{0}/children", nspawn.id());
        let leader = until("a machine that has booted", || {
            if nspawn.try_wait().unwrap().is_some() {
                let said = fs::read_to_string(log).unwrap_or_default();
                panic!("{name} did not boot: {said}");
            }
            // The first child is one of nspawn's own, which makes the init and goes.
            let children = fs::read_to_string(&children).ok()?;
            let leader = children.split_whitespace().next()?.parse().ok()?;
            let output = inside(leader, is_up).output().unwrap();
            output.status.success().then_some(leader)
        });
        Self { nspawn, leader }
    }

    /// The process id of its init, as we see it.
    pub(crate) fn leader(&self) -> u32 {
        self.leader
    }

    /// Runs a line of shell as root of the machine, past its network.
    pub(crate) fn try_sh(&self, line: &str) -> Output {
        inside(self.leader, line).output().unwrap()
    }

    /// The same; it must succeed. What it printed.
    #[track_caller]
    pub(crate) fn sh(&self, line: &str) -> String {
        run(&mut inside(self.leader, line))
    }

    /// Its root directory, as we see it.
    pub(crate) fn root(&self) -> String {
        format!("/proc/{}/root", self.leader)
    }

    /// Puts a file into the machine.
    pub(crate) fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        fs::write(self.root() + path, content).unwrap();
    }

    /// The same with what a file here holds.
    pub(crate) fn copy_in(&self, from: &Path, to: &str) {
        self.write(to, fs::read(from).unwrap());
    }

    /// What a file of the machine holds.
    pub(crate) fn read(&self, path: &str) -> String {
        fs::read_to_string(self.root() + path).unwrap()
    }

    pub(crate) fn exists(&self, path: &str) -> bool {
        fs::exists(self.root() + path).unwrap()
    }
}

impl Drop for Booted {
    fn drop(&mut self) {
        let leader = i32::try_from(self.leader).ok().and_then(Pid::from_raw);
        if let Some(leader) = leader {
            let _ = kill_process(leader, Signal::KILL);
        }
        let _ = self.nspawn.kill();
        let _ = self.nspawn.wait();
    }
}

fn inside(leader: u32, line: &str) -> Command {
    let mut command = Command::new("nsenter");
    command
        .args(["--target", &leader.to_string(), "--all", "env", "-i"])
        .arg("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .args(["HOME=/root", "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive"])
        .args(["sh", "-c", line])
        .stdin(Stdio::null());
    command
}
