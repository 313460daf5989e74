//! A line as `log-format` describes it (HAProxy manual, section 8.2.6): what stands in it, in its
//! order. The variables that it may have are one table.

use crate::rules::{Converter, Fetch};

/// A line that a configuration describes.
#[derive(Clone, Debug, PartialEq)]
pub struct LogLine {
    /// As it is written.
    pub text: String,
    /// How the whole is encoded.
    pub encoding: LogEncoding,
    /// What stands in it.
    pub items: Vec<LogItem>,
    /// When all is known that it needs.
    pub moment: LogMoment,
}

/// How a [`LogLine`] is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogEncoding {
    /// One item after the other, as it is.
    Plain,
    /// `%{+json}o`: a JSON object of the items that have a name.
    Json,
}

/// One item of a [`LogLine`].
#[derive(Clone, Debug, PartialEq)]
pub enum LogItem {
    /// Text that stands there; spaces in a row are one.
    Text(String),
    /// Something that is known of the session.
    Field {
        /// What.
        field: LogField,
        /// How it is written.
        style: LogStyle,
        /// `%(name)`; only [`LogEncoding::Json`] writes it.
        name: Option<String>,
    },
}

/// How a [`LogField`] is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogStyle {
    /// `+Q`: texts and addresses in double quotes.
    pub quote: bool,
    /// `+X`: addresses, ports and some numbers in hexadecimal.
    pub hex: bool,
    /// `+E`: `"`, `\` and `]` after a backslash.
    pub escape: bool,
}

/// What a variable stands for.
#[derive(Clone, Debug, PartialEq)]
pub enum LogField {
    /// `%ci`: the client's address.
    ClientIp,
    /// `%cp`: the client's port.
    ClientPort,
    /// `%fi`: the address that the client came to.
    FrontendIp,
    /// `%fp`: the port that the client came to.
    FrontendPort,
    /// `%f`, `%ft`.
    Frontend,
    /// `%b`.
    Backend,
    /// `%bi`: the address that the server is reached from.
    BackendIp,
    /// `%bp`: the port that the server is reached from.
    BackendPort,
    /// `%s`.
    Server,
    /// `%si`: the server's address.
    ServerIp,
    /// `%sp`: the server's port.
    ServerPort,
    /// `%t`, `%tr`: when it began, to the millisecond, in local time.
    Date,
    /// `%T`, `%trg`: when it began, in UTC.
    DateUtc,
    /// `%Tl`, `%trl`: when it began, in local time with the zone.
    DateLocal,
    /// `%Ts`: when it began, in seconds since 1970.
    Timestamp,
    /// `%ms`: the milliseconds of when it began.
    Millis,
    /// `%pid`.
    Pid,
    /// `%H`: this machine's name.
    Hostname,
    /// `%lc`: how many lines the frontend has written.
    LogCounter,
    /// `%rt`: how many sessions the process has begun.
    SessionCounter,
    /// `%Tw`.
    WaitTime,
    /// `%Tc`.
    ConnectTime,
    /// `%Td`: from the connect to the end.
    DataTime,
    /// `%Tt`, `%Ta`, `%Tu`.
    TotalTime,
    /// `%Th`: how long handshakes took.
    HandshakeTime,
    /// `%B`: bytes to the client.
    BytesToClient,
    /// `%U`: bytes from the client.
    BytesFromClient,
    /// `%ts`: how it ended.
    End,
    /// `%tsc`: the same with what became of cookies.
    EndAndCookies,
    /// `%ac`.
    ProcessConnections,
    /// `%fc`.
    FrontendConnections,
    /// `%bc`.
    BackendConnections,
    /// `%sc`.
    ServerConnections,
    /// `%rc`.
    Retries,
    /// `%sq`.
    ServerQueue,
    /// `%bq`.
    BackendQueue,
    /// What needs TLS, HTTP or an id here and says that there is none: this text.
    Nothing(&'static str),
    /// `%[...]`: a sample.
    Sample(Fetch, Vec<Converter>),
}

/// The moment from which on all is known that a line needs, which is when it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogMoment {
    /// The server is reached, or there is none.
    Connected,
    /// The session has ended.
    End,
}

