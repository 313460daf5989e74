//! Takes a [`Snapshot`] of a running proxy.

use std::net::SocketAddr;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use evenkeel_config::{BindAddress, BusyPolling};

use crate::backend::Backend;
use crate::fitness::{Fitness, Health, Standing};
use crate::generation::Generation;
use crate::local::HttpStats;
use crate::names::Tallies;
use crate::proxy::Proxy;
use crate::queue::Queue;
use crate::server::Server;
use crate::session::Frontend;
use crate::snapshot::*;
use crate::sockets::{LocalAddresses, Sockets};
use crate::stats::{Epoch, ServiceStats};

impl Proxy {
    /// What the proxy looks like now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let (epoch, now) = (self.shared.stats.epoch, Instant::now());
        let local = LocalAddresses::read();
        let Generation {
            frontends,
            backends,
            ..
        } = &*self.current;
        // What is disabled is not shown, as in HAProxy.
        let open = frontends
            .iter()
            .filter(|frontend| !frontend.config.disabled);
        let used = backends.iter().filter(|backend| !backend.config.disabled);
        Snapshot {
            process: self.process(),
            frontends: open
                .map(|f| frontend_snapshot(f, self.is_stopping, epoch, &self.sockets, &local))
                .collect(),
            backends: used.map(|b| backend_snapshot(b, epoch, now)).collect(),
            resolvers: self.current.resolvers(),
        }
    }

    fn process(&self) -> ProcessSnapshot {
        let stats = &self.shared.stats;
        ProcessSnapshot {
            uptime: stats.epoch.elapsed(),
            threads: self.threads,
            maxconn: stats.gate.limit(),
            max_fds: rustix::process::getrlimit(rustix::process::Resource::Nofile)
                .current
                .unwrap_or(u64::MAX),
            current_connections: stats.gate.inside(),
            connections_total: stats.connections.load(Relaxed),
            connection_rate: stats.connection_rate.per_second(stats.epoch),
            max_connection_rate: stats.connection_rate.peak(),
            dropped_logs_total: self.shared.logs.dropped(),
            bytes_out_total: stats.bytes_out.load(Relaxed),
            stopping: self.is_stopping,
            busy_polling: self.current.config.global.busy_polling == BusyPolling::On,
            descriptor_exhausted_total: stats.descriptors_exhausted.load(Relaxed),
            maxconn_reached_total: stats.gate.reached(),
            reloads_total: stats.reloads.load(Relaxed),
            failed_reloads_total: stats.failed_reloads.load(Relaxed),
            held_bytes: self.shared.held.bytes() as u64,
            held_limit_reached_total: self.shared.held.reached(),
        }
    }
}

impl Generation {
    fn resolvers(&self) -> Vec<ResolversSnapshot> {
        let sections = self.config.resolvers.iter().zip(&self.name_tallies);
        let shown = |(section, tallies): (&evenkeel_config::Resolvers, &Tallies)| {
            let servers = section.nameservers.iter().zip(tallies);
            ResolversSnapshot {
                name: section.name.clone(),
                nameservers: servers
                    .map(|(server, tally)| (server.name.clone(), tally.counts()))
                    .collect(),
            }
        };
        sections.map(shown).collect()
    }
}

