//! `show info`: what the process says of itself, under HAProxy's names and numbers.

use std::fmt::Write as _;
use std::time::UNIX_EPOCH;

use super::{Reply, Scene};
use crate::columns::{View, listeners};
use crate::stat::{Cell, Form, json_field};
use Cell::{Empty, Number, Text};
use Form::{Str, U32, U64};

/// One line.
struct Row {
    position: usize,
    name: &'static str,
    tags: &'static str,
    form: Form,
    help: &'static str,
    value: fn(&View) -> Cell,
}

const fn row(
    position: usize,
    name: &'static str,
    tags: &'static str,
    form: Form,
    help: &'static str,
    value: fn(&View) -> Cell,
) -> Row {
    Row {
        position,
        name,
        tags,
        form,
        help,
        value,
    }
}

const ZERO: fn(&View) -> Cell = |_| Number(0);
const TLS: &str = "TLS is passed through: always 0";
const COMPRESSION: &str = "nothing is compressed: always 0";
const MEMORY: &str = "memory comes from the system's allocator: always 0";

#[rustfmt::skip]
static ROWS: &[Row] = &[
    row(0, "Name", "POS", Str, "the program", |_| Text("evenkeel".into())),
    row(1, "Version", "POS", Str, "its version", |_| Text(env!("CARGO_PKG_VERSION").into())),
    row(2, "Release_date", "POS", Str, "no date is built in: its version tells", |_| Text("-".into())),
    row(3, "Nbthread", "CGS", U32, "data-plane threads", |v| Number(v.proxy.process.threads as u64)),
    row(4, "Nbproc", "CGS", U32, "processes that serve: always 1", |_| Number(1)),
    row(5, "Process_num", "KGP", U32, "which of them: always 1", |_| Number(1)),
    row(6, "Pid", "SGP", U32, "the process id", |_| Number(std::process::id().into())),
    row(7, "Uptime", "MDP", Str, "since the process started", |v| Text(uptime(v.proxy.process.uptime.as_secs()))),
    row(8, "Uptime_sec", "MDP", U32, "the same in seconds", |v| Number(v.proxy.process.uptime.as_secs())),
    row(9, "Memmax_MB", "CLP", U32, "there is no -m: always 0", ZERO),
    row(10, "PoolAlloc_MB", "MGP", U32, MEMORY, ZERO),
    row(11, "PoolUsed_MB", "MGP", U32, MEMORY, ZERO),
    row(12, "PoolFailed", "MCP", U32, MEMORY, ZERO),
    row(13, "Ulimit-n", "CLP", U32, "file descriptors that the process may open", |v| Number(v.proxy.process.max_fds)),
    row(14, "Maxsock", "CLP", U32, "sockets that the process may open", |v| Number(v.proxy.process.max_fds)),
    row(15, "Maxconn", "CLP", U32, "client connections that it takes at once", |v| Number(v.proxy.process.maxconn.into())),
    row(16, "Hard_maxconn", "CLP", U32, "client connections that it could take at once", |v| Number(v.proxy.process.maxconn.into())),
    row(17, "CurrConns", "MGP", U32, "open client connections", |v| Number(v.proxy.process.current_connections.into())),
    row(18, "CumConns", "MCP", U32, "client connections accepted", |v| Number(v.proxy.process.connections_total)),
    row(19, "CumReq", "MCP", U32, "sessions", |v| Number(v.proxy.process.connections_total)),
    row(20, "MaxSslConns", "MMP", U32, TLS, ZERO),
    row(21, "CurrSslConns", "MGP", U32, TLS, ZERO),
    row(22, "CumSslConns", "MCP", U32, TLS, ZERO),
    row(23, "Maxpipes", "CLP", U32, "pipes belong to threads: always 0", ZERO),
    row(24, "PipesUsed", "MGP", U32, "pipes belong to threads: always 0", ZERO),
    row(25, "PipesFree", "MGP", U32, "pipes belong to threads: always 0", ZERO),
    row(26, "ConnRate", "MRP", U32, "connections accepted during the last second", |v| Number(v.proxy.process.connection_rate.into())),
    row(27, "ConnRateLimit", "CLP", U32, "limit on that (0: none)", ZERO),
    row(28, "MaxConnRate", "MMP", U32, "most in one second", |v| Number(v.proxy.process.max_connection_rate.into())),
    row(29, "SessRate", "MRP", U32, "sessions begun during the last second", |v| Number(v.proxy.process.connection_rate.into())),
    row(30, "SessRateLimit", "CLP", U32, "limit on that (0: none)", ZERO),
    row(31, "MaxSessRate", "MRP", U32, "most in one second", |v| Number(v.proxy.process.max_connection_rate.into())),
    row(32, "SslRate", "MRP", U32, TLS, ZERO),
    row(33, "SslRateLimit", "CLP", U32, TLS, ZERO),
    row(34, "MaxSslRate", "MMP", U32, TLS, ZERO),
    row(35, "SslFrontendKeyRate", "MGP", U32, TLS, ZERO),
    row(36, "SslFrontendMaxKeyRate", "MMP", U32, TLS, ZERO),
    row(37, "SslFrontendSessionReuse_pct", "MGP", U32, TLS, ZERO),
    row(38, "SslBackendKeyRate", "MRP", U32, TLS, ZERO),
    row(39, "SslBackendMaxKeyRate", "MMP", U32, TLS, ZERO),
    row(40, "SslCacheLookups", "MCP", U32, TLS, ZERO),
    row(41, "SslCacheMisses", "MCP", U32, TLS, ZERO),
    row(42, "CompressBpsIn", "MRP", U32, COMPRESSION, ZERO),
    row(43, "CompressBpsOut", "MRP", U32, COMPRESSION, ZERO),
    row(44, "CompressBpsRateLim", "CLP", U32, COMPRESSION, ZERO),
    row(47, "Tasks", "MGP", U32, "a detail of HAProxy's scheduler: always 0", ZERO),
    row(48, "Run_queue", "MGP", U32, "a detail of HAProxy's scheduler: always 0", ZERO),
    row(49, "Idle_pct", "MaP", U32, "a detail of HAProxy's scheduler: always 100", |_| Number(100)),
    row(50, "node", "COS", Str, "node of the global section, or the host's name", |v| Text(node(v))),
    row(51, "description", "COS", Str, "description of the global section", |v| match &v.description {
        text if text.is_empty() => Empty,
        text => Text(text.clone()),
    }),
    row(52, "Stopping", "MGP", U32, "whether the process drains to its end", |v| Number(v.proxy.process.stopping.into())),
    row(53, "Jobs", "MGP", U32, "open client connections and listening addresses", |v| Number(u64::from(v.proxy.process.current_connections) + listeners(v))),
    row(54, "Unstoppable Jobs", "MGP", U32, "jobs that a stop does not wait for: always 0", ZERO),
    row(55, "Listeners", "MGP", U32, "addresses that are listened on", |v| Number(listeners(v))),
    row(56, "ActivePeers", "MGP", U32, "there are no peers: always 0", ZERO),
    row(57, "ConnectedPeers", "MGP", U32, "there are no peers: always 0", ZERO),
    row(58, "DroppedLogs", "MGP", U32, "log lines given up because the receiver did not keep pace", |v| Number(v.proxy.process.dropped_logs_total)),
    row(59, "BusyPolling", "MGP", U32, "1 if threads never sleep", |v| Number(v.proxy.process.busy_polling.into())),
    row(60, "FailedResolutions", "MGP", U32, "names that could not be looked up while running", ZERO),
    row(61, "TotalBytesOut", "MGP", U64, "bytes sent, to clients and servers", |v| Number(v.proxy.process.bytes_out_total)),
    row(62, "TotalSplicedBytesOut", "MGP", U64, "see evenkeel_relayed_bytes_total: always 0", ZERO),
    row(63, "BytesOutRate", "MRP", U64, "the rate of TotalBytesOut, which is not measured: always 0", ZERO),
    row(64, "DebugCommandsIssued", "MGP", U32, "there are none: always 0", ZERO),
    row(65, "CumRecvLogs", "MCP", U32, "there is no log forwarding: always 0", ZERO),
    row(66, "Build info", "POS", Str, "the version that runs", |_| Text(env!("CARGO_PKG_VERSION").into())),
    row(67, "Memmax_bytes", "CLP", U32, "there is no -m: always 0", ZERO),
    row(68, "PoolAlloc_bytes", "MGP", U64, MEMORY, ZERO),
    row(69, "PoolUsed_bytes", "MGP", U64, MEMORY, ZERO),
    row(70, "Start_time_sec", "MDP", U32, "when the process started, in seconds since 1970", |v| Number(v.started.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))),
    row(71, "Tainted", "SGP", Str, "nothing here taints: always 0", |_| Text("0".into())),
    row(72, "TotalWarnings", "MCP", U32, "warnings that the configuration in force gave", |v| Number(v.warnings)),
    row(73, "MaxconnReached", "MCP", U32, "times that accepting paused at Maxconn", |v| Number(v.proxy.process.maxconn_reached_total)),
    row(74, "BootTime_ms", "MDP", U32, "not measured: always 0", ZERO),
    row(75, "Niced_tasks", "MGP", U32, "a detail of HAProxy's scheduler: always 0", ZERO),
    row(76, "CurrStreams", "MGP", U64, "open sessions", |v| Number(v.proxy.process.current_connections.into())),
    row(77, "CumStreams", "MGP", U64, "sessions", |v| Number(v.proxy.process.connections_total)),
    row(78, "BlockedTrafficWarnings", "MGP", U32, "not measured: always 0", ZERO),
];

