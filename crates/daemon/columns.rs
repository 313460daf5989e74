//! What is measured, one long table: a row for each quantity, with what it means and where its
//! value is in the snapshot. `/metrics`, `show stat` and docs/metrics.md are printed from it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use evenkeel_health::CheckStatus;

use crate::stat::{self, Cell, Form, Row, Stat};
use evenkeel_proxy::{
    BackendSnapshot, FrontendSnapshot, FrontendStatus, ServerSnapshot, ServerStatus, Snapshot,
};

/// What a scrape sees: the proxy, and what the daemon knows of itself.
#[derive(Clone, Debug)]
pub(crate) struct View {
    pub(crate) proxy: Snapshot,
    pub(crate) started: SystemTime,
    /// `node` of the global section.
    pub(crate) node: String,
    /// `description` of the global section.
    pub(crate) description: String,
    /// Warnings that the configuration in force gave.
    pub(crate) warnings: u64,
}

/// How a value moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Counter,
    Gauge,
}

/// One value, or one for each state.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Count(u64),
    /// Never below 0, with six decimals as HAProxy prints it.
    Seconds(Duration),
    /// Seconds since something; `None`: it never happened, printed as -1.
    Ago(Option<Duration>),
    /// The quantity exists and is not limited, or not measured, here: NaN.
    Unknown,
    /// There is no such thing for this object: no line.
    Nothing,
    /// One line for each of the states, 1 for the one that holds.
    OneOf(&'static [&'static str], Option<&'static str>),
    /// One line for each of the states: how many are in it.
    Tally(&'static [&'static str], Vec<u64>),
    /// 1, with these texts as labels.
    Text(Vec<(&'static str, String)>),
}

/// A quantity of the process.
pub(crate) struct ProcessColumn {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) help: &'static str,
    pub(crate) value: fn(&View) -> Value,
}

/// A quantity of a frontend, a backend or a server, or of several of them.
pub(crate) struct Column {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) help: &'static str,
    pub(crate) frontend: Option<fn(&FrontendSnapshot) -> Value>,
    pub(crate) backend: Option<fn(&BackendSnapshot) -> Value>,
    pub(crate) server: Option<fn(&ServerSnapshot) -> Value>,
    /// What `show stat` makes of it; `None`: it is not there.
    pub(crate) stat: Option<Stat>,
}

use Form::{S32, Str, U32, U64};
use Kind::{Counter, Gauge};
use Value::{Ago, Count, Nothing, OneOf, Seconds, Tally, Text, Unknown};

const FRONTEND_STATES: &[&str] = &["DOWN", "UP"];
const SERVER_STATES: &[&str] = &["DOWN", "UP", "MAINT", "DRAIN", "NOLB"];
const CHECK_STATES: &[&str] = &[
    "HANA", "SOCKERR", "L4OK", "L4TOUT", "L4CON", "L6OK", "L6TOUT", "L6RSP", "L7TOUT", "L7RSP",
    "L7OK", "L7OKC", "L7STS", "PROCERR", "PROCTOUT", "PROCOK",
];

