//! Makes rules final: names linked, conditions read, what cannot be done refused.

use std::collections::HashMap;

use super::{did_you_mean, limit};
use crate::draft::Spanned;
use crate::rules::{
    Acls, BackendChoice, Checkpoint, Condition, ConditionDraft, Context, FrontendId, RuleDraft,
    RuleKind, RulesDraft, TcpRule, UseBackend, UseServer,
};
use crate::{Backend, BackendId, Environment, Frontend, Problem, UserList};

/// One section's rules, and the halves it has.
pub(super) struct Section {
    pub(super) rules: RulesDraft,
    pub(super) frontend: Option<FrontendId>,
    pub(super) backend: Option<BackendId>,
}

/// Links the rules of every section and puts them in their places.
pub(super) fn link(
    sections: Vec<Section>,
    frontends: &mut [Frontend],
    backends: &mut [Backend],
    userlists: &[UserList],
    environment: &Environment<'_>,
    problems: &mut Vec<Problem>,
) {
    let by_name: HashMap<String, BackendId> = backends
        .iter()
        .enumerate()
        .map(|(index, backend)| (backend.name.clone(), BackendId(index)))
        .collect();
    for section in sections {
        let Section {
            rules,
            frontend,
            backend,
        } = section;
        let RulesDraft {
            acls,
            rules,
            inspect_delay,
        } = rules;
        let delay = limit(inspect_delay);
        let (linked, chosen) = {
            let front = frontend.map(|id| &frontends[id.0]);
            let back = backend.map(|id| &backends[id.0]);
            let name = front
                .map(|front| front.name.as_str())
                .or(back.map(|back| back.name.as_str()));
            let context = Context {
                environment,
                frontends,
                backends,
                userlists,
                proxy: name.unwrap_or_default(),
                frontend,
                backend,
                acls: &[],
            };
            let acls = Acls::read(&acls, &context, problems);
            let mut linker = Linker {
                context,
                acls: &acls,
                by_name: &by_name,
                problems,
            };
            linker.rules(rules)
        };
        if let Some(FrontendId(index)) = frontend {
            let own = &mut frontends[index].rules;
            own.inspect_delay = delay;
            for (at, rule) in linked {
                match at {
                    Checkpoint::Connection => own.connection.push(rule),
                    Checkpoint::Session => own.session.push(rule),
                    _ => own.content.push(rule),
                }
            }
            own.backends = chosen.backends;
            own.reads_content = own.look_into_content();
            let content = own.content.clone();
            if let Some(BackendId(index)) = backend {
                let own = &mut backends[index].rules;
                own.content = content;
                own.inspect_delay = delay;
                own.servers = chosen.servers;
                own.reads_content = own.look_into_content();
            }
        } else if let Some(BackendId(index)) = backend {
            let own = &mut backends[index].rules;
            own.inspect_delay = delay;
            own.content = linked.into_iter().map(|(_, rule)| rule).collect();
            own.servers = chosen.servers;
            own.reads_content = own.look_into_content();
        }
    }
}

/// The rules that choose.
#[derive(Default)]
struct Chosen {
    backends: Vec<UseBackend>,
    servers: Vec<UseServer>,
}

struct Linker<'a> {
    context: Context<'a>,
    acls: &'a Acls,
    by_name: &'a HashMap<String, BackendId>,
    problems: &'a mut Vec<Problem>,
}

impl Linker<'_> {
    fn rules(&mut self, drafts: Vec<RuleDraft>) -> (Vec<(Checkpoint, TcpRule)>, Chosen) {
        let mut tcp = Vec::new();
        let mut chosen = Chosen::default();
        for RuleDraft {
            kind,
            section,
            condition,
        } in drafts
        {
            let condition = ConditionDraft {
                words: condition,
                section,
            };
            match kind {
                RuleKind::Tcp(at, action) => {
                    let Some(at) = self.place_of(at) else {
                        continue;
                    };
                    let Ok(condition) = self.condition(&condition, at) else {
                        continue;
                    };
                    // What a server sends is not rejected, so it is accepted.
                    if at != Checkpoint::Response {
                        tcp.push((at, TcpRule { action, condition }));
                    }
                }
                RuleKind::UseBackend(name) if self.context.frontend.is_some() => {
                    let backend = self.backend(&name);
                    let condition = self.condition(&condition, Checkpoint::UseBackend);
                    if let (Some(backend), Ok(condition)) = (backend, condition) {
                        chosen.backends.push(UseBackend { backend, condition });
                    }
                }
                RuleKind::UseServer(name) => {
                    let server = self.server(&name);
                    let condition = self.condition(&condition, Checkpoint::UseServer);
                    if let (Some(server), Ok(Some(condition))) = (server, condition) {
                        chosen.servers.push(UseServer { server, condition });
                    }
                }
                RuleKind::UseBackend(_) => {}
            }
        }
        (tcp, chosen)
    }

    /// Where a rule is asked in this section; `None`: nowhere, having come from a `defaults`
    /// section.
    fn place_of(&self, at: Checkpoint) -> Option<Checkpoint> {
        let (accepts, connects) = (
            self.context.frontend.is_some(),
            self.context.backend.is_some(),
        );
        match at {
            Checkpoint::Connection | Checkpoint::Session => accepts.then_some(at),
            Checkpoint::Content if !accepts => Some(Checkpoint::BackendContent),
            Checkpoint::Response => connects.then_some(at),
            _ => Some(at),
        }
    }

    /// `Ok(None)`: there is none, so the rule always applies.
    fn condition(
        &mut self,
        draft: &ConditionDraft,
        at: Checkpoint,
    ) -> Result<Option<Condition>, ()> {
        if draft.words.is_empty() {
            return Ok(None);
        }
        let condition = self.acls.condition(draft, at, &self.context, self.problems);
        condition.map(Some).ok_or(())
    }

    fn backend(&mut self, name: &Spanned<String>) -> Option<BackendChoice> {
        if name.value.contains('%') {
            let pattern = crate::rules::name_pattern(&name.value, &self.context);
            return match pattern {
                Ok(pattern) => Some(BackendChoice::Named(pattern)),
                Err(message) => self.error(name, format!("'use_backend': {message}")),
            };
        }
        let found = self.by_name.get(&name.value);
        if let Some(id) = found {
            return Some(BackendChoice::Fixed(*id));
        }
        let hint = did_you_mean(&name.value, self.by_name.keys().map(String::as_str));
        let message = format!(
            "frontend '{}': there is no backend '{}' for use_backend{hint}",
            self.context.proxy, name.value
        );
        self.error(name, message)
    }

    fn server(&mut self, name: &Spanned<String>) -> Option<usize> {
        let id = self.context.backend?;
        if name.value.contains('%') {
            let message = "'use-server' takes the name of a server here: names made of samples are not supported";
            return self.error(name, message.to_owned());
        }
        let found = self.context.server_named(id, &name.value);
        if found.is_none() {
            let servers = &self.context.backends[id.0].servers;
            let hint = did_you_mean(
                &name.value,
                servers.iter().map(|server| server.name.as_str()),
            );
            let message = format!(
                "backend '{}': there is no server '{}' for use-server{hint}",
                self.context.proxy, name.value
            );
            return self.error(name, message);
        }
        found
    }

    fn error<T>(&mut self, at: &Spanned<String>, message: String) -> Option<T> {
        self.problems
            .push(Problem::error(at.place.clone(), message));
        None
    }
}
