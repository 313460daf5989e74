//! What systemd is told (sd_notify(3)); nothing when nobody asked to be told.

use std::io;
use std::time::Duration;

use sd_notify::NotifyState;

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
    match sd_notify::notify(states) {
        Ok(()) => {}
        // Telling is best effort: a service manager that went away must not stop the traffic.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            tracing::debug!("no notify socket: {error}")
        }
        Err(error) => tracing::warn!("cannot notify the service manager: {error}"),
    }
}