/// `haproxy_process_*`.
pub(crate) const PROCESS: &[ProcessColumn] = &[
    process("nbthread", Gauge, "Data-plane threads", |v| {
        Count(v.proxy.process.threads as u64)
    }),
    process("nbproc", Gauge, "Processes that serve (always 1)", |_| {
        Count(1)
    }),
    process(
        "relative_process_id",
        Gauge,
        "Number of this process (always 1)",
        |_| Count(1),
    ),
    process(
        "uptime_seconds",
        Gauge,
        "Seconds since the process started",
        |v| Count(v.proxy.process.uptime.as_secs()),
    ),
    process(
        "max_fds",
        Gauge,
        "File descriptors that the process may open",
        |v| Count(v.proxy.process.max_fds),
    ),
    process(
        "max_sockets",
        Gauge,
        "Sockets that the process may open",
        |v| Count(v.proxy.process.max_fds),
    ),
    process(
        "max_connections",
        Gauge,
        "Client connections that the process takes at once",
        |v| Count(v.proxy.process.maxconn.into()),
    ),
    process(
        "hard_max_connections",
        Gauge,
        "Client connections that the process could take at once",
        |v| Count(v.proxy.process.maxconn.into()),
    ),
    process(
        "current_connections",
        Gauge,
        "Open client connections",
        |v| Count(v.proxy.process.current_connections.into()),
    ),
    process(
        "connections_total",
        Counter,
        "Client connections accepted",
        |v| Count(v.proxy.process.connections_total),
    ),
    process(
        "current_connection_rate",
        Gauge,
        "Client connections accepted during the last second",
        |v| Count(v.proxy.process.connection_rate.into()),
    ),
    process(
        "limit_connection_rate",
        Gauge,
        "Limit on accepted connections a second (0: none)",
        |_| Count(0),
    ),
    process(
        "max_connection_rate",
        Gauge,
        "Most client connections accepted in one second",
        |v| Count(v.proxy.process.max_connection_rate.into()),
    ),
    // A connection is a session here: nothing refuses one between the two.
    process(
        "current_session_rate",
        Gauge,
        "Sessions begun during the last second",
        |v| Count(v.proxy.process.connection_rate.into()),
    ),
    process(
        "limit_session_rate",
        Gauge,
        "Limit on sessions begun in a second (0: none)",
        |_| Count(0),
    ),
    process(
        "max_session_rate",
        Gauge,
        "Most sessions begun in one second",
        |v| Count(v.proxy.process.max_connection_rate.into()),
    ),
    process(
        "stopping",
        Gauge,
        "Whether the process drains to its end",
        |v| Count(v.proxy.process.stopping.into()),
    ),
    process(
        "busy_polling_enabled",
        Gauge,
        "1 if threads never sleep (busy-polling)",
        |v| Count(v.proxy.process.busy_polling.into()),
    ),
    process(
        "jobs",
        Gauge,
        "Open client connections and listening addresses",
        |v| Count(u64::from(v.proxy.process.current_connections) + listeners(v)),
    ),
    process(
        "unstoppable_jobs",
        Gauge,
        "Jobs that a stop does not wait for (always 0)",
        |_| Count(0),
    ),
    process("listeners", Gauge, "Addresses that are listened on", |v| {
        Count(listeners(v))
    }),
    process(
        "dropped_logs_total",
        Counter,
        "Log lines given up because the receiver did not keep pace",
        |v| Count(v.proxy.process.dropped_logs_total),
    ),
    process(
        "bytes_out_total",
        Counter,
        "Bytes sent, to clients and servers",
        |v| Count(v.proxy.process.bytes_out_total),
    ),
    process("build_info", Gauge, "The version that runs", |_| {
        Text(vec![("version", env!("CARGO_PKG_VERSION").to_owned())])
    }),
    process(
        "start_time_seconds",
        Gauge,
        "When the process started, in seconds since 1970",
        |v| {
            Count(
                v.started
                    .duration_since(UNIX_EPOCH)
                    .map_or(0, |since| since.as_secs()),
            )
        },
    ),
];

