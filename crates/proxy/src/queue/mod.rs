//! Clients that wait for room on a server (`maxconn`), across the generations of a backend. A
//! server that gets room is given at once to whoever came first: a turn is a lease that is already
//! counted, so that none is lost and no limit is passed.
//!
//! A backend none of whose servers has a limit costs a look at one flag.

mod lines;
mod room;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use evenkeel_config::Redispatch;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use crate::backend::{Backend, Client, Effort, Lease};
use crate::end::End;
use crate::relay::Gone;
use crate::server::{Server, ServerState};
use lines::{Key, Left, Lines, Ticket, Which};
pub(crate) use room::Room;

/// The lines of a backend; outlives reloads.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    /// Whether any server has a limit, or anybody waits.
    is_limited: AtomicBool,
    lines: Mutex<Lines<Waiter>>,
}

/// Somebody who waits.
struct Waiter {
    /// As the generation knows it that the client came with.
    backend: Arc<Backend>,
    turn: oneshot::Sender<Turn>,
}

impl std::fmt::Debug for Waiter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Waiter({})", self.backend.config.name)
    }
}

/// What ends a wait well.
enum Turn {
    /// A server has room.
    Go(Lease, Passed),
    /// The server that was waited for is gone: choose anew.
    ChooseAgain(Ticket, Passed),
}

/// Those who were served before this client while it waited, and itself, as HAProxy logs it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Passed {
    pub(crate) server: u32,
    pub(crate) backend: u32,
}

impl Passed {
    fn of<T>(left: &Left<T>) -> Self {
        match left.which {
            Which::Common => Self {
                server: 0,
                backend: left.position,
            },
            Which::Own(_) => Self {
                server: left.position,
                backend: 0,
            },
        }
    }

    /// Whether it waited at all.
    pub(crate) fn is_some(&self) -> bool {
        self.server + self.backend > 0
    }

    fn add(&mut self, more: Self) {
        self.server = self.server.saturating_add(more.server);
        self.backend = self.backend.saturating_add(more.backend);
    }
}

/// What a client is told that wants a server.
pub(crate) enum Assigned {
    /// It has one.
    Leased(Lease),
    /// None can be chosen.
    Nobody,
    /// The one that it belongs to has no room, nor its line.
    Full(Arc<Server>),
    /// It is to wait.
    Waits(Waiting),
}

/// A place in a line; given up on drop.
pub(crate) struct Waiting {
    backend: Arc<Backend>,
    ticket: Ticket,
    /// The server that it waits for, if it is one alone; it counts this client already.
    server: Option<Arc<Server>>,
    turn: oneshot::Receiver<Turn>,
    is_over: bool,
}

/// Why a client has no server.
pub(crate) struct NoPlace {
    pub(crate) end: End,
    pub(crate) server: Option<Arc<Server>>,
}

impl NoPlace {
    fn new(end: End, server: Option<Arc<Server>>) -> Self {
        Self { end, server }
    }
}

impl Queue {
    fn lines(&self) -> MutexGuard<'_, Lines<Waiter>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether anybody may have to wait.
    pub(crate) fn is_limited(&self) -> bool {
        self.is_limited.load(SeqCst)
    }

    /// How many wait for a server alone (`None`: for whichever has room first), and how many did
    /// at most.
    pub(crate) fn level(&self, server: Option<&ServerState>) -> (u32, u32) {
        let which = server.map_or(Which::Common, |state| Which::Own(key(state)));
        let lines = self.lines();
        (lines.waiting(which), lines.peak(which))
    }

    /// Forgets the lines of servers that no generation knows.
    pub(crate) fn keep(&self, is_known: impl Fn(usize) -> bool) {
        self.lines().keep(is_known);
    }
}

/// What a server is called in the lines.
fn key(state: &ServerState) -> Key {
    state.id
}

