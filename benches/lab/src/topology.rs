//! The network between client, balancer and servers. Where namespaces can be made: three, joined
//! by wires (veth), with the seed's addresses. Elsewhere: loopback.
//!
//! The bench starts itself again as the first process of namespaces of its own; when that one
//! ends, however it ends, the kernel ends all that it started and removes every interface.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};
use std::thread;

use anyhow::{Context as _, Result, bail, ensure};

use crate::process::{find, output};

/// Set for the process that is inside its namespaces, and how it came in.
const INSIDE: &str = "EVENKEEL_BENCH_INSIDE";

/// `loopback`: do without wires even where they could be laid.
const NETWORK: &str = "EVENKEEL_BENCH_NETWORK";

/// Who is where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    Client,
    Lb,
    Servers,
}

impl Host {
    const ALL: [Host; 3] = [Host::Client, Host::Lb, Host::Servers];

    fn name(self) -> &'static str {
        match self {
            Host::Client => "client",
            Host::Lb => "lb",
            Host::Servers => "servers",
        }
    }
}

/// Which cores a process may run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cores {
    Any,
    Only(u32),
}

/// The network, and where its files lie.
pub(crate) struct Topology {
    wires: Wires,
    /// A folder that only this run has.
    pub(crate) folder: PathBuf,
    /// Whom the balancers run as; nobody else can be chosen without root.
    user: Option<(u32, u32)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wires {
    Veth,
    Loopback,
}

/// Goes on inside namespaces: returns when this process is there, or is to do without; the
/// process that is left outside waits and ends as the one inside does.
pub(crate) fn enter() -> Result<Topology> {
    match env::var_os(INSIDE) {
        Some(how) => {
            end_with_parent();
            Topology::inside(&how)
        }
        None => match way_in() {
            Ok(options) => stay_outside(&options),
            Err(why) => {
                eprintln!("no namespaces here, so everything is on loopback: {why:#}");
                Topology::loopback()
            }
        },
    }
}

/// The options of `unshare` that work here: as root, or else as root of a user namespace.
fn way_in() -> Result<Vec<OsString>> {
    for tool in ["ip", "mount", "nsenter", "setpriv", "taskset", "unshare"] {
        ensure!(
            find(tool).is_some(),
            "{tool} is missing (Debian's util-linux, mount and iproute2 have it)"
        );
    }
    let spaces = [
        "--net",
        "--mount",
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
    ];
    let mut reasons = Vec::new();
    for user in [&[][..], &["--user", "--map-root-user"][..]] {
        let options: Vec<OsString> = user.iter().chain(&spaces).map(OsString::from).collect();
        let trial = "mount -t tmpfs tmpfs /run && mkdir /run/netns && ip netns add trial";
        match output(
            Command::new("unshare")
                .args(&options)
                .args(["sh", "-c", trial]),
        ) {
            Ok(_) => return Ok(options),
            Err(error) => reasons.push(format!("{error:#}")),
        }
    }
    bail!("{}", reasons.join("; "))
}

fn stay_outside(options: &[OsString]) -> ! {
    let how = if options.contains(&OsString::from("--user")) {
        "user namespace"
    } else {
        "root"
    };
    let this = env::current_exe().expect("a running program has a file");
    let mut child = Command::new("unshare")
        .args(options)
        .arg(this)
        .args(env::args_os().skip(1))
        .env(INSIDE, how)
        // Held open for as long as this process lives: see end_with_parent.
        .stdin(Stdio::piped())
        .spawn()
        .expect("unshare starts, it did so a moment ago");
    let held = child.stdin.take();
    let status = child.wait().expect("a child can be waited for");
    drop(held);
    process::exit(status.code().unwrap_or(1))
}

/// A bench that is ended takes what it started with it: our standard input ends with it.
fn end_with_parent() {
    thread::spawn(|| {
        let _ = io::stdin().read_to_end(&mut Vec::new());
        process::exit(130);
    });
}

impl Topology {
    fn inside(how: &OsStr) -> Result<Self> {
        output(Command::new("mount").args(["-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run"]))?;
        fs::create_dir_all("/run/netns").context("a fresh tmpfs takes folders")?;
        let wires = match env::var_os(NETWORK) {
            Some(network) if network == "loopback" => Wires::Loopback,
            _ => Wires::Veth,
        };
        let topology = Topology {
            wires,
            folder: PathBuf::from("/run/bench"),
            user: if how == "root" {
                Some(unprivileged()?)
            } else {
                None
            },
        };
        fs::create_dir_all(&topology.folder).context("a fresh tmpfs takes folders")?;
        match wires {
            Wires::Veth => topology.lay_wires()?,
            Wires::Loopback => batch(&[], "link set lo up\n")?,
        }
        for host in Host::ALL {
            topology.settle(host)?;
        }
        Ok(topology)
    }

