//! HAProxy's statistics (`show stat`, the page's CSV) in its three forms: CSV, typed and JSON. The
//! fields are [`COLUMNS`]; here are those that are no metric, their order, and their text.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::sync::OnceLock;

use evenkeel_config::ServerAddress;
use evenkeel_proxy::{
    BackendSnapshot, FrontendSnapshot, FrontendStatus, HttpSnapshot, ServerSnapshot, Snapshot,
};

use crate::columns::{COLUMNS, Column, Value};
use Form::{Str, U32, U64};

/// HAProxy 3.0's names of the fields; the position of each is part of what scripts rely on.
pub(crate) const FIELDS: &[&str] = &[
    "pxname",
    "svname",
    "qcur",
    "qmax",
    "scur",
    "smax",
    "slim",
    "stot",
    "bin",
    "bout",
    "dreq",
    "dresp",
    "ereq",
    "econ",
    "eresp",
    "wretr",
    "wredis",
    "status",
    "weight",
    "act",
    "bck",
    "chkfail",
    "chkdown",
    "lastchg",
    "downtime",
    "qlimit",
    "pid",
    "iid",
    "sid",
    "throttle",
    "lbtot",
    "tracked",
    "type",
    "rate",
    "rate_lim",
    "rate_max",
    "check_status",
    "check_code",
    "check_duration",
    "hrsp_1xx",
    "hrsp_2xx",
    "hrsp_3xx",
    "hrsp_4xx",
    "hrsp_5xx",
    "hrsp_other",
    "hanafail",
    "req_rate",
    "req_rate_max",
    "req_tot",
    "cli_abrt",
    "srv_abrt",
    "comp_in",
    "comp_out",
    "comp_byp",
    "comp_rsp",
    "lastsess",
    "last_chk",
    "last_agt",
    "qtime",
    "ctime",
    "rtime",
    "ttime",
    "agent_status",
    "agent_code",
    "agent_duration",
    "check_desc",
    "agent_desc",
    "check_rise",
    "check_fall",
    "check_health",
    "agent_rise",
    "agent_fall",
    "agent_health",
    "addr",
    "cookie",
    "mode",
    "algo",
    "conn_rate",
    "conn_rate_max",
    "conn_tot",
    "intercepted",
    "dcon",
    "dses",
    "wrew",
    "connect",
    "reuse",
    "cache_lookups",
    "cache_hits",
    "srv_icur",
    "src_ilim",
    "qtime_max",
    "ctime_max",
    "rtime_max",
    "ttime_max",
    "eint",
    "idle_conn_cur",
    "safe_conn_cur",
    "used_conn_cur",
    "need_conn_est",
    "uweight",
    "agg_server_status",
    "agg_server_check_status",
    "agg_check_status",
    "srid",
    "sess_other",
    "h1sess",
    "h2sess",
    "h3sess",
    "req_other",
    "h1req",
    "h2req",
    "h3req",
    "proto",
];

/// How a field's value is written in the typed form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    U32,
    U64,
    S32,
    Str,
}

impl Form {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::U32 => "u32",
            Self::U64 => "u64",
            Self::S32 => "s32",
            Self::Str => "str",
        }
    }
}

/// What `show stat` makes of a column.
#[derive(Clone, Copy)]
pub(crate) struct Stat {
    pub(crate) field: &'static str,
    /// Origin, nature and scope: a letter each, HAProxy's.
    pub(crate) tags: &'static str,
    pub(crate) backend_tags: &'static str,
    pub(crate) form: Form,
    /// `None`: the metric's value.
    pub(crate) cell: Option<fn(&Row<'_>) -> Cell>,
}

/// One line of the statistics.
pub(crate) enum Row<'a> {
    Frontend(&'a FrontendSnapshot),
    Backend(&'a BackendSnapshot),
    Server(&'a BackendSnapshot, &'a ServerSnapshot),
}

/// One value of a line.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Cell {
    /// The line has no such field.
    Empty,
    Number(u64),
    Signed(i64),
    Text(String),
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Empty => Ok(()),
            Number(number) => number.fmt(f),
            Signed(number) => number.fmt(f),
            Text(text) => f.write_str(text),
        }
    }
}

