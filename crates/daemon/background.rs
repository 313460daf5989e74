//! Going to the background, and the file that tells by which process id.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// A pid file that was opened while errors could still be told, and is written once the process
/// has its final id.
#[derive(Debug)]
pub(crate) struct Pidfile {
    path: PathBuf,
    file: File,
}

impl Pidfile {
    /// Opens it, empty: an id of before must not be taken for this process's.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
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
        if let Err(error) = writeln!(self.file, "{}", std::process::id()) {
            tracing::warn!("cannot write the pid file {}: {error}", self.path.display());
        }
    }
}

/// Forks into a session of its own; only the child returns, the parent has exited 0. Relative
/// names of files keep their meaning for a reload: the directory stays.
///
/// To be called before any thread is started: a fork takes only its caller along.
pub(crate) fn detach() -> io::Result<()> {
    let (keep_directory, close_streams) = (true, false);
    nix::unistd::daemon(keep_directory, close_streams).map_err(Into::into)
}
