//! One machine: a Debian over a layer of its own that only memory holds, booted by systemd-nspawn.

use std::fs;
use std::process::{Child, Command, Output, Stdio};

use crate::lab::{DIRECTORY, append, file, sh};
use crate::wait::until;

/// Most that a machine may write, in MiB; what it has written, a tenth of it, is kept in memory.
const DISK_MIB: u32 = 4096;

/// A machine that runs, or that has been switched off.
pub(crate) struct Node {
    name: String,
    address: String,
    machine_id: String,
    running: Option<Running>,
}

struct Running {
    nspawn: Child,
    /// The process id of its init, as we see it.
    leader: u32,
}

impl Node {
    /// Makes its layer and boots it: a machine that nobody has named yet.
    pub(crate) fn boot(index: usize, name: &str, address: &str) -> Self {
        let machine_id = format!("{:032x}", 0x1ab0_0000_u64 + index as u64);
        sh(&format!(
            "mkdir -p {DIRECTORY}/{name}
             mount -t tmpfs -o size={DISK_MIB}m tmpfs {DIRECTORY}/{name}
             cd {DIRECTORY}/{name} && mkdir upper work root
             mount -t overlay overlay -o lowerdir={DIRECTORY}/base/upper:{tree},upperdir=upper,workdir=work root
             echo fresh{index} >root/etc/hostname
             printf '127.0.0.1 localhost\\n127.0.1.1 fresh{index}\\n' >root/etc/hosts
             echo {machine_id} >root/etc/machine-id
             : >root/etc/resolv.conf
             ssh-keygen -q -t ed25519 -N '' -f root/etc/ssh/ssh_host_ed25519_key",
            tree = crate::lab::tree().display(),
        ));
        let key = fs::read_to_string(format!(
            "{DIRECTORY}/{name}/root/etc/ssh/ssh_host_ed25519_key.pub"
        ))
        .unwrap();
        append("known_hosts", &format!("{address},{name} {}", key.trim()));
        let mut node = Self {
            name: name.to_owned(),
            address: address.to_owned(),
            machine_id,
            running: None,
        };
        node.start();
        node
    }

