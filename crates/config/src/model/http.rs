//! What a frontend in mode http answers by itself: health questions, statistics, metrics and fixed
//! answers. Nothing of it is ever sent on to a server.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::rules::Condition;

/// HTTP that is answered on the spot.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LocalHttp {
    /// `timeout http-request`: for a request's head; `None`: as long as `timeout client`.
    pub request_timeout: Option<Duration>,
    /// `timeout http-keep-alive`: for the next request to begin; `None`: as `request_timeout`.
    pub keep_alive_timeout: Option<Duration>,
    /// Whether a connection serves one request alone (`option httpclose`).
    pub closes: bool,
    /// `monitor-uri`.
    pub monitor: Option<Monitor>,
    /// What requests are asked in turn: the frontend's own section, then its default backend's.
    pub stages: Vec<HttpStage>,
    /// `errorfile` and its kin: whole answers, head and body, by status.
    pub error_pages: BTreeMap<u16, Vec<u8>>,
    /// `option dontlog-normal`: no line for an answer that needs no look.
    pub skip_normal: bool,
}

/// `monitor-uri`: says whether this balancer is fit.
#[derive(Clone, Debug, PartialEq)]
pub struct Monitor {
    /// The whole target of the request, as it is asked for.
    pub uri: String,
    /// `monitor fail`: it is not fit if one of these holds.
    pub fail: Vec<Condition>,
}

/// What one section says about requests.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpStage {
    /// The section's name.
    pub name: String,
    /// Whether it is a backend's (or a `listen`'s): the last word on what nobody answers is its.
    pub is_backend: bool,
    /// `http-request` rules in file order.
    pub rules: Vec<HttpRule>,
    /// `stats enable` and its kin.
    pub stats: Option<StatsPage>,
}

/// One `http-request` rule.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpRule {
    /// When; `None`: always.
    pub condition: Option<Condition>,
    /// What is done.
    pub action: HttpAction,
}

/// What a rule does to a request.
#[derive(Clone, Debug, PartialEq)]
pub enum HttpAction {
    /// No further rule is asked.
    Allow,
    /// Answered with an error.
    Deny {
        /// The answer's status.
        status: u16,
    },
    /// Answered as the rule says.
    Return(Reply),
    /// Sent elsewhere.
    Redirect {
        /// 301, 302, 303, 307 or 308.
        status: u16,
        /// Where.
        target: Redirect,
    },
    /// Answered with the error page of this status.
    Default {
        /// The status.
        status: u16,
    },
    /// Answered with these bytes, head and body.
    Page(Vec<u8>),
    /// Whoever does not say who he is is asked to.
    Auth {
        /// The name of what is protected; `None`: the section's own.
        realm: Option<String>,
    },
    /// Answered with metrics.
    Exporter,
}

/// Where a redirect leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Redirect {
    /// There.
    Location(String),
    /// There, with the request's own path and query behind it.
    Prefix(String),
    /// To the same host, path and query, by this scheme.
    Scheme(String),
}

/// The answer of a `http-request return`.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// `content-type`; `None`: there is no body.
    pub content_type: Option<String>,
    /// The body.
    pub body: Vec<u8>,
    /// `hdr NAME VALUE`.
    pub headers: Vec<(String, String)>,
}

/// Where the statistics are shown, to whom, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct StatsPage {
    /// What the request's target begins with.
    pub uri: String,
    /// What is protected by a password, in a browser's words.
    pub realm: String,
    /// Name and password of everybody who may look; empty: everybody may.
    pub users: Vec<User>,
    /// How often a browser asks again; `None`: it does not.
    pub refresh: Option<Duration>,
    /// Whether the version is told.
    pub shows_version: bool,
    /// The name of the machine in the heading; `None`: not shown.
    pub node: Option<String>,
    /// The description in the heading; `None`: not shown.
    pub description: Option<String>,
    /// Whether addresses and algorithms are shown.
    pub shows_legends: bool,
    /// The only proxies that are shown; empty: all of them.
    pub scope: Vec<String>,
    /// `stats http-request` rules: who sees the page.
    pub rules: Vec<HttpRule>,
    /// `stats admin`: who may change servers by it, if one of these holds.
    pub admin: Vec<Condition>,
}

/// A `userlist` section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserList {
    /// Its name.
    pub name: String,
    /// Everybody in it.
    pub members: Vec<Member>,
}

/// Somebody in a [`UserList`]. What it says of itself leaves the password out.
#[derive(Clone, PartialEq, Eq)]
pub struct Member {
    /// The name.
    pub name: String,
    /// The password as it is typed; `None`: it is not known, so that it opens nothing.
    pub password: Option<String>,
    /// The groups that it is in.
    pub groups: Vec<String>,
}

impl std::fmt::Debug for Member {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Member")
            .field("name", &self.name)
            .field("groups", &self.groups)
            .finish_non_exhaustive()
    }
}

/// Somebody with a password. What it says of itself leaves the password out.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// The name.
    pub name: String,
    /// The password as it is typed.
    pub password: String,
}

impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("User")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
