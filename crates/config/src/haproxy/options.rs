//! The options of `bind` and `server` lines (HAProxy manual, section 5).

use std::path::PathBuf;

use super::keywords::{self, Arguments, OptionRow, OptionSupport};
use super::lexer::{self, Word};
use super::{Line, Reader, health, load, net, privileges};
use crate::check::{TlsDraft, TlsVersion};
use crate::draft::{AccessDraft, BindDraft, BindNet, InitAddr, Maybe, ServerOptions, Spanned};
use crate::resolve::{did_you_mean, or_slip};
use crate::words::Word as _;
use crate::{IpVersions, NodeKey, OnMarkedDown, Place};

/// What a `server` line says, and a `default-server` line before it.
#[derive(Clone, Default)]
pub(super) struct ServerLine {
    pub(super) options: ServerOptions,
    pub(super) cookie: Option<Place>,
    pub(super) observe_layer7: Option<Place>,
}

/// A whole `bind` line: one draft for each address of its list.
pub(super) fn bind(reader: &mut Reader<'_>, line: &Line<'_>) -> Vec<BindDraft> {
    // What a stats socket has beside that means nothing here, as in HAProxy.
    bind_with(reader, line, &mut |_, _, _| {})
}

/// A line that says where to listen, with options that only some of them have.
pub(super) fn bind_with(
    reader: &mut Reader<'_>,
    line: &Line<'_>,
    own: &mut dyn FnMut(&mut Reader<'_>, &'static str, &Word),
) -> Vec<BindDraft> {
    let Some(address) = line.args().first() else {
        let example = match line.name {
            "bind" => "an address and a port, such as: bind 10.0.1.10:6443",
            _ => "an address, such as: stats socket /run/haproxy/admin.sock",
        };
        reader.error(line.here(), format!("'{}' needs {example}", line.name));
        return Vec::new();
    };
    let text = lexer::expand_address(&address.text, &|name| reader.variable(name));
    let plain = address.plain && text == address.text;
    let is_unix = text.starts_with('/') || text.starts_with("unix@") || text.starts_with("uxst@");
    let mut bind = BindDraft {
        address: line.spanned(address, text),
        name: None,
        maxconn: None,
        backlog: None,
        interface: None,
        ip_versions: None,
        transparent: None,
        tcp_user_timeout: None,
        access: AccessDraft::default(),
        net: BindNet::default(),
    };
    let words = &line.args()[1..];
    each_option(
        reader,
        line,
        words,
        keywords::BIND_OPTIONS,
        &mut |reader, name, word, argument| match name {
            "name" => bind.name = Some(line.spanned(argument, argument.text.clone())),
            "interface" => bind.interface = Some(line.spanned(argument, argument.text.clone())),
            "maxconn" | "backlog" => {
                let number = reader.number(line, name, argument, 0..=i64::from(i32::MAX));
                let number = number.map(|number| line.spanned(argument, number as u32));
                *(if name == "maxconn" {
                    &mut bind.maxconn
                } else {
                    &mut bind.backlog
                }) = number;
            }
            "tcp-ut" => bind.tcp_user_timeout = reader.time(line, name, argument),
            "transparent" => bind.transparent = Some(line.spanned(word, true)),
            "v4v6" => bind.ip_versions = Some(line.spanned(word, IpVersions::V4V6)),
            "v6only" => bind.ip_versions = Some(line.spanned(word, IpVersions::V6Only)),
            "mode" | "user" | "uid" | "group" | "gid" => {
                // An address that is no file has neither owner nor mode.
                if is_unix {
                    let access = &mut bind.access;
                    privileges::access_option(reader, line, name, argument, access);
                }
            }
            "level" | "expose-fd" | "severity-output" => own(reader, name, argument),
            other => {
                let is_net = net::bind_option(reader, line, &mut bind.net, other, word, argument);
                assert!(is_net, "'{other}' works, so it has its arm");
            }
        },
    );
    if plain {
        return vec![bind];
    }
    // Behind a quote or a variable, columns are the line's no more: each address has the word's.
    let list = bind.address.clone();
    let texts = list
        .value
        .strip_suffix(',')
        .unwrap_or(&list.value)
        .split(',');
    let drafts = texts.map(|text| BindDraft {
        address: Spanned::new(text.to_owned(), list.place.clone()),
        ..bind.clone()
    });
    drafts.collect()
}

