//! `fail-open`: whether a server whose checks fail is to stay in use. Pure: who asks says when.
//!
//! A check that fails after it has connected tells as much of what it asked for as of the server:
//! when etcd pauses, every API server of a cluster answers 500, and marking them all down cuts every
//! client from servers that would have answered a moment later. So a failure of that kind counts
//! only when another server shows that it need not be: one that passed its check since this one's
//! began to fail.

use std::time::Instant;

use evenkeel_config::CheckStatus;

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

/// Whether a check that failed so had reached the server.
#[must_use]
pub fn has_connected(status: CheckStatus) -> bool {
    matches!(
        status,
        CheckStatus::SocketError
            | CheckStatus::L6Timeout
            | CheckStatus::L6Response
            | CheckStatus::L7Timeout
            | CheckStatus::L7Response
            | CheckStatus::L7Status
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::Machine;

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
            self.now += 1;
            let now = self.start + Duration::from_millis(self.now);
            let passed = status.is_pass();
            self.servers[index].1.note(passed, now);
            let (machine, record) = self.servers[index];
            let others = self.servers.iter().enumerate();
            let others = others.filter(|(other, (machine, _))| *other != index && machine.is_up());
            let is_refuted = record.is_refuted_by(others.map(|(_, (_, record))| record));
            let is_held = !passed && machine.falls_next() && has_connected(status) && !is_refuted;
            if !is_held {
                self.servers[index].0.on(passed);
            }
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
