//! Whether a server is up, from nothing but the sequence of its checks' verdicts.
//!
//! Knows no clock, no socket and no check type: whoever drives it says when to ask, and what a
//! pass is.

use std::time::Duration;

use evenkeel_config::{Check, InitState};

/// A server's health: up or down, and how many more verdicts it takes to change that.
///
/// HAProxy's counter: 0 is surely down, `rise + fall - 1` surely up, and a server is up from
/// `rise` on. It starts at `rise`: up, so that traffic flows at once, but down at the first
/// failure however large `fall` is, because nothing has vouched for it yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Machine {
    health: u32,
    rise: u32,
    fall: u32,
}

/// What a verdict changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The server came up.
    WentUp,
    /// The server went down.
    WentDown,
}

/// How sure a [`Machine`] is; decides how soon to ask again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Up, and it takes `fall` failures to change that.
    SurelyUp,
    /// Not checked yet, or on the way from one to the other.
    Changing,
    /// Down, and it takes `rise` successes to change that.
    SurelyDown,
}

impl Machine {
    /// A server that no check has seen yet, or that comes back from maintenance. Zeroes count
    /// as ones.
    #[must_use]
    pub fn new(rise: u32, fall: u32) -> Self {
        let rise = rise.max(1);
        Self {
            health: rise,
            rise,
            fall: fall.max(1),
        }
    }

    /// The same server before any check, as `init-state` has it.
    #[must_use]
    pub fn starting(self, state: InitState) -> Self {
        let health = match state {
            InitState::Up => self.rise,
            InitState::FullyUp => self.top(),
            InitState::Down => self.rise - 1,
            InitState::FullyDown => 0,
        };
        Self { health, ..self }
    }

    /// The same server under other thresholds (a reload): it stays up or down, and what it has
    /// already shown towards a change counts.
    #[must_use]
    pub fn with_thresholds(self, rise: u32, fall: u32) -> Self {
        let fresh = Self::new(rise, fall);
        let health = if self.is_up() {
            let failures = self.top() - self.health;
            fresh.top().saturating_sub(failures).max(fresh.rise)
        } else {
            self.health.min(fresh.rise - 1)
        };
        Self { health, ..fresh }
    }

    /// The same server, surely up or surely down.
    #[must_use]
    pub fn surely(self, is_up: bool) -> Self {
        let health = if is_up { self.top() } else { 0 };
        Self { health, ..self }
    }

    /// Whether the server is up.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.health >= self.rise
    }

    /// HAProxy's counter, 0 to [`top`](Self::top).
    #[must_use]
    pub fn health(&self) -> u32 {
        self.health
    }

    /// The counter of a server that is surely up.
    #[must_use]
    pub fn top(&self) -> u32 {
        self.rise.saturating_add(self.fall - 1)
    }

    /// Successes in a row that bring a server up.
    #[must_use]
    pub fn rise(&self) -> u32 {
        self.rise
    }

    /// Failures in a row that bring a server down.
    #[must_use]
    pub fn fall(&self) -> u32 {
        self.fall
    }

    /// How sure the machine is.
    #[must_use]
    pub fn phase(&self) -> Phase {
        match self.health {
            0 => Phase::SurelyDown,
            health if health == self.top() => Phase::SurelyUp,
            _ => Phase::Changing,
        }
    }

    /// Whether one more failure brings the server down.
    #[must_use]
    pub fn falls_next(&self) -> bool {
        self.health == self.rise
    }

    /// The same server one failure before its last (`on-error sudden-death`).
    #[must_use]
    pub fn near_its_end(self) -> Self {
        let health = self.health.min(self.rise.saturating_add(1));
        Self { health, ..self }
    }

    /// Takes one verdict in; says what it changed.
    pub fn on(&mut self, passed: bool) -> Option<Change> {
        let (health, change) = match (self.is_up(), passed) {
            (true, true) => (self.top(), None),
            (true, false) if self.health > self.rise => (self.health - 1, None),
            (true, false) => (0, Some(Change::WentDown)),
            (false, true) if self.health + 1 < self.rise => (self.health + 1, None),
            (false, true) => (self.top(), Some(Change::WentUp)),
            (false, false) => (0, None),
        };
        self.health = health;
        change
    }
}

