//! A network of real machines on one: each a booted Debian with systemd and sshd, in a network
//! namespace of its own behind one bridge, with the addresses of a small cluster. The test stands in
//! the network too, at 10.0.1.1, as the operator's machine.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use crate::booted;
use crate::node::Node;
use crate::notice::not_run;
use crate::tools::{self, run};
use crate::{parcels, space};

/// Where everything of a lab is, on a file system that only its own mount namespace sees.
pub(crate) const DIRECTORY: &str = "/run/lab";

/// What a lab starts besides what boots machines, with the Debian package that has it.
const TOOLS: [(&str, &str); 3] = [
    ("dpkg-deb", "dpkg"),
    ("ssh", "openssh-client"),
    ("ssh-keygen", "openssh-client"),
];

/// The five machines of the picture: a balancer, two masters, two workers.
pub(crate) const FIVE: &[(&str, &str)] = &[
    ("lb", "10.0.1.10"),
    ("master1", "10.0.1.11"),
    ("master2", "10.0.1.12"),
    ("worker1", "10.0.1.13"),
    ("worker2", "10.0.1.14"),
];

/// Two balancers, which share 10.0.1.10, before as little of a cluster as there can be.
pub(crate) const PAIR: &[(&str, &str)] = &[
    ("lb1", "10.0.1.8"),
    ("lb2", "10.0.1.9"),
    ("master1", "10.0.1.11"),
];

/// The same before three masters.
pub(crate) const PAIR_AND_THREE: &[(&str, &str)] = &[
    ("lb1", "10.0.1.8"),
    ("lb2", "10.0.1.9"),
    ("master1", "10.0.1.11"),
    ("master2", "10.0.1.12"),
    ("master3", "10.0.1.15"),
];

/// Whether what takes minutes is tested, too.
pub(crate) fn is_full() -> bool {
    std::env::var_os("EVENKEEL_BOOTSTRAP_FULL").is_some()
}

/// Runs `body` with machines that have just booted; `name` is the full name of the test that calls.
pub(crate) fn with_lab(name: &str, machines: &[(&str, &str)], body: impl FnOnce(&mut Lab)) {
    if space::is_inside() {
        let began = Instant::now();
        let mut lab = Lab::build(machines);
        eprintln!(
            "{name}: {} machines in {:.1?}",
            machines.len(),
            began.elapsed()
        );
        return body(&mut lab);
    }
    let missing = booted::missing(&tree(), "usr/sbin/sshd")
        .or_else(|| tools::missing(&TOOLS))
        .or_else(parcels::missing);
    if let Some(why) = missing {
        return not_run(&format!("bootstrap {name}"), &why);
    }
    parcels::build();
    let _places = Places::take(machines.len());
    booted::enter(name);
}

/// How many machines are up at once. Each takes about ten of the 128 inotify instances that a kernel lets root
/// have (`fs.inotify.max_user_instances`), and a lab mostly waits.
const MOST: usize = 8;
static UP: Mutex<usize> = Mutex::new(0);
static DOWN: Condvar = Condvar::new();

/// The machines of one lab, among those of labs beside it.
struct Places(usize);

impl Places {
    /// Waits until there is room; for what is measured over minutes, until nothing else is up.
    fn take(machines: usize) -> Self {
        let most = if is_full() { 0 } else { MOST };
        let up = UP.lock().unwrap_or_else(PoisonError::into_inner);
        let mut up = DOWN
            .wait_while(up, |up| *up > 0 && *up + machines > most)
            .unwrap_or_else(PoisonError::into_inner);
        *up += machines;
        Self(machines)
    }
}

impl Drop for Places {
    fn drop(&mut self) {
        *UP.lock().unwrap_or_else(PoisonError::into_inner) -= self.0;
        DOWN.notify_all();
    }
}

/// Where tests/run keeps the Debian that is booted.
pub(crate) fn tree() -> PathBuf {
    booted::tree(&parcels::root().join("target"), "bookworm-nodes")
}

/// The machines, all up.
pub(crate) struct Lab {
    nodes: Vec<Node>,
}

