//! What only shows when every line is read: which proxies carry traffic in mode http, which
//! keywords a proxy in mode tcp leaves out, what is missing. Turns sections into the draft.

use std::collections::{HashMap, HashSet};

use super::keywords::Http;
use super::section::{Kind, LineFormat, Mode, Proxy};
use super::{Reader, local, privileges};
use crate::check::Rules;
use crate::draft::{
    BackendDraft, DefaultBackend, Draft, FrontendDraft, LocalHttpDraft, LogLinesDraft, ProxyLog,
    ServerDraft, Spanned,
};
use crate::{CheckKind, RelayMethod, SessionLogFormat};

/// Finishes what was read.
pub(super) fn judge(mut reader: Reader<'_>) -> Draft {
    let proxies = std::mem::take(&mut reader.proxies);
    let kept = reader.sort_out_http(proxies);
    let splice = kept.iter().find_map(|proxy| {
        let splice = &proxy.splice;
        [&splice.auto, &splice.request, &splice.response]
            .into_iter()
            .flatten()
            .find(|option| option.value)
            .cloned()
    });
    if let Some(splice) = splice
        && reader.draft.global.relay.is_none()
    {
        reader.draft.global.relay = Some(splice.map(|_| RelayMethod::Splice));
    }
    for proxy in kept {
        reader.finish(proxy);
    }
    reader
        .draft
        .frontends
        .sort_by_key(|frontend| frontend.position);
    reader
        .draft
        .backends
        .sort_by_key(|backend| backend.position);
    reader.count_repeated();
    reader.draft
}

/// What the backends of a file are used for.
struct Uses {
    /// Every backend.
    known: HashSet<String>,
    /// Backends in mode tcp.
    tcp: HashSet<String>,
    /// Backends in mode http with servers: they serve HTTP to whoever is sent there.
    serving: HashSet<String>,
    /// Named by a frontend in mode tcp.
    by_tcp: HashSet<String>,
    /// Named by any frontend.
    by_any: HashSet<String>,
}

impl Uses {
    fn of(proxies: &[Proxy]) -> Self {
        let names = |chosen: &dyn Fn(&Proxy) -> bool| {
            let chosen = proxies.iter().filter(|proxy| chosen(proxy));
            chosen.map(|proxy| proxy.name.value.clone()).collect()
        };
        let targets = |chosen: &dyn Fn(&Proxy) -> bool| {
            let chosen = proxies
                .iter()
                .filter(|proxy| proxy.kind.accepts() && chosen(proxy));
            let names =
                chosen.flat_map(|proxy| proxy.default_backend.iter().chain(proxy.rules.backends()));
            names.map(|name| name.value.clone()).collect()
        };
        Self {
            known: names(&|proxy| proxy.kind.connects()),
            tcp: names(&|proxy| proxy.kind.connects() && proxy.mode() == Mode::Tcp),
            serving: names(&|proxy| {
                proxy.kind.connects() && proxy.mode() != Mode::Tcp && !proxy.servers.is_empty()
            }),
            by_tcp: targets(&|proxy| proxy.mode() == Mode::Tcp),
            by_any: targets(&|_| true),
        }
    }
}