impl Backend {
    /// A server for `client`, waiting for one if need be. `Effort` is told what it took.
    pub(crate) async fn place(
        self: &Arc<Self>,
        client: &Client<'_>,
        avoid: Option<usize>,
        effort: &mut Effort,
    ) -> Result<Lease, NoPlace> {
        let mut ticket = None;
        let deadline = self
            .config
            .queueing
            .timeout
            .map(|limit| Instant::now() + limit);
        loop {
            let waiting = match self.assign(client, avoid, ticket) {
                Assigned::Leased(lease) => return Ok(lease),
                Assigned::Nobody => return Err(NoPlace::new(End::NoServer, None)),
                Assigned::Full(server) => return Err(NoPlace::new(End::QueueFull, Some(server))),
                Assigned::Waits(waiting) => waiting,
            };
            match self.wait(waiting, client, deadline, effort).await? {
                Turn::Go(lease, passed) => {
                    effort.passed.add(passed);
                    return Ok(lease);
                }
                Turn::ChooseAgain(own, passed) => {
                    effort.passed.add(passed);
                    ticket = Some(own);
                }
            }
        }
    }

    async fn wait(
        &self,
        mut waiting: Waiting,
        client: &Client<'_>,
        deadline: Option<Instant>,
        effort: &mut Effort,
    ) -> Result<Turn, NoPlace> {
        let turn = async {
            match deadline {
                Some(deadline) => timeout_at(deadline, &mut waiting.turn).await.ok(),
                None => Some((&mut waiting.turn).await),
            }
        };
        let end = tokio::select! {
            biased;
            turn = turn => match turn {
                Some(Ok(turn)) => {
                    waiting.is_over = true;
                    return Ok(turn);
                }
                // Nobody drops a sender without a turn while the place is taken.
                Some(Err(_)) => End::NoServer,
                None => End::QueueTimeout,
            },
            () = self.kill.wait() => End::Killed,
            gone = client.stream.gone(self.config.queueing.abort_on_close) => match gone {
                Gone::Ended => End::ClientGoneQueued,
                Gone::Reset => End::ClientReset,
            },
        };
        let server = waiting.server.clone();
        effort.passed.add(waiting.give_up());
        Err(NoPlace::new(end, server))
    }

    /// Chooses a server with room, or a line to wait in.
    fn assign(
        self: &Arc<Self>,
        client: &Client<'_>,
        avoid: Option<usize>,
        ticket: Option<Ticket>,
    ) -> Assigned {
        let queue = &self.state.queue;
        if !queue.is_limited() {
            return match self.lease(client, avoid) {
                Some(lease) => Assigned::Leased(lease),
                None => Assigned::Nobody,
            };
        }
        let mut turns = Turns::default();
        let mut lines = queue.lines();
        self.serve_dynamic(&mut lines, &mut turns);
        let mut is_turned_away = false;
        let assigned = loop {
            let mut picker = self.picker();
            let wanted = self.wanted(client, avoid).filter(|_| !is_turned_away);
            let Some(index) = wanted.or_else(|| picker.pick(&client.ends, avoid)) else {
                if picker.active_servers() + picker.backup_servers() == 0 {
                    break Assigned::Nobody;
                }
                drop(picker);
                break Assigned::Waits(self.join(&mut lines, ticket, None));
            };
            let server = &self.servers[index];
            let own = lines.waiting(Which::Own(key(&server.state)));
            if own == 0 && server.state.room.has_room(self, &server.state) {
                let signals = server.signals();
                if picker.needs_counts() {
                    picker.opened(index);
                }
                drop(picker);
                self.note_choice(server);
                server.state.stats.open.rise();
                break Assigned::Leased(Lease::new(self.clone(), server.clone(), signals));
            }
            let maxqueue = server.state.room.maxqueue();
            let is_line_full = maxqueue.is_some_and(|most| own >= most);
            let has_choice = wanted.is_none() && !picker.pins();
            // A server that counts those who wait takes as many as it is explicitly allowed to.
            let may_wait = !has_choice || picker.counts_waiting() && maxqueue.is_some();
            if may_wait && !is_line_full {
                if picker.needs_counts() {
                    picker.opened(index);
                }
                drop(picker);
                self.note_choice(server);
                break Assigned::Waits(self.join(&mut lines, ticket, Some(server.clone())));
            }
            if wanted.is_some() && self.config.redispatch != Redispatch::Never {
                // A rule's choice gives way where the file lets clients move.
                is_turned_away = true;
                continue;
            }
            if !has_choice {
                drop(picker);
                self.note_choice(server);
                break Assigned::Full(server.clone());
            }
            picker.set_full(index, true);
            server.state.room.note_full();
        };
        drop(lines);
        drop(turns);
        assigned
    }

