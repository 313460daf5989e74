//! The evenkeel binary: from the command line to a served configuration, one value after the
//! other. Whatever can fail fails before the process goes to the background.

mod admin;
mod background;
mod bind_report;
mod cli;
mod columns;
mod compatibility;
mod demo;
mod desk;
mod diagnostics;
mod exposition;
mod fd_store;
mod files;
mod foreign;
mod handover;
mod health;
mod http;
mod inherit;
mod keepalived;
mod keeper;
mod limits;
mod lookups;
mod manual;
mod master;
mod metrics_doc;
mod notify;
mod order;
mod packets;
mod places;
mod port_owner;
mod port_unit;
mod prepare;
mod question;
mod recorder;
mod rights;
mod runtime;
mod serve;
mod service;
mod signals;
mod stat;
mod version;
mod vitals;

use std::path::PathBuf;
use std::process::ExitCode;

use evenkeel_config::{Finding, Loaded};

use crate::background::Parent;
use crate::cli::{Options, Output, Request, Verbosity};
use crate::diagnostics::{print, say};
use crate::handover::Heir;
use crate::prepare::Prepared;

/// How the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// With this status.
    Code(u8),
    /// Because of this signal.
    Signal(i32),
}

fn main() -> ExitCode {
    handover::remember();
    let exit = match cli::parse(std::env::args_os().skip(1)) {
        Ok(Request::Load(options)) => run(options),
        Ok(Request::Condition(condition)) => evaluate(&condition),
        Ok(Request::Version(detail)) => show(version::text(detail)),
        Ok(Request::Help) => show(version::banner() + &cli::help()),
        Ok(Request::HelpOf(command)) => show(cli::help_of(command)),
        Ok(Request::Demo) => demo::run(),
        Ok(Request::Health(question)) => health::run(&question),
        Ok(Request::Keepalived(wanted)) => keepalived::run(&wanted),
        Ok(Request::Convert(files)) => convert(&files),
        Ok(Request::Lint(files, output)) => lint(&files, output),
        Ok(Request::Compatibility(survey)) => compatibility::run(&survey),
        Ok(Request::Keywords) => show(evenkeel_config::keywords_markdown()),
        Ok(Request::Metrics) => show(metrics_doc::markdown()),
        Ok(Request::Order(order)) => order::give(&order),
        Ok(Request::Man(page)) => show(manual::print(page)),
        Ok(Request::Completions(shell)) => show(manual::completions::print(shell)),
        Err(mistake) => misused(&mistake),
    };
    diagnostics::finish();
    match exit {
        Exit::Code(code) => ExitCode::from(code),
        Exit::Signal(signal) => die_of(signal),
    }
}

/// Loads, then checks or serves.
fn run(options: Options) -> Exit {
    diagnostics::start(options.verbosity, options.log_format);
    let mut heir = Heir::receive();
    let prepared = prepare::load(&options).and_then(|loaded| match options.check {
        true => Ok(Err(approve(&options, &loaded))),
        false => prepare::open(options, loaded, heir.as_mut()).map(Ok),
    });
    match prepared {
        Ok(Ok(prepared)) => start(prepared, heir),
        Ok(Err(approved)) => approved,
        Err(problems) => {
            prepare::report(&problems);
            if let Some(heir) = heir {
                let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
                heir.failed(&problems.join("\n"));
            }
            Exit::Code(1)
        }
    }
}

/// `-c`: good news are told with `-V` alone, and a file that nothing could listen for is told apart
/// by exit code 2, as HAProxy 3.0 does.
fn approve(options: &Options, loaded: &Loaded) -> Exit {
    if !has_listener(loaded) {
        say(
            "the configuration has no error but would not start: there is no listener, add a 'bind' line",
        );
        return Exit::Code(2);
    }
    if options.verbosity == Verbosity::Verbose {
        print("Configuration file is valid\n");
    }
    Exit::Code(0)
}

/// Whether HAProxy would listen anywhere: what has no effect here counts too.
fn has_listener(loaded: &Loaded) -> bool {
    let listens = |line: &str| line.starts_with("bind");
    let config = &loaded.config;
    config.global.admin.is_some()
        || !config.global.runtime.sockets.is_empty()
        || config
            .frontends
            .iter()
            .any(|frontend| !frontend.binds.is_empty())
        || loaded
            .without_effect
            .iter()
            .any(|(_, line)| listens(line.trim_start()))
}

/// Goes to the background if asked to, then serves on this thread.
fn start(prepared: Prepared, mut heir: Option<Heir>) -> Exit {
    let as_master = prepared.options.master;
    let mut parent = None;
    // Whoever follows another process is where that one was.
    if heir.is_none() && goes_to_background(&prepared.options, &prepared.loaded) {
        match background::detach() {
            Ok(waiting) => parent = Some(waiting),
            Err(error) => {
                say(format!("cannot go to the background: {error}"));
                return Exit::Code(1);
            }
        }
    }
    match run_to_end(prepared, &mut parent, &mut heir) {
        Ok(exit) => seen_from_outside(exit, as_master),
        Err(message) => {
            if let Some(heir) = heir {
                heir.failed(&message);
            }
            match parent {
                Some(parent) => parent.failed(&message),
                None => say(message),
            }
            Exit::Code(1)
        }
    }
}

