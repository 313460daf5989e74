//! `evenkeel compatibility`: which of an operator's files load, each for itself, and whether a HAProxy
//! says the same. Serves nothing.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use evenkeel_config::{Problem, Severity};

use crate::Exit;
use crate::cli::{Output, Survey};
use crate::diagnostics::print;
use crate::{files, prepare};

/// What became of a file.
struct Verdict {
    file: PathBuf,
    warnings: usize,
    /// In the order of the file.
    errors: Vec<Problem>,
    /// Whether HAProxy accepts it, where one was asked.
    haproxy: Option<bool>,
}

impl Verdict {
    fn loads(&self) -> bool {
        self.errors.is_empty()
    }

    fn word(&self) -> &'static str {
        match (self.loads(), self.warnings) {
            (true, 0) => "loads",
            (true, _) => "loads with warnings",
            (false, _) => "refused",
        }
    }

    /// The first reason why it does not load.
    fn reason(&self) -> Option<&Problem> {
        self.errors.first()
    }

    fn agrees(&self) -> bool {
        self.haproxy.is_none_or(|accepts| accepts == self.loads())
    }
}

/// Prints the verdict on every file: 0 when all load, 1 when one does not, 2 when none was found or one
/// could not be read.
pub(crate) fn run(survey: &Survey) -> Exit {
    let names = match all_files(&survey.files) {
        Ok(names) => names,
        Err(problems) => {
            prepare::report(&problems);
            return Exit::Code(2);
        }
    };
    let verdicts = match judge_all(&names, survey.haproxy.as_deref()) {
        Ok(verdicts) => verdicts,
        Err(problems) => {
            prepare::report(&problems);
            return Exit::Code(2);
        }
    };
    print(match survey.output {
        Output::Text => text(&verdicts),
        Output::Json => json(&verdicts),
        Output::Markdown => markdown(&verdicts),
    });
    Exit::Code(u8::from(!verdicts.iter().all(Verdict::loads)))
}

/// Every file of the names: a directory stands for its *.cfg and *.toml files and those of its
/// directories.
fn all_files(names: &[PathBuf]) -> Result<Vec<PathBuf>, Vec<Problem>> {
    let mut found = Vec::new();
    for name in names {
        if name.is_dir() {
            let before = found.len();
            walk(name, &mut found)
                .map_err(|error| vec![files::unreadable("directory", name, &error)])?;
            if found.len() == before {
                let error = std::io::Error::other("it holds no *.cfg or *.toml file");
                return Err(vec![files::unreadable("directory", name, &error)]);
            }
        } else {
            found.push(name.clone());
        }
    }
    Ok(found)
}

fn walk(directory: &Path, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    let entries = std::fs::read_dir(directory)?.collect::<Result<Vec<_>, _>>()?;
    let mut entries: Vec<_> = entries.iter().collect();
    entries.sort_by_key(|entry| entry.file_name());
    for entry in entries {
        let (path, kind) = (entry.path(), entry.file_type()?);
        // Links are files, never directories: there is no way to walk in circles.
        if kind.is_dir() {
            walk(&path, found)?;
        } else if path.is_file()
            && path
                .extension()
                .is_some_and(|extension| extension == "cfg" || extension == "toml")
        {
            found.push(path);
        }
    }
    Ok(())
}

/// Files that are looked at together: they mostly wait for names that nobody knows.
const AT_ONCE: usize = 32;

