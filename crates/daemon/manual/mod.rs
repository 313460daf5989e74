//! Manual pages and shell completions, made from the tables that the program itself uses: the options
//! and commands of `cli.rs`, the keys of TOML, the keywords of haproxy.cfg. What is no table stands in
//! the Markdown beside this file.

pub(crate) mod completions;
mod roff;

use std::fmt::Write as _;

use crate::cli;

/// A page of the manual.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Page {
    Program,
    Toml,
    Haproxy,
}

/// Every page.
pub(crate) const PAGES: [Page; 3] = [Page::Program, Page::Toml, Page::Haproxy];

impl Page {
    /// As files and `evenkeel man` call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Program => "evenkeel.8",
            Self::Toml => "evenkeel.toml.5",
            Self::Haproxy => "evenkeel-haproxy.cfg.5",
        }
    }

    fn about(self) -> &'static str {
        match self {
            Self::Program => "TCP load balancer for Kubernetes control planes",
            Self::Toml => "configuration of evenkeel in TOML",
            Self::Haproxy => "what evenkeel makes of a haproxy.cfg",
        }
    }

    fn markdown(self) -> String {
        match self {
            Self::Program => program(),
            Self::Toml => toml(),
            Self::Haproxy => haproxy(),
        }
    }
}

/// The page in roff, as man(1) reads it.
pub(crate) fn print(page: Page) -> String {
    let (title, section) = page.name().rsplit_once('.').unwrap_or((page.name(), "8"));
    let source = concat!("evenkeel ", env!("CARGO_PKG_VERSION"));
    roff::page(title, section, source, page.about(), &page.markdown())
}

fn program() -> String {
    include_str!("evenkeel.8.md")
        .replace("{options}\n", &table(cli::options(false)))
        .replace("{idle options}\n", &table(cli::options(true)))
        .replace("{commands}\n", &table(cli::commands()))
        .replace("{options of commands}\n", &options_of_commands())
}

/// A section for each command that has options.
fn options_of_commands() -> String {
    let mut text = String::new();
    for command in cli::commands() {
        let options = cli::options_of(command.name);
        if !options.is_empty() {
            let _ = writeln!(text, "### Options of {}\n", command.name);
            let _ = writeln!(text, "{}", table(options.into_iter()));
        }
    }
    text
}

/// A Markdown table of what is typed and what it means.
fn table(entries: impl Iterator<Item = cli::Entry>) -> String {
    let mut text = String::from("| option | argument | meaning |\n|---|---|---|\n");
    for entry in entries {
        let glue = if entry.glued { "" } else { " " };
        let argument = entry.argument.replace('|', "\\|");
        let help = entry.help.replace('|', "\\|");
        let _ = writeln!(text, "| {} | {glue}{argument} | {help} |", entry.name);
    }
    text
}

fn toml() -> String {
    let printed = evenkeel_config::toml_markdown();
    include_str!("evenkeel.toml.5.md").replace("{keys}\n", body(&printed))
}

fn haproxy() -> String {
    let printed = evenkeel_config::keywords_markdown();
    include_str!("evenkeel-haproxy.cfg.5.md").replace("{keywords}\n", body(&printed))
}

/// What follows the title of a printed page of docs/.
fn body(printed: &str) -> &str {
    let title = printed.find("\n# ").map_or(0, |at| at + 1);
    printed[title..]
        .split_once('\n')
        .map_or("", |(_, rest)| rest.trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(name: &str) -> String {
        print(PAGES.into_iter().find(|page| page.name() == name).unwrap())
    }

    #[test]
    fn the_programs_page_has_every_section_option_and_command() {
        let text = page("evenkeel.8");
        for section in [
            "NAME",
            "SYNOPSIS",
            "DESCRIPTION",
            "OPTIONS",
            "COMMANDS",
            "SIGNALS",
            "\"EXIT STATUS\"",
            "FILES",
            "ENVIRONMENT",
            "EXAMPLES",
            "\"SEE ALSO\"",
        ] {
            assert!(text.contains(&format!("\n.SH {section}\n")), "{section}");
        }
        let bold = |name: &str| format!("\n\\fB{}\\fR", name.replace('-', "\\-"));
        let entries = cli::options(false)
            .chain(cli::options(true))
            .chain(cli::commands());
        for entry in entries {
            assert!(text.contains(&bold(entry.name)), "{}", entry.name);
        }
        for (command, option) in [
            ("health", "--timeout"),
            ("keepalived", "--router-id"),
            ("lint", "--json"),
        ] {
            let (_, section) = text
                .split_once(&format!(".SS \"Options of {command}\"\n"))
                .unwrap();
            let section = section.split("\n.S").next().unwrap();
            assert!(
                section.contains(&bold(option)),
                "{command} {option}: {section}"
            );
        }
        assert!(!text.contains('{'), "a placeholder is left");
    }

    #[test]
    fn the_pages_of_files_have_every_key_and_keyword() {
        let (keys, keywords) = (page("evenkeel.toml.5"), page("evenkeel-haproxy.cfg.5"));
        let rows = |printed: &str| {
            let cell = |line: &str| Some(line.strip_prefix("| `")?.split_once('`')?.0.to_owned());
            printed.lines().filter_map(cell).collect::<Vec<_>>()
        };
        for (text, printed) in [
            (keys, evenkeel_config::toml_markdown()),
            (keywords, evenkeel_config::keywords_markdown()),
        ] {
            let names = rows(&printed);
            assert!(names.len() > 100, "{}", names.len());
            for name in names {
                let name = name.replace('-', "\\-");
                assert!(text.contains(&format!("\\fB{name}\\fR")), "{name}");
            }
        }
    }

    /// What roff takes as a request, or as the beginning of an escape, must be meant as one.
    #[test]
    fn every_page_is_well_formed_roff() {
        for page in PAGES {
            for (number, line) in print(page).lines().enumerate() {
                let place = format!("{}:{}: {line}", page.name(), number + 1);
                if let Some(request) = line.strip_prefix('.') {
                    let request = request.split(' ').next().unwrap();
                    let known = [
                        "\\\"", "TH", "SH", "SS", "PP", "TP", "IP", "EX", "EE", "nf", "fi", "br",
                    ];
                    assert!(known.contains(&request), "{place}");
                }
                assert!(!line.starts_with('\''), "{place}");
                assert!(!line.contains(['`', '\t']), "Markdown is left: {place}");
                assert!(line.is_ascii(), "{place}");
                let mut rest = line;
                while let Some(at) = rest.find('\\') {
                    rest = &rest[at + 1..];
                    let escapes = [
                        "fB", "fI", "fR", "-", "e", "&", "(aq", "(dq", "(ha", "(ti", "\"", "(ga",
                        "(bu",
                    ];
                    let known = escapes.iter().find(|known| rest.starts_with(**known));
                    rest = &rest[known.unwrap_or_else(|| panic!("{place}")).len()..];
                }
            }
        }
    }
}
