//! Lines of rules: `acl`, `tcp-request`, `tcp-response`, `use_backend`, `use-server`. What their
//! conditions say shows when every section is read.

use super::section::Kind;
use super::{Line, Reader, Word, is_name_char};
use crate::draft::Spanned;
use crate::rules::{AclDraft, Checkpoint, RuleDraft, RuleKind, TcpAction};

pub(super) fn acl(reader: &mut Reader<'_>, line: &Line<'_>) {
    let [name, words @ ..] = line.args() else {
        let message = "'acl' needs a name and what it tests, as in: acl internal src 10.0.0.0/8";
        return reader.error(line.here(), message);
    };
    let name = line.spanned(name, name.text.clone());
    if let Some(wrong) = name.value.chars().find(|c| !is_name_char(*c)) {
        let message = format!(
            "character '{wrong}' is not permitted in acl name '{}'; use letters, digits and - _ . :",
            name.value
        );
        return reader.error(name.place, message);
    }
    if name.value == "or" {
        let message = "acl name 'or' will never match: 'or' stands between conditions; rename it";
        return reader.error(name.place, message);
    }
    let words = spanned(line, words);
    let section = reader.proxy().place.clone();
    let acl = AclDraft {
        name,
        words,
        section,
        has_order: true,
    };
    reader.proxy().rules.acls.push(acl);
}

pub(super) fn use_backend(reader: &mut Reader<'_>, line: &Line<'_>) {
    let [name, condition @ ..] = line.args() else {
        return reader.error(line.here(), "'use_backend' expects a backend name");
    };
    let name = line.spanned(name, name.text.clone());
    rule(reader, line, RuleKind::UseBackend(name), condition);
}

pub(super) fn use_server(reader: &mut Reader<'_>, line: &Line<'_>) {
    let [name, condition @ ..] = line.args() else {
        return reader.error(line.here(), "'use-server' expects a server name");
    };
    if !condition.first().is_some_and(is_if) {
        let message = "'use-server' requires either 'if' or 'unless' followed by a condition";
        let place = condition
            .first()
            .map_or(line.here(), |word| line.place(word));
        return reader.error(place, message);
    }
    let name = line.spanned(name, name.text.clone());
    rule(reader, line, RuleKind::UseServer(name), condition);
}

/// `tcp-request` and `tcp-response` with an action that works.
pub(super) fn tcp(reader: &mut Reader<'_>, line: &Line<'_>) {
    let (at, action) = match line.name.split(' ').collect::<Vec<_>>()[..] {
        ["tcp-response", _, action] => (Checkpoint::Response, action),
        [_, "connection", action] => (Checkpoint::Connection, action),
        [_, "session", action] => (Checkpoint::Session, action),
        [_, _, action] => (Checkpoint::Content, action),
        _ => unreachable!("the table names three words"),
    };
    let kind = reader.proxy().kind;
    if kind == Kind::Backend && matches!(at, Checkpoint::Connection | Checkpoint::Session) {
        let message = format!(
            "'{}' is not allowed because {} is not a frontend",
            line.name,
            reader.proxy().who()
        );
        return reader.error(line.here(), message);
    }
    if kind == Kind::Frontend && at == Checkpoint::Response {
        let message = "'tcp-response' is only allowed in 'backend' sections or a 'defaults' section with a name";
        return reader.error(line.here(), message);
    }
    let mut rest = line.args();
    let action = match action {
        "accept" => TcpAction::Accept,
        "reject" => TcpAction::Reject,
        "silent-drop" => {
            if rest.first().is_some_and(|word| word.text == "rst-ttl") {
                let Some(ttl) = rest.get(1) else {
                    return reader.error(line.place(&rest[0]), "'rst-ttl' needs a value after it");
                };
                let message =
                    "'rst-ttl' is not supported: the connection is dropped without any packet";
                return reader.error(line.place(ttl), message);
            }
            TcpAction::SilentDrop
        }
        _ => {
            let layer = rest.first().filter(|word| word.text == "layer4");
            if layer.is_none() {
                let place = rest.first().map_or(line.here(), |word| line.place(word));
                return reader.error(place, "'expect-proxy' only supports 'layer4'");
            }
            rest = &rest[1..];
            TcpAction::ExpectProxy
        }
    };
    if let Some(word) = rest.first().filter(|word| !is_if(word)) {
        let message = format!(
            "'{}' only accepts 'if' or 'unless' and a condition, not '{}'",
            line.name, word.text
        );
        return reader.error(line.place(word), message);
    }
    rule(reader, line, RuleKind::Tcp(at, action), rest);
}

pub(super) fn inspect_delay(reader: &mut Reader<'_>, line: &Line<'_>) {
    let Some(word) = reader.one(line) else {
        return;
    };
    let Some(time) = reader.time(line, line.name, word) else {
        return;
    };
    if line.name.starts_with("tcp-request") {
        reader.proxy().rules.inspect_delay = Some(time);
    }
}

fn rule(reader: &mut Reader<'_>, line: &Line<'_>, kind: RuleKind, condition: &[Word]) {
    let condition = spanned(line, condition);
    let section = reader.proxy().place.clone();
    reader.proxy().rules.rules.push(RuleDraft {
        kind,
        section,
        condition,
    });
}

fn is_if(word: &Word) -> bool {
    matches!(word.text.as_str(), "if" | "unless")
}

fn spanned(line: &Line<'_>, words: &[Word]) -> Vec<Spanned<String>> {
    words
        .iter()
        .map(|word| line.spanned(word, word.text.clone()))
        .collect()
}
