//! What came of asking one name server: HAProxy's counters of it (`show resolvers`).

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;

/// Counted while it is asked.
#[derive(Debug, Default)]
pub struct NameTally {
    /// Questions.
    pub(crate) sent: AtomicU64,
    send_errors: AtomicU64,
    /// Answers that counted.
    pub(crate) valid: AtomicU64,
    updates: AtomicU64,
    nx: AtomicU64,
    /// Questions that it did not answer in time.
    pub(crate) timeout: AtomicU64,
    refused: AtomicU64,
    other: AtomicU64,
}

impl NameTally {
    /// An answer of its moved a server.
    pub fn note_update(&self) {
        self.updates.fetch_add(1, Relaxed);
    }

    /// Takes note of a failure.
    pub(crate) fn note(&self, error: &NetError) {
        let counter = match error {
            NetError::Dns(DnsError::NoRecordsFound(none)) => self.of(none.response_code),
            NetError::Dns(DnsError::ResponseCode(code)) => self.of(*code),
            NetError::Timeout => &self.timeout,
            NetError::NoConnections | NetError::Io(_) => &self.send_errors,
            _ => &self.other,
        };
        counter.fetch_add(1, Relaxed);
    }

    fn of(&self, code: ResponseCode) -> &AtomicU64 {
        match code {
            ResponseCode::NXDomain => &self.nx,
            ResponseCode::Refused => &self.refused,
            // An answer, if without what was asked for.
            ResponseCode::NoError => &self.valid,
            _ => &self.other,
        }
    }

    /// Each counter that is told, under HAProxy's name; those of what the resolver hides are 0.
    #[must_use]
    pub fn counts(&self) -> [(&'static str, u64); 15] {
        let of = |counter: &AtomicU64| counter.load(Relaxed);
        [
            ("sent", of(&self.sent)),
            ("snd_error", of(&self.send_errors)),
            ("valid", of(&self.valid)),
            ("update", of(&self.updates)),
            ("cname", 0),
            ("cname_error", 0),
            ("any_err", 0),
            ("nx", of(&self.nx)),
            ("timeout", of(&self.timeout)),
            ("refused", of(&self.refused)),
            ("other", of(&self.other)),
            ("invalid", 0),
            ("too_big", 0),
            ("truncated", 0),
            ("outdated", 0),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_counted_by_what_they_are() {
        let tally = NameTally::default();
        let code = |code| NetError::Dns(DnsError::ResponseCode(code));
        tally.note(&code(ResponseCode::NXDomain));
        tally.note(&code(ResponseCode::Refused));
        tally.note(&code(ResponseCode::ServFail));
        tally.note(&NetError::Timeout);
        tally.note(&NetError::NoConnections);
        tally.note_update();
        let counted = tally.counts().into_iter().filter(|(_, count)| *count > 0);
        let counted: Vec<_> = counted.map(|(name, _)| name).collect();
        assert_eq!(
            counted,
            ["snd_error", "update", "nx", "timeout", "refused", "other"]
        );
    }
}
