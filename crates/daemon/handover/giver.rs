//! The side that gives way: a thread of its own talks to the successor, so that nobody else waits for
//! it, and asks the control loop for what only that one knows.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::Child;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{Shutdown, shutdown};
use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::{mpsc, oneshot};

use super::{Document, PATIENCE, Program, Word};
use crate::packets::{in_memory, receive, send};

/// How the successor is started.
pub(crate) enum Launch {
    /// By this process.
    Own(Program),
    /// By the keeper, which tells its process id.
    Kept(oneshot::Receiver<Result<u32, String>>),
}

/// What it is given before it has loaded anything.
#[derive(Default)]
pub(crate) struct Offer {
    pub(crate) sockets: Vec<(String, OwnedFd)>,
    pub(crate) admin: Option<(SocketAddr, OwnedFd)>,
    /// The frontends that commands shut down.
    pub(crate) shut: Vec<String>,
}

/// How far it is.
pub(crate) enum Step {
    /// It could start now, from this.
    Prepared(SyncSender<Document>),
    /// It serves, the sockets of these names among others, and waits at the other end of the line to
    /// hear that it may go on.
    Serving {
        pid: u32,
        taken: BTreeSet<String>,
        line: OwnedFd,
    },
    /// It does not, and was ended.
    Failed(String),
}

/// An upgrade under way. Dropped before the successor serves, it ends that one: it would go on as a
/// service that was told to end.
pub(crate) struct Giver {
    steps: mpsc::Receiver<Step>,
    /// The line, until somebody serves at its other end, and the thread that talks over it, if that ends once
    /// the line does: it may wait for the keeper instead, which ends what it has started by itself.
    talk: Option<(OwnedFd, Option<JoinHandle<()>>)>,
}

impl Giver {
    /// Begins to talk over `ours`; the other end is given to what is launched here.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub(crate) fn begin(
        launch: Launch,
        ours: OwnedFd,
        theirs: Option<OwnedFd>,
        offer: Offer,
    ) -> io::Result<Self> {
        Self::begin_within(PATIENCE, launch, ours, theirs, offer)
    }

    fn begin_within(
        patience: Duration,
        launch: Launch,
        ours: OwnedFd,
        theirs: Option<OwnedFd>,
        offer: Offer,
    ) -> io::Result<Self> {
        set_socket_timeout(&ours, Timeout::Recv, Some(patience))?;
        set_socket_timeout(&ours, Timeout::Send, Some(patience))?;
        let (tell, steps) = mpsc::channel(1);
        let line = ours.try_clone()?;
        let is_own = matches!(launch, Launch::Own(_));
        let thread = std::thread::Builder::new()
            .name("upgrade".into())
            .spawn(move || run(launch, ours, theirs, &offer, &tell))?;
        let talk = Some((line, is_own.then_some(thread)));
        Ok(Self { steps, talk })
    }

    /// The next step. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Step {
        let gone = || Step::Failed("the thread that talks to the successor has ended".to_owned());
        let step = self.steps.recv().await.unwrap_or_else(gone);
        if !matches!(step, Step::Prepared(_)) {
            self.talk = None;
        }
        step
    }
}

