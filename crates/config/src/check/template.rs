//! Texts that a check puts together when it runs: the small part of HAProxy's log-format that has
//! a meaning in a check.

/// A text with parts that are known only when the check runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Template {
    /// Its parts, in order.
    pub pieces: Vec<Piece>,
}

/// A part of a [`Template`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// As it stands.
    Text(Vec<u8>),
    /// What an expression gives.
    Value(Expression),
}

/// A sample and what is made of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expression {
    /// Where the value comes from.
    pub sample: Sample,
    /// Applied in order.
    pub converters: Vec<Converter>,
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sample {
    /// `str(...)`, `int(...)`, `bool(...)`.
    Constant(Vec<u8>),
    /// `%b`, `be_name`.
    Backend,
    /// `%s`, `srv_name`.
    Server,
    /// `%H`, `hostname`.
    Host,
    /// `var(...)`.
    Variable(String),
    /// `status`: HTTP's.
    Status,
    /// `res.hdr(...)`: the last header of this name.
    Header(String),
    /// `res.body`.
    Body,
    /// `res.payload(offset,length)` and `check.payload(...)`; a length of 0 takes all.
    Payload {
        /// Bytes to skip.
        offset: usize,
        /// Bytes to take.
        length: usize,
    },
}

/// What is made of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Converter {
    /// `upper`.
    Upper,
    /// `lower`.
    Lower,
    /// `cut_crlf`: up to the first line end.
    CutCrlf,
    /// `length`.
    Length,
    /// `hex`.
    Hex,
}

impl Template {
    /// A text as it stands.
    #[must_use]
    pub fn literal(text: impl Into<Vec<u8>>) -> Self {
        let text = text.into();
        let pieces = if text.is_empty() {
            Vec::new()
        } else {
            vec![Piece::Text(text)]
        };
        Self { pieces }
    }

    /// Whether it is a text as it stands.
    #[must_use]
    pub fn is_literal(&self) -> bool {
        self.pieces
            .iter()
            .all(|piece| matches!(piece, Piece::Text(_)))
    }

    /// Whether it is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    pub(super) fn value(sample: Sample, converters: &[Converter]) -> Self {
        let value = Expression {
            sample,
            converters: converters.to_vec(),
        };
        Self {
            pieces: vec![Piece::Value(value)],
        }
    }

    /// Reads `text`: `%b`, `%s`, `%H`, `%%` and `%[expression]`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('%') {
            plain.push_str(before);
            if let Some(more) = after.strip_prefix('%') {
                plain.push('%');
                rest = more;
                continue;
            }
            if !plain.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut plain).into_bytes()));
            }
            let simple = |sample| {
                Piece::Value(Expression {
                    sample,
                    converters: Vec::new(),
                })
            };
            let (piece, more) = match after.chars().next() {
                Some('b') => (simple(Sample::Backend), &after[1..]),
                Some('s') => (simple(Sample::Server), &after[1..]),
                Some('H') => (simple(Sample::Host), &after[1..]),
                Some('[') => {
                    let Some((inside, more)) = after[1..].split_once(']') else {
                        return Err(format!("'%[' without ']' in '{text}'"));
                    };
                    (Piece::Value(Expression::parse(inside)?), more)
                }
                _ => {
                    let shown: String = after.chars().take(8).collect();
                    return Err(format!(
                        "'%{shown}' has no meaning in a check; write %b, %s, %H, %[expression], \
                         or %% for a percent sign"
                    ));
                }
            };
            pieces.push(piece);
            rest = more;
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain.into_bytes()));
        }
        Ok(Self { pieces })
    }
}

/// The samples and converters that [`Expression::parse`] knows, for its messages.
const SAMPLES: &str = "str(), int(), bool(), var(), srv_name, be_name, hostname, status, \
                       res.hdr(), res.body, res.payload() and check.payload()";
const CONVERTERS: &str = "upper, lower, cut_crlf, length and hex";

impl Expression {
    /// Reads `sample(arguments),converter,converter`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut parts = split_outside_brackets(text).into_iter();
        let first = parts.next().unwrap_or_default();
        let sample = sample(first)?;
        let converters = parts.map(converter).collect::<Result<_, _>>()?;
        Ok(Self { sample, converters })
    }
}

