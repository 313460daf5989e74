//! What the keeper does all day: it waits for a request, and does it.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::Child;

use evenkeel_config::Config;
use evenkeel_proxy::{Ledger, Ownership};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Resource, getrlimit, pidfd_open, prlimit};

use super::answers::Answers;
use super::wire::{Reply, Request};
use super::{connect, log_paths};
use crate::admin::Bound;
use crate::bind_report::{self, Moment};
use crate::cli::Options;
use crate::handover::program;
use crate::packets::{MOST_DESCRIPTORS, in_memory, receive, send};
use crate::{limits, port_owner, prepare};

/// More threads than any configuration may ask for.
const MOST_THREADS: u32 = 4096;
/// More binds than any configuration has; past them nothing is noted.
const MOST_BINDS: usize = 1 << 20;

/// The keeper's state.
pub(super) struct Office {
    options: Options,
    server: Pid,
    /// What is in force.
    current: Config,
    threads: usize,
    ledger: Ledger,
    /// What was read last and may come into force.
    next: Option<Config>,
    /// How many sockets of each of its binds the serving process has, as that says.
    held: Vec<usize>,
    /// Where what follows the serving process writes.
    stdout: Option<OwnedFd>,
    /// It, until it has ended.
    heir: Option<Heir>,
}

/// A process that was started to follow the serving one.
struct Heir {
    process: Child,
    /// Readable once it has ended (pidfd_open(2)); `None`: the kernel has none to give.
    end: Option<OwnedFd>,
}

impl Heir {
    fn new(process: Child) -> Self {
        let pid = i32::try_from(process.id()).ok().and_then(Pid::from_raw);
        let end = pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
        Self { process, end }
    }
}

impl Office {
    pub(super) fn new(
        options: Options,
        server: Pid,
        current: Config,
        threads: usize,
        ledger: Ledger,
    ) -> Self {
        Self {
            options,
            server,
            current,
            threads,
            ledger,
            next: None,
            held: Vec::new(),
            stdout: None,
            heir: None,
        }
    }

    /// Where what follows the serving process writes.
    pub(super) fn with_stdout(mut self, stdout: Option<OwnedFd>) -> Self {
        self.stdout = stdout;
        self
    }

    /// Serves until the other side closes.
    pub(super) fn run(mut self, socket: &OwnedFd) {
        // Descriptors that come along are closed unseen, but for the one of an upgrade.
        while let Ok(Some((bytes, descriptors))) = self.wait(socket).and_then(|()| receive(socket))
        {
            let answered = match Request::decode(&bytes) {
                Some(Request::Spawn) => self.spawn(socket, descriptors.into_iter().next()),
                Some(request) => self.answer(request, socket),
                None => tell(socket, &Reply::Failed("not understood".to_owned())),
            };
            if answered.is_err() {
                break;
            }
        }
    }

    /// Waits for a request. Whatever follows the serving process and ends is not left as a zombie.
    fn wait(&mut self, socket: &OwnedFd) -> io::Result<()> {
        while let Some(heir) = &mut self.heir {
            let Some(end) = &heir.end else { break };
            let mut watched = [end.as_fd(), socket.as_fd()]
                .map(|one| PollFd::from_borrowed_fd(one, PollFlags::IN));
            match poll(&mut watched, None) {
                Err(error) if error != Errno::INTR => return Err(error.into()),
                _ => {}
            }
            let [ended, asked] = watched.map(|one| !one.revents().is_empty());
            if ended {
                let _ = heir.process.wait();
                self.heir = None;
            }
            if asked {
                break;
            }
        }
        Ok(())
    }

    fn answer(&mut self, request: Request, socket: &OwnedFd) -> io::Result<()> {
        match request {
            Request::Read => return self.read(socket),
            Request::Open(threads) => return self.open(threads, socket),
            Request::Holds(first, counts) => {
                let is_next = first as usize == self.held.len();
                if !is_next || self.held.len() > MOST_BINDS {
                    return tell(socket, &Reply::Failed("not understood".to_owned()));
                }
                self.held.extend(counts.into_iter().map(usize::from));
            }
            Request::Settle => self.settle(),
            Request::Abandon => self.abandon(),
            Request::Connect => connect_logs(&self.current, socket)?,
            Request::Farewell => {
                if let Some(replaces) = self.options.replaces.take() {
                    prepare::dismiss(&replaces);
                }
            }
            // It comes with a descriptor.
            Request::Spawn => return self.spawn(socket, None),
            Request::Recall => self.recall(),
            Request::Heirs => {
                let admin = self.current.global.admin;
                let count = admin.map_or(0, port_owner::listeners);
                return tell(
                    socket,
                    &Reply::Count(u32::try_from(count).unwrap_or(u32::MAX)),
                );
            }
        }
        tell(socket, &Reply::Done)
    }

