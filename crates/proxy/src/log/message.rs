//! What is said of servers and proxies that change their state, in HAProxy's words.

use std::fmt;

use evenkeel_health::CheckOutcome;

/// A server that went up or down after a check.
#[derive(Debug)]
pub(crate) struct ServerChange<'a> {
    pub(crate) backend: &'a str,
    pub(crate) server: &'a str,
    pub(crate) is_backup: bool,
    pub(crate) is_up: bool,
    pub(crate) outcome: &'a CheckOutcome,
    /// Servers that can be chosen after the change.
    pub(crate) active_servers: u32,
    /// Backups that can be chosen after the change.
    pub(crate) backup_servers: u32,
    /// Open on the server.
    pub(crate) sessions: u32,
}

impl fmt::Display for ServerChange<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            backend,
            server,
            outcome,
            active_servers,
            backup_servers,
            sessions,
            ..
        } = self;
        let kind = if self.is_backup {
            "Backup Server"
        } else {
            "Server"
        };
        let state = if self.is_up { "UP" } else { "DOWN" };
        write!(
            f,
            "{kind} {backend}/{server} is {state}, reason: {}",
            outcome.status.text()
        )?;
        if !outcome.info.is_empty() {
            write!(f, ", info: \"{}\"", outcome.info)?;
        }
        let rest = if self.is_up { "online" } else { "left" };
        write!(
            f,
            ", check duration: {}ms. {active_servers} active and {backup_servers} backup servers \
             {rest}.",
            outcome.duration.as_millis()
        )?;
        if *active_servers == 0 && *backup_servers > 0 {
            f.write_str(" Running on backup.")?;
        }
        if self.is_up {
            f.write_str(" 0 sessions requeued, 0 total in queue.")
        } else {
            write!(
                f,
                " {sessions} sessions active, 0 requeued, 0 remaining in queue."
            )
        }
    }
}

/// The last server of a backend went down.
pub(crate) fn no_server_available(backend: &str) -> String {
    format!("backend {backend} has no server available!")
}

/// Sessions outlived `hard-stop-after`.
pub(crate) const HARD_STOP: &str = "soft-stop running for too long, performing a hard-stop.";

/// A proxy whose last sessions are ended by a hard stop.
pub(crate) fn proxy_hard_stopped(proxy: &str, open: u32) -> String {
    format!("Proxy {proxy} hard-stopped ({open} remaining conns will be closed).")
}

/// A proxy no longer accepts.
pub(crate) fn proxy_stopped(proxy: &str, accepted: u64, served: u64) -> String {
    format!("Proxy {proxy} stopped (cumulated conns: FE: {accepted}, BE: {served}).")
}
