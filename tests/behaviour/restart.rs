//! A restart under a service manager that keeps listening sockets (systemd's file descriptor store):
//! whoever connects meanwhile waits for the next process.

use std::fs::File;
use std::io::Read as _;
use std::mem::MaybeUninit;
use std::net::{Shutdown, TcpListener};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use rustix::fs::fstat;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::process::{Pid, kill_process};

use crate::support::balancer::temporary_directory;
use crate::support::cli::ask;
use crate::support::lab::visit;
use crate::support::metrics::Metrics;
use crate::support::{Lab, Peer, Program, Signal, loopback, until};

/// What systemd does, as far as it matters here.
struct Manager {
    directory: PathBuf,
    socket: UnixDatagram,
    kept: Vec<(String, OwnedFd)>,
    said: String,
    /// What else evenkeel is started with.
    arguments: Vec<String>,
}

/// So many of what is kept are handed over, as far as there are: as standard input, output and error.
const MOST_HANDED: usize = 3;

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
            arguments: Vec::new(),
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

    /// Starts evenkeel, which is handed the first of what is kept and writes to the file `log`.
    fn start(&mut self, text: &str) -> Process {
        let file = self.directory.join("lb.cfg");
        std::fs::write(&file, text).unwrap();
        let script = "[ -z \"$LISTEN_FDS\" ] || export LISTEN_PID=$$; \
                      exec 3<&0 4<&1 5<&2 </dev/null >>\"$0\" 2>&1; exec \"$@\"";
        let mut command = Command::new("sh");
        command
            .args(["-c", script])
            .arg(self.directory.join("log"))
            .args([env!("CARGO_BIN_EXE_evenkeel"), "-Ws"])
            .args(["--stop-limit", "200ms"])
            .args(&self.arguments)
            .arg("-f")
            .arg(&file)
            .env("NOTIFY_SOCKET", self.directory.join("notify"))
            .env("FDSTORE", "64");
        let handed = &self.kept[..self.kept.len().min(MOST_HANDED)];
        let stream = |n: usize| match handed.get(n) {
            Some((_, socket)) => File::from(socket.as_fd().try_clone_to_owned().unwrap()).into(),
            None => Stdio::null(),
        };
        command.stdin(stream(0)).stdout(stream(1)).stderr(stream(2));
        if !handed.is_empty() {
            let names: Vec<&str> = handed.iter().map(|(name, _)| name.as_str()).collect();
            command
                .env("LISTEN_FDS", handed.len().to_string())
                .env("LISTEN_FDNAMES", names.join(":"));
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

    /// How many descriptors it has of the socket with this inode.
    fn descriptors_of(&self, inode: u64) -> usize {
        let link = PathBuf::from(format!("socket:[{inode}]"));
        let entries = std::fs::read_dir(format!("/proc/{}/fd", self.0.id())).unwrap();
        let links = entries.filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok());
        links.filter(|found| *found == link).count()
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

/// As a .socket unit has them: under its own name, a Unix socket where its clients find it, and TCP
/// sockets that no other may join (without SO_REUSEPORT), so that one serves all threads.
#[test]
fn sockets_that_the_manager_opened_serve_every_thread() {
    let lab = Lab::of(Program::Evenkeel);
    let origin = lab.origin("server");
    let (front, admin) = (lab.address(), lab.address());
    let mut manager = Manager::new();
    let path = manager.directory.join("front.sock");
    let stats = manager.directory.join("stats.sock");
    let listener = TcpListener::bind(front).unwrap();
    let inode = fstat(&listener).unwrap().st_ino;
    manager.kept = [
        OwnedFd::from(listener),
        UnixListener::bind(&path).unwrap().into(),
        TcpListener::bind(admin).unwrap().into(),
    ]
    .map(|socket| ("evenkeel.socket".to_owned(), socket))
    .into();
    manager.arguments = vec!["--admin".to_owned(), admin.to_string()];
    let text = |threads: usize| {
        let one = config(&lab, &[front], origin.address());
        let many = one.replace(
            "nbthread 1\n",
            &format!(
                "nbthread {threads}\n    stats socket {} level admin\n",
                stats.display()
            ),
        );
        many.replace(
            "listen api\n",
            &format!("listen api\n    bind unix@{}\n", path.display()),
        )
    };
    let visit_all = || {
        for _ in 0..8 {
            assert_eq!(visit(front), "server");
        }
        let mut through = String::new();
        let mut stream = UnixStream::connect(&path).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        stream.read_to_string(&mut through).unwrap();
        assert_eq!(through.trim(), "server");
        Metrics::scrape(admin)
    };

    let mut first = manager.start(&text(2));
    visit_all();
    // Its own, and one for each thread that accepts.
    assert_eq!(first.descriptors_of(inode), 1 + 2);
    // The store's come behind those of the unit.
    manager.work();
    let stored = |(name, _): &(String, _)| name.starts_with("evenkeel ");
    assert_eq!(manager.kept.iter().filter(|one| stored(one)).count(), 2);

    // What is there is not opened again for threads that come with a reload.
    manager.said.clear();
    std::fs::write(manager.directory.join("lb.cfg"), text(3)).unwrap();
    first.signal(Signal::HUP);
    manager.until("it is reloaded", |manager| manager.said.contains("READY=1"));
    visit_all();
    until("a third thread accepts", || {
        (first.descriptors_of(inode) == 1 + 3).then_some(())
    });

    first.signal(Signal::USR1);
    manager.until("it drains", |manager| manager.said.contains("STOPPING=1"));
    let mut waiting = Peer::connect(front);
    first.end(&mut manager);
    let second = manager.start(&text(2));
    assert_eq!(waiting.receive_line(), "server");
    visit_all();
    let log = std::fs::read_to_string(manager.directory.join("log")).unwrap();
    assert!(!log.contains("is neither a 'bind'"), "{log}");

    // The manager has it open still: who comes waits.
    ask(&stats, "shutdown frontend api");
    until("it accepts no more", || {
        (second.descriptors_of(inode) == 0).then_some(())
    });
    assert!(loopback::is_listening(front));
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
