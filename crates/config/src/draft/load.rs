//! How much servers are given and how clients wait, as a reader found it.

use std::time::Duration;

use super::Maybe;
use crate::{InitState, OnMarkedUp};

/// See [`crate::ServerLoad`]; zeroes are no limits.
#[derive(Clone, Debug, Default)]
pub(crate) struct LoadOptions {
    pub(crate) maxconn: Maybe<u32>,
    pub(crate) minconn: Maybe<u32>,
    pub(crate) maxqueue: Maybe<u32>,
    pub(crate) slowstart: Maybe<Duration>,
    pub(crate) on_marked_up: Maybe<OnMarkedUp>,
    pub(crate) init_state: Maybe<InitState>,
    /// `[backend/]server`.
    pub(crate) track: Maybe<String>,
}

/// See [`crate::Queueing`].
#[derive(Clone, Debug, Default)]
pub(crate) struct QueueDraft {
    pub(crate) timeout: Maybe<Duration>,
    pub(crate) fullconn: Maybe<u32>,
    pub(crate) abort_on_close: Maybe<bool>,
}

impl LoadOptions {
    /// What is said here, and what `general` says where nothing is.
    pub(crate) fn or(self, general: &Self) -> Self {
        let Self {
            maxconn,
            minconn,
            maxqueue,
            slowstart,
            on_marked_up,
            init_state,
            track,
        } = self;
        Self {
            maxconn: maxconn.or_else(|| general.maxconn.clone()),
            minconn: minconn.or_else(|| general.minconn.clone()),
            maxqueue: maxqueue.or_else(|| general.maxqueue.clone()),
            slowstart: slowstart.or_else(|| general.slowstart.clone()),
            on_marked_up: on_marked_up.or_else(|| general.on_marked_up.clone()),
            init_state: init_state.or_else(|| general.init_state.clone()),
            track,
        }
    }
}