fn run_to_end(
    mut prepared: Prepared,
    parent: &mut Option<Parent>,
    heir: &mut Option<Heir>,
) -> Result<Exit, String> {
    let mut kept = None;
    if prepared.rights.lose_something() {
        let started = keeper::start(&mut prepared, parent, heir);
        match started.map_err(|error| format!("cannot start the keeper: {error}"))? {
            Ok(keeper) => kept = Some(keeper),
            // In the keeper itself, once it has nobody to keep for.
            Err(code) => return Ok(Exit::Code(code)),
        }
    }
    // Not later: a thread that was started before would keep its rights.
    prepared
        .rights
        .take()
        .map_err(|problem| problem.to_string())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start: {error}"))?;
    let served = runtime.block_on(serve::serve(prepared, kept, parent, heir));
    // A name look-up of a reload that is still under way must not hold up the end.
    runtime.shutdown_background();
    served
}

/// `daemon` or `-D`, unless somebody watches this very process.
fn goes_to_background(options: &Options, loaded: &Loaded) -> bool {
    let is_watched = options.master || options.foreground || notify::is_asked();
    (options.daemon || loaded.config.global.daemon) && !is_watched
}

/// HAProxy's master outlives the signal and exits with a status; a plain process dies of it.
fn seen_from_outside(exit: Exit, as_master: bool) -> Exit {
    match exit {
        Exit::Signal(signal) if as_master && signal == signal_hook::consts::SIGTERM => {
            Exit::Code(0)
        }
        Exit::Signal(signal) if as_master => Exit::Code(128 + u8::try_from(signal).unwrap_or(0)),
        exit => exit,
    }
}

/// Ends as if the signal had not been caught, so that whoever waits sees what happened.
fn die_of(signal: i32) -> ExitCode {
    match signal_hook::low_level::emulate_default_handler(signal) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// `-cc`: 0 true, 1 false, 2 not understood.
fn evaluate(condition: &str) -> Exit {
    match files::with_environment(&Options::default(), |environment| {
        evenkeel_config::evaluate_condition(condition, environment)
    }) {
        Ok(true) => Exit::Code(0),
        Ok(false) => Exit::Code(1),
        Err(message) => {
            say(format!("cannot evaluate '{condition}': {message}"));
            Exit::Code(2)
        }
    }
}

/// `convert`: TOML on the standard output, problems on the standard error.
fn convert(files: &[PathBuf]) -> Exit {
    match files::convert(files) {
        Ok(toml) => show(toml),
        Err(problems) => {
            prepare::report(&problems);
            Exit::Code(1)
        }
    }
}

/// `lint`: findings on the standard output, what keeps the files from loading on the standard error.
fn lint(files: &[PathBuf], output: Output) -> Exit {
    if files.is_empty() {
        return show(evenkeel_config::lint_markdown());
    }
    match files::lint(files) {
        Ok(findings) => {
            let lines = match output {
                Output::Json => findings.iter().map(finding_json).collect(),
                Output::Text | Output::Markdown => evenkeel_config::lines_of(&findings),
            };
            print(
                lines
                    .iter()
                    .map(|line| format!("{line}\n"))
                    .collect::<String>(),
            );
            Exit::Code(u8::from(!findings.is_empty()))
        }
        Err(problems) => {
            prepare::report(&problems);
            Exit::Code(2)
        }
    }
}

fn finding_json(finding: &Finding) -> String {
    serde_json::json!({
        "file": *finding.place.file,
        "line": finding.place.line,
        "column": finding.place.column,
        "rule": finding.rule,
        "severity": finding.severity.name(),
        "message": finding.message,
        "fix": finding.fix,
    })
    .to_string()
}

fn show(text: String) -> Exit {
    print(text);
    Exit::Code(0)
}

/// Nothing to do, or not understood: HAProxy's status for both is 1.
fn misused(mistake: &str) -> Exit {
    if mistake.is_empty() {
        say(version::banner() + &cli::help());
    } else {
        say(format!("evenkeel: {mistake}\nTry 'evenkeel -h'."));
    }
    Exit::Code(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_master_exits_where_a_plain_process_dies() {
        for (exit, as_master, seen) in [
            (Exit::Signal(15), false, Exit::Signal(15)),
            (Exit::Signal(2), false, Exit::Signal(2)),
            (Exit::Signal(15), true, Exit::Code(0)),
            (Exit::Signal(2), true, Exit::Code(130)),
            (Exit::Code(0), true, Exit::Code(0)),
        ] {
            assert_eq!(seen_from_outside(exit, as_master), seen);
        }
    }
}
