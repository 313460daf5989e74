//! Over 600 lines because it is a table.
//!
//! Every key of the TOML language, with its unit, default and meaning: what a table may hold, and
//! the reference that is printed from it (docs/toml.md).

use super::sections::{Section, key, reference};

static SECTIONS: [&Section; 23] = [
    &ROOT,
    &ADMIN,
    &STATS_SOCKET,
    &GLOBAL,
    &FRONTEND,
    &FRONTEND_TIMEOUT,
    &RULE,
    &USE,
    &BIND,
    &BACKEND,
    &SERVER,
    &BACKEND_TIMEOUT,
    &USE_SERVER,
    &CHECK,
    &SERVER_CHECK,
    &AGENT,
    &SOURCE,
    &RESOLVERS,
    &RESOLVERS_TIMEOUT,
    &RESOLVERS_HOLD,
    &KEEPALIVE,
    &LOG,
    &TIME,
];

pub(super) static ROOT: Section = Section {
    path: "",
    about: "A name may be any string; quote it if it holds anything but \
            letters, digits, `-` and `_`. Frontends, backends and servers keep the order of the \
            file, and several files (`-f a.toml -f b.toml`) are read as one: in `[global]` and \
            `[admin]` the last one that says something wins.",
    keys: &[
        key(
            "admin",
            "table",
            "none",
            "Where metrics are served and commands taken: `[admin]`.",
        ),
        key(
            "global",
            "table",
            "none",
            "What concerns the process: `[global]`.",
        ),
        key(
            "frontend",
            "tables by name",
            "none",
            "Where clients connect: `[frontend.NAME]`.",
        ),
        key(
            "backend",
            "tables by name",
            "none",
            "Where they are served: `[backend.NAME]`.",
        ),
        key(
            "resolvers",
            "tables by name",
            "none",
            "Who is asked for names that may change: `[resolvers.NAME]`.",
        ),
    ],
};

pub(super) static ADMIN: Section = Section {
    path: "admin",
    about: "",
    keys: &[
        key(
            "listen",
            "IP address and port",
            "none: nowhere",
            "Serves /metrics (Prometheus), /healthz, /readyz and /serving over HTTP.",
        ),
        key(
            "socket",
            "address, table or list of them",
            "none: nowhere",
            "Takes commands, HAProxy's Runtime API ([runtime.md](runtime.md)): a path, or what `bind` takes; a table to say more (below).",
        ),
        key(
            "socket-timeout",
            "time",
            "`\"10s\"`",
            "How long a visitor may be silent.",
        ),
        key(
            "socket-maxconn",
            "connections",
            "10",
            "Visitors at once; others wait.",
        ),
    ],
};

pub(super) static STATS_SOCKET: Section = Section {
    path: "admin.socket",
    about: "One socket with options, as in `socket = [{ address = \"/run/evenkeel/stats.sock\", level = \"admin\" }]`.",
    keys: &[
        key("address", "address", "required", "As above."),
        key(
            "level",
            "`user`, `operator`, `admin`",
            "`operator`",
            "What visitors may do: look at what is no secret; look at everything and clear counters; change what is served.",
        ),
        key(
            "mode",
            "permission bits",
            "the process's own",
            "Of a Unix socket.",
        ),
        key(
            "user",
            "name or number",
            "the process's own",
            "Who owns a Unix socket.",
        ),
        key(
            "group",
            "name or number",
            "the process's own",
            "Whose group a Unix socket has.",
        ),
    ],
};

