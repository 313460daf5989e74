// Over 600 lines because it is a table.
//! Every keyword of HAProxy's TCP surface and what becomes of it here, one row per keyword or per
//! group of keywords that share their fate. The reader looks words up here, and docs/keywords.md
//! is printed from here.
//!
//! A keyword is *without effect* and silent where it changes nothing in HAProxy either as long as
//! the rest of the file is accepted here (a TLS cipher without TLS, an error page without HTTP);
//! where something does happen differently, one warning says what. A keyword is *refused* where
//! ignoring it would change where traffic goes, who may send it, or what a server is told.

use std::collections::HashMap;
use std::sync::OnceLock;

use super::{Line, Reader};
use super::{balance, checks, global, health, load, net, privileges, proxy, rules, runtime};

/// A group of keywords that share their fate.
pub(crate) struct Row {
    /// Up to three words each: `mode`, `option tcplog`, `tcp-request content accept`.
    pub(crate) names: &'static [&'static str],
    pub(crate) scope: Scope,
    pub(crate) support: Support,
}

/// The sections in which a keyword may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// `global`.
    Global,
    /// `defaults`, `frontend`, `listen`, `backend`.
    Any,
    /// `defaults`, `frontend`, `listen`.
    Front,
    /// `defaults`, `listen`, `backend`.
    Back,
    /// `frontend`, `listen`, `backend`.
    Named,
    /// `frontend`, `listen`.
    NamedFront,
    /// `listen`, `backend`.
    NamedBack,
}

impl Scope {
    pub(crate) fn admits_defaults(self) -> bool {
        matches!(self, Self::Any | Self::Front | Self::Back)
    }

    pub(crate) fn admits_frontends(self) -> bool {
        matches!(
            self,
            Self::Any | Self::Front | Self::Named | Self::NamedFront
        )
    }

    pub(crate) fn admits_backends(self) -> bool {
        matches!(self, Self::Any | Self::Back | Self::Named | Self::NamedBack)
    }

    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Global => "global",
            Self::Any => "defaults, frontend, listen, backend",
            Self::Front => "defaults, frontend, listen",
            Self::Back => "defaults, listen, backend",
            Self::Named => "frontend, listen, backend",
            Self::NamedFront => "frontend, listen",
            Self::NamedBack => "listen, backend",
        }
    }
}

