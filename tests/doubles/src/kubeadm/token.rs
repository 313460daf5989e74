//! Bootstrap tokens.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::certs::PKI;
use super::config::{Documents, Reading, check_token, duration};
use super::options::Options;
use super::{Failure, cluster};
use crate::http::Client;
use crate::{faults, kubeconfig, pki};

const FOLDER: &str = "/api/v1/namespaces/kube-system/secrets";
const GROUP: &str = "system:bootstrappers:kubeadm:default-node-token";

pub struct Token {
    pub id: String,
    pub secret: String,
    pub description: String,
    pub expiration: Option<Timestamp>,
    pub usages: Vec<String>,
    pub groups: Vec<String>,
}

pub fn random() -> (String, String) {
    let text = |length| -> String {
        (0..length)
            .map(|_| char::from_digit(fastrand::u32(..36), 36).unwrap())
            .collect()
    };
    (text(6), text(16))
}

/// Tokens as a configuration lists them; without any, one is made up.
pub fn of_config(init: &Value) -> Result<Vec<Token>, Failure> {
    let listed = init["bootstrapTokens"].as_array();
    let texts = |value: &Value, default: &[&str]| -> Vec<String> {
        match value.as_array() {
            Some(items) => items
                .iter()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect(),
            None => default.iter().map(|text| (*text).to_owned()).collect(),
        }
    };
    let mut tokens = Vec::new();
    let empty = json!({});
    let default = vec![empty];
    for item in listed.unwrap_or(&default) {
        let (id, secret) = match item["token"].as_str() {
            Some(text) => {
                check_token(text)?;
                let (id, secret) = text.split_once('.').unwrap_or_default();
                (id.to_owned(), secret.to_owned())
            }
            None => random(),
        };
        let ttl = item["ttl"].as_str().and_then(duration);
        let ttl = ttl.map_or(24 * 3600, |ttl| ttl.as_secs());
        tokens.push(Token {
            id,
            secret,
            description: item["description"].as_str().unwrap_or_default().to_owned(),
            expiration: (ttl > 0).then(|| faults::now() + SignedDuration::from_secs(ttl as i64)),
            usages: texts(&item["usages"], &["signing", "authentication"]),
            groups: texts(&item["groups"], &[GROUP]),
        });
    }
    Ok(tokens)
}

/// The secret that keeps a token.
pub fn secret(token: &Token) -> Value {
    let mut data = json!({
        "token-id": STANDARD.encode(&token.id),
        "token-secret": STANDARD.encode(&token.secret),
    });
    if let Some(expiration) = token.expiration {
        data["expiration"] = json!(STANDARD.encode(expiration.to_string()));
    }
    if !token.description.is_empty() {
        data["description"] = json!(STANDARD.encode(&token.description));
    }
    for usage in &token.usages {
        data[format!("usage-bootstrap-{usage}")] = json!(STANDARD.encode("true"));
    }
    if !token.groups.is_empty() {
        data["auth-extra-groups"] = json!(STANDARD.encode(token.groups.join(",")));
    }
    json!({
        "apiVersion": "v1", "kind": "Secret", "type": "bootstrap.kubernetes.io/token",
        "metadata": {"name": format!("bootstrap-token-{}", token.id), "namespace": "kube-system"},
        "data": data,
    })
}

pub fn run(words: &[&str], options: &Options) -> Result<(), Failure> {
    if words == ["generate"] {
        let (id, secret) = random();
        println!("{id}.{secret}");
        return Ok(());
    }
    let path = options
        .value("kubeconfig")
        .unwrap_or("/etc/kubernetes/admin.conf");
    let open = || {
        kubeconfig::client(path).ok_or_else(|| {
            format!("failed to load admin kubeconfig: open {path}: no such file or directory")
        })
    };
    match words {
        ["create", rest @ ..] => create(rest.first().copied(), options, open),
        ["list"] => list(&open()?, options),
        ["delete", ids @ ..] if !ids.is_empty() => {
            let client = open()?;
            for id in ids {
                let id = id.split('.').next().unwrap_or(id);
                client
                    .delete(&format!("{FOLDER}/bootstrap-token-{id}"))
                    .and_then(crate::http::Response::object)
                    .map_err(|why| format!("failed to delete bootstrap token \"{id}\": {why}"))?;
                println!("bootstrap token \"{id}\" deleted");
            }
            Ok(())
        }
        _ => Err("missing subcommand; \"token\" is not meant to be run on its own".to_owned()),
    }
}

