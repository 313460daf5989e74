//! The statistics in their three forms: CSV, typed and JSON.

use std::fmt::Write as _;

use evenkeel_proxy::Snapshot;

use super::Cell::{Empty, Text};
use super::{Cell, FIELDS, Form, Wanted, cells, rows};
use crate::columns::COLUMNS;

const INFALLIBLE: &str = "writing to a String does not fail";

/// `show stat`. What HAProxy has after its `-` is of modules that are not here.
pub(crate) fn csv(snapshot: &Snapshot, wanted: &Wanted) -> String {
    let mut text = String::from("# ");
    for field in FIELDS {
        text.push_str(field);
        text.push(',');
    }
    text.push_str("-,\n");
    for row in rows(snapshot, wanted) {
        let mut next = 0;
        for (position, _, cell) in cells(&row, wanted) {
            text.extend(std::iter::repeat_n(',', position - next));
            match cell {
                Text(value) => text.push_str(&quoted(&value)),
                cell => write!(text, "{cell}").expect(INFALLIBLE),
            }
            next = position;
        }
        text.extend(std::iter::repeat_n(',', FIELDS.len() - next));
        text.push_str("-,\n");
    }
    text
}

/// A CSV value (RFC 4180): in quotes where it has to be.
fn quoted(value: &str) -> std::borrow::Cow<'_, str> {
    if value.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", value.replace('"', "\"\"")).into()
    } else {
        value.into()
    }
}

/// `show stat typed`, with what each field is where `explained`.
pub(crate) fn typed(snapshot: &Snapshot, wanted: &Wanted, explained: bool) -> String {
    let mut text = String::new();
    for row in rows(snapshot, wanted) {
        let (letter, (proxy, server)) = (row.object().0, row.ids());
        for (position, stat, cell) in cells(&row, wanted) {
            let (field, tags, form) = (stat.field, row.tags(&stat), stat.form.name());
            write!(
                text,
                "{letter}.{proxy}.{server}.{position}.{field}.1:{tags}:{form}:"
            )
            .expect(INFALLIBLE);
            write!(text, "{cell}").expect(INFALLIBLE);
            if explained {
                write!(text, ":\"{}\"", explanation(field)).expect(INFALLIBLE);
            }
            text.push('\n');
        }
        text.push('\n');
    }
    text
}

/// What a field means, in the words of the metric.
fn explanation(field: &str) -> &'static str {
    let mut all = COLUMNS.iter();
    all.find(|column| column.stat.is_some_and(|stat| stat.field == field))
        .map_or("", |column| column.help)
}

/// `show stat json`.
pub(crate) fn json(snapshot: &Snapshot, wanted: &Wanted) -> String {
    let mut text = String::from("[");
    for (index, row) in rows(snapshot, wanted).iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        let (word, (proxy, server)) = (row.object().1, row.ids());
        text.push('[');
        for (index, (position, stat, cell)) in cells(row, wanted).enumerate() {
            if index > 0 {
                text.push(',');
            }
            write!(
                text,
                "{{\"objType\":\"{word}\",\"proxyId\":{proxy},\"id\":{server},"
            )
            .expect(INFALLIBLE);
            let tags = row.tags(&stat);
            json_field(&mut text, position, stat.field, tags, stat.form, &cell);
        }
        text.push(']');
    }
    text.push_str("]\n");
    text
}

/// The members that a field has in JSON, `show info json`'s too, and the brace that ends it.
pub(crate) fn json_field(
    text: &mut String,
    position: usize,
    field: &str,
    tags: &str,
    form: Form,
    cell: &Cell,
) {
    let [origin, nature, scope] = words(tags);
    write!(
        text,
        "\"field\":{{\"pos\":{position},\"name\":\"{field}\"}},\"processNum\":1,\
         \"tags\":{{\"origin\":\"{origin}\",\"nature\":\"{nature}\",\"scope\":\"{scope}\"}},\
         \"value\":{{\"type\":\"{}\",\"value\":",
        form.name()
    )
    .expect(INFALLIBLE);
    match cell {
        Empty => text.push_str("null"),
        Text(value) => write!(text, "\"{}\"", escaped(value)).expect(INFALLIBLE),
        cell => write!(text, "{cell}").expect(INFALLIBLE),
    }
    text.push_str("}}");
}

/// A JSON string's inside.
fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            '"' | '\\' => text.extend(['\\', c]),
            c if u32::from(c) < 0x20 => {
                write!(text, "\\u{:04x}", u32::from(c)).expect(INFALLIBLE);
            }
            c => text.push(c),
        }
    }
    text
}

/// HAProxy's words for the three letters.
fn words(tags: &str) -> [&'static str; 3] {
    let mut letters = tags.chars();
    let origin = match letters.next() {
        Some('M') => "Metric",
        Some('S') => "Status",
        Some('K') => "Key",
        Some('C') => "Config",
        Some('P') => "Product",
        _ => "Unknown",
    };
    let nature = match letters.next() {
        Some('G') => "Gauge",
        Some('L') => "Limit",
        Some('M') => "Max",
        Some('m') => "Min",
        Some('R') => "Rate",
        Some('C') => "Counter",
        Some('D') => "Duration",
        Some('A') => "Age",
        Some('a') => "Avg",
        Some('T') => "Time",
        Some('N') => "Name",
        Some('O') => "Output",
        _ => "Unknown",
    };
    let scope = match letters.next() {
        Some('S') => "Service",
        Some('P') => "Process",
        Some('C') => "Cluster",
        Some('Y') => "System",
        _ => "Unknown",
    };
    [origin, nature, scope]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_with_commas_are_quoted() {
        assert_eq!(quoted("plain"), "plain");
        assert_eq!(quoted("a, \"b\""), "\"a, \"\"b\"\"\"");
        assert_eq!(escaped("a\"\n"), "a\\\"\\u000a");
    }
}
