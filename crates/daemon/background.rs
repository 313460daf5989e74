//! Going to the background, and the file that tells by which process id.
#![allow(
    unsafe_code,
    reason = "fork(2) has no safe form that lets the parent wait for the child's word"
)]

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use nix::unistd::{ForkResult, daemon, fork};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::Pid;

use crate::diagnostics::say;

/// What the parent reads when its child serves; anything else is why it does not.
const SERVING: &[u8] = &[0];

/// A pid file that was opened while errors could still be told, and is written once the process
/// has its final id.
#[derive(Debug)]
pub(crate) struct Pidfile {
    path: PathBuf,
    file: File,
}

impl Pidfile {
    /// Opens it, empty: an id of before must not be taken for this process's. But as long as that one
    /// `still_serves`, it is right.
    pub(crate) fn open(path: &Path, still_serves: bool) -> io::Result<Self> {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(!still_serves)
            .mode(0o644)
            .open(path)
            .map_err(|error| {
                let message = format!("cannot open the pid file {}: {error}", path.display());
                io::Error::new(error.kind(), message)
            })?;
        Ok(Self {
            path: path.to_owned(),
            file,
        })
    }

    /// Writes this process's id; the file stays behind at exit, as HAProxy's does.
    pub(crate) fn write(mut self) {
        let emptied = self.file.set_len(0);
        let written = emptied.and_then(|()| writeln!(self.file, "{}", std::process::id()));
        if let Err(error) = written {
            tracing::warn!("cannot write the pid file {}: {error}", self.path.display());
        }
    }
}

/// The process that the operator started; it ends when it hears how the start went, or that
/// nobody is left to tell.
#[derive(Debug)]
pub(crate) struct Parent(File);

impl Parent {
    /// Lets it exit 0.
    pub(crate) fn serving(self) {
        self.tell(SERVING);
    }

    /// Lets it print `why` and exit 1.
    pub(crate) fn failed(self, why: &str) {
        self.tell(why.as_bytes());
    }

    fn tell(mut self, word: &[u8]) {
        // It may have been killed; that is no reason not to serve.
        if let Err(error) = self.0.write_all(word) {
            tracing::debug!("the parent has gone: {error}");
        }
    }
}

/// Forks into a session of its own, with nothing on the standard streams; only the child returns,
/// the parent waits for its word. Relative names of files keep their meaning for a reload: the
/// directory stays.
///
/// To be called before any thread is started: a fork takes only its caller along.
pub(crate) fn detach() -> io::Result<Parent> {
    let (hear, tell) = pipe_with(PipeFlags::CLOEXEC)?;
    if split()?.is_some() {
        drop(tell);
        std::process::exit(outcome(File::from(hear)));
    }
    drop(hear);
    let (keep_directory, close_streams) = (true, false);
    daemon(keep_directory, close_streams)?;
    Ok(Parent(tell.into()))
}

/// Forks: the child's process id in the parent, `None` in the child.
///
/// To be called before any thread is started: a fork takes only its caller along.
pub(crate) fn split() -> io::Result<Option<Pid>> {
    // SAFETY: this is the process's only thread, so that the child is a whole copy: no lock is
    // held by, and no state half changed by, a thread that it lacks.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => Ok(Pid::from_raw(child.as_raw())),
        ForkResult::Child => Ok(None),
    }
}

/// Waits for the child's word, or for its end; the exit code to tell it by.
fn outcome(mut hear: File) -> i32 {
    let mut word = Vec::new();
    match hear.read_to_end(&mut word) {
        Ok(_) if word == SERVING => return 0,
        Ok(0) => say("the process in the background ended before it served"),
        Ok(_) => say(String::from_utf8_lossy(&word)),
        Err(error) => say(format!("cannot hear how the start went: {error}")),
    }
    1
}
