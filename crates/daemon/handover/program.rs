//! How this process was started, so that its successor is started in the same way: by the same path,
//! at which another file may be by then.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use rustix::io::{FdFlags, fcntl_setfd};

use crate::{cli, inherit};

static PROGRAM: OnceLock<Program> = OnceLock::new();

/// A program and how it is started.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    path: PathBuf,
    arguments: Vec<OsString>,
    /// Where relative names begin.
    directory: PathBuf,
}

/// Takes note of how this process was started; to be called before it changes its directory.
pub(crate) fn remember() {
    let mut all = std::env::args_os();
    let name = PathBuf::from(all.next().unwrap_or_default());
    let directory = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
    let program = Program {
        path: found(&name, &directory),
        arguments: cli::heir_arguments(all),
        directory,
    };
    let _ = PROGRAM.set(program);
}

/// What [`remember`] took note of.
pub(crate) fn program() -> Option<&'static Program> {
    PROGRAM.get()
}

/// Where the program is that was started as `name`. Not what /proc/self/exe leads to, unless there is
/// nothing else: a package replaces the file, and that link follows the old one.
fn found(name: &Path, directory: &Path) -> PathBuf {
    let own = || std::env::current_exe().unwrap_or_default();
    if name.components().count() > 1 {
        let path = directory.join(name);
        return if path.is_file() { path } else { own() };
    }
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let mut folders = std::env::split_paths(&folders).map(|folder| directory.join(folder));
    folders
        .find_map(|folder| Some(folder.join(name)).filter(|path| path.is_file()))
        .unwrap_or_else(own)
}

impl Program {
    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Starts it, to be talked to through `socket`.
    ///
    /// # Errors
    /// It cannot be started.
    pub(crate) fn start(&self, socket: &OwnedFd, stdout: Option<File>) -> io::Result<Child> {
        // The one descriptor that it is to inherit.
        fcntl_setfd(socket, FdFlags::empty())?;
        let mut command = Command::new(&self.path);
        command
            .args(&self.arguments)
            .current_dir(&self.directory)
            .env(inherit::HANDOVER, socket.as_raw_fd().to_string())
            // They are about this process alone.
            .env_remove("LISTEN_PID")
            .env_remove("LISTEN_FDS")
            .env_remove("LISTEN_FDNAMES")
            .env_remove("WATCHDOG_PID");
        if let Some(stdout) = stdout {
            command.stdout(Stdio::from(stdout));
        }
        let started = command.spawn();
        fcntl_setfd(socket, FdFlags::CLOEXEC)?;
        started
    }
}
