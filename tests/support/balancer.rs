//! A balancer as a process: started with a configuration's text, asked, signalled, reloaded, and
//! killed when dropped.

use std::io::{BufRead, BufReader, Read};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::metrics::Metrics;
use super::wait::{PATIENCE, until, within};
use super::{loopback, not_run};

/// What is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    /// The binary of this package.
    Evenkeel,
    /// The HAProxy 3.0 that decides what is right, in the tree that `tests/run` makes.
    HAProxy {
        /// The Debian tree it comes from.
        root: PathBuf,
    },
}

impl Program {
    /// What tests without a comparison run: evenkeel. `EVENKEEL_UNDER_TEST=haproxy` puts HAProxy in
    /// its place, to see whether a scenario itself holds.
    pub(crate) fn under_test() -> Self {
        match std::env::var("EVENKEEL_UNDER_TEST").as_deref() {
            Ok("haproxy") => {
                Self::oracle().expect("EVENKEEL_UNDER_TEST=haproxy needs the oracle tree")
            }
            Ok(other) => panic!("EVENKEEL_UNDER_TEST={other}: only 'haproxy' is known"),
            Err(_) => Self::Evenkeel,
        }
    }

    /// HAProxy 3.0, when its tree is there: `$EVENKEEL_ORACLE/trixie` or `target/oracle/trixie`.
    pub(crate) fn oracle() -> Option<Self> {
        let trees = std::env::var_os("EVENKEEL_ORACLE").map_or_else(
            || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/oracle"),
            PathBuf::from,
        );
        let root = trees.join("trixie");
        root.join("usr/sbin/haproxy")
            .exists()
            .then_some(Self::HAProxy { root })
    }

    /// The oracle, or a note that `test` did not run.
    pub(crate) fn oracle_for(test: &str) -> Option<Self> {
        let oracle = Self::oracle();
        if oracle.is_none() {
            not_run(
                test,
                "no HAProxy 3.0 tree; tests/run makes one (as root, with debootstrap)",
            );
        }
        oracle
    }

    /// A command that starts it, without arguments.
    pub(crate) fn command(&self) -> Command {
        match self {
            Self::Evenkeel => Command::new(env!("CARGO_BIN_EXE_evenkeel")),
            // The tree's own loader rather than a chroot: HAProxy sees the same files and needs no root.
            Self::HAProxy { root } => {
                let mut command = Command::new(root.join("lib64/ld-linux-x86-64.so.2"));
                command
                    .arg("--library-path")
                    .arg(root.join("usr/lib/x86_64-linux-gnu"))
                    .args(["--argv0", "haproxy"])
                    .arg(root.join("usr/sbin/haproxy"));
                command
            }
        }
    }

    /// A file in `folder` by which it starts, and starts itself again: at a reload HAProxy's master
    /// does so by the name that it was started with.
    pub(crate) fn starter(&self, folder: &Path) -> PathBuf {
        let Self::HAProxy { root } = self else {
            return PathBuf::from(env!("CARGO_BIN_EXE_evenkeel"));
        };
        let path = folder.join("haproxy");
        let script = format!(
            "#!/bin/sh\nexec {root}/lib64/ld-linux-x86-64.so.2 --library-path \
             {root}/usr/lib/x86_64-linux-gnu --argv0 {path} {root}/usr/sbin/haproxy \"$@\"\n",
            root = root.display(),
            path = path.display(),
        );
        std::fs::write(&path, script).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    /// Runs it to its end, which must come soon.
    pub(crate) fn run<A: AsRef<std::ffi::OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = A>,
    ) -> Finished {
        let mut command = self.command();
        command
            .args(arguments)
            // A name server that is slow to know nothing of a name is not to be waited for (resolv.conf(5)).
            .env("RES_OPTIONS", "timeout:1 attempts:2")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let readers = [read_all(Box::new(stdout)), read_all(Box::new(stderr))];
        let status = within(PATIENCE, || child.try_wait().unwrap());
        if status.is_none() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        let [stdout, stderr] = readers.map(|reader| reader.join().unwrap());
        let status =
            status.unwrap_or_else(|| panic!("{command:?} did not end; it said:\n{stdout}{stderr}"));
        Finished {
            status,
            stdout,
            stderr,
        }
    }
}

/// A program that ran to its end.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Finished {
    /// The exit code; fails the test when a signal ended the program.
    pub(crate) fn code(&self) -> i32 {
        self.status
            .code()
            .unwrap_or_else(|| panic!("ended by signal {:?}: {self:?}", self.status.signal()))
    }
}

