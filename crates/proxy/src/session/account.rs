//! What is counted and logged of a session, once each.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant, SystemTime};

use evenkeel_config::{LogLine, LogMoment};

use super::{Frontend, Place};
use crate::backend::{Backend, Effort, Failure};
use crate::end::End;
use crate::log::{Counts, Details, Level, Peer, SessionRecord};
use crate::rules::Scene;
use crate::server::Server;

/// What a session became; what its log line and its counters are made from.
pub(super) struct Outcome {
    pub(super) end: End,
    pub(super) server: Option<Arc<Server>>,
    pub(super) effort: Effort,
    pub(super) connect: Option<Duration>,
    pub(super) bytes: (u64, u64),
    /// What the client sent and no server got.
    pub(super) unsent: u64,
}

impl Outcome {
    /// How long it waited until the last try, or for room in vain; `None`: it came to neither.
    fn waited(&self) -> Option<Duration> {
        let is_tried = self.server.is_some() && self.end != End::QueueFull;
        (is_tried || self.effort.passed.is_some()).then_some(self.effort.waited)
    }
}

impl From<Failure> for Outcome {
    fn from(failure: Failure) -> Self {
        Self {
            end: failure.end,
            server: failure.server,
            effort: failure.effort,
            connect: None,
            bytes: (0, 0),
            unsent: 0,
        }
    }
}

/// Counts how a session ended, once.
pub(super) fn count_end(backend: Option<&Arc<Backend>>, took: Duration, outcome: &Outcome) {
    let is_clients = matches!(
        outcome.end,
        End::ClientReset | End::ClientGoneConnecting | End::ClientTimeout
    );
    if let Some(backend) = backend
        && is_clients
    {
        // Who waited for room had no server yet.
        let stats = outcome.server.as_ref().map(|server| &server.state.stats);
        for stats in stats.into_iter().chain([&backend.state.stats]) {
            stats.client_aborts.fetch_add(1, Relaxed);
        }
    }
    if let (Some(backend), Some(server)) = (backend, &outcome.server) {
        match outcome.end {
            End::ServerReset => {
                backend.count(server, |stats| stats.server_aborts.fetch_add(1, Relaxed));
                backend.count(server, |stats| stats.response_errors.fetch_add(1, Relaxed));
            }
            End::ServerTimeout => {
                backend.count(server, |stats| stats.server_aborts.fetch_add(1, Relaxed));
            }
            _ => {}
        }
        backend.count(server, |stats| stats.session_time.add(took));
        backend.session_seconds.record(took.as_secs_f64());
    }
}

/// When a session is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// Its server is reached.
    Connected,
    /// It has ended.
    End,
}

/// What a session's line is made from.
pub(super) struct Record<'a> {
    pub(super) place: &'a Place,
    pub(super) backend: Option<&'a Arc<Backend>>,
    pub(super) peer: Option<SocketAddr>,
    pub(super) started: (SystemTime, Instant),
    pub(super) outcome: &'a Outcome,
    pub(super) moment: Moment,
}

impl Record<'_> {
    /// Logs the session, if it is one that is logged.
    pub(super) fn log(&self, details: Details) {
        let Self {
            place,
            backend,
            outcome,
            ..
        } = *self;
        let frontend = &place.frontend;
        let log = &frontend.config.log;
        let is_null = log.skip_null
            && self.moment == Moment::End
            && outcome.bytes.0 == 0
            && outcome.unsent == 0;
        let went_well = outcome.end == End::Closed
            && outcome.effort.retries == 0
            && !outcome.effort.is_redispatched;
        let is_dull = log.skip_normal && went_well;
        if frontend.log.is_empty() || is_null || log.is_written_at_accept() || is_dull {
            return;
        }
        let level = match log.errors_apart && !went_well {
            true => Level::Err,
            false => Level::Info,
        };
        let record = SessionRecord {
            client: Peer::new(self.peer, place.bind().id),
            accepted: self.started.0,
            frontend: &frontend.config.name,
            backend: backend.map_or(&frontend.config.name, |backend| &backend.config.name),
            server: outcome
                .server
                .as_ref()
                .map(|server| server.config.name.as_str()),
            waited: outcome.waited(),
            passed: outcome.effort.passed,
            connect: outcome.connect,
            total: self.started.1.elapsed(),
            uploaded: outcome.bytes.0,
            bytes: outcome.bytes.1,
            end: outcome.end.code(),
            counts: Counts {
                process: frontend.shared.stats.gate.inside(),
                frontend: frontend.stats.gate.inside(),
                backend: backend.map_or(0, |backend| backend.state.stats.open.now()),
                server: outcome
                    .server
                    .as_ref()
                    .map_or(0, |server| server.state.stats.open.now()),
            },
            retries: outcome.effort.retries,
            is_redispatched: outcome.effort.is_redispatched,
            goes_on: self.moment == Moment::Connected && log.as_soon_as_possible,
        };
        frontend.log.session(log, level, &record, &details);
    }
}

impl Frontend {
    /// Whether lines are of the operator's own making.
    pub(super) fn has_own_lines(&self) -> bool {
        let log = &self.config.log;
        (log.line.is_some() || log.structured.is_some()) && !self.log.is_empty()
    }

    /// Whether a session is logged when its server is reached rather than at its end.
    pub(super) fn logs_at_connect(&self) -> bool {
        let log = &self.config.log;
        let is_known = |line: &Arc<LogLine>| line.moment == LogMoment::Connected;
        log.as_soon_as_possible || log.line.as_ref().is_some_and(is_known)
    }
}

/// What lines of the operator's own ask of a session.
pub(super) fn details(scene: &Scene<'_>, session: u64) -> Details {
    let log = &scene.frontend.config.log;
    let lines = log.line.iter().chain(&log.structured);
    Details {
        frontend: scene.told.or_else(|| scene.arrival.address()),
        own: scene.reached.and_then(|reached| reached.from),
        server: scene.reached.and_then(|reached| reached.to),
        session,
        line: scene.frontend.stats.lines.fetch_add(1, Relaxed),
        samples: lines
            .flat_map(|line| line.samples())
            .map(|(fetch, converters)| scene.evaluate(fetch, converters))
            .collect(),
    }
}
