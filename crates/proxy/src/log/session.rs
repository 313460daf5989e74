//! The lines of a session: `option tcplog`, its `clf` form, and the line at accept.

use std::fmt::{self, Write};
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use super::clock::{self, Kind};
use crate::queue::Passed;

/// One end of a client's connection, as HAProxy prints it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Peer {
    /// Over IP.
    Inet(SocketAddr),
    /// Over a Unix socket, which has no port: the number of the `bind` address in its frontend,
    /// from 1, stands there.
    Unix {
        /// The number.
        listener: u32,
    },
}

impl Peer {
    /// A client at `address`, or over the Unix socket of this number.
    pub(crate) fn new(address: Option<SocketAddr>, bind: u32) -> Self {
        address.map_or(Self::Unix { listener: bind }, Self::Inet)
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inet(address) => write!(f, "{}:{}", address.ip(), address.port()),
            Self::Unix { listener } => write!(f, "unix:{listener}"),
        }
    }
}

/// Open connections when the line is written, the ending session's included except at the server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counts {
    pub(crate) process: u32,
    pub(crate) frontend: u32,
    pub(crate) backend: u32,
    pub(crate) server: u32,
}

/// What is told of a session that ended.
#[derive(Debug)]
pub(crate) struct SessionRecord<'a> {
    pub(crate) client: Peer,
    pub(crate) accepted: SystemTime,
    pub(crate) frontend: &'a str,
    pub(crate) backend: &'a str,
    /// `None`: no server was chosen.
    pub(crate) server: Option<&'a str>,
    /// From the accept until the last try began, or until it gave up waiting for room; `None`: it
    /// came to neither.
    pub(crate) waited: Option<Duration>,
    /// How long the connect took that worked out; `None`: none did.
    pub(crate) connect: Option<Duration>,
    pub(crate) total: Duration,
    /// From the client.
    pub(crate) uploaded: u64,
    /// To the client.
    pub(crate) bytes: u64,
    /// HAProxy's two letters.
    pub(crate) end: &'static str,
    pub(crate) counts: Counts,
    pub(crate) retries: u32,
    pub(crate) is_redispatched: bool,
    /// The line is written before the session ends: what still grows is marked.
    pub(crate) goes_on: bool,
    /// Served before this one while it waited for room.
    pub(crate) passed: Passed,
}

/// HAProxy counts a session's wait one millisecond too long.
const EXTRA_WAIT_MILLIS: i64 = 1;

impl SessionRecord<'_> {
    /// `%ci:%cp [%t] %ft %b/%s %Tw/%Tc/%Tt %B %ts %ac/%fc/%bc/%sc/%rc %sq/%bq`.
    pub(crate) fn write_tcplog(&self, line: &mut String) {
        let plus = if self.goes_on { "+" } else { "" };
        let written = clock::with(Kind::Began, self.accepted, |second, rest| {
            let Counts {
                process,
                frontend,
                backend,
                server,
            } = self.counts;
            write!(
                line,
                "{} [{}.{:03}] {} {}/{} {}/{}/{plus}{} {plus}{} {} {process}/{frontend}/{backend}/{server}/{}{} {}/{}",
                self.client,
                second.session,
                rest.as_millis(),
                self.frontend,
                self.backend,
                self.server_name(),
                self.waited(),
                self.connected(),
                self.total.as_millis(),
                self.bytes,
                self.end,
                self.redispatch_mark(),
                self.retries,
                self.passed.server,
                self.passed.backend,
            )
        });
        written.expect("writing to memory does not fail");
    }

    /// The common log format of web servers with empty fields where they have a request, and then
    /// what `tcplog` tells.
    pub(crate) fn write_clf(&self, line: &mut String) {
        let (address, port): (&dyn fmt::Display, u32) = match &self.client {
            Peer::Inet(SocketAddr::V4(client)) => (client.ip(), client.port().into()),
            Peer::Inet(SocketAddr::V6(client)) => (client.ip(), client.port().into()),
            Peer::Unix { listener } => (&"unix", *listener),
        };
        let written = clock::with(Kind::Began, self.accepted, |second, rest| {
            let Counts {
                process,
                frontend,
                backend,
                server,
            } = self.counts;
            write!(
                line,
                "{address} - - [{}] \"TCP \" 000 {} \"\" \"\" {port} {:03} \"{}\" \"{}\" \"{}\" \
                 0 {} {} {} {} {}-- {process} {frontend} {backend} {server} {}{} {} {} \
                 \"\" \"\" \"\"",
                second.clf,
                self.bytes,
                rest.as_millis(),
                self.frontend,
                self.backend,
                self.server_name(),
                self.waited(),
                self.connected(),
                self.total.as_millis(),
                self.uploaded,
                self.end,
                self.redispatch_mark(),
                self.retries,
                self.passed.server,
                self.passed.backend,
            )
        });
        written.expect("writing to memory does not fail");
    }

    pub(super) fn server_name(&self) -> &str {
        self.server.unwrap_or("<NOSRV>")
    }

    pub(super) fn waited(&self) -> i64 {
        self.waited
            .map_or(-1, |waited| millis(waited) + EXTRA_WAIT_MILLIS)
    }

    pub(super) fn connected(&self) -> i64 {
        self.connect.map_or(-1, millis)
    }

    fn redispatch_mark(&self) -> &'static str {
        if self.is_redispatched { "+" } else { "" }
    }
}

pub(super) fn millis(took: Duration) -> i64 {
    i64::try_from(took.as_millis()).unwrap_or(i64::MAX)
}

/// What is told of a connection that did not come to a session.
pub(crate) struct RefusalRecord<'a> {
    pub(crate) client: Peer,
    pub(crate) accepted: SystemTime,
    pub(crate) frontend: &'a str,
    /// The name of the socket; empty: it has none.
    pub(crate) bind: &'a str,
    pub(crate) bind_id: u32,
    pub(crate) why: &'a dyn fmt::Display,
}

impl fmt::Display for RefusalRecord<'_> {
    /// `%ci:%cp [%t] %ft/%bi: %{why}`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (client, frontend, why) = (self.client, self.frontend, self.why);
        clock::with(Kind::Began, self.accepted, |second, rest| {
            let millis = rest.as_millis();
            write!(f, "{client} [{}.{millis:03}] {frontend}/", second.session)
        })?;
        if self.bind.is_empty() {
            write!(f, "{}: {why}", self.bind_id)
        } else {
            write!(f, "{}: {why}", self.bind)
        }
    }
}

/// The line of a frontend without `option tcplog`, written at accept.
pub(crate) fn connect_line(
    client: Option<SocketAddr>,
    local: Option<SocketAddr>,
    bind: u32,
    frontend: &str,
    mode: &str,
) -> String {
    match (client, local) {
        (Some(client), Some(local)) => format!(
            "Connect from {} to {} ({frontend}/{mode})",
            Peer::Inet(client),
            Peer::Inet(local)
        ),
        _ => format!("Connect to {} ({frontend}/{mode})", Peer::new(None, bind)),
    }
}