pub(super) static GLOBAL: Section = Section {
    path: "global",
    about: "What concerns the process as a whole.",
    keys: &[
        key(
            "maxconn",
            "connections",
            "what the descriptor limit carries",
            "Concurrent client connections of the process; further clients wait in the kernel's queue.",
        ),
        key(
            "threads",
            "threads, 1-1024",
            "one per available CPU",
            "Data-plane threads.",
        ),
        key(
            "relay",
            "`auto`, `copy`, `splice`",
            "`auto`",
            "How bytes are moved: `copy`, through one large buffer per thread; `splice`, through pipes inside the kernel; `auto`, each transfer as suits it: bulk by splice, the rest by copy.",
        ),
        key(
            "pipe-bytes",
            "bytes, 4096-1073741824",
            "1048576",
            "What the kernel is asked to let a pipe hold that bytes are spliced through. A process that is not root's gets no more than fs.pipe-max-size, and no pipe of this size once its user's pipes exceed fs.pipe-user-pages-soft: what would go through it is copied.",
        ),
        key(
            "busy-polling",
            "`auto`, `on`, `off`",
            "`auto`",
            "What a thread does that has nothing to do. `off`: it sleeps, and the next message waits until it is awake. `on`: it never sleeps, which costs one core a thread. `auto`: it polls for some tens of microseconds first, as long as that pays, and not at all when nothing moves.",
        ),
        key(
            "busy-polling-share",
            "percent, 1-100",
            "25",
            "Most of one core that polling may cost all threads together, beyond what sleeping would have cost, in `auto` alone.",
        ),
        key(
            "hard-stop-after",
            "time or `none`",
            "`none`",
            "How long connections may live on after a stop or reload has been asked for.",
        ),
        key(
            "spread-checks",
            "percent, 0-50",
            "0",
            "Random share added to or taken from the intervals between checks.",
        ),
        key(
            "max-spread-checks",
            "time or `none`",
            "`none`",
            "How far apart the first checks may be, however long the intervals.",
        ),
        key(
            "log",
            "log targets",
            "`\"stdout\"`",
            "Where messages go, and session logs of frontends that say nothing else; `[]`: nowhere.",
        ),
        key(
            "log-tag",
            "string",
            "`evenkeel`",
            "The program's name in syslog lines.",
        ),
        key(
            "log-send-hostname",
            "true or string",
            "false",
            "The host name in syslog lines: this machine's, or another.",
        ),
        key("pidfile", "path", "none", "Where to write the process id."),
        key(
            "daemon",
            "true or false",
            "false",
            "Go into the background once everything is bound.",
        ),
        key(
            "user",
            "name or number",
            "the one that starts the process",
            "Whom the process becomes once everything is bound; needs root. A change takes effect at the next start, here and in the keys below.",
        ),
        key(
            "group",
            "name or number",
            "the one that starts the process",
            "Its group; it has no other then.",
        ),
        key(
            "chroot",
            "path",
            "none",
            "The directory that becomes its root; best one that is empty and nobody's to write.",
        ),
        key(
            "capabilities",
            "list of `cap_net_raw`, `cap_net_admin`, `cap_net_bind_service`, `cap_sys_admin`",
            "`[]`",
            "What of root's rights it keeps as another user.",
        ),
        key(
            "dumpable",
            "true or false",
            "false",
            "Leave a core on a crash although the process has changed its user.",
        ),
        key(
            "insecure-setuid",
            "true or false",
            "false",
            "Let what the process executes gain rights by setuid bits; it executes nothing.",
        ),
        key(
            "ulimit",
            "descriptors",
            "what `maxconn` needs",
            "How many descriptors the process may open at least.",
        ),
        key(
            "fd-hard-limit",
            "descriptors",
            "1048576",
            "How many of them a `maxconn` that is not set may count on.",
        ),
        key("node", "string", "empty", "Shown in metrics."),
        key("description", "string", "empty", "Shown in metrics."),
    ],
};

pub(super) static FRONTEND: Section = Section {
    path: "frontend.NAME",
    about: "Addresses that clients connect to. Required: `bind` and `backend`.",
    keys: &[
        key(
            "bind",
            "address, table, or list of them",
            "required",
            "Where to listen: `10.0.1.10:6443`, `*:6443`, `[::]:6443`, `:8000-8009`, `/run/x.sock`, `abns@name`, `fd@3`. An address that is on another machine now (a VIP) is bound all the same. A table is a `[frontend.NAME.bind]`.",
        ),
        key(
            "backend",
            "name, or false",
            "required",
            "The backend that serves them; `false`: connections are accepted and closed.",
        ),
        key(
            "maxconn",
            "connections",
            "none: only the process's",
            "Concurrent connections; further clients wait in the kernel's queue.",
        ),
        key(
            "backlog",
            "connections",
            "as `maxconn`",
            "How many may wait there.",
        ),
        key("timeout", "table", "none", "`[frontend.NAME.timeout]`."),
        key(
            "keepalive",
            "table, true or false",
            "`{ idle = \"15s\", interval = \"5s\", probes = 3 }`",
            "TCP keepalive toward clients; `true`: with the system's times. As a table, what it leaves out is the system's.",
        ),
        key(
            "tcp-user-timeout",
            "time or `none`",
            "`30s`",
            "How long sent data may stay unacknowledged before the client counts as gone.",
        ),
        key(
            "log",
            "log targets",
            "`\"global\"`",
            "Where session logs go; `[]`: nowhere.",
        ),
        key(
            "log-format",
            "`tcplog`, `tcplog-clf`, `connect`",
            "`tcplog`",
            "HAProxy's `option tcplog`, its clf variant, or one line at accept.",
        ),
        key(
            "log-line",
            "string",
            "none",
            "A line of your own, in the place of `log-format`: HAProxy's `log-format`, such as `\"%ci:%cp %ft %b/%s %Tt %ts\"`.",
        ),
        key(
            "log-structured-data",
            "string",
            "none",
            "The structured data of RFC 5424, in the same language: HAProxy's `log-format-sd`.",
        ),
        key(
            "dontlog-normal",
            "true or false",
            "false",
            "No line for a session that went well.",
        ),
        key(
            "logasap",
            "true or false",
            "false",
            "The line is written when the server is reached instead of at the end; what goes on counting then has a `+` before it.",
        ),
        key(
            "log-separate-errors",
            "true or false",
            "false",
            "A session that did not go well is logged at level `err`.",
        ),
        key(
            "dontlognull",
            "true or false",
            "true",
            "No line for a session in which the client sent nothing, such as a load balancer's probe.",
        ),
        key(
            "log-tag",
            "string",
            "the process's",
            "The program's name in syslog lines.",
        ),
        key(
            "disabled",
            "true or false",
            "false",
            "Not bound, serves nobody.",
        ),
        key(
            "id",
            "number from 1",
            "next free, from 2",
            "HAProxy's proxy id, in statistics. A frontend and a backend may share one.",
        ),
        key(
            "acl",
            "tests by name",
            "none",
            "Names for what rules test: `acl.internal = \"src 10.0.0.0/8\"`, as after `acl internal` in haproxy.cfg; of a list one is enough.",
        ),
        key(
            "inspect-delay",
            "time, or false",
            "false: none",
            "How long `content` rules wait for what they need of the client's bytes.",
        ),
        key(
            "connection",
            "list of rules",
            "[]",
            "Asked first, before a PROXY protocol header and before the connection counts as a session. `reject` resets it.",
        ),
        key(
            "session",
            "list of rules",
            "[]",
            "Asked next, with the addresses of that header. `reject` closes it; no session is counted or logged.",
        ),
        key(
            "content",
            "list of rules",
            "[]",
            "Asked before a backend is chosen. `reject` ends the session, which is logged as `PR`.",
        ),
        key(
            "use",
            "list of rules",
            "[]",
            "Which backend instead of `backend`; the first that applies counts.",
        ),
    ],
};

