//! `etcd` itself: a member lives for as long as it holds its lock, and answers the part of the JSON gateway
//! that operators ask, to clients whose certificates its authority signed.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::digest;
use rustix::fs::{FlockOperation, flock};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

use crate::store::Store;

/// How often a member asks whether it still is one.
const PERIOD: Duration = Duration::from_millis(200);
/// For a client to say what it wants, and to be told.
const PATIENCE: Duration = Duration::from_secs(10);

pub fn run(arguments: &[String]) -> ExitCode {
    match serve(arguments) {
        Ok(never) => match never {},
        Err(why) => {
            eprintln!("{}", json!({"level": "fatal", "msg": why}));
            ExitCode::FAILURE
        }
    }
}

fn serve(arguments: &[String]) -> Result<std::convert::Infallible, String> {
    let flag = |name: &str| {
        let prefix = format!("--{name}=");
        arguments
            .iter()
            .find_map(|argument| argument.strip_prefix(&prefix))
            .unwrap_or_default()
            .to_owned()
    };
    let name = flag("name");
    let said = |error: &dyn std::fmt::Display| error.to_string();
    let store = Store::of_authority(&flag("trusted-ca-file")).map_err(|error| said(&error))?;
    store.create().map_err(|error| said(&error))?;
    let data = PathBuf::from(flag("data-dir")).join("member");
    let is_new = !data.exists();
    fs::create_dir_all(data.join("wal"))
        .map_err(|error| format!("cannot access data directory: {error}"))?;
    // Held before it counts: a member that does not run would take the majority away.
    let alive = File::create(store.life(&name)).map_err(|error| said(&error))?;
    flock(&alive, FlockOperation::LockExclusive).map_err(|error| said(&error))?;
    let begins = is_new && flag("initial-cluster-state") != "existing";
    if store.take_announcement(&name) || begins {
        let peer = flag("initial-advertise-peer-urls");
        store.change_members(|members| members.insert(name.clone(), peer));
    }
    let config = Arc::new(settings(&flag)?);
    let store = Arc::new(store);
    for address in addresses(&flag("listen-client-urls")) {
        let listener =
            TcpListener::bind(&address).map_err(|error| format!("{address}: {error}"))?;
        let (config, store, name) = (Arc::clone(&config), Arc::clone(&store), name.clone());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (config, store, name) = (Arc::clone(&config), Arc::clone(&store), name.clone());
                thread::spawn(move || answer(stream, config, &store, &name));
            }
        });
    }
    let _peers: Vec<TcpListener> = addresses(&flag("listen-peer-urls"))
        .filter_map(|address| TcpListener::bind(address).ok())
        .collect();
    println!("etcd {name} serves");
    loop {
        if !store.load().members.contains_key(&name) {
            return Err("the member has been permanently removed from the cluster".to_owned());
        }
        thread::sleep(PERIOD);
    }
}

fn addresses(urls: &str) -> impl Iterator<Item = String> + '_ {
    urls.split(',')
        .filter_map(|url| url.strip_prefix("https://"))
        .map(str::to_owned)
}

