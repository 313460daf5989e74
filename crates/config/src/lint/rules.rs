// Over 600 lines would be fine here, too: it is a table.
//! What is looked for. Times and counts are those at which real control planes were seen to suffer.

use std::time::Duration;

use super::Harm::{Critical, Info, Warning};
use super::scene::Scene;
use super::{Harm, Rule};
use crate::check::{Action, CheckKind, Piece};
use crate::{
    Backend, Balance, BindAddress, Check, LogAddress, OnMarkedDown, Place, Redispatch, Server,
    ServerAddress,
};

/// kubectl and the controllers ping an idle watch every 30 seconds.
const SHORTEST_WATCH: Duration = Duration::from_secs(35);
/// `kubectl logs -f`, `exec` and `port-forward` send nothing while nothing happens.
const SHORTEST_SESSION: Duration = Duration::from_secs(600);
/// client-go renews its leases every 10 seconds; half of that is left to notice and move.
const SLOWEST_DETECTION: Duration = Duration::from_secs(5);
const SLOWEST_CONNECT: Duration = Duration::from_secs(5);
/// Nodes and controllers of a small cluster keep hundreds of connections open.
/// What joins waits so long for the API before it gives up or tries again.
const SLOWEST_RETURN: Duration = Duration::from_secs(10);
/// What 'timeout tunnel 1h' allows is meant so.
const LONGEST_IDLE: Duration = Duration::from_secs(3600);
const FEWEST_CLIENTS: u32 = 1000;
const FEWEST_ON_SERVER: u32 = 5000;
const TLS_PORTS: [u16; 4] = [443, 6443, 6444, 8443];

type Found = Vec<(Place, String)>;

