//! What conditions find in a request, and around it: of the process, what the control loop's view
//! says.

use std::borrow::Cow;

use evenkeel_config::rules::{
    BackendFact, Condition, End, Facts, Fetch, Found, FrontendFact, Http, Outcome, Sample,
    ServerFact,
};
use evenkeel_config::{LocalHttp, Member, UserList};
use evenkeel_proxy::{BackendSnapshot, Visit};
use hyper::header::{COOKIE, HOST};

use super::answer::{Asked, credentials, same};
use crate::columns::View;
use crate::desk::Desk;

/// A request and what is known of its visit.
pub(super) struct Scene<'a> {
    pub(super) asked: &'a Asked<'a>,
    pub(super) visit: &'a Visit,
    pub(super) http: &'a LocalHttp,
    /// Asked for once a condition needs it.
    view: Option<View>,
}

impl<'a> Scene<'a> {
    pub(super) fn new(asked: &'a Asked<'a>, visit: &'a Visit, http: &'a LocalHttp) -> Self {
        Self {
            asked,
            visit,
            http,
            view: None,
        }
    }

    /// Whether `condition` holds; without one, it does.
    pub(super) async fn holds(&mut self, condition: Option<&Condition>, desk: &Desk) -> bool {
        let Some(condition) = condition else {
            return true;
        };
        if self.view.is_none() && condition.tests().any(|test| concerns_process(&test.fetch)) {
            self.view = desk.view().await;
        }
        condition.judge(self) == Outcome::Pass
    }

    fn backend(&self, index: usize) -> Option<&BackendSnapshot> {
        let name = self.http.backends.get(index)?;
        let mut all = self.view.as_ref()?.proxy.backends.iter();
        all.find(|backend| backend.name == *name)
    }

    fn sample<'f>(&'f self, fetch: &'f Fetch) -> Option<Sample<'f>> {
        let address = |end: End| match end {
            End::Source => self.visit.peer(),
            End::Destination => self.visit.local(),
        };
        Some(match fetch {
            Fetch::Constant(sample) => sample.clone(),
            Fetch::Address(end, _) => Sample::Ip(address(*end)?.ip().to_canonical()),
            Fetch::Port(end, _) => Sample::Int(address(*end)?.port().into()),
            Fetch::IsLocal(end, _) => {
                let ip = address(*end)?.ip();
                let own = self.visit.local().is_some_and(|local| local.ip() == ip);
                Sample::Bool(ip.is_loopback() || own)
            }
            Fetch::Frontend(FrontendFact::Name, None) => Sample::text(&self.visit.frontend().name),
            Fetch::Frontend(FrontendFact::Id, None) => Sample::Int(self.visit.frontend().id.into()),
            Fetch::Frontend(FrontendFact::Connections, None) => {
                let mut all = self.view.as_ref()?.proxy.frontends.iter();
                let own = all.find(|frontend| frontend.name == self.visit.frontend().name)?;
                Sample::Int(own.current_sessions.into())
            }
            Fetch::Backend(fact, Some(id)) => Sample::Int(backend_fact(*fact, self.backend(id.0))?),
            Fetch::Server(fact, id) => {
                let server = self.backend(id.backend.0)?.servers.get(id.index)?;
                let service = &server.service;
                Sample::Int(match fact {
                    ServerFact::IsUp => {
                        i64::from(!server.status.is_down() && !server.status.is_maint())
                    }
                    ServerFact::Connections => service.current_sessions.into(),
                    ServerFact::Queue => service.current_queue.into(),
                    ServerFact::SessionRate => service.session_rate.into(),
                    ServerFact::InitialWeight => server.configured_weight.into(),
                    ServerFact::Weight | ServerFact::UserWeight => server.weight.into(),
                    ServerFact::FreeConnections => server.session_limit.map_or(-1, |most| {
                        i64::from(most) - i64::from(service.current_sessions)
                    }),
                })
            }
            Fetch::Connections => {
                Sample::Int(self.view.as_ref()?.proxy.process.current_connections.into())
            }
            Fetch::IsStopping => Sample::Bool(self.view.as_ref()?.proxy.process.stopping),
            Fetch::Http(http) => return self.http_sample(http),
            _ => return None,
        })
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

impl Facts for Scene<'_> {
    fn find<'f>(&'f self, fetch: &'f Fetch) -> Found<'f> {
        Found::final_value(self.sample(fetch))
    }
}

/// Whether it takes a view of the process to find it.
fn concerns_process(fetch: &Fetch) -> bool {
    matches!(
        fetch,
        Fetch::Backend(..)
            | Fetch::Server(..)
            | Fetch::Frontend(..)
            | Fetch::Connections
            | Fetch::IsStopping
    )
}

/// What is known of a backend; of one that is disabled, that no server of it is usable.
fn backend_fact(fact: BackendFact, backend: Option<&BackendSnapshot>) -> Option<i64> {
    let Some(backend) = backend else {
        return (fact == BackendFact::UsableServers).then_some(0);
    };
    let service = &backend.service;
    let usable = match backend.active_servers {
        0 => backend.backup_servers.min(1),
        active => active,
    };
    Some(match fact {
        BackendFact::UsableServers => usable.into(),
        BackendFact::Connections => service.current_sessions.into(),
        BackendFact::SessionRate => service.session_rate.into(),
        BackendFact::Queue => service.current_queue.into(),
        BackendFact::AverageQueue => i64::from(service.current_queue) / i64::from(usable.max(1)),
        BackendFact::Id => backend.id.into(),
        _ => return None,
    })
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
