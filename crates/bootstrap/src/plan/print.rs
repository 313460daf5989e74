//! A plan for eyes: each step with its host, its files as differences to what is there, and its commands.

use std::fmt::{self, Write};

use similar::TextDiff;

use super::{Action, Plan, Step};

impl fmt::Display for Plan {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            writeln!(
                out,
                "Nothing is to be done: everything is as the inventory wants it."
            )?;
        }
        for stage in &self.stages {
            writeln!(out, "== {}", stage.title)?;
            for step in &stage.steps {
                write!(out, "{step}")?;
            }
            writeln!(out)?;
        }
        for note in &self.notes {
            writeln!(out, "note: {note}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Step {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "{}: {}", self.host, self.title)?;
        self.actions
            .iter()
            .try_for_each(|action| write!(out, "{}", indented(&action.to_string())))
    }
}

impl fmt::Display for Action {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Write {
                path,
                content,
                mode,
                before,
                temporary,
            } => {
                let kept = if *temporary {
                    ", removed afterwards"
                } else {
                    ""
                };
                writeln!(out, "file {path} (mode {mode:04o}{kept})")?;
                let after = content.to_string();
                let difference =
                    TextDiff::from_lines(before.as_deref().unwrap_or_default(), &after);
                let mut text = String::new();
                for hunk in difference.unified_diff().context_radius(1).iter_hunks() {
                    for change in hunk.iter_changes() {
                        let line = change.value().trim_end_matches('\n');
                        writeln!(text, "{}{line}", change.tag())?;
                    }
                }
                out.write_str(&indented(&text))
            }
            Self::Upload {
                from,
                to,
                mode,
                temporary,
            } => {
                let kept = if *temporary {
                    ", removed afterwards"
                } else {
                    ""
                };
                writeln!(
                    out,
                    "copy {} to {to} (mode {mode:04o}{kept})",
                    from.display()
                )
            }
            Self::Run { script, limit } => {
                writeln!(out, "run, for at most {} s:", limit.as_secs())?;
                out.write_str(&indented(&script.to_string()))
            }
            Self::Await {
                what,
                script,
                times,
                every,
                limit,
            } => {
                let often = if *times > 1 {
                    format!(" {times} times in a row")
                } else {
                    String::new()
                };
                writeln!(
                    out,
                    "wait for {what}: every {} s until it succeeds{often}, for at most {} s:",
                    every.as_secs_f64(),
                    limit.as_secs()
                )?;
                out.write_str(&indented(&script.to_string()))
            }
            Self::Linger {
                what,
                script,
                every,
                limit,
            } => {
                writeln!(
                    out,
                    "wait for {what}: every {} s until it succeeds, and go on after {} s in any case:",
                    every.as_secs_f64(),
                    limit.as_secs()
                )?;
                out.write_str(&indented(&script.to_string()))
            }
            Self::Credentials { actions } => {
                writeln!(
                    out,
                    "make a token and a certificate key, and have them known, unless this run has young ones:"
                )?;
                let shown = actions.iter();
                shown
                    .map(ToString::to_string)
                    .try_for_each(|action| out.write_str(&indented(&action)))
            }
        }
    }
}

fn indented(text: &str) -> String {
    text.lines().fold(String::new(), |mut all, line| {
        let _ = writeln!(all, "    {line}");
        all
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Order, Stage};

    #[test]
    fn a_file_is_shown_as_its_difference_and_a_secret_as_its_name() {
        let step = Step {
            id: "master2/join".to_owned(),
            host: "master2".to_owned(),
            title: "join".to_owned(),
            brings: Vec::new(),
            actions: vec![Action::Write {
                path: "/f".to_owned(),
                content: crate::plan::Text::with_gaps("a\nb2\ntoken: <token>\n"),
                mode: 0o600,
                before: Some("a\nb\n".to_owned()),
                temporary: true,
            }],
            advice: String::new(),
        };
        let stage = Stage {
            title: "joins".to_owned(),
            order: Order::InTurn,
            steps: vec![step],
        };
        let plan = Plan {
            stages: vec![stage],
            notes: vec!["two voters".to_owned()],
        };
        assert_eq!(
            plan.to_string(),
            "== joins\nmaster2: join\n    file /f (mode 0600, removed afterwards)\n         a\n        -b\n        +b2\n        +token: <token>\n\nnote: two voters\n"
        );
    }
}