const fn rule(
    severity: Harm,
    name: &'static str,
    find: fn(&Scene<'_>) -> Found,
    why: &'static str,
    fix: &'static str,
) -> Rule {
    Rule {
        name,
        severity,
        why,
        fix,
        find,
    }
}

#[rustfmt::skip]
pub(super) static RULES: &[Rule] = &[
    rule(Critical, "watch-timeout", |scene| idle(scene, Duration::ZERO, SHORTEST_WATCH, "cuts watches, and every kubectl command that lasts longer"),
        "Watches are silent for 30 seconds between pings: shorter limits cut them all, again and again.",
        "add 'timeout tunnel 1h' to the backend, or set both to 10m and more"),
    rule(Warning, "session-timeout", |scene| idle(scene, SHORTEST_WATCH, SHORTEST_SESSION, "cuts 'kubectl logs -f', 'exec' and 'port-forward' that are silent so long"),
        "kubectl sends nothing while a followed log or a shell is silent; the session ends with EOF.",
        "add 'timeout tunnel 1h' to the backend"),
    rule(Warning, "no-redispatch", no_redispatch,
        "HAProxy tries a dead master three more times, a second apart, and then closes the client's connection.",
        "add 'option redispatch 1'"),
    rule(Warning, "blind-check", blind_check,
        "The kernel accepts for a process that hangs: a frozen API server stays UP and every request to it hangs.",
        "add 'option httpchk GET /readyz', and 'check-ssl verify none' to the servers"),
    rule(Critical, "http-to-tls", http_to_tls,
        "An API server speaks TLS only: a check in plain HTTP fails for ever and the backend is DOWN.",
        "add 'check-ssl verify none' to the server"),
    rule(Warning, "ssl-hello", |scene| by_kind(scene, CheckKind::SslHello, "'option ssl-hello-chk' speaks SSLv3, which API servers refuse and log"),
        "Its hello is of SSLv3: API servers log 'client offered unsupported versions' at each check.",
        "use 'option httpchk GET /readyz' with 'check-ssl verify none'"),
    rule(Info, "healthz", |scene| text(scene, "/healthz", "/healthz is deprecated since Kubernetes 1.16"),
        "/healthz stays ok while an API server shuts down; /readyz says when clients are to go elsewhere.",
        "check /readyz"),
    rule(Warning, "etcd-check", etcd_check,
        "/readyz, /livez and /healthz ask etcd: when etcd pauses, every master fails its check at once and the whole API is cut off, though requests would only have waited.",
        "check '/readyz?exclude=etcd&exclude=etcd-readiness', or add 'fail-open' to the backend (evenkeel's own)"),
    rule(Critical, "no-check", no_check,
        "A server that is not checked counts as UP for ever.",
        "add 'check' to the server"),
    rule(Warning, "keeps-sessions", keeps_sessions,
        "Connections to a dead master stay open until they time out: nodes turn NotReady, watches hang.",
        "add 'on-marked-down shutdown-sessions' to the server"),
    rule(Warning, "slow-detection", slow_detection,
        "Leases are renewed every 10 seconds: controllers that cannot reach the API so long lose leadership and exit.",
        "add 'inter 1s fastinter 500ms fall 2' to the server, and 'timeout check 1s'"),
    rule(Warning, "slow-connect", slow_connect,
        "A master whose network is gone is waited for so long, at each connect, before another one is tried.",
        "set 'timeout connect 1s', or 5s at most"),
    rule(Warning, "server-maxconn", server_maxconn,
        "Each watch is a connection that lasts: once they fill the server, further clients wait in a queue and time out.",
        "raise the server's 'maxconn', or leave it out"),
    rule(Warning, "few-clients", few_clients,
        "Every node and controller keeps connections open; beyond the limit clients wait without a word in the log.",
        "raise 'maxconn', or leave it out: the descriptor limit then decides"),
    rule(Info, "roundrobin", roundrobin,
        "Connections last for days: after a master restarts, the others keep theirs and it stays idle.",
        "use 'balance leastconn', and start the API servers with --goaway-chance=0.001"),
    rule(Warning, "no-keepalive", no_keepalive,
        "A peer that vanished without a word is never noticed on an idle connection.",
        "add 'option tcpka'"),
    rule(Info, "even-masters", even_masters,
        "etcd needs a majority: of two members neither may fail, and four bear no more than three.",
        "run an odd number of masters"),
    rule(Warning, "no-log", no_log,
        "Without a log nobody will know when a master went down or whom it hurt.",
        "add 'log /dev/log local0' to global and 'log global' to defaults"),
    rule(Info, "probes-logged", probes_logged,
        "Each probe of keepalived or a cloud's balancer becomes a line.",
        "add 'option dontlognull'"),
    rule(Info, "reasons-lost", reasons_lost,
        "HAProxy leaves the reason out of UP and DOWN lines where single checks are logged.",
        "leave 'option log-health-checks' out"),
    rule(Warning, "chroot-log", chroot_log,
        "Inside a chroot /dev/log is another file, or none: lines vanish after a reconnect.",
        "log to '127.0.0.1:514' or 'stdout', or have the syslog daemon listen inside the chroot"),
    rule(Warning, "wildcard-bind", wildcard_bind,
        "On a master the API server itself has port 6443: one of the two will not start.",
        "bind the virtual address, or another port"),
    rule(Warning, "vip-not-here", vip_not_here,
        "HAProxy refuses to start while this machine does not have the address: the standby of keepalived is down when it is needed. evenkeel starts.",
        "set net.ipv4.ip_nonlocal_bind=1 (and net.ipv6.ip_nonlocal_bind=1), or add 'transparent' to the bind"),
    rule(Warning, "open-stats", open_stats,
        "Anybody who reaches the port sees every server, address and error of the control plane.",
        "add 'stats auth USER:PASSWORD', or bind it to 127.0.0.1"),
    rule(Warning, "names-at-start", names_at_start,
        "The name is looked up once: if DNS is down the balancer does not start, and a new address is not seen.",
        "write the address, or add 'resolvers' to the server"),
    rule(Info, "no-hard-stop", no_hard_stop,
        "A session that may be idle for a day keeps the process that serves it for a day: after some reloads there are piles of them, and nobody's memory is left.",
        "add 'hard-stop-after 30m' to global"),
    rule(Warning, "slow-return", slow_return,
        "kubeadm asks for the API through the balancer as soon as the first master is up, and nodes that join give up after minutes of EOF.",
        "add 'downinter 1s rise 2' to the server"),
    rule(Warning, "no-retries", no_retries,
        "Every client of a master that restarts sees an error, though another one would have served it.",
        "leave 'retries 0' out"),
    rule(Critical, "proxy-header", proxy_header,
        "An API server takes the header for a broken TLS hello and closes: nothing works.",
        "leave 'send-proxy' out"),
    rule(Critical, "own-address", own_address,
        "The balancer connects to itself, and that connection to itself again, until descriptors run out.",
        "give the API server's own address and port, or bind another port"),
    rule(Info, "balance-source", balance_source,
        "Whole networks share an address behind NAT: one master does all the work, and no client moves when it is too much.",
        "use 'balance leastconn'"),
];

fn seconds(time: Duration) -> String {
    if time.subsec_millis() == 0 {
        format!("{} s", time.as_secs())
    } else {
        format!("{} ms", time.as_millis())
    }
}

/// Idle limits from `from` to below `to`, on either side of a session, that no tunnel limit replaces.
fn idle(scene: &Scene<'_>, from: Duration, to: Duration, hurts: &str) -> Found {
    let mut found = Vec::new();
    let mut look = |place: &Place, word: &str, time: Option<Duration>| {
        if let Some(time) = time.filter(|time| (from..to).contains(time)) {
            let message = format!("'{word} {}' {hurts}", seconds(time));
            found.push((scene.line(place, word), message));
        }
    };
    for backend in scene.apis() {
        match backend.tunnel_timeout {
            Some(time) => look(&backend.place, "timeout tunnel", Some(time)),
            None => {
                look(&backend.place, "timeout server", backend.server_timeout);
                for frontend in scene.fronts(backend) {
                    look(&frontend.place, "timeout client", frontend.client_timeout);
                }
            }
        }
    }
    found
}

fn no_redispatch(scene: &Scene<'_>) -> Found {
    let backends = scene.apis().filter(|backend| backend.servers.len() > 1);
    backends
        .filter(|backend| matches!(backend.redispatch, Redispatch::Never | Redispatch::WhenFree))
        .map(|backend| {
            let message = "no 'option redispatch': a client whose master died is not sent to another one by HAProxy";
            (backend.place.clone(), message.to_owned())
        })
        .collect()
}

/// The servers of APIs that are checked.
fn checked<'s>(
    scene: &'s Scene<'_>,
) -> impl Iterator<Item = (&'s Backend, &'s crate::Server, &'s Check)> {
    scene.apis().flat_map(|backend| {
        let servers = backend.servers.iter();
        servers.filter_map(move |server| Some((backend, server, server.check.as_ref()?)))
    })
}