/// How a balancer is started, beyond its configuration.
#[derive(Clone, Debug, Default)]
pub(crate) struct Launch {
    /// Further arguments.
    pub(crate) arguments: Vec<String>,
    /// RLIMIT_NOFILE, soft and hard; `None`: as the test has it.
    pub(crate) descriptors: Option<u32>,
    /// The file that it is started by; `None`: its program's.
    pub(crate) path: Option<PathBuf>,
    /// What it inherits as descriptor 9.
    pub(crate) inherited: Option<Arc<OwnedFd>>,
}

impl Launch {
    fn is_master(&self) -> bool {
        self.arguments.iter().any(|argument| argument == "-W")
    }
}

/// A running balancer.
pub(crate) struct Balancer {
    child: Child,
    has_workers: bool,
    program: Program,
    directory: PathBuf,
    admin: SocketAddr,
    output: Lines,
    notices: UnixDatagram,
    noticed: Mutex<Vec<String>>,
}

/// Lines that a reading thread appends to.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl Balancer {
    /// Starts `program` with `config` and waits until it listens.
    pub(crate) fn start(
        program: &Program,
        config: &str,
        admin: SocketAddr,
        launch: &Launch,
    ) -> Self {
        let directory = temporary_directory();
        let notify = directory.join("notify");
        let notices = UnixDatagram::bind(&notify).unwrap();
        notices.set_nonblocking(true).unwrap();

        let mut text = config.to_owned();
        let starting = match &launch.path {
            Some(path) => Command::new(path),
            None if launch.is_master() => Command::new(program.starter(&directory)),
            None => program.command(),
        };
        let mut command = with_descriptors(starting, launch.descriptors);
        if launch.inherited.is_some() {
            let inheriting = ["-c", "exec 9<&0 </dev/null; exec \"$@\"", "sh"];
            let mut shell = Command::new("sh");
            shell.args(inheriting).arg(command.get_program());
            shell.args(command.get_args());
            command = shell;
        }
        command.arg("-f").arg(directory.join("lb.cfg"));
        match program {
            Program::Evenkeel => {
                command.args(["--admin", &admin.to_string()]);
            }
            Program::HAProxy { .. } => text.push_str(&exporter(admin)),
        }
        std::fs::write(directory.join("lb.cfg"), &text).unwrap();
        command
            .args(&launch.arguments)
            .env("NOTIFY_SOCKET", &notify)
            .stdin(
                launch
                    .inherited
                    .as_ref()
                    .map_or_else(Stdio::null, |one| one.try_clone().unwrap().into()),
            )
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());

        let mut child = command.spawn().unwrap();
        let output = Lines::default();
        output.collect(child.stdout.take().unwrap());
        output.collect(child.stderr.take().unwrap());
        let mut balancer = Self {
            child,
            has_workers: launch.is_master() && matches!(program, Program::HAProxy { .. }),
            program: program.clone(),
            directory,
            admin,
            output,
            notices,
            noticed: Mutex::default(),
        };
        balancer.wait_until_ready(&text);
        balancer
    }

    fn wait_until_ready(&mut self, config: &str) {
        let binds = binds(config);
        until("the balancer is ready", || {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!(
                    "the balancer did not start ({status}):\n{}",
                    self.output().join("\n")
                );
            }
            let notified = match self.program {
                Program::Evenkeel => self
                    .notices()
                    .iter()
                    .any(|notice| notice.contains("READY=1")),
                // Notifies only under -Ws.
                Program::HAProxy { .. } => true,
            };
            (notified && binds.iter().all(|&address| loopback::is_listening(address))).then_some(())
        });
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Which program it is.
    pub(crate) fn program(&self) -> &Program {
        &self.program
    }

    /// A file of its directory, which goes with it.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// What it has written to stdout and stderr, line by line.
    pub(crate) fn output(&self) -> Vec<String> {
        self.output.0.lock().unwrap().clone()
    }

    /// Waits for a line on stdout or stderr that contains `part`.
    pub(crate) fn says(&self, part: &str) -> String {
        within(PATIENCE, || {
            self.output().into_iter().find(|line| line.contains(part))
        })
        .unwrap_or_else(|| {
            panic!(
                "no line contains {part:?}; it said:\n{}",
                self.output().join("\n")
            )
        })
    }

    /// What it told the service manager, a datagram each.
    pub(crate) fn notices(&self) -> Vec<String> {
        let mut noticed = self.noticed.lock().unwrap();
        let mut buffer = [0; 4096];
        while let Ok(length) = self.notices.recv(&mut buffer) {
            noticed.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
        }
        noticed.clone()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Whether it still runs.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// How it ended; waits for that.
    pub(crate) fn exit(&mut self) -> ExitStatus {
        until("the balancer ends", || self.child.try_wait().unwrap())
    }

    /// Puts another configuration into its file and asks for a reload; waits until the balancer
    /// says that it is done (not necessarily that it succeeded). Evenkeel only.
    pub(crate) fn reload(&self, config: &str) {
        let before = self.notices().len();
        std::fs::write(self.file("lb.cfg"), config).unwrap();
        self.signal(Signal::HUP);
        until("the reload ends", || {
            let notices = self.notices();
            let begun = notices[before..]
                .iter()
                .position(|notice| notice.contains("RELOADING=1"))?;
            notices[before + begun..]
                .iter()
                .any(|notice| notice.contains("READY=1"))
                .then_some(())
        });
    }

    /// Its metrics, as Prometheus gets them.
    pub(crate) fn metrics(&self) -> Metrics {
        Metrics::scrape(self.admin)
    }

    /// Where the administrator's HTTP is.
    pub(crate) fn admin(&self) -> SocketAddr {
        self.admin
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        // Workers outlive a master that is killed, and end with one that is told to.
        if self.has_workers && self.child.try_wait().unwrap().is_none() {
            let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
            let _ = within(PATIENCE, || self.child.try_wait().unwrap());
        }
        // Fails only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("{:?} said:\n{}", self.program, self.output().join("\n"));
        }
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

impl Lines {
    fn collect(&self, from: impl Read + Send + 'static) {
        let lines = self.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(from).lines().map_while(Result::ok) {
                lines.0.lock().unwrap().push(line);
            }
        });
    }
}

