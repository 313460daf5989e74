//! What is said of servers and proxies that change their state, in HAProxy's words.

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
