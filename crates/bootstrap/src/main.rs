//! The `evenkeel-bootstrap` program.

use std::process::ExitCode;

use clap::Parser;
use evenkeel_bootstrap::cli::Cli;
use evenkeel_bootstrap::commands::{self, Stop};
use evenkeel_bootstrap::console;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match commands::run(Cli::parse()).await {
        Ok(code) => code,
        Err(stop) => {
            console::tell(&stop.to_string());
            ExitCode::from(match stop {
                Stop::Mistake(_) => 2,
                Stop::Failed(_) => 1,
                Stop::Interrupted(_) => 130,
            })
        }
    }
}
