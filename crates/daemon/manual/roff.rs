//! Markdown, as far as docs/ use it, to roff with the macros of man(7). Pure.

/// A whole page. Its title becomes the heading, and `about` what whatis(1) knows of it.
pub(super) fn page(
    title: &str,
    section: &str,
    source: &str,
    about: &str,
    markdown: &str,
) -> String {
    let mut page = Writer {
        text: format!(
            ".TH {} {section} \"\" \"{source}\"\n.SH NAME\n{} \\- {}\n",
            title.to_uppercase().replace('-', "\\-"),
            title.replace('-', "\\-"),
            inline(about),
        ),
    };
    page.markdown(markdown);
    page.text
}

struct Writer {
    text: String,
}

impl Writer {
    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    fn markdown(&mut self, markdown: &str) {
        let mut lines = markdown.lines().peekable();
        while let Some(line) = lines.next() {
            if let Some(heading) = line.strip_prefix("### ") {
                self.line(&format!(".SS {}", argument(heading)));
            } else if let Some(heading) = line.strip_prefix("## ") {
                self.line(&format!(".SH {}", argument(&heading.to_uppercase())));
            } else if line.starts_with("```") {
                self.line(".PP\n.EX");
                for code in lines.by_ref().take_while(|line| !line.starts_with("```")) {
                    self.line(&literal(code));
                }
                self.line(".EE");
            } else if line.starts_with('|') {
                let header = cells(line);
                // The line of dashes.
                lines.next();
                while let Some(row) = lines.next_if(|line| line.starts_with('|')) {
                    self.row(&header, &cells(row));
                }
            } else if let Some(item) = line.strip_prefix("- ") {
                let rest = std::iter::from_fn(|| lines.next_if(|line| line.starts_with("  ")));
                let item = joined(item, rest);
                self.line(".IP \\(bu 2");
                self.line(&inline(&item));
            } else if !line.is_empty() {
                let special = |line: &str| {
                    line.is_empty() || line.starts_with(['#', '|']) || line.starts_with("- ")
                };
                let rest = std::iter::from_fn(|| lines.next_if(|line| !special(line)));
                let paragraph = joined(line, rest);
                self.line(".PP");
                self.line(&inline(&paragraph));
            }
        }
    }

    /// A row of a table: its first cell is what is looked up, the rest says what it means.
    fn row(&mut self, header: &[String], cells: &[String]) {
        let cell = |name: &str| {
            let at = header.iter().position(|known| known == name)?;
            cells
                .get(at)
                .map(String::as_str)
                .filter(|cell| !cell.is_empty())
        };
        let name = cells.first().map_or("", String::as_str).replace('`', "");
        let mut tag = bold(&name);
        let mut meaning = Vec::new();
        if let Some(argument) = cell("argument") {
            // Directly behind the name where nothing may stand between them.
            tag.push_str(&italic_words(argument));
        }
        if let Some(value) = cell("value") {
            tag.push_str(&format!(" = {}", inline(value)));
        }
        if let Some(sections) = cell("sections") {
            tag.push_str(&format!(" ({})", inline(sections)));
        }
        if let Some(verdict) = cell("verdict") {
            let remark = cell("remark").map(|remark| format!(": {remark}"));
            meaning.push(format!("{verdict}{}.", remark.unwrap_or_default()));
        }
        for column in ["meaning", "what happens"] {
            meaning.extend(cell(column).map(|text| format!("{}.", text.trim_end_matches('.'))));
        }
        meaning.extend(cell("default").map(|default| format!("Default: {default}.")));
        meaning.extend(cell("exit").map(|exit| format!("Exit status: {exit}.")));
        self.line(".TP");
        self.line(&tag);
        self.line(&inline(&meaning.join(" ")));
    }
}

/// The cells of a row; `\|` is a bar within one.
fn cells(row: &str) -> Vec<String> {
    let row = row.trim().trim_start_matches('|');
    let row = row.strip_suffix('|').unwrap_or(row).replace("\\|", "\u{1}");
    row.split('|')
        .map(|cell| {
            let cell = cell.strip_prefix(' ').unwrap_or(cell);
            cell.trim_end().replace('\u{1}', "|")
        })
        .collect()
}

fn joined<'a>(first: &'a str, rest: impl Iterator<Item = &'a str>) -> String {
    let mut text = first.trim().to_owned();
    for line in rest {
        text.push(' ');
        text.push_str(line.trim());
    }
    text
}

