//! The TOML reader, for those who start fresh: the same draft as haproxy.cfg gives, with defaults
//! for a Kubernetes control plane. Knows the grammar of a file, the global section and logs; the
//! sections about proxies are in `proxies`.

pub(crate) mod fields;
mod health;
mod keys;
mod net;
mod privileges;
mod proxies;
mod resolvers;
mod rules;
mod runtime;
pub(crate) mod sections;
pub(crate) mod values;

use std::ops::RangeInclusive;
use std::path::PathBuf;

use ::toml::de::{DeTable, DeValue};

use self::fields::{Entry, Fields, File, read_tables};
pub use self::keys::toml_markdown;
pub(crate) use self::proxies::default_fastinter;
use self::proxies::{backend, frontend};
use self::values::{flag, index, limit, must_be, text, whole, word};
pub(crate) use self::values::{show_key, show_limit, show_text, show_time};
use crate::draft::{Draft, GlobalDraft, LogDraft, Maybe, ProxyLog, Spanned};
use crate::units::PIPE_BYTES;
use crate::words::{FACILITIES, LEVELS};
use crate::{LogFormat, LogHost, Place, Source};

/// What a number that counts something may be.
const ANY_COUNT: RangeInclusive<i64> = 1..=u32::MAX as i64;

/// How a target's lines are framed where the file does not say.
pub(crate) fn default_log_format(address: &str) -> Option<LogFormat> {
    match address {
        "stdout" | "stderr" => Some(LogFormat::Auto),
        fd if fd.starts_with("fd@") => Some(LogFormat::Short),
        _ => None,
    }
}

/// Reads every file as one configuration.
pub(crate) fn read(sources: &[&Source]) -> Draft {
    let mut draft = Draft::default();
    let mut problems = Vec::new();
    let mut logs = None;
    for source in sources {
        problems.extend(read_tables(source, |file, table| {
            root(file, table, &mut draft, &mut logs);
        }));
    }
    let whole = Place::whole_file(sources.first().map_or("", |source| &source.name));
    draft.global.logs = logs.unwrap_or_else(|| vec![log_address("stdout".into(), whole)]);
    draft.problems = problems;
    share_ids(&mut draft);
    draft
}

/// A frontend and a backend of the same id are what a `listen` section is in haproxy.cfg.
fn share_ids(draft: &mut Draft) {
    for backend in draft.backends.iter().filter(|backend| backend.id.is_some()) {
        let id = |of: &Maybe<u32>| of.as_ref().map(|id| id.value);
        let half = draft
            .frontends
            .iter_mut()
            .find(|frontend| id(&frontend.id) == id(&backend.id));
        if let Some(frontend) = half {
            frontend.position = backend.position;
        }
    }
}

fn root(file: &File<'_>, table: &DeTable<'_>, draft: &mut Draft, logs: &mut Option<Vec<LogDraft>>) {
    file.fields(&keys::ROOT, table, |fields| {
        if let Some(table) = fields.table("admin") {
            file.fields(&keys::ADMIN, table, |fields| {
                replace(
                    &mut draft.global.admin,
                    fields.take("listen", socket_address),
                );
                runtime::runtime(file, fields, &mut draft.global.runtime);
            });
        }
        if let Some(table) = fields.table("global") {
            global(file, table, &mut draft.global, logs);
        }
        for Entry { name, value } in fields.entries("resolvers") {
            match value.get_ref().as_table() {
                Some(table) => draft
                    .resolvers
                    .push(resolvers::resolvers(file, name, table)),
                None => {
                    let message = format!("'{0}' must be a table: [resolvers.{0}]", name.value);
                    file.error(name.place, message);
                }
            }
        }
        let frontends = fields
            .entries("frontend")
            .into_iter()
            .map(|entry| (true, entry));
        let backends = fields
            .entries("backend")
            .into_iter()
            .map(|entry| (false, entry));
        let mut sections: Vec<_> = frontends.chain(backends).collect();
        sections.sort_by_key(|(_, Entry { name, .. })| (name.place.line, name.place.column));
        for (is_frontend, Entry { name, value }) in sections {
            let Some(table) = value.get_ref().as_table() else {
                let kind = if is_frontend { "frontend" } else { "backend" };
                let message = format!("'{0}' must be a table: [{kind}.{0}]", name.value);
                file.error(name.place, message);
                continue;
            };
            let position = draft.frontends.len() + draft.backends.len();
            if is_frontend {
                draft.frontends.push(frontend(file, name, table, position));
            } else {
                draft.backends.push(backend(file, name, table, position));
            }
        }
    });
}

