//! Dates as log lines have them. Working one out takes far longer than copying it, so each thread
//! keeps those of the second it last wrote.

use std::cell::RefCell;
use std::time::{Duration, SystemTime};

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

use crate::kernel;

/// The forms of one second, in local time.
#[derive(Debug, Default)]
pub(super) struct Second {
    since_epoch: Option<i64>,
    /// `Nov  2 20:41:02`.
    pub(super) syslog: String,
    /// `2026-11-02T20:41:02`.
    pub(super) iso: String,
    /// `+00:00`.
    pub(super) offset: String,
    /// `02/Nov/2026:20:41:02`.
    pub(super) session: String,
    /// `02/Nov/2026:20:41:02 +0100`.
    pub(super) zoned: String,
    /// `02/Nov/2026:20:41:02 +0000`, in UTC.
    pub(super) clf: String,
}

thread_local! {
    /// The current second, and that in which a session began.
    static SECONDS: RefCell<[Second; 2]> = RefCell::default();
}

/// Which of a thread's two seconds is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// Of the line.
    Sent = 0,
    /// Of the session's beginning.
    Began = 1,
}

/// Runs `use_it` with the forms of the second that `at` lies in, and what is left of it.
pub(super) fn with<T>(
    kind: Kind,
    at: SystemTime,
    use_it: impl FnOnce(&Second, Duration) -> T,
) -> T {
    let since = at
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let second = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
    let rest = Duration::from_nanos(u64::from(since.subsec_nanos()));
    SECONDS.with_borrow_mut(|seconds| {
        let kept = &mut seconds[kind as usize];
        if kept.since_epoch != Some(second) {
            kept.work_out(second, &kernel::zone());
        }
        use_it(kept, rest)
    })
}

impl Second {
    fn work_out(&mut self, second: i64, zone: &TimeZone) {
        let at = Timestamp::from_second(second).unwrap_or(Timestamp::MAX);
        let (local, universal) = (at.to_zoned(zone.clone()), at.to_zoned(TimeZone::UTC));
        let form = |zoned: &Zoned, format: &str| zoned.strftime(format).to_string();
        *self = Self {
            since_epoch: Some(second),
            syslog: form(&local, "%b %e %H:%M:%S"),
            iso: form(&local, "%Y-%m-%dT%H:%M:%S"),
            offset: form(&local, "%:z"),
            session: form(&local, "%d/%b/%Y:%H:%M:%S"),
            zoned: form(&local, "%d/%b/%Y:%H:%M:%S %z"),
            clf: form(&universal, "%d/%b/%Y:%H:%M:%S +0000"),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_zone_and_pad_the_day_with_a_space() {
        let mut second = Second::default();
        let zone = TimeZone::fixed(jiff::tz::offset(-3));
        second.work_out(1_793_587_262, &zone);
        assert_eq!(second.syslog, "Nov  1 23:41:02");
        assert_eq!(second.iso, "2026-11-01T23:41:02");
        assert_eq!(second.offset, "-03:00");
        assert_eq!(second.session, "01/Nov/2026:23:41:02");
        assert_eq!(second.zoned, "01/Nov/2026:23:41:02 -0300");
        assert_eq!(second.clf, "02/Nov/2026:02:41:02 +0000");
    }

    #[test]
    fn a_kept_second_is_replaced_when_another_is_asked_for() {
        let at = |seconds: u64| SystemTime::UNIX_EPOCH + Duration::from_millis(seconds * 1000 + 7);
        let forms = [5, 5, 65, 5].map(|seconds| {
            with(Kind::Began, at(seconds), |second, rest| {
                (second.session.clone(), rest)
            })
        });
        assert_eq!(forms[0], forms[1]);
        assert_ne!(forms[1].0, forms[2].0);
        assert_eq!(forms[3], forms[0]);
        assert_eq!(forms[2].1, Duration::from_millis(7));
    }
}
