//! Prints a [`View`] as Prometheus text (version 0.0.4), from the table of columns.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use evenkeel_proxy::{BackendSnapshot, FrontendSnapshot};

use crate::columns::{
    BIND_ADDRESS_PRESENT, COLUMNS, Column, Kind, OWN, OWN_BACKEND, OWN_FRONTEND, PROCESS,
    ProcessColumn, RESOLVER,
};
use crate::columns::{Value, View};

/// Every metric that comes from the snapshot.
pub(crate) fn print(view: &View) -> String {
    let labels = Labels::of(view);
    let mut text = String::with_capacity(labels.servers.len() * 4096 + 16_384);
    process(&mut text, "haproxy_process", PROCESS, view);
    frontends(&mut text, "haproxy_frontend", COLUMNS, &labels);
    backends(&mut text, "haproxy_backend", COLUMNS, &labels);
    for column in COLUMNS {
        let Some(value) = column.server else { continue };
        let mut metric = Metric::new("haproxy_server", column.name, column.kind, column.help);
        for (labels, server) in &labels.servers {
            metric.line(&mut text, labels, value(server));
        }
    }
    resolvers(&mut text, view);
    process(&mut text, "evenkeel", OWN, view);
    frontends(&mut text, "evenkeel_frontend", OWN_FRONTEND, &labels);
    backends(&mut text, "evenkeel_backend", OWN_BACKEND, &labels);
    bind_addresses(&mut text, &labels);
    text
}

