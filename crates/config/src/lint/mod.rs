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
    /// How much it hurts.
    pub severity: Harm,
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
            ..
        } = self;
        write!(f, "{place}: {message}; {fix} [{rule}]")
    }
}

/// How much a line hurts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Harm {
    /// It costs a little every day.
    Info,
    /// An event that is to be expected (a master that restarts, hangs or vanishes) turns into an outage.
    Warning,
    /// The control plane does not work so, or fails as a whole.
    Critical,
}

impl Harm {
    /// The word that alerts use for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// `findings` as an operator reads them: what a rule says of several lines of a file in the same words
/// (but for the name of a server) is said once, with the other lines behind it.
#[must_use]
pub fn lines_of(findings: &[Finding]) -> Vec<String> {
    let mut lines: Vec<(String, &Finding, Vec<u32>)> = Vec::new();
    for finding in findings {
        let key = format!("{} {}", finding.rule, without_names(&finding.message));
        let first = lines
            .iter_mut()
            .find(|(known, first, _)| *known == key && first.place.file == finding.place.file);
        match first {
            Some((_, first, more)) => {
                // Two servers of a template have one line.
                let line = finding.place.line;
                if first.place.line != line && !more.contains(&line) {
                    more.push(line);
                }
            }
            None => lines.push((key, finding, Vec::new())),
        }
    }
    let told = lines.into_iter().map(|(_, finding, more)| {
        if more.is_empty() {
            return finding.to_string();
        }
        let more: Vec<String> = more.iter().map(u32::to_string).collect();
        let lines = if more.len() == 1 { "line" } else { "lines" };
        format!("{finding} (and {lines} {})", more.join(", "))
    });
    told.collect()
}

/// A message without the names in it: quoted words of which each is one.
fn without_names(message: &str) -> String {
    let parts = message.split('\'').enumerate();
    parts
        .map(|(at, part)| match at % 2 {
            1 if !part.contains(' ') => "",
            _ => part,
        })
        .collect()
}

/// One thing that is looked for.
struct Rule {
    name: &'static str,
    severity: Harm,
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
            severity: rule.severity,
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
         bottom; what holds for several lines is said once, with the others behind it. `evenkeel lint \
         --json FILE...` prints an object a line for each: `file`, `line`, `column`, `rule`, \
         `severity`, `message`, `fix`. Exit code 0: nothing found; 1: something found; 2: the file \
         does not load. *Critical*: the control plane does not work so, or fails as a whole; \
         *warning*: an event that is to be expected turns into an outage; *info*: it costs a little \
         every day. A rule \
         about the API looks at backends whose servers or listeners have port 6443, 6444 or 8443, \
         and at those whose name speaks of an API, of Kubernetes or of masters. This page is \
         printed by `evenkeel lint` without files.\n\n\
         | rule | severity | what it costs | fix |\n|---|---|---|---|\n",
    );
    for rule in rules::RULES {
        text.push_str(&format!(
            "| `{}` | {} | {} | {} |\n",
            rule.name,
            rule.severity.name(),
            rule.why,
            rule.fix
        ));
    }
    text
}
