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
#[derive(Debug, Default, PartialEq, Eq)]
struct Follows {
    /// Words as they are typed: `json`, `bash`.
    words: Vec<&'static str>,
    files: bool,
}

/// Read from what the help shows: `text|json`, `FILE|DIR`. Capitals stand for the operator's own words.
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

/// What follows a command beside its options: of `[--json] FILE...`, files.
fn operands(command: &Entry) -> Follows {
    let mut follows = Follows::default();
    let options = cli::options_of(command.name);
    let mut parts = command.argument.split(' ');
    while let Some(part) = parts.next() {
        // `[--json|--markdown]`: whichever is last takes what follows.
        let name = part
            .trim_matches(['[', ']'])
            .rsplit('|')
            .next()
            .unwrap_or("");
        if name.starts_with('-') {
            let takes = |option: &Entry| option.name == name && !option.argument.is_empty();
            if options.iter().any(takes) {
                parts.next();
            }
            continue;
        }
        let these = self::follows(part);
        follows.files |= these.files;
        follows.words.extend(these.words);
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

fn names<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> String {
    let names: Vec<&str> = entries.into_iter().map(|entry| entry.name).collect();
    names.join(" ")
}

fn bash() -> String {
    let mut cases = String::new();
    for command in cli::commands() {
        let _ = writeln!(cases, "        {})", command.name);
        let options = cli::options_of(command.name);
        let offered = operands(&command);
        let words = [names(&options), offered.words.join(" ")].join(" ");
        bash_case(&mut cases, &options, words.trim(), offered.files);
    }
    let options: Vec<Entry> = all_options().collect();
    let _ = writeln!(cases, "        *)");
    bash_case(&mut cases, &options, &names(&options), false);
    let commands: Vec<Entry> = cli::commands().collect();
    format!(
        "# Completion of evenkeel for bash, printed by 'evenkeel completions bash'.\n\
         _evenkeel() {{\n    local word=$2 before=$3 words='' files=''\n    case ${{COMP_WORDS[1]}} in\n{cases}    esac\n    \
         if ((COMP_CWORD == 1)); then\n        words='{} {}' files=''\n    fi\n    \
         mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$word\")\n    \
         if [[ $files ]]; then\n        local found\n        \
         mapfile -t found < <(compgen -f -- \"$word\")\n        \
         COMPREPLY+=(\"${{found[@]}}\")\n        \
         compopt -o filenames 2>/dev/null || true\n    fi\n}}\n\
         complete -F _evenkeel evenkeel\n",
        names(&commands),
        names(&options),
    )
}

/// What is offered by the word before.
fn bash_case(text: &mut String, options: &[Entry], words: &str, takes_files: bool) {
    let files = |takes_files: bool| if takes_files { " files=1" } else { "" };
    text.push_str("            case $before in\n");
    for option in options.iter().filter(|option| with_argument(option)) {
        let offered = follows(option.argument);
        let _ = writeln!(
            text,
            "            {}) words='{}'{} ;;",
            option.name,
            offered.words.join(" "),
            files(offered.files)
        );
    }
    let _ = writeln!(
        text,
        "            *) words='{words}'{} ;;\n            esac ;;",
        files(takes_files)
    );
}

/// Within single quotes of zsh, where some letters would end a part of a specification.
fn zsh_quoted(text: &str, special: &[char]) -> String {
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
}

/// What is offered for a word.
fn zsh_action(offered: &Follows) -> String {
    match (offered.words.as_slice(), offered.files) {
        ([], true) => "_files".to_owned(),
        ([], false) => " ".to_owned(),
        (words, _) => format!("({})", words.join(" ")),
    }
}

/// As `_arguments` takes it.
fn zsh_option(entry: &Entry) -> String {
    let special = ['[', ']', ':'];
    let help = zsh_quoted(entry.help, &special);
    let argument = match with_argument(entry) {
        true => format!(
            ":{}:{}",
            zsh_quoted(entry.argument, &special),
            zsh_action(&follows(entry.argument))
        ),
        false => String::new(),
    };
    format!("'*{}[{help}]{argument}'", entry.name)
}

fn zsh() -> String {
    let mut commands = String::new();
    let mut cases = String::new();
    for command in cli::commands() {
        let help = zsh_quoted(command.help, &[':']);
        let _ = writeln!(commands, "        '{}:{help}'", command.name);
        let mut specifications: Vec<String> = cli::options_of(command.name)
            .iter()
            .map(zsh_option)
            .collect();
        let offered = operands(&command);
        if offered != Follows::default() {
            specifications.push(format!("'*:word:{}'", zsh_action(&offered)));
        }
        let specifications = match specifications.is_empty() {
            true => ":".to_owned(),
            false => format!(
                "_arguments \\\n            {}",
                specifications.join(" \\\n            ")
            ),
        };
        let _ = writeln!(cases, "        {}) {specifications} ;;", command.name);
    }
    let mut options = String::new();
    for entry in all_options().filter(|entry| entry.name != "--") {
        let _ = writeln!(options, "            {} \\", zsh_option(&entry));
    }
    format!(
        "#compdef evenkeel\n# Completion of evenkeel for zsh, printed by 'evenkeel completions zsh'.\n\
         _evenkeel() {{\n    local -a commands\n    commands=(\n{commands}    )\n    \
         if (( CURRENT == 2 )) && [[ $words[2] != -* ]]; then\n        \
         _describe -t commands command commands\n        return\n    fi\n    \
         if [[ $words[2] != -* ]]; then\n        shift words\n        (( CURRENT-- ))\n    fi\n    \
         case $words[1] in\n{cases}        \
         *) _arguments \\\n{options}            '*:file:_files' ;;\n    esac\n}}\n_evenkeel \"$@\"\n"
    )
}

fn fish() -> String {
    let mut text = String::from(
        "# Completion of evenkeel for fish, printed by 'evenkeel completions fish'.\n\
         complete -c evenkeel -f\n",
    );
    for command in cli::commands() {
        let _ = writeln!(
            text,
            "complete -c evenkeel -n __fish_use_subcommand -a {} -d '{}'",
            command.name,
            fish_quoted(command.help)
        );
        let offered = operands(&command);
        let seen = format!("__fish_seen_subcommand_from {}", command.name);
        for word in offered.words {
            let _ = writeln!(text, "complete -c evenkeel -n '{seen}' -a '{word}'");
        }
        if offered.files {
            let _ = writeln!(text, "complete -c evenkeel -n '{seen}' -F");
        }
        for option in cli::options_of(command.name) {
            fish_option(&mut text, &seen, &option);
        }
    }
    let commands: Vec<Entry> = cli::commands().collect();
    let unseen = format!("not __fish_seen_subcommand_from {}", names(&commands));
    for entry in all_options().filter(|entry| entry.name != "--") {
        fish_option(&mut text, &unseen, &entry);
    }
    text
}

fn fish_quoted(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\'', "\\'")
}

fn fish_option(text: &mut String, condition: &str, entry: &Entry) {
    // Not -s for single letters: fish would offer to join them, as in -db.
    let name = match entry.name.strip_prefix("--") {
        Some(long) => format!("-l {long}"),
        None => format!("-o {}", entry.name.trim_start_matches('-')),
    };
    let offered = follows(entry.argument);
    let argument = match (with_argument(entry), offered.words.as_slice()) {
        (false, _) => String::new(),
        (true, []) if offered.files => " -r -F".to_owned(),
        (true, []) => " -x".to_owned(),
        (true, words) => format!(" -x -a '{}'", words.join(" ")),
    };
    let help = fish_quoted(entry.help);
    let _ = writeln!(
        text,
        "complete -c evenkeel -n '{condition}' {name}{argument} -d '{help}'"
    );
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
        let of = |command: &str| {
            let entry = cli::commands().find(|entry| entry.name == command);
            operands(&entry.unwrap())
        };
        let files = Follows {
            files: true,
            ..Follows::default()
        };
        for command in ["lint", "convert", "compatibility"] {
            assert_eq!(of(command), files, "{command}");
        }
        for command in ["health", "keepalived", "reload", "demo"] {
            assert_eq!(of(command), Follows::default(), "{command}");
        }
        assert_eq!(of("completions").words, ["bash", "zsh", "fish"]);
        assert_eq!(follows("text|json").words, ["text", "json"]);
        assert_eq!(follows("FILE|DIR"), files);
        assert_eq!(follows("COUNT"), Follows::default());
    }

    /// The first words that bash would offer, asked of bash itself.
    #[test]
    fn bash_completes_commands_options_and_their_words() {
        for (line, expected) in [
            ("evenkeel li", "lint"),
            ("evenkeel lint --", "--json"),
            ("evenkeel lint Carg", "Cargo.toml"),
            ("evenkeel health -", "-S"),
            ("evenkeel reload -", "-S"),
            ("evenkeel keepalived --", "--router-id"),
            ("evenkeel keepalived -f Carg", "Cargo.toml"),
            ("evenkeel keepalived --peer -", ""),
            ("evenkeel --log-format j", "json"),
            ("evenkeel -f Carg", "Cargo.toml"),
            ("evenkeel -n Carg", ""),
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
