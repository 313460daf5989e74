//! `evenkeel lint`: lines of a configuration that load, and will hurt a control plane. One rule a
//! row; docs/lint.md is printed from the same table.

mod rules;
mod scene;
#[cfg(test)]
mod tests;

use std::fmt;

use crate::{Config, Place, Source};

use scene::Scene;

/// What a rule found at one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Where.
    pub place: Place,
    /// The rule's name.
    pub rule: &'static str,
    /// What will hurt.
    pub message: String,
    /// What would be right.
    pub fix: &'static str,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            place,
            rule,
            message,
            fix,
        } = self;
        write!(f, "{place}: {message}; {fix} [{rule}]")
    }
}

/// One thing that is looked for.
struct Rule {
    name: &'static str,
    /// What it costs, told to somebody who was woken up.
    why: &'static str,
    fix: &'static str,
    find: fn(&Scene<'_>) -> Vec<(Place, String)>,
}

/// What the rules find in a configuration that was loaded from `sources`, from top to bottom.
/// `is_local` says whether this machine has an address.
#[must_use]
pub fn lint(
    sources: &[Source],
    config: &Config,
    is_local: &dyn Fn(std::net::IpAddr) -> bool,
) -> Vec<Finding> {
    let scene = Scene::new(sources, config, is_local);
    let mut findings: Vec<Finding> = Vec::new();
    for rule in rules::RULES {
        let found = (rule.find)(&scene);
        findings.extend(found.into_iter().map(|(place, message)| Finding {
            place,
            rule: rule.name,
            message,
            fix: rule.fix,
        }));
    }
    let file = |finding: &Finding| sources.iter().position(|s| *s.name == *finding.place.file);
    findings.sort_by_key(|f| (file(f), f.place.line, f.place.column, f.rule));
    findings.dedup();
    findings
}

/// docs/lint.md: every rule.
#[must_use]
pub fn lint_markdown() -> String {
    let mut text = String::from(
        "# What `evenkeel lint` looks for\n\n\
         `evenkeel lint FILE...` loads a haproxy.cfg or TOML file and says which of its lines will \
         hurt a Kubernetes control plane: `file:line:column: what; the fix [rule]`, from top to \
         bottom. Exit code 0: nothing found; 1: something found; 2: the file does not load. A rule \
         about the API looks at backends whose servers or listeners have port 6443, 6444 or 8443, \
         and at those whose name speaks of an API, of Kubernetes or of masters. This page is \
         printed by `evenkeel lint` without files.\n\n\
         | rule | what it costs | fix |\n|---|---|---|\n",
    );
    for rule in rules::RULES {
        text.push_str(&format!(
            "| `{}` | {} | {} |\n",
            rule.name, rule.why, rule.fix
        ));
    }
    text
}
