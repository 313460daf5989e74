//! What a process counts after it gave way: it tells the one that follows, which counts it on top of its
//! own, so that the sums are those of the service. Each report is what is new since the last one that
//! was taken; none is waited for.

use std::fs::File;
use std::future::poll_fn;
use std::io::{self, Read as _, Seek as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::task::Poll;
use std::time::Duration;

use evenkeel_proxy::Tallies;
use rustix::io::ioctl_fionbio;
use tokio::io::Interest;
use tokio::net::UnixDatagram;

use super::Word;
use crate::packets::{MOST_DESCRIPTORS, in_memory, receive, send};

/// How often a process that drains reports: who is ended hard loses no more than this.
pub(crate) const PERIOD: Duration = Duration::from_secs(1);
/// A report is a few numbers for each server that has moved; more is none.
const MOST_BYTES: u64 = 1 << 28;

/// The line to the process that follows this one.
#[derive(Debug)]
pub(crate) struct Reports {
    /// `None`: nobody listens any more.
    line: Option<OwnedFd>,
    /// What the other side has heard of.
    told: Tallies,
}

impl Reports {
    /// Lets the other side go on, which knows of `told`, and gives it the lines of processes `before`
    /// this one that still drain.
    pub(crate) fn begin(line: OwnedFd, told: Tallies, before: Earlier) -> Self {
        let before = before.into_lines();
        let before: Vec<_> = before.iter().map(OwnedFd::as_fd).collect();
        // There is room for it: the other side has read all that was said so far.
        let begun = ioctl_fionbio(&line, true).map_err(io::Error::from);
        let begun = begun.and_then(|()| send(&line, &Word::Go.encode(), &before));
        if let Err(error) = begun {
            // It goes on without that word, too.
            tracing::warn!("the process that follows is not told so: {error}");
        }
        Self {
            line: Some(line),
            told,
        }
    }

    /// Tells what was counted since; what finds no room is told the next time.
    pub(crate) fn tell(&mut self, now: Tallies) {
        let more = now.since(&self.told);
        let Some(line) = self.line.as_ref().filter(|_| more != Tallies::default()) else {
            return;
        };
        let told = serde_json::to_vec(&more).map_err(io::Error::from);
        let told = told.and_then(|bytes| in_memory(&bytes));
        match told.and_then(|file| send(line, &Word::Counts.encode(), &[file.as_fd()])) {
            Ok(()) => self.told = now,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => {
                tracing::warn!(
                    "the process that follows hears no more of what this one counts, which is in its log \
                     lines alone: {error}"
                );
                self.line = None;
            }
        }
    }
}

/// The lines of processes that gave way before and still drain.
#[derive(Debug, Default)]
pub(crate) struct Earlier(Vec<UnixDatagram>);

impl Earlier {
    /// Listens on `lines`, as many as can be handed on.
    pub(crate) fn listen(lines: Vec<OwnedFd>) -> Self {
        let watch = |line: OwnedFd| {
            ioctl_fionbio(&line, true)?;
            // It has an end, which a datagram socket's has not; it is waited for in the same way.
            UnixDatagram::from_std(line.into())
        };
        let lost = |error: &io::Error| {
            tracing::warn!("what a process before counts from now on is lost: {error}");
        };
        let lines = lines.into_iter().take(MOST_DESCRIPTORS);
        Self(
            lines
                .filter_map(|line| watch(line).inspect_err(lost).ok())
                .collect(),
        )
    }

    /// What one of them has counted since it last told. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Tallies {
        poll_fn(|context| {
            let mut index = 0;
            while let Some(line) = self.0.get(index) {
                let heard = match line.poll_recv_ready(context) {
                    Poll::Pending => {
                        index += 1;
                        continue;
                    }
                    Poll::Ready(Ok(())) => line.try_io(Interest::READABLE, || receive(line)),
                    Poll::Ready(Err(error)) => Err(error),
                };
                match heard {
                    Ok(Some((bytes, beside))) => {
                        if let Some(more) = report(&bytes, beside) {
                            return Poll::Ready(more);
                        }
                    }
                    // Nothing by now: asked again, which has us woken.
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    // It has ended.
                    Ok(None) | Err(_) => drop(self.0.swap_remove(index)),
                }
            }
            Poll::Pending
        })
        .await
    }

    fn into_lines(self) -> Vec<OwnedFd> {
        let lines = self.0.into_iter();
        let lines = lines.filter_map(|line| line.into_std().ok());
        lines.map(OwnedFd::from).collect()
    }
}

/// `None`: it is none, or none of a version that is understood.
fn report(bytes: &[u8], beside: Vec<OwnedFd>) -> Option<Tallies> {
    let (Some(Word::Counts), Some(file)) = (Word::decode(bytes), beside.into_iter().next()) else {
        return None;
    };
    let mut file = File::from(file);
    file.rewind().ok()?;
    let mut bytes = Vec::new();
    file.take(MOST_BYTES).read_to_end(&mut bytes).ok()?;
    serde_json::from_slice(&bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packets::pair;

    fn counted(connections: u64) -> Tallies {
        let mut tallies = Tallies::default();
        tallies
            .process
            .insert("connections".to_owned(), connections);
        tallies
    }

    #[tokio::test]
    async fn reports_reach_whoever_follows_the_one_that_follows() {
        let (first, second) = pair().unwrap();
        let mut reports = Reports::begin(first, counted(3), Earlier::default());
        assert_eq!(receive(&second).unwrap().unwrap().0, Word::Go.encode());
        let mut earlier = Earlier::listen(vec![second]);
        reports.tell(counted(3));
        reports.tell(counted(5));
        assert_eq!(earlier.next().await, counted(2));

        let (middle, third) = pair().unwrap();
        let middle = Reports::begin(middle, counted(5), earlier);
        let (go, lines) = receive(&third).unwrap().unwrap();
        assert_eq!(go, Word::Go.encode());
        let mut earlier = Earlier::listen(lines.into_iter().chain([third]).collect());
        // The last report is heard although who sent it has ended, and that in the middle as well.
        reports.tell(counted(9));
        drop((reports, middle));
        assert_eq!(earlier.next().await, counted(4));
        let ended = tokio::time::timeout(Duration::from_millis(10), earlier.next()).await;
        assert!(ended.is_err());
        assert!(earlier.0.is_empty());
    }

    #[tokio::test]
    async fn what_is_no_report_is_passed_over_and_who_hears_nothing_is_told_nothing() {
        let (ours, theirs) = pair().unwrap();
        let mut earlier = Earlier::listen(vec![theirs]);
        let file = in_memory(b"{").unwrap();
        send(&ours, &Word::Counts.encode(), &[file.as_fd()]).unwrap();
        send(&ours, b"?", &[]).unwrap();
        send(&ours, &Word::Counts.encode(), &[]).unwrap();
        let mut reports = Reports::begin(ours, counted(0), Earlier::default());
        reports.tell(counted(1));
        assert_eq!(earlier.next().await, counted(1));
        drop(earlier);
        reports.tell(counted(2));
        assert!(reports.line.is_none());
    }
}
