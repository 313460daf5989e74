//! Words of a haproxy.cfg line (HAProxy manual, section 2.2): quoting, escapes, comments, and
//! environment variables inside double quotes. Knows no keyword.

/// A word of a line and where it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Word {
    pub(crate) text: String,
    /// In characters, from 1.
    pub(crate) column: u32,
    /// Whether it stands in the line as it is, without quotes, escapes and variables: then each
    /// of its characters has a column of its own.
    pub(crate) plain: bool,
}

/// What is wrong with a line, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LexError {
    /// In characters, from 1.
    pub(crate) column: u32,
    pub(crate) message: String,
}

/// Value of an environment variable, if it is set.
pub(crate) type Variables<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// Splits a line into words; a comment or a carriage return ends it.
pub(crate) fn words(line: &str, variables: &Variables<'_>) -> Result<Vec<Word>, LexError> {
    Lexer::new(line, variables).run(Spaces::Separate)
}

/// The rest of a line from `column` on as one word in which spaces stay: what a condition is.
pub(crate) fn single_word(
    line: &str,
    column: u32,
    variables: &Variables<'_>,
) -> Result<String, LexError> {
    let mut lexer = Lexer::new(line, variables);
    lexer.at = (column as usize).saturating_sub(1).min(lexer.chars.len());
    let words = lexer.run(Spaces::Keep)?;
    Ok(words
        .into_iter()
        .map(|word| word.text)
        .collect::<Vec<_>>()
        .join(" ")
        .trim()
        .to_owned())
}

/// Expands `$NAME` and `${NAME}` in an address, where HAProxy does so even outside quotes.
pub(crate) fn expand_address(text: &str, variables: &Variables<'_>) -> String {
    let mut expanded = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        expanded.push_str(before);
        let (braced, body) = match after.strip_prefix('{') {
            Some(body) => (true, body),
            None => (false, after),
        };
        let end = body.find(|c: char| !is_name_char(c)).unwrap_or(body.len());
        let (name, tail) = body.split_at(end);
        match tail.strip_prefix('}') {
            Some(tail) if braced && !name.is_empty() => rest = tail,
            None if !braced && !name.is_empty() => rest = tail,
            Some(_) if !braced && !name.is_empty() => rest = tail,
            _ => {
                expanded.push('$');
                rest = after;
                continue;
            }
        }
        expanded.push_str(&variables(name).unwrap_or_default());
    }
    expanded.push_str(rest);
    expanded
}

fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Spaces {
    Separate,
    Keep,
}

struct Lexer<'a> {
    chars: Vec<char>,
    at: usize,
    variables: &'a Variables<'a>,
    words: Vec<Word>,
    word: Option<Word>,
}

impl<'a> Lexer<'a> {
    fn new(line: &str, variables: &'a Variables<'a>) -> Self {
        Self {
            chars: line.chars().collect(),
            at: 0,
            variables,
            words: Vec::new(),
            word: None,
        }
    }

    fn run(mut self, spaces: Spaces) -> Result<Vec<Word>, LexError> {
        while let Some(c) = self.peek(0) {
            match c {
                '\r' | '\n' | '#' => break,
                '\0' => return Err(self.error(self.at, "stray NUL character")),
                ' ' | '\t' if spaces == Spaces::Separate => {
                    self.end_word();
                    self.at += 1;
                }
                '\'' => self.strong()?,
                '"' => self.weak()?,
                '\\' => self.escape(false)?,
                _ => {
                    self.push(c);
                    self.at += 1;
                }
            }
        }
        self.end_word();
        Ok(self.words)
    }

    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    fn word(&mut self) -> &mut Word {
        let column = column(self.at);
        self.word.get_or_insert_with(|| Word {
            text: String::new(),
            column,
            plain: false,
        })
    }

    fn push(&mut self, c: char) {
        self.word().text.push(c);
    }

    fn end_word(&mut self) {
        if let Some(mut word) = self.word.take() {
            let length = (self.at + 1).saturating_sub(word.column as usize);
            word.plain = word.text.chars().count() == length;
            self.words.push(word);
        }
    }

    fn error(&self, at: usize, message: &str) -> LexError {
        LexError {
            column: column(at),
            message: message.to_owned(),
        }
    }

