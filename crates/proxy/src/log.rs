//! Interim delivery and formats, to be replaced by `log/`: syslog over UDP and the standard
//! streams, rfc3164 and raw.

use std::fmt;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use evenkeel_config::{LogAddress, LogTarget, SessionLogFormat};
use evenkeel_health::CheckOutcome;

#[derive(Clone, Copy, Debug)]
pub enum Level {
    Emerg,
    Alert,
    Crit,
    Err,
    Warning,
    Notice,
    Info,
    Debug,
}

#[derive(Clone, Debug)]
pub struct Logs(Arc<UdpSocket>);

impl Logs {
    pub fn start() -> std::io::Result<Self> {
        Ok(Self(Arc::new(UdpSocket::bind("127.0.0.1:0")?)))
    }
    pub fn sink(&self, targets: &[LogTarget], tag: &str) -> Sink {
        Sink {
            socket: self.0.clone(),
            targets: targets.to_vec(),
            tag: tag.to_owned(),
        }
    }
    pub fn dropped(&self) -> u64 {
        0
    }
}

#[derive(Clone, Debug)]
pub struct Sink {
    socket: Arc<UdpSocket>,
    targets: Vec<LogTarget>,
    tag: String,
}

impl Sink {
    pub fn is_empty(&self) -> bool {
        self.targets.is_empty()
    }
    pub fn send(&self, level: Level, text: &str) {
        for target in &self.targets {
            let pri = u32::from(target.facility) * 8 + level as u32;
            let line = format!(
                "<{pri}>{} {}[{}]: {text}\n",
                jiff::Zoned::now().strftime("%b %e %H:%M:%S"),
                self.tag,
                std::process::id()
            );
            match &target.address {
                LogAddress::Udp(address) => drop(self.socket.send_to(line.as_bytes(), address)),
                _ => {
                    use std::io::Write;
                    drop(writeln!(std::io::stderr(), "{text}"));
                }
            }
        }
    }
    pub(crate) fn session(&self, _format: SessionLogFormat, record: &SessionRecord<'_>) {
        self.send(Level::Info, &record.to_string());
    }
}

pub(crate) struct Counts {
    pub process: u32,
    pub frontend: u32,
    pub backend: u32,
    pub server: u32,
}

pub(crate) struct SessionRecord<'a> {
    pub client: Option<SocketAddr>,
    pub accepted: SystemTime,
    pub frontend: &'a str,
    pub backend: &'a str,
    pub server: Option<&'a str>,
    pub waited: Duration,
    pub connect: Option<Duration>,
    pub total: Duration,
    pub bytes: u64,
    pub end: &'static str,
    pub counts: Counts,
    pub retries: u32,
    pub is_redispatched: bool,
}

impl fmt::Display for SessionRecord<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = jiff::Zoned::try_from(self.accepted).map_err(|_| fmt::Error)?;
        match self.client {
            Some(c) => write!(f, "{}:{}", c.ip(), c.port())?,
            None => f.write_str("unix:1")?,
        }
        write!(
            f,
            " [{}] {} {}/{} {}/{}/{} {} {} {}/{}/{}/{}/{}{} 0/0",
            at.strftime("%d/%b/%Y:%H:%M:%S%.3f"),
            self.frontend,
            self.backend,
            self.server.unwrap_or("<NOSRV>"),
            if self.server.is_some() {
                self.waited.as_millis() as i64 + 1
            } else {
                -1
            },
            self.connect.map_or(-1, |c| c.as_millis() as i64),
            self.total.as_millis(),
            self.bytes,
            self.end,
            self.counts.process,
            self.counts.frontend,
            self.counts.backend,
            self.counts.server,
            if self.is_redispatched { "+" } else { "" },
            self.retries
        )
    }
}

pub(crate) fn connect_line(
    peer: Option<SocketAddr>,
    local: Option<SocketAddr>,
    frontend: &str,
) -> String {
    format!("Connect from {peer:?} to {local:?} ({frontend}/TCP)")
}

pub(crate) struct ServerChange<'a> {
    pub backend: &'a str,
    pub server: &'a str,
    pub is_backup: bool,
    pub is_up: bool,
    pub outcome: &'a CheckOutcome,
    pub active_servers: u32,
    pub backup_servers: u32,
    pub sessions: u32,
}

impl fmt::Display for ServerChange<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Server {}/{} is {}, reason: {}",
            self.backend,
            self.server,
            if self.is_up { "UP" } else { "DOWN" },
            self.outcome.status.text()
        )
    }
}

pub(crate) fn no_server_available(backend: &str) -> String {
    format!("backend {backend} has no server available!")
}

pub(crate) fn proxy_stopped(proxy: &str, sessions: u64, served: u64) -> String {
    format!("Proxy {proxy} stopped (cumulated conns: FE: {sessions}, BE: {served}).")
}
