//! The commands that change what runs. Every one of them is done on the control thread.

use evenkeel_proxy::{AdminState, Proxy};

use super::{Reply, Request};

const NO_BACKEND: &str = "No such backend.";
const NO_SERVER: &str = "No such server.";
const NAME_NEEDED: &str = "Require 'backend/server'.";

/// Finds the server that `word` names as `backend/server`.
fn server(proxy: &Proxy, word: Option<&&str>) -> Result<(usize, usize), Reply> {
    let Some((backend, server)) = word.and_then(|word| word.split_once('/')) else {
        return Err(Reply::refused(NAME_NEEDED));
    };
    let Some(at) = proxy.backend_named(backend) else {
        return Err(Reply::refused(NO_BACKEND));
    };
    let Some(server) = proxy.server_named(at, server) else {
        return Err(Reply::refused(NO_SERVER));
    };
    Ok((at, server))
}

/// `disable server`.
pub(super) fn disable_server(proxy: &mut Proxy, request: &Request<'_>) -> Reply {
    set_admin(proxy, request, AdminState::Maint)
}

/// `enable server`.
pub(super) fn enable_server(proxy: &mut Proxy, request: &Request<'_>) -> Reply {
    set_admin(proxy, request, AdminState::Ready)
}

fn set_admin(proxy: &mut Proxy, request: &Request<'_>, state: AdminState) -> Reply {
    match server(proxy, request.arguments.first()) {
        Ok((backend, server)) => {
            proxy.set_server_admin(backend, server, state);
            Reply::Done
        }
        Err(refusal) => refusal,
    }
}
