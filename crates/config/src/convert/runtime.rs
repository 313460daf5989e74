//! The sockets that take commands.

use super::privileges;
use super::table::{Table, one_or_list};
use crate::draft::StatsSocketDraft;
use crate::toml::{show_limit, show_text};
use crate::words::Word;
use crate::{AccessLevel, Runtime};

pub(super) fn runtime(
    table: &mut Table,
    drafts: &[StatsSocketDraft],
    runtime: &Runtime,
    default: &Runtime,
) {
    let sockets: Vec<String> = drafts.iter().map(socket).collect();
    table.set_if(!sockets.is_empty(), "socket", one_or_list(sockets));
    table.set_if(
        runtime.timeout != default.timeout,
        "socket-timeout",
        show_limit(Some(runtime.timeout)),
    );
    table.set_if(
        runtime.maxconn != default.maxconn,
        "socket-maxconn",
        runtime.maxconn,
    );
}

fn socket(draft: &StatsSocketDraft) -> String {
    let mut table = Table::new("");
    table.set("address", show_text(&draft.bind.address.value));
    let level = draft.level.as_ref().map(|level| level.value);
    let level = level.filter(|level| *level != AccessLevel::Operator);
    table.set_some("level", level.map(|level| show_text(level.word())));
    privileges::access(&mut table, &draft.bind.access);
    table.short()
}
