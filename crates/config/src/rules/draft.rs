//! Rules as a reader found them.

use std::time::Duration;

use super::{AclDraft, Checkpoint, TcpAction};
use crate::Place;
use crate::draft::{Maybe, Spanned};

/// The rules of one section; those of its `defaults` section come first.
#[derive(Clone, Debug, Default)]
pub(crate) struct RulesDraft {
    pub(crate) acls: Vec<AclDraft>,
    pub(crate) rules: Vec<RuleDraft>,
    pub(crate) inspect_delay: Maybe<Duration>,
}

impl RulesDraft {
    /// The names of backends that rules choose.
    pub(crate) fn backends(&self) -> impl Iterator<Item = &Spanned<String>> {
        self.rules.iter().filter_map(|rule| match &rule.kind {
            RuleKind::UseBackend(name) => Some(name),
            _ => None,
        })
    }
}

/// One rule.
#[derive(Clone, Debug)]
pub(crate) struct RuleDraft {
    pub(crate) kind: RuleKind,
    /// The section it stands in, whose acls it may name.
    pub(crate) section: Place,
    /// What stands behind it: nothing, or `if` or `unless` and a condition.
    pub(crate) condition: Vec<Spanned<String>>,
}

/// What a rule does.
#[derive(Clone, Debug)]
pub(crate) enum RuleKind {
    Tcp(Checkpoint, TcpAction),
    UseBackend(Spanned<String>),
    UseServer(Spanned<String>),
}