fn global(
    file: &File<'_>,
    table: &DeTable<'_>,
    draft: &mut GlobalDraft,
    logs: &mut Option<Vec<LogDraft>>,
) {
    file.fields(&keys::GLOBAL, table, |fields| {
        replace(&mut draft.maxconn, fields.take("maxconn", whole(ANY_COUNT)));
        replace(&mut draft.threads, fields.take("threads", whole(1..=1024)));
        replace(&mut draft.relay, fields.take("relay", word));
        replace(
            &mut draft.pipe_bytes,
            fields.take("pipe-bytes", whole(PIPE_BYTES)),
        );
        replace(&mut draft.busy_polling, fields.take("busy-polling", word));
        replace(
            &mut draft.busy_polling_share,
            fields.take("busy-polling-share", whole(1..=100)),
        );
        replace(
            &mut draft.hard_stop_after,
            fields.take("hard-stop-after", limit),
        );
        replace(
            &mut draft.spread_checks,
            fields.take("spread-checks", whole(0..=50)),
        );
        replace(&mut draft.max_spread_checks, health::max_spread(fields));
        replace(&mut draft.log_tag, fields.take("log-tag", text));
        replace(
            &mut draft.log_host,
            fields.take("log-send-hostname", log_host),
        );
        replace(&mut draft.pidfile, fields.take("pidfile", path));
        replace(&mut draft.daemon, fields.take("daemon", flag));
        privileges::privileges(fields, &mut draft.privileges);
        replace(&mut draft.node, fields.take("node", text));
        replace(&mut draft.description, fields.take("description", text));
        if let Some(targets) = log_targets(file, fields, Scope::Global) {
            let own = |target| match target {
                ProxyLog::Own(log) => Some(log),
                ProxyLog::Global => None,
            };
            *logs = Some(targets.into_iter().filter_map(own).collect());
        }
    });
}

/// Where a `log` key stands.
#[derive(Clone, Copy, PartialEq)]
enum Scope {
    Global,
    Proxy,
}

/// The targets that `log` names; `None`: it does not say.
fn log_targets(
    file: &File<'_>,
    fields: &mut Fields<'_, '_>,
    scope: Scope,
) -> Option<Vec<ProxyLog>> {
    let mut targets = Vec::new();
    for value in one_or_many(fields.value("log")?) {
        let place = file.place(value.span().start);
        match value.get_ref() {
            DeValue::String(text) if text == "global" && scope == Scope::Global => {
                file.error(place, "'log' in [global] cannot refer to itself".to_owned());
            }
            DeValue::String(text) if text == "global" => targets.push(ProxyLog::Global),
            DeValue::String(text) => {
                targets.push(ProxyLog::Own(log_address(text.clone().into_owned(), place)));
            }
            DeValue::Table(table) => file.fields(&keys::LOG, table, |fields| {
                let format = fields.take("format", word);
                let log = LogDraft {
                    max_length: fields.take("max-length", whole(80..=65535)),
                    facility: fields.take("facility", index(&FACILITIES)),
                    max_level: fields.take("max-level", index(&LEVELS)),
                    min_level: fields.take("min-level", index(&LEVELS)),
                    ..log_address(String::new(), place.clone())
                };
                if let Some(address) = required(file, fields, "to", &place, "log target") {
                    let natural = log_address(address.value, address.place);
                    let is_stream = matches!(natural.address.value.as_str(), "stdout" | "stderr");
                    if let Some(format) = &format
                        && format.value == LogFormat::Auto
                        && !is_stream
                    {
                        let message = "'format' auto is for stdout and stderr; leave it out, or say e.g. local";
                        file.error(format.place.clone(), message.to_owned());
                    }
                    targets.push(ProxyLog::Own(LogDraft {
                        format: format.or(natural.format),
                        address: natural.address,
                        ..log
                    }));
                }
            }),
            other => {
                let message = must_be("a target, a table or a list of them", other);
                file.error(place, format!("'log' {message}"));
            }
        }
    }
    Some(targets)
}

/// A target of which only the address is known.
fn log_address(address: String, place: Place) -> LogDraft {
    LogDraft {
        format: default_log_format(&address).map(|format| Spanned::new(format, place.clone())),
        address: Spanned::new(address, place),
        max_length: None,
        facility: None,
        max_level: None,
        min_level: None,
    }
}

fn one_or_many<'t>(
    value: &'t ::toml::Spanned<DeValue<'t>>,
) -> impl Iterator<Item = &'t ::toml::Spanned<DeValue<'t>>> {
    let many = value.get_ref().as_array();
    let one = many.is_none().then_some(value);
    many.into_iter().flatten().chain(one)
}

fn required(
    file: &File<'_>,
    fields: &mut Fields<'_, '_>,
    key: &'static str,
    place: &Place,
    what: &str,
) -> Maybe<String> {
    let is_missing = fields.value(key).is_none();
    if is_missing {
        file.error(place.clone(), format!("this {what} has no '{key}'"));
    }
    fields.take(key, text)
}

fn socket_address(value: &DeValue<'_>) -> Result<std::net::SocketAddr, String> {
    let parsed = value.as_str().and_then(|text| text.parse().ok());
    parsed.ok_or_else(|| must_be("an IP address and a port, as in \"127.0.0.1:8405\"", value))
}

fn path(value: &DeValue<'_>) -> Result<PathBuf, String> {
    text(value).map(PathBuf::from)
}

/// Lets what the file says stand in for what was there.
fn replace<T>(field: &mut Maybe<T>, said: Maybe<T>) {
    if said.is_some() {
        *field = said;
    }
}

/// `true`: this machine's name; a text: that one.
fn log_host(value: &DeValue<'_>) -> Result<LogHost, String> {
    match value.as_bool() {
        Some(true) => Ok(LogHost::Own),
        Some(false) => Ok(LogHost::Nobody),
        None => text(value).map(LogHost::Named),
    }
}

#[cfg(test)]
pub(crate) mod tests;
