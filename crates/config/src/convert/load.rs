//! How much servers are given and how clients wait, as TOML has it.

use super::quoted;
use super::table::Table;
use crate::draft::{BackendDraft, LoadOptions};
use crate::toml::show_text;
use crate::{Backend, InitState, OnMarkedUp, Server, ServerLoad};

pub(super) fn set_load(table: &mut Table, draft: &LoadOptions, server: &Server) {
    let ServerLoad {
        maxconn,
        minconn,
        maxqueue,
        slowstart,
    } = server.load;
    table.set_some("maxconn", maxconn);
    table.set_some("minconn", minconn);
    table.set_some("maxqueue", maxqueue);
    table.set_limit("slowstart", slowstart, None);
    let (up, state) = (server.on_marked_up, server.init_state);
    table.set_if(up != OnMarkedUp::Keep, "on-marked-up", quoted(up));
    table.set_if(state != InitState::Up, "init-state", quoted(state));
    table.set_some(
        "track",
        draft.track.as_ref().map(|said| show_text(&said.value)),
    );
}

pub(super) fn set_queueing(table: &mut Table, draft: &BackendDraft, backend: &Backend) {
    if draft.queueing.timeout.is_some() {
        let timeout = backend.queueing.timeout;
        table.set_limit("timeout.queue", timeout, backend.connect_timeout);
    }
    table.set_some("fullconn", backend.queueing.fullconn);
    table.set_if(backend.queueing.abort_on_close, "abortonclose", true);
}
