//! Rules of a TOML file: tables, with conditions as haproxy.cfg writes them.

use ::toml::Spanned as TomlSpanned;
use ::toml::de::{DeTable, DeValue};

use super::fields::{Entry, Fields, File};
use super::values::{limit, must_be, text};
use super::{keys, one_or_many, required};
use crate::Place;
use crate::draft::{Maybe, Spanned};
use crate::rules::{AclDraft, Checkpoint, RuleDraft, RuleKind, RulesDraft, TcpAction};

pub(super) fn frontend(
    file: &File<'_>,
    fields: &mut Fields<'_, '_>,
    section: &Place,
) -> RulesDraft {
    let mut draft = common(file, fields, section);
    for (key, at) in [
        ("connection", Checkpoint::Connection),
        ("session", Checkpoint::Session),
        ("content", Checkpoint::Content),
    ] {
        draft.rules.extend(tcp(file, fields, key, at, section));
    }
    draft
        .rules
        .extend(each(file, fields, "use", |table, place| {
            file.fields(&keys::USE, table, |fields| {
                let name = required(file, fields, "backend", place, "rule");
                let condition = condition(file, fields);
                Some(rule(RuleKind::UseBackend(name?), section, condition))
            })
        }));
    draft
}

pub(super) fn backend(file: &File<'_>, fields: &mut Fields<'_, '_>, section: &Place) -> RulesDraft {
    let mut draft = common(file, fields, section);
    draft
        .rules
        .extend(tcp(file, fields, "content", Checkpoint::Content, section));
    draft
        .rules
        .extend(each(file, fields, "use-server", |table, place| {
            file.fields(&keys::USE_SERVER, table, |fields| {
                let name = required(file, fields, "server", place, "rule");
                let condition = condition(file, fields);
                if condition.is_empty() {
                    let message = "a rule that chooses a server needs 'if' or 'unless'";
                    file.error(place.clone(), message.to_owned());
                    return None;
                }
                Some(rule(RuleKind::UseServer(name?), section, condition))
            })
        }));
    draft
}

/// What both have.
fn common(file: &File<'_>, fields: &mut Fields<'_, '_>, section: &Place) -> RulesDraft {
    let mut acls = Vec::new();
    for Entry { name, value } in fields.entries("acl") {
        for value in one_or_many(value) {
            let place = file.place(value.span().start);
            match value.get_ref().as_str() {
                Some(text) => acls.push(AclDraft {
                    name: name.clone(),
                    words: words(file, text, &place),
                    section: section.clone(),
                    has_order: false,
                }),
                None => {
                    let message =
                        must_be("what is tested, as in \"src 10.0.0.0/8\"", value.get_ref());
                    file.error(place, format!("acl '{}' {message}", name.value));
                }
            }
        }
    }
    RulesDraft {
        acls,
        rules: Vec::new(),
        inspect_delay: fields.take("inspect-delay", limit),
    }
}

fn tcp(
    file: &File<'_>,
    fields: &mut Fields<'_, '_>,
    key: &'static str,
    at: Checkpoint,
    section: &Place,
) -> Vec<RuleDraft> {
    each(file, fields, key, |table, place| {
        file.fields(&keys::RULE, table, |fields| {
            let action: Maybe<TcpAction> = fields.take("do", |value| action(value, at));
            if action.is_none() && !table.contains_key("do") {
                let message = "this rule has no 'do'; write do = \"reject\" or another action";
                file.error(place.clone(), message.to_owned());
            }
            let condition = condition(file, fields);
            Some(rule(RuleKind::Tcp(at, action?.value), section, condition))
        })
    })
}

fn action(value: &DeValue<'_>, at: Checkpoint) -> Result<TcpAction, String> {
    match text(value)?.as_str() {
        "accept" => Ok(TcpAction::Accept),
        "reject" => Ok(TcpAction::Reject),
        "silent-drop" => Ok(TcpAction::SilentDrop),
        "expect-proxy" if at == Checkpoint::Connection => Ok(TcpAction::ExpectProxy),
        "expect-proxy" => {
            Err("is \"expect-proxy\", which only 'connection' rules can do".to_owned())
        }
        other => Err(format!(
            "is accept, reject, silent-drop or expect-proxy, not '{other}'"
        )),
    }
}

/// Every table of the list that is `key`'s value.
fn each(
    file: &File<'_>,
    fields: &mut Fields<'_, '_>,
    key: &'static str,
    mut read: impl FnMut(&DeTable<'_>, &Place) -> Option<RuleDraft>,
) -> Vec<RuleDraft> {
    let Some(value) = fields.value(key) else {
        return Vec::new();
    };
    let mut rules = Vec::new();
    for value in one_or_many(value) {
        let place = file.place(value.span().start);
        match value.get_ref().as_table() {
            Some(table) => rules.extend(read(table, &place)),
            None => {
                let message = must_be("a table or a list of them", value.get_ref());
                file.error(place, format!("'{key}' {message}"));
            }
        }
    }
    rules
}

fn rule(kind: RuleKind, section: &Place, condition: Vec<Spanned<String>>) -> RuleDraft {
    RuleDraft {
        kind,
        section: section.clone(),
        condition,
    }
}

/// The words of `if` or `unless`, that word itself first; none if the rule has neither.
fn condition(file: &File<'_>, fields: &mut Fields<'_, '_>) -> Vec<Spanned<String>> {
    let said: Vec<(&str, &TomlSpanned<DeValue<'_>>)> = ["if", "unless"]
        .into_iter()
        .filter_map(|key| Some((key, fields.value(key)?)))
        .collect();
    if let [_, (_, second)] = said[..] {
        let place = file.place(second.span().start);
        let message = "a rule has 'if' or 'unless', not both; '!' turns a part of a condition over";
        file.error(place, message.to_owned());
    }
    let Some((key, value)) = said.first() else {
        return Vec::new();
    };
    let place = file.place(value.span().start);
    let Some(text) = value.get_ref().as_str() else {
        let message = must_be("a condition, as in \"{ src 10.0.0.0/8 }\"", value.get_ref());
        file.error(place, format!("'{key}' {message}"));
        return Vec::new();
    };
    let mut all = vec![Spanned::new((*key).to_owned(), place.clone())];
    all.extend(words(file, text, &place));
    all
}

/// The words of a string that begins at `place`, each where it stands if the string is plain.
fn words(file: &File<'_>, text: &str, place: &Place) -> Vec<Spanned<String>> {
    match crate::haproxy::words(text) {
        Ok(words) => words
            .into_iter()
            .map(|(word, column)| {
                let place = Place {
                    column: place.column + column,
                    ..place.clone()
                };
                Spanned::new(word, place)
            })
            .collect(),
        Err((_, message)) => {
            file.error(place.clone(), message);
            Vec::new()
        }
    }
}
