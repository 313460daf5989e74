//! What systemd is told (sd_notify(3)); nothing when nobody asked to be told.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::OnceLock;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pipe::{PipeFlags, pipe_with};
use sd_notify::NotifyState;

use crate::packets::{self, MOST_DESCRIPTORS};

/// How long the service manager may keep us waiting, in all that must not be lost.
const PATIENCE: Duration = Duration::from_millis(500);

/// The way to the service manager for a process that will no longer see its socket's path.
static CHANNEL: OnceLock<UnixDatagram> = OnceLock::new();

/// Set once another process speaks.
static SILENT: OnceLock<()> = OnceLock::new();

/// Connects now, for a process that is about to change its root directory or user.
pub(crate) fn open() {
    let Some(address) = std::env::var_os("NOTIFY_SOCKET") else {
        return;
    };
    let connected = UnixDatagram::unbound().and_then(|channel| {
        match address.as_encoded_bytes() {
            [b'@', name @ ..] => channel.connect_addr(&SocketAddr::from_abstract_name(name)?)?,
            _ => channel.connect(&address)?,
        }
        channel.set_nonblocking(true)?;
        Ok(channel)
    });
    match connected {
        Ok(channel) => drop(CHANNEL.set(channel)),
        Err(error) => tracing::warn!("cannot notify the service manager: {error}"),
    }
}

/// Whether somebody waits to be told.
pub(crate) fn is_asked() -> bool {
    std::env::var_os("NOTIFY_SOCKET").is_some()
}

/// Everything is bound and served.
pub(crate) fn ready() {
    send(&[
        NotifyState::Ready,
        NotifyState::MainPid(std::process::id()),
        NotifyState::Status("Ready."),
    ]);
}

/// A reload begins; [`ready`] or [`reload_failed`] must follow.
pub(crate) fn reloading() {
    let status = NotifyState::Status("Reloading Configuration.");
    match NotifyState::monotonic_usec_now() {
        Ok(now) => send(&[NotifyState::Reloading, status, now]),
        // Type=notify-reload fails a unit whose RELOADING=1 lacks the time.
        Err(error) => tracing::debug!("cannot read the monotonic clock: {error}"),
    }
}

/// The configuration of before stays in force.
pub(crate) fn reload_failed() {
    send(&[NotifyState::Ready, NotifyState::Status("Reload failed!")]);
}

/// The process is about to end, or drains toward it.
pub(crate) fn stopping(status: &str) {
    send(&[NotifyState::Stopping, NotifyState::Status(status)]);
}

/// Half the time after which systemd takes the process for hung (WATCHDOG_USEC); `None`: it does
/// not watch.
pub(crate) fn watchdog_interval() -> Option<Duration> {
    sd_notify::watchdog_enabled()
        .map(|limit| limit / 2)
        .filter(|half| !half.is_zero())
}

/// Another process is the unit's from now on. Only the one that was may say so.
pub(crate) fn main_process(pid: u32) {
    send(&[NotifyState::MainPid(pid)]);
}

/// Says nothing more: another process speaks for the unit.
pub(crate) fn leave() {
    let _ = SILENT.set(());
}

/// Whether the service manager keeps descriptors over a restart (FileDescriptorStoreMax=). systemd
/// says so since version 254; for an older one the unit does.
pub(crate) fn keeps_descriptors() -> bool {
    let most = std::env::var("FDSTORE").ok();
    is_asked() && most.and_then(|most| most.parse::<u32>().ok()) > Some(0)
}

/// Has it keep `sockets` under `name`; what it has already it knows.
pub(crate) fn store(name: &str, sockets: &[BorrowedFd<'_>]) {
    for some in sockets.chunks(MOST_DESCRIPTORS) {
        // A socket that is paused looks like one that is gone: only we say when it is.
        let text = format!("FDSTORE=1\nFDPOLL=0\nFDNAME={name}\n");
        tell_of_failure(send_with(&text, some));
    }
}

/// Has it close what it keeps under `name`.
pub(crate) fn unstore(name: &str) {
    tell_of_failure(send_with(&format!("FDSTOREREMOVE=1\nFDNAME={name}\n"), &[]));
}

/// Waits until everything that was sent is done, but not for long.
pub(crate) fn settle() {
    let settled = pipe_with(PipeFlags::CLOEXEC).map_err(io::Error::from);
    let settled = settled.and_then(|(hear, tell)| {
        send_with("BARRIER=1\n", &[tell.as_fd()])?;
        drop(tell);
        wait_for(&hear, PollFlags::IN)
    });
    tell_of_failure(settled);
}

/// With room waited for: none of these may be lost.
fn send_with(text: &str, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    if SILENT.get().is_some() {
        return Ok(());
    }
    if CHANNEL.get().is_none() {
        open();
    }
    let Some(channel) = CHANNEL.get() else {
        return Ok(());
    };
    loop {
        match packets::send(channel, text.as_bytes(), descriptors) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                wait_for(channel, PollFlags::OUT)?;
            }
            sent => return sent,
        }
    }
}

fn wait_for(descriptor: impl AsFd, what: PollFlags) -> io::Result<()> {
    let limit = Timespec::try_from(PATIENCE).map_err(io::Error::other)?;
    let mut watched = [PollFd::new(&descriptor, what)];
    match poll(&mut watched, Some(&limit)) {
        Ok(0) => Err(io::ErrorKind::TimedOut.into()),
        Err(error) => Err(error.into()),
        Ok(_) => Ok(()),
    }
}

fn tell_of_failure(sent: io::Result<()>) {
    if let Err(error) = sent {
        tracing::warn!("the service manager does not take descriptors: {error}");
    }
}

/// The process answers.
pub(crate) fn alive() {
    send(&[NotifyState::Watchdog]);
}

fn send(states: &[NotifyState<'_>]) {
    if SILENT.get().is_some() {
        return;
    }
    let sent = match CHANNEL.get() {
        Some(channel) => {
            let text: String = states.iter().map(|state| format!("{state}\n")).collect();
            channel.send(text.as_bytes()).map(drop)
        }
        None => sd_notify::notify(states),
    };
    match sent {
        Ok(()) => {}
        // Telling is best effort: a service manager that went away must not stop the traffic.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            tracing::debug!("no notify socket: {error}")
        }
        Err(error) => tracing::warn!("cannot notify the service manager: {error}"),
    }
}