    fn loopback() -> Result<Self> {
        let folder = env::temp_dir().join(format!("evenkeel-bench-{}", process::id()));
        fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
        let user = if rustix::process::geteuid().is_root() {
            Some(unprivileged()?)
        } else {
            None
        };
        Ok(Topology {
            wires: Wires::Loopback,
            folder,
            user,
        })
    }

    /// A sentence for the report.
    pub(crate) fn describe(&self) -> String {
        let network = match self.wires {
            Wires::Veth => {
                "client, balancer and servers in a network namespace each, joined by veth"
            }
            Wires::Loopback => "client, balancer and servers on loopback",
        };
        let user = match self.user {
            Some(_) => "balancers run as an unprivileged user",
            None => "balancers run as the user of the bench, who is not root",
        };
        format!("{network}; {user}")
    }

    /// Whether balancers run as the root of a user namespace, who can become nobody else.
    pub(crate) fn is_root_of_no_one(&self) -> bool {
        self.user.is_none() && rustix::process::geteuid().is_root()
    }

    /// Whether the kernel can be told to forward.
    pub(crate) fn can_forward(&self) -> bool {
        self.wires == Wires::Veth
    }

    /// Whether packets to one server can be lost while others arrive.
    pub(crate) fn can_silence(&self) -> bool {
        self.wires == Wires::Veth
    }

    /// Loses all packets to a server: its host no longer has the address, and says so to nobody.
    pub(crate) fn silence(&self, server: IpAddr) -> Result<Silence> {
        ensure!(self.can_silence(), "on loopback nothing can be lost");
        batch(
            &["-n", Host::Servers.name()],
            &format!("addr del {server}/32 dev lb\nroute add blackhole {server}/32\n"),
        )?;
        Ok(Silence { server })
    }

    /// Where the balancer listens, and the two servers behind it.
    pub(crate) fn seed_addresses(&self) -> Result<(SocketAddr, Vec<SocketAddr>)> {
        Ok(match self.wires {
            Wires::Veth => (LB_6443, SERVERS_6443.to_vec()),
            Wires::Loopback => (free_port(10)?, vec![free_port(11)?, free_port(12)?]),
        })
    }

    /// A command that runs as a process of this host, as root; the process id is the program's own.
    pub(crate) fn on(&self, host: Host, cores: Cores, program: impl AsRef<OsStr>) -> Command {
        self.chain(host, cores, None, program.as_ref())
    }

    /// As `on`, as the unprivileged user that a package's service has.
    pub(crate) fn unprivileged_on(
        &self,
        host: Host,
        cores: Cores,
        program: impl AsRef<OsStr>,
    ) -> Command {
        self.chain(host, cores, self.user, program.as_ref())
    }

    fn chain(
        &self,
        host: Host,
        cores: Cores,
        user: Option<(u32, u32)>,
        program: &OsStr,
    ) -> Command {
        let mut words: Vec<OsString> = Vec::new();
        if self.wires == Wires::Veth {
            words.extend([
                "nsenter".into(),
                format!("--net=/run/netns/{}", host.name()).into(),
                "--".into(),
            ]);
        }
        if let Cores::Only(core) = cores {
            let core = core.min(last_core());
            words.extend([
                "taskset".into(),
                "--cpu-list".into(),
                core.to_string().into(),
            ]);
        }
        if let Some((uid, gid)) = user {
            words.extend([
                "setpriv".into(),
                format!("--reuid={uid}").into(),
                format!("--regid={gid}").into(),
            ]);
            words.extend(
                [
                    "--clear-groups",
                    "--bounding-set=-all",
                    "--no-new-privs",
                    "--",
                ]
                .map(OsString::from),
            );
        }
        words.push(program.to_owned());
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
        command
    }

    /// Gives a file or folder to the balancers' user.
    pub(crate) fn hand_over(&self, path: &Path) -> Result<()> {
        let Some((uid, gid)) = self.user else {
            return Ok(());
        };
        std::os::unix::fs::chown(path, Some(uid), Some(gid))
            .with_context(|| format!("hand {} over", path.display()))
    }