    /// Starts what is to follow the serving process: what the operator started, as it was started.
    /// That process has no say in it but the line to it, and is checked what it says over that.
    fn spawn(&mut self, socket: &OwnedFd, line: Option<OwnedFd>) -> io::Result<()> {
        self.recall();
        let (Some(program), Some(line)) = (program(), line) else {
            return tell(
                socket,
                &Reply::Failed("no line to it came along".to_owned()),
            );
        };
        let stdout = self
            .stdout
            .as_ref()
            .and_then(|stdout| stdout.try_clone().ok());
        match program.start(&line, stdout.map(File::from)) {
            Ok(child) => {
                let pid = child.id();
                self.heir = Some(Heir::new(child));
                tell(socket, &Reply::Count(pid))
            }
            Err(error) => {
                let path = program.path().display();
                tell(
                    socket,
                    &Reply::Failed(format!("cannot start {path}: {error}")),
                )
            }
        }
    }

    /// Ends what was started so and does not serve.
    fn recall(&mut self) {
        if let Some(mut heir) = self.heir.take() {
            let _ = heir.process.kill();
            let _ = heir.process.wait();
        }
    }

    fn read(&mut self, socket: &OwnedFd) -> io::Result<()> {
        self.abandon();
        let (answers, loaded) = Answers::gather(&self.options);
        // What is wrong with them is seen by the other side, too.
        self.next = loaded.ok().map(|loaded| loaded.config);
        match in_memory(&answers.encode()) {
            Ok(file) => send(socket, &Reply::Files.encode(), &[file.as_fd()]),
            Err(error) => tell(socket, &Reply::Failed(error.to_string())),
        }
    }

    fn open(&mut self, threads: u32, socket: &OwnedFd) -> io::Result<()> {
        let Some(next) = &self.next else {
            return tell(socket, &Reply::Failed("nothing was read".to_owned()));
        };
        self.raise_limit(next);
        self.threads = threads.clamp(1, MOST_THREADS) as usize;
        let moment = Moment::ReloadOf(self.server.as_raw_nonzero().get().unsigned_abs());
        for (bind, opened) in self.ledger.open(next, self.threads, &self.held) {
            let bind = u32::try_from(bind).unwrap_or(u32::MAX);
            match opened {
                Ok(sockets) => {
                    for some in sockets.chunks(MOST_DESCRIPTORS) {
                        let some: Vec<_> = some.iter().map(OwnedFd::as_fd).collect();
                        send(socket, &Reply::Sockets(bind).encode(), &some)?;
                    }
                }
                Err(error) => {
                    let why = bind_report::reason(&error, moment);
                    tell(socket, &Reply::Refused(bind, why))?;
                }
            }
        }
        if let Some(address) = next.global.admin
            && self.current.global.admin != Some(address)
        {
            match Bound::bind(address, Ownership::Exclusive) {
                Ok(bound) => {
                    let listener = OwnedFd::from(bound.into_listener());
                    send(socket, &Reply::Admin.encode(), &[listener.as_fd()])?;
                }
                Err(error) => {
                    let why = bind_report::refused_admin(address, &error, moment);
                    tell(socket, &Reply::AdminRefused(why))?;
                }
            }
        }
        connect_logs(next, socket)?;
        tell(socket, &Reply::Done)
    }

    /// The serving process may no longer raise the hard limit of its descriptors.
    fn raise_limit(&self, next: &Config) {
        // What is too much is told by the other side, which finds the same.
        if limits::settle(next).is_ok() {
            let _ = prlimit(
                Some(self.server),
                Resource::Nofile,
                getrlimit(Resource::Nofile),
            );
        }
    }

    fn settle(&mut self) {
        if let Some(next) = self.next.take() {
            self.ledger.settle(&next);
            self.held.clear();
            self.current = next;
        }
    }

    fn abandon(&mut self) {
        self.next = None;
        self.held.clear();
        self.ledger.abandon();
    }
}

