//! One machine: a Debian over a layer of its own that only memory holds, booted by systemd-nspawn.

use std::fs;
use std::ops::Deref;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::booted::Booted;
use crate::lab::{DIRECTORY, append, sh};
use crate::tools::run;

/// Most that a machine may write, in MiB; what it has written, a tenth of it, is kept in memory.
const DISK_MIB: u32 = 4096;

/// A machine that runs, or that has been switched off.
pub(crate) struct Node {
    index: usize,
    name: String,
    address: String,
    running: Option<Booted>,
}

impl Node {
    /// Makes its layer and boots it: a machine that nobody has named yet.
    pub(crate) fn boot(index: usize, name: &str, address: &str) -> Self {
        let mut node = Self {
            index,
            name: name.to_owned(),
            address: address.to_owned(),
            running: None,
        };
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
            machine_id = node.machine_id(),
            tree = crate::lab::tree().display(),
        ));
        let key = fs::read_to_string(format!(
            "{DIRECTORY}/{name}/root/etc/ssh/ssh_host_ed25519_key.pub"
        ))
        .unwrap();
        append("known_hosts", &format!("{address},{name} {}", key.trim()));
        node.start();
        node
    }

    /// Switches it on, and waits until sshd answers.
    pub(crate) fn start(&mut self) {
        assert!(self.running.is_none(), "{} runs already", self.name);
        self.plug_in();
        let name = &self.name;
        let options = [
            "--capability=CAP_NET_ADMIN,CAP_NET_RAW".to_owned(),
            format!("--uuid={}", self.machine_id()),
            format!("--network-namespace-path=/run/netns/{name}"),
            format!("--bind-ro={DIRECTORY}/base/packages:/opt/packages"),
            format!("--bind={DIRECTORY}/etcd:/var/lib/doubles/etcd"),
            format!("--directory={DIRECTORY}/{name}/root"),
        ];
        let log = format!("{DIRECTORY}/{name}.boot");
        let is_up = "systemctl is-active -q ssh multi-user.target";
        let booted = Booted::boot(name, options, Path::new(&log), is_up);
        // The kernel shows everybody the swap of the machine that all this runs on, which no container may
        // turn off.
        booted.sh("head -n 1 /proc/swaps >/run/swaps && mount --bind /run/swaps /proc/swaps");
        self.running = Some(booted);
    }

    /// A cable to the bridge, and an interface with the address of its own that it has for life. A machine
    /// that starts anew remembers nothing of its network.
    fn plug_in(&self) {
        let Self {
            index,
            name,
            address,
            ..
        } = self;
        sh(&format!(
            "ip netns add {name} && ip -n {name} link set lo up
             ip link add p-{name} type veth peer name eth0 netns {name} address 02:00:0a:00:01:{index:02x}
             ip link set p-{name} master br0 up
             ip -n {name} addr add {address}/24 dev eth0 && ip -n {name} link set eth0 up
             ip -n {name} route add default via 10.0.1.1"
        ));
    }

    /// Cuts its power: nothing is written back, nobody is told.
    pub(crate) fn cut_power(&mut self) {
        if self.running.is_none() {
            return;
        }
        let name = &self.name;
        sh(&format!("ip link del p-{name}"));
        self.running = None;
        sh(&format!("ip netns del {name}"));
    }

    fn machine_id(&self) -> String {
        format!("{:032x}", 0x1ab0_0000_u64 + self.index as u64)
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
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
}

impl Deref for Node {
    type Target = Booted;

    fn deref(&self) -> &Booted {
        let running = self.running.as_ref();
        running.unwrap_or_else(|| panic!("{} is switched off", self.name))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.cut_power();
    }
}
