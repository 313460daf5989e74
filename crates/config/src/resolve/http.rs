//! Reads the conditions of what a frontend answers by itself.

use crate::draft::{LocalHttpDraft, Slot};
use crate::rules::{AclDraft, Acls, Checkpoint, Context, FrontendId};
use crate::{Backend, BackendId, Environment, Frontend, HttpStage, LocalHttp, Problem, UserList};

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

/// `draft` with its conditions in their places, each read against what its section knows.
fn linked(draft: LocalHttpDraft, context: &Context<'_>, problems: &mut Vec<Problem>) -> LocalHttp {
    let LocalHttpDraft {
        mut http,
        acls,
        conditions,
    } = draft;
    let stages: Vec<Stage<'_>> = (http.stages.iter().enumerate())
        .map(|(at, stage)| Stage::new(at, stage, &acls, context))
        .collect();
    for (slot, draft) in conditions {
        let stage = match slot {
            Slot::Monitor => 0,
            Slot::Rule(stage, _) | Slot::StatsRule(stage, _) | Slot::Admin(stage) => stage,
        };
        let Some(Stage { context, acls, at }) = stages.get(stage) else {
            continue;
        };
        let condition = acls.condition(&draft, *at, context, problems);
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

/// What the rules of a stage are read against.
struct Stage<'a> {
    context: Context<'a>,
    acls: Acls,
    at: Checkpoint,
}

impl<'a> Stage<'a> {
    /// The stage at place `at`: the first is the frontend's own section, others are backends.
    fn new(at: usize, stage: &HttpStage, acls: &[AclDraft], own: &Context<'a>) -> Self {
        let backend = stage.is_backend.then(|| own.backend_named(&stage.name));
        let context = Context {
            proxy: match (at, backend.flatten()) {
                (1.., Some(BackendId(index))) => &own.backends[index].name,
                _ => own.proxy,
            },
            frontend: own.frontend.filter(|_| at == 0),
            backend: backend.flatten(),
            ..*own
        };
        Self {
            // What is wrong with one was said where the rules of its section were read.
            acls: Acls::read(acls, &context, &mut Vec::new()),
            context,
            at: match (at, stage.is_backend) {
                (0, false) => Checkpoint::HttpRequest,
                (0, true) => Checkpoint::ListenHttpRequest,
                _ => Checkpoint::BackendHttpRequest,
            },
        }
    }
}