impl Reader<'_> {
    /// Refuses proxies in mode http that carry traffic; of the others, those that accept answer by
    /// themselves, and those that do not are left out.
    fn sort_out_http(&mut self, proxies: Vec<Proxy>) -> Vec<Proxy> {
        let uses = Uses::of(&proxies);
        let (kept, others): (Vec<Proxy>, Vec<Proxy>) = proxies
            .into_iter()
            .partition(|proxy| proxy.mode() == Mode::Tcp);
        let backends: HashMap<String, Proxy> = others
            .iter()
            .filter(|proxy| proxy.kind == Kind::Backend)
            .map(|proxy| (proxy.name.value.clone(), proxy.clone()))
            .collect();
        for proxy in others {
            let name = &proxy.name;
            let mode = proxy.mode.as_ref().map_or(&proxy.place, |mode| &mode.place);
            // The file is named where it is another one.
            let mode = match mode.file == name.place.file {
                true => format!("in line {}", mode.line),
                false => format!("at {mode}"),
            };
            let is_target = proxy.kind == Kind::Backend && uses.by_any.contains(&name.value);
            if let Some(traffic) = traffic(&proxy, &uses) {
                let message = format!(
                    "{} carries traffic ({traffic}) in a mode other than tcp (set {mode}), which \
                     is not supported; write 'mode tcp' in it if plain TCP will do",
                    proxy.who()
                );
                self.error(name.place.clone(), message);
            } else if proxy.kind.accepts() {
                let targets = proxy.default_backend.iter().chain(proxy.rules.backends());
                for target in targets.filter(|target| uses.tcp.contains(&target.value)) {
                    let message = format!(
                        "{} is in mode http (set {mode}) and its backend '{}' in mode tcp; write \
                         'mode tcp' in both",
                        proxy.who(),
                        target.value
                    );
                    self.error(target.place.clone(), message);
                }
                let target = proxy.default_backend.as_ref();
                let target = target.and_then(|target| backends.get(&target.value));
                self.answer(proxy, target);
                continue;
            } else if !(is_target && uses.serving.contains(&name.value)) {
                // A backend that only frontends in mode http name is refused with them.
                let left_out = match proxy.kind {
                    Kind::Backend => "it is left out",
                    _ => "it is not bound; metrics and health are served at --admin",
                };
                let message = format!(
                    "{} is in mode http (set {mode}) and carries no traffic: {left_out}",
                    proxy.who()
                );
                self.warning(name.place.clone(), message);
                let section = format!("{} {}", proxy.kind.section(), name.value);
                self.draft
                    .without_effect
                    .push(Spanned::new(section, proxy.place.clone()));
                for line in &proxy.http {
                    let line = Spanned::new(line.text.clone(), line.place.clone());
                    self.draft.without_effect.push(line);
                }
                if !is_target {
                    continue;
                }
            }
            self.halves(proxy, None, None);
        }
        kept
    }

    /// A proxy in mode http that answers by itself, and the backend that it sends the rest to.
    fn answer(&mut self, mut proxy: Proxy, target: Option<&Proxy>) {
        let http = self.local_http(&proxy, target);
        for verdict in std::mem::take(&mut proxy.verdicts) {
            if !local::HEEDS.contains(&verdict.key) {
                self.report(verdict);
            }
        }
        self.missing(&proxy);
        if let Some(format) = &proxy.log_format
            && format.value == LineFormat::Custom
        {
            let message = format!(
                "'log-format' has no effect in {}: what is answered here is logged as 'option httplog' \
                 has it",
                proxy.who()
            );
            self.warning(format.place.clone(), message);
        }
        let format = proxy.log_format.clone().map(|format| {
            format.map(|format| match format {
                LineFormat::Tcp => SessionLogFormat::Tcp,
                LineFormat::TcpClf => SessionLogFormat::TcpClf,
                LineFormat::Http | LineFormat::Https | LineFormat::Custom => SessionLogFormat::Http,
            })
        });
        self.halves(proxy, format, Some(Box::new(http)));
    }

    /// A proxy in mode tcp: HAProxy's own warnings, then its halves.
    fn finish(&mut self, mut proxy: Proxy) {
        for verdict in std::mem::take(&mut proxy.verdicts) {
            if verdict.key == "dispatch" && proxy.balance.is_some() {
                let message = format!(
                    "dispatch address of {} will be ignored in balance mode",
                    proxy.who()
                );
                self.warning(verdict.place, message);
                continue;
            }
            self.report(verdict);
        }
        self.loops(&proxy);
        let unix_bind = &self.draft.global.privileges.unix_bind;
        proxy.binds = privileges::with_unix_bind(&proxy.binds, unix_bind);
        self.http_keywords(&proxy);
        self.checks(&mut proxy);
        self.missing(&proxy);
        let format = self.session_format(&proxy);
        self.halves(proxy, format, None);
    }

    fn halves(
        &mut self,
        proxy: Proxy,
        format: Option<Spanned<SessionLogFormat>>,
        http: Option<Box<LocalHttpDraft>>,
    ) {
        if proxy.kind.accepts() {
            self.draft.frontends.push(frontend(&proxy, format, http));
        }
        if proxy.kind.connects() {
            self.draft.backends.push(backend(proxy));
        }
    }

    /// A `listen` section that sends its connections to itself.
    fn loops(&mut self, proxy: &Proxy) {
        if proxy.kind != Kind::Listen {
            return;
        }
        let targets = proxy.default_backend.iter().chain(proxy.rules.backends());
        for target in targets.filter(|target| target.value == proxy.name.value) {
            let message = format!("{} leads back to itself; remove the line", proxy.who());
            self.error(target.place.clone(), message);
        }
    }

    /// Keywords that need mode http, in HAProxy's words.
    fn http_keywords(&mut self, proxy: &Proxy) {
        let who = proxy.who();
        let mut said = HashSet::new();
        for line in &proxy.http {
            let name = line.name.split(' ').next().unwrap_or(line.name);
            let message = match line.kind {
                Http::Nothing => None,
                Http::Option => Some(format!(
                    "'{}' ignored for {who} as it requires HTTP mode",
                    line.name
                )),
                Http::Rules => Some(format!(
                    "'{name}' rules ignored for {who} as they require HTTP mode"
                )),
                Http::Statement => Some(format!(
                    "'{name}' statement ignored for {who} as it requires HTTP mode"
                )),
                Http::Cookie => Some(format!(
                    "cookie will be ignored for {who} (needs 'mode http')"
                )),
                Http::Balance => Some(format!(
                    "Layer 7 hash not possible for {who} (needs 'mode http'). Falling back to \
                     round robin"
                )),
                Http::LogBalance => Some(format!(
                    "Unusable balance algorithm for {who} (needs 'mode log'). Falling back to \
                     round robin"
                )),
            };
            if let Some(message) = message
                && said.insert(message.clone())
            {
                self.warning(line.place.clone(), message);
            }
            self.draft
                .without_effect
                .push(Spanned::new(line.text.clone(), line.place.clone()));
        }
        for (name, _, _, server) in &proxy.servers {
            if let Some(place) = &server.cookie {
                self.warning(
                    place.clone(),
                    format!(
                        "{who}: ignoring cookie for server '{}' as HTTP mode is disabled",
                        name.value
                    ),
                );
            }
            if let Some(place) = &server.observe_layer7 {
                self.warning(
                    place.clone(),
                    format!(
                        "server '{}': 'observe layer7' can only be used in http proxies",
                        name.value
                    ),
                );
            }
        }
    }

    /// Rules of checks that are not made, and what holds for the TLS of all.
    fn checks(&mut self, proxy: &mut Proxy) {
        if !proxy.kind.connects() {
            return;
        }
        let kind = proxy.check.as_ref().map(|check| check.value.kind);
        for (rules, rule, option, wanted) in [
            (
                &proxy.http_checks,
                "http-check",
                "option httpchk",
                CheckKind::Http,
            ),
            (
                &proxy.tcp_checks,
                "tcp-check",
                "option tcp-check",
                CheckKind::TcpCheck,
            ),
        ] {
            if let Some(place) = &rules.place
                && kind != Some(wanted)
                && !rules.is_inherited
            {
                let message = format!(
                    "{} uses {rule} rules without '{option}', so the rules are ignored",
                    proxy.who()
                );
                self.warning(place.clone(), message);
            }
        }
        for (_, _, place, server) in &mut proxy.servers {
            self.tls.complete(&mut server.options.check_tls, place);
        }
    }

    /// Timeouts and sockets that are not there.
    fn missing(&mut self, proxy: &Proxy) {
        let unset = |timeout: &crate::draft::Maybe<std::time::Duration>| {
            timeout.as_ref().is_none_or(|time| time.value.is_zero())
        };
        let timeouts = &proxy.timeouts;
        let mut missing = Vec::new();
        if proxy.kind.accepts() && unset(&timeouts.client) {
            missing.push("'timeout client'");
        }
        if proxy.kind.connects() && !proxy.servers.is_empty() {
            if unset(&timeouts.connect) {
                missing.push("'timeout connect'");
            }
            if unset(&timeouts.server) && unset(&timeouts.tunnel) {
                missing.push("'timeout server'");
            }
        }
        let who = proxy.who();
        if !missing.is_empty() {
            let message = format!(
                "missing timeouts for {who}: set {} to a non-zero value, lest idle peers are kept \
                 for ever",
                missing.join(" and ")
            );
            self.warning(proxy.name.place.clone(), message);
        }
        if proxy.kind.accepts() && proxy.binds.is_empty() {
            let message = format!(
                "{who} has no 'bind' directive; please declare it as a backend if this was intended"
            );
            self.warning(proxy.name.place.clone(), message);
        }
    }

    fn session_format(&mut self, proxy: &Proxy) -> Option<Spanned<SessionLogFormat>> {
        let format = proxy.log_format.clone()?;
        if !proxy.kind.accepts() {
            return None;
        }
        let global = self.draft.global.logs.is_empty();
        let logs = proxy
            .logs
            .iter()
            .any(|log| matches!(log, ProxyLog::Own(_)) || !global);
        if !logs {
            let message = format!(
                "log format ignored for {} since it has no log address",
                proxy.who()
            );
            self.warning(format.place.clone(), message);
        }
        let option = match format.value {
            LineFormat::Tcp | LineFormat::Custom => {
                return Some(format.map(|_| SessionLogFormat::Tcp));
            }
            LineFormat::TcpClf => return Some(format.map(|_| SessionLogFormat::TcpClf)),
            LineFormat::Http => "option httplog",
            LineFormat::Https => "option httpslog",
        };
        let message = format!(
            "'{option}' not usable with {} (needs 'mode http'). Falling back to 'option tcplog'",
            proxy.who()
        );
        self.warning(format.place.clone(), message);
        Some(format.map(|_| SessionLogFormat::Tcp))
    }

    /// Says how often a keyword without effect came again.
    fn count_repeated(&mut self) {
        for (index, again) in self.notices.values() {
            if *again > 0 {
                let problem = &mut self.draft.problems[*index];
                let lines = if *again == 1 { "time" } else { "times" };
                problem
                    .message
                    .push_str(&format!(" (and {again} more {lines})"));
            }
        }
    }
}

