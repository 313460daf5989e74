//! What a server is fit for: what its checks and its agent say, what the operator says, and what
//! follows from both.

use std::time::{Duration, Instant};

use evenkeel_config as config;
use evenkeel_config::{InitState, ServerAddress, ServerLoad};
use evenkeel_health::{CheckOutcome, Machine, Record};

use crate::places::Places;

/// Since when something is up or down, and for how long it was down before.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing {
    is_up: bool,
    since: Instant,
    downtime: Duration,
    downs: u64,
}

impl Standing {
    pub(crate) fn new(is_up: bool, now: Instant) -> Self {
        Self {
            is_up,
            since: now,
            downtime: Duration::ZERO,
            downs: 0,
        }
    }

    /// Takes note of a change; returns whether it was one.
    pub(crate) fn turn(&mut self, is_up: bool, now: Instant) -> bool {
        if self.is_up == is_up {
            return false;
        }
        if is_up {
            self.downtime += now - self.since;
        } else {
            self.downs += 1;
        }
        (self.is_up, self.since) = (is_up, now);
        true
    }

    /// It was down so long and so often before.
    pub(crate) fn was_down(&mut self, downtime: Duration, downs: u64) {
        (self.downtime, self.downs) = (downtime, downs);
    }

    /// How long it was down before it last changed.
    pub(crate) fn past_downtime(&self) -> Duration {
        self.downtime
    }

    /// It has been as it is since then.
    pub(crate) fn began(&mut self, since: Instant) {
        self.since = since;
    }

    pub(crate) fn is_up(&self) -> bool {
        self.is_up
    }

    pub(crate) fn last_change(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.since)
    }

    pub(crate) fn downtime(&self, now: Instant) -> Duration {
        let current = if self.is_up {
            Duration::ZERO
        } else {
            self.last_change(now)
        };
        self.downtime + current
    }

    pub(crate) fn downs(&self) -> u64 {
        self.downs
    }
}

/// What checks and agent make of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    /// Takes clients.
    Up,
    /// Takes no new clients: the server said so, or a command did (HAProxy's NOLB).
    Stopping,
    /// Takes none.
    Down,
}

/// What the operator wants of a server. Several can be true at once, each from a source of its own;
/// maintenance outdoes drain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Admin {
    /// Maintenance, by command or agent, or by `disabled` in the file.
    pub forced_maint: bool,
    /// Maintenance, because the server that it tracks is.
    pub inherited_maint: bool,
    /// Maintenance, because its name has no address.
    pub unresolved: bool,
    /// Drain, by command or agent.
    pub forced_drain: bool,
    /// Drain, because the server that it tracks is.
    pub inherited_drain: bool,
}

impl Admin {
    pub(crate) fn is_maint(&self) -> bool {
        self.forced_maint || self.inherited_maint || self.unresolved
    }

    /// Whether it drains, were it not for maintenance.
    pub(crate) fn is_drain(&self) -> bool {
        self.forced_drain || self.inherited_drain
    }
}

/// The administrative states that a command or an agent can ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdminState {
    /// Serves as its health allows.
    Ready,
    /// Takes no new clients; its sessions go on.
    Drain,
    /// Takes no clients and is not checked.
    Maint,
}

/// All that decides whether a server is chosen, at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct View {
    pub(crate) health: Health,
    pub(crate) admin: Admin,
}

impl View {
    /// Whether new clients may be sent there.
    pub(crate) fn is_usable(&self) -> bool {
        self.health == Health::Up && !self.admin.is_maint() && !self.admin.is_drain()
    }

    /// Whether it is up and in service, drained or not.
    pub(crate) fn is_serving(&self) -> bool {
        self.health == Health::Up && !self.admin.is_maint()
    }

    /// Whether those who are there may stay (drain and NOLB included).
    pub(crate) fn is_up(&self) -> bool {
        self.health != Health::Down && !self.admin.is_maint()
    }
}

/// What the file said when a generation last took it in: what a command changes stays so until
/// the file says something else.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Said {
    disabled: bool,
    weight: u16,
    maxconn: Option<u32>,
    address: ServerAddress,
    places: Places,
}

impl Said {
    fn by(server: &config::Server) -> Self {
        Self {
            disabled: server.disabled,
            weight: server.weight,
            maxconn: server.load.maxconn,
            address: server.address.clone(),
            places: Places::of(server),
        }
    }
}

/// What a server's health rests on beside its agent.
#[derive(Clone, Copy, Debug)]
enum Footing {
    /// Its checks.
    Checks(Machine),
    /// Nothing: it is up unless `set server health down` says otherwise.
    Faith { is_down: bool },
    /// The server that it tracks, as far as it was told of it.
    Leader(Inherited),
}

