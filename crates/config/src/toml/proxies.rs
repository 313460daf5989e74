//! Frontends, backends and servers of a TOML file, with the defaults of the language for them.

use std::time::Duration;

use ::toml::de::{DeTable, DeValue};

use super::fields::{Entry, Fields, File};
use super::values::{flag, limit, must_be, text, time, whole, word, written};
use super::{
    ANY_COUNT, Scope, health, keys, log_targets, net, one_or_many, privileges, replace, required,
    rules, runtime,
};
use crate::check::Rules;
use crate::draft::{
    AccessDraft, BackendDraft, BindDraft, BindNet, DefaultBackend, FrontendDraft, HealthDraft,
    InitAddr, LoadOptions, LogLinesDraft, Maybe, ProxyLog, QueueDraft, ServerDraft, ServerNet,
    ServerOptions, Spanned,
};
use crate::resolve::is_name_char;
use crate::{Keepalive, OnMarkedDown, Place, SessionLogFormat};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
const CHECK_TIMEOUT: Duration = Duration::from_secs(1);
const INTER: Duration = Duration::from_secs(1);
const FASTINTER: Duration = Duration::from_millis(500);
const RISE: u32 = 2;
const FALL: u32 = 2;
/// HAProxy's `option redispatch` without an interval.
const REDISPATCH: i32 = -1;
/// A peer that is gone is found after 15 + 3 * 5 seconds of silence, as by the user timeout.
const KEEPALIVE: Keepalive = Keepalive {
    idle: Some(Duration::from_secs(15)),
    interval: Some(Duration::from_secs(5)),
    probes: Some(3),
};
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(30);
/// A session that one side has finished needs no longer than this to end.
const FIN_TIMEOUT: Duration = Duration::from_secs(60);

/// `fastinter` where the file does not say.
pub(crate) fn default_fastinter(inter: Duration) -> Duration {
    FASTINTER.min(inter)
}

/// Says what a proxy's name may not have. Names of servers are checked where all is linked.
fn check_name(file: &File<'_>, name: &Spanned<String>) {
    if let Some(wrong) = name.value.chars().find(|c| !is_name_char(*c)) {
        let message = format!(
            "character '{}' is not permitted in the name '{}'; use letters, digits and - _ . :",
            wrong.escape_debug(),
            name.value.escape_debug()
        );
        file.error(name.place.clone(), message);
    }
}

pub(super) fn frontend(
    file: &File<'_>,
    name: Spanned<String>,
    table: &DeTable<'_>,
    position: usize,
) -> FrontendDraft {
    let place = name.place.clone();
    check_name(file, &name);
    file.fields(&keys::FRONTEND, table, |fields| {
        let tcp_user_timeout = fields.take("tcp-user-timeout", limit);
        let tcp_user_timeout = or_default(tcp_user_timeout, TCP_USER_TIMEOUT, &place);
        let binds = binds(file, fields, &tcp_user_timeout, &name);
        let default_backend = match fields.value("backend") {
            None => {
                let message = format!(
                    "frontend '{}' has no backend; add backend = \"NAME\", or backend = false to \
                     close every connection",
                    name.value
                );
                file.error(place.clone(), message);
                DefaultBackend::Unset
            }
            Some(value) => match value.get_ref() {
                DeValue::String(backend) => DefaultBackend::Named(Spanned::new(
                    backend.clone().into_owned(),
                    file.place(value.span().start),
                )),
                DeValue::Boolean(false) => DefaultBackend::Unset,
                other => {
                    let message = format!("'backend' {}", must_be("a name or false", other));
                    file.error(file.place(value.span().start), message);
                    DefaultBackend::Unset
                }
            },
        };
        let mut client_timeout = None;
        let mut client_fin_timeout = None;
        if let Some(table) = fields.table("timeout") {
            file.fields(&keys::FRONTEND_TIMEOUT, table, |fields| {
                client_timeout = fields.take("client", limit);
                client_fin_timeout = fields.take("client-fin", limit);
            });
        }
        FrontendDraft {
            position,
            id: fields.take("id", whole(ANY_COUNT)),
            disabled: fields.take("disabled", flag),
            binds,
            default_backend,
            maxconn: fields.take("maxconn", whole(ANY_COUNT)),
            backlog: fields.take("backlog", whole(ANY_COUNT)),
            client_timeout,
            client_fin_timeout: or_default(client_fin_timeout, FIN_TIMEOUT, &place),
            client_keepalive: keepalive(file, fields, &place),
            logs: log_targets(file, fields, Scope::Proxy).unwrap_or_else(|| vec![ProxyLog::Global]),
            log_format: or_default(
                fields.take("log-format", word),
                SessionLogFormat::Tcp,
                &place,
            ),
            log_lines: LogLinesDraft {
                custom: fields.take("log-line", text),
                structured: fields.take("log-structured-data", text),
                skip_normal: fields.take("dontlog-normal", flag),
                as_soon_as_possible: fields.take("logasap", flag),
                errors_apart: fields.take("log-separate-errors", flag),
            },
            skip_null: or_default(fields.take("dontlognull", flag), true, &place),
            log_tag: fields.take("log-tag", text),
            http: None,
            rules: rules::frontend(file, fields, &place),
            name,
            place,
        }
    })
}

