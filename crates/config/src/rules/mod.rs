//! Rules: conditions on what is known of a connection, typed and final, and what is done where one
//! holds (HAProxy manual, section 7).
//!
//! Pure: what a [`Fetch`] finds comes in through [`Facts`]. Knows no socket.

mod acl;
mod call;
mod content;
mod converter;
mod draft;
mod fetch;
mod known;
mod name;
mod network;
mod parse;
mod pattern;
mod rule;
mod sample;

use std::fmt;
use std::sync::Arc;

pub use content::{Content, Http};
pub use converter::{Converter, Operator};
use fetch::When;
pub use fetch::{BackendFact, End, Fetch, FrontendFact, ServerFact, ServerId, Side, Unit};
pub use network::Network;
pub use pattern::{Expression, Matcher, Range, TextMatch, TextPattern};
pub use rule::{
    BackendChoice, BackendRules, FrontendRules, NamePart, NamePattern, TcpAction, TcpRule,
    UseBackend, UseServer,
};
pub use sample::{Kind, Sample};

pub(crate) use acl::{AclDraft, Acls, ConditionDraft};
pub(crate) use draft::{RuleDraft, RuleKind, RulesDraft};
pub(crate) use name::name_pattern;
pub(crate) use parse::{is_predefined, sample};

use crate::{Backend, BackendId, Environment, Frontend, UserList};

/// Index of a frontend in [`Config::frontends`](crate::Config::frontends).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FrontendId(pub usize);

/// When a rule applies: one of several groups of tests holds, or, with `unless`, none does.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    /// `if` or `unless`.
    pub polarity: Polarity,
    /// Groups of which one is enough; of a group all are needed.
    pub any: Vec<Vec<Term>>,
}

/// Which way a condition is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Polarity {
    /// `if`.
    If,
    /// `unless`.
    Unless,
}

/// One word of a condition.
#[derive(Clone, Debug, PartialEq)]
pub struct Term {
    /// Whether `!` stands before it.
    pub is_negated: bool,
    /// What is tested.
    pub acl: Arc<Acl>,
}

/// Tests of which one is enough.
#[derive(Clone, Debug, PartialEq)]
pub struct Acl {
    /// `None`: it stands between braces.
    pub name: Option<String>,
    /// Every line of that name, in their order.
    pub tests: Vec<Test>,
}

/// A sample that is fetched, converted and matched.
#[derive(Clone, Debug, PartialEq)]
pub struct Test {
    /// As it is written, words quoted where they need it.
    pub text: String,
    /// Where the sample comes from.
    pub fetch: Fetch,
    /// What it goes through, in this order.
    pub converters: Vec<Converter>,
    /// What it is matched with.
    pub matcher: Matcher,
    /// Where its fetch finds something.
    when: When,
}

/// What became of a test or condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// It does not hold.
    Fail,
    /// What is known does not decide it: more may come.
    Miss,
    /// It holds.
    Pass,
}

/// What a fetch found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found<'a> {
    /// `None`: there is nothing.
    pub sample: Option<Sample<'a>>,
    /// What it found beside that: a test holds where it holds for any one of them.
    pub others: Vec<Sample<'a>>,
    /// Whether it may be otherwise once the client has sent more.
    pub may_change: bool,
}

impl<'a> Found<'a> {
    /// A sample that stays as it is.
    #[must_use]
    pub fn final_value(sample: impl Into<Option<Sample<'a>>>) -> Self {
        Self {
            sample: sample.into(),
            others: Vec::new(),
            may_change: false,
        }
    }

    /// Nothing yet.
    #[must_use]
    pub fn not_yet() -> Self {
        Self {
            sample: None,
            others: Vec::new(),
            may_change: true,
        }
    }
}

/// What is known where a condition is judged. [`Fetch::Constant`], [`Fetch::Absent`],
/// [`Fetch::Acls`] and [`Fetch::Unsupported`] are never asked for.
pub trait Facts {
    /// What `fetch` finds.
    fn find<'f>(&'f self, fetch: &'f Fetch) -> Found<'f>;
}