fn connect_logs(config: &Config, socket: &OwnedFd) -> io::Result<()> {
    for (number, path) in log_paths(config).iter().enumerate() {
        if let Ok(log) = connect(path) {
            let number = u32::try_from(number).unwrap_or(u32::MAX);
            send(socket, &Reply::Log(number).encode(), &[log.as_fd()])?;
        }
    }
    Ok(())
}

fn tell(socket: &OwnedFd, reply: &Reply) -> io::Result<()> {
    send(socket, &reply.encode(), &[])
}

/// A file without a name, for what is too long for a packet.
#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::io::{Read as _, Seek as _};

    use super::*;
    use crate::packets::pair;

    const CONFIG: &str = "listen f\n mode tcp\n bind 127.0.0.1:1\n timeout client 1s\n \
                          timeout server 1s\n timeout connect 1s\n server s 127.0.0.1:1\n";

    fn office(directory: &std::path::Path) -> Office {
        std::fs::create_dir_all(directory).unwrap();
        let file = directory.join("lb.cfg");
        std::fs::write(&file, CONFIG).unwrap();
        let options = Options {
            files: vec![file],
            ..Options::default()
        };
        let config = crate::files::load(&options).unwrap().config;
        let server = rustix::process::getpid();
        Office::new(options, server, config, 1, Ledger::default())
    }

    /// All that the keeper says until it has answered, and what its descriptors hold.
    fn answer(socket: &OwnedFd, request: &[u8]) -> (Vec<Reply>, Vec<u8>) {
        send(socket, request, &[]).unwrap();
        let (mut replies, mut contents) = (Vec::new(), Vec::new());
        loop {
            let (bytes, descriptors) = receive(socket).unwrap().unwrap();
            for descriptor in descriptors {
                let mut file = File::from(descriptor);
                if file.rewind().is_ok() {
                    file.read_to_end(&mut contents).unwrap();
                }
            }
            let reply = Reply::decode(&bytes).unwrap();
            let is_last = matches!(
                reply,
                Reply::Done | Reply::Failed(_) | Reply::Files | Reply::Count(_)
            );
            replies.push(reply);
            if is_last {
                return (replies, contents);
            }
        }
    }

    #[test]
    fn whoever_asks_for_another_file_gets_none() {
        let directory =
            std::env::temp_dir().join(format!("evenkeel-office-{}", std::process::id()));
        let office = office(&directory);
        let (ours, theirs) = pair().unwrap();
        let keeper = std::thread::spawn(move || office.run(&theirs));
        let mut random = 1_u32;
        let mut said = BTreeSet::new();
        for length in 0..300 {
            let mut garbage: Vec<u8> = (0..length)
                .map(|_| {
                    random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    random.to_le_bytes()[3]
                })
                .collect();
            // What a taken-over process would try: kinds that exist, with a path.
            if length % 2 == 0 && length > 20 {
                garbage[0] %= 9;
                garbage[5..16].copy_from_slice(b"/etc/shadow");
            }
            if garbage.is_empty() {
                continue;
            }
            let (replies, contents) = answer(&ours, &garbage);
            assert!(contents.is_empty());
            said.extend(replies.iter().map(|reply| format!("{reply:?}")));
        }
        assert_eq!(
            said.into_iter().collect::<Vec<_>>(),
            ["Failed(\"not understood\")"]
        );
        let (replies, contents) = answer(&ours, &Request::Read.encode());
        assert_eq!(replies, [Reply::Files]);
        let record = Answers::decode(&contents).unwrap();
        let name = directory.join("lb.cfg").display().to_string();
        assert_eq!(record, {
            let (gathered, _) = Answers::gather(&Options {
                files: vec![name.into()],
                ..Options::default()
            });
            gathered
        });
        drop(ours);
        keeper.join().unwrap();
        std::fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn nothing_is_opened_before_the_files_were_read() {
        let directory =
            std::env::temp_dir().join(format!("evenkeel-unread-{}", std::process::id()));
        let office = office(&directory);
        let (ours, theirs) = pair().unwrap();
        let keeper = std::thread::spawn(move || office.run(&theirs));
        let (replies, _) = answer(&ours, &Request::Open(2).encode());
        assert_eq!(replies, [Reply::Failed("nothing was read".to_owned())]);
        drop(ours);
        keeper.join().unwrap();
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
