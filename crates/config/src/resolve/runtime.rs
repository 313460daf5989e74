//! The sockets that take commands.

use std::time::Duration;

use super::{Resolver, value};
use crate::draft::RuntimeDraft;
use crate::{AccessLevel, Runtime, StatsSocket};

/// How long a visitor may be silent where the file does not say.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
/// Visitors at once where the file does not say.
const DEFAULT_MAXCONN: u32 = 10;

impl Resolver<'_> {
    pub(super) fn runtime(&mut self, draft: RuntimeDraft) -> Runtime {
        let sockets = draft.sockets.into_iter().flat_map(|socket| {
            let level = value(socket.level).unwrap_or(AccessLevel::Operator);
            let binds = self.binds(socket.bind);
            binds
                .into_iter()
                .map(move |bind| StatsSocket { bind, level })
        });
        Runtime {
            sockets: sockets.collect(),
            timeout: value(draft.timeout).unwrap_or(DEFAULT_TIMEOUT),
            maxconn: value(draft.maxconn)
                .filter(|&maxconn| maxconn > 0)
                .unwrap_or(DEFAULT_MAXCONN),
        }
    }
}
