//! What commands ask of a running proxy, and change. All of it happens on the control thread, in
//! the generation in force; what of it outlives a reload is the server's own matter.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use evenkeel_config::ServerAddress;

use crate::backend::Backend;
use crate::change::FixedWeight;
use crate::fitness::{AdminState, Health};
use crate::log::Level;
use crate::proxy::Proxy;
use crate::roll::Roll;
use crate::session::Frontend;
use crate::snapshot::FrontendStatus;

/// A server of the configuration in force: its backend's place and its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerAt {
    backend: usize,
    server: usize,
}

/// What a command says of a server's health.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaidHealth {
    /// It takes clients.
    Up,
    /// It takes no new ones.
    Stopping,
    /// It takes none.
    Down,
}

/// Which counters are set back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counters {
    /// The highest values alone.
    Highest,
    /// All of them.
    All,
}

impl Proxy {
    /// The backend of this name.
    #[must_use]
    pub fn backend_named(&self, name: &str) -> Option<usize> {
        let mut backends = self.current.backends.iter();
        backends.position(|backend| backend.config.name == name)
    }

    /// The backend with this number (HAProxy's `iid`).
    #[must_use]
    pub fn backend_numbered(&self, id: u32) -> Option<usize> {
        let mut backends = self.current.backends.iter();
        backends.position(|backend| backend.config.id == id)
    }

    /// Whether a command, or the file, has a server in maintenance, and in drain.
    #[must_use]
    pub fn admin(&self, at: ServerAt) -> (bool, bool) {
        let fitness = self.backend_of(at).servers[at.server].state.fitness();
        (fitness.admin.forced_maint, fitness.admin.forced_drain)
    }

    /// The server of this name in the backend at `backend`.
    #[must_use]
    pub fn server_named(&self, backend: usize, name: &str) -> Option<ServerAt> {
        let mut servers = self.current.backends.get(backend)?.servers.iter();
        let server = servers.position(|server| server.config.name == name)?;
        Some(ServerAt { backend, server })
    }

    fn backend_of(&self, at: ServerAt) -> &Arc<Backend> {
        &self.current.backends[at.backend]
    }

    /// `set server ... state`, `enable server`, `disable server`.
    pub fn set_admin(&mut self, at: ServerAt, state: AdminState) {
        self.backend_of(at).set_admin(at.server, state);
    }

    /// `set server ... health`.
    pub fn set_health(&mut self, at: ServerAt, health: SaidHealth) {
        let health = match health {
            SaidHealth::Up => Health::Up,
            SaidHealth::Stopping => Health::Stopping,
            SaidHealth::Down => Health::Down,
        };
        self.backend_of(at).set_health(at.server, health);
    }

    /// `set server ... agent`.
    pub fn set_agent(&mut self, at: ServerAt, is_up: bool) {
        self.backend_of(at).set_agent(at.server, is_up);
    }

    /// `set server ... fqdn`: has it follow another name, and tells the one before; `None`: it
    /// follows none, or that of a service, whose hosts its records name.
    pub fn set_fqdn(&mut self, at: ServerAt, name: &str) -> Option<String> {
        let server = &self.backend_of(at).servers[at.server];
        let resolution = server.config.resolution.as_ref();
        let resolution = resolution.filter(|own| !own.is_service() && !name.starts_with('_'))?;
        let before = server.state.fitness().fqdn.replace(name.to_owned());
        let before = before.unwrap_or_else(|| resolution.name.clone());
        self.current.follow_names();
        Some(before)
    }

    /// Whether it has no state of its own, but another server's.
    #[must_use]
    pub fn tracks(&self, at: ServerAt) -> bool {
        let server = &self.backend_of(at).servers[at.server];
        server.config.track.is_some()
    }

    /// `set server ... check-addr`, `check-port`: from the next check on, which comes at once. A
    /// port of 0 is the server's own.
    pub fn set_check_place(&mut self, at: ServerAt, ip: Option<IpAddr>, port: Option<u16>) {
        self.backend_of(at).set_places(at.server, |places| {
            let check = &mut places.check;
            check.ip = ip.or(check.ip);
            check.port = port.or(check.port).filter(|&port| port > 0);
        });
    }

