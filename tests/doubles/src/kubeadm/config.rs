//! Configuration files: read, checked as strictly as asked, defaulted.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};

use super::options::Options;
use super::schema::{self, Wrong};
use super::{Failure, warn};
use crate::{containerd, kubelet, pods, yaml};

/// The documents of a file, by kind.
#[derive(Default)]
pub struct Documents(Vec<(String, Value)>);

/// Whether unknown fields end the command.
#[derive(Clone, Copy, PartialEq)]
pub enum Reading {
    Strict,
    Lenient,
}

impl Documents {
    pub fn read(path: &str, reading: Reading) -> Result<Self, Failure> {
        let text = fs::read_to_string(path).map_err(|error| {
            let why = match error.kind() {
                std::io::ErrorKind::NotFound => "no such file or directory".to_owned(),
                std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
                _ => error.to_string(),
            };
            format!("unable to read config from \"{path}\" : open {path}: {why}")
        })?;
        let mut documents = Self::default();
        for document in
            yaml::documents(&text).map_err(|why| format!("error unmarshaling YAML: {why}"))?
        {
            let api_version = document["apiVersion"].as_str().unwrap_or_default();
            let kind = document["kind"].as_str().unwrap_or_default().to_owned();
            let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
            let name = format!(
                "schema.GroupVersionKind{{Group:\"{group}\", Version:\"{version}\", Kind:\"{kind}\"}}"
            );
            match schema::check(group, version, &kind, &document) {
                Ok(()) => {}
                Err(Wrong::Kind) if group == "kubeadm.k8s.io" => {
                    return Err(format!(
                        "your configuration file uses an old API spec: \"{api_version}\" (kind: \"{kind}\"). Please use \
                         kubeadm v1.36 instead and run 'kubeadm config migrate --old-config old-config-file --new-config \
                         new-config-file', which will write the new, similar spec using a newer API version."
                    ));
                }
                Err(Wrong::Kind) => return Err(format!("unknown configuration {name}")),
                Err(Wrong::Type(why)) => {
                    return Err(format!("error unmarshaling configuration {name}: {why}"));
                }
                Err(Wrong::Unknown(fields)) => {
                    let fields: Vec<String> = fields
                        .iter()
                        .map(|field| format!("unknown field \"{field}\""))
                        .collect();
                    let why = format!(
                        "error unmarshaling configuration {name}: strict decoding error: {}",
                        fields.join(", ")
                    );
                    if reading == Reading::Strict {
                        return Err(why);
                    }
                    warn("initconfiguration.go:334", &why);
                }
            }
            documents.0.push((kind, document));
        }
        if documents.0.is_empty() {
            return Err(format!("no kubeadm configuration in \"{path}\""));
        }
        documents.check_values()?;
        Ok(documents)
    }

    pub fn of(&self, kind: &str) -> Value {
        self.0
            .iter()
            .find(|(found, _)| found == kind)
            .map_or(Value::Null, |(_, document)| document.clone())
    }

    fn check_values(&self) -> Result<(), Failure> {
        let init = self.of("InitConfiguration");
        for token in init["bootstrapTokens"].as_array().into_iter().flatten() {
            check_token(token["token"].as_str().unwrap_or_default())?;
        }
        let join = self.of("JoinConfiguration");
        for owner in [
            &init["certificateKey"],
            &join["controlPlane"]["certificateKey"],
        ] {
            if let Some(key) = owner.as_str() {
                check_key(key)?;
            }
        }
        if join.is_object() {
            let discovery = &join["discovery"];
            if discovery["bootstrapToken"].is_null() && discovery["file"].is_null() {
                return Err(
                    "discovery: Invalid value: \"\": bootstrapToken or file must be set".to_owned(),
                );
            }
            if let Some(token) = discovery["bootstrapToken"]["token"].as_str() {
                check_token(token)?;
            }
        }
        for name in [
            &init["nodeRegistration"]["name"],
            &join["nodeRegistration"]["name"],
        ] {
            if let Some(name) = name.as_str()
                && !name.chars().all(|letter| {
                    letter.is_ascii_lowercase() || letter.is_ascii_digit() || "-.".contains(letter)
                })
            {
                return Err(format!(
                    "nodeRegistration.name: Invalid value: \"{name}\": a lowercase RFC 1123 subdomain must consist of lower \
                     case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. \
                     'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
                ));
            }
        }
        Ok(())
    }
}

pub fn check_token(token: &str) -> Result<(), Failure> {
    let is_good = token.split_once('.').is_some_and(|(id, secret)| {
        id.len() == 6
            && secret.len() == 16
            && [id, secret].iter().all(|part| {
                part.bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
            })
    });
    if is_good {
        return Ok(());
    }
    Err(format!(
        "the bootstrap token \"{token}\" was not of the form \"\\\\A([a-z0-9]{{6}})\\\\.([a-z0-9]{{16}})\\\\z\""
    ))
}

pub fn check_key(key: &str) -> Result<Vec<u8>, Failure> {
    let Some(bytes) = crate::pki::unhex(key) else {
        return Err(format!(
            "certificateKey: Invalid value: \"{key}\": encoding/hex: invalid byte"
        ));
    };
    if bytes.len() != 32 {
        return Err(format!(
            "certificateKey: Invalid value: \"{key}\": invalid certificate key size {}, the key must be an AES key of size 32",
            bytes.len()
        ));
    }
    Ok(bytes)
}

