//! Whether a table of `[kubeadm]` is what kubeadm, kubelet or kube-proxy reads, at every level. kubeadm
//! itself passes over fields that it does not know with a warning, and a setting would be lost.

use evenkeel_config::tables::{File, did_you_mean, must_be, show_text};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::schema::{ARGUMENT, CHECK_BEGINNINGS, CHECKS, Field, Shape};
use crate::inventory::go_duration;

/// A document, and what of it is not to be said here.
pub(super) struct Rules {
    /// `InitConfiguration` and the like.
    pub(super) kind: &'static str,
    /// Its fields.
    pub(super) fields: &'static [Field],
    /// Paths that are refused, and why.
    pub(super) refused: &'static [(&'static str, &'static str)],
    /// Where else a field of a name may belong: a table of `[kubeadm]`, and its fields.
    pub(super) others: &'static [(&'static str, &'static [Field])],
}

/// Notes everything in `table` that does not conform.
pub(super) fn check(file: &File<'_>, rules: &Rules, table: &DeTable<'_>) {
    Walk { file, rules }.fields(table, rules.fields, "");
}

/// Whether kubeadm has a check of that name.
pub(super) fn check_name(value: &DeValue<'_>) -> Result<String, String> {
    let example = "the name of a check of kubeadm, as in \"NumCPU\"";
    let Some(name) = value.as_str() else {
        return Err(must_be(example, value));
    };
    let small = name.to_ascii_lowercase();
    let begins = |beginning: &&str| {
        let beginning = beginning.to_ascii_lowercase();
        small.len() > beginning.len() && small.starts_with(&beginning)
    };
    if !small.contains(char::is_whitespace)
        && (CHECKS.iter().any(|check| check.eq_ignore_ascii_case(name))
            || CHECK_BEGINNINGS.iter().any(begins))
    {
        return Ok(name.to_owned());
    }
    let is_begun = CHECK_BEGINNINGS
        .iter()
        .any(|beginning| beginning.eq_ignore_ascii_case(name));
    let hint = match is_begun {
        true => "; a port, a path or a program follows".to_owned(),
        false => nearest(name, CHECKS.into_iter()),
    };
    Err(format!("{}{hint}", must_be(example, value)))
}

struct Walk<'w> {
    file: &'w File<'w>,
    rules: &'w Rules,
}

