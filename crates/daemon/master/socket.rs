//! The master's sockets: they are served from start to end, whatever is reloaded meanwhile.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use evenkeel_config::AccessLevel;
use socket2::Socket;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;

use super::visit::{Terms, visit};
use crate::runtime::{self, Listener, PAUSE_AFTER_FAILURE};

/// Visitors at once, as HAProxy's master has them; more wait in the kernel's queue.
const MOST_VISITORS: usize = 10;

/// The master's sockets while they are served; ends when dropped.
pub(crate) struct Master {
    accepting: Vec<JoinHandle<()>>,
}

impl Drop for Master {
    fn drop(&mut self) {
        self.accepting.iter().for_each(JoinHandle::abort);
    }
}

impl Master {
    /// Serves `listeners`, each with its level, on the current runtime, for a process that
    /// `started` then.
    ///
    /// # Errors
    /// The system does not watch one of them.
    pub(crate) fn serve(
        listeners: Vec<(Socket, AccessLevel)>,
        ask: &mpsc::Sender<runtime::Ask>,
        started: Instant,
    ) -> io::Result<Self> {
        let places = Arc::new(Semaphore::new(MOST_VISITORS));
        let mut accepting = Vec::new();
        for (listener, level) in listeners {
            let terms = Terms {
                level,
                ask: ask.clone(),
                started,
            };
            let listener = Listener::new(listener)?;
            accepting.push(tokio::spawn(accept(listener, places.clone(), terms)));
        }
        Ok(Self { accepting })
    }
}

async fn accept(listener: Listener, places: Arc<Semaphore>, terms: Terms) {
    loop {
        let Ok(place) = places.clone().acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok(stream) => {
                let terms = terms.clone();
                drop(tokio::spawn(async move {
                    visit(stream, terms).await;
                    drop(place);
                }));
            }
            Err(error) => {
                tracing::debug!("cannot accept on the master's socket: {error}");
                tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
            }
        }
    }
}