fn binds(
    file: &File<'_>,
    fields: &mut Fields<'_, '_>,
    tcp_user_timeout: &Maybe<Duration>,
    frontend: &Spanned<String>,
) -> Vec<BindDraft> {
    let Some(value) = fields.value("bind") else {
        let message = format!(
            "frontend '{}' has no bind; add bind = \"ADDRESS:PORT\", or bind = [] to listen nowhere",
            frontend.value
        );
        file.error(frontend.place.clone(), message);
        return Vec::new();
    };
    let plain = |address| BindDraft {
        address,
        name: None,
        maxconn: None,
        backlog: None,
        interface: None,
        ip_versions: None,
        transparent: None,
        tcp_user_timeout: tcp_user_timeout.clone(),
        access: AccessDraft::default(),
        net: BindNet::default(),
    };
    let mut binds = Vec::new();
    for value in one_or_many(value) {
        let place = file.place(value.span().start);
        match value.get_ref() {
            DeValue::String(text) => {
                binds.push(plain(Spanned::new(text.clone().into_owned(), place)));
            }
            DeValue::Table(table) => file.fields(&keys::BIND, table, |fields| {
                let bind = BindDraft {
                    name: fields.take("name", text),
                    maxconn: fields.take("maxconn", whole(ANY_COUNT)),
                    backlog: fields.take("backlog", whole(ANY_COUNT)),
                    interface: fields.take("interface", text),
                    ip_versions: fields.take("ip-versions", word),
                    transparent: fields.take("transparent", flag),
                    tcp_user_timeout: fields
                        .take("tcp-user-timeout", limit)
                        .or_else(|| tcp_user_timeout.clone()),
                    access: privileges::access(fields),
                    net: net::bind(fields),
                    ..plain(Spanned::new(String::new(), place.clone()))
                };
                if let Some(address) = required(file, fields, "address", &place, "bind") {
                    binds.push(BindDraft { address, ..bind });
                }
            }),
            other => {
                let message = must_be("an address, a table or a list of them", other);
                file.error(place, format!("'bind' {message}"));
            }
        }
    }
    binds
}

pub(super) fn backend(
    file: &File<'_>,
    name: Spanned<String>,
    table: &DeTable<'_>,
    position: usize,
) -> BackendDraft {
    let place = name.place.clone();
    check_name(file, &name);
    file.fields(&keys::BACKEND, table, |fields| {
        let mut options = server_options(file, fields);
        if let Some(header) = net::send_proxy(file, fields) {
            options.net.send_proxy = header;
        }
        let mut check = None;
        let mut check_rules = Rules::default();
        health::server(file, fields, &mut options);
        let mut check_timeout = None;
        options.check = check_switch(file, fields);
        if let Some(table) = check_table(fields) {
            file.fields(&keys::CHECK, table, |fields| {
                (check, check_rules) = health::check(file, fields);
                check_timeout = fields.take("timeout", limit);
                check_options(fields, &mut options);
            });
        }
        let options = ServerOptions {
            check: or_default(options.check, true, &place),
            inter: or_default(options.inter, INTER, &place),
            rise: or_default(options.rise, RISE, &place),
            fall: or_default(options.fall, FALL, &place),
            tcp_user_timeout: or_default(options.tcp_user_timeout, TCP_USER_TIMEOUT, &place),
            on_marked_down: or_default(
                options.on_marked_down,
                OnMarkedDown::ShutdownSessions,
                &place,
            ),
            ..options
        };
        let [
            mut connect,
            mut silence,
            mut server_fin,
            mut tunnel,
            mut queue,
        ] = [const { None }; 5];
        if let Some(table) = fields.table("timeout") {
            file.fields(&keys::BACKEND_TIMEOUT, table, |fields| {
                connect = fields.take("connect", limit);
                silence = fields.take("server", limit);
                server_fin = fields.take("server-fin", limit);
                queue = fields.take("queue", limit);
                tunnel = fields.take("tunnel", limit);
            });
        }
        let servers = fields.entries("servers").into_iter();
        let servers = servers
            .filter_map(|entry| server(file, entry, &options))
            .collect();
        BackendDraft {
            position,
            id: fields.take("id", whole(ANY_COUNT)),
            disabled: fields.take("disabled", flag),
            balance: fields.take("balance", written),
            hash_type: fields.take("hash-type", written),
            hash_balance_factor: fields.take("hash-balance-factor", hash_balance_factor),
            servers,
            retries: fields.take("retries", whole(0..=i64::from(i32::MAX))),
            // Each server has it.
            source: None,
            redispatch: redispatch(fields, &place),
            health: HealthDraft {
                log_changes: fields.take("log-health-checks", flag),
                fail_open: or_default(fields.take("fail-open", flag), true, &place),
            },
            all_backups: fields.take("allbackups", flag),
            connect_timeout: or_default(connect, CONNECT_TIMEOUT, &place),
            check_timeout: or_default(check_timeout, CHECK_TIMEOUT, &place),
            server_timeout: silence,
            server_fin_timeout: or_default(server_fin, FIN_TIMEOUT, &place),
            tunnel_timeout: tunnel,
            saved: runtime::saved(fields),
            queueing: QueueDraft {
                timeout: queue,
                fullconn: fields.take("fullconn", whole(ANY_COUNT)),
                abort_on_close: fields.take("abortonclose", flag),
            },
            server_keepalive: keepalive(file, fields, &place),
            check,
            check_rules,
            logs: log_targets(file, fields, Scope::Proxy).unwrap_or_else(|| vec![ProxyLog::Global]),
            log_tag: fields.take("log-tag", text),
            rules: Some(rules::backend(file, fields, &place)),
            name,
            place,
        }
    })
}