fn frontend_snapshot(
    frontend: &Frontend,
    is_stopping: bool,
    epoch: Epoch,
    sockets: &Sockets,
    local: &LocalAddresses,
) -> FrontendSnapshot {
    let (config, stats) = (&frontend.config, &frontend.stats);
    let bound = |bind: &evenkeel_config::Bind| {
        let BindAddress::Inet(configured) = bind.address else {
            return None;
        };
        let address: SocketAddr = sockets.address(bind).unwrap_or(configured);
        Some(BoundAddress {
            address,
            present: local.has(address.ip()),
        })
    };
    FrontendSnapshot {
        position: config.position,
        id: config.id,
        name: config.name.clone(),
        status: if is_stopping || config.disabled || frontend.stop.is_cancelled() {
            FrontendStatus::Stop
        } else if !*frontend.accepts.borrow() {
            FrontendStatus::Paused
        } else {
            FrontendStatus::Open
        },
        addresses: config.binds.iter().filter_map(bound).collect(),
        current_sessions: stats.gate.inside(),
        max_sessions: stats.gate.peak(),
        session_limit: stats.gate.limit(),
        sessions_total: stats.sessions.load(Relaxed),
        connections_total: stats.sessions.load(Relaxed) + stats.denied.refused.load(Relaxed),
        session_rate: stats.session_rate.per_second(epoch),
        max_session_rate: stats.session_rate.peak(),
        connection_rate: stats.session_rate.per_second(epoch)
            + stats.denied.refused_rate.per_second(epoch),
        max_connection_rate: stats
            .session_rate
            .peak()
            .max(stats.denied.connection_peak.load(Relaxed)),
        denied_connections_total: stats.denied.connections.load(Relaxed),
        denied_sessions_total: stats.denied.sessions.load(Relaxed),
        denied_requests_total: stats.denied.requests.load(Relaxed),
        bytes_in_total: stats.bytes.inward.load(Relaxed),
        bytes_out_total: stats.bytes.outward.load(Relaxed),
        maxconn_reached_total: stats.gate.reached(),
        http: config
            .http
            .is_some()
            .then(|| http_snapshot(&stats.http, epoch)),
    }
}

fn http_snapshot(stats: &HttpStats, epoch: Epoch) -> HttpSnapshot {
    HttpSnapshot {
        requests_total: stats.requests.load(Relaxed),
        request_rate: stats.request_rate.per_second(epoch),
        max_request_rate: stats.request_rate.peak(),
        responses_total: stats.responses.each_ref().map(|count| count.load(Relaxed)),
        denied_total: stats.denied.load(Relaxed),
        errors_total: stats.errors.load(Relaxed),
        intercepted_total: stats.intercepted.load(Relaxed),
    }
}

fn backend_snapshot(backend: &Backend, epoch: Epoch, now: Instant) -> BackendSnapshot {
    let (config, stats) = (&backend.config, &backend.state.stats);
    let queue = &backend.state.queue;
    let weight = backend.total_weight();
    let (active_servers, backup_servers) = {
        let picker = backend.picker();
        (picker.active_servers(), picker.backup_servers())
    };
    let standing = *backend
        .state
        .standing
        .lock()
        .expect("no panic while standing is locked");
    BackendSnapshot {
        position: config.position,
        id: config.id,
        name: config.name.clone(),
        is_up: standing.is_up(),
        service: service_snapshot(stats, &standing, queue.level(None), epoch, now),
        session_limit: backend.fullconn(),
        weight,
        fails_open: backend.state.fail_open.is_open(),
        fail_opens_total: backend.state.fail_open.times(),
        active_servers,
        backup_servers,
        balance: config.balance.clone(),
        servers: backend
            .servers
            .iter()
            .map(|server| server_snapshot(server, queue, epoch, now))
            .collect(),
    }
}

/// What one server of a backend looks like.
#[cfg(test)]
pub(crate) fn server(backend: &Backend, index: usize, now: Instant) -> ServerSnapshot {
    let epoch = backend.shared.stats.epoch;
    let queue = &backend.state.queue;
    server_snapshot(&backend.servers[index], queue, epoch, now)
}

fn server_snapshot(server: &Server, queue: &Queue, epoch: Epoch, now: Instant) -> ServerSnapshot {
    let (config, stats) = (&server.config, &server.state.stats);
    let fitness = server.state.fitness().clone();
    let machine = fitness.deciding_machine();
    // One that tracks another has that one's verdict, which is not its own agent's.
    let agent = config.agent.as_ref();
    let agent = agent.and_then(|_| agent_snapshot(&fitness));
    ServerSnapshot {
        id: config.id,
        name: config.name.clone(),
        address: fitness.address.clone(),
        host: fitness.fqdn.clone().unwrap_or_else(|| config.host.clone()),
        is_host_set: fitness.fqdn.is_some(),
        status: status(&fitness),
        tracked: server.leader.get().cloned(),
        service: service_snapshot(
            stats,
            &fitness.standing,
            queue.level(Some(&server.state)),
            epoch,
            now,
        ),
        health: machine.map_or((0, 0), |machine| (machine.health(), machine.top())),
        rise_fall: machine.map_or((0, 0), |machine| (machine.rise(), machine.fall())),
        weight: (u32::from(fitness.weight) * u32::from(fitness.percent(now))).div_ceil(100),
        full_weight: u32::from(fitness.weight),
        configured_weight: u32::from(fitness.configured_weight()),
        backup: config.backup,
        throttle: fitness.starting.map(|_| fitness.percent(now)),
        queue_limit: fitness.load.maxqueue,
        session_limit: fitness.maxconn,
        admin: fitness.admin,
        is_disabled_by_file: fitness.is_disabled_by_file(),
        is_checked: config.check.is_some(),
        checks_enabled: fitness.is_checked_now(),
        last_check: fitness.last_check,
        check_failures_total: fitness.check_failures,
        check_place: fitness.places.check,
        agent_place: (fitness.places.agent.ip, fitness.places.agent.port),
        observed_failures_total: config.observation.map(|_| fitness.observed_failures),
        agent,
    }
}