impl Condition {
    /// Whether it holds as far as `facts` tell.
    #[must_use]
    pub fn judge(&self, facts: &dyn Facts) -> Outcome {
        let groups = self.any.iter().map(|group| {
            let outcomes = group.iter().map(|term| term.judge(facts));
            all(outcomes)
        });
        let outcome = any(groups);
        match self.polarity {
            Polarity::If => outcome,
            Polarity::Unless => outcome.turned(),
        }
    }

    /// Every test of it, those within `acl()` included.
    pub fn tests(&self) -> impl Iterator<Item = &Test> {
        let terms = self.any.iter().flatten();
        let mut found: Vec<&Test> = Vec::new();
        let mut open: Vec<&Acl> = terms.map(|term| &*term.acl).collect();
        while let Some(acl) = open.pop() {
            for test in &acl.tests {
                found.push(test);
                if let Fetch::Acls(inner) = &test.fetch {
                    open.extend(inner.iter().map(|(_, acl)| &**acl));
                }
            }
        }
        found.into_iter()
    }
}

impl Term {
    fn judge(&self, facts: &dyn Facts) -> Outcome {
        let outcome = self.acl.judge(facts);
        if self.is_negated {
            outcome.turned()
        } else {
            outcome
        }
    }
}

impl Acl {
    /// Whether one of its tests holds.
    #[must_use]
    pub fn judge(&self, facts: &dyn Facts) -> Outcome {
        any(self.tests.iter().map(|test| test.judge(facts)))
    }
}

impl Test {
    /// What its fetch is called.
    fn fetch_name(&self) -> &str {
        let end = self.text.find(['(', ',', ' ']);
        &self.text[..end.unwrap_or(self.text.len())]
    }

    fn judge(&self, facts: &dyn Facts) -> Outcome {
        let found = match &self.fetch {
            Fetch::Constant(sample) => Found::final_value(sample.clone()),
            Fetch::Absent | Fetch::Unsupported(..) => Found::final_value(None),
            Fetch::Acls(acls) => {
                let outcomes = acls.iter().map(|(is_negated, acl)| {
                    let outcome = acl.judge(facts);
                    if *is_negated {
                        outcome.turned()
                    } else {
                        outcome
                    }
                });
                let outcome = all(outcomes);
                Found {
                    sample: Some(Sample::Bool(outcome == Outcome::Pass)),
                    others: Vec::new(),
                    may_change: outcome == Outcome::Miss,
                }
            }
            fetch => facts.find(fetch),
        };
        let convert = |sample| {
            let mut converters = self.converters.iter();
            converters.try_fold(sample, |sample, converter| converter.apply(sample))
        };
        let mut samples = found.sample.into_iter().chain(found.others);
        if samples.any(|sample| convert(sample).is_some_and(|sample| self.matcher.matches(&sample)))
        {
            Outcome::Pass
        } else if found.may_change {
            Outcome::Miss
        } else {
            Outcome::Fail
        }
    }
}

impl Outcome {
    fn turned(self) -> Self {
        match self {
            Self::Fail => Self::Pass,
            Self::Miss => Self::Miss,
            Self::Pass => Self::Fail,
        }
    }
}

/// Whether all pass; asks no further than the first that fails.
fn all(outcomes: impl Iterator<Item = Outcome>) -> Outcome {
    let mut least = Outcome::Pass;
    for outcome in outcomes {
        least = least.min(outcome);
        if least == Outcome::Fail {
            break;
        }
    }
    least
}

/// Whether one passes; asks no further than that.
fn any(outcomes: impl Iterator<Item = Outcome>) -> Outcome {
    let mut most = Outcome::Fail;
    for outcome in outcomes {
        most = most.max(outcome);
        if most == Outcome::Pass {
            break;
        }
    }
    most
}

