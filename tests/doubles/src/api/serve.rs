//! Connections and routes.

use std::convert::Infallible;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch as watch_channel;
use tokio_rustls::TlsAcceptor;

use super::auth::{self, Identity};
use super::resources::{self, Kind};
use super::watch::Body;
use super::{Api, health, patch, table, watch};
use crate::faults;
use crate::store::NoQuorum;

/// An answer before it is bytes.
pub struct Answer {
    pub status: u16,
    pub kind: &'static str,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(status: u16, value: &Value) -> Self {
        Self {
            status,
            kind: "application/json",
            body: value.to_string().into_bytes(),
        }
    }

    pub fn text(status: u16, text: &str) -> Self {
        Self {
            status,
            kind: "text/plain; charset=utf-8",
            body: text.as_bytes().to_vec(),
        }
    }

    /// A `Status` that says what is wrong.
    pub fn failure(status: u16, reason: &str, message: &str) -> Self {
        Self::json(
            status,
            &json!({
                "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                "message": message, "reason": reason, "code": status,
            }),
        )
    }
}

impl From<NoQuorum> for Answer {
    fn from(NoQuorum: NoQuorum) -> Self {
        Self::failure(500, "InternalError", "etcdserver: no leader")
    }
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
pub async fn forever(
    listener: TcpListener,
    config: Arc<ServerConfig>,
    api: Arc<Api>,
) -> Result<Infallible, String> {
    let listener =
        tokio::net::TcpListener::from_std(listener).map_err(|error| error.to_string())?;
    let acceptor = TlsAcceptor::from(config);
    let mut told = signal(SignalKind::terminate()).map_err(|error| error.to_string())?;
    let (ending, _) = watch_channel::channel(false);
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(_) => continue,
            },
            _ = told.recv() => break,
        };
        let (acceptor, api) = (acceptor.clone(), Arc::clone(&api));
        let mut ended = ending.subscribe();
        tokio::spawn(async move {
            let Ok(stream) = acceptor.accept(stream).await else {
                return;
            };
            let certificate = stream
                .get_ref()
                .1
                .peer_certificates()
                .and_then(|chain| chain.first().map(|first| first.to_vec()));
            let service = service_fn(move |request| {
                let (api, certificate) = (Arc::clone(&api), certificate.clone());
                async move { Ok::<_, Infallible>(answer(&api, certificate.as_deref(), request).await) }
            });
            let serving = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service);
            let mut serving = std::pin::pin!(serving);
            tokio::select! {
                _ = serving.as_mut() => return,
                _ = ended.changed() => serving.as_mut().graceful_shutdown(),
            }
            let _ = serving.await;
        });
    }
    // As the real one does: requests that have begun are answered, and who has a connection is told to leave.
    drop(listener);
    let _ = ending.send(true);
    let _ = tokio::time::timeout(LAST_WORDS, ending.closed()).await;
    std::process::exit(0)
}

/// For requests to end; a watch never does.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A request, taken apart.
pub struct Ask {
    pub method: String,
    pub path: String,
    pub query: Vec<(String, String)>,
    pub accept: String,
    pub content: String,
    pub body: Vec<u8>,
    pub identity: Identity,
}

impl Ask {
    pub fn query(&self, name: &str) -> Option<&str> {
        self.query
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    fn flag(&self, name: &str) -> bool {
        matches!(self.query(name), Some("true" | "1"))
    }
}

async fn answer(
    api: &Arc<Api>,
    certificate: Option<&[u8]>,
    request: Request<Incoming>,
) -> Response<Body> {
    let (head, body) = request.into_parts();
    let header = |name: &str| {
        let value = head.headers.get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default().to_owned()
    };
    let identity = match auth::identify(api, certificate, &header("authorization")) {
        Ok(identity) => identity,
        Err(answer) => return watch::whole(answer),
    };
    let ask = Ask {
        method: head.method.to_string(),
        path: head.uri.path().to_owned(),
        query: query(head.uri.query().unwrap_or_default()),
        accept: header("accept"),
        content: header("content-type"),
        body: body
            .collect()
            .await
            .map_or_else(|_| Vec::new(), |body| body.to_bytes().to_vec()),
        identity,
    };
    match route(api, &ask) {
        Ok(Routed::Answer(answer)) => watch::whole(answer),
        Ok(Routed::Watch(watch)) => watch.stream(Arc::clone(api)),
        Err(answer) => watch::whole(answer),
    }
}

fn query(text: &str) -> Vec<(String, String)> {
    text.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        })
        .collect()
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let pair = [rest.next().unwrap_or(b'0'), rest.next().unwrap_or(b'0')];
                let pair = std::str::from_utf8(&pair).unwrap_or("3f");
                bytes.push(u8::from_str_radix(pair, 16).unwrap_or(b'?'));
            }
            b'+' => bytes.push(b' '),
            other => bytes.push(other),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

