//! A syslog receiver over UDP.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use super::tcplog::Session;
use super::wait::PATIENCE;

/// One datagram, `<PRI>Mon dd hh:mm:ss tag[pid]: text`, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    /// 0 (kern) to 23 (local7).
    pub(crate) facility: u8,
    /// 0 (emerg) to 7 (debug).
    pub(crate) level: u8,
    /// `Mon dd hh:mm:ss`.
    pub(crate) date: String,
    /// The program's name.
    pub(crate) tag: String,
    /// Its process id.
    pub(crate) pid: u32,
    /// The rest.
    pub(crate) text: String,
}

impl Message {
    fn parse(datagram: &str) -> Option<Self> {
        let (pri, rest) = datagram.strip_prefix('<')?.split_once('>')?;
        let pri: u8 = pri.parse().ok()?;
        let (date, rest) = rest.split_at_checked("Jan  1 00:00:00".len())?;
        let (sender, text) = rest.strip_prefix(' ')?.split_once(": ")?;
        let (tag, pid) = sender.strip_suffix(']')?.split_once('[')?;
        Some(Self {
            facility: pri >> 3,
            level: pri & 7,
            date: date.to_owned(),
            tag: tag.to_owned(),
            pid: pid.parse().ok()?,
            text: text.trim_end_matches('\n').to_owned(),
        })
    }
}

/// Collects what is logged to it.
pub(crate) struct Syslog {
    address: SocketAddr,
    inbox: Arc<Inbox>,
}

#[derive(Default)]
struct Inbox {
    messages: Mutex<Messages>,
    arrived: Condvar,
}

#[derive(Default)]
struct Messages {
    all: Vec<Message>,
    /// How far [`Syslog::session`] and [`Syslog::event`] have read.
    sessions_read: usize,
    events_read: usize,
    closed: bool,
}

/// Ends the receiving thread: no syslog message is empty.
const STOP: &[u8] = b"";

impl Syslog {
    /// Receives at a free port of `ip`.
    pub(crate) fn start(ip: IpAddr) -> Self {
        let socket = UdpSocket::bind((ip, 0)).unwrap();
        let address = socket.local_addr().unwrap();
        let inbox = Arc::<Inbox>::default();
        let writer = Arc::clone(&inbox);
        std::thread::spawn(move || {
            let mut buffer = vec![0; 65536];
            loop {
                let length = socket.recv(&mut buffer).unwrap();
                if length == 0 {
                    break;
                }
                let text = String::from_utf8_lossy(&buffer[..length]);
                let message =
                    Message::parse(&text).unwrap_or_else(|| panic!("no syslog message: {text:?}"));
                writer.messages.lock().unwrap().all.push(message);
                writer.arrived.notify_all();
            }
            writer.messages.lock().unwrap().closed = true;
            writer.arrived.notify_all();
        });
        Self { address, inbox }
    }

    /// Where it receives.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Everything so far.
    pub(crate) fn all(&self) -> Vec<Message> {
        self.inbox.messages.lock().unwrap().all.clone()
    }

    /// The next session line (`option tcplog`) not yet read by this method.
    pub(crate) fn session(&self) -> Session {
        self.wait(PATIENCE, |messages| {
            let at = (messages.sessions_read..messages.all.len()).find_map(|at| {
                let session = Session::parse(&messages.all[at].text)?;
                Some((at, session))
            });
            at.map(|(at, session)| {
                messages.sessions_read = at + 1;
                session
            })
        })
        .unwrap_or_else(|| panic!("no further session line; all: {:#?}", self.all()))
    }

    /// Session lines so far.
    pub(crate) fn sessions(&self) -> Vec<Session> {
        self.all()
            .iter()
            .filter_map(|message| Session::parse(&message.text))
            .collect()
    }

    /// The next message about a server or backend not yet read by this method.
    pub(crate) fn event(&self) -> Message {
        self.event_within(PATIENCE)
            .unwrap_or_else(|| panic!("no further event; all: {:#?}", self.all()))
    }

    /// Like [`event`](Self::event); `None` when none comes within `limit`.
    pub(crate) fn event_within(&self, limit: Duration) -> Option<Message> {
        self.wait(limit, |messages| {
            let at = (messages.events_read..messages.all.len())
                .find(|&at| is_event(&messages.all[at].text))?;
            messages.events_read = at + 1;
            Some(messages.all[at].clone())
        })
    }

    /// A message whose text contains `part`, of any time.
    pub(crate) fn containing(&self, part: &str) -> Message {
        self.wait(PATIENCE, |messages| {
            messages
                .all
                .iter()
                .find(|message| message.text.contains(part))
                .cloned()
        })
        .unwrap_or_else(|| panic!("nothing logged contains {part:?}; all: {:#?}", self.all()))
    }

    fn wait<T>(
        &self,
        limit: Duration,
        mut find: impl FnMut(&mut Messages) -> Option<T>,
    ) -> Option<T> {
        let deadline = Instant::now() + limit;
        let mut messages = self.inbox.messages.lock().unwrap();
        loop {
            if let Some(found) = find(&mut messages) {
                return Some(found);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || messages.closed {
                return None;
            }
            messages = self.inbox.arrived.wait_timeout(messages, left).unwrap().0;
        }
    }
}

/// Whether a text tells of a server or a backend, in HAProxy's words.
fn is_event(text: &str) -> bool {
    [
        "Server ",
        "Backup Server ",
        "backend ",
        "proxy ",
        "Health check for ",
    ]
    .iter()
    .any(|start| text.starts_with(start))
}

impl Drop for Syslog {
    fn drop(&mut self) {
        if let Ok(socket) = UdpSocket::bind((self.address.ip(), 0)) {
            // Failing leaves a thread that waits until the test's process ends: no harm.
            let _ = socket.send_to(STOP, self.address);
        }
    }
}
