//! What a `defaults`, `frontend`, `backend` or `listen` section says (HAProxy manual, section 4):
//! one function for each keyword that works.

use std::time::Duration;

use super::keywords::OptionSupport;
use super::section::{Kind, LineFormat, Mode, Proxy};
use super::{Line, Reader, global, options};
use crate::Keepalive;
use crate::draft::ProxyLog;
use crate::resolve::did_you_mean;

pub(super) fn mode(reader: &mut Reader<'_>, line: &Line<'_>) {
    let Some(word) = reader.one(line) else {
        return;
    };
    let mode = match word.text.as_str() {
        "tcp" => Mode::Tcp,
        "http" => Mode::Http,
        "log" | "syslog" | "spop" | "haterm" | "cli" | "peers" => Mode::Other,
        "health" => {
            return reader.error(
                line.place(word),
                "HAProxy dropped mode health; write 'http-request return status 200' in mode http",
            );
        }
        other => {
            let hint = did_you_mean(other, ["tcp", "http"].into_iter());
            let message = format!("unknown proxy mode '{other}'{hint}");
            return reader.error(line.place(word), message);
        }
    };
    reader.proxy().mode = Some(line.spanned(word, mode));
}

pub(super) fn disabled(reader: &mut Reader<'_>, line: &Line<'_>) {
    reader.no_more(line, 0);
    reader.proxy().disabled = Some(line.spanned(&line.words[0], line.name == "disabled"));
}

pub(super) fn id(reader: &mut Reader<'_>, line: &Line<'_>) {
    if let Some(word) = reader.one(line)
        && let Some(number) = reader.number(line, line.name, word, 1..=i64::from(i32::MAX))
    {
        reader.proxy().id = Some(line.spanned(word, number as u32));
    }
}

pub(super) fn bind(reader: &mut Reader<'_>, line: &Line<'_>) {
    let binds = options::bind(reader, line);
    reader.proxy().binds.extend(binds);
}

pub(super) fn default_backend(reader: &mut Reader<'_>, line: &Line<'_>) {
    if let Some(word) = reader.one(line) {
        reader.proxy().default_backend = Some(line.spanned(word, word.text.clone()));
    }
}

pub(super) fn maxconn(reader: &mut Reader<'_>, line: &Line<'_>) {
    if let Some(word) = reader.one(line)
        && let Some(number) = reader.number(line, line.name, word, 0..=i64::from(i32::MAX))
    {
        reader.proxy().maxconn = Some(line.spanned(word, number as u32));
    }
}

pub(super) fn backlog(reader: &mut Reader<'_>, line: &Line<'_>) {
    if let Some(word) = reader.one(line)
        && let Some(number) = reader.number(line, line.name, word, 0..=i64::from(i32::MAX))
    {
        reader.proxy().backlog = Some(line.spanned(word, number as u32));
    }
}

pub(super) fn server(reader: &mut Reader<'_>, line: &Line<'_>) {
    let [name, address, ..] = line.args() else {
        let message =
            "'server' needs a name and an address, such as: server cp1 10.0.1.11:6443 check";
        return reader.error(line.here(), message);
    };
    let text = super::lexer::expand_address(&address.text, &|name| reader.variable(name));
    let mut server = reader.proxy().default_server.clone();
    options::server(reader, line, &line.args()[2..], &mut server);
    let server = (
        line.spanned(name, name.text.clone()),
        line.spanned(address, text),
        line.here(),
        server,
    );
    reader.proxy().servers.push(server);
}