/// The options of a `server` or `default-server` line, added to those in `server`.
pub(super) fn server(
    reader: &mut Reader<'_>,
    line: &Line<'_>,
    words: &[Word],
    server: &mut ServerLine,
) {
    each_option(
        reader,
        line,
        words,
        keywords::SERVER_OPTIONS,
        &mut |reader, name, word, argument| {
            server_option(reader, line, server, name, word, argument);
        },
    );
}

fn server_option(
    reader: &mut Reader<'_>,
    line: &Line<'_>,
    server: &mut ServerLine,
    name: &'static str,
    word: &Word,
    argument: &Word,
) {
    if net::server_option(reader, line, server, name, word, argument) {
        return;
    }
    let options = &mut server.options;
    match name {
        "backup" | "no-backup" => options.backup = Some(line.spanned(word, name == "backup")),
        "check" | "no-check" => options.check = Some(line.spanned(word, name == "check")),
        "disabled" | "enabled" => options.disabled = Some(line.spanned(word, name == "disabled")),
        "check-ssl" | "no-check-ssl" | "ca-file" | "crt" | "verify" | "check-sni"
        | "check-alpn" | "verifyhost" | "no-verifyhost" => {
            tls_option(reader, line, &mut options.check_tls, name, word, argument);
        }
        "ssl-min-ver" | "ssl-max-ver" | "force-sslv3" | "force-tlsv10" | "force-tlsv11"
        | "force-tlsv12" | "force-tlsv13" | "no-sslv3" | "no-tlsv10" | "no-tlsv11"
        | "no-tlsv12" | "no-tlsv13" => {
            let tls = &mut options.check_tls;
            let mut versions = Versions {
                min: tls.min_version.take(),
                max: tls.max_version.take(),
            };
            tls_version(reader, line, name, argument, &mut versions);
            (tls.min_version, tls.max_version) = (versions.min, versions.max);
        }
        "cookie" => server.cookie = Some(line.place(word)),
        "agent-check" | "no-agent-check" | "agent-addr" | "agent-inter" | "agent-port"
        | "agent-send" | "error-limit" | "observe" | "on-error" => {
            health::server_option(reader, line, server, name, word, argument);
        }
        "addr" => options.check_address = Some(line.spanned(argument, argument.text.clone())),
        "port" => {
            // 0 is the server's own.
            let number = reader.number(line, name, argument, 0..=65535);
            let number = number.filter(|number| *number > 0);
            options.check_port = number.map(|number| line.spanned(argument, number as u16));
        }
        "inter" | "fastinter" | "downinter" => {
            let Some(time) = reader.time(line, name, argument) else {
                return;
            };
            if time.value.is_zero() {
                let message = format!("'{name}' must be more than 0");
                return reader.error(line.place(argument), message);
            }
            *match name {
                "inter" => &mut options.inter,
                "fastinter" => &mut options.fastinter,
                _ => &mut options.downinter,
            } = Some(time);
        }
        "rise" | "fall" => {
            let number = reader.number(line, name, argument, 1..=i64::from(i32::MAX / 2));
            let number = number.map(|number| line.spanned(argument, number as u32));
            *(if name == "rise" {
                &mut options.rise
            } else {
                &mut options.fall
            }) = number;
        }
        "weight" => {
            let number = reader.number(line, name, argument, 0..=256);
            options.weight = number.map(|number| line.spanned(argument, number as u16));
        }
        "id" => {
            let number = reader.number(line, name, argument, 1..=i64::from(i32::MAX));
            options.id = number.map(|number| line.spanned(argument, number as u32));
        }
        "tcp-ut" => options.tcp_user_timeout = reader.time(line, name, argument),
        "on-marked-down" => match argument.text.as_str() {
            "shutdown-sessions" => {
                options.on_marked_down =
                    Some(line.spanned(argument, OnMarkedDown::ShutdownSessions));
            }
            other => {
                let message = format!("'on-marked-down' is shutdown-sessions, not '{other}'");
                reader.error(line.place(argument), message);
            }
        },
        "maxconn" | "minconn" | "maxqueue" => {
            load::server_limit(reader, line, server, name, argument);
        }
        "slowstart" => load::slowstart(reader, line, server, argument),
        "on-marked-up" => load::on_marked_up(reader, line, server, argument),
        "init-state" => load::init_state(reader, line, server, argument),
        "track" => options.load.track = Some(line.spanned(argument, argument.text.clone())),
        "hash-key" => {
            let key = NodeKey::of(&argument.text);
            if key.is_none() {
                let message = format!(
                    "'hash-key' is id, addr or addr-port, not '{}'",
                    argument.text
                );
                reader.error(line.place(argument), message);
            }
            options.node_key = key.map(|key| line.spanned(argument, key));
        }
        "init-addr" => options.init_addr = init_addr(reader, line, argument),
        other => unreachable!("'{other}' works, so it has its arm"),
    }
}

