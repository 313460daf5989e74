//! From the rules of a file to the steps of a check: what has to come first, what is implied.

use super::draft::{CheckDraft, ConnectDraft, RequestDraft, Rule, RuleDraft, Rules};
use super::rule::{Mistake, base_request};
use super::{CheckKind, Expect, Matcher, services};
use crate::Place;
use crate::draft::Spanned;

/// What is wrong with the rules, and where.
pub(crate) type Wrong = (Place, String);

/// The numbered steps of a check. `place` is where the kind of check was chosen.
pub(crate) fn compose(
    draft: &CheckDraft,
    rules: &Rules,
    place: &Place,
) -> Result<Vec<(u32, Rule)>, Wrong> {
    let arguments: Vec<&str> = draft
        .arguments
        .iter()
        .map(|argument| argument.value.as_str())
        .collect();
    let at = |mistake: Mistake| {
        let argument = draft.arguments.get(mistake.word);
        let place = argument.map_or(place, |argument| &argument.place);
        (place.clone(), mistake.message)
    };
    match draft.kind {
        CheckKind::Connect => Ok(vec![implied_connect()]),
        CheckKind::TcpCheck => tcp(rules),
        CheckKind::Http => http(base_request(&arguments).map_err(at)?, rules),
        other => services::steps(other, &arguments).map_err(at),
    }
}

fn implied_connect() -> (u32, Rule) {
    let connect = ConnectDraft {
        is_default: true,
        ..ConnectDraft::default()
    };
    unnumbered(RuleDraft::Connect(connect))
}

fn unnumbered(draft: RuleDraft) -> (u32, Rule) {
    (0, Rule::implied(draft))
}

/// The rules with their numbers, each comment with the rule after it.
fn numbered(rules: &Rules) -> impl Iterator<Item = (u32, &Place, Rule)> {
    let mut comment = None;
    (1..)
        .zip(&rules.steps)
        .filter_map(move |(number, Spanned { value, place })| {
            if let RuleDraft::Comment(text) = &value.draft {
                comment = Some(text.clone());
                return None;
            }
            let rule = Rule {
                words: Vec::new(),
                draft: value.draft.clone(),
                comment: value.comment.clone().or(comment.take()),
            };
            comment = None;
            Some((number, place, rule))
        })
}

fn is_variable(draft: &RuleDraft) -> bool {
    matches!(
        draft,
        RuleDraft::SetVariable { .. } | RuleDraft::UnsetVariable(_)
    )
}

const FIRST_MUST_CONNECT: &str = "the first step must be a 'connect' as well when there is one later on; only comments and \
     variables may stand before it";

fn tcp(rules: &Rules) -> Result<Vec<(u32, Rule)>, Wrong> {
    let mut steps = Vec::with_capacity(rules.steps.len() + 1);
    let mut has_connect = false;
    let mut is_first = true;
    for (number, place, rule) in numbered(rules) {
        if matches!(rule.draft, RuleDraft::Connect(_)) {
            if !is_first && !has_connect {
                return Err((place.clone(), FIRST_MUST_CONNECT.to_owned()));
            }
            has_connect = true;
        }
        is_first &= is_variable(&rule.draft);
        steps.push((number, rule));
    }
    if !has_connect {
        steps.insert(0, implied_connect());
    }
    Ok(steps)
}

/// What came last in the rules of `http-check`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    Nothing,
    Connect,
    Send,
    Expect,
}

fn http(base: RequestDraft, rules: &Rules) -> Result<Vec<(u32, Rule)>, Wrong> {
    let mut steps: Vec<(u32, Rule)> = Vec::with_capacity(rules.steps.len() + 3);
    let mut base = Some(base);
    let mut has_connect = false;
    let mut last = Last::Nothing;
    let needs = |place: &Place, what: &str| {
        Err((
            place.clone(),
            format!("'http-check {what}' has to come before this"),
        ))
    };
    for (number, place, mut rule) in numbered(rules) {
        match (&mut rule.draft, last) {
            (RuleDraft::Connect(_), Last::Nothing | Last::Expect) => {
                if last == Last::Expect && !has_connect {
                    return Err((place.clone(), FIRST_MUST_CONNECT.to_owned()));
                }
                has_connect = true;
                last = Last::Connect;
            }
            (RuleDraft::Connect(_), Last::Send) if !has_connect => {
                return Err((place.clone(), FIRST_MUST_CONNECT.to_owned()));
            }
            (RuleDraft::Connect(_), _) => return needs(place, "expect"),
            (RuleDraft::Request(request), Last::Nothing | Last::Connect) => {
                if let Some(base) = base.take() {
                    complete(request, base);
                }
                last = Last::Send;
            }
            (RuleDraft::Request(_), _) => return needs(place, "connect"),
            (RuleDraft::Expect(_), Last::Connect) => return needs(place, "send"),
            (RuleDraft::Expect(_), _) => {
                if last == Last::Nothing {
                    steps.push(unnumbered(RuleDraft::Request(
                        base.take().unwrap_or_default(),
                    )));
                }
                last = Last::Expect;
            }
            _ => {}
        }
        steps.push((number, rule));
    }
    if matches!(last, Last::Nothing | Last::Connect) {
        steps.push(unnumbered(RuleDraft::Request(
            base.take().unwrap_or_default(),
        )));
    }
    if last != Last::Expect {
        let success = Expect::new(Matcher::Status(vec![(200, 399)]));
        steps.push(unnumbered(RuleDraft::Expect(Box::new(success))));
    }
    if !has_connect {
        steps.insert(0, implied_connect());
    }
    Ok(steps)
}

/// What `request` does not say is `option httpchk`'s.
fn complete(request: &mut RequestDraft, base: RequestDraft) {
    request.method = request.method.take().or(base.method);
    request.uri = request.uri.take().or(base.uri);
    request.version = request.version.take().or(base.version);
}
