//! The serving process's side: a thread of its own talks to the keeper, one matter after the other,
//! so that nobody else waits for it.

use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::net::TcpListener;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use evenkeel_config::{Loaded, Problem};
use evenkeel_proxy::{Doors, Holdings, Supply};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::process::{Pid, WaitOptions, waitpid};
use tokio::sync::oneshot;

use super::answers::Answers;
use super::log_paths;
use super::wire::{MOST_COUNTS, Reply, Request};
use crate::cli::Options;
use crate::packets::{receive, send};
use crate::{limits, prepare};

/// Matters that wait, at most: a reload and the outcome of one, a reconnect, a farewell, a
/// question. None of them waits twice, so that there is room for each.
const MOST_MATTERS: usize = 8;
/// The keeper may have to look up names of every server of a file. One that takes longer is asked
/// again later: what it says to what was given up is passed over when it comes.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between two looks for a log socket that is not there.
const RECONNECT: Duration = Duration::from_secs(1);

/// The keeper as the serving process knows it.
#[derive(Debug)]
pub(crate) struct Keeper {
    pid: Pid,
    socket: Option<OwnedFd>,
    paths: Vec<PathBuf>,
    matters: Option<SyncSender<Matter>>,
    /// Whether a reconnect waits: one is enough.
    reconnects: Arc<AtomicBool>,
}

/// All that a reload needs and only the keeper can get.
pub(crate) struct Fetched {
    pub(crate) loaded: Loaded,
    pub(crate) sockets: Supply,
    /// The admin address's socket, if that is a new one.
    pub(crate) admin: Option<Result<TcpListener, String>>,
    pub(crate) logs: Vec<(PathBuf, UnixDatagram)>,
}

type Outcome = Result<Fetched, Vec<Problem>>;

enum Matter {
    Load(Box<Options>, Holdings, oneshot::Sender<Outcome>),
    Say(Request),
    Reconnect(Doors),
    Heirs(oneshot::Sender<u32>),
    Spawn(OwnedFd, oneshot::Sender<Result<u32, String>>),
}

impl Keeper {
    pub(super) fn new(socket: OwnedFd, pid: Pid, paths: Vec<PathBuf>) -> Self {
        Self {
            pid,
            socket: Some(socket),
            paths,
            matters: None,
            reconnects: Arc::default(),
        }
    }