    /// `set server ... agent-addr`, `agent-port`: it is asked there at once.
    pub fn set_agent_place(&mut self, at: ServerAt, ip: Option<IpAddr>, port: Option<u16>) {
        self.backend_of(at).set_places(at.server, |places| {
            let agent = &mut places.agent;
            agent.ip = ip.or(agent.ip);
            agent.port = port.unwrap_or(agent.port);
        });
    }

    /// `set server ... agent-send`.
    pub fn set_agent_words(&mut self, at: ServerAt, send: &[u8]) {
        self.backend_of(at).set_places(at.server, |places| {
            places.agent.send = send.into();
        });
    }

    /// The weight in force and the file's.
    #[must_use]
    pub fn weight(&self, at: ServerAt) -> (u16, u16) {
        let fitness = self.backend_of(at).servers[at.server].state.fitness();
        (fitness.weight, fitness.configured_weight())
    }

    /// `set server ... weight`: 0 to 256.
    ///
    /// # Errors
    /// Where the balance algorithm takes no weight but the file's, and none.
    pub fn set_weight(&mut self, at: ServerAt, weight: u16) -> Result<(), FixedWeight> {
        self.backend_of(at).set_weight(at.server, weight)
    }

    /// `set maxconn server`; `None`: no limit.
    pub fn set_server_maxconn(&mut self, at: ServerAt, maxconn: Option<u32>) {
        self.backend_of(at).set_maxconn(at.server, maxconn);
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self, at: ServerAt) -> ServerAddress {
        let server = &self.backend_of(at).servers[at.server];
        server.state.fitness().address.clone()
    }

    /// `set server ... addr`: connections that exist stay.
    pub fn set_address(&mut self, at: ServerAt, address: ServerAddress) {
        self.backend_of(at).set_address(at.server, address);
    }

    /// Whether it is checked.
    #[must_use]
    pub fn is_checked(&self, at: ServerAt) -> bool {
        let server = &self.backend_of(at).servers[at.server];
        server.config.check.is_some()
    }

    /// Whether it is checked and no command had that rest.
    #[must_use]
    pub fn runs_checks(&self, at: ServerAt) -> bool {
        let server = &self.backend_of(at).servers[at.server];
        self.is_checked(at) && server.state.fitness().checks_enabled
    }

    /// Whether it has an agent and no command had that rest.
    #[must_use]
    pub fn asks_agent(&self, at: ServerAt) -> bool {
        let server = &self.backend_of(at).servers[at.server];
        self.has_agent(at) && server.state.fitness().agent_enabled
    }

    /// Whether it is checked at the port that its address has.
    #[must_use]
    pub fn is_checked_at_its_port(&self, at: ServerAt) -> bool {
        let server = &self.backend_of(at).servers[at.server];
        self.runs_checks(at) && server.state.fitness().places.check.port.is_none()
    }

    /// Whether it has an agent.
    #[must_use]
    pub fn has_agent(&self, at: ServerAt) -> bool {
        let server = &self.backend_of(at).servers[at.server];
        server.config.agent.is_some()
    }

    /// `enable health`, `disable health`.
    pub fn enable_checks(&mut self, at: ServerAt, enabled: bool) {
        self.backend_of(at).enable_checks(at.server, enabled);
    }

    /// `enable agent`, `disable agent`.
    pub fn enable_agent(&mut self, at: ServerAt, enabled: bool) {
        self.backend_of(at).enable_agent(at.server, enabled);
    }

    /// `shutdown sessions server`: in draining generations too.
    pub fn shutdown_sessions(&mut self, at: ServerAt) {
        self.backend_of(at).shutdown_sessions(at.server);
    }

    /// Whether there is a frontend of this name.
    #[must_use]
    pub fn has_frontend(&self, name: &str) -> bool {
        let mut frontends = self.current.frontends.iter();
        frontends.any(|frontend| frontend.config.name == name)
    }

