//! Checks, agents and what is made of verdicts, as TOML.

use super::quoted;
use super::table::Table;
use crate::Backend;
use crate::check::{TlsDraft, TlsVersion};
use crate::draft::{BackendDraft, Maybe, ServerDraft};
use crate::toml::{show_text, show_time};

/// What a backend says of its check's steps.
pub(super) fn set_check(table: &mut Table, draft: &BackendDraft) {
    let Some(check) = &draft.check else {
        return;
    };
    let arguments = &check.value.arguments;
    if !arguments.is_empty() {
        let words: Vec<&str> = arguments.iter().map(|word| word.value.as_str()).collect();
        table.set("check.request", show_text(&words.join(" ")));
    }
    let rules = &draft.check_rules;
    let mut steps: Vec<String> = rules
        .steps
        .iter()
        .map(|rule| words(&rule.value.words))
        .collect();
    if rules.disable_on_404 {
        steps.push("disable-on-404".to_owned());
    }
    if rules.send_state {
        steps.push("send-state".to_owned());
    }
    if !steps.is_empty() {
        let steps: Vec<String> = steps.iter().map(|step| show_text(step)).collect();
        table.set("check.steps", format!("[{}]", steps.join(", ")));
    }
}

/// The words of a rule on one line, as the reader parts them again.
fn words(words: &[String]) -> String {
    let words: Vec<String> = words.iter().map(|word| escaped(word)).collect();
    words.join(" ")
}

fn escaped(word: &str) -> String {
    if word.is_empty() {
        return "''".to_owned();
    }
    let mut shown = String::with_capacity(word.len());
    for c in word.chars() {
        match c {
            ' ' | '"' | '\'' | '\\' | '#' => shown.extend(['\\', c]),
            '\r' => shown.push_str("\\r"),
            '\n' => shown.push_str("\\n"),
            '\t' => shown.push_str("\\t"),
            c if c.is_control() => shown.push_str(&format!("\\x{:02x}", u32::from(c))),
            c => shown.push(c),
        }
    }
    shown
}

pub(super) fn set_policy(table: &mut Table, backend: &Backend, default: &Backend) {
    let (own, usual) = (backend.health, default.health);
    table.set_if(own.fail_open != usual.fail_open, "fail-open", own.fail_open);
    table.set_if(
        own.log_changes != usual.log_changes,
        "log-health-checks",
        own.log_changes,
    );
}

/// TLS in the checks of a server.
pub(super) fn set_tls(table: &mut Table, tls: &TlsDraft) {
    let flag = |field: &Maybe<bool>| field.as_ref().map(|said| said.value);
    table.set_some("check.tls", flag(&tls.on));
    table.set_some("check.verify", flag(&tls.verify));
    table.set_text("check.ca-file", &tls.ca_file);
    table.set_text("check.certificate", &tls.certificate);
    table.set_text("check.sni", &tls.sni);
    table.set_text("check.alpn", &tls.alpn);
    table.set_text("check.verify-host", &tls.verify_host);
    for (key, version) in [
        ("check.tls-min", &tls.min_version),
        ("check.tls-max", &tls.max_version),
    ] {
        let version = version.as_ref().map(|said| match said.value {
            TlsVersion::Tls13 => "\"1.3\"",
            _ => "\"1.2\"",
        });
        table.set_some(key, version);
    }
}

/// The agent of a server, and whether connects count against it.
pub(super) fn set_server(table: &mut Table, draft: &ServerDraft) {
    let health = &draft.options.health;
    let is_on = |field: &Maybe<bool>| field.as_ref().is_some_and(|said| said.value);
    if is_on(&health.agent) {
        table.set_number("agent.port", &health.agent_port);
        table.set_text("agent.address", &health.agent_address);
        let inter = health.agent_inter.as_ref();
        table.set_some(
            "agent.inter",
            inter.map(|inter| format!("\"{}\"", show_time(inter.value))),
        );
        table.set_text("agent.send", &health.agent_send);
    }
    if is_on(&health.observe) {
        table.set("observe", "true".to_owned());
        table.set_number("error-limit", &health.error_limit);
        let on_error = health.on_error.as_ref();
        table.set_some("on-error", on_error.map(|said| quoted(said.value)));
    }
}
