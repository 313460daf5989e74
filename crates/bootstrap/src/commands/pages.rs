//! The man page and completions, from the command line's own table.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::CommandFactory;

use super::Stop;
use crate::cli::{Cli, EXITS, Shown};

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
        page.extend(exit_status().bytes());
        page.extend(PLACES.bytes());
        writeln!(
            page,
            ".SH SEE ALSO\n\\fBevenkeel\\fR(8), \\fBevenkeel.toml\\fR(5), \\fBssh\\fR(1), \\fBssh_config\\fR(5)"
        )
    };
    render().map_err(|cause| Stop::Failed(format!("cannot make the page: {cause}")))?;
    print(&page)
}

fn exit_status() -> String {
    let all = EXITS.map(|(status, what)| format!(".TP\n\\fB{status}\\fR\n{what}\n"));
    format!(".SH \"EXIT STATUS\"\n{}", all.concat())
}

/// Where things are, and what of the environment is heard.
const PLACES: &str = r".SH FILES
.TP
\fIcluster.toml\fR
Describes the cluster; \fBinit\fR writes one. All keys: /usr/share/doc/evenkeel\-bootstrap/bootstrap\-toml.md
.TP
\fI$XDG_STATE_HOME/evenkeel\-bootstrap/CLUSTER/\fR
What each run did and what hosts said, secrets masked; \fI~/.local/state\fR if the variable is not set. Of
\fBplan\fR, \fBpreflight\fR, \fBverify\fR and \fBkubeconfig\fR the latest 30 are kept.
.TP
\fI/run/evenkeel\-bootstrap.lock\fR
On hosts: held by the run that changes the cluster.
.TP
\fI/root/.evenkeel\-bootstrap/\fR
On hosts: files with secrets, for as long as a step needs them.
.SH ENVIRONMENT
.TP
\fBKUBECONFIG\fR
\fBkubeconfig\fR merges into the first file that it lists, else into \fI~/.kube/config\fR.
.TP
\fBXDG_STATE_HOME\fR
Where records of runs are.
.TP
\fBXDG_RUNTIME_DIR\fR
Where sockets of shared ssh connections are; else \fI~/.ssh\fR, else a folder in \fI/tmp\fR.
.TP
\fBHOME\fR
What \fI~/\fR stands for in cluster.toml.
.TP
\fBNO_COLOR\fR, \fBTERM\fR
No colors if the first is set, neither colors nor bars if the second is \fIdumb\fR.
";

/// A command that fails while a program reads its output says so there as well.
pub(super) fn failure(done: Result<ExitCode, Stop>, shown: Shown) -> Result<ExitCode, Stop> {
    if let (Err(stop), true) = (&done, shown.for_programs()) {
        let text = stop.to_string();
        let lines: Vec<_> = text.lines().collect();
        let value = serde_json::json!({ "error": text, "lines": lines });
        print(format!("{value:#}\n").as_bytes())?;
    }
    done
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_stand_in_sections_of_their_own() {
        let page = format!("{}{PLACES}", exit_status());
        for heading in [".SH \"EXIT STATUS\"\n", ".SH FILES\n", ".SH ENVIRONMENT\n"] {
            assert_eq!(page.matches(heading).count(), 1, "{heading}");
        }
        assert!(
            page.contains(".TP\n\\fB130\\fR\nstopped by the operator\n"),
            "{page}"
        );
        // Every line of roff that begins with a dot is a request that we meant.
        let requests = page.lines().filter(|line| line.starts_with('.'));
        for request in requests {
            assert!(request.starts_with(".SH") || request == ".TP", "{request}");
        }
    }
}