/// The labels of every object, made once for all its metrics.
struct Labels<'a> {
    frontends: Vec<(String, &'a FrontendSnapshot)>,
    backends: Vec<(String, &'a BackendSnapshot)>,
    servers: Vec<(String, &'a evenkeel_proxy::ServerSnapshot)>,
}

impl<'a> Labels<'a> {
    fn of(view: &'a View) -> Self {
        let proxy = |name: &str| format!("proxy=\"{}\"", escaped(name));
        let frontends = view
            .proxy
            .frontends
            .iter()
            .map(|f| (proxy(&f.name), f))
            .collect();
        let backends: Vec<_> = view
            .proxy
            .backends
            .iter()
            .map(|b| (proxy(&b.name), b))
            .collect();
        let servers = backends
            .iter()
            .flat_map(|(labels, backend)| {
                backend
                    .servers
                    .iter()
                    .map(move |s| (format!("{labels},server=\"{}\"", escaped(&s.name)), s))
            })
            .collect();
        Self {
            frontends,
            backends,
            servers,
        }
    }
}

fn process(text: &mut String, prefix: &str, columns: &[ProcessColumn], view: &View) {
    for column in columns {
        Metric::new(prefix, column.name, column.kind, column.help).line(
            text,
            "",
            (column.value)(view),
        );
    }
}

fn frontends(text: &mut String, prefix: &str, columns: &[Column], labels: &Labels<'_>) {
    for column in columns {
        let Some(value) = column.frontend else {
            continue;
        };
        let mut metric = Metric::new(prefix, column.name, column.kind, column.help);
        for (labels, frontend) in &labels.frontends {
            metric.line(text, labels, value(frontend));
        }
    }
}

fn backends(text: &mut String, prefix: &str, columns: &[Column], labels: &Labels<'_>) {
    for column in columns {
        let Some(value) = column.backend else {
            continue;
        };
        let mut metric = Metric::new(prefix, column.name, column.kind, column.help);
        for (labels, backend) in &labels.backends {
            metric.line(text, labels, value(backend));
        }
    }
}

fn resolvers(text: &mut String, view: &View) {
    for (position, (name, help)) in RESOLVER.into_iter().enumerate() {
        let mut metric = Metric::new("haproxy_resolver", name, Kind::Gauge, help);
        for section in &view.proxy.resolvers {
            for (nameserver, counts) in &section.nameservers {
                let labels = format!(
                    "resolver=\"{}\",nameserver=\"{}\"",
                    escaped(&section.name),
                    escaped(nameserver)
                );
                metric.line(text, &labels, Value::Count(counts[position].1));
            }
        }
    }
}

fn bind_addresses(text: &mut String, labels: &Labels<'_>) {
    let (name, help) = BIND_ADDRESS_PRESENT;
    let mut metric = Metric::new("evenkeel", name, Kind::Gauge, help);
    for (labels, frontend) in &labels.frontends {
        // The same address may be listened on once for each of several interfaces.
        let mut told = BTreeSet::new();
        for bound in &frontend.addresses {
            if !told.insert(bound.address) {
                continue;
            }
            let labels = format!("{labels},address=\"{}\"", bound.address);
            metric.line(text, &labels, Value::Count(bound.present.into()));
        }
    }
}

/// One metric: its two comment lines come before its first sample, and not without one.
struct Metric<'a> {
    name: String,
    kind: Kind,
    help: &'a str,
    is_introduced: bool,
}

impl<'a> Metric<'a> {
    fn new(prefix: &str, name: &str, kind: Kind, help: &'a str) -> Self {
        Self {
            name: format!("{prefix}_{name}"),
            kind,
            help,
            is_introduced: false,
        }
    }

    fn line(&mut self, text: &mut String, labels: &str, value: Value) {
        match value {
            Value::Nothing => {}
            Value::Count(count) => self.sample(text, labels, "", "", format_args!("{count}")),
            Value::Seconds(time) => self.sample(
                text,
                labels,
                "",
                "",
                format_args!("{:.6}", time.as_secs_f64()),
            ),
            Value::Ago(None) => self.sample(text, labels, "", "", format_args!("-1")),
            Value::Ago(Some(ago)) => self.sample(
                text,
                labels,
                "",
                "",
                format_args!("{}", Duration::as_secs(&ago)),
            ),
            Value::Unknown => self.sample(text, labels, "", "", format_args!("NaN")),
            Value::Text(texts) => {
                let shown =
                    |(label, text): &(&str, String)| format!("{label}=\"{}\"", escaped(text));
                let shown: Vec<String> = texts.iter().map(shown).collect();
                self.sample(text, &shown.join(","), "", "", format_args!("1"));
            }
            Value::OneOf(states, current) => {
                for state in states {
                    let holds = u8::from(current == Some(state));
                    self.sample(text, labels, "state", state, format_args!("{holds}"));
                }
            }
            Value::Tally(states, counts) => {
                for (state, count) in states.iter().zip(counts) {
                    self.sample(text, labels, "state", state, format_args!("{count}"));
                }
            }
        }
    }

    fn sample(
        &mut self,
        text: &mut String,
        labels: &str,
        label: &str,
        value: &str,
        number: std::fmt::Arguments<'_>,
    ) {
        const INFALLIBLE: &str = "writing to a String does not fail";
        if !std::mem::replace(&mut self.is_introduced, true) {
            let (name, help, kind) = (&self.name, self.help, self.kind.name());
            writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}").expect(INFALLIBLE);
        }
        text.push_str(&self.name);
        match (labels.is_empty(), label.is_empty()) {
            (true, true) => {}
            (false, true) => write!(text, "{{{labels}}}").expect(INFALLIBLE),
            (true, false) => write!(text, "{{{label}=\"{value}\"}}").expect(INFALLIBLE),
            (false, false) => write!(text, "{{{labels},{label}=\"{value}\"}}").expect(INFALLIBLE),
        }
        writeln!(text, " {number}").expect(INFALLIBLE);
    }
}

