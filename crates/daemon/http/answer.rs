//! From a request to its answer: health questions first, then what the frontend's section says,
//! then its backend's.

use std::time::Duration;

use evenkeel_config::{
    HttpAction, HttpRule, HttpStage, LocalHttp, Redirect, Reply as Fixed, StatsPage, User,
};
use evenkeel_proxy::Verdict;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::ext::ReasonPhrase;
use hyper::header::{
    AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderMap,
    HeaderName, HeaderValue, LOCATION, WWW_AUTHENTICATE,
};
use hyper::{Method, Request, Response, StatusCode, Version};

use super::error_page;
use super::facts::Scene;
use super::meter::{Meter, Sent};
use super::stats_admin::{self, Form, Outcome};
use super::{exporter, stats_page};
use crate::desk::Desk;

const STATS: &str = "<STATS>";
const EXPORTER: &str = "<PROMEX>";
const NOBODY: &str = "<NOSRV>";

/// A request as rules and pages ask about it.
pub(super) struct Asked<'a> {
    pub(super) method: &'a Method,
    /// Path and query.
    pub(super) target: &'a str,
    pub(super) headers: &'a HeaderMap,
    /// `1.0` or `1.1`.
    pub(super) version: &'static str,
}

/// An answer, and what it counts as.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) body: Bytes,
    verdict: Verdict,
    server: &'static str,
    end: &'static str,
    /// Whether a time for the answer is told.
    tells_answer: bool,
}

/// Answers `request` of a visit.
pub(super) async fn answer(
    request: Request<Incoming>,
    meter: &Meter,
    desk: &Desk,
) -> Response<Full<Bytes>> {
    meter.requested();
    let visit = &meter.visit;
    let frontend = visit.frontend();
    let nothing = LocalHttp::default();
    let http = frontend.http.as_deref().unwrap_or(&nothing);
    let (request, mut body) = request.into_parts();
    let target = request.uri.path_and_query();
    let asked = Asked {
        method: &request.method,
        target: target.map_or("*", |target| target.as_str()),
        headers: &request.headers,
        version: match request.version {
            Version::HTTP_10 => "1.0",
            _ => "1.1",
        },
    };
    let scene = Scene::new(&asked, visit, http);
    let monitor = http.monitor.as_ref();
    let monitor = monitor.filter(|monitor| monitor.uri == asked.target);
    let is_monitor = monitor.is_some();
    let mut backend = frontend.name.as_str();
    let reply = if let Some(monitor) = monitor {
        let mut is_fit = true;
        for fail in &monitor.fail {
            is_fit &= !scene.holds(Some(fail), http.stages.first());
        }
        Reply::page(if is_fit { 200 } else { 503 })
    } else {
        match by_stages(&scene, &mut body, desk).await {
            Some((stage, reply)) => {
                backend = stage;
                reply
            }
            None => {
                backend = http.stages.last().map_or(backend, |stage| &stage.name);
                Reply::page(503)
            }
        }
    };
    let has_backend = http.stages.last().is_some_and(|stage| stage.is_backend);
    visit.count(
        reply.status,
        if is_monitor {
            Verdict::Intercepted
        } else {
            reply.verdict
        },
    );
    meter.answers(Sent {
        backend: backend.to_owned(),
        server: reply.server,
        status: reply.status,
        end: reply.end,
        request: format!("{} {} {:?}", request.method, request.uri, request.version),
        is_served: reply.server != NOBODY,
        tells_head: has_backend || reply.verdict != Verdict::Unserved,
        tells_answer: reply.tells_answer,
        is_logged: !(is_monitor || http.skip_normal && reply.is_normal()),
        least: match request.method {
            Method::HEAD => 0,
            _ => reply.body.len() as u64,
        },
    });
    reply.with_page_of(http).into_response()
}

/// The first stage that answers, and its answer.
async fn by_stages<'h>(
    scene: &Scene<'h>,
    body: &mut Incoming,
    desk: &Desk,
) -> Option<(&'h str, Reply)> {
    let (asked, http) = (scene.asked, scene.http);
    for stage in &http.stages {
        if let Some(reply) = by_rules(&stage.rules, &stage.name, stage, scene, desk).await {
            return Some((&stage.name, reply));
        }
        if let Some(page) = &stage.stats
            && asked.target.starts_with(&page.uri)
            && matches!(*asked.method, Method::GET | Method::HEAD | Method::POST)
        {
            let reply = statistics(page, stage, scene, body, desk).await;
            return Some((&stage.name, reply));
        }
    }
    None
}

