//! A TOML table being written.

use std::fmt::Display;
use std::time::Duration;

use crate::Keepalive;
use crate::draft::Maybe;
use crate::toml::{show_limit, show_text};

/// Keys, dotted ones among them, and values as they will stand in the file.
pub(super) struct Table {
    path: String,
    pub(super) rows: Vec<(String, String)>,
}

impl Table {
    pub(super) fn new(path: &str) -> Self {
        Self {
            path: path.to_owned(),
            rows: Vec::new(),
        }
    }

    pub(super) fn set(&mut self, key: &str, value: String) {
        self.rows.push((key.to_owned(), value));
    }

    pub(super) fn set_if(&mut self, is_said: bool, key: &str, value: impl Display) {
        if is_said {
            self.set(key, value.to_string());
        }
    }

    pub(super) fn set_some(&mut self, key: &str, value: Option<impl Display>) {
        if let Some(value) = value {
            self.set(key, value.to_string());
        }
    }

    pub(super) fn set_text(&mut self, key: &str, value: &Maybe<String>) {
        self.set_some(key, value.as_ref().map(|said| show_text(&said.value)));
    }

    /// Zero means in drafts that nothing is asked for.
    pub(super) fn set_number<T: Copy + Display + Default + PartialEq>(
        &mut self,
        key: &str,
        value: &Maybe<T>,
    ) {
        let said = value.as_ref().map(|said| said.value);
        self.set_some(key, said.filter(|number| *number != T::default()));
    }

    pub(super) fn set_limit(
        &mut self,
        key: &str,
        limit: Option<Duration>,
        default: Option<Duration>,
    ) {
        self.set_if(limit != default, key, show_limit(limit));
    }

    pub(super) fn set_keepalive(
        &mut self,
        keepalive: Option<Keepalive>,
        default: Option<Keepalive>,
    ) {
        if keepalive == default {
            return;
        }
        let Some(Keepalive {
            idle,
            interval,
            probes,
        }) = keepalive
        else {
            return self.set("keepalive", "false".to_owned());
        };
        let mut table = Table::new("");
        table.set_some("idle", idle.map(|_| show_limit(idle)));
        table.set_some("interval", interval.map(|_| show_limit(interval)));
        table.set_some("probes", probes);
        let is_system = table.rows.is_empty();
        self.set(
            "keepalive",
            if is_system {
                "true".to_owned()
            } else {
                table.inline()
            },
        );
    }

    /// As a section of the file.
    pub(super) fn print(&self, page: &mut String) {
        let gap = if page.is_empty() { "" } else { "\n" };
        page.push_str(&format!("{gap}[{}]\n", self.path));
        for (key, value) in &self.rows {
            page.push_str(&format!("{key} = {value}\n"));
        }
    }

    /// As a value on one line.
    pub(super) fn inline(&self) -> String {
        let rows: Vec<String> = self
            .rows
            .iter()
            .map(|(key, value)| format!("{key} = {value}"))
            .collect();
        format!("{{ {} }}", rows.join(", "))
    }

    /// As its only value, the address, or on one line.
    pub(super) fn short(&self) -> String {
        match self.rows.as_slice() {
            [(_, address)] => address.clone(),
            _ => self.inline(),
        }
    }
}

/// A value alone, or each on a line of its own.
pub(super) fn one_or_list(values: Vec<String>) -> String {
    match values.as_slice() {
        [] => "[]".to_owned(),
        [one] => one.clone(),
        many => format!("[\n    {},\n]", many.join(",\n    ")),
    }
}
