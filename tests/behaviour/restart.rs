//! A restart under a service manager that keeps listening sockets (systemd's file descriptor store):
//! whoever connects meanwhile waits for the next process.

use std::fs::File;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::process::{Pid, kill_process};

use crate::support::balancer::temporary_directory;
use crate::support::lab::visit;
use crate::support::{Lab, Peer, Program, Signal, loopback, until};

/// What systemd does, as far as it matters here.
struct Manager {
    directory: PathBuf,
    socket: UnixDatagram,
    kept: Vec<(String, OwnedFd)>,
    said: String,
}

impl Manager {
    fn new() -> Self {
        let directory = temporary_directory();
        let socket = UnixDatagram::bind(directory.join("notify")).unwrap();
        socket.set_nonblocking(true).unwrap();
        Self {
            directory,
            socket,
            kept: Vec::new(),
            said: String::new(),
        }
    }

    /// Does what was asked since the last call.
    fn work(&mut self) {
        let mut bytes = [0; 4096];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(64))];
        loop {
            let mut beside = RecvAncillaryBuffer::new(&mut space);
            let mut slices = [std::io::IoSliceMut::new(&mut bytes)];
            let Ok(received) = recvmsg(
                &self.socket,
                &mut slices,
                &mut beside,
                RecvFlags::CMSG_CLOEXEC,
            ) else {
                return;
            };
            let mut descriptors = Vec::new();
            for message in beside.drain() {
                if let RecvAncillaryMessage::ScmRights(rights) = message {
                    descriptors.extend(rights);
                }
            }
            let text = String::from_utf8_lossy(&bytes[..received.bytes]).into_owned();
            let name = text.lines().find_map(|line| line.strip_prefix("FDNAME="));
            let name = name.unwrap_or_default().to_owned();
            if text.contains("FDSTORE=1\n") {
                assert!(!name.contains(':') && !name.is_empty() && name.is_ascii());
                self.kept
                    .extend(descriptors.into_iter().map(|one| (name.clone(), one)));
            }
            if text.contains("FDSTOREREMOVE=1\n") {
                self.kept.retain(|(kept, _)| *kept != name);
            }
            self.said.push_str(&text);
        }
    }

    fn until(&mut self, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        until(what, || {
            self.work();
            holds(self).then_some(())
        });
    }

    /// Starts evenkeel, which is handed the first of what is kept.
    fn start(&mut self, text: &str) -> Process {
        let file = self.directory.join("lb.cfg");
        std::fs::write(&file, text).unwrap();
        let script =
            "[ -z \"$LISTEN_FDS\" ] || export LISTEN_PID=$$; exec 3<&0 </dev/null; exec \"$@\"";
        let mut command = Command::new("sh");
        command
            .args(["-c", script, "sh", env!("CARGO_BIN_EXE_evenkeel"), "-Ws"])
            .args(["--stop-limit", "200ms", "-f"])
            .arg(&file)
            .env("NOTIFY_SOCKET", self.directory.join("notify"))
            .env("FDSTORE", "64");
        match self.kept.first() {
            Some((name, socket)) => {
                let socket = File::from(socket.as_fd().try_clone_to_owned().unwrap());
                command
                    .env("LISTEN_FDS", "1")
                    .env("LISTEN_FDNAMES", name)
                    .stdin(socket);
            }
            None => drop(command.stdin(Stdio::null())),
        }
        self.said.clear();
        let process = Process(command.spawn().unwrap());
        // Dropping what was lent: the command holds a copy.
        drop(command);
        self.until("it is ready", |manager| manager.said.contains("READY=1"));
        process
    }
}

struct Process(Child);