fn agent_snapshot(fitness: &Fitness) -> Option<AgentSnapshot> {
    let machine = fitness.agent?;
    Some(AgentSnapshot {
        is_enabled: fitness.agent_enabled,
        health: machine.health(),
        said: match &fitness.last_agent {
            _ if fitness.agent_has_no_verdict => AgentWord::NoVerdict,
            Some(outcome) => AgentWord::Verdict(outcome.clone()),
            None => AgentWord::None,
        },
    })
}

/// What backends and servers count alike.
fn service_snapshot(
    stats: &ServiceStats,
    standing: &Standing,
    (current_queue, max_queue): (u32, u32),
    epoch: Epoch,
    now: Instant,
) -> ServiceSnapshot {
    ServiceSnapshot {
        current_queue,
        max_queue,
        current_sessions: stats.open.now(),
        max_sessions: stats.open.peak(),
        sessions_total: stats.sessions.load(Relaxed),
        session_rate: stats.session_rate.per_second(epoch),
        max_session_rate: stats.session_rate.peak(),
        loadbalanced_total: stats.chosen.load(Relaxed),
        bytes_in_total: stats.bytes.inward.load(Relaxed),
        bytes_out_total: stats.bytes.outward.load(Relaxed),
        connection_errors_total: stats.connection_errors.load(Relaxed),
        response_errors_total: stats.response_errors.load(Relaxed),
        retry_warnings_total: stats.retries.load(Relaxed),
        redispatch_warnings_total: stats.redispatches.load(Relaxed),
        client_aborts_total: stats.client_aborts.load(Relaxed),
        server_aborts_total: stats.server_aborts.load(Relaxed),
        connection_attempts_total: stats.attempts.load(Relaxed),
        down_total: standing.downs(),
        last_change: standing.last_change(now),
        downtime: standing.downtime(now),
        last_session: stats.last_session(epoch),
        average_queue_time: stats.queue_time.mean(),
        average_connect_time: stats.connect_time.mean(),
        average_session_time: stats.session_time.mean(),
        max_queue_time: stats.queue_time.highest(),
        max_connect_time: stats.connect_time.highest(),
        max_session_time: stats.session_time.highest(),
    }
}

/// HAProxy's word for what a server is fit for.
fn status(fitness: &Fitness) -> ServerStatus {
    let admin = fitness.admin;
    if admin.forced_maint {
        return ServerStatus::Maint;
    } else if admin.inherited_maint {
        return ServerStatus::MaintVia;
    } else if admin.unresolved {
        return ServerStatus::MaintUnresolved;
    }
    let machine = fitness.deciding_machine();
    let is_sure = machine.is_none_or(|machine| machine.health() == machine.top());
    match fitness.health() {
        Health::Down if fitness.is_down_by_agent() => ServerStatus::DownByAgent,
        Health::Down if machine.is_some_and(|machine| !machine.is_up() && machine.health() > 0) => {
            ServerStatus::GoingUp
        }
        Health::Down => ServerStatus::Down,
        Health::Stopping => ServerStatus::Stopping,
        Health::Up if admin.is_drain() && fitness.agent.is_some() => ServerStatus::DrainByAgent,
        Health::Up if admin.is_drain() => ServerStatus::Drain,
        Health::Up if machine.is_none() || !fitness.is_checked_now() => ServerStatus::NoCheck,
        Health::Up if is_sure => ServerStatus::Up,
        Health::Up => ServerStatus::GoingDown,
    }
}