/// Which lines of a proxy in another mode than tcp carry traffic; `None`: none do.
fn traffic(proxy: &Proxy, uses: &Uses) -> Option<String> {
    let mut lines: Vec<(u32, &str)> = Vec::new();
    if proxy.mode() == Mode::Other {
        lines.extend(proxy.mode.as_ref().map(|mode| (mode.place.line, "mode")));
    }
    if proxy.kind != Kind::Backend || uses.by_tcp.contains(&proxy.name.value) {
        lines.extend(
            proxy
                .servers
                .iter()
                .map(|(_, _, place, _)| (place.line, "server")),
        );
    }
    if proxy.kind != Kind::Backend {
        let target = proxy.default_backend.as_ref().filter(|target| {
            // Where it leads to a page of statistics, nothing is carried.
            uses.serving.contains(&target.value) || !uses.known.contains(&target.value)
        });
        lines.extend(target.map(|target| (target.place.line, "default_backend")));
        let rules = ["dispatch", "transparent", "option transparent"];
        let rules = proxy
            .verdicts
            .iter()
            .filter(|verdict| rules.contains(&verdict.key));
        lines.extend(rules.map(|verdict| (verdict.place.line, verdict.key)));
        lines.extend(
            proxy
                .rules
                .backends()
                .map(|name| (name.place.line, "use_backend")),
        );
    }
    if lines.is_empty() {
        return None;
    }
    lines.sort_unstable();
    let named: Vec<String> = lines
        .iter()
        .map(|(line, what)| format!("'{what}' in line {line}"))
        .collect();
    Some(named.join(", "))
}

