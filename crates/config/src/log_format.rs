//! Reads a `log-format` into a [`LogLine`] (HAProxy manual, section 8.2.6).

use crate::model::log_line::VARIABLES;
use crate::resolve::did_you_mean;
use crate::rules::{Converter, Fetch};
use crate::{LogEncoding, LogField, LogItem, LogLine, LogMoment, LogStyle};

/// Reads samples: what stands between `%[` and `]`.
pub(crate) type SampleReader<'a> = &'a dyn Fn(&str) -> Result<(Fetch, Vec<Converter>), String>;

/// Reads a whole line.
///
/// # Errors
///
/// What is wrong with it, and what would be right.
pub(crate) fn parse(text: &str, sample: SampleReader<'_>) -> Result<LogLine, String> {
    let mut reader = Reader {
        rest: text,
        style: LogStyle::default(),
        encoding: LogEncoding::Plain,
        items: Vec::new(),
        moment: LogMoment::Connected,
        sample,
    };
    while !reader.rest.is_empty() {
        reader.item()?;
    }
    Ok(LogLine {
        text: text.to_owned(),
        encoding: reader.encoding,
        items: reader.items,
        moment: reader.moment,
    })
}

struct Reader<'a> {
    rest: &'a str,
    /// What `%o` has set for all that follow.
    style: LogStyle,
    encoding: LogEncoding,
    items: Vec<LogItem>,
    moment: LogMoment,
    sample: SampleReader<'a>,
}

impl Reader<'_> {
    fn item(&mut self) -> Result<(), String> {
        let Some(rest) = self.rest.strip_prefix('%') else {
            let end = self.rest.find('%').unwrap_or(self.rest.len());
            self.text(&self.rest[..end]);
            self.rest = &self.rest[end..];
            return Ok(());
        };
        if let Some(rest) = rest.strip_prefix('%') {
            self.text("%");
            self.rest = rest;
            return Ok(());
        }
        self.rest = rest;
        let name = self.name()?;
        let (style, encoding) = self.arguments()?;
        if let Some(rest) = self.rest.strip_prefix('[') {
            let end =
                end_of_sample(rest).ok_or_else(|| format!("']' is missing after '%[{rest}'"))?;
            let (fetch, converters) = (self.sample)(&rest[..end])?;
            let field = LogField::Sample(fetch, converters);
            self.rest = &rest[end + 1..];
            self.items.push(LogItem::Field { field, style, name });
            return Ok(());
        }
        let end = self.rest.find(|c: char| !c.is_ascii_alphanumeric());
        let (word, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        if word == "o" {
            self.style = style;
            self.encoding = encoding.unwrap_or(self.encoding);
            return Ok(());
        }
        if word.is_empty() {
            return Err(
                "a variable's name is missing after '%'; write '%%' for the character itself"
                    .to_owned(),
            );
        }
        let (field, moment) = find(word)?;
        self.moment = self.moment.max(moment);
        self.items.push(LogItem::Field { field, style, name });
        Ok(())
    }

    /// Adds to the text; spaces in a row are one.
    fn text(&mut self, more: &str) {
        if !matches!(self.items.last(), Some(LogItem::Text(_))) {
            self.items.push(LogItem::Text(String::new()));
        }
        let Some(LogItem::Text(text)) = self.items.last_mut() else {
            return;
        };
        for c in more.chars() {
            if c != ' ' || !text.ends_with(' ') {
                text.push(c);
            }
        }
    }

    /// `(name)` or `(name:type)`.
    fn name(&mut self) -> Result<Option<String>, String> {
        let Some(rest) = self.rest.strip_prefix('(') else {
            return Ok(None);
        };
        let end = rest
            .find(')')
            .ok_or_else(|| format!("')' is missing after '%({rest}'"))?;
        self.rest = &rest[end + 1..];
        let (name, kind) = rest[..end].split_once(':').unwrap_or((&rest[..end], "str"));
        if !matches!(kind, "str" | "sint" | "bool") {
            return Err(format!(
                "unknown type '{kind}' of item '{name}'; use str, sint or bool"
            ));
        }
        Ok(Some(name.to_owned()).filter(|name| !name.is_empty()))
    }

    /// `{+Q,-X}`.
    fn arguments(&mut self) -> Result<(LogStyle, Option<LogEncoding>), String> {
        let mut style = self.style;
        let mut encoding = None;
        let Some(rest) = self.rest.strip_prefix('{') else {
            return Ok((style, encoding));
        };
        let end = rest
            .find('}')
            .ok_or_else(|| format!("'}}' is missing after '%{{{rest}'"))?;
        self.rest = &rest[end + 1..];
        for word in rest[..end].split(',') {
            let on = word.starts_with('+');
            match word.trim_start_matches(['+', '-']) {
                "Q" => style.quote = on,
                "X" => style.hex = on,
                "E" => style.escape = on,
                "json" => {
                    encoding = Some(if on {
                        LogEncoding::Json
                    } else {
                        LogEncoding::Plain
                    })
                }
                "cbor" | "bin" => {
                    return Err(format!(
                        "'{word}' is not supported: lines are text; use '+json'"
                    ));
                }
                // HAProxy takes any other flag without a word.
                _ => {}
            }
        }
        Ok((style, encoding))
    }
}

