//! What is said of servers and proxies that change their state, in HAProxy's words.

use std::fmt;

use evenkeel_health::{CheckOutcome, CheckStatus, Machine};

/// The last server of a backend went down.
pub(crate) fn no_server_available(kind: &str, backend: &str) -> String {
    format!("{kind} {backend} has no server available!")
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

/// `option log-health-checks`: what a check, or an agent, found.
#[derive(Debug)]
pub(crate) struct CheckChange<'a> {
    /// `Health` or `Agent`.
    pub(crate) source: &'a str,
    pub(crate) is_backup: bool,
    pub(crate) backend: &'a str,
    pub(crate) server: &'a str,
    pub(crate) outcome: &'a CheckOutcome,
    /// The server's health after it.
    pub(crate) machine: Machine,
}

impl fmt::Display for CheckChange<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            source,
            backend,
            server,
            outcome,
            machine,
            ..
        } = self;
        let kind = if self.is_backup { "backup " } else { "" };
        let result = match outcome.status {
            CheckStatus::L7OkConditional => "conditionally succeeded",
            status if status.is_pass() => "succeeded",
            _ => "failed",
        };
        write!(
            f,
            "{source} check for {kind}server {backend}/{server} {result}, reason: {}",
            outcome.status.text()
        )?;
        if let Some(code) = outcome.code {
            write!(f, ", code: {code}")?;
        }
        if !outcome.info.is_empty() {
            write!(f, ", info: \"{}\"", outcome.info)?;
        }
        if outcome.status != CheckStatus::HealthAnalyze {
            write!(f, ", check duration: {}ms", outcome.duration.as_millis())?;
        }
        if machine.is_up() {
            let steps = machine.health() - machine.rise() + 1;
            write!(f, ", status: {steps}/{} UP.", machine.fall())
        } else {
            write!(f, ", status: {}/{} DOWN.", machine.health(), machine.rise())
        }
    }
}