/// What lines look like: of `log-format` and the options, the last one counts.
fn log_lines(proxy: &Proxy) -> LogLinesDraft {
    let is_custom = matches!(&proxy.log_format, Some(format) if format.value == LineFormat::Custom);
    let lines = proxy.log_lines.clone();
    LogLinesDraft {
        custom: lines.custom.filter(|_| is_custom),
        ..lines
    }
}

fn frontend(
    proxy: &Proxy,
    log_format: Option<Spanned<SessionLogFormat>>,
    http: Option<Box<LocalHttpDraft>>,
) -> FrontendDraft {
    let default_backend = match &proxy.default_backend {
        Some(name) => DefaultBackend::Named(name.clone()),
        None if proxy.kind == Kind::Listen => DefaultBackend::Own,
        None => DefaultBackend::Unset,
    };
    FrontendDraft {
        position: proxy.position,
        id: proxy.id.clone(),
        name: proxy.name.clone(),
        place: proxy.place.clone(),
        disabled: proxy.disabled.clone(),
        binds: proxy.binds.clone(),
        default_backend,
        maxconn: proxy.maxconn.clone(),
        backlog: proxy.backlog.clone(),
        client_timeout: proxy.timeouts.client.clone(),
        client_fin_timeout: proxy.timeouts.client_fin.clone(),
        client_keepalive: proxy.keepalive.client.resolved(),
        logs: proxy.logs.clone(),
        log_format,
        log_lines: log_lines(proxy),
        skip_null: proxy.skip_null.clone(),
        log_tag: proxy.log_tag.clone(),
        http,
        rules: proxy.rules.clone(),
    }
}