    /// Starts the thread that talks to it.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub(crate) fn listen(&mut self) -> io::Result<()> {
        let Some(socket) = self.socket.take() else {
            return Ok(());
        };
        set_socket_timeout(&socket, Timeout::Recv, Some(PATIENCE))?;
        set_socket_timeout(&socket, Timeout::Send, Some(PATIENCE))?;
        let (matters, received) = sync_channel(MOST_MATTERS);
        let line = Line {
            socket: Some(socket),
            pid: self.pid,
            paths: std::mem::take(&mut self.paths),
            next_paths: Vec::new(),
            owed: 0,
            reconnected: None,
            reconnects: self.reconnects.clone(),
        };
        std::thread::Builder::new()
            .name("keeper-line".into())
            .spawn(move || line.run(&received))?;
        self.matters = Some(matters);
        Ok(())
    }

    /// Reads the files anew and opens what they name and this process does not hold.
    pub(crate) fn load(
        &self,
        options: &Options,
        holdings: Holdings,
    ) -> impl Future<Output = Outcome> + use<> {
        let (tell, hear) = oneshot::channel();
        let asked = self.ask(Matter::Load(Box::new(options.clone()), holdings, tell));
        let (options, pid) = (options.clone(), self.pid);
        async move {
            let outcome = match asked {
                Ok(()) => hear.await.map_err(|_| gone(pid)),
                Err(why) => Err(why),
            };
            outcome.unwrap_or_else(|why| Err(prepare::whole(&options, why)))
        }
    }

    /// What was loaded is in force.
    pub(crate) fn settle(&self) {
        self.say(Request::Settle);
    }

    /// What was loaded is not in force.
    pub(crate) fn abandon(&self) {
        self.say(Request::Abandon);
    }

    /// Lets the processes go that this one replaces.
    pub(crate) fn farewell(&self) {
        self.say(Request::Farewell);
    }

    /// Opens doors that are shut, at most once a second.
    pub(crate) fn reconnect(&self, doors: &Doors) {
        // Who writes to a log that has gone knocks with every line.
        if !self.reconnects.swap(true, SeqCst)
            && self.ask(Matter::Reconnect(doors.clone())).is_err()
        {
            self.reconnects.store(false, SeqCst);
        }
    }

    /// How many sockets listen on the admin address.
    pub(crate) fn heirs(&self) -> oneshot::Receiver<u32> {
        let (tell, hear) = oneshot::channel();
        // Without an answer, nobody else is known of.
        let _ = self.ask(Matter::Heirs(tell));
        hear
    }

    /// Starts what is to follow this process, which is talked to over the other end of `line`; answers
    /// with its process id.
    pub(crate) fn spawn(&self, line: OwnedFd) -> oneshot::Receiver<Result<u32, String>> {
        let (tell, hear) = oneshot::channel();
        // Without an answer, nothing was started.
        let _ = self.ask(Matter::Spawn(line, tell));
        hear
    }

    /// Ends it: it does not serve.
    pub(crate) fn recall(&self) {
        self.say(Request::Recall);
    }

    /// Whether the keeper has ended; to be asked when a child has. Takes its status, so that it does
    /// not stay as a zombie.
    pub(crate) fn has_ended(&self) -> bool {
        matches!(waitpid(Some(self.pid), WaitOptions::NOHANG), Ok(Some(_)))
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    fn say(&self, request: Request) {
        let what = format!("{request:?}");
        if let Err(why) = self.ask(Matter::Say(request)) {
            tracing::error!("the keeper was not told ({what}): {why}");
        }
    }

    /// # Errors
    /// Nobody takes it, and why.
    fn ask(&self, matter: Matter) -> Result<(), String> {
        let matters = self.matters.as_ref().ok_or_else(|| gone(self.pid))?;
        matters.try_send(matter).map_err(|error| match error {
            TrySendError::Full(_) => busy(self.pid),
            TrySendError::Disconnected(_) => gone(self.pid),
        })
    }
}

fn gone(pid: Pid) -> String {
    format!(
        "the keeper (pid {}), which reads files and opens sockets for this process, has ended; \
         connections are served as before, but a reload needs a restart",
        pid.as_raw_nonzero()
    )
}

fn busy(pid: Pid) -> String {
    format!(
        "the keeper (pid {}) still reads the files, most often because nobody answers for the \
         names in them; connections are served as before; reload again later",
        pid.as_raw_nonzero()
    )
}

/// The thread's state.
struct Line {
    /// `None`: the keeper has gone, or is out of step.
    socket: Option<OwnedFd>,
    pid: Pid,
    /// The log paths of what is in force, as the keeper counts them, and of what may come.
    paths: Vec<PathBuf>,
    next_paths: Vec<PathBuf>,
    /// Requests that it has not answered yet; it answers them in their order.
    owed: u32,
    reconnected: Option<Instant>,
    reconnects: Arc<AtomicBool>,
}

impl Line {
    fn run(mut self, matters: &Receiver<Matter>) {
        while let Ok(matter) = matters.recv() {
            match matter {
                Matter::Load(options, holdings, tell) => {
                    // The loop that asked may have turned to draining meanwhile.
                    let _ = tell.send(self.load(&options, &holdings));
                }
                Matter::Say(request) => {
                    if request == Request::Settle {
                        self.paths = std::mem::take(&mut self.next_paths);
                    }
                    self.say(&request);
                }
                Matter::Spawn(line, tell) => {
                    let said = match self.send_with(&Request::Spawn, &[line.as_fd()]) {
                        Ok(()) => self.answer(),
                        Err(error) => Err(error),
                    };
                    // From here on the line ends when the process does that has its other end.
                    drop(line);
                    let pid = match said {
                        Ok(Ok(said)) => match said.first() {
                            Some((Reply::Count(pid), _)) => Ok(*pid),
                            _ => Err("the keeper says nothing of it".to_owned()),
                        },
                        Ok(Err(why)) => Err(why),
                        Err(error) => Err(self.failed(&error).to_string()),
                    };
                    let _ = tell.send(pid);
                }
                Matter::Reconnect(doors) => {
                    self.reconnects.store(false, SeqCst);
                    self.reconnect(&doors);
                }
                Matter::Heirs(tell) => {
                    let count = self.talk(&Request::Heirs).ok().and_then(|said| {
                        said.iter().find_map(|(reply, _)| match reply {
                            Reply::Count(count) => Some(*count),
                            _ => None,
                        })
                    });
                    let _ = tell.send(count.unwrap_or(0));
                }
            }
        }
    }