impl Walk<'_> {
    fn error(&self, at: usize, message: String) {
        self.file.error(self.file.place(at), message);
    }

    fn fields(&self, table: &DeTable<'_>, fields: &'static [Field], path: &str) {
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            let here = match path {
                "" => name.to_owned(),
                path => format!("{path}.{name}"),
            };
            let at = key.span().start;
            let refused = self.rules.refused.iter().find(|(path, _)| *path == here);
            if let Some((_, why)) = refused {
                self.error(at, format!("'{here}' {why}"));
            } else if let Some((_, shape)) = fields.iter().find(|(field, _)| *field == name) {
                self.value(value, shape, &here);
            } else if path.is_empty() && matches!(name, "apiVersion" | "kind") {
                self.error(
                    at,
                    format!("'{name}' is set by evenkeel-bootstrap; remove it here"),
                );
            } else {
                let hint = self.hint(name, fields, path);
                let kind = self.rules.kind;
                self.error(at, format!("'{here}' is no field of {kind}{hint}"));
            }
        }
    }

    /// A field of that name elsewhere, or one that is nearly called so.
    fn hint(&self, name: &str, fields: &'static [Field], path: &str) -> String {
        let elsewhere = self
            .rules
            .others
            .iter()
            .find(|(_, fields)| fields.iter().any(|(field, _)| *field == name));
        match elsewhere {
            Some((table, _)) if path.is_empty() => {
                format!("; it belongs into [kubeadm.{table}]")
            }
            _ => nearest(name, fields.iter().map(|(field, _)| *field)),
        }
    }

    fn value(&self, value: &Spanned<DeValue<'_>>, shape: &Shape, path: &str) {
        let at = value.span().start;
        let found = value.get_ref();
        if matches!(found, DeValue::Datetime(_)) {
            // Told where values become JSON, which has no times.
            return;
        }
        let wrong = |message: String| self.error(at, format!("'{path}' {message}"));
        let unless = |is_right: bool, what: &str, instead: Option<String>| {
            if !is_right {
                let instead = instead.map_or_else(String::new, |right| format!("; write {right}"));
                wrong(format!("{}{instead}", must_be(what, found)));
            }
        };
        match shape {
            Shape::Any => {}
            Shape::Text => unless(found.as_str().is_some(), "a string", in_quotes(found)),
            Shape::Choice(words) => {
                if !found.as_str().is_some_and(|text| words.contains(&text)) {
                    let hint = found
                        .as_str()
                        .map_or_else(String::new, |text| nearest(text, words.iter().copied()));
                    let all = words.join("\", \"");
                    wrong(format!(
                        "{}{hint}",
                        must_be(&format!("one of \"{all}\""), found)
                    ));
                }
            }
            Shape::Number => unless(
                found.as_integer().is_some(),
                "a whole number",
                unquoted(found, |text| text.parse::<i64>().is_ok()),
            ),
            Shape::Decimal => unless(
                found.as_integer().is_some() || found.as_float().is_some(),
                "a number",
                unquoted(found, |text| text.parse::<f64>().is_ok()),
            ),
            Shape::Switch => unless(
                found.as_bool().is_some(),
                "true or false",
                unquoted(found, |text| matches!(text, "true" | "false")),
            ),
            Shape::Duration => unless(
                found.as_str().and_then(go_duration).is_some(),
                "a time with its unit, as in \"5m0s\"",
                None,
            ),
            Shape::Texts => self.each(value, path, "a list of strings", &Shape::Text),
            Shape::Numbers => self.each(value, path, "a list of whole numbers", &Shape::Number),
            Shape::Checks => {
                for check in super::values::one_or_many(value) {
                    if let Err(message) = check_name(check.get_ref()) {
                        self.error(check.span().start, format!("'{path}' {message}"));
                    }
                }
            }
            Shape::Phases(free, needed) => self.phases(value, free, needed, path),
            Shape::TextOfEach => self.each_named(value, path, &Shape::Text),
            Shape::TextsOfEach => self.each_named(value, path, &Shape::Texts),
            Shape::SwitchOfEach => self.each_named(value, path, &Shape::Switch),
            Shape::Arguments => self.arguments(value, path),
            Shape::Object(fields) => match found.as_table() {
                Some(table) => self.fields(table, fields, path),
                None => wrong(must_be("a table", found)),
            },
            Shape::List(fields) => match found.as_array() {
                Some(list) => {
                    for item in list {
                        match item.get_ref().as_table() {
                            Some(table) => self.fields(table, fields, path),
                            None => self.error(
                                item.span().start,
                                format!(
                                    "'{path}' has to hold tables; this one {}",
                                    must_be("a table", item.get_ref())
                                ),
                            ),
                        }
                    }
                }
                None => wrong(must_be("a list of tables", found)),
            },
        }
    }

    fn each(&self, value: &Spanned<DeValue<'_>>, path: &str, what: &str, shape: &Shape) {
        let Some(list) = value.get_ref().as_array() else {
            let instead = match value.get_ref().as_str() {
                Some(text) => format!("; write [{}]", show_text(text)),
                None => String::new(),
            };
            let message = must_be(what, value.get_ref());
            self.error(value.span().start, format!("'{path}' {message}{instead}"));
            return;
        };
        for item in list {
            self.value(item, shape, path);
        }
    }

    fn each_named(&self, value: &Spanned<DeValue<'_>>, path: &str, shape: &Shape) {
        let Some(table) = value.get_ref().as_table() else {
            let message = must_be("a table", value.get_ref());
            self.error(value.span().start, format!("'{path}' {message}"));
            return;
        };
        for (key, value) in table {
            self.value(value, shape, &format!("{path}.{}", key.get_ref()));
        }
    }

    fn phases(&self, value: &Spanned<DeValue<'_>>, free: &[&str], needed: &[&str], path: &str) {
        let Some(list) = value.get_ref().as_array() else {
            return self.each(value, path, "a list of strings", &Shape::Text);
        };
        for item in list {
            let Some(name) = item.get_ref().as_str() else {
                self.value(item, &Shape::Text, path);
                continue;
            };
            let first = name.split('/').next().unwrap_or(name);
            if free.contains(&name) {
                continue;
            }
            let message = if needed.contains(&first) {
                format!(
                    "cannot leave out \"{name}\", which the rest of the run builds on; may be left out: \"{}\"",
                    free.join("\", \"")
                )
            } else {
                let hint = nearest(name, free.iter().chain(needed).copied());
                format!("has \"{name}\", which is no phase{hint}")
            };
            self.error(item.span().start, format!("'{path}' {message}"));
        }
    }

    /// A list since v1beta4, so that a name may come more than once.
    fn arguments(&self, value: &Spanned<DeValue<'_>>, path: &str) {
        let at = value.span().start;
        if let Some(table) = value.get_ref().as_table() {
            let mut entries: Vec<_> = table.iter().collect();
            entries.sort_by_key(|(name, _)| name.span().start);
            let list: Vec<_> = entries
                .iter()
                .map(|(name, value)| {
                    let value = as_text(value.get_ref()).unwrap_or_else(|| "...".to_owned());
                    format!(
                        "{{ name = {}, value = {} }}",
                        show_text(name.get_ref()),
                        show_text(&value)
                    )
                })
                .collect();
            let message = format!(
                "'{path}' is a list since v1beta4, as a table it was v1beta3's; write [{}]",
                list.join(", ")
            );
            self.error(at, message);
            return;
        }
        let Some(list) = value.get_ref().as_array() else {
            let example = "a list, as in [{ name = \"v\", value = \"4\" }]";
            let message = must_be(example, value.get_ref());
            self.error(at, format!("'{path}' {message}"));
            return;
        };
        for item in list {
            let Some(argument) = item.get_ref().as_table() else {
                let example = "a table, as in { name = \"v\", value = \"4\" }";
                let message = must_be(example, item.get_ref());
                self.error(
                    item.span().start,
                    format!("an argument in '{path}' {message}"),
                );
                continue;
            };
            self.fields(argument, ARGUMENT, path);
            match argument.get("name") {
                None => self.error(
                    item.span().start,
                    format!("an argument in '{path}' has no 'name'"),
                ),
                Some(name) => {
                    let text = name.get_ref().as_str().unwrap_or("x");
                    let bare = text.trim_start_matches('-');
                    if bare != text || text.is_empty() || text.contains('=') {
                        let right = bare.split('=').next().unwrap_or(bare);
                        let right = if right.is_empty() { "v" } else { right };
                        self.error(
                            name.span().start,
                            format!(
                                "an argument's name stands without dashes and value: \"{right}\", not {}",
                                show_text(text)
                            ),
                        );
                    }
                }
            }
            if argument.get("value").is_none() {
                self.error(
                    item.span().start,
                    format!(
                        "an argument in '{path}' has no 'value', which is \"true\" for a switch"
                    ),
                );
            }
        }
    }
}

/// `; did you mean 'x'?`, which sees a name in the wrong case, however many letters that concerns.
fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str> + Clone) -> String {
    match candidates
        .clone()
        .find(|field| field.eq_ignore_ascii_case(name))
    {
        Some(field) => format!("; did you mean '{field}'?"),
        None => did_you_mean(name, candidates),
    }
}

fn as_text(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.clone().into_owned()),
        DeValue::Integer(number) => Some(number.to_string()),
        DeValue::Float(number) => Some(number.to_string()),
        DeValue::Boolean(flag) => Some(flag.to_string()),
        _ => None,
    }
}

/// A number or a switch that has to be a string.
fn in_quotes(value: &DeValue<'_>) -> Option<String> {
    as_text(value).map(|text| show_text(&text))
}

/// A string that has to be a number or a switch.
fn unquoted(value: &DeValue<'_>, reads: impl Fn(&str) -> bool) -> Option<String> {
    value.as_str().filter(|text| reads(text)).map(str::to_owned)
}