pub(super) static FRONTEND_TIMEOUT: Section = Section {
    path: "frontend.NAME.timeout",
    about: "Of established sessions. Without a limit, keepalive and `tcp-user-timeout` find the \
            dead: `kubectl exec`, `logs -f` and watches may be silent for as long as they like.",
    keys: &[
        key(
            "client",
            "time or `none`",
            "`none`",
            "How long a client may be silent.",
        ),
        key(
            "client-fin",
            "time or `none`",
            "`1m`",
            "The same once the server has finished.",
        ),
    ],
};

pub(super) static RULE: Section = Section {
    path: "a rule on connections",
    about: "",
    keys: &[
        key(
            "do",
            "\"accept\", \"reject\", \"silent-drop\", \"expect-proxy\"",
            "required",
            "`accept` asks no more rules of this list; `silent-drop` closes without telling the client; `expect-proxy`, in `connection` alone, wants a PROXY protocol header.",
        ),
        key(
            "if",
            "condition",
            "always",
            "As after `if` in haproxy.cfg: `\"internal !{ dst_port 80 } or { nbsrv(other) lt 1 }\"`.",
        ),
        key("unless", "condition", "never", "The other way round."),
    ],
};

pub(super) static USE: Section = Section {
    path: "a rule for a backend",
    about: "",
    keys: &[
        key(
            "backend",
            "name",
            "required",
            "A backend, or a name made of samples: `bk_%[dst_port]`; one of a name that there is not leads to the default one.",
        ),
        key(
            "if",
            "condition",
            "always",
            "As after `if` in haproxy.cfg: `\"internal !{ dst_port 80 } or { nbsrv(other) lt 1 }\"`.",
        ),
        key("unless", "condition", "never", "The other way round."),
    ],
};

pub(super) static USE_SERVER: Section = Section {
    path: "a rule for a server",
    about: "",
    keys: &[
        key("server", "name", "required", "One of the backend's."),
        key(
            "if",
            "condition",
            "required",
            "As after `if` in haproxy.cfg: `\"internal !{ dst_port 80 } or { nbsrv(other) lt 1 }\"`.",
        ),
        key("unless", "condition", "required", "The other way round."),
    ],
};

pub(super) static BIND: Section = Section {
    path: "frontend.NAME.bind",
    about: "One address with options, as in `bind = [{ address = \"*:6443\", interface = \"eth0\" }]`.",
    keys: &[
        key("address", "address", "required", "As above."),
        key(
            "name",
            "string",
            "empty",
            "HAProxy's name of the socket, in statistics.",
        ),
        key(
            "maxconn",
            "connections",
            "none: only the frontend's",
            "Concurrent connections of this address.",
        ),
        key(
            "backlog",
            "connections",
            "the frontend's",
            "How many may wait to be accepted.",
        ),
        key(
            "interface",
            "name",
            "any",
            "Listen on this interface alone.",
        ),
        key(
            "ip-versions",
            "`system`, `v4v6`, `v6only`",
            "`system`",
            "What an IPv6 wildcard accepts.",
        ),
        key(
            "transparent",
            "true or false",
            "false",
            "Accept connections to addresses that are not ours.",
        ),
        key(
            "tcp-user-timeout",
            "time or `none`",
            "the frontend's",
            "As above, for this address.",
        ),
        key(
            "mode",
            "permission bits, as in `\"660\"`",
            "the umask's",
            "Who may connect to a Unix socket.",
        ),
        key(
            "user",
            "name or number",
            "the one that starts the process",
            "Whose the Unix socket is.",
        ),
        key(
            "group",
            "name or number",
            "the one that starts the process",
            "Its group.",
        ),
        key(
            "accept-proxy",
            "true or false",
            "false",
            "Connections begin with a PROXY protocol header (version 1 or 2); its addresses are the client's in logs, rules and balance. `timeout.client` bounds the wait for it.",
        ),
        key(
            "defer-accept",
            "true or false",
            "false",
            "A connection is accepted once its client has said something.",
        ),
        key(
            "tcp-fast-open",
            "true or false",
            "false",
            "Clients may send data with their SYN (net.ipv4.tcp_fastopen must allow it).",
        ),
        key(
            "mss",
            "bytes, 1-65535",
            "the system's",
            "Largest TCP segment announced to clients.",
        ),
        key(
            "id",
            "number from 1",
            "next free, from 1",
            "HAProxy's socket id, in logs.",
        ),
    ],
};