/// How long to wait before the next check of a server in `phase`.
#[must_use]
pub fn interval(check: &Check, phase: Phase) -> Duration {
    match phase {
        Phase::SurelyUp => check.inter,
        Phase::Changing => check.fastinter,
        Phase::SurelyDown => check.downinter,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(health: u32, rise: u32, fall: u32) -> Machine {
        Machine { health, rise, fall }
    }

    /// Every (state, event) pair of `rise` 2 and `fall` 3, and of the smallest machine.
    #[test]
    fn every_state_and_verdict() {
        use Change::{WentDown, WentUp};
        use Phase::{Changing, SurelyDown, SurelyUp};
        let table = [
            // rise, fall, health, up?, phase, after a pass, after a failure
            ((2, 3, 0), (false, SurelyDown), (1, None), (0, None)),
            ((2, 3, 1), (false, Changing), (4, Some(WentUp)), (0, None)),
            ((2, 3, 2), (true, Changing), (4, None), (0, Some(WentDown))),
            ((2, 3, 3), (true, Changing), (4, None), (2, None)),
            ((2, 3, 4), (true, SurelyUp), (4, None), (3, None)),
            ((1, 1, 0), (false, SurelyDown), (1, Some(WentUp)), (0, None)),
            ((1, 1, 1), (true, SurelyUp), (1, None), (0, Some(WentDown))),
        ];
        for ((rise, fall, health), (is_up, phase), on_pass, on_failure) in table {
            let machine = at(health, rise, fall);
            assert_eq!(
                (machine.is_up(), machine.phase()),
                (is_up, phase),
                "{machine:?}"
            );
            for (passed, (after, change)) in [(true, on_pass), (false, on_failure)] {
                let mut next = machine;
                assert_eq!(next.on(passed), change, "{machine:?}, passed: {passed}");
                assert_eq!(next, at(after, rise, fall), "{machine:?}, passed: {passed}");
            }
        }
    }

    #[test]
    fn a_server_starts_up_and_falls_at_its_first_failure() {
        let mut machine = Machine::new(2, 3);
        assert!(machine.is_up());
        assert_eq!(machine.phase(), Phase::Changing);
        assert_eq!(machine.on(false), Some(Change::WentDown));
        assert_eq!(machine.health(), 0);
    }

    #[test]
    fn a_server_starts_as_init_state_says() {
        let check = |state, (is_up, failures, successes)| {
            let fresh = Machine::new(2, 3).starting(state);
            assert_eq!(fresh.is_up(), is_up, "{state:?}");
            let steps = |passed| {
                let mut machine = fresh;
                (1..9).find(|_| machine.on(passed).is_some())
            };
            assert_eq!(
                (steps(false), steps(true)),
                (failures, successes),
                "{state:?}"
            );
        };
        check(InitState::Up, (true, Some(1), None));
        check(InitState::FullyUp, (true, Some(3), None));
        check(InitState::Down, (false, None, Some(1)));
        check(InitState::FullyDown, (false, None, Some(2)));
    }

    #[test]
    fn one_success_makes_a_new_server_surely_up() {
        let mut machine = Machine::new(2, 3);
        assert_eq!(machine.on(true), None);
        assert_eq!((machine.health(), machine.phase()), (4, Phase::SurelyUp));
    }

    #[test]
    fn zero_thresholds_count_as_ones() {
        assert_eq!(Machine::new(0, 0), Machine::new(1, 1));
    }

    #[test]
    fn new_thresholds_keep_the_verdict_and_the_progress() {
        let check = |before: Machine, (rise, fall), health| {
            assert_eq!(
                before.with_thresholds(rise, fall),
                at(health, rise, fall),
                "{before:?}"
            );
        };
        check(at(4, 2, 3), (2, 3), 4);
        check(at(4, 2, 3), (5, 1), 5); // surely up stays so
        check(at(3, 2, 3), (2, 5), 5); // one failure seen of five
        check(at(2, 2, 3), (2, 1), 2); // two failures seen, still up: falls at the next
        check(at(0, 2, 3), (7, 7), 0);
        check(at(1, 2, 3), (1, 1), 0); // down stays down until a check passes
    }

    /// The same rules told another way: up or down, and verdicts in a row against it.
    struct Streak {
        is_up: bool,
        against: u32,
        needed: u32,
    }

    impl Streak {
        fn on(&mut self, passed: bool, rise: u32, fall: u32) -> Option<Change> {
            if passed == self.is_up {
                self.against = 0;
                self.needed = if self.is_up { fall } else { rise };
                return None;
            }
            self.against += 1;
            if self.against < self.needed {
                return None;
            }
            self.is_up = passed;
            self.against = 0;
            self.needed = if passed { fall } else { rise };
            Some(if passed {
                Change::WentUp
            } else {
                Change::WentDown
            })
        }
    }

    proptest! {
        #[test]
        fn changes_come_exactly_after_rise_or_fall_verdicts_in_a_row(
            rise in 1u32..6,
            fall in 1u32..6,
            verdicts in proptest::collection::vec(any::<bool>(), 0..80),
        ) {
            let mut machine = Machine::new(rise, fall);
            let mut streak = Streak { is_up: true, against: 0, needed: 1 };
            for passed in verdicts {
                prop_assert_eq!(machine.on(passed), streak.on(passed, rise, fall));
                prop_assert_eq!(machine.is_up(), streak.is_up);
                prop_assert!(machine.health() <= machine.top());
                prop_assert_eq!(
                    machine.phase() == Phase::Changing,
                    streak.against > 0,
                    "after a verdict only a broken row is a change under way",
                );
            }
        }

        #[test]
        fn no_thresholds_overflow(rise: u32, fall: u32, verdicts: [bool; 8], more: (u32, u32)) {
            let mut machine = Machine::new(rise, fall);
            for passed in verdicts {
                machine.on(passed);
                prop_assert!(machine.health() <= machine.top());
            }
            let moved = machine.with_thresholds(more.0, more.1);
            prop_assert_eq!(moved.is_up(), machine.is_up());
            prop_assert!(moved.health() <= moved.top());
        }
    }
}
