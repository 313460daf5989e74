//! Somebody who calls an address again and again: how long it takes until it is answered, and how often
//! it is not.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{self, TryRecvError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::wait::{PATIENCE, within};

/// One try; the next follows at once.
const TRY: Duration = Duration::from_millis(100);

/// Far more than an address takes to move to another machine, so that a busy one fails no test.
pub(crate) const MOVE_BOUND: Duration = Duration::from_secs(15);

/// Whom to call, and by what a good answer is known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller {
    pub(crate) address: SocketAddr,
    /// Said first; nothing where the server speaks first.
    pub(crate) say: &'static [u8],
    /// How an answer begins that only the server itself gives, and never a balancer before it.
    pub(crate) answer: &'static [u8],
}

impl Caller {
    /// How long it takes until a fresh connection is answered; `None` if it is not within the bound.
    pub(crate) fn first_answer(&self, bound: Duration) -> Option<Duration> {
        let began = Instant::now();
        within(bound, || self.is_answered(TRY).then_some(()))?;
        Some(began.elapsed())
    }

    /// Calls until it is told to stop.
    pub(crate) fn start(self) -> Calls {
        let (stop, told) = mpsc::channel();
        let work = thread::spawn(move || {
            let (mut answered, mut failed) = (0, 0);
            while told.try_recv() == Err(TryRecvError::Empty) {
                match self.is_answered(PATIENCE) {
                    true => answered += 1,
                    false => failed += 1,
                }
            }
            (answered, failed)
        });
        Calls { stop, work }
    }

    fn is_answered(&self, patience: Duration) -> bool {
        let Ok(mut stream) = TcpStream::connect_timeout(&self.address, patience) else {
            return false;
        };
        stream.set_read_timeout(Some(patience)).unwrap();
        let mut answer = vec![0; self.answer.len()];
        stream.write_all(self.say).is_ok()
            && stream.read_exact(&mut answer).is_ok()
            && answer == self.answer
    }
}

/// Calls that go on.
pub(crate) struct Calls {
    stop: mpsc::Sender<()>,
    work: JoinHandle<(usize, usize)>,
}

impl Calls {
    /// How often there was an answer, and how often not.
    pub(crate) fn stop(self) -> (usize, usize) {
        self.stop.send(()).unwrap();
        self.work.join().unwrap()
    }
}

/// Median and longest, as a table shows them.
pub(crate) fn shown(waits: &[Duration]) -> String {
    let mut waits = waits.to_vec();
    waits.sort();
    let (median, longest) = (waits[waits.len() / 2], waits[waits.len() - 1]);
    format!("{} ms ({} ms)", median.as_millis(), longest.as_millis())
}