/// The argument of a macro, one word for it.
fn argument(text: &str) -> String {
    let text = inline(&text.replace('`', "")).replace('"', "\\(dq");
    if text.contains(' ') {
        format!("\"{text}\"")
    } else {
        text
    }
}

/// Text with `code`, **strong**, *emphasis* and [links](to.somewhere).
fn inline(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['`', '[', '*']) {
        let (before, from) = rest.split_at(at);
        out.push_str(&escaped(before));
        let (marked, after) = if let Some((code, after)) = enclosed(from, "`", "`") {
            (bold(code), after)
        } else if let Some((strong, after)) = enclosed(from, "**", "**") {
            (bold(strong), after)
        } else if let Some((words, after)) = enclosed(from, "*", "*") {
            (format!("\\fI{}\\fR", escaped(words)), after)
        } else if let Some((words, after)) = link(from) {
            (inline(words), after)
        } else {
            (escaped(&from[..1]), &from[1..])
        };
        out.push_str(&marked);
        rest = after;
    }
    out.push_str(&escaped(rest));
    guarded(out)
}

fn enclosed<'a>(text: &'a str, open: &str, close: &str) -> Option<(&'a str, &'a str)> {
    let (inner, after) = text.strip_prefix(open)?.split_once(close)?;
    (!inner.is_empty() && !inner.starts_with(' ')).then_some((inner, after))
}

/// The words of a link; where it goes is of no use on paper.
fn link(text: &str) -> Option<(&str, &str)> {
    let (words, rest) = text.strip_prefix('[')?.split_once("](")?;
    let (_, after) = rest.split_once(')')?;
    (!words.contains('[')).then_some((words, after))
}

fn bold(text: &str) -> String {
    format!("\\fB{}\\fR", escaped(text))
}

/// Placeholders in italics, what is typed as it stands in bold: `[--json] FILE...`.
fn italic_words(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while !rest.is_empty() {
        let is_word = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_');
        let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        if word.is_empty() {
            let end = rest.chars().next().map_or(0, char::len_utf8);
            out.push_str(&escaped(&rest[..end]));
            rest = &rest[end..];
            continue;
        }
        let typed = word.starts_with('-') || word.chars().any(char::is_lowercase);
        let font = if typed { 'B' } else { 'I' };
        out.push_str(&format!("\\f{font}{}\\fR", escaped(word)));
        rest = after;
    }
    out
}

/// A line of an example.
fn literal(line: &str) -> String {
    guarded(escaped(line))
}

/// A line that begins as a request does would be taken for one.
fn guarded(line: String) -> String {
    if line.starts_with(['.', '\'']) {
        format!("\\&{line}")
    } else {
        line
    }
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\e"),
            '-' => out.push_str("\\-"),
            '\'' => out.push_str("\\(aq"),
            '`' => out.push_str("\\(ga"),
            '^' => out.push_str("\\(ha"),
            '~' => out.push_str("\\(ti"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(markdown: &str, expected: &str) {
        let mut writer = Writer {
            text: String::new(),
        };
        writer.markdown(markdown);
        assert_eq!(writer.text, expected);
    }

    #[test]
    fn what_roff_would_take_for_its_own_is_escaped() {
        check(
            ".start of `a-b` it's\nC:\\x",
            ".PP\n\\&.start of \\fBa\\-b\\fR it\\(aqs C:\\ex\n",
        );
        check(
            "```\n.if a\n  'b\n```\n",
            ".PP\n.EX\n\\&.if a\n  \\(aqb\n.EE\n",
        );
    }

    #[test]
    fn marks_become_fonts_and_links_their_words() {
        check(
            "see [the *list*](x.md), **not** `[a]` or a * b",
            ".PP\nsee the \\fIlist\\fR, \\fBnot\\fR \\fB[a]\\fR or a * b\n",
        );
        check(
            "- one\n  more\n- two",
            ".IP \\(bu 2\none more\n.IP \\(bu 2\ntwo\n",
        );
    }

    #[test]
    fn headings_and_tables_become_sections_and_entries() {
        check("## `[admin]`\n### a b", ".SH [ADMIN]\n.SS \"a b\"\n");
        check(
            "| key | value | default | meaning |\n|---|---|---|---|\n| `a-b` | time | none | Waits. |\n",
            ".TP\n\\fBa\\-b\\fR = time\nWaits. Default: none.\n",
        );
        check(
            "| option | argument | meaning |\n|---|---|---|\n| -f |  FILE\\|DIR | load it |\n",
            ".TP\n\\fB\\-f\\fR \\fIFILE\\fR|\\fIDIR\\fR\nload it.\n",
        );
    }
}
