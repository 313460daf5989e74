//! The stats sockets: accepts visitors on every one of them, no more at once than `stats maxconn`.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use evenkeel_config::{AccessLevel, Runtime};
use socket2::{Domain, Socket};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;

use super::Ask;
use super::visit::{Terms, visit};

/// How long to wait after an accept that failed (no descriptor left).
pub(crate) const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(100);

/// The stats sockets while they are served; ends when dropped. Visits go on to their end, which
/// their own limits bound.
pub(crate) struct Sockets {
    accepting: Vec<JoinHandle<()>>,
}

impl Drop for Sockets {
    fn drop(&mut self) {
        self.accepting.iter().for_each(JoinHandle::abort);
    }
}

impl Sockets {
    /// Serves `listeners`, each with its level, on the current runtime.
    ///
    /// # Errors
    /// The system does not watch one of them.
    pub(crate) fn serve(
        listeners: Vec<(Socket, AccessLevel)>,
        runtime: &Runtime,
        ask: &mpsc::Sender<Ask>,
        started: Instant,
    ) -> io::Result<Self> {
        let places = Arc::new(Semaphore::new(runtime.maxconn as usize));
        let mut accepting = Vec::new();
        for (listener, level) in listeners {
            let terms = Terms {
                level,
                timeout: runtime.timeout,
                ask: ask.clone(),
                started,
            };
            let listener = Listener::new(listener)?;
            accepting.push(tokio::spawn(accept(listener, places.clone(), terms)));
        }
        Ok(Self { accepting })
    }
}

/// A listening socket of either family.
pub(crate) enum Listener {
    Unix(UnixListener),
    Tcp(TcpListener),
}

impl Listener {
    pub(crate) fn new(socket: Socket) -> io::Result<Self> {
        if socket.domain()? == Domain::UNIX {
            let listener = std::os::unix::net::UnixListener::from(socket);
            UnixListener::from_std(listener).map(Self::Unix)
        } else {
            TcpListener::from_std(socket.into()).map(Self::Tcp)
        }
    }

    pub(crate) async fn accept(&self) -> io::Result<Box<dyn Stream>> {
        match self {
            Self::Unix(listener) => Ok(Box::new(listener.accept().await?.0)),
            Self::Tcp(listener) => Ok(Box::new(listener.accept().await?.0)),
        }
    }
}

pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send + Sync {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + Sync> Stream for S {}

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
                tracing::debug!("cannot accept on a stats socket: {error}");
                tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
            }
        }
    }
}
