//! See [`crate::model`]'s types of the same purpose.

use super::{Maybe, ResolutionDraft};
use crate::{ConnectFrom, SendProxy};

/// What a bind says of its sockets and of what comes first on its connections.
#[derive(Clone, Debug, Default)]
pub(crate) struct BindNet {
    pub(crate) id: Maybe<u32>,
    pub(crate) accept_proxy: Maybe<bool>,
    pub(crate) mss: Maybe<u16>,
    pub(crate) fast_open: Maybe<bool>,
    pub(crate) defer_accept: Maybe<bool>,
}

/// What a server says of how it is connected to.
#[derive(Clone, Debug, Default)]
pub(crate) struct ServerNet {
    pub(crate) send_proxy: SendProxyDraft,
    pub(crate) check_send_proxy: Maybe<bool>,
    pub(crate) source: Maybe<ConnectFrom>,
    pub(crate) resolution: ResolutionDraft,
    pub(crate) fast_open: Maybe<bool>,
}

/// The options that a header is put together from.
#[derive(Clone, Debug, Default)]
pub(crate) struct SendProxyDraft {
    pub(crate) v1: bool,
    pub(crate) v2: bool,
    pub(crate) tls: bool,
    pub(crate) crc32c: bool,
}

impl SendProxyDraft {
    /// The header as its options have it; version 2 where both are asked for, as in HAProxy.
    pub(crate) fn resolved(&self) -> Option<SendProxy> {
        match self {
            Self {
                v2: true,
                tls,
                crc32c,
                ..
            } => Some(SendProxy::V2 {
                tls: *tls,
                crc32c: *crc32c,
            }),
            Self { v1: true, .. } => Some(SendProxy::V1),
            _ => None,
        }
    }
}
