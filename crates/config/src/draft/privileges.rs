//! What the text says of rights; see [`crate::Privileges`], [`crate::UnixAccess`] and
//! [`crate::Descriptors`].

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::Maybe;
use crate::{Account, Capability};

#[derive(Clone, Debug, Default)]
pub(crate) struct PrivilegesDraft {
    pub(crate) user: Maybe<Account>,
    pub(crate) group: Maybe<Account>,
    pub(crate) chroot: Maybe<PathBuf>,
    pub(crate) capabilities: Maybe<BTreeSet<Capability>>,
    pub(crate) dumpable: Maybe<bool>,
    pub(crate) setuid_programs: Maybe<bool>,
    pub(crate) ulimit: Maybe<u64>,
    pub(crate) fd_hard_limit: Maybe<u64>,
    pub(crate) unix_bind: UnixBindDraft,
}

/// What `unix-bind` says for every Unix socket that says nothing else.
#[derive(Clone, Debug, Default)]
pub(crate) struct UnixBindDraft {
    /// Stands before every path.
    pub(crate) prefix: Maybe<String>,
    pub(crate) access: AccessDraft,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct AccessDraft {
    pub(crate) mode: Maybe<u32>,
    pub(crate) user: Maybe<Account>,
    pub(crate) group: Maybe<Account>,
}
