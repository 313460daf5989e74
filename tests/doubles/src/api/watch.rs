//! Bodies of answers: whole ones, and those of a watch, which end when the client goes.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::Response;
use hyper::body::{Bytes, Frame};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::resources::{Kind, Target};
use super::serve::{Answer, Ask};
use super::{Api, table};

/// How often the state is looked at.
const PERIOD: Duration = Duration::from_millis(50);
/// Longest that a watch lasts, unless it asks for less.
const LIMIT: u64 = 600;

/// What comes from a channel, and then the end.
pub struct Body(mpsc::Receiver<Bytes>);

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.0
            .poll_recv(context)
            .map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }
}

/// An answer of which all is known.
pub fn whole(answer: Answer) -> Response<Body> {
    let (sender, receiver) = mpsc::channel(1);
    let _ = sender.try_send(Bytes::from(answer.body));
    Response::builder()
        .status(answer.status)
        .header("content-type", answer.kind)
        .body(Body(receiver))
        .unwrap()
}

/// Which objects are meant.
pub struct Selection {
    pub kind: &'static Kind,
    pub prefix: String,
    fields: Vec<(String, bool, String)>,
    labels: Vec<Label>,
}

enum Label {
    Is(String, Vec<String>),
    IsNot(String, Vec<String>),
    Exists(String),
    Lacks(String),
}

impl Selection {
    pub fn new(ask: &Ask, target: &Target) -> Self {
        let prefix = match &target.namespace {
            Some(_) => target.key(),
            None => format!("{}/{}/", target.kind.group, target.kind.plural),
        };
        let fields = ask
            .query("fieldSelector")
            .unwrap_or_default()
            .split(',')
            .filter_map(|term| {
                if let Some((path, value)) = term.split_once("!=") {
                    return Some((path.to_owned(), false, value.to_owned()));
                }
                let (path, value) = term.split_once('=')?;
                Some((
                    path.to_owned(),
                    true,
                    value.trim_start_matches('=').to_owned(),
                ))
            })
            .collect();
        Self {
            kind: target.kind,
            prefix,
            fields,
            labels: labels(ask.query("labelSelector").unwrap_or_default()),
        }
    }

    pub fn takes(&self, key: &str, object: &Value) -> bool {
        key.starts_with(&self.prefix)
            && self.fields.iter().all(|(path, is, value)| {
                let pointer = format!("/{}", path.replace('.', "/"));
                let found = object.pointer(&pointer).and_then(Value::as_str);
                (found.unwrap_or_default() == value) == *is
            })
            && self.labels.iter().all(|label| {
                let of = |name: &String| object["metadata"]["labels"][name].as_str();
                match label {
                    Label::Is(name, values) => {
                        of(name).is_some_and(|value| values.iter().any(|one| one == value))
                    }
                    Label::IsNot(name, values) => {
                        of(name).is_none_or(|value| values.iter().all(|one| one != value))
                    }
                    Label::Exists(name) => of(name).is_some(),
                    Label::Lacks(name) => of(name).is_none(),
                }
            })
    }
}

/// Splits at commas that are not inside of brackets.
fn labels(text: &str) -> Vec<Label> {
    let mut terms = Vec::new();
    let mut depth = 0;
    let mut term = String::new();
    for character in text.chars() {
        match character {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                terms.push(std::mem::take(&mut term));
                continue;
            }
            _ => {}
        }
        term.push(character);
    }
    terms.push(term);
    terms
        .iter()
        .map(|term| term.trim())
        .filter(|term| !term.is_empty())
        .map(|term| {
            let set = |text: &str| {
                text.trim_matches(|bracket| matches!(bracket, ' ' | '(' | ')'))
                    .split(',')
                    .map(|value| value.trim().to_owned())
                    .collect()
            };
            if let Some((name, values)) = term.split_once(" notin ") {
                Label::IsNot(name.trim().to_owned(), set(values))
            } else if let Some((name, values)) = term.split_once(" in ") {
                Label::Is(name.trim().to_owned(), set(values))
            } else if let Some((name, value)) = term.split_once("!=") {
                Label::IsNot(name.to_owned(), vec![value.to_owned()])
            } else if let Some((name, value)) = term.split_once('=') {
                Label::Is(
                    name.to_owned(),
                    vec![value.trim_start_matches('=').to_owned()],
                )
            } else if let Some(name) = term.strip_prefix('!') {
                Label::Lacks(name.to_owned())
            } else {
                Label::Exists(term.to_owned())
            }
        })
        .collect()
}

/// A watch that is to be streamed.
pub struct Watch {
    selection: Selection,
    since: Option<u64>,
    as_table: bool,
    limit: Duration,
}

impl Watch {
    pub fn new(ask: &Ask, selection: Selection) -> Self {
        let since = ask
            .query("resourceVersion")
            .and_then(|text| text.parse().ok())
            .filter(|since| *since > 0);
        let limit = ask
            .query("timeoutSeconds")
            .and_then(|text| text.parse().ok())
            .unwrap_or(LIMIT);
        Self {
            selection,
            since,
            as_table: table::is_wanted(&ask.accept),
            limit: Duration::from_secs(limit),
        }
    }

    pub fn stream(self, api: Arc<Api>) -> Response<Body> {
        let (sender, receiver) = mpsc::channel(64);
        tokio::spawn(async move {
            let limit = self.limit;
            let _ = tokio::time::timeout(limit, self.follow(&api, &sender)).await;
        });
        Response::builder()
            .status(200)
            .header("content-type", "application/json")
            .body(Body(receiver))
            .unwrap()
    }

    async fn follow(&self, api: &Api, sender: &mpsc::Sender<Bytes>) -> Option<()> {
        let mut since = self.since;
        let mut stamp = None;
        let mut ticks = tokio::time::interval(PERIOD);
        loop {
            ticks.tick().await;
            if sender.is_closed() {
                return None;
            }
            let now = api.store.stamp();
            if now == stamp && since.is_some() {
                continue;
            }
            let Ok(state) = api.store.read() else {
                continue;
            };
            stamp = now;
            let Some(seen) = since else {
                for (key, object) in state.of(&self.selection.prefix) {
                    if self.selection.takes(key, object) {
                        sender.send(self.event("ADDED", object)).await.ok()?;
                    }
                }
                since = Some(state.revision);
                continue;
            };
            if state
                .history
                .front()
                .is_some_and(|first| first.revision > seen + 1)
            {
                let gone = json!({"type": "ERROR", "object": {
                    "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                    "message": "too old resource version", "reason": "Expired", "code": 410,
                }});
                sender.send(Bytes::from(format!("{gone}\n"))).await.ok()?;
                return None;
            }
            for change in state.history.iter().filter(|change| change.revision > seen) {
                if self.selection.takes(&change.key, &change.object) {
                    sender
                        .send(self.event(&change.kind, &change.object))
                        .await
                        .ok()?;
                }
            }
            since = Some(state.revision);
        }
    }

    fn event(&self, kind: &str, object: &Value) -> Bytes {
        let object = if self.as_table {
            let revision = object["metadata"]["resourceVersion"].as_str();
            table::table(
                self.selection.kind,
                std::slice::from_ref(object),
                revision.unwrap_or_default(),
            )
        } else {
            object.clone()
        };
        Bytes::from(format!("{}\n", json!({"type": kind, "object": object})))
    }
}
