//! What `global` says of rights and descriptors (HAProxy manual, section 3.1).

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::{Line, Reader, Word};
use crate::draft::{AccessDraft, BindDraft, Maybe, Spanned, UnixBindDraft};
use crate::resolve::did_you_mean;
use crate::words::Word as _;
use crate::{Account, Capability};

/// `user NAME`, `uid NUMBER`.
pub(super) fn user(reader: &mut Reader<'_>, line: &Line<'_>) {
    if let Some(account) = own_account(reader, line) {
        let already = reader.draft.global.privileges.user.is_some();
        if is_first(reader, line, already) {
            reader.draft.global.privileges.user = Some(account);
        }
    }
}

/// `group NAME`, `gid NUMBER`.
pub(super) fn group(reader: &mut Reader<'_>, line: &Line<'_>) {
    if let Some(account) = own_account(reader, line) {
        let already = reader.draft.global.privileges.group.is_some();
        if is_first(reader, line, already) {
            reader.draft.global.privileges.group = Some(account);
        }
    }
}

fn own_account(reader: &mut Reader<'_>, line: &Line<'_>) -> Maybe<Account> {
    let word = reader.one(line)?;
    account(reader, line, line.name, word)
}

/// Warns of a second line of which the first counts.
fn is_first(reader: &mut Reader<'_>, line: &Line<'_>, already: bool) -> bool {
    if already {
        let kind = match line.name {
            "user" | "uid" => "user/uid",
            "group" | "gid" => "group/gid",
            name => name,
        };
        let message = format!("'{kind}' is already specified; the first one counts");
        reader.warning(line.here(), message);
    }
    !already
}

/// What `user`, `group` (names), `uid` and `gid` (numbers) say, here and of a Unix socket.
pub(super) fn account(
    reader: &mut Reader<'_>,
    line: &Line<'_>,
    name: &str,
    word: &Word,
) -> Maybe<Account> {
    if matches!(name, "user" | "group") {
        if word.text.is_empty() {
            reader.error(line.place(word), format!("'{name}' needs a name after it"));
            return None;
        }
        return Some(line.spanned(word, Account::Named(word.text.clone())));
    }
    match word.text.parse::<u32>() {
        // The last one means "no change" to the kernel.
        Ok(id) if id < u32::MAX => Some(line.spanned(word, Account::Id(id))),
        _ if word
            .text
            .starts_with(|c: char| c == '-' || c.is_ascii_digit()) =>
        {
            let message = format!(
                "'{name}' must be between 0 and {}, not {}",
                u32::MAX - 1,
                word.text
            );
            reader.error(line.place(word), message);
            None
        }
        // HAProxy reads on, with the number zero, which changes nothing.
        _ => {
            let by_name = if name == "uid" { "user" } else { "group" };
            let message = format!(
                "'{name}' has no effect: '{}' is not a number; use '{by_name}' for a name",
                word.text
            );
            reader.warning(line.place(word), message);
            None
        }
    }
}

pub(super) fn chroot(reader: &mut Reader<'_>, line: &Line<'_>) {
    let Some(word) = line.args().first() else {
        return reader.error(line.here(), "'chroot' needs a directory after it");
    };
    reader.no_more(line, 1);
    let already = reader.draft.global.privileges.chroot.is_some();
    if is_first(reader, line, already) {
        let directory = line.spanned(word, PathBuf::from(&word.text));
        reader.draft.global.privileges.chroot = Some(directory);
    }
}

pub(super) fn ulimit_n(reader: &mut Reader<'_>, line: &Line<'_>) {
    if let Some(number) = descriptors(reader, line) {
        let already = reader.draft.global.privileges.ulimit.is_some();
        if is_first(reader, line, already) {
            reader.draft.global.privileges.ulimit = Some(number);
        }
    }
}

pub(super) fn fd_hard_limit(reader: &mut Reader<'_>, line: &Line<'_>) {
    if let Some(number) = descriptors(reader, line) {
        let already = reader.draft.global.privileges.fd_hard_limit.is_some();
        if is_first(reader, line, already) {
            reader.draft.global.privileges.fd_hard_limit = Some(number);
        }
    }
}

/// A number of descriptors; HAProxy reads a word that is none as zero, which asks for nothing.
fn descriptors(reader: &mut Reader<'_>, line: &Line<'_>) -> Maybe<u64> {
    let word = reader.one(line)?;
    match word.text.parse::<u32>() {
        Ok(number) => Some(line.spanned(word, number.into())),
        Err(_) => {
            let message = format!(
                "'{}' has no effect: '{}' is no number of descriptors",
                line.name, word.text
            );
            reader.warning(line.place(word), message);
            None
        }
    }
}

pub(super) fn set_dumpable(reader: &mut Reader<'_>, line: &Line<'_>) {
    reader.no_more(line, 0);
    reader.draft.global.privileges.dumpable = Some(line.spanned(&line.words[0], !line.negated));
}

pub(super) fn insecure_setuid_wanted(reader: &mut Reader<'_>, line: &Line<'_>) {
    reader.no_more(line, 0);
    let wanted = line.spanned(&line.words[0], !line.negated);
    reader.draft.global.privileges.setuid_programs = Some(wanted);
}

