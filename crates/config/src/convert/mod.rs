//! Writes a configuration as TOML of the same meaning: every value that differs from the TOML
//! language's own defaults, and a comment for each line of the input that has no effect.
//!
//! Values come from the resolved [`Config`]; addresses and names that are looked up come from the
//! [`Draft`], as the operator wrote them.

mod health;
mod load;
mod net;
mod privileges;
mod resolvers;
mod rules;
mod runtime;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use self::table::{Table, one_or_list};
use crate::draft::{
    BackendDraft, BindDraft, Draft, FrontendDraft, InitAddr, LogDraft, ProxyLog, ServerDraft,
    Spanned,
};
use crate::toml::{
    default_fastinter, default_log_format, show_key, show_limit, show_text, show_time,
};
use crate::words::{FACILITIES, LEVELS, Word};
use crate::{
    Backend, Check, CheckKind, Config, Environment, Frontend, Global, LogHost, LogTarget, Place,
    Problem, Redispatch, Server, Source, in_order, read, resolve, toml,
};

/// Writes what `sources` say as TOML with the same meaning.
///
/// # Errors
/// Whatever keeps them from loading.
pub fn convert(sources: &[Source], environment: &Environment<'_>) -> Result<String, Vec<Problem>> {
    let converted = read(sources, environment).and_then(|draft| {
        let loaded = resolve::resolve(draft.clone(), environment)?;
        let defaults = defaults(environment);
        Ok(write(&draft, &loaded.config, &loaded.warnings, &defaults))
    });
    converted.map_err(|problems| in_order(problems, sources))
}

/// What a TOML file means that leaves out all it can: one frontend, one backend, one server.
fn defaults(environment: &Environment<'_>) -> Config {
    const SHORTEST: &str =
        "frontend.f = { bind = ':1', backend = 'b' }\nbackend.b.servers.s = '127.0.0.1:1'";
    let source = Source {
        name: String::new(),
        text: SHORTEST.into(),
    };
    let loaded = resolve::resolve(toml::read(&[&source]), environment);
    loaded.expect("the shortest file is complete").config
}

fn write(draft: &Draft, config: &Config, warnings: &[Problem], defaults: &Config) -> String {
    let mut page = remarks(&draft.without_effect, warnings);
    for frontend in config
        .frontends
        .iter()
        .filter(|frontend| frontend.http.is_some())
    {
        page.push_str(&format!(
            "# {}: '{}' answers HTTP by itself, which is left out: [admin] serves /healthz, \
             /metrics and /stats\n",
            frontend.place, frontend.name
        ));
    }
    let mut admin = Table::new("admin");
    let listen = config.global.admin;
    admin.set_some("listen", listen.map(|at| show_text(&at.to_string())));
    runtime::runtime(
        &mut admin,
        &draft.global.runtime.sockets,
        &config.global.runtime,
        &defaults.global.runtime,
    );
    if !admin.rows.is_empty() {
        admin.print(&mut page);
    }
    let global = global(&draft.global.logs, &config.global, &defaults.global);
    if !global.rows.is_empty() {
        global.print(&mut page);
    }
    resolvers::print(&draft.resolvers, &config.resolvers, &mut page);
    for section in in_file_order(draft, config) {
        let id = section.says_id.then_some(section.id);
        match section.proxy {
            Proxy::Frontend(draft, frontend) => {
                let backend = frontend.default_backend.map(|id| &*config.backend(id).name);
                let mut table =
                    self::frontend(id, draft, frontend, backend, &defaults.frontends[0]);
                rules::set_frontend(&mut table, frontend, config);
                table.print(&mut page);
            }
            Proxy::Backend(draft, backend) => {
                let (table, servers) = self::backend(id, draft, backend, &defaults.backends[0]);
                if !table.rows.is_empty() || servers.rows.is_empty() {
                    table.print(&mut page);
                }
                if !servers.rows.is_empty() {
                    servers.print(&mut page);
                }
            }
        }
    }
    page
}