enum Routed {
    Answer(Answer),
    Watch(watch::Watch),
}

fn route(api: &Api, ask: &Ask) -> Result<Routed, Answer> {
    if let Some(answer) = health::answer(api, ask) {
        return Ok(Routed::Answer(answer));
    }
    if let Some(answer) = resources::discovery(&ask.path) {
        auth::allow_discovery(&ask.identity, &ask.path)?;
        return Ok(Routed::Answer(answer));
    }
    let Some(target) = resources::target(&ask.path) else {
        let message = "the server could not find the requested resource";
        return Err(Answer::failure(404, "NotFound", message));
    };
    auth::allow(ask, &target)?;
    if ask.method == "GET" && target.name.is_none() {
        let selection = watch::Selection::new(ask, &target);
        if ask.flag("watch") {
            return Ok(Routed::Watch(watch::Watch::new(ask, selection)));
        }
        return list(api, ask, &selection).map(Routed::Answer);
    }
    act(api, ask, &target).map(Routed::Answer)
}

fn list(api: &Api, ask: &Ask, selection: &watch::Selection) -> Result<Answer, Answer> {
    let state = api.store.read()?;
    let items: Vec<Value> = state
        .of(&selection.prefix)
        .filter(|(key, object)| selection.takes(key, object))
        .map(|(_, object)| object.clone())
        .collect();
    let revision = state.revision.to_string();
    let kind = selection.kind;
    if table::is_wanted(&ask.accept) {
        return Ok(Answer::json(200, &table::table(kind, &items, &revision)));
    }
    Ok(Answer::json(
        200,
        &json!({
            "kind": format!("{}List", kind.kind),
            "apiVersion": kind.api_version(),
            "metadata": {"resourceVersion": revision},
            "items": items,
        }),
    ))
}

