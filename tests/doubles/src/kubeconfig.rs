//! The kubeconfig files that kubeadm writes and kubelet reads.

use std::fs;
use std::io;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::http::Client;
use crate::pki::write_private;
use crate::yaml;

/// A kubeconfig of one user of one cluster.
pub fn kubeconfig(server: &str, authority: &str, user: &str, credentials: &Value) -> Value {
    let context = format!("{user}@kubernetes");
    json!({
        "apiVersion": "v1",
        "clusters": [{
            "cluster": {
                "certificate-authority-data": STANDARD.encode(authority),
                "server": server,
            },
            "name": "kubernetes",
        }],
        "contexts": [{"context": {"cluster": "kubernetes", "user": user}, "name": context}],
        "current-context": context,
        "kind": "Config",
        "users": [{"name": user, "user": credentials}],
    })
}

/// What a certificate and its key are in one.
pub fn certificate(certificate: &str, key: &str) -> Value {
    json!({
        "client-certificate-data": STANDARD.encode(certificate),
        "client-key-data": STANDARD.encode(key),
    })
}

pub fn save(path: &str, config: &Value) -> io::Result<()> {
    write_private(path, &yaml::print(config))
}

/// The client that a kubeconfig describes.
pub fn client(path: &str) -> Option<Client> {
    let config = yaml::read(path)?;
    let cluster = &config["clusters"][0]["cluster"];
    let user = &config["users"][0]["user"];
    let decode = |value: &Value| {
        let text = STANDARD.decode(value.as_str()?).ok()?;
        String::from_utf8(text).ok()
    };
    let from_file = |value: &Value| fs::read_to_string(value.as_str()?).ok();
    let certificate =
        decode(&user["client-certificate-data"]).or_else(|| from_file(&user["client-certificate"]));
    let key = decode(&user["client-key-data"]).or_else(|| from_file(&user["client-key"]));
    Some(Client {
        endpoint: cluster["server"]
            .as_str()?
            .trim_start_matches("https://")
            .to_owned(),
        authority: decode(&cluster["certificate-authority-data"]),
        identity: certificate.zip(key),
        token: user["token"].as_str().map(str::to_owned),
    })
}
