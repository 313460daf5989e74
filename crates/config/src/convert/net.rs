//! How connections are made and marked, as TOML.

use std::net::IpAddr;

use super::table::Table;
use crate::draft::{BindNet, SendProxyDraft};
use crate::toml::show_text;
use crate::{Check, ConnectFrom, Instead, SendProxy, Server};

pub(super) fn set_bind(table: &mut Table, net: &BindNet) {
    let is_on = |said: &Option<crate::draft::Spanned<bool>>| said.as_ref().is_some_and(|s| s.value);
    table.set_number("id", &net.id);
    table.set_if(is_on(&net.accept_proxy), "accept-proxy", true);
    table.set_number("mss", &net.mss);
    table.set_if(is_on(&net.fast_open), "tcp-fast-open", true);
    table.set_if(is_on(&net.defer_accept), "defer-accept", true);
}

pub(super) fn set_server(table: &mut Table, server: &Server) {
    table.set_some("send-proxy", server.send_proxy.map(header));
    table.set_some("source", server.source.as_ref().map(source));
    table.set_if(server.fast_open, "tcp-fast-open", true);
}

/// What checks send where that does not follow from what the server is sent.
pub(super) fn set_check(table: &mut Table, check: &Check, own: &SendProxyDraft, elsewhere: bool) {
    let follows = own.resolved().filter(|_| !elsewhere);
    table.set_if(check.send_proxy != follows, "check.send-proxy", true);
}

fn header(header: SendProxy) -> String {
    let options = match header {
        SendProxy::V1 => return "\"v1\"".to_owned(),
        SendProxy::V2 { tls, crc32c } => [(tls, "ssl"), (crc32c, "crc32c")],
    };
    let options: String = options
        .iter()
        .filter(|(is_set, _)| *is_set)
        .map(|(_, word)| format!(", \"{word}\""))
        .collect();
    if options.is_empty() {
        "\"v2\"".to_owned()
    } else {
        format!("[\"v2\"{options}]")
    }
}

fn source(source: &ConnectFrom) -> String {
    let address = match (source.address, &source.ports) {
        (ip, None) => ip.to_string(),
        (ip, Some(ports)) => {
            let host = match ip {
                IpAddr::V4(ip) => ip.to_string(),
                IpAddr::V6(ip) => format!("[{ip}]"),
            };
            if ports.start() == ports.end() {
                format!("{host}:{}", ports.start())
            } else {
                format!("{host}:{}-{}", ports.start(), ports.end())
            }
        }
    };
    if source.instead.is_none() && source.interface.is_none() {
        return show_text(&address);
    }
    let mut table = Table::new("");
    table.set("address", show_text(&address));
    table.set_some("instead", source.instead.map(instead));
    let interface = source.interface.as_deref();
    table.set_some("interface", interface.map(show_text));
    table.inline()
}

fn instead(instead: Instead) -> String {
    match instead {
        Instead::Client => "\"client\"".to_owned(),
        Instead::ClientIp => "\"clientip\"".to_owned(),
        Instead::Address(address) if address.port() == 0 => format!("\"{}\"", address.ip()),
        Instead::Address(address) => format!("\"{address}\""),
    }
}
