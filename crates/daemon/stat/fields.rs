//! The fields of the statistics: their order, those that are no metric, and what they say.

use evenkeel_config::ServerAddress;
use evenkeel_health::{CheckOutcome, CheckStatus};
use evenkeel_proxy::{
    AgentSnapshot, AgentWord, BackendSnapshot, FrontendSnapshot, FrontendStatus, HttpSnapshot,
    ServerSnapshot,
};

use super::Cell::{self, Empty, Number, Text};
use super::Form::{Str, U32, U64};
use super::Row::{self, Backend, Frontend, Server};
use crate::columns::Column;

/// HAProxy 3.0's names of the fields; the position of each is part of what scripts rely on.
pub(super) const FIELDS: &[&str] = &[
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

const INITIALIZING: &str = "Initializing";

/// The fields that are no metric.
#[rustfmt::skip]
pub(super) const OTHERS: &[Column] = &[
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
        None => INITIALIZING.to_owned(),
    }))),
    Column::field("hanafail", "MCP", U64, |row| server(row, |s| match s.observed_failures_total {
        Some(failures) => Number(failures),
        None => Empty,
    })),
    Column::field("last_agt", "MOP", Str, |row| asked(row, |a| Text(match &a.said {
        AgentWord::Verdict(said) => said.info.clone(),
        AgentWord::None | AgentWord::NoVerdict => String::new(),
    }))),
    Column::field("agent_status", "MOP", Str, |row| asked(row, |a| Text(match &a.said {
        AgentWord::None => "INI",
        AgentWord::NoVerdict => "CHECKED",
        AgentWord::Verdict(said) => said.status.code(),
    }.to_owned()))),
    Column::field("agent_code", "MOP", U32, |row| asked(row, |a| match &a.said {
        AgentWord::Verdict(said) => code(said),
        AgentWord::None | AgentWord::NoVerdict => Empty,
    })),
    Column::field("agent_duration", "MDP", U64, |row| asked(row, |a| Number(match &a.said {
        AgentWord::Verdict(said) => u64::try_from(said.duration.as_millis()).unwrap_or(u64::MAX),
        AgentWord::None | AgentWord::NoVerdict => 0,
    }))),
    Column::field("agent_desc", "MOP", Str, |row| asked(row, |a| Text(match &a.said {
        AgentWord::None => INITIALIZING,
        AgentWord::NoVerdict => "No status change",
        AgentWord::Verdict(said) => said.status.text(),
    }.to_owned()))),
    Column::field("agent_rise", "CGS", U32, |row| asked(row, |_| Number(1))),
    Column::field("agent_fall", "CGS", U32, |row| asked(row, |_| Number(1))),
    Column::field("agent_health", "CGS", U32, |row| asked(row, |a| Number(a.health.into()))),
    Column::field("check_rise", "CGS", U32, |row| checked(row, |s| Number(s.rise_fall.0.into()))),
    Column::field("check_fall", "CGS", U32, |row| checked(row, |s| Number(s.rise_fall.1.into()))),
    Column::field("check_health", "CGS", U32, |row| checked(row, |s| Number(s.health.0.into()))),
    Column::field("conn_rate", "MRP", U32, |row| frontend(row, |f| Number(f.connection_rate.into()))),
    Column::field("sess_other", "MCP", U64, |row| frontend(row, |f| Number(f.http.map_or(f.sessions_total, |_| 0)))),
    Column::field("used_conn_cur", "MGP", U32, |row| server(row, |s| Number(s.service.current_sessions.into()))),
    Column::field("need_conn_est", "MGP", U32, |row| server(row, |s| Number(s.service.max_sessions.max(probed(s)).into()))),
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
    Column::field("intercepted", "MCP", U64, |row| answers_http(row, |http| http.intercepted_total)),
    Column::field("cache_lookups", "MCP", U64, |row| answers_http(row, |_| 0)),
    Column::field("cache_hits", "MCP", U64, |row| answers_http(row, |_| 0)),
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

/// What a frontend counts that answers HTTP.
fn answers_http(row: &Row<'_>, count: impl Fn(&HttpSnapshot) -> u64) -> Cell {
    frontend(row, |frontend| match &frontend.http {
        Some(http) => Number(count(http)),
        None => Empty,
    })
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
        if server.is_checked && server.checks_enabled && !server.status.is_maint() {
            cell(server)
        } else {
            Empty
        }
    })
}

/// A cell of servers whose agent is asked, in maintenance too.
fn asked(row: &Row<'_>, cell: impl Fn(&AgentSnapshot) -> Cell) -> Cell {
    server(row, |server| match &server.agent {
        Some(agent) if agent.is_enabled => cell(agent),
        _ => Empty,
    })
}

/// The connections that checks have needed at once.
fn probed(server: &ServerSnapshot) -> u32 {
    let is_asked = server.agent.as_ref();
    let is_asked = is_asked.is_some_and(|agent| !matches!(agent.said, AgentWord::None));
    (server.last_check.is_some() || is_asked).into()
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

pub(crate) fn check_code(row: &Row<'_>) -> Cell {
    checked(row, |server| server.last_check.as_ref().map_or(Empty, code))
}

/// The code of an answer that was understood: HTTP's status; 0 where there is no code in it.
fn code(outcome: &CheckOutcome) -> Cell {
    match outcome.status {
        CheckStatus::L7Ok | CheckStatus::L7OkConditional | CheckStatus::L7Status => {
            Number(outcome.code.unwrap_or_default().into())
        }
        _ => Empty,
    }
}

/// The sums by state are for metrics; the lines of servers stand beside the backend's here.
pub(crate) fn none_counted(row: &Row<'_>) -> Cell {
    backend(row, |_| Number(0))
}

/// How a server's address is written.
pub(crate) fn address(address: &ServerAddress) -> String {
    match address {
        // It has none yet.
        ServerAddress::Inet(address) if address.ip().is_unspecified() => String::new(),
        ServerAddress::Inet(address) => address.to_string(),
        ServerAddress::Mapped { ip, .. } => std::net::SocketAddr::new(*ip, 0).to_string(),
        ServerAddress::Unix(_) | ServerAddress::Abstract(_) => "unix".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_haproxys() {
        for column in crate::columns::COLUMNS.iter().chain(OTHERS) {
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
}
