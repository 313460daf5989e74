//! How connections are made and marked, as a bind or a server says it.

use ::toml::de::DeValue;

use super::fields::{Fields, File};
use super::values::{flag, must_be, text, whole};
use super::{ANY_COUNT, keys, one_or_many, replace, resolvers};
use crate::draft::{BindNet, Maybe, SendProxyDraft, ServerNet, Spanned};
use crate::haproxy::{parse_instead, parse_source};
use crate::{ConnectFrom, Instead};

pub(super) fn bind(fields: &mut Fields<'_, '_>) -> BindNet {
    BindNet {
        id: fields.take("id", whole(ANY_COUNT)),
        accept_proxy: fields.take("accept-proxy", flag),
        mss: fields.take("mss", whole(1..=65535)),
        fast_open: fields.take("tcp-fast-open", flag),
        defer_accept: fields.take("defer-accept", flag),
    }
}

pub(super) fn server(file: &File<'_>, fields: &mut Fields<'_, '_>) -> ServerNet {
    ServerNet {
        send_proxy: SendProxyDraft::default(),
        check_send_proxy: None,
        source: source(file, fields),
        resolution: resolvers::resolution(fields),
        fast_open: fields.take("tcp-fast-open", flag),
    }
}

/// `send-proxy`; `None`: the text does not say.
pub(super) fn send_proxy(file: &File<'_>, fields: &mut Fields<'_, '_>) -> Option<SendProxyDraft> {
    let wanted = "false, \"v1\", \"v2\" or a list of \"v2\", \"ssl\" and \"crc32c\"";
    let value = fields.value("send-proxy")?;
    let mut header = SendProxyDraft::default();
    if value.get_ref().as_bool() == Some(false) {
        return Some(header);
    }
    let is_list = value.get_ref().as_array().is_some();
    for word in one_or_many(value) {
        match word.get_ref().as_str() {
            Some("v1") if !is_list => header.v1 = true,
            Some("v2") => header.v2 = true,
            Some("ssl") if is_list => header.tls = true,
            Some("crc32c") if is_list => header.crc32c = true,
            _ => {
                let message = format!("'send-proxy' {}", must_be(wanted, word.get_ref()));
                file.error(file.place(word.span().start), message);
                return None;
            }
        }
    }
    if is_list && !header.v2 {
        let message = "'send-proxy' needs \"v2\" in its list: version 1 has no options";
        file.error(file.place(value.span().start), message.to_owned());
    }
    Some(header)
}

fn source(file: &File<'_>, fields: &mut Fields<'_, '_>) -> Maybe<ConnectFrom> {
    let value = fields.value("source")?;
    let place = file.place(value.span().start);
    let DeValue::Table(table) = value.get_ref() else {
        let parsed = match value.get_ref().as_str() {
            Some(text) => parse_source(text, true).map_err(|message| format!(": {message}")),
            None => Err(format!(
                " {}",
                must_be("an IP address, a table", value.get_ref())
            )),
        };
        return match parsed {
            Ok(source) => Some(Spanned::new(source, place)),
            Err(message) => {
                file.error(place, format!("'source'{message}"));
                None
            }
        };
    };
    file.fields(&keys::SOURCE, table, |fields| {
        let mut source = None;
        replace(&mut source, fields.take("address", from_address));
        let mut source = source.unwrap_or_else(|| Spanned::new(anywhere(), place));
        let instead = fields.take("instead", instead);
        source.value.instead = instead.map(|said| said.value);
        let interface = fields.take("interface", text);
        source.value.interface = interface.map(|said| said.value);
        Some(source)
    })
}

fn anywhere() -> ConnectFrom {
    ConnectFrom {
        address: std::net::Ipv4Addr::UNSPECIFIED.into(),
        ports: None,
        instead: None,
        interface: None,
    }
}

fn from_address(value: &DeValue<'_>) -> Result<ConnectFrom, String> {
    parse_source(&text(value)?, true).map_err(|message| format!("is wrong: {message}"))
}

fn instead(value: &DeValue<'_>) -> Result<Instead, String> {
    parse_instead(&text(value)?)
}
