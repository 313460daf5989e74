//! Two lb nodes on one Ethernet, each a network namespace with one interface in a bridge. The bridge's
//! own namespace, where the test runs, has the masters and the clients.

use std::fs::{self, File};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::namespaces::DIRECTORY;
use crate::support::caller::{Caller, Calls};
use crate::support::tools::run;
use crate::support::wait::{PATIENCE, within};
use crate::support::{Origin, Program, until};

/// Where the script finds evenkeel.
const ADMIN: &str = "127.0.0.1:9101";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// SIGKILL to the balancer.
    Kill,
    /// SIGSTOP to the balancer.
    Hang,
    /// The node's cable is cut, and everything on it ends.
    Death,
}

impl Fault {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Fault::Kill => "balancer killed",
            Fault::Hang => "balancer hangs",
            Fault::Death => "node dies",
        }
    }
}

struct Node {
    /// Of its namespace.
    name: String,
    folder: PathBuf,
    peer: String,
    balancer: Option<Child>,
    keepalived: Option<Child>,
}

/// Two nodes and what they share.
pub(crate) struct Pair {
    program: Program,
    number: u8,
    nodes: [Node; 2],
    masters: [Origin; 2],
    struck: Option<(usize, Fault)>,
}

impl Pair {
    /// Number `number` has the network 10.0.`number`.0/24 and the addresses .10 and fd00:`number`::10.
    pub(crate) fn start(program: Program, number: u8) -> Self {
        let bridge = format!("bridge{number}");
        ip(&format!("link add {bridge} type bridge"));
        ip(&format!("link set {bridge} up"));
        for host in [11, 12, 100] {
            ip(&format!("addr add 10.0.{number}.{host}/24 dev {bridge}"));
        }
        ip(&format!(
            "addr add fd00:{number}::100/64 dev {bridge} nodad"
        ));
        let masters = [("master1", 11), ("master2", 12)]
            .map(|(name, host)| Origin::named(IpAddr::from([10, 0, number, host]), name));
        let nodes = [(8, 9), (9, 8)].map(|(own, peer)| {
            let name = format!("lb{number}-{own}");
            let folder = Path::new(DIRECTORY).join(&name);
            fs::create_dir_all(&folder).unwrap();
            ip(&format!("netns add {name}"));
            ip(&format!(
                "link add {name} type veth peer name eth0 netns {name}"
            ));
            ip(&format!("link set {name} master {bridge} up"));
            for line in [
                "link set lo up".to_owned(),
                "link set eth0 up".to_owned(),
                format!("addr add 10.0.{number}.{own}/24 dev eth0"),
                format!("addr add fd00:{number}::{own}/64 dev eth0 nodad"),
            ] {
                ip(&format!("-n {name} {line}"));
            }
            Node {
                name,
                folder,
                peer: peer.to_string(),
                balancer: None,
                keepalived: None,
            }
        });
        let mut pair = Pair {
            program,
            number,
            nodes,
            masters,
            struck: None,
        };
        for index in 0..2 {
            pair.prepare(index);
            pair.start_balancer(index);
            pair.start_keepalived(index);
            // The other one comes later, to find the addresses taken.
            until("the node is there", || {
                let entered = pair.log(index).matches("Entering BACKUP STATE").count();
                (entered >= 2 && pair.moves() == 2).then_some(())
            });
        }
        pair.answers_again(Duration::from_secs(20));
        pair
    }

