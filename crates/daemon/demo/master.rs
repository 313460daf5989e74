//! A control plane of the demo: HTTPS on loopback, with the health pages of a kube-apiserver and
//! one that says who answers. Can be killed and brought back on the same port.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};

/// The certificate that all masters show, and a client that trusts it and nothing else.
pub(super) struct Identity {
    server: Arc<ServerConfig>,
    pub(super) client: Arc<ClientConfig>,
}

impl Identity {
    /// Makes a key and a certificate for `localhost` and 127.0.0.1.
    pub(super) fn new() -> Result<Self, Box<dyn std::error::Error>> {
        let made =
            rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()])?;
        let certificate: CertificateDer<'static> = made.cert.der().clone();
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let mut roots = RootCertStore::empty();
        roots.add(certificate.clone())?;
        let server = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key.into())?;
        let client = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            server: Arc::new(server),
            client: Arc::new(client),
        })
    }
}

/// One master, alive or killed.
pub(super) struct Master {
    pub(super) name: &'static str,
    pub(super) address: SocketAddr,
    tls: TlsAcceptor,
    /// Accepts and owns every connection; `None`: killed.
    task: Option<JoinHandle<()>>,
}

impl Drop for Master {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}

impl Master {
    pub(super) async fn start(name: &'static str, identity: &Identity) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let tls = TlsAcceptor::from(Arc::clone(&identity.server));
        let task = Some(tokio::spawn(accept(listener, tls.clone(), name)));
        Ok(Self {
            name,
            address,
            tls,
            task,
        })
    }

    /// Ends it and all its connections, as a crash would; its port is closed on return.
    pub(super) async fn kill(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
            // Cancelled is what it is meant to be.
            let _ = task.await;
        }
    }

    /// Brings it back on its port.
    pub(super) async fn revive(&mut self) -> io::Result<()> {
        if self.task.is_none() {
            let listener = TcpListener::bind(self.address).await?;
            self.task = Some(tokio::spawn(accept(listener, self.tls.clone(), self.name)));
        }
        Ok(())
    }
}

async fn accept(listener: TcpListener, tls: TlsAcceptor, name: &'static str) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => drop(connections.spawn(serve(stream, tls.clone(), name))),
                Err(error) => return tracing::error!("{name} cannot accept: {error}"),
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(stream: TcpStream, tls: TlsAcceptor, name: &'static str) {
    // A client that distrusts the certificate or leaves is its own problem.
    let Ok(stream) = tls.accept(stream).await else {
        return;
    };
    let service =
        service_fn(move |request| async move { Ok::<_, Infallible>(answer(&request, name)) });
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

fn answer(request: &Request<Incoming>, name: &str) -> Response<Full<Bytes>> {
    let (status, body) = match request.uri().path() {
        "/readyz" | "/healthz" | "/livez" => (StatusCode::OK, "ok".to_owned()),
        "/" => (StatusCode::OK, format!("{name}\n")),
        path => (StatusCode::NOT_FOUND, format!("{name} has no {path}\n")),
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response
}
