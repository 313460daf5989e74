//! Rules: what is done where a condition holds.

use std::time::Duration;

use super::{Condition, Converter, Fetch};
use crate::BackendId;

/// The rules of a frontend, in the order in which a connection meets them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FrontendRules {
    /// `tcp-request connection`: before the connection counts as a session.
    pub connection: Vec<TcpRule>,
    /// `tcp-request session`: once it does, and a PROXY protocol header is read.
    pub session: Vec<TcpRule>,
    /// `tcp-request content`: before a backend is chosen.
    pub content: Vec<TcpRule>,
    /// `tcp-request inspect-delay`: how long rules may wait for the client's bytes.
    pub inspect_delay: Option<Duration>,
    /// `use_backend`.
    pub backends: Vec<UseBackend>,
    /// Whether a rule on content, or on the backend, looks into what the client sends.
    pub reads_content: bool,
}

/// The rules of a backend, in the order in which a connection meets them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BackendRules {
    /// `tcp-request content`: before a server is chosen.
    pub content: Vec<TcpRule>,
    /// `tcp-request inspect-delay`.
    pub inspect_delay: Option<Duration>,
    /// `use-server`.
    pub servers: Vec<UseServer>,
    /// Whether a rule looks into what the client sends.
    pub reads_content: bool,
}

/// One rule about whether a connection is let through.
#[derive(Clone, Debug, PartialEq)]
pub struct TcpRule {
    /// What is done.
    pub action: TcpAction,
    /// When; `None`: always.
    pub condition: Option<Condition>,
}

/// What a [`TcpRule`] does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TcpAction {
    /// No rule of this kind is asked any more.
    Accept,
    /// The connection is closed.
    Reject,
    /// The connection is forgotten, and the client not told.
    SilentDrop,
    /// `expect-proxy layer4`: a PROXY protocol header must come first.
    ExpectProxy,
}

/// One `use_backend`.
#[derive(Clone, Debug, PartialEq)]
pub struct UseBackend {
    /// Where the connection goes.
    pub backend: BackendChoice,
    /// When; `None`: always.
    pub condition: Option<Condition>,
}

/// Where a `use_backend` leads.
#[derive(Clone, Debug, PartialEq)]
pub enum BackendChoice {
    /// To this one.
    Fixed(BackendId),
    /// To the one whose name these parts make; where there is none of that name, to the default
    /// one.
    Named(NamePattern),
}

/// A name that is made of what is known of a connection: `bk_%[dst_port]`.
#[derive(Clone, Debug, PartialEq)]
pub struct NamePattern {
    /// As it is written.
    pub text: String,
    /// Its parts, to be put one behind the other.
    pub parts: Vec<NamePart>,
}

/// One part of a [`NamePattern`].
#[derive(Clone, Debug, PartialEq)]
pub enum NamePart {
    /// This text.
    Text(String),
    /// A sample as text; nothing where there is none.
    Sample(Fetch, Vec<Converter>),
}

/// One `use-server`.
#[derive(Clone, Debug, PartialEq)]
pub struct UseServer {
    /// Which server, by its index in the backend.
    pub server: usize,
    /// When.
    pub condition: Condition,
}

/// Whether a condition looks into what the client sends.
fn reads_content(condition: &Condition) -> bool {
    let mut tests = condition.tests();
    tests.any(|test| matches!(test.fetch, Fetch::Content(_)))
}

impl FrontendRules {
    /// Whether a rule on content, or on the backend, looks into what the client sends.
    pub(crate) fn look_into_content(&self) -> bool {
        let content = self
            .content
            .iter()
            .filter_map(|rule| rule.condition.as_ref());
        let backends = self
            .backends
            .iter()
            .filter_map(|rule| rule.condition.as_ref());
        let reads_name = |rule: &UseBackend| match &rule.backend {
            BackendChoice::Named(pattern) => pattern
                .parts
                .iter()
                .any(|part| matches!(part, NamePart::Sample(Fetch::Content(_), _))),
            BackendChoice::Fixed(_) => false,
        };
        content.chain(backends).any(reads_content) || self.backends.iter().any(reads_name)
    }

    /// Every condition in them.
    pub fn conditions(&self) -> impl Iterator<Item = &Condition> {
        let tcp = self
            .connection
            .iter()
            .chain(&self.session)
            .chain(&self.content);
        let backends = self
            .backends
            .iter()
            .filter_map(|rule| rule.condition.as_ref());
        tcp.filter_map(|rule| rule.condition.as_ref())
            .chain(backends)
    }
}

impl BackendRules {
    /// Whether a rule looks into what the client sends.
    pub(crate) fn look_into_content(&self) -> bool {
        self.conditions().any(reads_content)
    }

    /// Whether there is nothing to ask.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.content.is_empty() && self.servers.is_empty()
    }

    /// Every condition in them.
    pub fn conditions(&self) -> impl Iterator<Item = &Condition> {
        let content = self
            .content
            .iter()
            .filter_map(|rule| rule.condition.as_ref());
        content.chain(self.servers.iter().map(|rule| &rule.condition))
    }
}
