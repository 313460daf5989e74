//! The open sessions of all threads, for whoever wants to see one or end it. Nothing is kept for
//! this: each thread is asked, and looks at the sessions that it has anyway.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use tokio::runtime::Handle;

use crate::engine;

/// One established session.
#[derive(Clone, Debug)]
pub struct SessionSnapshot {
    /// Its own as long as it is open.
    pub id: u64,
    /// When it was accepted.
    pub accepted: SystemTime,
    /// Since then.
    pub age: Duration,
    /// Whose it is; `None`: over a Unix socket.
    pub source: Option<SocketAddr>,
    /// Where it came in.
    pub local: Option<SocketAddr>,
    /// The frontend's name and id.
    pub frontend: (String, u32),
    /// The backend's.
    pub backend: (String, u32),
    /// The server's.
    pub server: (String, u32),
    /// Tries again before it was connected.
    pub retries: u32,
    /// Bytes from the client, and to it.
    pub bytes: (u64, u64),
    /// The thread that carries it, from 1.
    pub thread: usize,
}

/// Asks the threads for their sessions.
#[derive(Clone, Debug)]
pub struct Roll {
    threads: Vec<Handle>,
}

impl Roll {
    pub(crate) fn new(threads: Vec<Handle>) -> Self {
        Self { threads }
    }

    /// Every established session.
    pub async fn list(&self) -> Vec<SessionSnapshot> {
        let mut all = Vec::new();
        for (number, thread) in (1..).zip(&self.threads) {
            // A thread that has ended has none.
            let listed = thread.spawn(async { engine::list() }).await;
            all.extend(
                listed
                    .unwrap_or_default()
                    .into_iter()
                    .map(|session| SessionSnapshot {
                        thread: number,
                        ..session
                    }),
            );
        }
        all
    }

    /// Ends the session of this id; whether there was one.
    pub async fn shutdown(&self, id: u64) -> bool {
        for thread in &self.threads {
            let is_found = thread.spawn(async move { engine::shutdown(id) }).await;
            if is_found.unwrap_or(false) {
                return true;
            }
        }
        false
    }
}