/// `server-template PREFIX COUNT ADDRESS`: as many `server` lines, whose names end in a number.
pub(super) fn server_template(reader: &mut Reader<'_>, line: &Line<'_>) {
    let [prefix, range, address, ..] = line.args() else {
        let message = "'server-template' needs a prefix, a number and an address, such as: \
                       server-template cp 3 masters.example:6443 check";
        return reader.error(line.here(), message);
    };
    let Some((first, last)) = template_range(&range.text) else {
        let message = format!(
            "'server-template' needs how many servers there are, or the first and last number, as \
             in 3 or 1-3, not '{}'",
            range.text
        );
        return reader.error(line.place(range), message);
    };
    if last - first >= MOST_OF_A_TEMPLATE {
        let message = format!("'server-template' makes at most {MOST_OF_A_TEMPLATE} servers");
        return reader.error(line.place(range), message);
    }
    let text = super::lexer::expand_address(&address.text, &|name| reader.variable(name));
    let mut server = reader.proxy().default_server.clone();
    options::server(reader, line, &line.args()[3..], &mut server);
    // The id of the first; the others have the ones after it.
    let id = server.options.id.clone();
    for (at, number) in (0..).zip(first..=last) {
        let mut server = server.clone();
        server.options.id = id.clone().map(|id| id.map(|id| id + at));
        let server = (
            line.spanned(prefix, format!("{}{number}", prefix.text)),
            line.spanned(address, text.clone()),
            line.here(),
            server,
        );
        reader.proxy().servers.push(server);
    }
}

/// Servers of one line: more are a slip of the finger, and would be held in memory before anybody
/// saw it.
const MOST_OF_A_TEMPLATE: u32 = 100_000;

/// `3` for 1 to 3, `2-4`.
fn template_range(text: &str) -> Option<(u32, u32)> {
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (first.parse().ok()?, last.parse().ok()?),
        None => (1, text.parse().ok()?),
    };
    (first <= last).then_some((first, last))
}

pub(super) fn default_server(reader: &mut Reader<'_>, line: &Line<'_>) {
    let mut server = reader.proxy().default_server.clone();
    options::server(reader, line, line.args(), &mut server);
    reader.proxy().default_server = server;
}

pub(super) fn retries(reader: &mut Reader<'_>, line: &Line<'_>) {
    if let Some(word) = reader.one(line)
        && let Some(number) = reader.number(line, line.name, word, 0..=i64::from(i32::MAX))
    {
        reader.proxy().retries = Some(line.spanned(word, number as u32));
    }
}

/// `option redispatch [interval]`.
pub(super) fn redispatch(reader: &mut Reader<'_>, line: &Line<'_>) {
    let mut interval = Some(-1);
    if let Some(word) = line.args().first() {
        reader.no_more(line, 1);
        let Some(number) = reader.number(line, "option redispatch", word, -1_000_000..=1_000_000)
        else {
            return;
        };
        interval = Some(number as i32);
    }
    let interval = interval.filter(|_| !line.negated);
    reader.proxy().redispatch = Some(line.spanned(&line.words[0], interval));
}

pub(super) fn allbackups(reader: &mut Reader<'_>, line: &Line<'_>) {
    reader.no_more(line, 0);
    reader.proxy().all_backups = Some(line.spanned(&line.words[0], !line.negated));
}

pub(super) fn timeout(reader: &mut Reader<'_>, line: &Line<'_>) {
    let Some(word) = reader.one(line) else {
        return;
    };
    let Some(time) = reader.time(line, line.name, word) else {
        return;
    };
    let proxy = reader.proxy();
    let timeouts = &mut proxy.timeouts;
    let field = match line.name {
        "timeout queue" => &mut proxy.queueing.timeout,
        "timeout connect" => &mut timeouts.connect,
        "timeout check" => &mut timeouts.check,
        "timeout server" => &mut timeouts.server,
        "timeout server-fin" => &mut timeouts.server_fin,
        "timeout tunnel" => &mut timeouts.tunnel,
        "timeout client" => &mut timeouts.client,
        "timeout http-request" => &mut timeouts.http_request,
        "timeout http-keep-alive" => &mut timeouts.http_keep_alive,
        _ => &mut timeouts.client_fin,
    };
    *field = Some(time);
}

