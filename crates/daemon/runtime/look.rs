//! The commands that only look.

use std::fmt::Write as _;

use evenkeel_config::{AccessLevel, ServerAddress};
use evenkeel_proxy::{BackendSnapshot, ServerSnapshot};

use super::{Reply, Scene};
use crate::stat::{self, Row, Wanted};

const INFALLIBLE: &str = "writing to a String does not fail";

/// `show stat [<proxy> <kinds> <server>] [desc|json|no-maint|typed|up]*`.
pub(super) fn stat(scene: &Scene<'_>, arguments: &[&str]) -> Reply {
    let has = |word: &str| arguments.contains(&word);
    let mut wanted = Wanted {
        only_up: has("up"),
        hides_maint: has("no-maint"),
        // Where servers are is not everybody's business.
        shows_details: scene.level >= AccessLevel::Operator,
        ..Wanted::ALL
    };
    let is_word = |word: &str| matches!(word, "desc" | "json" | "no-maint" | "typed" | "up");
    if let [proxy, kinds, server, ..] = arguments
        && !is_word(proxy)
        && !is_word(kinds)
    {
        wanted.kinds = kinds.parse().unwrap_or(0);
        wanted.server = server.parse().ok().filter(|&server: &i64| server >= 0);
        match proxy_id(scene, proxy) {
            Some(id) => wanted.proxy = id,
            None => return Reply::refused("No such proxy."),
        }
    }
    let snapshot = &scene.view.proxy;
    Reply::Text(if has("json") {
        stat::json(snapshot, &wanted)
    } else if has("typed") {
        stat::typed(snapshot, &wanted, has("desc"))
    } else {
        stat::csv(snapshot, &wanted)
    })
}

/// The proxy that a name, an id or `-1` (all) means; `None`: there is no such.
fn proxy_id(scene: &Scene<'_>, text: &str) -> Option<Option<u32>> {
    let rows = stat::rows(&scene.view.proxy, &Wanted::ALL);
    let named = rows.iter().find(|row| row.proxy() == text);
    if let Some(row) = named {
        return Some(Some(row.ids().0));
    }
    match text.parse::<i64>() {
        Ok(id) if id < 0 => Some(None),
        // A number that no proxy has selects nothing.
        Ok(id) => Some(Some(u32::try_from(id).unwrap_or(u32::MAX))),
        Err(_) => None,
    }
}

/// `show backend`.
pub(super) fn backends(scene: &Scene<'_>, _: &[&str]) -> Reply {
    let mut text = String::from("# name\n");
    for row in stat::rows(&scene.view.proxy, &Wanted::ALL) {
        if let Row::Backend(backend) = row {
            writeln!(text, "{}", backend.name).expect(INFALLIBLE);
        }
    }
    Reply::Text(text)
}

/// `show cli sockets`.
pub(super) fn sockets(scene: &Scene<'_>, _: &[&str]) -> Reply {
    let mut text = String::from("# socket lvl processes\n");
    for (address, level) in &scene.facts.sockets {
        writeln!(text, "{address} {} all", level.name()).expect(INFALLIBLE);
    }
    Reply::Text(text)
}

/// `show env [name]`.
pub(super) fn environment(_: &Scene<'_>, arguments: &[&str]) -> Reply {
    let shown = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        format!("{}={}\n", name.to_string_lossy(), value.to_string_lossy())
    };
    match arguments {
        [] => Reply::Text(std::env::vars_os().map(shown).collect()),
        [name, ..] => match std::env::var_os(name) {
            Some(value) => Reply::Text(shown(((*name).into(), value))),
            None => Reply::refused("Variable not found"),
        },
    }
}

/// `show errors`: what HAProxy's parsers captured; TCP is not parsed.
pub(super) fn errors(_: &Scene<'_>, _: &[&str]) -> Reply {
    let now = jiff::Zoned::now()
        .strftime("%d/%b/%Y:%H:%M:%S%.3f")
        .to_string();
    Reply::Text(format!("Total events captured on [{now}] : 0\n"))
}