    /// Between single quotes nothing is interpreted.
    fn strong(&mut self) -> Result<(), LexError> {
        let open = self.at;
        self.word();
        self.at += 1;
        loop {
            match self.peek(0) {
                None | Some('\n' | '\r') => return Err(self.unmatched(open)),
                Some('\'') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(c) => {
                    self.push(c);
                    self.at += 1;
                }
            }
        }
    }

    /// Between double quotes escapes and variables are.
    fn weak(&mut self) -> Result<(), LexError> {
        let open = self.at;
        self.word();
        self.at += 1;
        loop {
            match self.peek(0) {
                None | Some('\n' | '\r') => return Err(self.unmatched(open)),
                Some('"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some('\\') => self.escape(true)?,
                Some('$') => self.variable()?,
                Some(c) => {
                    self.push(c);
                    self.at += 1;
                }
            }
        }
    }

    fn unmatched(&self, open: usize) -> LexError {
        self.error(open, "unmatched quote; close it before the end of the line")
    }

    fn escape(&mut self, quoted: bool) -> Result<(), LexError> {
        let start = self.at;
        let Some(next) = self.peek(1) else {
            self.push('\\');
            self.at += 1;
            return Ok(());
        };
        self.word();
        self.at += 2;
        match next {
            ' ' | '#' | '\\' | '"' | '\'' => self.push(next),
            '$' if quoted => self.push('$'),
            'n' => self.push('\n'),
            'r' => self.push('\r'),
            't' => self.push('\t'),
            'x' => {
                let code = self
                    .peek(0)
                    .zip(self.peek(1))
                    .and_then(|(high, low)| Some(high.to_digit(16)? * 16 + low.to_digit(16)?));
                let code = code.ok_or_else(|| {
                    self.error(start, "'\\x' needs two hexadecimal digits after it")
                })?;
                self.at += 2;
                match u8::try_from(code) {
                    Ok(byte) if byte.is_ascii() => self.push(char::from(byte)),
                    _ => {
                        return Err(self.error(
                            start,
                            "words are text, in which no byte above \\x7f can stand by itself; \
                             write the character, or the bytes in hexadecimal: 'tcp-check \
                             send-binary', 'expect binary', 'expect rbinary'",
                        ));
                    }
                }
            }
            // An unknown escape stands for itself.
            _ => {
                self.push('\\');
                self.at = start + 1;
            }
        }
        Ok(())
    }

    /// `$NAME`, `${NAME}`, `${NAME-default}`, `${NAME[*]}` (several words).
    fn variable(&mut self) -> Result<(), LexError> {
        let start = self.at;
        self.at += 1;
        let braced = self.peek(0) == Some('{');
        self.at += usize::from(braced);
        let name: String = self.chars[self.at..]
            .iter()
            .take_while(|c| is_name_char(**c))
            .collect();
        if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(self.error(
                start,
                "an environment variable's name must follow '$'; write \\$ for the character",
            ));
        }
        self.at += name.len();
        let value = (self.variables)(&name);
        if !braced {
            return self.insert(value, false);
        }
        let several = self.chars[self.at..].starts_with(&['[', '*', ']']);
        self.at += if several { 3 } else { 0 };
        let mut default = None;
        if self.peek(0) == Some('-') {
            let text: String = self.chars[self.at + 1..]
                .iter()
                .take_while(|c| **c != '}')
                .collect();
            self.at += 1 + text.chars().count();
            default = Some(text);
        }
        if self.peek(0) != Some('}') {
            return Err(self.error(start, "'${' has no matching '}' after the variable's name"));
        }
        self.at += 1;
        self.insert(value.or(default), several)
    }

    /// Puts a variable's value into the word; with `several`, spaces in it separate words.
    fn insert(&mut self, value: Option<String>, several: bool) -> Result<(), LexError> {
        let value = value.unwrap_or_default();
        if !several {
            self.word().text.push_str(&value);
            return Ok(());
        }
        for (index, part) in value.split_ascii_whitespace().enumerate() {
            if index > 0 {
                self.end_word();
            }
            self.word().text.push_str(part);
        }
        Ok(())
    }
}

