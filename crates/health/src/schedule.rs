//! When checks take place: the first ones spread so that they do not come in one burst, the
//! later ones moved a little at random where `spread-checks` asks for it, and all of them moved to
//! moments that they share.

use std::time::Duration;

use evenkeel_config::{Backend, BackendId, Check};
use tokio::time::Instant;

use crate::machine::{Machine, interval};

/// Intervals below this say nothing about how far apart the first checks may be.
const SHORTEST_SPREAD: Duration = Duration::from_secs(1);

/// When a server's first check is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FirstCheck {
    /// The server's backend.
    pub backend: BackendId,
    /// The server's index in [`Backend::servers`].
    pub server: usize,
    /// From the start.
    pub delay: Duration,
}

/// When each checked server's first check is due, in file order; disabled backends have none.
///
/// Server i of n waits i/n of the shortest interval there is (of a second at least), or of its
/// own interval if that is longer. Interval here is the one after a first check that has not
/// changed anything: `fastinter`, or `inter` where `fall` is 1. `most` is `max-spread-checks`.
#[must_use]
pub fn first_checks(backends: &[Backend], most: Option<Duration>) -> Vec<FirstCheck> {
    let own_interval =
        |check: &Check| interval(check, Machine::new(check.rise, check.fall).phase());
    let checked: Vec<(BackendId, usize, Duration)> = backends
        .iter()
        .enumerate()
        .filter(|(_, backend)| !backend.disabled)
        .flat_map(|(id, backend)| {
            let servers = backend.servers.iter().enumerate();
            servers.filter_map(move |(index, server)| {
                Some((BackendId(id), index, own_interval(server.check.as_ref()?)))
            })
        })
        .collect();
    let shortest = checked
        .iter()
        .map(|entry| entry.2)
        .filter(|&own| own >= SHORTEST_SPREAD)
        .min();
    let count = checked.len().max(1) as f64;
    checked
        .into_iter()
        .enumerate()
        .map(|(position, (backend, server, own))| {
            let span = shortest.map_or(own, |shortest| shortest.max(own));
            let span = most.map_or(span, |most| span.min(most));
            FirstCheck {
                backend,
                server,
                delay: span.mul_f64(position as f64 / count),
            }
        })
        .collect()
}

/// `spread-checks`: moves intervals by a random share, from a seed, so that a run can be told
/// beforehand.
#[derive(Clone, Debug)]
pub struct Spread {
    percent: u8,
    state: u64,
}

impl Spread {
    /// Moves by up to `percent` either way; 0 leaves intervals as they are.
    #[must_use]
    pub fn new(percent: u8, seed: u64) -> Self {
        Self {
            percent: percent.min(100),
            state: seed,
        }
    }

    /// The interval, moved.
    pub fn apply(&mut self, interval: Duration) -> Duration {
        if self.percent == 0 {
            return interval;
        }
        let share = f64::from(self.percent) / 100.0;
        let swing = 2.0 * self.next_unit() - 1.0;
        interval.mul_f64(1.0 + share * swing)
    }

