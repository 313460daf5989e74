//! A TOML table being read: each key asked for by name, each mistake noted with its place, and
//! what nobody asked for reported as unknown. Reading goes on after a mistake, so that all of them
//! are told at once.

use std::cell::RefCell;
use std::sync::Arc;

use ::toml::Spanned as TomlSpanned;
use ::toml::de::{DeTable, DeValue};

use super::keys::Section;
use crate::draft::{Maybe, Spanned};
use crate::resolve::did_you_mean;
use crate::{Place, Problem};

/// One file being read.
pub(super) struct File<'t> {
    name: Arc<str>,
    text: &'t str,
    /// Byte offset of each line's first character.
    lines: Vec<usize>,
    problems: RefCell<Vec<Problem>>,
}

impl<'t> File<'t> {
    pub(super) fn new(name: &str, text: &'t str) -> Self {
        let after_breaks = text.match_indices('\n').map(|(offset, _)| offset + 1);
        Self {
            name: Arc::from(name),
            text,
            lines: std::iter::once(0).chain(after_breaks).collect(),
            problems: RefCell::default(),
        }
    }

    /// The place of the character at byte `offset`.
    pub(super) fn place(&self, offset: usize) -> Place {
        let line = self.lines.partition_point(|&start| start <= offset).max(1);
        let before = self.text.get(self.lines[line - 1]..offset).unwrap_or("");
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        Place {
            file: self.name.clone(),
            line: count(line),
            column: count(before.chars().count() + 1),
        }
    }

    pub(super) fn error(&self, place: Place, message: String) {
        self.problems
            .borrow_mut()
            .push(Problem::error(place, message));
    }

    pub(super) fn into_problems(self) -> Vec<Problem> {
        self.problems.into_inner()
    }

    /// Reads the keys of one table, which is a `section` whatever its name.
    pub(super) fn fields<R>(
        &self,
        section: &'static Section,
        table: &DeTable<'_>,
        read: impl FnOnce(&mut Fields<'_, '_>) -> R,
    ) -> R {
        let mut fields = Fields {
            file: self,
            section,
            table,
            asked: Vec::new(),
        };
        let result = read(&mut fields);
        let asked = fields.asked;
        debug_assert!(
            section.keys.iter().all(|key| asked.contains(&key.name)),
            "{} documents keys that are not read: read {asked:?}",
            section.title(),
        );
        for (key, _) in table {
            let name = key.get_ref().as_ref();
            if asked.contains(&name) {
                continue;
            }
            let hint = did_you_mean(name, asked.iter().copied());
            let message = format!("unknown key '{name}' in {}{hint}", section.title());
            self.error(self.place(key.span().start), message);
        }
        result
    }
}

/// The keys of one table.
pub(super) struct Fields<'f, 't> {
    file: &'f File<'f>,
    section: &'static Section,
    table: &'t DeTable<'t>,
    asked: Vec<&'static str>,
}

/// A table inside another, and where its key stands.
pub(super) struct Entry<'t> {
    pub(super) name: Spanned<String>,
    pub(super) value: &'t TomlSpanned<DeValue<'t>>,
}

impl<'f, 't> Fields<'f, 't> {
    /// The value of `key` as `read` understands it; what it does not is noted as `'key' message`.
    pub(super) fn take<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&DeValue<'_>) -> Result<T, String>,
    ) -> Maybe<T> {
        let value = self.value(key)?;
        let place = self.file.place(value.span().start);
        match read(value.get_ref()) {
            Ok(value) => Some(Spanned::new(value, place)),
            Err(message) => {
                self.file.error(place, format!("'{key}' {message}"));
                None
            }
        }
    }

    /// The value of `key` for a caller that reads it itself.
    pub(super) fn value(&mut self, key: &'static str) -> Option<&'t TomlSpanned<DeValue<'t>>> {
        debug_assert!(
            self.section
                .keys
                .iter()
                .any(|documented| documented.name == key),
            "'{key}' is not documented in {}",
            self.section.title(),
        );
        self.asked.push(key);
        self.table.get(key)
    }

    /// The table that is `key`'s value.
    pub(super) fn table(&mut self, key: &'static str) -> Option<&'t DeTable<'t>> {
        let value = self.value(key)?;
        let table = value.get_ref().as_table();
        if table.is_none() {
            let place = self.file.place(value.span().start);
            self.file.error(
                place,
                format!("'{key}' must be a table, as in [{key}.name]"),
            );
        }
        table
    }

    /// The entries of the table that is `key`'s value, in the order of the file.
    pub(super) fn entries(&mut self, key: &'static str) -> Vec<Entry<'t>> {
        let Some(table) = self.table(key) else {
            return Vec::new();
        };
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(name, _)| name.span().start);
        let named = |(name, value): (&TomlSpanned<_>, _)| {
            let name = Spanned::new(name_text(name), self.file.place(name.span().start));
            Entry { name, value }
        };
        entries.into_iter().map(named).collect()
    }
}

fn name_text(name: &TomlSpanned<std::borrow::Cow<'_, str>>) -> String {
    name.get_ref().clone().into_owned()
}
