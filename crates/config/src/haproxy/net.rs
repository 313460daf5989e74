//! Options of `bind` and `server` lines that say how connections are made and marked, and the
//! `source` keyword.

use std::net::IpAddr;

use super::keywords::OptionSupport;
use super::lexer::Word;
use super::options::ServerLine;
use super::{Line, Reader, resolvers};
use crate::address::{self, Address, Host, Port};
use crate::draft::{BindNet, Spanned};
use crate::resolve::did_you_mean;
use crate::{ConnectFrom, Instead};

/// An option of a `bind` line; whether it is one of these.
pub(super) fn bind_option(
    reader: &mut Reader<'_>,
    line: &Line<'_>,
    net: &mut BindNet,
    name: &'static str,
    word: &Word,
    argument: &Word,
) -> bool {
    match name {
        "accept-proxy" => net.accept_proxy = Some(line.spanned(word, true)),
        "defer-accept" => net.defer_accept = Some(line.spanned(word, true)),
        "tfo" => net.fast_open = Some(line.spanned(word, true)),
        "id" => {
            let number = reader.number(line, name, argument, 1..=i64::from(i32::MAX));
            net.id = number.map(|number| line.spanned(argument, number as u32));
        }
        "mss" => {
            let number = reader.number(line, name, argument, -65535..=65535);
            if number == Some(0) {
                let message = "'mss' must be a number of bytes from 1 to 65535, or less than 0";
                reader.error(line.place(argument), message);
            }
            if number.is_some_and(|number| number < 0) {
                let support = OptionSupport::NoEffect(
                    "the kernel takes no smaller segments from a connection that is made already",
                );
                let place = line.place(argument);
                reader.verdict(support, "'mss' less than 0", name, &place, "mss");
            }
            let number = number.and_then(|number| u16::try_from(number).ok());
            let number = number.filter(|number| *number != 0);
            net.mss = number.map(|number| line.spanned(argument, number));
        }
        "nice" => drop(reader.number(line, name, argument, -1024..=1024)),
        "shards" => {
            if !matches!(&*argument.text, "by-thread" | "by-group") {
                reader.number(line, name, argument, 1..=64);
            }
        }
        _ => return false,
    }
    true
}

/// An option of a `server` line; whether it is one of these.
pub(super) fn server_option(
    reader: &mut Reader<'_>,
    line: &Line<'_>,
    server: &mut ServerLine,
    name: &'static str,
    word: &Word,
    argument: &Word,
) -> bool {
    let net = &mut server.options.net;
    let header = &mut net.send_proxy;
    match name {
        "send-proxy" => header.v1 = true,
        "no-send-proxy" => header.v1 = false,
        "send-proxy-v2" => header.v2 = true,
        "no-send-proxy-v2" => header.v2 = false,
        "send-proxy-v2-ssl" | "send-proxy-v2-ssl-cn" => (header.v2, header.tls) = (true, true),
        "no-send-proxy-v2-ssl" | "no-send-proxy-v2-ssl-cn" => {
            (header.v2, header.tls) = (false, false);
        }
        "proxy-v2-options" => header_options(reader, line, server, argument),
        "check-send-proxy" | "no-check-send-proxy" => {
            net.check_send_proxy = Some(line.spanned(word, name == "check-send-proxy"));
        }
        "tfo" | "no-tfo" => net.fast_open = Some(line.spanned(word, name == "tfo")),
        "source" => {
            net.source = source(reader, line, argument, PortRange::Allowed);
        }
        "source usesrc" | "source interface" => {
            if let Some(source) = &mut net.source {
                source_option(reader, line, &mut source.value, name, argument);
            }
        }
        _ => return resolvers::server_option(reader, line, server, name, argument),
    }
    true
}

fn header_options(
    reader: &mut Reader<'_>,
    line: &Line<'_>,
    server: &mut ServerLine,
    argument: &Word,
) {
    const KNOWN: [&str; 8] = [
        "ssl",
        "cert-cn",
        "ssl-cipher",
        "cert-sig",
        "cert-key",
        "authority",
        "crc32c",
        "unique-id",
    ];
    let header = &mut server.options.net.send_proxy;
    for option in argument.text.split(',') {
        match option {
            "ssl" | "cert-cn" | "ssl-cipher" | "cert-sig" | "cert-key" => header.tls = true,
            "crc32c" => header.crc32c = true,
            // A name that the client gave over TLS, which nothing here ends.
            "authority" => {}
            "unique-id" => {
                let message = "'proxy-v2-options unique-id' is not supported: there is no \
                               'unique-id-format' to make one of; leave unique-id out";
                return reader.error(line.place(argument), message);
            }
            other => {
                let hint = did_you_mean(other, KNOWN.into_iter());
                let message = format!("unknown option '{other}' of proxy-v2-options{hint}");
                return reader.error(line.place(argument), message);
            }
        }
    }
}