use Cell::{Empty, Number, Signed, Text};
use Row::{Backend, Frontend, Server};

/// The fields that are no metric.
#[rustfmt::skip]
const OTHERS: &[Column] = &[
    Column::field("pxname", "KNS", Str, |row| Text(row.proxy().to_owned())),
    Column::field("svname", "KNS", Str, |row| Text(row.name().to_owned())),
    Column::field("pid", "KGP", U32, |_| Number(1)),
    Column::field("iid", "KGS", U32, |row| Number(row.ids().0.into())),
    Column::field("sid", "KGS", U32, |row| Number(row.ids().1.into())),
    Column::field("type", "CGS", U32, |row| Number(row.kind().into())),
    Column::field("tracked", "CGS", Str, |row| server(row, |s| match &s.tracked {
        Some(tracked) => Text(tracked.clone()),
        None => Empty,
    })),
    Column::field("rate", "MRP", U32, |row| Number(match row {
        Frontend(f) => f.session_rate,
        Backend(b) => b.service.session_rate,
        Server(_, s) => s.service.session_rate,
    }.into())),
    Column::field("mode", "CGS", Str, |row| Text(mode(row).to_owned())),
    Column::field("algo", "CGS", Str, |row| backend(row, |b| Text(b.balance.name().to_owned()))),
    Column::field("addr", "CGS", Str, |row| server(row, |s| Text(address(&s.address)))),
    Column::field("last_chk", "MOP", Str, |row| checked(row, |s| match &s.last_check {
        Some(check) => Text(check.info.clone()),
        None => Text(String::new()),
    })),
    Column::field("check_desc", "MOP", Str, |row| checked(row, |s| Text(match &s.last_check {
        Some(check) => check.status.text().to_owned(),
        None => "Initializing".to_owned(),
    }))),
    Column::field("check_rise", "CGS", U32, |row| checked(row, |s| Number(s.rise_fall.0.into()))),
    Column::field("check_fall", "CGS", U32, |row| checked(row, |s| Number(s.rise_fall.1.into()))),
    Column::field("check_health", "CGS", U32, |row| checked(row, |s| Number(s.health.0.into()))),
    Column::field("conn_rate", "MRP", U32, |row| frontend(row, |f| Number(f.connection_rate.into()))),
    Column::field("sess_other", "MCP", U64, |row| frontend(row, |f| Number(f.http.map_or(f.sessions_total, |_| 0)))),
    Column::field("used_conn_cur", "MGP", U32, |row| server(row, |s| Number(s.service.current_sessions.into()))),
    Column::field("need_conn_est", "MGP", U32, |row| server(row, |s| Number(s.service.max_sessions.into()))),
    // What only HTTP, TLS, compression or a reused connection moves; of rows that have it, zero.
    Column::field("req_rate", "MRP", U32, |row| frontend(row, |f| Number(http_of(f).request_rate.into()))),
    Column::field("req_rate_max", "MMP", U32, |row| frontend(row, |f| Number(http_of(f).max_request_rate.into()))),
    Column::field("req_tot", "MCP", U64, |row| frontend(row, |f| Number(http_of(f).requests_total))),
    Column::field("hrsp_1xx", "MCP", U64, |row| answers(row, 0)),
    Column::field("hrsp_2xx", "MCP", U64, |row| answers(row, 1)),
    Column::field("hrsp_3xx", "MCP", U64, |row| answers(row, 2)),
    Column::field("hrsp_4xx", "MCP", U64, |row| answers(row, 3)),
    Column::field("hrsp_5xx", "MCP", U64, |row| answers(row, 4)),
    Column::field("hrsp_other", "MCP", U64, |row| answers(row, 5)),
    Column::field("comp_in", "MCP", U64, not_of_servers),
    Column::field("comp_out", "MCP", U64, not_of_servers),
    Column::field("comp_byp", "MCP", U64, not_of_servers),
    Column::field("comp_rsp", "MCP", U64, not_of_servers),
    Column::field("wrew", "MCP", U64, |_| Number(0)),
    Column::field("reuse", "MCP", U64, not_of_frontends),
    Column::field("srv_icur", "MGP", U32, |row| server(row, |_| Number(0))),
    Column::field("idle_conn_cur", "MGP", U32, |row| server(row, |_| Number(0))),
    Column::field("safe_conn_cur", "MGP", U32, |row| server(row, |_| Number(0))),
    Column::field("srid", "MCP", U32, |row| server(row, |_| Number(0))),
    Column::field("h1sess", "MCP", U64, |row| frontend(row, |f| Number(f.http.map_or(0, |_| f.sessions_total)))),
    Column::field("h2sess", "MCP", U64, |row| frontend(row, |_| Number(0))),
    Column::field("h3sess", "MCP", U64, |row| frontend(row, |_| Number(0))),
    Column::field("req_other", "MCP", U64, |row| frontend(row, |_| Number(0))),
    Column::field("h1req", "MCP", U64, |row| frontend(row, |f| Number(http_of(f).requests_total))),
    Column::field("h2req", "MCP", U64, |row| frontend(row, |_| Number(0))),
    Column::field("h3req", "MCP", U64, |row| frontend(row, |_| Number(0))),
];