/// `haproxy_frontend_*`, `haproxy_backend_*` and `haproxy_server_*`.
///
/// Quantities that nothing here can move yet (rules that deny, rate limits) stand with
/// the value that is true of them, so that dashboards and alerts find their series.
pub(crate) const COLUMNS: &[Column] = &[
    column("current_queue", Gauge, "Connections that wait for a server")
        .stat("qcur", "MGP", U32)
        .backend(|b| Count(b.service.current_queue.into()))
        .server(|s| Count(s.service.current_queue.into())),
    column(
        "max_queue",
        Gauge,
        "Most connections that ever waited for a server at once",
    )
    .stat("qmax", "MMP", U32)
    .backend(|b| Count(b.service.max_queue.into()))
    .server(|s| Count(s.service.max_queue.into())),
    column("current_sessions", Gauge, "Open sessions")
        .stat("scur", "MGP", U32)
        .frontend(|f| Count(f.current_sessions.into()))
        .backend(|b| Count(b.service.current_sessions.into()))
        .server(|s| Count(s.service.current_sessions.into())),
    column("max_sessions", Gauge, "Most sessions ever open at once")
        .stat("smax", "MMP", U32)
        .frontend(|f| Count(f.max_sessions.into()))
        .backend(|b| Count(b.service.max_sessions.into()))
        .server(|s| Count(s.service.max_sessions.into())),
    column(
        "limit_sessions",
        Gauge,
        "Limit on open sessions (maxconn of a frontend or server, fullconn of a backend)",
    )
    .stat("slim", "CLP", U32)
    .frontend(|f| Count(f.session_limit.into()))
    .backend(|b| Count(b.session_limit.into()))
    .server(|s| limit(s.session_limit.map(u64::from))),
    column("sessions_total", Counter, "Sessions")
        .stat("stot", "MCP", U64)
        .frontend(|f| Count(f.sessions_total))
        .backend(|b| Count(b.service.sessions_total))
        .server(|s| Count(s.service.sessions_total)),
    column("bytes_in_total", Counter, "Bytes from clients")
        .stat("bin", "MCP", U64)
        .frontend(|f| Count(f.bytes_in_total))
        .backend(|b| Count(b.service.bytes_in_total))
        .server(|s| Count(s.service.bytes_in_total)),
    column("bytes_out_total", Counter, "Bytes to clients")
        .stat("bout", "MCP", U64)
        .frontend(|f| Count(f.bytes_out_total))
        .backend(|b| Count(b.service.bytes_out_total))
        .server(|s| Count(s.service.bytes_out_total)),
    column(
        "requests_denied_total",
        Counter,
        "Sessions denied by a rule on their content, and connections dropped silently",
    )
    .stat("dreq", "MCP", U64)
    .frontend(|f| Count(f.denied_requests_total + f.http.map_or(0, |http| http.denied_total)))
    .backend(|_| Count(0)),
    column(
        "responses_denied_total",
        Counter,
        "Answers denied by a rule",
    )
    .stat("dresp", "MCP", U64)
    .frontend(|_| Count(0))
    .backend(|_| Count(0))
    .server(|_| Count(0)),
    column(
        "request_errors_total",
        Counter,
        "Sessions refused because of what the client sent",
    )
    .stat("ereq", "MCP", U64)
    .frontend(|f| Count(f.http.map_or(0, |http| http.errors_total))),
    column(
        "connection_errors_total",
        Counter,
        "Connects to servers that failed for good",
    )
    .stat("econ", "MCP", U64)
    .backend(|b| Count(b.service.connection_errors_total))
    .server(|s| Count(s.service.connection_errors_total)),
    column(
        "response_errors_total",
        Counter,
        "Sessions that the server broke off with an error",
    )
    .stat("eresp", "MCP", U64)
    .backend(|b| Count(b.service.response_errors_total))
    .server(|s| Count(s.service.response_errors_total)),
    column("retry_warnings_total", Counter, "Connects tried again")
        .stat("wretr", "MCP", U64)
        .backend(|b| Count(b.service.retry_warnings_total))
        .server(|s| Count(s.service.retry_warnings_total)),
    column(
        "redispatch_warnings_total",
        Counter,
        "Connects moved to another server",
    )
    .stat("wredis", "MCP", U64)
    .backend(|b| Count(b.service.redispatch_warnings_total))
    .server(|s| Count(s.service.redispatch_warnings_total)),
    column("status", Gauge, "State, one series for each possible one")
        .stat_cell("status", "SGP", Str, stat::status)
        .frontend(|f| {
            OneOf(
                FRONTEND_STATES,
                // One that only pauses is up, as in HAProxy.
                Some(up_or_down(f.status != FrontendStatus::Stop)),
            )
        })
        .backend(|b| OneOf(FRONTEND_STATES, Some(up_or_down(b.is_up))))
        .server(|s| OneOf(SERVER_STATES, Some(server_state(s)))),
    column(
        "weight",
        Gauge,
        "Weight in force; of a backend, the sum over its usable servers",
    )
    .stat("weight", "MaP", U32)
    .backend(|b| Count(b.weight.into()))
    .server(|s| Count(s.weight.into())),
    column(
        "uweight",
        Gauge,
        "Weight as configured; of a backend, the sum over its usable servers",
    )
    .stat("uweight", "MaP", U32)
    .backend(|b| Count(b.weight.into()))
    .server(|s| Count(s.full_weight.into())),
    column(
        "active_servers",
        Gauge,
        "Usable servers that are no backups",
    )
    .stat("act", "MGP", U32)
    .backend(|b| Count(b.active_servers.into())),
    column("backup_servers", Gauge, "Usable backups")
        .stat("bck", "MGP", U32)
        .backend(|b| Count(b.backup_servers.into())),
    column("active", Gauge, "Whether the server is no backup")
        .stat("act", "SGP", U32)
        .server(|s| Count((!s.backup).into())),
    column("backup", Gauge, "Whether the server is a backup")
        .stat("bck", "SGP", U32)
        .server(|s| Count(s.backup.into())),
    column("check_failures_total", Counter, "Checks that failed")
        .stat("chkfail", "MCP", U64)
        .server(|s| {
            if counts_checks(s) {
                Count(s.check_failures_total)
            } else {
                Unknown
            }
        }),
    column("check_up_down_total", Counter, "Changes from up to down")
        .stat("chkdown", "MCP", U64)
        .backend(|b| Count(b.service.down_total))
        .server(|s| {
            if counts_checks(s) {
                Count(s.service.down_total)
            } else {
                Unknown
            }
        }),
    column(
        "check_last_change_seconds",
        Gauge,
        "Seconds since the last change between up and down",
    )
    .stat("lastchg", "MAP", U32)
    .backend(|b| Count(b.service.last_change.as_secs()))
    .server(|s| Count(s.service.last_change.as_secs())),
    column("downtime_seconds_total", Counter, "Seconds spent down")
        .stat("downtime", "MCP", U32)
        .backend(|b| Count(b.service.downtime.as_secs()))
        .server(|s| {
            if counts_checks(s) {
                Count(s.service.downtime.as_secs())
            } else {
                Unknown
            }
        }),
    column("queue_limit", Gauge, "Limit on waiting connections")
        .stat("qlimit", "CLS", U32)
        .server(|s| limit(s.queue_limit.map(u64::from))),
    column(
        "current_throttle",
        Gauge,
        "Percentage of its weight and maxconn that a server in slow start gets",
    )
    .stat("throttle", "MaP", U32)
    .server(|s| limit(s.throttle.map(u64::from))),
    column(
        "loadbalanced_total",
        Counter,
        "Times that a server was chosen by the balance algorithm",
    )
    .stat("lbtot", "MCP", U64)
    .backend(|b| Count(b.service.loadbalanced_total))
    .server(|s| Count(s.service.loadbalanced_total)),
    column(
        "limit_session_rate",
        Gauge,
        "Limit on sessions in a second (0: none)",
    )
    .stat("rate_lim", "CLP", U32)
    .frontend(|_| Count(0)),
    column("max_session_rate", Gauge, "Most sessions in one second")
        .stat("rate_max", "MMP", U32)
        .backend_tags("MGP")
        .frontend(|f| Count(f.max_session_rate.into()))
        .backend(|b| Count(b.service.max_session_rate.into()))
        .server(|s| Count(s.service.max_session_rate.into())),
    column(
        "connections_rate_max",
        Gauge,
        "Most connections in one second",
    )
    .stat("conn_rate_max", "MMP", U32)
    .frontend(|f| Count(f.max_connection_rate.into())),
    column("connections_total", Counter, "Connections accepted")
        .stat("conn_tot", "MCP", U64)
        .frontend(|f| Count(f.connections_total)),
    column(
        "denied_connections_total",
        Counter,
        "Connections denied by a rule",
    )
    .stat("dcon", "MCP", U64)
    .frontend(|f| Count(f.denied_connections_total)),
    column(
        "denied_sessions_total",
        Counter,
        "Sessions denied by a rule before they counted as such",
    )
    .stat("dses", "MCP", U64)
    .frontend(|f| Count(f.denied_sessions_total)),
    column(
        "check_status",
        Gauge,
        "Outcome of the last health check, one series for each possible one",
    )
    .stat_cell("check_status", "MOP", Str, stat::check_status)
    .server(|s| {
        if is_checked_now(s) {
            OneOf(CHECK_STATES, check_state(s))
        } else {
            Nothing
        }
    }),
    column(
        "check_code",
        Gauge,
        "Code that the last health check got, HTTP's status; 0 where an answer has none",
    )
    .stat_cell("check_code", "MOP", U32, stat::check_code)
    .server(|s| match &s.last_check {
        _ if !is_checked_now(s) => Nothing,
        Some(check) => Count(check.code.unwrap_or_default().into()),
        None => Count(0),
    }),
    column(
        "check_duration_seconds",
        Gauge,
        "How long the last health check took",
    )
    .stat("check_duration", "MDP", U64)
    .server(|s| match &s.last_check {
        Some(check) if is_checked_now(s) => Seconds(check.duration),
        _ => Nothing,
    }),
    column(
        "client_aborts_total",
        Counter,
        "Sessions that the client broke off",
    )
    .stat("cli_abrt", "MCP", U64)
    .backend(|b| Count(b.service.client_aborts_total))
    .server(|s| Count(s.service.client_aborts_total)),
    column(
        "server_aborts_total",
        Counter,
        "Sessions that the server broke off",
    )
    .stat("srv_abrt", "MCP", U64)
    .backend(|b| Count(b.service.server_aborts_total))
    .server(|s| Count(s.service.server_aborts_total)),
    column(
        "last_session_seconds",
        Gauge,
        "Seconds since the last session was assigned (-1: never)",
    )
    .stat("lastsess", "MAP", S32)
    .backend(|b| Ago(b.service.last_session))
    .server(|s| Ago(s.service.last_session)),
    column(
        "queue_time_average_seconds",
        Gauge,
        "Average of the last 1024 waits for a server",
    )
    .stat("qtime", "MaP", U32)
    .backend(|b| Seconds(b.service.average_queue_time))
    .server(|s| Seconds(s.service.average_queue_time)),
    column(
        "connect_time_average_seconds",
        Gauge,
        "Average of the last 1024 connects to a server",
    )
    .stat("ctime", "MaP", U32)
    .backend(|b| Seconds(b.service.average_connect_time))
    .server(|s| Seconds(s.service.average_connect_time)),
    column(
        "response_time_average_seconds",
        Gauge,
        "Average of the last 1024 response times (0: TCP has none)",
    )
    .stat("rtime", "MaP", U32)
    .backend(|_| Seconds(Duration::ZERO))
    .server(|_| Seconds(Duration::ZERO)),
    column(
        "total_time_average_seconds",
        Gauge,
        "Average of the last 1024 sessions' lengths",
    )
    .stat("ttime", "MaP", U32)
    .backend(|b| Seconds(b.service.average_session_time))
    .server(|s| Seconds(s.service.average_session_time)),
    column(
        "connection_attempts_total",
        Counter,
        "Connects to servers, tries included",
    )
    .stat("connect", "MCP", U64)
    .backend(|b| Count(b.service.connection_attempts_total))
    .server(|s| Count(s.service.connection_attempts_total)),
    column("max_queue_time_seconds", Gauge, "Longest wait for a server")
        .stat("qtime_max", "MMP", U32)
        .backend(|b| Seconds(b.service.max_queue_time))
        .server(|s| Seconds(s.service.max_queue_time)),
    column(
        "max_connect_time_seconds",
        Gauge,
        "Longest connect to a server",
    )
    .stat("ctime_max", "MMP", U32)
    .backend(|b| Seconds(b.service.max_connect_time))
    .server(|s| Seconds(s.service.max_connect_time)),
    column(
        "max_response_time_seconds",
        Gauge,
        "Longest response time (0: TCP has none)",
    )
    .stat("rtime_max", "MMP", U32)
    .backend(|_| Seconds(Duration::ZERO))
    .server(|_| Seconds(Duration::ZERO)),
    column("max_total_time_seconds", Gauge, "Longest session")
        .stat("ttime_max", "MMP", U32)
        .backend(|b| Seconds(b.service.max_session_time))
        .server(|s| Seconds(s.service.max_session_time)),
    column(
        "internal_errors_total",
        Counter,
        "Sessions ended by an error of the balancer's own",
    )
    .stat("eint", "MCP", U64)
    .frontend(|_| Count(0))
    .backend(|_| Count(0))
    .server(|_| Count(0)),
    column(
        "agg_server_status",
        Gauge,
        "How many servers are in each state",
    )
    .stat_cell("agg_server_status", "MGP", U32, stat::none_counted)
    .backend(servers_by_state),
    column(
        "agg_server_check_status",
        Gauge,
        "As agg_server_status; HAProxy's older name of it",
    )
    .stat_cell("agg_server_check_status", "MGP", U32, stat::none_counted)
    .backend(servers_by_state),
    column(
        "agg_check_status",
        Gauge,
        "How many servers' last health check had each outcome",
    )
    .stat_cell("agg_check_status", "MGP", U32, stat::none_counted)
    .backend(|b| {
        Tally(
            CHECK_STATES,
            count(
                CHECK_STATES,
                b.servers
                    .iter()
                    .filter(|s| is_checked_now(s))
                    .filter_map(check_state),
            ),
        )
    }),
];