    fn load(&mut self, options: &Options, holdings: &Holdings) -> Outcome {
        let whole = |error: io::Error| prepare::whole(options, error);
        let files = self.talk(&Request::Read).map_err(whole)?;
        let answers = files.into_iter().find_map(|(_, file)| record(file?));
        let Some(answers) = answers else {
            return Err(whole(io::Error::other("cannot read what the keeper read")));
        };
        let loaded = answers.load(options)?;
        let threads = limits::threads(&loaded.config);
        let threads = u32::try_from(threads).unwrap_or(u32::MAX);
        let count = |held: usize| u16::try_from(held).unwrap_or(u16::MAX);
        let held: Vec<u16> = holdings.of(&loaded.config).into_iter().map(count).collect();
        for (chunk, counts) in (0..).zip(held.chunks(MOST_COUNTS)) {
            let first = u32::try_from(chunk * MOST_COUNTS).unwrap_or(u32::MAX);
            self.talk(&Request::Holds(first, counts.to_vec()))
                .map_err(whole)?;
        }
        let opened = self.talk(&Request::Open(threads)).map_err(whole)?;
        self.next_paths = log_paths(&loaded.config).into_iter().collect();
        Ok(sorted(loaded, opened, &self.next_paths))
    }

    fn reconnect(&mut self, doors: &Doors) {
        if self
            .reconnected
            .is_some_and(|last| last.elapsed() < RECONNECT)
        {
            return;
        }
        self.reconnected = Some(Instant::now());
        // The paths are the keeper's to know; it names them by number.
        let Ok(said) = self.talk(&Request::Connect) else {
            return;
        };
        for (reply, socket) in said {
            if let (Reply::Log(number), Some(socket)) = (reply, socket)
                && let Some(path) = self.paths.get(number as usize)
            {
                doors.open(path, socket.into());
            }
        }
    }

    /// Everything that the keeper says to a request.
    fn talk(&mut self, request: &Request) -> io::Result<Said> {
        match self.exchange(request) {
            Ok(Ok(said)) => Ok(said),
            Ok(Err(why)) => Err(io::Error::other(why)),
            Err(error) => Err(self.failed(&error)),
        }
    }

    /// Tells the keeper something whose answer nobody waits for.
    fn say(&mut self, request: &Request) {
        if let Err(error) = self.send(request) {
            let why = self.failed(&error);
            tracing::error!("the keeper was not told ({request:?}): {why}");
        }
    }

    fn failed(&mut self, error: &io::Error) -> io::Error {
        tracing::debug!("cannot talk to the keeper: {error}");
        if error.kind() == io::ErrorKind::WouldBlock {
            return io::Error::other(busy(self.pid));
        }
        // Whatever it says next would be taken for an answer to something else.
        self.socket = None;
        io::Error::other(gone(self.pid))
    }

    fn send(&mut self, request: &Request) -> io::Result<()> {
        self.send_with(request, &[])
    }