/// What a server has from the one that it tracks.
#[derive(Clone, Copy, Debug)]
struct Inherited {
    health: Health,
    /// How far that one is from another state.
    machine: Option<Machine>,
    /// An agent is why it is down.
    is_down_by_agent: bool,
    checks_enabled: bool,
}

impl Footing {
    /// As it is before anything is known.
    fn new(server: &config::Server) -> Self {
        match &server.check {
            _ if server.track.is_some() => Self::Leader(Inherited {
                health: Health::Up,
                machine: None,
                is_down_by_agent: false,
                checks_enabled: true,
            }),
            Some(check) => {
                let machine = Machine::new(check.rise, check.fall);
                Self::Checks(machine.starting(server.init_state))
            }
            None => Self::Faith { is_down: false },
        }
    }
}

/// What is known of a server's fitness so far, and what was asked of it.
#[derive(Clone, Debug)]
pub(crate) struct Fitness {
    footing: Footing,
    pub(crate) last_check: Option<CheckOutcome>,
    pub(crate) check_failures: u64,
    /// Whether checks run, as far as commands decide (`disable health`).
    pub(crate) checks_enabled: bool,
    /// The agent's verdict; `None`: it has no agent.
    pub(crate) agent: Option<Machine>,
    pub(crate) last_agent: Option<CheckOutcome>,
    /// Whether its agent answered last without saying whether it is up.
    pub(crate) agent_has_no_verdict: bool,
    /// How often clients' connects called for action (`observe`).
    pub(crate) observed_failures: u64,
    /// What its last checks found, for `fail-open`.
    pub(crate) record: Record,
    /// Whether `fail-open` keeps it in use.
    pub(crate) is_held: bool,
    /// Whether the agent is asked, as far as commands decide (`disable agent`).
    pub(crate) agent_enabled: bool,
    /// A check or a command said that it takes no new clients (HAProxy's NOLB).
    pub(crate) is_stopping: bool,
    pub(crate) admin: Admin,
    /// The weight in force, before slowstart: the file's, a command's or the agent's.
    pub(crate) weight: u16,
    /// The limit in force: the file's, a command's or the agent's; `None`: no limit.
    pub(crate) maxconn: Option<u32>,
    /// What the file lets it have.
    pub(crate) load: ServerLoad,
    /// Since when it has been coming up slowly; `None`: it has its full share.
    pub(crate) starting: Option<Instant>,
    /// What it is taken for before a check.
    init_state: InitState,
    /// Where it is now: the file's address, a command's or a resolver's.
    pub(crate) address: ServerAddress,
    /// The name that is followed, where a command says another than the file.
    pub(crate) fqdn: Option<String>,
    /// What its check and its agent have of their own: the file's, or a command's.
    pub(crate) places: Places,
    pub(crate) standing: Standing,
    said: Said,
}

impl Fitness {
    pub(crate) fn new(server: &config::Server, now: Instant) -> Self {
        let footing = Footing::new(server);
        let is_up = match footing {
            Footing::Checks(machine) => machine.is_up(),
            _ => true,
        };
        Self {
            footing,
            last_check: None,
            check_failures: 0,
            checks_enabled: true,
            agent: server.agent.as_ref().map(|_| Machine::new(1, 1)),
            record: Record::default(),
            is_held: false,
            last_agent: None,
            agent_has_no_verdict: false,
            observed_failures: 0,
            agent_enabled: true,
            is_stopping: false,
            admin: Admin {
                forced_maint: server.disabled,
                unresolved: server.unresolved,
                ..Admin::default()
            },
            weight: server.weight,
            maxconn: server.load.maxconn,
            load: server.load,
            starting: None,
            init_state: server.init_state,
            address: server.address.clone(),
            fqdn: None,
            places: Places::of(server),
            standing: Standing::new(!server.disabled && !server.unresolved && is_up, now),
            said: Said::by(server),
        }
    }

    /// Fits what is carried over to a configuration that may have changed.
    pub(crate) fn adapt(&mut self, server: &config::Server, now: Instant) {
        let is_down = self.health_beside_agent() == Health::Down;
        self.footing = match (Footing::new(server), self.footing) {
            (Footing::Checks(fresh), Footing::Checks(machine)) => {
                Footing::Checks(machine.with_thresholds(fresh.rise(), fresh.fall()))
            }
            // What is known to be down is so until a check passes.
            (Footing::Checks(fresh), _) if is_down => Footing::Checks(fresh.surely(false)),
            (Footing::Faith { .. }, faith @ Footing::Faith { .. }) => faith,
            // Whom it tracks says at once how it is; until then it is as it was.
            (Footing::Leader(_), leader @ Footing::Leader(_)) => leader,
            (Footing::Leader(_), _) => Footing::Leader(self.as_inherited()),
            (fresh, _) => fresh,
        };
        self.agent = server
            .agent
            .as_ref()
            .map(|_| self.agent.unwrap_or_else(|| Machine::new(1, 1)));
        self.obey(server);
        if server.track.is_none() {
            (self.admin.inherited_maint, self.admin.inherited_drain) = (false, false);
        }
        self.standing.turn(self.view().is_up(), now);
    }