pub(super) static BACKEND: Section = Section {
    path: "backend.NAME",
    about: "Servers and how one is chosen. `weight`, `tcp-user-timeout`, `on-marked-down`, \
            `hash-key`, `on-marked-up`, `init-addr`, `init-state`, `maxconn`, `minconn`, `maxqueue`, `slowstart`, \
            `send-proxy`, `source`, `tcp-fast-open` and `check` hold for every server that says \
            nothing else.",
    keys: &[
        key(
            "servers",
            "table: name = address, or name = table",
            "none",
            "`[backend.NAME.servers]`, in the order of the file.",
        ),
        key(
            "balance",
            "`roundrobin`, `static-rr`, `leastconn`, `first`, `random`, `random(N)`, `source`, `hash EXPRESSION`",
            "`roundrobin`",
            "How a server is chosen, in haproxy.cfg's words; EXPRESSION is `src`, `src_port`, `dst`, `dst_port`, `rand(N)`, `int(N)` or `str(TEXT)`, and after commas `ipmask(V4,V6)`, `mod(N)`, `sdbm`, `djb2`, `wt6`, `crc32`.",
        ),
        key(
            "hash-type",
            "`map-based` or `consistent`, a function, `avalanche`",
            "`map-based sdbm`",
            "How a hash becomes a server: `map-based` spreads evenly, `consistent` moves the fewest clients when a server comes or goes. Functions: `sdbm`, `djb2`, `wt6`, `crc32`, `none`.",
        ),
        key(
            "hash-balance-factor",
            "number above 100, or false",
            "false",
            "With `consistent` and `random`: most connections of a server, in percent of its share.",
        ),
        key(
            "retries",
            "number",
            "3",
            "How often a failed connect is tried again.",
        ),
        key(
            "server-state",
            "path",
            "none: servers begin anew",
            "A file that `show servers state` was written to: a start takes over maintenance, drain, weight and health from it.",
        ),
        key(
            "redispatch",
            "true, false, a number, or `when-free`",
            "true",
            "Whether a retry may go to another server: `true` as HAProxy's `option redispatch`; a number is its interval in retries, negative from the last; `when-free`: wherever nothing pins the client to a server.",
        ),
        key(
            "allbackups",
            "true or false",
            "false",
            "Without a usable server, share the load among all backups instead of using the first.",
        ),
        key("timeout", "table", "none", "`[backend.NAME.timeout]`."),
        key(
            "keepalive",
            "table, true or false",
            "`{ idle = \"15s\", interval = \"5s\", probes = 3 }`",
            "TCP keepalive toward servers, as of a frontend.",
        ),
        key("weight", "0-256", "1", "Share of new connections; 0: none."),
        key(
            "tcp-user-timeout",
            "time or `none`",
            "`30s`",
            "How long sent data may stay unacknowledged before the server counts as gone.",
        ),
        key(
            "on-marked-down",
            "`shutdown-sessions`, `keep`",
            "`shutdown-sessions`",
            "What happens to a server's connections when it goes down.",
        ),
        key(
            "maxconn",
            "number",
            "none",
            "Sessions that one server has at once; further clients wait.",
        ),
        key(
            "minconn",
            "number",
            "as maxconn",
            "The limit while the backend is idle; it rises to `maxconn` as the backend's sessions come near `fullconn`.",
        ),
        key(
            "maxqueue",
            "number",
            "none",
            "Clients that may wait for one server and no other.",
        ),
        key(
            "slowstart",
            "time or `none`",
            "`none`",
            "How long a server that comes back takes until it has its full weight and `maxconn`.",
        ),
        key(
            "on-marked-up",
            "`keep`, `shutdown-backup-sessions`",
            "`keep`",
            "What happens to sessions on backups when a server comes up.",
        ),
        key(
            "init-state",
            "`up`, `fully-up`, `down`, `fully-down`",
            "`up`",
            "What a server is taken for before its first check, at start and after maintenance: up or down; `fully-`: it takes `fall` failures or `rise` successes to change that.",
        ),
        key(
            "fullconn",
            "number",
            "a tenth of the frontends' `maxconn`",
            "Sessions of the backend at which servers with `minconn` have their `maxconn`.",
        ),
        key(
            "abortonclose",
            "true or false",
            "false",
            "Give up for a client that finished sending while it waits, even if it sent something.",
        ),
        key(
            "hash-key",
            "`id`, `addr`, `addr-port`",
            "`id`",
            "What a server's points on the ring of `consistent` follow from.",
        ),
        key(
            "init-addr",
            "list of `last`, `libc`, `none`, IP addresses",
            "`[\"last\", \"libc\"]`",
            "How a host name becomes an address at start, tried in this order; with `none` the server starts in maintenance rather than not at all.",
        ),
        key(
            "send-proxy",
            "`v1`, `v2`, false, or a list of `v2`, `ssl`, `crc32c`",
            "false",
            "Connections to its servers begin with a PROXY protocol header that names the client; `ssl` adds that it did not come over TLS, `crc32c` a checksum.",
        ),
        key(
            "source",
            "IP address, with a port or ports or without, or table",
            "the system's choice",
            "Where connections and checks come from: `10.0.1.10`, `10.0.1.10:20000-29999`. A table is a source table, below.",
        ),
        key(
            "tcp-fast-open",
            "true or false",
            "false",
            "A PROXY protocol header is sent with the SYN.",
        ),
        key(
            "resolvers",
            "name",
            "none: at start alone",
            "The `[resolvers.NAME]` that keep servers' names resolved while the process runs; `default` needs no section: it asks the name servers of /etc/resolv.conf. A name that begins with `_` is a service's: its SRV records say hosts, ports and weights.",
        ),
        key(
            "resolve-prefer",
            "`ipv4`, `ipv6`",
            "`ipv6`",
            "The family that is taken where a name has both.",
        ),
        key(
            "resolve-nets",
            "list of networks",
            "none",
            "Addresses in these are taken before others.",
        ),
        key(
            "resolve-duplicates",
            "true or false",
            "false",
            "Several servers of one name may be at the same address.",
        ),
        key(
            "resolve-ignore-weight",
            "true or false",
            "false",
            "The weights of SRV records do not count.",
        ),
        key(
            "check",
            "table, true or false",
            "true",
            "`[backend.NAME.check]`; `false`: servers are not checked and count as up.",
        ),
        key(
            "log",
            "log targets",
            "`\"global\"`",
            "Where messages about its servers go.",
        ),
        key(
            "log-tag",
            "string",
            "the process's",
            "The program's name in syslog lines.",
        ),
        key("disabled", "true or false", "false", "Serves nobody."),
        key(
            "id",
            "number from 1",
            "next free, from 2",
            "HAProxy's proxy id, in statistics.",
        ),
        key(
            "fail-open",
            "true or false",
            "true",
            "While no server passes its check but they accept connections, the last usable ones stay in use and nothing is cut.",
        ),
        key(
            "log-health-checks",
            "true or false",
            "false",
            "Log every change of a check's verdict.",
        ),
        key(
            "agent",
            "table, true or false",
            "false",
            "A program that says how fit the server is: `[backend.NAME.agent]`.",
        ),
        key(
            "observe",
            "true or false",
            "false",
            "Whether failed connects of clients count against a server (HAProxy's `observe layer4`).",
        ),
        key(
            "error-limit",
            "number from 1",
            "10",
            "Failed connects in a row until `on-error`.",
        ),
        key(
            "on-error",
            "`fastinter`, `fail-check`, `sudden-death`, `mark-down`",
            "`fail-check`",
            "What they do.",
        ),
        key(
            "acl",
            "tests by name",
            "none",
            "Names for what rules test: `acl.internal = \"src 10.0.0.0/8\"`, as after `acl internal` in haproxy.cfg; of a list one is enough.",
        ),
        key(
            "inspect-delay",
            "time, or false",
            "false: none",
            "How long `content` rules wait for what they need of the client's bytes.",
        ),
        key(
            "content",
            "list of rules",
            "[]",
            "Asked before a server is chosen, as a frontend's.",
        ),
        key(
            "use-server",
            "list of rules",
            "[]",
            "Which server, while it is up, rather than the one that `balance` chooses.",
        ),
    ],
};

