//! Whether a thread that has nothing to do looks for events a little longer before it sleeps. The
//! wake-up of a sleeping thread is what an exchange of small messages waits for most.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use evenkeel_config::{BusyPolling, Global};

/// How long one spin lasts at most: the time in which the answer of a near server comes.
pub(crate) const SPIN: Duration = Duration::from_micros(50);
/// What a sleep and the wake-up after it cost the thread itself, a spin in whose place is spared
/// that: an exchange with both its waits slept through took 45 us of CPU, and 23 where there was
/// always something to do, in a virtual machine.
const SLEEP_COST: Duration = Duration::from_micros(8);
/// How far spins may run ahead of their share of a core, as time that the share would need for
/// them.
const BURST: Duration = Duration::from_millis(40);
/// Of so many spins that are not likely to pay off, one is tried.
const TRY_ONE_IN: u32 = 32;
/// What the score tends to while every spin pays off.
const FULL_SCORE: u32 = 256;
/// From this score on spins are taken to pay off.
const WORTH_IT: u32 = FULL_SCORE / 2;

/// The process's settings, and what all threads together have spun.
#[derive(Debug)]
pub(crate) struct Spinning {
    mode: AtomicU8,
    /// Percent of one core, 1 to 100.
    share: AtomicU8,
    /// Nanoseconds after `began` at which the share will have paid for all spins so far.
    paid_until: AtomicU64,
    began: Instant,
}

/// How a thread's spins have paid off lately.
#[derive(Debug, Default)]
pub(crate) struct Habit {
    score: u32,
    skipped: u32,
    /// The share was used up: a spin is asked for only once this much time has passed.
    rests_until: Option<Instant>,
}

/// What to do when there is nothing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Idle {
    Sleep,
    /// Look on for [`SPIN`], then sleep.
    Spin,
    /// Look again at once, always.
    Poll,
}

impl Spinning {
    pub(crate) fn new(global: &Global) -> Self {
        Self::with(global.busy_polling, global.busy_polling_share)
    }

    #[cfg(test)]
    pub(crate) fn off() -> Self {
        Self::with(BusyPolling::Off, 1)
    }

    fn with(mode: BusyPolling, share: u8) -> Self {
        Self {
            mode: AtomicU8::new(mode as u8),
            share: AtomicU8::new(share),
            paid_until: AtomicU64::new(0),
            began: Instant::now(),
        }
    }

    /// Takes over the settings of a new configuration.
    pub(crate) fn set(&self, global: &Global) {
        self.mode.store(global.busy_polling as u8, Relaxed);
        self.share.store(global.busy_polling_share, Relaxed);
    }

    /// What a thread does that has found nothing more to do. Only what comes after events of
    /// sessions is a reason to expect others soon.
    pub(crate) fn idle(&self, habit: &mut Habit, has_events: bool) -> Idle {
        let mode = self.mode.load(Relaxed);
        if mode == BusyPolling::On as u8 {
            Idle::Poll
        } else if mode == BusyPolling::Auto as u8 && has_events && habit.wants() {
            Idle::Spin
        } else {
            Idle::Sleep
        }
    }

    /// Takes note of a spin, and of whether it ended with what it was made for.
    pub(crate) fn note(&self, habit: &mut Habit, began: Instant, ended: Instant, has_paid: bool) {
        habit.note(has_paid);
        let share = u64::from(self.share.load(Relaxed));
        let spun = ended - began;
        // In place of a sleep only where something came.
        let spared = if has_paid { SLEEP_COST } else { Duration::ZERO };
        let cost = nanoseconds(spun.saturating_sub(spared)) * 100 / share;
        let now = nanoseconds(ended - self.began);
        let paid_until = |paid: u64| paid.max(now) + cost;
        let before = self
            .paid_until
            .fetch_update(Relaxed, Relaxed, |paid| Some(paid_until(paid)));
        let debt = before.map_or(0, |before| paid_until(before) - now);
        if debt > nanoseconds(BURST) {
            // In one go rather than now and then: an exchange takes two waits, both of which are
            // to be short.
            habit.rests_until = Some(ended + Duration::from_nanos(debt));
        }
    }
}

impl Habit {
    fn wants(&mut self) -> bool {
        if self.score < WORTH_IT {
            self.skipped += 1;
            if self.skipped < TRY_ONE_IN {
                return false;
            }
            self.skipped = 0;
        }
        if self.rests_until.is_some_and(|until| Instant::now() < until) {
            return false;
        }
        self.rests_until = None;
        true
    }

    fn note(&mut self, has_paid: bool) {
        // The last eight or so count.
        self.score -= self.score / 8;
        if has_paid {
            self.score += FULL_SCORE / 8;
        }
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spins_that_come_to_nothing_are_given_up() {
        let spinning = Spinning::with(BusyPolling::Auto, 25);
        let (mut habit, mut tried) = (Habit::default(), 0);
        for _ in 0..1000 {
            if spinning.idle(&mut habit, true) == Idle::Spin {
                let now = Instant::now();
                spinning.note(&mut habit, now, now + SPIN, false);
                tried += 1;
            }
        }
        assert_eq!(tried, 1000 / TRY_ONE_IN);
        assert_eq!(spinning.idle(&mut habit, false), Idle::Sleep);
    }

    #[test]
    fn spins_that_pay_off_keep_within_their_share() {
        let spinning = Spinning::with(BusyPolling::Auto, 25);
        let (mut habit, took) = (Habit::default(), Duration::from_micros(30));
        let mut now = spinning.began;
        let mut spins = 0;
        while habit.rests_until.is_none() {
            spinning.note(&mut habit, now, now + took, true);
            now += took;
            spins += 1;
        }
        let rest = habit.rests_until.expect("it rests") - now;
        let cost = (took - SLEEP_COST) * spins;
        let share = cost.as_secs_f64() / (took * spins + rest).as_secs_f64();
        assert!((0.24..=0.26).contains(&share), "{share}");
        assert!(spins > 100, "{spins}");
    }

    #[test]
    fn who_rests_does_not_spin() {
        let spinning = Spinning::with(BusyPolling::Auto, 25);
        let mut habit = Habit {
            score: FULL_SCORE,
            ..Habit::default()
        };
        assert_eq!(spinning.idle(&mut habit, true), Idle::Spin);
        habit.rests_until = Some(Instant::now() + Duration::from_secs(60));
        assert_eq!(spinning.idle(&mut habit, true), Idle::Sleep);
        habit.rests_until = Some(Instant::now());
        assert_eq!(spinning.idle(&mut habit, true), Idle::Spin);
    }

    #[test]
    fn the_operator_decides() {
        let mut habit = Habit::default();
        let on = Spinning::with(BusyPolling::On, 25);
        assert_eq!(on.idle(&mut habit, false), Idle::Poll);
        let off = Spinning::with(BusyPolling::Off, 25);
        for _ in 0..100 {
            assert_eq!(off.idle(&mut habit, true), Idle::Sleep);
        }
    }
}