/// `evenkeel_*`: what HAProxy does not say, from the same snapshot.
pub(crate) const OWN: &[ProcessColumn] = &[
    process("build_info", Gauge, "The version that runs", |_| {
        Text(vec![("version", env!("CARGO_PKG_VERSION").to_owned())])
    }),
    process(
        "node_info",
        Gauge,
        "The node and description of the global section",
        |v| {
            Text(vec![
                ("node", v.node.clone()),
                ("description", v.description.clone()),
            ])
        },
    ),
    process(
        "configuration_warnings",
        Gauge,
        "Warnings that the configuration in force gave",
        |v| Count(v.warnings),
    ),
    process(
        "reloads_total",
        Counter,
        "Configurations loaded while running",
        |v| Count(v.proxy.process.reloads_total),
    ),
    process(
        "failed_reloads_total",
        Counter,
        "Reloads refused, which left everything as it was",
        |v| Count(v.proxy.process.failed_reloads_total),
    ),
    process(
        "maxconn_reached_total",
        Counter,
        "Times that accepting paused at the process's maxconn",
        |v| Count(v.proxy.process.maxconn_reached_total),
    ),
    process(
        "descriptors_exhausted_total",
        Counter,
        "Times that accepting paused for want of file descriptors",
        |v| Count(v.proxy.process.descriptor_exhausted_total),
    ),
    process(
        "held_bytes",
        Gauge,
        "Bytes read and not yet written, of all connections",
        |v| Count(v.proxy.process.held_bytes),
    ),
    process(
        "held_limit_reached_total",
        Counter,
        "Times that reading paused because held_bytes was at its limit",
        |v| Count(v.proxy.process.held_limit_reached_total),
    ),
];