/// What becomes of a keyword.
pub(crate) enum Support {
    /// It does what it does in HAProxy; the text says where it does not quite.
    Works(fn(&mut Reader<'_>, &Line<'_>), &'static str),
    /// Needs `mode http`; in mode tcp it loads as HAProxy loads it.
    Http(Http),
    /// Without effect and silent, for this reason.
    Silent(&'static str),
    /// Without effect; the warning tells what happens instead.
    NoEffect(&'static str),
    /// An error, for this reason.
    Refused(&'static str),
}

/// What HAProxy says about an HTTP keyword in a proxy of mode tcp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Http {
    /// Nothing.
    Nothing,
    /// `'option forwardfor' ignored for frontend 'f' as it requires HTTP mode.`
    Option,
    /// `'http-request' rules ignored for frontend 'f' as they require HTTP mode.`
    Rules,
    /// `'stats' statement ignored for frontend 'f' as it requires HTTP mode.`
    Statement,
    /// `cookie will be ignored for frontend 'f' (needs 'mode http').`
    Cookie,
    /// `Layer 7 hash not possible for backend 'b' (needs 'mode http'). Falling back to round robin.`
    Balance,
    /// `Unusable balance algorithm for backend 'b' (needs 'mode log'). Falling back to round robin.`
    LogBalance,
}

/// An option of `bind` or `server`.
pub(crate) struct OptionRow {
    pub(crate) names: &'static [&'static str],
    pub(crate) arguments: Arguments,
    pub(crate) support: OptionSupport,
}

/// How many words belong to an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arguments {
    None,
    One,
    /// `source`: one, and those of its own that follow.
    Source,
}

/// What becomes of an option.
#[derive(Clone, Copy)]
pub(crate) enum OptionSupport {
    /// It does what it does in HAProxy.
    Works,
    /// Without effect and silent, for this reason.
    Silent(&'static str),
    /// Without effect; the warning tells what happens instead.
    NoEffect(&'static str),
    /// An error, for this reason.
    Refused(&'static str),
}

use Arguments::{None as NoArgument, One, Source};
use Scope::{Any, Back, Front, Global, Named, NamedBack, NamedFront};
use Support::{NoEffect, Refused, Silent, Works};

const fn row(scope: Scope, support: Support, names: &'static [&'static str]) -> Row {
    Row {
        names,
        scope,
        support,
    }
}

const fn opt(
    arguments: Arguments,
    support: OptionSupport,
    names: &'static [&'static str],
) -> OptionRow {
    OptionRow {
        names,
        arguments,
        support,
    }
}

const NO_TLS: &str = "it concerns TLS, which no accepted 'bind' or 'server' speaks";
const NO_HTTP: &str = "it concerns HTTP, which no accepted proxy speaks";
const ONE_PROCESS: &str = "one process serves, reloads and stops without helpers";
const TUNING: &str = "it tunes HAProxy's own buffers and scheduling; this program sizes its own";

/// The keywords of the sections `global`, `defaults`, `frontend`, `listen` and `backend`.
#[rustfmt::skip]
pub(crate) static KEYWORDS: &[Row] = &[
    // Global: the process.
    row(Global, Works(global::maxconn, ""), &["maxconn"]),
    row(Global, Works(global::nbthread, ""), &["nbthread"]),
    row(Global, Works(global::pidfile, ""), &["pidfile"]),
    row(Global, Works(global::daemon, "as -D; without effect under a service manager"),
        &["daemon"]),
    row(Global, Works(global::hard_stop_after, ""), &["hard-stop-after"]),
    row(Global, Works(global::log, "UDP, Unix datagram sockets, stdout, stderr, fd@"), &["log"]),
    row(Global, Works(global::log_tag, ""), &["log-tag"]),
    row(Global, Works(global::spread_checks, ""), &["spread-checks"]),
    row(Global, Works(global::node, ""), &["node"]),
    row(Global, Works(global::description, ""), &["description"]),
    row(Global, Works(global::nosplice, ""), &["nosplice"]),
    row(Global, Works(global::pipesize, "bytes, or with k, m or g after them; 1048576 without it"),
        &["tune.pipesize"]),
    row(Global, Works(global::busy_polling,
        "without it, threads poll for some tens of microseconds before they sleep, at most a quarter of a core and not when idle; `no busy-polling` forbids that, too"),
        &["busy-polling"]),
    row(Global, Works(global::setenv, "for the rest of the configuration"), &["setenv",
        "presetenv"]),
    row(Global, Works(global::unsetenv, "for the rest of the configuration"), &["unsetenv",
        "resetenv"]),
    row(Global, Works(global::ssl_server_verify, "of the TLS in checks"),
        &["ssl-server-verify"]),
    row(Global, Works(global::tls_base, "of the files that checks over TLS need"),
        &["ca-base", "crt-base"]),
    row(Global, Works(global::ssl_default_server_options,
        "of the TLS in checks: 'ssl-min-ver', 'ssl-max-ver' and their kin"),
        &["ssl-default-server-options"]),
    row(Global, Works(privileges::chroot, ""), &["chroot"]),
    row(Global, Works(privileges::user, "changes of it take effect at the next start"),
        &["user", "uid"]),
    row(Global, Works(privileges::group, "changes of it take effect at the next start"),
        &["group", "gid"]),
    row(Global, Works(privileges::setcap, ""), &["setcap"]),
    row(Global, Works(privileges::set_dumpable, ""), &["set-dumpable"]),
    row(Global, Works(privileges::insecure_setuid_wanted, ""), &["insecure-setuid-wanted"]),
    row(Global, Works(privileges::unix_bind, "of 'bind' lines"), &["unix-bind"]),
    row(Global, Works(privileges::ulimit_n, ""), &["ulimit-n"]),
    row(Global, Works(privileges::fd_hard_limit, ""), &["fd-hard-limit"]),
    row(Global, Works(runtime::socket, "takes commands, see docs/runtime.md; `severity-output` is accepted and changes nothing, nor does `expose-fd`: a successor binds anew"),
        &["stats socket"]),
    row(Global, Works(runtime::timeout, ""), &["stats timeout"]),
    row(Global, Works(runtime::maxconn, ""), &["stats maxconn"]),
    row(Global, Refused("HAProxy dropped it in 2.5; remove the line"), &["stats bind-process"]),
    row(Global, Silent(ONE_PROCESS), &["master-worker", "mworker-max-reloads", "localpeer",
        "close-spread-time", "cluster-secret", "no-memory-trimming", "prealloc-fd",
        "strict-limits", "numa-cpu-mapping"]),
    row(Global, NoEffect("listeners close at once when the process drains"), &["grace"]),
    row(Global, Works(global::max_spread_checks, ""), &["max-spread-checks"]),
    row(Global, NoEffect("warnings never keep the process from starting; -dW does"),
        &["zero-warning"]),
    row(Global, Works(global::log_send_hostname, ""), &["log-send-hostname"]),
    row(Global, Works(runtime::state_file, "read at start; a reload carries everything over in memory"),
        &["server-state-file"]),
    row(Global, Works(runtime::state_base, ""), &["server-state-base"]),
    row(Global, NoEffect("rates of new connections are not limited"), &["maxconnrate",
        "maxsessrate"]),
    row(Global,
        NoEffect("threads run wherever the kernel puts them; use CPUAffinity= of the service"),
        &["cpu-map", "cpu-affinity", "cpu-policy", "cpu-set", "thread-group", "thread-groups",
        "thread-hard-limit", "max-threads-per-group"]),
    row(Global, Silent("relative paths stand for nothing that is read here"), &["default-path"]),
    row(Global, NoEffect("the process runs no programs"), &["external-check",
        "insecure-fork-wanted"]),
    row(Global, NoEffect("variables serve rules, which are refused where they matter"),
        &["set-var", "set-var-fmt"]),
    row(Global, NoEffect("it concerns HAProxy's own event loop and diagnostics"),
        &["noepoll", "nopoll", "nokqueue", "noevports", "nogetaddrinfo",
        "noreuseport", "quiet", "debug", "profiling.tasks", "profiling.memory",
        "stress-level", "force-cfg-parser-pause", "warn-blocked-traffic-after", "shm-stats-file",
        "shm-stats-file-max-objects", "anonkey", "maxpipes"]),
    row(Global, Silent("every keyword known here is known without it"),
        &["expose-experimental-directives", "expose-deprecated-directives"]),
    row(Global, NoEffect("the ports that a client may come from are not restricted"),
        &["harden.reject-privileged-ports.tcp"]),
    row(Global, NoEffect("addresses of every family are looked up"), &["dns-accept-family"]),
    row(Global, Refused("Lua programs are not supported; remove the line if no rule uses it"),
        &["lua-load", "lua-load-per-thread", "lua-prepend-path"]),
    row(Global, Refused("HAProxy dropped it; remove the line, checks have the room they need"),
        &["tune.chksize"]),
    row(Global,
        Refused("HAProxy dropped it in 2.5; remove the line, threads are used by themselves"),
        &["nbproc"]),
    row(Global, Silent(NO_TLS), &["key-base", "maxsslconn", "maxsslrate",
        "noktls", "issuers-chain-path", "acme.scheduler", "jwt.decrypt_alg_list",
        "jwt.decrypt_enc_list", "harden.reject-privileged-ports.quic", "limited-quic", "no-quic",
        "ocsp-update.disable", "ocsp-update.httpproxy", "ocsp-update.maxdelay",
        "ocsp-update.mindelay", "ocsp-update.mode", "ssl-default-bind-ciphers",
        "ssl-default-bind-ciphersuites", "ssl-default-bind-client-sigalgs",
        "ssl-default-bind-curves", "ssl-default-bind-options", "ssl-default-bind-sigalgs",
        "ssl-default-server-ciphers", "ssl-default-server-ciphersuites",
        "ssl-default-server-client-sigalgs", "ssl-default-server-curves",
        "ssl-default-server-sigalgs", "ssl-dh-param-file",
        "ssl-engine", "ssl-load-extra-del-ext", "ssl-load-extra-files", "ssl-mode-async",
        "ssl-passphrase-cmd", "ssl-propquery", "ssl-provider", "ssl-provider-path",
        "ssl-security-level", "ssl-skip-self-issued-ca"]),
    row(Global, Silent(NO_HTTP), &["h1-accept-payload-with-any-method", "h1-case-adjust",
        "h1-case-adjust-file", "h1-do-not-close-on-insecure-transfer-encoding",
        "h2-workaround-bogus-websocket-clients", "http-err-codes", "http-fail-codes",
        "httpclient.resolvers.disabled", "httpclient.resolvers.id", "httpclient.resolvers.prefer",
        "httpclient.retries", "httpclient.ssl.ca-file", "httpclient.ssl.verify",
        "httpclient.timeout.connect", "maxcompcpuusage", "maxcomprate", "pp2-never-send-local",
        "51degrees-data-file", "51degrees-property-name-list", "51degrees-property-separator",
        "51degrees-cache-size", "51degrees-use-performance-graph",
        "51degrees-use-predictive-graph", "51degrees-drift", "51degrees-difference",
        "51degrees-allow-unmatched", "deviceatlas-json-file", "deviceatlas-log-level",
        "deviceatlas-separator", "deviceatlas-properties-cookie", "wurfl-data-file",
        "wurfl-information-list", "wurfl-information-list-separator", "wurfl-patch-file",
        "wurfl-cache-size"]),
    row(Global, NoEffect(TUNING), &["tune.applet.zero-copy-forwarding", "tune.buffers.limit",
        "tune.buffers.reserve", "tune.bufsize", "tune.bufsize.large", "tune.bufsize.small",
        "tune.cli.max-payload-size", "tune.defaults.purge",
        "tune.disable-fast-forward", "tune.disable-zero-copy-forwarding",
        "tune.epoll.mask-events", "tune.events.max-events-at-once", "tune.fail-alloc",
        "tune.fd.edge-triggered", "tune.fd.tables", "tune.glitches.kill.cpu-usage",
        "tune.idle-pool.shared", "tune.idletimer", "tune.listener.default-shards",
        "tune.listener.multi-queue", "tune.max-checks-per-thread", "tune.max-rules-at-once",
        "tune.maxaccept", "tune.maxpollevents", "tune.maxrewrite", "tune.memory.hot-size", "tune.notsent-lowat.client", "tune.notsent-lowat.server",
        "tune.pattern.cache-size", "tune.peers.max-updates-at-once",
        "tune.pool-high-fd-ratio", "tune.pool-low-fd-ratio", "tune.pt.zero-copy-forwarding",
        "tune.rcvbuf.backend", "tune.rcvbuf.client", "tune.rcvbuf.frontend", "tune.rcvbuf.server",
        "tune.recv_enough", "tune.renice.runtime", "tune.renice.startup", "tune.ring.queues",
        "tune.runqueue-depth", "tune.sched.low-latency", "tune.sndbuf.backend",
        "tune.sndbuf.client", "tune.sndbuf.frontend", "tune.sndbuf.server", "tune.stick-counters",
        "tune.streams-elasticity", "tune.takeover-other-tg-connections",
        "tune.vars.check-max-size", "tune.vars.global-max-size", "tune.vars.proc-max-size",
        "tune.vars.reqres-max-size", "tune.vars.sess-max-size", "tune.vars.txn-max-size"]),
    row(Global, Silent(NO_TLS), &["tune.ssl.cachesize", "tune.ssl.capture-buffer-size",
        "tune.ssl.capture-cipherlist-size", "tune.ssl.certificate-compression",
        "tune.ssl.default-dh-param", "tune.ssl.force-private-cache", "tune.ssl.hard-maxrecord",
        "tune.ssl.keylog", "tune.ssl.keyupdate-rate-limit", "tune.ssl.lifetime",
        "tune.ssl.maxrecord", "tune.ssl.ocsp-update.maxdelay", "tune.ssl.ocsp-update.mindelay",
        "tune.ssl.ssl-ctx-cache-size", "tune.quic.frontend.conn-tx-buffers.limit",
        "tune.quic.frontend.max-idle-timeout", "tune.quic.frontend.max-streams-bidi",
        "tune.quic.max-frame-loss", "tune.quic.reorder-ratio", "tune.quic.retry-threshold",
        "tune.quic.socket-owner", "tune.quic.zero-copy-fwd-send"]),
    row(Global, Silent(NO_HTTP), &["tune.comp.maxlevel", "tune.h1.be.glitches-threshold",
        "tune.h1.fe.glitches-threshold", "tune.h1.zero-copy-fwd-recv",
        "tune.h1.zero-copy-fwd-send", "tune.h2.be.glitches-threshold",
        "tune.h2.be.initial-window-size", "tune.h2.be.max-concurrent-streams",
        "tune.h2.be.max-frames-at-once", "tune.h2.be.rxbuf", "tune.h2.fe.glitches-threshold",
        "tune.h2.fe.initial-window-size", "tune.h2.fe.max-concurrent-streams",
        "tune.h2.fe.max-frames-at-once", "tune.h2.fe.max-rst-at-once",
        "tune.h2.fe.max-total-streams", "tune.h2.fe.rxbuf", "tune.h2.header-table-size",
        "tune.h2.initial-window-size", "tune.h2.log-errors", "tune.h2.max-concurrent-streams",
        "tune.h2.max-frame-size", "tune.h2.zero-copy-fwd-send", "tune.http.cookielen",
        "tune.http.logurilen", "tune.http.maxhdr", "tune.lua.bool-sample-conversion",
        "tune.lua.burst-timeout", "tune.lua.forced-yield", "tune.lua.log.loggers",
        "tune.lua.log.stderr", "tune.lua.maxmem", "tune.lua.openlibs", "tune.lua.service-timeout",
        "tune.lua.session-timeout", "tune.lua.task-timeout"]),
    // Proxies: what they are.
    row(Any, Works(proxy::mode,
        "tcp; a proxy in mode http is refused where it would carry traffic"), &["mode"]),
    row(Any, Works(proxy::disabled, ""), &["disabled", "enabled"]),
    row(Named, Works(proxy::id, ""), &["id"]),
    row(Named, NoEffect("descriptions of proxies are shown nowhere"), &["description"]),
    row(Named, NoEffect("proxies are known by name and id"), &["guid"]),
    row(NamedFront, Works(proxy::bind, ""), &["bind"]),
    row(Front, Works(proxy::default_backend, ""), &["default_backend"]),
    row(Front, Works(proxy::maxconn, ""), &["maxconn"]),
    row(Front, Works(proxy::backlog, ""), &["backlog"]),
    row(NamedBack, Works(proxy::server, ""), &["server"]),
    row(Back, Works(proxy::default_server, ""), &["default-server"]),
    row(NamedBack, Works(proxy::server_template, ""), &["server-template"]),
    row(Back, Works(proxy::retries, ""), &["retries"]),
    row(Any, Works(proxy::log, "UDP, Unix datagram sockets, stdout, stderr, fd@"), &["log"]),
    row(Any, Works(proxy::log_tag, ""), &["log-tag"]),
    // Balance.
    row(Back, Works(balance::balance, ""), &["balance roundrobin", "balance static-rr",
        "balance leastconn", "balance source", "balance first", "balance random"]),
    row(Back, Works(balance::balance,
        "of src, src_port, dst, dst_port, rand, int, str; ipmask, sdbm, djb2, wt6, crc32, mod"),
        &["balance hash"]),
    row(Back, Works(balance::balance, "without an algorithm: roundrobin"), &["balance"]),
    row(Back, Works(balance::balance, "accepted: the cookie is not looked for, servers take turns"),
        &["balance rdp-cookie"]),
    row(Back, Works(balance::of_other_mode,
        "needs mode http: as roundrobin, with HAProxy's own warning"), &["balance uri",
        "balance url_param", "balance hdr"]),
    row(Back, Works(balance::of_other_mode,
        "needs mode log: as roundrobin, with HAProxy's own warning"), &["balance log-hash"]),
    row(Back,
        Refused("it is made for logs; use source, which keeps each client at its server"),
        &["balance sticky"]),
    row(Back,
        Refused("it decides which server a client gets, which is not supported yet; use 'balance source' for that"),
        &["persist rdp-cookie"]),
    row(Back, Works(balance::hash_type, ""), &["hash-type"]),
    row(Back, Works(balance::hash_balance_factor, "for random, and hashes of hash-type consistent"),
        &["hash-balance-factor"]),
    row(Back, NoEffect("a client waits for the server that its hash leads to, as in HAProxy 3.0"),
        &["hash-preserve-affinity"]),
    // Timeouts.
    row(Back, Works(proxy::timeout, ""), &["timeout connect", "timeout server",
        "timeout server-fin", "timeout tunnel", "timeout check", "timeout queue"]),
    row(Front, Works(proxy::timeout, ""), &["timeout client", "timeout client-fin"]),
    row(Any, Works(proxy::unused_timeout, "without effect: it concerns HTTP or TLS"),
        &["timeout tarpit", "timeout client-hs", "timeout handshake"]),
    row(Any, Works(proxy::http_timeout, "in mode http; without effect in mode tcp"),
        &["timeout http-request", "timeout http-keep-alive"]),
    row(Any,
        Refused("HAProxy dropped it in 2.1; write 'timeout connect', 'timeout client' or 'timeout server'"),
        &["contimeout", "clitimeout", "srvtimeout", "timeout contimeout", "timeout clitimeout",
        "timeout srvtimeout"]),
    // Options of connections.
    row(Back, Works(proxy::redispatch,
        "without the line, a failed connect goes to another server too where nothing pins the client"),
        &["option redispatch"]),
    row(Back, Works(proxy::allbackups, ""), &["option allbackups"]),
    row(Any, Works(proxy::tcpka, ""), &["option tcpka"]),
    row(Front, Works(proxy::tcpka, ""), &["option clitcpka"]),
    row(Back, Works(proxy::tcpka, ""), &["option srvtcpka"]),
    row(Front, Works(proxy::keepalive, ""), &["clitcpka-cnt", "clitcpka-idle", "clitcpka-intvl"]),
    row(Back, Works(proxy::keepalive, ""), &["srvtcpka-cnt", "srvtcpka-idle", "srvtcpka-intvl"]),
    row(Any, Works(proxy::splice, "one proxy that asks for it has all of them splice"),
        &["option splice-auto", "option splice-request", "option splice-response"]),
    row(Any, NoEffect("connections end with a FIN, or with the RST that the other side sent"),
        &["option nolinger"]),
    row(Any, Silent("each direction has its own activity; a session ends when both are idle"),
        &["option independent-streams"]),
    row(Back, Works(load::abortonclose, ""), &["option abortonclose"]),
    row(Front, Silent("it saves one packet; data is acknowledged as the kernel likes"),
        &["option tcp-smart-accept"]),
    row(Back, Silent("it saves one packet; data is acknowledged as the kernel likes"),
        &["option tcp-smart-connect"]),
    row(Front, Silent("counters are always up to date"), &["option contstats"]),
    row(Front, NoEffect("statistics are kept per frontend, not per socket"),
        &["option socket-stats"]),
    row(Back, Refused("it connects to the client's own destination, which is not supported"),
        &["option transparent", "transparent"]),
    row(NamedBack, Refused("use a 'server' line"), &["dispatch"]),
    row(Back, Works(load::fullconn, ""), &["fullconn"]),
    row(Back, Works(net::source_line, "from IP addresses; `usesrc hdr_ip` is refused"), &["source"]),
    row(Front, NoEffect("rates of new connections are not limited"), &["rate-limit sessions"]),
    row(Back,
        NoEffect("'use-server' takes no server that is down: the client goes to another"),
        &["option persist", "force-persist"]),
    row(Back,
        Silent("persistence comes from cookies, which need HTTP"),
        &["ignore-persist"]),
    row(Back, Works(runtime::load_state, "at start; a reload carries everything over in memory"),
        &["load-server-state-from-file"]),
    row(NamedBack, Works(runtime::state_file_name, ""), &["server-state-file-name"]),
    row(Any, NoEffect("no mail is sent; alert on the metrics"), &["email-alert from",
        "email-alert level", "email-alert mailers", "email-alert myhostname", "email-alert to"]),
    // Logs.
    row(Any, Works(proxy::tcplog, ""), &["option tcplog"]),
    row(Any, Works(proxy::httplog, "needs mode http: as tcplog, with HAProxy's own warning"),
        &["option httplog", "option httpslog"]),
    row(Front, Works(proxy::dontlognull, ""), &["option dontlognull"]),
    row(Front, Works(proxy::log_format,
        "every variable that has a meaning in mode tcp; samples in `%[...]`; `+Q`, `+X`, `+E`, `+json`"),
        &["log-format"]),
    row(Front, Works(proxy::log_format, "with targets of `format rfc5424`"), &["log-format-sd"]),
    row(Front, NoEffect("lines of failed handshakes are not configurable"),
        &["error-log-format"]),
    row(Front, Works(proxy::log_option, ""), &["option dontlog-normal", "option logasap",
        "option log-separate-errors"]),
    row(Back, Works(health::policy, ""), &["option log-health-checks"]),
    row(Any, NoEffect("sessions are logged once, when they end"), &["log-steps"]),
    row(Front, NoEffect("sessions have no id of their own; %ID is written as '-'"),
        &["unique-id-format"]),
    row(Front, Silent(NO_HTTP), &["unique-id-header"]),
    // Checks.
    row(Back, Works(checks::option, ""), &["option tcp-check", "option httpchk",
        "option ssl-hello-chk", "option ldap-check", "option smtpchk", "option mysql-check",
        "option pgsql-check", "option redis-check"]),
    row(Back, Works(checks::rule, ""), &["http-check comment", "http-check connect",
        "http-check disable-on-404", "http-check expect", "http-check send",
        "http-check send-state", "tcp-check comment", "tcp-check connect", "tcp-check expect",
        "tcp-check send", "tcp-check send-lf", "tcp-check send-binary",
        "tcp-check send-binary-lf"]),
    row(Back, Works(checks::rule, "of the check itself: check.NAME or sess.NAME"),
        &["http-check set-var", "http-check set-var-fmt", "http-check unset-var",
        "tcp-check set-var", "tcp-check set-var-fmt", "tcp-check unset-var"]),
    row(Back, Works(health::policy,
        "ours: while no server passes its check but they accept connections, the last usable ones stay in use"),
        &["fail-open"]),
    row(Back, NoEffect("the agents of SPOP are checked by a plain connect"),
        &["option spop-check"]),
    row(Back, Refused("checks by a program are not supported"), &["option external-check",
        "external-check command", "external-check path"]),
    // Rules.
    row(Any, Works(rules::acl, "on what is known without looking into what clients send"),
        &["acl"]),
    row(NamedFront, Works(rules::use_backend, "names of samples, `%[...]`, too"), &["use_backend"]),
    row(NamedBack, Works(rules::use_server, ""), &["use-server"]),
    row(Any, Works(rules::inspect_delay, ""),
        &["tcp-request inspect-delay", "tcp-response inspect-delay"]),
    row(Any, Works(rules::tcp, ""), &["tcp-request connection accept",
        "tcp-request connection reject", "tcp-request connection silent-drop",
        "tcp-request connection expect-proxy", "tcp-request session accept",
        "tcp-request session reject", "tcp-request session silent-drop",
        "tcp-request content accept", "tcp-request content reject",
        "tcp-request content silent-drop", "tcp-response content accept"]),
    row(Any, Refused("the NetScaler header is not supported; without it it would be sent on to servers"),
        &["tcp-request connection expect-netscaler-cip"]),
    row(Any, Refused("what servers answer is not looked at"), &["tcp-response content reject",
        "tcp-response content close", "tcp-response content silent-drop"]),
    row(Any,
        Refused("it changes where a connection goes or what its server sees, which is not supported"),
        &["tcp-request connection set-dst", "tcp-request connection set-dst-port",
        "tcp-request connection set-src", "tcp-request connection set-src-port",
        "tcp-request session attach-srv", "tcp-request session set-dst",
        "tcp-request session set-dst-port", "tcp-request session set-src",
        "tcp-request session set-src-port", "tcp-request content do-resolve",
        "tcp-request content lua", "tcp-request content set-dst",
        "tcp-request content set-dst-port", "tcp-request content set-src",
        "tcp-request content set-src-port", "tcp-request content switch-mode",
        "tcp-request content use-service", "tcp-response content lua"]),
    row(Any, NoEffect("counters and variables of rules are not kept; what reads them is refused"),
        &["tcp-request connection do-log", "tcp-request connection sc-add-gpc",
        "tcp-request connection sc-inc-gpc", "tcp-request connection sc-inc-gpc0",
        "tcp-request connection sc-inc-gpc1", "tcp-request connection sc-set-gpt",
        "tcp-request connection sc-set-gpt0", "tcp-request connection set-var",
        "tcp-request connection set-var-fmt", "tcp-request connection track-sc0",
        "tcp-request connection track-sc1", "tcp-request connection track-sc2",
        "tcp-request connection unset-var", "tcp-request session do-log",
        "tcp-request session sc-add-gpc", "tcp-request session sc-inc-gpc",
        "tcp-request session sc-inc-gpc0", "tcp-request session sc-inc-gpc1",
        "tcp-request session sc-set-gpt", "tcp-request session sc-set-gpt0",
        "tcp-request session set-var", "tcp-request session set-var-fmt",
        "tcp-request session track-sc0", "tcp-request session track-sc1",
        "tcp-request session track-sc2", "tcp-request session unset-var",
        "tcp-request content capture", "tcp-request content ot-group",
        "tcp-response content ot-group", "tcp-request content do-log",
        "tcp-request content sc-add-gpc", "tcp-request content sc-inc-gpc",
        "tcp-request content sc-inc-gpc0", "tcp-request content sc-inc-gpc1",
        "tcp-request content sc-set-gpt", "tcp-request content sc-set-gpt0",
        "tcp-request content send-spoe-group", "tcp-request content set-log-level",
        "tcp-request content set-nice", "tcp-request content set-priority-class",
        "tcp-request content set-priority-offset", "tcp-request content set-var",
        "tcp-request content set-var-fmt", "tcp-request content track-sc0",
        "tcp-request content track-sc1", "tcp-request content track-sc2",
        "tcp-request content unset-var", "tcp-response content do-log",
        "tcp-response content sc-add-gpc", "tcp-response content sc-inc-gpc",
        "tcp-response content sc-inc-gpc0", "tcp-response content sc-inc-gpc1",
        "tcp-response content sc-set-gpt", "tcp-response content sc-set-gpt0",
        "tcp-response content send-spoe-group", "tcp-response content set-log-level",
        "tcp-response content set-nice", "tcp-response content set-var",
        "tcp-response content set-var-fmt", "tcp-response content unset-var"]),
    row(Any, Refused("packets and connections are not marked, bounded or tried as a rule says"),
        &["tcp-request connection set-fc-mark", "tcp-request connection set-fc-tos",
        "tcp-request connection set-mark", "tcp-request connection set-tos",
        "tcp-request session set-fc-mark", "tcp-request session set-fc-tos",
        "tcp-request session set-mark", "tcp-request session set-tos",
        "tcp-request content set-bandwidth-limit", "tcp-request content set-bc-mark",
        "tcp-request content set-bc-tos", "tcp-request content set-fc-mark",
        "tcp-request content set-fc-tos", "tcp-request content set-mark",
        "tcp-request content set-retries", "tcp-request content set-tos",
        "tcp-response content set-bandwidth-limit", "tcp-response content set-fc-mark",
        "tcp-response content set-fc-tos", "tcp-response content set-mark",
        "tcp-response content set-tos"]),
    row(Named,
        NoEffect("nothing is stored; rules that would use the table have their own verdict"),
        &["stick-table"]),
    row(NamedBack,
        Refused("it decides which server a client gets, which is not supported yet; use 'balance source' for that"),
        &["stick on", "stick match", "stick store-request", "stick store-response"]),
    row(Named, NoEffect("it only watches traffic"), &["filter trace", "filter opentracing"]),
    row(Named, Refused("it changes traffic, which is not supported"), &["filter bwlim-in",
        "filter bwlim-out", "filter spoe"]),
    row(Named, Support::Http(Http::Nothing), &["filter compression", "filter comp-req",
        "filter comp-res", "filter cache", "filter fcgi-app", "filter-sequence"]),
    row(NamedBack, Refused("a backend that takes no traffic is said with 'disabled'"),
        &["be-unpublished", "force-be-switch"]),
    row(Any, Refused("HAProxy dropped it; remove the line"), &["bind-process",
        "option http_proxy", "option http-tunnel", "option forceclose", "grace", "monitor-net"]),
    row(Any, Refused("HAProxy dropped it in 2.1; write 'option redispatch'"), &["redisp",
        "redispatch"]),
    row(Any, Refused("HAProxy dropped it in 2.1, and rules on HTTP are not supported"), &["block",
        "reqadd", "reqallow", "reqdel", "reqdeny", "reqiallow", "reqidel", "reqideny", "reqipass",
        "reqirep", "reqitarpit", "reqpass", "reqrep", "reqtarpit", "rspadd", "rspdel", "rspdeny",
        "rspidel", "rspideny", "rspirep", "rsprep"]),
    row(Front, Silent(NO_TLS), &["ssl-f-use"]),
    // HTTP.
    row(Any, Support::Http(Http::Option), &["option forwardfor", "option originalto",
        "option http-no-delay", "option http-buffer-request"]),
    row(Front, Support::Http(Http::Option), &["option accept-invalid-http-request",
        "option accept-unsafe-violations-in-http-request", "option disable-h2-upgrade",
        "option idle-close-on-response", "option http-ignore-probes",
        "option http-use-proxy-header"]),
    row(Back, Support::Http(Http::Option), &["option accept-invalid-http-response",
        "option accept-unsafe-violations-in-http-response", "option checkcache",
        "option http-pretend-keepalive", "option prefer-last-server"]),
    row(Any, Support::Http(Http::Nothing), &["option http-server-close", "option httpclose",
        "option http-keep-alive", "option http-restrict-req-hdr-names", "errorfile", "errorfiles",
        "errorloc", "errorloc302", "errorloc303", "http-error", "compression",
        "use-small-buffers"]),
    row(Front, Support::Http(Http::Nothing), &["option h1-case-adjust-bogus-client",
        "option http-drop-response-trailers"]),
    row(Back, Support::Http(Http::Nothing), &["option h1-case-adjust-bogus-server",
        "option http-drop-request-trailers", "http-reuse", "http-send-name-header",
        "max-keep-alive-queue", "max-session-srv-conns", "retry-on"]),
    row(NamedFront, Support::Http(Http::Nothing), &["capture cookie", "capture request",
        "capture response", "declare capture", "monitor fail"]),
    row(NamedBack, Support::Http(Http::Nothing), &["use-fcgi-app"]),
    row(Any, Support::Http(Http::Rules), &["http-request", "http-response",
        "http-after-response"]),
    row(Named, Support::Http(Http::Rules), &["redirect"]),
    row(Front, Support::Http(Http::Statement), &["monitor-uri"]),
    row(Any, Support::Http(Http::Statement), &["stats admin", "stats auth", "stats enable",
        "stats hide-version", "stats http-request", "stats realm", "stats refresh", "stats scope",
        "stats show-desc", "stats show-legends", "stats show-modules", "stats show-node",
        "stats uri"]),
    row(Back, Support::Http(Http::Cookie), &["cookie"]),
    row(Back, Silent(NO_HTTP), &["dynamic-cookie-key"]),
];

const NO_SOCKET_OPTION: &str = "connections are accepted without it";

/// The options of `bind`.
#[rustfmt::skip]
pub(crate) static BIND_OPTIONS: &[OptionRow] = &[
    opt(One, OptionSupport::Works, &["backlog", "interface", "maxconn", "name", "tcp-ut"]),
    opt(NoArgument, OptionSupport::Works, &["transparent", "v4v6", "v6only"]),
    // Of Unix sockets alone, as in HAProxy.
    opt(One, OptionSupport::Works, &["gid", "group", "mode", "uid", "user"]),
    opt(NoArgument, OptionSupport::Works, &["accept-proxy", "defer-accept", "tfo"]),
    opt(One, OptionSupport::Works, &["id", "mss"]),
    // Works: checked, then without effect: each thread has a socket and serves in turn.
    opt(One, OptionSupport::Works, &["nice", "shards"]),
    opt(One, OptionSupport::NoEffect(NO_SOCKET_OPTION), &["cc", "idle-ping", "tcp-ss"]),
    opt(One, OptionSupport::NoEffect("every thread accepts from every socket"), &["thread"]),
    opt(One, OptionSupport::NoEffect("statistics know sockets by name"), &["guid-prefix",
        "label"]),
    opt(One, OptionSupport::Refused("HAProxy dropped it in 2.5; remove it"), &["process"]),
    opt(One, OptionSupport::Works, &["expose-fd", "level", "severity-output"]),
    opt(One, OptionSupport::Silent(NO_HTTP), &["proto"]),
    opt(One,
        OptionSupport::Refused("the NetScaler header is not supported; without it it would be sent on to servers"),
        &["accept-netscaler-cip"]),
    opt(One,
        OptionSupport::Refused("network namespaces are not supported; the address would be bound in another one"),
        &["namespace"]),
    opt(One,
        OptionSupport::Refused("signed segments are not supported; connections would come in unsigned"),
        &["tcp-md5sig"]),
    opt(One, OptionSupport::Refused("listeners that connect out are not supported"), &["nbconn"]),
    opt(NoArgument,
        OptionSupport::Refused("TLS is not terminated; without it clients would be sent on as they come"),
        &["ssl"]),
    opt(NoArgument, OptionSupport::Silent(NO_TLS), &["allow-0rtt", "force-sslv3", "force-tlsv10",
        "force-tlsv11", "force-tlsv12", "force-tlsv13", "generate-certificates", "no-alpn",
        "no-ca-names", "no-sslv3", "no-strict-sni", "no-tls-tickets", "no-tlsv10", "no-tlsv11",
        "no-tlsv12", "no-tlsv13", "prefer-client-ciphers", "quic-force-retry", "strict-sni",
        "tls-tickets"]),
    opt(One, OptionSupport::Silent(NO_TLS), &["alpn", "ca-file", "ca-ignore-err", "ca-sign-file",
        "ca-sign-pass", "ca-verify-file", "ciphers", "ciphersuites", "client-sigalgs", "crl-file",
        "crt", "crt-ignore-err", "crt-list", "curves", "default-crt", "ecdhe", "ktls", "npn",
        "ocsp-update", "quic-cc-algo", "quic-socket", "sigalgs", "ssl-max-ver", "ssl-min-ver",
        "tls-ticket-keys", "verify"]),
];

const CHECK_TLS: &str = "checks speak TLS with the ciphers, curves and signatures of rustls";

/// The options of `server` and `default-server`.
#[rustfmt::skip]
pub(crate) static SERVER_OPTIONS: &[OptionRow] = &[
    opt(NoArgument, OptionSupport::Works, &["backup", "no-backup", "check", "no-check",
        "disabled", "enabled"]),
    opt(One, OptionSupport::Works, &["addr", "downinter", "fall", "fastinter", "id", "init-addr",
        "resolve-net", "resolve-opts", "resolve-prefer", "resolvers",
        "inter", "on-marked-down", "port", "rise", "tcp-ut", "weight"]),
    opt(NoArgument, OptionSupport::Works, &["check-ssl", "no-check-ssl"]),
    // Works: of the TLS in checks.
    opt(One, OptionSupport::Works, &["ca-file", "check-alpn", "check-sni", "crt", "ssl-max-ver",
        "ssl-min-ver", "verify", "verifyhost"]),
    opt(NoArgument, OptionSupport::Works, &["force-sslv3", "force-tlsv10", "force-tlsv11",
        "force-tlsv12", "force-tlsv13", "no-sslv3", "no-tlsv10", "no-tlsv11", "no-tlsv12",
        "no-tlsv13", "no-verifyhost"]),
    // Works: HAProxy's own warnings.
    opt(One, OptionSupport::Works, &["cookie"]),
    opt(One, OptionSupport::Works, &["init-state", "maxconn", "maxqueue", "minconn",
        "on-marked-up", "slowstart", "track"]),
    opt(NoArgument, OptionSupport::Silent("a server never has more sessions than its limit anyway"),
        &["strict-maxconn"]),
    opt(NoArgument, OptionSupport::Works, &["check-send-proxy", "no-check-send-proxy",
        "no-send-proxy", "no-send-proxy-v2", "no-send-proxy-v2-ssl", "no-send-proxy-v2-ssl-cn",
        "no-tfo", "send-proxy", "send-proxy-v2", "send-proxy-v2-ssl", "send-proxy-v2-ssl-cn",
        "tfo"]),
    opt(One, OptionSupport::Works, &["proxy-v2-options"]),
    opt(Source, OptionSupport::Works, &["source"]),
    opt(NoArgument, OptionSupport::Silent("it concerns 'socks4', which is refused"),
        &["check-via-socks4"]),
    opt(NoArgument, OptionSupport::NoEffect("checks ask for the name of 'check-sni' alone"),
        &["check-sni-auto"]),
    opt(NoArgument, OptionSupport::Silent("each check has a connection of its own"),
        &["check-reuse-pool"]),
    opt(One, OptionSupport::Silent("each check has a connection of its own"),
        &["check-pool-conn-name"]),
    opt(One, OptionSupport::NoEffect("checks speak HTTP/1"), &["check-proto"]),
    opt(One, OptionSupport::NoEffect("servers are checked as their backend says"),
        &["healthcheck"]),
    opt(One, OptionSupport::NoEffect("servers are known by name and id"), &["guid"]),
    opt(One, OptionSupport::NoEffect("connections are made without it"), &["cc", "idle-ping"]),
    opt(NoArgument, OptionSupport::Silent("it says what is so anyway"), &["no-check-reuse-pool", "no-check-sni-auto", "no-ssl",
        "non-stick", "stick"]),
    opt(One, OptionSupport::Works, &["hash-key"]),
    opt(One, OptionSupport::Silent("it concerns log backends and peers"), &["log-bufsize",
        "log-proto", "shard"]),
    opt(One, OptionSupport::Silent(NO_HTTP), &["max-reuse", "pool-conn-name", "pool-low-conn",
        "pool-max-conn", "pool-purge-delay", "proto", "ws"]),
    opt(One, OptionSupport::Refused("it needs mode http, and HAProxy refuses it in mode tcp, too; remove it"),
        &["redir"]),
    opt(NoArgument, OptionSupport::Works, &["agent-check", "no-agent-check"]),
    opt(One, OptionSupport::Works, &["agent-addr", "agent-inter", "agent-port", "agent-send",
        "error-limit", "observe", "on-error"]),
    opt(One,
        OptionSupport::Refused("fields of its own cannot be put into a PROXY header; the server would miss them"),
        &["set-proxy-v2-tlv-fmt"]),
    opt(NoArgument, OptionSupport::Refused("it belongs after 'source'"), &["usesrc"]),
    opt(One,
        OptionSupport::Refused("SOCKS is not supported; the connection would take another way"),
        &["socks4"]),
    opt(One,
        OptionSupport::Refused("network namespaces are not supported; the connection would take another way"),
        &["namespace"]),
    opt(One,
        OptionSupport::Refused("signed segments are not supported; the server would refuse every connection"),
        &["tcp-md5sig"]),
    opt(NoArgument,
        OptionSupport::Refused("connecting to servers over TLS is not supported; clients speak TLS to the server themselves"),
        &["ssl"]),
    opt(NoArgument, OptionSupport::Silent(CHECK_TLS), &["allow-0rtt", "no-renegotiate",
        "no-sni-auto", "no-ssl-reuse", "no-tls-tickets", "renegotiate", "sni-auto", "ssl-reuse",
        "tls-tickets"]),
    opt(One, OptionSupport::Silent(CHECK_TLS), &["alpn", "ciphers", "ciphersuites",
        "client-sigalgs", "curves", "ktls", "npn", "sigalgs", "sni"]),
    opt(One, OptionSupport::NoEffect("certificates in checks are not looked up in lists of revoked ones"),
        &["crl-file"]),
];

/// Sections that are read over.
pub(crate) static OTHER_SECTIONS: &[(&str, OptionSupport)] = &[
    (
        "peers",
        OptionSupport::NoEffect("stick tables are not kept, so there is nothing to share"),
    ),
    ("resolvers", OptionSupport::Works),
    (
        "mailers",
        OptionSupport::NoEffect("no mail is sent; alert on the metrics"),
    ),
    (
        "ring",
        OptionSupport::NoEffect("log lines are sent at once, not kept in a ring"),
    ),
    (
        "program",
        OptionSupport::NoEffect("the program is not started; make it a service of its own"),
    ),
    (
        "userlist",
        OptionSupport::Silent("it says who may see what a frontend in mode http answers by itself"),
    ),
    ("cache", OptionSupport::Silent(NO_HTTP)),
    ("http-errors", OptionSupport::Silent(NO_HTTP)),
    ("fcgi-app", OptionSupport::Silent(NO_HTTP)),
    ("crt-store", OptionSupport::Silent(NO_TLS)),
    ("acme", OptionSupport::Silent(NO_TLS)),
    (
        "traces",
        OptionSupport::NoEffect("it concerns HAProxy's own diagnostics"),
    ),
    (
        "log-profile",
        OptionSupport::NoEffect("lines are written as 'option tcplog' writes them"),
    ),
    (
        "log-forward",
        OptionSupport::Refused("forwarding logs of others is not supported"),
    ),
];

/// The names of the sections that are read.
pub(crate) const SECTIONS: [&str; 5] = ["global", "defaults", "frontend", "listen", "backend"];

/// A keyword found at the beginning of a line.
pub(crate) struct Lookup {
    pub(crate) row: &'static Row,
    pub(crate) name: &'static str,
    /// How many words it is.
    pub(crate) words: usize,
}

type Index = HashMap<(bool, &'static str), (&'static Row, &'static str)>;

fn index() -> &'static Index {
    static INDEX: OnceLock<Index> = OnceLock::new();
    INDEX.get_or_init(|| {
        let named = |row: &'static Row| {
            row.names
                .iter()
                .map(move |name| ((row.scope == Global, *name), (row, *name)))
        };
        KEYWORDS.iter().flat_map(named).collect()
    })
}

/// Finds the longest keyword that `words` begin with.
pub(crate) fn find(global: bool, words: &[&str]) -> Option<Lookup> {
    const LONGEST: usize = 3;
    (1..=words.len().min(LONGEST)).rev().find_map(|count| {
        let mut name = words[..count].join(" ");
        if count > 1 {
            // `balance hdr(host)` and `set-var(txn.x)` carry their argument with them.
            let last = name.len() - words[count - 1].len();
            if let Some(bracket) = name[last..].find('(') {
                name.truncate(last + bracket);
            }
        }
        let (row, name) = index().get(&(global, name.as_str()))?;
        Some(Lookup {
            row,
            name,
            words: count,
        })
    })
}

/// The words that may follow `first` (one word or two) where no keyword is `first` alone.
pub(crate) fn continuations(global: bool, first: &str) -> Vec<&'static str> {
    names(global)
        .filter_map(|name| name.strip_prefix(first)?.strip_prefix(' '))
        .filter(|rest| !rest.contains(' '))
        .collect()
}