    /// Client and servers have a wire of their own for the contestant that is no balancer; the
    /// clients come to it with another address, so that the servers answer by the same way.
    fn lay_wires(&self) -> Result<()> {
        batch(
            &[],
            "netns add client\nnetns add lb\nnetns add servers\n\
             link add lb netns client type veth peer name client netns lb\n\
             link add lb netns servers type veth peer name servers netns lb\n\
             link add servers netns client type veth peer name client netns servers\n",
        )?;
        batch(
            &["-n", "client"],
            "link set lo up\nlink set lb up\nlink set servers up\n\
             addr add 10.0.1.100/32 dev lb\naddr add 10.0.1.200/32 dev servers\n\
             route add 10.0.1.10/32 dev lb src 10.0.1.100\n\
             route add 10.0.1.11/32 dev servers src 10.0.1.200\n\
             route add 10.0.1.12/32 dev servers src 10.0.1.200\n",
        )?;
        batch(
            &["-n", "lb"],
            "link set lo up\nlink set client up\nlink set servers up\n\
             addr add 10.0.1.10/32 dev client\n\
             route add 10.0.1.100/32 dev client src 10.0.1.10\n\
             route add 10.0.1.11/32 dev servers src 10.0.1.10\n\
             route add 10.0.1.12/32 dev servers src 10.0.1.10\n",
        )?;
        batch(
            &["-n", "servers"],
            "link set lo up\nlink set lb up\nlink set client up\n\
             addr add 10.0.1.11/32 dev lb\naddr add 10.0.1.12/32 dev lb\n\
             route add 10.0.1.10/32 dev lb\nroute add 10.0.1.100/32 via 10.0.1.10 dev lb\n\
             route add 10.0.1.200/32 dev client\n",
        )
    }

    /// The kernel's settings for one host. What is not namespaced keeps the machine's value.
    fn settle(&self, host: Host) -> Result<()> {
        let mut script = String::new();
        for (name, value) in SETTINGS {
            let path = name.replace('.', "/");
            script += &format!("echo '{value}' >/proc/sys/{path} || exit 1\n");
        }
        output(self.on(host, Cores::Any, "sh").args(["-c", &script])).map(drop)
    }
}

/// A server whose packets are lost as long as this value lives.
pub(crate) struct Silence {
    server: IpAddr,
}

impl Drop for Silence {
    fn drop(&mut self) {
        let server = self.server;
        let lines = format!("route del blackhole {server}/32\naddr add {server}/32 dev lb\n");
        if let Err(error) = batch(&["-n", Host::Servers.name()], &lines) {
            eprintln!("{server} stays silent: {error:#}");
        }
    }
}

impl Drop for Topology {
    fn drop(&mut self) {
        // Inside namespaces the file system goes with them; what is left in place is a few files.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// What every namespace is set to.
const SETTINGS: &[(&str, &str)] = &[
    // Ports that somebody listens on are never the near end of a connection.
    ("net.ipv4.ip_local_port_range", "10000 65000"),
    // Past these the kernel forgets a closed connection at once: ports do not run out.
    ("net.ipv4.tcp_max_tw_buckets", "2000"),
    ("net.core.somaxconn", "16384"),
    // A round does not begin with what an earlier one taught the kernel.
    ("net.ipv4.tcp_no_metrics_save", "1"),
    ("net.ipv4.tcp_rmem", "4096 131072 6291456"),
    ("net.ipv4.tcp_wmem", "4096 16384 4194304"),
    ("net.ipv4.ip_forward", "1"),
    ("net.ipv4.conf.all.rp_filter", "0"),
    ("net.ipv4.conf.default.rp_filter", "0"),
];

/// The balancer's address in the seed.
pub(crate) const LB_6443: SocketAddr =
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 1, 10)), 6443);

/// The masters' addresses in the seed.
pub(crate) const SERVERS_6443: [SocketAddr; 2] = [
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 1, 11)), 6443),
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 1, 12)), 6443),
];

/// A port of a loopback address on which nobody listens now.
fn free_port(last: u8) -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::new(127, 0, 1, last), 0)).context("a free port")?;
    listener.local_addr().context("its number")
}

/// Who runs a balancer that a package installed; any user without rights will do.
fn unprivileged() -> Result<(u32, u32)> {
    let users = fs::read_to_string("/etc/passwd").context("read /etc/passwd")?;
    for name in ["haproxy", "nobody"] {
        let found = users
            .lines()
            .map(|line| line.split(':').collect::<Vec<_>>());
        for fields in found {
            if let [user, _, uid, gid, ..] = fields[..]
                && user == name
            {
                return Ok((uid.parse().context("uid")?, gid.parse().context("gid")?));
            }
        }
    }
    bail!("/etc/passwd has neither haproxy nor nobody")
}

/// The highest number that a core has here.
fn last_core() -> u32 {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    u32::try_from(cores - 1).unwrap_or(0)
}

/// Feeds `lines` to one `ip -batch -`.
fn batch(options: &[&str], lines: &str) -> Result<()> {
    let mut child = Command::new("ip")
        .args(options)
        .args(["-batch", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("start ip")?;
    let mut input = child.stdin.take().context("standard input is a pipe")?;
    input.write_all(lines.as_bytes()).context("feed ip")?;
    drop(input);
    let output = child.wait_with_output().context("wait for ip")?;
    ensure!(
        output.status.success(),
        "ip: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
