//! Places for visitors of a socket: so many at once. Where all are taken, whoever has been silent for
//! longest goes, so that some who say nothing cannot keep everybody else out. Knows nothing of what is
//! said.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout};

/// Nobody goes who was silent for less: an answer may be under way. Far below the patience of
/// `evenkeel health`.
const LEAST_SILENCE: Duration = Duration::from_millis(100);
/// How often it is looked whether somebody has been silent for so long.
const LOOK: Duration = Duration::from_millis(50);

/// The places of one or more sockets; clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    free: Arc<Semaphore>,
    visitors: Arc<Mutex<Vec<Visitor>>>,
}

#[derive(Debug)]
struct Visitor {
    silence: Arc<Silence>,
    task: AbortHandle,
}

/// Since when the visitor is waited for: to say something, or to take what it is told.
#[derive(Debug, Default)]
struct Silence(Mutex<Option<Instant>>);

impl Places {
    /// For at most `most` visitors at once.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            free: Arc::new(Semaphore::new(most)),
            visitors: Arc::default(),
        }
    }

    /// Serves `stream` in a task of its own, as soon as there is a place.
    pub(crate) async fn receive<S, V>(&self, stream: S, visit: impl FnOnce(Watched<S>) -> V)
    where
        V: Future<Output = ()> + Send + 'static,
    {
        let place = loop {
            if self.free.available_permits() == 0 {
                self.dismiss_the_most_silent();
            }
            let free = self.free.clone().acquire_owned();
            match timeout(LOOK, free).await {
                Ok(Ok(place)) => break place,
                // Nobody closes it.
                Ok(Err(_)) => return,
                Err(_) => {}
            }
        };
        let silence = Arc::new(Silence::default());
        let visit = visit(Watched {
            stream,
            silence: Arc::clone(&silence),
        });
        let task = tokio::spawn(async move {
            visit.await;
            drop(place);
        })
        .abort_handle();
        let mut visitors = self.lock();
        visitors.retain(|visitor| !visitor.task.is_finished());
        visitors.push(Visitor { silence, task });
    }

    /// Ends every visit.
    pub(crate) fn clear(&self) {
        self.lock()
            .drain(..)
            .for_each(|visitor| visitor.task.abort());
    }

    fn dismiss_the_most_silent(&self) {
        let mut visitors = self.lock();
        visitors.retain(|visitor| !visitor.task.is_finished());
        let since = |(index, visitor): (usize, &Visitor)| Some((visitor.silence.since()?, index));
        let longest = visitors.iter().enumerate().filter_map(since).min();
        if let Some((since, index)) = longest
            && since.elapsed() >= LEAST_SILENCE
        {
            visitors.swap_remove(index).task.abort();
            tracing::info!(
                "all places for visitors are taken: the one who was silent for longest, {} s, had to go",
                since.elapsed().as_secs()
            );
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Visitor>> {
        self.visitors
            .lock()
            .expect("no panic while the list is locked")
    }
}

impl Silence {
    fn since(&self) -> Option<Instant> {
        *self.lock()
    }

    /// What was asked of the stream, and whether that is still to come.
    fn note<T>(&self, asked: Poll<T>) -> Poll<T> {
        let mut since = self.lock();
        *since = match &asked {
            Poll::Ready(_) => None,
            Poll::Pending => since.or_else(|| Some(Instant::now())),
        };
        asked
    }

    fn lock(&self) -> MutexGuard<'_, Option<Instant>> {
        self.0.lock().expect("no panic while a time is locked")
    }
}

/// A visitor's stream, of which it is known how long it has been silent.
#[derive(Debug)]
pub(crate) struct Watched<S> {
    stream: S,
    silence: Arc<Silence>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.silence.note(read)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.silence.note(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

    use super::*;

    /// A visitor who is answered what it says, letter by letter.
    async fn echo(mut stream: Watched<DuplexStream>) {
        let mut letter = [0];
        while stream.read_exact(&mut letter).await.is_ok() {
            let _ = stream.write_all(&letter).await;
        }
    }

    async fn says(visitor: &mut DuplexStream) -> bool {
        let mut letter = [b'a'];
        visitor.write_all(&letter).await.is_ok() && visitor.read_exact(&mut letter).await.is_ok()
    }

    #[tokio::test]
    async fn who_is_silent_for_longest_makes_room() {
        let places = Places::new(2);
        let mut visitors = Vec::new();
        for _ in 0..2 {
            let (here, there) = duplex(16);
            places.receive(there, echo).await;
            visitors.push(here);
        }
        assert!(says(&mut visitors[1]).await);
        assert!(says(&mut visitors[0]).await);
        // The second was silent for longer now.
        let (mut third, there) = duplex(16);
        places.receive(there, echo).await;
        assert!(says(&mut third).await);
        assert!(says(&mut visitors[0]).await);
        assert!(!says(&mut visitors[1]).await);
        places.clear();
        assert!(!says(&mut visitors[0]).await);
    }

    /// A command that takes long is no silence.
    #[tokio::test]
    async fn who_waits_for_an_answer_stays() {
        let places = Places::new(1);
        let (asked, answer) = tokio::sync::oneshot::channel::<()>();
        let (mut first, there) = duplex(16);
        places
            .receive(there, move |mut stream| async move {
                let _ = stream.read_exact(&mut [0]).await;
                let _ = answer.await;
                let _ = stream.write_all(b"b").await;
            })
            .await;
        first.write_all(b"a").await.unwrap();
        let (second, there) = duplex(16);
        let waits = timeout(LEAST_SILENCE * 3, places.receive(there, echo)).await;
        assert!(waits.is_err());
        asked.send(()).unwrap();
        assert_eq!(first.read_u8().await.unwrap(), b'b');
        drop(second);
    }
}