pub(super) static SERVER: Section = Section {
    path: "backend.NAME.servers.NAME",
    about: "One server with options, as in `master3 = { address = \"10.0.1.15:6443\", backup = \
            true }`.",
    keys: &[
        key(
            "address",
            "address",
            "required",
            "`10.0.1.11:6443`, `master1.kube.com:6443` (looked up at start), `ipv6@master1:6443`, `/run/x.sock`, `abns@name`. Without a port: the one the client came in on; `:+1000`: that plus 1000.",
        ),
        key(
            "weight",
            "0-256",
            "the backend's",
            "Share of new connections.",
        ),
        key(
            "backup",
            "true or false",
            "false",
            "Used only when no other server is usable.",
        ),
        key(
            "disabled",
            "true or false",
            "false",
            "Starts in maintenance.",
        ),
        key(
            "check",
            "table, true or false",
            "the backend's",
            "`[backend.NAME.servers.NAME.check]`.",
        ),
        key(
            "tcp-user-timeout",
            "time or `none`",
            "the backend's",
            "As of a backend.",
        ),
        key(
            "on-marked-down",
            "`shutdown-sessions`, `keep`",
            "the backend's",
            "As of a backend.",
        ),
        key("maxconn", "number", "the backend's", "As of a backend."),
        key("minconn", "number", "the backend's", "As of a backend."),
        key("maxqueue", "number", "the backend's", "As of a backend."),
        key(
            "slowstart",
            "time or `none`",
            "the backend's",
            "As of a backend.",
        ),
        key(
            "on-marked-up",
            "`keep`, `shutdown-backup-sessions`",
            "the backend's",
            "As of a backend.",
        ),
        key(
            "init-state",
            "`up`, `fully-up`, `down`, `fully-down`",
            "the backend's",
            "As of a backend.",
        ),
        key(
            "track",
            "`server` or `backend/server`",
            "none",
            "Follow that server's state instead of being checked.",
        ),
        key("hash-key", "word", "the backend's", "As of a backend."),
        key("init-addr", "list", "the backend's", "As of a backend."),
        key(
            "send-proxy",
            "as of a backend",
            "the backend's",
            "As of a backend.",
        ),
        key(
            "source",
            "as of a backend",
            "the backend's",
            "As of a backend.",
        ),
        key(
            "tcp-fast-open",
            "true or false",
            "the backend's",
            "As of a backend.",
        ),
        key(
            "resolvers",
            "as of a backend",
            "the backend's",
            "As of a backend.",
        ),
        key(
            "resolve-prefer",
            "as of a backend",
            "the backend's",
            "As of a backend.",
        ),
        key(
            "resolve-nets",
            "as of a backend",
            "the backend's",
            "As of a backend.",
        ),
        key(
            "resolve-duplicates",
            "as of a backend",
            "the backend's",
            "As of a backend.",
        ),
        key(
            "resolve-ignore-weight",
            "as of a backend",
            "the backend's",
            "As of a backend.",
        ),
        key(
            "id",
            "number from 1",
            "next free, from 1",
            "HAProxy's server id, in statistics.",
        ),
        key(
            "agent",
            "table, true or false",
            "the backend's",
            "As of a backend.",
        ),
        key(
            "observe",
            "true or false",
            "the backend's",
            "As of a backend.",
        ),
        key(
            "error-limit",
            "number from 1",
            "the backend's",
            "As of a backend.",
        ),
        key(
            "on-error",
            "`fastinter`, `fail-check`, `sudden-death`, `mark-down`",
            "the backend's",
            "As of a backend.",
        ),
    ],
};

