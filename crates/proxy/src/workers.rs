//! The data-plane threads: each one a current-thread runtime. They live as long as the process;
//! generations spawn their tasks on them.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread::JoinHandle;

use tokio::runtime::{Builder, Handle};
use tokio_util::sync::CancellationToken;
use tracing::error;

use crate::cut::Alarm;
use crate::engine::Driver;
use crate::essential;
use crate::log::Logs;
use crate::reactor;
use crate::spin::Spinning;

/// How many wake-ups of tasks may pass before a busy thread looks at its sockets again.
const EVENT_INTERVAL: u32 = 31;

/// The data-plane threads.
#[derive(Debug)]
pub(crate) struct Workers {
    workers: Vec<Worker>,
    stop: CancellationToken,
    spinning: Arc<Spinning>,
    alarm: Alarm,
    logs: Logs,
}

#[derive(Debug)]
struct Worker {
    handle: Handle,
    /// Whether the last ping was answered.
    answered: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Workers {
    pub(crate) fn new(spinning: Arc<Spinning>, alarm: Alarm, logs: Logs) -> Self {
        Self {
            workers: Vec::new(),
            stop: CancellationToken::new(),
            spinning,
            alarm,
            logs,
        }
    }

    /// Makes sure that there are at least `count` threads. They are never fewer again: an idle one
    /// costs nothing.
    pub(crate) fn grow(&mut self, count: usize) -> io::Result<()> {
        while self.workers.len() < count {
            let runtime = Builder::new_current_thread()
                .enable_io()
                .enable_time()
                .event_interval(EVENT_INTERVAL)
                .build()?;
            let handle = runtime.handle().clone();
            let epoll = reactor::new_epoll()?;
            let (stop, spinning) = (self.stop.clone(), self.spinning.clone());
            let (alarm, logs) = (self.alarm.clone(), self.logs.clone());
            let thread = std::thread::Builder::new()
                .name(format!("data-{}", self.workers.len() + 1))
                .spawn(move || runtime.block_on(work(epoll, spinning, alarm, logs, stop)))?;
            let answered = Arc::new(AtomicBool::new(true));
            self.workers.push(Worker {
                handle,
                answered,
                thread: Some(thread),
            });
        }
        Ok(())
    }

    /// Thread number `index`, counted round and round over the first `threads`.
    pub(crate) fn handle(&self, index: usize) -> &Handle {
        &self.workers[index % self.workers.len()].handle
    }

    /// Every thread.
    pub(crate) fn handles(&self) -> impl Iterator<Item = Handle> {
        self.workers.iter().map(|worker| worker.handle.clone())
    }

    /// Whether every thread answered since the last call; asks each one anew.
    pub(crate) fn heartbeat(&self) -> bool {
        let mut all_answered = true;
        for worker in &self.workers {
            if worker.answered.swap(false, SeqCst) {
                let answered = worker.answered.clone();
                drop(
                    worker
                        .handle
                        .spawn(async move { answered.store(true, SeqCst) }),
                );
            } else {
                all_answered = false;
            }
        }
        all_answered
    }
}

/// What a data-plane thread does until it is stopped. Without what drives its sessions it is of no
/// use, and neither is a process that goes on without it.
async fn work(
    epoll: OwnedFd,
    spinning: Arc<Spinning>,
    alarm: Alarm,
    logs: Logs,
    stop: CancellationToken,
) {
    let driving = tokio::spawn(async move { Driver::new(epoll, spinning)?.run(&alarm).await });
    let failed = tokio::select! {
        () = stop.cancelled() => return,
        failed = driving => failed,
    };
    match failed {
        Ok(Ok(never)) => match never {},
        Ok(Err(error)) => error!(%error, "a data-plane thread cannot go on"),
        Err(error) => error!(%error, "a data-plane thread cannot go on"),
    }
    essential::end(&logs);
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.stop.cancel();
        for worker in &mut self.workers {
            if let Some(thread) = worker.thread.take() {
                // A thread that panicked has said so itself.
                let _ = thread.join();
            }
        }
    }
}