/// Where the sample ends that begins here: its `]`, those between its parentheses aside.
fn end_of_sample(text: &str) -> Option<usize> {
    let mut depth = 0_u32;
    for (index, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ']' if depth == 0 => return Some(index),
            _ => {}
        }
    }
    None
}

fn find(word: &str) -> Result<(LogField, LogMoment), String> {
    let known = VARIABLES.iter().find(|(name, _, _)| *name == word);
    let found = known.map(|(_, field, moment)| (field.clone(), *moment));
    found.ok_or_else(|| {
        let hint = did_you_mean(word, VARIABLES.iter().map(|(name, _, _)| *name));
        format!("unknown variable '%{word}'{hint}; write '%%' for the character '%' itself")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<LogLine, String> {
        parse(text, &|sample| Err(format!("no samples here: {sample}")))
    }

    fn field(field: LogField, style: LogStyle) -> LogItem {
        LogItem::Field {
            field,
            style,
            name: None,
        }
    }

    #[test]
    fn text_and_variables_stand_in_their_order() {
        let plain = LogStyle::default();
        let line = read("%ci:%cp  100%% [%t]").unwrap();
        assert_eq!(
            line.items,
            [
                field(LogField::ClientIp, plain),
                LogItem::Text(":".to_owned()),
                field(LogField::ClientPort, plain),
                LogItem::Text(" 100% [".to_owned()),
                field(LogField::Date, plain),
                LogItem::Text("]".to_owned()),
            ]
        );
    }

    #[test]
    fn flags_are_for_one_item_or_with_o_for_all_that_follow() {
        let styles = |text: &str| -> Vec<(bool, bool)> {
            let line = read(text).unwrap();
            let fields = line.items.iter().filter_map(|item| match item {
                LogItem::Field { style, .. } => Some((style.quote, style.hex)),
                LogItem::Text(_) => None,
            });
            fields.collect()
        };
        assert_eq!(styles("%{+Q}b%s"), [(true, false), (false, false)]);
        assert_eq!(
            styles("%b%{+Q,+X}o%s%{-Q}f%cp"),
            [(false, false), (true, true), (false, true), (true, true)]
        );
    }

    #[test]
    fn what_is_wrong_is_told() {
        for (text, message) in [
            ("%zz", "unknown variable '%zz'"),
            ("%CI", "did you mean"),
            ("100%", "write '%%'"),
            ("%{+Qb", "'}' is missing"),
            ("%(name b", "')' is missing"),
            ("%[src", "']' is missing"),
            ("%{+cbor}o %ci", "use '+json'"),
            ("%(a:list)ci", "unknown type 'list'"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(message), "{text}: {error}");
        }
    }

    #[test]
    fn a_line_is_written_as_soon_as_all_is_known() {
        for (text, moment) in [
            ("%ci %b %s %t", LogMoment::Connected),
            ("%ci %Tt", LogMoment::End),
            ("%ci %ts", LogMoment::End),
            ("%ci %ID", LogMoment::End),
            ("nothing", LogMoment::Connected),
        ] {
            assert_eq!(read(text).unwrap().moment, moment, "{text}");
        }
    }
}
