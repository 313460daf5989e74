//! What systemd is told (sd_notify(3)); nothing when nobody asked to be told.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pipe::{PipeFlags, pipe_with};
use sd_notify::NotifyState;

use crate::packets;

/// How long the service manager may keep us waiting, in all that must not be lost.
const PATIENCE: Duration = Duration::from_millis(500);

/// The way to the service manager for a process that will no longer see its socket's path.
static CHANNEL: OnceLock<UnixDatagram> = OnceLock::new();

/// Set once another process speaks.
static SILENT: OnceLock<()> = OnceLock::new();

/// Set while nobody reads what is sent: nothing waits for room any more.
static UNREAD: AtomicBool = AtomicBool::new(false);

/// Connects now, for a process that is about to change its root directory or user.
pub(crate) fn open() {
    match connect() {
        Ok(Some(channel)) => drop(CHANNEL.set(channel)),
        Ok(None) => {}
        Err(error) => tracing::warn!("cannot notify the service manager: {error}"),
    }
}

/// `None`: nobody asked to be told.
fn connect() -> io::Result<Option<UnixDatagram>> {
    let Some(address) = std::env::var_os("NOTIFY_SOCKET") else {
        return Ok(None);
    };
    let channel = UnixDatagram::unbound()?;
    match address.as_encoded_bytes() {
        [b'@', name @ ..] => channel.connect_addr(&SocketAddr::from_abstract_name(name)?)?,
        _ => channel.connect(&address)?,
    }
    channel.set_nonblocking(true)?;
    Ok(Some(channel))
}

/// Whether somebody waits to be told.
pub(crate) fn is_asked() -> bool {
    std::env::var_os("NOTIFY_SOCKET").is_some()
}

/// Everything is bound and served.
pub(crate) fn ready() {
    tell(&[
        NotifyState::Ready,
        NotifyState::MainPid(std::process::id()),
        NotifyState::Status("Ready."),
    ]);
}

/// A reload begins; [`ready`] or [`reload_failed`] must follow.
pub(crate) fn reloading() {
    let status = NotifyState::Status("Reloading Configuration.");
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, status, now]),
        // Type=notify-reload fails a unit whose RELOADING=1 lacks the time.
        Err(error) => tracing::debug!("cannot read the monotonic clock: {error}"),
    }
}

/// The configuration of before stays in force.
pub(crate) fn reload_failed() {
    tell(&[NotifyState::Ready, NotifyState::Status("Reload failed!")]);
}

/// The process is about to end, or drains toward it. Whoever does not hear it sees the end.
pub(crate) fn stopping(status: &str) {
    mention(&[NotifyState::Stopping, NotifyState::Status(status)]);
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
    tell(&[NotifyState::MainPid(pid)]);
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

/// Has it keep `sockets`, at most `MOST_DESCRIPTORS`, under `name`; what it has already it knows.
/// Whether they were sent.
pub(crate) fn store(name: &str, sockets: &[BorrowedFd<'_>]) -> bool {
    // A socket that is paused looks like one that is gone: only we say when it is.
    let text = format!("FDSTORE=1\nFDPOLL=0\nFDNAME={name}\n");
    tell_of_failure(send(&text, sockets, PATIENCE))
}

/// Has it close what it keeps under `name`.
pub(crate) fn unstore(name: &str) {
    let text = format!("FDSTOREREMOVE=1\nFDNAME={name}\n");
    let _ = tell_of_failure(send(&text, &[], PATIENCE));
}

/// Waits until everything that was sent is done, but not for long.
pub(crate) fn settle() {
    let settled = pipe_with(PipeFlags::CLOEXEC).map_err(io::Error::from);
    let settled = settled.and_then(|(hear, tell)| {
        send("BARRIER=1\n", &[tell.as_fd()], PATIENCE)?;
        drop(tell);
        wait_for(&hear, PollFlags::IN, Instant::now() + PATIENCE)
    });
    let _ = tell_of_failure(settled);
}

/// Waits at most `patience` for room, and not at all once that was in vain: a service manager that
/// reads nothing must not hold up the traffic with each word.
fn send(text: &str, descriptors: &[BorrowedFd<'_>], patience: Duration) -> io::Result<()> {
    if SILENT.get().is_some() {
        return Ok(());
    }
    let fresh = match CHANNEL.get() {
        Some(_) => None,
        None => connect()?,
    };
    let Some(channel) = CHANNEL.get().or(fresh.as_ref()) else {
        return Ok(());
    };
    let patience = match UNREAD.load(Relaxed) {
        true => Duration::ZERO,
        false => patience,
    };
    let sent = send_in_time(channel, text, descriptors, patience);
    let unread = |error: &io::Error| error.kind() == io::ErrorKind::TimedOut;
    match &sent {
        Ok(()) => UNREAD.store(false, Relaxed),
        Err(error) if unread(error) && !patience.is_zero() => UNREAD.store(true, Relaxed),
        Err(_) => {}
    }
    sent
}

/// # Errors
/// Nobody made room within `patience`, or nobody is there.
fn send_in_time(
    channel: &UnixDatagram,
    text: &str,
    descriptors: &[BorrowedFd<'_>],
    patience: Duration,
) -> io::Result<()> {
    let deadline = Instant::now() + patience;
    loop {
        match packets::send(channel, text.as_bytes(), descriptors) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                wait_for(channel, PollFlags::OUT, deadline)?;
            }
            sent => return sent,
        }
    }
}

fn wait_for(descriptor: impl AsFd, what: PollFlags, deadline: Instant) -> io::Result<()> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let limit = Timespec::try_from(left).map_err(io::Error::other)?;
        let mut watched = [PollFd::new(&descriptor, what)];
        match poll(&mut watched, Some(&limit)) {
            Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
            Ok(_) => return Ok(()),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Whether it did.
fn tell_of_failure(sent: io::Result<()>) -> bool {
    if let Err(error) = &sent {
        tracing::warn!("the service manager does not take descriptors: {error}");
    }
    sent.is_ok()
}

/// The process answers. Where there is no room, the service manager has older signs of life to read.
pub(crate) fn alive() {
    mention(&[NotifyState::Watchdog]);
}

/// What must not be lost.
fn tell(states: &[NotifyState<'_>]) {
    match send(&text_of(states), &[], PATIENCE) {
        Ok(()) => {}
        // Telling is best effort: a service manager that went away must not stop the traffic.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            tracing::debug!("no notify socket: {error}")
        }
        Err(error) => tracing::warn!("cannot notify the service manager: {error}"),
    }
}

/// What may be lost.
fn mention(states: &[NotifyState<'_>]) {
    if let Err(error) = send(&text_of(states), &[], Duration::ZERO) {
        tracing::debug!("cannot notify the service manager: {error}");
    }
}

fn text_of(states: &[NotifyState<'_>]) -> String {
    states.iter().map(|state| format!("{state}\n")).collect()
}
