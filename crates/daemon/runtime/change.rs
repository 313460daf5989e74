//! The commands that change what runs. Every one of them is done on the control thread.

use evenkeel_proxy::{AdminState, Counters, FixedWeight, FrontendStatus, Proxy, ServerAt};

use super::{Reply, Request};

/// A change, or why not.
pub(super) type Changed = Result<Reply, Reply>;

/// HAProxy's answer where a result is an answer either way.
pub(super) fn answer(changed: Changed) -> Reply {
    changed.unwrap_or_else(|refusal| refusal)
}

/// Finds the server that `word` names as `backend/server`.
pub(super) fn server(proxy: &Proxy, word: Option<&&str>) -> Result<ServerAt, Reply> {
    let Some((backend, server)) = word.and_then(|word| word.split_once('/')) else {
        return Err(Reply::refused("Require 'backend/server'."));
    };
    let Some(backend) = proxy.backend_named(backend) else {
        return Err(Reply::refused("No such backend."));
    };
    proxy
        .server_named(backend, server)
        .ok_or_else(|| Reply::refused("No such server."))
}

/// `disable server`.
pub(super) fn disable_server(proxy: &mut Proxy, request: &Request<'_>) -> Reply {
    answer(put(proxy, request, AdminState::Maint))
}

/// `enable server`.
pub(super) fn enable_server(proxy: &mut Proxy, request: &Request<'_>) -> Reply {
    answer(put(proxy, request, AdminState::Ready))
}

fn put(proxy: &mut Proxy, request: &Request<'_>, state: AdminState) -> Changed {
    let at = server(proxy, request.arguments.first())?;
    proxy.set_admin(at, state);
    Ok(Reply::Done)
}

/// `disable health`: of a server without checks there is nothing to disable.
pub(super) fn disable_health(proxy: &mut Proxy, request: &Request<'_>) -> Reply {
    answer(server(proxy, request.arguments.first()).map(|at| {
        proxy.enable_checks(at, false);
        Reply::Done
    }))
}

/// `enable health`.
pub(super) fn enable_health(proxy: &mut Proxy, request: &Request<'_>) -> Reply {
    answer(server(proxy, request.arguments.first()).map(|at| {
        if !proxy.is_checked(at) {
            return Reply::refused(
                "Health check was not configured on this server, cannot enable.",
            );
        }
        proxy.enable_checks(at, true);
        Reply::Done
    }))
}

/// `disable agent`.
pub(super) fn disable_agent(proxy: &mut Proxy, request: &Request<'_>) -> Reply {
    answer(server(proxy, request.arguments.first()).map(|at| {
        proxy.enable_agent(at, false);
        Reply::Done
    }))
}

/// `enable agent`.
pub(super) fn enable_agent(proxy: &mut Proxy, request: &Request<'_>) -> Reply {
    answer(server(proxy, request.arguments.first()).map(|at| {
        if !proxy.has_agent(at) {
            return Reply::refused("Agent was not configured on this server, cannot enable.");
        }
        proxy.enable_agent(at, true);
        Reply::Done
    }))
}

/// `set weight <bk>/<srv> <weight>`.
pub(super) fn set_weight(proxy: &mut Proxy, request: &Request<'_>) -> Reply {
    answer(server(proxy, request.arguments.first()).and_then(|at| {
        let word = request.arguments.get(1).copied().unwrap_or_default();
        set_weight_of(proxy, at, word)
    }))
}

/// The heaviest weight.
const HEAVIEST: i64 = 256;

/// A weight, or a percentage of the file's.
pub(super) fn set_weight_of(proxy: &mut Proxy, at: ServerAt, word: &str) -> Changed {
    if word.is_empty() {
        return Err(Reply::refused("Require <weight> or <weight%>."));
    }
    let (number, rest) = leading_number(word);
    let Some(number) = number else {
        return Err(Reply::refused(
            "Empty weight string empty or preceded by garbage",
        ));
    };
    let weight = match rest {
        "%" if number < 0 => {
            return Err(Reply::refused("Relative weight must be positive."));
        }
        "%" => {
            let (_, configured) = proxy.weight(at);
            (i64::from(configured).saturating_mul(number) / 100).min(HEAVIEST)
        }
        "" if (0..=HEAVIEST).contains(&number) => number,
        "" => {
            return Err(Reply::refused(
                "Absolute weight can only be between 0 and 256 inclusive.",
            ));
        }
        _ => return Err(Reply::refused("Trailing garbage in weight string")),
    };
    let weight = u16::try_from(weight).unwrap_or_default();
    proxy.set_weight(at, weight).map_err(|FixedWeight| {
        Reply::refused(
            "Backend is using a static LB algorithm and only accepts weights '0%' and '100%'.",
        )
    })?;
    Ok(Reply::Done)
}

