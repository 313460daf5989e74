//! The lines of `log-format`, once all is there that their samples may name.

use std::sync::Arc;

use super::Resolver;
use crate::draft::{LogLinesDraft, Maybe, Spanned};
use crate::log_format;
use crate::rules::{self, Context, FrontendId};
use crate::{Backend, Frontend, LogLine};

impl Resolver<'_> {
    /// Reads the lines of each frontend.
    pub(super) fn log_lines(
        &mut self,
        drafts: &[LogLinesDraft],
        frontends: &mut [Frontend],
        backends: &[Backend],
    ) {
        for (index, draft) in drafts.iter().enumerate() {
            let context = Context {
                environment: self.environment,
                frontends,
                backends,
                userlists: &[],
                proxy: &frontends[index].name,
                frontend: Some(FrontendId(index)),
                backend: frontends[index].default_backend,
                acls: &[],
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
    let sample = |sample: &str| rules::sample(sample, context);
    let wrong = |message| Spanned::new(format!("'{name}': {message}"), text.place.clone());
    let line = log_format::parse(&text.value, &sample).map_err(wrong)?;
    Ok(Some(Arc::new(line)))
}
