//! What a proxy in mode http answers by itself (HAProxy manual: `monitor-uri`, `stats`,
//! `http-request`), from the lines that its section and its `defaults` section have about HTTP.

use std::time::Duration;

use super::Reader;
use super::section::{HttpLine, Kind, Proxy};
use crate::draft::Spanned;
use crate::{HttpAction, HttpRule, HttpStage, LocalHttp, Monitor, Reply, StatsPage, User};

/// HAProxy's own, where a section asks for statistics and does not say where.
const STATS_URI: &str = "/haproxy?stats";
const STATS_REALM: &str = "HAProxy Statistics";

/// Keywords of which each line adds something to those before it.
pub(super) const ADDS: [&str; 8] = [
    "errorfile",
    "errorfiles",
    "http-error",
    "monitor fail",
    "stats admin",
    "stats auth",
    "stats http-request",
    "stats scope",
];

/// What has an effect in such a proxy though it has none in others.
pub(super) const HEEDS: [&str; 3] = [
    "timeout http-request",
    "timeout http-keep-alive",
    "option dontlog-normal",
];

/// Whether a line depends on a condition.
pub(super) fn has_conditions(proxy: &Proxy) -> bool {
    let mut words = proxy.http.iter().flat_map(|line| &line.arguments);
    words.any(|word| matches!(word.value.as_str(), "if" | "unless"))
}