/// Requests of a frontend; none where it carries TCP.
fn http_of(frontend: &FrontendSnapshot) -> HttpSnapshot {
    frontend.http.unwrap_or_default()
}

/// Answers of this class, of a frontend that gives any.
fn answers(row: &Row<'_>, class: usize) -> Cell {
    frontend(row, |frontend| match &frontend.http {
        Some(http) => Number(http.responses_total[class]),
        None => Empty,
    })
}

fn mode(row: &Row<'_>) -> &'static str {
    match row {
        Frontend(frontend) if frontend.http.is_some() => "http",
        _ => "tcp",
    }
}

fn frontend(row: &Row<'_>, cell: impl Fn(&FrontendSnapshot) -> Cell) -> Cell {
    match row {
        Frontend(frontend) => cell(frontend),
        _ => Empty,
    }
}

fn backend(row: &Row<'_>, cell: impl Fn(&BackendSnapshot) -> Cell) -> Cell {
    match row {
        Backend(backend) => cell(backend),
        _ => Empty,
    }
}

fn server(row: &Row<'_>, cell: impl Fn(&ServerSnapshot) -> Cell) -> Cell {
    match row {
        Server(_, server) => cell(server),
        _ => Empty,
    }
}

/// A cell of servers whose checks run.
fn checked(row: &Row<'_>, cell: impl Fn(&ServerSnapshot) -> Cell) -> Cell {
    server(row, |server| {
        if server.is_checked && !server.status.is_maint() {
            cell(server)
        } else {
            Empty
        }
    })
}

fn not_of_servers(row: &Row<'_>) -> Cell {
    match row {
        Server(..) => Empty,
        _ => Number(0),
    }
}

fn not_of_frontends(row: &Row<'_>) -> Cell {
    match row {
        Frontend(_) => Empty,
        _ => Number(0),
    }
}

/// HAProxy's words for what a proxy or server is.
pub(crate) fn status(row: &Row<'_>) -> Cell {
    let text = match row {
        Frontend(frontend) => match frontend.status {
            FrontendStatus::Open => "OPEN".to_owned(),
            FrontendStatus::Paused => "PAUSED".to_owned(),
            FrontendStatus::Stop => "STOP".to_owned(),
        },
        Backend(backend) => if backend.is_up { "UP" } else { "DOWN" }.to_owned(),
        Server(_, server) => server.status_text(),
    };
    Text(text)
}

pub(crate) fn check_status(row: &Row<'_>) -> Cell {
    checked(row, |server| match &server.last_check {
        Some(check) => Text(check.status.code().to_owned()),
        None => Text("INI".to_owned()),
    })
}

/// A connect has no code.
pub(crate) fn check_code(_: &Row<'_>) -> Cell {
    Empty
}

/// The sums by state are for metrics; the lines of servers stand beside the backend's here.
pub(crate) fn none_counted(row: &Row<'_>) -> Cell {
    backend(row, |_| Number(0))
}

/// How a server's address is written.
pub(crate) fn address(address: &ServerAddress) -> String {
    match address {
        ServerAddress::Inet(address) => address.to_string(),
        ServerAddress::Mapped { ip, .. } => std::net::SocketAddr::new(*ip, 0).to_string(),
        ServerAddress::Unix(_) | ServerAddress::Abstract(_) => "unix".to_owned(),
    }
}

impl Row<'_> {
    /// The proxy's name.
    pub(crate) fn proxy(&self) -> &str {
        match self {
            Frontend(frontend) => &frontend.name,
            Backend(backend) | Server(backend, _) => &backend.name,
        }
    }

    /// The server's name, or what the line is of.
    pub(crate) fn name(&self) -> &str {
        match self {
            Frontend(_) => "FRONTEND",
            Backend(_) => "BACKEND",
            Server(_, server) => &server.name,
        }
    }

    /// HAProxy's `iid` and `sid`.
    pub(crate) fn ids(&self) -> (u32, u32) {
        match self {
            Frontend(frontend) => (frontend.id, 0),
            Backend(backend) => (backend.id, 0),
            Server(backend, server) => (backend.id, server.id),
        }
    }

    /// HAProxy's `type`.
    fn kind(&self) -> u32 {
        match self {
            Frontend(_) => 0,
            Backend(_) => 1,
            Server(..) => 2,
        }
    }

    /// The letter of the typed form and the word of JSON.
    fn object(&self) -> (char, &'static str) {
        match self {
            Frontend(_) => ('F', "Frontend"),
            Backend(_) => ('B', "Backend"),
            Server(..) => ('S', "Server"),
        }
    }

    fn tags(&self, stat: &Stat) -> &'static str {
        match self {
            Backend(_) => stat.backend_tags,
            _ => stat.tags,
        }
    }

    fn cell(&self, column: &Column) -> Cell {
        let Some(stat) = column.stat else {
            return Empty;
        };
        if let Some(cell) = stat.cell {
            return cell(self);
        }
        let value = match self {
            Frontend(frontend) => column.frontend.map(|value| value(frontend)),
            Backend(backend) => column.backend.map(|value| value(backend)),
            Server(_, server) => column.server.map(|value| value(server)),
        };
        value.map_or(Empty, Cell::from)
    }
}