/// Every first word.
pub(crate) fn first_words(global: bool) -> impl Iterator<Item = &'static str> {
    names(global).map(|name| name.split(' ').next().unwrap_or(name))
}

fn names(global: bool) -> impl Iterator<Item = &'static str> {
    KEYWORDS
        .iter()
        .filter(move |row| (row.scope == Global) == global)
        .flat_map(|row| row.names.iter().copied())
}

/// Finds an option of `bind` or `server`.
pub(crate) fn find_option(
    table: &'static [OptionRow],
    name: &str,
) -> Option<(&'static OptionRow, &'static str)> {
    table.iter().find_map(|row| {
        let name = row.names.iter().find(|known| **known == name)?;
        Some((row, *name))
    })
}

/// docs/keywords.md: every keyword and its verdict, as the reader applies them.
#[must_use]
pub fn keywords_markdown() -> String {
    let mut text = String::from(
        "# Keywords of haproxy.cfg\n\n\
         What becomes of each keyword, printed from the table that the reader itself uses.\n\n\
         - **works**: does what it does in HAProxy.\n\
         - **without effect**: loads; where something happens differently, one warning says what.\n\
         - **http**: needs `mode http`; in mode tcp it loads as in HAProxy, with HAProxy's own \
         warning if it has one. A proxy in mode http that would carry traffic is refused.\n\
         - **refused**: an error, because ignoring it would change where traffic goes, who may \
         send it, or what a server is told.\n",
    );
    let titles = [
        ("global", true),
        ("defaults, frontend, listen, backend", false),
    ];
    for (title, global) in titles {
        text.push_str(&format!(
            "\n## {title}\n\n| keyword | sections | verdict | remark |\n|---|---|---|---|\n"
        ));
        let mut lines: Vec<String> = KEYWORDS
            .iter()
            .filter(|row| (row.scope == Global) == global)
            .flat_map(|row| row.names.iter().map(move |name| (row, name)))
            .map(|(row, name)| {
                let (verdict, remark) = match &row.support {
                    Works(_, remark) => ("works", *remark),
                    Support::Http(_) => ("http", ""),
                    Silent(remark) => ("without effect, silent", *remark),
                    NoEffect(remark) => ("without effect", *remark),
                    Refused(remark) => ("refused", *remark),
                };
                format!(
                    "| `{name}` | {} | {verdict} | {remark} |\n",
                    row.scope.text()
                )
            })
            .collect();
        lines.sort();
        lines.dedup();
        text.extend(lines);
    }
    for (title, table) in [
        ("Options of bind", BIND_OPTIONS),
        ("Options of server, default-server", SERVER_OPTIONS),
    ] {
        text.push_str(&format!(
            "\n## {title}\n\n| option | verdict | remark |\n|---|---|---|\n"
        ));
        let mut lines: Vec<String> = table
            .iter()
            .flat_map(|row| row.names.iter().map(move |name| (row, name)))
            .map(|(row, name)| {
                let (verdict, remark) = option_verdict(row.support);
                format!("| `{name}` | {verdict} | {remark} |\n")
            })
            .collect();
        lines.sort();
        text.extend(lines);
    }
    text.push_str("\n## Other sections\n\n| section | verdict | remark |\n|---|---|---|\n");
    for (name, support) in OTHER_SECTIONS {
        let (verdict, remark) = option_verdict(*support);
        text.push_str(&format!("| `{name}` | {verdict} | {remark} |\n"));
    }
    text
}

fn option_verdict(support: OptionSupport) -> (&'static str, &'static str) {
    match support {
        OptionSupport::Works => ("works", ""),
        OptionSupport::Silent(remark) => ("without effect, silent", remark),
        OptionSupport::NoEffect(remark) => ("without effect", remark),
        OptionSupport::Refused(remark) => ("refused", remark),
    }
}
