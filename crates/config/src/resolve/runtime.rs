//! The sockets that take commands.

use std::path::PathBuf;
use std::time::Duration;

use super::{Resolver, value};
use crate::draft::{RuntimeDraft, SavedDraft, SavedFrom};
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
        let base = value(draft.state_base).unwrap_or_default();
        let file = value(draft.state_file);
        Runtime {
            // Joined to one that is absolute, the base is nothing.
            state_file: file.map(|file| base.join(file)),
            state_base: base,
            sockets: sockets.collect(),
            master_sockets: Vec::new(),
            timeout: value(draft.timeout).unwrap_or(DEFAULT_TIMEOUT),
            maxconn: value(draft.maxconn)
                .filter(|&maxconn| maxconn > 0)
                .unwrap_or(DEFAULT_MAXCONN),
        }
    }
}

/// The file of a backend's servers.
pub(super) fn saved_state(draft: SavedDraft, backend: &str, runtime: &Runtime) -> Option<PathBuf> {
    match value(draft.from).unwrap_or(SavedFrom::None) {
        SavedFrom::None => None,
        SavedFrom::Global => runtime.state_file.clone(),
        SavedFrom::Local => {
            let file = value(draft.file).unwrap_or_else(|| PathBuf::from(backend));
            Some(runtime.state_base.join(file))
        }
    }
}
