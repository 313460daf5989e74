//! Any bytes as the answer of a server that is checked over HTTP.

use evenkeel_health::{End, Parsed, parse_answer};

/// Reads `bytes` as they come in, piece by piece, each of `step` bytes: what was understood never
/// changes, and the body only grows.
///
/// # Panics
/// It is not so.
pub fn hold(bytes: &[u8], has_body: bool, step: usize) {
    let mut before: Option<Parsed<'_>> = None;
    let mut end = 0;
    loop {
        let now = parse_answer(&bytes[..end], has_body);
        match (&before, &now) {
            (Some(Parsed::Malformed), now) => {
                assert_eq!(*now, Parsed::Malformed, "it has become right at {end}");
            }
            (Some(Parsed::Answer(old)), Parsed::Answer(new)) => {
                assert_eq!((old.status, old.reason), (new.status, new.reason), "at {end}");
                assert_eq!(old.headers, new.headers, "at {end}");
                assert!(new.body.starts_with(&old.body), "the body changed at {end}");
                if old.end != End::Open {
                    assert_eq!((old.end, &old.body), (new.end, &new.body), "at {end}");
                }
            }
            (Some(Parsed::Answer(_)), now) => panic!("an answer has become {now:?} at {end}"),
            _ => {}
        }
        if end == bytes.len() {
            return;
        }
        before = Some(now);
        end = bytes.len().min(end + step.max(1));
    }
}