/// The verdict on every file, in their order; the problems of the first that cannot be read.
fn judge_all(names: &[PathBuf], haproxy: Option<&Path>) -> Result<Vec<Verdict>, Vec<Problem>> {
    let mut verdicts = Vec::new();
    for some in names.chunks(AT_ONCE) {
        let judged: Vec<_> = std::thread::scope(|scope| {
            let started: Vec<_> = some
                .iter()
                .map(|name| scope.spawn(move || judge(name, haproxy)))
                .collect();
            started.into_iter().map(|thread| thread.join()).collect()
        });
        for verdict in judged {
            verdicts.push(verdict.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
        }
    }
    Ok(verdicts)
}

fn judge(file: &Path, haproxy: Option<&Path>) -> Result<Verdict, Vec<Problem>> {
    let sources = files::read(std::slice::from_ref(&file.to_path_buf()))?;
    let problems = match files::load_anywhere(&sources) {
        Ok(loaded) => loaded.warnings,
        Err(problems) => problems,
    };
    let (errors, warnings): (Vec<Problem>, Vec<Problem>) = problems
        .into_iter()
        .partition(|problem| problem.severity == Severity::Error);
    let haproxy = match haproxy {
        Some(program) => Some(
            accepts(program, file)
                .map_err(|error| vec![files::unreadable("program", program, &error)])?,
        ),
        None => None,
    };
    Ok(Verdict {
        file: file.to_path_buf(),
        warnings: warnings.len(),
        errors,
        haproxy,
    })
}

/// Whether HAProxy accepts a file in which names need not resolve; exit code 2 is that of a file that is
/// right and listens nowhere.
fn accepts(haproxy: &Path, file: &Path) -> std::io::Result<bool> {
    let status = Command::new(haproxy)
        .args(["-c", "-q", "-dr", "-f"])
        .arg(file)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()?;
    Ok(matches!(status.code(), Some(0 | 2)))
}

/// How many files there are of each kind, from the first counted thing on.
struct Counts {
    files: usize,
    clean: usize,
    warned: usize,
    refused: usize,
    /// Where HAProxy was asked: how many it accepts, and how many verdicts are the same.
    haproxy: Option<(usize, usize)>,
}

impl Counts {
    fn of(verdicts: &[Verdict]) -> Self {
        let count = |chosen: &dyn Fn(&Verdict) -> bool| {
            verdicts.iter().filter(|verdict| chosen(verdict)).count()
        };
        let asked = verdicts.iter().any(|verdict| verdict.haproxy.is_some());
        Self {
            files: verdicts.len(),
            clean: count(&|verdict| verdict.loads() && verdict.warnings == 0),
            warned: count(&|verdict| verdict.loads() && verdict.warnings > 0),
            refused: count(&|verdict| !verdict.loads()),
            haproxy: asked.then(|| {
                (
                    count(&|verdict| verdict.haproxy == Some(true)),
                    count(&Verdict::agrees),
                )
            }),
        }
    }
}

fn text(verdicts: &[Verdict]) -> String {
    let mut text = String::new();
    for verdict in verdicts {
        let _ = write!(text, "{}: {}", verdict.file.display(), verdict.word());
        match verdict.reason() {
            Some(problem) => {
                let place = &problem.place;
                let _ = write!(
                    text,
                    ": {}:{}: {}",
                    place.line, place.column, problem.message
                );
                if verdict.errors.len() > 1 {
                    let _ = write!(text, " (and {} more)", verdict.errors.len() - 1);
                }
            }
            None if verdict.warnings > 0 => {
                let _ = write!(text, " ({})", verdict.warnings);
            }
            None => {}
        }
        if !verdict.agrees() {
            text.push_str(match verdict.haproxy {
                Some(true) => "; HAProxy accepts it",
                _ => "; HAProxy refuses it",
            });
        }
        text.push('\n');
    }
    let counts = Counts::of(verdicts);
    let _ = write!(
        text,
        "{} files: {} load, {} load with warnings, {} are refused",
        counts.files, counts.clean, counts.warned, counts.refused
    );
    if let Some((accepted, same)) = counts.haproxy {
        let _ = write!(
            text,
            "; HAProxy accepts {accepted}, the same verdict on {same}"
        );
    }
    text.push('\n');
    text
}

/// An object a line for each file, and one for all of them.
fn json(verdicts: &[Verdict]) -> String {
    let mut text = String::new();
    for verdict in verdicts {
        let reason = verdict.reason().map(|problem| {
            serde_json::json!({
                "line": problem.place.line,
                "column": problem.place.column,
                "message": problem.message,
            })
        });
        let object = serde_json::json!({
            "file": verdict.file.display().to_string(),
            "loads": verdict.loads(),
            "warnings": verdict.warnings,
            "errors": verdict.errors.len(),
            "reason": reason,
            "haproxy_accepts": verdict.haproxy,
        });
        let _ = writeln!(text, "{object}");
    }
    let counts = Counts::of(verdicts);
    let total = serde_json::json!({
        "files": counts.files,
        "load": counts.clean,
        "load_with_warnings": counts.warned,
        "refused": counts.refused,
        "haproxy_accepts": counts.haproxy.map(|(accepted, _)| accepted),
        "same_verdict": counts.haproxy.map(|(_, same)| same),
    });
    let _ = writeln!(text, "{total}");
    text
}

/// docs/compatibility.md: no path, since files of the field are known by their names alone.
fn markdown(verdicts: &[Verdict]) -> String {
    let counts = Counts::of(verdicts);
    let mut text = String::from(
        "# Files of the field\n\n\
         Configurations that people published, each loaded for itself, names of hosts not looked up. \
         Printed by `evenkeel compatibility --markdown --haproxy PROGRAM DIR`; without `--markdown` it \
         says the same of your own files, with the reason for each that is refused.\n\n\
         | files | load | with warnings | refused |",
    );
    let (titles, marks, numbers) = match counts.haproxy {
        Some((accepted, same)) => (
            " HAProxy accepts | same verdict |",
            "--:|--:|",
            format!(" {accepted} | {same} |"),
        ),
        None => ("", "", String::new()),
    };
    let _ = writeln!(
        text,
        "{titles}\n|--:|--:|--:|--:|{marks}\n| {} | {} | {} | {} |{numbers}",
        counts.files, counts.clean, counts.warned, counts.refused
    );
    let differ: Vec<&Verdict> = verdicts
        .iter()
        .filter(|verdict| !verdict.agrees())
        .collect();
    if !differ.is_empty() {
        text.push_str("\nWhere the verdicts differ:\n\n");
    }
    for verdict in differ {
        let name = verdict.file.file_name().unwrap_or_default();
        let reason = verdict.reason().map_or_else(
            || "HAProxy refuses it".to_owned(),
            |problem| format!("line {}: {}", problem.place.line, problem.message),
        );
        let _ = writeln!(text, "- {}: {reason}", name.display());
    }
    text
}