/// What the new file cannot say: lines without effect and why, and whatever else was warned of.
fn remarks(without_effect: &[Spanned<String>], warnings: &[Problem]) -> String {
    // By place: a line of a defaults section counts once, however many sections inherit it.
    let mut remarks: BTreeMap<&Place, (Option<&str>, BTreeSet<&str>)> = BTreeMap::new();
    for line in without_effect {
        remarks.entry(&line.place).or_default().0 = Some(&line.value);
    }
    for warning in warnings {
        let remark = remarks.entry(&warning.place).or_default();
        remark.1.insert(&warning.message);
    }
    let mut page = String::new();
    for (place, (line, reasons)) in remarks {
        let mut texts: Vec<String> = Vec::from_iter(line.map(|line| format!("no effect: {line}")));
        texts.extend(reasons.into_iter().map(str::to_owned));
        let text = texts.join("\n#     ");
        let shown = text.replace(|c: char| c.is_control() && c != '\n', " ");
        page.push_str(&format!("# {place}: {shown}\n"));
    }
    page
}

/// One section of the file to write.
struct Section<'a> {
    position: usize,
    id: u32,
    /// Whether counting sections would not give it its id.
    says_id: bool,
    proxy: Proxy<'a>,
}

impl Section<'_> {
    /// Its position, if it answers HTTP by itself.
    fn answers(&self) -> Option<usize> {
        match self.proxy {
            Proxy::Frontend(_, frontend) => frontend.http.as_ref().map(|_| self.position),
            Proxy::Backend(..) => None,
        }
    }
}

enum Proxy<'a> {
    Frontend(&'a FrontendDraft, &'a Frontend),
    Backend(&'a BackendDraft, &'a Backend),
}