impl From<Value> for Cell {
    fn from(value: Value) -> Self {
        match value {
            Value::Count(count) => Number(count),
            // Statistics are in milliseconds.
            Value::Seconds(time) => Number(u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
            Value::Ago(None) => Signed(-1),
            Value::Ago(Some(ago)) => Signed(i64::try_from(ago.as_secs()).unwrap_or(i64::MAX)),
            Value::Unknown
            | Value::Nothing
            | Value::OneOf(..)
            | Value::Tally(..)
            | Value::Text(_) => Empty,
        }
    }
}

/// Which lines are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// The proxy's `iid`; `None`: all.
    pub(crate) proxy: Option<u32>,
    /// Bits: 1 frontends, 2 backends, 4 servers.
    pub(crate) kinds: i64,
    /// The server's `sid`; `None`: all.
    pub(crate) server: Option<i64>,
    /// `up`: neither servers that are down or in maintenance.
    pub(crate) only_up: bool,
    /// `no-maint`.
    pub(crate) hides_maint: bool,
    /// Whether addresses and algorithms are shown.
    pub(crate) shows_details: bool,
}

impl Wanted {
    /// Everything.
    pub(crate) const ALL: Self = Self {
        proxy: None,
        kinds: -1,
        server: None,
        only_up: false,
        hides_maint: false,
        shows_details: true,
    };

    fn admits(&self, row: &Row<'_>) -> bool {
        let bit = [1, 2, 4][row.kind() as usize];
        let (proxy, server) = row.ids();
        let is_wanted = self.proxy.is_none_or(|wanted| wanted == proxy) && self.kinds & bit != 0;
        let Server(_, of) = row else {
            return is_wanted;
        };
        let (is_maint, is_down) = (of.status.is_maint(), of.status.is_down());
        is_wanted
            && self.server.is_none_or(|wanted| wanted == i64::from(server))
            && !(self.only_up && (is_maint || is_down))
            && !(self.hides_maint && is_maint)
    }
}

