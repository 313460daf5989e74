//! A session's line as `option tcplog` writes it, taken apart so that two programs' lines compare:
//! names, codes and counts exactly, times within a tolerance, dates and client ports by their form.

use std::net::SocketAddr;

/// Milliseconds of a log line: `-1` for what never happened, otherwise equal when near.
#[derive(Clone, Copy)]
pub(crate) struct Millis(pub(crate) i64);

impl Millis {
    /// What a busy machine may add; the scenarios tell times a second apart.
    const TOLERANCE: i64 = 700;
}

impl PartialEq for Millis {
    fn eq(&self, other: &Self) -> bool {
        (self.0 < 0) == (other.0 < 0) && (self.0 - other.0).abs() <= Self::TOLERANCE
    }
}

impl std::fmt::Debug for Millis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}ms", self.0)
    }
}

/// `%ci:%cp [%t] %ft %b/%s %Tw/%Tc/%Tt %B %ts %ac/%fc/%bc/%sc/%rc %sq/%bq`, without client and date.
#[derive(Clone, PartialEq)]
pub(crate) struct Session {
    pub(crate) frontend: String,
    pub(crate) backend: String,
    pub(crate) server: String,
    /// `%Tw/%Tc/%Tt`.
    pub(crate) waited: Millis,
    pub(crate) connecting: Millis,
    pub(crate) total: Millis,
    /// `%B`: to the client.
    pub(crate) bytes: u64,
    /// `%ts`: two letters, `--` for a clean end.
    pub(crate) end: String,
    /// `%ac/%fc/%bc/%sc`.
    pub(crate) connections: String,
    /// `%rc`, with its `+` when redispatched.
    pub(crate) retries: String,
    /// `%sq/%bq`.
    pub(crate) queues: String,
}

impl Session {
    /// The line without `%ac/%fc/%bc/%sc`, for scenarios whose sessions may overlap for a moment.
    pub(crate) fn without_counts(mut self) -> Self {
        self.connections.clear();
        self
    }

    /// Reads a line's text; `None` for another kind of line.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut fields = text.split(' ');
        let _client: SocketAddr = fields.next()?.parse().ok()?;
        let date = fields.next()?.strip_prefix('[')?.strip_suffix(']')?;
        if !is_date(date) {
            return None;
        }
        let frontend = fields.next()?.to_owned();
        let (backend, server) = fields.next()?.split_once('/')?;
        let times: Vec<i64> = fields
            .next()?
            .split('/')
            .map(str::parse)
            .collect::<Result<_, _>>()
            .ok()?;
        let [waited, connecting, total] = times.try_into().ok()?;
        let bytes = fields.next()?.parse().ok()?;
        let end = fields.next()?.to_owned();
        let (connections, retries) = fields.next()?.rsplit_once('/')?;
        let queues = fields.next()?.to_owned();
        (fields.next().is_none()).then(|| Self {
            frontend,
            backend: backend.to_owned(),
            server: server.to_owned(),
            waited: Millis(waited),
            connecting: Millis(connecting),
            total: Millis(total),
            bytes,
            end,
            connections: connections.to_owned(),
            retries: retries.to_owned(),
            queues,
        })
    }
}

/// One line, as it would stand in the log, for a failing comparison.
impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} {}/{} {}/{}/{} {} {} {}/{} {}",
            self.frontend,
            self.backend,
            self.server,
            self.waited.0,
            self.connecting.0,
            self.total.0,
            self.bytes,
            self.end,
            self.connections,
            self.retries,
            self.queues
        )
    }
}

/// `22/Nov/2026:10:10:54.465`.
fn is_date(date: &str) -> bool {
    let shape: String = date
        .chars()
        .map(|letter| match letter {
            '0'..='9' => '9',
            'a'..='z' => 'a',
            'A'..='Z' => 'A',
            other => other,
        })
        .collect();
    shape == "99/Aaa/9999:99:99:99.999"
}