fn backend(proxy: Proxy) -> BackendDraft {
    let servers = proxy
        .servers
        .into_iter()
        .map(|(name, address, place, line)| ServerDraft {
            place,
            name,
            address,
            options: line.options,
        })
        .collect();
    BackendDraft {
        position: proxy.position,
        id: proxy.id,
        name: proxy.name,
        place: proxy.place,
        disabled: proxy.disabled,
        balance: proxy.balance,
        hash_type: proxy.hash_type,
        hash_balance_factor: proxy.hash_balance_factor,
        servers,
        retries: proxy.retries,
        source: proxy.source,
        redispatch: proxy.redispatch,
        health: proxy.health,
        all_backups: proxy.all_backups,
        connect_timeout: proxy.timeouts.connect,
        check_timeout: proxy.timeouts.check,
        server_timeout: proxy.timeouts.server,
        server_fin_timeout: proxy.timeouts.server_fin,
        tunnel_timeout: proxy.timeouts.tunnel,
        queueing: proxy.queueing,
        saved: proxy.saved,
        server_keepalive: proxy.keepalive.server.resolved(),
        check_rules: match proxy.check.as_ref().map(|check| check.value.kind) {
            Some(CheckKind::Http) => proxy.http_checks.rules,
            Some(CheckKind::TcpCheck) => proxy.tcp_checks.rules,
            _ => Rules::default(),
        },
        check: proxy.check,
        logs: proxy.logs,
        log_tag: proxy.log_tag,
        rules: (proxy.kind != Kind::Listen).then_some(proxy.rules),
    }
}
