//! `fail-open`: whether a server whose checks fail is to stay in use. Pure: who asks says when.
//!
//! A check that fails after it has connected tells as much of what it asked for as of the server:
//! when etcd pauses, every API server of a cluster answers 500, and marking them all down cuts every
//! client from servers that would have answered a moment later. So a failure of that kind counts
//! only when another server shows that it need not be: one that passed its check since this one's
//! began to fail.

use std::time::Instant;

use crate::{CheckOutcome, Machine};

/// What a server's last checks found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Record {
    last_pass: Option<Instant>,
    fails_since: Option<Instant>,
}

impl Record {
    /// Takes note of a check's verdict.
    pub fn note(&mut self, passed: bool, now: Instant) {
        if passed {
            *self = Self {
                last_pass: Some(now),
                fails_since: None,
            };
        } else {
            self.fails_since.get_or_insert(now);
        }
    }

    /// Whether its last check passed.
    #[must_use]
    pub fn passes(&self) -> bool {
        self.last_pass.is_some() && self.fails_since.is_none()
    }

    /// Whether one of `others`, which can take clients, shows that this one's failures are its own.
    pub fn is_refuted_by<'r>(&self, mut others: impl Iterator<Item = &'r Record>) -> bool {
        others.any(|other| match (self.fails_since, other.last_pass) {
            (Some(since), Some(pass)) => pass >= since,
            _ => false,
        })
    }
}

/// Whether a check's failure says nothing of its server: one whose `record` has it, among `others`
/// that can take clients.
pub fn is_excused<'r>(
    outcome: &CheckOutcome,
    record: &Record,
    others: impl Iterator<Item = &'r Record>,
) -> bool {
    !outcome.is_pass() && outcome.has_connected && !record.is_refuted_by(others)
}

/// Takes a verdict into `machine`, which an excused failure never takes down; whether it would have.
pub fn take_verdict(machine: &mut Machine, passed: bool, is_excused: bool) -> bool {
    let is_held = is_excused && !passed && machine.falls_next();
    if !is_held {
        machine.on(passed);
    }
    is_held
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use evenkeel_config::CheckStatus;
    use proptest::prelude::*;

    use super::*;

    /// Servers under the policy, as a backend applies it.
    struct Group {
        servers: Vec<(Machine, Record)>,
        start: Instant,
        now: u64,
    }

    impl Group {
        fn new(count: usize, fall: u32) -> Self {
            Self {
                servers: vec![(Machine::new(2, fall), Record::default()); count],
                start: Instant::now(),
                now: 0,
            }
        }

        fn check(&mut self, index: usize, status: CheckStatus) {
            let has_connected = status != CheckStatus::L4Connection;
            self.take(index, status, has_connected);
        }

        fn take(&mut self, index: usize, status: CheckStatus, has_connected: bool) {
            self.now += 1;
            let now = self.start + Duration::from_millis(self.now);
            let outcome = CheckOutcome {
                status,
                info: String::new(),
                code: None,
                duration: Duration::ZERO,
                has_connected,
                cause: None,
            };
            self.servers[index].1.note(outcome.is_pass(), now);
            let record = self.servers[index].1;
            let others = self.servers.iter().enumerate();
            let others = others.filter(|(other, (machine, _))| *other != index && machine.is_up());
            let others = others.map(|(_, (_, record))| record);
            let is_excused = is_excused(&outcome, &record, others);
            take_verdict(&mut self.servers[index].0, outcome.is_pass(), is_excused);
        }

        fn up(&self) -> Vec<bool> {
            let servers = self.servers.iter();
            servers.map(|(machine, _)| machine.is_up()).collect()
        }
    }

    #[test]
    fn servers_that_all_fail_after_they_connect_stay() {
        let mut group = Group::new(2, 2);
        for _ in 0..10 {
            group.check(0, CheckStatus::L7Status);
            group.check(1, CheckStatus::L7Timeout);
        }
        assert_eq!(group.up(), [true, true]);
        // One of them refuses connections: it alone goes down.
        group.check(0, CheckStatus::L4Connection);
        assert_eq!(group.up(), [false, true]);
    }

    #[test]
    fn a_server_whose_unix_socket_is_gone_goes_down() {
        let mut group = Group::new(2, 2);
        for _ in 0..2 {
            group.take(0, CheckStatus::SocketError, false);
            group.take(1, CheckStatus::SocketError, true);
        }
        assert_eq!(group.up(), [false, true]);
    }

    #[test]
    fn a_server_that_fails_alone_goes_down() {
        let mut group = Group::new(2, 2);
        for _ in 0..3 {
            group.check(0, CheckStatus::L7Ok);
            group.check(1, CheckStatus::L7Ok);
        }
        group.check(0, CheckStatus::L7Status);
        group.check(1, CheckStatus::L7Ok);
        group.check(0, CheckStatus::L7Status);
        assert_eq!(group.up(), [false, true]);
    }

    #[test]
    fn a_server_that_recovers_leaves_the_others_to_their_own_failures() {
        let mut group = Group::new(2, 2);
        for _ in 0..3 {
            group.check(0, CheckStatus::L7Status);
            group.check(1, CheckStatus::L7Status);
        }
        group.check(1, CheckStatus::L7Ok);
        group.check(0, CheckStatus::L7Status);
        assert_eq!(group.up(), [false, true]);
    }

    proptest! {
        /// As long as servers can be connected to, one is left.
        #[test]
        fn the_last_server_that_accepts_stays(
            count in 1usize..5,
            fall in 1u32..4,
            checks in proptest::collection::vec((0usize..5, 0usize..4), 0..200),
        ) {
            let mut group = Group::new(count, fall);
            let verdicts = [
                CheckStatus::L7Ok, CheckStatus::L7Status, CheckStatus::L7Timeout,
                CheckStatus::L6Response,
            ];
            for (server, verdict) in checks {
                group.check(server % count, verdicts[verdict]);
                prop_assert!(group.up().contains(&true));
            }
        }

        /// Whatever came before, a server that cannot be connected to goes down.
        #[test]
        fn a_server_that_refuses_goes_down(
            fall in 1u32..4,
            checks in proptest::collection::vec((0usize..3, any::<bool>()), 0..60),
        ) {
            let mut group = Group::new(3, fall);
            for (server, passed) in checks {
                let status = if passed { CheckStatus::L7Ok } else { CheckStatus::L7Status };
                group.check(server, status);
            }
            for _ in 0..fall {
                group.check(0, CheckStatus::L4Connection);
            }
            prop_assert!(!group.up()[0]);
        }
    }
}
