//! Accepts connections of one listening socket on one thread, as far as every `maxconn` allows.
//! Who finds no room waits in the kernel's accept queue.

use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Waker};
use std::time::Duration;

use rustix::event::epoll::EventFlags;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{SocketFlags, accept_with, acceptfrom_with};
use socket2::Socket;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, warn};

use crate::reactor::{READABLE, Source};
use crate::relay::{Kind, Stream};
use crate::session::{Accepted, Frontend, Place, serve};

/// How long to wait for a descriptor to come free before trying again.
const DESCRIPTOR_WAIT: Duration = Duration::from_millis(50);
/// Connections accepted in a row before those accepted have their turn.
const ACCEPT_BATCH: usize = 64;
/// Batches served from the queue of a socket that closes: more than the longest queue holds.
const MOST_SWEEPS: usize = 1024;
/// One in so many times that a limit held clients back is logged: the first, then seldom.
const LIMIT_LOG_EVERY: u64 = 1000;

/// One listening socket on one thread.
pub(crate) struct Listener {
    pub(crate) socket: Socket,
    pub(crate) frontend: Arc<Frontend>,
    /// Which `bind` of the frontend it belongs to.
    pub(crate) bind: usize,
    pub(crate) is_unix: bool,
    /// Stops accepting.
    pub(crate) stop: CancellationToken,
    /// Whether those who still wait in the accept queue are served after the stop: nobody else
    /// will.
    pub(crate) sweep: CancellationToken,
    pub(crate) sessions: TaskTracker,
}

/// What one batch of accepts ended with.
enum Batch {
    /// Nobody waits any more.
    Empty,
    /// There may be more.
    More,
    /// A `maxconn` is reached.
    Full,
    /// No descriptor is left.
    NoDescriptor(Errno),
}

impl Listener {
    /// Accepts until it is stopped.
    pub(crate) async fn run(self) {
        if let Err(error) = self.accept_all().await {
            error!(frontend = self.frontend.config.name, %error, "cannot accept any more");
        }
    }

    async fn accept_all(&self) -> io::Result<()> {
        let watched = Source::register(&self.socket, EventFlags::empty())?;
        let accepted = self.accept_from(&watched).await;
        // The socket is another name of one that the process may keep listening on.
        watched.forget(&self.socket);
        accepted
    }

    async fn accept_from(&self, watched: &Source) -> io::Result<()> {
        let mut accepts = self.frontend.accepts.subscribe();
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => break,
                // The frontend is there as long as its listeners.
                Ok(_) = accepts.wait_for(|&accepts| accepts) => {}
            }
            tokio::select! {
                biased;
                () = self.stop.cancelled() => break,
                // Looks again whether it is still to accept.
                Ok(()) = accepts.changed() => continue,
                () = watched.wait(READABLE) => {}
            }
            match self.accept_batch()? {
                Batch::Empty => watched.clear(EventFlags::IN),
                Batch::More => tokio::task::yield_now().await,
                // Nobody is held up yet: whoever comes next wakes us.
                Batch::Full if !self.somebody_waits() => watched.clear(EventFlags::IN),
                Batch::Full => self.wait_for_room().await,
                Batch::NoDescriptor(errno) => self.wait_for_descriptor(errno).await,
            }
        }
        if self.sweep.is_cancelled() {
            // Newcomers may join the queue meanwhile: not for ever.
            for _ in 0..MOST_SWEEPS {
                if !matches!(self.accept_batch()?, Batch::More) {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
        Ok(())
    }

    fn accept_batch(&self) -> io::Result<Batch> {
        for _ in 0..ACCEPT_BATCH {
            let Ok(place) = Place::take(&self.frontend, self.bind) else {
                return Ok(Batch::Full);
            };
            match self.accept_one() {
                Ok((stream, peer)) => {
                    let accepted = Accepted {
                        stream,
                        peer,
                        place,
                    };
                    self.serve(accepted);
                }
                Err(Errno::WOULDBLOCK) => return Ok(Batch::Empty),
                Err(errno @ (Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM)) => {
                    return Ok(Batch::NoDescriptor(errno));
                }
                // Paused meanwhile: nobody waits on a socket that does not listen.
                Err(Errno::INVAL) if !*self.frontend.accepts.borrow() => return Ok(Batch::Empty),
                Err(errno @ (Errno::BADF | Errno::INVAL | Errno::NOTSOCK | Errno::OPNOTSUPP)) => {
                    return Err(errno.into());
                }
                // The client that was first in the queue is gone already (accept(2)).
                Err(_) => {}
            }
        }
        Ok(Batch::More)
    }

    /// Has a client served. Mostly its server is near and connected at once, and the engine has
    /// the session by then: only one that waits becomes a task.
    fn serve(&self, accepted: Accepted) {
        let mut session = Box::pin(serve(accepted, self.sessions.token()));
        let mut at_once = Context::from_waker(Waker::noop());
        // A defect costs one client here, too, as in a task of its own; the hook has told of it.
        let polled = catch_unwind(AssertUnwindSafe(|| session.as_mut().poll(&mut at_once)));
        if polled.is_ok_and(|polled| polled.is_pending()) {
            drop(tokio::spawn(session));
        }
    }

    fn accept_one(&self) -> Result<(Stream, Option<SocketAddr>), Errno> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        if self.is_unix {
            let fd = accept_with(&self.socket, flags)?;
            return Ok((Stream::accepted(fd, Kind::Unix), None));
        }
        let (fd, peer) = acceptfrom_with(&self.socket, flags)?;
        let peer = peer.and_then(|peer| SocketAddr::try_from(peer).ok());
        Ok((Stream::accepted(fd, Kind::Tcp), peer))
    }

    /// Waits for a place; a full gate is counted once for each time that it stops us.
    async fn wait_for_room(&self) {
        let Err(gate) = Place::take(&self.frontend, self.bind).map(drop) else {
            return;
        };
        if gate.count_reached().is_multiple_of(LIMIT_LOG_EVERY) {
            warn!(
                frontend = self.frontend.config.name,
                maxconn = gate.limit(),
                "maxconn reached: new clients wait until others leave",
            );
        }
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = gate.wait_for_room() => {}
        }
    }

    /// Whether a connection is in the accept queue.
    fn somebody_waits(&self) -> bool {
        let mut fds = [PollFd::new(&self.socket, PollFlags::IN)];
        poll(&mut fds, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
    }

    async fn wait_for_descriptor(&self, errno: Errno) {
        let counted: &AtomicU64 = &self.frontend.shared.stats.descriptors_exhausted;
        if counted
            .fetch_add(1, Relaxed)
            .is_multiple_of(LIMIT_LOG_EVERY)
        {
            error!(
                frontend = self.frontend.config.name,
                error = %errno,
                "cannot accept: new clients wait; raise LimitNOFILE= or lower maxconn",
            );
        }
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = sleep(DESCRIPTOR_WAIT) => {}
        }
    }
}
