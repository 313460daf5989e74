//! See [`crate::Resolvers`] and [`crate::Resolution`].

use std::time::Duration;

use ipnet::IpNet;

use super::{Maybe, Spanned};
use crate::{Place, Prefer};

/// See [`crate::Resolvers`].
#[derive(Clone, Debug)]
pub(crate) struct ResolversDraft {
    pub(crate) name: Spanned<String>,
    pub(crate) place: Place,
    /// Name and address as written: `10.0.0.1:53`, `tcp@10.0.0.1`.
    pub(crate) nameservers: Vec<(Spanned<String>, Spanned<String>)>,
    /// Those of /etc/resolv.conf.
    pub(crate) system: Maybe<bool>,
    pub(crate) retries: Maybe<u32>,
    pub(crate) resolve: Maybe<Duration>,
    pub(crate) retry: Maybe<Duration>,
    pub(crate) hold: HoldDraft,
    pub(crate) payload_bytes: Maybe<u16>,
}

impl ResolversDraft {
    /// One that says nothing yet.
    pub(crate) fn new(name: Spanned<String>, place: Place) -> Self {
        Self {
            name,
            place,
            nameservers: Vec::new(),
            system: None,
            retries: None,
            resolve: None,
            retry: None,
            hold: HoldDraft::default(),
            payload_bytes: None,
        }
    }
}

/// See [`crate::Hold`].
#[derive(Clone, Debug, Default)]
pub(crate) struct HoldDraft {
    pub(crate) nx: Maybe<Duration>,
    pub(crate) refused: Maybe<Duration>,
    pub(crate) timeout: Maybe<Duration>,
    pub(crate) other: Maybe<Duration>,
    pub(crate) obsolete: Maybe<Duration>,
}

/// What a server says of how its name is kept resolved.
#[derive(Clone, Debug, Default)]
pub(crate) struct ResolutionDraft {
    pub(crate) resolvers: Maybe<String>,
    pub(crate) prefer: Maybe<Prefer>,
    pub(crate) nets: Maybe<Vec<IpNet>>,
    pub(crate) allows_duplicates: Maybe<bool>,
    pub(crate) ignores_weight: Maybe<bool>,
}

impl ResolutionDraft {
    /// What is said here, else what `base` says.
    pub(crate) fn or(self, base: &Self) -> Self {
        Self {
            resolvers: self.resolvers.or_else(|| base.resolvers.clone()),
            prefer: self.prefer.or_else(|| base.prefer.clone()),
            nets: self.nets.or_else(|| base.nets.clone()),
            allows_duplicates: self
                .allows_duplicates
                .or_else(|| base.allows_duplicates.clone()),
            ignores_weight: self.ignores_weight.or_else(|| base.ignores_weight.clone()),
        }
    }
}
