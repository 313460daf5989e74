//! A TOML table being read: each key asked for by name, each mistake noted with its place, and
//! what nobody asked for reported as unknown. Reading goes on after a mistake, so that all of them
//! are told at once.

use std::cell::RefCell;
use std::sync::Arc;

use ::toml::Spanned as TomlSpanned;
use ::toml::de::{DeTable, DeValue};

use super::sections::Section;
use super::values::must_be;
use crate::draft::{Maybe, Spanned};
use crate::resolve::did_you_mean;
use crate::{Place, Problem, Source};

/// One file being read.
pub struct File<'t> {
    name: Arc<str>,
    text: &'t str,
    /// Byte offset of each line's first character.
    lines: Vec<usize>,
    problems: RefCell<Vec<Problem>>,
}

/// Hands the top table of `source` to `read` and returns every problem that was noted. A text that is
/// no TOML is not handed over: each mistake is a problem, as is the first byte that is not UTF-8.
pub fn read_tables(source: &Source, read: impl FnOnce(&File<'_>, &DeTable<'_>)) -> Vec<Problem> {
    let text = match std::str::from_utf8(&source.text) {
        Ok(text) => text,
        Err(error) => {
            let valid = String::from_utf8_lossy(&source.text[..error.valid_up_to()]);
            let place = File::new(&source.name, &valid).place(valid.len());
            return vec![Problem::error(place, "not UTF-8 from here on".to_owned())];
        }
    };
    let file = File::new(&source.name, text);
    let (document, mistakes) = DeTable::parse_recoverable(text);
    if mistakes.is_empty() {
        read(&file, document.get_ref());
    }
    for mistake in mistakes {
        let place = file.place(mistake.span().map_or(0, |span| span.start));
        file.error(place, mistake.message().to_owned());
    }
    file.into_problems()
}

impl<'t> File<'t> {
    fn new(name: &str, text: &'t str) -> Self {
        let after_breaks = text.match_indices('\n').map(|(offset, _)| offset + 1);
        Self {
            name: Arc::from(name),
            text,
            lines: std::iter::once(0).chain(after_breaks).collect(),
            problems: RefCell::default(),
        }
    }

    /// The place of the character at byte `offset`.
    #[must_use]
    pub fn place(&self, offset: usize) -> Place {
        let line = self.lines.partition_point(|&start| start <= offset).max(1);
        let before = self.text.get(self.lines[line - 1]..offset).unwrap_or("");
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        Place {
            file: self.name.clone(),
            line: count(line),
            column: count(before.chars().count() + 1),
        }
    }

    /// Notes what stops the file from loading.
    pub fn error(&self, place: Place, message: String) {
        self.problems
            .borrow_mut()
            .push(Problem::error(place, message));
    }

    /// Notes what the operator should know.
    pub fn warning(&self, place: Place, message: String) {
        self.problems
            .borrow_mut()
            .push(Problem::warning(place, message));
    }

    fn into_problems(self) -> Vec<Problem> {
        self.problems.into_inner()
    }

    /// Reads the keys of one table, which is a `section` whatever its name.
    pub fn fields<R>(
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
pub struct Fields<'f, 't> {
    file: &'f File<'f>,
    section: &'static Section,
    table: &'t DeTable<'t>,
    asked: Vec<&'static str>,
}

/// A table inside another, and where its key stands.
pub struct Entry<'t> {
    /// Its key.
    pub name: Spanned<String>,
    /// Its value, which may be of any type.
    pub value: &'t TomlSpanned<DeValue<'t>>,
}

impl<'f, 't> Fields<'f, 't> {
    /// The value of `key` as `read` understands it; what it does not is noted as `'key' message`.
    pub fn take<T>(
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
    pub fn value(&mut self, key: &'static str) -> Option<&'t TomlSpanned<DeValue<'t>>> {
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
    pub fn table(&mut self, key: &'static str) -> Option<&'t DeTable<'t>> {
        let value = self.value(key)?;
        let table = value.get_ref().as_table();
        if table.is_none() {
            let place = self.file.place(value.span().start);
            let message = must_be("a table", value.get_ref());
            self.file.error(place, format!("'{key}' {message}"));
        }
        table
    }

    /// The entries of the table that is `key`'s value, in the order of the file.
    pub fn entries(&mut self, key: &'static str) -> Vec<Entry<'t>> {
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