    /// Takes over what commands asked of a server that now is at another address.
    pub(crate) fn inherit(&mut self, old: &Self, server: &config::Server, now: Instant) {
        self.admin = Admin {
            forced_maint: old.admin.forced_maint,
            forced_drain: old.admin.forced_drain,
            ..self.admin
        };
        self.weight = old.weight;
        self.maxconn = old.maxconn;
        self.checks_enabled = old.checks_enabled;
        self.agent_enabled = old.agent_enabled;
        self.said = Said {
            address: server.address.clone(),
            places: Places::of(server),
            ..old.said.clone()
        };
        self.obey(server);
        self.standing = Standing::new(self.view().is_up(), now);
    }

    /// Does what the file says anew.
    fn obey(&mut self, server: &config::Server) {
        let says = Said::by(server);
        if says.disabled != self.said.disabled {
            self.admin.forced_maint = says.disabled;
        }
        if says.weight != self.said.weight {
            self.weight = says.weight;
        }
        if says.maxconn != self.said.maxconn {
            self.maxconn = says.maxconn;
        }
        if says.address != self.said.address {
            self.address = says.address.clone();
        }
        if says.places != self.said.places {
            self.places = says.places.clone();
        }
        self.said = says;
        self.load = server.load;
        self.init_state = server.init_state;
        if server.load.slowstart.is_none() {
            self.starting = None;
        }
    }

    /// The weight that the file gives.
    pub(crate) fn configured_weight(&self) -> u16 {
        self.said.weight
    }

    /// Whether it is elsewhere than the file says.
    pub(crate) fn is_moved(&self) -> bool {
        self.address != self.said.address
    }

    /// Whether it is to be checked, as far as commands decide.
    pub(crate) fn wants_checks(&self) -> bool {
        self.checks_enabled && !self.admin.is_maint()
    }

    /// Whether its agent is to be asked: in maintenance too, which it may end, but not where it is
    /// not known to be anywhere.
    pub(crate) fn wants_agent(&self) -> bool {
        self.agent_enabled && !self.admin.unresolved
    }

    /// Whether the file says `disabled`.
    pub(crate) fn is_disabled_by_file(&self) -> bool {
        self.said.disabled
    }

    /// The verdict of its own checks; `None`: it has none.
    pub(crate) fn machine(&self) -> Option<Machine> {
        match self.footing {
            Footing::Checks(machine) => Some(machine),
            Footing::Faith { .. } | Footing::Leader(_) => None,
        }
    }

    /// The same, to be changed.
    pub(crate) fn machine_mut(&mut self) -> Option<&mut Machine> {
        match &mut self.footing {
            Footing::Checks(machine) => Some(machine),
            Footing::Faith { .. } | Footing::Leader(_) => None,
        }
    }

    /// The verdict of the checks that decide: its own, or those of the server that it tracks.
    pub(crate) fn deciding_machine(&self) -> Option<Machine> {
        match self.footing {
            Footing::Leader(inherited) => inherited.machine,
            _ => self.machine(),
        }
    }

    /// Whether the checks that decide run, as far as commands decide.
    pub(crate) fn is_checked_now(&self) -> bool {
        match self.footing {
            Footing::Leader(inherited) => inherited.checks_enabled,
            _ => self.checks_enabled,
        }
    }

    /// Whether it is an agent that says it is down, its own or that of the server that it tracks.
    pub(crate) fn is_down_by_agent(&self) -> bool {
        let inherited = match self.footing {
            Footing::Leader(inherited) => inherited.is_down_by_agent,
            _ => false,
        };
        inherited || self.agent_enabled && self.is_agent_down()
    }

    fn is_agent_down(&self) -> bool {
        self.agent.is_some_and(|agent| !agent.is_up())
    }

