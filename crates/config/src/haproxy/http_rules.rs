//! What `http-request`, `redirect` and `stats http-request` do, as far as they answer by themselves
//! (HAProxy manual, section 4.3). Nothing is ever sent on, so that rules which only change what a
//! server would get have no effect.

use super::Reader;
use super::local::is_if;
use super::section::HttpLine;
use crate::resolve::did_you_mean;
use crate::{HttpAction, Redirect, Reply};

/// Actions that only concern what would be sent on, or what would be remembered.
const WITHOUT_EFFECT: [&str; 22] = [
    "add-header",
    "cache-use",
    "capture",
    "del-header",
    "disable-l7-retry",
    "early-hint",
    "replace-header",
    "replace-value",
    "send-spoe-group",
    "set-bandwidth-limit",
    "set-header",
    "set-log-level",
    "set-mark",
    "set-nice",
    "set-priority-class",
    "set-priority-offset",
    "set-timeout",
    "set-tos",
    "set-var",
    "set-var-fmt",
    "strict-mode",
    "unset-var",
];

/// Statuses that HAProxy has a page for.
const DENY_STATUSES: [u16; 19] = [
    200, 400, 401, 403, 404, 405, 407, 408, 410, 413, 421, 422, 425, 429, 500, 501, 502, 503, 504,
];

