//! What conditions find in a request; of what is around it they find what rules on connections do.

use std::borrow::Cow;

use evenkeel_config::rules::{Condition, Facts, Fetch, Found, Http, Outcome, Sample};
use evenkeel_config::{HttpStage, LocalHttp, Member, UserList};
use evenkeel_proxy::Visit;
use hyper::header::{COOKIE, HOST};

use super::answer::{Asked, credentials, same};

/// A request and the visit that it is of.
pub(super) struct Scene<'a> {
    pub(super) asked: &'a Asked<'a>,
    pub(super) visit: &'a Visit,
    pub(super) http: &'a LocalHttp,
}

impl<'a> Scene<'a> {
    pub(super) fn new(asked: &'a Asked<'a>, visit: &'a Visit, http: &'a LocalHttp) -> Self {
        Self { asked, visit, http }
    }

    /// Whether `condition` of a rule of this stage holds; without one, it does.
    pub(super) fn holds(&self, condition: Option<&Condition>, stage: Option<&HttpStage>) -> bool {
        let backend = stage.filter(|stage| stage.is_backend);
        let asked = Asking {
            scene: self,
            backend: backend.map(|backend| backend.name.as_str()),
        };
        condition.is_none_or(|condition| condition.judge(&asked) == Outcome::Pass)
    }

    fn http_sample<'f>(&'f self, http: &'f Http) -> Option<Sample<'f>> {
        let target = self.asked.target;
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target, None),
        };
        let header = |name: &str| {
            let values = self.asked.headers.get_all(name).iter();
            values.map(|value| value.as_bytes()).collect::<Vec<_>>()
        };
        Some(match http {
            Http::Method => Sample::text(self.asked.method.as_str()),
            Http::Path => Sample::text(path),
            Http::PathAndQuery | Http::Url => Sample::text(target),
            Http::Query => Sample::text(query?),
            Http::Version => Sample::text(self.asked.version),
            Http::Base => {
                let host = self
                    .asked
                    .headers
                    .get(HOST)
                    .map_or(&b""[..], |host| host.as_bytes());
                Sample::Text(Cow::Owned([host, path.as_bytes()].concat()))
            }
            Http::Header(name, which) => {
                let lines = header(name);
                let values = lines
                    .iter()
                    .flat_map(|line| line.split(|byte| *byte == b','));
                let values: Vec<&[u8]> = values.map(<[u8]>::trim_ascii).collect();
                Sample::Text(Cow::Borrowed(chosen(&values, *which)?))
            }
            Http::FullHeader(name, which) => {
                Sample::Text(Cow::Borrowed(chosen(&header(name), *which)?))
            }
            Http::HeaderCount(name) => {
                let lines = header(name);
                let values = lines
                    .iter()
                    .flat_map(|line| line.split(|byte| *byte == b','));
                Sample::Int(i64::try_from(values.count()).ok()?)
            }
            Http::Cookie(name) => {
                let mut lines = self.asked.headers.get_all(COOKIE).iter();
                let value = lines.find_map(|line| {
                    let mut pairs = line.to_str().ok()?.split(';');
                    pairs.find_map(|pair| {
                        let (known, value) = pair.trim().split_once('=')?;
                        (known == name).then_some(value)
                    })
                });
                Sample::text(value?)
            }
            Http::Parameter(name) => {
                let mut pairs = query?
                    .split('&')
                    .map(|pair| pair.split_once('=').unwrap_or((pair, "")));
                Sample::text(pairs.find(|(known, _)| known == name)?.1)
            }
            Http::IsHttp => Sample::Bool(true),
            Http::Auth(list) => Sample::Bool(self.member(list).is_some()),
            Http::AuthGroups(list) => {
                Sample::Text(Cow::Owned(self.member(list)?.groups.join("/").into_bytes()))
            }
        })
    }

    /// Who of `list` asks, by his name and password.
    fn member<'l>(&self, list: &'l UserList) -> Option<&'l Member> {
        let (name, password) = credentials(self.asked.headers)?;
        let right = list.members.iter().filter(|member| {
            let known = member.password.as_deref();
            let is_right = same(password.as_bytes(), known.unwrap_or_default().as_bytes());
            same(name.as_bytes(), member.name.as_bytes()) & is_right & known.is_some()
        });
        // All are looked at, so that time does not tell which one it is.
        right.fold(None, |_, member| Some(member))
    }
}

/// A request as the rules of one section see it.
struct Asking<'a> {
    scene: &'a Scene<'a>,
    /// The section, if it is a backend's.
    backend: Option<&'a str>,
}

impl Facts for Asking<'_> {
    fn find<'f>(&'f self, fetch: &'f Fetch) -> Found<'f> {
        match fetch {
            Fetch::Http(http) => Found::final_value(self.scene.http_sample(http)),
            fetch => self.scene.visit.find(fetch, self.backend),
        }
    }
}

/// The value of this number: from 1, or from -1 at the end; without one, the last.
fn chosen<'v>(values: &[&'v [u8]], which: Option<i32>) -> Option<&'v [u8]> {
    let at = match which.unwrap_or(-1) {
        0 => return None,
        which @ 1.. => usize::try_from(which).ok()? - 1,
        which => values
            .len()
            .checked_sub(usize::try_from(which.unsigned_abs()).ok()?)?,
    };
    values.get(at).copied()
}