fn blind_check(scene: &Scene<'_>) -> Found {
    checked(scene)
        .filter(|(_, _, check)| {
            let looks = |action: &Action| matches!(action, Action::Expect(_));
            matches!(check.script.kind, CheckKind::Connect | CheckKind::TcpCheck)
                && !check.script.steps.iter().any(|step| looks(&step.action))
        })
        .map(|(_, server, _)| {
            let message = format!(
                "server '{}' is checked by whether its port accepts: a hung API server stays UP",
                server.name
            );
            (server.place.clone(), message)
        })
        .collect()
}

fn http_to_tls(scene: &Scene<'_>) -> Found {
    checked(scene)
        .filter(|(_, _, check)| {
            let is_plain = |action: &Action| matches!(action, Action::Connect(connect) if connect.tls.is_none());
            let port = match check.address {
                ServerAddress::Inet(address) => address.port(),
                _ => 0,
            };
            check.script.kind == CheckKind::Http
                && TLS_PORTS.contains(&port)
                && check.script.steps.iter().any(|step| is_plain(&step.action))
        })
        .map(|(_, server, _)| {
            let message = format!("server '{}' is asked in plain HTTP on a port that speaks TLS: it will be DOWN", server.name);
            (server.place.clone(), message)
        })
        .collect()
}

fn by_kind(scene: &Scene<'_>, kind: CheckKind, message: &str) -> Found {
    let places = scene.all(&["ssl-hello"], "ssl-hello");
    let is_used = checked(scene).any(|(_, _, check)| check.script.kind == kind);
    let places = places.into_iter().filter(|_| is_used);
    places.map(|place| (place, message.to_owned())).collect()
}

fn text(scene: &Scene<'_>, text: &str, message: &str) -> Found {
    let places = scene
        .all(&["httpchk", "http-check", "check"], text)
        .into_iter();
    places.map(|place| (place, message.to_owned())).collect()
}