/// What the `global` section says of the TLS of every server.
#[derive(Default)]
pub(super) struct TlsDefaults {
    /// `ssl-server-verify none`.
    pub(super) is_unverified: bool,
    pub(super) ca_base: Option<PathBuf>,
    pub(super) crt_base: Option<PathBuf>,
    pub(super) versions: Versions,
}

impl TlsDefaults {
    /// What `draft` does not say.
    pub(super) fn complete(&self, draft: &mut TlsDraft, place: &Place) {
        if self.is_unverified {
            draft
                .verify
                .get_or_insert_with(|| Spanned::new(false, place.clone()));
        }
        let versions = &self.versions;
        for (field, default) in [
            (&mut draft.min_version, &versions.min),
            (&mut draft.max_version, &versions.max),
        ] {
            if field.is_none() {
                field.clone_from(default);
            }
        }
        for (field, base) in [
            (&mut draft.ca_file, &self.ca_base),
            (&mut draft.certificate, &self.crt_base),
        ] {
            if let (Some(file), Some(base)) = (field, base)
                && !file.value.starts_with(['/', '@'])
            {
                file.value = base.join(&file.value).to_string_lossy().into_owned();
            }
        }
    }
}

/// The versions of TLS that are allowed.
#[derive(Default)]
pub(super) struct Versions {
    pub(super) min: Maybe<TlsVersion>,
    pub(super) max: Maybe<TlsVersion>,
}

fn tls_option(
    reader: &mut Reader<'_>,
    line: &Line<'_>,
    tls: &mut TlsDraft,
    name: &str,
    word: &Word,
    argument: &Word,
) {
    let text = || Some(line.spanned(argument, argument.text.clone()));
    match name {
        "check-ssl" | "no-check-ssl" => tls.on = Some(line.spanned(word, name == "check-ssl")),
        "ca-file" => tls.ca_file = text(),
        "crt" => tls.certificate = text(),
        "check-sni" => tls.sni = text(),
        "check-alpn" => tls.alpn = text(),
        "verifyhost" => tls.verify_host = text(),
        "no-verifyhost" => tls.verify_host = None,
        _ => match argument.text.as_str() {
            "none" => tls.verify = Some(line.spanned(argument, false)),
            "required" => tls.verify = Some(line.spanned(argument, true)),
            other => {
                let message = format!("'verify' is none or required, not '{other}'");
                reader.error(line.place(argument), message);
            }
        },
    }
}

/// `ssl-min-ver`, `ssl-max-ver`, `force-...` and `no-...`; other words say nothing of versions.
pub(super) fn tls_version(
    reader: &mut Reader<'_>,
    line: &Line<'_>,
    name: &str,
    argument: &Word,
    versions: &mut Versions,
) {
    const VERSIONS: [(&str, &str, TlsVersion); 5] = [
        ("SSLv3", "sslv3", TlsVersion::Ssl30),
        ("TLSv1.0", "tlsv10", TlsVersion::Tls10),
        ("TLSv1.1", "tlsv11", TlsVersion::Tls11),
        ("TLSv1.2", "tlsv12", TlsVersion::Tls12),
        ("TLSv1.3", "tlsv13", TlsVersion::Tls13),
    ];
    if let "ssl-min-ver" | "ssl-max-ver" = name {
        let found = VERSIONS.iter().find(|version| version.0 == argument.text);
        let Some(&(_, _, version)) = found else {
            let known = VERSIONS.map(|version| version.0).join(", ");
            let message = format!("'{name}' is one of {known}, not '{}'", argument.text);
            return reader.error(line.place(argument), message);
        };
        let version = Some(line.spanned(argument, version));
        *(if name == "ssl-min-ver" {
            &mut versions.min
        } else {
            &mut versions.max
        }) = version;
        return;
    }
    let Some((verb, short)) = name.split_once('-') else {
        return;
    };
    let Some(index) = VERSIONS.iter().position(|version| version.1 == short) else {
        return;
    };
    let version = |index: usize| Some(line.spanned(argument, VERSIONS[index].2));
    match verb {
        "force" => {
            versions.min = version(index);
            versions.max = version(index);
        }
        // What is left out at an end moves the limit; HAProxy refuses holes, and so it is here.
        "no" if VERSIONS[index].2 == TlsVersion::Tls13 => versions.max = version(index - 1),
        "no" => versions.min = version(index + 1),
        _ => {}
    }
}