fn create(
    given: Option<&str>,
    options: &Options,
    open: impl FnOnce() -> Result<Client, Failure>,
) -> Result<(), Failure> {
    let mut tokens = match options.value("config") {
        Some(path) => of_config(&Documents::read(path, Reading::Lenient)?.of("InitConfiguration"))?,
        None => of_config(&json!({}))?,
    };
    let token = &mut tokens[0];
    if let Some(text) = given {
        check_token(text)?;
        let (id, secret) = text.split_once('.').unwrap_or_default();
        (token.id, token.secret) = (id.to_owned(), secret.to_owned());
    }
    if let Some(ttl) = options.value("ttl") {
        let ttl = duration(ttl)
            .ok_or_else(|| format!("invalid argument \"{ttl}\" for \"--ttl\" flag"))?;
        token.expiration = Some(faults::now() + SignedDuration::from_secs(ttl.as_secs() as i64));
    }
    if let Some(text) = options.value("description") {
        text.clone_into(&mut token.description);
    }
    let client = open()?;
    for token in &tokens {
        let found = client.get(&format!("{FOLDER}/bootstrap-token-{}", token.id))?;
        if found.status == 200 {
            return Err(format!("a token with id \"{}\" already exists", token.id));
        }
        client
            .post(FOLDER, &secret(token))?
            .object()
            .map_err(|why| format!("failed to create or update bootstrap token with name bootstrap-token-{}: {why}", token.id))?;
    }
    for token in &tokens {
        let text = format!("{}.{}", token.id, token.secret);
        if options.is("print-join-command") {
            println!(
                "{}",
                join_command(&client, &text, options.value("certificate-key"))?
            );
        } else {
            println!("{text}");
        }
    }
    Ok(())
}

fn join_command(client: &Client, token: &str, key: Option<&str>) -> Result<String, Failure> {
    let cluster = cluster::fetch_config(client)?;
    let endpoint = cluster["controlPlaneEndpoint"]
        .as_str()
        .unwrap_or(&client.endpoint);
    let authority =
        std::fs::read_to_string(format!("{PKI}/ca.crt")).map_err(|error| error.to_string())?;
    let hash = pki::hash(&authority);
    let more = key.map_or_else(String::new, |key| {
        format!("--control-plane --certificate-key {key}")
    });
    Ok(format!(
        "kubeadm join {endpoint} --token {token} --discovery-token-ca-cert-hash {hash} {more}"
    ))
}

fn list(client: &Client, options: &Options) -> Result<(), Failure> {
    let found = client.get(FOLDER)?.object()?;
    let field = |secret: &Value, name: &str| {
        let text = secret["data"][name].as_str()?;
        String::from_utf8(STANDARD.decode(text).ok()?).ok()
    };
    let is_json = options.value("output").or_else(|| options.value("o")) == Some("json");
    if !is_json {
        println!(
            "{:<25} {:<11} {:<22} {:<24} {:<58} EXTRA GROUPS",
            "TOKEN", "TTL", "EXPIRES", "USAGES", "DESCRIPTION"
        );
    }
    for secret in found["items"].as_array().into_iter().flatten() {
        if secret["type"] != "bootstrap.kubernetes.io/token" {
            continue;
        }
        let text = |name: &str| field(secret, name).unwrap_or_default();
        let token = format!("{}.{}", text("token-id"), text("token-secret"));
        let usages: Vec<&str> = ["authentication", "signing"]
            .into_iter()
            .filter(|usage| text(&format!("usage-bootstrap-{usage}")) == "true")
            .collect();
        let (description, groups) = (text("description"), text("auth-extra-groups"));
        let expires = text("expiration");
        if is_json {
            let mut rows = vec![
                "    \"kind\": \"BootstrapToken\"".to_owned(),
                "    \"apiVersion\": \"output.kubeadm.k8s.io/v1alpha3\"".to_owned(),
                format!("    \"token\": {}", json!(token)),
            ];
            if !description.is_empty() {
                rows.push(format!("    \"description\": {}", json!(description)));
            }
            if !expires.is_empty() {
                rows.push(format!("    \"expires\": {}", json!(expires)));
            }
            let block = |name: &str, items: &[&str]| {
                let items: Vec<String> = items
                    .iter()
                    .map(|item| format!("        {}", json!(item)))
                    .collect();
                format!("    \"{name}\": [\n{}\n    ]", items.join(",\n"))
            };
            if !usages.is_empty() {
                rows.push(block("usages", &usages));
            }
            if !groups.is_empty() {
                rows.push(block("groups", &groups.split(',').collect::<Vec<_>>()));
            }
            println!("{{\n{}\n}}", rows.join(",\n"));
            continue;
        }
        let left = expires.parse::<Timestamp>().map_or_else(
            |_| "<forever>".to_owned(),
            |when| short((when.as_second() - faults::now().as_second()).max(0)),
        );
        let or_none = |text: String| {
            if text.is_empty() {
                "<none>".to_owned()
            } else {
                text
            }
        };
        println!(
            "{token:<25} {left:<11} {:<22} {:<24} {:<58} {}",
            if expires.is_empty() {
                "<never>"
            } else {
                &expires
            },
            or_none(usages.join(",")),
            or_none(description),
            or_none(groups)
        );
    }
    Ok(())
}

/// A time span as Kubernetes' programs print it: one unit is enough.
pub fn short(seconds: i64) -> String {
    match seconds {
        i64::MIN..=-1 => "<invalid>".to_owned(),
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h", seconds / 3600),
        86_400..31_536_000 => format!("{}d", seconds / 86_400),
        _ => format!("{}y", seconds / 31_536_000),
    }
}
