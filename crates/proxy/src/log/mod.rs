//! Delivers log lines to syslog sockets and output streams, and words them as HAProxy does.
//!
//! A data thread never waits here: a datagram that the kernel does not take at once is dropped and
//! counted, and lines for streams go through writer threads with bounded buffers.

mod clock;
mod custom;
mod datagram;
mod doors;
mod frame;
mod http;
mod message;
mod session;
mod stream;
mod transition;

use std::cell::RefCell;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use evenkeel_config::{LogAddress, LogFormat, LogHost, LogTarget, SessionLog, SessionLogFormat};

pub(crate) use custom::Details;
use datagram::Datagrams;
pub use doors::Doors;
pub(crate) use http::HttpRecord;
pub(crate) use message::{
    CheckChange, HARD_STOP, no_server_available, proxy_hard_stopped, proxy_stopped,
};
pub(crate) use session::{Counts, Peer, RefusalRecord, SessionRecord, connect_line};
use stream::{Streams, Writer};
pub(crate) use transition::{Scene, Transition};

/// How severe a message is, in syslog's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// The system is unusable.
    Emerg,
    /// Action must be taken at once.
    Alert,
    /// Critical.
    Crit,
    /// An error.
    Err,
    /// A warning.
    Warning,
    /// Normal, but worth a note.
    Notice,
    /// Informational.
    Info,
    /// For finding mistakes.
    Debug,
}

/// Log delivery of the whole process; clones share it.
#[derive(Clone, Debug)]
pub struct Logs(Arc<Delivery>);

#[derive(Debug)]
struct Delivery {
    datagrams: Datagrams,
    doors: Option<Doors>,
    streams: Streams,
    messages: Messages,
    dropped: AtomicU64,
}

/// How the process writes its own messages, and with them all that goes to a target of that format
/// ([`LogFormat::Auto`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Messages {
    /// A line with time and level, or with the level alone where the journal reads.
    #[default]
    Lines,
    /// A JSON object a line: `timestamp`, `level`, `message`, `pid`. What is one already stays as it is.
    Objects,
}

impl Logs {
    /// Gets what sending takes. A stream's writer thread starts with the first sink that needs
    /// it.
    pub fn start() -> io::Result<Self> {
        Self::through(None, Messages::Lines)
    }

    /// The same where Unix sockets are reached through `doors` if not by their paths.
    pub fn through(doors: Option<Doors>, messages: Messages) -> io::Result<Self> {
        Ok(Self(Arc::new(Delivery {
            datagrams: Datagrams::open()?,
            doors,
            streams: Streams::default(),
            messages,
            dropped: AtomicU64::new(0),
        })))
    }

    /// Where messages for `targets` go. A target that cannot take messages now (a socket path that
    /// does not exist yet) is told about once, when a message is lost, and tried again with each
    /// further one.
    #[must_use]
    pub fn sink(&self, targets: &[LogTarget], tag: &str) -> Sink {
        let outlet = |target: &LogTarget| Outlet {
            route: self.route(&target.address),
            target: target.clone(),
            is_journal: match target.address {
                LogAddress::Stdout => is_the_journal(io::stdout()),
                LogAddress::Stderr => stderr_is_the_journal(),
                _ => false,
            },
            host: match &target.host {
                LogHost::Nobody => String::new(),
                LogHost::Own => custom::hostname(),
                LogHost::Named(name) => name.clone(),
            },
        };
        Sink(Arc::new(Outlets {
            delivery: self.0.clone(),
            tag: tag.to_owned(),
            pid: std::process::id(),
            outlets: targets.iter().map(outlet).collect(),
        }))
    }

    fn route(&self, address: &LogAddress) -> Route {
        match address {
            LogAddress::Udp(address) => Route::Udp(datagram::UdpTarget::new(*address)),
            LogAddress::Unix(path) => {
                Route::Unix(datagram::UnixTarget::new(path, self.0.doors.as_ref()))
            }
            LogAddress::Stdout => Route::Stream(self.0.streams.writer(1)),
            LogAddress::Stderr => Route::Stream(self.0.streams.writer(2)),
            LogAddress::Fd(number) => Route::Stream(self.0.streams.writer(*number)),
        }
    }

    /// Lines given up because the receiver did not keep pace or was not there.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.0.dropped.load(Relaxed) + self.0.streams.dropped()
    }

    /// Waits until the streams took every line, at most so long; what they did not take is given
    /// up and counted. Returns how many lines that were. For the end of the process.
    pub fn flush(&self, patience: Duration) -> u64 {
        self.0.streams.flush(patience)
    }

    /// The standard error, for what the process says of itself.
    #[must_use]
    pub fn standard_error(&self) -> Stream {
        Stream {
            delivery: self.0.clone(),
            writer: self.0.streams.writer(2),
        }
    }
}

