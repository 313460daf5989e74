//! Sections of name servers, and what servers say of them.

use ::toml::de::{DeTable, DeValue};

use super::fields::{Entry, Fields, File};
use super::keys;
use super::values::{flag, limit, must_be, text, time, whole, word};
use crate::draft::{HoldDraft, ResolutionDraft, ResolversDraft, Spanned};
use crate::haproxy::parse_net;

pub(super) fn resolvers(
    file: &File<'_>,
    name: Spanned<String>,
    table: &DeTable<'_>,
) -> ResolversDraft {
    let place = name.place.clone();
    file.fields(&keys::RESOLVERS, table, |fields| {
        let mut section = ResolversDraft::new(name, place);
        for Entry { name, value } in fields.entries("nameservers") {
            let place = file.place(value.span().start);
            match text(value.get_ref()) {
                Ok(address) => {
                    let address = Spanned::new(address, place);
                    section.nameservers.push((name, address));
                }
                Err(message) => file.error(place, format!("'{}' {message}", name.value)),
            }
        }
        section.system = fields.take("system-nameservers", flag);
        section.retries = fields.take("retries", whole(1..=1000));
        section.payload_bytes = fields.take("payload-bytes", whole(512..=65535));
        if let Some(table) = fields.table("timeout") {
            file.fields(&keys::RESOLVERS_TIMEOUT, table, |fields| {
                section.resolve = fields.take("resolve", time);
                section.retry = fields.take("retry", time);
            });
        }
        if let Some(table) = fields.table("hold") {
            file.fields(&keys::RESOLVERS_HOLD, table, |fields| {
                section.hold = HoldDraft {
                    nx: fields.take("nx", limit),
                    refused: fields.take("refused", limit),
                    timeout: fields.take("timeout", limit),
                    other: fields.take("other", limit),
                    obsolete: fields.take("obsolete", limit),
                };
            });
        }
        section
    })
}

pub(super) fn resolution(fields: &mut Fields<'_, '_>) -> ResolutionDraft {
    ResolutionDraft {
        resolvers: fields.take("resolvers", text),
        prefer: fields.take("resolve-prefer", word),
        nets: fields.take("resolve-nets", nets),
        allows_duplicates: fields.take("resolve-duplicates", flag),
        ignores_weight: fields.take("resolve-ignore-weight", flag),
    }
}

fn nets(value: &DeValue<'_>) -> Result<Vec<ipnet::IpNet>, String> {
    let wanted = "a list of networks, as in [\"10.0.0.0/8\"]";
    let nets = value.as_array().ok_or_else(|| must_be(wanted, value))?;
    nets.iter()
        .map(|net| {
            let text = net.get_ref().as_str();
            let text = text.ok_or_else(|| must_be(wanted, value))?;
            parse_net(text).map_err(|message| format!("is wrong: {message}"))
        })
        .collect()
}
