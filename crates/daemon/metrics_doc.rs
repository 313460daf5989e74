//! docs/metrics.md, printed from the tables, and the list of HAProxy's metrics that are not here.

use std::fmt::Write as _;

use crate::columns::{
    BIND_ADDRESS_PRESENT, COLUMNS, Column, Kind, OWN, OWN_BACKEND, OWN_FRONTEND, PROCESS, RESOLVER,
};
use crate::recorder::RECORDED;

/// HAProxy's metrics that have no meaning here: what their names contain, and why.
const ABSENT: &[(&str, &str)] = &[
    ("http_", "HTTP is carried, not understood"),
    ("requests_total", "HTTP is carried, not understood"),
    ("intercepted_requests", "HTTP is carried, not understood"),
    ("failed_header_rewriting", "HTTP is carried, not understood"),
    ("ssl", "TLS is passed through"),
    ("zlib", "nothing is compressed"),
    (
        "connection_reuses",
        "a TCP session has a connection of its own",
    ),
    (
        "connections_current",
        "a TCP session has a connection of its own; see `haproxy_server_current_sessions`",
    ),
    (
        "idle_connections",
        "a TCP session has a connection of its own",
    ),
    ("pool_", "memory comes from the system's allocator"),
    (
        "pipes",
        "pipes belong to threads, not to connections; see `evenkeel_relayed_bytes_total`",
    ),
    ("spliced_bytes", "see `evenkeel_relayed_bytes_total`"),
    (
        "bytes_out_rate",
        "the rate of `haproxy_process_bytes_out_total`",
    ),
    ("max_memory_bytes", "there is no `-m`"),
    ("_tasks", "a detail of HAProxy's scheduler"),
    ("run_queue", "a detail of HAProxy's scheduler"),
    ("idle_time_percent", "a detail of HAProxy's scheduler"),
    ("peers", "there are no peers"),
    ("recv_logs", "there is no log forwarding"),
    (
        "failed_resolutions",
        "names are looked up at start and reload",
    ),
    ("haproxy_listener_", "counted by frontend"),
];

/// The page.
pub(crate) fn markdown() -> String {
    let mut page = String::from(
        "<!-- Printed from the tables in crates/daemon; `UPDATE_DOCS=1 cargo test metrics_page` writes it anew. -->\n\n\
         # Metrics\n\n\
         `--admin ADDRESS` (or `[admin] listen`) serves them at `/metrics` as Prometheus text; `/healthz` answers \
         200 while the process lives, `/readyz` 200 while every backend has a usable server and 503 with the names of \
         those that have none otherwise (or while the process drains), `/serving` 200 while the process itself can serve new clients, whatever its \
         servers do: it does not drain, and every data thread answers (`evenkeel health` asks that).\n\n\
         Names, labels and meaning are those of HAProxy's own exporter, so that dashboards and alerts go on working. \
         NaN says, as there, that there is no such limit or that it is not measured. What HAProxy has not is called \
         `evenkeel_`.\n",
    );
    let rows = PROCESS
        .iter()
        .map(|column| (column.name, column.kind, column.help));
    section(&mut page, "The process", "haproxy_process", "none", rows);
    section(
        &mut page,
        "Frontends",
        "haproxy_frontend",
        "`proxy`; `status` also `state`",
        of(COLUMNS, |c| c.frontend.is_some()),
    );
    section(
        &mut page,
        "Backends",
        "haproxy_backend",
        "`proxy`; `status` and `agg_*` also `state`",
        of(COLUMNS, |c| c.backend.is_some()),
    );
    section(
        &mut page,
        "Servers",
        "haproxy_server",
        "`proxy`, `server`; `status` and `check_status` also `state`",
        of(COLUMNS, |c| c.server.is_some()),
    );
    section(
        &mut page,
        "Name servers (HAProxy has these with `?extra-counters`)",
        "haproxy_resolver",
        "`resolver`, `nameserver`",
        RESOLVER
            .into_iter()
            .map(|(name, help)| (name, Kind::Gauge, help)),
    );
    let own = OWN
        .iter()
        .map(|column| (column.name, column.kind, column.help));
    section(
        &mut page,
        "What HAProxy has not: the process",
        "evenkeel",
        "none",
        own,
    );
    let own = of(OWN_FRONTEND, |c| c.frontend.is_some());
    section(
        &mut page,
        "What HAProxy has not: frontends",
        "evenkeel_frontend",
        "`proxy`",
        own,
    );
    let own = of(OWN_BACKEND, |c| c.backend.is_some());
    section(
        &mut page,
        "What HAProxy has not: backends",
        "evenkeel_backend",
        "`proxy`",
        own,
    );
    let (name, help) = BIND_ADDRESS_PRESENT;
    section(
        &mut page,
        "What HAProxy has not: addresses",
        "evenkeel",
        "`proxy`, `address`",
        [(name, Kind::Gauge, help)].into_iter(),
    );
    page.push_str("\n## What HAProxy has not: durations and bytes\n\n| metric | kind | labels | meaning |\n|---|---|---|---|\n");
    for row in RECORDED {
        let _ = writeln!(
            page,
            "| `{}` | {} | {} | {} |",
            row.name,
            row.what.name(),
            row.labels,
            row.help
        );
    }
    page.push_str(
        "\n## What HAProxy has and this has not\n\n| names with | because |\n|---|---|\n",
    );
    for (part, why) in ABSENT {
        let _ = writeln!(page, "| `{part}` | {why} |");
    }
    page
}