fn column(at: usize) -> u32 {
    u32::try_from(at + 1).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn variables(name: &str) -> Option<String> {
        match name {
            "HOME" => Some("/root".to_owned()),
            "LST" => Some("one two  three".to_owned()),
            _ => None,
        }
    }

    fn check(line: &str, expected: &[&str]) {
        let found = words(line, &variables).unwrap();
        assert_eq!(
            found.iter().map(|word| &*word.text).collect::<Vec<_>>(),
            expected,
            "{line}"
        );
    }

    #[test]
    fn words_as_haproxy_splits_them() {
        check("", &[]);
        check("  \t ", &[]);
        check("# all comment", &[]);
        check(" bind\t*:80  # why", &["bind", "*:80"]);
        check("a#b c", &["a"]);
        check(r"a\ b\#c\x41\q\\", &["a b#cA\\q\\"]);
        check(
            r#"'e\"$A' "d\"\$A\q" f"g"'h' "#,
            &["e\\\"$A", "d\"$A\\q", "fgh"],
        );
        check(r#""" ''"#, &["", ""]);
        check(r"x \", &["x", "\\"]);
        check("mode tcp\r", &["mode", "tcp"]);
        check("mode tcp\rxyz", &["mode", "tcp"]);
    }

    #[test]
    fn variables_in_double_quotes_alone() {
        check(
            r#""$HOME-${HOME}-${NOPE-def}-${NOPE}-x""#,
            &["/root-/root-def--x"],
        );
        check(r#""a${LST[*]}b" c"#, &["aone", "two", "threeb", "c"]);
        check(r#"$HOME '$HOME' "\$HOME""#, &["$HOME", "$HOME", "$HOME"]);
    }

    #[test]
    fn columns_count_characters() {
        let found = words("  größe  \"x y\" z", &variables).unwrap();
        assert_eq!(
            found.iter().map(|word| word.column).collect::<Vec<_>>(),
            [3, 10, 16]
        );
    }

    #[test]
    fn broken_lines_say_where() {
        fn check(line: &str, expected: u32) {
            assert_eq!(
                words(line, &variables).unwrap_err().column,
                expected,
                "{line}"
            );
        }
        check("bind 'x", 6);
        check("bind \"x", 6);
        check("bind \"$\"", 7);
        check("bind \"$1\"", 7);
        check("bind \"${HOME\"", 7);
        check("bind \\xg0", 6);
        check("bind \\x7f\\x80", 10);
    }

    #[test]
    fn addresses_expand_without_quotes() {
        fn check(text: &str, expected: &str) {
            assert_eq!(expand_address(text, &variables), expected, "{text}");
        }
        check("$HOME:80", "/root:80");
        check("${HOME}:80", "/root:80");
        check("${NOPE}:80", ":80");
        check("10.0.0.1:80", "10.0.0.1:80");
        check("${A-:44}", "${A-:44}");
        check("$", "$");
        check("$HOME}", "/root}");
    }

    proptest! {
        /// Any text: no panic, and every word and error points into the line.
        #[test]
        fn never_panics_and_spans_are_valid(line in "[ -~\\t\\r\\\\\"'${}#é\\x00]{0,60}") {
            let length = line.chars().count() as u32;
            match words(&line, &variables) {
                Ok(found) => {
                    let mut last = 0;
                    for word in found {
                        prop_assert!(word.column >= 1 && word.column <= length);
                        // Only a variable of several words gives two words one place.
                        prop_assert!(word.column >= last);
                        last = word.column;
                    }
                }
                Err(error) => prop_assert!(error.column >= 1 && error.column <= length),
            }
            expand_address(&line, &variables);
            let _ = single_word(&line, 3, &variables);
        }

        /// Words without special characters come back as they were.
        #[test]
        fn plain_words_survive(expected in proptest::collection::vec("[a-z0-9.:/*-]{1,9}", 0..8)) {
            let found = words(&expected.join("  "), &variables).unwrap();
            prop_assert_eq!(found.into_iter().map(|word| word.text).collect::<Vec<_>>(), expected);
        }

        /// Whatever stands between single quotes is taken as it is.
        #[test]
        fn strong_quotes_keep_everything(text in "[ -&(-~]{0,30}") {
            let found = words(&format!("'{text}'"), &variables).unwrap();
            prop_assert_eq!(&found[0].text, &text);
        }
    }
}