/// `evenkeel_frontend_*`.
pub(crate) const OWN_FRONTEND: &[Column] = &[column(
    "maxconn_reached_total",
    Counter,
    "Times that accepting paused at the frontend's maxconn",
)
.frontend(|f| Count(f.maxconn_reached_total))];

/// `evenkeel_backend_*`.
pub(crate) const OWN_BACKEND: &[Column] = &[
    column(
        "fail_open",
        Gauge,
        "Whether servers are in use that pass no check (fail-open)",
    )
    .backend(|b| Count(u64::from(b.fails_open))),
    column(
        "fail_opens_total",
        Counter,
        "Times that servers began to be used that pass no check",
    )
    .backend(|b| Count(b.fail_opens_total)),
];

/// `haproxy_resolver_*{resolver,nameserver}`: what came of asking a name server, in the order of its
/// snapshot. Gauges, as in HAProxy.
pub(crate) const RESOLVER: [(&str, &str); 15] = [
    ("sent", "Questions sent"),
    ("send_error", "Questions that could not be sent"),
    ("valid", "Answers that held an address"),
    ("update", "Answers that changed an address"),
    (
        "cname",
        "Answers with an alias (always 0: aliases are followed)",
    ),
    (
        "cname_error",
        "Aliases that led nowhere (always 0: see other)",
    ),
    ("any_err", "Answers without a record (always 0: see nx)"),
    ("nx", "Answers that there is no such name"),
    ("timeout", "Questions without an answer in time"),
    ("refused", "Questions that the name server refused"),
    ("other", "Answers that were of no use for another reason"),
    (
        "invalid",
        "Answers that could not be read (always 0: see other)",
    ),
    (
        "too_big",
        "Answers that were too long (always 0: asked again over TCP)",
    ),
    (
        "truncated",
        "Answers that were cut short (always 0: asked again over TCP)",
    ),
    (
        "outdated",
        "Answers that came too late (always 0: see timeout)",
    ),
];

