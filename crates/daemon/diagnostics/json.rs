//! A message as one JSON object: `timestamp`, `level`, `message`, and what else is known of it under
//! names of their own.

use std::fmt;

use evenkeel_config::{Problem, Severity};
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Level};

/// What the subscriber was told of.
pub(super) fn of_event(event: &Event<'_>) -> String {
    let mut fields = Fields::default();
    event.record(&mut fields);
    let level = match *event.metadata().level() {
        Level::ERROR => "error",
        Level::WARN => "warning",
        Level::INFO => "info",
        _ => "debug",
    };
    object(level, &fields.message, fields.others)
}

/// A mistake in a file, and where.
pub(super) fn of_problem(problem: &Problem) -> String {
    let place = &problem.place;
    let mut others = Map::new();
    others.insert("file".to_owned(), (*place.file).into());
    // 0: the whole file, the whole line.
    for (name, number) in [("line", place.line), ("column", place.column)] {
        if number > 0 {
            others.insert(name.to_owned(), number.into());
        }
    }
    object(level(problem.severity), &problem.message, others)
}

/// A line without a shape of its own.
pub(super) fn of_line(severity: Severity, line: &str) -> String {
    object(level(severity), line.trim_end(), Map::new())
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

fn object(level: &str, message: &str, others: Map<String, Value>) -> String {
    let mut object = Map::new();
    let now = jiff::Zoned::now().strftime(super::TIMESTAMP).to_string();
    object.insert("timestamp".to_owned(), now.into());
    object.insert("level".to_owned(), level.into());
    object.insert("message".to_owned(), message.into());
    object.insert("pid".to_owned(), std::process::id().into());
    object.extend(others);
    Value::Object(object).to_string()
}

/// An event's fields, the message apart.
#[derive(Default)]
struct Fields {
    message: String,
    others: Map<String, Value>,
}

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        self.others.insert(field.name().to_owned(), value);
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}");
        match field.name() {
            "message" => self.message = text,
            _ => self.put(field, text.into()),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => value.clone_into(&mut self.message),
            _ => self.put(field, value.into()),
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }
}

#[cfg(test)]
mod tests {
    use evenkeel_config::Place;

    use super::*;

    #[track_caller]
    fn check(line: &str, expected: Value) {
        assert_eq!(line.lines().count(), 1, "{line}");
        let mut value: Value = serde_json::from_str(line).unwrap();
        let object = value.as_object_mut().unwrap();
        let time = object.remove("timestamp").unwrap();
        let time: Result<jiff::Timestamp, _> = time.as_str().unwrap().parse();
        assert!(time.is_ok(), "{line}");
        assert_eq!(object.remove("pid"), Some(std::process::id().into()));
        assert_eq!(value, expected);
    }

    #[test]
    fn problems_have_their_place_in_fields() {
        let mut place = Place::whole_file("a \"b\".cfg");
        check(
            &of_problem(&Problem::warning(place.clone(), "first\nsecond".to_owned())),
            serde_json::json!({"level": "warning", "message": "first\nsecond", "file": "a \"b\".cfg"}),
        );
        (place.line, place.column) = (12, 9);
        check(
            &of_problem(&Problem::error(place, "no".to_owned())),
            serde_json::json!({"level": "error", "message": "no", "file": "a \"b\".cfg", "line": 12, "column": 9}),
        );
        check(
            &of_line(Severity::Error, "cannot start\n"),
            serde_json::json!({"level": "error", "message": "cannot start"}),
        );
    }

    #[test]
    fn events_have_their_fields() {
        use std::sync::{Arc, Mutex};
        use tracing_subscriber::fmt::MakeWriter;

        #[derive(Clone, Default)]
        struct Kept(Arc<Mutex<Vec<u8>>>);
        impl std::io::Write for Kept {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                self.0.lock().unwrap().extend_from_slice(bytes);
                Ok(bytes.len())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        impl<'a> MakeWriter<'a> for Kept {
            type Writer = Self;
            fn make_writer(&'a self) -> Self {
                self.clone()
            }
        }

        let kept = Kept::default();
        let line = super::super::Line {
            journal: false,
            format: crate::cli::LogFormat::Json,
        };
        let subscriber = tracing_subscriber::fmt()
            .event_format(line)
            .with_writer(kept.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(
                server = "m\"1",
                open = 3,
                gone = true,
                "server is {}",
                "down"
            );
        });
        let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        check(
            &text,
            serde_json::json!({"level": "warning", "message": "server is down", "server": "m\"1", "open": 3, "gone": true}),
        );
    }
}