/// `show resolvers [<section>]`: what came of asking each name server.
pub(super) fn resolvers(scene: &Scene<'_>, arguments: &[&str]) -> Reply {
    let wanted = arguments.first();
    let sections = scene.view.proxy.resolvers.iter();
    let shown: Vec<_> = sections
        .filter(|section| wanted.is_none_or(|name| *name == section.name))
        .collect();
    if shown.is_empty() {
        return Reply::refused(match wanted {
            Some(_) => "Can't find that resolvers section",
            None => "No resolvers found",
        });
    }
    let mut text = String::new();
    for section in shown {
        writeln!(text, "Resolvers section {}", section.name).expect(INFALLIBLE);
        for (name, counts) in &section.nameservers {
            writeln!(text, " nameserver {name}:").expect(INFALLIBLE);
            for (counter, count) in counts {
                writeln!(text, "  {:<13}{count}", format!("{counter}:")).expect(INFALLIBLE);
            }
        }
    }
    Reply::Text(text)
}

/// `show startup-logs`.
pub(super) fn startup_logs(scene: &Scene<'_>, _: &[&str]) -> Reply {
    let lines = scene.facts.warnings.iter();
    Reply::Text(lines.map(|line| format!("[WARNING]  {line}\n")).collect())
}

/// `show table`: there are none to list, and none of any name.
pub(super) fn tables(_: &Scene<'_>, arguments: &[&str]) -> Reply {
    if arguments.is_empty() {
        Reply::Done
    } else {
        Reply::refused("No such table")
    }
}

/// `show version`.
pub(super) fn version(_: &Scene<'_>, _: &[&str]) -> Reply {
    Reply::Text(format!("{}\n", env!("CARGO_PKG_VERSION")))
}

/// `show schema json`: a JSON schema of what `show stat json` and `show info json` print.
pub(super) fn schema(_: &Scene<'_>, _: &[&str]) -> Reply {
    Reply::Text(include_str!("schema.json").to_owned())
}

/// The backends that a command is about: one by name, or all; `None`: there is no such.
fn chosen<'a>(scene: &'a Scene<'_>, arguments: &[&str]) -> Option<Vec<&'a BackendSnapshot>> {
    let rows = stat::rows(&scene.view.proxy, &Wanted::ALL);
    let backends = rows.into_iter().filter_map(|row| match row {
        Row::Backend(backend) => Some(backend),
        _ => None,
    });
    match arguments.first() {
        None => Some(backends.collect()),
        Some(name) => backends
            .into_iter()
            .find(|backend| backend.name == *name)
            .map(|backend| vec![backend]),
    }
}

const NO_BACKEND: &str = "Can't find backend.";

/// `show servers state [<backend>]`: version 1 of HAProxy's format.
pub(super) fn servers_state(scene: &Scene<'_>, arguments: &[&str]) -> Reply {
    match chosen(scene, arguments) {
        Some(backends) => Reply::Text(super::servers::state(&backends)),
        None => Reply::refused(NO_BACKEND),
    }
}

/// `show servers conn [<backend>]`.
pub(super) fn servers_conn(scene: &Scene<'_>, arguments: &[&str]) -> Reply {
    let Some(backends) = chosen(scene, arguments) else {
        return Reply::refused(NO_BACKEND);
    };
    let threads = scene.view.proxy.process.threads;
    let mut text = format!(
        "# bkname/svname bkid/svid addr port - purge_delay used_cur used_max need_est unsafe_nb safe_nb idle_lim idle_cur idle_per_thr[{threads}]\n"
    );
    for backend in backends {
        for server in &backend.servers {
            let (ip, port) = ip_and_port(server);
            let (used, most) = (server.service.current_sessions, server.service.max_sessions);
            write!(
                text,
                "{}/{} {}/{} {ip} {port} - 5000 {used} {most} {most} 0 0 -1 0",
                backend.name, server.name, backend.id, server.id
            )
            .expect(INFALLIBLE);
            // No connection waits to be used again.
            text.push_str(&" 0".repeat(threads));
            text.push('\n');
        }
    }
    Reply::Text(text)
}

/// A server's address in two words.
pub(super) fn ip_and_port(server: &ServerSnapshot) -> (String, u16) {
    match &server.address {
        // It has none yet.
        ServerAddress::Inet(address) if address.ip().is_unspecified() => {
            ("-".to_owned(), address.port())
        }
        ServerAddress::Inet(address) => (address.ip().to_string(), address.port()),
        // By how much it is moved, as HAProxy counts: in 16 bits.
        ServerAddress::Mapped { ip, offset } => (ip.to_string(), offset.rem_euclid(1 << 16) as u16),
        ServerAddress::Unix(path) => (path.display().to_string(), 0),
        ServerAddress::Abstract(name) => (format!("abns@{}", String::from_utf8_lossy(name)), 0),
    }
}
