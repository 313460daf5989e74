//! Reads the conditions of what a frontend answers by itself.

use crate::draft::{LocalHttpDraft, Slot};
use crate::rules::{Acls, Checkpoint, Context, FrontendId};
use crate::{Backend, BackendId, Environment, Frontend, LocalHttp, Problem, UserList};

/// A frontend that answers, and the other half of its section.
pub(super) struct Answering {
    pub(super) frontend: FrontendId,
    pub(super) backend: Option<BackendId>,
    pub(super) draft: LocalHttpDraft,
}

/// Gives each frontend what it answers.
pub(super) fn link(
    answering: Vec<Answering>,
    frontends: &mut [Frontend],
    backends: &[Backend],
    userlists: &[UserList],
    environment: &Environment<'_>,
    problems: &mut Vec<Problem>,
) {
    for Answering {
        frontend,
        backend,
        draft,
    } in answering
    {
        let context = Context {
            environment,
            frontends,
            backends,
            userlists,
            proxy: &frontends[frontend.0].name,
            frontend: Some(frontend),
            backend,
            acls: &[],
        };
        let http = linked(draft, &context, problems);
        frontends[frontend.0].http = Some(Box::new(http));
    }
}

/// `draft` with its conditions in their places.
fn linked(draft: LocalHttpDraft, context: &Context<'_>, problems: &mut Vec<Problem>) -> LocalHttp {
    let LocalHttpDraft {
        mut http,
        acls,
        conditions,
    } = draft;
    http.backends = context
        .backends
        .iter()
        .map(|backend| backend.name.clone())
        .collect();
    // What is wrong with one was said where the rules of its section were read.
    let acls = Acls::read(&acls, context, &mut Vec::new());
    for (slot, draft) in conditions {
        let condition = acls.condition(&draft, Checkpoint::HttpRequest, true, context, problems);
        let Some(condition) = condition else {
            continue;
        };
        match slot {
            Slot::Monitor => {
                if let Some(monitor) = &mut http.monitor {
                    monitor.fail.push(condition);
                }
            }
            Slot::Rule(stage, rule) => http.stages[stage].rules[rule].condition = Some(condition),
            Slot::StatsRule(stage, rule) => {
                if let Some(page) = &mut http.stages[stage].stats {
                    page.rules[rule].condition = Some(condition);
                }
            }
            Slot::Admin(stage) => {
                if let Some(page) = &mut http.stages[stage].stats {
                    page.admin.push(condition);
                }
            }
        }
    }
    http
}