    /// The next number in 0..1: SplitMix64, plenty for keeping checks apart.
    fn next_unit(&mut self) -> f64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        (mixed >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// A check may come this part of its interval from when it is due, so that several are made in one
/// go: waking up costs more than a check.
const LEEWAY: u32 = 64;
/// How far apart the moments lie for intervals that are long enough, in milliseconds. Each divides
/// the next, so that the moments of long intervals are among those of short ones, and the intervals
/// that people write, so that those are kept to. A longer one gains little: at the last, a thousand
/// servers every two seconds are ten in one go.
const STEPS_MS: [u64; 4] = [1, 5, 10, 20];

/// The moments at which checks are made, the same for all servers that share one.
#[derive(Clone, Copy, Debug)]
pub struct Beat {
    first: Instant,
}

impl Beat {
    /// Counts from `first`.
    #[must_use]
    pub fn from(first: Instant) -> Self {
        Self { first }
    }

    /// The moment nearest to `wait` after `now`; just then where `wait` is too short to be moved.
    #[must_use]
    pub fn nearest(&self, now: Instant, wait: Duration) -> Instant {
        let due = now + wait;
        let steps = STEPS_MS.map(Duration::from_millis);
        let Some(step) = steps.into_iter().rfind(|step| *step <= wait / LEEWAY) else {
            return due;
        };
        let past = ((due - self.first).as_nanos() % step.as_nanos()) as u64;
        let past = Duration::from_nanos(past);
        if past < step / 2 {
            due - past
        } else {
            due + (step - past)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{backend, check};

    fn millis(delays: &[FirstCheck]) -> Vec<(usize, usize, u128)> {
        // Rounded: i/n of a second is rarely whole in nanoseconds.
        let rounded = |delay: Duration| (delay.as_secs_f64() * 1000.0).round() as u128;
        delays
            .iter()
            .map(|first| (first.backend.0, first.server, rounded(first.delay)))
            .collect()
    }

    fn every(inter: u64, fastinter: u64, fall: u32) -> Option<Check> {
        let mut check = check(inter);
        check.fastinter = Duration::from_millis(fastinter);
        check.fall = fall;
        Some(check)
    }

    /// Measured with HAProxy 3.0 on this very configuration.
    #[test]
    fn first_checks_come_when_haproxy_makes_them() {
        let mut off = backend(vec![every(1100, 1100, 3), every(1100, 1100, 3)]);
        off.disabled = true;
        let backends = [
            backend(vec![
                every(2000, 2000, 3),
                every(4000, 1200, 3),
                None,
                every(500, 500, 3),
            ]),
            backend(vec![
                every(2000, 2000, 3),
                every(8000, 8000, 3),
                every(3000, 3000, 3),
                every(3000, 1500, 1),
            ]),
            off,
        ];
        assert_eq!(
            millis(&first_checks(&backends, None)),
            [
                (0, 0, 0),
                (0, 1, 171),
                (0, 3, 343),
                (1, 0, 857),
                (1, 1, 4571),
                (1, 2, 2143),
                (1, 3, 2571),
            ]
        );
    }

    #[test]
    fn short_intervals_alone_are_spread_over_themselves() {
        let backends = [backend(vec![every(500, 500, 3), every(800, 800, 3)])];
        assert_eq!(
            millis(&first_checks(&backends, None)),
            [(0, 0, 0), (0, 1, 400)]
        );
    }

    #[test]
    fn nothing_checked_nothing_due() {
        assert_eq!(first_checks(&[], None), []);
        assert_eq!(first_checks(&[backend(vec![None])], None), []);
    }

    #[test]
    fn spread_stays_within_its_percent_and_reaches_both_sides() {
        let second = Duration::from_secs(1);
        let mut spread = Spread::new(50, 7);
        let moved: Vec<Duration> = (0..1000).map(|_| spread.apply(second)).collect();
        assert!(moved.iter().all(|d| (500..=1500).contains(&d.as_millis())));
        assert!(moved.iter().any(|d| d.as_millis() < 550));
        assert!(moved.iter().any(|d| d.as_millis() > 1450));
        let mean = moved.iter().sum::<Duration>() / 1000;
        assert!((950..1050).contains(&mean.as_millis()), "mean {mean:?}");
    }

    #[test]
    fn checks_that_are_due_about_the_same_time_are_made_at_the_same_moment() {
        let start = Instant::now();
        let beat = Beat::from(start);
        let ms = Duration::from_millis;
        // Now, how long to wait, and how far apart the moments are for such a wait.
        let check = |now: f64, wait: u64, step: u64, expected: u64| {
            let now = start + Duration::from_secs_f64(now / 1000.0);
            let moment = beat.nearest(now, ms(wait));
            assert_eq!(moment - start, ms(expected), "{wait} after {now:?}");
            let moved = moment.max(now + ms(wait)) - moment.min(now + ms(wait));
            assert!(moved <= ms(step) / 2 && moved <= ms(wait) / 128 + ms(1) / 2);
        };
        check(0.0, 2000, 20, 2000);
        check(0.1, 2000, 20, 2000);
        check(9.9, 2000, 20, 2000);
        check(10.1, 2000, 20, 2020);
        check(2000.2, 2000, 20, 4000);
        check(4.9, 1000, 10, 1000);
        check(5.1, 1000, 10, 1010);
        check(2.4, 500, 5, 500);
        check(9.9, 3_600_000, 20, 3_600_000);
        check(0.4, 64, 1, 64);
        // Too short to be moved.
        assert_eq!(beat.nearest(start, ms(63)), start + ms(63));
        assert_eq!(beat.nearest(start, Duration::ZERO), start);
    }

    #[test]
    fn no_spread_leaves_intervals_alone_and_seeds_repeat() {
        let second = Duration::from_secs(1);
        assert_eq!(Spread::new(0, 3).apply(second), second);
        assert_eq!(
            Spread::new(5, 3).apply(second),
            Spread::new(5, 3).apply(second)
        );
        assert_ne!(
            Spread::new(5, 3).apply(second),
            Spread::new(5, 4).apply(second)
        );
    }
}