    /// Whether it accepts, as commands have it.
    #[must_use]
    pub fn frontend_status(&self, name: &str) -> Option<FrontendStatus> {
        let frontend = self.frontend(name)?;
        let is_over = frontend.config.disabled || frontend.stop.is_cancelled();
        Some(if is_over {
            FrontendStatus::Stop
        } else if *frontend.accepts.borrow() {
            FrontendStatus::Open
        } else {
            FrontendStatus::Paused
        })
    }

    fn frontend(&self, name: &str) -> Option<Arc<Frontend>> {
        let mut frontends = self.current.frontends.iter();
        let frontend = frontends.find(|frontend| frontend.config.name == name);
        frontend.cloned()
    }

    /// `enable frontend`, `disable frontend`: until the next reload. Its sockets stay bound, and
    /// who comes meanwhile is refused.
    pub fn let_accept(&mut self, name: &str, accepts: bool) {
        if let Some(frontend) = self.frontend(name) {
            if accepts {
                for bind in &frontend.config.binds {
                    self.sockets.resume(&self.current.config, bind);
                }
            }
            frontend.accepts.send_replace(accepts);
            if !accepts {
                for bind in &frontend.config.binds {
                    self.sockets.pause(bind);
                }
            }
            let what = if accepts { "Resumed" } else { "Paused" };
            let mut backends = self.current.config.backends.iter();
            let kind = match backends.any(|backend| backend.id == frontend.config.id) {
                true => "proxy",
                false => "frontend",
            };
            let message = format!("{what} {kind} {name}.");
            frontend.log.send(Level::Warning, &message);
        }
    }

    /// `shutdown frontend`: its sockets close until the next reload; its sessions go on.
    pub fn shut_down_frontend(&mut self, name: &str) {
        let Some(frontend) = self.frontend(name) else {
            return;
        };
        for bind in &frontend.config.binds {
            self.sockets.release(bind);
        }
        let sockets = &self.sockets;
        self.current.shut_down(&frontend, |bind| !sockets.has(bind));
        self.current.announce_stop_of(name);
    }

    /// `set maxconn frontend`: until the next reload.
    /// 0: only the process's.
    pub fn set_frontend_maxconn(&mut self, name: &str, maxconn: u32) {
        let maxconn = if maxconn == 0 {
            self.hard_maxconn
        } else {
            maxconn
        };
        for frontend in &self.current.frontends {
            if frontend.config.name == name {
                frontend.stats.gate.set_limit(maxconn);
            }
        }
    }

    /// The process's limit on client connections.
    #[must_use]
    pub fn maxconn(&self) -> u32 {
        self.shared.stats.gate.limit()
    }

    /// The most that the process has descriptors for.
    #[must_use]
    pub fn hard_maxconn(&self) -> u32 {
        self.hard_maxconn
    }

    /// `set maxconn global`: until the next reload.
    pub fn set_maxconn(&mut self, maxconn: u32) {
        self.shared.stats.gate.set_limit(maxconn);
    }

    /// `clear counters`: of everything in the configuration in force.
    pub fn clear_counters(&mut self, which: Counters) {
        let shared = &self.shared.stats;
        shared.gate.clear_peak();
        shared.connection_rate.clear_peak();
        for frontend in &self.current.frontends {
            frontend.stats.clear(which);
        }
        for backend in &self.current.backends {
            backend.state.stats.clear(which);
            for server in &backend.servers {
                server.state.stats.clear(which);
                if which == Counters::All {
                    let mut fitness = server.state.fitness();
                    (fitness.check_failures, fitness.observed_failures) = (0, 0);
                }
            }
        }
        if which == Counters::All {
            for (_, counter) in shared.counters() {
                counter.store(0, Relaxed);
            }
        }
    }

    /// Who can tell of open sessions, and end them.
    #[must_use]
    pub fn roll(&self) -> Roll {
        Roll::new(self.workers().handles().collect())
    }
}