/// A duration as Go writes it: `4m0s`, `20s`, `1h30m`.
pub fn duration(text: &str) -> Option<Duration> {
    let mut total = 0.0;
    let mut number = String::new();
    let mut rest = text.chars().peekable();
    while let Some(character) = rest.next() {
        match character {
            '0'..='9' | '.' => number.push(character),
            _ => {
                let is_milli = character == 'm' && rest.peek() == Some(&'s');
                let unit = match character {
                    'h' => 3600.0,
                    'm' if is_milli => 0.001,
                    'm' => 60.0,
                    's' => 1.0,
                    _ => return None,
                };
                if is_milli {
                    rest.next();
                }
                total += unit * number.parse::<f64>().ok()?;
                number.clear();
            }
        }
    }
    number.is_empty().then(|| Duration::from_secs_f64(total))
}

/// As Go prints one in a sentence.
pub fn spell(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match (seconds / 60, seconds % 60) {
        (0, rest) => format!("{rest}s"),
        (minutes, rest) => format!("{minutes}m{rest}s"),
    }
}

/// A timeout of a configuration.
pub fn timeout(document: &Value, name: &str, default: u64) -> Duration {
    document["timeouts"][name]
        .as_str()
        .and_then(duration)
        .unwrap_or(Duration::from_secs(default))
}

/// What a registration says, with what it leaves out.
pub struct Registration {
    pub name: String,
    pub socket: String,
    pub arguments: Vec<(String, String)>,
    pub ignored: Vec<String>,
    /// `None` leaves the taint of a control plane to kubeadm.
    pub taints: Option<Value>,
}

impl Registration {
    pub fn new(document: &Value, options: &Options) -> Self {
        let node = &document["nodeRegistration"];
        let mut ignored: Vec<String> = node["ignorePreflightErrors"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect();
        ignored.extend(options.values("ignore-preflight-errors"));
        Self {
            name: node["name"]
                .as_str()
                .or_else(|| options.value("node-name"))
                .map_or_else(kubelet::hostname, str::to_owned),
            socket: node["criSocket"]
                .as_str()
                .unwrap_or("unix:///var/run/containerd/containerd.sock")
                .to_owned(),
            arguments: arguments(&node["kubeletExtraArgs"]),
            ignored,
            taints: node
                .get("taints")
                .filter(|taints| !taints.is_null())
                .cloned(),
        }
    }
}

/// A list of names and values.
pub fn arguments(list: &Value) -> Vec<(String, String)> {
    list.as_array()
        .into_iter()
        .flatten()
        .filter_map(|item| {
            Some((
                item["name"].as_str()?.to_owned(),
                item["value"].as_str()?.to_owned(),
            ))
        })
        .collect()
}

/// A cluster configuration with kubeadm's defaults.
pub fn defaulted(cluster: &Value) -> Value {
    let mut full = json!({
        "apiServer": {}, "apiVersion": "kubeadm.k8s.io/v1beta4",
        "caCertificateValidityPeriod": "87600h0m0s", "certificateValidityPeriod": "8760h0m0s",
        "certificatesDir": "/etc/kubernetes/pki", "clusterName": "kubernetes",
        "controllerManager": {}, "dns": {}, "encryptionAlgorithm": "RSA-2048",
        "etcd": {"local": {"dataDir": "/var/lib/etcd"}}, "imageRepository": "registry.k8s.io",
        "kind": "ClusterConfiguration", "kubernetesVersion": pods::release(),
        "networking": {"dnsDomain": "cluster.local", "serviceSubnet": "10.96.0.0/12"},
        "proxy": {}, "scheduler": {},
    });
    overlay(&mut full, cluster);
    full
}

fn overlay(base: &mut Value, over: &Value) {
    match over {
        Value::Object(fields) => {
            for (name, value) in fields {
                overlay(&mut base[name], value);
            }
        }
        Value::Null => {}
        other => *base = other.clone(),
    }
}

/// `kubeadm config validate`.
pub fn validate(options: &Options) -> Result<(), Failure> {
    let path = options
        .value("config")
        .ok_or("the --config flag is mandatory")?;
    Documents::read(path, Reading::Strict)?;
    println!("ok");
    Ok(())
}

fn wanted(options: &Options) -> Result<Vec<String>, Failure> {
    let mut repository = "registry.k8s.io".to_owned();
    let mut release = pods::release();
    if let Some(path) = options.value("config") {
        let cluster =
            defaulted(&Documents::read(path, Reading::Lenient)?.of("ClusterConfiguration"));
        for (field, name) in [
            (&mut repository, "imageRepository"),
            (&mut release, "kubernetesVersion"),
        ] {
            if let Some(text) = cluster[name].as_str() {
                text.clone_into(field);
            }
        }
    }
    for (field, name) in [
        (&mut repository, "image-repository"),
        (&mut release, "kubernetes-version"),
    ] {
        if let Some(text) = options.value(name) {
            text.clone_into(field);
        }
    }
    Ok(pods::images(&repository, &release))
}

/// `kubeadm config images list`.
pub fn list_images(options: &Options) -> Result<(), Failure> {
    for image in wanted(options)? {
        println!("{image}");
    }
    Ok(())
}

/// `kubeadm config images pull`.
pub fn pull_images(options: &Options) -> Result<(), Failure> {
    for image in wanted(options)? {
        if let Some(why) = containerd::pull_error(&image) {
            return Err(format!(
                "failed to pull image \"{image}\": failed to pull image {image}: {why}"
            ));
        }
        containerd::add_images([image.clone()]).map_err(|error| error.to_string())?;
        println!("[config/images] Pulled {image}");
    }
    Ok(())
}
