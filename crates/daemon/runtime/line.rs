//! One line from a visitor, as words. Pure, and knows no command: whatever bytes come in, words or
//! a wish for more lines come out.

/// What ends a payload unless the line names something else.
const USUAL_END: &str = "";

/// One command of a line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Words {
    /// In order, escapes undone.
    pub(crate) words: Vec<String>,
}

/// A whole line: its commands, and how a payload that follows it ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Line {
    /// What `;` separates; an empty command is one too.
    pub(crate) commands: Vec<Words>,
    /// The line that ends the payload; `None`: there is none.
    pub(crate) payload_end: Option<String>,
}

impl Line {
    /// Reads `text`, without its line feed. `;` separates commands, blanks separate words, a
    /// backslash takes either for itself. A last word that begins with `<<` announces a payload,
    /// which ends with the line that stands behind it, or an empty one.
    pub(crate) fn parse(text: &[u8]) -> Self {
        let text = String::from_utf8_lossy(text.strip_suffix(b"\r").unwrap_or(text)).into_owned();
        // HAProxy's lines end at a NUL too.
        let text = text.split('\0').next().unwrap_or_default();
        let mut line = Self::default();
        let mut words = Vec::new();
        let mut word: Option<String> = None;
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            match c {
                ' ' | '\t' => words.extend(word.take()),
                ';' => {
                    words.extend(word.take());
                    let words = std::mem::take(&mut words);
                    line.commands.push(Words { words });
                }
                '\\' => {
                    let escaped = chars.next().unwrap_or('\\');
                    word.get_or_insert_default().push(escaped);
                }
                c => word.get_or_insert_default().push(c),
            }
        }
        words.extend(word);
        if let Some(end) = words.last().and_then(|last| last.strip_prefix("<<")) {
            line.payload_end = Some(if end.is_empty() { USUAL_END } else { end }.to_owned());
            words.pop();
        }
        line.commands.push(Words { words });
        line
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, commands: &[&[&str]], payload_end: Option<&str>) {
        let line = Line::parse(text.as_bytes());
        let found: Vec<Vec<&str>> = line
            .commands
            .iter()
            .map(|command| command.words.iter().map(String::as_str).collect())
            .collect();
        assert_eq!(found, commands, "{text:?}");
        assert_eq!(line.payload_end.as_deref(), payload_end, "{text:?}");
    }

    #[test]
    fn words_commands_and_payloads() {
        check("show info", &[&["show", "info"]], None);
        check("  show \t info \r", &[&["show", "info"]], None);
        check("", &[&[]], None);
        check(
            "show info;show stat",
            &[&["show", "info"], &["show", "stat"]],
            None,
        );
        check("show info;", &[&["show", "info"], &[]], None);
        check(
            r"show\ info a\;b \\ x\",
            &[&["show info", "a;b", r"\", r"x\"]],
            None,
        );
        check("add map x <<", &[&["add", "map", "x"]], Some(""));
        check("a; b <<EOF", &[&["a"], &["b"]], Some("EOF"));
        check("show \0info", &[&["show"]], None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_words(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            let line = Line::parse(&text);
            prop_assert!(!line.commands.is_empty());
            let words = line.commands.iter().flat_map(|command| &command.words);
            prop_assert!(words.clone().all(|word| !word.contains('\0')));
        }
    }
}