/// `show info [desc|json|typed|float]*`.
pub(super) fn info(scene: &Scene<'_>, arguments: &[&str]) -> Reply {
    let has = |word: &str| arguments.contains(&word);
    let rows = ROWS.iter().filter_map(|row| match (row.value)(scene.view) {
        Empty => None,
        cell => Some((row, cell)),
    });
    if has("json") {
        return Reply::Text(json(rows));
    }
    let mut text = String::new();
    for (row, cell) in rows {
        let &Row {
            position,
            name,
            tags,
            form,
            help,
            ..
        } = row;
        if has("typed") {
            let form = form.name();
            write!(text, "{position}.{name}.1:{tags}:{form}:").expect(INFALLIBLE);
        } else {
            write!(text, "{name}: ").expect(INFALLIBLE);
        }
        write!(text, "{cell}").expect(INFALLIBLE);
        if has("desc") {
            write!(text, ":\"{help}\"").expect(INFALLIBLE);
        }
        text.push('\n');
    }
    if has("typed") {
        text.push('\n');
    }
    Reply::Text(text)
}

const INFALLIBLE: &str = "writing to a String does not fail";

fn json<'a>(rows: impl Iterator<Item = (&'a Row, Cell)>) -> String {
    let mut text = String::from("[");
    for (index, (row, cell)) in rows.enumerate() {
        text.push_str(if index == 0 { "{" } else { ",{" });
        json_field(&mut text, row.position, row.name, row.tags, row.form, &cell);
    }
    text.push_str("]\n");
    text
}

fn node(view: &View) -> String {
    if view.node.is_empty() {
        let running = rustix::system::uname();
        running.nodename().to_string_lossy().into_owned()
    } else {
        view.node.clone()
    }
}

/// `0d 0h00m39s`.
fn uptime(seconds: u64) -> String {
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    format!(
        "{}d {}h{:02}m{:02}s",
        hours / 24,
        hours % 24,
        minutes % 60,
        seconds % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_as_haproxy_does() {
        assert_eq!(uptime(39), "0d 0h00m39s");
        assert_eq!(uptime(90_061), "1d 1h01m01s");
    }
}