pub(super) static BACKEND_TIMEOUT: Section = Section {
    path: "backend.NAME.timeout",
    about: "",
    keys: &[
        key(
            "connect",
            "time or `none`",
            "`1s`",
            "How long one attempt to connect may take.",
        ),
        key(
            "server",
            "time or `none`",
            "`none`",
            "How long a server may be silent.",
        ),
        key(
            "queue",
            "time or `none`",
            "as connect",
            "How long a client may wait for room on a server.",
        ),
        key(
            "server-fin",
            "time or `none`",
            "`1m`",
            "The same once the client has finished.",
        ),
        key(
            "tunnel",
            "time or `none`",
            "`none`",
            "Replaces `client` and `server` once connected.",
        ),
    ],
};

pub(super) static CHECK: Section = Section {
    path: "backend.NAME.check",
    about: "What a server has to do to be up. A check that only connects resets the connection \
            before the server's application sees it; one over TLS makes a complete handshake.",
    keys: &[
        key(
            "kind",
            "`connect`, `tcp-check`, `http`, `ssl-hello`, `smtp`, `mysql`, `pgsql`, `redis`, `ldap`",
            "`connect`",
            "As HAProxy's `check` alone, `option tcp-check`, `option httpchk` and so on.",
        ),
        key(
            "request",
            "string",
            "none",
            "What follows that option's name: `GET /readyz`, `user postgres`.",
        ),
        key(
            "steps",
            "list of strings",
            "none",
            "The rules of `tcp-check` or `http-check`, without those words, as in `[\"send uri /readyz\", \"expect status 200\"]`.",
        ),
        key(
            "timeout",
            "time or `none`",
            "`1s`",
            "How long an answer may take after the connect, which then may take the shorter of `timeout.connect` and `inter`; `none`: `inter` for each.",
        ),
        key(
            "inter",
            "time",
            "`1s`",
            "Between checks of a server that is surely up, from the end of one to the start of the next.",
        ),
        key(
            "fastinter",
            "time",
            "`500ms`, or `inter` if that is shorter",
            "Between checks while the state is changing.",
        ),
        key(
            "downinter",
            "time",
            "as `inter`",
            "Between checks of a server that is surely down.",
        ),
        key("rise", "number from 1", "2", "Successes in a row until up."),
        key(
            "fall",
            "number from 1",
            "2",
            "Failures in a row until down; a server that has just been started is down at the first.",
        ),
        key(
            "port",
            "1-65535",
            "the server's",
            "Check this port instead.",
        ),
        key(
            "address",
            "host",
            "the server's",
            "Check this host instead.",
        ),
        key(
            "send-proxy",
            "true or false",
            "as connections, unless checks go elsewhere",
            "A check begins with a PROXY protocol header.",
        ),
        key("tls", "true or false", "false", "Check over TLS."),
        key(
            "verify",
            "true or false",
            "true",
            "Whether the certificate has to be valid; `true` needs a `ca-file`.",
        ),
        key(
            "ca-file",
            "path or `@system-ca`",
            "none",
            "The certificates that it may be signed by.",
        ),
        key(
            "certificate",
            "path",
            "none",
            "A certificate to present, with its key (or that in a file of the same name and `.key`).",
        ),
        key("sni", "name", "none: no SNI", "The name to ask for."),
        key(
            "alpn",
            "names, with commas",
            "none",
            "The protocols to offer.",
        ),
        key(
            "verify-host",
            "name",
            "as `sni`",
            "The name that the certificate must carry.",
        ),
        key(
            "tls-min",
            "`\"1.2\"`, `\"1.3\"`",
            "none below 1.2",
            "The oldest version.",
        ),
        key(
            "tls-max",
            "`\"1.2\"`, `\"1.3\"`",
            "none above 1.3",
            "The newest version.",
        ),
    ],
};

