//! YAML as JSON values, and back.

use std::fmt::Write;

use serde_json::Value;

/// All documents of a text; empty ones are left out.
pub fn documents(text: &str) -> Result<Vec<Value>, String> {
    let mut documents = Vec::new();
    for part in split(text) {
        if part
            .lines()
            .all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'))
        {
            continue;
        }
        let value: Value = serde_saphyr::from_str(part).map_err(|error| error.to_string())?;
        if !value.is_null() {
            documents.push(value);
        }
    }
    Ok(documents)
}

/// The texts between `---` lines.
pub fn split(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut begin = 0;
    let mut offset = 0;
    for line in text.split_inclusive('\n') {
        if line.trim_end() == "---" {
            parts.push(&text[begin..offset]);
            begin = offset + line.len();
        }
        offset += line.len();
    }
    parts.push(&text[begin..]);
    parts
}

/// The first document.
pub fn read(path: &str) -> Option<Value> {
    let text = std::fs::read_to_string(path).ok()?;
    documents(&text).ok()?.into_iter().next()
}

/// A value as YAML, keys in order.
pub fn print(value: &Value) -> String {
    let mut text = String::new();
    block(&mut text, value, 0);
    text
}

fn block(text: &mut String, value: &Value, depth: usize) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (name, field) in fields {
                match field {
                    Value::Object(inner) if !inner.is_empty() => {
                        let _ = writeln!(text, "{indent}{name}:");
                        block(text, field, depth + 1);
                    }
                    Value::Array(items) if !items.is_empty() => {
                        let _ = writeln!(text, "{indent}{name}:");
                        block(text, field, depth);
                    }
                    Value::String(lines) if lines.contains('\n') => {
                        let _ = writeln!(text, "{indent}{name}: |");
                        for line in lines.trim_end_matches('\n').split('\n') {
                            let _ = writeln!(text, "{indent}  {line}");
                        }
                    }
                    scalar => {
                        let _ = writeln!(text, "{indent}{name}: {}", plain(scalar));
                    }
                }
            }
        }
        Value::Array(items) => {
            for item in items {
                let mut inner = String::new();
                block(&mut inner, item, depth + 1);
                let inner = inner.trim_start();
                let _ = write!(text, "{indent}- {inner}");
                if !inner.ends_with('\n') {
                    text.push('\n');
                }
            }
        }
        scalar => {
            let _ = writeln!(text, "{indent}{}", plain(scalar));
        }
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => {
            let bare = !text.is_empty()
                && text.parse::<f64>().is_err()
                && !["true", "false", "null", "yes", "no", "~"].contains(&text.as_str())
                && text.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '/')
                && !text.contains(": ")
                && !text.contains(" #")
                && !text.ends_with(':');
            if bare {
                text.clone()
            } else {
                serde_json::to_string(text).unwrap()
            }
        }
        other => other.to_string(),
    }
}