/// `source` as a keyword of a section.
pub(super) fn source_line(reader: &mut Reader<'_>, line: &Line<'_>) {
    let Some((address, rest)) = line.args().split_first() else {
        return reader.error(
            line.here(),
            "'source' needs an address after it, such as: source 10.0.1.10",
        );
    };
    let mut source = source(reader, line, address, PortRange::Refused);
    let mut rest = rest.iter();
    while let Some(word) = rest.next() {
        let name = match &*word.text {
            "usesrc" => "source usesrc",
            "interface" => "source interface",
            other => {
                let hint = did_you_mean(other, ["usesrc", "interface"].into_iter());
                let message = format!("unexpected '{other}' after 'source {}'{hint}", address.text);
                return reader.error(line.place(word), message);
            }
        };
        let Some(argument) = rest.next() else {
            let message = format!("'{}' needs a value after it", word.text);
            return reader.error(line.place(word), message);
        };
        if let Some(source) = &mut source {
            source_option(reader, line, &mut source.value, name, argument);
        }
    }
    reader.proxy().source = source;
}

#[derive(Clone, Copy, PartialEq)]
enum PortRange {
    Allowed,
    Refused,
}

fn source(
    reader: &mut Reader<'_>,
    line: &Line<'_>,
    word: &Word,
    range: PortRange,
) -> Option<Spanned<ConnectFrom>> {
    match parse_source(&word.text, range == PortRange::Allowed) {
        Ok(source) => Some(line.spanned(word, source)),
        Err(message) => {
            reader.error(line.place(word), format!("'source': {message}"));
            None
        }
    }
}

/// `10.0.1.10`, `10.0.1.10:1000-2000`, `*`.
pub(crate) fn parse_source(text: &str, allows_range: bool) -> Result<ConnectFrom, String> {
    // Without a port, the last colon of a bare IPv6 address is not the port's.
    let (address, port) = match text.parse::<IpAddr>() {
        Ok(ip) => (ip, Port::Missing),
        Err(_) => match address::parse(text)? {
            Address::Inet { family, host, port } => match host {
                Host::Ip(ip) => (ip, port),
                Host::Wildcard => (family.wildcard(), port),
                Host::Name(name) => {
                    return Err(format!(
                        "'{name}' is a name; connections come from an IP address of this machine"
                    ));
                }
            },
            _ => {
                return Err(format!(
                    "'{text}' is no IP address of this machine, which connections could come from"
                ));
            }
        },
    };
    let ports = match port {
        Port::Missing | Port::One(0) => None,
        Port::One(port) => Some(port..=port),
        Port::Range(first, last) if allows_range => Some(first..=last),
        Port::Range(..) => {
            return Err(format!(
                "port ranges belong on 'server' lines, not here, in '{text}'"
            ));
        }
        Port::Offset(_) => {
            return Err(format!("a port offset means nothing here, in '{text}'"));
        }
    };
    Ok(ConnectFrom {
        address,
        ports,
        instead: None,
        interface: None,
    })
}

fn source_option(
    reader: &mut Reader<'_>,
    line: &Line<'_>,
    source: &mut ConnectFrom,
    name: &str,
    argument: &Word,
) {
    if name == "source interface" {
        source.interface = Some(argument.text.clone());
        return;
    }
    match parse_instead(&argument.text) {
        Ok(instead) => source.instead = Some(instead),
        Err(message) => reader.error(line.place(argument), format!("'usesrc' {message}")),
    }
}

/// `client`, `clientip`, an address with or without a port.
pub(crate) fn parse_instead(text: &str) -> Result<Instead, String> {
    match text {
        "client" => Ok(Instead::Client),
        "clientip" => Ok(Instead::ClientIp),
        _ if text.starts_with("hdr_ip") => Err(format!(
            "is client, clientip or an address; '{text}' needs HTTP, which no accepted proxy speaks"
        )),
        _ => match parse_source(text, false) {
            Ok(ConnectFrom { address, ports, .. }) => {
                let port = ports.map_or(0, |ports| *ports.start());
                Ok(Instead::Address((address, port).into()))
            }
            Err(_) => Err(format!("is client, clientip or an address, not '{text}'")),
        },
    }
}