/// What the first rule that applies answers; `None`: nothing, the request is let through.
async fn by_rules(
    rules: &[HttpRule],
    realm: &str,
    stage: &HttpStage,
    scene: &Scene<'_>,
    desk: &Desk,
) -> Option<Reply> {
    for rule in rules {
        if !scene.holds(rule.condition.as_ref(), Some(stage)) {
            continue;
        }
        return Some(match &rule.action {
            HttpAction::Allow => return None,
            HttpAction::Deny { status } => Reply {
                verdict: Verdict::Denied,
                end: "PR",
                ..Reply::page(*status)
            },
            HttpAction::Default { status } => Reply {
                verdict: Verdict::Intercepted,
                end: "LR",
                ..Reply::page(*status)
            },
            HttpAction::Return(fixed) => Reply::fixed(fixed),
            HttpAction::Page(page) => Reply::whole(page),
            HttpAction::Redirect { status, target } => {
                Reply::redirect(*status, target, scene.asked)
            }
            HttpAction::Auth { realm: own } => Reply::ask_who(own.as_deref().unwrap_or(realm)),
            HttpAction::Exporter => metrics(scene.asked, desk).await,
        });
    }
    None
}

async fn metrics(asked: &Asked<'_>, desk: &Desk) -> Reply {
    let query = asked.target.split_once('?').map_or("", |(_, query)| query);
    let Ok(wanted) = exporter::Wanted::parse(query) else {
        return Reply {
            end: "LR",
            ..Reply::page(400)
        }
        .served_by(EXPORTER);
    };
    let printed = match desk.view().await {
        Some(view) => desk.metrics(wanted.view(view)).await,
        None => None,
    };
    match printed {
        Some(text) => Reply::of(exporter::TYPE, wanted.filter(text)).served_by(EXPORTER),
        None => Reply::page(503),
    }
}

async fn statistics(
    page: &StatsPage,
    stage: &HttpStage,
    scene: &Scene<'_>,
    body: &mut Incoming,
    desk: &Desk,
) -> Reply {
    let asked = scene.asked;
    if let Some(reply) = by_rules(&page.rules, &page.realm, stage, scene, desk).await {
        return reply.served_by(STATS).unanswered();
    }
    if !page.users.is_empty() && !knows(asked.headers, &page.users) {
        return Reply::ask_who(&page.realm).served_by(STATS).unanswered();
    }
    let wanted = stats_page::Wanted::parse(&asked.target[page.uri.len()..]);
    let mut is_admin = false;
    for condition in &page.admin {
        is_admin = is_admin || scene.holds(Some(condition), Some(stage));
    }
    if *asked.method == Method::POST {
        let may = is_admin && !stats_admin::is_foreign(asked.headers);
        let outcome = match may {
            false => Some(Outcome::Denied),
            true => change(body, desk).await,
        };
        return match outcome {
            Some(outcome) => Reply::see(&wanted.after(page, outcome)).served_by(STATS),
            None => Reply::page(503),
        };
    }
    let by = stats_page::By {
        section: &stage.name,
        is_admin,
    };
    let shown = match desk.view().await {
        Some(view) => stats_page::print(page, by, wanted, view).await,
        None => None,
    };
    let Some(shown) = shown else {
        return Reply::page(503);
    };
    let mut reply = Reply::of(shown.kind, shown.text).served_by(STATS);
    reply.headers.extend(shown.refresh.map(|time| {
        let seconds = HeaderValue::from(time.as_secs());
        (HeaderName::from_static("refresh"), seconds)
    }));
    reply
}

/// How long a form may take to come.
const LONGEST_FORM: Duration = Duration::from_secs(10);
/// How long a form may be: what HAProxy's buffer has room for.
const LONGEST_FORM_BYTES: usize = 16 * 1024;

/// Does what the form in `body` asks for; `None` when the process ends.
async fn change(body: &mut Incoming, desk: &Desk) -> Option<Outcome> {
    let form = Limited::new(body, LONGEST_FORM_BYTES).collect();
    match tokio::time::timeout(LONGEST_FORM, form).await {
        Ok(Ok(form)) => desk.change(Form::parse(&form.to_bytes())).await,
        Ok(Err(_)) => Some(Outcome::TooLong),
        // One that does not come asks for nothing.
        Err(_) => Some(Outcome::None),
    }
}