use LogField::*;
use LogMoment::{Connected, End as AtEnd};

/// Every variable: its name, what it stands for, and when that is known.
pub(crate) static VARIABLES: &[(&str, LogField, LogMoment)] = &[
    ("B", BytesToClient, AtEnd),
    ("CC", Nothing("-"), Connected),
    ("CS", Nothing("-"), Connected),
    ("H", Hostname, Connected),
    ("HM", Nothing("<BADREQ>"), Connected),
    ("HP", Nothing("<BADREQ>"), Connected),
    ("HPO", Nothing("<BADREQ>"), Connected),
    ("HQ", Nothing("<BADREQ>"), Connected),
    ("HU", Nothing("<BADREQ>"), Connected),
    ("HV", Nothing("<BADREQ>"), Connected),
    ("ID", Nothing("-"), AtEnd),
    ("ST", Nothing("0"), Connected),
    ("T", DateUtc, Connected),
    ("Ta", TotalTime, AtEnd),
    ("Tc", ConnectTime, AtEnd),
    ("Td", DataTime, AtEnd),
    ("Th", HandshakeTime, AtEnd),
    ("Ti", Nothing("-1"), AtEnd),
    ("Tl", DateLocal, Connected),
    ("Tq", Nothing("-1"), AtEnd),
    ("TR", Nothing("-1"), AtEnd),
    ("Tr", Nothing("-1"), AtEnd),
    ("Ts", Timestamp, Connected),
    ("Tt", TotalTime, AtEnd),
    ("Tu", TotalTime, AtEnd),
    ("Tw", WaitTime, AtEnd),
    ("U", BytesFromClient, AtEnd),
    ("ac", ProcessConnections, AtEnd),
    ("b", Backend, Connected),
    ("bc", BackendConnections, AtEnd),
    ("bi", BackendIp, Connected),
    ("bp", BackendPort, Connected),
    ("bq", BackendQueue, AtEnd),
    ("ci", ClientIp, Connected),
    ("cp", ClientPort, Connected),
    ("f", Frontend, Connected),
    ("fc", FrontendConnections, AtEnd),
    ("fi", FrontendIp, Connected),
    ("fp", FrontendPort, Connected),
    ("ft", Frontend, Connected),
    ("hr", Nothing(""), Connected),
    ("hrl", Nothing(""), Connected),
    ("hs", Nothing(""), Connected),
    ("hsl", Nothing(""), Connected),
    ("lc", LogCounter, Connected),
    ("ms", Millis, Connected),
    ("pid", Pid, Connected),
    ("r", Nothing("<BADREQ>"), Connected),
    ("rc", Retries, AtEnd),
    ("rt", SessionCounter, Connected),
    ("s", Server, Connected),
    ("sc", ServerConnections, AtEnd),
    ("si", ServerIp, Connected),
    ("sp", ServerPort, Connected),
    ("sq", ServerQueue, AtEnd),
    ("sslc", Nothing("-"), Connected),
    ("sslv", Nothing("-"), Connected),
    ("t", Date, Connected),
    ("tr", Date, Connected),
    ("trg", DateUtc, Connected),
    ("trl", DateLocal, Connected),
    ("ts", End, AtEnd),
    ("tsc", EndAndCookies, Connected),
];

impl LogLine {
    /// Its samples, in their order.
    pub fn samples(&self) -> impl Iterator<Item = (&Fetch, &[Converter])> {
        self.items.iter().filter_map(|item| match item {
            LogItem::Field {
                field: Sample(fetch, converters),
                ..
            } => Some((fetch, converters.as_slice())),
            LogItem::Field { .. } | LogItem::Text(_) => None,
        })
    }
}
