//! The lines of `log-format`, once all is there that their samples may name.

use std::sync::Arc;

use super::Resolver;
use super::rules::Section;
use crate::draft::{LogLinesDraft, Maybe, Spanned};
use crate::log_format;
use crate::rules::{self, Acls, Content, Context, Fetch, FrontendId};
use crate::{Backend, BackendId, Frontend, LogLine};

impl Resolver<'_> {
    /// Reads the lines of each frontend.
    pub(super) fn log_lines(
        &mut self,
        drafts: &[LogLinesDraft],
        frontends: &mut [Frontend],
        backends: &[Backend],
        sections: &[Section],
    ) {
        for (index, draft) in drafts.iter().enumerate() {
            let id = frontends[index].id;
            // The other half of a `listen` section.
            let own = backends.iter().position(|backend| backend.id == id);
            let context = Context {
                environment: self.environment,
                frontends,
                backends,
                userlists: &[],
                proxy: &frontends[index].name,
                frontend: Some(FrontendId(index)),
                backend: own.map(BackendId),
                acls: &[],
            };
            let of_this = |section: &&Section| section.frontend == Some(FrontendId(index));
            let acls = sections.iter().find(of_this).map(|section| {
                // Their mistakes are told with the rules.
                Acls::read(&section.rules.acls, &context, &mut Vec::new()).all()
            });
            let context = Context {
                acls: acls.as_deref().unwrap_or_default(),
                ..context
            };
            let read = |name, draft| read(name, draft, &context);
            let lines = [
                read("log-format", &draft.custom),
                read("log-format-sd", &draft.structured),
            ];
            let [line, structured] = lines.map(|line| match line {
                Ok(line) => line,
                Err(problem) => {
                    self.error(&problem.place, problem.value);
                    None
                }
            });
            let log = &mut frontends[index].log;
            (log.line, log.structured) = (line, structured);
        }
    }
}

fn read(
    name: &str,
    draft: &Maybe<String>,
    context: &Context<'_>,
) -> Result<Option<Arc<LogLine>>, Spanned<String>> {
    let Some(text) = draft else {
        return Ok(None);
    };
    let sample = |sample: &str| match rules::sample(sample, context)? {
        (Fetch::Content(content), _) if content != Content::WaitEnd => Err(format!(
            "'{sample}' is not known where a line is written: the client's bytes have gone on"
        )),
        found => Ok(found),
    };
    let wrong = |message| Spanned::new(format!("'{name}': {message}"), text.place.clone());
    let line = log_format::parse(&text.value, &sample).map_err(wrong)?;
    Ok(Some(Arc::new(line)))
}