/// Whether the request says who asks, and it is one of `users` with the right password. Takes as
/// long whoever it is and however much of it is right.
fn knows(headers: &HeaderMap, users: &[User]) -> bool {
    let Some((name, password)) = credentials(headers) else {
        return false;
    };
    let right = users.iter().filter(|user| {
        let names = same(name.as_bytes(), user.name.as_bytes());
        names & same(password.as_bytes(), user.password.as_bytes())
    });
    right.count() > 0
}

/// Name and password of a request (RFC 7617).
pub(super) fn credentials(headers: &HeaderMap) -> Option<(String, String)> {
    use base64::Engine;
    let header = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = base64::engine::general_purpose::STANDARD
        .decode(encoded.trim())
        .ok()?;
    let text = String::from_utf8(decoded).ok()?;
    let (name, password) = text.split_once(':')?;
    Some((name.to_owned(), password.to_owned()))
}

/// Whether two texts are the same; how long it takes tells only how long the first one is.
pub(super) fn same(given: &[u8], known: &[u8]) -> bool {
    let mut difference = usize::from(given.len() != known.len());
    for (at, byte) in given.iter().enumerate() {
        let other = known.get(at).copied().unwrap_or(!byte);
        difference |= usize::from(byte ^ other);
    }
    std::hint::black_box(difference) == 0
}

impl Reply {
    /// The page of a status.
    pub(super) fn page(status: u16) -> Self {
        Self {
            status,
            headers: vec![
                (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
                (CONTENT_TYPE, HeaderValue::from_static("text/html")),
            ],
            body: error_page::body(status),
            verdict: if status == 503 {
                Verdict::Unserved
            } else {
                Verdict::Intercepted
            },
            server: NOBODY,
            end: if status == 503 { "SC" } else { "LR" },
            tells_answer: false,
        }
    }

    /// Text of this kind.
    fn of(kind: &'static str, body: String) -> Self {
        Self {
            headers: vec![
                (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
                (CONTENT_TYPE, HeaderValue::from_static(kind)),
            ],
            body: Bytes::from(body),
            ..Self::page(200)
        }
    }

    fn served_by(self, server: &'static str) -> Self {
        Self {
            server,
            tells_answer: true,
            ..self
        }
    }

    fn ask_who(realm: &str) -> Self {
        let mut reply = Self::page(401);
        let realm = realm.replace(['"', '\\'], "");
        if let Ok(value) = HeaderValue::from_str(&format!("Basic realm=\"{realm}\"")) {
            reply.headers.push((WWW_AUTHENTICATE, value));
        }
        reply
    }

    fn fixed(fixed: &Fixed) -> Self {
        let value = |text: &str| HeaderValue::from_str(text).ok();
        let mut headers: Vec<_> = fixed
            .headers
            .iter()
            .filter_map(|(name, text)| Some((name.parse::<HeaderName>().ok()?, value(text)?)))
            .collect();
        let kind = fixed.content_type.as_deref().and_then(value);
        headers.extend(kind.map(|kind| (CONTENT_TYPE, kind)));
        Self {
            status: fixed.status,
            headers,
            body: Bytes::from(fixed.body.clone()),
            verdict: Verdict::Intercepted,
            end: "LR",
            ..Self::page(200)
        }
    }

    /// Sends a browser there, to look what became of its form.
    fn see(location: &str) -> Self {
        let mut reply = Self::of("text/plain", String::new());
        reply.status = 303;
        let location = HeaderValue::from_str(location).ok();
        let location = location.map(|location| (LOCATION, location));
        reply.headers.extend(location);
        reply
    }

    fn redirect(status: u16, target: &Redirect, asked: &Asked<'_>) -> Self {
        let location = match target {
            Redirect::Location(location) => location.clone(),
            // A prefix of `/` alone adds nothing.
            Redirect::Prefix(prefix) if prefix == "/" => asked.target.to_owned(),
            Redirect::Prefix(prefix) => format!("{prefix}{}", asked.target),
            Redirect::Scheme(scheme) => {
                let host = asked.headers.get(HOST).and_then(|host| host.to_str().ok());
                format!("{scheme}://{}{}", host.unwrap_or_default(), asked.target)
            }
        };
        let mut headers = Vec::new();
        if let Ok(location) = HeaderValue::from_str(&location) {
            headers.push((LOCATION, location));
        }
        // Only what may change is not kept.
        if matches!(status, 302 | 303 | 307) {
            headers.push((CACHE_CONTROL, HeaderValue::from_static("no-cache")));
        }
        Self {
            status,
            headers,
            body: Bytes::new(),
            ..Self::page(200)
        }
    }

    /// A whole answer, head and body, as an `errorfile` has it.
    fn whole(page: &[u8]) -> Self {
        let end = page
            .windows(4)
            .position(|window| window == b"\r\n\r\n")
            .map(|at| (at, at + 4));
        let end = end.or_else(|| {
            let short = page.windows(2).position(|window| window == b"\n\n");
            short.map(|at| (at, at + 2))
        });
        let (head_end, body_at) = end.unwrap_or((page.len(), page.len()));
        let head = String::from_utf8_lossy(&page[..head_end]);
        let mut lines = head.lines();
        let status = lines
            .next()
            .and_then(|line| line.split(' ').nth(1)?.parse().ok());
        let headers = lines.filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            let name: HeaderName = name.trim().parse().ok()?;
            // These are ours to say.
            let is_own = name == CONTENT_LENGTH || name == CONNECTION;
            Some((name, HeaderValue::from_str(value.trim()).ok()?)).filter(|_| !is_own)
        });
        Self {
            status: status.unwrap_or(500),
            headers: headers.collect(),
            body: Bytes::copy_from_slice(&page[body_at..]),
            verdict: Verdict::Intercepted,
            end: "LR",
            ..Self::page(200)
        }
    }

