//! What the text says of the sockets that take commands; see [`crate::Runtime`].

use std::path::PathBuf;
use std::time::Duration;

use super::{BindDraft, Maybe};
use crate::AccessLevel;

#[derive(Clone, Debug, Default)]
pub(crate) struct RuntimeDraft {
    pub(crate) sockets: Vec<StatsSocketDraft>,
    pub(crate) timeout: Maybe<Duration>,
    pub(crate) maxconn: Maybe<u32>,
    /// `server-state-file`.
    pub(crate) state_file: Maybe<PathBuf>,
    /// `server-state-base`.
    pub(crate) state_base: Maybe<PathBuf>,
}

/// Where a backend takes over what was known of its servers.
#[derive(Clone, Debug, Default)]
pub(crate) struct SavedDraft {
    pub(crate) from: Maybe<SavedFrom>,
    /// `server-state-file-name`; without it the backend's name.
    pub(crate) file: Maybe<PathBuf>,
}

/// `load-server-state-from-file`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SavedFrom {
    Global,
    Local,
    None,
}

#[derive(Clone, Debug)]
pub(crate) struct StatsSocketDraft {
    pub(crate) bind: BindDraft,
    pub(crate) level: Maybe<AccessLevel>,
}
