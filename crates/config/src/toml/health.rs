//! What a TOML file says about checks beyond their times, about agents and about observing.

use ::toml::de::DeValue;

use super::fields::{Fields, File};
use super::values::{flag, limit, must_be, text, time, whole, word};
use super::{ANY_COUNT, keys, replace};
use crate::check::{self, CheckDraft, CheckKind, RuleDraft, Rules, TlsDraft, TlsVersion};
use crate::draft::{Maybe, ServerHealthDraft, ServerOptions, Spanned};

/// `kind`, `request` and `steps` of a backend's check.
pub(super) fn check(file: &File<'_>, fields: &mut Fields<'_, '_>) -> (Maybe<CheckDraft>, Rules) {
    let kind: Maybe<CheckKind> = fields.take("kind", word);
    let request: Maybe<String> = fields.take("request", text);
    let chosen = kind.as_ref().map_or(CheckKind::Connect, |kind| kind.value);
    let rules = steps(file, fields, chosen);
    let arguments = request.iter().flat_map(|request| {
        let words = request.value.split_whitespace();
        words.map(|word| Spanned::new(word.to_owned(), request.place.clone()))
    });
    let arguments = arguments.collect();
    let check = kind.map(|kind| kind.map(|kind| CheckDraft { kind, arguments }));
    (check, rules)
}

/// The rules of `tcp-check` or `http-check`, in HAProxy's words.
fn steps(file: &File<'_>, fields: &mut Fields<'_, '_>, kind: CheckKind) -> Rules {
    let mut rules = Rules::default();
    let Some(value) = fields.value("steps") else {
        return rules;
    };
    let place = file.place(value.span().start);
    let Some(steps) = value.get_ref().as_array() else {
        let message = must_be("a list of strings", value.get_ref());
        file.error(place, format!("'steps' {message}"));
        return rules;
    };
    if !matches!(kind, CheckKind::TcpCheck | CheckKind::Http) {
        let message = "'steps' belong to the kinds \"tcp-check\" and \"http\"";
        file.error(place, message.to_owned());
        return rules;
    }
    for step in steps {
        let place = file.place(step.span().start);
        let Some(line) = step.get_ref().as_str() else {
            let message = must_be("a string", step.get_ref());
            file.error(place, format!("a step {message}"));
            continue;
        };
        let read = crate::haproxy::words(line)
            .map_err(|(_, message)| message)
            .and_then(|words| {
                let words: Vec<&str> = words.iter().map(|(word, _)| word.as_str()).collect();
                check::rule(kind, &words).map_err(|mistake| mistake.message)
            });
        match read {
            Ok(rule) => match rule.draft {
                RuleDraft::DisableOn404 => rules.disable_on_404 = true,
                RuleDraft::SendState => rules.send_state = true,
                _ => rules.steps.push(Spanned::new(rule, place)),
            },
            Err(message) => file.error(place, format!("'{line}': {message}")),
        }
    }
    rules
}

/// TLS in checks, of a backend or of a server.
pub(super) fn tls(fields: &mut Fields<'_, '_>, tls: &mut TlsDraft) {
    replace(&mut tls.on, fields.take("tls", flag));
    replace(&mut tls.verify, fields.take("verify", flag));
    replace(&mut tls.ca_file, fields.take("ca-file", text));
    replace(&mut tls.certificate, fields.take("certificate", text));
    replace(&mut tls.sni, fields.take("sni", text));
    replace(&mut tls.alpn, fields.take("alpn", text));
    replace(&mut tls.verify_host, fields.take("verify-host", text));
    replace(&mut tls.min_version, fields.take("tls-min", version));
    replace(&mut tls.max_version, fields.take("tls-max", version));
}

fn version(value: &DeValue<'_>) -> Result<TlsVersion, String> {
    match value.as_str() {
        Some("1.2") => Ok(TlsVersion::Tls12),
        Some("1.3") => Ok(TlsVersion::Tls13),
        _ => Err(must_be("\"1.2\" or \"1.3\"", value)),
    }
}

/// `agent`, `observe`, `error-limit` and `on-error`, of a backend or of a server.
pub(super) fn server(file: &File<'_>, fields: &mut Fields<'_, '_>, options: &mut ServerOptions) {
    let health = &mut options.health;
    replace(&mut health.observe, fields.take("observe", flag));
    replace(
        &mut health.error_limit,
        fields.take("error-limit", whole(ANY_COUNT)),
    );
    replace(&mut health.on_error, fields.take("on-error", word));
    let Some(value) = fields.value("agent") else {
        return;
    };
    let place = file.place(value.span().start);
    match value.get_ref() {
        DeValue::Boolean(on) => health.agent = Some(Spanned::new(*on, place)),
        DeValue::Table(table) => {
            health.agent = Some(Spanned::new(true, place));
            file.fields(&keys::AGENT, table, |fields| agent(fields, health));
        }
        other => {
            let message = must_be("a table, true or false", other);
            file.error(place, format!("'agent' {message}"));
        }
    }
}

fn agent(fields: &mut Fields<'_, '_>, health: &mut ServerHealthDraft) {
    replace(
        &mut health.agent_port,
        fields.take("port", whole(1..=65535)),
    );
    replace(&mut health.agent_address, fields.take("address", text));
    replace(&mut health.agent_inter, fields.take("inter", time));
    replace(&mut health.agent_send, fields.take("send", text));
}

/// `max-spread-checks`.
pub(super) fn max_spread(fields: &mut Fields<'_, '_>) -> Maybe<std::time::Duration> {
    fields.take("max-spread-checks", limit)
}
