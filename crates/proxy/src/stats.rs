//! Counters of a running proxy. Each is written in one place and read by snapshots; the ones that
//! rise and fall do so through guards.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::admin::Counters;
use crate::gate::Gate;
use crate::local::HttpStats;

/// Sessions that one average of times looks back on (HAProxy's 1024).
const AVERAGE_WINDOW: u64 = 1024;

/// The moment that all coarse times here are counted from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Epoch(Instant);

impl Epoch {
    /// So long ago.
    pub(crate) fn before(age: Duration) -> Self {
        let now = Instant::now();
        Self(now.checked_sub(age).unwrap_or(now))
    }

    pub(crate) fn elapsed(self) -> Duration {
        self.0.elapsed()
    }

    fn millis(self) -> u64 {
        u64::try_from(self.0.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// Events per second over a sliding second: what is left of the previous second's count, plus
/// this one's.
///
/// One word holds second (16 bits), this second's count and the previous one's (24 bits each), so
/// that threads agree without a lock.
#[derive(Debug, Default)]
pub(crate) struct Rate {
    word: AtomicU64,
    peak: AtomicU32,
}

const COUNT_BITS: u32 = 24;
const COUNT_MASK: u64 = (1 << COUNT_BITS) - 1;

impl Rate {
    /// Counts one event.
    pub(crate) fn hit(&self, epoch: Epoch) {
        let now = epoch.millis();
        let word = self
            .word
            .fetch_update(Relaxed, Relaxed, |word| {
                let (current, previous) = Self::at(word, now);
                Some(Self::pack(now, (current + 1).min(COUNT_MASK), previous))
            })
            .map_or(0, |old| {
                let (current, previous) = Self::at(old, now);
                Self::pack(now, (current + 1).min(COUNT_MASK), previous)
            });
        self.peak.fetch_max(Self::sliding(word, now), Relaxed);
    }

    /// Events of the last second.
    pub(crate) fn per_second(&self, epoch: Epoch) -> u32 {
        Self::sliding(self.word.load(Relaxed), epoch.millis())
    }

    /// Forgets the highest rate.
    pub(crate) fn clear_peak(&self) {
        self.peak.store(0, Relaxed);
    }

    /// The highest rate so far.
    pub(crate) fn peak(&self) -> u32 {
        self.peak.load(Relaxed)
    }

    fn pack(now_ms: u64, current: u64, previous: u64) -> u64 {
        ((now_ms / 1000) & 0xffff) << (2 * COUNT_BITS) | current << COUNT_BITS | previous
    }

    /// This second's and the previous second's counts as of `now_ms`.
    fn at(word: u64, now_ms: u64) -> (u64, u64) {
        let second = word >> (2 * COUNT_BITS);
        let current = word >> COUNT_BITS & COUNT_MASK;
        let previous = word & COUNT_MASK;
        match (now_ms / 1000).wrapping_sub(second) & 0xffff {
            0 => (current, previous),
            1 => (0, current),
            _ => (0, 0),
        }
    }

    fn sliding(word: u64, now_ms: u64) -> u32 {
        let (current, previous) = Self::at(word, now_ms);
        let left = 1000 - now_ms % 1000;
        u32::try_from(current + previous * left / 1000).unwrap_or(u32::MAX)
    }
}

/// A sliding average over about the last 1024 values, and the highest of all. Milliseconds.
#[derive(Debug, Default)]
pub(crate) struct Average {
    sum: AtomicU64,
    highest: AtomicU32,
}

impl Average {
    pub(crate) fn add(&self, value: Duration) {
        let ms = u64::try_from(value.as_millis()).unwrap_or(u64::MAX >> 32);
        // Each new value pushes an average one out; the update never fails.
        let _ = self.sum.fetch_update(Relaxed, Relaxed, |sum| {
            Some(sum - sum.div_ceil(AVERAGE_WINDOW) + ms)
        });
        let capped = u32::try_from(ms).unwrap_or(u32::MAX);
        self.highest.fetch_max(capped, Relaxed);
    }

    pub(crate) fn mean(&self) -> Duration {
        Duration::from_millis(self.sum.load(Relaxed).div_ceil(AVERAGE_WINDOW))
    }

    fn clear_highest(&self) {
        self.highest.store(0, Relaxed);
    }

    pub(crate) fn highest(&self) -> Duration {
        Duration::from_millis(u64::from(self.highest.load(Relaxed)))
    }
}

/// A number that rises and falls, and its highest.
#[derive(Debug, Default)]
pub(crate) struct Level {
    now: AtomicU32,
    peak: AtomicU32,
}

impl Level {
    pub(crate) fn rise(&self) {
        let now = self.now.fetch_add(1, Relaxed) + 1;
        self.peak.fetch_max(now, Relaxed);
    }

    pub(crate) fn fall(&self) {
        self.now.fetch_sub(1, Relaxed);
    }

    pub(crate) fn now(&self) -> u32 {
        self.now.load(Relaxed)
    }

    fn clear_peak(&self) {
        self.peak.store(self.now(), Relaxed);
    }

    pub(crate) fn peak(&self) -> u32 {
        self.peak.load(Relaxed)
    }
}

/// Bytes that went through.
#[derive(Debug, Default)]
pub(crate) struct Bytes {
    /// From clients.
    pub(crate) inward: AtomicU64,
    /// To clients.
    pub(crate) outward: AtomicU64,
}

impl Bytes {
    pub(crate) fn add(&self, inward: u64, outward: u64) {
        if inward > 0 {
            self.inward.fetch_add(inward, Relaxed);
        }
        if outward > 0 {
            self.outward.fetch_add(outward, Relaxed);
        }
    }
}

/// What the process as a whole counts, for its whole life.
#[derive(Debug)]
pub(crate) struct ProcessStats {
    pub(crate) epoch: Epoch,
    /// Open client connections against the process's `maxconn`.
    pub(crate) gate: Gate,
    pub(crate) connections: AtomicU64,
    pub(crate) connection_rate: Rate,
    pub(crate) bytes_out: AtomicU64,
    pub(crate) descriptors_exhausted: AtomicU64,
    /// Connects to servers that failed for want of something local.
    pub(crate) shortages: AtomicU64,
    pub(crate) reloads: AtomicU64,
    pub(crate) failed_reloads: AtomicU64,
    /// Whether the process accepts no more.
    pub(crate) is_stopping: AtomicBool,
}

impl ProcessStats {
    /// Of a process that counts since `age` ago.
    pub(crate) fn new(maxconn: u32, age: Duration) -> Self {
        Self {
            epoch: Epoch::before(age),
            gate: Gate::new(maxconn),
            connections: AtomicU64::new(0),
            connection_rate: Rate::default(),
            bytes_out: AtomicU64::new(0),
            descriptors_exhausted: AtomicU64::new(0),
            shortages: AtomicU64::new(0),
            reloads: AtomicU64::new(0),
            failed_reloads: AtomicU64::new(0),
            is_stopping: AtomicBool::new(false),
        }
    }
}

/// A counter by its name.
pub(crate) type Counter<'a> = (&'static str, &'a AtomicU64);
/// The highest of something, by its name.
pub(crate) type Highest<'a> = (&'static str, &'a AtomicU32);

impl ProcessStats {
    /// What `clear counters all` sets back.
    pub(crate) fn counters(&self) -> [Counter<'_>; 2] {
        [
            ("connections", &self.connections),
            ("bytes_out", &self.bytes_out),
        ]
    }

    /// What `clear counters` sets back.
    pub(crate) fn highest(&self) -> [Highest<'_>; 2] {
        [
            ("open_highest", self.gate.peak_cell()),
            ("connection_rate_highest", &self.connection_rate.peak),
        ]
    }

    /// What nothing sets back.
    pub(crate) fn lasting(&self) -> [Counter<'_>; 5] {
        [
            ("limit_reached", self.gate.reached_cell()),
            ("descriptors_exhausted", &self.descriptors_exhausted),
            ("shortages", &self.shortages),
            ("reloads", &self.reloads),
            ("failed_reloads", &self.failed_reloads),
        ]
    }
}

/// What a frontend counts; carried from generation to generation by its name.
#[derive(Debug)]
pub(crate) struct FrontendStats {
    /// Open sessions against the frontend's `maxconn`.
    pub(crate) gate: Gate,
    pub(crate) sessions: AtomicU64,
    /// Lines of the operator's own making.
    pub(crate) lines: AtomicU64,
    pub(crate) session_rate: Rate,
    pub(crate) bytes: Bytes,
    pub(crate) http: HttpStats,
    pub(crate) denied: Denied,
}

/// What rules of a frontend refused.
#[derive(Debug, Default)]
pub(crate) struct Denied {
    /// By `tcp-request connection`.
    pub(crate) connections: AtomicU64,
    /// By `tcp-request session`.
    pub(crate) sessions: AtomicU64,
    /// By `tcp-request content`, and by every `silent-drop`.
    pub(crate) requests: AtomicU64,
    /// Connections that became no session.
    pub(crate) refused: AtomicU64,
    pub(crate) refused_rate: Rate,
    /// The highest rate of connections, refused ones included, when one was refused.
    pub(crate) connection_peak: AtomicU32,
}

impl Denied {
    /// Counts a connection that becomes no session.
    pub(crate) fn refuse(&self, sessions: &Rate, epoch: Epoch) {
        self.refused.fetch_add(1, Relaxed);
        self.refused_rate.hit(epoch);
        let rate = self.refused_rate.per_second(epoch) + sessions.per_second(epoch);
        self.connection_peak.fetch_max(rate, Relaxed);
    }
}

impl FrontendStats {
    /// `clear counters`.
    pub(crate) fn clear(&self, which: Counters) {
        self.gate.clear_peak();
        self.session_rate.clear_peak();
        self.denied.connection_peak.store(0, Relaxed);
        if which == Counters::All {
            clear(&self.counters());
        }
    }

    /// What `clear counters all` sets back.
    pub(crate) fn counters(&self) -> [Counter<'_>; 7] {
        [
            ("sessions", &self.sessions),
            ("bytes_in", &self.bytes.inward),
            ("bytes_out", &self.bytes.outward),
            ("denied_connections", &self.denied.connections),
            ("denied_sessions", &self.denied.sessions),
            ("denied_requests", &self.denied.requests),
            ("refused", &self.denied.refused),
        ]
    }

    /// What `clear counters` sets back.
    pub(crate) fn highest(&self) -> [Highest<'_>; 3] {
        [
            ("open_highest", self.gate.peak_cell()),
            ("session_rate_highest", &self.session_rate.peak),
            ("connection_rate_highest", &self.denied.connection_peak),
        ]
    }

    /// What nothing sets back.
    pub(crate) fn lasting(&self) -> Vec<Counter<'_>> {
        let http = &self.http;
        let mut lasting = vec![
            ("limit_reached", self.gate.reached_cell()),
            ("lines", &self.lines),
            ("http_requests", &http.requests),
            ("http_denied", &http.denied),
            ("http_errors", &http.errors),
            ("http_intercepted", &http.intercepted),
        ];
        lasting.extend(RESPONSES.into_iter().zip(&http.responses));
        lasting
    }

    pub(crate) fn new(limit: u32) -> Self {
        Self {
            gate: Gate::new(limit),
            sessions: AtomicU64::new(0),
            lines: AtomicU64::new(0),
            session_rate: Rate::default(),
            bytes: Bytes::default(),
            http: HttpStats::default(),
            denied: Denied::default(),
        }
    }
}

/// The names of the counters of answers, by the first digit of their status.
const RESPONSES: [&str; 6] = [
    "http_1xx",
    "http_2xx",
    "http_3xx",
    "http_4xx",
    "http_5xx",
    "http_other",
];

fn clear(counters: &[Counter<'_>]) {
    for (_, counter) in counters {
        counter.store(0, Relaxed);
    }
}

/// What a backend counts, and each of its servers; carried by name (and address).
#[derive(Debug, Default)]
pub(crate) struct ServiceStats {
    pub(crate) open: Level,
    pub(crate) sessions: AtomicU64,
    pub(crate) session_rate: Rate,
    pub(crate) chosen: AtomicU64,
    pub(crate) bytes: Bytes,
    pub(crate) connection_errors: AtomicU64,
    pub(crate) response_errors: AtomicU64,
    pub(crate) retries: AtomicU64,
    pub(crate) redispatches: AtomicU64,
    pub(crate) client_aborts: AtomicU64,
    pub(crate) server_aborts: AtomicU64,
    pub(crate) attempts: AtomicU64,
    pub(crate) queue_time: Average,
    pub(crate) connect_time: Average,
    pub(crate) session_time: Average,
    /// Milliseconds after the epoch, plus one; 0: never.
    last_session: AtomicU64,
}

impl ServiceStats {
    /// `clear counters`.
    pub(crate) fn clear(&self, which: Counters) {
        self.open.clear_peak();
        self.session_rate.clear_peak();
        let times = [&self.queue_time, &self.connect_time, &self.session_time];
        times.into_iter().for_each(Average::clear_highest);
        if which == Counters::All {
            clear(&self.counters());
        }
    }

    /// What `clear counters all` sets back.
    pub(crate) fn counters(&self) -> [Counter<'_>; 11] {
        [
            ("sessions", &self.sessions),
            ("chosen", &self.chosen),
            ("bytes_in", &self.bytes.inward),
            ("bytes_out", &self.bytes.outward),
            ("connection_errors", &self.connection_errors),
            ("response_errors", &self.response_errors),
            ("retries", &self.retries),
            ("redispatches", &self.redispatches),
            ("client_aborts", &self.client_aborts),
            ("server_aborts", &self.server_aborts),
            ("attempts", &self.attempts),
        ]
    }

    /// What nothing sets back: sums that averages are made of, and a time after the epoch.
    pub(crate) fn lasting(&self) -> [Counter<'_>; 4] {
        [
            ("queue_time_sum", &self.queue_time.sum),
            ("connect_time_sum", &self.connect_time.sum),
            ("session_time_sum", &self.session_time.sum),
            ("last_session", &self.last_session),
        ]
    }

    /// What `clear counters` sets back.
    pub(crate) fn highest(&self) -> [Highest<'_>; 5] {
        [
            ("open_highest", &self.open.peak),
            ("session_rate_highest", &self.session_rate.peak),
            ("queue_time_highest", &self.queue_time.highest),
            ("connect_time_highest", &self.connect_time.highest),
            ("session_time_highest", &self.session_time.highest),
        ]
    }

    /// A server was chosen for a session.
    pub(crate) fn choose(&self, epoch: Epoch) {
        self.chosen.fetch_add(1, Relaxed);
        self.last_session.store(epoch.millis() + 1, Relaxed);
    }

    /// A session begins here.
    pub(crate) fn begin(&self, epoch: Epoch) {
        self.sessions.fetch_add(1, Relaxed);
        self.session_rate.hit(epoch);
    }

    /// How long ago a server was last chosen here.
    pub(crate) fn last_session(&self, epoch: Epoch) -> Option<Duration> {
        let at = self.last_session.load(Relaxed).checked_sub(1)?;
        Some(Duration::from_millis(epoch.millis().saturating_sub(at)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_slides_from_one_second_to_the_next() {
        let word = Rate::pack(5_000, 10, 4);
        assert_eq!(Rate::sliding(word, 5_000), 14);
        assert_eq!(Rate::sliding(word, 5_500), 12);
        assert_eq!(Rate::sliding(word, 6_500), 5);
        assert_eq!(Rate::sliding(word, 7_000), 0);
    }

    #[test]
    fn average_follows_its_values() {
        let average = Average::default();
        for _ in 0..20_000 {
            average.add(Duration::from_millis(40));
        }
        assert_eq!(average.mean(), Duration::from_millis(40));
        average.add(Duration::from_millis(900));
        assert_eq!(average.highest(), Duration::from_millis(900));
    }

    #[test]
    fn level_remembers_its_peak() {
        let level = Level::default();
        level.rise();
        level.rise();
        level.fall();
        assert_eq!((level.now(), level.peak()), (1, 2));
    }
}
