//! An API server: what kubectl, kubeadm and kubelet ask of one, over TLS with client certificates and
//! bootstrap tokens, on the state that masters share. Kinds are rows of [`resources`].

mod auth;
mod health;
mod patch;
mod resources;
mod serve;
mod table;
mod watch;

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

use crate::store::Store;

/// What a server knows.
pub struct Api {
    store: Store,
    began: Instant,
}

/// `kube-apiserver`.
pub fn run(arguments: &[String]) -> ExitCode {
    let flags: BTreeMap<String, String> = arguments
        .iter()
        .filter_map(|argument| argument.strip_prefix("--")?.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    match start(flags) {
        Ok(never) => match never {},
        Err(why) => {
            eprintln!("kube-apiserver: {why}");
            ExitCode::FAILURE
        }
    }
}

fn start(flags: BTreeMap<String, String>) -> Result<std::convert::Infallible, String> {
    let flag = |name: &str| flags.get(name).cloned().unwrap_or_default();
    let read = |name: &str| {
        let path = flag(name);
        fs::read(&path).map_err(|error| format!("{path}: {error}"))
    };
    let authority = read("client-ca-file")?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&authority).flatten() {
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    let verifier = WebPkiClientVerifier::builder(Arc::new(roots))
        .allow_unauthenticated()
        .build()
        .map_err(|error| error.to_string())?;
    let chain = CertificateDer::pem_slice_iter(&read("tls-cert-file")?)
        .flatten()
        .collect();
    let key = PrivateKeyDer::from_pem_slice(&read("tls-private-key-file")?)
        .map_err(|error| error.to_string())?;
    let config = ServerConfig::builder()
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .map_err(|error| error.to_string())?;
    let store = Store::of_authority(&flag("etcd-cafile")).map_err(|error| error.to_string())?;
    let address = flags.get("bind-address").map_or("0.0.0.0", String::as_str);
    let port = flags.get("secure-port").map_or("6443", String::as_str);
    let listener = TcpListener::bind(format!("{address}:{port}"))
        .map_err(|error| format!("failed to listen on {address}:{port}: {error}"))?;
    listener
        .set_nonblocking(true)
        .map_err(|error| error.to_string())?;
    let api = Arc::new(Api {
        store,
        began: Instant::now(),
    });
    serve::forever(listener, Arc::new(config), api)
}