fn sample(text: &str) -> Result<Sample, String> {
    let (name, argument) = match text.split_once('(') {
        Some((name, rest)) => match rest.strip_suffix(')') {
            Some(argument) => (name, Some(argument)),
            None => return Err(format!("')' is missing in '{text}'")),
        },
        None => (text, None),
    };
    let needed = || argument.ok_or_else(|| format!("'{name}' needs an argument in brackets"));
    Ok(match name {
        "str" => Sample::Constant(needed()?.as_bytes().to_vec()),
        "int" => {
            let number: i64 = needed()?
                .parse()
                .map_err(|_| format!("'{text}' needs a whole number"))?;
            Sample::Constant(number.to_string().into_bytes())
        }
        "bool" => match needed()? {
            "true" | "1" => Sample::Constant(b"1".to_vec()),
            "false" | "0" => Sample::Constant(b"0".to_vec()),
            _ => return Err(format!("'{text}' needs true or false")),
        },
        "var" => Sample::Variable(variable(needed()?)?),
        "srv_name" => Sample::Server,
        "be_name" => Sample::Backend,
        "hostname" => Sample::Host,
        "status" => Sample::Status,
        "res.hdr" | "res.fhdr" => Sample::Header(needed()?.to_ascii_lowercase()),
        "res.body" => Sample::Body,
        "res.payload" | "check.payload" => {
            let wrong = || format!("'{text}' needs an offset and a length, such as {name}(0,0)");
            let (offset, length) = needed()?.split_once(',').ok_or_else(wrong)?;
            let number = |text: &str| text.trim().parse().map_err(|_| wrong());
            Sample::Payload {
                offset: number(offset)?,
                length: number(length)?,
            }
        }
        other => {
            return Err(format!(
                "'{other}' is not known in checks; there are {SAMPLES}"
            ));
        }
    })
}

fn converter(text: &str) -> Result<Converter, String> {
    Ok(match text {
        "upper" => Converter::Upper,
        "lower" => Converter::Lower,
        "cut_crlf" => Converter::CutCrlf,
        "length" => Converter::Length,
        "hex" => Converter::Hex,
        other => {
            return Err(format!(
                "the converter '{other}' is not known in checks; there are {CONVERTERS}"
            ));
        }
    })
}

/// A variable's name, if checks have such variables.
pub(super) fn variable(text: &str) -> Result<String, String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let has_scope = ["check.", "sess."]
        .iter()
        .any(|scope| text.len() > scope.len() && text.starts_with(scope));
    if has_scope && text.chars().all(is_name) {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "'{text}' is not the name of a check's variable; write check.NAME"
        ))
    }
}

fn split_outside_brackets(text: &str) -> Vec<&str> {
    let mut depth = 0_u32;
    let mut parts = Vec::new();
    let mut start = 0;
    for (index, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(text[start..index].trim());
                start = index + 1;
            }
            _ => {}
        }
    }
    parts.push(text[start..].trim());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_has_text_and_values() {
        let template = Template::parse("a%%b %b/%s %[res.payload(0,2),upper]!").unwrap();
        let simple = |sample| {
            Piece::Value(Expression {
                sample,
                converters: Vec::new(),
            })
        };
        let expected = [
            Piece::Text(b"a%b ".to_vec()),
            simple(Sample::Backend),
            Piece::Text(b"/".to_vec()),
            simple(Sample::Server),
            Piece::Text(b" ".to_vec()),
            Piece::Value(Expression {
                sample: Sample::Payload {
                    offset: 0,
                    length: 2,
                },
                converters: vec![Converter::Upper],
            }),
            Piece::Text(b"!".to_vec()),
        ];
        assert_eq!(template.pieces, expected);
    }

    #[test]
    fn what_a_check_cannot_know_is_refused() {
        for text in [
            "%x",
            "%",
            "%[src]",
            "%[str(a]",
            "%[str(a),sha1]",
            "%[int(x)]",
        ] {
            assert!(Template::parse(text).is_err(), "{text}");
        }
        assert!(Template::parse("100%%").unwrap().is_literal());
    }
}
