//! Single values of the TOML language: read from a [`DeValue`], written by `convert`.

use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use ::toml::de::DeValue;

use crate::units::parse_time;
use crate::words::Word;

/// A string that is not empty.
pub fn text(value: &DeValue<'_>) -> Result<String, String> {
    let text = value.as_str().ok_or_else(|| must_be("a string", value))?;
    if text.is_empty() {
        Err("must not be empty".into())
    } else {
        Ok(text.to_owned())
    }
}

/// `true` or `false`.
pub fn flag(value: &DeValue<'_>) -> Result<bool, String> {
    value
        .as_bool()
        .ok_or_else(|| must_be("true or false", value))
}

/// A whole number within `range`.
pub fn whole<T: TryFrom<i64>>(
    range: RangeInclusive<i64>,
) -> impl FnOnce(&DeValue<'_>) -> Result<T, String> {
    move |value| {
        let number = integer(value).filter(|number| range.contains(number));
        number
            .and_then(|number| T::try_from(number).ok())
            .ok_or_else(|| {
                must_be(
                    &format!("a whole number from {} to {}", range.start(), range.end()),
                    value,
                )
            })
    }
}

fn integer(value: &DeValue<'_>) -> Option<i64> {
    let integer = value.as_integer()?;
    i64::from_str_radix(integer.as_str(), integer.radix()).ok()
}

/// A time with its unit.
pub fn time(value: &DeValue<'_>) -> Result<Duration, String> {
    let text = value
        .as_str()
        .ok_or_else(|| must_be("a time with its unit, as in \"5s\"", value))?;
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!(
            "needs a unit: us, ms, s, m, h or d, as in \"{text}ms\""
        ));
    }
    let time = parse_time(text).map_err(|message| format!("is wrong: {message}"))?;
    if time.is_zero() {
        Err("must not be zero".into())
    } else {
        Ok(time)
    }
}

/// A time or `"none"`, which a draft knows as zero.
pub(super) fn limit(value: &DeValue<'_>) -> Result<Duration, String> {
    match value.as_str() {
        Some("none") => Ok(Duration::ZERO),
        Some(_) => time(value).map_err(|message| format!("{message}; \"none\" for no limit")),
        None => Err(must_be(
            "a time with its unit, as in \"5s\", or \"none\"",
            value,
        )),
    }
}

/// A string that `T` understands.
pub fn written<T: FromStr<Err = String>>(value: &DeValue<'_>) -> Result<T, String> {
    text(value)?
        .parse()
        .map_err(|message| format!("is wrong: {message}"))
}

/// One of the words of `T`.
pub(super) fn word<T: Word>(value: &DeValue<'_>) -> Result<T, String> {
    let found = value
        .as_str()
        .and_then(|text| T::ALL.iter().find(|(word, _)| *word == text));
    found.map(|(_, choice)| *choice).ok_or_else(|| {
        one_of(
            &T::ALL.iter().map(|(word, _)| *word).collect::<Vec<_>>(),
            value,
        )
    })
}

/// The index in `names` of the word given.
pub(super) fn index(
    names: &'static [&'static str],
) -> impl FnOnce(&DeValue<'_>) -> Result<u8, String> {
    move |value| {
        let found = value
            .as_str()
            .and_then(|text| names.iter().position(|name| *name == text));
        found
            .and_then(|index| u8::try_from(index).ok())
            .ok_or_else(|| one_of(names, value))
    }
}

/// `must be one of "a", "b", not X; did you mean "a"?`
#[must_use]
pub fn one_of(words: &[&str], value: &DeValue<'_>) -> String {
    let hint = value.as_str().map_or_else(String::new, |text| {
        crate::resolve::did_you_mean(text, words.iter().copied())
    });
    format!(
        "{}{hint}",
        must_be(&format!("one of \"{}\"", words.join("\", \"")), value)
    )
}

/// `must be X, not Y`.
#[must_use]
pub fn must_be(what: &str, value: &DeValue<'_>) -> String {
    let found = match value {
        DeValue::String(text) => format!("\"{text}\""),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Boolean(flag) => flag.to_string(),
        other => format!("a value of type {}", other.type_str()),
    };
    format!("must be {what}, not {found}")
}

/// A time as [`limit`] reads it.
pub(crate) fn show_limit(limit: Option<Duration>) -> String {
    limit.map_or_else(
        || "\"none\"".into(),
        |time| format!("\"{}\"", show_time(time)),
    )
}

