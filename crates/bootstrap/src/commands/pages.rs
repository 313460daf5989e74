//! The man page and completions, from the command line's own table.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::CommandFactory;

use super::Stop;
use crate::cli::Cli;

/// evenkeel-bootstrap(8): the program, then each of its commands.
pub(super) fn man() -> Result<ExitCode, Stop> {
    let mut page = Vec::new();
    let mut render = || -> io::Result<()> {
        let command = Cli::command();
        let main = clap_mangen::Man::new(command.clone())
            .section("8")
            .source("evenkeel");
        main.render_title(&mut page)?;
        main.render_name_section(&mut page)?;
        main.render_synopsis_section(&mut page)?;
        main.render_description_section(&mut page)?;
        main.render_options_section(&mut page)?;
        writeln!(page, ".SH COMMANDS")?;
        for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
            writeln!(page, ".SS {}", sub.get_name())?;
            let man = clap_mangen::Man::new(sub.clone());
            let mut part = Vec::new();
            man.render_description_section(&mut part)?;
            man.render_options_section(&mut part)?;
            let text = String::from_utf8_lossy(&part);
            // Sections of a command are paragraphs of its part.
            for line in text.lines().filter(|line| !line.starts_with(".SH")) {
                writeln!(page, "{line}")?;
            }
        }
        main.render_extra_section(&mut page)?;
        writeln!(
            page,
            ".SH SEE ALSO\n\\fBevenkeel\\fR(8), \\fBevenkeel.toml\\fR(5), \\fBssh\\fR(1), \\fBssh_config\\fR(5)"
        )
    };
    render().map_err(|cause| Stop::Failed(format!("cannot make the page: {cause}")))?;
    print(&page)
}

pub(super) fn completions(shell: clap_complete::Shell) -> Result<ExitCode, Stop> {
    let mut script = Vec::new();
    clap_complete::generate(
        shell,
        &mut Cli::command(),
        "evenkeel-bootstrap",
        &mut script,
    );
    print(&script)
}

fn print(bytes: &[u8]) -> Result<ExitCode, Stop> {
    match io::stdout().write_all(bytes) {
        // Whoever reads no further has what they wanted.
        Err(cause) if cause.kind() != io::ErrorKind::BrokenPipe => {
            Err(Stop::Failed(format!("cannot print: {cause}")))
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}