/// Every line in HAProxy's order: proxy by proxy, a frontend before its servers, a backend after.
pub(crate) fn rows<'a>(snapshot: &'a Snapshot, wanted: &'a Wanted) -> Vec<Row<'a>> {
    let mut proxies: BTreeMap<usize, Vec<Row<'a>>> = BTreeMap::new();
    for frontend in &snapshot.frontends {
        let rows = proxies.entry(frontend.position).or_default();
        rows.push(Frontend(frontend));
    }
    for backend in &snapshot.backends {
        let rows = proxies.entry(backend.position).or_default();
        rows.extend(backend.servers.iter().map(|server| Server(backend, server)));
        rows.push(Backend(backend));
    }
    let rows = proxies.into_values().flatten();
    rows.filter(|row| wanted.admits(row)).collect()
}

/// The columns of each field.
fn columns() -> &'static [Vec<&'static Column>] {
    static COLUMNS_OF: OnceLock<Vec<Vec<&'static Column>>> = OnceLock::new();
    COLUMNS_OF.get_or_init(|| {
        let of = |field: &&str| {
            let all = COLUMNS.iter().chain(OTHERS);
            all.filter(|column| column.stat.is_some_and(|stat| stat.field == *field))
                .collect()
        };
        FIELDS.iter().map(of).collect()
    })
}

/// What needs a level of its own to see.
const DETAILS: &[&str] = &["addr", "cookie", "algo"];

/// Every field that the line has, with its position.
fn cells<'a>(
    row: &'a Row<'_>,
    wanted: &'a Wanted,
) -> impl Iterator<Item = (usize, Stat, Cell)> + 'a {
    let fields = columns().iter().enumerate();
    fields.filter_map(move |(position, columns)| {
        columns.iter().find_map(|column| {
            let stat = column.stat?;
            if !wanted.shows_details && DETAILS.contains(&stat.field) {
                return None;
            }
            match row.cell(column) {
                Empty => None,
                cell => Some((position, stat, cell)),
            }
        })
    })
}

const INFALLIBLE: &str = "writing to a String does not fail";

/// `show stat`. What HAProxy has after its `-` is of modules that are not here.
pub(crate) fn csv(snapshot: &Snapshot, wanted: &Wanted) -> String {
    let mut text = String::from("# ");
    for field in FIELDS {
        text.push_str(field);
        text.push(',');
    }
    text.push_str("-,\n");
    for row in rows(snapshot, wanted) {
        let mut next = 0;
        for (position, _, cell) in cells(&row, wanted) {
            text.extend(std::iter::repeat_n(',', position - next));
            match cell {
                Text(value) => text.push_str(&quoted(&value)),
                cell => write!(text, "{cell}").expect(INFALLIBLE),
            }
            next = position;
        }
        text.extend(std::iter::repeat_n(',', FIELDS.len() - next));
        text.push_str("-,\n");
    }
    text
}

/// A CSV value (RFC 4180): in quotes where it has to be.
fn quoted(value: &str) -> std::borrow::Cow<'_, str> {
    if value.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", value.replace('"', "\"\"")).into()
    } else {
        value.into()
    }
}

/// `show stat typed`, with what each field is where `explained`.
pub(crate) fn typed(snapshot: &Snapshot, wanted: &Wanted, explained: bool) -> String {
    let mut text = String::new();
    for row in rows(snapshot, wanted) {
        let (letter, (proxy, server)) = (row.object().0, row.ids());
        for (position, stat, cell) in cells(&row, wanted) {
            let (field, tags, form) = (stat.field, row.tags(&stat), stat.form.name());
            write!(
                text,
                "{letter}.{proxy}.{server}.{position}.{field}.1:{tags}:{form}:"
            )
            .expect(INFALLIBLE);
            write!(text, "{cell}").expect(INFALLIBLE);
            if explained {
                write!(text, ":\"{}\"", explanation(field)).expect(INFALLIBLE);
            }
            text.push('\n');
        }
        text.push('\n');
    }
    text
}