impl Lab {
    fn build(machines: &[(&str, &str)]) -> Self {
        booted::prepare();
        sh(&format!(
            "mkdir -p /run/netns /run/sshd {DIRECTORY} && cd {DIRECTORY}
             ssh-keygen -q -t ed25519 -N '' -f operator && mkdir etcd && touch known_hosts
             ip link add br0 type bridge && ip addr add 10.0.1.1/24 dev br0 && ip link set br0 up"
        ));
        Self::prepare_base();
        let nodes = thread::scope(|scope| {
            let boots: Vec<_> = machines
                .iter()
                .enumerate()
                .map(|(index, (name, address))| {
                    scope.spawn(move || Node::boot(index, name, address))
                })
                .collect();
            boots.into_iter().map(|boot| boot.join().unwrap()).collect()
        });
        Self { nodes }
    }

    /// What all machines share over the tree: users, a repository of packages, quiet.
    fn prepare_base() {
        let tree = tree();
        let tree = tree.display();
        let repository = parcels::repository();
        let repository = repository.display();
        // A password of `crypt`, for sudo alone: ssh takes keys only.
        sh(&format!(
            "cd {DIRECTORY} && mkdir -p base/upper base/work base/root
             mount -t overlay overlay -o lowerdir={tree},upperdir=base/upper,workdir=base/work base/root
             cd base/root
             chroot . dpkg --purge kubernetes-client keepalived >/dev/null
             rm -f etc/ssh/ssh_host_* etc/apt/sources.list
             echo 'deb [trusted=yes] file:/opt/packages ./' >etc/apt/sources.list
             mkdir -p opt/packages root/.ssh var/lib/doubles && chmod 700 root/.ssh
             cp {DIRECTORY}/operator.pub root/.ssh/authorized_keys
             for user in admin clerk; do
               chroot . useradd -m -s /bin/bash $user
               mkdir home/$user/.ssh && cp {DIRECTORY}/operator.pub home/$user/.ssh/authorized_keys
               chroot . chown -R $user: /home/$user/.ssh
             done
             echo 'admin ALL=(ALL) NOPASSWD: ALL' >etc/sudoers.d/admin
             echo 'clerk ALL=(ALL) ALL' >etc/sudoers.d/clerk
             echo 'clerk:correct horse' | chroot . chpasswd
             echo 'UseDNS no' >etc/ssh/sshd_config.d/lab.conf
             for unit in apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer fstrim.timer; do
               ln -sf /dev/null etc/systemd/system/$unit
             done
             cd .. && cp -r {repository} packages && umount root"
        ));
    }

    /// The machine of a name.
    #[track_caller]
    pub(crate) fn node(&self, name: &str) -> &Node {
        self.nodes
            .iter()
            .find(|node| node.name() == name)
            .unwrap_or_else(|| panic!("no machine is called {name}"))
    }

    /// The same, to boot it again.
    #[track_caller]
    pub(crate) fn node_mut(&mut self, name: &str) -> &mut Node {
        self.nodes
            .iter_mut()
            .find(|node| node.name() == name)
            .unwrap_or_else(|| panic!("no machine is called {name}"))
    }

    pub(crate) fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The private key that every machine lets in.
    pub(crate) fn key(&self) -> &Path {
        Path::new("/run/lab/operator")
    }

    /// The host keys of all machines.
    pub(crate) fn known_hosts(&self) -> &Path {
        Path::new("/run/lab/known_hosts")
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if thread::panicking() {
            for node in &self.nodes {
                eprintln!("== {}\n{}", node.name(), node.journal());
            }
        }
    }
}

/// Runs shell on the machine of the tests; it must succeed.
#[track_caller]
pub(crate) fn sh(script: &str) -> String {
    run(Command::new("sh").args(["-ec", script]))
}

/// A file beside what the machines share.
pub(crate) fn file(name: &str) -> File {
    File::create(Path::new(DIRECTORY).join(name)).unwrap()
}

/// Appends a line to a file of the lab.
pub(crate) fn append(name: &str, line: &str) {
    use std::io::Write;
    let mut file = fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(Path::new(DIRECTORY).join(name))
        .unwrap();
    file.write_all(format!("{line}\n").as_bytes()).unwrap();
}
