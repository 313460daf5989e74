//! From what a reader found to acls and conditions that are final, and what is to be said of them.

use std::sync::Arc;

use super::content::Content;
use super::fetch::Fetch;
use super::parse::{self, Parsed, predefined_names};
use super::{Acl, Checkpoint, Condition, Context, Polarity, Term, Test};
use crate::draft::Spanned;
use crate::resolve::did_you_mean;
use crate::{Place, Problem};

/// One `acl` line.
#[derive(Clone, Debug)]
pub(crate) struct AclDraft {
    pub(crate) name: Spanned<String>,
    /// What stands behind the name.
    pub(crate) words: Vec<Spanned<String>>,
    /// The section it stands in: a `defaults` section's are its own.
    pub(crate) section: Place,
    /// Rules that stand before it do not see it; without order all do.
    pub(crate) has_order: bool,
}

/// What stands behind a rule: `if` or `unless` and all that follows.
#[derive(Clone, Debug)]
pub(crate) struct ConditionDraft {
    pub(crate) words: Vec<Spanned<String>>,
    /// The section it stands in.
    pub(crate) section: Place,
}

/// An acl of a section, and where its first line stands.
struct Known {
    acl: Arc<Acl>,
    section: Place,
    first: Place,
    has_order: bool,
}

/// The acls of one proxy.
#[derive(Default)]
pub(crate) struct Acls {
    known: Vec<Known>,
}

impl Acls {
    /// Reads every `acl` line of a proxy; what is wrong with one goes to `problems`.
    pub(crate) fn read(
        drafts: &[AclDraft],
        context: &Context<'_>,
        problems: &mut Vec<Problem>,
    ) -> Self {
        let mut acls = Self::default();
        for draft in drafts {
            let so_far = acls.visible(&draft.section, None);
            let context = Context {
                acls: &so_far,
                ..*context
            };
            match parse::test(&draft.words, &context) {
                Ok(parsed) => {
                    if let Some(warning) = &parsed.warning {
                        problems.push(Problem::warning(
                            warning.place.clone(),
                            warning.value.clone(),
                        ));
                    }
                    acls.add(draft, parsed);
                }
                Err(error) => {
                    let place = if error.place.line == 0 {
                        draft.name.place.clone()
                    } else {
                        error.place
                    };
                    let message = format!("acl '{}': {}", draft.name.value, error.value);
                    problems.push(Problem::error(place, message));
                    // Rules that name it have their mistake already.
                    acls.add_empty(draft);
                }
            }
        }
        acls
    }

    fn entry(&mut self, draft: &AclDraft) -> &mut Known {
        let at = self.known.iter().position(|known| {
            known.section == draft.section && known.acl.name.as_ref() == Some(&draft.name.value)
        });
        let at = at.unwrap_or_else(|| {
            self.known.push(Known {
                acl: Arc::new(Acl {
                    name: Some(draft.name.value.clone()),
                    tests: Vec::new(),
                }),
                section: draft.section.clone(),
                first: draft.name.place.clone(),
                has_order: draft.has_order,
            });
            self.known.len() - 1
        });
        &mut self.known[at]
    }

    fn add(&mut self, draft: &AclDraft, parsed: Parsed) {
        let known = self.entry(draft);
        Arc::make_mut(&mut known.acl).tests.push(parsed.test);
    }

    fn add_empty(&mut self, draft: &AclDraft) {
        self.entry(draft);
    }

    /// All of them.
    pub(crate) fn all(&self) -> Vec<Arc<Acl>> {
        self.known.iter().map(|known| known.acl.clone()).collect()
    }

    /// Those that a rule of `section` at `place` may name.
    fn visible(&self, section: &Place, place: Option<&Place>) -> Vec<Arc<Acl>> {
        let known = self.known.iter().filter(|known| {
            known.section == *section
                && place.is_none_or(|place| !known.has_order || known.first.line < place.line)
        });
        known.map(|known| known.acl.clone()).collect()
    }

