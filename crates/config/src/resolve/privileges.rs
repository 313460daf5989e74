//! Rights of the process and of the Unix sockets that it makes.

use super::value;
use crate::draft::{AccessDraft, Maybe, PrivilegesDraft};
use crate::{Account, BindAddress, Descriptors, Identity, Jail, Privileges, UnixAccess};

pub(super) fn privileges(draft: &PrivilegesDraft) -> Privileges {
    let draft = draft.clone();
    let identity = |account: Maybe<Account>| {
        // HAProxy's zero is nobody in particular: it changes nothing.
        let account = account.filter(|account| account.value != Account::Id(0))?;
        Some(Identity {
            account: account.value,
            place: account.place,
        })
    };
    Privileges {
        user: identity(draft.user),
        group: identity(draft.group),
        chroot: draft.chroot.map(|jail| Jail {
            path: jail.value,
            place: jail.place,
        }),
        capabilities: value(draft.capabilities).unwrap_or_default(),
        dumpable: value(draft.dumpable).unwrap_or(false),
        setuid_programs: value(draft.setuid_programs).unwrap_or(false),
    }
}

pub(super) fn descriptors(draft: &PrivilegesDraft) -> Descriptors {
    let number = |field: &Maybe<u64>| value(field.clone()).filter(|number| *number > 0);
    Descriptors {
        at_least: number(&draft.ulimit),
        at_most: number(&draft.fd_hard_limit).unwrap_or(Descriptors::default().at_most),
    }
}

/// What is said of a Unix socket; nothing for what is no file.
pub(super) fn access(address: &BindAddress, draft: &AccessDraft) -> UnixAccess {
    if !matches!(address, BindAddress::Unix(_)) {
        return UnixAccess::default();
    }
    UnixAccess {
        mode: value(draft.mode.clone()),
        user: value(draft.user.clone()),
        group: value(draft.group.clone()),
    }
}