fn read_all(mut from: Box<dyn Read + Send>) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut text = Vec::new();
        from.read_to_end(&mut text).unwrap();
        String::from_utf8_lossy(&text).into_owned()
    })
}

/// A new empty directory below Cargo's for integration tests.
pub(crate) fn temporary_directory() -> PathBuf {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let directory =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{number}", std::process::id()));
    // A leftover of an earlier process with this id is of no use to anybody.
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir_all(&directory).unwrap();
    directory
}

/// The command started under a descriptor limit.
fn with_descriptors(command: Command, limit: Option<u32>) -> Command {
    let Some(limit) = limit else { return command };
    let mut limited = Command::new("sh");
    limited
        .args(["-c", &format!("ulimit -n {limit} && exec \"$@\""), "sh"])
        .arg(command.get_program())
        .args(command.get_args());
    limited
}

/// The sections that make HAProxy export its metrics at `address`; last in the file and with
/// defaults of their own, so that they change nothing for the others.
fn exporter(address: SocketAddr) -> String {
    format!(
        "
defaults exporter
    mode http
    timeout client 30s
    timeout server 30s
    timeout connect 5s

frontend exporter from exporter
    bind {address}
    http-request use-service prometheus-exporter
"
    )
}

/// The TCP addresses that a configuration binds.
fn binds(config: &str) -> Vec<SocketAddr> {
    config
        .lines()
        .filter_map(|line| line.trim().strip_prefix("bind "))
        .filter_map(|rest| rest.split_whitespace().next())
        .flat_map(|addresses| addresses.split(','))
        .filter_map(|address| {
            let wildcard = address
                .strip_prefix("*:")
                .or_else(|| address.strip_prefix(':'));
            match wildcard {
                Some(port) => Some(SocketAddr::new(
                    IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                    port.parse().ok()?,
                )),
                None => address.parse().ok(),
            }
        })
        .collect()
}

/// Waits until `condition` holds of the balancer's metrics.
pub(crate) fn until_metrics(
    balancer: &Balancer,
    what: &str,
    mut condition: impl FnMut(&Metrics) -> bool,
) -> Metrics {
    let mut last = None;
    let found = within(PATIENCE, || {
        let metrics = balancer.metrics();
        if condition(&metrics) {
            return Some(metrics);
        }
        last = Some(metrics);
        None
    });
    found.unwrap_or_else(|| {
        panic!(
            "{what}: not so in the metrics within {:?}: {last:#?}",
            Duration::as_secs(&PATIENCE)
        )
    })
}