impl Drop for Giver {
    fn drop(&mut self) {
        let Some((line, thread)) = self.talk.take() else {
            return;
        };
        self.steps.close();
        if let Ok(Step::Serving { pid, .. }) = self.steps.try_recv() {
            // It came to serve at this very moment. Its thread waits for it, so that the number is still its own.
            if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        // Whatever the thread waits for, it ends, and with it what it has started.
        let _ = shutdown(&line, Shutdown::Both);
        let _ = thread.map(JoinHandle::join);
    }
}

fn run(
    launch: Launch,
    ours: OwnedFd,
    theirs: Option<OwnedFd>,
    offer: &Offer,
    steps: &mpsc::Sender<Step>,
) {
    let mut child = None;
    let started = match launch {
        Launch::Own(program) => own(&program, theirs.as_ref()).map(|started| {
            let pid = started.id();
            child = Some(started);
            pid
        }),
        Launch::Kept(answer) => {
            let gone = |_| Err("the keeper does not start it".to_owned());
            answer.blocking_recv().unwrap_or_else(gone)
        }
    };
    // From here on the line ends when the successor does.
    drop(theirs);
    match started.and_then(|pid| talk(ours, pid, offer, steps)) {
        // Its end is not to leave a zombie.
        Ok(()) => drop(child.map(|mut child| child.wait())),
        Err(why) => {
            if let Some(mut child) = child {
                let _ = child.kill();
                let _ = child.wait();
            }
            let _ = steps.blocking_send(Step::Failed(why));
        }
    }
}

fn own(program: &Program, theirs: Option<&OwnedFd>) -> Result<Child, String> {
    let refused = |error| format!("cannot start {}: {error}", program.path().display());
    let theirs = theirs.ok_or_else(|| refused(io::ErrorKind::InvalidInput.into()))?;
    program.start(theirs, None).map_err(refused)
}

fn talk(line: OwnedFd, pid: u32, offer: &Offer, steps: &mpsc::Sender<Step>) -> Result<(), String> {
    let taken = hand_over(&line, pid, offer, steps)?;
    let step = Step::Serving { pid, taken, line };
    let told = steps.blocking_send(step);
    told.map_err(|_| "this process ends".to_owned())
}

/// The names of the sockets that it serves.
fn hand_over(
    line: &OwnedFd,
    pid: u32,
    offer: &Offer,
    steps: &mpsc::Sender<Step>,
) -> Result<BTreeSet<String>, String> {
    let lost = |error: io::Error| match error.kind() {
        io::ErrorKind::WouldBlock => format!(
            "the new process (pid {pid}) did not answer within {} s and was ended",
            PATIENCE.as_secs()
        ),
        _ => format!("the new process (pid {pid}) has ended"),
    };
    let hear = || match receive(line) {
        Ok(Some((bytes, _))) => match Word::decode(&bytes) {
            Some(Word::Failed(why)) => Err(why),
            Some(word) => Ok(word),
            None => Err(format!(
                "the new process (pid {pid}) says what nobody understands"
            )),
        },
        Ok(None) => Err(lost(io::ErrorKind::UnexpectedEof.into())),
        Err(error) => Err(lost(error)),
    };
    let unexpected = |word| format!("the new process (pid {pid}) says {word:?} out of turn");
    let gone = |_| "this process ends".to_owned();
    for (name, socket) in &offer.sockets {
        send(
            line,
            &Word::Sockets(name.clone()).encode(),
            &[socket.as_fd()],
        )
        .map_err(lost)?;
    }
    if let Some((address, socket)) = &offer.admin {
        let word = Word::Admin(address.to_string());
        send(line, &word.encode(), &[socket.as_fd()]).map_err(lost)?;
    }
    for name in &offer.shut {
        send(line, &Word::Shut(name.clone()).encode(), &[]).map_err(lost)?;
    }
    send(line, &Word::Complete.encode(), &[]).map_err(lost)?;
    match hear()? {
        Word::Prepared => {}
        word => return Err(unexpected(word)),
    }
    let (give, document) = sync_channel(1);
    steps
        .blocking_send(Step::Prepared(give))
        .map_err(|_| "this process ends".to_owned())?;
    let document = document.recv().map_err(gone)?;
    let file = serde_json::to_vec(&document)
        .map_err(io::Error::from)
        .and_then(|bytes| in_memory(&bytes))
        .map_err(|error| format!("cannot write down what is known: {error}"))?;
    send(line, &Word::Document.encode(), &[file.as_fd()]).map_err(lost)?;
    let mut taken = BTreeSet::new();
    loop {
        match hear()? {
            Word::Taken(name) => drop(taken.insert(name)),
            Word::Serving => return Ok(taken),
            word => return Err(unexpected(word)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// More than a thread takes for a word.
    const BRIEF: Duration = Duration::from_millis(200);

    /// What the one that is started does with its end of the line.
    enum Heir {
        /// Hears the offer, says so much, and ends.
        Ends(&'static [&'static [u8]]),
        /// The same, and then says nothing.
        Hangs(&'static [&'static [u8]]),
    }

    fn begin(heir: Heir) -> Giver {
        let (ours, theirs) = crate::packets::pair().unwrap();
        let (tell, pid) = oneshot::channel();
        tell.send(Ok(7)).unwrap();
        let offer = Offer {
            shut: vec!["web".to_owned()],
            ..Offer::default()
        };
        let giver = Giver::begin_within(BRIEF, Launch::Kept(pid), ours, None, offer).unwrap();
        std::thread::spawn(move || {
            let (words, hangs) = match heir {
                Heir::Ends(words) => (words, false),
                Heir::Hangs(words) => (words, true),
            };
            for offered in [Word::Shut("web".to_owned()), Word::Complete] {
                let heard = receive(&theirs).unwrap().unwrap();
                assert_eq!(Word::decode(&heard.0), Some(offered));
            }
            for word in words {
                send(&theirs, word, &[]).unwrap();
            }
            // Until the other side has given up.
            while hangs && !matches!(receive(&theirs), Ok(None) | Err(_)) {}
        });
        giver
    }

    /// Hands over the document if it comes to that; the step after.
    async fn outcome(heir: Heir) -> (bool, Step) {
        let mut giver = begin(heir);
        match giver.next().await {
            Step::Prepared(give) => {
                give.try_send(Document::default()).unwrap();
                (true, giver.next().await)
            }
            step => (false, step),
        }
    }

    #[tokio::test]
    async fn whatever_the_successor_does_instead_of_serving_is_told() {
        let cases = [
            (Heir::Ends(&[]), false, "(pid 7) has ended"),
            (Heir::Hangs(&[]), false, "did not answer within"),
            (Heir::Ends(&[b"Fno such file"]), false, "no such file"),
            (Heir::Ends(&[b"V"]), false, "says Serving out of turn"),
            (Heir::Hangs(&[b"??"]), false, "says what nobody understands"),
            (Heir::Ends(&[b"P"]), true, "(pid 7) has ended"),
            (Heir::Hangs(&[b"P"]), true, "did not answer within"),
            (Heir::Hangs(&[b"P", b"Fno thread"]), true, "no thread"),
            (Heir::Hangs(&[b"P", b"Tweb"]), true, "did not answer within"),
            (
                Heir::Hangs(&[b"P", b"P"]),
                true,
                "says Prepared out of turn",
            ),
        ];
        for (number, (heir, was_prepared, expected)) in cases.into_iter().enumerate() {
            let (prepared, step) = outcome(heir).await;
            let Step::Failed(why) = step else {
                panic!("{number}: {expected}");
            };
            assert_eq!(prepared, was_prepared, "{number}: {why}");
            assert!(why.contains(expected), "{number}: {why}");
        }
    }

    #[tokio::test]
    async fn one_that_serves_is_waited_for_no_longer() {
        let (_, step) = outcome(Heir::Hangs(&[b"P", b"Tweb", b"V"])).await;
        let Step::Serving { pid, taken, .. } = step else {
            panic!("it serves");
        };
        assert_eq!((pid, taken), (7, BTreeSet::from(["web".to_owned()])));
    }
}