fn server(file: &File<'_>, entry: Entry<'_>, backend: &ServerOptions) -> Option<ServerDraft> {
    let Entry { name, value } = entry;
    let place = name.place.clone();
    let value_place = file.place(value.span().start);
    let (address, mut options) = match value.get_ref() {
        DeValue::String(text) => (
            Some(Spanned::new(text.clone().into_owned(), value_place)),
            backend.clone(),
        ),
        DeValue::Table(table) => file.fields(&keys::SERVER, table, |fields| {
            let own = server_options(file, fields);
            let mut options = ServerOptions {
                id: fields.take("id", whole(ANY_COUNT)),
                backup: fields.take("backup", flag),
                disabled: fields.take("disabled", flag),
                weight: own.weight.or_else(|| backend.weight.clone()),
                tcp_user_timeout: own
                    .tcp_user_timeout
                    .or_else(|| backend.tcp_user_timeout.clone()),
                on_marked_down: own
                    .on_marked_down
                    .or_else(|| backend.on_marked_down.clone()),
                init_addr: own.init_addr.or_else(|| backend.init_addr.clone()),
                load: LoadOptions {
                    track: fields.take("track", text),
                    ..own.load.or(&backend.load)
                },
                net: ServerNet {
                    send_proxy: net::send_proxy(file, fields)
                        .unwrap_or_else(|| backend.net.send_proxy.clone()),
                    check_send_proxy: backend.net.check_send_proxy.clone(),
                    source: own.net.source.or_else(|| backend.net.source.clone()),
                    resolution: own.net.resolution.or(&backend.net.resolution),
                    fast_open: own.net.fast_open.or_else(|| backend.net.fast_open.clone()),
                },
                node_key: own.node_key.or_else(|| backend.node_key.clone()),
                ..backend.clone()
            };
            health::server(file, fields, &mut options);
            replace(&mut options.check, check_switch(file, fields));
            if let Some(table) = check_table(fields) {
                file.fields(&keys::SERVER_CHECK, table, |fields| {
                    check_options(fields, &mut options);
                });
            }
            (required(file, fields, "address", &place, "server"), options)
        }),
        other => {
            let message = must_be("an address or a table", other);
            file.error(value_place, format!("'{}' {message}", name.value));
            return None;
        }
    };
    if let (None, Some(inter)) = (&options.fastinter, &options.inter) {
        options.fastinter = Some(Spanned::new(
            default_fastinter(inter.value),
            inter.place.clone(),
        ));
    }
    Some(ServerDraft {
        place,
        name,
        address: address?,
        options,
    })
}

/// What a backend says for all its servers and a server for itself.
fn server_options(file: &File<'_>, fields: &mut Fields<'_, '_>) -> ServerOptions {
    ServerOptions {
        weight: fields.take("weight", whole(0..=256)),
        tcp_user_timeout: fields.take("tcp-user-timeout", limit),
        on_marked_down: fields.take("on-marked-down", word),
        init_addr: fields.take("init-addr", init_addr),
        load: load_options(fields),
        net: net::server(file, fields),
        node_key: fields.take("hash-key", word),
        ..ServerOptions::default()
    }
}

fn load_options(fields: &mut Fields<'_, '_>) -> LoadOptions {
    LoadOptions {
        maxconn: fields.take("maxconn", whole(ANY_COUNT)),
        minconn: fields.take("minconn", whole(ANY_COUNT)),
        maxqueue: fields.take("maxqueue", whole(ANY_COUNT)),
        slowstart: fields.take("slowstart", limit),
        on_marked_up: fields.take("on-marked-up", word),
        init_state: fields.take("init-state", word),
        track: None,
    }
}