    fn join(
        self: &Arc<Self>,
        lines: &mut Lines<Waiter>,
        ticket: Option<Ticket>,
        server: Option<Arc<Server>>,
    ) -> Waiting {
        let (sender, turn) = oneshot::channel();
        let ticket = ticket.unwrap_or_else(|| lines.ticket());
        let which = match &server {
            Some(server) => Which::Own(key(&server.state)),
            None => Which::Common,
        };
        let waiter = Waiter {
            backend: self.clone(),
            turn: sender,
        };
        lines.join(ticket, which, waiter);
        Waiting {
            backend: self.clone(),
            ticket,
            server,
            turn,
            is_over: false,
        }
    }

    /// Gives a place on `server` back, to whoever waits for it.
    pub(crate) fn release(&self, server: &Server) {
        {
            let mut picker = self.picker();
            if picker.needs_counts() {
                picker.closed(server.index);
            }
        }
        let queue = &self.state.queue;
        if !queue.is_limited() {
            // In this order: whoever sets a limit meanwhile either sees this place free, or is seen.
            server.state.stats.open.fall();
            std::sync::atomic::fence(SeqCst);
            if !queue.is_limited() {
                return;
            }
            drop(self.serve(&server.state, None));
            return;
        }
        drop(self.serve(&server.state, Some(server)));
    }

    /// Serves those who wait for room on a server, now that it may have some; `released` gives a
    /// place back first.
    fn serve(&self, state: &Arc<ServerState>, released: Option<&Server>) -> Turns {
        let mut turns = Turns::default();
        let mut lines = self.state.queue.lines();
        if let Some(server) = released {
            server.state.stats.open.fall();
        }
        self.serve_in(&mut lines, state, &mut turns);
        drop(lines);
        turns
    }

    fn serve_in(&self, lines: &mut Lines<Waiter>, state: &Arc<ServerState>, turns: &mut Turns) {
        let room = &state.room;
        if room.was_full() && room.has_room(self, state) {
            room.note_room();
            self.for_each_generation(state, |backend, index| {
                backend.picker().set_full(index, false);
            });
        }
        // One that drains takes those that belong to it, but no others.
        while !lines.is_empty() && room.is_up() && room.has_room(self, state) {
            let accepts = |waiter: &Waiter| room.is_usable() && waiter.backend.serves(state);
            let Some(left) = lines.serve(key(state), accepts) else {
                return;
            };
            let passed = Passed::of(&left);
            let Waiter { backend, turn } = left.value;
            let Some(server) = backend.server_of(state) else {
                continue;
            };
            let signals = {
                let mut picker = backend.picker();
                // Who waited for this server alone is counted there already.
                if picker.needs_counts() && left.which == Which::Common {
                    picker.opened(server.index);
                }
                server.signals()
            };
            state.stats.open.rise();
            turns.served += 1;
            let lease = Lease::new(backend, server, signals);
            if let Err(turn) = turn.send(Turn::Go(lease, passed)) {
                // It has just left; its place is given back once the lines are free.
                turns.returned.push(turn);
            }
        }
    }

