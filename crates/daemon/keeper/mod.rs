//! The keeper: a process of one thread (but while it looks up names) that keeps the rights which the serving one gives up, so
//! that a reload finds the files, opens ports below 1024 and reaches sockets outside of a chroot.
//!
//! It touches no traffic and takes no path, address or text: it reads the files that the command
//! line named, and opens what its own reading of them names. A serving process that somebody has
//! taken over gains from it what the operator's files say already, and nothing else.

mod answers;
mod line;
mod office;
mod wire;

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use evenkeel_config::{Config, LogAddress};
use evenkeel_proxy::{Doors, Ledger, remember};
use nix::sys::signal::SigSet;

pub(crate) use line::{Fetched, Keeper};

use crate::background::{Parent, split};
use crate::handover::Heir;
use crate::prepare::Prepared;
use crate::{notify, packets};

/// How `ps` shows it.
const NAME: &std::ffi::CStr = c"evenkeel-keeper";

/// Starts the keeper of what was prepared, and opens what cannot be opened later. Returns twice, in
/// two processes, only one of which is to serve: `Err` is how the keeper has ended.
///
/// To be called before any thread is started.
pub(crate) fn start(
    prepared: &mut Prepared,
    parent: &mut Option<Parent>,
    heir: &mut Option<Heir>,
) -> io::Result<Result<(Keeper, Doors), u8>> {
    let (ours, theirs) = packets::pair()?;
    let server = rustix::process::getpid();
    let Some(pid) = split()? else {
        drop(ours);
        // It holds nothing that was opened for the serving process: what that one closes is to be
        // closed.
        drop((parent.take(), heir.take()));
        drop(std::mem::take(&mut prepared.sockets));
        drop((prepared.admin.take(), prepared.pidfile.take()));
        // For whoever follows the serving process.
        let stdout = io::stdout().as_fd().try_clone_to_owned().ok();
        seclude();
        let config = prepared.loaded.config.clone();
        let threads = prepared.limits.threads;
        let ledger = Ledger::of(&config);
        office::Office::new(prepared.options.clone(), server, config, threads, ledger)
            .with_stdout(stdout)
            .run(&theirs);
        return Ok(Err(0));
    };
    drop(theirs);
    remember();
    notify::open();
    let doors = Doors::default();
    let paths: Vec<PathBuf> = log_paths(&prepared.loaded.config).into_iter().collect();
    for path in &paths {
        // One that is not there yet is tried again when there is a line for it.
        if let Ok(socket) = connect(path) {
            doors.open(path, socket);
        }
    }
    Ok(Ok((Keeper::new(ours, pid, paths), doors)))
}

/// Signals are the serving process's; the keeper ends with it, when their socket closes.
fn seclude() {
    let _ = SigSet::all().thread_block();
    let _ = rustix::thread::set_name(NAME);
    let _ = rustix::thread::set_no_new_privs(true);
    if let Ok(null) = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/null")
    {
        let null = OwnedFd::from(null);
        let _ = rustix::stdio::dup2_stdin(&null);
        let _ = rustix::stdio::dup2_stdout(&null);
    }
}

/// The Unix sockets that `config` logs to, in an order that both processes know.
fn log_paths(config: &Config) -> BTreeSet<PathBuf> {
    let frontends = config.frontends.iter().flat_map(|f| &f.log.targets);
    let backends = config.backends.iter().flat_map(|b| &b.log);
    let targets = config.global.log.iter().chain(frontends).chain(backends);
    targets
        .filter_map(|target| match &target.address {
            LogAddress::Unix(path) => Some(path.clone()),
            _ => None,
        })
        .collect()
}

fn connect(path: &Path) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(path)?;
    Ok(socket)
}