fn in_file_order<'a>(draft: &'a Draft, config: &'a Config) -> Vec<Section<'a>> {
    let section = |position, id, proxy| Section {
        position,
        id,
        says_id: false,
        proxy,
    };
    let frontends = draft.frontends.iter().zip(&config.frontends);
    let frontends = frontends
        .map(|(draft, made)| section(draft.position, made.id, Proxy::Frontend(draft, made)));
    let backends = draft.backends.iter().zip(&config.backends);
    let backends =
        backends.map(|(draft, made)| section(draft.position, made.id, Proxy::Backend(draft, made)));
    let mut sections: Vec<_> = frontends.chain(backends).collect();
    // What answers by itself is left out, a `listen` with both halves.
    let answering: BTreeSet<usize> = sections.iter().filter_map(Section::answers).collect();
    sections.retain(|section| !answering.contains(&section.position));
    // Stable: the frontend of a `listen` stays before its backend.
    sections.sort_by_key(|section| section.position);
    let counted = |(id, section): (u32, &Section<'_>)| section.id == id;
    if !(2..).zip(&sections).all(counted) {
        sections
            .iter_mut()
            .for_each(|section| section.says_id = true);
    }
    sections
}

fn global(logs: &[LogDraft], global: &Global, default: &Global) -> Table {
    let mut table = Table::new("global");
    table.set_some("maxconn", global.maxconn);
    table.set_some("threads", global.threads);
    table.set_if(global.relay != default.relay, "relay", quoted(global.relay));
    table.set_if(
        global.pipe_bytes != default.pipe_bytes,
        "pipe-bytes",
        global.pipe_bytes,
    );
    table.set_if(
        global.busy_polling != default.busy_polling,
        "busy-polling",
        quoted(global.busy_polling),
    );
    table.set_if(
        global.busy_polling_share != default.busy_polling_share,
        "busy-polling-share",
        global.busy_polling_share,
    );
    table.set_limit(
        "hard-stop-after",
        global.hard_stop_after,
        default.hard_stop_after,
    );
    table.set_if(
        global.spread_checks != default.spread_checks,
        "spread-checks",
        global.spread_checks,
    );
    table.set_limit(
        "max-spread-checks",
        global.max_spread_checks,
        default.max_spread_checks,
    );
    if global.log != default.log {
        let targets = logs.iter().zip(&global.log);
        let targets = targets.map(|(draft, made)| log_target(draft, made, &default.log[0]));
        table.set("log", one_or_list(targets.collect()));
    }
    table.set_if(
        global.log_tag != default.log_tag,
        "log-tag",
        show_text(&global.log_tag),
    );
    let mut hosts = global.log.iter().map(|target| &target.host);
    match hosts.find(|host| **host != LogHost::Nobody) {
        Some(LogHost::Named(name)) => table.set("log-send-hostname", show_text(name)),
        Some(_) => table.set("log-send-hostname", "true".to_owned()),
        None => {}
    }
    let pidfile = global.pidfile.as_ref();
    table.set_some(
        "pidfile",
        pidfile.map(|path| show_text(&path.to_string_lossy())),
    );
    table.set_if(global.daemon, "daemon", true);
    privileges::privileges(&mut table, global);
    table.set_if(!global.node.is_empty(), "node", show_text(&global.node));
    table.set_if(
        !global.description.is_empty(),
        "description",
        show_text(&global.description),
    );
    table
}

fn frontend(
    id: Option<u32>,
    draft: &FrontendDraft,
    frontend: &Frontend,
    backend: Option<&str>,
    default: &Frontend,
) -> Table {
    let mut table = Table::new(&format!("frontend.{}", show_key(&frontend.name)));
    table.set_some("id", id);
    let user_timeout = |bind: &BindDraft| bind.tcp_user_timeout.as_ref().map(|time| time.value);
    let usual = draft
        .binds
        .first()
        .map(|bind| show_limit(nonzero(user_timeout(bind))));
    let usual = usual.filter(|usual| {
        let own = |bind: &BindDraft| show_limit(nonzero(user_timeout(bind)));
        draft.binds.iter().all(|bind| own(bind) == *usual)
    });
    let default_user_timeout = show_limit(default.binds[0].tcp_user_timeout);
    let usual = usual.unwrap_or_else(|| default_user_timeout.clone());
    table.set(
        "bind",
        one_or_list(
            draft
                .binds
                .iter()
                .map(|draft| bind(draft, &usual))
                .collect(),
        ),
    );
    table.set(
        "backend",
        backend.map_or_else(|| "false".to_owned(), show_text),
    );
    table.set_some("maxconn", frontend.maxconn);
    table.set_some("backlog", frontend.backlog);
    table.set_limit(
        "timeout.client",
        frontend.client_timeout,
        default.client_timeout,
    );
    table.set_limit(
        "timeout.client-fin",
        frontend.client_fin_timeout,
        default.client_fin_timeout,
    );
    table.set_keepalive(frontend.client_keepalive, default.client_keepalive);
    table.set_if(usual != default_user_timeout, "tcp-user-timeout", &usual);
    let targets = &frontend.log.targets;
    table.set_some("log", logs(&draft.logs, targets, &default.log.targets[0]));
    let format = frontend.log.format;
    table.set_if(format != default.log.format, "log-format", quoted(format));
    table.set_text("log-line", &draft.log_lines.custom);
    table.set_text("log-structured-data", &draft.log_lines.structured);
    table.set_if(frontend.log.skip_normal, "dontlog-normal", true);
    table.set_if(frontend.log.as_soon_as_possible, "logasap", true);
    table.set_if(frontend.log.errors_apart, "log-separate-errors", true);
    let skip_null = frontend.log.skip_null;
    table.set_if(skip_null != default.log.skip_null, "dontlognull", skip_null);
    table.set_text("log-tag", &draft.log_tag);
    table.set_if(frontend.disabled, "disabled", true);
    table
}

/// One address, `usual` being the user timeout that need not be said.
fn bind(draft: &BindDraft, usual: &str) -> String {
    let mut table = Table::new("");
    table.set("address", show_text(&draft.address.value));
    table.set_text("name", &draft.name);
    table.set_number("maxconn", &draft.maxconn);
    table.set_number("backlog", &draft.backlog);
    table.set_text("interface", &draft.interface);
    table.set_some(
        "ip-versions",
        draft.ip_versions.as_ref().map(|said| quoted(said.value)),
    );
    table.set_some(
        "transparent",
        draft.transparent.as_ref().map(|said| said.value),
    );
    privileges::access(&mut table, &draft.access);
    let own = draft.tcp_user_timeout.as_ref().map(|time| time.value);
    let own = show_limit(nonzero(own));
    table.set_if(own != usual, "tcp-user-timeout", own);
    net::set_bind(&mut table, &draft.net);
    table.short()
}

/// The table of a backend and that of its servers. What all servers share is said once.
fn backend(
    id: Option<u32>,
    draft: &BackendDraft,
    backend: &Backend,
    default: &Backend,
) -> (Table, Table) {
    let mut table = Table::new(&format!("backend.{}", show_key(&backend.name)));
    table.set_some("id", id);
    let balance = &backend.balance;
    table.set_if(
        *balance != default.balance,
        "balance",
        show_text(&balance.to_string()),
    );
    let type_words = backend.hashing.type_words();
    table.set_if(
        type_words != default.hashing.type_words(),
        "hash-type",
        show_text(&type_words),
    );
    table.set_some("hash-balance-factor", backend.hashing.balance_factor);
    table.set_if(
        backend.retries != default.retries,
        "retries",
        backend.retries,
    );
    let saved = backend.saved_state.as_ref();
    let saved = saved.map(|path| show_text(&path.to_string_lossy()));
    table.set_some("server-state", saved);
    if backend.redispatch != default.redispatch {
        table.set(
            "redispatch",
            match backend.redispatch {
                Redispatch::Never => "false".to_owned(),
                Redispatch::WhenFree => "\"when-free\"".to_owned(),
                Redispatch::Always { interval } => interval.to_string(),
            },
        );
    }
    table.set_if(backend.all_backups, "allbackups", true);
    health::set_policy(&mut table, backend, default);
    table.set_limit(
        "timeout.connect",
        backend.connect_timeout,
        default.connect_timeout,
    );
    table.set_limit(
        "timeout.server",
        backend.server_timeout,
        default.server_timeout,
    );
    table.set_limit(
        "timeout.server-fin",
        backend.server_fin_timeout,
        default.server_fin_timeout,
    );
    table.set_limit(
        "timeout.tunnel",
        backend.tunnel_timeout,
        default.tunnel_timeout,
    );
    load::set_queueing(&mut table, draft, backend);
    table.set_keepalive(backend.server_keepalive, default.server_keepalive);
    table.set_some("log", logs(&draft.logs, &backend.log, &default.log[0]));
    table.set_text("log-tag", &draft.log_tag);
    table.set_if(backend.disabled, "disabled", true);
    rules::set_backend(&mut table, backend);

    let made = draft.servers.iter().zip(&backend.servers);
    let mut servers: Vec<Table> = made
        .map(|(draft, made)| server(draft, made, &default.servers[0]))
        .collect();
    let default_check = default.servers[0]
        .check
        .as_ref()
        .expect("checked by default");
    if backend.servers.iter().any(|server| server.check.is_some()) {
        let kind = draft
            .check
            .as_ref()
            .map_or(CheckKind::Connect, |said| said.value.kind);
        table.set_if(
            kind != default_check.script.kind,
            "check.kind",
            quoted(kind),
        );
        health::set_check(&mut table, draft);
        let timeout = nonzero(draft.check_timeout.as_ref().map(|said| said.value));
        table.set_limit("check.timeout", timeout, Some(default_check.read_timeout));
    }
    hoist(&mut servers, &mut table);
    // What is said about checks stays together.
    table.rows.sort_by_key(|(key, _)| key.starts_with("check"));

    let mut list = Table::new(&format!("backend.{}.servers", show_key(&backend.name)));
    for (server, table) in backend.servers.iter().zip(&servers) {
        list.rows.push((show_key(&server.name), table.short()));
    }
    (table, list)
}

fn server(draft: &ServerDraft, server: &Server, default: &Server) -> Table {
    let options = &draft.options;
    let mut table = Table::new("");
    table.set("address", show_text(&draft.address.value));
    table.set_number("id", &options.id);
    table.set_if(server.weight != default.weight, "weight", server.weight);
    table.set_if(server.backup, "backup", true);
    // Not the server's: one without an address is disabled too, until its name is found.
    let is_disabled = options.disabled.as_ref().is_some_and(|said| said.value);
    table.set_if(is_disabled, "disabled", true);
    table.set_limit(
        "tcp-user-timeout",
        server.tcp_user_timeout,
        default.tcp_user_timeout,
    );
    let on_marked_down = server.on_marked_down;
    table.set_if(
        on_marked_down != default.on_marked_down,
        "on-marked-down",
        quoted(on_marked_down),
    );
    load::set_load(&mut table, &options.load, server);
    let node_key = server.node_key;
    table.set_if(node_key != default.node_key, "hash-key", quoted(node_key));
    let methods = options.init_addr.as_ref().map(|said| {
        let shown: Vec<String> = said.value.iter().map(init_addr).collect();
        format!("[{}]", shown.join(", "))
    });
    table.set_some("init-addr", methods);
    net::set_server(&mut table, server);
    let resolution = &draft.options.net.resolution;
    resolvers::set_server(&mut table, resolution, server.resolution.as_ref());
    health::set_server(&mut table, draft);
    match (&server.check, &default.check) {
        (Some(check), Some(default)) => set_check(&mut table, draft, check, default),
        _ => table.set("check", "false".to_owned()),
    }
    table
}

fn set_check(table: &mut Table, draft: &ServerDraft, check: &Check, default: &Check) {
    let time = |time| format!("\"{}\"", show_time(time));
    let fastinter = check.fastinter;
    table.set_if(
        check.inter != default.inter,
        "check.inter",
        time(check.inter),
    );
    table.set_if(
        fastinter != default_fastinter(check.inter),
        "check.fastinter",
        time(fastinter),
    );
    table.set_if(
        check.downinter != check.inter,
        "check.downinter",
        time(check.downinter),
    );
    table.set_if(check.rise != default.rise, "check.rise", check.rise);
    table.set_if(check.fall != default.fall, "check.fall", check.fall);
    table.set_number("check.port", &draft.options.check_port);
    table.set_text("check.address", &draft.options.check_address);
    health::set_tls(table, &draft.options.check_tls);
    let options = &draft.options;
    let is_elsewhere = options.check_port.is_some() || options.check_address.is_some();
    net::set_check(table, check, &options.net.send_proxy, is_elsewhere);
}

fn init_addr(method: &InitAddr) -> String {
    match method {
        InitAddr::Last => "\"last\"".to_owned(),
        InitAddr::Libc => "\"libc\"".to_owned(),
        InitAddr::None => "\"none\"".to_owned(),
        InitAddr::Ip(ip) => format!("\"{ip}\""),
    }
}

/// Moves to the backend's table what every server says alike, if a backend can say it. Servers
/// that are not checked have no say in how the others are.
fn hoist(servers: &mut [Table], backend: &mut Table) {
    const OF_ONE_SERVER: [&str; 5] = ["address", "id", "backup", "disabled", "track"];
    let is_unchecked = |table: &Table| table.rows.iter().any(|(key, _)| key == "check");
    let Some(sample) = servers
        .iter()
        .find(|table| !is_unchecked(table))
        .or(servers.first())
    else {
        return;
    };
    for row in sample.rows.clone() {
        let concerns_all = !row.0.starts_with("check.");
        let is_shared =
            |table: &Table| table.rows.contains(&row) || (!concerns_all && is_unchecked(table));
        if !OF_ONE_SERVER.contains(&&*row.0) && servers.iter().all(is_shared) {
            servers
                .iter_mut()
                .for_each(|table| table.rows.retain(|own| *own != row));
            backend.rows.push(row);
        }
    }
}

/// The targets of a proxy; nothing where they are simply those of the global section.
fn logs(drafts: &[ProxyLog], targets: &[LogTarget], default: &LogTarget) -> Option<String> {
    if matches!(drafts, [ProxyLog::Global]) {
        return None;
    }
    let own = drafts
        .iter()
        .filter(|log| matches!(log, ProxyLog::Own(_)))
        .count();
    let globals = drafts.len() - own;
    let per_global = (targets.len() - own).checked_div(globals).unwrap_or(0);
    let mut rest = targets;
    let mut shown = Vec::with_capacity(drafts.len());
    for draft in drafts {
        let count = if matches!(draft, ProxyLog::Global) {
            per_global
        } else {
            1
        };
        let (these, others) = rest.split_at(count);
        rest = others;
        shown.push(match draft {
            ProxyLog::Global => "\"global\"".to_owned(),
            ProxyLog::Own(draft) => log_target(draft, &these[0], default),
        });
    }
    Some(one_or_list(shown))
}

fn log_target(draft: &LogDraft, target: &LogTarget, default: &LogTarget) -> String {
    let mut table = Table::new("");
    table.set("to", show_text(&draft.address.value));
    let says_format = match default_log_format(&draft.address.value) {
        Some(format) => format != target.format,
        None => draft.format.is_some(),
    };
    table.set_if(says_format, "format", quoted(target.format));
    let name = |names: &[&str], index: u8| show_text(names[usize::from(index)]);
    table.set_if(
        target.facility != default.facility,
        "facility",
        name(&FACILITIES, target.facility),
    );
    table.set_if(
        target.max_level != default.max_level,
        "max-level",
        name(&LEVELS, target.max_level),
    );
    table.set_if(
        target.min_level != default.min_level,
        "min-level",
        name(&LEVELS, target.min_level),
    );
    table.set_if(
        target.max_length != default.max_length,
        "max-length",
        target.max_length,
    );
    table.short()
}

fn quoted(word: impl Word) -> String {
    format!("\"{}\"", word.word())
}

fn nonzero(time: Option<Duration>) -> Option<Duration> {
    time.filter(|time| !time.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load;
    use crate::toml::tests::{EVERY_KEY, EVERYTHING_OFF, MINIMAL, environment};

    fn source(name: &str, text: &str) -> Source {
        Source {
            name: name.to_owned(),
            text: text.into(),
        }
    }

    /// Converts `text`; what comes out means the same.
    #[track_caller]
    fn check(text: &str) -> String {
        let before = [source("lb.toml", text)];
        let written = convert(&before, &environment()).unwrap();
        let after = load(&[source("new.toml", &written)], &environment());
        let after = after.unwrap_or_else(|problems| panic!("{problems:#?}\n{written}"));
        let before = load(&before, &environment()).unwrap();
        assert_eq!(
            after.config.without_places(),
            before.config.without_places(),
            "{written}"
        );
        written
    }

    #[test]
    fn what_is_said_by_default_is_not_written() {
        assert_eq!(check(MINIMAL), MINIMAL.trim_start());
    }

    #[test]
    fn every_key_survives() {
        check(EVERY_KEY);
        check(EVERYTHING_OFF);
    }

    #[test]
    fn what_servers_share_is_said_once() {
        let written = check(
            "[backend.b.servers]\n\
             a = { address = '10.0.0.1:1', weight = 5, check = { inter = '3s', rise = 7 } }\n\
             b = { address = '10.0.0.2:1', weight = 5, check = { inter = '3s', rise = 9 } }\n\
             c = { address = '10.0.0.3:1', weight = 5, check = false }\n",
        );
        let expected = "[backend.b]\n\
             weight = 5\n\
             check.inter = \"3s\"\n\
             \n\
             [backend.b.servers]\n\
             a = { address = \"10.0.0.1:1\", check.rise = 7 }\n\
             b = { address = \"10.0.0.2:1\", check.rise = 9 }\n\
             c = { address = \"10.0.0.3:1\", check = false }\n";
        assert_eq!(written, expected);
    }

    #[test]
    fn names_that_are_no_bare_keys_are_quoted() {
        check(
            "[frontend.'a.b']\nbind = ':1'\nbackend = 'u:u'\n\
             [backend.'u:u'.servers]\n'1.2' = '10.0.0.1:1'",
        );
    }

    #[test]
    fn a_listen_section_keeps_its_one_id() {
        let written = check(
            "[frontend.a]\nid = 2\nbind = ':1'\nbackend = 'a'\n[backend.a]\nid = 2\n\
             [frontend.b]\nid = 7\nbind = ':2'\nbackend = 'a'",
        );
        assert_eq!(written.matches("id = ").count(), 3, "{written}");
    }

    #[test]
    fn what_does_not_load_is_not_converted() {
        let broken = source("lb.toml", "[frontend.a]\nbind = ':1'");
        let problems = convert(&[broken], &environment()).unwrap_err();
        assert!(
            problems[0]
                .to_string()
                .starts_with("lb.toml:1:11: frontend 'a' has no backend")
        );
    }
}