fn init_addr(reader: &mut Reader<'_>, line: &Line<'_>, word: &Word) -> Maybe<Vec<InitAddr>> {
    let mut methods = Vec::new();
    for text in word.text.split(',') {
        methods.push(match text {
            "last" => InitAddr::Last,
            "libc" => InitAddr::Libc,
            "none" => InitAddr::None,
            other => match other.parse() {
                Ok(ip) => InitAddr::Ip(ip),
                Err(_) => {
                    let message = format!(
                        "unknown init-addr method '{other}'; write last, libc, none or an address"
                    );
                    reader.error(line.place(word), message);
                    return None;
                }
            },
        });
    }
    Some(line.spanned(word, methods))
}

/// What is done with an option that works: its name in the table, its word, its argument (or the
/// word again where it takes none).
type Apply<'a> = dyn FnMut(&mut Reader<'_>, &'static str, &Word, &Word) + 'a;

fn each_option(
    reader: &mut Reader<'_>,
    line: &Line<'_>,
    words: &[Word],
    table: &'static [OptionRow],
    apply: &mut Apply<'_>,
) {
    // Quotes around nothing end a line of options, as `"${EXTRA}"` does where EXTRA is not set.
    let used = words.iter().rposition(|word| !word.text.is_empty());
    let mut rest = words[..used.map_or(0, |last| last + 1)].iter().peekable();
    while let Some(word) = rest.next() {
        if word.text.is_empty() {
            let message = format!(
                "an empty word ends the options of a '{}' line, as in HAProxy: what stands behind \
                 it does not count; leave the quotes out, or give the variable in them a value",
                line.name
            );
            return reader.warning(line.place(word), message);
        }
        let Some((row, name)) = keywords::find_option(table, &word.text) else {
            let known = table.iter().flat_map(|row| row.names.iter().copied());
            let is_number = word.text.bytes().all(|b| b.is_ascii_digit());
            let otherwise = match is_number {
                true => "; a port follows its address behind a colon, as in 10.0.1.11:6443",
                false => "; 'evenkeel keywords' lists those that are known",
            };
            let hint = or_slip(did_you_mean(&word.text, known), &word.text, otherwise);
            let message = format!("unknown {} option '{}'{hint}", line.name, word.text);
            // What follows may be its argument: guessing on would report it, too.
            return reader.error(line.place(word), message);
        };
        let mut argument = word;
        if row.arguments != Arguments::None {
            let Some(next) = rest.next() else {
                return reader.error(line.place(word), format!("'{name}' needs a value after it"));
            };
            argument = next;
        }
        if matches!(row.support, OptionSupport::Works) {
            apply(reader, name, word, argument);
            if row.arguments != Arguments::Source {
                continue;
            }
            let own = |word: &&Word| matches!(&*word.text, "usesrc" | "interface");
            while let Some(word) = rest.next_if(own) {
                let Some(argument) = rest.next() else {
                    let message = format!("'{}' needs a value after it", word.text);
                    return reader.error(line.place(word), message);
                };
                let name = match &*word.text {
                    "usesrc" => "source usesrc",
                    _ => "source interface",
                };
                apply(reader, name, word, argument);
            }
            continue;
        }
        let subject = format!("'{name}' on a {}", line.name.trim_start_matches("default-"));
        let text = if std::ptr::eq(argument, word) {
            name.to_owned()
        } else {
            format!("{name} {}", argument.text)
        };
        reader.verdict(row.support, &subject, name, &line.place(word), &text);
    }
}
