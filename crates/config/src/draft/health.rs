//! What a reader found about health, beside checks.

use std::time::Duration;

use super::Maybe;
use crate::OnError;

/// See [`crate::HealthPolicy`].
#[derive(Clone, Debug, Default)]
pub(crate) struct HealthDraft {
    pub(crate) log_changes: Maybe<bool>,
    pub(crate) fail_open: Maybe<bool>,
}

/// See [`crate::Agent`] and [`crate::Observation`].
#[derive(Clone, Debug, Default)]
pub(crate) struct ServerHealthDraft {
    pub(crate) agent: Maybe<bool>,
    /// As written: an IP address or a name.
    pub(crate) agent_address: Maybe<String>,
    pub(crate) agent_port: Maybe<u16>,
    pub(crate) agent_inter: Maybe<Duration>,
    pub(crate) agent_send: Maybe<String>,
    /// `observe layer4`.
    pub(crate) observe: Maybe<bool>,
    pub(crate) error_limit: Maybe<u32>,
    pub(crate) on_error: Maybe<OnError>,
}