/// Backends all of whose servers are checked by what etcd has a say in, so that all fail at once.
fn etcd_check(scene: &Scene<'_>) -> Found {
    let asks_etcd = |server: &Server| {
        let steps = server.check.as_ref().map(|check| &check.script.steps);
        steps.into_iter().flatten().any(|step| match &step.action {
            Action::Request(request) => {
                let pieces = request.uri.pieces.iter().map(|piece| match piece {
                    Piece::Text(text) => String::from_utf8_lossy(text).into_owned(),
                    Piece::Value(_) => String::new(),
                });
                let uri = pieces.collect::<String>();
                ["/readyz", "/livez", "/healthz"]
                    .iter()
                    .any(|path| uri.starts_with(path))
                    && !uri.contains("exclude=etcd")
            }
            _ => false,
        })
    };
    let backends = scene
        .apis()
        .filter(|backend| !backend.health.fail_open && backend.servers.iter().all(asks_etcd));
    backends
        .map(|backend| {
            let lines = ["option httpchk", "http-check send"];
            let lines = lines.map(|words| scene.line(&backend.place, words));
            let place = lines
                .into_iter()
                .filter(|place| *place != backend.place)
                .max_by_key(|place| place.line);
            let message = format!(
                "every server of '{}' fails this check when etcd pauses",
                backend.name
            );
            (place.unwrap_or_else(|| backend.place.clone()), message)
        })
        .collect()
}

fn no_check(scene: &Scene<'_>) -> Found {
    let backends = scene.apis().filter(|backend| backend.servers.len() > 1);
    backends
        .flat_map(|backend| &backend.servers)
        .filter(|server| server.check.is_none() && server.track.is_none())
        .map(|server| {
            (
                server.place.clone(),
                format!(
                    "server '{}' is not checked: it counts as UP when it is dead",
                    server.name
                ),
            )
        })
        .collect()
}

fn keeps_sessions(scene: &Scene<'_>) -> Found {
    checked(scene)
        .filter(|(_, server, _)| server.on_marked_down == OnMarkedDown::Keep)
        .map(|(_, server, _)| {
            (
                server.place.clone(),
                format!(
                    "connections to server '{}' stay open when it is DOWN",
                    server.name
                ),
            )
        })
        .collect()
}

fn slow_detection(scene: &Scene<'_>) -> Found {
    checked(scene)
        .filter_map(|(_, server, check)| {
            let longest = check.connect_timeout.max(check.read_timeout);
            let takes =
                check.inter + (check.fastinter + longest) * check.fall.saturating_sub(1) + longest;
            (takes > SLOWEST_DETECTION).then(|| {
                let message = format!(
                    "it takes up to {} until a hung server '{}' is DOWN",
                    seconds(takes),
                    server.name
                );
                (server.place.clone(), message)
            })
        })
        .collect()
}

fn slow_connect(scene: &Scene<'_>) -> Found {
    scene
        .apis()
        .filter(|backend| {
            backend
                .connect_timeout
                .is_some_and(|time| time > SLOWEST_CONNECT)
        })
        .map(|backend| {
            let place = scene.line(&backend.place, "timeout connect");
            let time = backend.connect_timeout.unwrap_or_default();
            (
                place,
                format!(
                    "a client waits {} for a master that is gone before another one is tried",
                    seconds(time)
                ),
            )
        })
        .collect()
}

fn server_maxconn(scene: &Scene<'_>) -> Found {
    let servers = scene.apis().flat_map(|backend| &backend.servers);
    servers
        .filter_map(|server| {
            let most = server
                .load
                .maxconn
                .filter(|&most| most < FEWEST_ON_SERVER)?;
            Some((
                server.place.clone(),
                format!(
                    "server '{}' takes {most} connections, watches included",
                    server.name
                ),
            ))
        })
        .collect()
}

fn few_clients(scene: &Scene<'_>) -> Found {
    let mut found = Vec::new();
    if let Some(most) = scene
        .config
        .global
        .maxconn
        .filter(|&most| most < FEWEST_CLIENTS)
        && let Some(place) = scene.all(&["maxconn"], "maxconn").into_iter().next()
    {
        found.push((
            place,
            format!("'maxconn {most}' is few for the whole process"),
        ));
    }
    for frontend in scene.apis().flat_map(|backend| scene.fronts(backend)) {
        if let Some(most) = frontend.maxconn.filter(|&most| most < FEWEST_CLIENTS) {
            let place = scene.line(&frontend.place, "maxconn");
            found.push((
                place,
                format!("'maxconn {most}' is few for nodes, controllers and their watches"),
            ));
        }
    }
    found
}

fn roundrobin(scene: &Scene<'_>) -> Found {
    scene
        .apis()
        .filter(|backend| backend.servers.len() > 1)
        .filter(|backend| matches!(backend.balance, Balance::RoundRobin | Balance::StaticRoundRobin))
        .map(|backend| {
            let message = format!("'balance {}' shares new connections, and those of Kubernetes last: a master that comes back stays idle", backend.balance);
            (scene.line(&backend.place, "balance"), message)
        })
        .collect()
}