    /// Switches it on, and waits until sshd answers.
    pub(crate) fn start(&mut self) {
        assert!(self.running.is_none(), "{} runs already", self.name);
        let (name, machine_id) = (&self.name, &self.machine_id);
        let log = file(&format!("{name}.boot"));
        // Two systemds in one group of processes would fight over it.
        let enter = "for root in /sys/fs/cgroup/systemd /sys/fs/cgroup/unified /sys/fs/cgroup; do
             [ -e $root/cgroup.procs ] || continue
             mkdir -p $root/evenkeel-lab-$$-$0 && echo $$ >$root/evenkeel-lab-$$-$0/cgroup.procs
             done; exec systemd-nspawn \"$@\"";
        let mut nspawn = Command::new("sh")
            .args(["-c", enter, name])
            // The settings of its own network, and of nothing else, may be changed.
            .env("SYSTEMD_NSPAWN_API_VFS_WRITABLE", "network")
            .args([
                "--quiet",
                "--keep-unit",
                "--register=no",
                "--resolv-conf=off",
            ])
            .args(["--boot", "--capability=CAP_NET_ADMIN,CAP_NET_RAW"])
            .arg(format!("--machine={name}"))
            .arg(format!("--uuid={machine_id}"))
            .arg(format!("--network-namespace-path=/run/netns/{name}"))
            .arg(format!("--bind-ro={DIRECTORY}/base/packages:/opt/packages"))
            .arg(format!("--bind={DIRECTORY}/etcd:/var/lib/doubles/etcd"))
            .arg(format!("--directory={DIRECTORY}/{name}/root"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let children = format!("/proc/{0}/task/{0}/children", nspawn.id());
        let leader = until("a machine that has booted", || {
            if nspawn.try_wait().unwrap().is_some() {
                let log = fs::read_to_string(format!("{DIRECTORY}/{name}.boot"));
                panic!("{name} did not boot: {}", log.unwrap_or_default());
            }
            // The first child is one of nspawn's own, which makes the init and goes.
            let children = fs::read_to_string(&children).ok()?;
            let leader = children.split_whitespace().next()?.parse().ok()?;
            let output = inside(leader, "systemctl is-active -q ssh multi-user.target").output();
            output.unwrap().status.success().then_some(leader)
        });
        self.running = Some(Running { nspawn, leader });
    }

    /// Cuts its power: nothing is written back, nobody is told.
    pub(crate) fn cut_power(&mut self) {
        let Some(Running { mut nspawn, leader }) = self.running.take() else {
            return;
        };
        sh(&format!("kill -KILL {leader} || :"));
        let _ = nspawn.kill();
        let _ = nspawn.wait();
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Runs a line of shell as root, past the network.
    pub(crate) fn try_sh(&self, line: &str) -> Output {
        inside(self.leader(), line).output().unwrap()
    }

    /// The same; it must succeed. What it printed.
    #[track_caller]
    pub(crate) fn sh(&self, line: &str) -> String {
        run(&mut inside(self.leader(), line))
    }

    /// Runs a line of shell over ssh, as the operator does.
    #[track_caller]
    pub(crate) fn ssh(&self, user: &str, line: &str) -> String {
        run(&mut self.ssh_command(user, line))
    }

    /// The command that does so.
    pub(crate) fn ssh_command(&self, user: &str, line: &str) -> Command {
        let mut command = Command::new("ssh");
        command
            .args(["-F", "none", "-o", "BatchMode=yes", "-i"])
            .arg(format!("{DIRECTORY}/operator"))
            .args(["-o", &format!("UserKnownHostsFile={DIRECTORY}/known_hosts")])
            .arg(format!("{user}@{}", self.address))
            .arg(line)
            .stdin(Stdio::null());
        command
    }

    /// Puts a file into the machine.
    pub(crate) fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = format!("/proc/{}/root{path}", self.leader());
        fs::write(path, content).unwrap();
    }

    /// What a file of the machine holds.
    pub(crate) fn read(&self, path: &str) -> String {
        fs::read_to_string(format!("/proc/{}/root{path}", self.leader())).unwrap()
    }

    pub(crate) fn exists(&self, path: &str) -> bool {
        fs::exists(format!("/proc/{}/root{path}", self.leader())).unwrap()
    }

    /// Asks a double on it to misbehave; see tests/doubles.
    pub(crate) fn fault(&self, name: &str, value: &str) {
        self.sh("mkdir -p /run/doubles");
        self.write(&format!("/run/doubles/{name}"), value);
    }

    /// Takes that back.
    pub(crate) fn mend(&self, name: &str) {
        self.sh(&format!("rm -f /run/doubles/{name}"));
    }

    /// What its services said last.
    pub(crate) fn journal(&self) -> String {
        if self.running.is_none() {
            return "switched off".to_owned();
        }
        let output = self.try_sh("journalctl --no-pager -o short-precise -n 40");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    #[track_caller]
    fn leader(&self) -> u32 {
        let running = self.running.as_ref();
        running
            .unwrap_or_else(|| panic!("{} is switched off", self.name))
            .leader
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.cut_power();
        // Only empty groups go, and those of a run that was killed go with the next.
        let _ = Command::new("sh")
            .args(["-c", "find /sys/fs/cgroup -depth -path '*/evenkeel-lab-*' -type d -exec rmdir {} + 2>/dev/null"])
            .status();
    }
}

fn inside(leader: u32, line: &str) -> Command {
    let mut command = Command::new("nsenter");
    command
        .args(["--target", &leader.to_string(), "--all", "env", "-i"])
        .arg("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .args([
            "HOME=/root",
            "LC_ALL=C.UTF-8",
            "DEBIAN_FRONTEND=noninteractive",
        ])
        .args(["sh", "-c", line])
        .stdin(Stdio::null());
    command
}

/// Runs a command to its end; it must succeed. What it printed.
#[track_caller]
pub(crate) fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{command:?}: {}\n{stdout}{stderr}",
        output.status
    );
    stdout
}
