//! What a shell offers after `evenkeel`, printed from the tables of `cli.rs`.

use std::fmt::Write as _;

use crate::cli::{self, Entry};

/// A shell that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shell {
    Bash,
    Zsh,
    Fish,
}

/// All of them, by the names that `evenkeel completions` takes.
pub(crate) const SHELLS: [(&str, Shell); 3] = [
    ("bash", Shell::Bash),
    ("zsh", Shell::Zsh),
    ("fish", Shell::Fish),
];

/// What this shell reads.
pub(crate) fn print(shell: Shell) -> String {
    match shell {
        Shell::Bash => bash(),
        Shell::Zsh => zsh(),
        Shell::Fish => fish(),
    }
}

/// What may follow a command or an option.
#[derive(Default)]
struct Follows {
    /// Words as they are typed: `--json`, `bash`.
    words: Vec<&'static str>,
    files: bool,
}

/// Read from what the help shows: `[--json] FILE...`, `bash|zsh|fish`. Capitals stand for the
/// operator's own words.
fn follows(argument: &'static str) -> Follows {
    let mut follows = Follows::default();
    for word in argument.split([' ', '|', '[', ']', ',']) {
        let word = word.trim_end_matches("...");
        if matches!(word, "FILE" | "DIR" | "SOCKET" | "PROGRAM") {
            follows.files = true;
        } else if !word.is_empty() && !word.contains(char::is_uppercase) {
            follows.words.push(word);
        }
    }
    follows
}

/// Options that take a word of their own after them.
fn with_argument(entry: &Entry) -> bool {
    !entry.argument.is_empty() && !entry.glued
}

fn all_options() -> impl Iterator<Item = Entry> {
    cli::options(false).chain(cli::options(true))
}

fn names(entries: impl Iterator<Item = Entry>) -> String {
    entries
        .map(|entry| entry.name)
        .collect::<Vec<_>>()
        .join(" ")
}

fn bash() -> String {
    let mut cases = String::new();
    for command in cli::commands() {
        let words = follows(command.argument).words.join(" ");
        let _ = writeln!(cases, "        {}) words='{words}' ;;", command.name);
    }
    let taking: Vec<&str> = all_options()
        .filter(with_argument)
        .map(|entry| entry.name)
        .collect();
    format!(
        "# Completion of evenkeel for bash, printed by 'evenkeel completions bash'.\n\
         # Where no word fits, files are offered.\n\
         _evenkeel() {{\n    local word=$2 before=$3 words=''\n    case ${{COMP_WORDS[1]}} in\n{cases}        \
         *) case $before in\n            {}) ;;\n            *) words='{}' ;;\n        esac ;;\n    esac\n    \
         if ((COMP_CWORD == 1)); then\n        words='{} {}'\n    fi\n    \
         mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$word\")\n}}\n\
         complete -o bashdefault -o default -F _evenkeel evenkeel\n",
        taking.join(" | "),
        names(all_options()),
        names(cli::commands()),
        names(all_options()),
    )
}

fn zsh() -> String {
    // Within single quotes, where brackets and colons would end a part of a specification.
    let quoted = |text: &str, special: &[char]| {
        let mut out = String::new();
        for c in text.chars() {
            match c {
                '\'' => out.push_str("'\\''"),
                c if special.contains(&c) => {
                    out.push('\\');
                    out.push(c);
                }
                c => out.push(c),
            }
        }
        out
    };
    let action = |argument: &'static str| {
        let follows = follows(argument);
        if follows.files { "_files" } else { " " }
    };
    let mut commands = String::new();
    let mut cases = String::new();
    for command in cli::commands() {
        let help = quoted(command.help, &[':']);
        let _ = writeln!(commands, "        '{}:{help}'", command.name);
        let follows = follows(command.argument);
        let mut offers = String::new();
        if !follows.words.is_empty() {
            let _ = write!(offers, "compadd -- {}; ", follows.words.join(" "));
        }
        if follows.files {
            offers.push_str("_files; ");
        }
        let _ = writeln!(cases, "        {}) {offers};;", command.name);
    }
    let mut options = String::new();
    for entry in all_options().filter(|entry| entry.name != "--") {
        let help = quoted(entry.help, &['[', ']', ':']);
        let argument = match with_argument(&entry) {
            true => format!(
                ":{}:{}",
                quoted(entry.argument, &['[', ']', ':']),
                action(entry.argument)
            ),
            false => String::new(),
        };
        let _ = writeln!(options, "        '*{}[{help}]{argument}' \\", entry.name);
    }
    format!(
        "#compdef evenkeel\n# Completion of evenkeel for zsh, printed by 'evenkeel completions zsh'.\n\
         _evenkeel() {{\n    local -a commands\n    commands=(\n{commands}    )\n    \
         if (( CURRENT == 2 )) && [[ $words[2] != -* ]]; then\n        \
         _describe -t commands command commands\n        return\n    fi\n    case $words[2] in\n{cases}        \
         *) _arguments \\\n{options}        '*:file:_files' ;;\n    esac\n}}\n_evenkeel \"$@\"\n"
    )
}