    fn send_with(&mut self, request: &Request, beside: &[BorrowedFd<'_>]) -> io::Result<()> {
        let socket = self.socket.as_ref().ok_or(io::ErrorKind::BrokenPipe)?;
        send(socket, &request.encode(), beside)?;
        self.owed += 1;
        Ok(())
    }

    /// The outer error: nobody is there, or does not answer in time; the inner one: it says no.
    fn exchange(&mut self, request: &Request) -> io::Result<Result<Said, String>> {
        self.send(request)?;
        self.answer()
    }

    /// The answer to what was sent last.
    fn answer(&mut self) -> io::Result<Result<Said, String>> {
        loop {
            let socket = self.socket.as_ref().ok_or(io::ErrorKind::BrokenPipe)?;
            let said = hear(socket)?;
            self.owed -= 1;
            // The others are late answers: to what nobody waited for, or no longer.
            if self.owed == 0 {
                return Ok(said);
            }
        }
    }
}

type Said = Vec<(Reply, Option<OwnedFd>)>;

/// All of the answer to one request.
fn hear(socket: &OwnedFd) -> io::Result<Result<Said, String>> {
    let mut said = Vec::new();
    loop {
        let (bytes, descriptors) = receive(socket)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        let reply = Reply::decode(&bytes).ok_or(io::ErrorKind::InvalidData)?;
        match reply {
            Reply::Done => return Ok(Ok(said)),
            Reply::Failed(why) => return Ok(Err(why)),
            Reply::Sockets(_) => {
                let one = |descriptor| (reply.clone(), Some(descriptor));
                said.extend(descriptors.into_iter().map(one));
            }
            reply => {
                let is_last = matches!(reply, Reply::Files | Reply::Count(_));
                said.push((reply, descriptors.into_iter().next()));
                if is_last {
                    return Ok(Ok(said));
                }
            }
        }
    }
}

fn record(file: OwnedFd) -> Option<Answers> {
    let mut file = File::from(file);
    let mut bytes = Vec::new();
    file.rewind().ok()?;
    file.read_to_end(&mut bytes).ok()?;
    Answers::decode(&bytes)
}

fn sorted(loaded: Loaded, said: Said, paths: &[PathBuf]) -> Fetched {
    let mut fetched = Fetched {
        loaded,
        sockets: Supply::default(),
        admin: None,
        logs: Vec::new(),
    };
    for (reply, descriptor) in said {
        match (reply, descriptor) {
            (Reply::Sockets(bind), Some(socket)) => {
                fetched.sockets.add(bind as usize, vec![socket]);
            }
            (Reply::Refused(bind, why), _) => fetched.sockets.refuse(bind as usize, why),
            (Reply::Log(number), Some(socket)) => {
                if let Some(path) = paths.get(number as usize) {
                    fetched.logs.push((path.clone(), socket.into()));
                }
            }
            (Reply::Admin, Some(socket)) => fetched.admin = Some(Ok(socket.into())),
            (Reply::AdminRefused(why), _) => fetched.admin = Some(Err(why)),
            _ => {}
        }
    }
    fetched
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packets::pair;

    #[test]
    fn a_keeper_that_answers_late_is_heard_again() {
        let (ours, theirs) = pair().unwrap();
        let brief = Duration::from_millis(20);
        set_socket_timeout(&ours, Timeout::Recv, Some(brief)).unwrap();
        let mut line = Line {
            socket: Some(ours),
            pid: rustix::process::getpid(),
            paths: Vec::new(),
            next_paths: Vec::new(),
            owed: 0,
            reconnected: None,
            reconnects: Arc::default(),
        };
        let answer = |reply: &Reply| {
            receive(&theirs).unwrap().unwrap();
            send(&theirs, &reply.encode(), &[]).unwrap();
        };
        let late = line.talk(&Request::Read).unwrap_err().to_string();
        assert!(late.ends_with("reload again later"), "{late}");
        line.say(&Request::Abandon);
        // It comes around in the midst of an answer.
        answer(&Reply::Sockets(1));
        line.talk(&Request::Heirs).unwrap_err();
        send(&theirs, &Reply::Done.encode(), &[]).unwrap();
        answer(&Reply::Done);
        answer(&Reply::Count(1));
        std::thread::scope(|scope| {
            set_socket_timeout(line.socket.as_ref().unwrap(), Timeout::Recv, None).unwrap();
            scope.spawn(|| answer(&Reply::Count(2)));
            let said = line.talk(&Request::Heirs).unwrap();
            assert!(matches!(said[..], [(Reply::Count(2), None)]), "{said:?}");
        });
        assert_eq!(line.owed, 0);
        drop(theirs);
        let gone = line.talk(&Request::Heirs).unwrap_err().to_string();
        assert!(gone.ends_with("a reload needs a restart"), "{gone}");
    }
}
