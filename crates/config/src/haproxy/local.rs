//! What a proxy in mode http answers by itself (HAProxy manual: `monitor-uri`, `stats`,
//! `http-request`), from the lines that its section and its `defaults` section have about HTTP.

use std::time::Duration;

use super::Reader;
use super::section::{HttpLine, Kind, Proxy};
use crate::draft::{LocalHttpDraft, Maybe, Slot, Spanned};
use crate::rules::ConditionDraft;
use crate::{HttpRule, HttpStage, LocalHttp, Monitor, StatsPage, User};

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

/// Keywords of which another answer would come where they are not heeded.
const UNHEEDED: [(&str, &str); 6] = [
    (
        "errorfiles",
        "errors are answered with pages of this program's own",
    ),
    (
        "errorloc",
        "errors are answered with pages of this program's own",
    ),
    (
        "errorloc302",
        "errors are answered with pages of this program's own",
    ),
    (
        "errorloc303",
        "errors are answered with pages of this program's own",
    ),
    (
        "http-error",
        "errors are answered with pages of this program's own",
    ),
    ("http-after-response", "answers go out as they are made"),
];

impl Reader<'_> {
    /// Everything that `proxy` answers, and then `backend`, which gets what it does not.
    pub(super) fn local_http(&mut self, proxy: &Proxy, backend: Option<&Proxy>) -> LocalHttpDraft {
        let time = |time: &Maybe<Duration>| {
            let time = time.as_ref().map(|time| time.value);
            time.filter(|time| !time.is_zero())
        };
        let mut draft = LocalHttpDraft {
            http: LocalHttp {
                request_timeout: time(&proxy.timeouts.http_request),
                keep_alive_timeout: time(&proxy.timeouts.http_keep_alive),
                ..LocalHttp::default()
            },
            acls: backend
                .iter()
                .fold(proxy.rules.acls.clone(), |mut acls, backend| {
                    acls.extend(backend.rules.acls.iter().cloned());
                    acls
                }),
            ..LocalHttpDraft::default()
        };
        let verdicts = &proxy.verdicts;
        draft.http.skip_normal = verdicts
            .iter()
            .any(|line| line.key == "option dontlog-normal");
        for line in &proxy.http {
            match line.name {
                "monitor-uri" => draft.http.monitor = self.monitor(line),
                "option httpclose" => draft.http.closes = true,
                "errorfile" => self.error_file(line, &mut draft.http),
                name => {
                    let unheeded = UNHEEDED.iter().find(|(known, _)| *known == name);
                    if let Some((_, instead)) = unheeded {
                        self.no_effect(line, instead);
                    }
                }
            }
        }
        for line in proxy.http.iter().filter(|line| line.name == "monitor fail") {
            if self.is_conditional(line, 0) {
                draft.conditions.push((Slot::Monitor, condition(line, 0)));
            }
        }
        self.stage(proxy, &mut draft);
        if let Some(backend) = backend {
            self.stage(backend, &mut draft);
        }
        draft
    }

    fn no_effect(&mut self, line: &HttpLine, instead: &str) {
        let message = format!("'{}' has no effect: {instead}", line.name);
        self.warning(line.place.clone(), message);
        let line = Spanned::new(line.text.clone(), line.place.clone());
        self.draft.without_effect.push(line);
    }

    fn monitor(&mut self, line: &HttpLine) -> Option<Monitor> {
        let uri = self.argument(line, 0, "the path that is asked for, such as /healthz")?;
        self.nothing_after(line, 1);
        Some(Monitor {
            uri,
            fail: Vec::new(),
        })
    }

    /// A whole answer from a file. One that cannot be read is no reason to stand still: a
    /// distribution's files name those of a package that may not be there.
    fn error_file(&mut self, line: &HttpLine, http: &mut LocalHttp) {
        let status = self.status(line, 0);
        let path = self.argument(line, 1, "the name of a file");
        let (Some(status), Some(path)) = (status, path) else {
            return;
        };
        match (self.environment.read)(path.as_ref()) {
            Ok(page) => {
                http.error_pages.insert(status, page);
            }
            Err(error) => self.warning(
                line.arguments[1].place.clone(),
                format!("cannot read '{path}' ({error}): a page of this program's own is answered"),
            ),
        }
    }

    fn stage(&mut self, proxy: &Proxy, draft: &mut LocalHttpDraft) {
        let at = draft.http.stages.len();
        let mut stage = HttpStage {
            name: proxy.name.value.clone(),
            is_backend: proxy.kind != Kind::Frontend,
            rules: Vec::new(),
            stats: None,
        };
        for line in &proxy.http {
            let is_rule = matches!(line.name, "http-request" | "redirect");
            if is_rule && let Some((action, end)) = self.http_action(line) {
                if self.is_conditional(line, end) {
                    let slot = Slot::Rule(at, stage.rules.len());
                    draft.conditions.push((slot, condition(line, end)));
                }
                stage.rules.push(HttpRule {
                    condition: None,
                    action,
                });
            }
            let Some(setting) = line.name.strip_prefix("stats ") else {
                continue;
            };
            let page = stage
                .stats
                .get_or_insert_with(StatsPage::default_of_haproxy);
            match setting {
                "admin" => {
                    if line.arguments.is_empty() {
                        let message = "'stats admin' requires either 'if' or 'unless' followed by \
                                       a condition";
                        self.error(line.place.clone(), message);
                    } else if self.is_conditional(line, 0) {
                        draft.conditions.push((Slot::Admin(at), condition(line, 0)));
                    }
                }
                "http-request" => {
                    if let Some((action, end)) = self.stats_action(line) {
                        if self.is_conditional(line, end) {
                            let slot = Slot::StatsRule(at, page.rules.len());
                            draft.conditions.push((slot, condition(line, end)));
                        }
                        page.rules.push(HttpRule {
                            condition: None,
                            action,
                        });
                    }
                }
                setting => self.stats_setting(page, setting, line),
            }
        }
        draft.http.stages.push(stage);
    }

    /// One `stats` line.
    fn stats_setting(&mut self, page: &mut StatsPage, setting: &str, line: &HttpLine) {
        match setting {
            "uri" => {
                let what = "what the path begins with, such as /stats";
                if let Some(uri) = self.argument(line, 0, what) {
                    page.uri = uri;
                }
            }
            "realm" => {
                if let Some(realm) = self.argument(line, 0, "a name of what is protected") {
                    page.realm = realm;
                }
            }
            "auth" => {
                let what = "a name and a password, NAME:PASSWORD";
                if let Some(account) = self.argument(line, 0, what) {
                    let (name, password) = account.split_once(':').unwrap_or((&account, ""));
                    page.users.push(User {
                        name: name.to_owned(),
                        password: password.to_owned(),
                    });
                }
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
                let global = &self.draft.global;
                let name = line.arguments.first().or(global.node.as_ref());
                let name = name.map(|name| name.value.as_str());
                page.node = Some(name.unwrap_or(self.environment.hostname).to_owned());
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

    /// A status of an answer.
    pub(super) fn status(&mut self, line: &HttpLine, at: usize) -> Option<u16> {
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
    pub(super) fn argument(&mut self, line: &HttpLine, at: usize, what: &str) -> Option<String> {
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

    /// Whether a condition stands at `at`; says so when something else does.
    fn is_conditional(&mut self, line: &HttpLine, at: usize) -> bool {
        match line.arguments.get(at) {
            None => false,
            Some(word) if is_if(&word.value) => true,
            Some(word) => {
                let message = format!(
                    "unexpected '{}' in '{}'; only 'if' or 'unless' and a condition can stand here",
                    word.value, line.name
                );
                self.error(word.place.clone(), message);
                false
            }
        }
    }
}

pub(super) fn is_if(word: &str) -> bool {
    matches!(word, "if" | "unless")
}

fn condition(line: &HttpLine, at: usize) -> ConditionDraft {
    ConditionDraft {
        words: line.arguments[at..].to_vec(),
        section: line.section.clone(),
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
            rules: Vec::new(),
            admin: Vec::new(),
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
