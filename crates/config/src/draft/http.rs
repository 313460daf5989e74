//! What a frontend answers by itself, before its conditions are read.

use crate::LocalHttp;
use crate::rules::{AclDraft, ConditionDraft};

/// See [`LocalHttp`].
#[derive(Clone, Debug, Default)]
pub(crate) struct LocalHttpDraft {
    /// Everything but the conditions.
    pub(crate) http: LocalHttp,
    /// The acls of the sections it is made of.
    pub(crate) acls: Vec<AclDraft>,
    pub(crate) conditions: Vec<(Slot, ConditionDraft)>,
}

/// Where a condition belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    /// `monitor fail`.
    Monitor,
    /// This rule of this stage.
    Rule(usize, usize),
    /// This rule of this stage's statistics page.
    StatsRule(usize, usize),
    /// `stats admin` of this stage.
    Admin(usize),
}