pub(super) static AGENT: Section = Section {
    path: "backend.NAME.agent",
    about: "A program beside a server, asked by TCP; its words are HAProxy's: `up`, `down`, `ready`, \
            `drain`, `maint`, `75%`, `maxconn:30`. Also of a server.",
    keys: &[
        key("port", "1-65535", "required", "Where it listens."),
        key("address", "host", "the server's", "On which machine."),
        key("inter", "time", "2s", "Between questions."),
        key("send", "string", "nothing", "What it is sent first."),
    ],
};

pub(super) static SERVER_CHECK: Section = Section {
    path: "backend.NAME.servers.NAME.check",
    about: "What differs from the backend's check; a table also switches checking on.",
    keys: &[
        key("inter", "time", "the backend's", "As of a backend."),
        key("fastinter", "time", "the backend's", "As of a backend."),
        key("downinter", "time", "the backend's", "As of a backend."),
        key("rise", "number from 1", "the backend's", "As of a backend."),
        key("fall", "number from 1", "the backend's", "As of a backend."),
        key("port", "1-65535", "the backend's", "As of a backend."),
        key("address", "host", "the backend's", "As of a backend."),
        key(
            "send-proxy",
            "true or false",
            "the backend's",
            "As of a backend.",
        ),
        key("tls", "true or false", "the backend's", "As of a backend."),
        key(
            "verify",
            "true or false",
            "the backend's",
            "As of a backend.",
        ),
        key(
            "ca-file",
            "path or `@system-ca`",
            "the backend's",
            "As of a backend.",
        ),
        key("certificate", "path", "the backend's", "As of a backend."),
        key("sni", "name", "the backend's", "As of a backend."),
        key(
            "alpn",
            "names, with commas",
            "the backend's",
            "As of a backend.",
        ),
        key("verify-host", "name", "the backend's", "As of a backend."),
        key(
            "tls-min",
            "`1.2`, `1.3`",
            "the backend's",
            "As of a backend.",
        ),
        key(
            "tls-max",
            "`1.2`, `1.3`",
            "the backend's",
            "As of a backend.",
        ),
    ],
};

pub(super) static RESOLVERS: Section = Section {
    path: "resolvers.NAME",
    about: "Name servers that are asked over and over for the addresses of servers; all at once, \
            and the first valid answer counts.",
    keys: &[
        key(
            "nameservers",
            "table: name = address",
            "none",
            "Where to ask: `10.0.0.53`, `10.0.0.53:5353`, `tcp@10.0.0.53`. Logs call them by name.",
        ),
        key(
            "system-nameservers",
            "true or false",
            "false",
            "Ask those of /etc/resolv.conf, too.",
        ),
        key(
            "retries",
            "number, 1-1000",
            "3",
            "How often a question is asked that nobody answers.",
        ),
        key("timeout", "table", "none", "`[resolvers.NAME.timeout]`."),
        key("hold", "table", "none", "`[resolvers.NAME.hold]`."),
        key(
            "payload-bytes",
            "bytes, 512-65535",
            "512",
            "The largest answer over UDP; a longer one is asked for over TCP.",
        ),
    ],
};

pub(super) static RESOLVERS_TIMEOUT: Section = Section {
    path: "resolvers.NAME.timeout",
    about: "",
    keys: &[
        key("resolve", "time", "`1s`", "From one question to the next."),
        key("retry", "time", "`1s`", "How long an answer may take."),
    ],
};

pub(super) static RESOLVERS_HOLD: Section = Section {
    path: "resolvers.NAME.hold",
    about: "How long the last valid answer counts in spite of later ones; `none`: not at all. \
            After that, the servers of the name are in maintenance until it is found again.",
    keys: &[
        key("nx", "time or `none`", "`30s`", "There is no such name."),
        key(
            "refused",
            "time or `none`",
            "`30s`",
            "The question was refused.",
        ),
        key("timeout", "time or `none`", "`30s`", "Nobody answered."),
        key("other", "time or `none`", "`30s`", "Any other failure."),
        key(
            "obsolete",
            "time or `none`",
            "`none`",
            "The name has addresses, but a server's is no longer among them.",
        ),
    ],
};

pub(super) static SOURCE: Section = Section {
    path: "a source table",
    about: "",
    keys: &[
        key(
            "address",
            "IP address, with a port or ports or without",
            "the system's choice",
            "Where connections and checks come from.",
        ),
        key(
            "instead",
            "`client`, `clientip`, or an IP address with a port or without",
            "none",
            "What clients' connections come from instead: the client's address and port, its address alone, or this one. Needs CAP_NET_ADMIN, and routes that bring the answers back.",
        ),
        key(
            "interface",
            "name",
            "any",
            "Connect through this interface alone.",
        ),
    ],
};

pub(super) static KEEPALIVE: Section = Section {
    path: "a keepalive table",
    about: "",
    keys: &[
        key(
            "idle",
            "time",
            "the system's",
            "Silence before the first probe.",
        ),
        key("interval", "time", "the system's", "Between probes."),
        key(
            "probes",
            "number from 1",
            "the system's",
            "Unanswered probes until the peer counts as gone.",
        ),
    ],
};