/// A timeout of HTTP, which only a proxy in mode http speaks.
pub(super) fn http_timeout(reader: &mut Reader<'_>, line: &Line<'_>) {
    let before = reader.draft.problems.len();
    timeout(reader, line);
    // What is wrong with it was said.
    if reader.draft.problems.len() == before {
        unused_timeout(reader, line);
    }
}

/// A timeout that nothing here uses: still a time.
pub(super) fn unused_timeout(reader: &mut Reader<'_>, line: &Line<'_>) {
    if let Some(word) = reader.one(line)
        && reader.time(line, line.name, word).is_some()
    {
        let text = format!("{} {}", line.name, word.text);
        let silent = OptionSupport::Silent("it concerns HTTP or TLS");
        reader.verdict(silent, "", line.name, &line.here(), &text);
    }
}

/// `option tcpka` for both legs, `clitcpka` and `srvtcpka` for one.
pub(super) fn tcpka(reader: &mut Reader<'_>, line: &Line<'_>) {
    reader.no_more(line, 0);
    let on = Some(line.spanned(&line.words[0], !line.negated));
    let legs = &mut reader.proxy().keepalive;
    if line.name != "option srvtcpka" {
        legs.client.on.clone_from(&on);
    }
    if line.name != "option clitcpka" {
        legs.server.on = on;
    }
}

/// `clitcpka-idle` and its kin.
pub(super) fn keepalive(reader: &mut Reader<'_>, line: &Line<'_>) {
    let Some(word) = reader.one(line) else {
        return;
    };
    let (leg, what) = line.name.split_at("clitcpka-".len());
    let client = leg.starts_with("cli");
    if what == "cnt" {
        if let Some(number) = reader.number(line, line.name, word, 1..=127) {
            leg_of(reader.proxy(), client).probes = Some(number as u32);
        }
        return;
    }
    // The kernel counts in seconds, and so does HAProxy here when there is no unit.
    let bare = !word.text.is_empty() && word.text.bytes().all(|b| b.is_ascii_digit());
    let text = if bare {
        format!("{}s", word.text)
    } else {
        word.text.clone()
    };
    match crate::units::parse_time(&text) {
        Ok(time) if time >= Duration::from_secs(1) => {
            let settings = leg_of(reader.proxy(), client);
            *(if what == "idle" {
                &mut settings.idle
            } else {
                &mut settings.interval
            }) = Some(time);
        }
        Ok(_) => {
            let message = format!("'{}' must be at least a second", line.name);
            reader.error(line.place(word), message);
        }
        Err(message) => reader.error(line.place(word), format!("'{}': {message}", line.name)),
    }
}

fn leg_of(proxy: &mut Proxy, client: bool) -> &mut Keepalive {
    if client {
        &mut proxy.keepalive.client.settings
    } else {
        &mut proxy.keepalive.server.settings
    }
}

pub(super) fn splice(reader: &mut Reader<'_>, line: &Line<'_>) {
    reader.no_more(line, 0);
    let on = Some(line.spanned(&line.words[0], !line.negated));
    let splice = &mut reader.proxy().splice;
    *match line.name {
        "option splice-auto" => &mut splice.auto,
        "option splice-request" => &mut splice.request,
        _ => &mut splice.response,
    } = on;
}

pub(super) fn log(reader: &mut Reader<'_>, line: &Line<'_>) {
    if line.negated {
        reader.proxy().logs.clear();
        return;
    }
    if line
        .args()
        .first()
        .is_some_and(|word| word.text == "global")
    {
        reader.no_more(line, 1);
        let logs = &mut reader.proxy().logs;
        // A target of the global section gets a line once, however often it is named.
        if !logs.iter().any(|log| matches!(log, ProxyLog::Global)) {
            logs.push(ProxyLog::Global);
        }
        return;
    }
    if let Some(log) = global::log_line(reader, line) {
        reader.proxy().logs.push(ProxyLog::Own(log));
    }
}