fn no_keepalive(scene: &Scene<'_>) -> Found {
    scene
        .apis()
        .filter(|backend| {
            let is_bare = |frontend: &crate::Frontend| frontend.client_keepalive.is_none();
            backend.server_keepalive.is_none() || scene.fronts(backend).any(is_bare)
        })
        .map(|backend| {
            (
                backend.place.clone(),
                "no TCP keepalive: a vanished node or master is not noticed on idle connections"
                    .to_owned(),
            )
        })
        .collect()
}

fn even_masters(scene: &Scene<'_>) -> Found {
    scene
        .apis()
        .filter(|backend| backend.servers.len().is_multiple_of(2))
        .map(|backend| {
            let count = backend.servers.len();
            (
                backend.place.clone(),
                format!(
                    "{count} masters: etcd bears no more failures than with {}",
                    count - 1
                ),
            )
        })
        .collect()
}

fn no_log(scene: &Scene<'_>) -> Found {
    let backends = scene.apis().filter(|backend| backend.log.is_empty());
    backends
        .map(|backend| {
            (
                backend.place.clone(),
                "no log line: it will not be told when a master goes down".to_owned(),
            )
        })
        .collect()
}

fn probes_logged(scene: &Scene<'_>) -> Found {
    let fronts = scene.apis().flat_map(|backend| scene.fronts(backend));
    fronts
        .filter(|frontend| !frontend.log.targets.is_empty() && !frontend.log.skip_null)
        .map(|frontend| {
            (
                frontend.place.clone(),
                "no 'option dontlognull': probes fill the log".to_owned(),
            )
        })
        .collect()
}

fn reasons_lost(scene: &Scene<'_>) -> Found {
    let places = scene.all(&["option log-health-checks"], "option log-health-checks");
    let message = "UP and DOWN lines lose their reason with 'option log-health-checks'";
    places
        .into_iter()
        .map(|place| (place, message.to_owned()))
        .collect()
}

fn chroot_log(scene: &Scene<'_>) -> Found {
    let is_device = scene
        .config
        .global
        .log
        .iter()
        .any(|log| matches!(log.address, LogAddress::Unix(_)));
    if scene.config.global.privileges.chroot.is_none() || !is_device {
        return Vec::new();
    }
    let places = scene.all(&["log"], "log /dev/log").into_iter();
    places
        .map(|place| (place, "'chroot' hides /dev/log".to_owned()))
        .collect()
}

fn wildcard_bind(scene: &Scene<'_>) -> Found {
    let binds = scene
        .config
        .frontends
        .iter()
        .flat_map(|frontend| &frontend.binds);
    binds
        .filter(|bind| matches!(bind.address, BindAddress::Inet(address) if address.ip().is_unspecified() && address.port() == 6443))
        .map(|bind| (bind.place.clone(), "on a master, port 6443 of all addresses is the API server's".to_owned()))
        .collect()
}

fn vip_not_here(scene: &Scene<'_>) -> Found {
    let binds = scene
        .config
        .frontends
        .iter()
        .flat_map(|frontend| &frontend.binds);
    binds
        .filter_map(|bind| match bind.address {
            BindAddress::Inet(address) if !bind.transparent && !address.ip().is_unspecified() => {
                let is_here = (scene.is_local)(address.ip());
                (!is_here).then(|| {
                    (
                        bind.place.clone(),
                        format!("{} is no address of this machine now", address.ip()),
                    )
                })
            }
            _ => None,
        })
        .collect()
}

fn open_stats(scene: &Scene<'_>) -> Found {
    let mut found = Vec::new();
    for frontend in &scene.config.frontends {
        let Some(http) = &frontend.http else { continue };
        let is_open = http.stages.iter().any(|stage| {
            stage
                .stats
                .as_ref()
                .is_some_and(|page| page.users.is_empty() && page.rules.is_empty())
        });
        let reaches = |address: &BindAddress| matches!(address, BindAddress::Inet(address) if !address.ip().is_loopback());
        if is_open && frontend.binds.iter().any(|bind| reaches(&bind.address)) {
            let place = scene.line(&frontend.place, "stats");
            found.push((
                place,
                "the statistics page asks for no password and is open to the network".to_owned(),
            ));
        }
    }
    found
}

