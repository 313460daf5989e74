//! The sockets that take commands, in `[admin]`.

use std::path::PathBuf;

use ::toml::de::DeValue;

use super::fields::{Fields, File};
use super::values::{must_be, time, whole, word};
use super::{ANY_COUNT, keys, one_or_many, path, privileges, replace, required};
use crate::draft::{
    AccessDraft, BindDraft, BindNet, RuntimeDraft, SavedDraft, SavedFrom, Spanned, StatsSocketDraft,
};

pub(super) fn runtime(file: &File<'_>, fields: &mut Fields<'_, '_>, draft: &mut RuntimeDraft) {
    if let Some(value) = fields.value("socket") {
        draft.sockets = one_or_many(value)
            .filter_map(|value| {
                let place = file.place(value.span().start);
                match value.get_ref() {
                    DeValue::String(text) => Some(StatsSocketDraft {
                        bind: bind(Spanned::new(text.clone().into_owned(), place)),
                        level: None,
                    }),
                    DeValue::Table(table) => file.fields(&keys::STATS_SOCKET, table, |fields| {
                        let level = fields.take("level", word);
                        let access = privileges::access(fields);
                        let address = required(file, fields, "address", &place, "socket")?;
                        Some(StatsSocketDraft {
                            bind: BindDraft {
                                access,
                                ..bind(address)
                            },
                            level,
                        })
                    }),
                    other => {
                        let message = must_be("an address, a table or a list of them", other);
                        file.error(place, format!("'socket' {message}"));
                        None
                    }
                }
            })
            .collect();
    }
    replace(&mut draft.timeout, fields.take("socket-timeout", time));
    let visitors = fields.take("socket-maxconn", whole(ANY_COUNT));
    replace(&mut draft.maxconn, visitors);
}

fn bind(address: Spanned<String>) -> BindDraft {
    BindDraft {
        address,
        name: None,
        maxconn: None,
        backlog: None,
        interface: None,
        ip_versions: None,
        transparent: None,
        tcp_user_timeout: None,
        access: AccessDraft::default(),
        net: BindNet::default(),
    }
}

/// What a backend takes over at start.
pub(super) fn saved(fields: &mut Fields<'_, '_>) -> SavedDraft {
    let file = fields.take("server-state", path);
    let from = |file: &Spanned<PathBuf>| Spanned::new(SavedFrom::Local, file.place.clone());
    SavedDraft {
        from: file.as_ref().map(from),
        file,
    }
}