    /// Writes the node's files. The balancer's program and keepalived's script lie where nobody may
    /// change and everybody run them.
    fn prepare(&self, index: usize) {
        let (node, number) = (&self.nodes[index], self.number);
        let servers: String = self
            .masters
            .iter()
            .enumerate()
            .map(|(index, master)| {
                format!(
                    "    server master{} {} check inter 200ms\n",
                    index + 1,
                    master.address()
                )
            })
            .collect();
        let text = format!(
            "defaults\n    mode tcp\n    option redispatch\n    timeout connect 1s\n    \
             timeout client 10s\n    timeout server 10s\nlisten kubernetes\n    bind 10.0.{number}.10:6443\n    \
             bind [fd00:{number}::10]:6443\n{servers}"
        );
        fs::write(node.folder.join("lb.cfg"), text).unwrap();
        let program = node.folder.join("evenkeel");
        File::create(&program).unwrap();
        run(Command::new("mount")
            .args(["--bind", env!("CARGO_BIN_EXE_evenkeel")])
            .arg(&program));
        let printed = run(node
            .command(&program)
            .args(["keepalived", "--interface", "eth0", "--user", "nobody"])
            .args(["--peer", &format!("10.0.{number}.{}", node.peer)])
            .args(["--peer", &format!("fd00:{number}::{}", node.peer)])
            .args(["--admin", ADMIN, "-f"])
            .arg(node.folder.join("lb.cfg")));
        let script = format!("{} health --for 750ms --admin {ADMIN}\"", program.display());
        assert!(printed.contains(&script), "{printed}");
        // The same in all but the script, which is what people have: does the process exist?
        let exists = format!("/usr/bin/pgrep -F {}\"", node.folder.join("pid").display());
        let printed = match self.program {
            Program::Evenkeel => printed,
            Program::HAProxy { .. } => printed.replace(&script, &exists),
        };
        fs::write(node.folder.join("keepalived.conf"), printed).unwrap();
        if matches!(self.program, Program::HAProxy { .. }) {
            // Without it HAProxy does not start on the node that does not have the address.
            for family in ["ipv4", "ipv6"] {
                let line = format!("echo 1 >/proc/sys/net/{family}/ip_nonlocal_bind");
                run(node.command(Path::new("sh")).args(["-c", &line]));
            }
        }
    }

    fn start_balancer(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        let file = node.folder.join("lb.cfg");
        let program = self.program.command();
        let mut command = node.command(Path::new(program.get_program()));
        command
            .args(program.get_args())
            .arg("-f")
            .arg(file)
            .arg("-db");
        if self.program == Program::Evenkeel {
            command.args(["--admin", ADMIN, "-W", "-S"]);
            command.arg(node.master_socket());
        }
        let said = File::create(node.folder.join("balancer.log")).unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(said.try_clone().unwrap())
            .stderr(said)
            .spawn()
            .unwrap();
        fs::write(node.folder.join("pid"), child.id().to_string()).unwrap();
        node.balancer = Some(child);
    }

    fn start_keepalived(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        let mut said = File::options();
        let said = said
            .create(true)
            .append(true)
            .open(node.folder.join("keepalived.log"))
            .unwrap();
        let mut command = node.command(Path::new("keepalived"));
        command
            .args(["-n", "-l", "-f"])
            .arg(node.folder.join("keepalived.conf"));
        for (option, name) in [("-p", "k.pid"), ("-r", "vrrp.pid"), ("-c", "checkers.pid")] {
            command.arg(option).arg(node.folder.join(name));
        }
        let child = command
            .stdin(Stdio::null())
            .stdout(said.try_clone().unwrap())
            .stderr(said)
            .spawn()
            .unwrap();
        node.keepalived = Some(child);
    }

    /// Strikes the node that has the address; how long clients then wait for the first good answer.
    pub(crate) fn strike(&mut self, fault: Fault, bound: Duration) -> Duration {
        let index = until("a node has the address", || self.holder());
        let name = self.nodes[index].name.clone();
        let node = &mut self.nodes[index];
        let start = Instant::now();
        match fault {
            Fault::Kill => end(&mut node.balancer),
            Fault::Hang => signal(&node.balancer, Signal::STOP),
            Fault::Death => {
                ip(&format!("link set {name} down"));
                end(&mut node.keepalived);
                signal_file(&node.folder.join("vrrp.pid"));
                end(&mut node.balancer);
            }
        }
        self.struck = Some((index, fault));
        self.answers_again(bound);
        start.elapsed()
    }

    /// The struck node is as it was, and stands by.
    pub(crate) fn heal(&mut self) {
        let (index, fault) = self.struck.take().expect("a node was struck");
        let before = self.log(index).matches("Entering BACKUP STATE").count();
        match fault {
            Fault::Kill => self.start_balancer(index),
            Fault::Hang => signal(&self.nodes[index].balancer, Signal::CONT),
            Fault::Death => {
                let node = &self.nodes[index];
                let number = self.number;
                // A node that starts anew has neither files in /run nor addresses of before.
                for name in ["k.pid", "vrrp.pid", "checkers.pid"] {
                    let _ = fs::remove_file(node.folder.join(name));
                }
                for vip in [
                    format!("10.0.{number}.10/32"),
                    format!("fd00:{number}::10/128"),
                ] {
                    let _ = Command::new("ip")
                        .args(["-n", &node.name, "addr", "del", &vip, "dev", "eth0"])
                        .stderr(Stdio::null())
                        .status();
                }
                ip(&format!("link set {} up", node.name));
                self.start_balancer(index);
                self.start_keepalived(index);
            }
        }
        // One of each family.
        let stands_by = || {
            let entered = self.log(index).matches("Entering BACKUP STATE").count();
            (entered >= before + 2).then_some(())
        };
        assert!(
            within(PATIENCE, stands_by).is_some(),
            "the node does not stand by again after {fault:?}: {}",
            self.logs()
        );
    }