fn settings(flag: &dyn Fn(&str) -> String) -> Result<ServerConfig, String> {
    let read = |name: &str| {
        let path = flag(name);
        fs::read(&path).map_err(|error| format!("{path}: {error}"))
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&read("trusted-ca-file")?).flatten() {
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    // Nobody without a certificate, as `client-cert-auth` says.
    let verifier = WebPkiClientVerifier::builder(Arc::new(roots))
        .build()
        .map_err(|error| error.to_string())?;
    let chain = CertificateDer::pem_slice_iter(&read("cert-file")?)
        .flatten()
        .collect();
    let key =
        PrivateKeyDer::from_pem_slice(&read("key-file")?).map_err(|error| error.to_string())?;
    ServerConfig::builder()
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .map_err(|error| error.to_string())
}

/// One request of one client.
fn answer(stream: TcpStream, config: Arc<ServerConfig>, store: &Store, name: &str) {
    let _ = stream.set_read_timeout(Some(PATIENCE));
    let _ = stream.set_write_timeout(Some(PATIENCE));
    let Ok(connection) = ServerConnection::new(config) else {
        return;
    };
    let mut stream = StreamOwned::new(connection, stream);
    let Some((path, body)) = request(&mut stream) else {
        return;
    };
    let (status, body) = match gateway(store, name, &path, &body) {
        Ok(value) => (200, value),
        Err((status, code, message)) => (
            status,
            json!({"error": message, "code": code, "message": message}),
        ),
    };
    let body = body.to_string();
    let _ = write!(
        stream,
        "HTTP/1.1 {status} {}\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        if status == 200 { "OK" } else { "Error" },
        body.len()
    );
    stream.conn.send_close_notify();
    let _ = stream.flush();
}

fn request(stream: &mut impl Read) -> Option<(String, Value)> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            let length = head
                .lines()
                .find_map(|line| {
                    let (name, value) = line.split_once(':')?;
                    name.eq_ignore_ascii_case("content-length")
                        .then(|| value.trim().parse::<usize>().ok())?
                })
                .unwrap_or(0);
            if bytes.len() >= end + 4 + length {
                let path = head.split(' ').nth(1)?.to_owned();
                let body = serde_json::from_slice(&bytes[end + 4..end + 4 + length]);
                return Some((path, body.unwrap_or(Value::Null)));
            }
        }
        match stream.read(&mut chunk) {
            Ok(length) if length > 0 => bytes.extend_from_slice(&chunk[..length]),
            _ => return None,
        }
    }
}

/// HTTP status, code of gRPC, words.
type Refusal = (u16, u8, String);

fn gateway(store: &Store, name: &str, path: &str, body: &Value) -> Result<Value, Refusal> {
    let timed_out = || (503, 14, "etcdserver: request timed out".to_owned());
    let state = store.read().map_err(|_| timed_out())?;
    let header = json!({
        "cluster_id": "14841639068965178418", "member_id": id(name).to_string(),
        "revision": state.revision.to_string(), "raft_term": "2",
    });
    match path {
        "/v3/cluster/member/list" => {
            Ok(json!({"header": header, "members": members(store, &state.members)}))
        }
        "/v3/cluster/member/remove" => {
            let asked = body["ID"].as_str().unwrap_or_default();
            let found = state
                .members
                .keys()
                .find(|name| id(name).to_string() == asked);
            let leaving =
                found.ok_or_else(|| (404, 5, "etcdserver: member not found".to_owned()))?;
            // What etcd calls its strict check: those that would be left must have a majority.
            let alive = state
                .members
                .keys()
                .filter(|name| *name != leaving && store.is_alive(name))
                .count();
            let left = state.members.len() - 1;
            if left == 0 || (store.is_alive(leaving) && alive < left / 2 + 1) {
                return Err((503, 14, "etcdserver: unhealthy cluster".to_owned()));
            }
            let leaving = leaving.clone();
            let left = store.write(|state| {
                state.members.remove(&leaving);
                state.members.clone()
            });
            let left = left.map_err(|_| timed_out())?;
            Ok(json!({"header": header, "members": members(store, &left)}))
        }
        // The real one streams parts of it.
        "/v3/maintenance/snapshot" => {
            let blob = serde_json::to_vec(&state).unwrap_or_default();
            Ok(
                json!({"result": {"header": header, "remaining_bytes": "0", "blob": STANDARD.encode(blob)}}),
            )
        }
        _ => Err((404, 5, "Not Found".to_owned())),
    }
}

fn members(store: &Store, members: &BTreeMap<String, String>) -> Value {
    members
        .iter()
        .map(|(name, peer)| {
            // One that never started has neither name nor clients; these all have.
            let client = peer.replace(":2380", ":2379");
            json!({
                "ID": id(name).to_string(), "name": name, "peerURLs": [peer], "clientURLs": [client],
                "isAlive": store.is_alive(name),
            })
        })
        .collect()
}

/// A number that a member keeps.
fn id(name: &str) -> u64 {
    let digest = digest::digest(&digest::SHA256, name.as_bytes());
    digest.as_ref()[..8]
        .iter()
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
}
