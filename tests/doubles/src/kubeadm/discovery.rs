//! Finding the cluster's authority by a token and the hash of a key.

use std::thread;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::Failure;
use crate::http::Client;
use crate::{pki, yaml};

/// How long to wait before it is tried again; the real one takes 5 s and more.
const PAUSE: Duration = Duration::from_secs(1);

pub struct Discovery {
    pub endpoint: String,
    pub token: String,
    pub hashes: Vec<String>,
    pub limit: Duration,
}

impl Discovery {
    /// A client that knows whom it talks to, and is a bootstrapper.
    pub fn run(&self) -> Result<Client, Failure> {
        let wrap = |why: String| {
            format!(
                "error execution phase preflight: couldn't validate the identity of the API Server: {why}"
            )
        };
        let (id, secret) = self.token.split_once('.').unwrap_or_default();
        let mut client = Client {
            endpoint: self.endpoint.clone(),
            authority: None,
            identity: None,
            token: None,
        };
        let (kubeconfig, signature) = self.cluster_info(&client, id).map_err(wrap)?;
        if signature != pki::signature(&kubeconfig, id, secret) {
            return Err(wrap(
                "failed to verify JWS signature of received cluster info object, can't trust this API Server".to_owned(),
            ));
        }
        let config = yaml::documents(&kubeconfig).map_err(wrap)?;
        let data = config.first().and_then(|config| {
            config["clusters"][0]["cluster"]["certificate-authority-data"].as_str()
        });
        let authority = STANDARD
            .decode(data.unwrap_or_default())
            .unwrap_or_default();
        let authority = String::from_utf8(authority).unwrap_or_default();
        let hash = pki::hash(&authority);
        if !self.hashes.is_empty() && !self.hashes.contains(&hash) {
            return Err(wrap(format!(
                "cluster CA found in cluster-info ConfigMap is invalid: none of the public keys \"{hash}\" are pinned"
            )));
        }
        client.authority = Some(authority);
        let (again, _) = self.cluster_info(&client, id).map_err(wrap)?;
        if again != kubeconfig {
            return Err(wrap(
                "the second kubeconfig from the cluster-info ConfigMap (using validated TLS) was different from the first".to_owned(),
            ));
        }
        client.token = Some(self.token.clone());
        Ok(client)
    }

    /// The cluster's address and the signature by this token.
    fn cluster_info(&self, client: &Client, id: &str) -> Result<(String, String), Failure> {
        let began = Instant::now();
        loop {
            let path = "/api/v1/namespaces/kube-public/configmaps/cluster-info?timeout=10s";
            let why = match client.get(path) {
                Err(why) => format!("failed to request the cluster-info ConfigMap: {why}"),
                Ok(answer) => match answer.object() {
                    Err(why) => format!("failed to request the cluster-info ConfigMap: {why}"),
                    Ok(map) => {
                        let signature = map["data"][format!("jws-kubeconfig-{id}")].as_str();
                        let content = map["data"]["kubeconfig"].as_str();
                        if let (Some(content), Some(signature)) = (content, signature) {
                            return Ok((content.to_owned(), signature.to_owned()));
                        }
                        format!(
                            "could not find a JWS signature in the cluster-info ConfigMap for token ID \"{id}\""
                        )
                    }
                },
            };
            if began.elapsed() + PAUSE > self.limit {
                return Err(why);
            }
            thread::sleep(PAUSE);
        }
    }
}
