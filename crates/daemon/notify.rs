//! What systemd is told (sd_notify(3)); nothing when nobody asked to be told.

use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::OnceLock;
use std::time::Duration;

use sd_notify::NotifyState;

/// The way to the service manager for a process that will no longer see its socket's path.
static CHANNEL: OnceLock<UnixDatagram> = OnceLock::new();

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

/// The process answers.
pub(crate) fn alive() {
    send(&[NotifyState::Watchdog]);
}

fn send(states: &[NotifyState<'_>]) {
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