impl Reader<'_> {
    /// What a line does, and where its condition begins; `None`: nothing, which was said.
    pub(super) fn http_action(&mut self, line: &HttpLine) -> Option<(HttpAction, usize)> {
        if line.name == "redirect" {
            return self.redirect(line, 0);
        }
        let action = self.argument(line, 0, "an action, such as 'return' or 'deny'")?;
        let name = action.split('(').next().unwrap_or(&action);
        match name {
            "allow" => Some((HttpAction::Allow, 1)),
            "auth" => self.auth(line),
            "deny" => self.deny(line),
            "redirect" => self.redirect(line, 1),
            "return" => self.fixed_answer(line),
            "use-service" => self.use_service(line),
            name if WITHOUT_EFFECT.contains(&name)
                || name.starts_with("track-sc")
                || name.starts_with("sc-") =>
            {
                let message = format!(
                    "'http-request {name}' has no effect: what comes here is answered, not sent on"
                );
                self.warning(line.place.clone(), message);
                None
            }
            name => {
                let known = ["allow", "auth", "deny", "redirect", "return", "use-service"];
                let hint = did_you_mean(name, known.into_iter());
                let message = format!(
                    "'http-request {name}' is not supported in a frontend that answers by itself{hint}"
                );
                self.error(line.arguments[0].place.clone(), message);
                None
            }
        }
    }

    /// What a `stats http-request` line does.
    pub(super) fn stats_action(&mut self, line: &HttpLine) -> Option<(HttpAction, usize)> {
        let action = self.argument(line, 0, "'allow', 'deny' or 'auth'")?;
        match action.as_str() {
            "allow" => Some((HttpAction::Allow, 1)),
            "deny" => Some((HttpAction::Deny { status: 403 }, 1)),
            "auth" => self.auth(line),
            other => {
                let hint = did_you_mean(other, ["allow", "deny", "auth"].into_iter());
                let message = format!(
                    "'stats http-request' expects 'allow', 'deny' or 'auth', not '{other}'{hint}"
                );
                self.error(line.arguments[0].place.clone(), message);
                None
            }
        }
    }

    /// `auth [realm NAME]`.
    fn auth(&mut self, line: &HttpLine) -> Option<(HttpAction, usize)> {
        if line
            .arguments
            .get(1)
            .is_some_and(|word| word.value == "realm")
        {
            let realm = self.argument(line, 2, "a name of what is protected")?;
            return Some((HttpAction::Auth { realm: Some(realm) }, 3));
        }
        Some((HttpAction::Auth { realm: None }, 1))
    }

    /// `deny [deny_status N]`, or with the answer that a `return` would give.
    fn deny(&mut self, line: &HttpLine) -> Option<(HttpAction, usize)> {
        let (status, end) = match line.arguments.get(1).map(|word| word.value.as_str()) {
            Some("deny_status" | "status") => (self.status(line, 2)?, 3),
            _ => (403, 1),
        };
        if !DENY_STATUSES.contains(&status) {
            let message = format!(
                "there is no page for status {status}; write 'http-request return status {status}' \
                 with a 'string' for a page of your own"
            );
            self.error(line.arguments[2].place.clone(), message);
            return None;
        }
        match line.arguments.get(end) {
            Some(word) if !is_if(&word.value) && word.value != "default-errorfiles" => {
                let message = format!(
                    "'{}' after 'deny' is not supported; 'http-request return' answers with it",
                    word.value
                );
                self.error(word.place.clone(), message);
                None
            }
            Some(word) if word.value == "default-errorfiles" => {
                Some((HttpAction::Deny { status }, end + 1))
            }
            _ => Some((HttpAction::Deny { status }, end)),
        }
    }

    fn use_service(&mut self, line: &HttpLine) -> Option<(HttpAction, usize)> {
        let service = self.argument(line, 1, "'prometheus-exporter'")?;
        if service == "prometheus-exporter" {
            return Some((HttpAction::Exporter, 2));
        }
        let message =
            format!("unknown service '{service}'; the one there is, is 'prometheus-exporter'");
        self.error(line.arguments[1].place.clone(), message);
        None
    }

    /// `return [status N] [content-type T] [string S | file F | errorfile F] [hdr NAME VALUE]...`.
    fn fixed_answer(&mut self, line: &HttpLine) -> Option<(HttpAction, usize)> {
        let mut reply = Reply {
            status: 200,
            content_type: None,
            body: Vec::new(),
            headers: Vec::new(),
        };
        let mut at = 1;
        while let Some(word) = line.arguments.get(at) {
            match word.value.as_str() {
                word if is_if(word) => break,
                "status" => reply.status = self.status(line, at + 1)?,
                "content-type" => {
                    reply.content_type = Some(self.argument(line, at + 1, "a content type")?);
                }
                "string" => reply.body = self.argument(line, at + 1, "a text")?.into_bytes(),
                "lf-string" => {
                    let text = self.argument(line, at + 1, "a text")?;
                    reply.body = self.literal(line, at + 1, &text)?.into_bytes();
                }
                "file" => reply.body = self.file_of(line, at + 1)?,
                "errorfile" => {
                    let page = self.file_of(line, at + 1)?;
                    return Some((HttpAction::Page(page), at + 2));
                }
                "default-errorfiles" => {
                    let status = reply.status;
                    return Some((HttpAction::Default { status }, at + 1));
                }
                "hdr" => {
                    let name = self.argument(line, at + 1, "the name of a header")?;
                    let value = self.argument(line, at + 2, "the value of a header")?;
                    let value = self.literal(line, at + 2, &value)?;
                    reply.headers.push((name, value));
                    at += 1;
                }
                other => {
                    let known = [
                        "status",
                        "content-type",
                        "string",
                        "file",
                        "errorfile",
                        "hdr",
                    ];
                    let hint = did_you_mean(other, known.into_iter());
                    let message = format!("'{other}' after 'return' is not supported{hint}");
                    self.error(word.place.clone(), message);
                    return None;
                }
            }
            at += 2;
        }
        if !reply.body.is_empty() && reply.content_type.is_none() {
            let message = "'return' with a body needs a 'content-type' before it";
            self.error(line.place.clone(), message);
            return None;
        }
        Some((HttpAction::Return(reply), at))
    }

    /// `location L | prefix P | scheme S [code N]`.
    fn redirect(&mut self, line: &HttpLine, first: usize) -> Option<(HttpAction, usize)> {
        let mut target = None;
        let mut status = 302;
        let mut at = first;
        while let Some(word) = line.arguments.get(at) {
            match word.value.as_str() {
                word if is_if(word) => break,
                kind @ ("location" | "prefix" | "scheme") => {
                    let text = self.argument(line, at + 1, "where to go")?;
                    let text = self.literal(line, at + 1, &text)?;
                    target = Some(match kind {
                        "location" => Redirect::Location(text),
                        "prefix" => Redirect::Prefix(text),
                        _ => Redirect::Scheme(text),
                    });
                }
                "code" => {
                    status = self.status(line, at + 1)?;
                    if !matches!(status, 301 | 302 | 303 | 307 | 308) {
                        let message =
                            format!("{status} redirects nobody; write 301, 302, 303, 307 or 308");
                        self.error(line.arguments[at + 1].place.clone(), message);
                        return None;
                    }
                }
                other => {
                    let known = ["location", "prefix", "scheme", "code"];
                    let hint = did_you_mean(other, known.into_iter());
                    let message = format!("'{other}' after 'redirect' is not supported{hint}");
                    self.error(word.place.clone(), message);
                    return None;
                }
            }
            at += 2;
        }
        let Some(target) = target else {
            let message = "'redirect' needs 'location', 'prefix' or 'scheme' and where to go";
            self.error(line.place.clone(), message);
            return None;
        };
        Some((HttpAction::Redirect { status, target }, at))
    }

    /// Text without samples, in which `%%` stands for `%`.
    fn literal(&mut self, line: &HttpLine, at: usize, text: &str) -> Option<String> {
        if text.replace("%%", "").contains('%') {
            let message = format!(
                "'{text}' has samples in it, which are not supported here; write the text itself"
            );
            self.error(line.arguments[at].place.clone(), message);
            return None;
        }
        Some(text.replace("%%", "%"))
    }

    fn file_of(&mut self, line: &HttpLine, at: usize) -> Option<Vec<u8>> {
        let path = self.argument(line, at, "the name of a file")?;
        match (self.environment.read)(path.as_ref()) {
            Ok(content) => Some(content),
            Err(error) => {
                let message = format!("cannot read '{path}': {error}");
                self.error(line.arguments[at].place.clone(), message);
                None
            }
        }
    }
}