/// Everything that concerns one object.
fn act(api: &Api, ask: &Ask, target: &resources::Target) -> Result<Answer, Answer> {
    let kind = target.kind;
    let dry = ask.query("dryRun").is_some();
    match (ask.method.as_str(), target.subresource.as_deref()) {
        ("GET", Some("log")) => Ok(Answer::text(200, "a double prints nothing\n")),
        ("GET", _) => {
            let state = api.store.read()?;
            let object = state.objects.get(&target.key());
            let object = object.ok_or_else(|| missing(kind, target.name()))?;
            if table::is_wanted(&ask.accept) {
                let revision = object["metadata"]["resourceVersion"].as_str();
                let items = std::slice::from_ref(object);
                let table = table::table(kind, items, revision.unwrap_or_default());
                return Ok(Answer::json(200, &table));
            }
            Ok(Answer::json(200, object))
        }
        ("POST", Some("eviction")) => {
            // No disruption budget stands in the way here.
            api.store.write(|state| state.remove(&target.key()))?;
            Ok(Answer::json(201, &success()))
        }
        ("POST", None) => {
            let mut object = parse(ask)?;
            if object["metadata"]["name"].is_null() {
                let prefix = object["metadata"]["generateName"].as_str().unwrap_or("x-");
                object["metadata"]["name"] =
                    json!(format!("{prefix}{:05x}", fastrand::u32(..0xf_ffff)));
            }
            let name = object["metadata"]["name"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            let target = target.named(&name, &mut object);
            let created = api.store.write(|state| {
                if state.objects.contains_key(&target.key()) {
                    return None;
                }
                if dry {
                    return Some(object);
                }
                Some(state.put(&target.key(), prepared(kind, object, &ask.identity)))
            })?;
            let created = created.ok_or_else(|| {
                let message = format!("{} \"{name}\" already exists", kind.qualified());
                Answer::failure(409, "AlreadyExists", &message)
            })?;
            Ok(Answer::json(201, &created))
        }
        ("PUT", subresource) => {
            let mut object = parse(ask)?;
            let target = target.named(target.name(), &mut object);
            let replaced = api.store.write(|state| {
                let old = state.objects.get(&target.key())?.clone();
                if subresource == Some("status") {
                    let status = object["status"].clone();
                    object = old;
                    object["status"] = status;
                }
                Some(if dry {
                    object
                } else {
                    state.put(&target.key(), object)
                })
            })?;
            let replaced = replaced.ok_or_else(|| missing(kind, target.name()))?;
            Ok(Answer::json(200, &replaced))
        }
        ("PATCH", _) => {
            let is_apply = ask.content.starts_with("application/apply-patch");
            let change = patch::Patch::parse(&ask.content, &ask.body)
                .map_err(|why| Answer::failure(400, "BadRequest", &why))?;
            let patched = api.store.write(|state| {
                let key = target.key();
                let mut object = match state.objects.get(&key) {
                    Some(object) => object.clone(),
                    None if is_apply => json!({}),
                    None => return None,
                };
                change.apply(&mut object);
                let target = target.named(target.name(), &mut object);
                Some(if dry {
                    object
                } else {
                    state.put(&target.key(), object)
                })
            })?;
            let patched = patched.ok_or_else(|| missing(kind, target.name()))?;
            if table::is_wanted(&ask.accept) {
                return Ok(Answer::json(200, &table::table(kind, &[patched], "")));
            }
            Ok(Answer::json(200, &patched))
        }
        ("DELETE", _) if target.name.is_some() => {
            let removed = api.store.write(|state| {
                if dry {
                    return state.objects.get(&target.key()).cloned();
                }
                let removed = state.remove(&target.key())?;
                // What it owned goes with it.
                let owned: Vec<String> = state
                    .objects
                    .iter()
                    .filter(|(_, object)| owns(&removed, object))
                    .map(|(key, _)| key.clone())
                    .collect();
                for key in owned {
                    state.remove(&key);
                }
                Some(removed)
            })?;
            let removed = removed.ok_or_else(|| missing(kind, target.name()))?;
            let mut status = success();
            status["details"] = json!({
                "name": target.name(), "kind": kind.plural, "uid": removed["metadata"]["uid"],
            });
            Ok(Answer::json(200, &status))
        }
        _ => Err(Answer::failure(
            405,
            "MethodNotAllowed",
            "the server does not allow this method on the requested resource",
        )),
    }
}

fn owns(owner: &Value, object: &Value) -> bool {
    object["metadata"]["ownerReferences"]
        .as_array()
        .into_iter()
        .flatten()
        .any(|reference| {
            reference["name"] == owner["metadata"]["name"] && reference["kind"] == owner["kind"]
        })
}

fn success() -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"})
}

fn missing(kind: &Kind, name: &str) -> Answer {
    let message = format!("{} \"{name}\" not found", kind.qualified());
    Answer::failure(404, "NotFound", &message)
}

fn parse(ask: &Ask) -> Result<Value, Answer> {
    let text = String::from_utf8_lossy(&ask.body);
    serde_json::from_str(&text)
        .ok()
        .or_else(|| crate::yaml::documents(&text).ok()?.into_iter().next())
        .filter(Value::is_object)
        .ok_or_else(|| Answer::failure(400, "BadRequest", "the object provided is unrecognized"))
}

/// What a server adds to a new object of some kinds.
fn prepared(kind: &Kind, mut object: Value, identity: &Identity) -> Value {
    match kind.kind {
        "CertificateSigningRequest" => {
            object["spec"]["username"] = json!(identity.user);
            object["spec"]["groups"] = json!(identity.groups);
        }
        "Secret" => {
            // Plain text beside base64, which is what is kept.
            if let Some(plain) = object["stringData"].as_object().cloned() {
                use base64::Engine;
                for (name, value) in plain {
                    let text = value.as_str().unwrap_or_default();
                    let encoded = base64::engine::general_purpose::STANDARD.encode(text);
                    object["data"][name] = json!(encoded);
                }
                object.as_object_mut().unwrap().remove("stringData");
            }
        }
        "DaemonSet" if object["spec"]["updateStrategy"].is_null() => {
            object["spec"]["updateStrategy"] = json!({"type": "RollingUpdate"});
        }
        "Deployment" if object["spec"]["strategy"].is_null() => {
            object["spec"]["strategy"] = json!({"type": "RollingUpdate"});
        }
        "Event" if object["lastTimestamp"].is_null() => {
            object["lastTimestamp"] = json!(faults::now().to_string());
        }
        "Pod" if object["status"]["phase"].is_null() => {
            object["status"] = json!({"phase": "Pending"});
        }
        _ => {}
    }
    object
}
