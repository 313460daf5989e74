//! Measures evenkeel and other load balancers side by side: the same clients, servers and
//! network for each, turn by turn, so that what the machine does in between meets all alike.
//!
//! `workload` says what is measured, `contestant` who takes part, `bars` what evenkeel is to
//! reach. Knows nothing of evenkeel but its command line.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a bench is there to be read"
)]

mod bars;
mod campaign;
mod cli;
mod contestant;
mod part;
mod process;
mod record;
mod report;
mod rounds;
mod stage;
mod stats;
mod topology;
mod workload;

use std::process::ExitCode;

pub use campaign::{Length, measure};
pub use record::Series;

/// Plays the part that a bench started this process for, if it did so: any program that calls
/// [`measure`] asks this first.
pub fn play_part() -> Option<ExitCode> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    (args.first().map(String::as_str) == Some(part::WORD)).then(|| main(args))
}

/// Runs the command that `args` hold: a bench, a report, or a part that a bench started.
pub fn main(args: Vec<String>) -> ExitCode {
    let done = match args.split_first() {
        Some((word, rest)) if word == part::WORD => part::play(rest),
        _ => cli::run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("evenkeel-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