/// A descriptor that lines are written to without waiting for who reads it.
#[derive(Debug)]
pub struct Stream {
    delivery: Arc<Delivery>,
    writer: Writer,
}

impl Stream {
    /// Has a line written, with the newline that it ends with; one that there is no room for is
    /// dropped and counted.
    pub fn send(&self, line: &[u8]) {
        if !self.writer.send(line) {
            self.delivery.dropped.fetch_add(1, Relaxed);
        }
    }

    /// As [`Logs::flush`], of this descriptor alone.
    pub fn flush(&self, patience: Duration) -> u64 {
        self.writer.flush(patience)
    }
}

/// systemd.exec(5): JOURNAL_STREAM holds device and inode of the stream that leads to the
/// journal; a redirected standard error has others.
#[must_use]
pub fn stderr_is_the_journal() -> bool {
    static ANSWER: OnceLock<bool> = OnceLock::new();
    *ANSWER.get_or_init(|| is_the_journal(io::stderr()))
}

fn is_the_journal(stream: impl AsFd) -> bool {
    std::env::var("JOURNAL_STREAM").is_ok_and(|known| {
        rustix::fs::fstat(stream)
            .is_ok_and(|stat| known == format!("{}:{}", stat.st_dev, stat.st_ino))
    })
}

/// Where the messages of one section go; clones share it.
#[derive(Clone, Debug)]
pub struct Sink(Arc<Outlets>);

#[derive(Debug)]
struct Outlets {
    delivery: Arc<Delivery>,
    tag: String,
    pid: u32,
    outlets: Vec<Outlet>,
}

#[derive(Debug)]
struct Outlet {
    target: LogTarget,
    route: Route,
    /// Whether the journal reads there.
    is_journal: bool,
    /// Whose name a line bears; empty: nobody's.
    host: String,
}

#[derive(Debug)]
enum Route {
    Udp(datagram::UdpTarget),
    Unix(datagram::UnixTarget),
    Stream(Writer),
}

thread_local! {
    /// The line that is being put together, kept so that sending allocates nothing.
    static LINE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    /// The text of a session's line.
    static TEXT: RefCell<String> = const { RefCell::new(String::new()) };
}

impl Sink {
    /// Whether messages go nowhere.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.outlets.is_empty()
    }

    /// Whether a message of this level is read where the standard error is read: there it would stand
    /// twice.
    pub(crate) fn shows_beside_stderr(&self, level: Level) -> bool {
        let is_there = |target: &LogTarget| match &target.address {
            LogAddress::Stdout | LogAddress::Stderr => true,
            LogAddress::Unix(path) => path == Path::new("/dev/log") && stderr_is_the_journal(),
            _ => false,
        };
        let mut outlets = self.0.outlets.iter();
        outlets.any(|outlet| level as u8 <= outlet.target.max_level && is_there(&outlet.target))
    }

    /// Sends a message to every target that wants its level.
    pub fn send(&self, level: Level, text: &str) {
        self.send_with(level, "", text);
    }

    /// The same with structured data, where a target's format has room for it.
    fn send_with(&self, level: Level, structured: &str, text: &str) {
        let Outlets {
            delivery,
            tag,
            pid,
            outlets,
        } = &*self.0;
        for Outlet {
            target,
            route,
            is_journal,
            host,
        } in outlets
        {
            if level as u8 > target.max_level {
                continue;
            }
            let severity = target.min_level.max(level as u8);
            let sent = LINE.with_borrow_mut(|line| {
                line.clear();
                if target.format == LogFormat::Auto {
                    frame::own(
                        line,
                        target,
                        severity,
                        *pid,
                        (delivery.messages, *is_journal),
                        text,
                    );
                } else {
                    frame::write(line, target, severity, tag, *pid, (host, structured), text);
                }
                match route {
                    Route::Udp(udp) => delivery.datagrams.send_udp(line, udp),
                    Route::Unix(unix) => delivery.datagrams.send_unix(line, unix),
                    Route::Stream(writer) => writer.send(line),
                }
            });
            if !sent {
                delivery.dropped.fetch_add(1, Relaxed);
            }
        }
    }

    /// Sends the line of a session, at `level`. `details` are looked at by lines of the operator's
    /// own alone.
    pub(crate) fn session(
        &self,
        log: &SessionLog,
        level: Level,
        record: &SessionRecord<'_>,
        details: &Details,
    ) {
        TEXT.with_borrow_mut(|text| {
            text.clear();
            let mut samples = details.samples.iter();
            match (&log.line, log.format) {
                (Some(line), _) => custom::write(text, line, record, details, &mut samples),
                (None, SessionLogFormat::TcpClf) => record.write_clf(text),
                (None, _) => record.write_tcplog(text),
            }
            let mut structured = String::new();
            if let Some(line) = &log.structured {
                custom::write(&mut structured, line, record, details, &mut samples);
            }
            self.send_with(level, &structured, text);
        });
    }
}

#[cfg(test)]
mod tests;