impl Reader<'_> {
    /// Everything that `proxy` answers, and then `backend`, which gets what it does not.
    pub(super) fn local_http(&mut self, proxy: &Proxy, backend: Option<&Proxy>) -> LocalHttp {
        let timeouts = &proxy.timeouts;
        let time = |time: &crate::draft::Maybe<Duration>| {
            time.as_ref()
                .map(|time| time.value)
                .filter(|time| !time.is_zero())
        };
        let mut stages = vec![self.stage(proxy)];
        stages.extend(backend.map(|backend| self.stage(backend)));
        let monitor = proxy
            .http
            .iter()
            .rev()
            .find(|line| line.name == "monitor-uri");
        LocalHttp {
            request_timeout: time(&timeouts.http_request),
            keep_alive_timeout: time(&timeouts.http_keep_alive),
            closes: proxy
                .http
                .iter()
                .any(|line| line.name == "option httpclose"),
            monitor: monitor.and_then(|line| self.monitor(line)),
            stages,
            error_pages: Default::default(),
            skip_normal: proxy
                .verdicts
                .iter()
                .any(|line| line.key == "option dontlog-normal"),
        }
    }

    fn monitor(&mut self, line: &HttpLine) -> Option<Monitor> {
        let uri = self.argument(line, 0, "the path that is asked for, such as /healthz")?;
        self.nothing_after(line, 1);
        Some(Monitor { uri })
    }

    fn stage(&mut self, proxy: &Proxy) -> HttpStage {
        let mut stage = HttpStage {
            name: proxy.name.value.clone(),
            is_backend: proxy.kind != Kind::Frontend,
            rules: Vec::new(),
            stats: None,
        };
        for line in &proxy.http {
            match line.name {
                "http-request" => stage.rules.extend(self.http_request(line)),
                name => {
                    if let Some(setting) = name.strip_prefix("stats ") {
                        let page = stage
                            .stats
                            .get_or_insert_with(StatsPage::default_of_haproxy);
                        self.stats_setting(page, setting, line);
                    }
                }
            }
        }
        stage
    }

    /// One `stats` line.
    fn stats_setting(&mut self, page: &mut StatsPage, setting: &str, line: &HttpLine) {
        match setting {
            "uri" => {
                if let Some(uri) =
                    self.argument(line, 0, "what the path begins with, such as /stats")
                {
                    page.uri = uri;
                }
            }
            "realm" => {
                if let Some(realm) = self.argument(line, 0, "a name of what is protected") {
                    page.realm = realm;
                }
            }
            "auth" => {
                let Some(account) = self.argument(line, 0, "a name and a password, NAME:PASSWORD")
                else {
                    return;
                };
                let (name, password) = account.split_once(':').unwrap_or((&account, ""));
                page.users.push(User {
                    name: name.to_owned(),
                    password: password.to_owned(),
                });
            }
            "refresh" => {
                if let Some(text) = self.argument(line, 0, "a time in seconds") {
                    match refresh(&text) {
                        Ok(time) => page.refresh = time,
                        Err(message) => {
                            let place = line.arguments[0].place.clone();
                            self.error(place, format!("'stats refresh': {message}"));
                        }
                    }
                }
            }
            "scope" => {
                if let Some(name) = self.argument(line, 0, "the name of a proxy, or '.'") {
                    page.scope.push(name);
                }
            }
            "hide-version" => page.shows_version = false,
            "show-legends" => page.shows_legends = true,
            "show-node" => {
                let name = line.arguments.first().map(|word| word.value.clone());
                let node = || {
                    self.draft
                        .global
                        .node
                        .as_ref()
                        .map(|node| node.value.clone())
                };
                let name = name.or_else(node);
                page.node = Some(name.unwrap_or_else(|| self.environment.hostname.to_owned()));
            }
            "show-desc" => {
                let words: Vec<&str> = line.arguments.iter().map(|w| w.value.as_str()).collect();
                page.description = if words.is_empty() {
                    let said = self.draft.global.description.as_ref();
                    said.map(|said| said.value.clone())
                } else {
                    Some(words.join(" "))
                };
            }
            // That it stands there is all.
            _ => {}
        }
    }

    fn http_request(&mut self, line: &HttpLine) -> Option<HttpRule> {
        let action = self.argument(line, 0, "an action, such as 'return' or 'deny'")?;
        let action = match action.as_str() {
            "allow" => HttpAction::Allow,
            "use-service" => self.use_service(line)?,
            "deny" => HttpAction::Deny {
                status: self.deny_status(line)?,
            },
            "return" => HttpAction::Return(self.reply(line)?),
            _ => return None,
        };
        Some(HttpRule { action })
    }

    fn use_service(&mut self, line: &HttpLine) -> Option<HttpAction> {
        let service = self.argument(line, 1, "'prometheus-exporter'")?;
        if service == "prometheus-exporter" {
            return Some(HttpAction::Exporter);
        }
        let message = format!(
            "'{service}' is no service that is known here; the one there is, is \
             'prometheus-exporter'"
        );
        self.error(line.arguments[1].place.clone(), message);
        None
    }

    fn deny_status(&mut self, line: &HttpLine) -> Option<u16> {
        match line.arguments.get(1) {
            None => Some(403),
            Some(word) if word.value == "deny_status" => self.status(line, 2),
            Some(word) => {
                let message = format!("'{}' after 'deny' is not supported here", word.value);
                self.error(word.place.clone(), message);
                None
            }
        }
    }

    fn reply(&mut self, line: &HttpLine) -> Option<Reply> {
        let mut reply = Reply {
            status: 200,
            content_type: None,
            body: Vec::new(),
            headers: Vec::new(),
        };
        let mut at = 1;
        while let Some(word) = line.arguments.get(at) {
            match word.value.as_str() {
                "status" => reply.status = self.status(line, at + 1)?,
                "content-type" => {
                    reply.content_type = Some(self.argument(line, at + 1, "a content type")?);
                }
                "string" => reply.body = self.argument(line, at + 1, "a text")?.into_bytes(),
                other => {
                    let message = format!("'{other}' after 'return' is not supported here");
                    self.error(word.place.clone(), message);
                    return None;
                }
            }
            at += 2;
        }
        Some(reply)
    }

    fn status(&mut self, line: &HttpLine, at: usize) -> Option<u16> {
        let text = self.argument(line, at, "a status from 200 to 599")?;
        let status = text
            .parse()
            .ok()
            .filter(|status| (200..600).contains(status));
        if status.is_none() {
            let message = format!("'{text}' is no status of an answer; write one from 200 to 599");
            self.error(line.arguments[at].place.clone(), message);
        }
        status
    }

    /// The argument at `at`, which must be there.
    fn argument(&mut self, line: &HttpLine, at: usize, what: &str) -> Option<String> {
        let found = line.arguments.get(at).filter(|word| !word.value.is_empty());
        if found.is_none() {
            let before = match at.checked_sub(1).and_then(|at| line.arguments.get(at)) {
                Some(word) => word.value.as_str(),
                None => line.name,
            };
            self.error(
                line.place.clone(),
                format!("'{before}' needs {what} after it"),
            );
        }
        found.map(|word| word.value.clone())
    }

    fn nothing_after(&mut self, line: &HttpLine, count: usize) {
        if let Some(Spanned { value, place }) = line.arguments.get(count) {
            let message = format!("unexpected argument '{value}' after '{}'", line.name);
            self.error(place.clone(), message);
        }
    }
}

impl StatsPage {
    fn default_of_haproxy() -> Self {
        Self {
            uri: STATS_URI.to_owned(),
            realm: STATS_REALM.to_owned(),
            users: Vec::new(),
            refresh: None,
            shows_version: true,
            node: None,
            description: None,
            shows_legends: false,
            scope: Vec::new(),
        }
    }
}

/// A time in which a bare number counts seconds; less than a second is none.
fn refresh(text: &str) -> Result<Option<Duration>, String> {
    let time = match text.parse::<u32>() {
        Ok(seconds) => Duration::from_secs(seconds.into()),
        Err(_) => crate::units::parse_time(text)?,
    };
    Ok(Some(Duration::from_secs(time.as_secs())).filter(|time| !time.is_zero()))
}