/// The number that `text` begins with, and what follows it.
fn leading_number(text: &str) -> (Option<i64>, &str) {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let signs = text.len() - digits.len();
    let length = digits.bytes().take_while(u8::is_ascii_digit).count();
    let (number, rest) = text.split_at(signs + length);
    if length == 0 {
        return (None, text);
    }
    // More digits than fit are more than any limit.
    (Some(number.parse().unwrap_or(i64::MAX)), rest)
}

/// `get weight <bk>/<srv>`.
pub(super) fn get_weight(proxy: &mut Proxy, request: &Request<'_>) -> Reply {
    answer(server(proxy, request.arguments.first()).map(|at| {
        let (weight, configured) = proxy.weight(at);
        Reply::Text(format!("{weight} (initial {configured})\n"))
    }))
}

/// `set maxconn server <bk>/<srv> <value>`; 0: no limit.
pub(super) fn set_server_maxconn(proxy: &mut Proxy, request: &Request<'_>) -> Reply {
    answer(server(proxy, request.arguments.first()).map(|at| {
        let Some(word) = request.arguments.get(1) else {
            return Reply::refused("Require <maxconn>.");
        };
        match leading_number(word) {
            (None, _) => Reply::refused("maxconn string empty or preceded by garbage"),
            (Some(_), rest) if !rest.is_empty() => {
                Reply::refused("Trailing garbage in maxconn string")
            }
            (Some(number), _) => match u32::try_from(number) {
                Ok(maxconn) => {
                    proxy.set_server_maxconn(at, Some(maxconn).filter(|&maxconn| maxconn > 0));
                    Reply::Done
                }
                Err(_) => Reply::refused("maxconn must be between 0 and 4294967295"),
            },
        }
    }))
}

/// The frontend that the first argument names.
fn frontend<'a>(proxy: &Proxy, request: &Request<'a>) -> Result<&'a str, Reply> {
    let Some(name) = request.arguments.first() else {
        return Err(Reply::refused("A frontend name is expected."));
    };
    if !proxy.has_frontend(name) {
        return Err(Reply::refused("No such frontend."));
    }
    Ok(name)
}

/// `disable frontend`: its sockets stay open.
pub(super) fn disable_frontend(proxy: &mut Proxy, request: &Request<'_>) -> Reply {
    answer(
        frontend(proxy, request).map(|name| match proxy.frontend_status(name) {
            Some(FrontendStatus::Open) => {
                proxy.let_accept(name, false);
                Reply::Done
            }
            Some(FrontendStatus::Paused) => Reply::refused("All sockets are already disabled."),
            _ => Reply::refused("Frontend was previously shut down, cannot disable."),
        }),
    )
}

/// `enable frontend`.
pub(super) fn enable_frontend(proxy: &mut Proxy, request: &Request<'_>) -> Reply {
    answer(
        frontend(proxy, request).map(|name| match proxy.frontend_status(name) {
            Some(FrontendStatus::Paused) => {
                proxy.let_accept(name, true);
                Reply::Done
            }
            Some(FrontendStatus::Open) => Reply::refused("All sockets are already enabled."),
            _ => Reply::refused("Frontend was previously shut down, cannot enable."),
        }),
    )
}

/// `shutdown frontend`: until the next reload.
pub(super) fn shutdown_frontend(proxy: &mut Proxy, request: &Request<'_>) -> Reply {
    answer(
        frontend(proxy, request).map(|name| match proxy.frontend_status(name) {
            Some(FrontendStatus::Open | FrontendStatus::Paused) => {
                proxy.shut_down_frontend(name);
                Reply::Done
            }
            _ => Reply::refused("Frontend was already shut down."),
        }),
    )
}

