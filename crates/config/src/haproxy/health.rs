//! `agent-check`, `observe` and their options on a server, and what a backend makes of verdicts.

use super::lexer::Word;
use super::options::ServerLine;
use super::{Line, Reader};
use crate::words::Word as Choice;

/// `option log-health-checks`, and `fail-open`, which is ours.
pub(super) fn policy(reader: &mut Reader<'_>, line: &Line<'_>) {
    reader.no_more(line, 0);
    let on = Some(line.spanned(&line.words[0], !line.negated));
    let health = &mut reader.proxy().health;
    if line.name == "fail-open" {
        health.fail_open = on;
    } else {
        health.log_changes = on;
    }
}

/// The options that are this file's.
pub(super) fn server_option(
    reader: &mut Reader<'_>,
    line: &Line<'_>,
    server: &mut ServerLine,
    name: &str,
    word: &Word,
    argument: &Word,
) {
    let health = &mut server.options.health;
    match name {
        "agent-check" | "no-agent-check" => {
            health.agent = Some(line.spanned(word, name == "agent-check"));
        }
        "agent-addr" => {
            health.agent_address = Some(line.spanned(argument, argument.text.clone()));
        }
        "agent-send" => health.agent_send = Some(line.spanned(argument, argument.text.clone())),
        "agent-port" => {
            let number = reader.number(line, name, argument, 0..=65535);
            let number = number.filter(|number| *number > 0);
            health.agent_port = number.map(|number| line.spanned(argument, number as u16));
        }
        "agent-inter" => {
            let Some(time) = reader.time(line, name, argument) else {
                return;
            };
            if time.value.is_zero() {
                let message = "'agent-inter' must be more than 0";
                return reader.error(line.place(argument), message);
            }
            health.agent_inter = Some(time);
        }
        "observe" => match argument.text.as_str() {
            "layer7" => server.observe_layer7 = Some(line.place(word)),
            "layer4" => health.observe = Some(line.spanned(argument, true)),
            "none" => health.observe = Some(line.spanned(argument, false)),
            other => {
                let message = format!("'observe' is none, layer4 or layer7, not '{other}'");
                reader.error(line.place(argument), message);
            }
        },
        "error-limit" => {
            let number = reader.number(line, name, argument, 1..=i64::from(i32::MAX));
            health.error_limit = number.map(|number| line.spanned(argument, number as u32));
        }
        _ => {
            let choices = crate::OnError::ALL;
            match choices.iter().find(|(word, _)| *word == argument.text) {
                Some((_, on_error)) => health.on_error = Some(line.spanned(argument, *on_error)),
                None => {
                    let known: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
                    let message = format!(
                        "'on-error' is one of {}, not '{}'",
                        known.join(", "),
                        argument.text
                    );
                    reader.error(line.place(argument), message);
                }
            }
        }
    }
}
