//! The master's sockets: they are served from start to end, whatever is reloaded meanwhile.

use std::io;
use std::time::Instant;

use evenkeel_config::AccessLevel;
use socket2::Socket;
use tokio::sync::mpsc;

use super::visit::{Terms, visit};
use crate::runtime::{Ask, Sockets};

/// Visitors at once, as HAProxy's master has them; for more, the most silent one goes (`places.rs`).
const MOST_VISITORS: usize = 10;

/// Serves `listeners`, each with its level, on the current runtime, for a process that `started`
/// then.
///
/// # Errors
/// The system does not watch one of them.
pub(crate) fn serve(
    listeners: Vec<(Socket, AccessLevel)>,
    ask: &mpsc::Sender<Ask>,
    started: Instant,
) -> io::Result<Sockets> {
    let terms = |level| Terms {
        level,
        ask: ask.clone(),
        started,
    };
    Sockets::accept(listeners, MOST_VISITORS, |level| {
        let terms = terms(level);
        move |stream| visit(stream, terms.clone())
    })
}