    /// What its checks, commands and the server that it tracks make of it.
    fn health_beside_agent(&self) -> Health {
        let health = match self.footing {
            Footing::Checks(machine) if !machine.is_up() => Health::Down,
            Footing::Faith { is_down: true } => Health::Down,
            Footing::Leader(inherited) => inherited.health,
            Footing::Checks(_) | Footing::Faith { .. } => Health::Up,
        };
        match health {
            Health::Up if self.is_stopping => Health::Stopping,
            health => health,
        }
    }

    pub(crate) fn health(&self) -> Health {
        if self.is_agent_down() {
            Health::Down
        } else {
            self.health_beside_agent()
        }
    }

    /// What a server that tracks this one has from it.
    fn as_inherited(&self) -> Inherited {
        Inherited {
            health: self.health(),
            machine: self.deciding_machine(),
            is_down_by_agent: self.is_down_by_agent(),
            checks_enabled: self.is_checked_now(),
        }
    }

    pub(crate) fn view(&self) -> View {
        View {
            health: self.health(),
            admin: self.admin,
        }
    }

    /// Whether it is neither down nor in maintenance.
    pub(crate) fn is_up(&self) -> bool {
        self.view().is_up()
    }

    pub(crate) fn set_admin(&mut self, state: AdminState) {
        let admin = &mut self.admin;
        match state {
            AdminState::Ready => (admin.forced_maint, admin.forced_drain) = (false, false),
            AdminState::Drain => (admin.forced_maint, admin.forced_drain) = (false, true),
            AdminState::Maint => (admin.forced_maint, admin.forced_drain) = (true, false),
        }
    }

    /// What `set server health` says, as if its checks did.
    pub(crate) fn set_health(&mut self, health: Health) {
        self.is_stopping = health == Health::Stopping;
        let says_down = health == Health::Down;
        match &mut self.footing {
            Footing::Checks(machine) => *machine = machine.surely(!says_down),
            Footing::Faith { is_down } => *is_down = says_down,
            Footing::Leader(_) => {}
        }
        if !says_down {
            self.forget_disabled_agent();
        }
    }

    /// What `set server agent` says, as if its agent did.
    pub(crate) fn set_agent(&mut self, is_up: bool) {
        self.agent = self.agent.map(|agent| agent.surely(is_up));
        self.take_agent_word(is_up);
    }

    /// An agent's word counts for a server that nothing else checks.
    pub(crate) fn take_agent_word(&mut self, is_up: bool) {
        if let Footing::Faith { is_down } = &mut self.footing {
            *is_down &= !is_up;
        }
    }

    /// What an agent said last that is no longer asked: it holds until something else speaks for
    /// the server.
    pub(crate) fn forget_disabled_agent(&mut self) {
        if !self.agent_enabled {
            self.agent = self.agent.map(|agent| agent.surely(true));
        }
    }

    /// The share of weight and limit that slowstart leaves it, in percent.
    pub(crate) fn percent(&self, now: Instant) -> u8 {
        let (Some(since), Some(takes)) = (self.starting, self.load.slowstart) else {
            return 100;
        };
        let passed = now.saturating_duration_since(since).as_millis();
        let percent = passed * 100 / takes.as_millis().max(1);
        u8::try_from(percent).unwrap_or(100).clamp(1, 100)
    }

    /// Follows the server that it tracks.
    pub(crate) fn follow(&mut self, leader: &Self) {
        let inherited = leader.as_inherited();
        self.footing = Footing::Leader(inherited);
        if inherited.health != Health::Down {
            self.forget_disabled_agent();
        }
        self.admin.inherited_maint = leader.admin.is_maint();
        self.admin.inherited_drain = leader.admin.is_drain();
    }

    /// Comes back from maintenance: up until a check says otherwise, or as `init-state` has it.
    /// What its agent said holds, as it is asked in maintenance too.
    pub(crate) fn start_over(&mut self) {
        match &mut self.footing {
            Footing::Checks(machine) => {
                let fresh = Machine::new(machine.rise(), machine.fall());
                *machine = fresh.starting(self.init_state);
            }
            Footing::Faith { is_down } => *is_down = false,
            // One that follows another has its state from there.
            Footing::Leader(_) => return,
        }
        self.is_stopping = false;
        self.forget_disabled_agent();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn downtime_adds_up_over_outages() {
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        let mut standing = Standing::new(true, start);
        assert!(!standing.turn(true, at(1)));
        assert!(standing.turn(false, at(2)));
        assert_eq!(standing.downtime(at(5)), Duration::from_secs(3));
        assert!(standing.turn(true, at(6)));
        assert!(standing.turn(false, at(10)));
        assert_eq!(standing.downtime(at(11)), Duration::from_secs(5));
        assert_eq!(standing.last_change(at(11)), Duration::from_secs(1));
        assert_eq!(standing.downs(), 2);
    }
}
