//! What one check found.

use std::time::Duration;

use evenkeel_config::CheckStatus;

/// What one check found, in HAProxy's terms (manual 9.1, `check_status`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckOutcome {
    /// The verdict.
    pub status: CheckStatus,
    /// What the system or the server said, empty when there is nothing to say; goes into
    /// `info: "..."` of the log line.
    pub info: String,
    /// The code that came with the answer (HTTP's status), where the verdict has one.
    pub code: Option<u32>,
    /// From the check's start to its verdict.
    pub duration: Duration,
    /// Whether the server had accepted the connection.
    pub has_connected: bool,
    /// What broke, where that says more than `info` (TLS).
    pub cause: Option<String>,
}

impl CheckOutcome {
    /// Whether the server passed.
    #[must_use]
    pub fn is_pass(&self) -> bool {
        self.status.is_pass()
    }
}

/// HAProxy's bound of `info`.
const MOST_INFO_BYTES: usize = 127;

/// `text` as it may stand in `info`: up to its first NUL, not too long, and with what would confuse
/// a reader of logs as `<hexadecimal>`.
pub(crate) fn readable(text: &[u8]) -> String {
    let end = text.iter().position(|byte| *byte == 0);
    let text = &text[..end.unwrap_or(text.len()).min(MOST_INFO_BYTES)];
    let mut shown = String::with_capacity(text.len());
    for &byte in text {
        match byte {
            b'"' | 0..0x20 | 0x7f.. => shown.push_str(&format!("<{byte:02X}>")),
            _ => shown.push(char::from(byte)),
        }
    }
    shown
}

/// `info` within HAProxy's bound.
pub(crate) fn cut(mut info: String) -> String {
    let end = (0..=MOST_INFO_BYTES.min(info.len()))
        .rev()
        .find(|end| info.is_char_boundary(*end));
    info.truncate(end.unwrap_or(0));
    info
}