/// A label's value as the text format wants it.
fn escaped(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::SystemTime;

    use evenkeel_config::{Balance, OwnPlace, ServerAddress};
    use evenkeel_health::{CheckOutcome, CheckStatus};
    use evenkeel_proxy::{
        Admin, BoundAddress, FrontendStatus, ProcessSnapshot, ServerSnapshot, ServerStatus,
        ServiceSnapshot, Snapshot,
    };

    use super::*;

    pub(crate) fn server(
        name: &str,
        status: ServerStatus,
        last_check: Option<CheckStatus>,
    ) -> ServerSnapshot {
        let outcome = |status| CheckOutcome {
            status,
            info: String::new(),
            code: None,
            has_connected: true,
            cause: None,
            duration: Duration::from_micros(1500),
        };
        ServerSnapshot {
            id: 1,
            name: name.to_owned(),
            address: ServerAddress::Inet("127.0.0.1:1".parse().unwrap()),
            host: String::new(),
            is_host_set: false,
            status,
            service: ServiceSnapshot {
                sessions_total: 7,
                ..ServiceSnapshot::default()
            },
            health: (4, 4),
            rise_fall: (2, 3),
            weight: 1,
            full_weight: 1,
            configured_weight: 1,
            tracked: None,
            backup: false,
            throttle: None,
            queue_limit: None,
            session_limit: None,
            admin: Admin::default(),
            is_disabled_by_file: false,
            is_checked: last_check.is_some(),
            checks_enabled: true,
            last_check: last_check.map(outcome),
            check_failures_total: 0,
            check_place: OwnPlace::default(),
            agent_place: (None, 0),
            observed_failures_total: None,
            agent: None,
        }
    }

    pub(crate) fn view(servers: Vec<ServerSnapshot>) -> View {
        let backend = BackendSnapshot {
            position: 1,
            id: 3,
            name: "kube \"be\"".to_owned(),
            is_up: true,
            service: ServiceSnapshot {
                last_session: Some(Duration::from_millis(2900)),
                ..ServiceSnapshot::default()
            },
            session_limit: 200,
            weight: 2,
            fails_open: false,
            fail_opens_total: 0,
            active_servers: 1,
            backup_servers: 0,
            balance: Balance::RoundRobin,
            servers,
        };
        let frontend = FrontendSnapshot {
            position: 0,
            id: 2,
            name: "fe".to_owned(),
            status: FrontendStatus::Open,
            // On two interfaces.
            addresses: vec![
                BoundAddress {
                    address: "10.0.1.10:6443".parse().unwrap(),
                    present: false,
                };
                2
            ],
            current_sessions: 1,
            max_sessions: 2,
            session_limit: 2000,
            sessions_total: 3,
            connections_total: 3,
            session_rate: 0,
            max_session_rate: 1,
            connection_rate: 0,
            max_connection_rate: 1,
            denied_connections_total: 0,
            denied_sessions_total: 0,
            denied_requests_total: 0,
            bytes_in_total: 10,
            bytes_out_total: 20,
            maxconn_reached_total: 0,
            http: None,
        };
        let process = ProcessSnapshot {
            uptime: Duration::from_secs(7),
            threads: 2,
            maxconn: 2000,
            max_fds: 4032,
            current_connections: 1,
            connections_total: 3,
            connection_rate: 0,
            max_connection_rate: 1,
            dropped_logs_total: 0,
            bytes_out_total: 30,
            stopping: false,
            descriptor_exhausted_total: 0,
            maxconn_reached_total: 0,
            reloads_total: 0,
            failed_reloads_total: 0,
            held_bytes: 0,
            busy_polling: false,
            held_limit_reached_total: 0,
        };
        let proxy = Snapshot {
            resolvers: Vec::new(),
            process,
            frontends: vec![frontend],
            backends: vec![backend],
        };
        View {
            proxy,
            started: SystemTime::UNIX_EPOCH,
            node: "lb1".to_owned(),
            description: "the \"first\"".to_owned(),
            warnings: 0,
        }
    }

    #[track_caller]
    fn check(servers: Vec<ServerSnapshot>, expected: &[&str], absent: &[&str]) {
        let text = print(&view(servers));
        let mut series = BTreeSet::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (name, _) = line.rsplit_once(' ').unwrap();
            assert!(series.insert(name), "{name} stands twice in\n{text}");
        }
        for line in expected {
            assert!(
                text.lines().any(|found| found == *line),
                "no {line} in\n{text}"
            );
        }
        for part in absent {
            assert!(!text.contains(part), "{part} in\n{text}");
        }
    }

    #[test]
    fn every_shape_of_value() {
        check(
            vec![server("a", ServerStatus::Up, Some(CheckStatus::L4Ok))],
            &[
                "# HELP haproxy_process_nbthread Data-plane threads",
                "# TYPE haproxy_process_nbthread gauge",
                "haproxy_process_nbthread 2",
                "evenkeel_node_info{node=\"lb1\",description=\"the \\\"first\\\"\"} 1",
                "haproxy_process_jobs 3",
                "haproxy_frontend_status{proxy=\"fe\",state=\"UP\"} 1",
                "haproxy_frontend_status{proxy=\"fe\",state=\"DOWN\"} 0",
                "haproxy_backend_last_session_seconds{proxy=\"kube \\\"be\\\"\"} 2",
                "haproxy_server_last_session_seconds{proxy=\"kube \\\"be\\\"\",server=\"a\"} -1",
                "haproxy_server_limit_sessions{proxy=\"kube \\\"be\\\"\",server=\"a\"} NaN",
                "haproxy_server_check_duration_seconds{proxy=\"kube \\\"be\\\"\",server=\"a\"} 0.001500",
                "haproxy_server_check_status{proxy=\"kube \\\"be\\\"\",server=\"a\",state=\"L4OK\"} 1",
                "haproxy_server_check_status{proxy=\"kube \\\"be\\\"\",server=\"a\",state=\"L4CON\"} 0",
                "evenkeel_bind_address_present{proxy=\"fe\",address=\"10.0.1.10:6443\"} 0",
            ],
            &[],
        );
    }

    #[test]
    fn servers_are_counted_by_state() {
        let servers = vec![
            server("up", ServerStatus::Up, Some(CheckStatus::L4Ok)),
            server("zero", ServerStatus::Drain, Some(CheckStatus::L4Ok)),
            server("down", ServerStatus::Down, Some(CheckStatus::L4Connection)),
            server("off", ServerStatus::Maint, Some(CheckStatus::L4Ok)),
            server("unchecked", ServerStatus::NoCheck, None),
        ];
        let line = |name: &str, state: &str, count: u32| {
            format!("haproxy_backend_{name}{{proxy=\"kube \\\"be\\\"\",state=\"{state}\"}} {count}")
        };
        let expected = [
            line("agg_server_status", "UP", 2),
            line("agg_server_status", "DOWN", 1),
            line("agg_server_status", "MAINT", 1),
            line("agg_server_status", "DRAIN", 1),
            line("agg_check_status", "L4OK", 2),
            line("agg_check_status", "L4CON", 1),
        ];
        check(
            servers,
            &expected.each_ref().map(String::as_str),
            &[
                "haproxy_server_check_status{proxy=\"kube \\\"be\\\"\",server=\"off\"",
                "haproxy_server_check_status{proxy=\"kube \\\"be\\\"\",server=\"unchecked\"",
            ],
        );
    }

    #[test]
    fn a_metric_without_samples_is_not_introduced() {
        let unchecked = vec![server("unchecked", ServerStatus::NoCheck, None)];
        check(
            unchecked,
            &[
                "haproxy_server_check_failures_total{proxy=\"kube \\\"be\\\"\",server=\"unchecked\"} NaN",
            ],
            &[
                "# TYPE haproxy_server_check_status",
                "# TYPE haproxy_server_check_duration_seconds",
            ],
        );
    }

    #[test]
    fn name_servers_have_haproxys_names_for_their_counters() {
        let mut view = view(Vec::new());
        let counts = evenkeel_health::NameTally::default().counts();
        for ((name, _), (counter, _)) in RESOLVER.into_iter().zip(counts) {
            assert_eq!(name, counter.replace("snd_error", "send_error"));
        }
        let mut number = 0;
        let numbered = counts.map(|(counter, _)| {
            number += 1;
            (counter, number)
        });
        view.proxy.resolvers = vec![evenkeel_proxy::ResolversSnapshot {
            name: "cluster".to_owned(),
            nameservers: vec![("dns\"1".to_owned(), numbered)],
        }];
        let text = print(&view);
        let timeouts = "haproxy_resolver_timeout{resolver=\"cluster\",nameserver=\"dns\\\"1\"} 9";
        assert!(text.lines().any(|line| line == timeouts), "{text}");
        assert!(text.contains("# TYPE haproxy_resolver_sent gauge\n"));
    }

    #[test]
    fn each_metric_is_introduced_once() {
        let text = print(&view(vec![
            server("a", ServerStatus::Up, None),
            server("b", ServerStatus::Up, None),
        ]));
        let mut names: Vec<&str> = text
            .lines()
            .filter_map(|line| line.strip_prefix("# TYPE "))
            .collect();
        let all = names.len();
        assert!(all > 100, "{all}");
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}
