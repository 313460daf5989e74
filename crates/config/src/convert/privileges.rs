//! Rights of the process and of Unix sockets.

use super::table::Table;
use crate::draft::{AccessDraft, Maybe};
use crate::toml::show_text;
use crate::words::Word;
use crate::{Account, Descriptors, Global};

pub(super) fn privileges(table: &mut Table, global: &Global) {
    let rights = &global.privileges;
    let shown = |identity: &crate::Identity| show_account(&identity.account);
    table.set_some("user", rights.user.as_ref().map(shown));
    table.set_some("group", rights.group.as_ref().map(shown));
    let jail = rights.chroot.as_ref();
    let jail = jail.map(|jail| show_text(&jail.path.to_string_lossy()));
    table.set_some("chroot", jail);
    let kept: Vec<String> = rights
        .capabilities
        .iter()
        .map(|capability| show_text(capability.word()))
        .collect();
    table.set_if(
        !kept.is_empty(),
        "capabilities",
        format!("[{}]", kept.join(", ")),
    );
    table.set_if(rights.dumpable, "dumpable", true);
    table.set_if(rights.setuid_programs, "insecure-setuid", true);
    table.set_some("ulimit", global.descriptors.at_least);
    let most = global.descriptors.at_most;
    let is_said = most != Descriptors::default().at_most;
    table.set_if(is_said, "fd-hard-limit", most);
}

pub(super) fn access(table: &mut Table, access: &AccessDraft) {
    let mode = access.mode.as_ref();
    let mode = mode.map(|mode| show_text(&format!("{:o}", mode.value)));
    table.set_some("mode", mode);
    let shown = |account: &Maybe<Account>| account.as_ref().map(|said| show_account(&said.value));
    table.set_some("user", shown(&access.user));
    table.set_some("group", shown(&access.group));
}

fn show_account(account: &Account) -> String {
    match account {
        Account::Named(name) => show_text(name),
        Account::Id(id) => id.to_string(),
    }
}
