//! The `resolvers` section, and what servers say of it (HAProxy manual, section 5.3).

use super::lexer::Word;
use super::options::ServerLine;
use super::{Line, Reader, Section};
use crate::Prefer;
use crate::draft::{ResolversDraft, Spanned};
use crate::resolve::did_you_mean;

const KEYWORDS: [&str; 6] = [
    "accepted_payload_size",
    "hold",
    "nameserver",
    "parse-resolv-conf",
    "resolve_retries",
    "timeout",
];

/// The line that begins a section.
pub(super) fn begin(reader: &mut Reader<'_>, line: &Line<'_>) {
    let name = match line.args().first() {
        Some(word) => line.spanned(word, word.text.clone()),
        None => {
            reader.error(line.here(), "'resolvers' needs a name after it");
            line.spanned(&line.words[0], String::new())
        }
    };
    reader.no_more(line, 1);
    let section = ResolversDraft::new(name, line.here());
    reader.section = Section::Resolvers(Box::new(section));
}

/// A line of a section.
pub(super) fn line(reader: &mut Reader<'_>, line: &Line<'_>) {
    let keyword = &*line.words[0].text;
    let name = KEYWORDS.into_iter().find(|known| *known == keyword);
    let line = &Line {
        name: name.unwrap_or_default(),
        ..*line
    };
    match keyword {
        "nameserver" => nameserver(reader, line),
        "parse-resolv-conf" => {
            reader.no_more(line, 0);
            let yes = line.spanned(&line.words[0], true);
            reader.resolvers().system = Some(yes);
        }
        "resolve_retries" => {
            if let Some(word) = reader.one(line)
                && let Some(number) = reader.number(line, "resolve_retries", word, 1..=1000)
            {
                reader.resolvers().retries = Some(line.spanned(word, number as u32));
            }
        }
        "accepted_payload_size" => {
            if let Some(word) = reader.one(line)
                && let Some(number) =
                    reader.number(line, "accepted_payload_size", word, 512..=65535)
            {
                reader.resolvers().payload_bytes = Some(line.spanned(word, number as u16));
            }
        }
        "hold" | "timeout" => time(reader, line),
        other => {
            let hint = did_you_mean(other, KEYWORDS.into_iter());
            let message = format!("unknown keyword '{other}' in 'resolvers' section{hint}");
            reader.error(line.here(), message);
        }
    }
}

fn nameserver(reader: &mut Reader<'_>, line: &Line<'_>) {
    let [name, address, ..] = line.args() else {
        let message =
            "'nameserver' needs a name and an address, such as: nameserver dns1 10.0.0.53:53";
        return reader.error(line.here(), message);
    };
    reader.no_more(line, 2);
    let text = super::lexer::expand_address(&address.text, &|name| reader.variable(name));
    let nameserver = (
        line.spanned(name, name.text.clone()),
        line.spanned(address, text),
    );
    reader.resolvers().nameservers.push(nameserver);
}

/// `hold STATUS TIME` and `timeout EVENT TIME`.
fn time(reader: &mut Reader<'_>, line: &Line<'_>) {
    let keyword = line.words[0].text.clone();
    let [what, word, ..] = line.args() else {
        return reader.error(
            line.here(),
            format!("'{keyword}' needs a word and a time after it"),
        );
    };
    reader.no_more(line, 2);
    let name = format!("{keyword} {}", what.text);
    let Some(time) = reader.time(line, &name, word) else {
        return;
    };
    let section = reader.resolvers();
    let hold = &mut section.hold;
    let field = match (&*keyword, &*what.text) {
        ("timeout", "resolve") => &mut section.resolve,
        ("timeout", "retry") => &mut section.retry,
        ("hold", "nx") => &mut hold.nx,
        ("hold", "refused") => &mut hold.refused,
        ("hold", "timeout") => &mut hold.timeout,
        ("hold", "other") => &mut hold.other,
        ("hold", "obsolete") => &mut hold.obsolete,
        // Of actions that look names up, which rules are not made of here.
        ("hold", "valid") => return,
        _ => {
            let known: &[&str] = if keyword == "hold" {
                &["nx", "obsolete", "other", "refused", "timeout", "valid"]
            } else {
                &["resolve", "retry"]
            };
            let hint = did_you_mean(&what.text, known.iter().copied());
            let message = format!(
                "unknown {keyword} '{}'{hint}; it is one of {}",
                what.text,
                known.join(", ")
            );
            return reader.error(line.place(what), message);
        }
    };
    *field = Some(time);
}

/// An option of a `server` line; whether it is one of these.
pub(super) fn server_option(
    reader: &mut Reader<'_>,
    line: &Line<'_>,
    server: &mut ServerLine,
    name: &str,
    argument: &Word,
) -> bool {
    let resolution = &mut server.options.net.resolution;
    match name {
        "resolvers" => {
            resolution.resolvers = Some(line.spanned(argument, argument.text.clone()));
        }
        "resolve-prefer" => {
            let prefer = match &*argument.text {
                "ipv4" => Prefer::V4,
                "ipv6" => Prefer::V6,
                other => {
                    let message = format!("'resolve-prefer' is ipv4 or ipv6, not '{other}'");
                    reader.error(line.place(argument), message);
                    return true;
                }
            };
            resolution.prefer = Some(line.spanned(argument, prefer));
        }
        "resolve-net" => {
            let nets: Result<Vec<_>, _> = argument.text.split(',').map(parse_net).collect();
            match nets {
                Ok(nets) => resolution.nets = Some(line.spanned(argument, nets)),
                Err(message) => {
                    reader.error(line.place(argument), format!("'resolve-net': {message}"));
                }
            }
        }
        "resolve-opts" => {
            for option in argument.text.split(',') {
                let yes = |is: bool| Some(Spanned::new(is, line.place(argument)));
                match option {
                    "allow-dup-ip" => resolution.allows_duplicates = yes(true),
                    "prevent-dup-ip" => resolution.allows_duplicates = yes(false),
                    "ignore-weight" => resolution.ignores_weight = yes(true),
                    other => {
                        let known = ["allow-dup-ip", "ignore-weight", "prevent-dup-ip"];
                        let hint = did_you_mean(other, known.into_iter());
                        let message = format!("unknown option '{other}' of resolve-opts{hint}");
                        reader.error(line.place(argument), message);
                    }
                }
            }
        }
        _ => return false,
    }
    true
}

/// `10.0.0.0/8`, or one address.
pub(crate) fn parse_net(text: &str) -> Result<ipnet::IpNet, String> {
    let one = |ip: std::net::IpAddr| ipnet::IpNet::from(ip);
    text.parse()
        .or_else(|_| text.parse().map(one))
        .map_err(|_| format!("'{text}' is no network such as 10.0.0.0/8"))
}