fn fish() -> String {
    let quoted = |text: &str| text.replace('\\', "\\\\").replace('\'', "\\'");
    let mut text = String::from(
        "# Completion of evenkeel for fish, printed by 'evenkeel completions fish'.\n\
         complete -c evenkeel -f\n",
    );
    for command in cli::commands() {
        let _ = writeln!(
            text,
            "complete -c evenkeel -n __fish_use_subcommand -a {} -d '{}'",
            command.name,
            quoted(command.help)
        );
        let follows = follows(command.argument);
        let seen = format!("-n '__fish_seen_subcommand_from {}'", command.name);
        for word in follows.words {
            let _ = match word.strip_prefix("--") {
                Some(long) => writeln!(text, "complete -c evenkeel {seen} -l {long}"),
                None => writeln!(text, "complete -c evenkeel {seen} -a '{word}'"),
            };
        }
        if follows.files {
            let _ = writeln!(text, "complete -c evenkeel {seen} -F");
        }
    }
    let subcommands = names(cli::commands());
    for entry in all_options().filter(|entry| entry.name != "--") {
        let name = match (entry.name.strip_prefix("--"), entry.name.strip_prefix('-')) {
            (Some(long), _) => format!("-l {long}"),
            (None, Some(one)) if one.len() == 1 => format!("-s {one}"),
            (None, rest) => format!("-o {}", rest.unwrap_or(entry.name)),
        };
        let argument = match (with_argument(&entry), follows(entry.argument).files) {
            (true, true) => " -r -F",
            (true, false) => " -x",
            (false, _) => "",
        };
        let help = quoted(entry.help);
        let _ = writeln!(
            text,
            "complete -c evenkeel -n 'not __fish_seen_subcommand_from {subcommands}' {name}{argument} -d '{help}'"
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn every_shell_is_offered_every_option_and_command() {
        for (name, shell) in SHELLS {
            let text = print(shell);
            for entry in all_options().chain(cli::commands()) {
                let bare = entry.name.trim_start_matches('-');
                assert!(text.contains(bare), "{name}: {}", entry.name);
            }
            assert!(
                text.contains("--json") || text.contains("-l json"),
                "{name}"
            );
        }
    }

    #[test]
    fn what_follows_is_read_from_the_help() {
        let lint = follows("[--json] FILE...");
        assert_eq!((lint.words, lint.files), (vec!["--json"], true));
        let shells = follows("bash|zsh|fish");
        assert_eq!(
            (shells.words, shells.files),
            (vec!["bash", "zsh", "fish"], false)
        );
        assert!(!follows("COUNT").files);
    }

    /// The first words that bash would offer, asked of bash itself.
    #[test]
    fn bash_completes_commands_options_and_their_words() {
        for (line, expected) in [
            ("evenkeel li", "lint"),
            ("evenkeel lint --", "--json"),
            ("evenkeel --ad", "--admin"),
            ("evenkeel completions z", "zsh"),
            ("evenkeel -f lb.toml -d", "-dW"),
            ("evenkeel -f li", ""),
        ] {
            let words: Vec<&str> = line.split(' ').collect();
            let (last, before) = (words.len() - 1, words[words.len() - 2]);
            let script = format!(
                "{}\nCOMP_WORDS=({line}) COMP_CWORD={last}\n_evenkeel evenkeel '{}' '{before}'\necho \"${{COMPREPLY[@]}}\"\n",
                bash(),
                words[last]
            );
            let mut child = Command::new("bash")
                .args(["--norc", "-eu"])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            child
                .stdin
                .take()
                .unwrap()
                .write_all(script.as_bytes())
                .unwrap();
            let output = child.wait_with_output().unwrap();
            let offered = String::from_utf8(output.stdout).unwrap();
            let mut offered = offered.split_whitespace();
            match expected {
                "" => assert_eq!(offered.next(), None, "{line}"),
                word => assert!(offered.any(|offer| offer == word), "{line}"),
            }
            assert!(output.status.success(), "{line}");
        }
    }
}