    /// Makes a condition final.
    pub(crate) fn condition(
        &self,
        draft: &ConditionDraft,
        at: Checkpoint,
        context: &Context<'_>,
        problems: &mut Vec<Problem>,
    ) -> Option<Condition> {
        let (first, words) = draft.words.split_first()?;
        let polarity = match first.value.as_str() {
            "if" => Polarity::If,
            "unless" => Polarity::Unless,
            other => {
                let message = format!(
                    "unexpected word '{other}'; only 'if' or 'unless' and a condition can stand here"
                );
                problems.push(Problem::error(first.place.clone(), message));
                return None;
            }
        };
        let acls = self.visible(&draft.section, Some(&first.place));
        let context = Context {
            acls: &acls,
            ..*context
        };
        let mut reader = ConditionReader {
            acls: self,
            context,
            section: &draft.section,
            at,
            problems,
            is_sound: true,
        };
        let any = reader.read(first, words);
        reader.is_sound.then_some(Condition { polarity, any })
    }
}

struct ConditionReader<'a> {
    acls: &'a Acls,
    context: Context<'a>,
    section: &'a Place,
    at: Checkpoint,
    problems: &'a mut Vec<Problem>,
    is_sound: bool,
}

impl ConditionReader<'_> {
    fn error(&mut self, place: &Place, message: String) {
        self.is_sound = false;
        self.problems.push(Problem::error(place.clone(), message));
    }

    fn warning(&mut self, place: &Place, message: String) {
        self.problems.push(Problem::warning(place.clone(), message));
    }

    fn read(&mut self, first: &Spanned<String>, words: &[Spanned<String>]) -> Vec<Vec<Term>> {
        let mut any: Vec<Vec<Term>> = Vec::new();
        let mut group: Vec<Term> = Vec::new();
        let mut is_negated = false;
        let mut words = words.iter();
        let mut last = first;
        while let Some(word) = words.next() {
            last = word;
            if matches!(word.value.as_str(), "or" | "||") {
                if group.is_empty() || is_negated {
                    self.warning(
                        &word.place,
                        format!("there is no condition before '{}'", word.value),
                    );
                }
                is_negated = false;
                if !group.is_empty() {
                    any.push(std::mem::take(&mut group));
                }
                continue;
            }
            let name = word.value.trim_start_matches('!');
            is_negated ^= (word.value.len() - name.len()) % 2 == 1;
            let acl = match name {
                "" => continue,
                "{" => {
                    let rest = words.as_slice();
                    let end = rest.iter().position(|word| word.value == "}");
                    let inside = &rest[..end.unwrap_or(rest.len())];
                    words = rest.get(inside.len() + 1..).unwrap_or_default().iter();
                    self.anonymous(word, inside, end.is_some())
                }
                name => {
                    if name.starts_with('{') {
                        // What was meant to stand between braces is part of the same mistake.
                        let rest = words.as_slice();
                        let end = rest.iter().position(|word| word.value.ends_with('}'));
                        words = rest
                            .get(end.map_or(0, |end| end + 1)..)
                            .unwrap_or_default()
                            .iter();
                    }
                    self.named(name, word)
                }
            };
            group.extend(acl.map(|acl| Term { is_negated, acl }));
            is_negated = false;
        }
        if is_negated {
            self.warning(&last.place, "there is nothing behind '!'".to_owned());
        }
        if !group.is_empty() {
            any.push(group);
        } else if self.is_sound {
            let message = if any.is_empty() {
                format!(
                    "there is no condition behind '{}', so it never holds",
                    first.value
                )
            } else {
                format!("there is no condition behind '{}'", last.value)
            };
            self.warning(&last.place, message);
        }
        any
    }

    /// A test between braces: `inside`, which a brace ends if `is_closed`.
    fn anonymous(
        &mut self,
        open: &Spanned<String>,
        inside: &[Spanned<String>],
        is_closed: bool,
    ) -> Option<Arc<Acl>> {
        if !is_closed {
            self.error(&open.place, "missing closing '}' in condition".to_owned());
            return None;
        }
        match parse::test(inside, &self.context) {
            Ok(parsed) => {
                if let Some(warning) = &parsed.warning {
                    self.warning(&warning.place, warning.value.clone());
                }
                let place = inside.first().map_or(&open.place, |first| &first.place);
                let acl = Acl {
                    name: None,
                    tests: vec![parsed.test],
                };
                self.uses(&acl, place);
                Some(Arc::new(acl))
            }
            Err(error) => {
                let place = if error.place.line == 0 {
                    open.place.clone()
                } else {
                    error.place
                };
                self.error(&place, error.value);
                None
            }
        }
    }

    fn named(&mut self, name: &str, word: &Spanned<String>) -> Option<Arc<Acl>> {
        if let Some(acl) = self.context.acl(name) {
            self.uses(&acl, &word.place);
            return Some(acl);
        }
        let mut known: Vec<&str> = predefined_names().collect();
        known.extend(
            self.context
                .acls
                .iter()
                .filter_map(|acl| acl.name.as_deref()),
        );
        let hint = did_you_mean(name, known.into_iter());
        let is_later =
            self.acls.known.iter().any(|known| {
                known.section == *self.section && known.acl.name.as_deref() == Some(name)
            });
        let message = if is_later {
            format!("no such acl: '{name}' is declared further down; move that line up")
        } else if name.starts_with(['{', '}']) || name.ends_with('}') {
            format!(
                "no such acl: '{name}'; a brace needs a space on either side, as in {{ src 10.0.0.0/8 }}"
            )
        } else if matches!(name, "and" | "&&") {
            format!(
                "no such acl: '{name}'; conditions that stand side by side are all needed, so leave it out"
            )
        } else {
            format!("no such acl: '{name}'{hint}")
        };
        self.error(&word.place, message);
        None
    }

    /// Says what the use of `acl` at this checkpoint comes to.
    fn uses(&mut self, acl: &Acl, place: &Place) {
        for test in &acl.tests {
            if let Fetch::Acls(inner) = &test.fetch {
                for (_, acl) in inner {
                    self.uses(acl, place);
                }
            }
        }
        let (usable, others): (Vec<&Test>, Vec<&Test>) =
            acl.tests.iter().partition(|test| test.when.admits(self.at));
        let refusal = usable.into_iter().find_map(|test| self.refusal(test));
        if let Some(refusal) = refusal {
            let message = match &acl.name {
                Some(name) => format!("acl '{name}': {refusal}"),
                None => refusal,
            };
            self.error(place, message);
        }
        if let Some(other) = others.first() {
            let (fetch, at) = (other.fetch_name(), self.at.words());
            let (here, is_all) = (self.at.here(), others.len() == acl.tests.len());
            let message = match &acl.name {
                None => format!(
                    "anonymous acl will never match{here} because it uses keyword '{fetch}' which is incompatible with '{at}'"
                ),
                Some(name) if is_all => format!(
                    "acl '{name}' will never match{here} because it only involves keywords that are incompatible with '{at}'"
                ),
                Some(name) => format!(
                    "acl '{name}' involves keyword '{fetch}' which is incompatible with '{at}'"
                ),
            };
            self.warning(place, message);
        }
    }

    /// Why a test cannot be made here although HAProxy would make it.
    fn refusal(&self, test: &Test) -> Option<String> {
        let name = test.fetch_name();
        match &test.fetch {
            Fetch::Unsupported(what, reason) => {
                Some(format!("'{what}' is not supported: {reason}"))
            }
            Fetch::Http(_) if !self.at.reads_http() => Some(format!(
                "'{name}' is not supported here: it needs HTTP, which is not read in mode tcp"
            )),
            Fetch::Content(Content::WaitEnd) => None,
            Fetch::Content(_) if self.at.reads_http() => Some(format!(
                "'{name}' is not supported here: requests are read as HTTP, and their bytes are not \
                 looked into"
            )),
            Fetch::Constant(_)
            | Fetch::Absent
            | Fetch::Address(..)
            | Fetch::Port(..)
            | Fetch::IsLocal(..)
            | Fetch::CameByProxyProtocol
            | Fetch::SocketConnections
            | Fetch::SocketId
            | Fetch::SocketName
            | Fetch::Frontend(..)
            | Fetch::Backend(..)
            | Fetch::Server(..)
            | Fetch::ServerName
            | Fetch::ServerNumber
            | Fetch::ServerAddress(_)
            | Fetch::ServerPort(_)
            | Fetch::Connections
            | Fetch::IsStopping
            | Fetch::Thread
            | Fetch::Random(_)
            | Fetch::Date(..)
            | Fetch::AcceptDate(_)
            | Fetch::Uuid
            | Fetch::Acls(_)
            | Fetch::Content(_)
            | Fetch::Http(_) => None,
        }
    }
}