fn names_at_start(scene: &Scene<'_>) -> Found {
    let servers = scene
        .config
        .backends
        .iter()
        .flat_map(|backend| &backend.servers);
    servers
        .filter(|server| !server.host.is_empty() && server.resolution.is_none())
        .map(|server| {
            (
                server.place.clone(),
                format!("'{}' is looked up at start and reload only", server.host),
            )
        })
        .collect()
}

/// Where sessions may be silent for hours, HAProxy's old processes stay for as long after each reload.
fn no_hard_stop(scene: &Scene<'_>) -> Found {
    if scene.config.global.hard_stop_after.is_some() {
        return Vec::new();
    }
    let longest = |backend: &Backend| {
        let client = |frontend: &crate::Frontend| frontend.client_timeout;
        let sides = scene.fronts(backend).map(client);
        let shortest = sides.chain([backend.server_timeout]).flatten().min();
        backend.tunnel_timeout.or(shortest).unwrap_or(Duration::MAX)
    };
    let Some(backend) = scene.apis().find(|backend| longest(backend) > LONGEST_IDLE) else {
        return Vec::new();
    };
    let place = scene
        .all(&["global"], "global")
        .into_iter()
        .find(|place| place.column == 1);
    let message = match longest(backend) {
        Duration::MAX => "no 'hard-stop-after', and no limit to idle sessions: each reload of HAProxy leaves a process for them for ever".to_owned(),
        time => format!("no 'hard-stop-after', and sessions may be idle for {} h: each reload of HAProxy leaves a process for them as long", time.as_secs() / 3600),
    };
    vec![(place.unwrap_or_else(|| backend.place.clone()), message)]
}

/// How long it takes until a server that works again is UP.
fn slow_return(scene: &Scene<'_>) -> Found {
    checked(scene)
        .filter_map(|(_, server, check)| {
            let takes = check.downinter + check.fastinter * check.rise.saturating_sub(1);
            (takes > SLOWEST_RETURN).then(|| {
                let message = format!(
                    "it takes up to {} until a new or recovered server '{}' is UP",
                    seconds(takes),
                    server.name
                );
                (server.place.clone(), message)
            })
        })
        .collect()
}

fn no_retries(scene: &Scene<'_>) -> Found {
    let backends = scene.apis().filter(|backend| backend.servers.len() > 1);
    backends
        .filter(|backend| backend.retries == 0)
        .map(|backend| {
            let message = "'retries 0': a connect that fails is not tried at another master";
            (scene.line(&backend.place, "retries"), message.to_owned())
        })
        .collect()
}

fn proxy_header(scene: &Scene<'_>) -> Found {
    let servers = scene.apis().flat_map(|backend| &backend.servers);
    servers
        .filter(|server| server.send_proxy.is_some() && has_api_port(server))
        .map(|server| {
            let message = format!(
                "server '{}' is sent a PROXY header, which API servers do not understand",
                server.name
            );
            (server.place.clone(), message)
        })
        .collect()
}

fn has_api_port(server: &Server) -> bool {
    matches!(server.address, ServerAddress::Inet(address) if TLS_PORTS[1..].contains(&address.port()))
}

/// A server that is this very balancer.
fn own_address(scene: &Scene<'_>) -> Found {
    let mut found = Vec::new();
    for backend in scene.apis() {
        for server in &backend.servers {
            let ServerAddress::Inet(address) = server.address else {
                continue;
            };
            // One whose name is not known here.
            if address.ip().is_unspecified() {
                continue;
            }
            let is_bound = |bind: &BindAddress| match bind {
                BindAddress::Inet(bound) => {
                    bound.port() == address.port()
                        && (bound.ip() == address.ip()
                            || bound.ip().is_unspecified() && (scene.is_local)(address.ip()))
                }
                _ => false,
            };
            let binds = scene.fronts(backend).flat_map(|frontend| &frontend.binds);
            if binds.into_iter().any(|bind| is_bound(&bind.address)) {
                let message = format!("server '{}' is this balancer itself", server.name);
                found.push((server.place.clone(), message));
            }
        }
    }
    found
}

fn balance_source(scene: &Scene<'_>) -> Found {
    scene
        .apis()
        .filter(|backend| backend.servers.len() > 1)
        .filter(|backend| matches!(backend.balance, Balance::Source))
        .map(|backend| {
            let message = "'balance source' sends all that come from one address to one master";
            (scene.line(&backend.place, "balance"), message.to_owned())
        })
        .collect()
}
