//! Times and sizes as HAProxy writes them: a number and a unit (manual, section 2.5).

use std::ops::RangeInclusive;
use std::time::Duration;

/// HAProxy keeps times in milliseconds in 31 bits (24.8 days); a file that exceeds it does not
/// load there either.
const LONGEST_MS: u64 = i32::MAX as u64;

/// What a pipe may be asked to hold: the kernel gives at least a page, and nobody more than this.
pub(crate) const PIPE_BYTES: RangeInclusive<i64> = 4096..=1 << 30;

/// Parses `1048576`, `1024k`, `1m`, `1g`.
pub(crate) fn parse_bytes(text: &str) -> Option<i64> {
    let (digits, unit) = split(text);
    let shift = match unit {
        "" => 0,
        "k" | "K" => 10,
        "m" | "M" => 20,
        "g" | "G" => 30,
        _ => return None,
    };
    let number: u32 = digits.parse().ok()?;
    Some(i64::from(number) << shift)
}

/// Parses `30s`, `500ms`, `5000` (milliseconds), `1500us` (rounded up to a millisecond).
pub fn parse_time(text: &str) -> Result<Duration, String> {
    let (digits, unit) = split(text);
    if digits.is_empty() {
        return Err(format!(
            "'{text}' is not a time; write a number and one of us, ms, s, m, h, d"
        ));
    }
    let number: u64 = digits.parse().map_err(|_| too_long(text))?;
    let ms = match unit {
        "us" => Some(number.div_ceil(1000)),
        "" | "ms" => Some(number),
        "s" => number.checked_mul(1000),
        "m" => number.checked_mul(60_000),
        "h" => number.checked_mul(3_600_000),
        "d" => number.checked_mul(86_400_000),
        _ => {
            return Err(format!(
                "unknown unit '{unit}' in time '{text}'; the units are us, ms, s, m, h and d"
            ));
        }
    };
    match ms {
        Some(ms) if ms <= LONGEST_MS => Ok(Duration::from_millis(ms)),
        _ => Err(too_long(text)),
    }
}

/// The time that `text` begins with, where more stands behind its unit: `10sec` begins with `10s`.
/// HAProxy 3.0 takes it with a warning.
pub(crate) fn parse_beginning(text: &str) -> Option<(&str, Duration)> {
    let (digits, rest) = split(text);
    let unit = ["us", "ms", "s", "m", "h", "d"]
        .into_iter()
        .find(|unit| rest.starts_with(unit))?;
    let taken = &text[..digits.len() + unit.len()];
    Some((taken, parse_time(taken).ok()?))
}

fn too_long(text: &str) -> String {
    format!("time '{text}' is too long; the longest is {LONGEST_MS} ms (24.8 days)")
}

fn split(text: &str) -> (&str, &str) {
    text.split_at(
        text.find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, expected) in [
            ("0", Some(0)),
            ("65536", Some(65_536)),
            ("64k", Some(65_536)),
            ("1M", Some(1_048_576)),
            ("4294967295g", Some(4_294_967_295 << 30)),
            ("4294967296", None),
            ("1t", None),
            ("1mb", None),
            ("-1", None),
            ("k", None),
            ("", None),
        ] {
            assert_eq!(parse_bytes(text), expected, "{text}");
        }
    }

    #[test]
    fn times_with_more_behind_their_unit() {
        for (text, expected) in [
            ("10sec", Some(("10s", 10_000))),
            ("5min", Some(("5m", 300_000))),
            ("1h30m", Some(("1h", 3_600_000))),
            ("10mss", Some(("10ms", 10))),
            ("3us5", Some(("3us", 1))),
            ("10x", None),
            ("1.5h", None),
            ("10S", None),
            ("sec", None),
            ("99999999days", None),
        ] {
            let found = parse_beginning(text)
                .map(|(taken, time)| (taken, u64::try_from(time.as_millis()).unwrap()));
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn times() {
        fn check(text: &str, expected: Option<u64>) {
            let ms = parse_time(text)
                .ok()
                .map(|time| u64::try_from(time.as_millis()).unwrap());
            assert_eq!(ms, expected, "{text}");
        }
        check("5000", Some(5000));
        check("0", Some(0));
        check("1s", Some(1000));
        check("2m", Some(120_000));
        check("1h", Some(3_600_000));
        check("24d", Some(2_073_600_000));
        check("25d", None);
        check("1us", Some(1));
        check("1001us", Some(2));
        check("2147483647", Some(2_147_483_647));
        check("2147483648", None);
        check("99999999999999999999", None);
        check("99999999999999999d", None);
        check("5x", None);
        check("-5", None);
        check("1m30s", None);
        check("", None);
        check("s", None);
    }
}