/// As it is written behind a rule: `if a !{ src 10.0.0.0/8 } or b`.
impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.polarity {
            Polarity::If => "if",
            Polarity::Unless => "unless",
        })?;
        for (index, group) in self.any.iter().enumerate() {
            if index > 0 {
                f.write_str(" or")?;
            }
            for term in group {
                f.write_str(if term.is_negated { " !" } else { " " })?;
                match (&term.acl.name, &term.acl.tests[..]) {
                    (Some(name), _) => f.write_str(name)?,
                    (None, [test, ..]) => write!(f, "{{ {} }}", test.text)?,
                    (None, []) => {}
                }
            }
        }
        Ok(())
    }
}

/// Where a rule stands on a connection's way, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Checkpoint {
    /// `tcp-request connection`.
    Connection,
    /// `tcp-request session`.
    Session,
    /// `tcp-request content` of a frontend.
    Content,
    /// `use_backend`.
    UseBackend,
    /// `tcp-request content` of a backend.
    BackendContent,
    /// `use-server`.
    UseServer,
    /// `tcp-response content`.
    Response,
    /// A rule on HTTP requests, or `monitor fail`, of a frontend.
    HttpRequest,
    /// The same of a `listen` section.
    ListenHttpRequest,
    /// A rule on HTTP requests of a backend.
    BackendHttpRequest,
}

impl Checkpoint {
    /// How HAProxy calls it.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Connection => "frontend tcp-request connection rule",
            Self::Session => "frontend tcp-request session rule",
            Self::Content => "frontend tcp-request content rule",
            Self::UseBackend => "frontend use-backend rule",
            Self::BackendContent => "backend tcp-request content rule",
            Self::UseServer => "backend use-server, balance or stick-match rule",
            Self::Response => "backend tcp-response content rule",
            Self::HttpRequest | Self::ListenHttpRequest => "frontend http-request header rule",
            Self::BackendHttpRequest => "backend http-request header rule",
        }
    }

    /// Whether what the client sends is read as an HTTP request.
    fn reads_http(self) -> bool {
        matches!(
            self,
            Self::HttpRequest | Self::ListenHttpRequest | Self::BackendHttpRequest
        )
    }
}

impl Checkpoint {
    /// How HAProxy names the rules in a warning that says which.
    fn here(self) -> &'static str {
        match self {
            Self::Connection => " in 'tcp-request connection'",
            Self::Session => " in 'tcp-request session'",
            Self::Content | Self::BackendContent => " in 'tcp-request content'",
            Self::Response => " in 'tcp-response content'",
            Self::UseBackend
            | Self::UseServer
            | Self::HttpRequest
            | Self::ListenHttpRequest
            | Self::BackendHttpRequest => "",
        }
    }
}

/// What a condition is read against: whose it is, and what there is that it may name.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) environment: &'a Environment<'a>,
    pub(crate) frontends: &'a [Frontend],
    pub(crate) backends: &'a [Backend],
    pub(crate) userlists: &'a [UserList],
    /// The section it stands in.
    pub(crate) proxy: &'a str,
    /// The halves of that section.
    pub(crate) frontend: Option<FrontendId>,
    pub(crate) backend: Option<BackendId>,
    /// The acls that it may name.
    pub(crate) acls: &'a [Arc<Acl>],
}

impl Context<'_> {
    pub(crate) fn frontend_named(&self, name: &str) -> Option<FrontendId> {
        let mut all = self.frontends.iter();
        all.position(|frontend| frontend.name == name)
            .map(FrontendId)
    }

    pub(crate) fn backend_named(&self, name: &str) -> Option<BackendId> {
        let mut all = self.backends.iter();
        all.position(|backend| backend.name == name).map(BackendId)
    }

    pub(crate) fn server_named(&self, backend: BackendId, name: &str) -> Option<usize> {
        let mut all = self.backends.get(backend.0)?.servers.iter();
        all.position(|server| server.name == name)
    }

    /// The acl of a name, or what HAProxy predefines under it.
    pub(crate) fn acl(&self, name: &str) -> Option<Arc<Acl>> {
        let mut own = self.acls.iter();
        let own = own.find(|acl| acl.name.as_deref() == Some(name));
        own.cloned().or_else(|| parse::predefined(name, self))
    }
}

#[cfg(test)]
mod tests;
