//! Durations as Go writes them, for kubeadm's documents.

use std::time::Duration;

/// A duration as Go writes it: `4m0s`, `1h`, `1.5s`, `300ms`.
pub(crate) fn go_duration(text: &str) -> Option<Duration> {
    let mut whole = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit = rest
            .find(|letter: char| letter.is_ascii_digit())
            .unwrap_or(rest.len());
        let seconds = match &rest[..unit] {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        rest = &rest[unit..];
        whole += Duration::try_from_secs_f64(number * seconds).ok()?;
    }
    (!text.is_empty()).then_some(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_reads_them() {
        let check = |text: &str, expected: Option<f64>| {
            assert_eq!(
                go_duration(text).map(|found| found.as_secs_f64()),
                expected,
                "{text}"
            );
        };
        check("4m0s", Some(240.0));
        check("1h", Some(3600.0));
        check("1.5s", Some(1.5));
        check("300ms", Some(0.3));
        check("", None);
        check("5", None);
        check("5d", None);
    }
}