fn of(
    columns: &'static [Column],
    is_in: fn(&Column) -> bool,
) -> impl Iterator<Item = (&'static str, Kind, &'static str)> {
    columns
        .iter()
        .filter(move |column| is_in(column))
        .map(|column| (column.name, column.kind, column.help))
}

fn section<'a>(
    page: &mut String,
    title: &str,
    prefix: &str,
    labels: &str,
    rows: impl Iterator<Item = (&'a str, Kind, &'a str)>,
) {
    let _ = write!(
        page,
        "\n## {title}\n\nLabels: {labels}.\n\n| metric | kind | meaning |\n|---|---|---|\n"
    );
    for (name, kind, help) in rows {
        let _ = writeln!(page, "| `{prefix}_{name}` | {} | {help} |", kind.name());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_page_is_in_step_with_the_tables() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, markdown()).unwrap();
        }
        let page = std::fs::read_to_string(path).unwrap();
        assert!(
            page == markdown(),
            "docs/metrics.md is out of date: run UPDATE_DOCS=1 cargo test metrics_page"
        );
    }

    /// Every metric of HAProxy's is here, of the same kind, or its absence has a reason; and nothing
    /// here carries a name of HAProxy's that it does not know.
    #[test]
    fn metrics_are_haproxys_or_absent_for_a_reason() {
        let theirs: Vec<(&str, &str)> = include_str!("haproxy_metrics.txt")
            .lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| line.split_once(' ').unwrap())
            .collect();
        assert!(theirs.len() > 150);
        let mut ours: Vec<(String, &str)> = Vec::new();
        ours.extend(
            PROCESS
                .iter()
                .map(|c| (format!("haproxy_process_{}", c.name), c.kind.name())),
        );
        let gauge = Kind::Gauge.name();
        ours.extend(
            RESOLVER
                .iter()
                .map(|(name, _)| (format!("haproxy_resolver_{name}"), gauge)),
        );
        for column in COLUMNS {
            for (scope, is_in) in [
                ("frontend", column.frontend.is_some()),
                ("backend", column.backend.is_some()),
                ("server", column.server.is_some()),
            ] {
                if is_in {
                    ours.push((
                        format!("haproxy_{scope}_{}", column.name),
                        column.kind.name(),
                    ));
                }
            }
        }
        for (name, kind) in &theirs {
            let here = ours.iter().find(|(ours, _)| ours == name);
            let reason = ABSENT.iter().find(|(part, _)| name.contains(part));
            match (here, reason) {
                (Some((_, ours)), _) => assert_eq!(ours, kind, "{name}"),
                (None, Some(_)) => {}
                (None, None) => panic!("{name} is neither here nor explained"),
            }
        }
        for (name, _) in &ours {
            assert!(theirs.iter().any(|(theirs, _)| theirs == name), "{name}");
        }
    }
}
