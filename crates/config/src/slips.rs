//! Slips that come from where a text was copied from: a web page, a word processor, a template.
//! What a message says in addition, so that whoever looks at the line sees what is not seen.

/// What is odd about a word, and what would be right, from `; ` on; empty where nothing is known.
pub(crate) fn slip(word: &str) -> String {
    let invisible = |c: &char| matches!(c, '\u{a0}' | '\u{2000}'..='\u{200f}' | '\u{2028}'..='\u{202f}' | '\u{3000}' | '\u{feff}');
    if let Some(c) = word.chars().find(invisible) {
        return format!(
            "; it has the invisible character U+{:04X} in it, write an ordinary space",
            u32::from(c)
        );
    }
    if ["{{", "{%", "}}", "%}", "<%", "%>"]
        .iter()
        .any(|mark| word.contains(mark))
    {
        return "; it is part of a template, which is to be filled in first".to_owned();
    }
    if let Some((_, rest)) = word.split_once('<')
        && rest.contains('>')
    {
        return "; put the real value in place of <...>".to_owned();
    }
    for c in word.chars() {
        let right = match c {
            '“' | '”' | '„' | '‟' | '«' | '»' => '"',
            '‘' | '’' | '‚' | '‛' => '\'',
            '‐'..='―' | '−' => '-',
            '：' => ':',
            '，' => ',',
            '．' | '。' => '.',
            '＊' => '*',
            _ => continue,
        };
        return format!("; '{c}' is not the character of programs, write {right}");
    }
    if word == "\\" {
        return "; lines are not continued by a backslash, write all of it in one line".to_owned();
    }
    if word.starts_with("//") || word.starts_with("/*") || word.starts_with(';') {
        return "; a comment begins with '#'".to_owned();
    }
    if word.contains("://") {
        return "; it is a URL, write HOST:PORT".to_owned();
    }
    if word.len() > 1 && word.chars().all(|c| c == '.') {
        return "; it stands for lines that were left out, remove it".to_owned();
    }
    String::new()
}

#[cfg(test)]
mod tests {
    use super::slip;

    #[test]
    fn every_slip() {
        for (word, expected) in [
            ("\u{a0}bind", "U+00A0"),
            ("\u{2028}", "U+2028"),
            ("\u{3000}bind", "U+3000"),
            ("{{", "template"),
            ("{%", "template"),
            ("<MASTER_IP>:6443", "<...>"),
            ("“10”", "write \""),
            ("‘a’", "write '"),
            ("–weight", "write -"),
            ("10.0.0.1：6443", "write :"),
            ("\\", "in one line"),
            ("//", "'#'"),
            ("https://10.0.0.1:6443", "HOST:PORT"),
            ("...", "remove it"),
            ("bind", ""),
            ("/dev/log", ""),
            ("a<b", ""),
            (".", ""),
        ] {
            let found = slip(word);
            assert!(
                found.contains(expected) && found.is_empty() == expected.is_empty(),
                "{word}: {found}"
            );
        }
    }
}