/// `set maxconn frontend <name> <value>`. What is no number is refused, which HAProxy takes for 0.
pub(super) fn set_frontend_maxconn(proxy: &mut Proxy, request: &Request<'_>) -> Reply {
    answer(frontend(proxy, request).map(|name| {
        let word = request.arguments.get(1);
        match word.and_then(|word| word.parse::<i64>().ok()) {
            Some(number) => match u32::try_from(number) {
                Ok(maxconn) => {
                    proxy.set_frontend_maxconn(name, maxconn);
                    Reply::Done
                }
                Err(_) => Reply::refused("Value out of range."),
            },
            None => Reply::refused("Integer value expected."),
        }
    }))
}

/// `set maxconn global <value>`: within what the process has descriptors for.
pub(super) fn set_maxconn(proxy: &mut Proxy, request: &Request<'_>) -> Reply {
    let number = request.arguments.first().and_then(|word| word.parse().ok());
    match number {
        None => Reply::refused("Expects an integer value."),
        Some(maxconn) if maxconn > proxy.hard_maxconn() => Reply::refused("Value out of range."),
        // HAProxy's way of asking for the most.
        Some(0) => {
            proxy.set_maxconn(proxy.hard_maxconn());
            Reply::Done
        }
        Some(maxconn) => {
            proxy.set_maxconn(maxconn);
            Reply::Done
        }
    }
}

/// `set rate-limit ...`: rates are not limited here; asking for no limit is granted.
pub(super) fn set_rate_limit(_: &mut Proxy, request: &Request<'_>) -> Reply {
    match request.arguments {
        [
            "connections" | "sessions" | "ssl-sessions" | "http-compression",
            "global",
            rest @ ..,
        ] => match rest.first().map(|word| word.parse::<u32>()) {
            None => Reply::refused("Expects an integer value."),
            Some(Ok(0)) => Reply::Done,
            Some(_) => Reply::refused("rates are not limited here: 0 is the only value"),
        },
        _ => Reply::refused(
            "'set rate-limit' only supports :\n   - 'connections global'\n   - 'sessions global'\n   \
             - 'ssl-sessions global'\n   - 'http-compression global'\nand no other value than 0, for rates are not limited here.",
        ),
    }
}

/// `shutdown sessions server <bk>/<srv>`.
pub(super) fn shutdown_sessions(proxy: &mut Proxy, request: &Request<'_>) -> Reply {
    answer(server(proxy, request.arguments.first()).map(|at| {
        proxy.shutdown_sessions(at);
        Reply::Done
    }))
}

/// `clear counters`: the highest values, which an operator may; with `all`, every one.
pub(super) fn clear_counters(proxy: &mut Proxy, request: &Request<'_>) -> Reply {
    let all = request.arguments.first() == Some(&"all");
    if all && request.level < evenkeel_config::AccessLevel::Admin {
        return Reply::refused("Permission denied");
    }
    proxy.clear_counters(if all {
        Counters::All
    } else {
        Counters::Highest
    });
    Reply::Done
}

/// `add server`, `del server`: the file is what says which servers there are.
pub(super) fn no_dynamic_servers(proxy: &mut Proxy, request: &Request<'_>) -> Reply {
    let Some((backend, _)) = request
        .arguments
        .first()
        .and_then(|word| word.split_once('/'))
    else {
        return Reply::refused("Require 'backend/server'.");
    };
    if proxy.backend_named(backend).is_none() {
        return Reply::refused("No such backend.");
    }
    Reply::refused(
        "servers come and go with the configuration: change it and reload, which keeps every connection",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_what_follows() {
        assert_eq!(leading_number("20"), (Some(20), ""));
        assert_eq!(leading_number("50%"), (Some(50), "%"));
        assert_eq!(leading_number("-1"), (Some(-1), ""));
        assert_eq!(leading_number("1x"), (Some(1), "x"));
        assert_eq!(leading_number("x"), (None, "x"));
        assert_eq!(leading_number("-"), (None, "-"));
        assert_eq!(leading_number("99999999999999999999").0, Some(i64::MAX));
    }
}