    /// With the page that the file gives for its status, where it is an error page.
    fn with_page_of(self, http: &LocalHttp) -> Self {
        let is_error_page = self.body == error_page::body(self.status);
        match http.error_pages.get(&self.status) {
            Some(page) if is_error_page && !self.body.is_empty() => {
                let Self { headers, body, .. } = Self::whole(page);
                let own = self
                    .headers
                    .iter()
                    .filter(|(name, _)| *name == WWW_AUTHENTICATE)
                    .cloned();
                Self {
                    headers: headers.into_iter().chain(own).collect(),
                    body,
                    ..self
                }
            }
            _ => self,
        }
    }

    fn unanswered(self) -> Self {
        Self {
            tells_answer: false,
            ..self
        }
    }

    /// Whether nothing about it needs a look: `option dontlog-normal`.
    fn is_normal(&self) -> bool {
        self.verdict == Verdict::Intercepted && self.status < 400
    }

    fn into_response(self) -> Response<Full<Bytes>> {
        let length = self.body.len();
        let mut response = Response::new(Full::new(self.body));
        let status = StatusCode::from_u16(self.status);
        *response.status_mut() = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let reason = error_page::reason(self.status);
        response
            .extensions_mut()
            .insert(ReasonPhrase::from_static(reason.as_bytes()));
        let headers = response.headers_mut();
        if self.status != 204 {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        for (name, value) in self.headers {
            headers.append(name, value);
        }
        // What these say is that this connection is of no more use.
        if matches!(self.status, 400 | 408) {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(authorization: &str, expected: bool) {
        let user = |name: &str, password: &str| User {
            name: name.to_owned(),
            password: password.to_owned(),
        };
        let users = [
            user("admin", "secret"),
            user("bob", "a:b"),
            user("none", ""),
        ];
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, authorization.parse().unwrap());
        assert_eq!(knows(&headers, &users), expected, "{authorization}");
    }

    #[test]
    fn passwords() {
        check("Basic YWRtaW46c2VjcmV0", true);
        check("basic YWRtaW46c2VjcmV0", true);
        check("Basic Ym9iOmE6Yg==", true);
        check("Basic bm9uZTo=", true);
        // admin:secre, admin:secrets, bob:secret, admin
        check("Basic YWRtaW46c2VjcmU=", false);
        check("Basic YWRtaW46c2VjcmV0cw==", false);
        check("Basic Ym9iOnNlY3JldA==", false);
        check("Basic YWRtaW4=", false);
        check("Basic ???", false);
        check("Bearer YWRtaW46c2VjcmV0", false);
        assert!(!knows(&HeaderMap::new(), &[]));
    }
}
