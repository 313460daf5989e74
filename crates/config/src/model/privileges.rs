//! With which rights the process serves (HAProxy manual, section 3.1), and whose the Unix sockets
//! are that it makes. Accounts stay as the file names them: what number a name has is a matter of
//! the machine that serves.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::Place;

/// What is given up once everything is bound, and what is kept.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Privileges {
    /// `user` or `uid`; `None`: the one that starts the process.
    pub user: Option<Identity>,
    /// `group` or `gid`; `None`: the one that starts the process.
    pub group: Option<Identity>,
    /// `chroot`; `None`: the root directory stays.
    pub chroot: Option<Jail>,
    /// `setcap`: what root alone may do and the process still can as another user.
    pub capabilities: BTreeSet<Capability>,
    /// `set-dumpable`: whether the process leaves a core when it crashes as another user.
    pub dumpable: bool,
    /// `insecure-setuid-wanted`: whether a program that it ran could gain rights.
    pub setuid_programs: bool,
}

impl Privileges {
    /// The accounts that the process changes to, `true` for a user, and where they are named.
    pub fn identities(&self) -> impl Iterator<Item = (bool, &Identity)> {
        let user = self.user.iter().map(|user| (true, user));
        user.chain(self.group.iter().map(|group| (false, group)))
    }

    /// The same as if it came from nowhere.
    pub(super) fn forget_places(&mut self, nowhere: &Place) {
        for identity in self.user.iter_mut().chain(&mut self.group) {
            identity.place = nowhere.clone();
        }
        if let Some(jail) = &mut self.chroot {
            jail.place = nowhere.clone();
        }
    }
}

/// An account and where it is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Which.
    pub account: Account,
    /// Where it stands.
    pub place: Place,
}

/// A user or a group.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Account {
    /// By name, as in /etc/passwd or /etc/group.
    Named(String),
    /// By number.
    Id(u32),
}

/// The directory that becomes the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jail {
    /// Which.
    pub path: PathBuf,
    /// Where it stands.
    pub place: Place,
}

/// What only root may do unless it is kept (capabilities(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Capability {
    /// `cap_net_admin`.
    NetAdmin,
    /// `cap_net_bind_service`: ports below 1024.
    NetBindService,
    /// `cap_net_raw`: addresses that are not this machine's.
    NetRaw,
    /// `cap_sys_admin`.
    SysAdmin,
}

/// Whose a Unix socket is and who may connect to it; what is not said is as the process that binds
/// it makes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct UnixAccess {
    /// `mode`: permission bits.
    pub mode: Option<u32>,
    /// `user` or `uid`.
    pub user: Option<Account>,
    /// `group` or `gid`.
    pub group: Option<Account>,
}

impl UnixAccess {
    /// Whether nothing is said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// How many descriptors the process may open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptors {
    /// `ulimit-n`: at least so many; `None`: as many as its connections need.
    pub at_least: Option<u64>,
    /// `fd-hard-limit`: no more are counted on where `maxconn` is not set.
    pub at_most: u64,
}

impl Default for Descriptors {
    /// Unlimited descriptors (containers have a limit of a billion) must not be taken for unlimited
    /// connections: HAProxy stops at a million, too.
    fn default() -> Self {
        Self {
            at_least: None,
            at_most: 1_048_576,
        }
    }
}
