//! Rights of the process and of Unix sockets, in `[global]` and of a bind.

use std::collections::BTreeSet;

use ::toml::de::DeValue;

use super::fields::Fields;
use super::values::{flag, must_be, whole};
use super::{path, replace};
use crate::draft::{AccessDraft, PrivilegesDraft};
use crate::words::Word;
use crate::{Account, Capability};

pub(super) fn privileges(fields: &mut Fields<'_, '_>, draft: &mut PrivilegesDraft) {
    replace(&mut draft.user, fields.take("user", account));
    replace(&mut draft.group, fields.take("group", account));
    replace(&mut draft.chroot, fields.take("chroot", path));
    let kept = fields.take("capabilities", capabilities);
    replace(&mut draft.capabilities, kept);
    replace(&mut draft.dumpable, fields.take("dumpable", flag));
    let setuid = fields.take("insecure-setuid", flag);
    replace(&mut draft.setuid_programs, setuid);
    let number = || whole(1..=i64::from(u32::MAX));
    replace(&mut draft.ulimit, fields.take("ulimit", number()));
    let most = fields.take("fd-hard-limit", number());
    replace(&mut draft.fd_hard_limit, most);
}

pub(super) fn access(fields: &mut Fields<'_, '_>) -> AccessDraft {
    AccessDraft {
        mode: fields.take("mode", mode),
        user: fields.take("user", account),
        group: fields.take("group", account),
    }
}

/// A name, or a number as an integer.
fn account(value: &DeValue<'_>) -> Result<Account, String> {
    match value.as_str() {
        Some("") => Err("must not be empty".into()),
        Some(name) => Ok(Account::Named(name.to_owned())),
        None => whole::<u32>(0..=i64::from(u32::MAX) - 1)(value)
            .map(Account::Id)
            .map_err(|_| must_be("a name, or a number from 0 to 4294967294", value)),
    }
}

/// Permission bits as `chmod` takes them.
fn mode(value: &DeValue<'_>) -> Result<u32, String> {
    let bits = value
        .as_str()
        .and_then(|text| u32::from_str_radix(text, 8).ok());
    bits.filter(|bits| *bits <= 0o7777)
        .ok_or_else(|| must_be("permission bits as a string, as in \"660\"", value))
}

fn capabilities(value: &DeValue<'_>) -> Result<BTreeSet<Capability>, String> {
    let known = Capability::ALL.iter().map(|(word, _)| *word);
    let wrong = |value| {
        let known = known.clone().collect::<Vec<_>>().join("\", \"");
        must_be(&format!("a list of \"{known}\""), value)
    };
    let list = value.as_array().ok_or_else(|| wrong(value))?;
    let kept = list.iter().map(|item| {
        let item = item.get_ref();
        super::values::word::<Capability>(item).map_err(|_| wrong(item))
    });
    kept.collect()
}
