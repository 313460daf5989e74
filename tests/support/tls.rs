//! Servers that speak TLS, for checks to look at.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::{Lab, Origin};

/// An established connection over TLS.
pub(crate) type Stream = StreamOwned<ServerConnection, TcpStream>;

/// A certificate for `localhost`, and what serves with it.
#[derive(Clone)]
pub(crate) struct Tls {
    config: Arc<ServerConfig>,
    /// The certificate, as a CA file.
    pub(crate) pem: String,
}

impl Tls {
    pub(crate) fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        Self {
            config: Arc::new(config),
            pem: pem(made.cert.der()),
        }
    }

    /// Makes the handshake.
    pub(crate) fn accept(&self, mut stream: TcpStream) -> io::Result<Stream> {
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        let mut connection = ServerConnection::new(self.config.clone()).unwrap();
        while connection.is_handshaking() {
            connection.complete_io(&mut stream)?;
        }
        Ok(StreamOwned::new(connection, stream))
    }
}

fn pem(certificate: &[u8]) -> String {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(certificate);
    let lines: Vec<&str> = text
        .as_bytes()
        .chunks(64)
        .map(|line| std::str::from_utf8(line).unwrap())
        .collect();
    format!(
        "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
        lines.join("\n")
    )
}

/// What comes until the empty line of a request; what came before an end otherwise.
pub(crate) fn request(stream: &mut impl Read) -> String {
    let mut request = Vec::new();
    let mut some = [0; 1024];
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read(&mut some) {
            Ok(0) | Err(_) => break,
            Ok(count) => request.extend(&some[..count]),
        }
    }
    String::from_utf8_lossy(&request).into_owned()
}

/// An API server: TLS, and an answer to each request. What else it is sent it keeps silent about,
/// so that a client that says `hold` has an established connection.
pub(crate) struct ApiServer {
    pub(crate) origin: Origin,
    /// The status that it answers with.
    status: Arc<AtomicU16>,
    /// What it was asked.
    pub(crate) asked: Arc<std::sync::Mutex<Vec<String>>>,
}

impl ApiServer {
    pub(crate) fn start(lab: &Lab, tls: &Tls) -> Self {
        let status = Arc::new(AtomicU16::new(200));
        let asked: Arc<std::sync::Mutex<Vec<String>>> = Arc::default();
        let (tls, answered, heard) = (tls.clone(), status.clone(), asked.clone());
        let origin = lab.serving(move |peer| {
            let mut stream = peer.into_stream();
            let mut first = [0];
            // A client of the test speaks plainly; a check begins with a TLS record.
            if stream.peek(&mut first).unwrap_or(0) == 1 && first[0] != 0x16 {
                let mut back = stream.try_clone().unwrap();
                let _ = io::copy(&mut stream, &mut back);
                return;
            }
            let Ok(mut stream) = tls.accept(stream) else {
                return;
            };
            let request = request(&mut stream);
            if request.is_empty() {
                return;
            }
            heard.lock().unwrap().push(request);
            let status = answered.load(Ordering::SeqCst);
            let answer = format!("HTTP/1.0 {status} X\r\n\r\n");
            let _ = stream.write_all(answer.as_bytes());
            stream.conn.send_close_notify();
            let _ = stream.flush();
        });
        Self {
            origin,
            status,
            asked,
        }
    }

    /// Answers with this status from now on.
    pub(crate) fn answer(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }
}
