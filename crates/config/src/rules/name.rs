//! Names that are made of samples: `bk_%[dst_port]`.

use super::rule::{NamePart, NamePattern};
use super::{Context, parse};

/// Reads a backend's name with `%[fetch,converter]` in it; `%%` is a percent sign.
pub(crate) fn name_pattern(text: &str, context: &Context<'_>) -> Result<NamePattern, String> {
    let mut parts = Vec::new();
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        plain.push_str(before);
        if let Some(after) = after.strip_prefix('%') {
            plain.push('%');
            rest = after;
            continue;
        }
        let Some(inside) = after.strip_prefix('[') else {
            return Err(format!(
                "'%' in '{text}' begins nothing that a name can be made of; write %[src] or another fetch in brackets"
            ));
        };
        let Some((expression, after)) = inside.split_once(']') else {
            return Err(format!("'{text}' lacks a ']' after '%['"));
        };
        if !plain.is_empty() {
            parts.push(NamePart::Text(std::mem::take(&mut plain)));
        }
        let (fetch, converters) = parse::sample(expression, context)?;
        parts.push(NamePart::Sample(fetch, converters));
        rest = after;
    }
    plain.push_str(rest);
    if !plain.is_empty() {
        parts.push(NamePart::Text(plain));
    }
    Ok(NamePattern {
        text: text.to_owned(),
        parts,
    })
}