pub(super) static LOG: Section = Section {
    path: "a log target",
    about: "`log` is one target or a list of them. A target is an address (`stdout`, `stderr`, \
            `/dev/log`, `10.0.0.5:514`, `fd@2`), in a frontend or backend also `global` (all \
            those of `[global]`), or a table:",
    keys: &[
        key("to", "address", "required", "As above."),
        key(
            "format",
            "`auto`, `rfc3164`, `rfc5424`, `raw`, `short`, `iso`, `local`, `priority`, `timed`",
            "`auto` for stdout and stderr, `short` for fd@, else `local`",
            "How a line is framed. `auto`, of stdout and stderr: as the process's own messages, which are lines with time and level, or with a level alone where journald reads, or objects with `--log-format json`. `short` gives journald the level of each line; `raw` is the text alone; `local` is what syslog daemons expect, `rfc3164` the same with the host's name.",
        ),
        key(
            "facility",
            "`kern` ... `local7`",
            "`local0`",
            "Syslog's facility.",
        ),
        key(
            "max-level",
            "`emerg` ... `debug`",
            "`debug`",
            "The least severe level that is sent.",
        ),
        key(
            "min-level",
            "`emerg` ... `debug`",
            "`emerg`",
            "Worse levels are sent as this one.",
        ),
        key(
            "max-length",
            "bytes, 80-65535",
            "1024",
            "Longer lines are cut.",
        ),
    ],
};

static TIME: Section = Section {
    path: "a time",
    about: "A time is a string of a number and a unit: `us`, `ms`, `s`, `m`, `h` or `d`.",
    keys: &[],
};

/// docs/toml.md.
#[must_use]
pub fn toml_markdown() -> String {
    reference(INTRODUCTION, &SECTIONS)
}

const INTRODUCTION: &str = r#"<!-- Printed by evenkeel-config from its table of keys; a test keeps it in step. -->

# The TOML configuration

For those who start fresh; who has a haproxy.cfg runs that, or has `evenkeel convert haproxy.cfg`
write it as TOML with the same meaning. The defaults suit a Kubernetes control plane: a server that
refuses is found within two seconds and one that is silent within four, a connect that fails goes to
another server, connections of a server that went down are closed at once, and a silent session is
never cut as long as both ends live.

A whole file:

```toml
[frontend.kubernetes]
bind = "10.0.1.10:6443"
backend = "masters"

[backend.masters.servers]
master1 = "10.0.1.11:6443"
master2 = "10.0.1.12:6443"
```

A key that is not listed here is an error, and so is a value of the wrong kind; all of them are
reported at once, each with file, line and column. `evenkeel -c -f lb.toml` checks a file.
"#;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::toml::sections::Key;
    use crate::toml::tests::config;

    #[test]
    fn every_key_says_its_value_default_and_meaning_once() {
        for section in SECTIONS {
            let mut names: Vec<&str> = section.keys.iter().map(|key| key.name).collect();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), section.keys.len(), "[{}]", section.path);
            for key in section.keys {
                for cell in [key.value, key.default, key.about] {
                    assert!(!cell.is_empty() && !cell.contains(['|', '\n']), "{key:?}");
                }
            }
        }
    }

    #[test]
    fn docs_toml_md_is_printed_from_this_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/toml.md");
        let page = toml_markdown();
        if std::env::var_os("EVENKEEL_BLESS").is_some() {
            std::fs::write(path, &page).unwrap();
        }
        let on_disk = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            on_disk == page,
            "docs/toml.md differs; write it anew with EVENKEEL_BLESS=1"
        );
    }

    /// Saying a default aloud changes nothing: the column is what the reader does.
    #[test]
    fn documented_defaults_are_the_defaults() {
        let shortest = "frontend.f.bind.address = ':1'\nfrontend.f.backend = 'b'\n\
                        backend.b.servers.s.address = '10.0.0.1:1'\nglobal.log.to = 'stdout'\n\
                        admin.socket.address = '/run/lb.sock'\n\
                        resolvers.r.nameservers.n = '10.0.0.1'\n";
        let quiet = config(shortest).without_places();
        let mut said = 0;
        for section in SECTIONS {
            let path = match section.path {
                "frontend.NAME" => "frontend.f",
                "frontend.NAME.bind" => "frontend.f.bind",
                "frontend.NAME.timeout" => "frontend.f.timeout",
                "backend.NAME" => "backend.b",
                "backend.NAME.timeout" => "backend.b.timeout",
                "backend.NAME.check" => "backend.b.check",
                "backend.NAME.servers.NAME" => "backend.b.servers.s",
                "resolvers.NAME" => "resolvers.r",
                "resolvers.NAME.timeout" => "resolvers.r.timeout",
                "resolvers.NAME.hold" => "resolvers.r.hold",
                "a log target" => "global.log",
                path => path,
            };
            for Key { name, default, .. } in section.keys {
                let code = default
                    .strip_prefix('`')
                    .and_then(|rest| rest.strip_suffix('`'))
                    .filter(|code| !code.contains('`'));
                let is_value = |text: &str| toml::de::DeValue::parse(text).is_ok();
                let value = match code {
                    Some(code) if is_value(code) => code.to_owned(),
                    Some(word) => format!("'{word}'"),
                    None if default.contains('`') => continue,
                    None if is_value(default) => (*default).to_owned(),
                    None => continue,
                };
                if (path, *name) == ("global", "log") {
                    continue;
                }
                let loud = config(&format!("{shortest}{path}.{name} = {value}\n"));
                assert_eq!(loud.without_places(), quiet, "{path}.{name} = {value}");
                said += 1;
            }
        }
        assert!(said > 30, "only {said} defaults are values");
    }
}
