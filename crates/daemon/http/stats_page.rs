//! Long for its columns. The statistics page: what a browser shows of every proxy, one table each. Plain HTML, readable
//! in a terminal's browser too.

use std::fmt::Write;
use std::time::Duration;

use evenkeel_config::{ServerAddress, StatsPage};
use evenkeel_proxy::{
    BackendSnapshot, FrontendSnapshot, FrontendStatus, HttpSnapshot, ServerSnapshot,
    ServiceSnapshot,
};

use super::stats_admin::{ACTIONS, Outcome};
use crate::columns::View;
use crate::{desk, stat};

const INFALLIBLE: &str = "writing to a String does not fail";

/// What is shown, and how a browser is to take it.
pub(crate) struct Shown {
    pub(crate) kind: &'static str,
    pub(crate) text: String,
    /// When to ask again.
    pub(crate) refresh: Option<Duration>,
}

/// What the rest of the request's target asks for: `;up;norefresh`, `?scope=kube`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    form: Form,
    /// `;norefresh`.
    stays: bool,
    /// `;up`: servers that are down are left out.
    hides_down: bool,
    /// `;no-maint`: servers in maintenance are left out.
    hides_maint: bool,
    /// `scope=`: only proxies with this in their name.
    scope: String,
    /// `;st=DONE`: what became of a form.
    outcome: Option<Outcome>,
}

/// Which section shows the page, and whether whoever asked may change servers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct By<'a> {
    pub(crate) section: &'a str,
    pub(crate) is_admin: bool,
}

/// In which form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Form {
    #[default]
    Html,
    /// `;csv`.
    Csv,
    /// `;typed`.
    Typed,
    /// `;json`.
    Json,
}

impl Form {
    fn kind(self) -> &'static str {
        match self {
            Self::Html => "text/html; charset=utf-8",
            Self::Csv | Self::Typed => "text/plain",
            Self::Json => "application/json",
        }
    }
}

impl Wanted {
    pub(crate) fn parse(rest: &str) -> Self {
        let mut wanted = Self::default();
        for word in rest.split([';', '?', '&']) {
            match word.split_once('=').unwrap_or((word, "")) {
                ("csv", _) => wanted.form = Form::Csv,
                ("typed", _) => wanted.form = Form::Typed,
                ("json", _) => wanted.form = Form::Json,
                ("norefresh", _) => wanted.stays = true,
                ("up", _) => wanted.hides_down = true,
                ("no-maint", _) => wanted.hides_maint = true,
                ("scope", scope) => wanted.scope = scope.to_owned(),
                ("st", word) => wanted.outcome = Outcome::parse(word),
                _ => {}
            }
        }
        wanted
    }

    /// Where a browser is sent that sent a form, as HAProxy writes it.
    pub(super) fn after(&self, page: &StatsPage, outcome: Outcome) -> String {
        let mut address = format!("{};st={}", page.uri, outcome.word());
        for (is_set, word) in [
            (self.hides_down, ";up"),
            (self.hides_maint, ";no-maint"),
            (self.stays && page.refresh.is_some(), ";norefresh"),
        ] {
            if is_set {
                address.push_str(word);
            }
        }
        if !self.scope.is_empty() {
            address.push_str("?scope=");
            address.push_str(&self.scope);
        }
        address
    }

    /// The options again, with one put in or taken out, for a link.
    fn link(&self, uri: &str, change: impl Fn(&mut Self)) -> String {
        let mut wanted = self.clone();
        change(&mut wanted);
        let mut link = uri.to_owned();
        for (is_set, word) in [
            (wanted.hides_down, ";up"),
            (wanted.hides_maint, ";no-maint"),
            (wanted.stays, ";norefresh"),
        ] {
            if is_set {
                link.push_str(word);
            }
        }
        if !wanted.scope.is_empty() {
            link.push_str(";scope=");
            link.push_str(&wanted.scope);
        }
        escaped(&link)
    }