/// A time in its largest whole unit up to hours.
pub(crate) fn show_time(time: Duration) -> String {
    const UNITS: [(u128, &str); 3] = [(3_600_000, "h"), (60_000, "m"), (1000, "s")];
    let ms = time.as_millis();
    let whole = UNITS.iter().find(|(unit, _)| ms.is_multiple_of(*unit));
    let (unit, name) = whole.unwrap_or(&(1, "ms"));
    format!("{}{name}", ms / unit)
}

/// A TOML string.
#[must_use]
pub fn show_text(text: &str) -> String {
    let mut shown = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => shown.extend(['\\', c]),
            _ if c.is_control() => shown.push_str(&format!("\\u{:04X}", u32::from(c))),
            _ => shown.push(c),
        }
    }
    shown.push('"');
    shown
}

/// A TOML key, quoted only where it has to be.
#[must_use]
pub fn show_key(key: &str) -> String {
    let is_bare = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if !key.is_empty() && key.bytes().all(is_bare) {
        key.to_owned()
    } else {
        show_text(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::{FACILITIES, LEVELS};
    use crate::{Balance, OnMarkedDown};

    fn read<T>(
        text: &str,
        read: impl FnOnce(&DeValue<'_>) -> Result<T, String>,
    ) -> Result<T, String> {
        read(DeValue::parse(text).unwrap().get_ref())
    }

    #[test]
    fn times_need_a_unit() {
        let ms = |text| read(text, time).map(|time| time.as_millis());
        assert_eq!(ms("'1s'"), Ok(1000));
        assert_eq!(ms("'500ms'"), Ok(500));
        assert!(ms("'500'").unwrap_err().contains("needs a unit"));
        assert!(ms("500").unwrap_err().contains("not 500"));
        assert!(ms("'0s'").unwrap_err().contains("zero"));
        assert!(ms("'5x'").unwrap_err().contains("unknown unit"));
        assert!(ms("''").is_err());
        assert_eq!(read("'none'", limit), Ok(Duration::ZERO));
        assert!(
            read("'non'", limit)
                .unwrap_err()
                .contains("\"none\" for no limit")
        );
    }

    #[test]
    fn numbers_keep_to_their_range() {
        assert_eq!(read("256", whole::<u16>(0..=256)), Ok(256));
        assert_eq!(read("0x10", whole::<u16>(0..=256)), Ok(16));
        assert_eq!(
            read("257", whole::<u16>(0..=256)),
            Err("must be a whole number from 0 to 256, not 257".into())
        );
        assert!(read("-1", whole::<u16>(0..=256)).is_err());
        assert!(read("1.5", whole::<u16>(0..=256)).is_err());
        assert!(read("99999999999999999999", whole::<u32>(0..=9)).is_err());
    }

    #[test]
    fn words_name_what_is_meant() {
        assert_eq!(
            read("'leastconn'", written::<Balance>),
            Ok(Balance::LeastConn)
        );
        let error = read("'kep'", word::<OnMarkedDown>).unwrap_err();
        assert!(
            error.contains("not \"kep\"; did you mean 'keep'?"),
            "{error}"
        );
        let error = read("'leastcon'", written::<Balance>).unwrap_err();
        assert!(
            error.contains("'leastcon'; did you mean 'leastconn'?"),
            "{error}"
        );
        assert_eq!(read("'local7'", index(&FACILITIES)), Ok(23));
        assert!(read("3", index(&LEVELS)).is_err());
    }

    #[test]
    fn what_is_shown_reads_back() {
        for ms in [1, 999, 1000, 1500, 60_000, 61_000, 3_600_000, 86_400_000] {
            let wanted = Duration::from_millis(ms);
            assert_eq!(read(&show_limit(Some(wanted)), limit), Ok(wanted));
        }
        assert_eq!(read(&show_limit(None), limit), Ok(Duration::ZERO));
        for wanted in ["plain", "a \"b\" \\ c", "tab\t\u{7f}\n", "ü"] {
            assert_eq!(read(&show_text(wanted), text), Ok(wanted.to_owned()));
            let document = format!("{} = 1", show_key(wanted));
            let table = ::toml::de::DeTable::parse(&document).unwrap();
            assert!(table.get_ref().get(wanted).is_some(), "{document}");
        }
        assert_eq!(show_key("master-1_a"), "master-1_a");
    }
}