/// Whether `check` switches checking on (true or a table) or off.
fn check_switch(file: &File<'_>, fields: &mut Fields<'_, '_>) -> Maybe<bool> {
    let value = fields.value("check")?;
    let place = file.place(value.span().start);
    match value.get_ref() {
        DeValue::Boolean(on) => Some(Spanned::new(*on, place)),
        DeValue::Table(_) => Some(Spanned::new(true, place)),
        other => {
            file.error(
                place,
                format!("'check' {}", must_be("a table, true or false", other)),
            );
            None
        }
    }
}

fn check_table<'t>(fields: &mut Fields<'_, 't>) -> Option<&'t DeTable<'t>> {
    fields.value("check")?.get_ref().as_table()
}

fn check_options(fields: &mut Fields<'_, '_>, options: &mut ServerOptions) {
    let rows = 1..=i64::from(i32::MAX);
    replace(&mut options.inter, fields.take("inter", time));
    replace(&mut options.fastinter, fields.take("fastinter", time));
    replace(&mut options.downinter, fields.take("downinter", time));
    replace(&mut options.rise, fields.take("rise", whole(rows.clone())));
    replace(&mut options.fall, fields.take("fall", whole(rows)));
    replace(
        &mut options.check_port,
        fields.take("port", whole(1..=65535)),
    );
    replace(&mut options.check_address, fields.take("address", text));
    health::tls(fields, &mut options.check_tls);
    replace(
        &mut options.net.check_send_proxy,
        fields.take("send-proxy", flag),
    );
}

fn hash_balance_factor(value: &DeValue<'_>) -> Result<Option<u32>, String> {
    match value {
        DeValue::Boolean(false) => Ok(None),
        _ => whole(101..=i64::from(i32::MAX))(value).map(Some),
    }
}

/// `None` outside: not set, which `when-free` is; `None` inside: never.
fn redispatch(fields: &mut Fields<'_, '_>, place: &Place) -> Maybe<Option<i32>> {
    let said = fields.take("redispatch", |value| match value {
        DeValue::Boolean(true) => Ok(Some(Some(REDISPATCH))),
        DeValue::Boolean(false) => Ok(Some(None)),
        DeValue::String(text) if text == "when-free" => Ok(None),
        DeValue::Integer(_) => {
            whole(i64::from(i32::MIN)..=i64::from(i32::MAX))(value).map(|number| Some(Some(number)))
        }
        other => Err(must_be(
            "true, false, a whole number or \"when-free\"",
            other,
        )),
    });
    let Spanned { value, place } = or_default(said, Some(Some(REDISPATCH)), place)?;
    Some(Spanned::new(value?, place))
}

fn keepalive(file: &File<'_>, fields: &mut Fields<'_, '_>, place: &Place) -> Maybe<Keepalive> {
    let system = Keepalive {
        idle: None,
        interval: None,
        probes: None,
    };
    let Some(value) = fields.value("keepalive") else {
        return Some(Spanned::new(KEEPALIVE, place.clone()));
    };
    let place = file.place(value.span().start);
    let keepalive = match value.get_ref() {
        DeValue::Boolean(false) => return None,
        DeValue::Boolean(true) => system,
        DeValue::Table(table) => file.fields(&keys::KEEPALIVE, table, |fields| Keepalive {
            idle: fields.take("idle", time).map(|idle| idle.value),
            interval: fields.take("interval", time).map(|interval| interval.value),
            probes: fields
                .take("probes", whole(ANY_COUNT))
                .map(|probes| probes.value),
        }),
        other => {
            file.error(
                place,
                format!("'keepalive' {}", must_be("a table, true or false", other)),
            );
            return None;
        }
    };
    Some(Spanned::new(keepalive, place))
}

fn init_addr(value: &DeValue<'_>) -> Result<Vec<InitAddr>, String> {
    let wanted = "a list of \"last\", \"libc\", \"none\" and IP addresses";
    let methods = value
        .as_array()
        .ok_or_else(|| must_be(wanted, value))?
        .iter();
    methods
        .map(|method| match method.get_ref().as_str() {
            Some("last") => Ok(InitAddr::Last),
            Some("libc") => Ok(InitAddr::Libc),
            Some("none") => Ok(InitAddr::None),
            other => other
                .and_then(|text| text.parse().ok())
                .map(InitAddr::Ip)
                .ok_or_else(|| must_be(wanted, method.get_ref())),
        })
        .collect()
}

fn or_default<T>(said: Maybe<T>, default: T, place: &Place) -> Maybe<T> {
    Some(said.unwrap_or_else(|| Spanned::new(default, place.clone())))
}