    /// Waits until a client is answered, over either family.
    pub(crate) fn answers_again(&self, bound: Duration) {
        let number = self.number;
        for address in [
            format!("10.0.{number}.10:6443"),
            format!("[fd00:{number}::10]:6443"),
        ] {
            let waited = caller(address.parse().unwrap()).first_answer(bound);
            assert!(
                waited.is_some(),
                "no answer from {address} within {bound:?}: {}",
                self.logs()
            );
        }
    }

    /// Has the balancer of the node that has the address do what `evenkeel COMMAND` asks.
    pub(crate) fn order(&self, command: &str) {
        let node = &self.nodes[self.holder().expect("a node has the address")];
        let program = node.folder.join("evenkeel");
        let mut order = node.command(&program);
        run(order.args([command, "-S"]).arg(node.master_socket()));
    }

    /// A client that connects to the address again and again, until it is told to stop.
    pub(crate) fn client(&self) -> Calls {
        caller(SocketAddr::from(([10, 0, self.number, 10], 6443))).start()
    }

    pub(crate) fn masters_die(&mut self) {
        self.masters.iter_mut().for_each(Origin::die);
        for node in &self.nodes {
            until("the balancer has seen it", || {
                let said = fs::read_to_string(node.folder.join("balancer.log")).unwrap();
                said.contains("has no server available").then_some(())
            });
        }
    }

    pub(crate) fn masters_come_back(&mut self) {
        self.masters.iter_mut().for_each(Origin::revive);
    }

    /// The node that has the address; `None` while it is nobody's, or on its way.
    pub(crate) fn holder(&self) -> Option<usize> {
        let vip = format!("10.0.{}.10/32", self.number);
        let has = |node: &Node| {
            let addresses =
                run(Command::new("ip")
                    .args(["-n", &node.name, "addr", "show", "dev", "eth0", "up"]));
            addresses.contains(&vip) && !addresses.contains("NO-CARRIER")
        };
        let holders: Vec<usize> = (0..2).filter(|&index| has(&self.nodes[index])).collect();
        match holders.as_slice() {
            [one] => Some(*one),
            _ => None,
        }
    }

    /// How often a node took an address, of either family.
    pub(crate) fn moves(&self) -> usize {
        (0..2)
            .map(|index| self.log(index).matches("Entering MASTER STATE").count())
            .sum()
    }

    fn log(&self, index: usize) -> String {
        fs::read_to_string(self.nodes[index].folder.join("keepalived.log")).unwrap_or_default()
    }

    /// What both said, for a test that fails.
    pub(crate) fn logs(&self) -> String {
        let said = |index: usize| {
            let node = &self.nodes[index];
            let balancer = fs::read_to_string(node.folder.join("balancer.log")).unwrap_or_default();
            format!("\n== {}\n{}{balancer}", node.name, self.log(index))
        };
        said(0) + &said(1)
    }
}

impl Node {
    fn master_socket(&self) -> PathBuf {
        self.folder.join("master.sock")
    }

    /// A command that runs on this node; the process id is the program's own.
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--net=/run/netns/{}", self.name))
            .arg("--")
            .arg(program);
        command
    }
}

/// A client that reaches a master, each of which says its name.
fn caller(address: SocketAddr) -> Caller {
    Caller {
        address,
        say: b"",
        answer: b"master",
    }
}

fn ip(line: &str) {
    run(Command::new("ip").args(line.split(' ')));
}

fn end(child: &mut Option<Child>) {
    let mut child = child.take().expect("it runs");
    child.kill().unwrap();
    child.wait().unwrap();
}

fn signal(child: &Option<Child>, signal: Signal) {
    let child = child.as_ref().expect("it runs");
    kill_process(Pid::from_child(child), signal).unwrap();
}

/// SIGKILL to the process whose id the file has; it may have ended already.
fn signal_file(path: &Path) {
    let pid = fs::read_to_string(path).unwrap();
    if let Some(pid) = pid.trim().parse().ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, Signal::KILL);
    }
}