/// `evenkeel_bind_address_present{proxy,address}`: a row of its own shape.
pub(crate) const BIND_ADDRESS_PRESENT: (&str, &str) = (
    "bind_address_present",
    "Whether an interface of this machine has the address that is listened on",
);

const fn process(
    name: &'static str,
    kind: Kind,
    help: &'static str,
    value: fn(&View) -> Value,
) -> ProcessColumn {
    ProcessColumn {
        name,
        kind,
        help,
        value,
    }
}

const fn column(name: &'static str, kind: Kind, help: &'static str) -> Column {
    Column {
        name,
        kind,
        help,
        frontend: None,
        backend: None,
        server: None,
        stat: None,
    }
}

impl Column {
    /// A field of `show stat` that is no metric.
    pub(crate) const fn field(
        field: &'static str,
        tags: &'static str,
        form: Form,
        cell: fn(&Row<'_>) -> Cell,
    ) -> Self {
        column("", Gauge, "").stat_cell(field, tags, form, cell)
    }

    const fn stat(self, field: &'static str, tags: &'static str, form: Form) -> Self {
        let stat = Stat {
            field,
            tags,
            backend_tags: tags,
            form,
            cell: None,
        };
        Self {
            stat: Some(stat),
            ..self
        }
    }

    /// Where the field's text is not the metric's number.
    const fn stat_cell(
        self,
        field: &'static str,
        tags: &'static str,
        form: Form,
        cell: fn(&Row<'_>) -> Cell,
    ) -> Self {
        let stat = Stat {
            field,
            tags,
            backend_tags: tags,
            form,
            cell: Some(cell),
        };
        Self {
            stat: Some(stat),
            ..self
        }
    }

    const fn backend_tags(self, backend_tags: &'static str) -> Self {
        let Some(stat) = self.stat else { return self };
        Self {
            stat: Some(Stat {
                backend_tags,
                ..stat
            }),
            ..self
        }
    }

    const fn frontend(self, value: fn(&FrontendSnapshot) -> Value) -> Self {
        Self {
            frontend: Some(value),
            ..self
        }
    }

    const fn backend(self, value: fn(&BackendSnapshot) -> Value) -> Self {
        Self {
            backend: Some(value),
            ..self
        }
    }

    const fn server(self, value: fn(&ServerSnapshot) -> Value) -> Self {
        Self {
            server: Some(value),
            ..self
        }
    }
}

/// Addresses that are listened on.
pub(crate) fn listeners(view: &View) -> u64 {
    let open = view
        .proxy
        .frontends
        .iter()
        .filter(|f| f.status != FrontendStatus::Stop);
    open.map(|f| f.addresses.len() as u64).sum()
}

/// A limit that there need not be.
fn limit(limit: Option<u64>) -> Value {
    limit.map_or(Unknown, Count)
}

fn up_or_down(is_up: bool) -> &'static str {
    if is_up { "UP" } else { "DOWN" }
}

fn server_state(server: &ServerSnapshot) -> &'static str {
    match server.status {
        ServerStatus::Up | ServerStatus::GoingDown | ServerStatus::NoCheck => "UP",
        ServerStatus::Drain | ServerStatus::DrainByAgent => "DRAIN",
        ServerStatus::Stopping => "NOLB",
        ServerStatus::Down | ServerStatus::GoingUp | ServerStatus::DownByAgent => "DOWN",
        ServerStatus::Maint | ServerStatus::MaintVia | ServerStatus::MaintUnresolved => "MAINT",
    }
}

/// Whether checks are on, be they paused by maintenance.
fn counts_checks(server: &ServerSnapshot) -> bool {
    server.is_checked && server.checks_enabled
}

/// HAProxy's exporter says nothing of checks that do not run.
fn is_checked_now(server: &ServerSnapshot) -> bool {
    counts_checks(server) && !server.status.is_maint()
}

fn check_state(server: &ServerSnapshot) -> Option<&'static str> {
    server
        .last_check
        .as_ref()
        .map(|check| CheckStatus::code(check.status))
}

fn servers_by_state(backend: &BackendSnapshot) -> Value {
    Tally(
        SERVER_STATES,
        count(SERVER_STATES, backend.servers.iter().map(server_state)),
    )
}

fn count(states: &[&'static str], found: impl Iterator<Item = &'static str>) -> Vec<u64> {
    let mut counts = vec![0; states.len()];
    for state in found {
        if let Some(at) = states.iter().position(|known| *known == state) {
            counts[at] += 1;
        }
    }
    counts
}

impl Kind {
    /// As the text format and the documentation name it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
        }
    }
}