    /// Of `view` what is asked for and what `page` allows; `own` is the section that shows it.
    fn view(&self, page: &StatsPage, own: &str, mut view: View) -> View {
        let shows = |name: &str| {
            let is_allowed = page.scope.is_empty()
                || page
                    .scope
                    .iter()
                    .any(|scope| scope == name || scope == "." && name == own);
            is_allowed && name.contains(&self.scope)
        };
        view.proxy
            .frontends
            .retain(|frontend| shows(&frontend.name));
        view.proxy.backends.retain(|backend| shows(&backend.name));
        for backend in &mut view.proxy.backends {
            backend.servers.retain(|server| {
                let status = server.status;
                !(self.hides_down && (status.is_down() || status.is_maint())
                    || self.hides_maint && status.is_maint())
            });
        }
        view
    }
}

/// What `wanted` asks of `page`, shown as `by` says; `None` when the process ends.
pub(crate) async fn print(
    page: &StatsPage,
    by: By<'_>,
    wanted: Wanted,
    view: View,
) -> Option<Shown> {
    let By { section, is_admin } = by;
    let refresh = page.refresh.filter(|_| !wanted.stays);
    let (page, view) = (page.clone(), wanted.view(page, section, view));
    let form = wanted.form;
    let rows = stat::Wanted {
        shows_details: page.shows_legends,
        ..stat::Wanted::ALL
    };
    let text = desk::print(move || match form {
        Form::Html => html(&page, is_admin, &wanted, &view),
        Form::Csv => stat::csv(&view.proxy, &rows),
        Form::Typed => stat::typed(&view.proxy, &rows, false),
        Form::Json => stat::json(&view.proxy, &rows),
    });
    Some(Shown {
        kind: form.kind(),
        text: text.await?,
        refresh,
    })
}

/// A page that everybody sees at `uri`, with all that there is.
pub(crate) fn at(uri: &str) -> StatsPage {
    StatsPage {
        uri: uri.to_owned(),
        realm: String::new(),
        users: Vec::new(),
        refresh: None,
        shows_version: true,
        node: None,
        description: None,
        shows_legends: true,
        scope: Vec::new(),
        rules: Vec::new(),
        admin: Vec::new(),
    }
}