/// What a field means, in the words of the metric.
fn explanation(field: &str) -> &'static str {
    let mut all = COLUMNS.iter();
    all.find(|column| column.stat.is_some_and(|stat| stat.field == field))
        .map_or("", |column| column.help)
}

/// `show stat json`.
pub(crate) fn json(snapshot: &Snapshot, wanted: &Wanted) -> String {
    let mut text = String::from("[");
    for (index, row) in rows(snapshot, wanted).iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        let (word, (proxy, server)) = (row.object().1, row.ids());
        text.push('[');
        for (index, (position, stat, cell)) in cells(row, wanted).enumerate() {
            if index > 0 {
                text.push(',');
            }
            write!(
                text,
                "{{\"objType\":\"{word}\",\"proxyId\":{proxy},\"id\":{server},"
            )
            .expect(INFALLIBLE);
            let tags = row.tags(&stat);
            json_field(&mut text, position, stat.field, tags, stat.form, &cell);
        }
        text.push(']');
    }
    text.push_str("]\n");
    text
}

/// The members that a field has in JSON, `show info json`'s too, and the brace that ends it.
pub(crate) fn json_field(
    text: &mut String,
    position: usize,
    field: &str,
    tags: &str,
    form: Form,
    cell: &Cell,
) {
    let [origin, nature, scope] = words(tags);
    write!(
        text,
        "\"field\":{{\"pos\":{position},\"name\":\"{field}\"}},\"processNum\":1,\
         \"tags\":{{\"origin\":\"{origin}\",\"nature\":\"{nature}\",\"scope\":\"{scope}\"}},\
         \"value\":{{\"type\":\"{}\",\"value\":",
        form.name()
    )
    .expect(INFALLIBLE);
    match cell {
        Empty => text.push_str("null"),
        Text(value) => write!(text, "\"{}\"", escaped(value)).expect(INFALLIBLE),
        cell => write!(text, "{cell}").expect(INFALLIBLE),
    }
    text.push_str("}}");
}

/// A JSON string's inside.
fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            '"' | '\\' => text.extend(['\\', c]),
            c if u32::from(c) < 0x20 => {
                write!(text, "\\u{:04x}", u32::from(c)).expect(INFALLIBLE);
            }
            c => text.push(c),
        }
    }
    text
}

/// HAProxy's words for the three letters.
fn words(tags: &str) -> [&'static str; 3] {
    let mut letters = tags.chars();
    let origin = match letters.next() {
        Some('M') => "Metric",
        Some('S') => "Status",
        Some('K') => "Key",
        Some('C') => "Config",
        Some('P') => "Product",
        _ => "Unknown",
    };
    let nature = match letters.next() {
        Some('G') => "Gauge",
        Some('L') => "Limit",
        Some('M') => "Max",
        Some('m') => "Min",
        Some('R') => "Rate",
        Some('C') => "Counter",
        Some('D') => "Duration",
        Some('A') => "Age",
        Some('a') => "Avg",
        Some('T') => "Time",
        Some('N') => "Name",
        Some('O') => "Output",
        _ => "Unknown",
    };
    let scope = match letters.next() {
        Some('S') => "Service",
        Some('P') => "Process",
        Some('C') => "Cluster",
        Some('Y') => "System",
        _ => "Unknown",
    };
    [origin, nature, scope]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_haproxys() {
        for column in COLUMNS.iter().chain(OTHERS) {
            if let Some(stat) = column.stat {
                assert!(FIELDS.contains(&stat.field), "{}", stat.field);
            }
        }
        let at = |field| FIELDS.iter().position(|known| *known == field);
        // Positions that the manual fixes (management guide, 9.1).
        for (field, position) in [("status", 17), ("check_status", 36), ("addr", 73)] {
            assert_eq!(at(field), Some(position));
        }
        assert_eq!(FIELDS.len(), 113);
    }

    #[test]
    fn values_with_commas_are_quoted() {
        assert_eq!(quoted("plain"), "plain");
        assert_eq!(quoted("a, \"b\""), "\"a, \"\"b\"\"\"");
        assert_eq!(escaped("a\"\n"), "a\\\"\\u000a");
    }
}
