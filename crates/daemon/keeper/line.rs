//! The serving process's side: a thread of its own talks to the keeper, one matter after the other,
//! so that nobody else waits for it.

use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use evenkeel_config::{Loaded, Problem};
use evenkeel_proxy::{Doors, Supply};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::process::{Pid, WaitOptions, waitpid};
use tokio::sync::oneshot;

use super::answers::Answers;
use super::log_paths;
use super::wire::{Reply, Request, receive, send};
use crate::cli::Options;
use crate::{limits, prepare};

/// Matters that wait: a reload and its outcome, a reconnect, a farewell, a question.
const MOST_MATTERS: usize = 8;
/// The keeper may have to look up names of every server of a file.
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
    Load(Box<Options>, oneshot::Sender<Outcome>),
    Say(Request),
    Reconnect(Doors),
    Heirs(oneshot::Sender<u32>),
}

impl Keeper {
    pub(super) fn new(socket: OwnedFd, pid: Pid, paths: Vec<PathBuf>) -> Self {
        Self {
            pid,
            socket: Some(socket),
            paths,
            matters: None,
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
        let (matters, received) = sync_channel(MOST_MATTERS);
        let line = Line {
            socket: Some(socket),
            pid: self.pid,
            paths: std::mem::take(&mut self.paths),
            next_paths: Vec::new(),
            reconnected: None,
        };
        std::thread::Builder::new()
            .name("keeper-line".into())
            .spawn(move || line.run(&received))?;
        self.matters = Some(matters);
        Ok(())
    }

    /// Reads the files anew and opens what they name.
    pub(crate) fn load(&self, options: &Options) -> impl Future<Output = Outcome> + use<> {
        let (tell, hear) = oneshot::channel();
        let is_asked = self.ask(Matter::Load(Box::new(options.clone()), tell));
        let (options, pid) = (options.clone(), self.pid);
        async move {
            let outcome = if is_asked { hear.await.ok() } else { None };
            outcome.unwrap_or_else(|| Err(prepare::whole(&options, gone(pid))))
        }
    }

    /// What was loaded is in force.
    pub(crate) fn settle(&self) {
        self.ask(Matter::Say(Request::Settle));
    }

    /// What was loaded is not in force.
    pub(crate) fn abandon(&self) {
        self.ask(Matter::Say(Request::Abandon));
    }

    /// Lets the processes go that this one replaces.
    pub(crate) fn farewell(&self) {
        self.ask(Matter::Say(Request::Farewell));
    }

    /// Opens doors that are shut, at most once a second.
    pub(crate) fn reconnect(&self, doors: &Doors) {
        self.ask(Matter::Reconnect(doors.clone()));
    }

    /// How many sockets listen on the admin address.
    pub(crate) fn heirs(&self) -> oneshot::Receiver<u32> {
        let (tell, hear) = oneshot::channel();
        self.ask(Matter::Heirs(tell));
        hear
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

    fn ask(&self, matter: Matter) -> bool {
        let matters = self.matters.as_ref();
        matters.is_some_and(|matters| matters.try_send(matter).is_ok())
    }
}

fn gone(pid: Pid) -> String {
    format!(
        "the keeper (pid {}), which reads files and opens sockets for this process, has ended or \
         does not answer; connections are served as before, but a reload needs a restart",
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
    reconnected: Option<Instant>,
}

impl Line {
    fn run(mut self, matters: &Receiver<Matter>) {
        while let Ok(matter) = matters.recv() {
            match matter {
                Matter::Load(options, tell) => {
                    // The loop that asked may have turned to draining meanwhile.
                    let _ = tell.send(self.load(&options));
                }
                Matter::Say(request) => {
                    if request == Request::Settle {
                        self.paths = std::mem::take(&mut self.next_paths);
                    }
                    // A keeper that has gone is told of by whoever needs it.
                    drop(self.talk(request));
                }
                Matter::Reconnect(doors) => self.reconnect(&doors),
                Matter::Heirs(tell) => {
                    let count = self.talk(Request::Heirs).ok().and_then(|said| {
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

    fn load(&mut self, options: &Options) -> Outcome {
        let whole = |error: io::Error| prepare::whole(options, error);
        let files = self.talk(Request::Read).map_err(whole)?;
        let answers = files.into_iter().find_map(|(_, file)| record(file?));
        let Some(answers) = answers else {
            return Err(whole(io::Error::other("cannot read what the keeper read")));
        };
        let loaded = answers.load(options)?;
        let threads = limits::threads(&loaded.config);
        let threads = u32::try_from(threads).unwrap_or(u32::MAX);
        let opened = self.talk(Request::Open(threads)).map_err(whole)?;
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
        let Ok(said) = self.talk(Request::Connect) else {
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
    fn talk(&mut self, request: Request) -> io::Result<Vec<(Reply, Option<OwnedFd>)>> {
        let said = match &self.socket {
            Some(socket) => talk(socket, request),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        };
        match said {
            Ok(Ok(said)) => Ok(said),
            Ok(Err(why)) => Err(io::Error::other(why)),
            Err(error) => {
                tracing::debug!("cannot talk to the keeper: {error}");
                // Whatever it says next would be taken for an answer to something else.
                self.socket = None;
                Err(io::Error::other(gone(self.pid)))
            }
        }
    }
}

type Said = Vec<(Reply, Option<OwnedFd>)>;

/// The outer error: nobody is there; the inner one: it says no.
fn talk(socket: &OwnedFd, request: Request) -> io::Result<Result<Said, String>> {
    send(socket, &request.encode(), &[])?;
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