const STYLE: &str = "\
body { font: 12px/1.35 system-ui, sans-serif; color: #1b1f23; background: #fff; margin: 1em; }
h1 { font-size: 1.5em; margin: 0; } h2 { font-size: 1.1em; margin: 1.2em 0 .3em; }
p { margin: .2em 0; } a { color: #0b57a4; }
table { border-collapse: collapse; } td, th { border: 1px solid #b7bdc4; padding: 1px 3px; }
td { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
th { background: #e7ebef; font-size: 11px; font-weight: 600; } td.name, td.text { text-align: left; }
td.text { white-space: normal; min-width: 8em; } .outcome { padding: .4em; margin: .6em 0; }
.scroll { overflow-x: auto; } .legend td { text-align: left; }
.total { background: #f0f1e4; }
.up { background: #c9efc9; } .going-down { background: #fdf3a8; } .going-up { background: #ffd98a; }
.down { background: #ffb3ad; } .maint { background: #d9b08c; } .drain { background: #a9d3f5; }
.no-check { background: #e4e6e8; } .backup td.name::after { content: ' (backup)'; }
@media (prefers-color-scheme: dark) {
 body { color: #dde1e5; background: #15181b; } a { color: #7db7ee; }
 th { background: #2a2f34; } td, th { border-color: #474d53; } .total { background: #24261d; }
 .up { background: #1d4a1f; } .going-down { background: #575010; } .going-up { background: #6b4a0c; }
 .down { background: #6d1f1b; } .maint { background: #59371a; } .drain { background: #17456b; }
 .no-check { background: #2b2e31; } }
";

/// What each colour says, and its class.
const LEGEND: [(&str, &str); 7] = [
    ("up", "up"),
    ("going-down", "up, going down"),
    ("going-up", "down, going up"),
    ("down", "down"),
    ("maint", "in maintenance"),
    ("drain", "drain: no new sessions"),
    ("no-check", "not checked"),
];

/// The groups of columns, and the columns of each.
const COLUMNS: [(&str, &[&str]); 8] = [
    ("Queue", &["Cur", "Max", "Limit"]),
    ("Session rate", &["Cur", "Max", "Limit"]),
    (
        "Sessions",
        &["Cur", "Max", "Limit", "Total", "LbTot", "Last"],
    ),
    ("Bytes", &["In", "Out"]),
    ("Denied", &["Req", "Resp"]),
    ("Errors", &["Req", "Conn", "Resp"]),
    ("Warnings", &["Retr", "Redis"]),
    (
        "Server",
        &[
            "Status", "LastChk", "Wght", "Act", "Bck", "Chk", "Dwn", "Dwntme", "Thrtle",
        ],
    ),
];

fn html(page: &StatsPage, is_admin: bool, wanted: &Wanted, view: &View) -> String {
    let mut text = String::new();
    let process = &view.proxy.process;
    let version = if page.shows_version {
        format!(" version {}", env!("CARGO_PKG_VERSION"))
    } else {
        String::new()
    };
    let aside = |shown: &Option<String>, before: &str| {
        shown
            .as_ref()
            .map_or_else(String::new, |shown| format!("{before}{}", escaped(shown)))
    };
    write!(
        text,
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
         <title>Statistics{node}</title>\n<link rel=\"icon\" href=\"data:,\">\n\
         <style>\n{STYLE}</style></head>\n<body>\n\
         <h1>evenkeel{version}</h1>\n<p>Statistics of process {pid}{node}{description}</p>\n\
         <p>uptime {uptime}; threads {threads}; warnings {warnings}; descriptors {fds}</p>\n\
         <p>connections {open} of {maxconn}; {rate} a second, most {most}; {total} in all</p>\n",
        node = aside(&page.node, " on "),
        pid = std::process::id(),
        description = aside(&page.description, ": "),
        uptime = span(process.uptime),
        threads = process.threads,
        warnings = view.warnings,
        fds = process.max_fds,
        open = process.current_connections,
        maxconn = process.maxconn,
        rate = process.connection_rate,
        most = process.max_connection_rate,
        total = process.connections_total,
    )
    .expect(INFALLIBLE);
    if let Some(outcome) = wanted.outcome {
        let (class, message) = outcome.message();
        let link = wanted.link(&page.uri, |_| {});
        writeln!(
            text,
            "<p class=\"outcome {class}\">{message} <a href=\"{link}\">OK</a></p>"
        )
        .expect(INFALLIBLE);
    }
    links(&mut text, page, wanted);
    text.push_str("<table class=\"legend\"><tr>");
    for (class, meaning) in LEGEND {
        write!(text, "<td class=\"{class}\">{meaning}</td>").expect(INFALLIBLE);
    }
    text.push_str("</tr></table>\n");
    for (name, frontend, backend) in proxies(view) {
        let section = Section {
            name,
            frontend,
            backend,
        };
        section.print(&mut text, page.shows_legends, is_admin);
    }
    text.push_str("</body></html>\n");
    text
}

fn links(text: &mut String, page: &StatsPage, wanted: &Wanted) {
    let uri = &page.uri;
    let down = if wanted.hides_down {
        "Show all servers"
    } else {
        "Hide servers that are down"
    };
    write!(
        text,
        "<p><a href=\"{}\">{down}</a> | ",
        wanted.link(uri, |wanted| wanted.hides_down ^= true)
    )
    .expect(INFALLIBLE);
    if page.refresh.is_some() {
        let stays = if wanted.stays {
            "Refresh by itself"
        } else {
            "Do not refresh by itself"
        };
        let link = wanted.link(uri, |wanted| wanted.stays ^= true);
        write!(text, "<a href=\"{link}\">{stays}</a> | ").expect(INFALLIBLE);
    }
    let uri = escaped(uri);
    write!(
        text,
        "<a href=\"{}\">Refresh now</a> | <a href=\"{uri};csv;norefresh\">CSV</a> | \
         <a href=\"{uri};json;norefresh\">JSON</a></p>\n\
         <form method=\"get\"><p><label>Only names with <input name=\"scope\" size=\"12\" \
         value=\"{}\"></label></p></form>\n",
        wanted.link(&page.uri, |_| {}),
        escaped(&wanted.scope),
    )
    .expect(INFALLIBLE);
}

/// The sections in file order: a `listen` is one, of two halves.
fn proxies(view: &View) -> Vec<(&str, Option<&FrontendSnapshot>, Option<&BackendSnapshot>)> {
    let mut proxies: Vec<(u32, &str, Option<_>, Option<_>)> = Vec::new();
    for frontend in &view.proxy.frontends {
        proxies.push((frontend.id, &frontend.name, Some(frontend), None));
    }
    for backend in &view.proxy.backends {
        match proxies.iter_mut().find(|(id, ..)| *id == backend.id) {
            Some((.., half)) => *half = Some(backend),
            None => proxies.push((backend.id, &backend.name, None, Some(backend))),
        }
    }
    proxies.sort_by_key(|(id, ..)| *id);
    proxies
        .into_iter()
        .map(|(_, name, frontend, backend)| (name, frontend, backend))
        .collect()
}

/// What one table shows.
struct Section<'a> {
    name: &'a str,
    frontend: Option<&'a FrontendSnapshot>,
    backend: Option<&'a BackendSnapshot>,
}

impl Section<'_> {
    /// Prints it; where servers may be changed, within a form with a box for each.
    fn print(&self, text: &mut String, shows_legends: bool, is_admin: bool) {
        let Self {
            frontend, backend, ..
        } = *self;
        let name = escaped(self.name);
        writeln!(text, "<h2 id=\"{name}\">{name}</h2>").expect(INFALLIBLE);
        if shows_legends {
            let addresses = frontend.iter().flat_map(|frontend| &frontend.addresses);
            let addresses: Vec<String> = addresses.map(|bound| bound.address.to_string()).collect();
            let mode = match frontend.and_then(|frontend| frontend.http) {
                Some(_) => "mode http",
                None => "mode tcp",
            };
            let legend = [&[mode.to_owned()], &addresses[..]].concat().join(", ");
            writeln!(text, "<p>{}</p>", escaped(&legend)).expect(INFALLIBLE);
        }
        let changed = backend.filter(|_| is_admin);
        if changed.is_some() {
            text.push_str("<form method=\"post\">");
        }
        heads(text, changed.is_some());
        let blank = if changed.is_some() { "<td></td>" } else { "" };
        if let Some(frontend) = frontend {
            row(text, "total", blank, "Frontend", &frontend_cells(frontend));
        }
        for server in backend.iter().flat_map(|backend| &backend.servers) {
            let backup = if server.backup { " backup" } else { "" };
            let class = format!("{}{backup}", state(server));
            let choice = match changed {
                Some(_) => format!(
                    "<td><input type=\"checkbox\" name=\"s\" value=\"{0}\" aria-label=\"{0}\"></td>",
                    escaped(&server.name)
                ),
                None => String::new(),
            };
            let cells = server_cells(server, shows_legends);
            row(text, &class, &choice, &server.name, &cells);
        }
        if let Some(backend) = backend {
            row(text, "total", blank, "Backend", &backend_cells(backend));
        }
        text.push_str("</table></div>\n");
        if let Some(backend) = changed {
            choices(text, backend);
        }
    }
}

/// The heads of the columns, after that of the boxes where there are any.
fn heads(text: &mut String, has_boxes: bool) {
    text.push_str("<div class=\"scroll\"><table>\n<tr>");
    if has_boxes {
        text.push_str("<th rowspan=\"2\"></th>");
    }
    text.push_str("<th rowspan=\"2\"></th>");
    for (group, columns) in COLUMNS {
        write!(text, "<th colspan=\"{}\">{group}</th>", columns.len()).expect(INFALLIBLE);
    }
    text.push_str("</tr>\n<tr>");
    for column in COLUMNS.iter().flat_map(|(_, columns)| *columns) {
        write!(text, "<th>{column}</th>").expect(INFALLIBLE);
    }
    text.push_str("</tr>\n");
}

/// What can be done with the servers that are chosen.
fn choices(text: &mut String, backend: &BackendSnapshot) {
    text.push_str("<p><label>Put the chosen servers <select name=\"action\"><option></option>");
    for (action, name, _) in ACTIONS.iter().filter(|(_, name, _)| !name.is_empty()) {
        write!(text, "<option value=\"{action}\">{name}</option>").expect(INFALLIBLE);
    }
    writeln!(
        text,
        "</select></label> <input type=\"hidden\" name=\"b\" value=\"#{}\">\
         <button>Apply</button></p></form>",
        backend.id
    )
    .expect(INFALLIBLE);
}

/// The class of a server's row, by its state.
fn state(server: &ServerSnapshot) -> &'static str {
    use evenkeel_proxy::ServerStatus::{
        Down, DownByAgent, Drain, DrainByAgent, GoingDown, GoingUp, Maint, MaintUnresolved,
        MaintVia, NoCheck, Stopping, Up,
    };
    match server.status {
        Up => "up",
        GoingDown => "going-down",
        GoingUp => "going-up",
        Down | DownByAgent => "down",
        Maint | MaintVia | MaintUnresolved => "maint",
        Drain | DrainByAgent | Stopping => "drain",
        NoCheck => "no-check",
    }
}

fn row(text: &mut String, class: &str, choice: &str, name: &str, cells: &[String]) {
    let name = escaped(name);
    write!(
        text,
        "<tr class=\"{class}\">{choice}<td class=\"name\">{name}</td>"
    )
    .expect(INFALLIBLE);
    for (at, cell) in cells.iter().enumerate() {
        // These say more than a number, and may take several lines.
        let class = if TEXTS.contains(&at) {
            " class=\"text\""
        } else {
            ""
        };
        write!(text, "<td{class}>{}</td>", escaped(cell)).expect(INFALLIBLE);
    }
    text.push_str("</tr>\n");
}

fn none() -> String {
    String::new()
}

fn frontend_cells(frontend: &FrontendSnapshot) -> Vec<String> {
    let http = frontend.http.unwrap_or_default();
    let HttpSnapshot {
        denied_total,
        errors_total,
        ..
    } = http;
    let status = match frontend.status {
        FrontendStatus::Open => "OPEN",
        FrontendStatus::Paused => "PAUSED",
        FrontendStatus::Stop => "STOP",
    };
    let mut cells = vec![none(), none(), none()];
    cells.extend([
        frontend.session_rate.to_string(),
        frontend.max_session_rate.to_string(),
        "-".to_owned(),
        frontend.current_sessions.to_string(),
        frontend.max_sessions.to_string(),
        frontend.session_limit.to_string(),
        frontend.sessions_total.to_string(),
        none(),
        none(),
        frontend.bytes_in_total.to_string(),
        frontend.bytes_out_total.to_string(),
        denied_total.to_string(),
        "0".to_owned(),
        errors_total.to_string(),
        none(),
        none(),
        none(),
        none(),
        status.to_owned(),
    ]);
    cells.resize_with(WIDTH, none);
    cells
}

/// How many cells a row has.
const WIDTH: usize = 30;
/// Which of them say what a server is and what its last check found.
const TEXTS: std::ops::Range<usize> = 21..23;

/// What servers and backends have alike, from the queue to the warnings.
fn service_cells(service: &ServiceSnapshot, limits: [String; 2]) -> Vec<String> {
    let [queue, sessions] = limits;
    let last = |ago: Duration| format!("{} ago", span(ago));
    vec![
        service.current_queue.to_string(),
        service.max_queue.to_string(),
        queue,
        service.session_rate.to_string(),
        service.max_session_rate.to_string(),
        none(),
        service.current_sessions.to_string(),
        service.max_sessions.to_string(),
        sessions,
        service.sessions_total.to_string(),
        service.loadbalanced_total.to_string(),
        service.last_session.map_or_else(|| "?".to_owned(), last),
        service.bytes_in_total.to_string(),
        service.bytes_out_total.to_string(),
        none(),
        "0".to_owned(),
        none(),
        service.connection_errors_total.to_string(),
        service.response_errors_total.to_string(),
        service.retry_warnings_total.to_string(),
        service.redispatch_warnings_total.to_string(),
    ]
}

fn server_cells(server: &ServerSnapshot, shows_legends: bool) -> Vec<String> {
    let limit = |limit: Option<u32>| limit.map_or_else(|| "-".to_owned(), |most| most.to_string());
    let service = &server.service;
    let limits = [limit(server.queue_limit), limit(server.session_limit)];
    let mut cells = service_cells(service, limits);
    let address = if shows_legends {
        format!(" at {}", address(&server.address))
    } else {
        none()
    };
    let status = format!(
        "{} {}{address}",
        span(service.last_change),
        server.status_text()
    );
    let check = server.last_check.as_ref().map_or_else(none, |check| {
        let info = if check.info.is_empty() {
            none()
        } else {
            format!(": {}", check.info)
        };
        format!(
            "{} in {} ms{info}",
            check.status.code(),
            check.duration.as_millis()
        )
    });
    let checked = |value: String| if server.is_checked { value } else { none() };
    cells.extend([
        status,
        check,
        format!("{}/{}", server.weight, server.configured_weight),
        if server.backup { "-" } else { "Y" }.to_owned(),
        if server.backup { "Y" } else { "-" }.to_owned(),
        checked(server.check_failures_total.to_string()),
        checked(service.down_total.to_string()),
        checked(span(service.downtime)),
        server
            .throttle
            .map_or_else(|| "-".to_owned(), |share| format!("{share}%")),
    ]);
    cells
}

fn backend_cells(backend: &BackendSnapshot) -> Vec<String> {
    let service = &backend.service;
    let limits = [none(), backend.session_limit.to_string()];
    let mut cells = service_cells(service, limits);
    let word = if backend.is_up { "UP" } else { "DOWN" };
    cells[14] = "0".to_owned();
    cells.extend([
        format!("{} {word}", span(service.last_change)),
        none(),
        backend.weight.to_string(),
        backend.active_servers.to_string(),
        backend.backup_servers.to_string(),
        none(),
        service.down_total.to_string(),
        span(service.downtime),
        none(),
    ]);
    cells
}

fn address(address: &ServerAddress) -> String {
    match address {
        ServerAddress::Inet(address) => address.to_string(),
        ServerAddress::Mapped { ip, .. } => ip.to_string(),
        ServerAddress::Unix(path) => path.display().to_string(),
        ServerAddress::Abstract(name) => String::from_utf8_lossy(name).into_owned(),
    }
}

/// `3d4h`, `2h5m`, `7m3s`, `12s`.
fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours, minutes) {
        (1.., ..) => format!("{days}d{}h", hours % 24),
        (0, 1.., _) => format!("{hours}h{}m", minutes % 60),
        (0, 0, 1..) => format!("{minutes}m{}s", seconds % 60),
        _ => format!("{seconds}s"),
    }
}

/// Text that means nothing to HTML, within a tag's quotes too.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exposition::tests::view;

    fn page() -> StatsPage {
        StatsPage {
            uri: "/<stats>".to_owned(),
            realm: String::new(),
            users: Vec::new(),
            refresh: Some(Duration::from_secs(5)),
            shows_version: false,
            node: Some("lb<1>".to_owned()),
            description: None,
            shows_legends: false,
            scope: Vec::new(),
            rules: Vec::new(),
            admin: Vec::new(),
        }
    }

    #[test]
    fn options_stand_behind_the_address() {
        let wanted = Wanted::parse(";csv;norefresh;up;no-maint?scope=kube");
        let expected = Wanted {
            form: Form::Csv,
            stays: true,
            hides_down: true,
            hides_maint: true,
            scope: "kube".to_owned(),
            outcome: None,
        };
        assert_eq!(wanted, expected);
        assert_eq!(Wanted::parse("foo").form, Form::Html);
        assert_eq!(Wanted::parse(";json").form, Form::Json);
    }

    #[test]
    fn names_mean_nothing_to_html() {
        let text = html(
            &page(),
            false,
            &Wanted::parse(";scope=<b>"),
            &view(Vec::new()),
        );
        assert!(
            text.contains("lb&lt;1&gt;") && text.contains("kube &quot;be&quot;"),
            "{text}"
        );
        assert!(!text.contains("<b>") && !text.contains("<stats>"), "{text}");
    }

    #[test]
    fn a_page_shows_what_it_is_allowed_to() {
        let only = StatsPage {
            scope: vec![".".to_owned()],
            ..page()
        };
        let shown = Wanted::default().view(&only, "fe", view(Vec::new()));
        assert_eq!(
            (shown.proxy.frontends.len(), shown.proxy.backends.len()),
            (1, 0)
        );
        let named = Wanted::parse(";scope=kube").view(&page(), "fe", view(Vec::new()));
        assert_eq!(
            (named.proxy.frontends.len(), named.proxy.backends.len()),
            (0, 1)
        );
    }

    #[test]
    fn every_row_has_every_cell() {
        let text = html(&page(), false, &Wanted::default(), &view(Vec::new()));
        let rows = text.lines().filter(|line| line.starts_with("<tr class="));
        for row in rows {
            assert_eq!(row.matches("<td").count(), WIDTH + 1, "{row}");
        }
    }

    #[test]
    fn a_page_that_may_change_servers_has_a_form_for_each_backend() {
        let shown = view(vec![crate::exposition::tests::server(
            "s<1>",
            evenkeel_proxy::ServerStatus::NoCheck,
            None,
        )]);
        let wanted = Wanted::parse(";st=PART");
        let text = html(&page(), true, &wanted, &shown);
        assert!(text.contains("name=\"s\" value=\"s&lt;1&gt;\""), "{text}");
        assert!(text.contains("name=\"b\" value=\"#3\""), "{text}");
        assert!(text.contains("<option value=\"drain\">"), "{text}");
        assert!(text.contains("class=\"outcome going-down\""), "{text}");
        assert_eq!(text.matches("<form method=\"post\">").count(), 1);
        let plain = html(&page(), false, &Wanted::default(), &shown);
        assert!(
            !plain.contains("post") && !plain.contains("class=\"outcome"),
            "{plain}"
        );
    }

    #[test]
    fn a_browser_is_sent_back_to_what_it_looked_at() {
        let after = |rest: &str| Wanted::parse(rest).after(&page(), Outcome::Done);
        assert_eq!(after(""), "/<stats>;st=DONE");
        assert_eq!(
            after(";st=NONE;up;norefresh?scope=be"),
            "/<stats>;st=DONE;up;norefresh?scope=be"
        );
    }

    #[test]
    fn spans_are_short() {
        for (seconds, expected) in [
            (0, "0s"),
            (59, "59s"),
            (61, "1m1s"),
            (3700, "1h1m"),
            (90_000, "1d1h"),
        ] {
            assert_eq!(span(Duration::from_secs(seconds)), expected);
        }
    }
}