impl Process {
    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }

    fn end(&mut self, manager: &mut Manager) {
        manager.until("it ends", |_| self.0.try_wait().unwrap().is_some());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn config(lab: &Lab, binds: &[std::net::SocketAddr], server: std::net::SocketAddr) -> String {
    let binds: String = binds
        .iter()
        .map(|bind| format!("    bind {bind}\n"))
        .collect();
    let preamble = lab
        .preamble()
        .replacen("global\n", "global\n    nbthread 1\n", 1);
    format!("{preamble}\nlisten api\n{binds}    server s1 {server}\n")
}

#[test]
fn who_connects_during_a_restart_waits_and_is_served() {
    let lab = Lab::of(Program::Evenkeel);
    let origin = lab.origin("server");
    let (front, other) = (lab.address(), lab.address());
    let mut manager = Manager::new();
    let mut first = manager.start(&config(&lab, &[front, other], origin.address()));
    manager.until("both are kept", |manager| manager.kept.len() == 2);
    assert_eq!(visit(front), "server");

    // What a reload drops is kept no longer: nobody would accept there.
    let text = config(&lab, &[front], origin.address());
    std::fs::write(manager.directory.join("lb.cfg"), &text).unwrap();
    first.signal(Signal::HUP);
    manager.until("one is kept", |manager| manager.kept.len() == 1);
    until("the other is refused", || {
        (!loopback::is_listening(other)).then_some(())
    });

    let mut held = Peer::connect(front);
    assert_eq!(held.receive_line(), "server");
    first.signal(Signal::USR1);
    manager.until("it drains", |manager| manager.said.contains("STOPPING=1"));
    let mut waiting = Peer::connect(front);
    first.end(&mut manager);
    let mut second = manager.start(&text);
    assert_eq!(waiting.receive_line(), "server");
    assert_eq!(visit(front), "server");

    // A stop is one: the manager lets go, and clients are refused.
    second.signal(Signal::USR1);
    second.end(&mut manager);
    manager.work();
    manager.kept.clear();
    assert!(Peer::try_connect(front).is_err());
}

#[test]
fn what_the_next_file_does_not_want_is_given_back() {
    let lab = Lab::of(Program::Evenkeel);
    let origin = lab.origin("server");
    let (front, other) = (lab.address(), lab.address());
    let mut manager = Manager::new();
    let mut first = manager.start(&config(&lab, &[front], origin.address()));
    manager.until("it is kept", |manager| manager.kept.len() == 1);
    first.signal(Signal::USR1);
    first.end(&mut manager);
    assert!(loopback::is_listening(front));

    let _second = manager.start(&config(&lab, &[other], origin.address()));
    assert!(!loopback::is_listening(front));
    assert_eq!(visit(other), "server");
    manager.until("the new one is kept", |manager| manager.kept.len() == 1);
}

/// Neither the start nor the traffic nor the end waits for it, and it hears again once it reads.
#[test]
fn a_service_manager_that_does_not_read_holds_up_nothing() {
    let lab = Lab::of(Program::Evenkeel);
    let origin = lab.origin("server");
    let front = lab.address();
    let mut manager = Manager::new();
    let notify = manager.directory.join("notify");
    let filler = UnixDatagram::unbound().unwrap();
    filler.set_nonblocking(true).unwrap();
    filler.connect(&notify).unwrap();
    while filler.send(b"X").is_ok() {}
    let file = manager.directory.join("lb.cfg");
    std::fs::write(&file, config(&lab, &[front], origin.address())).unwrap();
    let spawn = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_evenkeel"));
        command
            .args(["-Ws", "--stop-limit", "200ms", "-f"])
            .arg(&file);
        command.env("NOTIFY_SOCKET", &notify).env("FDSTORE", "64");
        command.env("WATCHDOG_USEC", "200000");
        Process(command.stdin(Stdio::null()).spawn().unwrap())
    };
    let mut deaf = spawn();
    until("it serves", || loopback::is_listening(front).then_some(()));
    assert_eq!(visit(front), "server");
    deaf.signal(Signal::USR1);
    until("it ends", || deaf.0.try_wait().unwrap());
    let process = spawn();
    until("it serves", || loopback::is_listening(front).then_some(()));
    assert_eq!(visit(front), "server");
    manager.until("it hears again", |manager| {
        manager.said.contains("WATCHDOG=1")
    });
    drop(process);
}
