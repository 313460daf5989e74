//! HAProxy's statistics (`show stat`, the page's CSV): its lines, each a row of cells. What a cell
//! holds is in [`COLUMNS`] and, where it is no metric, in `fields`; how lines are written, in
//! `print`.

mod fields;
mod print;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::OnceLock;

use evenkeel_proxy::{BackendSnapshot, FrontendSnapshot, ServerSnapshot, Snapshot};

use crate::columns::{COLUMNS, Column, Value};
use fields::{FIELDS, OTHERS};
pub(crate) use fields::{check_code, check_status, none_counted, status};
pub(crate) use print::{csv, json, json_field, typed};

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