    /// Limits that follow the number of sessions may have risen: those who wait come first.
    fn serve_dynamic(&self, lines: &mut Lines<Waiter>, turns: &mut Turns) {
        if lines.is_empty() {
            return;
        }
        for server in &self.servers {
            if server.state.room.is_dynamic() {
                self.serve_in(lines, &server.state, turns);
            }
        }
    }

    /// A server's limit, health or readiness changed: tells how many who waited were served or
    /// sent elsewhere.
    pub(crate) fn requeue(&self, state: &Arc<ServerState>) -> u32 {
        self.requeue_where(state, self.has_limits())
    }

    /// The same, knowing whether any server has a limit: to find out takes a look at each.
    fn requeue_where(&self, state: &Arc<ServerState>, has_limits: bool) -> u32 {
        let queue = &self.state.queue;
        if !has_limits && !queue.is_limited() {
            return 0;
        }
        if has_limits {
            queue.is_limited.store(true, SeqCst);
        }
        let mut turns = Turns::default();
        let mut lines = queue.lines();
        if state.room.is_usable() {
            self.serve_in(&mut lines, state, &mut turns);
        } else if self.config.redispatch != Redispatch::Never {
            for left in lines.disperse(key(state)) {
                let passed = Passed::of(&left);
                self.uncount(&left.value.backend, state);
                turns.served += 1;
                // One that has just left needs no other server.
                let _ = left.value.turn.send(Turn::ChooseAgain(left.ticket, passed));
            }
        }
        if !has_limits && lines.is_empty() {
            queue.is_limited.store(false, SeqCst);
        }
        drop(lines);
        turns.served
    }

    /// A client no longer waits for a server that counted it.
    fn uncount(&self, backend: &Backend, state: &Arc<ServerState>) {
        if let Some(server) = backend.server_of(state) {
            let mut picker = backend.picker();
            if picker.needs_counts() {
                picker.closed(server.index);
            }
        }
    }

    /// Takes the lines over with a new generation, whose limits may be others.
    pub(crate) fn adopt_queue(&self) {
        let known: HashSet<usize> = {
            let members = self.state.members();
            let backends: Vec<_> = members.iter().filter_map(Weak::upgrade).collect();
            let servers = backends.iter().flat_map(|backend| &backend.servers);
            servers.map(|server| server.state.id).collect()
        };
        self.state.queue.keep(|id| known.contains(&id));
        let has_limits = self.has_limits();
        for server in &self.servers {
            self.requeue_where(&server.state, has_limits);
        }
    }

    /// Whether a server of any generation has a limit.
    fn has_limits(&self) -> bool {
        let members = self.state.members();
        let mut backends = members.iter().filter_map(Weak::upgrade);
        backends.any(|backend| {
            let mut servers = backend.servers.iter();
            servers.any(|server| server.state.room.is_limited())
        })
    }

    /// Whether this generation may send a client that has no server yet to `state`'s.
    fn serves(&self, state: &Arc<ServerState>) -> bool {
        self.server_of(state)
            .is_some_and(|server| self.picker().serves(server.index))
    }

    /// The server of this generation that has this state.
    fn server_of(&self, state: &Arc<ServerState>) -> Option<Arc<Server>> {
        let mut servers = self.servers.iter();
        servers
            .find(|server| Arc::ptr_eq(&server.state, state))
            .cloned()
    }
}

/// What came of serving; dropped once the lines are free.
#[derive(Default)]
struct Turns {
    served: u32,
    returned: Vec<Turn>,
}

impl Waiting {
    /// Leaves the line.
    fn give_up(mut self) -> Passed {
        self.leave()
    }

    fn leave(&mut self) -> Passed {
        if std::mem::replace(&mut self.is_over, true) {
            return Passed::default();
        }
        let left = self.backend.state.queue.lines().leave(self.ticket);
        let Some(left) = left else {
            // A turn came meanwhile: dropped with the receiver, it gives its place back.
            return Passed::default();
        };
        if let Some(server) = &self.server {
            self.backend.uncount(&left.value.backend, &server.state);
        }
        Passed::of(&left)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.leave();
    }
}
