//! The options of the commands that take files.

use std::path::PathBuf;

use super::choice::Choice;
use super::{Output, Survey};

/// What `lint` is asked for.
#[derive(Default)]
pub(super) struct Lint {
    pub(super) output: Output,
    pub(super) files: Vec<PathBuf>,
}

/// Every option of `lint`.
pub(super) const LINT: &[Choice<Lint>] = &[Choice {
    name: "--json",
    argument: "",
    help: "for programs: an object a line",
    take: |lint, _| {
        lint.output = Output::Json;
        Ok(())
    },
}];

/// Every option of `compatibility`.
pub(super) const SURVEY: &[Choice<Survey>] = &[
    Choice {
        name: "--json",
        argument: "",
        help: "for programs: an object a line",
        take: |survey, _| {
            survey.output = Output::Json;
            Ok(())
        },
    },
    Choice {
        name: "--markdown",
        argument: "",
        help: "a table, as in docs/compatibility.md",
        take: |survey, _| {
            survey.output = Output::Markdown;
            Ok(())
        },
    },
    Choice {
        name: "--haproxy",
        argument: "PROGRAM",
        help: "a HAProxy, such as /usr/sbin/haproxy, whose verdict on each file is compared",
        take: |survey, program| {
            survey.haproxy = Some(program.into());
            Ok(())
        },
    },
];

/// `convert` has none.
pub(super) const CONVERT: &[Choice<Vec<PathBuf>>] = &[];
