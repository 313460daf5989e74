//! What the text says of the sockets that take commands; see [`crate::Runtime`].

use std::time::Duration;

use super::{BindDraft, Maybe};
use crate::AccessLevel;

#[derive(Clone, Debug, Default)]
pub(crate) struct RuntimeDraft {
    pub(crate) sockets: Vec<StatsSocketDraft>,
    pub(crate) timeout: Maybe<Duration>,
    pub(crate) maxconn: Maybe<u32>,
}

#[derive(Clone, Debug)]
pub(crate) struct StatsSocketDraft {
    pub(crate) bind: BindDraft,
    pub(crate) level: Maybe<AccessLevel>,
}
