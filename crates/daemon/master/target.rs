//! Whom a command is for. Pure: text in, pieces out.

use super::State;
use crate::runtime::Line;

/// Whom a visitor talks to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Target {
    #[default]
    Master,
    /// The generation in force.
    Current,
    /// One that drains, by the number that `show proc` gives it.
    Old(u64),
}

/// The commands of a line as they were typed, without blanks before them.
pub(super) fn commands(line: &str) -> Vec<&str> {
    let mut commands = Vec::new();
    let mut begin = 0;
    let mut is_escaped = false;
    for (at, byte) in line.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b';' => {
                commands.push(&line[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    commands.push(&line[begin..]);
    commands
        .into_iter()
        .map(|command| command.trim_start_matches([' ', '\t']))
        .collect()
}

/// The words of a command, and whether a payload follows it.
pub(super) fn words(command: &str) -> Vec<String> {
    let line = Line::parse(command.as_bytes());
    let mut commands = line.commands.into_iter();
    commands.next().unwrap_or_default().words
}

/// A prefix and what stands behind it; `None`: it begins with none.
pub(super) fn prefix(command: &str) -> Option<(&str, &str)> {
    let is_prefixed = command.starts_with('@');
    let end = command.find([' ', '\t', '\r']).unwrap_or(command.len());
    is_prefixed.then(|| {
        let (prefix, rest) = command.split_at(end);
        (prefix, rest.trim_matches([' ', '\t', '\r']))
    })
}

/// Whom `prefix` means in a process `pid`; `None`: nobody.
pub(super) fn target(prefix: &str, pid: u32, state: &State) -> Option<Target> {
    match prefix {
        "@" | "@master" => return Some(Target::Master),
        _ => {}
    }
    if let Some(number) = prefix.strip_prefix("@!") {
        let number = number.parse::<u64>().ok()?;
        if number == u64::from(pid) {
            return Some(Target::Current);
        }
        let target = Target::Old(number);
        return exists(target, state).then_some(target);
    }
    match prefix.strip_prefix('@')?.parse::<u64>() {
        Ok(0) => Some(Target::Master),
        Ok(1) => Some(Target::Current),
        _ => None,
    }
}

/// Whether there is (still) such a one.
pub(super) fn exists(target: Target, state: &State) -> bool {
    match target {
        Target::Master | Target::Current => true,
        Target::Old(number) => state.old.iter().any(|(old, _)| *old == number),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn commands_are_cut_at_semicolons_that_are_not_escaped() {
        assert_eq!(commands("a b; @1 c;"), ["a b", "@1 c", ""]);
        assert_eq!(commands(r"a\;b;c\\;d"), [r"a\;b", r"c\\", "d"]);
        assert_eq!(commands(""), [""]);
    }

    #[test]
    fn prefixes_are_told_from_commands() {
        assert_eq!(prefix("@1   show  info "), Some(("@1", "show  info")));
        assert_eq!(prefix("@"), Some(("@", "")));
        assert_eq!(prefix("show @1"), None);
    }

    #[test]
    fn a_prefix_means_one_that_is_there() {
        let state = State {
            processes: String::new(),
            log: String::new(),
            has_failed: false,
            current: Instant::now(),
            old: vec![(4_194_304, Instant::now())],
        };
        for (prefix, meant) in [
            ("@", Some(Target::Master)),
            ("@master", Some(Target::Master)),
            ("@0", Some(Target::Master)),
            ("@1", Some(Target::Current)),
            ("@01", Some(Target::Current)),
            ("@!77", Some(Target::Current)),
            ("@!4194304", Some(Target::Old(4_194_304))),
            ("@!4194305", None),
            ("@2", None),
            ("@-1", None),
            ("@1x", None),
            ("@!", None),
            ("@!0", None),
            ("@foo", None),
            ("@master1", None),
        ] {
            assert_eq!(target(prefix, 77, &state), meant, "{prefix}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_commands(text in ".{0,100}") {
            let commands = commands(&text);
            prop_assert!(!commands.is_empty());
            for command in commands {
                words(command);
                prefix(command);
            }
        }
    }
}