pub(super) fn log_tag(reader: &mut Reader<'_>, line: &Line<'_>) {
    if let Some(word) = reader.one(line) {
        reader.proxy().log_tag = Some(line.spanned(word, word.text.clone()));
    }
}

pub(super) fn tcplog(reader: &mut Reader<'_>, line: &Line<'_>) {
    reader.no_more(line, 1);
    let format = match line.args().first() {
        None => LineFormat::Tcp,
        Some(word) if word.text == "clf" => LineFormat::TcpClf,
        Some(word) => {
            let message = format!("unexpected argument '{}' after 'option tcplog'", word.text);
            return reader.error(line.place(word), message);
        }
    };
    set_format(reader, line, format);
}

pub(super) fn httplog(reader: &mut Reader<'_>, line: &Line<'_>) {
    let https = line.name == "option httpslog";
    set_format(
        reader,
        line,
        if https {
            LineFormat::Https
        } else {
            LineFormat::Http
        },
    );
}

/// `log-format`, `log-format-sd`: judged once it is known what samples may name.
pub(super) fn log_format(reader: &mut Reader<'_>, line: &Line<'_>) {
    let name = line.name;
    let word = match line.args() {
        [] => {
            let message =
                format!("'{name}' needs a format after it, such as \"%ci:%cp %ft %b/%s %ts\"");
            return reader.error(line.here(), message);
        }
        [word] if word.text.is_empty() => {
            return reader.error(
                line.place(word),
                format!("'{name}' needs a format after it, not an empty text"),
            );
        }
        [word] => word,
        [_, extra, ..] => {
            let message = format!(
                "'{name}' takes one format: put it in double quotes, or a backslash before each space"
            );
            return reader.error(line.place(extra), message);
        }
    };
    let text = Some(line.spanned(word, word.text.clone()));
    if name == "log-format-sd" {
        reader.proxy().log_lines.structured = text;
        return;
    }
    reader.proxy().log_lines.custom = text;
    set_format(reader, line, LineFormat::Custom);
}

/// `option dontlog-normal`, `option logasap`, `option log-separate-errors`.
pub(super) fn log_option(reader: &mut Reader<'_>, line: &Line<'_>) {
    reader.no_more(line, 0);
    let on = Some(line.spanned(&line.words[0], !line.negated));
    let lines = &mut reader.proxy().log_lines;
    *match line.name {
        "option dontlog-normal" => &mut lines.skip_normal,
        "option logasap" => &mut lines.as_soon_as_possible,
        _ => &mut lines.errors_apart,
    } = on;
}

fn set_format(reader: &mut Reader<'_>, line: &Line<'_>, format: LineFormat) {
    let proxy = reader.proxy();
    if proxy.kind == Kind::Backend {
        let message = format!("{}: '{}' is ignored in backends", proxy.who(), line.name);
        return reader.warning(line.here(), message);
    }
    let section = proxy.kind.section();
    let before = proxy
        .log_format
        .replace(line.spanned(&line.words[0], format));
    let own = before.filter(|before| {
        before.place.file == proxy.place.file && before.place.line > proxy.place.line
    });
    if let Some(before) = own.filter(|before| before.value != format) {
        let before = match before.value {
            LineFormat::Tcp | LineFormat::TcpClf => "option tcplog",
            LineFormat::Http => "option httplog",
            LineFormat::Https => "option httpslog",
            LineFormat::Custom => "log-format",
        };
        let message = format!(
            "'{}' overrides previous '{before}' in '{section}' section",
            line.name
        );
        reader.warning(line.here(), message);
    }
}

pub(super) fn dontlognull(reader: &mut Reader<'_>, line: &Line<'_>) {
    reader.no_more(line, 0);
    reader.proxy().skip_null = Some(line.spanned(&line.words[0], !line.negated));
}
