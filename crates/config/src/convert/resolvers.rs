//! Name servers, and what servers say of them, as TOML.

use std::time::Duration;

use super::table::Table;
use crate::draft::{ResolutionDraft, ResolversDraft};
use crate::toml::{show_key, show_limit, show_text, show_time};
use crate::words::Word;
use crate::{Resolution, Resolvers};

/// The sections as the file has them; one that is there without being written is not among them.
pub(super) fn print(drafts: &[ResolversDraft], made: &[Resolvers], page: &mut String) {
    for (draft, made) in drafts.iter().zip(made) {
        section(draft, made).print(page);
    }
}

fn section(draft: &ResolversDraft, made: &Resolvers) -> Table {
    let mut table = Table::new(&format!("resolvers.{}", show_key(&made.name)));
    for (name, address) in &draft.nameservers {
        let key = format!("nameservers.{}", show_key(&name.value));
        table.set(&key, show_text(&address.value));
    }
    let system = draft.system.as_ref().is_some_and(|said| said.value);
    table.set_if(system, "system-nameservers", true);
    table.set_number("retries", &draft.retries);
    let time = |said: &Option<crate::draft::Spanned<Duration>>| {
        said.as_ref()
            .map(|said| format!("\"{}\"", show_time(said.value)))
    };
    table.set_some("timeout.resolve", time(&draft.resolve));
    table.set_some("timeout.retry", time(&draft.retry));
    let hold = &draft.hold;
    for (key, said) in [
        ("hold.nx", &hold.nx),
        ("hold.refused", &hold.refused),
        ("hold.timeout", &hold.timeout),
        ("hold.other", &hold.other),
        ("hold.obsolete", &hold.obsolete),
    ] {
        let limit = said
            .as_ref()
            .map(|said| Some(said.value).filter(|time| !time.is_zero()));
        table.set_some(key, limit.map(show_limit));
    }
    table.set_number("payload-bytes", &draft.payload_bytes);
    table
}

/// What a server says; what has no resolvers is not resolved while the process runs.
pub(super) fn set_server(table: &mut Table, draft: &ResolutionDraft, made: Option<&Resolution>) {
    let Some(made) = made else {
        return;
    };
    table.set_text("resolvers", &draft.resolvers);
    let prefer = draft.prefer.as_ref();
    table.set_some(
        "resolve-prefer",
        prefer.map(|said| show_text(said.value.word())),
    );
    if !made.nets.is_empty() {
        let nets: Vec<String> = made
            .nets
            .iter()
            .map(|net| show_text(&net.to_string()))
            .collect();
        table.set("resolve-nets", format!("[{}]", nets.join(", ")));
    }
    table.set_if(made.allows_duplicates, "resolve-duplicates", true);
    table.set_if(made.ignores_weight, "resolve-ignore-weight", true);
}
