//! A client of the API, one request per connection; its errors read as Go's do.

use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, StreamOwned};
use serde_json::Value;

/// Longest that a request takes.
const LIMIT: Duration = Duration::from_secs(10);

/// Who asks whom.
#[derive(Clone)]
pub struct Client {
    /// `10.0.1.10:6443`
    pub endpoint: String,
    /// The authority in PEM; without one, any server is believed.
    pub authority: Option<String>,
    /// Certificate and key in PEM.
    pub identity: Option<(String, String)>,
    /// A bootstrap token.
    pub token: Option<String>,
}

/// What came back.
pub struct Response {
    pub status: u16,
    pub body: String,
}

impl Response {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or(Value::Null)
    }

    /// The object, or what the server said instead.
    pub fn object(self) -> Result<Value, String> {
        let value = self.json();
        if (200..300).contains(&self.status) {
            Ok(value)
        } else {
            let message = value["message"].as_str().map(str::to_owned);
            Err(message.unwrap_or(self.body))
        }
    }
}

impl Client {
    pub fn get(&self, path: &str) -> Result<Response, String> {
        self.send("GET", path, "application/json", "")
    }

    pub fn post(&self, path: &str, object: &Value) -> Result<Response, String> {
        self.send("POST", path, "application/json", &object.to_string())
    }

    pub fn put(&self, path: &str, object: &Value) -> Result<Response, String> {
        self.send("PUT", path, "application/json", &object.to_string())
    }

    pub fn delete(&self, path: &str) -> Result<Response, String> {
        self.send("DELETE", path, "application/json", "")
    }

    pub fn patch(&self, path: &str, object: &Value) -> Result<Response, String> {
        let kind = "application/strategic-merge-patch+json";
        self.send("PATCH", path, kind, &object.to_string())
    }

    /// Creates an object, or replaces the one that is there.
    pub fn put_or_post(&self, folder: &str, object: &Value) -> Result<Value, String> {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let replaced = self.put(&format!("{folder}/{name}"), object)?;
        if replaced.status == 404 {
            return self.post(folder, object)?.object();
        }
        replaced.object()
    }

    fn send(&self, method: &str, path: &str, kind: &str, body: &str) -> Result<Response, String> {
        let verb = match method {
            "GET" => "Get",
            "POST" => "Post",
            "PUT" => "Put",
            "PATCH" => "Patch",
            _ => "Delete",
        };
        self.exchange(method, path, kind, body)
            .map_err(|why| format!("{verb} \"https://{}{path}\": {why}", self.endpoint))
    }

    fn exchange(
        &self,
        method: &str,
        path: &str,
        kind: &str,
        body: &str,
    ) -> Result<Response, String> {
        let address = self
            .endpoint
            .to_socket_addrs()
            .ok()
            .and_then(|mut addresses| addresses.next())
            .ok_or_else(|| format!("dial tcp: lookup {}: no such host", self.endpoint))?;
        let stream = TcpStream::connect_timeout(&address, LIMIT)
            .map_err(|error| format!("dial tcp {address}: {}", connect_error(&error)))?;
        let _ = stream.set_read_timeout(Some(LIMIT));
        let _ = stream.set_write_timeout(Some(LIMIT));
        let mut stream = self.secure(stream, address)?;
        let mut head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nAccept: application/json\r\n\
             User-Agent: doubles\r\nContent-Length: {}\r\n",
            self.endpoint,
            body.len()
        );
        if !body.is_empty() {
            let _ = write!(head, "Content-Type: {kind}\r\n");
        }
        if let Some(token) = &self.token {
            let _ = write!(head, "Authorization: Bearer {token}\r\n");
        }
        let message = format!("{head}\r\n{body}");
        stream
            .write_all(message.as_bytes())
            .and_then(|()| stream.flush())
            .map_err(|error| stream_error(&error))?;
        let mut answer = Vec::new();
        match stream.read_to_end(&mut answer) {
            Ok(_) => {}
            // A peer that closes without goodbye has still said everything.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && !answer.is_empty() => {}
            Err(error) => return Err(stream_error(&error)),
        }
        parse(&answer).ok_or_else(|| "EOF".to_owned())
    }

    fn secure(
        &self,
        stream: TcpStream,
        address: SocketAddr,
    ) -> Result<StreamOwned<ClientConnection, TcpStream>, String> {
        let builder = ClientConfig::builder();
        let builder = match &self.authority {
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                for certificate in CertificateDer::pem_slice_iter(authority.as_bytes()).flatten() {
                    roots.add(certificate).map_err(|error| error.to_string())?;
                }
                builder.with_root_certificates(roots)
            }
            None => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Believe)),
        };
        let config = match &self.identity {
            Some((certificate, key)) => builder
                .with_client_auth_cert(
                    CertificateDer::pem_slice_iter(certificate.as_bytes())
                        .flatten()
                        .collect(),
                    PrivateKeyDer::from_pem_slice(key.as_bytes())
                        .map_err(|error| error.to_string())?,
                )
                .map_err(|error| error.to_string())?,
            None => builder.with_no_client_auth(),
        };
        let name = ServerName::IpAddress(address.ip().into());
        let connection =
            ClientConnection::new(Arc::new(config), name).map_err(|error| error.to_string())?;
        let mut stream = StreamOwned::new(connection, stream);
        while stream.conn.is_handshaking() {
            stream
                .conn
                .complete_io(&mut stream.sock)
                .map_err(|error| stream_error(&error))?;
        }
        Ok(stream)
    }
}

fn connect_error(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connect: connection refused".to_owned(),
        io::ErrorKind::HostUnreachable => "connect: no route to host".to_owned(),
        io::ErrorKind::NetworkUnreachable => "connect: network is unreachable".to_owned(),
        io::ErrorKind::TimedOut => "i/o timeout".to_owned(),
        _ => format!("connect: {error}"),
    }
}

fn stream_error(error: &io::Error) -> String {
    let text = error.to_string();
    match error.kind() {
        io::ErrorKind::UnexpectedEof => "EOF".to_owned(),
        io::ErrorKind::ConnectionReset => "read: connection reset by peer".to_owned(),
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => {
            "net/http: request canceled (Client.Timeout exceeded while awaiting headers)".to_owned()
        }
        _ if text.contains("UnknownIssuer") || text.contains("BadSignature") => {
            "tls: failed to verify certificate: x509: certificate signed by unknown authority"
                .to_owned()
        }
        _ => text,
    }
}

/// Status and body of a whole answer, chunked or not.
fn parse(answer: &[u8]) -> Option<Response> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let mut rest = &answer[end + 4..];
    let mut body = Vec::new();
    if head.contains("transfer-encoding: chunked") {
        loop {
            let line = rest.windows(2).position(|two| two == b"\r\n")?;
            let length =
                usize::from_str_radix(std::str::from_utf8(&rest[..line]).ok()?, 16).ok()?;
            if length == 0 {
                break;
            }
            body.extend_from_slice(rest.get(line + 2..line + 2 + length)?);
            rest = rest.get(line + 4 + length..)?;
        }
    } else {
        body.extend_from_slice(rest);
    }
    Some(Response {
        status,
        body: String::from_utf8_lossy(&body).into_owned(),
    })
}

/// Believes any server: discovery verifies what it says instead.
#[derive(Debug)]
struct Believe;

impl ServerCertVerifier for Believe {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        rustls::crypto::ring::default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}