/// `setcap NAME[,NAME...]`.
pub(super) fn setcap(reader: &mut Reader<'_>, line: &Line<'_>) {
    let names = || Capability::ALL.iter().map(|(name, _)| *name);
    let known = names().collect::<Vec<_>>().join(", ");
    let Some(word) = line.args().first() else {
        let message = format!("'setcap' needs capabilities after it, of {known}");
        return reader.error(line.here(), message);
    };
    reader.no_more(line, 1);
    let mut wanted = BTreeSet::new();
    for name in word.text.split(',').map(str::trim) {
        match Capability::ALL.iter().find(|(known, _)| *known == name) {
            Some((_, capability)) => drop(wanted.insert(*capability)),
            None => {
                let mut hint = did_you_mean(name, names());
                if hint.is_empty() {
                    hint = format!("; it is one of {known}");
                }
                let message = format!("'setcap': unsupported capability '{name}'{hint}");
                reader.error(line.place(word), message);
            }
        }
    }
    reader.draft.global.privileges.capabilities = Some(line.spanned(word, wanted));
}

/// `unix-bind [prefix P] [mode M] [user U] [uid N] [group G] [gid N]`.
pub(super) fn unix_bind(reader: &mut Reader<'_>, line: &Line<'_>) {
    const OPTIONS: [&str; 6] = ["prefix", "mode", "user", "uid", "group", "gid"];
    let mut words = line.args().iter();
    while let Some(option) = words.next() {
        let name = option.text.as_str();
        if !OPTIONS.contains(&name) {
            let mut hint = did_you_mean(name, OPTIONS.into_iter());
            if hint.is_empty() {
                hint = format!("; it is one of {}", OPTIONS.join(", "));
            }
            let message = format!("'unix-bind' has no option '{name}'{hint}");
            return reader.error(line.place(option), message);
        }
        let Some(word) = words.next() else {
            let message = format!("'unix-bind {name}' needs a value after it");
            return reader.error(line.place(option), message);
        };
        if name == "prefix" {
            let prefix = line.spanned(word, word.text.clone());
            reader.draft.global.privileges.unix_bind.prefix = Some(prefix);
        } else {
            let mut access = reader.draft.global.privileges.unix_bind.access.clone();
            access_option(reader, line, name, word, &mut access);
            reader.draft.global.privileges.unix_bind.access = access;
        }
    }
}

/// `mode`, `user`, `uid`, `group` or `gid` of a Unix socket.
pub(super) fn access_option(
    reader: &mut Reader<'_>,
    line: &Line<'_>,
    name: &str,
    word: &Word,
    access: &mut AccessDraft,
) {
    match name {
        "mode" => access.mode = mode(reader, line, word).or(access.mode.take()),
        "user" | "uid" => {
            access.user = account(reader, line, name, word).or(access.user.take());
        }
        _ => access.group = account(reader, line, name, word).or(access.group.take()),
    }
}

/// Permission bits in octal.
fn mode(reader: &mut Reader<'_>, line: &Line<'_>, word: &Word) -> Maybe<u32> {
    match u32::from_str_radix(&word.text, 8) {
        Ok(mode) if mode <= 0o7777 => Some(line.spanned(word, mode)),
        _ => {
            let message = format!(
                "'mode' needs permission bits in octal, as in 660, not '{}'",
                word.text
            );
            reader.error(line.place(word), message);
            None
        }
    }
}

/// `binds` with what `unix-bind` says of those that are Unix sockets and say nothing else.
pub(super) fn with_unix_bind(binds: &[BindDraft], usual: &UnixBindDraft) -> Vec<BindDraft> {
    let many = binds.iter().flat_map(|bind| {
        let is_list_with_path = bind.address.value.contains(',') && usual.prefix.is_some();
        if is_list_with_path {
            one_by_one(bind)
        } else {
            vec![bind.clone()]
        }
    });
    let filled = many.map(|mut bind| {
        let Some(path) = unix_path(&bind.address.value) else {
            bind.access = AccessDraft::default();
            return bind;
        };
        if let Some(prefix) = &usual.prefix {
            bind.address.value = format!("unix@{}{path}", prefix.value);
        }
        let (own, usual) = (&mut bind.access, usual.access.clone());
        own.mode = own.mode.take().or(usual.mode);
        own.user = own.user.take().or(usual.user);
        own.group = own.group.take().or(usual.group);
        bind
    });
    filled.collect()
}

/// One draft for each address of a list.
fn one_by_one(bind: &BindDraft) -> Vec<BindDraft> {
    let list = bind.address.value.trim_end_matches(',');
    let mut place = bind.address.place.clone();
    let one = |text: &str| {
        let address = Spanned::new(text.to_owned(), place.clone());
        place.column += u32::try_from(text.chars().count() + 1).unwrap_or(0);
        BindDraft {
            address,
            ..bind.clone()
        }
    };
    list.split(',').map(one).collect()
}

/// The path, if this is the address of a Unix socket.
pub(super) fn unix_path(address: &str) -> Option<&str> {
    if address.starts_with('/') {
        return Some(address);
    }
    let (kind, path) = address.split_once('@')?;
    matches!(kind, "unix" | "uxst" | "stream+unix").then_some(path)
}
