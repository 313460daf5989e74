//! The sockets that take commands: accepts visitors on every one of them, so many at once.

use std::io;
use std::time::{Duration, Instant};

use evenkeel_config::{AccessLevel, Runtime};
use socket2::{Domain, Socket};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::Ask;
use super::visit::{Terms, visit};
use crate::places::{Places, Watched};

/// How long to wait after an accept that failed (no descriptor left).
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(100);

/// Sockets while visitors are taken on them; ends when dropped. Visits go on to their end, which
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
    /// Serves the stats sockets `listeners`, each with its level, on the current runtime.
    ///
    /// # Errors
    /// The system does not watch one of them.
    pub(crate) fn serve(
        listeners: Vec<(Socket, AccessLevel)>,
        runtime: &Runtime,
        ask: &mpsc::Sender<Ask>,
        started: Instant,
    ) -> io::Result<Self> {
        let terms = |level| Terms {
            level,
            timeout: runtime.timeout,
            ask: ask.clone(),
            started,
        };
        Self::accept(listeners, runtime.maxconn as usize, |level| {
            let terms = terms(level);
            move |stream| visit(stream, terms.clone())
        })
    }

    /// Takes visitors on `listeners`, at most `most` at once in all; for more, the most silent one goes.
    /// `host` makes, for a level, what serves one visitor after the other.
    ///
    /// # Errors
    /// The system does not watch one of them.
    pub(crate) fn accept<H, V>(
        listeners: Vec<(Socket, AccessLevel)>,
        most: usize,
        host: impl Fn(AccessLevel) -> H,
    ) -> io::Result<Self>
    where
        H: Fn(Watched<Box<dyn Stream>>) -> V + Send + Sync + 'static,
        V: Future<Output = ()> + Send + 'static,
    {
        let places = Places::new(most);
        let mut accepting = Vec::new();
        for (listener, level) in listeners {
            let listener = Listener::new(listener)?;
            accepting.push(tokio::spawn(accept(listener, places.clone(), host(level))));
        }
        Ok(Self { accepting })
    }
}

/// A listening socket of either family.
enum Listener {
    Unix(UnixListener),
    Tcp(TcpListener),
}

impl Listener {
    fn new(socket: Socket) -> io::Result<Self> {
        if socket.domain()? == Domain::UNIX {
            let listener = std::os::unix::net::UnixListener::from(socket);
            UnixListener::from_std(listener).map(Self::Unix)
        } else {
            TcpListener::from_std(socket.into()).map(Self::Tcp)
        }
    }

    async fn accept(&self) -> io::Result<Box<dyn Stream>> {
        match self {
            Self::Unix(listener) => Ok(Box::new(listener.accept().await?.0)),
            Self::Tcp(listener) => Ok(Box::new(listener.accept().await?.0)),
        }
    }
}

pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send + Sync {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + Sync> Stream for S {}

async fn accept<V>(
    listener: Listener,
    places: Places,
    visit: impl Fn(Watched<Box<dyn Stream>>) -> V + Send + Sync,
) where
    V: Future<Output = ()> + Send + 'static,
{
    loop {
        match listener.accept().await {
            Ok(stream) => places.receive(stream, &visit).await,
            Err(error) => {
                tracing::debug!("cannot accept a visitor: {error}");
                tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
            }
        }
    }
}
